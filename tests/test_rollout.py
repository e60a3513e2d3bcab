"""helpers.rollout: the record against a scripted environment, and against counts made elsewhere."""

import itertools

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode

import helpers.rollout
from helpers.errors import SlipError
from helpers.networks import Actor, Critic
from helpers.policies import Gaussian
from helpers.rollout import Rollout, collect, collect_episodes, make_envs, play_episodes

GAMMA = 0.99


class Scripted(gymnasium.Env):
    """Everything is known beforehand: the observation is (number, episode, step, last action).

    number is the seed of the first reset. Episode e of environment i ends after
    1 + (3 i + 5 e) % 7 steps, terminated where e is even and truncated where it is odd, and each
    step pays 100 e + the number of the step.
    """

    observation_space = gymnasium.spaces.Box(-1, 1e6, (4,), np.float32)
    action_space = gymnasium.spaces.Discrete(3)

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


def seeded(seed):
    return torch.Generator().manual_seed(seed)


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
        kinds = [field.dtype for field in rollout]
        f32, i64, boolean = torch.float32, torch.int64, torch.bool
        assert kinds == [f32, i64, f32, boolean, boolean, boolean, f32]
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


def test_a_rollout_is_not_touched_by_the_next():
    vector = make_envs("CartPole-v1", 4)
    rollouts = collect(vector, uniform(vector), steps=8, seed=1, generator=seeded(1))
    first = next(rollouts)
    copies = [field.clone() for field in first]
    next(rollouts)
    for field, copy in zip(first, copies):
        torch.testing.assert_close(field, copy, equal_nan=True, atol=0, rtol=0)


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
    valid, rewards, returns = (
        x.reshape(steps, 6) for x in (rollout.valid, rollout.rewards, rollout.episode_returns)
    )
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


def test_random_play_on_cartpole_lasts_as_long_as_in_the_single_environment():
    """About 22 steps. To take the first episodes to finish would give fewer."""
    env, generator = gymnasium.make("CartPole-v1"), np.random.default_rng(5)
    env.reset(seed=5)
    lengths = []
    for _ in range(500):
        env.reset()
        over, steps = False, 0
        while not over:
            _, _, terminated, truncated, _ = env.step(int(generator.integers(2)))
            over, steps = terminated or truncated, steps + 1
        lengths.append(steps)
    vector = make_envs("CartPole-v1", 2000)
    rollout = play_episodes(vector, uniform(vector), seed=6, generator=seeded(6))
    ours, theirs = rollout.valid.sum(0).double().numpy(), np.array(lengths)
    assert (rollout.terminated.sum(0) == 1).all()
    error = np.hypot(ours.std() / len(ours) ** 0.5, theirs.std() / len(theirs) ** 0.5)
    assert abs(ours.mean() - theirs.mean()) < 3.5 * error
    assert abs(ours.mean() - 22.2) < 1


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
        for one, other in (
            (drawn[1:], drawn[:-1]),
            (drawn[:, 1:], drawn[:, :-1]),
            (drawn[100:], drawn[:100]),
        ):
            assert abs((one == other).double().mean() - same) < 5 * error


def test_the_same_seed_gives_the_same_rollout():
    def play(seed):
        vector = make_envs("CartPole-v1", 4)
        actor = Actor(4, 2, agents=2, generator=seeded(0))
        return join(act(vector, actor, count=2, steps=16, seed=seed))

    for one, again in zip(play(3), play(3)):
        torch.testing.assert_close(one, again, equal_nan=True, atol=0, rtol=0)
    assert not torch.equal(play(3)[0], play(4)[0])


def start_value(rollouts, keep_resets):
    """V of the start by least squares (LSTD) on quadratic features of the state."""
    observations, _, rewards, terminated, _, valid, _ = (x.flatten(0, 1) for x in join(rollouts))
    following = torch.cat([rollout.observations[1:] for rollout in rollouts]).flatten(0, 1)
    rows = torch.ones_like(valid) if keep_resets else valid

    def features(states):
        x = torch.cat([torch.ones(len(states), 1), states], 1).double()
        i, j = torch.triu_indices(5, 5)
        return x[:, i] * x[:, j]

    now, later = features(observations[rows]), features(following[rows])
    later = later * ~terminated[rows, None]
    weights = torch.linalg.solve(now.T @ (now - GAMMA * later), now.T @ rewards[rows].double())
    return (features(torch.zeros(1, 4)) @ weights).item()


