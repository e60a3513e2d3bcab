"""Lesson 06: each of its numbers by a second way; the task box; the panel's picture."""

import itertools
import math
import re
import time
from pathlib import Path

import ipywidgets as widgets
import nbformat
import numpy as np
import pytest
import torch

from helpers import networks
from helpers.envs import tool_tasks
from helpers.envs.tool_tasks import COSTS, NAMES, PERSON, task_set
from helpers.errors import SlipError
from helpers.networks import Actor
from helpers.taskbox import SHOWN, TaskBox
from helpers.tools import TOOLS
from helpers.tooluse import ToolPicture, ToolUse

PATH = Path(__file__).parent.parent / "notebooks" / "06_tool_using_agent.ipynb"
CELLS = [c for c in nbformat.read(PATH, as_version=4).cells if c.cell_type == "code"]
CODE = [cell.source for cell in CELLS]
PRINTED = "\n".join(output.get("text", "") for cell in CELLS for output in cell.outputs)


def run_cells(*starts, **names):
    """What the lesson's cells define that hold these texts, run in this order."""
    for text in starts:
        (source,) = [source for source in CODE if text in source]
        exec(source, names)
    return names


def lesson(*starts, **more):
    """The lesson's names up to its settings, and those of more cells."""
    held_out = task_set(held_out=True)
    R = tool_tasks.expected_rewards(held_out)
    X = torch.from_numpy(held_out.embeddings)
    names = {
        "held_out": held_out,
        "R": R,
        "islice": itertools.islice,
        "X": X,
        "best": torch.from_numpy(R.argmax(1)),
        "kinds": np.array(held_out.kinds),
        "ambiguous": np.char.endswith(held_out.kinds, "?"),
        **more,
    }
    starts = ("class ToolSelectionAgent", "PLAIN =", "SETTINGS =", *starts)
    return run_cells("import matplotlib.pyplot", "NAMES, COSTS =", *starts, **names)


# --- exact numbers -------------------------------------------------------------------------------


def test_the_table_of_baselines():
    tasks, earned = task_set(held_out=True), np.zeros((1000, 6))
    for n, (weights, right) in enumerate(zip(tasks.meanings, tasks.right)):
        for tool in range(6):
            for weight, hit in zip(weights, right[:, tool]):
                earned[n, tool] += weight * ((1 if hit else -0.1) - COSTS[tool])
    assert earned.max(1).mean() == pytest.approx(0.830, abs=5e-4)
    assert earned.mean() == pytest.approx(0.125, abs=5e-4)
    assert earned.mean(0).argmax() == PERSON and earned.mean(0)[PERSON] == pytest.approx(0.5)


def play_in_order(weights, right, order, gamma):
    """The value of calling these tools one after the other, meaning by meaning."""
    value = 0.0
    for weight, hits in zip(weights, right):
        for step, tool in enumerate(order):
            value += weight * gamma**step * ((1 if hits[tool] else -0.1) - COSTS[tool])
            if hits[tool]:
                break
    return value


@pytest.mark.parametrize("kind", ["date or sum?", "month or word?", "element or word?", "units"])
@pytest.mark.parametrize("gamma", [0.0, 0.24, 0.3, 0.95, 1.0])
def test_the_best_way_is_the_best_of_all_720_orders(kind, gamma):
    best_way = lesson("def best_way")["best_way"]
    tasks = task_set(held_out=True)
    n = tasks.kinds.index(kind)
    value, tool = best_way(tasks.meanings[n], tasks.right[n], gamma)
    orders = list(itertools.permutations(range(6)))
    values = [play_in_order(tasks.meanings[n], tasks.right[n], order, gamma) for order in orders]
    assert value == pytest.approx(max(values), abs=1e-12)
    assert tool in {o[0] for o, v in zip(orders, values) if v > max(values) - 1e-9}


def test_the_sets_are_kept_once():
    assert task_set() is task_set(False) and task_set(held_out=True) is task_set(True)


def test_the_sum_by_hand():
    assert 0.43 + 0.5 * (0.52 + 0.4 * 0.5) == pytest.approx(0.79)


