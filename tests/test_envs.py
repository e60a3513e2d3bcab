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
from helpers.exact import MDP, objective

IDS = ["ShortCorridor-v0", "GridWorld-v0"]
ALL = [
    *((env_id, {}) for env_id in IDS),
    ("TrapGridWorld-v0", {"slip": 0.6}),
    ("SupportChat-v0", {}),
    ("SupportHistory-v0", {"sees": "replies"}),
    ("ToolTasks-v0", {}),
    ("ToolTasks-v0", {"retry": True}),
]
STATES, ACTIONS = 4, 3


@pytest.fixture
def mdp():
    """A random table with two possible starts, an end and some moves that never happen."""
    rng = np.random.default_rng(0)
    transitions = rng.random((STATES, ACTIONS, STATES)) * (
        rng.random((STATES, ACTIONS, STATES)) < 0.7
    )
    transitions[..., -1] += 0.2
    transitions /= transitions.sum(-1, keepdims=True)
    rewards = rng.normal(size=transitions.shape)
    start = np.array([0.3, 0.7, 0, 0])
    return MDP(*(torch.as_tensor(x) for x in (transitions, rewards, np.arange(STATES) == 3, start)))


@pytest.mark.parametrize("env_id", IDS)
def test_gymnasium_accepts_the_single_form_without_a_warning(env_id):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make(env_id).unwrapped)
        gymnasium.make_vec(env_id, num_envs=2)


@pytest.mark.parametrize("env_id", IDS)
def test_both_forms_have_the_same_spaces_and_limit(env_id):
    single, many = gymnasium.make(env_id), gymnasium.make_vec(env_id, num_envs=3)
    assert isinstance(many, FunctionalVectorEnv)
    assert many.single_observation_space == single.observation_space
    assert many.single_action_space == single.action_space
    assert many.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    assert many.max_episode_steps == single.spec.max_episode_steps == 1000


def test_the_grids_parameters_reach_both_forms():
    settings = dict(size=3, step_reward=-1.0, goal_reward=2.0)
    single = gymnasium.make("GridWorld-v0", **settings)
    many = gymnasium.make_vec("GridWorld-v0", num_envs=1, **settings)
    for env, wrap in ((single, int), (many, lambda action: np.array([action]))):
        env.reset(seed=0)
        rewards = [float(np.squeeze(env.step(wrap(action))[1])) for action in (3, 0, 0, 1, 1)]
        assert rewards == [-1, -1, -1, -1, 2]
    with pytest.raises(SlipError, match="size must be a whole number of at least 2"):
        gymnasium.make("GridWorld-v0", size=1)


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
    rng, counts, starts = (
        np.random.default_rng(1),
        np.zeros(mdp.transitions.shape),
        np.zeros(STATES),
    )
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


def test_single_form_draws_from_the_table(mdp):
    env = TabularEnv(mdp, np.eye(STATES))
    rng, counts, starts = (
        np.random.default_rng(1),
        np.zeros(mdp.transitions.shape),
        np.zeros(STATES),
    )
    env.reset(seed=2)
    terminated = True
    for action in rng.integers(ACTIONS, size=20_000):
        if terminated:
            starts[env.reset()[0].argmax()] += 1
        before = env.state
        observation, reward, terminated, _, _ = env.step(action)
        after = observation.argmax()
        counts[before, action, after] += 1
        assert reward == mdp.rewards[before, action, after]
    assert_drawn_from(mdp.transitions.numpy()[:-1], counts[:-1])
    assert_drawn_from(mdp.start.numpy(), starts)


def assert_drawn_from(probabilities, counts):
    """Every frequency within five standard errors; what has probability 0 never happens."""
    total = counts.sum(-1, keepdims=True)
    assert total.min() > 500
    error = np.sqrt(probabilities * (1 - probabilities) / total)
    assert (np.abs(counts / total - probabilities) <= 5 * error + 1e-12).all()


def test_mean_return_is_the_exact_objective(mdp):
    policy, gamma, count = np.array([[0.2, 0.5, 0.3]] * STATES), 0.9, 20_000
    envs, rng = TabularVectorEnv(count, mdp, np.eye(STATES)), np.random.default_rng(3)
    envs.reset(seed=4)
    returns, over = np.zeros(count), np.zeros(count, bool)
    for t in range(1000):
        _, rewards, terminated, _, _ = envs.step(rng.choice(ACTIONS, p=policy[0], size=count))
        returns += gamma**t * rewards * ~over
        over |= terminated
        if over.all():
            break
    standard_error = returns.std() / np.sqrt(count)
    assert over.all() and standard_error < 0.02
    assert abs(returns.mean() - objective(mdp, policy, gamma).item()) < 4 * standard_error


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("limit", [4, 7])
def test_vector_form_steps_as_gymnasiums_sync_vector_env(env_id, limit):
    settings = dict(num_envs=6, max_episode_steps=limit)
    settings |= dict(size=2) if env_id.startswith("Grid") else {}
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


