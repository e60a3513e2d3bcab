"""Lesson 13: what its games come to, by arithmetic that shares no code with the lesson's."""

import numpy as np
import pytest
import torch

CLIMBING = np.array([[11.0, -30, 0], [-30, 7, 6], [0, 0, 5]])
STARTS = 20_000


def penalty(k):
    return np.array([[10.0, 0, k], [0, 2, 0], [k, 0, 10]])


def softmax(logits):
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def slopes(payoffs, x, y):
    """The exact gradients of p U q for both players' logits, [n, A] and [n, B]."""
    p, q = softmax(x), softmax(y)
    first, second = q @ payoffs.T, p @ payoffs
    value = (p * first).sum(-1, keepdims=True)
    return p * (first - value), q * (second - value)


def learned(payoffs, *, rate=0.1, steps=300, spread=1.0, starts=STARTS, seed=0):
    """The probability of each pair of actions, [starts, 3, 3], after both have climbed alone."""
    rng = np.random.default_rng(seed)
    payoffs = payoffs.astype(np.float32)
    x, y = spread * rng.normal(size=(2, starts, 3)).astype(np.float32)
    for _ in range(steps):
        up, along = slopes(payoffs, x, y)
        x, y = x + np.float32(rate) * up, y + np.float32(rate) * along
    return softmax(x)[:, :, None] * softmax(y)[:, None]


# --- where independent gradients end -------------------------------------------------------------


def test_the_slopes_are_those_of_the_joint_value():
    rng = np.random.default_rng(0)
    x, y = (torch.tensor(rng.normal(size=(50, 3)), requires_grad=True) for _ in range(2))
    value = torch.einsum("na,ab,nb->", x.softmax(-1), torch.tensor(CLIMBING), y.softmax(-1))
    value.backward()
    found = slopes(CLIMBING, x.detach().numpy(), y.detach().numpy())
    assert np.allclose(found[0], x.grad) and np.allclose(found[1], y.grad)


@pytest.mark.hardening
@pytest.mark.parametrize("seed", [0, 1])
def test_a_quarter_of_the_starts_climb_to_11(seed):
    """Decided early: whoever is to get there is there after 100 steps, and the others can't."""
    pairs = learned(CLIMBING, seed=seed)
    at_best = pairs[:, 0, 0]
    assert ((at_best > 0.95) | (at_best < 0.05)).all()
    assert abs((at_best > 0.5).mean() - 0.24) < 0.015  # five standard errors
    early = learned(CLIMBING, seed=seed, steps=100)[:, 0, 0] > 0.5
    assert (early == (at_best > 0.5)).mean() > 0.999


@pytest.mark.hardening
def test_the_rate_counts_for_a_little():
    """In small steps a little more get to 11, in large ones fewer."""
    small = learned(CLIMBING, rate=0.02, steps=800)[:, 0, 0] > 0.5
    large = learned(CLIMBING, rate=0.5, steps=60)[:, 0, 0] > 0.5
    assert abs(small.mean() - 0.242) < 0.015 and abs(large.mean() - 0.208) < 0.015


def test_the_others_are_on_their_way_to_7_for_long():
    """How many are where "at the end" depends on when that is; 11 does not."""
    shares = {}
    for steps in (300, 3000):
        likeliest = learned(CLIMBING, steps=steps, starts=2000).reshape(-1, 9).argmax(-1)
        shares[steps] = np.bincount(likeliest, minlength=9) / 2000
    assert shares[300][[1, 2, 3, 6, 7]].max() < 0.01 > shares[3000][[1, 2, 3, 6, 7]].max()
    eleven, seven, six, five = (np.array([s[i] for s in shares.values()]) for i in (0, 4, 5, 8))
    assert eleven[0] == eleven[1]
    assert 0.13 < seven[0] < 0.23 and 0.3 < seven[1] < 0.41
    assert five[0] > 0.13 > 0.04 > five[1] and six.min() > 0.33


def test_the_only_places_to_stay_are_11_and_7():
    """Pairs from which neither gains by another action of its own alone."""
    stay = (CLIMBING == CLIMBING.max(0)) & (CLIMBING == CLIMBING.max(1, keepdims=True))
    assert CLIMBING[stay].tolist() == [11, 7]


def test_from_nearly_even_policies_nobody_climbs():
    assert learned(CLIMBING, spread=0.1)[:, 0, 0].max() < 0.01


@pytest.mark.hardening
@pytest.mark.parametrize(("k", "share"), [(0, 0.98), (-10, 0.87), (-50, 0.51), (-100, 0.37)])
def test_the_penalty_keeps_them_from_the_best(k, share):
    pairs = learned(penalty(k))
    best = pairs[:, 0, 0] + pairs[:, 2, 2]
    assert ((best > 0.9) | (best < 0.1)).mean() > 0.998
    assert abs((best > 0.5).mean() - share) < 0.018


