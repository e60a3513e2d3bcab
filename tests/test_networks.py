"""helpers.networks: agents side by side against each agent alone, first weights, steps, clipping."""

import math

import numpy as np
import pytest
import torch

from helpers.errors import SlipError
from helpers.networks import Actor, Body, Critic, clip_gradients, make_optimiser, per_agent
from helpers.policies import Gaussian

AGENTS, FEATURES, ACTIONS = 3, 4, 2


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def draw(*shape, seed=0):
    return torch.randn(shape, generator=seeded(seed))


def plain(network):
    """The same network for one agent, built of PyTorch's own layers."""
    layers = []
    for layer in [*network.body, network.head]:
        if isinstance(layer, torch.nn.Tanh):
            layers.append(layer)
            continue
        linear = torch.nn.Linear(layer.weight.shape[1], layer.weight.shape[2])
        linear.weight.data, linear.bias.data = layer.weight[0].T, layer.bias[0, 0]
        layers.append(linear)
    return torch.nn.Sequential(*layers)


@pytest.mark.parametrize("hidden", [(16, 8), (5,), ()])
@pytest.mark.parametrize("lead", [(), (6,), (7, 6)])
def test_one_agent_is_an_ordinary_network(hidden, lead):
    states = draw(*lead, FEATURES)
    actor = Actor(FEATURES, ACTIONS, hidden=hidden, generator=seeded(1))
    critic = Critic(FEATURES, hidden=hidden, generator=seeded(2))
    assert actor(states).shape == (*lead, ACTIONS) and critic(states).shape == lead
    torch.testing.assert_close(actor(states), plain(actor)(states))
    torch.testing.assert_close(critic(states), plain(critic)(states).squeeze(-1))


@pytest.mark.parametrize(
    "make",
    [
        lambda **o: Actor(FEATURES, ACTIONS, **o),
        lambda **o: Actor(FEATURES, ACTIONS, policy=Gaussian, **o),
        lambda **o: Critic(FEATURES, **o),
    ],
)
def test_agents_side_by_side_are_the_agents_alone(make):
    many = make(hidden=(16, 8), agents=AGENTS, generator=seeded(3))
    with torch.no_grad():
        for parameter in many.parameters():
            parameter += draw(*parameter.shape, seed=1)
    states = draw(7, AGENTS, 6, FEATURES)
    together, step = many(states), many(states[0])
    assert together.shape[:3] == (7, AGENTS, 6)
    torch.testing.assert_close(step, together[0])
    torch.testing.assert_close(many(states[None])[0], together)
    for k in range(AGENTS):
        alone = many.agent(k)
        assert alone.agents is None
        torch.testing.assert_close(alone(states[:, k]), together[:, k])  # [T, B, F]
        torch.testing.assert_close(alone(states[0, k]), together[0, k])  # [B, F]
        torch.testing.assert_close(alone(states[0, k, 0]), together[0, k, 0])  # [F]
    assert not torch.allclose(many.agent(0)(states[:, 0]), many.agent(1)(states[:, 0]))


def test_the_gradient_of_one_agent_stays_with_it():
    many = Actor(FEATURES, ACTIONS, agents=AGENTS, generator=seeded(3))
    many(draw(7, AGENTS, 6, FEATURES))[:, 1].square().sum().backward()
    for parameter in many.parameters():
        assert parameter.grad[1].any() and not parameter.grad[[0, 2]].any()


def test_an_agent_taken_out_shares_no_memory():
    many = Actor(FEATURES, ACTIONS, agents=AGENTS, generator=seeded(3))
    before = [p.detach().clone() for p in many.parameters()]
    alone = many.agent(2)
    with torch.no_grad():
        for parameter in alone.parameters():
            parameter += 1
    assert all(torch.equal(p, was) for p, was in zip(many.parameters(), before))
    assert many.agents == AGENTS and many.body.agents == AGENTS
    again = Actor(FEATURES, ACTIONS, generator=seeded(3)).agent(0)  # one agent is agent 0
    assert again(draw(6, FEATURES)).shape == (6, ACTIONS)


