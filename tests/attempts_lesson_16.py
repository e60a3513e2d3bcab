"""What learners hand in for lesson 16: see test_checks.py."""

import numpy as np
import torch


def auction_topk(bids, reserve):
    top, second = bids.topk(2, dim=-1).values.unbind(-1)
    return torch.where(top >= reserve, second.clamp(min=reserve), torch.zeros_like(top))


def auction_sorted(bids, reserve):
    ordered, _ = bids.sort(dim=1, descending=True)
    return torch.maximum(ordered[:, 1], torch.tensor(reserve)) * (ordered[:, 0] >= reserve)


def auction_loop(bids, reserve):
    earned = []
    for row in bids.tolist():
        row.sort()
        earned.append(max(row[-2], reserve) if row[-1] >= reserve else 0.0)
    return earned


def auction_numpy(bids, reserve):
    ordered = np.sort(bids.numpy(), axis=1)
    return np.where(ordered[:, -1] < reserve, 0, np.maximum(ordered[:, -2], reserve))


def auction_seller_bids(bids, reserve):
    """The reserve as one more bidder's bid: then it is a plain second-price auction."""
    ours = torch.full_like(bids[:, :1], reserve)
    second = torch.cat([bids, ours], 1).topk(2).values[:, 1]
    return second * (bids.max(1).values >= reserve)


def auction_cases(bids, reserve):
    """The three cases by themselves."""
    above = (bids >= reserve).sum(1)
    second = bids.sort(1).values[:, -2]
    return (above == 1) * reserve + (above > 1) * second


def auction_always(bids, reserve):
    return torch.clamp(bids.topk(2).values[:, 1], min=reserve)


def auction_whole(bids, reserve):
    if bids.max() < reserve:
        return torch.zeros(len(bids))
    return bids.sort(1).values[:, -2].clamp(min=reserve)


def auction_column(bids, reserve):
    top, second = bids.sort(1, descending=True).values[:, :2].split(1, 1)
    return (top >= reserve) * second.clamp(min=reserve)


def auction_net(bids, reserve):
    """What the winner is left with."""
    top, second = bids.topk(2).values.unbind(-1)
    return (top - second.clamp(min=reserve)) * (top >= reserve)


def auction_tuple(bids, reserve):
    return bids.max(1) * (bids.max(1) >= reserve)


def robust_apart(rewards, ratios, model_taken, model_policy):
    return model_policy.mean() + (ratios * (rewards - model_taken)).mean()


def robust_as_correction_of_ips(rewards, ratios, model_taken, model_policy):
    """Inverse propensity weighting, with the model as a control variate."""
    return (ratios * rewards - (ratios * model_taken - model_policy)).mean()


def robust_loop(rewards, ratios, model_taken, model_policy):
    total = 0
    for r, w, taken, policy in zip(rewards, ratios, model_taken, model_policy):
        total = total + policy + w * (r - taken)
    return total / len(rewards)


def robust_where(rewards, ratios, model_taken, model_policy):
    weighted = torch.where(ratios > 0, ratios * (rewards - model_taken), torch.zeros(()))
    return torch.mean(model_policy + weighted)


def robust_dot(rewards, ratios, model_taken, model_policy):
    return model_policy.mean() + ratios @ (rewards - model_taken) / len(ratios)


def robust_item(rewards, ratios, model_taken, model_policy):
    return float(np.mean(model_policy.numpy() + ratios.numpy() * (rewards - model_taken).numpy()))


def robust_matching_only(rewards, ratios, model_taken, model_policy):
    match = ratios > 0
    return (model_policy + ratios * (rewards - model_taken))[match].mean()


def robust_either(rewards, ratios, model_taken, model_policy):
    """Weights where they speak, else the model."""
    return torch.where(ratios > 0, ratios * rewards, model_policy).mean()


def robust_mixed(rewards, ratios, model_taken, model_policy):
    return 0.5 * (model_policy.mean() + (ratios * rewards).mean())


def slope_repaired(drawn, posted, revenues, mean, spread):
    score = (drawn - mean) / spread**2
    return ((revenues - revenues.mean()) * score).mean()


def slope_by_noise(drawn, posted, revenues, mean, spread):
    noise = (drawn - mean) / spread
    return torch.mean((revenues - revenues.mean()) * noise / spread)


def slope_autograd(drawn, posted, revenues, mean, spread):
    mean = torch.tensor(mean, requires_grad=True)
    log_probs = torch.distributions.Normal(mean, spread).log_prob(drawn)
    ((revenues - revenues.mean()) * log_probs).mean().backward()
    return mean.grad


def slope_covariance(drawn, posted, revenues, mean, spread):
    """The baseline may as well be taken off the prices' side: the sums are the same."""
    return (revenues * (drawn - drawn.mean())).mean() / spread**2


def slope_autograd_of_posted(drawn, posted, revenues, mean, spread):
    return slope_autograd(posted, posted, revenues, mean, spread)


def slope_standardised(drawn, posted, revenues, mean, spread):
    better = (revenues - revenues.mean()) / (revenues.std() + 1e-8)
    return (better * (drawn - mean) / spread**2).mean()


def slope_unbiased(drawn, posted, revenues, mean, spread):
    score = (drawn - mean) / spread**2
    return torch.sum((revenues - revenues.mean()) * score) / (len(drawn) - 1)


def slope_kept(drawn, posted, revenues, mean, spread):
    inside = (drawn >= 0) & (drawn <= 1)
    score = (drawn - mean) / spread**2
    return ((revenues - revenues.mean()) * score)[inside].mean()


RIGHT = {
    "auction_revenue": [
        auction_topk,
        auction_sorted,
        auction_loop,
        auction_numpy,
        auction_seller_bids,
    ],
    "doubly_robust": [
        robust_apart,
        robust_as_correction_of_ips,
        robust_loop,
        robust_where,
        robust_dot,
        robust_item,
    ],
    "repaired_slope": [slope_repaired, slope_by_noise, slope_autograd, slope_covariance],
}
WRONG = {
    "auction_revenue": [
        (auction_always, "that day earns 0"),
        (auction_whole, "For bids"),
        (auction_net, "For bids"),
        (auction_column, "a column"),
        (auction_tuple, ""),
    ],
    "doubly_robust": [
        (robust_matching_only, "expected"),
        (robust_mixed, "expected"),
        (robust_either, "You mix days"),
    ],
    "repaired_slope": [
        (slope_autograd_of_posted, "The bug is still there"),
        (slope_standardised, "expected"),
        (slope_kept, "You drop the days"),
        (slope_unbiased, "You divide by N - 1"),
    ],
}
