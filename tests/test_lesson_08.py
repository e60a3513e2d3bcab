"""Lesson 08: each of its numbers by a second way that shares no code with the lesson's."""

import itertools
import math

import numpy as np
import pytest
import torch
from lesson_cells import Lesson, each_end, each_seed

from helpers import exact, live, plots
from helpers.envs.support import view
from helpers.envs.support_solution import ON_AND_ON, describe, outcome, regions, solve
from helpers.live import Strip
from helpers.live.chat import LOOK, price_sliders

LESSON = Lesson(8)


@pytest.fixture(scope="module")
def lesson():
    return LESSON.run("imports", "three-ways", "backup", "borders", "settings")


@pytest.fixture(scope="module")
def agents(lesson):
    state = "histories", "best-of-each", "judge", "learn-seeing", "permutation-test", "learn"
    dials = "train", "dial-policy", "dial-play", "dial-gradient", "dial-check", "dial-learn"
    critic = "gradient-with", "log-of-chats", "customers", "believed", "critics", "mislead"
    greedy = "greedy", "small-table", "learn-from", "improve"
    given = {"V": exact.optimal_values(lesson["mdp"], 1.0), "view": view}
    return LESSON.run(*state, *dials, *critic, *greedy, **lesson | given)


# --- sections 1 and 2 ----------------------------------------------------------------------------


def posterior(replies, accuracy=0.8, b=0.5):
    """By enumeration of what each intent makes of the replies."""
    if_1 = math.prod(accuracy if reply == 1 else 1 - accuracy for reply in replies)
    if_2 = math.prod(1 - accuracy if reply == 1 else accuracy for reply in replies)
    return b * if_1 / (b * if_1 + (1 - b) * if_2)


def test_shares_of_customers_are_beliefs():
    share = LESSON.run("imports", "customers", "share")["share_of_1"]
    for length in (1, 2, 3):
        for replies in itertools.product([1, 2], repeat=length):
            assert share(*replies) == pytest.approx(posterior(replies), abs=0.02)


def best_with(questions, b, setting):
    """Value of b if so many questions are allowed, by plain recursion over replies."""
    q, c, w, e = setting.values()
    sure = max(b, 1 - b)
    stop = max(sure - w * (1 - sure), -e)
    if questions == 0:
        return stop
    says_1 = b * q + (1 - b) * (1 - q)
    up, down = b * q / says_1, b * (1 - q) / (1 - says_1)
    after = best_with(questions - 1, up, setting), best_with(questions - 1, down, setting)
    return max(stop, -c + says_1 * after[0] + (1 - says_1) * after[1])


@pytest.mark.parametrize("name", ["CLEAR", "VAGUE"])
def test_each_step_of_the_panel_allows_one_question_more(lesson, name):
    setting = lesson[name]
    for questions, stage in enumerate(itertools.islice(lesson["solve"](**setting), 9)):
        for s in range(0, len(stage.beliefs), 9):
            expected = best_with(questions, stage.beliefs[s], setting)
            assert stage.values[s] == pytest.approx(expected, abs=1e-9)


def test_values_that_the_text_states(lesson):
    assert best_with(0, 0.5, lesson["CLEAR"]) == -0.2
    for questions, value in [(1, 0.3), (2, 0.3), (3, 0.456), (5, 0.50592), (10, 0.52701)]:
        assert best_with(questions, 0.5, lesson["CLEAR"]) == pytest.approx(value, abs=5e-6)
    contradicts = 2 * 0.8 * 0.2  # the second reply the first
    at_half = 0.5 * 1 - 0.5 * 2  # what an answer is then worth
    assert (contradicts, at_half) == pytest.approx((0.32, -0.5))
    assert contradicts * (-0.2 - at_half) == pytest.approx(0.096)
    assert np.allclose(lesson["borders"](lesson["CLEAR"]), [0.0880, 0.9120], atol=5e-5)
    assert np.allclose(lesson["borders"](lesson["VAGUE"]), [0.241, 0.381, 0.619, 0.759], atol=5e-4)


