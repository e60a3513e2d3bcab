"""Lesson 09: each of its numbers by a second way that shares no code with the lesson's."""

import itertools
import math
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lesson_cells import Lesson, each_end, each_seed

from helpers import losses
from helpers.networks import Actor
from helpers.policies import Gaussian
from helpers.stats import permutation_test
from helpers.training import PPO_CARTPOLE, PPO_PENDULUM, evaluate, ppo, ppo_update

LESSON = Lesson(9)


@pytest.fixture(scope="module")
def brake():
    return LESSON.run("imports", "clipped", "brake-panel")


@pytest.fixture(scope="module")
def corridor():
    return LESSON.run("imports", "clipped", "corridor", "corridor-panel")


# --- the brake -----------------------------------------------------------------------------------


def counts_for(ratio, A, clip):
    """In words: no more than at the edge on the good side, everything on the bad one."""
    if A > 0:
        return A * min(ratio, 1 + clip)
    return A * max(ratio, 1 - clip)


@pytest.mark.parametrize("A", [1.0, -1.0, 2.5])
@pytest.mark.parametrize("clip", [0.05, 0.2, 1.0])
def test_the_clipped_objective_case_by_case(brake, A, clip):
    for ratio in np.arange(0.03, 2.5, 0.05):
        found = brake["clipped"](torch.tensor(ratio), A, clip).item()
        assert found == pytest.approx(counts_for(ratio, A, clip), abs=1e-6)
        below, above = (counts_for(ratio + h, A, clip) for h in (-1e-6, 1e-6))
        slope = brake["slope_of"](float(ratio), A, clip)
        assert slope == pytest.approx((above - below) / 2e-6, abs=1e-4)


@each_end(clip=(0.05, 1.0), ratio=(0.0, 2.5))
def test_the_first_panel_at_every_end(brake, settings):
    for kind, A in [("better than usual", 1.0), ("worse than usual", -1.0)]:
        item = brake["step_of_the_batch"](kind, **settings)
        lines, (ratio, height) = item.value
        assert height.item() == pytest.approx(counts_for(ratio, A, settings["clip"]))
        assert lines.shape == (2, 251) and lines.isfinite().all()
        pull = counts_for(ratio + 1e-6, A, settings["clip"]) - height.item()
        assert ("flat" in item.said) == (abs(pull) < 2e-7)


def test_of_six_cases_four_pull():
    assert LESSON.said("six-cases").split("\n")[:2] == [
        "A +1, slope in the ratio at {0.7: '+1', 1.0: '+1', 1.3: '+0'}",
        "A -1, slope in the ratio at {0.7: '+0', 1.0: '-1', 1.3: '-1'}",
    ]


# --- importance sampling -------------------------------------------------------------------------


def test_ten_tosses_in_fractions():
    up, down, total, weight, square = Fraction(6, 5), Fraction(4, 5), 0, 0, 0
    for series in itertools.product([0, 1], repeat=10):
        ratio = math.prod(up if toss else down for toss in series)
        total, weight, square = total + ratio * sum(series), weight + ratio, square + ratio**2
    assert total == 6 * 1024 and weight == 1024
    assert Fraction(square, 1024) == Fraction(104, 100) ** 10
    assert (
        LESSON.said("ten-tosses").split()
        == (
            "heads of the old coin: 5.000, weighted: 6.000 "
            f"mean ratio 1.000, mean of its square {1.04**10:.3f}"
        ).split()
    )


def test_at_500_tosses_the_weighted_average_is_far_too_low_nine_times_in_ten():
    rng, low = np.random.default_rng(0), 0
    for _ in range(100):
        heads = rng.binomial(500, 0.5, 1000)
        said = (np.exp(heads * np.log(1.2) + (500 - heads) * np.log(0.8)) * heads).mean()
        low += said < 0.8 * 300
    assert 80 <= low <= 97
    assert 1.04**100 == pytest.approx(50.5, abs=0.05)
    assert 1.04**500 == pytest.approx(3.3e8, rel=0.01)


def test_the_coins_divergence():
    before, after = (torch.distributions.Bernoulli(p) for p in (0.5, 0.6))
    kl = torch.distributions.kl_divergence(before, after).item()
    assert kl == pytest.approx(0.02, abs=0.001)


# --- the performance difference lemma ------------------------------------------------------------


