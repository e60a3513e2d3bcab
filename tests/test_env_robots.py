"""The robots' world: its rules told again, its table, and both forms that are played."""

import itertools
import warnings
from collections import deque

import gymnasium
import numpy as np
import pytest
import torch

import helpers  # noqa: F401  (registers the environments)
from helpers import training
from helpers.envs.robot_teams import MOST_STEPS, RobotsEnv, RobotsVector
from helpers.envs.robots import DOOR_MAP, Robots, team_mdp
from helpers.errors import SlipError
from helpers.exact import objective, optimal_values
from helpers.rollout import make_envs

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # its own, of another environment
    from pettingzoo.test import parallel_api_test, parallel_seed_test

MOVES = {0: (0, 0), 1: (0, 1), 2: (1, 0), 3: (0, -1), 4: (-1, 0)}
OPEN_MAP = (".....", ".#.#.", ".....", "G.G.G")
EASY_MAP = ("G.G.G", ".#G#.", "G.G.G")  # where chance often ends an episode
MAPS = [DOOR_MAP, OPEN_MAP, ("G.", ".G"), ("G.G#.",)]
each_map = pytest.mark.parametrize("rows", MAPS, ids="|".join)


def told_again(rows, cells, actions, pay=(-0.02, -0.1, 1.0)):
    """(cells, reward, ended) behind a joint action, cells as (x, y): one robot asks the next."""
    letters = {(x, y): c for y, row in enumerate(reversed(rows)) for x, c in enumerate(row)}
    wanted = [(x + MOVES[a][0], y + MOVES[a][1]) for (x, y), a in zip(cells, actions)]

    def fails(i):
        if letters.get(wanted[i], "#") == "#":
            return True
        for j in set(range(len(cells))) - {i}:
            if wanted[j] == wanted[i]:
                return True
            if cells[j] == wanted[i] and (wanted[j] == cells[i] or fails(j)):
                return True
        return False

    failed = [a != 0 and fails(i) for i, a in enumerate(actions)]
    after = tuple(c if f else w for c, w, f in zip(cells, wanted, failed))
    over = all(letters[cell] == "G" for cell in after)
    return after, (pay[2] if over else pay[0]) + pay[1] * sum(failed), over


