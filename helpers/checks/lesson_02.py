"""The checks of lesson 02: returns, the REINFORCE loss, and a loss with a planted bug."""

import torch

from helpers.checks.core import Check, numbers
from helpers.losses import log_prob


def _discounted_returns(rewards, gamma):
    returns = rewards.clone()
    for t in reversed(range(len(rewards) - 1)):
        returns[t] += gamma * returns[t + 1]
    return returns


def _powers(rewards, gamma):
    """gamma^t for each step, shaped to multiply rewards."""
    return (gamma ** torch.arange(len(rewards))).reshape(-1, *[1] * (rewards.dim() - 1))


def _whole_return(rewards, gamma):
    return _discounted_returns(rewards, gamma)[:1].expand_as(rewards)


def _past_rewards(rewards, gamma):
    return (_powers(rewards, gamma) * rewards).cumsum(0)


def _from_the_start(rewards, gamma):
    return _powers(rewards, gamma) * _discounted_returns(rewards, gamma)


def _draw_rewards(rng):
    return {"rewards": numbers(rng, rng.integers(1, 7)), "gamma": round(rng.uniform(0.3, 0.9), 1)}


discounted_returns = Check(
    "2.1",
    solution=_discounted_returns,
    example={"rewards": torch.tensor([0.0, 0.0, 1.0]), "gamma": 0.5},
    draw=_draw_rewards,
    mistakes=[
        (
            _whole_return,
            "Every step got the same number, the return of the whole episode. Step t should only "
            "count rewards from t on.",
        ),
        (
            lambda rewards, gamma: _discounted_returns(rewards, 1.0),
            "That is the sum without discount: gamma is never used.",
        ),
        (
            lambda rewards, gamma: _discounted_returns(rewards, gamma)[0],
            "That is the return of the first step alone: give one number for each step.",
        ),
        (
            _from_the_start,
            "Every step counts its discount from the start of the episode. Count it from step t: "
            "there the first reward is not discounted at all.",
        ),
        (
            lambda rewards, gamma: gamma * _discounted_returns(rewards, gamma),
            "Everything has one factor gamma too many: the reward of step t itself counts in full.",
        ),
        (
            lambda rewards, gamma: _discounted_returns(rewards, gamma) - rewards,
            "The reward of step t itself is missing: G[t] begins with rewards[t].",
        ),
        (
            lambda rewards, gamma: rewards + gamma * torch.cat([rewards[1:], torch.zeros(1)]),
            "You look one step ahead only: add gamma times the return of the next step, not its "
            "reward.",
        ),
        (
            lambda rewards, gamma: _discounted_returns(rewards, gamma).flip(0),
            "The numbers are right, but in reverse order: turn the list round.",
        ),
        (
            lambda rewards, gamma: _discounted_returns(rewards.flip(0), gamma).flip(0),
            "You add the rewards up to step t, the past: add those from t on.",
        ),
        (_past_rewards, "You add the rewards up to step t, the past: add those from t on."),
        (
            lambda rewards, gamma: _powers(rewards, gamma) * rewards,
            "Each step got its own discounted reward: later rewards count as well.",
        ),
    ],
)


def _reinforce_loss(logits, actions, returns):
    return -(returns * log_prob(logits, actions)).sum()


def _draw_episode(rng):
    steps, choices = rng.integers(2, 6), rng.integers(2, 5)
    return {
        "logits": numbers(rng, steps, choices, low=-2, high=2),
        "actions": torch.tensor(rng.integers(0, choices, steps)),
        "returns": numbers(rng, steps),
    }


