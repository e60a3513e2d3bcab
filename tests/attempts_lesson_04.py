"""What learners hand in for lesson 04: see test_checks.py."""

import numpy as np
import torch

from helpers.losses import policy_gradient_loss
from helpers.returns import gae


def nowhere(rewards):
    return torch.zeros(rewards.shape, dtype=torch.bool)


def advantages_by_package(rewards, values, gamma, lam):
    return gae(rewards, values, nowhere(rewards), nowhere(rewards), gamma=gamma, lam=lam)


def advantages_running(rewards, values, gamma, lam):
    """The way most code has it: one running number from the back."""
    rewards, values, running, found = rewards.numpy(), values.numpy(), 0.0, []
    for t in range(len(rewards) - 1, -1, -1):
        running = rewards[t] + gamma * values[t + 1] - values[t] + gamma * lam * running
        found.insert(0, running)
    return np.array(found)


def advantages_of_five_steps(rewards, values, gamma, lam):
    """Each sum is cut after five TD errors."""
    glimpses = [(rewards[t : t + 5], values[t : t + 6]) for t in range(len(rewards))]
    return np.stack([advantages_running(*glimpse, gamma, lam)[0] for glimpse in glimpses])


def loss_by_package(log_probs, advantages, terminated, truncated):
    return policy_gradient_loss(log_probs, advantages, valid_rows(terminated | truncated))


def valid_rows(ended):
    valid = torch.ones_like(ended)
    valid[1:] = ~ended[:-1]
    return valid


def loss_loop(log_probs, advantages, terminated, truncated):
    total = count = 0
    for b in range(log_probs.shape[1]):
        fresh = True
        for t in range(len(log_probs)):
            if fresh:
                total, count = total - advantages[t, b] * log_probs[t, b], count + 1
            fresh = not (terminated[t, b] or truncated[t, b])
    return total / count


def loss_with_the_slope_of_all_rows(*batch):
    everything = -(batch[0] * batch[1]).mean()
    return everything + (loss_by_package(*batch) - everything).detach()


def repaired_by_package(rewards, values, terminated, truncated, gamma, lam):
    return gae(rewards, values, terminated, truncated, gamma=gamma, lam=lam)


def repaired_branches(rewards, values, terminated, truncated, gamma, lam):
    found = torch.zeros_like(rewards)
    for column in np.ndindex(*rewards.shape[1:]):
        following = 0.0
        for t in reversed(range(len(rewards))):
            at, later = (t, *column), (t + 1, *column)
            target = rewards[at] if terminated[at] else rewards[at] + gamma * values[later]
            if terminated[at] or truncated[at]:
                following = 0.0
            following = found[at] = target - values[at] + gamma * lam * following
    return found


def repaired_by_reward(at_cut, state):
    """The trick of some libraries: where at_cut says so, the value of a state becomes reward."""

    def attempt(rewards, values, terminated, truncated, gamma, lam):
        patched = rewards + gamma * at_cut(terminated, truncated) * values[state]
        return repaired_by_package(patched, values, terminated | truncated, truncated, gamma, lam)

    return attempt


def repaired_but_the_last(rewards, values, terminated, truncated, gamma, lam):
    """Takes it for granted that the glimpse's last step ends nothing."""
    terminated = terminated.clone()
    terminated[-1] = False
    return repaired_by_package(rewards, values, terminated, truncated, gamma, lam)


def flattened(attempt):
    """Right for [T] and [T, B] alone: it flattens further axes."""

    def flat(*case):
        found = attempt(*case)
        return found.flatten(1) if found.dim() > 1 else found

    return flat


def advantages_of_all_columns(rewards, values, gamma, lam):
    """Sums over the environments on the way."""
    deltas = rewards + gamma * values[1:] - values[:-1]
    running, found = 0.0, []
    for delta in deltas.flip(0):
        running = delta.sum() + gamma * lam * running
        found.insert(0, running * torch.ones_like(delta))
    return torch.stack(found)


RIGHT = {
    "generalised_advantages": [
        advantages_by_package,
        advantages_running,
    ],
    "masked_policy_loss": [loss_by_package, loss_loop],
    "repaired_gae": [
        repaired_by_package,
        repaired_branches,
        repaired_by_reward(lambda end, cut: cut & ~end, slice(1, None)),
    ],
}

# (attempt, words that the message must contain)
WRONG = {
    "generalised_advantages": [
        (flattened(advantages_by_package), "shape"),
        (advantages_of_all_columns, "expected"),
        (advantages_of_five_steps, "gamma 0.9 and lam 0.9"),
    ],
    "masked_policy_loss": [
        (lambda *batch: loss_by_package(*(x[:5] for x in batch)), "expected"),
        (loss_with_the_slope_of_all_rows, "its gradient for log_probs is not"),
    ],
    "repaired_gae": [
        (repaired_by_reward(lambda end, cut: cut, slice(1, None)), "at once"),
        (repaired_by_reward(lambda end, cut: cut, slice(-1)), "expected"),
        (repaired_but_the_last, "expected"),
        (flattened(repaired_by_package), "shape [12, 2, 3]"),
        (lambda r, v, e, c, g, lam: repaired_by_package(r, v, e, c, g, 1), "expected"),
    ],
}
