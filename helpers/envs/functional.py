"""Gymnasium environments made of dynamics on arrays: the same rules, one episode or many at a time.

Dynamics are an object that keeps no episode of its own, with

observation_space, action_space: of one episode.
initial(shape, generator): the first states of that many episodes. shape is () or (B,), and so the
    states are an array [...] or [..., features], or a structured one, [...] with named parts.
transition(states, actions, generator): new states, rewards [...] and whether that was the end [...],
    all in arrays of their own. Actions are [...], or [..., numbers] where they are Box actions.
observation(states): what is seen there, [..., features], in an array of its own.
render(state, mode): one episode as text ("ansi") or as a picture ("rgb_array").

The names are those of gymnasium.experimental.functional.FuncEnv, whose transition gives the new
state alone. There is no time limit in them: gymnasium.make and the vector form add it.
"""

from typing import ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Discrete, MultiDiscrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from helpers.errors import SlipError, check_count, check_shape


class FunctionalEnv(gymnasium.Env):
    """One episode at a time; `state` is where it stands. A subclass says which dynamics it plays.

    render_mode: one of metadata["render_modes"]. All other arguments go to make_dynamics.
    """

    metadata: ClassVar = {"render_modes": ["ansi", "rgb_array"], "render_fps": 4}

    def __init__(self, *arguments, render_mode=None, **settings):
        self.dynamics = self.make_dynamics(*arguments, **settings)
        self.observation_space = self.dynamics.observation_space
        self.action_space = self.dynamics.action_space
        self.render_mode = render_mode
        self.state, self._over = None, True

    @staticmethod
    def make_dynamics(*arguments, **settings):
        """The dynamics with these settings."""
        raise NotImplementedError

    @classmethod
    def vector(cls, num_envs, *arguments, **settings):
        """The vector form of the same dynamics: a FunctionalVectorEnv."""
        return vectorised(cls.make_dynamics, num_envs, *arguments, **settings)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state, self._over = self.dynamics.initial((), self.np_random), False
        return self.dynamics.observation(self.state), {}

    def step(self, action):
        if self._over:
            raise SlipError("No episode is running: call reset() before step().")
        action = _checked(action, self.action_space)
        self.state, reward, over = self.dynamics.transition(self.state, action, self.np_random)
        self._over = bool(over)
        return self.dynamics.observation(self.state), float(reward), self._over, False, {}

    def render(self):
        return self.dynamics.render(self.state, self.render_mode)


class FunctionalVectorEnv(VectorEnv):
    """num_envs episodes at a time, in NumPy without a loop over them; `states` is where they stand.

    max_episode_steps: when to truncate, or None for never.
    NEXT_STEP reset, as Gymnasium's SyncVectorEnv: the step after an episode's end ignores the
    action and returns the reset observation, reward 0 and both flags False.
    All environments draw from one generator.
    """

    metadata: ClassVar = {"autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(self, num_envs, dynamics, *, max_episode_steps=None):
        check_count("num_envs", num_envs)
        if max_episode_steps is not None:
            check_count("max_episode_steps", max_episode_steps)
        self.num_envs, self.max_episode_steps = num_envs, max_episode_steps or np.inf
        self.dynamics, self.states = dynamics, None
        self.single_observation_space = dynamics.observation_space
        self.single_action_space = dynamics.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.states = self.dynamics.initial((self.num_envs,), self.np_random)
        self._steps = np.zeros(self.num_envs, np.int64)
        self._ended = np.zeros(self.num_envs, bool)
        return self.dynamics.observation(self.states), {}

    def step(self, actions):
        if self.states is None:
            raise SlipError("No episode is running: call reset() before step().")
        resets = self._ended
        actions = _checked(actions, self.single_action_space, resets)
        states, rewards, terminated = self.dynamics.transition(self.states, actions, self.np_random)
        self._steps += 1
        if resets.any():
            states[resets] = self.dynamics.initial((resets.sum(),), self.np_random)
            rewards[resets], terminated[resets], self._steps[resets] = 0, False, 0
        self.states = states
        truncated = self._steps >= self.max_episode_steps
        self._ended = terminated | truncated
        return self.dynamics.observation(states), rewards, terminated, truncated, {}


def vectorised(make_dynamics, num_envs, *arguments, max_episode_steps=None, **settings):
    """num_envs episodes of the dynamics with these settings: a FunctionalVectorEnv."""
    dynamics = make_dynamics(*arguments, **settings)
    return FunctionalVectorEnv(num_envs, dynamics, max_episode_steps=max_episode_steps)


def _checked(actions, space, ignored=np.False_):
    """Actions as an array, 0 where they are `ignored`; SlipError if there are others than `space`'s.

    Box actions may lie outside their bounds: what becomes of them is for the dynamics to say.
    """
    actions = np.array(actions)
    check_shape("actions", actions, (*ignored.shape, *space.shape), "one for each environment")
    actions[ignored] = 0
    if isinstance(space, Discrete | MultiDiscrete):
        most = np.max(space.n if isinstance(space, Discrete) else space.nvec) - 1
        whole = actions.dtype.kind in "iu"
        if not (whole and ((actions >= 0) & (actions <= most)).all()):
            raise SlipError(
                f"An action must be a whole number from 0 to {most}, but got {actions}."
            )
    elif not (actions.dtype.kind in "iuf" and np.isfinite(actions).all()):
        raise SlipError(f"An action must be made of finite numbers, but got {actions}.")
    return actions
