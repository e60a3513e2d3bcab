"""Lesson 01: each of its numbers by a second way that shares no code with the lesson's."""

import cmath
import functools
import io
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from lesson_cells import Lesson
from PIL import Image

LESSON = Lesson(1)
TABLES = ("imports", "tables", "transitions", "rewards", "returns", "fisher")
BOLD = ("imports", "returns", "03173229", "worth")


@pytest.fixture(scope="module")
def lesson():
    climbing = "place-and-map", "climb"
    return LESSON.run(*TABLES, "preferences", "closed-form", "two-ways", *climbing)


@pytest.fixture(scope="module")
def gardener():
    return LESSON.run("imports", "gardener", "true-slope", "dropped-slope", "ascend")


# --- the fisher's story, told once more ----------------------------------------------------------


def sigmoid(x):
    return 1 / (1 + cmath.exp(-x))


def story(x, y, gamma):
    """J of theta = (x, y), by following the story backwards from 400 steps ahead; complex x, y too."""
    p, q, sea = sigmoid(x), sigmoid(y), 0
    for _ in range(400):
        sea = (1 - q) * 0 + q * (0.5 * 4 + 0.5 * gamma * sea)
    return (1 - p) * 1 + p * (-1 + gamma * sea)


def slope(x, y, gamma, h=1e-30):
    """The gradient of the story by complex steps: no autograd, no differences, no theorem."""
    up = story(complex(x, h), y, gamma), story(x, complex(y, h), gamma)
    return np.array([value.imag / h for value in up])


def ascent(gamma, rate, steps=200):
    """theta at each step, [steps+1, 2]."""
    path = [np.zeros(2)]
    for _ in range(steps):
        path.append(path[-1] + rate * slope(*path[-1], gamma))
    return np.array(path)


POLICIES = [(0, 0), (0.4, -0.7), (1, -1), (-3, 2), (5, 5)]


@pytest.mark.parametrize("gamma", [0, 0.3, 0.8, 0.99, 1.0])
def test_values_and_gradients_of_the_fisher(lesson, gamma):
    exact, fisher = lesson["exact"], lesson["fisher"]
    for theta in POLICIES:
        tensor = torch.tensor(theta, dtype=torch.float64)
        expected = story(*theta, gamma).real
        assert exact.objective(fisher, lesson["policy"](tensor), gamma) == pytest.approx(expected)
        assert lesson["J"](*theta, gamma) == pytest.approx(expected)
        gradient = lesson["theorem_gradient"](tensor, gamma)
        assert np.allclose(gradient, slope(*theta, gamma), rtol=1e-9, atol=1e-12)


def test_the_round_numbers_of_the_coin_toss(lesson):
    half, gamma = Fraction(1, 2), Fraction(4, 5)
    sea = Fraction(5, 4)
    assert sea == half * 0 + half * (half * 4 + half * gamma * sea)
    q_sail_harbour, q_sail_sea = -1 + gamma * sea, 2 + half * gamma * sea
    assert (q_sail_harbour, q_sail_sea) == (0, Fraction(5, 2))
    harbour = half * 1 + half * q_sail_harbour
    visits = gamma * half / (1 - gamma * half * half)  # of the sea
    assert (harbour, visits) == (half, half)
    gradient = half * half * (q_sail_harbour - 1), visits * half * half * q_sail_sea
    assert gradient == (Fraction(-1, 4), Fraction(5, 16))
    assert np.allclose(slope(0, 0, 0.8), [-0.25, 0.3125])
    q = lesson["exact"].action_values(lesson["fisher"], lesson["policy"](torch.zeros(2)), 0.8)
    assert np.allclose(q, [[1, 0], [0, 2.5], [0, 0]])


# --- the early panel: one boldness everywhere ----------------------------------------------------


@pytest.fixture(scope="module")
def bold():
    return LESSON.run(*BOLD, "boldness")


def one_boldness(p):
    """V(harbour) and its slope in p, by the story."""
    x = math.log(p / (1 - p))
    value = story(complex(x, 1e-30), complex(x, 1e-30), 0.8)
    return value.real, value.imag / 1e-30 / (p * (1 - p))


@pytest.mark.parametrize("p", [0.001, 0.2, 0.45, 0.5, 0.8, 0.999])
def test_the_curve_of_boldness_and_its_slope(bold, p):
    value, rise = one_boldness(p)
    assert bold["boldness"](p).value == pytest.approx((p, value, rise), rel=1e-6)


def test_boldness_costs_below_its_lowest_place_and_pays_above(bold):
    assert one_boldness(0.455)[1] < 0 < one_boldness(0.465)[1]
    said = {p: bold["boldness"](p).words().partition(": ")[2] for p in (0.0, 0.45, 0.47, 1.0)}
    less, more = (f"a little bolder, she would earn {word}." for word in ("less", "more"))
    assert said == {0.0: less, 0.45: less, 0.47: more, 1.0: "she cannot be bolder."}