def served(lesson, low, high, count=400_000):
    """Customers of the table's first beliefs, asked while theirs is within (low, high): by chance."""
    rng, q, first = np.random.default_rng(5), 0.8, lesson["mdp"].start[:-3].numpy()
    b = rng.choice(lesson["beliefs"][:-3], count, p=first / first.sum())
    wants_1, asked = rng.random(count) < b, np.zeros(count, int)
    while (running := (b > low) & (b < high)).any():
        if_1 = np.where(rng.random(count) < q, wants_1, ~wants_1)
        likelihood = np.where(if_1, q, 1 - q)
        b = np.where(running, b * likelihood / (b * likelihood + (1 - b) * (1 - likelihood)), b)
        asked += running
    return ((b > 0.5) == wants_1).mean(), asked.mean()


def test_the_share_solved_and_the_questions_of_the_best_bot(lesson):
    *_, end = lesson["solve"](**lesson["CLEAR"])
    share, asked = served(lesson, 0.088, 0.912)
    assert end.solved == pytest.approx(share, abs=0.002)
    assert end.asked == pytest.approx(asked, abs=0.015)
    *_, end = lesson["solve"](**lesson["CLEAR"] | {"gamma": 0.8})
    share, asked = served(lesson, *[edge for _, edge, _ in regions(end.beliefs, end.best)][1:])
    assert end.asked == pytest.approx(asked, abs=0.015)


def test_answers_of_the_first_panel(lesson):
    def end(**change):
        *_, stage = lesson["solve"](**lesson["CLEAR"] | change)
        return stage

    usual = end()
    assert end(accuracy=0.6).asked < 0.1 < usual.asked
    assert end(accuracy=0.5).asked < 1e-3 and 0.9 < end(accuracy=1.0).asked < 1
    assert end(wrong_price=0.0).asked == pytest.approx(0.68, abs=0.005)
    free = end(escalation_cost=0.0)
    assert np.array_equal(free.best, usual.best) and np.allclose(free.values, usual.values)
    assert end(gamma=0.8).asked == pytest.approx(usual.asked / 2, abs=0.1)
    cheap = end(question_cost=0.02)
    assert cheap.solved > 0.99 > end(question_cost=0.025).solved
    assert cheap.asked == pytest.approx(2 * usual.asked, rel=0.1)  # "twice as often"
    assert describe(cheap.beliefs, cheap.best) == "clarify from 0.02 to 0.98"
    heavy, dear = end(wrong_price=6.0), end(question_cost=0.1 * 3 / 7)
    assert np.array_equal(heavy.best, dear.best) and heavy.asked == pytest.approx(dear.asked)


# --- the state and the reward --------------------------------------------------------------------


