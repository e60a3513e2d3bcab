"""The support chat's sliders and live pictures: its exact solution, and agents that learn it."""

from typing import NamedTuple

import numpy as np
import torch
from matplotlib.collections import PolyCollection
from matplotlib.ticker import MaxNLocator

from helpers import exact
from helpers.controls import slider
from helpers.envs.support import ACTIONS, support_chat
from helpers.plots import COLOURS, GHOSTS, RunPicture, set_each

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
            return f"{self.questions}: it asks on and on, more than {ON_AND_ON:g} in the mean."
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
        agents, ask = "agent" + "s" * (len(lost) > 1), "ask" + "s" * (endless == 1)
        if endless:
            return (
                f"{endless} of {len(lost)} {agents} {ask} on and on, "
                f"more than {ON_AND_ON:g} questions in the mean."
            )
        return (
            f"Value lost against the best {self.optimum:.3f}: {lost.mean():.3f} in the mean of "
            f"{len(lost)} {agents}, with {self.asked.mean():.2f} questions a chat."
        )


class Misled(NamedTuple):
    """A bot that is greedy for a critic which errs so much. S beliefs."""

    fraction: float
    error: float
    lost: float  # value, against the best
    asked: float  # mean number of questions
    beliefs: np.ndarray  # [S]
    best: np.ndarray  # [S] what looks best to it

    def words(self):
        if self.asked > ON_AND_ON:
            return f"With an error of {self.error:+.2f} it asks on and on."
        return (
            f"With an error of {self.error:+.2f} it loses {self.lost:.2f} and asks "
            f"{self.asked:.1f} questions; {describe(self.beliefs, self.best)}."
        )


def outcome(table, b, Q):
    """What comes of choosing by Q [S + 3, 3], for first beliefs spread evenly from 0 to 1.

    Returns beliefs, values, best actions, share solved, mean questions. No action gets less than
    one in a million, so that a bot that would ask for ever has a mean as well.
    """
    policy = torch.nn.functional.one_hot(Q.argmax(1), 3).double().clamp(min=1e-6)
    visits = exact.occupancy(table, policy, 1.0)[:-3]
    sure = torch.from_numpy(np.maximum(b, 1 - b))[:-3]
    solved, asked = visits @ (policy[:-3, 0] * sure), visits @ policy[:-3, 1]
    best = Q[:-3].max(1)
    return b[:-3], best.values.numpy(), best.indices.numpy(), solved.item(), asked.item()


def solve(gamma=1.0, questions=25, **prices):
    """Allow one question after the other, and finally any number: yields Solved.

    prices: as for support_chat. Derived in notebooks/08_daily_challenge_chatbot.ipynb, section 2.
    """
    table, b = support_chat(**prices)

    def worth(values):
        after = torch.where(table.terminal, 0.0, values)
        return (table.transitions * (table.rewards + gamma * after)).sum(-1)

    Q = worth(torch.zeros(len(b)))
    Q[:, 1] = -torch.inf  # no question yet
    for n in range(questions):
        allowed = f"Up to {n} question{'s' * (n > 1)}" if n else "No question"
        yield Solved((n + 1) / (questions + 1), allowed, *outcome(table, b, Q))
        Q = worth(Q.amax(1))
    Q = worth(exact.optimal_values(table, gamma))
    yield Solved(1.0, "Any number of questions", *outcome(table, b, Q))


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
        "accuracy": ("clarity of replies q", 0.8, 0.5, 1.0, 0.01),
        "question_cost": ("question's cost c", 0.1, 0.01, 0.6, 0.01),
        "wrong_price": ("mistake's price w", 2.0, 0.0, 6.0, 0.25),
        "escalation_cost": ("person's cost e", 0.2, 0.0, 1.0, 0.05),
    }
    return {name: slider(*ranges[name]) for name in names or ranges}


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


def _pair_of_axes(figure):
    pair = figure.subplots(1, 2)
    for axes in pair:
        axes.grid(False)
    return pair


def _strips(axes):
    """A strip of best actions for each run, the newest on top."""
    axes.set(xlabel="belief in intent 1", title="a answer, c clarify, e escalate")
    places = range(1 + GHOSTS)
    names = ["this run", *["earlier"] * GHOSTS]
    axes.set(xlim=(0, 1), ylim=(-GHOSTS - 0.5, 0.5))
    axes.set_yticks([-place for place in places], names)
    return [Strip(axes, -place - 0.4, -place + 0.4) for place in places]


