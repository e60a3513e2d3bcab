"""The parts of live pictures: each shows one thing of an item, and of earlier runs as ghosts."""

from typing import NamedTuple

import numpy as np
from matplotlib.ticker import FuncFormatter

from helpers.errors import SlipError
from helpers.live.picture import GHOSTS, LOOKS, Picture
from helpers.plots import COLOURS, LINE_STYLES

GREY = {"color": COLOURS["grey"], "ls": ":", "lw": 1}


class Item(NamedTuple):
    """What a train function may yield, or return: a value to be shown, and a sentence on it."""

    value: object
    said: str = ""
    fraction: float = 1.0  # how far the run is

    def words(self):
        return self.said


class Part:
    """What all parts have. A picture calls build(axes) once, read(item) for each item, and
    draw(place, values) before a frame: place 0 is the newest run's, the others are its ghosts'.

    of: a function of an item, what is shown of it; by default the item's `value`.
    axes: properties of the axes: xlabel, ylim, title, xticks, ...
    whole: whether it draws all that it has read of a run, or only the newest.
    shape: of the numbers, where it is known beforehand; else that of a run's first item holds.
    """

    whole = False

    def __init__(self, of=None, *, shape=None, **axes):
        self._of, self._properties = of or (lambda item: item.value), axes
        self._known = self.shape = shape
        self.axes = None
        self.still, self.moving = [], []
        self.lines = [[] for _ in range(1 + GHOSTS)]  # of each run, in its colour and style
        self.tinted = []  # what else has the newest run's colour

    @property
    def name(self):
        """How a sentence calls it."""
        known = [self._properties.get(key) for key in ("title", "ylabel", "xlabel")]
        return next(filter(None, known), type(self).__name__)

    def build(self, axes):
        if self.axes is not None:
            raise SlipError(f"The part {self.name!r} is in a picture already: make another one.")
        self.axes = axes
        axes.set(**self._properties)
        axes.title.set_fontsize(10)

    def add_lines(self, **style):
        """One more line for each run; returns the newest run's."""
        for place, lines in enumerate(self.lines):
            lines.append(_line(self.axes, **({"lw": 1.6 if place else 2.6} | style)))
        self.moving.append(self.lines[0][-1])
        self.still += [lines[-1] for lines in self.lines[1:]]
        return self.moving[-1]

    def restart(self):
        """Forget what shape the numbers had: another run may have other agents."""
        self.shape = self._known

    def read(self, item):
        """What to remember of an item: numbers alone. Raises SlipError for what are no numbers, and for
        another shape than before."""
        numbers = self.numbers(self._of(item))
        self.shape = numbers.shape if self.shape is None else self.shape
        if numbers.shape != self.shape:
            raise SlipError(
                f"The part {self.name!r} shows numbers of the shape {self.shape}, but its function "
                f"returned the shape {numbers.shape}: it must be the same for each item of a run."
            )
        return numbers

    def numbers(self, value):
        """A copy as an array."""
        try:
            if value is None:  # NumPy would make it NaN
                raise TypeError
            return np.array(value.detach().numpy() if hasattr(value, "detach") else value, float)
        except (TypeError, ValueError):
            raise SlipError(
                f"The part {self.name!r} needs numbers, but its function returned "
                f"{'nothing' if value is None else f'{value!r:.60}'}."
            ) from None

    def follow(self, value, fraction):
        """Let the axes follow what was read; returns whether they changed."""
        return False

    def tint(self, place, colour, style):
        for line in self.lines[place]:
            line.set(color=colour, linestyle=style)
        for artist in () if place else self.tinted:
            artist.set_color(colour)

    def draw(self, place, values):
        """Put what was read of a run, oldest first, into the artists of a place."""


