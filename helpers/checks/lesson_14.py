"""The checks of lesson 14: V-trace's targets, the clipped ratio, and limits that were exchanged."""

import math

import torch

from helpers.checks.core import Check, numbers
from helpers.checks.lesson_09 import IS_LOG, MADE_UP, NO_NUMBER
from helpers.checks.slips import NO_GAMMA, Formula, pairs, without_the_last

BELOW = "You limit from below: a ratio above 1 becomes 1, and one below 1 stays."
BOTH_SIDES = "That is PPO's clip: here a ratio is limited from above alone, at 1."
NOT_CLIPPED = "Nothing is limited: a ratio counts as 1 at most."


def _ratios(rng, steps):
    """On both sides of 1."""
    below, others = numbers(rng, 1, low=0.1, high=0.8), numbers(rng, steps - 1, low=0.1, high=3)
    return torch.cat([others, below])


def _carried(deltas, traces, gamma, behind=0):
    """What each step adds to its value: its delta, and gamma times its trace of what the next adds."""
    gains = []
    for delta, trace in zip(deltas.flip(0), traces.flip(0)):
        behind = delta + gamma * trace * behind
        gains.append(behind)
    return torch.stack(gains[::-1])


def _products(c):
    """[s, t]: gamma^(t - s), where t is not before s, times the product of steps s to t, at most 1."""
    rows = [c.ratios[s:].cumprod(0) for s in range(len(c.ratios))]
    steps = torch.arange(len(rows))
    powers = c.gamma ** (steps - steps[:, None]).clamp(min=0)
    limited = [torch.cat([row.new_zeros(s), row.clamp(max=1)]) for s, row in enumerate(rows)]
    return powers * torch.stack(limited)


def _shifted(x):
    return torch.cat([x[1:], x[-1:]])


_targets = Formula(
    "rewards values ratios gamma",
    now=lambda c: c.values[:-1],
    after=lambda c: c.values[1:],
    rho=lambda c: c.ratios.clamp(max=1),
    trace=lambda c: c.ratios.clamp(max=1),
    error=lambda c: c.rewards + c.gamma * c.after - c.now,
    deltas=lambda c: c.rho * c.error,
    gains=lambda c: _carried(c.deltas, c.trace, c.gamma),
    answer=lambda c: c.now + c.gains,
)


def _both(how):
    return _targets.but(rho=lambda c: how(c.ratios), trace=lambda c: how(c.ratios))


def _stretch(rng):
    steps = rng.integers(3, 7)
    rewards, values = numbers(rng, steps), numbers(rng, steps + 1)
    return _targets.case(rewards, values, _ratios(rng, steps), round(rng.uniform(0.5, 0.95), 2))


vtrace_targets = Check(
    "14.1",
    solution=_targets,
    example=_targets.case([1.0, 2.0, 3.0], [4.0, 6.0, 2.0, 8.0], [2.0, 0.5, 0.8], 0.5),
    edges=[
        _targets.case([1.0, -2.0], [2.0, 4.0, 1.0], [3.0, 0.0], 1.0),
        _targets.case([1.0, -2.0], [2.0, 4.0, 1.0], [0.5, 3.0], 0.0),
        _targets.case([0.5] * 12, [3.0, 1.0] * 6 + [2.0], [0.8, 2.0, 1.5] * 4, 0.9),
    ],
    draw=_stretch,
    mistakes=pairs(
        _both(lambda x: x),
        NOT_CLIPPED,
        [_targets.but(rho=lambda c: c.ratios), _targets.but(trace=lambda c: c.ratios)],
        "You limit one of the two: the weight of delta and the trace are both at most 1.",
        _both(lambda x: x.clamp(min=1)),
        BELOW,
        [_both(lambda x, e=e: x.clamp(1 - e, 1 + e)) for e in (0.1, 0.2, 0.3)],
        BOTH_SIDES,
        [_both(lambda x: 1 / x), _both(lambda x: (1 / x).clamp(max=1))],
        "The ratios are upside down: they come as they are needed, so do not turn them over.",
        _both(torch.ones_like),
        "The ratios are never used: that is the return of the policy that acted.",
        _targets.but(gains=lambda c: _products(c) @ c.error),
        "Limit each ratio at 1 first, then multiply: a product that is limited is another number.",
        _targets.but(deltas=lambda c: c.error),
        "delta is not weighted: it counts rho times.",
        _targets.but(trace=lambda c: torch.ones_like(c.ratios)),
        "The trace is missing: what the next step adds counts gamma times c.",
        _targets.but(gains=lambda c: c.deltas),
        "That looks one step ahead: add gamma times c of what the next step adds.",
        _targets.then(rho=lambda rho: rho.cumprod(0)),
        "delta has its own step's ratio: the products are made by walking back.",
        _targets.then(trace=torch.square),
        "rho counts twice in what is carried: rho delta + gamma c (what the next step adds).",
        _targets.then(trace=_shifted),
        "The trace from step t to step t + 1 has step t's ratio, not the next one's.",
        _targets.but(gains=lambda c: _carried(c.deltas, c.trace, 1)),
        "gamma is missing in the trace: what the next step adds comes a step later.",
        _targets.but(error=lambda c: c.rewards + c.after - c.now),
        "gamma is missing in delta: the next value comes a step later.",
        _targets.but(gamma=lambda c: 1.0),
        NO_GAMMA,
        _targets.but(gains=lambda c: _carried(c.deltas, c.trace, c.gamma, behind=c.values[-1])),
        "The last value counts twice: it is in the last delta, and behind it nothing is added.",
        _targets.but(
            error=lambda c: c.rho * (c.rewards - c.now) - c.gamma * c.trace * c.after,
            answer=lambda c: _carried(c.now + c.error, c.rho + c.trace, c.gamma, c.values[-1]),
        ),
        "delta has V of the next state, not its target: what the target adds, the trace brings.",
        _targets.but(answer=lambda c: _carried(c.now + c.deltas, c.trace, c.gamma, c.values[-1])),
        "The trace brings what the next step adds, its target less its value: the value is in delta.",
        _targets.then(gains=without_the_last),
        "The last step is left out: it adds its own delta.",
        _targets.but(answer=lambda c: c.gains),
        "That is what each step adds: the target is the value with it.",
        [_targets.but(answer=lambda c: c.now - c.gains), _targets.then(error=torch.neg)],
        "The sign is the wrong way round: delta is reward + gamma next value - value, and is added.",
        _targets.but(gains=lambda c: _carried(c.deltas.flip(0), c.trace.flip(0), c.gamma).flip(0)),
        "You add up the past: walk back from the last step.",
        _targets.then(answer=lambda x: x.flip(0)),
        "The targets stand in reverse order: turn them round.",
    ),
)


