"""helpers.returns against published vectors and against the definitions, summed out one by one.

The libraries that have these functions need JAX (rlax) or pandas and a logger (Stable-Baselines3,
tianshou) for fifty lines of arithmetic. The slow functions below share no idea with the package:
explicit sums in Python floats, one column at a time, no recursion from the back.
"""

import itertools

import numpy as np
import pytest
import torch

from helpers.errors import SlipError
from helpers.returns import discounted_returns, gae, n_step_returns


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
