"""Lesson 11's other checks: the advantages within a group, the price of the KL."""

import numpy as np
import torch

from helpers.checks.core import Check, numbers
from helpers.checks.slips import Formula, pairs

_group = Formula(
    "rewards",
    G=lambda c: c.rewards.shape[1],
    total=lambda c: c.rewards.sum(1, keepdim=True),
    baseline=lambda c: (c.total - c.rewards) / (c.G - 1),
    advantages=lambda c: c.rewards - c.baseline,
)
_own = _group.but(baseline=lambda c: c.total / c.G)


def _baselines(*makes):
    return [_group.but(baseline=lambda c, make=make: make(c.rewards)) for make in makes]


def _scaled(*formulas, axis):
    """Divided by the rewards' standard deviation: of each group, or of all."""
    return [
        (lambda r, f=f, k=k, e=e: f(r) / (r.std(axis, correction=k, keepdim=True) + e))
        for f in formulas
        for k in (0, 1)
        for e in (1e-8, 1e-6, 1e-5, 1e-4)
    ]


def _unequal(rewards):
    """The mean of those whose reward is another one."""
    other = rewards[:, :, None] != rewards[:, None]
    return (other * rewards[:, None]).sum(-1) / other.sum(-1)


group_advantages = Check(
    "11.3",
    solution=_group,
    example=_group.case([[1.0, 0.0, 0.0, 1.0], [3.0, 1.0, 0.0, 0.0]]),
    edges=[
        _group.case([[2.0, -1.0]]),
        _group.case([[1.0] * 5, [0.0] * 5, [0.0, 0.0, 1.0, 0.0, 0.0]]),
        _group.case([[0.5 * (i * j % 7) for i in range(8)] for j in range(1, 4)]),
    ],
    draw=lambda rng: _group.case(numbers(rng, rng.integers(2, 5), rng.integers(2, 7))),
    mistakes=pairs(
        _own,
        "The answer itself is in its baseline, which shrinks the gradient: take the others' mean.",
        _group.but(baseline=lambda c: (c.total - c.rewards) / c.G),
        "The others are G - 1 in number: divide their sum by that.",
        _group.but(baseline=lambda c: c.total / (c.G - 1)),
        "You divide by G - 1, but the answer itself is still in the sum: take it off.",
        _group.but(baseline=lambda c: c.total - c.rewards),
        "You take off the others' sum: divide it by how many they are.",
        [_group.then(advantages=torch.neg), _own.then(advantages=torch.neg)],
        "The sign is the wrong way round: an answer that is better than the others is positive.",
        _group.but(advantages=lambda c: c.baseline),
        "That is the baseline: take it off the reward.",
        _baselines(torch.zeros_like),
        "There is no baseline: take the mean of the others off.",
        _baselines(torch.mean, lambda r: (r.sum() - r) / (r.numel() - 1)),
        "Your mean goes over the whole batch: a hard question would look bad beside an easy one.",
        _baselines(lambda r: r.mean(0), lambda r: (r.sum(0) - r) / (len(r) - 1)),
        "Your mean goes over the questions: a group is a row, so axis 1.",
        _scaled(_own, _group, axis=1),
        "You divide by the standard deviation: that is no baseline, it weighs the questions.",
        _scaled(_own, _group, lambda r: r - r.mean(), axis=(0, 1)),
        "You divide by the batch's standard deviation: only the others' mean comes off.",
        _baselines(_unequal),
        "You leave out all that have the same reward: leave out the answer itself alone.",
        _baselines(lambda r: r.roll(1, 1), lambda r: r.roll(-1, 1)),
        "You compare each answer with one other: take the mean of all others.",
        [
            _own.then(advantages=lambda A, n=n: A * n(A.shape[1]))
            for n in (int, lambda G: 1 - 1 / G)
        ],
        "The factor is wrong: from the mean of all it is G / (G - 1), from that of the others 1.",
        _baselines(lambda r: r.median(1, keepdim=True).values, lambda r: r.amax(1, keepdim=True)),
        "The baseline is a mean: neither the best answer nor the one in the middle.",
        _group.then(advantages=lambda A: A.mean(1)),
        "Each answer has its own advantage: take no mean at the end.",
    ),
)

