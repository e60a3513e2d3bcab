"""Lesson 16, its ground: auctions, logs, bidders and sales, derived here without the lesson's code."""

import itertools
import math
import warnings
from fractions import Fraction

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from scipy import integrate, optimize, stats

import helpers  # noqa: F401  (registers the environments)
from helpers import checks, exact
from helpers.envs.functional import FunctionalVectorEnv
from helpers.envs.sale import SaleDynamics
from helpers.errors import SlipError
from helpers.exact import MDP

UNIFORM = (lambda x: x), (lambda x: 1.0)
RISING = (lambda x: x**2), (lambda x: 2 * x)  # F and f of values that are more often high


def revenue(r, n, values=UNIFORM, cost=0.0):
    """By the three cases: nobody reaches r, one does, or the second highest sets the price."""
    F, f = values
    one = n * F(r) ** (n - 1) * (1 - F(r)) * (r - cost)
    second = lambda x: (x - cost) * n * (n - 1) * F(x) ** (n - 2) * (1 - F(x)) * f(x)  # noqa: E731
    return one + (integrate.quad(second, r, 1)[0] if n > 1 else 0.0)


def best(f, low=0.0, high=1.0):
    return optimize.minimize_scalar(
        lambda x: -f(x), bounds=(low, high), method="bounded", options={"xatol": 1e-10}
    ).x


# --- what a reserve price earns ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "earns", "without"),
    [(1, 1 / 4, 0), (2, 5 / 12, 1 / 3), (3, 17 / 32, 1 / 2), (5, 0.671875, 2 / 3)],
)
def test_the_best_reserve_is_one_half_and_what_it_earns(n, earns, without):
    assert best(lambda r: revenue(r, n)) == pytest.approx(0.5, abs=1e-6)
    assert revenue(0.5, n) == pytest.approx(earns) and revenue(0.0, n) == pytest.approx(without)
    for r in (0.0, 0.2, 0.7, 1.0):
        closed = (n - 1) / (n + 1) + r**n - 2 * n / (n + 1) * r ** (n + 1)
        assert closed == pytest.approx(revenue(r, n), abs=1e-9)


