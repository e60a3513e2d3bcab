"""What learners hand in for lesson 02: see test_checks.py."""

import torch

from helpers import returns as package


def returns_loops(rewards, gamma):
    steps = range(len(rewards))
    return [sum(gamma ** (k - t) * rewards[k] for k in steps if k >= t) for t in steps]


def returns_divided(rewards, gamma):
    discounts = gamma ** torch.arange(len(rewards))
    return (discounts * rewards).flip(0).cumsum(0).flip(0) / discounts


def returns_within(rewards, gamma, steps):
    """So many steps ahead."""
    returns = rewards.clone()
    for k in range(1, min(len(rewards), steps + 1)):
        returns[:-k] += gamma**k * rewards[k:]
    return returns


def chosen(logits, actions):
    return logits.log_softmax(-1).gather(-1, actions[..., None])[..., 0]


def loss_loop(logits, actions, returns):
    loss = 0
    for row, action, G in zip(logits, actions, returns):
        loss = loss - G * row.log_softmax(0)[action]
    return loss


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


RIGHT = {
    "discounted_returns": [returns_loops, package.discounted_returns],
    "reinforce_loss": [loss_loop],
    "repaired_loss": [batch_loop],
}

# (attempt, words that the message must contain)
WRONG = {
    "discounted_returns": [
        (
            lambda r, g: [r[t] + g * r[t + 1] for t in range(len(r))],
            "no step follows the last one: count 0",
        ),
        (lambda r, g: returns_within(r, g, 2), "You look one or two steps ahead only"),
        (lambda r, g: returns_within(r, g, 50), "gamma 0.99, expected"),
        (returns_divided, "A power of gamma becomes 0"),
        (lambda r, g: torch.cat([package.discounted_returns(r[:5], g), r[5:]]), "expected"),
        (lambda r, g: package.discounted_returns(r.clamp(-50, 50), g), "For rewards [300, -500]"),
        (
            lambda r, g: [round(float(G), 2) for G in returns_loops(r, g)],
            "For rewards [0.002, 0.0031]",
        ),
    ],
    "reinforce_loss": [
        (lambda x, a, G: loss_loop(x[:5], a[:5], G[:5]), "expected"),
        (lambda x, a, G: loss_loop(x, a, G.clamp(-50, 50)), "returns [-300, 0]"),
        (lambda x, a, G: loss_loop(x.detach(), a, G), "no gradient flows"),
        (lambda x, a, G: loss_loop((x.exp() / x.exp().sum(-1, True)).log(), a, G), "overflows"),
        (lambda x, a, G: loss_loop(x.softmax(-1).log(), a, G), "A softmax can be exactly 0"),
        (lambda x, a, G: loss_loop((x.softmax(-1) + 1e-8).log(), a, G), "inside the log is made"),
        (loss_right_for_two_actions, "its gradient for logits is not"),
    ],
    "repaired_loss": [
        (lambda x, a, r, g: batch_loop(x[:5], a[:5], r[:5], g), "expected"),
        (lambda x, a, r, g: batch_loop(x, a, r.clamp(-50, 50), g), "rewards [[-100, 0]"),
    ],
}
