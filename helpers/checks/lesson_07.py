"""The checks of lesson 07: the agent's loss, the moves, slipping, a planted bug, time to arrive."""

import functools
import math

import numpy as np
import torch

from helpers.checks.core import Check, numbers
from helpers.envs.gridworld import MOVES
from helpers.losses import entropy, log_prob

# --- 7.1 -----------------------------------------------------------------------------------------


def _mean(x, valid):
    return x[valid].mean()


def _entropy(logits, actions, valid):
    return _mean(entropy(logits), valid)


def _loss(bonus=_entropy, mean=_mean, signs=(-1, 1, -1), half=0.5):
    """agent_loss with other parts: policy, value and entropy come with these signs."""

    def agent_loss(logits, values, actions, advantages, returns, valid, value_coef, entropy_coef):
        policy = mean(advantages * log_prob(logits, actions), valid)
        value = half * mean((values - returns) ** 2, valid)
        parts = policy, value_coef * value, entropy_coef * bonus(logits, actions, valid)
        return sum(sign * part for sign, part in zip(signs, parts))

    return agent_loss


def _ignoring(**fixed):
    """agent_loss with coefficients that are not the ones it was given."""

    def agent_loss(*case):
        names = ("value_coef", "entropy_coef")
        return _loss()(*case[:6], *(fixed.get(n, c) for n, c in zip(names, case[6:])))

    return agent_loss


def _everywhere(x, valid):
    return x.mean()


def _padded(x, valid):
    return (x * valid).mean()


def _summed(x, valid):
    return x[valid].sum()


def _draw_steps(rng):
    steps, actions = int(rng.integers(3, 7)), int(rng.integers(2, 5))
    valid = torch.tensor(rng.random(steps) < 0.7)
    valid[0], valid[int(rng.integers(1, steps))] = True, False
    return {
        "logits": numbers(rng, steps, actions, low=-2, high=2),
        "values": numbers(rng, steps),
        "actions": torch.tensor(rng.integers(0, actions, steps)),
        "advantages": numbers(rng, steps),
        "returns": numbers(rng, steps),
        "valid": valid,
        "value_coef": round(rng.uniform(0.2, 0.8), 1),
        "entropy_coef": round(rng.uniform(0.2, 0.8), 1),
    }


agent_loss = Check(
    "7.1",
    slopes=["logits", "values"],
    solution=_loss(),
    example={
        "logits": torch.tensor([[0.0, 1.0], [2.0, 0.0], [0.0, -1.0]]),
        "values": torch.tensor([1.0, 0.0, 3.0]),
        "actions": torch.tensor([1, 1, 0]),
        "advantages": torch.tensor([1.0, -2.0, 4.0]),
        "returns": torch.tensor([2.0, -2.0, 7.0]),
        "valid": torch.tensor([True, True, False]),
        "value_coef": 0.5,
        "entropy_coef": 0.2,
    },
    draw=_draw_steps,
    mistakes=[
        (
            _loss(signs=(-1, 1, 1)),
            "The entropy has the wrong sign: a loss is made small, so a bonus must be taken off.",
        ),
        (
            _loss(signs=(1, 1, -1)),
            "The policy's part has the wrong sign: a good action needs a minus in a loss.",
        ),
        (
            _loss(signs=(-1, 1, 0)),
            "No entropy bonus arrives, or no gradient flows through it: it has to stay "
            "connected to the logits.",
        ),
        (
            _loss(lambda logits, actions, valid: -_mean(log_prob(logits, actions), valid)),
            "The bonus is made of the sampled action's log-probability, whose gradient is zero "
            "on average: sum p log p over all actions.",
        ),
        (
            _loss(lambda logits, actions, valid: entropy(logits).mean(), _everywhere),
            "The rows that only reset are counted: leave out the rows where valid is False.",
        ),
        (
            _loss(lambda logits, actions, valid: _padded(entropy(logits), valid), mean=_padded),
            "You divide by all rows, those that only reset too: divide by the number of valid "
            "rows.",
        ),
        (
            _loss(lambda logits, actions, valid: entropy(logits).mean()),
            "The entropy also counts the rows where valid is False: leave them out there too.",
        ),
        (
            _loss(lambda logits, actions, valid: _summed(entropy(logits), valid), mean=_summed),
            "You add over the steps: take means, so that longer rollouts make no larger steps.",
        ),
        (
            _loss(half=1.0),
            "The value's part is twice as large as asked for: half the mean squared error.",
        ),
        (_ignoring(value_coef=1.0), "value_coef is never used."),
        (_ignoring(entropy_coef=1.0), "entropy_coef is never used."),
        (
            _loss(lambda logits, actions, valid: _entropy(logits, 0, valid) / logits.shape[-1]),
            "You take the mean over the actions too: add over the actions, and take the mean "
            "over the steps alone.",
        ),
        (
            _loss(lambda logits, actions, valid: entropy(logits.T).mean()),
            "The entropy's softmax runs over the steps: take it over the actions, axis -1.",
        ),
    ],
)