def majority(n, q=0.8):
    """P(the majority of n replies is right), ties broken by a coin."""
    chance = lambda k: math.comb(n, k) * q**k * (1 - q) ** (n - k)  # noqa: E731
    return sum(chance(k) for k in range(n + 1) if 2 * k > n) + (
        chance(n // 2) / 2 if n % 2 == 0 else 0
    )


def test_what_is_possible_with_each_state(agents):
    by_count = [majority(n) * 3 - 2 - 0.1 * n for n in range(8)]
    assert np.allclose(agents["by_count"], by_count)
    assert max(by_count) == by_count[3] == pytest.approx(0.388, abs=5e-4)
    stopping = [
        sum(x * (1 - x) ** (n - 1) * (majority(n) * 3 - 2 - 0.1 * n) for n in range(1, 60))
        for x in np.linspace(0.05, 1, 20)
    ]
    assert np.allclose(agents["by_chance"][4:], stopping[4:], atol=0.002)
    assert max(stopping) == pytest.approx(0.3)
    assert agents["best"]["belief"] == pytest.approx(0.52941, abs=5e-6)


def test_rewards_that_are_hacked(lesson):
    chat = LESSON.run("imports", "backup", "borders", "settings", "rewards")
    for change in ({"mistake": 1.0, "person": 0.0}, dict(right=0.0, mistake=0.0, person=0.0)):
        table, b = chat["chat_that_pays"](**change)
        worth = lesson["backup"](table, exact.optimal_values(table, 1.0))
        *_, share, asked = outcome(table, b, worth)
        assert share == pytest.approx(0.75, abs=0.002) and asked < 1e-3  # E max(b, 1 - b) = 3/4
    table, b = chat["chat_that_pays"]()
    assert torch.equal(table.rewards, lesson["mdp"].rewards)


# --- the actions ---------------------------------------------------------------------------------


def test_answering_always_loses(lesson):
    mdp, always = lesson["mdp"], torch.tensor([1.0, 0.0, 0.0]).double().expand(82, 3)
    by_hand = 1 - 3 * 0.25  # E max(b, 1 - b) = 3/4, and a mistake costs 3
    value = exact.objective(mdp, always, 1.0).item()
    assert value == pytest.approx(by_hand, abs=1e-3)
    best = (mdp.start @ exact.optimal_values(mdp, 1.0)).item()
    assert best - value == pytest.approx(0.39, abs=0.005)


def test_a_drawn_threshold_is_a_discrete_policy(agents):
    rng, sure = np.random.default_rng(0), np.array([0.6, 0.8, 0.95])
    drawn = (sure[:, None] >= 0.8 + 0.1 * rng.normal(size=(3, 100_000))).mean(1)
    policy = agents["dial_policy"](torch.from_numpy(sure), 0.8, 0.1)
    assert np.allclose(policy[:, 0], drawn, atol=0.006) and torch.allclose(
        policy.sum(1), torch.ones(3).double()
    )


def test_the_dials_gradient(agents):
    J = lambda mu, log_sigma: exact.objective(  # noqa: E731
        agents["mdp"],
        agents["dial_policy"](agents["certainty"](agents["beliefs"]), mu, math.exp(log_sigma)),
        1.0,
    ).item()
    h, mu, s = 1e-5, 0.8, math.log(0.1)
    slopes = (J(mu + h, s) - J(mu - h, s)) / (2 * h), (J(mu, s + h) - J(mu, s - h)) / (2 * h)
    assert np.allclose(agents["true_gradient"], slopes, atol=1e-6)
    assert np.allclose(agents["sampled"], slopes, atol=0.04)


# --- the critic ----------------------------------------------------------------------------------


def losses_on(agents, cells):
    """What the lesson's critics cost, on a table with so many cells to a reply."""
    names = dict(agents)
    for name in ("critics", "mislead", "greedy"):
        exec(LESSON.cell(name).source.replace("cells=40", f"cells={cells}"), names)
    assert (len(names["fine"].terminal) > 600) == (cells == 80)
    return {name: names["greedy_for"](critic)[1:] for name, critic in names["CRITICS"].items()}


@pytest.mark.hardening
def test_a_table_twice_as_fine_shows_the_same(agents):
    coarse, fine = losses_on(agents, 40), losses_on(agents, 80)
    assert len(coarse) > 10
    for name, (lost, asked) in coarse.items():
        assert (asked > ON_AND_ON) == (fine[name][1] > ON_AND_ON)
        if asked < ON_AND_ON:
            assert f"{abs(lost):.2f}" == f"{abs(fine[name][0]):.2f}", name
            assert abs(abs(lost) * 100 % 1 - 0.5) > 0.01  # not at the border of what is printed
    assert coarse["+0.05 everywhere"][0] == pytest.approx(0.0114, abs=1e-4)
    assert coarse["-0.5 everywhere"][0] == pytest.approx(0.1776, abs=1e-4)
    assert abs(coarse["right"][0]) < 1e-5


def test_rosier_than_a_question_costs_and_it_never_stops(agents):
    truth, greedy_for = agents["truth"], agents["greedy_for"]
    for error in (0.05, 0.09, 0.1, 0.11, 0.2, 0.5):
        assert (greedy_for(truth + error)[2] > ON_AND_ON) == (error > 0.1)
    at_the_border = [greedy_for(truth + 0.1 + noise)[2] for noise in (-1e-12, 0, 1e-12)]
    assert max(at_the_border) < 5  # a tie goes to the answer, however it is rounded
    assert np.ptp(at_the_border) < 1e-9


@pytest.mark.hardening
def test_what_the_critics_panel_shows(agents):
    lost = []
    for where in ("where it is not", "where it is sure", "everywhere"):
        items = list(agents["mislead"](-0.5, where))
        assert items[-1].fraction == 1 and items[-1].error == -0.5 and abs(items[0].lost) < 1e-5
        assert np.all(np.diff([item.lost for item in items]) > -1e-3)  # the worse, the more is lost
        lost.append(items[-1].lost)
    assert lost == sorted(lost)
    *_, item = agents["mislead"](0.5, "where it is sure")
    assert item.asked > ON_AND_ON
    *_, item = agents["mislead"](0.5, "where it is not")
    assert item.asked < ON_AND_ON and item.lost < 0.02


def test_the_log_of_chats_is_that_of_the_best_bot(agents):
    states, followed = agents["log_of_chats"](50_000)
    V, seen = agents["V"].numpy(), np.bincount(states, minlength=82)
    means = np.bincount(states, followed, 82)[seen > 500] / seen[seen > 500]
    assert (seen > 500).sum() > 50
    assert np.all(abs(means - V[seen > 500]) < 5 / np.sqrt(seen[seen > 500]))
    said, came = agents["reliability"](V[states] + 0.2, followed)
    assert np.allclose(came, said - 0.2, atol=0.03)
    for q, b in agents["believed"].items():
        assert np.allclose(
            b, [posterior(replies, q) for replies in ((2, 2, 2), (2,), (1,), (1, 1, 1))]
        )
    assert np.allclose(agents["happened"], agents["believed"][0.8], atol=0.01)


# --- the exercise, the pictures, the sliders -----------------------------------------------------


def test_the_planted_bug_leaves_single_replies_alone():
    suspect = LESSON.run("imports", "suspect")["suspect_replies"]
    luck = torch.rand(300_000, 4, generator=torch.Generator().manual_seed(3))
    for b in (0.5, 0.8):
        replies = suspect(torch.full([300_000], b), luck, 0.8)
        assert torch.allclose(replies.mean(0), torch.tensor(0.8 * b + 0.2 * (1 - b)), atol=0.005)
    agree = (suspect(torch.full([300_000], 0.5), luck, 0.8)[:, :2].diff() == 0).float().mean()
    assert agree.item() == pytest.approx(0.5, abs=0.01)
    assert 0.8**2 + 0.2**2 == pytest.approx(0.68)


def test_regions_and_their_words():
    beliefs, best = np.array([0.1, 0.3, 0.5, 0.7, 0.9]), np.array([0, 1, 1, 2, 0])
    found = regions(beliefs, best)
    assert [int(a) for a, _, _ in found] == [0, 1, 2, 0]
    assert np.allclose([high for _, _, high in found], [0.2, 0.6, 0.8, 1.0])
    assert describe(beliefs, best) == "clarify from 0.20 to 0.60, escalate from 0.60 to 0.80"
    assert describe(beliefs, 0 * best) == "answer at once, whatever the belief"


def test_a_strip_shows_the_regions():
    from matplotlib.figure import Figure

    strip = Strip(Figure().subplots(), 0, 1, **LOOK)
    strip.set(regions(np.array([0.1, 0.3, 0.5, 0.7, 0.9]), np.array([0, 1, 1, 2, 0])))
    bands, *_ = strip.artists
    ends = [path.vertices[:, 0].max() for path in bands.get_paths()]
    assert ends == pytest.approx([0.2, 0.6, 0.8, 1.0])
    colours = bands.get_facecolor()
    assert len(np.unique(colours, axis=0)) == 3 and (colours[0] == colours[-1]).all()


PRICES = {name: (slider.min, slider.max) for name, slider in price_sliders().items()}


@each_end(gamma=(0.0, 1.0), **PRICES)
def test_every_end_of_the_first_panels_sliders(lesson, settings):
    for stage in lesson["solve"](**settings):
        assert np.isfinite(stage.values).all() and "nan" not in stage.words()
    assert stage.fraction == 1 and 0 <= stage.solved <= 1


@each_end(gamma=(0.0, 1.0), lr=(1e-4, 1.0), entropy_coef=(0.0, 0.3), **PRICES)
def test_every_end_of_the_second_panels_sliders(agents, monkeypatch, settings):
    monkeypatch.setitem(agents["NETWORK"], "total_steps", 8_000)
    for item in agents["train"](**settings, agents=1):
        assert item.values.isfinite().all() and "nan" not in item.words()
    assert item.fraction == 1 and np.allclose(item.policy.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ([21.0, 1, 1, 1], "1 of 4 agents asks on and on"),
        ([21.0, 21, 1, 1], "2 of 4 agents ask on and on"),
        ([1.0, 1], "in the mean of 2 agents, with"),
        ([1.0], "in the mean of 1 agent, with"),
        ([1.0], "Value lost"),
        ([ON_AND_ON + 1], "1 of 1 agent asks on and on"),
    ],
)
def test_numbers_and_their_nouns_agree(agents, asked, words):
    values = torch.zeros(len(asked))
    state = np.ones((2, 3)), 0.5, np.ones(2), np.ones(2)
    item = agents["Trained"](1.0, 10, values, torch.tensor(asked), *state)
    assert words in item.words()


