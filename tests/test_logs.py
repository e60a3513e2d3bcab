"""helpers.logs: against a walk through the same steps, and against what Minari has stored."""

import contextlib
import itertools
import warnings
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Discrete

from helpers.errors import SlipError
from helpers.logs import FIELDS, Log, check_log, from_episodes, from_rollout, summary
from helpers.networks import Actor
from helpers.rollout import collect, make_envs, play_episodes


def recorded(how=collect):
    """A Rollout of three environments, with an actor that knows nothing."""
    generator = torch.Generator().manual_seed(0)
    actor = Actor(4, 2, hidden=(8,), generator=generator)
    with contextlib.closing(make_envs("CartPole-v1", 3, {"max_episode_steps": 20})) as envs:
        options = {"seed": 0, "generator": generator}
        if how is collect:
            return next(collect(envs, actor, steps=80, **options))
        return how(envs, actor, **options)


def walked(rollout):
    """The rows of the log one by one: (observation, action, reward, next, terminated, truncated)."""
    rows = []
    steps, count = rollout.rewards.shape
    for b in range(count):
        mine = []
        for t in range(steps):
            if rollout.valid[t, b]:
                fields = rollout.actions, rollout.rewards, rollout.terminated, rollout.truncated
                action, reward, over, cut = (field[t, b].item() for field in fields)
                before, after = rollout.observations[t : t + 2, b].tolist()
                mine.append([before, action, reward, after, over, cut])
        if not mine[-1][4]:
            mine[-1][5] = True
        rows += mine
    return rows


@pytest.mark.parametrize("how", [collect, play_episodes])
def test_a_rollout_row_by_row(how):
    rollout = recorded(how)
    before = [field.clone() for field in rollout]
    log = from_rollout(rollout)
    assert [list(row) for row in zip(*(field.tolist() for field in log))] == walked(rollout)
    assert all(torch.equal(a, b) or a.isnan().any() for a, b in zip(before, rollout))


def test_the_types_are_those_it_names_and_episodes_hang_together():
    rollout = recorded()
    log = from_rollout(rollout)
    f, i, b = torch.float32, torch.int64, torch.bool
    assert [field.dtype for field in log] == [f, i, f, f, b, b]
    assert not rollout.valid.all() and len(log.rewards) == rollout.valid.sum()
    goes_on = ~(log.terminated | log.truncated)
    assert torch.equal(log.next_observations[:-1][goes_on[:-1]], log.observations[1:][goes_on[:-1]])
    assert log.terminated.any() and log.truncated[-1]
    ends = (log.terminated | log.truncated).nonzero()[:, 0].tolist()
    totals = [log.rewards[a + 1 : z + 1].sum() for a, z in itertools.pairwise([-1, *ends])]
    finished = rollout.episode_returns.T[rollout.valid.T & ~rollout.episode_returns.T.isnan()]
    assert set(map(float, totals)) >= set(finished.tolist())


def test_a_recording_that_ends_with_a_reset_or_an_end_gets_no_other_end():
    flags = torch.tensor([[0, 1, 0], [1, 0, 0]]).bool()  # [T, B]: ends at t 1, at t 0, nowhere
    valid = torch.tensor([[1, 1, 1], [1, 0, 1]]).bool()
    zeros = torch.zeros(2, 3)
    record = recorded()._replace(
        observations=torch.arange(9.0).reshape(3, 3, 1),
        actions=zeros.long(),
        rewards=zeros,
        terminated=flags,
        truncated=zeros.bool(),
        valid=valid,
    )
    log = from_rollout(record)
    assert log.observations[:, 0].tolist() == [0, 3, 1, 2, 5]
    assert log.terminated.tolist() == [False, True, True, False, False]
    assert log.truncated.tolist() == [False, False, False, False, True]


def episode(states=((0.0, 1.0), (2.0, 3.0), (4.0, 5.0)), **fields):
    """Looks like Minari's EpisodeData: by default two steps, the second of which terminates."""
    steps = len(states) - 1
    last = np.arange(steps) == steps - 1
    made = {"actions": np.arange(steps), "rewards": np.arange(steps) / 2, "infos": {}, "id": 0}
    made |= {"observations": np.array(states), "terminations": last, "truncations": last & False}
    return SimpleNamespace(**made | fields)


