"""Lesson 18, its ground: statistics of comparison by brute force and by rliable, shaping, delay."""

import importlib
import itertools
import math

import numpy as np
import pytest
import torch
from lesson_cells import Lesson
from scipy import stats

from helpers import checks, exact
from helpers.envs.gridworld import grid
from helpers.errors import SlipError
from helpers.stats import interquartile_mean, permutation_test

LESSON = Lesson(18)


def scores(seed=0, runs=7, tasks=3):
    """With ties, and tasks of different levels."""
    rng = np.random.default_rng(seed)
    return np.round(rng.random((runs, tasks)) + np.arange(tasks) / 3, 1)


def function(cell, name, **given):
    """A function of a cell whose other lines need a training run: its definition alone."""
    source = LESSON.cell(cell).source
    begin = source.index(f"def {name}(")
    lines = source[begin:].splitlines()
    end = next((k for k, x in enumerate(lines) if k and x and not x.startswith(" ")), len(lines))
    exec("\n".join(lines[:end]), given)
    return given[name]


AGGREGATES = {
    "mean": np.mean,
    "median": lambda x: np.median(x.mean(0)),
    "IQM": interquartile_mean,
}
wins = function("improved", "wins")
normalised = function("normalised", "normalised", np=np, SlipError=SlipError)
interval = LESSON.run("imports", "stratified")["stratified_interval"]


def rliable(part):
    """A module of the package; without it, or with a pandas that its own needs do not know, skip."""
    try:
        return importlib.import_module(f"rliable.{part}")
    except (ImportError, TypeError) as error:
        pytest.skip(f"rliable does not load ({error}): pip install rliable 'pandas<3'")


# --- statistics, a second way ---------------------------------------------------------------------


def test_the_aggregates_are_rliables():
    metrics = rliable("metrics")
    for seed in range(20):
        x, y = scores(seed, 4 + seed % 5), scores(100 + seed, 6)
        assert AGGREGATES["mean"](x) == pytest.approx(metrics.aggregate_mean(x))
        assert AGGREGATES["median"](x) == pytest.approx(metrics.aggregate_median(x))
        assert AGGREGATES["IQM"](x) == pytest.approx(metrics.aggregate_iqm(x))
        below = x - x.max() + 1  # no score above 1: the optimality gap says what the mean says
        assert 1 - below.mean() == pytest.approx(metrics.aggregate_optimality_gap(below))
        assert wins(x, y).mean() == pytest.approx(metrics.probability_of_improvement(x, y))


def test_the_interval_and_the_profile_are_rliables():
    library = rliable("library")
    x = np.random.default_rng(0).normal(size=(16, 4)) + np.arange(4)
    _, theirs = library.get_interval_estimates(
        {"x": x}, lambda s: np.array([interquartile_mean(s)]), reps=4000
    )
    low, high = interval(x, interquartile_mean, draws=4000)
    width = high - low
    assert np.abs(theirs["x"][:, 0] - (low, high)).max() < 0.08 * width
    taus = np.linspace(-1, 4, 11)
    theirs, _ = library.create_performance_profile({"x": x}, taus, reps=10)
    assert theirs["x"] == pytest.approx((x[..., None] > taus).mean((0, 1)))


def test_the_lessons_aggregates_are_these():
    source = LESSON.cell("aggregates").source
    assert "np.median(scores.mean(0))" in source and '"mean": np.mean' in source


