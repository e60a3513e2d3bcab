"""The map of two sliders: each position's settings, its colour, the framed cell in words and to watch."""

import pytest
import torch

from helpers import live
from helpers.loop import Progress
from helpers.networks import Actor

GAMMAS, RATES = [0.0, 0.5, 1.0], [0.1, 0.2, 0.3, 0.4]


def train_with(asked):
    """A train function that notes its settings; each agent's return tells them and its seed, as
    100 gamma + 10 lr + seed / 10, and each agent's biases its number."""

    def train(gamma, lr, seed):
        asked.append((gamma, lr, seed))
        actor = Actor(1, 2, hidden=(), agents=len(gamma), generator=torch.Generator())
        with torch.no_grad():
            actor.head.bias[:] = torch.arange(len(gamma))[:, None, None]
        returns = 100 * torch.tensor(gamma) + 10 * torch.tensor(lr) + seed / 10
        nothing = torch.zeros(len(gamma))
        for n, known in ((1, nothing / 0), (2, returns)):
            yield Progress(10 * n, n / 2, known, *[nothing] * 3, actor, n)

    return train


@pytest.fixture
def asked():
    """The settings and seeds with which the panel's train function was called."""
    return []


@pytest.fixture
def panel(asked, monkeypatch):
    monkeypatch.setenv("COURSE_FOREGROUND", "1")
    sliders = {"gamma": live.Slider("discount", 0.5, GAMMAS), "lr": live.Slider("rate", 0.3, RATES)}
    made = live.map_panel(train_with(asked), goal=70, highest=120, **sliders)
    yield made
    made.close()


def test_one_agent_for_each_position_row_by_row(panel, asked):
    assert asked == [([g for g in GAMMAS for _ in RATES], RATES * 3, 0)]
    assert panel.latest.returns.shape == (3, 4, 1)
    assert panel.latest.returns[1, 2, 0] == pytest.approx(53)


def test_the_framed_cell_is_told_drawn_and_watched(panel, asked):
    assert panel.wait() == (
        "Finished. The framed cell, discount 0.5 and rate 0.3: return 53. "
        "At 70 or more: 4 of 12 cells."
    )
    cells, curve = panel._picture.parts
    assert curve.lines[0][0].get_ydata()[-1] == pytest.approx(53)
    assert panel.latest.actor.head.bias.unique() == 6
    panel.set(gamma=1.0, lr=0.1)
    assert "discount 1 and rate 0.1: return 101" in panel.wait()
    assert curve.lines[0][0].get_ydata()[-1] == pytest.approx(101)
    assert cells.cursor == (2, 0) and panel.latest.actor.head.bias.unique() == 8
    panel.set(gamma=0.7)  # a typed number frames the nearest cell
    assert "discount 0.5 and" in panel.wait()
    assert len(asked) == 1, "a pointer trains nothing"
    assert "no episode has ended yet" in next(panel._train(each=1, seed=0)).words()


def test_four_a_cell_are_other_seeds_and_their_mean(panel, asked):
    panel.set(each=4, seed=3)
    assert [seed for *_, seed in asked[1:]] == list(range(12, 16))
    assert panel.latest.returns.shape == (3, 4, 4)
    assert "rate 0.3: return 54" in panel.wait()  # 53 + (12 + ... + 15) / 40
    assert [row[1] for row in panel._picture.rows()][1] == "agents a cell 1, random seed 0"
