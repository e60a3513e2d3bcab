"""What learners hand in for lesson 07: see test_checks.py."""

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


def loss_attempt(line):
    """An attempt of one expression in p(olicy gain), v(alue error), h (entropy), a and b."""

    def attempt(logits, values, actions, advantages, returns, valid, value_coef, entropy_coef):
        log_p = F.log_softmax(logits, -1)
        taken = log_p.gather(1, actions[:, None])[:, 0]
        names = {
            "taken": taken[valid],
            "p": (advantages * taken)[valid],
            "v": ((values - returns) ** 2)[valid],
            "h": -(log_p.exp() * log_p).sum(1)[valid],
            "every_h": -(log_p.exp() * log_p).sum(1),
            "a": value_coef,
            "b": entropy_coef,
            "log_p": log_p,
            "valid": valid,
            "len": len,
        }
        return eval(line, names)

    return attempt


def loss_in_place(logits, values, actions, advantages, returns, valid, value_coef, entropy_coef):
    advantages *= valid
    return loss_by_helpers(
        logits, values, actions, advantages, returns, valid, value_coef, entropy_coef
    )


def loss_of_two_actions(logits, values, actions, advantages, returns, valid, *coefs):
    p = torch.sigmoid(logits[:, 1] - logits[:, 0])
    pair = torch.stack([1 - p, p], 1).log()
    return loss_by_helpers(pair, values, actions, advantages, returns, valid, *coefs)


# --- 7.2 -----------------------------------------------------------------------------------------


def moves_plain(x, y, rows):
    answers = []
    for dx, dy in [(0, 1), (1, 0), (0, -1), (-1, 0)]:
        i, j = x + dx, y + dy
        inside = 0 <= i < len(rows[0]) and 0 <= j < len(rows)
        if not inside or rows[len(rows) - 1 - j][i] == "#":
            i, j = x, y
        letter = rows[len(rows) - 1 - j][i]
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
    source = (
        "def attempt(x, y, rows):\n"
        "    answers = []\n"
        "    for dx, dy in [(0, 1), (1, 0), (0, -1), (-1, 0)]:\n"
        "        i, j = x + dx, y + dy\n"
        "        inside = 0 <= i < len(rows[0]) and 0 <= j < len(rows)\n"
        "        if not inside or rows[-1 - j][i] == '#':\n"
        "            i, j = x, y\n"
        "        letter = rows[-1 - j][i]\n"
        "        reward = {'G': 1, 'T': -1}.get(letter, -0.01)\n"
        "        answers.append((i, j, reward, letter in 'GT'))\n"
        "    return answers\n"
    )
    assert old in source
    names = {}
    exec(source.replace(old, new), names)
    return names["attempt"]


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


def film_as_lists(values, updates):
    values, frames = values.clone(), []
    for update in updates:
        values += update
        frames.append(values.tolist())
    return frames


def film_attempt(record, before=False):
    def attempt(values, updates):
        values, frames = values.clone(), []
        for update in updates:
            if before:
                frames.append(record(values))
            values += update
            if not before:
                frames.append(record(values))
        return torch.stack(frames)

    return attempt


def film_of_the_bug(values, updates):
    frames = []
    for update in updates:
        values += update
        frames.append(values)
    return torch.stack(frames)


def film_with_the_start(values, updates):
    frames = [values]
    for update in updates:
        frames.append(frames[-1] + update)
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
        film_as_lists,
        lambda values, updates: values + updates.cumsum(0),
    ],
    "arrival_times": [times_loop, times_by_min, times_in_numpy, times_by_running_maximum],
}