def test_how_many_questions_in_words():
    stages = [stage.words().partition(":")[0] for stage in solve(questions=3)]
    words = ["No question", "Up to 1 question", "Up to 2 questions", "Any number of questions"]
    assert stages == words


def test_the_critics_picture(agents):
    picture, b = agents["misled_picture"](), np.array([0.1, 0.5, 0.9])
    item = agents["Misled"](0.5, -0.1, 0.02, 1.5, b, np.array([0, 1, 0]))
    said = "With an error of -0.10 it loses 0.02 and asks 1.5 questions; cla"
    assert item.words().startswith(said)
    endless = item._replace(fraction=1.0, error=0.2, lost=5e4, asked=5e5)
    assert endless.words() == "With an error of +0.20 it asks on and on."
    empty = picture.png()
    picture.add(item)
    assert picture.png() != empty
    picture.add(endless)
    picture.png()
    (line,) = picture.parts[0].lines[0]
    assert list(line.get_xdata()) == [-0.1, 0.2]
    assert line.get_ydata()[0] == 0.02 and np.isnan(line.get_ydata()[1])  # what never ends


# --- predictions ---------------------------------------------------------------------------------


def final_values(replies, belief=0.52):
    """Stands for the training of section 3: what agents reached that saw this or that."""
    spread = torch.linspace(-0.01, 0.01, 16)
    means = {"belief": belief, "replies": replies, "count": 0.34, "last": 0.3}
    return {sees: ([1], (mean + spread)[None]) for sees, mean in means.items()}


