"""The algorithms, as generators: each yields its Progress after every update and does nothing else.

To cancel, stop iterating; to pause, wait; to step, call next once. Plots, panels, tests and
benchmarks are all consumers of the same generators.
"""

import copy
import itertools
import math
from collections import deque
from contextlib import closing
from typing import NamedTuple

import torch

from helpers.errors import (
    SlipError,
    check_count,
    check_fraction,
    check_not_negative,
    check_positive,
)
from helpers.losses import (
    entropy,
    log_prob,
    masked_mean,
    normalise,
    policy_gradient_loss,
    value_loss,
)
from helpers.networks import Actor, Body, Critic, clip_gradients, make_optimiser
from helpers.returns import discounted_returns, gae
from helpers.rollout import collect, make_envs, play_episodes

# What CartPole wants beyond a2c's textbook defaults; notebooks/04_a2c.ipynb takes it apart.
CARTPOLE = {
    "envs": 32,
    "rollout_steps": 64,
    "total_steps": 200_000,
    "lr": 0.025,
    "lr_decay": True,
    "critic_lr_scale": 2.0,
    "gamma": 0.99,
    "lam": 1.0,
    "hidden": (16,),
    "reward_scale": 0.1,
    "normalise_advantages": True,
}


class Progress(NamedTuple):
    """How training stands after an update. K is the number of agents."""

    steps: int  # environment steps so far, of each agent
    fraction: float  # of the whole run, 1.0 at its end
    recent_returns: torch.Tensor  # [K] mean undiscounted return of the last 50 episodes; NaN before
    policy_loss: torch.Tensor  # [K]
    value_loss: torch.Tensor  # [K], NaN without a critic
    entropy: torch.Tensor  # [K] mean entropy of the policy, in nats
    actor: Actor  # a snapshot, which later updates do not touch
    episodes: int  # ended so far, of each agent; the mean, in whole numbers

    def words(self):
        """How it is going: what went wrong with how many agents, and the others' mean return."""
        lost = ~self.policy_loss.isfinite()
        fixed = (self.entropy < 1e-3) & ~lost
        sentences = []
        if lost.any():
            sentences.append(
                f"Diverged: the loss of {_some_of(lost)} is no longer a number. "
                "Lower the learning rate."
            )
        if fixed.any():
            sentences.append(
                f"The policy of {_some_of(fixed)} has become deterministic (entropy below 0.001): "
                "it no longer explores, so it can hardly learn. Lower the learning rate."
            )
        others = ~(lost | fixed)
        known = self.recent_returns[others & ~self.recent_returns.isnan()]
        if len(known):
            whose = "Mean" if others.all() else "The others' mean"
            sentences.append(f"{whose} return of recent training episodes: {known.mean():.1f}.")
        elif others.any():
            sentences.append("No episode has ended yet.")
        return " ".join(sentences)


def _some_of(agents):
    """So many of the agents, [K] of truths, in words."""
    count = len(agents)
    return "the agent" if count == 1 else f"{int(agents.sum())} of {count} agents"


def reinforce(
    env_id,
    *,
    env_options=None,
    agents=1,
    seed=0,
    gamma=0.99,
    lr=1e-2,
    updates=100,
    envs=8,
    baseline=False,
    entropy_coef=0.0,
    value_coef=0.5,
    max_grad_norm=0.5,
    hidden=(64, 64),
    lr_decay=False,
    critic_lr_scale=1.0,
    reward_scale=1.0,
    normalise_advantages=False,
):
    """REINFORCE with reward-to-go: a generator that yields a Progress after each update.

    Each update plays one whole episode in each of `envs` environments an agent. Without a critic
    there is nothing to bootstrap from: a time limit ends the return like any other end.
    baseline: subtract a learned V(s), a Critic fitted to the returns. Other arguments as for a2c.
    The factor gamma^t in front of the gradient is left out, as is usual; the loss is a mean over time
    steps, so its gradient is that of the expected return divided by the mean length of an episode.
    Raises SlipError, at the first step, for an argument that makes no sense.

    Williams 1992; Sutton & Barto 2018, section 13.4. Derived in notebooks/02_reinforce.ipynb.
    """
    _check_run(agents, seed, gamma, lr, envs, max_grad_norm)
    _check_weights(entropy_coef, value_coef, critic_lr_scale, reward_scale)
    check_count("updates", updates)
    seed = int(seed)  # Gymnasium and PyTorch take no whole number of NumPy's
    generator = torch.Generator().manual_seed(seed)
    with closing(make_envs(env_id, agents * envs, env_options)) as vector:
        actor, critic = _networks(vector, agents, hidden, False, generator)
        critic = critic if baseline else None
        optimiser = make_optimiser(actor, critic, lr=lr, critic_lr_scale=critic_lr_scale)
        recent, steps = _RecentReturns(agents), 0
        for update in range(updates):
            rollout = play_episodes(
                vector, actor, seed=None if update else seed, generator=generator
            )
            returns = discounted_returns(rollout.rewards * reward_scale, gamma)
            values = critic(rollout.observations[:-1]) if baseline else None
            _set_lr(optimiser, 1 - update / updates if lr_decay else 1.0)
            losses = _learn(
                actor,
                optimiser,
                rollout,
                values,
                returns,
                returns - values.detach() if baseline else returns,
                entropy_coef=entropy_coef,
                value_coef=value_coef,
                max_grad_norm=max_grad_norm,
                normalise_advantages=normalise_advantages,
            )
            steps += int(rollout.valid.sum()) // agents
            yield _progress(steps, update + 1, updates, recent, rollout, losses, actor)


