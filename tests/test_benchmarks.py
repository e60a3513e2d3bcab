"""The benchmark commands run, say what they miss, and print a verdict on each of their bars."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest
import torch

from helpers.live import LivePanel, Slider

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "tests/benchmarks"


@pytest.fixture
def load(monkeypatch):
    """A function that imports a command without letting it touch this process's environment."""
    monkeypatch.syspath_prepend(FOLDER)
    with patch.dict(os.environ):
        yield __import__


def test_a_range_says_never_where_a_goal_was_not_reached(load):
    spread = load("measure").spread
    assert spread([3.0, 1.0, 2.0]) == "2.00 (1.00 to 3.00)"
    assert spread([1.0, float("inf"), float("inf")], digits=0) == "never (1 to never)"
    assert spread([]) == "-"


def test_paused_time_is_not_counted(load):
    measure = load("measure")
    moments = iter([(0.0, 0.0), (1.0, 2.0), (11.0, 22.0), (12.0, 24.0)])
    with patch.object(measure, "_now", lambda: next(moments)):
        clock = measure.Clock()
        with clock.paused():
            pass
        assert clock.read() == (2.0, 4.0)


def test_bars_know_reached_from_missed_and_unmeasured(load, capsys):
    load("measure").print_bars(
        ("CPU", 0.5, 0.8, " s"),
        ("wall", 1.0, 0.8, " s"),
        ("at least solved", 96.0, 97, " %"),
        ("at least known", 98.0, 97, " %"),
        ("memory", None, 600, " MB"),
    )
    verdicts = [re.split(r"\s{2,}", line)[-1] for line in capsys.readouterr().out.splitlines()[3:]]
    assert verdicts == ["reached", "missed by 0.2 s", "missed by 1 %", "reached", "not measured"]


def test_wilson_interval(load):
    """Against the roots of (p - q)^2 = z^2 q (1 - q) / n, which define the interval."""
    wilson = load("solve").wilson
    for good, count in [(124, 128), (1, 3), (10, 20)]:
        for q in wilson(good, count):
            assert (good / count - q) ** 2 == pytest.approx(1.96**2 * q * (1 - q) / count)
    assert wilson(20, 20)[1] == pytest.approx(1)
    assert wilson(0, 20)[0] == 0


def test_lessons_still_have_the_agents_that_are_compared(load):
    solve = load("solve")

    def leave(step, actor):
        return False

    assert solve.naive(0, leave)(torch.zeros(7, 4)).shape == (7, 2)
    actor = solve.ours(0, leave, ("SAC", solve.SWING_UP), agents=2, most_steps=200)
    means, log_stds = actor(10 * torch.randn(2, 50, 3)).chunk(2, -1)
    assert actor.agents == 2 and means.shape == (2, 50, 1) and means.abs().max() <= 2
    assert not log_stds.any()


def test_torques_are_means_at_the_scale_of_the_environment(load):
    means = torch.tensor([[-1.0], [0.25]])
    assert load("solve").torques(means).tolist() == [[-2, 0], [0.5, 0]]


def test_nothing_else_trains_while_a_panel_is_measured(load, monkeypatch):
    monkeypatch.delenv("COURSE_FOREGROUND")
    nothing = SimpleNamespace(restart=str, add=str, rows=lambda: [("", "", "")])
    nothing.width, nothing.png = 1, lambda scale=1: b""

    def train(place):
        for fraction in (0.0, 1.0):
            time.sleep(0.1)
            yield SimpleNamespace(fraction=fraction)

    benchmark, measured, at_work = load("live"), [], []
    monkeypatch.setattr(LivePanel, "__init__", LivePanel.__init__)  # is put back afterwards
    made = benchmark.note_panels()
    panels = [
        LivePanel(train, nothing, place=Slider("place", place, range(4))) for place in range(4)
    ]
    panels.pop().close()

    def measure_panel(panel, **_):
        measured.append(panel)
        at_work.extend(other for other in panels if other._worker)

    monkeypatch.setattr(benchmark, "measure_panel", measure_panel)
    benchmark.measure_all(made)
    for panel in panels:
        panel.close()
    assert at_work == [] and measured == panels


