"""Lesson 15: its claims about rats and neurons, with seeds that it does not show."""

from functools import cache

import numpy as np
import pytest
import torch
from lesson_cells import Lesson, each_seed
from test_lesson_15 import SIZES, expectile

LESSON = Lesson(15)
SEEDS = [11, 12, 13]  # the lesson shows 0


@cache
def cells():
    names = (
        "imports",
        "neuron",
        "compound",
        "settings",
        "run-episode",
        "maze",
        "rats",
        "thirds",
        "train",
    )
    return LESSON.run(*names, "neurons")


@cache
def walked(third, seed, agents=64):
    """Mean return of each rat over the last 100 walks, and over the first: [2, agents]."""
    returns = cells()["rats"](cells()["THIRDS"][third], agents=agents, seed=seed)
    return torch.stack([returns[-100:].mean(0), returns[:100].mean(0)]).numpy()


@each_seed("seed", SEEDS)
def test_with_the_td_error_all_rats_take_the_best_walk(seed):
    last, first = walked("TD error", seed)
    assert last.mean() > 4.9 and last.min() > 4.4 and first.mean() < 4.3


@each_seed("seed", SEEDS)
def test_with_the_reward_they_never_learn_where_to_turn_first(seed):
    last, _ = walked("reward", seed)
    assert last.mean() == pytest.approx(3.5, abs=0.1) and 2.7 < last.min() and last.max() < 4.3


@each_seed("seed", SEEDS)
def test_without_a_third_factor_they_drift_apart_and_their_mean_stays(seed):
    last, first = walked("none", seed)
    assert last.mean() == pytest.approx(1.75, abs=0.6) and last.std() > 2 * first.std()


@pytest.mark.hardening
def test_of_many_rats_without_it_the_mean_is_the_coins():
    last, _ = walked("none", 21, agents=2000)
    assert last.mean() == pytest.approx(1.75, abs=0.1)
    assert walked("reward", 21, agents=2000)[0].mean() == pytest.approx(3.5, abs=0.05)


@each_seed("seed", SEEDS)
def test_the_folded_answer_on_the_third_factor(seed):
    names = cells() | {"rats": lambda third: cells()["rats"](third, seed=seed)}
    assert LESSON.came_out("guess-third", "groups", **names) == ["TD error or reward"]


@each_seed("seed", SEEDS)
def test_neurons_learn_their_expectiles(seed):
    found = cells()["reversal_points"](seed=seed).numpy()
    exact = np.array([expectile(tau, SIZES) for tau in cells()["taus"].tolist()])
    assert found == pytest.approx(exact, abs=0.5) and abs(found - exact).mean() < 0.2


@each_seed("seed", SEEDS)
def test_juice_in_half_of_the_episodes(seed):
    """The panel's second question, over 16 draws."""
    settings = {"gamma": 1.0, "alpha": 0.1, "lam": 0.0, "chance": 0.5}
    ends = []
    for run in range(16):
        *_, last = cells()["train"](**settings, seed=100 * seed + run)
        now = last.value[1]
        ends.append([now[0, 5].item(), now[0, 15].item(), now[1, 15].item()])
    assert np.mean(ends, 0) == pytest.approx([0.5, 0.5, -0.5], abs=0.1)
    assert np.std(ends, 0)[1] > 0.03  # never at rest


@each_seed("seed", SEEDS)
def test_if_dips_show_less_the_mean_climbs_towards_an_uncertain_juice(seed):
    draws, w = np.random.default_rng(seed).random(1500) < 0.5, torch.full((10,), 0.5).double()
    shown = []
    for comes in draws:
        errors, w = cells()["run_episode"](w, cells()["light"], cells()["juice"] * bool(comes))
        shown.append(torch.where(errors < 0, errors / 6, errors))
    mean = torch.stack(shown).mean(0)
    assert 0 < mean[6] < mean[10] < mean[12] < mean[14] < mean[15]
