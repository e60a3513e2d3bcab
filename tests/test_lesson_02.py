"""Lesson 02: each of its numbers by a second way that shares no code with the lesson's."""

import functools
import itertools
import math
import re
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lesson_cells import Lesson, each_seed

from helpers import exact, live
from helpers.envs.corridor import short_corridor
from helpers.envs.gridworld import grid

LESSON = Lesson(2)
STEPS = np.full((1000, 4, 2), 12)  # where a cell prints a table of any runs


@pytest.fixture(scope="module")
def corridor():
    return LESSON.run(
        "imports", "after", "play", "score", "learn-by-hand", "probability", "walk", "learn"
    )


# --- the early panel, and the predictions --------------------------------------------------------


@pytest.fixture(scope="module")
def early():
    names = LESSON.run("imports", "after", "play", "push", "teach")

    def moved(p, episodes, lucks):
        """p after each, and whether the mean return, by solving the chain, became higher."""
        ends = [names["teach"](p, episodes, luck).value[1] for luck in lucks]
        better = [exact_mean_return(end) > exact_mean_return(p) for end in ends]
        return np.array(ends), np.array(better)

    return SimpleNamespace(moved=moved, **names)


def exact_mean_return(p):
    logits = torch.tensor([0.0, math.log(p / (1 - p))], dtype=torch.float64)
    return exact.state_values(short_corridor(), logits.softmax(0).expand(4, 2), 1.0)[0].item()


def test_the_curve_is_the_corridors(early):
    for p in (0.1, 0.5, 0.9):
        assert early.mean_return(p) == pytest.approx(exact_mean_return(p))


def test_the_panel_begins_with_the_lucky_episode(early):
    (luck,) = re.findall(r'slider\("luck", (\d+)', LESSON.cells["early-panel"].source)
    assert early.teach(0.5, 1, int(luck)).said.startswith("RLR: p goes from 0.5 to 0.480")


@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
def test_a_thousand_episodes_climb(early, p):
    for lucks in (range(0, 100, 8), range(1000, 1008)):
        ends, better = early.moved(p, 1000, lucks)
        assert better.mean() > 0.95 and ((ends > p) == (p < 0.586)).mean() > 0.95


def test_one_episode_goes_either_way_and_long_ones_furthest(early):
    for lucks in (range(100), range(1000, 1400)):
        ends, better = early.moved(0.5, 1, lucks)
        steps = [len(early.play(0.5, np.random.default_rng(luck))) for luck in lucks]
        assert 0.4 < (ends > 0.5).mean() < 0.65 and 0.15 < better.mean() < 0.35
        assert np.corrcoef(steps, abs(ends - 0.5))[0, 1] > 0.5


def test_near_the_best_there_is_nowhere_to_climb_to(early):
    _, better = early.moved(2 - 2**0.5, 1000, range(32))
    assert better.mean() < 0.1


def steps_that_arrive(after):
    """A stand-in for `learn`: runs that are at 12 steps from this episode on."""

    def learn(alphas, betas, **_):
        steps = np.where(np.arange(1000) < after, 50, 12)
        return np.tile(steps[:, None, None], (1, 1, 100)), None

    return learn


def groups(shift):
    spread = np.linspace(-1, 1, 32)
    return {"final_with": 300 + spread + shift, "final_without": 300 + spread}


THIRD = ("report", "smooth", "how-long")
PREDICTIONS = [  # name, cells that the last one needs, names handed in, the right answer
    ("lucky", ("push", "lucky-push"), {}, "down"),
    ("runaway", ("after", "probability", "walk", "one-episode"), {}, "only with theta moving"),
    ("best", ("bandit", "variance", "best-baseline"), {}, "above V"),
    *[
        ("third", (*THIRD, "one-theta"), {"learn": steps_that_arrive(n)}, right)
        for n, right in [(90, "about 100"), (350, "about 350"), (690, "about 700")]
    ],
    ("third", (*THIRD, "one-theta"), {"learn": steps_that_arrive(1000)}, "more than 1000"),
    *[
        ("baseline", ("cartpole-verdict",), groups(shift), right)
        for shift, right in [
            (9, "with the baseline"),
            (0, "no difference shown"),
            (-9, "without the baseline"),
        ]
    ],
]