# (attempt, words that the message must contain)
WRONG = {
    "agent_loss": [
        (loss_attempt("-p.mean() + a * v.mean() / 2 + b * h.mean()"), "entropy has the wrong sign"),
        (loss_attempt("p.mean() + a * v.mean() / 2 - b * h.mean()"), "policy's part has the wrong"),
        (loss_attempt("-p.mean() + a * v.mean() / 2 - b * h.mean().detach()"), "expected"),
        (loss_attempt("-p.mean() + a * v.mean() / 2"), "No entropy bonus"),
        (loss_attempt("-p.mean() + a * v.mean() / 2 + b * taken.mean()"), "sampled action's"),
        (loss_attempt("-p.mean() + a * v.mean() - b * h.mean()"), "twice as large"),
        (loss_attempt("-p.sum() + a * v.sum() / 2 - b * h.sum()"), "take means"),
        (loss_attempt("(-p + a * v / 2 - b * h).sum() / len(valid)"), "divide by all rows"),
        (loss_attempt("-p.mean() + a * v.mean() / 2 - b * every_h.mean()"), "there too"),
        (loss_attempt("-p.mean() + v.mean() / 2 - b * h.mean()"), "value_coef is never used"),
        (loss_attempt("-p.mean() + a * v.mean() / 2 - h.mean()"), "entropy_coef is never used"),
        (
            loss_attempt("-p.mean() + a * v.mean() / 2 + b * (log_p.exp() * log_p)[valid].mean()"),
            "mean over the actions",
        ),
        (loss_attempt("-p + a * v / 2 - b * h"), "expected a single number"),
        (loss_attempt("(-p + a * v / 2 - b * h).mean().item()"), "no gradient flows"),
        (loss_in_place, "changes its input advantages in place"),
        (loss_of_two_actions, "not solved"),
    ],
    "four_moves": [
        (moves_attempt("rows[-1 - j][i]", "rows[j][i]"), "count the rows from the top"),
        (moves_attempt("rows[-1 - j][i]", "rows[-j][i]"), "expected"),
        (moves_attempt(" or rows[-1 - j][i] == '#'", ""), "walk into walls"),
        (moves_attempt("not inside or rows", "rows"), "expected"),
        (moves_attempt("'G': 1, 'T': -1", "'G': 0.99, 'T': -1.01"), "charge 0.01"),
        (moves_attempt("letter in 'GT'", "letter == 'G'"), "trap ends the episode"),
        (moves_attempt("letter = rows[-1 - j][i]", "letter = rows[-1 - y][x]"), "that is left"),
        (moves_attempt("(0, 1), (1, 0), (0, -1)", "(0, -1), (1, 0), (0, 1)"), "Up and down"),
        (moves_attempt("(i, j, reward", "(j, i, reward"), "x comes first"),
        (
            moves_attempt("-1}.get(letter, -0.01)", "-1}.get(letter, -0.01 * ((i, j) != (x, y)))"),
            "Bumping is a step",
        ),
        (moves_attempt("return answers", "return answers[0]"), "shape [4]"),
        (moves_attempt("j < len(rows)", "j < 3"), ""),
    ],
    "slip_row": [
        (
            slip_attempt(
                "row[after[action]] = 1 - slip",
                "row[after[(action + 1) % 4]] = slip / 2",
                "row[after[(action - 1) % 4]] = slip / 2",
            ),
            "add probabilities up",
        ),
        (
            slip_attempt(
                "row[after[[action - 1, action - 3]]] += slip / 2",
                "row[after[action]] += 1 - slip",
            ),
            "",
        ),
        (
            slip_attempt("row[after[action]] += 1 - slip", "row[after[action + 1]] += slip / 2"),
            "IndexError",
        ),
        (
            slip_attempt(
                "row[after[action]] += 1 - slip",
                "row[after[(action + 1) % 4]] += slip",
                "row[after[action - 1]] += slip",
            ),
            "more than 1",
        ),
        (
            slip_attempt("row[after[action]] += 1 - slip", "row[after[action - 1]] += slip"),
            "one side only",
        ),
        (
            slip_attempt(
                "row[after[action]] += slip",
                "for side in (1, 3): row[after[action - side]] += (1 - slip) / 2",
            ),
            "probability of going astray",
        ),
        (
            slip_attempt(
                "row[after[action]] += 1 - slip",
                "for turn in (1, 2, 3): row[after[action - turn]] += slip / 3",
            ),
            "backwards too",
        ),
        (slip_attempt("row[after[action]] += 1"), "never used"),
        (
            slip_attempt(
                "row[action] += 1 - slip",
                "row[action - 1] += slip / 2",
                "row[action - 3] += slip / 2",
            ),
            "expected",
        ),
        (lambda after, action, slip, states: torch.tensor([0.9, 0.1, 0.0, 0.0]), "same"),
    ],
    "repaired_film": [
        (film_of_the_bug, "changes its input values in place"),
        (film_attempt(lambda values: values), "bug is still there"),
        (film_attempt(lambda values: values.detach()), "bug is still there"),
        (film_attempt(lambda values: torch.from_numpy(values.numpy())), "bug is still there"),
        (film_attempt(torch.clone, before=True), "one update late"),
        (film_with_the_start, "one frame too many"),
        (lambda values, updates: values + updates, "starts from the first table"),
        (lambda values, updates: updates.cumsum(0), "left out"),
        (lambda values, updates: film_cloned(values, updates)[-1], "last frame alone"),
        (lambda values, updates: values + updates.cumsum(1), "expected"),
        (lambda values, updates: values.add_(updates.sum(0)) + 0 * updates, "in place"),
    ],
    "arrival_times": [
        (lambda s, c, t: s[(c >= t).int().argmax(1)], "counts as the fastest"),
        (lambda s, c, t: torch.where((c >= t).any(1), times_by_min(s, c, t), s[-1]), "last step"),
        (lambda s, c, t: torch.where((c >= t).any(1), times_by_min(s, c, t), torch.nan), "no time"),
        (lambda s, c, t: times_by_min(torch.arange(len(s)), c, t), "number of the point"),
        (lambda s, c, t: torch.where(c > t, s, torch.inf).amin(1), "exactly at the threshold"),
        (lambda s, c, t: torch.where(c >= t, s, -torch.inf).amax(1), "expected"),
        (lambda s, c, t: torch.where(c[:, -1] >= t, times_by_min(s, c, t), torch.inf), "fell back"),
        (lambda s, c, t: times_by_min(s, c, 0.75), "expected"),
        (lambda s, c, t: torch.where(c >= t, s[:, None], torch.inf).amin(0), "expected"),
        (lambda s, c, t: torch.where(c.mean(0) >= t, s, torch.inf).amin(0), "a single number"),
    ],
}
