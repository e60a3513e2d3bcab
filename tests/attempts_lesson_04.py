"""What learners hand in for lesson 04: see test_checks.py."""

import numpy as np
import torch

from helpers.losses import policy_gradient_loss
from helpers.returns import gae, n_step_returns


def nowhere(rewards):
    return torch.zeros(rewards.shape, dtype=torch.bool)


def advantages_by_package(rewards, values, gamma, lam):
    return gae(rewards, values, nowhere(rewards), nowhere(rewards), gamma=gamma, lam=lam)


def advantages_by_definition(rewards, values, gamma, lam):
    """The sum of TD errors, written out for each step."""
    deltas = [rewards[t] + gamma * values[t + 1] - values[t] for t in range(len(rewards))]
    return torch.stack(
        [
            sum((gamma * lam) ** (k - t) * deltas[k] for k in range(t, len(deltas)))
            for t in range(len(deltas))
        ]
    )


def advantages_by_mix(rewards, values, gamma, lam):
    """The mix of n-step estimates, the rest of the weight on the longest."""
    steps, ends = len(rewards), nowhere(rewards)
    looks = [
        n_step_returns(rewards, values, ends, ends, gamma=gamma, n=n) - values[:-1]
        for n in range(1, steps + 1)
    ]
    rows = []
    for t in range(steps):
        weights = [(1 - lam) * lam**n for n in range(steps - t - 1)] + [lam ** (steps - t - 1)]
        rows.append(sum(weight * look[t] for weight, look in zip(weights, looks)))
    return torch.stack(rows)


def advantages_running(rewards, values, gamma, lam):
    """The way most code has it: one running number from the back."""
    rewards, values, running, found = rewards.numpy(), values.numpy(), 0.0, []
    for t in range(len(rewards) - 1, -1, -1):
        running = rewards[t] + gamma * values[t + 1] - values[t] + gamma * lam * running
        found.insert(0, running)
    return np.array(found)


def advantages_matrix(rewards, values, gamma, lam):
    t = torch.arange(len(rewards))
    powers = torch.tril(torch.ones(len(t), len(t))).T * (gamma * lam) ** (t - t[:, None]).clamp(0)
    return torch.einsum("tk,k...->t...", powers, rewards + gamma * values[1:] - values[:-1])


def advantages_in_place(rewards, values, gamma, lam):
    rewards += gamma * values[1:] - values[:-1]
    for t in reversed(range(len(rewards) - 1)):
        rewards[t] += gamma * lam * rewards[t + 1]
    return rewards


def advantages_forward(rewards, values, gamma, lam):
    advantages = rewards + gamma * values[1:] - values[:-1]
    for t in range(len(rewards) - 1):  # too early: A[t+1] is not finished
        advantages[t] += gamma * lam * advantages[t + 1]
    return advantages


def advantages_without_the_last(rewards, values, gamma, lam):
    return advantages_by_package(rewards, values, gamma, lam)[:-1]


def advantages_off_by_one(rewards, values, gamma, lam):
    return rewards[:-1] + gamma * values[1:] - values[:-1]


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


def loss_by_weights(log_probs, advantages, terminated, truncated):
    ended = torch.logical_or(terminated, truncated).float()
    weights = 1 - torch.cat([torch.zeros(1, ended.shape[1]), ended[:-1]])
    return -(weights * advantages * log_probs).sum() / weights.sum()


def loss_rolled(log_probs, advantages, terminated, truncated):
    resets = np.roll((terminated | truncated).numpy(), 1, axis=0)
    resets[0] = False
    return -np.mean((advantages * log_probs).numpy()[~resets])


def loss_rolled_around(log_probs, advantages, terminated, truncated):
    """An end in the last row takes the first row out."""
    resets = np.roll((terminated | truncated).numpy(), 1, axis=0)
    return -np.mean((advantages * log_probs).numpy()[~resets])


def loss_by_added_flags(log_probs, advantages, terminated, truncated):
    weights = torch.ones_like(log_probs)
    weights[1:] = 1 - terminated[:-1].float() - truncated[:-1].float()
    return -(weights * advantages * log_probs).sum() / weights.sum()


