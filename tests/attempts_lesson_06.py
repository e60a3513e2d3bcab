"""What learners hand in for lesson 06: see test_checks.py."""

import numpy as np
import torch
import torch.nn.functional as F


def regret_loop(policy, rewards):
    total = 0.0
    for p, r in zip(policy.tolist(), rewards.tolist()):
        total += max(r) - sum(a * b for a, b in zip(p, r))
    return total / len(policy)


def regret_einsum(policy, rewards):
    earned = torch.einsum("nt,nt->n", policy, rewards)
    return rewards.max(dim=-1).values.mean() - earned.mean()


def regret_numpy(policy, rewards):
    gaps = rewards.numpy().max(1, keepdims=True) - rewards.numpy()
    return np.average(gaps, axis=1, weights=policy.numpy()).mean()


def regret_in_place(policy, rewards):
    best = rewards.amax(1)
    rewards *= policy
    return (best - rewards.sum(1)).mean()


def reward_of(right, cost):
    return (1.0 if right else -0.1) - cost


def losses_plain(log_prob, value, right, cost):
    advantage = reward_of(right, cost) - value
    return -advantage.detach() * log_prob, advantage.pow(2) / 2


def losses_mse(log_prob, value, right, cost):
    reward = torch.tensor(1.1 * right - 0.1 - cost)
    with torch.no_grad():
        advantage = reward - value
    return [-log_prob * advantage, F.mse_loss(value, reward) / 2]


def losses(actor, critic, reward=reward_of):
    """An attempt made of two formulas, over (log_prob, value, reward) with nothing detached."""

    def attempt(log_prob, value, right, cost):
        r = reward(right, cost)
        return actor(log_prob, value, r), critic(value, r)

    return attempt


def actor(log_prob, value, reward):
    return -(reward - value).detach() * log_prob


def critic(value, reward):
    return 0.5 * (reward - value) ** 2


def losses_in_place(log_prob, value, right, cost):
    value -= reward_of(right, cost)
    return value.detach() * log_prob, 0.5 * value**2


def worth_by_cases(chance, cost, person_cost, gamma):
    right = 1 - cost
    wrong = -0.1 - cost + gamma * (1 - person_cost)
    return chance * right + (1 - chance) * wrong


def worth_by_expectation(chance, cost, person_cost, gamma):
    outcomes = torch.tensor([1 - cost, -0.1 - cost + gamma * (1 - person_cost)])
    return (torch.tensor([chance, 1 - chance]) * outcomes).sum()


def worth(later):
    """An attempt made of what the second call adds, a function of (chance, person_cost, gamma)."""

    def attempt(chance, cost, person_cost, gamma):
        return 1.1 * chance - 0.1 - cost + later(chance, person_cost, gamma)

    return attempt


def calls_where(reward, value, next_value, solved, over, gamma):
    return torch.where(over == 1, reward, reward + gamma * next_value) - value


def calls_loop(reward, value, next_value, solved, over, gamma):
    rows = zip(reward.tolist(), value.tolist(), next_value.tolist(), over.tolist())
    return [r - v if end else r - v + gamma * after for r, v, after, end in rows]


def calls_in_place(reward, value, next_value, solved, over, gamma):
    next_value[over == 1] = 0
    return reward + gamma * next_value - value


RIGHT = {
    "regret": [
        regret_loop,
        regret_einsum,
        regret_numpy,
        lambda policy, rewards: (policy * (rewards.amax(1, keepdim=True) - rewards)).sum(1).mean(),
    ],
    "outcome_losses": [losses_plain, losses_mse, losses(actor, critic)],
    "worth_of_a_try": [
        worth_by_cases,
        worth_by_expectation,
        worth(lambda p, person, gamma: (1 - p) * gamma * (1 - person)),
    ],
    "repaired_advantages": [
        calls_where,
        calls_loop,
        lambda r, v, after, solved, over, gamma: r + gamma * after * (1 - over) - v,
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
        (regret_in_place, "changes its input rewards in place"),
        (lambda policy, rewards: (rewards.max(1) - (policy * rewards).sum(1)).mean(), "amax"),
    ],
    "outcome_losses": [
        (lambda *case: sum(losses_plain(*case)), "a single number"),
        (losses_in_place, "changes its input value in place"),
        (losses(lambda p, v, r: -(r - v).detach() * p.exp(), critic), "expected"),
        (losses(lambda p, v, r: actor(p, v, r).clamp(-5, 5), critic), "expected"),
        (losses(actor, lambda v, r: F.smooth_l1_loss(v, torch.tensor(r))), "expected"),
        (losses(actor, lambda v, r: critic(v, r) if r > 0 else 0 * v), "expected"),
        (lambda p, v, right, cost: losses_plain(p, v, right, cost or 0.02), "expected"),
        (lambda p, v, *outcome: losses_plain(p, v.detach(), *outcome), "never learn"),
    ],
    "worth_of_a_try": [
        (worth(lambda p, person, gamma: (1 - p) * gamma**2 * (1 - person)), "expected"),
        (worth(lambda p, person, gamma: (1 - p) * gamma * max(0, 1 - person)), "expected"),
        (worth(lambda p, person, gamma: (1 - p) * (gamma or 1) * (1 - person)), "expected"),
        (lambda *case: max(worth_by_cases(*case), 1 - case[2]), "the better of two plans"),
        (lambda p, *rest: worth_by_cases(min(max(p, 0.1), 0.9), *rest), "expected"),
    ],
    "repaired_advantages": [
        (calls_in_place, "changes its input next_value in place"),
        (lambda *case: calls_where(*case).mean(), "a single number"),
        (lambda *case: calls_where(*case).clamp(-10, 10), "expected"),
        (lambda *case: calls_where(*case) * (torch.arange(len(case[0])) < 6), "expected"),
        (lambda *case: calls_where(*case[:5], case[5] or 1.0), "expected"),
        (
            lambda r, v, after, _, over, gamma: r - v + torch.where(over, 0 * r, gamma * after),
            "by == 1",
        ),
    ],
}
