"""Pictures of a critic on a grid: its values beside the exact ones, and how far apart."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.collections import PathCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.patches import Rectangle
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.transforms import IdentityTransform

from helpers.envs.gridworld import MOVES
from helpers.plots import COLOURS, LivePicture, RunPicture, set_each

# From orange-red over white to blue, so pale that black numbers stay readable on it.
PALE = LinearSegmentedColormap.from_list("values", ["#eda27f", "#ffffff", "#7fb8d8"])
SCALE = Normalize(-1, 1)
LABELS = {"G": "goal", "T": "trap"}


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
        which = "The policy" if len(start) == 1 else f"Of {len(start)} policies {flat}"
        tail = f" {which} {'has' if flat == 1 else 'have'} become deterministic." if flat else ""
        return (
            f"Exact V of the start {start.mean():.3f} (best {self.best:.3f}), "
            f"error of the critic {self.errors().mean():.3f}.{tail}"
        )


def draw_values(axes, values, policy=None, *, cells=None, animated=False):
    """Draw values [S] of a grid as colours and numbers, and a policy [S, A] as arrows.

    An arrow points where the policy drifts on average: long if it is sure, a dot if it is not; no
    policy, no arrows. Colours end at -1 and 1.
    cells: the letters of the map, as from envs.gridworld.map_cells; by default a square whose last
        state is the goal.
    Returns the artists that update_values takes, in the order in which they are drawn.
    """
    cells = _square(len(values)) if cells is None else cells
    height, width = cells.shape
    axes.set(xticks=range(width), yticks=range(height), xlabel="x", ylabel="y")
    axes.grid(False)
    closed = np.isin(cells, list("GT#"))
    for y, x in np.argwhere(cells == "#"):
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, color="0.35", lw=0))
    edges = np.arange(width + 1) - 0.5, np.arange(height + 1) - 0.5
    colours = axes.pcolormesh(*edges, np.ma.array(closed * 0.0, mask=closed), cmap=PALE, norm=SCALE)
    axes.set_aspect("equal")
    small = {"ha": "center", "va": "center", "fontsize": 8}
    y, x = (~closed).nonzero()
    numbers = PathCollection(  # one artist: as many texts would take most of a frame's time
        [],
        sizes=(1,),
        color="black",
        lw=0,
        transform=IdentityTransform(),
        offsets=np.column_stack([x, y + 0.3]),
        offset_transform=axes.transData,
    )
    axes.add_collection(numbers, autolim=False)
    arrows = axes.quiver(
        x, y - 0.14, 0.0 * x, 0.0 * y, pivot="mid", units="xy", scale=2.3, width=0.05
    )
    arrows.set_visible(policy is not None)
    for letter, label in LABELS.items():
        for y, x in np.argwhere(cells == letter):
            axes.text(x, y, label, **small)
    artists = [colours, arrows, numbers]
    for artist in artists:
        artist.set_animated(animated)
    update_values(artists, values, policy)
    return artists


def update_values(artists, values, policy=None):
    """Put new values and a new policy into the artists that draw_values returned."""
    colours, arrows, numbers = artists
    closed = colours.get_array().mask
    values = np.asarray(values).reshape(closed.shape)
    colours.set_array(np.ma.array(values, mask=closed))
    texts = [f"{v:.2f}" if abs(v) < 99.5 else f"{v:.0e}" for v in values[~closed]]
    numbers.set_paths([_outline(text) for text in texts])
    if policy is not None:
        drift = np.asarray(policy)[~closed.ravel()] @ np.array(MOVES)
        arrows.set_UVC(*drift.T)


@lru_cache(maxsize=4096)
def _outline(text):
    """A text's outline, 8 points high and with its centre at (0, 0)."""
    path = TextPath((0, 0), text, size=8)
    return Path(path.vertices - np.ptp(path.vertices, 0) / 2, path.codes)


