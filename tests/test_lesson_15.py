"""Lesson 15, what its model must show: derived here in NumPy, without the lesson's code; and its cells."""

import itertools
from fractions import Fraction
from math import comb

import numpy as np
import pytest
import torch
from lesson_cells import Lesson, each_end
from scipy import optimize

from helpers import checks
from helpers.errors import SlipError

LESSON = Lesson(15)
CUE, JUICE, T = 5, 15, 20


def units(onset=CUE, count=10, moments=T):
    """Which unit is on at which moment, [moments, count]."""
    return np.eye(moments)[:, onset : onset + count]


def paid(t=JUICE, moments=T):
    return np.eye(moments)[t]


def episode(w, x, r, gamma=1.0, alpha=0.1, lam=0.0):
    """TD(lambda) with the trace written out: each error reaches back to all moments before it."""
    w, errors = w.copy(), np.zeros(len(r))
    for t in range(1, len(r)):
        errors[t] = r[t] + gamma * x[t] @ w - x[t - 1] @ w
        w += alpha * errors[t] * sum((gamma * lam) ** (t - 1 - k) * x[k] for k in range(t))
    return errors, w


def train(episodes, x, r, w=None, **settings):
    w, history = np.zeros(x.shape[1]) if w is None else w, []
    for _ in range(episodes):
        errors, w = episode(w, x, r, **settings)
        history.append(errors)
    return np.array(history), w


def heads(n, k, p=Fraction(1, 10)):
    """The probability of k heads in n tosses, exactly."""
    return comb(n, k) * p**k * (1 - p) ** (n - k)


def at_least(n, k):
    return 1 - sum(heads(n, j) for j in range(k))


@pytest.fixture(scope="module")
def cells():
    names = "imports neuron compound settings run-episode two-cues varying train"
    return LESSON.run(*names.split())


# --- one light -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "cue"), [(50, 0.0215), (100, 0.5355), (200, 0.9962)])
def test_the_error_is_a_binomial_distribution(n, cue):
    """In exact fractions, by the recursion of the values alone."""
    alpha, V = Fraction(1, 10), [Fraction(0)] * 10 + [Fraction(1)]  # the last: the reward
    for _ in range(n - 1):
        V = [v + alpha * (after - v) for v, after in itertools.pairwise(V)] + V[10:]
    assert V[0] == at_least(n - 1, 10) and float(V[0]) == pytest.approx(cue, abs=5e-5)
    assert [V[j + 1] - V[j] for j in range(10)] == [heads(n - 1, 9 - j) for j in range(10)]


def test_the_largest_error_walks_from_the_juice_to_the_cue():
    history, _ = train(200, units(), paid())
    assert history.sum(1) == pytest.approx(1)
    assert history[[0, 49, 99, 199]].argmax(1).tolist() == [15, 10, 5, 5]
    halfway = [n for n, errors in enumerate(history) if 8 <= errors.argmax() <= 12]
    assert 25 < min(halfway) < 50 < max(halfway) < 80


def test_omission_and_discount():
    _, w = train(300, units(), paid())
    errors, _ = episode(w, units(), 0 * paid())
    assert errors == pytest.approx(np.eye(T)[CUE] - np.eye(T)[JUICE], abs=1e-4)
    history, _ = train(1000, units(), paid(), gamma=0.98)
    assert history[-1, CUE] == pytest.approx(0.98**10) and round(0.98**10, 3) == 0.817
    assert history[-1, JUICE] == pytest.approx(0, abs=1e-9)


def test_with_the_longest_trace_nothing_travels():
    history, _ = train(60, units(), paid(), lam=1.0)
    left = 0.9 ** np.arange(60)
    assert history[:, CUE] == pytest.approx(1 - left) and history[:, JUICE] == pytest.approx(left)
    assert abs(history[:, 6:15]).max() < 1e-12


@pytest.mark.parametrize("lam", [0.0, 0.5, 0.9, 1.0])
def test_the_lessons_loop_is_td_lambda(cells, lam):
    rng = np.random.default_rng(0)
    w, r, x = rng.normal(size=10), rng.normal(size=T), rng.normal(size=(T, 10))
    settings = {"gamma": 0.9, "alpha": 0.05, "lam": lam}
    found = cells["run_episode"](*map(torch.tensor, (w, x, r)), **settings)
    for mine, theirs in zip(episode(w, x, r, **settings), found):
        assert theirs.numpy() == pytest.approx(mine)
    assert cells["light"].numpy().tolist() == units().tolist()
    assert cells["juice"].numpy().tolist() == paid().tolist()


