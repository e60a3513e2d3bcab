"""The checks of lesson 01: the score, the Monte Carlo gradient, and a planted bug."""

import torch

from helpers.checks.core import Check, numbers
from helpers.checks.slips import (
    EXP,
    LOG_OF_0,
    Formula,
    from_the_start,
    of_log_pi,
    of_returns,
    pairs,
    plain_softmax,
    powers,
)
from helpers.returns import discounted_returns


def _draw_score(rng):
    actions = rng.integers(2, 10)
    return {"logits": numbers(rng, actions, low=-2, high=2), "action": int(rng.integers(actions))}


_score = Formula(
    "logits action",
    ones=lambda c: torch.eye(len(c.logits))[c.action],
    probabilities=lambda c: c.logits.softmax(0),
    answer=lambda c: c.ones - c.probabilities,
)

score = Check(
    "1.1",
    solution=_score,
    example=_score.case([0.0, 1.0, 2.0], 1),
    draw=_draw_score,
    edges=[
        _score.case([200.0, 201.0, 199.5], 2),
        _score.case([-200.0, -199.0], 0),
        _score.case([200.0, 0.0, -200.0], 1),
    ],
    mistakes=pairs(
        _score.then(answer=torch.neg),
        "The sign is the wrong way round: a higher logit makes its action more likely.",
        _score.but(answer=lambda c: c.probabilities[c.action] * (c.ones - c.probabilities)),
        "That is the gradient of pi(a) itself: for that of log pi(a), divide by pi(a).",
        _score.but(probabilities=lambda c: c.logits),
        "You take away the logits: take away the probabilities, their softmax.",
        _score.but(probabilities=lambda c: 0),
        "The other logits count too, in the softmax's denominator: take away the probabilities.",
        _score.but(probabilities=lambda c: plain_softmax(c.logits)),
        EXP,
        lambda logits, a: torch.func.grad(lambda x: x.softmax(0).log()[a])(logits),
        LOG_OF_0,
        _score.but(ones=lambda c: 1),
        "You have a 1 for every action: only the action taken gets it.",
        _score.but(answer=lambda c: (c.ones - c.probabilities)[c.action]),
        "That is the entry of the action taken: the other logits have a gradient too.",
        _score.but(answer=lambda c: c.logits.log_softmax(0)[c.action]),
        "That is log pi(a): differentiate it with respect to the logits.",
    ),
)


_monte_carlo = Formula(
    "scores rewards gamma",
    returns=lambda c: discounted_returns(c.rewards, c.gamma),
    weights=lambda c: powers(c.rewards, c.gamma) * c.returns,
    days=lambda c: (c.weights[..., None] * c.scores).sum(0),
    answer=lambda c: c.days.mean(0),
)


def _weighted(weigh):
    """The scores weighted by something else than gamma^t G_t, made of rewards and gamma."""
    return _monte_carlo.but(weights=lambda c: weigh(c.rewards, c.gamma))


def _draw_days(rng):
    steps, days, parameters = rng.integers(2, 10), rng.integers(2, 5), rng.integers(1, 4)
    scores = numbers(rng, steps, days, parameters, low=-1, high=1)
    return _monte_carlo.case(scores, numbers(rng, steps, days), round(rng.uniform(0.3, 0.9), 1))


_THREE_STEPS = _monte_carlo.case(
    [[[1.0], [2.0]], [[3.0], [-1.0]], [[2.0], [1.0]]], [[1.0, 0.0], [2.0, 4.0], [4.0, 8.0]], 0.5
)

