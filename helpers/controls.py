"""The controls of a live panel: sliders and their like, and how a panel deals with them."""

import math
from numbers import Integral, Real

import ipywidgets as widgets
from IPython import get_ipython

from helpers.errors import SlipError

_made = {}  # cell id -> (execution count, what the cell put on the page when it ran)


def gamma(value=0.99):
    """Slider for the discount, from 0 to 1."""
    return widgets.FloatSlider(
        value, min=0, max=1, step=0.01, readout_format=".2f", **_look("discount gamma")
    )


def learning_rate(value, *, low=1e-4, high=1.0, description="initial learning rate"):
    """Slider for the learning rate, on a logarithmic scale from low to high."""
    step, lowest = 0.05, math.log10(low)
    exponent = round(lowest + round((math.log10(value) - lowest) / step) * step, 9)
    return widgets.FloatLogSlider(
        10**exponent,  # on the slider's grid: off it the browser would move it
        min=lowest,
        max=math.log10(high),
        step=step,
        readout_format=".3g",
        **_look(description),
    )


def agents(value=4):
    """Choice of how many agents train side by side: 1, 4 or 8."""
    look = _look("agents", button_width="3em")
    buttons = widgets.ToggleButtons(options=[1, 4, 8], value=value, **look)
    for name in ("jupyter-widgets", "widget-inline-hbox"):  # lost in ipywidgets 8.1.9
        buttons.add_class(name)  # the label beside the buttons, as elsewhere
    return buttons


def seed(value=0):
    """Field for the random seed: another seed is another run of luck."""
    return widgets.BoundedIntText(value, min=0, max=10**6, **_look("random seed", width="17em"))


def label(values, controls):
    """The settings of a run in words, as in "discount gamma 0.99, agents 4"."""
    texts = {k: f"{v:.3g}" if isinstance(v, float) else str(v) for k, v in values.items()}
    return ", ".join(f"{controls[name].description} {text}" for name, text in texts.items())


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
    low, high = control.min, control.max
    if isinstance(control, widgets.FloatLogSlider):
        low, high = control.base**low, control.base**high
    whole = isinstance(control.value, int)
    kind, words = (Integral, "a whole number") if whole else (Real, "a number")
    if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
        raise SlipError(f"{name} must be {words} from {low:g} to {high:g}, but is {value!r}.")


def answer_at_once(widget):
    """Let a widget be heard while a cell runs.

    ipykernel 7.4 hands a widget's messages to the thread that sent it the last one: at first that is
    the one that runs cells, later one that may have ended when the page was closed. Now they go
    where JupyterLab sends them, to a thread of their own.
    """
    if widget.comm is not None:
        widget.comm._reply_subshell_for = lambda _data, thread: thread


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

    new: has close(), and is closed in its turn when the cell runs again.
    """
    shell = get_ipython()
    cell = shell and getattr(shell, "get_parent", dict)().get("metadata", {}).get("cellId")
    if not cell:
        return
    count, things = _made.get(cell, (None, []))
    earlier, things = ([], things) if count == shell.execution_count else (things, [])
    _made[cell] = shell.execution_count, [*things, new]  # first, since an interrupt may come
    for thing in earlier:
        thing.close()


def _look(description, width="30em", **style):
    style |= {"description_width": "9.5em"}
    return {"description": description, "style": style, "layout": {"width": width}}
