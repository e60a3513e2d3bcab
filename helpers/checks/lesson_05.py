"""The checks of lesson 05: the entropy's gradient, the soft-optimal policy, the idle bonus."""

import numpy as np
import torch
import torch.nn.functional as F

from helpers.checks.core import Check, numbers
from helpers.checks.slips import EXP, LOG_OF_0, Formula, pairs, plain_softmax
from helpers.losses import entropy, log_prob

_entropy_gradient = Formula(
    "logits",
    p=lambda c: c.logits.softmax(0),
    log_p=lambda c: c.logits.log_softmax(0),
    H=lambda c: entropy(c.logits),
    answer=lambda c: -c.p * (c.log_p + c.H),
)

entropy_gradient = Check(
    "5.1",
    solution=_entropy_gradient,
    example=_entropy_gradient.case([0.0, 1.0, 2.0]),
    edges=[
        _entropy_gradient.case([200.0, 199.0]),
        _entropy_gradient.case([200.0, 199.0, -200.0]),
        _entropy_gradient.case([3.0]),
        _entropy_gradient.case(torch.linspace(-9, 9, 12)),
    ],
    draw=lambda rng: {"logits": numbers(rng, rng.integers(2, 6), low=-2, high=2)},
    mistakes=pairs(
        _entropy_gradient.then(answer=torch.neg),
        "The sign is the wrong way round: what surprises more than average is pushed up.",
        _entropy_gradient.but(H=lambda c: 0),
        "These are the summands of the entropy: H is missing in the bracket.",
        _entropy_gradient.but(H=lambda c: 1),
        "You kept the 1 of the product rule: it drops out, and H comes in its place.",
        _entropy_gradient.but(answer=lambda c: -(c.log_p + 1)),
        "That is the gradient for the probabilities: go on through the softmax to the logits.",
        _entropy_gradient.then(H=torch.neg),
        "The sign of H is wrong: it is the sum of p log p with a minus in front.",
        _entropy_gradient.but(p=lambda c: 1),
        "The factor p is missing: each action is pushed in proportion to its probability.",
        _entropy_gradient.but(log_p=lambda c: c.logits),
        "You use the logits where the log-probabilities belong: take their log_softmax.",
        _entropy_gradient.but(H=lambda c: -c.log_p.mean()),
        "In the mean surprise H each action counts with its probability.",
        entropy,
        "That is the entropy itself: its gradient has an entry for each logit.",
        _entropy_gradient.but(p=lambda c: plain_softmax(c.logits)),
        EXP,
        _entropy_gradient.but(log_p=lambda c: c.p.log()),
        LOG_OF_0,
    ),
)


_soft_optimal = Formula(
    "rewards tau",
    exponents=lambda c: (c.rewards - c.rewards.max()) / c.tau,
    weights=lambda c: c.exponents.exp(),
    answer=lambda c: c.weights / c.weights.sum(),
)


def _exponents(make):
    return _soft_optimal.but(exponents=lambda c: make(c.rewards, c.tau))


def _greedy(rewards, tau):
    return F.one_hot(rewards.argmax(), len(rewards))


def _greedy_on_overflow(rewards, tau):
    overflows = (rewards / tau).exp().isinf().any()
    return (_greedy if overflows else _soft_optimal)(rewards, tau)


def _draw_rewards(rng):
    tau = rng.uniform(0.2, 0.9) if rng.random() < 0.5 else rng.uniform(1.2, 3)
    tenths = rng.choice(np.arange(-50, 51), rng.integers(2, 6), replace=False)  # no two are equal
    return _rewards(tenths / 10, tau=round(tau, 1))


def _rewards(rewards, tau):
    return {"rewards": torch.tensor(rewards, dtype=torch.float32), "tau": tau}


