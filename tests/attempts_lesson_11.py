"""What learners hand in for lesson 11: see test_checks.py."""

import numpy as np
import torch
import torch.nn.functional as F

from helpers.losses import bradley_terry_loss, dpo_loss

# --- 11.1 ----------------------------------------------------------------------------------------


def comparison_loop(chosen, rejected):
    total = 0
    for better, worse in zip(chosen, rejected):
        total = total + F.softplus(worse - better)
    return total / len(chosen)


def comparison_as_two_classes(chosen, rejected):
    scores = torch.stack([chosen, rejected], dim=1)
    return F.cross_entropy(scores, torch.zeros(len(chosen), dtype=torch.long))


def comparison_with_labels(chosen, rejected):
    return F.binary_cross_entropy_with_logits(chosen - rejected, torch.ones_like(chosen))


def comparison_kept_small(chosen, rejected):
    """As the stable form is found in textbooks."""
    x = rejected - chosen
    return (torch.clamp(x, min=0) + torch.log1p(torch.exp(-x.abs()))).mean()


def comparison_of_shares(chosen, rejected):
    share = torch.exp(chosen) / (torch.exp(chosen) + torch.exp(rejected))
    return -torch.log(share).mean()


def comparison_of_cut_probability(chosen, rejected):
    p = torch.sigmoid(chosen - rejected).clamp(1e-6, 1 - 1e-6)
    return -torch.log(p).mean()


def comparison_against_copies(chosen, rejected):
    return comparison_loop(chosen, torch.tensor(rejected.tolist()))


# --- 11.2 ----------------------------------------------------------------------------------------


def direct_of_rewards(chosen, rejected, ref_chosen, ref_rejected, beta):
    """The loss of comparisons, for the rewards that the policy implies."""
    return comparison_loop(beta * (chosen - ref_chosen), beta * (rejected - ref_rejected))


def direct_of_two_ratios(chosen, rejected, ref_chosen, ref_rejected, beta):
    """The policy's log-ratio minus the reference's, as much code has it."""
    with torch.no_grad():
        reference = ref_chosen - ref_rejected
    return -F.logsigmoid(beta * ((chosen - rejected) - reference)).mean()


def direct_without_brackets(chosen, rejected, ref_chosen, ref_rejected, beta):
    return -F.logsigmoid(beta * chosen - ref_chosen - (rejected - ref_rejected)).mean()


def direct_one_bracket_short(chosen, rejected, ref_chosen, ref_rejected, beta):
    return -F.logsigmoid(beta * (chosen - ref_chosen - rejected - ref_rejected)).mean()


def direct_with_references_crossed(chosen, rejected, ref_chosen, ref_rejected, beta):
    return -F.logsigmoid(beta * ((chosen - ref_rejected) - (rejected - ref_chosen))).mean()


def direct_by_one_reference(chosen, rejected, ref_chosen, ref_rejected, beta):
    """It cancels."""
    return -F.logsigmoid(beta * ((chosen - ref_chosen) - (rejected - ref_chosen))).mean()


def direct_of_quotients(chosen, rejected, ref_chosen, ref_rejected, beta):
    better = torch.log(torch.exp(chosen) / torch.exp(ref_chosen))
    worse = torch.log(torch.exp(rejected) / torch.exp(ref_rejected))
    return -F.logsigmoid(beta * (better - worse)).mean()


def direct_outside(chosen, rejected, ref_chosen, ref_rejected, beta):
    return -beta * F.logsigmoid((chosen - ref_chosen) - (rejected - ref_rejected)).mean()


def direct_in_numpy(*numbers):
    chosen, rejected, ref_chosen, ref_rejected, beta = (np.asarray(x) for x in numbers)
    margin = beta * (chosen - ref_chosen - rejected + ref_rejected)
    return np.logaddexp(0, -margin).mean()


# --- 11.3 ----------------------------------------------------------------------------------------


