"""helpers.training: gradients against computations from scratch and exact ones, agents side by side
against each alone, the same numbers twice, and that it learns."""

import copy
import inspect
import itertools
import math
import threading

import numpy as np
import pytest
import torch
from random_states import seeded
from torch.distributions import Categorical, Independent, Normal

from helpers import networks, training, updates
from helpers.envs.corridor import OBSERVATIONS, short_corridor
from helpers.envs.gridworld import coordinates, grid
from helpers.errors import SlipError
from helpers.exact import objective, policy_gradient
from helpers.loop import Learner, make_learner
from helpers.loop import run as loop
from helpers.networks import Actor, Critic, make_optimiser
from helpers.policies import Choice, Gaussian
from helpers.rollout import Rollout, collect, collect_episodes, make_envs
from helpers.training import CARTPOLE, Progress, a2c, evaluate, ppo, reinforce
from helpers.updates import a2c_update, reinforce_update

SMALL = {  # seconds matter here, learning does not
    a2c: {"total_steps": 390, "envs": 4, "rollout_steps": 10},  # 400 in whole updates
    reinforce: {"updates": 5, "envs": 4},
}
BOTH = pytest.mark.parametrize("train", SMALL, ids=lambda f: f.__name__)
REINFORCE = (reinforce_update, False), (reinforce_update, True)  # without a baseline, with one


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
    first = next(generator)
    before = numbers(first)
    items = [first, *generator]
    assert same(before, numbers(first))  # later updates do not touch a snapshot
    assert not torch.equal(first.actor.head.weight, items[-1].actor.head.weight)
    count = 10 if train is a2c else 5
    assert [item.fraction for item in items] == [(i + 1) / count for i in range(count)]
    for item in items:
        assert isinstance(item, Progress) and isinstance(item.actor, Actor)
        assert all(x.shape == (3,) and not x.requires_grad for x in item[2:6])
        assert item.actor.agents == 3 and item.actor(torch.zeros(3, 1, 4)).shape == (3, 1, 2)
        assert ((item.entropy > 0) & (item.entropy <= math.log(2) + 1e-6)).all()
        assert item.policy_loss.isfinite().all()
        assert (item.value_loss.isfinite() if train is a2c else item.value_loss.isnan()).all()
    steps, episodes = zip(*((item.steps, item.episodes) for item in items))
    assert list(steps) == [40 * (i + 1) for i in range(10)] if train is a2c else steps[0] > 4 * 8
    assert sorted(set(steps)) == list(steps)
    assert train is a2c or list(episodes) == [4, 8, 12, 16, 20]  # of each agent
    assert items[-1].recent_returns.isfinite().all()


def test_recent_returns_are_the_mean_of_the_last_50_episodes():
    vector, seen = make_envs("CartPole-v1", 2 * 4), []
    learner = make_learner(vector, agents=2, generator=seeded(3), lr=0.01)
    rollouts = collect(vector, learner.actor, steps=25, seed=3, generator=seeded(3))
    for item in loop(learner, rollouts, lambda *given: seen.append(given[-1]), updates=25):
        for k in range(2):
            returns = torch.cat([rollout.episode_returns[:, k].flatten() for rollout in seen])
            last = returns[~returns.isnan()][-50:]
            torch.testing.assert_close(item.recent_returns[k], last.mean(), equal_nan=True)
    assert len(last) == 50 < (~returns.isnan()).sum()


def progress(*, recent=(20.0, 30.0), loss=(0.1, 0.1), entropy=(0.5, 0.5), actor=None):
    recent, loss, entropy = (torch.tensor(x) for x in (recent, loss, entropy))
    return Progress(1, 0.5, recent, loss, loss, entropy, actor, 0)


LOST, FIXED = (0.1, math.nan), (1e-4, 0.5)
OTHERS = "The others' mean return of recent training episodes: "


