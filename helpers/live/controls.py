"""The controls of a live panel: sliders and their like, and how a panel deals with them."""

import math
from numbers import Integral, Real

import ipywidgets as widgets
import traitlets
from IPython import get_ipython

from helpers.errors import SlipError

_made = {}  # cell id -> {(page, execution count): what the cell put on that page when it ran}


class Slider(widgets.HBox):
    """A slider over `places`, and a field beside it that takes any number between their ends.

    value: the number, whole where all places are. The page is told which place the slider stands
    at, and nothing more: it would answer a step of 0.01 from 0.01 with 0.0999..., a run nobody asked
    for. What the field cannot take stays in it, with a sentence beside it.
    """

    value = traitlets.Any()

    def __init__(self, description, value, places):
        self.description, self.places = description, [*places]
        self.min, self.max = min(self.places), max(self.places)
        self._kind = int if all(isinstance(place, int) for place in self.places) else float
        if not self.min <= value <= self.max:
            raise SlipError(f"{description}: {value} is not from {self.min:g} to {self.max:g}.")
        self._bar = widgets.IntSlider(
            0, min=0, max=len(self.places) - 1, readout=False, **look(description, "24em")
        )
        tip = f"{description}: type a number, then Enter"
        self._field = widgets.Text(continuous_update=False, tooltip=tip, layout={"width": "4.6em"})
        self._note = widgets.HTML()
        super().__init__([self._bar, self._field, self._note])
        self.observe(self._show, "value")
        self.value = value
        self._bar.observe(self._moved, "value")
        self._field.observe(self._typed, "value")

    @traitlets.validate("value")
    def _cast(self, proposal):
        return self._kind(proposal.value)

    def _show(self, _change=None):
        self._bar.value, self._field.value = self.nearest(self.value), number_text(self.value)
        self._note.value = ""

    def nearest(self, value):
        """The number of the place that is nearest to a value."""
        return min(range(len(self.places)), key=lambda k: abs(self.places[k] - value))

    def _moved(self, _change):
        if self._bar.value != self.nearest(self.value):  # a typed number may lie between two places
            self.value = self.places[self._bar.value]

    def _typed(self, change):
        if change.new == number_text(self.value):  # what `_show` writes may be rounded
            self._note.value = ""
            return
        try:
            value = self._kind(change.new.replace(",", ".", 1))  # a decimal comma
        except ValueError:
            value = math.nan
        if self.min <= value <= self.max:
            self.value = value
            self._show()  # also where it was that value before
        else:
            whole = "whole " if self._kind is int else ""
            self._note.value = f"a {whole}number from {self.min:g} to {self.max:g}, please"


def slider(description, value, low, high, step):
    """Slider from low to high, `step` apart, with a field that takes any number between."""
    count = round((high - low) / step)
    return Slider(description, value, [round(low + k * step, 10) for k in range(count + 1)])


def gamma(value=0.99):
    """Slider for the discount, from 0 to 1; ten times finer above 0.9, where most happens."""
    fine = [k / 1000 for k in range(900, 1001)]
    return Slider("discount gamma", value, [*(k / 100 for k in range(90)), *fine])


def learning_rate(value, *, low=1e-4, high=1.0, description="initial learning rate"):
    """Slider for the learning rate, on a logarithmic scale: twenty round numbers to a power of ten."""
    first, last = (round(20 * math.log10(end)) for end in (low, high))
    places = [float(f"{10 ** (k / 20):.2g}") for k in range(first, last + 1)]
    return Slider(description, value, places)


def choice(description, options, value=None):
    """One button for each option; the first is chosen, or `value`."""
    chosen = options[0] if value is None else value
    style = look(description, width="max-content", button_width="auto")
    style["layout"]["max_width"] = "100%"  # then the buttons wrap
    buttons = widgets.ToggleButtons(options=options, value=chosen, **style)
    for name in ("jupyter-widgets", "widget-inline-hbox"):  # lost in ipywidgets 8.1.9
        buttons.add_class(name)  # the label beside the buttons, as elsewhere
    return buttons