# --- 7.2 -----------------------------------------------------------------------------------------


def _four_moves(
    x,
    y,
    rows,
    *,
    letter=lambda rows, x, y: rows[-1 - y][x],
    order=MOVES,
    clamp=True,
    walls=True,
    rewards=(1.0, -1.0, -0.01, -0.01),
    ends="GT",
    enter=True,
):
    """The rule of the exercise, with every part of it exchangeable."""
    goal, trap, step, bump = rewards
    answers = []
    for dx, dy in order:
        i, j = x + dx, y + dy
        outside = not (0 <= i < len(rows[0]) and 0 <= j < len(rows))
        if (outside and clamp) or (not outside and walls and letter(rows, i, j) == "#"):
            i, j = x, y
        there = "." if outside and not clamp else letter(rows, *((i, j) if enter else (x, y)))
        paid = {"G": goal, "T": trap}.get(there, bump if (i, j) == (x, y) else step)
        answers.append([i, j, paid, float(there in ends)])
    return answers


def _variant(**parts):
    return functools.partial(_four_moves, **parts)


def _from_the_top(rows, x, y):
    return rows[y][x]


def _transposed(rows, x, y):
    return rows[-1 - x % len(rows)][y % len(rows[0])]


def _draw_cell(rng):
    height, width = int(rng.integers(2, 5)), int(rng.integers(2, 6))
    cells = rng.choice(list("...##GT"), (height, width))
    y, x = int(rng.integers(height)), int(rng.integers(width))
    cells[height - 1 - y, x] = "S"
    return {"x": x, "y": y, "rows": tuple("".join(row) for row in cells)}


four_moves = Check(
    "7.2",
    solution=_four_moves,
    example={"x": 0, "y": 1, "rows": ("#...", "ST..", "G...")},
    draw=_draw_cell,
    mistakes=[
        (
            _variant(letter=_from_the_top),
            "You count the rows from the top, but y = 0 is the bottom row: it is rows[-1].",
        ),
        (
            _variant(clamp=False),
            "A move leaves the map: whoever bumps into the edge stays. Python counts a negative "
            "index from the end, so nothing complains.",
        ),
        (_variant(walls=False), "You walk into walls: whoever bumps into # stays."),
        (
            _variant(rewards=(0.99, -1.01, -0.01, -0.01)),
            "You charge 0.01 for the step that ends too: it pays +1 or -1 alone.",
        ),
        (
            _variant(rewards=(1.0, -1.0, -0.01, 0.0)),
            "Bumping is a step like others: it costs 0.01 too.",
        ),
        (_variant(ends="G"), "The trap ends the episode as well."),
        (
            _variant(enter=False),
            "You look at the cell that is left: reward and end depend on the cell that is entered.",
        ),
        (
            _variant(order=((0, -1), (1, 0), (0, 1), (-1, 0))),
            "Up and down are exchanged: up adds 1 to y.",
        ),
        (
            lambda *case: [[j, i, *rest] for i, j, *rest in _four_moves(*case)],
            "x and y are exchanged in your answer: x comes first.",
        ),
        (
            _variant(letter=_transposed),
            "You look up column y of row x: a row is chosen by y, and a letter in it by x.",
        ),
        (
            _variant(order=((0, 1), (0, -1), (-1, 0), (1, 0))),
            "The order of the actions is up, right, down, left.",
        ),
    ],
)

