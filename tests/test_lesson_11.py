"""Lesson 11: its exact numbers by a second way, with NumPy and SciPy and none of our own code."""

import itertools

import numpy as np
import pytest
from scipy import optimize

REF = np.array([0.4, 0.25, 0.15, 0.1, 0.06, 0.04])
REWARDS = np.array([0.0, 0.5, 1.0, 1.5, 2.0, -1.0])
BEST = {  # beta: the policy that is best at this price, of the formula, rounded
    0.5: [0.0535, 0.0909, 0.1482, 0.2686, 0.4381, 0.0007],
    2.0: [0.2925, 0.2348, 0.1809, 0.1548, 0.1193, 0.0177],
}


def softmax(logits):
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def kl(p, q):
    return (p * np.log(p / q)).sum()


def objective(pi, beta, rewards=REWARDS):
    return pi @ rewards - beta * kl(pi, REF)


def tilted(beta, rewards=REWARDS):
    """The formula: in proportion to ref exp(r / beta), and what the proportions add up to."""
    weights = REF * np.exp(rewards / beta)
    return weights / weights.sum(), weights.sum()


def found(loss, *arguments, start):
    """The policy at the minimum of a loss of its logits, by an optimiser that is told no slope."""
    least = optimize.minimize(loss, start, arguments, options={"gtol": 1e-9})
    return softmax(least.x)


def slope(f, logits, h=1e-5):
    """The gradient of f(logits), by central differences."""
    steps = h * np.eye(len(logits))
    return np.array([f(logits + d) - f(logits - d) for d in steps]) / (2 * h)


# --- the six responses ---------------------------------------------------------------------------


@pytest.mark.parametrize("beta", BEST)
def test_the_best_policy_is_what_an_optimiser_finds(beta):
    pi = found(lambda logits: -objective(softmax(logits), beta), start=np.zeros(6))
    assert pi == pytest.approx(np.array(BEST[beta]), abs=6e-5)
    assert pi == pytest.approx(tilted(beta)[0], abs=1e-5)


def test_its_reward_its_divergence_and_its_objective():
    pi, Z = tilted(0.5)
    assert pi @ REWARDS == pytest.approx(1.47201, abs=6e-6)
    assert kl(pi, REF) == pytest.approx(0.93207, abs=6e-6)
    assert objective(pi, 0.5) == pytest.approx(1.005968, abs=6e-7)
    assert 0.5 * np.log(Z) == pytest.approx(objective(pi, 0.5), abs=1e-12)


@pytest.mark.parametrize("beta", [0.1, 0.5, 2.0])
def test_any_other_policy_loses_beta_times_its_divergence_from_the_best(beta):
    (best, Z), rng = tilted(beta), np.random.default_rng(0)
    for pi in rng.dirichlet(np.ones(6), 50):
        lost = beta * np.log(Z) - objective(pi, beta)
        assert lost == pytest.approx(beta * kl(pi, best), abs=1e-10) and lost > 0


@pytest.mark.parametrize("start", [np.log(REF), np.zeros(6), np.array([4.0, 0, 0, 0, 0, 4])])
def test_gradient_ascent_on_the_reward_less_its_price_gets_there(start):
    logits, beta = start, 0.5
    for _ in range(30_000):  # the rarest response settles last
        pi = softmax(logits)
        worth = REWARDS - beta * np.log(pi / REF)  # its mean is the objective
        logits = logits + pi * (worth - pi @ worth)
    assert softmax(logits) == pytest.approx(tilted(beta)[0], abs=1e-6)


@pytest.mark.parametrize("n", [1, 2, 16, 64])
def test_the_best_of_n_drifts_no_further_than_its_bound(n):
    """The best of n is at most y if all n are: a power of the distribution function."""
    order = REWARDS.argsort()
    up_to = REF[order].cumsum()
    best = np.diff(up_to**n, prepend=0)
    assert kl(best, REF[order]) <= np.log(n) - (n - 1) / n + 1e-12


# --- three estimates of the divergence -----------------------------------------------------------

ESTIMATES = {  # of log q, where q = ref / pi
    "k1": lambda log_q: -log_q,
    "k2": lambda log_q: log_q**2 / 2,
    "k3": lambda log_q: np.exp(log_q) - 1 - log_q,
}


def spread(name, beta):
    """Mean and standard deviation of an estimate over the best policy's responses."""
    pi, _ = tilted(beta)
    each = ESTIMATES[name](np.log(REF / pi))
    return pi @ each, (pi @ (each - pi @ each) ** 2) ** 0.5


@pytest.mark.parametrize(
    ("beta", "name", "mean", "std"),
    [
        (0.5, "k1", 0.93207, 1.2026),
        (0.5, "k2", 1.15748, 0.8514),
        (0.5, "k3", 0.93207, 1.6323),
        (2.0, "k1", 0.06275, 0.3600),
        (2.0, "k2", 0.06676, 0.0794),
        (2.0, "k3", 0.06275, 0.0763),
    ],
)
def test_means_and_spreads_of_the_three(beta, name, mean, std):
    assert spread(name, beta) == pytest.approx((mean, std), abs=6e-5)
    pi, _ = tilted(beta)
    drawn = np.random.default_rng(0).choice(6, 400_000, p=pi)
    each = ESTIMATES[name](np.log(REF / pi))[drawn]
    assert each.mean() == pytest.approx(mean, abs=5 * std / 400_000**0.5)


