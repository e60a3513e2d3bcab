"""helpers.training: gradients against computations from scratch and exact ones, agents side by side
against each alone, the same numbers twice, and that it learns."""

import copy
import inspect
import itertools
import math
import threading

import gymnasium
import numpy as np
import pytest
import torch
from torch.distributions import Categorical

from helpers import losses, networks, training
from helpers.envs.corridor import OBSERVATIONS, short_corridor
from helpers.envs.gridworld import coordinates, grid
from helpers.envs.tabular import TabularVectorEnv
from helpers.errors import SlipError
from helpers.exact import MDP, objective, policy_gradient
from helpers.networks import Actor, Critic, make_optimiser
from helpers.rollout import Rollout, collect, make_envs
from helpers.training import CARTPOLE, Progress, a2c, a2c_update, evaluate, reinforce

SMALL = {  # seconds matter here, learning does not
    a2c: {"total_steps": 400, "envs": 4, "rollout_steps": 10},
    reinforce: {"updates": 5, "envs": 4},
}
BOTH = pytest.mark.parametrize("train", SMALL, ids=lambda f: f.__name__)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def run(train, env_id="CartPole-v1", **options):
    return list(train(env_id, **{**SMALL[train], **options}))


def numbers(progress):
    """Everything in a Progress as one vector, the weights included."""
    parts = [torch.tensor([progress.steps, progress.fraction]), *progress[2:6]]
    return torch.cat([*parts, *(p.detach().flatten() for p in progress.actor.parameters())])


def same(one, other):
    """Bit for bit the same numbers."""
    return torch.equal(one.nan_to_num(nan=7e7), other.nan_to_num(nan=7e7))


# ---- What is yielded


@BOTH
def test_progress_tells_how_it_stands_after_each_update(train):
    generator = train("CartPole-v1", agents=3, seed=1, **SMALL[train])
    assert inspect.isgenerator(generator)
    items = list(generator)
    count = 10 if train is a2c else 5
    assert len(items) == count
    assert [item.fraction for item in items] == [(i + 1) / count for i in range(count)]
    for item in items:
        assert isinstance(item, Progress) and isinstance(item.actor, Actor)
        assert all(x.shape == (3,) and not x.requires_grad for x in item[2:6])
        assert item.actor.agents == 3 and item.actor(torch.zeros(3, 1, 4)).shape == (3, 1, 2)
        assert ((item.entropy > 0) & (item.entropy <= math.log(2) + 1e-6)).all()
        assert item.policy_loss.isfinite().all()
        assert (item.value_loss.isfinite() if train is a2c else item.value_loss.isnan()).all()
    steps = [item.steps for item in items]
    assert sorted(set(steps)) == steps
    assert steps == [40 * (i + 1) for i in range(10)] if train is a2c else steps[0] > 4 * 8
    assert items[-1].recent_returns.isfinite().all()


def test_steps_are_rounded_up_to_whole_updates():
    assert [item.steps for item in run(a2c, total_steps=81)] == [40, 80, 120]


def test_recent_returns_are_the_mean_of_the_last_50_episodes(monkeypatch):
    seen = []

    def recorded(*args, **options):
        for rollout in collect(*args, **options):
            seen.append(rollout)
            yield rollout

    monkeypatch.setattr(training, "collect", recorded)
    episodes = [[], []]
    totals = np.zeros((2, 4))
    for item in a2c("CartPole-v1", agents=2, envs=4, rollout_steps=25, total_steps=2500, seed=3):
        rewards, terminated, truncated = (x.numpy() for x in seen[-1][2:5])
        for t, k, b in np.ndindex(rewards.shape):
            totals[k, b] += rewards[t, k, b]
            if terminated[t, k, b] or truncated[t, k, b]:
                episodes[k].append(totals[k, b])
                totals[k, b] = 0
        for k, returns in enumerate(episodes):
            mean = np.mean(returns[-50:]) if returns else np.nan
            np.testing.assert_allclose(item.recent_returns[k], mean, rtol=1e-6)
    assert min(len(returns) for returns in episodes) > 60


@BOTH
def test_later_updates_do_not_touch_a_snapshot(train):
    generator = train("CartPole-v1", agents=2, **SMALL[train])
    first = next(generator)
    before = numbers(first)
    *_, last = generator
    assert torch.equal(before.nan_to_num(), numbers(first).nan_to_num())
    assert not torch.equal(first.actor.head.weight, last.actor.head.weight)


