"""The checks of lesson 07 about the gridworld: where the four moves lead, and where slipping ends."""

import functools

import numpy as np
import torch

from helpers.checks.core import Check
from helpers.checks.slips import pairs
from helpers.envs.gridworld import MOVES


def _four_moves(
    x,
    y,
    rows,
    *,
    letter=lambda rows, x, y: rows[-1 - y][x],
    order=MOVES,
    inside=lambda x, y, width, height: 0 <= x < width and 0 <= y < height,
    wall="#",
    prices=(1.0, -1.0, -0.01, -0.01),
    ends="GT",
    enter=True,
    onward=False,
):
    """The rule of the exercise, with every part of it exchangeable."""
    goal, trap, step, bump = prices
    answers = []
    for dx, dy in order:
        i, j = x + dx, y + dy
        if not inside(i, j, len(rows[0]), len(rows)) or letter(rows, i, j) == wall:
            i, j = x, y
        there = letter(rows, *((i, j) if enter else (x, y)))
        paid = {"G": goal, "T": trap}.get(there, bump if (i, j) == (x, y) else step)
        answers.append([i, j, paid, float(there in ends)])
        x, y = (i, j) if onward else (x, y)
    return answers


def _variant(**parts):
    return functools.partial(_four_moves, **parts)


def _inside(inside):
    return _variant(inside=inside)


def _ordered(*actions):
    return _variant(order=[MOVES[action] for action in actions])


def _columns(*order):
    """The right answer with its columns in this order."""
    return lambda *case: torch.tensor(_four_moves(*case))[:, order]


def _draw_cell(rng):
    height, width = int(rng.integers(1, 6)), int(rng.integers(2, 7))
    cells = rng.choice(list("...##GT"), (height, width))
    y, x = int(rng.integers(height)), int(rng.integers(width))
    cells[height - 1 - y, x] = rng.choice([".", "S"])
    return {"x": x, "y": y, "rows": tuple("".join(row) for row in cells)}


four_moves = Check(
    "7.2",
    solution=_four_moves,
    example={"x": 0, "y": 1, "rows": ("#...", "ST..", "G...")},
    edges=[
        {"x": 4, "y": 3, "rows": (".......",) * 4 + ("S.....G",)},
        {"x": 1, "y": 5, "rows": ("..",) * 5 + ("SG",)},
        {"x": 2, "y": 0, "rows": ("GT.S",)},
        {"x": 0, "y": 2, "rows": ("T", ".", "G", "S")},
        {"x": 0, "y": 0, "rows": ("S",)},
    ],
    draw=_draw_cell,
    near="The places are right, and the prices nearly: the goal pays 1, the trap -1, and every other "
    "step, bumping too, exactly -0.01.",
    tolerance=1e-6,
    mistakes=pairs(
        _variant(letter=lambda rows, x, y: rows[y][x]),
        "You count the rows from the top, but y = 0 is the bottom row: it is rows[-1].",
        _variant(letter=lambda rows, x, y: rows[-y][x]),
        "rows[-y] is one row too low, and at y = 0 the top row: the letter is rows[-1 - y][x].",
        _variant(letter=lambda rows, x, y: rows[-1 - x][y]),
        "You look up column y of row x: a row is chosen by y, and a letter in it by x.",
        [
            _inside(lambda *at: True),
            _inside(lambda x, y, width, height: x < width and y < height),
        ],
        "A move leaves the map, where it should stay: Python counts a negative index from the end.",
        _inside(lambda x, y, width, height: 0 <= x < height and 0 <= y < height),
        "You use the height of the map, len(rows), for its width too: that is len(rows[0]).",
        _inside(lambda x, y, width, height: 0 <= x < width and 0 <= y < width),
        "You use the width of the map, len(rows[0]), for its height too: that is len(rows).",
        _inside(lambda x, y, width, height: 0 <= x < height and 0 <= y < width),
        "Width and height are swapped: x stays below len(rows[0]), and y below len(rows).",
        _inside(lambda x, y, *size: 0 <= x < 5 and 0 <= y < 4),
        "You take each map for five cells by four: it has len(rows[0]) by len(rows).",
        _inside(lambda x, y, width, height: 0 < x < width and 0 < y < height),
        "Column 0 and row 0 are part of the map: inside is 0 <= x, not 0 < x.",
        _variant(wall=None),
        "You walk into walls: whoever bumps into # stays.",
        _variant(prices=(0.99, -1.01, -0.01, -0.01)),
        "You charge 0.01 for the last step too.",
        _variant(prices=(1, -1, -0.01, 0)),
        "Bumping is a step like others: it costs 0.01 too.",
        _variant(prices=(1, -1, 0, 0)),
        "Your steps are free: one that ends nothing costs 0.01.",
        _variant(prices=(1, -0.01, -0.01, -0.01)),
        "Entering the trap pays -1.",
        _variant(ends="G"),
        "The trap ends the episode as well.",
        _variant(onward=True),
        "Each of the four moves starts at x and y: do not change these.",
        _variant(enter=False),
        "You look at the cell that is left: reward and end depend on the cell that is entered.",
        _ordered(2, 1, 0, 3),
        "Up and down are exchanged: up adds 1 to y.",
        [_ordered(0, 2, 3, 1), _ordered(0, 2, 1, 3), _ordered(0, 3, 2, 1), _ordered(3, 1, 0, 2)],
        "The order of the actions is up, right, down, left.",
        _columns(1, 0, 2, 3),
        "x and y are exchanged in your answer: x comes first.",
        _columns(0, 1, 3, 2),
        "The reward comes before the end: new x, new y, reward, ended.",
    ),
)


