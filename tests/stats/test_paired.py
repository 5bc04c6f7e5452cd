"""Paired tests against scipy.stats, enumeration, a brute-force score test and published examples."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize
from scipy import stats as oracle

from bench_core.stats import MIN_DISCORDANT, PairedTest, mcnemar_exact, median, separated, tango, wilcoxon

INF = math.inf
Z = float(oracle.norm.ppf(0.975))


def successes(n11: int, n10: int, n01: int, n00: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Success vectors of a and b with these counts of (a, b)."""
    counts = [n11, n10, n01, n00]
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


# McNemar


@pytest.mark.parametrize(("n10", "n01"), [(0, 1), (0, 6), (3, 3), (4, 5), (12, 25), (300, 240), (0, 800)])
def test_mcnemar_agrees_with_the_binomial_test(n10: int, n01: int) -> None:
    test = mcnemar_exact(*successes(7, n10, n01, 3))
    assert test.p_value == pytest.approx(oracle.binomtest(n10, n10 + n01).pvalue, rel=1e-10)
    assert (test.n_pairs, test.n10, test.n01, test.test) == (n10 + n01 + 10, n10, n01, "mcnemar_exact")
    assert test.difference == pytest.approx((n10 - n01) / (n10 + n01 + 10))
    assert (test.difference, test.low, test.high) == tango(n10, n01, n10 + n01 + 10)[:3]


def test_mcnemar_counts_n10_where_a_succeeds() -> None:
    test = mcnemar_exact([True, True, True, False], [True, False, False, True])
    assert (test.n10, test.n01, test.difference) == (2, 1, 0.25)


def test_mcnemar_without_discordant_pairs_keeps_a_real_interval() -> None:
    test = mcnemar_exact(*successes(50, 0, 0, 50))
    assert (test.p_value, test.difference) == (1.0, 0.0)
    assert (test.low, test.high) == pytest.approx((-(Z**2) / (100 + Z**2), Z**2 / (100 + Z**2)))


def test_mcnemar_without_pairs_knows_nothing() -> None:
    test = mcnemar_exact([], [])
    assert (test.n_pairs, test.p_value, test.low, test.high) == (0, 1.0, -1.0, 1.0)
    assert math.isnan(test.difference)


def test_mcnemar_refuses_what_is_no_success_vector() -> None:
    with pytest.raises(ValueError, match="needs booleans"):
        mcnemar_exact([0.5, 1.0], [0.0, 1.0])
    with pytest.raises(ValueError, match="needs booleans"):
        mcnemar_exact([1.0, 1.0], [math.nan, 1.0])
    with pytest.raises(ValueError, match="equal lengths, got 2 and 1"):
        mcnemar_exact([True, False], [True])


# Tango's interval


def test_tango_matches_the_published_example() -> None:
    """Airway hyper-responsiveness, 1 / 1 / 7 / 12: Fagerland, Lydersen, Laake, Statist. Med. 33 (2014), 2850."""
    assert [round(x, 3) for x in tango(1, 7, 21)[:3]] == [-0.286, -0.517, -0.026]


def score(n10: int, n01: int, n: int, delta: float) -> float:
    """Score statistic with the nuisance rate found by maximising the multinomial likelihood numerically."""

    def minus_log_likelihood(p01: float) -> float:
        cells = [p01 + delta, p01, 1 - 2 * p01 - delta]
        return -sum(k * math.log(p) for k, p in zip([n10, n01, n - n10 - n01], cells, strict=True) if k)

    bounds = (max(0.0, -delta) + 1e-12, (1 - delta) / 2 - 1e-12)
    p01 = optimize.minimize_scalar(minus_log_likelihood, bounds=bounds, options={"xatol": 1e-12}).x
    return (n10 - n01 - n * delta) / math.sqrt(n * (2 * p01 + delta - delta**2))


