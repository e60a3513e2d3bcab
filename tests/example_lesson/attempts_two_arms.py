"""What learners hand in for the example lesson: see test_checks.py."""

import numpy as np


def in_a_loop(p, pulls, rewards):
    total = 0.0
    for pull, reward in zip(pulls.tolist(), rewards.tolist()):
        total += (1 - p if pull else -p) * reward
    return total / len(pulls)


RIGHT = {
    "slope_from_pulls": [
        lambda p, pulls, rewards: ((pulls - p) @ rewards) / len(rewards),
        lambda p, pulls, rewards: np.mean((pulls.numpy() - p) * rewards.numpy()),
        in_a_loop,
    ],
}

# (attempt, words that the message must contain)
WRONG = {
    "slope_from_pulls": [
        (lambda p, pulls, rewards: (pulls - p) * rewards, "expected a single number"),
        (lambda p, pulls, rewards: ((pulls - p) * rewards)[:4].sum() / 4, "For p 0.5, pulls [0]"),
        (lambda p, pulls, rewards: pulls.sub_(p) @ rewards / len(pulls), "changes its input"),
    ],
}
