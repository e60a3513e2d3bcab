"""A support chat that is solved exactly: two intents, and the belief in the first as the state.

A customer wants one of two things. The bot answers, asks a clarifying question, or hands over to a
person. All that was said is summed up in the belief b = P(intent 1 | chat): each reply multiplies
the odds b / (1 - b) by the same factor, or divides them by it (Bayes). So on the scale of log-odds
the belief walks by equal steps up or down, and a finite table of log-odds holds every belief that
can be reached from any belief in it.

Derived in notebooks/08_daily_challenge_chatbot.ipynb. As a test of hypotheses: Wald 1945; as a
decision process with beliefs for states: Astrom 1965.
"""

import math
from numbers import Real

import numpy as np
import torch

from helpers.envs.functional import FunctionalEnv
from helpers.envs.tabular import AGENT, COLOURS, FLOOR, GOAL, Table
from helpers.errors import SlipError, check_count
from helpers.exact import MDP

ACTIONS = ("answer", "clarify", "escalate")
ENDS = ("solved", "wrong", "person")  # the last three states of each table, in this order
CELL = 0.15  # of the table, in log-odds, at most


def support_chat(
    accuracy=0.8, question_cost=0.1, wrong_price=2.0, escalation_cost=0.2, *, cells=None
):
    """The chat as (MDP, beliefs [S]); the last three states are its ends, and their belief is NaN.

    Actions: 0 answer (the likelier intent), 1 clarify, 2 escalate. Rewards, in units of a solved
    case: an answer +1 if right and -wrong_price if not, a question -question_cost, a person
    -escalation_cost. start: beliefs spread evenly from 0 to 1. Any number of questions.
    accuracy: P(a reply names the true intent). cells: how many cells of the table a reply moves.
    Raises SlipError for an accuracy below one half and for prices that make no sense.
    With the defaults and gamma 1: V*(0.5) = 0.52941, clarify within (0.0880, 0.9120), and
    escalating never pays.
    """
    _check(accuracy, question_cost, wrong_price, escalation_cost)
    if cells is not None:
        check_count("cells", cells)
    log_odds, moves = _lattice(accuracy, question_cost, wrong_price, cells)
    with np.errstate(over="ignore"):
        beliefs = 1 / (1 + np.exp(-log_odds))
    state, last = np.arange(len(beliefs)), len(beliefs) - 1
    after = np.minimum(state + moves, last), np.maximum(state - moves, 0)
    start = np.diff([0, *(beliefs[1:] + beliefs[:-1]) / 2, 1])
    prices = question_cost, wrong_price, escalation_cost
    return _table(beliefs, after, accuracy, prices, start), np.append(beliefs, [np.nan] * 3)


def support_history(
    accuracy=0.8, question_cost=0.1, wrong_price=2.0, escalation_cost=0.2, *, longest=8
):
    """The chat from belief 0.5, with what was said as the state: (MDP, histories [S, 3]).

    A history is (replies for intent 1, replies for intent 2, the last reply: 0 none, 1 or 2); those
    of the three ends are 0. One that is longer than `longest` replies loses one of each kind, which
    together say nothing; if all are of one kind it stays as it is.
    Other arguments, actions, rewards and errors as for support_chat.
    """
    _check(accuracy, question_cost, wrong_price, escalation_cost)
    check_count("longest", longest)
    told = [(0, 0, 0)]
    for n in range(1, longest + 1):
        told += [(i, n - i, last) for i in range(n + 1) for last in (1, 2)]
    state = {history: number for number, history in enumerate(told)}

    def after(i, j, last):
        if i + j > longest:
            i, j = (i - 1, j - 1) if min(i, j) else (min(i, longest), min(j, longest))
        return state[i, j, last]

    replies = [after(i + 1, j, 1) for i, j, _ in told], [after(i, j + 1, 2) for i, j, _ in told]
    histories = np.array([*told, *[(0, 0, 0)] * 3])
    beliefs = _beliefs_of(histories, accuracy)[:-3]
    prices = question_cost, wrong_price, escalation_cost
    return _table(beliefs, replies, accuracy, prices, np.eye(len(told))[0]), histories


