"""Logs: what somebody once did, and what came of it. Read in notebooks/12_offline_rl.ipynb."""

from typing import NamedTuple

import numpy as np
import torch

from helpers.errors import SlipError, check_count

FIELDS = ("observations", "actions", "rewards", "terminations", "truncations")  # of EpisodeData


class Log(NamedTuple):
    """N steps: those of an episode stand one after another, and its last has one of the two flags.

    next_observations is where a step led, an episode's true last state included.
    """

    observations: torch.Tensor  # [N, features] float32
    actions: torch.Tensor  # [N] int64
    rewards: torch.Tensor  # [N] float32
    next_observations: torch.Tensor  # [N, features] float32
    terminated: torch.Tensor  # [N] bool: the episode is over, nothing follows
    truncated: torch.Tensor  # [N] bool: a time limit or the recording's end; it would have gone on


def from_rollout(rollout):
    """The Log of one agent's Rollout [T, B]: one environment's steps, then the next one's.

    Steps that are no experience (not valid) are left out; each environment's last step is truncated
    unless it terminated. Raises SlipError for several agents, and as check_log does.
    """
    if rollout.rewards.dim() != 2:
        raise SlipError("A log is of one agent: take [:, k] of each field of the Rollout, agent k.")
    before, after, valid = rollout.observations[:-1], rollout.observations[1:], rollout.valid.T
    flags = rollout.terminated, rollout.truncated
    fields = (before, rollout.actions, rollout.rewards, after, *flags)
    log = Log(*(field.transpose(0, 1)[valid] for field in fields))
    lasts = valid.sum(1).cumsum(0)[valid.any(1)] - 1
    log.truncated[lasts] |= ~log.terminated[lasts]
    return check_log(log)


def from_episodes(episodes, states=None):
    """The Log of episodes as Minari keeps them: a MinariDataset, or a list of its EpisodeData.

    episodes: objects with observations [n+1, features], and actions, rewards, terminations and
        truncations [n] each.
    states: how many states there are, where an observation is the number of one; it then becomes
        a vector of zeros with a one in that place.
    Raises SlipError for each episode as check_log does, for other objects, and for observations of
    unequal lengths or of one number without `states`.
    """
    read = [_read(f"Episode {i}", episode, states) for i, episode in enumerate(episodes)]
    if len({log.observations.shape[1] for log in read}) != 1:
        raise SlipError("A log needs an episode, and equally many features in all observations.")
    return Log(*map(torch.cat, zip(*read)))


def check_log(log, name="The log"):
    """The log, as tensors of the types that Log names.

    Raises SlipError where it has no step, fields of unequal length, what is no number, observations
    that are no vectors, actions other than whole numbers from 0 up, NaN or infinity, or no end.
    """
    try:
        log = Log(*map(np.asarray, log))
    except ValueError:  # NumPy's
        raise SlipError(f"{name} has rows of unequal length.") from None
    if any(field.dtype.kind not in "biuf" for field in log):
        raise SlipError(f"{name} must hold numbers and flags, and nothing else.")
    shapes = [list(field.shape) for field in log]
    if any(shape[:1] != shapes[2] for shape in shapes) or shapes[4:] != [shapes[2]] * 2:
        raise SlipError(f"{name} has fields of unequal length, of the shapes {shapes}.")
    if not log.rewards.size:
        raise SlipError(f"{name} is empty: it needs at least one step.")
    if not log.observations.ndim == log.next_observations.ndim == 2:
        shape = log.observations.shape
        raise SlipError(f"{name} must show vectors [N, features], not {shape}: no images.")
    if log.actions.ndim != 1 or log.actions.dtype.kind not in "iu" or log.actions.min() < 0:
        raise SlipError(f"{name} has other actions than whole numbers from 0 up, one a step.")
    if not all(np.isfinite(field).all() for field in log):
        raise SlipError(f"{name} holds NaN or infinity, from which nothing can be learned.")
    if not (log.terminated[-1] or log.truncated[-1]):
        raise SlipError(f"{name} has no end: its last step must be terminated or truncated.")
    kinds = (np.float32, np.int64, np.float32, np.float32, bool, bool)
    return Log(*(torch.tensor(field.astype(kind)) for field, kind in zip(log, kinds)))


def summary(log, actions=None):
    """What is in a log, in words: steps, episodes, how they ended, how often each action was taken.

    actions: how many there are, so that one which nobody took is told.
    A sentence each says what makes a log hard to learn from: no step terminated, or one action is
    all that was done. Raises SlipError as check_log does, and for more actions than `actions`.
    """
    log = check_log(log)
    steps, least = len(log.actions), int(log.actions.max()) + 1
    check_count("actions", least if actions is None else actions, least)
    counts = torch.bincount(log.actions, minlength=actions or 0).tolist()
    over, ends = int(log.terminated.sum()), int((log.terminated | log.truncated).sum())
    lines = [f"{steps} steps in {ends} episodes: {over} terminated, {ends - over} cut off."]
    lines += [f"Action {a}: {n} of {steps} steps ({n / steps:.0%})." for a, n in enumerate(counts)]
    if not over:
        lines.append("No step terminated: nothing in this log says what an end is worth.")
    if max(counts) == steps:
        lines.append("Only one action was taken: nothing says what another would do.")
    return "\n".join(lines)


def _read(name, episode, states):
    """One episode as a Log."""
    try:
        observations, actions, rewards, *flags = (np.array(getattr(episode, f)) for f in FIELDS)
        before, after = observations[:-1], observations[1:]
    except (AttributeError, ValueError, IndexError):  # another object, or parts with names
        raise SlipError(f"{name} must have one array each of {', '.join(FIELDS)}.") from None
    if observations.ndim == 1:
        before, after = (_one_hot(name, numbers, states) for numbers in (before, after))
    return check_log(Log(before, actions, rewards, after, *flags), name)


def _one_hot(name, numbers, states):
    if states is None:
        raise SlipError(f"{name} shows one number a step: say of how many states, by states=...")
    check_count("states", states)
    if not np.isin(numbers, range(states)).all():
        raise SlipError(f"{name} shows other numbers than those of {states} states, from 0 up.")
    return np.eye(states, dtype=np.float32)[numbers.astype(int)]