@pytest.mark.parametrize(
    "item, sentence",
    [
        (progress(), "Mean return of recent training episodes: 25.0."),
        (progress(recent=(math.nan, 30.0)), "episodes: 30.0."),
        (progress(recent=(math.nan, math.nan)), "No episode has ended yet."),
        (progress(loss=LOST), "the loss of 1 of 2 agents is no longer a number"),
        (progress(loss=LOST), f"{OTHERS}20.0."),
        (progress(entropy=FIXED), f"{OTHERS}30.0."),
        (progress(entropy=(1e-4, 0.0)), "policy of 2 of 2 agents has become deterministic"),
        (
            progress(recent=(9.0,), loss=(0.1,), entropy=(0.0,)),
            "The policy of the agent has become",
        ),
        (
            progress(entropy=(-10.99, -10.96), actor=Actor(3, 2, policy=Gaussian)),
            "1 of 2 agents has become deterministic (entropy below -11)",
        ),
    ],
)
def test_the_state_of_things_in_words(item, sentence):
    assert sentence in item.words()


def test_what_went_wrong_is_told_of_each_agent_once():
    entropy = (0.0, math.nan, 0.5)
    words = progress(recent=(9.0, 9.0, 40.0), loss=(*LOST, 0.1), entropy=entropy).words()
    assert words.count("1 of 3 agents") == 2 and words.endswith(f"{OTHERS}40.0.")
    assert "mean" not in progress(loss=(math.nan, math.nan)).words()


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
    """(weights, gradients) of each update, before clipping and the step."""
    seen = []

    def capture(optimiser, max_norm):
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        seen.append(
            ([p.detach().clone() for p in parameters], [p.grad.clone() for p in parameters])
        )
        networks.clip_gradients(optimiser, max_norm)

    monkeypatch.setattr(updates, "clip_gradients", capture)
    return seen


def record(env_id, actor, *, envs, steps, seed=0):
    vector = make_envs(env_id, (actor.agents or 1) * envs)
    rollouts = collect(vector, actor, steps=steps, seed=seed, generator=seeded(seed))
    next(rollouts)  # from the second on, some environments reset in the first row
    return next(rollouts)


def slice_agent(rollout, k):
    return Rollout(*(field[:, k] for field in rollout))


def sums_from_the_back(rollout, values, gamma, lam, reward_scale):
    """GAE advantages, one environment of one agent at a time, in Python floats."""
    advantages = torch.zeros(rollout.rewards.shape, dtype=torch.float64)
    for b in range(rollout.rewards.shape[1]):
        following = 0.0
        for t in reversed(range(len(rollout.rewards))):
            if not rollout.valid[t, b]:
                following = 0.0
                continue
            terminated, truncated = rollout.terminated[t, b], rollout.truncated[t, b]
            after = 0.0 if terminated else gamma * values[t + 1, b].item()
            delta = reward_scale * rollout.rewards[t, b].item() + after - values[t, b].item()
            following = delta + (0.0 if terminated or truncated else gamma * lam * following)
            advantages[t, b] = following
    return advantages


def distribution(actor, state):
    """The policy in one state, or in several, as PyTorch's own."""
    if actor.policy is Choice:
        return Categorical(logits=actor(state))
    mean, log_std = actor(state).chunk(2, -1)
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


