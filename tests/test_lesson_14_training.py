"""Lesson 14: its cells against test_lesson_14's functions, and what it says of training, by seeds."""

import heapq
import itertools
import sys
from concurrent.futures import Future
from contextlib import closing, contextmanager
from functools import cache
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
import test_lesson_14
import torch
from lesson_cells import Lesson, each_end, each_seed
from test_lesson_14 import Problem, climbed

from helpers import engine
from helpers.loop import make_learner
from helpers.rollout import collect, make_envs
from helpers.stats import permutation_test
from helpers.training import evaluate
from helpers.updates import a2c_update

LESSON = Lesson(14)
SEEDS = [11, 12, 13]  # the lesson shows 2026, its panel 0


@cache
def parts():
    """What the lesson's cells define, without the runs."""
    exactly = "climb", "bandit-panel", "lag-came-out", "stale", "sweep", "pipeline", "at-random"
    learning = "learn", "lagged", "stage", "panel-train", "make", "from-actors"
    return LESSON.run("imports", *exactly, *learning)


# --- exact ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("lag", [0, 4, 16, 64])
@pytest.mark.parametrize("corrected, limit", [(False, None), (True, 1)])
def test_the_lagged_bandit_ends_where_it_ends_there(lag, corrected, limit):
    logits = torch.tensor(np.random.default_rng(0).normal(size=(1000, 3)))
    *_, last = parts()["climb"](logits, lag, corrected)
    assert last[:, 2].mean().item() == pytest.approx(climbed(lag, limit), abs=1e-6)


def test_a_stale_gradient_is_the_gradient_where_it_was_taken():
    climb, pays = parts()["climb_stale"], parts()["PAYS"]
    x = torch.tensor(np.random.default_rng(1).normal(size=(20, 3)), requires_grad=True)
    (slope,) = torch.autograd.grad((x.softmax(-1) @ pays).sum(), x)
    x = x.detach()
    for updates in (1, 2, 3):  # with a lag of 3 all of these are taken at the start
        expected = (x + updates * 3.0 * slope).softmax(-1)
        assert torch.allclose(climb(x, 3, updates=updates)[-1], expected)
    assert torch.allclose(climb(x, 0)[-1], parts()["climb"](x, 0)[-1])


@pytest.mark.parametrize("rho_max, c_max", [(1, 0.01), (1, 1), (0.4, 0.4), (1.6, 0.4)])
def test_a_sweep_is_that_of_the_linear_system_there(rho_max, c_max, monkeypatch):
    names, problem = parts(), Problem(0)
    monkeypatch.setattr(test_lesson_14, "GAMMA", names["gamma"])
    alive = (~names["mdp"].terminal).double()
    paid = (names["mdp"].transitions * names["mdp"].rewards).sum(-1)
    problem.p, problem.r = (
        (names["P"] * alive[:, None, None]).numpy(),
        (paid * alive[:, None]).numpy(),
    )
    problem.pi, problem.mu = names["pi"].numpy(), names["mu"].numpy()
    V = torch.tensor(np.random.default_rng(0).normal(size=25)) * alive
    swept = problem.sweep(V.numpy(), rho_max, c_max)
    assert np.allclose(names["sweep"](V, rho_max, c_max), swept)


@each_end(lag=(0, 64), corrected=("no", "yes"), rate=(0.3, 10.0))
def test_the_bandit_at_every_end_of_its_sliders(settings):
    *_, last = parts()["climb_shown"](**settings)
    assert torch.allclose(last.policy.sum(-1), torch.ones(30).double()) and last.words()


@pytest.mark.parametrize(
    ("ask", "cells", "right"),
    [
        ("guess-lag", ["lag-printed"], ["about three in four"]),
        ("guess-stale", ["stale-came-out"], ["stale gradients"]),
        ("guess-limits", ["limits-came-out"], ["rho_max alone"]),
        ("guess-thousand", ["thousand"], ["about 8 times"]),
    ],
)
def test_what_comes_out_of_a_prediction(ask, cells, right):
    assert LESSON.came_out(ask, *cells, **parts()) == right


# --- the pipeline --------------------------------------------------------------------------------


def played_pipeline(n, cores, acting, sending, learning, reports, draw):
    """Reports a second, event by event: n actors who act on so many cores, send, and wait in line."""
    events, idle, ready, queue, done, now = (
        [],
        cores,
        n,
        0,
        0,
        0.0,
    )  # queue: reports not learned yet
    while done < reports:
        while idle and ready:
            idle, ready = idle - 1, ready - 1
            heapq.heappush(events, (now + draw(acting), "acted"))
        now, event = heapq.heappop(events)
        if event == "acted":
            idle += 1
            heapq.heappush(events, (now + sending, "sent"))
        else:
            queue += 1 if event == "sent" else -1
            done, ready = (done, ready) if event == "sent" else (done + 1, ready + 1)
            if queue and (event == "learned" or queue == 1):
                heapq.heappush(events, (now + draw(learning), "learned"))
    return reports / now


