"""The two mixtures of Gaussians against torch.distributions, simulation, their parts and symmetry."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from bench_core.discrepancies import mmd2
from bench_core.kernels import Gaussian
from bench_core.problems.gaussian_cov import GaussianCov
from bench_core.problems.gmm_cov import GMMCov
from bench_core.problems.gmm_mean import GMMMean
from bench_core.seeds import Streams

PROBLEM = GMMMean(d=3, m=7)
F64 = torch.float64


def normal(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


MEAN = torch.tensor([1.0, -0.5, 2.0], dtype=F64)
KNOWN = GMMCov(d=3, m=7, epsilon=0.3).given({"mean": MEAN.unsqueeze(0)})
both = pytest.mark.parametrize("problem", [PROBLEM, KNOWN], ids=["gmm_mean", "gmm_cov"])


def law(theta: torch.Tensor, problem: GMMMean | GMMCov = PROBLEM) -> MixtureSameFamily:
    mean, covariance = theta, torch.eye(len(theta), dtype=F64)
    if isinstance(problem, GMMCov):
        mean, covariance = MEAN, torch.outer(theta, theta) + problem.epsilon**2 * covariance
    means = torch.stack([mean, -mean])
    return MixtureSameFamily(Categorical(torch.ones(2, dtype=F64)), MultivariateNormal(means, covariance))


@both
def test_log_density_is_that_of_torch_distributions(problem):
    theta, y = 3 * normal(4, 3, seed=0), 3 * normal(4, 7, 3, seed=1)
    expected = torch.stack([law(each, problem).log_prob(row) for each, row in zip(theta, y, strict=True)])
    torch.testing.assert_close(problem.log_density(theta, y), expected)


def test_far_from_both_means_density_and_gradient_are_finite():
    theta = torch.full((1, 3), 50.0, requires_grad=True)
    y = torch.tensor([[[-40.0, 60.0, 0.0], [50.0, 50.0, 50.0], [0.0, 0.0, 0.0]]])
    density = PROBLEM.log_density(theta, y)
    (gradient,) = torch.autograd.grad(density.sum(), theta)
    assert density.isfinite().all()
    assert gradient.isfinite().all()


@both
def test_samples_have_the_moments_of_the_law(problem):
    theta = normal(1, 3, seed=0)
    samples = problem.sample(theta, normal(1, 200_000, problem.noise_size, seed=2))[0]
    within = torch.eye(3, dtype=F64)
    mean = theta[0]
    if isinstance(problem, GMMCov):
        mean, within = MEAN, torch.outer(theta[0], theta[0]) + problem.epsilon**2 * within
    covariance = torch.outer(mean, mean) + within
    error = covariance.diagonal().max().item() / math.sqrt(len(samples))
    assert (samples.mean(0)).abs().max() < 5 * error
    assert (samples.T.cov() - covariance).abs().max() < 5 * 2 * error
    assert 0.49 < (samples @ mean > 0).double().mean() < 0.51


def test_the_fourth_moment_is_that_of_a_mixture_and_of_no_gaussian():
    # Along a unit vector X is N(±s, 1), and E X^4 = s^4 + 6 s^2 + 3; a Gaussian of the same variance has 3 (s^2 + 1)^2.
    theta = torch.tensor([[2.0, 0.0, 0.0]], dtype=F64)
    along = PROBLEM.sample(theta, normal(1, 400_000, 4, seed=3))[0, :, 0] ** 4
    assert abs(along.mean() - 43.0) < 5 * along.std() / math.sqrt(len(along))


@both
@pytest.mark.parametrize("bandwidth", [0.5, 10.0, 1e4])
def test_kernel_means_agree_with_simulation(problem, bandwidth):
    theta, y = normal(1, 3, seed=0), normal(1, 5, 3, seed=4)
    x, other = (law(theta[0], problem).sample((200_000,)) for _ in range(2))
    across = (-(x.unsqueeze(1) - y).square().sum(-1) / (2 * bandwidth)).exp()  # (200000, 5)
    within = (-(x - other).square().sum(-1) / (2 * bandwidth)).exp().unsqueeze(1)
    for closed, simulated in (
        (problem.kernel_mean(theta, y, bandwidth)[0], across),
        (problem.kernel_self(theta, bandwidth), within),
    ):
        error = simulated.std(0) / math.sqrt(len(simulated))
        assert ((closed - simulated.mean(0)).abs() <= 5 * error + 1e-12).all()


@both
def test_osmmd_is_the_mean_of_mmd_over_what_is_generated(problem):
    theta, y = normal(1, 3, seed=0), normal(1, 7, 3, seed=5)
    samples = problem.sample(theta.expand(4000, -1), normal(4000, 7, problem.noise_size, seed=6))
    values = mmd2(samples, y.expand(4000, -1, -1), Gaussian(2.0))
    kernel = Gaussian(2.0)(y, y)[0]
    within = (kernel.sum() - kernel.diagonal().sum()) / (7 * 6)
    closed = problem.kernel_self(theta, 2.0) - 2 * problem.kernel_mean(theta, y, 2.0).mean(-1) + within
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


@pytest.mark.parametrize(("cls", "mean"), [(GMMMean, "truth"), (GMMCov, "mean")])
def test_draws_are_mixtures_and_repeatable(cls, mean):
    problem = cls(d=4, m=2000)
    first, second = (problem.draw(Streams(0, "main", 1), None) for _ in range(2))
    shapes = {"truth": (4,), mean: (4,), "observed": (2000, 4), "start": (4,)}
    assert {name: array.shape for name, array in first.items()} == shapes
    assert all((first[name] == second[name]).all() for name in first)
    # Without its sign every sample would lie about mu.
    assert abs((first["observed"] @ first[mean] > 0).mean() - 0.5) < 5 * 0.5 / math.sqrt(2000)


@pytest.mark.parametrize("epsilon", [0.3, 1e-5, 0.0])
def test_with_its_mean_at_0_the_mixture_is_the_gaussian(epsilon):
    mixture = GMMCov(d=3, m=7, epsilon=epsilon).given({"mean": torch.zeros(4, 3, dtype=F64)})
    gaussian = GaussianCov(d=3, m=7, epsilon=epsilon)
    theta, y = normal(4, 3, seed=0), normal(4, 7, 3, seed=1)
    torch.testing.assert_close(mixture.kernel_self(theta, 2.0), gaussian.kernel_self(theta, 2.0))
    torch.testing.assert_close(mixture.kernel_mean(theta, y, 2.0), gaussian.kernel_mean(theta, y, 2.0))
    if epsilon:
        torch.testing.assert_close(mixture.log_density(theta, y), gaussian.log_density(theta, y))


def test_the_known_mean_is_that_of_each_trial():
    means = normal(4, 3, seed=2)
    problem = GMMCov(d=3, m=7, epsilon=0.3)
    theta, y = normal(4, 3, seed=0), normal(4, 7, 3, seed=1)
    together = problem.given({"mean": means}).log_density(theta, y)
    alone = problem.given({"mean": means[2:3]}).log_density(theta[2:3], y[2:3])
    torch.testing.assert_close(together[2:3], alone)
    assert problem.given({"mean": means}) is not problem


def test_the_score_of_the_covariance_is_free_of_the_sign_and_not_strict():
    a = torch.tensor([[3.0, 4.0]])
    problem = GMMCov(d=2, m=2)
    assert problem.error(a, -a).item() == 0.0
    assert problem.error(a, torch.zeros(1, 2)).item() == pytest.approx(25 / 2)
    assert problem.threshold == 0.1
    assert problem.succeeded(0.1)
