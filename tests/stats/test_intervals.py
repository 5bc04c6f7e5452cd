"""Intervals against published values, scipy.stats and exact coverage."""

import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as oracle

from bench_core.stats import Interval, clopper_pearson, median, student_t

INF = math.inf
LEVELS = (0.8, 0.9, 0.95, 0.99)
ROUNDING = 1e-12


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2527, 0.3676), (15, 148, 0.0578, 0.1617), (0, 20, 0.0, 0.1684), (1, 29, 0.0009, 0.1776)],
)
def test_clopper_pearson_matches_newcombe_1998(successes: int, n: int, low: float, high: float) -> None:
    """Table I of Newcombe, "Two-sided confidence intervals for the single proportion", Statist. Med. 17, 857-872."""
    interval = clopper_pearson(successes, n)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)
    assert interval.estimate == successes / n


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("n", [1, 2, 7, 50])
def test_clopper_pearson_agrees_with_scipy(n: int, level: float) -> None:
    for successes in range(n + 1):
        expected = oracle.binomtest(successes, n).proportion_ci(level, method="exact")
        interval = clopper_pearson(successes, n, level)
        assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
        assert interval.level == level


@pytest.mark.parametrize("n", [1, 5, 20, 100])
def test_clopper_pearson_covers_at_least_nominally_everywhere(n: int) -> None:
    intervals = [clopper_pearson(successes, n) for successes in range(n + 1)]
    low, high = np.array([i.low for i in intervals]), np.array([i.high for i in intervals])
    # Coverage jumps at the ends of the intervals: both sides of each belong to the grid.
    ends = np.concatenate([low, high])
    p = np.concatenate([np.linspace(0, 1, 2001), np.clip(np.concatenate([ends - 1e-9, ends + 1e-9]), 0, 1)])
    probability = oracle.binom.pmf(np.arange(n + 1), n, p[:, None])  # (len(p), n + 1)
    covered = (low <= p[:, None]) & (p[:, None] <= high)
    assert (probability * covered).sum(axis=1).min() >= 0.95 - ROUNDING


def test_clopper_pearson_without_trials_knows_nothing() -> None:
    interval = clopper_pearson(0, 0)
    assert math.isnan(interval.estimate)
    assert interval[1:] == (0.0, 1.0, 0.95, "clopper-pearson")


@pytest.mark.parametrize(("successes", "n"), [(-1, 5), (6, 5), (0, -1)])
def test_clopper_pearson_refuses_impossible_counts(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match=f"0 <= successes <= n, got successes={successes} and n={n}"):
        clopper_pearson(successes, n)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("n", [2, 3, 30, 800])
def test_student_t_agrees_with_scipy(n: int, level: float) -> None:
    values = np.random.default_rng(n).exponential(size=n)
    low, high = oracle.t.interval(level, n - 1, loc=values.mean(), scale=oracle.sem(values))
    interval = student_t(values, level)
    assert interval[:3] == pytest.approx((values.mean(), low, high), rel=1e-12)
    assert interval[3:] == (level, "student-t")


def test_student_t_leaves_out_what_is_not_finite() -> None:
    assert student_t([1.0, math.nan, 2.0, INF, 4.0, -INF]) == student_t([1.0, 2.0, 4.0])


def test_student_t_of_one_value_is_unbounded() -> None:
    assert student_t([3.0, INF]) == Interval(3.0, -INF, INF, 0.95, "student-t")


@pytest.mark.parametrize("values", [[], [math.nan, INF]])
def test_student_t_without_finite_values_is_nan(values: list[float]) -> None:
    interval = student_t(values)
    assert math.isnan(interval.estimate)
    assert interval[1:3] == (-INF, INF)


def test_student_t_survives_values_whose_squares_overflow() -> None:
    small, large = student_t([1.0, 2.0, 4.0]), student_t(np.array([1.0, 2.0, 4.0]) * 2.0**1000)
    assert large[:3] == tuple(end * 2.0**1000 for end in small[:3])


@pytest.mark.parametrize(
    ("n", "low_rank", "high_rank"), [(6, 1, 6), (10, 2, 9), (20, 6, 15), (50, 18, 33), (100, 40, 61)]
)
def test_median_ranks_match_the_published_table(n: int, low_rank: int, high_rank: int) -> None:
    """Appendix table of Altman et al., "Statistics with Confidence", 2nd ed. (2000), for 95 %."""
    values = np.random.default_rng(0).permutation(np.arange(1, n + 1))
    assert median(values) == Interval((n + 1) / 2, low_rank, high_rank, 0.95, "order-statistic")


