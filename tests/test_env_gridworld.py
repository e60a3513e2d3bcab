"""The grid with walls and a trap: against Gymnasium's checker, a second table, and a book."""

import itertools
import warnings

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

import helpers  # noqa: F401  (registers the environments)
from helpers.envs.functional import FunctionalVectorEnv
from helpers.envs.gridworld import TRAP_MAP, TrapGridWorldVector, grid, map_cells, trap_grid
from helpers.errors import SlipError
from helpers.exact import objective, optimal_values, state_values

MOVES = {0: (0, 1), 1: (1, 0), 2: (0, -1), 3: (-1, 0)}
BOOK = ("...G", ".#.T", "S...")


def told_again(rows, slip=0.2, rewards=(-0.01, 1.0, -1.0)):
    """{(cell, action): [(probability, next cell, reward, ended)]}, from the map's letters."""
    letters = {
        (x, y): letter for y, row in enumerate(reversed(rows)) for x, letter in enumerate(row)
    }
    step, goal, trap = rewards
    table = {}
    for (x, y), letter in letters.items():
        if letter not in ".S":
            continue
        for action in MOVES:
            table[(x, y), action] = outcomes = []
            for turn, p in {0: 1 - slip, 1: slip / 2, 3: slip / 2}.items():
                dx, dy = MOVES[(action + turn) % 4]
                after = (x + dx, y + dy)
                if letters.get(after, "#") == "#":
                    after = (x, y)
                reward = {"G": goal, "T": trap}.get(letters[after], step)
                outcomes.append((p, after, reward, letters[after] in "GT"))
    return table


def swept(table, gamma, sweeps=3000):
    """Best values by value iteration over a dictionary of cells."""
    v = {}
    for _ in range(sweeps):
        q = {
            key: sum(p * (r + (0 if end else gamma * v.get(after, 0.0))) for p, after, r, end in o)
            for key, o in table.items()
        }
        v = {cell: max(q[cell, a] for a in MOVES) for cell, _ in table}
    return v, q


@pytest.mark.parametrize("gamma", [0.99, 0.9, 0.3])
@pytest.mark.parametrize("slip", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("rows", [TRAP_MAP, BOOK, ("S.T.G", "..#..")])
def test_best_values_by_another_road(rows, slip, gamma):
    v, _ = swept(told_again(rows, slip), gamma, 600 if gamma < 0.99 else 2500)
    values = optimal_values(trap_grid(rows, slip=slip), gamma)
    for (x, y), value in v.items():
        assert values[y * len(rows[0]) + x] == pytest.approx(value, abs=1e-9)


def test_the_numbers_of_the_docstring():
    assert optimal_values(trap_grid(), 0.99)[0] == pytest.approx(0.7710515, abs=5e-8)
    assert optimal_values(trap_grid(slip=0.0), 0.99)[0] == pytest.approx(0.9019801, abs=5e-8)
    assert 0.9019801 == pytest.approx(0.99**5 - 0.01 * (1 - 0.99**5) / 0.01, abs=5e-8)


def test_the_table_of_the_book():
    world = trap_grid(BOOK, step_reward=-0.04, goal_reward=0.96, trap_reward=-1.04)
    published = [0.705, 0.655, 0.611, 0.388, 0.762, 0, 0.660, 0, 0.812, 0.868, 0.918, 0]
    assert np.allclose(optimal_values(world, 1.0), published, atol=5.1e-4)


def test_without_walls_trap_and_slipping_it_is_the_grid_of_lesson_03():
    rows = ["....G", *["....."] * 3, "S...."]
    for ours, theirs in zip(trap_grid(rows, slip=0.0), grid(5)):
        assert torch.equal(ours, theirs)


def test_every_row_adds_up_and_walls_are_never_entered():
    world, cells = trap_grid(), map_cells().ravel()
    assert torch.allclose(world.transitions.sum(-1), torch.ones(20, 4, dtype=torch.float64))
    open_cells = torch.from_numpy(np.isin(cells, [".", "S"]))
    assert not world.transitions[open_cells][..., torch.from_numpy(cells == "#")].any()
    assert world.terminal.tolist() == [letter in "GT#" for letter in cells]
    assert world.start.nonzero().tolist() == [[0]]


def test_gymnasium_accepts_it_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make("TrapGridWorld-v0").unwrapped)
        gymnasium.make_vec("TrapGridWorld-v0", num_envs=2)


def test_both_forms_have_the_same_spaces_and_limit():
    single = gymnasium.make("TrapGridWorld-v0")
    many = gymnasium.make_vec("TrapGridWorld-v0", num_envs=3)
    assert isinstance(many, FunctionalVectorEnv)
    assert many.single_observation_space == single.observation_space
    assert many.single_action_space == single.action_space
    assert many.max_episode_steps == single.spec.max_episode_steps == 200


def test_parameters_reach_both_forms():
    options = {"rows": ["S#", ".T", "G#"], "slip": 0.0, "trap_reward": 0.5, "step_reward": -0.2}
    single = gymnasium.make("TrapGridWorld-v0", **options)
    many = gymnasium.make_vec("TrapGridWorld-v0", num_envs=1, **options)
    for env, wrap in ((single, int), (many, lambda action: np.array([action]))):
        env.reset(seed=0)
        steps = [env.step(wrap(action)) for action in (1, 3, 0, 2, 1)]
        assert [float(np.squeeze(s[1])) for s in steps] == [-0.2, -0.2, -0.2, -0.2, 0.5]
        assert [bool(np.squeeze(s[2])) for s in steps] == [False] * 4 + [True]
        assert [int(np.argmax(s[0])) for s in steps] == [4, 4, 4, 2, 3]


