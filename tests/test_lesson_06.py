"""Lesson 06: each of its numbers by a second way; the task box; the panel's picture."""

import functools
import itertools
import math
import re
import time
from types import SimpleNamespace

import ipywidgets as widgets
import numpy as np
import pytest
import torch
from lesson_cells import Lesson, each_end, each_seed

from helpers import checks, live, losses, networks
from helpers.envs import tool_tasks
from helpers.envs.tool_tasks import COSTS, NAMES, PERSON, task_set
from helpers.errors import SlipError
from helpers.live.taskbox import SHOWN, TaskBox
from helpers.loop import Learner
from helpers.networks import Actor
from helpers.stats import permutation_test
from helpers.tools import TOOLS

LESSON = Lesson(6)
AGENT = ("class A2CAgent", "losses_of_outcome =", "class ToolSelectionAgent")
PRINTED = "\n".join(LESSON.said(cell.id) for cell in LESSON.code())


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
    starts = (*AGENT, "import copy", "SETTINGS =", *starts)
    return LESSON.run(
        "import matplotlib.pyplot", "NAMES, COSTS =", "def outcome_losses", *starts, **names
    )


# --- exact numbers -------------------------------------------------------------------------------


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
    sign_test = LESSON.run("def sign_test", np=np)["sign_test"]
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
    taught = LESSON.run("v_mean =", chance=chance, COSTS=COSTS, np=np, R=chance)
    assert taught["v_mean"] == pytest.approx(value[True])


def test_gamma_leaves_no_trace_with_one_call():
    gamma_matters = lesson("def gamma_matters")["gamma_matters"]
    assert gamma_matters(retry=True) and not gamma_matters(retry=False)


def test_the_agent_of_the_lesson_is_the_packages():
    names = lesson("outcome = Rollout")
    ours, weights = names["ours"], names["weights"]
    for other in (names["base"].actor, names["base"].critic), (names["actor"], names["critic"]):
        assert torch.allclose(ours, weights(*other), atol=1e-6)
    agent = names["ToolSelectionAgent"](6)
    assert not torch.allclose(ours, weights(agent.actor, agent.critic), atol=1e-3)  # it learned
    before = agent.actor(names["X"][0]).softmax(-1)[2].item()
    for _ in range(20):
        agent.learn_from_outcome(names["X"][0], 2, success=True)
    assert agent.actor(names["X"][0]).softmax(-1)[2] > before
    assert {agent.choose_tool(names["X"][n]) for n in range(300)} == set(range(6))


def agent_with(outcome_losses):
    """The lesson's agent, and the losses that it uses, where the learner wrote these."""
    more = {"checks": checks, "losses": losses, "networks": networks, "COSTS": COSTS}
    names = LESSON.run(*AGENT, outcome_losses=outcome_losses, torch=torch, **more)
    return names["ToolSelectionAgent"](6), names["losses_of_outcome"]


def test_the_learners_own_losses_train_the_agent(capsys):
    def mine(log_prob, value, right, cost):
        asked.append((right, cost))
        advantage = (1.1 if right else 0.0) - 0.1 - cost - value
        return [-log_prob * advantage.detach(), advantage.square() / 2]

    asked = []
    agent, used = agent_with(mine)
    assert used is mine and "your own function of exercise 6.2" in capsys.readouterr().out
    asked.clear()
    task = torch.from_numpy(tool_tasks.embed(["What is 3 plus 4?"])[0])
    before = agent.actor(task)
    agent.learn_from_outcome(task, tool_used=5, success=False)
    assert asked == [(False, 0.5)] and not torch.equal(agent.actor(task), before)


def test_losses_that_fail_their_check_train_nobody(capsys):
    _, used = agent_with(lambda log_prob, value, right, cost: (value, value))
    assert used is checks.outcome_losses.solution
    assert "our function of exercise 6.2" in capsys.readouterr().out


@pytest.mark.parametrize("gamma", [0.0, 0.27, 0.29, 1.0])
def test_a_try_is_worth_what_its_two_calls_are(gamma):
    """Against all orders of the same two tools; and where it begins to pay."""
    tasks = task_set(held_out=True)
    n = tasks.kinds.index("date or sum?")
    two = play_in_order(tasks.meanings[n], tasks.right[n], [0, PERSON], gamma)
    assert checks.worth_of_a_try.solution(0.5, 0.02, 0.5, gamma) == pytest.approx(two)
    assert (two > 0.5) == (gamma > 0.28)