@pytest.mark.parametrize(
    "env_id, reward_scale",
    [("CartPole-v1", 1.0), ("CartPole-v1", 0.1), ("GridWorld-v0", 1.0), ("Pendulum-v1", 0.1)],
)
@pytest.mark.parametrize("normalise_advantages", [False, True])
@pytest.mark.parametrize("update, baseline", [(a2c_update, True), *REINFORCE])
def test_the_gradient_is_the_one_computed_from_scratch(
    captured, env_id, reward_scale, normalise_advantages, update, baseline
):
    """In reinforce returns to go of whole episodes: GAE with lambda 1 where all values are 0."""
    vector, whole = make_envs(env_id, 2 * 5, {"max_episode_steps": 25}), update is reinforce_update
    options = {"hidden": (8,), "agents": 2, "lr": 0.1, "critic": baseline}
    actor, critic, optimiser = make_learner(vector, generator=seeded(1), **options)
    with torch.no_grad():
        actor.head.weight *= 30  # away from the uniform policy
        if env_id == "Pendulum-v1":
            actor.head.log_std.copy_(torch.tensor([-1.0, 0.5])[:, None, None])
    acting = {"seed": 0, "generator": seeded(0)}
    episodes = collect_episodes(vector, actor, **acting)
    rollouts = episodes if whole else collect(vector, actor, steps=40, **acting)
    _, rollout = itertools.islice(rollouts, 2)  # by then, some reset in the first row
    coefficients = {"entropy_coef": 0.02, "value_coef": 0.7}
    options = {"gamma": 0.9, "reward_scale": reward_scale, **coefficients}
    options |= {"normalise_advantages": normalise_advantages} | ({} if whole else {"lam": 0.8})
    before = [(actor.agent(k), critic and critic.agent(k)) for k in range(2)]
    policy, value, entropy = update(actor, critic, optimiser, rollout, **options)
    for k, (alone, judge) in enumerate(before):
        mine = slice_agent(rollout, k)
        assert mine.truncated.any() and (mine.terminated.any() or env_id != "CartPole-v1")
        values = judge(mine.observations).detach() if judge else 0 * mine.observations[..., 0]
        known, lam = (0 * values, 1.0) if whole else (values, 0.8)
        advantages = sums_from_the_back(mine, known, 0.9, lam, reward_scale)
        returns = advantages + known[:-1]
        advantages = returns - values[:-1]
        if normalise_advantages:
            chosen = advantages[mine.valid]
            advantages = (advantages - chosen.mean()) / chosen.std(correction=0)
        loss = loss_from_scratch(alone, judge, mine, advantages, returns, **coefficients)
        loss.backward()
        parameters = [*alone.parameters(), *(judge.parameters() if judge else ())]
        for gradient, parameter in zip(captured[0][1], parameters, strict=True):
            torch.testing.assert_close(gradient[k], parameter.grad[0], atol=1e-5, rtol=1e-3)
        together = policy[k] - 0.02 * entropy[k] + (0.7 * value[k] if judge else 0)
        torch.testing.assert_close(together, loss.detach().float(), atol=1e-5, rtol=1e-4)


@BOTH
def test_settings_reach_the_update(train, monkeypatch):
    seen, update = [], getattr(training, f"{train.__name__}_update")
    names = {**update.__kwdefaults__, **updates._learn.__kwdefaults__}
    given = {name: 0.1 * n for n, name in enumerate(names, 1)} | {"normalise_advantages": True}
    monkeypatch.setattr(training, update.__name__, lambda *_, **options: seen.append(options))
    items = run(train, **given)
    assert seen == [given] * len(items) and all(item.policy_loss.isnan() for item in items)


@pytest.mark.parametrize("train", [a2c, ppo])
@pytest.mark.parametrize("shared", [False, True])
def test_whether_the_body_is_shared_reaches_the_networks(train, shared, monkeypatch):
    made = []

    def make(*given, **options):
        made.append(make_learner(*given, **options))
        return made[0]

    monkeypatch.setattr(training, "make_learner", make)
    next(train("CartPole-v1", shared_body=shared, **SMALL[a2c]))
    actor, critic, _ = made[0]
    assert (actor.body is critic.body) == shared


