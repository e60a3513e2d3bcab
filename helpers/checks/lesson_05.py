"""The checks of lesson 05: the entropy's gradient, the soft-optimal policy, the idle bonus."""

import numpy as np
import torch
import torch.nn.functional as F

from helpers.checks.core import Check, numbers
from helpers.losses import entropy, log_prob


def _entropy_gradient(logits):
    return -logits.softmax(0) * (logits.log_softmax(0) + entropy(logits))


entropy_gradient = Check(
    "5.1",
    solution=_entropy_gradient,
    example={"logits": torch.tensor([0.0, 1.0, 2.0])},
    draw=lambda rng: {"logits": numbers(rng, rng.integers(2, 6), low=-2, high=2)},
    mistakes=[
        (
            lambda logits: -_entropy_gradient(logits),
            "The sign is the wrong way round: what surprises more than average is pushed up.",
        ),
        (
            lambda logits: -logits.softmax(0) * logits.log_softmax(0),
            "These are the summands of the entropy: H is missing in the bracket.",
        ),
        (
            lambda logits: -logits.softmax(0) * (logits.log_softmax(0) + 1),
            "You kept the 1 of the product rule: the probabilities always add up to 1, so it "
            "drops out, and the mean surprise H comes in its place.",
        ),
        (
            lambda logits: -(logits.log_softmax(0) + 1),
            "That is the gradient with respect to the probabilities: go on through the softmax to "
            "the logits.",
        ),
        (
            lambda logits: -logits.softmax(0) * (logits.log_softmax(0) - entropy(logits)),
            "The sign of H is wrong: it is the sum of p log p with a minus in front.",
        ),
        (
            lambda logits: -(logits.log_softmax(0) + entropy(logits)),
            "The factor p is missing: each action is pushed in proportion to its probability.",
        ),
        (
            lambda logits: -logits.softmax(0) * (logits + entropy(logits)),
            "You use the logits where the log-probabilities belong: take their log_softmax.",
        ),
        (entropy, "That is the entropy itself: its gradient has an entry for each logit."),
    ],
)


def _soft_optimal(rewards, tau):
    return (rewards / tau).softmax(0)


def _overflowing(rewards, tau):
    weights = (rewards / tau).exp()
    return weights / weights.sum()


def _draw_rewards(rng):
    tau = rng.uniform(0.2, 0.9) if rng.random() < 0.5 else rng.uniform(1.2, 3)
    tenths = rng.choice(np.arange(-50, 51), rng.integers(2, 6), replace=False)  # no two are equal
    return {
        "rewards": torch.tensor(tenths / 10, dtype=torch.float32),
        "tau": round(tau, 1),
    }


soft_optimal = Check(
    "5.2",
    solution=_soft_optimal,
    example={"rewards": torch.tensor([200.0, 198.0, 196.0]), "tau": 2.0},  # exp(100): too large
    draw=_draw_rewards,
    mistakes=[
        (
            _overflowing,
            "The formula is right, but e to the 100 is more than a float32 can hold: take the "
            "largest reward off all of them first, or use softmax.",
        ),
        (
            lambda rewards, tau: rewards.softmax(0),
            "That is the softmax of the rewards as they are: tau is never used.",
        ),
        (
            lambda rewards, tau: (rewards * tau).softmax(0),
            "You multiply by tau: divide by it, since a larger bonus makes the policy more even.",
        ),
        (
            lambda rewards, tau: (-rewards / tau).softmax(0),
            "The sign is the wrong way round: a larger reward makes an action likelier.",
        ),
        (
            lambda rewards, tau: F.one_hot(rewards.argmax(), len(rewards)),
            "That is the best policy without a bonus: with one, no action has probability 0.",
        ),
        (
            lambda rewards, tau: ((rewards - rewards.max()) / tau).exp(),
            "These are the weights: divide by their sum, so that they are probabilities.",
        ),
        (
            lambda rewards, tau: (rewards / tau).log_softmax(0),
            "These are the log-probabilities: return the probabilities themselves.",
        ),
        (
            lambda rewards, tau: tau * torch.logsumexp(rewards / tau, 0),
            "That is the best objective, tau log Z: return the policy that reaches it.",
        ),
        (
            lambda rewards, tau: rewards / rewards.sum(),
            "That shares out in proportion to the rewards: it is e to the reward over tau that "
            "counts.",
        ),
    ],
)


