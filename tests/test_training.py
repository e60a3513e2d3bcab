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
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch.distributions import Categorical, Independent, Normal

import helpers.rollout
from helpers import losses, networks, training, updates
from helpers.envs.corridor import OBSERVATIONS, short_corridor
from helpers.envs.gridworld import coordinates, grid
from helpers.envs.tabular import TabularVectorEnv
from helpers.errors import SlipError
from helpers.exact import MDP, objective, policy_gradient
from helpers.loop import Learner, make_learner
from helpers.loop import run as loop
from helpers.networks import Actor, Critic, make_optimiser
from helpers.policies import Choice, Gaussian
from helpers.rollout import Rollout, collect, collect_episodes, make_envs
from helpers.training import CARTPOLE, Progress, a2c, evaluate, reinforce
from helpers.updates import a2c_update, reinforce_update

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
    seen = []

    def capture(optimiser, max_norm):
        groups = optimiser.param_groups
        parameters = [p for group in groups for p in group["params"]]
        weights = [p.detach().clone() for p in parameters]
        gradients = [p.grad.clone() for p in parameters]
        seen.append((weights, gradients, [group["lr"] for group in groups]))
        networks.clip_gradients(optimiser, max_norm)

    monkeypatch.setattr(updates, "clip_gradients", capture)
    return seen


@pytest.fixture
def played(monkeypatch):
    """The Rollout of each call of play_episodes."""
    rollouts, play = [], helpers.rollout.play_episodes

    def recorded(*args, **options):
        rollouts.append(play(*args, **options))
        return rollouts[-1]

    monkeypatch.setattr(helpers.rollout, "play_episodes", recorded)
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


def distribution(actor, state):
    """The policy in one state, as PyTorch's own."""
    if actor.policy is Choice:
        return Categorical(logits=actor(state))
    mean, log_std = actor(state).chunk(2)
    return Independent(Normal(mean, log_std.exp()), 1)