def test_vector_form_steps_as_gymnasiums_sync_vector_env():
    settings = {"num_envs": 6, "max_episode_steps": 9, "slip": 0.0}
    ours = gymnasium.make_vec("TrapGridWorld-v0", **settings)
    sync = gymnasium.make_vec("TrapGridWorld-v0", vectorization_mode="sync", **settings)
    assert np.array_equal(ours.reset(seed=0)[0], sync.reset(seed=0)[0])
    rng, ends = np.random.default_rng(5), np.zeros(2, int)
    for _ in range(500):
        actions = rng.choice(4, size=6, p=[0.25, 0.4, 0.25, 0.1])
        mine, theirs = ours.step(actions), sync.step(actions)
        for left, right in zip(mine[:4], theirs[:4]):
            assert left.dtype == right.dtype and np.array_equal(left, right)
        ends += mine[2].sum(), mine[3].sum()
    assert ends.min() > 20


def test_both_forms_slip_as_the_table_says():
    table, counts = told_again(TRAP_MAP), {}
    single = gymnasium.make("TrapGridWorld-v0").unwrapped
    many = gymnasium.make_vec("TrapGridWorld-v0", num_envs=64)
    rng, ended = np.random.default_rng(0), np.zeros(64, bool)
    before = many.reset(seed=1)[0].argmax(1)
    for _ in range(500):
        actions = rng.integers(4, size=64)
        seen, rewards, terminated, truncated, _ = many.step(actions)
        steps = zip(before, actions, seen.argmax(1), rewards, terminated)
        for s, a, after, r, end in itertools.compress(steps, ~ended):
            counts.setdefault((s, a), []).append((after, r, end))
        before, ended = seen.argmax(1), terminated | truncated
    state, over = single.reset(seed=2)[0].argmax(), False
    for action in rng.integers(4, size=8000).tolist():
        if over:
            state = single.reset()[0].argmax()
        seen, r, over, _, _ = single.step(action)
        counts.setdefault((state, action), []).append((seen.argmax(), r, over))
        state = seen.argmax()
    assert len(counts) == len(table)
    for (s, a), found in counts.items():
        expected = {}
        for p, (x, y), r, end in table[(s % 5, s // 5), a]:
            expected[5 * y + x, r, end] = expected.get((5 * y + x, r, end), 0) + p
        assert set(found) <= set(expected)
        for outcome, p in expected.items():
            error = (p * (1 - p) / len(found)) ** 0.5
            assert abs(found.count(outcome) / len(found) - p) <= 5 * error + 1e-9


def test_mean_return_is_the_exact_objective():
    envs, rng = TrapGridWorldVector(4000), np.random.default_rng(3)
    policy, gamma = np.array([0.3, 0.4, 0.2, 0.1]), 0.95
    envs.reset(seed=4)
    returns, over = np.zeros(4000), np.zeros(4000, bool)
    for t in range(400):
        _, rewards, terminated, _, _ = envs.step(rng.choice(4, p=policy, size=4000))
        returns += gamma**t * rewards * ~over
        over |= terminated
    exact = objective(trap_grid(), np.tile(policy, (20, 1)), gamma)
    assert abs(returns.mean() - exact) < 4 * returns.std() / 4000**0.5 < 0.06


def test_a_policy_that_bumps_for_ever_has_the_value_of_its_bumps():
    left = torch.eye(4)[[3] * 20]
    assert state_values(trap_grid(slip=0.0), left, 0.99)[0] == pytest.approx(-1.0)


def test_pictures_show_walls_trap_goal_and_agent():
    env = gymnasium.make("TrapGridWorld-v0", render_mode="ansi")
    env.reset(seed=0)
    assert env.render() == ". . . . .\n. # # # .\n. . . . .\nA # T # G"
    env = gymnasium.make("TrapGridWorld-v0", render_mode="rgb_array", slip=0.0)
    env.reset(seed=0)
    env.step(0)
    picture = env.render()
    assert picture.shape == (128, 160, 3) and picture.dtype == np.uint8
    cells = [tuple(cell) for row in picture[16::32, 16::32] for cell in row.tolist()]
    letters = ".....|.###.|A....|.#T#G".replace("|", "")
    colours = {letter: {c for c, m in zip(cells, letters) if m == letter} for letter in ".#ATG"}
    assert all(len(found) == 1 for found in colours.values())
    assert len(set.union(*colours.values())) == 5


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("S.G", "rows must be a list of strings"),
        (None, "rows must be a list of strings"),
        ([1, 2], "rows must be a list of strings"),
        ([], "same length"),
        (["", ""], "same length"),
        (["S.", "G"], "same length"),
        (["S.", ".."], "one start, S, and at least one goal"),
        (["SS", ".G"], "one start, S, and at least one goal"),
        (["..", ".G"], "one start, S, and at least one goal"),
        (["SX", ".G"], r"it also holds \['X'\]"),
    ],
)
def test_a_map_that_makes_no_sense_is_a_slip(rows, sentence):
    with pytest.raises(SlipError, match=sentence):
        trap_grid(rows)
    with pytest.raises(SlipError, match=sentence):
        gymnasium.make("TrapGridWorld-v0", rows=rows)


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("slip", 1.5, "slip must be a number from 0 to 1"),
        ("slip", "wet", "slip must be a number from 0 to 1"),
        ("trap_reward", float("nan"), "trap_reward must be a finite number"),
        ("goal_reward", float("inf"), "goal_reward must be a finite number"),
        ("step_reward", None, "step_reward must be a finite number"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_a_slip(option, value, sentence):
    for make in (
        gymnasium.make,
        lambda env_id, **options: gymnasium.make_vec(env_id, 2, **options),
    ):
        with pytest.raises(SlipError, match=sentence):
            make("TrapGridWorld-v0", **{option: value})