def test_episodes_one_after_another():
    cut = {"terminations": np.array([False]), "truncations": np.array([True])}
    log = from_episodes(iter([episode(), episode(((6, 7), (8, 9)), **cut)]))
    assert log.observations.tolist() == [[0, 1], [2, 3], [6, 7]]
    assert log.next_observations.tolist() == [[2, 3], [4, 5], [8, 9]]
    assert log.actions.tolist() == [0, 1, 0] and log.rewards.tolist() == [0, 0.5, 0]
    assert log.terminated.tolist() == [False, True, False]
    assert log.truncated.tolist() == [False, False, True]
    assert [field.dtype for field in log] == [field.dtype for field in from_rollout(recorded())]


def test_the_number_of_a_state_becomes_a_vector():
    log = from_episodes([episode((3, 0, 2))], states=4)
    assert log.observations.tolist() == [[0, 0, 0, 1], [1, 0, 0, 0]]
    assert log.next_observations.tolist() == [[1, 0, 0, 0], [0, 0, 1, 0]]


IMAGES = np.zeros((3, 8, 8, 3), np.uint8)
NO_EPISODES = {  # what is wrong: episodes, words of the sentence
    "none": ([], "needs an episode"),
    "no step": ([episode(((0.0, 1.0),))], "Episode 0 is empty"),
    "lengths": ([episode(), episode(actions=np.arange(3))], "Episode 1 has fields of unequal"),
    "a state too few": ([episode(observations=np.zeros((2, 2)))], "of unequal length"),
    "flags in columns": ([episode(terminations=np.ones((2, 1), bool))], "of unequal length"),
    "one reward": ([episode(rewards=np.float32(1))], "of unequal length"),
    "NaN": ([episode(rewards=np.array([0, np.nan]))], "holds NaN or infinity"),
    "infinite": ([episode(observations=np.full((3, 2), np.inf))], "holds NaN or infinity"),
    "no end": ([episode(), episode(terminations=np.array([True, False]))], "Episode 1 has no end"),
    "continuous": ([episode(actions=np.array([0.5, 1]))], "other actions than whole numbers"),
    "two numbers": ([episode(actions=np.ones((2, 2), int))], "other actions than whole numbers"),
    "below 0": ([episode(actions=np.array([-1, 1]))], "other actions than whole numbers"),
    "images": ([episode(observations=IMAGES)], "no images"),
    "in parts": ([episode(observations={"goal": np.zeros((3, 1))})], "one array each of obs"),
    "in uneven parts": ([episode(actions=(np.zeros(2), np.zeros(3)))], "one array each of obs"),
    "other objects": ([{"observations": [0]}], "one array each of obs"),
    "other features": ([episode(), episode(((0.0,), (1.0,)))], "equally many features"),
    "one number": ([episode((3, 0, 2))], "of how many states"),
}


@pytest.mark.parametrize("wrong", NO_EPISODES)
def test_what_is_no_episode_gets_a_sentence(wrong):
    episodes, words = NO_EPISODES[wrong]
    with pytest.raises(SlipError, match=words) as caught:
        from_episodes(episodes)
    assert str(caught.value).endswith((".", "..."))


@pytest.mark.parametrize("states", [0, 3, 2.5, True])
def test_states_that_do_not_fit_get_a_sentence(states):
    with pytest.raises(SlipError, match=r"states|from 0 up"):
        from_episodes([episode((3, 0, 2))], states=states)
    with pytest.raises(SlipError, match="from 0 up"):
        from_episodes([episode((-1, 0.5, 2))], states=4)


def test_several_agents_and_continuous_actions_are_no_log():
    rollout = recorded()
    several = rollout._replace(rewards=rollout.rewards[:, None])
    with pytest.raises(SlipError, match="of one agent"):
        from_rollout(several)
    with pytest.raises(SlipError, match="whole numbers from 0 up"):
        from_rollout(rollout._replace(actions=rollout.actions[..., None].float()))
    with pytest.raises(SlipError, match="is empty"):
        from_rollout(rollout._replace(valid=rollout.valid & False))


