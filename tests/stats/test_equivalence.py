"""Equivalence against the two one-sided tests that it stands for."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as oracle

from bench_core.stats import Interval, difference, equivalence, tost


def interval(low: float, high: float, level: float) -> Interval:
    return Interval((low + high) / 2, low, high, level, "tango")


@pytest.mark.parametrize(
    ("narrow", "wide", "verdict"),
    [
        ((-0.02, 0.04), (-0.03, 0.06), "equivalent"),
        ((-0.05, 0.05), (-0.06, 0.06), "equivalent"),  # the ends belong to the margin
        ((0.01, 0.051), (0.0, 0.06), "undecided"),
        ((0.06, 0.09), (0.051, 0.1), "different"),
        ((-0.09, -0.06), (-0.1, -0.051), "different"),
        ((0.06, 0.09), (0.05, 0.1), "undecided"),
        ((-0.2, 0.2), (-0.3, 0.3), "undecided"),
        ((-math.inf, math.inf), (-math.inf, math.inf), "undecided"),
    ],
)
def test_the_verdict_is_read_from_both_intervals(
    narrow: tuple[float, float], wide: tuple[float, float], verdict: str
) -> None:
    assert equivalence(interval(*narrow, 0.9), interval(*wide, 0.95), margin=0.05) == verdict


@settings(max_examples=20)
@given(st.floats(-1, 1), st.floats(0.01, 1), st.integers(0, 1000))
def test_for_means_it_is_two_one_sided_t_tests(shift: float, margin: float, seed: int) -> None:
    a, b = np.random.default_rng(seed).normal(size=(2, 30))
    a += shift
    below = float(oracle.ttest_1samp(a - b, -margin, alternative="greater").pvalue)
    above = float(oracle.ttest_1samp(a - b, margin, alternative="less").pvalue)
    result = tost(a, b, "mean", margin)
    if abs(max(below, above) - 0.05) > 1e-9:
        assert (result.verdict == "equivalent") == (max(below, above) < 0.05)
    assert result.verdict == tost(b, a, "mean", margin).verdict
    assert (result.narrow, result.wide) == (difference(a, b, "mean", result.narrow.level), difference(a, b, "mean"))


def test_identical_labels_are_equivalent_only_with_enough_trials() -> None:
    """No difference seen in 20 trials shows little: within 0.1 it is undecided, with 100 it is equivalent."""
    for n, verdict in [(20, "undecided"), (100, "equivalent")]:
        assert tost([True] * n, [True] * n, "rate", margin=0.1).verdict == verdict


def test_failures_count_for_skewed_metrics() -> None:
    a = np.array([0.1] * 20)
    b = a.copy()
    assert tost(a, b, "skewed", margin=0.01).verdict == "equivalent"
    b[:9] = math.inf
    assert tost(a, b, "skewed", margin=0.01).verdict == "undecided"
    b[:] = math.inf
    assert tost(a, b, "skewed", margin=0.01).verdict == "different"


def test_a_rate_at_the_margin_is_rarely_called_equivalent() -> None:
    """Exact: a difference of exactly the margin is called equivalent with at most 5 %."""
    n, p10, p01, margin = 40, 0.15, 0.05, 0.1
    wrong = 0.0
    for n10 in range(n + 1):
        for n01 in range(n - n10 + 1):
            mass = oracle.multinomial.pmf([n10, n01, n - n10 - n01], n, [p10, p01, 1 - p10 - p01])
            if mass > 1e-9:
                a, b = np.arange(n) < n10, np.arange(n) >= n - n01
                wrong += mass * (tost(a, b, "rate", margin).verdict == "equivalent")
    assert wrong <= 0.05


@pytest.mark.parametrize("margin", [0.0, -0.1, math.inf, math.nan])
def test_a_margin_must_be_positive_and_finite(margin: float) -> None:
    with pytest.raises(ValueError, match="margin must be positive and finite"):
        tost([True], [True], "rate", margin)


def test_levels_must_belong_together() -> None:
    with pytest.raises(ValueError, match=r"got 0\.95 and 0\.95"):
        equivalence(interval(0, 1, 0.95), interval(0, 1, 0.95), 0.1)
    with pytest.raises(ValueError, match=r"between 0.5 and 1 \(0.95 for 95 %\), got 95"):
        tost([True], [True], "rate", 0.1, level=95)