_price = Formula(
    "scores log_probs ref_log_probs beta",
    gap=lambda c: c.log_probs - c.ref_log_probs,
    rewards=lambda c: c.scores - c.beta * c.gap,
)


def _gaps(*makes):
    """With something else made of the gap."""
    return [_price.then(gap=make) for make in makes]


def _rewards(*makes):
    return [_price.but(rewards=make) for make in makes]


def _priced(rng, count, beta):
    scores, gap = numbers(rng, 2, count, low=-2, high=2)
    log_probs = numbers(rng, count, low=-9, high=-4)
    return _price.case(scores, log_probs, log_probs - gap, beta)


repaired_price = Check(
    "11.4",
    solution=_price,
    example=_price.case([1.0, 2.0, 0.5], [-3.0, -5.0, -4.0], [-4.0, -4.5, -6.0], 0.5),
    edges=[
        _price.case([1.0, -1.0], [-800.0, -751.0], [-803.0, -750.0], 0.1),
        _price.case([2.0], [-3.0], [-5.0], 0.0),
        _priced(np.random.default_rng(0), 12, 2.0),
    ],
    draw=lambda rng: _priced(rng, rng.integers(2, 7), round(rng.uniform(0.1, 0.9), 1)),
    mistakes=pairs(
        _gaps(torch.neg),
        "The bug is still there: it pays for going away from the reference, where it should charge.",
        _price.but(beta=lambda c: 1),
        "beta is never used: it is what a nat of difference costs.",
        _price.then(beta=lambda beta: 1 / beta),
        "You divide by beta: multiply.",
        _rewards(
            lambda c: c.scores - c.beta * c.log_probs - c.ref_log_probs,
            lambda c: c.scores - c.beta * c.log_probs + c.ref_log_probs,
        ),
        "beta counts for one of the two alone: put the difference into brackets.",
        _rewards(
            lambda c: c.beta * (c.scores - c.gap),
            lambda c: c.beta * c.scores - c.gap,
            lambda c: (1 - c.beta) * c.scores - c.beta * c.gap,
        ),
        "beta is the price alone: the scores count whole.",
        _rewards(lambda c: c.scores),
        "The price is missing: those are the scores.",
        _rewards(lambda c: c.beta * c.gap, lambda c: -c.beta * c.gap),
        "The scores are missing: take the price off them.",
        [_price.but(gap=lambda c, s=s: s * c.ref_log_probs) for s in (1, -1)],
        "The policy is missing: the price is on the difference from the reference.",
        [_price.but(gap=lambda c, s=s: s * c.log_probs) for s in (1, -1)],
        "The reference is missing: that is a price on being sure, not on being far from it.",
        _price.then(ref_log_probs=torch.neg),
        "You add the two log-probabilities: take their difference.",
        _gaps(torch.exp, lambda gap: (-gap).exp()),
        "You take the ratio of the probabilities: its logarithm is wanted, the difference itself.",
        _price.but(gap=lambda c: (c.log_probs.exp() / c.ref_log_probs.exp()).log()),
        "exp() of −800 is 0, and 0/0 is no number: take the difference of the logarithms.",
        _price.but(gap=lambda c: c.log_probs / c.ref_log_probs),
        "You divide the logarithms: the logarithm of a ratio is their difference.",
        _price.then(log_probs=torch.exp, ref_log_probs=torch.exp),
        "You take the difference of the probabilities: that of their logarithms is wanted.",
        _gaps(lambda gap: (-gap).exp() - 1 + gap, lambda gap: gap.exp() - 1 - gap),
        "That is k3: it pays nobody for coming back, so take k1, the difference itself.",
        _gaps(lambda gap: gap**2 / 2, torch.square),
        "That is the square of the difference, as in k2: take k1, the difference itself.",
        _gaps(torch.abs, torch.relu),
        "A single difference may be negative: only its mean, the KL, can't.",
        _price.but(gap=lambda c: c.log_probs.exp() * (c.log_probs - c.ref_log_probs)),
        "The replies were drawn from the policy already: do not weigh them by it again.",
        _gaps(torch.mean, torch.sum),
        "Each reply pays for its own difference: take neither mean nor sum over the batch.",
        [_price.then(rewards=torch.mean), _price.then(rewards=torch.sum)],
        "Each reply has its own reward: take neither mean nor sum over the batch.",
    ),
)
