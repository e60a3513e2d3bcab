"""The checks of lesson 02: returns, the REINFORCE loss, and a loss with a planted bug."""

import numpy as np
import torch

from helpers import returns
from helpers.checks.core import Check, numbers
from helpers.checks.slips import (
    COLUMNS,
    LOSS_SIGN,
    Formula,
    from_the_start,
    of_log_pi,
    of_returns,
    of_taken,
    pairs,
    picked,
    powers,
)

_returns = Formula(
    "rewards gamma", returns=lambda c: returns.discounted_returns(c.rewards, c.gamma)
)

discounted_returns = Check(
    "2.1",
    solution=_returns,
    example=_returns.case([0.0, 0.0, 1.0], 0.5),
    draw=lambda rng: _returns.case(
        numbers(rng, rng.integers(1, 13)), round(rng.uniform(0.3, 0.9), 1)
    ),
    edges=[
        _returns.case([0.0, 0.0, 1.0], 0.0),
        _returns.case([0.0, 0.0, 1.0], 1.0),
        _returns.case([-2.0], 0.5),
        _returns.case([300.0, -500.0], 0.5),
        _returns.case([0.002, 0.0031], 0.5),
        _returns.case([1.0] * 200, 0.5),
        _returns.case([1.0] * 200, 0.99),
    ],
    mistakes=pairs(
        _returns.then(returns=lambda G: G[:1].expand_as(G)),
        "Every step got the return of the whole episode: step t counts rewards from t on.",
        _returns.then(returns=lambda G: G[0]),
        "That is the return of the first step alone: give one number for each step.",
        from_the_start,
        "The discount counts from the start of the episode: count it from step t.",
        lambda rewards, gamma: powers(rewards, gamma) * rewards,
        "Each step got its own discounted reward: later rewards count as well.",
        lambda rewards, gamma: gamma * returns.discounted_returns(rewards, gamma),
        "Everything has one gamma too many: the reward of step t itself counts in full.",
        lambda rewards, gamma: returns.discounted_returns(
            powers(rewards, gamma).flip(0) * rewards, 1
        ),
        "The last reward counts in full, that of step t least: from t on, it is the reverse.",
    )
    + of_returns(_returns),
)


_reinforce_loss = Formula(
    "logits actions returns",
    log_pi=lambda c: c.logits.log_softmax(-1),
    taken=lambda c: picked(c.log_pi, c.actions),
    each=lambda c: -c.returns * c.taken,
    loss=lambda c: c.each.sum(),
)


def _draw_episode(rng):
    steps, choices = rng.integers(2, 13), rng.integers(2, 5)
    logits = numbers(rng, steps, choices, low=-2, high=2)
    return _reinforce_loss.case(
        logits, rng.integers(0, choices, steps).tolist(), numbers(rng, steps)
    )


_TWO_STEPS = _reinforce_loss.case([[0.0, 0.0], [1.0, -1.0]], [0, 1], [2.0, 1.0])

