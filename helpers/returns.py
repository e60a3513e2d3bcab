"""From rewards to learning targets. Time is the first axis; any axes may follow it."""

from numbers import Real

import torch

from helpers.errors import SlipError, check_count, check_fraction, check_shape


def discounted_returns(rewards, gamma):
    r"""The reward to go of each step of one episode, $G_t = r_t + \gamma G_{t+1}$ with $G_T = 0$.

    rewards: [T, ...]; rewards[t] follows the action taken at t. Pad shorter episodes with zeros.
    gamma: the discount, in [0, 1]; a number, or a tensor that broadcasts over a row of the rewards:
        [K, 1] gives each of K agents its own.
    Returns [T, ...], in the unit of the rewards. Raises SlipError for gamma outside [0, 1].

    Sutton & Barto 2018, eq. 3.9; their R_{t+1} is our rewards[t].
    Derived in notebooks/02_reinforce.ipynb.
    """
    rewards = _as_float(rewards)
    gamma = _fraction("gamma", gamma, rewards)
    returns = rewards.clone()
    for t in reversed(range(len(returns) - 1)):
        returns[t] += gamma * returns[t + 1]
    return returns


def gae(rewards, values, terminated, truncated, *, gamma, lam):
    r"""Generalised advantage estimates.

    $A_t = \delta_t + \gamma\lambda\,(1 - \text{end}_t)\,A_{t+1}$ with
    $\delta_t = r_t + \gamma\,(1 - \text{terminated}_t)\,V_{t+1} - V_t$.

    rewards, terminated, truncated: [T, ...]; rewards[t] follows the action taken at t.
    values: [T+1, ...]; values[t+1] is the value of the state in which step t arrived,
        an episode's true last state included.
    gamma, lam: in [0, 1]; numbers, or tensors that broadcast over a row of the rewards.
    Returns [T, ...], in the unit of the rewards. Raises SlipError where shapes disagree, there is
    no step, or gamma or lam lies outside [0, 1].

    Schulman et al. 2016, eq. 16; their delta uses the same indices as ours.
    Derived in notebooks/04_a2c.ipynb.
    """
    rewards, values, one_step, ends, gamma = _prepare(rewards, values, terminated, truncated, gamma)
    lam = _fraction("lam", lam, rewards)
    advantages = list(one_step - values[:-1])  # delta; what follows is added from the end back
    for t in reversed(range(len(advantages) - 1)):
        advantages[t] = advantages[t] + gamma * lam * advantages[t + 1].masked_fill(ends[t], 0)
    return torch.stack(advantages)


def n_step_returns(rewards, values, terminated, truncated, *, gamma, n):
    r"""n-step returns, $G_t = r_t + \dots + \gamma^{n-1} r_{t+n-1} + \gamma^n V_{t+n}$.

    The sum stops early at an episode's end (a truncated one bootstraps from the value of its last
    state, a terminated one from 0) and at the end of the data.

    rewards, terminated, truncated: [T, ...]; values: [T+1, ...] as for gae.
    gamma: in [0, 1], as for gae; n: at least 1.
    Returns [T, ...], in the unit of the rewards. Raises SlipError where shapes disagree, there is
    no step, gamma lies outside [0, 1] or n is below 1.

    Sutton & Barto 2018, eq. 7.1 (theirs counts rewards from t+1).
    Derived in notebooks/04_a2c.ipynb.
    """
    check_count("n", n)
    rewards, values, one_step, ends, gamma = _prepare(rewards, values, terminated, truncated, gamma)
    returns = one_step.clone()
    for _ in range(min(n, len(rewards)) - 1):  # each pass makes a k-step return a (k+1)-step one
        longer = rewards[:-1] + gamma * returns[1:]
        returns[:-1] = torch.where(ends[:-1], one_step[:-1], longer)
    return returns