def slopes_of_both(pi):
    """Of KL(pi, ref) and of KL(ref, pi), for pi's logits."""
    logits = np.log(pi)
    return [
        slope(f, logits) for f in (lambda x: kl(softmax(x), REF), lambda x: kl(REF, softmax(x)))
    ]


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_as_a_loss_each_has_another_slope(beta):
    """The responses are drawn, and held fixed while the loss is differentiated."""
    pi, _ = tilted(beta)
    k1, k2, k3 = (
        slope(lambda x, k=k: pi @ k(np.log(REF / softmax(x))), np.log(pi))
        for k in ESTIMATES.values()
    )
    there, other = slopes_of_both(pi)
    assert k1 == pytest.approx(np.zeros(6), abs=1e-8)
    assert k2 == pytest.approx(there, abs=1e-8)
    assert k3 == pytest.approx(other, abs=1e-8)
    assert other == pytest.approx(pi - REF, abs=1e-8)  # by hand
    assert there == pytest.approx(pi * (np.log(pi / REF) - kl(pi, REF)), abs=1e-8)
    assert abs(there - other).max() > 0.003 and abs(there).max() > 0.01


@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_as_a_price_in_the_reward_the_first_has_the_right_slope_and_the_third_has_not(beta):
    """The mean of k times the score."""
    pi, _ = tilted(beta)
    scores = np.eye(6) - pi  # of each response, for the logits
    k1, _, k3 = ((pi * k(np.log(REF / pi))) @ scores for k in ESTIMATES.values())
    there, other = slopes_of_both(pi)
    assert k1 == pytest.approx(there, abs=1e-8)
    assert k3 == pytest.approx(there - other, abs=1e-8)
    cosine = k3 @ there / np.linalg.norm(k3) / np.linalg.norm(there)
    assert beta != 0.5 or cosine == pytest.approx(0.184, abs=1e-3)


# --- DPO -----------------------------------------------------------------------------------------

CHAIN = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]
SPLIT = [(0, 1), (1, 2), (3, 4), (4, 5)]
ALL = list(itertools.combinations(range(6), 2))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def preferred(logits, pairs, beta, labels):
    """DPO's loss in expectation: of each pair (a, b), the first is preferred so often."""
    implied = beta * (np.log(softmax(logits)) - np.log(REF))
    margins = np.array([implied[a] - implied[b] for a, b in pairs])
    return (labels * np.logaddexp(0, -margins) + (1 - labels) * np.logaddexp(0, margins)).mean()


def exact(pairs):
    return np.array([sigmoid(REWARDS[a] - REWARDS[b]) for a, b in pairs])


@pytest.mark.parametrize("beta", [0.5, 2.0])
@pytest.mark.parametrize("pairs", [CHAIN, ALL], ids=["chain", "all"])
def test_dpo_from_exact_preferences_reaches_the_best_policy(pairs, beta):
    pi, _ = tilted(beta)
    at = slope(lambda x: preferred(x, pairs, beta, exact(pairs)), np.log(pi))
    assert at == pytest.approx(np.zeros(6), abs=1e-9)
    for start in (np.log(REF), np.array([1.0, -1.0, 0.5, 0.0, 2.0, -2.0])):
        reached = found(preferred, pairs, beta, exact(pairs), start=start)
        assert reached == pytest.approx(pi, abs=1e-6)


def test_comparisons_that_do_not_connect_leave_the_parts_as_they_were():
    """Within each half the proportions come out right; of what a half has, the loss knows nothing."""
    pi, _ = tilted(0.5)
    reached = found(preferred, SPLIT, 0.5, exact(SPLIT), start=np.log(REF))
    for half in (slice(0, 3), slice(3, 6)):
        right = pi[half] / pi[half].sum()
        assert reached[half] / reached[half].sum() == pytest.approx(right, abs=1e-5)
    assert abs(reached[:3].sum() - pi[:3].sum()) > 0.1
    moved = [np.log(pi) + d * (np.arange(6) < 3) for d in (0, -2, 3)]
    for pairs, knows in ((SPLIT, False), (CHAIN, True)):
        losses = [preferred(logits, pairs, 0.5, exact(pairs)) for logits in moved]
        assert (np.ptp(losses) > 0.01) == knows and (np.ptp(losses) < 1e-12) != knows


