"""The checks of lesson 12: the expectile's loss, CQL's penalty, and targets that stop at the end."""

import numpy as np
import torch

from helpers.checks.core import Check, numbers
from helpers.checks.slips import COLUMNS, EXP, LOG_OF_0, NO_GAMMA, Formula, of_mean, pairs, picked

MINUS = "The sign is the wrong way round: "
LOWER = "an error of 0 or more, a value too low, weighs tau, and one below 0 weighs 1 - tau"

_loss = Formula(
    "errors tau",
    weight=lambda c: torch.where(c.errors < 0, 1 - c.tau, c.tau),
    size=lambda c: c.errors**2,
    each=lambda c: c.weight * c.size,
    loss=lambda c: c.each.mean(),
)


def _weights(above, below):
    """With these weights of the errors above 0 and below."""
    return _loss.but(weight=lambda c: torch.where(c.errors < 0, below(c.tau), above(c.tau)))


def _by_halves(c):
    below = c.errors < 0
    return c.each[~below].mean() + c.each[below].mean()


asymmetric_loss = Check(
    "12.1",
    solution=_loss,
    example=_loss.case([2.0, -1.0, -3.0], 0.9),
    edges=[
        _loss.case([1.5, 0.5, -2.0, 4.0], 0.5),
        _loss.case([1.0, -2.0], 1.0),
        _loss.case([-1.0, 3.0, -0.5], 0.0),
        _loss.case([0.0, -2.0, 0.0], 0.7),
        _loss.case(numbers(np.random.default_rng(0), 12), 0.8),
    ],
    draw=lambda rng: _loss.case(
        numbers(rng, rng.integers(3, 8)), round(float(rng.choice([0.1, 0.3, 0.6, 0.7, 0.95])), 2)
    ),
    slopes=["errors"],
    mistakes=of_mean(_loss)
    + pairs(
        _weights(lambda tau: 1 - tau, lambda tau: tau),
        f"tau and 1 - tau are swapped, or the sign of the error is turned: {LOWER}.",
        _loss.but(size=lambda c: c.errors.abs()),
        "You weigh |error|, which finds a quantile: an expectile weighs its square.",
        [_weights(*[lambda tau, w=w: w] * 2) for w in (1, 0.5)],
        f"tau is never used: {LOWER}.",
        [_weights(lambda tau: tau, lambda tau: tau), _weights(*[lambda tau: 1 - tau] * 2)],
        f"All errors weigh the same: {LOWER}.",
        _weights(lambda tau: tau, lambda tau: tau - 1),
        "An error below 0 has a negative weight, so it pays to make it worse: take |tau - 1|.",
        [_weights(lambda tau: tau, lambda tau: 0), _weights(lambda tau: 0, lambda tau: 1 - tau)],
        f"Half of the errors drop out: {LOWER}.",
        [_weights(lambda tau: tau, lambda tau: 1), _weights(lambda tau: 1, lambda tau: 1 - tau)],
        f"One of the two weights is 1: {LOWER}.",
        _loss.then(weight=torch.square),
        "You square the weight as well: square the error alone.",
        _loss.then(loss=lambda loss: loss / 2),
        "There is a factor .5 too many: here the square counts whole.",
        _loss.but(loss=_by_halves),
        "Each half has a mean of its own: take one over all errors.",
        [_loss.but(tau=lambda c, tau=tau: tau) for tau in (0.7, 0.9)],
        "You have written tau as a number into it: use the argument.",
        _loss.then(loss=torch.neg),
        f"{MINUS}this loss is made small, and no square is negative.",
    ),
)


_penalty = Formula(
    "q_values actions",
    all=lambda c: c.q_values.logsumexp(-1),
    taken=lambda c: picked(c.q_values, c.actions),
    each=lambda c: c.all - c.taken,
    penalty=lambda c: c.each.mean(),
)


def _all(*lines):
    """With another number made of all actions' values."""
    return [_penalty.but(all=lambda c, line=line: line(c.q_values)) for line in lines]


