"""Finite Markov decision processes, solved exactly. S states, A actions, float64 throughout.

A policy may be many at once, [..., S, A], as K agents have one each: [K, S, A]; results then lead
with the same axes. Everything is differentiable: autograd passes through the linear systems.
Checked against Monte Carlo and by hand in notebooks/01_policy_gradient_theorem.ipynb.
"""

from typing import NamedTuple

import torch

from helpers.errors import SlipError, check_fraction, check_shape


class MDP(NamedTuple):
    """A finite Markov decision process as one table; the course's environments play the same table.

    What stands in the rows of terminal states is never used: nothing follows the end.
    """

    transitions: torch.Tensor  # [S, A, S] P(s'|s,a)
    rewards: torch.Tensor  # [S, A, S] reward paid on going from s by a to s'
    terminal: torch.Tensor  # [S] bool: the episode is over there; value 0, nothing follows
    start: torch.Tensor  # [S] distribution of the first state


def state_values(mdp, policy, gamma):
    r"""V of a policy, the solution of the Bellman equation

    $V(s) = \sum_a \pi(a|s) \sum_{s'} P(s'|s,a)\,(r(s,a,s') + \gamma V(s'))$.

    policy: [..., S, A] probabilities; rows are divided by their sum, which makes up for rounding.
    gamma: the discount, in [0, 1].
    Returns [..., S], in the unit of the rewards; 0 in terminal states. Raises SlipError for tables and
    policies of the wrong shape or that are no probabilities, and where gamma is 1 and the policy
    never ends from some state, so that its return is no finite number.

    Sutton & Barto 2018, eq. 3.14.
    """
    mdp, policy = _prepare(mdp, policy, gamma)
    rewards = (policy * _expected_rewards(mdp)).sum(-1)
    return torch.linalg.solve(_system(mdp, policy, gamma), rewards)


def action_values(mdp, policy, gamma):
    r"""Q of a policy: $Q(s,a) = \sum_{s'} P(s'|s,a)\,(r(s,a,s') + \gamma V(s'))$.

    Arguments and errors as for state_values. Returns [..., S, A]; 0 in terminal states.
    Sutton & Barto 2018, eq. 4.6.
    """
    values, mdp = state_values(mdp, policy, gamma), check_mdp(mdp)
    follows = torch.einsum("sat,...t->...sa", mdp.transitions, values)
    return _expected_rewards(mdp) + gamma * follows


def objective(mdp, policy, gamma):
    r"""The expected return from the start, $J = \sum_s \text{start}(s)\,V(s)$.

    Arguments and errors as for state_values. Returns [...], a scalar for one policy.
    Sutton & Barto 2018, eq. 13.4, for any start.
    """
    return state_values(mdp, policy, gamma) @ check_mdp(mdp).start


def occupancy(mdp, policy, gamma):
    r"""Expected discounted visits, $d(s) = \sum_t \gamma^t P(S_t = s)$, solved.

    Arguments and errors as for state_values. Returns [..., S]; 0 in terminal states. The sum of d
    is the mean length of an episode for gamma 1, and at most 1 / (1 - gamma) below.

    Sutton & Barto 2018, eq. 9.2, with gamma in its second term; their 9.3 divides d by its sum.
    """
    mdp, policy = _prepare(mdp, policy, gamma)
    system = _system(mdp, policy, gamma).mT
    return torch.linalg.solve(system, mdp.start.expand(system.shape[:-1]))


def policy_gradient(mdp, logits, gamma):
    r"""The policy gradient theorem for a policy with one logit for each state and action.

    $\partial J / \partial\,\text{logits}(s,a) = d(s)\,\pi(a|s)\,(Q(s,a) - V(s))$,
    with $\pi(\cdot|s) = \text{softmax}(\text{logits}(s, \cdot))$.

    logits: [..., S, A]. gamma and errors as for state_values. Returns [..., S, A].

    Sutton & Barto 2018, eq. 13.5, where our d, which does not sum to 1, makes it an equality.
    """
    policy = torch.as_tensor(logits, dtype=torch.float64).softmax(-1)
    q = action_values(mdp, policy, gamma)
    v = (policy * q).sum(-1, keepdim=True)
    return occupancy(mdp, policy, gamma)[..., None] * policy * (q - v)


