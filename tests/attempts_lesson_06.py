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


def regret_of_two(policy, rewards):
    earned = policy[:, 0] * rewards[:, 0] + policy[:, 1] * rewards[:, 1]
    return (rewards.amax(1) - earned).mean()


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
        (lambda policy, rewards: -regret_loop(policy, rewards), "sign"),
        (lambda policy, rewards: regret_loop(policy, rewards) * len(policy), "take their mean"),
        (lambda policy, rewards: rewards.amax(1) - (policy * rewards).sum(1), "single number"),
        (lambda policy, rewards: (policy * rewards).sum(1).mean(), "what the policy earns"),
        (lambda policy, rewards: (rewards.amax(1) - rewards.mean(1)).mean(), "not used"),
        (
            lambda policy, rewards: (rewards.amax(0) - (policy * rewards).sum(0)).mean(),
            "wrong axis",
        ),
        (
            lambda policy, rewards: rewards.mean(0).max() - (policy * rewards).sum(1).mean(),
            "best single tool",
        ),
        (
            lambda policy, rewards: (
                rewards.amax(1) - rewards[range(len(policy)), policy.argmax(1)]
            ).mean(),
            "likeliest tool alone",
        ),
        (regret_in_place, "changes its input rewards in place"),
        (regret_of_two, "expected"),
        (lambda policy, rewards: 0.31, "use its arguments"),
    ],
    "outcome_losses": [
        (losses(lambda p, v, r: -(r - v) * p, critic), "slope for value"),
        (losses(lambda p, v, r: (r - v).detach() * p, critic), "a good outcome needs a minus"),
        (losses(lambda p, v, r: -r * p, critic), "uses the reward"),
        (losses(actor, lambda v, r: 0.5 * (r - v).detach() ** 2), "never learn"),
        (losses(actor, lambda v, r: (r - v) ** 2), "half the square"),
        (losses(actor, critic, lambda right, cost: 1.0 if right else -0.1), "cost is missing"),
        (
            losses(actor, critic, lambda right, cost: 1.0 - cost if right else -0.1),
            "missing where the answer is wrong",
        ),
        (losses(actor, critic, lambda right, cost: reward_of(right, -cost)), "added"),
        (losses(actor, critic, lambda right, cost: float(right) - cost), "not 0"),
        (lambda *case: losses_plain(*case)[::-1], "swapped"),
        (lambda *case: sum(losses_plain(*case)), "a single number"),
        (losses_in_place, "changes its input value in place"),
        (losses(lambda p, v, r: -(r - v).detach() * p.exp(), critic), "expected"),
    ],
    "worth_of_a_try": [
        (worth(lambda p, person, gamma: gamma * (1 - person)), "1 - chance"),
        (worth(lambda p, person, gamma: p * gamma * (1 - person)), "not the right one"),
        (worth(lambda p, person, gamma: (1 - p) * (1 - person)), "gamma is never used"),
        (worth(lambda p, person, gamma: 0.0), "first call alone"),
        (
            worth(lambda p, person, gamma: (1 - p) * (gamma * (0.9 - person) + 0.1)),
            "paid at once, with the wrong answer",
        ),
        (
            lambda p, cost, person, gamma: gamma * worth_by_cases(p, cost, person, 1.0),
            "discounts everything",
        ),
        (worth(lambda p, person, gamma: (1 - p) * gamma), "price is missing"),
        (worth(lambda p, person, gamma: -(1 - p) * gamma * person), "also earns 1"),
        (
            worth(lambda p, person, gamma: (1 - p) * (0.1 + gamma * (1 - person))),
            "-0.1, which is missing",
        ),
        (
            lambda p, cost, person, gamma: worth_by_cases(p, 0.0, person, gamma),
            "tool's cost is missing",
        ),
        (
            lambda p, cost, person, gamma: worth_by_cases(p, p * cost, person, gamma),
            "on a right answer only",
        ),
        (
            lambda p, cost, person, gamma: worth_by_cases(p, (1 - p) * cost, person, gamma),
            "on a wrong answer only",
        ),
        (lambda p, cost, person, gamma: worth_by_cases(p, -cost, person, gamma), "added"),
        (worth(lambda p, person, gamma: (1 - p) * gamma**2 * (1 - person)), "expected"),
    ],
    "repaired_advantages": [
        (
            lambda r, v, after, solved, over, gamma: r + gamma * after * (1 - solved) - v,
            "The bug is still there",
        ),
        (lambda r, v, after, solved, over, gamma: r - v, "Nothing is ever bootstrapped"),
        (lambda r, v, after, solved, over, gamma: r + gamma * after - v, "always counts"),
        (lambda r, v, after, solved, over, gamma: r + gamma * after * over - v, "wrong way round"),
        (lambda r, v, after, solved, over, gamma: r + after * (1 - over) - v, "never used"),
        (lambda r, v, after, solved, over, gamma: r + gamma * after * (1 - over), "the target"),
        (
            lambda r, v, after, solved, over, gamma: v - r - gamma * after * (1 - over),
            "sign",
        ),
        (
            lambda r, v, after, solved, over, gamma: (r + gamma * after - v) * (1 - over),
            "drop the call",
        ),
        (calls_in_place, "changes its input next_value in place"),
        (
            lambda r, v, after, solved, over, gamma: (r + gamma * after * (1 - over) - v).mean(),
            "a single number",
        ),
        (
            lambda r, v, after, solved, over, gamma: r + gamma * after.roll(-1) * (1 - over) - v,
            "expected",
        ),
    ],
}