def _chosen(c):
    """The probability that softmax(Q) gives the log's action."""
    return picked(c.q_values.softmax(-1), c.actions)


def _draw_values(rng):
    steps, choices = rng.integers(3, 7), rng.integers(2, 5)
    actions = rng.integers(0, choices, steps).tolist()
    return _penalty.case(numbers(rng, steps, choices, low=-3, high=3), actions)


DATA = "Q of the action that the log took"

conservative_penalty = Check(
    "12.2",
    solution=_penalty,
    example=_penalty.case([[1.0, 2.0, 0.0], [3.0, 0.5, 1.0]], [0, 1]),
    edges=[
        _penalty.case([[1000.0, 0.0], [0.0, -1000.0]], [1, 1]),
        _penalty.case([[0.0, 0.0], [-1000.0, -1000.0]], [0, 0]),
        _draw_values(np.random.default_rng(0)),
        _penalty.case(numbers(np.random.default_rng(1), 9, 3), [0, 1, 2, 2, 1, 0, 0, 1, 2]),
    ],
    draw=_draw_values,
    slopes=["q_values"],
    mistakes=of_mean(_penalty)
    + pairs(
        _all(
            lambda q: q.exp().sum(-1).log(), lambda q: (q - q.amax()).exp().sum(-1).log() + q.amax()
        ),
        EXP.replace("softmax() and log_softmax() are", "logsumexp() is"),
        _penalty.but(each=lambda c: -_chosen(c).log()),
        LOG_OF_0,
        [_penalty.but(each=lambda c, e=e: -(_chosen(c) + e).log()) for e in (1e-6, 1e-8, 1e-10)],
        "What you add inside the log is made up: logsumexp() needs no such help.",
        _penalty.but(taken=lambda c: c.q_values.mean(-1)),
        f"You subtract the mean over all actions: subtract {DATA}.",
        _penalty.then(all=torch.detach),
        "No gradient flows through the logsumexp: nothing would push the other actions down.",
        _penalty.then(taken=torch.detach),
        f"No gradient flows through {DATA}: nothing would pull it up.",
        _penalty.but(taken=lambda c: c.q_values.amax(-1)),
        f"You subtract the best action's Q: subtract {DATA}.",
        _all(lambda q: q.amax(-1)),
        "You take the largest Q alone: logsumexp is a soft maximum, to which all actions add.",
        _all(lambda q: q.sum(-1), lambda q: q.mean(-1)),
        "You add or average the values: take their logsumexp.",
        [
            *_all(lambda q: (q.softmax(-1) * q).sum(-1), lambda q: q.softmax(-1).sum(-1)),
            *(_penalty.but(each=lambda c, e=e: e - _chosen(c)) for e in (0, 1)),
        ],
        "That is made of a softmax: take the log of the sum of exp(Q), which is logsumexp.",
        _all(lambda q: q.exp().sum(-1)),
        "The log is missing: logsumexp takes it of the sum.",
        _all(lambda q: (q - q.amax(-1, keepdim=True)).logsumexp(-1)),
        "The largest Q, subtracted before exp(), is added again after the log.",
        _all(lambda q: q.logsumexp(-1) - np.log(q.shape[-1])),
        "That is the log of a mean: logsumexp takes it of the sum.",
        _all(lambda q: q.logsumexp(0).mean(), lambda q: q.logsumexp((0, 1))),
        "logsumexp runs over the wrong axis: it takes the actions of one step, axis -1.",
        _penalty.but(all=lambda c: 0),
        "The logsumexp is missing: nothing would push the other actions down.",
        _penalty.but(taken=lambda c: 0),
        f"You have left out {DATA}: subtract it.",
        _penalty.but(each=lambda c: c.all + c.taken),
        f"You add {DATA}: subtract it.",
        _penalty.then(penalty=torch.neg),
        f"{MINUS}a penalty is made small, so it is logsumexp minus {DATA}.",
        _penalty.but(taken=lambda c: c.q_values[:, c.actions]),
        COLUMNS,
        _penalty.then(penalty=lambda penalty: penalty / 2),
        "There is a factor .5 too many: the mean counts whole.",
    ),
)


