"""Values and policies on a grid: figures of them, and the part of a live picture that shows them."""

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
from helpers.live.parts import Curves, Part
from helpers.live.picture import Picture
from helpers.loop import diverged

# From orange-red over white to blue, so pale that black numbers stay readable on it.
PALE = LinearSegmentedColormap.from_list("values", ["#eda27f", "#ffffff", "#7fb8d8"])
SCALE = Normalize(-1, 1)
LABELS = {"G": "goal", "T": "trap", "E": "exit"}


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
            return diverged("the critic's value")
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
    cells = square(len(values)) if cells is None else cells
    height, width = cells.shape
    axes.set(xticks=range(width), yticks=range(height), xlabel="x", ylabel="y")
    axes.grid(False)
    closed = np.isin(cells, [*LABELS, "#"])
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
    texts = [f"{v:z.2f}" if abs(v) < 99.5 else f"{v:.0e}" for v in values[~closed]]
    numbers.set_paths([_outline(text) for text in texts])
    if policy is not None:
        drift = np.asarray(policy)[~closed.ravel()] @ np.array(MOVES)
        arrows.set_UVC(*drift.T)


@lru_cache(maxsize=4096)
def _outline(text):
    """A text's outline, 8 points high and with its centre at (0, 0)."""
    path = TextPath((0, 0), text, size=8)
    return Path(path.vertices - np.ptp(path.vertices, 0) / 2, path.codes)


def square(states):
    size = round(states**0.5)
    return np.array([*"." * (states - 1), "G"]).reshape(size, size)


class Grid(Part):
    """Values [S] of a gridworld as colours and numbers, and where policy gives [S, A] arrows: of the
    newest run alone. cells: as for draw_values, 5 by 5 by default."""

    def __init__(self, of=None, policy=None, *, cells=None, **axes):
        self._cells = square(25) if cells is None else cells
        super().__init__(of, shape=(self._cells.size,), **axes)
        self._policy = policy

    def build(self, axes):
        arrows = None if self._policy is None else np.full((self._cells.size, len(MOVES)), 0.25)
        blank = np.zeros(self._cells.size), arrows
        self.moving = draw_values(axes, *blank, cells=self._cells, animated=True)
        super().build(axes)

    def read(self, item):
        """Values and policy."""
        policy = self._policy and self.numbers(self._policy(item))
        return super().read(item), policy

    def draw(self, place, values):
        if place == 0 and values:
            update_values(self.moving, *values[-1])


def critic_picture(*, cells=None):
    """A picture of Judged items. Of the first agent its critic and its exact V as grids; of all agents
    how good the policy is (exact V of the start) and how wrong the critic is. Start: state 0.
    """
    about = {"cells": cells, "policy": lambda r: r.policy[0]}
    return Picture(
        Grid(lambda r: r.critic[0], title="the critic's V (first agent)", **about),
        Grid(lambda r: r.exact[0], title="exact V of its policy", **about),
        Curves(
            lambda r: r.exact[:, 0],
            goal=lambda r: r.best,
            ylim=(-1.05, 1.0),
            xlabel="",
            ylabel="exact V(start)",
        ),
        Curves(lambda r: r.errors(), ylim=(0, 1.5), ylabel="critic's error (rms)"),
        mosaic="ABC;ABD",
        widths=(1, 1, 1.15),
        size=(9.2, 3.9),
    )
