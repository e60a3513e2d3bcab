"""Lesson 11: what training shows, with other seeds than the lesson's, and what bad input meets."""

import itertools
import math

import pytest
import torch
from lesson_cells import Lesson, each_end, each_seed

from helpers import live, losses
from helpers.errors import SlipError
from helpers.stats import permutation_test

LESSON = Lesson(11)
MODEL = "imports", "words", "examples", "language-model", "reference", "copies", "annotator"
LOOP = "usual", "reward-model", "reward-fitted", "steer", "best-of", "dpo", "ask-box", "train"
SUMS = "advantages", "truth", "answers", "exercise-book", "accuracy", "pupil", "learn"
SEEDS = [11, 12, 13]  # the lesson shows 2026


@pytest.fixture(scope="module")
def shop():
    """The lesson's models, judges and loops. `steered` stands in for what the text box asks."""
    names = LESSON.run(*MODEL)
    return LESSON.run(*LOOP, **names, steered=names["reference"])


@pytest.fixture(scope="module")
def sums():
    return LESSON.run("imports", "copies", *SUMS)


def function(names, cell, name):
    """A function that a cell defines before it does its work."""
    source = LESSON.cell(cell).source
    head = source[: source.index("\n\n\n", source.index(f"def {name}("))]
    exec(head, names)
    return names[name]


def mean(x):
    return x.mean().item()


# --- the language model and its judges -------------------------------------------------------------


def test_the_reference_writes_like_the_staff(shop):
    words = shop["usual_replies"]
    allowed = shop["follows"][words[:-1], words[1:]]
    assert mean(allowed) > 0.9  # a third or a quarter at random
    assert mean(shop["annotator"](words)) == pytest.approx(
        mean(shop["annotator"](shop["example_replies"](4000, 7))), abs=0.3
    )


def test_what_the_model_sees(shop):
    words = torch.tensor([3, 7, 3]).view(3, 1, 1)
    last, so_far, place = shop["seen"](words)[:, 0, 0].split([12, 12, 8], -1)
    assert last.argmax(-1).tolist() == [3, 7, 3] and place.argmax(-1).tolist() == [0, 1, 2]
    assert so_far[-1].tolist() == [0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0]


def test_the_probabilities_of_all_short_endings_sum_to_one(shop):
    words = torch.tensor([*itertools.product([0], [1], [2], [3], [4], [5], range(12), range(12))])
    log_probs = shop["log_probs"](shop["reference"], words.T[:, None])[-2:].sum(0)
    assert log_probs.exp().sum().item() == pytest.approx(1, abs=1e-4)


def test_written_words_have_the_models_probabilities(shop):
    beginning = torch.full((7, 1, 20_000), 4)
    written = shop["write"](shop["reference"], beginning, torch.Generator().manual_seed(3))
    share = torch.bincount(written[-1, 0], minlength=12) / 20_000
    p = shop["reference"](shop["seen"](beginning)[-1, :, :1]).softmax(-1)[0, 0]
    assert torch.allclose(share, p, atol=0.015)


def test_copies_are_the_model_and_share_no_memory(shop):
    many = shop["copies"](shop["reference"], 3)
    replies = shop["usual_replies"].expand(-1, 3, -1)
    expected = shop["log_probs"](shop["reference"], shop["usual_replies"])
    assert torch.allclose(shop["log_probs"](many, replies), expected, atol=1e-5)
    next(many.parameters()).data.zero_()
    assert next(shop["reference"].parameters()).abs().sum() > 0


def test_the_best_possible_score(shop):
    ids = [shop["WORDS"].index(word) for word in "thanks happy help today you we so are".split()]
    assert shop["annotator"](torch.tensor(ids)).item() == 5 == shop["LIKED"].sum()
    assert shop["annotator"](torch.full((8,), ids[0])).item() == 1 - 7
    generator = torch.Generator().manual_seed(0)
    assert shop["annotator"](torch.randint(12, (8, 5000), generator=generator)).max() <= 5


