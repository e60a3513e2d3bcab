"""Gymnasium environments that play a finite Markov decision process, one episode or many at a time.

Both forms draw from the table that helpers.exact solves, so their statistics are the exact ones.
"""

import numpy as np
from gymnasium.spaces import Box, Discrete

from helpers.envs.functional import FunctionalEnv
from helpers.errors import check_shape
from helpers.exact import check_mdp

AGENT, GOAL, FLOOR = (0, 114, 178), (230, 159, 0), (235, 235, 235)  # Okabe and Ito's palette
COLOURS = {"A": AGENT, "G": GOAL, "T": (213, 94, 0), "#": (80, 80, 80)}  # of all others: FLOOR
COLOURS |= {"0": AGENT, "1": (0, 158, 115), "2": (204, 121, 167)}  # robots of a team
CELL_PIXELS = 32


class Table:
    """The dynamics of an MDP of S states and A actions (see envs.functional); a state is its number.

    mdp: an exact.MDP. observations: [S, F] float32, row s is what the agent sees in state s.
    layout: (rows, columns) with S = rows * columns, to draw state s at row s // columns counted
        from the bottom; one row by default.
    marks: a letter for each state, drawn in its place: G a goal, T a trap, # a wall, . or another
        letter the floor. By default G where an episode ends and . elsewhere.
    Drawn as text (A the agent), or in 32 by 32 pixels a cell.
    """

    def __init__(self, mdp, observations, *, layout=None, marks=None):
        mdp = check_mdp(mdp)
        self.rewards, self.terminal = mdp.rewards.numpy(), mdp.terminal.numpy()
        self.observations = np.asarray(observations, np.float32)
        table = len(self.terminal), *self.observations.shape[-1:]
        check_shape("observations", self.observations, table, "state, feature")
        self._start, self._transitions = _cumulative(mdp.start), _cumulative(mdp.transitions)
        low, high = min(0, self.observations.min()), max(1, self.observations.max())
        self.observation_space = Box(low, high, self.observations.shape[1:], np.float32)
        self.action_space = Discrete(self.rewards.shape[1])
        self.layout = layout or (1, len(self.terminal))
        self.marks = marks or "".join(".G"[end] for end in self.terminal.astype(int))

    def initial(self, shape, generator):
        return _draw(np.broadcast_to(self._start, (*shape, len(self._start))), generator)

    def transition(self, states, actions, generator):
        after = _draw(self._transitions[states, actions], generator)
        return after, self.rewards[states, actions, after], self.terminal[after]

    def observation(self, states):
        return self.observations.take(states, 0)

    def render(self, state, mode):
        marks = np.array(list(self.marks))
        marks[state] = "A"
        return drawn(marks.reshape(self.layout)[::-1], mode)


class TabularEnv(FunctionalEnv):
    """One episode at a time of any table: TabularEnv(mdp, observations, ...) as for Table."""

    make_dynamics = Table


TabularVectorEnv = TabularEnv.vector  # many episodes at a time: (num_envs, mdp, observations, ...)


def drawn(rows, mode):
    """Letters [rows, columns], the top row first, as text ("ansi") or as a picture ("rgb_array")."""
    if mode == "ansi":
        return "\n".join(" ".join(row) for row in rows)
    picture = np.array([[COLOURS.get(m, FLOOR) for m in row] for row in rows], np.uint8)
    picture = picture.repeat(CELL_PIXELS, 0).repeat(CELL_PIXELS, 1)
    picture[::CELL_PIXELS] = picture[:, ::CELL_PIXELS] = 255  # lines between the cells
    return picture


def _cumulative(probabilities):
    """Cumulative sums along the last axis, ending in exactly 1."""
    sums = probabilities.cumsum(-1)
    return (sums / sums[..., -1:]).numpy()


def _draw(cumulative, generator):
    """One index for each row of cumulative probabilities: [..., S] -> [...] (inverse transform)."""
    uniform = generator.random((*cumulative.shape[:-1], 1))
    return (cumulative <= uniform).sum(-1)
