"""The checks of lesson 10: the soft target, the squeezed log-probability, the critics' loss."""

import math

import torch
import torch.nn.functional as F

from helpers.checks.core import Check, numbers
from helpers.checks.slips import NO_GAMMA, Formula, pairs

SMALLER = "Of the two critics the smaller estimate counts"
DOUBT = "tau times the log-probability comes off: doubt is paid, and a log of a rare action is low."

_soft_target = Formula(
    "rewards terminated truncated next_q1 next_q2 next_log_probs gamma tau",
    goes_on=lambda c: (~c.terminated).float(),
    smaller=lambda c: torch.minimum(c.next_q1, c.next_q2),
    doubt=lambda c: c.tau * c.next_log_probs,
    next_value=lambda c: c.smaller - c.doubt,
    answer=lambda c: c.rewards + c.gamma * c.goes_on * c.next_value,
)


def _flags(rng, count):
    """terminated and truncated: each step ends in one way, in both, or in none."""
    return torch.tensor(rng.random((2, count)) < 0.35)


def _draw_steps(rng):
    count = rng.integers(3, 7)
    rewards, q1, q2, log_probs = (numbers(rng, count) for _ in range(4))
    gamma, tau = round(rng.uniform(0.5, 0.95), 2), round(rng.uniform(0.2, 0.9), 1)
    return dict(
        zip(
            _soft_target.arguments.split(),
            (rewards, *_flags(rng, count), q1, q2, log_probs, gamma, tau),
        )
    )


soft_target = Check(
    "10.1",
    solution=_soft_target,
    example=_soft_target.case(
        [1.0, 2.0, 3.0],
        [False, True, False],
        [False, False, True],
        [4.0, 6.0, 8.0],
        [5.0, 3.0, 6.0],
        [-1.0, 2.0, 1.0],
        0.5,
        0.2,
    ),
    edges=[
        _soft_target.case([1.0], [False], [False], [2.0], [3.0], [-4.0], 1.0, 0.0),
        _soft_target.case([1.0], [True], [True], [2.0], [3.0], [-4.0], 0.0, 1.0),
        _soft_target.case(
            [0.5] * 12, [False] * 12, [True] * 12, [-3.0] * 12, [-2.0] * 12, [9.0] * 12, 0.9, 2.0
        ),
    ],
    draw=_draw_steps,
    mistakes=pairs(
        _soft_target.but(smaller=lambda c: torch.maximum(c.next_q1, c.next_q2)),
        f"{SMALLER}, since the larger one flatters.",
        _soft_target.but(smaller=lambda c: (c.next_q1 + c.next_q2) / 2),
        f"{SMALLER}: a mean flatters less than one critic, and still does.",
        [
            _soft_target.but(smaller=lambda c: c.next_q1),
            _soft_target.but(smaller=lambda c: c.next_q2),
        ],
        f"{SMALLER}: you asked one of them alone.",
        _soft_target.but(smaller=lambda c: torch.minimum(c.next_q1, c.next_q2).min()),
        f"{SMALLER}, for each step of the batch: torch.minimum() compares entry by entry.",
        _soft_target.then(doubt=torch.neg),
        f"The sign of the entropy term is the wrong way round: {DOUBT}",
        _soft_target.but(doubt=lambda c: 0),
        f"The entropy term is missing: {DOUBT}",
        _soft_target.but(doubt=lambda c: c.next_log_probs),
        "tau is never used: it is what a nat of doubt is paid.",
        _soft_target.but(answer=lambda c: c.rewards + c.gamma * c.goes_on * c.smaller - c.doubt),
        "The entropy belongs to the next state: it is discounted, and gone where nothing follows.",
        _soft_target.but(answer=lambda c: c.rewards + c.goes_on * (c.gamma * c.smaller - c.doubt)),
        "The doubt of the next action is paid a step later: gamma counts for it too.",
        _soft_target.but(goes_on=lambda c: 1.0),
        "Nothing follows where it terminated: there the next value must count as 0.",
        _soft_target.but(goes_on=lambda c: (~(c.terminated | c.truncated)).float()),
        "You take truncation for an end: the time limit cut it off, and the value goes on.",
        _soft_target.but(goes_on=lambda c: (~c.truncated).float()),
        "You mask truncated steps: mask the terminated ones, behind which nothing follows.",
        _soft_target.then(goes_on=lambda mask: 1 - mask),
        "The mask is the wrong way round: the next value counts where it goes on.",
        _soft_target.but(gamma=lambda c: 1.0),
        NO_GAMMA,
        _soft_target.but(answer=lambda c: c.goes_on * c.next_value * c.gamma),
        "The reward is missing: it is paid at once.",
    ),
)