@pytest.mark.parametrize("pairs", [CHAIN, ALL], ids=["chain", "all"])
def test_labels_that_are_always_right_have_no_best_policy(pairs):
    """However far it went, the loss falls further: the slope at the best response has one sign."""
    labels, rng = (exact(pairs) > 0.5).astype(float), np.random.default_rng(0)
    for logits in rng.normal(0, 5, (50, 6)):
        steps = slope(lambda x: preferred(x, pairs, 0.5, labels), logits)
        assert steps[4] < 0 < steps[5]
    far = [preferred(np.log(REF) + n * REWARDS, pairs, 0.5, labels) for n in (0, 1, 10, 100)]
    assert far == sorted(far, reverse=True) and 0 < far[-1] < 1e-6
    assert kl(softmax(np.log(REF) + 100 * REWARDS), REF) == pytest.approx(-np.log(REF[4]))


def test_with_shared_features_the_chosen_reply_may_lose_likelihood():
    """Three replies, the first preferred to the second: one step downhill from the reference."""
    loss = lambda log_pi: np.logaddexp(0, -(log_pi[0] - log_pi[1]))  # noqa: E731
    table, shared = np.eye(3), np.array([[1.0], [2.0], [-5.0]])
    for features, rises in ((table, True), (shared, False)):
        log_pi = lambda w, f=features: np.log(softmax(f @ w))  # noqa: E731
        w = np.zeros(features.shape[1])
        stepped = w - 0.01 * slope(lambda w, f=log_pi: loss(f(w)), w)
        before, after = log_pi(w), log_pi(stepped)
        assert loss(after) < loss(before) and (after[0] > before[0]) is np.bool_(rises)


# --- groups --------------------------------------------------------------------------------------


def own(r):
    return r - r.mean()


def others(r):
    return np.array([r[i] - np.delete(r, i).mean() for i in range(len(r))])


def standardised(correction):
    return lambda r: own(r) / r.std(ddof=correction) if r.std() else 0 * r


def mean_gradient(pi, rewards, G, advantages):
    """The expected gradient for the logits, by all groups of G answers that can be drawn."""
    total = np.zeros(len(pi))
    for answers in itertools.product(range(len(pi)), repeat=G):
        answers = list(answers)
        scores = np.eye(len(pi))[answers] - pi
        total += pi[answers].prod() * (advantages(rewards[answers]) @ scores) / G
    return total


def true_gradient(pi, rewards):
    return slope(lambda x: softmax(x) @ rewards, np.log(pi))


@pytest.mark.parametrize("G", [2, 3, 5])
def test_the_own_mean_shrinks_the_gradient_and_that_of_the_others_does_not(G):
    pi, rewards = np.array([0.2, 0.5, 0.3]), np.array([3.0, -1.0, 0.5])
    true = true_gradient(pi, rewards)
    assert mean_gradient(pi, rewards, G, own) == pytest.approx((G - 1) / G * true, abs=1e-9)
    assert mean_gradient(pi, rewards, G, others) == pytest.approx(true, abs=1e-9)


def factor(p, advantages, G=8):
    """How long the expected gradient is beside the true one: G answers, right with probability p."""
    pi, bit = np.array([1 - p, p]), np.array([0.0, 1.0])
    return (mean_gradient(pi, bit, G, advantages) / true_gradient(pi, bit)).mean()


@pytest.mark.parametrize("p", [0.05, 0.5, 0.95])
def test_dividing_by_the_spread_weighs_the_questions(p):
    population, sample = (2.473, 2.313) if p != 0.5 else (1.856, 1.736)
    assert factor(p, standardised(0)) == pytest.approx(population, abs=6e-4)
    assert factor(p, standardised(1)) == pytest.approx(sample, abs=6e-4)
    assert factor(p, standardised(1), G=2) == pytest.approx(0.5**0.5)  # whatever p is
    assert factor(p, own) == pytest.approx(7 / 8) and factor(p, others) == pytest.approx(1)


def test_how_often_a_group_teaches_nothing():
    silent = {}
    for p in (0.05, 0.5, 0.95):
        chances = np.array([1 - p, p])
        groups = np.array(list(itertools.product([0, 1], repeat=8)))
        alike = groups.std(1) == 0
        assert all(not others(group.astype(float)).any() for group in groups[alike])
        silent[p] = chances[groups[alike]].prod(1).sum()
    assert silent[0.05] == pytest.approx(0.663, abs=5e-4) == silent[0.95]
    assert silent[0.5] == pytest.approx(1 / 128)


@pytest.mark.parametrize("p", [0.2, 0.5, 2 / 3, 0.9])
def test_the_best_constant_for_one_answer_is_the_chance_of_a_wrong_one(p):
    """Right with probability p: the gradient's two values, and their variance for each baseline."""
    values = lambda b: np.array([(1 - b) * (1 - p), -b * -p])  # noqa: E731
    variance = {b: np.cov(values(b), aweights=[p, 1 - p], ddof=0) for b in (0, p, 1 - p)}
    for b, found in variance.items():
        assert found == pytest.approx(p * (1 - p) * (b - (1 - p)) ** 2, abs=1e-12)
    assert (variance[0] < variance[p] - 1e-12) == (p > 0.7)
