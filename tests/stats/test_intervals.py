"""Intervals against published values, scipy.stats and exact coverage."""

import math
import subprocess
import sys
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as oracle

from bench_core.stats import Interval, bca, clopper_pearson, interquartile_mean, median, student_t, wilson
from bench_core.stats.intervals import Statistic, _acceleration

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
    for successes in range(0, n + 1, max(1, n // 10)):
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


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_matches_newcombe_1998(successes: int, n: int, low: float, high: float) -> None:
    """Table I, method 3, of the same article."""
    interval = wilson(successes, n)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)
    assert (interval.estimate, interval.method) == (successes / n, "wilson")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("n", [1, 2, 7, 50])
def test_wilson_agrees_with_scipy_and_mirrors(n: int, level: float) -> None:
    for successes in range(0, n + 1, max(1, n // 10)):
        expected = oracle.binomtest(successes, n).proportion_ci(level, method="wilson")
        interval, mirrored = wilson(successes, n, level), wilson(n - successes, n, level)
        assert interval[1:3] == pytest.approx((expected.low, expected.high), abs=1e-12)
        assert interval[1:3] == pytest.approx((1 - mirrored.high, 1 - mirrored.low), abs=1e-12)
        assert 0 <= interval.low <= interval.estimate <= interval.high <= 1


def test_wilson_keeps_what_the_score_test_keeps() -> None:
    z = oracle.norm.ppf(0.975)
    for successes, n in [(1, 10), (8, 10), (30, 90)]:
        for end in wilson(successes, n)[1:3]:
            assert abs(successes - n * end) / math.sqrt(n * end * (1 - end)) == pytest.approx(z)


def test_wilson_without_trials_knows_nothing_and_refuses_impossible_counts() -> None:
    assert wilson(0, 0)[1:] == (0.0, 1.0, 0.95, "wilson")
    with pytest.raises(ValueError, match="wilson needs 0 <= successes <= n, got successes=6 and n=5"):
        wilson(6, 5)


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


# The bootstrap


@pytest.mark.parametrize(
    ("values", "estimate"),
    [
        ([1, 2, 3, 4], 2.5),
        ([0, 2, 3, 5, 100], (0.75 * 2 + 3 + 0.75 * 5) / 2.5),
        ([5, 1, 3], (0.25 * 1 + 3 + 0.25 * 5) / 1.5),
        ([1, 2], 1.5),
        ([7], 7),
        ([1, 2, 3, INF], 2.5),
        ([1, 2, INF, INF], INF),
        ([-INF, 1, 2, 3], 1.5),
    ],
)
def test_interquartile_mean_is_the_mean_of_the_middle_half(values: list[float], estimate: float) -> None:
    assert interquartile_mean(values).estimate == pytest.approx(estimate)


@pytest.mark.parametrize("n", [4, 8, 100])
def test_interquartile_mean_agrees_with_a_trimmed_mean(n: int) -> None:
    values = np.random.default_rng(n).normal(size=n)
    assert interquartile_mean(values).estimate == pytest.approx(oracle.trim_mean(values, 0.25))


@pytest.mark.parametrize(
    ("statistic", "function"),
    [("mean", np.mean), ("median", np.median), ("interquartile_mean", lambda x, axis: oracle.trim_mean(x, 0.25, axis))],
)
def test_bca_agrees_with_scipy(statistic: Statistic, function: Callable[..., Any]) -> None:
    values = np.random.default_rng(5).lognormal(size=60)
    oracle_interval = oracle.bootstrap((values,), function, n_resamples=9999, method="BCa").confidence_interval
    interval = bca(values, statistic, resamples=9999)
    width = oracle_interval.high - oracle_interval.low
    assert interval[1:3] == pytest.approx((oracle_interval.low, oracle_interval.high), abs=0.06 * width)


def test_bca_of_symmetric_values_tends_to_the_normal_interval() -> None:
    values = oracle.norm.ppf((np.arange(400) + 0.5) / 400)
    half_width = 1.96 * values.std() / 20
    assert bca(values, "mean", resamples=20_000)[1:3] == pytest.approx((-half_width, half_width), rel=0.04)


def test_bca_has_efrons_acceleration() -> None:
    """A sixth of the skewness of the jackknife, for a mean that of the values (Efron 1987, eq. 6.6)."""
    values = np.sort(np.random.default_rng(0).exponential(size=50))
    expected = oracle.skew(values) / (6 * math.sqrt(50))
    assert _acceleration(values, "mean") == pytest.approx(expected)
    for statistic in ("median", "interquartile_mean"):
        left_out = np.array([bca(np.delete(values, i), statistic, resamples=1).estimate for i in range(50)])
        deviation = left_out.mean() - left_out
        expected = (deviation**3).sum() / (6 * (deviation**2).sum() ** 1.5)
        assert _acceleration(values, statistic) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=25)
@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=12), st.randoms())
def test_bca_is_deterministic_whatever_the_order_and_brackets_its_estimate(values: list[float], random: Random) -> None:
    shuffled = random.sample(values, len(values))
    for statistic in ("mean", "median", "interquartile_mean"):
        interval = bca(values, statistic, resamples=50)
        assert interval == bca(shuffled, statistic, resamples=50)
        assert interval.low <= interval.estimate <= interval.high
        assert interval.method == "bca"


