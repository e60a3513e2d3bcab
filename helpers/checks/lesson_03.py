"""The checks of lesson 03: the TD error, the two losses with their slopes, and a planted bug."""

import torch
import torch.nn.functional as F

from helpers.checks.core import Check, numbers


def _td_error(reward, value, next_value, terminated, gamma):
    return reward + gamma * next_value * (1 - terminated) - value


def _draw_steps(rng):
    steps = int(rng.integers(2, 5))
    ends = torch.tensor(rng.random(steps) < 0.4).float()
    ends[int(rng.integers(steps))] = 1
    return {
        "reward": numbers(rng, steps),
        "value": numbers(rng, steps),
        "next_value": numbers(rng, steps),
        "terminated": ends,
        "gamma": round(rng.uniform(0.3, 0.9), 1),
    }


td_error = Check(
    "3.1",
    solution=_td_error,
    example={
        "reward": torch.tensor([1.0, 3.0]),
        "value": torch.tensor([2.0, 4.0]),
        "next_value": torch.tensor([8.0, 6.0]),
        "terminated": torch.tensor([0.0, 1.0]),
        "gamma": 0.5,
    },
    draw=_draw_steps,
    mistakes=[
        (
            lambda r, v, after, ends, gamma: r + gamma * after - v,
            "Nothing follows a step that terminates, but you count the value of its next state: "
            "that value must be 0 there.",
        ),
        (
            lambda *case: -_td_error(*case),
            "The sign is the wrong way round: a step that went better than expected has a "
            "positive error.",
        ),
        (
            lambda r, v, after, ends, gamma: _td_error(r, v, after, ends, 1.0),
            "gamma is never used: the next value comes one step later.",
        ),
        (
            lambda r, v, after, ends, gamma: _td_error(r, 0 * v, after, ends, gamma),
            "That is the target: take away what the critic expected, the value of the state.",
        ),
        (
            lambda r, v, after, ends, gamma: _td_error(r, gamma * v, after, ends, gamma),
            "gamma belongs to the next value alone, since only that comes a step later.",
        ),
        (
            lambda r, v, after, ends, gamma: _td_error(gamma * r, v, after, ends, gamma),
            "The reward is paid at once: do not discount it.",
        ),
        (
            lambda r, v, after, ends, gamma: (r + gamma * after - v) * (1 - ends),
            "You drop the whole step where it terminates, but its reward and its value count. Only "
            "what follows is 0.",
        ),
        (
            lambda r, v, after, ends, gamma: r + gamma * after * ends - v,
            "The mask is the wrong way round: the next value counts where the step does not "
            "terminate.",
        ),
    ],
)


def _losses(log_prob, value, next_value, reward, gamma):
    target = (reward + gamma * next_value).detach()
    delta = target - value
    return -delta.detach() * log_prob, 0.5 * delta**2


def _variant(make):
    """A mistake: make(log_prob, value, target, delta) from tensors that nothing is detached from."""

    def losses(log_prob, value, next_value, reward, gamma):
        target = reward + gamma * next_value
        return make(log_prob, value, target, target - value)

    return losses


def _draw_transition(rng):
    return {
        "log_prob": -numbers(rng, low=0.1, high=3),
        "value": numbers(rng),
        "next_value": numbers(rng),
        "reward": round(rng.uniform(-2, 2), 1),
        "gamma": round(rng.uniform(0.3, 0.9), 1),
    }


