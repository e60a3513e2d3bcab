"""The checks of lesson 06: regret, an outcome's losses, the worth of a try, a planted bug."""

import numpy as np
import torch

from helpers.checks.core import Check, numbers
from helpers.checks.slips import NO_GAMMA, Formula, of_actor_and_critic, of_td_error, pairs

_regret = Formula(
    "policy rewards",
    best=lambda c: c.rewards.amax(1),
    earned=lambda c: (c.policy * c.rewards).sum(1),
    each=lambda c: c.best - c.earned,
    answer=lambda c: c.each.mean(),
)


def _table(rng, requests, tools, low=-1, high=1):
    weights = torch.tensor(rng.integers(1, 10, (requests, tools)), dtype=torch.float32)
    rewards = numbers(rng, requests, tools, low=low, high=high)
    return _regret.case(weights / weights.sum(1, keepdim=True), rewards)


_rng = np.random.default_rng(6)

regret = Check(
    "6.1",
    solution=_regret,
    example=_regret.case(
        [[0.5, 0.25, 0.25], [0.0, 0.25, 0.75]], [[1.0, 0.0, 0.6], [0.0, -0.2, 0.4]]
    ),
    edges=[
        _table(_rng, 40, 7),
        _table(_rng, 1, 3),
        _table(_rng, 4, 1),
        _table(_rng, 5, 3, low=-90, high=-10),
        _regret.case(torch.eye(3)[:2], numbers(_rng, 2, 3) / 1000),
    ],
    draw=lambda rng: _table(rng, *rng.permutation([2, 3, 4, 5])[:2]),  # no square: it hides an axis
    mistakes=pairs(
        _regret.then(answer=torch.neg),
        "The sign is the wrong way round: regret is what is missing, best minus earned.",
        _regret.but(answer=lambda c: c.each.sum()),
        "That is the total over the requests: take their mean.",
        _regret.but(answer=lambda c: c.each),
        "That is the regret of each request: return their mean, a single number.",
        _regret.but(each=lambda c: c.earned),
        "That is what the policy earns: subtract it from what the best tools earn.",
        _regret.but(best=lambda c: c.rewards.mean(0).max()),
        "You compare with the best single tool: each request has a best tool of its own.",
        _regret.but(best=lambda c: c.rewards.max()),
        "You compare with the largest number of the whole table: take the largest of each row.",
        _regret.but(earned=lambda c: c.rewards.mean(1)),
        "The policy is not used: weigh each tool's reward by its probability.",
        _regret.but(best=lambda c: c.rewards.argmax(1)),
        "argmax gives the number of the best tool: what it earns is amax.",
        _regret.but(each=lambda c: (c.policy.argmax(1) != c.rewards.argmax(1)).float()),
        "That counts how often the likeliest tool is not the best: regret weighs what it costs.",
        _regret.but(each=lambda c: c.rewards.amax(1) - c.policy @ c.rewards.T),
        "policy @ rewards.T pairs each request with all others: use *, and add along each row.",
        _regret.but(earned=lambda c: c.rewards.gather(1, c.policy.argmax(1, keepdim=True))[:, 0]),
        "That is the regret of the likeliest tool alone: the agent calls the others too.",
        _regret.but(each=lambda c: c.rewards.amax(1, keepdim=True) - c.policy * c.rewards),
        "You take the mean over the tools as well: add over them, take the mean over the requests.",
        _regret.but(each=lambda c: c.rewards.amax(0) - (c.policy * c.rewards).sum(0)),
        "The best is taken along the wrong axis: the tools of one request lie in a row, axis 1.",
    ),
)


_outcome_losses = Formula(
    "log_prob value right cost",
    answered=lambda c: 1.0 if c.right else -0.1,
    target=lambda c: torch.zeros_like(c.value) + c.answered - c.cost,
    actor=lambda c: -(c.target - c.value).detach() * c.log_prob,
    critic=lambda c: 0.5 * (c.target - c.value) ** 2,
    answer=lambda c: (c.actor, c.critic),
)


def _outcome(log_prob, value, right, cost):
    return _outcome_losses.case(torch.tensor(log_prob), torch.tensor(value), right, cost)


def _draw_outcome(rng):
    log_prob, value, cost = rng.uniform([-3, -1, 0.1], [-0.1, 1, 0.6]).round(1).tolist()
    return _outcome(log_prob, value, bool(rng.random() < 0.5), cost)


outcome_losses = Check(
    "6.2",
    slopes=["log_prob", "value"],
    solution=_outcome_losses,
    example=_outcome(-0.5, 0.3, False, 0.2),
    edges=[
        _outcome(-0.7, 0.4, True, 0.0),
        _outcome(-0.7, 0.4, False, 0.0),
        _outcome(-20.0, -50.0, True, 3.0),
        _outcome(-0.001, 0.799, True, 0.2),
    ],
    draw=_draw_outcome,
    mistakes=pairs(
        _outcome_losses.but(cost=lambda c: 0.0),
        "The tool's cost is missing: whoever pays nothing always asks the person.",
        _outcome_losses.but(cost=lambda c: c.cost if c.right else 0.0),
        "The cost is missing where the answer is wrong: a tool is paid for being called.",
        _outcome_losses.but(cost=lambda c: -c.cost),
        "The cost is added: it has to be taken from the reward.",
        _outcome_losses.but(answered=lambda c: 1.0 if c.right else 0.0),
        "A wrong answer earns -0.1 before the cost, not 0.",
        _outcome_losses.but(answered=lambda c: 1.0 if c.right else 0.1),
        "A wrong answer earns -0.1 before the cost: the minus is missing.",
    )
    + of_actor_and_critic(_outcome_losses),
)


