"""helpers.rollout: the record against a scripted environment, and against counts made elsewhere."""

import itertools

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from gymnasium.vector import AutoresetMode
from random_states import seeded

import helpers.rollout
from helpers.errors import SlipError
from helpers.networks import Actor, Critic
from helpers.policies import Gaussian
from helpers.rollout import Rollout, collect, make_envs, play_episodes


class Scripted(gymnasium.Env):
    """Everything is known beforehand: the observation is (number, episode, step, last action).

    number is the seed of the first reset. Episode e of environment i ends after
    1 + (3 i + 5 e) % 7 steps, terminated where e is even and truncated where it is odd, and each
    step pays 100 e + the number of the step.
    """

    observation_space = Box(-1, 1e6, (4,), np.float32)
    action_space = Discrete(3)

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.number, self.episode = seed, -1
        self.episode, self.clock = self.episode + 1, 0
        return self._observation(-1), {}

    def step(self, action):
        self.clock += 1
        over = self.clock == length(self.number, self.episode)
        reward = 100.0 * self.episode + self.clock
        even = self.episode % 2 == 0
        return self._observation(action), reward, over and even, over and not even, {}

    def _observation(self, action):
        return np.array([self.number, self.episode, self.clock, action], np.float32)


def length(number, episode):
    return 1 + (3 * number + 5 * episode) % 7


gymnasium.register("Scripted-v0", entry_point=Scripted, disable_env_checker=True)


def fixed_actor(features, logits, agents=None):
    """An Actor with the same logits in every state: [A], or [K, A] for K agents."""
    actor = Actor(features, logits.shape[-1], hidden=(), agents=agents)
    with torch.no_grad():
        actor.head.weight.zero_()
        actor.head.bias.copy_(logits.reshape(agents or 1, 1, -1))
    return actor


def uniform(envs, agents=None):
    features, actions = envs.single_observation_space.shape[0], int(envs.single_action_space.n)
    return fixed_actor(features, torch.zeros(agents or 1, actions), agents)


def act(vector, actor, *, count, steps, seed):
    """The first `count` rollouts of `steps` steps."""
    rollouts = collect(vector, actor, steps=steps, seed=seed, generator=seeded(seed))
    return list(itertools.islice(rollouts, count))


def join(rollouts):
    """Rollouts one after another as one of all their steps; the observations without the last."""
    cut = [r._replace(observations=r.observations[:-1]) for r in rollouts]
    return Rollout(*(torch.cat(field) for field in zip(*cut)))


@pytest.mark.parametrize("agents, envs", [(None, 6), (2, 3)])
def test_the_record_is_what_happened(agents, envs):
    """Four rollouts of 5 steps against the script, so ends fall on every place, borders included."""
    vector = make_envs("Scripted-v0", 6)
    lead = (envs,) if agents is None else (agents, envs)
    rollouts = act(vector, uniform(vector, agents), count=4, steps=5, seed=0)
    for rollout in rollouts:
        assert rollout.observations.shape == (6, *lead, 4)
        assert all(field.shape == (5, *lead) for field in rollout[1:])
        f32, i64, boolean = torch.float32, torch.int64, torch.bool
        kinds = [f32, i64, f32, boolean, boolean, boolean, f32]
        assert [field.dtype for field in rollout] == kinds
    for before, after in itertools.pairwise(rollouts):
        assert torch.equal(before.observations[-1], after.observations[0])
    arrived = torch.cat([r.observations[1:] for r in rollouts]).reshape(20, 6, 4)
    fields = [x.reshape(20, 6, *x.shape[1 + len(lead) :]) for x in join(rollouts)]
    observations, actions, rewards, terminated, truncated, valid, returns = fields
    for i in range(6):
        episode, clock, total = 0, 0, 0.0
        for t in range(20):
            assert observations[t, i, :3].tolist() == [i, episode, clock]
            if clock == length(i, episode):  # the episode is over: this step only resets
                episode, clock, total = episode + 1, 0, 0.0
                assert not valid[t, i] and rewards[t, i] == 0 and returns[t, i].isnan()
                assert not terminated[t, i] and not truncated[t, i]
                assert arrived[t, i].tolist() == [i, episode, 0, -1]
                continue
            clock += 1
            total += 100 * episode + clock
            over = clock == length(i, episode)
            assert valid[t, i] and rewards[t, i] == 100 * episode + clock
            assert arrived[t, i].tolist() == [i, episode, clock, actions[t, i]]
            assert terminated[t, i] == (over and episode % 2 == 0)
            assert truncated[t, i] == (over and episode % 2 == 1)
            assert returns[t, i] == total if over else returns[t, i].isnan()
        assert episode > 2
    borders = [bool((~rollout.valid[0]).any()) for rollout in rollouts]
    assert borders[0] is False and any(borders[1:])  # some reset fell on the first row of a rollout


