"""One update each: what an algorithm learns from one Rollout, as a function of the networks.

Losses are summed over agents; means, normalisation and clipping stay within one. The defaults are
those of the generators in helpers.training.
"""

from functools import partial
from typing import NamedTuple

import torch

from helpers.errors import (
    SlipError,
    check_clip,
    check_count,
    check_fraction,
    check_not_negative,
)
from helpers.losses import (
    clipped_loss,
    clipped_share,
    masked_mean,
    normalise,
    policy_gradient_loss,
    value_loss,
)
from helpers.networks import clip_gradients, per_agent
from helpers.returns import discounted_returns, gae


def reinforce_update(actor, critic, optimiser, rollout, *, gamma=0.99, reward_scale=1.0, **options):
    """One gradient step of REINFORCE on whole episodes: as a2c_update, with returns for targets.

    critic: None, or a baseline V(s) that is subtracted from the returns and fitted to them.
    Derived in notebooks/02_reinforce.ipynb.
    """
    gamma = _each("gamma", gamma, actor)
    returns = discounted_returns(rollout.rewards * reward_scale, gamma)
    values = critic and critic(rollout.observations[:-1])
    advantages = returns - values.detach() if critic else returns
    batch = _batch(rollout, returns, advantages)
    return _learn(actor, optimiser, batch, values, policy_gradient_loss, **options)[:3]


def a2c_update(
    actor, critic, optimiser, rollout, *, gamma=0.99, lam=1.0, reward_scale=1.0, **options
):
    """One gradient step on one Rollout: returns (policy loss, value loss, entropy), [K] each.

    gamma, lam: numbers, or K numbers, one an agent. options: entropy_coef (likewise), value_coef,
    max_grad_norm (math.inf: no clipping), normalise_advantages. Defaults and meaning as for a2c.
    Derived in notebooks/04_a2c.ipynb.
    """
    values = critic(rollout.observations)
    targets = _targets(actor, rollout, values.detach(), gamma, lam, reward_scale)
    batch = _batch(rollout, *targets)
    return _learn(actor, optimiser, batch, values[:-1], policy_gradient_loss, **options)[:3]