@pytest.mark.parametrize(
    ("n10", "n01", "n"), [(1, 7, 21), (0, 3, 10), (0, 0, 30), (5, 5, 10), (40, 20, 160), (9, 0, 10)]
)
def test_tango_keeps_exactly_what_a_slow_score_test_keeps(n10: int, n01: int, n: int) -> None:
    low, high = tango(n10, n01, n)[1:3]
    for delta in np.linspace(-0.999, 0.999, 334):
        if min(abs(delta - low), abs(delta - high)) > 1e-4:
            assert (abs(score(n10, n01, n, float(delta))) < Z) == (low < delta < high), delta
    for end in (low, high):
        assert abs(score(n10, n01, n, end)) == pytest.approx(Z, rel=1e-3)


@pytest.mark.parametrize("n", [1, 2, 7, 20, 800])
def test_tango_ends_are_roots_of_the_published_quartic(n: int) -> None:
    """Yang, Sun and Hardin, "A non-iterative implementation of Tango's score confidence interval" (2012)."""
    rng = np.random.default_rng(n)
    for n10, n01, _ in rng.multinomial(n, rng.dirichlet([0.5, 0.5, 0.5], size=40)).tolist():
        g, d, s = Z**2, n10 - n01, n10 + n01
        quartic = [
            n**2 * (n / g + 1) ** 2,
            -n * d * (n / g + 1) * (4 * n / g + 1),
            2 * n * d**2 * (3 * n / g + 2) / g - n**2 * (s / g + 1),
            n * d * (2 * s / g + 1) - d**3 * (4 * n / g + 1) / g,
            d**2 * (d**2 / g - s) / g,
        ]
        roots = np.roots(quartic)
        low, high = tango(n10, n01, n)[1:3]
        for end in (low, high):
            assert np.abs(roots - end).min() < 1e-5, (n10, n01)


@given(st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60)).filter(any))
def test_tango_mirrors_stays_inside_and_is_no_point(counts: tuple[int, int, int]) -> None:
    n10, n01, n = counts[0], counts[1], sum(counts)
    interval, mirrored = tango(n10, n01, n), tango(n01, n10, n)
    assert interval[:3] == (-mirrored.estimate, -mirrored.high, -mirrored.low)
    assert -1 <= interval.low <= interval.estimate <= interval.high <= 1
    assert interval.low < interval.high


def test_tango_covers_about_nominally() -> None:
    """Exact coverage at n = 20 over all pairs of rates: at least 93 % everywhere, at least 95 % on average."""
    n, step = 20, 40
    counts = np.array([(x, y, n - x - y) for x in range(n + 1) for y in range(n + 1 - x)])
    ends = np.array([tango(x, y, n)[1:3] for x, y, _ in counts.tolist()])
    coverage = []
    for p10, p01 in product(np.arange(1, step) / step, repeat=2):
        if p10 + p01 < 1 - 1e-9:
            probability = oracle.multinomial.pmf(counts, n, [p10, p01, 1 - p10 - p01])
            covered = (ends[:, 0] <= p10 - p01 + 1e-12) & (p10 - p01 <= ends[:, 1] + 1e-12)
            coverage.append(probability[covered].sum())
    assert min(coverage) >= 0.93
    assert 0.95 <= np.mean(coverage) <= 0.965


def test_tango_refuses_impossible_counts() -> None:
    for n10, n01, n in [(-1, 0, 5), (0, -1, 5), (3, 3, 5)]:
        with pytest.raises(ValueError, match=f"got n10={n10}, n01={n01} and n={n}"):
            tango(n10, n01, n)
    with pytest.raises(ValueError, match="level must lie"):
        tango(1, 1, 5, 95)


# Wilcoxon


def enumerated_p_value(differences: NDArray[np.float64]) -> float:
    """Two-sided p by going through all signs; ranks by scipy."""
    differences = differences[differences != 0]
    ranks = oracle.rankdata(np.abs(differences))
    sums = np.array(list(product([0, 1], repeat=len(ranks)))) @ ranks  # (2**k,)
    far = abs(ranks[differences > 0].sum() - ranks.sum() / 2)
    return float(np.mean(np.abs(sums - ranks.sum() / 2) >= far - 1e-9))


