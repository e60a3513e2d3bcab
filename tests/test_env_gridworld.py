"""The grid with walls and a trap: against a second table, and a book."""

import gymnasium
import numpy as np
import pytest
import torch

import helpers  # noqa: F401  (registers the environments)
from helpers.envs.gridworld import TRAP_MAP, trap_grid
from helpers.errors import SlipError
from helpers.exact import optimal_values

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


@pytest.mark.parametrize("slip", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("rows", [TRAP_MAP, BOOK, ("S.T.G", "..#..")])
def test_the_table_by_another_road(rows, slip):
    world, width, start = (
        trap_grid(rows, slip=slip),
        len(rows[0]),
        "".join(reversed(rows)).index("S"),
    )
    assert world.start.nonzero().tolist() == [[start]]
    assert world.terminal.tolist() == [letter in "GT#" for row in reversed(rows) for letter in row]
    for ((x, y), action), outcomes in told_again(rows, slip).items():
        expected = torch.zeros(len(world.start), dtype=torch.float64)
        for p, (i, j), reward, over in outcomes:
            expected[j * width + i] += p
            assert world.rewards[y * width + x, action, j * width + i] == reward
            assert world.terminal[j * width + i] == over
        torch.testing.assert_close(world.transitions[y * width + x, action], expected)


def test_the_numbers_of_the_docstring():
    assert optimal_values(trap_grid(), 0.99)[0] == pytest.approx(0.7710515, abs=5e-8)
    assert optimal_values(trap_grid(slip=0.0), 0.99)[0] == pytest.approx(0.9019801, abs=5e-8)
    assert 0.9019801 == pytest.approx(0.99**5 - 0.01 * (1 - 0.99**5) / 0.01, abs=5e-8)


def test_the_table_of_the_book():
    world = trap_grid(BOOK, step_reward=-0.04, goal_reward=0.96, trap_reward=-1.04)
    published = [0.705, 0.655, 0.611, 0.388, 0.762, 0, 0.660, 0, 0.812, 0.868, 0.918, 0]
    assert np.allclose(optimal_values(world, 1.0), published, atol=5.1e-4)


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
    ("options", "sentence"),
    [
        *(({"rows": x}, "rows must be a list of strings") for x in ("S.G", None, [1, 2])),
        *(({"rows": x}, "same length") for x in ([], ["", ""], ["S.", "G"])),
        *(
            ({"rows": x}, "one start, S, and at least one goal")
            for x in (["S.", ".."], ["SS", ".G"], ["..", ".G"])
        ),
        ({"rows": ["SX", ".G"]}, r"it also holds \['X'\]"),
        ({"slip": 1.5}, "slip must be a number from 0 to 1"),
        ({"slip": "wet"}, "slip must be a number from 0 to 1"),
        ({"trap_reward": float("nan")}, "trap_reward must be a finite number"),
        ({"goal_reward": float("inf")}, "goal_reward must be a finite number"),
        ({"step_reward": None}, "step_reward must be a finite number"),
    ],
)
def test_a_world_that_makes_no_sense_is_a_slip(options, sentence):
    with pytest.raises(SlipError, match=sentence):
        trap_grid(**options)
    with pytest.raises(SlipError, match=sentence):
        gymnasium.make("TrapGridWorld-v0", **options)
    with pytest.raises(SlipError, match=sentence):
        gymnasium.make_vec("TrapGridWorld-v0", 2, **options)
