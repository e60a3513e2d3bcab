"""Lesson 03: each of its numbers by a second way that shares no code with the lesson's."""

import itertools
import re
from fractions import Fraction

import numpy as np
import pytest
import torch
from lesson_cells import Lesson, each_end, each_seed
from torch import nn

from helpers import loop, networks
from helpers.live import critic_picture

LESSON = Lesson(3)
MOVES = ((0, 1), (1, 0), (0, -1), (-1, 0))


@pytest.fixture(scope="module")
def training():
    return LESSON.run(
        "import matplotlib.pyplot", "V_blind =", "CELLS =", "cell-082", "def judge", "def train"
    )


# --- the grid, told once more --------------------------------------------------------------------


def walk(cell, move):
    """Next cell, reward and whether it ended, on the 5 by 5 grid."""
    x, y = (min(max(c + d, 0), 4) for c, d in zip(cell, move))
    return ((x, y), 1.0, True) if (x, y) == (4, 4) else ((x, y), -0.01, False)


CELLS = [cell for cell in itertools.product(range(5), repeat=2) if cell != (4, 4)]


def swept(best=False, gamma=0.99, sweeps=8000):
    """Values by sweeping over the cells, of the blind agent or the best."""
    v = dict.fromkeys([*CELLS, (4, 4)], 0.0)
    for _ in range(sweeps):
        for cell in CELLS:
            each = [r + gamma * v[after] for after, r, _ in (walk(cell, m) for m in MOVES)]
            v[cell] = max(each) if best else sum(each) / 4
    return v


BLIND = swept()


def test_the_grids_values_and_advantages():
    assert BLIND[0, 0] == pytest.approx(-0.0964725, abs=5e-8)
    assert swept(best=True, sweeps=50)[0, 0] == pytest.approx(0.8641307, abs=5e-8)
    assert swept(best=True, gamma=0.9, sweeps=50)[0, 0] == pytest.approx(0.4261, abs=5e-5)
    assert swept(best=True, gamma=0.5, sweeps=50)[0, 0] == pytest.approx(-0.0120, abs=5e-5)
    each = [
        r + 0.99 * BLIND[after] - BLIND[4, 3] for after, r, _ in (walk((4, 3), m) for m in MOVES)
    ]
    assert np.allclose(each, [0.503, -0.015, -0.286, -0.202], atol=5e-4)