def test_the_slope_is_drawn_where_she_stands(bold):
    picture = bold["slope_picture"]()
    drawings = []
    for p in (0.0, 0.5, 1.0):
        picture.restart(f"P(sail) {p}")
        picture.add(bold["boldness"](p))
        drawings.append(drawn(picture))
    _, tangent, dot = picture.parts
    (x, y), (end,) = tangent.lines[0][0].get_data(), dot.lines[0][1].get_xydata()
    assert np.allclose(end, [1, 5 / 3]) and np.allclose(np.diff(y) / np.diff(x), 46 / 9, rtol=1e-3)
    assert all(abs(one - other).max() > 50 for one, other in itertools.pairwise(drawings))


# --- lived days ----------------------------------------------------------------------------------


def test_the_lessons_estimator_is_unbiased_and_four_times_the_days_halve_its_error():
    names = LESSON.run(
        *TABLES,
        "preferences",
        "closed-form",
        "two-ways",
        "live-days",
        "all-scores",
        "day-gradients",
    )
    generator = torch.Generator().manual_seed(7)
    days = names["day_gradients"](names["theta"].detach(), 200_000, generator)
    exact = torch.tensor(slope(0.4, -0.7, 0.8))
    assert torch.all((days.mean(0) - exact).abs() < 4 * days.std(0) / 200_000**0.5)
    states, actions, _ = names["live_days"](torch.zeros(2), 200_000, generator)
    longer = (states[-1] == names["SEA"]) & (actions[-1] == names["SAIL"])
    assert longer.sum() <= 2  # twelve steps cut off hardly any day
    errors = [
        (days.view(-1, n, 2).mean(1) - exact).square().sum(1).mean().sqrt() for n in (50, 200, 800)
    ]
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.2)


def test_all_days_have_probability_one_and_no_longer_day_is_left_out():
    all_days = LESSON.run("tables", "all-days")["all_days"]
    chances = {tuple(actions): luck * 0.5 ** len(actions) for actions, luck, _ in all_days(20)}
    assert sum(chances.values()) == pytest.approx(1 - 0.5 * 0.25**19)
    for actions in itertools.product([0, 1], repeat=3):
        stops = actions[0] == 0 or actions[1] == 0
        assert (actions in chances) == (not stops)


# --- the planted bug -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("theta", "ratios"), [((0, 0), (0.5, 0.5)), ((1, -1), (0.43, 0.27))], ids=str
)
def test_the_planted_bug_is_off_by_what_the_lesson_shows(theta, ratios):
    p, q = (sigmoid(x).real for x in theta)
    sea = 2 * q / (1 - 0.4 * q)
    twice = np.array(  # the probability counts twice: in the sample, and in its derivative
        [
            p * (1 - p) * (p * (-1 + 0.8 * sea) - (1 - p) * 1),
            0.8 * p / (1 - 0.4 * q) * q * (1 - q) * (q * (2 + 0.4 * sea) - (1 - q) * 0),
        ]
    )
    assert np.allclose(twice / slope(*theta, 0.8), ratios, atol=0.005)


# --- the gardener --------------------------------------------------------------------------------


def seasons(p, gamma):
    """Probability, return, returns to go and scores (for p) of each of his four years."""
    for spring, autumn in itertools.product([0, 1], repeat=2):
        chance = (p if spring else 1 - p) * (p if autumn else 1 - p)
        autumn_reward = Fraction(3, 2) * spring - autumn
        scores = [1 / p if a else -1 / (1 - p) for a in (spring, autumn)]
        yield chance, (gamma * autumn_reward, autumn_reward), scores


@pytest.mark.parametrize("tenths", range(1, 10))
def test_the_dropped_discount_turns_the_sign(gardener, tenths):
    p, gamma = Fraction(tenths, 10), Fraction(1, 2)
    assert sum(chance * to_go[0] for chance, to_go, _ in seasons(p, gamma)) == p / 4
    true, dropped = (
        sum(
            chance * sum(weight**t * to_go[t] * scores[t] for t in (0, 1))
            for chance, to_go, scores in seasons(p, gamma)
        )
        for weight in (gamma, 1)
    )
    assert (true, dropped) == (Fraction(1, 4), Fraction(-1, 4))
    theta, per_p = math.log(p / (1 - p)), float(p * (1 - p))
    assert gardener["true_slope"](theta) == pytest.approx(0.25 * per_p)
    assert gardener["dropped_slope"](theta) == pytest.approx(-0.25 * per_p)


def test_the_gardeners_two_ascents(gardener):
    for name, sign in [("true_slope", 1), ("dropped_slope", -1)]:
        theta = 0.0
        for _ in range(100):
            p = 1 / (1 + math.exp(-theta))
            theta += sign * 0.25 * p * (1 - p)
        end = gardener["ascend"](gardener[name])[-1]
        assert end == pytest.approx(1 / (1 + math.exp(-theta)))
        assert end == pytest.approx(0.951 if sign == 1 else 0.049, abs=5e-4)


