"""Robots on a grid with walls that must all stand on targets at once: one world, several players.

What a move does stands in one place, Robots.transition: the exact table here, and the forms for
PettingZoo and for training in robot_teams, are made of it.
"""

import itertools

import numpy as np
import torch
from gymnasium.spaces import Box, MultiDiscrete

from helpers.envs.gridworld import MOVES, check_rewards, moved, read_map
from helpers.envs.tabular import drawn
from helpers.errors import SlipError, check_count
from helpers.exact import MDP

ACTIONS = 1 + len(MOVES)
DOOR_MAP = (
    "..#.G",
    ".....",
    "..#..",
    "..#.G",
)  # as it looks: the top row first. Two rooms, and a door that lets one robot through at a time


class Robots:
    """The dynamics of a team of N robots (see envs.functional); a state is their cells, [..., N].

    rows: the world as text, "." floor, "#" wall, "G" target; cells are numbered as in gridworld.grid.
    robots: N, two or three. They start on different cells; all such states but ends are equally likely.
    All move at once, actions [..., N]: 0 stay, 1 up, 2 right, 3 down, 4 left. A move fails if it leads
        into a wall, the edge or a robot that stays, if another robot moves to the same cell, or if
        two would swap. Whose move fails, stays, and bumps.
    The team has one reward. The step after which each robot stands on a target pays goal_reward and
        ends the episode, every other pays step_reward; each bump adds bump_reward.
    sight: how many cells away, to the side and up or down, a robot sees others; None: everywhere.
    observation: [..., N, F], of each robot: its own cell as zeros with a one, then each other's
        cell (all zeros if out of sight) in their order, then its own number as zeros with a one.
    Raises SlipError for a map, a number of robots, a sight or rewards that make no sense.
    """

    def __init__(
        self,
        rows=DOOR_MAP,
        *,
        robots=2,
        sight=None,
        step_reward=-0.02,
        bump_reward=-0.1,
        goal_reward=1.0,
    ):
        check_rewards(step_reward=step_reward, bump_reward=bump_reward, goal_reward=goal_reward)
        self.cells, self.robots, self.sight = read_map(rows, ".#G"), robots, sight
        _check_team(self.cells, robots, sight)
        self._pay = step_reward, bump_reward, goal_reward
        marks, moves = self.cells.ravel(), range(len(MOVES))
        self._targets, free = marks == "G", np.flatnonzero(marks != "#")
        behind = [[s, *(moved(self.cells, s, a) for a in moves)] for s in range(len(marks))]
        self._behind = np.array(behind)  # [cell, action] the cell behind a move
        self.joint_states = np.array([*itertools.permutations(free, robots)])
        self._starts = self.joint_states[~self.ends(self.joint_states)]
        other = ~np.eye(robots, dtype=bool)
        self._order = np.argsort(other, kind="stable")  # [i] all robots, i first
        features = robots * len(marks) + robots
        self.one_sees = Box(0, 1, (features,), np.float32)  # the space of a robot's own
        self.observation_space = Box(0, 1, (robots, features), np.float32)
        self.action_space = MultiDiscrete([ACTIONS] * robots)

    def ends(self, states):
        """Whether all robots stand on targets, [...]."""
        return self._targets[states].all(-1)

    def initial(self, shape, generator):
        return self._starts[generator.integers(len(self._starts), size=shape)]

    def transition(self, states, actions, generator=None):
        after = self._behind[states, actions]
        for _ in range(self.robots):  # whoever stays may be in the way of the next
            after = np.where(_in_the_way(states, after), states, after)
        bumps, ends = ((after == states) & (actions != 0)).sum(-1), self.ends(after)
        step, bump, goal = self._pay
        return after, np.where(ends, goal, step) + bump * bumps, ends

    def observation(self, states):
        cells = states[..., self._order]  # [..., N, N]
        seen = np.eye(self.cells.size, dtype=np.float32)[cells]
        if self.sight is not None:
            places = np.stack(np.divmod(cells, self.cells.shape[1]), -1)
            seen[abs(places - places[..., :1, :]).max(-1) > self.sight] = 0
        numbers = np.broadcast_to(np.eye(self.robots, dtype=np.float32), cells.shape)
        return np.concatenate([seen.reshape(*cells.shape[:-1], -1), numbers], -1)

    def render(self, state, mode):
        marks = self.cells.copy()
        marks.flat[state] = [str(i) for i in range(self.robots)]
        return drawn(marks[::-1], mode)


def team_mdp(**world):
    """The two robots' world as one table over joint states and joint actions, for helpers.exact.

    world: Robots' arguments. State s is Robots(**world).joint_states[s], any two different free
    cells; in action 5 a + b the first robot does a and the second b. Raises SlipError for three
    robots.
    For the map above V*, averaged over the start, is .7568872 at gamma .95 and .924 at gamma 1.
    """
    team = Robots(**world)
    if team.robots != 2:
        raise SlipError("The table is for two robots: that of three would not fit into memory.")
    moves = np.stack(np.divmod(np.arange(ACTIONS**2), ACTIONS), -1)
    after, rewards, _ = team.transition(team.joint_states[:, None], moves)
    known, reached = (x @ [team.cells.size, 1] for x in (team.joint_states, after))  # known rises
    reached = torch.from_numpy(np.searchsorted(known, reached))[..., None]
    transitions = torch.zeros(*reached.shape[:2], len(known), dtype=torch.float64)
    transitions.scatter_(-1, reached, 1)
    rewards = torch.from_numpy(rewards)[..., None].expand_as(transitions)
    terminal = torch.from_numpy(team.ends(team.joint_states))
    return MDP(transitions, rewards, terminal, (~terminal).double() / (~terminal).sum())


def _in_the_way(here, after):
    """Whether a robot would end where another does, or swap with it: cells [..., N] twice."""
    same = after[..., :, None] == after[..., None, :]
    swap = (after[..., :, None] == here[..., None, :]) & (here[..., :, None] == after[..., None, :])
    return ((same | swap) & ~np.eye(here.shape[-1], dtype=bool)).any(-1)


def _check_team(cells, robots, sight):
    check_count("robots", robots)
    if robots not in (2, 3):
        raise SlipError(f"A team is two or three robots, not {robots}.")
    if sight is not None:
        check_count("sight", sight, least=0)
    targets, free = (cells == "G").sum(), (cells != "#").sum()
    if not robots <= targets < free:
        raise SlipError(
            f"{robots} robots need as many targets, G, and another free cell: this map has {targets} "
            f"targets and {free} free cells."
        )
