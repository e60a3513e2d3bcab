"""What learners hand in for lesson 00: see test_checks.py."""

import math

import numpy as np
import torch


def expectation_loop(probabilities, values):
    total = 0.0
    for i in range(len(values)):
        total += probabilities[i].item() * values[i].item()
    return total


def expectation_talkative(p, v):
    print("weighted", p * v)
    return (p.requires_grad_() * v).sum()


def expectation_without_return(p, v):
    (p * v).sum()


def totals_loop(rewards):
    totals = [0.0] * rewards.shape[1]
    for row in rewards.tolist():
        for b, reward in enumerate(row):
            totals[b] += reward
    return totals


def slope_backward(f, x):
    x = torch.tensor(x, requires_grad=True)
    f(x).backward()
    return x.grad


def slope_in_a_vector(f, x):
    xs = torch.full([3], x, dtype=torch.float64, requires_grad=True)
    f(xs).sum().backward()
    return float(xs.grad.mean())


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


def slope_at_a_copy(f, x):
    x = torch.tensor(x, requires_grad=True)
    f(torch.tensor([x.item()], requires_grad=True)).backward()
    return x.grad


def slope_of_a_copy(f, x):
    x = torch.tensor(x, requires_grad=True)
    f(torch.tensor([x.item()])).backward()
    return x.grad


def slope_by_backward_itself(f, x):
    return f(torch.tensor(x, requires_grad=True)).backward()


def slope_without_requires_grad(f, x):
    x = torch.tensor(x)
    f(x).backward()
    return x.grad


def slope_without_backward(f, x):
    x = torch.tensor(x, requires_grad=True)
    f(x)
    return x.grad


def slope_tuple(f, x):
    x = torch.tensor(x, requires_grad=True)
    return torch.autograd.grad(f(x), x)


RIGHT = {
    "expectation": [
        torch.dot,
        lambda p, v: p @ v,
        lambda p, v: torch.einsum("i,i->", p, v),
        lambda p, v: np.dot(p.numpy(), v.numpy()),
        lambda p, v: np.float32(np.average(v, weights=p)),
        lambda p, v: math.fsum(a * b for a, b in zip(p.tolist(), v.tolist())),
        expectation_loop,
        expectation_talkative,
    ],
    "totals_per_environment": [
        lambda rewards: rewards.sum(0),
        lambda rewards: torch.ones(len(rewards)) @ rewards,
        lambda rewards: rewards.cumsum(0)[-1],
        lambda rewards: np.sum(rewards.numpy(), axis=0),
        lambda rewards: [column.sum() for column in rewards.T],
        lambda rewards: sum(rewards),
        totals_loop,
    ],
    "slope": [
        slope_backward,
        slope_in_a_vector,
        slope_at_one_number,
        slope_in_lists,
        lambda f, x: torch.func.grad(f)(torch.tensor(x)),
        lambda f, x: torch.autograd.functional.jacobian(f, torch.tensor(x)).item(),
    ],
}

# (attempt, words that the message must contain)
WRONG = {
    "expectation": [
        (lambda p, v: [a * b for a, b in zip(p, v)], "missing is their sum"),
        (lambda p, v: (p * v).sum(dim=0, keepdim=True), "shape [1]"),
        (lambda p, v: -(p @ v), "expected 3, but got -3"),
        (lambda p, v: (p * v)[:5].sum(), "expected"),
        (lambda p, v: round(float(p @ v), 3), "look for rounding"),
        (lambda p, v: (p @ v).clamp(-100, 100), "expected 350, but got 100"),
        (
            lambda p, v: p[0] * v[0] + p[1] * v[1] + p[2] * v[2],
            "so the last is the length minus 1.",
        ),
        (lambda p, v: max, "returned a function, not numbers"),
        (expectation_without_return, "returned None: end it with a return statement."),
    ],
    "totals_per_environment": [
        (lambda rewards: [float(row.sum()) for row in rewards], "time is axis 0"),
        (lambda rewards: rewards.sum(0)[:, None], "shape [3, 1]"),
        (
            lambda rewards: rewards.sum(int(len(rewards) <= rewards.shape[1])),
            "got numbers of shape",
        ),
        (lambda r: r.view(r.shape[1], -1).sum(1), "to swap axes, transpose"),
        (lambda rewards: rewards[0] + rewards[1], "For rewards"),
        (lambda rewards: rewards.sum_(0), "your function raised AttributeError"),
        (lambda rewards: rewards[:5].sum(0), "For rewards"),
        (lambda rewards: rewards.sum(int(rewards.shape[0] == rewards.shape[1])), "got [3, 12]"),
        (lambda rewards: rewards.sum(0).clamp(-100, 100), "expected [1200], but got [100]"),
        (lambda rewards: rewards.sum(0).round(decimals=1), "For rewards [[0.003, -0.001]"),
        (lambda rewards: rewards[:-1].sum(0), "expected [5, 7, 10], but got [1, 2, 3]"),
    ],
    "slope": [
        (slope_tuple, "entry [0]"),
        (lambda f, x: slope_backward(f, round(x, 2)), "You round x"),
        (slope_without_requires_grad, "requires_grad=True"),
        (slope_without_backward, "None until backward() has run"),
        (slope_by_backward_itself, "backward() has run, which itself returns None"),
        (slope_at_a_copy, "not of one that torch.tensor(), clone() or detach() copied"),
        (slope_of_a_copy, "not their copies by torch.tensor()"),
        (
            lambda f, x: torch.func.grad(torch.func.grad(f))(torch.tensor(x)),
            "expected 25, but got 26",
        ),
        (slope_fine_difference, "as finite differences are: let autograd"),
        (lambda f, x: (f(x) - f(x - 0.02)) / 0.02, "finite differences"),
        (lambda f, x: f(x).backward(), "Only a tensor has: make one"),
    ],
}
