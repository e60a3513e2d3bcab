"""Lesson 17: its predictions, and its claims about learning controllers with seeds it doesn't show.

A seed is a set of 32 runs.
"""

from functools import cache, partial

import pytest
import torch
from lesson_cells import Lesson, each_seed
from test_lesson_17 import CELLS

from helpers.stats import permutation_test, ranks

LESSON = Lesson(17)
SEEDS = [11, 12, 13]  # the lesson shows 2026
CHANGES = [("cart", 2.0), ("cart", 8.0), ("pole", 2.0), ("pole", 1.0)]


@cache
def parts():
    """The lesson's functions, without the runs that it shows."""
    return LESSON.run(*CELLS.split())


@cache
def run(seed, learner, plant, mass, explore, *, own=(), **settings):
    """own: the controller's own settings, such as its memory."""
    *_, o = parts()["race"](
        partial(parts()[learner], **dict(own)),
        plant,
        mass,
        explore,
        seed=seed,
        **settings,
    )
    return o


def cost(*task, **settings):
    return run(*task, **settings).costs[1000:].mean(0)


def lost(*task, **settings):
    return int(run(*task, **settings).lost.sum())


def cheaper(one, other):
    """In how many of the 32 runs on the same noise."""
    return int((one < other).sum())


@pytest.mark.parametrize(
    ("ask", "cells", "right"),
    [
        ("guess-spring", ["spring-came-out"], "it swings ever farther"),
        ("guess-gamma", ["gammas"], "lets it fall"),
        ("guess-corner", ["corner"], "its first step leaves the triangle"),
        ("guess-critic", ["critic-run"], "4 to 10"),
    ],
)
def test_the_exact_predictions(ask, cells, right):
    assert LESSON.came_out(ask, *cells, **parts()) == [right]


@each_seed("seed", SEEDS)
def test_the_predictions_about_the_change(seed):
    medians = [cost(seed, name, "cart", 2.0, 0.0).median() for name in ("fixed", "self_tuning")]
    assert 0.9 < medians[1] / medians[0] < 1.1
    assert lost(seed, "fixed", "pole", 2.0, 0.0) == 32


@each_seed("seed", SEEDS)
def test_the_cart_of_twice_the_mass_gives_nothing_to_gain(seed):
    for explore in (0.0, 0.5):
        fixed, tuned = (cost(seed, name, "cart", 2.0, explore) for name in ("fixed", "self_tuning"))
        assert abs(cheaper(tuned, fixed) - 16) < 9  # mostly not shown
        assert permutation_test(fixed.numpy(), tuned.numpy()) > 0.05
        assert 0.94 < tuned.median() / fixed.median() < 1.06
    for name in ("fixed", "self_tuning"):
        assert cheaper(cost(seed, name, "cart", 2.0, 0.5), cost(seed, name, "cart", 2.0, 0.0)) == 0
    critic, twin = (cost(seed, name, "cart", 2.0, 0.5) for name in ("actor_critic", "twin"))
    assert cheaper(critic, fixed) < 23
    for costs in (critic, twin):
        assert 0.92 < costs.median() / fixed.median() < 1.08


@each_seed("seed", SEEDS)
def test_where_nothing_changes_adapting_costs(seed):
    for explore, names in [(0.0, ["self_tuning"]), (0.5, ["self_tuning", "twin"])]:
        fixed = cost(seed, "fixed", "pole", 1.0, explore)
        for name in names:
            costs = cost(seed, name, "pole", 1.0, explore)
            assert cheaper(fixed, costs) >= 23
            assert 1 < costs.median() / fixed.median() < 1.04 and costs.isfinite().all()
    assert fixed.isfinite().all() and 1 <= lost(seed, "actor_critic", "pole", 1.0, 0.5) <= 9


