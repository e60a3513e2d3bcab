"""A box in which the learner types a request and sees which tool a trained agent reaches for."""

import html

import torch

from helpers.envs.tool_tasks import COSTS, FEATURES, NAMES, embed
from helpers.errors import SlipError
from helpers.live.annotator import AskBox
from helpers.networks import Actor
from helpers.tools import TOOLS

SHOWN = 80  # characters of a request, and of a tool's answer


class Reply:
    """What an agent makes of a request: probabilities [tools], and what each tool really says."""

    def __init__(self, actor, request):
        with torch.no_grad():
            logits = actor(torch.from_numpy(embed([request]))[0])
        self.request = request
        self.probabilities = logits.softmax(-1)
        self.says = [tool(request) for tool in TOOLS.values()]

    @property
    def chosen(self):
        """The number of the likeliest tool."""
        return int(self.probabilities.argmax())

    def sentence(self):
        if not self.request.strip():
            return "There is no request yet: type one and press Enter."
        return f"The agent reaches for: {NAMES[self.chosen]}. {_short(self.says[self.chosen])}"

    def text(self):
        """Request, table and sentence as plain text."""
        lines = [f"Request: {_short(self.request)}"]
        for name, cost, p, said in self._rows():
            lines.append(f"{name:11} cost {cost:.2f}  {p:6.1%}  {'#' * round(20 * p):20}  {said}")
        return "\n".join([*lines, self.sentence()])

    def html(self):
        """The same as HTML; whatever was typed is shown as text, never as markup."""
        head = "".join(f"<th>{name}</th>" for name in ("tool", "cost", "probability", "", "says"))
        rows = "".join(
            f"<tr><td>{name}</td><td>{cost:.2f}</td><td>{p:.1%}</td><td>{_bar(p)}</td>"
            f'<td style="text-align: left">{html.escape(said)}</td></tr>'
            for name, cost, p, said in self._rows()
        )
        return (
            f'<div style="line-height: 1.4"><strong>{html.escape(self.sentence())}</strong></div>'
            f"<table><tr>{head}</tr>{rows}</table>"
        )

    def _rows(self):
        shown = map(_short, self.says)
        return zip(NAMES, COSTS, self.probabilities.tolist(), shown)


class TaskBox(AskBox):
    """An AskBox whose answer is the Reply of an agent to what was typed; it names the likeliest tool.

    actor: an Actor that reads the 512 numbers of a request; of several agents, number `agent`.
    request: what stands in the field at first. Raises SlipError for an actor that does not fit.
    """

    def __init__(self, actor, request="", agent=0):
        if not isinstance(actor, Actor) or actor.body.state_dim != FEATURES:
            raise SlipError(f"TaskBox needs an Actor that reads {FEATURES} numbers.")
        actor = actor.agent(agent)
        super().__init__(lambda text: Reply(actor, text), request)


def _short(text):
    """One line of at most SHOWN printable characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * SHOWN]).split())
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 4]} ..."


def _bar(p):
    """A bar of this length; the number beside it says the same in words."""
    return f'<div style="background: #0072B2; height: 0.8em; width: {10 * p:.2f}em"></div>'
