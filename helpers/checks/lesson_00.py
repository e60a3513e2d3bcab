"""The checks of lesson 00: a warm-up and two refreshers."""

from dataclasses import dataclass

import torch

from helpers.checks.core import Check, numbers
from helpers.checks.slips import pairs


def _draw_expectation(rng):
    n = rng.integers(1, 13)
    probabilities = rng.multinomial(20, [1 / n] * n) / 20  # in steps of 0.05: easy to read
    return _expected(probabilities, numbers(rng, n))


def _expected(probabilities, values):
    return {
        "probabilities": torch.tensor(probabilities, dtype=torch.float32),
        "values": torch.as_tensor(values),
    }


expectation = Check(
    "0.1",
    solution=lambda p, v: (p * v).sum(),
    example=_expected([0.5, 0.25, 0.25], [2.0, 0.0, 8.0]),
    draw=_draw_expectation,
    edges=[
        _expected([0.25, 0.75], [0.003, 0.0031]),
        _expected([0.5, 0.5], [1000.0, -300.0]),
        _expected([1.0], [-2.0]),
    ],
    mistakes=pairs(
        lambda p, v: v.mean(),
        "That is the plain mean: a likely value counts for more.",
        lambda p, v: v.sum(),
        "That is the plain sum: weight each value by its probability.",
        lambda p, v: p * v,
        "These are the weighted values: what is missing is their sum.",
        lambda p, v: (p * v).mean(),
        "You divide by the number of values: the probabilities already add up to 1.",
        lambda p, v: v[p.argmax()],
        "That is the most likely value: the expectation counts the others too.",
    ),
)


totals_per_environment = Check(
    "0.2",
    solution=lambda rewards: rewards.sum(dim=0),
    example={"rewards": torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 7.0]])},
    draw=lambda rng: {"rewards": numbers(rng, *rng.integers(1, 11, size=2))},
    edges=[
        {"rewards": torch.tensor([[1.0, 2.0], [4.0, 8.0]])},
        {"rewards": torch.tensor([[0.003, -0.001], [0.0015, -0.004]])},
        {"rewards": torch.tensor([[900.0], [-200.0], [500.0]])},
    ],
    mistakes=pairs(
        lambda rewards: rewards.sum(dim=1),
        "That is the sum over the environments of each step: time is axis 0, add along it.",
        lambda rewards: rewards.sum(),
        "That is the total over everything: keep one number for each environment.",
        lambda rewards: rewards.mean(dim=0),
        "That is the mean over time: the total is not divided by the number of steps.",
        lambda rewards: rewards[-1],
        "That is the last step alone: add up all rows.",
        lambda rewards: rewards.sum(dim=0, keepdim=True),
        "The numbers are right, but the axis of time is still there: leave out keepdim.",
        lambda rewards: rewards.cumsum(dim=0),
        "That is the running total after each step: only its last row is asked for.",
        lambda rewards: rewards.reshape(rewards.shape[::-1]).sum(dim=1),
        "reshape() and view() deal the numbers out anew: to swap axes, transpose.",
    ),
)


@dataclass
class _Cubic:
    """A function whose formula can be shown in a message."""

    a: float
    b: float
    c: float

    def __call__(self, x):
        x = x[0] if isinstance(x, list) else x
        return self.a * x**3 + self.b * x**2 + self.c * x

    def __repr__(self):
        return f"{self.a:g}x³ + {self.b:g}x² + {self.c:g}x".replace("+ -", "- ")


class _Ripple:
    """Its slope at 0 is 1.02; finite differences step over the ripples and find 1."""

    def __call__(self, x):
        x = torch.as_tensor(x[0] if isinstance(x, list) else x)
        return x + torch.sin(1e12 * x) / 5e13

    def __repr__(self):
        return "x + sin(10¹²x) / (5·10¹³)"


def _one_number(answer):
    """A tensor's only number, also out of a list: f may be handed a tensor of shape [1]."""
    answer = answer[0] if isinstance(answer, list) and len(answer) == 1 else answer
    one = isinstance(answer, torch.Tensor) and answer.numel() == 1
    return answer.reshape(()) if one else answer


def _slope(f, x):
    x = torch.tensor(x, requires_grad=True)
    return torch.autograd.grad(f(x), x)[0]


def _draw_slope(rng):
    a, b, c = numbers(rng, 3, low=1, high=3).double().round(decimals=1).tolist()
    x = round(rng.uniform(0.5, 2), 1)
    up, side = rng.choice([-1, 1], 2).tolist()
    # b x has the sign of a and c: no two terms of the slope cancel, so relative errors stay small.
    return {"f": _Cubic(up * a, up * side * b, up * c), "x": side * x}


_CUBIC = _Cubic(2.0, 1.0, -3.0)

slope = Check(
    "0.3",
    solution=_slope,
    example={"f": _CUBIC, "x": 2.0},
    draw=_draw_slope,
    edges=[{"f": _CUBIC, "x": -10.0}, {"f": _CUBIC, "x": 1.23456}, {"f": _Ripple(), "x": 0.0}],
    read=_one_number,
    mistakes=pairs(
        lambda f, x: f(x),
        "That is f(x) itself: the slope is its derivative.",
        lambda f, x: -_slope(f, x),
        "The sign is the wrong way round.",
        lambda f, x: (_slope(f, x),),
        "torch.autograd.grad returns a tuple, one entry for each input: take entry [0].",
        lambda f, x: 2 * _slope(f, x),
        "That is twice the slope: each backward() adds to .grad, so call it once.",
        lambda f, x: _slope(f, round(x, 2)),
        "You round x, and f is steeper or flatter there: take x as it is given.",
    ),
    near="That is close but not equal, as finite differences are: let autograd differentiate f.",
)