# --- the early panel, and the predictions ---------------------------------------------------------


@pytest.fixture(scope="module")
def early():
    tasks = task_set(held_out=True)
    names = {"held_out": tasks, "R": tool_tasks.expected_rewards(tasks), "NAMES": NAMES, "np": np}
    without_panel = SimpleNamespace(**{**vars(live), "LivePanel": lambda *_, **__: None})
    return LESSON.run("early-picture", "early-panel", **names, live=without_panel)


@pytest.mark.parametrize("price", [0.0, 0.03, 0.5, 0.57, 1.0, 1.2])
def test_the_early_panel_shows_the_environments_own_rewards(early, price):
    costs = np.append(tool_tasks.COSTS[:-1], price)
    rewards = tool_tasks.expected_rewards(early["held_out"], costs).round(9)
    asked = (rewards[:, PERSON] > rewards[:, :PERSON].max(1)).mean()
    picture = early["price_picture"]()
    for request, n in early["examples"].items():
        item = early["weigh"](price, request)
        earned, where = item.value
        assert earned == pytest.approx(rewards[n]) and where == (price, asked)
        best = [name for name, earns in zip(NAMES, rewards[n]) if earns == rewards[n].max()]
        assert re.match(rf"Best here: ({'|'.join(best)}), {earned.max():.2f}", item.said)
        assert f"For {asked:.0%} of all requests: the person" in item.said
        before = picture.png()
        picture.add(item)
        assert picture.png() != before


@pytest.fixture
def came_out():
    return functools.partial(LESSON.came_out, live=live, np=np)


def test_what_the_early_steps_say(early):
    assert LESSON.came_out("early-question", "early-steps", **early) == ["about 30%"]
    shares = [early["colleague_best"](price) for price in (0.01, 0.05, 0.56, 0.58, 1.13)]
    assert shares[0] == 1 and shares[-1] == 0
    assert shares[1] - shares[2] < 0.01 < 0.05 < shares[2] - shares[3]


def day(favourite):
    best = torch.from_numpy(tool_tasks.expected_rewards(task_set(held_out=True)).argmax(1))
    slow = SimpleNamespace(actor=lambda X: torch.eye(6)[favourite(best)])
    return {"slow": slow, "best": best, "X": None}


def groups(patient, hurry):
    luck = np.random.default_rng(0).normal(0, 0.1, (3, 16))
    three = luck - luck.mean(1, keepdims=True) + np.array([[patient], [hurry], [0]])
    return dict(zip(("patient", "hurry", "asleep"), three), permutation_test=permutation_test)


def pay(reward, right):
    time = np.tile(np.arange(60.0), (8, 1))
    return {"curves": {"measured": reward * time, "right": right * time}}


REVEALED = [  # the question and what reveals it, what is given, and what comes out
    ("slow-day", day(lambda best: best), "to read the requests"),
    ("slow-day", day(lambda best: best * 0 + PERSON), "to ask the colleague"),
    ("slow-day", day(lambda best: best * 0), "to do without the colleague"),
    ("slow-day", day(lambda best: torch.arange(len(best)) % 6), "nothing yet"),
    ("groups", groups(0.0, 0.0), "from neither"),
    ("groups", groups(1.0, 0.0), "only from the patient one"),
    ("groups", groups(0.0, 1.0), "only from the one in a hurry"),
    ("groups", groups(1.0, -1.0), "from both"),
    ("pay", pay(1, 1), "both rise"),
    ("pay", pay(1, -1), "reward up, right answers down"),
    ("pay", pay(-1, 1), "reward down, right answers up"),
    ("pay", pay(-1, -1), "both fall"),
]


@pytest.mark.parametrize(("name", "given", "answer"), REVEALED)
def test_what_comes_out_of_a_prediction(came_out, name, given, answer):
    assert came_out(f"{name}-question", f"{name}-reveal", **given) == [answer]


