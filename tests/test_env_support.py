"""The support chat: against a solver without a table, and closed forms."""

import itertools
import math

import gymnasium
import numpy as np
import pytest
import torch

import helpers  # noqa: F401  (registers the environments)
from helpers import exact
from helpers.envs.support import support_chat, support_history, view
from helpers.errors import SlipError

IDS = ["SupportChat-v0", "SupportHistory-v0"]
CLEAR = dict(accuracy=0.8, question_cost=0.1, wrong_price=2.0, escalation_cost=0.2)
VAGUE = dict(accuracy=0.7, question_cost=0.2, wrong_price=3.0, escalation_cost=0.2)
ANSWER, CLARIFY, ESCALATE = range(3)


def recursion(b0, accuracy, question_cost, wrong_price, escalation_cost, rungs=60, questions=600):
    """Worth of stopping and of asking at b0, by backward induction on b0's own ladder; no table."""
    belief = 1 / (1 + (1 / b0 - 1) * (1 / accuracy - 1) ** np.arange(-rungs, rungs + 1.0))
    sure = np.maximum(belief, 1 - belief)
    stop = np.maximum(sure - wrong_price * (1 - sure), -escalation_cost)
    values, up = stop, belief * accuracy + (1 - belief) * (1 - accuracy)
    for _ in range(questions):
        higher, lower = np.append(values[1:], values[-1]), np.append(values[0], values[:-1])
        ask = up * higher + (1 - up) * lower - question_cost
        values = np.maximum(stop, ask)
    return stop[rungs], ask[rungs]


def border(low, high, setting):
    """Between which beliefs it is as good to ask as to stop, by bisection."""
    at_low = np.subtract(*recursion(low, **setting)) > 0
    for _ in range(50):
        middle = (low + high) / 2
        if (np.subtract(*recursion(middle, **setting)) > 0) == at_low:
            low = middle
        else:
            high = middle
    return low


def solved(setting, **options):
    mdp, beliefs = support_chat(**setting, **options)
    values = exact.optimal_values(mdp, 1.0)
    after = torch.where(mdp.terminal, 0.0, values)
    worth = (mdp.transitions * (mdp.rewards + after)).sum(-1)
    return beliefs[:-3], values[:-3].numpy(), worth[:-3].numpy()


def test_the_published_figures_by_a_recursion_without_a_table():
    assert max(recursion(0.5, **CLEAR)) == pytest.approx(0.52941, abs=5e-6)
    assert border(0.6, 0.99, CLEAR) == pytest.approx(0.9120, abs=5e-5)
    assert border(0.01, 0.4, CLEAR) == pytest.approx(0.0880, abs=5e-5)
    assert border(0.5, 0.7, VAGUE) == pytest.approx(0.619, abs=5e-4)
    assert border(0.7, 0.99, VAGUE) == pytest.approx(0.759, abs=5e-4)
    assert border(0.3, 0.5, VAGUE) == pytest.approx(0.381, abs=5e-4)
    assert border(0.01, 0.3, VAGUE) == pytest.approx(0.241, abs=5e-4)


@pytest.mark.parametrize(
    "setting",
    [
        CLEAR,
        VAGUE,
        dict(accuracy=0.95, question_cost=0.02, wrong_price=5.0, escalation_cost=0.5),
        dict(accuracy=0.6, question_cost=0.01, wrong_price=0.0, escalation_cost=0.0),
        dict(accuracy=0.99, question_cost=0.3, wrong_price=6.0, escalation_cost=1.0),
    ],
    ids=str,
)
def test_the_table_that_ends_has_the_values_of_a_ladder_that_does_not(setting):
    beliefs, values, worth = solved(setting)
    for s in range(0, len(beliefs), 7):
        stop, ask = recursion(beliefs[s], **setting)
        assert values[s] == pytest.approx(max(stop, ask), abs=1e-9)
        if abs(stop - ask) > 1e-9:
            assert (worth[s].argmax() == CLARIFY) == (ask > stop)


