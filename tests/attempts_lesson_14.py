"""What learners hand in for lesson 14: see test_checks.py."""

import math

import numpy as np
import torch

from helpers.returns import vtrace


def targets_recursion(rewards, values, ratios, gamma):
    targets, gain = [], 0.0
    for t in reversed(range(len(rewards))):
        rho = min(1.0, ratios[t].item())
        gain = rho * (rewards[t] + gamma * values[t + 1] - values[t]) + gamma * rho * gain
        targets.insert(0, values[t] + gain)
    return torch.stack(targets)


def targets_next_target(rewards, values, ratios, gamma):
    """With both limits 1, V + rho (r + gamma v' - V) is the same."""
    target, targets = values[-1], torch.empty(len(rewards))
    for t in range(len(rewards) - 1, -1, -1):
        rho = ratios[t].clamp(max=1)
        target = (1 - rho) * values[t] + rho * (rewards[t] + gamma * target)
        targets[t] = target
    return targets


def targets_by_sums(rewards, values, ratios, gamma):
    """The definition, in numpy: a product of traces for each pair of steps."""
    r, V, rho = (x.numpy().astype(float) for x in (rewards, values, ratios.clamp(max=1)))
    deltas = rho * (r + gamma * V[1:] - V[:-1])
    steps = range(len(r))
    return [
        V[s] + sum(gamma ** (t - s) * np.prod(rho[s:t]) * deltas[t] for t in steps[s:])
        for s in steps
    ]


def targets_by_matrix(rewards, values, ratios, gamma):
    """(1 - gamma C) gains = deltas, solved at once."""
    rho = torch.where(ratios > 1, torch.ones(()), ratios).double()
    deltas = rho * (rewards + gamma * values[1:] - values[:-1])
    carry = torch.diag(gamma * rho[:-1], 1) if len(rho) > 1 else torch.zeros(1, 1).double()
    return values[:-1] + torch.linalg.solve(torch.eye(len(rho)).double() - carry, deltas)


def targets_by_helpers(rewards, values, ratios, gamma):
    never = torch.zeros(len(rewards), dtype=torch.bool)
    return vtrace(rewards, values, ratios, never, never, gamma=gamma)[0]


def targets_with(rho=lambda x: min(1.0, x), c=lambda x: min(1.0, x), gain=0.0):
    """The recursion with other limits, or with something behind the last step."""

    def attempt(rewards, values, ratios, gamma):
        targets, after = [], gain
        for t in reversed(range(len(rewards))):
            x = ratios[t].item()
            delta = rewards[t] + gamma * values[t + 1] - values[t]
            after = rho(x) * delta + gamma * c(x) * after
            targets.append(values[t] + after)
        return torch.stack(targets[::-1])

    return attempt


def targets_in_place(rewards, values, ratios, gamma):
    ratios.clamp_(max=1)
    return targets_recursion(rewards, values, ratios, gamma)


def targets_too_far(rewards, values, ratios, gamma):
    targets = values.clone()
    for t in range(len(values)):
        targets[t] += ratios[t] * (rewards[t] + gamma * values[t + 1] - values[t])
    return targets


def targets_with_row(rewards, values, ratios, gamma):
    """The last value is among the targets: one row too many."""
    return torch.cat([targets_recursion(rewards, values, ratios, gamma), values[-1:]])


def targets_twice(rewards, values, ratios, gamma):
    """rho before the bracket: it weighs what is carried once more."""
    return targets_with(c=lambda x: min(1.0, x) ** 2)(rewards, values, ratios, gamma)


def targets_bootstrap_behind(rewards, values, ratios, gamma):
    return targets_with(gain=values[-1].item())(rewards, values, ratios, gamma)


def ratio_of_logs(log_probs, behaviour_log_probs):
    return torch.minimum(log_probs - behaviour_log_probs, torch.zeros(())).exp()


def ratio_where(log_probs, behaviour_log_probs):
    return torch.where(
        log_probs > behaviour_log_probs, 1.0, (log_probs - behaviour_log_probs).exp()
    )


def ratio_loop(log_probs, behaviour_log_probs):
    pairs = zip(log_probs.tolist(), behaviour_log_probs.tolist())
    return [min(1.0, math.exp(min(new - old, 50.0))) for new, old in pairs]


def ratio_by_divide(log_probs, behaviour_log_probs):
    return torch.clamp(torch.exp(log_probs) / torch.exp(behaviour_log_probs), max=1.0)