@pytest.mark.parametrize(("name", "cells", "given", "right"), PREDICTIONS)
def test_what_comes_out_of_a_prediction(name, cells, given, right):
    names = LESSON.run("imports", steps=STEPS, names=4 * ["any"], **given)
    assert LESSON.came_out(f"guess-{name}", *cells, **names) == [right]


def test_each_prediction_is_tested():
    assert {*LESSON.asked()} == {f"guess-{name}" for name, *_ in PREDICTIONS}


# --- the corridor --------------------------------------------------------------------------------


def test_the_exact_push_is_the_derivative_of_the_closed_form():
    def value(gap):
        p = Fraction(1, 2) + gap  # p' = p (1 - p) = 1/4 for a sigmoid at the coin toss
        return (2 * p - 4) / (p * (1 - p))

    h = Fraction(1, 10**6)
    assert float((value(h) - value(-h)) / (2 * h) / 4) == pytest.approx(2, abs=1e-9)
    assert "exact gradient 2.000" in LESSON.said("pushes-average")


@pytest.mark.parametrize("p", [0.05, 0.3, 2 - 2**0.5, 0.95])
def test_walks_are_as_long_as_the_formula_says(corridor, p):
    _, walking = corridor["walk"](np.full(4000, p), np.random.default_rng(1), longest=10_000)
    steps = walking.sum(0)
    expected = (4 - 2 * p) / (p * (1 - p))
    assert abs(steps.mean() - expected) < 4 * steps.std() / 4000**0.5


@pytest.mark.parametrize("inside", [True, False])
def test_runs_side_by_side_follow_the_pseudocode(corridor, inside):
    """The learner over arrays against plain Python, episode by episode, on the same episodes."""
    walked = []

    def remembering(p, rng, walk=corridor["walk"]):
        walked.append((p, *walk(p, rng)))
        return walked[-1][1:]

    names = dict(corridor, walk=remembering)
    exec(LESSON.cells["learn"].source, names)
    alphas, betas = np.array([2.0**-12, 2.0**-9]), np.array([0, 2.0**-6])
    names["learn"](alphas, betas, inside=inside, runs=2, episodes=12, seed=3)
    for run, (alpha, beta) in enumerate([(2**-12, 0)] * 2 + [(2**-9, 2**-6)] * 2):
        theta, b = [1.47, -1.47], 0.0
        for p, right, walking in walked:
            played = 1 / (1 + math.exp(theta[0] - theta[1]))
            assert p[run] == pytest.approx(played, rel=1e-6)
            actions = [int(a) for a, on in zip(right[:, run], walking[:, run]) if on]
            for t, a in enumerate(actions):
                now = 1 / (1 + math.exp(theta[0] - theta[1])) if inside else played
                G = t - len(actions)
                push = alpha * (G - b) * ((a == 1) - now)
                b += beta * (G - b)
                # the lesson's b has moved before the push, but the push uses the old difference
                theta = [theta[0] - push, theta[1] + push]


def test_the_lesson_by_hand_is_the_same_pseudocode(corridor):
    theta = corridor["learn_from"]([1, 0, 1], torch.zeros(2), 0.1).tolist()
    x = [0.0, 0.0]
    for a, G in ((1, -3), (0, -2), (1, -1)):
        p = [math.exp(v) / sum(map(math.exp, x)) for v in x]
        x = [v + 0.1 * G * ((i == a) - q) for i, (v, q) in enumerate(zip(x, p))]
    assert theta == pytest.approx(x, abs=1e-6)
    assert x[1] < x[0]  # the luckiest episode makes right less likely, though 0.586 is best