def a2c(
    env_id,
    *,
    env_options=None,
    agents=1,
    seed=0,
    gamma=0.99,
    lr=7e-4,
    total_steps=100_000,
    envs=8,
    rollout_steps=5,
    lam=1.0,
    entropy_coef=0.0,
    value_coef=0.5,
    max_grad_norm=0.5,
    hidden=(64, 64),
    shared_body=False,
    lr_decay=False,
    critic_lr_scale=1.0,
    reward_scale=1.0,
    normalise_advantages=False,
):
    """Advantage actor-critic (A2C): a generator that yields a Progress after each update.

    env_id: a Gymnasium environment with vector observations and discrete actions; env_options: a
        dictionary of its own keyword arguments, as {"size": 7} for GridWorld-v0.
    agents: K independent agents, trained side by side. seed: of everything random; at least 0.
    gamma: discount; lam: GAE's lambda; both in [0, 1].
    lr: the initial learning rate of Adam; lr_decay: let it fall linearly to 0.
    total_steps: environment steps of each agent, rounded up to whole updates.
    envs, rollout_steps: each update uses `rollout_steps` steps of `envs` environments an agent.
    hidden: widths of the hidden layers; shared_body: actor and critic share them.
    critic_lr_scale: the learning rate of the critic's own layers, relative to lr.
    reward_scale: rewards are multiplied by it for learning; the returns shown are not.
    Raises SlipError, at the first step, for an argument that makes no sense.

    Mnih et al. 2016 (A3C, algorithm S3), made synchronous; GAE from Schulman et al. 2016.
    Derived in notebooks/04_a2c.ipynb.
    """
    _check_run(agents, seed, gamma, lr, envs, max_grad_norm)
    _check_weights(entropy_coef, value_coef, critic_lr_scale, reward_scale)
    check_count("total_steps", total_steps)
    check_count("rollout_steps", rollout_steps)
    check_fraction("lam", lam)
    seed = int(seed)
    generator = torch.Generator().manual_seed(seed)
    with closing(make_envs(env_id, agents * envs, env_options)) as vector:
        actor, critic = _networks(vector, agents, hidden, shared_body, generator)
        optimiser = make_optimiser(actor, critic, lr=lr, critic_lr_scale=critic_lr_scale)
        updates = math.ceil(total_steps / (envs * rollout_steps))
        recent = _RecentReturns(agents)
        rollouts = collect(vector, actor, steps=rollout_steps, seed=seed, generator=generator)
        for update, rollout in enumerate(itertools.islice(rollouts, updates)):
            _set_lr(optimiser, 1 - update / updates if lr_decay else 1.0)
            losses = a2c_update(
                actor,
                critic,
                optimiser,
                rollout,
                gamma=gamma,
                lam=lam,
                reward_scale=reward_scale,
                entropy_coef=entropy_coef,
                value_coef=value_coef,
                max_grad_norm=max_grad_norm,
                normalise_advantages=normalise_advantages,
            )
            steps = (update + 1) * envs * rollout_steps
            yield _progress(steps, update + 1, updates, recent, rollout, losses, actor)


