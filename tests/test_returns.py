"""helpers.returns against published vectors and against the definitions, summed out one by one.

The libraries that have these functions need JAX (rlax) or pandas and a logger (Stable-Baselines3,
tianshou) for fifty lines of arithmetic. The slow functions below share no idea with the package:
explicit sums in Python floats, one column at a time, no recursion from the back.
"""

import itertools
import math

import numpy as np
import pytest
import torch

from helpers.errors import SlipError
from helpers.returns import discounted_returns, gae, n_step_returns, vtrace


def slow_n_step(rewards, values, terminated, truncated, gamma, n):
    """The n-step return of each step of one column, summed from the definition."""
    last, returns = len(rewards) - 1, []
    for t in range(len(rewards)):
        ends = [k for k in range(t, last + 1) if terminated[k] or truncated[k]]
        stop = min([t + n - 1, last, *ends])  # the last step whose reward counts
        total = sum(gamma ** (k - t) * rewards[k] for k in range(t, stop + 1))
        returns.append(total + (not terminated[stop]) * gamma ** (stop + 1 - t) * values[stop + 1])
    return returns


def slow_gae(rewards, values, terminated, truncated, gamma, lam):
    """(1 - lam) sum_n lam^(n-1) G^(n), the rest on the longest, minus V (Schulman et al., eq. 16)."""
    last, advantages = len(rewards) - 1, []
    column = rewards, values, terminated, truncated, gamma
    n_steps = [slow_n_step(*column, n) for n in range(1, len(rewards) + 1)]
    for t in range(len(rewards)):
        ends = [k for k in range(t, last + 1) if terminated[k] or truncated[k]]
        longest = min([last, *ends]) - t + 1
        weights = [(1 - lam) * lam ** (n - 1) for n in range(1, longest)] + [lam ** (longest - 1)]
        advantages.append(sum(w * n_steps[n][t] for n, w in enumerate(weights)) - values[t])
    return advantages


def slow_vtrace(rewards, values, ratios, terminated, truncated, gamma, lam, rho_max, c_max):
    """Each step's (target, advantage) of one column: Espeholt et al. 2018, eq. 1, term by term."""
    last, targets, advantages = len(rewards) - 1, [], []
    arrived = [0.0 if terminated[t] else values[t + 1] for t in range(last + 1)]
    for s in range(last + 1):
        stop = min([k for k in range(s, last + 1) if terminated[k] or truncated[k]], default=last)
        target = values[s]
        for t in range(s, stop + 1):
            traced = math.prod(lam * min(ratios[i], c_max) for i in range(s, t))
            delta = rewards[t] + gamma * arrived[t] - values[t]
            target += gamma ** (t - s) * traced * min(ratios[t], rho_max) * delta
        targets.append(target)
    for s in range(last + 1):
        goes_on = s < last and not (terminated[s] or truncated[s])
        after = targets[s + 1] if goes_on else arrived[s]
        advantages.append(min(ratios[s], rho_max) * (rewards[s] + gamma * after - values[s]))
    return list(zip(targets, advantages))


def by_column(slow, arrays, **options):
    """A slow function applied to each column of arrays with any trailing axes, as float64."""
    flat = [np.asarray(x).reshape(len(x), -1) for x in arrays]
    columns = [slow(*(x[:, i].tolist() for x in flat), **options) for i in range(flat[0].shape[1])]
    return torch.tensor(columns, dtype=torch.float64).T.reshape(np.shape(arrays[0]))