def test_a_run_can_be_left_at_any_time():
    generator = a2c("CartPole-v1", total_steps=10**9)
    next(generator)
    generator.close()
    assert list(generator) == []


def progress(*, recent=(20.0, 30.0), loss=(0.1, 0.1), entropy=(0.5, 0.5)):
    recent, loss, entropy = (torch.tensor(x) for x in (recent, loss, entropy))
    return Progress(1, 0.5, recent, loss, loss, entropy, None, 0)


@pytest.mark.parametrize(
    "item, sentence",
    [
        (progress(), "Mean return of recent training episodes: 25.0."),
        (progress(recent=(math.nan, 30.0)), "episodes: 30.0."),
        (progress(recent=(math.nan, math.nan)), "No episode has ended yet."),
        (progress(loss=(0.1, math.nan)), "the loss of 1 of 2 agents is no longer a number"),
        (
            progress(loss=(0.1, math.nan)),
            "The others' mean return of recent training episodes: 20.0.",
        ),
        (
            progress(entropy=(1e-4, 0.5)),
            "The others' mean return of recent training episodes: 30.0.",
        ),
        (progress(entropy=(1e-4, 0.0)), "policy of 2 of 2 agents has become deterministic"),
        (
            progress(recent=(9.0,), loss=(0.1,), entropy=(0.0,)),
            "The policy of the agent has become",
        ),
    ],
)
def test_the_state_of_things_in_words(item, sentence):
    assert sentence in item.words()


def test_what_went_wrong_is_told_of_each_agent_once():
    item = progress(
        recent=(9.0, 9.0, 40.0), loss=(0.1, math.nan, 0.1), entropy=(0.0, math.nan, 0.5)
    )
    words = item.words()
    assert words.count("1 of 3 agents") == 2 and words.endswith(
        "The others' mean return of recent training episodes: 40.0."
    )
    assert "mean" not in progress(loss=(math.nan, math.nan)).words()


@pytest.mark.parametrize("agents", [1, 3])
def test_episodes_are_counted_for_each_agent(agents):
    ended = [item.episodes for item in reinforce("CartPole-v1", agents=agents, updates=3, envs=4)]
    assert ended == [4, 8, 12]


# ---- The same numbers twice


@BOTH
def test_a_seed_fixes_every_number_also_while_another_run_trains(train):
    alone = [numbers(item) for item in run(train, seed=5, agents=2)]
    stop = threading.Event()

    def disturb():
        for _ in itertools.takewhile(lambda _: not stop.is_set(), a2c("CartPole-v1", seed=9)):
            pass

    other = threading.Thread(target=disturb)
    other.start()
    try:
        again = [numbers(item) for item in run(train, seed=np.int64(5), agents=2)]
    finally:
        stop.set()
        other.join()
    assert all(map(same, alone, again))
    different = [numbers(item) for item in run(train, seed=6, agents=2)]
    assert not same(alone[0], different[0])


@BOTH
def test_global_random_states_stay_as_they_are(train, unchanged_globals):
    for env_id in ("CartPole-v1", "GridWorld-v0", "Acrobot-v1"):
        with unchanged_globals():
            generator = train(env_id, **SMALL[train])
            evaluate(next(generator).actor, env_id, episodes=2)


# ---- Gradients


@pytest.fixture
def captured(monkeypatch):
    """(parameters, gradients, learning rates) of each update, before clipping and the step."""
    updates = []

    def capture(optimiser, max_norm):
        groups = optimiser.param_groups
        parameters = [p for group in groups for p in group["params"]]
        weights = [p.detach().clone() for p in parameters]
        gradients = [p.grad.clone() for p in parameters]
        updates.append((weights, gradients, [group["lr"] for group in groups]))
        networks.clip_gradients(optimiser, max_norm)

    monkeypatch.setattr(training, "clip_gradients", capture)
    return updates


@pytest.fixture
def played(monkeypatch):
    """The Rollout of each call of play_episodes."""
    rollouts, play = [], training.play_episodes

    def recorded(*args, **options):
        rollouts.append(play(*args, **options))
        return rollouts[-1]

    monkeypatch.setattr(training, "play_episodes", recorded)
    return rollouts


def record(env_id, actor, *, envs, steps, seed=0):
    vector = make_envs(env_id, (actor.agents or 1) * envs)
    rollouts = collect(vector, actor, steps=steps, seed=seed, generator=seeded(seed))
    next(rollouts)  # from the second on, some environments reset in the first row
    return next(rollouts)


