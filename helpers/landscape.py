"""A live picture of gradient ascent on two parameters: the map of J, and the path on it."""

import math
from typing import NamedTuple

import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from helpers.plots import COLOURS, GHOSTS, RUN_NAMES, RUN_STYLES, LivePicture

EDGES = np.array([(-8, 8), (-4, 10)])  # of the map; where a path leaves it, it follows the edge
STEPS = 200  # of a run
LEVELS = np.arange(-1, 3.01, 0.25)  # the same for every gamma, so that maps can be compared
PALE = LinearSegmentedColormap.from_list("pale", ["#b8b8b8", "#ffffff"])
FLAT = 1e-4  # with a slope below this, an ordinary step changes nothing that shows


class Place(NamedTuple):
    """Where an ascent stands: what its generator yields."""

    fraction: float
    theta: tuple  # (x, y)
    gamma: float  # whose landscape it is
    height: float  # J there
    slope: float  # length of the gradient there

    def words(self):
        x, y = self.theta
        where = f"J = {self.height:.3f} at theta = ({x:.1f}, {y:.1f})"
        if self.slope < FLAT:
            return f"{where}. The ground is flat here: the slope is below {FLAT:g}."
        return f"{where}, where the slope is {self.slope:.4f}."


class Landscape(LivePicture):
    """Picture of Places: the path on the contours of J, and J at each step beside it.

    height: J(x, y, gamma) for arrays x and y of the two parameters.
    names: what each parameter decides, a probability sigmoid(theta), as in "P(sail | sea)".
    Up to three earlier runs stay as ghosts.
    """

    def __init__(self, height, *, names):
        super().__init__(height=4.0)
        self._height = height
        self._runs, self._gamma, self._contours = [], None, []
        self.figure.set_layout_engine("none")  # or the map would shift a little at each redrawing
        self._map = self.figure.add_axes((0.12, 0.16, 0.4093, 0.77))  # units alike on both axes
        self._curve = self.figure.add_axes((0.62, 0.16, 0.35, 0.77))
        self._label_map(names)
        self._curve.set(xlim=(0, STEPS), ylim=(-1.1, 3.1), xlabel="step", ylabel="J, mean return")
        self._lines = [
            [axes.plot([], [], animated=True, **style)[0] for axes in (self._map, self._curve)]
            for style in RUN_STYLES
        ]
        here = dict(marker="o", ms=9, mec=COLOURS["black"], color=RUN_STYLES[0]["color"])
        self._here = self._map.plot([], [], animated=True, clip_on=False, **here)[0]
        self.still = [line for pair in self._lines[1:] for line in pair]
        self.moving = [*self._lines[0], self._here]

    def restart(self, label):
        """Begin a new run. The one before becomes a ghost, if it got a quarter of its way."""
        done = [run for run in self._runs if run[1] and run[1][-1].fraction >= 0.25]
        self._runs = [*done[-GHOSTS:], (label, [])]
        for lines, (_, places) in zip(self._lines, reversed(self._runs)):
            self._draw(lines, places)
        self._here.set_data([], [])
        self.redraw_still()

    def add(self, place):
        """Take in one more Place. One with another gamma brings another map."""
        places = self._runs[-1][1]
        places.append(place)
        if place.gamma != self._gamma:
            self._gamma = place.gamma
            self._draw_contours()
        self._draw(self._lines[0], places)
        self._here.set_data(*self._on_map(places[-1:]))

    def rows(self):
        """Of the current run and its ghosts, newest first: (line's look, settings, result)."""
        return [
            (name, label, places[-1].words() if places else "Starting.")
            for name, (label, places) in zip(RUN_NAMES, reversed(self._runs))
        ]

    def _label_map(self, names):
        axes = self._map
        for axis, edges, name, gap in zip((axes.xaxis, axes.yaxis), EDGES, names, "\n "):
            ticks = np.arange(edges[0], edges[1] + 1, 4)
            words = [f"{t:g}{gap}{_percent(t)}" for t in ticks]
            axis.set_ticks(ticks, words, fontsize=8)
            axis.set_label_text(f"theta, and {name}")
        axes.set(xlim=EDGES[0], ylim=EDGES[1])
        axes.grid(False)

    def _draw_contours(self):
        for old in self._contours:
            old.remove()
        x, y = np.linspace(*EDGES.T, 90).T
        surface = self._height(*np.meshgrid(x, y), self._gamma)
        filled = self._map.contourf(x, y, surface, LEVELS, cmap=PALE, extend="both")
        lines = self._map.contour(x, y, surface, LEVELS, colors=COLOURS["grey"], linewidths=0.6)
        self._map.clabel(lines, LEVELS[::2], fontsize=7)
        self._contours = [filled, lines]
        self._map.set_title(f"J at discount gamma = {self._gamma:g}", fontsize=10)
        self.redraw_axes()

    def _draw(self, lines, places):
        lines[0].set_data(*self._on_map(places))
        lines[1].set_data(range(len(places)), [place.height for place in places])

    def _on_map(self, places):
        theta = np.array([place.theta for place in places]).reshape(-1, 2)
        return theta.clip(*EDGES.T).T


def _percent(theta):
    """sigmoid(theta) in percent, with the digits that tell it from 0 and 100."""
    percent = 100 / (1 + math.exp(-theta))
    digits = max(0, math.ceil(-math.log10(min(percent, 100 - percent))))
    return f"({percent:.{digits}f} %)"
