"""Lesson 05: each of its numbers by a second way that shares no code with the lesson's."""

import cmath
import functools
import math
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lesson_cells import Lesson, each_end, each_seed

from helpers import live, losses
from helpers.errors import SlipError

LESSON = Lesson(5)


@pytest.fixture(scope="module")
def bandit():
    cells = "guess-second", "bandit", "soft-optimal", "ascend", "gaps", "learn", "surrogate"
    return LESSON.run("imports", *cells)


@pytest.fixture(scope="module")
def street():
    cells = "street", "street-mdp", "habit", "soft-gradient", "stage", "climb", "local-gradient"
    return LESSON.run("imports", *cells)


# --- entropy -------------------------------------------------------------------------------------


def entropy(logits):
    """For complex logits too."""
    weights = [cmath.exp(x) for x in logits]
    return -sum(w / sum(weights) * cmath.log(w / sum(weights)) for w in weights)


@pytest.mark.parametrize("logits", [(0, 0), (0, 1, 3), (-4, 2, 0.5, 0.5), (0, 12)])
def test_the_entropys_gradient(logits):
    h = 1e-30  # complex steps: no autograd, no differences
    stepped = [[x + (i == j) * 1j * h for j, x in enumerate(logits)] for i in range(len(logits))]
    slope = [entropy(each).imag / h for each in stepped]
    p = torch.tensor(logits, dtype=torch.float64).softmax(0)
    H = entropy(logits).real
    assert losses.entropy(p.log()).item() == pytest.approx(H)
    assert np.allclose(slope, -p * (p.log() + H), atol=1e-12)
    assert abs(sum(slope)) < 1e-12


@each_end(first=(-8.0, 8.0), second=(-8.0, 8.0))
def test_the_triangle_at_every_end_of_its_sliders(settings):
    names = LESSON.run("imports", "triangle", "triangle-panel")
    p, second, H, way = names["choose"](**settings).value
    logits = [settings["first"], settings["second"], 0.0]
    weights = np.exp(logits)
    assert np.allclose(p, weights / weights.sum(), atol=1e-6)
    assert H.item() == pytest.approx(entropy(logits).real, abs=1e-5)
    (here,) = (names["places"] == second).nonzero()[:, 0]
    assert way[here].item() == pytest.approx(H.item(), abs=1e-5)


def test_the_surer_the_first_action_the_further_off_is_the_hill():
    names = LESSON.run("imports", "triangle", "triangle-panel")
    for first in (5.0, 6.0, 7.0):
        top = names["choose"](first, 0.0).value[3].argmax()
        assert names["places"][top].item() == pytest.approx(first, abs=0.2)


# --- the three restaurants -----------------------------------------------------------------------

R3 = np.array([1, 0.8, 0.2])


def regularised(policy, tau):
    return policy @ R3 + tau * sum(-p * math.log(p) for p in policy if p > 0)


def test_the_published_figures(bandit):
    assert np.allclose(bandit["soft"], [0.880537, 0.119168, 0.000295], atol=5e-7)
    assert bandit["best"].item() == pytest.approx(1.012722, abs=5e-7)
    surplus = R3 - 0.1 * np.log(bandit["soft"].numpy())  # Lagrange: equal for all actions
    assert np.allclose(surplus, 1.012722, atol=5e-7)


def ascent(tau, steps, rate=1.0):
    """Gradient ascent by the chain rule through the softmax, written as a matrix: policies."""
    theta, path = np.zeros(3), []
    for _ in range(steps + 1):
        p = np.exp(theta - theta.max())
        p /= p.sum()
        path.append(p)
        by_probability = R3 - tau * (np.log(p) + 1)
        theta = theta + rate * (np.diag(p) - np.outer(p, p)) @ by_probability
    return np.array(path)


def test_ascent_arrives_at_the_closed_form(bandit):
    for tau in (0.0, 0.1, 0.3):
        path = bandit["ascend"](tau, 300).exp()
        assert np.allclose(path, ascent(tau, 300), atol=1e-10)
    assert np.allclose(ascent(0.1, 20_000, rate=10)[-1], bandit["soft"], atol=5e-7)


