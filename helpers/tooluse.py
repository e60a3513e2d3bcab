"""The live picture of lesson 06: what an agent earns, and which tool it reaches for first."""

from typing import NamedTuple

import torch

from helpers.envs.tool_tasks import NAMES
from helpers.plots import COLOURS, GHOSTS, RunPicture


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
        earned = f"Mean return {known.mean():.2f}" if len(known) else "No episode has ended yet"
        called = f"called first most often: {first[1]} ({first[0]:.0%})"
        return f"{earned}; {called}; entropy {self.entropy.mean():.2f} nats.{self._note()}"

    def _note(self):
        fixed, count = int((self.entropy < 1e-3).sum()), len(self.entropy)
        if not fixed:
            return ""
        if count == 1:
            return " The policy is deterministic."
        return f" {fixed} of {count} policies {'is' if fixed == 1 else 'are'} deterministic."


class ToolPicture(RunPicture):
    """Left, returns over training; right, how often each tool is called first. Ghosts on both."""

    def __init__(self, lowest=-0.6):
        super().__init__()
        self._total = 0
        self._left, self._right = self.figure.subplots(1, 2, width_ratios=(1.5, 1))
        self._left.set(ylim=(lowest, 1.0), ylabel="return (recent episodes)")
        self._left.set(xlabel="environment steps of each agent")
        self._left.locator_params(axis="x", nbins=5)  # long numbers would run into each other
        self._right.set(xlim=(0, 1), ylim=(len(NAMES) - 0.4, -0.6), yticks=range(len(NAMES)))
        self._right.set(yticklabels=NAMES, xlabel="share of first calls, held-out requests")
        blank = [0.0] * len(NAMES)
        self._bars = self._right.barh(
            range(len(NAMES)), blank, height=0.55, color=COLOURS["sky"], animated=True
        )
        mark = dict(ls="", marker="|", ms=16, mew=2, animated=True)
        self._marks = [self._right.plot([], [], **mark)[0] for _ in range(GHOSTS)]
        for marks in self._marks:  # a thin upright mark for each tool of each ghost
            marks.set_in_layout(False)
        lines = self.curves(self._left)
        self.moving = [*self._bars, *self._marks, *lines[0]]  # marks lie on top of the bars

    def draw(self, place, run):
        """Put a run into the line of a place, and into its marks or the bars."""
        (line,) = self.lines[place]
        line.set_data([item.steps for item in run.items], [x.returns.mean() for x in run.items])
        shares = run.last.shares if run.last else torch.zeros(len(NAMES))
        if place:
            self._marks[place - 1].set_data(shares, range(len(NAMES)))
            self._marks[place - 1].set_color(line.get_color())
        else:
            for bar, share in zip(self._bars, shares.nan_to_num().tolist()):
                bar.set_width(share)

    def add(self, item):
        """Take in one more ToolUse."""
        super().add(item)
        total = round(item.steps / item.fraction)
        if total != self._total:
            self._total = total
            self._left.set_xlim(0, total)
            self.redraw_axes()

    def png(self):
        """The picture as it stands, as PNG bytes."""
        if self.runs:
            self.draw(0, self.runs[-1])
        return super().png()
