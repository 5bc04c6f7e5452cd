"""The two Gaussian problems against Monte-Carlo, torch.distributions and linear algebra."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

from bench_core.discrepancies import mmd2
from bench_core.kernels import Gaussian
from bench_core.problems.gaussian_cov import GaussianCov
from bench_core.problems.gaussian_mean import GaussianMean
from bench_core.seeds import Streams

PROBLEMS = [GaussianMean(d=3, m=7), GaussianCov(d=3, m=7, epsilon=0.3)]
IDS = ["gaussian_mean", "gaussian_cov"]


def _law(problem: GaussianMean | GaussianCov, theta: torch.Tensor) -> MultivariateNormal:
    identity = torch.eye(problem.d, dtype=theta.dtype)
    if isinstance(problem, GaussianMean):
        return MultivariateNormal(theta, identity)
    return MultivariateNormal(torch.zeros_like(theta), torch.outer(theta, theta) + problem.epsilon**2 * identity)


def _theta(problem: GaussianMean | GaussianCov, batch: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, problem.d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("problem", PROBLEMS, ids=IDS)
def test_log_density_is_that_of_torch_distributions(problem):
    theta = _theta(problem, 4)
    y = torch.randn(4, 7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = torch.stack([_law(problem, each).log_prob(row) for each, row in zip(theta, y, strict=True)])
    torch.testing.assert_close(problem.log_density(theta, y), expected)


@pytest.mark.parametrize("problem", PROBLEMS, ids=IDS)
def test_samples_have_the_mean_and_covariance_of_the_law(problem):
    theta = _theta(problem)
    noise = torch.randn(1, 200_000, problem.noise_size, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    samples = problem.sample(theta, noise)[0]
    law = _law(problem, theta[0])
    error = law.variance.max().item() / math.sqrt(len(samples))
    assert (samples.mean(0) - law.mean).abs().max() < 5 * error
    assert (samples.T.cov() - law.covariance_matrix).abs().max() < 5 * 2 * error


@pytest.mark.parametrize("bandwidth", [0.5, 10.0, 1e4])
@pytest.mark.parametrize("problem", PROBLEMS, ids=IDS)
def test_kernel_means_agree_with_monte_carlo(problem, bandwidth):
    # facts: Lemma 4 of Alon, Globerson, Wiesel; the tolerance is five standard errors of the simulation.
    theta, generator = _theta(problem), torch.Generator().manual_seed(3)
    y = torch.randn(1, 5, 3, dtype=torch.float64, generator=generator)
    x, other = (_law(problem, theta[0]).sample((200_000,)) for _ in range(2))
    kernel = (-(x.unsqueeze(1) - y).square().sum(-1) / (2 * bandwidth)).exp()  # (200000, 5)
    within = (-(x - other).square().sum(-1) / (2 * bandwidth)).exp()
    for closed, simulated in (
        (problem.kernel_mean(theta, y, bandwidth)[0], kernel),
        (problem.kernel_self(theta, bandwidth), within.unsqueeze(1)),
    ):
        error = simulated.std(0) / math.sqrt(len(simulated))
        assert ((closed - simulated.mean(0)).abs() <= 5 * error + 1e-12).all()


@pytest.mark.parametrize("problem", PROBLEMS, ids=IDS)
def test_osmmd_is_the_mean_of_mmd_over_what_is_generated(problem):
    # OSMMD integrates the model's side: E over x of the unbiased MMD² given y.
    theta, generator = _theta(problem), torch.Generator().manual_seed(4)
    y = torch.randn(1, 7, 3, dtype=torch.float64, generator=generator)
    noise = torch.randn(4000, 7, problem.noise_size, dtype=torch.float64, generator=generator)
    values = mmd2(problem.sample(theta.expand(4000, -1), noise), y.expand(4000, -1, -1), Gaussian(2.0))
    k = Gaussian(2.0)(y, y)[0]
    within = (k.sum() - k.diagonal().sum()) / (7 * 6)
    closed = problem.kernel_self(theta, 2.0) - 2 * problem.kernel_mean(theta, y, 2.0).mean(-1) + within
    assert abs(values.mean() - closed) < 5 * values.std() / math.sqrt(4000)


def test_theorem_1_population_mmd_of_the_mean():
    # Integrating y as well gives 2 |I + 2S/s|^(-1/2) (1 - exp(-r²/(2(s + 2)))) for S = I: Theorem 1's loss.
    problem, bandwidth, generator = GaussianMean(d=3, m=7), 2.0, torch.Generator().manual_seed(5)
    truth, theta = _theta(problem), _theta(problem, seed=6)
    y = truth + torch.randn(1, 400_000, 3, dtype=torch.float64, generator=generator)
    cross = problem.kernel_mean(theta, y, bandwidth)[0]
    simulated = 2 * problem.kernel_self(theta, bandwidth) - 2 * cross.mean()
    square = (theta - truth).square().sum()
    closed = 2 * (1 + 2 / bandwidth) ** -1.5 * (1 - (-square / (2 * (bandwidth + 2))).exp())
    assert abs(simulated - closed) < 5 * 2 * cross.std() / math.sqrt(400_000)


def test_theorem_2_population_mmd_of_the_covariance_has_its_minimum_at_the_truth_and_its_negative():
    problem, bandwidth, generator = GaussianCov(d=2, m=7, epsilon=1e-3), 1.0, torch.Generator().manual_seed(7)
    truth = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    y = problem.sample(truth, torch.randn(1, 200_000, 3, dtype=torch.float64, generator=generator))

    def loss(theta):
        return problem.kernel_self(theta, bandwidth) - 2 * problem.kernel_mean(theta, y, bandwidth).mean(-1)

    torch.testing.assert_close(loss(truth), loss(-truth))
    # The saddle of eq. 8: a'a* = 0 and ||a||² = 0.351207 (c = 1, ||a*|| = 1), where the gradient vanishes.
    saddle = torch.tensor([[0.0, math.sqrt(0.351207)]], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(saddle).sum(), saddle)
    assert gradient.norm() < 5e-3  # the simulation's error
    hessian = torch.autograd.functional.hessian(lambda a: loss(a).sum(), saddle.detach())[0, :, 0, :]
    assert torch.allclose(torch.linalg.eigvalsh(hessian), torch.tensor([-0.4502, 0.4124]).double(), atol=0.02)


@pytest.mark.parametrize("problem", PROBLEMS, ids=IDS)
def test_exact_mle_has_no_better_neighbour(problem):
    generator = torch.Generator().manual_seed(8)
    y = problem.sample(
        _theta(problem), torch.randn(1, 50, problem.noise_size, dtype=torch.float64, generator=generator)
    )
    best = problem.exact_mle(y).requires_grad_()
    likelihood = problem.log_density(best, y).sum()
    (gradient,) = torch.autograd.grad(likelihood, best)
    assert gradient.abs().max() < 1e-6
    for step in torch.randn(20, 1, 3, dtype=torch.float64, generator=generator):
        assert problem.log_density(best + 0.3 * step, y).sum() < likelihood


def test_errors_by_hand():
    a, b = torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 0.0]])
    assert GaussianMean(d=2, m=2).error(a, b).item() == 2.5  # 5 / d
    assert GaussianCov(d=2, m=2).error(a, b).item() == 12.5  # ||aa'||_F / d = 25 / 2
    assert GaussianCov(d=2, m=2).error(a, -a).item() == 0.0  # the sign is free


def test_thresholds_are_strict_for_the_mean_and_not_for_the_covariance():
    assert not GaussianMean(threshold=0.02).succeeded(0.02)
    assert GaussianCov(threshold=0.05).succeeded(0.05)


@pytest.mark.parametrize("cls", [GaussianMean, GaussianCov])
def test_draws_are_float64_named_and_repeatable(cls):
    first, second = (cls(d=4, m=6).draw(Streams(0, "main", 1), None) for _ in range(2))
    assert {name: array.shape for name, array in first.items()} == {"truth": (4,), "observed": (6, 4), "start": (4,)}
    assert all(array.dtype == np.float64 for array in first.values())
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not np.array_equal(first["truth"], first["start"])
    assert not np.array_equal(first["truth"], cls(d=4, m=6).draw(Streams(0, "main", 2), None)["truth"])


def test_without_noise_there_is_no_density_and_the_rest_is_the_limit():
    flat, near = GaussianCov(d=3, m=7, epsilon=0.0), GaussianCov(d=3, m=7, epsilon=1e-7)
    assert "log_density" not in flat.capabilities
    assert "no density" in flat.lacks()["log_density"]
    assert near.capabilities == flat.capabilities | {"log_density"}
    assert not near.lacks()
    theta, along = (
        _theta(flat, 4),
        torch.randn(4, 7, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1)),
    )
    y = along * _theta(flat, 4, seed=2).unsqueeze(-2)
    torch.testing.assert_close(flat.kernel_self(theta, 2.0), near.kernel_self(theta, 2.0))
    torch.testing.assert_close(flat.kernel_mean(theta, y, 2.0), near.kernel_mean(theta, y, 2.0))
    # The data lie on a line: their scale along it is the root of the mean square.
    scale = along.square().mean((-2, -1)).sqrt().unsqueeze(-1)
    assert flat.error(flat.exact_mle(y), scale * _theta(flat, 4, seed=2)).max() < 1e-12


@pytest.mark.parametrize("cls", [GaussianMean, GaussianCov])
def test_the_start_lies_at_the_wanted_distance_in_its_usual_direction(cls):
    usual, far = (cls(d=4, m=5, init_distance=distance).draw(Streams(0), None) for distance in (None, 2.5))
    away = far["start"] - far["truth"]
    assert np.linalg.norm(away) == pytest.approx(2.5)
    np.testing.assert_allclose(away, 2.5 * usual["start"] / np.linalg.norm(usual["start"]))
    np.testing.assert_array_equal(far["observed"], usual["observed"])


@pytest.mark.parametrize(("ratio", "fakes"), [(1.0, 100), (2.56, 256), (16.0, 1600), (1e-6, 2)])
def test_the_number_of_fakes_follows_from_their_ratio(ratio, fakes):
    assert GaussianMean(m=100, fakes_ratio=ratio).fakes == fakes
