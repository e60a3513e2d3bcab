"""ToolTasks-v0: the requests, their answers and embeddings, and the environment in both forms."""

import itertools

import gymnasium
import numpy as np
import pytest
from sklearn.utils import murmurhash3_32

import helpers  # noqa: F401  (registers the environments)
from helpers.envs import tool_tasks
from helpers.envs.tool_phrases import PHRASES, draw_task
from helpers.envs.tool_tasks import COSTS, NAMES, PERSON, embed, same_answer, task_set
from helpers.errors import SlipError
from helpers.tools import TOOLS

SPECIALIST = {
    "calculator": ("sum", "spoken sum", "percent"),
    "units": ("units",),
    "dates": ("days between", "weekday", "later date"),
    "table": ("symbol", "atomic number"),
    "wordplay": ("reverse", "letter count", "length"),
}


BOTH = task_set(), task_set(held_out=True)


def test_phrasings_and_requests_are_held_out():
    for _, seen, unseen in PHRASES.values():
        assert not set(seen) & set(unseen) and len(unseen) >= 2
    seen, unseen = ({phrase for entry in PHRASES.values() for phrase in entry[i]} for i in (1, 2))
    assert not seen & unseen
    training, held_out = BOTH
    assert not set(training.texts) & set(held_out.texts)
    assert (len(training.texts), len(held_out.texts)) == (8000, 1000)


def test_every_phrasing_is_drawn():
    rng = np.random.default_rng(0)
    for held_out in (False, True):
        starts = {task.text[:4] for task in (draw_task(rng, held_out) for _ in range(3000))}
        for _, *phrasings in PHRASES.values():
            for phrase in phrasings[held_out]:
                if "{" not in phrase[:4]:
                    assert phrase[:4] in starts


@pytest.mark.parametrize("held_out", [False, True])
def test_the_specialist_gives_the_answer_that_was_worked_out_without_it(held_out):
    rng = np.random.default_rng(7)
    for task in (draw_task(rng, held_out) for _ in range(3000)):
        for tool in [tool for tool, kinds in SPECIALIST.items() if task.kind in kinds]:
            said = TOOLS[tool](task.text)
            assert same_answer(said, task.meanings[0][0]), (task, said)


@pytest.mark.parametrize("tasks", BOTH, ids=["training", "held out"])
def test_what_the_tools_chances_are(tasks):
    """Some capitals and all private matters need a person; several tools may be right."""
    chance, kinds = tool_tasks.chances(tasks), np.array(tasks.kinds)
    assert 0.5 < chance[kinds == "capital", NAMES.index("table")].mean() < 0.8
    assert not chance[np.isin(kinds, ["taste", "memory"]), :PERSON].any()
    assert (chance[:, PERSON] == 1).all()
    assert np.allclose(tasks.meanings.sum(1), 1) and (tasks.meanings >= 0).all()
    several = (tasks.meanings > 0).sum(1) == 3
    assert set(kinds[several]) == {kind for kind in PHRASES if kind.endswith("?")}
    sums, days = chance[kinds == "date or sum?"][:, [0, NAMES.index("dates")]].T
    assert np.allclose(sums, 0.5) and np.allclose(days, 0.3)


def test_same_answer():
    assert same_answer("8.04672 km", 8.04672) and same_answer("45 days", 45)
    assert same_answer("Paris", "paris") and same_answer("1e+03", 1000)
    assert not same_answer("Your text has 9 words.", 9)
    assert not same_answer("8.1 km", 8.04672) and not same_answer("Paris, France", "Paris")


def test_the_embedding_by_hand():
    text = "Add 12 days"
    features = ["add", "0", "0", "days", "add 0", "0 0", "0 days"]
    expected = np.zeros(512)
    for feature in features:
        code = murmurhash3_32(feature, seed=0)
        expected[abs(code) % 512] += 1 if code >= 0 else -1
    expected /= np.linalg.norm(expected)
    assert np.allclose(embed([text])[0], expected, atol=1e-6)
    assert np.array_equal(embed(["What is 3 + 4?"]), embed(["what is 9 + 1?"]))
    assert embed(["", "\x00" * 10_000, "z" * 100_000]).shape == (3, 512)
    assert not embed([""]).any()