@pytest.mark.parametrize("env_id, options", ALL)
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
    envs = _PushEnv.vector(3, max_episode_steps=4)
    start, _ = envs.reset(seed=0)
    pushes = np.array([[0.5, 0], [5, 0], [-0.5, 0.25]])
    seen = [envs.step(pushes) for _ in range(3)]
    assert np.allclose(seen[0][0], start + np.clip(pushes, -1, 1), atol=1e-6)
    assert seen[0][1].dtype == np.float64 and np.allclose(seen[0][1], -(seen[0][0] ** 2).sum(1))
    ended = [np.flatnonzero(step[2]).tolist() for step in seen]
    assert ended[0] in ([], [1]) and 1 in ended[0] + ended[1]
    pushes = np.where(seen[2][2][:, None], np.nan, pushes)  # ignored there
    after, rewards, *flags, _ = envs.step(pushes)
    assert not rewards[seen[2][2]].any() and (abs(after[seen[2][2]]) <= 0.1).all()
    assert not np.logical_or(*flags)[seen[2][2]].any()


@pytest.mark.parametrize(
    "actions, sentence",
    [
        (np.zeros(3), "actions must have the shape"),
        (np.zeros((3, 1)), "actions must have the shape"),
        (np.full((3, 2), np.nan), "finite numbers"),
        (np.full((3, 2), np.inf), "finite numbers"),
        (np.full((3, 2), None), "finite numbers"),
        (np.full((3, 2), "far"), "finite numbers"),
    ],
)
def test_a_push_that_is_no_number_is_a_slip(actions, sentence):
    envs, single = _PushEnv.vector(3), _PushEnv()
    envs.reset(seed=0), single.reset(seed=0)
    with pytest.raises(SlipError, match=sentence):
        envs.step(actions)
    with pytest.raises(SlipError, match=sentence):
        single.step(actions[0])


@pytest.mark.parametrize("env_id, options", ALL)
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


def test_the_same_seed_gives_the_same_draws_and_global_generators_rest(mdp, unchanged_globals):
    def play(seed):
        envs = TabularVectorEnv(8, mdp, np.eye(STATES))
        single = TabularEnv(mdp, np.eye(STATES))
        record = [envs.reset(seed=seed)[0], single.reset(seed=seed)[0][None]]
        for step in range(30):
            record.append(envs.step(np.full(8, step % ACTIONS))[0])
        return np.concatenate(record)

    with unchanged_globals():
        assert np.array_equal(play(1), play(1))
        assert not np.array_equal(play(1), play(2))


@pytest.mark.parametrize("actions", [[0, 4], [-1, 0], [0.0, 1.0], [True, False], [0], 0, [[0, 1]]])
def test_a_wrong_action_is_a_slip(actions):
    envs = TabularVectorEnv(2, grid(2), coordinates(2))
    envs.reset(seed=0)
    with pytest.raises(SlipError, match="ction"):
        envs.step(actions)


@pytest.mark.parametrize("action", [4, -1, 1.0, [0], None])
def test_a_wrong_single_action_is_a_slip(action):
    env = TabularEnv(grid(2), coordinates(2))
    env.reset(seed=0)
    with pytest.raises(SlipError, match="ction"):
        env.step(action)


def test_a_step_without_an_episode_is_a_slip():
    single, many = TabularEnv(grid(2), coordinates(2)), TabularVectorEnv(2, grid(2), coordinates(2))
    for env, action in ((single, 0), (many, [0, 0])):
        with pytest.raises(SlipError, match=r"call reset\(\)"):
            env.step(action)
    single.reset(seed=0)
    single.step(0)
    single.step(1)
    with pytest.raises(SlipError, match=r"call reset\(\)"):
        single.step(0)


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ((0, grid(2), coordinates(2)), "num_envs must be a whole number"),
        ((2, grid(2), coordinates(3)), "observations must have the shape"),
        ((2, grid(2), np.zeros(4)), "observations must be a table"),
        ((2, grid(2)._replace(start=torch.zeros(4)), coordinates(2)), "Each row of start"),
    ],
)
def test_a_wrong_table_is_a_slip(arguments, sentence):
    with pytest.raises(SlipError, match=sentence):
        TabularVectorEnv(*arguments)
    with pytest.raises(SlipError, match="max_episode_steps"):
        TabularVectorEnv(2, grid(2), coordinates(2), max_episode_steps=0)


def test_pictures_show_agent_and_goal_where_they_are():
    env = gymnasium.make("GridWorld-v0", size=3, render_mode="ansi")
    env.reset(seed=0)
    env.step(1)
    assert env.render() == ". . G\n. . .\n. A ."
    env = gymnasium.make("GridWorld-v0", size=3, render_mode="rgb_array")
    env.reset(seed=0)
    env.step(1)
    picture = env.render()
    cells = picture[16::32, 16::32].reshape(-1, 3).tolist()
    assert picture.shape == (96, 96, 3) and picture.dtype == np.uint8
    assert cells[2] == [230, 159, 0] and cells[7] == [0, 114, 178]
    assert all(cell == [235, 235, 235] for i, cell in enumerate(cells) if i not in (2, 7))