_squashed = Formula(
    "means log_stds u",
    std=lambda c: c.log_stds.exp(),
    z=lambda c: (c.u - c.means) / c.std,
    gaussian=lambda c: -(c.z**2) / 2 - c.log_stds - 0.5 * math.log(2 * math.pi),
    where=lambda c: c.u,
    slope=lambda c: 2 * (math.log(2) - c.where - F.softplus(-2 * c.where)),
    each=lambda c: c.gaussian - c.slope,
    answer=lambda c: c.each.sum(-1),
)


def _slope(make):
    """Another logarithm of the slope, made of the squeezed action."""
    return _squashed.but(slope=lambda c: make(c.u.tanh()))


def _from_clamped(edge):
    """u, computed back from an action that was clamped first."""
    return _squashed.but(u=lambda c: c.u.tanh().clamp(-1 + edge, 1 - edge).atanh())


def _draw_actions(rng):
    shape = rng.integers(2, 5), rng.integers(2, 4)
    means, u = numbers(rng, *shape, low=-2, high=2), numbers(rng, *shape, low=-2, high=2)
    return _squashed.case(means, numbers(rng, *shape, low=-1, high=1), u)


LOST = "atanh() of a clamped action is not u: once tanh has rounded to 1, u is lost. Use u itself."
MADE_UP = (
    "What you add inside the log, or clamp there, is made up, and near 1 it is all that counts"
)
STABLE = "use 2 (log 2 - u - softplus(-2 u))"

