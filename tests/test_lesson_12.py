"""Lesson 12, what its tables must show: derived here in NumPy, without the lesson's code."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import optimize

from helpers import checks
from helpers.envs.gridworld import grid

GAMMA, STEP = 0.99, -0.01
BEST = 0.8641307  # V* of the start
UP, RIGHT, DOWN, LEFT = MOVES = range(4)


def world():
    """The course's 5x5 grid: where each action leads [25, 4], what it pays, whether it ends."""
    x, y = np.tile(np.arange(5), 5)[:, None], np.repeat(np.arange(5), 5)[:, None]
    to_x = (x + np.array([0, 1, 0, -1])).clip(0, 4)
    to_y = (y + np.array([1, 0, -1, 0])).clip(0, 4)
    after = to_y * 5 + to_x
    return after, np.where(after == 24, 1.0, STEP), after == 24


AFTER, REWARD, ENDS = world()


def targets(Q, scale=1.0):
    """r + gamma (1 - end) max Q, [..., 25, 4]."""
    return scale * REWARD + GAMMA * ~ENDS * Q.max(-1)[..., AFTER]


def naive(Q, logged, sweeps=2000):
    """Q-learning on a log that holds the pairs `logged` [25, 4]: all others keep what they were."""
    for _ in range(sweeps):
        Q = np.where(logged, targets(Q), Q)
    return Q


def test_the_table_is_the_courses_and_its_best_value():
    mdp = grid()
    for state, action in np.ndindex(24, 4):
        after = AFTER[state, action]
        assert mdp.transitions[state, action, after] == 1
        assert mdp.rewards[state, action, after] == pytest.approx(REWARD[state, action])
    Q = naive(np.zeros((25, 4)), np.ones((25, 4), bool))
    assert Q[0].max() == pytest.approx(BEST, abs=1e-7)
    assert BEST == pytest.approx(GAMMA**7 + STEP * (1 - GAMMA**7) / (1 - GAMMA), abs=1e-7)


# --- CQL -----------------------------------------------------------------------------------------


def counted(rng, allowed, steps=2000):
    """How often a walk without a plan takes each action in each state, [25, 4]."""
    counts, state = np.zeros((25, 4)), 0
    for action in rng.choice(allowed, steps):
        counts[state, action] += 1
        state = 0 if ENDS[state, action] else AFTER[state, action]
    return counts


