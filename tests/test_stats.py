"""helpers.stats: against closed cases, every deal counted by hand, SciPy, and repeated samples."""

import itertools
import math

import numpy as np
import pytest
import torch

from helpers.errors import SlipError
from helpers.stats import bootstrap_interval, interquartile_mean, permutation_test, ranks


def counted(a, b):
    """The share of all deals of whole numbers that are as far apart, in whole numbers throughout."""
    both = [*a, *b]

    def apart(chosen):
        mine = sum(both[i] for i in chosen)
        return abs(len(b) * mine - len(a) * (sum(both) - mine))

    deals = list(itertools.combinations(range(len(both)), len(a)))
    return sum(apart(deal) >= apart(deals[0]) for deal in deals) / len(deals)


def test_the_smallest_cases_by_hand():
    assert permutation_test([1, 2], [3, 4]) == pytest.approx(2 / 6)
    assert permutation_test([1, 4], [2, 3]) == 1
    assert permutation_test([0, 0, 0], [1, 1, 1]) == pytest.approx(2 / 20)
    assert permutation_test([5, 5], [5, 5, 5]) == 1
    assert permutation_test([1, 2, 3, 4], [5, 6, 7, 8]) == pytest.approx(2 / math.comb(8, 4))


@pytest.mark.parametrize("seed", range(6))
def test_small_groups_are_dealt_out_in_every_way(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 9, 3 + seed % 3).tolist(), rng.integers(3, 12, 5).tolist()
    p = counted(a, b)
    assert permutation_test(a, b) == pytest.approx(p)
    assert permutation_test(b, a) == pytest.approx(p)
    moved = [np.array(x) * 0.1 - 1e6 for x in (a, b)]  # where sums round
    assert permutation_test(*moved) == pytest.approx(p)
    assert permutation_test(torch.tensor(a), tuple(b)) == pytest.approx(p)


def test_a_sample_of_deals_comes_near_all_of_them_and_counts_ours():
    rng = np.random.default_rng(0)
    for shift in (0, 1, 2):
        a, b = rng.normal(0, 1, 6), rng.normal(shift, 1, 6)
        p = permutation_test(a, b)
        for seed in range(3):
            sampled = permutation_test(a, b, deals=900, generator=np.random.default_rng(seed))
            assert abs(sampled - p) < 4.5 * math.sqrt(p * (1 - p) / 900) + 1 / 900
    assert permutation_test(np.zeros(30) + rng.normal(size=30), np.full(30, 99.0)) == 1 / 10_001
    assert permutation_test([1, 2], [3, 4], deals=5) in [(1 + n) / 6 for n in range(6)]
    assert permutation_test([1, 2], [3, 4], deals=6) == pytest.approx(1 / 3)


def test_the_same_numbers_give_one_p_and_another_generator_another():
    rng = np.random.default_rng(3)
    a, b = rng.normal(0, 1, 16), rng.normal(0.5, 1, 16)
    assert permutation_test(a, b) == permutation_test(a, b)
    others = {permutation_test(a, b, generator=np.random.default_rng(s)) for s in range(5)}
    assert len(others) > 1
    before = a.copy()
    permutation_test(a, b)
    assert np.array_equal(a, before)


def test_ranks_share_ties_and_know_infinity():
    a, b = ranks([3.0, np.inf, 1.0], [2.0, np.inf])
    assert a.tolist() == [3, 4.5, 1] and b.tolist() == [2, 4.5]
    a, b = ranks([7, 7], [7, -np.inf])
    assert a.tolist() == [3, 3] and b.tolist() == [3, 1]
    scipy = pytest.importorskip("scipy.stats")
    a, b = np.random.default_rng(0).integers(0, 6, (2, 12))
    assert np.array_equal(np.concatenate(ranks(a, b)), scipy.rankdata([*a, *b]))


def test_the_bootstrap_of_two_numbers_is_known():
    """Means of two redrawn from {0, 1}: 0, a half, 1 with 1/4, 1/2, 1/4."""
    assert bootstrap_interval([0, 1]) == (0, 1)
    assert bootstrap_interval([0, 1], level=0.4) == (0.5, 0.5)
    assert bootstrap_interval([3, 3, 3]) == (3, 3)


