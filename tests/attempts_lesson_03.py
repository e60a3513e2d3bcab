"""What learners hand in for lesson 03: see test_checks.py."""

import torch
import torch.nn.functional as F


def error_loop(reward, value, next_value, terminated, gamma):
    steps = zip(reward.tolist(), value.tolist(), next_value.tolist(), terminated.tolist())
    return [r - v if end else r + gamma * after - v for r, v, after, end in steps]


def error_of_one_flag(reward, value, next_value, terminated, gamma):
    return reward - value if terminated.any() else reward + gamma * next_value - value


def error_by_where(reward, value, next_value, terminated, gamma):
    return torch.where(terminated == 1, reward, reward + gamma * next_value) - value


def losses_no_grad(log_prob, value, next_value, reward, gamma):
    with torch.no_grad():
        target = reward + gamma * next_value
        advantage = target - value
    return -advantage * log_prob, F.mse_loss(value, target) / 2


def losses_with_a_stray_slope(log_prob, value, next_value, reward, gamma):
    actor, critic = losses_no_grad(log_prob, value, next_value, reward, gamma)
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


RIGHT = {
    "td_error": [error_loop, error_by_where],
    "actor_critic_losses": [losses_no_grad],
    "undetached": [
        found_by_backward,
        lambda critics: torch.tensor(found_by_backward(critics)),
    ],
}

# (attempt, words that the message must contain)
WRONG = {
    "td_error": [
        (error_of_one_flag, "mask each step by its own flag"),
        (lambda *case: error_by_where(*case[:4], case[4] or 0.99), "gamma 0"),
        (lambda *case: error_by_where(*case).clamp(-10, 10), "gamma 1"),
        (lambda *case: error_by_where(*case) * (torch.arange(len(case[0])) < 5), "gamma 1"),
    ],
    "actor_critic_losses": [
        (lambda *case: losses_no_grad(*case)[:1], "numbers of shape [1]"),
        (losses_with_a_stray_slope, "for next_value is not: expected"),
    ],
    "undetached": [
        (lambda critics: print(found_by_backward(critics)), "a return is missing"),
    ],
}
