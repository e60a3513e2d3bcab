"""The check of the example lesson's exercise. A real lesson's stand in helpers/checks/lesson_NN.py."""

import torch

from helpers.checks.core import Check, numbers
from helpers.checks.slips import Formula

_slope = Formula(
    "p pulls rewards",
    score=lambda c: c.pulls - c.p,
    each=lambda c: c.score * c.rewards,
    answer=lambda c: c.each.mean(),
)


def _draw(rng):
    pulls = torch.tensor(rng.integers(2, size=rng.integers(1, 9)), dtype=torch.float32)
    return {
        "p": round(rng.uniform(0.1, 0.9), 2),
        "pulls": pulls,
        "rewards": numbers(rng, len(pulls)),
    }


slope_from_pulls = Check(
    "99.1",
    solution=_slope,
    example=_slope.case(0.25, [1.0, 1.0, 0.0, 1.0], [3.0, 0.0, 1.0, 1.0]),
    draw=_draw,
    edges=[
        _slope.case(0.5, [0.0], [1.0]),
        _slope.case(0.01, [1.0, 0.0, 0.0], [100.0, -300.0, 0.5]),
    ],
    mistakes=[
        (
            _slope.but(score=lambda c: c.pulls),
            "You leave out p: the score of a pull is 1 - p, or -p, and not 1 or 0.",
        ),
        (
            _slope.but(score=lambda c: c.pulls * (1 - c.p)),
            "A pull of the left machine has a score too: -p.",
        ),
        (
            _slope.but(score=lambda c: c.p - c.pulls),
            "The sign is the wrong way round: this is the slope of what is earned, not of a loss.",
        ),
        (
            _slope.but(answer=lambda c: c.each.sum()),
            "That is the sum: divide it by the number of pulls.",
        ),
        (
            _slope.but(answer=lambda c: c.score.mean() * c.rewards.mean()),
            "These are two means, multiplied: multiply pull by pull, then take the mean.",
        ),
    ],
)
