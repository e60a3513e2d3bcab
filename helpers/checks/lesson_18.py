"""The checks of lesson 18: an interquartile mean, a probability of improvement, a stratified redraw."""

import numpy as np

from helpers.checks.core import Check
from helpers.checks.slips import Formula, pairs

TOGETHER = "take the scores of all runs and tasks together, then cut"


def _scores(*rows):
    return np.array(rows, dtype=float)


def _draw_scores(rng, *, runs=None, tasks=None):
    """Eighths, so that ties occur and sums are exact; each task with a level of its own."""
    shape = runs or rng.integers(3, 8), tasks or rng.integers(2, 5)
    return np.round(8 * (rng.random(shape) + np.arange(shape[1]) / 3)) / 8


def _cut_mean(x):
    """The mean of the middle half, along the first axis."""
    x, cut = np.sort(x, axis=0), len(x) // 4
    return x[cut : len(x) - cut].mean(0)


_middle = Formula(
    "scores",
    ordered=lambda c: np.sort(c.scores, axis=None),
    cut=lambda c: len(c.ordered) // 4,
    answer=lambda c: c.ordered[c.cut : len(c.ordered) - c.cut].mean(),
)


def _sorted_in_columns(c):
    return np.sort(c.scores, axis=0).ravel()


def _sorted_in_rows(c):
    return np.sort(c.scores, axis=1).ravel()


def _answering(*lines):
    return [_middle.but(answer=line) for line in lines]


