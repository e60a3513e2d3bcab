"""Lesson 17, what control's formulas must give: derived here in NumPy and SciPy."""

import math

import numpy as np
import pytest
import torch
from lesson_cells import Lesson, each_end
from scipy.linalg import solve_discrete_are, solve_discrete_lyapunov

from helpers import checks
from helpers.errors import SlipError

LESSON = Lesson(17)
A, B = np.array([[1, 0.1], [0, 1]]), np.array([[0], [0.1]])
POLE = np.array([[1, 0.1], [0.5, 1]])
Q, R = np.eye(2), np.eye(1)
K_STAR, J_STAR = (0.917042, 1.682052), 37.253143


def radius(M):
    return max(abs(np.linalg.eigvals(M)))


def best(A=A, B=B, gamma=1.0):
    """K and P by SciPy: a discount is a plant shrunk by its root."""
    a, b = gamma**0.5 * A, gamma**0.5 * B
    P = solve_discrete_are(a, b, np.eye(len(A)), np.eye(b.shape[1]))
    return np.linalg.solve(np.eye(b.shape[1]) + b.T @ P @ b, b.T @ P @ a), P


def cost(K, A=A, B=B, gamma=1.0):
    """P by SciPy's Lyapunov solver."""
    M = gamma**0.5 * (A - B @ K)
    assert radius(M) < 1
    return solve_discrete_lyapunov(M.T, np.eye(len(A)) + K.T @ K)


def draw_gain(rng):
    """A stable gain of the cart: a point of the triangle."""
    share = rng.dirichlet([1, 1, 1])
    return (share @ [[0, 0], [0, 20], [400, 40]])[None]


CELLS = "imports plant held cost-matrix riccati riccati-check plants gradient-code critic-steps"
CELLS += " critic-code self-tuning noise-critic race race-run"


@pytest.fixture(scope="module")
def names():
    return LESSON.run(*CELLS.split(), "margin", "stage", "follow")


def torched(K):
    return torch.tensor(np.atleast_2d(K), dtype=torch.float64)


# --- the cart ------------------------------------------------------------------------------------


def test_the_best_gain_and_its_cost(names):
    K, P = best()
    assert K[0] == pytest.approx(K_STAR, abs=5e-7) and np.trace(P) == pytest.approx(
        J_STAR, abs=5e-7
    )
    found_P, found_K = names["best"]()
    assert found_K.numpy() == pytest.approx(K) and found_P.numpy() == pytest.approx(P)
    for plant, mass in [
        ("cart", 10.0),
        ("cart", 0.1),
        ("pole", 10.0),
        ("pole", 0.1),
    ]:  # the panel's
        scaled = names["B"] / mass
        found_P, _ = names["best"](0.99, names["PLANTS"][plant], scaled)
        assert found_P.numpy() == pytest.approx(
            best({"cart": A, "pole": POLE}[plant], B / mass, 0.99)[1], rel=1e-4
        )


def test_riccati_takes_91_steps_to_6_decimals():
    P, steps = np.zeros((2, 2)), 0
    while True:
        K = np.linalg.solve(R + B.T @ P @ B, B.T @ P @ A)
        if abs(K - best()[0]).max() < 1e-6:
            break
        P, steps = Q + A.T @ P @ (A - B @ K), steps + 1
    assert steps == 91


def test_the_stable_gains_are_the_triangle():
    rng = np.random.default_rng(0)
    for k1, k2 in rng.uniform([-50, -10], [450, 50], (2000, 2)):
        inside = k1 > 0 and k2 > k1 / 10 and k2 < 20 + k1 / 20
        assert (radius(A - B @ [[k1, k2]]) < 1) == inside


@pytest.mark.parametrize(("k", "at"), [((0, 7), 1), ((10, 1), None), ((10, 20.5), -1)])
def test_how_the_cart_fails_at_each_edge(k, at):
    values = np.linalg.eigvals(A - B @ [k])
    assert max(abs(values)) == pytest.approx(1)
    if at is None:
        assert abs(values.imag).min() > 0.1
    else:
        assert abs(values - at).min() < 1e-9


def test_a_late_spring_feeds_the_swing():
    assert radius(A - B @ [[2, 0]]) == pytest.approx(1.02**0.5)


def test_the_stable_gains_of_two_pushes_are_not_convex():
    K = np.array([[0, 4], [0, 0]])
    assert radius(-K) == radius(-K.T) == 0 and radius(-(K + K.T) / 2) == pytest.approx(2)


