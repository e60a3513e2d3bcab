"""What learners hand in for lesson 08: see test_checks.py."""

import math

import numpy as np
import torch


def bayes_by_odds(belief, says_1, accuracy):
    factor = accuracy / (1 - accuracy)
    odds = belief / (1 - belief) * factor ** (2 * says_1 - 1)
    return odds / (1 + odds)


def bayes_by_log_odds(belief, says_1, accuracy):
    step = math.log(accuracy / (1 - accuracy))
    return torch.sigmoid(torch.logit(belief) + step * torch.where(says_1 > 0.5, 1.0, -1.0))


def bayes_by_table(belief, says_1, accuracy):
    """Both intents as rows of a table, in NumPy."""
    prior = np.stack([belief.numpy(), 1 - belief.numpy()])
    said = says_1.numpy()
    chance = np.stack(
        [np.where(said, accuracy, 1 - accuracy), np.where(said, 1 - accuracy, accuracy)]
    )
    joint = prior * chance
    return (joint / joint.sum(0))[0]


def bayes_loop(belief, says_1, accuracy):
    answers = []
    for b, reply in zip(belief.tolist(), says_1.tolist()):
        up, down = (accuracy, 1 - accuracy) if reply else (1 - accuracy, accuracy)
        answers.append(b * up / (b * up + (1 - b) * down))
    return answers


def bayes_with_a_small_number(belief, says_1, accuracy):
    q = torch.where(says_1 == 1, accuracy, 1 - accuracy)
    return belief * q / (belief * q + (1 - belief) * (1 - q) + 1e-6)


def bayes_of_the_other(belief, says_1, accuracy):
    """The formula for intent 1, and what is left to 1 for intent 2."""
    said = belief * accuracy / (belief * accuracy + (1 - belief) * (1 - accuracy))
    return torch.where(says_1 == 1, said, 1 - said)


def backup(belief, value_1, value_2, accuracy, question_cost, wrong_price, escalation_cost):
    right = (belief - 0.5).abs() + 0.5
    reply_1 = belief * accuracy + (1 - belief) * (1 - accuracy)
    ask = reply_1 * value_1 + (1 - reply_1) * value_2 - question_cost
    return torch.stack(
        [right * (1 + wrong_price) - wrong_price, ask, -escalation_cost + 0 * belief], dim=1
    )


def backup_by_cases(belief, value_1, value_2, q, c, w, e):
    rows = []
    for b, v1, v2 in zip(belief.tolist(), value_1.tolist(), value_2.tolist()):
        answer = b - w * (1 - b) if b >= 0.5 else (1 - b) - w * b
        ask = b * (q * (v1 - c) + (1 - q) * (v2 - c)) + (1 - b) * (
            (1 - q) * (v1 - c) + q * (v2 - c)
        )
        rows.append([answer, ask, -e])
    return rows


def backup_in_numpy(belief, value_1, value_2, q, c, w, e):
    b, v1, v2 = belief.numpy(), value_1.numpy(), value_2.numpy()
    p = 1 - q + (2 * q - 1) * b
    return np.stack(
        [np.maximum(b - w + w * b, 1 - b - w * b), v2 + p * (v1 - v2) - c, b * 0 - e], -1
    )


def replies(belief, luck, accuracy):
    wants_1 = luck[:, 0] < belief
    honest = luck[:, 1:] < accuracy
    return (honest == wants_1[:, None]).int()


def replies_loop(belief, luck, accuracy):
    answers = []
    for b, row in zip(belief.tolist(), luck.tolist()):
        wants = 1 if row[0] < b else 0
        answers.append([wants if x < accuracy else 1 - wants for x in row[1:]])
    return answers


def replies_with(column):
    """The customer's wish from this column, or these columns, of luck."""

    def attempt(belief, luck, accuracy):
        wants_1 = luck[:, column].reshape(len(belief), -1) < belief[:, None]
        return torch.where(luck[:, 1:] < accuracy, wants_1, ~wants_1).float()

    return attempt


def replies_to_luck_used_twice(belief, luck, accuracy):
    wants_1 = luck[:, :1] < belief[:, None]
    return ((luck[:, :-1] < accuracy) == wants_1).float()


RIGHT = {
    "updated_belief": [bayes_by_odds, bayes_by_log_odds, bayes_by_table, bayes_loop],
    "backed_up": [backup, backup_by_cases, backup_in_numpy],
    "repaired_replies": [
        replies,
        replies_loop,
        replies_with(0),
        replies_with(slice(0, 1)),
        lambda b, luck, q: ((luck[:, 1:] >= q) ^ (luck[:, :1] < b[:, None])).numpy(),
    ],
}

# (attempt, words that the message must contain)
WRONG = {
    "updated_belief": [
        (bayes_of_the_other, "swap q and 1 - q"),
        (lambda b, says, q: bayes_by_odds(b, says, 0.8), "expected"),
        (bayes_with_a_small_number, "A small number added to the denominator"),
        (lambda b, says, q: bayes_by_odds(b[:5], says[:5], q), "expected"),
        (lambda b, says, q: bayes_by_odds(b.clamp(0.05, 0.95), says, q), "expected"),
    ],
    "backed_up": [
        (lambda b, v1, v2, q, c, w, e: backup(b, v1, v2, q, -c, w, -e), "a cost has a minus"),
        (lambda *case: backup(*case)[0], "expected"),
    ],
    "repaired_replies": [
        (replies_to_luck_used_twice, "first column is used twice"),
        (lambda b, luck, q: replies(b, luck[:, :6], q), "expected"),
        (lambda b, luck, q: replies(b, luck, 0.8), "expected"),
        (lambda *case: replies(*case).T, "expected"),
    ],
}
