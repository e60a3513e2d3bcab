"""The checks of lesson 08: Bayes' rule, a backup, customers who change their mind."""

import itertools

import numpy as np
import torch

from helpers.checks.core import Check, numbers
from helpers.checks.slips import Formula, pairs

COSTS = "question_cost", "wrong_price", "escalation_cost"
RNG = np.random.default_rng(8)  # for the edges, which are the same each time


def _chance(says_1, accuracy):
    """P(this reply | intent 1)."""
    return torch.where(says_1 == 1, accuracy, 1 - accuracy)


_updated = Formula(
    "belief says_1 accuracy",
    if_1=lambda c: _chance(c.says_1, c.accuracy),
    if_2=lambda c: _chance(1 - c.says_1, c.accuracy),
    joint=lambda c: c.belief * c.if_1,
    reply=lambda c: c.joint + (1 - c.belief) * c.if_2,
    answer=lambda c: c.joint / c.reply,
)


def _fractions(rng, *shape):
    """Beliefs with two decimals, none of them one half."""
    steps = rng.choice([*range(6, 48), *range(53, 95)], shape)
    return torch.tensor(steps / 100, dtype=torch.float32)


def _said(rng, count, **fixed):
    says_1 = torch.tensor(rng.permutation([1.0, 0.0, *rng.integers(0, 2, count)][:count]))
    return {
        "belief": _fractions(rng, count),
        "says_1": says_1.float(),
        "accuracy": round(rng.uniform(0.6, 0.9), 2),
        **fixed,
    }


updated_belief = Check(
    "8.1",
    solution=_updated,
    example=_updated.case([0.5, 0.25], [1.0, 0.0], 0.8),
    edges=[
        _said(RNG, 4, belief=torch.tensor([0.0, 0.0, 0.9999, 0.9999]), accuracy=0.99),
        _updated.case([0.9999], [0.0], 0.9999),
        _said(RNG, 2, accuracy=0.5),
        _said(RNG, 1),
        _said(RNG, 40),
    ],
    draw=lambda rng: _said(rng, int(rng.integers(2, 9))),
    mistakes=pairs(
        _updated.but(answer=lambda c: c.joint),
        "That is P(intent 1 and this reply): divide by P(this reply), the sum over both intents.",
        _updated.then(says_1=torch.ones_like),
        "You treat each reply as one for intent 1: where says_1 is 0, its chance is 1 - accuracy there.",
        lambda b, says, q: (_updated(b, torch.ones_like(says), q) - (1 - says)).abs(),
        "For a reply that names intent 2, 1 - b' is wrong: swap q and 1 - q in the formula.",
        _updated.then(says_1=lambda says: 1 - says),
        "The replies count the wrong way round: one for intent 1 must raise the belief.",
        _updated.then(belief=lambda b: torch.full_like(b, 0.5)),
        "What was believed before is never used: it need not be one half.",
        lambda b, says, q: torch.where(says == 1, _updated(b, says, q), b),
        "A reply for intent 2 changes nothing in your function, but it is evidence as well.",
        _updated.but(answer=lambda c: c.belief),
        "Your beliefs stay as they are: a reply has the probability q under one intent, 1 - q under the other.",
        _updated.but(reply=lambda c: c.belief * c.if_2 + (1 - c.belief) * c.if_1),
        "q and 1 - q are swapped in the denominator: its first term is the numerator.",
        _updated.but(reply=lambda c: c.belief * c.accuracy + (1 - c.belief) * (1 - c.accuracy)),
        "For a reply that names intent 2, swap q and 1 - q in the denominator too.",
        _updated.but(reply=lambda c: c.joint + (1 - c.joint) * c.if_2),
        "belief is overwritten before it is used again: 1 - belief must be the one from before.",
        _updated.then(answer=lambda x: 1 - x),
        "That is the belief in intent 2.",
        _updated.but(reply=lambda c: (1 - c.belief) * c.if_2),
        "These are the odds: divide by P(this reply), the sum over both intents.",
        _updated.but(reply=lambda c: c.joint.sum()),
        "You divide by the sum over all customers: each has beliefs of their own.",
        [_updated.but(answer=lambda c, e=e: c.joint / (c.reply + e)) for e in (1e-5, 1e-6, 1e-7)],
        "A small number added to the denominator changes the answer: it is never 0 here.",
    ),
)


