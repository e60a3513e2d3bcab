"""Lesson 01: each of its numbers by a second way that shares no code with the lesson's."""

import cmath
import io
import itertools
import math
import random
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


def lived_gradient(theta, gamma, rng):
    """One day by the story, with the plainest estimator: the day's return times the sum of scores."""
    p = [sigmoid(x).real for x in theta]
    state, discount, day, score = 0, 1, 0, np.zeros(2)
    while True:
        sails = rng.random() < p[state]
        score[state] += sails - p[state]
        if not sails:
            return (day + discount * (state == 0)) * score
        if state == 1 and rng.random() < 0.5:
            return (day + discount * 4) * score
        day -= discount * (state == 0)
        state, discount = 1, discount * gamma


def test_visits_sum_to_the_mean_length_of_a_day_where_gamma_is_1(lesson):
    for theta in POLICIES:
        p, q = (sigmoid(x).real for x in theta)
        probabilities = lesson["policy"](torch.tensor(theta, dtype=torch.float64))
        visits = lesson["exact"].occupancy(lesson["fisher"], probabilities, 1.0)[:2]
        assert visits.sum() == pytest.approx(1 + p / (1 - q / 2))


def test_lived_days_agree_with_the_lesson():
    theta, rng = (0.4, -0.7), random.Random(0)
    days = np.array([lived_gradient(theta, 0.8, rng) for _ in range(40_000)])
    error = days.std(0) / 200
    assert np.all(abs(days.mean(0) - [-0.333447, 0.282356]) < 4 * error)


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


def test_the_dropped_direction_is_three_halves_gamma_minus_one(gardener):
    for gamma in (0.5, 0.6, 0.7, 0.8, 0.99):
        assert 4 * gardener["true_slope"](0.0, gamma) == pytest.approx(gamma / 2)
        assert 4 * gardener["dropped_slope"](0.0, gamma) == pytest.approx(1.5 * gamma - 1)


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


def heights(path, gamma):
    return np.array([story(*theta, gamma).real for theta in path])


def test_at_rate_1_the_path_turns_round():
    path = ascent(0.8, 1)
    assert path[1, 0] < 0 < path[1, 1]  # first to the left, and up
    turn = path[:, 0].argmin()
    assert 0 < turn < 20 and path[-1, 0] > 4
    assert sigmoid(path[turn - 1, 1]).real < 5 / 6 < sigmoid(path[turn, 1]).real
    assert heights(path, 0.8)[-1] == pytest.approx(1.655, abs=5e-4)
    assert story(40, 40, 0.8).real == pytest.approx(5 / 3)


def test_sailing_out_breaks_even_at_five_sixths_and_at_two_thirds():
    assert story(40, math.log(5), 0.8).real == pytest.approx(1)  # sigmoid(log 5) = 5/6
    assert story(40, 40, 2 / 3).real == pytest.approx(1)
    assert story(40, 40, 0.6).real < 1 < story(40, 40, 0.7).real


def test_at_rate_100_it_stays_on_the_plateau_and_at_32_it_comes_back():
    stuck = ascent(0.8, 100)
    assert stuck[1:, 0].max() < -24
    assert np.allclose(heights(stuck[1:], 0.8), 1, atol=1e-9)
    back = heights(ascent(0.8, 32), 0.8)
    assert back[120] < 1.01 and back[-1] > 1.66


def test_at_gamma_seven_tenths_the_climb_is_not_done():
    height = heights(ascent(0.7, 1), 0.7)[-1]
    assert height == pytest.approx(1.035, abs=5e-4)
    assert story(40, 40, 0.7).real == pytest.approx(1.154, abs=5e-4)


def test_at_gamma_one_half_it_stays_home_and_at_0_the_sea_has_no_influence():
    assert heights(ascent(0.5, 1), 0.5)[-1] == pytest.approx(0.995, abs=5e-4)
    assert ascent(0.5, 1)[-1, 0] < -5
    assert np.all(ascent(0, 1)[:, 1] == 0)
    assert story(1, -9, 0) == story(1, 9, 0)


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


def test_the_landscape_draws_runs_ghosts_and_maps(lesson):
    picture = lesson["map_picture"]()
    empty = drawn(picture)
    for run, (gamma, rate) in enumerate(itertools.product([0.8, 0.0, 1.0], [1, 100])):
        picture.restart(f"gamma {gamma}, rate {rate}")
        before = drawn(picture)
        for place in lesson["climb"](gamma, rate):
            picture.add(place)
        assert abs(drawn(picture) - before).max() > 50
        assert len(picture.rows()) == min(run, 3) + 1
    assert drawn(picture).shape == empty.shape
    assert picture.rows()[0][1] == "gamma 1.0, rate 100"
    assert "flat" in picture.rows()[0][2]


def test_a_run_cut_short_leaves_no_ghost(lesson):
    picture = lesson["map_picture"]()
    for fraction in (0.0, 0.2, 0.25):
        picture.restart("run")
        picture.add(lesson["Place"](fraction, (0.0, 0.0), 0.5, 0.0, 1.0))
    picture.restart("last")
    assert [row[1] for row in picture.rows()] == ["last", "run"]
    assert picture.rows()[0][2] == "Starting."


def test_the_map_belongs_to_gamma(lesson):
    maps, picture = [], lesson["map_picture"]()
    for gamma in (0.3, 0.8, 0.3):
        picture.restart("run")
        picture.add(lesson["Place"](0.0, (0.0, 0.0), gamma, 0.5, 1.0))
        maps.append(drawn(picture))
    assert np.array_equal(maps[0], maps[2]) and not np.array_equal(maps[0], maps[1])


# --- what comes out of the predictions -----------------------------------------------------------

COIN = *TABLES, "f00d35df"
CLIMB = *TABLES, "preferences", "closed-form", "two-ways", "place-and-map", "climb"
REVEALED = {  # what comes before the question, what follows it, and what comes out
    "guess-bold": (BOLD, ["bold-answer"], "falls, then rises"),
    "guess-actions": (COIN, ["6fa311e3", "actions-answer"], "home / sail"),
    "guess-agree": ([*CLIMB, "e0b0a3df"], ["c09a549f"], "1 and 2"),
    "guess-end": (CLIMB, ["guess-fast", "7f3bb692", "climb-answer"], "mostly sails"),
    "guess-fast": (CLIMB, ["guess-end", "7f3bb692", "climb-answer"], "lower"),
    "guess-autumn": (
        ["imports", "gardener", "true-slope", "dropped-slope"],
        ["3fe536d0"],
        "negative",
    ),
}


@pytest.mark.parametrize("ask", REVEALED)
def test_one_option_of_each_prediction_comes_out(ask, no_page, capsys):
    before, after, answer = REVEALED[ask]
    names = LESSON.run(*before, ask)
    prediction = names[ask.replace("-", "_")]
    came_out = []
    for option in prediction.options:
        prediction._guess.value = option
        LESSON.run(*after, **names)
        came_out += [option] if prediction.right else []
        assert f"You guessed: {option}. And it came out" in capsys.readouterr().out
    assert came_out == [answer]


def test_all_predictions_are_looked_at():
    asked = [cell.id for cell in LESSON.code() if "live.predict(" in cell.source]
    assert asked == list(REVEALED)