monte_carlo_gradient = Check(
    "1.2",
    solution=_monte_carlo,
    example=_THREE_STEPS,
    draw=_draw_days,
    edges=[
        {**_THREE_STEPS, "gamma": 0.0},
        {**_THREE_STEPS, "gamma": 1.0},
        {**_THREE_STEPS, "rewards": 100 * _THREE_STEPS["rewards"]},
        _monte_carlo.case(torch.ones(1, 1, 2), [[0.002]], 0.5),
        _monte_carlo.case(torch.ones(200, 1, 1), torch.ones(200, 1), 0.5),
    ],
    mistakes=pairs(
        _monte_carlo.then(answer=torch.neg),
        "The sign is the wrong way round: this is the gradient to climb, not a loss.",
        _monte_carlo.but(answer=lambda c: c.days.sum(0)),
        "That is the sum over the days: divide by their number.",
        _monte_carlo.but(answer=lambda c: c.days),
        "That is one gradient for each day: what is missing is their mean.",
        _monte_carlo.but(answer=lambda c: c.days.mean(0) / len(c.rewards)),
        "You average over the steps too: add over the steps of a day, average over days alone.",
        _monte_carlo.then(weights=lambda w: w[:1]),
        "Every score got the whole day's return, right on average but noisier: count from step t on.",
        _weighted(discounted_returns),
        "The factor gamma^t is missing in front of G_t: a later step counts for less.",
        _monte_carlo.but(returns=lambda c: discounted_returns(c.rewards, 1.0)),
        "You discount by the step of the score alone: a reward at step k counts gamma^k.",
        _weighted(lambda rewards, gamma: (powers(rewards, gamma) * rewards).cumsum(0)),
        "You add the rewards up to step t, the past: add those from t on.",
        _monte_carlo.but(returns=lambda c: from_the_start(c.rewards, c.gamma)),
        "You discount twice: a reward at step k gets gamma^k, or gamma^t times gamma^(k-t), not both.",
    )
    + of_returns(_monte_carlo),
)


_repaired_gradient = Formula(
    "logits states actions weights days",
    logits=lambda c: c.logits.clone().requires_grad_(),
    log_pi=lambda c: c.logits.log_softmax(-1),
    taken=lambda c: c.log_pi[c.states, c.actions],
    sum=lambda c: torch.autograd.grad((c.taken * c.weights).sum(), c.logits)[0],
    answer=lambda c: c.sum / c.days,
)


def _differentiated(what):
    """The gradient of something else than log pi, a table made of the logits."""
    return _repaired_gradient.but(log_pi=lambda c: what(c.logits))


def _draw_decisions(rng):
    days = int(rng.integers(2, 5))
    count = days + int(rng.integers(1, 9))
    places, choices = rng.integers(2, 5, size=2)
    return {
        "logits": numbers(rng, places, choices, low=-2, high=2),
        "states": torch.tensor(rng.integers(0, places, count)),
        "actions": torch.tensor(rng.integers(0, choices, count)),
        "weights": numbers(rng, count),
        "days": days,
    }


_TWO_DAYS = _repaired_gradient.case(
    [[0.0, 1.0], [0.0, -1.0]], [0, 1, 0], [1, 1, 0], [2.0, 4.0, 1.0], 2
)

repaired_gradient = Check(
    "1.3",
    solution=_repaired_gradient,
    example=_TWO_DAYS,
    draw=_draw_decisions,
    edges=[
        {**_TWO_DAYS, "logits": _TWO_DAYS["logits"] + 200},
        {**_TWO_DAYS, "logits": 10 * _TWO_DAYS["logits"]},
        {**_TWO_DAYS, "logits": 200 * _TWO_DAYS["logits"]},
        {**_TWO_DAYS, "weights": 20 * _TWO_DAYS["weights"]},
    ],
    mistakes=pairs(
        _differentiated(lambda x: x.softmax(-1)),
        "The bug is still there: actions are drawn with probability pi(a|s), and here it counts again.",
        [
            _differentiated(lambda x: 2 * x.softmax(-1)),
            _differentiated(lambda x: x.shape[1] * x.softmax(-1)),
            _repaired_gradient.then(taken=lambda log_p: log_p.exp() / log_p.exp().mean().detach()),
        ],
        "The bug is still there: one factor sets the coin toss right, and no other policy. Each "
        "decision is off by its own pi(a|s), which still counts once too often.",
        _repaired_gradient.then(answer=torch.neg),
        "The bug is gone, but the sign has turned: the gradient to climb has no minus.",
        _repaired_gradient.but(answer=lambda c: c.sum),
        "The bug is gone, but so is the division by the number of days.",
        _repaired_gradient.but(answer=lambda c: c.sum / len(c.actions)),
        "The bug is gone, but you average over decisions: divide by the number of days.",
        _differentiated(lambda x: x.softmax(-1) / x.softmax(-1)),
        "The gradient is zero: if you divided pi by itself, the two cancel. Take the log.",
        _differentiated(lambda x: x),
        "You differentiate the logits: the log of the probability is their log_softmax.",
    )
    + of_log_pi(_repaired_gradient),
)
