"""The checks of lesson 09: ratios, the clipped loss, and old log-probabilities computed anew."""

import numpy as np
import torch

from helpers.checks.core import Check, numbers
from helpers.checks.slips import LOSS_SIGN, Formula, pairs
from helpers.losses import normalise


def _two_policies(rng, *shape):
    """Log-probabilities of one policy, and of another whose ratios lie on both sides of a clip."""
    log_probs = -numbers(rng, *shape, low=0.6, high=3)
    return log_probs, log_probs + numbers(rng, *shape, low=-0.6, high=0.6)


def _shape(rng):
    return [int(n) for n in rng.integers(2, 5, size=rng.integers(1, 3))]


_ratios = Formula(
    "log_probs old_log_probs",
    ratio=lambda c: (c.log_probs - c.old_log_probs).exp(),
)


def _ratio(answer):
    return _ratios.but(ratio=lambda c: answer(c.log_probs, c.old_log_probs))


ratios_of = Check(
    "9.1",
    solution=_ratios,
    example=_ratios.case([-1.0, -2.0, -0.5], [-1.0, -1.0, -1.0]),
    edges=[
        _ratios.case([[-200.0, -201.0], [-0.5, -1.5]], [[-201.0, -200.0], [-1.0, -1.0]]),
        _ratios.case(*_two_policies(np.random.default_rng(0), 12, 3)),
    ],
    draw=lambda rng: _ratios.case(*_two_policies(rng, *_shape(rng))),
    mistakes=pairs(
        _ratio(lambda new, old: new - old),
        "That is the logarithm of the ratio: take exp() of it.",
        _ratio(lambda new, old: (old - new).exp()),
        "The ratio is upside down: the new probability stands on top.",
        _ratio(lambda new, old: new.exp() / old.exp()),
        "exp() of −200 is 0, and 0/0 is no number: take the difference of the logarithms first.",
        _ratio(lambda new, old: new.exp() - old.exp()),
        "That is the difference of the probabilities: divide one by the other.",
        _ratio(lambda new, old: new / old),
        "You divide the logarithms: the logarithm of a quotient is their difference.",
        _ratio(lambda new, old: new.exp()),
        "That is the new probability alone: the old one is never used.",
        _ratio(lambda new, old: 1 + new - old),
        "1 + the difference is close only where little has changed: take exp() of it.",
        _ratio(lambda new, old: (new.exp() - old.exp()).exp()),
        "The logarithms are given: take exp() once, after the difference.",
        _ratio(lambda new, old: (2 * (new - old)).exp()),
        "That is the square of the ratio: it is used once.",
        _ratio(lambda new, old: (new - old).exp().clamp(0.8, 1.2)),
        "You clip it already: here the ratio itself is asked for.",
        [
            _ratio(lambda new, old: (new - old).sum().exp()),
            _ratio(lambda new, old: (new - old).sum(0).exp()),
        ],
        "You multiply the ratios of several steps: each step has its own.",
    ),
)

_clipped_loss = Formula(
    "log_probs old_log_probs advantages clip",
    old=lambda c: c.old_log_probs.detach(),
    A=lambda c: c.advantages.detach(),
    ratio=lambda c: (c.log_probs - c.old).exp(),
    near=lambda c: c.ratio.clamp(1 - c.clip, 1 + c.clip),
    each=lambda c: torch.minimum(c.ratio * c.A, c.near * c.A),
    loss=lambda c: -c.each.mean(),
)


def _batch(rng, *shape, clip):
    return _clipped_loss.case(*_two_policies(rng, *shape), numbers(rng, *shape), clip)


def _each(line):
    return _clipped_loss.but(each=line)


def _normalised(A):
    return normalise(A.flatten(), torch.ones(A.numel(), dtype=torch.bool)).reshape(A.shape)


