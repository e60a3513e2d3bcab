"""Predictions: what a learner chooses is kept, revealed and counted; what isn't answered is passed over."""

import pytest

from helpers import live
from helpers.errors import SlipError

COLOURS = ["red", "green", "blue"]


@pytest.fixture
def ask(no_page):
    """Ask a question; a guess and how sure, in percent, are what a learner would press."""

    def ask(question="Which?", guess=None, percent=None):
        prediction = live.predict(question, COLOURS)
        assert (prediction.guess, prediction.sure) == (None, None)
        prediction._guess.value = guess
        if percent is not None:
            prediction._sure.value = percent / 100
        return prediction

    return ask


def test_without_a_guess_nothing_is_said_or_counted(ask, capsys):
    ask().reveal("red")
    live.score()
    assert capsys.readouterr().out == "" and live.predictions() == []


def test_what_comes_out_is_said_and_counted_at_the_end(ask, capsys):
    guesses = [("red", 100), ("red", 90), ("green", 90), ("blue", 50), ("red", None), (None, None)]
    for number, (guess, percent) in enumerate(guesses):
        ask(f"Question {number}?", guess, percent).reveal(["red", "yellow"])
    live.score()
    first, _, third, _, fifth, said = capsys.readouterr().out.splitlines()
    assert first == "You guessed: red, 100% sure. And it came out."
    assert third == "You guessed: green, 90% sure. And it came out otherwise: red or yellow."
    assert fifth == "You guessed: red. And it came out."
    assert said == "Of your 5 predictions 3 came out; of the 3 that you were sure of, 2."
    assert live.predictions() == [(1, True), (0.9, True), (0.9, False), (0.5, False), (None, True)]


def test_a_question_asked_again_counts_once(ask):
    ask(guess="red").reveal("red")
    ask(guess="green").reveal("red")
    assert live.predictions() == [(None, False)]


def test_a_guess_may_change_until_it_is_revealed(ask):
    prediction = ask(guess="red", percent=50)
    prediction._guess.value = "blue"
    assert "Noted: blue, 50% sure" in prediction._said.value
    prediction.reveal("blue")
    assert prediction.right and prediction._guess.disabled and prediction._sure.disabled


def test_readers_see_question_and_options(ask):
    text = ask("1 < 2?")._repr_mimebundle_()["text/plain"]
    assert text == "Predict. 1 < 2?\n- red\n- green\n- blue"
    assert "1 &lt; 2?" in ask("1 < 2?")._box.children[0].value


@pytest.mark.parametrize("options", [[], ["one"], ["one", "one"], [1, 2]])
def test_options_that_are_none(options):
    with pytest.raises(SlipError, match="at least two options"):
        live.predict("Which?", options)