def test_the_sign_test():
    sign_test = run_cells("def sign_test", np=np)["sign_test"]
    for above in range(9):
        values = np.array([1.0] * above + [-1.0] * (8 - above))
        heads = [sum(toss) for toss in itertools.product((0, 1), repeat=8)]
        extreme = sum(abs(h - 4) >= abs(above - 4) for h in heads) / 256
        assert sign_test(values, 0.0) == (above, pytest.approx(min(1, extreme)))
    assert sign_test(np.ones(8), 0.0)[1] == pytest.approx(0.008, abs=5e-4)


def test_what_the_bug_teaches():
    """By the choice itself: without the person, the fumbled requests cost little."""
    chance = tool_tasks.chances(task_set(held_out=True))
    cheap = chance[:, :PERSON]
    value = {}
    for asks in (False, True):  # the best that can be had with and without ever asking
        v = 0.0
        for _ in range(2000):
            seems = cheap + (1 - cheap) * (-0.1 + 0.95 * v) - COSTS[:PERSON]
            v = (np.maximum(seems.max(1), 0.5) if asks else seems.max(1)).mean()
        value[asks] = v
    assert value[True] == pytest.approx(value[False]) and -0.1 - 0.04 + 0.95 * v > 0.5
    taught = run_cells("v_mean =", chance=chance, COSTS=COSTS, np=np, R=chance)
    assert taught["v_mean"] == pytest.approx(value[True])


def test_gamma_leaves_no_trace_with_one_call():
    names = lesson("myopic.actor")
    assert torch.equal(names["myopic"].actor.head.weight, names["farsighted"].actor.head.weight)


def test_the_agent_of_the_lesson_is_the_packages():
    names = lesson("outcome = Rollout")
    assert all(torch.allclose(p, q, atol=1e-6) for p, q in zip(names["ours"], names["theirs"]))
    agent = names["ToolSelectionAgent"](6)
    before = agent.actor(names["X"][0]).softmax(-1)[2].item()
    for _ in range(20):
        agent.learn_from_outcome(names["X"][0], 2, 0.96)
    assert agent.actor(names["X"][0]).softmax(-1)[2] > before
    assert {agent.choose_tool(names["X"][n]) for n in range(300)} == set(range(6))


# --- the task box --------------------------------------------------------------------------------


@pytest.fixture
def box():
    generator = torch.Generator().manual_seed(0)
    return TaskBox(Actor(512, 6, hidden=(), agents=2, generator=generator), "What is 12 * 7 - 3?")


def test_the_box_answers_its_first_request(box):
    assert box.reply.says[0] == "81"
    text = box._repr_mimebundle_()["text/plain"]
    assert all(name in text for name in NAMES) and "What is 12 * 7 - 3?" in text
    assert box.reply.probabilities.sum() == pytest.approx(1)
    assert f"reaches for: {NAMES[box.reply.chosen]}" in box.answer.value


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "   ",
        "x" * 100_000,
        "日本語で何ですか",
        "مرحبا",
        "__import__('os').system('rm -rf /')",
        "9**9**9**9",
        "1/0",
        "31 February",
        "<img src=x onerror=alert(1)>",
        "\x00\u202e\n",
    ],
)
def test_the_box_takes_anything(box, typed):
    begin = time.perf_counter()
    box.field.value = typed  # as if typed and Enter pressed
    assert time.perf_counter() - begin < 1
    reply = box.reply
    assert reply.request == typed and len(reply.says) == 6
    assert "<img" not in box.answer.value
    assert all(len(line) < 160 for line in reply.text().splitlines())
    if not typed.strip():
        assert "no request yet" in box.answer.value


def test_markup_from_a_tool_is_shown_as_text(box, monkeypatch):
    monkeypatch.setitem(TOOLS, "table", lambda text: "<i>Paris</i>")
    box.ask()
    assert "&lt;i&gt;Paris" in box.answer.value and "<i>" not in box.answer.value


