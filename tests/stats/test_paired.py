"""Paired tests against scipy.stats, enumeration, a brute-force score test and published examples."""

import math
from itertools import pairwise, product
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize
from scipy import stats as oracle
from scipy.special import gammaln, xlogy

from bench_core.stats import (
    MIN_DISCORDANT,
    PairedTest,
    difference,
    mcnemar_exact,
    median,
    permutation,
    probability_of_improvement,
    separated,
    student_t,
    tango,
    wilcoxon,
)

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
    # Then the variance at -t is t (1 - t): (100 t - c)² = z² 100 t (1 - t).
    t, c = test.high, 2 * Z**2 / 7
    assert test.low == -t
    assert 100 * t - c == pytest.approx(Z * math.sqrt(100 * t * (1 - t)))
    published = tango(0, 0, 100, continuity=False)
    assert published[1:3] == pytest.approx((-(Z**2) / (100 + Z**2), Z**2 / (100 + Z**2)))


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
    assert [round(x, 3) for x in tango(1, 7, 21, continuity=False)[:3]] == [-0.286, -0.517, -0.026]


def score(n10: int, n01: int, n: int, delta: float, correction: float = 0.0) -> float:
    """Score statistic with the nuisance rate found by maximising the multinomial likelihood numerically."""

    def minus_log_likelihood(p01: float) -> float:
        cells = [p01 + delta, p01, 1 - 2 * p01 - delta]
        return -sum(k * math.log(p) for k, p in zip([n10, n01, n - n10 - n01], cells, strict=True) if k)

    bounds = (max(0.0, -delta) + 1e-12, (1 - delta) / 2 - 1e-12)
    p01 = optimize.minimize_scalar(minus_log_likelihood, bounds=bounds, options={"xatol": 1e-12}).x
    distance = n10 - n01 - n * delta
    return math.copysign(max(0.0, abs(distance) - correction), distance) / math.sqrt(n * (2 * p01 + delta - delta**2))


@pytest.mark.parametrize("continuity", [False, True])
@pytest.mark.parametrize(
    ("n10", "n01", "n"), [(1, 7, 21), (0, 3, 10), (0, 0, 30), (5, 5, 10), (40, 20, 160), (9, 0, 10)]
)
def test_tango_keeps_exactly_what_a_slow_score_test_keeps(n10: int, n01: int, n: int, continuity: bool) -> None:
    low, high = tango(n10, n01, n, continuity=continuity)[1:3]
    correction = 2 * Z**2 / 7 if continuity else 0.0
    for delta in np.linspace(-0.999, 0.999, 223):
        if min(abs(delta - low), abs(delta - high)) > 1e-4:
            assert (abs(score(n10, n01, n, float(delta), correction)) < Z) == (low < delta < high), delta
    for end in {low, high} - {-1.0, 1.0}:
        assert abs(score(n10, n01, n, end, correction)) == pytest.approx(Z, rel=1e-3)


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
        low, high = tango(n10, n01, n, continuity=False)[1:3]
        for end in (low, high):
            assert np.abs(roots - end).min() < 1e-5, (n10, n01)


COUNTS = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60)).filter(any)


@settings(max_examples=40)
@given(COUNTS, st.sampled_from([0.5, 0.8, 0.95, 0.9995]))
def test_tango_mirrors_stays_inside_and_is_no_point(counts: tuple[int, int, int], level: float) -> None:
    n10, n01, n = counts[0], counts[1], sum(counts)
    interval, mirrored = tango(n10, n01, n, level), tango(n01, n10, n, level)
    assert interval[:3] == (-mirrored.estimate, -mirrored.high, -mirrored.low)
    assert -1 <= interval.low <= interval.estimate <= interval.high <= 1
    assert interval.low < interval.high


@settings(max_examples=40)
@given(COUNTS)
def test_tango_widens_with_the_level_and_holds_the_published_interval(counts: tuple[int, int, int]) -> None:
    n10, n01, n = counts[0], counts[1], sum(counts)
    nested = [tango(n10, n01, n, level) for level in (0.8, 0.9, 0.95, 0.99, 0.9995)]
    nested.insert(0, tango(n10, n01, n, 0.8, continuity=False))
    for inner, outer in pairwise(nested):
        assert outer.low <= inner.low + 1e-12
        assert inner.high <= outer.high + 1e-12