def test_convergence_1_over_t_without_and_geometric_with(bandit):
    gap = 1 - ascent(0, 10_000) @ R3
    assert gap[10_000] * 10_000 == pytest.approx(gap[5000] * 5000, rel=0.01)
    assert gap[10_000] * 10_000 == pytest.approx(0.67, abs=0.005)
    best = 1 + 0.3 * math.log(np.exp((R3 - 1) / 0.3).sum())
    path = ascent(0.3, 1000)
    regularised_gap = best - np.array([regularised(p, 0.3) for p in path])
    assert abs(regularised_gap[1000]) < 1e-14
    ratios = regularised_gap[201:400] / regularised_gap[200:399]
    assert np.all(abs(ratios - 0.9628) < 2e-3)
    assert 1 - path[-1] @ R3 == pytest.approx(0.100, abs=5e-4)
    assert 1 - bandit["soft"].numpy() @ R3 == pytest.approx(0.0241, abs=5e-5)


def test_at_tau_a_tenth_it_looks_like_1_over_t_for_a_thousand_steps(bandit):
    gap = bandit["gaps"](0.1, 30_000)[1].numpy()
    steps = np.array([100, 300, 1000, 3000, 10_000, 30_000])
    slopes = np.diff(np.log(gap[steps])) / np.diff(np.log(steps))
    assert np.all(abs(slopes[:2] + 1) < 0.2)
    assert np.all(np.diff(slopes) < 0) and slopes[-1] < -2


# --- the bonus that does nothing -----------------------------------------------------------------


def test_sampled_surprise_is_no_bonus_and_as_a_reward_it_is(bandit):
    ends = {}
    for kind in ("no bonus", "sampled surprise", "entropy", "surprise as reward"):
        entropies, _ = bandit["learn"](kind, agents=64, seed=100 + len(ends))
        ends[kind] = entropies[-1]
    none, idle, bonus, reward = ends.values()
    assert abs(none.mean() - idle.mean()) < 4 * (none.var() / 64 + idle.var() / 64) ** 0.5
    assert abs(bonus.mean() - reward.mean()) < 0.02
    assert none.max() < 0.1 < 0.3 < min(bonus.min(), reward.min())
    assert reward.std() < bonus.std() / 2


# --- the street, walked once more ----------------------------------------------------------------


def walk(logits, gamma, tau=0.0):
    """V of corners 0 to 9 by sweeps; logits [8, 2]. Surprise is paid as it is drawn."""
    log_p = logits - np.logaddexp(logits[:, :1], logits[:, 1:])
    p, values = np.exp(log_p), np.zeros(10)
    arrive = np.zeros(10)
    arrive[0], arrive[9] = 0.3, 1.0
    for _ in range(3000):
        worth = arrive + gamma * values
        ahead = np.stack([worth[:8], worth[2:]], 1) - tau * log_p
        values[1:9] = (p * ahead).sum(1)
    return values


def test_the_street_as_it_is_drawn(street):
    names = LESSON.run("street-part", **street)
    part, stage = (
        names["Street"](names["walked"], xlabel="corner", yticks=[]),
        next(street["climb"]()),
    )
    picture = live.Picture(part)
    picture.add(stage)
    assert picture.png()
    right = 1 / (1 + math.e)
    rng, visits = random.Random(0), np.zeros(10)
    for _ in range(20_000):
        corner, worth = 2, 1.0
        while 0 < corner < 9:
            visits[corner] += worth
            corner, worth = corner + (1 if rng.random() < right else -1), 0.95 * worth
    sizes = part._dots.get_sizes()
    assert np.allclose(sizes / sizes.max(), visits[1:9] / visits.max(), atol=0.02)
    assert np.allclose(part._arrows.U, 2 * right - 1) and not part._arrows.V.any()


@pytest.mark.parametrize("gamma", [0.0, 0.7, 0.95])
def test_the_gradient_of_the_street(street, gamma):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1, (8, 2))
    table = torch.zeros(10, 2, dtype=torch.float64)
    table[1:9] = torch.tensor(logits)
    for tau in (0.0, 0.1):
        found = street["soft_gradient"](table, gamma, tau)[1:9].numpy()
        for s, a in [(0, 0), (1, 1), (4, 0), (7, 1)]:
            up, down = logits.copy(), logits.copy()
            up[s, a], down[s, a] = up[s, a] + 1e-5, down[s, a] - 1e-5
            slope = (walk(up, gamma, tau) - walk(down, gamma, tau))[2] / 2e-5
            assert found[s, a] == pytest.approx(slope, abs=1e-8)