def loss_from_scratch(actor, critic, rollout, advantages, returns, *, entropy_coef, value_coef):
    """Minus mean of A log pi, minus entropy, plus half the squared error, over the valid rows."""
    total, count = 0.0, 0
    for t, b in torch.nonzero(rollout.valid).tolist():
        state = rollout.observations[t, b]
        policy = distribution(actor, state)
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
    "env_id, reward_scale",
    [("CartPole-v1", 1.0), ("CartPole-v1", 0.1), ("GridWorld-v0", 1.0), ("Pendulum-v1", 0.1)],
)
@pytest.mark.parametrize("normalise_advantages", [False, True])
def test_a2c_gradient_is_the_one_computed_from_scratch(
    captured, env_id, reward_scale, normalise_advantages
):
    options = {"hidden": (8,), "agents": 2, "lr": 0.1}
    actor, critic, optimiser = make_learner(make_envs(env_id, 2), generator=seeded(1), **options)
    with torch.no_grad():
        actor.head.weight *= 100  # away from the uniform policy
        if env_id == "Pendulum-v1":
            actor.head.log_std.copy_(torch.tensor([-1.0, 0.5])[:, None, None])
    rollout = record(env_id, actor, envs=5, steps=40)
    before = [(actor.agent(k), critic.agent(k)) for k in range(2)]
    coefficients = {"entropy_coef": 0.02, "value_coef": 0.7}
    policy, value, entropy = a2c_update(
        actor,
        critic,
        optimiser,
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
        assert (~mine.valid).any() or env_id != "CartPole-v1"
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


def test_the_steps_of_reinforce_are_those_of_its_episodes(played):
    """CartPole pays 1 a step, so the mean length of an agent's episodes is their mean return."""
    items = run(reinforce, agents=2, updates=3, seed=5)
    lengths = [int(rollout.rewards.sum()) // 2 for rollout in played]
    assert [item.steps for item in items] == list(itertools.accumulate(lengths))


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


STEP = {"lr": 0.01, "critic_lr_scale": 2.0}


def make_agents(vector, agents, shared_body, **step):
    options = {"hidden": (16,), "agents": agents, "generator": seeded(7)}
    return make_learner(vector, shared_body=shared_body, **options, **step)


def take_agent(actor, critic, k, **step):
    alone, judge = actor.agent(k), critic.agent(k)
    if critic.body is actor.body:
        judge.body = alone.body
    return alone, judge, make_optimiser(alone, judge, **step)


def of_agent(k, options):
    return {name: value[k] if isinstance(value, list) else value for name, value in options.items()}


def largest_difference(
    env_id="CartPole-v1",
    *,
    shared_body=False,
    agents=8,
    updates=5,
    update=a2c_update,
    step=STEP,
    **options,
):
    """Eight agents learn from rollouts that each alone then learns from; largest gap of a weight.

    The rewards of agent k are multiplied by 2^(k - 4): some gradients are clipped, others not. A list
    in step or options holds one number for each agent.
    """
    vector = make_envs(env_id, agents * 4)
    actor, critic, optimiser = make_agents(vector, agents, shared_body, **step)
    singles = [take_agent(actor, critic, k, **of_agent(k, step)) for k in range(agents)]
    acting = {"seed": 8, "generator": seeded(8)}
    whole, options = update is reinforce_update, {**UPDATE, **options}
    if whole:
        options.pop("lam")
    play = collect_episodes(vector, actor, **acting)
    rollouts = play if whole else collect(vector, actor, steps=24, **acting)
    scale = 2.0 ** (torch.arange(agents) - 4)
    for rollout in itertools.islice(rollouts, updates):
        rollout = rollout._replace(rewards=rollout.rewards * scale[:, None])
        losses_together = update(actor, critic, optimiser, rollout, **options)
        for k, (alone, judge, own) in enumerate(singles):
            mine = of_agent(k, options)
            losses_alone = update(alone, judge, own, slice_agent(rollout, k), **mine)
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
@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_eight_agents_side_by_side_learn_what_each_learns_alone(
    env_id, shared_body, normalise_advantages
):
    options = {"shared_body": shared_body, "normalise_advantages": normalise_advantages}
    assert largest_difference(env_id, **options) < 2e-6


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
    monkeypatch.setattr(updates, name, leak)
    assert largest_difference(agents=4) > 1e-4


def test_an_agent_that_diverges_leaves_the_others_alone():
    actor, critic, optimiser = make_agents(make_envs("CartPole-v1", 3), 3, False, **STEP)
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


# ---- Rates of one's own

MIXED = {  # agent k has the k-th of each
    "gamma": [0.0, 0.5, 0.9, 0.99, 1.0, 0.99, 0.9, 0.99],
    "lam": [1.0, 0.0, 0.9, 0.5, 0.95, 0.95, 0.0, 1.0],
    "entropy_coef": [0.0, 0.5, 0.01, 0.0, 0.1, 0.02, 0.3, 0.0],
}
MIXED_STEP = {
    "lr": [0.001, 0.02, 0.01, 0.02, 1e-5, 0.003, 0.01, 0.02],
    "critic_lr_scale": [1.0, 0.0, 5.0, 1.0, 2.0, 0.1, 1.0, 2.0],
}


@pytest.mark.parametrize("shared_body", [False, True])
@pytest.mark.parametrize("mixed", [*MIXED, *MIXED_STEP, "all"])
def test_an_agent_with_rates_of_its_own_learns_as_it_would_alone(mixed, shared_body):
    rates = {name: values for name, values in MIXED.items() if mixed in (name, "all")}
    steps = {name: values for name, values in MIXED_STEP.items() if mixed in (name, "all")}
    gap = largest_difference(step={**STEP, **steps}, shared_body=shared_body, **rates)
    assert gap < 4e-6


def test_so_does_one_of_reinforce_with_a_baseline():
    rates = {name: MIXED[name] for name in ("gamma", "entropy_coef")}
    assert largest_difference(update=reinforce_update, step=MIXED_STEP, **rates) < 4e-6


def mean_for_all(name, value, agents, check):
    return sum(value) / agents if isinstance(value, list) else value


def in_another_order(name, value, agents, check):
    value = value[::-1] if isinstance(value, list) else value
    return networks.per_agent(name, value, agents, check)


@pytest.mark.parametrize(
    "module, name, leak",
    [
        (updates, "per_agent", mean_for_all),
        (networks, "per_agent", mean_for_all),
        (networks.AgentAdam, "step", torch.optim.Adam.step),
        (updates, "per_agent", in_another_order),
        (torch, "lerp", lambda old, new, share, out: out.copy_(old + (new - old) * share.mean())),
    ],
)
def test_the_comparison_notices_a_rate_that_goes_astray(monkeypatch, module, name, leak):
    monkeypatch.setattr(module, name, leak)
    rates = {rate: values[:4] for rate, values in MIXED.items()}
    step = {rate: values[:4] for rate, values in MIXED_STEP.items()}
    assert largest_difference(agents=4, step=step, **rates) > 1e-4


ONE = {"gamma": 0.9, "lr": 0.02, "critic_lr_scale": 2.0, "entropy_coef": 0.01}


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor])
@BOTH
def test_as_many_equal_numbers_are_one_number_bit_for_bit(train, kind):
    one = run(train, agents=3, **ONE)
    many = run(train, agents=3, **{name: kind([value] * 3) for name, value in ONE.items()})
    if kind is torch.tensor:  # which rounds them to 32 bits
        one = run(train, agents=3, **{n: torch.tensor(value).item() for n, value in ONE.items()})
    assert all(map(same, map(numbers, one), map(numbers, many)))


