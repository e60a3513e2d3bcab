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


def advantages_divided(rewards, values, gamma, lam):
    """By the powers of gamma lam, which may be 0."""
    deltas = rewards + gamma * values[1:] - values[:-1]
    powers = (torch.tensor(gamma * lam) ** torch.arange(len(deltas))).reshape(
        -1, *[1] * (deltas.dim() - 1)
    )
    return (deltas * powers).flip(0).cumsum(0).flip(0) / powers


def advantages_of_five_steps(rewards, values, gamma, lam):
    """Each sum is cut after five TD errors."""
    rows = range(len(rewards))
    return torch.stack(
        [advantages_matrix(rewards[t : t + 5], values[t : t + 6], gamma, lam)[0] for t in rows]
    )


def advantages_of_negative_powers(rewards, values, gamma, lam):
    """Infinite below the diagonal, and infinite times 0 is no number."""
    t = torch.arange(len(rewards))
    powers = torch.ones(len(t), len(t)).triu() * (gamma * lam) ** (t - t[:, None]).float()
    return torch.tensordot(powers, rewards + gamma * values[1:] - values[:-1], dims=1)


def advantages_past_the_end(rewards, values, gamma, lam):
    advantages = rewards + gamma * values[1:] - values[:-1]
    for t in reversed(range(len(rewards))):
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
    return -(advantages * log_probs)[torch.tensor(~resets)].mean()


def loss_with_the_slope_of_all_rows(*batch):
    everything = -(batch[0] * batch[1]).mean()
    return everything + (loss_by_package(*batch) - everything).detach()


def real(terminated, truncated):
    return valid_rows(terminated | truncated)


def loss_in_place(log_probs, advantages, terminated, truncated):
    advantages[~real(terminated, truncated)] = 0
    return -(advantages * log_probs).sum() / real(terminated, truncated).sum()


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


def repaired_where(rewards, values, terminated, truncated, gamma, lam):
    after = torch.where(terminated, torch.zeros_like(rewards), values[1:])
    running, rows = torch.zeros_like(rewards[0]), []
    for t in reversed(range(len(rewards))):
        running = torch.where(terminated[t] | truncated[t], 0.0, running)
        running = rewards[t] + gamma * after[t] - values[t] + gamma * lam * running
        rows.insert(0, running)
    return torch.stack(rows)


def repaired_by_reward(at_cut, state):
    """The trick of some libraries: where at_cut says so, the value of a state becomes reward."""

    def attempt(rewards, values, terminated, truncated, gamma, lam):
        patched = rewards + gamma * at_cut(terminated, truncated) * values[state]
        return repaired_by_package(patched, values, terminated | truncated, truncated, gamma, lam)

    return attempt


def repaired_flattened(rewards, values, *rest):
    """Right for [T] and [T, B] alone: it flattens further axes."""
    found = repaired_by_package(rewards, values, *rest)
    return found.flatten(1) if found.dim() > 1 else found


def repaired_but_the_last(rewards, values, terminated, truncated, gamma, lam):
    """Takes it for granted that the glimpse's last step ends nothing."""
    terminated = terminated.clone()
    terminated[-1] = False
    return repaired_by_package(rewards, values, terminated, truncated, gamma, lam)


def repaired_a_row_late(rewards, values, terminated, truncated, gamma, lam):
    advantages = rewards + gamma * ~terminated * values[1:] - values[:-1]
    for t in reversed(range(len(rewards) - 1)):
        goes_on = ~(terminated | truncated)[t + 1]
        advantages[t] += gamma * lam * goes_on * advantages[t + 1]
    return advantages


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
        repaired_by_reward(lambda end, cut: cut & ~end, slice(1, None)),
    ],
}

# (attempt, words that the message must contain)
WRONG = {
    "generalised_advantages": [
        (advantages_in_place, "changes its input rewards in place"),
        (advantages_without_the_last, "shape"),
        (advantages_off_by_one, "look at your slices"),
        (advantages_past_the_end, "no step follows the last one"),
        (advantages_of_a_table, "shape"),
        (advantages_of_all_columns, "expected"),
        (advantages_of_five_steps, "gamma 0.9 and lam 0.9"),
        (advantages_of_negative_powers, "Powers of gamma lam"),
        (advantages_divided, "Powers of gamma lam"),
        (
            lambda *case: (
                advantages_divided(*case)
                if case[2] * case[3]
                else case[0] + case[2] * case[1][1:] - case[1][:-1]
            ),
            "Powers of gamma lam",
        ),
    ],
    "masked_policy_loss": [
        (lambda p, a, e, c: -(p * a)[real(e, c)], "shape"),
        (lambda p, a, e, c: -(p * a)[valid_rows(e or c)].mean(), "use ~, & and |"),
        (lambda p, a, e, c: loss_by_package(p.exp(), a, e, c), "expected"),
        (lambda *batch: loss_by_package(*(x[:5] for x in batch)), "expected"),
        (loss_in_place, "changes its input advantages in place"),
        (lambda *batch: loss_by_package(*batch).item(), "stay within torch"),
        (lambda *batch: loss_by_package(*batch).detach(), "no gradient flows"),
        (loss_with_the_slope_of_all_rows, "its gradient for log_probs is not"),
    ],
    "repaired_gae": [
        (repaired_by_reward(lambda end, cut: cut, slice(1, None)), "at once"),
        (repaired_by_reward(lambda end, cut: cut, slice(-1)), "expected"),
        (repaired_but_the_last, "expected"),
        (repaired_a_row_late, "one row late"),
        (repaired_flattened, "shape [12, 2, 3]"),
        (lambda r, v, e, c, g, lam: repaired_by_package(r, v, e, c, g, 1), "expected"),
        (lambda r, v, e, c, g, lam: repaired_by_package(r, v, c, e, g, lam), "terminated for"),
    ],
}