def test_a_share_of_choices_is_turned_round(shop):
    pair = [shop["usual_replies"][:, :, :250], shop["usual_replies"][:, :, 250:]]
    judge = lambda words: 100 * shop["annotator"](words)  # noqa: E731
    generator = torch.Generator().manual_seed(0)
    turned = []
    for flip in (0.0, 0.25, 1.0):
        chosen, other = shop["chosen_of"](*pair, judge, generator, flip)
        unequal = judge(chosen) != judge(other)
        turned.append(mean((judge(chosen) < judge(other))[unequal].float()))
    assert turned == [0, pytest.approx(0.25, abs=0.08), 1]


# --- bad input -------------------------------------------------------------------------------------


def test_a_price_below_0_is_refused_and_0_is_none(shop):
    with pytest.raises(SlipError, match="beta must be a finite number of at least 0"):
        next(shop["steer"](shop["reference"], shop["annotator"], beta=-1.0))
    with pytest.raises(SlipError, match="beta"):
        next(shop["dpo"](*shop["comparisons"](5, 2, 0), beta=0.0))
    assert len([*shop["steer"](shop["reference"], shop["annotator"], beta=0.0, updates=20)]) == 3


@pytest.mark.parametrize("rule", ["leave_one_out", "scaled"])
def test_a_group_of_one_is_refused(sums, rule):
    with pytest.raises(SlipError, match="group of one"):
        sums[rule](torch.ones(3, 1))


def test_pairs_of_equal_replies_are_refused_and_one_pair_many_times_is_not(shop):
    one, other = shop["usual_replies"][:, :, :1], shop["usual_replies"][:, :, 1:2]
    with pytest.raises(SlipError, match="twice the same reply"):
        shop["fit_reward"](one, one, seed=0)
    score = shop["fit_reward"](one.expand(-1, -1, 9), other.expand(-1, -1, 9), seed=0)
    assert (score(one) > score(other)).all()


def test_pairs_that_contradict_each_other_make_replies_alike(shop):
    a, b = shop["usual_replies"][:, :, :6], shop["usual_replies"][:, :, 6:12]
    chosen, other = torch.cat([a, b], -1), torch.cat([b, a], -1)
    score = shop["fit_reward"](chosen, other, seed=0, updates=500)
    one_sided = shop["fit_reward"](a, b, seed=0, updates=500)
    gap = (score(a) - score(b)).abs().max()
    assert gap < 0.5 * (one_sided(a) - one_sided(b)).abs().max()
    assert one_sided(a).isfinite().all() and score(a).isfinite().all()


@pytest.mark.parametrize("request_", ["", "   ", "please", "<b>so</b>", "so please so"])
def test_the_text_box_says_what_it_does_not_know(shop, request_):
    answer = shop["answers"](request_)
    assert answer.said.endswith("today, very, so, sorry.") and not answer.rows
    assert "<b>" not in answer.html()
    assert ("I don't know" in answer.said) == bool(request_.strip())


@pytest.mark.parametrize("request_", ["so", "SO, Happy!", "very " * 30])
def test_the_text_box_goes_on_from_a_beginning(shop, request_):
    said, rows = shop["answers"](request_)
    begun = " ".join(request_.lower().replace(",", "").replace("!", "").split()[:7])
    assert said.startswith("I read the first 7") == (len(request_) > 100)
    assert len(rows) == 3 and all(one.startswith(begun) for row in rows for one in row)
    assert {len(one.split()) for row in rows for one in row} == {8 + 1}  # and the score


@pytest.mark.parametrize("pressed", [[], [1] * 5, [0] * 12, [1] * 12, [0, 1] * 3, [0, 1, 1, 0] * 3])
def test_any_choices_of_the_learner_give_a_model(shop, pressed, capsys):
    names = LESSON.run("your-choices", **shop)
    assert names["yours"][10:] == [pair[::-1] for pair in names["yours"][:2]]
    names["you"].choices[:] = [None] * 12
    for which in pressed:
        names["you"].choose(which)
    LESSON.run("your-model", "your-honesty", "your-steered", **names)
    said = capsys.readouterr().out
    assert ("Fewer than six" in said) == (len(pressed) < 6) and "as in:" in said
    assert (f"Your {len(pressed)} are set aside" in said) == (0 < len(pressed) < 6)
    assert (
        ("same side" in said)
        == (len({*pressed}) == 1 and len(pressed) > 5)
        == ("sides swapped" in said)
    )
    assert ("came twice" in said) == (len(pressed) != 6)
    changed = {(0,) * 12: 2, (0, 1, 1, 0) * 3: 0}.get(tuple(pressed))
    assert changed is None or f"second time: {changed}." in said


