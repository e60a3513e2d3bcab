"""Lesson 11's first checks: the loss of comparisons, for a reward model and for a policy itself."""

import numpy as np
import torch
import torch.nn.functional as F

from helpers.checks.core import Check, numbers
from helpers.checks.slips import LOSS_SIGN, Formula, pairs

# What both losses make of good and bad, which are rewards [N]: in DPO those that a policy implies.
_LOSS = {
    "margin": lambda c: c.good - c.bad,
    "each": lambda c: F.logsigmoid(c.margin),
    "loss": lambda c: -c.each.mean(),
}


def _apart(rng, *ranges):
    """Numbers [N] from each range, whose differences are not 0: there some right forms have a kink."""
    count = rng.integers(2, 7)
    return [numbers(rng, count, low=a, high=b) + 0.01 * i**2 for i, (a, b) in enumerate(ranges)]


def _of_loss(formula):
    """What may be wrong with these lines. One case should have margins below -100 and above 100."""

    def each(*makes):
        return [formula.but(each=lambda c, make=make: make(c.margin)) for make in makes]

    return pairs(
        formula.then(loss=torch.neg),
        LOSS_SIGN,
        formula.then(margin=torch.neg),
        "Chosen and rejected are swapped: what was chosen should come out higher.",
        formula.then(margin=torch.neg, loss=torch.neg),
        "Both the difference and the sign are turned round: that can be made small without end.",
        each(lambda m: m.sigmoid().log()),
        "Here exp() overflows, or the sigmoid is 0 and its log minus infinity: F.logsigmoid() is safe.",
        each(
            lambda m: m.sigmoid().log().clamp(min=-100),  # as F.binary_cross_entropy does
            *(lambda m, n=n: (m.sigmoid() + 10.0**-n).log() for n in range(5, 13)),
            *(lambda m, n=n: m.sigmoid().clamp(10.0**-n).log() for n in range(5, 13)),
        ),
        "What is added inside the log, or clamped there, is made up: F.logsigmoid() needs no help.",
        each(torch.sigmoid, lambda m: m.sigmoid() - 1),
        "The logarithm is missing: take -log of the probability.",
        each(lambda m: m),
        "The sigmoid is missing: it makes a probability of the difference, and the loss is its -log.",
        each(lambda m: F.logsigmoid(m.sigmoid())),
        "You take the sigmoid of a sigmoid: the loss wants the difference itself.",
        each(lambda m: -F.relu(1 - m), lambda m: -F.relu(-m)),
        "That is a hinge, which stops at a margin: take -log sigmoid.",
        each(lambda m: F.logsigmoid(m.abs())),
        "You drop the sign of the difference: it says whether the right one came out higher.",
        formula.but(loss=lambda c: -c.each.sum()),
        "That is the sum over the comparisons: take their mean.",
        formula.but(loss=lambda c: -c.each),
        "That is one number for each comparison: what is missing is their mean.",
        formula.then(loss=lambda loss: loss / 2),
        "That is half of it: the mean is over N comparisons, not over 2 N replies.",
        [
            formula.but(loss=lambda c: -F.logsigmoid(c.margin.mean())),
            formula.but(loss=lambda c: -c.margin.sigmoid().mean().log()),
        ],
        "You take the mean too early: first -log sigmoid of each comparison, then the mean.",
        formula.then(good=lambda x: x[:, None]),
        "You compare each with all others: every chosen reply has one rejected reply of its own.",
        formula.then(bad=torch.Tensor.detach),
        "You hold the rejected ones fixed: the loss pushes them down, as it pushes the chosen up.",
        formula.then(good=torch.Tensor.detach),
        "You hold the chosen ones fixed: the loss pushes them up, as it pushes the rejected down.",
        [formula.but(bad=lambda c: 0), formula.but(good=lambda c: 0)],
        "One of the two replies is never used: what counts is the difference.",
        formula.then(bad=torch.neg),
        "You add up the two replies: take the difference.",
        [
            formula.but(each=lambda c: F.logsigmoid(c.good) + F.logsigmoid(-c.bad)),
            formula.but(each=lambda c: F.logsigmoid(c.good) - F.logsigmoid(c.bad)),
            formula.then(good=torch.sigmoid, bad=torch.sigmoid),
        ],
        "Each reply has its own sigmoid: take one, of the difference.",
        formula.but(margin=lambda c: c.good / c.bad),
        "You divide one by the other: take the difference.",
    )


_comparison = Formula("chosen rejected", good=lambda c: c.chosen, bad=lambda c: c.rejected, **_LOSS)

comparison_loss = Check(
    "11.1",
    solution=_comparison,
    slopes=["chosen", "rejected"],
    example=_comparison.case([2.0, 0.5, 3.0], [1.0, 1.5, 0.5]),
    edges=[
        _comparison.case([1.0, 200.0], [201.0, -1.0]),
        _comparison.case([100.0, -50.0, 7.0], [101.0, -52.0, 4.0]),
        _comparison.case([-0.5], [0.25]),
        _comparison.case(*numbers(np.random.default_rng(0), 2, 12)),
    ],
    draw=lambda rng: _comparison.case(*_apart(rng, (-3, 3), (-3, 3))),
    mistakes=[
        *_of_loss(_comparison),
        (
            _comparison.but(each=lambda c: (c.good / (c.good + c.bad)).log()),
            "A reward may be negative, so it is no share: take the sigmoid of the difference.",
        ),
    ],
)

