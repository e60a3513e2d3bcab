"""The checks of lesson 10: the soft target, the squeezed log-probability, the critics' loss."""

import math

import torch
import torch.nn.functional as F

from helpers.checks.core import Check, numbers
from helpers.checks.slips import NO_GAMMA, Formula, pairs

SMALLER = "Of the two critics the smaller estimate counts"
DOUBT = "tau times the log-probability comes off: doubt is paid, and a log of a rare action is low."

_target = Formula(
    "rewards terminated truncated next_q1 next_q2 next_log_probs gamma tau",
    goes_on=lambda c: (~c.terminated).float(),
    smaller=lambda c: torch.minimum(c.next_q1, c.next_q2),
    doubt=lambda c: c.tau * c.next_log_probs,
    next_value=lambda c: c.smaller - c.doubt,
    answer=lambda c: c.rewards + c.gamma * c.goes_on * c.next_value,
)


def _steps(rng, formula, flags, others):
    """A case: rewards, flags (a step may end in each way, in both, or in none), other numbers."""
    count = rng.integers(3, 7)
    rewards, *others = (numbers(rng, count) for _ in range(1 + others))
    ends = torch.tensor(rng.random((flags, count)) < 0.35)
    gamma, tau = round(rng.uniform(0.5, 0.95), 2), round(rng.uniform(0.2, 0.9), 1)
    return formula.case(rewards, *ends, *others, gamma, tau)


soft_target = Check(
    "10.1",
    solution=_target,
    example=_target.case(
        *([1.0, 2.0, 3.0], [False, True, False], [False, False, True]),
        *([4.0, 6.0, 8.0], [5.0, 3.0, 6.0], [-1.0, 2.0, 1.0]),
        *(0.5, 0.2),
    ),
    edges=[
        _target.case([1.0], [True], [True], [2.0], [3.0], [-4.0], 1.0, 0.0),
        _target.case([1.0], [False], [False], [2.0], [3.0], [-4.0], 0.0, 1.0),
        _target.case(
            [0.5] * 12, [False] * 12, [True] * 12, [-3.0] * 12, [-2.0] * 12, [9.0] * 12, 0.9, 2.0
        ),
    ],
    draw=lambda rng: _steps(rng, _target, 2, 3),
    mistakes=pairs(
        _target.but(smaller=lambda c: torch.maximum(c.next_q1, c.next_q2)),
        f"{SMALLER}, since the larger one flatters.",
        _target.but(smaller=lambda c: (c.next_q1 + c.next_q2) / 2),
        f"{SMALLER}: a mean flatters less than one critic, and still does.",
        [_target.but(smaller=lambda c: c.next_q1), _target.but(smaller=lambda c: c.next_q2)],
        f"{SMALLER}: you asked one of them alone.",
        _target.but(smaller=lambda c: torch.stack([c.next_q1, c.next_q2])),
        f"{SMALLER}: both learn from one target.",
        _target.but(smaller=lambda c: torch.minimum(c.next_q1, c.next_q2).min()),
        f"{SMALLER}, for each step of the batch: torch.minimum() compares entry by entry.",
        _target.then(doubt=torch.neg),
        f"The sign of the entropy term is the wrong way round: {DOUBT}",
        _target.but(doubt=lambda c: 0),
        f"The entropy term is missing: {DOUBT}",
        _target.but(doubt=lambda c: c.next_log_probs),
        "tau is never used: it is what a nat of doubt is paid.",
        _target.but(doubt=lambda c: c.next_log_probs / c.tau),
        "You divide by tau: it is the price of a nat of doubt, so multiply.",
        [_target.then(next_log_probs=how) for how in (torch.exp, lambda x: x * x.exp())],
        "next_log_probs counts as it is: the draw has weighed it by the probability already.",
        _target.then(next_log_probs=torch.mean),
        "Each step has its own log-probability: take no mean over the batch.",
        [
            _target.but(answer=lambda c: c.rewards + c.gamma * c.goes_on * c.smaller - c.doubt),
            _target.but(answer=lambda c: c.rewards + c.gamma * (c.goes_on * c.smaller - c.doubt)),
        ],
        "The entropy belongs to the next state: it is discounted, and gone where nothing follows.",
        _target.but(answer=lambda c: c.rewards + c.goes_on * (c.gamma * c.smaller - c.doubt)),
        "The doubt of the next action is paid a step later: gamma counts for it too.",
        _target.but(goes_on=lambda c: 1.0),
        "Nothing follows where it terminated: there the next value must count as 0.",
        _target.but(goes_on=lambda c: (~(c.terminated | c.truncated)).float()),
        "You take truncation for an end: the time limit cut it off, and the value goes on.",
        _target.but(goes_on=lambda c: (~c.truncated).float()),
        "You mask truncated steps: mask the terminated ones, behind which nothing follows.",
        _target.but(goes_on=lambda c: (~c.terminated | c.truncated).float()),
        "A step that terminated is over, even if the time limit came with it.",
        _target.then(goes_on=lambda mask: 1 - mask),
        "The mask is the wrong way round: the next value counts where it goes on.",
        _target.but(gamma=lambda c: 1.0),
        NO_GAMMA,
        _target.but(answer=lambda c: c.goes_on * c.next_value * c.gamma),
        "The reward is missing: it is paid at once.",
        _target.but(answer=lambda c: c.goes_on * (c.rewards + c.gamma * c.next_value)),
        "You drop the reward where it terminated: only the next value is 0 there.",
        _target.then(answer=torch.mean),
        "You take a mean: each step has its own target.",
    ),
)


