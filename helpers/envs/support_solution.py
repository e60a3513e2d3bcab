"""The support chat solved: one question more at a time, what comes of it, and its best actions in words.

Derived in notebooks/08_daily_challenge_chatbot.ipynb, sections 1 and 2.
"""

from typing import NamedTuple

import numpy as np
import torch

from helpers import exact
from helpers.envs.support import ACTIONS, support_chat

ON_AND_ON = 20.0  # mean questions of a chat above which an agent counts as never stopping


class Solved(NamedTuple):
    """The chat solved with so many questions allowed: what the solver yields. S beliefs."""

    fraction: float
    questions: str  # how many questions are allowed, in words
    beliefs: np.ndarray  # [S]
    values: np.ndarray  # [S] of the best policy
    best: np.ndarray  # [S] its actions
    solved: float  # share of the chats that it solves, beliefs spread evenly at the start
    asked: float  # mean number of questions it asks

    def words(self):
        if self.asked > ON_AND_ON:
            return f"{self.questions}: it asks on and on, more than {ON_AND_ON:g} in the mean."
        middle = np.interp(0.5, self.beliefs, self.values)
        return (
            f"{self.questions}: V(0.5) = {middle:.3f}; {describe(self.beliefs, self.best)}. From all "
            f"beliefs alike {self.solved:.1%} solved with {self.asked:.2f} questions."
        )


def outcome(table, b, Q):
    """What comes of choosing by Q [S + 3, 3], for first beliefs spread evenly from 0 to 1.

    Returns beliefs, values, best actions, share solved, mean questions. No action gets less than
    one in a million, so that a bot that would ask for ever has a mean as well.
    """
    policy = torch.nn.functional.one_hot(Q.argmax(1), 3).double().clamp(min=1e-6)
    visits = exact.occupancy(table, policy, 1.0)[:-3]
    sure = torch.from_numpy(np.maximum(b, 1 - b))[:-3]
    solved, asked = visits @ (policy[:-3, 0] * sure), visits @ policy[:-3, 1]
    best = Q[:-3].max(1)
    return b[:-3], best.values.numpy(), best.indices.numpy(), solved.item(), asked.item()


def solve(gamma=1.0, questions=25, **prices):
    """Allow one question after the other, and finally any number: yields Solved.

    prices: as for support_chat.
    """
    table, b = support_chat(**prices)

    def worth(values):
        return (table.transitions * (table.rewards + gamma * values)).sum(-1)

    Q = worth(torch.zeros(len(b)))
    Q[:, 1] = -torch.inf  # no question yet
    for n in range(questions):
        allowed = f"Up to {n} question{'s' * (n > 1)}" if n else "No question"
        yield Solved((n + 1) / (questions + 1), allowed, *outcome(table, b, Q))
        Q = worth(Q.amax(1))
    Q = worth(exact.optimal_values(table, gamma))
    yield Solved(1.0, "Any number of questions", *outcome(table, b, Q))


def regions(beliefs, best):
    """(action, from, to) of each stretch of beliefs in which one action is the best."""
    cuts = np.flatnonzero(np.diff(best))
    edges = [0.0, *(beliefs[cuts] + beliefs[cuts + 1]) / 2, 1.0]
    return list(zip(best[[*cuts, len(best) - 1]], edges[:-1], edges[1:]))


def describe(beliefs, best):
    """The stretches in words, as in "clarify 0.09 to 0.91"; answering is what is left."""
    found = [(a, low, high) for a, low, high in regions(beliefs, best) if a]
    texts = [f"{ACTIONS[a]} from {low:.2f} to {high:.2f}" for a, low, high in found]
    return ", ".join(texts) or "answer at once, whatever the belief"
