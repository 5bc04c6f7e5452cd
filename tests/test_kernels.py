"""Kernels against their formulas written out in plain Python, and their gradients where points coincide."""

from __future__ import annotations

import math

import pytest
import torch

from bench_core.kernels import (
    Coulomb,
    Gaussian,
    InverseMultiquadric,
    Kernel,
    Laplace,
    Linear,
    Mixture,
    RationalQuadratic,
)

CASES = [
    (Gaussian(2.5), lambda r: math.exp(-(r**2) / 5.0)),
    (Laplace(1.5), lambda r: math.exp(-r / 1.5)),
    (RationalQuadratic(0.7, lengthscale=2.0), lambda r: (1 + r**2 / (2 * 0.7 * 4)) ** -0.7),
    (InverseMultiquadric(3.0), lambda r: 3.0 / (3.0 + r**2)),
    (Coulomb(1, 0.3), lambda r: -math.sqrt(r**2 + 0.09) / 2),
    (Coulomb(2, 0.3), lambda r: -0.5 * math.log(r**2 + 0.09)),
    (Coulomb(3, 0.3), lambda r: (r**2 + 0.09) ** -0.5),
    (Coulomb(6, 0.3), lambda r: (r**2 + 0.09) ** -2),
    (Mixture([Gaussian(2.5), Laplace(1.5)]), lambda r: math.exp(-(r**2) / 5.0) + math.exp(-r / 1.5)),
]
KERNELS = [kernel for kernel, _ in CASES] + [Linear()]


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize(("kernel", "formula"), CASES, ids=[str(kernel) for kernel, _ in CASES])
def test_a_radial_kernel_is_its_formula(kernel, formula):
    x, y = normal(4, 3), normal(5, 3, seed=1)
    expected = [[formula(math.dist(a, b)) for b in y.tolist()] for a in x.tolist()]
    torch.testing.assert_close(kernel(x, y), torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-14)


