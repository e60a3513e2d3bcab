"""The checks of lesson 06: regret, an outcome's losses, the worth of a try, a planted bug."""

import torch

from helpers.checks.core import Check, numbers


def _regret(policy, rewards):
    return (rewards.amax(1) - (policy * rewards).sum(1)).mean()


def _draw_policy(rng):
    requests, tools = int(rng.integers(3, 6)), int(rng.integers(2, 5))
    while requests == tools:  # a square table would hide a wrong axis
        tools = int(rng.integers(2, 5))
    weights = torch.tensor(rng.integers(1, 10, (requests, tools)), dtype=torch.float32)
    return {
        "policy": weights / weights.sum(1, keepdim=True),
        "rewards": numbers(rng, requests, tools, low=-1, high=1),
    }


regret = Check(
    "6.1",
    solution=_regret,
    example={
        "policy": torch.tensor([[0.5, 0.25, 0.25], [0.0, 0.25, 0.75]]),
        "rewards": torch.tensor([[1.0, 0.0, 0.6], [0.0, -0.2, 0.4]]),
    },
    draw=_draw_policy,
    mistakes=[
        (
            lambda policy, rewards: -_regret(policy, rewards),
            "The sign is the wrong way round: regret is what is missing, best minus earned.",
        ),
        (
            lambda policy, rewards: (rewards.amax(1) - (policy * rewards).sum(1)).sum(),
            "That is the total over the requests: take their mean.",
        ),
        (
            lambda policy, rewards: rewards.amax(1) - (policy * rewards).sum(1),
            "That is the regret of each request: return their mean, a single number.",
        ),
        (
            lambda policy, rewards: (policy * rewards).sum(1).mean(),
            "That is what the policy earns: subtract it from what the best tools earn.",
        ),
        (
            lambda policy, rewards: rewards.mean(0).max() - (policy * rewards).sum(1).mean(),
            "You compare with the best single tool: each request has a best tool of its own.",
        ),
        (
            lambda policy, rewards: rewards.max() - (policy * rewards).sum(1).mean(),
            "You compare with the largest number of the whole table: take the largest of each row.",
        ),
        (
            lambda policy, rewards: (rewards.amax(1) - rewards.mean(1)).mean(),
            "The policy is not used: weigh each tool's reward by its probability.",
        ),
        (
            lambda policy, rewards: (
                rewards.amax(1) - rewards.gather(1, policy.argmax(1, keepdim=True))[:, 0]
            ).mean(),
            "That is the regret of the likeliest tool alone: the agent calls the others, too, as "
            "often as its policy says.",
        ),
        (
            lambda policy, rewards: (rewards.amax(1, keepdim=True) - policy * rewards).mean(),
            "You take the mean over the tools as well: add over the tools, then take the mean over "
            "the requests.",
        ),
        (
            lambda policy, rewards: (rewards.amax(0) - (policy * rewards).sum(0)).mean(),
            "The best is taken along the wrong axis: the tools of one request lie in a row, axis 1.",
        ),
    ],
)


def _outcome_losses(log_prob, value, right, cost):
    reward = (1.0 if right else -0.1) - cost
    advantage = reward - value
    return -advantage.detach() * log_prob, 0.5 * advantage**2


def _variant(make, reward=lambda right, cost: (1.0 if right else -0.1) - cost):
    """A mistake: make(log_prob, value, reward) with nothing detached, and perhaps another reward."""
    return lambda log_prob, value, right, cost: make(log_prob, value, reward(right, cost))


def _losses_of(log_prob, value, reward):
    return -(reward - value).detach() * log_prob, 0.5 * (reward - value) ** 2


def _draw_outcome(rng):
    return {
        "log_prob": -numbers(rng, low=0.1, high=3),
        "value": numbers(rng, low=-1, high=1),
        "right": bool(rng.random() < 0.5),
        "cost": round(rng.uniform(0.1, 0.6), 1),
    }


