"""Acting in batched environments, and the record of it."""

from typing import NamedTuple

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode

from helpers.errors import SlipError, check_count
from helpers.policies import is_vector, policy_for

MOST_STEPS = 10_000  # of an episode that is played to its end: some environments have no time limit


class Rollout(NamedTuple):
    """What happened in T steps: [T, B] for one agent, [T, K, B] for K agents of B environments.

    Gymnasium's vector environments need one extra step to reset after an episode's end. That step
    ignores the action and is no experience: `valid` is False there, and losses and means leave it
    out.
    observations[t+1] is the state in which step t arrived, an episode's true last state included.
    """

    observations: torch.Tensor  # [T+1, ..., features] float32
    actions: torch.Tensor  # [T, ...] int64; or [T, ..., A] float32, as drawn: not yet clipped
    rewards: torch.Tensor  # [T, ...] float32
    terminated: torch.Tensor  # [T, ...] bool: the episode is over, nothing follows
    truncated: torch.Tensor  # [T, ...] bool: the time limit cut it off, it would have gone on
    valid: torch.Tensor  # [T, ...] bool
    episode_returns: torch.Tensor  # [T, ...] undiscounted, of the episode that ended here, or NaN


def make_envs(env_id, count, env_options=None):
    """`count` copies of a Gymnasium environment in one vector environment (NEXT_STEP reset).

    env_options: a dictionary of the environment's own keyword arguments.
    Uses the environment's own vectorised form where it has one. Raises SlipError for an id that
    Gymnasium does not know or that lacks a package, for spaces other than vectors in and a choice of
    actions or bounded numbers out, and for environments that reset in another way.
    """
    check_count("the number of environments", count)
    try:
        envs = gymnasium.make_vec(env_id, num_envs=count, **(env_options or {}))
    except gymnasium.error.DependencyNotInstalled as error:
        raise SlipError(f"{env_id} needs a package that is not installed: {error}") from None
    except gymnasium.error.Error as error:
        raise SlipError(
            f"Gymnasium knows no environment {env_id!r} ({error}). "
            'Check the spelling; "CartPole-v1" is one that it knows.'
        ) from None
    except TypeError as error:
        raise SlipError(f"env_options do not fit {env_id}: {error}.") from None
    if problem := _problem(env_id, envs):
        envs.close()
        raise SlipError(problem)
    return envs


def _problem(env_id, envs):
    """What keeps these environments from being used here, in words, or None."""
    observation_space, action_space = envs.single_observation_space, envs.single_action_space
    if len(observation_space.shape or ()) != 1:
        return (
            f"{env_id} does not fit: this course's networks read a vector of numbers, but it shows "
            f"{observation_space}."
        )
    if policy_for(action_space) is None:
        if is_vector(action_space):
            return (
                f"{env_id} does not fit: its actions have no bounds, {action_space}. Give its "
                "action_space finite ends, to which actions are then clipped."
            )
        return (
            f"{env_id} does not fit: this course's agents choose among finitely many actions "
            "(Discrete) or act by a vector of real numbers (a Box with one axis), but its actions "
            f"are {action_space}."
        )
    mode = envs.metadata.get("autoreset_mode")
    if mode != AutoresetMode.NEXT_STEP:
        return (
            f"{env_id} resets in the mode {mode}; this course reads experience in the mode "
            "NEXT_STEP, where a step of its own resets: make its vector environment so."
        )
    return None


