"""Figures of the lessons, each with alt text, and live pictures for the panels.

Lessons draw with pyplot in their own cells. Live pictures never touch pyplot: they are drawn by a
panel's worker thread while cells run, each on a Figure of its own.
"""

import html
import io
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

from helpers import in_foreground

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
GHOSTS = 3  # earlier runs that a live picture shows

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
    if not in_foreground():
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


# The colour that a run holds, its line while it is the newest, and its line as a ghost.
LOOKS = [
    ("blue", "blue", "dashed", "--"),
    ("vermilion", "orange-red", "dash-dotted", "-."),
    ("green", "green", "dotted", ":"),
    ("purple", "pink", "long dashes", (0, (8, 3))),
]


class Run:
    """One run as a picture remembers it."""

    def __init__(self, label, look):
        self.label, self.look, self.kept = label, look, False
        self.items, self.last = [], None  # what the picture remembers of each, and the newest

    def name(self, ghost):
        """Its look in words."""
        _, colour, broken, _ = LOOKS[self.look]
        return f"{colour}, {broken if ghost else 'solid'}{', kept' if self.kept else ''}"


class RunPicture(LivePicture):
    """A live picture of runs: the newest, and up to three earlier ones as ghosts. Each holds its
    colour; the newest is solid, the ghosts are broken lines, and a run that is kept stays.

    A subclass makes its lines by `curves`, and says in draw(place, run) what they show of a run:
    place 0 is the newest's, the others are those of the ghosts.
    """

    def __init__(self, **size):
        super().__init__(**size)
        self.runs, self.lines = [], []
        self.tinted = []  # what else has the newest run's colour

    def curves(self, *axes):
        """Lines for the runs, one on each of the axes: a list for each place."""
        self.lines = [
            [_line(a, lw=1.6 if place else 2.6) for a in axes] for place in range(1 + GHOSTS)
        ]
        self.still += [line for lines in self.lines[1:] for line in lines]
        return self.lines

    def thin(self, axes):
        """A line for all agents of the newest run, to be filled by `set_each`."""
        self.tinted.append(line := _line(axes, lw=0.8, ls="-", alpha=0.5))
        return line

    def restart(self, label):
        """Begin a new run. The one before becomes a ghost, if it got a quarter of its way."""
        done = [r for r in self.runs if r.kept or (r.last and r.last.fraction >= 0.25)]
        for run in [r for r in done if not r.kept][: max(0, len(done) - GHOSTS)]:
            done.remove(run)
        free = set(range(len(LOOKS))) - {run.look for run in done}
        self.runs = [*done, Run(label, min(free))]
        for place, run in enumerate(reversed(self.runs)):
            self._tint(place, run)
            self.draw(place, run)
        self.redraw_still()

    def _tint(self, place, run):
        colour, _, _, broken = LOOKS[run.look]
        for line in self.lines[place] if self.lines else ():
            line.set(color=COLOURS[colour], linestyle=broken if place else "-")
        for artist in () if place else self.tinted:
            artist.set_color(COLOURS[colour])

    def add(self, item):
        """Take in one more item of the newest run."""
        run = self.runs[-1]
        run.items.append(self.remember(item))
        run.last = item

    def remember(self, item):
        """What to keep of each item: all of it, where a subclass does not say otherwise."""
        return item

    def keep(self):
        """Let later runs not push the newest one out, or let it go again; at most one is kept."""
        if self.runs:
            kept = self.runs[-1].kept
            for run in self.runs:
                run.kept = False
            self.runs[-1].kept = not kept

    def rows(self):
        """Of the newest run and its ghosts, newest first: (line's look, settings, result)."""
        return [
            (run.name(ghost=place > 0), run.label, run.last.words() if run.last else "Starting.")
            for place, run in enumerate(reversed(self.runs))
        ]


def set_each(line, steps, rows):
    """Draw all agents' curves as one line: steps [N], rows [N, K]."""
    agents = np.atleast_2d(np.array(rows)).T
    pen_up = np.full((len(agents), 1), np.nan)  # between two agents
    line.set_data(np.tile([*steps, np.nan], len(agents)), np.hstack([agents, pen_up]).ravel())


class LearningCurve(RunPicture):
    """Live picture of Progress: the mean recent return over the agents, each agent as a thin line,
    and the policy's entropy beside it. Up to three earlier runs stay as ghosts.

    highest: top of the axis of returns; goal: the return drawn as a line; actions: how many the
    agent chooses from (the most entropy is their logarithm); against: what the curves are drawn
    against, "steps" or "episodes" (whoever plays whole episodes makes few steps where they are short).
    """

    def __init__(self, *, highest=500, goal=475, actions=2, against="steps"):
        super().__init__()
        self._against, self._total = against, 0
        self._axes = self.figure.subplots(1, 2, width_ratios=(2.2, 1))
        returns, entropies = self._axes
        name = {"steps": "environment steps", "episodes": "episodes"}[against]
        returns.set(ylim=(0, 1.04 * highest), xlabel=f"{name} of each agent")
        returns.set(ylabel="return (recent episodes)")
        returns.axhline(goal, color=COLOURS["grey"], lw=1, ls=":")
        left = returns.get_yaxis_transform()  # x in parts of the axis, y in returns
        returns.text(
            0.01, goal, f"goal {goal}", transform=left, va="bottom", fontsize=9, color="0.35"
        )
        entropies.set(ylim=(0, 1.06 * np.log(actions)), xlabel=name)
        entropies.set(ylabel="policy entropy (nats)")
        for axes, intervals in zip(self._axes, (5, 2)):
            axes.locator_params(axis="x", nbins=intervals)  # room for numbers of six digits
        self._each = self.thin(returns)
        self._here = [_line(axes, marker="o", ms=6, clip_on=False) for axes in self._axes]
        self.tinted += self._here
        self.moving = [self._each, *self.curves(*self._axes)[0], *self._here]

    def remember(self, item):
        """Numbers alone, since each item holds whole actors."""
        x = getattr(item, self._against)
        return x, item.recent_returns.numpy(), item.entropy.mean().item()

    def add(self, item):
        """Take in one more Progress."""
        super().add(item)
        x, *_ = self.runs[-1].items[-1]
        if x > self._total:  # at first, and again where episodes grow longer
            self._total = round(x / item.fraction)
            for axes in self._axes:
                axes.set_xlim(0, self._total)
            self.redraw_axes()

    def draw(self, place, run):
        """Put a run into the lines of a place."""
        x, returns, entropies = zip(*run.items) if run.items else ((), (), ())
        left, right = self.lines[place]
        left.set_data(x, [agents.mean() for agents in returns])
        right.set_data(x, entropies)
        if place == 0:
            set_each(self._each, x, returns)
            for dot, line in zip(self._here, self.lines[0]):  # of a single update all there is
                dot.set_data(*(values[-1:] for values in line.get_data()))

    def png(self):
        """The picture as it stands, as PNG bytes."""
        if self.runs:
            self.draw(0, self.runs[-1])
        return super().png()


def _line(axes, **style):
    (line,) = axes.plot([], [], animated=True, **style)
    line.set_in_layout(False)  # what moves must not move the axes
    return line
