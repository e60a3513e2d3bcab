"""What learners hand in for lesson 07: see test_checks.py."""

import inspect
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch.distributions import Categorical

from helpers import losses

# --- 7.1 -----------------------------------------------------------------------------------------


def loss_by_helpers(logits, values, actions, advantages, returns, valid, value_coef, entropy_coef):
    policy = losses.policy_gradient_loss(losses.log_prob(logits, actions), advantages, valid)
    value = losses.value_loss(values, returns, valid)
    bonus = losses.masked_mean(losses.entropy(logits), valid)
    return policy + value_coef * value - entropy_coef * bonus


def loss_by_categorical(logits, values, actions, advantages, returns, valid, value_coef, coef):
    policy = Categorical(logits=logits[valid])
    gain = (policy.log_prob(actions[valid]) * advantages[valid]).mean()
    error = F.mse_loss(values[valid], returns[valid])
    return -(gain - value_coef * error / 2 + coef * policy.entropy().mean())


def loss_with_a_mask(logits, values, actions, advantages, returns, valid, value_coef, entropy_coef):
    mask = valid.float() / valid.sum()
    log_p = logits.log_softmax(-1)
    taken = log_p[torch.arange(len(actions)), actions]
    each = -advantages * taken + value_coef / 2 * (values - returns) ** 2
    return (mask * (each + entropy_coef * (log_p.exp() * log_p).sum(1))).sum()


def loss_with_a_column(logits, values, actions, advantages, returns, valid, value_coef, coef):
    """gather() leaves a column."""
    policy = Categorical(logits=logits[valid])
    taken = policy.logits.gather(1, actions[valid][:, None])
    value = F.mse_loss(values[valid], returns[valid]) / 2
    return value_coef * value - (advantages[valid] * taken).mean() - coef * policy.entropy().mean()


def loss_of_the_first_rows(*case):
    n = int(case[5].sum())
    return loss_by_categorical(
        *(x[:n] for x in case[:5]), case[5].sort(descending=True).values[:n], *case[6:]
    )


def loss_by_exponentials(logits, values, actions, advantages, returns, valid, value_coef, coef):
    p = logits.exp() / logits.exp().sum(1, keepdim=True)
    chosen = (F.one_hot(actions, logits.shape[1]) * p).sum(1).log()
    each = -advantages * chosen + value_coef * (values - returns) ** 2 / 2
    return (each + coef * (p * p.log()).sum(1))[valid].mean()


# --- 7.2 -----------------------------------------------------------------------------------------


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


def moves_padded(x, y, rows):
    wall = "#" * (len(rows[0]) + 2)
    world = np.array([list(row) for row in (wall, *(f"#{row}#" for row in rows[::-1]), wall)])
    answers = np.zeros((4, 4))
    for k, (dx, dy) in enumerate([(0, 1), (1, 0), (0, -1), (-1, 0)]):
        letter = world[y + 1 + dy, x + 1 + dx]
        here = (x, y) if letter == "#" else (x + dx, y + dy)
        answers[k] = *here, {"G": 1.0, "T": -1.0}.get(letter, -0.01), letter in "GT"
    return torch.from_numpy(answers)


def moves_clamped(x, y, rows):
    answers = []
    for dx, dy in [(0, 1), (1, 0), (0, -1), (-1, 0)]:
        i = min(max(x + dx, 0), len(rows[0]) - 1)
        j = min(max(y + dy, 0), len(rows) - 1)
        if rows[-1 - j][i] == "#":
            i, j = x, y
        letter = rows[-1 - j][i]
        answers.append([i, j, -0.01, 0] if letter in "S." else [i, j, 1 - 2 * (letter == "T"), 1])
    return answers


def moves_attempt(old, new):
    """moves_plain with a slip of the pen."""
    source = inspect.getsource(moves_plain)
    assert old in source
    names = {}
    exec(source.replace(old, new), names)
    return names["moves_plain"]


# --- 7.3 -----------------------------------------------------------------------------------------


def slip_added(after, action, slip, states):
    row = torch.zeros(states)
    row[after[action]] += 1 - slip
    row[after[(action + 1) % 4]] += slip / 2
    row[after[(action - 1) % 4]] += slip / 2
    return row


def slip_by_one_hot(after, action, slip, states):
    shares = torch.zeros(4)
    shares[action] = 1 - slip
    shares[action - 1] = shares[action - 3] = slip / 2
    return shares @ F.one_hot(after, states).float()


def slip_by_bincount(after, action, slip, states):
    shares = np.roll([1 - slip, slip / 2, 0, slip / 2], action)
    return np.bincount(after.numpy(), weights=shares, minlength=states)


def slip_as_list(after, action, slip, states):
    shares = {action: 1 - slip, (action + 1) % 4: slip / 2, (action + 3) % 4: slip / 2}
    return [sum(p for a, p in shares.items() if after[a] == s) for s in range(states)]


def slip_attempt(*lines):
    source = "def attempt(after, action, slip, states):\n    row = torch.zeros(states)\n"
    names = {"torch": torch}
    exec(source + "".join(f"    {line}\n" for line in (*lines, "return row")), names)
    return names["attempt"]


SIDES = ["row[after[action - 1]] += slip / 2", "row[after[action - 3]] += slip / 2"]


