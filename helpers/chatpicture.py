"""The support chat's sliders and live pictures: its exact solution, and agents that learn it."""

from typing import NamedTuple

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.collections import PolyCollection
from matplotlib.ticker import MaxNLocator

from helpers.envs.support import ACTIONS
from helpers.plots import COLOURS, GHOSTS, RUN_NAMES, RUN_STYLES, LivePicture

ACTION_COLOURS = [COLOURS[name] for name in ("blue", "orange", "purple")]
MOST_REGIONS = 7
ON_AND_ON = 20.0  # mean questions of a chat above which an agent counts as never stopping


class Solved(NamedTuple):
    """The chat solved with so many questions allowed: what the solver yields. S beliefs."""

    fraction: float
    questions: str  # how many questions are allowed, in words
    beliefs: np.ndarray  # [S]
    values: np.ndarray  # [S] of the best policy
    best: np.ndarray  # [S] its actions
    solved: float  # share of the chats that it solves, beliefs spread evenly at the start
    asked: float  # mean number of questions it asks

    def words(self):
        if self.asked > ON_AND_ON:
            return (
                f"{self.questions}: it asks on and on, {ON_AND_ON:g} questions or more in the mean."
            )
        middle = np.interp(0.5, self.beliefs, self.values)
        return (
            f"{self.questions}: V(0.5) = {middle:.3f}; {describe(self.beliefs, self.best)}. From all "
            f"beliefs alike {self.solved:.1%} solved with {self.asked:.2f} questions."
        )


class Trained(NamedTuple):
    """Where the training of K agents stands: what its generator yields."""

    fraction: float
    steps: int  # environment steps of each agent so far
    values: torch.Tensor  # [K] exact value of each policy, at gamma 1
    asked: torch.Tensor  # [K] mean questions of a chat
    policy: np.ndarray  # [S, A] mean over the agents
    optimum: float  # the best value
    beliefs: np.ndarray  # [S]
    best: np.ndarray  # [S] the best actions

    def words(self):
        lost, endless = self.optimum - self.values, int((self.asked > ON_AND_ON).sum())
        if endless:
            return (
                f"{endless} of {len(lost)} agents ask on and on, {ON_AND_ON:g} questions or more."
            )
        return (
            f"Value lost against the best {self.optimum:.3f}: {lost.mean():.3f} in the mean of "
            f"{len(lost)} agents, with {self.asked.mean():.2f} questions a chat."
        )


def regions(beliefs, best):
    """(action, from, to) of each stretch of beliefs in which one action is the best."""
    cuts = np.flatnonzero(np.diff(best))
    edges = [0.0, *(beliefs[cuts] + beliefs[cuts + 1]) / 2, 1.0]
    return list(zip(best[[*cuts, len(best) - 1]], edges[:-1], edges[1:]))


def describe(beliefs, best):
    """The stretches in words, as in "clarify 0.09 to 0.91"; answering is what is left."""
    found = [(a, low, high) for a, low, high in regions(beliefs, best) if a]
    texts = [f"{ACTIONS[a]} from {low:.2f} to {high:.2f}" for a, low, high in found]
    return ", ".join(texts) or "answer at once, whatever the belief"


def price_sliders(*names):
    """Sliders of the chat's prices of these names, or of all four; each of their positions is legal.

    They are named as support_chat's arguments are.
    """
    ranges = {
        "accuracy": ("clarity of answers q", 0.8, 0.5, 1.0, 0.01),
        "question_cost": ("cost of a question c", 0.1, 0.01, 0.6, 0.01),
        "wrong_price": ("price of a wrong answer w", 2.0, 0.0, 6.0, 0.25),
        "escalation_cost": ("cost of escalation e", 0.2, 0.0, 1.0, 0.05),
    }
    look = {"style": {"description_width": "14em"}, "layout": {"width": "32em"}}
    return {
        name: widgets.FloatSlider(value, min=low, max=high, step=step, description=words, **look)
        for name, (words, value, low, high, step) in ranges.items()
        if name in (names or ranges)
    }


class Strip:
    """Stretches of belief as a coloured band from `low` to `high` on the axes, with their initials."""

    def __init__(self, axes, low, high, *, alpha=0.35, letters=None, animated=True):
        self._low, self._high = low, high
        self._bands = PolyCollection([], alpha=alpha, lw=0, antialiased=False, zorder=0.5)
        axes.add_collection(self._bands, autolim=False)
        height = (low + high) / 2 if letters is None else letters
        style = {"ha": "center", "va": "center", "fontsize": 9}
        self._letters = [axes.text(0, height, "", **style) for _ in range(MOST_REGIONS)]
        self.artists = [self._bands, *self._letters]
        for artist in self.artists:
            artist.set_animated(animated)

    def set(self, beliefs, best):
        found = regions(beliefs, best)
        self._bands.set_verts(
            [
                [(x, self._low), (x, self._high), (end, self._high), (end, self._low)]
                for _, x, end in found
            ]
        )
        self._bands.set_facecolor([ACTION_COLOURS[a] for a, _, _ in found])
        for letter, (a, low, high) in zip(self._letters, found):
            letter.set(text=ACTIONS[a][0], x=(low + high) / 2, visible=high - low > 0.03)
        for letter in self._letters[len(found) :]:
            letter.set_visible(False)


