"""Imported in the kernels of test_panels_under_fire: what there is to work, how the panels stand."""

import asyncio
import contextlib
import ctypes
import gc
import html
import itertools
import random
import re
import sys
import threading
import types

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.figure import Figure

from helpers.errors import SlipError
from helpers.live import Annotator, AskBox, Film, LivePanel, controls
from helpers.live.film import _spoken
from helpers.live.page import table
from helpers.live.panel import FINE
from helpers.live.picture import items_of
from helpers.live.player import Player

TEXTS = ["", "0", "0.015", "1", "-1e400", "nan", "ß" * 2000, "__import__('os')", "\x00\n<b>"]
COUNTED = (Figure, Player, types.GeneratorType, asyncio.TimerHandle)


def pass_over_interrupts(unraisable):
    """Python drops an interrupt that comes within a finaliser, and says so: no fault of ours."""
    if unraisable.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(unraisable)


sys.unraisablehook = pass_over_interrupts


def on_page(kind):
    """In an interrupted cell more may have been made, of which nobody has seen anything."""
    made = [things for runs in controls._made.values() for things in runs.values()]
    return [thing for things in made for thing in things if isinstance(thing, kind)]


def panels():
    return [panel for panel in on_page(LivePanel) if not panel._closed]


def buttons(panel):
    """Pause (or Resume), Step, Keep and Reset."""
    found = [part for part in panel._box.children[1].children if isinstance(part, widgets.Button)]
    return sorted(found, key=lambda button: button.description == "Reset")


def worked(panel):
    """The widgets by which a panel's controls are worked: of a Slider its bar."""
    return [
        c.children[0] if isinstance(c, controls.Slider) else c for c in panel._controls.values()
    ]


def fields(panel):
    """The fields beside the panel's sliders, for numbers."""
    return [c.children[1] for c in panel._controls.values() if isinstance(c, controls.Slider)]


def targets():
    """All that a learner can work: [id, the messages that work it, its kind]. Kinds: "control" and
    "reset" of a panel, "button" for its others, "player" of a player, "plain" for all else."""
    kinds = {}
    for panel in panels():
        kinds |= dict.fromkeys(worked(panel), "control") | dict.fromkeys(fields(panel), "plain")
        kinds |= dict.fromkeys(buttons(panel), "button") | {buttons(panel)[-1]: "reset"}
    for player in on_page(Player):
        kinds |= {player.button: "player", player.agent: "player"}
    kinds |= {film.slider: "plain" for film in on_page(Film)}
    kinds |= {part: "plain" for box in on_page(AskBox) for part in (box.field, box.button)}
    kinds |= {part: "plain" for box in on_page(Annotator) for part in (*box.buttons, box.undo)}
    return [[w.model_id, messages(w), kind] for w, kind in kinds.items()]


def messages(widget):
    """What a page sends when a widget is worked: of a slider both ends and seven places between."""
    if isinstance(widget, widgets.Button):
        return [{"method": "custom", "content": {"event": "click"}}]
    return [{"method": "update", "state": s, "buffer_paths": []} for s in states(widget)]


def states(widget):
    if hasattr(widget, "options"):
        return [{"index": k} for k in range(len(widget.options))]
    if not hasattr(widget, "max"):
        return [{"value": text} for text in TEXTS]
    return [{"value": int(place)} for place in np.linspace(widget.min, widget.max, 9)]


def standing(patience):
    """Of each panel, once it rests: its status, its controls' states by id, and what is wrong."""
    return [
        [
            panel.wait(patience),
            {
                c.model_id: c.get_state([key for key in ("index", "value") if key in c.keys])
                for c in worked(panel)
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
        != ", ".join(controls.label(panel.values, panel._controls)),
        "the table is not the picture's": panel._table.value != table(rows),
        "the picture is not the newest": bytes(panel._image.value) != panel._picture.png(FINE),
        "the status is not the newest": html.escape(panel._words) not in panel._status.value,
        "neither at an end nor paused": not done
        and not panel._words.startswith(("Stopped: ", "Paused at")),
        "the button does not say that it is paused": panel._paused
        != (buttons(panel)[0].description == "Resume"),
        "not trained to the end": done and not panel._progress.value == panel.latest.fraction == 1,
    }


def unanswered():
    """The films and text boxes on the page that do not show what their slider or field says."""
    films, boxes = on_page(Film), on_page(AskBox)
    shown = [(bytes(film._image.value), film._caption.value) for film in films]
    places = [film.slider.value for film in films]
    right = [(f._frames[k], _spoken(f._captions[k])) for f, k in zip(films, places)]
    shown += [box.answer.value for box in boxes]
    right += [box.reply_to(box.field.value).html() for box in boxes]
    for box in on_page(Annotator):
        shown.append(re.findall(r"(\d+) of", box._said.value))
        right.append([str(box.answered)])
    return [str(said)[-200:] for said, expected in zip(shown, right) if said != expected]


def replayed(patience):
    """Train each panel's values in the cell while all panels train: where the numbers differ."""
    found, before = [], {panel: numbers(panel.latest) for panel in panels()}
    for panel, expected in before.items():
        for other in before:
            other.set(**other.values)
        found += differences("in the lesson", last(panel), expected)
    for panel, expected in before.items():
        panel.wait(patience)
        found += differences("in the panel", panel.latest, expected)
    return found


def last(panel):
    """The last item of a run with the panel's values, be it the end or where a SlipError stops it."""
    item = None
    with contextlib.suppress(SlipError):
        for item in filter(None, items_of(panel._train(**panel.values))):
            pass
    return item


def numbers(item):
    """All that an item holds, with weights in place of networks and codes in place of letters."""
    found = [part.state_dict() if isinstance(part, torch.nn.Module) else part for part in item]
    return [[*part.encode()] if isinstance(part, str) else part for part in found]


def differences(place, item, expected):
    try:
        torch.testing.assert_close(numbers(item), expected, rtol=0, atol=0, equal_nan=True)
    except AssertionError as error:
        return [f"{place}: {error}"]
    return []


def run_often(count, seed):
    """Let the panels make so many runs of two updates, each with one control moved at random."""
    rng, found = random.Random(seed), panels()
    for panel in found:
        train, panel._train = panel._train, shortened(panel._train, 2)
        for _ in range(count // len(found) + 1):
            control = rng.choice(worked(panel))
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
        for item in itertools.islice(filter(None, items_of(train(**values))), updates):
            yield item
        yield item._replace(fraction=1.0)

    return short


class Mallinfo2(ctypes.Structure):
    """Of the C library's allocator; see mallinfo(3)."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    ]


def megabytes():
    """What is in use: resident memory would say how it lies, and differ from run to run."""
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = Mallinfo2
    said = mallinfo2()
    return (said.uordblks + said.hblkhd) / 1e6


def census():
    """What is alive: threads, megabytes, and how many of the things that could pile up."""
    threads = threading.enumerate()  # first, since one that is ending still holds its run
    for name in ("last_exc", "last_value", "last_traceback"):
        vars(sys)[name] = None  # what an interrupted cell had in hand
    gc.collect()
    things = gc.get_objects()
    pictures = [t for t in things if type(t) is LivePanel and getattr(t, "_picture", None)]
    return {
        "threads": sorted(thread.name for thread in threads),
        "megabytes": megabytes(),
        "counts": {kind.__name__: sum(type(x) is kind for x in things) for kind in COUNTED}
        | {"widgets": len(widgets.Widget.widgets), "pictures": len(pictures)},
    }