@BOTH
def test_each_rate_reaches_its_agent_and_falls_with_the_others(train):
    """The first update's step of Adam is its rate times a sign, the critic's times its scale too."""
    rates = {"lr": (0.02, 1e-9, 0.005), "lr_decay": True}
    before = next(run_of(train, lr=1e-12)).actor
    items = list(run_of(train, **rates))
    for parameter, was in zip(items[0].actor.parameters(), before.parameters()):
        step = (parameter - was).detach().abs().amax((1, 2))
        np.testing.assert_allclose(step, [0.02, 1e-9, 0.005], rtol=0.02, atol=1e-7)
    ends = [
        [a - b for a, b in zip(i.actor.parameters(), j.actor.parameters())]
        for i, j in (items[-2:], items[:2])
    ]
    late, early = (max(d[0].abs().max() for d in change) for change in ends)
    assert 0 < late < early / 2


def run_of(train, **options):
    return train("CartPole-v1", agents=3, seed=4, hidden=(8,), **SMALL[train], **options)


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"gamma": [0.9, 0.9]}, "gamma holds 2 numbers, but the number of agents is 3: give one"),
        ({"lr": np.ones(4)}, "lr holds 4 numbers, but the number of agents is 3"),
        ({"lr": []}, "lr holds 0 numbers"),
        ({"gamma": [0.9, 1.5, 0.9]}, r"gamma\[1\] must be a number from 0 to 1, but is 1.5"),
        ({"gamma": torch.tensor([0.5, 0.5, math.nan])}, r"gamma\[2\] must be a number from 0 to 1"),
        ({"lr": (0.1, 0, 0.1)}, r"lr\[1\] must be a finite number above 0, but is 0"),
        ({"lr": ["fast"] * 3}, r"lr\[0\] must be a finite number above 0, but is 'fast'"),
        ({"lr": np.ones((3, 1))}, r"lr\[0\] must be a finite number above 0, but is \[1.0\]"),
        ({"entropy_coef": [0, 0, -1]}, r"entropy_coef\[2\] must be a finite number of at least 0"),
        ({"critic_lr_scale": [0, -1, 1]}, r"critic_lr_scale\[1\] must be a finite number of at"),
        ({"max_grad_norm": [1, 1, 1]}, r"max_grad_norm must be a finite number above 0, but is \["),
    ],
)
@BOTH
def test_rates_without_sense_get_a_sentence_that_names_which(train, options, sentence):
    with pytest.raises(SlipError, match=sentence):
        run(train, agents=3, **options)