_backed_up = Formula(
    "belief value_1 value_2 accuracy question_cost wrong_price escalation_cost",
    sure=lambda c: torch.maximum(c.belief, 1 - c.belief),
    paid=lambda c: c.wrong_price * (1 - c.sure),
    names_1=lambda c: c.belief * c.accuracy + (1 - c.belief) * (1 - c.accuracy),
    names_2=lambda c: 1 - c.names_1,
    after=lambda c: c.names_1 * c.value_1 + c.names_2 * c.value_2,
    columns=lambda c: (c.sure - c.paid, c.after - c.question_cost, 0 * c.sure - c.escalation_cost),
    answer=lambda c: torch.stack(c.columns, -1),
)


def _turned(*costs):
    return _backed_up.then(**dict.fromkeys(costs, lambda x: -x))


def _priced(rng, count, **fixed):
    values = numbers(rng, 2, count, low=-1, high=1)
    return {
        "belief": torch.cat([torch.tensor([0.1]), _fractions(rng, count)])[:count],
        "value_1": values[0],
        "value_2": values[1] + 0.35,
        "accuracy": round(rng.uniform(0.6, 0.9), 2),
        "question_cost": round(rng.uniform(0.05, 0.3), 2),
        "wrong_price": round(rng.uniform(1.5, 4), 1),
        "escalation_cost": round(rng.uniform(0.1, 0.5), 2),
        **fixed,
    }


backed_up = Check(
    "8.2",
    solution=_backed_up,
    example=_backed_up.case([0.75, 0.1], [0.6, 0.1], [0.2, 0.9], 0.8, 0.1, 2.0, 0.3),
    edges=[
        _priced(RNG, 3, belief=torch.tensor([0.0, 0.5, 1.0]), accuracy=1.0),
        _priced(RNG, 2, question_cost=0.0, wrong_price=0.0, escalation_cost=0.0, accuracy=0.5),
        _priced(RNG, 1),
        _priced(RNG, 40),
    ],
    draw=lambda rng: _priced(rng, int(rng.integers(2, 9))),
    mistakes=pairs(
        _backed_up.but(sure=lambda c: c.belief),
        "Your bot always answers intent 1: naming the likelier, it is right with max(b, 1 - b).",
        _backed_up.but(wrong_price=lambda c: 0),
        "A wrong answer costs nothing in your function: wrong_price is missing.",
        _backed_up.but(question_cost=lambda c: 0),
        "The question is free in your function: question_cost is missing.",
        _backed_up.but(escalation_cost=lambda c: 0),
        "Handing over is free in your function: escalation_cost is missing.",
        _backed_up.but(paid=lambda c: c.wrong_price),
        "You charge the price of a wrong answer always: it is paid with the probability 1 - max(b, 1 - b).",
        _backed_up.but(names_1=lambda c: c.belief),
        "Replies can be wrong: one names intent 1 with the probability b q + (1 - b)(1 - q), not b.",
        _backed_up.but(names_1=lambda c: c.accuracy),
        "accuracy is the reply's probability for those who want intent 1: the others name it too.",
        _backed_up.but(names_1=lambda c: 0.5),
        "You take both replies for equally likely: they are so where the belief is one half.",
        _backed_up.but(after=lambda c: c.names_2 * c.value_1 + c.names_1 * c.value_2),
        "The two values are swapped: value_1 is what follows a reply for intent 1.",
        _backed_up.but(after=lambda c: torch.maximum(c.value_1, c.value_2)),
        "The bot cannot choose the reply: take the mean over both values, not the better one.",
        [_turned(*costs) for n in (1, 2, 3) for costs in itertools.combinations(COSTS, n)],
        "You add what has to be paid: a cost has a minus.",
        [
            _backed_up.but(names_1=lambda c: c.belief * c.accuracy),
            _backed_up.but(
                names_1=lambda c: c.belief * c.accuracy,
                names_2=lambda c: (1 - c.belief) * (1 - c.accuracy),
            ),
        ],
        "b q is not all: those who want 2 and are misunderstood, (1 - b)(1 - q), name intent 1 too.",
        _backed_up.then(answer=lambda x: x.amax(-1)),
        "That is the value of the best action: return one number for each of the three.",
        _backed_up.then(answer=torch.t),
        "The axes are swapped: one row for each belief, one column for each action.",
        _backed_up.then(answer=lambda x: x[:, [0, 2, 1]]),
        "The order of the columns is answer, clarify, escalate.",
    ),
)


