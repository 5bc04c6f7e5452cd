"""The problems on the line: densities and kernel means by hand and by simulation, starts where they ought to be."""

from __future__ import annotations

import math

import pytest
import torch

from bench_core.problems.dirac import Dirac
from bench_core.problems.gaussians_1d import Gaussians1D
from bench_core.seeds import Streams


def theta() -> torch.Tensor:
    return torch.tensor([[0.5, math.log(0.3)], [-2.0, math.log(1.5)]], dtype=torch.float64)


def test_the_density_is_that_of_torch_distributions():
    y = torch.linspace(-3, 3, 7, dtype=torch.float64).expand(2, 7)[..., None]
    law = torch.distributions.Normal(theta()[:, :1], theta()[:, 1:].exp())
    torch.testing.assert_close(Gaussians1D().log_density(theta(), y), law.log_prob(y.squeeze(-1)))


@pytest.mark.parametrize("bandwidth", [0.01, 1.0, 100.0])
def test_kernel_means_agree_with_quadrature(bandwidth):
    # The quantiles of a law stand for it.
    quantiles = torch.special.ndtri((torch.arange(4000, dtype=torch.float64) + 0.5) / 4000)
    problem, y = Gaussians1D(), torch.tensor([[[-1.0], [0.4]], [[0.0], [2.0]]], dtype=torch.float64)
    x = problem.sample(theta(), quantiles.expand(2, 4000)[..., None])
    mean = (-(x - y.mT).square() / (2 * bandwidth)).exp().mean(-2)
    torch.testing.assert_close(problem.kernel_mean(theta(), y, bandwidth), mean, rtol=2e-3, atol=1e-5)
    within = (-(x - x.mT).square() / (2 * bandwidth)).exp().mean((-2, -1))
    torch.testing.assert_close(problem.kernel_self(theta(), bandwidth), within, rtol=5e-3, atol=1e-5)


def test_the_error_is_the_wasserstein_distance_of_order_2():
    truth = torch.tensor([[0.0, math.log(0.1)]], dtype=torch.float64)
    found = Gaussians1D().error(theta(), truth.expand(2, 2))
    expected = [math.hypot(0.5, 0.2), math.hypot(2.0, 1.4)]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_the_exact_maximum_has_no_slope():
    y = torch.randn(3, 40, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    problem = Gaussians1D()
    found = problem.exact_mle(y).requires_grad_()
    (gradient,) = torch.autograd.grad(problem.log_density(found, y).sum(), found)
    assert gradient.abs().max() < 1e-10


def test_starts_fill_the_plane_of_figure_1():
    problem = Dirac(reach=4.0, narrowest=0.5)
    drawn = [problem.draw(Streams(slot), None) for slot in range(400)]
    thetas = torch.tensor([float(each["start"][0]) for each in drawn])
    widths = torch.tensor([1 / float(each["critic_start"][0]) for each in drawn])
    assert thetas.abs().max() <= 4
    assert widths.min() >= 0.5
    assert widths.max() <= 4
    for values, low, high in ((thetas, -4.0, 4.0), (widths, 0.5, 4.0)):
        counts = values.histc(4, low, high)
        assert counts.min() > 60  # of 100 expected each: 4.6 standard errors


def test_a_point_mass_has_no_density():
    assert set(Dirac().lacks()) == {"log_density", "gaussian_kernel_mean", "exact_mle"}
    noise = torch.randn(2, 5, 1)
    torch.testing.assert_close(Dirac().sample(torch.tensor([[1.0], [2.0]]), noise)[:, 0, 0], torch.tensor([1.0, 2.0]))