def collect(envs, actor, *, steps, seed, generator, greedy=False):
    """Act forever: yields one Rollout of `steps` steps after another, with the actor as it then is.

    envs: from make_envs; with K agents, environments k*B to (k+1)*B-1 are agent k's.
    seed: of the environments. generator: torch.Generator from which the actions are drawn; greedy:
        leave their noise out, which gives the likeliest action, or a Gaussian's mean.
    Raises SlipError for an actor of another kind of actions, and for rewards that are no numbers.
    """
    space, shape = envs.single_action_space, _batch_shape(envs, actor)
    policy, size = _policy(space, actor)
    observation, _ = envs.reset(seed=seed)
    start = np.ones(envs.num_envs, bool)  # False where the coming step only resets
    running = np.zeros(envs.num_envs, np.float32)
    while True:
        flat = _empty_rollout(steps, envs, policy, size)
        rollout = Rollout(*(torch.from_numpy(x).unflatten(1, shape) for x in flat))  # same memory
        noise = policy.noise((steps, *shape, size), generator)
        if greedy:
            noise.zero_()
        for t in range(steps):
            flat.observations[t] = observation
            rollout.actions[t] = _act(actor, policy, rollout.observations[t], noise[t])
            actions = policy.to_env(flat.actions[t], space)
            observation, reward, terminated, truncated, _ = envs.step(actions)
            ended = terminated | truncated
            running += reward
            flat.rewards[t], flat.valid[t] = reward, start
            flat.terminated[t], flat.truncated[t] = terminated, truncated
            flat.episode_returns[t] = np.where(ended, running, np.nan)
            start = ~ended
            running *= start
        flat.observations[steps] = observation
        if not np.isfinite(flat.rewards).all():
            raise SlipError(
                "The environment paid a reward that is not a finite number, so nothing can be "
                "learned from it: look at its step function."
            )
        yield rollout


def play_episodes(envs, actor, *, seed, generator, greedy=False):
    """One whole episode in each environment, until the last has ended: a Rollout, padded.

    All episodes count, long ones included: to take the first to finish would favour the short.
    Rows after an episode's end are not valid and hold reward 0; greedy as for collect. Raises
    SlipError where an episode has not ended after MOST_STEPS steps.
    """
    parts, over = [], False
    options = {"seed": seed, "generator": generator, "greedy": greedy}
    for part in collect(envs, actor, steps=32, **options):
        parts.append(part)
        over = over | (part.terminated | part.truncated).any(0)
        if over.all():
            break
        if 32 * len(parts) >= MOST_STEPS:
            raise SlipError(
                f"An episode had not ended after {MOST_STEPS} steps, so its return is not known: "
                "register the environment with max_episode_steps, or learn from parts of episodes, "
                "as a2c does."
            )
    played = _join(parts)
    ends = played.terminated | played.truncated
    valid = ends.cumsum(0) - ends.int() == 0  # no end before this row
    masked = played._replace(
        rewards=played.rewards * valid,
        terminated=played.terminated & valid,
        truncated=played.truncated & valid,
        valid=valid,
        episode_returns=torch.where(valid, played.episode_returns, torch.nan),
    )
    steps = int(valid.flatten(1).any(1).sum())
    return Rollout(masked.observations[: steps + 1], *(field[:steps] for field in masked[1:]))


def collect_episodes(envs, actor, *, seed, generator):
    """Whole episodes forever: yields what play_episodes returns, again and again."""
    while True:
        yield play_episodes(envs, actor, seed=seed, generator=generator)
        seed = None  # the environments' own generators go on


@torch.no_grad()
def _act(actor, policy, observation, noise):
    return policy.sample(actor(observation), noise)


def _policy(space, actor):
    """What the environment's actions ask for; an actor that is no Actor is taken for such."""
    policy, size = policy_for(space)
    if getattr(actor, "policy", policy) is not policy:
        raise SlipError(
            f"This actor is a {actor.policy.__name__}, but the environment's actions, {space}, want "
            f"a {policy.__name__}: see Actor's argument policy."
        )
    return policy, size


def _batch_shape(envs, actor):
    return (
        (envs.num_envs,) if actor.agents is None else (actor.agents, envs.num_envs // actor.agents)
    )


def _join(parts):
    """Consecutive Rollouts as one: each begins with the state in which the one before it ended."""
    observations = [*(part.observations[:-1] for part in parts), parts[-1].observations[-1:]]
    others = zip(*(part[1:] for part in parts))
    return Rollout(torch.cat(observations), *(torch.cat(field) for field in others))


def _empty_rollout(steps, envs, policy, size):
    """A Rollout of NumPy arrays with one axis for all environments, to be filled step by step."""
    features = envs.single_observation_space.shape
    observations = np.empty((steps + 1, envs.num_envs, *features), np.float32)
    actions = np.empty((steps, envs.num_envs, *policy.shape(size)), policy.dtype)
    kinds = (np.float32, bool, bool, bool, np.float32)
    others = (np.empty((steps, envs.num_envs), kind) for kind in kinds)
    return Rollout(observations, actions, *others)
