"""The vectorised pendulum against Gymnasium's, step by step."""

import gymnasium
import numpy as np
import pytest

import helpers  # noqa: F401  (registers the environments)
from helpers.envs.functional import FunctionalVectorEnv
from helpers.envs.pendulum import Pendulum
from helpers.errors import SlipError
from helpers.rollout import make_envs

COUNT, STEPS = 6, 200


@pytest.mark.parametrize("options", [{}, {"g": 9.81}, {"g": 0.0}])
def test_whole_episodes_are_gymnasiums(options):
    """From the same states by the same torques, half of them beyond the bounds."""
    envs = make_envs("course/Pendulum-v1", COUNT, options)
    singles = [gymnasium.make("Pendulum-v1", **options) for _ in range(COUNT)]
    seen, _ = envs.reset(seed=1)
    torques = np.random.default_rng(2).uniform(-4, 4, (2, STEPS, COUNT, 1)).astype(np.float32)
    for episode in torques:
        for single, state in zip(singles, envs.states):
            single.reset()
            single.unwrapped.state = state.copy()
        for t, torque in enumerate(episode):
            seen, rewards, terminated, truncated, _ = envs.step(torque)
            results = [single.step(u) for single, u in zip(singles, torque)]
            expected = [np.stack(x) for x in list(zip(*results))[:4]]
            assert np.allclose(seen, expected[0], rtol=0, atol=1e-5)
            assert np.allclose(rewards, expected[1], rtol=0, atol=1e-5)
            assert np.array_equal(terminated, expected[2]) and not terminated.any()
            assert np.array_equal(truncated, expected[3]) and truncated.all() == (t == STEPS - 1)
        seen, rewards, terminated, truncated, _ = envs.step(torque)  # resets, whatever is done
        assert not (rewards.any() or terminated.any() or truncated.any())


def test_the_spaces_and_the_first_states_are_gymnasiums():
    single, theirs = Pendulum(), gymnasium.make("Pendulum-v1").unwrapped
    assert single.observation_space == theirs.observation_space
    assert single.action_space == theirs.action_space
    theirs.reset(seed=5)
    assert np.array_equal(single.initial((), np.random.default_rng(5)), theirs.state)
    first, _ = make_envs("course/Pendulum-v1", 4000).reset(seed=0)
    assert single.observation_space.contains(first[0])
    assert np.abs(first.mean(0)).max() < 0.06 and np.abs(first[:, 2]).max() == pytest.approx(
        1, abs=2e-3
    )


def test_the_registered_forms():
    assert isinstance(make_envs("course/Pendulum-v1", 2), FunctionalVectorEnv)
    single = gymnasium.make("course/Pendulum-v1", render_mode="rgb_array")
    assert isinstance(single.unwrapped, gymnasium.envs.classic_control.PendulumEnv)
    assert single.spec.max_episode_steps == STEPS


def test_costs_lie_between_0_and_what_the_worst_state_pays():
    states = np.array([[0.0, 0.0], [np.pi, 8.0], [-3 * np.pi, -8.0]])
    _, rewards, _ = Pendulum().transition(states, np.array([[0.0], [2.0], [-9.0]]), None)
    assert np.allclose(rewards, [0, -16.2736044, -16.2736044])


@pytest.mark.parametrize("g", [-1.0, np.nan, "10"])
def test_gravity_that_makes_no_sense(g):
    with pytest.raises(SlipError, match="g must be a finite number of at least 0"):
        make_envs("course/Pendulum-v1", 2, {"g": g})
