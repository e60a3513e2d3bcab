"""The live picture of lesson 06: what an agent earns, and which tool it reaches for first."""

from typing import NamedTuple

import torch

from helpers.envs.tool_tasks import NAMES
from helpers.plots import COLOURS, GHOSTS, RUN_NAMES, RUN_STYLES, LivePicture


class ToolUse(NamedTuple):
    """How training stands. K agents."""

    steps: int  # environment steps so far, of each agent
    fraction: float
    returns: torch.Tensor  # [K] mean undiscounted return of recent training episodes
    entropy: torch.Tensor  # [K] mean, in nats
    shares: torch.Tensor  # [tools] how often each is called first on held-out requests

    def words(self):
        if not self.shares.isfinite().all():
            return "Diverged: the policy is no longer a number. Lower the learning rate."
        first = max(zip(self.shares.tolist(), NAMES))
        known = self.returns[~self.returns.isnan()]
        earned = f"mean return {known.mean():.2f}, " if len(known) else ""
        fixed = int((self.entropy < 1e-3).sum())
        note = f" {fixed} of {len(self.entropy)} policies are deterministic." if fixed else ""
        return f"Reward so far: {earned}called first most often: {first[1]} ({first[0]:.0%}).{note}"


class ToolPicture(LivePicture):
    """Left, returns over training; right, how often each tool is called first. Ghosts on both."""

    def __init__(self, lowest=-0.6):
        super().__init__()
        self._runs, self._total = [], 0
        self._left, self._right = self.figure.subplots(1, 2, width_ratios=(1.5, 1))
        self._left.set(ylim=(lowest, 1.0), ylabel="return (recent episodes)")
        self._left.set(xlabel="environment steps of each agent")
        self._left.locator_params(axis="x", nbins=5)  # long numbers would run into each other
        self._right.set(xlim=(0, 1), ylim=(len(NAMES) - 0.4, -0.6), yticks=range(len(NAMES)))
        self._right.set(yticklabels=NAMES, xlabel="share of first calls, held-out requests")
        self._lines = [self._left.plot([], [], animated=True, **s)[0] for s in RUN_STYLES]
        blank = [0.0] * len(NAMES)
        self._bars = self._right.barh(
            range(len(NAMES)), blank, height=0.55, color=COLOURS["sky"], animated=True
        )
        self._marks = [  # a thin upright mark for each tool of each ghost
            self._right.plot(
                [], [], ls="", marker="|", ms=16, mew=2, animated=True, color=s["color"]
            )[0]
            for s in RUN_STYLES[1:]
        ]
        self.moving = [*self._bars, *self._marks, self._lines[0]]  # marks lie on top of the bars
        self.still = self._lines[1:]
        for line in (*self._lines, *self._marks):
            line.set_in_layout(False)

    def restart(self, label):
        """Begin a new run. The one before becomes a ghost, if it got a quarter of its way."""
        earlier = [
            (name, items) for name, items in self._runs if items and items[-1].fraction >= 0.25
        ]
        self._runs = [*earlier[-GHOSTS:], (label, [])]
        for line, marks, (_, items) in zip(self._lines[1:], self._marks, self._runs[-2::-1]):
            _draw_returns(line, items)
            marks.set_data(items[-1].shares, range(len(NAMES)))
        self.redraw_still()

    def add(self, item):
        """Take in one more ToolUse."""
        self._runs[-1][1].append(item)
        total = round(item.steps / item.fraction)
        if total != self._total:
            self._total = total
            self._left.set_xlim(0, total)
            self.redraw_axes()

    def png(self):
        """The picture as it stands, as PNG bytes."""
        items = self._runs[-1][1] if self._runs else []
        _draw_returns(self._lines[0], items)
        shares = items[-1].shares if items else torch.zeros(len(NAMES))
        for bar, share in zip(self._bars, shares.nan_to_num().tolist()):
            bar.set_width(share)
        return super().png()

    def rows(self):
        """Of the current run and its ghosts, newest first: (line's look, settings, result)."""
        return [
            (name, label, items[-1].words() if items else "Starting.")
            for name, (label, items) in zip(RUN_NAMES, reversed(self._runs))
        ]


def _draw_returns(line, items):
    line.set_data([item.steps for item in items], [item.returns.mean() for item in items])