def test_the_first_panels_neuron_is_that_loop(cells):
    history, w = train(51, units(), paid())
    for n in (0, 1, 50):
        drawn = cells["one_neuron"](n, "cue, then juice").value
        assert drawn == pytest.approx(history[n], abs=1e-12)
    assert cells["one_neuron"](51, "cue, no juice").value == pytest.approx(
        episode(w, units(), 0 * paid())[0], abs=1e-12
    )
    assert cells["one_neuron"](51, "juice alone").value.tolist() == paid().tolist()


# --- two lights ----------------------------------------------------------------------------------

LIGHT, OFF = units(), 0 * units()
A, B, BOTH = (np.hstack(pair) for pair in [(LIGHT, OFF), (OFF, LIGHT), (LIGHT, LIGHT)])


@pytest.mark.parametrize(("before", "b"), [(0, 0.5), (100, 0.226), (200, 0.002), (400, 0.0)])
def test_blocking(cells, before, b):
    w = train(before, A, paid())[1] if before else np.zeros(20)
    w = train(300, BOTH, paid(), w)[1]
    assert w[10] == pytest.approx(float(1 - at_least(before, 10)) / 2, abs=1e-9)
    assert w[10] == pytest.approx(b, abs=5e-4) and w[0] + w[10] == pytest.approx(1)
    assert cells["worths"](before) == pytest.approx((w[0], w[10]))


def test_what_is_added_to_the_juice_is_shared():
    w = train(300, BOTH, 2 * paid(), train(400, A, paid())[1])[1]
    assert w[[0, 10]] == pytest.approx([1.5, 0.5], abs=1e-6)


def test_an_inhibitor_cancels_and_would_unlearn_it():
    w = np.zeros(20)
    for _ in range(1000):
        w = episode(episode(w, A, paid())[1], BOTH, 0 * paid())[1]
    assert w == pytest.approx(np.repeat([1, -1], 10), abs=1e-3)
    errors, after = episode(w, B, 0 * paid())
    assert errors[[CUE, JUICE]] == pytest.approx([-1, 1], abs=1e-3) and after[19] > w[19] + 0.09


def test_second_order_conditioning_comes_and_goes():
    """In exact binomials: A's burst walks back over B's 5 units, and then the dip over all 10."""
    late, early = units(10, 5), units(5, 5)
    w = train(300, np.hstack([late, 0 * early]), paid())[1]
    history, _ = train(200, np.hstack([late, early]), 0 * paid(), w)
    burst = [float(at_least(n, 5) - at_least(n, 10)) for n in range(200)]
    assert history[:, CUE] == pytest.approx(burst, abs=1e-6)
    assert max(burst) > 0.6 and burst[-1] < 0.01
    assert "episode  70 without juice: at B 0.68" in LESSON.said("second-order")


# --- too early, or late --------------------------------------------------------------------------


def test_the_compound_expects_the_juice_twice_and_a_reset_does_not():
    w = train(300, units(), paid())[1]
    early = episode(w, units(), paid(10))[0]
    assert early[[10, 15]] == pytest.approx([1, -1])
    late = episode(w, units(), paid(18))[0]
    assert late == pytest.approx(np.eye(T)[[CUE, 18]].sum(0) - np.eye(T)[JUICE], abs=1e-4)
    reset = units() * (np.arange(T) < 10)[:, None]
    assert episode(w, reset, paid(10))[0][10:] == pytest.approx(0, abs=1e-6)


@pytest.mark.hardening
@pytest.mark.parametrize("reset", [False, True])
def test_the_error_at_a_juice_that_varies(cells, reset):
    """By the values at which the mean error is 0: of the ninth that falls on a moment, or of the
    share of it among those that are left."""
    exact, V = [], 0.0
    for t in range(19, 10, -1):
        falls = 1 / (20 - t) if reset else 1 / 9
        goes_on = 1 - falls if reset else 1
        before = falls + goes_on * 0.98 * V
        exact.insert(0, 1 + (0 if reset else 0.98 * V) - before)
        V = before
    found = cells["surprise"](reset).numpy()
    assert found == pytest.approx(exact, abs=0.02)
    if reset:
        assert (np.diff(exact) < 0).all() and exact[-1] == pytest.approx(0)
        w = np.zeros(15)  # with gamma 1 nothing is left to fall
        for t in list(range(11, 20)) * 100:
            x = units(5, 15, 22) * (np.arange(22) < t)[:, None]
            w = episode(w, x, paid(t, 22), alpha=0.3)[1]
        assert w[:14] == pytest.approx(1, abs=1e-2)
    else:
        assert exact == pytest.approx([8 / 9] * 9)