# --- 7.3 -----------------------------------------------------------------------------------------


def _slip_row(after, action, slip, states, shares=None, put=False):
    """Probability of each state; shares: (turn, probability) in the order in which they are put."""
    row = torch.zeros(states)
    for turn, share in shares or ((0, 1 - slip), (1, slip / 2), (-1, slip / 2)):
        state = after[(action + turn) % 4]
        row[state] = share if put else row[state] + share
    return row


def _shared(make, **options):
    """slip_row with other shares: make(slip) gives the pairs of turn and probability."""

    def slip_row(after, action, slip, states):
        return _slip_row(after, action, slip, states, make(slip), **options)

    return slip_row


def _usual(slip):
    return (0, 1 - slip), (1, slip / 2), (-1, slip / 2)


def _draw_slip(rng):
    states = int(rng.integers(4, 8))
    after = rng.permutation(states)[:4]
    bumps = rng.random(4) < 0.4
    return {
        "after": torch.tensor(np.where(bumps, int(rng.integers(states)), after)),
        "action": int(rng.integers(4)),
        "slip": round(rng.uniform(0.1, 0.9), 1),
        "states": states,
    }


slip_row = Check(
    "7.3",
    solution=_slip_row,
    example={"after": torch.tensor([1, 2, 0, 0]), "action": 3, "slip": 0.2, "states": 4},
    draw=_draw_slip,
    mistakes=[
        *(
            (
                _shared(lambda slip, order=order: [_usual(slip)[i] for i in order], put=True),
                "Two of the three moves end in the same state, and the later one overwrites the "
                "earlier: add probabilities up, with +=.",
            )
            for order in ((0, 1, 2), (0, 2, 1), (1, 2, 0), (2, 1, 0))
        ),
        (
            _shared(lambda slip: ((0, 1 - slip), (1, slip), (-1, slip))),
            "The probabilities add up to more than 1: slip is shared by the two sides, half each.",
        ),
        (
            _shared(lambda slip: ((0, 1 - slip), (1, slip))),
            "You slip to one side only: half of slip goes to each side.",
        ),
        (
            _shared(lambda slip: ((0, 1 - slip), (-1, slip))),
            "You slip to one side only: half of slip goes to each side.",
        ),
        (
            _shared(lambda slip: ((0, slip), (1, (1 - slip) / 2), (-1, (1 - slip) / 2))),
            "slip is the probability of going astray: the chosen move has 1 - slip.",
        ),
        (
            _shared(lambda slip: ((0, 1 - slip), *((turn, slip / 3) for turn in (1, 2, 3)))),
            "You slip backwards too: only the two moves at right angles share slip.",
        ),
        (_shared(lambda slip: ((0, 1.0),)), "slip is never used."),
        (
            _shared(lambda slip: ((0, 1 - slip), (2, slip))),
            "You slip backwards: the sides are the actions before and after in the order up, "
            "right, down, left.",
        ),
        (
            lambda after, action, slip, states: [
                sum(share for turn, share in _usual(slip) if (action + turn) % 4 == move)
                for move in range(4)
            ],
            "These are the probabilities of the four moves: return those of the states in which "
            "they end.",
        ),
    ],
)

# --- 7.4 -----------------------------------------------------------------------------------------


