"""The robots' world to play in: as PettingZoo's ParallelEnv, and as many teams at a time."""

from typing import ClassVar

import numpy as np
from gymnasium.spaces import Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from pettingzoo import ParallelEnv

from helpers.envs.functional import FunctionalEnv
from helpers.envs.robots import ACTIONS, Robots
from helpers.errors import SlipError, check_count, check_shape

MOST_STEPS = 50  # of an episode


class Team(FunctionalEnv):
    """One team as one player that moves all robots: Team(render_mode=..., **world) as for Robots."""

    make_dynamics = Robots


class RobotsEnv(ParallelEnv):
    """One team at a time in PettingZoo's parallel form: agents "robot_0", "robot_1", ...

    Each is paid the team's reward. max_steps: when to truncate. world: Robots' arguments.
    team: the Team that plays; team.state holds the robots' cells.
    """

    metadata: ClassVar = {"name": "robots_v0", **FunctionalEnv.metadata}

    def __init__(self, *, max_steps=MOST_STEPS, render_mode=None, **world):
        check_count("max_steps", max_steps)
        self.team = Team(render_mode=render_mode, **world)
        self.max_steps, self.render_mode, self.agents = max_steps, render_mode, []
        dynamics = self.team.dynamics
        self.possible_agents = [f"robot_{i}" for i in range(dynamics.robots)]
        self.observation_spaces = dict.fromkeys(self.possible_agents, dynamics.one_sees)
        self.action_spaces = {name: Discrete(ACTIONS) for name in self.possible_agents}

    def observation_space(self, agent):
        return self.observation_spaces[agent]

    def action_space(self, agent):
        return self.action_spaces[agent]

    def reset(self, seed=None, options=None):
        self.agents, self._steps = [*self.possible_agents], 0
        seen, _ = self.team.reset(seed=seed)
        return dict(zip(self.agents, seen)), {name: {} for name in self.agents}

    def step(self, actions):
        names = self.agents
        if not names:
            raise SlipError("No episode is running: call reset() before step().")
        if set(actions) != set(names):
            raise SlipError(f"Each of {names} needs an action, but got some for {[*actions]}.")
        seen, reward, over, *_ = self.team.step([actions[name] for name in names])
        self._steps += 1
        late = self._steps >= self.max_steps
        self.agents = [] if over or late else names
        told = (dict.fromkeys(names, what) for what in (reward, over, late))
        return dict(zip(names, seen)), *told, {name: {} for name in names}

    def render(self):
        return self.team.render()


class RobotsVector(VectorEnv):
    """Many teams at a time, each robot a row, for rollout.collect and all that stands on it.

    Rows are [..., N, teams]: in a block of N * teams rows first the first robot of each of `teams`
    teams, then the second of each, and so on. With K agents of B rows each (see rollout.collect)
    a team shares one agent if B = N * teams, and each robot has its own if B = teams.
    Resets, time limit and generator as FunctionalVectorEnv's. Raises SlipError where num_envs is no
    multiple of N * teams. world: Robots' arguments. Registered as course/Robots-v0.
    """

    metadata: ClassVar = {"autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(self, num_envs, *, teams=1, max_episode_steps=None, **world):
        check_count("teams", teams)
        robots = Robots(**world).robots
        if num_envs % (robots * teams):
            raise SlipError(
                f"Each robot is a row, and {teams} teams of {robots} a block of rows: the number of "
                f"rows must be a multiple of {robots * teams}, but is {num_envs}."
            )
        self.num_envs, self._block = num_envs, (-1, robots, teams)
        self.teams = Team.vector(num_envs // robots, max_episode_steps=max_episode_steps, **world)
        self.single_observation_space = self.teams.dynamics.one_sees
        self.single_action_space = Discrete(ACTIONS)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(self, *, seed=None, options=None):
        return self._rows(self.teams.reset(seed=seed)[0]), {}

    def step(self, actions):
        actions = np.asarray(actions)
        check_shape("actions", actions, (self.num_envs,), "one for each row")
        robots = self._block[1]
        moves = actions.reshape(self._block).swapaxes(1, 2).reshape(-1, robots)
        seen, *told, _ = self.teams.step(moves)
        told = (self._rows(what[:, None].repeat(robots, 1)) for what in told)
        return self._rows(seen), *told, {}

    def _rows(self, of_teams):
        """Of all teams and robots, [teams, N, ...], to rows."""
        teams = self._block[-1]
        blocks = of_teams.reshape(-1, teams, *of_teams.shape[1:]).swapaxes(1, 2)
        return blocks.reshape(self.num_envs, *of_teams.shape[2:])
