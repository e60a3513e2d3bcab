"""How quickly do the lessons' live panels answer?

    python tests/benchmarks/live.py [--quick] [--lesson 04]

Each lesson that has panels runs in a fresh kernel, without a browser, up to the cell of its last
panel. Then each panel is measured in that kernel, its other settings left as they are:

first picture    from a move of its first slider (gamma), while nothing trains, to the next
                 picture: the new run's empty axes and its ghosts
... with data    to the picture that shows the new run's first update
finished         to the picture of the new run's end
frame            CPU of drawing the finished run once more, as PNG
fine             CPU of drawing it as finely as it stays on the page
cancel           from a move while a run is under way to the first update of the new one

Times are wall milliseconds, but for those of a frame. The panel's first run warms up.
"""

import itertools
import json
import os
import time
from typing import NamedTuple

import measure
import nbformat

from helpers.live import LivePanel
from helpers.live.controls import Slider
from helpers.live.panel import FINE
from helpers.live.picture import items_of

OPTIONS = [
    ("lesson", "", "only lessons whose names begin so; every lesson"),
    ("repetitions", 7, "how often each is measured"),
]
QUICK = {"repetitions": 2}
LATE = 120.0  # seconds; whatever takes longer is an error
COLUMNS = ("first picture", "... with data", "finished")  # of a whole run
COLUMNS += ("frame", "fine", "cancel")


class Event(NamedTuple):
    seconds: float
    run: int  # which run of the panel, from 1
    item: object  # what training yielded, or None for a picture, be it like the one before


class Watched:
    """A panel whose items and pictures are noted as they come."""

    def __init__(self, panel):
        self.panel, self.events, self.runs = panel, [], 0
        self.train, self._draw = panel._train, panel._draw
        self._move = itertools.cycle(places(panel))
        panel._train, panel._draw = self._start, self._drawn

    def _start(self, **values):
        self.runs += 1
        return self._follow(self.runs, self.train(**values))

    def _follow(self, run, items):
        for item in items_of(items):
            if item is not None:
                self._note(run, item)
            yield item

    def _drawn(self):
        self._draw()
        self._note(self.runs, None)

    def _note(self, run, item):
        self.events.append(Event(time.perf_counter(), run, item))

    def move(self):
        """Move the slider to its other place: when, and the number of the run that follows."""
        now, run = time.perf_counter(), self.runs + 1
        self.panel.set(**next(self._move))
        return now, run

    def until(self, run, fraction=0.0):
        """When the first item came of this run that is so far done: waits for it."""
        end = time.monotonic() + LATE
        while time.monotonic() < end:
            for event in self.of(run):
                if event.item and event.item.fraction >= fraction:
                    return event.seconds
            time.sleep(0.001)
        raise TimeoutError(f"no item of run {run} after {LATE} s")

    def of(self, run):
        return [event for event in self.events if event.run == run]


def places(panel):
    """The two places between which the panel's first slider that trains is moved; none without one."""
    for name, control in panel._controls.items():
        if isinstance(control, Slider) and name not in panel._pointers:
            here = control.places.index(control.value)
            there = control.places[here - 1 if here else 1]
            return [{name: there}, {name: control.value}]
    return []


def measure_panel(panel, repetitions):
    """Milliseconds by column, each a list."""
    panel.wait(LATE)
    watched, found = Watched(panel), {column: [] for column in COLUMNS}
    for _ in range(repetitions):
        for column, seconds in whole_run(watched).items():
            found[column].append(1000 * seconds)
    for column, scale in (("frame", 1), ("fine", FINE)):
        frames = measure.repeat(lambda scale=scale: panel._picture.png(scale), repetitions)
        found[column] = [1000 * frame.cpu for frame in frames]
    _, run = watched.move()
    for _ in range(repetitions):
        watched.until(run, 0.1)
        begin, run = watched.move()
        found["cancel"].append(1000 * (watched.until(run) - begin))
    panel.close()
    return found


def whole_run(watched):
    """Seconds from a move, while nothing trains, to what follows it."""
    watched.events.clear()
    begin, run = watched.move()
    watched.panel.wait(LATE)
    events = watched.of(run)
    pictures = [event.seconds for event in events if event.item is None]
    items = [event.seconds for event in events if event.item is not None]
    moments = {
        "first picture": pictures[0],
        "... with data": next(picture for picture in pictures if picture > items[0]),
        "finished": next(picture for picture in pictures if picture > items[-1]),
    }
    return {column: moment - begin for column, moment in moments.items()}


def note_panels():
    """Called in a lesson's kernel, first of all: a list to which each panel made there is added."""
    made, make = [], LivePanel.__init__

    def make_and_note(self, *arguments, **controls):
        make(self, *arguments, **controls)
        made.append(self)

    LivePanel.__init__ = make_and_note
    return made


def measure_all(made, **options):
    """Measure every panel of these that is open and has a slider to move, print the results as JSON."""
    panels = [panel for panel in made if not panel._closed and places(panel)]
    for panel in panels:  # one that trains would count as another's CPU
        panel.wait(LATE)
    results = {", ".join(p.values): measure_panel(p, **options) for p in panels}
    print(json.dumps(results))


def measure_lesson(path, options):
    """Run a lesson up to its last panel, then measure: what measure_all printed, or {}."""
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    with_panel = [n for n, cell in enumerate(cells) if "LivePanel(" in cell.source]
    if not with_panel:
        return {}
    folder = os.path.dirname(os.path.abspath(__file__))
    first = nbformat.v4.new_code_cell(
        f"import sys; sys.path.insert(0, {folder!r}); import live as benchmark_\n"
        "panels_ = benchmark_.note_panels()"
    )
    last = nbformat.v4.new_code_cell(
        f"benchmark_.measure_all(panels_, repetitions={options.repetitions})"
    )
    notebook.cells = [first, *cells[: with_panel[-1] + 1], last]
    measure.execute(notebook, path.parent)
    return json.loads("".join(o.text for o in last.outputs if o.get("name") == "stdout"))


def main():
    options = measure.start(__doc__, OPTIONS, QUICK)
    os.environ.pop("COURSE_FOREGROUND", None)  # panels train in their threads, as for a learner
    found = {}
    for path in sorted(measure.LESSONS.glob(f"{options.lesson}*.ipynb")):
        print(f"{path.stem} ...", flush=True)
        for controls, columns in measure_lesson(path, options).items():
            found[f"{path.stem[:2]}: {controls}"] = columns
    if not found:
        raise SystemExit(f"No lesson whose name begins with {options.lesson!r} has a panel.")
    rows = [
        [name, *(measure.spread(columns[c], digits=0) for c in COLUMNS)]
        for name, columns in found.items()
    ]
    measure.table("Median (range), ms", ["panel", *COLUMNS], rows)

    def slowest(column):
        return max(measure.median(columns[column]) for columns in found.values())

    print("\nThe bars are about the slowest panel's median.")
    measure.print_bars(
        ("slider to first new picture", slowest("first picture"), 150, " ms"),
        ("... that shows the new run", slowest("... with data"), 150, " ms"),
        ("CPU of a frame", slowest("frame"), 20, " ms"),
        ("cancel", slowest("cancel"), 100, " ms"),
    )


if __name__ == "__main__":
    main()