def loss_after_the_first_end(log_probs, advantages, terminated, truncated):
    """Plays each environment's first episode only."""
    ended = (terminated | truncated).int()
    first = ended.cumsum(0) - ended == 0
    return -(advantages * log_probs)[first].mean()


def loss_from(rows, reduce=torch.mean, sign=-1):
    """A loss over the rows that rows(terminated, truncated) marks."""

    def attempt(log_probs, advantages, terminated, truncated):
        return sign * reduce((advantages * log_probs)[rows(terminated, truncated)])

    return attempt


def real(terminated, truncated):
    return valid_rows(terminated | truncated)


def loss_mean_of_environments(log_probs, advantages, terminated, truncated):
    """Each environment counts alike, however many real rows it has."""
    rows = real(terminated, truncated)
    return -((advantages * log_probs * rows).sum(0) / rows.sum(0)).mean()


def loss_of_probabilities(log_probs, advantages, terminated, truncated):
    return loss_by_package(log_probs.exp(), advantages, terminated, truncated)


def loss_forgets_advantages(log_probs, advantages, terminated, truncated):
    return -log_probs[real(terminated, truncated)].mean()


def loss_in_place(log_probs, advantages, terminated, truncated):
    advantages[~real(terminated, truncated)] = 0
    return -(advantages * log_probs).sum() / real(terminated, truncated).sum()


def repaired_by_package(rewards, values, terminated, truncated, gamma, lam):
    return gae(rewards, values, terminated, truncated, gamma=gamma, lam=lam)


def repaired_branches(rewards, values, terminated, truncated, gamma, lam):
    found = torch.zeros_like(rewards)
    for b in range(rewards.shape[-1]) if rewards.dim() > 1 else [...]:
        following = 0.0
        for t in reversed(range(len(rewards))):
            at = (t,) if b is ... else (t, b)
            later = (t + 1,) if b is ... else (t + 1, b)
            target = rewards[at] if terminated[at] else rewards[at] + gamma * values[later]
            if terminated[at] or truncated[at]:
                following = 0.0
            following = found[at] = target - values[at] + gamma * lam * following
    return found


def repaired_where(rewards, values, terminated, truncated, gamma, lam):
    after = torch.where(terminated, torch.zeros_like(rewards), values[1:])
    running, rows = torch.zeros_like(rewards[0]), []
    for t in reversed(range(len(rewards))):
        running = torch.where(terminated[t] | truncated[t], 0.0, running)
        running = rewards[t] + gamma * after[t] - values[t] + gamma * lam * running
        rows.insert(0, running)
    return torch.stack(rows)


def flags(value, onward):
    """suspect_gae with other flags for the next value and for the next advantage."""

    def attempt(rewards, values, terminated, truncated, gamma, lam):
        counts = value(terminated, truncated).float()
        goes_on = onward(terminated, truncated).float()
        advantages = rewards + gamma * counts * values[1:] - values[:-1]
        for t in reversed(range(len(rewards) - 1)):
            advantages[t] += gamma * lam * goes_on[t] * advantages[t + 1]
        return advantages

    return attempt


def always(terminated, truncated):
    return torch.ones_like(terminated)


def repaired_by_reward(rewards, values, terminated, truncated, gamma, lam):
    """The trick of some libraries, done wrongly: the value of the state itself, not of the next."""
    patched = rewards + gamma * truncated * values[:-1]
    return flags(lambda e, c: ~(e | c), lambda e, c: ~(e | c))(
        patched, values, terminated, truncated, gamma, lam
    )


def repaired_by_reward_rightly(rewards, values, terminated, truncated, gamma, lam):
    patched = rewards + gamma * (truncated & ~terminated) * values[1:]
    return flags(lambda e, c: ~(e | c), lambda e, c: ~(e | c))(
        patched, values, terminated, truncated, gamma, lam
    )


def repaired_for_one_kind_of_end(rewards, values, terminated, truncated, gamma, lam):
    """Forgets that an episode can be terminated and truncated at once."""
    patched = rewards + gamma * truncated * values[1:]
    return flags(lambda e, c: ~(e | c), lambda e, c: ~(e | c))(
        patched, values, terminated, truncated, gamma, lam
    )


def repaired_but_the_last(rewards, values, terminated, truncated, gamma, lam):
    """Takes it for granted that the glimpse's last step ends nothing."""
    terminated = terminated.clone()
    terminated[-1] = False
    return repaired_by_package(rewards, values, terminated, truncated, gamma, lam)