def slice_agent(rollout, k):
    return Rollout(*(field[:, k] for field in rollout))


def sums_from_the_back(rollout, values, gamma, lam, reward_scale):
    """GAE advantages and their returns, one environment of one agent at a time, in Python floats."""
    advantages = torch.zeros(rollout.rewards.shape, dtype=torch.float64)
    for b in range(rollout.rewards.shape[1]):
        following = 0.0
        for t in reversed(range(len(rollout.rewards))):
            if not rollout.valid[t, b]:
                following = 0.0
                continue
            terminated, truncated = rollout.terminated[t, b], rollout.truncated[t, b]
            after = 0.0 if terminated else values[t + 1, b].item()
            delta = (
                reward_scale * rollout.rewards[t, b].item() + gamma * after - values[t, b].item()
            )
            following = delta + (0.0 if terminated or truncated else gamma * lam * following)
            advantages[t, b] = following
    return advantages, advantages + values[:-1].double()


def loss_from_scratch(actor, critic, rollout, advantages, returns, *, entropy_coef, value_coef):
    """Minus mean of A log pi, minus entropy, plus half the squared error, over the valid rows."""
    total, count = 0.0, 0
    for t, b in torch.nonzero(rollout.valid).tolist():
        state = rollout.observations[t, b]
        policy = Categorical(logits=actor(state))
        total = total - advantages[t, b] * policy.log_prob(rollout.actions[t, b])
        total = total - entropy_coef * policy.entropy()
        if critic is not None:
            total = total + value_coef * (critic(state) - returns[t, b]) ** 2 / 2
        count += 1
    return total / count


def standardised(advantages, valid):
    chosen = advantages[valid]
    return (advantages - chosen.mean()) / chosen.std(correction=0)