clipped_policy_loss = Check(
    "9.2",
    solution=_clipped_loss,
    slopes=["log_probs", "old_log_probs"],
    example=_clipped_loss.case(
        [-1.0, -1.0, -0.5, -2.0], [-1.0, -1.5, -1.0, -1.5], [2.0, -1.0, 3.0, -2.0], 0.2
    ),
    edges=[
        _batch(np.random.default_rng(0), 12, 3, clip=0.2),
        _batch(np.random.default_rng(1), 7, clip=1.0),
    ],
    draw=lambda rng: _batch(rng, *_shape(rng), clip=round(rng.uniform(0.1, 0.4), 1)),
    mistakes=pairs(
        _clipped_loss.then(loss=torch.neg),
        LOSS_SIGN,
        _clipped_loss.but(loss=lambda c: -c.each.sum()),
        "That is the sum over the steps: take their mean.",
        _each(lambda c: torch.maximum(c.ratio * c.A, c.near * c.A)),
        "You take the larger of the two: the objective believes the smaller one.",
        _each(lambda c: c.near * c.A),
        "You always take the clipped one: where a ratio has gone to the wrong side, nothing pulls it "
        "back. Take the smaller of both.",
        _each(lambda c: c.ratio * c.A),
        "Nothing is clipped: clip is never used.",
        _each(lambda c: torch.minimum(c.ratio, c.near) * c.A),
        "Multiply by the advantage before you take the minimum: for a negative one it turns round.",
        [
            _each(lambda c: (c.ratio * c.A).clamp(1 - c.clip, 1 + c.clip)),
            _each(
                lambda c: torch.minimum(
                    c.ratio * c.A, (c.ratio * c.A).clamp(1 - c.clip, 1 + c.clip)
                )
            ),
        ],
        "You clip the product: clip the ratio alone, then multiply by the advantage.",
        _each(lambda c: torch.minimum(c.ratio * c.A, c.ratio * c.A.clamp(1 - c.clip, 1 + c.clip))),
        "You clip the advantages: it is the ratio that is cut off.",
        _clipped_loss.but(near=lambda c: c.ratio.clamp(-c.clip, c.clip)),
        "A ratio lies about 1, not 0: cut it off at 1 - clip and 1 + clip.",
        _clipped_loss.but(near=lambda c: (c.log_probs - c.old).clamp(-c.clip, c.clip).exp()),
        "You clip the logarithm of the ratio: clip the ratio.",
        _clipped_loss.then(near=torch.Tensor.detach),
        "You detach the clipped ratio: within the clip both are equal, and half the slope is lost.",
        _clipped_loss.then(each=lambda x: x).but(
            each=lambda c: c.ratio * torch.minimum(c.ratio * c.A, c.near * c.A)
        ),
        "The ratio is applied twice: once within the minimum is enough.",
        _each(lambda c: torch.minimum(c.ratio * c.A, c.near * _normalised(c.A))),
        "One half of the minimum has normalised advantages and the other half hasn't.",
        _clipped_loss.then(A=_normalised),
        "You normalise the advantages: here they count as they are.",
        _clipped_loss.but(ratio=lambda c: c.log_probs.exp() - c.old.exp()),
        "That is the difference of the probabilities: the ratio divides them.",
        _clipped_loss.but(ratio=lambda c: c.log_probs - c.old),
        "Your ratio is still a logarithm: take exp() of the difference.",
        _clipped_loss.but(ratio=lambda c: (c.old - c.log_probs).exp()),
        "The ratio is upside down: the new probability stands on top.",
        _clipped_loss.but(old=lambda c: c.old_log_probs),
        "The old log-probabilities are data: detach them, no gradient flows through them.",
        _clipped_loss.but(old=lambda c: c.log_probs.detach()),
        "You take the new policy for the old one, so the ratio is always 1: use old_log_probs.",
        _each(lambda c: c.log_probs * c.A),
        "That is A2C's loss: the ratio is missing.",
        _clipped_loss.but(loss=lambda c: -c.each),
        "That is one number for each step: what is missing is their mean.",
    ),
)


def _epochs(
    ratio=lambda first, now: (now - first).exp(),
    promise=lambda ratio, A, clip: torch.minimum(ratio * A, ratio.clamp(1 - clip, 1 + clip) * A),
    mean=torch.mean,
    count=lambda epochs: epochs,
    rate=lambda lr: lr,
):
    """Gradient ascent on the clipped objective, with a line or another changed."""

    def climbed(logits, actions, advantages, clip, lr, epochs):
        first = logits.log_softmax(-1)[actions]
        for _ in range(count(epochs)):
            logits = logits.detach().requires_grad_()
            ratios = ratio(first, logits.log_softmax(-1)[actions])
            (slope,) = torch.autograd.grad(mean(promise(ratios, advantages, clip)), logits)
            logits = logits + rate(lr) * slope
        return logits.detach()

    return climbed


_runs = Formula("logits actions advantages clip lr epochs")


def _run(rng, choices, steps, clip, lr, epochs):
    actions = rng.integers(0, choices, steps).tolist()
    logits, advantages = numbers(rng, choices, low=-1, high=1), numbers(rng, steps)
    return _runs.case(logits, actions, advantages, clip, lr, epochs)


repaired_epochs = Check(
    "9.3",
    solution=_epochs(),
    example=_runs.case([0.0, 0.0, 0.0], [0, 1, 2], [1.0, 0.5, -1.0], 0.2, 0.5, 20),
    edges=[
        _run(np.random.default_rng(0), 4, 12, 0.1, 0.1, 30),
        _run(np.random.default_rng(1), 2, 3, 0.3, 0.2, 1),
    ],
    draw=lambda rng: _run(
        rng, rng.integers(2, 6), rng.integers(3, 9), 0.2, round(rng.uniform(0.1, 0.3), 2), 15
    ),
    mistakes=pairs(
        _epochs(ratio=lambda first, now: (now - now.detach()).exp()),
        "The bug is still there: the old log-probabilities are computed anew in each epoch, so the "
        "ratio is always 1.",
        _epochs(ratio=lambda first, now: (now - now).exp()),
        "Nothing moves: the ratio of a policy to itself is 1, with no slope. Old is what collected "
        "the batch.",
        _epochs(ratio=lambda first, now: (first - now).exp()),
        "The ratio is upside down: the new probability stands on top.",
        _epochs(ratio=lambda first, now: now - first),
        "Your ratio is still a logarithm: take exp() of the difference.",
        _epochs(promise=lambda ratio, A, clip: ratio * A),
        "The old ones are right now, but nothing is clipped any more.",
        _epochs(promise=lambda ratio, A, clip: ratio.clamp(1 - clip, 1 + clip) * A),
        "You always take the clipped one: take the smaller of both.",
        _epochs(
            promise=lambda ratio, A, clip: torch.maximum(
                ratio * A, ratio.clamp(1 - clip, 1 + clip) * A
            )
        ),
        "You take the larger of the two: the objective believes the smaller one.",
        _epochs(mean=torch.sum),
        "That is the sum over the steps: take their mean.",
        _epochs(rate=lambda lr: -lr),
        "You walk downhill: the objective is to grow, so add the slope.",
        _epochs(count=lambda epochs: 1),
        "Only one epoch counts: go on from the logits of the epoch before.",
        _epochs(rate=lambda lr: 1.0),
        "The learning rate is never used.",
        _epochs(count=lambda epochs: epochs + 1),
        "That is one epoch too many.",
    ),
)
