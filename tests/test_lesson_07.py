"""Lesson 07: each of its numbers by a second way that shares no code with the lesson's."""

import base64
import io
import re
from itertools import islice
from pathlib import Path

import ipywidgets as widgets
import nbformat
import numpy as np
import pytest
import torch
from matplotlib.collections import PathCollection
from matplotlib.textpath import TextPath
from PIL import Image
from test_env_gridworld import MOVES, told_again

from helpers.envs.gridworld import TRAP_MAP, map_cells, trap_grid
from helpers.errors import SlipError
from helpers.exact import optimal_values, state_values
from helpers.film import Film
from helpers.valuegrid import Judged, ValueFrames, ValueGrid

PATH = Path(__file__).parent.parent / "notebooks" / "07_daily_challenge_gridworld.ipynb"
CELLS = nbformat.read(PATH, as_version=4).cells
CODE = [c.source for c in CELLS if c.cell_type == "code"]
UP, RIGHT, FORK = 0, 1, (0, 1)


def run_cells(*texts):
    """What the lesson's cells define that hold these texts, run in this order."""
    names = {}
    for text in texts:
        (source,) = [source for source in CODE if text in source]
        exec(source, names)
    return names


def stored(text):
    """What the cell with this text printed when the lesson was stored."""
    (cell,) = [c for c in CELLS if c.cell_type == "code" and text in c.source]
    return "".join(output.get("text", "") for output in cell.outputs)


@pytest.fixture(scope="module")
def lesson():
    return run_cells(
        "import matplotlib.pyplot",
        "from helpers.returns import gae",
        "by_hand = torch.zeros(2, 20",
        "def best(",
        "FORK, UP = 5, 0",
        "def newborn",
        "def judge",
        "def learn",
        "def train",
        "def trapped",
        "def rollouts_of",
        "def compete",
        "def permutation_test",
    )


# --- the world -----------------------------------------------------------------------------------


def best_q(trap, gamma, slip=0.2):
    """Q* at the fork by value iteration over a dictionary of cells."""
    table, v = told_again(TRAP_MAP, slip, (-0.01, 1.0, trap)), {}
    for _ in range(1500):
        q = {
            key: sum(p * (r + (0 if end else gamma * v.get(after, 0.0))) for p, after, r, end in o)
            for key, o in table.items()
        }
        v = {cell: max(q[cell, a] for a in MOVES) for cell, _ in table}
    return q


def test_where_the_best_way_switches():
    printed = re.findall(r"gamma ([\d.]+): .* more than (-?[\d.]+)", stored("def switch"))
    assert [gamma for gamma, _ in printed] == ["0.99", "0.97", "0.95"]
    for gamma, price in printed:
        for side in (-0.001, 0.001):
            q = best_q(float(price) + side, float(gamma))
            assert (q[FORK, UP] > q[FORK, RIGHT]) == (side < 0)


def test_the_arrows_of_the_best_policy():
    q = best_q(-1.0, 0.99)
    way = {cell: max(MOVES, key=lambda a, c=cell: q[c, a]) for cell, _ in q}
    assert way[0, 1] == UP and way[1, 1] == 3 and way[2, 1] == UP  # up, back, against the wall
    dry = best_q(-1.0, 0.99, slip=0.0)
    assert all(max(MOVES, key=lambda a, x=x: dry[(x, 1), a]) == RIGHT for x in range(4))
    assert stored("for name, place in [").split()[2::3] == ["0.9019801", "0.7710515"]


def test_the_wall_of_the_last_section():
    rows = ("..#..", *TRAP_MAP[1:])
    assert stored("my_map =").strip() == f"V*(start) {optimal_values(trap_grid(rows), 0.99)[0]:.3f}"
    assert optimal_values(trap_grid(rows), 0.99)[0] == pytest.approx(0.696, abs=5e-4)


# --- learning ------------------------------------------------------------------------------------


def test_judge_by_sweeping(lesson):
    (*_, report) = lesson["learn"](
        lesson["newborn"](2, 3, 0.1), {"trap_reward": 0.5}, gamma=0.9, entropy_coef=0.0, updates=20
    )
    table = told_again(TRAP_MAP, rewards=(-0.01, 1.0, 0.5))
    policy, v = report.policy[1].numpy(), {}
    for _ in range(600):
        v = {
            (x, y): sum(
                policy[5 * y + x, a] * p * (r + (0 if end else 0.9 * v.get(after, 0.0)))
                for a in MOVES
                for p, after, r, end in table[(x, y), a]
            )
            for (x, y), _ in table
        }
    assert all(report.exact[1, 5 * y + x] == pytest.approx(v[x, y], abs=1e-6) for x, y in v)
    assert not report.critic[:, trap_grid().terminal].any()
    assert torch.allclose(report.visits.sum(1), torch.ones(2, dtype=torch.float64))


