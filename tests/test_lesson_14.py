"""Lesson 14: each of its numbers by a second way that shares no code with the lesson's."""

import itertools
import math

import numpy as np
import pytest
import torch

from helpers.returns import vtrace

GAMMA = 0.9
LIMITS = [(0.7, 0.7), (1, 1), (1, 0.5), (2, 2), (2, 1), (math.inf, 1), (math.inf, math.inf)]


# --- the fixed point, exactly --------------------------------------------------------------------


class Problem:
    """A random decision process, a policy pi to be judged and a policy mu that acted."""

    def __init__(self, seed, states=3, actions=2):
        rng = np.random.default_rng(seed)
        self.p = rng.dirichlet(np.ones(states), (states, actions))  # [s, a, s']
        self.r = rng.normal(size=(states, actions))
        self.pi, self.mu = rng.dirichlet(np.ones(actions), (2, states))
        self.any_values = rng.normal(size=states)

    def value(self, policy):
        """By one linear system."""
        rewards = (policy * self.r).sum(1)
        moves = np.einsum("sa,sat->st", policy, self.p)
        return np.linalg.solve(np.eye(len(rewards)) - GAMMA * moves, rewards)

    def limited(self, rho_max):
        """The policy in proportion to min(rho_max mu, pi)."""
        weights = np.minimum(rho_max * self.mu, self.pi)
        return weights / weights.sum(1, keepdims=True)

    def expected_targets(self, values, rho_max, c_max, steps=3):
        """The mean of returns.vtrace's first target over every way that mu may go."""
        states, actions = self.r.shape
        means = np.zeros(states)
        ways = itertools.product(range(states), repeat=steps + 1)
        for path, chosen in itertools.product(
            ways, itertools.product(range(actions), repeat=steps)
        ):
            at, to, chosen = np.array(path[:-1]), np.array(path[1:]), np.array(chosen)
            chance = (self.mu[at, chosen] * self.p[at, chosen, to]).prod()
            means[path[0]] += chance * self.first_target(values, path, chosen, rho_max, c_max)
        return means

    def first_target(self, values, path, chosen, rho_max, c_max):
        at, never = np.array(path[:-1]), torch.zeros(len(chosen))
        ratios = torch.tensor(self.pi[at, chosen] / self.mu[at, chosen])
        told = torch.tensor(self.r[at, chosen]), torch.tensor(values[list(path)]), ratios
        limits = {"rho_max": rho_max, "c_max": c_max}
        return vtrace(*told, never, never, gamma=GAMMA, **limits)[0][0].item()

    def sweep(self, values, rho_max, c_max):
        """What the targets of endless stretches are on average, by one linear system."""
        ratios = self.pi / self.mu
        rho, c = (self.mu * np.minimum(limit, ratios) for limit in (rho_max, c_max))
        errors = self.r + GAMMA * self.p @ values - values[:, None]
        traced = np.eye(len(values)) - GAMMA * np.einsum("sa,sat->st", c, self.p)
        return values + np.linalg.solve(traced, (rho * errors).sum(1))


@pytest.mark.parametrize("rho_max, c_max", LIMITS)
def test_the_value_of_the_limited_policy_is_its_own_target_whatever_c_max(rho_max, c_max):
    problem = Problem(0)
    fixed = problem.value(problem.limited(rho_max if rho_max < math.inf else 1e9))
    targets = problem.expected_targets(fixed, rho_max, c_max)
    np.testing.assert_allclose(targets, fixed, atol=1e-9)


def test_other_values_are_not_their_own_target_and_c_max_says_how_far_they_move():
    problem = Problem(0)
    moved = [problem.expected_targets(problem.any_values, 2, c_max) for c_max in (0.5, 1, 2)]
    for one, other in itertools.combinations([problem.any_values, *moved], 2):
        assert np.abs(one - other).max() > 0.01