def optimal_values(mdp, gamma):
    r"""V of the best policy: $V^*(s) = \max_a \sum_{s'} P(s'|s,a)\,(r(s,a,s') + \gamma V^*(s'))$.

    Value iteration from 0, until a sweep changes nothing by more than 1e-14 of the largest value.
    Returns [S]; 0 in terminal states. Raises SlipError where it does not settle: with gamma 1 there
    may be no best value, or no end.

    Sutton & Barto 2018, eq. 3.19 and 4.10.
    """
    check_fraction("gamma", gamma)
    mdp = check_mdp(mdp)
    rewards, values = _expected_rewards(mdp), torch.zeros_like(mdp.start)
    for _ in range(100_000):
        before, values = values, (rewards + gamma * mdp.transitions @ values).amax(-1)
        if (values - before).abs().max() <= 1e-14 * values.abs().max():
            return values
    raise SlipError(
        f"The best values did not settle in 100,000 sweeps at gamma {gamma}: rewards can be "
        "collected without end, or no policy reaches an end. Use a smaller gamma."
    )


def check_mdp(mdp):
    """The table in float64, distributions divided by their sums; terminal states stay and pay 0.

    Raises SlipError where shapes disagree, probabilities are none, a reward is not finite or an
    episode would start in a terminal state.
    """
    transitions, rewards, start = (
        torch.as_tensor(x, dtype=torch.float64) for x in (mdp.transitions, mdp.rewards, mdp.start)
    )
    terminal = torch.as_tensor(mdp.terminal)
    if transitions.dim() != 3 or transitions.shape[0] != transitions.shape[2]:
        raise SlipError(
            "transitions must have the shape [S, A, S] (state, action, next state), "
            f"but has {tuple(transitions.shape)}."
        )
    check_shape("rewards", rewards, transitions.shape, "state, action, next state")
    check_shape("terminal", terminal, transitions.shape[:1], "one for each state")
    check_shape("start", start, transitions.shape[:1], "one for each state")
    if terminal.dtype != torch.bool:
        raise SlipError(f"terminal must hold True and False, but holds {terminal.dtype}.")
    if not rewards.isfinite().all():
        raise SlipError("rewards must be finite numbers, but some are infinite or NaN.")
    if start[terminal].any():
        raise SlipError("start must be 0 in terminal states: an episode cannot start at its end.")
    over, stay = terminal[:, None, None], torch.eye(len(start), dtype=start.dtype)[:, None]
    return MDP(
        _distribution("transitions", torch.where(over, stay, transitions)),
        torch.where(over, 0, rewards),
        terminal,
        _distribution("start", start),
    )


def _prepare(mdp, policy, gamma):
    check_fraction("gamma", gamma)
    mdp, policy = check_mdp(mdp), torch.as_tensor(policy, dtype=torch.float64)
    shape = (*policy.shape[:-2], *mdp.transitions.shape[:2])
    check_shape("policy", policy, shape, "state, action")
    return mdp, _distribution("policy", policy)


def _distribution(name, array):
    """Probabilities along the last axis, divided by their sum."""
    total = array.sum(-1, keepdim=True)
    if not ((array >= 0).all() and ((total - 1).abs() <= 1e-5).all()):
        raise SlipError(
            f"Each row of {name} must be probabilities, 0 or more with the sum 1, but the smallest "
            f"entry is {array.min():.4g} and "
            f"the sums reach from {total.min():.6g} to {total.max():.6g}."
        )
    return array / total


def _expected_rewards(mdp):
    """Of each action in each state: [S, A]. Never [..., S, A, S], which many policies would make large."""
    return (mdp.transitions * mdp.rewards).sum(-1)


def _system(mdp, policy, gamma):
    r"""The matrix $I - \gamma P_\pi$ of both linear systems; $P_\pi$ holds no step to an end."""
    goes_on = ~(mdp.terminal[:, None] | mdp.terminal)
    steps = torch.einsum("...sa,sat->...st", policy, mdp.transitions) * goes_on
    if gamma == 1:
        _check_ends(steps.detach())
    return torch.eye(steps.shape[-1], dtype=steps.dtype) - gamma * steps


def _check_ends(steps):
    """Raise SlipError where an episode is more likely than not still running after 2^36 steps.

    Beyond that, rounding decides what a solver makes of the nearly singular system.
    """
    for _ in range(36):
        if (steps.sum(-1) <= 0.5).all():  # and more steps leave no more
            return
        steps = steps @ steps
    surviving = steps.sum(-1) > 0.5
    if surviving.any():
        raise SlipError(
            f"With gamma 1 an episode must end, but from state {int(surviving.nonzero()[0, -1])} this "
            "policy never ends (or not in 70 billion steps). Use gamma below 1, or a policy that can "
            "reach a terminal state."
        )