@functools.cache
def climbed(tau=0.0, schedule="kept", gamma=0.95, lr=5.0, habit=1.0, steps=500):
    """The lesson's climb with one logit a corner and a tridiagonal system: J at each step."""
    theta, P, earned = np.full(8, -habit), np.zeros((8, 8)), []
    start = np.eye(8)[1]
    for step in range(steps + 1):
        right = 1 / (1 + np.exp(-theta))
        P[range(7), range(1, 8)], P[range(1, 8), range(7)] = right[:7], 1 - right[1:]
        pays = np.zeros(8)
        pays[0], pays[7] = 0.3 * (1 - right[0]), right[7]
        H = -right * np.log(right) - (1 - right) * np.log(1 - right)
        now = tau * (1 - step / steps) if schedule == "annealed" else tau
        plain, values = np.linalg.solve(
            np.eye(8) - gamma * P, np.stack([pays, pays + now * H], 1)
        ).T
        visits = np.linalg.solve(np.eye(8) - gamma * P.T, start)
        worth = np.array([0.3, *(gamma * values), 1])
        gap = worth[2:] - worth[:8] - now * theta  # the log-odds are the difference of surprises
        earned.append(plain[1])
        # a step in each of two opposite logits moves their difference twice
        theta = theta + 2 * lr * visits * right * (1 - right) * gap
    return np.array(earned)


@pytest.mark.parametrize(
    "settings",
    [{}, {"tau": 0.02}, {"tau": 0.1, "schedule": "annealed"}, {"habit": 0.5, "gamma": 0.8}],
    ids=str,
)
def test_the_lessons_climb_is_that_climb(street, settings):
    found = [stage.recent_returns.item() for stage in street["climb"](steps=150, **settings)]
    assert np.allclose(found, climbed(steps=150, **settings), atol=1e-8)


def test_stuck_without_a_bonus_and_out_with_one():
    assert climbed()[-1] == pytest.approx(0.285, abs=5e-4)
    assert climbed(tau=0.01)[-1] < 0.285
    assert climbed(tau=0.02)[-1] == pytest.approx(0.726, abs=1e-3)
    assert climbed(tau=0.02, schedule="annealed")[-1] > 0.732
    assert climbed(tau=0.1)[-1] == pytest.approx(0.05, abs=2e-3)
    assert climbed(tau=0.1, schedule="annealed")[-1] > 0.72
    for lr, steps in [(0.3, 4000), (1.0, 1000), (10.0, 500)]:
        assert climbed(lr=lr, steps=steps)[-1] < 0.285
        assert climbed(lr=lr, steps=steps, tau=0.02)[-1] > 0.72
        assert climbed(lr=lr, steps=steps, habit=0.0)[-1] > 0.73


@pytest.mark.hardening
def test_it_is_a_matter_of_the_habit():
    assert climbed(habit=0.5)[300] < 0.286 and climbed(habit=0.5)[500] > 0.72
    longer = climbed(habit=0.55, steps=4000)
    assert longer[3000] < 0.286 and 3550 < (longer > 0.5).argmax() < 3650 and longer[-1] > 0.73
    assert np.diff(longer).min() > 0  # a plateau: uphill all the way
    assert climbed(habit=0.6, steps=20_000)[-1] < 0.286
    assert climbed(habit=0.0, tau=0.02)[-1] < climbed(habit=0.0)[-1] - 0.005


def test_it_is_a_matter_of_the_discount(street):
    for habit in (0.0, 0.5, 1.0):
        assert climbed(habit=habit, gamma=1.0)[100] > 0.999
    assert climbed(gamma=0.995)[-1] > 0.96 and climbed(gamma=0.99)[-1] < 0.3
    assert climbed(gamma=0.7)[-1] == pytest.approx(0.21, abs=1e-3)
    left, right = street["exact"].action_values(
        street["street"], street["walker"].softmax(-1), 1.0
    )[2]
    assert right > left


