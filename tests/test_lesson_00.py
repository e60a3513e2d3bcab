"""Lesson 00: its installation check, and the claims that it makes without a cell of its own."""

import importlib.metadata
import re
import sys

import pytest
import torch
from lesson_cells import Lesson, each_seed

from helpers.rollout import make_envs, play_episodes
from helpers.training import CARTPOLE, a2c, evaluate

LESSON = Lesson(0)
FIRST = LESSON.code()[0]


@pytest.fixture
def check_installation(capsys):
    namespace = LESSON.run(FIRST.id)
    assert capsys.readouterr().out == "Everything is installed. Go on.\n"

    def check(**replaced):
        namespace.update(replaced)
        return namespace["check_installation"]()

    return check


def test_the_check_needs_no_package():
    modules = {
        line.split()[1].split(".")[0]
        for line in FIRST.source.splitlines()
        if line.startswith(("import ", "from "))
    }
    assert modules <= sys.stdlib_module_names


def test_what_only_some_need_may_be_missing(check_installation):
    """An extra of pyproject.toml stands among the requirements too, marked as one."""
    extra = {"requires": lambda name: ["torch", "nobody-has-this==1.0; extra == 'logs'"]}
    assert check_installation(**extra) == "Everything is installed. Go on."


def no_package(name):
    raise importlib.metadata.PackageNotFoundError(name)


class Old:
    version_info, version, executable = (3, 9), "3.9.1 (main)", "python"


PINS = ["thing[extra]==1.0 ; python_version > '3'", "other"]


@pytest.mark.parametrize(
    ("replaced", "said"),
    [
        ({"requires": no_package}, f"{re.escape(sys.executable)}.*wrong kernel.*README"),
        ({"sys": Old}, "Python 3.9.1; the course needs 3.11 to 3.14"),
        ({"version": no_package}, "The package torch is missing"),
        ({"version": lambda name: "0.1+cpu"}, "torch is version 0.1; the course needs"),
        (
            {"requires": lambda name: PINS, "version": "2.{}".format},
            "thing is version 2.*needs 1.0",
        ),
    ],
)
def test_what_is_amiss_is_told(check_installation, replaced, said):
    assert re.search(said, check_installation(**replaced), re.DOTALL)


@pytest.mark.parametrize("name", ["helpers", "torch"])
def test_a_file_that_hides_a_package_is_told(check_installation, name, tmp_path, monkeypatch):
    (tmp_path / f"{name}.py").touch()
    monkeypatch.chdir(tmp_path)
    assert f"The file {name}.py beside this lesson hides" in check_installation()
    (tmp_path / f"{name}.py").rename(tmp_path / f"my_{name}.py")
    assert check_installation() == "Everything is installed. Go on."


def test_another_package_of_the_name_helpers_is_told(check_installation, tmp_path, monkeypatch):
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "helpers")
    assert "Another package has the name helpers" in check_installation()


@pytest.mark.hardening
def test_short_sight_runs_off_the_track():
    """With gamma 0.5 most episodes end at the end of the track, not with a fallen pole."""
    settings = {**CARTPOLE, "gamma": 0.5}
    for progress in a2c("CartPole-v1", agents=16, seed=31, **settings):
        pass
    envs = make_envs("CartPole-v1", 16 * 20)
    generator = torch.Generator().manual_seed(31)
    rollout = play_episodes(envs, progress.actor, seed=31, generator=generator)
    last = rollout.observations[1:][rollout.terminated]
    assert len(last) > 100
    assert (last[:, 0].abs() > 2.4).float().mean() > 0.75


@each_seed("seed", [41, 42, 43])
def test_slider_or_luck(seed):
    """What the folded answers of the panel and of the section with 16 agents conclude."""
    lesson = LESSON.run("cell-03", "cell-05", "cell-11")
    ends, entropies = {}, {}
    for name, change in lesson["SETTINGS"].items():
        run = list(lesson["train"](agents=16, seed=seed, **change))
        entropies[name] = torch.stack([progress.entropy for progress in run])
        ends[name] = evaluate(run[-1].actor, "CartPole-v1", episodes=100, seed=1).mean(dim=1)
    span = {name: returns.max() - returns.min() for name, returns in ends.items()}
    assert set(sorted(span, key=span.get)[3:]) == {"gamma 0.5", "learning rate 1"}
    assert (ends["as in the panel"] >= 475).all()
    assert all((ends[name] < 475 / 4).all() for name in ("gamma 0", "learning rate 0.0001"))
    short, huge = ends["gamma 0.5"], ends["learning rate 1"]
    assert short.min() > 60 and short.max() > 2 * short.min()
    assert (short < 475).sum() >= 12
    assert (huge < 475 / 4).sum() > 8 and (huge < 15).any()
    assert entropies["learning rate 1"][4].mean() < 0.2
    assert entropies["learning rate 0.0001"].min() > 0.69
    assert (entropies["gamma 0"][-1] < 0.5).any() and (ends["gamma 0"] < 15).any()


@each_seed("seed", [0, 1, 2])
def test_the_island(seed):
    """What the folded answer of the map says of its parts."""
    lesson = Lesson(0).run("cell-03", "cell-05", "map-places")
    gammas, rates = lesson["GAMMAS"], lesson["RATES"]
    pairs = {"gamma": [g for g in gammas for _ in rates], "lr": rates * len(gammas)}
    *_, last = lesson["train_all"](**pairs, seed=seed)
    returns = last.recent_returns.view(10, 10)
    halves = returns[5:], returns[:5]
    areas = [part.mean().item() for half in halves for part in half.split([3, 4, 3], dim=1)]
    assert areas.index(max(areas)) == 1 and areas[1] > 1.1 * sorted(areas)[-2]
    assert returns[:, :3].max() < 475 / 8
    assert (returns[0] < 475 / 4).sum() >= 8
    assert (returns[:, 7:] > 240).any() and (returns[:, 7:] < 15).sum() >= 5
    assert (last.entropy.view(10, 10)[:, 9] < 1e-3).sum() >= 4
    high = returns[5:, 4:7].mean(1)
    assert high.min() > 0.5 * high.max()


@pytest.mark.hardening
def test_what_is_revealed_is_one_of_the_options(capsys):
    lesson = Lesson(0).run("cell-03", "cell-05", "guess-one-slider", "cell-11", "cell-13")
    asked = [*lesson["guesses"].values(), lesson["guess_widest"]]
    for guess in asked:
        guess._guess.value = guess.options[0]
    capsys.readouterr()
    Lesson(0).run("revealed", **lesson)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(asked)
    for guess, line in zip(asked, lines):
        out = line.split("otherwise: ")[-1].rstrip(".") if "otherwise" in line else guess.options[0]
        assert set(out.split(" or ")) <= {*guess.options}
    assert [guess.right for guess in asked] == [False, False, False, False]
