"""What learners hand in for lesson 08: see test_checks.py."""

import torch


def bayes_by_odds(belief, says_1, accuracy):
    factor = accuracy / (1 - accuracy)
    odds = belief / (1 - belief) * factor ** (2 * says_1 - 1)
    return odds / (1 + odds)


def backup(belief, value_1, value_2, accuracy, question_cost, wrong_price, escalation_cost):
    right = (belief - 0.5).abs() + 0.5
    reply_1 = belief * accuracy + (1 - belief) * (1 - accuracy)
    ask = reply_1 * value_1 + (1 - reply_1) * value_2 - question_cost
    return torch.stack(
        [right * (1 + wrong_price) - wrong_price, ask, -escalation_cost + 0 * belief], dim=1
    )


def replies(belief, luck, accuracy):
    wants_1 = luck[:, 0] < belief
    honest = luck[:, 1:] < accuracy
    return (honest == wants_1[:, None]).int()


RIGHT = {
    "updated_belief": [bayes_by_odds],
    "backed_up": [backup],
    "repaired_replies": [
        replies,
        lambda b, luck, q: ((luck[:, 1:] >= q) ^ (luck[:, :1] < b[:, None])).numpy(),
    ],
}

# (attempt, words that the message must contain)
WRONG = {
    "updated_belief": [
        (lambda b, says, q: bayes_by_odds(b, says, 0.8), "expected"),
        (lambda b, says, q: bayes_by_odds(b[:5], says[:5], q), "expected"),
        (lambda b, says, q: bayes_by_odds(b.clamp(0.05, 0.95), says, q), "expected"),
    ],
    "backed_up": [
        (lambda b, v1, v2, q, c, w, e: backup(b, v1, v2, q, -c, w, -e), "a cost has a minus"),
    ],
    "repaired_replies": [
        (lambda b, luck, q: replies(b, luck[:, :6], q), "expected"),
        (lambda b, luck, q: replies(b, luck, 0.8), "expected"),
    ],
}