def _slip_row(after, action, slip, states, shares=None, put=False):
    """Probability of each state; shares: (turn, probability) in the order in which they are put."""
    row = torch.zeros(states)
    for turn, share in shares or _usual(slip):
        state = after[(action + turn) % 4]
        row[state] = share if put else row[state] + share
    return row


def _shared(make, **options):
    """slip_row with other shares: make(slip) gives the pairs of turn and probability."""
    return lambda *case: _slip_row(*case, make(case[2]), **options)


def _usual(slip):
    return (0, 1 - slip), (1, slip / 2), (-1, slip / 2)


def _clipped(after, action, slip, states):
    """The neighbours of action 0 and 3 among the numbers 0 to 3, not round in a circle."""
    turns = (0, 1 - slip), (min(action + 1, 3) - action, slip / 2), (-min(action, 1), slip / 2)
    return _slip_row(after, action, slip, states, turns)


def _sides_once(after, action, slip, states):
    row = torch.zeros(states)
    row[after[action]] += 1 - slip
    row[after[[action - 1, action - 3]]] += slip / 2
    return row


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
    edges=[
        {"after": torch.tensor([2, 0, 2, 1]), "action": 1, "slip": 0.5, "states": 5},
        {"after": torch.tensor([28, 24, 18, 22]), "action": 0, "slip": 0.0, "states": 30},
        {"after": torch.tensor([8, 4, 3, 2]), "action": 2, "slip": 1.0, "states": 9},
        {"after": torch.tensor([0, 0, 0, 0]), "action": 3, "slip": 0.01, "states": 1},
    ],
    draw=_draw_slip,
    mistakes=pairs(
        [
            *(
                _shared(lambda slip, order=order: [_usual(slip)[i] for i in order], put=True)
                for order in ((0, 1, 2), (0, 2, 1), (1, 2, 0), (2, 1, 0))
            ),
            _sides_once,
            lambda *case: _slip_row(*case).index_fill(0, case[0][case[1]], 1 - case[2]),
        ],
        "Two moves end in one state, and only one counts: add them one after the other, each by its own +=.",
        _clipped,
        "Actions go round in a circle: after 3 comes 0, so count modulo 4.",
        _shared(lambda slip: ((0, 1 - slip), (1, slip), (-1, slip))),
        "The probabilities add up to more than 1: slip is shared by the two sides, half each.",
        [
            _shared(lambda slip: ((0, 1 - slip), (1, slip))),
            _shared(lambda slip: ((0, 1 - slip), (-1, slip))),
        ],
        "You slip to one side only: half of slip goes to each side.",
        _shared(lambda slip: ((0, slip), (1, (1 - slip) / 2), (-1, (1 - slip) / 2))),
        "slip is the probability of going astray: the chosen move has 1 - slip.",
        [
            _shared(lambda slip: ((0, 1 - slip), *((turn, slip / 3) for turn in (1, 2, 3)))),
            _shared(lambda slip: ((0, 1 - slip), (2, slip))),
        ],
        "You slip backwards: the sides are the actions before and after, action - 1 and + 1.",
        [_shared(lambda slip: ((0, 1.0),)), _shared(lambda slip: _usual(0.2))],
        "slip is never used: it need not be 0.2.",
        [
            lambda after, *rest: _slip_row(torch.arange(4), *rest),
            lambda after, *rest: _slip_row(torch.arange(4), *rest[:2], 4),
        ],
        "These are the four moves' probabilities: return those of the states where they end.",
    ),
)