def ratio_python_min(log_probs, behaviour_log_probs):
    return min((log_probs - behaviour_log_probs).exp(), 1.0)


def trace_with(rho="rho_max", c="c_max", bootstraps=True, traces=True):
    """The exercise's code: what stands there with limits exchanged, or with another slip."""

    def attempt(rewards, values, ratios, terminated, gamma, rho_max, c_max):
        limits = {"rho_max": rho_max, "c_max": c_max, "none": math.inf}
        limits |= {"least": min(rho_max, c_max), "most": max(rho_max, c_max)}
        weights, trace = (ratios.clamp(max=limits[name]) for name in (rho, c))
        goes_on = (~terminated).float()
        targets, gain = values[:-1].clone(), 0.0
        for t in reversed(range(len(rewards))):
            after = values[t + 1] * (goes_on[t] if bootstraps else 1)
            carried = gain * (goes_on[t] if traces else 1)
            gain = (
                weights[t] * (rewards[t] + gamma * after - values[t]) + gamma * trace[t] * carried
            )
            targets[t] += gain
        return targets

    return attempt


def trace_by_helpers(rewards, values, ratios, terminated, gamma, rho_max, c_max):
    never = torch.zeros_like(terminated)
    limits = {"rho_max": rho_max, "c_max": c_max}
    return vtrace(rewards, values, ratios, terminated, never, gamma=gamma, **limits)[0]


def trace_by_parts(rewards, values, ratios, terminated, gamma, rho_max, c_max):
    """Each stretch between two ends for itself, by sums."""
    arrived = torch.where(terminated, 0, values[1:])
    deltas = ratios.clamp(max=rho_max) * (rewards + gamma * arrived - values[:-1])
    targets = []
    for s in range(len(rewards)):
        total, weight = values[s].item(), 1.0
        for t in range(s, len(rewards)):
            total += weight * deltas[t].item()
            weight *= gamma * min(c_max, ratios[t].item())
            if terminated[t]:
                break
        targets.append(total)
    return np.array(targets)


RIGHT = {
    "vtrace_targets": [
        targets_recursion,
        targets_next_target,
        targets_by_sums,
        targets_by_matrix,
        targets_by_helpers,
        targets_with(),
    ],
    "behaviour_ratio": [ratio_of_logs, ratio_where, ratio_loop],
    "repaired_trace": [trace_with(), trace_by_helpers, trace_by_parts],
}

# (attempt, words that the message must contain)
WRONG = {
    "vtrace_targets": [
        (targets_with(c=lambda x: x), "one of the two"),
        (targets_with(rho=lambda x: 1.0), "counts rho times"),
        (targets_with(c=lambda x: 1.0), "trace is missing"),
        (targets_bootstrap_behind, "counts twice"),
        (targets_in_place, "changes its input ratios in place"),
        (targets_twice, "rho counts twice"),
        (targets_too_far, "index"),
        (targets_with_row, "expected"),
        (lambda r, V, ratios, gamma: targets_recursion(r, V, ratios, gamma).sum(), "expected"),
    ],
    "behaviour_ratio": [
        (ratio_by_divide, "no number"),
        (lambda new, old: (new.double().exp() / old.double().exp()).clamp(max=1), "no number"),
        (ratio_python_min, "one truth value"),
        (lambda new, old: (old - new).exp().clamp(max=1), "upside down"),
        (lambda new, old: (new - old).clamp(max=1), "still a logarithm"),
        (lambda new, old: (new - old).exp(), "Nothing is limited"),
        (lambda new, old: (new - old).exp().clamp(0.8, 1), "PPO's clip"),
        (lambda new, old: (old - new).exp().clamp(min=1), "upside down"),
        (lambda new, old: (new + old).exp().clamp(max=1), "a product"),
    ],
    "repaired_trace": [
        (trace_with(rho="c_max", c="rho_max"), "bug is still there"),
        (trace_with(rho="c_max"), "Both have one limit"),
        (trace_with(c="rho_max"), "Both have one limit"),
        (trace_with(rho="none", c="none"), "A limit is gone"),
        (trace_with(c="least"), "has both limits"),
        (trace_with(rho="most"), "has both limits"),
        (trace_with(traces=False), "right as it stood"),
        (trace_with(bootstraps=False), "right as it stood"),
    ],
}