def test_typed_markup_is_shown_as_text(box):
    box.field.value = "Reverse '<b>'"
    assert "<b>" not in box.answer.value
    box.field.value = "<script>alert('x')</script>"
    assert "<script" not in box.answer.value


def test_the_button_asks_again(box):
    box.answer.value = ""
    box.button.click()
    assert "reaches for" in box.answer.value


def test_the_box_shortens_what_is_long(box):
    box.field.value = "word " * 30
    assert len(box.reply.text().splitlines()[0]) <= SHOWN + len("Request: ")


def test_a_closed_box_leaves_nothing_behind():
    before = set(widgets.Widget.widgets)
    actor = Actor(512, 6, hidden=(), generator=torch.Generator().manual_seed(0))
    TaskBox(actor, "What is 12 * 7 - 3?").close()
    assert set(widgets.Widget.widgets) == before


def test_the_box_wants_a_fitting_actor():
    for wrong in (None, Actor(4, 2), "actor"):
        with pytest.raises(SlipError, match="512 numbers"):
            TaskBox(wrong)


# --- the panel -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def panel():
    names = lesson("from helpers.training import evaluate", "from helpers.tooluse", "def train(")
    names["SEVERAL"]["total_steps"] = 1280
    return names


@pytest.mark.parametrize("gamma", [0.0, 1.0])
@pytest.mark.parametrize("lr", [1e-3, 1.0])
@pytest.mark.parametrize("calls", ["one call", "until right"])
@pytest.mark.parametrize("person_cost", [0.0, 1.2])
def test_every_end_of_the_sliders_trains_and_draws(panel, gamma, lr, calls, person_cost):
    picture = ToolPicture()
    picture.restart("run")
    settings = dict(gamma=gamma, lr=lr, calls=calls, person_cost=person_cost, agents=1)
    for item in panel["train"](**settings):
        picture.add(item)
        assert len(picture.png()) > 5000 and "nan" not in item.words()
        assert item.shares.sum() == pytest.approx(1, abs=1e-4)
    assert item.fraction == 1 and len(picture.rows()) == 1


def test_the_same_seed_gives_the_same_numbers(panel):
    *_, one = panel["train"](agents=2, seed=5)
    *_, two = panel["train"](agents=2, seed=5)
    *_, three = panel["train"](agents=2, seed=6)
    assert torch.equal(one.shares, two.shares) and not torch.equal(one.shares, three.shares)


def tool_use(fraction=1.0, shares=(0.5, 0.1, 0.1, 0.1, 0.1, 0.1), entropy=1.0):
    returns = torch.tensor([0.5, 0.7])
    return ToolUse(100, fraction, returns, torch.full((2,), entropy), torch.tensor(shares))


def test_the_picture_keeps_ghosts_and_says_what_went_wrong():
    picture = ToolPicture()
    assert len(picture.png()) > 5000
    for run in range(5):
        picture.restart(f"run {run}")
        before = picture.png()
        picture.add(tool_use(shares=(0.1 * run, 0.1, 0.1, 0.1, 0.1, 0.6 - 0.1 * run)))
        assert picture.png() != before
    assert [row[1] for row in picture.rows()] == ["run 4", "run 3", "run 2", "run 1"]
    picture.restart("short")
    picture.add(tool_use(fraction=0.1))
    picture.restart("next")
    assert [row[1] for row in picture.rows()][1] == "run 4"
    assert picture.rows()[0][2] == "Starting."
    assert "mean return 0.60" in tool_use().words() and "calculator (50%)" in tool_use().words()
    assert tool_use(shares=(math.nan,) * 6).words().startswith("Diverged")
    assert "2 of 2 policies are deterministic" in tool_use(entropy=0.0).words()


# --- what the collapsed answers and the prose say, on other agents -------------------------------


@pytest.fixture(scope="module")
def full():
    return lesson(
        "def judge",
        "from helpers.training import evaluate",
        "def serve",
        "from helpers.tooluse",
        "def train(",
        "def permutation_test",
    )


