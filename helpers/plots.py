"""Figures of the lessons, each with alt text, and live pictures for the panels.

Lessons draw with pyplot in their own cells. Live pictures never touch pyplot: they are drawn by a
panel's worker thread while cells run, each on a Figure of its own.
"""

import html
import io
import os
import re

import matplotlib
import numpy as np
from cycler import cycler
from IPython.core.pylabtools import print_figure
from IPython.display import display
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

# Okabe & Ito's palette: distinct to colour-blind readers. Line styles tell the lines apart in grey.
COLOURS = {
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "black": "#000000",
    "grey": "#7F7F7F",
}
LINE_STYLES = ("-", "--", "-.", ":")
GHOSTS = 3  # earlier runs that a live picture keeps

_CYCLE = list(COLOURS.values())[:4]
matplotlib.rcParams.update(
    {
        "axes.prop_cycle": cycler(color=_CYCLE) + cycler(linestyle=LINE_STYLES),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.alpha": 0.3,
        "figure.dpi": 100,
        "figure.figsize": (8, 3.2),
        "figure.constrained_layout.use": True,
        "font.size": 11,
        "legend.frameon": False,
    }
)


def show(figure, alt):
    """Display a figure with its alt text, a sentence or two on what is to be seen, and close it.

    Raises ValueError where the alt text or the label of an axis with numbers is missing.

    The alt text is stored with the picture. JupyterLab 4 does not read it from there, so where
    somebody is looking (COURSE_FOREGROUND is not set) the output is also an <img> that has it.
    """
    if not alt.strip():
        raise ValueError("Every figure needs alt text that says what is to be seen.")
    png = print_figure(figure, "png", base64=True)
    _check_labels(figure)
    data = {"image/png": png, "text/plain": "A figure."}
    if not os.environ.get("COURSE_FOREGROUND"):
        data["text/html"] = f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{png}">'
    display(data, metadata={"image/png": {"alt": alt}}, raw=True)
    plt.close(figure)