@pytest.mark.parametrize(
    "env_id, reward_scale", [("CartPole-v1", 1.0), ("CartPole-v1", 0.1), ("GridWorld-v0", 1.0)]
)
@pytest.mark.parametrize("normalise_advantages", [False, True])
def test_a2c_gradient_is_the_one_computed_from_scratch(
    captured, env_id, reward_scale, normalise_advantages
):
    state_dim, action_dim = (4, 2) if env_id == "CartPole-v1" else (2, 4)
    actor = Actor(state_dim, action_dim, hidden=(8,), agents=2, generator=seeded(1))
    critic = Critic(state_dim, hidden=(8,), agents=2, generator=seeded(2))
    with torch.no_grad():
        actor.head.weight *= 100  # away from the uniform policy
    rollout = record(env_id, actor, envs=5, steps=40)
    before = [(actor.agent(k), critic.agent(k)) for k in range(2)]
    coefficients = {"entropy_coef": 0.02, "value_coef": 0.7}
    policy, value, entropy = a2c_update(
        actor,
        critic,
        make_optimiser(actor, critic, lr=0.1),
        rollout,
        gamma=0.9,
        lam=0.8,
        reward_scale=reward_scale,
        max_grad_norm=0.5,
        normalise_advantages=normalise_advantages,
        **coefficients,
    )
    _, gradients, _ = captured[0]
    for k, (alone, judge) in enumerate(before):
        mine = slice_agent(rollout, k)
        assert (~mine.valid).any() or env_id == "GridWorld-v0"
        values = judge(mine.observations).detach()
        advantages, returns = sums_from_the_back(mine, values, 0.9, 0.8, reward_scale)
        if normalise_advantages:
            advantages = standardised(advantages, mine.valid)
        loss = loss_from_scratch(alone, judge, mine, advantages, returns, **coefficients)
        loss.backward()
        expected = [p.grad[0] for p in (*alone.parameters(), *judge.parameters())]
        for gradient, wanted in zip(gradients, expected):
            torch.testing.assert_close(gradient[k], wanted, atol=1e-5, rtol=1e-3)
        together = policy[k] - 0.02 * entropy[k] + 0.7 * value[k]
        torch.testing.assert_close(together, loss.detach().float(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("baseline", [False, True])
def test_reinforce_gradient_is_the_one_computed_from_scratch(captured, played, baseline):
    """The whole first update of reinforce: returns to go of whole episodes, minus V as baseline."""
    options = {"gamma": 0.9, "reward_scale": 0.1, "entropy_coef": 0.02, "baseline": baseline}
    run(reinforce, updates=1, agents=2, envs=3, hidden=(8,), **options)
    weights, gradients, _ = captured[0]
    actor, critic = Actor(4, 2, hidden=(8,), agents=2), Critic(4, hidden=(8,), agents=2)
    parameters = [*actor.parameters(), *(critic.parameters() if baseline else ())]
    with torch.no_grad():
        for parameter, weight in zip(parameters, weights, strict=True):
            parameter.copy_(weight)
    for k in range(2):
        alone, judge = actor.agent(k), critic.agent(k) if baseline else None
        mine = slice_agent(played[0], k)
        returns = torch.zeros(mine.rewards.shape)
        for t, b in torch.nonzero(mine.valid).tolist():
            length = int(mine.valid[:, b].sum())
            returns[t, b] = sum(0.9 ** (j - t) * 0.1 for j in range(t, length))  # CartPole pays 1
        advantages = returns - judge(mine.observations[:-1]).detach() if baseline else returns
        loss = loss_from_scratch(
            alone, judge, mine, advantages, returns, entropy_coef=0.02, value_coef=0.5
        )
        loss.backward()
        expected = [*alone.parameters(), *(judge.parameters() if baseline else ())]
        for gradient, wanted in zip(gradients, expected, strict=True):
            torch.testing.assert_close(gradient[k], wanted.grad[0], atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize(
    "env_id, agents, mdp, seen, length",
    [
        ("ShortCorridor-v0", 200, short_corridor(), OBSERVATIONS, lambda returns: -returns),
        ("GridWorld-v0", 60, grid(), coordinates(), lambda returns: 1 + (1 - returns) / 0.01),
    ],
    ids=["corridor", "grid"],
)
def test_reinforce_gradient_is_the_exact_one_on_average(
    captured, env_id, agents, mdp, seen, length
):
    """A linear policy, many agents of 50 episodes each, gamma 1: a z-test of every weight.

    The loss is a mean over time steps. Times the mean length it is a mean over episodes, whose
    expectation the theorem gives; the length follows from the return, since each step costs alike.
    """
    seen = torch.as_tensor(seen, dtype=torch.float64)
    (item,) = run(
        reinforce, env_id, agents=agents, envs=50, updates=1, gamma=1.0, hidden=(), seed=4
    )
    (weight, bias), gradients, _ = captured[0]
    estimates = [-g.double() * length(item.recent_returns)[:, None, None] for g in gradients]
    exact = ([], [])
    for k in range(agents):
        table = policy_gradient(mdp, seen @ weight[k].double() + bias[k].double(), 1.0)
        exact[0].append(seen.T @ table)
        exact[1].append(table.sum(0, keepdim=True))
    for estimate, wanted in zip(estimates, map(torch.stack, exact)):
        difference = estimate - wanted
        error = difference.std(0) / agents**0.5
        assert (difference.mean(0).abs() < 3.5 * error).all()
        assert (wanted.mean(0).abs() > 5 * error).any()  # the test could tell it from 0


def test_each_update_of_reinforce_plays_new_episodes(played):
    run(reinforce, updates=2, seed=5)
    one, other = (rollout.observations[0] for rollout in played)
    assert (one != other).all()


def test_the_learning_rate_falls_linearly_to_0(captured):
    run(a2c, total_steps=160, lr=0.1, critic_lr_scale=3.0, lr_decay=True)
    rates = [rates for _, _, rates in captured]
    np.testing.assert_allclose(rates, [[0.1 * f, 0.3 * f] for f in (1, 0.75, 0.5, 0.25)])
    captured.clear()
    run(a2c, total_steps=160, lr=0.1)
    assert all(rates == [0.1, 0.1] for _, _, rates in captured)


# ---- Agents side by side

UPDATE = {
    "gamma": 0.99,
    "lam": 0.95,
    "entropy_coef": 0.01,
    "value_coef": 0.5,
    "max_grad_norm": 0.5,
    "normalise_advantages": True,
}


def make_agents(agents, shared_body):
    options = {"hidden": (16,), "agents": agents, "generator": seeded(7)}
    actor = Actor(4, 2, **options)
    critic = Critic(4, **options, body=actor.body if shared_body else None)
    return actor, critic, make_optimiser(actor, critic, lr=0.01, critic_lr_scale=2.0)


def take_agent(actor, critic, k):
    alone, judge = actor.agent(k), critic.agent(k)
    if critic.body is actor.body:
        judge.body = alone.body
    return alone, judge, make_optimiser(alone, judge, lr=0.01, critic_lr_scale=2.0)


def largest_difference(*, shared_body=False, agents=8, updates=5, **options):
    """Eight agents learn from rollouts that each alone then learns from; largest gap of a weight.

    The rewards of agent k are multiplied by 2^(k - 4): some gradients are clipped, others not.
    """
    actor, critic, optimiser = make_agents(agents, shared_body)
    singles = [take_agent(actor, critic, k) for k in range(agents)]
    vector = make_envs("CartPole-v1", agents * 4)
    rollouts = collect(vector, actor, steps=24, seed=8, generator=seeded(8))
    scale = 2.0 ** (torch.arange(agents) - 4)
    for rollout in itertools.islice(rollouts, updates):
        rollout = rollout._replace(rewards=rollout.rewards * scale[:, None])
        options = {**UPDATE, **options}
        losses_together = a2c_update(actor, critic, optimiser, rollout, **options)
        for k, (alone, judge, own) in enumerate(singles):
            losses_alone = a2c_update(alone, judge, own, slice_agent(rollout, k), **options)
            assert all(x.shape == () for x in losses_alone)
            assert all(x.shape == (agents,) for x in losses_together)
    gaps = [
        (together[k] - single[0]).abs().max().item()
        for k, (alone, judge, _) in enumerate(singles)
        for network, own in ((actor, alone), (critic, judge))
        for together, single in zip(network.parameters(), own.parameters())
    ]
    return max(gaps)


@pytest.mark.parametrize("shared_body", [False, True])
@pytest.mark.parametrize("normalise_advantages", [False, True])
def test_eight_agents_side_by_side_learn_what_each_learns_alone(shared_body, normalise_advantages):
    gap = largest_difference(shared_body=shared_body, normalise_advantages=normalise_advantages)
    assert gap < 2e-6


def clip_by_a_common_norm(optimiser, max_norm):
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    torch.nn.utils.clip_grad_norm_(parameters, max_norm)


def normalise_over_all_agents(advantages, valid):
    return losses.normalise(advantages.flatten(1), valid.flatten(1)).reshape(advantages.shape)


@pytest.mark.parametrize(
    "name, leak",
    [
        ("clip_gradients", clip_by_a_common_norm),
        ("normalise", normalise_over_all_agents),
    ],
)
def test_the_comparison_notices_a_leak_between_agents(monkeypatch, name, leak):
    monkeypatch.setattr(training, name, leak)
    assert largest_difference(agents=4) > 1e-4


def test_an_agent_that_diverges_leaves_the_others_alone():
    actor, critic, optimiser = make_agents(3, False)
    other, judge = copy.deepcopy(actor), copy.deepcopy(critic)
    own = make_optimiser(other, judge, lr=0.01, critic_lr_scale=2.0)
    rollout = record("CartPole-v1", actor, envs=4, steps=24)
    poison = rollout.rewards.clone()
    poison[5, 1, 2] = math.nan
    a2c_update(actor, critic, optimiser, rollout._replace(rewards=poison), **UPDATE)
    a2c_update(other, judge, own, rollout, **UPDATE)
    for bad, good in zip(
        (*actor.parameters(), *critic.parameters()), (*other.parameters(), *judge.parameters())
    ):
        assert torch.equal(bad[[0, 2]], good[[0, 2]]) and bad[1].isnan().any()


# ---- Truncation


def leave_or_stay():
    """Action 0 stays and pays .1, for ever; action 1 leaves, pays .4, and all is over."""
    transitions = torch.zeros(2, 2, 2)
    transitions[0, 0, 0] = transitions[0, 1, 1] = transitions[1, :, 1] = 1
    rewards = torch.tensor([0.1, 0.4])[None, :, None].expand(2, 2, 2)
    return MDP(transitions, rewards, torch.tensor([False, True]), torch.tensor([1.0, 0.0]))


def stay_vector(num_envs, max_episode_steps=None):
    seen = np.ones((2, 1), np.float32)
    return TabularVectorEnv(num_envs, leave_or_stay(), seen, max_episode_steps=max_episode_steps)


gymnasium.register("Stay-v0", vector_entry_point=stay_vector, max_episode_steps=2)


def test_a_truncated_episode_bootstraps_and_a_terminated_one_does_not():
    """At gamma .9 staying is worth 1 and leaving .4; but the time limit cuts after two steps.

    Taken for terminations, the cuts leave .19 for staying. Bootstrapped, terminations make leaving
    worth .4 + .9 V.
    """
    options = {"gamma": 0.9, "lr": 0.02, "critic_lr_scale": 5.0, "hidden": (8,), "envs": 16}
    *_, last = a2c("Stay-v0", agents=4, seed=2, total_steps=16 * 5 * 100, **options)
    assert (last.actor(torch.ones(4, 1, 1)).softmax(-1)[..., 0] > 0.9).all()


# ---- Learning and judging


def test_a2c_solves_cartpole():
    """Eight agents, a seed that was not used for tuning; solved as the README defines it."""
    *_, last = a2c("CartPole-v1", agents=8, seed=2024, **CARTPOLE)
    returns = evaluate(last.actor, "CartPole-v1", episodes=100, seed=2025)
    assert returns.shape == (8, 100)
    assert (returns.mean(1) >= 475).sum() >= 7


def test_reinforce_learns_cartpole():
    *_, last = reinforce("CartPole-v1", agents=4, envs=8, updates=20, seed=11)
    assert last.recent_returns.mean() > 100  # random play lasts 22 steps


def test_evaluate_agrees_with_the_exact_value_of_each_agent():
    actor = Actor(2, 4, hidden=(8,), agents=2, generator=seeded(12))
    with torch.no_grad():
        actor.head.weight *= 60
        actor.head.bias[0, 0, :2] += 1  # agent 0 tends up and right
    returns = evaluate(actor, "GridWorld-v0", episodes=1000, seed=13).double()
    assert returns.shape == (2, 1000)
    seen, exact = torch.as_tensor(coordinates()), []
    for k in range(2):
        policy = actor.agent(k)(seen).softmax(-1).detach()
        exact.append(objective(grid(), policy, 1).item())
        error = returns[k].std().item() / 1000**0.5
        assert abs(returns[k].mean().item() - exact[k]) < 3.5 * error
    assert abs(exact[0] - exact[1]) > 0.1


def test_evaluate_takes_a_single_agent_and_repeats_itself():
    actor = Actor(4, 2, generator=seeded(14))
    before = [p.clone() for p in actor.parameters()]
    one, again, other = (evaluate(actor, "CartPole-v1", episodes=5, seed=s) for s in (1, 1, 2))
    assert one.shape == (1, 5) and not one.requires_grad
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert all(torch.equal(p, was) for p, was in zip(actor.parameters(), before))


@BOTH
def test_options_of_the_environment_reach_it(train):
    """On a grid where each step pays 2, an agent's returns are even numbers."""
    options = {"size": 2, "step_reward": 2.0, "goal_reward": 2.0}
    *_, last = run(train, "GridWorld-v0", env_options=options)
    returns = evaluate(last.actor, "GridWorld-v0", env_options=options, episodes=50, seed=1)
    assert (returns >= 4).all() and (returns % 2 == 0).all()
    with pytest.raises(SlipError, match=r"env_options do not fit GridWorld-v0: .*'sise'"):
        next(train("GridWorld-v0", env_options={"sise": 2}))


# ---- Bad input


@BOTH
@pytest.mark.parametrize("gamma", [1.1, -0.1, "a", math.nan, None])
def test_a_wrong_gamma_gets_a_sentence(train, gamma):
    with pytest.raises(SlipError, match="gamma must be a number from 0 to 1, but is"):
        run(train, gamma=gamma)


@BOTH
@pytest.mark.parametrize("name", ["lr", "max_grad_norm"])
@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan, "fast"])
def test_a_wrong_size_of_step_gets_a_sentence(train, name, value):
    with pytest.raises(SlipError, match=f"{name} must be a finite number above 0, but is"):
        run(train, **{name: value})


@BOTH
@pytest.mark.parametrize(
    "name, value",
    [("agents", 0), ("agents", 1.5), ("agents", True), ("seed", -1), ("seed", 0.5), ("envs", 0)],
)
def test_a_wrong_count_gets_a_sentence(train, name, value):
    with pytest.raises(SlipError, match=f"{name} must be a whole number of at least"):
        run(train, **{name: value})


@pytest.mark.parametrize(
    "train, options, sentence",
    [
        (a2c, {"lam": 1.5}, "lam must be a number from 0 to 1"),
        (a2c, {"total_steps": 0}, "total_steps must be a whole number"),
        (a2c, {"rollout_steps": 0}, "rollout_steps must be a whole number"),
        (a2c, {"hidden": (0,)}, "the width of a layer must be a whole number"),
        (reinforce, {"updates": 0}, "updates must be a whole number"),
    ],
)
def test_other_wrong_options_get_a_sentence(train, options, sentence):
    with pytest.raises(SlipError, match=sentence):
        run(train, **options)


@BOTH
def test_an_environment_that_does_not_fit_gets_a_sentence(train):
    with pytest.raises(SlipError, match="Gymnasium knows no environment 'CartPol-v1'"):
        run(train, "CartPol-v1")
    with pytest.raises(SlipError, match="Pendulum-v1 does not fit"):
        run(train, "Pendulum-v1")


@pytest.mark.parametrize("options", [{"episodes": 0}, {"episodes": 2.5}, {"seed": -1}])
def test_evaluate_refuses_wrong_counts(options):
    with pytest.raises(SlipError, match="must be a whole number of at least"):
        evaluate(Actor(4, 2), "CartPole-v1", **options)


def test_evaluate_refuses_an_actor_of_another_environment():
    with pytest.raises(SlipError, match="This network reads states of 4 numbers"):
        evaluate(Actor(4, 2), "GridWorld-v0", episodes=1)


@BOTH
@pytest.mark.parametrize("gamma", [0, 1])
@pytest.mark.parametrize("lr", [1e-12, 1.0, 1e30])
def test_every_legal_setting_runs_to_its_end(train, gamma, lr):
    *_, last = run(train, gamma=gamma, lr=lr, agents=2)
    assert last.fraction == 1 and isinstance(last.words(), str)


@pytest.mark.parametrize("name", ["entropy_coef", "value_coef", "critic_lr_scale"])
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, "0.1", None, True])
@BOTH
def test_coefficients_are_not_negative(train, name, value):
    with pytest.raises(SlipError, match=f"{name} must be a finite number of at least 0, but is"):
        next(train("CartPole-v1", **{name: value}))


