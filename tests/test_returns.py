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
    1.0: ([-1.45118, -4.4557, 2.5396, 0.5249, -0.49], [3.0, 2.0, 1.0, 0.0, -4.9]),
    0.7: ([-0.676979, -5.248167, 2.4846, 0.6704, -0.49], [2.2899, 1.73, 1.0, 0.0, -4.9]),
    0.4: ([0.56731, -6.042, 2.3431, 0.815, -0.49], [1.725, 1.46, 1.0, 0.0, -4.9]),
}


@pytest.mark.parametrize("lam", RLAX_GAE)
def test_gae_matches_rlax(lam):
    """Vectors of google-deepmind/rlax, multistep_test.py; the second sequence ends after step 3."""
    first, second = RLAX_GAE[lam]
    rewards, values = [0.0, 0.0, 1.0, 0.0, -0.5], [1.0, 4.0, -3.0, -2.0, -1.0, -1.0]
    advantages = gae(rewards, values, never(5), never(5), gamma=0.99, lam=lam)
    torch.testing.assert_close(advantages, torch.tensor(first), atol=1e-3, rtol=0)
    rewards, values = [0.0, 0.0, 0.0, 0.0, 1.0], [-3.0, -2.0, -1.0, 0.0, 5.0, -1.0]
    ends = torch.arange(5) == 3
    advantages = gae(rewards, values, ends, never(5), gamma=0.9, lam=lam)
    torch.testing.assert_close(advantages, torch.tensor(second), atol=1e-3, rtol=0)


def test_gae_matches_the_same_vector_to_five_digits():
    rewards, values = [0.0, 0.0, 1.0, 0.0, -0.5], [1.0, 4.0, -3.0, -2.0, -1.0, -1.0]
    advantages = gae(rewards, values, never(5), never(5), gamma=0.99, lam=1.0)
    expected = torch.tensor([-1.45119, -4.45575, 2.53965, 0.5249, -0.49])
    torch.testing.assert_close(advantages, expected, atol=5e-6, rtol=0)


# Rewards, discounts and following values of rlax's multistep_test.py, and what comes out of them.
RLAX_SEQUENCES = (
    ([1.0, 0.0, -1.0, 0.0, 1.0], [0.5, 0.9, 1.0, 0.5, 0.8], [3.0, 1.0, 5.0, -5.0, 3.0]),
    ([0.5, 0.8, -0.7, 0.0, 2.1], [0.9, 0.5, 0.3, 0.8, 0.7], [-1.7, 1.2, 2.3, 2.2, 2.7]),
)
RLAX_N_STEP = {
    3: ([2.8, -3.15, 0.7, 1.7, 3.4], [1.2155, 0.714, 0.2576, 3.192, 3.99]),
    5: ([1.315, 0.63, 0.7, 1.7, 3.4], [1.33592, 0.9288, 0.2576, 3.192, 3.99]),
    7: ([1.315, 0.63, 0.7, 1.7, 3.4], [1.33592, 0.9288, 0.2576, 3.192, 3.99]),
}
RLAX_LAMBDA_075 = (
    [1.6460547, 0.72281253, 0.7375001, 0.6500001, 3.4],
    [0.7866317, 0.9913063, 0.1101501, 2.834, 3.99],
)


def in_todays_money(sequence):
    """rlax discounts each step differently, we do not: state everything in units of time 0.

    With D[t] the product of the discounts before t, D[t] G[t] is the return at gamma 1 of the
    rewards D[t] r[t] and the values D[t] V[t].
    """
    rewards, discounts, following = torch.tensor(sequence, dtype=torch.float64)
    unit = torch.cat([torch.ones(1), discounts.cumprod(0)])
    values = unit * torch.cat([torch.zeros(1), following])  # the first state's V plays no part
    return unit[:-1] * rewards, values, unit[:-1]


@pytest.mark.parametrize("row", [0, 1])
def test_n_step_lambda_and_discounted_returns_match_rlax(row):
    rewards, values, unit = in_todays_money(RLAX_SEQUENCES[row])
    for n, expected in RLAX_N_STEP.items():
        returns = n_step_returns(rewards, values, never(5), never(5), gamma=1, n=n)
        np.testing.assert_allclose(returns / unit, expected[row], rtol=1e-5)
    returns = gae(rewards, values, never(5), never(5), gamma=1, lam=0.75) + values[:-1]
    np.testing.assert_allclose(returns / unit, RLAX_LAMBDA_075[row], rtol=1e-5)
    rewards[-1] += values[-1]
    returns = discounted_returns(rewards, 1)
    np.testing.assert_allclose(returns / unit, RLAX_N_STEP[7][row], rtol=1e-5)