# --- steered ---------------------------------------------------------------------------------------


@each_seed("seed", SEEDS)
def test_eight_models_are_steered(shop, seed):
    score = shop["fit_reward"](*shop["comparisons"](400, 8, seed), seed)
    replies = shop["usual_replies"].expand(-1, 8, -1)
    truth = shop["annotator"](replies)
    found = [torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(score(replies), truth)]
    assert min(found) > 0.5 and mean(torch.stack(found)) == pytest.approx(
        shop["agreement"](score, replies).item(), abs=1e-4
    )
    base = shop["copies"](shop["reference"], 8)
    (_, first, _, _), *_, (_, last, drift, _) = shop["steer"](base, score, beta=0.1, seed=seed)
    assert mean(shop["annotator"](last)) > mean(shop["annotator"](first)) + 2
    assert 3 < drift.mean() < 10
    best = shop["best_of"](256, score, torch.Generator().manual_seed(seed))
    nats = math.log(256) - 255 / 256
    assert (
        abs(mean(shop["annotator"](best)) - mean(shop["annotator"](last))) < 0.4
        and nats < drift.mean()
    )


def test_one_pass_is_the_plain_policy_gradient(shop):
    """At its start all ratios are 1: the clipped loss has the slope of -A log pi."""
    base = shop["copies"](shop["reference"], 2)
    words = shop["comparisons"](20, 2, 1)[0]
    advantages = shop["annotator"](words) - 0.7
    advantages, now = advantages.expand(7, -1, -1), shop["log_probs"](base, words)
    every = torch.ones_like(now, dtype=bool)
    clipped = losses.clipped_loss(now, now.detach(), advantages, every, clip=0.2).sum()
    plain = -(advantages * now).mean((0, 2)).sum()
    slopes = [
        torch.autograd.grad(x, base.parameters(), retain_graph=True) for x in (clipped, plain)
    ]
    for one, other in zip(*slopes):
        assert one.abs().max() > 1e-3 and torch.allclose(one, other, atol=1e-6)


@each_seed("seed", SEEDS)
def test_four_clipped_passes_get_more_from_each_batch_than_one(shop, seed):
    names = LESSON.run("passes", **shop)
    score = shop["fit_reward"](*shop["comparisons"](400, 16, seed), seed)
    ways = [names["followed"](score, seed=seed, **way) for way in names["WAYS"].values()]
    one, four, twice = (way[:, 5] for way in ways)
    assert permutation_test(one[1], four[1]) < 0.05 and mean(four[1] - one[1]) > 0.3
    assert mean(ways[1][1, -1] - ways[0][1, -1]) < mean(four[1] - one[1])  # the lead shrinks
    assert permutation_test(four[1], twice[1]) > 0.05 and mean(twice[0] - four[0]) > 0.2