def test_the_tables_say_what_the_prose_says():
    with_floor, free, outside = (
        LESSON.said(i).splitlines()[-4:] for i in ("report", "no-floor", "outside")
    )
    assert all("stuck 0" in line for line in with_floor)
    assert "stuck 0" not in free[0] and "stuck 0" in free[1] and "stuck 0" in free[2]
    assert all("stuck 0" in line for line in outside[:3])
    assert "stuck 0" in LESSON.said("one-theta") or "stuck 1" in LESSON.said("one-theta")
    with_baseline, without = (
        float(line.split()[-1]) for line in LESSON.said("scatter").splitlines()[-2:]
    )
    assert with_baseline < 0.85 * without


@pytest.mark.hardening
def test_three_in_a_hundred_runs_get_stuck_and_only_where_theta_moves_inside(corridor):
    alphas, betas = np.array([2.0**-12]), np.array([0.0])
    counts = {}
    for inside in (True, False):
        steps, _ = corridor["learn"](alphas, betas, inside=inside, runs=1600, seed=100)
        stuck = (steps[-100:, 0] == 1000).mean(0) > 0.5
        counts[inside] = stuck.reshape(16, 100).sum(1)
        assert -steps[-100:, 0][:, ~stuck].mean() == pytest.approx(-11.8, abs=0.3)
    assert 32 <= counts[True].sum() <= 64 and counts[True].max() <= 9
    assert counts[False].sum() == 0


@each_seed("seed", [20, 300, 4000])
def test_the_speed_is_the_learning_rates_and_the_baseline_makes_less_noise(corridor, seed):
    def stuck(steps):
        return (steps[-100:] == 1000).mean(0) > 0.5

    def needed(steps):
        free = steps[:, ~stuck(steps)]
        return 10 * (-free.reshape(100, 10, -1).mean((1, 2)) > -13).argmax() + 10

    def learned(alpha, beta, **options):
        steps, p = corridor["learn"](np.array([alpha]), np.array([beta]), seed=seed, **options)
        return steps[:, 0], p[:, 0]

    slow, _ = learned(2.0**-13, 0, floor=0.05)
    published, _ = learned(2.0**-9, 2.0**-6, floor=0.05)
    third, _ = learned(2.0**-10, 0, inside=False)
    assert 60 <= needed(published) <= 110 and 90 <= needed(third) <= 140
    assert needed(slow) > 550 and stuck(third).sum() <= 2
    slow_at_one_theta, _ = learned(2.0**-13, 0, inside=False)
    assert 600 < needed(slow_at_one_theta) < 800
    moving, _ = learned(2.0**-10, 0)
    assert 30 <= stuck(moving).sum() <= 58  # "between a third and a half"
    tamed, _ = learned(2.0**-9, 2.0**-6)
    assert stuck(tamed).sum() <= 3  # "hardly a run"
    spreads = []
    for beta in (2.0**-6, 0):
        steps, p = learned(2.0**-9, beta, inside=False)
        spreads.append(p[-100:, ~stuck(steps)].std())
    assert spreads[0] < 0.8 * spreads[1]


@pytest.mark.parametrize("seed", range(3))
def test_with_a_baseline_about_half_of_the_differences_are_negative(corridor, seed):
    """In a first episode at 2^-9, theta moving; without it, some of these run away to p = 1."""
    ends, negative = {}, {}
    for beta in (0.0, 2.0**-6):
        start = np.full(1000, 0.05)
        went_right, walking = corridor["walk"](start, np.random.default_rng(seed))
        T, b, below = walking.sum(0), np.zeros(1000), 0
        gap = np.log(start / (1 - start))
        for t, (right, on) in enumerate(zip(went_right, walking)):
            delta = on * (t - T - b)
            b, below = b + beta * delta, below + (delta < 0).sum()
            gap += 2 * 2**-9 * delta * (right - corridor["probability"](gap, 0))
        ends[beta] = (corridor["probability"](gap, 0) > 0.99).mean()
        negative[beta] = below / walking.sum()
    assert negative[0.0] == 1 and negative[2.0**-6] == pytest.approx(0.57, abs=0.05)
    assert ends[0.0] > 0.05 and ends[2.0**-6] == 0


