"""What learners hand in for lesson 01: see test_checks.py."""

import numpy as np
import torch
import torch.nn.functional as F


def score_by_autograd(logits, action):
    logits = logits.clone().requires_grad_()
    return torch.autograd.grad(logits.log_softmax(0)[action], logits)[0]


def score_by_backward(logits, action):
    logits = logits.clone().requires_grad_()
    torch.distributions.Categorical(logits=logits).log_prob(torch.tensor(action)).backward()
    return logits.grad


def score_loop(logits, action):
    weights = [np.exp(x) for x in logits.tolist()]
    return [(i == action) - w / sum(weights) for i, w in enumerate(weights)]


def gradient_loops(scores, rewards, gamma):
    steps, days, parameters = scores.shape
    total = torch.zeros(parameters)
    for n in range(days):
        for t in range(steps):
            to_go = sum(gamma**k * rewards[k, n] for k in range(t, steps))
            total += to_go * scores[t, n]
    return total / days


def gradient_backwards(scores, rewards, gamma):
    total, following = 0, torch.zeros(rewards.shape[1])
    for t in reversed(range(len(rewards))):
        following = rewards[t] + gamma * following
        total = total + gamma**t * following[:, None] * scores[t]
    return total.mean(0)


def score_by_plain_softmax(logits, action):
    probabilities = logits.exp() / logits.exp().sum()
    return F.one_hot(torch.tensor(action), len(logits)) - probabilities


def gradient_past_the_end(scores, rewards, gamma):
    G = torch.zeros_like(rewards)
    for t in range(len(rewards)):
        G[t] = rewards[t] + gamma * G[t + 1]
    return (G[..., None] * scores).sum(0).mean(0)


def gradient_divided(scores, rewards, gamma):
    """Without gamma^t, and no number at gamma 0."""
    discounts = gamma ** torch.arange(len(rewards))[:, None]
    to_go = (discounts * rewards).flip(0).cumsum(0).flip(0) / discounts
    return (to_go[..., None] * scores).sum(0).mean(0)


def powers(rewards, gamma):
    return gamma ** torch.arange(len(rewards))[:, None]


def gradient_of_the_mean_day(scores, rewards, gamma):
    discounted = gamma ** torch.arange(len(rewards)) * rewards.mean(1)
    return (discounted.flip(0).cumsum(0).flip(0)[:, None] * scores.mean(1)).sum(0)


def repaired_by_log(logits, states, actions, weights, days):
    logits = logits.clone().requires_grad_()
    chosen = logits.softmax(-1).log()[states, actions]
    return torch.autograd.grad((chosen * weights).sum() / days, logits)[0]


def repaired_by_hand(logits, states, actions, weights, days):
    gradient = torch.zeros_like(logits)
    for s, a, w in zip(states.tolist(), actions.tolist(), weights.tolist()):
        gradient[s] += w * (F.one_hot(torch.tensor(a), logits.shape[1]) - logits[s].softmax(0))
    return gradient / days


def repaired_by_division(logits, states, actions, weights, days):
    logits = logits.clone().requires_grad_()
    chosen = logits.softmax(-1)[states, actions]
    surrogate = (chosen / chosen.detach() * weights).sum() / days
    return torch.autograd.grad(surrogate, logits)[0]


def surrogate(choose, scale=lambda total, days, count: total / days):
    """suspect_gradient with another line for `chosen` and for the average."""

    def attempt(logits, states, actions, weights, days):
        logits = logits.clone().requires_grad_()
        total = (choose(logits, states, actions) * weights).sum()
        return torch.autograd.grad(scale(total, days, len(states)), logits)[0]

    return attempt


def log_softmax(logits, states, actions):
    return logits.log_softmax(-1)[states, actions]


def chosen_over_mean(chosen):
    return chosen / chosen.mean().detach()


def repaired_without_clone(logits, states, actions, weights, days):
    chosen = logits.log_softmax(-1)[states, actions]
    return torch.autograd.grad((chosen * weights).sum() / days, logits)[0]