def test_reinforce_gradient_is_the_exact_one_on_average(captured):
    """A linear policy, 200 agents of 50 episodes each, gamma 1: a z-test of every weight.

    The loss is a mean over time steps. Times the mean length it is a mean over episodes, whose
    expectation the theorem gives; each step of the corridor costs 1, so the return says the length.
    """
    seen = torch.as_tensor(OBSERVATIONS, dtype=torch.float64)
    options = {"agents": 200, "envs": 50, "updates": 1, "gamma": 1.0, "hidden": (), "seed": 4}
    (item,) = run(reinforce, "ShortCorridor-v0", **options)
    weights, gradients = captured[0]
    weight, bias = (x.double() for x in weights)
    table = policy_gradient(short_corridor(), seen @ weight + bias, 1.0)
    exact = seen.T @ table, table.sum(1, keepdim=True)
    for gradient, wanted in zip(gradients, exact):
        difference = gradient.double() * item.recent_returns[:, None, None] - wanted
        error = difference.std(0) / 200**0.5
        assert (difference.mean(0).abs() < 3.5 * error).all()
        assert (wanted.mean(0).abs() > 5 * error).any()  # the test could tell it from 0


def test_reinforce_plays_new_episodes_and_counts_their_steps(monkeypatch):
    """CartPole pays 1 a step, so the mean length of an agent's episodes is their mean return."""
    played = []
    monkeypatch.setattr(training, "reinforce_update", lambda *given, **_: played.append(given[3]))
    items = run(reinforce, agents=2, updates=3, seed=5)
    lengths = [int(rollout.rewards.sum()) // 2 for rollout in played]
    assert [item.steps for item in items] == list(itertools.accumulate(lengths))
    for one, other in itertools.pairwise(played):
        assert (one.observations[0] != other.observations[0]).all()


# ---- Agents side by side

STEP = {"lr": 0.01, "critic_lr_scale": 2.0}
UPDATE = {"lam": 0.95, "entropy_coef": 0.01, "normalise_advantages": True}


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
    env_id="CartPole-v1", *, shared_body=False, agents=8, update=a2c_update, step=STEP, **options
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
    for rollout in itertools.islice(rollouts, 5):
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


@BOTH
def test_each_rate_reaches_its_agent_and_falls_with_the_others(train):
    """The first update's step of Adam is its rate times a sign, the critic's times its scale too."""
    options = {"agents": 3, "seed": 4, "hidden": (8,)}
    before = run(train, lr=1e-12, **options)[0].actor
    items = run(train, lr=(0.02, 1e-9, 0.005), lr_decay=True, **options)
    for parameter, was in zip(items[0].actor.parameters(), before.parameters()):
        step = (parameter - was).detach().abs().amax((1, 2))
        np.testing.assert_allclose(step, [0.02, 1e-9, 0.005], rtol=0.02, atol=1e-7)
    late, early = (
        max((a - b)[0].abs().max() for a, b in zip(i.actor.parameters(), j.actor.parameters()))
        for i, j in (items[-2:], items[:2])
    )
    assert 0 < late < early / 2


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
    for name, wrong in (("gamma", [0.9, 0.8]), ("entropy_coef", -1)):
        with pytest.raises(SlipError, match=name):
            a2c_update(*learner, rollouts[0], **{name: wrong})


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


def test_the_defaults_of_an_update_are_those_of_its_algorithm():
    for train, update in ((a2c, a2c_update), (reinforce, reinforce_update)):
        given = {**update.__kwdefaults__, **updates._learn.__kwdefaults__}
        assert given == {name: train.__kwdefaults__[name] for name in given}


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

FRACTION = "must be a number from 0 to 1, but is"
POSITIVE = "must be a finite number above 0, but is"
NOT_NEGATIVE = "must be a finite number of at least 0, but is"
COUNT = "must be a whole number of at least"
WRONG = [
    *(({"gamma": x}, f"gamma {FRACTION}") for x in (1.1, -0.1, "a", math.nan, None, True)),
    *(({"lam": x}, f"lam {FRACTION}") for x in (1.5, math.nan)),
    *(
        ({name: x}, f"{name} {POSITIVE}")
        for name in ("lr", "max_grad_norm", "reward_scale")
        for x in (0, -1.0, math.inf, math.nan, "fast", True)
    ),
    *(
        ({name: x}, f"{name} {NOT_NEGATIVE}")
        for name in ("entropy_coef", "value_coef", "critic_lr_scale")
        for x in (-0.1, math.nan, math.inf, "0.1", None, True)
    ),
    *(
        ({name: x}, f"{name} {COUNT}")
        for name in ("agents", "envs", "total_steps", "rollout_steps", "updates", "seed")
        for x in (0 if name != "seed" else -1, 1.5, True)
    ),
    ({"hidden": (0,)}, "the width of a layer must be a whole number"),
    ({"hidden": (10**9, 10**9)}, "at most 10000 units here, not 1000000000"),
    ({"gamma": [0.9, 0.9]}, "gamma holds 2 numbers, but the number of agents is 3: give one"),
    ({"lr": np.ones(4)}, "lr holds 4 numbers, but the number of agents is 3"),
    ({"lr": []}, "lr holds 0 numbers"),
    ({"gamma": [0.9, 1.5, 0.9]}, rf"gamma\[1\] {FRACTION} 1.5"),
    ({"gamma": torch.tensor([0.5, 0.5, math.nan])}, rf"gamma\[2\] {FRACTION}"),
    ({"lam": [2, 1, 1]}, rf"lam\[0\] {FRACTION} 2"),
    ({"lr": (0.1, 0, 0.1)}, rf"lr\[1\] {POSITIVE} 0"),
    ({"lr": ["fast"] * 3}, rf"lr\[0\] {POSITIVE} 'fast'"),
    ({"lr": np.ones((3, 1))}, rf"lr\[0\] {POSITIVE} \[1.0\]"),
    ({"entropy_coef": [0, 0, -1]}, rf"entropy_coef\[2\] {NOT_NEGATIVE}"),
    ({"critic_lr_scale": [0, -1, 1]}, rf"critic_lr_scale\[1\] {NOT_NEGATIVE}"),
    ({"max_grad_norm": [1, 1, 1]}, rf"max_grad_norm {POSITIVE} \["),
]


@pytest.mark.parametrize(("options", "sentence"), WRONG, ids=str)
def test_an_argument_without_sense_gets_a_sentence(options, sentence):
    for train in SMALL:
        if options.keys() <= train.__kwdefaults__.keys():
            with pytest.raises(SlipError, match=sentence):
                next(train("CartPole-v1", **{"agents": 3, **options}))


def test_evaluate_refuses_what_it_cannot_judge():
    for options in ({"episodes": 0}, {"episodes": 2.5}, {"seed": -1}):
        with pytest.raises(SlipError, match=COUNT):
            evaluate(Actor(4, 2), "CartPole-v1", **options)
    with pytest.raises(SlipError, match="This network reads states of 4 numbers"):
        evaluate(Actor(4, 2), "GridWorld-v0", episodes=1)
    for wrong in (Critic(4), lambda states: states, None):
        with pytest.raises(SlipError, match="evaluate needs an Actor, but got"):
            evaluate(wrong, "CartPole-v1")
    with pytest.raises(SlipError, match="what the actor returns must have the shape"):
        evaluate(Actor(4, 3), "CartPole-v1")


def test_evaluate_invents_no_numbers():
    actor = Actor(4, 2, agents=3, generator=seeded(0))
    right = evaluate(actor, "CartPole-v1", episodes=5)
    with torch.no_grad():
        actor.head.weight[1, 0, 0] = torch.nan
        actor.body[0].bias[2, 0, 0] = torch.inf
    returns = evaluate(actor, "CartPole-v1", episodes=5)
    assert returns[1:].isnan().all() and returns[0].isfinite().all() and right.isfinite().all()


@BOTH
@pytest.mark.parametrize("gamma", [0, 1])
@pytest.mark.parametrize("lr", [1e-12, 1.0, 1e30])
def test_every_legal_setting_runs_to_its_end(train, gamma, lr):
    *_, last = run(train, gamma=gamma, lr=lr, agents=2)
    assert last.fraction == 1 and isinstance(last.words(), str)


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
