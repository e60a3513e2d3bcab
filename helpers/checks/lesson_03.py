"""The checks of lesson 03: the TD error, the two losses with their slopes, and a planted bug."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from helpers.checks.core import Check, numbers
from helpers.checks.slips import NO_GAMMA, Formula, of_actor_and_critic, of_td_error, pairs

_td_error = Formula(
    "reward value next_value terminated gamma",
    goes_on=lambda c: 1 - c.terminated,
    answer=lambda c: c.reward + c.gamma * c.next_value * c.goes_on - c.value,
)


def _steps(rng, count, gamma, size=5):
    """So many steps, of which at least one terminates."""
    ends = torch.tensor(rng.random(count) < 0.4).float()
    ends[int(rng.integers(count))] = 1
    return _td_error.case(*numbers(rng, 3, count, low=-size, high=size), ends, gamma)


td_error = Check(
    "3.1",
    solution=_td_error,
    example=_td_error.case([1.0, 3.0], [2.0, 4.0], [8.0, 6.0], [0.0, 1.0], 0.5),
    edges=[_steps(np.random.default_rng(1), *edge) for edge in [(3, 0.0, 5), (12, 1.0, 50)]],
    draw=lambda rng: _steps(rng, int(rng.integers(2, 5)), round(rng.uniform(0.3, 0.9), 1)),
    mistakes=pairs(
        _td_error.then(goes_on=torch.min),
        "One end ends all steps in your function: mask each step by its own flag.",
    )
    + of_td_error(_td_error),
)


_losses = Formula(
    "log_prob value next_value reward gamma",
    target=lambda c: c.reward + c.gamma * c.next_value,
    actor=lambda c: -(c.target - c.value).detach() * c.log_prob,
    critic=lambda c: 0.5 * (c.target.detach() - c.value) ** 2,
    answer=lambda c: (c.actor, c.critic),
)


_RANGES = [-3, -5, -5, -2, 0.3], [-0.1, 5, 5, 2, 0.9]  # of a drawn transition's numbers


def _transition(log_prob, value, next_value, reward, gamma):
    tensors = (torch.tensor(x) for x in (log_prob, value, next_value))
    return _losses.case(*tensors, reward, gamma)


actor_critic_losses = Check(
    "3.2",
    solution=_losses,
    slopes=["log_prob", "value", "next_value"],
    example=_transition(-0.5, 1.0, 4.0, 3.0, 0.5),
    edges=[
        _transition(-20.0, 3.0, 5.0, -1.0, 0.0),
        _transition(-1.0, 2.0, 1.5, 0.5, 1.0),  # no surprise
        _transition(-0.01, -40.0, 60.0, 50.0, 1.0),
    ],
    draw=lambda rng: _transition(*rng.uniform(*_RANGES).round(1).tolist()),
    mistakes=pairs(
        _losses.but(
            actor=lambda c: -(c.target - c.value) * c.log_prob,
            critic=lambda c: 0.5 * (c.target - c.value) ** 2,
        ),
        "Nothing is detached: for the actor the error is data, for the critic the target.",
        _losses.but(critic=lambda c: 0.5 * (c.target - c.value) ** 2),
        "The target is not detached: the critic's loss has a slope for next_value.",
        _losses.but(critic=lambda c: 0.5 * (c.target - c.value.detach()) ** 2),
        "The critic's loss has its slope in the wrong place: detach the target, not the value.",
        _losses.but(actor=lambda c: -(c.target - c.value.detach()) * c.log_prob),
        "To the actor next_value is data too: detach the whole TD error there.",
        _losses.but(gamma=lambda c: 1.0),
        NO_GAMMA,
    )
    + of_actor_and_critic(_losses),
)


class Critic:
    """A critic's loss for one step, loss(value, next_value, reward, gamma), under a name."""

    def __init__(self, name, loss):
        self.name, self.loss = name, loss

    def __call__(self, value, next_value, reward, gamma):
        return self.loss(value, next_value, reward, gamma)

    def __repr__(self):
        return self.name


def _no_grad(value, next_value, reward, gamma):
    with torch.no_grad():
        target = reward + gamma * next_value
    return (target - value) ** 2 / 2


def _dropped_detach(value, next_value, reward, gamma):
    target = reward + gamma * next_value
    target.detach()  # makes a new tensor, which nobody keeps
    return (target - value) ** 2 / 2


_DETACHED = [
    Critic("detached next value", lambda v, after, r, g: (r + g * after.detach() - v) ** 2 / 2),
    Critic("detached error times value", lambda v, after, r, g: -(r + g * after - v).detach() * v),
    Critic("detached target", lambda v, after, r, g: F.mse_loss(v, (r + g * after).detach()) / 2),
    Critic("target under no_grad", _no_grad),
    Critic("detached data", lambda v, after, r, g: (r + g * after.data - v) ** 2 / 2),
]
_TURNED = Critic(  # its slope for the next value has the other sign
    "detached error times both values",
    lambda v, after, r, g: -(r + g * after - v).detach() * (v + g * after),
)
_UNDETACHED = [
    Critic("cloned next value", lambda v, after, r, g: (r + g * after.clone() - v) ** 2 / 2),
    Critic("plain square", lambda v, after, r, g: (r + g * after - v) ** 2 / 2),
    Critic("detached and dropped", _dropped_detach),
    Critic("mse_loss", lambda v, after, r, g: F.mse_loss(v, r + g * after) / 2),
    Critic("detached value", lambda v, after, r, g: (r + g * after - v.detach()) ** 2 / 2),
    _TURNED,
]


def _slopes(critics):
    """Each critic's slope for the next value, at one made-up step."""
    slopes = []
    for critic in critics:
        value, after = (torch.tensor(x, requires_grad=True) for x in (1.0, 2.0))
        (slope,) = torch.autograd.grad(critic(value, after, 1.0, 0.5), after, allow_unused=True)
        slopes.append(0.0 if slope is None else slope.item())
    return slopes


def _undetached(critics):
    return int(np.abs(_slopes(critics)).argmax())


def _first_positive(critics):
    return next((i for i, slope in enumerate(_slopes(critics)) if slope > 0), math.nan)


def _draw_critics(rng):
    four = [_DETACHED[i] for i in rng.permutation(len(_DETACHED))[:3]]
    four.insert(int(rng.integers(4)), _UNDETACHED[int(rng.integers(len(_UNDETACHED)))])
    return {"critics": four}


undetached = Check(
    "3.3",
    solution=_undetached,
    example={"critics": [_DETACHED[0], _DETACHED[1], _UNDETACHED[0], _DETACHED[2]]},
    edges=[{"critics": [_DETACHED[0], _TURNED, *_DETACHED[2:4]]}],
    draw=_draw_critics,
    read=lambda answer: math.nan if answer is None else answer,
    mistakes=pairs(
        lambda critics: _undetached(critics) + 1,
        "You count from 1: the first critic has the index 0.",
        lambda critics: 0,
        "You always answer 0, as if all were alike. With gamma 0 or a TD error of 0 they are; and every "
        "one of them should have a slope for value: look at the one for next_value.",
        lambda critics: math.nan,
        "Your function came to its end without an index. Either a return is missing, or it probes "
        "where gamma or the TD error is 0, so that there is no slope to find.",
        [_first_positive, lambda critics: int(np.argmax(_slopes(critics)))],
        "You look for a positive slope, and this one is negative: look for one that is not 0.",
        [lambda critics: [slope != 0 for slope in _slopes(critics)], _slopes],
        "That is one answer for each critic: return the index of the one that has a slope.",
    ),
)