CORES = [(1, 1000), (3, 1000), (8, 1000), (30, 1000), (2, 2), (3, 2), (30, 2), (30, 4)]
TIMES = [(0.02, 0.002, 0.003), (0.001, 0.1, 0.003)]


@pytest.mark.parametrize("n, cores", CORES)
@pytest.mark.parametrize("times", TIMES)
def test_the_pipelines_two_answers_are_those_of_a_play(n, cores, times):
    bound, random = (
        parts()["bound"](n, *times, cores),
        parts()["at_random"](n, *times, cores)[-1].item(),
    )
    rng, most = np.random.default_rng(n), max(2, 20_000 // n)
    regular = played_pipeline(n, cores, *times, most * n, lambda t: t)
    assert regular == pytest.approx(bound, rel=0.02)
    drawn = played_pipeline(n, cores, *times, 60_000, rng.exponential)
    assert drawn == pytest.approx(random, rel=0.03)


@pytest.mark.parametrize("times", ["of the sliders", "measured here"])
@each_end(acting=(0.1, 1000.0), sending=(0.1, 1000.0), learning=(0.1, 1000.0), cores=(2, 1000))
def test_the_pipeline_at_every_end_of_its_sliders(settings, times):
    names = LESSON.run(
        "pipeline-panel", **parts(), acting=0.01, sending=0.01, learning=0.01, measured={1: 1, 2: 2}
    )
    item = names["line"](times, **settings)
    regular, random = item.value[0]
    assert (random <= regular * (1 + 1e-6)).all() and (regular > 0).all() and item.words()
    assert regular.max() <= 1 + 1e-9


def test_the_answers_to_the_pipelines_questions():
    names = LESSON.run(
        "pipeline-panel", **parts(), acting=0.01, sending=0.01, learning=0.01, measured={1: 1, 2: 2}
    )
    item = names["line"]("of the sliders", 20.0, 2.0, 3.0, 2)
    assert "51,200 steps" in item.words() and "cores can be busy" in item.words()
    assert item.value[0][0, -1].item() == pytest.approx(0.3)
    assert "learner can be busy" in names["line"]("of the sliders", 20.0, 2.0, 3.0, 1000).words()


def test_old_experience_is_the_stale_gradient_with_the_old_baseline():
    x = torch.tensor(np.random.default_rng(2).normal(size=(20, 3)))
    for lag in (3, 16):
        one = parts()["climb"](x, lag, updates=60, baseline="then")[-1]
        assert torch.allclose(one, parts()["climb_stale"](x, lag, updates=60)[-1])


def test_most_that_miss_the_best_arm_are_sure_of_the_second():
    last = parts()["climb"](parts()["starts"], 16)[-1]
    missed = last[last[:, 2] <= 0.5]
    assert (missed[:, 1] > 0.99).double().mean() > 0.8


# --- the learner and its actors ------------------------------------------------------------------


def a_rollout(agents=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with closing(make_envs("CartPole-v1", 8 * agents)) as envs:
        options = {"generator": generator, "lr": 0.005, "hidden": (16,)}
        learner = make_learner(envs, agents=agents, **options)
        rollouts = collect(envs, learner.actor, steps=40, seed=seed, generator=generator)
        return learner, next(rollouts)


@pytest.mark.parametrize("corrected", [True, False, [True, False]])
def test_without_a_lag_an_update_is_a2cs(corrected):
    (ours, rollout), (theirs, _) = a_rollout(), a_rollout()
    mu = parts()["taken"](ours.actor, rollout)
    *_, near = parts()["learn"](*ours, rollout, mu, corrected=torch.tensor(corrected))
    a2c_update(*theirs, rollout, reward_scale=0.1)
    for one, other in zip(ours.actor.parameters(), theirs.actor.parameters()):
        assert torch.allclose(one, other, atol=1e-6)
    assert torch.allclose(near, torch.ones(2))


def test_each_agent_acts_as_old_as_its_lag_says():
    actor = a_rollout(4)[0].actor
    acting, *past = (actor.snapshot() for _ in range(5))
    for n, policy in enumerate(past):
        for part in policy.parameters():
            part.data.fill_(float(n))
    parts()["age"](acting, past, [0, 1, 3, 9])
    for part in acting.parameters():
        assert [value.unique().tolist() for value in part] == [[3.0], [2.0], [0.0], [0.0]]


def made_up(speeds, deaths=0.0, repeat=False):
    """An engine without processes: actors that answer in the order of their speeds, and may die."""
    rng, clock, at = np.random.default_rng(0), {}, [0.0]

    class Made:
        def __init__(self, number):
            self.number, self.told = number, 0

        def call(self, *args):
            return self.send(args)

        def send(self, args):
            self.asked = args
            clock[future := Future()] = at[0] + rng.exponential(1 / speeds[self.number]), self
            return future

    @contextmanager
    def actors(make, number, on):
        yield [Made(k) for k in range(number)]

    def wait(pending, return_when):
        first = min(pending, key=lambda future: clock[future][0])
        at[0], actor = clock[first]
        if rng.random() < deaths:
            first.set_exception(engine.Lost())
        elif actor.asked is None:
            first.set_result(None)
        else:
            name = actor.number, 0, 0 if repeat else actor.told
            actor.told += 1
            first.set_result(SimpleNamespace(name=name, rollout=None, mu=None))
        return {first}, None

    return {"engine": SimpleNamespace(actors=actors, Lost=engine.Lost), "wait": wait}


def steps_of(updates, actors, **engine_of):
    names = parts() | made_up(**engine_of) | {"learn": lambda *_: None}
    names = LESSON.run("from-actors", **names)
    with closing(names["from_actors"](actors=actors)) as steps:
        return list(islice(steps, updates))


@pytest.mark.parametrize("speeds", [[1, 1], [1, 30], [1, 2, 3, 4, 50]])
def test_the_mean_lag_is_the_number_of_others_whatever_their_speeds(speeds):
    steps = steps_of(3000, len(speeds), speeds=speeds)
    assert np.mean([lag for _, lag, _ in steps]) == pytest.approx(len(speeds) - 1, rel=0.05)


def test_what_is_lost_is_counted_and_nothing_else_twice():
    steps = steps_of(300, 3, speeds=[1, 2, 3], deaths=0.3)
    names = [report.name for report, *_ in steps]
    assert len(set(names)) == 300 and steps[-1][2] > 50


def test_a_next_life_is_called_with_the_weights_of_when_it_is_there():
    """Births take as long as reports here, so the lag of a report is that of one call, not of two."""
    lags = [lag for _, lag, _ in steps_of(2000, 2, speeds=[1, 1], deaths=0.3)]
    assert np.mean(lags) < 1.1


def test_a_report_that_comes_twice_is_refused():
    with pytest.raises(RuntimeError, match="learned from already"):
        steps_of(5, 1, speeds=[1], repeat=True)


def test_a_next_life_plays_other_episodes():
    make, weights = parts()["make"], a_rollout(1)[0].actor.state_dict()
    lives = [make(0, life)(weights).rollout.observations for life in (0, 0, 1)]
    assert torch.equal(lives[0], lives[1]) and not torch.equal(lives[0], lives[2])


def test_without_ray_the_lesson_says_so_and_goes_on(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    names = {"with_a_death": lambda on: list(steps_ray(on))}
    LESSON.run("ray", **parts() | names)
    assert "pip install" in capsys.readouterr().out


def steps_ray(on):
    with engine.actors(None, 1, on=on):
        yield


@pytest.mark.hardening
def test_two_real_actors_and_a_death(capsys):
    names = LESSON.run("killed", "killed-said", **parts())
    assert names["lost"] == 1 and max(names["lags"]) < 20
    told = capsys.readouterr().out
    assert "learned from twice: 0" in told and "meanwhile: some" in told


@pytest.mark.hardening
def test_the_mean_lag_that_is_predicted(capsys):
    assert LESSON.came_out("guess-mean", "two-actors", "two-actors-said", **parts()) == ["about 1"]
    assert "returns grew: yes" in capsys.readouterr().out


# --- the lag on CartPole -------------------------------------------------------------------------


@cache
def groups(seed):
    """Returns of fresh episodes [10, 16], and recent returns on the way [updates, 10, 16]."""
    kinds = "not corrected", "corrected", "stale gradient"
    arms = [(0, ""), *itertools.product((4, 16, 64), kinds)]
    lags, kinds = zip(*(arm for arm in arms for _ in range(16)))
    corrected = [kind == "corrected" for kind in kinds]
    places = [lag * (kind == "stale gradient") for lag, kind in zip(lags, kinds)]
    history = []
    for progress, _ in parts()["lagged"](lags, corrected, places, seed=seed):
        history.append(progress.recent_returns.view(10, 16))
    fresh = evaluate(progress.actor, "CartPole-v1", episodes=20, seed=7).mean(1)
    return fresh.view(10, 16).numpy(), torch.stack(history).numpy()


@each_seed("seed", SEEDS)
def test_a_lag_of_4_is_learned_with_and_old_experience_fails_at_longer_ones(seed):
    fresh, history = groups(seed)
    assert (fresh[:4].mean(1) > 450).all()
    assert all(permutation_test(fresh[0], group) > 0.01 for group in fresh[1:4])
    for group in fresh[[4, 5, 7, 8]]:
        assert group.mean() < 350 and permutation_test(fresh[0], group) < 0.01
    assert (np.nanmax(history[:, 4], 0) > 150).mean() > 0.7  # they learn first
    broken = (fresh < 15).sum(1)
    assert broken[4] >= 6 and broken[5] <= 3 and broken[8] <= broken[7]  # and then break down


@each_seed("seed", SEEDS)
def test_for_a_while_the_longest_lag_is_ahead(seed):
    _, history = groups(seed)
    ahead = history[200:, 7].mean(1) - history[200:, 0].mean(1)
    assert ahead.max() > 50 and ahead[-1] < -100


@each_seed("seed", SEEDS)
def test_corrected_is_better_or_undecided_at_16_and_never_shown_better_at_64(seed):
    fresh, _ = groups(seed)
    assert fresh[5].mean() > fresh[4].mean()
    assert fresh[8].mean() < fresh[7].mean() or permutation_test(fresh[7], fresh[8]) > 0.05


@each_seed("seed", SEEDS)
def test_stale_gradients_hold(seed):
    fresh, _ = groups(seed)
    assert fresh[6].mean() > 430 and permutation_test(fresh[0], fresh[6]) > 0.05
    for corrected, gradient in (fresh[5:7], fresh[8:10]):
        assert gradient.mean() > corrected.mean() and permutation_test(corrected, gradient) < 0.01
        assert gradient.min() > 15


@each_seed("seed", SEEDS)
def test_a_fifth_of_the_rate_does_not_break_down_later(seed):
    ends = [panel(seed, lag, lr=0.001, updates=3200)[0] for lag in (0, 16)]
    assert all(returns.mean() > 450 and returns.min() > 100 for returns in ends)


@cache
def panel(seed, lag, lr=0.005, gamma=0.99, updates=400):
    """Returns of fresh episodes of 16 agents, as the panel trains them; and the mean of min(1, ratio)."""
    near = []
    settings = {"lr": lr, "gamma": gamma, "seed": seed, "updates": updates}
    for progress, ratios in parts()["lagged"]([lag] * 16, False, **settings):
        near.append(ratios.mean().item())
    fresh = evaluate(progress.actor, "CartPole-v1", episodes=20, seed=7).mean(1)
    return fresh.numpy(), np.mean(near)


FREE_AND_SHORT = (0, 0.005, 0.99), (0, 0.005, 0.9), (16, 0.005, 0.9)  # lag, rate, gamma


@each_seed("seed", SEEDS)
def test_the_panels_folded_answers(seed):
    broken, _ = panel(seed, 16)
    (none, _), (slow, near) = panel(seed, 0, lr=0.001), panel(seed, 16, lr=0.001)
    assert permutation_test(none, slow) > 0.01 or slow.mean() > none.mean()
    assert near > 0.97 and slow.mean() > broken.mean() + 50
    (plain, _), (free, _), (short, _) = (panel(seed, *one) for one in FREE_AND_SHORT)
    assert permutation_test(broken, short) < 0.05 and short.mean() > broken.mean()
    assert free.mean() < plain.mean() or permutation_test(free, plain) > 0.05
    fast, fast_old = panel(seed, 0, lr=0.02)[0], panel(seed, 4, lr=0.02)[0]
    assert fast.mean() > 400 and fast_old.mean() < 200


@each_end(lag=(0, 64), corrected=("no", "yes"), gamma=(0.0, 1.0), lr=(1e-4, 0.1))
def test_the_panel_at_every_end_of_its_sliders(settings):
    for stage in islice(parts()["train"](**settings, agents=1), 80):
        assert stage.words() and 0 <= stage.near <= 1 + 1e-6


@each_seed("seed", SEEDS)
def test_what_the_map_shows(seed):
    one_row = LESSON.run("one-row", **parts())["one_row"]
    rows = torch.stack([one_row(lam, seed) for lam in (0.5, 0.8, 0.95, 1.0)])
    assert rows[:, :5].max() < 150
    assert rows[2:, 7:].mean() > rows[:2, 7:].mean() + 20