def test_expected_rewards_by_playing():
    tasks, rng = task_set(held_out=True), np.random.default_rng(3)
    table = tool_tasks.expected_rewards(tasks)
    envs = gymnasium.make_vec("ToolTasks-v0", num_envs=2000, held_out=True)
    total, count = np.zeros_like(table), np.zeros_like(table)
    envs.reset(seed=0)
    for _ in range(60):
        where, actions = envs.states["task"], rng.integers(6, size=2000)
        _, rewards, terminated, truncated, _ = envs.step(actions)
        assert terminated.all() and not truncated.any()
        np.add.at(total, (where, actions), rewards)
        np.add.at(count, (where, actions), 1)
        _, rewards, terminated, truncated, _ = envs.step(actions)  # this one resets
        assert not (rewards.any() or terminated.any() or truncated.any())
    seen = count > 0
    certain = seen & np.isin(tool_tasks.chances(tasks), (0.0, 1.0))
    assert np.allclose(total[certain] / count[certain], table[certain])
    for kind in ("date or sum?", "month or word?", "element or word?"):
        rows = np.array(tasks.kinds) == kind
        gap = (total[rows].sum(0) - (count * table)[rows].sum(0)) / count[rows].sum(0)
        assert (abs(gap) < 0.05).all()


def test_prices_and_pay():
    for held_out, price in itertools.product((False, True), (0.0, 0.5, 2)):
        env = gymnasium.make("ToolTasks-v0", held_out=held_out, person_cost=price)
        env.reset(seed=1)
        assert env.step(PERSON)[1] == 1 - price
    env = gymnasium.make("ToolTasks-v0", pay="answered")
    tasks = task_set()
    for seed in range(30):
        env.reset(seed=seed)
        task = env.unwrapped.state["task"]
        answered = not TOOLS["wordplay"](tasks.texts[task]).startswith("Sorry")
        assert env.step(4)[1] == pytest.approx((1 if answered else -0.1) - COSTS[4])


def test_with_retry_the_failures_are_seen_and_the_rest_stays():
    env = gymnasium.make("ToolTasks-v0", retry=True)
    for seed in range(40):
        first, _ = env.reset(seed=seed)
        assert not first[512:].any()
        tried = np.zeros(6)
        for tool in (1, 3, 1, 0):
            seen, reward, terminated, _, _ = env.step(tool)
            assert np.array_equal(seen[:512], first[:512])
            if terminated:
                assert reward == pytest.approx(1 - COSTS[tool])
                assert np.array_equal(seen[512:], tried)
                break
            tried[tool] = 1
            assert np.array_equal(seen[512:], tried) and reward == pytest.approx(-0.1 - COSTS[tool])


def test_rendering_tells_request_and_answers():
    env = gymnasium.make("ToolTasks-v0", retry=True, render_mode="ansi")
    env.reset(seed=3)
    assert env.render() == task_set().texts[env.unwrapped.state["task"]]
    env.step(PERSON)
    last = env.render().splitlines()[-1]
    assert last.startswith("person: ") and "Sorry" not in last


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"person_cost": -1}, "person_cost must be a finite number of at least 0"),
        ({"person_cost": float("nan")}, "person_cost"),
        ({"person_cost": "free"}, "person_cost"),
        ({"pay": "later"}, 'pay must be "right" or "answered"'),
    ],
)
def test_nonsense_is_explained(settings, said):
    with pytest.raises(SlipError, match=said):
        gymnasium.make("ToolTasks-v0", **settings)
    with pytest.raises(SlipError, match=said):
        gymnasium.make_vec("ToolTasks-v0", num_envs=2, **settings)
