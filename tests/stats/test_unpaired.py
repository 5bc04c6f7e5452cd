"""Tests of independent samples against those of scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from bench_core.stats import fisher_exact, mann_whitney, welch

INF = float("inf")


@pytest.mark.parametrize("counts", [(8, 10, 1, 9), (0, 20, 5, 20), (300, 800, 260, 700), (7, 7, 3, 3), (0, 5, 0, 9)])
def test_fisher_is_that_of_scipy(counts):
    a, n, b, m = counts
    assert fisher_exact(*counts) == pytest.approx(scipy_stats.fisher_exact([[a, n - a], [b, m - b]]).pvalue, rel=1e-9)


def test_fisher_of_nothing_says_nothing():
    assert fisher_exact(0, 0, 3, 5) == 1.0
    with pytest.raises(ValueError, match="got 6 of 5 and 0 of 2"):
        fisher_exact(6, 5, 0, 2)


def test_few_ranks_are_counted():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=9), rng.normal(size=12) + 0.7
    exact = scipy_stats.mannwhitneyu(a, b, method="exact")
    p_value, balance = mann_whitney(a, b)
    assert p_value == pytest.approx(exact.pvalue)
    assert balance == pytest.approx(2 * exact.statistic / (9 * 12) - 1)


def test_ties_and_failures_are_counted_as_by_hand():
    # Sums of two of the ranks 1, 2.5, 2.5, 4: 3.5, 3.5, 5, 5, 6.5, 6.5; the observed 3.5 is one of four extreme ones.
    assert mann_whitney([1.0, 2.0], [2.0, INF]) == pytest.approx((4 / 6, -0.75))


def test_many_ranks_are_taken_as_normal():
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=300).round(1), (rng.normal(size=400) + 0.2).round(1)
    found = scipy_stats.mannwhitneyu(a, b, method="asymptotic", use_continuity=True)
    assert mann_whitney(a, b)[0] == pytest.approx(found.pvalue)
    assert mann_whitney([1.0] * 50, [1.0] * 60) == (1.0, 0.0)
    assert mann_whitney([], [1.0]) == (1.0, 0.0)
    with pytest.raises(ValueError, match="got NaN"):
        mann_whitney([float("nan")], [1.0])


def test_welch_is_that_of_scipy():
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=12), 3 * rng.normal(size=30) + 1
    assert welch(a, b) == pytest.approx(scipy_stats.ttest_ind(a, b, equal_var=False).pvalue)
    assert welch([1.0], [2.0, 3.0]) == 1.0


def test_values_that_do_not_vary_say_nothing():
    assert welch([1.0, 1.0], [1.0, 1.0]) == welch([1.0] * 50, [2.0] * 50) == 1.0
    assert welch([0.1 + 0.2, 0.3] * 9, [0.4] * 18) == 1.0  # which vary by rounding
    small = 1e-9 * np.arange(10.0)
    assert welch(small, small + 1e-7) < 1e-6  # which are small, and vary
    assert welch(1.0 + small, 1.0 + small + 1e-7) < 1e-6
