"""The checks of lesson 01: the score, the Monte Carlo gradient, and a planted bug."""

import torch

from helpers.checks.core import Check, numbers


def _onehot(logits, action):
    return torch.eye(len(logits))[action]


def _score(logits, action):
    return _onehot(logits, action) - logits.softmax(0)


def _draw_score(rng):
    actions = rng.integers(2, 6)
    return {
        "logits": numbers(rng, actions, low=-2, high=2),
        "action": int(rng.integers(actions)),
    }


score = Check(
    "1.1",
    solution=_score,
    example={"logits": torch.tensor([0.0, 1.0, 2.0]), "action": 1},
    draw=_draw_score,
    mistakes=[
        (
            lambda logits, action: -_score(logits, action),
            "The sign is the wrong way round: more preference for the action taken makes it "
            "more likely.",
        ),
        (
            lambda logits, action: logits.softmax(0)[action] * _score(logits, action),
            "That is the gradient of pi(a) itself: the score is the gradient of log pi(a), so "
            "divide by pi(a).",
        ),
        (
            lambda logits, action: _onehot(logits, action) - logits,
            "You take away the logits: take away the probabilities, their softmax.",
        ),
        (
            lambda logits, action: _onehot(logits, action),
            "That is the gradient of the logit of the action. All logits share the denominator of "
            "the softmax, so each of them matters: take away the probabilities.",
        ),
        (
            lambda logits, action: 1 - logits.softmax(0),
            "You have a 1 for every action: only the action taken gets it.",
        ),
        (
            lambda logits, action: _score(logits, action)[action],
            "That is the entry of the action taken: the other logits have a gradient too.",
        ),
        (
            lambda logits, action: logits.log_softmax(0)[action],
            "That is log pi(a): differentiate it with respect to the logits.",
        ),
    ],
)


def _to_go(scores, rewards, gamma):
    """gamma^t G_t for each step and day, shaped to multiply scores."""
    discounted = gamma ** torch.arange(len(rewards))[:, None] * rewards
    return discounted.flip(0).cumsum(0).flip(0)[..., None]


def _monte_carlo_gradient(scores, rewards, gamma):
    return (_to_go(scores, rewards, gamma) * scores).sum(0).mean(0)


def _whole_return(scores, rewards, gamma):
    return (_to_go(scores, rewards, gamma)[:1] * scores).sum(0).mean(0)


def _dropped_discount(scores, rewards, gamma):
    steps = torch.arange(len(rewards))
    return (_to_go(scores, rewards, gamma) / gamma ** steps[:, None, None] * scores).sum(0).mean(0)


def _past_rewards(scores, rewards, gamma):
    discounted = gamma ** torch.arange(len(rewards))[:, None] * rewards
    return (discounted.cumsum(0)[..., None] * scores).sum(0).mean(0)


def _own_reward(scores, rewards, gamma):
    discounted = gamma ** torch.arange(len(rewards))[:, None] * rewards
    return (discounted[..., None] * scores).sum(0).mean(0)


def _discounted_twice(scores, rewards, gamma):
    discount = gamma ** torch.arange(len(rewards))[:, None, None]
    return (discount * _to_go(scores, rewards, gamma) * scores).sum(0).mean(0)


def _one_step_late(scores, rewards, gamma):
    return _monte_carlo_gradient(scores, rewards, gamma) - _own_reward(scores, rewards, gamma)


def _draw_days(rng):
    steps, days, parameters = rng.integers(2, 5), rng.integers(2, 5), rng.integers(1, 4)
    return {
        "scores": numbers(rng, steps, days, parameters, low=-1, high=1),
        "rewards": numbers(rng, steps, days),
        "gamma": round(rng.uniform(0.3, 0.9), 1),
    }


