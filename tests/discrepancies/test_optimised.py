"""Suprema over a scalar against closed forms: Scaled MMD and MMD of two points, and peaks whose place is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import lambertw

from bench_core.discrepancies import mmd2
from bench_core.discrepancies.optimised import Optimised, optimised
from bench_core.discrepancies.smmd import smmd2
from bench_core.kernels import Gaussian

THETAS = [1e-3, 0.1, 0.5, 1.0, 3.0, 10.0, 50.0]


def two_points(thetas: list[float] | torch.Tensor, dtype: torch.dtype = torch.float64):
    """Samples ``(B, 2, 1)`` of delta_0 and delta_theta, one theta per trial."""
    theta = torch.as_tensor(thetas, dtype=dtype)
    return torch.zeros(*theta.shape, 2, 1, dtype=dtype), theta[..., None, None].expand(*theta.shape, 2, 1)


def scaled(x: torch.Tensor, y: torch.Tensor, **options):
    """SMMD^2 of the features psi z, as a function of psi."""

    def discrepancy(psi: torch.Tensor) -> torch.Tensor:
        return smmd2(x, y, Gaussian(1.0), features=lambda z: psi.to(z)[..., None, None] * z, **options)

    return discrepancy


def closed_form(thetas: list[float], c: float) -> tuple[torch.Tensor, torch.Tensor]:
    """sup of 2 (1 - exp(-psi^2 theta^2 / 2)) / (c + psi^2), and where it is reached, by Lambert's W."""
    theta = np.asarray(thetas)
    b = theta**2 / 2
    u = -(1 + b * c) - lambertw(-np.exp(-(1 + b * c)), -1).real
    return torch.from_numpy(theta**2 * np.exp(-u)), torch.from_numpy(np.sqrt(u / b))


@pytest.mark.parametrize("lam", [0.01, 1.0, 5.0])
def test_the_optimised_scaled_mmd_of_two_points(lam):
    thetas = [theta for theta in THETAS if theta**2 * (1 + lam) < 600]  # beyond, exp(-(1 + bc)) underflows
    value, argument = optimised(scaled(*two_points(thetas), lam=lam), 1e-4, 1e4)
    expected, place = closed_form(thetas, 1 + lam)
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=0)
    # At theta = 1e-3 the value is a difference of numbers 1e6 times as large, whose rounding hides the peak's top.
    torch.testing.assert_close(argument[1:], place[1:], rtol=2e-6, atol=0)


def test_the_optimised_discrepancy_of_the_experiments():
    thetas = THETAS[:-1]
    value, argument = optimised(scaled(*two_points(thetas), scaling="paper"), 1e-4, 1e4)
    expected, place = closed_form(thetas, 0.1)
    torch.testing.assert_close(value, expected / 10, rtol=1e-9, atol=0)
    torch.testing.assert_close(argument[1:], place[1:], rtol=2e-6, atol=0)


def test_the_optimised_scaled_mmd_is_continuous_with_slope_one_and_saturates():
    value = optimised(scaled(*two_points([1e-3, 1e-2, 1e3])), 1e-5, 1e4).value.sqrt()
    torch.testing.assert_close(value, torch.tensor([1e-3, 1e-2, 1.0]).double(), rtol=1e-2, atol=0)


def test_the_optimised_mmd_is_the_root_of_two_wherever_the_points_differ():
    def discrepancy(psi: torch.Tensor) -> torch.Tensor:
        x, y = two_points([0.0, *THETAS])
        scale = psi[..., None, None]
        return mmd2(scale * x, scale * y, Gaussian(1.0))

    value = optimised(discrepancy, 1e-3, 1e4).value.clamp_min(0).sqrt()
    expected = torch.tensor([0.0, *[math.sqrt(2)] * len(THETAS)], dtype=torch.float64)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-7)


