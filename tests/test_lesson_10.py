"""Lesson 10: each of its numbers by a second way that shares no code with the lesson's."""

import itertools
import math

import numpy as np
import pytest
import torch
from gymnasium.envs.classic_control.pendulum import PendulumEnv
from lesson_cells import Lesson, each_end, each_seed
from scipy import integrate, stats

from helpers import live
from helpers.envs.gridworld import grid
from helpers.errors import SlipError

LESSON = Lesson(10)
ALGORITHM = "act", "replay-memory", "both-critics", "settings", "sac", "play", "stage", "train"
SEEDS = [11, 12, 13]  # the lesson shows 2026


@pytest.fixture(scope="module")
def replayed():
    return LESSON.run("imports", "memory", "replay")


@pytest.fixture(scope="module")
def ways():
    return LESSON.run("imports", "rewards", "ways-panel")


@pytest.fixture(scope="module")
def soft():
    return LESSON.run("imports", "memory", "soft-sweeps", "soft-iteration", "grid-panel")


@pytest.fixture(scope="module")
def agents():
    return LESSON.run("imports", *ALGORITHM)


# --- replay --------------------------------------------------------------------------------------


def swept(policy, gamma=0.99):
    """V and Q of a policy [25, 4] on the grid, by sweeps over its cells."""
    V = np.zeros((5, 5))
    for _ in range(4000):
        Q = np.zeros((5, 5, 4))
        for action, (dx, dy) in enumerate([(0, 1), (1, 0), (0, -1), (-1, 0)]):
            y, x = np.meshgrid(range(5), range(5), indexing="ij")
            ny, nx = (y + dy).clip(0, 4), (x + dx).clip(0, 4)
            goal = (ny == 4) & (nx == 4)
            Q[..., action] = np.where(goal, 1, -0.01 + gamma * V[ny, nx])
        Q[4, 4] = 0
        V = (policy.reshape(5, 5, 4) * Q).sum(-1)
    return V.ravel(), Q.reshape(25, 4)


def test_q_learns_the_present_policy_from_the_old_ones_steps_and_v_the_old(replayed):
    old, now = (swept(replayed[name].numpy()) for name in ("old", "now"))
    assert np.allclose(replayed["Q"], now[1], atol=1e-9)
    V = replayed["V"].numpy()
    assert abs(V - old[0]).max() < 0.1 < 0.5 < abs(V - now[0]).max()
    assert len(replayed["s"]) == 20_000


# --- two gradients -------------------------------------------------------------------------------


def moments(game, d, sigma, level=0.0):
    """Mean and variance of both estimates by quadrature, and the true slope by differences.

    level: a baseline, taken off the reward that the score weighs.
    """
    reward, slope = {
        "hill": (lambda x: -(x**2), lambda x: -2 * x),
        "cliff": (lambda x: float(x > 0), lambda x: 0.0),
        "ripples": (lambda x: math.sin(12 * x), lambda x: 12 * math.cos(12 * x)),
    }[game]

    def mean(f, at=d):
        whole = lambda e: f(at + sigma * e, e) * stats.norm.pdf(e)  # noqa: E731
        edge = -at / sigma
        cuts = sorted({-9.0, min(max(edge, -9), 9), 9.0})
        return sum(integrate.quad(whole, a, b, limit=500)[0] for a, b in itertools.pairwise(cuts))

    found = []
    for one in (lambda x, e: (reward(x) - level) * e / sigma, lambda x, e: slope(x)):
        average = mean(one)
        found.append((average, mean(lambda x, e, one=one: one(x, e) ** 2) - average**2))
    step = 1e-4
    truth = mean(lambda x, e: reward(x), d + step) - mean(lambda x, e: reward(x), d - step)
    return found, truth / (2 * step)