def test_the_interquartile_mean_and_the_exercise_by_brute_force():
    for seed in range(10):
        x = scores(seed, 3 + seed % 4, 3)
        left = sorted(x.ravel().tolist())
        for _ in range(x.size // 4):
            left.remove(min(left))
            left.remove(max(left))
        brute = math.fsum(left) / len(left)
        assert interquartile_mean(x) == pytest.approx(brute)
        assert stats.trim_mean(x, 0.25, axis=None) == pytest.approx(brute)
        assert checks.middle_half.solution(x) == pytest.approx(brute)


def test_improvement_is_u_over_nm_and_the_other_way_round_makes_one():
    x, y = scores(0), scores(1, 5)
    u = [stats.mannwhitneyu(x[:, t], y[:, t], method="asymptotic").statistic / 35 for t in range(3)]
    assert wins(x, y) == pytest.approx(np.array(u))
    assert wins(x, y) + wins(y, x) == pytest.approx(np.ones(3))
    assert checks.improvement.solution(x, y) == pytest.approx(np.mean(u))
    assert wins(np.zeros((4, 2)), np.zeros((3, 2))).tolist() == [0.5, 0.5]


def test_the_stratified_interval_against_scipys_bootstrap():
    """SciPy redraws each of several samples by itself."""
    x = np.random.default_rng(3).normal(size=(16, 3)) * [1, 2, 0.5] + [0, 5, 10]
    theirs = stats.bootstrap(
        tuple(x.T),
        lambda a, b, c, axis: (a.mean(axis) + b.mean(axis) + c.mean(axis)) / 3,
        method="percentile",
        n_resamples=6000,
        rng=np.random.default_rng(0),
    ).confidence_interval
    low, high = interval(x, np.mean, draws=6000)
    assert abs(low - theirs.low) + abs(high - theirs.high) < 0.1 * (high - low)
    pooled = checks.repaired_iqms.mistakes[0][0](x, np.random.default_rng(0).random((500, 16, 3)))
    right = checks.repaired_iqms.solution(x, np.random.default_rng(0).random((500, 16, 3)))
    assert np.ptp(np.quantile(pooled, [0.025, 0.975])) > 2 * np.ptp(
        np.quantile(right, [0.025, 0.975])
    )


def test_the_interval_of_few_runs_is_too_narrow():
    """How often the percentile interval of a mean holds it, of normal runs on three tasks."""
    rng, held = np.random.default_rng(0), {}
    for runs in (3, 16):
        ends = [interval(rng.normal(size=(runs, 3)), np.mean, draws=100) for _ in range(300)]
        held[runs] = np.mean([low < 0 < high for low, high in ends])
    assert held[3] < 0.88 and 0.86 < held[16] < 0.96


@pytest.mark.parametrize(
    ("task", "says"),
    [
        (lambda: interval(np.arange(5.0), np.mean), "two runs at least"),
        (lambda: interval(np.ones((1, 4)), np.mean), "two runs at least"),
        (lambda: interval(np.ones((4, 2)), np.mean, draws=0), "draws must be a whole number"),
        (lambda: normalised(np.ones((4, 2)), [0, 1], [1, 1]), "must lie above"),
    ],
)
def test_what_makes_no_sense_is_refused(task, says):
    with pytest.raises(SlipError, match=says):
        task()


# --- how many runs --------------------------------------------------------------------------------


def test_three_runs_of_each_never_show_anything():
    for order in itertools.combinations(range(6), 3):
        a = np.array(order, float)
        b = np.array(sorted({*range(6)} - {*order}), float)
        assert permutation_test(a, b) >= 2 / 20 - 1e-12
    assert permutation_test([5, 6, 7, 8], [1, 2, 3, 4]) == pytest.approx(2 / 70)


def test_the_rule_of_thumb_is_80_percent():
    """A t-test's power, by the noncentral t, at n = 16 / d^2."""
    for d in (0.4, 0.6, 0.8):
        n = 16 / d**2
        free, shift = 2 * n - 2, d * math.sqrt(n / 2)
        edge = stats.t.ppf(0.975, free)
        power = 1 - stats.nct.cdf(edge, free, shift) + stats.nct.cdf(-edge, free, shift)
        assert power == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("k", [1, 2, 8, 20, 32])
def test_the_best_of_k_equals_beats_its_equal_in_k_of_k_plus_1(k):
    x = np.random.default_rng(k).normal(size=(40_000, k + 1))
    assert (x[:, :k].max(1) > x[:, k]).mean() == pytest.approx(k / (k + 1), abs=0.01)


# --- open problems, exactly -----------------------------------------------------------------------

CAR = LESSON.run("imports", "at-the-flag", "car")


def test_200_000_random_cars_never_reach_the_flag_and_the_rule_always_does():
    farthest, steps = CAR["drives"](CAR["by_chance"], 200_000, seed=5)
    assert (steps == 201).all() and -0.1 < farthest.max() < 0.2
    _, steps = CAR["drives"](CAR["along"], 20_000, seed=6)
    assert steps.max() < 150 and steps.mean() == pytest.approx(119.4, abs=0.2)


def height(x):
    return CAR["energy"](np.array([x, 0.0]))


def test_the_cars_energy_is_what_rolling_keeps():
    """Without a push, and in small steps of time, it stays; at the flag at rest it is 1."""
    assert height(0.5) == pytest.approx(1)
    assert height(-math.pi / 6) == pytest.approx(0)
    slopes = {x: (height(x + 1e-5) - height(x - 1e-5)) / 2e-5 for x in (-1.0, -0.4, 0.3)}
    by_speed = CAR["energy"](np.array([0.0, 1.0])) - height(0.0)
    for x, slope in slopes.items():  # v' = -0.0025 cos 3x is minus the slope of the height
        assert slope / (2 * by_speed) == pytest.approx(0.0025 * math.cos(3 * x), abs=1e-8)


def test_the_cars_bonus_is_the_difference_of_potentials_and_0_at_the_flag():
    plain, paid = CAR["Car"](), CAR["Car"](bonus=60.0, gamma=0.9)
    states = np.array([[-0.5, 0.02], [0.48, 0.05]])
    push, rng = np.array([2, 2]), np.random.default_rng(0)
    after, rewards, there = plain.transition(states, push, rng)
    assert there.tolist() == [False, True]
    kept = 0.9 * CAR["energy"](after) * ~there
    extra = paid.transition(states, push, rng)[1] - rewards
    assert extra == pytest.approx(60 * (kept - CAR["energy"](states)))


def test_the_gridworlds_reference_is_its_best_policys_return():
    assert exact.optimal_values(grid(5), 1.0)[0].item() == pytest.approx(0.93)
    assert LESSON.run("imports", "tasks")["TASKS"]["gridworld"].reference == 0.93


def test_a_potential_shifts_every_policys_values():
    mdp, generator = grid(4), torch.Generator().manual_seed(0)
    policy = torch.rand(16, 4, generator=generator, dtype=torch.float64).softmax(-1)
    potential = torch.randn(16, generator=generator, dtype=torch.float64) * ~mdp.terminal
    paid = mdp._replace(rewards=mdp.rewards + 0.9 * potential - potential[:, None, None])
    before, after = (exact.state_values(each, policy, 0.9) for each in (mdp, paid))
    torch.testing.assert_close(after, before - potential)


def test_to_and_fro_is_worth_more_than_the_goal():
    """At 0.1 a step nearer, every second step: against the goal 8 steps away, at gamma 0.99."""
    nearer, cost, gamma = 0.1, -0.01, 0.99
    to_and_fro = (nearer + cost + gamma * cost) / (1 - gamma**2)
    straight = sum(gamma**t * (nearer + (cost if t < 7 else 1)) for t in range(8))
    assert to_and_fro > 3 > straight


@pytest.mark.parametrize("n", [10, 1000])
def test_the_episodes_that_a_delay_costs(n):
    """The two first moments of g by quadrature over the noise."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    weights = weights / weights.sum()
    g = np.array([[(a - 0.5) * (a + math.sqrt(n) * e) for e in nodes] for a in (0, 1)])
    mean = (g @ weights).mean()
    variance = (g**2 @ weights).mean() - mean**2
    assert mean == pytest.approx(1 / 4)
    assert 4 * variance / mean**2 == pytest.approx(16 * n + 4)
    assert 0.99**1000 == pytest.approx(0.00004, abs=5e-6)


@pytest.mark.parametrize(
    ("ask", "cells", "right"),
    [
        ("guess-three", ["three"], "above 0.05"),
        ("guess-naive", ["shaping", "naive"], "never arrives"),
        ("guess-delay", ["delay"], "about 100"),
    ],
)
def test_what_comes_out_of_an_exact_prediction(ask, cells, right):
    assert LESSON.came_out(ask, *cells, **LESSON.run("imports")) == [right]