def placed(rows, states):
    """Cell numbers [..., N] as (x, y) pairs, of one state."""
    return tuple((int(s) % len(rows[0]), int(s) // len(rows[0])) for s in states)


def uniform(shape):
    return torch.full(shape, 1 / shape[-1], dtype=torch.float64)


# --- the rules -----------------------------------------------------------------------------------


@each_map
def test_every_joint_move_by_another_road(rows):
    team, mdp = Robots(rows), team_mdp(rows=rows)
    number = {placed(rows, state): s for s, state in enumerate(team.joint_states)}
    free = sum(row.count(".") + row.count("G") for row in rows)
    assert len(number) == free * (free - 1) == len(mdp.start)
    for (cells, s), (a, b) in itertools.product(number.items(), itertools.product(MOVES, MOVES)):
        after, reward, over = told_again(rows, cells, (a, b))
        row = mdp.transitions[s, 5 * a + b]
        assert row[number[after]] == 1 == row.sum()
        assert mdp.rewards[s, 5 * a + b, number[after]] == pytest.approx(reward)
        assert mdp.terminal[number[after]] == over
    assert torch.equal(mdp.start > 0, ~mdp.terminal)
    assert torch.allclose(mdp.start[mdp.start > 0], uniform((int((~mdp.terminal).sum()),)))


def test_three_robots_by_another_road():
    team, rng = Robots(OPEN_MAP, robots=3), np.random.default_rng(0)
    close = [s for s in team.joint_states if np.ptp(s) < 7]  # so that they are often in the way
    states = np.array(close)[rng.integers(len(close), size=6000)]
    moves = rng.integers(5, size=states.shape)
    after, rewards, ends = team.transition(states, moves)
    kinds = set()
    for state, move, *found in zip(states, moves.tolist(), after, rewards, ends):
        cells, reward, over = told_again(OPEN_MAP, placed(OPEN_MAP, state), move)
        assert placed(OPEN_MAP, found[0]) == cells and found[2] == over
        assert found[1] == pytest.approx(reward)
        kinds.add((over, round(reward, 2)))
    assert {(False, round(-0.02 - 0.1 * n, 2)) for n in range(4)} <= kinds
    assert (True, 1.0) in kinds


@pytest.mark.parametrize(
    ("cells", "actions", "after", "bumps"),
    [
        ((0, 1), (2, 4), (0, 1), 2),  # swap
        ((0, 2), (2, 4), (0, 2), 2),  # one cell
        ((0, 1), (2, 2), (1, 2), 0),  # follow
        ((0, 1), (2, 0), (0, 1), 1),  # one that stays
        ((0, 1), (2, 3), (0, 1), 2),  # one whose move fails at the edge
        ((0, 1, 2), (2, 2, 2), (1, 2, 3), 0),
        ((0, 1, 2), (2, 2, 3), (0, 1, 2), 3),  # a chain behind a bump
        ((0, 1, 3), (2, 2, 4), (0, 1, 3), 3),  # a chain behind two that want one cell
    ],
)
def test_who_is_in_whose_way(cells, actions, after, bumps):
    team = Robots(("....#.GGG",), robots=len(cells))
    found, reward, over = team.transition(np.array(cells), np.array(actions))
    assert tuple(found) == after and not over
    assert reward == pytest.approx(-0.02 - 0.1 * bumps)


def test_a_bump_costs_at_the_last_step_too_and_rewards_are_settings():
    team = Robots(("GG.",), step_reward=-1, bump_reward=-10, goal_reward=100)
    after, reward, over = team.transition(np.array([[0, 2], [0, 2]]), np.array([[0, 4], [3, 4]]))
    assert after.tolist() == [[0, 1]] * 2 and over.all() and reward.tolist() == [100, 90]
    assert team.transition(np.array([0, 2]), np.array([0, 0]))[1] == -1


# --- the exact table -----------------------------------------------------------------------------


def steps_to_the_end(rows):
    """{cells: fewest joint moves until both stand on targets}, searched from the end, no bumps."""
    letters = {(x, y): c for y, row in enumerate(reversed(rows)) for x, c in enumerate(row)}
    free = [cell for cell, letter in letters.items() if letter != "#"]
    before = {}
    for cells in itertools.permutations(free, 2):
        for actions in itertools.product(MOVES, MOVES):
            before.setdefault(told_again(rows, cells, actions)[0], set()).add(cells)
    found = {cells: 0 for cells in before if all(letters[cell] == "G" for cell in cells)}
    queue = deque(found)
    while queue:
        cells = queue.popleft()
        for earlier in before[cells] - found.keys():
            found[earlier] = found[cells] + 1
            queue.append(earlier)
    return found


@pytest.mark.parametrize("rows", [DOOR_MAP, OPEN_MAP, ("G.", ".G")], ids="|".join)
@pytest.mark.parametrize("gamma", [0.9, 1.0])
def test_the_optimum_is_the_shortest_way(rows, gamma):
    values, steps = optimal_values(team_mdp(rows=rows), gamma), steps_to_the_end(rows)
    for state, value in zip(Robots(rows).joint_states, values):
        d = steps[placed(rows, state)]
        expected = sum(-0.02 * gamma**t for t in range(d - 1)) + (gamma ** (d - 1) if d else 0)
        assert value == pytest.approx(expected, abs=1e-12)


def test_the_numbers_of_the_docstring():
    mdp = team_mdp()
    assert len(mdp.start) == 272
    assert optimal_values(mdp, 0.95) @ mdp.start == pytest.approx(0.7568872, abs=5e-8)
    assert optimal_values(mdp, 1.0) @ mdp.start == pytest.approx(0.924, abs=5e-8)


def test_played_episodes_earn_what_the_table_says():
    """A policy of each robot that reads the joint state, drawn from and as a row of the table."""
    rng = np.random.default_rng(3)
    team, count, gamma = Robots(), 20_000, 0.8
    each = rng.dirichlet(np.ones(5), (2, len(team.joint_states)))
    joint = (each[0][:, :, None] * each[1][:, None]).reshape(-1, 25)
    number = {tuple(state): s for s, state in enumerate(team.joint_states)}
    states, returns, alive = team.initial((count,), rng), np.zeros(count), np.ones(count)
    for t in range(60):
        rows = [number[tuple(state)] for state in states.tolist()]
        drawn = rng.random((2, count, 1)) > each[:, rows].cumsum(-1)
        states, rewards, over = team.transition(states, drawn.sum(-1).T)
        returns += gamma**t * alive * rewards
        alive *= ~over
    error = returns.std() / count**0.5
    assert abs(returns.mean() - objective(team_mdp(), joint, gamma)) < 5 * error


# --- what they see -------------------------------------------------------------------------------


@pytest.mark.parametrize("sight", [None, 0, 1, 2])
@pytest.mark.parametrize("robots", [2, 3])
def test_what_each_robot_sees(robots, sight):
    team = Robots(OPEN_MAP, robots=robots, sight=sight)
    states = team.joint_states[:: 7 if robots == 3 else 1]
    seen = team.observation(states)
    assert seen.shape == (len(states), robots, 20 * robots + robots) and seen.dtype == np.float32
    assert seen[0] in team.observation_space
    for state, of_team in zip(states, seen):
        cells = placed(OPEN_MAP, state)
        for i, row in enumerate(of_team):
            ones = {state[i]}
            for place, j in enumerate(sorted(set(range(robots)) - {i}), 1):
                apart = max(abs(a - b) for a, b in zip(cells[i], cells[j]))
                if sight is None or apart <= sight:
                    ones.add(20 * place + state[j])
            assert set(np.flatnonzero(row)) == ones | {20 * robots + i}
            assert row.max() == 1


def test_pictures_show_walls_targets_and_robots():
    env = RobotsEnv(rows=("..#", "G.G"), render_mode="ansi")
    env.reset(seed=0)
    env.team.state = np.array([1, 3])
    assert env.render() == "1 . #\nG 0 G"
    env = RobotsEnv(rows=("..#", "GGG"), robots=3, render_mode="rgb_array")
    env.reset(seed=0)
    env.team.state = np.array([1, 3, 4])
    cells = [tuple(cell) for row in env.render()[16::32, 16::32] for cell in row.tolist()]
    assert len(set(cells)) == 5 and cells[3] == cells[5]  # two targets, and all else differs


# --- PettingZoo ----------------------------------------------------------------------------------


@pytest.mark.parametrize("world", [{}, {"rows": OPEN_MAP, "robots": 3, "sight": 1}])
def test_pettingzoo_accepts_it_and_seeds_repeat(world, capsys):
    parallel_api_test(RobotsEnv(**world), num_cycles=200)
    parallel_seed_test(lambda: RobotsEnv(**world), num_cycles=100)
    assert "Passed Parallel API test" in capsys.readouterr().out


@pytest.mark.parametrize("robots", [2, 3])
def test_both_forms_play_the_same_episodes(robots):
    world = {"rows": EASY_MAP, "robots": robots, "sight": 1}
    single, many = (
        RobotsEnv(max_steps=6, **world),
        RobotsVector(robots, max_episode_steps=6, **world),
    )
    rng, ends = np.random.default_rng(5), np.zeros(2, int)
    for seed in range(300):
        seen, _ = single.reset(seed=seed)
        rows, _ = many.reset(seed=seed)
        assert np.array_equal(rows, [*seen.values()])
        while single.agents:
            actions = rng.integers(5, size=robots)
            *told, infos = single.step(dict(zip(single.agents, actions)))
            rows = many.step(actions)
            for one, row in zip(told, rows):
                assert list(one) == single.possible_agents == list(infos)
                assert np.array_equal([*one.values()], row)
        ends += told[2]["robot_0"], told[3]["robot_0"]
    assert ends.min() > 5


def test_misuse_of_pettingzoos_form_gets_a_sentence():
    env = RobotsEnv()
    with pytest.raises(SlipError, match=r"call reset\(\)"):
        env.step({})
    env.reset(seed=0)
    for actions in ({"robot_0": 1}, {"robot_0": 1, "robot_1": 1, "robot_2": 1}):
        with pytest.raises(SlipError, match="needs an action"):
            env.step(actions)
    for wrong in (5, -1, 0.5, None):
        with pytest.raises(SlipError, match="whole number from 0 to 4"):
            env.step({"robot_0": 1, "robot_1": wrong})
    with pytest.raises(SlipError, match="max_steps"):
        RobotsEnv(max_steps=0)


# --- many at a time ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("robots", "teams", "blocks"), [(2, 1, 6), (2, 3, 4), (3, 4, 1), (3, 2, 2)]
)
def test_rows_are_robots_of_teams(robots, teams, blocks):
    """Steps of the rows against the dynamics' own, team by team, with resets and time limits."""
    world = {"rows": EASY_MAP, "robots": robots}
    rows = np.arange(blocks * robots * teams).reshape(blocks, robots, teams)
    rows_of = {(b, t): rows[b, :, t] for b in range(blocks) for t in range(teams)}
    envs = RobotsVector(rows.size, teams=teams, max_episode_steps=9, **world)
    team, rng, ends = Robots(**world), np.random.default_rng(1), np.zeros(2, int)
    seen, _ = envs.reset(seed=4)
    over = np.zeros(rows.size, bool)
    for _ in range(200):
        actions = rng.integers(5, size=rows.size)
        before, was_over = seen, over
        seen, rewards, terminated, truncated, _ = envs.step(actions)
        over = terminated | truncated
        for of_team in rows_of.values():
            state = before[of_team][:, :15].argmax(1)
            assert before[of_team][:, -robots:].argmax(1).tolist() == [*range(robots)]
            told = rewards[of_team], terminated[of_team], truncated[of_team]
            assert all((what == what[0]).all() for what in told)
            if was_over[of_team[0]]:
                assert not any(what.any() for what in told)
            else:
                after, reward, ended = team.transition(state, actions[of_team])
                assert np.array_equal(seen[of_team], team.observation(after))
                assert told[0][0] == reward and told[1][0] == ended
        ends += terminated.sum(), truncated.sum()
    assert ends.min() > 10


def test_its_registration_and_its_first_states():
    envs = make_envs("course/Robots-v0", 4000, {"teams": 20})
    assert isinstance(envs, RobotsVector) and envs.teams.max_episode_steps == MOST_STEPS
    assert envs.observation_space.shape == (4000, 42)
    envs.reset(seed=0)
    numbers = np.array([envs.teams.dynamics.initial((50_000,), np.random.default_rng(1)) @ [20, 1]])
    _, counts = np.unique(numbers, return_counts=True)
    assert len(counts) == 270 and abs(counts / 50_000 * 270 - 1).max() < 5 * (270 / 50_000) ** 0.5


def test_a_step_that_makes_no_sense_gets_a_sentence():
    envs = RobotsVector(4)
    with pytest.raises(SlipError, match=r"call reset\(\)"):
        envs.step([0] * 4)
    envs.reset(seed=0)
    for wrong in ([0] * 3, [[0] * 4], 0, [0, 0, 0, 5], [-1, 0, 0, 0], [0.5] * 4, [True] * 4):
        with pytest.raises(SlipError, match="ction"):
            envs.step(wrong)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"rows": "S.G"}, "rows must be a list of strings"),
        ({"rows": ["S.", "GG"]}, r"it also holds \['S'\]"),
        ({"rows": ["..", ".G"]}, "2 robots need as many targets"),
        ({"rows": ["GG", "##"]}, "another free cell"),
        ({"robots": 3}, "3 robots need as many targets"),
        ({"robots": 1}, "two or three robots, not 1"),
        ({"robots": 4}, "two or three robots, not 4"),
        ({"robots": 2.0}, "robots must be a whole number"),
        ({"sight": -1}, "sight must be a whole number of at least 0"),
        ({"sight": "far"}, "sight must be a whole number of at least 0"),
        *(({f"{x}_reward": float("nan")}, f"{x}_reward must be") for x in ("step", "bump", "goal")),
    ],
)
def test_a_world_that_makes_no_sense_is_a_slip(options, sentence):
    for make in (Robots, team_mdp, RobotsEnv, lambda **world: RobotsVector(12, **world)):
        with pytest.raises(SlipError, match=sentence):
            make(**options)