@pytest.mark.parametrize("k", [-1, 3, 1.5, None])
def test_an_agent_that_is_not_there_gets_a_sentence(k):
    with pytest.raises(SlipError, match="knows k from 0 to 2"):
        Actor(FEATURES, ACTIONS, agents=AGENTS).agent(k)


@pytest.mark.parametrize("agents", [None, AGENTS])
@pytest.mark.parametrize("hidden", [(16, 8), ()])
def test_actor_and_critic_can_share_a_body(agents, hidden):
    body = Body(FEATURES, hidden=hidden, agents=agents, generator=seeded(4))
    actor, critic = Actor(FEATURES, ACTIONS, body=body), Critic(FEATURES, body=body)
    assert actor.body is body and critic.body is body and actor.agents == agents
    optimiser = make_optimiser(actor, critic, lr=0.1, critic_lr_scale=3)
    actors, own = (group["params"] for group in optimiser.param_groups)
    assert {id(p) for p in actors} == {id(p) for p in actor.parameters()}
    assert {id(p) for p in own} == {id(p) for p in critic.head.parameters()}
    states = draw(*(() if agents is None else (agents,)), 6, FEATURES)
    for k in range(agents or 1):  # an agent taken out has a body of its own
        mine = states if agents is None else states[k]
        whole = critic(states) if agents is None else critic(states)[k]
        alone = critic.agent(k)
        torch.testing.assert_close(alone(mine), whole)
        assert alone.body is not body


def test_separate_networks_make_two_groups_with_their_own_rates():
    actor, critic = Actor(FEATURES, ACTIONS), Critic(FEATURES)
    optimiser = make_optimiser(actor, critic, lr=0.1, critic_lr_scale=3)
    first, second = optimiser.param_groups
    assert first["params"] == list(actor.parameters())
    assert second["params"] == list(critic.parameters())
    for group, rate in ((first, 0.1), (second, 0.3)):
        assert group["lr"] == group["initial_lr"] == pytest.approx(rate)
    (only,) = make_optimiser(actor, lr=0.2).param_groups
    assert only["params"] == list(actor.parameters()) and only["lr"] == 0.2


def test_a_gaussian_actor_returns_means_and_log_stds_that_depend_on_no_state():
    actor = Actor(FEATURES, 2, policy=Gaussian, agents=AGENTS, generator=seeded(5))
    mean, log_std = actor(3 * draw(AGENTS, 100, FEATURES)).chunk(2, -1)
    assert mean.abs().max() < 0.2 and mean.std() > 0 and not log_std.any()
    with torch.no_grad():
        actor.head.log_std.copy_(torch.arange(AGENTS * 2).reshape(AGENTS, 1, 2))
    _, log_std = actor(draw(5, AGENTS, 7, FEATURES)).chunk(2, -1)
    expected = torch.arange(AGENTS * 2.0).reshape(AGENTS, 1, 2).expand(5, AGENTS, 7, 2)
    assert torch.equal(log_std, expected)


@pytest.mark.parametrize("policy", [{}, {"policy": Gaussian}])
def test_a_snapshot_is_the_network_as_it_was(policy):
    actor = Actor(FEATURES, ACTIONS, agents=AGENTS, generator=seeded(3), **policy)
    states = draw(AGENTS, 6, FEATURES)
    before, copied = actor(states), actor.snapshot()
    for mine, its in zip(actor.parameters(), copied.parameters(), strict=True):
        assert mine.data_ptr() != its.data_ptr() and its.requires_grad
    with torch.no_grad():
        for parameter in actor.parameters():
            parameter += 1
    assert torch.equal(copied(states), before) and not torch.equal(actor(states), before)
    assert copied.agent(1).body is not copied.body and copied.agents == AGENTS
    copied(states).sum().backward()
    assert all(p.grad is None for p in actor.parameters())