@pytest.mark.hardening
def test_runs_that_are_not_played_would_have_stayed_stuck(corridor):
    """`walk` leaves out runs with p within 1e-5 of 0 or 1: with 1e-7 in its place, the same picture."""
    patient = dict(corridor)
    exec(LESSON.cells["walk"].source.replace("1e-5", "1e-7"), patient)
    exec(LESSON.cells["learn"].source, patient)
    stuck = []
    for names in (corridor, patient):
        steps, _ = names["learn"](np.array([2.0**-12]), np.array([0.0]), runs=800, seed=7)
        stuck.append(((steps[-100:, 0] == 1000).mean(0) > 0.5).sum())
    assert abs(stuck[0] - stuck[1]) <= 3 * max(stuck) ** 0.5


# --- variance ------------------------------------------------------------------------------------


def walked(mdp, policy, episodes, rng):
    """(which episodes are still on, their states, actions and rewards) at each step."""
    who, s = np.arange(episodes), np.full(episodes, int(mdp.start.argmax()))
    leads, likely = mdp.transitions.numpy().argmax(2), policy.numpy().cumsum(1)
    while len(who):
        a = (rng.random((len(who), 1)) > likely[s]).sum(1).clip(max=3)
        after = leads[s, a]
        yield who, s, a, mdp.rewards.numpy()[s, a, after]
        goes_on = ~mdp.terminal.numpy()[after]
        who, s = who[goes_on], after[goes_on]


@functools.cache
def variances(cell, episodes=10_000):
    """Of each case of a cell, the total variance of an episode's gradient: with the whole return,
    with the reward to go, and with that minus V."""
    found = []
    for mdp, policy, gamma in GRIDS[cell]:
        mdp = exact.check_mdp(mdp)
        V = exact.state_values(mdp, policy, gamma).numpy()
        G, pushes = np.zeros(episodes), np.zeros((3, episodes, *policy.shape))
        for who, s, a, r in reversed([*walked(mdp, policy, episodes, np.random.default_rng(0))]):
            G[who] = r + gamma * G[who]
            score = np.eye(4)[a] - policy.numpy()[s]
            for push, weight in zip(pushes, (np.ones(len(who)), G[who], G[who] - V[s])):
                push[who, s] += weight[:, None] * score
        pushes[0] *= G[:, None, None]
        found.append(pushes.reshape(3, episodes, -1).var(1).sum(1))
    return found


HOPEFUL = torch.tensor([1.0, 1, 0, 0], dtype=torch.float64).softmax(0).expand(25, 4)
AIMLESS = torch.full((25, 4), 0.25, dtype=torch.float64)
GRIDS = {
    "compare-costs": [(grid(5, step_reward=-1, goal_reward=-1), HOPEFUL, 1.0)],
    "compare-goal": [(grid(5, step_reward=0, goal_reward=1), HOPEFUL, 0.9)],
    "compare-goal-patient": [(grid(5, step_reward=0, goal_reward=1), HOPEFUL, 1.0)],
    "compare-mixed": [(grid(5), AIMLESS, 1.0), (grid(5), HOPEFUL, 1.0)],
}


@pytest.mark.parametrize("cell", GRIDS)
def test_the_measured_variances_by_walks_of_our_own(cell):
    printed = [line.split() for line in LESSON.said(cell).splitlines() if line]
    measured = [float(words[words.index("variance") + 1]) for words in printed]
    assert np.allclose(measured, np.concatenate(variances(cell)), rtol=0.25, atol=1e-9)


