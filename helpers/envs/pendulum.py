"""Gymnasium's pendulum in vectorised form: many episodes at a time, without a loop over them."""

import math
from functools import partial

import numpy as np
from gymnasium.spaces import Box

from helpers.envs.functional import vectorised
from helpers.errors import check_not_negative

MOST_TORQUE, MOST_SPEED, SECONDS = 2.0, 8.0, 0.05  # SECONDS: of a step


class Pendulum:
    r"""A rod of 1 m and 1 kg, to be swung up and held there by a torque that is too weak to lift it.

    A state is [..., 2]: angle (0 is upright, in radians) and angular velocity. Seen are the angle's
    cosine and sine and the velocity. Actions [..., 1] are torques, clipped to [-2, 2]. A step costs
    $\theta^2 + 0.1\,\dot\theta^2 + 0.001\,u^2$, with the angle taken from -pi to pi: between 0 and
    16.27. There is no end but the time limit.
    g: gravity, at least 0; SlipError otherwise.

    The formulas, constants and first states of gymnasium.envs.classic_control.pendulum.
    """

    observation_space = Box(*(sign * np.float32([1, 1, MOST_SPEED]) for sign in (-1, 1)))
    action_space = Box(-MOST_TORQUE, MOST_TORQUE, (1,))

    def __init__(self, g=10.0):
        check_not_negative("g", g)
        self.g = g

    def initial(self, shape, generator):
        return generator.uniform([-math.pi, -1], [math.pi, 1], (*shape, 2))

    def transition(self, states, actions, generator):
        angle, speed = states[..., 0], states[..., 1]
        torque = np.clip(actions[..., 0], -MOST_TORQUE, MOST_TORQUE)
        rewards = -(wrapped(angle) ** 2 + 0.1 * speed**2 + 0.001 * torque**2)
        speed = speed + (1.5 * self.g * np.sin(angle) + 3 * torque) * SECONDS
        speed = np.clip(speed, -MOST_SPEED, MOST_SPEED)
        states = np.stack([angle + speed * SECONDS, speed], -1)
        return states, rewards, np.zeros(rewards.shape, bool)

    def observation(self, states):
        angle, speed = states[..., 0], states[..., 1]
        return np.stack([np.cos(angle), np.sin(angle), speed], -1).astype(np.float32)


def wrapped(angle):
    """The same angle from -pi to pi, in radians."""
    return (angle + math.pi) % (2 * math.pi) - math.pi


vector = partial(vectorised, Pendulum)  # registered as course/Pendulum-v1