def test_a_wrong_lambda_of_one_agent_is_named():
    with pytest.raises(SlipError, match=r"lam\[0\] must be a number from 0 to 1, but is 2"):
        run(a2c, agents=2, lam=[2, 1])


def test_an_update_checks_its_rates_too():
    actor, critic, optimiser = make_agents(make_envs("CartPole-v1", 3), 3, False, **STEP)
    rollout = record("CartPole-v1", actor, envs=2, steps=4)
    with pytest.raises(SlipError, match="gamma holds 2 numbers"):
        a2c_update(actor, critic, optimiser, rollout, gamma=[0.9, 0.8])
    with pytest.raises(SlipError, match=r"entropy_coef\[0\] must be"):
        a2c_update(actor, critic, optimiser, rollout, entropy_coef=[-1, 0, 0])


# ---- The loop


def test_a_lesson_can_bring_its_own_learner_environments_and_update():
    """What a2c does, put together by hand; then the grown-up agent goes on elsewhere."""
    options = {"agents": 2, "hidden": (8,), "lr": 0.01}
    settings = {"total_steps": 400, "envs": 4, "rollout_steps": 10, "gamma": 0.9}
    generator, vector = seeded(6), make_envs("CartPole-v1", 2 * 4)
    learner = make_learner(vector, generator=generator, **options)
    rollouts = collect(vector, learner.actor, steps=10, seed=6, generator=generator)
    seen = []

    def update(actor, critic, optimiser, rollout):
        seen.append(rollout)
        return a2c_update(actor, critic, optimiser, rollout, gamma=0.9)

    ours = list(loop(learner, rollouts, update, updates=10))
    theirs = list(a2c("CartPole-v1", seed=6, **options, **settings))
    assert all(map(same, map(numbers, ours), map(numbers, theirs))) and len(seen) == 10
    assert torch.equal(ours[-1].actor.head.weight, learner.actor.head.weight)
    before = learner.actor.snapshot()
    again = list(loop(learner, seen, update, updates=3))  # any iterable of rollouts
    assert [item.steps for item in again] == [40, 80, 120] and len(seen) == 13
    assert not torch.equal(before.head.weight, learner.actor.head.weight)


def test_the_loop_serves_one_agent_without_an_axis_and_an_update_that_returns_nothing():
    actor, critic = Actor(4, 2, generator=seeded(0)), Critic(4, generator=seeded(1))
    learner = Learner(actor, critic, make_optimiser(actor, critic, lr=0.01))
    rollouts = [record("CartPole-v1", actor, envs=8, steps=30, seed=s) for s in range(2)]
    for item in loop(learner, rollouts, a2c_update, updates=5):
        assert all(x.shape == (1,) for x in item[2:6]) and item[2:6][1].isfinite().all()
        assert item.recent_returns.isfinite().all() and item.episodes > 0
    assert item.steps == 2 * 240 and item.fraction == 2 / 5
    (item,) = loop(learner, rollouts, lambda *_: None, updates=1)
    assert item.policy_loss.isnan().all() and item.recent_returns.isfinite().all()


def test_only_the_decay_touches_the_learning_rates():
    actor, critic, optimiser = make_agents(make_envs("CartPole-v1", 3), 3, False, **STEP)
    rollouts = [record("CartPole-v1", actor, envs=2, steps=4)] * 2
    learner = Learner(actor, critic, optimiser)
    for group in optimiser.param_groups:
        group["lr"] /= 10
    list(loop(learner, rollouts, a2c_update, updates=2))
    assert [group["lr"] for group in optimiser.param_groups] == [0.001, 0.002]
    list(loop(learner, rollouts, a2c_update, updates=2, lr_decay=True))
    assert [group["lr"] for group in optimiser.param_groups] == [0.005, 0.01]