def repaired_for_two_actions(logits, states, actions, weights, days):
    """The derivative of the sigmoid."""
    gradient = torch.zeros_like(logits)
    taken = logits.softmax(-1)[states, actions]
    gradient.index_put_((states, actions), weights * (1 - taken), accumulate=True)
    gradient.index_put_((states, 1 - actions), -weights * (1 - taken), accumulate=True)
    return gradient / days


def repaired_in_each_state_once(logits, states, actions, weights, days):
    """Plain assignment keeps only the last decision in a state."""
    gradient = torch.zeros_like(logits)
    pushes = F.one_hot(actions, logits.shape[1]) - logits.softmax(-1)[states]
    gradient[states] = weights[:, None] * pushes
    return gradient / days


RIGHT = {
    "score": [
        score_by_autograd,
        score_by_backward,
        score_loop,
        lambda logits, action: F.one_hot(torch.tensor(action), len(logits)) - logits.softmax(0),
        lambda logits, action: np.eye(len(logits))[action] - logits.softmax(0).numpy(),
    ],
    "monte_carlo_gradient": [gradient_loops, gradient_backwards],
    "repaired_gradient": [
        repaired_by_hand,
        surrogate(log_softmax),
        surrogate(lambda x, s, a: -F.cross_entropy(x[s], a, reduction="none")),
    ],
}

# (attempt, words that the message must contain)
WRONG = {
    "score": [
        (lambda x, a: 1 - x.softmax(0)[a], "a single number"),
        (lambda x, a: x.softmax(0), "expected [-0.0900306"),
        (lambda x, a: F.one_hot(torch.tensor(a), len(x)) - x.sigmoid(), "expected [-0.0900306"),
        (score_by_plain_softmax, "exp() of a large number overflows"),
        (lambda x, a: -score_by_plain_softmax(x, a), "sign is the wrong way round"),
        (lambda x, a: score_by_autograd(x, a).softmax(0).log(), "expected [-0.0900306"),
        (lambda x, a: torch.func.grad(lambda x: x.softmax(0).log()[a])(x), "exactly 0"),
        (lambda x, a: score_by_autograd(x.clamp(-20, 20), a), "For logits [200, 201, 199.5]"),
    ],
    "monte_carlo_gradient": [
        (lambda s, r, g: gradient_loops(s, r, g)[None], "shape [1, 1]"),
        (lambda s, r, g: gradient_loops(s.flip(0), r, g), "expected ["),
        (lambda s, r, g: gradient_loops(s[:5], r[:5], g), "expected"),
        (lambda s, r, g: gradient_loops(s, r.clamp(-50, 50), g), "rewards [[100, 0]"),
        (gradient_past_the_end, "no step follows the last one"),
        (gradient_divided, "The factor gamma^t is missing"),
        (lambda s, r, g: gradient_divided(powers(r, g)[..., None] * s, r, g), "power of gamma"),
        (lambda s, r, g: gradient_loops(powers(r, g)[..., None] * s, r, g), "You discount twice"),
        (gradient_of_the_mean_day, "expected [8.5]"),
        (lambda s, r, g: (r * s).sum(0).mean(0), "x[..., None] adds one"),
    ],
    "repaired_gradient": [
        (repaired_by_log, "log_softmax() is safe"),
        (repaired_by_division, "log_softmax() is safe"),
        (surrogate(lambda x, s, a: chosen_over_mean(x.softmax(-1)[s, a])), "one factor sets"),
        (surrogate(lambda x, s, a: x.softmax(-1)[s, a] ** 2), "expected"),
        (surrogate(lambda x, s, a: x.softmax(-1)[s, a] / x.softmax(-1)[s, a]), "cancel"),
        (surrogate(lambda x, s, a: 2 * x.exp()[s, a] / x.exp().sum(-1)[s]), "one factor sets"),
        (
            surrogate(lambda x, s, a: (x.softmax(-1) + 1e-8).log()[s, a]),
            "inside the log is made up",
        ),
        (surrogate(lambda x, s, a: log_softmax(x, s, a).detach()), "does not require grad"),
        (repaired_without_clone, "requires_grad=True"),
        (repaired_for_two_actions, "expected"),
        (repaired_in_each_state_once, "expected"),
    ],
}
