"""The example lesson: its numbers by a second way, and what it says of training with other seeds."""

import math
from functools import partial

import pytest
from lesson_cells import EXAMPLE, Lesson, each_end

LESSON = Lesson(EXAMPLE)


def machines():
    return LESSON.run("imports", "machines")


def earned(theta):
    p = 1 / (1 + math.exp(-theta))
    return 0.3 + 0.5 * p


@each_end(theta=(-6.0, 6.0))
def test_the_panel_at_each_end(settings):
    names = LESSON.run("panel", **machines())
    (theta, J), (_, slope) = names["look"](**settings).value
    assert theta == settings["theta"] and J == pytest.approx(earned(theta))
    step = (earned(theta + 1e-4) - earned(theta - 1e-4)) / 2e-4
    assert slope == pytest.approx(step, abs=1e-6)


@pytest.mark.parametrize(
    ("ask", "cells", "right"),
    [
        ("guess-slope", ["slopes"], "at 0, undecided"),
        ("guess-more", ["two-steps"], "as it was"),
    ],
)
def test_what_comes_out_of_a_prediction(ask, cells, right):
    assert LESSON.came_out(ask, *cells, **machines()) == [right]


@pytest.mark.parametrize("seed", range(16))
def test_with_more_pay_luck_decides_and_a_baseline_mends_it(seed):
    names = LESSON.run("learner", **machines())
    learn = partial(names["pull_and_learn"], seed=seed)

    def prefer_the_right_one(**settings):
        *_, last = learn(**settings)
        return (last.value[1] > 0.5).sum().item()

    assert prefer_the_right_one() >= 98
    assert prefer_the_right_one(extra=10, baseline="mean so far") >= 98
    assert 40 < prefer_the_right_one(extra=10) < 75
    assert prefer_the_right_one(extra=10, baseline="mean so far", lr=1.0) < 98
    given = {**machines(), "pull_and_learn": learn}
    assert LESSON.came_out("guess-luck", "verdict", **given) == ["fewer than 75"]