actor_critic_losses = Check(
    "3.2",
    solution=_losses,
    slopes=["log_prob", "value", "next_value"],
    example={
        "log_prob": torch.tensor(-0.5),
        "value": torch.tensor(1.0),
        "next_value": torch.tensor(4.0),
        "reward": 3.0,
        "gamma": 0.5,
    },
    draw=_draw_transition,
    mistakes=[
        (
            _variant(lambda log_prob, value, target, delta: (-delta * log_prob, 0.5 * delta**2)),
            "Nothing is detached: the actor's loss would change the critic, and the target would "
            "move with the critic.",
        ),
        (
            _variant(
                lambda log_prob, value, target, delta: (
                    -delta.detach() * log_prob,
                    0.5 * delta**2,
                )
            ),
            "The target is not detached: the critic's loss has a slope for next_value, so the "
            "critic would bend the next value towards this one.",
        ),
        (
            _variant(
                lambda log_prob, value, target, delta: (
                    -(target.detach() - value) * log_prob,
                    0.5 * (target.detach() - value) ** 2,
                )
            ),
            "The actor's loss has a slope for value: the TD error is data to the actor, so detach "
            "it there.",
        ),
        (
            _variant(
                lambda log_prob, value, target, delta: (
                    -delta * log_prob,
                    0.5 * (target.detach() - value) ** 2,
                )
            ),
            "The actor's loss has slopes for value and next_value: the TD error is data to the "
            "actor, so detach it there.",
        ),
        (
            _variant(
                lambda log_prob, value, target, delta: (
                    -delta.detach() * log_prob,
                    0.5 * delta.detach() ** 2,
                )
            ),
            "The critic's loss has no slope at all, so the critic would never learn: detach the "
            "target, not the whole error.",
        ),
        (
            _variant(
                lambda log_prob, value, target, delta: (
                    delta.detach() * log_prob,
                    0.5 * (target.detach() - value) ** 2,
                )
            ),
            "The actor's sign is the wrong way round: a loss is made small, so a good step needs "
            "a minus.",
        ),
        (
            _variant(
                lambda log_prob, value, target, delta: (
                    -delta.detach() * log_prob,
                    (target.detach() - value) ** 2,
                )
            ),
            "The critic's loss is twice as large as asked for: half the square is wanted, so that "
            "its slope is the TD error itself.",
        ),
        (
            _variant(
                lambda log_prob, value, target, delta: (
                    -target.detach() * log_prob,
                    0.5 * (target.detach() - value) ** 2,
                )
            ),
            "The actor's loss uses the target: weigh log_prob by the TD error, which is the "
            "target minus the value.",
        ),
        (
            lambda *case: _losses(*case)[::-1],
            "The two losses are swapped: the actor's comes first.",
        ),
    ],
)


class _Suspect:
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
    _Suspect("detached next value", lambda v, after, r, g: (r + g * after.detach() - v) ** 2 / 2),
    _Suspect(
        "detached error times value", lambda v, after, r, g: -(r + g * after - v).detach() * v
    ),
    _Suspect("detached target", lambda v, after, r, g: F.mse_loss(v, (r + g * after).detach()) / 2),
    _Suspect("target under no_grad", _no_grad),
    _Suspect("detached data", lambda v, after, r, g: (r + g * after.data - v) ** 2 / 2),
]
_UNDETACHED = [
    _Suspect("cloned next value", lambda v, after, r, g: (r + g * after.clone() - v) ** 2 / 2),
    _Suspect("plain square", lambda v, after, r, g: (r + g * after - v) ** 2 / 2),
    _Suspect("detached and dropped", _dropped_detach),
    _Suspect("mse_loss", lambda v, after, r, g: F.mse_loss(v, r + g * after) / 2),
    _Suspect("detached value", lambda v, after, r, g: (r + g * after - v.detach()) ** 2 / 2),
]


def _probe(critics):
    """The size of each critic's slope for the next value, at one made-up step."""
    sizes = []
    for critic in critics:
        value, after = (torch.tensor(x, requires_grad=True) for x in (1.0, 2.0))
        (slope,) = torch.autograd.grad(critic(value, after, 1.0, 0.5), after, allow_unused=True)
        sizes.append(0.0 if slope is None else abs(slope.item()))
    return sizes


def _largest(sizes):
    return max(range(len(sizes)), key=sizes.__getitem__)


def _undetached(critics):
    return _largest(_probe(critics))


def _odd_loss(critics):
    losses = [critic(*(torch.tensor(x) for x in (1.0, 2.0)), 1.0, 0.5).item() for critic in critics]
    return _largest([abs(loss - sorted(losses)[1]) for loss in losses])


def _draw_critics(rng):
    four = [_DETACHED[i] for i in rng.permutation(len(_DETACHED))[:3]]
    four.insert(int(rng.integers(4)), _UNDETACHED[int(rng.integers(len(_UNDETACHED)))])
    return {"critics": four}


undetached = Check(
    "3.3",
    solution=_undetached,
    example={"critics": [_DETACHED[0], _DETACHED[1], _UNDETACHED[0], _DETACHED[2]]},
    draw=_draw_critics,
    mistakes=[
        (
            lambda critics: _undetached(critics) + 1,
            "You count from 1: the first critic has the index 0.",
        ),
        (
            lambda critics: 0,
            "You always answer 0, as if all were alike. With gamma 0 they are; and every one of them "
            "should have a slope for value: look at the one for next_value.",
        ),
        (
            _odd_loss,
            "You compare the losses, and they may differ for harmless reasons: compare slopes.",
        ),
        (
            lambda critics: [size > 0 for size in _probe(critics)],
            "That is one answer for each critic: return the index of the one that has a slope.",
        ),
        (
            _probe,
            "That is one slope for each critic: return the index of the one that is not 0.",
        ),
    ],
)