@pytest.mark.parametrize(("d", "sigma"), [(1.0, 0.5), (-2.0, 0.3), (0.0, 1.5)])
def test_both_average_to_the_slope_with_the_variances_of_the_formulas(d, sigma):
    (score, pathwise), truth = moments("hill", d, sigma)
    assert score[0] == pytest.approx(-2 * d, abs=1e-6) == pathwise[0] == pytest.approx(truth)
    assert score[1] == pytest.approx(d**4 / sigma**2 + 14 * d**2 + 15 * sigma**2, rel=1e-6)
    assert pathwise[1] == pytest.approx(4 * sigma**2, rel=1e-6)
    (score, _), _ = moments("hill", d, sigma, level=-(d**2))
    assert score[0] == pytest.approx(-2 * d, abs=1e-6)
    assert score[1] == pytest.approx(8 * d**2 + 15 * sigma**2, rel=1e-6)


@pytest.mark.parametrize("game", ["hill", "cliff", "ripples"])
def test_the_panels_estimates(ways, game):
    (score, pathwise), truth = moments(game, 0.4, 0.5)
    found = ways["estimates"](game, 0.4, 0.5)
    for one, (mean, variance) in zip(found, (score, pathwise)):
        assert one.mean().item() == pytest.approx(mean, abs=5 * (variance / one.numel()) ** 0.5)
        assert one.var().item() == pytest.approx(variance, rel=0.05, abs=1e-9)
    assert ways["GAMES"][game][2](torch.tensor(0.4), 0.5).item() == pytest.approx(truth, abs=1e-5)
    assert score[0] == pytest.approx(truth, abs=1e-5)
    assert (pathwise == (0, 0)) == (game == "cliff")
    assert (score[1] < pathwise[1]) == (game == "ripples")


@pytest.mark.parametrize("d", [0.0, 0.13, 1.0])
def test_a_tremble_smaller_than_a_ripple_is_steadier_pathwise(d):
    (score, pathwise), _ = moments("ripples", d, 0.05)
    assert score[1] > 2 * pathwise[1]


@each_end(game=("hill", "ripples"), d=(-2.0, 2.0), sigma=(0.05, 1.5))
def test_the_aim_at_every_end_of_its_sliders(ways, settings):
    lines, shares, truth = ways["aim"](**settings).value
    assert lines.isfinite().all() and math.isfinite(truth)
    assert torch.allclose(shares.sum(1), torch.ones(2), atol=1e-5)


@pytest.mark.parametrize("game", ["hill", "cliff", "ripples"])
def test_the_true_slope_is_within_the_picture(ways, game):
    truths = [ways["aim"](game, d / 10, 0.05).value[2] for d in range(-20, 21)]
    assert max(map(abs, truths)) < ways["unit"]["xlim"][1]


# --- the highest of several estimates --------------------------------------------------------------


def highest(n, survives):
    """The mean of the largest of n numbers, each above x with probability survives(x)."""
    density = lambda x: (1 - survives(x)) ** n  # noqa: E731
    return integrate.quad(lambda x: 1 - density(x), 0, 9)[0] - integrate.quad(density, -9, 0)[0]


def test_the_highest_estimate_flatters_and_the_smaller_of_two_less():
    found = LESSON.run("imports", "guess-most", "flatter")["flattery"]
    for n, (one, smaller) in found.items():
        assert one == pytest.approx(highest(n, stats.norm.sf), abs=0.005)
        assert smaller == pytest.approx(highest(n, lambda x: stats.norm.sf(x) ** 2), abs=0.005)
    known = {1: 0.0, 2: 1 / math.pi**0.5, 4: 1.029, 10: 1.539}
    assert all(highest(n, stats.norm.sf) == pytest.approx(x, abs=5e-4) for n, x in known.items())
    assert highest(1, lambda x: stats.norm.sf(x) ** 2) == pytest.approx(-0.564, abs=5e-4)


# --- soft values ---------------------------------------------------------------------------------