def test_the_pole_and_the_discount():
    K, _ = best(POLE, B, 0.8)
    assert radius(POLE) == pytest.approx(1 + 0.05**0.5)
    assert 1.01 < radius(POLE - B @ K) < (1 / 0.8) ** 0.5
    assert radius(POLE - B @ best(POLE, B, 0.9)[0]) < 0.92


# --- costs and slopes ----------------------------------------------------------------------------


def test_the_cost_and_its_slope_by_numpy(names):
    rng = np.random.default_rng(1)
    for gamma in (1.0, 0.9):
        for _ in range(20):
            K = draw_gain(rng)
            if radius(A - B @ K) > 0.97:
                continue
            P = names["cost_matrix"](torched(K), gamma).numpy()
            assert P == pytest.approx(cost(K, gamma=gamma), rel=1e-6)
            h = 1e-5 * K.max() * np.eye(2)[:, None]
            slope = [
                np.trace(cost(K + d, gamma=gamma) - cost(K - d, gamma=gamma)) / 2 / d.max()
                for d in h
            ]
            found = names["gradient"](torched(K), gamma).numpy()[0]
            assert found == pytest.approx(slope, rel=1e-4, abs=1e-4 * abs(found).max())


def test_an_unstable_gain_is_told_in_a_sentence(names):
    for K, gamma in [((2, 0), 1.0), ((-1, 1), 1.0), ((1, 30), 0.99)]:
        with pytest.raises(SlipError, match=r"its cost is infinite"):
            names["cost_matrix"](torched(K), gamma)
    assert names["cost_matrix"](torched((2, 0)), 0.9).trace() == pytest.approx(
        np.trace(cost(np.array([[2, 0]]), gamma=0.9))
    )
    for gamma in (-0.1, 1.1):
        with pytest.raises(SlipError, match="gamma"):
            names["cost_matrix"](torched((1, 1)), gamma)
    with pytest.raises(SlipError, match="mass"):
        next(names["race"](names["fixed"], "cart", 0.0))


def test_what_another_gain_costs_more_is_what_the_critic_holds_against_it():
    """J(K') - J(K) = the sum of K's critic's differences along the way of K'."""
    rng, gamma = np.random.default_rng(4), 0.9
    for _ in range(20):
        K, other = draw_gain(rng), draw_gain(rng)
        P, M = cost(K, gamma=gamma), gamma**0.5 * (A - B @ other)
        curve, change = R + gamma * B.T @ P @ B, other - K
        E = curve @ K - gamma * B.T @ P @ A
        each = change.T @ curve @ change + change.T @ E + E.T @ change
        apart = cost(other, gamma=gamma) - P
        assert solve_discrete_lyapunov(M.T, each) == pytest.approx(apart, rel=1e-6)


def test_policy_iteration_stays_stable_and_arrives():
    rng, (optimum, *_) = np.random.default_rng(2), best()
    for _ in range(30):
        K, errors = draw_gain(rng), []
        for _ in range(40):
            P = cost(K)
            K = np.linalg.solve(R + B.T @ P @ B, B.T @ P @ A)
            assert radius(A - B @ K) < 1
            errors.append(abs(K - optimum).max())
        assert errors[-1] < 1e-9
        near = [k for k, error in enumerate(errors[:-1]) if 1e-5 < error < 1e-2]
        assert all(errors[k + 1] < 20 * errors[k] ** 2 for k in near)


def test_the_half_gauss_newton_step_is_policy_iteration():
    K = np.array([[2.0, 1.0]])
    P = cost(K, gamma=0.9)
    curve = R + 0.9 * B.T @ P @ B
    E = curve @ K - 0.9 * B.T @ P @ A
    greedy = np.linalg.solve(curve, 0.9 * B.T @ P @ A)
    assert K - 0.5 * 2 * np.linalg.solve(curve, E) == pytest.approx(greedy)


@pytest.mark.parametrize(("lr", "stays"), [(1e-2, False), (1e-5, False), (1e-6, True)])
def test_the_first_step_from_near_the_far_corner(names, lr, stays):
    K = torched((300, 34))
    assert (radius(A - B @ (K - lr * names["gradient"](K)).numpy()) < 1) == stays


# --- the critic ----------------------------------------------------------------------------------