@given(st.lists(st.tuples(*[st.sampled_from([0.0, 1.0, 2.0, 4.0, 8.0, INF])] * 2), min_size=1, max_size=11))
def test_wilcoxon_is_exact_with_ties_zeros_and_failures(pairs: list[tuple[float, float]]) -> None:
    a, b = np.array(pairs).T
    differences = np.array([0.0 if x == y else x - y for x, y in pairs])
    assert wilcoxon(a, b).p_value == pytest.approx(enumerated_p_value(differences), rel=1e-9)


@pytest.mark.parametrize("n", [1, 5, 6, 13, 30, 50])
def test_wilcoxon_small_agrees_with_scipy_exact(n: int) -> None:
    rng = np.random.default_rng(n)
    for shift in (0.0, 0.5):
        a, b = rng.normal(size=n) + shift, rng.normal(size=n)
        assert wilcoxon(a, b).p_value == pytest.approx(oracle.wilcoxon(a, b, method="exact").pvalue, rel=1e-9)


@pytest.mark.parametrize("n", [51, 120, 800])
@pytest.mark.parametrize("copies", [1, 3])
def test_wilcoxon_large_agrees_with_scipy_asymptotic(n: int, copies: int) -> None:
    """Also with each absolute difference three times, and with zeros."""
    rng = np.random.default_rng(n)
    size = np.repeat(rng.exponential(size=n // copies), copies)
    a = np.concatenate([size * rng.choice([-1, 1], p=[0.42, 0.58], size=size.size), np.zeros(5)])
    expected = oracle.wilcoxon(a, method="approx", correction=True, zero_method="wilcox").pvalue
    assert wilcoxon(a, np.zeros_like(a)).p_value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("finite", "infinite"), [(0, 60), (5, 55), (3, 197), (60, 30), (60, 300)])
def test_wilcoxon_keeps_its_size_when_many_trials_fail(finite: int, infinite: int) -> None:
    """P(p <= alpha) under random signs, from the exact distribution of the rank sum, by convolution."""
    ranks = np.concatenate([2 * np.arange(1, finite + 1), np.full(infinite, 2 * finite + infinite + 1)])
    mass = np.ones(1)
    for rank in ranks:
        mass = (np.pad(mass, (0, rank)) + np.pad(mass, (rank, 0))) / 2
    size = np.concatenate([np.arange(1, finite + 1.0), np.full(infinite, INF)])
    exact = 2 * np.cumsum(mass)
    rng = np.random.default_rng(finite)
    for p_up in np.linspace(0.35, 0.48, 8):
        a = np.where(rng.random(size.size) < p_up, size, -size)
        rank_sum = int(ranks[a > 0].sum())
        expected = min(1.0, exact[min(rank_sum, ranks.sum() - rank_sum)])
        tolerance = 1e-9 if finite <= 50 else 0.03
        assert wilcoxon(a, np.zeros_like(a)).p_value == pytest.approx(expected, rel=tolerance, abs=1e-4 * tolerance)


def test_wilcoxon_failures_count_against_the_label_that_fails() -> None:
    a, b = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, INF], [INF, INF, INF, INF, INF, INF, INF]
    test = wilcoxon(a, b)
    assert (test.n_pairs, test.n01, test.n10) == (7, 0, 6)
    assert test.p_value == pytest.approx(2 / 2**6)
    assert (test.difference, test.low, test.high) == (-INF, -INF, 0.0)


def test_wilcoxon_ranks_a_failure_above_every_finite_difference() -> None:
    """Against five finite differences of ranks 1 to 5, one failure has rank 6: P(sum <= 6) = 14 / 64."""
    test = wilcoxon([1e300, 2e300, 3e300, 4e300, 5e300, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0, INF])
    assert test.p_value == pytest.approx(2 * 14 / 64)


