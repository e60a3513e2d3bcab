"""What learners hand in for lesson 01: see test_checks.py."""

import numpy as np
import torch
import torch.nn.functional as F


def score_by_hand(logits, action):
    return np.eye(len(logits))[action] - logits.softmax(0).numpy()


def gradient_loops(scores, rewards, gamma):
    steps, days, parameters = scores.shape
    total = torch.zeros(parameters)
    for n in range(days):
        for t in range(steps):
            to_go = sum(gamma**k * rewards[k, n] for k in range(t, steps))
            total += to_go * scores[t, n]
    return total / days


def repaired_by_hand(logits, states, actions, weights, days):
    gradient = torch.zeros_like(logits)
    for s, a, w in zip(states.tolist(), actions.tolist(), weights.tolist()):
        gradient[s] += w * (F.one_hot(torch.tensor(a), logits.shape[1]) - logits[s].softmax(0))
    return gradient / days


def repaired_for_two_actions(logits, states, actions, weights, days):
    """The derivative of the sigmoid."""
    gradient = torch.zeros_like(logits)
    taken = logits.softmax(-1)[states, actions]
    gradient.index_put_((states, actions), weights * (1 - taken), accumulate=True)
    gradient.index_put_((states, 1 - actions), -weights * (1 - taken), accumulate=True)
    return gradient / days


def repaired_in_each_state_once(logits, states, actions, weights, days):
    """Plain assignment keeps only the last decision in a state."""
    gradient = torch.zeros_like(logits)
    pushes = F.one_hot(actions, logits.shape[1]) - logits.softmax(-1)[states]
    gradient[states] = weights[:, None] * pushes
    return gradient / days


RIGHT = {
    "score": [score_by_hand],
    "monte_carlo_gradient": [gradient_loops],
    "repaired_gradient": [repaired_by_hand],
}

# (attempt, words that the message must contain)
WRONG = {
    "score": [
        (lambda x, a: score_by_hand(x.clamp(-20, 20), a), "For logits [200, 201, 199.5]"),
    ],
    "monte_carlo_gradient": [
        (lambda s, r, g: gradient_loops(s[:5], r[:5], g), "expected"),
        (lambda s, r, g: gradient_loops(s, r.clamp(-50, 50), g), "rewards [[100, 0]"),
    ],
    "repaired_gradient": [
        (repaired_for_two_actions, "expected"),
        (repaired_in_each_state_once, "expected"),
    ],
}
