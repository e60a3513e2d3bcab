"""The checks of lesson 04: GAE, the mask of reset rows, and a planted bug at the time limit."""

import torch

from helpers.checks.core import Check, numbers


def _backwards(deltas, factors):
    """x with x[t] = deltas[t] + factors[t] x[t+1]; factors is [T, ...] or a number."""
    sums = deltas.clone()
    for t in reversed(range(len(sums) - 1)):
        sums[t] += (factors if isinstance(factors, float) else factors[t]) * sums[t + 1]
    return sums


def _deltas(rewards, values, gamma):
    return rewards + gamma * values[1:] - values[:-1]


def _advantages(rewards, values, gamma, lam):
    return _backwards(_deltas(rewards, values, gamma), gamma * lam)


def _from_the_front(rewards, values, gamma, lam):
    """Each TD error and the one after it, since A[t+1] has not been summed up yet."""
    deltas = _deltas(rewards, values, gamma)
    return deltas + gamma * lam * torch.cat([deltas[1:], 0 * deltas[:1]])


def _draw_glimpse(rng):
    steps, axes = rng.integers(3, 6), rng.integers(1, 4, size=rng.integers(0, 3))
    return {
        "rewards": numbers(rng, steps, *axes),
        "values": numbers(rng, steps + 1, *axes),
        "gamma": round(rng.uniform(0.3, 0.9), 1),
        "lam": round(rng.uniform(0.2, 0.8), 1),
    }


generalised_advantages = Check(
    "4.1",
    solution=_advantages,
    example={
        "rewards": torch.tensor([1.0, 0.0, 2.0]),
        "values": torch.tensor([4.0, 2.0, 6.0, 16.0]),
        "gamma": 0.5,
        "lam": 0.4,
    },
    draw=_draw_glimpse,
    mistakes=[
        (
            lambda r, v, gamma, lam: _advantages(r, v, gamma, lam) + v[:-1],
            "Those are the targets for the critic, A + V: take V of the state in which the step "
            "begins away.",
        ),
        (
            lambda r, v, gamma, lam: _deltas(r, v, gamma),
            "Those are the TD errors alone, GAE with lambda 0: add gamma lam A[t+1], from the last "
            "step back.",
        ),
        (
            lambda r, v, gamma, lam: _backwards(_deltas(r, v, gamma), lam),
            "Your sum shrinks by lam a step: the later TD errors are discounted as well, so "
            "multiply by gamma too.",
        ),
        (
            lambda r, v, gamma, lam: _backwards(_deltas(r, v, gamma), gamma),
            "That is the whole rest of the glimpse, GAE with lambda 1: your sum never uses lam.",
        ),
        (
            lambda r, v, gamma, lam: _advantages(r, v, 1.0, gamma * lam),
            "gamma is missing in the TD error: the next state's value is discounted.",
        ),
        (
            lambda r, v, gamma, lam: -_advantages(r, v, gamma, lam),
            "The sign is the wrong way round: delta is what you got, minus what you expected.",
        ),
        (
            lambda r, v, gamma, lam: _advantages(r, torch.cat([v[:-1], 0 * v[-1:]]), gamma, lam),
            "The last value is missing: the glimpse ends there, but the episode does not. Ask the "
            "critic about the state after the last step.",
        ),
        (
            lambda r, v, gamma, lam: _backwards(r - v[:-1], gamma * lam),
            "The next state's value is missing in the TD error: add gamma values[1:].",
        ),
        (
            lambda r, v, gamma, lam: _backwards(_deltas(r, v, gamma).flip(0), gamma * lam).flip(0),
            "Your sum runs the wrong way: A[t] is made of the TD errors from t on, so start at the "
            "last step and walk back.",
        ),
        (
            _from_the_front,
            "You walk from the front, where A[t+1] is not finished yet: start at the last step.",
        ),
        (
            lambda r, v, gamma, lam: (1 - lam) * _advantages(r, v, gamma, lam),
            "The factor 1 - lam belongs to the mix of n-step estimates: in the sum of TD errors it "
            "has cancelled.",
        ),
    ],
)