def _square(states):
    size = round(states**0.5)
    return np.array([*"." * (states - 1), "G"]).reshape(size, size)


class ValueFrames(LivePicture):
    """Three grids side by side for a Judged item: the critic's V, the exact V of its policy, and
    the best V there is (best: [S]), each with the arrows of its policy, best_policy [S, A].

    cells: the letters of the map. agent: the number of the agent that is shown.
    """

    def __init__(self, best, best_policy, cells, *, agent=0):
        super().__init__(width=9.2, height=2.9)
        self._agent = agent
        left, middle, right = self.figure.subplots(1, 3)
        blank = np.zeros(cells.size), best_policy
        self._grids = [draw_values(a, *blank, cells=cells, animated=True) for a in (left, middle)]
        draw_values(right, best, best_policy, cells=cells)
        for axes, title in zip(
            (left, middle, right), ("the critic's V", "exact V of its policy", "best V")
        ):
            axes.set_title(title, fontsize=10)
        self.moving = [artist for artists in self._grids for artist in artists]

    def add(self, item):
        """Show this Judged."""
        for artists, values in zip(self._grids, (item.critic, item.exact)):
            update_values(artists, values[self._agent], item.policy[self._agent])


class ValueGrid(RunPicture):
    """Picture of Judged items. Agent 0's critic and its exact V as grids; for all agents, how good
    the policy is (exact V of the start) and how wrong the critic is, agents as thin lines, up to
    three earlier runs as ghosts. cells: as for draw_values, 5 by 5 by default. Start: state 0.
    """

    def __init__(self, *, cells=None, highest_error=1.5):
        super().__init__(width=9.2, height=3.9)
        cells = _square(25) if cells is None else cells
        axes = self.figure.subplot_mosaic("ABC;ABD", width_ratios=(1, 1, 1.15))
        self.figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.08)
        grids, self._curves = (axes["A"], axes["B"]), (axes["C"], axes["D"])
        blank = np.zeros(cells.size), np.full((cells.size, 4), 0.25)
        self._grids = [draw_values(a, *blank, cells=cells, animated=True) for a in grids]
        grids[0].set_title("the critic's V (first agent)", fontsize=10)
        grids[1].set_title("exact V of its policy", fontsize=10)
        self._curves[0].set(ylim=(-1.05, 1.0), ylabel="exact V(start)", xticklabels=[])
        self._curves[1].set(ylim=(0, highest_error), ylabel="critic's error (rms)")
        self._curves[1].set_xlabel("steps of each agent")
        self._best = self._curves[0].axhline(
            np.nan, color=COLOURS["grey"], lw=1, ls=":", animated=True
        )
        self._each = [self.thin(axes) for axes in self._curves]
        drawn = [artist for artists in self._grids for artist in artists]
        self.moving = [*drawn, self._best, *self._each, *self.curves(*self._curves)[0]]
        self._total = None

    def remember(self, item):
        """Steps, and for each agent exact V of the start and the critic's error: [2, K]."""
        return item.steps, torch.stack([item.exact[:, 0], item.errors()]).numpy()

    def draw(self, place, run):
        """Put a run into the lines of a place."""
        steps, numbers = zip(*run.items) if run.items else ((), ())
        for i, line in enumerate(self.lines[place]):
            line.set_data(steps, [both[i].mean() for both in numbers])
            if place == 0:
                set_each(self._each[i], steps, [both[i] for both in numbers])

    def add(self, item):
        """Take in one more Judged. The axes follow the length of a run."""
        super().add(item)
        total = round(item.steps / item.fraction)
        if total != self._total:
            self._total = total
            for axes in self._curves:
                axes.set_xlim(0, total)
            self.redraw_axes()
        self._best.set_ydata([item.best] * 2)
        self.draw(0, self.runs[-1])
        for artists, values in zip(self._grids, (item.critic[0], item.exact[0])):
            update_values(artists, values, item.policy[0])