@pytest.mark.parametrize("earned", [0.3, 0.5, 0.63, 0.68, 0.7, 0.72, 0.8])
def test_rewards_for_a_label(came_out, earned):
    labels = [30, 100, 300, 1000, 3000]
    means = [printed(rf" {count} labels: earned (.*),") for count in labels]
    names = {"LABELS": labels, "labelled": np.array(means)[:, None, None]}
    names |= {"ours": np.array([earned]), "requests": [20_000]}
    (answer,) = came_out("label-question", "tools-051", **names)
    rewards = 20_000 / np.exp(np.interp(earned, means, np.log(labels)))
    number = float(answer.removeprefix("about "))
    assert number / 10**0.5 <= rewards <= number * 10**0.5


def test_from_which_gamma_on_a_try_pays(came_out):
    tasks = task_set(held_out=True)
    names = {"NAMES": NAMES, "COSTS": COSTS, "held_out": tasks}
    names |= {"n": tasks.kinds.index("date or sum?"), "worth": checks.worth_of_a_try.solution}
    cells, options = ("calendar-question", "calendar-reveal"), []
    for start in (0.1, 0.28, 0.5):  # however the best order came out
        best_way = lambda _, __, gamma, start=start: (0, 0 if gamma >= start else PERSON)  # noqa: E731
        options += came_out(*cells, **names, best_way=best_way)
    assert [option.split()[2] for option in options] == ["smaller", "same", "larger"]
    assert (
        came_out(*cells, best_way=LESSON.run("def best_way", np=np, **names)["best_way"], **names)
        == options[:1]
    )


def test_each_prediction_is_tested():
    tested = ("early", "slow-day", "label", "calendar", "groups", "pay")
    assert LESSON.asked() == [f"{name}-question" for name in tested]
    assert LESSON.code()[-1].source == "live.score()"


# --- the task box --------------------------------------------------------------------------------


@pytest.fixture
def box():
    generator = torch.Generator().manual_seed(0)
    return TaskBox(Actor(512, 6, hidden=(), agents=2, generator=generator), "What is 12 * 7 - 3?")


def test_the_box_answers_its_first_request_and_again(box):
    assert box.reply.says[0] == "81"
    text = box._repr_mimebundle_()["text/plain"]
    assert all(name in text for name in NAMES) and "What is 12 * 7 - 3?" in text
    assert box.reply.probabilities.sum() == pytest.approx(1)
    box.answer.value = ""
    box.button.click()
    assert f"reaches for: {NAMES[box.reply.chosen]}" in box.answer.value


TYPED = ["", "   ", "x" * 100_000, "日本語で何ですか", "مرحبا", "1/0", "31 February", "9**9**9**9"]
TYPED += ["__import__('os').system('rm -rf /')", "<img src=x onerror=alert(1)>", "\x00\u202e\n"]


@pytest.mark.parametrize("typed", TYPED)
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
    names = lesson(
        "from helpers.training import evaluate", "GROUPS =", "class ToolUse", "def train("
    )
    names["SEVERAL"]["total_steps"] = 1280
    return names


CALLS = "one call", "until right"


@each_end(gamma=(0.0, 1.0), lr=(1e-3, 1.0), calls=CALLS, person_cost=(0.0, 1.2))
def test_every_end_of_the_sliders_trains_and_draws(panel, settings):
    picture = panel["tool_picture"]()
    picture.restart("run")
    for item in panel["train"](**settings, agents=1):
        picture.add(item)
        assert len(picture.png()) > 5000 and "nan" not in item.words()
        assert item.shares.sum() == pytest.approx(1, abs=1e-4)
    assert item.fraction == 1 and len(picture.rows()) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "Mean return 0.60.*calculator \\(50%\\).*entropy 1.00 nats.$"),
        ({"shares": torch.full((6,), math.nan)}, "^Diverged"),
        ({"entropy": torch.zeros(2)}, "2 of 2 policies are deterministic"),
        ({"entropy": torch.tensor([0.0, 1.0])}, "1 of 2 policies is deterministic"),
        ({"entropy": torch.zeros(1)}, "The policy is deterministic"),
    ],
)
def test_the_panel_says_what_went_wrong(panel, change, said):
    shares = torch.tensor([0.5, 0.1, 0.1, 0.1, 0.1, 0.1])
    item = panel["ToolUse"](100, 1.0, torch.tensor([0.5, 0.7]), torch.ones(2), shares)
    assert re.search(said, item._replace(**change).words())