@settings(max_examples=40)
@given(st.integers(1, 300), st.integers(0, 300))
def test_tango_moves_up_with_each_pair_that_a_wins(n: int, n01: int) -> None:
    n01 = min(n01, n)
    ends = np.array([tango(n10, n01, n)[1:3] for n10 in range(n - n01 + 1)])
    assert (np.diff(ends, axis=0) >= -1e-12).all()


@pytest.mark.parametrize("level", [0.8, 0.9, 0.95, 0.99, 0.9995])
@pytest.mark.parametrize("n", [1, 2, 6, 20])
def test_tango_covers_at_least_nominally(n: int, level: float) -> None:
    """Exact coverage over a grid of pairs of rates with its edges: sums of the trinomial, nothing drawn."""
    counts = np.array([(x, y, n - x - y) for x in range(n + 1) for y in range(n + 1 - x)])
    ends = np.array([tango(x, y, n, level)[1:3] for x, y, _ in counts.tolist()])
    log_ways = gammaln(n + 1) - gammaln(counts + 1).sum(axis=1)
    grid = np.concatenate([np.arange(25) / 24, np.array([0.02, 0.1, 0.3, 0.7]) / n, 1 - np.array([0.1, 0.3, 0.7]) / n])
    for p10, p01 in product(grid, repeat=2):
        if p10 >= p01 and p10 + p01 <= 1:
            probability = np.exp(log_ways + xlogy(counts, [p10, p01, max(0.0, 1 - p10 - p01)]).sum(axis=1))
            covered = (ends[:, 0] <= p10 - p01 + 1e-12) & (p10 - p01 <= ends[:, 1] + 1e-12)
            assert probability[covered].sum() >= level, (p10, p01)


def test_tango_as_published_does_not_cover() -> None:
    """Why it is corrected: with n = 20, p10 = 0.972 and p01 = 0.0275, exactly."""
    n, p10, p01 = 20, 0.9725, 0.0275
    n10 = np.arange(n + 1)
    mass = oracle.binom.pmf(n10, n, p10)
    for continuity, least, most in [(False, 0.88, 0.91), (True, 0.95, 1.0)]:
        ends = np.array([tango(x, n - x, n, continuity=continuity)[1:3] for x in n10.tolist()])
        assert least <= mass[(ends[:, 0] <= p10 - p01) & (p10 - p01 <= ends[:, 1])].sum() <= most


def test_tango_is_accurate_for_a_million_pairs() -> None:
    """One-sample limit: with few discordant pairs in many, n times the ends tends to those of a Poisson score."""
    assert tango(1_000_000, 0, 1_000_000).low == pytest.approx(1 - 9.75450401e-6, abs=1e-12)
    low, high = tango(5000, 4000, 1_000_000, continuity=False)[1:3]
    assert (low, high) == pytest.approx((0.001 - Z * math.sqrt(9e3) / 1e6, 0.001 + Z * math.sqrt(9e3) / 1e6), rel=1e-3)


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


@settings(max_examples=40)
@given(st.lists(st.tuples(*[st.sampled_from([0.0, 1.0, 2.0, 4.0, 8.0, INF])] * 2), max_size=70), st.randoms())
def test_wilcoxon_does_not_depend_on_the_order_of_the_trials(pairs: list[tuple[float, float]], random: Random) -> None:
    a, b = np.array(pairs).reshape(-1, 2).T
    random.shuffle(pairs)
    shuffled = wilcoxon(*np.array(pairs).reshape(-1, 2).T)
    assert shuffled[:5] == wilcoxon(a, b)[:5]
    assert shuffled[6:] == wilcoxon(a, b)[6:]


# Sign flips


