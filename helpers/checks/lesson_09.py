"""The checks of lesson 09: ratios, the clipped loss, and old log-probabilities computed anew."""

import numpy as np
import torch

from helpers.checks.core import Check, numbers
from helpers.checks.slips import LOSS_SIGN, SUM, Formula, pairs

IS_LOG = "Your ratio is still a logarithm: take exp() of the difference."
UPSIDE_DOWN = "The ratio is upside down: the new probability stands on top."
NO_NUMBER = "exp() of −800 is 0, and 0/0 is no number: take the difference of the logarithms first."
MADE_UP = "What you put in against 0/0 is made up: take the difference of the logarithms first."
CLIPPED = "You clip it already: here the ratio itself is asked for."
LARGER = "You take the larger of the two: the objective believes the smaller one."


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


def _propped(how, e, both):
    """The quotient of probabilities that were kept away from 0: the old ones, or both."""
    return lambda new, old: (how(new.exp(), e) if both else new.exp()) / how(old.exp(), e)


ratios_of = Check(
    "9.1",
    solution=_ratios,
    example=_ratios.case([-1.0, -2.0, -0.5], [-1.0, -1.0, -1.0]),
    edges=[
        _ratios.case([[-800.0, -801.0], [-0.5, -1.0]], [[-801.0, -800.0], [-1.0, -26.0]]),
        _ratios.case(*_two_policies(np.random.default_rng(0), 12, 3)),
    ],
    draw=lambda rng: _ratios.case(*_two_policies(rng, *_shape(rng))),
    mistakes=pairs(
        lambda new, old: new - old,
        IS_LOG,
        lambda new, old: (old - new).exp(),
        UPSIDE_DOWN,
        lambda new, old: new.exp() / old.exp(),
        NO_NUMBER,
        [
            _propped(how, e, both)
            for how in (torch.add, torch.clamp)
            for e in (1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12)
            for both in (False, True)
        ],
        MADE_UP,
        [lambda new, old, x=x: (new.exp() / old.exp()).nan_to_num(x) for x in (0, 1)],
        MADE_UP,
        lambda new, old: new.exp() - old.exp(),
        "That is the difference of the probabilities: divide one by the other.",
        [lambda new, old: new / old, lambda new, old: (new / old).exp()],
        "You divide the logarithms: the logarithm of a quotient is their difference.",
        lambda new, old: new.exp(),
        "That is the new probability alone: the old one is never used.",
        lambda new, old: 1 + new - old,
        "1 + the difference is close only where little has changed: take exp() of it.",
        [
            lambda new, old: (new.exp() - old.exp()).exp(),
            lambda new, old: (new.log() - old.log()).exp(),
        ],
        "The logarithms are given: take exp() once, after the difference, and no log().",
        lambda new, old: (new - old).exp().clamp(0.8, 1.2),
        CLIPPED,
        [lambda new, old, m=m: (new - old).clamp(-m, m).exp() for m in (1, 2, 5, 10, 20)],
        CLIPPED,
        [
            lambda new, old: (new - old).sum().exp(),
            lambda new, old: (new - old).sum(0).exp(),
            lambda new, old: (new - old).exp().mean(),
        ],
        "Each step has its own ratio: neither multiply nor average them.",
    ),
)


def _cut(x, clip):
    return x.clamp(1 - clip, 1 + clip)


def _smaller(ratio, A, clip):
    return torch.minimum(ratio * A, _cut(ratio, clip) * A)


_loss = Formula(
    "log_probs old_log_probs advantages clip",
    old=lambda c: c.old_log_probs.detach(),
    A=lambda c: c.advantages.detach(),
    ratio=lambda c: (c.log_probs - c.old).exp(),
    near=lambda c: _cut(c.ratio, c.clip),
    each=lambda c: torch.minimum(c.ratio * c.A, c.near * c.A),
    loss=lambda c: -c.each.mean(),
)


def _batch(rng, *shape, clip):
    log_probs, old = _two_policies(rng, *shape)
    old.view(-1)[0] = log_probs.view(-1)[0]  # were all clipped, no gradient would be right
    return _loss.case(log_probs, old, numbers(rng, *shape), clip)


def _normalised(A, correction=0):
    return (A - A.mean()) / A.std(correction=correction)


