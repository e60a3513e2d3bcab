"""The checks of lesson 07 about the agent: its loss, a film with a planted bug, time to arrive."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from helpers.checks.core import Check, numbers
from helpers.checks.slips import COLUMNS, Formula, of_log_pi, of_taken, pairs, picked

RNG = np.random.default_rng(7)  # for the edges, which are the same each time

_loss = Formula(
    "logits values actions advantages returns valid value_coef entropy_coef",
    mean=lambda c: lambda x: x[c.valid].mean(),
    log_pi=lambda c: c.logits.log_softmax(-1),
    taken=lambda c: picked(c.log_pi, c.actions),
    policy=lambda c: -c.mean(c.advantages * c.taken),
    value=lambda c: 0.5 * c.mean((c.values - c.returns) ** 2),
    each=lambda c: -c.log_pi.exp() * c.log_pi,
    entropy=lambda c: c.mean(c.each.sum(1)),
    loss=lambda c: c.policy + c.value_coef * c.value - c.entropy_coef * c.entropy,
)


def _signs(policy, value, entropy):
    """The loss with other signs of its three parts."""
    return _loss.then(
        policy=lambda x: policy * x, value=lambda x: value * x, entropy=lambda x: -entropy * x
    )


def _steps(rng, steps, choices, **fixed):
    return {
        "logits": numbers(rng, steps, choices, low=-2, high=2),
        "values": numbers(rng, steps),
        "actions": torch.tensor(rng.integers(0, choices, steps)),
        "advantages": numbers(rng, steps),
        "returns": numbers(rng, steps),
        "valid": torch.tensor(rng.permutation([True, False, *(rng.random(steps) < 0.7)][:steps])),
        "value_coef": round(rng.uniform(0.2, 0.8), 1),
        "entropy_coef": round(rng.uniform(0.2, 0.8), 1),
        **fixed,
    }


def _logits(*rows):
    """With improbable actions taken."""
    return {"logits": torch.tensor(rows), "actions": torch.tensor(rows).argmin(-1)}


agent_loss = Check(
    "7.1",
    slopes=["logits", "values"],
    solution=_loss,
    example=_loss.case(
        [[0.0, 1.0], [2.0, 0.0], [0.0, -1.0]],
        [1.0, 0.0, 3.0],
        [1, 1, 0],
        [3.0, -2.0, 4.0],
        [2.0, -2.0, 7.0],
        [True, True, False],
        0.5,
        0.2,
    ),
    edges=[
        _steps(RNG, 2, 2, **_logits([200.0, 201.0], [201.0, 200.0])),
        _steps(RNG, 2, 2, **_logits([200.0, -200.0], [0.0, 200.0])),
        _steps(RNG, 1, 3),
        _steps(RNG, 5, 3, valid=torch.ones(5, dtype=torch.bool), value_coef=0.0, entropy_coef=0.0),
        _steps(RNG, 40, 6),
    ],
    draw=lambda rng: _steps(rng, int(rng.integers(2, 9)), int(rng.integers(2, 5))),
    mistakes=of_taken(_loss)
    + of_log_pi(_loss)
    + pairs(
        _signs(1, 1, 1),
        "The entropy has the wrong sign: a loss is made small, so a bonus must be taken off.",
        _signs(-1, 1, -1),
        "The policy's part has the wrong sign: a good action needs a minus in a loss.",
        _signs(1, -1, -1),
        "The value's part has the wrong sign: errors are added.",
        _signs(-1, -1, 1),
        "All signs are wrong: a loss is made small.",
        _signs(1, 1, 0),
        "No entropy bonus arrives: take it off the loss.",
        _loss.but(loss=lambda c: c.policy + c.entropy_coef * c.value - c.value_coef * c.entropy),
        "The two coefficients are swapped.",
        _loss.but(value_coef=lambda c: 1),
        "value_coef is never used.",
        _loss.but(entropy_coef=lambda c: 1),
        "entropy_coef is never used.",
        _loss.then(value=lambda x: 2 * x),
        "The value's part is twice as large as asked for: half the mean squared error.",
        _loss.then(taken=torch.Tensor.detach),
        "No gradient flows through the log-probabilities, so nobody learns to act: no detach().",
        _loss.then(value=torch.Tensor.detach),
        "The values are cut off, so the critic learns nothing: only the returns are data.",
        _loss.then(entropy=torch.Tensor.detach),
        "No gradient flows through the entropy: keep it tied to the logits.",
        _loss.but(entropy=lambda c: -c.mean(c.taken)),
        "The sampled log-probability has a gradient of zero on average: sum p log p over all actions.",
        _loss.but(mean=lambda c: torch.mean),
        "You count the rows that only reset: leave them out.",
        _loss.but(mean=lambda c: lambda x: (x * c.valid).mean()),
        "You divide by all rows, those that only reset too: divide by the number of valid ones.",
        _loss.but(mean=lambda c: lambda x: x[c.valid].sum()),
        "You add over the steps: take means, so that longer rollouts make no larger steps.",
        _loss.but(mean=lambda c: lambda x: x[: c.valid.sum()].mean()),
        "You keep the first rows, as many as are valid: which ones they are, says the mask, x[valid].",
        _loss.but(policy=lambda c: -(c.advantages * c.taken).mean()),
        "The policy's part also counts the rows where valid is False: leave them out there.",
        _loss.but(value=lambda c: F.mse_loss(c.values, c.returns) / 2),
        "The value's part also counts the rows where valid is False: leave them out there.",
        _loss.but(entropy=lambda c: c.each.sum(1).mean()),
        "The entropy's part also counts the rows where valid is False: leave them out there.",
        _loss.but(entropy=lambda c: c.each[c.valid].sum()),
        "You add the entropies: take their mean.",
        _loss.but(entropy=lambda c: c.each[c.valid].mean()),
        "You take the mean over the actions too: add over them, and take it over the steps.",
        _loss.but(value=lambda c: F.smooth_l1_loss(c.values[c.valid], c.returns[c.valid])),
        "That is the smooth L1 (Huber) loss of the values: take half the mean squared error.",
        _loss.but(policy=lambda c: -c.mean(c.advantages) * c.mean(c.taken)),
        "Each advantage meets each log-probability, as [N] meets [N, 1]: write [:, 0] after gather().",
        _loss.but(value=lambda c: 0.5 * c.mean((c.values[:, None] - c.returns[c.valid]) ** 2)),
        "Each value meets each return, as [N] meets [N, 1]: bring both to [N].",
        _loss.but(
            policy=lambda c: -(c.advantages * c.log_pi[:, c.actions])[c.valid][:, c.valid].mean()
        ),
        COLUMNS,
        _loss.but(policy=lambda c: -c.mean((c.returns - c.values) * c.taken)),
        "You compute G - V anew: use the advantages as they are given. They are data, too.",
    ),
)


_film = Formula("values updates", frames=lambda c: c.values + c.updates.cumsum(0))


def _tables(rng, updates, states, unit=1.0):
    return {"values": unit * numbers(rng, states), "updates": unit * numbers(rng, updates, states)}


repaired_film = Check(
    "7.4",
    solution=_film,
    example=_film.case([1.0, 2.0], [[1.0, 0.0], [0.0, 3.0], [-4.0, 1.0]]),
    edges=[_tables(RNG, 1, 1), _tables(RNG, 3, 2, unit=0.0123), _tables(RNG, 40, 6)],
    draw=lambda rng: _tables(rng, int(rng.integers(2, 9)), int(rng.integers(2, 5))),
    mistakes=pairs(
        _film.then(frames=lambda x: x[-1].expand(x.shape)),
        "The bug is still there: every frame shows the end, since the list holds the same tensor each "
        "time. And detach(), view() and numpy() share its memory.",
        lambda values, updates: _film(values, updates) - updates,
        "Each frame is one update late: record after the update, not before it.",
        lambda values, updates: torch.cat([values[None], _film(values, updates)]),
        "That is one frame too many: the first is the table after the first update.",
        lambda values, updates: values + updates,
        "Every frame starts from the first table: updates add up.",
        lambda values, updates: values + updates.cumsum(1),
        "You add up along the states: the updates come one in a row, so add up along axis 0.",
        lambda values, updates: updates.cumsum(0),
        "The table that you were given is left out: the first update is added to it.",
        _film.then(frames=lambda x: x[-1]),
        "That is the last frame alone: return one row for each update.",
    ),
)


_arrival = Formula(
    "steps curves threshold",
    there=lambda c: c.curves >= c.threshold,
    never=lambda c: math.inf,
    answer=lambda c: torch.where(c.there.any(1), c.steps[c.there.int().argmax(1)], c.never),
)


def _curves(rng, runs, points, threshold):
    """Run 0 is there at once, run 1 never, run 2 in passing."""
    above = rng.integers(-9, 2, (runs, points))
    above[0, 0], above[1], above[2], above[2, 1] = 1, np.minimum(above[1], -1), -1, 0
    steps = rng.integers(1, 50, points).cumsum() * 10.0
    return _arrival.case(steps.tolist(), (threshold + above / 8).tolist(), threshold)  # exact


arrival_times = Check(
    "7.5",
    solution=_arrival,
    example=_arrival.case(
        [100.0, 250.0, 300.0],
        [[0.25, 0.5, 0.75], [0.25, 0.375, 0.125], [0.125, 0.625, 0.25]],
        0.5,
    ),
    edges=[
        {**_curves(RNG, 3, 2, -0.25), "steps": torch.tensor([0.0, 500.0])},
        _curves(RNG, 12, 40, 475.0),
        _arrival.case([7.0], [[0.0]], 0.0),
    ],
    draw=lambda rng: _curves(rng, *rng.integers([3, 2], [6, 9]), float(rng.integers(-4, 9)) / 8),
    mistakes=pairs(
        lambda s, c, t: s[(c >= t).int().argmax(1)],
        "argmax of a row without any True is 0: give a run that never gets there infinity.",
        [_arrival.but(never=lambda c, x=x: x) for x in (math.nan, -1, 0, 1e9)]
        + [_arrival.but(never=lambda c: c.steps[-1])],
        "A run that never gets there takes longer than all others: give it infinity.",
        lambda s, c, t: torch.where(c[:, 0] >= t, math.inf, _arrival(s, c, t)),
        "A run that is there at the first point has arrived too: index 0 is not 'never'.",
        [
            _arrival.then(steps=lambda s: torch.arange(len(s))),
            _arrival.then(steps=lambda s: torch.arange(len(s)) + 1),
        ],
        "That is the number of the point: look up its steps.",
        _arrival.then(steps=lambda s: s[0] * torch.arange(1, len(s) + 1)),
        "You take the points for evenly spaced, and they need not be: look up their steps.",
        _arrival.but(threshold=lambda c: 0.5),
        "threshold is never used: it need not be 0.5.",
        _arrival.but(there=lambda c: c.curves > c.threshold),
        "A run that is exactly at the threshold has reached it.",
        [
            lambda s, c, t: torch.where(c[:, -1] >= t, _arrival(s, c, t), math.inf),
            lambda s, c, t: F.pad(s, (0, 1), value=math.inf)[(c < t).sum(1)],
        ],
        "A run that arrived and fell back later has arrived all the same: take the first time.",
        lambda s, c, t: _arrival(s.flip(0), c.flip(1), t),
        "That is the last time at the threshold or above: take the first.",
        lambda s, c, t: torch.where((c >= t).any(1), s[c.argmax(1)], math.inf),
        "That is when a run is at its best: take the first time at the threshold or above.",
        lambda s, c, t: torch.where(c >= t, s, math.inf).amin(0),
        "You look along the runs: curves has one row for each run, so look along axis 1.",
    ),
)