def group_loops(rewards):
    advantages = torch.empty_like(rewards)
    for i, row in enumerate(rewards):
        for j in range(len(row)):
            others = torch.cat([row[:j], row[j + 1 :]])
            advantages[i, j] = row[j] - others.mean()
    return advantages


def group_lists(rewards):
    table = []
    for row in rewards.tolist():
        line = []
        for reward in row:
            others = list(row)
            others.remove(reward)  # one of those that have this reward: which one is all the same
            line.append(reward - sum(others) / len(others))
        table.append(line)
    return table


def group_scaled(rewards):
    """The distance from the mean of all, made longer."""
    G = rewards.shape[1]
    return (rewards - rewards.mean(1, keepdim=True)) * G / (G - 1)


def group_matrix(rewards):
    G = rewards.shape[1]
    return rewards @ (torch.eye(G) * G - 1) / (G - 1)


def group_numpy(rewards):
    r = rewards.numpy()
    return np.stack([r[:, j] - np.delete(r, j, axis=1).mean(1) for j in range(r.shape[1])], axis=1)


def group_of_different(rewards):
    advantages = []
    for row in rewards.tolist():
        others = [[y for y in row if y != x] for x in row]
        advantages.append([x - sum(ys) / len(ys) for x, ys in zip(row, others)])
    return advantages


def group_bracket(rewards):
    """A standard deviation of what has been divided by it already: always 1."""
    centred = rewards - rewards.mean(1, keepdim=True)
    spread = centred.std(1, keepdim=True) + 1e-8
    return centred / (centred / spread).std(1, keepdim=True).clamp(min=1)


def group_of_four(rewards):
    return rewards - (rewards.sum(1, keepdim=True) - rewards) / 3


def group_in_place(rewards):
    rewards -= (rewards.sum(1, keepdim=True) - rewards) / (rewards.shape[1] - 1)
    return rewards


def grpo(rewards, unbiased=True, eps=1e-4):
    spread = rewards.std(1, keepdim=True, unbiased=unbiased)
    return (rewards - rewards.mean(1, keepdim=True)) / (spread + eps)


# --- 11.4 ----------------------------------------------------------------------------------------


def price_in_lists(scores, log_probs, ref_log_probs, beta):
    return [
        float(score) - beta * float(new - old)
        for score, new, old in zip(scores, log_probs, ref_log_probs)
    ]


def price_in_numpy(scores, log_probs, ref_log_probs, beta):
    return scores.numpy() - beta * (log_probs.numpy() - ref_log_probs.numpy())


def price_turned(scores, log_probs, ref_log_probs, beta):
    return scores + beta * (ref_log_probs - log_probs)


def price_of_ratio(scores, log_probs, ref_log_probs, beta):
    return scores - beta * torch.log(torch.exp(log_probs - ref_log_probs))


def price_in_place(scores, log_probs, ref_log_probs, beta):
    scores -= beta * (log_probs - ref_log_probs)
    return scores


def price_by(kl):
    def attempt(scores, log_probs, ref_log_probs, beta):
        return scores - beta * kl(log_probs, ref_log_probs)

    return attempt


RIGHT = {
    "comparison_loss": [
        bradley_terry_loss,
        comparison_loop,
        comparison_as_two_classes,
        comparison_with_labels,
        comparison_kept_small,
        lambda chosen, rejected: (torch.logaddexp(chosen, rejected) - chosen).mean(),
        lambda chosen, rejected: -torch.log_softmax(torch.stack([chosen, rejected]), 0)[0].mean(),
    ],
    "direct_preference_loss": [
        lambda c, r, rc, rr, beta: dpo_loss(c, r, rc, rr, beta=beta),
        direct_of_rewards,
        direct_of_two_ratios,
    ],
    "group_advantages": [
        group_loops,
        group_lists,
        group_scaled,
        group_matrix,
        group_numpy,
    ],
    "repaired_price": [
        price_in_lists,
        price_turned,
        price_of_ratio,
        price_in_numpy,
        price_by(lambda new, old: (new - old).requires_grad_()),
    ],
}