monte_carlo_gradient = Check(
    "1.2",
    solution=_monte_carlo_gradient,
    example={
        "scores": torch.tensor([[[1.0], [2.0]], [[3.0], [-1.0]], [[2.0], [1.0]]]),
        "rewards": torch.tensor([[1.0, 0.0], [2.0, 4.0], [4.0, 8.0]]),
        "gamma": 0.5,
    },
    draw=_draw_days,
    mistakes=[
        (
            lambda *case: -_monte_carlo_gradient(*case),
            "The sign is the wrong way round: this is the gradient to climb, not a loss.",
        ),
        (
            lambda *case: _monte_carlo_gradient(*case) * case[1].shape[1],
            "That is the sum over the days: divide by their number.",
        ),
        (
            lambda *case: _monte_carlo_gradient(*case) / len(case[1]),
            "You average over the steps too: add over the steps of a day, average over days alone.",
        ),
        (
            _whole_return,
            "Every score got the return of the whole day. Its average is right too, but it is "
            "noisier: step t should only count rewards from t on.",
        ),
        (
            _dropped_discount,
            "The factor gamma^t is missing in front of G_t: a later step counts for less.",
        ),
        (
            lambda scores, rewards, gamma: _monte_carlo_gradient(scores, rewards, 1.0),
            "That is the sum without discount: gamma is never used.",
        ),
        (
            _past_rewards,
            "You add the rewards up to step t, the past: add those from t on.",
        ),
        (
            _own_reward,
            "Each score got the reward of its own step alone: later rewards count as well.",
        ),
        (
            _discounted_twice,
            "You discount twice: a reward at step k gets gamma^k counted from the morning, or gamma^t "
            "times gamma^(k-t), not both.",
        ),
        (_one_step_late, "The reward of step t itself is missing: start the sum at t."),
        (
            lambda scores, rewards, gamma: (_to_go(scores, rewards, gamma) * scores).sum(0),
            "That is one gradient for each day: what is missing is their mean.",
        ),
    ],
)


def _repaired_gradient(logits, states, actions, weights, days, chosen=None):
    logits = logits.clone().requires_grad_()
    chosen = chosen or (lambda logits: logits.log_softmax(-1)[states, actions])
    return torch.autograd.grad((chosen(logits) * weights).sum() / days, logits)[0]


def _suspect_gradient(logits, states, actions, weights, days):
    return _repaired_gradient(
        logits, states, actions, weights, days, lambda x: x.softmax(-1)[states, actions]
    )


def _raw_logits(logits, states, actions, weights, days):
    return _repaired_gradient(logits, states, actions, weights, days, lambda x: x[states, actions])


def _wrong_axis(logits, states, actions, weights, days):
    return _repaired_gradient(
        logits, states, actions, weights, days, lambda x: x.log_softmax(0)[states, actions]
    )


def _log_twice(logits, states, actions, weights, days):
    return _repaired_gradient(
        logits,
        states,
        actions,
        weights,
        days,
        lambda x: x.softmax(-1).log_softmax(-1)[states, actions],
    )


def _draw_decisions(rng):
    days = int(rng.integers(2, 5))
    count = days + int(rng.integers(1, 5))
    places, choices = rng.integers(2, 5, size=2)
    return {
        "logits": numbers(rng, places, choices, low=-2, high=2),
        "states": torch.tensor(rng.integers(0, places, count)),
        "actions": torch.tensor(rng.integers(0, choices, count)),
        "weights": numbers(rng, count),
        "days": days,
    }


repaired_gradient = Check(
    "1.3",
    solution=_repaired_gradient,
    example={
        "logits": torch.tensor([[0.0, 1.0], [0.0, -1.0]]),
        "states": torch.tensor([0, 1, 0]),
        "actions": torch.tensor([1, 1, 0]),
        "weights": torch.tensor([2.0, 4.0, 1.0]),
        "days": 2,
    },
    draw=_draw_decisions,
    mistakes=[
        (
            _suspect_gradient,
            "The bug is still there: the actions were already drawn with probability pi(a|s), and here "
            "it counts once more.",
        ),
        (
            lambda *case: -_repaired_gradient(*case),
            "The bug is gone, but the sign has turned: the gradient to climb has no minus.",
        ),
        (
            lambda *case: _repaired_gradient(*case) * case[-1],
            "The bug is gone, but so is the division by the number of days.",
        ),
        (
            lambda *case: _repaired_gradient(*case) * case[-1] / len(case[1]),
            "The bug is gone, but you average over decisions: divide by the number of days.",
        ),
        (
            _raw_logits,
            "You differentiate the logits themselves: it is the log of the probability that is "
            "needed, which is their log_softmax.",
        ),
        (
            _wrong_axis,
            "The softmax runs over the states: each row of the table is one distribution, so take "
            "it along the last axis.",
        ),
        (
            _log_twice,
            "You take a softmax of a softmax: log_softmax wants the logits.",
        ),
        (
            lambda logits, *_: torch.zeros_like(logits),
            "The gradient is zero: if you divided pi by itself, numerator and denominator cancel. "
            "Detach the denominator, or take the log.",
        ),
    ],
)
