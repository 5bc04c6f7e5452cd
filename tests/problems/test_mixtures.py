"""The mixture of two Gaussians against torch.distributions, simulation and symmetry."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from bench_core.discrepancies import mmd2
from bench_core.kernels import Gaussian
from bench_core.problems.gmm_mean import GMMMean
from bench_core.seeds import Streams

PROBLEM = GMMMean(d=3, m=7)
F64 = torch.float64


def normal(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def law(theta: torch.Tensor) -> MixtureSameFamily:
    means = torch.stack([theta, -theta])
    return MixtureSameFamily(
        Categorical(torch.ones(2, dtype=F64)), MultivariateNormal(means, torch.eye(len(theta), dtype=F64))
    )


def test_log_density_is_that_of_torch_distributions():
    theta, y = 3 * normal(4, 3, seed=0), 3 * normal(4, 7, 3, seed=1)
    expected = torch.stack([law(each).log_prob(row) for each, row in zip(theta, y, strict=True)])
    torch.testing.assert_close(PROBLEM.log_density(theta, y), expected)


def test_far_from_both_means_density_and_gradient_are_finite():
    theta = torch.full((1, 3), 50.0, requires_grad=True)
    y = torch.tensor([[[-40.0, 60.0, 0.0], [50.0, 50.0, 50.0], [0.0, 0.0, 0.0]]])
    density = PROBLEM.log_density(theta, y)
    (gradient,) = torch.autograd.grad(density.sum(), theta)
    assert density.isfinite().all()
    assert gradient.isfinite().all()


def test_samples_have_the_moments_of_the_law():
    theta = normal(1, 3, seed=0)
    samples = PROBLEM.sample(theta, normal(1, 200_000, 4, seed=2))[0]
    covariance = torch.outer(theta[0], theta[0]) + torch.eye(3, dtype=F64)
    error = covariance.diagonal().max().item() / math.sqrt(len(samples))
    assert (samples.mean(0)).abs().max() < 5 * error
    assert (samples.T.cov() - covariance).abs().max() < 5 * 2 * error
    assert 0.49 < (samples @ theta[0] > 0).double().mean() < 0.51


def test_the_fourth_moment_is_that_of_a_mixture_and_of_no_gaussian():
    # Along a unit vector X is N(±s, 1), and E X^4 = s^4 + 6 s^2 + 3; a Gaussian of the same variance has 3 (s^2 + 1)^2.
    theta = torch.tensor([[2.0, 0.0, 0.0]], dtype=F64)
    along = PROBLEM.sample(theta, normal(1, 400_000, 4, seed=3))[0, :, 0] ** 4
    assert abs(along.mean() - 43.0) < 5 * along.std() / math.sqrt(len(along))


@pytest.mark.parametrize("bandwidth", [0.5, 10.0, 1e4])
def test_kernel_means_agree_with_simulation(bandwidth):
    theta, y = normal(1, 3, seed=0), normal(1, 5, 3, seed=4)
    x, other = (law(theta[0]).sample((200_000,)) for _ in range(2))
    across = (-(x.unsqueeze(1) - y).square().sum(-1) / (2 * bandwidth)).exp()  # (200000, 5)
    within = (-(x - other).square().sum(-1) / (2 * bandwidth)).exp().unsqueeze(1)
    for closed, simulated in (
        (PROBLEM.kernel_mean(theta, y, bandwidth)[0], across),
        (PROBLEM.kernel_self(theta, bandwidth), within),
    ):
        error = simulated.std(0) / math.sqrt(len(simulated))
        assert ((closed - simulated.mean(0)).abs() <= 5 * error + 1e-12).all()


def test_osmmd_is_the_mean_of_mmd_over_what_is_generated():
    theta, y = normal(1, 3, seed=0), normal(1, 7, 3, seed=5)
    values = mmd2(
        PROBLEM.sample(theta.expand(4000, -1), normal(4000, 7, 4, seed=6)), y.expand(4000, -1, -1), Gaussian(2.0)
    )
    kernel = Gaussian(2.0)(y, y)[0]
    within = (kernel.sum() - kernel.diagonal().sum()) / (7 * 6)
    closed = PROBLEM.kernel_self(theta, 2.0) - 2 * PROBLEM.kernel_mean(theta, y, 2.0).mean(-1) + within
    assert abs(values.mean() - closed) < 5 * values.std() / math.sqrt(4000)


def test_theorem_3_has_its_saddle_at_a_third_of_the_radius_and_not_where_it_is_printed():
    # The printed eq. 15 puts it where mu'mu = mu*'mu*; the gradient vanishes at a third (Sigma = I, so A is a multiple
    # of the identity). Integrating y as well: E k(X, Y) is E k(X, X') with 2 mu replaced by mu ± mu*.
    s, truth = 2.0, torch.tensor([1.5, 0.0, 0.0], dtype=F64)

    def loss(theta: torch.Tensor) -> torch.Tensor:
        cross = sum((-(theta + z * truth).square().sum() / (2 * (2 + s))).exp() for z in (-1, 1))
        own = PROBLEM.kernel_self(theta.unsqueeze(0), s)[0]
        return own - (1 + 2 / s) ** -1.5 * cross

    def gradient(radius: float) -> float:
        theta = torch.tensor([0.0, radius, 0.0], dtype=F64, requires_grad=True)
        (found,) = torch.autograd.grad(loss(theta), theta)
        return float(found.norm())

    assert gradient(1.5 / math.sqrt(3)) < 1e-12
    assert gradient(1.5) > 1e-2
    saddle = torch.tensor([0.0, 1.5 / math.sqrt(3), 0.0], dtype=F64)
    curvatures = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, saddle))
    assert curvatures[0] < -1e-3
    assert curvatures[-1] > 1e-3


def test_the_score_is_free_of_the_sign_and_strict():
    a, b = torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 0.0]])
    problem = GMMMean(d=2, m=2)
    assert problem.error(a, b).item() == 2.5
    assert problem.error(a, -a).item() == problem.error(a, a).item() == 0.0
    assert problem.error(a, torch.tensor([[-3.0, -3.0]])).item() == 0.5
    assert not GMMMean(threshold=0.02).succeeded(0.02)


def test_draws_are_mixtures_and_repeatable():
    problem = GMMMean(d=4, m=2000)
    first, second = (problem.draw(Streams(0, "main", 1), None) for _ in range(2))
    assert {name: array.shape for name, array in first.items()} == {"truth": (4,), "observed": (2000, 4), "start": (4,)}
    assert all((first[name] == second[name]).all() for name in first)
    # Without its sign every sample would lie about mu*.
    assert abs((first["observed"] @ first["truth"] > 0).mean() - 0.5) < 5 * 0.5 / math.sqrt(2000)