def test_numbers_of_rows_and_robots_that_do_not_fit():
    with pytest.raises(SlipError, match="a multiple of 6, but is 8"):
        make_envs("course/Robots-v0", 8, {"teams": 3})
    with pytest.raises(SlipError, match="teams must be a whole number"):
        RobotsVector(4, teams=0)
    with pytest.raises(SlipError, match="The table is for two robots"):
        team_mdp(rows=OPEN_MAP, robots=3)


# --- training ------------------------------------------------------------------------------------

TRAINING = {"total_steps": 96, "rollout_steps": 8, "hidden": (8,), "epochs": 2, "minibatches": 2}


@pytest.mark.parametrize(
    ("agents", "envs", "options"),
    [(3, 8, {}), (3, 8, {"teams": 4}), (6, 4, {"teams": 4})],
    ids=["shared", "shared, by robots", "independent"],
)
def test_ppo_trains_shared_and_independent_robots(agents, envs, options):
    runs = training.ppo(
        "course/Robots-v0", env_options=options, agents=agents, envs=envs, **TRAINING
    )
    for progress in runs:
        assert progress.policy_loss.shape == (agents,) and progress.policy_loss.isfinite().all()
    returns = training.evaluate(
        progress.actor, "course/Robots-v0", env_options=options, episodes=envs
    )
    assert returns.shape == (agents, envs)
    if agents == 6:  # the two robots of a team are neighbours, and are paid alike
        assert torch.equal(returns[::2], returns[1::2])


def test_one_step_each_gives_gymnasium_no_reason_to_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        envs = gymnasium.make_vec("course/Robots-v0", num_envs=4)
        envs.reset(seed=0)
        envs.step(envs.action_space.sample() * 0)
