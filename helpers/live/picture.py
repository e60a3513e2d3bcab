"""A live picture: its runs, their ghosts, its axes and the rows of its table.

    Picture(
        Curves(lambda p: p.recent_returns, ylabel="return", ylim=(0, 520), goal=475),
        Curves(lambda p: p.entropy.mean(), ylabel="entropy (nats)", ylim=(0, 0.7)),
        widths=(2.2, 1),
    )

What its axes show are parts (parts.py, cells.py, grid.py). A live picture never touches pyplot: it is
drawn by a panel's worker thread while cells run, on a Figure of its own.
"""

import io

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from helpers.errors import SlipError
from helpers.plots import COLOURS, check_labels

GHOSTS = 3  # earlier runs that a live picture shows
DPI = 100

# The colour that a run holds, its line while it is the newest, and its line as a ghost.
LOOKS = [
    ("blue", "blue", "dashed", "--"),
    ("vermilion", "orange-red", "dash-dotted", "-."),
    ("green", "green", "dotted", ":"),
    ("purple", "pink", "long dashes", (0, (8, 3))),
]


class Run:
    """One run as a picture remembers it."""

    def __init__(self, settings, look, parts):
        self.settings, self.look, self.kept = settings, look, False
        self.values = [[] for _ in parts]  # what each part has read
        self.last = None  # the newest item

    def name(self, ghost):
        """Its look in words."""
        _, colour, broken, _ = LOOKS[self.look]
        return f"{colour}, {broken if ghost else 'solid'}{', kept' if self.kept else ''}"