def test_only_an_error_in_the_next_state_biases_the_gradient():
    lesson = LESSON.run(
        "import matplotlib.pyplot", "V_blind =", "def gradient_with", "true_gradient ="
    )
    for wrong in range(24):
        critic = lesson["V_blind"].clone()
        critic[wrong] -= 0.7
        off = (lesson["gradient_with"](critic) - lesson["true_gradient"]).abs().amax(1) > 1e-9
        target = wrong % 5, wrong // 5
        leads = {cell for cell in CELLS if target in [walk(cell, m)[0] for m in MOVES]}
        assert {(i % 5, i // 5) for i in off.nonzero().ravel().tolist()} == leads


def test_the_fishers_three_critics():
    for v, mean in [(1.25, 1.25), (0.0, 2.0), (3.0, 0.2)]:
        assert (4 - v + 0.8 * v - v) / 2 == pytest.approx(mean)
    deltas = LESSON.run("import matplotlib.pyplot", "def fishers_deltas")["fishers_deltas"]
    for v in (1.25, 0.0, 3.0):
        d = deltas(torch.tensor(v), seed=5)
        assert abs(d.mean() - (4 - 1.2 * v) / 2) < 4 * d.std() / len(d) ** 0.5


# --- the friend ----------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [0.0, 0.35, 1.0])
@pytest.mark.parametrize(("game", "paid"), [("lost", 0), ("won", 1)])
def test_what_the_friend_says_of_a_position_only_moves_praise(said, game, paid):
    watch = LESSON.run("import matplotlib.pyplot", "friend-game")["watch_game"]
    shown, deltas = (x.tolist() for x in watch(said, game).value)
    usual = watch(0.5, "lost").value[1].tolist()
    assert shown[3] == said and shown[:3] + shown[4:] == [0.5, 0.6, 0.6, 0.4, 0.3]
    for n in range(6):
        after = paid if n == 5 else shown[n + 1]  # at the end there is nothing to guess any more
        assert deltas[n] == pytest.approx(after - shown[n])
    changes = [deltas[n] - usual[n] for n in range(6)]
    assert changes == pytest.approx([0, 0, said - 0.5, 0.5 - said, 0, paid])
    assert watch(said, game).words().endswith(f"add up to {paid - 0.5:+.2f}.")


# --- the four flaws ------------------------------------------------------------------------------


def test_truncation_as_termination_halves_the_value():
    lesson = LESSON.run(
        "import matplotlib.pyplot", "V_blind =", "CELLS =", "def balance", "def one_number"
    )
    for confused, value in [(False, 100), (True, 1 / (1 - 0.99 * 0.99))]:
        assert lesson["one_number_critic"](confused) == pytest.approx(value, abs=1.5)


def test_the_undetached_values_of_the_book():
    b, c = Fraction(3, 4), Fraction(1, 4)
    slopes = [  # of the mean squared TD error over both episodes, for A, B and C
        lambda a, b, c: (b - a) + (c - a),
        lambda a, b, c: (b - a) - (1 - b),
        lambda a, b, c: (c - a) - (0 - c),
    ]
    assert [slope(Fraction(1, 2), b, c) for slope in slopes] == [0, 0, 0]
    lesson = LESSON.run("import matplotlib.pyplot", "def settle", "suspects = [")
    settled = [lesson["settle"](critic) for critic in lesson["suspects"]]
    assert [np.allclose(v, [0.5, 0.75, 0.25], atol=2e-3) for v in settled] == [
        False,
        False,
        True,
        False,
    ]
    assert sum(np.allclose(v, [0.5, 1, 0], atol=2e-3) for v in settled) == 3


# --- the panel -----------------------------------------------------------------------------------


@each_end(gamma=(0.0, 1.0), lr=(1e-4, 0.1), critic_rate=(0.0, 10.0))
def test_every_end_of_the_sliders_trains_and_draws(training, settings):
    picture = critic_picture()
    picture.restart("run")
    for report in training["train"](**settings, agents=1, updates=60, every=20):
        picture.add(report)
        assert len(picture.png()) > 5000
        assert report.exact.isfinite().all() and "nan" not in report.words()
    assert report.fraction == 1 and len(picture.rows()) == 1


def test_the_same_seed_gives_the_same_numbers_and_agents_are_judged_alone(training):
    first, again = (list(training["train"](agents=2, updates=20)) for _ in range(2))
    assert torch.equal(first[-1].critic, again[-1].critic)
    assert first[-1].words().endswith(f"error of the critic {first[-1].errors().mean():.3f}.")
    policy = first[-1].policy[1].numpy()
    v = dict.fromkeys([*CELLS, (4, 4)], 0.0)
    for _ in range(3000):
        for x, y in CELLS:
            steps = [walk((x, y), m) for m in MOVES]
            v[x, y] = sum(
                p * (r + 0.99 * v[after]) for p, (after, r, _) in zip(policy[5 * y + x], steps)
            )
    assert first[-1].exact[1, 0] == pytest.approx(v[0, 0], abs=1e-6)


SEED_SETS = [77, 1, 2]  # each of 16 agents, none of them the lesson's


@each_seed("seed", SEED_SETS)
def test_the_collapsed_answer_on_sixteen_other_agents(training, seed):
    def end(**change):
        (report,) = training["train"](agents=16, seed=seed, every=800, **change)
        return report, int((report.exact[:, 0] > report.best - 0.1 * abs(report.best)).sum())

    usual, arrived = end()
    assert arrived >= 14 and usual.errors().mean() < 0.1
    *reports, fast = training["train"](agents=16, seed=seed, lr=0.01, every=40)
    value = torch.stack([report.exact[:, 0] for report in (*reports, fast)])
    assert 1 <= ((value.amax(0) > 0.75) & (value[-1] < 0.75)).sum() <= 10  # some lose the way
    assert (value[-1] > fast.best - 0.1 * abs(fast.best)).sum() <= 2
    assert fast.exact[:, 0].mean() < -0.7 and fast.errors().mean() < 0.4
    alone, arrived = end(critic_rate=0.0)
    assert arrived <= 2 and alone.exact[:, 0].mean() < -0.0965
    assert nearer(alone.policy).mean() > 0.7
    quick, _ = end(critic_rate=10.0)
    assert quick.errors().mean() > 2.5 * usual.errors().mean()
    impatient, arrived = end(gamma=0.5)
    assert arrived >= 14 and impatient.errors().mean() < 0.1


def nearer(policies):
    """Whether the likeliest action leads nearer the goal: policies [K, 25, 4] -> [K, 24]."""
    likeliest = policies.argmax(-1)[:, :24].tolist()
    return torch.tensor(
        [
            [sum(walk((s % 5, s // 5), MOVES[a])[0]) > s % 5 + s // 5 for s, a in enumerate(row)]
            for row in likeliest
        ]
    ).double()


class Table(networks.Actor):
    """A logit for each cell and action, in place of a network: no cell learns from another."""

    def __init__(self, _state_dim, actions, *, hidden, **options):
        super().__init__(25, actions, hidden=(), **options)

    def forward(self, cells):
        x, y = ((cells + 1) * 2).round().long().unbind(-1)
        return super().forward(nn.functional.one_hot(x + 5 * y, 25).float()) - self.head.bias


@each_seed("seed", SEED_SETS)
def test_without_a_critic_it_is_the_network_that_generalises(training, seed, monkeypatch):
    monkeypatch.setattr(loop, "Actor", Table)
    (end,) = training["train"](agents=16, seed=seed, every=800, critic_rate=0.0)
    each = nearer(end.policy).mean(0)
    beside_the_goal = [19, 23]
    elsewhere = [cell for cell in range(24) if cell not in beside_the_goal]
    assert each[beside_the_goal].min() > 0.9
    assert each[elsewhere].mean() == pytest.approx(38 / 88, abs=0.12)  # blind: of 4 actions each


@each_seed("seed", SEED_SETS)
def test_actor_and_critic_chase_each_other_on_eight_other_agents(training, seed):
    reports = list(training["train"](agents=8, seed=seed))
    value = torch.stack([report.exact[:, 0] for report in reports])
    error = torch.stack([report.errors().mean() for report in reports])
    mean, top = value.mean(1), int(value.mean(1)[:12].argmax())
    worst = top + int(mean[top:30].argmin())
    assert 0.65 < mean[top] < 0.85 and mean[worst] < mean[top] - 0.5
    assert (value[top:30].amin(0) < -0.0965).sum() >= 2
    assert mean[-1] > 0.5 and (value[-1] > 0.8).sum() >= 7
    assert top <= error.argmax() <= worst and error[-1] < 0.1 * error.max()
    low = reports[worst]
    critic, truth = low.critic.mean(0), low.exact.mean(0)
    assert critic[0] > truth[0] + 0.5 and critic[0] > max(critic[19], critic[23]) + 0.3
    assert max(critic[19], critic[23]) < min(truth[19], truth[23])
    lost, end = int(low.exact[:, 0].argmin()), reports[-1]
    assert len(low.policy[lost, :24].argmax(1).unique()) == 1  # goes one way only
    assert low.critic[lost, 0] > low.exact[lost, 0] + 0.5
    assert (end.critic - end.exact)[lost, 0].abs() < 0.15


@pytest.mark.hardening
def test_the_classic_critic_is_too_low_and_then_right():
    lesson = LESSON.run(
        "import matplotlib.pyplot",
        "V_blind =",
        "class Actor(nn",
        "class Critic(nn",
        "class ClassicAgent",
        "def play",
        "CELLS =",
    )
    found = []
    for seed in range(32, 48):
        agent = lesson["ClassicAgent"](state_dim=2, action_dim=4, seed=seed)
        world = lesson["gymnasium"].make("GridWorld-v0")
        for step in lesson["play"](agent, world, steps=1000, seed=seed):
            if step in (250, 1000):
                found.append([lesson["V_of"](agent)[0], agent.critic(lesson["CELLS"][0])])
    early, late = torch.tensor(found).view(16, 2, 2).unbind(1)
    assert 10 <= (early[:, 1] < early[:, 0]).sum()
    assert 1 <= (early[:, 0] < -0.0965).sum() <= 7
    assert ((late[:, 0] - late[:, 1]).abs() < 0.1).sum() >= 15 and late[:, 0].median() > 0.8


@pytest.mark.hardening
def test_shared_or_separate_on_other_seeds():
    lesson = LESSON.run("import matplotlib.pyplot", "def mean_returns", "import permutation_test")
    source = LESSON.cell("def mean_returns").source
    exec(source.replace("seed=2026", "seed=100"), lesson)
    returns, compare = lesson["mean_returns"], lesson["permutation_test"]
    rates = (0.0125, 0.025, 0.05, 0.1, 0.2)
    separate = {lr: returns(lr=lr) for lr in rates}
    shared = {
        (lr, weight): returns(lr=lr, shared_body=True, value_coef=weight)
        for lr in rates
        for weight in (0.5, 0.05)
    }
    for searched, chosen in ((separate, 0.05), (shared, (0.1, 0.05))):
        best, *_, worst = sorted(searched.values(), key=np.mean, reverse=True)
        assert compare(best, searched[chosen]) > 0.05  # none of the others is better
        assert compare(worst, searched[chosen]) < 0.001
    assert compare(separate[0.05], shared[0.05, 0.5]) < 0.01


@pytest.mark.hardening
def test_with_its_own_settings_a_shared_body_is_as_good():
    lesson = LESSON.run("import matplotlib.pyplot", "def mean_returns", "import permutation_test")
    source = LESSON.cell("def mean_returns").source
    returns = {"separate": [], "shared": [], "tuned": []}
    for seed in (100, 200, 300):
        exec(source.replace("seed=2026", f"seed={seed}"), lesson)
        returns["separate"].append(lesson["mean_returns"](lr=0.05))
        returns["shared"].append(lesson["mean_returns"](lr=0.05, shared_body=True))
        tuned = {"lr": 0.1, "shared_body": True, "value_coef": 0.05}
        returns["tuned"].append(lesson["mean_returns"](**tuned))
    compare = lesson["permutation_test"]
    for separate, shared in zip(returns["separate"], returns["shared"]):
        assert compare(separate, shared) < 0.01 and shared.mean() < separate.mean()
    assert compare(*(np.concatenate(returns[side]) for side in ("separate", "tuned"))) > 0.05


# --- predictions ---------------------------------------------------------------------------------


def values_that_fall(fall):
    mean = torch.tensor([-0.1, 0.4, 0.7, 0.7 - fall, 0.75, 0.86])
    return {"values": mean[:, None].expand(6, 8)}


def without_critic(arrived, share):
    return {"found": {"critic's rate 0": (arrived, torch.tensor(share))}}


REVEALED = [  # the cells that lead from the question to the answer, what they are given, and it
    ("friend", ["friend-game", "friend-reveal"], {}, "2"),
    ("flattered", ["def gradient_with", "true_gradient =", "cell-020"], {}, "3"),
    ("spread", ["def blind_walks", "deltas =", "to_go[t] =", "cell-027"], {}, "4 to 8"),
    ("limit", ["import gymnasium", "def balance", "def one_number", "cell-053"], {}, "50"),
    ("fall", ["fall-reveal"], values_that_fall(0.0), "less than 0.05"),
    ("fall", ["fall-reveal"], values_that_fall(0.1), "0.05 to 0.2"),
    ("fall", ["fall-reveal"], values_that_fall(0.3), "0.2 to 0.5"),
    ("fall", ["fall-reveal"], values_that_fall(1.4), "more than 0.5"),
    ("silent", ["silent-reveal"], without_critic(0, 0.42), "nothing, as good as blind"),
    ("silent", ["silent-reveal"], without_critic(1, 0.85), "something, but not the way"),
    ("silent", ["silent-reveal"], without_critic(15, 1.0), "the way, only more slowly"),
]


@pytest.mark.parametrize(("name", "cells", "given", "right"), REVEALED)
def test_what_comes_out_of_a_prediction(name, cells, given, right):
    names = LESSON.run("import matplotlib.pyplot", "V_blind =", **given)
    assert LESSON.came_out(f"guess-{name}", *cells, **names) == [right]


def test_each_prediction_is_tested():
    assert {*LESSON.asked()} == {f"guess-{name}" for name, *_ in REVEALED}
    assert LESSON.cell("score").source == "live.score()"


def test_the_timing_is_not_stored():
    stored = LESSON.path.read_text(encoding="utf-8")
    assert not re.search(r"\d seconds|steps per second", stored)