outcome_losses = Check(
    "6.2",
    slopes=["log_prob", "value"],
    solution=_outcome_losses,
    example={
        "log_prob": torch.tensor(-0.5),
        "value": torch.tensor(0.3),
        "right": False,
        "cost": 0.2,
    },
    draw=_draw_outcome,
    mistakes=[
        (
            _variant(lambda log_prob, v, r: (-(r - v) * log_prob, 0.5 * (r - v) ** 2)),
            "The actor's loss has a slope for value: the advantage is data to the actor, so detach "
            "it there.",
        ),
        (
            _variant(lambda log_prob, v, r: ((r - v).detach() * log_prob, 0.5 * (r - v) ** 2)),
            "The actor's sign is the wrong way round: a loss is made small, so a good outcome needs "
            "a minus.",
        ),
        (
            _variant(lambda log_prob, v, r: (-r * log_prob, 0.5 * (r - v) ** 2)),
            "The actor's loss uses the reward: weigh log_prob by the advantage, reward minus value.",
        ),
        (
            _variant(
                lambda log_prob, v, r: (-(r - v).detach() * log_prob, 0.5 * (r - v).detach() ** 2)
            ),
            "The critic's loss has no slope, so the critic would never learn: detach in the actor's "
            "loss alone.",
        ),
        (
            _variant(lambda log_prob, v, r: (-(r - v).detach() * log_prob, (r - v) ** 2)),
            "The critic's loss is twice as large as asked for: half the square is wanted.",
        ),
        (
            _variant(_losses_of, lambda right, cost: 1.0 if right else -0.1),
            "The tool's cost is missing: whoever pays nothing always asks the person.",
        ),
        (
            _variant(_losses_of, lambda right, cost: 1.0 - cost if right else -0.1),
            "The cost is missing where the answer is wrong: a tool is paid for being called.",
        ),
        (
            _variant(_losses_of, lambda right, cost: (1.0 if right else -0.1) + cost),
            "The cost is added: it has to be taken from the reward.",
        ),
        (
            _variant(_losses_of, lambda right, cost: (1.0 if right else 0.0) - cost),
            "A wrong answer earns -0.1 before the cost, not 0.",
        ),
        (
            _variant(lambda *case: _losses_of(*case)[::-1]),
            "The two losses are swapped: the actor's comes first.",
        ),
    ],
)


def _try(chance, cost, person_cost, gamma):
    after = 1.0 - person_cost
    return chance * 1.0 + (1 - chance) * (-0.1 + gamma * after) - cost


def _draw_try(rng):
    return {
        "chance": round(rng.uniform(0.1, 0.9), 1),
        "cost": round(rng.uniform(0.1, 0.3), 2),
        "person_cost": round(rng.uniform(0.4, 0.8), 1),
        "gamma": round(rng.uniform(0.3, 0.9), 1),
    }


worth_of_a_try = Check(
    "6.3",
    solution=_try,
    example={"chance": 0.6, "cost": 0.2, "person_cost": 0.5, "gamma": 0.8},
    draw=_draw_try,
    mistakes=[
        (
            lambda p, cost, person, gamma: p - 0.1 * (1 - p) - cost + gamma * (1 - person),
            "You count the person's call always, but it only follows a wrong answer: weigh it with "
            "1 - chance.",
        ),
        (
            lambda p, cost, person, gamma: p * (1 + gamma * (1 - person)) - 0.1 * (1 - p) - cost,
            "The person's call has the wrong weight: it follows the wrong answer, not the right one.",
        ),
        (
            lambda p, cost, person, gamma: _try(p, cost, person, 1.0),
            "gamma is never used: the person's call comes one step later.",
        ),
        (
            lambda p, cost, person, gamma: _try(p, cost, person, 0.0),
            "That is the worth of the first call alone: after a wrong answer the request stays, and "
            "the person's call follows.",
        ),
        (
            lambda p, cost, person, gamma: p + (1 - p) * gamma * (-0.1 + 1 - person) - cost,
            "The -0.1 is paid at once, with the wrong answer: discount the person's call alone.",
        ),
        (
            lambda p, cost, person, gamma: gamma * _try(p, cost, person, 1.0),
            "gamma discounts everything here, but the first call is paid at once: only the person's "
            "call comes a step later.",
        ),
        (
            lambda p, cost, person, gamma: _try(p, cost, 0.0, gamma),
            "The person's price is missing: their call earns 1 minus person_cost.",
        ),
        (
            lambda p, cost, person, gamma: p + (1 - p) * (-0.1 - gamma * person) - cost,
            "The person's call only costs here, but it also earns 1, for the person is right.",
        ),
        (
            lambda p, cost, person, gamma: _try(p, cost, person, gamma) + 0.1 * (1 - p),
            "A wrong answer earns -0.1, which is missing.",
        ),
        (
            lambda p, cost, person, gamma: _try(p, 0.0, person, gamma),
            "The tool's cost is missing.",
        ),
        (
            lambda p, cost, person, gamma: _try(p, p * cost, person, gamma),
            "The cost is charged on a right answer only: a tool is paid for being called.",
        ),
        (
            lambda p, cost, person, gamma: _try(p, (1 - p) * cost, person, gamma),
            "The cost is charged on a wrong answer only: a tool is paid for being called.",
        ),
        (
            lambda p, cost, person, gamma: _try(p, -cost, person, gamma),
            "The cost is added: it has to be taken away.",
        ),
    ],
)