def _filmed(values, updates):
    return values + updates.cumsum(0)


repaired_film = Check(
    "7.4",
    solution=_filmed,
    example={
        "values": torch.tensor([1.0, 2.0]),
        "updates": torch.tensor([[1.0, 0.0], [0.0, 3.0], [-4.0, 1.0]]),
    },
    draw=lambda rng: {
        "values": numbers(rng, states := int(rng.integers(2, 5))),
        "updates": numbers(rng, int(rng.integers(3, 6)), states),
    },
    mistakes=[
        (
            lambda values, updates: _filmed(values, updates)[-1].expand(updates.shape),
            "The bug is still there: every frame shows the end, since the list holds the same "
            "tensor each time. And detach(), view() and numpy() share its memory.",
        ),
        (
            lambda values, updates: _filmed(values, updates) - updates,
            "Each frame is one update late: record after the update, not before it.",
        ),
        (
            lambda values, updates: torch.cat([values[None], _filmed(values, updates)]),
            "That is one frame too many: the first is the table after the first update.",
        ),
        (
            lambda values, updates: values + updates,
            "Every frame starts from the first table: updates add up.",
        ),
        (
            lambda values, updates: updates.cumsum(0),
            "The table that you were given is left out: the first update is added to it.",
        ),
        (
            lambda values, updates: _filmed(values, updates)[-1],
            "That is the last frame alone: return one row for each update.",
        ),
    ],
)

# --- 7.5 -----------------------------------------------------------------------------------------


def _arrival(steps, curves, threshold, never=math.inf, reached=torch.ge):
    there = reached(curves, threshold)
    first = steps[there.int().argmax(1)]
    return torch.where(there.any(1), first, never)


def _draw_curves(rng):
    runs, points = int(rng.integers(3, 5)), int(rng.integers(3, 6))
    curves = torch.tensor(rng.integers(0, 8, (runs, points)) / 10, dtype=torch.float32)
    curves[0, 0], curves[1] = 0.9, curves[1].clamp(max=0.3)
    curves[2] = torch.tensor([0.1, 0.6] + [0.1] * (points - 2))
    return {
        "steps": torch.arange(1.0, points + 1) * float(rng.integers(2, 9)) * 10,
        "curves": curves,
        "threshold": 0.5,
    }


arrival_times = Check(
    "7.5",
    solution=_arrival,
    example={
        "steps": torch.tensor([100.0, 200.0, 300.0]),
        "curves": torch.tensor([[0.25, 0.5, 0.75], [0.25, 0.375, 0.125], [0.125, 0.625, 0.25]]),
        "threshold": 0.5,
    },
    draw=_draw_curves,
    mistakes=[
        (
            lambda steps, curves, threshold: steps[(curves >= threshold).int().argmax(1)],
            "A run that never gets there counts as the fastest: argmax of a row without any True "
            "is 0. Give it infinity.",
        ),
        (
            lambda steps, curves, threshold: _arrival(steps, curves, threshold, steps[-1]),
            "A run that never gets there counts as if it had arrived at the last step: we only "
            "know that it takes longer. Give it infinity.",
        ),
        (
            lambda steps, curves, threshold: _arrival(steps, curves, threshold, math.nan),
            "A run that never gets there has no time at all in your answer: give it infinity, so "
            "that it ranks behind all others.",
        ),
        (
            lambda steps, curves, threshold: _arrival(
                torch.arange(float(len(steps))), curves, threshold
            ),
            "That is the number of the point: look up its steps.",
        ),
        (
            lambda steps, curves, threshold: _arrival(steps, curves, threshold, reached=torch.gt),
            "A run that is exactly at the threshold has reached it.",
        ),
        (
            lambda steps, curves, threshold: torch.where(
                curves[:, -1] >= threshold, _arrival(steps, curves, threshold), math.inf
            ),
            "A run that arrived and fell back later has arrived all the same: take the first time.",
        ),
    ],
)