def test_rows_are_redrawn_whole_and_any_statistic_may_be_asked():
    rng = np.random.default_rng(1)
    left = rng.normal(size=60)
    pairs = np.stack([left, left + 2], 1)
    gap = bootstrap_interval(pairs, lambda rows: (rows[:, 1] - rows[:, 0]).mean())
    assert gap == pytest.approx((2, 2))
    low, high = bootstrap_interval(left, np.median)
    assert low < np.median(left) < high
    assert bootstrap_interval(left) == bootstrap_interval(left)
    assert bootstrap_interval(left) != bootstrap_interval(left, generator=rng)


def test_scipy_draws_the_same_interval():
    scipy = pytest.importorskip("scipy.stats")
    x = np.random.default_rng(4).exponential(size=30)
    theirs = scipy.bootstrap((x,), np.mean, method="percentile", n_resamples=5000, rng=0)
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    ours = bootstrap_interval(x, draws=5000)
    assert ours == pytest.approx(tuple(theirs.confidence_interval), abs=0.06 * width)


def test_the_interval_of_sixteen_numbers_is_a_little_too_narrow():
    groups = np.random.default_rng(5).normal(size=(300, 16))
    low, high = np.transpose([bootstrap_interval(x, draws=200) for x in groups])
    assert 0.86 < ((low <= 0) & (high >= 0)).mean() < 0.97


def test_the_middle_half():
    assert interquartile_mean([9, 1, 2, 100]) == 5.5
    assert interquartile_mean([-1e9, 1, 2, 3, 1e9]) == 2
    assert interquartile_mean(np.arange(8).reshape(2, 4)) == 3.5
    assert interquartile_mean([0, 0, 10, 20, 30, 40, 99, 99]) == 25
    scipy = pytest.importorskip("scipy.stats")
    for size in range(4, 24):
        x = np.random.default_rng(size).exponential(size=size)
        assert interquartile_mean(x) == pytest.approx(scipy.trim_mean(x, 0.25))


@pytest.mark.parametrize(
    "bad, sentence",
    [
        ([], "at least two runs, but holds 0"),
        ([3.0], "at least two runs, but holds 1"),
        (3.0, "one number for each run, but has 0 axes"),
        (np.ones((4, 5)), "one number for each run, but has 2 axes"),
        ([1, np.nan, 2], "some of them are NaN"),
        ([1, np.inf, 2], "some are infinite"),
        (["a", "b"], "must hold numbers"),
        (None, "one number for each run|must hold numbers"),
        ([[1, 2], [3]], "must hold numbers"),
        (torch.ones(3, requires_grad=True), "must hold numbers"),
    ],
)
def test_a_group_that_is_none_is_a_slip(bad, sentence):
    for groups, name in (((bad, [1, 2]), "a"), (([1, 2], bad), "b")):
        with pytest.raises(SlipError, match=f"^{name} .*({sentence})"):
            permutation_test(*groups)
        if "infinite" not in sentence:
            with pytest.raises(SlipError, match=f"^{name} .*({sentence})"):
                ranks(*groups)
    if "2 axes" not in sentence:
        for function in (bootstrap_interval, interquartile_mean):
            with pytest.raises(SlipError, match=f"^x .*({sentence})"):
                function(bad)


def test_other_arguments_that_make_no_sense_are_slips():
    for deals in (0, -1, 1.5, True):
        with pytest.raises(SlipError, match="deals"):
            permutation_test([1, 2], [3, 4], deals=deals)
        with pytest.raises(SlipError, match="draws"):
            bootstrap_interval([1, 2], draws=deals)
    for level in (-0.1, 95, None):
        with pytest.raises(SlipError, match="level"):
            bootstrap_interval([1, 2], level=level)
    for statistic in (lambda x: x, lambda x: np.nan, lambda x: x[:1]):
        with pytest.raises(SlipError, match="one finite number"):
            bootstrap_interval([1, 2], statistic)
    with pytest.raises(SlipError, match="at least four numbers"):
        interquartile_mean([1, 2, 3])