def test_a_finer_table_holds_the_same_values():
    coarse, fine = solved(CLEAR, cells=2), solved(CLEAR, cells=20)
    assert len(fine[0]) > 5 * len(coarse[0])
    assert np.allclose(np.interp(0.5, *coarse[:2]), np.interp(0.5, *fine[:2]), atol=1e-12)


def test_the_random_walk_between_two_barriers():
    right, questions = 0.64 / 0.68, 2 / 0.68  # the gambler's ruin with a lead of two
    assert right - 2 * (1 - right) - 0.1 * questions == pytest.approx(0.5294117647)
    assert np.interp(0.5, *solved(CLEAR)[:2]) == pytest.approx(0.5294117647)


@pytest.mark.parametrize("accuracy", [0.5, 0.51, 0.7, 0.8, 0.99, 1.0])
def test_beliefs_are_calibrated_and_a_question_leaves_their_mean_alone(accuracy):
    mdp, beliefs = support_chat(accuracy=accuracy)
    b = np.nan_to_num(beliefs[:-3])
    inside = slice(None) if accuracy in (0.5, 1) else abs(b - 0.5) < 0.45  # its ends hold it back
    asked = mdp.transitions[:-3, CLARIFY, :-3].numpy()
    assert np.allclose((asked @ b)[inside], b[inside], atol=1e-12)
    assert np.allclose(mdp.transitions[:-3, ANSWER, -3].numpy(), np.maximum(b, 1 - b))
    assert mdp.start.sum().item() == pytest.approx(1)
    assert (mdp.start[:-3].numpy() @ b) == pytest.approx(0.5)
    assert (mdp.start[:-3].numpy() @ (b > 0.75)) == pytest.approx(0.25, abs=0.04)


def test_no_information_and_certainty():
    beliefs, values, worth = solved(CLEAR | {"accuracy": 0.5})
    assert CLARIFY not in worth.argmax(1)
    beliefs, values, worth = solved(CLEAR | {"accuracy": 1.0})
    assert beliefs[0] == 0 and beliefs[-1] == 1
    asks = worth.argmax(1) == CLARIFY
    assert np.allclose(values[asks], 0.9) and values[-1] == 1


def chat_from_one_half(render_mode=None):
    env = gymnasium.make(IDS[0], render_mode=render_mode, **CLEAR).unwrapped
    env.reset(seed=0)
    env.state = int(np.nanargmin(abs(env.dynamics.beliefs - 0.5)))
    return env


def test_a_chat_step_by_step():
    env = chat_from_one_half()
    observation, reward, terminated, truncated, _ = env.step(CLARIFY)
    assert reward == pytest.approx(-0.1) and not terminated and not truncated
    assert abs(observation[0]) == pytest.approx(0.6) and observation[1] == pytest.approx(0.2)
    _, reward, terminated, _, _ = env.step(ESCALATE)
    assert reward == pytest.approx(-0.2) and terminated
    with pytest.raises(SlipError, match=r"call reset\(\)"):
        env.step(ANSWER)


def test_what_is_seen_of_beliefs():
    assert np.allclose(
        view(np.array([0, 0.5, 0.9, np.nan])), [[-1, 1], [0, -1], [0.8, 0.6], [0, -1]]
    )


def test_histories_are_the_chat_from_one_half():
    mdp, histories = support_history(**CLEAR)
    assert exact.optimal_values(mdp, 1.0)[0].item() == pytest.approx(0.52941, abs=1e-5)
    rng, state, said = np.random.default_rng(0), 0, []
    for _ in range(2000):
        if len(said) == 8 or rng.random() < 0.1:
            state, said = 0, []
        chances = mdp.transitions[state, CLARIFY]
        after = rng.choice(chances.nonzero().ravel().numpy())
        reply = int(histories[after, 2])
        b = np.prod([0.8 if x == 1 else 0.2 for x in said])
        other = np.prod([0.2 if x == 1 else 0.8 for x in said])
        b = b / (b + other)
        assert mdp.transitions[state, ANSWER, -3].item() == pytest.approx(max(b, 1 - b))
        chance = 0.8 * b + 0.2 * (1 - b)
        chance = chance if reply == 1 else 1 - chance
        assert chances[after].item() == pytest.approx(chance)
        said.append(reply)
        state = after
        assert histories[state].tolist() == [said.count(1), said.count(2), reply]


