"""Predictions that a learner commits to before an experiment: a choice, how sure, what came out."""

import html

import ipywidgets as widgets
from IPython.display import display

from helpers.errors import SlipError
from helpers.live.controls import answer_at_once, choice, close, replace_earlier

SURE = 0.9  # from here on "sure" in the line at a lesson's end
_asked = {}  # question -> its newest Prediction, in the order in which they were asked


class Prediction:
    """A question with its choices as buttons; `reveal` says what came out.

    guess: the option chosen, or None. sure: how sure, from 0.5 to 1, or None. right: whether it came
    out, or None before that. Kept in the kernel alone: no file is written, a restart forgets it.
    """

    def __init__(self, question, options):
        if len({*options}) < max(2, len(options)) or not all(isinstance(o, str) for o in options):
            raise SlipError("A prediction needs at least two options, each a text of its own.")
        self.question, self.options, self.right = question, options, None
        sure = [(f"{percent} %", percent / 100) for percent in range(50, 101, 10)]
        self._guess, self._sure = choice("your guess", options), choice("how sure", sure, 0.5)
        self._said = widgets.HTML()
        for buttons in self._guess, self._sure:
            buttons.value = None  # none is pressed yet
            buttons.observe(self._say, "value")
            answer_at_once(buttons)
        title = widgets.HTML(f"<b>Predict.</b> {html.escape(question)}")
        self._box = widgets.VBox([title, self._guess, self._sure, self._said])
        self._say()
        _asked.pop(question, None)  # asked again, it counts anew
        _asked[question] = self
        replace_earlier(self)

    @property
    def guess(self):
        return self._guess.value

    @property
    def sure(self):
        return self._sure.value

    def reveal(self, answer):
        """Print whether the guess came out; nothing where none was made.

        answer: the option that came out, or a list of all that did.
        """
        if self.guess is None:
            return
        answers = [answer] if isinstance(answer, str) else [*answer]
        self.right = self.guess in answers
        self._guess.disabled = self._sure.disabled = True
        out = "it came out" if self.right else f"it came out otherwise: {' or '.join(answers)}"
        print(f"You guessed: {self._words()}. And {out}.")

    def close(self):
        """Take the question off the page and free its memory."""
        close(self._box)

    def _words(self):
        return self.guess if self.sure is None else f"{self.guess}, {self.sure:.0%} sure"

    def _say(self, _change=None):  # in whatever thread: it only sets a text
        if self.guess is None:
            said = "Choose one, then run on."
        elif self.sure is None:
            said = f"Noted: {self._words()}. How sure are you?"
        else:
            said = f"Noted: {self._words()}. Run on to see."
        self._said.value = f'<div role="status">{html.escape(said)}</div>'

    def _repr_mimebundle_(self, **_):
        options = "".join(f"\n- {option}" for option in self.options)
        return {**self._box._repr_mimebundle_(), "text/plain": f"Predict. {self.question}{options}"}


def predict(question, options):
    """Show a question with its options as buttons, and how sure one is; returns the Prediction."""
    prediction = Prediction(question, options)
    display(prediction)
    return prediction


def predictions():
    """The guesses made and revealed in this kernel: a list of (how sure or None, came out)."""
    return [(asked.sure, asked.right) for asked in _asked.values() if asked.right is not None]


def score():
    """Print how many of the predictions came out, and of the sure ones; nothing where none was made."""
    made = predictions()
    sure = [right for how, right in made if how is not None and how >= SURE]
    if made:
        tail = f"; of the {len(sure)} that you were sure of, {sum(sure)}" if sure else ""
        count = f"{len(made)} prediction{'s' * (len(made) > 1)}"
        print(f"Of your {count} {sum(right for _, right in made)} came out{tail}.")