@pytest.fixture(scope="module")
def kept(street):
    """The last stage of the lesson's climb, by the bonus that is kept."""
    return {tau: [*street["climb"](tau=tau)][-1] for tau in (0.02, 0.05, 0.1)}


def test_a_bonus_kept_ends_at_the_soft_optimal_policy(kept):
    arrive = np.zeros(10)
    arrive[0], arrive[9] = 0.3, 1.0
    for tau, last in kept.items():
        values = np.zeros(10)
        for _ in range(3000):  # soft value iteration: max becomes tau log sum exp
            worth = arrive + 0.95 * values
            values[1:9] = tau * np.logaddexp(worth[:8] / tau, worth[2:] / tau)
        q = np.stack([worth[:8], worth[2:]], 1) / tau
        assert walk(q, 0.95, tau)[2] == pytest.approx(values[2])
        reached = walk(last.policy[1:9].log().numpy(), 0.95, tau)[2]
        assert values[2] - 1e-3 < reached <= values[2] + 1e-9
        assert last.recent_returns.item() == pytest.approx(walk(q, 0.95)[2], abs=3e-3)


def test_too_much_wanders(kept):
    right = [0.5, *kept[0.1].policy[1:9, 1].tolist()]
    rng, total = random.Random(0), 0
    for _ in range(400):
        corner = 2
        while 0 < corner < 9:
            corner += 1 if rng.random() < right[corner] else -1
            total += 1
    assert total / 400 == pytest.approx(238, rel=0.2)
    assert 0.1 * math.log(2) * sum(0.95**t for t in range(2000)) == pytest.approx(1.386, abs=5e-4)


def test_the_a2c_kind_leads_out_too_and_arrives(street):
    for tau, bounds in [(0.02, {500: (0, 0.3), 1000: (0.7, 0.73)}), (0.1, {500: (0.5, 0.6)})]:
        logits = street["walker"]
        for step in range(1, max(bounds) + 1):
            logits = logits + 5 * street["local_gradient"](logits, tau)
            low, high = bounds.get(step, (-1, 1))
            assert step not in bounds or low < walk(logits[1:9].numpy(), 0.95)[2] < high


def test_the_discount_decides_which_restaurant_is_the_right_one(street):
    even = 0.3 ** (1 / 5)
    assert even == pytest.approx(0.786, abs=5e-4)
    best = street["exact"].optimal_values
    for gamma in (0.7, even - 0.01, even + 0.01, 0.95):
        left, right = 0.3 * gamma, gamma**6
        assert (right > left) == (gamma > even)
        assert best(street["street"], gamma)[2].item() == pytest.approx(max(left, right))


@each_end(gamma=(0.0, 0.95), lr=(0.1, 10.0), tau=(0.0, 0.2), schedule=("kept", "annealed"))
def test_every_end_of_the_sliders(street, settings):
    for stage in street["climb"](**settings, habit=1.0, steps=40):
        assert stage.recent_returns.isfinite().all() and stage.policy.isfinite().all()
    assert stage.fraction == 1 and "nan" not in stage.words()


def test_without_a_discount_a_bonus_never_ends_and_says_so(street):
    *_, last = street["climb"](gamma=1.0, steps=100)
    assert last.recent_returns.isfinite().all()
    with pytest.raises(SlipError, match="never ends"):
        list(street["climb"](gamma=1.0, tau=0.05))


# --- what comes out of the predictions -----------------------------------------------------------


def walks(**settings):
    """The lesson's climb, by this file's."""
    for earned in climbed(**settings):
        yield SimpleNamespace(recent_returns=torch.tensor([earned]))


def scores(shift):
    none = np.random.default_rng(0).normal(0, 30, 48)
    return {"scores": {0.0: none, 0.01: none + shift}}


def mapped(rate, value):
    """A map that is bright in one cell of the row of a coefficient of 1, and in the row below it."""
    returns = torch.zeros(10, 10, 1)
    returns[7], returns[8, rate] = 500, value
    return {"map_of_both": SimpleNamespace(wait=int, latest=SimpleNamespace(returns=returns))}


