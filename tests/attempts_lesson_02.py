"""What learners hand in for lesson 02: see test_checks.py."""

import numpy as np
import torch
import torch.nn.functional as F

from helpers import returns as package


def returns_loops(rewards, gamma):
    steps = range(len(rewards))
    return [sum(gamma ** (k - t) * rewards[k] for k in steps if k >= t) for t in steps]


def returns_matrix(rewards, gamma):
    steps = np.arange(len(rewards))
    later = np.where(steps >= steps[:, None], gamma ** np.abs(steps - steps[:, None]), 0)
    return later @ rewards.numpy()


def returns_list(rewards, gamma):
    following, found = 0.0, []
    for reward in reversed(rewards.tolist()):
        following = reward + gamma * following
        found.insert(0, following)
    return found


def returns_backwards(rewards, gamma):
    following, found = 0.0, []
    for reward in reversed(rewards.tolist()):
        following = reward + gamma * following
        found.append(following)
    return found


def returns_in_place(rewards, gamma):
    for t in reversed(range(len(rewards) - 1)):
        rewards[t] += gamma * rewards[t + 1]
    return rewards


def returns_one_ahead(rewards, gamma):
    following = torch.cat([rewards[1:], torch.zeros(1)])
    return rewards + gamma * following


def returns_divided(rewards, gamma):
    discounts = gamma ** torch.arange(len(rewards))
    return (discounts * rewards).flip(0).cumsum(0).flip(0) / discounts


def returns_undivided(rewards, gamma):
    discounts = gamma ** torch.arange(len(rewards))
    return (discounts * rewards).flip(0).cumsum(0).flip(0)


def returns_weighted(rewards, gamma):
    """gamma^t G_t, for a batch."""
    weights = gamma ** torch.arange(len(rewards))
    return weights[:, None] * package.discounted_returns(rewards, gamma)


def returns_past(rewards, gamma):
    total, found = 0, []
    for reward in rewards:
        total = reward + gamma * total
        found.append(total)
    return found


def returns_off_by_one(rewards, gamma):
    G = torch.zeros_like(rewards)
    for t in reversed(range(len(rewards))):
        G[t] = rewards[t] + gamma * G[t + 1]
    return G


def chosen(logits, actions):
    return logits.log_softmax(-1).gather(-1, actions[..., None])[..., 0]


def loss_by_cross_entropy(logits, actions, returns):
    return (returns * F.cross_entropy(logits, actions, reduction="none")).sum()


def loss_by_categorical(logits, actions, returns):
    return -(torch.distributions.Categorical(logits=logits).log_prob(actions) * returns).sum()


def loss_loop(logits, actions, returns):
    loss = 0
    for row, action, G in zip(logits, actions, returns):
        loss = loss - G * row.softmax(0)[action].log()
    return loss


def loss_one_hot(logits, actions, returns):
    return -torch.einsum(
        "t,ta,ta->", returns, F.one_hot(actions, logits.shape[1]).float(), logits.log_softmax(-1)
    )


def loss_in_numpy(logits, actions, returns):
    x = logits.detach().numpy()
    log_pi = x - np.log(np.exp(x).sum(-1, keepdims=True))
    return -(log_pi[np.arange(len(x)), actions] * returns.numpy()).sum()


def loss_without_a_path(logits, actions, returns):
    """Only the logit taken is followed: the same value, half a gradient."""
    taken = logits.gather(-1, actions[:, None])[:, 0]
    return -(returns * (taken - logits.detach().logsumexp(-1))).sum()


def loss_in_numpy_attached(logits, actions, returns):
    return -(chosen(logits, actions).numpy() * returns.numpy()).sum()


def loss_right_for_two_actions(logits, actions, returns):
    """Of the actions not taken it follows one alone."""
    others = torch.arange(1, logits.shape[1])[None] + actions[:, None]
    others = others % logits.shape[1]
    followed = torch.zeros_like(logits).scatter(1, actions[:, None], 1).scatter(1, others[:, :1], 1)
    logits = torch.where(followed == 1, logits, logits.detach())
    return -(returns * chosen(logits, actions)).sum()


def batch(returns, scale=lambda total: -total.sum(0).mean()):
    """A loss for a batch of episodes with these returns."""

    def attempt(logits, actions, rewards, gamma):
        return scale(returns(rewards, gamma) * chosen(logits, actions))

    return attempt


def batch_loop(logits, actions, rewards, gamma):
    steps, episodes = rewards.shape
    loss = 0
    for n in range(episodes):
        for t in range(steps):
            G = sum(gamma ** (k - t) * rewards[k, n] for k in range(t, steps))
            loss = loss - G * logits[t, n].log_softmax(0)[actions[t, n]]
    return loss / episodes


def batch_stacked(logits, actions, rewards, gamma):
    columns = [torch.tensor(returns_list(column, gamma)) for column in rewards.T]
    return -(torch.stack(columns, 1) * chosen(logits, actions)).sum() / len(columns)