# --- what the collapsed answers and the prose say, on other agents -------------------------------


@pytest.fixture(scope="module")
def full():
    return lesson(
        "def judge",
        "from helpers.training import evaluate",
        "GROUPS =",
        "def serve",
        "class ToolUse",
        "def train(",
    )


SETS = each_seed("seed", [77, 78, 79])  # three sets of agents, none the lesson's


@SETS
def test_the_collapsed_answers_on_sixteen_other_agents(full, seed):
    def end(**change):
        *_, item = full["train"](agents=16, seed=seed, **change)
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
    assert fast.returns.mean() < usual.returns.mean() - 0.2
    assert slow.entropy.mean() > 1.5 and (slow.shares < 0.3).all()


def printed(pattern):
    """A number that the stored lesson prints; the pattern has one group."""
    (number,) = re.findall(pattern, PRINTED)
    return float(number)


@pytest.fixture(scope="module", params=[78, 3001, 3002])
def readers(request, full):
    """Sixteen agents trained as in section 5: rewards, accuracies, policies [16, N, tools], actor."""
    *_, report = full["a2c"]("ToolTasks-v0", agents=16, seed=request.param, **full["SETTINGS"])
    policy = report.actor(full["X"].expand(16, -1, -1)).softmax(-1).detach()
    return *full["judge"](report.actor), policy, report.actor


@pytest.mark.hardening
def test_reading_pays_and_labels_pay_more(readers):
    earned, accuracy, *_ = readers
    labels = [printed(rf" {count} labels: earned (.*),") for count in (30, 100, 300, 1000, 3000)]
    assert (earned > 0.5).all() and (earned < labels[2]).all() and accuracy.mean() > 0.7
    worth = math.exp(np.interp(earned.mean(), labels, np.log([30, 100, 300, 1000, 3000])))
    assert round(worth, -2) == 200  # so a hundred rewards a label


@pytest.mark.hardening
def test_where_it_goes_wrong(readers):
    _, _, policy, _ = readers
    tasks = task_set(held_out=True)
    kinds, rewards = np.array(tasks.kinds), tool_tasks.expected_rewards(tasks)
    hits = (policy.argmax(-1).numpy() == rewards.argmax(1)).mean(0)
    gaps = rewards.max(1) - (policy.mean(0).numpy() * rewards).sum(1)
    names = sorted(set(kinds), key=lambda kind: hits[kinds == kind].mean())[:7]
    assert {"date or sum?", "units", "memory", "weekday", "taste", "capital"} <= set(names)
    regrets = {name: gaps[kinds == name].mean() for name in names}
    assert regrets["date or sum?"] < 0.07 and min(regrets, key=regrets.get) == "date or sum?"
    assert all(regrets[name] > 0.15 for name in ("units", "memory", "weekday", "taste", "capital"))

    def share(start, tool):
        asked = np.char.startswith(tasks.texts, start)
        return policy[:, asked, NAMES.index(tool)].mean().item()

    assert share("Where have you put", "table") > 0.45 > share("Where have you put", "person")
    assert share("Tell me the weekday", "calculator") > 0.3
    assert share("Which city governs", "person") > 0.5 > 0.3 > share("Which city governs", "table")


@pytest.mark.hardening
def test_some_agents_never_find_the_converter(readers):
    training = task_set()
    kinds, at_best = np.array(training.kinds), tool_tasks.expected_rewards(training).argmax(1)

    def shares(kind):
        """Of each agent, how often it calls the best tool for this kind, in training phrasings."""
        of_kind = np.flatnonzero(kinds == kind)[:300]
        seen = torch.from_numpy(training.embeddings[of_kind]).expand(16, -1, -1)
        policy = readers[3](seen).softmax(-1).detach()
        best = torch.from_numpy(at_best[of_kind])[None, :, None].expand(16, -1, 1)
        return policy.gather(-1, best).mean((1, 2))

    units = shares("units")
    assert 2 <= (units < 0.1).sum() <= 10 and (units > 0.7).sum() >= 5
    assert all((shares(kind) > 0.9).all() for kind in ("memory", "taste", "reverse"))
    found = (units > 0.8).sum()  # it is found last
    assert all(
        (shares(kind) > 0.8).sum() >= found + 3 for kind in ("weekday", "sum", "days between")
    )
    right = tool_tasks.chances(training).mean(0)
    assert right[1] == pytest.approx(1 / 18, abs=0.003)
    assert right[[0, 2, 3, 4]].min() > 2 * right[1]


