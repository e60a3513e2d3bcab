"""What learners hand in for lesson 03: see test_checks.py."""

import numpy as np
import torch
import torch.nn.functional as F

from helpers.returns import gae, n_step_returns


def error_loop(reward, value, next_value, terminated, gamma):
    steps = zip(reward.tolist(), value.tolist(), next_value.tolist(), terminated.tolist())
    return [r - v if end else r + gamma * after - v for r, v, after, end in steps]


def error_in_numpy(reward, value, next_value, terminated, gamma):
    r, v, after, end = (x.numpy() for x in (reward, value, next_value, terminated))
    return r + gamma * after * (1 - end) - v


def error_by_gae(reward, value, next_value, terminated, gamma):
    pairs = zip(reward, value, next_value, terminated)
    no = torch.tensor([False])
    return [
        gae(r[None], torch.stack([v, after]), end[None] > 0, no, gamma=gamma, lam=0.0)[0]
        for r, v, after, end in pairs
    ]


def error_by_n_step(reward, value, next_value, terminated, gamma):
    values = torch.cat([value, next_value[-1:]])
    values[1:] = next_value
    truncated = torch.zeros_like(terminated)
    return n_step_returns(reward, values, terminated, truncated, gamma=gamma, n=1) - value


def error_in_place(reward, value, next_value, terminated, gamma):
    next_value *= 1 - terminated
    return reward + gamma * next_value - value


def error_by_where(reward, value, next_value, terminated, gamma):
    return torch.where(terminated == 1, reward, reward + gamma * next_value) - value


def losses_detached(log_prob, value, next_value, reward, gamma):
    target = reward + gamma * next_value.detach()
    delta = target - value
    return -log_prob * delta.detach(), delta.pow(2) / 2


def losses_no_grad(log_prob, value, next_value, reward, gamma):
    with torch.no_grad():
        target = reward + gamma * next_value
        advantage = target - value
    return -advantage * log_prob, F.mse_loss(value, target) / 2


def losses_as_products(log_prob, value, next_value, reward, gamma):
    delta = reward + gamma * next_value - value
    return [-delta.detach() * log_prob, 0.5 * (delta.detach() + value.detach() - value) ** 2]


def losses(actor, critic):
    """An attempt made of two formulas, over (log_prob, value, target) with nothing detached."""

    def attempt(log_prob, value, next_value, reward, gamma):
        target = reward + gamma * next_value
        return actor(log_prob, value, target), critic(value, target)

    return attempt


def actor(log_prob, value, target):
    return -(target - value).detach() * log_prob


def critic(value, target):
    return 0.5 * (target.detach() - value) ** 2


def losses_switched_off(log_prob, value, next_value, reward, gamma):
    torch.set_grad_enabled(False)
    delta = reward + gamma * next_value - value
    return -delta * log_prob, 0.5 * delta**2


def slope_of(critic, at, gamma=0.9):
    value, after = torch.tensor(0.3, requires_grad=True), torch.tensor(-1.2, requires_grad=True)
    critic(value, after, 2.0, gamma).backward()
    return {"value": value.grad, "next_value": after.grad}[at]


def found_by_backward(critics):
    for i, critic in enumerate(critics):
        grad = slope_of(critic, "next_value")
        if grad is not None and grad != 0:
            return i


def found_by_graph(critics):
    return [slope_of(critic, "next_value") is not None for critic in critics].index(True)


def found_by_jacobian(critics):
    slopes = []
    for critic in critics:
        value = torch.ones((), requires_grad=True)
        function = lambda after, c=critic, v=value: c(v, after, 1.0, 0.5)  # noqa: E731
        slopes.append(torch.autograd.functional.jacobian(function, torch.tensor(3.0)).item())
    return np.abs(slopes).argmax()


def found_by_loss(critics):
    losses = [c(torch.tensor(1.0), torch.tensor(2.0), 1.0, 0.5).item() for c in critics]
    usual = sorted(losses)[1]
    return max(range(4), key=lambda i: abs(losses[i] - usual))


