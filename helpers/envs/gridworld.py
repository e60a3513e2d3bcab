"""An empty square grid: from one corner to the opposite one."""

import numpy as np
import torch

from helpers.envs.tabular import TabularEnv, TabularVectorEnv
from helpers.errors import check_count
from helpers.exact import MDP

MOVES = ((0, 1), (1, 0), (0, -1), (-1, 0))  # (x, y) steps of the actions: up, right, down, left


def grid(size=5, *, step_reward=-0.01, goal_reward=1.0):
    """size * size cells; (x, y) is state y * size + x. The start is (0, 0), at the bottom left.

    Actions: 0 up (y + 1), 1 right (x + 1), 2 down, 3 left; bumping into the edge stays.
    The step that enters the goal (size - 1, size - 1) pays goal_reward and ends the episode, every
    other pays step_reward. Raises SlipError for a size below 2.
    For size 5 and gamma .99: V* of the start .8641307, V of the uniform policy -.0964725.
    """
    check_count("size", size, least=2)
    cells = size * size
    transitions = torch.zeros(cells, 4, cells, dtype=torch.float64)
    for state in range(cells):
        y, x = divmod(state, size)
        for action, (dx, dy) in enumerate(MOVES):
            after = min(max(y + dy, 0), size - 1) * size + min(max(x + dx, 0), size - 1)
            transitions[state, action, after] = 1
    rewards = torch.full_like(transitions, step_reward)
    rewards[:, :, -1] = goal_reward
    start = torch.zeros(cells, dtype=torch.float64)
    start[0] = 1
    return MDP(transitions, rewards, torch.arange(cells) == cells - 1, start)


def coordinates(size=5):
    """What the agent sees: (x, y) of each state, scaled to [-1, 1]; [size * size, 2] float32."""
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    return np.stack([np.tile(axis, size), np.repeat(axis, size)], -1)


class GridWorld(TabularEnv):
    """One episode at a time; registered as GridWorld-v0, which truncates after 1000 steps.

    gymnasium.make("GridWorld-v0", size=..., step_reward=..., goal_reward=...) as for grid.
    """

    def __init__(self, size=5, *, render_mode=None, **rewards):
        super().__init__(
            grid(size, **rewards), coordinates(size), layout=(size, size), render_mode=render_mode
        )


class GridWorldVector(TabularVectorEnv):
    """Many episodes at a time."""

    def __init__(self, num_envs, size=5, *, max_episode_steps=None, **rewards):
        super().__init__(
            num_envs, grid(size, **rewards), coordinates(size), max_episode_steps=max_episode_steps
        )