class _ChatPicture(LivePicture):
    """Runs and ghosts, as both pictures keep them; a run is its label and its items."""

    def __init__(self):
        super().__init__(width=9.0, height=3.7)
        self._runs = []
        self._axes = self.figure.subplots(1, 2, width_ratios=(1, 1))
        for axes in self._axes:
            axes.grid(False)

    def restart(self, label):
        """Begin a new run. The one before becomes a ghost, if it got a quarter of its way."""
        done = [run for run in self._runs if run[1] and run[1][-1].fraction >= 0.25]
        self._runs = [*done[-GHOSTS:], (label, [])]
        for row, (_, items) in enumerate(reversed(self._runs)):
            self._draw(row, items)
        self.redraw_still()

    def add(self, item):
        """Take in one more item."""
        self._runs[-1][1].append(item)
        self._draw(0, self._runs[-1][1])

    def rows(self):
        """Of the current run and its ghosts, newest first: (line's look, settings, result)."""
        return [
            (name, label, items[-1].words() if items else "Starting.")
            for name, (label, items) in zip(RUN_NAMES, reversed(self._runs))
        ]

    def _lines(self, axes):
        return [axes.plot([], [], animated=True, **style)[0] for style in RUN_STYLES]


class SolvedPicture(_ChatPicture):
    """Picture of Solved items: V against belief, and the best action as a strip for each run."""

    def __init__(self):
        super().__init__()
        left, right = self._axes
        left.set(
            xlim=(0, 1), ylim=(-1.05, 1.05), xlabel="belief in intent 1", ylabel="V, best value"
        )
        left.axhline(0, color=COLOURS["grey"], lw=0.8, ls=":")
        right.set(xlabel="belief in intent 1", title="a answer, c clarify, e escalate")
        self._strips = [Strip(right, -row - 0.4, -row + 0.4) for row in range(len(RUN_STYLES))]
        names = ["this run", *(f"{i} before" for i in range(1, len(RUN_STYLES)))]
        right.set(xlim=(0, 1), ylim=(0.5 - len(RUN_STYLES), 0.5))
        right.set_yticks([-row for row in range(len(RUN_STYLES))], names)
        self._values = self._lines(left)
        ghosts = [artist for strip in self._strips[1:] for artist in strip.artists]
        self.still = [*self._values[1:], *ghosts]
        self.moving = [self._values[0], *self._strips[0].artists]

    def _draw(self, row, items):
        if items:
            self._values[row].set_data(items[-1].beliefs, items[-1].values)
            self._strips[row].set(items[-1].beliefs, items[-1].best)


class TrainedPicture(_ChatPicture):
    """Picture of Trained items: exact value of the policies against steps, and the mean probability
    of each action against belief, over the exact regions.
    """

    def __init__(self, *, lowest=-1.0):
        super().__init__()
        left, right = self._axes
        left.set(ylim=(lowest, 1.05), xlabel="environment steps of each agent")
        left.set(ylabel="exact value of the policy")
        left.grid(True)
        left.xaxis.set_major_locator(MaxNLocator(4))
        right.set(xlim=(0, 1), ylim=(0, 1.12), ylabel="probability")
        right.set(xlabel="belief in intent 1 (coloured ground: exact solution)")
        self._values, thin = self._lines(left), {**RUN_STYLES[0], "lw": 0.8, "alpha": 0.5}
        self._each = left.plot([], [], animated=True, **thin)[0]
        self._best = left.plot([], [], animated=True, color=COLOURS["grey"], ls=":", lw=1.5)[0]
        self._strip = Strip(right, 0, 1, letters=1.06)
        looks = list(zip(ACTIONS, ACTION_COLOURS, ("-", "--", "-.")))
        self._policy = [
            right.plot([], [], animated=True, color=c, ls=ls, lw=2.4)[0] for _, c, ls in looks
        ]
        for name, colour, style in looks:  # what is animated has no place in a legend
            right.plot([], [], color=colour, ls=style, lw=2.4, label=name)
        right.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, fontsize=9)
        self.still = self._values[1:]
        lines = [self._best, self._each, self._values[0]]
        self.moving = [*lines, *self._strip.artists, *self._policy]
        self._total = None

    def _draw(self, row, items):
        steps = [item.steps for item in items]
        self._values[row].set_data(steps, [item.values.mean() for item in items])
        if row == 0 and items:
            self._draw_current(steps, items)

    def _draw_current(self, steps, items):
        item, agents = items[-1], np.array([item.values.numpy() for item in items]).T
        pen_up = np.full((len(agents), 1), np.nan)  # between two agents
        self._each.set_data(
            np.tile([*steps, np.nan], len(agents)), np.hstack([agents, pen_up]).ravel()
        )
        total = round(item.steps / item.fraction)
        if total != self._total:
            self._total = total
            self._axes[0].set_xlim(0, total)
            self.redraw_axes()
        self._best.set_data([0, total], [item.optimum] * 2)
        self._strip.set(item.beliefs, item.best)
        for line, chance in zip(self._policy, item.policy.T):
            line.set_data(item.beliefs, chance)