@each_seed("seed", SEEDS)
def test_the_annotators_score_follows_only_where_enough_was_compared(shop, seed):
    overshoot, agreement = function(shop, "overshoot", "overshoot"), shop["agreement"]
    free, priced = (
        {count: overshoot(count, beta, seed=seed) for count in (50, 200, 800)}
        for beta in (0.0, 0.1)
    )
    (_, judged, few), (_, _, many) = free[50][0].mean(-1), free[800][0].mean(-1)
    assert judged[-1] > judged[len(judged) // 2] > judged[0] + 1  # it climbs on
    assert few.max() > few[0] + 0.05 and few[-1] < min(few.max() - 0.2, few[0])
    assert free[50][0][0].mean(-1)[few.argmax()] < 4  # in the first nats
    assert many[-1] > max(many[0] + 2, many.max() - 0.4)
    for count in (50, 200):
        assert permutation_test(free[count][0][2, -1], priced[count][0][2, -1]) < 0.05
    assert mean(priced[200][0][2, -1] - free[200][0][2, -1]) > 0.2
    assert (free[50][0][2, -1] < free[50][0][2, 0]).sum() > 16
    assert mean(priced[50][0][2, -1]) > few[-1] + 1
    assert abs(mean(priced[800][0][2, -1]) - many[-1]) < 0.8
    usual = shop["usual_replies"].expand(-1, 32, -1)
    repeats = lambda words: mean((shop["counts"](words) - 1).clamp(min=0).sum(-1))  # noqa: E731
    assert repeats(free[50][1]) > repeats(usual) + 0.3 > repeats(free[800][1]) + 0.9
    for count, learnt in ((50, -0.3), (800, -1.0)):  # of repetitions
        names = LESSON.run("where-wrong-slopes", **shop, free={count: free[count]})
        assert names["word"] > 0.4 and learnt < names["repetition"] < learnt + 0.7
    assert agreement(free[50][2], usual) > 0.4 and agreement(free[50][2], free[50][1]) < 0.1
    assert agreement(free[800][2], usual) > 0.8 > 0.5 > agreement(free[800][2], free[800][1])


@each_seed("seed", SEEDS)
def test_the_panels_folded_answers(shop, seed):
    def end(**settings):
        *_, last = shop["train"](agents=16, seed=seed, **settings)
        return mean(last.liked), last.root.item() ** 2

    free, cheap, dear, hardly = (end(count=50, beta=beta) for beta in (0.0, 0.1, 0.3, 1.0))
    assert max(cheap[0], dear[0]) > max(free[0], hardly[0]) and hardly[1] < 0.7
    start = mean(next(shop["train"](count=50, agents=16, seed=seed)).liked)
    assert 0.3 < (hardly[0] - start) / (max(cheap[0], dear[0]) - start) < 1
    way = [*filter(None, shop["train"](agents=16, seed=seed))]
    early, late = way[8], way[-1]  # it drifts first, then finds better replies at the same distance
    assert abs(late.root - early.root) < 0.3 and mean(late.liked - early.liked) > 0.4
    usual, short, none = (end(gamma=gamma) for gamma in (1.0, 0.5, 0.0))
    assert usual[0] > short[0] + 0.3 > none[0] + 0.9
    fast, free, fast_free = end(lr=0.1), end(beta=0.0), end(lr=0.1, beta=0.0)
    assert abs(fast[0] - usual[0]) < 0.5 and fast[1] > usual[1]
    assert fast_free[1] > 20 and fast_free[0] < free[0]


@pytest.mark.hardening
def test_a_discounted_score_reaches_the_last_words_alone(shop):
    base = shop["copies"](shop["reference"], 16)
    score = shop["fit_reward"](*shop["comparisons"](200, 16, 11), 11)
    for gamma, words in [(1.0, 7), (0.5, 3), (0.0, 1)]:
        *_, (_, replies, _, model) = shop["steer"](base, score, beta=0.1, gamma=gamma, updates=120)
        with torch.no_grad():
            drift = shop["log_probs"](model, replies) - shop["log_probs"](base, replies)
        assert (drift.mean((1, 2)) > 0.25).tolist() == [False] * (7 - words) + [True] * words


@each_end(
    beta=(0.0, 2.0), lr=(1e-3, 0.3), gamma=(0.0, 1.0), count=(50, 800), agents=(1, 8), seed=(0, 9)
)
def test_the_panel_at_every_end_of_its_sliders(shop, settings):
    for stage in filter(None, shop["train"](**settings, updates=6)):
        assert stage.score.isfinite().all() and stage.words()


def test_a_run_without_numbers_says_so(shop):
    stage = next(shop["train"](updates=3))
    lost = stage._replace(score=torch.full((4,), math.nan))
    assert lost.words() == live.diverged("the reward model's score")


# --- without a reward model ------------------------------------------------------------------------


@each_seed("seed", SEEDS)
def test_dpo_makes_the_chosen_less_likely_and_the_replies_better(shop, seed):
    way = [*shop["dpo"](*shop["comparisons"](200, 16, seed), beta=0.3, seed=seed)]
    chosen, rejected = way[-1][1]
    assert chosen.max() < -3 and (rejected < chosen - 5).all()
    first, last = (shop["annotator"](words).mean(-1) for _, _, words, _ in (way[0], way[-1]))
    assert mean(last) > mean(first) + 1
    names = LESSON.run("compared", **shop, way=way, pairs_200=shop["comparisons"](200, 16, seed))
    assert sum(names["known"]).float().mean() < 0.02
    *_, (_, moved, _, _) = shop["dpo"](*names["pairs_200"], beta=2.0, seed=seed)
    assert abs(mean(moved[0])) < 1.3


@each_seed("seed", SEEDS)
def test_slips_cost_both_and_rlhf_is_ahead_with_and_without_them(shop, seed):
    both_ways = function(shop, "noise", "both_ways")
    (direct, steered), noisy = (both_ways(flip, seed=seed) for flip in (0.0, 0.25))
    assert permutation_test(direct[0], steered[0]) < 0.05 and mean(steered[0] - direct[0]) > 0.3
    assert permutation_test(noisy[0][0], noisy[1][0]) < 0.05
    assert mean(noisy[1][0] - noisy[0][0]) > 0.3
    pairs = shop["comparisons"](200, 16, seed)
    for beta, lr in itertools.product((0.1, 0.3, 1.0, 2.0), (0.003, 0.01)):
        way = shop["dpo"](*pairs, beta=beta, lr=lr, updates=120, seed=seed)
        assert max(mean(shop["annotator"](words)) for _, _, words, _ in way) < mean(steered[0])
    for clean, slipped in zip((direct, steered), noisy):
        assert mean(clean[0]) > mean(slipped[0]) + 0.5


# --- groups ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("a", range(10))
def test_the_sums_are_right(sums, a):
    assert sums["RIGHT"][a].tolist() == [a + b for b in range(10)]


@each_seed("seed", SEEDS)
def test_a_group_does_the_critics_work_and_no_baseline_hangs_on_the_zero(sums, seed):
    learn = lambda baseline: sums["learn"](sums["pupil"], baseline, seed=seed)  # noqa: E731
    group = learn(sums["leave_one_out"])
    assert group[0].max() < 0.45 and group[-1].min() > 0.65
    for other in ("critic", sums["scaled"]):
        assert abs(mean(learn(other)[-1] - group[-1])) < 0.02
    assert permutation_test(learn("critic")[-1], group[-1]) > 0.05
    different = sums["learn"](sums["pupil"], "critic", seed=seed, size=1)[-1]
    assert permutation_test(different, group[-1]) < 0.01 and mean(different - group[-1]) > 0.04
    nothing, shifted = learn(lambda rewards: rewards)[-1], learn(lambda rewards: rewards + 9)
    assert permutation_test(nothing, group[-1]) < 0.01 and mean(nothing - group[-1]) > 0.02
    assert mean(shifted[-1]) < mean(shifted[0]) - 0.1


# --- what comes out of the predictions -------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "cells", "right"),
    [
        ("guess-best", ["six", "best-policy", "six-came-out"], ["about 45"]),
        ("guess-weights", ["advantages", "weight", "weights"], ["0.05 and 0.95 alike"]),
    ],
)
def test_what_comes_out_of_a_prediction(ask, cells, right):
    assert LESSON.came_out(ask, *cells, **LESSON.run("imports")) == right


@pytest.mark.hardening
@pytest.mark.parametrize(
    ("ask", "cells", "right"),
    [
        ("guess-passes", ["passes", "passes-run", "passes-verdict"], ["those of four passes"]),
        ("guess-scores", ["overshoot", "overshoot-words"], ["climbs first, then falls"]),
        ("guess-chosen", ["dpo-run", "dpo-figure", "dpo-came-out"], ["it falls"]),
        ("guess-slips", ["noise", "noise-verdict"], ["RLHF's"]),
    ],
)
def test_what_comes_out_of_training(shop, ask, cells, right):
    assert LESSON.came_out(ask, *cells, **shop) == right


@pytest.mark.hardening
def test_what_comes_out_of_the_sums(sums):
    came_out = LESSON.came_out("guess-critic", "learn-run", "learn-verdict", **sums)
    assert came_out == ["no difference shown"]
