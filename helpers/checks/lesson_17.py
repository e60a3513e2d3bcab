"""The checks of lesson 17: a gain's cost, one Riccati step, and a cost that knows infinity."""

import numpy as np
import torch

from helpers.checks.core import Check
from helpers.checks.slips import NO_GAMMA, Formula, pairs


def _case(formula, *matrices, gamma):
    return formula.case(*(torch.tensor(x, dtype=torch.float64) for x in matrices), gamma)


def _rounded(rng, *shape):
    return np.round(rng.uniform(-1, 1, shape), 1)


def _weights(rng, size):
    """A symmetric matrix that weighs every direction."""
    root = _rounded(rng, size, size)
    return root @ root.T + np.eye(size)


def _radius(M):
    return torch.linalg.eigvals(M).abs().max().item()


def _loop(rng, radius, *, mild=False):
    """A, B, Q, R, K [m, n] of a closed loop whose spectral radius is this. A mild one is stable
    without its gain and with the gain's sign turned as well, so that these slips give numbers."""
    n, m = rng.integers(1, 4), rng.integers(1, 3)
    M = rng.normal(size=(n, n))
    M *= radius / max(abs(np.linalg.eigvals(M)))
    B, K = _rounded(rng, n, m), _rounded(rng, m, n)
    while mild and any(max(abs(np.linalg.eigvals(M + k * B @ K))) > 0.9 for k in (1, 2)):
        K = K / 2
    return M + B @ K, B, _weights(rng, n), _weights(rng, m), K


def _summed(M, S, doublings=30):
    """S + M^T S M + (M^T)^2 S M^2 + ..., twice as many terms in each turn."""
    for _ in range(doublings):
        S, M = S + M.mT @ S @ M, M @ M
    return S


CART = [[1.0, 0.5], [0.0, 1.0]], [[0.0], [0.5]], [[1.0, 0.0], [0.0, 2.0]], [[1.0]]
BRAKED = [[0.6, 0.3], [0.0, 0.6]], *CART[1:]
PUSH = "The push costs too: u = -K x, so u^T R u is x^T (K^T R K) x."
LOOP = "The closed loop is A - B K, since u is -K x."
TRANSPOSED = "P stands between the transpose and the matrix: M^T P M, or A^T P M."

_cost = Formula(
    "A B Q R K gamma",
    push=lambda c: c.K.mT @ c.R @ c.K,
    step=lambda c: c.Q + c.push,
    M=lambda c: c.A - c.B @ c.K,
    damped=lambda c: c.gamma**0.5 * c.M,
    answer=lambda c: _summed(c.damped, c.step),
)

gain_cost = Check(
    "17.1",
    solution=_cost,
    example=_case(_cost, [[0.5]], [[1.0]], [[1.0]], [[2.0]], [[0.25]], gamma=0.8),
    edges=[
        _case(_cost, *BRAKED, [[0.3, 0.4]], gamma=1.0),
        _case(_cost, *BRAKED, [[0.0, 0.0]], gamma=0.5),
        _case(_cost, *BRAKED, [[0.3, 0.4]], gamma=0.0),
    ],
    draw=lambda rng: _case(
        _cost, *_loop(rng, rng.uniform(0.3, 0.8), mild=True), gamma=round(rng.uniform(0.5, 1), 2)
    ),
    mistakes=pairs(
        _cost.but(push=lambda c: 0),
        PUSH,
        _cost.but(push=lambda c: c.K.mT @ c.K),
        "R is never used: it weighs the push.",
        [_cost.but(M=lambda c: c.A + c.B @ c.K), _cost.but(M=lambda c: c.A)],
        LOOP,
        _cost.but(gamma=lambda c: 1.0),
        NO_GAMMA,
        _cost.but(answer=lambda c: c.gamma * _summed(c.damped, c.step)),
        "gamma is for the next state alone: Q + K^T R K is paid now.",
        _cost.then(damped=lambda M: M.mT),
        TRANSPOSED,
        [_cost.but(answer=lambda c, k=k: _summed(c.damped, c.step, k)) for k in (0, 1)],
        "You stop too early: the next states cost as well. Go on until P hardly changes, some hundred turns.",
    ),
)