def vtrace(
    rewards, values, ratios, terminated, truncated, *, gamma, lam=1.0, rho_max=1.0, c_max=1.0
):
    r"""Targets and advantages from steps of another policy: V-trace, $(v_t, A_t)$.

    $v_t = V_t + \bar\rho_t \delta_t + \gamma\,\bar c_t\,(1 - \text{end}_t)\,(v_{t+1} - V_{t+1})$ with
    $\bar\rho = \min(\rho, \rho_\text{max})$, $\bar c = \lambda \min(\rho, c_\text{max})$ and gae's
    $\delta_t$; $A_t = \bar\rho_t\,(r_t + \gamma v' - V_t)$, where $v'$ is $v_{t+1}$, but at an end of
    either kind, and at the end of the data, the value of the state arrived in (0 if terminated).

    rewards, terminated, truncated: [T, ...]; values: [T+1, ...] as for gae.
    ratios: [T, ...], pi(a|s) / mu(a|s): how likely the step's action is under the policy whose values
        these are, over how likely it was for the one that took it. With ratios of 1, and both limits
        at least 1, v is the longest n-step return (lam 1), or V + gae's advantage.
    gamma, lam: in [0, 1], as for gae. rho_max, c_max: above 0; math.inf is no limit.
    Returns (targets, advantages), both [T, ...]. Raises SlipError where shapes disagree, a ratio is
    negative or no number, there is no step, or gamma, lam, rho_max or c_max is outside its range.

    Espeholt et al. 2018, eq. 1 and section 4.2, whose c is ours with remark 2's lambda.
    Derived in notebooks/14_distributed_actors.ipynb.
    """
    rewards, values, one_step, ends, gamma = _prepare(rewards, values, terminated, truncated, gamma)
    lam, ratios = _fraction("lam", lam, rewards), _as_float(ratios).to(rewards.dtype)
    check_shape("ratios", ratios, rewards.shape, "that of the rewards")
    if not (ratios >= 0).all():
        raise SlipError("A ratio of two probabilities is at least 0: one of these is not.")
    rho, c = (_limited(ratios, *limit) for limit in (("rho_max", rho_max), ("c_max", c_max)))
    gains = list(rho * (one_step - values[:-1]))  # v - V; what follows is added from the end back
    for t in reversed(range(len(gains) - 1)):
        gains[t] = gains[t] + gamma * lam * c[t] * gains[t + 1].masked_fill(ends[t], 0)
    targets = values[:-1] + torch.stack(gains)
    after = one_step.clone()
    after[:-1] = torch.where(ends[:-1], one_step[:-1], rewards[:-1] + gamma * targets[1:])
    return targets, rho * (after - values[:-1])


def _limited(ratios, name, limit):
    if isinstance(limit, bool) or not isinstance(limit, Real) or not limit > 0:
        raise SlipError(f"{name} must be a number above 0 (math.inf is none), but is {limit!r}.")
    return ratios.clamp(max=limit)


def _prepare(rewards, values, terminated, truncated, gamma):
    """Tensors of rewards and values, targets r_t + gamma V_{t+1}, where episodes end, and gamma."""
    rewards, values = _as_float(rewards), _as_float(values)
    if not len(rewards):
        raise SlipError("There are no steps: give rewards at least one row.")
    gamma = _fraction("gamma", gamma, rewards)
    terminated, truncated = (torch.as_tensor(x).bool() for x in (terminated, truncated))
    check_shape("terminated", terminated, rewards.shape, "that of the rewards")
    check_shape("truncated", truncated, rewards.shape, "that of the rewards")
    check_shape(
        "values",
        values,
        (len(rewards) + 1, *rewards.shape[1:]),
        "one more row than the rewards: the last row is the value of the state after the last step",
    )
    one_step = rewards + gamma * torch.where(terminated, 0, values[1:])
    return rewards, values, one_step, terminated | truncated, gamma


def _fraction(name, value, rewards):
    """A number in [0, 1], or a tensor of them that broadcasts over a row of the rewards."""
    if not isinstance(value, torch.Tensor):
        check_fraction(name, value)
        return value
    for number in value.flatten().tolist():
        check_fraction(name, number)
    row = rewards.shape[1:]
    if value.dim() > len(row) or any(a not in (1, b) for a, b in zip(value.shape[::-1], row[::-1])):
        raise SlipError(
            f"{name} has the shape {tuple(value.shape)}, which does not broadcast over a row of the "
            f"rewards, {tuple(row)}: give [K, 1] for [T, K, B]."
        )
    return value.to(rewards.dtype)


def _as_float(array):
    tensor = torch.as_tensor(array)
    if tensor.dim() == 0:
        raise SlipError(
            "Give one row a step: an array whose first axis is time, not a single number."
        )
    if tensor.is_complex():
        raise SlipError("Rewards and values are real numbers, but these are complex.")
    if tensor.is_floating_point():
        return tensor
    exact = (
        tensor.numel() == 0 or tensor.long().abs().max() <= 2**24
    )  # what float32 can count up to
    return tensor.float() if exact else tensor.double()
