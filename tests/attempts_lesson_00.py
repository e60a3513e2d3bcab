"""What learners hand in for lesson 00: see test_checks.py."""

import math

import numpy as np
import torch


def expectation_loop(probabilities, values):
    total = 0.0
    for i in range(len(values)):
        total += probabilities[i].item() * values[i].item()
    return total


def expectation_recursion(probabilities, values):
    if len(values) == 0:
        return torch.tensor(0.0)
    return probabilities[0] * values[0] + expectation_recursion(probabilities[1:], values[1:])


def expectation_talkative(p, v):
    print("weighted", p * v)
    return (p.requires_grad_() * v).sum()


def expectation_skips_the_first(p, v):
    return (p[1:] * v[1:]).sum()


def expectation_skips_the_last(p, v):
    return sum(p[i] * v[i] for i in range(len(v) - 1))


def expectation_for_three(p, v):
    return p[0] * v[0] + p[1] * v[1] + p[2] * v[2] if len(p) == 3 else v[0]


def totals_loop(rewards):
    totals = [0.0] * rewards.shape[1]
    for row in rewards.tolist():
        for b, reward in enumerate(row):
            totals[b] += reward
    return totals


def totals_recursion(rewards):
    return rewards[0] if len(rewards) == 1 else rewards[0] + totals_recursion(rewards[1:])


def totals_miss_the_last_step(rewards):
    return rewards[:-1].sum(dim=0)


def totals_in_place(rewards):
    for t in range(1, len(rewards)):
        rewards[0] += rewards[t]
    return rewards[0]


def slope_backward(f, x):
    x = torch.tensor(x, requires_grad=True)
    f(x).backward()
    return x.grad


def slope_in_a_vector(f, x):
    xs = torch.full([3], x, dtype=torch.float64, requires_grad=True)
    f(xs).sum().backward()
    return float(xs.grad.mean())


def slope_fine_difference(f, x):  # in double precision: right to more digits than are asked for
    h = 1e-5
    return (f(x + h) - f(x - h)) / (2 * h)


def slope_without_requires_grad(f, x):
    x = torch.tensor(x)
    f(x).backward()
    return x.grad


def slope_without_backward(f, x):
    x = torch.tensor(x, requires_grad=True)
    f(x)
    return x.grad


def slope_twice(f, x):
    x = torch.tensor(x, requires_grad=True)
    f(x).backward()
    f(x).backward()
    return x.grad


def slope_tuple(f, x):
    x = torch.tensor(x, requires_grad=True)
    return torch.autograd.grad(f(x), x)


def slope_second(f, x):
    return torch.func.grad(torch.func.grad(f))(torch.tensor(x))


RIGHT = {
    "expectation": [
        torch.dot,
        lambda p, v: p @ v,
        lambda p, v: torch.einsum("i,i->", p, v),
        lambda p, v: np.dot(p.numpy(), v.numpy()),
        lambda p, v: np.float32(np.average(v, weights=p)),
        lambda p, v: math.fsum(a * b for a, b in zip(p.tolist(), v.tolist())),
        expectation_loop,
        expectation_recursion,
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
        totals_recursion,
    ],
    "slope": [
        slope_backward,
        slope_in_a_vector,
        slope_fine_difference,
        lambda f, x: torch.func.grad(f)(torch.tensor(x)),
        lambda f, x: torch.autograd.functional.jacobian(f, torch.tensor(x)).item(),
    ],
}

# (attempt, words that the message must contain)
WRONG = {
    "expectation": [
        (lambda p, v: v.mean(), "plain mean"),
        (lambda p, v: np.mean(v.numpy()), "plain mean"),
        (lambda p, v: sum(v.tolist()), "plain sum"),
        (lambda p, v: [a * b for a, b in zip(p, v)], "missing is their sum"),
        (lambda p, v: p @ v / len(p), "add up to 1"),
        (lambda p, v: v[max(range(len(p)), key=lambda i: p[i])], "most likely value"),
        (lambda p, v: (p * v).sum(dim=0, keepdim=True), "shape [1]"),
        (lambda p, v: -(p @ v), "expected 3, but got -3"),
        (lambda p, v: v.mul_(p).sum(), "changes its input values in place"),
        (lambda p, v: (p.zero_() * v).sum(), "changes its input probabilities in place"),
        (lambda p, v: 3.0, "use its arguments"),
        (expectation_skips_the_first, "expected 3, but got 2"),
        (expectation_skips_the_last, "expected 3, but got 1"),
        (expectation_for_three, "expected"),
    ],
    "totals_per_environment": [
        (lambda rewards: rewards.sum(1), "time is axis 0"),
        (lambda rewards: [float(row.sum()) for row in rewards], "time is axis 0"),
        (lambda rewards: float(rewards.sum()), "one number for each environment"),
        (lambda rewards: rewards.mean(0), "mean over time"),
        (lambda rewards: rewards[-1], "last step alone"),
        (lambda rewards: rewards.sum(0, keepdim=True), "keepdim"),
        (lambda rewards: rewards.cumsum(0), "running total"),
        (lambda rewards: rewards.sum(0)[:, None], "shape [3, 1]"),
        (lambda rewards: -rewards.sum(0), "but got [-5, -7, -10]"),
        (lambda rewards: rewards[0] + rewards[1], "For rewards"),
        (lambda rewards: rewards.sum_(0), "your function raised AttributeError"),
        (totals_miss_the_last_step, "expected [5, 7, 10], but got [1, 2, 3]"),
        (totals_in_place, "changes its input rewards in place"),
    ],
    "slope": [
        (lambda f, x: f(x), "f(x) itself"),
        (lambda f, x: f(torch.tensor(x)), "f(x) itself"),
        (lambda f, x: -slope_backward(f, x), "sign"),
        (slope_tuple, "entry [0]"),
        (slope_twice, "twice the slope"),
        (slope_without_requires_grad, "requires_grad=True"),
        (slope_without_backward, "backward()"),
        (slope_second, "expected 25, but got 26"),
        (lambda f, x: (f(x + 0.01) - f(x)) / 0.01, "finite differences"),
        (lambda f, x: (f(x) - f(x - 0.02)) / 0.02, "finite differences"),
        (lambda f, x: f(x) / x, "expected 25, but got 7"),
        (lambda f, x: 25.0, "use its arguments"),
    ],
}
