"""What learners hand in for lesson 09: see test_checks.py."""

import numpy as np
import torch

from helpers.losses import clipped_loss


def ratios_in_numpy(log_probs, old_log_probs):
    return np.exp(log_probs.numpy() - old_log_probs.numpy())


def ratios_as_powers(log_probs, old_log_probs):
    return torch.e ** (log_probs - old_log_probs)


def ratios_of_the_first_row(log_probs, old_log_probs):
    return (log_probs - old_log_probs)[:1].exp()


def loss_by_package(log_probs, old_log_probs, advantages, clip):
    everything = torch.ones_like(log_probs, dtype=torch.bool)
    return clipped_loss(
        log_probs.flatten(),
        old_log_probs.flatten(),
        advantages.flatten(),
        everything.flatten(),
        clip=clip,
    )


def loss_by_cases(log_probs, old_log_probs, advantages, clip):
    """The same, with the sign inside and a larger one for the minimum."""
    ratio = torch.exp(log_probs - old_log_probs.data)
    costs = -advantages.data * ratio, -advantages.data * ratio.clip(1 - clip, 1 + clip)
    return torch.max(*costs).mean()


def loss_by_where(log_probs, old_log_probs, advantages, clip):
    ratio, advantages = (log_probs - old_log_probs.detach()).exp(), advantages.detach()
    limit = torch.where(advantages > 0, 1 + clip, 1 - clip) * advantages
    return -torch.where(ratio * advantages < limit, ratio * advantages, limit).mean()


def loss_by_branches(log_probs, old_log_probs, advantages, clip):
    """A step that is clipped counts a number without a gradient."""
    total = 0
    for new, old, A in zip(*(x.flatten() for x in (log_probs, old_log_probs, advantages))):
        ratio, A = (new - old.item()).exp(), A.item()
        far = ratio > 1 + clip if A > 0 else ratio < 1 - clip
        total += (1 + clip if A > 0 else 1 - clip) * A if far else ratio * A
    return -total / log_probs.numel()


def loss_of_the_good(log_probs, old_log_probs, advantages, clip):
    return loss_by_package(log_probs, old_log_probs, advantages.clamp(min=0), clip)


def loss_with_half_the_clip(log_probs, old_log_probs, advantages, clip):
    return loss_by_package(log_probs, old_log_probs, advantages, clip / 2)


def loss_of_fixed_ratios(log_probs, old_log_probs, advantages, clip):
    return loss_by_package(log_probs.detach(), old_log_probs, advantages, clip)


def loss_clipped_in_place(log_probs, old_log_probs, advantages, clip):
    ratio, A = (log_probs - old_log_probs.detach()).exp(), advantages.detach()
    promise = ratio * A
    ratio.clamp_(1 - clip, 1 + clip)
    return -torch.min(promise, ratio * A).mean()


def loss_as_a_number(log_probs, old_log_probs, advantages, clip):
    return loss_by_package(log_probs, old_log_probs, advantages, clip).item()


def loss_with_flowing_advantages(log_probs, old_log_probs, advantages, clip):
    ratio = (log_probs - old_log_probs.detach()).exp()
    return -torch.min(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages).mean()


def epochs_with_backward(logits, actions, advantages, clip, lr, epochs):
    """The way most code has it: a parameter, an optimiser, a loss."""
    parameter = torch.nn.Parameter(logits.clone())
    optimiser = torch.optim.SGD([parameter], lr=lr)
    old = None
    for _ in range(epochs):
        log_probs = parameter.log_softmax(-1)[actions]
        old = log_probs.detach().clone() if old is None else old
        loss = loss_by_package(log_probs, old, advantages, clip)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return parameter.detach()


def epochs_by_hand(logits, actions, advantages, clip, lr, epochs):
    """In NumPy, with the slope of a softmax written out."""
    theta, A, taken = logits.double().numpy(), advantages.numpy(), actions.numpy()

    def probabilities():
        weights = np.exp(theta - theta.max())
        return weights / weights.sum()

    old = probabilities()[taken]
    for _ in range(epochs):
        p = probabilities()
        ratio = p[taken] / old
        pulls = np.where(A > 0, ratio <= 1 + clip, ratio >= 1 - clip) * ratio * A
        score = np.eye(len(theta))[taken] - p
        theta = theta + lr * (pulls[:, None] * score).mean(0)
    return theta


def epochs_in_place(logits, actions, advantages, clip, lr, epochs):
    old = logits.log_softmax(-1)[actions]
    for _ in range(epochs):
        theta = logits.clone().requires_grad_()
        loss_by_package(theta.log_softmax(-1)[actions], old, advantages, clip).backward()
        logits -= lr * theta.grad
    return logits


def epochs_with_a_gradient(logits, actions, advantages, clip, lr, epochs):
    """Takes the probabilities for the log-probabilities."""
    old = logits.softmax(-1)[actions]
    for _ in range(epochs):
        theta = logits.clone().requires_grad_()
        loss = loss_by_package(theta.softmax(-1)[actions], old, advantages, clip)
        (slope,) = torch.autograd.grad(loss, theta)
        logits = logits - lr * slope
    return logits


def epochs_with_the_last_as_old(logits, actions, advantages, clip, lr, epochs):
    old = logits.log_softmax(-1)[actions]
    for _ in range(epochs):
        theta = logits.clone().requires_grad_()
        log_probs = theta.log_softmax(-1)[actions]
        loss_by_package(log_probs, old, advantages, clip).backward()
        logits, old = logits - lr * theta.grad, log_probs.detach()
    return logits


RIGHT = {
    "ratios_of": [ratios_in_numpy, ratios_as_powers],
    "clipped_policy_loss": [loss_by_package, loss_by_cases, loss_by_where, loss_by_branches],
    "repaired_epochs": [epochs_with_backward, epochs_by_hand],
}

# (attempt, words that the message must contain)
WRONG = {
    "ratios_of": [
        (ratios_of_the_first_row, "shape"),
        (lambda new, old: 10 ** (new - old), "expected"),
        (lambda new, old: (new - old).clamp(max=20).exp(), "clip it already"),
        (lambda new, old: new.exp() / (old.exp() + 1e-8), "made up"),
        (lambda new, old: new.double().exp() / old.double().exp(), "no number"),
    ],
    "clipped_policy_loss": [
        (loss_of_the_good, "expected"),
        (loss_with_half_the_clip, "expected"),
        (loss_of_fixed_ratios, "no gradient flows"),
        (loss_as_a_number, "stay within torch"),
        (loss_with_flowing_advantages, "the advantages are data"),
        (loss_clipped_in_place, "PyTorch cannot take its gradient"),
    ],
    "repaired_epochs": [
        (epochs_in_place, "changes its input logits in place"),
        (epochs_with_a_gradient, "take log_softmax() of the logits"),
        (epochs_with_the_last_as_old, "the epoch before"),
    ],
}