class _Chat(Table):
    """A chat that can be drawn: its belief as a bar, or how it ended."""

    def __init__(self, mdp, observations, beliefs):
        super().__init__(mdp, observations)
        self.beliefs = beliefs

    def render(self, state, mode):
        after_end = state - (len(self.beliefs) - len(ENDS))
        end, belief = ENDS[after_end] if after_end >= 0 else None, self.beliefs[state]
        if mode == "ansi":
            bar = "" if end else "#" * round(20 * belief)
            words = f"intent 2 [{bar:.<20}] intent 1, belief {belief:.3f}"
            return f"ended: {end}" if end else words
        picture = np.empty((32, 320, 3), np.uint8)
        picture[:] = {"solved": GOAL, "wrong": COLOURS["T"]}.get(end, FLOOR)
        if not end:
            picture[:, : round(320 * belief)] = AGENT
        return picture


class SupportChat(FunctionalEnv):
    """One chat at a time; registered as SupportChat-v0, which truncates after 1000 steps.

    gymnasium.make("SupportChat-v0", accuracy=..., question_cost=..., wrong_price=...,
    escalation_cost=...) as for support_chat, which says what each action pays.
    Observation: (2b - 1, 2 |2b - 1| - 1), which way the bot leans and how sure it is, each in
    [-1, 1]. The first belief is drawn evenly from 0 to 1; an answer or a person ends the chat.
    Rendered as text or as a bar whose filled part is b.
    """

    @staticmethod
    def make_dynamics(**prices):
        mdp, beliefs = support_chat(**prices)
        return _Chat(mdp, view(beliefs), beliefs)


class SupportHistory(FunctionalEnv):
    """The chat from belief 0.5, of which the agent sees one part; registered as SupportHistory-v0.

    sees: "belief" (by how many the replies for intent 1 lead), "replies" (how many there are of each
    kind), "count" (how many in all), or "last" (the last one). The observation is a vector with a 1
    for what is seen and 0 for all else that could be. What the agent does not see still counts: an
    answer names the likelier intent by all that was said. Other arguments as for support_history;
    actions, rewards and ends as in SupportChat.
    """

    @staticmethod
    def make_dynamics(sees="belief", **prices):
        mdp, histories = support_history(**prices)
        beliefs = _beliefs_of(histories, prices.get("accuracy", 0.8))
        return _Chat(mdp, history_view(histories, sees), beliefs)


SupportChatVector, SupportHistoryVector = SupportChat.vector, SupportHistory.vector


def view(beliefs):
    """What the agent sees of beliefs [S], as SupportChat has it: [S, 2] float32; (0, -1) at the ends."""
    lean = 2 * np.nan_to_num(beliefs, nan=0.5) - 1
    return np.stack([lean, 2 * np.abs(lean) - 1], -1).astype(np.float32)


def history_view(histories, sees):
    """What an agent that sees so much sees of histories [S, 3]: [S, features] float32, one-hot."""
    views = {
        "belief": histories[:, :1] - histories[:, 1:2],
        "replies": histories[:, :2],
        "count": histories[:, :1] + histories[:, 1:2],
        "last": histories[:, 2:],
    }
    if sees not in views:
        raise SlipError(f"sees must be one of {', '.join(views)}, but is {sees!r}.")
    _, seen = np.unique(views[sees], axis=0, return_inverse=True)
    return np.eye(seen.max() + 1, dtype=np.float32)[seen.ravel()]