# --- what a central critic changes ---------------------------------------------------------------

KINDS = "local", "joint", "counterfactual"


def moments(payoffs, p, q, *, baseline):
    """{kind: (mean [n, 3], variance [n] summed over logits)} of the first player's estimates.

    An estimate is the score of the own action, times what the critic says of the drawn pair: Q of
    the own action, Q of the pair, or Q of the pair minus its mean over the own action.
    baseline: whether V is taken off the first two.
    """
    both = p[:, :, None] * q[:, None]  # [n, a, b]
    score = np.eye(3) - p[:, None]  # [n, a, :]
    value = baseline * np.einsum("nab,ab->n", both, payoffs)[:, None, None]
    says = {
        "local": (q @ payoffs.T)[:, :, None] - value,
        "joint": payoffs - value,
        "counterfactual": payoffs - (p @ payoffs)[:, None],
    }
    found = {}
    for kind, critic in says.items():
        critic = np.broadcast_to(critic, both.shape)
        mean = np.einsum("nab,nab,nak->nk", both, critic, score)
        square = np.einsum("nab,nab,nak->n", both, critic**2, score**2)
        found[kind] = mean, square - (mean**2).sum(-1)
    return found


def drawn(seed, count=1000):
    return softmax(np.random.default_rng(seed).normal(size=(2, count, 3)))


@pytest.mark.parametrize("baseline", [False, True])
def test_whatever_the_critic_sees_the_mean_is_the_gradient(baseline):
    p, q = drawn(0)
    expected, _ = slopes(CLIMBING, np.log(p), np.log(q))
    for mean, _ in moments(CLIMBING, p, q, baseline=baseline).values():
        assert np.allclose(mean, expected)


def test_a_baseline_with_the_own_action_in_it_does_change_the_mean():
    """The other side of it: taking off the mean over the *other's* action leaves nothing."""
    p, q = drawn(0)
    both, score = p[:, :, None] * q[:, None], np.eye(3) - p[:, None]
    critic = CLIMBING - (q @ CLIMBING.T)[:, :, None]
    assert np.allclose(np.einsum("nab,nab,nak->nk", both, critic, score), 0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_how_noisy_each_estimate_is(seed):
    """With V taken off. Of the first player: the game is another one for the second."""
    found = moments(CLIMBING, *drawn(seed), baseline=True)
    local, joint, own = (found[kind][1] for kind in KINDS)
    assert abs(local.mean() - 20) < 2 and abs(joint.mean() - 100) < 5
    assert abs(own.mean() - 105) < 5 and abs((own < joint).mean() - 0.6) < 0.05
    assert (local <= joint + 1e-9).all()


@pytest.mark.parametrize("baseline", [False, True])
@pytest.mark.parametrize("payoffs", [CLIMBING, CLIMBING.T, penalty(-100), penalty(0)])
def test_a_local_critic_is_never_noisier_than_a_joint_one(payoffs, baseline):
    """It is the joint one's mean over what the other may do, and a mean varies less."""
    found = moments(payoffs, *drawn(3), baseline=baseline)
    assert (found["local"][1] <= found["joint"][1] + 1e-9).all()


def test_the_numbers_without_v_and_for_the_second_player():
    plain = moments(CLIMBING, *drawn(0, 20_000), baseline=False)
    assert abs(plain["local"][1].mean() - 24) < 1 and abs(plain["joint"][1].mean() - 105) < 2
    second = moments(CLIMBING.T, *drawn(0, 20_000), baseline=True)
    local, joint, own = (second[kind][1] for kind in KINDS)
    assert abs(local.mean() - 24.5) < 1 and abs(joint.mean() - 101) < 2
    assert abs(own.mean() - 110.5) < 2 and abs((own < joint).mean() - 0.52) < 0.02


def test_estimates_from_draws_have_these_moments():
    """The first player's estimate with the joint critic, drawn, at one pair of policies."""
    rng = np.random.default_rng(5)
    p, q = drawn(9, 1)
    a, b = (rng.choice(3, size=200_000, p=policy[0]) for policy in (p, q))
    estimates = (np.eye(3) - p[0])[a] * (CLIMBING[a, b] - p[0] @ CLIMBING @ q[0])[:, None]
    mean, variance = (x[0] for x in moments(CLIMBING, p, q, baseline=True)["joint"])
    assert np.allclose(estimates.mean(0), mean, atol=5 * (variance / 200_000) ** 0.5)
    assert estimates.var(0).sum() == pytest.approx(variance, rel=0.03)
