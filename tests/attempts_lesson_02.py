"""What learners hand in for lesson 02: see test_checks.py."""

import torch
import torch.nn.functional as F

from helpers import returns as package


def returns_loops(rewards, gamma):
    steps = range(len(rewards))
    return [sum(gamma ** (k - t) * rewards[k] for k in steps if k >= t) for t in steps]


def returns_list(rewards, gamma):
    following, found = 0.0, []
    for reward in reversed(rewards.tolist()):
        following = reward + gamma * following
        found.insert(0, following)
    return found


def returns_in_place(rewards, gamma):
    for t in reversed(range(len(rewards) - 1)):
        rewards[t] += gamma * rewards[t + 1]
    return rewards


def returns_divided(rewards, gamma):
    discounts = gamma ** torch.arange(len(rewards))
    return (discounts * rewards).flip(0).cumsum(0).flip(0) / discounts


def returns_divided_but_at_0(rewards, gamma):
    return returns_divided(rewards, gamma) if gamma else rewards


def returns_within(rewards, gamma, steps):
    """So many steps ahead."""
    returns = rewards.clone()
    for k in range(1, min(len(rewards), steps + 1)):
        returns[:-k] += gamma**k * rewards[k:]
    return returns


def returns_weighted(rewards, gamma):
    """gamma^t G_t, for a batch."""
    weights = gamma ** torch.arange(len(rewards))
    return weights[:, None] * package.discounted_returns(rewards, gamma)


def returns_off_by_one(rewards, gamma):
    G = torch.zeros_like(rewards)
    for t in reversed(range(len(rewards))):
        G[t] = rewards[t] + gamma * G[t + 1]
    return G


def returns_run_forwards(rewards, gamma):
    """Within each tail the sum is nested the wrong way round."""
    found = []
    for t in range(len(rewards)):
        G = 0
        for reward in rewards[t:]:
            G = reward + gamma * G
        found.append(G)
    return found


def returns_without_the_last(rewards, gamma):
    G = torch.zeros_like(rewards)
    for t in reversed(range(len(rewards) - 1)):
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
        loss = loss - G * row.log_softmax(0)[action]
    return loss


def loss_of_columns(logits, actions, returns):
    return -(returns * logits.log_softmax(-1)[:, actions]).sum()


def loss_by_log_of_softmax(logits, actions, returns):
    return -(returns * logits.softmax(-1)[torch.arange(len(actions)), actions].log()).sum()


def loss_normalised(logits, actions, returns):
    returns = (returns - returns.mean()) / (returns.std() + 1e-6)
    return -(returns * chosen(logits, actions)).sum()


def loss_by_plain_softmax(logits, actions, returns, small=0.0):
    p = logits.exp() / logits.exp().sum(-1, keepdim=True)
    return -(returns * (p[torch.arange(len(p)), actions] + small).log()).sum()


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


def suspect_returns(rewards, gamma):
    G, following = torch.zeros_like(rewards), torch.zeros(rewards.shape[1])
    for t in reversed(range(len(rewards))):
        following = rewards[t] + gamma * following
        G[:] = following
    return G


RIGHT = {
    "discounted_returns": [
        returns_loops,
        returns_list,
        package.discounted_returns,
        lambda rewards, gamma: returns_in_place(rewards.clone(), gamma),
    ],
    "reinforce_loss": [
        loss_by_cross_entropy,
        loss_by_categorical,
        loss_loop,
        lambda x, a, G: -(chosen(x, a) @ G),
    ],
    "repaired_loss": [
        batch(package.discounted_returns),
        batch_loop,
        batch(lambda r, g: torch.stack(returns_loops(r, g))),
    ],
}

# (attempt, words that the message must contain)
WRONG = {
    "discounted_returns": [
        (returns_off_by_one, "out of bounds"),
        (returns_off_by_one, "no step follows the last one: count 0"),
        (returns_run_forwards, "it is the reverse"),
        (returns_without_the_last, "The last step is left out"),
        (returns_divided, "A power of gamma becomes 0"),
        (returns_divided_but_at_0, "A power of gamma becomes 0"),
        (lambda r, g: returns_within(r, g, 2), "You look one or two steps ahead only"),
        (lambda r, g: returns_within(r, g, 50), "gamma 0.99, expected"),
        (returns_in_place, "changes its input rewards in place"),
        (lambda r, g: torch.tensor(returns_list(r, g))[:, None], "shape [3, 1]"),
        (lambda r, g: torch.cat([package.discounted_returns(r[:5], g), r[5:]]), "expected"),
        (lambda r, g: package.discounted_returns(r.clamp(-50, 50), g), "For rewards [300, -500]"),
        (lambda r, g: [round(G, 2) for G in returns_list(r, g)], "For rewards [0.002, 0.0031]"),
    ],
    "reinforce_loss": [
        (loss_of_columns, "[:, actions] takes T columns of every row"),
        (lambda x, a, G: -chosen(x, a).mean() * G.sum(), "multiply two totals"),
        (lambda x, a, G: F.cross_entropy(x, a) * G.mean() * len(a), "multiply two totals"),
        (loss_by_log_of_softmax, "log_softmax() is safe"),
        (loss_normalised, "centre or normalise the returns"),
        (loss_by_plain_softmax, "exp() of a large number overflows"),
        (lambda x, a, G: -loss_by_plain_softmax(x, a, G), "The sign is the wrong way round"),
        (
            lambda x, a, G: loss_by_plain_softmax(x.softmax(-1).log(), a, G, 1e-8),
            "inside the log is made up",
        ),
        (lambda x, a, G: loss_loop(x[:5], a[:5], G[:5]), "expected"),
        (lambda x, a, G: loss_loop(x, a, G.clamp(-50, 50)), "returns [-300, 0]"),
        (lambda x, a, G: loss_loop(x, a, G).item(), "no gradient flows"),
        (lambda x, a, G: loss_loop(x.detach(), a, G), "no gradient flows"),
        (lambda x, a, G: loss_loop(x.detach().clone().requires_grad_(), a, G), "makes a copy"),
        (loss_right_for_two_actions, "its gradient for logits is not"),
        (lambda x, a, G: -(chosen(x, a).numpy() * G.numpy()).sum(), "Stay within torch"),
    ],
    "repaired_loss": [
        (batch(suspect_returns), "bug is still there"),
        (
            lambda x, *rest: batch(package.discounted_returns)(x.softmax(-1).log(), *rest),
            "log_softmax() is safe",
        ),
        (batch(returns_weighted), "That weight is the theorem's; this exercise leaves it out"),
        (batch(returns_off_by_one), "no step follows the last one"),
        (batch(lambda r, g: package.discounted_returns(r[:5], g)[:5]), "size of tensor"),
        (batch(lambda r, g: package.discounted_returns(r.clamp(-50, 50), g)), "rewards [[-100, 0]"),
        (lambda *case: batch_loop(*case).item(), "no gradient flows"),
    ],
}
