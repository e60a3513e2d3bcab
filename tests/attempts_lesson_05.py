"""What learners hand in for lesson 05: see test_checks.py."""

import math

import numpy as np
import torch
from torch.distributions import Categorical


def entropy_by_autograd(logits):
    logits = logits.clone().requires_grad_()
    return torch.autograd.grad(Categorical(logits=logits).entropy(), logits)[0]


def entropy_by_matrix(logits):
    p = logits.softmax(0)
    return (torch.diag(p) - torch.outer(p, p)) @ -logits.log_softmax(0)


def entropy_loop(logits):
    weights = [math.exp(x) for x in logits.tolist()]
    p = [w / sum(weights) for w in weights]
    H = -sum(x * math.log(x) for x in p)
    return [-x * (math.log(x) + H) for x in p]


def soft_by_logs(rewards, tau):
    return torch.exp(rewards / tau - torch.logsumexp(rewards / tau, 0))


def bonus_by_categorical(logits, actions, advantages, entropy_coef):
    logits = logits.clone().requires_grad_()
    policy = Categorical(logits=logits)
    gain = advantages * policy.log_prob(actions) + entropy_coef * policy.entropy()
    (-gain.mean()).backward()
    return logits.grad


def bonus_by_hand(logits, actions, advantages, entropy_coef):
    gradient = []
    for row, a, advantage in zip(logits, actions.tolist(), advantages.tolist()):
        push = advantage * (np.eye(len(row))[a] - row.softmax(0).numpy())
        gradient.append(-(push + entropy_coef * np.array(entropy_loop(row))) / len(logits))
    return np.array(gradient)


RIGHT = {
    "entropy_gradient": [entropy_by_autograd, entropy_by_matrix],
    "soft_optimal": [soft_by_logs, lambda rewards, tau: Categorical(logits=rewards / tau).probs],
    "repaired_bonus": [bonus_by_categorical, bonus_by_hand],
}

# (attempt, words that the message must contain)
WRONG = {
    "entropy_gradient": [
        (lambda x: torch.func.grad(lambda p: -(p * p.log()).sum())(x.softmax(0)), "probabilities"),
        (lambda x: entropy_by_autograd(x.clamp(-5, 5)), "logits [200, 199"),
    ],
    "soft_optimal": [
        (lambda r, t: soft_by_logs(r, max(t, 0.1)), "tau 0.0625"),
        (lambda r, t: r.softmax(0) ** (1 / t), "expected"),
    ],
    "repaired_bonus": [
        (lambda *case: bonus_by_categorical(*case[:3], 2 * case[3]), "expected"),
        (lambda x, *rest: bonus_by_hand(x.clamp(-9, 9), *rest), "entropy_coef 1"),
    ],
}
