"""The checks of lesson 08: Bayes' rule, one step of value iteration, customers who change their mind."""

import numpy as np
import torch

from helpers.checks.core import Check


def _updated(belief, says_1, accuracy):
    if_1 = torch.where(says_1 == 1, accuracy, 1 - accuracy)
    return belief * if_1 / (belief * if_1 + (1 - belief) * (1 - if_1))


def _joint(belief, says_1, accuracy):
    return belief * torch.where(says_1 == 1, accuracy, 1 - accuracy)


def _overwritten(belief, says_1, accuracy):
    if_1 = torch.where(says_1 == 1, accuracy, 1 - accuracy)
    belief = belief * if_1
    return belief / (belief + (1 - belief) * (1 - if_1))


def _fractions(rng, *shape):
    """Beliefs with two decimals, none of them one half."""
    steps = rng.choice([*range(6, 48), *range(53, 95)], shape)
    return torch.tensor(steps / 100, dtype=torch.float32)


def _draw_replies(rng):
    count = int(rng.integers(2, 5))
    says_1 = torch.tensor(rng.random(count) < 0.5).float()
    says_1[:2] = torch.tensor([1.0, 0.0])
    return {
        "belief": _fractions(rng, count),
        "says_1": says_1[torch.from_numpy(rng.permutation(count))],
        "accuracy": round(rng.uniform(0.6, 0.9), 2),
    }


updated_belief = Check(
    "8.1",
    solution=_updated,
    example={
        "belief": torch.tensor([0.5, 0.25]),
        "says_1": torch.tensor([1.0, 0.0]),
        "accuracy": 0.8,
    },
    draw=_draw_replies,
    mistakes=[
        (
            _joint,
            "That is P(intent 1 and this reply): divide by P(this reply), the sum over both intents.",
        ),
        (
            lambda b, says, q: _updated(b, torch.ones_like(says), q),
            "You treat each reply as one for intent 1: where says_1 is 0, the reply has the "
            "probability 1 - accuracy under intent 1.",
        ),
        (
            lambda b, says, q: _updated(b, 1 - says, q),
            "The replies count the wrong way round: one for intent 1 must raise the belief.",
        ),
        (
            lambda b, says, q: _updated(torch.full_like(b, 0.5), says, q),
            "What was believed before is never used: that would be right for a belief of one half "
            "alone.",
        ),
        (
            lambda b, says, q: b * q / (b * q + (1 - b) * (1 - q)) * says + (1 - says) * b,
            "A reply for intent 2 changes nothing in your function, but it is evidence as well.",
        ),
        (
            _overwritten,
            "The belief is overwritten before it is used again: 1 - belief in the denominator must "
            "be the one from before.",
        ),
        (
            lambda b, says, q: 1 - _updated(b, says, q),
            "That is the belief in intent 2.",
        ),
        (
            lambda b, says, q: _joint(b, says, q) / _joint(b, says, q).sum(),
            "You divide by the sum over all customers: each has beliefs of their own.",
        ),
    ],
)


def _backed_up(belief, value_1, value_2, accuracy, question_cost, wrong_price, escalation_cost):
    sure = torch.maximum(belief, 1 - belief)
    names_1 = belief * accuracy + (1 - belief) * (1 - accuracy)
    answer = sure - wrong_price * (1 - sure)
    clarify = names_1 * value_1 + (1 - names_1) * value_2 - question_cost
    return torch.stack([answer, clarify, torch.full_like(belief, -escalation_cost)], -1)


def _variant(column, make):
    """_backed_up with another column; make gets its arguments."""

    def backed_up(*case):
        columns = list(_backed_up(*case).unbind(-1))
        columns[column] = make(*case)
        return torch.stack(columns, -1)

    return backed_up


def _asking(share):
    """A wrong clarify column, for which a reply names intent 1 with probability share(b, q)."""
    return _variant(
        1,
        lambda b, v1, v2, q, c, w, e: share(b, q) * v1 + (1 - share(b, q)) * v2 - c,
    )


def _draw_beliefs(rng):
    count = int(rng.integers(2, 4))
    values = torch.tensor(np.round(rng.uniform(-1, 1, (2, count)), 1), dtype=torch.float32)
    values[1] += 0.35
    return {
        "belief": torch.cat([_fractions(rng, count), torch.tensor([0.1])]),
        "value_1": torch.cat([values[0], torch.tensor([0.3])]),
        "value_2": torch.cat([values[1], torch.tensor([0.8])]),
        "accuracy": round(rng.uniform(0.6, 0.9), 2),
        "question_cost": round(rng.uniform(0.05, 0.3), 2),
        "wrong_price": round(rng.uniform(1.5, 4), 1),
        "escalation_cost": round(rng.uniform(0.1, 0.5), 2),
    }