# --- 14.2 ----------------------------------------------------------------------------------------

_ratio = Formula(
    "log_probs behaviour_log_probs",
    log=lambda c: c.log_probs - c.behaviour_log_probs,
    raw=lambda c: c.log.exp(),
    answer=lambda c: c.raw.clamp(max=1),
)


def _two_policies(rng):
    steps = rng.integers(3, 8)
    behaviour = -numbers(rng, steps, low=1, high=3)
    return _ratio.case(behaviour + _ratios(rng, steps).log(), behaviour)


def _quotient(how):
    return _ratio.but(raw=lambda c: how(c.log_probs.exp()) / how(c.behaviour_log_probs.exp()))


behaviour_ratio = Check(
    "14.2",
    solution=_ratio,
    example=_ratio.case([-1.0, -2.0, -0.5], [-1.0, -1.0, -2.0]),
    edges=[
        _ratio.case([-800.0, -0.5, -1.0], [-799.0, -1.0, -800.0]),
        _ratio.case([-0.5, -1.0, -2.0, -0.25] * 5, [-1.0, -0.5, -0.5, -2.0] * 5),
    ],
    draw=_two_policies,
    mistakes=pairs(
        [_ratio.but(raw=lambda c: c.log), _ratio.but(answer=lambda c: c.log.clamp(max=0))],
        IS_LOG,
        [
            _ratio.then(log=torch.neg),
            _ratio.but(answer=lambda c: (-c.log).exp()),
            _ratio.but(answer=lambda c: (-c.log).exp().clamp(min=1)),
        ],
        "The ratio is upside down: below stands the policy that acted.",
        _ratio.but(answer=lambda c: c.raw),
        NOT_CLIPPED,
        _ratio.but(answer=lambda c: c.raw.clamp(min=1)),
        BELOW,
        [
            _ratio.but(answer=lambda c, e=e, high=high: c.raw.clamp(1 - e, high))
            for e in (0.1, 0.2, 0.3)
            for high in (1, 1 + e)
        ],
        BOTH_SIDES,
        _ratio.but(answer=lambda c: c.log.clamp(max=1).exp()),
        "You limit the logarithm at 1: limit the ratio, whose logarithm is then at most 0.",
        _quotient(lambda x: x),
        NO_NUMBER,
        [
            _quotient(lambda x, e=e, how=how: how(x, e))
            for how in (torch.add, torch.clamp)
            for e in (1e-5, 1e-6, 1e-8, 1e-10, 1e-12)
        ],
        MADE_UP,
        _ratio.but(raw=lambda c: c.log_probs.exp() - c.behaviour_log_probs.exp()),
        "That is the difference of the probabilities: divide one by the other.",
        _ratio.but(log=lambda c: c.log_probs + c.behaviour_log_probs),
        "That is the logarithm of a product: that of a quotient is the difference.",
        [
            _ratio.but(raw=lambda c: c.log_probs / c.behaviour_log_probs),
            _ratio.but(log=lambda c: c.log_probs / c.behaviour_log_probs),
        ],
        "You divide the logarithms: the logarithm of a quotient is their difference.",
        _ratio.but(log=lambda c: c.log_probs),
        "That is the learner's probability alone: divide it by that of the policy that acted.",
        _ratio.but(log=lambda c: c.behaviour_log_probs),
        "That is the acting policy's probability alone: it stands below, and the learner's above.",
        _ratio.but(answer=lambda c: c.log.sum().exp().clamp(max=1)),
        "Each step has its own ratio: do not multiply them.",
        [
            _ratio.but(raw=lambda c: c.log.cumsum(0).exp()),
            _ratio.then(answer=lambda x: x.cumprod(0)),
        ],
        "Each step has its own ratio: V-trace multiplies them itself.",
    ),
)