def test_each_agents_step_is_its_own_share_of_adams():
    """Against Adam of PyTorch on each agent's part alone, three steps, with a rate that falls."""
    rates = [0.3, 0.003, 0.1]
    actor = Actor(FEATURES, ACTIONS, agents=AGENTS, generator=seeded(9))
    alone = [actor.agent(k) for k in range(AGENTS)]
    theirs = [torch.optim.Adam(a.parameters(), lr=rate) for a, rate in zip(alone, rates)]
    ours = make_optimiser(actor, lr=rates)
    (group,) = ours.param_groups
    assert group["lr"] == group["initial_lr"] == 0.3
    for step in range(3):
        group["lr"] = 0.3 / (1 + step)
        for i, parameter in enumerate(actor.parameters()):
            parameter.grad = draw(*parameter.shape, seed=10 * step + i)
        ours.step()
        for k, (single, optimiser) in enumerate(zip(alone, theirs)):
            optimiser.param_groups[0]["lr"] = rates[k] / (1 + step)
            for mine, its in zip(actor.parameters(), single.parameters()):
                its.grad = mine.grad[[k]].clone()
            optimiser.step()
            for mine, its in zip(actor.parameters(), single.parameters()):
                torch.testing.assert_close(mine[[k]], its, atol=1e-6, rtol=1e-6)


def test_the_critics_rates_are_products():
    actor, critic = (
        make(agents=2) for make in (lambda **o: Actor(4, 2, **o), lambda **o: Critic(4, **o))
    )
    optimiser = make_optimiser(actor, critic, lr=[0.1, 0.2], critic_lr_scale=[4, 1])
    first, second = optimiser.param_groups
    assert first["lr"] == 0.2 and first["share"].flatten().tolist() == [0.5, 1]
    assert second["lr"] == pytest.approx(0.4) and second["share"].flatten().tolist() == [1, 0.5]
    equal = make_optimiser(actor, critic, lr=[0.1, 0.2], critic_lr_scale=[4, 2]).param_groups[1]
    assert equal["lr"] == pytest.approx(0.4) and equal["share"] is None
    still = make_optimiser(actor, critic, lr=[0.1, 0.2], critic_lr_scale=0).param_groups[1]
    assert still["lr"] == 0 and still["share"] is None


@pytest.mark.parametrize(
    "rates, sentence",
    [
        ({"lr": [0.1, 0.0]}, r"lr\[1\] must be a finite number above 0, but is 0.0"),
        ({"lr": 0}, "lr must be a finite number above 0, but is 0"),
        ({"lr": [0.1] * 3}, "lr holds 3 numbers, but the number of agents is 2"),
        ({"lr": 0.1, "critic_lr_scale": (1, -1)}, r"critic_lr_scale\[1\] must be .* at least 0"),
    ],
)
def test_wrong_learning_rates_get_a_sentence(rates, sentence):
    with pytest.raises(SlipError, match=sentence):
        make_optimiser(Actor(4, 2, agents=2), Critic(4, agents=2), **rates)


def test_a_number_for_all_or_one_for_each():
    def check(name, value):
        seen.append((name, value))

    for one in (0.5, np.float64(0.5), torch.tensor(0.5), [0.5, 0.5], np.array([0.5, 0.5])):
        seen = []
        assert per_agent("gamma", one, 2, check) == 0.5 and seen
    seen = []
    for two in ([0.5, 1], (0.5, 1), np.array([0.5, 1]), torch.tensor([0.5, 1])):
        rates = per_agent("gamma", two, 2, check)
        assert rates.dtype == torch.float64 and rates.tolist() == [0.5, 1]
        assert torch.equal(per_agent("gamma", rates, 2, check), rates)
    assert seen[:2] == [("gamma[0]", 0.5), ("gamma[1]", 1)]


def test_the_first_policy_is_nearly_uniform_and_the_first_values_are_not_all_0():
    states = 3 * draw(AGENTS, 100, FEATURES)
    policy = Actor(FEATURES, 4, agents=AGENTS, generator=seeded(5))(states).softmax(-1)
    assert (policy - 0.25).abs().max() < 0.01
    assert Critic(FEATURES, agents=AGENTS, generator=seeded(5))(states).std() > 0.1


def test_the_first_weights_are_orthogonal_and_the_biases_0():
    body = Body(FEATURES, hidden=(16, 16), agents=AGENTS, generator=seeded(6))
    for weight in body[2].weight:
        torch.testing.assert_close(weight @ weight.T, 2 * torch.eye(16), atol=1e-5, rtol=0)
    assert not body[2].bias.any() and len({weight[0, 0].item() for weight in body[2].weight}) == 3


