"""What learners hand in for lesson 18: see test_checks.py."""

import numpy as np
from scipy import stats


def half_sorted(scores):
    ordered = np.sort(np.asarray(scores).flatten())
    n = len(ordered)
    return np.mean(ordered[n // 4 : n - n // 4])


def half_scipy(scores):
    return stats.trim_mean(scores, 0.25, axis=None)


def half_python(scores):
    ordered = sorted(x for row in scores.tolist() for x in row)
    cut = int(0.25 * len(ordered))
    kept = ordered[cut:-cut] if cut else ordered
    return sum(kept) / len(kept)


def half_ranks(scores):
    """By the place of each score."""
    flat = scores.reshape(-1)
    place, cut = flat.argsort().argsort(), flat.size // 4
    return flat[(place >= cut) & (place < flat.size - cut)].mean()


def half_by_task(scores):
    return stats.trim_mean(scores, 0.25, axis=0).mean()


def half_sorted_columns(scores):
    ordered = np.sort(scores, axis=0).flatten()
    cut = len(ordered) // 4
    return ordered[cut : len(ordered) - cut].mean()


def half_sorted_rows(scores):
    ordered = np.sort(scores).reshape(-1)
    cut = ordered.size // 4
    return np.mean(ordered[cut : ordered.size - cut])


def half_inside(scores):
    """Scores between the quartiles: on ties and small numbers another set."""
    low, high = np.percentile(scores, [25, 75])
    return scores[(scores > low) & (scores < high)].mean()


def half_negative(scores):
    """[cut:-cut] of so few scores that cut is 0 is empty."""
    ordered = np.sort(scores, axis=0)
    cut = len(ordered) // 4
    return ordered[cut:-cut].mean()


def half_in_place(scores):
    flat = scores.reshape(-1)
    flat.sort()
    cut = len(flat) // 4
    return flat[cut : len(flat) - cut].mean()


def improved_pairs(x, y):
    won = 0.0
    for task in range(x.shape[1]):
        for a in x[:, task]:
            for b in y[:, task]:
                won += 1.0 if a > b else 0.5 if a == b else 0.0
    return won / (len(x) * len(y) * x.shape[1])


def improved_signs(x, y):
    return (0.5 + 0.5 * np.sign(x[:, None, :] - y[None, :, :])).mean()


def improved_heaviside(x, y):
    return np.mean(np.heaviside(x[:, np.newaxis] - y, 0.5))


def improved_scipy(x, y):
    """Mann and Whitney's U of each task."""
    tasks = range(x.shape[1])
    u = [stats.mannwhitneyu(x[:, t], y[:, t], method="asymptotic").statistic for t in tasks]
    return np.mean(u) / (len(x) * len(y))


def improved_ties_lost(x, y):
    return np.mean([(a > b).mean() for a in x for b in y])


def improved_added_up(x, y):
    won = sum((a > y).sum() + 0.5 * (a == y).sum() for a in x)
    return won / (len(x) * len(y))


def improved_by_partner(x, y):
    n = min(len(x), len(y))
    return ((x[:n] > y[:n]) + 0.5 * (x[:n] == y[:n])).mean()


def improved_of_sums(x, y):
    x, y = x.sum(1), y.sum(1)
    return ((x[:, None] > y) + 0.5 * (x[:, None] == y)).mean()


def improved_no_pairs(x, y):
    return (x > y).mean()


def redrawn_columns(scores, draws):
    rows = np.floor(draws * scores.shape[0]).astype(np.int64)
    return np.array([half_scipy(scores[each, np.arange(scores.shape[1])]) for each in rows])


def redrawn_at_once(scores, draws):
    rows = (draws * len(scores)).astype(int)
    redrawn = np.take_along_axis(scores[None], rows, axis=1).reshape(len(draws), -1)
    return stats.trim_mean(redrawn, 0.25, axis=1)


def redrawn_loop(scores, draws):
    answers = []
    for each in draws:
        taken = [scores[int(u * len(scores)), task] for line in each for task, u in enumerate(line)]
        answers.append(half_python(np.array([taken])))
    return answers


def redrawn_pooled(scores, draws):
    everything = scores.flatten()
    taken = everything[(draws * len(everything)).astype(int)]
    return stats.trim_mean(taken.reshape(len(draws), -1), 0.25, axis=1)


def redrawn_rows(scores, draws):
    rows = (draws[:, :, 0] * len(scores)).astype(int)
    return np.array([half_scipy(scores[each]) for each in rows])


def redrawn_broadcast(scores, draws):
    return np.array([half_scipy(scores[(each * len(scores)).astype(int)]) for each in draws])


def redrawn_means(scores, draws):
    rows = (draws * len(scores)).astype(int)
    return np.take_along_axis(scores[None], rows, axis=1).mean((1, 2))


def redrawn_swapped(scores, draws):
    rows = (draws * len(scores)).astype(int)
    return np.array([half_scipy(scores[:, each]) for each in rows])


RIGHT = {
    "middle_half": [half_sorted, half_scipy, half_python, half_ranks],
    "improvement": [improved_pairs, improved_signs, improved_heaviside, improved_scipy],
    "repaired_iqms": [redrawn_columns, redrawn_at_once, redrawn_loop],
}
WRONG = {
    "middle_half": [
        (half_by_task, "each task by itself"),
        (half_sorted_columns, "along one axis only"),
        (half_sorted_rows, "along one axis only"),
        (half_inside, "expected"),
        (half_negative, "For scores"),
        (half_in_place, "changes its input"),
    ],
    "improvement": [
        (improved_ties_lost, "Ties count as if Y had won"),
        (improved_by_partner, "runs have no partners"),
        (improved_added_up, "You add the tasks up"),
        (improved_of_sums, "You average over the tasks first"),
        (improved_no_pairs, "For x"),
    ],
    "repaired_iqms": [
        (redrawn_pooled, "The bug is still there"),
        (redrawn_rows, "You take whole rows"),
        (redrawn_means, "the mean of each redraw"),
        (redrawn_broadcast, "takes each row with all its tasks"),
        (redrawn_swapped, ""),
    ],
}