# --- 14.3: rho and c exchanged ---------------------------------------------------------------------

_trace = Formula(
    "rewards values ratios terminated gamma rho_max c_max",
    now=lambda c: c.values[:-1],
    after=lambda c: c.values[1:],
    rho=lambda c: c.ratios.clamp(max=c.rho_max),
    trace=lambda c: c.ratios.clamp(max=c.c_max),
    bootstraps=lambda c: (~c.terminated).float(),
    traces=lambda c: (~c.terminated).float(),
    error=lambda c: c.rewards + c.gamma * c.bootstraps * c.after - c.now,
    gains=lambda c: _carried(c.rho * c.error, c.traces * c.trace, c.gamma),
    answer=lambda c: c.now + c.gains,
)


def _limits(rho, trace):
    return _trace.but(
        rho=lambda c: c.ratios.clamp(max=rho(c)), trace=lambda c: c.ratios.clamp(max=trace(c))
    )


def _part(rng):
    steps = rng.integers(3, 7)
    rewards, values = numbers(rng, steps), numbers(rng, steps + 1)
    terminated = torch.tensor(rng.random(steps) < 0.25)
    rho_max, c_max = round(rng.uniform(1.2, 3), 1), round(rng.uniform(0.5, 1.1), 1)
    gamma = round(rng.uniform(0.5, 0.95), 2)
    return _trace.case(rewards, values, _ratios(rng, steps), terminated, gamma, rho_max, c_max)


STOOD = "That was right as it stood: exchange rho and c alone."

repaired_trace = Check(
    "14.3",
    solution=_trace,
    example=_trace.case(
        *([1.0, 2.0, 3.0, 4.0], [4.0, 6.0, 2.0, 8.0, 1.0], [3.0, 0.5, 3.0, 3.0]),
        *([False, False, True, False], 0.5, 2.0, 1.0),
    ),
    edges=[
        _trace.case([1.0], [2.0, 4.0], [3.0], [False], 1.0, 2.0, 1.0),
        _trace.case([1.0, 2.0], [2.0, 4.0, 3.0], [3.0, 4.0], [False, True], 1.0, math.inf, 1.0),
        _trace.case([1.0, 2.0], [2.0, 4.0, 3.0], [3.0, 4.0], [False, False], 0.9, 0.5, 2.0),
        _trace.case([1.0, 2.0], [2.0, 4.0, 3.0], [3.0, 4.0], [False, False], 0.0, 1.5, 1.5),
        _trace.case(
            [0.5] * 12, [3.0, 1.0] * 6 + [2.0], [0.8, 4.0, 1.5] * 4, [False] * 12, 0.9, 3.0, 0.5
        ),
    ],
    draw=_part,
    mistakes=pairs(
        _limits(lambda c: c.c_max, lambda c: c.rho_max),
        "The bug is still there: delta's weight is limited at c_max, and the trace at rho_max.",
        [
            _limits(lambda c: c.c_max, lambda c: c.c_max),
            _limits(lambda c: c.rho_max, lambda c: c.rho_max),
        ],
        "Both have one limit now: rho_max is for delta's weight, c_max for the trace.",
        [
            _limits(lambda c: 1, lambda c: 1),
            _limits(lambda c: 1, lambda c: c.c_max),
            _limits(lambda c: c.rho_max, lambda c: 1),
            _trace.but(trace=lambda c: torch.ones_like(c.ratios)),
        ],
        "You have written 1 into it: use the arguments rho_max and c_max.",
        [
            _limits(lambda c: c.rho_max, lambda c: math.inf),
            _limits(lambda c: math.inf, lambda c: c.c_max),
            _limits(lambda c: math.inf, lambda c: math.inf),
        ],
        "A limit is gone: rho_max is for delta's weight, c_max for the trace.",
        [
            _limits(lambda c: c.rho_max, lambda c: min(c.rho_max, c.c_max)),
            _limits(lambda c: min(c.rho_max, c.c_max), lambda c: c.c_max),
            _limits(lambda c: max(c.rho_max, c.c_max), lambda c: c.c_max),
        ],
        "One of the two has both limits: rho_max is for delta's weight alone, c_max for the trace.",
        [
            _trace.but(traces=lambda c: 1.0),
            _trace.but(bootstraps=lambda c: 1.0),
            _trace.but(gamma=lambda c: 1.0),
            _trace.but(answer=lambda c: c.gains),
        ],
        STOOD,
    ),
)