def _valid(ended):
    return torch.cat([torch.ones_like(ended[:1]), ~ended[:-1]])


def _mean_loss(log_probs, advantages, rows):
    return -(advantages * log_probs)[rows].mean()


def _masked_policy_loss(log_probs, advantages, terminated, truncated):
    return _mean_loss(log_probs, advantages, _valid(terminated | truncated))


def _added_flags(log_probs, advantages, terminated, truncated):
    weights = torch.ones_like(log_probs)
    weights[1:] -= terminated[:-1].float() + truncated[:-1].float()
    return -(weights * advantages * log_probs).sum() / weights.sum()


def _apart(rng, steps, envs):
    """Where an episode terminates, is truncated, or both: never in the row after, which resets."""
    terminated = torch.zeros(steps, envs, dtype=torch.bool)
    truncated = terminated.clone()
    for column in range(envs):
        t = int(rng.integers(0, 2))
        while t < steps:
            kind = rng.integers(5)
            terminated[t, column] = bool(kind < 3)
            truncated[t, column] = bool(kind > 1)
            t += int(rng.integers(2, 5))
    return terminated, truncated


def _draw_batch(rng):
    steps, envs = rng.integers(4, 8), rng.integers(2, 4)
    terminated, truncated = _apart(rng, steps, envs)
    return {
        "log_probs": -numbers(rng, steps, envs, low=0.1, high=3),
        "advantages": numbers(rng, steps, envs),
        "terminated": terminated,
        "truncated": truncated,
    }


masked_policy_loss = Check(
    "4.2",
    solution=_masked_policy_loss,
    example={
        "log_probs": -torch.tensor([[1.0, 1, 3], [2, 1, 1], [1, 2, 2], [3, 1, 2]]),
        "advantages": torch.tensor([[1.0, 2, 1], [4, 0, 1], [2, -1, 3], [1, 5, 2]]),
        "terminated": torch.tensor([[1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]]).bool(),
        "truncated": torch.tensor([[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0]]).bool(),
    },
    draw=_draw_batch,
    mistakes=[
        (
            lambda p, a, terminated, truncated: -(a * p).mean(),
            "That is the mean over all rows: leave out those that only reset.",
        ),
        (
            lambda p, a, terminated, truncated: _mean_loss(p, a, ~(terminated | truncated)),
            "You leave out the last true step of each episode, the one in which the pole fell: the "
            "reset is the row after it.",
        ),
        (
            lambda p, a, terminated, truncated: _mean_loss(p, a, _valid(terminated)),
            "You leave out the row after a terminated step alone: a truncated episode resets too.",
        ),
        (
            lambda p, a, terminated, truncated: _mean_loss(p, a, _valid(truncated)),
            "You leave out the row after a truncated step alone: a terminated episode resets too.",
        ),
        (
            lambda p, a, terminated, truncated: -(a * p * _valid(terminated | truncated)).mean(),
            "The sum is right, but you divide by the number of all rows: divide by the number of "
            "real ones.",
        ),
        (
            lambda *case: -_masked_policy_loss(*case),
            "The sign is the wrong way round: an optimiser makes the loss small, so that a good "
            "action's probability grows.",
        ),
        (
            lambda p, a, terminated, truncated: -(a * p)[_valid(terminated | truncated)].sum(),
            "That is the sum over the real rows: divide by their number.",
        ),
        (
            lambda p, a, terminated, truncated: _mean_loss(p, a, ~_valid(terminated | truncated)),
            "You kept the reset rows and left out the real ones: the mask is inside out.",
        ),
        (
            lambda p, a, terminated, truncated: _mean_loss(
                p, a, torch.cat([~(terminated | truncated)[1:], torch.ones_like(terminated[:1])])
            ),
            "You leave out the row before an end: the reset is the row after it.",
        ),
        (
            lambda p, a, terminated, truncated: _mean_loss(p, a, _valid(terminated ^ truncated)),
            "An episode can be terminated and truncated at once, when the pole falls as time is "
            "up: join the flags with |.",
        ),
        (
            _added_flags,
            "An episode can be terminated and truncated at once, and then your weight is -1: join "
            "the flags with |.",
        ),
    ],
)