@each_seed("seed", SEEDS)
def test_eight_times_the_mass_is_the_regulators(seed):
    rest, noisy = (
        [cost(seed, name, "cart", 8.0, explore) for name in ("fixed", "self_tuning")]
        for explore in (0.0, 0.5)
    )
    assert cheaper(rest[1], rest[0]) >= 22 and cheaper(noisy[1], noisy[0]) >= 28
    assert cheaper(cost(seed, "twin", "cart", 8.0, 0.5), noisy[0]) >= 25
    assert lost(seed, "twin", "cart", 8.0, 0.5) == 0
    assert permutation_test(*ranks(*(costs.numpy() for costs in noisy))) < 0.01
    assert lost(seed, "fixed", "cart", 8.0, 0.5) == 0
    assert 1 <= lost(seed, "actor_critic", "cart", 8.0, 0.5) <= 12
    assert cheaper(cost(seed, "actor_critic", "cart", 8.0, 0.5), noisy[0]) >= 13


@each_seed("seed", SEEDS)
def test_the_pole_of_twice_the_mass_is_held_by_a_model(seed):
    for explore in (0.0, 0.5):
        o = run(seed, "fixed", "pole", 2.0, explore)
        assert o.lost.all()
        assert lost(seed, "self_tuning", "pole", 2.0, explore) <= 2
    fell = o.costs.isfinite().sum(0) - 1000.0
    assert 110 < fell.median() < 190
    assert 16 < lost(seed, "actor_critic", "pole", 2.0, 0.5) < 28
    assert lost(seed, "twin", "pole", 2.0, 0.5) <= 3
    twin, tuned = (cost(seed, name, "pole", 2.0, 0.5) for name in ("twin", "self_tuning"))
    assert cheaper(tuned, twin) >= 28


@each_seed("seed", SEEDS)
def test_a_shorter_memory_does_not_save_the_critic(seed):
    short = lost(seed, "actor_critic", "pole", 2.0, 0.5, own=(("window", 300),))
    assert short >= lost(seed, "actor_critic", "pole", 2.0, 0.5)


@each_seed("seed", SEEDS)
def test_exploring_pays_for_the_pole_and_not_for_the_cart(seed):
    wins = {
        change: cheaper(*(cost(seed, "self_tuning", *change, explore) for explore in (0.5, 0.0)))
        for change in CHANGES
    }
    assert wins["cart", 2.0] == 0 and wins["pole", 1.0] <= 4 and wins["pole", 2.0] >= 26
    assert wins["cart", 2.0] < wins["cart", 8.0] < wins["pole", 2.0]


@each_seed("seed", SEEDS)
def test_the_more_it_explores_the_nearer_its_gain(seed):
    best = parts()["best"](0.99, B=parts()["B"] / 2)[1]
    off = [
        (run(seed, "self_tuning", "cart", 2.0, explore).K - best).abs().mean()
        for explore in (0.0, 0.5, 1.0)
    ]
    assert off[2] < off[1] < 0.85 * off[0]


@each_seed("seed", SEEDS)
def test_the_panels_folded_answers(seed):
    slow, quick = (lost(seed, "actor_critic", "cart", 8.0, 0.5, lr=lr) for lr in (0.1, 1.0))
    assert quick > slow + 3
    unit = parts()["best"](0.99)[1][0]
    short = run(seed, "actor_critic", "cart", 2.0, 0.5, gamma=0.9)
    k1, k2 = (short.K[:, 0].median(0).values / unit).tolist()
    assert 0.25 < k1 < 0.4 and 0.38 < k2 < 0.55
    late, usual = (
        o.costs[2000:].mean(0).median()
        for o in (short, run(seed, "actor_critic", "cart", 2.0, 0.5))
    )
    assert 1.5 < late / usual < 2.3
    assert lost(seed, "self_tuning", "pole", 6.0, 0.5) <= 1
    assert lost(seed, "self_tuning", "pole", 10.0, 0.5) >= 26


@each_seed("seed", SEEDS)
def test_who_forgets_too_fast_pays_where_nothing_changes(seed):
    fixed = cost(seed, "fixed", "cart", 1.0, 0.0)
    keeps, forgets = (
        run(seed, "self_tuning", "cart", 1.0, 0.0, own=(("forget", x),)) for x in (1.0, 0.98)
    )
    ratios = [o.costs[1000:].mean(0).median() / fixed.median() for o in (keeps, forgets)]
    assert 0.95 < ratios[0] < 1.05 and 1.18 < ratios[1] < 1.42
    doubt = [torch.linalg.eigvalsh(o.C)[:, -1].median() for o in (keeps, forgets)]
    assert doubt[0] < 0.1 and doubt[1] > 10 * doubt[0]