@pytest.mark.hardening
def test_the_collapsed_answers_on_sixteen_other_agents(full):
    def end(**change):
        *_, item = full["train"](agents=16, seed=77, **change)
        return item

    usual, hurry = end(), end(gamma=0.0)
    assert usual.shares[PERSON] < 0.12 < 0.25 < hurry.shares[PERSON]
    assert hurry.returns.mean() < usual.returns.mean()
    free, dear = end(person_cost=0.0), end(person_cost=1.2)
    dear_once = end(person_cost=1.2, calls="one call")
    assert 0.6 < free.shares[PERSON] < 0.95
    assert dear_once.shares[PERSON] < 0.02 and dear.returns.mean() < usual.returns.mean()
    fast, slow = end(lr=1.0), end(lr=0.003)
    assert fast.entropy.mean() < 0.1
    assert fast.returns.mean() < usual.returns.mean() - 0.3
    assert slow.entropy.mean() > 1.5 and (slow.shares < 0.3).all()


@pytest.mark.hardening
def test_reading_pays_and_labels_pay_more_on_other_agents(full):
    *_, report = full["a2c"]("ToolTasks-v0", agents=16, seed=78, **full["SETTINGS"])
    earned, accuracy = full["judge"](report.actor)
    assert (earned > 0.55).all() and (earned < 0.73).all() and accuracy.mean() > 0.7


def printed(pattern):
    """A number that the stored lesson prints; the pattern has one group."""
    (number,) = re.findall(pattern, PRINTED)
    return float(number)


@pytest.mark.hardening
def test_notes_earn_more_than_any_of_the_agents_with_sixteen_other_seeds():
    names = lesson("def keep_notes", training=task_set())
    earned = np.array([names["keep_notes"](20_000, seed)[0] for seed in range(100, 116)])
    assert earned.min() > max(0.74, printed(r"the best of our agents (.*)"))
    assert earned.mean() > printed(r"1000 labels: earned (.*),")  # at most 20 rewards a label


@pytest.mark.hardening
def test_the_three_groups_on_sixteen_other_agents(full):
    returns, colleague = {}, {}
    for name, changes in full["GROUPS"].items():
        runs = [full["serve"](seed=seed, **changes) for seed in (79, 80)]
        returns[name], colleague[name] = (np.concatenate(x) for x in list(zip(*runs))[:2])
    p = full["permutation_test"]
    for other in ("in a hurry", "critic asleep"):
        assert returns["patient"].mean() > returns[other].mean()
        assert p(returns["patient"], returns[other]) < 0.01
        assert colleague["patient"].mean() < 0.2 < 0.4 < colleague[other].mean()
    assert p(returns["in a hurry"], returns["critic asleep"]) > 0.05


@pytest.mark.hardening
def test_the_classic_agent_falls_for_the_person_on_other_seeds():
    names = lesson("import gymnasium", "def work")
    for seed in (11, 12, 13, 14):
        agent = names["ToolSelectionAgent"](6, lr=0.001, seed=seed)
        names["work"](agent, 2500, seed=seed)
        policy = agent.actor(names["X"]).softmax(-1)
        assert policy[:, PERSON].mean() > 0.5
        assert (policy.argmax(1) == PERSON).float().mean() > 0.95


@pytest.mark.hardening
def test_the_wrong_pay_on_sixteen_other_agents():
    names = lesson("from helpers.rollout import collect", "def learn(")
    for start in (3, 4):
        options = {"hidden": (), "agents": 8, "generator": torch.Generator().manual_seed(start)}
        actor, critic = networks.Actor(512, 6, **options), networks.Critic(512, **options)
        optimiser = networks.make_optimiser(actor, critic, lr=0.1)
        *_, honest = names["learn"]("right", actor, critic, optimiser, seed=start)
        *_, hacked = names["learn"]("answered", actor, critic, optimiser, seed=start)
        tasks = names["held_out"]
        measured = tasks.answered * 1.1 - 0.1 - COSTS
        score = lambda policy, table: (policy * table).sum(-1).mean(-1)  # noqa: E731
        assert (score(hacked, measured) > score(honest, measured) + 0.1).all()
        assert (score(hacked, names["R"]) < score(honest, names["R"]) - 0.1).all()