@pytest.mark.parametrize("env_id", ["CartPole-v1", "GridWorld-v0", "Acrobot-v1"])
def test_episode_returns_are_those_counted_from_the_rewards(env_id):
    """Acrobot has no vectorised form and runs in Gymnasium's SyncVectorEnv."""
    vector = make_envs(env_id, 4)
    rollouts = act(vector, uniform(vector, 2), count=17, steps=64, seed=2)
    _, _, rewards, terminated, truncated, valid, returns = join(rollouts)
    ends = terminated | truncated
    assert torch.equal(valid[1:], ~ends[:-1]) and valid[0].all() and not (ends & ~valid).any()
    assert torch.equal(~returns.isnan(), ends) and ends.sum() > 4
    for k, b in itertools.product(range(2), range(2)):
        total = 0.0
        for t in range(len(rewards)):
            total += rewards[t, k, b].item()
            if ends[t, k, b]:
                assert returns[t, k, b].item() == pytest.approx(total, abs=1e-3)
                total = 0.0


@pytest.mark.parametrize("agents, envs", [(None, 6), (2, 3)])
def test_play_episodes_plays_exactly_the_first_episode_of_each(agents, envs):
    vector = make_envs("Scripted-v0", 6)
    rollout = play_episodes(vector, uniform(vector, agents), seed=0, generator=seeded(3))
    lengths = [length(i, 0) for i in range(6)]
    steps = max(lengths)
    assert rollout.valid.shape == ((steps, 6) if agents is None else (steps, 2, 3))
    assert len(rollout.observations) == steps + 1
    fields = rollout.valid, rollout.rewards, rollout.episode_returns
    valid, rewards, returns = (x.reshape(steps, 6) for x in fields)
    for i, count in enumerate(lengths):
        assert valid[:, i].tolist() == [t < count for t in range(steps)]
        assert rewards[:, i].tolist() == [t + 1 if t < count else 0 for t in range(steps)]
        assert [not x.isnan() for x in returns[:, i]] == [t == count - 1 for t in range(steps)]
        assert returns[count - 1, i] == sum(range(1, count + 1))
    assert torch.equal(rollout.terminated.reshape(steps, 6), ~returns.isnan())
    assert not rollout.truncated.any()


def test_long_episodes_count_and_the_time_limit_truncates():
    """On the grid the goal is never reached by going down: 1000 steps, over many chunks."""
    vector = make_envs("GridWorld-v0", 4)
    down, up_or_right = torch.tensor([0.0, 0, 99, 0]), torch.tensor([9.0, 9, 0, 0])
    actor = fixed_actor(2, torch.stack([down, up_or_right]), agents=2)
    rollout = play_episodes(vector, actor, seed=0, generator=seeded(4))
    assert rollout.rewards.shape == (1000, 2, 2)
    assert rollout.truncated[-1, 0].all() and not rollout.terminated[:, 0].any()
    assert rollout.truncated.sum() == 2 and rollout.terminated[:, 1].sum() == 2
    assert rollout.valid[:, 0].all() and rollout.valid[:, 1].sum(0).max() < 30
    assert rollout.rewards[:, 0].sum().item() == pytest.approx(-20, abs=1e-3)
    assert rollout.observations[1:, 0].eq(rollout.observations[0, 0]).float().mean() > 0.5


def test_actions_are_drawn_from_each_agents_softmax():
    logits = torch.tensor([[0.0, 1.0, -1.0, 0.5], [2.0, 0.0, 0.0, 0.0]])
    vector = make_envs("GridWorld-v0", 2 * 50)
    actor = fixed_actor(2, logits, agents=2)
    actions = join(act(vector, actor, count=2, steps=100, seed=7)).actions
    for k, policy in enumerate(logits.softmax(-1)):
        drawn = actions[:, k]
        counts, expected = torch.bincount(drawn.flatten(), minlength=4), policy * drawn.numel()
        assert ((counts - expected) ** 2 / expected).sum() < 16.27  # 99.9 % of chi-square, 3 dof
        same = (policy**2).sum()  # how often two independent draws agree
        error = (same * (1 - same) / drawn.numel()) ** 0.5
        neighbours = (drawn[1:], drawn[:-1]), (drawn[:, 1:], drawn[:, :-1])
        for one, other in (*neighbours, (drawn[100:], drawn[:100])):
            assert abs((one == other).double().mean() - same) < 5 * error


class Odd(gymnasium.Env):
    """Any actions, kept in `told`; pays what it is told to; ends after `length` steps, or never."""

    observation_space = Box(-1, 1, (1,), np.float32)
    told = []  # noqa: RUF012

    def __init__(self, space=None, reward=1.0, length=3):
        self.action_space = space or Discrete(2)
        self.reward, self.length = reward, length

    def reset(self, *, seed=None, options=None):
        self.clock = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.clock += 1
        self.told.append(action)
        return np.zeros(1, np.float32), self.reward, self.clock == self.length, False, {}


gymnasium.register("Odd-v0", entry_point=Odd, disable_env_checker=True)
WALLS = Box(np.array([-0.5, -2], np.float32), np.array([0.5, 0], np.float32))


