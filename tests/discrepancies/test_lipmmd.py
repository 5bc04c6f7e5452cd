"""The Lipschitz MMD against closed forms, a conic solver and Wasserstein distances; its bounds, gradients and words."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance

from bench_core.discrepancies import _lipmmd, mmd2
from bench_core.discrepancies.lipmmd import ConvergenceWarning, LipMMD, lipmmd
from bench_core.kernels import Gaussian, InverseMultiquadric, Laplace, Linear, Mixture, RationalQuadratic

TIGHT = 1e-9


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def line(low: float, high: float, k: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.linspace(low, high, k, dtype=dtype)[:, None]  # (k, 1)


def square(low: float, high: float, k: int) -> torch.Tensor:
    side = torch.linspace(low, high, k, dtype=torch.float64)
    return torch.cartesian_prod(side, side)  # (k^2, 2)


def diracs(theta: float) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(1, 1, dtype=torch.float64), torch.full((1, 1), theta, dtype=torch.float64)


def check(result: LipMMD, tolerance: float) -> None:
    """The bounds are in order and as close as promised, and the weights a probability."""
    value, lower, upper, weights = result
    assert bool(((lower <= value) & (value <= upper) & (upper - lower <= tolerance)).all())
    assert bool((weights >= 0).all())
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(value))


@pytest.fixture
def evaluations(monkeypatch) -> list[int]:
    """The number of trials in every evaluation of the dual."""
    seen: list[int] = []
    original = _lipmmd._evaluate

    def spy(problem, *rest):
        seen.append(problem.mmd2.numel())
        return original(problem, *rest)

    monkeypatch.setattr(_lipmmd, "_evaluate", spy)
    return seen


# --- against oracles ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("theta", "psi", "lam"),
    [
        (0.1, 1.0, 1.0),
        (1.0, 1.0, 1.0),
        (2.4, 1.0, 1.0),
        (0.3, 3.0, 1.0),
        (20.0, 0.1, 1.0),
        (1.0, 0.3, 0.1),
        (0.1, 3.0, 9),
    ],
)
def test_two_points_are_the_closed_form(theta, psi, lam):
    """Where the critic is steepest half-way, the dual measure is a point mass there."""
    assert (psi * theta) ** 2 <= 12 * lam / (lam + psi**2)
    squared = 2 * (1 - math.exp(-((psi * theta) ** 2) / 2))
    squared -= psi**4 * theta**2 * math.exp(-((psi * theta) ** 2) / 4) / (lam + psi**2)
    points = line(-theta, 2 * theta, 41)
    assert points[20].item() == pytest.approx(theta / 2)
    result = lipmmd(*diracs(theta), Gaussian(1 / psi**2), points, lam=lam, tolerance=TIGHT)
    check(result, TIGHT)
    assert result.value.item() == pytest.approx(math.sqrt(squared / lam), abs=TIGHT)
    assert result.weights[20].item() > 0.999


@pytest.mark.parametrize(("theta", "psi", "lam"), [(0.1, 1.0, 1.0), (-3.0, 0.5, 0.01), (20.0, 5.0, 10.0)])
def test_the_linear_kernel_is_the_scaled_distance(theta, psi, lam):
    x, y = diracs(theta)
    result = lipmmd(x, y, lambda a, b: psi**2 * Linear()(a, b), line(-30, 30, 7), lam=lam)
    assert result.value.item() == pytest.approx(abs(theta) / math.sqrt(1 + lam / psi**2))
    check(result, 1e-12)  # every critic is as steep everywhere as somewhere: any measure is optimal


def conic(x: torch.Tensor, y: torch.Tensor, bandwidth: float, points: torch.Tensor, lam: float) -> float:
    """Arbel, Sutherland, Bińkowski, Gretton, eq. 29, of the Gaussian kernel, by a generic solver.

    A critic is a vector in the span of the samples' kernel functions and the points' derivatives, in coordinates of an
    orthonormal basis, because their Gram matrix is numerically singular.
    """
    z, p = torch.cat([x, y]).numpy(), points.numpy()
    k, d = p.shape
    to_z = p[:, None] - z[None]  # (k, n + m, d)
    between = p[:, None] - p[None]  # (k, k, d)
    values = np.exp(-((z[:, None] - z[None]) ** 2).sum(-1) / (2 * bandwidth))
    slopes = -to_z / bandwidth * np.exp(-(to_z**2).sum(-1) / (2 * bandwidth))[..., None]
    mixed = np.eye(d) / bandwidth - between[..., :, None] * between[..., None, :] / bandwidth**2
    mixed = mixed * np.exp(-(between**2).sum(-1) / (2 * bandwidth))[..., None, None]  # (k, k, d, d)
    lower_left = slopes.transpose(0, 2, 1).reshape(k * d, len(z))
    gram = np.block([[values, lower_left.T], [lower_left, mixed.transpose(0, 2, 1, 3).reshape(k * d, k * d)]])
    eigenvalues, vectors = np.linalg.eigh(gram)
    kept = eigenvalues > 1e-11 * eigenvalues[-1]
    functionals = vectors[:, kept] * np.sqrt(eigenvalues[kept])  # evaluations and derivatives of the basis
    import cvxpy  # here, as only this oracle needs it

    critic = cvxpy.Variable(int(kept.sum()))
    difference = functionals[: len(x)].mean(0) - functionals[len(x) : len(z)].mean(0)
    gradients = functionals[len(z) :].reshape(k, d, -1)
    norm = lam * cvxpy.sum_squares(critic)
    constraints = [cvxpy.sum_squares(gradient @ critic) + norm <= 1 for gradient in gradients]
    problem = cvxpy.Problem(cvxpy.Maximize(difference @ critic), constraints)
    return float(problem.solve(solver=cvxpy.CLARABEL))


@pytest.mark.parametrize(
    ("d", "bandwidth", "lam", "seed"),
    [(1, 1.0, 1.0, 0), (1, 0.1, 0.01, 1), (1, 3.0, 1e-3, 2), (2, 1.0, 1.0, 3), (2, 0.3, 0.05, 4), (2, 4.0, 1e-3, 5)],
)
def test_it_is_what_a_conic_solver_finds(d, bandwidth, lam, seed):
    x, y = normal(6, d, seed=seed), normal(8, d, seed=seed + 100) * 0.5 + 1
    points = line(-4, 4, 15) if d == 1 else square(-4, 4, 5)
    result = lipmmd(x, y, Gaussian(bandwidth), points, lam=lam, tolerance=1e-7)
    check(result, 1e-7)
    assert result.value.item() == pytest.approx(conic(x, y, bandwidth, points, lam), abs=1e-5)


@pytest.mark.parametrize(
    "kernel", [RationalQuadratic(0.7), InverseMultiquadric(2.0), Mixture([Gaussian(1.0), Linear()])]
)
def test_other_kernels_are_certified_and_refining_only_lowers(kernel):
    x, y = normal(3, 20, 1), normal(3, 30, 1, seed=1) * 0.3 + 1
    coarse, fine = (lipmmd(x, y, kernel, line(-4, 4, k), lam=0.1, tolerance=1e-7) for k in (9, 33))
    check(coarse, 1e-7)
    check(fine, 1e-7)
    assert bool((fine.value <= coarse.value + 1e-7).all())
    assert bool((fine.value < coarse.value - 1e-5).any())


@pytest.mark.parametrize("lam", [1.0, 1e-2, 1e-4])
def test_it_is_below_the_wasserstein_distance(lam):
    """Up to what the slope may gain between points at distance h: |f''| is at most sqrt(3) / s |f|_H, with the norm at
    most 1 / sqrt(lam), over h / 2."""
    x, y, s, k = (
        normal(4, 30, 1),
        normal(4, 40, 1, seed=1) * 0.5 + torch.tensor([0.0, 0.3, 1.0, 3.0])[:, None, None],
        1.0,
        150,
    )
    gain = math.sqrt(3) / s / math.sqrt(lam) * (10 / (k - 1)) / 2
    result = lipmmd(x, y, Gaussian(s), line(-5, 5, k), lam=lam)
    distances = [wasserstein_distance(a.flatten(), b.flatten()) for a, b in zip(x, y, strict=True)]
    assert bool((result.lower <= torch.tensor(distances) * (1 + gain)).all())
    assert bool((result.lower <= torch.tensor(distances) * 1.001).all())  # in fact


def test_it_tends_to_the_wasserstein_distance():
    x, y = normal(30, 1) * 0.3, normal(30, 1, seed=1) * 0.5 + 1
    distance = wasserstein_distance(x.flatten(), y.flatten())
    result = lipmmd(x, y, Gaussian(0.3), line(-3, 3, 120), lam=torch.tensor([1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-6]))
    missing = 1 - result.value / distance
    assert bool((missing.diff() < 0).all())  # the smaller lam, the larger the value
    assert missing[0].item() > 0.3
    assert abs(missing[-1].item()) < 0.001


def test_it_is_at_most_the_mmd_over_the_root_of_lam():
    x, y, kernel = normal(5, 20, 2).clamp(-3, 3), normal(5, 20, 2, seed=1).clamp(-3, 3), Gaussian(1.0)
    for lam in (0.01, 1.0, 100.0):
        bound = (mmd2(x, y, kernel, "biased") / lam).sqrt()
        result = lipmmd(x, y, kernel, square(-3, 3, 6), lam=lam)
        assert bool((result.value <= bound + 1e-12).all())
    assert bool((result.value > 0.99 * bound).all())  # a slope is no constraint where the norm is a tight one


# --- invariances ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 2])
def test_invariances(d):
    x, y = normal(12, d).clamp(-3, 3), normal(15, d, seed=1).clamp(-3, 3) * 0.5
    points, kernel = (line(-3, 3, 20) if d == 1 else square(-3, 3, 5)), Gaussian(0.5)

    def value(x, y, points) -> torch.Tensor:
        return lipmmd(x, y, kernel, points, lam=0.1, tolerance=TIGHT).value

    expected = value(x, y, points)
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(0))
    for same in (
        value(y, x, points),
        value(x + 5, y + 5, points + 5),
        value(-x, -y, -points),
        value(x, y, points[order]),
        value(x, y, torch.cat([points, points[3:5]])),
        value(x.flip(0), y.repeat(2, 1), points),
    ):
        torch.testing.assert_close(same, expected, rtol=0, atol=2 * TIGHT)


def test_equal_samples_are_at_distance_zero():
    x = normal(2, 10, 1).requires_grad_()
    result = lipmmd(x, x.detach().clone(), Gaussian(1.0), line(-4, 4, 20))
    check(result, 1e-6)
    assert bool((result.value < 1e-6).all())
    assert bool(torch.autograd.grad(result.value.sum(), x)[0].isfinite().all())
    at_zero = torch.zeros(1, 1, requires_grad=True)
    value = lipmmd(at_zero, at_zero.detach(), Gaussian(1.0), line(-1, 1, 5)).value
    assert (value.item(), torch.autograd.grad(value, at_zero)[0].item()) == (0, 0)


# --- derivatives ----------------------------------------------------------------------------------------------------


def tight(*arguments: object, **options: object) -> torch.Tensor:
    return lipmmd(*arguments, tolerance=1e-10, **options).value  # type: ignore[arg-type]


@pytest.mark.parametrize("d", [1, 2])
def test_gradients_are_those_of_the_solved_problem(d):
    """Finite differences see the weights move; the envelope theorem says that it makes no difference."""
    x, y = normal(2, 3, d).requires_grad_(), (normal(4, d, seed=1) * 0.5 + 1).requires_grad_()
    points = line(-4, 4, 9) if d == 1 else square(-4, 4, 3)
    bandwidth = torch.tensor([0.7, 2.0], dtype=torch.float64, requires_grad=True)
    lam = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)

    def value(x, y, points, bandwidth, lam) -> torch.Tensor:
        return tight(x, y, Gaussian(bandwidth), points, lam=lam)

    assert torch.autograd.gradcheck(
        value, (x, y, points.requires_grad_(), bandwidth, lam), eps=1e-5, atol=2e-4, rtol=1e-3
    )


def test_a_gradient_of_the_gradient_is_refused():
    x, y = normal(3, 1).requires_grad_(), normal(4, 1, seed=1)
    bandwidth = torch.tensor(1.0, requires_grad=True)
    value = lipmmd(x, y, Gaussian(bandwidth), line(-4, 4, 9)).value
    for gradient in torch.autograd.grad(value, (x, bandwidth), create_graph=True):
        with pytest.raises(RuntimeError, match="differentiated once only"):
            torch.autograd.grad(gradient.sum(), x, retain_graph=True)


def test_only_the_value_is_differentiable():
    x = normal(3, 1).requires_grad_()
    value, lower, upper, weights = lipmmd(x, normal(4, 1, seed=1), Gaussian(1.0), line(-4, 4, 9))
    assert value.requires_grad
    assert not any(part.requires_grad for part in (lower, upper, weights))
    with torch.no_grad():
        assert not lipmmd(x, normal(4, 1, seed=1), Gaussian(1.0), line(-4, 4, 9)).value.requires_grad


# --- the solver -----------------------------------------------------------------------------------------------------

HARD = [  # theta, psi, lam
    (0.1, 10.0, 1e-4),
    (1.0, 1.0, 1e-4),
    (5.0, 3.0, 1e-2),
    (20.0, 10.0, 1.0),
    (20.0, 0.1, 1e-4),
]


@pytest.mark.parametrize("tolerance", [1e-4, 1e-8])
def test_few_evaluations_close_the_gap(tolerance, evaluations):
    for theta, psi, lam in HARD:
        evaluations.clear()
        points = line(-0.25 * theta - 0.5, 1.25 * theta + 0.5, 80)
        check(lipmmd(*diracs(theta), Gaussian(1 / psi**2), points, lam=lam, tolerance=tolerance), tolerance)
        assert len(evaluations) <= (25 if tolerance == 1e-4 else 40)


def test_a_start_near_the_end_saves_evaluations(evaluations):
    x, y, points = normal(5, 50, 1) * 0.1, normal(5, 50, 1, seed=1) + 1, line(-5, 5, 60)
    cold = lipmmd(x, y, Gaussian(0.3), points, lam=0.1)
    cost = sum(evaluations)
    evaluations.clear()
    again = lipmmd(x, y, Gaussian(0.3), points, lam=0.1, start=cold.weights)
    assert sum(evaluations) <= 2 * 5
    torch.testing.assert_close(again.value, cold.value, rtol=0, atol=1e-4)
    evaluations.clear()
    moved = lipmmd(x, y + 0.003, Gaussian(0.3), points, lam=0.1, start=3 * cold.weights.float())  # of any sum
    check(moved, 1e-4)
    assert sum(evaluations) < 0.7 * cost


@pytest.mark.parametrize("kind", ["one point", "the wrong half"])
def test_a_bad_start_only_costs_steps(kind, evaluations):
    start = torch.zeros(40)
    start[0 if kind == "one point" else slice(20, 40)] = 1
    x, y, points = normal(20, 1) - 1, normal(20, 1, seed=1) * 0.1 - 1, line(-5, 5, 40)
    result = lipmmd(x, y, Gaussian(0.3), points, lam=0.01, start=start, tolerance=TIGHT)
    check(result, TIGHT)
    assert len(evaluations) < 60
    expected = lipmmd(x, y, Gaussian(0.3), points, lam=0.01, tolerance=TIGHT).value
    torch.testing.assert_close(result.value, expected, rtol=0, atol=TIGHT)


def test_a_tolerance_out_of_reach_warns_and_keeps_the_bounds(monkeypatch):
    x, y, points = normal(3, 20, 1), normal(3, 20, 1, seed=1) + 1, line(-5, 5, 30)
    truth = lipmmd(x, y, Gaussian(1.0), points, lam=0.01, tolerance=TIGHT).value
    monkeypatch.setattr(_lipmmd, "MAX_STEPS", 2)
    with pytest.warns(ConvergenceWarning, match=r"in 3 of 3 trials .* up to .*; raise the tolerance or lam"):
        result = lipmmd(x, y, Gaussian(1.0), points, lam=0.01)
    assert bool(((result.lower <= truth) & (truth <= result.upper)).all())


def test_rounding_ends_the_search(evaluations):
    x, y = diracs(1.0)
    with pytest.warns(ConvergenceWarning, match="of at most 1e-17 was asked for"):
        result = lipmmd(x, y, Gaussian(0.01), line(-1, 2, 20), lam=1e-3, tolerance=1e-17)
    check(result, 1e-9)
    assert len(evaluations) < 400


# --- trials do not feel each other ----------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_trial_is_the_same_alone(d, dtype):
    x, y = normal(6, 15, d, dtype=dtype).clamp(-4, 4), (normal(6, 11, d, seed=1, dtype=dtype) * 0.2).clamp(-4, 4)
    y = y + torch.linspace(0, 3, 6)[:, None, None].to(dtype)
    points = line(-4, 4, 25) if d == 1 else square(-4, 4, 6)

    def everything(trials: slice) -> list[torch.Tensor]:
        leaves = [z[trials].clone().requires_grad_() for z in (x, y)]
        result = lipmmd(*leaves, Gaussian(1.0), points, lam=0.1)
        return [*result, *torch.autograd.grad(result.value.sum(), leaves)]

    whole = everything(slice(0, 6))
    assert {part.dtype for part in whole} == {dtype}
    for first, width in ((0, 1), (3, 1), (2, 3)):
        for all_trials, these in zip(whole, everything(slice(first, first + width)), strict=True):
            assert torch.equal(all_trials[first : first + width], these)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_broken_trial_breaks_no_other(bad):
    x, y, points = normal(3, 10, 1), normal(3, 10, 1, seed=1) + 1, line(-5, 5, 20)
    expected = lipmmd(x, y, Gaussian(1.0), points)
    x[1, 4] = bad
    result = lipmmd(x, y, Gaussian(1.0), points)
    assert bool(result.value[1].isnan() & result.lower[1].isnan() & result.upper[1].isnan())
    for a, b in zip(result, expected, strict=True):
        assert torch.equal(a[[0, 2]], b[[0, 2]])
    again = lipmmd(x, y, Gaussian(1.0), points, start=result.weights)  # its weights are a start like any other
    assert bool(again.value.isnan().eq(torch.tensor([False, True, False])).all())


def test_leading_axes_broadcast():
    x, y, points = normal(2, 1, 8, 1), normal(3, 9, 1, seed=1), line(-4, 4, 12)
    lam = torch.tensor([0.1, 1.0, 10.0])
    result = lipmmd(x, y, Gaussian(1.0), points, lam=lam)
    assert (result.value.shape, result.weights.shape) == ((2, 3), (2, 3, 12))
    for i in range(2):
        for j in range(3):
            alone = lipmmd(x[i, 0], y[j], Gaussian(1.0), points, lam=lam[j].item())
            torch.testing.assert_close(result.value[i, j], alone.value, rtol=0, atol=1e-6)
    by_points = lipmmd(x[0, 0], y[0], Gaussian(1.0), torch.stack([points, points * 1.5]))
    assert (by_points.value.shape, by_points.weights.shape) == ((2,), (2, 12))
    empty = lipmmd(x[0].expand(0, 8, 1), y[0], Gaussian(1.0), points)
    assert (empty.value.shape, empty.weights.shape) == ((0,), (0, 12))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_give_float32(dtype):
    x, y = normal(10, 1, dtype=dtype), normal(10, 1, seed=1, dtype=dtype)
    result = lipmmd(x, y, Gaussian(1.0), line(-4, 4, 20, dtype))
    assert {part.dtype for part in result} == {torch.float32}
    check(result, 1.001e-4)


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x": torch.zeros(3)}, r"x must have shape \(..., n, d\), got \(3,\)"),
        ({"points": torch.zeros(5)}, r"points must have shape \(..., n, d\), got \(5,\)"),
        ({"points": square(-1, 1, 3)}, "x and points must agree in their last axis"),
        ({"points": torch.zeros(1, 1)}, r"at least 2 points, got 1; try torch.linspace\(low, high, 200\)\[:, None\]"),
        ({"points": line(-1, math.nan, 5)}, "the points must be finite throughout"),
        (
            {"points": line(-1, 1, 5)},
            "y must lie in the bounding box .* from -1 to 1 along axis 0, but reaches from 0 to 2",
        ),
        (
            {key: torch.zeros(4, 3) for key in ("x", "y", "points")},
            "dimension 1 or 2, got 3: .* exponentially .* use gcmmd2",
        ),
        ({"kernel": Laplace(1.0)}, "the Laplace kernel has no derivative"),
        ({"lam": 0}, "lam must be a positive finite number, got 0; try lam=1.0"),
        ({"lam": math.inf}, "lam must be a positive finite number, got inf"),
        (
            {"lam": torch.tensor([1.0, -1.0])},
            r"lam must be positive and finite throughout, got \[1.0, -1.0\]; clamp it",
        ),
        (
            {"x": torch.zeros(2, 3, 1), "lam": torch.ones(3)},
            r"lam must .* broadcast with the leading axes, \(2,\), got shape \(3,\)",
        ),
        ({"tolerance": 0.0}, "tolerance must be a positive finite number, got 0.0; try tolerance=1e-4"),
        ({"start": torch.ones(4)}, r"start must have the shape of the weights, \(5,\), got \(4,\)"),
        ({"start": torch.zeros(5)}, "start must hold weights of at least 0 with a positive, finite sum"),
        ({"start": torch.tensor([1.0, 1, 1, 1, -1])}, "start must hold weights of at least 0"),
        ({"start": torch.tensor([1.0, 1, 1, 1, math.nan])}, "start must hold weights of at least 0"),
    ],
)
def test_errors_say_what_to_do(changes, words):
    given = {
        "x": torch.zeros(3, 1),
        "y": torch.tensor([[0.0], [2.0]]),
        "kernel": Gaussian(1.0),
        "points": line(-2, 2, 5),
    }
    given |= changes
    with pytest.raises(ValueError, match=words):
        lipmmd(given.pop("x"), given.pop("y"), given.pop("kernel"), given.pop("points"), **given)


def test_the_box_is_each_trials_own():
    x, y = torch.tensor([[[0.0]], [[10.0]]]), torch.tensor([[[1.0]], [[11.0]]])
    points = torch.stack([line(-1, 2, 5), line(9, 12, 5)])
    values = lipmmd(x, y, Gaussian(1.0), points).value
    torch.testing.assert_close(values[0], values[1])
    with pytest.raises(ValueError, match="from 9 to 12 along axis 0, but reaches from 0 to 0"):
        lipmmd(x, y, Gaussian(1.0), points.flip(0))


def test_the_module_imports_without_torch():
    code = "import sys; sys.modules['torch'] = None; import bench_core.discrepancies.lipmmd"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("d", [1, 2])
def test_cuda_agrees(d):
    x, y = normal(4, 30, d).clamp(-4, 4), normal(4, 40, d, seed=1).clamp(-4, 4) * 0.5
    points = line(-4, 4, 40) if d == 1 else square(-4, 4, 7)
    results = []
    for device in ("cpu", "cuda"):
        leaf = x.to(device).requires_grad_()
        result = lipmmd(leaf, y.to(device), Gaussian(1.0), points.to(device), lam=0.1, tolerance=TIGHT)
        results.append((result.value.detach().cpu(), torch.autograd.grad(result.value.sum(), leaf)[0].cpu()))
    torch.testing.assert_close(*results, rtol=0, atol=1e-5)
