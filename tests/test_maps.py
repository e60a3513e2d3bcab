"""The map of two sliders: each position's settings, its colour, the framed cell in words and to watch."""

import pytest
import torch

from helpers import live
from helpers.loop import Progress
from helpers.networks import Actor

GAMMAS, RATES = [0.0, 0.5, 1.0], [0.1, 0.2, 0.3, 0.4]


class Train:
    """Each agent's return tells its settings and its seed: 100 gamma + 10 lr + seed / 10."""

    def __init__(self):
        self.asked = []

    def __call__(self, gamma, lr, seed):
        self.asked.append((gamma, lr, seed))
        returns = 100 * torch.tensor(gamma) + 10 * torch.tensor(lr) + seed / 10
        actor = Actor(
            1, 2, hidden=(), agents=len(gamma), generator=torch.Generator().manual_seed(0)
        )
        for k in range(len(gamma)):
            actor.head.bias.data[k] = k
        nothing = torch.zeros(len(gamma))
        for n in (1, 2):
            yield Progress(
                10 * n, n / 2, returns if n == 2 else nothing / 0, *[nothing] * 3, actor, n
            )


@pytest.fixture
def panel(monkeypatch):
    monkeypatch.setenv("COURSE_FOREGROUND", "1")
    train = Train()
    made = live.map_panel(
        train,
        goal=70,
        highest=120,
        gamma=live.Slider("discount", 0.5, GAMMAS),
        lr=live.Slider("rate", 0.3, RATES),
    )
    made.train = train
    yield made
    made.close()


def test_one_agent_for_each_position_row_by_row(panel):
    [(gamma, lr, seed)] = panel.train.asked
    assert (gamma, lr, seed) == ([g for g in GAMMAS for _ in RATES], RATES * 3, 0)
    assert panel.latest.returns.shape == (3, 4, 1)
    assert panel.latest.returns[1, 2, 0] == pytest.approx(53)


def test_the_framed_cell_is_told_drawn_and_watched(panel):
    assert panel.wait() == (
        "Finished. The framed cell, discount 0.5 and rate 0.3: return 53. "
        "Of 12 cells 4 are at 70 or more."
    )
    curve = panel._picture.parts[1]
    assert curve.lines[0][0].get_ydata()[-1] == pytest.approx(53)
    assert panel.latest.actor.head.bias.unique() == 6
    panel.set(gamma=1.0, lr=0.1)
    assert "discount 1 and rate 0.1: return 101" in panel.wait()
    assert curve.lines[0][0].get_ydata()[-1] == pytest.approx(101)
    assert panel._picture.parts[0].cursor == (2, 0) and panel.latest.actor.head.bias.unique() == 8
    assert len(panel.train.asked) == 1, "a pointer trains nothing"


def test_a_typed_number_frames_the_nearest_cell(panel):
    panel.set(gamma=0.7)
    assert "discount 0.5 and" in panel.wait()


def test_four_a_cell_are_other_seeds_and_their_mean(panel):
    panel.set(each=4, seed=3)
    assert [seed for *_, seed in panel.train.asked[1:]] == list(range(12, 16))
    assert panel.latest.returns.shape == (3, 4, 4)
    assert "rate 0.3: return 54" in panel.wait()  # 53 + (12 + ... + 15) / 40
    assert [row[1] for row in panel._picture.rows()][1] == "agents a cell 1, random seed 0"


def test_before_an_episode_has_ended(panel):
    first = next(panel._train(each=1, seed=0))
    assert "no episode has ended yet" in first.words()
