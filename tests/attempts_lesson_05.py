"""What learners hand in for lesson 05: see test_checks.py."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch.distributions import Categorical


def entropy_by_autograd(logits):
    logits = logits.clone().requires_grad_()
    return torch.autograd.grad(Categorical(logits=logits).entropy(), logits)[0]


def entropy_by_matrix(logits):
    p = logits.softmax(0)
    return (torch.diag(p) - torch.outer(p, p)) @ -p.log()


def entropy_loop(logits):
    weights = [math.exp(x) for x in logits.tolist()]
    p = [w / sum(weights) for w in weights]
    H = -sum(x * math.log(x) for x in p)
    return [-x * (math.log(x) + H) for x in p]


def entropy_in_bits(logits):
    return entropy_by_autograd(logits) / math.log(2)


def entropy_in_place(logits):
    logits -= logits.logsumexp(0)
    return -logits.exp() * (logits - (logits.exp() * logits).sum())


def entropy_without_graph(logits):
    return torch.autograd.grad(Categorical(logits=logits).entropy(), logits)[0]


def soft_shifted(rewards, tau):
    weights = torch.exp((rewards - rewards.max()) / tau)
    return weights / weights.sum()


def soft_in_double(rewards, tau):
    weights = np.exp(rewards.double().numpy() / tau)
    return weights / weights.sum()


def soft_by_logs(rewards, tau):
    return torch.exp(rewards / tau - torch.logsumexp(rewards / tau, 0))


def soft_shifted_too_late(rewards, tau):
    weights = torch.exp(rewards / tau)
    return (weights / weights.max()) / (weights / weights.max()).sum()


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


def bonus_as_reward(logits, actions, advantages, entropy_coef):
    surprise = -Categorical(logits=logits).log_prob(actions)
    return bonus_by_categorical(logits, actions, advantages + entropy_coef * surprise, 0.0)


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
        soft_in_double,
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
        (lambda x: -entropy_by_autograd(x), "sign"),
        (lambda x: -x.softmax(0) * x.log_softmax(0), "H is missing"),
        (lambda x: -x.softmax(0) * (x.softmax(0).log() + 1), "kept the 1"),
        (lambda x: torch.func.grad(lambda p: -(p * p.log()).sum())(x.softmax(0)), "probabilities"),
        (lambda x: Categorical(logits=x).entropy(), "the entropy itself"),
        (lambda x: -x.softmax(0) * (x + Categorical(logits=x).entropy()), "log_softmax"),
        (lambda x: -x.log_softmax(0) - Categorical(logits=x).entropy(), "factor p is missing"),
        (lambda x: torch.zeros(3), "use its arguments"),
        (entropy_in_bits, "expected"),
        (entropy_in_place, "changes its input logits in place"),
        (entropy_without_graph, "requires_grad=True"),
    ],
    "soft_optimal": [
        (soft_shifted_too_late, "float32 can hold"),
        (lambda r, t: (r / t).exp() / (r / t).exp().sum(), "float32 can hold"),
        (lambda r, t: r.softmax(0), "tau is never used"),
        (lambda r, t: (r * t).softmax(0), "divide by it"),
        (lambda r, t: (-r / t).softmax(0), "sign"),
        (lambda r, t: F.one_hot(r.argmax(), len(r)).float(), "without a bonus"),
        (lambda r, t: torch.exp((r - r.max()) / t), "divide by their sum"),
        (lambda r, t: t * torch.logsumexp(r / t, 0), "return the policy"),
        (lambda r, t: torch.full([len(r)], 1 / len(r)), "expected"),
        (lambda r, t: r / r.sum(), "in proportion"),
        (soft_in_place, "changes its input rewards in place"),
    ],
    "repaired_bonus": [
        (bonus(lambda log_p, taken: -taken.mean()), "bug is still there"),
        (bonus(lambda log_p, taken: (log_p.exp() * log_p).sum(-1).mean()), "become a fine"),
        (lambda *case: -bonus_by_categorical(*case), "sign of it all"),
        (lambda *case: bonus_by_categorical(*case) * len(case[0]), "take the mean of both"),
        (bonus(lambda log_p, taken: -(log_p.exp() * log_p).detach().sum()), "No bonus arrives"),
        (bonus(lambda log_p, taken: -(log_p.exp().detach() * log_p).sum(-1).mean()), "No bonus"),
        (bonus(lambda log_p, taken: -(log_p.exp() * log_p).sum()), "policy loss is a mean"),
        (bonus(lambda log_p, taken: -(log_p.exp() * log_p).mean()), "number of actions"),
        (bonus(lambda log_p, taken: -(taken.exp() * taken).mean()), "sampled action alone"),
        (bonus_as_reward, "right on average"),
        (bonus_twice, "expected"),
        (bonus_without_clone, "requires_grad=True"),
        (bonus_as_loss, "a single number"),
    ],
}