def grid_by_sweeps(policy, gamma=0.95):
    """(J, V, Q, visits) of the 5 x 5 grid, by sweeps, without a table."""
    moves = [(0, 1), (1, 0), (0, -1), (-1, 0)]
    V = np.zeros(25)
    after = np.zeros((25, 4), int)
    for s, (a, (dx, dy)) in itertools.product(range(25), enumerate(moves)):
        x, y = min(max(s % 5 + dx, 0), 4), min(max(s // 5 + dy, 0), 4)
        after[s, a] = 5 * y + x
    pays, goes_on = np.where(after == 24, 1.0, -0.01), after != 24
    for _ in range(3000):
        Q = pays + gamma * goes_on * V[after]
        Q[24] = 0
        V = (policy * Q).sum(1)
    here, visits, discount = np.eye(25)[0], np.zeros(25), 1.0
    for _ in range(3000):
        visits += discount * here
        flow = here[:, None] * policy * goes_on
        here = np.bincount(after.ravel(), flow.ravel(), minlength=25)
        discount *= gamma
    return V[0], V, Q, visits


@pytest.mark.parametrize("seed", [1, 2])
def test_the_lemma_by_sweeps(seed):
    rng = np.random.default_rng(seed)
    old, new = np.exp(rng.normal(0, 1, (2, 25, 4)))
    old, new = (p / p.sum(1, keepdims=True) for p in (old, new))
    J, V, Q, _ = grid_by_sweeps(old)
    J_new, _, _, visits = grid_by_sweeps(new)
    visits[24] = 0  # the end
    by_lemma = (visits[:, None] * new * (Q - V[:, None])).sum()
    assert by_lemma == pytest.approx(J_new - J, abs=1e-12)


def test_the_greedy_policy_of_the_exact_advantages_is_never_worse():
    rng = np.random.default_rng(0)
    for _ in range(5):
        weights = np.exp(rng.normal(0, 1, (25, 4)))
        J, _, Q, _ = grid_by_sweeps(weights / weights.sum(1, keepdims=True))
        assert grid_by_sweeps(np.eye(4)[Q.argmax(1)])[0] >= J


@pytest.mark.parametrize(
    "name", ["lemma-holds", "surrogate-gradient", "one-pass", "agreement-holds"]
)
def test_what_should_agree_is_stored_as_true(name):
    outputs = str(LESSON.cell(name).outputs)
    assert "True" in outputs and "False" not in outputs


def test_the_surrogates_error_is_of_second_order():
    errors = [float(line.split()[-1]) for line in LESSON.said("second-order").splitlines()]
    assert np.allclose(np.diff(np.log10(errors)), 2, atol=0.05)


# --- the corridor --------------------------------------------------------------------------------


def truth(p):
    return (2 * p - 4) / (p * (1 - p))


def slope_of_the_truth(p):
    return (2 * p * (1 - p) - (2 * p - 4) * (1 - 2 * p)) / (p * (1 - p)) ** 2


@pytest.mark.parametrize("old_p", [0.05, 0.2, 0.6, 0.95])
def test_the_surrogate_is_the_tangent(corridor, old_p):
    places = corridor["places"].numpy()
    J, promise, braked = (x.numpy() for x in corridor["promises"](old_p, 0.2))
    assert np.allclose(corridor["TRUTH"], truth(places))
    assert J == pytest.approx(truth(old_p))
    assert np.allclose(promise, truth(old_p) + slope_of_the_truth(old_p) * (places - old_p))
    assert (braked <= promise + 1e-9).all()


def top(corridor, old_p, clip):
    return corridor["places"][corridor["promises"](old_p, clip)[2].argmax()].item()


def test_the_top_of_the_clipped_surrogate_is_near_and_better_but_at_the_summit(corridor):
    for old_p in [0.05, 0.1, 0.2, 0.3, 0.4, 0.8, 0.9, 0.95]:
        there = top(corridor, old_p, 0.2)
        assert abs(there - old_p) <= 0.2 * max(old_p, 1 - old_p) + 0.01
        assert truth(there) > truth(old_p)
    assert top(corridor, 0.6, 0.5) == pytest.approx(0.4, abs=0.01)
    assert truth(0.4) < truth(0.6)
    assert 2 - math.sqrt(2) == pytest.approx(0.59, abs=0.005)


@each_end(old_p=(0.1, 0.9), clip=(0.05, 1.0))
def test_the_corridors_panel_at_every_end(corridor, settings):
    lines, (p, J) = corridor["look_ahead"](**settings).value
    assert lines.isfinite().all() and J.item() == pytest.approx(truth(p))


# --- the algorithm -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def batch_of():
    """The lesson's agents and batch for another seed and another number of updates before it."""

    def made(seed, updates=20):
        names = LESSON.run("imports", "settings")
        source = LESSON.cell("one-batch").source
        assert source.count("20)") == 1 and source.count("9)") == 1 and source.count("=9,") == 1
        source = source.replace("20)", f"{updates})").replace("seed(9)", f"seed({seed})")
        exec(source.replace("seed=9,", f"seed={seed},"), names)
        return LESSON.run("judge-once", "gone", "reuse", **names)

    return made


def test_the_first_passs_gradient_is_a2cs(batch_of):
    names = batch_of(3, updates=1)
    actor = names["learner"].actor
    log_probs = losses.log_prob(actor(names["states"]), names["batch"].actions)
    rest = names["advantages"], names["valid"]
    first = losses.clipped_loss(log_probs, names["old"], *rest, clip=0.2).sum()
    other = losses.policy_gradient_loss(log_probs, *rest).sum()
    weights = list(actor.parameters())
    for a, b in zip(*(torch.autograd.grad(x, weights, retain_graph=True) for x in (first, other))):
        assert torch.allclose(a, b, atol=1e-6)


@pytest.mark.parametrize(("epochs", "minibatches"), [(1, 1), (3, 1), (2, 5)])
def test_one_update_by_hand_is_the_packages(epochs, minibatches):
    names = LESSON.run("imports", "settings", "ppo-by-hand", "agreement")
    s, mine, theirs = (names[name] for name in ("s", "mine", "theirs"))
    s.epochs, s.minibatches, s.clip = epochs, minibatches, 0.1
    deal = [torch.Generator().manual_seed(7) for _ in range(2)]
    share = names["learn"](*mine, names["recorded"], s, deal[0])
    passes = {"epochs": epochs, "minibatches": minibatches, "generator": deal[1]}
    named = names["named"] | {"clip": 0.1}
    told = ppo_update(*theirs, names["recorded"], **passes, **named)
    assert share == pytest.approx(told[-1].item(), abs=0.005)
    for network in ("actor", "critic"):
        for a, b in zip(*(getattr(x, network).parameters() for x in (mine, theirs))):
            assert torch.allclose(a, b, atol=1e-3)


def test_the_visible_cell_is_short():
    lines = [line for line in LESSON.cell("ppo-by-hand").source.splitlines() if line.strip()]
    assert len(lines) <= 45


# --- numbers in place of choices -----------------------------------------------------------------


def test_the_gaussians_density_and_entropy_by_sums():
    for mu, sigma in [(0.5, 0.2), (-1.0, 1.5)]:
        outputs = torch.tensor([mu, math.log(sigma)], dtype=torch.float64)
        grid = torch.linspace(mu - 9 * sigma, mu + 9 * sigma, 20_001, dtype=torch.float64)
        log_density = Gaussian.log_prob(outputs.expand(len(grid), 2), grid[:, None])
        width = (grid[1] - grid[0]).item()
        assert log_density.exp().sum().item() * width == pytest.approx(1)
        H = -(log_density.exp() * log_density).sum().item() * width
        assert H == pytest.approx(Gaussian.entropy(outputs).item(), abs=1e-6)
        assert (H < 0) == (sigma < 0.242)
    assert 1 / math.sqrt(2 * math.pi * math.e) == pytest.approx(0.242, abs=5e-4)


def test_the_pendulum_pays_what_the_text_says():
    assert math.pi**2 + 0.1 * 8**2 + 0.001 * 2**2 == pytest.approx(16.27, abs=0.005)


# --- a ball in place of a clip -------------------------------------------------------------------


def test_the_information_is_the_mean_of_score_times_score():
    """Episodes by hand: a step in the harbour, then geometrically many at sea."""
    names = LESSON.run("imports", "natural-setup")
    logits = torch.tensor([0.3, -0.6], dtype=torch.float64)
    p, q = (1 / (1 + np.exp(-logits.numpy()))).tolist()
    visits = 1, p * sum((q / 2) ** k for k in range(200))
    spread = [(1 - x) * x**2 + x * (1 - x) ** 2 for x in (p, q)]  # of the score's square
    expected = [v * x for v, x in zip(visits, spread)]
    assert np.allclose(names["information"](logits).diagonal(), expected)
    assert not names["information"](logits).fliplr().diagonal().any()


def test_natural_ways_meet_and_plain_ways_part():
    plain, natural = LESSON.said("natural-ways").splitlines()
    assert float(plain.split()[-1]) > 1 > 25 * float(natural.split()[-1])


# --- the planted bug -----------------------------------------------------------------------------


def test_the_suspect_is_never_clipped_and_one_epoch_hides_it():
    names = LESSON.run("imports", "suspect")
    case = torch.zeros(3), torch.tensor([0, 1, 2]), torch.tensor([1.0, 0.5, -1.0])
    repaired = names["checks"].repaired_epochs.solution
    for clip in (0.01, 0.2):
        far = names["suspect_epochs"](*case, clip, 0.3, 100)
        assert torch.allclose(far, names["suspect_epochs"](*case, 1.0, 0.3, 100))
    one = names["suspect_epochs"](*case, 0.2, 0.3, 1)
    assert torch.allclose(one, repaired(*case, 0.2, 0.3, 1))
    near = repaired(*case, 0.2, 0.3, 100).softmax(-1)
    assert far.softmax(-1)[0] > 0.85 and near[0] < 0.5


# --- what comes out of the predictions -----------------------------------------------------------


def rows(start, end):
    return {0: (torch.full((16,), start),), 20: (torch.full((16,), end),)}


@pytest.mark.parametrize(
    ("ask", "cells", "given", "right"),
    [
        ("brake-guess", ["clipped", "brake-came-out"], {}, "it makes the action rarer"),
        ("reuse-guess", ["reuse-came-out"], {"without": rows(300.0, 90.0)}, "below where it began"),
        ("reuse-guess", ["reuse-came-out"], {"without": rows(300.0, 310.0)}, "about where"),
        ("reuse-guess", ["reuse-came-out"], {"without": rows(90.0, 300.0)}, "above where it began"),
        ("far-guess", ["far"], {}, "far too few"),
        ("verdict-guess", ["contest-table"], {"solved": (16, 5, 15)}, "PPO"),
        ("verdict-guess", ["contest-table"], {"solved": (5, 16, 15)}, "A2C"),
        ("verdict-guess", ["contest-table"], {"solved": (9, 10, 15)}, "no more than two apart"),
    ],
)
def test_what_comes_out_of_a_prediction(ask, cells, given, right, no_page):
    if counts := given.pop("solved", None):
        given = {"fresh": {n: 300 + 200.0 * (torch.arange(16) < n) for n in counts}}
        given["fresh"] = {f"{k}": v for k, v in enumerate(given["fresh"].values())}
    found = LESSON.came_out(ask, *cells, **LESSON.run("imports"), **given)
    assert len(found) == 1 and found[0].startswith(right[:12])


@pytest.mark.parametrize(
    ("largest", "right"), [(1.15, "at most"), (1.25, "above 1.2, up"), (1.5, "above 1.3")]
)
def test_what_comes_out_of_the_largest_ratio(largest, right):
    row = torch.zeros(16), torch.zeros(16), torch.zeros(16), torch.full((16,), largest)
    given = {"LOOKS": [0, 5], "braked": {5: row}, "without": {5: row}}
    (found,) = LESSON.came_out("ratio-guess", "not-bounded", **LESSON.run("imports"), **given)
    assert found.startswith(right)


# --- claims about training, with agents that the lesson does not show ----------------------------


@each_seed("seed", [1, 2, 3])
def test_reuse_runs_off_and_the_clip_brakes_it(batch_of, seed):
    names = LESSON.run("reuse-a2c", "reuse-clipped", **batch_of(seed))
    (began, *_), (free, kl, *_), (held, near, *_) = (
        names["without"][0],
        names["without"][20],
        names["braked"][20],
    )
    assert free.mean() < 0.8 * began.mean() < began.mean() < held.mean()
    assert kl.mean() > 1 > 0.05 > near.mean()
    assert names["without"][2][0].mean() > 0.9 * began.mean()
    _, _, outside, largest = names["braked"][5]
    assert largest.median() > 1.3 and 0.05 < outside.mean() < 0.4
    assert names["without"][20][3].median() > 3 * names["braked"][20][3].median()
    kls = torch.stack([row[1] for row in names["without"].values()])
    stopped = torch.tensor(names["LOOKS"])[(kls > 0.02).int().argmax(0)]
    assert 2 <= stopped.min() < stopped.max() <= 12
    alone, far, *_ = names["unbraked"][20]
    assert alone.mean() < 0.8 * began.mean() and far.mean() > 30 * near.mean()
    mean_kl = {n: row[1].mean() for n, row in names["braked"].items()}
    assert mean_kl[20] < 0.8 * max(mean_kl.values())
    assert names["unbraked"][5][1].mean() > 2 * mean_kl[5]


@each_seed("seed", [1, 2, 3])
def test_beginners_gain_from_all_twenty_and_hardly_with_the_clip(batch_of, seed):
    names = LESSON.run("reuse-a2c", "reuse-clipped", **batch_of(seed, updates=10))
    began, free, held = (
        names[run][n][0].mean() for run, n in [("without", 0), ("without", 20), ("braked", 20)]
    )
    assert free > 1.3 * began and 0.9 * began < held < 1.3 * began
    assert free - began > 3 * (held - began)


def trained(seed, episodes=50, **settings):
    """Mean returns of 16 agents of ppo, and the last Progress."""
    for progress in ppo("CartPole-v1", agents=16, seed=seed, **{**PPO_CARTPOLE, **settings}):
        pass
    scores = evaluate(progress.actor, "CartPole-v1", episodes=episodes, seed=7).mean(1)
    return scores.numpy(), progress


@each_seed("seed", [1, 2, 3])
def test_ppo_wins_by_steps_and_a2c_draws_by_time(seed):
    names = LESSON.run("imports", "settings")
    source = LESSON.cell("contest").source
    assert source.count("seed=2026") == 1
    exec(source.replace("seed=2026", f"seed={seed}"), names)
    ours, equal, longer = (int((x >= 475).sum()) for x in names["fresh"].values())
    assert ours >= 15 and equal <= 8 and longer >= 14


@each_seed("seed", [1, 2, 3])
def test_epochs_decide_and_the_clip_is_what_allows_many(seed):
    short = {"total_steps": 50_000, "episodes": 30}
    base, _ = trained(seed, **short)
    one, _ = trained(seed, epochs=1, **short)
    many, _ = trained(seed, epochs=20, **short)
    loose, _ = trained(seed, epochs=20, clip=1.0, **short)
    parts, _ = trained(seed, minibatches=4, **short)
    assert one.mean() < base.mean() / 2 and permutation_test(base, one) < 0.001
    assert many.min() > 450 and parts.mean() > base.mean()
    assert loose.mean() < many.mean() - 15 and loose.min() < many.min() - 50


@each_seed("seed", [1, 2, 3])
def test_the_panels_collapsed_answers(seed):
    shares, solved = {}, {}
    for name, settings in {
        "as it is": {},
        "20 epochs": {"epochs": 20},
        "large steps": {"lr": 0.1},
        "no brake": {"clip": 1.0},
        "nothing but": {"clip": 0.02},
    }.items():
        settings = {**PPO_CARTPOLE, **settings}
        run = list(ppo("CartPole-v1", agents=16, seed=seed, **settings))
        scores = evaluate(run[-1].actor, "CartPole-v1", episodes=50, seed=7).mean(1)
        shares[name] = torch.stack([p.clipped for p in run]).mean().item()
        solved[name] = int((scores >= 475).sum())
    assert 0.03 < shares["as it is"] < 0.07 and 0.03 < shares["20 epochs"] < 0.08
    assert shares["large steps"] > 2 * shares["as it is"] and solved["large steps"] >= 10
    assert 0.25 < shares["nothing but"] < 0.4
    assert solved["nothing but"] <= 2 and solved["no brake"] >= 14


@each_seed("seed", [1, 2])
def test_of_the_ratios_outside_a_narrow_clip_more_than_half_have_no_say(seed):
    names, source = LESSON.run("imports", "settings"), LESSON.cell("ppo-by-hand").source
    s, shares = SimpleNamespace(**PPO_CARTPOLE, clip=0.02), []
    assert source.count("(ratio != near)") == 1
    for counted in ["ratio != near", "ratio * advantages > promise"]:
        exec(source.replace("ratio != near", counted), names)
        told, learn = [], names["learn"]
        names["learn"] = lambda *given, told=told, learn=learn: told.append(learn(*given))
        assert len(list(names["ppo_by_hand"](seed, s))) == len(told)
        shares.append(np.mean(told))
    assert 0.25 < shares[0] < 0.4 and 0.5 < shares[1] / shares[0] < 0.7


@each_seed("seed", [1, 2, 3])
def test_the_pendulum_is_swung_up(seed):
    untrained = Actor(3, 1, policy=Gaussian, generator=torch.Generator().manual_seed(seed))
    hanging = evaluate(untrained, "course/Pendulum-v1", episodes=100, seed=1, greedy=True)
    assert -1450 < hanging.mean() < -1000
    for progress in ppo("course/Pendulum-v1", agents=16, seed=seed, **PPO_PENDULUM):
        pass
    fresh = evaluate(progress.actor, "course/Pendulum-v1", episodes=50, seed=1, greedy=True).mean(1)
    assert fresh.mean() > -300 and fresh.min() > -700
