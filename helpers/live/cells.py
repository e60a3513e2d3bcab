"""Parts of coloured cells: strips of what is best where, and a map with a cell for each agent."""

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.patches import Rectangle

from helpers.errors import SlipError
from helpers.live.parts import Part
from helpers.live.picture import GHOSTS
from helpers.plots import COLOURS

MOST_LETTERS = 7  # stretches of a strip that get one


class Strip:
    """Stretches as a coloured band from `low` to `high` on the axes, each with its name's initial.

    names, colours: of the kinds of stretches. letters: at what height; in the band by default.
    """

    def __init__(
        self, axes, low, high, *, names, colours, alpha=0.35, letters=None, animated=False
    ):
        self._low, self._high, self._names, self._colours = low, high, names, colours
        self._bands = PolyCollection([], alpha=alpha, lw=0, antialiased=False, zorder=0.5)
        axes.add_collection(self._bands, autolim=False)
        height = (low + high) / 2 if letters is None else letters
        style = {"ha": "center", "va": "center", "fontsize": 9}
        self._letters = [axes.text(0, height, "", **style) for _ in range(MOST_LETTERS)]
        self.artists = [self._bands, *self._letters]
        for artist in self.artists:
            artist.set_animated(animated)

    def set(self, stretches):
        """Show these: (number of the kind, from, to) of each."""
        low, high = self._low, self._high
        corners = [[(x, low), (x, high), (end, high), (end, low)] for _, x, end in stretches]
        self._bands.set_verts(corners)
        self._bands.set_facecolor([self._colours[int(kind)] for kind, _, _ in stretches])
        for letter, (kind, x, end) in zip(self._letters, stretches):
            initial = self._names[int(kind)][0]
            letter.set(text=initial, x=(x + end) / 2, visible=end - x > 0.03)
        for letter in self._letters[len(stretches) :]:
            letter.set_visible(False)


class Strips(Part):
    """Which of several names applies where: a strip for each run, the newest on top.

    of: (number of the name, from, to) of each stretch between 0 and 1.
    between: (low, high), and there is one strip at this height, of the newest run.
    style: as for a Strip.
    """

    def __init__(self, of=None, *, names, colours, between=None, letters=None, **axes):
        super().__init__(of, **{"xlim": (0, 1)} | axes)
        self._look = {"names": names, "colours": colours, "letters": letters, "animated": True}
        places = [(-k - 0.4, -k + 0.4) for k in range(1 + GHOSTS)]
        self._places = places if between is None else [between]

    def build(self, axes):
        self._strips = [Strip(axes, *place, **self._look) for place in self._places]
        self.moving += self._strips[0].artists
        self.still += [artist for strip in self._strips[1:] for artist in strip.artists]
        if self._strips[1:]:
            names = ["this run", *["earlier"] * GHOSTS]
            axes.set(ylim=(-GHOSTS - 0.5, 0.5), yticks=range(0, -1 - GHOSTS, -1), yticklabels=names)
            axes.grid(False)
        super().build(axes)

    def read(self, item):
        """[stretches, 3]; as many as there are."""
        stretches = self.numbers(self._of(item))
        if stretches.ndim != 2 or stretches.shape[1] != 3:
            raise SlipError(
                f"The part {self.name!r} needs three numbers for each stretch (which, from, to), but "
                f"its function returned the shape {stretches.shape}."
            )
        return stretches

    def draw(self, place, values):
        if place < len(self._strips):
            self._strips[place].set(values[-1] if values else [])


class Map(Part):
    """A coloured cell for each agent. of: [rows, columns], rows from below.

    columns, rows: what stands beside them. label: what the colours say; ends: the values of the darkest
        and of the brightest.
    cursor: (row, column) of the cell that is framed, or None; set it whenever you like.
    """

    def __init__(self, of=None, *, columns, rows, label, ends, cmap="viridis", cursor=None, **axes):
        super().__init__(of, shape=(len(rows), len(columns)), **axes)
        self._columns, self._rows, self._label, self.cursor = columns, rows, label, cursor
        self._look = {"vmin": ends[0], "vmax": ends[1], "cmap": cmap, "animated": True}

    def build(self, axes):
        height, width = self.shape
        axes.set(xticks=range(width), xticklabels=self._columns)
        axes.set(yticks=range(height), yticklabels=self._rows)
        axes.grid(False)
        edges = np.arange(width + 1) - 0.5, np.arange(height + 1) - 0.5
        self._colours = axes.pcolormesh(*edges, np.full(self.shape, np.nan), **self._look)
        axes.figure.colorbar(self._colours, ax=axes, label=self._label)
        look = {"fill": False, "ec": COLOURS["vermilion"], "lw": 3}
        self._frame = Rectangle((0, 0), 1, 1, **look, animated=True, visible=False)
        axes.add_patch(self._frame)
        self.moving += [self._colours, self._frame]
        super().build(axes)

    def draw(self, place, values):
        if place == 0:
            blank = np.full(self.shape, np.nan)
            self._colours.set_array(np.ma.masked_invalid(values[-1] if values else blank))
            self._frame.set_visible(self.cursor is not None)
            row, column = self.cursor or (0, 0)
            self._frame.set_xy((column - 0.5, row - 0.5))