RIGHT = {
    "td_error": [
        error_loop,
        error_in_numpy,
        error_by_gae,
        error_by_n_step,
        error_by_where,
        lambda r, v, after, end, gamma: r + gamma * after * (1 - end) - v,
    ],
    "actor_critic_losses": [
        losses_detached,
        losses_no_grad,
        losses_as_products,
        losses(actor, critic),
    ],
    "undetached": [
        found_by_backward,
        found_by_graph,
        found_by_jacobian,
        lambda critics: torch.tensor(found_by_graph(critics)),
    ],
}

# (attempt, words that the message must contain)
WRONG = {
    "td_error": [
        (lambda r, v, after, end, gamma: r + gamma * after - v, "Nothing follows"),
        (lambda r, v, after, end, gamma: v - r - gamma * after * (1 - end), "sign"),
        (lambda r, v, after, end, gamma: r + after * (1 - end) - v, "gamma is never used"),
        (lambda r, v, after, end, gamma: r + gamma * after * (1 - end), "That is the target"),
        (lambda r, v, after, end, gamma: r + gamma * (after * (1 - end) - v), "next value alone"),
        (lambda r, v, after, end, gamma: gamma * (r + after * (1 - end)) - v, "paid at once"),
        (
            lambda r, v, after, end, gamma: (r + gamma * after - v) * (1 - end),
            "drop the whole step",
        ),
        (lambda r, v, after, end, gamma: r + gamma * after * end - v, "wrong way round"),
        (
            lambda r, v, after, end, gamma: (r + gamma * after * (1 - end) - v) ** 2,
            "expected [3, -1]",
        ),
        (
            lambda r, v, after, end, gamma: (r + gamma * after * (1 - end) - v).sum(),
            "a single number",
        ),
        (error_in_place, "changes its input next_value in place"),
        (lambda r, v, after, end, gamma: r + gamma * after * ~end - v, "Boolean-type tensors"),
    ],
    "actor_critic_losses": [
        (
            losses(lambda p, v, t: -(t - v) * p, lambda v, t: (t - v) ** 2 / 2),
            "Nothing is detached",
        ),
        (losses(actor, lambda v, t: (t - v) ** 2 / 2), "target is not detached"),
        (losses(lambda p, v, t: -(t - v) * p, critic), "slopes for value and next_value"),
        (losses(lambda p, v, t: -(t.detach() - v) * p, critic), "slope for value"),
        (losses(actor, lambda v, t: (t - v).detach() ** 2 / 2), "never learn"),
        (losses(lambda p, v, t: (t - v).detach() * p, critic), "a good step needs a minus"),
        (losses(actor, lambda v, t: (t.detach() - v) ** 2), "half the square"),
        (losses(lambda p, v, t: -t.detach() * p, critic), "uses the target"),
        (lambda *case: losses_detached(*case)[::-1], "swapped"),
        (lambda *case: sum(losses_detached(*case)), "a single number"),
        (lambda *case: [x.item() for x in losses_detached(*case)], "no gradient flows"),
        (lambda *case: losses_detached(*case)[:1], "numbers of shape [1]"),
        (losses_switched_off, "no gradient flows"),
        (
            losses(lambda p, v, t: actor(p.detach(), v, t), critic),
            "the first loss's gradient for log_prob",
        ),
        (
            losses(actor, lambda v, t: critic(v, t) + t - t.detach()),
            "for next_value is not: expected",
        ),
        (losses(lambda p, v, t: -(t - v).detach() * p.exp(), critic), "expected"),
    ],
    "undetached": [
        (lambda critics: 2, "returns the same"),
        (lambda critics: 0, "always answer 0"),
        (lambda critics: found_by_graph(critics) + 1, "count from 1"),
        (lambda critics: found_by_graph(critics[::-1]), "expected 2"),
        (
            lambda critics: [slope_of(c, "next_value") is not None for c in critics],
            "return the index",
        ),
        (lambda critics: [abs(slope_of(c, "next_value") or 0) for c in critics], "but"),
        (found_by_loss, "compare slopes"),
    ],
}