def _each(line):
    return _loss.but(each=line)


clipped_policy_loss = Check(
    "9.2",
    solution=_loss,
    slopes=["log_probs", "old_log_probs", "advantages"],
    example=_loss.case(
        [-1.0, -1.0, -0.5, -2.0], [-1.0, -1.5, -1.0, -1.5], [2.0, -1.0, 3.0, -2.0], 0.2
    ),
    edges=[
        _batch(np.random.default_rng(0), 12, 3, clip=0.2),
        _batch(np.random.default_rng(1), 7, clip=1.0),
        _loss.case([-800.0, -0.5], [-800.5, -1.0], [1.0, -1.0], 0.2),
    ],
    draw=lambda rng: _batch(rng, *_shape(rng), clip=round(rng.uniform(0.1, 0.4), 1)),
    mistakes=pairs(
        _loss.but(ratio=lambda c: c.log_probs.exp() / c.old.exp()),
        NO_NUMBER,
        _loss.then(loss=torch.neg),
        LOSS_SIGN,
        _loss.but(loss=lambda c: -c.each.sum()),
        SUM,
        _each(lambda c: torch.maximum(c.ratio * c.A, c.near * c.A)),
        LARGER,
        _each(lambda c: c.near * c.A),
        "You always take the clipped one: where a ratio has gone to the wrong side, nothing pulls it "
        "back. Take the smaller of both.",
        _each(lambda c: c.ratio * c.A),
        "Nothing is clipped: clip is never used.",
        _loss.but(clip=lambda c: 0.2),
        "You have written 0.2 into it: use the argument clip.",
        [
            _loss.but(near=lambda c: c.ratio.clamp(max=1 + c.clip)),
            _loss.but(near=lambda c: c.ratio.clamp(min=1 - c.clip)),
        ],
        "You cut the ratio off at one end alone: a good step needs the upper, a bad one the lower.",
        _each(lambda c: torch.where((c.ratio - 1).abs() <= c.clip, c.ratio * c.A, 0)),
        "You count a step outside the clip as 0: there, too, take the smaller of both.",
        _loss.but(loss=lambda c: -torch.minimum((c.ratio * c.A).mean(), (c.near * c.A).mean())),
        "You compare two means: take the minimum step by step, and the mean of that.",
        _each(lambda c: torch.minimum(c.ratio, c.near) * c.A),
        "Multiply by the advantage before you take the minimum: for a negative one it turns round.",
        [
            _each(lambda c: _cut(c.ratio * c.A, c.clip)),
            _each(lambda c: torch.minimum(c.ratio * c.A, _cut(c.ratio * c.A, c.clip))),
        ],
        "You clip the product: clip the ratio alone, then multiply by the advantage.",
        _loss.but(near=lambda c: c.ratio.clamp(-c.clip, c.clip)),
        "A ratio lies about 1, not 0: cut it off at 1 - clip and 1 + clip.",
        _loss.but(near=lambda c: (c.log_probs - c.old).clamp(-c.clip, c.clip).exp()),
        "You clip the logarithm of the ratio: clip the ratio.",
        _loss.then(near=torch.Tensor.detach),
        "You detach the clipped ratio: within the clip both are equal, and half the slope is lost.",
        [_loss.then(A=_normalised), _loss.then(A=lambda A: _normalised(A, correction=1))],
        "You normalise the advantages: here they count as they are.",
        _each(lambda c: torch.minimum(c.ratio * c.A, c.near * _normalised(c.A))),
        "One half of the minimum has normalised advantages and the other half hasn't.",
        _each(lambda c: c.ratio * torch.minimum(c.ratio * c.A, c.near * c.A)),
        "The ratio is applied twice: once within the minimum is enough.",
        _loss.but(ratio=lambda c: c.log_probs.exp() - c.old.exp()),
        "That is the difference of the probabilities: the ratio divides them.",
        _loss.but(ratio=lambda c: c.log_probs - c.old),
        IS_LOG,
        _loss.but(ratio=lambda c: (c.old - c.log_probs).exp()),
        UPSIDE_DOWN,
        [
            _loss.but(old=lambda c: c.old_log_probs),
            _loss.but(A=lambda c: c.advantages),
            _loss.but(old=lambda c: c.old_log_probs, A=lambda c: c.advantages),
        ],
        "The old log-probabilities and the advantages are data: detach them, no gradient flows there.",
        _loss.but(ratio=lambda c: (c.log_probs.detach() - c.old_log_probs).exp()),
        "You hold the new log-probabilities fixed: they are to learn. Detach the old ones.",
        _loss.but(old=lambda c: c.log_probs.detach()),
        "You take the new policy for the old one, so the ratio is always 1: use old_log_probs.",
        _each(lambda c: c.log_probs * c.A),
        "That is A2C's loss: the ratio is missing.",
        _loss.but(loss=lambda c: -c.each),
        "That is one number for each step: what is missing is their mean.",
        [_loss.but(loss=lambda c, axis=axis: -c.each.mean(axis)) for axis in (0, -1)],
        "One number is wanted, the mean over all steps: mean() without an axis.",
    ),
)