def test_bca_follows_a_change_of_unit() -> None:
    values = np.random.default_rng(2).lognormal(size=40)
    assert bca(values, "mean", seed=1) != bca(values, "mean")
    for statistic in ("mean", "median", "interquartile_mean"):
        plain, scaled = bca(values, statistic), bca(8 * values + 4, statistic)
        assert scaled[:3] == pytest.approx([8 * end + 4 for end in plain[:3]], rel=1e-12)


def test_bca_of_degenerate_samples() -> None:
    assert bca([2.0] * 9, "mean")[:3] == (2.0, 2.0, 2.0)
    assert bca([INF] * 9, "median")[:3] == (INF, INF, INF)
    assert bca([3.0], "median")[:3] == (3.0, -INF, INF)
    assert bca([3.0, INF, math.nan], "mean")[:3] == (3.0, -INF, INF)
    for empty in (bca([], "interquartile_mean"), bca([INF, math.nan], "mean")):
        assert math.isnan(empty.estimate)
        assert empty[1:3] == (-INF, INF)


def test_bca_has_infinite_ends_where_failures_reach_them() -> None:
    values = np.arange(40.0)
    some, more = values.copy(), values.copy()
    some[-9:], more[-12:] = INF, INF
    few = interquartile_mean(some)
    assert math.isfinite(few.estimate)
    assert math.isfinite(few.low)
    assert few.high == INF
    many = interquartile_mean(more)
    assert (many.estimate, many.high) == (INF, INF)
    assert math.isfinite(many.low)
    mirrored = interquartile_mean(-some)
    assert (mirrored.low, math.isfinite(mirrored.high)) == (-INF, True)


def test_bca_refuses_what_it_cannot_mean() -> None:
    with pytest.raises(ValueError, match="statistic must be 'mean', 'median' or 'interquartile_mean', got 'mode'"):
        bca([1.0], "mode")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="got 1 NaN among 2 values; a failed trial"):
        bca([1.0, math.nan], "median")
    with pytest.raises(ValueError, match=r"got -inf and \+inf"):
        interquartile_mean([-INF, 1.0, INF])
    with pytest.raises(ValueError, match="resamples >= 1, got 0"):
        bca([1.0, 2.0], "mean", resamples=0)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0, math.nan])
def test_levels_outside_0_1_are_refused(level: float) -> None:
    with pytest.raises(ValueError, match="level must lie strictly between 0 and 1"):
        clopper_pearson(1, 2, level)
    with pytest.raises(ValueError, match="level must lie strictly between 0 and 1"):
        wilson(1, 2, level)
    for interval in (student_t, median, interquartile_mean):
        with pytest.raises(ValueError, match="level must lie strictly between 0 and 1"):
            interval([1.0, 2.0], level)


@pytest.mark.parametrize("interval", [student_t, median, interquartile_mean])
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
s.wilson(1, 2), s.interquartile_mean([1, 2, 3]), s.permutation([1, 2], [2, 1], direction="lower")
s.pooled([s.mcnemar_exact([True], [False])]), s.tost([1, 2], [1, 3], "mean", 1.0), s.detectable_shift(9)
s.mcnemar_power(90, 0.2, 0.1), s.performance_profile([1, 2]), s.friedman([[1, 2], [2, 1]]), s.nemenyi([[1, 2], [2, 1]])
assert "scipy.stats" not in sys.modules, "use"
"""
    subprocess.run([sys.executable, "-c", script], check=True)
