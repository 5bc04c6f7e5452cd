"""Unmixing against brute force, the moments of a Dirichlet law and geometry."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.optimize import linear_sum_assignment
from scipy.stats import kstest

from bench_core.problems.linear_unmixing import LinearUnmixing
from bench_core.seeds import Streams

F64 = torch.float64


def normal(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("r", [1, 3, 5])
def test_matching_is_the_best_of_all_permutations(r):
    problem = LinearUnmixing(d=5, r=r)
    theta, truth = normal(8, r * 5, seed=0), normal(8, r * 5, seed=1)
    for score, power in ((problem.error, 2), (problem.distance, 1)):
        found = score(theta, truth)
        for i in range(8):
            a, b = theta[i].reshape(r, 5), truth[i].reshape(r, 5)
            sums = [
                sum(float((a[k] - b[j]).norm()) ** power for k, j in enumerate(order))
                for order in itertools.permutations(range(r))
            ]
            assert float(found[i]) == pytest.approx(min(sums), rel=1e-12)


def test_matching_of_many_endmembers_is_that_of_linear_sum_assignment():
    problem = LinearUnmixing(d=12, r=12)
    theta, truth = normal(3, 144, seed=0), normal(3, 144, seed=1)
    for i in range(3):
        costs = torch.cdist(theta[i].reshape(12, 12), truth[i].reshape(12, 12)).square().numpy()
        assert float(problem.error(theta, truth)[i]) == pytest.approx(costs[linear_sum_assignment(costs)].sum())


def test_the_order_of_endmembers_does_not_matter_and_one_is_not_matched_twice():
    problem = LinearUnmixing(d=3, r=3)
    truth = normal(2, 9, seed=0)
    shuffled = truth.reshape(2, 3, 3)[:, [2, 0, 1]].reshape(2, 9)
    assert problem.error(shuffled, truth).max() < 1e-20
    twice = truth.reshape(2, 3, 3)[:, [0, 0, 1]].reshape(2, 9)
    assert problem.error(twice, truth).min() > 0.01


def test_what_is_not_finite_is_no_match_and_no_crash():
    problem = LinearUnmixing(d=3, r=2)
    truth = normal(3, 6, seed=0)
    theta = truth.clone()
    theta[0, 0], theta[1, 5] = torch.nan, torch.inf
    error = problem.error(theta, truth)
    assert error[0].isnan()
    assert error[1].isinf()
    assert error[2] == 0


def test_abundances_have_the_moments_of_a_dirichlet_law():
    # Dirichlet(1, 1, 1): mean 1/3, variance 1/18, covariance -1/36; each share is Beta(1, 2). Endmembers are the axes.
    problem = LinearUnmixing(d=3, r=3, noise=0.0)
    n = 100_000
    theta = torch.eye(3, dtype=F64).reshape(1, 9)
    drawn = LinearUnmixing(d=3, r=3, m=n, noise=0.0).draw(Streams(0), None)
    shares = np.linalg.solve(drawn["truth"].reshape(3, 3).T, drawn["observed"].T).T
    for samples in (problem.sample(theta, normal(1, n, problem.noise_size, seed=2))[0].numpy(), shares):
        assert np.abs(samples.sum(-1) - 1).max() < 1e-6
        assert np.abs(samples.mean(0) - 1 / 3).max() < 5 * (1 / 18 / n) ** 0.5
        expected = np.full((3, 3), -1 / 36) + np.eye(3) / 12
        assert np.abs(np.cov(samples.T) - expected).max() < 5 * 0.08 / n**0.5
        assert kstest(samples[:, 0], "beta", args=(1, 2)).pvalue > 1e-4


def test_noise_is_a_variance():
    problem = LinearUnmixing(d=4, r=2, noise=0.25)
    theta = torch.zeros(1, 8, dtype=F64)
    samples = problem.sample(theta, normal(1, 50_000, problem.noise_size, seed=3))[0]
    assert abs(samples.var() - 0.25) < 5 * 0.25 * (2 / samples.numel()) ** 0.5


def test_draws_are_float64_named_and_repeatable():
    problem = LinearUnmixing(d=4, r=2, m=20)
    first, second = (problem.draw(Streams(0, "main", 1), None) for _ in range(2))
    shapes = {"truth": (8,), "observed": (20, 4), "start": (8,), "start-vca": (8,), "start-random": (8,)}
    assert {name: array.shape for name, array in first.items()} == shapes
    assert all(array.dtype == np.float64 for array in first.values())
    assert all((first[name] == second[name]).all() for name in first)
    np.testing.assert_array_equal(first["start"], first["start-vca"])


def test_without_noise_and_with_pure_pixels_the_start_is_the_truth():
    problem = LinearUnmixing(d=4, r=3, m=20, noise=0.0)
    rng = np.random.default_rng(0)
    for seed in range(20):
        endmembers = rng.random((3, 4))
        observed = np.concatenate([endmembers, rng.dirichlet(np.ones(3), 17) @ endmembers])
        start = torch.from_numpy(problem._vca(observed, Streams(seed)).reshape(1, 12))
        assert problem.error(start, torch.from_numpy(endmembers.reshape(1, 12))) < 1e-12


def test_the_start_does_not_depend_on_the_last_bits_of_the_pixels():
    # A library of linear algebra may round otherwise; digests of the data, and with them pairs, must survive that.
    problem = LinearUnmixing(d=10, r=3, m=100)
    observed = problem.draw(Streams(0), None)["observed"]
    nudged = observed * (1 + 2.0**-50)
    assert (problem._vca(observed, Streams(1)) == problem._vca(nudged, Streams(1))).all()


def test_more_endmembers_than_channels_are_refused():
    with pytest.raises(ValidationError, match="r must be at most d = 3, got 4"):
        LinearUnmixing(d=3, r=4)


def test_what_has_no_closed_form_says_so():
    problem = LinearUnmixing()
    theta, y = torch.zeros(1, 30), torch.zeros(1, 5, 10)
    for call in (
        lambda: problem.log_density(theta, y),
        lambda: problem.kernel_self(theta, 1.0),
        lambda: problem.kernel_mean(theta, y, 1.0),
        lambda: problem.exact_mle(y),
    ):
        with pytest.raises(NotImplementedError, match="closed form"):
            call()
