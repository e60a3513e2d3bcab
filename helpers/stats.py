"""What the verdicts use: is a difference more than luck, and how sure is a number?

Functions of NumPy arrays. The permutation test is derived in notebooks/02_reinforce.ipynb.
"""

from itertools import combinations
from math import comb

import numpy as np

from helpers.errors import SlipError, check_count, check_fraction

ROUNDING = 1e-9  # relative: deals that differ by less are ties, whatever the order of their sums


def permutation_test(a, b, *, deals=10_000, generator=None):
    r"""p of the difference of the means of two independent groups, two-sided.

    If it made no difference which group a number came from, all of them might as well have been
    dealt out to the two at random: $p = P(|\bar a^* - \bar b^*| \ge |\bar a - \bar b|)$ over deals.
    All deals are tried if there are at most `deals`; otherwise so many are drawn, and since ours is
    one too, $p = (1 + \text{hits}) / (1 + \text{deals})$, which is never 0.

    a, b: at least two numbers each, one for each run; of one length or not. For other than means,
        give ranks(a, b), say.
    generator: numpy.random.Generator; by default a fixed one, so that the same numbers give one p.
    Raises SlipError for groups that are no lists of finite numbers, and for a `deals` below 1.

    Fisher 1935, The Design of Experiments, section 21; the 1 in p: Phipson & Smyth 2010.
    """
    check_count("deals", deals)
    a, b = _numbers("a", a, flat=True), _numbers("b", b, flat=True)
    both = np.concatenate([a, b])
    if comb(len(both), len(a)) <= deals:
        dealt = np.array(list(combinations(both, len(a))))
        return float(_as_far_apart(dealt, a, both).mean())
    generator = generator or np.random.default_rng(0)
    dealt = generator.permuted(np.tile(both, (deals, 1)), axis=1)[:, : len(a)]
    return float((1 + _as_far_apart(dealt, a, both).sum()) / (1 + deals))


def ranks(a, b):
    """Ranks of the numbers of both groups together, from 1 up; ties share the mean of theirs.

    a, b: at least two numbers each; infinite ones may be among them ("never"), NaN not.
    Returns two arrays. permutation_test(*ranks(a, b)) is Wilcoxon's rank-sum test (Wilcoxon 1945;
    Mann & Whitney 1947), which asks for the order alone. Raises SlipError as permutation_test.
    """
    a, b = (_numbers(name, x, flat=True, infinite=True) for name, x in (("a", a), ("b", b)))
    both = np.concatenate([a, b])
    below, up_to = (both[:, None] > both).sum(1), (both[:, None] >= both).sum(1)
    rank = (below + 1 + up_to) / 2
    return rank[: len(a)], rank[len(a) :]


def bootstrap_interval(x, statistic=np.mean, *, level=0.95, draws=1000, generator=None):
    """(low, high): the interval that holds `level` of a statistic's values over redrawn data.

    Each redraw takes as many rows of x, with replacement; between the percentiles (1 - level) / 2
    and (1 + level) / 2 of what the statistic makes of them lies the interval. With few rows it is
    too narrow: at level 0.95 and 16 normal numbers it holds their mean about 93 times of 100.

    x: [N, ...], a row for each independent run. statistic: a function of an array like x.
    generator: as for permutation_test. Raises SlipError for fewer than two rows, numbers that are
    not finite, a level outside [0, 1], and a statistic that gives no finite number.

    Efron 1979; the percentile method: Efron & Tibshirani 1993, section 13.3.
    """
    check_fraction("level", level)
    check_count("draws", draws)
    x = _numbers("x", x)
    generator = generator or np.random.default_rng(0)
    redrawn = [statistic(x[generator.integers(len(x), size=len(x))]) for _ in range(draws)]
    if np.shape(redrawn) != (draws,) or not np.isfinite(redrawn).all():
        raise SlipError("statistic must give one finite number for each redraw of x.")
    low, high = np.percentile(redrawn, [50 - 50 * level, 50 + 50 * level])
    return float(low), float(high)


def interquartile_mean(x):
    """The mean of the middle half: the lowest and the highest quarter of all numbers left out.

    A few runs that fail or shine do not move it, as they move the mean, and it scatters less than
    the median. Of n numbers floor(n / 4) are left out at each end.
    x: [N, ...], taken together (runs, tasks). Raises SlipError for fewer than four numbers and for
    some that are not finite. Agarwal et al. 2021, section 4.3.
    """
    x = np.sort(_numbers("x", x), axis=None)
    if len(x) < 4:
        raise SlipError(f"x must hold at least four numbers, to have a middle half, not {len(x)}.")
    cut = len(x) // 4
    return float(x[cut : len(x) - cut].mean())


def _as_far_apart(dealt, a, both):
    """Whether these deals to the first group [N, len(a)] tear the means as far apart as a does.

    With a group's mean the other's is given, so its distance from the mean of all says it.
    """
    middle = both.mean()
    tolerance = ROUNDING * np.abs(both - middle).max()
    return abs(dealt.mean(1) - middle) >= abs(a.mean() - middle) - tolerance


def _numbers(name, x, *, flat=False, infinite=False):
    """x as an array in float64 with two rows or more; `flat`: one number a row."""
    try:
        x = np.asarray(x, np.float64)
    except (TypeError, ValueError, RuntimeError):
        raise SlipError(f"{name} must hold numbers, one for each run.") from None
    if x.ndim == 0 or (flat and x.ndim > 1):
        raise SlipError(
            f"{name} must be a list with one number for each run, but has {x.ndim} axes."
        )
    if len(x) < 2:
        raise SlipError(f"{name} must hold at least two runs, but holds {len(x)}.")
    if np.isnan(x).any():
        raise SlipError(f"{name} must hold numbers, but some of them are NaN.")
    if not infinite and np.isinf(x).any():
        raise SlipError(f"{name} must hold finite numbers, but some are infinite. Ranks may help.")
    return x
