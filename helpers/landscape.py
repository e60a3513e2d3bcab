"""A live picture of gradient ascent on two parameters: the map of J, and the path on it."""

import math
from typing import NamedTuple

import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from helpers.plots import COLOURS, RunPicture

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


class Landscape(RunPicture):
    """Picture of Places: the path on the contours of J, and J at each step beside it.

    height: J(x, y, gamma) for arrays x and y of the two parameters.
    names: what each parameter decides, a probability sigmoid(theta), as in "P(sail | sea)".
    Up to three earlier runs stay as ghosts.
    """

    def __init__(self, height, *, names):
        super().__init__(height=4.0)
        self._height = height
        self._gamma, self._contours = None, []
        self.figure.set_layout_engine("none")  # or the map would shift a little at each redrawing
        self._map = self.figure.add_axes((0.15, 0.16, 0.4093, 0.77))  # units alike on both axes
        self._curve = self.figure.add_axes((0.66, 0.16, 0.32, 0.77))
        self._label_map(names)
        self._curve.set(xlim=(0, STEPS), ylim=(-1.1, 3.1), xlabel="step", ylabel="J, mean return")
        here = dict(marker="o", ms=9, mec=COLOURS["black"])
        self._here = self._map.plot([], [], animated=True, clip_on=False, **here)[0]
        self.tinted.append(self._here)
        self.moving = [*self.curves(self._map, self._curve)[0], self._here]

    def add(self, place):
        """Take in one more Place. One with another gamma brings another map."""
        super().add(place)
        if place.gamma != self._gamma:
            self._gamma = place.gamma
            self._draw_contours()
        self.draw(0, self.runs[-1])

    def draw(self, place, run):
        """Put a run into the lines of a place."""
        theta = np.array([item.theta for item in run.items]).reshape(-1, 2)
        on_map = theta.clip(*EDGES.T)
        path, curve = self.lines[place]
        path.set_data(*on_map.T)
        curve.set_data(range(len(run.items)), [item.height for item in run.items])
        if place == 0:
            self._here.set_data(*on_map[-1:].T)

    def _label_map(self, names):
        axes = self._map
        for axis, edges, name, gap in zip((axes.xaxis, axes.yaxis), EDGES, names, "\n "):
            ticks = np.arange(edges[0], edges[1] + 1, 4)
            words = [f"{t:g}{gap}{_percent(t)}" for t in ticks]
            axis.set_ticks(ticks, words, fontsize=10)
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
        self._map.clabel(lines, LEVELS[::2], fontsize=9)
        self._contours = [filled, lines]
        self._map.set_title(f"J at discount gamma = {self._gamma:g}", fontsize=11)
        self.redraw_axes()


def _percent(theta):
    """sigmoid(theta) in percent, with the digits that tell it from 0 and 100."""
    percent = 100 / (1 + math.exp(-theta))
    digits = max(0, math.ceil(-math.log10(min(percent, 100 - percent))))
    return f"({percent:.{digits}f} %)"
