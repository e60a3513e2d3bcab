"""helpers.losses against torch.distributions, against loops by hand, and with garbage in the rows
that are no experience."""

import math

import pytest
import torch
from torch.distributions import Categorical

from helpers.errors import SlipError
from helpers.losses import (
    bradley_terry_loss,
    clipped_loss,
    clipped_share,
    dpo_loss,
    entropy,
    expectile_loss,
    log_prob,
    masked_mean,
    normalise,
    policy_gradient_loss,
    value_loss,
)

STEPS, AGENTS, ENVS = 7, 3, 5


def draw(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def draw_valid(*shape, share=0.7):
    return torch.rand(shape, generator=torch.Generator().manual_seed(99)) < share


def by_hand(x, valid):
    """[T, K, B] -> K lists: the numbers of each agent's valid rows."""
    return [
        [x[t, k, b].item() for t in range(x.shape[0]) for b in range(x.shape[2]) if valid[t, k, b]]
        for k in range(x.shape[1])
    ]


def mean(numbers):
    return sum(numbers) / len(numbers)


def test_log_prob_and_entropy_are_those_of_torch_distributions():
    logits = 3 * draw(0, STEPS, AGENTS, ENVS, 4)
    policy = Categorical(logits=logits)
    actions = torch.arange(STEPS * AGENTS * ENVS).reshape(STEPS, AGENTS, ENVS) % 4
    torch.testing.assert_close(log_prob(logits, actions), policy.log_prob(actions))
    torch.testing.assert_close(entropy(logits), policy.entropy())
    torch.testing.assert_close(
        log_prob(logits[0, 0, 0], actions[0, 0, 0]), logits[0, 0, 0].log_softmax(0)[0]
    )


def test_entropy_of_uniform_and_of_certain_policies():
    assert entropy(torch.zeros(4)).item() == pytest.approx(math.log(4))
    logits = torch.tensor([[1e4, 0.0, 0.0], [0.0, 200.0, -1e30]], requires_grad=True)
    assert entropy(logits).tolist() == [0, 0]
    log_prob(logits, torch.tensor([1, 1])).sum().backward()
    assert logits.grad.isfinite().all()  # a softmax followed by a log would underflow here


def test_masked_mean_counts_valid_rows_only():
    x, valid = draw(1, STEPS, AGENTS, ENVS), draw_valid(STEPS, AGENTS, ENVS)
    expected = [mean(numbers) for numbers in by_hand(x, valid)]
    torch.testing.assert_close(masked_mean(x, valid).tolist(), expected)
    assert masked_mean(torch.ones(4), torch.zeros(4, dtype=torch.bool)).item() == 0


def test_policy_gradient_loss_by_hand():
    log_probs, advantages = draw(2, STEPS, AGENTS, ENVS), draw(3, STEPS, AGENTS, ENVS)
    valid = draw_valid(STEPS, AGENTS, ENVS)
    expected = [-mean(numbers) for numbers in by_hand(log_probs * advantages, valid)]
    loss = policy_gradient_loss(log_probs, advantages, valid)
    torch.testing.assert_close(loss.tolist(), expected)


@pytest.mark.parametrize("clip", [0.2, 1, torch.tensor([[0.5], [0.2], [0.01]])], ids=str)
def test_clipped_loss_and_share_by_hand(clip):
    """K agents may have a clip each."""
    log_probs, old, advantages = (draw(seed, STEPS, AGENTS, ENVS) for seed in (2, 3, 4))
    valid = draw_valid(STEPS, AGENTS, ENVS)
    ratios, signs = (by_hand(x, valid) for x in ((log_probs - old).exp(), advantages))
    losses, shares = [], []
    for k, pairs in enumerate(map(list, map(zip, ratios, signs))):
        c = float(clip[k]) if isinstance(clip, torch.Tensor) else clip
        kept = [min(r * a, min(max(r, 1 - c), 1 + c) * a) for r, a in pairs]
        losses.append(-mean(kept))
        shares.append(mean([float(not 1 - c <= r <= 1 + c) for r, _ in pairs]))
    loss = clipped_loss(log_probs, old, advantages, valid, clip=clip)
    torch.testing.assert_close(loss.tolist(), losses, rtol=1e-6, atol=1e-6)
    assert clipped_share(log_probs, old, valid, clip=clip).tolist() == pytest.approx(shares)


@pytest.mark.parametrize(
    ("ratio", "advantage", "slope"),
    [(0.7, 1, -0.7), (1, 1, -1), (1.3, 1, 0), (0.7, -1, 0), (1, -1, 1), (1.3, -1, 1.3)],
)
def test_the_six_cases_of_the_clip(ratio, advantage, slope):
    """d loss / d log pi is -A rho where a gradient flows, and 0 where the ratio has gone far enough."""
    old = torch.tensor([-1.5], dtype=torch.float64)
    log_probs = (old + math.log(ratio)).requires_grad_()
    valid = torch.tensor([True])
    clipped_loss(log_probs, old, torch.tensor([float(advantage)]), valid, clip=0.2).backward()
    assert log_probs.grad.item() == pytest.approx(slope, abs=1e-12)


@pytest.mark.parametrize("clip", [0, -0.1, 1.0001, math.nan, "0.2", True, torch.tensor([[0.0]])])
def test_a_clip_that_makes_no_sense(clip):
    x, valid = torch.zeros(3, 1), torch.ones(3, 1, dtype=torch.bool)
    for function in (clipped_loss, clipped_share):
        arrays = (x, x, x, valid) if function is clipped_loss else (x, x, valid)
        with pytest.raises(SlipError, match="clip must be"):
            function(*arrays, clip=clip)


def test_value_loss_by_hand():
    values, returns = draw(4, STEPS, AGENTS, ENVS), draw(5, STEPS, AGENTS, ENVS)
    valid = draw_valid(STEPS, AGENTS, ENVS)
    expected = [mean(numbers) / 2 for numbers in by_hand((values - returns) ** 2, valid)]
    torch.testing.assert_close(value_loss(values, returns, valid).tolist(), expected)


def test_normalised_advantages_have_mean_0_and_deviation_1_within_each_agent():
    advantages = draw(6, STEPS, AGENTS, ENVS) * torch.tensor([[1.0], [10.0], [0.1]]) + 5
    valid = draw_valid(STEPS, AGENTS, ENVS)
    scaled = normalise(advantages, valid)
    for before, after in zip(by_hand(advantages, valid), by_hand(scaled, valid)):
        centre = mean(before)
        deviation = math.sqrt(mean([(a - centre) ** 2 for a in before]))
        expected = [(a - centre) / deviation for a in before]
        torch.testing.assert_close(after, expected, atol=1e-6, rtol=0)


def test_advantages_that_are_all_alike_become_0():
    alike = torch.full((4, 2), 3.0)
    assert normalise(alike, torch.ones(4, 2, dtype=torch.bool)).abs().max() == 0


FUNCTIONS = {
    "masked mean": lambda x, y, valid: masked_mean(x * y, valid),
    "policy": policy_gradient_loss,
    "value": value_loss,
    "clipped": lambda x, y, valid: clipped_loss(x, 0.9 * x.detach(), y, valid, clip=1),
    "normalised": lambda x, y, valid: policy_gradient_loss(x, normalise(y, valid), valid),
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_the_three_forms_agree(function):
    """[T, K, B] is K times [T, B], and [T, 1] is [T]."""
    x, y = draw(7, STEPS, AGENTS, ENVS), draw(8, STEPS, AGENTS, ENVS)
    valid = draw_valid(STEPS, AGENTS, ENVS)
    many = function(x, y, valid)
    each = [function(x[:, k], y[:, k], valid[:, k]) for k in range(AGENTS)]
    assert many.shape == (AGENTS,) and each[0].shape == ()
    torch.testing.assert_close(many, torch.stack(each))
    one = function(x[:, 0, 0], y[:, 0, 0], valid[:, 0, 0])
    assert one.shape == ()
    torch.testing.assert_close(one, function(x[:, 0, :1], y[:, 0, :1], valid[:, 0, :1]))


@pytest.mark.parametrize("garbage", [1e9, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["policy", "value", "clipped", "normalised"])
def test_rows_that_are_no_experience_have_no_influence_and_no_gradient(name, garbage):
    valid = draw_valid(STEPS, AGENTS, ENVS)
    x = draw(9, STEPS, AGENTS, ENVS).requires_grad_()
    target = draw(10, STEPS, AGENTS, ENVS)
    losses = FUNCTIONS[name](x, target, valid)
    losses.sum().backward()
    dirty_x = torch.where(valid, x.detach(), garbage).requires_grad_()
    dirty = FUNCTIONS[name](dirty_x, torch.where(valid, target, garbage), valid)
    dirty.sum().backward()
    torch.testing.assert_close(dirty, losses, atol=0, rtol=0)
    torch.testing.assert_close(dirty_x.grad, x.grad, atol=0, rtol=0)
    assert (x.grad[valid] != 0).all() and (dirty_x.grad[~valid] == 0).all()


@pytest.mark.parametrize(
    "function",
    [
        policy_gradient_loss,
        value_loss,
        lambda x, y, valid: clipped_loss(x, x.detach() + 0 * y, y, valid, clip=0.2),
    ],
)
def test_advantages_and_returns_are_data(function):
    x, data = draw(11, 4, 2).requires_grad_(), draw(12, 4, 2).requires_grad_()
    function(x, data, torch.ones(4, 2, dtype=torch.bool)).backward()
    assert data.grad is None and x.grad.abs().min() > 0


def test_the_loss_falls_along_better_actions_and_towards_the_returns():
    """The signs: descent makes an action of positive advantage likelier and V move to its target."""
    valid = torch.tensor([True])
    logits, values = torch.zeros(1, 2, requires_grad=True), torch.zeros(1, requires_grad=True)
    policy_gradient_loss(log_prob(logits, torch.tensor([1])), torch.ones(1), valid).backward()
    value_loss(values, torch.tensor([3.0]), valid).backward()
    assert logits.grad.tolist() == [[0.5, -0.5]]
    assert values.grad.tolist() == [-3]


@pytest.mark.parametrize("coefficient", [0.0, 0.1])
def test_a_forbidden_action_leaves_entropy_and_gradients_finite(coefficient):
    """A logit of -inf: as if the action did not exist."""
    logits = draw(1, 5, 3)
    barred = torch.cat([logits, torch.full((5, 1), -math.inf)], -1).requires_grad_()
    torch.testing.assert_close(entropy(barred), entropy(logits))
    valid, actions = torch.ones(5, dtype=torch.bool), torch.tensor([0, 1, 2, 0, 1])
    loss = policy_gradient_loss(log_prob(barred, actions), draw(2, 5), valid)
    (loss - coefficient * masked_mean(entropy(barred), valid)).backward()
    assert barred.grad.isfinite().all() and (barred.grad[:, 3] == 0).all()


def test_comparisons_by_hand_and_one_loss_for_each_model():
    chosen, rejected = draw(13, AGENTS, 6), draw(14, AGENTS, 6)
    expected = [
        mean([math.log(1 + math.exp(y - x)) for x, y in zip(*pair)])
        for pair in zip(chosen.tolist(), rejected.tolist())
    ]
    torch.testing.assert_close(bradley_terry_loss(chosen, rejected).tolist(), expected)
    torch.testing.assert_close(bradley_terry_loss(chosen[0], rejected[0]).item(), expected[0])
    far = torch.tensor([-200.0, 200.0], requires_grad=True)
    bradley_terry_loss(far, torch.zeros(2)).backward()
    assert far.grad.tolist() == [-0.5, 0]  # a sigmoid followed by a log would be infinite


def test_dpo_is_the_comparison_of_the_rewards_that_a_policy_implies():
    """With pi = ref exp(r / beta) / Z, whatever Z, its loss is that of the rewards r."""
    ref, beta = draw(15, 2, 6), 0.7
    rewards, log_z = draw(16, 2, 6), draw(17, 6)
    policy = ref + rewards / beta - log_z
    loss = dpo_loss(*policy, *ref, beta=beta)
    torch.testing.assert_close(loss, bradley_terry_loss(*rewards))
    assert not torch.isclose(loss, dpo_loss(*policy, *ref, beta=2 * beta))


def test_the_reference_is_data_and_the_chosen_reply_gains():
    logs = [torch.zeros(1, requires_grad=True) for _ in range(4)]
    dpo_loss(*logs, beta=0.5).backward()
    assert [log.grad for log in logs[2:]] == [None, None]
    assert [log.grad.item() for log in logs[:2]] == [-0.25, 0.25]  # beta times sigmoid(0)


@pytest.mark.parametrize("tau", [0.1, 0.5, 0.9])
def test_an_expectile_leaves_the_weights_of_both_sides_equal(tau):
    """Where the loss has no slope, tau times what lies above is (1 - tau) times what lies below."""
    targets = draw(18, 9).tolist()
    low, high = min(targets), max(targets)
    for _ in range(60):
        middle = (low + high) / 2
        above, below = (sum(max(s * (x - middle), 0) for x in targets) for s in (1, -1))
        low, high = (middle, high) if tau * above > (1 - tau) * below else (low, middle)
    value = torch.tensor(middle, dtype=torch.float64, requires_grad=True)
    expectile_loss(torch.tensor(targets, dtype=torch.float64) - value, tau=tau).backward()
    assert value.grad.item() == pytest.approx(0, abs=1e-12)
    assert expectile_loss(torch.tensor([[2.0, -1.0], [1.0, 1.0]]), tau=tau).tolist() == (
        pytest.approx([(4 * tau + 1 - tau) / 2, tau])
    )


@pytest.mark.parametrize("number", [0, 1, -0.1, 1.5, math.nan, "0.5", True])
def test_tau_and_beta_that_make_no_sense(number):
    with pytest.raises(SlipError, match="tau must"):
        expectile_loss(torch.zeros(3), tau=number)
    if number not in (1, 1.5) or number is True:
        with pytest.raises(SlipError, match="beta must be a finite number above 0"):
            dpo_loss(*torch.zeros(4, 3), beta=number)


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_replies_that_do_not_belong_together(place):
    logs = [*torch.zeros(4, 3)]
    logs[place] = torch.zeros(3, 1)
    with pytest.raises(SlipError, match=r"must have the shape \("):
        dpo_loss(*logs, beta=1)
    with pytest.raises(SlipError, match=r"rejected must have the shape \("):
        bradley_terry_loss(*(logs * 2)[place : place + 2])


@pytest.mark.parametrize("shape", [(3,), (3, 1), (1, 3), (3, 3, 1), (4, 3)])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_arrays_of_other_shapes_are_refused(place, shape):
    """PyTorch would pair each row with each other one, and give wrong numbers in silence."""
    arrays = [torch.ones(3, 3), torch.ones(3, 3), torch.ones(3, 3, dtype=torch.bool)]
    arrays[place] = arrays[place].new_ones(shape)
    for function in (policy_gradient_loss, value_loss):
        with pytest.raises(SlipError, match=r"must have the shape \("):
            function(*arrays)
    with pytest.raises(SlipError, match=r"must have the shape \("):
        clipped_loss(arrays[0], arrays[0], *arrays[1:], clip=0.2)
    with pytest.raises(SlipError, match=r"must have the shape \("):
        clipped_loss(torch.ones(3, 3), *arrays, clip=0.2)
    if place == 2:
        for function in (masked_mean, normalise):
            with pytest.raises(SlipError, match=r"valid must have the shape \(3, 3\)"):
                function(arrays[0], arrays[2])


@pytest.mark.parametrize("shape", [(3, 3, 1), (2, 3), (3,)])
def test_log_prob_wants_an_action_for_each_row_of_logits(shape):
    with pytest.raises(SlipError, match=r"actions must have the shape \(3, 3\)"):
        log_prob(torch.zeros(3, 3, 2), torch.zeros(shape, dtype=torch.int64))