_targets = Formula(
    "rewards next_values terminated truncated gamma",
    goes_on=lambda c: 1 - c.terminated.float(),
    later=lambda c: c.gamma * c.next_values,
    answer=lambda c: c.rewards + c.goes_on * c.later,
)


def _going_on(*lines):
    """With another mask, made of the two flags as numbers of 0 and 1."""
    return [
        _targets.but(goes_on=lambda c, line=line: line(c.terminated.float(), c.truncated.float()))
        for line in lines
    ]


def _draw_steps(rng):
    rewards, next_values = numbers(rng, 2, rng.integers(3, 8))
    flags = torch.tensor(rng.random((2, len(rewards))) < 0.35)
    return _targets.case(rewards, next_values, *flags, round(rng.uniform(0.5, 0.95), 2))


repaired_targets = Check(
    "12.3",
    solution=_targets,
    example=_targets.case(
        *([1.0, 2.0, 3.0], [4.0, 6.0, 8.0], [False, True, False], [False, False, True], 0.5)
    ),
    edges=[
        _targets.case([1.0, 2.0], [3.0, 5.0], [True, False], [True, False], 0.9),
        _targets.case([-1.0], [2.0], [False], [True], 1.0),
        _targets.case([2.0, 3.0], [5.0, 4.0], [True, False], [False, True], 0.0),
        _targets.case([0.5] * 9, [4.0, -3.0, 2.0] * 3, [False] * 9, [True] * 9, 0.8),
    ],
    draw=_draw_steps,
    mistakes=pairs(
        _going_on(lambda over, cut: 1),
        "The bug is still there: behind a step that terminated nothing follows, so no value counts.",
        _going_on(lambda over, cut: (1 - over) * (1 - cut)),
        "You take truncation for an end: there the value of the next state counts.",
        _going_on(lambda over, cut: 1 - cut),
        "You mask the truncated steps: mask the terminated ones, behind which nothing follows.",
        _going_on(lambda over, cut: 1 - over * cut, lambda over, cut: 1 - over * (1 - cut)),
        "A step that terminated is over, whether or not the time limit came with it.",
        _going_on(lambda over, cut: 1 + over),
        "You add terminated: subtract it, so that 1 - terminated is 0 at the end.",
        _going_on(lambda over, cut: 1 - over - cut),
        "You subtract truncated as well: there the value of the next state counts.",
        _going_on(lambda over, cut: over),
        "The mask is the wrong way round: the next value counts where it goes on.",
        _going_on(lambda over, cut: cut),
        "A step that neither terminated nor was truncated goes on, so its next value counts.",
        _targets.but(later=lambda c: c.next_values),
        NO_GAMMA,
        _targets.but(answer=lambda c: c.goes_on * (c.rewards + c.later)),
        "The reward is lost where it terminated: only the next value is 0 there.",
        _targets.but(answer=lambda c: c.goes_on * c.later),
        "The reward is missing: it is paid at once.",
        _targets.but(answer=lambda c: c.gamma * (c.rewards + c.goes_on * c.next_values)),
        "The reward is paid at once: do not discount it.",
        _targets.but(answer=lambda c: c.rewards - c.goes_on * c.later),
        f"{MINUS}what comes later is added.",
        _targets.but(answer=lambda c: c.rewards),
        "Nothing later counts: add gamma times the next value where it goes on.",
        _targets.but(answer=lambda c: (c.rewards + c.goes_on * c.later).mean()),
        "You take a mean: each step has its own target.",
        _targets.then(next_values=lambda v: v.roll(-1)),
        "You shift the next values by a row: each stands beside its own step already.",
    ),
)