def test_a_log_made_by_hand_is_checked_as_well():
    log = from_episodes([episode()])
    assert all(torch.equal(a, b) for a, b in zip(check_log(log), log))
    assert check_log(Log(*(field.numpy() for field in log))).actions.dtype == torch.int64
    with pytest.raises(SlipError, match="has no end"):
        check_log(log._replace(terminated=log.terminated & False))
    with pytest.raises(SlipError, match="is empty"):
        summary(Log(*(field[:0] for field in log)))
    floats = log._replace(**{f: getattr(log, f).double() for f in ("terminated", "truncated")})
    assert all(torch.equal(a, b) for a, b in zip(check_log(floats), log))
    for wrong, words in [
        ([1, None], "must hold numbers"),
        ([[1], [1, 2]], "rows of unequal length"),
    ]:
        with pytest.raises(SlipError, match=words):
            check_log(log._replace(rewards=wrong))


def test_the_summary_counts():
    cut = {"terminations": np.array([0, 0]), "truncations": np.array([0, 1])}
    text = summary(from_episodes([episode(), episode(**cut), episode(truncations=[0, 1])]))
    first, *actions = text.splitlines()
    assert first == "6 steps in 3 episodes: 2 terminated, 1 cut off."
    assert actions == ["Action 0: 3 of 6 steps (50%).", "Action 1: 3 of 6 steps (50%)."]


def test_the_summary_tells_what_is_hard_to_learn_from():
    log = from_episodes([episode()])
    never = "No step terminated"
    single = "Only one action was taken"
    assert never not in summary(log) and single not in summary(log)
    cut = log._replace(terminated=log.terminated & False, truncated=log.terminated)
    assert never in summary(cut) and single not in summary(cut)
    same = log._replace(actions=log.actions * 0 + 2)
    assert single in summary(same) and never not in summary(same)
    assert "Action 3: 0 of 2 steps (0%)." in summary(same, actions=4)
    for actions in (2, 0, 2.5):
        with pytest.raises(SlipError, match="actions must be a whole number of at least 3"):
            summary(same, actions=actions)


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """Lets Minari store buffers, and hands out the dataset as it then reads it."""
    minari = pytest.importorskip("minari", reason="Minari is optional: pip install -e '.[logs]'")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))

    def store(observation_space, buffers):
        options = {"observation_space": observation_space, "action_space": Discrete(2)}
        made = [minari.data_collector.EpisodeBuffer(infos={}, **buffer) for buffer in buffers]
        with warnings.catch_warnings(action="ignore"):  # of authors and the like
            minari.create_dataset_from_buffers("test/log-v0", made, **options)
        return minari.load_dataset("test/log-v0")

    return store


def played(env, seed, push):
    """One episode as Minari takes it, always pushing to one side or to both in turn."""
    observation, _ = env.reset(seed=seed)
    made = {name: [] for name in FIELDS} | {"observations": [observation]}
    while not any(made["terminations"] + made["truncations"]):
        action = (push + len(made["rewards"])) % 2 if push == 2 else push
        *step, _ = env.step(action)
        for name, value in zip(FIELDS, (step[0], action, *step[1:])):
            made[name].append(value)
    return made


def test_what_minari_stores_is_read_back(stored):
    env = gymnasium.make("CartPole-v1", max_episode_steps=15)
    buffers = [played(env, seed, push) for seed, push in enumerate([0, 1, 2, 2])]
    log = from_episodes(stored(env.observation_space, buffers))
    rows = [
        [before.tolist(), *step]
        for buffer in buffers
        for before, *step in zip(*(buffer[name] for name in FIELDS))
    ]
    assert [list(row) for row in zip(*(log[i].tolist() for i in (0, 1, 2, 4, 5)))] == rows
    nexts = [after.tolist() for buffer in buffers for after in buffer["observations"][1:]]
    assert log.next_observations.tolist() == nexts
    assert log.terminated.any() and (log.truncated & ~log.terminated).any()
    assert summary(log).startswith(f"{len(rows)} steps in 4 episodes")


def test_states_that_minari_stores_by_number_are_read_back(stored):
    steps = {"actions": [0, 1], "rewards": [0.0, 1.0]}
    flags = {"terminations": [False, True], "truncations": [False, False]}
    dataset = stored(Discrete(4), [{"observations": [3, 0, 2], **steps, **flags}])
    log = from_episodes(dataset, states=4)
    assert log.observations.argmax(1).tolist() == [3, 0]
    assert log.next_observations.argmax(1).tolist() == [0, 2]