_direct = Formula(
    "chosen rejected ref_chosen ref_rejected beta",
    good=lambda c: c.beta * (c.chosen - c.ref_chosen),
    bad=lambda c: c.beta * (c.rejected - c.ref_rejected),
    **_LOSS,
)


def _margins(*makes):
    return [_direct.but(margin=make) for make in makes]


def _with(how, *names):
    return _direct.then(**dict.fromkeys(names, how))


def _near_reference(rng):
    """Log-probabilities of whole replies under the policy, and under a reference near it."""
    chosen, rejected, *moves = _apart(rng, (-9, -4), (-9, -4), (-2, 2), (-2, 2))
    ref = chosen + moves[0], rejected + moves[1]
    return _direct.case(chosen, rejected, *ref, round(rng.uniform(0.1, 0.9), 1))


direct_preference_loss = Check(
    "11.2",
    solution=_direct,
    slopes=["chosen", "rejected"],
    example=_direct.case(
        [-4.0, -6.0, -3.0], [-5.0, -4.0, -6.0], [-5.0, -5.5, -3.5], [-4.5, -4.75, -4.0], 0.5
    ),
    edges=[
        _direct.case([-400.0, -10.0], [-100.0, -300.0], [-120.0, -20.0], [-90.0, -40.0], 1.0),
        _direct.case([-9.0], [-7.0], [-8.0], [-7.5], 0.1),
        _direct.case(*numbers(np.random.default_rng(0), 4, 12, low=-9, high=-4), 2.0),
    ],
    draw=_near_reference,
    mistakes=[
        *_of_loss(_direct),
        *pairs(
            _direct.but(beta=lambda c: 1),
            "beta is never used: it multiplies the difference, inside the sigmoid.",
            _margins(
                lambda c: c.good - c.bad / c.beta,
                lambda c: c.good / c.beta - c.bad,
                lambda c: c.beta * (c.chosen - c.rejected) - c.ref_chosen + c.ref_rejected,
                lambda c: c.chosen - c.rejected - c.beta * (c.ref_chosen - c.ref_rejected),
                lambda c: c.beta * c.chosen - c.ref_chosen - c.bad / c.beta,
            ),
            "beta counts for a part alone: it multiplies the whole difference, so mind the brackets.",
            _with(lambda beta: 1 / beta, "beta"),
            "You divide by beta: multiply.",
            _direct.but(each=lambda c: c.beta * F.logsigmoid(c.margin / c.beta)),
            "beta belongs inside the sigmoid: outside, it changes the size of the loss alone.",
            _direct.but(each=lambda c: c.beta * F.logsigmoid(c.margin)),
            "beta is applied twice: once, inside the sigmoid, is enough.",
            _with(torch.zeros_like, "ref_chosen", "ref_rejected"),
            "The reference drops out: each reply is measured against its own reference.",
            [
                _with(torch.neg, "ref_chosen", "ref_rejected"),
                _with(torch.neg, "chosen", "rejected"),
            ],
            "The reference is turned round: ref_chosen comes off chosen, ref_rejected off rejected.",
            [_with(torch.neg, "ref_rejected"), _with(torch.neg, "ref_chosen")],
            "The sign of one reference is turned: mind the brackets of (rejected - ref_rejected).",
            [_with(torch.zeros_like, "ref_chosen"), _with(torch.zeros_like, "ref_rejected")],
            "One of the two replies is not measured against the reference: both are.",
            _margins(lambda c: c.beta * (c.ref_chosen - c.ref_rejected)),
            "The policy is missing: that is what the reference thinks of the two.",
            [_with(how, *_direct.arguments.split()[:4]) for how in (torch.exp, torch.log)],
            "The log-probabilities count as they are: take neither exp() nor log() of them.",
            _margins(
                lambda c: c.beta * ((c.good / c.beta).exp() - (c.bad / c.beta).exp()),
                lambda c: c.beta * ((c.good - c.bad) / c.beta).exp(),
            ),
            "The logarithm of the ratio is wanted: the difference, without exp().",
            _margins(
                lambda c: c.beta * (c.chosen / c.ref_chosen - c.rejected / c.ref_rejected),
                lambda c: c.beta * c.good / c.bad,
            ),
            "You divide logarithms: the logarithm of a ratio is their difference.",
            _direct.but(each=lambda c: -((c.margin / c.beta - 0.5 / c.beta) ** 2)),
            "That is IPO's squared loss: take -log sigmoid.",
            _direct.but(loss=lambda c: -c.chosen.mean()),
            "That is cloning, the likelihood of the chosen alone: the rejected ones count as well.",
        ),
    ],
)
