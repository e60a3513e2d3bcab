"""Lesson 13: its cells against test_lesson_13's functions, and what it says of training, by seeds."""

from functools import cache
from itertools import islice

import numpy as np
import pytest
import torch
from lesson_cells import Lesson, each_end, each_seed
from test_lesson_13 import CLIMBING, learned, moments, penalty, slopes

from helpers import exact, live
from helpers.envs.robots import Robots, team_mdp
from helpers.stats import permutation_test, ranks

LESSON = Lesson(13)
LEARNING = "solved", "independent", "shared", "central-critic", "central", "worth"
CRITICS = "moments", "three-critics", "one-draw"
SEEDS = [11, 12, 13]  # the lesson shows 2026, its panel 0
NEAR = {"sight": 1}


@cache
def parts():
    """What the lesson's cells define, without the runs."""
    names = LESSON.run("imports", "climbing", "duel-panel", "random-starts", *CRITICS, *LEARNING)
    arms = "independent", "central", "shared"
    names["ARMS"] = dict(zip(("independent", "central critic", "shared"), map(names.get, arms)))
    return LESSON.run("stage", "train", "walk", **names, NEAR=NEAR)


# --- the games -----------------------------------------------------------------------------------


def test_a_step_of_both_is_one_along_their_own_gradients():
    x, y = np.random.default_rng(0).normal(size=(2, 40, 3))
    both_step = parts()["both_step"]
    found = both_step(torch.tensor(CLIMBING), torch.tensor(x), torch.tensor(y), 0.1)
    for before, after, slope in zip((x, y), found, slopes(CLIMBING, x, y)):
        assert np.allclose(after, before + 0.1 * slope)


@pytest.mark.parametrize("payoffs", [CLIMBING, penalty(-50)])
def test_where_pairs_end_is_where_they_end_there(payoffs):
    ours = parts()["learned"](torch.tensor(payoffs)).numpy()
    theirs = learned(payoffs, starts=4000)
    assert np.abs(ours.mean(0) - theirs.mean(0)).max() < 0.05


def test_from_which_share_on_a_is_the_best_reply():
    """Found by trying, for both players; to leave b pays both far below that."""
    shares = np.linspace(0.3, 0.8, 501)
    policies = np.stack([shares, (1 - shares) / 2, (1 - shares) / 2], 1)
    for payoffs, least in ((CLIMBING, 0.61), (CLIMBING.T, 0.65)):
        earned = policies @ payoffs.T
        assert shares[earned.argmax(1) == 0].min() == pytest.approx(least, abs=0.006)
    at_45 = slopes(CLIMBING, *np.log(np.array([[[0.45, 0.275, 0.275]]] * 2)))
    assert all(slope.argmin() == 1 and slope[0, 0] > 0 for slope in at_45)


@pytest.mark.parametrize(
    ("start", "how", "end"),
    [(0.45, {}, 11), (0.44, {}, 5), (0.5, {}, 11), (0.5, {"gamma": 0.95, "rate": 1.0}, 5)],
)
def test_where_the_race_between_b_and_c_ends(start, how, end):
    path = [*parts()["duel"](start, start, **how)]
    assert float(path[-1].J()) == pytest.approx(end, abs=0.3)
    if not how:
        of_b = np.array([[item.p[1], item.q[1]] for item in path[:10]])
        assert (np.diff(of_b, axis=0) < 0).all()


@pytest.mark.hardening
def test_even_after_very_long_a_fifth_are_at_6():
    likeliest = parts()["learned"](torch.tensor(CLIMBING), 30_000, starts=500).flatten(1).argmax(1)
    assert (likeliest == 5).double().mean() == pytest.approx(0.2, abs=0.06)


@each_seed("seed", SEEDS)
def test_scatter_gets_some_pairs_to_11(seed):
    """From two dice, by one draw a step; in smaller steps fewer. The exact gradient doesn't."""

    def at_11(critic, **how):
        p, q = parts()["one_draw_a_step"](critic, seed=seed, **how)
        return (p[:, 0] * q[:, 0] > 0.5).double().mean().item()

    *_, exactly = parts()["duel"](1 / 3, 1 / 3)
    assert exactly.p[0] < 0.05
    local, *central = map(at_11, parts()["critics"])
    slow_local, *slow = (at_11(name, rate=0.03, steps=1000) for name in parts()["critics"])
    assert max(local, slow_local) < 0.03 and 0.12 < min(central) and max(central) < 0.3
    assert 0.05 < min(slow) and sum(slow) < sum(central)


def test_gamma_is_a_larger_rate():
    duel = parts()["duel"]
    *_, discounted = duel(0.4, 0.6, gamma=0.9, rate=0.03)
    *_, plain = duel(0.4, 0.6, rate=0.3)
    assert torch.allclose(discounted.p, plain.p) and torch.allclose(discounted.q, plain.q)


@each_end(first=(0.05, 0.95), second=(0.05, 0.95), rate=(0.03, 1.0), gamma=(0.0, 0.95))
def test_the_duel_at_every_end_of_its_sliders(settings):
    for item in parts()["duel"](**settings):
        assert item.p.isfinite().all() and item.q.isfinite().all() and item.words()
        assert -30 <= item.J() <= 11