@pytest.mark.parametrize("cost", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("n", [1, 2, 4])
def test_whoever_loses_c_by_selling_asks_for_half_of_one_plus_c(n, cost):
    assert best(lambda r: revenue(r, n, cost=cost)) == pytest.approx((1 + cost) / 2, abs=1e-6)


@pytest.mark.parametrize("cost", [0.0, 0.3])
@pytest.mark.parametrize("n", [1, 2, 4])
def test_for_other_values_the_virtual_value_is_the_cost_at_the_best(n, cost):
    F, f = RISING
    r = best(lambda r: revenue(r, n, RISING, cost))
    assert r - (1 - F(r)) / f(r) == pytest.approx(cost, abs=1e-5)
    slope = (revenue(0.6 + 1e-5, n, RISING) - revenue(0.6 - 1e-5, n, RISING)) / 2e-5
    assert slope == pytest.approx(n * F(0.6) ** (n - 1) * (1 - F(0.6) - 0.6 * f(0.6)), abs=1e-6)


def test_nobody_gains_by_another_bid_than_the_value():
    places = np.linspace(0, 1, 21)
    for value, bid, price in itertools.product(places, repeat=3):  # price: what the others leave
        assert (value - price) * (bid >= price) <= max(value - price, 0)


def test_the_exercises_auction_earns_the_formula():
    rng, r = np.random.default_rng(0), 0.5
    for n in (2, 3):
        bids = torch.tensor(rng.random((200_000, n)))
        earned = checks.auction_revenue.solution(bids, r)
        assert earned.mean().item() == pytest.approx(revenue(r, n), abs=0.003)


# --- slopes --------------------------------------------------------------------------------------


def R(p):
    """Two bidders, any price: below 0 it asks nothing, above 1 it never sells."""
    p = np.clip(p, 0, 1)
    return 1 / 3 + p**2 - 4 / 3 * p**3


def smoothed(m, sigma, weigh=lambda e: 1.0):
    kinks = [x for x in (-m / sigma, (1 - m) / sigma) if abs(x) < 8]
    f = lambda e: R(m + sigma * e) * weigh(e) * stats.norm.pdf(e)  # noqa: E731
    return integrate.quad(f, -8, 8, points=kinks, limit=200)[0]


@pytest.mark.parametrize(("m", "sigma"), [(0.7, 0.1), (0.5, 0.05), (0.9, 0.2)])
def test_the_score_gives_the_slope_of_the_smoothed_revenue(m, sigma):
    score = smoothed(m, sigma, lambda e: e / sigma)
    slope = (smoothed(m + 1e-4, sigma) - smoothed(m - 1e-4, sigma)) / 2e-4
    assert score == pytest.approx(slope, abs=1e-5)
    if sigma < 0.2:
        assert slope == pytest.approx(2 * m - 4 * m**2 - 4 * sigma**2, abs=0.01)
    else:
        assert slope == pytest.approx(-0.71, abs=0.005)


@pytest.mark.parametrize(
    ("sigma", "mean", "off"),
    [(0.02, 0.499, 0), (0.1, 0.479, 0), (0.2, 0.406, 0.006), (0.25, 0.347, 0.097)],
)
def test_where_a_trembling_price_is_best_and_where_the_formula_ends(sigma, mean, off):
    found = best(lambda m: smoothed(m, sigma))
    formula = (1 + math.sqrt(1 - 16 * sigma**2)) / 4
    assert found == pytest.approx(mean, abs=6e-4) and found - formula == pytest.approx(
        off, abs=6e-4
    )
    assert smoothed(found, sigma) < 5 / 12


def test_differences_feel_a_third_of_the_trembles_variance():
    stretch = lambda m: R(m + 0.1) - R(m - 0.1)  # noqa: E731
    assert optimize.brentq(stretch, 0.4, 0.6) == pytest.approx(0.493, abs=5e-4)


def test_to_drop_the_days_at_the_edge_is_no_repair():
    """Around 0.9 by 0.2: the mean of (R - mean R) times the score, over prices below 1 alone, whose
    own mean is the baseline, as the lesson's function takes it."""
    e = np.random.default_rng(0).standard_normal(1_000_000)
    earned = R(0.9 + 0.2 * e)
    each = (earned - earned.mean()) * e / 0.2
    assert each.mean() == pytest.approx(-0.71, abs=0.01)
    e, earned = (x[0.9 + 0.2 * e <= 1] for x in (e, earned))
    assert ((earned - earned.mean()) * e / 0.2).mean() == pytest.approx(-0.39, abs=0.01)


def test_a_single_buyers_revenue_is_the_same_on_both_sides_so_nothing_shifts():
    one = lambda m: (m * (1 - m)) - 0.1**2  # noqa: E731  E of p (1 - p)
    assert best(one) == pytest.approx(0.5, abs=1e-6)


def test_the_scatter_of_differences_and_of_the_score():
    """Variances of a day's term, by quadrature: about Var R / width^2 for both."""
    square = lambda p: integrate.quad(lambda x: 2 * x**2 * (1 - x), p, 1)[0] + 2 * p**3 * (1 - p)  # noqa: E731
    at = lambda p: square(p) - R(p) ** 2  # noqa: E731
    for width, scatter in ((0.1, 0.35), (0.025, 1.43)):
        differences = math.sqrt((at(0.7 + width) + at(0.7 - width)) / 50) / (2 * width)
        assert differences == pytest.approx(scatter, abs=0.02)
        assert differences == pytest.approx(math.sqrt(at(0.7) / 100) / width, rel=0.03)


def test_the_pathwise_slope_is_what_is_paid_more():
    bids = np.random.default_rng(1).random((400_000, 2))
    alone = ((bids >= 0.7).sum(1) == 1).mean()
    assert alone == pytest.approx(2 * 0.7 * 0.3, abs=0.003)  # the truth is -0.56
    top, second = bids.max(1), bids.min(1)
    sold = lambda r: np.where(top >= r, np.maximum(second, r), 0).mean()  # noqa: E731
    assert (sold(0.71) - sold(0.69)) / 0.02 == pytest.approx(-0.56, abs=0.05)


# --- logs ----------------------------------------------------------------------------------------

TOPS, PRICES = (0.6, 1.0), (0.3, 0.5)
TRUE = np.array([[top * R(price / top) for price in PRICES] for top in TOPS])


def test_the_days_at_the_higher_price_earned_more_and_would_have_earned_less():
    mu = np.array([[0.9, 0.1], [0.1, 0.9]])
    naive = (mu * TRUE).sum(0) / mu.sum(0)
    assert naive == pytest.approx([0.264, 0.390], abs=6e-4)
    assert TRUE.mean(0) == pytest.approx([0.319, 0.285], abs=6e-4)


def test_a_log_without_the_kind_is_wrong_and_its_mean_weight_is_1():
    """Half of all days are at each price, so that a coin is believed: weights 2 and 0."""
    mu = np.array([[0.9, 0.1], [0.1, 0.9]])
    assert (mu[:, 1] * 2).mean() == pytest.approx(1)
    assert (mu[:, 1] * 2 * TRUE[:, 1]).mean() == pytest.approx(0.390, abs=6e-4)


DAYS = [(x, a, y) for x in (0, 1) for a in (0, 1) for y in (0, 1)]  # kind, price, sold or not
MU = [[Fraction(3, 4), Fraction(1, 4)], [Fraction(1, 4), Fraction(3, 4)]]
SELLS = [[Fraction(1, 2), Fraction(1, 5)], [Fraction(9, 10), Fraction(4, 5)]]
POOR = [[Fraction(1, 3), Fraction(5, 7)]] * 2


def chance(day):
    x, a, y = day
    return Fraction(1, 2) * MU[x][a] * (SELLS[x][a] if y else 1 - SELLS[x][a])


def expected(estimate, days=2):
    """The exact mean over all logs of so many days of an estimate of "price 1 on all days"."""
    return sum(
        math.prod(map(chance, log)) * estimate(log) for log in itertools.product(DAYS, repeat=days)
    )


def ratio(day, mu=MU):
    return Fraction(day[1]) / mu[day[0]][day[1]]


def robust(log, model, mu=MU):
    each = [model[x][1] + ratio((x, a, y), mu) * (y - model[x][a]) for x, a, y in log]
    return sum(each) / len(log)


TRUTH = (SELLS[0][1] + SELLS[1][1]) / 2
EVEN = [[Fraction(1, 2)] * 2] * 2


def test_one_of_model_and_weights_is_enough():
    assert expected(lambda log: sum(ratio(day) * day[2] for day in log) / 2) == TRUTH
    assert expected(lambda log: robust(log, POOR)) == TRUTH
    assert expected(lambda log: robust(log, SELLS, EVEN)) == TRUTH
    assert expected(lambda log: robust(log, POOR, EVEN)) != TRUTH

    def normalised(log):
        weights = [ratio(day) for day in log]
        return sum(w * day[2] for w, day in zip(weights, log)) / (sum(weights) or 1)

    assert expected(normalised, 1) != TRUTH != expected(normalised, 2)


def test_the_exercises_estimate_is_that():
    log = [(0, 1, 1), (1, 0, 0), (1, 1, 1), (0, 0, 1)]
    columns = [
        [day[2] for day in log],
        [ratio(day) for day in log],
        [POOR[x][a] for x, a, _ in log],
        [POOR[x][1] for x, *_ in log],
    ]
    found = checks.doubly_robust.solution(*(torch.tensor([*map(float, c)]) for c in columns))
    assert found.item() == pytest.approx(float(robust(log, POOR)), abs=1e-6)


def a_days_scatter(model, opposite=0.1):
    """The standard deviation of one day's doubly robust term, by quadrature; model 0: weights alone."""
    first, second = 0.0, 0.0
    for x, top in enumerate(TOPS):
        p = (opposite, 1 - opposite)[x]
        r = 0.5 / top
        mean = top * R(r)
        square = integrate.quad(lambda b: 2 * b**2 * (1 - b), r, 1)[0] + 2 * r**3 * (1 - r)
        m = model[x]
        matched = m**2 + 2 * m * (mean - m) / p + (top**2 * square - 2 * m * mean + m**2) / p**2
        first += (m + (mean - m)) / 2
        second += (p * matched + (1 - p) * m**2) / 2
    return math.sqrt(second - first**2)


def test_a_poor_model_adds_noise_and_a_better_one_takes_some_away():
    weights = a_days_scatter([0.0, 0.0])
    poor = a_days_scatter([0.3904, 0.3904])
    better = a_days_scatter(1.2 * TRUE[:, 1])
    assert better < weights < poor
    assert [x / 20 for x in (weights, poor, better)] == pytest.approx(
        [0.033, 0.037, 0.029], abs=1e-3
    )


def test_so_many_logs_hold_no_plain_item_at_the_higher_price():
    assert (1 - 0.5 * 0.005) ** 400 == pytest.approx(0.367, abs=5e-4)
    assert TRUE[1, 1] / 2 / 0.995 == pytest.approx(0.209, abs=5e-4)  # what weights say there


# --- bidders who learn ---------------------------------------------------------------------------


def gain(rule, s, q, nodes=400):
    """The mean over both values, by the midpoint rule over one and exactly over the other."""
    v = (np.arange(nodes) + 0.5) / nodes
    wins = np.clip(s * v / q, 0, 1)  # below this value of the other
    paid = s * v * wins if rule == "first price" else q * wins**2 / 2
    return (v * wins - paid).mean()


@pytest.mark.parametrize(("s", "q"), [(0.4, 0.5), (0.5, 0.5), (0.6, 0.5), (0.3, 0.8), (0.9, 0.4)])
def test_the_gain_in_closed_form(s, q):
    closed = s * (1 - s) / (3 * q) if s <= q else (1 - s) * (0.5 - q**2 / (6 * s**2))
    assert gain("first price", s, q) == pytest.approx(closed, abs=1e-5)


def test_the_best_answers():
    assert best(lambda s: gain("first price", s, 0.5), 0.01) == pytest.approx(0.5, abs=2e-3)
    assert best(lambda s: gain("first price", s, 0.9), 0.01) == pytest.approx(0.5, abs=2e-3)
    for q in (0.4, 0.8, 1.0, 1.3):
        found = best(lambda s, q=q: gain("second price", s, q), 0.01, 2.0)
        assert gain("second price", 1.0, q) >= gain("second price", found, q) - 1e-6


@pytest.mark.parametrize(("sigma", "settles"), [(0.02, 0.484), (0.05, 0.465), (0.1, 0.444)])
def test_where_trembling_bidders_settle(sigma, settles):
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = np.outer(weights, weights) / (2 * math.pi)

    def pull(m):
        s, q = (m + sigma * nodes).clip(0.02)[:, None], (m + sigma * nodes).clip(0.02)
        below = (1 - 2 * s) / (3 * q)
        above = (1 - s) * q**2 / (3 * s**3) - 0.5 + q**2 / (6 * s**2)
        return (weights * np.where(s <= q, below, above)).sum()

    assert optimize.brentq(pull, 0.35, 0.6) == pytest.approx(settles, abs=2e-3)


# --- a few items, a few days ---------------------------------------------------------------------


def sale_mdp(n, days, items, prices):
    """State t (items + 1) + k as one table: the expected revenue as the reward of a day."""
    states = (days + 1) * (items + 1)
    P = np.zeros((states, len(prices), states))
    pays = np.zeros_like(P)
    terminal = np.ones(states, bool)
    for t, k in itertools.product(range(1, days + 1), range(1, items + 1)):
        here, unsold = t * (items + 1) + k, (t - 1) * (items + 1) + k
        terminal[here] = False
        P[here, :, unsold] = prices**n
        P[here, :, unsold - 1] = 1 - prices**n
        pays[here, :, unsold - 1] = [revenue(p, n) / (1 - p**n) for p in prices]
    start = np.eye(states)[-1]
    return MDP(*map(torch.as_tensor, (P, pays, terminal, start)))


def by_induction(n, days, items, gamma, price=None):
    """V [days + 1, items + 1] and the prices, best ones or one and the same."""
    V, prices = np.zeros((days + 1, items + 1)), np.full((days + 1, items + 1), np.nan)
    for t, k in itertools.product(range(1, days + 1), range(1, items + 1)):
        cost = gamma * (V[t - 1, k] - V[t - 1, k - 1])
        r = prices[t, k] = (1 + cost) / 2 if price is None else price
        V[t, k] = revenue(r, n) + gamma * ((1 - r**n) * V[t - 1, k - 1] + r**n * V[t - 1, k])
    return V, prices


@pytest.mark.parametrize(("n", "gamma"), [(1, 1.0), (1, 0.9), (2, 0.95)])
def test_half_of_one_plus_the_opportunity_cost_is_the_best_of_a_fine_grid_of_prices(n, gamma):
    V, _ = by_induction(n, 4, 2, gamma)
    solved = exact.optimal_values(sale_mdp(n, 4, 2, np.linspace(0, 0.995, 200)), gamma).view(5, 3)
    assert solved.numpy() == pytest.approx(V, abs=2e-5) and (solved.numpy() <= V + 1e-9).all()


def test_one_item_and_one_buyer_a_day_is_the_known_sequence():
    V, prices = by_induction(1, 10, 3, 1.0)
    known = [0.0]
    for _ in range(10):
        known.append(((1 + known[-1]) / 2) ** 2)
    assert V[:, 1] == pytest.approx(known)
    assert prices[10, 1:] == pytest.approx([0.861, 0.778, 0.704], abs=5e-4)
    assert V[10, 3] == pytest.approx(1.774, abs=5e-4)
    assert by_induction(1, 10, 3, 1.0, 0.5)[0][10, 3] == pytest.approx(1.467, abs=5e-4)


@pytest.mark.parametrize(("n", "gamma"), [(1, 1.0), (1, 0.5), (4, 1.0), (6, 0.9)])
def test_prices_fall_day_by_day_and_jump_at_a_sale(n, gamma):
    _, prices = by_induction(n, 10, 3, gamma)
    assert (np.diff(prices[1:, 1:], axis=0) >= -1e-12).all()  # more days left, higher
    assert (np.diff(prices[1:, 1:], axis=1) <= 1e-12).all()  # more items left, lower
    assert prices[1, 1:] == pytest.approx(0.5)
    assert (prices[2:, 1] > 0.5).all()


def test_with_more_buyers_all_prices_are_at_least_as_high():
    few, many = (by_induction(n, 10, 3, 1.0)[1][1:, 1:] for n in (1, 4))
    assert (many >= few).all() and (many[5:] > few[5:] + 0.05).all()
    half = by_induction(1, 10, 3, 0.5)[1][1:, 1:]
    assert half.max() < 0.6


# --- the environment -----------------------------------------------------------------------------


def test_both_forms_of_the_sale_are_gymnasiums():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        single = gymnasium.make("course/Sale-v0", render_mode="ansi")
        check_env(single.unwrapped, skip_render_check=True)
        many = gymnasium.make_vec("course/Sale-v0", num_envs=3, bidders=2)
    assert isinstance(many, FunctionalVectorEnv)
    assert many.single_observation_space == single.observation_space
    single.reset(seed=0)
    assert single.render() == "10 days and 3 items left"


@pytest.mark.parametrize(("n", "gamma", "price"), [(1, 1.0, 0.6), (3, 0.9, 0.4)])
def test_a_fixed_price_earns_what_the_exact_solution_says(n, gamma, price):
    envs = gymnasium.make_vec("course/Sale-v0", num_envs=40_000, days=5, items=2, bidders=n)
    seen, _ = envs.reset(seed=0)
    assert np.array_equal(seen, np.ones_like(seen))
    G, running = np.zeros(40_000), np.ones(40_000)
    for t in range(5):
        actions = np.full((40_000, 1), price, np.float32)
        seen, rewards, terminated, truncated, _ = envs.step(actions)
        G += running * gamma**t * rewards
        running *= ~terminated
        assert not truncated.any()
    assert terminated[running == 0].shape and not running.any()
    truth = by_induction(n, 5, 2, gamma, price)[0][5, 2]
    assert G.mean() == pytest.approx(truth, abs=4 * G.std() / 200)


def test_the_ends_of_a_sale_and_prices_beyond_the_values():
    sale, rng = SaleDynamics(2, 1, 1), np.random.default_rng(0)
    states = np.array([[2, 1], [2, 0], [0, 1]])
    after, rewards, over = sale.transition(
        states, np.full((3, 1), -5.0), rng
    )  # clipped: gives away
    assert after.tolist() == [[1, 0], [1, 0], [-1, 1]] and not rewards.any() and over.all()
    after, rewards, over = sale.transition(states[:1], np.array([[7.0]]), rng)  # keeps
    assert after.tolist() == [[1, 1]] and not rewards.any() and not over.any()
    assert states.tolist() == [[2, 1], [2, 0], [0, 1]]
    for wrong in ({"days": 0}, {"items": 1.5}, {"bidders": 0}):
        with pytest.raises(SlipError, match=f"{next(iter(wrong))} must be a whole number"):
            SaleDynamics(**wrong)
    with pytest.raises(SlipError, match="as text"):
        sale.render(states[0], "rgb_array")
