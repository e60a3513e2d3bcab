"""Grids of cells: an empty square, and one with walls, a trap and slippery ground."""

import math
from numbers import Real

import numpy as np
import torch

from helpers.envs.functional import FunctionalEnv
from helpers.envs.tabular import Table
from helpers.errors import SlipError, check_count, check_fraction
from helpers.exact import MDP

MOVES = ((0, 1), (1, 0), (0, -1), (-1, 0))  # (x, y) steps of the actions: up, right, down, left
TRAP_MAP = (
    ".....",
    ".###.",
    ".....",
    "S#T#G",
)  # as it looks: the top row first. A short way beside the trap, a long one far from it


def grid(size=5, *, step_reward=-0.01, goal_reward=1.0):
    """size * size cells; (x, y) is state y * size + x. The start is (0, 0), at the bottom left.

    Actions: 0 up (y + 1), 1 right (x + 1), 2 down, 3 left; bumping into the edge stays.
    The step that enters the goal (size - 1, size - 1) pays goal_reward and ends the episode, every
    other pays step_reward. Raises SlipError for a size below 2.
    For size 5 and gamma .99: V* of the start .8641307, V of the uniform policy -.0964725.
    """
    check_count("size", size, least=2)
    floor = "." * (size - 1)
    rows = [floor + "G", *["." + floor] * (size - 2), "S" + floor]
    return trap_grid(rows, slip=0.0, step_reward=step_reward, goal_reward=goal_reward)


def trap_grid(rows=TRAP_MAP, *, slip=0.2, step_reward=-0.01, goal_reward=1.0, trap_reward=-1.0):
    """A world drawn as text: "." floor, "#" wall, "S" start, "G" goal, "T" trap.

    rows: strings of one length, the top row first, with one S and at least one G. States and
        actions are those of grid: in a world W cells wide, (x, y) is state y * W + x.
    slip: the probability of slipping to one side or the other, each slip / 2, at right angles to
        the move that was chosen. Whoever bumps into a wall or the edge stays.
    Entering the goal pays goal_reward and entering a trap trap_reward, and either ends the episode;
    every other step pays step_reward, bumping too. Raises SlipError for a map that makes no sense,
    a slip outside [0, 1] and rewards that are no finite numbers.
    For the map above at gamma .99: V* of the start .7710515, at slip 0 .9019801.

    Russell & Norvig 2010, figure 17.3, with rows "...G", ".#.T", "S...", step_reward -.04,
    goal_reward .96 and trap_reward -1.04, since their cells pay on being left.
    """
    cells = map_cells(rows)
    check_fraction("slip", slip)
    check_rewards(step_reward=step_reward, goal_reward=goal_reward, trap_reward=trap_reward)
    marks = cells.ravel()
    transitions = torch.zeros(len(marks), 4, len(marks), dtype=torch.float64)
    for state, action in np.ndindex(len(marks), 4):
        for turn, share in ((0, 1 - slip), (1, slip / 2), (-1, slip / 2)):
            transitions[state, action, moved(cells, state, (action + turn) % 4)] += share
    rewards = torch.full_like(transitions, step_reward)
    for mark, reward in (("G", goal_reward), ("T", trap_reward)):
        rewards[:, :, marks == mark] = reward
    terminal = torch.from_numpy(np.isin(marks, list("GT#")))  # nobody is ever inside a wall
    return MDP(transitions, rewards, terminal, torch.from_numpy(marks == "S").double())


def map_cells(rows=TRAP_MAP):
    """The letters of a world drawn as text, [height, width] with y = 0 first: cells[y, x].

    Raises SlipError where the map makes no sense.
    """
    cells = read_map(rows, ".#SGT")
    if (cells == "S").sum() != 1 or "G" not in cells:
        raise SlipError("A map needs one start, S, and at least one goal, G.")
    return cells


def read_map(rows, letters):
    """As map_cells, of a world drawn with these letters, however many of each."""
    if not isinstance(rows, list | tuple) or not all(isinstance(row, str) for row in rows):
        raise SlipError('rows must be a list of strings, one for each row: ["..G", "S.#"].')
    if len({len(row) for row in rows}) != 1 or not rows[0]:
        raise SlipError(f"All rows of a map must have the same length, but it is {list(rows)}.")
    cells = np.array([list(row) for row in reversed(rows)])
    if unknown := set(cells.ravel().tolist()) - set(letters):
        raise SlipError(
            f"A map is drawn with {' '.join(letters)} only, but it also holds {sorted(unknown)}."
        )
    return cells


def check_rewards(**rewards):
    """Raise SlipError unless each is a finite number."""
    for name, reward in rewards.items():
        if not isinstance(reward, Real) or not math.isfinite(reward):
            raise SlipError(f"{name} must be a finite number, but is {reward!r}.")


def moved(cells, state, action):
    """The state behind one move that does not slip."""
    height, width = cells.shape
    y, x = divmod(state, width)
    dx, dy = MOVES[action]
    x, y = min(max(x + dx, 0), width - 1), min(max(y + dy, 0), height - 1)
    return state if cells[y, x] == "#" else y * width + x


def coordinates(size=5):
    """What the agent sees: (x, y) of each state, scaled to [-1, 1]; [size * size, 2] float32."""
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    return np.stack([np.tile(axis, size), np.repeat(axis, size)], -1)


class GridWorld(FunctionalEnv):
    """One episode at a time; registered as GridWorld-v0, which truncates after 1000 steps.

    gymnasium.make("GridWorld-v0", size=..., step_reward=..., goal_reward=...) as for grid.
    """

    @staticmethod
    def make_dynamics(size=5, **rewards):
        return Table(grid(size, **rewards), coordinates(size), layout=(size, size))


class TrapGridWorld(FunctionalEnv):
    """One episode at a time; registered as TrapGridWorld-v0, which truncates after 200 steps.

    gymnasium.make("TrapGridWorld-v0", rows=..., slip=..., trap_reward=..., ...) as for trap_grid.
    The observation says which cell it is: [S] zeros, with a one at the number of the state.
    """

    @staticmethod
    def make_dynamics(rows=TRAP_MAP, **options):
        cells = map_cells(rows)
        drawing = {"layout": cells.shape, "marks": "".join(cells.ravel())}
        return Table(trap_grid(rows, **options), np.eye(cells.size), **drawing)


GridWorldVector, TrapGridWorldVector = GridWorld.vector, TrapGridWorld.vector