def test_the_critics_matrix_and_its_six_features(names):
    K, gamma, rng = np.array([[2.0, 1.0]]), 0.9, np.random.default_rng(3)
    P, AB = cost(K, gamma=gamma), np.hstack([A, B])
    H = np.diag([1.0, 1, 1]) + gamma * AB.T @ P @ AB
    x, u = rng.normal(size=(5, 2)), rng.normal(size=(5, 1))
    z = np.hstack([x, u])
    entries = torched(H[np.triu_indices(3)])[0]
    found = names["features"](torched(x), torched(u)) @ entries
    assert found.numpy() == pytest.approx(np.einsum("ni,ij,nj->n", z, H, z))
    greedy = np.linalg.solve(R + gamma * B.T @ P @ B, gamma * B.T @ P @ A)
    assert (entries[[2, 4]] / entries[5]).numpy() == pytest.approx(greedy[0])


def test_without_exploration_half_of_the_critic_cannot_be_told(names):
    for explore, rank in [(1.0, 6), (0.0, 3)]:
        left, _ = names["fitted"](torched((0.1, 0.3)), explore, seed=7)
        assert torch.linalg.matrix_rank(left, rtol=1e-9) == rank
    unseen = torch.linalg.svd(left)[2][3:]
    assert unseen.norm(dim=0).min() > 0.1  # each entry has a part in what is not settled


@pytest.mark.parametrize("seed", range(5))
def test_a_handful_of_critics_is_enough(names, seed):
    K, count = torched((0.1, 0.3)), 0
    while abs(K.numpy() - best()[0]).max() > 1e-6:
        _, H = names["fitted"](K, seed=100 * (seed + 1) + count)
        K, count = (H[[2, 4]] / H[5])[None], count + 1
    assert 4 <= count <= 10


@pytest.mark.parametrize(
    ("way", "steps", "noise", "near"),
    [("improved", 40_000, 0.1, 0.05), ("by_model", 200, 0.0, 1e-6)],
)
def test_the_improved_gain_from_steps(names, way, steps, noise, near):
    generator = torch.Generator().manual_seed(0)
    x = torch.zeros(4, 2, dtype=torch.float64)
    K, rows = torched((2, 1)), []
    for _ in range(steps):
        e, w = (torch.randn(4, n, generator=generator, dtype=torch.float64) for n in (1, 2))
        u = -x @ K.T + e
        rows.append((x, u, x @ names["A"].T + u @ names["B"].T + noise * w))
        x = rows[-1][2]
    data = [torch.stack(column) for column in zip(*rows)]
    P = cost(K.numpy(), gamma=0.9)
    greedy = np.linalg.solve(R + 0.9 * B.T @ P @ B, 0.9 * B.T @ P @ A)
    found = names[way](*data, K.repeat(4, 1, 1), 0.9)
    assert found.mean(0).numpy() == pytest.approx(greedy, abs=near)


# --- the change ----------------------------------------------------------------------------------


def test_the_price_of_exploration():
    """A step's mean cost from the stationary covariance, beside trace(P W) + the price."""
    K, W, variance = best(gamma=0.99)[0], 0.01 * np.eye(2), 0.25
    spread = solve_discrete_lyapunov(A - B @ K, W + variance * B @ B.T)
    mean = np.trace((Q + K.T @ K) @ spread) + variance
    P = cost(K)
    assert mean == pytest.approx(np.trace(P @ W) + variance * (1 + (B.T @ P @ B).item()))


def test_what_the_old_gain_costs_on_a_changed_plant(names):
    for plant, a, masses in [("cart", A, [0.125, 2, 8]), ("pole", POLE, [0.25, 0.5])]:
        old, _ = best(a, B, 0.99)
        for mass in masses:
            ratio = np.trace(cost(old, a, B / mass)) / np.trace(best(a, B / mass)[1])
            assert names["dearer"](plant, mass) == pytest.approx(ratio, rel=1e-6)
    assert names["dearer"]("cart", 2) < 1.06 and 1.4 < names["dearer"]("cart", 8) < 1.6
    assert np.isinf([names["dearer"]("pole", 2), names["dearer"]("cart", 0.05)]).all()


def test_what_a_gamma_of_09_costs_on_the_cart_of_twice_the_mass():
    """The mean cost of a step with noise and exploration, exactly."""

    def mean(gamma):
        P = cost(best(A, B / 2, gamma)[0], A, B / 2)
        return 0.01 * np.trace(P) + 0.25 * (1 + (B.T @ P @ B).item() / 4)

    assert 1.9 < mean(0.9) / mean(0.99) < 2.1


