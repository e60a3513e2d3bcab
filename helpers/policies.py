"""What an actor's outputs mean: a choice among actions, or numbers drawn from a Gaussian.

Choice and Gaussian have the same functions, of the outputs of an actor in states of any leading axes.
Randomness comes in as noise, drawn beforehand for many steps at once from an explicit generator.
Derived for choices in notebooks/01_policy_gradient_theorem.ipynb.
"""

import math

import gymnasium
import numpy as np
import torch

from helpers import losses
from helpers.errors import check_shape


def gumbel(shape, generator):
    """Gumbel noise g: argmax(logits + g) is a sample of softmax(logits) (Maddison et al. 2014)."""
    return torch.empty(shape).exponential_(generator=generator).log_().neg_()


class Choice:
    """One of A actions: the outputs are logits [..., A], pi(a|s) = softmax(logits)[a]; actions [...]."""

    dtype = np.int64
    noise = staticmethod(gumbel)  # of shape [..., A]
    log_prob = staticmethod(losses.log_prob)
    entropy = staticmethod(losses.entropy)

    @staticmethod
    def shape(_size):
        """The shape of one action, among `_size`."""
        return ()

    @staticmethod
    def sample(logits, noise):
        check_shape("what the actor returns", logits, noise.shape, "one logit for each action")
        return (logits + noise).argmax(-1)

    @staticmethod
    def to_env(actions, space):
        """Ours count from 0, the environment's from space.start."""
        return actions + space.start

    @staticmethod
    def least_entropy(_size):
        """The entropy, in nats, below which a policy no longer explores."""
        return 1e-3


class Gaussian:
    r"""A numbers: the outputs are A means and A logarithms of standard deviations, [..., 2A].

    $\pi(a|s) = \prod_i N(a_i; \mu_i, \sigma_i^2)$; actions [..., A], unbounded. Only on their way to
    the environment are they clipped to its Box, as in CleanRL and Stable-Baselines3: a record holds
    the numbers that were drawn, whose log-probability this is.
    """

    dtype = np.float32

    @staticmethod
    def noise(shape, generator):
        """Standard normal numbers, [..., A]."""
        return torch.randn(shape, generator=generator)

    @staticmethod
    def shape(size):
        """The shape of one action of `size` numbers."""
        return (size,)

    @staticmethod
    def sample(outputs, noise):
        expected = (*noise.shape[:-1], 2 * noise.shape[-1])
        meaning = "a mean and the logarithm of a standard deviation for each number of an action"
        check_shape("what the actor returns", outputs, expected, meaning)
        mean, log_std = outputs.chunk(2, -1)
        return mean + log_std.exp() * noise

    @staticmethod
    def log_prob(outputs, actions):
        r"""$-\sum_i \frac12 z_i^2 + \log\sigma_i + \frac12\log 2\pi$, $z = (a - \mu)/\sigma$: [...]."""
        mean, log_std = outputs.chunk(2, -1)
        check_shape("actions", actions, mean.shape, "that of the means")
        z = (actions - mean) * (-log_std).exp()
        return -(0.5 * z**2 + log_std + 0.5 * math.log(2 * math.pi)).sum(-1)

    @staticmethod
    def entropy(outputs):
        r"""$\sum_i \frac12\log(2\pi e\,\sigma_i^2)$ in nats, which may be negative: [...]."""
        _, log_std = outputs.chunk(2, -1)
        return (log_std + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)

    @staticmethod
    def to_env(actions, space):
        """Clipped to the Box; what is no number, once training has diverged, is taken for 0."""
        numbers = np.nan_to_num(actions, posinf=np.inf, neginf=-np.inf)
        return np.clip(numbers, space.low, space.high).astype(space.dtype, copy=False)

    @staticmethod
    def least_entropy(size):
        """That of standard deviations of 0.001: an entropy of 0 means nothing here."""
        return size * (0.5 * math.log(2 * math.pi * math.e) + math.log(1e-3))


def policy_for(action_space):
    """(Choice, number of actions) or (Gaussian, numbers of an action); None if neither fits.

    Discrete is a choice; a Box with one axis of real numbers and finite ends is for a Gaussian.
    """
    if isinstance(action_space, gymnasium.spaces.Discrete):
        return Choice, int(action_space.n)
    if is_vector(action_space) and action_space.is_bounded():
        return Gaussian, action_space.shape[0]
    return None


def is_vector(space):
    """Whether a space is a Box with one axis of real numbers, bounded or not."""
    box = isinstance(space, gymnasium.spaces.Box) and len(space.shape) == 1
    return box and np.issubdtype(space.dtype, np.floating)