def test_trapped_by_playing(lesson):
    policy = torch.full((1, 20, 4), 0.25, dtype=torch.float64)
    table, rng, falls = told_again(TRAP_MAP), np.random.default_rng(0), 0
    for _ in range(3000):
        cell, end = (0, 0), False
        while not end:
            ways = table[cell, int(rng.integers(4))]
            _, cell, _, end = ways[rng.choice(3, p=[w[0] for w in ways])]
        falls += cell == (2, 0)
    share = lesson["trapped"](policy).item()
    assert abs(falls / 3000 - share) < 4 * (share * (1 - share) / 3000) ** 0.5 + 0.006


def test_the_race_books_each_agent_its_own_steps(lesson):
    settings = {"lr": 0.1, "envs": 4, "entropy_coef": 0.0, "agents": 3, "seed": 5}
    runs = list(lesson["compete"]("REINFORCE", **settings, budget=2000))
    steps = torch.stack([steps for _, steps in runs])
    assert (steps.diff(dim=0) > 0).all() and steps[-1].min() >= 2000 > steps[-2].min()
    assert len(steps[-1].unique()) > 1
    for _, steps in islice(lesson["compete"]("A2C", **settings, budget=3000), 4):
        pass
    assert ((steps > 80 * 20 * 0.8) & (steps <= 80 * 20)).all()  # without the rows that reset


def test_ranks_and_the_permutation_test(lesson):
    a, b = np.array([3.0, np.inf, 1.0]), np.array([2.0, np.inf])
    ranks = lesson["ranks"](a, b)
    assert [x.tolist() for x in ranks] == [[2.5, 4.0, 0.5], [1.5, 4.0]]
    rng = np.random.default_rng(1)
    ps = [
        lesson["permutation_test"](rng.normal(size=8), rng.normal(size=8), deals=400)
        for _ in range(200)
    ]
    assert 0.01 < np.mean(np.array(ps) <= 0.05) < 0.11  # no difference: 1 in 20 is called one


@pytest.mark.parametrize("gamma", [0.0, 1.0])
@pytest.mark.parametrize("lr", [1e-3, 1.0])
@pytest.mark.parametrize("trap_reward", [-3.0, 1.0])
def test_every_end_of_the_sliders_trains_and_draws(lesson, gamma, lr, trap_reward):
    picture = ValueGrid(cells=map_cells())
    picture.restart("run")
    settings = {"gamma": gamma, "lr": lr, "trap_reward": trap_reward, "agents": 1}
    for report in lesson["train"](**settings, entropy_coef=0.3, updates=40, every=20):
        picture.add(report)
        assert len(picture.png()) > 5000
        assert report.exact.isfinite().all() and "nan" not in report.words()
    assert report.fraction == 1


def test_the_same_seed_gives_the_same_numbers(lesson):
    first, again = (list(lesson["train"](agents=2, updates=16))[-1] for _ in range(2))
    assert torch.equal(first.critic, again.critic) and torch.equal(first.policy, again.policy)


# --- the film ------------------------------------------------------------------------------------


def judged(value, critic=0.0):
    values, policy = torch.full((2, 20), value), torch.full((2, 20, 4), 0.25)
    return Judged(1.0, 80, values + critic, values, policy, torch.full((2, 20), 0.05), 0.77)


def test_frames_show_the_agent_that_was_asked_for():
    best, policy = np.zeros(20), np.full((20, 4), 0.25)
    one = ValueFrames(best, policy, map_cells(), agent=1)
    one.add(judged(0.5))
    half = one.png()
    other = judged(0.5)
    other.critic[0] += 0.3
    one.add(other)
    assert one.png() == half
    other.critic[1] += 0.3
    one.add(other)
    assert one.png() != half


def test_walls_and_ends_have_no_numbers():
    picture = ValueFrames(np.zeros(20), np.full((20, 4), 0.25), map_cells())
    picture.add(judged(0.5))
    axes = picture.figure.axes[0]
    (numbers,) = [c for c in axes.collections if isinstance(c, PathCollection)]
    widths = [np.ptp(path.vertices[:, 0]) for path in numbers.get_paths()]
    half = TextPath((0, 0), "0.50", size=8)
    assert len(widths) == len(numbers.get_offsets()) == 13
    assert widths == pytest.approx([np.ptp(half.vertices[:, 0])] * 13)
    assert [text.get_text() for text in axes.texts] == ["goal", "trap"]


