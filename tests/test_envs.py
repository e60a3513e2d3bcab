"""The environments: against Gymnasium's checker, the exact table, and each other."""

import warnings

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import helpers  # noqa: F401  (registers the environments)
from helpers.envs.functional import FunctionalEnv, FunctionalVectorEnv
from helpers.envs.gridworld import coordinates, grid
from helpers.envs.tabular import TabularEnv, TabularVectorEnv
from helpers.errors import SlipError
from helpers.exact import MDP

VAGUE = {"accuracy": 0.7, "question_cost": 0.2, "wrong_price": 3.0}
ALL = [
    ("ShortCorridor-v0", {}),
    ("GridWorld-v0", {}),
    ("TrapGridWorld-v0", {"slip": 0.6}),
    ("SupportChat-v0", VAGUE),
    *(("SupportHistory-v0", {"sees": part}) for part in ("belief", "replies", "count", "last")),
    ("ToolTasks-v0", {}),
    ("ToolTasks-v0", {"retry": True}),
    ("ToolTasks-v0", {"held_out": True, "pay": "answered"}),
]
LIMITS = {"TrapGridWorld-v0": 200, "ToolTasks-v0": 20}  # of the others: 1000
each_env = pytest.mark.parametrize(("env_id", "options"), ALL)
STATES, ACTIONS = 4, 3


@pytest.fixture
def mdp():
    """A random table with two possible starts, an end and some moves that never happen."""
    rng = np.random.default_rng(0)
    shape = STATES, ACTIONS, STATES
    transitions = rng.random(shape) * (rng.random(shape) < 0.7)
    transitions[..., -1] += 0.2
    transitions /= transitions.sum(-1, keepdims=True)
    rewards = rng.normal(size=shape)
    start = np.array([0.3, 0.7, 0, 0])
    return MDP(*(torch.as_tensor(x) for x in (transitions, rewards, np.arange(STATES) == 3, start)))


