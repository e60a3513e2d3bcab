"""What learners hand in for lesson 03: see test_checks.py."""

import numpy as np
import torch
import torch.nn.functional as F

from helpers.returns import gae, n_step_returns


def error_loop(reward, value, next_value, terminated, gamma):
    steps = zip(reward.tolist(), value.tolist(), next_value.tolist(), terminated.tolist())
    return [r - v if end else r + gamma * after - v for r, v, after, end in steps]


def error_in_numpy(reward, value, next_value, terminated, gamma):
    r, v, after, end = (x.numpy() for x in (reward, value, next_value, terminated))
    return r + gamma * after * (1 - end) - v


def error_by_gae(reward, value, next_value, terminated, gamma):
    pairs = zip(reward, value, next_value, terminated)
    no = torch.tensor([False])
    return [
        gae(r[None], torch.stack([v, after]), end[None] > 0, no, gamma=gamma, lam=0.0)[0]
        for r, v, after, end in pairs
    ]


def error_by_n_step(reward, value, next_value, terminated, gamma):
    values = torch.cat([value, next_value[-1:]])
    values[1:] = next_value
    truncated = torch.zeros_like(terminated)
    return n_step_returns(reward, values, terminated, truncated, gamma=gamma, n=1) - value


def error_in_place(reward, value, next_value, terminated, gamma):
    next_value *= 1 - terminated
    return reward + gamma * next_value - value


def error_of_one_flag(reward, value, next_value, terminated, gamma):
    return reward - value if terminated.any() else reward + gamma * next_value - value


def error_by_where(reward, value, next_value, terminated, gamma):
    return torch.where(terminated == 1, reward, reward + gamma * next_value) - value


def losses_detached(log_prob, value, next_value, reward, gamma):
    target = reward + gamma * next_value.detach()
    delta = target - value
    return -log_prob * delta.detach(), delta.pow(2) / 2


def losses_no_grad(log_prob, value, next_value, reward, gamma):
    with torch.no_grad():
        target = reward + gamma * next_value
        advantage = target - value
    return -advantage * log_prob, F.mse_loss(value, target) / 2


def losses_as_products(log_prob, value, next_value, reward, gamma):
    delta = reward + gamma * next_value - value
    return [-delta.detach() * log_prob, 0.5 * (delta.detach() + value.detach() - value) ** 2]


def losses_switched_off(log_prob, value, next_value, reward, gamma):
    torch.set_grad_enabled(False)
    delta = reward + gamma * next_value - value
    return -delta * log_prob, 0.5 * delta**2


def losses_detached_in_the_critic(log_prob, value, next_value, reward, gamma):
    actor = -(reward + gamma * next_value - value.detach()) * log_prob
    return actor, (reward + gamma * next_value.detach() - value) ** 2 / 2


def losses_with_a_stray_slope(log_prob, value, next_value, reward, gamma):
    actor, critic = losses_detached(log_prob, value, next_value, reward, gamma)
    return actor, critic + next_value - next_value.detach()


def slope_of(critic, at, reward=2.0):
    value, after = torch.tensor(1.0, requires_grad=True), torch.tensor(2.0, requires_grad=True)
    critic(value, after, reward, 0.5).backward()
    return {"value": value.grad, "next_value": after.grad}[at]


def found_by_backward(critics):
    for i, critic in enumerate(critics):
        grad = slope_of(critic, "next_value")
        if grad is not None and grad != 0:
            return i


def found_nowhere(critics):
    """Probes where the TD error is 0, and with it every slope."""
    for i, critic in enumerate(critics):
        if slope_of(critic, "next_value", reward=0.0):
            return i


def found_by_a_positive_slope(critics):
    for i, critic in enumerate(critics):
        grad = slope_of(critic, "next_value")
        if grad is not None and grad > 0:
            return i


def found_by_graph(critics):
    return [slope_of(critic, "next_value") is not None for critic in critics].index(True)


def found_by_jacobian(critics):
    slopes = []
    for critic in critics:
        value = torch.ones((), requires_grad=True)
        function = lambda after, c=critic, v=value: c(v, after, 1.0, 0.5)  # noqa: E731
        slopes.append(torch.autograd.functional.jacobian(function, torch.tensor(3.0)).item())
    return np.abs(slopes).argmax()


RIGHT = {
    "td_error": [
        error_loop,
        error_in_numpy,
        error_by_gae,
        error_by_n_step,
        error_by_where,
        lambda r, v, after, end, gamma: r + gamma * after * (1 - end) - v,
    ],
    "actor_critic_losses": [
        losses_detached,
        losses_no_grad,
        losses_as_products,
    ],
    "undetached": [
        found_by_backward,
        found_by_graph,
        found_by_jacobian,
        lambda critics: torch.tensor(found_by_graph(critics)),
    ],
}

# (attempt, words that the message must contain)
WRONG = {
    "td_error": [
        (
            lambda r, v, after, end, gamma: (r + gamma * after * (1 - end) - v).sum(),
            "a single number",
        ),
        (error_of_one_flag, "mask each step by its own flag"),
        (error_in_place, "changes its input next_value in place"),
        (lambda r, v, after, end, gamma: r + gamma * after * ~end - v, "Boolean-type tensors"),
        (lambda r, v, after, end, gamma: r - v if end else r + gamma * after - v, "as a mask"),
        (lambda *case: error_by_where(*case[:4], case[4] or 0.99), "gamma 0"),
        (lambda *case: error_by_where(*case).clamp(-10, 10), "gamma 1"),
        (lambda *case: error_by_where(*case) * (torch.arange(len(case[0])) < 5), "gamma 1"),
    ],
    "actor_critic_losses": [
        (lambda *case: sum(losses_detached(*case)), "a single number"),
        (lambda *case: [x.item() for x in losses_detached(*case)], "no gradient flows"),
        (lambda *case: losses_detached(*case)[:1], "numbers of shape [1]"),
        (losses_switched_off, "no gradient flows"),
        (losses_detached_in_the_critic, "detach the whole TD error"),
        (losses_with_a_stray_slope, "for next_value is not: expected"),
    ],
    "undetached": [
        (lambda critics: 2, "returns the same"),
        (lambda critics: found_by_graph(critics[::-1]), "expected 2"),
        (found_nowhere, "TD error is 0"),
        (lambda critics: found_by_a_positive_slope(critics), "and this one is negative"),
        (
            lambda critics: next(c for c in critics if found_nowhere([c]) == 0),
            "it overlooks a case",
        ),
        (lambda critics: [found_nowhere([c]) for c in critics].index(0), "it overlooks a case"),
        (lambda critics: critics[found_by_graph(critics)], "returned a function, not numbers"),
        (lambda critics: print(found_by_graph(critics)), "a return is missing"),
    ],
}