def test_with_exchanged_limits_c_max_moves_the_fixed_point():
    problem = Problem(0)
    fixed = problem.value(problem.limited(2))
    moved = problem.expected_targets(fixed, rho_max=0.5, c_max=2)  # as vtrace(2, 0.5) with the bug
    assert np.abs(moved - fixed).max() > 0.01


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rho_max, c_max", [(r, c) for r, c in LIMITS if r <= 1])
def test_sweeps_end_at_the_value_of_the_limited_policy(seed, rho_max, c_max):
    problem = Problem(seed, states=5, actions=3)
    values = problem.any_values
    for _ in range(3000):
        values = problem.sweep(values, rho_max, c_max)
    np.testing.assert_allclose(values, problem.value(problem.limited(rho_max)), atol=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_rho_max_moves_the_fixed_point_from_the_acting_policy_to_the_judged_one(seed):
    problem = Problem(seed, states=5, actions=3)
    ways = [problem.value(problem.limited(rho_max)) for rho_max in (1e-6, 0.5, 1, 2, 1e9)]
    np.testing.assert_allclose(ways[0], problem.value(problem.mu), atol=1e-9)
    np.testing.assert_allclose(ways[-1], problem.value(problem.pi), atol=1e-9)
    assert all(np.abs(one - other).max() > 1e-3 for one, other in itertools.pairwise(ways))


@pytest.mark.parametrize("seed", range(5))
def test_a_larger_c_max_needs_fewer_sweeps(seed):
    problem = Problem(seed, states=5, actions=3)
    fixed, needed = problem.value(problem.limited(1)), []
    for c_max in (1e-9, 0.5, 1):
        values, count = problem.any_values, 0
        while np.abs(values - fixed).max() > 1e-6:
            values, count = problem.sweep(values, 1, c_max), count + 1
        needed.append(count)
    assert needed[0] > needed[1] > needed[2]


@pytest.mark.parametrize("seed", range(5))
def test_with_features_that_states_share_c_max_does_move_it(seed):
    """Least squares of the targets on two features a state: where its answer stays as it is."""
    problem = Problem(seed, states=5, actions=3)
    features = np.random.default_rng(seed + 100).normal(size=(5, 2))
    project = np.linalg.pinv(features)

    def fixed(c_max):
        moved = [project @ problem.sweep(features @ w, 1, c_max) for w in ([0, 0], [1, 0], [0, 1])]
        change = np.stack([moved[1] - moved[0], moved[2] - moved[0]], axis=1)
        return features @ np.linalg.solve(np.eye(2) - change, moved[0])

    assert np.abs(fixed(1) - fixed(0.3)).max() > 1e-3


@pytest.mark.parametrize("rho_max, c_max", [(1, 1), (2, 1), (1, 3), (math.inf, math.inf)])
def test_on_policy_it_is_the_n_step_return(rho_max, c_max):
    rng = np.random.default_rng(0)
    rewards, values, never = rng.normal(size=6), rng.normal(size=7), torch.zeros(6)
    limits = {"rho_max": rho_max, "c_max": c_max}
    targets, _ = vtrace(rewards, values, torch.ones(6), never, never, gamma=GAMMA, **limits)
    for s in range(6):
        sums = sum(GAMMA ** (t - s) * rewards[t] for t in range(s, 6))
        assert targets[s].item() == pytest.approx(sums + GAMMA ** (6 - s) * values[6], rel=1e-6)


# --- a fixed lag, exactly ------------------------------------------------------------------------

ARMS = np.array([0.0, 0.8, 1.0])
LAGS = [0, 4, 16, 64]


def shares(logits):
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def climbed(lag, limit, seed=0, arms=ARMS, lr=3.0, updates=400, starts=1000, baseline="now"):
    """The share of the best arm in the end: mean over all starts, whose logits are N(0, 1).

    Each update is the expected policy gradient of pulls by the policy of `lag` updates ago, with
    advantages over the value of the policy as it is now (or was then); limit: of the ratio, or None
    for no ratio at all. In place of pulls each arm counts as often as it would be pulled.
    """
    logits, policies = np.random.default_rng(seed).normal(size=(starts, len(arms))), []
    for update in range(updates):
        policies.append(shares(logits))
        now, then = policies[-1], policies[max(0, update - lag)]
        advantages = arms - ((now if baseline == "now" else then) @ arms)[:, None]
        weights = (
            then if limit is None else np.minimum(limit * then, now)
        )  # then * min(limit, ratio)
        pulled = weights * advantages
        logits = logits + lr * (pulled - now * pulled.sum(1, keepdims=True))
    return shares(logits)[:, -1].mean()


@pytest.mark.parametrize("seed", range(3))
def test_lag_costs_the_best_arm_and_the_limited_ratio_keeps_it(seed):
    """Each number is a mean over 1000 starts, with which it moves by some 0.01."""
    uncorrected = [climbed(lag, None, seed) for lag in LAGS]
    limited = [climbed(lag, 1, seed) for lag in LAGS]
    assert uncorrected == pytest.approx([0.99, 0.94, 0.75, 0.68], abs=0.03)
    assert limited == pytest.approx([0.99] * 4, abs=0.015)


def test_what_that_depends_on():
    """The rate and the baseline: each a change of one thing."""
    base = climbed(64, None)
    assert climbed(64, None, lr=0.3, updates=4000) > base + 0.15  # a tenth of the rate, as far
    assert climbed(64, None, baseline="then") > base + 0.05


def test_in_expectation_a_ratio_without_limit_takes_the_whole_lag_away():
    """Its price is the spread of single pulls, which this experiment has none of."""
    assert climbed(64, math.inf) == pytest.approx(climbed(0, None), abs=1e-6)


def test_without_a_lag_the_ratio_is_1():
    assert climbed(0, 1, starts=50) == pytest.approx(climbed(0, None, starts=50), abs=1e-12)
