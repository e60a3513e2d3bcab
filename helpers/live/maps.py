"""The map of two sliders: an agent for each of their positions, all trained at once."""

from collections.abc import Callable
from typing import NamedTuple

import torch

from helpers.live.cells import Map
from helpers.live.controls import choice, number_text
from helpers.live.controls import seed as seed_field
from helpers.live.panel import LivePanel
from helpers.live.parts import Curves
from helpers.live.picture import Picture
from helpers.loop import Progress


class Cells(NamedTuple):
    """How the training of all cells stands: R rows, C columns, N agents a cell."""

    fraction: float
    progress: Progress  # of each cell's first agent, row by row
    returns: torch.Tensor  # [R, C, N] mean return of recent training episodes
    goal: float
    framed: Callable  # () -> (row, column) of the framed cell, now
    name: Callable  # (row, column) -> its settings in words

    @property
    def actor(self):
        """The first agent of the framed cell."""
        row, column = self.framed()
        return self.progress.actor.agent(row * self.returns.shape[1] + column)

    def words(self):
        """The framed cell, and how many cells reach the goal."""
        means, cell = self.returns.mean(2), self.framed()
        said = "no episode has ended yet" if means[cell].isnan() else f"return {means[cell]:.0f}"
        return (
            f"The framed cell, {self.name(*cell)}: {said}. At {self.goal:g} or more: "
            f"{int((means >= self.goal).sum())} of {means.numel()} cells."
        )


def map_panel(train, *, seed=0, goal=475, highest=500, **sliders):
    """A panel that trains an agent for each position of two sliders at once, and colours a cell for
    each while they learn. The sliders frame a cell: its curve stands beside the map.

    train: train(seed=..., **settings) makes a generator of Progress, with a list for each slider's
        name: K settings, one an agent.
    sliders: two, under the names of train's arguments: the map's rows and its columns.
    goal, highest: of the curve and of the colours.
    """
    (rows, up), (columns, across) = sliders.items()
    pairs = [(u, v) for u in up.places for v in across.places]
    settings = dict(zip((rows, columns), map(list, zip(*pairs))))
    shape = len(up.places), len(across.places)

    def train_cells(each, seed):
        runs = [train(**settings, seed=each * seed + k) for k in range(each)]
        for items in zip(*runs):
            returns = torch.stack([item.recent_returns.view(shape) for item in items], 2)
            yield Cells(items[0].fraction, items[0], returns, goal, lambda: cells.cursor, name)

    def name(row, column):
        values = number_text(up.places[row]), number_text(across.places[column])
        return f"{up.description} {values[0]} and {across.description} {values[1]}"

    def look(**values):
        cells.cursor = up.nearest(values[rows]), across.nearest(values[columns])
        picture.redraw()

    cells = Map(
        lambda item: item.returns.mean(2),
        columns=[number_text(float(p)) if k % 3 == 0 else "" for k, p in enumerate(across.places)],
        rows=[number_text(float(place)) for place in up.places],
        label="return (recent episodes)",
        ends=(0, highest),
        cmap="cividis",
        cursor=(0, 0),
        xlabel=across.description,
        ylabel=up.description,
    )
    curve = Curves(
        lambda item: item.returns.mean(2).flatten(),
        x=lambda item: item.progress.steps,
        pick=lambda: slice(first := cells.cursor[0] * shape[1] + cells.cursor[1], first + 1),
        goal=goal,
        ylim=(0, 1.04 * highest),
        xlabel="environment steps of each agent",
        ylabel="return of the framed cell",
    )
    picture = Picture(cells, curve, widths=(1.5, 1), size=(9.2, 4.2))
    controls = {
        **sliders,
        "each": choice("agents a cell", [1, 4]),  # more would not fit into a student's gigabyte
        "seed": seed_field(seed),
    }
    return LivePanel(train_cells, picture, look=look, pointers=sliders, **controls)
