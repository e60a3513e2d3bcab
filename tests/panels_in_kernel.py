"""Imported in the kernels of test_panels_under_fire: what there is to work, how the panels stand."""

import asyncio
import ctypes
import gc
import itertools
import random
import sys
import threading
import types

import ipywidgets as widgets
import numpy as np
import psutil
import torch
from matplotlib.figure import Figure

from helpers.controls import label
from helpers.live import LivePanel, _table
from helpers.player import Player

TEXTS = ["", "0", "-1e400", "nan", "ß" * 2000, "__import__('os')", "\x00\n<b>"]
COUNTED = (Figure, Player, types.GeneratorType, asyncio.TimerHandle)


def panels():
    """The panels on the page."""
    return [panel for panel in all_panels() if not panel._closed]


def all_panels():
    """But for those whose cell was interrupted before they were complete."""
    return [p for p in gc.get_objects() if type(p) is LivePanel and hasattr(p, "_box")]


def buttons(panel):
    """Pause (or Resume), Step and Reset."""
    return panel._box.children[1].children[:3]


def targets():
    """All that a learner can work: [id, the messages that work it, its kind]. Kinds: "control" and
    "reset" of a panel, "button" for its others, "plain" for what belongs to no panel."""
    kinds = {}
    for panel in panels():
        kinds |= dict.fromkeys(panel._controls.values(), "control")
        kinds |= dict.fromkeys(buttons(panel), "button") | {buttons(panel)[-1]: "reset"}
    live = {widget: messages(widget) for widget in widgets.Widget.widgets.values()}
    return [[w.model_id, found, kinds.get(w, "plain")] for w, found in live.items() if found]


def messages(widget):
    """What a page sends when a widget is worked: for a slider both ends and seven places between."""
    if isinstance(widget, widgets.Button):
        return [{"method": "custom", "content": {"event": "click"}}]
    return [{"method": "update", "state": s, "buffer_paths": []} for s in states(widget)]


def states(widget):
    if hasattr(widget, "options"):
        return [{"index": k} for k in range(len(widget.options))]
    if isinstance(widget, widgets.Checkbox | widgets.ToggleButton):
        return [{"value": True}, {"value": False}]
    if not hasattr(widget, "continuous_update"):  # a picture, a box: nothing to work
        return []
    if not hasattr(widget, "max"):
        return [{"value": text} for text in TEXTS]
    places = np.linspace(widget.min, widget.max, 9)
    if isinstance(widget, widgets.FloatLogSlider):
        places = widget.base**places
    return [{"value": type(widget.value)(place)} for place in places]


def standing(patience):
    """Of each panel, once it rests: its status, its controls' states by id, and what is wrong."""
    return [
        [
            panel.wait(patience),
            {
                c.model_id: c.get_state([key for key in ("index", "value") if key in c.keys])
                for c in panel._controls.values()
            },
            [sentence for sentence, wrong in faults(panel).items() if wrong],
        ]
        for panel in panels()
    ]


def faults(panel):
    """What may be wrong with a panel that rests, and whether it is."""
    rows, done = panel._picture.rows(), panel._words.startswith("Finished.")
    return {
        "it is not the last values that were trained": rows[0][1]
        != label(panel.values, panel._controls),
        "the table is not the picture's": panel._table.value != _table(rows),
        "the picture is not the newest": bytes(panel._image.value) != panel._picture.png(),
        "the status is not the newest": panel._words not in panel._status.value,
        "neither at the end nor paused": not done and not panel._words.startswith("Paused at"),
        "the button does not say that it is paused": panel._paused
        != (buttons(panel)[0].description == "Resume"),
        "not trained to the end": done and not panel._progress.value == panel.latest.fraction == 1,
    }


def replayed(patience):
    """Train each panel's values in the cell while all panels train: where the numbers differ."""
    found, before = [], {panel: numbers(panel.latest) for panel in panels()}
    for panel, expected in before.items():
        for other in before:
            other.set(**other.values)
        *_, last = panel._train(**panel.values)
        found += differences("in the lesson", last, expected)
    for panel, expected in before.items():
        panel.wait(patience)
        found += differences("in the panel", panel.latest, expected)
    return found


def numbers(item):
    """All that an item holds, with weights in place of networks."""
    network = torch.nn.Module
    return [part.state_dict() if isinstance(part, network) else part for part in item]


def differences(place, item, expected):
    try:
        torch.testing.assert_close(numbers(item), expected, rtol=0, atol=0, equal_nan=True)
    except AssertionError as error:
        return [f"{place}: {error}"]
    return []


def run_often(count, seed):
    """Let each panel make so many runs of two updates, each with one control moved at random."""
    rng = random.Random(seed)
    for panel in panels():
        train, panel._train = panel._train, shortened(panel._train, 2)
        for _ in range(count):
            control = rng.choice(list(panel._controls.values()))
            control.set_state(rng.choice(states(control)))
            panel.wait()
        panel._train = train


def shorten_all_runs(updates):
    """Let the runs of all panels to come end after so many updates."""
    make = LivePanel.__init__

    def make_short(self, train, *arguments, **controls):
        make(self, shortened(train, updates), *arguments, **controls)

    LivePanel.__init__ = make_short


def shortened(train, updates):
    def short(**values):
        for item in itertools.islice(train(**values), updates):
            yield item
        yield item._replace(fraction=1.0)

    return short


def census():
    """What is alive: threads, megabytes, and how many of the things that could pile up."""
    for name in ("last_exc", "last_value", "last_traceback"):
        vars(sys)[name] = None  # what an interrupted cell had in hand
    gc.collect()
    getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)(0)  # gives back what is free
    things = gc.get_objects()
    return {
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "megabytes": psutil.Process().memory_info().rss / 1e6,
        "counts": {kind.__name__: sum(type(x) is kind for x in things) for kind in COUNTED}
        | {"widgets": len(widgets.Widget.widgets)}
        | {"pictures": sum(panel._picture is not None for panel in all_panels())},
    }
