"""Losses as pure functions. Arrays are [T, B] for one agent, [T, K, B] for K agents, or just [T].

Each mean is taken within an agent, over its time steps and environments: a result is a scalar for
one agent and [K] for many. `valid` marks the rows that are experience; the others are left out.
The losses of comparisons and of expectiles have no time: theirs is the mean over the last axis.
Arrays that belong together have one shape: where they don't, PyTorch would pair each row with each
other one, and SlipError is raised instead.
"""

import torch
import torch.nn.functional as F

from helpers.errors import SlipError, check_clip, check_fraction, check_positive, check_shape


def masked_mean(x, valid):
    """Mean over the valid rows of time and environments: [T, B] -> [], [T, K, B] -> [K]."""
    check_shape("valid", valid, x.shape, "that of the array whose mean is taken")
    axes = (0, -1) if x.dim() > 1 else (0,)
    return torch.where(valid, x, 0).sum(axes) / valid.sum(axes).clamp(min=1)


def normalise(advantages, valid):
    """Advantages with mean 0 and standard deviation 1 over each agent's valid rows."""
    axes = (0, -1) if advantages.dim() > 1 else (0,)
    mean = _spread(masked_mean(advantages, valid), axes)
    variance = _spread(masked_mean((advantages - mean) ** 2, valid), axes)
    return (advantages - mean) / (variance.sqrt() + 1e-8)


def log_prob(logits, actions):
    """log pi(a|s) of the actions taken: logits [..., A], actions [...] whole numbers -> [...]."""
    check_shape("actions", actions, logits.shape[:-1], "that of the logits without their last axis")
    return F.log_softmax(logits, -1).gather(-1, actions.unsqueeze(-1)).squeeze(-1)


def entropy(logits):
    r"""Entropy of the policy in nats, $H = -\sum_a \pi(a|s) \log \pi(a|s)$: [..., A] -> [...].

    A logit of -inf forbids an action: it adds nothing, and its gradient is 0.
    """
    log_probs = F.log_softmax(logits, -1)
    finite = log_probs.clamp(min=torch.finfo(log_probs.dtype).min)  # 0 * -inf is no number
    return -(log_probs.exp() * finite).sum(-1)


def policy_gradient_loss(log_probs, advantages, valid):
    r"""$-\text{mean}_t\; A_t \log \pi(a_t|s_t)$: its gradient is the policy gradient's estimate, negated.

    The advantages (or returns) are data: no gradient flows through them.
    Sutton & Barto 2018, eq. 13.11. Derived in notebooks/01_policy_gradient_theorem.ipynb.
    """
    check_shape("advantages", advantages, log_probs.shape, "that of the log-probabilities")
    check_shape("valid", valid, log_probs.shape, "that of the log-probabilities")
    advantages = torch.where(valid, advantages.detach(), 0)  # 0 * NaN would reach the gradient
    return -masked_mean(advantages * log_probs, valid)


def clipped_loss(log_probs, old_log_probs, advantages, valid, *, clip):
    r"""$-\text{mean}_t \min(\rho_t A_t,\ \text{clip}(\rho_t, 1-\epsilon, 1+\epsilon) A_t)$.

    $\rho = \pi(a|s) / \pi_\text{old}(a|s)$, from the logarithms of both. No gradient flows through
    the old log-probabilities and the advantages: they are data.
    clip: epsilon, above 0 and at most 1; a number, or a tensor [K, 1] of one for each agent.
    Schulman et al. 2017, eq. 7. Derived in notebooks/09_ppo.ipynb.
    """
    check_shape("advantages", advantages, log_probs.shape, "that of the log-probabilities")
    ratios = _ratios(log_probs, old_log_probs, valid)
    advantages = torch.where(valid, advantages.detach(), 0)
    least = torch.minimum(ratios * advantages, _clipped(ratios, clip) * advantages)
    return -masked_mean(least, valid)


@torch.no_grad()
def clipped_share(log_probs, old_log_probs, valid, *, clip):
    """The share of steps whose ratio lies outside [1 - clip, 1 + clip]: arguments as clipped_loss's."""
    ratios = _ratios(log_probs, old_log_probs, valid)
    return masked_mean((ratios != _clipped(ratios, clip)).to(ratios.dtype), valid)