class SolvedPicture(RunPicture):
    """Picture of Solved items: V against belief, and the best action as a strip for each run."""

    def __init__(self):
        super().__init__(width=9.0, height=3.7)
        left, right = _pair_of_axes(self.figure)
        left.set(
            xlim=(0, 1), ylim=(-1.05, 1.05), xlabel="belief in intent 1", ylabel="V, best value"
        )
        left.axhline(0, color=COLOURS["grey"], lw=0.8, ls=":")
        self._strips = _strips(right)
        self.moving = [*self.curves(left)[0], *self._strips[0].artists]
        self.still += [artist for strip in self._strips[1:] for artist in strip.artists]

    def add(self, item):
        """Take in one more Solved."""
        super().add(item)
        self.draw(0, self.runs[-1])

    def draw(self, place, run):
        """Put a run into the line and the strip of a place."""
        if run.last:
            self.lines[place][0].set_data(run.last.beliefs, run.last.values)
            self._strips[place].set(run.last.beliefs, run.last.best)


class MisledPicture(RunPicture):
    """Picture of Misled items: value lost against the critic's error, and what looks best to the bot
    as a strip for each run.
    """

    def __init__(self, *, most=0.5, highest=0.2):
        super().__init__(width=9.0, height=3.7)
        left, right = _pair_of_axes(self.figure)
        left.grid(True)
        left.set(xlim=(-1.04 * most, 1.04 * most), ylim=(-0.04 * highest, highest))
        left.set(xlabel="error of the critic, solved cases", ylabel="value lost, solved cases")
        self._here = left.plot([], [], animated=True, marker="o", ms=6, ls="")[0]
        self.tinted.append(self._here)
        self._strips = _strips(right)
        self.moving = [*self.curves(left)[0], self._here, *self._strips[0].artists]
        self.still += [artist for strip in self._strips[1:] for artist in strip.artists]

    def add(self, item):
        """Take in one more Misled."""
        super().add(item)
        self.draw(0, self.runs[-1])

    def draw(self, place, run):
        """Put a run into the line and the strip of a place."""
        ending = [(i.error, i.lost) for i in run.items if i.asked <= ON_AND_ON]
        self.lines[place][0].set_data(*(zip(*ending) if ending else ((), ())))
        if place == 0:
            self._here.set_data(*(zip(ending[-1]) if ending else ((), ())))
        if run.last:
            self._strips[place].set(run.last.beliefs, run.last.best)


class TrainedPicture(RunPicture):
    """Picture of Trained items: exact value of the policies against steps, and the mean probability
    of each action against belief, over the exact regions.
    """

    def __init__(self, *, lowest=-1.0):
        super().__init__(width=9.0, height=3.7)
        left, right = _pair_of_axes(self.figure)
        left.set(ylim=(lowest, 1.05), xlabel="environment steps of each agent")
        left.set(ylabel="exact value of the policy")
        left.grid(True)
        left.xaxis.set_major_locator(MaxNLocator(4))
        right.set(xlim=(0, 1), ylim=(0, 1.12), ylabel="probability")
        right.set(xlabel="belief in intent 1 (coloured ground: exact solution)")
        self._left, self._each = left, self.thin(left)
        self._best = left.plot([], [], animated=True, color=COLOURS["grey"], ls=":", lw=1.5)[0]
        self._strip = Strip(right, 0, 1, letters=1.06)
        looks = list(zip(ACTIONS, ACTION_COLOURS, ("-", "--", "-.")))
        self._policy = [
            right.plot([], [], animated=True, color=c, ls=ls, lw=2.4)[0] for _, c, ls in looks
        ]
        for name, colour, style in looks:  # what is animated has no place in a legend
            right.plot([], [], color=colour, ls=style, lw=2.4, label=name)
        right.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, fontsize=9)
        lines = [self._best, self._each, *self.curves(left)[0]]
        self.moving = [*lines, *self._strip.artists, *self._policy]
        self._total = None

    def add(self, item):
        """Take in one more Trained."""
        super().add(item)
        total = round(item.steps / item.fraction)
        if total != self._total:
            self._total = total
            self._left.set_xlim(0, total)
            self.redraw_axes()
        self.draw(0, self.runs[-1])

    def draw(self, place, run):
        """Put a run into the line of a place, and the newest into all else."""
        steps = [item.steps for item in run.items]
        self.lines[place][0].set_data(steps, [item.values.mean() for item in run.items])
        if place == 0 and run.last:
            self._draw_newest(steps, run.items, run.last)

    def _draw_newest(self, steps, items, last):
        set_each(self._each, steps, [item.values.numpy() for item in items])
        self._best.set_data([0, self._total], [last.optimum] * 2)
        self._strip.set(last.beliefs, last.best)
        for line, chance in zip(self._policy, last.policy.T):
            line.set_data(last.beliefs, chance)