# (attempt, words that the message must contain)
WRONG = {
    "comparison_loss": [
        (comparison_of_shares, "F.logsigmoid() is safe"),
        (lambda c, r: torch.log(1 + torch.exp(r - c)).mean(), "F.logsigmoid() is safe"),
        (lambda c, r: F.soft_margin_loss(c - r, torch.ones_like(c)), "F.logsigmoid() is safe"),
        (comparison_of_cut_probability, "made up"),
        (lambda c, r: F.binary_cross_entropy(torch.sigmoid(c - r), 0 * c + 1), "made up"),
        (lambda c, r: F.softplus(c - r).mean(), "swapped"),
        (lambda c, r: 1 - torch.sigmoid(c - r).mean(), "logarithm is missing"),
        (lambda c, r: F.margin_ranking_loss(c, r, torch.ones_like(c), margin=1), "a hinge"),
        (lambda c, r: -F.logsigmoid(c[:, None] - r[None]).mean(), "with all others"),
        (lambda c, r: -torch.log(torch.sigmoid(c / r)).mean(), "divide"),
        (comparison_against_copies, "hold the rejected ones fixed"),
        (lambda c, r: comparison_loop(c, r).item(), "plain number"),
        (lambda c, r: comparison_loop(c, r).detach(), "no gradient flows"),
        (lambda c, r: torch.relu(r - c).sum(), "expected"),
    ],
    "direct_preference_loss": [
        (direct_without_brackets, "mind the brackets"),
        (direct_one_bracket_short, "mind the brackets of (rejected"),
        (direct_with_references_crossed, "turned round"),
        (direct_by_one_reference, "reference drops out"),
        (direct_of_quotients, "F.logsigmoid() is safe"),
        (direct_outside, "inside the sigmoid: outside"),
        (direct_in_numpy, "detach"),
        (lambda c, r, rc, rr, beta: direct_of_rewards(r, c, rr, rc, beta), "swapped"),
        (lambda c, r, rc, rr, beta: -F.logsigmoid(beta * (c - rc)).mean(), "never used"),
        (lambda c, r, *others: direct_of_rewards(c, r.detach(), *others), "rejected ones fixed"),
        (lambda c, r, rc, rr, beta: comparison_loop(c - rc, r - rr), "beta is never used"),
        (lambda c, r, *others: c.sum() + r.sum(), "expected"),
    ],
    "group_advantages": [
        (grpo, "it weighs the questions"),
        (lambda r: grpo(r, unbiased=False, eps=0), "it weighs the questions"),
        (lambda r: grpo(r).nan_to_num(0), "it weighs the questions"),
        (lambda r: group_scaled(r) / (r.std(1, keepdim=True) + 1e-6), "it weighs the questions"),
        (group_bracket, "The answer itself is in its baseline"),
        (group_of_different, "leave out the answer itself alone"),
        (group_of_four, "expected"),
        (group_in_place, "changes its input rewards in place"),
        (lambda r: r - r.mean(1), "Shapes are compared from the last axis on"),
        (lambda r: r - r.mean(), "over the whole batch"),
        (lambda r: group_scaled(r.T).T, "over the questions"),
        (lambda r: r.mean(1, keepdim=True) - r, "better than the others is positive"),
    ],
    "repaired_price": [
        (lambda s, new, old, beta: s + beta * (new - old), "The bug is still there"),
        (price_by(lambda new, old: (new.exp() / old.exp()).log()), "0/0 is no number"),
        (price_by(lambda new, old: (old - new).expm1() - (old - new)), "That is k3"),
        (price_by(lambda new, old: 0.5 * (new - old).square()), "as in k2"),
        (price_by(lambda new, old: F.kl_div(old, new, log_target=True, reduction="none")), "weigh"),
        (price_by(lambda new, old: (new - old).clamp(min=0)), "may be negative"),
        (lambda s, new, old, beta: s - beta * new - old, "into brackets"),
        (lambda s, new, old, beta: torch.zeros(len(s)), "expected"),
        (price_in_place, "changes its input scores in place"),
    ],
}