backed_up = Check(
    "8.2",
    solution=_backed_up,
    example={
        "belief": torch.tensor([0.75, 0.1]),
        "value_1": torch.tensor([0.6, 0.1]),
        "value_2": torch.tensor([0.2, 0.9]),
        "accuracy": 0.8,
        "question_cost": 0.1,
        "wrong_price": 2.0,
        "escalation_cost": 0.3,
    },
    draw=_draw_beliefs,
    mistakes=[
        (
            _variant(0, lambda b, v1, v2, q, c, w, e: b - w * (1 - b)),
            "Your bot always answers intent 1: it names the likelier one, so it is right with the "
            "probability max(b, 1 - b).",
        ),
        (
            _variant(0, lambda b, v1, v2, q, c, w, e: torch.maximum(b, 1 - b)),
            "A wrong answer costs nothing in your function: wrong_price is missing.",
        ),
        (
            _variant(0, lambda b, v1, v2, q, c, w, e: torch.maximum(b, 1 - b) - w),
            "You charge the price of a wrong answer always: it is paid with the probability "
            "1 - max(b, 1 - b).",
        ),
        (
            _asking(lambda b, q: b),
            "You take the belief for the probability of the reply, but replies can be wrong: one "
            "names intent 1 with the probability b q + (1 - b)(1 - q).",
        ),
        (
            _asking(lambda b, q: torch.full_like(b, q)),
            "You take the accuracy for the probability of the reply: that holds for customers who "
            "want intent 1, and the others name it too, with 1 - accuracy.",
        ),
        (
            _asking(lambda b, q: torch.full_like(b, 0.5)),
            "You take both replies for equally likely: they are, but only where the belief is one "
            "half.",
        ),
        (
            _asking(lambda b, q: b * (1 - q) + (1 - b) * q),
            "The two values are swapped: value_1 is what follows a reply for intent 1.",
        ),
        (
            _variant(1, lambda *case: _backed_up(*case)[..., 1] + case[4]),
            "The question is free in your function: question_cost is missing.",
        ),
        (
            _variant(1, lambda *case: _backed_up(*case)[..., 1] + 2 * case[4]),
            "The bot is paid for the question: the cost has a minus.",
        ),
        (
            _variant(
                1,
                lambda b, v1, v2, q, c, w, e: (
                    _backed_up(b, v1, v2, q, 0, w, e)[..., 1] - c * (1 - q)
                ),
            ),
            "You charge a question only where the reply is wrong: it takes the customer's time in "
            "any case.",
        ),
        (
            _variant(1, lambda b, v1, v2, q, c, w, e: torch.maximum(v1, v2) - c),
            "You count the better of the two values, but the bot cannot choose the reply: take the "
            "mean over both.",
        ),
        (
            _variant(2, lambda b, v1, v2, q, c, w, e: torch.full_like(b, e)),
            "Handing over is a cost: it has a minus.",
        ),
        (
            lambda *case: _backed_up(*case).amax(-1),
            "That is the value of the best action: return one number for each of the three.",
        ),
        (
            lambda *case: _backed_up(*case).mT,
            "The axes are swapped: one row for each belief, one column for each action.",
        ),
    ],
)


def _replies(belief, luck, accuracy, wants=slice(0, 1)):
    wants_1 = luck[:, wants] < belief[:, None]
    return torch.where(luck[:, 1:] < accuracy, wants_1, ~wants_1).float()


def _always_right(belief, luck, accuracy):
    wants_1 = luck[:, :1] < belief[:, None]
    return wants_1.float().expand(-1, luck.shape[1] - 1)


def _drawn_apart(belief, luck, accuracy):
    names_1 = belief * accuracy + (1 - belief) * (1 - accuracy)
    return (luck[:, 1:] < names_1[:, None]).float()


def _draw_luck(rng):
    customers, replies = int(rng.integers(2, 5)), int(rng.integers(3, 6))
    luck = rng.choice(np.arange(1, 100), (customers, replies + 1)) / 100 + 0.005  # never a tie
    luck[:2, 0] = 0.995, 0.005
    luck[:, -1] = rng.choice([0.015, 0.985], customers)
    return {
        "belief": _fractions(rng, customers),
        "luck": torch.tensor(luck, dtype=torch.float32),
        "accuracy": round(rng.uniform(0.6, 0.9), 2),
    }


repaired_replies = Check(
    "8.3",
    solution=_replies,
    example={
        "belief": torch.tensor([0.5, 0.7]),
        "luck": torch.tensor([[0.4, 0.6, 0.9, 0.7], [0.6, 0.75, 0.1, 0.95]]),
        "accuracy": 0.8,
    },
    draw=_draw_luck,
    mistakes=[
        (
            lambda b, luck, q: _replies(b, luck, q, slice(0, -1)),
            "The bug is still there: what the customer wants is drawn anew for each question. It is "
            "drawn once, from the first column.",
        ),
        (
            lambda b, luck, q: _replies(b, luck, q, slice(1, None)),
            "What the customer wants is still drawn anew for each question, now from the number "
            "that decides the reply too. It is drawn once, from the first column.",
        ),
        (
            lambda b, luck, q: _replies(b, luck, q, slice(1, 2)),
            "The customer wants one thing now, but the second column decides it: the first does.",
        ),
        (
            lambda b, luck, q: _replies(b, luck, q, slice(-1, None)),
            "The customer wants one thing now, but the last column decides it: the first does.",
        ),
        (
            _always_right,
            "The customer wants one thing now, and always says it: each reply is wrong with the "
            "probability 1 - accuracy.",
        ),
        (
            _drawn_apart,
            "Each single reply has the right probability, but nobody wants anything: replies of one "
            "customer must go together through what that customer wants.",
        ),
        (
            lambda b, luck, q: 1 - _replies(b, luck, q),
            "The replies are the wrong way round: 1 is for intent 1.",
        ),
        (
            lambda b, luck, q: _replies(b[:1].expand_as(b), luck, q),
            "You use the first customer's belief for all of them.",
        ),
    ],
)
