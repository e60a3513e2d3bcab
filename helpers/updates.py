"""One update each: what an algorithm learns from one Rollout, as a function of the networks.

Losses are summed over agents; means, normalisation and clipping stay within one. The defaults are
those of the generators in helpers.training.
"""

import torch

from helpers.errors import check_fraction, check_not_negative
from helpers.losses import masked_mean, normalise, policy_gradient_loss, value_loss
from helpers.networks import clip_gradients, per_agent
from helpers.returns import discounted_returns, gae


def reinforce_update(actor, critic, optimiser, rollout, *, gamma=0.99, reward_scale=1.0, **options):
    """One gradient step of REINFORCE on whole episodes: as a2c_update, with returns for targets.

    critic: None, or a baseline V(s) that is subtracted from the returns and fitted to them.
    Derived in notebooks/02_reinforce.ipynb.
    """
    gamma = _fraction("gamma", gamma, actor)
    returns = discounted_returns(rollout.rewards * reward_scale, gamma)
    values = critic and critic(rollout.observations[:-1])
    advantages = returns - values.detach() if critic else returns
    return _learn(actor, optimiser, rollout, values, returns, advantages, **options)


def a2c_update(
    actor, critic, optimiser, rollout, *, gamma=0.99, lam=1.0, reward_scale=1.0, **options
):
    """One gradient step on one Rollout: returns (policy loss, value loss, entropy), [K] each.

    gamma, lam: numbers, or K numbers, one an agent. options: entropy_coef (likewise), value_coef,
    max_grad_norm (math.inf: no clipping), normalise_advantages. Defaults and meaning as for a2c.
    Derived in notebooks/04_a2c.ipynb.
    """
    gamma, lam = _fraction("gamma", gamma, actor), _fraction("lam", lam, actor)
    values = critic(rollout.observations)
    known = values.detach()  # no gradient flows through targets
    ends = rollout.terminated, rollout.truncated
    advantages = gae(rollout.rewards * reward_scale, known, *ends, gamma=gamma, lam=lam)
    returns = advantages + known[:-1]
    return _learn(actor, optimiser, rollout, values[:-1], returns, advantages, **options)


def _learn(
    actor,
    optimiser,
    rollout,
    values,
    returns,
    advantages,
    *,
    entropy_coef=0.0,
    value_coef=0.5,
    max_grad_norm=0.5,
    normalise_advantages=False,
):
    entropy_coef = per_agent("entropy_coef", entropy_coef, actor.agents or 1, check_not_negative)
    valid = rollout.valid
    if normalise_advantages:
        advantages = normalise(advantages, valid)
    outputs = actor(rollout.observations[:-1])
    log_probs = actor.policy.log_prob(outputs, rollout.actions)
    policy = policy_gradient_loss(log_probs, advantages, valid)
    value = torch.full_like(policy, torch.nan)
    idle = not isinstance(entropy_coef, torch.Tensor) and entropy_coef == 0
    entropies = actor.policy.entropy(outputs.detach() if idle else outputs)  # no slope times 0
    mean_entropy = masked_mean(entropies, valid)
    loss = policy - entropy_coef * mean_entropy
    if values is not None:
        value = value_loss(values, returns, valid)
        loss = loss + value_coef * value
    optimiser.zero_grad()
    loss.sum().backward()
    clip_gradients(optimiser, max_grad_norm)
    optimiser.step()
    return policy.detach(), value.detach(), mean_entropy.detach()


def _fraction(name, value, actor):
    """A number, or K of them as [K, 1], which broadcasts over each agent's environments."""
    value = per_agent(name, value, actor.agents or 1, check_fraction)
    return value[:, None] if isinstance(value, torch.Tensor) else value
