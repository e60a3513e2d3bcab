"""Wrong implementations: how a lesson writes them down, and those that several lessons share.

A solution is a Formula, and a mistake is the same formula with another line in it. `pairs` puts a
mistake beside the sentence for whoever wrote the same. The functions of_... take a formula that has
the lines named in their docstrings, and return the pairs that are the same in each lesson.
"""

from operator import attrgetter
from types import SimpleNamespace

import torch
import torch.nn.functional as F

from helpers.returns import discounted_returns

LOSS_SIGN = (
    "The sign is the wrong way round: a loss is made small, so what should grow has a minus."
)
NO_GAMMA = "gamma is never used: what comes later counts for less."
DIVIDED = (
    "A power of gamma becomes 0, and what you divide by it no number: walk back from the last step."
)
EXP = "exp() of a large number overflows, of a very low one it is 0: softmax() and log_softmax() are safe."
LOG_OF_0 = (
    "A softmax can be exactly 0: neither take its log nor divide by it. log_softmax() is safe."
)
SUM = "That is the sum over the steps: take their mean."
COLUMNS = "[:, actions] takes T columns of every row: pick one a row, [torch.arange(T), actions]."


class Formula:
    """A function made of named lines, of which the last is the answer.

        error = Formula(
            "reward value",
            target=lambda c: c.reward,
            answer=lambda c: c.target - c.value,
        )
        error.but(target=lambda c: 2 * c.reward)  # with another line
        error.then(answer=torch.neg)  # with something done to what a line gives

    A line is a function of c, which holds the arguments and the lines before it. Both methods take
    arguments as well as lines: an argument is changed first.
    """

    def __init__(self, arguments, **lines):
        self.arguments, self.lines = arguments, lines

    def __call__(self, *case):
        c = SimpleNamespace(**dict(zip(self.arguments.split(), case)))
        for name, line in self.lines.items():
            setattr(c, name, line(c))
        return getattr(c, list(self.lines)[-1])

    def case(self, *values):
        """A case of these arguments, in their order; lists become tensors."""
        made = [torch.tensor(x) if isinstance(x, list) else x for x in values]
        return dict(zip(self.arguments.split(), made))

    def but(self, **lines):
        first = {name: line for name, line in lines.items() if name not in self.lines}
        return Formula(self.arguments, **(first | self.lines | lines))

    def then(self, **changes):
        return self.but(**{name: self._changed(name, how) for name, how in changes.items()})

    def _changed(self, name, how):
        line = self.lines.get(name, attrgetter(name))
        return lambda c: how(line(c))


def pairs(*table):
    """[(wrong, sentence), ...] of wrong, sentence, wrong, sentence, ...

    Several that have one sentence stand in a list.
    """
    return [
        (wrong, sentence)
        for several, sentence in zip(table[::2], table[1::2], strict=True)
        for wrong in (several if isinstance(several, list) else [several])
    ]


def plain_softmax(x):
    """Without taking the largest off first."""
    return x.exp() / x.exp().sum(-1, keepdim=True)


def picked(table, actions):
    """The entry of each row [..., A] that actions [...] names."""
    return table.gather(-1, actions[..., None])[..., 0]


def of_mean(formula):
    """The last line, the mean over the steps of the line each."""
    last = [*formula.lines][-1]
    return pairs(
        formula.but(**{last: lambda c: c.each.sum()}),
        SUM,
        formula.but(**{last: lambda c: c.each}),
        "One number is wanted, the mean over all steps.",
    )


def of_taken(formula):
    """taken, the log-probabilities of the argument actions, made of the argument logits."""
    return pairs(
        formula.then(taken=torch.exp),
        "You use the probabilities of the actions taken: take their logarithms.",
        formula.but(taken=lambda c: picked(c.logits, c.actions)),
        "You use the logits themselves: the log-probabilities are their log_softmax.",
    )


def of_log_pi(formula):
    """log_pi, the log_softmax of logits [..., A]. One case should have logits 200 apart."""

    def wrong(log_pi):
        return formula.but(log_pi=lambda c: log_pi(c.logits))

    return pairs(
        wrong(lambda x: x.log_softmax(0)),
        "The softmax runs over the wrong axis: take it over the actions, axis -1.",
        wrong(lambda x: x.softmax(-1).log_softmax(-1)),
        "You take a softmax of a softmax: log_softmax() wants the logits.",
        wrong(lambda x: plain_softmax(x).log()),
        EXP,
        wrong(lambda x: x.softmax(-1).log()),
        LOG_OF_0,
        [wrong(lambda x, e=e: (x.softmax(-1) + e).log()) for e in (1e-6, 1e-8, 1e-10, 1e-12)],
        "What you add inside the log is made up: log_softmax() needs no such help.",
    )


def powers(x, gamma):
    """gamma^t, shaped to multiply x, whose first axis is time."""
    return (gamma ** torch.arange(len(x))).reshape(-1, *[1] * (x.dim() - 1))


def from_the_start(rewards, gamma):
    """gamma^t G_t."""
    return powers(rewards, gamma) * discounted_returns(rewards, gamma)


