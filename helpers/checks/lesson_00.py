"""The checks of lesson 00: a warm-up and two refreshers."""

from dataclasses import dataclass

import torch

from helpers.checks.core import Check, numbers


def _expectation(probabilities, values):
    return (probabilities * values).sum()


def _draw_expectation(rng):
    n = rng.integers(1, 7)
    probabilities = rng.multinomial(20, [1 / n] * n) / 20  # in steps of 0.05: easy to read
    return {
        "probabilities": torch.tensor(probabilities, dtype=torch.float32),
        "values": numbers(rng, n),
    }


expectation = Check(
    "0.1",
    solution=_expectation,
    example={
        "probabilities": torch.tensor([0.5, 0.25, 0.25]),
        "values": torch.tensor([2.0, 0.0, 8.0]),
    },
    draw=_draw_expectation,
    mistakes=[
        (
            lambda p, v: v.mean(),
            "That is the plain mean: a likely value should count for more than a rare one.",
        ),
        (
            lambda p, v: v.sum(),
            "That is the plain sum: each value should be weighted by its probability.",
        ),
        (lambda p, v: p * v, "These are the weighted values: what is missing is their sum."),
        (
            lambda p, v: (p * v).mean(),
            "The weighted sum is divided by the number of values: the probabilities already add "
            "up to 1, so nothing is left to divide by.",
        ),
        (
            lambda p, v: v[p.argmax()],
            "That is the most likely value: the expectation counts the others too.",
        ),
    ],
)


def _totals_per_environment(rewards):
    return rewards.sum(dim=0)


totals_per_environment = Check(
    "0.2",
    solution=_totals_per_environment,
    example={"rewards": torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 7.0]])},
    draw=lambda rng: {"rewards": numbers(rng, *rng.integers(1, 6, size=2))},
    mistakes=[
        (
            lambda rewards: rewards.sum(dim=1),
            "That is the sum over the environments of each step: time is axis 0, add along it.",
        ),
        (
            lambda rewards: rewards.sum(),
            "That is the total over everything: keep one number for each environment.",
        ),
        (
            lambda rewards: rewards.mean(dim=0),
            "That is the mean over time: the total is not divided by the number of steps.",
        ),
        (lambda rewards: rewards[-1], "That is the last step alone: add up all rows."),
        (
            lambda rewards: rewards.sum(dim=0, keepdim=True),
            "The numbers are right, but the axis of time is still there: leave out keepdim.",
        ),
        (
            lambda rewards: rewards.cumsum(dim=0),
            "That is the running total after each step: only its last row is asked for.",
        ),
    ],
)


@dataclass
class _Cubic:
    """A function whose formula can be shown in a message."""

    a: float
    b: float
    c: float

    def __call__(self, x):
        return self.a * x**3 + self.b * x**2 + self.c * x

    def __repr__(self):
        return f"{self.a:g}x³ + {self.b:g}x² + {self.c:g}x".replace("+ -", "- ")


def _slope(f, x):
    x = torch.tensor(x, requires_grad=True)
    return torch.autograd.grad(f(x), x)[0]


def _draw_slope(rng):
    a, b, c = numbers(rng, 3, low=1, high=3).double().round(decimals=1).tolist()
    x = round(rng.uniform(0.5, 2), 1)
    up, side = rng.choice([-1, 1], 2).tolist()
    # b x has the sign of a and c: no two terms of the slope cancel, so relative errors stay small.
    return {"f": _Cubic(up * a, up * side * b, up * c), "x": side * x}


slope = Check(
    "0.3",
    solution=_slope,
    example={"f": _Cubic(2.0, 1.0, -3.0), "x": 2.0},
    draw=_draw_slope,
    mistakes=[
        (lambda f, x: f(x), "That is f(x) itself: the slope is its derivative."),
        (
            lambda f, x: -_slope(f, x),
            "The sign is the wrong way round: where f rises, the slope is positive.",
        ),
        (
            lambda f, x: [_slope(f, x)],
            "torch.autograd.grad returns a tuple, one entry for each input: take entry [0].",
        ),
        (
            lambda f, x: 2 * _slope(f, x),
            "That is twice the slope: each backward() adds to .grad, so call it once.",
        ),
    ],
    near="That is close but not equal, as finite differences are: let autograd differentiate f.",
)
