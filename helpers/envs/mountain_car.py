"""Gymnasium's mountain car in vectorised form: many episodes at a time, without a loop over them."""

from functools import partial

import numpy as np
from gymnasium.spaces import Box, Discrete

from helpers.envs.functional import vectorised
from helpers.errors import check_not_negative

LEFT_END, RIGHT_END, GOAL, MOST_SPEED = -1.2, 0.6, 0.5, 0.07
FORCE, GRAVITY = 0.001, 0.0025


class MountainCar:
    r"""A car in a valley, too weak to drive straight up to the flag: it has to gather swing first.

    A state is [..., 2]: position x, from -1.2 to 0.6, and velocity v, from -0.07 to 0.07, which is
    also what is seen. Actions [...] are 0 push to the left, 1 none, 2 push to the right. A step is
    $v \leftarrow v + 0.001\,(a - 1) - 0.0025 \cos 3x$, then $x \leftarrow x + v$, both kept within
    their bounds; a car that meets the left end stops. A step costs 1. The end is at x >= 0.5 with
    v >= goal_velocity.
    goal_velocity: at least 0; SlipError otherwise.

    The formulas, constants and first states of gymnasium.envs.classic_control.mountain_car.
    """

    observation_space = Box(
        np.float32([LEFT_END, -MOST_SPEED]), np.float32([RIGHT_END, MOST_SPEED])
    )
    action_space = Discrete(3)

    def __init__(self, goal_velocity=0.0):
        check_not_negative("goal_velocity", goal_velocity)
        self.goal_velocity = goal_velocity

    def initial(self, shape, generator):
        return np.stack([generator.uniform(-0.6, -0.4, shape), np.zeros(shape)], -1)

    def transition(self, states, actions, generator):
        position, velocity = states[..., 0], states[..., 1]
        velocity = velocity + ((actions - 1.0) * FORCE - GRAVITY * np.cos(3 * position))
        velocity = np.clip(velocity, -MOST_SPEED, MOST_SPEED)
        position = np.clip(position + velocity, LEFT_END, RIGHT_END)
        velocity = np.where((position == LEFT_END) & (velocity < 0), 0.0, velocity)
        terminated = (position >= GOAL) & (velocity >= self.goal_velocity)
        return np.stack([position, velocity], -1), np.full(position.shape, -1.0), terminated

    def observation(self, states):
        return states.astype(np.float32)


vector = partial(vectorised, MountainCar)  # registered as course/MountainCar-v0