_riccati = Formula(
    "A B Q R P gamma",
    inner=lambda c: c.gamma * c.B.mT @ c.P @ c.B,
    curve=lambda c: c.R + c.inner,
    slope=lambda c: c.gamma * c.B.mT @ c.P @ c.A,
    K=lambda c: torch.linalg.solve(c.curve, c.slope),
    answer=lambda c: c.Q + c.gamma * c.A.mT @ c.P @ (c.A - c.B @ c.K),
)


def _long(c, push=1):
    """Q + K^T R K + gamma (A - B K)^T P (A - B K)."""
    M = c.A - c.B @ c.K
    return c.Q + push * c.K.mT @ c.R @ c.K + c.gamma * M.mT @ c.P @ M


def _draw_step(rng):
    A, B, Q, R, _ = _loop(rng, rng.uniform(0.3, 1.2))
    return _case(
        _riccati, A, B, Q, R, _weights(rng, len(A)), gamma=round(rng.uniform(0.5, 0.95), 2)
    )


GAMMA_TWICE = "gamma weighs P wherever it stands: in the gain's two places, and in the new P."

riccati_step = Check(
    "17.2",
    solution=_riccati,
    example=_case(_riccati, [[1.0]], [[1.0]], [[1.0]], [[1.0]], [[2.0]], gamma=0.5),
    edges=[
        _case(_riccati, *CART, [[3.0, 1.0], [1.0, 2.0]], gamma=1.0),
        _case(_riccati, *CART, [[3.0, 1.0], [1.0, 2.0]], gamma=0.0),
        _case(_riccati, *CART, [[0.0, 0.0], [0.0, 0.0]], gamma=0.9),
        _case(
            _riccati,
            *([[1.2, 0.3], [0.0, 0.9]], [[1.0, 0.5], [0.0, 1.0]]),
            *([[1.0, 0.0], [0.0, 1.0]], [[2.0, 0.5], [0.5, 1.0]], [[4.0, 1.0], [1.0, 3.0]]),
            gamma=0.9,
        ),
    ],
    draw=_draw_step,
    mistakes=pairs(
        _riccati.but(answer=lambda c: c.K),
        "That is the gain K: return the new P that comes with it.",
        _riccati.but(answer=lambda c: (_long(c), c.K)),
        "The new P alone is wanted, without the gain.",
        _riccati.then(K=torch.neg),
        LOOP,
        _riccati.but(gamma=lambda c: 1.0),
        NO_GAMMA,
        [
            _riccati.but(inner=lambda c: c.B.mT @ c.P @ c.B),
            _riccati.but(slope=lambda c: c.B.mT @ c.P @ c.A),
            _riccati.but(inner=lambda c: c.B.mT @ c.P @ c.B, slope=lambda c: c.B.mT @ c.P @ c.A),
            _riccati.but(answer=lambda c: c.Q + c.A.mT @ c.P @ (c.A - c.B @ c.K)),
        ],
        GAMMA_TWICE,
        _riccati.but(curve=lambda c: c.inner),
        "R is missing in the gain: pushing costs, which makes one push less.",
        _riccati.but(curve=lambda c: c.R),
        "The gain divides by R + gamma B^T P B: where the push leads counts as well.",
        _riccati.but(K=lambda c: (1 / c.curve) @ c.slope),
        "The gain needs the inverse matrix: torch.linalg.solve(R + gamma B^T P B, gamma B^T P A).",
        _riccati.but(answer=lambda c: _long(c, push=0)),
        PUSH,
        _riccati.but(answer=lambda c: c.Q + c.gamma * c.A @ c.P @ (c.A - c.B @ c.K)),
        TRANSPOSED,
    ),
)


def _cut_off(c):
    total, S = 0.0, torch.eye(len(c.A), dtype=c.A.dtype)
    for t in range(200):
        total, S = total + c.gamma**t * (c.step * S).sum(), c.M @ S @ c.M.mT
    return total


