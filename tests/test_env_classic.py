"""The vectorised mountain car and acrobot against Gymnasium's, step by step."""

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from scipy.stats import kstest

import helpers  # noqa: F401  (registers the environments)
from helpers.envs.acrobot import Acrobot
from helpers.envs.functional import FunctionalVectorEnv
from helpers.envs.mountain_car import MountainCar
from helpers.errors import SlipError
from helpers.rollout import make_envs

COUNT, NEAR = 3000, dict(rtol=0, atol=1e-6)
PI = np.pi
WORLDS = {  # the dynamics, the largest and the smallest states
    "MountainCar-v0": (MountainCar, [0.6, 0.07], [-1.2, -0.07]),
    "Acrobot-v1": (Acrobot, [PI, PI, 4 * PI, 9 * PI], [-PI, -PI, -4 * PI, -9 * PI]),
}
LIMITS = {"MountainCar-v0": 200, "Acrobot-v1": 500}
each_world = pytest.mark.parametrize("name", WORLDS)


def by_gymnasium(env, states, actions):
    """Gymnasium's (observations, rewards, terminated) and states one step after these."""
    steps, after = [], []
    for state, action in zip(states, actions):
        env.state = state.copy()
        steps.append(env.step(int(action))[:3])
        after.append(env.state)
    return [np.stack(column) for column in zip(*steps)], np.stack(after)


def assert_gymnasiums(world, theirs, states, actions):
    """One step from these states is Gymnasium's; returns the ends."""
    after, rewards, ended = world.transition(states, actions, None)
    (seen, *rest), expected = by_gymnasium(theirs, states, actions)
    assert np.allclose(after, expected, **NEAR)
    assert np.allclose(world.observation(after), seen, **NEAR)
    assert world.observation(after).dtype == seen.dtype == np.float32
    assert np.array_equal(rewards, rest[0]) and np.array_equal(ended, rest[1])
    assert rewards.dtype == np.float64 and ended.dtype == bool
    return ended


@each_world
def test_one_step_from_anywhere_by_each_action_is_gymnasiums(name):
    """From all over the state space, and from where episodes begin."""
    make_world, high, low = WORLDS[name]
    world, theirs, rng = make_world(), gymnasium.make(name).unwrapped, np.random.default_rng(0)
    theirs.reset(seed=0)
    anywhere = rng.uniform(low, high, (COUNT, len(high)))
    states = np.concatenate([anywhere, world.initial((100,), rng)])
    ends = [
        assert_gymnasiums(world, theirs, states, np.full(len(states), action, kind))
        for action, kind in zip(range(3), (np.uint8, np.int32, np.int64))
    ]
    assert all(30 < end.sum() < COUNT for end in ends)


@pytest.mark.parametrize("goal_velocity", [0.0, 0.03])
def test_the_car_at_its_bounds_and_at_the_flag(goal_velocity):
    """Each way to be stopped, and an arrival below, at and above the velocity that is asked for."""
    theirs = gymnasium.make("MountainCar-v0", goal_velocity=goal_velocity).unwrapped
    theirs.reset(seed=0)
    world, rows = MountainCar(goal_velocity), [(-1.2, -0.02), (-1.19, -0.07), (0.59, 0.07)]
    rows += [(0.499, speed) for speed in (-0.03, 0.01, 0.02, 0.04)] + [(0.55, -0.01)]
    for action in range(3):
        ended = assert_gymnasiums(world, theirs, np.array(rows), np.full(len(rows), action))
    assert ended.tolist() == [False, False, True, False, *[goal_velocity == 0] * 2, True, False]


@each_world
def test_whole_episodes_are_gymnasiums(name):
    """Steps, time limit and resets, with Gymnasium's put at our state before each step."""
    envs, theirs = make_envs(f"course/{name}", 4), gymnasium.make(name)
    theirs.reset(seed=0)
    envs.reset(seed=1)
    limit, rng = LIMITS[name], np.random.default_rng(2)
    ends, ages, going = np.zeros(4, int), np.zeros(4, int), np.ones(4, bool)
    for _ in range(2 * limit + 2):
        before, actions = envs.states.copy(), rng.integers(3, size=4)
        seen, rewards, terminated, truncated, _ = envs.step(actions)
        (expected, pay, end), _ = by_gymnasium(theirs.unwrapped, before, actions)
        assert np.allclose(seen[going], expected[going], **NEAR)
        assert np.array_equal(rewards, pay * going) and np.array_equal(terminated, end & going)
        ages = np.where(going, ages + 1, 0)
        assert np.array_equal(truncated, ages == limit)
        ends, going = ends + (terminated | truncated), ~(terminated | truncated)
    assert ends.min() >= 2


@each_world
def test_first_states_are_drawn_as_gymnasiums(name):
    make_world, theirs = WORLDS[name][0], gymnasium.make(name).unwrapped
    for seed in range(5):
        seen, _ = theirs.reset(seed=seed)
        world, rng = make_world(), np.random.default_rng(seed)
        for again in range(2):  # the second reset goes on with the same draws
            state = world.initial((), rng)
            assert np.array_equal(state, theirs.state)
            assert np.allclose(world.observation(state), seen, **NEAR)
            seen, _ = theirs.reset()
    states = make_world().initial((2000,), np.random.default_rng(0))
    low, width = (-0.6, 0.2) if name == "MountainCar-v0" else (-0.1, 0.2)
    drawn = states[:, :1] if name == "MountainCar-v0" else states
    assert all(kstest(column, "uniform", (low, width)).pvalue > 1e-3 for column in drawn.T)


@each_world
def test_spaces_limits_and_both_registered_forms_are_gymnasiums(name):
    single = gymnasium.make(f"course/{name}", render_mode="rgb_array")
    many, theirs = make_envs(f"course/{name}", 3), gymnasium.make(name)
    assert isinstance(many, FunctionalVectorEnv)
    assert type(single.unwrapped) is type(theirs.unwrapped)
    assert many.single_observation_space == theirs.observation_space
    assert many.single_action_space == theirs.action_space
    assert many.max_episode_steps == single.spec.max_episode_steps == LIMITS[name]
    assert single.spec.reward_threshold == theirs.spec.reward_threshold
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(single.unwrapped)
    single.reset(seed=0)
    assert single.render().ndim == 3


@each_world
def test_a_seed_gives_the_same_episodes_and_another_seed_others(name):
    def play(seed):
        envs, rng = make_envs(f"course/{name}", 3), np.random.default_rng(0)
        first = envs.reset(seed=seed)[0]
        return np.stack([first, *(envs.step(rng.integers(3, size=3))[0] for _ in range(600))])

    assert np.array_equal(play(1), play(1)) and not np.array_equal(play(1)[0], play(2)[0])


@pytest.mark.parametrize("goal_velocity", [-0.01, np.nan, "fast"])
def test_a_goal_velocity_that_makes_no_sense(goal_velocity):
    with pytest.raises(SlipError, match="goal_velocity must be a finite number of at least 0"):
        make_envs("course/MountainCar-v0", 2, {"goal_velocity": goal_velocity})
