"""PPO: an update against a computation from scratch and against A2C's, agents side by side against
each alone, what is refused, and that it learns. All compared updates are of one recorded rollout, in
float64."""

import inspect
import math

import pytest
import torch
from random_states import seeded
from test_training import distribution, of_agent, slice_agent, sums_from_the_back

import helpers  # noqa: F401  (registers the environments)
from helpers import updates
from helpers.errors import SlipError
from helpers.loop import make_learner
from helpers.networks import Actor, make_optimiser
from helpers.policies import Gaussian
from helpers.rollout import Rollout, collect, make_envs
from helpers.training import PPO_CARTPOLE, PPO_PENDULUM, a2c, evaluate, ppo
from helpers.updates import a2c_update, ppo_update

AGENTS, ENVS, STEPS = 3, 4, 60
ON_BOTH = pytest.mark.parametrize("env_id", ["CartPole-v1", "course/Pendulum-v1"])
OWN = {  # one an agent
    "gamma": [0.9, 0.99, 0.5],
    "lam": [0.95, 0.5, 1.0],
    "clip": [0.05, 0.1, 0.02],
    "entropy_coef": [0.0, 0.1, 0.01],
}
PASSES = {"epochs": 3, "minibatches": 4}
SMALL = {"total_steps": 320, "envs": 4, "rollout_steps": 40, "epochs": 2, "hidden": (8,)}


def recorded(env_id, agents=AGENTS):
    """(actor, critic, rollout), with an episode's end and a row that only resets in it."""
    vector = make_envs(env_id, (agents or 1) * ENVS)
    options = {"agents": agents, "generator": seeded(7), "lr": 0.01, "hidden": (16,)}
    actor, critic, _ = make_learner(vector, **options)
    played = next(collect(vector, actor, steps=230, seed=0, generator=seeded(0)))
    later = Rollout(played.observations[-STEPS - 1 :], *(field[-STEPS:] for field in played[1:]))
    assert (later.terminated | later.truncated).any() and not later.valid.all()
    floats = (x.double() if x.is_floating_point() else x for x in later)
    return actor.double(), critic.double(), Rollout(*floats)


def updated(update, actor, critic, rollout, **options):
    """The networks' numbers and gradients after one update of copies, and what it returned."""
    actor, critic = actor.snapshot(), critic.snapshot()
    optimiser = make_optimiser(actor, critic, lr=0.01, critic_lr_scale=2.0)
    told = update(actor, critic, optimiser, rollout, **options)
    parameters = [*actor.parameters(), *critic.parameters()]
    agents = actor.agents or 1
    weights = [p.detach().reshape(agents, -1) for p in parameters]
    slopes = [p.grad.reshape(agents, -1) for p in parameters]
    return torch.cat(weights, 1), torch.cat(slopes, 1), told


def alone(k, actor, critic, rollout):
    return actor.agent(k), critic.agent(k), slice_agent(rollout, k)


def test_the_defaults_are_those_of_the_algorithm():
    given = {**updates._learn.__kwdefaults__, **ppo_update.__kwdefaults__}
    assert given == {name: ppo.__kwdefaults__[name] for name in given}


# ---- One update


def from_scratch(
    actor, critic, optimiser, rollout, *, generator, gamma, lam, clip, epochs, minibatches,
    entropy_coef, value_coef=0.5, max_grad_norm=0.5,
):  # fmt: skip
    """For one agent: torch.distributions, sums in loops, and the valid rows alone."""
    valid = rollout.valid.flatten()
    states, actions = rollout.observations[:-1].flatten(0, 1), rollout.actions.flatten(0, 1)
    values = critic(rollout.observations).detach()
    advantages = sums_from_the_back(rollout, values, gamma, lam, reward_scale=1.0)
    targets = (advantages + values[:-1]).flatten()
    advantages = advantages.flatten()
    kept = advantages[valid]
    advantages = (advantages - kept.mean()) / (kept.std(correction=0) + 1e-8)
    old = distribution(actor, states).log_prob(actions).detach()
    for _ in range(epochs):
        told = []
        for rows in torch.randperm(len(valid), generator=generator).tensor_split(minibatches):
            rows = rows[valid[rows]]
            policy = distribution(actor, states[rows])
            ratios = (policy.log_prob(actions[rows]) - old[rows]).exp()
            low, high = ratios.clamp(min=1 - clip), ratios.clamp(max=1 + clip)
            bounded = torch.where(advantages[rows] > 0, high, low)
            loss = -(bounded * advantages[rows]).mean()
            value = ((critic(states[rows]) - targets[rows]) ** 2).mean() / 2
            entropy = policy.entropy().mean()
            optimiser.zero_grad()
            (loss + value_coef * value - entropy_coef * entropy).backward()
            everything = [*actor.parameters(), *critic.parameters()]
            torch.nn.utils.clip_grad_norm_(everything, max_grad_norm)
            optimiser.step()
            outside = (ratios > 1 + clip) | (ratios < 1 - clip)
            told.append(torch.stack([loss, value, entropy, outside.double().mean()]).detach())
    return tuple(torch.stack(told).mean(0))