def test_rows_that_only_reset_would_spoil_the_critic():
    """Random play on CartPole is worth about 19.5 at the start; with the bogus rows, above 30."""
    vector = make_envs("CartPole-v1", 256)
    actor = uniform(vector)
    rollouts = act(vector, actor, count=4, steps=128, seed=9)
    assert start_value(rollouts, keep_resets=False) == pytest.approx(19.5, abs=1)
    assert start_value(rollouts, keep_resets=True) > 30
    played = play_episodes(vector, actor, seed=10, generator=seeded(10))
    discount = GAMMA ** torch.arange(len(played.rewards))[:, None]
    returns = (discount * played.rewards).sum(0)
    assert returns.mean().item() == pytest.approx(19.5, abs=4 * returns.std().item() / 16)


class Acts(gymnasium.Env):
    """Any action space; an episode lasts 3 steps, and what it was told to do is kept in `told`."""

    observation_space = Box(-1, 1, (1,), np.float32)
    told = []  # noqa: RUF012

    def __init__(self, space):
        self.action_space = space

    def reset(self, *, seed=None, options=None):
        self.clock = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.clock += 1
        self.told.append(action)
        return np.zeros(1, np.float32), 0.0, self.clock == 3, False, {}


WALLS = Box(np.array([-0.5, -2], np.float32), np.array([0.5, 0], np.float32))
SPACES = {
    "Walls": WALLS,
    "Unbounded": Box(-np.inf, np.inf, (1,)),
    "HalfBounded": Box(0, np.inf, (1,)),
    "MultiDiscrete": gymnasium.spaces.MultiDiscrete([2, 3]),
    "Matrix": Box(-1, 1, (2, 2)),
    "WholeNumbers": Box(0, 5, (1,), np.int64),
}
for name, space in SPACES.items():
    gymnasium.register(f"{name}-v0", lambda space=space: Acts(space), disable_env_checker=True)


@pytest.mark.parametrize("agents", [None, 2])
def test_numbers_are_recorded_as_drawn_and_clipped_for_the_environment(agents):
    """Two numbers with walls of their own, from two agents of three environments or one of six."""
    vector = make_envs("Walls-v0", 6)
    actor = Actor(1, 2, policy=Gaussian, agents=agents, generator=seeded(0))
    Acts.told.clear()
    (rollout,) = act(vector, actor, count=1, steps=3, seed=1)
    assert rollout.actions.dtype == torch.float32
    assert rollout.actions.shape == (3, *((6,) if agents is None else (2, 3)), 2)
    drawn, told = rollout.actions.reshape(18, 2).numpy(), np.array(Acts.told)
    np.testing.assert_array_equal(told, np.clip(drawn, WALLS.low, WALLS.high))
    assert (drawn < WALLS.low).any() and (drawn > WALLS.high).any()
    assert all(WALLS.contains(action) for action in Acts.told)


def test_numbers_are_drawn_from_each_agents_gaussian():
    actor = Actor(3, 1, policy=Gaussian, hidden=(), agents=2, generator=seeded(2))
    means, stds = torch.tensor([-1.0, 3.0]), torch.tensor([0.1, 2.0])
    with torch.no_grad():
        actor.head.weight.zero_()
        actor.head.bias.copy_(means[:, None, None])
        actor.head.log_std.copy_(stds.log()[:, None, None])
    actions = join(act(make_envs("Pendulum-v1", 20), actor, count=2, steps=100, seed=3)).actions
    for k in range(2):
        z = ((actions[:, k] - means[k]) / stds[k]).double().flatten()
        assert len(z) == 2000 and abs(z.mean()) < 3.5 / 2000**0.5
        assert abs((z**2).mean() - 1) < 3.5 * (2 / 2000) ** 0.5


def test_an_actor_of_the_other_kind_of_actions_gets_a_sentence():
    with pytest.raises(SlipError, match=r"actor is a Choice, but .* want a Gaussian"):
        act(make_envs("Pendulum-v1", 2), Actor(3, 2), count=1, steps=1, seed=0)
    gaussian = Actor(4, 1, policy=Gaussian)
    with pytest.raises(SlipError, match=r"a Gaussian, but .* Discrete\(2\), want a Choice"):
        act(make_envs("CartPole-v1", 2), gaussian, count=1, steps=1, seed=0)
    with pytest.raises(SlipError, match=r"must have the shape \(2, 2\) \(a mean and the logarithm"):
        act(make_envs("Pendulum-v1", 2), Actor(3, 2, policy=Gaussian), count=1, steps=1, seed=0)


def test_whole_episodes_come_one_after_another():
    vector = make_envs("CartPole-v1", 3)
    episodes = collect_episodes(vector, uniform(vector), seed=4, generator=seeded(4))
    one, other = itertools.islice(episodes, 2)
    again = play_episodes(vector, uniform(vector), seed=4, generator=seeded(4))
    assert torch.equal(one.rewards, again.rewards)
    assert not torch.equal(one.observations[0], other.observations[0])
    assert all((r.terminated.sum(0) == 1).all() for r in (one, other))


