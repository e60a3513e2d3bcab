"""helpers.exact against published figures, sums over time, brute force, autograd, differences."""

import itertools
import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from helpers.envs.corridor import short_corridor
from helpers.envs.gridworld import grid
from helpers.errors import SlipError
from helpers.exact import (
    MDP,
    action_values,
    objective,
    occupancy,
    optimal_values,
    policy_gradient,
    state_values,
)


def random_mdp(seed, states=5, actions=3):
    """A random table whose last state is terminal; its row holds junk that nobody may read."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.rand(shape, generator=generator, dtype=torch.float64)  # noqa: E731
    transitions = draw(states, actions, states) ** 3
    transitions /= transitions.sum(-1, keepdim=True)
    transitions[-1] = 7
    terminal = torch.arange(states) == states - 1
    start = draw(states) * ~terminal
    logits = 2 * draw(states, actions) - 1
    rewards = 4 * draw(states, actions, states) - 2
    return MDP(transitions, rewards, terminal, start / start.sum()), logits


SOLVERS = state_values, action_values, objective, occupancy, policy_gradient


def corridor_policy(right):
    return torch.tensor([[1 - right, right]] * 4, dtype=torch.float64)


def series(mdp, policy, gamma, terms=3000):
    """V and occupancy by adding up what happens at each time step."""
    alive = (~mdp.terminal).double()
    steps = torch.zeros(len(alive), len(alive), dtype=torch.float64)
    rewards = torch.zeros(len(alive), dtype=torch.float64)
    for s, a in itertools.product(*map(range, policy.shape)):
        steps[s] += alive[s] * policy[s, a] * mdp.transitions[s, a] * alive
        rewards[s] += alive[s] * policy[s, a] * mdp.transitions[s, a] @ mdp.rewards[s, a]
    values, visits = torch.zeros_like(rewards), torch.zeros_like(rewards)
    power = torch.eye(len(alive), dtype=torch.float64)
    for t in range(terms):
        values += gamma**t * power @ rewards
        visits += gamma**t * mdp.start @ power
        power = power @ steps
    return values, visits * alive


@pytest.mark.parametrize("right", [0.05, 0.3, 2 - math.sqrt(2), 0.95])
def test_corridor_has_the_published_value(right):
    value = objective(short_corridor(), corridor_policy(right), 1).item()
    assert value == pytest.approx((2 * right - 4) / (right * (1 - right)), rel=1e-10)


def test_grid_has_the_known_values():
    uniform = torch.full((25, 4), 0.25)
    assert optimal_values(grid(), 0.99)[0].item() == pytest.approx(0.8641307, abs=5e-8)
    assert objective(grid(), uniform, 0.99).item() == pytest.approx(-0.0964725, abs=5e-8)
    assert occupancy(grid(), uniform, 1).sum().item() == pytest.approx(106.818, abs=5e-4)
    free = optimal_values(grid(step_reward=0), 1)
    assert (free[:-1] == 1).all() and free[-1] == 0


@pytest.mark.parametrize("gamma", [0, 0.5, 0.99, 1])
@pytest.mark.parametrize("seed", range(3))
def test_values_and_occupancy_are_the_sums_over_time(seed, gamma):
    mdp, logits = random_mdp(seed)
    values, visits = series(mdp, logits.softmax(-1), gamma)
    assert torch.allclose(state_values(mdp, logits.softmax(-1), gamma), values, rtol=0, atol=1e-10)
    assert torch.allclose(occupancy(mdp, logits.softmax(-1), gamma), visits, rtol=0, atol=1e-10)
    assert objective(mdp, logits.softmax(-1), gamma).item() == pytest.approx(mdp.start @ values)


@pytest.mark.parametrize("gamma", [0, 0.9, 1])
def test_action_values_are_one_step_and_then_the_policy(gamma):
    mdp, logits = random_mdp(3)
    values, _ = series(mdp, logits.softmax(-1), gamma)
    q = action_values(mdp, logits.softmax(-1), gamma)
    for s, a in itertools.product(range(4), range(3)):
        expected = sum(
            mdp.transitions[s, a, t] * (mdp.rewards[s, a, t] + gamma * values[t]) for t in range(5)
        )
        assert q[s, a].item() == pytest.approx(expected.item(), abs=1e-10)
    assert (q[4] == 0).all()


@pytest.mark.parametrize("gamma", [0, 0.9, 1])
@pytest.mark.parametrize("seed", range(3))
def test_policy_gradient_is_the_gradient_of_the_objective(seed, gamma):
    mdp, logits = random_mdp(seed)
    theorem = policy_gradient(mdp, logits, gamma)
    logits.requires_grad_()
    (autograd,) = torch.autograd.grad(objective(mdp, logits.softmax(-1), gamma), logits)
    assert torch.allclose(theorem, autograd, rtol=0, atol=1e-12)
    assert theorem.abs().max() > 0.01


@pytest.mark.parametrize("gamma", [0, 0.9, 0.99, 1])
@pytest.mark.parametrize("seed", range(3))
def test_optimal_values_beat_every_deterministic_policy(seed, gamma):
    mdp, _ = random_mdp(seed, states=4)
    mdp.rewards.sub_(3)  # each step costs, so that an end is wanted also at gamma 1
    best = torch.full((4,), -torch.inf, dtype=torch.float64)
    for actions in itertools.product(range(3), repeat=3):
        policy = torch.eye(3, dtype=torch.float64)[[*actions, 0]]
        best = torch.maximum(best, state_values(mdp, policy, gamma))
    assert torch.allclose(optimal_values(mdp, gamma), best, rtol=0, atol=1e-11)


@pytest.mark.parametrize("gamma", [0.0, 0.9, 1.0])
def test_many_policies_at_once_are_each_as_alone(gamma):
    mdp, _ = random_mdp(3)
    logits = torch.randn(2, 4, 5, 3, generator=torch.Generator().manual_seed(0)).double()
    policies = logits.softmax(-1)
    for solve in SOLVERS:
        given = logits if solve is policy_gradient else policies
        alone = torch.stack([solve(mdp, one, gamma) for one in given.flatten(0, 1)])
        together = solve(mdp, given, gamma)
        assert together.shape[:2] == (2, 4)
        assert torch.allclose(together.flatten(0, 1), alone, rtol=1e-10, atol=1e-12)


def test_one_of_many_policies_without_end_is_a_slip():
    policies = torch.stack([corridor_policy(p) for p in (0.5, 0.0, 0.9)])
    with pytest.raises(SlipError, match="from state 0 this policy never ends"):
        state_values(short_corridor(), policies, 1.0)
    with pytest.raises(SlipError, match=r"policy must have the shape \(3, 4, 2\)"):
        state_values(short_corridor(), policies[..., :1], 1.0)


@pytest.mark.parametrize("right", [0.0, 1.0, 1e-20])
@pytest.mark.parametrize("solve", SOLVERS[:4])
def test_gamma_1_and_a_policy_without_end_is_a_slip(solve, right):
    with pytest.raises(SlipError, match=r"With gamma 1 .* never ends"):
        solve(short_corridor(), corridor_policy(right), 1)
    assert solve(short_corridor(), corridor_policy(right), 0.99).isfinite().all()


def test_a_trap_is_named_and_rounding_hides_nothing():
    mdp, policy = short_corridor(), corridor_policy(0.5).float()
    mdp.transitions[1, :, :] = torch.tensor([0.0, 1, 0, 0])  # state 1 keeps who enters
    policy[1] = torch.tensor([0.5, 0.4999999])
    with pytest.raises(SlipError, match=r"from state 0 .* never ends"):
        state_values(mdp, policy, 1)


def test_an_unlikely_end_is_an_end_and_endless_reward_has_no_best_value():
    mdp = short_corridor()
    assert objective(mdp, corridor_policy(1e-8), 1).item() == pytest.approx(-4e8, rel=1e-5)
    with pytest.raises(SlipError, match="did not settle"):
        optimal_values(mdp._replace(rewards=-mdp.rewards), 1)


GOOD = short_corridor()
UNEVEN, BELOW = GOOD.transitions.clone(), GOOD.transitions.clone()
UNEVEN[0, 0, 0] = 0.5
BELOW[0, 0, :2] = torch.tensor([2.0, -1.0])


@pytest.mark.parametrize(
    "changes, sentence",
    [
        (dict(transitions=GOOD.transitions[0]), r"transitions must have the shape \[S, A, S\]"),
        (dict(transitions=UNEVEN), "Each row of transitions .* reach from 0.5 to 1"),
        (dict(transitions=BELOW), "Each row of transitions .* smallest entry is -1"),
        (dict(rewards=GOOD.rewards[0]), "rewards must have the shape"),
        (dict(rewards=GOOD.rewards * math.nan), "rewards must be finite"),
        (dict(terminal=GOOD.terminal[:2]), "terminal must have the shape"),
        (dict(terminal=GOOD.terminal.double()), "terminal must hold True and False"),
        (dict(start=torch.ones(3)), "start must have the shape"),
        (dict(start=torch.tensor([0.5, 0.4, 0, 0])), "Each row of start"),
        (dict(start=torch.tensor([0.5, 0, 0, 0.5])), "start must be 0 in terminal states"),
    ],
)
def test_a_wrong_table_is_a_slip(changes, sentence):
    with pytest.raises(SlipError, match=sentence):
        optimal_values(GOOD._replace(**changes), 0.9)
    for solve in SOLVERS:
        with pytest.raises(SlipError, match=sentence):
            solve(GOOD._replace(**changes), corridor_policy(0.5), 0.9)


@pytest.mark.parametrize(
    "policy, gamma, sentence",
    [
        (torch.ones(4, 3) / 3, 0.9, "policy must have the shape"),
        (torch.ones(4, 2), 0.9, "Each row of policy .* sums reach from 2 to 2"),
        (torch.tensor([[1.5, -0.5]] * 4), 0.9, "Each row of policy"),
        (torch.full((4, 2), math.nan), 0.9, "Each row of policy"),
        *(
            (corridor_policy(0.5), gamma, "gamma must be a number from 0 to 1")
            for gamma in (-0.1, 1.1, math.nan, None)
        ),
    ],
)
def test_a_wrong_policy_or_discount_is_a_slip(policy, gamma, sentence):
    for solve in SOLVERS[:4]:
        with pytest.raises(SlipError, match=sentence):
            solve(GOOD, policy, gamma)
    if "gamma" in sentence:
        with pytest.raises(SlipError, match=sentence):
            optimal_values(GOOD, gamma)


class Sizes(TorchDispatchMode):
    """Notes how large each tensor is that is made while it is entered."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **kwargs or {})
        self.seen += [result.numel()] if isinstance(result, torch.Tensor) else []
        return result


def test_many_policies_make_no_table_of_transitions_each():
    k, s, a = 7, 11, 5
    policies = torch.full((k, s, a), 1 / a)
    ends = torch.zeros(s, dtype=torch.bool)
    table = MDP(torch.full((s, a, s), 1 / s), torch.ones(s, a, s), ends, torch.eye(s)[0])
    with Sizes() as sizes:
        action_values(table, policies, 0.9)
    assert k * s * s in sizes.seen and max(sizes.seen) < k * s * a * s