_try = Formula(
    "chance cost person_cost gamma",
    after=lambda c: c.gamma * (1.0 - c.person_cost),
    answer=lambda c: c.chance + (1 - c.chance) * (-0.1 + c.after) - c.cost,
)


_RANGES = [0.1, 0.1, 0.4, 0.3], [0.9, 0.3, 0.8, 0.9]  # of a drawn case's numbers

worth_of_a_try = Check(
    "6.3",
    solution=_try,
    example=_try.case(0.6, 0.2, 0.5, 0.8),
    edges=[
        _try.case(0.0, 0.2, 0.5, 0.8),
        _try.case(1.0, 0.2, 0.5, 0.8),
        _try.case(0.3, 0.0, 0.0, 1.0),
        _try.case(0.3, 0.04, 1.5, 0.9),  # the person costs more than a right answer earns
        _try.case(0.01, 0.9, 0.5, 0.0),
    ],
    draw=lambda rng: _try.case(*rng.uniform(*_RANGES).round(2).tolist()),
    mistakes=pairs(
        _try.but(answer=lambda c: c.chance - 0.1 * (1 - c.chance) + c.after - c.cost),
        "You count the person's call always, but it only follows a wrong answer: weigh it with 1 - chance.",
        _try.but(answer=lambda c: c.chance * (1 + c.after) - 0.1 * (1 - c.chance) - c.cost),
        "The person's call has the wrong weight: it follows the wrong answer, not the right one.",
        _try.but(gamma=lambda c: 1.0),
        NO_GAMMA,
        _try.but(after=lambda c: 0.0),
        "That is the worth of the first call alone: after a wrong answer the person's call follows.",
        _try.but(after=lambda c: c.gamma * (0.9 - c.person_cost) + 0.1),
        "The -0.1 is paid at once, with the wrong answer: discount the person's call alone.",
        lambda chance, cost, person, gamma: gamma * _try(chance, cost, person, 1.0),
        "gamma discounts everything here: only the person's call comes a step later.",
        _try.but(person_cost=lambda c: 0.0),
        "The person's price is missing: their call earns 1 minus person_cost.",
        _try.but(after=lambda c: -c.gamma * c.person_cost),
        "The person's call only costs here, but it also earns 1, for the person is right.",
        lambda chance, cost, person, gamma: _try(chance, cost, 0.0, gamma) - person,
        "You pay the person in any case, and at once: pay where they are called, one step later.",
        _try.but(after=lambda c: c.gamma - c.person_cost),
        "gamma discounts the person's whole call: what it earns and what it costs.",
        _try.but(after=lambda c: c.gamma * (1 - c.person_cost) + 0.1),
        "A wrong answer earns -0.1, which is missing.",
        _try.but(cost=lambda c: 0.0),
        "The tool's cost is missing.",
        [
            _try.but(cost=lambda c: c.chance * c.cost),
            _try.but(cost=lambda c: (1 - c.chance) * c.cost),
        ],
        "The cost depends on the answer here: a tool is paid for being called.",
        _try.but(cost=lambda c: -c.cost),
        "The cost is added: it has to be taken away.",
        [
            lambda *case: max(_try(*case), 1 - case[2]),
            lambda *case: max(_try(*case), case[3] * (1 - case[2])),
        ],
        "You take the better of two plans: here the worth of this one is asked for.",
    ),
)


_advantages = Formula(
    "reward value next_value solved over gamma",
    goes_on=lambda c: 1 - c.over,
    answer=lambda c: c.reward + c.gamma * c.next_value * c.goes_on - c.value,
)


def _calls(rng, calls, gamma, size=1, solved=0.4, over=0.4):
    """Of the first three one is solved, one is given up and one goes on, if there are so many."""
    solved = torch.tensor(rng.random(calls) < solved).float()
    over = torch.maximum(solved, torch.tensor(rng.random(calls) < over).float())
    solved[:3], over[:3] = torch.tensor([1.0, 0, 0])[:calls], torch.tensor([1.0, 1, 0])[:calls]
    reward, value = numbers(rng, 2, calls, low=-size, high=size)
    next_value = numbers(rng, calls, low=0.1, high=size)
    return _advantages.case(reward, value, next_value, solved, over, gamma)


repaired_advantages = Check(
    "6.4",
    solution=_advantages,
    example=_advantages.case(
        [0.9, -0.2, -0.2], [0.5, 0.5, 0.5], [0.8, 0.6, 0.4], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0], 0.5
    ),
    edges=[
        _calls(_rng, 40, 0.95, size=50),
        _calls(_rng, 1, 0.5),
        _calls(_rng, 5, 0.0),
        _calls(_rng, 6, 1.0, solved=1.0),
        _calls(_rng, 6, 1.0, solved=0.0, over=1.0),
        _calls(_rng, 6, 0.9, solved=0.0, over=0.0),
    ],
    draw=lambda rng: _calls(rng, int(rng.integers(4, 7)), round(rng.uniform(0.3, 0.9), 1)),
    mistakes=pairs(
        _advantages.but(goes_on=lambda c: 1 - c.solved),
        "The bug is still there: where a request is given up, you count the value of the next request.",
        _advantages.but(goes_on=lambda c: 0),
        "Nothing is ever bootstrapped, but a request that goes on is worth something.",
        _advantages.but(goes_on=lambda c: 1 - c.over + c.solved),
        "A request that is solved is over as well: the next value does not belong to it either.",
    )
    + of_td_error(_advantages),
)