def a2c_update(actor, critic, optimiser, rollout, *, gamma, lam, reward_scale=1.0, **options):
    """One gradient step on one Rollout: returns (policy loss, value loss, entropy), [K] each.

    options: entropy_coef, value_coef, max_grad_norm, normalise_advantages, as for a2c.
    Losses are summed over agents; means, normalisation and clipping stay within one.
    """
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
    entropy_coef,
    value_coef,
    max_grad_norm,
    normalise_advantages,
):
    valid = rollout.valid
    if normalise_advantages:
        advantages = normalise(advantages, valid)
    logits = actor(rollout.observations[:-1])
    policy = policy_gradient_loss(log_prob(logits, rollout.actions), advantages, valid)
    value = torch.full_like(policy, torch.nan)
    mean_entropy = masked_mean(entropy(logits), valid)
    loss = policy - entropy_coef * mean_entropy
    if values is not None:
        value = value_loss(values, returns, valid)
        loss = loss + value_coef * value
    optimiser.zero_grad()
    loss.sum().backward()
    clip_gradients(optimiser, max_grad_norm)
    optimiser.step()
    return policy.detach(), value.detach(), mean_entropy.detach()


@torch.no_grad()
def evaluate(actor, env_id, *, env_options=None, episodes=100, seed=0):
    """Undiscounted returns of fresh episodes, [K, episodes]; actions are sampled from the policy.

    NaN for an agent whose parameters are no longer numbers. Raises SlipError for what is no Actor,
    does not fit the environment, or plays an episode without an end.
    Solved, in this course: a mean over 100 of them of at least 475 on CartPole-v1.
    """
    check_count("episodes", episodes)
    check_count("seed", seed, least=0)
    if not isinstance(actor, Actor):
        raise SlipError(f"evaluate needs an Actor, but got {type(actor).__name__}.")
    agents, seed = actor.agents or 1, int(seed)
    generator = torch.Generator().manual_seed(seed)
    with closing(make_envs(env_id, agents * episodes, env_options)) as vector:
        rollout = play_episodes(vector, actor, seed=seed, generator=generator)
    returns = rollout.rewards.sum(0).reshape(agents, episodes)
    sums = sum((each.flatten(1).sum(1) for each in actor.parameters()), torch.zeros(agents))  # [K]
    return returns.masked_fill(~sums.isfinite()[:, None], torch.nan)


class _RecentReturns:
    """The mean return of each agent's last 50 episodes, and how many have ended."""

    def __init__(self, agents):
        self.ended = 0  # of all agents together
        self._episodes = [deque(maxlen=50) for _ in range(agents)]

    def add(self, rollout):
        """Take in the episodes that ended in a Rollout; returns the means, [K], NaN where none."""
        for k, episodes in enumerate(self._episodes):
            returns = rollout.episode_returns[:, k]
            ended = returns[~returns.isnan()].tolist()
            episodes.extend(ended)
            self.ended += len(ended)
        return torch.tensor([sum(e) / len(e) if e else math.nan for e in self._episodes])


def _check_run(agents, seed, gamma, lr, envs, max_grad_norm):
    check_count("agents", agents)
    check_count("seed", seed, least=0)
    check_count("envs", envs)
    check_fraction("gamma", gamma)
    check_positive("lr", lr)
    check_positive("max_grad_norm", max_grad_norm)


def _check_weights(entropy_coef, value_coef, critic_lr_scale, reward_scale):
    check_not_negative("entropy_coef", entropy_coef)
    check_not_negative("value_coef", value_coef)
    check_not_negative("critic_lr_scale", critic_lr_scale)  # at 0 the critic stays as it is
    check_positive("reward_scale", reward_scale)


def _networks(envs, agents, hidden, shared_body, generator):
    features, actions = envs.single_observation_space.shape[0], int(envs.single_action_space.n)
    options = {"hidden": hidden, "agents": agents, "generator": generator}
    if shared_body:
        options["body"] = Body(features, **options)
    return Actor(features, actions, **options), Critic(features, **options)


def _set_lr(optimiser, factor):
    for group in optimiser.param_groups:
        group["lr"] = group["initial_lr"] * factor


def _progress(steps, update, updates, recent, rollout, losses, actor):
    returns, fraction = recent.add(rollout), update / updates
    episodes = recent.ended // len(returns)
    return Progress(steps, fraction, returns, *losses, copy.deepcopy(actor), episodes)
