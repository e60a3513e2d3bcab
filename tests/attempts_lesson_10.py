"""What learners hand in for lesson 10: see test_checks.py."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch.distributions import Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform


def target_loop(rewards, terminated, truncated, next_q1, next_q2, next_log_probs, gamma, tau):
    targets = []
    for t in range(len(rewards)):
        value = 0.0
        if not terminated[t]:
            value = min(next_q1[t].item(), next_q2[t].item()) - tau * next_log_probs[t].item()
        targets.append(rewards[t].item() + gamma * value)
    return targets


def target_where(rewards, terminated, truncated, next_q1, next_q2, next_log_probs, gamma, tau):
    value = torch.stack([next_q1, next_q2]).amin(0) - tau * next_log_probs
    return torch.where(terminated, rewards, rewards + gamma * value)


def target_single(rewards, terminated, truncated, next_q1, next_q2, next_log_probs, gamma, tau):
    """Without the second critic, the mask and the entropy at once."""
    return rewards + gamma * next_q1


def target_in_place(rewards, terminated, truncated, next_q1, next_q2, next_log_probs, gamma, tau):
    value = torch.minimum(next_q1, next_q2) - tau * next_log_probs
    value[terminated] = 0
    rewards += gamma * value
    return rewards


def target_python_min(rewards, terminated, truncated, next_q1, next_q2, next_log_probs, gamma, tau):
    return rewards + gamma * ~terminated * (min(next_q1, next_q2) - tau * next_log_probs)


def target_not(rewards, terminated, truncated, next_q1, next_q2, next_log_probs, gamma, tau):
    value = torch.minimum(next_q1, next_q2) - tau * next_log_probs
    return rewards + gamma * (not terminated) * value


def squashed_by_torch(means, log_stds, u):
    normal = TransformedDistribution(Normal(means, log_stds.exp()), TanhTransform(cache_size=1))
    slope = TanhTransform().log_abs_det_jacobian(u, torch.tanh(u))
    return (normal.base_dist.log_prob(u) - slope).sum(-1)


def squashed_by_logs(means, log_stds, u):
    """log of 4 / (e^u + e^-u)^2 by logaddexp."""
    slope = math.log(4) - 2 * torch.logaddexp(u, -u)
    return (Normal(means, log_stds.exp()).log_prob(u) - slope).sum(-1)


def squashed_in_numpy(means, log_stds, u):
    means, log_stds, u = (x.numpy().astype(float) for x in (means, log_stds, u))
    z = (u - means) * np.exp(-log_stds)
    gaussian = -0.5 * z**2 - log_stds - 0.5 * np.log(2 * np.pi)
    return (gaussian - 2 * (np.log(2) - np.logaddexp(u, -u))).sum(-1)


def squashed_with(slope):
    def attempt(means, log_stds, u):
        return (Normal(means, log_stds.exp()).log_prob(u) - slope(u)).sum(-1)

    return attempt


def squashed_from_action(means, log_stds, u):
    u = torch.atanh(torch.tanh(u))
    return squashed_by_logs(means, log_stds, u)


def loss_by_no_grad(
    rewards, terminated, q1, q2, next_q1, next_q2, next_log_probs, gamma, tau
):  # fmt: skip
    with torch.no_grad():
        value = torch.minimum(next_q1, next_q2) - tau * next_log_probs
        target = torch.where(terminated, rewards, rewards + gamma * value)
    return F.mse_loss(q1, target) + F.mse_loss(q2, target)


def loss_with(first=lambda x: x, whole=lambda x: x):
    """The loss with something done to the next values, and to the target."""

    def attempt(rewards, terminated, q1, q2, next_q1, next_q2, next_log_probs, gamma, tau):
        value = first(torch.minimum(next_q1, next_q2)) - tau * next_log_probs
        target = whole(rewards + gamma * (~terminated) * value)
        return F.mse_loss(q1, target) + F.mse_loss(q2, target)

    return attempt


def loss_of_both(rewards, terminated, q1, q2, next_q1, next_q2, next_log_probs, gamma, tau):
    value = torch.minimum(next_q1, next_q2) - tau * next_log_probs
    target = (rewards + gamma * (~terminated) * value).detach()
    return 2 * (torch.stack([q1, q2]) - target).square().mean()


RIGHT = {
    "soft_target": [target_loop, target_where],
    "squashed_log_prob": [squashed_by_torch, squashed_by_logs, squashed_in_numpy],
    "repaired_critic_loss": [
        loss_by_no_grad,
        loss_of_both,
        loss_with(whole=lambda x: x.detach()),
    ],
}

# (attempt, words that the message must contain)
WRONG = {
    "soft_target": [
        (target_single, "expected"),
        (target_in_place, "changes its input rewards in place"),
        (target_python_min, "one truth value"),
        (target_not, "one truth value"),
        (lambda *steps: target_where(*steps).mean(), "its own target"),
        (lambda *steps: torch.zeros(3), "use its arguments"),
    ],
    "squashed_log_prob": [
        (squashed_with(lambda u: torch.log(1 - torch.tanh(u) ** 2 + 1e-6)), "made up"),
        (squashed_with(lambda u: torch.log(1 - torch.tanh(u).pow(2))), "minus infinity"),
        (squashed_with(lambda u: torch.log(1 - (2 * torch.tanh(u)) ** 2 + 1e-6)), "scaled action"),
        (squashed_with(lambda u: 2 * torch.log(torch.cosh(u))), "The sign of the slope"),
        (squashed_from_action, "u is lost"),
        (squashed_with(lambda u: -2 * torch.log(torch.cosh(u))), "overflows"),
        (lambda m, s, u: Normal(m, s.exp()).log_prob(u).sum(-1), "log-probability of u"),
    ],
    "repaired_critic_loss": [
        (loss_with(first=lambda x: x.detach()), "log-probability still has a gradient"),
        (loss_with(), "The bug is still there"),
        (lambda r, end, *others: loss_by_no_grad(r, end & False, *others), "right as it stood"),
        (lambda *steps: loss_by_no_grad(*steps).detach(), "no gradient flows"),
        (lambda *steps: loss_by_no_grad(*steps).item(), "plain number"),
    ],
}
