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


def score_in_place(logits, action):
    logits.copy_(-logits.softmax(0))
    logits[action] += 1
    return logits


def score_sigmoid(logits, action):
    return F.one_hot(torch.tensor(action), len(logits)) - logits.sigmoid()


def score_of_the_best(logits, action):
    return F.one_hot(logits.argmax(), len(logits)) - logits.softmax(0)


def score_divides_by_the_maximum(logits, action):
    return F.one_hot(torch.tensor(action), len(logits)) - logits / logits.sum()


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


def gradient_einsum(scores, rewards, gamma):
    steps = np.arange(len(rewards))
    later = (steps[None] >= steps[:, None]) * gamma ** steps[None]
    return np.einsum("tnp,tk,kn->p", scores, later, rewards) / rewards.shape[1]


def gradient_one_step_late(scores, rewards, gamma):
    discounted = gamma ** torch.arange(len(rewards))[:, None] * rewards
    to_go = discounted.flip(0).cumsum(0).flip(0) - discounted
    return (to_go[..., None] * scores).sum(0).mean(0)


def gradient_discounts_once_more(scores, rewards, gamma):
    discount = gamma ** torch.arange(len(rewards))[:, None]
    to_go = (discount * rewards).flip(0).cumsum(0).flip(0)
    return ((discount * to_go)[..., None] * scores).sum(0).mean(0)


def gradient_in_place(scores, rewards, gamma):
    rewards *= gamma ** torch.arange(len(rewards))[:, None]
    to_go = rewards.flip(0).cumsum(0).flip(0)
    return (to_go[..., None] * scores).sum(0).mean(0)


def gradient_of_the_mean_day(scores, rewards, gamma):
    discounted = gamma ** torch.arange(len(rewards)) * rewards.mean(1)
    return (discounted.flip(0).cumsum(0).flip(0)[:, None] * scores.mean(1)).sum(0)


def gradient_without_a_new_axis(scores, rewards, gamma):
    return (rewards * scores).sum(0).mean(0)


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


def repaired_tuple(logits, states, actions, weights, days):
    logits = logits.clone().requires_grad_()
    total = (log_softmax(logits, states, actions) * weights).sum() / days
    return torch.autograd.grad(total, logits)


RIGHT = {
    "score": [
        score_by_autograd,
        score_by_backward,
        score_loop,
        lambda logits, action: F.one_hot(torch.tensor(action), len(logits)) - logits.softmax(0),
        lambda logits, action: np.eye(len(logits))[action] - logits.softmax(0).numpy(),
    ],
    "monte_carlo_gradient": [gradient_loops, gradient_backwards, gradient_einsum],
    "repaired_gradient": [
        repaired_by_log,
        repaired_by_hand,
        repaired_by_division,
        surrogate(log_softmax),
        surrogate(lambda x, s, a: -F.cross_entropy(x[s], a, reduction="none")),
    ],
}

# (attempt, words that the message must contain)
WRONG = {
    "score": [
        (lambda x, a: -score_by_autograd(x, a), "sign"),
        (lambda x, a: F.one_hot(torch.tensor(a), len(x)), "take away the probabilities"),
        (lambda x, a: torch.func.grad(lambda x: x.softmax(0)[a])(x), "gradient of pi(a) itself"),
        (lambda x, a: torch.func.grad(lambda x: x[a])(x), "share the denominator"),
        (lambda x, a: F.one_hot(torch.tensor(a), len(x)) - x, "their softmax"),
        (lambda x, a: 1 - x.softmax(0), "1 for every action"),
        (lambda x, a: 1 - x.softmax(0)[a], "a single number"),
        (lambda x, a: x.softmax(0)[a].log(), "differentiate it"),
        (lambda x, a: x.softmax(0), "expected [-0.0900306"),
        (lambda x, a: torch.zeros(3), "use its arguments"),
        (score_in_place, "changes its input logits in place"),
        (score_sigmoid, "expected [-0.0900306"),
        (score_of_the_best, "expected [-0.0900306"),
        (score_divides_by_the_maximum, "expected [-0.0900306"),
    ],
    "monte_carlo_gradient": [
        (lambda s, r, g: -gradient_loops(s, r, g), "not a loss"),
        (lambda s, r, g: gradient_loops(s, r, g) * r.shape[1], "divide by their number"),
        (lambda s, r, g: gradient_loops(s, r, g) / len(r), "average over the steps too"),
        (lambda s, r, g: (s * (g ** torch.arange(len(r)) @ r)[:, None]).sum(0).mean(0), "noisier"),
        (lambda s, r, g: gradient_loops(s, r, 1), "gamma is never used"),
        (lambda s, r, g: gradient_loops(s, r, g)[None], "shape [1, 1]"),
        (lambda s, r, g: gradient_loops(s.flip(0), r, g), "expected ["),
        (gradient_one_step_late, "start the sum at t"),
        (gradient_discounts_once_more, "discount twice"),
        (gradient_in_place, "changes its input rewards in place"),
        (gradient_of_the_mean_day, "expected [8.5]"),
        (gradient_without_a_new_axis, "RuntimeError"),
    ],
    "repaired_gradient": [
        (surrogate(lambda x, s, a: x.softmax(-1)[s, a]), "bug is still there"),
        (surrogate(lambda x, s, a: -log_softmax(x, s, a)), "sign has turned"),
        (surrogate(log_softmax, lambda total, days, count: total), "division by the number"),
        (surrogate(log_softmax, lambda total, days, count: total / count), "over decisions"),
        (surrogate(lambda x, s, a: x[s, a]), "the logits themselves"),
        (surrogate(lambda x, s, a: x.log_softmax(0)[s, a]), "last axis"),
        (surrogate(lambda x, s, a: x.softmax(-1).log_softmax(-1)[s, a]), "softmax of a softmax"),
        (surrogate(lambda x, s, a: x.softmax(-1)[s, a] ** 2), "expected"),
        (surrogate(lambda x, s, a: x.softmax(-1)[s, a] / x.softmax(-1)[s, a]), "cancel"),
        (surrogate(lambda x, s, a: log_softmax(x, s, a).detach()), "does not require grad"),
        (repaired_without_clone, "requires_grad=True"),
        (repaired_tuple, "shape [1, 2, 2]"),
        (repaired_for_two_actions, "expected"),
        (repaired_in_each_state_once, "expected"),
    ],
}
