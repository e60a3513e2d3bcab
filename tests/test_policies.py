"""helpers.policies against torch.distributions, counts and moments of samples, and spaces that fit."""

import math

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete
from random_states import seeded
from torch.distributions import Categorical, Independent, Normal

from helpers import losses
from helpers.errors import SlipError
from helpers.policies import Choice, Gaussian, policy_for

LEAD = (7, 3, 5)


def draw(seed, *shape):
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def test_log_prob_and_entropy_are_those_of_torch_distributions():
    mean, log_std, z = draw(0, *LEAD, 2), draw(1, *LEAD, 2), draw(2, *LEAD, 2)
    outputs, actions = torch.cat([mean, log_std], -1), mean + log_std.exp() * z
    policy = Independent(Normal(mean, log_std.exp()), 1)
    torch.testing.assert_close(Gaussian.log_prob(outputs, actions), policy.log_prob(actions))
    torch.testing.assert_close(Gaussian.entropy(outputs), policy.entropy())
    logits, chosen = draw(3, *LEAD, 4), torch.arange(105).reshape(LEAD) % 4
    policy = Categorical(logits=logits)
    torch.testing.assert_close(Choice.log_prob(logits, chosen), policy.log_prob(chosen))
    torch.testing.assert_close(Choice.entropy(logits), policy.entropy())
    assert torch.equal(Choice.log_prob(logits, chosen), losses.log_prob(logits, chosen))


def test_the_gradient_of_the_log_probability_is_the_textbooks():
    """For the mean z / sigma, for log sigma z^2 - 1 (Williams 1992)."""
    outputs = torch.tensor([[0.5, -1.0, math.log(2), math.log(0.1)]], requires_grad=True)
    Gaussian.log_prob(outputs, torch.tensor([[2.5, -0.8]])).sum().backward()
    expected = torch.tensor([[0.5, 20.0, 0.0, 3.0]])
    torch.testing.assert_close(outputs.grad, expected, atol=1e-4, rtol=1e-4)


def test_the_entropy_of_a_narrow_gaussian_is_negative():
    wide, narrow = (torch.tensor([0.0, math.log(std)]) for std in (1.0, 0.1))
    assert Gaussian.entropy(wide).item() == pytest.approx(0.5 * math.log(2 * math.pi * math.e))
    assert Gaussian.entropy(narrow) < 0
    least = Gaussian.entropy(torch.tensor([3.0, math.log(1e-3)])).item()
    assert least == pytest.approx(Gaussian.least_entropy(1))


def test_samples_have_the_gaussians_moments_and_come_from_the_generator():
    outputs = torch.tensor([1.0, -2.0, math.log(0.5), math.log(3.0)]).expand(20_000, 4)
    noise = Gaussian.noise((20_000, 2), seeded(4))
    z = (Gaussian.sample(outputs, noise) - outputs[:, :2]) / outputs[:, 2:].exp()
    assert (z.mean(0).abs() < 3.5 / 20_000**0.5).all()
    assert ((z**2).mean(0) - 1).abs().max() < 3.5 * (2 / 20_000) ** 0.5
    assert abs((z[:, 0] * z[:, 1]).mean()) < 3.5 / 20_000**0.5
    assert torch.equal(noise, Gaussian.noise((20_000, 2), seeded(4)))


def test_on_their_way_to_the_environment_numbers_are_clipped_and_choices_counted_on():
    box = Box(np.array([-1, 0]), np.array([1, 5]), dtype=np.float64)
    numbers = np.array([[-3, 7], [0.5, 2], [np.nan, np.inf], [-np.inf, -1]], np.float32)
    clipped = Gaussian.to_env(numbers, box)
    assert clipped.tolist() == [[-1, 5], [0.5, 2], [0, 5], [-1, 0]] and clipped.dtype == box.dtype
    assert np.isnan(numbers[2, 0])  # the record stays as it was
    assert Choice.to_env(np.array([0, 2]), Discrete(3, start=5)).tolist() == [5, 7]


def test_which_spaces_fit():
    """For others see test_rollout.py."""
    assert policy_for(Discrete(4)) == (Choice, 4)
    for kind in (np.float32, np.float64):
        assert policy_for(Box(-2, 2, (3,), kind)) == (Gaussian, 3)
    for space in (Box(-1, 1, ()), Box(0, 255, (3,), np.uint8), Dict({"a": Discrete(2)})):
        assert policy_for(space) is None


def test_outputs_and_actions_of_another_shape_get_a_sentence():
    for policy, outputs in ((Choice, 3), (Gaussian, 2), (Gaussian, 3)):
        noise = policy.noise((5, 2), seeded(0))
        with pytest.raises(SlipError, match="what the actor returns must have the shape"):
            policy.sample(torch.zeros(5, outputs), noise)
    with pytest.raises(SlipError, match=r"must have the shape \(5, 2\) \(that of the means"):
        Gaussian.log_prob(torch.zeros(5, 4), torch.zeros(5, 1))  # would broadcast in silence