def test_recursive_least_squares_is_weighted_least_squares(names):
    *_, o = names["race"](names["self_tuning"], "cart", 2.0, 0.5, runs=2, change=100)
    z = torch.cat([o.X, o.U], -1).numpy()
    weights = 0.998 ** np.arange(len(z) - 1, -1, -1.0)
    for run in range(2):
        Z, Y = z[:, run], o.Y[:, run].numpy()
        prior = 0.998 ** len(z) / 0.1
        left = (Z * weights[:, None]).T @ Z + prior * np.eye(3)
        right = (Z * weights[:, None]).T @ Y + prior * np.hstack([A, B]).T
        assert o.model[run].numpy() == pytest.approx(np.linalg.solve(left, right).T, abs=1e-6)


@each_end(k1=(-1.0, 20.0), k2=(-1.0, 25.0))
def test_the_first_panel_at_the_ends_of_its_sliders(names, settings):
    item = names["held"](**settings)
    assert np.isfinite(item.value[1].numpy()).all() and item.words()


@each_end(
    plant=("cart", "pole"),
    controller=("self-tuning", "its twin"),
    mass=(0.1, 10.0),
    gamma=(0.0, 1.0),
    lr=(1e-3, 1.0),
    explore=(0.0, 2.0),
    forget=(0.98, 1.0),
)
def test_the_large_panel_at_the_ends_of_its_sliders(names, settings):
    *_, last = names["follow"](**settings, seed=3)
    assert last.fraction == 1 and last.recent.shape == (50, 2)
    assert last.recent.isfinite().all() and last.gains.isfinite().all()
    assert f"{last.lost} of 8" in last.words()


@pytest.mark.parametrize("controller", ["fixed gain", "self-tuning", "actor-critic", "its twin"])
def test_every_controller_begins_with_the_best_gain_at_099(names, controller):
    settings = {"mass": 2.0, "lr": 0.1, "explore": 0.5, "forget": 0.998, "seed": 0}
    first = next(names["follow"]("cart", controller, gamma=0.5, **settings))
    if controller != "self-tuning":  # which corrects its gain at once
        assert first.gains.numpy() == pytest.approx([1, 1])
    assert first.fraction == pytest.approx(50 / 3000) and max(first.target) < 0.3


def test_of_32_coins_23_are_rare():
    high = sum(math.comb(32, k) for k in range(23, 33)) / 2**32
    assert 0.005 < high < 0.015 and sum(math.comb(32, k) for k in range(10)) / 2**32 == high
    assert 2**12 == pytest.approx(4000, rel=0.05)  # 12 heads of 12


# --- the exercises -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plant", "steps", "low", "high"),
    [(POLE, 10, 1.2, 1.21), (POLE, 20, 0.8, 0.9), (A, 10, 0.98, 0.999), (A, 100, 0.91, 0.92)],
)
def test_what_descent_finds_on_a_sum_that_is_cut_off(plant, steps, low, high):
    def summed(K):
        X, total = np.eye(2), 0.0
        for _ in range(steps):
            total, X = total + (X**2).sum() + ((K @ X) ** 2).sum(), (plant - B @ K) @ X
        return total

    K, h = np.ones((1, 2)), 1e-6 * np.eye(2)[:, None]
    for _ in range(400):
        K = K - 0.003 * np.array([[summed(K + d) - summed(K - d) for d in h]]) / 2e-6
    assert low < radius(plant - B @ K) < high
    if steps == 10 and plant is POLE:
        assert summed(K) == pytest.approx(151, abs=0.5) and summed(K) < np.trace(best(POLE)[1]) / 2


def test_the_solutions_by_scipy():
    for _ in range(20):
        case = [
            x.numpy() if hasattr(x, "numpy") else x for x in checks.gain_cost.draw(RNG).values()
        ]
        a, b, q, r, k, gamma = case
        M = gamma**0.5 * (a - b @ k)
        P = solve_discrete_lyapunov(M.T, q + k.T @ r @ k)
        found = checks.gain_cost.solution(*map(_as_tensor, case))
        assert found.numpy() == pytest.approx(P)
        total = checks.repaired_cost.solution(*map(_as_tensor, case))
        assert total == pytest.approx(np.trace(P), rel=1e-4)
        P_star = solve_discrete_are(gamma**0.5 * a, gamma**0.5 * b, q, r)
        again = checks.riccati_step.solution(*map(_as_tensor, (a, b, q, r, P_star, gamma)))
        assert again.numpy() == pytest.approx(P_star, rel=1e-6, abs=1e-8)


RNG = np.random.default_rng(5)


def _as_tensor(x):
    return torch.tensor(x) if isinstance(x, np.ndarray) else x