# --- the panel: what the collapsed answer says ---------------------------------------------------


def test_where_the_climbs_lead(lesson):
    def climbed(gamma, rate):
        places = list(lesson["climb"](gamma, rate))
        return np.array([place.theta for place in places]), [place.height for place in places]

    path, height = climbed(0.8, 1)
    turn = path[:, 0].argmin()
    assert 0 < turn < 20 and path[-1, 0] > 4 and path[1, 1] > 0  # first to the left, and up
    assert sigmoid(path[turn - 1, 1]).real < 5 / 6 < sigmoid(path[turn, 1]).real
    assert height[-1] == pytest.approx(1.655, abs=5e-4)
    stuck, height = climbed(0.8, 100)
    assert stuck[1:, 0].max() < -24 and np.allclose(height[1:], 1, atol=1e-9)
    _, back = climbed(0.8, 32)
    assert back[120] < 1.01 and back[-1] > 1.66
    for gamma, end in ((0.7, 1.035), (0.5, 0.995)):
        assert climbed(gamma, 1)[1][-1] == pytest.approx(end, abs=5e-4)
    assert not climbed(0, 1)[0][:, 1].any()  # the sea has no influence


def test_sailing_out_breaks_even_at_five_sixths_and_at_two_thirds():
    assert story(40, math.log(5), 0.8).real == pytest.approx(1)  # sigmoid(log 5) = 5/6
    assert story(40, 40, 2 / 3).real == pytest.approx(1)
    assert story(40, 40, 0.6).real < 1 < story(40, 40, 0.7).real


@pytest.mark.parametrize(
    ("gamma", "rate"),
    [(0.0, 0.1), (0.0, 100.0), (0.5, 1.0), (0.8, 1.0), (0.8, 32.0), (1.0, 0.1), (1.0, 100.0)],
)
def test_the_lessons_climb_is_that_ascent_at_every_end_of_the_sliders(lesson, gamma, rate):
    places = list(lesson["climb"](gamma, rate))
    assert len(places) == 201 and places[-1].fraction == 1
    path = ascent(gamma, rate)
    if rate < 100:  # a chaotic leap amplifies rounding
        assert np.allclose([place.theta for place in places], path, atol=1e-6)
    assert all(math.isfinite(v) for place in places for v in (*place.theta, place.height))
    assert "nan" not in places[-1].words()


# --- the picture ---------------------------------------------------------------------------------


def drawn(picture):
    return np.asarray(Image.open(io.BytesIO(picture.png()))).astype(int)


def test_the_landscape_draws_runs_and_maps(lesson):
    picture = lesson["map_picture"]()
    empty = drawn(picture)
    for gamma, rate in ((0.8, 1), (1.0, 100)):
        picture.restart(f"gamma {gamma}, rate {rate}")
        before = drawn(picture)
        for place in lesson["climb"](gamma, rate):
            picture.add(place)
        assert abs(drawn(picture) - before).max() > 50
    assert drawn(picture).shape == empty.shape
    assert picture.rows()[0][1] == "gamma 1.0, rate 100" and "flat" in picture.rows()[0][2]


def test_the_map_belongs_to_gamma(lesson):
    maps, picture = [], lesson["map_picture"]()
    for gamma in (0.3, 0.8, 0.3):
        picture.restart("run")
        picture.add(lesson["Place"](0.0, (0.0, 0.0), gamma, 0.5, 1.0))
        maps.append(drawn(picture))
    assert np.array_equal(maps[0], maps[2]) and not np.array_equal(maps[0], maps[1])


# --- what comes out of the predictions -----------------------------------------------------------

CLIMB = *TABLES, "preferences", "closed-form", "two-ways", "place-and-map", "climb"
CLIMBED = *CLIMB, "guess-end", "guess-fast", "7f3bb692"
GARDENER = "imports", "gardener", "true-slope", "dropped-slope"
REVEALED = {  # what comes before the question, what follows it, and what comes out
    "guess-bold": (BOLD, ["bold-answer"], "falls, then rises"),
    "guess-actions": ((*TABLES, "f00d35df"), ["6fa311e3", "actions-answer"], "home / sail"),
    "guess-agree": ((*CLIMB, "e0b0a3df"), ["c09a549f"], "1 and 2"),
    "guess-end": (CLIMBED, ["climb-answer"], "mostly sails"),
    "guess-fast": (CLIMBED, ["climb-answer"], "lower"),
    "guess-autumn": (GARDENER, ["3fe536d0"], "negative"),
}
ran = functools.cache(LESSON.run)


@pytest.mark.parametrize("ask", REVEALED)
def test_what_comes_out_of_a_prediction(ask):
    before, after, answer = REVEALED[ask]
    assert LESSON.came_out(ask, *after, **ran(*before)) == [answer]


def test_each_prediction_is_tested():
    assert LESSON.asked() == [*REVEALED]