def _mean_entropy(logits, actions):
    return entropy(logits).mean()


def _gradient_with(bonus, sign=1):
    """suspect_bonus with another line for the entropy."""

    def gradient(logits, actions, advantages, entropy_coef):
        logits = logits.clone().requires_grad_()
        policy_loss = -(advantages * log_prob(logits, actions)).mean()
        loss = sign * (policy_loss - entropy_coef * bonus(logits, actions))
        return torch.autograd.grad(loss, logits)[0]

    return gradient


def _surprise_as_reward(logits, actions, advantages, entropy_coef):
    surprise = -log_prob(logits, actions)
    none = _gradient_with(lambda logits, actions: 0.0)
    return none(logits, actions, advantages + entropy_coef * surprise, 0.0)


def _taken(logits, actions):
    log_p = log_prob(logits, actions)
    return -(log_p.exp() * log_p).mean()


def _mean_over_actions(logits, actions):
    return -(logits.softmax(-1) * logits.log_softmax(-1)).mean()


def _summed(logits, actions, advantages, entropy_coef):
    return len(logits) * _gradient_with(_mean_entropy)(logits, actions, advantages, entropy_coef)


def _draw_steps(rng):
    steps, count = int(rng.integers(2, 6)), int(rng.integers(2, 5))
    return {
        "logits": numbers(rng, steps, count, low=-2, high=2),
        "actions": torch.tensor(rng.integers(0, count, steps)),
        "advantages": numbers(rng, steps),
        "entropy_coef": round(rng.uniform(0.2, 2), 1),
    }


repaired_bonus = Check(
    "5.3",
    solution=_gradient_with(_mean_entropy),
    example={
        "logits": torch.tensor([[0.0, 1.0], [2.0, 0.0], [0.0, -1.0]]),
        "actions": torch.tensor([1, 0, 1]),
        "advantages": torch.tensor([1.0, -2.0, 0.0]),
        "entropy_coef": 0.5,
    },
    draw=_draw_steps,
    mistakes=[
        (
            _gradient_with(lambda logits, actions: -log_prob(logits, actions).mean()),
            "The bug is still there: the bonus is made of the sampled action's log-probability, "
            "whose gradient is zero on average.",
        ),
        (
            _gradient_with(lambda logits, actions: -_mean_entropy(logits, actions)),
            "The bug is gone, but the bonus has become a fine: the loss gets the entropy with a "
            "minus.",
        ),
        (
            _gradient_with(_mean_entropy, sign=-1),
            "The bug is gone, but the sign of it all has turned: this is a loss, to be descended.",
        ),
        (
            _gradient_with(lambda logits, actions: 0.0),
            "No bonus arrives: the entropy is detached, or its probabilities are constants in it.",
        ),
        (
            _surprise_as_reward,
            "That is right on average, but noisier than need be: you have all probabilities at "
            "hand, so use the entropy itself.",
        ),
        (
            _gradient_with(lambda logits, actions: entropy(logits).sum()),
            "You add the entropy over the steps, but the policy loss is a mean: take the mean of "
            "both.",
        ),
        (
            _summed,
            "Both parts are sums over the steps: take the mean of both.",
        ),
        (
            _gradient_with(_mean_over_actions),
            "You divide by the number of actions too: add over the actions, and take the mean "
            "over the steps alone.",
        ),
        (
            _gradient_with(_taken),
            "You count the sampled action alone, times its probability: add over all actions of a "
            "step.",
        ),
        (
            _gradient_with(lambda logits, actions: entropy(logits.T).mean()),
            "The softmax runs over the steps: take it over the actions, axis -1.",
        ),
    ],
)