class Picture:
    """A live picture made of parts, one on each of its axes, side by side: the newest run, and up to
    three earlier ones as ghosts. Each run holds its colour; the newest is solid, the ghosts are
    broken, and a run that is kept stays.

    It is drawn in three layers, so that a frame costs milliseconds: the axes are drawn once, `still`
    (the ghosts) once a run, `moving` (the current run) in each frame. Both hold artists made with
    animated=True.

    parts: Curves, Bars, Plane, ...; a tuple of parts shares its axes, the first at the bottom.
    widths: of the axes, in proportion. mosaic: where they lie, A for the first part, as in "AB;AC".
    size: of the whole, in inches of 100 pixels.

    A picture belongs to one panel: make it in the panel's cell, or by a function that is called
    there, since a cell that runs again makes another panel.
    """

    def __init__(self, *parts, widths=None, mosaic=None, size=(8.6, 3.4)):
        self.figure = Figure(figsize=size, dpi=DPI)
        self._canvas = FigureCanvasAgg(self.figure)
        self.still, self.moving = [], []
        self.redraw_axes()
        groups = [part if isinstance(part, tuple) else (part,) for part in parts]
        self.parts = [part for group in groups for part in group]
        self.runs = []
        self.figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.06)
        letters = "ABCDEFGH"[: len(groups)]
        axes = self.figure.subplot_mosaic(mosaic or letters, width_ratios=widths)
        for letter, group in zip(letters, groups):
            for part in group:
                part.build(axes[letter])
                self.still += part.still
                self.moving += part.moving
        self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")  # or the axes would shift at each redrawing

    def restart(self, settings):
        """Begin a new run. The one before becomes a ghost, if it got a quarter of its way.

        settings: the run's, in words, a string or a list of them.
        """
        done = [r for r in self.runs if r.kept or (r.last and r.last.fraction >= 0.25)]
        for run in [r for r in done if not r.kept][: max(0, len(done) - GHOSTS)]:
            done.remove(run)
        free = set(range(len(LOOKS))) - {run.look for run in done}
        settings = [settings] if isinstance(settings, str) else [*settings]
        self.runs = [*done, Run(settings, min(free), self.parts)]
        for part in self.parts:
            part.restart()
        self.redraw()

    def redraw(self):
        """Draw all runs anew, where a part now shows something else of them."""
        for place in range(1 + GHOSTS):
            self._draw(place)
        self._still_layer = None

    def redraw_axes(self):
        """Draw all layers anew: what lies in the lowest has changed."""
        self._axes_layer = self._still_layer = None

    def add(self, item):
        """Take in one more item of the newest run. Raises SlipError where a part cannot show it."""
        if not self.runs:
            self.restart("")
        new = [part.read(item) for part in self.parts]
        for part, values, value in zip(self.parts, self.runs[-1].values, new):
            if not part.whole:
                values.clear()
            values.append(value)
            if part.follow(value, item.fraction):
                self.redraw_axes()
        self.runs[-1].last = item

    def keep(self):
        """Let later runs not push the newest one out, or let it go again; at most one is kept."""
        if self.runs:
            kept = self.runs[-1].kept
            for run in self.runs:
                run.kept = False
            self.runs[-1].kept = not kept

    def rows(self):
        """Of the newest run and its ghosts, newest first: (line's look, settings, result). Of a ghost's
        settings those that differ from the newest run's. No look where nothing has the run's colour."""
        seen = any(part.lines[0] or part.tinted for part in self.parts)
        return [
            (
                run.name(place > 0) if seen else "kept" if run.kept else "",
                self._settings(run),
                "Starting." if run.last is None else words_of(run.last),
            )
            for place, run in enumerate(reversed(self.runs))
        ]

    def png(self, scale=1):
        """The picture as it stands, as PNG bytes; `scale` times as fine, which takes longer."""
        if self.runs:
            for part, values in zip(self.parts, self.runs[-1].values):
                part.draw(0, values)
        return self._frame() if scale == 1 else self._whole(scale)

    @property
    def width(self):
        """Pixels on the page, however finely it is drawn."""
        return round(DPI * self.figure.get_figwidth())

    def _frame(self):
        if self._axes_layer is None:
            self._canvas.draw()
            check_labels(self.figure)
            self._axes_layer = self._layer()
        if self._still_layer is None:
            self._canvas.restore_region(self._axes_layer)
            self._paint(self.still)
            self._still_layer = self._layer()
        self._canvas.restore_region(self._still_layer)
        self._paint(self.moving)
        return self._encoded()

    def _whole(self, scale):
        """Drawn anew, so many times as fine."""
        try:
            self.figure.set_dpi(scale * DPI)
            self._canvas.draw()
            self._paint([*self.still, *self.moving])
            return self._encoded()
        finally:
            self.figure.set_dpi(DPI)  # the layers of the frames still fit

    def _layer(self):
        return self._canvas.copy_from_bbox(self.figure.bbox)

    def _paint(self, artists):
        for artist in artists:
            artist.axes.draw_artist(artist)

    def _encoded(self):
        image = Image.fromarray(np.asarray(self._canvas.buffer_rgba())).convert("RGB")
        image.save(stream := io.BytesIO(), "png", compress_level=1)
        return stream.getvalue()

    def _draw(self, place):
        """Put a run into its place, or nothing where there are not so many."""
        run = self.runs[-1 - place] if place < len(self.runs) else Run([], 0, self.parts)
        colour, _, _, broken = LOOKS[run.look]
        for part, values in zip(self.parts, run.values):
            part.tint(place, COLOURS[colour], broken if place else "-")
            part.draw(place, values)

    def _settings(self, run):
        newest = self.runs[-1]
        if run is newest:
            return ", ".join(run.settings)
        differing = [text for text in run.settings if text not in newest.settings]
        return ", ".join(differing) or "the same settings"


def words_of(item):
    """What an item says of itself, if it has words()."""
    return item.words() if hasattr(item, "words") else ""


def items_of(run):
    """The run that train returned, or of its only item."""
    try:
        return iter([run] if hasattr(run, "fraction") else run)
    except TypeError:
        raise SlipError(
            f"train(...) returned {'nothing' if run is None else type(run).__name__}, not a generator "
            "of items: does it end with a return, or yield?"
        ) from None