CLIMB, BANDIT = {"climb": walks}, ["bandit", "soft-optimal"]
VERDICT = ["permutation-test", "cartpole-verdict"]
MAP = ["cartpole-setup", "map-places", "map-revealed"]
REVEALED = [  # the question, what leads from it to the answer, what is given, and what comes out
    ("guess-corner", ["corner-thirds"], {}, "from 4 to 6"),
    ("guess-second", BANDIT, {}, "in 5 to 20 of 100 evenings"),
    ("guess-sampled", ["guess-second", *BANDIT, "does-nothing"], {}, "nothing at all"),
    ("guess-climb", ["without-bonus"], CLIMB, "at the little restaurant"),
    ("guess-large", ["with-bonus"], CLIMB, "less than without a bonus"),
    ("guess-cartpole", VERDICT, scores(-50), "worse than without"),
    ("guess-cartpole", VERDICT, scores(0.1), "no difference shown"),
    ("guess-cartpole", VERDICT, scores(50), "better than without"),
    ("guess-rescue", MAP, mapped(2, 119), "a small one"),
    ("guess-rescue", MAP, mapped(3, 119), "a middling one"),
    ("guess-rescue", MAP, mapped(7, 119), "a large one"),
    ("guess-rescue", MAP, mapped(7, 118), "none of the ten"),
]


@pytest.mark.parametrize(("ask", "cells", "given", "right"), REVEALED)
def test_what_comes_out_of_a_prediction(ask, cells, given, right):
    assert LESSON.came_out(ask, *cells, **LESSON.run("imports", **given)) == [right]


# --- CartPole: what the lesson says of it, with agents that it does not show ---------------------


def cartpole(lesson, seed, count=16, **settings):
    for item in lesson["train"](agents=count, seed=seed, **settings):
        pass
    scores = lesson["evaluate"](item.actor, "CartPole-v1", episodes=100, seed=1)
    return scores.mean(1).numpy(), item.entropy


@pytest.fixture(scope="module")
def agents():
    return LESSON.run("imports", "permutation-test", "cartpole-setup")


@pytest.mark.hardening
def test_a_small_coefficient_makes_no_difference_and_a_large_one_harms(agents):
    test, differences = agents["permutation_test"], []
    for seed in (1, 2, 3):
        none, small, large = (
            cartpole(agents, seed, 48, entropy_coef=coef)[0] for coef in (0.0, 0.01, 0.1)
        )
        assert test(none, small) > 0.05 / 3
        assert test(none, large) < 0.002 and large.mean() < none.mean() - 30
        differences.append(small.mean() - none.mean())
    assert min(differences) < 0  # with the lesson's seeds it came out above
    assert cartpole(agents, 1, entropy_coef=0.03)[0].mean() > 380
    assert cartpole(agents, 1, entropy_coef=0.3)[0].mean() < none.mean() / 2


@pytest.mark.hardening
def test_a_bonus_rescues_no_learning_rate(agents):
    without, bonus = (
        np.concatenate([cartpole(agents, s, 48, lr=0.3, entropy_coef=c)[0] for s in (1, 2)])
        for c in (0.0, 0.1)
    )
    without, bonus = (np.mean(scores >= 475) for scores in (without, bonus))
    assert 0 < bonus < without + 0.1 and without < 0.5


@pytest.mark.hardening
def test_with_gamma_0_a_bonus_keeps_tossing_coins(agents):
    _, drifting = cartpole(agents, 2026, gamma=0.0)
    _, held = cartpole(agents, 2026, gamma=0.0, entropy_coef=0.1)
    assert held.min() > 0.68 and drifting.mean() < 0.65


@each_seed("seed", [61, 62, 63, 64])
def test_what_the_map_shows(agents, seed):
    names = LESSON.run("map-places", **agents)
    coef, lr = np.meshgrid(names["COEFS"], names["RATES"], indexing="ij")
    *_, last = names["train_all"](list(coef.flat), list(lr.flat), seed)
    returns = last.recent_returns.view(10, 10)
    assert returns[8:].max() < 475 / 4 and returns[7].max() < 475 / 2
    assert returns[:, :2].max() < 475 / 4
    assert returns[:5, 7:].min() < 150 < 250 < returns[:5, 7:].max()