def test_the_slider_shows_the_frame_and_says_what_it_is(monkeypatch):
    monkeypatch.delenv("COURSE_FOREGROUND", raising=False)
    film = Film([b"a", b"b", b"c"], ["first", "second <x>", "third"], description="picture")
    slider, image, caption = film._box.children
    assert (slider.min, slider.max, film.place, image.value) == (0, 2, 0, b"a")
    slider.value = 1
    assert image.value == b"b" and "second &lt;x&gt;" in caption.value and film.place == 1
    assert "image/png" not in film._repr_mimebundle_()


def test_the_stored_form_has_a_picture_with_words():
    film = Film([b"a", b"b"], ["first", "second"], description="picture")
    data, metadata = film._repr_mimebundle_()
    assert data["text/plain"] == "Slider: picture, 2 pictures."
    assert "second" in metadata["image/png"]["alt"]


def test_a_closed_film_leaves_nothing_behind():
    before = set(widgets.Widget.widgets)
    film = Film([b"a", b"b"], ["first", "second"], description="picture")
    film.close()
    assert set(widgets.Widget.widgets) == before and b"b" not in film._frames


@pytest.mark.parametrize("frames, captions", [([], []), ([b"a"], []), ([b"a"], ["x", "y"])])
def test_a_film_without_captions_is_a_slip(frames, captions):
    with pytest.raises(SlipError, match="a caption for each frame"):
        Film(frames, captions, description="picture")


def test_the_stored_film_is_a_picture():
    (cell,) = [c for c in CELLS if "Film(frames" in c.source]
    (output,) = cell.outputs
    image = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"])))
    assert image.size == (920, 290)
    assert "critic says" in output.metadata["image/png"]["alt"]


# --- claims, on other agents ---------------------------------------------------------------------


def ways(report):
    return int((report.policy[:, 5].argmax(1) == UP).sum())


@pytest.mark.hardening
def test_the_collapsed_answers_on_sixteen_other_agents(lesson):
    def end(**change):
        *_, report = lesson["train"](agents=16, seed=77, every=400, **change)
        return report, ways(report), report.exact[:, 0].mean()

    usual, long, value = end()
    assert long >= 11 and value > 0.66
    _, long, _ = end(gamma=0.9)
    assert long <= 2
    harmless, long, value = end(trap_reward=0.0)
    assert long <= 2 and 0.70 < value < harmless.best - 0.02
    bribed, _, _ = end(trap_reward=1.0)
    assert lesson["trapped"](bribed.policy).mean() > 0.8
    unsteady, long, value = end(entropy_coef=0.1)
    assert long <= 4 and value < 0.5
    _, _, value = end(lr=0.3)
    assert value < 0.3
    for report, trap, better in ((harmless, 0.0, RIGHT), (unsteady, -1.0, RIGHT), (usual, -1, UP)):
        world = trap_grid(trap_reward=trap)
        q = torch.zeros(4, dtype=torch.float64)
        for policy in report.policy:
            after = 0.99 * state_values(world, policy, 0.99)
            q += (world.transitions[5] * (world.rewards[5] + after)).sum(-1) / 16
        assert q[[UP, RIGHT]].argmax() == (better != UP)


@pytest.mark.hardening
def test_first_the_short_way_then_the_long_on_sixteen_other_agents(lesson):
    sixteen = lesson["newborn"](16, 78, 0.03)
    settings = {"gamma": 0.99, "entropy_coef": 0.01}
    reports = list(lesson["learn"](sixteen, {}, **settings))
    assert ways(reports[12]) <= 8 and ways(reports[-1]) >= 11
    errors = torch.stack([report.errors().mean() for report in reports])
    assert errors[4:12].max() > errors[2] + 0.05 and errors[4:12].max() > errors[20:].max() + 0.05
    for group in sixteen[2].param_groups:
        group["lr"] /= 10
    *_, calm = lesson["learn"](sixteen, {}, **settings, updates=200, seed=1)
    assert calm.errors().mean() < 0.07 < 0.12 < errors[-1]


