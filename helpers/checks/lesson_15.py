"""The checks of lesson 15: errors over an episode, three factors, and traces that end in time."""

import numpy as np
import torch

from helpers.checks.core import Check, numbers
from helpers.checks.slips import EXP, NO_GAMMA, Formula, pairs, plain_softmax

MINUS = "The sign is the wrong way round: "


def _earlier(x, first):
    """x one step earlier, [T]; `first` stands where nothing was before."""
    return torch.cat([first, x[:-1]])


def _later(x):
    """x one step later, [T]; 0 stands behind the last."""
    return torch.cat([x[1:], torch.zeros(1)])


_errors = Formula(
    "values rewards gamma",
    before=lambda c: _earlier(c.values, torch.zeros(1)),
    now=lambda c: c.gamma * c.values,
    errors=lambda c: c.rewards + c.now - c.before,
)


def _in_all(answer):
    return _errors.but(errors=answer)


def _first(error):
    """With another error at the first step."""
    return _in_all(lambda c: torch.cat([error(c), (c.rewards + c.now - c.before)[1:]]))


def _draw_errors(rng):
    values, rewards = numbers(rng, 2, rng.integers(3, 8))
    return _errors.case(values, rewards, round(float(rng.uniform(0.3, 0.95)), 2))


prediction_errors = Check(
    "15.1",
    solution=_errors,
    example=_errors.case([0.0, 4.0, 6.0, 0.0], [0.0, 0.0, 0.0, 8.0], 0.5),
    edges=[
        _errors.case([2.0], [3.0], 0.5),
        _errors.case([1.0, 5.0, -2.0], [2.0, 0.5, 1.0], 1.0),
        _errors.case([1.0, 5.0, -2.0], [2.0, 0.5, 1.0], 0.0),
        _errors.case(*numbers(np.random.default_rng(0), 2, 12), 0.9),
    ],
    draw=_draw_errors,
    mistakes=pairs(
        _in_all(lambda c: c.rewards + c.gamma * _later(c.values) - c.values),
        "That is lesson 03's date: here error t knows V(t), and looks back to V(t - 1).",
        _errors.but(before=lambda c: c.values.roll(1)),
        "Before the first step stands the last value: in Python -1 is the end. V was 0 there.",
        _errors.but(before=lambda c: _earlier(c.values, c.values[:1])),
        "Before the first step nothing was expected: there V is 0, and not the first value.",
        [_first(lambda c: 0 * c.rewards[:1]), _first(lambda c: c.rewards[:1])],
        "The first error has no exception: it is rewards[0] + gamma values[0], minus 0.",
        _errors.but(gamma=lambda c: 1.0),
        NO_GAMMA,
        _errors.but(before=lambda c: c.values),
        "You subtract V(t), the value of now: what was expected is V(t - 1), one step earlier.",
        _errors.but(before=lambda c: _later(c.values)),
        "You subtract V(t + 1): the 0 belongs before the values, not behind them.",
        [
            _errors.then(rewards=lambda x: _earlier(x, torch.zeros(1))),
            _errors.then(rewards=_later),
        ],
        "The reward of another step has slipped in: error t takes rewards[t].",
        _errors.then(before=lambda x: 0 * x),
        "What was expected a step ago is missing: subtract V(t - 1).",
        _errors.but(before=lambda c: c.values, now=lambda c: 0),
        "That is the reward minus the value of now: the error looks back to V(t - 1).",
        _errors.then(now=lambda x: 0 * x),
        "What is still to come is missing: add gamma V(t).",
        _in_all(lambda c: c.now - c.before),
        "The reward is missing: it is part of what came.",
        [
            _in_all(lambda c: c.rewards + c.values - c.gamma * c.before),
            _in_all(lambda c: c.rewards + c.gamma * (c.values - c.before)),
            _in_all(lambda c: c.gamma * (c.rewards + c.values) - c.before),
        ],
        "gamma stands at the wrong place: it belongs to V(t), and to V(t) alone.",
        _in_all(lambda c: c.rewards + c.gamma * c.before - c.values),
        "The two values are swapped: add gamma V(t), and subtract V(t - 1).",
        _errors.then(errors=torch.neg),
        f"{MINUS}more than expected is positive.",
        [_errors.then(errors=how) for how in (torch.relu, torch.abs, torch.square)],
        "An error has a sign: it can be negative.",
        _errors.then(errors=lambda x: x[1:]),
        "The first step is missing: before it nothing was expected, so V was 0.",
        _errors.then(errors=lambda x: x.cumsum(0)),
        "You add the errors up: each moment has its own.",
        _in_all(lambda c: c.rewards + c.now + c.before),
        f"{MINUS}what was expected is subtracted.",
    ),
)


_change = Formula(
    "preferences action error lr",
    chosen=lambda c: torch.eye(len(c.preferences))[c.action],
    policy=lambda c: c.preferences.softmax(-1),
    above=lambda c: c.chosen - c.policy,
    third=lambda c: c.error,
    answer=lambda c: c.lr * c.third * c.above,
)


def _draw_change(rng):
    actions = int(rng.integers(2, 6))
    case = numbers(rng, actions, low=-2, high=2), int(rng.integers(actions))
    return _change.case(*case, round(float(rng.uniform(-3, 3)), 1) or 0.5, 0.2)