def _epochs(
    log_pi=lambda logits: logits.log_softmax(-1),
    ratio=lambda first, last, now: (now - first).exp(),
    promise=_smaller,
    mean=torch.mean,
    change=lambda lr, epochs: (lr, epochs),
    kept=0,
):
    """Gradient ascent on the clipped objective, with a line or another changed."""

    def climbed(logits, actions, advantages, clip, lr, epochs):
        first = last = log_pi(logits)[actions]
        slopes, (lr, epochs) = 0, change(lr, epochs)
        for _ in range(epochs):
            logits = logits.detach().requires_grad_()
            now = log_pi(logits)[actions]
            objective = mean(promise(ratio(first, last, now), advantages, clip))
            slopes = torch.autograd.grad(objective, logits)[0] + kept * slopes
            logits, last = logits + lr * slopes, now.detach()
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
        _epochs(ratio=lambda first, last, now: (now - now.detach()).exp()),
        "The bug is still there: the old log-probabilities are computed anew in each epoch, so the "
        "ratio is always 1, or there is no ratio at all.",
        _epochs(ratio=lambda first, last, now: (now - last).exp()),
        "You take the policy of the epoch before for the old one, which is what collected the batch.",
        _epochs(ratio=lambda first, last, now: (now - now).exp()),
        "Nothing moves: the ratio of a policy to itself is 1, with no slope. Old is what collected "
        "the batch.",
        _epochs(ratio=lambda first, last, now: (first - now).exp()),
        UPSIDE_DOWN,
        _epochs(ratio=lambda first, last, now: now - first),
        IS_LOG,
        _epochs(promise=lambda ratio, A, clip: ratio * A),
        "The old ones are right now, but nothing is clipped any more.",
        _epochs(promise=lambda ratio, A, clip: _cut(ratio, clip) * A),
        "Outside the clip no gradient flows in your function: take the smaller of both.",
        _epochs(promise=lambda ratio, A, clip: torch.maximum(ratio * A, _cut(ratio, clip) * A)),
        LARGER,
        _epochs(promise=lambda ratio, A, clip: ratio * A * ((ratio - 1).abs() <= clip).all()),
        "You stop once a ratio is outside: the minimum judges each step, and the others go on.",
        [_epochs(log_pi=lambda logits: logits), _epochs(log_pi=lambda logits: logits.softmax(-1))],
        "Your ratio is not made of log-probabilities: take log_softmax() of the logits.",
        _epochs(mean=torch.sum),
        SUM,
        _epochs(change=lambda lr, epochs: (-lr, epochs)),
        "You walk downhill: the objective is to grow, so add the slope.",
        _epochs(change=lambda lr, epochs: (lr, 1)),
        "Only one epoch counts: go on from the logits of the epoch before.",
        _epochs(change=lambda lr, epochs: (1.0, epochs)),
        "The learning rate is never used.",
        _epochs(kept=1),
        "The slopes of all epochs add up: zero_grad() comes before each backward().",
        lambda *case: _epochs()(*case).softmax(-1),
        "You return probabilities: the logits are wanted.",
        _epochs(change=lambda lr, epochs: (lr, epochs + 1)),
        "That is one epoch too many.",
        _epochs(change=lambda lr, epochs: (lr, epochs - 1)),
        "One step is missing: an epoch too few, or the old ones have a gradient (detach them).",
    ),
)