def _ahead(steps):
    """The sum of the rewards of step t and so many after it."""

    def returns(rewards, gamma):
        later = torch.cat([rewards, torch.zeros_like(rewards[:1]).repeat_interleave(steps, 0)])
        return sum(gamma**k * later[k : k + len(rewards)] for k in range(steps + 1))

    return returns


def without_the_last(x):
    return torch.cat([x[:-1], 0 * x[-1:]])


def of_returns(formula):
    """returns, made of the arguments rewards [T, ...] and gamma. One case should have many steps."""

    def wrong(returns):
        return formula.but(returns=lambda c: returns(c.rewards, c.gamma))

    return pairs(
        formula.but(gamma=lambda c: 1.0),
        NO_GAMMA,
        wrong(lambda r, gamma: from_the_start(r, gamma) / powers(r, gamma) if gamma else r),
        DIVIDED,
        formula.then(returns=lambda G: G.flip(0)),
        "The returns stand in reverse order: turn them round.",
        [
            wrong(lambda rewards, gamma: (powers(rewards, gamma) * rewards).cumsum(0)),
            wrong(lambda rewards, gamma: discounted_returns(rewards.flip(0), gamma).flip(0)),
        ],
        "You add the rewards up to step t, the past: walk through the steps from the last.",
        formula.but(returns=lambda c: c.rewards),
        "Each step got its own reward alone: later rewards count as well.",
        [wrong(_ahead(1)), wrong(_ahead(2))],
        "You look one or two steps ahead only: add gamma times the next step's return.",
        wrong(lambda rewards, gamma: discounted_returns(without_the_last(rewards), gamma)),
        "The last step is left out: its return is its reward.",
        wrong(lambda rewards, gamma: discounted_returns(rewards, gamma) - rewards),
        "The reward of step t itself is missing: start the sum at t.",
    )


def of_td_error(formula):
    """goes_on, a mask of 0 and 1; answer = reward + gamma * next_value * goes_on - value."""

    def wrong(answer):
        return formula.but(answer=lambda c: answer(c.reward, c.value, c.gamma * c.next_value, c))

    return pairs(
        formula.but(goes_on=lambda c: 1),
        "Nothing follows where it ends: there the next value must count as 0.",
        formula.then(answer=torch.neg),
        "The sign is the wrong way round: better than expected is positive.",
        formula.but(gamma=lambda c: 1.0),
        NO_GAMMA,
        formula.but(value=lambda c: 0),
        "That is the target: take away what the critic expected, the value.",
        formula.then(goes_on=lambda mask: 1 - mask),
        "The mask is the wrong way round: the next value counts where it goes on.",
        wrong(lambda r, v, after, c: (r + after - v) * c.goes_on),
        "You drop the whole step where it ends: only the next value is 0 there.",
        wrong(lambda r, v, after, c: r + (after - v) * c.goes_on),
        "Where it ends you drop the value as well: only the next value is 0 there.",
        wrong(lambda r, v, after, c: (r + after) * c.goes_on - v),
        "Where it ends you drop the reward as well: only the next value is 0 there.",
        wrong(lambda r, v, after, c: r + after * c.goes_on - c.gamma * v),
        "gamma belongs to the next value alone, since only that comes a step later.",
        wrong(lambda r, v, after, c: c.gamma * r + after * c.goes_on - v),
        "The reward is paid at once: do not discount it.",
        wrong(lambda r, v, after, c: r + c.gamma * v * c.goes_on - c.next_value),
        "The two values are swapped: add the discounted next value, and take the value away.",
    )


def of_actor_and_critic(formula):
    """actor and critic, of log_prob, value and the line target; answer, both of them."""
    return pairs(
        [
            formula.but(actor=lambda c: -(c.target - c.value) * c.log_prob),
            formula.but(actor=lambda c: -(c.target.detach() - c.value) * c.log_prob),
        ],
        "To the actor the TD error is data: detach it there, or its loss changes the critic.",
        formula.then(actor=torch.neg),
        "The actor's sign is the wrong way round: a loss is made small, so it needs a minus.",
        formula.then(critic=torch.neg),
        "The critic's sign is the wrong way round: half the square is to be made small.",
        formula.then(actor=torch.Tensor.detach),
        "No slope for log_prob: the actor would never learn. Detach the TD error alone.",
        formula.then(critic=torch.Tensor.detach),
        "No slope for value: the critic would never learn. Detach the target alone.",
        formula.then(critic=lambda loss: 2 * loss),
        "The critic's loss is twice as large as asked for: half the square is wanted.",
        formula.but(critic=lambda c: F.smooth_l1_loss(c.value, c.target.detach())),
        "That is the smooth L1 (Huber) loss, a line for large errors: take half the square.",
        formula.but(actor=lambda c: -c.target.detach() * c.log_prob),
        "The actor's loss takes the whole outcome: take the value away, which leaves the TD error.",
        formula.then(answer=lambda losses: losses[::-1]),
        "The two losses are swapped: the actor's comes first.",
    )
