"""What learners hand in for lesson 13: see test_checks.py."""

import itertools

import numpy as np
import torch


def joint_loop(payoffs, first, second):
    total = 0.0
    for a, b in itertools.product(range(len(first)), range(len(second))):
        total += first[a].item() * second[b].item() * payoffs[a, b].item()
    return total


def joint_by_rows(payoffs, first, second):
    return sum(p * (row * second).sum() for p, row in zip(first, payoffs))


def joint_elementwise(payoffs, first, second):
    """Right for square payoffs alone, where it raises nothing."""
    return (first * second * payoffs).sum()


def joint_diagonal(payoffs, first, second):
    return (first * torch.diag(payoffs) * second).sum()


def joint_sampled(payoffs, first, second):
    generator = torch.Generator().manual_seed(0)
    a = torch.multinomial(first, 5000, replacement=True, generator=generator)
    b = torch.multinomial(second, 5000, replacement=True, generator=generator)
    return payoffs[a, b].mean()


def seen_loop(observations):
    rows = []
    for team in observations.flatten(0, 1):
        for i, own in enumerate(team):
            rows.append(torch.cat([own, *(seen for j, seen in enumerate(team) if j != i)]))
    return torch.stack(rows).reshape(*observations.shape[:3], -1)


def seen_by_order(observations):
    count = observations.shape[2]
    order = [[i, *range(i), *range(i + 1, count)] for i in range(count)]
    return observations[:, :, order].flatten(-2)


def seen_in_numpy(observations):
    x = observations.numpy()
    count = x.shape[2]
    parts = [np.concatenate([x[:, :, i : i + 1], np.delete(x, i, 2)], 2) for i in range(count)]
    return np.stack(parts, 2).reshape(*x.shape[:3], -1)


def seen_by_swap(observations):
    """Its own first by swapping it with robot 0, which then stands out of order."""
    count = observations.shape[2]
    order = [list(range(count)) for _ in range(count)]
    for i, row in enumerate(order):
        row[0], row[i] = row[i], row[0]
    return observations[:, :, order].flatten(-2)


def seen_of_robot_0(observations):
    return observations.flatten(-2)[:, :, None].expand(-1, -1, observations.shape[2], -1)


def seen_for_two(observations):
    return torch.cat([observations, observations.flip(2)], -1)


def error_with(reward):
    def attempt(rewards, values, next_values, ended, gamma):
        return reward(rewards) + gamma * ~ended * next_values - values

    return attempt


def error_loop(rewards, values, next_values, ended, gamma):
    errors = torch.zeros_like(values)
    for t, b in np.ndindex(*values.shape):
        after = 0.0 if ended[t, b] else gamma * next_values[t, b].item()
        errors[t, b] = rewards[t, b, -1].item() + after - values[t, b].item()
    return errors.tolist()


def error_where(rewards, values, next_values, ended, gamma):
    return rewards.mean(-1) + torch.where(ended, 0, gamma * next_values) - values


def error_not(rewards, values, next_values, ended, gamma):
    return rewards[..., 0] + gamma * next_values * (not ended) - values


def error_in_place(rewards, values, next_values, ended, gamma):
    next_values[ended] = 0
    return rewards[..., 0] + gamma * next_values - values


RIGHT = {
    "joint_value": [
        joint_loop,
        joint_by_rows,
        lambda payoffs, first, second: first @ payoffs @ second,
        lambda payoffs, first, second: torch.einsum("a,ab,b", first, payoffs, second),
        lambda payoffs, first, second: (first[:, None] * payoffs * second).sum(),
        lambda payoffs, first, second: (torch.outer(first, second) * payoffs).sum((0, 1)),
        lambda payoffs, first, second: torch.trace(payoffs @ torch.outer(second, first)),
        lambda payoffs, first, second: second @ payoffs.T @ first,
        lambda payoffs, first, second: np.einsum("ab,a,b", payoffs, first, second),
    ],
    "critic_input": [
        seen_loop,
        seen_by_order,
        seen_in_numpy,
        lambda observations: seen_loop(observations).tolist(),
    ],
    "repaired_team_reward": [
        error_loop,
        error_where,
        error_with(lambda x: x[..., 0]),
        error_with(lambda x: x[:, :, 1]),
        error_with(lambda x: x.sum(-1) / x.shape[-1]),
        error_with(lambda x: x.amax(-1)),
        error_with(lambda x: x.median(-1).values),
        error_with(lambda x: x.unbind(-1)[0]),
    ],
}

# (attempt, words that the message must contain)
WRONG = {
    "joint_value": [
        (joint_diagonal, "expected"),
        (joint_sampled, "expected"),
        (joint_elementwise, "second to the columns"),
        (lambda payoffs, first, second: payoffs[first.argmax(), second.argmax()], "likeliest"),
        (lambda payoffs, first, second: payoffs.mean(), "plain mean"),
        (lambda payoffs, first, second: first @ payoffs.T @ second, "transposed"),
        (lambda payoffs, first, second: first * payoffs * second, "expected"),
        (lambda payoffs, first, second: payoffs @ second, "each action of one player"),
    ],
    "critic_input": [
        (seen_by_swap, "where the own one was"),
        (seen_of_robot_0, "in one order"),
        (seen_for_two, "expected"),
        (lambda observations: observations.repeat(1, 1, 2, 1), "expected"),
        (lambda observations: observations.mean(2, keepdim=True), "expected"),
        (lambda observations: observations.zero_(), "in place"),
    ],
    "repaired_team_reward": [
        (error_with(lambda x: x.sum(-1)), "The bug is still there"),
        (error_with(lambda x: x), "expected"),
        (error_with(lambda x: x[0]), "robots are the last axis"),
        (error_with(lambda x: x.sum(-1) / 2), "fits a team of two"),
        (error_not, "one truth value"),
        (error_in_place, "changes its input next_values in place"),
    ],
}