@ON_BOTH
def test_an_update_from_scratch_and_agents_side_by_side(env_id):
    """Each of three agents, with numbers of its own, is held against the other program alone."""
    actor, critic, rollout = recorded(env_id)
    options = {**OWN, **PASSES}
    networks = actor, critic, rollout
    weights, _, told = updated(ppo_update, *networks, generator=seeded(3), **options)
    assert all(x.shape == (AGENTS,) for x in told) and (told[3] > 0.01).all()
    for k in range(AGENTS):
        for update in (from_scratch, ppo_update):
            own = {"generator": seeded(3), **of_agent(k, options)}
            expected, _, numbers = updated(update, *alone(k, *networks), **own)
            torch.testing.assert_close(weights[k], expected[0], rtol=0, atol=1e-6)
            mine = torch.stack([x[k] for x in told])
            torch.testing.assert_close(mine, torch.stack(numbers).flatten(), rtol=0, atol=1e-6)


@ON_BOTH
@pytest.mark.parametrize("normalised", [True, False])
def test_one_pass_over_the_whole_rollout_is_a2c(env_id, normalised):
    networks = recorded(env_id)
    options = {"gamma": 0.97, "lam": 0.9, "entropy_coef": 0.01, "max_grad_norm": math.inf}
    options["normalise_advantages"] = normalised
    once = {"generator": seeded(0), "epochs": 1, "minibatches": 1}
    weights, slopes, told = updated(ppo_update, *networks, **once, **options)
    expected, other_slopes, others = updated(a2c_update, *networks, **options)
    torch.testing.assert_close(slopes, other_slopes, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(weights, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(told[1:3], others[1:])
    assert (told[3] == 0).all()  # every ratio is 1
    if not normalised:  # -mean A log pi against -mean A: as losses they differ
        assert not torch.allclose(told[0], others[0])


@ON_BOTH
def test_one_agent_without_an_axis(env_id):
    networks = recorded(env_id, agents=None)
    options = {"gamma": 0.9, "lam": 0.9, "clip": 0.1, "entropy_coef": 0.01, **PASSES}
    weights, _, told = updated(ppo_update, *networks, generator=seeded(1), **options)
    expected, _, numbers = updated(from_scratch, *networks, generator=seeded(1), **options)
    torch.testing.assert_close(weights, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(told, numbers)


def test_what_stands_in_rows_that_only_reset_does_not_matter():
    actor, critic, rollout = recorded("CartPole-v1")
    valid = rollout.valid
    dirty = rollout._replace(
        actions=torch.where(valid, rollout.actions, 1 - rollout.actions),
        rewards=torch.where(valid, rollout.rewards, -99.0),
    )
    first, second = (
        updated(ppo_update, actor, critic, played, generator=seeded(2), **PASSES)[0]
        for played in (rollout, dirty)
    )
    assert torch.equal(first, second)


def test_the_generator_deals_the_steps_out():
    networks = recorded("CartPole-v1")
    results = [
        updated(ppo_update, *networks, generator=seeded(seed), **PASSES)[0] for seed in (1, 1, 2)
    ]
    assert torch.equal(results[0], results[1]) and not torch.allclose(results[0], results[2])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"minibatches": ENVS * STEPS + 1}, "240 steps of an agent, too few for 241 minibatches"),
        ({"minibatches": 0}, "minibatches must be a whole number of at least 1"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1"),
        ({"clip": 0.0}, "clip must be above 0"),
        ({"clip": [0.1, 0.2, 1.5]}, r"clip\[2\] must be a number from 0 to 1, but is 1.5"),
        ({"clip": [0.1, 0.2]}, "clip holds 2 numbers, but the number of agents is 3"),
    ],
)
def test_what_an_update_refuses(options, sentence):
    with pytest.raises(SlipError, match=sentence):
        updated(ppo_update, *recorded("CartPole-v1"), generator=seeded(0), **options)