class Curves(Part):
    """A curve of each run: of one number an item, or of one for each agent, then their mean, and of
    the newest run each agent as a thin line.

    x: the name of what the curve is drawn against, or a function of the item. Its axis ends where
        the run will, unless xlim is given; without an xlabel ("") it has no numbers.
    goal: a value drawn as a line, or a function of the item.
    pick: a function that says, at each drawing, whose mean is drawn: a slice of the agents.
    """

    whole = True

    def __init__(self, of=None, *, x="steps", goal=None, pick=None, **axes):
        super().__init__(of, **{"xlabel": "steps of each agent"} | axes)
        self._x = x if callable(x) else lambda item: getattr(item, x, None)
        self._goal, self._pick = goal, pick
        self._end = np.inf if "xlim" in axes else 0.0
        self._range = None if "ylim" not in axes else (-np.inf, np.inf)

    def build(self, axes):
        super().build(axes)
        if self._end == 0:
            axes.locator_params(axis="x", nbins=int(np.clip(axes.bbox.width // 50, 2, 5)))
            axes.tick_params(axis="x", labelcolor="none")  # until it is known where the axis ends
            axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(FuncFormatter(self._number))
        axes.tick_params(labelbottom=bool(axes.get_xlabel()))
        if self._goal is not None and not callable(self._goal):
            axes.axhline(self._goal, **GREY)
            left, style = axes.get_yaxis_transform(), {"fontsize": 9, "color": "0.35"}
            axes.text(0.01, self._goal, f"goal {self._goal}", transform=left, va="bottom", **style)
        self._level = axes.axhline(np.nan, animated=True, **GREY)
        self._each = _line(axes, lw=0.8, ls="-", alpha=0.1 if self._pick else 0.5)
        self._here = _line(axes, marker="o", ms=6, ls="", clip_on=False)
        self.tinted += [self._each, self._here]
        self.moving += [self._level, self._each]
        self.add_lines()
        self.moving.append(self._here)

    def _number(self, x, _place):
        """A number on the axis of x; where its end is not known yet, room for one."""
        return short(x) if self._end else "100k"

    def read(self, item):
        """x, the goal, and the value of each agent: [2 + K]."""
        goal = self._goal(item) if callable(self._goal) else np.nan
        x, goal = self.numbers(self._x(item)), self.numbers(goal)
        return np.hstack([x, goal, super().read(item).ravel()])

    def follow(self, value, fraction):
        x, _, *known = value[np.isfinite(value) | (np.arange(len(value)) < 2)]
        wider = x > self._end
        if wider:
            self._end = round(x / fraction, 6) if fraction > 0 else x
            self.axes.set_xlim(0, self._end)
            self.axes.tick_params(axis="x", labelcolor=COLOURS["black"])
        return self._follow_y(known) or wider

    def _follow_y(self, known):
        low, high = self._range or (0.0, 0.0)
        if not known or (low <= min(known) and max(known) <= high):
            return False
        self._range = min(low, 1.25 * min(known)), max(high, 1.25 * max(known))
        self.axes.set_ylim(*self._range)
        return True

    def draw(self, place, values):
        table = np.array(values) if values else np.empty((0, 3))
        x, agents = table[:, 0], table[:, 2:]
        picked = agents[:, self._pick()] if self._pick else agents
        mean = picked.mean(1) if values else x
        self.lines[place][0].set_data(x, mean)
        if place == 0:
            thin = agents if agents.shape[1] > 1 else agents[:0]
            self._each.set_data(*_pen_up(x[: len(thin)], thin))
            self._here.set_data(*_within(self.axes, x[-1:], mean[-1:]))
            self._level.set_ydata([table[-1, 1] if values else np.nan] * 2)


class Path(Part):
    """The way of each run over a plane, and a dot where it stands: of gives (x, y). xlim and ylim are
    needed; where a path leaves them, it follows the edge."""

    whole = True

    def __init__(self, of=None, **axes):
        super().__init__(of, shape=(2,), **axes)

    def build(self, axes):
        super().build(axes)
        self.add_lines()
        self.add_lines(marker="o", ms=6, clip_on=False)
        self.lines[0][1].set(ms=9, mec=COLOURS["black"])

    def draw(self, place, values):
        edges = np.transpose([self.axes.get_xlim(), self.axes.get_ylim()])
        way = np.reshape(values, (-1, 2)).clip(*edges)
        for line, points in zip(self.lines[place], (way, way[-1:])):
            line.set_data(*points.T)


class Ground(Part):
    """What lies under other parts of the same axes: draw(axes), once. With `of` it is
    draw(axes, of(item)), anew whenever that changes."""

    def __init__(self, draw, of=None, **axes):
        super().__init__(of, **axes)
        self._paint, self._changes, self._shown, self._drawn = draw, of is not None, None, []

    def build(self, axes):
        super().build(axes)
        if self._changes:
            axes.set_title(axes.get_title() or " ")  # room for one
        else:
            self._paint(axes)

    def read(self, item):
        return self._of(item) if self._changes else None

    def follow(self, value, fraction):
        if not self._changes or value == self._shown:
            return False
        for artist in self._drawn:
            if artist in self.axes.get_children():  # contours take their labels with them
                artist.remove()
        before = {*self.axes.get_children()}
        self._paint(self.axes, value)
        self._drawn = [artist for artist in self.axes.get_children() if artist not in before]
        self._shown = value
        return True


class Plane(Part):
    """A function as it now is: y over x, the ghosts broken.

    of: y [N]; or [L, N], a line for each of L `names`, without ghosts, in `colours` of their own: by
        default those that no run has.
    x: [N], or a function of the item. xlim and ylim, or the axes would not know their ends.
    """

    def __init__(self, of=None, *, x, names=(), colours=None, **axes):
        lines = (len(names),) if names else ()
        super().__init__(of, shape=None if callable(x) else (*lines, len(x)), **axes)
        self._x = x if callable(x) else lambda _: x
        self._looks = list(zip(names, colours or [*COLOURS.values()][len(LOOKS) :], LINE_STYLES))

    def build(self, axes):
        super().build(axes)
        for name, colour, style in self._looks:  # what is animated has no place in a legend
            look = {"color": colour, "ls": style, "lw": 2.4}
            axes.plot([], [], label=name, **look)
            self.moving.append(_line(axes, **look))
        if self._looks:
            place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1)}
            axes.legend(**place, ncols=len(self._looks), fontsize=9, handlelength=3.5)
        else:
            self.add_lines()

    def read(self, item):
        """x and y: [1 + L, N]."""
        return np.vstack([self.numbers(self._x(item)), super().read(item)])

    def draw(self, place, values):
        lines = self.lines[place] or ([] if place else self.moving)
        x, *rows = values[-1] if values else [()] * (1 + len(lines))
        for line, y in zip(lines, rows):
            line.set_data(x, y)


class Bars(Part):
    """A bar for each name, in the run's colour, and a mark on it for each ghost. of: [names]."""

    def __init__(self, of=None, *, names, **axes):
        super().__init__(of, shape=(len(names),), **{"xlim": (0, 1)} | axes)
        self._names = names

    def build(self, axes):
        places = range(len(self._names))
        axes.set(ylim=(len(places) - 0.4, -0.6), yticks=places, yticklabels=self._names)
        super().build(axes)
        look = {"height": 0.55, "lw": 0, "alpha": 0.6, "animated": True}
        self._bars = [*axes.barh(places, [0.0] * len(places), **look)]
        self.tinted += self._bars
        self.moving += self._bars
        self.add_lines(marker="|", ms=16, mew=2, lw=0)
        self.moving.pop()  # of the newest run the bars, and over them the marks
        self.moving += self.still
        self.still = []

    def draw(self, place, values):
        widths = np.nan_to_num(values[-1]) if values else np.zeros(len(self._bars))
        for bar, width in zip(self._bars if place == 0 else (), widths):
            bar.set_width(width)
        if place:
            self.lines[place][0].set_data(*([widths, range(len(widths))] if values else [(), ()]))


def short(number):
    """A number of steps as axes show it: 5000, 50k, 1.2M."""
    if abs(number) < 1e4:
        return f"{number:g}"
    return f"{number / 1e3:g}k" if abs(number) < 1e6 else f"{number / 1e6:g}M"


def _line(axes, **style):
    (line,) = axes.plot([], [], animated=True, **style)
    line.set_in_layout(False)  # what moves must not move the axes
    return line


def _pen_up(x, rows):
    """All agents' curves as one line: x [N], rows [N, K] to x and y [K (N + 1)]."""
    between = np.full((rows.shape[1], 1), np.nan)
    return np.tile([*x, np.nan], len(between)), np.hstack([rows.T, between]).ravel()


def _within(axes, x, y):
    """The points, without those that lie outside of the axes."""
    (left, right), (low, high) = sorted(axes.get_xlim()), sorted(axes.get_ylim())
    inside = (left <= x) & (x <= right) & (low <= y) & (y <= high)
    return x[inside], y[inside]


def learning_curves(*, highest=500, goal=475, actions=2, x="steps"):
    """A picture of Progress: the agents' recent returns, and beside them the policy's entropy.

    highest: top of the axis of returns; goal: a return drawn as a line; actions: how many the agent
    chooses from (the most entropy is their logarithm); x: "steps", or "episodes" (whoever plays
    whole episodes makes few steps where they are short).
    """
    name = {"steps": "environment steps", "episodes": "episodes"}[x]
    returns = Curves(
        lambda p: p.recent_returns,
        x=x,
        goal=goal,
        ylim=(0, 1.04 * highest),
        xlabel=f"{name} of each agent",
        ylabel="return (recent episodes)",
    )
    entropy = Curves(
        lambda p: p.entropy.mean(),
        x=x,
        ylim=(0, 1.06 * np.log(actions)),
        xlabel=name,
        ylabel="policy entropy (nats)",
    )
    return Picture(returns, entropy, widths=(2.2, 1))
