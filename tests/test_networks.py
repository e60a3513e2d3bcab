"""helpers.networks: agents side by side against each agent alone, first weights, steps, clipping."""

import math

import numpy as np
import pytest
import torch
from random_states import seeded

from helpers.errors import SlipError
from helpers.networks import Actor, Body, Critic, clip_gradients, make_optimiser, per_agent
from helpers.policies import Gaussian

AGENTS, FEATURES, ACTIONS = 3, 4, 2


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
    policy = Actor(FEATURES, ACTIONS, hidden=hidden, generator=seeded(1))
    judge = Critic(FEATURES, hidden=hidden, generator=seeded(2))
    assert policy(states).shape == (*lead, ACTIONS) and judge(states).shape == lead
    torch.testing.assert_close(policy(states), plain(policy)(states))
    torch.testing.assert_close(judge(states), plain(judge)(states).squeeze(-1))


def an_actor(**options):
    return Actor(FEATURES, ACTIONS, **options)


def a_gaussian(**options):
    return Actor(FEATURES, ACTIONS, policy=Gaussian, **options)


def a_critic(**options):
    return Critic(FEATURES, **options)


@pytest.mark.parametrize("make", [an_actor, a_gaussian, a_critic])
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
        torch.testing.assert_close(alone.agent(0)(states[0, k]), together[0, k])
        with torch.no_grad():
            for parameter in alone.parameters():  # which shares no memory
                parameter += 1
    assert torch.equal(many(states), together) and many.agents == many.body.agents == AGENTS
    assert not torch.allclose(many.agent(0)(states[:, 0]), many.agent(1)(states[:, 0]))


def test_the_gradient_of_one_agent_stays_with_it():
    many = an_actor(agents=AGENTS, generator=seeded(3))
    many(draw(7, AGENTS, 6, FEATURES))[:, 1].square().sum().backward()
    for parameter in many.parameters():
        assert parameter.grad[1].any() and not parameter.grad[[0, 2]].any()


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


@pytest.mark.parametrize("make", [an_actor, a_gaussian])
def test_a_snapshot_is_the_network_as_it_was(make):
    network = make(agents=AGENTS, generator=seeded(3))
    states = draw(AGENTS, 6, FEATURES)
    before, copied = network(states), network.snapshot()
    assert all(its.requires_grad for its in copied.parameters())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 1
    assert torch.equal(copied(states), before) and not torch.equal(network(states), before)
    assert copied.agent(1).body is not copied.body and copied.agents == AGENTS
    copied(states).sum().backward()
    assert all(p.grad is None for p in network.parameters())


def test_the_critics_rates_are_products():
    two, judge, lr = an_actor(agents=2), a_critic(agents=2), [0.1, 0.2]
    first, second = make_optimiser(two, judge, lr=lr, critic_lr_scale=[4, 1]).param_groups
    assert first["lr"] == 0.2 and first["share"].flatten().tolist() == [0.5, 1]
    assert second["lr"] == pytest.approx(0.4) and second["share"].flatten().tolist() == [1, 0.5]
    for scale, rate in (([4, 2], 0.4), (0, 0)):
        second = make_optimiser(two, judge, lr=lr, critic_lr_scale=scale).param_groups[1]
        assert second["lr"] == pytest.approx(rate) and second["share"] is None
    with pytest.raises(SlipError, match=r"lr\[1\] must be a finite number above 0, but is 0.0"):
        make_optimiser(two, judge, lr=[0.1, 0.0])
    with pytest.raises(SlipError, match=r"critic_lr_scale\[1\] must be .* at least 0"):
        make_optimiser(two, judge, lr=0.1, critic_lr_scale=(1, -1))


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


def test_the_first_weights(unchanged_globals):
    """Orthogonal, with biases of 0; the policy nearly uniform, the values not all 0."""
    with unchanged_globals():
        one, same, other = (an_actor(agents=2, generator=seeded(s)) for s in (7, 7, 8))
    assert all(map(torch.equal, one.parameters(), same.parameters()))
    assert not torch.equal(one.head.weight, other.head.weight)
    _, _, layer, _ = Body(FEATURES, hidden=(16, 16), agents=AGENTS, generator=seeded(6))
    for weight in layer.weight:
        torch.testing.assert_close(weight @ weight.T, 2 * torch.eye(16), atol=1e-5, rtol=0)
    assert not layer.bias.any() and len({weight[0, 0].item() for weight in layer.weight}) == 3
    states = 3 * draw(AGENTS, 100, FEATURES)
    policy = Actor(FEATURES, 4, agents=AGENTS, generator=seeded(5))(states).softmax(-1)
    assert (policy - 0.25).abs().max() < 0.01
    assert a_critic(agents=AGENTS, generator=seeded(5))(states).std() > 0.1


def test_clipping_shortens_each_agents_whole_gradient_alone():
    networks = [make(agents=AGENTS, generator=seeded(9)) for make in (an_actor, a_critic)]
    optimiser = make_optimiser(*networks, lr=0.1)
    parameters = [p for network in networks for p in network.parameters()]
    size = torch.tensor([1e-3, 1.0, 100.0])[:, None, None]
    for i, parameter in enumerate(parameters):
        parameter.grad = size * draw(*parameter.shape, seed=i)
    before = [p.grad.clone() for p in parameters]
    norms = [torch.cat([g[k].flatten() for g in before]).norm() for k in range(AGENTS)]
    assert norms[0] < 0.5 < norms[1]
    clip_gradients(optimiser, 0.5)
    for _ in range(2):  # once more without any clipping at all
        for k, norm in enumerate(norms):
            for was, now in zip(before, parameters):
                scale = min(1.0, 0.5 / norm)
                torch.testing.assert_close(now.grad[k], was[k] * scale, rtol=1e-5, atol=0)
        clip_gradients(optimiser, math.inf)


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
        (lambda: Actor(3, 2, body=Body(4)), "reads states of 4 numbers, but state_dim is 3"),
        (lambda: an_actor()([[0.0] * 4]), r"hand it torch\.as_tensor\(states, dtype="),
        (lambda: an_actor()(torch.zeros(5, 4).double()), r"dtype=torch\.float32\)"),
        (lambda: an_actor(agents=AGENTS).agent(-1), "knows k from 0 to 2"),
        (lambda: an_actor(agents=AGENTS).agent(3), "knows k from 0 to 2"),
        (lambda: an_actor(agents=AGENTS).agent(None), "knows k from 0 to 2"),
    ],
)
def test_networks_that_make_no_sense_and_other_states_get_a_sentence(make, sentence):
    with pytest.raises(SlipError, match=sentence):
        make()