@each_env
def test_gymnasium_accepts_both_forms_which_have_the_same_spaces_and_limit(env_id, options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        single = gymnasium.make(env_id, **options)
        check_env(single.unwrapped)
        many = gymnasium.make_vec(env_id, num_envs=3, **options)
    assert isinstance(many, FunctionalVectorEnv)
    assert many.single_observation_space == single.observation_space
    assert many.single_action_space == single.action_space
    assert many.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    assert many.max_episode_steps == single.spec.max_episode_steps == LIMITS.get(env_id, 1000)


def test_grid_moves_up_right_down_left_and_bumps():
    env = gymnasium.make("GridWorld-v0", size=3)
    place = lambda observation: tuple((observation + 1).astype(int).tolist())  # noqa: E731
    assert place(env.reset(seed=0)[0]) == (0, 0)
    path = [place(env.step(action)[0]) for action in (3, 2, 0, 1, 2, 3, 1, 1, 1)]
    assert path == [(0, 0), (0, 0), (0, 1), (1, 1), (1, 0), (0, 0), (1, 0), (2, 0), (2, 0)]


def test_corridor_switches_its_actions_and_hides_its_states():
    env = gymnasium.make("ShortCorridor-v0")
    env.reset(seed=0)
    visited = []
    for action in (0, 1, 1, 1, 0, 0, 0, 1):  # 0 left, 1 right; reversed in state 1
        observation, reward, terminated, truncated, _ = env.step(action)
        visited.append(int(env.unwrapped.state))
        assert observation.tolist() == [1.0] and reward == -1 and not truncated
        assert terminated == (visited[-1] == 3)
    assert visited == [0, 1, 0, 1, 2, 1, 2, 3]


def test_vector_form_draws_from_the_table(mdp):
    envs = TabularVectorEnv(500, mdp, np.eye(STATES))
    rng, counts = np.random.default_rng(1), np.zeros(mdp.transitions.shape)
    starts = np.zeros(STATES)
    before = envs.reset(seed=2)[0].argmax(1)
    ended = np.zeros(500, bool)
    for _ in range(400):
        actions = rng.integers(ACTIONS, size=500)
        observations, rewards, terminated, _, _ = envs.step(actions)
        after = observations.argmax(1)
        moved = before[~ended], actions[~ended], after[~ended]
        np.add.at(counts, moved, 1)
        np.add.at(starts, after[ended], 1)
        assert np.array_equal(rewards[~ended], mdp.rewards.numpy()[moved])
        before, ended = after, terminated
    assert_drawn_from(mdp.transitions.numpy()[:-1], counts[:-1])
    assert_drawn_from(mdp.start.numpy(), starts)


def assert_drawn_from(probabilities, counts):
    """Every frequency within five standard errors; what has probability 0 never happens."""
    total = counts.sum(-1, keepdims=True)
    assert total.min() > 500
    error = np.sqrt(probabilities * (1 - probabilities) / total)
    assert (np.abs(counts / total - probabilities) <= 5 * error + 1e-12).all()


@pytest.mark.parametrize(
    ("env_id", "options", "limit"),
    [
        ("ShortCorridor-v0", {}, 7),
        ("GridWorld-v0", {"size": 2}, 4),
        ("TrapGridWorld-v0", {"slip": 0.0, "rows": ["S.T", "..G"]}, 9),
    ],
)
def test_vector_form_steps_as_gymnasiums_sync_vector_env(env_id, options, limit):
    settings = {"num_envs": 6, "max_episode_steps": limit, **options}
    ours = gymnasium.make_vec(env_id, **settings)
    sync = gymnasium.make_vec(env_id, vectorization_mode="sync", **settings)
    assert np.array_equal(ours.reset(seed=0)[0], sync.reset(seed=0)[0])
    rng, ends = np.random.default_rng(5), np.zeros(2, int)
    for _ in range(400):
        actions = rng.integers(ours.single_action_space.n, size=6)
        if (rng.random(6) < 0.5).all():  # a full reset in the middle of episodes
            assert np.array_equal(ours.reset(seed=1)[0], sync.reset(seed=1)[0])
        mine, theirs = ours.step(actions), sync.step(actions)
        for left, right in zip(mine[:4], theirs[:4]):
            assert left.dtype == right.dtype and np.array_equal(left, right)
        ends += mine[2].sum(), mine[3].sum()
    assert ends.min() > 20


@each_env
def test_both_forms_play_the_same_episodes(env_id, options):
    """Every number that is drawn, and both flags at once where an end and the limit coincide."""
    single = gymnasium.make(env_id, max_episode_steps=3, **options)
    many = gymnasium.make_vec(env_id, num_envs=1, max_episode_steps=3, **options)
    rng, ends = np.random.default_rng(5), set()
    for seed in range(150):
        one, batch = single.reset(seed=seed)[0], many.reset(seed=seed)[0]
        assert one.dtype == batch.dtype and np.array_equal(one, batch[0])
        over = False
        while not over:
            action = rng.integers(single.action_space.n)
            one, batch = single.step(action), many.step(np.array([action]))
            assert np.array_equal(one[0], batch[0][0])
            assert one[1:4] == tuple(column[0] for column in batch[1:4])
            over = one[2] or one[3]
        ends.add(one[2:4])
    assert ends >= ({(True, True)} if options.get("retry") else set())


class _Push:
    """Dynamics with numbers for actions: a point that is pushed, until it is beyond 1."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)

    def initial(self, shape, generator):
        return generator.uniform(-0.1, 0.1, (*shape, 2))

    def transition(self, states, actions, generator):
        states = states + np.clip(actions, -1, 1)
        return states, -(states**2).sum(-1), states[..., 0] > 1

    def observation(self, states):
        return states.astype(np.float32)


class _PushEnv(FunctionalEnv):
    make_dynamics = _Push


def test_actions_may_be_numbers():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it is not registered and cannot be drawn
        check_env(_PushEnv(), skip_render_check=True)
    envs, single = _PushEnv.vector(3, max_episode_steps=4), _PushEnv()
    start, _ = envs.reset(seed=0)
    single.reset(seed=0)
    nonsense = [np.full((3, 2), wrong) for wrong in (np.nan, np.inf, None, "far")]
    for actions in (np.zeros(3), np.zeros((3, 1)), *nonsense):
        for env, wrong in ((envs, actions), (single, actions[0])):
            with pytest.raises(SlipError, match=r"actions must have the shape|finite numbers"):
                env.step(wrong)
    pushes = np.array([[0.5, 0], [5, 0], [-0.5, 0.25]])
    step = envs.step(pushes)
    assert np.allclose(step[0], start + np.clip(pushes, -1, 1), atol=1e-6)
    assert step[1].dtype == np.float64 and np.allclose(step[1], -(step[0] ** 2).sum(1))
    while not step[2].any():
        step = envs.step(pushes)
    resets = step[2]
    after, rewards, *flags, _ = envs.step(np.where(resets[:, None], np.nan, pushes))  # ignored
    assert not rewards[resets].any() and (abs(after[resets]) <= 0.1).all()
    assert not np.logical_or(*flags)[resets].any()


@each_env
def test_a_step_leaves_the_states_that_were_read_before_it(env_id, options):
    envs = gymnasium.make_vec(env_id, num_envs=40, **options)
    envs.reset(seed=0)
    for action in range(envs.single_action_space.n):
        states, before = envs.states, envs.states.copy()
        envs.step(np.full(40, action))
        assert np.array_equal(states, before)


def test_the_step_after_an_end_ignores_its_action():
    envs = TabularVectorEnv(2, grid(2), coordinates(2), max_episode_steps=3)
    envs.reset(seed=0)
    envs.step([0, 3])
    assert envs.step([1, 3])[2].tolist() == [True, False]
    observations, rewards, terminated, truncated, _ = envs.step([99, 3])
    assert observations.tolist() == [[-1, -1]] * 2 and rewards.tolist() == [0, -0.01]
    assert terminated.tolist() == [False, False] and truncated.tolist() == [False, True]
    assert envs.step([0, 99])[1].tolist() == [-0.01, 0]


def test_what_a_learner_writes_into_an_observation_stays_there():
    single = TabularEnv(grid(3), coordinates(3))
    many = TabularVectorEnv(1, grid(3), coordinates(3))
    for env, up in ((single, 0), (many, [0])):
        for _ in range(2):
            first = env.reset()[0]
            second = env.step(up)[0]
            assert np.ravel(first).tolist() == [-1, -1] and np.ravel(second).tolist() == [-1, 0]
            first += 5
            second += 5


@each_env
def test_misuse_gets_a_sentence(env_id, options):
    single = gymnasium.make(env_id, **options).unwrapped
    many = gymnasium.make_vec(env_id, num_envs=2, **options)
    wrong = [[0, 9], [-1, 0], [0.0, 1.0], [True, False], [0], 0, [[0, 1]]]
    for env, right, others in ((single, 0, [9, -1, 1.0, [0], None]), (many, [0, 0], wrong)):
        with pytest.raises(SlipError, match=r"call reset\(\)"):
            env.step(right)
        env.reset(seed=0)
        for action in others:
            with pytest.raises(SlipError, match="ction"):
                env.step(action)
        env.step(right)


def test_a_step_after_the_end_is_a_slip():
    env = TabularEnv(grid(2), coordinates(2))
    env.reset(seed=0)
    env.step(0)
    env.step(1)
    with pytest.raises(SlipError, match=r"call reset\(\)"):
        env.step(0)


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ((0, grid(2), coordinates(2)), "num_envs must be a whole number"),
        ((2, grid(2), coordinates(3)), "observations must have the shape"),
        ((2, grid(2), np.zeros(4)), "observations must have the shape"),
        ((2, grid(2)._replace(start=torch.zeros(4)), coordinates(2)), "Each row of start"),
    ],
)
def test_a_wrong_table_is_a_slip(arguments, sentence):
    with pytest.raises(SlipError, match=sentence):
        TabularVectorEnv(*arguments)
    with pytest.raises(SlipError, match="size must be a whole number of at least 2"):
        gymnasium.make("GridWorld-v0", size=1)
    with pytest.raises(SlipError, match="max_episode_steps"):
        TabularVectorEnv(2, grid(2), coordinates(2), max_episode_steps=0)


def test_a_picture_shows_agent_and_goal_where_they_are():
    """In colours: see test_env_gridworld.py."""
    env = gymnasium.make("GridWorld-v0", size=3, render_mode="ansi")
    env.reset(seed=0)
    env.step(1)
    assert env.render() == ". . G\n. . .\n. A ."