def agents(value=4):
    """Choice of how many agents train side by side: 1, 4 or 8."""
    return choice("agents", [1, 4, 8], value)


def seed(value=0):
    """Field for the random seed: another seed is another run of luck."""
    return widgets.BoundedIntText(value, min=0, max=10**6, **look("random seed", width="17em"))


def image(png, **layout):
    """A picture, no wider than its box less its margins; stretched by the box it would blur."""
    layout |= {"max_width": "calc(100% - 4px)", "align_self": "flex-start"}
    return widgets.Image(value=png, format="png", layout=layout)


def button(description, tooltip, callback):
    """A button of a panel; callback takes it as its argument."""
    made = widgets.Button(description=description, tooltip=tooltip, layout={"width": "6em"})
    made.on_click(callback)
    answer_at_once(made)
    return made


def number_text(value):
    """A number as the controls and tables show it: at most four digits of a fraction."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def label(values, controls):
    """The settings of a run in words, as in ["discount gamma 0.99", "agents 4"]."""
    return [f"{controls[name].description} {number_text(v)}" for name, v in values.items()]


def check_value(name, value, controls):
    """Raise SlipError unless there is a control of this name that can take the value."""
    if name not in controls:
        raise SlipError(f"The panel has no control {name!r}; it has {', '.join(controls)}.")
    control = controls[name]
    if hasattr(control, "options"):
        known = isinstance(value, str | Real) and value in control.options
        if not known or isinstance(value, bool) != isinstance(control.value, bool):
            raise SlipError(f"{name} must be one of {control.options}, but is {value!r}.")
        return
    whole, low, high = isinstance(control.value, int), control.min, control.max
    kind, words = (Integral, "a whole number") if whole else (Real, "a number")
    if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
        raise SlipError(f"{name} must be {words} from {low:g} to {high:g}, but is {value!r}.")


def answer_at_once(widget):
    """Let a widget, and what it is made of, be heard while a cell runs.

    ipykernel 7.4 hands a widget's messages to the thread that sent it the last one: at first that is
    the one that runs cells, later one that may have ended when the page was closed. Now they go
    where JupyterLab sends them, to a thread of their own. And comm would let IPython show and close
    all figures after each message, among them one that a cell is drawing meanwhile.
    """
    for part in (widget, *getattr(widget, "children", ())):
        if part.comm is not None:
            part.comm._reply_subshell_for = lambda _data, thread: thread
            part.comm.handle_msg = part._handle_msg


def close(widget, keep=()):
    """Close a widget with all that it is made of, but for what is in `keep`: closing a box alone
    keeps its parts in memory."""
    if widget in keep:
        return
    parts = [getattr(widget, name, None) for name in ("layout", "style")]
    for part in [*getattr(widget, "children", ()), *filter(None, parts)]:
        close(part, keep)
    widget.close()


def replace_earlier(new):
    """Close what this cell made when it ran before: it is off the page, but would go on working.

    new: has close(), and is closed in its turn when the cell runs again. A copy of a notebook on the
    same kernel is another page whose cells have the same ids, and a page loaded again is one too: so
    what the cell made for one other page, the newest, stays.
    """
    shell = get_ipython()
    parent = getattr(shell, "get_parent", dict)()
    cell = parent.get("metadata", {}).get("cellId")
    if not cell:
        return
    page = parent.get("header", {}).get("session")
    runs, run = _made.setdefault(cell, {}), (page, shell.execution_count)
    runs.setdefault(run, []).append(new)  # first, since an interrupt may come
    here = [key for key in runs if key[0] == page and key != run]
    elsewhere = [key for key in runs if key[0] != page]
    for key in [*here, *elsewhere[:-1]]:
        for thing in runs[key]:
            thing.close()
        del runs[key]


def look(description, width="30em", label_width="9.5em", **style):
    """The keyword arguments by which a widget bears its description."""
    style |= {"description_width": label_width}
    return {"description": description, "style": style, "layout": {"width": width}}