_finite = Formula(
    "A B Q R K gamma",
    step=lambda c: c.Q + c.K.mT @ c.R @ c.K,
    M=lambda c: c.A - c.B @ c.K,
    size=lambda c: c.gamma**0.5 * _radius(c.M),
    total=_cut_off,
    endless=lambda c: c.size >= 1,
    answer=lambda c: torch.inf if c.endless else c.total,
)


def _sizes(*makes):
    """With other tests of stability, made of the closed loop."""
    return [_finite.but(size=lambda c, make=make: make(c)) for make in makes]


UNIT = [[1.0, 0.0], [0.0, 1.0]]
SWING = [[0.0, 1.5], [-1.5, 0.0]], [[0.0], [1.0]], UNIT, [[1.0]]  # a pair of complex eigenvalues

repaired_cost = Check(
    "17.3",
    solution=_finite,
    example=_case(_finite, [[1.2]], [[1.0]], [[1.0]], [[1.0]], [[0.1]], gamma=1.0),
    edges=[
        _case(_finite, [[1.2]], [[1.0]], [[1.0]], [[1.0]], [[0.4]], gamma=1.0),
        _case(_finite, [[1.2]], [[1.0]], [[1.0]], [[1.0]], [[0.1]], gamma=0.7),
        _case(_finite, [[1.2]], [[1.0]], [[1.0]], [[1.0]], [[0.1]], gamma=0.87),
        _case(_finite, [[-1.2]], [[1.0]], [[1.0]], [[1.0]], [[0.1]], gamma=1.0),
        _case(_finite, [[1.0]], [[1.0]], [[1.0]], [[1.0]], [[0.0]], gamma=1.0),
        _case(_finite, [[0.5]], [[1.0]], [[1e13]], [[1.0]], [[0.0]], gamma=1.0),
        _case(_finite, *SWING, [[0.0, 0.0]], gamma=1.0),
        _case(_finite, [[0.5, 4.0], [0.0, 0.5]], *SWING[1:], [[0.0, 0.0]], gamma=1.0),
    ],
    draw=lambda rng: _case(
        _finite,
        *_loop(rng, rng.choice([rng.uniform(0.3, 0.9), rng.uniform(1.1, 1.5)])),
        gamma=float(rng.choice([1.0, 0.95])),
    ),
    mistakes=pairs(
        _finite.but(answer=lambda c: torch.inf),
        "Your function calls every cost infinite: use its arguments.",
        [_finite.but(endless=lambda c, x=10.0**e: c.total > x) for e in range(2, 13)],
        "A large sum is not an infinite one, nor a small one finite: ask the closed loop.",
        _finite.but(endless=lambda c: c.size > 1),
        "At exactly 1 nothing dies out: the costs go on for ever, and so does the sum.",
        _sizes(
            lambda c: c.gamma**0.5 * torch.linalg.matrix_norm(c.M, 2),
            lambda c: c.gamma * torch.linalg.det(c.M).abs(),
        ),
        "A matrix can stretch once and still shrink in the end: take the largest eigenvalue's size.",
        _sizes(lambda c: c.gamma**0.5 * _radius(c.A), lambda c: _radius(c.A)),
        "Test the closed loop, A - B K: an unstable plant can be held by a gain.",
        _sizes(lambda c: _radius(c.M)),
        "gamma counts too: costs grow with the radius squared, and gamma takes some of that back.",
        _sizes(lambda c: c.gamma * _radius(c.M)),
        "A cost is a square: it goes by gamma times the radius squared.",
        _sizes(lambda c: c.gamma**0.5 * torch.linalg.eigvals(c.M).real.max()),
        "Eigenvalues can be negative or complex: take their size, abs(), not the real part.",
        _sizes(lambda c: 1 + torch.linalg.eigvals(c.M).real.max()),
        "A real part below 0 is the test for differential equations: in steps, the size must be below 1.",
        _finite.but(answer=lambda c: c.total),
        "The bug is still there: where the closed loop grows, 200 steps are not all.",
        [_finite.but(answer=lambda c, x=x: x if c.endless else c.total) for x in (torch.nan, 1e9)],
        "Where the cost is infinite, say so: return torch.inf.",
    ),
)