# --- three factors -------------------------------------------------------------------------------

PAYS = np.array([[0.0, 5.0], [2.0, 0.0]])  # at B and at C


def softmax(x):
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


def maze_return(theta):
    pi = softmax(theta.reshape(3, 2))
    return pi[0] @ (pi[1:] * PAYS).sum(1)


def test_three_factors_are_the_policy_gradient_and_two_are_nothing():
    theta = np.random.default_rng(1).normal(size=6)
    slope = optimize.approx_fprime(theta, maze_return, 1e-7)
    pi, with_error, without = softmax(theta.reshape(3, 2)), np.zeros((3, 2)), np.zeros((3, 2))
    below = (pi[1:] * PAYS).sum(1)
    for first, second in itertools.product(range(2), range(2)):
        p = pi[0, first] * pi[1 + first, second]
        errors = below[first] - pi[0] @ below, PAYS[first, second] - below[first]
        for s, a, error in zip((0, 1 + first), (first, second), errors):
            preferences = torch.tensor(theta.reshape(3, 2)[s])
            change = checks.three_factors.solution(preferences, a, error, 1.0).numpy()
            with_error[s] += p * change
            without[s] += p * (np.eye(2)[a] - pi[s])
    assert with_error.ravel() == pytest.approx(slope, abs=1e-5)
    assert without == pytest.approx(0, abs=1e-12)


def test_three_factors_are_the_error_times_the_score():
    preferences = torch.tensor([0.3, -1.2, 2.0], dtype=torch.float64, requires_grad=True)
    (score,) = torch.autograd.grad(preferences.log_softmax(0)[1], preferences)
    found = checks.three_factors.solution(preferences.detach(), 1, -2.0, 0.1)
    assert found.numpy() == pytest.approx(-0.2 * score.numpy())


def test_a_coin_in_the_maze():
    assert maze_return(np.zeros(6)) == 1.75
    assert "[1.75 2.5  1.  ]" in LESSON.said("maze")


# --- many neurons --------------------------------------------------------------------------------

SIZES = np.array([0.1, 0.3, 1.2, 2.5, 5, 10, 20])


def expectile(tau, x=SIZES):
    """In closed form: between two neighbours the condition is linear."""
    for low, high in itertools.pairwise(x):
        above, below = x[x >= high], x[x <= low]
        weight = tau * len(above) + (1 - tau) * len(below)
        v = (tau * above.sum() + (1 - tau) * below.sum()) / weight
        if low <= v <= high:
            return v
    raise AssertionError(tau)


def test_reversal_points():
    assert expectile(0.5) == pytest.approx(SIZES.mean()) and round(SIZES.mean(), 1) == 5.6
    assert expectile(0.9) == pytest.approx(13.27, abs=5e-3)
    curve = [expectile(tau) for tau in np.linspace(0.001, 0.999, 50)]
    assert curve == sorted(curve) and curve[0] < 0.2 and curve[-1] > 19
    for drops, ends in [((4, 6), "[4.2 5.  5.8]"), ((0, 10), "[1. 5. 9.]")]:
        points = [expectile(tau, np.array(drops, float)) for tau in (0.1, 0.5, 0.9)]
        assert str(np.round(points, 1)) == ends and ends in LESSON.said("two-shapes")


@pytest.mark.parametrize("tau", [0.1, 0.5, 0.9])
def test_a_reversal_point_is_where_iqls_loss_is_smallest(tau):
    def loss(v):
        return checks.asymmetric_loss.solution(torch.tensor(SIZES - v), tau).item()

    assert optimize.minimize_scalar(loss, bounds=(0, 20)).x == pytest.approx(
        expectile(tau), abs=1e-4
    )
    assert LESSON.run("imports", "neurons", "expectile")["expectile"](tau) == pytest.approx(
        expectile(tau)
    )