def ppo_update(
    actor,
    critic,
    optimiser,
    rollout,
    *,
    generator,
    gamma=0.99,
    lam=0.95,
    clip=0.2,
    epochs=10,
    minibatches=4,
    reward_scale=1.0,
    normalise_advantages=True,
    **options,
):
    """Many gradient steps of PPO on one Rollout: `epochs` passes over it, in `minibatches` parts.

    Log-probabilities of the old policy, advantages, their normalisation (over the whole rollout)
    and targets are computed once, before the first pass. In each pass every agent's steps are dealt
    out anew, alike for all agents, to parts that share none, and each part makes one step of the
    optimiser. generator: torch.Generator that deals them.
    clip: a number, or K numbers, one an agent. options: entropy_coef, value_coef, max_grad_norm.
    Returns (policy loss, value loss, entropy, share of the ratios outside the clip), [K] each, means
    over the last pass. Raises SlipError for more minibatches than steps.
    Derived in notebooks/09_ppo.ipynb.
    """
    clip = _each("clip", clip, actor, check_clip)
    _check_passes(epochs, minibatches, rollout.valid.numel() // (actor.agents or 1))
    with torch.no_grad():
        values, outputs = critic(rollout.observations), actor(rollout.observations[:-1])
        old_log_probs = actor.policy.log_prob(outputs, rollout.actions)
    returns, advantages = _targets(actor, rollout, values, gamma, lam, reward_scale)
    if normalise_advantages:
        advantages = normalise(advantages, rollout.valid)
    batch = _in_one_row(_batch(rollout, returns, advantages, old_log_probs), actor.agents)
    for _ in range(epochs):
        told = [
            _clipped_step(actor, critic, optimiser, part, clip=clip, **options)
            for part in _dealt(batch, minibatches, generator)
        ]
    return tuple(torch.stack(each).mean(0) for each in zip(*told))


class _Batch(NamedTuple):
    """Steps to learn from, [T, B] or [T, K, B] and what the names in a Rollout have beyond that."""

    observations: torch.Tensor
    actions: torch.Tensor
    valid: torch.Tensor
    returns: torch.Tensor
    advantages: torch.Tensor
    old_log_probs: torch.Tensor | None = None


def _batch(rollout, *targets):
    return _Batch(rollout.observations[:-1], rollout.actions, rollout.valid, *targets)


def _in_one_row(batch, agents):
    """An agent's steps along one axis: [T, K, B] to [1, K, T * B], or [T, B] to [1, T * B]."""
    if agents is None:
        return _Batch(*(x.flatten(0, 1)[None] for x in batch))
    return _Batch(*(x.transpose(0, 1).flatten(1, 2)[None] for x in batch))


def _dealt(batch, parts, generator):
    """The steps of _in_one_row in so many parts, by chance."""
    if parts == 1:
        return [batch]
    axis = batch.valid.dim() - 1
    order = torch.randperm(batch.valid.shape[axis], generator=generator)
    shares = order.tensor_split(parts)
    return [_Batch(*(x.index_select(axis, rows) for x in batch)) for rows in shares]


def _clipped_step(actor, critic, optimiser, batch, *, clip, **options):
    old_log_probs = batch.old_log_probs
    loss = partial(clipped_loss, old_log_probs=old_log_probs, clip=clip)
    values = critic(batch.observations)
    *losses, log_probs = _learn(actor, optimiser, batch, values, loss, **options)
    return *losses, clipped_share(log_probs, old_log_probs, batch.valid, clip=clip)


def _check_passes(epochs, minibatches, steps):
    check_count("epochs", epochs)
    check_count("minibatches", minibatches)
    if minibatches > steps:
        raise SlipError(
            f"An update has {steps} steps of an agent, too few for {minibatches} minibatches: take "
            "fewer minibatches, or more environments or steps."
        )


def _targets(actor, rollout, values, gamma, lam, reward_scale):
    """(returns, advantages) by GAE, from values through which no gradient flows."""
    gamma, lam = _each("gamma", gamma, actor), _each("lam", lam, actor)
    ends = rollout.terminated, rollout.truncated
    advantages = gae(rollout.rewards * reward_scale, values, *ends, gamma=gamma, lam=lam)
    return advantages + values[:-1], advantages


def _learn(
    actor,
    optimiser,
    batch,
    values,
    surrogate,
    *,
    entropy_coef=0.0,
    value_coef=0.5,
    max_grad_norm=0.5,
    normalise_advantages=False,
):
    """One gradient step: (policy loss, value loss, entropy), [K] each, and the log-probabilities.

    surrogate: the policy's loss, of log_probs, advantages= and valid=. values: None, or V(s).
    """
    entropy_coef = per_agent("entropy_coef", entropy_coef, actor.agents or 1, check_not_negative)
    valid, advantages = batch.valid, batch.advantages
    if normalise_advantages:
        advantages = normalise(advantages, valid)
    outputs = actor(batch.observations)
    log_probs = actor.policy.log_prob(outputs, batch.actions)
    policy = surrogate(log_probs, advantages=advantages, valid=valid)
    value = torch.full_like(policy, torch.nan)
    idle = not isinstance(entropy_coef, torch.Tensor) and entropy_coef == 0
    entropies = actor.policy.entropy(outputs.detach() if idle else outputs)  # no slope times 0
    mean_entropy = masked_mean(entropies, valid)
    loss = policy - entropy_coef * mean_entropy
    if values is not None:
        value = value_loss(values, batch.returns, valid)
        loss = loss + value_coef * value
    optimiser.zero_grad()
    loss.sum().backward()
    clip_gradients(optimiser, max_grad_norm)
    optimiser.step()
    return policy.detach(), value.detach(), mean_entropy.detach(), log_probs.detach()


def _each(name, value, actor, check=check_fraction):
    """A number, or K of them as [K, 1], which broadcasts over each agent's environments."""
    value = per_agent(name, value, actor.agents or 1, check)
    return value[:, None] if isinstance(value, torch.Tensor) else value
