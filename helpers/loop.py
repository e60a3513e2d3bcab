"""The loop under every algorithm: learn from one Rollout after another, and tell how it goes.

An algorithm is a way to act, which yields Rollouts, and an update, which learns from one. The loop
knows neither: helpers.training joins them, and so does a lesson that has its own.
"""

import math
from collections import deque
from itertools import islice
from typing import NamedTuple

import torch

from helpers.networks import Actor, Body, Critic, make_optimiser
from helpers.policies import policy_for


class Learner(NamedTuple):
    """What learns: one agent, or as many as the networks hold side by side."""

    actor: Actor
    critic: Critic | None
    optimiser: torch.optim.Optimizer


def make_learner(
    envs,
    *,
    agents,
    generator,
    lr,
    critic_lr_scale=1.0,
    hidden=(64, 64),
    shared_body=False,
    critic=True,
):
    """A Learner for environments from make_envs: networks that fit their spaces, and Adam.

    generator: torch.Generator of the initial weights; it is left in the same state with a critic and
    without. Other arguments as for training.a2c.
    """
    features = envs.single_observation_space.shape[0]
    policy, actions = policy_for(envs.single_action_space)
    options = {"hidden": hidden, "agents": agents, "generator": generator}
    if shared_body:
        options["body"] = Body(features, **options)
    actor = Actor(features, actions, policy=policy, **options)
    judge = Critic(features, **options)
    judge = judge if critic else None
    optimiser = make_optimiser(actor, judge, lr=lr, critic_lr_scale=critic_lr_scale)
    return Learner(actor, judge, optimiser)


def run(learner, rollouts, update, *, updates, lr_decay=False, padded=False):
    """Learn from one Rollout after another: a generator that yields a Progress after each update.

    learner: a Learner. rollouts: an iterator of them, as rollout.collect returns; the next is asked for
        when the last has been learned from, so that the learner's actor may act in it.
    update(actor, critic, optimiser, rollout): changes the networks, and returns (policy loss, value
        loss, entropy) and, if it clips ratios, the share that it clipped, [K] each; or None. What it
        does not return is NaN. functools.partial gives it settings.
    updates: how many. lr_decay: let the learning rates fall linearly to 0; else they stay untouched.
    padded: rollouts are whole episodes, and their rows after an end are no steps.
    """
    agents = learner.actor.agents or 1
    recent, steps, unknown = _RecentReturns(agents), 0, [torch.full((agents,), torch.nan)] * 4
    for n, rollout in enumerate(islice(rollouts, updates)):
        if lr_decay:
            _set_lr(learner.optimiser, 1 - n / updates)
        told = [torch.atleast_1d(x) for x in update(*learner, rollout) or ()]
        *losses, clipped = told + unknown[len(told) :]
        steps += int(rollout.valid.sum() if padded else rollout.valid.numel()) // agents
        returns, actor = recent.add(rollout), learner.actor.snapshot()
        episodes = recent.ended // agents
        yield Progress(steps, (n + 1) / updates, returns, *losses, actor, episodes, clipped)


def _set_lr(optimiser, factor):
    for group in optimiser.param_groups:
        group["lr"] = group["initial_lr"] * factor


class Progress(NamedTuple):
    """How training stands after an update. K is the number of agents."""

    steps: int  # so far, of each agent; those that only reset (a2c, ppo) are counted as well
    fraction: float  # of the whole run, 1.0 at its end
    recent_returns: torch.Tensor  # [K] mean undiscounted return of the last 50 episodes; NaN before
    policy_loss: torch.Tensor  # [K]
    value_loss: torch.Tensor  # [K], NaN without a critic
    entropy: torch.Tensor  # [K] mean entropy of the policy, in nats; a Gaussian's may be negative
    actor: Actor  # a snapshot, which later updates do not touch
    episodes: int  # ended so far, of each agent; the mean, in whole numbers
    clipped: torch.Tensor = torch.tensor(math.nan)  # [K] share of PPO's ratios; NaN for others

    def words(self):
        """How it is going: what went wrong with how many agents, and the others' mean return."""
        lost = ~self.policy_loss.isfinite()
        least = getattr(self.actor, "least_entropy", 1e-3)
        fixed = (self.entropy < least) & ~lost
        sentences = []
        if lost.any():
            sentences.append(diverged(f"the loss of {_some_of(lost)}"))
        if fixed.any():
            sentences.append(
                f"The policy of {_some_of(fixed)} has become deterministic (entropy below {least:.3g}): "
                "it no longer explores, so it can hardly learn. Lower the learning rate."
            )
        others = ~(lost | fixed)
        known = self.recent_returns[others & ~self.recent_returns.isnan()]
        if len(known):
            whose, mean = "Mean" if others.all() else "The others' mean", known.mean().item()
            told = f"{mean:.1f}" if abs(mean) >= 10 else f"{mean:.2f}"
            sentences.append(f"{whose} return of recent training episodes: {told}.")
        elif others.any():
            sentences.append("No episode has ended yet.")
        return " ".join(sentences)


def diverged(what):
    """The sentence on a run that came to nothing; what: "the policy", "the loss of 2 agents"."""
    return f"Diverged: {what} is no longer a number. Lower the learning rate."


def _some_of(agents):
    """So many of the agents, [K] of truths, in words."""
    count = len(agents)
    return "the agent" if count == 1 else f"{int(agents.sum())} of {count} agents"


class _RecentReturns:
    """The mean return of each agent's last 50 episodes, and how many have ended."""

    def __init__(self, agents):
        self.ended = 0  # of all agents together
        self._episodes = [deque(maxlen=50) for _ in range(agents)]

    def add(self, rollout):
        """Take in the episodes that ended in a Rollout; returns the means, [K], NaN where none."""
        agents = len(self._episodes)
        returns = rollout.episode_returns.reshape(-1, agents, rollout.rewards.shape[-1])
        returns = returns.movedim(1, 0).flatten(1)  # [K, T * B]
        known = ~returns.isnan()
        self.ended += int(known.sum())
        for episodes, ended in zip(self._episodes, returns[known].split(known.sum(1).tolist())):
            episodes.extend(ended.tolist())
        return torch.tensor([sum(e) / len(e) if e else math.nan for e in self._episodes])
