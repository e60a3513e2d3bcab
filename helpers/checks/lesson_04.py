"""The checks of lesson 04: GAE, the mask of reset rows, and a planted bug at the time limit."""

import numpy as np
import torch

from helpers.checks.core import Check, numbers
from helpers.checks.slips import LOSS_SIGN, Formula, pairs, without_the_last


def _backwards(deltas, factors):
    """x with x[t] = deltas[t] + factors[t] x[t+1]; factors is [T, ...] or a number."""
    sums = deltas.clone()
    for t in reversed(range(len(sums) - 1)):
        sums[t] += (factors if isinstance(factors, float) else factors[t]) * sums[t + 1]
    return sums


def _by_powers(deltas, factor):
    """No number where a power becomes infinite."""
    if factor == 0:
        return deltas
    t = torch.arange(len(deltas))
    weights = factor ** (t - t[:, None]).float() * torch.ones(len(t), len(t)).triu()
    return torch.einsum("tk,k...->t...", weights, deltas)


_advantages = Formula(
    "rewards values gamma lam",
    following=lambda c: c.values[1:],
    deltas=lambda c: c.rewards + c.gamma * c.following - c.values[:-1],
    factor=lambda c: c.gamma * c.lam,
    answer=lambda c: _backwards(c.deltas, c.factor),
)


def _summed(make):
    return _advantages.but(answer=lambda c: make(c.deltas, c.factor))


def _glimpse(rng, steps, axes, gamma, lam):
    return _advantages.case(numbers(rng, steps, *axes), numbers(rng, steps + 1, *axes), gamma, lam)


def _rates(rng):
    return round(rng.uniform(0.3, 0.9), 1), round(rng.uniform(0.2, 0.8), 1)


def _axes(rng):
    return rng.integers(1, 4, size=rng.integers(0, 3))


# Steps, further axes, gamma and lambda: at the ends of their ranges, and a long glimpse.
_EDGES = [
    (3, [], 0.0, 0.5),
    (3, [], 1.0, 0.0),
    (3, [], 1.0, 1.0),
    (1, [], 0.5, 0.5),
    (12, [2, 3], 0.9, 0.9),
    (200, [], 0.5, 0.5),
    (200, [], 0.99, 0.99),
]

generalised_advantages = Check(
    "4.1",
    solution=_advantages,
    example=_advantages.case([1.0, 0.0, 2.0], [4.0, 2.0, 6.0, 16.0], 0.5, 0.4),
    edges=[_glimpse(np.random.default_rng(0), *edge) for edge in _EDGES],
    draw=lambda rng: _glimpse(rng, rng.integers(3, 6), _axes(rng), *_rates(rng)),
    mistakes=pairs(
        _advantages.but(answer=lambda c: _backwards(c.deltas, c.factor) + c.values[:-1]),
        "Those are the targets for the critic, A + V: take V away again.",
        _advantages.but(answer=lambda c: c.deltas),
        "Those are the TD errors alone, GAE with lambda 0: add gamma lam A[t+1].",
        _advantages.but(factor=lambda c: c.lam),
        "Your sum shrinks by lam alone: later TD errors are discounted by gamma as well.",
        _advantages.but(factor=lambda c: c.gamma),
        "That is the whole rest of the glimpse, GAE with lambda 1: your sum never uses lam.",
        _advantages.but(deltas=lambda c: c.rewards + c.following - c.values[:-1]),
        "gamma is missing in the TD error: the next state's value is discounted.",
        _advantages.but(deltas=lambda c: c.rewards + c.lam * c.following - c.values[:-1]),
        "gamma and lam are swapped: gamma alone discounts the next state's value.",
        _advantages.then(answer=torch.neg),
        "The sign is the wrong way round: delta is what you got, minus what you expected.",
        _advantages.but(deltas=lambda c: c.rewards + c.gamma * c.values[:-1] - c.values[1:]),
        "The two slices are swapped: values[1:] belongs to the next states.",
        _advantages.then(values=without_the_last),
        "The last value is missing: the glimpse ends there, but the episode does not.",
        _advantages.then(following=torch.zeros_like),
        "The next state's value is missing in the TD error: add gamma values[1:].",
        _advantages.but(answer=lambda c: c.deltas + c.factor * c.following),
        "You add the next value once more: add the next *advantage* to delta.",
        _summed(lambda deltas, factor: _backwards(deltas.flip(0), factor).flip(0)),
        "Your sum runs the wrong way: A[t] is made of the TD errors from t on, so walk back.",
        _advantages.then(answer=lambda A: A.flip(0)),
        "The order is reversed: you walk back from the last step, so turn the result round.",
        _summed(lambda deltas, factor: deltas + factor * torch.cat([deltas[1:], 0 * deltas[:1]])),
        "You walk from the front, where A[t+1] is not finished yet: start at the last step.",
        _summed(lambda deltas, factor: torch.cat([deltas[:1], _backwards(deltas[1:], factor)])),
        "Your walk back stops before it has reached step 0.",
        _summed(_by_powers),
        "Powers of gamma lam become 0 or, with a minus, infinite: walk back from the last step.",
        _advantages.but(answer=lambda c: (1 - c.lam) * _backwards(c.deltas, c.factor)),
        "The factor 1 - lam belongs to the mix of n-step estimates: here it has cancelled.",
    ),
)