@settings(max_examples=40)
@given(st.lists(st.tuples(*[st.integers(-5, 5)] * 2), min_size=1, max_size=11))
def test_permutation_of_few_pairs_goes_through_all_signs(pairs: list[tuple[int, int]]) -> None:
    a, b = np.array(pairs, dtype=float).T
    signs = np.array(list(product([-1, 1], repeat=len(pairs))))
    expected = np.mean(np.abs(signs @ (a - b)) >= abs((a - b).sum()))
    assert permutation(a, b, direction="lower").p_value == pytest.approx(expected, abs=1e-12)


def test_permutation_matches_fisher_on_darwin() -> None:
    """Darwin's maize, Fisher, "The Design of Experiments" (1935), section 21: 1726 of 32 768, p = 0.05267."""
    eighths = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    test = permutation(eighths, [0] * 15, direction="higher", resamples=20_000)
    assert test.p_value == pytest.approx(1726 / 32768, abs=4 * math.sqrt(0.05 * 0.95 / 2e4))
    assert (test.n10, test.n01, test.n_pairs, test.favours, test.test) == (13, 2, 15, "a", "permutation")


def test_permutation_of_many_pairs_comes_close_to_all_signs_and_to_the_normal_limit() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.exponential(size=18), rng.exponential(size=18) + 0.4
    sums = np.zeros(1)
    for x in a - b:
        sums = np.concatenate([sums - x, sums + x])
    expected = float(np.mean(np.abs(sums) >= abs((a - b).sum()) - 1e-12))
    test = permutation(a, b, direction="lower", level=0.9)
    assert test.p_value == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 9999))
    assert test[5:8] == student_t(a - b, 0.9)[:3]
    differences = rng.normal(0.1, 1.0, size=400)
    expected = 2 * oracle.norm.sf(abs(differences.sum()) / math.sqrt((differences**2).sum()))
    assert permutation(differences, np.zeros(400), direction="lower").p_value == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("n", [6, 14, 15, 40])
def test_permutation_is_never_zero_and_smallest_where_all_agree(n: int) -> None:
    test = permutation(np.zeros(n), np.arange(1.0, n + 1), direction="lower", resamples=999)
    assert test.p_value == pytest.approx(2.0 ** (1 - n), rel=1e-4)
    assert test.p_value >= 2.0 ** (1 - n) * (1 - 1e-9)
    assert (test.favours, test.n10) == ("a", n)


@pytest.mark.parametrize("seed", range(5))
def test_permutation_beyond_its_draws_is_bounded_from_above_and_not_by_far(seed: int) -> None:
    rng = np.random.default_rng(seed)
    differences = rng.exponential(size=18) * np.where(np.arange(18) < 17, 1, -0.05)
    sums = np.zeros(1)
    for each in differences:
        sums = np.concatenate([sums - each, sums + each])
    exact = float(np.mean(np.abs(sums) >= differences.sum() - 1e-12))
    assert exact < 1e-4
    p_value = permutation(differences, np.zeros(18), direction="lower", resamples=999).p_value
    assert exact <= p_value < 20 * exact


def test_fifty_clear_pairs_are_separated_in_a_table_of_a_thousand_comparisons() -> None:
    differences = np.random.default_rng(0).normal(2.0, 1.0, size=50)
    assert 1000 * permutation(differences, np.zeros(50), direction="lower").p_value < 1e-6


def test_permutation_leaves_out_pairs_in_which_a_trial_failed() -> None:
    a, b = [1.0, 2.0, INF, math.nan, 4.0, INF], [2.0, 5.0, 1.0, 1.0, 4.0, INF]
    test = permutation(a, b, direction="lower")
    assert (test.n_pairs, test.n10, test.n01) == (3, 2, 0)
    assert test == permutation([1.0, 2.0, 4.0], [2.0, 5.0, 4.0], direction="lower")