@pytest.mark.hardening
def test_a2c_is_faster_on_twenty_other_agents(lesson):
    (source,) = [source for source in CODE if "def curves_of" in source]
    names = dict(lesson)
    exec(source.replace("SETTINGS[kind])", "SETTINGS[kind], seed=79)"), names)
    curves = {kind: names["curves_of"](kind) for kind in lesson["SETTINGS"]}
    means = {kind: c.mean(1).numpy() for kind, c in curves.items()}
    times = {
        kind: torch.where(c >= 0.6, names["AXIS"], torch.inf).amin(1).numpy()
        for kind, c in curves.items()
    }
    ranks = lesson["ranks"](*times.values())
    test = lesson["permutation_test"]
    assert means["A2C"].mean() > means["REINFORCE"].mean() and test(*means.values()) < 0.025
    assert np.median(times["A2C"]) < np.median(times["REINFORCE"]) and test(*ranks) < 0.025


@pytest.mark.hardening
def test_grown_up_agents_are_slow_and_slower_without_a_bonus_on_other_seeds(lesson):
    settings, times = {"gamma": 0.99, "every": 10}, {}
    treasure = {"trap_reward": 2.0}
    goal = 0.8 * optimal_values(trap_grid(**treasure), 0.99)[0]
    for coef in (0.0, 0.02):
        grown = lesson["newborn"](16, 80, 0.03)
        *_, _ = lesson["learn"](grown, {}, gamma=0.99, entropy_coef=coef, every=400, seed=80)
        for name, agents in (("grown", grown), ("newborn", lesson["newborn"](16, 82, 0.03))):
            arrived = torch.full((16,), torch.inf)
            run = lesson["learn"](
                agents, treasure, **settings, entropy_coef=coef, updates=700, seed=81
            )
            for report in run:
                there = report.exact[:, 0] >= goal
                arrived = torch.where(there, arrived.clamp(max=report.steps), arrived)
                if there.all():
                    break
            times[name, coef] = arrived.median().item()
    assert times["newborn", 0.0] <= 6000 and times["newborn", 0.02] <= 6000
    assert times["grown", 0.02] > 3 * times["newborn", 0.02]
    assert times["grown", 0.0] > 1.2 * times["grown", 0.02]


@pytest.mark.hardening
@pytest.mark.parametrize("kind, chosen", [("A2C", (0.03, 4, 0.01)), ("REINFORCE", (0.1, 4, 0.01))])
def test_the_search_finds_the_lessons_settings(lesson, kind, chosen):
    axis, areas = np.arange(500, 20_001, 500), {}
    for lr in (0.01, 0.03, 0.1, 0.3):
        for envs in (4, 8):
            if lr == 0.3 and (kind, envs) != ("REINFORCE", 8):
                continue
            for coef in (0.0, 0.01):
                runs = lesson["compete"](
                    kind, lr=lr, envs=envs, entropy_coef=coef, agents=16, seed=1000
                )
                policies, steps = zip(*runs)
                steps, area = torch.stack(steps).numpy(), np.zeros(16)
                for k in range(16):
                    last = np.searchsorted(steps[:, k], axis, side="right") - 1
                    for i, count in zip(*np.unique(last[last >= 0], return_counts=True)):
                        value = state_values(trap_grid(), policies[i][k], 0.99)[0].item()
                        area[k] += count * value / len(axis)
                areas[lr, envs, coef] = area
    error = {key: area.std(ddof=1) / 4 for key, area in areas.items()}  # of the mean
    best = max((key for key in areas if key[0] < 0.3), key=lambda key: areas[key].mean())
    lead = areas[best].mean() - areas[chosen].mean()
    assert lead <= 2 * np.hypot(error[best], error[chosen])
    text = next(c.source for c in CELLS if "What the search found" in c.source)
    written = {}
    for envs in (4, 8):
        (row,) = re.findall(rf"^\| {kind} \| {envs} \|(.*)\|$", text, re.MULTILINE)
        said = [float(x.replace("−", "-")) for x in re.findall(r"−?\d\.\d\d", row)]
        keys = [(lr, envs, coef) for lr in (0.01, 0.03, 0.1) for coef in (0.0, 0.01)]
        assert len(said) == len(keys)
        written |= zip(keys, said)
    if kind == "REINFORCE":
        assert "the rate 0.3 and 8 environments it has 0.45 and 0.44" in text
        written |= {(0.3, 8, 0.0): 0.45, (0.3, 8, 0.01): 0.44}
    for key, number in written.items():
        assert abs(number - areas[key].mean()) < 3 * error[key] + 0.005