middle_half = Check(
    "18.1",
    solution=_middle,
    example=_middle.case(_scores([0, 9], [1, 3], [2, 5], [4, 9.5], [3, 1.5])),
    edges=[
        _middle.case(_scores([0.5, 2], [1, 4], [7, 0.25])),
        _middle.case(_scores([1, 1], [1, 1])),
        _middle.case(_scores([-4], [2], [3], [10], [50])),
        _middle.case(np.random.default_rng(0).random((16, 5)) + np.arange(5)),
    ],
    draw=lambda rng: _middle.case(_draw_scores(rng)),
    mistakes=pairs(
        _middle.but(ordered=lambda c: c.scores.ravel()),
        "You cut without sorting: sort the scores first.",
        [_middle.but(ordered=line) for line in (_sorted_in_columns, _sorted_in_rows)],
        "You sort along one axis only: sort all scores as one list.",
        _answering(lambda c: _cut_mean(c.scores).mean()),
        f"You cut each task by itself: {TOGETHER}.",
        _answering(lambda c: _cut_mean(c.scores.mean(0)), lambda c: _cut_mean(c.scores.mean(1))),
        f"You take means of tasks or runs first: {TOGETHER}.",
        _answering(lambda c: c.scores.mean()),
        "That is the plain mean: leave out a quarter of the scores at each end.",
        _answering(lambda c: np.median(c.scores), lambda c: np.median(c.scores.mean(0))),
        "That is a median: the mean of the middle half is wanted.",
        _middle.but(cut=lambda c: len(c.ordered) // 8),
        "You leave out a quarter in all: a quarter at each end is wanted.",
        _middle.but(cut=lambda c: len(c.scores) // 4),
        "You count the runs: a quarter of all scores is left out, runs times tasks.",
        _middle.but(cut=lambda c: -(-len(c.ordered) // 4)),
        "You round the quarter up: floor(n / 4) are left out at each end.",
        _answering(lambda c: c.ordered[c.cut :].mean()),
        "You cut the lowest quarter alone: the highest goes as well.",
        _answering(lambda c: c.ordered[: len(c.ordered) - c.cut].mean()),
        "You cut the highest quarter alone: the lowest goes as well.",
        _answering(lambda c: c.ordered[c.cut : len(c.ordered) - c.cut].sum() / len(c.ordered)),
        "You divide by the number of all scores: divide by that of the ones kept.",
        _answering(lambda c: np.subtract(*np.percentile(c.scores, [75, 25]))),
        "That is the interquartile range, a width: the mean of the scores in between is wanted.",
        _answering(lambda c: np.percentile(c.scores, [25, 75]).mean()),
        "You average the two quartiles: take the mean of the scores between them.",
        _answering(lambda c: np.clip(c.scores, *np.percentile(c.scores, [25, 75])).mean()),
        "You pull the outer scores in to the quartiles: leave them out.",
        _middle.but(answer=lambda c: c.ordered[c.cut : len(c.ordered) - c.cut]),
        "One number is wanted: the mean of what you have kept.",
    ),
)


_improvement = Formula(
    "x y",
    left=lambda c: c.x[:, None],
    right=lambda c: c.y[None],
    each=lambda c: (c.left > c.right) + 0.5 * (c.left == c.right),
    answer=lambda c: c.each.mean(),
)


def _counting(*lines):
    return [_improvement.but(each=line) for line in lines]


def _draw_two(rng):
    tasks = rng.integers(2, 5)
    return _improvement.case(_draw_scores(rng, tasks=tasks), _draw_scores(rng, tasks=tasks))


def _same_run(c):
    n = min(len(c.x), len(c.y))
    x, y = c.x[:n], c.y[:n]
    return ((x > y) + 0.5 * (x == y)).mean()


improvement = Check(
    "18.2",
    solution=_improvement,
    example=_improvement.case(
        _scores([3, 0, 7], [1, 0, 8], [5, 0, 0]),
        _scores([2, 0, 9], [3, 0, 1], [0, 0, 4], [6, 0, 5]),
    ),
    edges=[
        _improvement.case(_scores([1, 2]), _scores([1, 2])),
        _improvement.case(_scores([1], [4]), _scores([0], [2], [9])),
        _improvement.case(_scores([2, 5], [2, 5]), _scores([1, 9], [1, 9], [1, 9])),
        _improvement.case(_scores([2, 0], [9, 1], [4, 3]), _scores([5, 2], [0, 1], [3, 3])),
        _draw_two(np.random.default_rng(0)),
    ],
    draw=_draw_two,
    mistakes=pairs(
        _counting(lambda c: c.left > c.right),
        "Ties count as if Y had won: a tie counts a half.",
        _counting(lambda c: c.left >= c.right),
        "Ties count as if X had won: a tie counts a half.",
        _counting(lambda c: (c.right > c.left) + 0.5 * (c.left == c.right)),
        "That is the probability that Y beats X: turn it round.",
        _improvement.but(answer=_same_run),
        "You compare run 1 with run 1, 2 with 2: runs have no partners, so compare all pairs.",
        _improvement.but(answer=lambda c: (c.x.mean(0) > c.y.mean(0)).mean()),
        "You compare the means of each task: compare single runs, in all pairs.",
        _improvement.but(left=lambda c: c.x.mean(1)[:, None], right=lambda c: c.y.mean(1)[None]),
        "You average over the tasks first: compare on each task, then average.",
        _improvement.but(left=lambda c: c.x.ravel()[:, None], right=lambda c: c.y.ravel()[None]),
        "You compare scores of different tasks: pairs are made within a task.",
        _counting(lambda c: c.left - c.right, lambda c: (c.left - c.right).clip(min=0)),
        "You average by how much X is ahead: count how often.",
        _improvement.but(answer=lambda c: 2 * c.each.mean() - 1),
        "That runs from -1 to 1: a probability is wanted.",
        _improvement.but(answer=lambda c: c.each.mean((0, 1))),
        "That is one number for each task: take their mean.",
        _improvement.but(answer=lambda c: c.each.sum()),
        "You count the pairs: divide by their number.",
        _improvement.but(answer=lambda c: c.each.sum() / (len(c.x) * len(c.y))),
        "You add the tasks up: take their mean.",
        _improvement.but(
            answer=lambda c: (c.left > c.right).sum() / max((c.left != c.right).sum(), 1)
        ),
        "You leave the ties out: they are pairs as well, and count a half.",
        _improvement.but(answer=lambda c: float(c.each.mean() > 0.5)),
        "That is a verdict: return the probability itself.",
        _improvement.but(answer=lambda c: (c.each.mean((0, 1)) > 0.5).mean()),
        "You count the tasks that X wins: take the mean of the tasks' probabilities.",
    ),
)


_redraw = Formula(
    "scores draws",
    rows=lambda c: (c.draws * len(c.scores)).astype(int),
    redrawn=lambda c: np.stack([np.take_along_axis(c.scores, each, 0) for each in c.rows]),
    answer=lambda c: np.array([_middle(each) for each in c.redrawn]),
)


def _redrawing(*lines):
    return [_redraw.but(redrawn=line) for line in lines]


def _pooled(c):
    return c.scores.ravel()[(c.draws * c.scores.size).astype(int)]


def _draw_redraw(rng):
    scores = _draw_scores(rng, runs=rng.integers(4, 8))
    return _redraw.case(scores, rng.random((rng.integers(2, 6), *scores.shape)).round(3) * 0.999)


OWN_TASK = "each redrawn score of a task comes from the runs of that task"

repaired_iqms = Check(
    "18.3",
    solution=_redraw,
    example=_redraw.case(
        _scores([0, 10], [1, 20], [3, 50], [7, 90]),
        np.array(
            [
                [[0.1, 0.9], [0.3, 0.6], [0.3, 0.2], [0.9, 0.4]],
                [[0.6, 0.1], [0.8, 0.1], [0.2, 0.7], [0.6, 0.1]],
            ]
        ),
    ),
    edges=[
        _redraw.case(_scores([1, 2], [4, 8]), np.zeros((3, 2, 2))),
        _redraw.case(_scores([5], [6], [7], [9]), np.full((1, 4, 1), 0.99)),
        _draw_redraw(np.random.default_rng(1)),
        _draw_redraw(np.random.default_rng(2)),
    ],
    draw=_draw_redraw,
    mistakes=pairs(
        _redrawing(_pooled),
        f"The bug is still there, all scores in one urn: {OWN_TASK}.",
        _redrawing(lambda c: c.scores[c.rows[..., 0]]),
        "You take whole rows, one draw for all tasks: draw for each task on its own.",
        _redrawing(lambda c: c.scores[c.rows[..., 0], np.arange(c.scores.shape[1])[:, None]]),
        "Runs and tasks have changed places: the draws are [N, runs, tasks].",
        _redrawing(lambda c: c.scores[c.rows]),
        "scores[rows] takes each row with all its tasks: of a row take the task that was drawn for.",
        _redrawing(lambda c: np.stack([c.scores] * len(c.draws))),
        "You never draw: each redraw gives the same scores, in another order.",
        _redraw.but(rows=lambda c: np.rint(c.draws * (len(c.scores) - 1)).astype(int)),
        "You round: u stands for run floor(u R), so that each run is as likely as any other.",
        _redraw.but(rows=lambda c: (c.draws * (len(c.scores) - 1)).astype(int)),
        "The last run is never drawn: multiply u by the number of runs.",
        _redraw.but(answer=lambda c: c.redrawn.mean((1, 2))),
        "That is the mean of each redraw: take the interquartile mean.",
        _redraw.but(answer=lambda c: np.array([_cut_mean(x).mean() for x in c.redrawn])),
        "You cut each task by itself: an IQM takes the scores of all tasks together.",
        _redraw.but(answer=lambda c: np.array([_middle(x) for x in c.redrawn]).mean()),
        "That is the mean over the redraws: one IQM for each is wanted, [N].",
        _redraw.but(answer=lambda c: np.quantile([_middle(x) for x in c.redrawn], [0.025, 0.975])),
        "That is the interval: return the IQMs, [N].",
    ),
)