three_factors = Check(
    "15.2",
    solution=_change,
    example=_change.case([0.0, 1.0, -1.0], 1, -2.0, 0.1),
    edges=[
        _change.case([0.0, 0.0], 0, 3.0, 0.5),
        _change.case([100.0, -100.0, 0.0], 2, 2.0, 0.1),
        _change.case([0.5, -0.5], 1, 0.0, 0.3),
        _change.case(numbers(np.random.default_rng(0), 8), 7, -0.5, 1.0),
    ],
    draw=_draw_change,
    mistakes=pairs(
        _change.but(third=lambda c: 1.0),
        "Those are two factors, and the third is missing: multiply by the error.",
        _change.but(policy=lambda c: plain_softmax(c.preferences)),
        EXP,
        _change.but(policy=lambda c: 0),
        "What is done anyway would grow by itself: subtract the policy's probabilities.",
        [_change.but(policy=lambda c: c.preferences), _change.then(policy=torch.log)],
        "You subtract preferences or logarithms: the probabilities are wanted, by softmax(-1).",
        _change.but(policy=lambda c: 1 / len(c.preferences)),
        "You subtract 1 / A: the policy's own probabilities are wanted.",
        [_change.then(third=how) for how in (lambda x: max(x, 0.0), abs, np.sign, np.square)],
        "The error comes in as it is, with its sign and its size: a dip teaches too.",
        _change.then(above=lambda x: -x),
        f"{MINUS}what was better than expected gets likelier.",
        _change.but(answer=lambda c: c.lr * (c.third * c.chosen - c.policy)),
        "A bracket is missing: the error multiplies chosen minus probabilities, both.",
        [_change.but(chosen=lambda c: 0), _change.but(chosen=lambda c: 1)],
        "Which action was taken must tell: 1 for it and 0 for the others, minus probabilities.",
        _change.but(above=lambda c: c.chosen * (1 - c.policy)),
        "Only the chosen action changes: the others give way.",
        _change.but(above=lambda c: (c.chosen * c.policy).sum() * (c.chosen - c.policy)),
        "That is the slope of the probability: take that of its logarithm.",
        _change.but(lr=lambda c: 1.0),
        "The learning rate is never used.",
        _change.but(answer=lambda c: c.preferences + c.lr * c.third * c.above),
        "Those are the new preferences: return the change alone.",
    ),
)


def _walked(decay):
    """The sum of errors[t] * trace[t]; decay(c, t): by what the trace shrinks on its way to t > 0."""

    def credit(c):
        trace = torch.zeros_like(c.before[0])
        total = torch.zeros_like(trace)
        for t, x in enumerate(c.before):
            trace = (decay(c, t) * trace if t else trace) + x
            total = total + c.errors[t] * c.trace(c, t, trace)
        return total

    return credit


_credit = Formula(
    "before errors discounts lam",
    trace=lambda c: lambda c, t, trace: trace,
    credit=_walked(lambda c, t: c.discounts[t - 1] * c.lam),
)


def _decaying(*decays):
    return [_credit.but(credit=_walked(decay)) for decay in decays]


def _read(line):
    """With something else read off the trace of each step."""
    return _credit.but(trace=lambda c: line)


def _draw_stream(rng):
    steps, units = int(rng.integers(5, 10)), int(rng.integers(2, 5))
    before = torch.eye(units)[torch.tensor(rng.integers(0, units, steps))]
    discounts = torch.where(torch.tensor(rng.random(steps) < 0.3), 0.0, 0.9)
    return _credit.case(
        before, numbers(rng, steps), discounts, round(float(rng.uniform(0.3, 1)), 2)
    )


repaired_credit = Check(
    "15.3",
    solution=_credit,
    example=_credit.case(
        [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], [0.0, 4.0, 2.0], [0.5, 0.0, 0.5], 1.0
    ),
    edges=[
        _credit.case([[1.0, 1.0]], [3.0], [0.0], 0.9),
        _credit.case([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [1.0, 2.0, 3.0], [0.5, 0.9, 0.0], 0.8),
        _credit.case([[1.0, 0.0], [0.0, 1.0]] * 3, [1.0, -2.0] * 3, [0.5, 1.0] * 3, 0.0),
        _draw_stream(np.random.default_rng(0)),
        _draw_stream(np.random.default_rng(1)),
    ],
    draw=_draw_stream,
    mistakes=pairs(
        _decaying(
            lambda c, t: c.discounts[t] * c.lam,
            lambda c, t: c.discounts[t] * c.lam * (c.discounts[t - 1] > 0),
        ),
        "The bug is still there: at an end the trace is wiped out before the last error comes.",
        _decaying(lambda c, t: c.discounts.max() * c.lam),
        "The trace runs on behind an end: errors of the next episode would credit this one.",
        _decaying(lambda c, t: c.discounts.max() * c.lam * (c.discounts[t - 1] > 0)),
        "gamma may differ from step to step: take the discount of the step before.",
        _decaying(lambda c, t: c.lam, lambda c, t: c.lam * (c.discounts[t - 1] > 0)),
        "The trace no longer shrinks by the discount.",
        [
            wrong.then(errors=_later)
            for wrong in (_credit, *_decaying(lambda c, t: c.discounts[t] * c.lam))
        ],
        "The credit comes too early: first the trace takes x in, then the error credits it.",
        _decaying(lambda c, t: c.discounts[t - 1]),
        "lam is never used: the trace shrinks by it as well.",
        _decaying(lambda c, t: 0),
        "Without a trace only the moment just before each error is credited.",
        _read(lambda c, t, trace: (c.discounts[t] > 0) * trace),
        "The last error of an episode credits nothing: wipe the trace out after it.",
        _read(lambda c, t, trace: c.discounts[t] * trace),
        "The error counts whole: only what comes later is discounted.",
        _credit.then(credit=torch.neg),
        f"{MINUS}an error above 0 raises what was there before it.",
    ),
)