def _check_labels(figure):
    """Raise ValueError if an axis of a drawn figure has numbers, but no label that names them."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis) if axes.axison else ():
            shown = [tick.get_text() for tick in axis.get_ticklabels() if tick.get_visible()]
            numbers = any(re.fullmatch(r"[−\d.]+|\$.*\$", text) for text in shown)
            if numbers and not axis.get_label_text().strip():
                raise ValueError(f"The {axis.axis_name} axis needs a label that names its numbers.")


def band(axes, x, runs, label, **style):
    """Draw the mean over runs as a line and the middle 80 % of the runs as a band around it.

    x: [N]; runs: [R, N], one row a run (NaN where a run has no value). Returns the line.
    """
    x, runs = np.asarray(x), np.asarray(runs, float)
    known = ~np.isnan(runs).all(0)  # NumPy warns of means over nothing
    x, runs = x[known], runs[:, known]
    (line,) = axes.plot(x, np.nanmean(runs, 0), label=label, **style)
    low, high = np.nanpercentile(runs, [10, 90], axis=0)
    axes.fill_between(x, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    return line


class LivePicture:
    """What live pictures share: a Figure drawn in three layers, so that a frame costs milliseconds.

    The axes are drawn once, `still` (the ghosts) once a run, `moving` (the current run) in each
    frame. Both hold artists made with animated=True; a subclass calls `redraw_still` or
    `redraw_axes` after it changed what lies in those layers.
    """

    def __init__(self, width=8.6, height=3.4):
        self.figure = Figure(figsize=(width, height), dpi=100)
        self.still, self.moving = [], []
        self._canvas = FigureCanvasAgg(self.figure)
        self.redraw_axes()

    def redraw_axes(self):
        self._axes_layer = self._still_layer = None

    def redraw_still(self):
        self._still_layer = None

    def png(self):
        """The picture as it stands, as PNG bytes."""
        if self._axes_layer is None:
            self._canvas.draw()
            _check_labels(self.figure)
            self._axes_layer = self._layer()
        if self._still_layer is None:
            self._paint(self._axes_layer, self.still)
            self._still_layer = self._layer()
        self._paint(self._still_layer, self.moving)
        image = Image.fromarray(np.asarray(self._canvas.buffer_rgba())).convert("RGB")
        image.save(stream := io.BytesIO(), "png", compress_level=1)
        return stream.getvalue()

    def _layer(self):
        return self._canvas.copy_from_bbox(self.figure.bbox)

    def _paint(self, layer, artists):
        self._canvas.restore_region(layer)
        for artist in artists:
            artist.axes.draw_artist(artist)


class _Run:
    """One run as a LearningCurve remembers it: its numbers, since each item holds whole actors."""

    def __init__(self, label):
        self.label, self.last = label, None
        self.steps, self.returns, self.entropies = [], [], []  # N, [N, K] and N numbers

    def add(self, item):
        self.last = item
        self.steps.append(item.steps)
        self.returns.append(item.recent_returns.numpy())
        self.entropies.append(item.entropy.mean().item())

    def draw(self, lines):
        lines[0].set_data(self.steps, np.mean(self.returns, 1))
        lines[1].set_data(self.steps, self.entropies)


class LearningCurve(LivePicture):
    """Live picture of Progress: the mean recent return over the agents, each agent as a thin line,
    and the policy's entropy beside it. Up to three earlier runs stay as ghosts.

    highest: top of the axis of returns; goal: the return drawn as a line; actions: how many the
    agent chooses from (the most entropy is their logarithm).
    """

    def __init__(self, *, highest=500, goal=475, actions=2):
        super().__init__()
        self._runs = []
        self._total = 0
        self._axes = self.figure.subplots(1, 2, width_ratios=(2.2, 1))
        returns, entropies = self._axes
        returns.set(ylim=(0, 1.04 * highest), xlabel="environment steps of each agent")
        returns.set(ylabel="return (recent episodes)")
        returns.axhline(goal, color=COLOURS["grey"], lw=1, ls=":")
        left = returns.get_yaxis_transform()  # x in parts of the axis, y in returns
        returns.text(
            0.01, goal, f"goal {goal}", transform=left, va="bottom", fontsize=9, color="0.35"
        )
        entropies.set(ylim=(0, 1.06 * np.log(actions)), xlabel="environment steps")
        entropies.set(ylabel="policy entropy (nats)")
        for axes, intervals in zip(self._axes, (5, 2)):
            axes.locator_params(axis="x", nbins=intervals)  # room for numbers of six digits
        self._current = [_line(axes, RUN_STYLES[0]) for axes in self._axes]
        self._each = _line(returns, {**RUN_STYLES[0], "lw": 0.8, "alpha": 0.5})
        dot = {"color": COLOURS["blue"], "marker": "o", "ms": 6, "clip_on": False}
        self._here = [_line(axes, dot) for axes in self._axes]
        self.moving = [self._each, *self._current, *self._here]
        self._ghosts = [[_line(a, style) for a in self._axes] for style in RUN_STYLES[1:]]
        self.still = [line for pair in self._ghosts for line in pair]

    def restart(self, label):
        """Begin a new run. The one before becomes a ghost, if it got a quarter of its way."""
        earlier = [run for run in self._runs if run.last and run.last.fraction >= 0.25][-GHOSTS:]
        self._runs = [*earlier, _Run(label)]
        for lines, run in zip(self._ghosts, reversed(earlier)):
            run.draw(lines)
        for line in self.moving:
            line.set_data([], [])
        self.redraw_still()

    def add(self, item):
        """Take in one more Progress."""
        self._runs[-1].add(item)
        if item.steps > self._total:  # at first, and again where episodes grow longer
            self._total = round(item.steps / item.fraction)
            for axes in self._axes:
                axes.set_xlim(0, self._total)
            self.redraw_axes()

    def png(self):
        """The picture as it stands, as PNG bytes."""
        if self._runs and self._runs[-1].last:
            run = self._runs[-1]
            run.draw(self._current)
            agents = np.array(run.returns).T
            gap = np.full((len(agents), 1), np.nan)  # lifts the pen between two agents
            steps = np.tile([*run.steps, np.nan], len(agents))
            self._each.set_data(steps, np.hstack([agents, gap]).ravel())
            for dot, line in zip(self._here, self._current):  # of a single update all there is
                dot.set_data(*(values[-1:] for values in line.get_data()))
        return super().png()

    def rows(self):
        """Of the current run and its ghosts, newest first: (line's look, settings, result)."""
        return [
            (name, run.label, run.last.words() if run.last else "Starting.")
            for name, run in zip(RUN_NAMES, reversed(self._runs))
        ]


RUN_STYLES = [
    {"color": COLOURS[colour], "ls": style, "lw": width}
    for colour, style, width in zip(
        ("blue", "vermilion", "green", "purple"), LINE_STYLES, (2.6, 1.6, 1.6, 1.6)
    )
]
RUN_NAMES = ("blue, solid", "orange-red, dashed", "green, dash-dotted", "pink, dotted")


def _line(axes, style):
    (line,) = axes.plot([], [], animated=True, **style)
    line.set_in_layout(False)  # what moves must not move the axes
    return line