def test_the_same_generator_gives_the_same_weights():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    one, same, other = (Actor(FEATURES, ACTIONS, agents=2, generator=seeded(s)) for s in (7, 7, 8))
    assert torch.equal(torch.get_rng_state(), state)
    for a, b in zip(one.parameters(), same.parameters()):
        assert torch.equal(a, b)
    assert not torch.equal(one.head.weight, other.head.weight)


def gradients(optimiser):
    return [p.grad for group in optimiser.param_groups for p in group["params"]]


def test_clipping_shortens_each_agents_whole_gradient_alone():
    actor = Actor(FEATURES, ACTIONS, agents=AGENTS, generator=seeded(9))
    critic = Critic(FEATURES, agents=AGENTS, generator=seeded(9))
    optimiser = make_optimiser(actor, critic, lr=0.1)
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    size = torch.tensor([1e-3, 1.0, 100.0])[:, None, None]
    for i, parameter in enumerate(parameters):
        parameter.grad = size * draw(*parameter.shape, seed=i)
    before = [p.grad.clone() for p in parameters]
    norms = [torch.cat([g[k].flatten() for g in before]).norm() for k in range(AGENTS)]
    assert norms[0] < 0.5 < norms[1]
    clip_gradients(optimiser, 0.5)
    for k, norm in enumerate(norms):
        scale = min(1.0, 0.5 / norm)
        for was, now in zip(before, gradients(optimiser)):
            torch.testing.assert_close(now[k], was[k] * scale, rtol=1e-5, atol=0)
    clip_gradients(optimiser, math.inf)  # no clipping at all
    assert torch.cat([g[2].flatten() for g in gradients(optimiser)]).norm().item() == pytest.approx(
        0.5
    )


@pytest.mark.parametrize(
    "agents, shape, sentence",
    [
        (None, (5,), r"reads states of 4 numbers, .* yours has the shape \(5,\)"),
        (None, (), "reads states of 4 numbers"),
        (None, (4, 6), r"yours has the shape \(4, 6\)"),
        (AGENTS, (3, 6, 5), "reads states of 4 numbers"),
        (AGENTS, (6, 4), r"holds 3 agents, so its input must be \[..., 3, states, 4\]"),
        (AGENTS, (4,), "holds 3 agents"),
        (AGENTS, (6, 3, 4), r"holds 3 agents.* yours has the shape \(6, 3, 4\)"),
    ],
)
def test_a_state_of_the_wrong_shape_gets_a_sentence(agents, shape, sentence):
    for network in (Actor(FEATURES, ACTIONS, agents=agents), Critic(FEATURES, agents=agents)):
        with pytest.raises(SlipError, match=sentence):
            network(torch.zeros(shape))


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: Actor(0, 2), "the width of a layer must be"),
        (lambda: Actor(4, 2, hidden=(8, 0)), "the width of a layer must be"),
        (lambda: Actor(4, 0), "the number of outputs must be"),
        (lambda: Actor(4, 2, agents=0), "agents must be"),
        (lambda: Critic(4, agents=1.5), "agents must be"),
        (lambda: Actor(4, 2, hidden=64), r"as \(64, 64\) or \(\), but is 64"),
    ],
)
def test_a_network_of_no_size_gets_a_sentence(make, sentence):
    with pytest.raises(SlipError, match=sentence):
        make()


def test_a_body_for_other_states_is_refused():
    with pytest.raises(SlipError, match="The body reads states of 4 numbers, but state_dim is 3"):
        Actor(3, 2, body=Body(4))


@pytest.mark.parametrize(
    "states", [np.zeros((5, 4), np.float32), [[0.0] * 4], torch.zeros(5, 4).double()]
)
def test_states_are_tensors_of_the_networks_kind(states):
    with pytest.raises(
        SlipError, match=r"hand it torch\.as_tensor\(states, dtype=torch\.float32\)"
    ):
        Actor(4, 2)(states)