def seen(replies):
    return {"curves": final_values(replies)}


SEEN = ["permutation-test", "verdict-seen"]
REVEALED = [  # the question, what leads from it to the answer, what is given, and what comes out
    ("guess-clarity", ["first-answers"], {}, "less often than now"),
    ("guess-share", ["customers", "share", "c-4e7749ea"], {}, "0.80"),
    ("guess-second", ["no-question", "iterate"], {}, "nothing"),
    ("guess-order", ["order"], {}, "escalate, clarify, answer"),
    ("guess-seen", SEEN, seen(replies=0.49), "worse"),
    ("guess-seen", SEEN, seen(replies=0.55), "better"),
    ("guess-seen", SEEN, seen(replies=0.52), "no difference shown"),
    ("guess-time", ["rewards", "designs"], {}, "about 8"),
    ("guess-dial", ["dial-policy", "best-dials"], {}, "only in the vague one"),
    ("guess-error", ["critics", "errors"], {}, "+0.2"),
]


@pytest.mark.parametrize(("ask", "cells", "given", "right"), REVEALED)
def test_what_comes_out_of_a_prediction(lesson, ask, cells, given, right):
    assert LESSON.came_out(ask, *cells, **lesson | given) == [right]


def test_each_prediction_is_tested():
    assert {*LESSON.asked()} == {ask for ask, *_ in REVEALED}


@pytest.fixture
def calibration(agents, monkeypatch, capsys):
    """The figure of section 7, its alt text and what is printed, after these (how sure, came out)."""

    def calibration(made):
        monkeypatch.setattr(live, "predictions", lambda: made)
        monkeypatch.setattr(plots, "show", lambda *shown: found.extend(shown))
        found = []
        LESSON.run("said", "your-calibration", "figure-calibration", **agents)
        agents["plt"].close(found[0])
        return *found, capsys.readouterr().out

    return calibration


def test_the_learners_own_calibration(calibration):
    figure, alt, said = calibration([(0.6, True), (0.9, True), (None, True), (0.6, False)])
    *points, _ = figure.axes[2].lines
    assert np.allclose([point.get_xydata()[0] for point in points], [[0.6, 0.5], [0.9, 1.0]])
    assert [text.get_text() for text in figure.axes[2].texts] == ["1 of 2", "1 of 1"]
    assert alt.endswith("came out: 1 of 2 where you were 60% sure, 1 of 1 where you were 90% sure.")
    assert said == "you said 70% in the mean, and 67% of your 3 came out\n"


@pytest.mark.parametrize("made", [[], [(None, True)]])
def test_who_did_not_say_how_sure_sees_the_critics_alone(calibration, made):
    figure, alt, said = calibration(made)
    assert (len(figure.axes), said) == (2, "") and "your own" not in alt
    assert tuple(figure.get_size_inches()) == (8.8, 4.2)  # as it is stored