reinforce_loss = Check(
    "2.2",
    solution=_reinforce_loss,
    slopes=["logits"],
    example=_TWO_STEPS,
    draw=_draw_episode,
    edges=[
        {**_TWO_STEPS, "logits": _TWO_STEPS["logits"] + 200},
        {**_TWO_STEPS, "logits": 100 * _TWO_STEPS["logits"]},
        {**_TWO_STEPS, "returns": torch.tensor([-300.0, 0.0])},
    ],
    mistakes=of_taken(_reinforce_loss)
    + of_log_pi(_reinforce_loss)
    + pairs(
        _reinforce_loss.then(loss=torch.neg),
        LOSS_SIGN,
        _reinforce_loss.but(loss=lambda c: c.each.mean()),
        "That is the mean over the steps: here the sum is asked for.",
        _reinforce_loss.but(loss=lambda c: c.each),
        "That is one number for each step: what is missing is their sum.",
        _reinforce_loss.but(each=lambda c: -c.returns[:, None] * c.log_pi),
        "You add the log-probabilities of all actions: only the action taken gets credit.",
        [
            _reinforce_loss.but(each=lambda c: -c.returns * c.log_pi[:, c.actions]),
            _reinforce_loss.but(each=lambda c: -c.returns[:, None] * c.log_pi[:, c.actions]),
        ],
        COLUMNS,
        _reinforce_loss.then(returns=torch.ones_like),
        "The returns are never used: weight each step by its own.",
        [_reinforce_loss.then(returns=torch.sum), _reinforce_loss.then(returns=torch.mean)],
        "You multiply two totals: first multiply step by step, then add.",
        [
            _reinforce_loss.then(returns=lambda G: G - G.mean()),
            _reinforce_loss.then(returns=lambda G: (G - G.mean()) / (G.std() + 1e-8)),
        ],
        "You centre or normalise the returns: here each one counts as it is.",
        _reinforce_loss.then(returns=lambda G: G[0]),
        "Every step got the return of the first: use each step's own.",
        _reinforce_loss.then(loss=lambda x: x.detach() + 0 * x),
        "torch.tensor() makes a copy, through which no gradient flows.",
        _reinforce_loss.but(log_pi=lambda c: c.logits - c.logits.detach().logsumexp(-1, True)),
        "The actions not taken count too, through the denominator of the softmax: keep it.",
    ),
)


_batch_loss = Formula(
    "logits actions rewards gamma",
    returns=lambda c: returns.discounted_returns(c.rewards, c.gamma),
    log_pi=lambda c: c.logits.log_softmax(-1),
    taken=lambda c: picked(c.log_pi, c.actions),
    each=lambda c: -c.returns * c.taken,
    loss=lambda c: c.each.sum(0).mean(),
)


def _batch(rng, steps, episodes, choices, gamma):
    logits = numbers(rng, steps, episodes, choices, low=-2, high=2)
    actions = torch.tensor(rng.integers(0, choices, (steps, episodes)))
    return _batch_loss.case(logits, actions, numbers(rng, steps, episodes), gamma)


_TWO_EPISODES = _batch_loss.case(
    [[[0.0, 0.0], [0.0, 1.0]], [[1.0, -1.0], [0.0, 0.0]]],
    [[0, 1], [1, 0]],
    [[1.0, 0.0], [4.0, 2.0]],
    0.5,
)

repaired_loss = Check(
    "2.3",
    solution=_batch_loss,
    slopes=["logits"],
    example=_TWO_EPISODES,
    draw=lambda rng: _batch(rng, *rng.integers(2, [10, 4, 4]), round(rng.uniform(0.3, 0.9), 1)),
    edges=[
        {**_TWO_EPISODES, "gamma": 0.0},
        {**_TWO_EPISODES, "gamma": 1.0},
        {**_TWO_EPISODES, "rewards": -100 * _TWO_EPISODES["rewards"]},
        {**_TWO_EPISODES, "logits": _TWO_EPISODES["logits"] + 200},
        {**_TWO_EPISODES, "logits": 100 * _TWO_EPISODES["logits"]},
        _batch(np.random.default_rng(0), 200, 2, 3, 0.5),
    ],
    mistakes=pairs(
        _batch_loss.then(returns=lambda G: G[:1].expand_as(G)),
        "The bug is still there: every step has the first one's return. Look where each pass writes.",
        _batch_loss.then(loss=torch.neg),
        "The bug is gone, but the sign has turned: a loss has a minus in front.",
        _batch_loss.but(loss=lambda c: c.each.mean()),
        "The bug is gone, but you average over the steps too: add them, average over episodes.",
        _batch_loss.but(loss=lambda c: c.each.sum()),
        "The bug is gone, but so is the mean over the episodes.",
        _batch_loss.but(returns=lambda c: from_the_start(c.rewards, c.gamma)),
        "The bug is gone, but you multiply step t by gamma**t as well. That weight is the theorem's; "
        "this exercise leaves it out, as nearly all code does: see section 2, and section 7 of lesson 01.",
    )
    + of_returns(_batch_loss)
    + of_log_pi(_batch_loss),
)