@settings(max_examples=40)
@given(st.lists(st.tuples(*[st.floats(-1e308, 1e308)] * 2), max_size=30), st.randoms())
def test_permutation_ignores_order_and_swaps_with_the_labels(pairs: list[tuple[float, float]], random: Random) -> None:
    a, b = np.array(pairs).reshape(-1, 2).T
    test, swapped = (
        permutation(a, b, direction="lower", resamples=99),
        permutation(b, a, direction="lower", resamples=99),
    )
    other = {"a": "b", "b": "a", "neither": "neither"}
    assert (test.n10, test.n01, test.p_value, test.favours) == (
        swapped.n01,
        swapped.n10,
        swapped.p_value,
        other[swapped.favours],
    )
    shuffled = list(range(len(pairs)))
    random.shuffle(shuffled)
    assert permutation(a[shuffled], b[shuffled], direction="lower", resamples=99)[:5] == test[:5]
    assert 0 < test.p_value <= 1


def test_permutation_keeps_its_size() -> None:
    """P(p <= 5 %) of exchangeable, skewed pairs is at most 5 %, exactly enumerated and drawn."""
    rng = np.random.default_rng(0)
    for n, resamples in [(9, 1), (25, 199)]:
        draws = rng.exponential(size=(500, 2, n))
        rejected = sum(permutation(a, b, direction="lower", resamples=resamples).p_value <= 0.05 for a, b in draws)
        assert rejected / 500 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 500)


def test_permutation_without_differences_finds_nothing() -> None:
    empty, equal = permutation([], [], direction="lower"), permutation([1.0] * 20, [1.0] * 20, direction="lower")
    assert (empty.n_pairs, empty.p_value, empty.low, empty.high) == (0, 1.0, -INF, INF)
    assert equal == PairedTest(20, 0, 0, "permutation", 1.0, 0.0, 0.0, 0.0, "neither")


def test_permutation_refuses_bad_arguments() -> None:
    with pytest.raises(ValueError, match="direction must be 'lower' or 'higher', got 'up'"):
        permutation([1.0], [2.0], direction="up")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="resamples >= 1, got 0"):
        permutation([1.0], [2.0], direction="lower", resamples=0)


# Differences and the probability of improvement


def test_difference_is_the_interval_of_each_kind() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.random(50), rng.random(50)
    assert difference(a < 0.7, b < 0.4, "rate", 0.9) == tango(
        int(((a < 0.7) & (b >= 0.4)).sum()), int(((a >= 0.7) & (b < 0.4)).sum()), 50, 0.9
    )
    assert difference(a, b, "mean", 0.9) == student_t(a - b, 0.9)
    assert difference(a, b, "skewed", 0.9) == median(a - b, 0.9)


def test_difference_treats_failures_as_each_kind_must() -> None:
    a, b = [1.0, INF, INF, 2.0, 5.0], [2.0, 3.0, INF, INF, 1.0]
    assert difference(a, b, "mean").estimate == 1.5
    assert difference(a, b, "skewed").estimate == 0.0
    assert difference([*a, -1.0, 0.0], [*b, INF, INF], "skewed").estimate == -1.0
    with pytest.raises(ValueError, match="difference got NaN"):
        difference([math.nan], [1.0], "skewed")
    with pytest.raises(ValueError, match="kind must be 'rate', 'mean' or 'skewed', got 'median'"):
        difference([1.0], [1.0], "median")  # type: ignore[arg-type]


@settings(max_examples=40)
@given(st.lists(st.tuples(*[st.sampled_from([0.5, 1.0, 2.0, 4.0, INF])] * 2), min_size=1, max_size=30))
def test_probability_of_improvement_counts_wins_and_half_the_ties(pairs: list[tuple[float, float]]) -> None:
    a, b = np.array(pairs).T
    found = probability_of_improvement(a, b, direction="lower")
    assert found.estimate == pytest.approx(np.mean((a < b) + (a == b) / 2))
    assert 0 <= found.low <= found.estimate <= found.high <= 1
    swapped = probability_of_improvement(b, a, direction="lower")
    assert found[:3] == pytest.approx((1 - swapped.estimate, 1 - swapped.high, 1 - swapped.low))
    # Any increasing map of the metric leaves it alone; a decreasing one turns the direction round.
    assert probability_of_improvement(np.sqrt(a), np.sqrt(b), direction="lower") == found
    assert probability_of_improvement(1 / a, 1 / b, direction="higher") == found


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