def slip_by_a_list_of_places(after, action, slip, states):
    row = torch.zeros(states)
    moves = torch.tensor([action, (action + 1) % 4, (action - 1) % 4])
    row[after[moves]] += torch.tensor([1 - slip, slip / 2, slip / 2])
    return row


def slip_clipped(after, action, slip, states):
    row = torch.zeros(states)
    row[after[action]] += 1 - slip
    row[after[max(action - 1, 0)]] += slip / 2
    row[after[min(action + 1, 3)]] += slip / 2
    return row


# --- 7.4 -----------------------------------------------------------------------------------------


def film_cloned(values, updates):
    values, frames = values.clone(), []
    for update in updates:
        values += update
        frames.append(values.clone())
    return torch.stack(frames)


def film_new_tensors(values, updates):
    frames = []
    for update in updates:
        values = values + update
        frames.append(values)
    return torch.stack(frames)


def film_attempt(record):
    def attempt(values, updates):
        values, frames = values.clone(), []
        for update in updates:
            values += update
            frames.append(record(values))
        return torch.stack(frames)

    return attempt


def film_of_the_bug(values, updates):
    frames = []
    for update in updates:
        values += update
        frames.append(values)
    return torch.stack(frames)


# --- 7.5 -----------------------------------------------------------------------------------------


def times_loop(steps, curves, threshold):
    times = []
    for curve in curves:
        reached = [s.item() for s, value in zip(steps, curve) if value >= threshold]
        times.append(reached[0] if reached else math.inf)
    return times


def times_by_min(steps, curves, threshold):
    return torch.where(curves >= threshold, steps, torch.inf).amin(1)


def times_in_numpy(steps, curves, threshold):
    there = curves.numpy() >= threshold
    return np.where(there.any(1), steps.numpy()[there.argmax(1)], np.inf)


def times_by_running_maximum(steps, curves, threshold):
    too_early = (curves.cummax(1).values < threshold).sum(1)
    return torch.cat([steps, torch.tensor([torch.inf])])[too_early]


RIGHT = {
    "agent_loss": [loss_by_helpers, loss_by_categorical, loss_with_a_mask],
    "four_moves": [moves_plain, moves_padded, moves_clamped],
    "slip_row": [slip_added, slip_by_one_hot, slip_by_bincount, slip_as_list],
    "repaired_film": [
        film_cloned,
        film_new_tensors,
        lambda values, updates: values + updates.cumsum(0),
    ],
    "arrival_times": [times_loop, times_by_min, times_in_numpy, times_by_running_maximum],
}

# (attempt, words that the message must contain)
WRONG = {
    "agent_loss": [
        (loss_with_a_column, "as [N] meets [N, 1]"),
        (loss_of_the_first_rows, "says the mask, x[valid]"),
        (loss_by_exponentials, "exp() of a large number overflows"),
        (lambda *case: loss_by_helpers(*case).item(), "no gradient flows"),
        (lambda *case: loss_by_helpers(*case).expand(5), "expected a single number"),
    ],
    "four_moves": [
        (
            moves_attempt(
                "len(rows[0]) and 0 <= j < len(rows)", "len(rows) and 0 <= j < len(rows[0])"
            ),
            "Width and height are swapped",
        ),
        (
            moves_attempt("< len(rows[0])", "< len(rows)"),
            "height of the map, len(rows), for its width",
        ),
        (moves_attempt("< len(rows)", "< len(rows[0])"), "width of the map, len(rows[0]), for its"),
        (moves_attempt("not inside or rows", "rows"), "A move leaves the map"),
        (
            moves_attempt("0 <= i < len(rows[0]) and 0 <= j", "i < len(rows[0]) and j"),
            "Python counts",
        ),
        (moves_attempt("0 <= i < len(rows[0]) and 0 <= j", "0 <= i and 0 <= j"), "not solved"),
        (moves_attempt("-0.01)", "-0.01009)"), "exactly -0.01"),
        (moves_attempt("return answers", "return answers[0]"), "shape [4]"),
    ],
    "slip_row": [
        (
            slip_attempt("row[after[action]] += 1 - slip", "row[after[action + 1]] += slip / 2"),
            "IndexError",
        ),
        (slip_attempt(*SIDES, "row[after[action]] = 1 - slip"), "each by its own +="),
        (slip_by_a_list_of_places, "each by its own +="),
        (slip_clipped, "after 3 comes 0, so count modulo 4"),
        (lambda after, *case: slip_added(after.sort().values, *case), "expected"),
        (lambda *case: slip_added(*case)[:5], "expected"),
    ],
    "repaired_film": [
        (film_of_the_bug, "changes its input values in place"),
        (film_attempt(lambda values: values.detach()), "bug is still there"),
        (film_attempt(lambda values: torch.from_numpy(values.numpy())), "bug is still there"),
        (lambda values, updates: film_cloned(values, updates[:5]), "expected"),
        (lambda values, updates: film_cloned(values, updates).round(decimals=3), "rounding"),
    ],
    "arrival_times": [
        (lambda s, c, t: torch.where(c[:, :5] >= t, s[:5], torch.inf).amin(1), "expected"),
        (lambda s, c, t: [x if x < math.inf else None for x in times_loop(s, c, t)], "None in it"),
        (lambda s, c, t: times_by_min(s, c, 0.75), "expected"),
        (lambda s, c, t: torch.where(c.mean(0) >= t, s, torch.inf).amin(0), "a single number"),
    ],
}
