"""Gymnasium's acrobot in vectorised form: many episodes at a time, without a loop over them."""

import math
from functools import partial

import numpy as np
from gymnasium.spaces import Box, Discrete

from helpers.envs.functional import vectorised
from helpers.envs.pendulum import wrapped

MOST_SPEEDS, SECONDS = (4 * math.pi, 9 * math.pi), 0.2  # SECONDS: of a step


class Acrobot:
    """Two rods of 1 m and 1 kg, one hung on the other: the joint between them swings the tip up.

    A state is [..., 4]: the first rod's angle (0 hangs down, in radians), the second's against the
    first, and their angular velocities. Seen are both angles' cosines and sines and the velocities,
    [..., 6]. Actions [...] are 0, 1, 2 for a torque of -1, 0, 1 N m at the joint. A step is one of
    Runge and Kutta's, of fourth order and 0.2 s; then the angles are taken from -pi to pi and the
    velocities kept within 4 pi and 9 pi. It costs 1, but for the last: the end is where the tip
    stands more than 1 m above the axle.

    The formulas (its "book" ones: Sutton and Barto, first edition, section 11.3), constants and first
    states of gymnasium.envs.classic_control.acrobot.
    """

    observation_space = Box(*(sign * np.float32([1, 1, 1, 1, *MOST_SPEEDS]) for sign in (-1, 1)))
    action_space = Discrete(3)

    def initial(self, shape, generator):
        """As Gymnasium's, rounded to 32 bits."""
        return generator.uniform(-0.1, 0.1, (*shape, 4)).astype(np.float32).astype(np.float64)

    def transition(self, states, actions, generator):
        states = _runge_kutta(np.moveaxis(states, -1, 0), actions - 1.0)
        states = np.stack([*wrapped(states[:2]), *_bounded(states[2:])], -1)
        first, second = states[..., 0], states[..., 1]
        terminated = -np.cos(first) - np.cos(first + second) > 1
        return states, np.where(terminated, 0.0, -1.0), terminated

    def observation(self, states):
        angles, speeds = states[..., :2], states[..., 2:]
        waves = np.stack([np.cos(angles), np.sin(angles)], -1).reshape(*states.shape[:-1], 4)
        return np.concatenate([waves, speeds], -1).astype(np.float32)


def _bounded(speeds):
    """Velocities [2, ...] within their bounds."""
    return (np.clip(speed, -most, most) for speed, most in zip(speeds, MOST_SPEEDS))


def _runge_kutta(states, torques):
    """States [4, ...] one step later, by the classical method of fourth order."""
    first = _derivative(states, torques)
    second = _derivative(states + SECONDS / 2 * first, torques)
    third = _derivative(states + SECONDS / 2 * second, torques)
    fourth = _derivative(states + SECONDS * third, torques)
    return states + SECONDS / 6 * (first + 2 * second + 2 * third + fourth)


def _derivative(states, torques):
    """What the states [4, ...] change by in a second: both rods 1 m, 1 kg and 1 kg m^2."""
    angle1, angle2, speed1, speed2 = states
    cosine, sine = np.cos(angle2), np.sin(angle2)
    d1, d2 = 3.5 + cosine, 1.25 + 0.5 * cosine
    phi2 = 4.9 * np.sin(angle1 + angle2)
    phi1 = -0.5 * speed2 * (speed2 + 2 * speed1) * sine + 14.7 * np.sin(angle1) + phi2
    push = torques + d2 / d1 * phi1 - 0.5 * speed1**2 * sine - phi2
    change2 = push / (1.25 - d2**2 / d1)
    return np.stack([speed1, speed2, -(d2 * change2 + phi1) / d1, change2])


vector = partial(vectorised, Acrobot)  # registered as course/Acrobot-v1