def advantages_of_a_table(rewards, values, gamma, lam):
    """Right for [T] and [T, B] alone: it flattens further axes."""
    found = advantages_by_package(rewards, values, gamma, lam)
    return found.flatten(1) if found.dim() > 1 else found


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
        advantages_by_definition,
        advantages_by_mix,
        advantages_running,
        advantages_matrix,
    ],
    "masked_policy_loss": [loss_by_package, loss_loop, loss_by_weights, loss_rolled],
    "repaired_gae": [
        repaired_by_package,
        repaired_branches,
        repaired_where,
        repaired_by_reward_rightly,
    ],
}

# (attempt, words that the message must contain)
WRONG = {
    "generalised_advantages": [
        (lambda r, v, g, lam: advantages_by_package(r, v, g, lam) + v[:-1], "targets"),
        (lambda r, v, g, lam: advantages_by_package(r, v, g, 0), "TD errors alone"),
        (lambda r, v, g, lam: advantages_by_package(r, v, g, 1), "never uses lam"),
        (lambda r, v, g, lam: -advantages_by_mix(r, v, g, lam), "sign"),
        (lambda r, v, g, lam: (1 - lam) * advantages_matrix(r, v, g, lam), "has cancelled"),
        (lambda r, v, g, lam: advantages_by_package(r, v, 1, g * lam), "gamma is missing"),
        (lambda r, v, g, lam: advantages_by_package(r, 0 * v, g, lam), "expected [-1.64"),
        (lambda r, v, g, lam: advantages_by_package(r, v, lam, g), "expected [-1.64"),
        (advantages_in_place, "changes its input rewards in place"),
        (advantages_forward, "not finished"),
        (advantages_without_the_last, "shape"),
        (advantages_off_by_one, "must match"),
        (advantages_of_a_table, "shape"),
        (advantages_of_all_columns, "expected"),
    ],
    "masked_policy_loss": [
        (loss_from(lambda e, c: torch.ones_like(e)), "mean over all rows"),
        (loss_from(lambda e, c: ~(e | c)), "last true step"),
        (loss_from(lambda e, c: valid_rows(e)), "truncated episode resets too"),
        (loss_from(lambda e, c: valid_rows(c)), "terminated episode resets too"),
        (loss_from(real, sign=1), "sign"),
        (loss_from(real, reduce=torch.sum), "sum over the real rows"),
        (loss_from(lambda e, c: ~real(e, c)), "inside out"),
        (lambda p, a, e, c: -(p * a * real(e, c)).mean(), "number of all rows"),
        (lambda p, a, e, c: -(p * a)[real(e, c)], "shape"),
        (loss_from(lambda e, c: valid_rows(e != c)), "at once"),
        (loss_by_added_flags, "at once"),
        (loss_rolled_around, "expected"),
        (loss_after_the_first_end, "expected"),
        (loss_mean_of_environments, "expected"),
        (loss_of_probabilities, "expected"),
        (loss_forgets_advantages, "expected"),
        (loss_in_place, "changes its input advantages in place"),
    ],
    "repaired_gae": [
        (flags(lambda e, c: ~(e | c), lambda e, c: ~(e | c)), "bug is still there"),
        (flags(lambda e, c: ~e, lambda e, c: ~e), "runs on through a truncated"),
        (flags(lambda e, c: ~(e | c), lambda e, c: ~e), "flags are swapped"),
        (flags(lambda e, c: ~c, lambda e, c: ~(e | c)), "terminated for truncated"),
        (flags(always, lambda e, c: ~(e | c)), "bootstraps as well"),
        (flags(lambda e, c: ~e, always), "never stops"),
        (flags(always, always), "expected"),
        (flags(lambda e, c: ~e, lambda e, c: 1 - e.int() - c.int()), "factor is -1"),
        (repaired_for_one_kind_of_end, "at once"),
        (repaired_but_the_last, "expected"),
        (repaired_by_reward, "expected"),
        (lambda r, v, e, c, g, lam: repaired_by_package(r, v, e, c, g, 1), "expected"),
        (lambda r, v, e, c, g, lam: repaired_by_package(r, v, c, e, g, lam), "terminated for"),
    ],
}
