"""What learners hand in for lesson 07: see test_checks.py."""

import math

import torch
import torch.nn.functional as F
from torch.distributions import Categorical


def loss_by_categorical(logits, values, actions, advantages, returns, valid, value_coef, coef):
    policy = Categorical(logits=logits[valid])
    gain = (policy.log_prob(actions[valid]) * advantages[valid]).mean()
    error = F.mse_loss(values[valid], returns[valid])
    return -(gain - value_coef * error / 2 + coef * policy.entropy().mean())


def moves_plain(x, y, rows):
    answers = []
    for dx, dy in [(0, 1), (1, 0), (0, -1), (-1, 0)]:
        i, j = x + dx, y + dy
        inside = 0 <= i < len(rows[0]) and 0 <= j < len(rows)
        if not inside or rows[-1 - j][i] == "#":
            i, j = x, y
        letter = rows[-1 - j][i]
        reward = {"G": 1, "T": -1}.get(letter, -0.01)
        answers.append((i, j, reward, letter in "GT"))
    return answers


def slip_added(after, action, slip, states):
    row = torch.zeros(states)
    row[after[action]] += 1 - slip
    row[after[(action + 1) % 4]] += slip / 2
    row[after[(action - 1) % 4]] += slip / 2
    return row


def film_cloned(values, updates):
    values, frames = values.clone(), []
    for update in updates:
        values += update
        frames.append(values.clone())
    return torch.stack(frames)


def times_loop(steps, curves, threshold):
    times = []
    for curve in curves:
        reached = [s.item() for s, value in zip(steps, curve) if value >= threshold]
        times.append(reached[0] if reached else math.inf)
    return times


def times_by_min(steps, curves, threshold):
    return torch.where(curves >= threshold, steps, torch.inf).amin(1)


RIGHT = {
    "agent_loss": [loss_by_categorical],
    "four_moves": [moves_plain, lambda *case: torch.tensor(moves_plain(*case))],
    "slip_row": [slip_added],
    "repaired_film": [film_cloned, lambda values, updates: values + updates.cumsum(0)],
    "arrival_times": [times_loop, times_by_min],
}

# (attempt, words that the message must contain)
WRONG = {
    "agent_loss": [
        (lambda *case: loss_by_categorical(*case).expand(5), "expected a single number"),
    ],
    "four_moves": [
        (lambda *case: 1.00005 * torch.tensor(moves_plain(*case)), "exactly -0.01"),
    ],
    "slip_row": [
        (lambda after, *case: slip_added(after.sort().values, *case), "expected"),
        (lambda *case: slip_added(*case)[:5], "expected"),
    ],
    "repaired_film": [
        (lambda values, updates: film_cloned(values, updates[:5]), "expected"),
        (lambda values, updates: film_cloned(values, updates).round(decimals=3), "rounding"),
    ],
    "arrival_times": [
        (lambda s, c, t: torch.where(c[:, :5] >= t, s[:5], torch.inf).amin(1), "expected"),
        (lambda s, c, t: [x if x < math.inf else None for x in times_loop(s, c, t)], "None in it"),
        (lambda s, c, t: times_by_min(s, c, 0.75), "expected"),
    ],
}