def _advantages(reward, value, next_value, solved, over, gamma):
    return reward + gamma * next_value * (1 - over) - value


def _draw_calls(rng):
    calls = int(rng.integers(4, 7))
    solved = torch.tensor(rng.random(calls) < 0.4).float()
    over = torch.maximum(solved, torch.tensor(rng.random(calls) < 0.4).float())
    solved[:3], over[:3] = torch.tensor([1.0, 0, 0]), torch.tensor([1.0, 1, 0])
    return {
        "reward": numbers(rng, calls, low=-1, high=1),
        "value": numbers(rng, calls, low=-1, high=1),
        "next_value": numbers(rng, calls, low=0.1, high=1),
        "solved": solved,
        "over": over,
        "gamma": round(rng.uniform(0.3, 0.9), 1),
    }


repaired_advantages = Check(
    "6.4",
    solution=_advantages,
    example={
        "reward": torch.tensor([0.9, -0.2, -0.2]),
        "value": torch.tensor([0.5, 0.5, 0.5]),
        "next_value": torch.tensor([0.8, 0.6, 0.4]),
        "solved": torch.tensor([1.0, 0.0, 0.0]),
        "over": torch.tensor([1.0, 1.0, 0.0]),
        "gamma": 0.5,
    },
    draw=_draw_calls,
    mistakes=[
        (
            lambda r, v, after, solved, over, gamma: r + gamma * after * (1 - solved) - v,
            "The bug is still there: after a wrong answer that ended the request, you count the "
            "value of the next request, which has nothing to do with this one.",
        ),
        (
            lambda r, v, after, solved, over, gamma: r - v,
            "Nothing is ever bootstrapped: that is right if each request gets one call, but a "
            "request that goes on is worth something.",
        ),
        (
            lambda r, v, after, solved, over, gamma: r + gamma * after - v,
            "Now the next value always counts: it belongs to this request only while that goes on.",
        ),
        (
            lambda r, v, after, solved, over, gamma: r + gamma * after * over - v,
            "The mask is the wrong way round: the next value counts where the request is not over.",
        ),
        (
            lambda r, v, after, solved, over, gamma: r + after * (1 - over) - v,
            "gamma is never used: the next call comes one step later.",
        ),
        (
            lambda r, v, after, solved, over, gamma: r + gamma * after * (1 - over),
            "That is the target: take away what the critic expected, the value.",
        ),
        (
            lambda r, v, after, solved, over, gamma: -_advantages(r, v, after, solved, over, gamma),
            "The sign is the wrong way round: better than expected is positive.",
        ),
        (
            lambda r, v, after, solved, over, gamma: (r + gamma * after - v) * (1 - over),
            "You drop the call that ends a request, but its reward and its value count. Only what "
            "follows is 0.",
        ),
        (
            lambda r, v, after, solved, over, gamma: (
                r + gamma * after * (1 - over) * (1 - solved) - v * (1 - over)
            ),
            "The value must be taken away at the last call, too.",
        ),
    ],
)