squashed_log_prob = Check(
    "10.2",
    solution=_squashed,
    example=_squashed.case([[0.0, 1.0]], [[0.0, -0.5]], [[0.5, 12.0]]),
    edges=[
        _squashed.case([[0.0]], [[1.0]], [[-12.0]]),
        _squashed.case([[30.0, -30.0]], [[0.5, 0.5]], [[30.5, -29.5]]),
        _squashed.case([[0.25, 0.5]], [[-4.0, 0.5]], [[0.25, -0.5]]),
        _squashed.case([[0.0] * 8] * 3, [[0.25] * 8] * 3, [[0.5] * 8] * 3),
    ],
    draw=_draw_actions,
    mistakes=pairs(
        _squashed.but(each=lambda c: c.gaussian + c.slope),
        "The sign of the slope is the wrong way round: where tanh is flat, the density is crowded.",
        _squashed.but(slope=lambda c: 0),
        "That is the log-probability of u: take the logarithm of tanh's slope off.",
        _squashed.but(where=lambda c: c.means),
        "You take the slope at the mean: it belongs to the action that was drawn, so to u.",
        _squashed.then(slope=lambda x: x / 2),
        "The factor 2 is missing in the slope: 1 - tanh^2 is a square.",
        [_from_clamped(edge) for edge in (1e-3, 1e-4, 1e-5, 1e-6, 1e-7)],
        LOST,
        [
            _slope(lambda a, e=e, make=make: make(1 - a**2, e).log())
            for e in (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
            for make in (torch.add, torch.clamp)
        ],
        f"{MADE_UP}: {STABLE}.",
        [
            _slope(lambda a: (1 - (2 * a) ** 2).log()),
            _slope(lambda a: (1 - (2 * a) ** 2 + 1e-6).log()),
        ],
        "The scaled action leaves (-1, 1), and the log of a negative number is none: use u.",
        _slope(lambda a: (1 - a**2).log()),
        f"1 - tanh^2 rounds to 0, whose logarithm is minus infinity: {STABLE}.",
        _squashed.but(slope=lambda c: 1 - c.u.tanh() ** 2),
        "You take the slope itself off: take its logarithm.",
        _squashed.then(each=lambda x: x.mean(-1, keepdim=True)),
        "You take a mean over the numbers of an action: their log-probabilities add up.",
        _squashed.but(answer=lambda c: c.each),
        "One log-probability for each action is wanted: add up over its numbers, axis -1.",
        _squashed.but(answer=lambda c: c.each.sum(0)),
        "You add over the batch: add over the numbers of an action, axis -1.",
        _squashed.but(answer=lambda c: c.each.sum()),
        "You add up everything: one number for each row is wanted, so sum(-1).",
        _squashed.but(std=lambda c: c.log_stds),
        "You divide by the logarithm of the standard deviation: take its exp() first.",
        _squashed.but(gaussian=lambda c: -(c.z**2) / 2 - 0.5 * math.log(2 * math.pi)),
        "The logarithm of the standard deviation is missing in the Gaussian.",
        _squashed.but(gaussian=lambda c: -(c.z**2) / 2 - c.log_stds),
        "The Gaussian's constant is missing: 0.5 log(2 pi) for each number.",
        _squashed.then(answer=torch.exp),
        "That is the density: its logarithm is wanted.",
    ),
)


_repaired_critic_loss = Formula(
    "rewards terminated q1 q2 next_q1 next_q2 next_log_probs gamma tau",
    goes_on=lambda c: (~c.terminated).float(),
    next_value=lambda c: torch.minimum(c.next_q1, c.next_q2) - c.tau * c.next_log_probs,
    full=lambda c: c.rewards + c.gamma * c.goes_on * c.next_value,
    target=lambda c: c.full.detach(),
    first=lambda c: (c.q1 - c.target).square().mean(),
    second=lambda c: (c.q2 - c.target).square().mean(),
    answer=lambda c: c.first + c.second,
)


def _flowing(values=torch.Tensor.detach, log_probs=torch.Tensor.detach):
    """With a target of which one part is detached, the other not."""
    return _repaired_critic_loss.but(
        next_value=lambda c: (
            values(torch.minimum(c.next_q1, c.next_q2)) - c.tau * log_probs(c.next_log_probs)
        ),
        target=lambda c: c.full,
    )


def _draw_losses(rng):
    count = rng.integers(2, 6)
    rewards, *others = (numbers(rng, count) for _ in range(6))
    gamma, tau = round(rng.uniform(0.5, 0.95), 2), round(rng.uniform(0.2, 0.9), 1)
    names = _repaired_critic_loss.arguments.split()
    return dict(zip(names, (rewards, _flags(rng, count)[0], *others, gamma, tau)))


repaired_critic_loss = Check(
    "10.3",
    solution=_repaired_critic_loss,
    example=_repaired_critic_loss.case(
        [1.0, 2.0],
        [False, True],
        [3.0, 1.0],
        [2.0, 4.0],
        [4.0, 6.0],
        [5.0, 3.0],
        [-1.0, 2.0],
        0.5,
        0.2,
    ),
    edges=[
        _repaired_critic_loss.case([1.0], [False], [2.0], [3.0], [1.0], [0.0], [-2.0], 1.0, 0.0),
        _repaired_critic_loss.case(
            [0.5] * 9, [False] * 9, [1.0] * 9, [-1.0] * 9, [4.0] * 9, [2.0] * 9, [1.5] * 9, 0.9, 1.0
        ),
    ],
    draw=_draw_losses,
    slopes=["q1", "q2", "next_q1", "next_q2", "next_log_probs"],
    mistakes=pairs(
        _repaired_critic_loss.but(target=lambda c: c.full),
        "The bug is still there: the target's gradient flows, so it moves to meet the estimate.",
        _flowing(log_probs=lambda x: x),
        "The log-probability still has a gradient: the critics would train the actor. Detach it too.",
        _flowing(values=lambda x: x),
        "The next values still have a gradient: detach the whole target.",
        [
            _repaired_critic_loss.but(second=lambda c: (c.q2 - c.full).square().mean()),
            _repaired_critic_loss.but(first=lambda c: (c.q1 - c.full).square().mean()),
        ],
        "One of the two errors still measures against a target that flows: detach it for both.",
        [
            _repaired_critic_loss.but(
                target=lambda c: c.full,
                first=lambda c: (c.q1.detach() - c.target).square().mean(),
                second=lambda c: (c.q2.detach() - c.target).square().mean(),
            ),
        ],
        "You hold the estimates fixed: they are to learn. Detach the target.",
        _repaired_critic_loss.then(answer=lambda loss: loss / 2),
        "The two errors are averaged: add them, as before.",
    ),
)