def test_linear_is_the_inner_product():
    x, y = normal(4, 3), normal(5, 3, seed=1)
    expected = [[sum(p * q for p, q in zip(a, b, strict=True)) for b in y.tolist()] for a in x.tolist()]
    torch.testing.assert_close(Linear()(x, y), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_leading_axes_broadcast_and_the_dtype_stays(kernel, dtype):
    x, y = normal(2, 1, 4, 3, dtype=dtype), normal(5, 6, 3, seed=1, dtype=dtype)
    matrix = kernel(x, y)
    assert matrix.shape == (2, 5, 4, 6)
    assert matrix.dtype == dtype
    assert torch.equal(matrix[1, 2], kernel(x[1, 0], y[2]))


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_gradients_are_finite_where_points_coincide(kernel):
    x = normal(3, 2).requires_grad_()
    y = torch.cat([x.detach()[:2], normal(1, 2, seed=1)]).requires_grad_()  # two of the three coincide
    # A second derivative passes through every 0 * inf there may be.
    first = torch.autograd.grad(kernel(x, y).sum(), (x, y), create_graph=True)
    second = torch.autograd.grad(sum(g.square().sum() for g in first), (x, y))
    assert all(g.isfinite().all() for g in (*first, *second))


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_gradcheck_away_from_coinciding_points(kernel):
    x, y = normal(3, 2).requires_grad_(), normal(4, 2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(kernel, (x, y))
    assert torch.autograd.gradgradcheck(kernel, (x, y))


def test_the_laplace_gradient_at_a_coinciding_point_is_zero():
    x = normal(1, 2).requires_grad_()
    (gradient,) = torch.autograd.grad(Laplace(1.0)(x, x.detach()).sum(), x)
    assert torch.equal(gradient, torch.zeros(1, 2, dtype=torch.float64))


def test_close_points_far_from_the_origin_keep_their_digits():
    near = torch.tensor([[1.0, 2.0], [1.5, 2.0]])
    for kernel in (Gaussian(1.0), Laplace(1.0), Coulomb(3, 0.1)):
        # 4096 is a power of two: the shift itself rounds nothing
        assert torch.equal(kernel(near + 4096, near + 4096), kernel(near, near))


def test_rational_quadratic_keeps_small_distances_that_one_plus_them_would_lose():
    x, y = torch.zeros(1, 1), torch.full((1, 1), 1e-4)
    alpha = 1e6  # k = 1 - r^2 / 2 to first order; in float32, 1 + r^2/(2 alpha) is 1
    large = RationalQuadratic(alpha, lengthscale=1e-4)(x, y)
    torch.testing.assert_close(large, torch.tensor([[math.exp(-0.5)]]), rtol=1e-5, atol=0)


@pytest.mark.parametrize("width", [1, 2, 7, 50])
@pytest.mark.parametrize("kernel", [*KERNELS, Coulomb(5, 0.2)], ids=str)
def test_an_entry_does_not_depend_on_the_width_of_the_batch(kernel, width):
    x, y = normal(64, 5, 30, dtype=torch.float32), normal(64, 7, 30, seed=1, dtype=torch.float32)
    assert torch.equal(kernel(x[:width], y[:width]), kernel(x, y)[:width])
    assert torch.equal(kernel(x[:width], y[0, :1]), kernel(x, y[0, :1])[:width])  # a product by one shared column


def test_a_tensor_bandwidth_applies_per_trial_and_is_differentiable():
    x, y = normal(2, 3, 2), normal(2, 4, 2, seed=1)
    bandwidth = torch.tensor([0.5, 8.0], dtype=torch.float64, requires_grad=True)
    matrix = Gaussian(bandwidth)(x, y)
    for trial, value in enumerate((0.5, 8.0)):
        torch.testing.assert_close(matrix[trial], Gaussian(value)(x[trial], y[trial]))
    assert torch.autograd.gradcheck(lambda b: Gaussian(b)(x, y), (bandwidth,))


def test_a_float64_bandwidth_tensor_leaves_float32_data_float32():
    x = normal(3, 2, dtype=torch.float32)
    assert Gaussian(torch.tensor(2.0, dtype=torch.float64))(x, x).dtype == torch.float32


def test_parameters_become_floats_and_equal_kernels_are_equal():
    assert isinstance(Gaussian(10).bandwidth, float)
    assert Gaussian(10) == Gaussian(10.0) != Gaussian(11.0)
    assert Mixture([Gaussian(1), Linear()]) == Mixture((Gaussian(1), Linear()))


@pytest.mark.parametrize("bad", [0, -1.0, math.nan, math.inf, "wide", None, True])
@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda bad: Gaussian(bad), "bandwidth of Gaussian"),
        (lambda bad: Laplace(bad), "scale of Laplace"),
        (lambda bad: RationalQuadratic(bad), "alpha of RationalQuadratic"),
        (lambda bad: RationalQuadratic(1.0, bad), "lengthscale of RationalQuadratic"),
        (lambda bad: InverseMultiquadric(bad), "scale of InverseMultiquadric"),
        (lambda bad: Coulomb(3, bad), "softening of Coulomb"),
    ],
)
def test_a_parameter_must_be_positive_and_finite(build, words, bad):
    with pytest.raises(ValueError, match=f"the {words} must be a positive finite number, got {bad!r}; try .*=1.0"):
        build(bad)


@pytest.mark.parametrize("bad", [[1.0, 0.0], [1.0, math.nan]])
def test_a_tensor_bandwidth_must_be_positive(bad):
    with pytest.raises(ValueError, match="bandwidth of Gaussian must be positive and finite throughout"):
        Gaussian(torch.tensor(bad))


@pytest.mark.parametrize("bad", [0, 2.5, True])
def test_the_dimension_of_coulomb_must_be_a_positive_integer(bad):
    with pytest.raises(ValueError, match=f"the dim of Coulomb must be a positive integer, got {bad!r}"):
        Coulomb(bad, 0.1)


def test_a_mixture_must_hold_kernels():
    with pytest.raises(ValueError, match="at least one kernel"):
        Mixture([])
    with pytest.raises(ValueError, match=r"a Mixture holds kernels, got 1\.0"):
        Mixture([Gaussian(1.0), 1.0])  # type: ignore[list-item]


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_every_kernel_is_a_kernel(kernel):
    assert isinstance(kernel, Kernel)