@pytest.mark.parametrize("level", LEVELS)
def test_median_ranks_are_the_closest_that_cover(level: float) -> None:
    """Exact: the interval [x_(r), x_(n+1-r)] covers with probability 1 - 2 P(Bin(n, 1/2) <= r - 1)."""
    for n in range(1, 200):
        interval = median(np.arange(1, n + 1), level)
        rank = 0 if interval.low == -INF else int(interval.low)
        assert interval.high == (n + 1 - rank if rank else INF)
        assert 1 - 2 * oracle.binom.cdf(rank - 1, n, 0.5) >= level - ROUNDING
        assert 1 - 2 * oracle.binom.cdf(rank, n, 0.5) < level


@pytest.mark.parametrize("failing", [0.05, 0.3, 0.45, 0.6])
def test_median_covers_with_ties_and_failures(failing: float) -> None:
    """Exact coverage for 20 trials that give 0 or 1 with equal probability, or fail."""
    n, truth = 20, 1.0 if failing < 0.5 else INF
    counts = np.array([(zeros, ones) for zeros in range(n + 1) for ones in range(n + 1 - zeros)])
    cells = np.column_stack([counts, n - counts.sum(axis=1)])  # (k, 3)
    probability = oracle.multinomial.pmf(cells, n, [(1 - failing) / 2, (1 - failing) / 2, failing])
    intervals = [median(np.repeat([0.0, 1.0, INF], cell)) for cell in cells]
    covered = [interval.low <= truth <= interval.high for interval in intervals]
    assert probability[covered].sum() >= 0.95


@pytest.mark.parametrize(
    ("values", "estimate"),
    [
        ([1.0, 3.0], 2.0),
        ([1.0, INF], INF),
        ([-INF, 1.0], -INF),
        ([-INF, INF], 0.0),
        ([INF, INF, 1.0, 2.0], INF),
        ([INF, INF, INF], INF),
        ([1.7e308, 1.7e308, 1.5e308, 1.5e308], 1.6e308),
    ],
)
def test_median_of_few_values_is_a_midpoint_without_bounds(values: list[float], estimate: float) -> None:
    assert median(values) == Interval(estimate, -INF, INF, 0.95, "order-statistic")


def test_median_of_many_failures_has_an_infinite_end() -> None:
    assert median([INF] * 4 + [1, 2, 3, 4, 5, 6]) == Interval(5.5, 2, INF, 0.95, "order-statistic")


def test_median_of_nothing_is_nan() -> None:
    interval = median([])
    assert math.isnan(interval.estimate)
    assert interval[1:3] == (-INF, INF)


@given(st.lists(st.floats(allow_nan=False), min_size=1))
def test_median_mirrors_and_brackets_its_estimate(values: list[float]) -> None:
    interval, mirrored = median(values), median(-np.array(values))
    assert (interval.estimate, interval.low, interval.high) == (-mirrored.estimate, -mirrored.high, -mirrored.low)
    assert interval.low <= interval.estimate <= interval.high


def test_median_refuses_nan_and_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"got 1 NaN among 2 values; a failed trial enters as \+inf"):
        median([1.0, math.nan])


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0, math.nan])
def test_levels_outside_0_1_are_refused(level: float) -> None:
    with pytest.raises(ValueError, match="level must lie strictly between 0 and 1"):
        clopper_pearson(1, 2, level)
    for interval in (student_t, median):
        with pytest.raises(ValueError, match="level must lie strictly between 0 and 1"):
            interval([1.0, 2.0], level)


@pytest.mark.parametrize("interval", [student_t, median])
def test_only_vectors_are_accepted(interval: Callable[[object], Interval]) -> None:
    for values in ([[1.0, 2.0]], 3.0):
        with pytest.raises(ValueError, match=r"shape \(n,\), got shape"):
            interval(values)


def test_importing_loads_no_scipy_and_using_loads_no_scipy_stats() -> None:
    script = """
import sys
import bench_core
before = "scipy" in sys.modules
import bench_core.stats as s
assert before or "scipy" not in sys.modules, "import"
s.clopper_pearson(1, 2), s.student_t([1, 2]), s.median([1, 2]), s.holm([0.5])
s.mcnemar_exact([True], [False]), s.wilcoxon(range(1, 90), [0] * 89)
assert "scipy.stats" not in sys.modules, "use"
"""
    subprocess.run([sys.executable, "-c", script], check=True)
