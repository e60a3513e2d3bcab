"""The short corridor with switched actions: Sutton & Barto 2018, example 13.1."""

import numpy as np
import torch

from helpers.envs.functional import FunctionalEnv
from helpers.envs.tabular import Table
from helpers.exact import MDP

LEFT, RIGHT = 0, 1
OBSERVATIONS = np.ones((4, 1), np.float32)  # all states look alike, so the best policy is random


def short_corridor():
    """States 0, 1, 2 and the goal 3; start in 0; reward -1 on every step, the last one included.

    Actions: 0 left, 1 right. Left of state 0 is a wall; in state 1 the two are reversed.
    For a policy that goes right with probability p everywhere, V(0) = (2p - 4) / (p (1 - p)) at
    gamma 1: at best -11.657, at p = 2 - sqrt(2).
    """
    transitions = torch.zeros(4, 2, 4, dtype=torch.float64)
    for state, left, right in ((0, 0, 1), (1, 2, 0), (2, 1, 3), (3, 3, 3)):
        transitions[state, LEFT, left] = transitions[state, RIGHT, right] = 1
    terminal = torch.tensor([False, False, False, True])
    start = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64)
    return MDP(transitions, torch.full_like(transitions, -1), terminal, start)


class ShortCorridor(FunctionalEnv):
    """One episode at a time; registered as ShortCorridor-v0. The observation is [1.0] everywhere.

    The book has no time limit; the registered form truncates after 1000 steps.
    """

    @staticmethod
    def make_dynamics():
        return Table(short_corridor(), OBSERVATIONS)


ShortCorridorVector = ShortCorridor.vector
