"""What learners hand in for lesson 15: see test_checks.py."""

import numpy as np
import torch
import torch.nn.functional as F
from scipy.signal import lfilter


def errors_loop(values, rewards, gamma):
    errors, expected = [], 0.0
    for value, reward in zip(values.tolist(), rewards.tolist()):
        errors.append(reward + gamma * value - expected)
        expected = value
    return errors


def errors_padded(values, rewards, gamma):
    return rewards + gamma * values - F.pad(values, (1, 0))[:-1]


def errors_in_numpy(values, rewards, gamma):
    values, rewards = values.numpy().astype(float), rewards.numpy().astype(float)
    before = np.concatenate([[0.0], values[:-1]])
    return rewards + gamma * values - before


def errors_by_index(values, rewards, gamma):
    return torch.stack([rewards[t] + gamma * values[t] - values[t - 1] for t in range(len(values))])


def errors_ahead(values, rewards, gamma):
    return rewards + gamma * F.pad(values, (0, 1))[1:] - values


def errors_in_place(values, rewards, gamma):
    rewards += gamma * values
    rewards[1:] -= values[:-1]
    return rewards


def errors_one_short(values, rewards, gamma):
    return rewards[1:] + gamma * values[1:] - values[:-1]


def change_by_autograd(preferences, action, error, lr):
    leaf = preferences.clone().requires_grad_()
    return lr * error * torch.autograd.grad(leaf.log_softmax(-1)[action], leaf)[0]


def change_in_place_of_a_copy(preferences, action, error, lr):
    change = -preferences.softmax(-1)
    change[action] += 1
    return lr * error * change


def change_with(third=lambda error: error, of=lambda chosen, pi: chosen - pi):
    def attempt(preferences, action, error, lr):
        chosen = F.one_hot(torch.tensor(action), len(preferences)).float()
        return lr * third(error) * of(chosen, preferences.softmax(-1))

    return attempt


def change_without_bracket(preferences, action, error, lr):
    chosen = F.one_hot(torch.tensor(action), len(preferences))
    return lr * (error * chosen - preferences.softmax(-1))


def change_of_all(preferences, action, error, lr):
    """By softmax written out."""
    pi = preferences.exp() / preferences.exp().sum()
    return lr * error * (F.one_hot(torch.tensor(action), len(preferences)) - pi)


def credit_loop(before, errors, discounts, lam):
    trace = credit = torch.zeros_like(before[0])
    decay = 0.0
    for x, error, discount in zip(before, errors, discounts):
        trace = decay * trace + x
        credit = credit + error * trace
        decay = discount * lam
    return credit


def credit_from_the_end(before, errors, discounts, lam):
    """The same sum by moments: each is credited with the errors to come, as GAE adds them."""
    later, total = 0.0, torch.zeros_like(before[0])
    for x, error, discount in zip(before.flip(0), errors.flip(0), discounts.flip(0)):
        later = error + discount * lam * later
        total = total + later * x
    return total


def credit_as_it_stood(before, errors, discounts, lam):
    trace = credit = torch.zeros_like(before[0])
    for x, error, discount in zip(before, errors, discounts):
        trace = discount * lam * trace + x
        credit = credit + error * trace
    return credit


def credit_filtered(before, errors, discounts, lam):
    """One discount for the whole stream."""
    decay = float(discounts.max()) * lam
    traces = lfilter([1.0], [1.0, -decay], before.numpy(), axis=0)
    return errors.numpy() @ traces


def credit_wiped_too_early(before, errors, discounts, lam):
    trace = credit = torch.zeros_like(before[0])
    decay = 0.0
    for x, error, discount in zip(before, errors, discounts):
        trace = decay * trace + x
        if discount == 0:
            trace = 0 * trace
        credit = credit + error * trace
        decay = discount * lam
    return credit


def credit_swapped(before, errors, discounts, lam):
    trace = credit = torch.zeros_like(before[0])
    for x, error, discount in zip(before, errors, discounts):
        credit = credit + error * trace
        trace = discount * lam * trace + x
    return credit


def credit_of_one_gamma(before, errors, discounts, lam):
    """Wiped out behind each end."""
    trace = credit = torch.zeros_like(before[0])
    for x, error, discount in zip(before, errors, discounts):
        trace = discounts.max() * lam * trace + x
        credit = credit + error * trace
        if discount == 0:
            trace = 0 * trace
    return credit


RIGHT = {
    "prediction_errors": [errors_loop, errors_padded, errors_in_numpy],
    "three_factors": [change_by_autograd, change_in_place_of_a_copy, change_with()],
    "repaired_credit": [credit_loop, credit_from_the_end],
}

# (attempt, words that the message must contain)
WRONG = {
    "prediction_errors": [
        (errors_by_index, "-1 is the end"),
        (errors_ahead, "lesson 03's date"),
        (errors_in_place, "changes its input rewards in place"),
        (errors_one_short, "first step is missing"),
        (lambda v, r, gamma: errors_padded(v, r, 1.0), "gamma is never used"),
        (lambda v, r, gamma: r - v, "looks back to"),
        (lambda v, r, gamma: r + gamma * v - v, "value of now"),
        (lambda v, r, gamma: F.pad(errors_one_short(v, r, gamma), (1, 0)), "no exception"),
        (lambda v, r, gamma: r + gamma * v - F.pad(v, (0, 1))[1:], "0 belongs before"),
        (lambda v, r, gamma: errors_padded(v, r, gamma).abs(), "can be negative"),
        (lambda v, r, gamma: errors_padded(v, r, gamma).relu(), "can be negative"),
        (lambda v, r, gamma: errors_padded(v, r, gamma).sum(), "expected"),
    ],
    "three_factors": [
        (change_with(third=lambda error: 1.0), "third is missing"),
        (change_with(third=lambda error: max(error, 0)), "a dip teaches too"),
        (lambda p, a, e, lr: change_with()(p, a, 1.0, lr) * e**2, "a dip teaches too"),
        (change_without_bracket, "bracket"),
        (change_with(of=lambda chosen, pi: 1 - pi), "Which action was taken"),
        (change_with(of=lambda chosen, pi: chosen), "grow by itself"),
        (change_with(of=lambda chosen, pi: pi - chosen), "gets likelier"),
        (change_with(of=lambda chosen, pi: chosen * (1 - pi)), "Only the chosen action"),
        (change_of_all, "overflows"),
        (lambda p, *rest: p + change_by_autograd(p, *rest), "the new preferences"),
    ],
    "repaired_credit": [
        (credit_as_it_stood, "The bug is still there"),
        (credit_filtered, "runs on behind an end"),
        (credit_swapped, "comes too early"),
        (credit_of_one_gamma, "may differ from step to step"),
        (credit_wiped_too_early, "wipe the trace out after it"),
        (lambda before, errors, *rest: errors @ before, "Without a trace"),
        (lambda b, e, d, lam: credit_loop(b, e, d, 1.0), "lam is never used"),
        (lambda b, e, d, lam: credit_loop(b, e, torch.ones_like(d), lam), "by the discount"),
    ],
}