@each_seed("first", [100, 200, 300])
def test_notes_earn_more_than_any_of_the_agents_with_sixteen_other_seeds(first):
    names = lesson("def keep_notes", training=task_set())
    earned = np.array([names["keep_notes"](20_000, s)[0] for s in range(first, first + 16)])
    assert earned.min() > max(0.74, printed(r"the best of our agents (.*)"))
    assert earned.mean() > printed(r"1000 labels: earned (.*),")  # at most 20 rewards a label


@each_seed("seed", [3001, 3002, 3003])
def test_who_does_not_know_the_price_always_asks(full, seed):
    free = {"env_options": {"person_cost": 0.0}, "total_steps": 20_000}
    *_, report = full["a2c"]("ToolTasks-v0", agents=8, seed=seed, **{**full["SETTINGS"], **free})
    policy = report.actor(full["X"].expand(8, -1, -1)).softmax(-1)
    assert policy[..., PERSON].mean() > 0.95
    assert full["judge"](report.actor)[0].max() < printed(r"knew the price earn (\S*) to")


@SETS
def test_the_three_groups_on_sixteen_other_agents(full, seed):
    groups = {name: full["serve"](seed=seed, **changes) for name, changes in full["GROUPS"].items()}
    returns = {name: group[0] for name, group in groups.items()}
    patient, others = returns["patient"], ("in a hurry", "critic asleep")
    for other in others:
        assert permutation_test(patient, returns[other]) < 0.01
        assert groups["patient"][1].mean() < 0.2 < 0.4 < groups[other][1].mean()
    hurry, asleep = (returns[other].mean() for other in others)
    assert patient.mean() > max(hurry, asleep) + 0.02
    assert abs(hurry - asleep) < 0.6 * (patient.mean() - min(hurry, asleep))


@each_seed("first", [11, 15, 19])
def test_the_classic_agent_falls_for_the_person_on_other_seeds(first):
    names = lesson("import gymnasium", "def work")
    X, R = names["X"], torch.from_numpy(names["R"])
    learned = []
    for seed in range(first, first + 4):
        slow, fast = (names["ToolSelectionAgent"](6, lr=lr, seed=seed) for lr in (0.001, 0.01))
        days = [names["work"](agent, 2500, seed=seed) for agent in (slow, fast)]
        assert days[1][-1000:].mean() > days[0][-1000:].mean() > names["R"].mean() + 0.1
        for agent, share in ((slow, 0.95), (fast, 0.5)):
            favourite = agent.actor(X).argmax(1)
            assert (favourite == PERSON).float().mean() > share
        names["work"](fast, 2500, seed=seed + 1000)
        policy = fast.actor(X).softmax(-1)
        assert policy[:, PERSON].mean() > 0.35  # most still ask
        learned.append((policy * R).sum(1).mean().item() > 0.53)
    assert sum(learned) >= 3  # one in twelve learns nothing but to ask


@each_seed("start", [3, 4, 5])
def test_the_wrong_pay_on_other_agents(start):
    names = lesson("UPDATE =", "def learn(pay")
    options = {"hidden": (), "agents": 8, "generator": torch.Generator().manual_seed(start)}
    actor, critic = networks.Actor(512, 6, **options), networks.Critic(512, **options)
    learner = Learner(actor, critic, networks.make_optimiser(actor, critic, lr=0.1))
    *_, honest = names["learn"]("right", learner, seed=start)
    *_, hacked = names["learn"]("answered", learner, seed=start)
    tasks = names["held_out"]
    measured = tasks.answered * 1.1 - 0.1 - COSTS
    score = lambda policy, table: (policy * table).sum(-1).mean(-1)  # noqa: E731
    assert (score(hacked, measured) > score(honest, measured) + 0.1).all()
    assert (score(hacked, names["R"]) < score(honest, names["R"]) - 0.1).all()
    assert score(hacked, names["R"]).mean() < 0.4
    assert hacked[..., NAMES.index("wordplay")].mean() > 0.6