def soft_swept(tau, gamma):
    """Soft value iteration with one cell's four moves at a time."""
    mdp = grid()
    P, r, over = (np.asarray(x) for x in (mdp.transitions, mdp.rewards, mdp.terminal))
    V = np.zeros(25)
    for _ in range(5000):
        Q = (P * (r + gamma * V)).sum(-1)
        V = np.where(over, 0, np.logaddexp.reduce(Q / tau, 1) * tau)
    Q[24] = 0  # after the goal nothing counts
    weights = np.exp((Q - Q.max(1, keepdims=True)) / tau)
    return V, weights / weights.sum(1, keepdims=True)


@pytest.mark.parametrize(("tau", "gamma"), [(0.001, 0.99), (0.01, 0.99), (0.02, 0.99), (0.1, 0.5)])
def test_soft_policy_iteration_reaches_what_sweeps_reach(soft, tau, gamma):
    V, policy = soft_swept(tau, gamma)
    earned, found = soft["solve"](tau, gamma).value
    assert np.allclose(found[:24], policy[:24], atol=1e-8)
    assert np.allclose(soft["soft_values"](found, tau, gamma), V, atol=1e-8)
    assert np.allclose(earned, swept(policy, gamma)[0], atol=1e-8)


def test_where_the_robot_changes_its_mind(soft):
    earned = {tau: soft["solve"](tau, 0.99).value[0][0].item() for tau in (0.01, 0.014, 0.02)}
    assert earned[0.01] > 0.8 > earned[0.014] > 0.4 > -0.99 > earned[0.02]
    assert soft["solve"](0.015, 0.99).value[0][0].item() < -0.8  # near 0.0144, that is
    assert soft["solve"](0.02, 0.9).value[0][0].item() > 0.3  # with a smaller gamma it still goes


@each_end(tau=(0.001, 0.1), gamma=(0.5, 0.995))
def test_every_end_of_the_temperature(soft, settings):
    earned, policy = soft["solve"](**settings).value
    assert earned.isfinite().all() and policy.isfinite().all()


def test_the_wanted_entropy_comes_out():
    names = LESSON.run("imports", "learned-temperature")
    weights = np.exp(np.array([1.0, 0.8, 0.2]) / math.exp(names["log_tau"]))
    assert stats.entropy(weights / weights.sum()) == pytest.approx(0.5, abs=1e-3)


# --- squeezed actions ----------------------------------------------------------------------------


@pytest.mark.parametrize(("mean", "log_std"), [(0.0, -1.0), (1.0, 0.4), (-2.0, 0.0)])
def test_the_squeezed_density_is_that_of_what_is_drawn(agents, mean, log_std):
    """P(a < x) by the log-probability's integral over u, against the Gaussian's own."""
    u = torch.linspace(-12, 12, 200_001)
    noise = (u - mean) / math.exp(log_std)
    outputs = torch.tensor([mean, log_std]).expand(len(u), 2)
    a, log_prob = agents["act"](outputs, noise[:, None])
    slope = 1 / torch.cosh(u.double()) ** 2  # da/du
    density = log_prob.double().exp() * slope
    assert torch.trapezoid(density, u.double()).item() == pytest.approx(1, abs=1e-4)
    for place in (-0.9, 0.0, 0.5):
        below = torch.trapezoid(density[a[:, 0] < place], u.double()[a[:, 0] < place]).item()
        exact = stats.norm.cdf((math.atanh(place) - mean) / math.exp(log_std))
        assert below == pytest.approx(exact, abs=1e-3)


def test_far_out_the_log_probability_stays_a_number(agents):
    outputs = torch.tensor([[[30.0, -3.0]]], requires_grad=True)
    a, log_prob = agents["act"](outputs, torch.zeros(1, 1, 1))
    assert a.item() == 1 and log_prob.item() == pytest.approx(
        3 - 0.5 * math.log(2 * math.pi) - math.log(4) + 60, abs=1e-3
    )
    assert torch.autograd.grad(log_prob.sum(), outputs)[0].isfinite().all()


# --- the algorithm -------------------------------------------------------------------------------