_replies = Formula(
    "belief luck accuracy",
    wants_1=lambda c: c.luck[:, :1] < c.belief[:, None],
    heard=lambda c: c.luck[:, 1:] < c.accuracy,
    says_1=lambda c: torch.where(c.heard, c.wants_1, ~c.wants_1).expand(c.luck[:, 1:].shape),
    answer=lambda c: c.says_1.float(),
)


def _wanting(*columns):
    """What is wanted is decided by these columns of luck."""
    return _replies.but(wants_1=lambda c: c.luck[:, slice(*columns)] < c.belief[:, None])


def _hearing(*columns):
    """What is understood is decided by these columns of luck."""
    return _replies.but(heard=lambda c: c.luck[:, slice(*columns)] < c.accuracy)


def _drawn_apart(c):
    names_1 = c.belief * c.accuracy + (1 - c.belief) * (1 - c.accuracy)
    return c.luck[:, 1:] < names_1[:, None]


def _luck(rng, customers, replies, **fixed):
    luck = rng.choice(np.arange(1, 100), (customers, replies + 1)) / 100 + 0.005  # never a tie
    luck[:2, 0] = [0.995, 0.005][:customers]
    luck[:, -1] = rng.choice([0.015, 0.985], customers)
    return {
        "belief": _fractions(rng, customers),
        "luck": torch.tensor(luck, dtype=torch.float32),
        "accuracy": round(rng.uniform(0.6, 0.9), 2),
        **fixed,
    }


repaired_replies = Check(
    "8.3",
    solution=_replies,
    example=_replies.case([0.5, 0.7], [[0.4, 0.6, 0.9, 0.7], [0.6, 0.75, 0.1, 0.95]], 0.8),
    edges=[
        _luck(RNG, 3, 4, belief=torch.tensor([0.0, 1.0, 0.5]), accuracy=1.0),
        _luck(RNG, 2, 3, accuracy=0.5),
        _luck(RNG, 1, 1),
        _luck(RNG, 12, 40),
    ],
    draw=lambda rng: _luck(rng, int(rng.integers(2, 6)), int(rng.integers(2, 9))),
    mistakes=pairs(
        [_wanting(-1), _wanting(1, None)],
        "The bug is still there: each question draws a new wish. Draw it once, from the first column.",
        [_wanting(1, 2), _wanting(-1, None)],
        "The customer wants one thing now, but another column decides it: the first does.",
        [_hearing(-1), _hearing(1)],
        "The first column is used twice: it decides the wish, and luck[:, 1:] what is understood.",
        _hearing(1, 2),
        "One number decides whether all replies of a customer are understood: each has its own.",
        _replies.but(says_1=lambda c: c.wants_1.expand(c.heard.shape)),
        "The customer is always understood here: a reply is wrong with the probability 1 - accuracy.",
        _replies.but(says_1=lambda c: c.heard),
        "You return which replies are understood: where they are, they say what is wanted.",
        _replies.but(says_1=_drawn_apart),
        "Each reply has the right probability, but one customer's must hang together: by the wish.",
        _replies.then(says_1=torch.logical_not),
        "The replies are the wrong way round: 1 is wanted where luck < belief, heard where < accuracy.",
        _replies.then(belief=lambda b: torch.full_like(b, 0.5)),
        "belief is never used: it need not be one half.",
    ),
)
