"""The annotator's choices: kept in their order, taken back, and not lost when its cell runs again."""

import ipywidgets as widgets
import pytest

from helpers import live
from helpers.errors import SlipError

PAIRS = [("a b", "b a"), ("<i>a</i>", "c"), ("d", "e")]


@pytest.fixture
def annotator(no_page, request):
    return live.Annotator(PAIRS, question=f"Which, in {request.node.name}?")


def press(annotator, *names):
    """Press buttons as a learner does: 0 for the first text, 1 for the second, "undo"."""
    for name in names:
        (annotator.undo if name == "undo" else annotator.buttons[name]).click()


def shown(annotator):
    return [text.value for text in annotator._texts]


def test_choices_come_in_the_order_of_the_pairs(annotator):
    assert annotator.choices == [None] * 3 and shown(annotator) == ["a b", "b a"]
    press(annotator, 1)
    assert shown(annotator) == ["&lt;i&gt;a&lt;/i&gt;", "c"]  # a text is never markup
    press(annotator, 0)
    assert annotator.choices == [1, 0, None] and annotator.answered == 2
    assert "2 of 3 answered" in annotator._said.value


def test_a_choice_can_be_taken_back(annotator):
    assert annotator.undo.disabled
    press(annotator, "undo", 1, 0, "undo", 1, "undo", "undo")
    assert annotator.choices == [None] * 3 and shown(annotator) == ["a b", "b a"]


def test_after_the_last_pair_nothing_is_left_to_choose(annotator):
    press(annotator, 0, 0, 1, 1)
    assert annotator.choices == [0, 0, 1] and shown(annotator) == ["", ""]
    assert all(button.disabled for button in annotator.buttons)
    press(annotator, "undo", 0)
    assert annotator.choices == [0, 0, 0]


def test_choices_outlive_a_second_run_of_the_cell(annotator):
    press(annotator, 1, 0)
    annotator.close()
    again = live.Annotator(PAIRS, question=annotator.question)
    assert again.choices == [1, 0, None] and shown(again) == ["d", "e"]
    assert live.Annotator(PAIRS[:2], question=annotator.question).answered == 0


def test_two_that_show_the_same_pairs_each_say_what_was_chosen_there(annotator):
    """A second page has its own box; whoever is made later goes on from the newest choices."""
    other = live.Annotator(PAIRS, question=annotator.question)
    press(annotator, 1, 0)
    press(other, 0)
    for one, choices in ((annotator, [1, 0, None]), (other, [0, None, None])):
        assert one.choices == choices and f"{one.answered} of 3 answered" in one._said.value
    assert live.Annotator(PAIRS, question=annotator.question).choices == other.choices


def test_a_closed_annotator_leaves_nothing_behind(no_page):
    before = set(widgets.Widget.widgets)
    live.Annotator(PAIRS).close()
    assert set(widgets.Widget.widgets) == before


def test_readers_see_the_first_pair(annotator):
    text = annotator._repr_mimebundle_()["text/plain"]
    assert text == f"{annotator.question}\n- a b\n- b a\n(3 pairs)"


@pytest.mark.parametrize("pairs", [[], [("a", "a")], [("a", 1)], [("a",)], "no", [None]])
def test_pairs_that_are_none(pairs):
    with pytest.raises(SlipError, match="pair"):
        live.Annotator(pairs)