# --- what agents do, with seeds that the lesson does not show ------------------------------------


SETS = each_seed("seed", [11, 22, 33])  # of 16 agents each


@SETS
def test_agents_rank_as_what_they_see(agents, seed):
    ends = {sees: agents["learn_seeing"](sees, 16, seed)[1][-1].numpy() for sees in agents["best"]}
    for worse in ("replies", "count", "last"):
        assert agents["permutation_test"](ends["belief"], ends[worse]) < 0.01
        assert ends["belief"].mean() > ends[worse].mean()
    assert ends["belief"].mean() > 0.51 and ends["replies"].mean() > ends["count"].mean() + 0.05
    assert ends["last"].max() <= 0.3001 and ends["count"].max() < 0.389


def losses_of(agents, name, seed, **change):
    *_, item = agents["learn"](agents[name], 16, seed, **change)
    table, b = agents["support_chat"](**agents[name])
    values, policies = agents["judge"](item.actor, table, agents["view"](b))
    asked = torch.stack([exact.occupancy(table, p, 1.0) @ p[:, 1] for p in policies])
    return (table.start @ exact.optimal_values(table, 1.0) - values).numpy(), asked.numpy()


def losses_of_dials(agents, name, seed):
    table, b = agents["support_chat"](**agents[name])
    best, sure = table.start @ exact.optimal_values(table, 1.0), agents["certainty"](b)
    pairs = zip(*agents["learn_dials"](agents[name], 16, seed=seed))
    dial = [best - exact.objective(table, agents["dial_policy"](sure, *x), 1.0) for x in pairs]
    return torch.stack(dial).numpy()


@SETS
def test_buttons_and_dials(agents, seed):
    for name in ("CLEAR", "VAGUE"):
        buttons, dial = losses_of(agents, name, seed)[0], losses_of_dials(agents, name, seed)
        assert buttons.mean() < 0.04 and dial.min() > (0 if name == "CLEAR" else 0.0317)
        if name == "CLEAR":  # which is better is undecided
            assert dial.mean() < 0.04
        else:
            assert agents["permutation_test"](buttons, dial) < 0.001
            assert dial.mean() > 3 * buttons.mean()


@SETS
def test_answers_of_the_panel_that_trains(agents, seed):
    impatient, asked = losses_of(agents, "CLEAR", seed, gamma=0.8)
    assert ((impatient > 0.05) & (impatient < 0.125)).mean() > 0.7  # "most of them"
    assert 0.05 < np.median(impatient) < 0.12 and 0.8 < np.median(asked) < 1.3
    undecided, _ = losses_of(agents, "CLEAR", seed, entropy_coef=0.3)
    assert 0.2 < undecided.min() and undecided.max() < 0.28
    assert np.median(undecided) == pytest.approx(0.24, abs=0.01)
    ruined, _ = losses_of(agents, "CLEAR", seed, lr=0.2)
    always = abs(ruined - 0.387) < 0.01  # the split of the others depends on the processor
    assert always.sum() >= 5 and np.median(ruined) == pytest.approx(0.387, abs=0.02)
    assert (ruined > 0.05).sum() >= 13 and (ruined > 0.39).any()


@SETS
def test_a_wrong_critic_does_harm_with_lambda_0_alone(agents, seed):
    lost, endless, small = {}, {}, agents["small"]
    for error in (0.0, 0.2, -0.5):
        for lam in (0.0, 1.0):
            policies = agents["learn_from"](agents["small_truth"] + error, lam, 16, seed=seed)
            lost[error, lam] = np.array([agents["lost_by"](p) for p in policies])
            asked = [exact.occupancy(small, p, 1.0) @ p[:, 1] for p in policies]
            endless[error, lam] = [float(n) > ON_AND_ON for n in asked]
    assert all(endless[0.2, 0.0]) and lost[0.2, 0.0].min() > 10
    assert not any(any(those) for at, those in endless.items() if at != (0.2, 0.0))
    assert np.median(lost[-0.5, 0.0]) > 3 * np.median(lost[0.0, 0.0])
    for error in (0.2, -0.5):
        assert agents["permutation_test"](lost[0.0, 0.0], lost[error, 0.0]) < 0.001
    assert all(np.median(lost[error, 1.0]) < 0.15 for error in (0.0, 0.2, -0.5))