def test_wilcoxon_direction_decides_only_what_is_counted_for_whom() -> None:
    a, b = [1.0, 2.0, 3.0, 9.0], [2.0, 4.0, 6.0, 8.0]
    lower, higher = wilcoxon(a, b, direction="lower"), wilcoxon(a, b, direction="higher")
    assert (lower.n10, lower.n01) == (3, 1)
    assert (higher.n10, higher.n01) == (1, 3)
    assert lower._replace(n10=1, n01=3, favours="b") == higher


@given(st.lists(st.tuples(st.floats(allow_nan=False), st.floats(allow_nan=False)), max_size=80))
def test_wilcoxon_is_symmetric_in_the_labels(pairs: list[tuple[float, float]]) -> None:
    a, b = np.array(pairs).reshape(-1, 2).T
    test, swapped = wilcoxon(a, b), wilcoxon(b, a)
    assert (test.n10, test.n01) == (swapped.n01, swapped.n10)
    assert test.p_value == swapped.p_value
    assert 0 <= test.p_value <= 1
    assert (test.low, test.high) == (-swapped.high, -swapped.low)


def test_wilcoxon_difference_is_the_median_with_its_interval() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=41), rng.normal(size=41)
    assert wilcoxon(a, b, level=0.9)[5:8] == median(a - b, 0.9)[:3]


def test_wilcoxon_without_pairs_or_without_differences_finds_nothing() -> None:
    empty, equal = wilcoxon([], []), wilcoxon([1.0] * 8, [1.0] * 8)
    assert (empty.n_pairs, empty.p_value, empty.low, empty.high) == (0, 1.0, -INF, INF)
    assert math.isnan(empty.difference)
    assert equal == PairedTest(8, 0, 0, "wilcoxon", 1.0, 0.0, 0.0, 0.0, "neither")


def test_wilcoxon_refuses_nan_unequal_lengths_and_unknown_directions() -> None:
    with pytest.raises(ValueError, match=r"got NaN; a failed trial enters as \+inf"):
        wilcoxon([1.0, math.nan], [1.0, 2.0])
    with pytest.raises(ValueError, match="equal lengths, got 2 and 1"):
        wilcoxon([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="direction must be 'lower' or 'higher', got 'up'"):
        wilcoxon([1.0], [2.0], direction="up")  # type: ignore[arg-type]


# The rule for tables


def test_fewer_than_six_discordant_pairs_are_never_separated() -> None:
    def with_discordant(n10: int, n01: int) -> PairedTest:
        return PairedTest(100, n01, n10, "mcnemar_exact", 1e-9, 0.1, 0.05, 0.15)

    assert MIN_DISCORDANT == 6
    assert not separated(with_discordant(5, 0), 1e-9)
    assert not separated(with_discordant(2, 3), 1e-9)
    assert separated(with_discordant(6, 0), 1e-9)
    assert separated(with_discordant(3, 3), 1e-9)


@pytest.mark.parametrize(("adjusted", "expected"), [(0.05, True), (0.0501, False), (math.nan, False)])
def test_separation_needs_an_adjusted_p_of_at_most_alpha(adjusted: float, expected: bool) -> None:
    assert separated(mcnemar_exact(*successes(10, 30, 2, 10)), adjusted) is expected
    assert separated(mcnemar_exact(*successes(10, 30, 2, 10)), 0.04, alpha=0.01) is False


def test_the_favoured_side_is_that_of_the_rank_sums_not_of_the_majority() -> None:
    # a is better in 60 pairs by little, b in 40 by much.
    a = np.array([0.0] * 60 + [1.0] * 40)
    b = np.array([0.001 + 1e-6 * i for i in range(60)] + [1e-3 * i for i in range(40)])
    test = wilcoxon(a, b)
    assert (test.n10, test.n01, test.favours) == (60, 40, "b")
    assert wilcoxon(b, a).favours == "a"
    assert wilcoxon(-a, -b, direction="higher").favours == "b"
    assert mcnemar_exact([1, 1, 0], [0, 0, 1]).favours == "a"
    assert mcnemar_exact([1, 0], [0, 1]).favours == "neither"
