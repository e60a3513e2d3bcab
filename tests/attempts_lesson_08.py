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


def bayes_in_place(belief, says_1, accuracy):
    up = torch.where(says_1 == 1, accuracy, 1 - accuracy)
    rest = (1 - belief) * (1 - up)
    belief *= up
    return belief / (belief + rest)


def bayes_overwriting(belief, says_1, accuracy):
    up = torch.where(says_1 == 1, accuracy, 1 - accuracy)
    belief = belief * up
    other = (1 - belief) * (1 - up)
    return belief / (belief + other)


def bayes_for_two(belief, says_1, accuracy):
    answer = bayes_by_odds(belief, says_1, accuracy)
    return torch.stack([answer[0], answer[1]])


def bayes_for_08(belief, says_1, accuracy):
    return bayes_by_odds(belief, says_1, 0.8)


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


def changed(column, make):
    """backup with another column: make(belief, value_1, value_2, q, c, w, e)."""

    def attempt(*case):
        answer = backup(*case)
        answer[:, column] = torch.as_tensor(make(*case))
        return answer

    return attempt


def asking(share):
    return changed(1, lambda b, v1, v2, q, c, w, e: share(b, q) * v1 + (1 - share(b, q)) * v2 - c)


def backup_in_place(belief, value_1, value_2, q, c, w, e):
    value_1 -= c
    value_2 -= c
    return backup(belief, value_1, value_2, q, 0.0, w, e)


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


def replies_wrong_axis(belief, luck, accuracy):
    return replies(belief, luck, accuracy).T


def replies_in_place(belief, luck, accuracy):
    wants_1 = luck[:, :1] < belief[:, None]
    luck[:, 1:] = torch.where(luck[:, 1:] < accuracy, wants_1, ~wants_1).float()
    return luck[:, 1:]


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
        (lambda b, says, q: b * torch.where(says == 1, q, 1 - q), "divide by P(this reply)"),
        (lambda b, says, q: b * q / (b * q + (1 - b) * (1 - q)), "each reply as one for intent 1"),
        (lambda b, says, q: bayes_by_odds(b, 1 - says, q), "wrong way round"),
        (lambda b, says, q: torch.where(says == 1, q, 1 - q), "never used"),
        (lambda b, says, q: bayes_by_odds(1 - b, 1 - says, q), "intent 2"),
        (
            lambda b, says, q: torch.where(says == 1, bayes_by_odds(b, says, q), b),
            "evidence as well",
        ),
        (bayes_overwriting, "overwritten"),
        (bayes_in_place, "changes its input belief in place"),
        (bayes_for_two, "expected"),
        (bayes_for_08, "expected"),
        (lambda b, says, q: b * says, "expected"),
        (lambda b, says, q: torch.zeros(2), "use its arguments"),
    ],
    "backed_up": [
        (changed(0, lambda b, v1, v2, q, c, w, e: b - w * (1 - b)), "always answers intent 1"),
        (changed(0, lambda b, v1, v2, q, c, w, e: (b - 0.5).abs() + 0.5), "wrong_price is missing"),
        (changed(0, lambda b, v1, v2, q, c, w, e: (b - 0.5).abs() + 0.5 - w), "always: it is paid"),
        (asking(lambda b, q: b), "replies can be wrong"),
        (asking(lambda b, q: q), "the others name it too"),
        (asking(lambda b, q: 0.5), "equally likely"),
        (asking(lambda b, q: b + q - 2 * b * q), "swapped"),
        (changed(1, lambda *case: backup(*case)[:, 1] + case[4]), "free"),
        (changed(1, lambda *case: backup(*case)[:, 1] + 2 * case[4]), "cost has a minus"),
        (
            changed(1, lambda b, v1, v2, q, c, w, e: backup(b, v1, v2, q, c * (1 - q), w, e)[:, 1]),
            "only where the reply is wrong",
        ),
        (
            changed(1, lambda b, v1, v2, q, c, w, e: torch.maximum(v1, v2) - c),
            "cannot choose the reply",
        ),
        (changed(2, lambda b, v1, v2, q, c, w, e: e), "Handing over is a cost"),
        (lambda *case: backup(*case).max(1).values, "one number for each of the three"),
        (lambda *case: backup(*case).T, "axes are swapped"),
        (backup_in_place, "changes its input value_1 in place"),
        (lambda *case: backup(*case)[0], "expected"),
    ],
    "repaired_replies": [
        (replies_with(slice(0, -1)), "bug is still there"),
        (replies_with(slice(1, None)), "drawn anew for each question"),
        (replies_with(1), "the second column"),
        (replies_with(-1), "the last column"),
        (
            lambda b, luck, q: (luck[:, :1] < b[:, None]).float().repeat(1, luck.shape[1] - 1),
            "always says it",
        ),
        (
            lambda b, luck, q: (luck[:, 1:] < (b * q + (1 - b) * (1 - q))[:, None]).float(),
            "nobody wants anything",
        ),
        (lambda *case: 1 - replies(*case), "wrong way round"),
        (lambda b, luck, q: replies(b[0], luck, q), "first customer's belief"),
        (replies_wrong_axis, "expected"),
        (replies_in_place, "changes its input luck in place"),
        (lambda b, luck, q: replies(b, luck, 0.8), "expected"),
    ],
}
