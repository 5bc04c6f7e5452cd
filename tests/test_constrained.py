"""Constrained discrepancies of populations against samples, norms by hand, and manufactured solutions."""

from __future__ import annotations

import math

import pytest
import torch

from bench_core.constrained import Constraint, Normal, population_mmd2, sobolev_critic
from bench_core.discrepancies import gcmmd2, lipmmd, mmd2
from bench_core.kernels import Gaussian


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def law(mean: list[float], spread: float) -> Normal:
    return Normal(torch.tensor(mean, dtype=torch.float64), torch.tensor(spread, dtype=torch.float64))


# ---- Gaussians -------------------------------------------------------------------------------------------------------


def test_kernel_means_are_those_of_samples():
    p, t = law([0.5, -1.0], 0.7), normal(4, 2)
    x = p.mean + p.spread * normal(400_000, 2, seed=1)
    kernel = Gaussian(1.5)(x, t)  # (400000, 4)
    closed = p.kernel_mean(t, 1.5)[0]
    assert ((closed - kernel.mean(0)).abs() < 5 * kernel.std(0) / math.sqrt(len(x))).all()


def test_the_gradient_of_a_kernel_mean_is_that_of_autograd():
    p, t = law([0.5, -1.0], 0.7), normal(4, 2).requires_grad_()
    value, gradient = p.kernel_mean(t, 1.5)
    torch.testing.assert_close(gradient, torch.autograd.grad(value.sum(), t)[0])


def test_the_mmd_of_two_gaussians_is_that_of_samples():
    p, q = law([0.0, 0.0], 0.5), law([1.0, 0.3], 1.2)
    x, y = p.spread * normal(200, 500, 2), q.mean + q.spread * normal(200, 500, 2, seed=1)
    estimates = mmd2(x, y, Gaussian(0.8))
    assert abs(estimates.mean() - population_mmd2(p, q, 0.8)) < 5 * estimates.std() / math.sqrt(200)


def test_without_spread_a_gaussian_is_a_point():
    t = normal(3, 2)
    torch.testing.assert_close(
        law([0.2, 0.4], 0.0).kernel_mean(t, 2.0)[0],
        Gaussian(2.0)(torch.tensor([[0.2, 0.4]], dtype=torch.float64), t)[0],
    )


# ---- constraints -----------------------------------------------------------------------------------------------------


@pytest.fixture
def scene():
    """Two samples in the plane, a constraint under a third, and eta as a function."""
    x, y, mu = normal(6, 2), normal(7, 2, seed=1) + 0.5, normal(9, 2, seed=2)
    kernel = Gaussian(1.3)

    def eta(t: torch.Tensor) -> torch.Tensor:
        return kernel(x, t).mean(0) - kernel(y, t).mean(0)

    def eta_and_slope(t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        leaf = t.clone().requires_grad_()
        value = eta(leaf)
        return value.detach(), torch.autograd.grad(value.sum(), leaf)[0]

    weights = normal(9, seed=3).softmax(0)
    return x, y, mu, weights, kernel, eta_and_slope


def test_the_distance_is_the_gradient_constrained_mmd(scene):
    x, y, mu, weights, kernel, eta = scene
    found = Constraint(kernel, mu, weights, weights, 0.3).distance(mmd2(x, y, kernel, "biased"), *eta(mu))
    torch.testing.assert_close(found.square(), gcmmd2(x, y, kernel, mu=mu, weights=weights, lam=0.3))


def test_with_the_dual_measure_it_is_the_lipschitz_mmd():
    x, y = normal(6, 1), normal(7, 1, seed=1) + 0.5
    kernel, points = Gaussian(1.3), torch.linspace(-4.0, 4.0, 41, dtype=torch.float64)[:, None]
    found = lipmmd(x, y, kernel, points, lam=0.3, tolerance=1e-8)
    leaf = points.clone().requires_grad_()
    value = kernel(x, leaf).mean(0) - kernel(y, leaf).mean(0)
    (slope,) = torch.autograd.grad(value.sum(), leaf)
    constraint = Constraint(kernel, points, torch.zeros(41, dtype=torch.float64), found.weights, 0.3)
    distance = constraint.distance(mmd2(x, y, kernel, "biased"), value.detach(), slope)
    torch.testing.assert_close(distance, found.upper, rtol=1e-6, atol=1e-9)


def test_the_critic_attains_the_distance_and_keeps_the_constraint(scene):
    x, y, mu, weights, kernel, eta = scene
    lam = 0.3
    constraint = Constraint(kernel, mu, weights, weights, lam)
    squared = mmd2(x, y, kernel, "biased")
    distance = constraint.distance(squared, *eta(mu))

    def critic(t: torch.Tensor) -> torch.Tensor:
        return constraint.critic(t, eta(mu), eta(t)[0], distance)

    torch.testing.assert_close(critic(x).mean() - critic(y).mean(), distance)
    # f = (eta - T) / (lambda distance), T being what the coefficients make; an inner product with that is its norm.
    gradient = constraint.critic_gradient(mu, eta(mu), eta(mu)[1], distance)
    average = (weights * (critic(mu).square() + gradient.square().sum(-1))).sum()
    of_values, of_gradients = constraint.coefficients(*eta(mu)).split((9, 18))
    inner = (of_values * critic(mu)).sum() + (of_gradients.reshape(9, 2) * gradient).sum()
    in_h = (distance - inner) / (lam * distance)
    torch.testing.assert_close(average + lam * in_h, torch.ones((), dtype=torch.float64))


def test_the_critics_gradient_is_the_derivative_of_the_critic(scene):
    x, y, mu, weights, kernel, eta = scene
    constraint = Constraint(kernel, mu, weights, weights, 0.3)
    distance = constraint.distance(mmd2(x, y, kernel, "biased"), *eta(mu))
    t, step = normal(5, 2, seed=4), 1e-5
    slopes = []
    for axis in range(2):
        shift = step * torch.eye(2, dtype=torch.float64)[axis]
        up, down = (constraint.critic(each, eta(mu), eta(each)[0], distance) for each in (t + shift, t - shift))
        slopes.append((up - down) / (2 * step))
    found = constraint.critic_gradient(t, eta(mu), eta(t)[1], distance)
    torch.testing.assert_close(found, torch.stack(slopes, -1), rtol=1e-7, atol=1e-9)


# ---- the Sobolev PDE -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tilt", [0.0, 1.0])
def test_the_pde_has_a_manufactured_solution_to_second_order(tilt):
    # f = sin(pi x) sin(pi y) on the unit square with the measure exp(tilt x).
    errors = []
    for cells in (20, 40):
        side = torch.linspace(0.0, 1.0, cells + 1, dtype=torch.float64)
        x, y = torch.meshgrid(side, side, indexing="xy")
        exact = (math.pi * x).sin() * (math.pi * y).sin()
        measure = (tilt * x).exp()
        slope = math.pi * (math.pi * x).cos() * (math.pi * y).sin()
        source = measure * (2 * math.pi**2 * exact - tilt * slope)
        found = sobolev_critic(source[1:-1, 1:-1], measure, 1 / cells)
        assert not found[0].any()
        assert not found[:, -1].any()
        errors.append(float((found - exact).abs().max()))
    assert errors[1] < 0.3 * errors[0] < 0.01