def run(command, *options, path=()):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (*path, ROOT)))}
    command = [sys.executable, str(FOLDER / f"{command}.py"), *map(str, options)]
    done = subprocess.run(command, env=environment, text=True, capture_output=True, timeout=1000)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def rows(output, title):
    """The rows of a table, by their first field."""
    lines = output.partition(f"\n{title}\n")[2].partition("\n\n")[0].splitlines()[1:]
    return {name: fields for name, *fields in (re.split(r"\s{2,}", line.strip()) for line in lines)}


@pytest.mark.hardening
@pytest.mark.parametrize("missing", [True, False])
def test_solve(missing, tmp_path):
    if missing:
        (tmp_path / "stable_baselines3.py").write_text("raise ImportError")
    else:
        pytest.importorskip("stable_baselines3")
    sizes = "--agents 2 --side-by-side 2 --alone 1 --most-steps 4096 --check-every 2000"
    sizes += " --patience 0.2 --pendulums 2"
    output = run("solve", "--quick", *sizes.split(), path=[tmp_path])
    results = rows(output, "CartPole-v1")
    assert results["A2C, side by side"][0] == "0 of 2"
    assert results["A2C, alone"][0] == "0 of 1"
    assert results["PPO, side by side"][0] == "0 of 2" and "490.04" in output
    pendulums = rows(output, "course/Pendulum-v1, mean actions")
    assert pendulums["PPO"][:2] == ["60000", "2"] and pendulums["SAC"][:2] == ["10000", "2"]
    assert len(pendulums) == (2 if missing else 4)
    assert "cut off" in results["one-step agent of lesson 03"][0]
    assert ("pip install stable-baselines3" in output) == missing
    assert ("Stable-Baselines3 PPO" in results) != missing
    verdicts = [fields[-1] for fields in rows(output, "Bars").values()]
    assert verdicts[0] == "missed by 97 %"
    assert verdicts[2:4] == ["not measured"] * 2 == verdicts[-1:] * 2  # nobody touched the goal


@pytest.mark.hardening
def test_scale():
    sizes = "--most-agents 2 --most-envs 2 --updates 2 --runs 1 --steps 4096"
    output = run("scale", "--quick", *sizes.split())
    for title, sizes in [
        ("More agents", ["1 x 32", "2 x 32"]),
        ("More environments", ["1 x 1", "1 x 2"]),
    ]:
        table = rows(output, title)
        assert list(table) == sizes
        for *_, environment, network, update, rest, _, times in table.values():
            shares = [int(share.rstrip("%")) for share in (environment, network, update, rest)]
            assert min(shares) > 0 and sum(shares) == pytest.approx(100, abs=2)
            assert float(times) > 1
    worlds = rows(output, "2 environments, random actions")
    assert len(worlds) == 5 and worlds.pop("course/Robots-v0")[1:] == ["-", "-"]
    assert all(float(times) > 0 for *_, times in worlds.values())
    actors = rows(output, "Actors")
    assert list(actors) == ["in this process", *(f"{n} in their own" for n in (1, 2, 4))]
    assert actors["in this process"][-1] == "1.00"
    assert re.match(
        "reached|missed", rows(output, "Bars")["CPU of eight side by side over one"][-1]
    )


@pytest.mark.hardening
def test_live():
    """Lesson 01 has two panels without agents; lesson 04 an exact one, and one that trains on CartPole
    (its map has no slider that trains)."""
    for lesson in ("01", "04"):
        output = run("live", "--quick", "--repetitions", 1, "--lesson", lesson)
        panels = rows(output, "Median (range), ms").values()
        assert len(panels) == 2
        for fields in panels:
            first, data, finished, *others = (float(field.split()[0]) for field in fields)
            assert 0 < first < data <= finished and min(others) > 0
        assert all(re.match("reached|missed", v[-1]) for v in rows(output, "Bars").values())


@pytest.mark.hardening
def test_course():
    output = run("course", "--quick", "--lesson", "01")
    [fields] = rows(output, "Lessons, each in a fresh kernel: median (range)").values()
    seconds, end, highest, stored = (float(field.split()[0]) for field in fields)
    assert seconds > 1 and 100 < end <= highest and stored > 10
    verdicts = [fields[-1] for fields in rows(output, "Bars").values()]
    assert all(re.match("reached|missed", verdict) for verdict in verdicts[:2])
    assert verdicts[2:] == ["not measured"] * 2