# ---- The algorithm


@ON_BOTH
def test_progress_and_the_same_numbers_twice(env_id, unchanged_globals):
    with unchanged_globals():
        runs = [list(ppo(env_id, agents=2, seed=4, clip=[0.2, 1e-3], **SMALL)) for _ in range(2)]
    assert inspect.isgeneratorfunction(ppo) and [item.steps for item in runs[0]] == [160, 320]
    for item, again in zip(*runs):
        assert all(x.shape == (2,) and x.isfinite().all() for x in (*item[3:6], item.clipped))
        assert torch.equal(item.clipped, again.clipped) and item.clipped[0] < item.clipped[1]
        for one, other in zip(item.actor.parameters(), again.actor.parameters()):
            assert torch.equal(one, other)
    (other,) = a2c("CartPole-v1", agents=2, total_steps=40)
    assert other.clipped.shape == (2,) and other.clipped.isnan().all()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"clip": 0}, "clip must be above 0"),
        ({"clip": 1.01}, "clip must be a number from 0 to 1"),
        ({"clip": math.nan}, "clip must be a number from 0 to 1"),
        ({"envs": 2, "rollout_steps": 3, "minibatches": 7}, "6 steps of an agent, too few for 7"),
        ({"epochs": 1.5}, "epochs must be a whole number"),
        ({"lam": 2}, "lam must be a number from 0 to 1"),
        ({"rollout_steps": 0}, "rollout_steps must be a whole number"),
        ({"total_steps": 0}, "total_steps must be a whole number"),
    ],
)
def test_what_is_refused_at_the_first_step(options, sentence):
    with pytest.raises(SlipError, match=sentence):
        next(ppo("CartPole-v1", **options))


def test_a_clip_of_1_and_more_minibatches_than_environments_are_fine():
    (item,) = ppo("CartPole-v1", envs=1, rollout_steps=16, total_steps=16, clip=1, minibatches=16)
    assert item.policy_loss.isfinite().all()


def test_it_learns_cartpole():
    *_, last = ppo("CartPole-v1", agents=8, seed=0, **PPO_CARTPOLE)
    returns = evaluate(last.actor, "CartPole-v1", seed=1).mean(1)
    assert (returns >= 475).sum() >= 7


@pytest.mark.hardening
def test_it_learns_to_swing_up():
    """A random policy earns about -1200, one that hangs still about -1500."""
    *_, last = ppo("course/Pendulum-v1", agents=2, seed=0, **PPO_PENDULUM)
    returns = evaluate(last.actor, "course/Pendulum-v1", episodes=20, seed=1, greedy=True).mean(1)
    assert (returns > -400).all()


# ---- Without the dice


def test_greedy_takes_the_likeliest_action_or_the_mean():
    choice, gaussian = Actor(4, 2, hidden=()), Actor(3, 1, hidden=(), policy=Gaussian)
    for actor in (choice, gaussian):
        torch.nn.init.zeros_(actor.head.weight)
    choice.head.bias.data = torch.tensor([[[0.0, 0.1]]])
    gaussian.head.bias.data = torch.tensor([[[0.7]]])
    for env_id, actor, action in (
        ("CartPole-v1", choice, 1),
        ("course/Pendulum-v1", gaussian, 0.7),
    ):
        options = {"steps": 30, "seed": 0, "generator": seeded(0)}
        greedy = next(collect(make_envs(env_id, 4), actor, **options, greedy=True))
        drawn = next(collect(make_envs(env_id, 4), actor, **options))
        expected = torch.full_like(greedy.actions, action)
        assert torch.equal(greedy.actions, expected) and not torch.equal(drawn.actions, expected)
    returns = evaluate(choice, "CartPole-v1", episodes=50, greedy=True)
    assert returns.max() <= 11 < evaluate(choice, "CartPole-v1", episodes=50).max()