def test_a_full_history_forgets_what_cancels_out():
    mdp, histories = support_history(longest=3)
    index = {tuple(h): s for s, h in reversed(list(enumerate(histories.tolist())))}
    after = lambda h: sorted(  # noqa: E731
        tuple(histories[s].tolist()) for s in mdp.transitions[index[h], CLARIFY].nonzero().ravel()
    )
    assert after((2, 1, 1)) == [(1, 1, 2), (2, 0, 1)]
    assert after((3, 0, 1)) == [(2, 0, 2), (3, 0, 1)]
    assert after((0, 2, 2)) == [(0, 3, 2), (1, 2, 1)]


@pytest.mark.parametrize(
    ("sees", "kinds"), [("belief", 17), ("replies", 45), ("count", 9), ("last", 3)]
)
def test_an_agent_sees_so_much(sees, kinds):
    env = gymnasium.make(IDS[1], sees=sees)
    assert env.observation_space.shape == (kinds,)
    assert env.reset(seed=0)[0].sum() == 1


NAN, INF = math.nan, math.inf
NONSENSE = [
    *(({"accuracy": x}, "from 0.5 to 1") for x in (1.2, -0.1, NAN, "0.8", True)),
    ({"accuracy": 0.3}, "use 0.7"),
    ({"accuracy": 0.501}, "at least 0.505"),
    ({"question_cost": 0.0}, "Were questions free"),
    *(({"question_cost": x}, "question_cost must be") for x in (-0.1, NAN, None)),
    *(({"wrong_price": x}, "wrong_price is a price") for x in (-1.0, INF)),
    *(({"escalation_cost": x}, "escalation_cost is a price") for x in (-0.2, NAN)),
]


@pytest.mark.parametrize(("wrong", "sentence"), NONSENSE, ids=str)
def test_nonsense_is_explained(wrong, sentence):
    for make in (
        lambda: support_chat(**wrong),
        lambda: support_history(**wrong),
        lambda: gymnasium.make(IDS[0], **wrong),
        lambda: gymnasium.make_vec(IDS[0], num_envs=2, **wrong),
        lambda: gymnasium.make_vec(IDS[1], num_envs=2, **wrong),
    ):
        with pytest.raises(SlipError, match=sentence):
            make()


def test_other_nonsense_is_explained():
    with pytest.raises(SlipError, match="sees must be one of belief, replies, count, last"):
        gymnasium.make(IDS[1], sees="everything")
    with pytest.raises(SlipError, match="cells must be"):
        support_chat(cells=0)
    with pytest.raises(SlipError, match="longest must be"):
        support_history(longest=0)


@pytest.mark.parametrize(
    "ends",
    list(itertools.product([0.5, 0.51, 0.99, 1.0], [0.01, 0.6], [0.0, 6.0], [0.0, 1.0])),
    ids=str,
)
def test_the_sliders_ends_make_a_chat_that_is_solved(ends):
    names = ["accuracy", "question_cost", "wrong_price", "escalation_cost"]
    mdp, beliefs = support_chat(**dict(zip(names, ends)))
    assert exact.optimal_values(mdp, 1.0).isfinite().all() and len(beliefs) < 500


def test_a_chat_as_text_and_as_a_bar():
    env = chat_from_one_half("ansi")
    assert env.render() == "intent 2 [##########..........] intent 1, belief 0.500"
    env.step(ESCALATE)
    assert env.render() == "ended: person"
    env = chat_from_one_half("rgb_array")
    picture = env.render()
    assert picture.shape == (32, 320, 3) and picture.dtype == np.uint8
    assert (picture[0, 159] != picture[0, 160]).any() and (picture == picture[:1]).all()
    env.state = len(env.dynamics.beliefs) - 2  # wrong
    assert (env.render() == [213, 94, 0]).all()
