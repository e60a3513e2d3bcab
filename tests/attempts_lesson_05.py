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


def entropy_in_place(logits):
    logits -= logits.logsumexp(0)
    return -logits.exp() * (logits - (logits.exp() * logits).sum())


def entropy_by_logs(p):
    return -p * (p.log() - (p * p.log()).sum())


def entropy_without_graph(logits):
    return torch.autograd.grad(Categorical(logits=logits).entropy(), logits)[0]


def soft_shifted(rewards, tau):
    weights = torch.exp((rewards - rewards.max()) / tau)
    return weights / weights.sum()


def soft_by_logs(rewards, tau):
    return torch.exp(rewards / tau - torch.logsumexp(rewards / tau, 0))


def soft_loop(rewards, tau):
    weights = [math.exp(r / tau) for r in rewards.tolist()]
    return [weight / sum(weights) for weight in weights]


def soft_weighed(exponents):
    def attempt(rewards, tau):
        weights = exponents(rewards, tau).exp()
        return weights / weights.sum()

    return attempt


def soft_greedy_on_overflow(rewards, tau):
    weights = (rewards / tau).exp()
    if weights.isinf().any():
        return (rewards == rewards.max()).float()
    return weights / weights.sum()


def soft_in_place(rewards, tau):
    rewards -= rewards.max()
    return (rewards / tau).softmax(0)


def bonus(entropy):
    """suspect_bonus with another line for the entropy."""

    def attempt(logits, actions, advantages, entropy_coef):
        logits = logits.clone().requires_grad_()
        log_p = logits.log_softmax(-1)
        taken = log_p[torch.arange(len(actions)), actions]
        loss = -(advantages * taken).mean() - entropy_coef * entropy(log_p, taken)
        return torch.autograd.grad(loss, logits)[0]

    return attempt


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


def bonus_twice(logits, actions, advantages, entropy_coef):
    return bonus_by_categorical(logits, actions, advantages, 2 * entropy_coef)


def bonus_without_clone(logits, actions, advantages, entropy_coef):
    loss = -entropy_coef * Categorical(logits=logits).entropy().mean()
    return torch.autograd.grad(loss, logits)[0]


def bonus_as_loss(logits, actions, advantages, entropy_coef):
    policy = Categorical(logits=logits)
    return -(advantages * policy.log_prob(actions) + entropy_coef * policy.entropy()).mean()


RIGHT = {
    "entropy_gradient": [entropy_by_autograd, entropy_by_matrix, entropy_loop],
    "soft_optimal": [
        soft_shifted,
        soft_by_logs,
        lambda rewards, tau: Categorical(logits=rewards / tau).probs,
    ],
    "repaired_bonus": [
        bonus_by_categorical,
        bonus_by_hand,
        bonus(lambda log_p, taken: -(log_p.exp() * log_p).sum(-1).mean()),
        # the log-probabilities may be constants in it: their part of the gradient is zero
        bonus(lambda log_p, taken: -(log_p.exp() * log_p.detach()).sum(-1).mean()),
    ],
}

# (attempt, words that the message must contain)
WRONG = {
    "entropy_gradient": [
        (lambda x: torch.func.grad(lambda p: -(p * p.log()).sum())(x.softmax(0)), "probabilities"),
        (lambda x: torch.zeros(3), "use its arguments"),
        (entropy_in_place, "changes its input logits in place"),
        (lambda x: entropy_by_logs(x.softmax(0)), "log_softmax() is safe"),
        (lambda x: entropy_by_logs(x.exp() / x.exp().sum()), "exp() of a large number overflows"),
        (entropy_without_graph, "requires_grad=True"),
        (lambda x: entropy_by_autograd(x.clamp(-5, 5)), "logits [200, 199"),
    ],
    "soft_optimal": [
        (soft_weighed(lambda r, t: (r - r.mean()) / t), "Take off the maximum"),
        (soft_weighed(lambda r, t: (r.double() - r.double().mean()) / t), "Take off the maximum"),
        (soft_weighed(lambda r, t: (r - r.min()).double() / t), "Take off the maximum"),
        (soft_weighed(lambda r, t: r.double() / t), "0 the largest exponent"),
        (soft_greedy_on_overflow, "you take the best action alone"),
        (soft_weighed(lambda r, t: r - r.max() / t), "divide all of them by tau"),
        (soft_loop, "math range error"),
        (lambda r, t: soft_shifted(r, max(t, 0.1)), "tau 0.0625"),
        (lambda r, t: r.softmax(0) ** (1 / t), "expected"),
        (soft_in_place, "changes its input rewards in place"),
    ],
    "repaired_bonus": [
        (bonus(lambda log_p, taken: -(log_p.exp() * log_p).detach().sum()), "No bonus arrives"),
        (bonus_twice, "expected"),
        (bonus_without_clone, "requires_grad=True"),
        (bonus_as_loss, "a single number"),
        (lambda x, *rest: bonus_by_hand(x.clamp(-9, 9), *rest), "entropy_coef 1"),
    ],
}
