"""What learners hand in for lesson 00: see test_checks.py."""

import math

import numpy as np
import torch


def by_autograd(f, x):
    return torch.func.grad(f)(torch.tensor(x))


def slope_at_one_number(f, x):
    x = torch.tensor([x], requires_grad=True)
    f(x).backward()
    return x.grad


def slope_in_lists(f, x):
    x = torch.tensor(x, requires_grad=True)
    f([x]).backward()
    return [x.grad]


def slope_fine_difference(f, x):
    x = torch.tensor(x, dtype=torch.float64)
    return (f(x + 1e-6) - f(x - 1e-6)) / 2e-6


def slope_without_backward(f, x):
    x = torch.tensor(x, requires_grad=True)
    f(x)
    return x.grad


RIGHT = {
    "expectation": [
        torch.dot,
        lambda p, v: (p.requires_grad_() * v).sum(),
        lambda p, v: np.float32(np.average(v, weights=p)),
        lambda p, v: math.fsum(a * b for a, b in zip(p.tolist(), v.tolist())),
    ],
    "totals_per_environment": [
        lambda rewards: torch.ones(len(rewards)) @ rewards,
        lambda rewards: [column.sum() for column in rewards.T],
        lambda rewards: rewards.cumsum(0)[-1],
    ],
    "slope": [slope_at_one_number, slope_in_lists, by_autograd],
}

# (attempt, words that the message must contain)
WRONG = {
    "expectation": [
        (lambda p, v: (p * v)[:5].sum(), "expected"),
        (lambda p, v: round(float(p @ v), 3), "look for rounding"),
        (lambda p, v: (p @ v).clamp(-100, 100), "expected 350, but got 100"),
        (lambda p, v: max, "returned a function, not numbers"),
        (lambda p, v: None, "returned None: end it with a return statement."),
    ],
    "totals_per_environment": [
        (lambda rewards: rewards[0] + rewards[1], "For rewards"),
        (lambda rewards: rewards[:5].sum(0), "For rewards"),
        (lambda rewards: rewards.sum(int(rewards.shape[0] == rewards.shape[1])), "got [3, 12]"),
        (lambda rewards: rewards.sum(0).clamp(-100, 100), "expected [1200], but got [100]"),
        (lambda rewards: rewards.sum(0).round(decimals=1), "For rewards [[0.003, -0.001]"),
    ],
    "slope": [
        (lambda f, x: by_autograd(f, round(x, 2)), "You round x"),
        (slope_without_backward, "None until backward() has run"),
        (slope_fine_difference, "as finite differences are: let autograd"),
    ],
}