@pytest.mark.parametrize("kind", ["local", "joint", "counterfactual"])
def test_the_three_critics_moments(kind):
    names = parts()
    mean, variance = names["found"][kind]
    expected = moments(CLIMBING, names["p"].numpy(), names["q"].numpy(), baseline=True)[kind]
    assert np.allclose(mean, expected[0]) and np.allclose(variance, expected[1])


def test_pennies_go_round_and_out():
    """The energy of the circle, which exact steps of size 0 would keep, grows with the steps' size."""
    pennies = LESSON.run("imports", "pennies")["pennies"]
    heads = np.array([*pennies(0.1, 1200)])
    widths = [np.ptp(heads[k : k + 300]) for k in range(0, 1200, 300)]
    small = np.array([*pennies(0.01, 12_000)])
    assert 0.385 < small.min() and small.max() < 0.615
    assert widths == sorted(widths) and widths[-1] > 1.5 * widths[0]
    assert (np.diff(np.sign(heads - 0.5)) != 0).sum() >= 4


@pytest.mark.parametrize(
    ("ask", "cells", "right"),
    [
        ("guess-lean", ["lean-came-out"], ["about 0.45"]),
        ("guess-noise", ["three-critics", "noise-came-out"], ["local"]),
        (
            "guess-scatter",
            ["one-draw", "scatter-came-out"],
            ["those with a central one, joint or counterfactual"],
        ),
    ],
)
def test_what_comes_out_of_a_prediction(ask, cells, right):
    assert LESSON.came_out(ask, *cells, **parts()) == right


# --- the robots ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["independent", "central critic", "shared"])
def test_a_teams_worth_is_what_its_two_policies_are_worth(name):
    """State by state and pair by pair, by a loop and sweeps."""
    *_, last = parts()["ARMS"][name](NEAR, runs=2, teams=1, steps=64)
    pairs = parts()["policies"](last.actor, NEAR, 2)
    robots, mdp = Robots(**NEAR), team_mdp(**NEAR)
    run, agents = 1, last.actor.agents
    joint = torch.zeros(len(mdp.start), 25, dtype=torch.float64)
    for s, cells in enumerate(robots.joint_states):
        seen = torch.tensor(robots.observation(cells))
        alone = [last.actor.agent(run if agents == 2 else 2 * run + i) for i in (0, 1)]
        a, b = (actor(one[None])[0].softmax(-1) for actor, one in zip(alone, seen))
        joint[s] = torch.outer(a, b).flatten().detach()
    assert torch.allclose(parts()["as_one"](pairs)[run].double(), joint, atol=1e-5)


def test_a_central_critic_reads_the_own_robot_first_and_the_actor_nothing_new():
    critic = parts()["CentralCritic"](3, agents=4, hidden=(8,))
    seen = torch.randn(5, 4, 6, 3, generator=torch.Generator().manual_seed(0))
    for k, other in enumerate((1, 0, 3, 2)):
        row = torch.cat([seen[:, k], seen[:, other]], -1)
        assert torch.allclose(critic(seen)[:, k], critic.critic.agent(k)(row), atol=1e-6)
    *_, last = parts()["central"]({}, runs=1, teams=1, steps=32)
    assert last.actor.body.state_dim == Robots().one_sees.shape[0]


def test_all_three_play_equally_much():
    """Steps of each world: those of an agent, over its worlds (and over two robots where shared)."""
    for name, rows in (("independent", 4), ("central critic", 4), ("shared", 8)):
        items = list(parts()["ARMS"][name]({}, runs=1, teams=4, steps=96))
        assert len(items) == 3 and items[-1].steps / rows == 96


@each_end(arm=("independent", "central critic"), gamma=(0.0, 1.0), lr=(1e-4, 0.3))
def test_the_panel_at_every_end_of_its_sliders(settings):
    for stage in filter(None, parts()["train"](**settings, agents=1, steps=256)):
        assert stage.worth.isfinite().all() and 0 <= stage.still.min() and stage.words()


def test_a_run_without_numbers_says_so():
    *_, last = parts()["train"](lr=1e30, agents=1, steps=256)
    assert last.words() == live.diverged("a policy")


def test_in_a_walk_the_best_team_arrives_and_one_that_stands_still_stays():
    still = torch.zeros(2, 272, 5)
    still[..., 0] = 1
    assert {*parts()["walk"](still, (5, 10))} == {(5, 10)}
    names = LESSON.run("alone", **parts())
    way = parts()["walk"](torch.stack([names["first"], names["second"]]), (5, 10))
    assert Robots().ends(np.array(way[-1])) and 6 <= len(way) - 1 <= 8