@pytest.mark.parametrize("name", ["reward_scale", "lr"])
@pytest.mark.parametrize("value", [0, -1.0, math.nan, "1", True])
@BOTH
def test_scales_are_above_0(train, name, value):
    with pytest.raises(SlipError, match=f"{name} must be a finite number above 0, but is"):
        next(train("CartPole-v1", **{name: value}))


def test_a_truth_is_no_discount():
    with pytest.raises(SlipError, match="gamma must be a number from 0 to 1, but is True"):
        next(a2c("CartPole-v1", gamma=True))


def test_layers_have_a_largest_width():
    with pytest.raises(SlipError, match="at most 10000 units here, not 1000000000"):
        next(a2c("CartPole-v1", hidden=(10**9, 10**9)))


def test_evaluate_invents_no_numbers():
    actor = Actor(4, 2, agents=3, generator=torch.Generator().manual_seed(0))
    right = evaluate(actor, "CartPole-v1", episodes=5)
    with torch.no_grad():
        actor.head.weight[1, 0, 0] = torch.nan
        actor.body[0].bias[2, 0, 0] = torch.inf
    returns = evaluate(actor, "CartPole-v1", episodes=5)
    assert returns[1:].isnan().all() and returns[0].isfinite().all() and right.isfinite().all()
    for wrong in (Critic(4), lambda states: states, None):
        with pytest.raises(SlipError, match="evaluate needs an Actor, but got"):
            evaluate(wrong, "CartPole-v1")
    with pytest.raises(SlipError, match="what the actor returns must have the shape"):
        evaluate(Actor(4, 3), "CartPole-v1")


@BOTH
def test_environments_are_closed_however_a_run_ends(train, monkeypatch):
    made, closed = [], []

    def make(*arguments, **options):
        made.append(envs := make_envs(*arguments, **options))
        monkeypatch.setattr(envs, "close", lambda: closed.append(envs))
        return envs

    monkeypatch.setattr(training, "make_envs", make)
    run(train)
    generator = train("CartPole-v1", **SMALL[train])
    next(generator)
    generator.close()
    with pytest.raises(SlipError, match="widths"):
        next(train("CartPole-v1", hidden=64))
    assert len(made) == 3 and closed == made