@pytest.mark.parametrize(
    "env_id, sentence",
    [
        ("CartPol-v1", "Gymnasium knows no environment 'CartPol-v1'"),
        ("CartPole-v9", "Gymnasium knows no environment"),
        ("", "Gymnasium knows no environment"),
        (None, "Gymnasium knows no environment None"),
        ("Unbounded-v0", r"Unbounded-v0 does not fit: its actions have no bounds, Box\(-inf, inf"),
        ("HalfBounded-v0", "HalfBounded-v0 does not fit: its actions have no bounds"),
        ("MultiDiscrete-v0", r"choose among finitely many .*, but its actions are MultiDiscrete"),
        ("Matrix-v0", r"a Box with one axis\), but its actions are Box\(-1.0, 1.0, \(2, 2\)"),
        ("WholeNumbers-v0", "a vector of real numbers .* but its actions are Box"),
        ("Blackjack-v1", "Blackjack-v1 does not fit"),
        ("FrozenLake-v1", "FrozenLake-v1 does not fit: this course's networks read a vector"),
    ],
)
def test_an_environment_that_does_not_fit_gets_a_sentence(env_id, sentence):
    with pytest.raises(SlipError, match=sentence):
        make_envs(env_id, 2)


@pytest.mark.parametrize("count", [0, -1, 1.5, None])
def test_no_environments_get_a_sentence(count):
    with pytest.raises(SlipError, match="the number of environments must be"):
        make_envs("CartPole-v1", count)


class Odd(gymnasium.Env):
    """Actions count from `first`; pays what it is told to; ends after `length` steps, or never."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, first=0, reward=1.0, length=3):
        self.action_space = gymnasium.spaces.Discrete(2, start=first)
        self.reward, self.length = reward, length

    def reset(self, *, seed=None, options=None):
        self.clock = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.clock += 1
        return np.zeros(1, np.float32), self.reward, self.clock == self.length, False, {}


gymnasium.register("Odd-v0", entry_point=Odd, disable_env_checker=True)


def odd(**options):
    envs = make_envs("Odd-v0", 4, options)
    return envs, uniform(envs)


def test_actions_may_count_from_another_number():
    envs, actor = odd(first=1)
    played = play_episodes(envs, actor, seed=0, generator=seeded(0))
    assert set(played.actions.unique().tolist()) == {0, 1}  # in the record they count from 0


@pytest.mark.parametrize("reward", [np.nan, np.inf, -np.inf])
def test_a_reward_that_is_no_number_is_the_environments_fault(reward):
    envs, actor = odd(reward=reward)
    with pytest.raises(SlipError, match="paid a reward that is not a finite number"):
        act(envs, actor, count=1, steps=2, seed=0)


def test_an_episode_without_an_end_is_left(monkeypatch):
    monkeypatch.setattr(helpers.rollout, "MOST_STEPS", 100)
    envs, actor = odd(length=-1)
    with pytest.raises(SlipError, match="had not ended after 100 steps"):
        play_episodes(envs, actor, seed=0, generator=seeded(0))
    envs, actor = odd(length=100)
    assert play_episodes(envs, actor, seed=0, generator=seeded(0)).rewards.sum() == 400


def test_an_actor_with_other_actions_is_refused():
    envs, _ = odd()
    for actor in (fixed_actor(1, torch.zeros(1)), fixed_actor(1, torch.zeros(3)), Critic(1)):
        with pytest.raises(SlipError, match=r"what the actor returns must have the shape \(4, 2\)"):
            act(envs, actor, count=1, steps=2, seed=0)


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
def test_another_way_to_reset_is_told(mode):
    options = {"vector_kwargs": {"autoreset_mode": mode}}
    with pytest.raises(SlipError, match=f"{mode}.*NEXT_STEP, where a step of its own resets"):
        make_envs("Scripted-v0", 2, options)


def test_a_missing_package_is_no_spelling_mistake(monkeypatch):
    def make_vec(*_, **__):
        raise gymnasium.error.DependencyNotInstalled('run `pip install "gymnasium[box2d]"`')

    monkeypatch.setattr(gymnasium, "make_vec", make_vec)
    with pytest.raises(SlipError, match=r"needs a package that is not installed: run .*box2d"):
        make_envs("LunarLander-v3", 2)


def test_environments_that_do_not_fit_are_closed(monkeypatch):
    closed = []
    monkeypatch.setattr(gymnasium.vector.VectorEnv, "close", lambda self: closed.append(self))
    with pytest.raises(SlipError, match="does not fit"):
        make_envs("FrozenLake-v1", 2)
    assert len(closed) == 1