@pytest.mark.hardening
def test_a_random_team_of_simple_spread_earns_about_minus_81():
    simple_spread = pytest.importorskip("mpe2.simple_spread_v3")
    env, rng, paid = simple_spread.parallel_env(), np.random.default_rng(0), []
    for episode in range(300):
        env.reset(seed=episode)
        total = 0.0
        while env.agents:
            actions = {name: rng.integers(env.action_space(name).n) for name in env.agents}
            total += sum(env.step(actions)[1].values())
        paid.append(total)
    assert np.mean(paid) == pytest.approx(-81, abs=5 * np.std(paid) / 300**0.5)


# --- what the lesson says of training --------------------------------------------------------------


@cache
def trained(arm, seed, count=8, **world):
    """(policies, worths) of 16 teams."""
    return parts()["train_teams"](parts()["ARMS"][arm], world, seed=seed, teams=count)


def teams(arm, seed, count=8, **world):
    return trained(arm, seed, count, **world)[1]


def rest(worth):
    """The median of the teams that get somewhere."""
    return np.median(worth[worth > 0])


def compared(one, other):
    """p of how many fail, and p of the ranks of those that don't."""
    counts = permutation_test(1.0 * (one < 0), 1.0 * (other < 0))
    return counts, permutation_test(*ranks(one[one > 0], other[other > 0]))


def ahead(near, seed):
    """By how much the shared teams that get there lead; independent and central stay undecided."""
    worths = {name: teams(name, seed, **near) for name in parts()["ARMS"]}
    independent, central, shared = worths.values()
    counts, p_central = compared(independent, central)
    assert counts > 0.05 / 3
    counts, p_shared = compared(independent, shared)
    assert counts > 0.05 / 3 and p_shared < min(0.02, p_central)
    return rest(shared) - max(rest(independent), rest(central)), worths


@each_seed("seed", SEEDS)
def test_with_full_sight(seed):
    lead, worths = ahead({}, seed)
    assert lead > 0.02
    of_all = {name: np.median(worth) for name, worth in worths.items()}
    assert of_all.pop("shared") - max(of_all.values()) > 0.02
    assert abs(rest(worths["independent"]) - rest(worths["central critic"])) < 0.04
    assert all((worth > 0.6).sum() >= 8 for worth in worths.values())
    optimum = exact.optimal_values(team_mdp(), 0.95) @ team_mdp().start
    assert all(worth.max() < optimum for worth in worths.values())


@each_seed("seed", SEEDS)
def test_with_little_sight(seed):
    lead, worths = ahead(NEAR, seed)
    assert lead > 0.01
    half = teams("shared", seed, 4, **NEAR)
    assert (half < 0).sum() >= 3 and rest(worths["shared"]) - rest(half) > 0.01
    double = teams("independent", seed, 16, **NEAR)
    assert rest(worths["independent"]) < rest(double) < rest(worths["shared"])


@each_seed("seed", SEEDS)
def test_where_bumps_cost_nothing_teams_learn_to_go_and_to_bump(seed):
    half = teams("shared", seed, 4, **NEAR)
    pairs, free = trained("shared", seed, 4, **NEAR, bump_reward=0.0)
    costly = exact.objective(team_mdp(), parts()["as_one"](pairs), 0.95).numpy()
    for worth in (free, costly):
        assert (worth < 0).sum() <= 3 and (worth < 0).sum() < (half < 0).sum()
    assert np.median(free) > 0.65 and np.median(costly) < rest(half) - 0.1


def failures(arm, count=8, **world):
    return sum((teams(arm, seed, count, **world) < 0).sum() for seed in SEEDS)


@pytest.mark.evidence
def test_in_all_sets_together_some_fail_in_each_way_and_half_with_half_the_data():
    for arm in parts()["ARMS"]:
        assert failures(arm) + failures(arm, **NEAR) >= 1
    assert 14 <= failures("shared", 4, **NEAR) <= 34
    half, alone = (
        np.concatenate([teams(arm, seed, count, **NEAR) for seed in SEEDS])
        for arm, count in (("shared", 4), ("independent", 8))
    )
    assert (half < 0).sum() > (alone < 0).sum() and compared(alone, half)[0] < 0.02


@each_seed("seed", SEEDS)
def test_the_panels_folded_answers(seed):
    def run(arm="shared", updates=80, **settings):
        run_of = parts()["ARMS"][arm]({}, seed=seed, **settings)
        reached = next(islice(run_of, updates - 1, None))
        run_of.close()
        return exact.objective(mdp, parts()["as_one"](parts()["policies"](reached.actor, {})), 0.95)

    mdp = team_mdp()
    early = {arm: run(arm, updates=20).mean() for arm in parts()["ARMS"]}
    assert max(early, key=early.get) == "shared"
    end = run().numpy()
    short, fast, slow = (run(**one).numpy() for one in ({"gamma": 0.5}, {"lr": 0.1}, {"lr": 0.001}))
    assert (short < 0).sum() >= 3 and rest(short) < 0.5 and short.mean() < end.mean() - 0.25
    apart = [run(arm, lr=0.1).numpy() for arm in ("independent", "central critic")]
    assert min((worth < 0).sum() for worth in apart) >= max(8, (fast < 0).sum() + 2)
    assert fast.mean() < end.mean() - 0.1 and rest(fast) < rest(end) - 0.02 and slow.mean() < 0.2