@pytest.mark.parametrize("agents", [None, 2])
def test_numbers_are_recorded_as_drawn_and_clipped_for_the_environment(agents):
    """Two numbers with walls of their own, from two agents of three environments or one of six."""
    vector = make_envs("Odd-v0", 6, {"space": WALLS})
    actor = Actor(1, 2, policy=Gaussian, agents=agents, generator=seeded(0))
    Odd.told.clear()
    (rollout,) = act(vector, actor, count=1, steps=3, seed=1)
    assert rollout.actions.dtype == torch.float32
    assert rollout.actions.shape == (3, *((6,) if agents is None else (2, 3)), 2)
    drawn, told = rollout.actions.reshape(18, 2).numpy(), np.array(Odd.told)
    np.testing.assert_array_equal(told, np.clip(drawn, WALLS.low, WALLS.high))
    assert (drawn < WALLS.low).any() and (drawn > WALLS.high).any()


SAME_STEP = {"autoreset_mode": AutoresetMode.SAME_STEP}


def space(*arguments):
    return {"space": Box(*arguments)}


@pytest.mark.parametrize(
    "env_id, options, sentence",
    [
        ("CartPol-v1", {}, "Gymnasium knows no environment 'CartPol-v1'"),
        ("CartPole-v9", {}, "Gymnasium knows no environment"),
        ("", {}, "Gymnasium knows no environment"),
        (None, {}, "Gymnasium knows no environment None"),
        ("Odd-v0", space(-np.inf, np.inf, (1,)), r"Odd-v0 .* have no bounds, Box\(-inf, inf"),
        ("Odd-v0", space(0, np.inf, (1,)), "Odd-v0 does not fit: its actions have no bounds"),
        ("Odd-v0", {"space": MultiDiscrete([2, 3])}, "finitely many .* actions are MultiDiscrete"),
        ("Odd-v0", space(-1, 1, (2, 2)), r"a Box with one axis\), .* are Box\(-1.0, 1.0, \(2, 2\)"),
        ("Odd-v0", space(0, 5, (1,), np.int64), "a vector of real numbers .* its actions are Box"),
        ("Blackjack-v1", {}, "Blackjack-v1 does not fit"),
        ("FrozenLake-v1", {}, "FrozenLake-v1 does not fit: this course's networks read a vector"),
        ("Odd-v0", {"vector_kwargs": SAME_STEP}, "SAME_STEP.*NEXT_STEP, where a step of its own"),
    ],
)
def test_an_environment_that_does_not_fit_gets_a_sentence_and_is_closed(
    env_id, options, sentence, monkeypatch
):
    closed = []
    monkeypatch.setattr(gymnasium.vector.VectorEnv, "close", lambda self: closed.append(self))
    with pytest.raises(SlipError, match=sentence):
        make_envs(env_id, 2, options)
    assert len(closed) == ("knows no" not in sentence)


def test_a_missing_package_is_no_spelling_mistake(monkeypatch):
    def make_vec(*_, **__):
        raise gymnasium.error.DependencyNotInstalled('run `pip install "gymnasium[box2d]"`')

    monkeypatch.setattr(gymnasium, "make_vec", make_vec)
    with pytest.raises(SlipError, match=r"needs a package that is not installed: run .*box2d"):
        make_envs("LunarLander-v3", 2)


@pytest.mark.parametrize("count", [0, -1, 1.5, None])
def test_no_environments_get_a_sentence(count):
    with pytest.raises(SlipError, match="the number of environments must be"):
        make_envs("CartPole-v1", count)


def play_odd(**options):
    envs = make_envs("Odd-v0", 4, options)
    return play_episodes(envs, uniform(envs), seed=0, generator=seeded(0))


def test_actions_may_count_from_another_number():
    played = play_odd(space=Discrete(2, start=1))
    assert set(played.actions.unique().tolist()) == {0, 1}  # in the record they count from 0


@pytest.mark.parametrize("reward", [np.nan, np.inf, -np.inf])
def test_a_reward_that_is_no_number_is_the_environments_fault(reward):
    with pytest.raises(SlipError, match="paid a reward that is not a finite number"):
        play_odd(reward=reward)


def test_an_episode_without_an_end_is_left(monkeypatch):
    monkeypatch.setattr(helpers.rollout, "MOST_STEPS", 100)
    with pytest.raises(SlipError, match="had not ended after 100 steps"):
        play_odd(length=-1)
    assert play_odd(length=100).rewards.sum() == 400


@pytest.mark.parametrize(
    "env_id, actor, sentence",
    [
        ("Pendulum-v1", Actor(3, 2), r"actor is a Choice, but .* want a Gaussian"),
        ("CartPole-v1", Actor(4, 1, policy=Gaussian), r"a Gaussian, .* Discrete\(2\), want a Ch"),
        ("Pendulum-v1", Actor(3, 2, policy=Gaussian), r"the shape \(2, 2\) \(a mean and the log"),
        *(
            ("Odd-v0", actor, r"what the actor returns must have the shape \(2, 2\)")
            for actor in (Actor(1, 1), Actor(1, 3), Critic(1))
        ),
    ],
)
def test_an_actor_of_other_actions_gets_a_sentence(env_id, actor, sentence):
    with pytest.raises(SlipError, match=sentence):
        act(make_envs(env_id, 2), actor, count=1, steps=1, seed=0)