def episodes(seed, steps, shape=(), dtype=torch.float64, chance=0.15):
    """Random rewards, values and ends; some steps are both terminated and truncated."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *size: torch.rand(*size, generator=generator, dtype=torch.float64)  # noqa: E731
    rewards, values = 4 * draw(steps, *shape) - 2, 6 * draw(steps + 1, *shape) - 3
    terminated, truncated = (draw(2, steps, *shape) < chance).unbind()
    return rewards.to(dtype), values.to(dtype), terminated, truncated


def never(steps):
    return torch.zeros(steps, dtype=torch.bool)


RLAX_GAE = {
    1.0: ([-1.45119, -4.45575, 2.53965, 0.5249, -0.49], [3.0, 2.0, 1.0, 0.0, -4.9]),
    0.7: ([-0.676979, -5.248167, 2.4846, 0.6704, -0.49], [2.2899, 1.73, 1.0, 0.0, -4.9]),
    0.4: ([0.56731, -6.042, 2.3431, 0.815, -0.49], [1.725, 1.46, 1.0, 0.0, -4.9]),
}


@pytest.mark.parametrize("lam", RLAX_GAE)
def test_gae_matches_rlax(lam):
    """Vectors of google-deepmind/rlax, multistep_test.py; the second sequence ends after step 3."""
    first, second = RLAX_GAE[lam]
    rewards, values = [0.0, 0.0, 1.0, 0.0, -0.5], [1.0, 4.0, -3.0, -2.0, -1.0, -1.0]
    advantages = gae(rewards, values, never(5), never(5), gamma=0.99, lam=lam)
    digits = 5e-6 if lam == 1 else 1e-3
    torch.testing.assert_close(advantages, torch.tensor(first), atol=digits, rtol=0)
    rewards, values = [0.0, 0.0, 0.0, 0.0, 1.0], [-3.0, -2.0, -1.0, 0.0, 5.0, -1.0]
    ends = torch.arange(5) == 3
    advantages = gae(rewards, values, ends, never(5), gamma=0.9, lam=lam)
    torch.testing.assert_close(advantages, torch.tensor(second), atol=1e-3, rtol=0)


RLAX_VTRACE = {  # logits of the policy that acted and of ours, actions, discounts, ...: two columns
    "acted": [
        [[8.9, 0.7], [5.0, 1.0], [0.6, 0.1], [-0.9, -0.1]],
        [[0.3, -5.0], [1.0, -8.0], [0.3, 1.7], [4.7, 3.3]],
    ],
    "ours": [
        [[0.4, 0.5], [9.2, 8.8], [0.7, 4.4], [7.9, 1.4]],
        [[1.0, 0.9], [1.0, -1.0], [-4.3, 8.7], [0.8, 0.3]],
    ],
    "actions": [[0, 1, 0, 0], [1, 0, 0, 1]],
    "rewards": [[-1.3, -1.3, 2.3, 42.0], [1.3, 5.3, -3.3, -5.0]],
    "discounts": [[0.0, 0.89, 0.85, 0.99], [0.88, 1.0, 0.83, 0.95]],
    "values": [[2.1, 1.1, -3.1, 0.0, 8.4], [3.1, 0.1, -1.1, 7.4, -1.2]],
    "gains": [
        [-1.6155143, -3.4973226, 1.8670533, 50.316002],
        [1.4662437, 3.6116405, -8.3327293e-5, -13.54],
    ],
}


@pytest.mark.parametrize("column", [0, 1])
def test_vtrace_matches_rlax(column):
    """Vectors of google-deepmind/rlax, vtrace_test.py, whose discounts change from step to step.

    A discount of 0 is a terminal step. The others come from units that change: with gamma 1 and all
    of step t in units of 1/D_t, D_{t+1} = d_t D_t, our recursion is theirs.
    """
    one = {name: torch.tensor(x[column]) for name, x in RLAX_VTRACE.items()}
    ours, acted = (
        one[name].log_softmax(-1).gather(-1, one["actions"][:, None])[:, 0]
        for name in ("ours", "acted")
    )
    ended = one["discounts"] == 0
    units = torch.cat([torch.ones(1), torch.where(ended, 1, one["discounts"]).cumprod(0)])
    targets, advantages = vtrace(
        units[:-1] * one["rewards"],
        units * one["values"],
        (ours - acted).exp(),
        ended,
        never(4),
        gamma=1,
    )
    gains = (targets / units[:-1] - one["values"][:-1]).tolist()
    assert gains == pytest.approx(one["gains"].tolist(), rel=1e-3, abs=1e-6)
    assert (advantages / units[:-1]).tolist() == pytest.approx(
        one["gains"].tolist(), rel=1e-3, abs=1e-6
    )  # with no ratio between the two limits, their advantages are their gains


LIMITS = [0.5, 1, 2, math.inf]


@pytest.mark.parametrize("lam, gamma", [(1, 1), (1, 0.9), (0.7, 0.9), (0, 0.9), (0.7, 0)])
@pytest.mark.parametrize("rho_max, c_max", [*itertools.product(LIMITS, LIMITS)])
def test_vtrace_matches_the_definition(rho_max, c_max, lam, gamma):
    rewards, values, *ends = episodes(20, 12, (3, 2))
    ratios = 4 * torch.rand(12, 3, 2, generator=torch.Generator().manual_seed(1)).double() ** 2
    options = {"gamma": gamma, "lam": lam, "rho_max": rho_max, "c_max": c_max}
    both = vtrace(rewards, values, ratios, *ends, **options)
    flat = [np.asarray(x).reshape(len(x), -1) for x in (rewards, values, ratios, *ends)]
    for i in range(6):
        slow = torch.tensor(slow_vtrace(*(x[:, i].tolist() for x in flat), **options))
        for ours, expected in zip(both, slow.unbind(-1)):
            torch.testing.assert_close(ours.reshape(12, 6)[:, i], expected.double())


def test_vtrace_of_the_own_steps_is_the_longest_return():
    rewards, values, *ends = episodes(21, 9, (4,))
    options = {"gamma": 0.9, "lam": 1.0}
    own = rewards, values, torch.ones(9, 4), *ends
    targets, advantages = vtrace(*own, **options, rho_max=1, c_max=2)
    longest = n_step_returns(rewards, values, *ends, gamma=0.9, n=9)
    torch.testing.assert_close(targets, longest)
    torch.testing.assert_close(advantages, longest - values[:-1])
    options["lam"] = 0.6
    torch.testing.assert_close(
        vtrace(*own, **options)[0] - values[:-1], gae(rewards, values, *ends, **options)
    )


def test_vtrace_at_a_truncated_step_knows_nothing_of_the_next_episode():
    """A shipped bug: V 1 and then 100, reward 0, gamma 1, and an advantage of 99 in place of 0."""
    truncated = torch.tensor([True, False])
    _, advantages = vtrace([0, 0], [1, 1, 100], [1, 1], never(2), truncated, gamma=1)
    assert advantages[0] == 0


@pytest.mark.parametrize(
    "options, sentence",
    [
        *(({name: x}, f"{name} must be a number above 0") for name in ("rho_max", "c_max")
          for x in (0, -1, math.nan, True, "1")),
        ({"lam": 1.5}, "lam must be a number from 0 to 1"),
        ({"ratios": torch.ones(5)}, r"ratios must have the shape \(4,\)"),
        ({"ratios": torch.tensor([1.0, -0.1, 1, 1])}, "A ratio of two probabilities"),
        ({"ratios": torch.tensor([1.0, math.nan, 1, 1])}, "A ratio of two probabilities"),
    ],
)  # fmt: skip
def test_what_vtrace_cannot_take_gets_a_sentence(options, sentence):
    rewards, values, *ends = episodes(22, 4)
    options = {"ratios": torch.ones(4), "gamma": 0.9} | options
    with pytest.raises(SlipError, match=sentence):
        vtrace(rewards, values, options.pop("ratios"), *ends, **options)


def test_discounted_returns_match_sutton_and_barto():
    """Exercises 3.8 and 3.9 of the 2018 edition."""
    assert discounted_returns([-1, 2, 6, 3, 2], 0.5).tolist() == [2, 6, 8, 4, 2]
    returns = discounted_returns(np.array([2.0] + 1000 * [7.0]), 0.9)
    np.testing.assert_allclose(returns[:2], [65, 70], rtol=1e-12)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 1, 2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("steps", [1, 23])
def test_random_episodes_match_the_definitions(steps, dtype, shape):
    arrays = episodes(len(shape), steps, shape, dtype)
    close = {"atol": 1e-12 if dtype == torch.float64 else 2e-5, "rtol": 0, "check_dtype": False}
    cases = [(gae, slow_gae, {"lam": lam}) for lam in (0, 0.8, 1)]
    cases += [(n_step_returns, slow_n_step, {"n": n}) for n in (1, 2, 5, 22, 23, 1000)]
    for gamma, (function, slow, options) in itertools.product((0, 0.9, 1), cases):
        actual = function(*arrays, gamma=gamma, **options)
        assert actual.dtype == dtype and actual.shape == arrays[0].shape
        expected = by_column(slow, arrays, gamma=gamma, **options)
        torch.testing.assert_close(actual, expected, **close)


@pytest.mark.parametrize("gamma", [0, 0.9, 1])
@pytest.mark.parametrize("shape", [(), (4,), (2, 3)])
def test_discounted_returns_match_the_definition(gamma, shape):
    rewards = episodes(5, 12, shape)[0]
    expected = [sum(gamma ** (k - t) * rewards[k] for k in range(t, 12)) for t in range(12)]
    torch.testing.assert_close(discounted_returns(rewards, gamma), torch.stack(expected))


CALLS = [
    lambda arrays, gamma=0.9, lam=0.8: discounted_returns(arrays[0], gamma),
    lambda arrays, gamma=0.9, lam=0.8: gae(*arrays, gamma=gamma, lam=lam),
    lambda arrays, gamma=0.9, lam=0.8: n_step_returns(*arrays, gamma=gamma, n=4),
]


@pytest.mark.parametrize("garbage", [1e6, float("nan"), float("inf")])
def test_the_row_after_an_end_leaks_nothing_into_experience(garbage):
    """There the environment only resets; see Rollout.valid."""
    rewards, values, terminated, truncated = episodes(10, 60, (4,))
    valid = torch.ones_like(terminated)
    for t in range(59):  # no ends in rows that only reset
        terminated[t] &= valid[t]
        truncated[t] &= valid[t]
        valid[t + 1] = ~(terminated[t] | truncated[t])
    dirty_rewards = torch.where(valid, rewards, garbage)
    dirty_values = values.clone()
    dirty_values[1:][terminated] = garbage  # nor does the value of a state in which all is over
    assert 10 < (~valid).sum() < 100
    for call in CALLS[1:]:
        clean = call((rewards, values, terminated, truncated))
        dirty = call((dirty_rewards, dirty_values, terminated, truncated))
        torch.testing.assert_close(dirty[valid], clean[valid], atol=0, rtol=0)


@pytest.mark.parametrize("make", [lambda x: x.tolist(), lambda x: x.numpy(), lambda x: x])
def test_lists_arrays_and_tensors_alike_are_read_and_left_unchanged(make):
    clean = episodes(11, 9, (2,))
    arrays = [make(x.clone()) for x in clean]
    for call in CALLS:
        torch.testing.assert_close(call(arrays).double(), call(clean), atol=1e-5, rtol=0)
    for left, was in zip(arrays, clean):
        assert torch.equal(torch.as_tensor(left, dtype=was.dtype), was)


def test_whole_numbers_become_fractions_and_large_ones_are_kept():
    assert discounted_returns(torch.tensor([0, 0, 1]), 0.5).tolist() == [0.25, 0.5, 1.0]
    assert gae([0, 1], [0, 0, 0], [0, 1], [0, 0], gamma=0.5, lam=1).tolist() == [0.5, 1.0]
    assert discounted_returns([2**24 + 1, 0], 0.0).tolist() == [2**24 + 1, 0]
    assert discounted_returns([1, 2], 0.5).dtype == torch.float32


def test_each_agent_may_have_a_discount_of_its_own():
    """Rows of [K, B]: gamma and lambda [K, 1] give what each agent gets alone with its numbers."""
    arrays = episodes(12, 9, (3, 4))
    gammas, lams = torch.tensor([[0.5], [0.9], [1.0]]), torch.tensor([[1.0], [0.0], [0.7]])
    for call in CALLS:
        together = call(arrays, gammas, lams)
        for k in range(3):
            alone = call([array[:, k] for array in arrays], gammas[k].item(), lams[k].item())
            torch.testing.assert_close(together[:, k], alone)


@pytest.mark.parametrize(
    "options, sentence",
    [
        *(
            ({"gamma": gamma}, "gamma must be a number from 0 to 1")
            for gamma in (-0.1, 1.1, float("nan"), float("inf"), "a", None)
        ),
        ({"gamma": torch.tensor([[0.5], [1.5]])}, r"gamma must be .* but is 1\.5"),
        (
            {"gamma": torch.tensor([0.5, 0.9, 1.0])},
            r"gamma has the shape \(3,\), which does not broadcast",
        ),
    ],
)
def test_a_wrong_discount_gets_a_sentence(options, sentence):
    arrays = episodes(12, 4, (2, 4))
    for call in CALLS:
        with pytest.raises(SlipError, match=sentence):
            call(arrays, **options)
    with pytest.raises(SlipError, match=sentence.replace("gamma", "lam")):
        gae(*arrays, gamma=0.5, lam=options["gamma"])


@pytest.mark.parametrize("n", [0, -1, 1.5, True, None])
def test_n_that_is_no_count_gets_a_sentence(n):
    with pytest.raises(SlipError, match="n must be a whole number of at least 1"):
        n_step_returns(*episodes(12, 4), gamma=0.5, n=n)


@pytest.mark.parametrize(
    "position, array, sentence",
    [
        (1, torch.zeros(4, 2), r"values must have the shape \(5, 2\) \(one more row than the rew"),
        (1, torch.zeros(5), r"values must have the shape \(5, 2\)"),
        (2, torch.zeros(5, 2), r"terminated must have the shape \(4, 2\)"),
        (3, torch.zeros(4, 1), r"truncated must have the shape \(4, 2\)"),
        (0, [], "give rewards at least one row"),
        (0, 1.0, "an array whose first axis is time"),
        (0, torch.tensor([1 + 2j]), "these are complex"),
    ],
)
def test_arrays_that_do_not_fit_get_a_sentence(position, array, sentence):
    arrays = list(episodes(13, 4, (2,)))
    arrays[position] = array
    for call in CALLS[1:] if position or sentence.endswith("row") else CALLS:
        with pytest.raises(SlipError, match=sentence):
            call(arrays)