def _gae(rewards, values, gamma, lam, bootstrap, onward):
    """GAE with a flag each for the next value and for the next advantage."""
    return _backwards(rewards + gamma * bootstrap * values[1:] - values[:-1], gamma * lam * onward)


def _repaired_gae(rewards, values, terminated, truncated, gamma, lam):
    return _gae(rewards, values, gamma, lam, ~terminated, ~(terminated | truncated))


def _draw_ends(rng):
    steps, envs = rng.integers(4, 8), rng.integers(1, 4)
    terminated, truncated = _apart(rng, steps, envs)
    return {
        "rewards": numbers(rng, steps, envs),
        "values": numbers(rng, steps + 1, envs),
        "terminated": terminated,
        "truncated": truncated,
        "gamma": round(rng.uniform(0.3, 0.9), 1),
        "lam": round(rng.uniform(0.2, 0.8), 1),
    }


repaired_gae = Check(
    "4.3",
    solution=_repaired_gae,
    example={
        "rewards": torch.tensor([1.0, 2.0, 0.0, 1.0, 3.0, 2.0, 1.0]),
        "values": torch.tensor([2.0, 4.0, 6.0, 1.0, 5.0, 8.0, 3.0, 7.0]),
        "terminated": torch.tensor([0, 0, 0, 1, 0, 1, 0]).bool(),
        "truncated": torch.tensor([0, 1, 0, 0, 0, 1, 0]).bool(),
        "gamma": 0.5,
        "lam": 0.4,
    },
    draw=_draw_ends,
    mistakes=[
        (
            lambda r, v, end, cut, g, lam: _gae(r, v, g, lam, ~(end | cut), ~(end | cut)),
            "The bug is still there: a truncated episode would have gone on, so the value of the "
            "state in which it was stopped counts.",
        ),
        (
            lambda r, v, end, cut, g, lam: _gae(r, v, g, lam, ~end, ~end),
            "The next value is right now, but the sum runs on through a truncated step: the row "
            "after it belongs to another episode, so the sum stops there too.",
        ),
        (
            lambda r, v, end, cut, g, lam: _gae(r, v, g, lam, ~(end | cut), ~end),
            "The two flags are swapped: the next value counts unless the episode terminated, the "
            "next advantage unless it ended in either way.",
        ),
        (
            lambda r, v, end, cut, g, lam: _gae(r, v, g, lam, ~cut, ~(end | cut)),
            "You take terminated for truncated: it is the terminated step whose next value is 0.",
        ),
        (
            lambda r, v, end, cut, g, lam: _gae(r, v, g, lam, ~end | cut | end, ~(end | cut)),
            "Now a terminated step bootstraps as well: nothing follows it, so its next value is 0.",
        ),
        (
            lambda r, v, end, cut, g, lam: _gae(r, v, g, lam, ~end, ~end | cut | end),
            "Your sum never stops: after an end of either kind the next row belongs to another "
            "episode.",
        ),
        (
            lambda r, v, end, cut, g, lam: _gae(r, v, g, lam, ~end, ~cut),
            "Your sum runs on through a terminated step: it stops at an end of either kind.",
        ),
        (
            lambda r, v, end, cut, g, lam: _gae(r, v, g, lam, ~end | cut, ~(end | cut)),
            "An episode can be terminated and truncated at once, when the pole falls as time is "
            "up: nothing follows then either.",
        ),
        (
            lambda r, v, end, cut, g, lam: _gae(r, v, g, lam, ~end, 1 - end.int() - cut.int()),
            "An episode can be terminated and truncated at once, and then your factor is -1: join "
            "the flags with |.",
        ),
    ],
)