def test_discounted_returns_match_sutton_and_barto():
    """Exercises 3.8 and 3.9 of the 2018 edition."""
    assert discounted_returns([-1, 2, 6, 3, 2], 0.5).tolist() == [2, 6, 8, 4, 2]
    returns = discounted_returns(np.array([2.0] + 1000 * [7.0]), 0.9)
    np.testing.assert_allclose(returns[:2], [65, 70], rtol=1e-12)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 1, 2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_random_episodes_match_the_definitions(shape, dtype):
    arrays = episodes(len(shape), 23, shape, dtype)
    close = {"atol": 1e-12 if dtype == torch.float64 else 2e-5, "rtol": 0, "check_dtype": False}
    for gamma, lam in itertools.product((0, 0.9, 1), (0, 0.8, 1)):
        actual = gae(*arrays, gamma=gamma, lam=lam)
        assert actual.dtype == dtype and actual.shape == arrays[0].shape
        torch.testing.assert_close(
            actual, by_column(slow_gae, arrays, gamma=gamma, lam=lam), **close
        )
    for gamma, n in itertools.product((0, 0.9, 1), (1, 2, 5, 22, 23, 1000)):
        actual = n_step_returns(*arrays, gamma=gamma, n=n)
        assert actual.dtype == dtype and actual.shape == arrays[0].shape
        torch.testing.assert_close(
            actual, by_column(slow_n_step, arrays, gamma=gamma, n=n), **close
        )


@pytest.mark.parametrize("gamma", [0, 0.9, 1])
@pytest.mark.parametrize("shape", [(), (4,), (2, 3)])
def test_discounted_returns_match_the_definition(gamma, shape):
    rewards = episodes(5, 12, shape)[0]
    expected = [sum(gamma ** (k - t) * rewards[k] for k in range(t, 12)) for t in range(12)]
    torch.testing.assert_close(discounted_returns(rewards, gamma), torch.stack(expected))


@pytest.mark.parametrize("ends", list(itertools.product([False, True], repeat=2)))
def test_a_single_step(ends):
    terminated, truncated = ends
    target = 2.0 + (0 if terminated else 0.5 * 8.0)
    arrays = [2.0], [3.0, 8.0], [terminated], [truncated]
    assert gae(*arrays, gamma=0.5, lam=0.7).tolist() == [target - 3.0]
    assert n_step_returns(*arrays, gamma=0.5, n=4).tolist() == [target]
    assert discounted_returns([2.0], 0.5).tolist() == [2.0]


def test_one_step_is_the_td_target_and_all_steps_are_lambda_one():
    rewards, values, terminated, _ = arrays = episodes(7, 40, (3,))
    td = rewards + 0.9 * values[1:] * ~terminated
    torch.testing.assert_close(n_step_returns(*arrays, gamma=0.9, n=1), td)
    torch.testing.assert_close(gae(*arrays, gamma=0.9, lam=0), td - values[:-1])
    for n in (40, 41):
        whole = gae(*arrays, gamma=0.9, lam=1) + values[:-1]
        torch.testing.assert_close(n_step_returns(*arrays, gamma=0.9, n=n), whole)


def test_lambda_one_over_a_terminated_episode_is_the_return_minus_the_value():
    rewards, values, _, truncated = episodes(8, 15, chance=0)
    advantages = gae(rewards, values, torch.arange(15) == 14, truncated, gamma=0.9, lam=1)
    torch.testing.assert_close(advantages, discounted_returns(rewards, 0.9) - values[:-1])


def test_a_truncated_step_bootstraps_and_a_terminated_one_does_not():
    """Only the value behind the end differs, so only a truncated episode may notice."""
    truncation, termination = torch.arange(6) == 3, never(6)
    rewards, values, _, _ = episodes(9, 6)
    other = values.clone()
    other[4] += 1  # the value of the state in which step 3 arrived
    for ends, change in (((termination, truncation), 0.9), ((truncation, termination), 0.0)):
        before, after = (gae(rewards, v, *ends, gamma=0.9, lam=0.5) for v in (values, other))
        factor = torch.tensor([0.45**3, 0.45**2, 0.45, 1.0], dtype=torch.float64)
        torch.testing.assert_close((after - before)[:4], change * factor)


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
    ends = terminated, truncated
    for function, options in ((gae, {"lam": 0.9}), (n_step_returns, {"n": 4})):
        clean = function(rewards, values, *ends, gamma=0.9, **options)
        dirty = function(dirty_rewards, dirty_values, *ends, gamma=0.9, **options)
        torch.testing.assert_close(dirty[valid], clean[valid], atol=0, rtol=0)


@pytest.mark.parametrize("make", [lambda x: x.tolist(), lambda x: x.numpy(), lambda x: x])
def test_lists_arrays_and_tensors_alike_are_read_and_left_unchanged(make):
    clean = episodes(11, 9, (2,))
    arrays = [make(x.clone()) for x in clean]
    for function, options in ((gae, {"lam": 0.8}), (n_step_returns, {"n": 3})):
        expected = function(*clean, gamma=0.9, **options)
        actual = function(*arrays, gamma=0.9, **options)
        torch.testing.assert_close(actual.double(), expected, atol=1e-5, rtol=0)
    actual = discounted_returns(arrays[0], 0.9).double()
    torch.testing.assert_close(actual, discounted_returns(clean[0], 0.9), atol=1e-5, rtol=0)
    for left, was in zip(arrays, clean):
        assert torch.equal(torch.as_tensor(left, dtype=was.dtype), was)