def test_the_memory_keeps_the_newest_and_says_when_it_is_empty(agents):
    memory, generator = agents["Replay"](2, 5), torch.Generator().manual_seed(0)
    with pytest.raises(SlipError, match="memory is empty"):
        memory.sample(4, generator)
    for k in range(4):
        memory.add(torch.full((2, 2, 9), float(k)))
    parts = memory.sample(200, generator)
    assert [list(part.shape) for part in parts] == [[2, 200, n] for n in (3, 1, 1, 3, 1)]
    assert {*parts[2].unique().tolist()} == {1.0, 2.0, 3.0}
    small = agents["Replay"](1, 10)
    small.add(torch.ones(1, 1, 9))
    assert small.sample(64, generator)[0].shape == (1, 64, 3)


def test_the_judges_world_is_gymnasiums(agents):
    world, total = PendulumEnv(), 0.0
    world.reset(seed=0)
    world.state = agents["Pendulum"]().initial((1,), np.random.default_rng(1))[0]
    seen = world._get_obs()
    for _ in range(200):
        torque = np.array([np.sign(seen[2]) * 1.5], np.float32)
        seen, reward, *_ = world.step(torque)
        total += reward
    found = agents["play"](lambda s: 1.5 * s[..., 2:].sign(), 1, 1)
    assert found.item() == pytest.approx(total, rel=1e-3)


def test_agents_side_by_side_learn_as_one_and_a_kept_temperature_is_kept(agents):
    for tau in (0.0, 10.0):
        *_, last = agents["train"](tau=tau, agents=2, steps=800)
        assert last.tau.unique().tolist() == [tau] and last.estimate.shape == (2,)
    *_, last = agents["train"](agents=1, steps=800)
    assert 0.5 < last.tau.item() < 1 and "Mean return" in last.words()


def test_at_first_the_temperature_falls_as_fast_as_adam_lets_it(agents):
    generator, rng = torch.Generator().manual_seed(0), np.random.default_rng(0)
    states = torch.tensor(agents["Pendulum"]().observation(rng.normal(size=(4, 5000, 2))))
    actor = agents["Actor"](3, 2, agents=4, hidden=(32, 32), generator=generator)
    noise = torch.randn(4, 5000, 1, generator=generator)
    doubt = -agents["act"](actor(states), noise)[1].mean(1)
    assert doubt.min() > 0.5  # wanted: -1
    *_, (_, _, _, tau) = agents["sac"](4, 11, steps=2000)
    updates = (2000 - 500) / 4
    assert tau.log().numpy() == pytest.approx(-3e-3 * updates, rel=0.03)


@pytest.mark.parametrize("torque", [0, 2])  # none, or any
def test_what_swaying_costs(agents, torque):
    rng, world = np.random.default_rng(3), agents["Pendulum"]()
    state, costs = world.initial((300,), rng), []
    for _ in range(1500):
        state, r, _ = world.transition(state, torque * rng.uniform(-1, 1, (300, 1)), rng)
        costs.append(-r.mean())
    assert np.mean(costs[:200]) == pytest.approx(6, abs=0.5)
    beyond = {gamma: np.dot(gamma ** np.arange(200, 1500), costs[200:]) for gamma in (0.99, 0.995)}
    assert beyond[0.99] == pytest.approx(80, abs=5) and beyond[0.995] > 4 * beyond[0.99]


@each_end(gamma=(0.0, 1.0), lr=(1e-4, 0.1), tau=("learned", 10.0), updates=(1, 4))
def test_the_panel_at_every_end_of_its_sliders(agents, settings):
    for stage in agents["train"](**settings, agents=1, steps=800):
        assert stage.recent_returns.isfinite().all() and stage.words()


def test_a_run_without_numbers_says_so(agents):
    *_, last = agents["train"](lr=1e30, agents=1, steps=1200)
    assert last.words() == live.diverged("what a critic says")


