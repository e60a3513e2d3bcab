"""What learners hand in for lesson 12: see test_checks.py."""

import numpy as np
import torch
import torch.nn.functional as F


def expectile_abs(errors, tau):
    return (torch.abs(tau - (errors < 0).float()) * errors**2).mean()


def expectile_where(errors, tau):
    weight = torch.where(errors > 0, tau, 1 - tau)
    return torch.mean(weight * errors.pow(2))


def expectile_loop(errors, tau):
    total = 0
    for error in errors:
        total = total + (tau if error >= 0 else 1 - tau) * error * error
    return total / len(errors)


def expectile_relu(errors, tau):
    """Both halves by themselves."""
    return (tau * F.relu(errors) ** 2 + (1 - tau) * F.relu(-errors) ** 2).mean()


def expectile_mse(errors, tau):
    weight = torch.full_like(errors, tau)
    weight[errors < 0] = 1 - tau
    return F.mse_loss(weight.sqrt() * errors, torch.zeros_like(errors))


def pinball(errors, tau):
    return torch.maximum(tau * errors, (tau - 1) * errors).mean()


def expectile_flipped(errors, tau):
    return ((tau - (errors > 0).float()).abs() * errors**2).mean()


def expectile_if(errors, tau):
    if errors < 0:
        return ((1 - tau) * errors**2).mean()
    return (tau * errors**2).mean()


def expectile_numpy(errors, tau):
    errors = errors.detach().numpy()
    return np.mean(np.where(errors < 0, 1 - tau, tau) * errors**2)


def expectile_no_abs(errors, tau):
    return ((tau - (errors < 0).float()) * errors**2).mean()


def penalty_gather(q_values, actions):
    taken = q_values.gather(1, actions.unsqueeze(1)).squeeze(1)
    return (torch.logsumexp(q_values, dim=1) - taken).mean()


def penalty_cross_entropy(q_values, actions):
    """Minus the log-probability of softmax(Q)."""
    return F.cross_entropy(q_values, actions)


def penalty_loop(q_values, actions):
    total = 0
    for row, action in zip(q_values, actions):
        largest = row.max()
        total += largest + (row - largest).exp().sum().log() - row[action]
    return total / len(actions)


def penalty_one_hot(q_values, actions):
    chosen = F.one_hot(actions, q_values.shape[1])
    return torch.logsumexp(q_values, 1).mean() - (q_values * chosen).sum(1).mean()


def penalty_unsafe(q_values, actions):
    taken = q_values[torch.arange(len(actions)), actions]
    return (torch.log(torch.exp(q_values).sum(1)) - taken).mean()


def penalty_of_data(q_values, actions):
    """The other actions are data, as a target would be."""
    with torch.no_grad():
        everywhere = torch.logsumexp(q_values, 1)
    return (everywhere - q_values[range(len(actions)), actions]).mean()


def penalty_best(q_values, actions):
    return (q_values.max(1)[0] - q_values[range(len(actions)), actions]).mean()


def penalty_minus_mean(q_values, actions):
    return torch.logsumexp(q_values, 1).mean() - q_values.mean()


def penalty_tuple(q_values, actions):
    return (q_values.max(1) - q_values[range(len(actions)), actions]).mean()


def targets_where(rewards, next_values, terminated, truncated, gamma):
    return torch.where(terminated, rewards, rewards + gamma * next_values)


def targets_not(rewards, next_values, terminated, truncated, gamma):
    return rewards + gamma * next_values * ~terminated


def targets_loop(rewards, next_values, terminated, truncated, gamma):
    targets = []
    for t in range(len(rewards)):
        if terminated[t]:
            targets.append(rewards[t].item())
        else:
            targets.append(rewards[t].item() + gamma * next_values[t].item())
    return targets


def targets_on_a_copy(rewards, next_values, terminated, truncated, gamma):
    targets = rewards.clone()
    targets[~terminated] += gamma * next_values[~terminated]
    return targets


def targets_in_numpy(rewards, next_values, terminated, truncated, gamma):
    goes_on = 1 - terminated.numpy().astype(float)
    return rewards.numpy() + gamma * goes_on * next_values.numpy()


def targets_in_place(rewards, next_values, terminated, truncated, gamma):
    next_values[terminated] = 0
    return rewards + gamma * next_values


def targets_of_ends(rewards, next_values, terminated, truncated, gamma):
    ends = terminated | truncated
    return rewards + gamma * next_values * (~ends)


def targets_or(rewards, next_values, terminated, truncated, gamma):
    return rewards + gamma * next_values * (not terminated or truncated)


def targets_masked(rewards, next_values, terminated, truncated, gamma):
    return (rewards + gamma * next_values) * ~terminated


RIGHT = {
    "asymmetric_loss": [
        expectile_abs,
        expectile_where,
        expectile_loop,
        expectile_relu,
        expectile_mse,
    ],
    "conservative_penalty": [
        penalty_gather,
        penalty_cross_entropy,
        penalty_loop,
        penalty_one_hot,
    ],
    "repaired_targets": [
        targets_where,
        targets_not,
        targets_loop,
        targets_on_a_copy,
        targets_in_numpy,
    ],
}

# (attempt, words that the message must contain)
WRONG = {
    "asymmetric_loss": [
        (pinball, "finds a quantile"),
        (expectile_flipped, "are swapped"),
        (expectile_if, "one truth value"),
        (expectile_numpy, "plain number"),
        (expectile_no_abs, "negative weight"),
        (lambda errors, tau: expectile_abs(errors.detach(), tau), "no gradient flows"),
        (lambda errors, tau: expectile_abs(errors, tau) / 2, "factor .5"),
        (lambda errors, tau: F.mse_loss(errors, 0 * errors), "tau is never used"),
        (lambda errors, tau: expectile_abs(errors, tau) * len(errors), "sum over the steps"),
        (lambda errors, tau: expectile_abs(errors, 0.9), "written tau as a number"),
    ],
    "conservative_penalty": [
        (penalty_minus_mean, "mean over all actions"),
        (penalty_of_data, "through the logsumexp"),
        (penalty_best, "soft maximum"),
        (penalty_unsafe, "overflows"),
        (penalty_tuple, "use amax()"),
        (lambda q, actions: -penalty_gather(q, actions), "wrong way round"),
        (lambda q, actions: F.nll_loss(q.softmax(1).log(), actions), "log_softmax() is safe"),
        (lambda q, actions: F.nll_loss(q.softmax(1), actions), "made of a softmax"),
        (lambda q, actions: F.cross_entropy(q, actions, reduction="sum"), "sum over the steps"),
        (lambda q, actions: penalty_gather(q, actions).detach(), "no gradient flows"),
        (lambda q, actions: q.logsumexp(1).mean() - q[:, actions].mean(), "pick one a row"),
    ],
    "repaired_targets": [
        (lambda r, v, over, cut, gamma: r + gamma * v, "The bug is still there"),
        (targets_of_ends, "You take truncation for an end"),
        (targets_in_place, "changes its input next_values in place"),
        (targets_or, "one truth value"),
        (targets_masked, "The reward is lost where it terminated"),
        (lambda r, v, over, cut, gamma: r + gamma * (1 - over) * v, "use the `~`"),
        (lambda r, v, over, cut, gamma: r + (~over) * v, "gamma is never used"),
        (lambda r, v, over, cut, gamma: r + gamma * (1 + over.float()) * v, "You add terminated"),
        (lambda r, v, over, cut, gamma: r[:-1] + gamma * v[1:], "expected"),
    ],
}
