"""What learners hand in for lesson 17: see test_checks.py."""

import numpy as np
import torch


def cost_sweeps(A, B, Q, R, K, gamma):
    M, P = A - B @ K, Q
    for _ in range(300):
        P = Q + K.T @ R @ K + gamma * M.T @ P @ M
    return P


def cost_kronecker(A, B, Q, R, K, gamma):
    """vec(P) = (1 - gamma M' x M')^-1 vec(S)."""
    M = A - B @ K
    S = Q + K.mT @ R @ K
    twice = torch.kron(M.mT.contiguous(), M.mT.contiguous())
    eye = torch.eye(S.numel(), dtype=S.dtype)
    return torch.linalg.solve(eye - gamma * twice, S.reshape(-1)).reshape(S.shape)


def cost_rollout(A, B, Q, R, K, gamma):
    """How far each unit start comes, step by step."""
    P, X = torch.zeros_like(Q), torch.eye(len(A), dtype=A.dtype)
    for t in range(300):
        U = -K @ X
        P = P + gamma**t * (X.mT @ Q @ X + U.mT @ R @ U)
        X = A @ X + B @ U
    return P


def cost_numpy(A, B, Q, R, K, gamma):
    A, B, Q, R, K = (x.numpy() for x in (A, B, Q, R, K))
    P = np.zeros_like(Q)
    while True:
        new = Q + K.T @ R @ K + gamma * (A - B @ K).T @ P @ (A - B @ K)
        if np.allclose(new, P, rtol=1e-12, atol=1e-12):
            return new
        P = new


def cost_stars(A, B, Q, R, K, gamma):
    """Entry by entry where matrices are to be multiplied."""
    M, P = A - B @ K, Q
    for _ in range(300):
        P = Q + K.T @ R @ K + gamma * M.T * P * M
    return P


def gain_alone(A, B, Q, R, P, gamma):
    return torch.linalg.solve(R + gamma * B.T @ P @ B, gamma * B.T @ P @ A)


def step_long(A, B, Q, R, P, gamma):
    K = torch.linalg.inv(R + gamma * B.T @ P @ B) @ (gamma * B.T @ P @ A)
    M = A - B @ K
    return Q + K.T @ R @ K + gamma * M.T @ P @ M


def step_textbook(A, B, Q, R, P, gamma):
    inverse = torch.linalg.inv(R + gamma * B.T @ P @ B)
    return Q + gamma * A.T @ P @ A - gamma**2 * A.T @ P @ B @ inverse @ B.T @ P @ A


def step_scaled_plant(A, B, Q, R, P, gamma):
    """A discount is a plant shrunk by its root."""
    a, b = gamma**0.5 * A, gamma**0.5 * B
    return Q + a.T @ P @ a - a.T @ P @ b @ torch.linalg.solve(R + b.T @ P @ b, b.T @ P @ a)


def step_one_gamma(A, B, Q, R, P, gamma):
    inverse = torch.linalg.inv(R + gamma * B.T @ P @ B)
    return Q + gamma * A.T @ P @ A - gamma * A.T @ P @ B @ inverse @ B.T @ P @ A


def step_in_place(A, B, Q, R, P, gamma):
    P *= gamma
    return step_long(A, B, Q, R, P, 1.0)


def _sum(A, B, Q, R, K, gamma, steps=200):
    total, X = 0.0, torch.eye(len(A), dtype=A.dtype)
    for t in range(steps):
        U = -K @ X
        total = total + gamma**t * ((Q @ X * X).sum() + (R @ U * U).sum())
        X = A @ X + B @ U
    return total


def finite_sum(A, B, Q, R, K, gamma):
    if gamma * torch.linalg.eigvals(A - B @ K).abs().max() ** 2 >= 1:
        return float("inf")
    return _sum(A, B, Q, R, K, gamma)


def finite_trace(A, B, Q, R, K, gamma):
    if np.sqrt(gamma) * max(abs(np.linalg.eigvals((A - B @ K).numpy()))) >= 1:
        return np.inf
    return torch.trace(cost_sweeps(A, B, Q, R, K, gamma))


def finite_power(A, B, Q, R, K, gamma):
    """Whether a high power of the damped loop has died out."""
    M = gamma**0.5 * (A - B @ K)
    grown = torch.linalg.matrix_power(M, 1000).abs().max()
    return _sum(A, B, Q, R, K, gamma) if grown < 1 else torch.tensor(torch.inf)


def finite_longer(A, B, Q, R, K, gamma):
    return _sum(A, B, Q, R, K, gamma, 400)


def finite_raises(A, B, Q, R, K, gamma):
    assert torch.linalg.eigvals(A - B @ K).abs().max() < 1, "unstable"
    return _sum(A, B, Q, R, K, gamma)


def finite_if(endless):
    """infinity where endless(gamma, the closed loop, the cut-off sum)."""

    def cost(A, B, Q, R, K, gamma):
        total = _sum(A, B, Q, R, K, gamma)
        return torch.inf if endless(gamma, A - B @ K, total) else total

    return cost


def size(M):
    return torch.linalg.eigvals(M).abs().max()


RIGHT = {
    "gain_cost": [cost_sweeps, cost_kronecker, cost_rollout, cost_numpy],
    "riccati_step": [step_long, step_textbook, step_scaled_plant],
    "repaired_cost": [finite_sum, finite_trace, finite_power],
}

# (attempt, words that the message must contain)
WRONG = {
    "gain_cost": [
        (cost_stars, "expected"),
        (lambda A, B, Q, R, K, gamma: cost_sweeps(A, B, Q, R, -K, gamma), "The closed loop"),
        (lambda A, B, Q, R, K, gamma: cost_sweeps(A, B, Q, 0 * R, K, gamma), "The push costs too"),
        (lambda A, B, Q, R, K, gamma: cost_sweeps(A, B, Q, R, K, 1), "gamma is never used"),
        (lambda A, B, Q, R, K, gamma: Q + K.T @ R @ K, "You stop too early"),
        (lambda A, B, Q, R, K, gamma: gamma * cost_sweeps(A, B, Q, R, K, gamma), "is paid now"),
    ],
    "riccati_step": [
        (step_in_place, "changes its input P in place"),
        (step_one_gamma, "gamma weighs P wherever it stands"),
        (lambda A, B, Q, R, P, gamma: step_long(A, B, Q, R, P, 1), "gamma is never used"),
        (gain_alone, "That is the gain K"),
        (lambda *case: (step_long(*case), gain_alone(*case)), "without the gain"),
    ],
    "repaired_cost": [
        (_sum, "The bug is still there"),
        (finite_longer, "expected inf"),
        (finite_raises, "unstable"),
        (lambda A, B, Q, R, K, gamma: finite_sum(A, B, Q, R, K, 1.0), "expected"),
        (finite_if(lambda gamma, M, total: gamma * size(M) ** 2 > 1), "At exactly 1"),
        *[
            (finite_if(lambda gamma, M, total, x=x: total > x), "ask the closed loop")
            for x in (1e3, 1e4, 1e6, 1e9)
        ],
        (finite_if(lambda gamma, M, total: gamma * M.det().abs() >= 1), "can stretch once"),
        (finite_if(lambda gamma, M, total: gamma * M.trace() ** 2 >= 1), "expected"),
    ],
}