def test_the_order_of_the_estimators():
    ((whole, to_go, minus_v),), (goal,), (patient,), (aimless, hopeful) = map(variances, GRIDS)
    assert 2.5 < whole / to_go < 3.5 and 2.5 < to_go / minus_v < 3.5 and 8 < whole / minus_v < 10
    assert goal[1] > 5 * goal[0]
    assert patient[0] == pytest.approx(patient[1]) and patient[2] == pytest.approx(0, abs=1e-9)
    assert aimless[0] > 2 * aimless[1] > 2 * aimless[2]
    assert hopeful[1] > 1.2 * hopeful[0] and hopeful[2] < hopeful[0] / 20


def test_the_planted_bug_leaves_the_mean_and_nearly_triples_the_variance():
    pushes = []
    for actions in itertools.product((0, 1), repeat=10):
        a = np.array(actions)
        to_go = a[::-1].cumsum()[::-1]
        pushes.append((a.sum() * (a - 0.5).sum(), (to_go * (a - 0.5)).sum()))
    mean, variance = np.mean(pushes, 0), np.var(pushes, 0)
    assert np.allclose(mean, 2.5)
    for line, expected in zip(LESSON.said("evidence-printed").splitlines(), variance):
        assert float(line.split()[-1]) == pytest.approx(expected, rel=0.05)


# --- baselines -----------------------------------------------------------------------------------


def test_the_best_baseline_of_the_bandit():
    pi, r = [0.8, 0.15, 0.05], [1, 2, 6]

    def variance(b):
        each = [[((i == a) - pi[i]) * (r[a] - b) for i in range(3)] for a in range(3)]
        means = [sum(pi[a] * each[a][i] for a in range(3)) for i in range(3)]
        return sum(pi[a] * (each[a][i] - means[i]) ** 2 for a in range(3) for i in range(3))

    best = min((k / 1000 for k in range(6000)), key=variance)
    lines = LESSON.said("best-baseline").splitlines()
    for line, b in zip(lines, (0, sum(p * x for p, x in zip(pi, r)), best)):
        assert f"b = {b:.3f}" in line and f"{variance(b):.3f}" in line


# --- CartPole and the panel ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def panel():
    names = LESSON.run("imports", "cartpole-settings", "train")

    def last(**values):
        *_, item = names["train"](**{"gamma": 0.99, "lr": 0.03, "agents": 16, "seed": 7, **values})
        return item

    return last


@pytest.mark.hardening
@pytest.mark.parametrize("baseline", ["on", "off"])
def test_nothing_is_learned_from_the_next_reward_alone(panel, baseline):
    item = panel(gamma=0.0, baseline=baseline)
    assert item.recent_returns.mean() < 35 and item.recent_returns.max() < 100


@pytest.mark.hardening
def test_the_largest_learning_rate_ends_deterministic_and_says_so(panel):
    item = panel(lr=1.0, baseline="on")
    assert (item.entropy < 1e-3).sum() >= 10 and torch.isfinite(item.policy_loss).all()
    assert item.recent_returns.median() < 12
    assert "deterministic" in item.words()


@pytest.mark.hardening
def test_without_the_baseline_returns_are_lower_and_further_apart(panel):
    on, off = (panel(baseline=b).recent_returns for b in ("on", "off"))
    assert on.mean() > off.mean() + 40 and on.std() < off.std()
    assert off.max() > 450  # some do as well


def test_the_printed_verdict():
    words = LESSON.said("cartpole-verdict").split()
    assert int(words[1].strip(",")) > 400 and int(words[3]) < 380
    assert float(words[-1]) < 0.03  # "hardly any random split"


def test_the_curves_axis_grows_where_episodes_do():
    picture, ends, one = live.learning_curves(), [], torch.ones(4)
    for steps, fraction in (100, 0.25), (300, 0.5), (900, 0.75), (2500, 1.0):
        picture.add(
            SimpleNamespace(steps=steps, fraction=fraction, recent_returns=one, entropy=one)
        )
        ends.append(picture.figure.axes[0].get_xlim()[1])
    assert ends == [400, 400, 1200, 2500]