@settings(max_examples=30, deadline=None)
@given(
    peaks=st.lists(st.floats(-4, 4), min_size=1, max_size=4),
    width=st.floats(0.1, 3),
    points=st.integers(10, 100),
    tolerance=st.sampled_from([1e-2, 1e-4, 1e-6]),
)
def test_a_peak_is_found_to_the_tolerance(peaks, width, points, tolerance):
    peak = torch.tensor(peaks, dtype=torch.float64)
    calls: list[int] = []

    def discrepancy(psi: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return -((psi.log() - peak) / width).square()

    value, argument = optimised(discrepancy, math.exp(-5), math.exp(5), points=points, tolerance=tolerance)
    assert (argument.log() - peak).abs().max() <= tolerance
    assert torch.equal(value, discrepancy(argument))
    assert len(calls) < 45  # one call for the grid, whatever its points


def test_a_supremum_at_a_bound_is_found_exactly():
    slope = torch.tensor([1.0, -1.0]).double()
    value, argument = optimised(lambda psi: slope * psi.log(), 0.3, 7.0)
    torch.testing.assert_close(argument, torch.tensor([7.0, 0.3], dtype=torch.float64), rtol=1e-14, atol=0)
    torch.testing.assert_close(value, torch.tensor([math.log(7.0), -math.log(0.3)], dtype=torch.float64))
    assert argument.min() >= 0.3
    assert argument.max() <= 7.0


def test_the_higher_of_two_peaks_wins():
    def discrepancy(psi: torch.Tensor) -> torch.Tensor:
        log_psi = psi.log()
        return torch.exp(-(log_psi + 2).square() * 9) + 1.1 * torch.exp(-(log_psi - 2).square() * 9)

    assert optimised(discrepancy, 0.01, 100.0).argument.item() == pytest.approx(math.exp(2), rel=1e-5)


# --- the gradient ---------------------------------------------------------------------------------------------------


def test_the_gradient_is_that_of_the_supremum():
    """Envelope theorem: d SMMD*^2 / d theta, by differences of the closed form."""
    thetas = torch.tensor([0.3, 1.0, 4.0], dtype=torch.float64, requires_grad=True)
    value, argument = optimised(scaled(*two_points(thetas)), 1e-4, 1e4)
    (gradient,) = torch.autograd.grad(value.sum(), thetas)
    step = 1e-5
    above, below = (closed_form((thetas.detach() + shift).tolist(), 2.0)[0] for shift in (step, -step))
    torch.testing.assert_close(gradient, (above - below) / (2 * step), rtol=1e-6, atol=1e-9)
    assert not argument.requires_grad


def test_gradcheck_of_the_supremum():
    peak, height = (torch.tensor(numbers).double().requires_grad_() for numbers in ([0.5, -1.0], [2.0, 3.0]))

    def supremum(peak, height):
        return optimised(lambda psi: height - (psi.log() - peak).square() * height, 0.01, 100.0, tolerance=1e-8).value

    assert torch.autograd.gradcheck(supremum, (peak, height))


def test_nothing_is_kept_for_the_gradient_while_searching():
    theta = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    modes: list[bool] = []

    def discrepancy(psi: torch.Tensor) -> torch.Tensor:
        modes.append(torch.is_grad_enabled())
        return -(psi.log() - theta).square()

    assert optimised(discrepancy, 0.1, 10.0).value.requires_grad
    assert modes.count(True) == 1
    assert modes[-1]
    with torch.no_grad():
        assert not optimised(discrepancy, 0.1, 10.0).value.requires_grad


# --- batches --------------------------------------------------------------------------------------------------------


def test_a_batch_is_its_trials_one_by_one():
    x, y = two_points(THETAS)
    found = optimised(scaled(x, y), 1e-3, 1e3)
    assert isinstance(found, Optimised)
    for i in range(len(THETAS)):
        alone = optimised(scaled(x[i], y[i]), 1e-3, 1e3)
        assert alone.value.shape == alone.argument.shape == ()
        torch.testing.assert_close(found.value[i], alone.value, rtol=1e-12, atol=0)
        torch.testing.assert_close(found.argument[i], alone.argument, rtol=2e-6, atol=0)


def test_several_leading_axes():
    x, y = two_points(torch.tensor([[0.5, 1.0, 2.0], [3.0, 4.0, 5.0]]).double())
    found = optimised(scaled(x, y), 1e-3, 1e3)
    assert found.value.shape == (2, 3)
    flat = optimised(scaled(x.flatten(0, 1), y.flatten(0, 1)), 1e-3, 1e3)
    torch.testing.assert_close(found.value.flatten(), flat.value)


def test_a_batch_of_one_trial_keeps_its_axis():
    assert optimised(scaled(*two_points([1.0])), 1e-3, 1e3).value.shape == (1,)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtypes(dtype):
    value, argument = optimised(scaled(*two_points([0.5, 2.0], dtype)), 1e-3, 1e3)
    assert (value.dtype, argument.dtype) == (dtype, torch.float64)
    expected, place = closed_form([0.5, 2.0], 2.0)
    of_value, of_argument = {torch.float32: (1e-6, 2e-2), torch.float64: (1e-10, 2e-6)}[dtype]
    torch.testing.assert_close(value.double(), expected, rtol=of_value, atol=0)
    torch.testing.assert_close(argument, place, rtol=of_argument, atol=0)


def test_a_trial_that_is_nan_says_so_and_breaks_no_other():
    x, y = two_points([0.5, math.nan, 2.0])
    value, argument = optimised(scaled(x, y), 1e-3, 1e3)
    alone = optimised(scaled(x[[0, 2]], y[[0, 2]]), 1e-3, 1e3)
    assert value.isnan().tolist() == [False, True, False]
    torch.testing.assert_close((value[[0, 2]], argument[[0, 2]]), tuple(alone))


# --- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "options", "words"),
    [
        (0.0, 1.0, {}, r"low and high must be positive, finite and in this order, got low=0\.0 and high=1\.0"),
        (2.0, 1.0, {}, r"in this order, got low=2\.0 and high=1\.0"),
        (1.0, math.inf, {}, "finite and in this order"),
        (math.nan, 1.0, {}, "got low=nan"),
        (0.1, 1.0, {"points": 2}, "points must be at least 3, got 2; try points=64"),
        (0.1, 1.0, {"tolerance": 0.0}, r"tolerance must lie between 0 and 1, got 0\.0; try tolerance=1e-6"),
    ],
)
def test_arguments_that_do_not_fit(low, high, options, words):
    with pytest.raises(ValueError, match=words):
        optimised(lambda psi: psi, low, high, **options)


def test_a_discrepancy_that_does_not_broadcast():
    words = (
        r"discrepancy must return shape \(64,\) of psi of shape \(64,\), as it returned \(\) of a single psi; got \(\)"
    )
    with pytest.raises(ValueError, match=words):
        optimised(lambda psi: psi.sum(), 0.1, 10.0)


# --- CUDA -----------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_with_the_closed_form():
    x, y = (z.cuda() for z in two_points([0.5, 2.0]))
    value, argument = optimised(scaled(x, y), 1e-3, 1e3)
    expected, place = closed_form([0.5, 2.0], 2.0)
    assert value.is_cuda
    torch.testing.assert_close(value.cpu(), expected, rtol=1e-9, atol=0)
    torch.testing.assert_close(argument.cpu(), place, rtol=2e-6, atol=0)
