"""What learners hand in for lesson 06: see test_checks.py."""

import torch
import torch.nn.functional as F


def regret_loop(policy, rewards):
    total = 0.0
    for p, r in zip(policy.tolist(), rewards.tolist()):
        total += max(r) - sum(a * b for a, b in zip(p, r))
    return total / len(policy)


def losses(actor, critic):
    """An attempt made of two formulas, over (log_prob, value, reward) with nothing detached."""

    def attempt(log_prob, value, right, cost):
        reward = (1.0 if right else -0.1) - cost
        return actor(log_prob, value, reward), critic(value, reward)

    return attempt


def actor(log_prob, value, reward):
    return -(reward - value).detach() * log_prob


def critic(value, reward):
    return 0.5 * (reward - value) ** 2


def worth(later):
    """An attempt made of what the second call adds, a function of (chance, person_cost, gamma)."""

    def attempt(chance, cost, person_cost, gamma):
        return 1.1 * chance - 0.1 - cost + later(chance, person_cost, gamma)

    return attempt


def calls_where(reward, value, next_value, solved, over, gamma):
    return torch.where(over == 1, reward, reward + gamma * next_value) - value


RIGHT = {
    "regret": [regret_loop],
    "outcome_losses": [losses(actor, critic)],
    "worth_of_a_try": [
        worth(lambda p, person, g: (1 - p) * g * (1 - person)),
    ],
    "repaired_advantages": [
        calls_where,
        # who solves a request also ends it, so both flags together are the second
        lambda r, v, after, solved, over, gamma: r + gamma * after * (1 - over) * (1 - solved) - v,
    ],
}

# (attempt, words that the message must contain)
WRONG = {
    "regret": [
        (lambda policy, rewards: regret_loop(policy[:5], rewards[:5]), "expected"),
        (lambda policy, rewards: regret_loop(policy, rewards.clamp(min=0)), "expected"),
        (lambda policy, rewards: round(regret_loop(policy, rewards), 2), "expected"),
    ],
    "outcome_losses": [
        (losses(lambda p, v, r: -(r - v).detach() * p.exp(), critic), "expected"),
        (losses(lambda p, v, r: actor(p, v, r).clamp(-5, 5), critic), "expected"),
        (losses(actor, lambda v, r: F.smooth_l1_loss(v, torch.tensor(r))), "expected"),
        (losses(actor, lambda v, r: critic(v, r) if r > 0 else 0 * v), "expected"),
        (lambda p, v, right, cost: losses(actor, critic)(p, v, right, cost or 0.02), "expected"),
    ],
    "worth_of_a_try": [
        (worth(lambda p, person, gamma: (1 - p) * gamma**2 * (1 - person)), "expected"),
        (worth(lambda p, person, gamma: (1 - p) * gamma * max(0, 1 - person)), "expected"),
        (worth(lambda p, person, gamma: (1 - p) * (gamma or 1) * (1 - person)), "expected"),
        (worth(lambda p, person, gamma: (1 - min(p, 0.9)) * gamma * (1 - person)), "expected"),
        (worth(lambda p, person, gamma: (1 - max(p, 0.1)) * gamma * (1 - person)), "expected"),
    ],
    "repaired_advantages": [
        (lambda *case: calls_where(*case).clamp(-10, 10), "expected"),
        (lambda *case: calls_where(*case) * (torch.arange(len(case[0])) < 6), "expected"),
        (lambda *case: calls_where(*case[:5], case[5] or 1.0), "expected"),
    ],
}
