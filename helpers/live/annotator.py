"""Two boxes in which a learner meets a language model: one answers a text, one asks for a choice."""

import html
import threading

import ipywidgets as widgets

from helpers.errors import SlipError
from helpers.live.controls import answer_at_once, button, close, look, replace_earlier

_chosen = {}  # (question, pairs) -> the choices made: a cell that runs again goes on with them


class AskBox:
    """A text field, a button, and what `answer` makes of the text that stands in the field.

    answer: a function of the text alone; what it returns has html() and text(), its plain form.
    text: what stands in the field at first.
    """

    def __init__(self, answer, text="", *, label="your request"):
        self.reply_to = answer
        self.field = widgets.Text(
            text,
            placeholder="type here, then press Enter",
            continuous_update=False,
            **look(label, width="44em", label_width="7em"),
        )
        self.button = button("Ask", f"answer {label}", lambda _: self.ask())
        self.answer = widgets.HTML()
        self.box = widgets.VBox([widgets.HBox([self.field, self.button]), self.answer])
        self.field.observe(lambda _: self.ask(), "value")
        answer_at_once(self.field)
        self.ask()
        replace_earlier(self)

    def ask(self):
        """Answer what stands in the field; returns what `answer` made of it."""
        self.reply = self.reply_to(self.field.value)
        self.answer.value = self.reply.html()
        return self.reply

    def close(self):
        """Take the box off the page and free its memory."""
        close(self.box)

    def _repr_mimebundle_(self, include=None, exclude=None):
        """The live box, and for readers of the stored output the reply to the first text."""
        return {**self.box._repr_mimebundle_(), "text/plain": self.reply.text()}


class Annotator:
    """Shows pairs of texts, one after another; the learner chooses of each the better one.

    pairs: a list of (text, text), each pair of two different texts.
    choices: for each pair 0 (the first), 1, or None as long as it is not answered. They outlive a
    second run of the cell with the same pairs and question, not the kernel.
    Raises SlipError for pairs that are none.
    """

    def __init__(self, pairs, *, question="Which reply do you like better?"):
        self.pairs = [_pair(pair) for pair in pairs]
        if not self.pairs:
            raise SlipError("An Annotator needs at least one pair of texts.")
        self.question = question
        self._lock = threading.Lock()  # two presses may come in two threads: one after the other
        self._key = question, tuple(self.pairs)
        self.choices = list(_chosen.get(self._key, [None] * len(self.pairs)))
        self._said = widgets.HTML()
        self._texts = [widgets.HTML(), widgets.HTML()]
        names = ("First", "Second")
        self.buttons = [button(name, f"the {name.lower()} one", self._pressed) for name in names]
        self.undo = button("Undo", "take the last choice back", lambda _: self._take_back())
        rows = map(widgets.HBox, zip(self.buttons, self._texts))
        self.box = widgets.VBox([self._said, *rows, self.undo])
        self._show()
        replace_earlier(self)

    @property
    def answered(self):
        """How many pairs are answered: they are answered in their order."""
        return sum(choice is not None for choice in self.choices)

    def choose(self, which):
        """Answer the pair that is shown: 0 for the first text, 1 for the second."""
        with self._lock:
            if self.answered < len(self.pairs):
                self.choices[self.answered] = which
            self._show()

    def close(self):
        """Take the box off the page and free its memory; the choices stay."""
        close(self.box)

    def _pressed(self, pressed):
        self.choose(self.buttons.index(pressed))

    def _take_back(self):
        with self._lock:
            if self.answered:
                self.choices[self.answered - 1] = None
            self._show()

    def _show(self):
        _chosen[self._key] = list(self.choices)  # another page may show the same pairs
        done, over = self.answered, self.answered == len(self.pairs)
        for widget, text in zip(self._texts, ("", "") if over else self.pairs[done]):
            widget.value = html.escape(text)
        for one in self.buttons:
            one.disabled = over
        self.undo.disabled = not done
        title = "All are answered: run on." if over else html.escape(self.question)
        self._said.value = (
            f'<div role="status"><b>{title}</b> {done} of {len(self.pairs)} answered.</div>'
        )

    def _repr_mimebundle_(self, include=None, exclude=None):
        """The live box, and for readers of the stored output the first pair."""
        first, second = self.pairs[0]
        text = f"{self.question}\n- {first}\n- {second}\n({len(self.pairs)} pairs)"
        return {**self.box._repr_mimebundle_(), "text/plain": text}


def _pair(pair):
    texts = tuple(pair) if isinstance(pair, list | tuple) else ()
    if len(texts) != 2 or texts[0] == texts[1] or not all(isinstance(t, str) for t in texts):
        raise SlipError(f"A pair needs two different texts, but one is {pair!r}.")
    return texts