def value_loss(values, returns, valid):
    r"""$\frac12\,\text{mean}_t\,(V(s_t) - G_t)^2$, half the mean squared error.

    The returns are data: no gradient flows through them. Its gradient is the semi-gradient update,
    negated: Sutton & Barto 2018, eq. 9.7, where U_t stands for our returns.
    Derived in notebooks/03_actor_critic.ipynb.
    """
    check_shape("returns", returns, values.shape, "that of the values")
    check_shape("valid", valid, values.shape, "that of the values")
    errors = torch.where(valid, values - returns.detach(), 0)
    return 0.5 * masked_mean(errors**2, valid)


def bradley_terry_loss(chosen, rejected):
    r"""$-\text{mean}_n \log \sigma(r_n^\text{chosen} - r_n^\text{rejected})$, minus the log-likelihood.

    chosen, rejected: rewards [..., N] of the replies that were preferred and of those that were not.
    Returns [...]: the mean over the N comparisons.
    Bradley & Terry 1952; Ouyang et al. 2022, eq. 1. Derived in notebooks/11_rlhf_dpo_grpo.ipynb.
    """
    check_shape("rejected", rejected, chosen.shape, "that of the chosen")
    return F.softplus(rejected - chosen).mean(-1)  # -log sigmoid(x) is softplus(-x)


def dpo_loss(chosen, rejected, ref_chosen, ref_rejected, *, beta):
    r"""The Bradley-Terry loss of the rewards that a policy implies, $r = \beta \log(\pi/\pi_\text{ref})$.

    chosen, rejected: log-probabilities [..., N] of whole replies under the policy that learns;
    ref_chosen, ref_rejected: under the reference, which is data: no gradient flows through them.
    beta: the price of a nat of divergence, in rewards; above 0. Returns [...].
    Rafailov et al. 2023, eq. 7. Derived in notebooks/11_rlhf_dpo_grpo.ipynb.
    """
    check_positive("beta", beta)
    for name, one in (("ref_chosen", ref_chosen), ("ref_rejected", ref_rejected)):
        check_shape(name, one, chosen.shape, "that of the chosen")
    rewards = beta * (chosen - ref_chosen.detach()), beta * (rejected - ref_rejected.detach())
    return bradley_terry_loss(*rewards)


def expectile_loss(errors, *, tau):
    r"""$\text{mean}_n\, |\tau - 1(e_n < 0)|\, e_n^2$: at its minimum a value is the $\tau$-expectile.

    errors: targets minus values [..., N]. tau: above 0 and below 1; 0.5 gives half the mean squared
    error, and its minimum the mean; towards 1 it is the largest target. Returns [...].
    Newey & Powell 1987; Kostrikov et al. 2022, eq. 5. Derived in notebooks/12_offline_rl.ipynb.
    """
    check_fraction("tau", tau)
    if tau in (0, 1):
        raise SlipError(f"tau must lie between 0 and 1: at {tau} errors of one sign count nothing.")
    return torch.where(errors < 0, (1 - tau) * errors**2, tau * errors**2).mean(-1)


def _ratios(log_probs, old_log_probs, valid):
    """pi(a|s) / pi_old(a|s), and 1 in rows that are no experience."""
    check_shape("old_log_probs", old_log_probs, log_probs.shape, "that of the log-probabilities")
    check_shape("valid", valid, log_probs.shape, "that of the log-probabilities")
    return torch.where(valid, log_probs - old_log_probs.detach(), 0).exp()


def _clipped(ratios, clip):
    for number in clip.flatten().tolist() if isinstance(clip, torch.Tensor) else [clip]:
        check_clip("clip", number)
    clip = torch.as_tensor(clip, dtype=ratios.dtype)
    return ratios.clamp(1 - clip, 1 + clip)


def _spread(x, axes):
    """Put the reduced axes back, so that x broadcasts over what it was reduced from."""
    for axis in axes:
        x = x.unsqueeze(axis)
    return x