def suspect_returns(rewards, gamma):
    G, following = torch.zeros_like(rewards), torch.zeros(rewards.shape[1])
    for t in reversed(range(len(rewards))):
        following = rewards[t] + gamma * following
        G[:] = following
    return G


def batch_into_the_rewards(logits, actions, rewards, gamma):
    return batch(returns_in_place)(logits, actions, rewards, gamma)


RIGHT = {
    "discounted_returns": [
        returns_loops,
        returns_matrix,
        returns_list,
        returns_divided,
        package.discounted_returns,
        lambda rewards, gamma: returns_in_place(rewards.clone(), gamma),
    ],
    "reinforce_loss": [
        loss_by_cross_entropy,
        loss_by_categorical,
        loss_loop,
        loss_one_hot,
        lambda x, a, G: -(chosen(x, a) @ G),
    ],
    "repaired_loss": [
        batch(package.discounted_returns),
        batch_loop,
        batch_stacked,
        batch(lambda r, g: torch.stack(returns_loops(r, g))),
    ],
}

# (attempt, words that the message must contain)
WRONG = {
    "discounted_returns": [
        (lambda r, g: [returns_list(r, g)[0]] * len(r), "Every step got the same number"),
        (lambda r, g: r.flip(0).cumsum(0).flip(0), "gamma is never used"),
        (lambda r, g: returns_list(r, g)[0], "one number for each step"),
        (returns_undivided, "from the start of the episode"),
        (returns_backwards, "reverse order"),
        (returns_past, "the past"),
        (lambda r, g: (g ** torch.arange(len(r)) * r).cumsum(0), "the past"),
        (lambda r, g: g ** torch.arange(len(r)) * r, "its own discounted reward"),
        (lambda r, g: torch.tensor(returns_list(r, g)) - r, "begins with rewards[t]"),
        (lambda r, g: g * torch.tensor(returns_list(r, g)), "one factor gamma too many"),
        (returns_one_ahead, "one step ahead only"),
        (returns_off_by_one, "out of bounds"),
        (returns_in_place, "changes its input rewards in place"),
        (lambda r, g: torch.tensor(returns_list(r, g))[:, None], "shape [3, 1]"),
    ],
    "reinforce_loss": [
        (lambda x, a, G: (G * chosen(x, a)).sum(), "sign"),
        (lambda x, a, G: -(G * chosen(x, a)).mean(), "mean over the steps"),
        (lambda x, a, G: -(G * chosen(x, a).exp()).sum(), "gradient of its logarithm"),
        (lambda x, a, G: -(G * x[torch.arange(len(a)), a]).sum(), "the logits themselves"),
        (lambda x, a, G: -(G[:, None] * x.log_softmax(-1)).sum(), "all actions"),
        (lambda x, a, G: F.cross_entropy(x, a, reduction="sum"), "returns are never used"),
        (lambda x, a, G: -G.sum() * chosen(x, a).sum(), "multiply two sums"),
        (lambda x, a, G: -G[0] * chosen(x, a).sum(), "Every step got the same number"),
        (lambda x, a, G: -(G * x.log_softmax(0)[range(len(a)), a]).sum(), "last axis"),
        (lambda x, a, G: loss_by_cross_entropy(x.softmax(-1), a, G), "softmax of a softmax"),
        (lambda x, a, G: -G * chosen(x, a), "what is missing is their sum"),
        (lambda x, a, G: loss_loop(x, a, G).item(), "no gradient flows"),
        (loss_in_numpy, "no gradient flows"),
        (lambda x, a, G: loss_loop(x.detach(), a, G), "no gradient flows"),
        (loss_without_a_path, "its gradient for logits is not: expected [[-1, 1], [0.88"),
        (loss_without_a_path, "the actions not taken count too"),
        (loss_right_for_two_actions, "its gradient for logits is not"),
        (lambda x, a, G: loss_in_numpy(x.requires_grad_(), a, G), "no gradient flows"),
        (loss_in_numpy_attached, "Stay within torch"),
    ],
    "repaired_loss": [
        (batch(suspect_returns), "bug is still there"),
        (batch(package.discounted_returns, lambda x: x.sum(0).mean()), "sign has turned"),
        (batch(package.discounted_returns, lambda x: -x.mean()), "over the steps too"),
        (batch(package.discounted_returns, lambda x: -x.sum()), "mean over the episodes"),
        (batch(lambda r, g: package.discounted_returns(r, 1)), "gamma is never used"),
        (batch(lambda r, g: torch.stack(returns_past(r, g))), "rewards before it"),
        (batch(returns_weighted), "That weight is the theorem's; this exercise leaves it out"),
        (batch(lambda r, g: r), "its own reward alone"),
        (batch_into_the_rewards, "changes its input rewards in place"),
        (lambda *case: batch_loop(*case).item(), "no gradient flows"),
        (batch(returns_off_by_one), "out of bounds"),
    ],
}