LOG_2 = math.log(2)


def _gaussian(c, square=0.5, log_std=1, constant=0.5):
    return -square * c.z**2 - log_std * c.log_stds - constant * math.log(2 * math.pi)


def _slope(u, inside=-2, log_2=LOG_2, sign=-1):
    """The logarithm of tanh's slope."""
    return 2 * (log_2 + sign * u - F.softplus(inside * u))


_squashed = Formula(
    "means log_stds u",
    std=lambda c: c.log_stds.exp(),
    z=lambda c: (c.u - c.means) / c.std,
    gaussian=_gaussian,
    slope=lambda c: _slope(c.u),
    each=lambda c: c.gaussian - c.slope,
    answer=lambda c: c.each.sum(-1),
)


def _slopes(*makes):
    """With other logarithms of the slope, made of u."""
    return [_squashed.but(slope=lambda c, make=make: make(c.u)) for make in makes]


def _gaussians(*factors):
    return [_squashed.but(gaussian=lambda c, f=f: _gaussian(c, **f)) for f in factors]


def _from_clamped(edge):
    """u, computed back from an action that was clamped first."""
    return _squashed.but(u=lambda c: c.u.tanh().clamp(-1 + edge, 1 - edge).atanh())


def _draw_actions(rng):
    shape = rng.integers(2, 5), rng.integers(2, 4)
    means, u = numbers(rng, *shape, low=-2, high=2), numbers(rng, *shape, low=-2, high=2)
    return _squashed.case(means, numbers(rng, *shape, low=-1, high=1), u)


LOST = "atanh() of the action is not u: once tanh has rounded to 1, u is lost. Use u itself."
MADE_UP = (
    "What you add inside the log, or clamp there, is made up, and near 1 it is all that counts"
)
STABLE = "use 2 (log 2 - u - softplus(-2 u))"

