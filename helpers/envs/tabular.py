"""Gymnasium environments that play a finite Markov decision process, one episode or many at a time.

Both forms draw from the table that helpers.exact solves, so their statistics are the exact ones.
"""

from typing import ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from helpers.errors import SlipError, check_count, check_shape
from helpers.exact import check_mdp

AGENT, GOAL, FLOOR = (0, 114, 178), (230, 159, 0), (235, 235, 235)  # Okabe and Ito's palette
COLOURS = {
    "A": AGENT,
    "G": GOAL,
    "T": (213, 94, 0),
    "#": (80, 80, 80),
}  # of all other letters: FLOOR
CELL_PIXELS = 32


class TabularEnv(gymnasium.Env):
    """One episode at a time of an MDP of S states and A actions; `state` is the state's number.

    mdp: an exact.MDP. observations: [S, F] float32, row s is what the agent sees in state s.
    layout: (rows, columns) with S = rows * columns, to draw state s at row s // columns counted
        from the bottom; one row by default.
    marks: a letter for each state, drawn in its place: G a goal, T a trap, # a wall, . or another
        letter the floor. By default G where an episode ends and . elsewhere.
    render_mode: "ansi" (text; A the agent) or "rgb_array" (32 by 32 pixels a cell).
    There is no time limit: gymnasium.make wraps one around it.
    """

    metadata: ClassVar = {"render_modes": ["ansi", "rgb_array"], "render_fps": 4}

    def __init__(self, mdp, observations, *, layout=None, marks=None, render_mode=None):
        self._table = _Table(mdp, observations)
        self.observation_space, self.action_space = self._table.spaces()
        self.layout = layout or (1, len(self._table.terminal))
        self.marks = marks or "".join(".G"[end] for end in self._table.terminal.astype(int))
        self.render_mode = render_mode
        self.state = None

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = self._table.first(self.np_random)
        return self._table.observations[self.state].copy(), {}

    def step(self, action):
        if self.state is None or self._table.terminal[self.state]:
            raise SlipError("No episode is running: call reset() before step().")
        self._table.check_actions(np.asarray(action), ())
        self.state, reward = self._table.move(self.state, action, self.np_random)
        observation = self._table.observations[self.state].copy()
        return observation, float(reward), bool(self._table.terminal[self.state]), False, {}

    def render(self):
        marks = np.array(list(self.marks))
        marks[self.state] = "A"
        rows = marks.reshape(self.layout)[::-1]
        if self.render_mode == "ansi":
            return "\n".join(" ".join(row) for row in rows)
        picture = np.array([[COLOURS.get(m, FLOOR) for m in row] for row in rows], np.uint8)
        picture = picture.repeat(CELL_PIXELS, 0).repeat(CELL_PIXELS, 1)
        picture[::CELL_PIXELS] = picture[:, ::CELL_PIXELS] = 255  # lines between the cells
        return picture


class TabularVectorEnv(VectorEnv):
    """num_envs episodes at a time, in NumPy without a loop over them; `states` [num_envs].

    mdp, observations: as for TabularEnv. max_episode_steps: when to truncate, or None for never.
    NEXT_STEP reset, as Gymnasium's SyncVectorEnv: the step after an episode's end ignores the
    action and returns the reset observation, reward 0 and both flags False.
    All environments draw from one generator.
    """

    metadata: ClassVar = {"autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(self, num_envs, mdp, observations, *, max_episode_steps=None):
        check_count("num_envs", num_envs)
        if max_episode_steps is not None:
            check_count("max_episode_steps", max_episode_steps)
        self.num_envs, self.max_episode_steps = num_envs, max_episode_steps or np.inf
        self._table = _Table(mdp, observations)
        self.single_observation_space, self.single_action_space = self._table.spaces()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.states = None

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.states = self._table.first(self.np_random, (self.num_envs,))
        self._steps = np.zeros(self.num_envs, np.int64)
        self._ended = np.zeros(self.num_envs, bool)
        return self._table.observations[self.states], {}

    def step(self, actions):
        if self.states is None:
            raise SlipError("No episode is running: call reset() before step().")
        resets, actions = self._ended, np.asarray(actions)
        self._table.check_actions(actions, (self.num_envs,), ignored=resets)
        states, rewards = self._table.move(
            self.states, np.where(resets, 0, actions), self.np_random
        )
        self._steps += 1
        if resets.any():
            states[resets] = self._table.first(self.np_random, (resets.sum(),))
            rewards[resets] = 0
            self._steps[resets] = 0
        self.states = states
        terminated = self._table.terminal[states]
        truncated = self._steps >= self.max_episode_steps
        self._ended = terminated | truncated
        return self._table.observations[states], rewards, terminated, truncated, {}


class _Table:
    """An MDP as NumPy arrays, and draws from it: for one state (a number) or an array of them."""

    def __init__(self, mdp, observations):
        mdp = check_mdp(mdp)
        self.rewards, self.terminal = mdp.rewards.numpy(), mdp.terminal.numpy()
        self.observations = np.asarray(observations, np.float32)
        states = len(self.terminal)
        if self.observations.ndim != 2:
            raise SlipError(
                f"observations must be a table with one row for each of the {states} states, "
                f"but has {self.observations.ndim} axes."
            )
        features = self.observations.shape[1]
        check_shape("observations", self.observations, (states, features), "state, feature")
        self._start, self._transitions = _cumulative(mdp.start), _cumulative(mdp.transitions)

    def spaces(self):
        """What is observed and what can be done, for one episode."""
        low, high = min(0, self.observations.min()), max(1, self.observations.max())
        features, actions = self.observations.shape[1:], self.rewards.shape[1]
        return Box(low, high, features, np.float32), Discrete(actions)

    def first(self, generator, shape=()):
        return _draw(np.broadcast_to(self._start, (*shape, len(self._start))), generator)

    def move(self, states, actions, generator):
        after = _draw(self._transitions[states, actions], generator)
        return after, self.rewards[states, actions, after]

    def check_actions(self, actions, shape, ignored=False):
        count = self.rewards.shape[1]
        check_shape("actions", actions, shape, "one for each environment")
        whole = actions.dtype.kind in "iu"
        if not (whole and (((actions >= 0) & (actions < count)) | ignored).all()):
            raise SlipError(
                f"An action must be a whole number from 0 to {count - 1}, but got {actions}."
            )


def _cumulative(probabilities):
    """Cumulative sums along the last axis, ending in exactly 1."""
    sums = probabilities.cumsum(-1)
    return (sums / sums[..., -1:]).numpy()


def _draw(cumulative, generator):
    """One index for each row of cumulative probabilities: [..., S] -> [...] (inverse transform)."""
    uniform = generator.random((*cumulative.shape[:-1], 1))
    return (cumulative <= uniform).sum(-1)