def _shifted(ended):
    """Valid rows: the row after an end resets."""
    return torch.cat([torch.ones_like(ended[:1]), ~ended[:-1]])


_masked_loss = Formula(
    "log_probs advantages terminated truncated",
    ended=lambda c: c.terminated | c.truncated,
    valid=lambda c: _shifted(c.ended),
    each=lambda c: -c.advantages * c.log_probs,
    loss=lambda c: c.each[c.valid].mean(),
)


def _ends(rng, steps, axes):
    """Where an episode terminates, is truncated, or both: never in the row after, which resets."""
    terminated, truncated = torch.zeros(2, steps, int(np.prod(axes)), dtype=torch.bool)
    for column in range(terminated.shape[1]):
        t = int(rng.integers(0, 2))
        while t < steps:
            kind = rng.integers(5)
            terminated[t, column] = bool(kind < 3)
            truncated[t, column] = bool(kind > 1)
            t += int(rng.integers(2, 5))
    return terminated.reshape(steps, *axes), truncated.reshape(steps, *axes)


def _batch(rng, steps, envs):
    log_probs = -numbers(rng, steps, envs, low=0.1, high=3)
    return _masked_loss.case(log_probs, numbers(rng, steps, envs), *_ends(rng, steps, [envs]))


masked_policy_loss = Check(
    "4.2",
    solution=_masked_loss,
    slopes=["log_probs"],
    example=_masked_loss.case(
        [[-1.0, -1, -3], [-2, -1, -1], [-1, -2, -2], [-3, -1, -2]],
        [[1.0, 2, 1], [4, 0, 1], [2, -1, 3], [1, 5, 2]],
        torch.tensor([[1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]]).bool(),
        torch.tensor([[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0]]).bool(),
    ),
    edges=[
        _masked_loss.case(
            [[-1.0, -2.0], [-3.0, -1.0]],
            [[2.0, 1.0], [1.0, 4.0]],
            [[False, False], [True, False]],
            [[False, True], [False, False]],
        ),
        *(_batch(np.random.default_rng(0), *shape) for shape in [(1, 3), (3, 12), (12, 1)]),
    ],
    draw=lambda rng: _batch(rng, rng.integers(4, 8), rng.integers(2, 4)),
    mistakes=pairs(
        _masked_loss.then(valid=torch.ones_like),
        "That is the mean over all rows: leave out those that only reset.",
        _masked_loss.but(valid=lambda c: ~c.ended),
        "You leave out the last true step of each episode: the reset is the row after it.",
        _masked_loss.but(valid=lambda c: _shifted(c.ended) & ~c.ended),
        "The step that ends an episode is experience: only the row after it resets.",
        _masked_loss.but(ended=lambda c: c.terminated),
        "You leave out the row after a terminated step alone: a truncated episode resets too.",
        _masked_loss.but(ended=lambda c: c.truncated),
        "You leave out the row after a truncated step alone: a terminated episode resets too.",
        _masked_loss.but(ended=lambda c: c.terminated & c.truncated),
        "An episode ends if it is terminated *or* truncated: join the flags with |.",
        _masked_loss.but(ended=lambda c: c.terminated ^ c.truncated),
        "An episode can be terminated and truncated at once: join the flags with |.",
        _masked_loss.but(loss=lambda c: (c.each * c.valid).mean()),
        "The sum is right, but divide it by the number of real rows, not of all.",
        _masked_loss.then(loss=torch.neg),
        LOSS_SIGN,
        _masked_loss.but(loss=lambda c: c.each[c.valid].sum()),
        "That is the sum over the real rows: divide by their number.",
        _masked_loss.but(loss=lambda c: ((c.each * c.valid).sum(0) / c.valid.sum(0)).mean()),
        "That is the mean of the columns' means: divide the whole sum by all real rows.",
        _masked_loss.then(valid=torch.logical_not),
        "You kept the reset rows and left out the real ones: the mask is inside out.",
        _masked_loss.but(valid=lambda c: ~torch.roll(c.ended, -1, 0)),
        "You leave out the row before an end: the reset is the row after it.",
        _masked_loss.but(valid=lambda c: ~torch.roll(c.ended, 1, 0)),
        "An end in the last row comes round to row 0 (torch.roll), which is always real.",
        _masked_loss.but(valid=lambda c: c.ended.cumsum(0) == c.ended),
        "You keep the first episode of each column alone: after the reset row another begins.",
    ),
)