soft_optimal = Check(
    "5.2",
    solution=_soft_optimal,
    example=_rewards([50.0, 49.0, 48.0], tau=0.5),  # exp(100): too large
    edges=[
        _rewards([1000.0, 999.0, 998.0], tau=1.0),
        _rewards([2000.0, 0.0, 0.0], tau=1.0),  # the mean taken off, exp(1333): too large
        _rewards([200.0, 0.0, -200.0], tau=100.0),
        _rewards([0.125, 0.0625, -0.25], tau=0.0625),
        _rewards([3.0], tau=2.0),
        _rewards(np.linspace(-1, 1, 12), tau=0.5),
    ],
    draw=_draw_rewards,
    mistakes=pairs(
        _exponents(lambda r, tau: r / tau),
        "e to the 100 is too large for a float32: take the largest reward off first, or use softmax.",
        _exponents(lambda r, tau: r.double() / tau),
        "e to the 710 is too large for a float64 too: make 0 the largest exponent.",
        [
            _exponents(lambda r, tau: (r - r.mean()) / tau),
            _exponents(lambda r, tau: (r - r.mean()).double() / tau),
            _exponents(lambda r, tau: (r - r.min()) / tau),
            _exponents(lambda r, tau: (r - r.min()).double() / tau),
        ],
        "Take off the maximum: neither mean nor minimum bounds the exponent.",
        _exponents(lambda r, tau: r / tau - r.max()),
        "Take the largest reward off before you divide by tau: then the largest exponent is 0.",
        _exponents(lambda r, tau: r - r.max()),
        "That is the softmax of the rewards as they are: divide all of them by tau.",
        _exponents(lambda r, tau: (r - r.max()) * tau),
        "You multiply by tau: divide by it, since a larger bonus evens the policy out.",
        _exponents(lambda r, tau: (r.min() - r) / tau),
        "The sign is the wrong way round: a larger reward makes an action likelier.",
        _greedy,
        "That is the best policy without a bonus: with one, no action has probability 0.",
        _greedy_on_overflow,
        "Where e to a power overflows, you take the best action alone: take the maximum off instead.",
        _soft_optimal.but(answer=lambda c: c.weights),
        "These are the weights: divide by their sum.",
        _soft_optimal.then(answer=torch.log),
        "These are the log-probabilities: return the probabilities themselves.",
        lambda rewards, tau: tau * torch.logsumexp(rewards / tau, 0),
        "That is the best objective, tau log Z: return the policy that reaches it.",
        _soft_optimal.but(weights=lambda c: c.rewards),
        "That shares out in proportion to the rewards: take e to the reward over tau.",
    ),
)


_repaired_bonus = Formula(
    "logits actions advantages entropy_coef",
    logits=lambda c: c.logits.clone().requires_grad_(),
    policy=lambda c: -(c.advantages * log_prob(c.logits, c.actions)).mean(),
    bonus=lambda c: entropy(c.logits).mean(),
    loss=lambda c: c.policy - c.entropy_coef * c.bonus,
    answer=lambda c: torch.autograd.grad(c.loss, c.logits)[0],
)


def _bonus(make):
    """Another bonus, made of p and log p of all actions [T, A]."""
    return _repaired_bonus.but(bonus=lambda c: make(c.logits.softmax(-1), c.logits.log_softmax(-1)))


def _bonus_of_taken(make):
    """Another bonus, made of log p of the actions taken [T]."""
    return _repaired_bonus.but(bonus=lambda c: make(log_prob(c.logits, c.actions)))


def _steps(rng, steps, count, spread, entropy_coef):
    logits = numbers(rng, steps, count, low=-spread, high=spread)
    actions = rng.integers(0, count, steps).tolist()
    return _repaired_bonus.case(logits, actions, numbers(rng, steps), entropy_coef)


repaired_bonus = Check(
    "5.3",
    solution=_repaired_bonus,
    example=_repaired_bonus.case(
        [[0.0, 1.0], [2.0, 0.0], [0.0, -1.0]], [1, 0, 1], [1.0, -2.0, 0.0], 0.5
    ),
    edges=[
        _steps(np.random.default_rng(0), 1, 3, 2, 0.0),
        _steps(np.random.default_rng(0), 12, 4, 2, 0.5),
        _steps(np.random.default_rng(0), 2, 3, 200, 1.0),
    ],
    draw=lambda rng: _steps(rng, *rng.integers(2, [6, 5]), 2, round(rng.uniform(0.2, 2), 1)),
    mistakes=pairs(
        _bonus_of_taken(lambda log_p: -log_p.mean()),
        "The bug is still there: the sampled log-probability has a gradient of zero on average.",
        _repaired_bonus.then(bonus=torch.neg),
        "The bug is gone, but the bonus is a fine now: the loss gets the entropy with a minus.",
        _repaired_bonus.then(answer=torch.neg),
        "The bug is gone, but the sign of it all has turned: this is a loss, to be descended.",
        _repaired_bonus.then(bonus=torch.Tensor.detach),
        "No bonus arrives: the entropy is detached, or its probabilities are constants in it.",
        _repaired_bonus.but(bonus=lambda c: entropy(c.logits).sum()),
        "You add the entropy over the steps: take the mean, as in the policy loss.",
        _repaired_bonus.but(loss=lambda c: len(c.logits) * (c.policy - c.entropy_coef * c.bonus)),
        "Both parts are sums over the steps: take the mean of both.",
        [
            _bonus(lambda p, log_p: -(p * log_p).mean()),
            _bonus(lambda p, log_p: -(p * log_p).sum(0).mean()),
        ],
        "You take a mean over the actions: add over axis -1, then take the mean.",
        [
            _bonus_of_taken(lambda log_p: -(log_p.exp() * log_p).mean()),
            _bonus_of_taken(lambda log_p: -(log_p.exp() * log_p).sum()),
        ],
        "You count the sampled action alone: add p log p over all actions of a step.",
        _bonus(lambda p, log_p: -(p * p.log()).sum(-1).mean()),
        LOG_OF_0,
        _repaired_bonus.but(bonus=lambda c: entropy(c.logits.T).mean()),
        "The softmax runs over the steps: take it over the actions, axis -1.",
    ),
)