# --- the exercises a second way, and the cells ---------------------------------------------------


def test_errors_telescope():
    values, rewards = torch.rand(2, 9, generator=torch.Generator().manual_seed(0))
    errors = checks.prediction_errors.solution(values, rewards, 1.0)
    assert errors.sum().item() == pytest.approx((rewards.sum() + values[-1]).item(), rel=1e-5)


def test_credit_of_a_stream_is_that_of_its_episodes():
    rng = np.random.default_rng(0)
    before, errors = torch.tensor(rng.normal(size=(7, 3))), torch.tensor(rng.normal(size=7))
    goes_on = torch.tensor([0.9, 0.9, 0.0, 0.9, 0.9, 0.9, 0.0]).double()
    expected = np.zeros(3)
    for start, end in [(0, 3), (3, 7)]:
        for t in range(start, end):
            for k in range(start, t + 1):
                expected += errors[t].item() * 0.72 ** (t - k) * before[k].numpy()
    found = checks.repaired_credit.solution(before, errors, goes_on, 0.8)
    assert found.numpy() == pytest.approx(expected)


@each_end(
    gamma=(0.0, 1.0), alpha=(1e-3, 1.0), lam=(0.0, 1.0), stops=("never", "after 150 episodes")
)
def test_the_panel_at_every_end_of_its_sliders(cells, settings):
    *_, last = cells["train"](chance=1.0, **settings)
    heat, now, episodes, goal = last.value
    assert np.isfinite(heat).all() and now.isfinite().all() and last.fraction == 1
    assert episodes == 300 and abs(heat).max() <= 1 + 1e-9
    if settings["alpha"] == 1:
        assert now[0, CUE].item() == pytest.approx(goal, abs=1e-9)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lam": 1.2}, "lambda"),
        ({"lam": -0.1}, "lambda"),
        ({"gamma": 1.1}, "gamma"),
        ({"alpha": 0}, "alpha"),
    ],
)
def test_what_the_loop_refuses(cells, settings, words):
    with pytest.raises(SlipError, match=words):
        cells["learn"](1, **settings)


@pytest.mark.parametrize(
    ("ask", "reveal", "before", "right"),
    [
        ("guess-omission", "omission-came-out", (), "less than usual"),
        ("guess-sum", "walk", (), "stays the same"),
        ("guess-blocking", "blocking", (), "about nothing"),
        ("guess-early", "early", (), "dip"),
        ("guess-optimist", "reversals", ("neurons", "expectile"), "between 8 and 16"),
    ],
)
def test_the_folded_answers(cells, ask, reveal, before, right):
    assert LESSON.came_out(ask, *before, reveal, **cells) == [right]


def test_where_the_panels_stripe_goes(cells):
    """The panel's questions but for the second."""

    def heat(**settings):
        *_, last = cells["train"](
            **{"gamma": 1.0, "alpha": 0.1, "lam": 0.0, "chance": 1.0} | settings
        )
        return last.value[0]

    assert heat()[:, 6:15].max() > 0.15 and heat(lam=0.9)[1:, 6:15].max() < 0.04
    quick, slow = heat(lam=0.9), heat(lam=0.9, alpha=0.02)
    assert quick[11, CUE] == pytest.approx(slow[-1, CUE], abs=0.05)  # after 60 and 300 episodes
    assert slow[:, 6:15].max() < 0.04
    assert heat(gamma=0.8)[-1, CUE] == pytest.approx(0.8**10, abs=1e-3)
    stopped = heat(stops="after 150 episodes")
    assert stopped[39, CUE] > 0.9 and 10 <= stopped[39].argmin() <= 12  # 50 episodes later
    assert abs(stopped[-1]).max() < 0.3 and stopped[-1].argmin() <= 7


def test_a_good_habit_is_lost_without_a_third_factor():
    """One choice, its better action preferred by 2, and 2000 rats."""
    rng, theta = np.random.default_rng(0), np.tile([0.0, 2.0], (2000, 1))
    for _ in range(500):
        right = softmax(theta)[:, 1]
        theta += 0.2 * (np.eye(2)[(rng.random(2000) < right).astype(int)] - softmax(theta))
    assert theta.mean(0) == pytest.approx([0, 2], abs=0.5)
    assert softmax(theta)[:, 1].mean() < softmax(np.array([0.0, 2.0]))[1] - 0.05