squashed_log_prob = Check(
    "10.2",
    solution=_squashed,
    example=_squashed.case([[0.0, 1.0]], [[0.0, -0.5]], [[0.5, 12.0]]),
    edges=[
        _squashed.case([[0.0]], [[3.0]], [[-12.0]]),
        _squashed.case([[100.0, -100.0]], [[0.5, 0.5]], [[100.5, -99.5]]),
        _squashed.case([[0.25, 0.5]], [[-6.0, 0.5]], [[0.25, -0.5]]),
        _squashed.case([[0.0] * 8] * 3, [[0.25] * 8] * 3, [[0.5] * 8] * 3),
    ],
    draw=_draw_actions,
    mistakes=pairs(
        _squashed.but(each=lambda c: c.gaussian + c.slope),
        "The sign of the slope is the wrong way round: where tanh is flat, the density is crowded.",
        _squashed.but(slope=lambda c: 0),
        "That is the log-probability of u: take the logarithm of tanh's slope off.",
        _squashed.but(slope=lambda c: _slope(c.means)),
        "You take the slope at the mean: it belongs to the action that was drawn, so to u.",
        _slopes(
            lambda u: _slope(u, inside=2),
            lambda u: _slope(u, inside=-1),
            lambda u: _slope(u, log_2=1),
            lambda u: _slope(u, sign=1),
        ),
        f"The slope's formula has a slip: {STABLE}.",
        _slopes(
            lambda u: 2 * (LOG_2 - u - (1 + (-2 * u).exp()).log()),
            lambda u: -2 * u.cosh().log(),
            lambda u: (4 / (u.exp() + (-u).exp()) ** 2).log(),
        ),
        "exp() of a large number overflows, and cosh() as well: F.softplus() doesn't.",
        _slopes(lambda u: _slope(u) / 2),
        "The factor 2 is missing in the slope: 1 - tanh^2 is a square.",
        [_from_clamped(edge) for edge in (0, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)],
        LOST,
        _slopes(
            *(
                lambda u, e=e, make=make: make(1 - u.tanh() ** 2, e).log()
                for e in (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
                for make in (torch.add, torch.clamp)
            )
        ),
        f"{MADE_UP}: {STABLE}.",
        _slopes(*(lambda u, e=e: (1 - (2 * u.tanh()) ** 2 + e).log() for e in (0, 1e-6))),
        "The scaled action leaves (-1, 1), and the log of a negative number is none: use u.",
        _slopes(lambda u: (1 - u.tanh() ** 2).log()),
        f"1 - tanh^2 rounds to 0, whose logarithm is minus infinity: {STABLE}.",
        _slopes(lambda u: (1 - u.tanh()).log()),
        "The slope of tanh is 1 - tanh^2: you left the square out.",
        _slopes(lambda u: 1 - u.tanh() ** 2),
        "You take the slope itself off: take its logarithm.",
        _squashed.then(each=lambda x: x.mean(-1, keepdim=True)),
        "You take a mean over the numbers of an action: their log-probabilities add up.",
        [
            _squashed.but(answer=lambda c: c.each),
            _squashed.but(answer=lambda c: c.gaussian.sum(-1) - c.slope),
            _squashed.but(answer=lambda c: c.gaussian - c.slope.sum(-1)),
        ],
        "One log-probability for each action is wanted: add up over its numbers, axis -1.",
        [_squashed.but(answer=lambda c, axes=axes: c.each.sum(axes)) for axes in (0, (0, 1))],
        "You add over the batch: add over the numbers of an action alone, so sum(-1).",
        _squashed.but(std=lambda c: c.log_stds),
        "You divide by the logarithm of the standard deviation: take its exp() first.",
        _gaussians({"log_std": 0}),
        "The logarithm of the standard deviation is missing in the Gaussian.",
        _gaussians({"constant": 0}),
        "The Gaussian's constant is missing: 0.5 log(2 pi) for each number.",
        _gaussians({"square": 1}, {"square": -0.5}, {"log_std": -1}, {"constant": 1}),
        "The Gaussian has a slip: it is -z^2 / 2 - log_stds - 0.5 log(2 pi) for each number.",
        [_squashed.then(std=torch.sqrt), _squashed.then(std=torch.square)],
        "z divides by exp(log_stds), the standard deviation: not by its square, nor by its root.",
        _squashed.but(means=lambda c: 0),
        "The means are never used: z = (u - means) / std.",
        [
            _squashed.but(z=lambda c: (c.u.tanh() - c.means) / c.std, slope=slope)
            for slope in (
                _squashed.lines["slope"],
                lambda c: (1 - c.u.tanh() ** 2).log(),
                lambda c: (1 - c.u.tanh() ** 2 + 1e-6).log(),
            )
        ],
        "You ask the Gaussian about tanh(u): it is u that was drawn from it.",
        [_squashed.then(log_stds=lambda x, low=low: x.clamp(low, 2)) for low in (-5, -20)],
        "You clamp log_stds: here they count as they are.",
        _squashed.then(answer=torch.exp),
        "That is the density: its logarithm is wanted.",
    ),
)


_critics = Formula(
    "rewards terminated q1 q2 next_q1 next_q2 next_log_probs gamma tau",
    goes_on=lambda c: (~c.terminated).float(),
    smaller=lambda c: torch.minimum(c.next_q1, c.next_q2),
    next_value=lambda c: c.smaller - c.tau * c.next_log_probs,
    full=lambda c: c.rewards + c.gamma * c.goes_on * c.next_value,
    target=lambda c: c.full.detach(),
    error=lambda c: F.mse_loss,
    first=lambda c: c.error(c.q1, c.target),
    second=lambda c: c.error(c.q2, c.target),
    answer=lambda c: c.first + c.second,
)
_flowing = _critics.but(target=lambda c: c.full)

repaired_critic_loss = Check(
    "10.3",
    solution=_critics,
    example=_critics.case(
        *([1.0, 2.0], [False, True], [3.0, 1.0], [2.0, 4.0]),
        *([4.0, 6.0], [5.0, 3.0], [-1.0, 2.0], 0.5, 0.2),
    ),
    edges=[
        _critics.case([1.0], [False], [2.0], [3.0], [1.0], [0.0], [-2.0], 1.0, 0.0),
        _critics.case(
            [0.5] * 9, [False] * 9, [1.0] * 9, [-1.0] * 9, [4.0] * 9, [2.0] * 9, [1.5] * 9, 0.9, 1.0
        ),
    ],
    draw=lambda rng: _steps(rng, _critics, 1, 5),
    slopes=["q1", "q2", "next_q1", "next_q2", "next_log_probs"],
    mistakes=pairs(
        _flowing,
        "The bug is still there: the target's gradient flows, so it moves to meet the estimate.",
        _flowing.then(smaller=torch.detach),
        "The log-probability still has a gradient: the critics would train the actor. Detach it too.",
        _flowing.then(next_log_probs=torch.detach),
        "The next values still have a gradient: detach the whole target.",
        [
            _critics.but(second=lambda c: c.error(c.q2, c.full)),
            _critics.but(first=lambda c: c.error(c.q1, c.full)),
        ],
        "One of the two errors still measures against a target that flows: detach it for both.",
        [
            _critics.then(q1=torch.detach),
            _critics.then(q2=torch.detach),
            _flowing.then(q1=torch.detach, q2=torch.detach),
        ],
        "You hold an estimate fixed: both are to learn. Detach the target.",
        _critics.then(answer=lambda loss: loss / 2),
        "The two errors are averaged: add them, as before.",
        _critics.but(answer=lambda c: (c.first, c.second)),
        "One number is wanted: add the two errors, as before.",
        [
            _critics.but(tau=lambda c: 0),
            _critics.then(tau=lambda tau: -tau),
            _critics.but(goes_on=lambda c: 1),
            _critics.but(smaller=lambda c: torch.maximum(c.next_q1, c.next_q2)),
            _critics.but(answer=lambda c: c.first),
            _critics.but(answer=lambda c: torch.maximum(c.first, c.second)),
            _critics.but(answer=lambda c: len(c.q1) * (c.first + c.second)),
            *(_critics.but(error=lambda c, e=e: e) for e in (F.l1_loss, F.smooth_l1_loss)),
        ],
        "The value was right as it stood: change only where gradients flow.",
    ),
)