_repaired_gae = Formula(
    "rewards values terminated truncated gamma lam",
    ended=lambda c: c.terminated | c.truncated,
    bootstraps=lambda c: ~c.terminated,
    goes_on=lambda c: ~c.ended,
    deltas=lambda c: c.rewards + c.gamma * c.bootstraps * c.values[1:] - c.values[:-1],
    answer=lambda c: _backwards(c.deltas, c.gamma * c.lam * c.goes_on),
)


def _flags(bootstraps, goes_on):
    """GAE with other flags for the next value and the next advantage; None leaves one as it is."""
    lines = {"bootstraps": bootstraps, "goes_on": goes_on}
    return _repaired_gae.but(**{name: line for name, line in lines.items() if line})


def _always(c):
    return torch.ones_like(c.ended)


def _glimpse_with_ends(rng, steps, axes, gamma, lam):
    rewards, values = numbers(rng, steps, *axes), numbers(rng, steps + 1, *axes)
    return _repaired_gae.case(rewards, values, *_ends(rng, steps, axes), gamma, lam)


repaired_gae = Check(
    "4.3",
    solution=_repaired_gae,
    example=_repaired_gae.case(
        [1.0, 2.0, 0.0, 1.0, 3.0, 2.0, 1.0],
        [2.0, 4.0, 6.0, 1.0, 5.0, 8.0, 3.0, 7.0],
        torch.tensor([0, 0, 0, 1, 0, 1, 0]).bool(),
        torch.tensor([0, 1, 0, 0, 0, 1, 0]).bool(),
        0.5,
        0.4,
    ),
    edges=[_glimpse_with_ends(np.random.default_rng(0), *edge) for edge in _EDGES],
    draw=lambda rng: _glimpse_with_ends(rng, rng.integers(4, 8), _axes(rng), *_rates(rng)),
    mistakes=pairs(
        _flags(lambda c: ~c.ended, None),
        "The bug is still there: a truncated episode would go on, so its next value counts.",
        _flags(None, lambda c: ~c.terminated),
        "Your sum runs on through a truncated step: the row after it is another episode's.",
        _flags(lambda c: ~c.ended, lambda c: ~c.terminated),
        "The two flags are swapped: the value needs terminated alone, the sum either end.",
        _flags(lambda c: ~c.truncated, None),
        "You take terminated for truncated: a terminated step's next value is 0.",
        _flags(_always, _always),
        "No end is looked at: cut the next value at terminated steps, the sum at either end.",
        _flags(_always, None),
        "A terminated step bootstraps as well: nothing follows it, so its next value is 0.",
        _flags(None, _always),
        "Your sum never stops: after an end of either kind another episode begins.",
        _flags(None, lambda c: ~c.truncated),
        "Your sum runs on through a terminated step: it stops at an end of either kind.",
        _flags(None, lambda c: torch.cat([~c.ended[1:], ~c.ended[-1:]])),
        "Your sum stops one row late: A[t + 1] is cut off by the flags of step t.",
        _flags(lambda c: ~c.terminated | c.truncated, None),
        "An episode can be terminated and truncated at once: then nothing follows either.",
        _flags(None, lambda c: ~(c.terminated & c.truncated)),
        "The sum stops at an end of either kind, not of both at once: join them with |.",
        _flags(None, lambda c: 1 - c.terminated.int() - c.truncated.int()),
        "An episode can be terminated and truncated at once: join the flags with |.",
        _repaired_gae.then(values=without_the_last),
        "The last value is 0 in your sum: the glimpse ends there, but the episode may not.",
    ),
)