def softmax(Q):
    e = np.exp(Q - Q.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def conservative(counts, Q, alpha, rate=0.1, sweeps=8000, scale=1.0):
    """Gradient steps on the mean of (Q - target)^2 / 2 + alpha (logsumexp Q - Q of the log), where
    each state that the log knows counts alike; counts, Q [..., 25, 4]."""
    total = counts.sum(-1, keepdims=True)
    done = counts / total.clip(1)
    for _ in range(sweeps):
        push = done - softmax(Q) * (total > 0)
        Q = Q + rate * (done * (targets(Q, scale) - Q) + alpha * push)
    return Q


def test_what_cql_settles_on():
    """Q = target - alpha (softmax(Q) / log - 1) where all actions were tried: over the log's own
    actions it is right on average. An action done more often than softmax(Q) says gains by it."""
    rng = np.random.default_rng(0)
    counts = counted(rng, MOVES) + 1
    alpha = 0.05
    done = counts / counts.sum(-1, keepdims=True)
    Q = conservative(counts, np.zeros((25, 4)), alpha, sweeps=30_000)
    wanted = targets(Q) - alpha * (softmax(Q) / done - 1)
    assert wanted == pytest.approx(Q, abs=1e-9)
    assert (done * (Q - targets(Q))).sum(-1) == pytest.approx(0, abs=1e-9)
    p = softmax(Q)  # under which values are pushed down
    push = (p * (Q - targets(Q))).sum(-1)
    assert push == pytest.approx(-alpha * ((p**2 / done).sum(-1) - 1), abs=1e-9) and push.max() < 0
    more = done > softmax(Q)
    assert (Q > targets(Q))[more].all() and (Q < targets(Q))[~more].all()
    clone = conservative(counts, np.zeros((25, 4)), 100, rate=0.01)
    assert softmax(clone) == pytest.approx(done, abs=0.03)


# --- expectiles and stitching --------------------------------------------------------------------


def expectile(x, tau, weights=None):
    """The m with tau sum w (x - m)+ = (1 - tau) sum w (m - x)+."""
    weights = np.ones(len(x)) if weights is None else np.asarray(weights)

    def surplus(m):
        above, below = (x - m).clip(0), (m - x).clip(0)
        return (weights * (tau * above - (1 - tau) * below)).sum()

    return optimize.brentq(surplus, x.min() - 1, x.max() + 1, xtol=1e-13)


@pytest.mark.parametrize("tau", [0.1, 0.5, 0.7, 0.9, 0.99])
def test_the_loss_of_exercise_1_is_smallest_at_the_expectile(tau):
    x = np.random.default_rng(0).normal(size=9)

    def loss(m):
        return checks.asymmetric_loss.solution(torch.tensor(x - m), tau).item()

    found = optimize.minimize_scalar(loss, bounds=(-4, 4), options={"xatol": 1e-9})
    assert found.x == pytest.approx(expectile(x, tau), abs=1e-5)


def test_from_the_mean_to_the_best_in_the_log():
    x = np.array([-1.0, -1.0, 0.2, 0.9])
    assert expectile(x, 0.5) == pytest.approx(x.mean())
    rising = [expectile(x, tau) for tau in (0.01, 0.3, 0.5, 0.7, 0.9, 0.99, 0.9999)]
    assert rising == sorted(rising) and -1 < rising[0] and rising[-1] < 0.9
    assert rising[-1] == pytest.approx(0.9, abs=1e-3)


ROOM = ["##O##", "S...G", "e#T##"]  # the top row first; O is where the others come from
PAID = {"G": 1.0, "T": -1.0, "e": 0.2}  # the goal, the trap, a small exit
WALKS = {"into the trap": ("S", "RRD"), "to the exit": ("S", "D"), "to the goal": ("O", "DRR")}
WAY = {"R": (0, 1), "D": (1, 0)}
AT = {mark: (r, row.index(mark)) for r, row in enumerate(ROOM) for mark in row if mark in "SO"}


def stepped(cell, move):
    """Where a move leads, what it pays, whether the walk is over."""
    r, c = (a + b for a, b in zip(cell, WAY[move]))
    mark = ROOM[r][c]
    assert mark != "#"
    return (r, c), PAID.get(mark, STEP), mark in PAID


def written(*times):
    """The log of walks into the trap, to the exit, to the goal: {cell: {move: how often}}."""
    log = {}
    for (start, moves), n in zip(WALKS.values(), times):
        cell = AT[start]
        for move in moves:
            row = log.setdefault(cell, {})
            row[move] = row.get(move, 0) + n
            cell = stepped(cell, move)[0]
    return log


def iql(log, tau):
    """Q of each pair of the log, V the expectile of Q over what the log did."""
    V = dict.fromkeys(log, 0.0)
    for _ in range(10):
        Q = {cell: {} for cell in log}
        for cell, row in log.items():
            for move in row:
                after, reward, over = stepped(cell, move)
                Q[cell][move] = reward + GAMMA * (not over) * V.get(after, 0.0)
        for cell, row in log.items():
            V[cell] = expectile(np.array([*Q[cell].values()]), tau, [*row.values()])
    return Q


def arrived(preference):
    """The mark at which whoever takes the highest of {cell: {move: number}} ends."""
    cell, over = AT["S"], False
    while not over:
        move = max(preference[cell], key=preference[cell].get)
        cell, _, over = stepped(cell, move)
    return ROOM[cell[0]][cell[1]]


JOINED = {(60, 40, 20): 0.829, (90, 10, 50): 0.745}  # from which tau on


@pytest.mark.parametrize("times", JOINED)
def test_from_which_tau_the_walks_are_joined(times):
    """At the middle m = V must make up for the exit: tau is where it does."""
    log = written(*times)
    trapped, _, came = times
    m = (PAID["e"] - STEP - GAMMA * STEP) / GAMMA**2
    loss, gain = trapped * (m + 1), came * (STEP + GAMMA - m)
    from_tau = loss / (loss + gain)
    assert from_tau == pytest.approx(JOINED[times], abs=5e-4)
    assert arrived(log) == "T"  # greedy cloning
    for tau in (0.5, from_tau - 1e-4):  # at .5 it is one step of improvement
        assert arrived(iql(log, tau)) == "e"
    for tau in (from_tau + 1e-4, 0.999):
        assert arrived(iql(log, tau)) == "G"


def test_drawn_from_the_log_the_walks_are_joined_by_chance():
    for times, share in (((60, 40, 20), 0.15), ((90, 10, 50), 0.9 * 50 / 140)):
        fork, middle = (written(*times)[cell] for cell in (AT["S"], (1, 2)))
        assert fork["R"] / sum(fork.values()) * middle["R"] / sum(middle.values()) == share


# --- judging without the world -------------------------------------------------------------------

OUTCOMES = list(itertools.product((0, 1), repeat=2))  # two steps, two actions each
REWARDS = dict(zip(OUTCOMES, map(Fraction, (0, 1, 2, 5))))


def chances(p):
    """Of each outcome, where action 1 has probability p at both steps."""
    return {o: math.prod(p if a else 1 - p for a in o) for o in OUTCOMES}


LOGGED, WANTED = chances(Fraction(1, 4)), chances(Fraction(3, 4))
WEIGHT = {o: WANTED[o] / LOGGED[o] for o in OUTCOMES}


def truth(chance):
    return sum(chance[o] * REWARDS[o] for o in OUTCOMES)


def expected(estimate, episodes):
    """The exact mean of an estimate over all logs of so many episodes."""
    return sum(
        math.prod(LOGGED[o] for o in log) * estimate(log)
        for log in itertools.product(OUTCOMES, repeat=episodes)
    )


def ordinary(log):
    return sum(WEIGHT[o] * REWARDS[o] for o in log) / len(log)


def weighted(log):
    return sum(WEIGHT[o] * REWARDS[o] for o in log) / sum(WEIGHT[o] for o in log)


def test_the_ordinary_estimate_is_unbiased_and_the_weighted_one_is_not():
    assert [expected(ordinary, n) for n in (1, 2, 3, 4)] == [truth(WANTED)] * 4
    means = [expected(weighted, n) for n in (1, 2, 3, 4)]
    assert means[0] == truth(LOGGED)  # one episode weighs 1, whatever it was
    assert means == sorted(means) and means[-1] < truth(WANTED)


def test_the_weighted_one_scatters_less():
    def variance(estimate):
        return expected(lambda log: estimate(log) ** 2, 3) - expected(estimate, 3) ** 2

    assert variance(weighted) < variance(ordinary) / 2


def effective(weights):
    return sum(weights) ** 2 / sum(w**2 for w in weights)


def test_the_effective_sample_size():
    assert effective([0.3] * 7) == pytest.approx(7) and effective([0, 0, 2, 0]) == 1
    w = np.random.default_rng(0).lognormal(size=50)
    assert effective(w) == pytest.approx(50 / (1 + (w.std() / w.mean()) ** 2))
    a_draw = expected(lambda log: WEIGHT[log[0]] ** 2, 1)  # the mean of w is 1
    assert a_draw == Fraction(49, 9)  # so of n episodes about 9 n / 49 count


@pytest.mark.parametrize(("steps", "missed"), [(1, 0.000), (2, 0.366), (4, 0.990)])
def test_a_log_that_hardly_overlaps_is_sure_of_a_wrong_answer(steps, missed):
    """Episodes are worth 1, and in 1 of 10 steps the log does what the other always does. Without a
    match in a hundred episodes the estimate is 0, and so is its standard error."""
    matches = np.random.default_rng(0).random((2000, 100, steps)) < 0.1
    weights = (matches / 0.1).prod(-1)
    estimates, errors = weights.mean(-1), weights.std(-1) / 10
    assert estimates.mean() == pytest.approx(1, abs=4 * estimates.std() / 2000**0.5)  # unbiased
    assert (1 - 0.1**steps) ** 100 == pytest.approx(missed, abs=5e-4)
    assert (estimates == 0).mean() == pytest.approx(missed, abs=0.04)
    assert (errors[estimates == 0] == 0).all() and (errors[estimates > 0] > 0).all()


# --- the exercises' solutions a second way -------------------------------------------------------


def test_the_penaltys_slope_is_softmax_minus_what_was_done():
    Q = np.random.default_rng(0).normal(size=(5, 3))
    actions = np.array([0, 2, 1, 1, 0])
    leaf = torch.tensor(Q, requires_grad=True)
    penalty = checks.conservative_penalty.solution(leaf, torch.tensor(actions))
    p = softmax(Q)
    assert penalty.item() == pytest.approx(-np.log(p[range(5), actions]).mean())
    penalty.backward()
    assert leaf.grad.numpy() == pytest.approx((p - np.eye(3)[actions]) / 5)


def test_the_targets_of_all_four_endings():
    over, cut = torch.tensor([[0, 0, 1, 1], [0, 1, 0, 1]]).bool()
    rewards, values = torch.tensor([[1.0, 2, 3, 4], [10, 20, 30, 40]])
    found = checks.repaired_targets.solution(rewards, values, over, cut, 0.5)
    assert found.tolist() == [6, 12, 3, 4]