# --- what comes out of the predictions -----------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "cells", "right"),
    [
        ("guess-replay", ["memory", "replay", "replay-errors"], ["Q alone"]),
        ("guess-most", ["flatter"], ["about 1.5"]),
        (
            "guess-warm",
            ["memory", "soft-sweeps", "soft-iteration", "grid-panel", "warm-came-out"],
            ["keep away from the goal"],
        ),
    ],
)
def test_what_comes_out_of_a_prediction(ask, cells, right):
    assert LESSON.came_out(ask, *cells, **LESSON.run("imports")) == right


def test_what_comes_out_of_the_throws(ways):
    names = LESSON.run("guess-ways", **ways)
    for asked, right in [("guess_ways", "about 350"), ("guess_cliff", "0")]:
        names[asked]._guess.value = right
    LESSON.run("ways-came-out", **names)
    assert names["guess_ways"].right and names["guess_cliff"].right


def test_the_suspect_gets_a_smaller_loss_with_wrong_values():
    names = LESSON.run("imports", "suspect", "suspect-evidence")
    assert names["tables"].numpy() == pytest.approx(np.array([[0.5, 0.75, 0.25]] * 2), abs=1e-3)
    true = torch.tensor([0.5, 1.0, 0.0])
    learned = names["loss_of"](*names["tables"])
    assert learned.item() == pytest.approx(0.125) and names["loss_of"](true, true).item() == 0.25


@pytest.mark.parametrize(
    ("shift", "right"), [(-90, "PPO"), (0, "no difference shown"), (90, "SAC")]
)
def test_the_verdict(agents, shift, right):
    names = dict(agents)
    source = LESSON.cell("scarce-verdict").source.partition("as_many =")[0]
    exec(source, names)
    theirs = np.random.default_rng(0).normal(-300, 30, 16)
    assert names["verdict"](theirs + shift, theirs) == right


# --- the pendulum: what the lesson says of it, with agents that it does not show -----------------


def rivals(agents, seed, steps, envs=16):
    """PPO's returns after so many steps, as the lesson judges them: [16]."""
    settings = {**agents["PPO_PENDULUM"], "total_steps": steps}
    *_, last = agents["ppo"]("course/Pendulum-v1", agents=16, seed=seed, **settings)
    return agents["play"](lambda s: last.actor(s)[..., :1], 16, 100, 7).mean(1)


@each_seed("seed", SEEDS)
def test_sac_and_ppo_at_equal_steps_and_at_four_times_as_many(agents, seed):
    means = {}
    for step, actor, _, tau in agents["sac"](16, seed):
        means[step] = agents["play"](agents["means_of"](actor), 16).mean(1)
    assert max(means[step].mean() for step in (1000, 2000, 3000)) < -1000
    assert means[7000].mean() > -250 and -150 < means[10_000].mean() < -110
    assert (means[10_000] > -200).sum() >= 14 and 0.05 < tau.min() < tau.max() < 0.2
    ours = agents["play"](agents["means_of"](actor), 16, 100, 7).mean(1)
    assert agents["permutation_test"](ours, rivals(agents, seed, 10_000)) < 1e-3
    assert rivals(agents, seed, 40_000).mean() > ours.mean() - 250


@each_seed("seed", SEEDS)
def test_the_panels_collapsed_answers(agents, seed):
    def run(**settings):
        return list(agents["train"](agents=16, seed=seed, **settings))

    learned, sure, dice = run(), run(tau=0.0), run(tau=10.0)
    assert (learned[-1].recent_returns > -400).sum() >= 13
    assert dice[-1].recent_returns.max() < -800
    assert (sure[-1].recent_returns < -700).sum() >= 2 <= (sure[-1].recent_returns > -400).sum()
    assert (learned[4].estimate - learned[4].came).min() > 100
    for gamma in (0.5, 0.0):
        blind = run(gamma=gamma)[-1]
        assert blind.recent_returns.max() < -900
        assert (blind.estimate - blind.came).abs().max() < 2
    four = run(updates=4, steps=4000)
    assert four[-1].steps == 4000 == learned[9].steps
    assert four[-1].recent_returns.mean() > -200 and learned[9].recent_returns.mean() < -600
    assert abs((four[-1].estimate - four[-1].came).mean()) < 40
