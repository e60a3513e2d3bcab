"""A live picture of a critic on the grid: its values beside the exact ones, and how far apart."""

from typing import NamedTuple

import numpy as np
import torch
from matplotlib.colors import LinearSegmentedColormap, Normalize

from helpers.envs.gridworld import MOVES
from helpers.plots import COLOURS, GHOSTS, RUN_NAMES, RUN_STYLES, LivePicture

# From orange-red over white to blue, so pale that black numbers stay readable on it.
PALE = LinearSegmentedColormap.from_list("values", ["#eda27f", "#ffffff", "#7fb8d8"])
SCALE = Normalize(-1, 1)


class Judged(NamedTuple):
    """Where the training of K actors and critics on the grid stands: what its generator yields."""

    fraction: float
    steps: int  # environment steps of each agent so far
    critic: torch.Tensor  # [K, S] the critic's values
    exact: torch.Tensor  # [K, S] exact V of the current policy
    policy: torch.Tensor  # [K, S, A]
    visits: torch.Tensor  # [K, S] the share of its time that the policy spends in each state
    best: float  # V* of the start

    def errors(self):
        """Root mean square of critic minus exact V, over the policy's own visits: [K]."""
        return ((self.critic - self.exact) ** 2 * self.visits).sum(1).sqrt()

    def words(self):
        if not self.critic.isfinite().all():
            return "Diverged: the critic's values are no longer numbers. Lower the learning rate."
        start = self.exact[:, 0]
        flat = int((self.policy.amax(2) > 0.999).all(1).sum())
        tail = f" {flat} of {len(start)} policies have become deterministic." if flat else ""
        return (
            f"Exact V of the start {start.mean():.3f} (best {self.best:.3f}), "
            f"error of the critic {self.errors().mean():.3f}.{tail}"
        )


def draw_values(axes, values, policy=None, *, animated=False):
    """Draw values [S] of a square grid as colours and numbers, and a policy [S, A] as arrows.

    An arrow points where the policy drifts on average: long if it is sure, a dot if it is not; no
    policy, no arrows. The last state is the goal. Colours end at -1 and 1. Returns the artists, in
    the order in which they are drawn.
    """
    size = round(len(values) ** 0.5)
    axes.set(xticks=range(size), yticks=range(size), xlabel="x", ylabel="y")
    axes.grid(False)
    y, x = np.divmod(np.arange(size**2), size)
    image = axes.imshow(np.zeros((size, size)), cmap=PALE, norm=SCALE, origin="lower")
    small = {"ha": "center", "va": "center", "fontsize": 8}
    texts = [axes.text(i, j + 0.3, "", **small) for i, j in zip(x[:-1], y[:-1])]
    still = np.zeros(size**2 - 1)
    arrows = axes.quiver(
        x[:-1], y[:-1] - 0.14, still, still, pivot="mid", units="xy", scale=2.3, width=0.05
    )
    arrows.set_visible(policy is not None)
    goal = axes.text(size - 1, size - 1, "goal", **small)
    artists = [image, *texts, arrows, goal]
    for artist in artists:
        artist.set_animated(animated)
    update_values(artists, values, policy)
    return artists


def update_values(artists, values, policy=None):
    """Put new values and a new policy into the artists that draw_values returned."""
    image, *texts, arrows, _ = artists
    values = np.asarray(values)
    image.set_data(np.append(values[:-1], 0).reshape(image.get_array().shape))
    for text, value in zip(texts, values):
        text.set_text(f"{value:.2f}" if abs(value) < 99.5 else f"{value:.0e}")
    if policy is not None:
        drift = np.asarray(policy)[:-1] @ np.array(MOVES)
        arrows.set_UVC(*drift.T)


class ValueGrid(LivePicture):
    """Picture of Judged items. Agent 0's critic and its exact V as grids; for all agents, how good
    the policy is (exact V of the start) and how wrong the critic is, agents as thin lines, up to
    three earlier runs as ghosts.
    """

    def __init__(self, *, highest_error=1.5):
        super().__init__(width=9.2, height=3.9)
        axes = self.figure.subplot_mosaic("ABC;ABD", width_ratios=(1, 1, 1.15))
        self.figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.08)
        grids, self._curves = (axes["A"], axes["B"]), (axes["C"], axes["D"])
        blank = np.zeros(25), np.full((25, 4), 0.25)
        self._grids = [draw_values(a, *blank, animated=True) for a in grids]
        grids[0].set_title("the critic's V (first agent)", fontsize=10)
        grids[1].set_title("exact V of its policy", fontsize=10)
        self._curves[0].set(ylim=(-1.05, 1.0), ylabel="exact V(start)", xticklabels=[])
        self._curves[1].set(ylim=(0, highest_error), ylabel="critic's error (rms)")
        self._curves[1].set_xlabel("steps of each agent")
        self._best = self._curves[0].axhline(np.nan, color=COLOURS["grey"], lw=1, ls=":")
        self._lines = [
            [a.plot([], [], animated=True, **style)[0] for a in self._curves]
            for style in RUN_STYLES
        ]
        thin = {**RUN_STYLES[0], "lw": 0.8, "alpha": 0.5, "animated": True}
        self._each = [a.plot([], [], **thin)[0] for a in self._curves]
        self.still = [line for pair in self._lines[1:] for line in pair]
        drawn = [artist for artists in self._grids for artist in artists]
        self.moving = [*drawn, *self._each, *self._lines[0]]
        self._runs, self._scale = [], None

    def restart(self, label):
        """Begin a new run. The one before becomes a ghost, if it got a quarter of its way."""
        done = [run for run in self._runs if run.last and run.last.fraction >= 0.25]
        self._runs = [*done[-GHOSTS:], _Run(label)]
        for lines, run in zip(self._lines, reversed(self._runs)):
            run.draw(lines)
        self.redraw_still()

    def add(self, item):
        """Take in one more Judged. The axes follow the length of a run and the best value."""
        run = self._runs[-1]
        run.add(item)
        scale = round(item.steps / item.fraction), item.best
        if scale != self._scale:
            self._scale = scale
            for axes in self._curves:
                axes.set_xlim(0, scale[0])
            self._best.set_ydata([item.best] * 2)
            self.redraw_axes()
        run.draw(self._lines[0])
        run.draw_each(self._each)
        for artists, values in zip(self._grids, (item.critic[0], item.exact[0])):
            update_values(artists, values, item.policy[0])

    def rows(self):
        """Of the current run and its ghosts, newest first: (line's look, settings, result)."""
        return [
            (name, run.label, run.last.words() if run.last else "Starting.")
            for name, run in zip(RUN_NAMES, reversed(self._runs))
        ]


class _Run:
    """One run as the picture remembers it."""

    def __init__(self, label):
        self.label, self.last, self.steps, self.numbers = label, None, [], []

    def add(self, item):
        self.last = item
        self.steps.append(item.steps)
        self.numbers.append(torch.stack([item.exact[:, 0], item.errors()]).numpy())  # [2, K]

    def draw(self, lines):
        for i, line in enumerate(lines):
            line.set_data(self.steps, [numbers[i].mean() for numbers in self.numbers])

    def draw_each(self, lines):
        pen_up = np.full((1, self.numbers[0].shape[1]), np.nan)  # between two agents
        steps = np.tile([*self.steps, np.nan], pen_up.shape[1])
        for i, line in enumerate(lines):
            agents = np.vstack([*(numbers[i] for numbers in self.numbers), pen_up[0]])
            line.set_data(steps, agents.T.ravel())