reinforce_loss = Check(
    "2.2",
    solution=_reinforce_loss,
    slopes=["logits"],
    example={
        "logits": torch.tensor([[0.0, 0.0], [1.0, -1.0]]),
        "actions": torch.tensor([0, 1]),
        "returns": torch.tensor([2.0, 1.0]),
    },
    draw=_draw_episode,
    mistakes=[
        (
            lambda *case: -_reinforce_loss(*case),
            "The sign is the wrong way round: an optimiser makes the loss smaller, so the loss is "
            "minus what should grow.",
        ),
        (
            lambda *case: _reinforce_loss(*case) / len(case[1]),
            "That is the mean over the steps: here the sum is asked for.",
        ),
        (
            lambda x, a, G: -(G * x.softmax(-1).gather(-1, a[:, None])[:, 0]).sum(),
            "You weight pi(a|s): the score is the gradient of its logarithm.",
        ),
        (
            lambda x, a, G: -(G * x.gather(-1, a[:, None])[:, 0]).sum(),
            "You weight the logits themselves: it is the log of the probability that is needed, "
            "which is their log_softmax.",
        ),
        (
            lambda x, a, G: -(G[:, None] * x.log_softmax(-1)).sum(),
            "You add the log-probabilities of all actions: only the action taken gets credit.",
        ),
        (
            lambda x, a, G: -log_prob(x, a).sum(),
            "The returns are never used: each step's log-probability is weighted by its return.",
        ),
        (
            lambda x, a, G: -G.sum() * log_prob(x, a).sum(),
            "You multiply two sums: first multiply step by step, then add.",
        ),
        (
            lambda x, a, G: -(G[0] * log_prob(x, a)).sum(),
            "Every step got the same number, the return of the first: use each step's own.",
        ),
        (
            lambda x, a, G: -(G * x.log_softmax(0).gather(-1, a[:, None])[:, 0]).sum(),
            "The softmax runs over the steps: each row of logits is one distribution, so take it "
            "along the last axis.",
        ),
        (
            lambda x, a, G: -(G * log_prob(x.softmax(-1), a)).sum(),
            "You take a softmax of a softmax: log_softmax wants the logits.",
        ),
        (
            lambda x, a, G: -G * log_prob(x, a),
            "That is one number for each step: what is missing is their sum.",
        ),
        (
            lambda x, a, G: (
                -(G * (x.gather(-1, a[:, None])[:, 0] - x.detach().logsumexp(-1))).sum()
            ),
            "The logits of the actions not taken count too, through the denominator of the "
            "softmax: do not detach it.",
        ),
    ],
)


def _batch_loss(logits, actions, rewards, gamma, returns=_discounted_returns):
    weights = returns(rewards, gamma)
    return -(weights * log_prob(logits, actions)).sum(0).mean()


def _draw_batch(rng):
    steps, episodes, choices = rng.integers(2, 5), rng.integers(2, 4), rng.integers(2, 4)
    return {
        "logits": numbers(rng, steps, episodes, choices, low=-2, high=2),
        "actions": torch.tensor(rng.integers(0, choices, (steps, episodes))),
        "rewards": numbers(rng, steps, episodes),
        "gamma": round(rng.uniform(0.3, 0.9), 1),
    }


repaired_loss = Check(
    "2.3",
    solution=_batch_loss,
    slopes=["logits"],
    example={
        "logits": torch.tensor([[[0.0, 0.0], [0.0, 1.0]], [[1.0, -1.0], [0.0, 0.0]]]),
        "actions": torch.tensor([[0, 1], [1, 0]]),
        "rewards": torch.tensor([[1.0, 0.0], [4.0, 2.0]]),
        "gamma": 0.5,
    },
    draw=_draw_batch,
    mistakes=[
        (
            lambda *case: _batch_loss(*case, _whole_return),
            "The bug is still there: every step has the same return, that of the whole episode. "
            "Look at what each pass of the loop writes, and where.",
        ),
        (
            lambda *case: -_batch_loss(*case),
            "The bug is gone, but the sign has turned: a loss has a minus in front.",
        ),
        (
            lambda *case: _batch_loss(*case) / len(case[1]),
            "The bug is gone, but you average over the steps too: add over the steps of an "
            "episode, average over episodes alone.",
        ),
        (
            lambda *case: _batch_loss(*case) * case[1].shape[1],
            "The bug is gone, but so is the mean over the episodes.",
        ),
        (
            lambda x, a, r, gamma: _batch_loss(x, a, r, 1.0),
            "The returns differ from step to step now, but gamma is never used.",
        ),
        (
            lambda *case: _batch_loss(*case, _from_the_start),
            "The bug is gone, but you multiply step t by gamma**t as well. That weight is the "
            "theorem's; this exercise leaves it out, as nearly all code does: see section 2, and "
            "section 7 of lesson 01.",
        ),
        (
            lambda *case: _batch_loss(*case, _past_rewards),
            "Each step counts the rewards before it now: add those from t on.",
        ),
        (
            lambda *case: _batch_loss(*case, lambda rewards, gamma: rewards),
            "Each step has its own reward alone now: later rewards count as well.",
        ),
        (
            lambda *case: _batch_loss(
                *case, lambda r, g: _discounted_returns(r.flip(0), g).flip(0)
            ),
            "Each step counts the rewards before it now: run through the steps from the last.",
        ),
    ],
)