def _table(beliefs, after, accuracy, prices, start):
    """The MDP whose states have these beliefs; a reply for intent 1 or 2 leads to after[0] or [1]."""
    states, here = len(beliefs), np.arange(len(beliefs))
    solved, wrong, person = range(states, states + 3)
    question_cost, wrong_price, escalation_cost = prices
    names_1 = beliefs * accuracy + (1 - beliefs) * (1 - accuracy)  # P(the reply is for intent 1)
    sure = np.maximum(beliefs, 1 - beliefs)
    transitions, rewards = np.zeros((2, states + 3, 3, states + 3))
    transitions[here, 0, solved], transitions[here, 0, wrong] = sure, 1 - sure
    for share, state in ((names_1, after[0]), (1 - names_1, after[1])):
        transitions[here, 1, state] += share
    transitions[here, 2, person] = 1
    rewards[:, 0, solved], rewards[:, 0, wrong] = 1, -wrong_price
    rewards[:, 1], rewards[:, 2] = -question_cost, -escalation_cost
    terminal = np.arange(states + 3) >= states
    tables = transitions, rewards, terminal, np.append(start, [0, 0, 0])
    return MDP(*(torch.from_numpy(table) for table in tables))


def _lattice(accuracy, question_cost, wrong_price, cells):
    """The table's log-odds [S], and how many cells a reply moves.

    They end one reply beyond where no question can pay: with confidence p an answer brings
    1 - (1 - p)(1 + wrong_price), and a question leaves at most 1 - question_cost. So the best
    values are those of a table without end. Where a reply settles everything, its ends are certain.
    """
    doubt = min(question_cost / (1 + wrong_price), 0.02)  # to a belief of 0.98 at least
    reach = math.log((1 - doubt) / doubt)
    if accuracy in (0.5, 1):
        side = math.ceil(reach / CELL)
        log_odds = CELL * np.arange(-side, side + 1)
        if accuracy == 1:
            log_odds[[0, -1]] = -math.inf, math.inf
        return log_odds, 2 * side * (accuracy == 1)
    reply = math.log(accuracy / (1 - accuracy))
    moves = cells or math.ceil(reply / CELL)
    side = math.ceil((reach + reply) * moves / reply)
    return reply / moves * np.arange(-side, side + 1), moves


def _beliefs_of(histories, accuracy):
    """P(intent 1) after these histories [S, 3] from one half: [S]; NaN at the three ends."""
    lead = (histories[:, 0] - histories[:, 1]).astype(float)
    right, slip = accuracy ** np.abs(lead), (1 - accuracy) ** np.abs(lead)
    beliefs = np.where(lead >= 0, right, slip) / (right + slip)
    beliefs[-len(ENDS) :] = np.nan
    return beliefs


def _check(accuracy, question_cost, wrong_price, escalation_cost):
    if not _is_number(accuracy) or not 0 <= accuracy <= 1:
        raise SlipError(f"accuracy must be a number from 0.5 to 1, but is {accuracy!r}.")
    if accuracy < 0.5:
        raise SlipError(
            f"accuracy is {accuracy:g}: replies that are wrong more often than right tell as much as "
            f"their opposite. Swap what they mean, and use {1 - accuracy:g}."
        )
    if 0.5 < accuracy < 0.505:
        raise SlipError(
            f"accuracy is {accuracy:g}: between 0.5 and 0.505 a reply says so little that the table "
            "would need thousands of beliefs. Use 0.5 (no information), or at least 0.505."
        )
    if not _is_number(question_cost) or not 1e-6 <= question_cost <= 1e6:
        raise SlipError(
            f"question_cost must be a number from 0.000001 to 1,000,000, but is {question_cost!r}. "
            "Were questions free, one more would never hurt, and no chat need end."
        )
    for name, price in (("wrong_price", wrong_price), ("escalation_cost", escalation_cost)):
        if not _is_number(price) or not 0 <= price <= 1e6:
            raise SlipError(
                f"{name} is a price to pay, so a number from 0 to 1,000,000, but is {price!r}."
            )


def _is_number(value):
    return isinstance(value, Real) and not isinstance(value, bool)