def test_the_defaults_of_an_update_are_those_of_its_algorithm(monkeypatch):
    for train, update in ((a2c, a2c_update), (reinforce, reinforce_update)):
        given = {**update.__kwdefaults__, **updates._learn.__kwdefaults__}
        assert given == {name: train.__kwdefaults__[name] for name in given}


# ---- Numbers for actions


class Aim(VectorEnv):
    """One step an episode: in state s, -1 or 1, a number a pays -(a - s / 2)^2."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, num_envs, max_episode_steps=None):
        self.num_envs = num_envs
        self.single_observation_space, self.single_action_space = Box(-1, 1, (1,)), Box(-2, 2, (1,))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.states = self.np_random.choice([-1.0, 1.0], self.num_envs)
        self.over = np.zeros(self.num_envs, bool)
        return self.states[:, None].astype(np.float32), {}

    def step(self, actions):
        assert self.action_space.contains(actions)
        rewards = np.where(self.over, 0, -((actions[:, 0] - self.states / 2) ** 2))
        self.states = np.where(
            self.over, self.np_random.choice([-1, 1], self.num_envs), self.states
        )
        self.over = ~self.over
        never = np.zeros(self.num_envs, bool)
        return self.states[:, None].astype(np.float32), rewards, self.over.copy(), never, {}


gymnasium.register("Aim-v0", vector_entry_point=Aim)


@pytest.mark.parametrize("train", [a2c, reinforce])
def test_the_best_number_is_found(train):
    """The best mean is s / 2 and the best standard deviation 0: a return of 0."""
    length = {a2c: {"total_steps": 32 * 8 * 200, "rollout_steps": 8}, reinforce: {"updates": 80}}
    options = {"envs": 32, "hidden": (), "lr": 0.05, "lr_decay": True, **length[train]}
    if train is reinforce:
        options["baseline"] = True
    *_, last = train("Aim-v0", agents=4, seed=3, **options)
    mean, log_std = last.actor(torch.tensor([[-1.0], [1.0]]).expand(4, 2, 1)).chunk(2, -1)
    torch.testing.assert_close(
        mean[..., 0], torch.tensor([[-0.5, 0.5]]).expand(4, 2), atol=0.1, rtol=0
    )
    assert (log_std < -1.5).all()
    assert evaluate(last.actor, "Aim-v0", episodes=100, seed=1).mean() > -0.05
    assert last.entropy.max() < 0 and "deterministic" not in last.words()


def test_a_gaussian_is_deterministic_below_another_entropy():
    actor = Actor(3, 2, policy=Gaussian)
    exact = Independent(Normal(torch.zeros(2), 1e-3), 1).entropy()
    item = progress(entropy=(exact.item() - 0.01, exact.item() + 0.01))._replace(actor=actor)
    assert "1 of 2 agents has become deterministic (entropy below -11)" in item.words()


def test_a_diverged_gaussian_agent_leaves_the_others_alone():
    vector = make_envs("Pendulum-v1", 2 * 2)
    learner = make_learner(vector, agents=2, generator=seeded(0), lr=0.01)
    with torch.no_grad():
        learner.actor.head.bias[1] = math.nan
    rollouts = collect(vector, learner.actor, steps=5, seed=0, generator=seeded(0))
    *_, last = loop(learner, rollouts, a2c_update, updates=3)
    assert last.policy_loss[0].isfinite() and last.policy_loss[1].isnan()
    assert "Diverged" in last.words()


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
    with pytest.raises(SlipError, match="FrozenLake-v1 does not fit"):
        run(train, "FrozenLake-v1")


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