def test_whole_numbers_become_fractions():
    assert discounted_returns(torch.tensor([0, 0, 1]), 0.5).tolist() == [0.25, 0.5, 1.0]
    assert gae([0, 1], [0, 0, 0], [0, 1], [0, 0], gamma=0.5, lam=1).tolist() == [0.5, 1.0]


@pytest.mark.parametrize("gamma", [-0.1, 1.1, float("nan"), float("inf"), "a", None])
def test_a_fraction_outside_zero_to_one_gets_a_sentence(gamma):
    arrays = episodes(12, 4)
    for call in (
        lambda: discounted_returns(arrays[0], gamma),
        lambda: gae(*arrays, gamma=gamma, lam=0.5),
        lambda: n_step_returns(*arrays, gamma=gamma, n=2),
    ):
        with pytest.raises(SlipError, match="gamma must be a number from 0 to 1"):
            call()
    with pytest.raises(SlipError, match="lam must be a number from 0 to 1"):
        gae(*arrays, gamma=0.5, lam=gamma)


def test_each_agent_may_have_a_discount_of_its_own():
    """Rows of [K, B]: gamma and lambda [K, 1] give what each agent gets alone with its numbers."""
    arrays = episodes(12, 9, (3, 4))
    gammas, lams = torch.tensor([[0.5], [0.9], [1.0]]), torch.tensor([[1.0], [0.0], [0.7]])
    together = (
        discounted_returns(arrays[0], gammas),
        gae(*arrays, gamma=gammas, lam=lams),
        n_step_returns(*arrays, gamma=gammas, n=3),
    )
    for k in range(3):
        mine, gamma = [array[:, k] for array in arrays], gammas[k].item()
        alone = (
            discounted_returns(mine[0], gamma),
            gae(*mine, gamma=gamma, lam=lams[k].item()),
            n_step_returns(*mine, gamma=gamma, n=3),
        )
        for ours, its in zip(together, alone):
            torch.testing.assert_close(ours[:, k], its)


def test_discounts_that_do_not_fit_the_rewards_get_a_sentence():
    arrays = episodes(12, 9, (3, 4))
    with pytest.raises(SlipError, match=r"gamma has the shape \(3,\), which does not broadcast"):
        gae(*arrays, gamma=torch.tensor([0.5, 0.9, 1.0]), lam=1)
    with pytest.raises(SlipError, match=r"lam must be a number from 0 to 1, but is 1\.5"):
        gae(*arrays, gamma=1, lam=torch.tensor([[0.5], [1.5], [1.0]]))


@pytest.mark.parametrize("n", [0, -1, 1.5, True, None])
def test_n_that_is_no_count_gets_a_sentence(n):
    with pytest.raises(SlipError, match="n must be a whole number of at least 1"):
        n_step_returns(*episodes(12, 4), gamma=0.5, n=n)


@pytest.mark.parametrize(
    "position, shape, sentence",
    [
        (1, (4, 2), r"values must have the shape \(5, 2\) \(one more row than the rewards"),
        (1, (5,), r"values must have the shape \(5, 2\)"),
        (2, (5, 2), r"terminated must have the shape \(4, 2\)"),
        (3, (4, 1), r"truncated must have the shape \(4, 2\)"),
        (0, (), "an array whose first axis is time"),
    ],
)
def test_shapes_that_disagree_get_a_sentence(position, shape, sentence):
    arrays = list(episodes(13, 4, (2,)))
    arrays[position] = torch.zeros(shape)
    for call in (
        lambda: gae(*arrays, gamma=0.5, lam=0.5),
        lambda: n_step_returns(*arrays, gamma=0.5, n=2),
    ):
        with pytest.raises(SlipError, match=sentence):
            call()


def test_a_single_number_of_reward_gets_a_sentence():
    with pytest.raises(SlipError, match="an array whose first axis is time"):
        discounted_returns(1.0, 0.5)


def test_no_steps_at_all_get_a_sentence():
    for call in (
        lambda: gae([], [1.0], [], [], gamma=0.5, lam=0.5),
        lambda: n_step_returns([], [1.0], [], [], gamma=0.5, n=2),
    ):
        with pytest.raises(SlipError, match="give rewards at least one row"):
            call()


def test_complex_numbers_are_refused_and_large_whole_ones_kept():
    with pytest.raises(SlipError, match="these are complex"):
        discounted_returns(torch.tensor([1 + 2j]), 0.5)
    assert discounted_returns([2**24 + 1, 0], 0.0).tolist() == [2**24 + 1, 0]
    assert discounted_returns([1, 2], 0.5).dtype == torch.float32
