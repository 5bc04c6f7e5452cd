"""Ranks over problems against scipy and the tables of Demsar (2006)."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats as oracle

from bench_core.stats import average_ranks, friedman, nemenyi

INF = math.inf

DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],  # printed alike, but ranked 2 and 3: the ranks are of unrounded values
        [0.957, 0.978, 0.946, 0.970],
    ]
)
"""Table 6 of Demsar (2006): AUC of four variants of C4.5 on 14 data sets."""

TABLES = arrays(
    np.float64, st.tuples(st.integers(2, 9), st.integers(2, 6)), elements=st.sampled_from([0, 1, 2, 3, INF])
)


def test_average_ranks_match_demsar() -> None:
    assert average_ranks(DEMSAR, "higher").tolist() == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)


def test_friedman_matches_demsar() -> None:
    """9.28 there, without the correction for ties, which divides by 1 - sum(t³ - t) / (n (k³ - k))."""
    ties = sum(int(c**3 - c) for row in DEMSAR for c in np.unique(row, return_counts=True)[1])
    uncorrected = friedman(DEMSAR, "higher").statistic * (1 - ties / (14 * 60))
    assert uncorrected == pytest.approx(9.28, abs=0.005)


def test_nemenyi_matches_demsar() -> None:
    """Section 3.2.2 there: the critical difference is 1.25 at 5 % and 1.12 at 10 %."""
    assert nemenyi(DEMSAR, "higher").critical_difference == pytest.approx(1.25, abs=0.005)
    assert nemenyi(DEMSAR, "higher", alpha=0.1).critical_difference == pytest.approx(1.12, abs=0.005)


@pytest.mark.parametrize(
    ("k", "q"),
    [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (8, 3.031), (9, 3.102), (10, 3.164)],
)
def test_critical_values_match_the_published_table(k: int, q: float) -> None:
    """Table 5 of Demsar (2006), 5 %."""
    table = np.arange(12.0 * k).reshape(12, k)
    assert nemenyi(table).critical_difference / math.sqrt(k * (k + 1) / 72) == pytest.approx(q, abs=1.5e-3)


@pytest.mark.parametrize(("n", "k"), [(2, 2), (6, 3), (20, 5), (11, 14)])
def test_nemenyi_agrees_with_scipys_studentized_range(n: int, k: int) -> None:
    table = np.random.default_rng(n).normal(size=(n, k)) + np.arange(k) / 4
    result = nemenyi(table)
    ranks = np.array([oracle.rankdata(row) for row in table]).mean(axis=0)
    assert result.average_ranks == pytest.approx(ranks)
    for i, j in [(0, 1), (0, k - 1)]:
        distance = abs(ranks[i] - ranks[j]) / math.sqrt(k * (k + 1) / (12 * n))
        expected = oracle.studentized_range.sf(distance, k, np.inf)
        assert result.p_values[i, j] == pytest.approx(expected, rel=1e-6, abs=1e-12)
    expected = oracle.studentized_range.isf(0.05, k, np.inf) * math.sqrt(k * (k + 1) / (12 * n))
    assert result.critical_difference == pytest.approx(expected, rel=1e-6)


def test_nemenyi_rejects_exactly_beyond_the_critical_difference() -> None:
    result = nemenyi(np.random.default_rng(0).normal(size=(25, 6)) + np.arange(6) / 2)
    apart = np.abs(result.average_ranks[:, None] - result.average_ranks[None, :])
    assert ((result.p_values <= 0.05) == (apart >= result.critical_difference)).all()
    assert (result.p_values == result.p_values.T).all()
    assert (np.diag(result.p_values) == 1).all()


@pytest.mark.parametrize(("n", "k"), [(4, 3), (10, 5), (30, 14)])
def test_friedman_agrees_with_scipy(n: int, k: int) -> None:
    rng = np.random.default_rng(k)
    for table in (rng.normal(size=(n, k)), rng.integers(0, 3, size=(n, k)).astype(float)):
        expected = oracle.friedmanchisquare(*table.T)
        result = friedman(table)
        assert (result.statistic, result.p_value) == pytest.approx((expected.statistic, expected.pvalue))
        assert (result.n_problems, result.n_labels) == (n, k)


@settings(max_examples=25)
@given(TABLES)
def test_ranks_agree_with_scipy_and_sum_to_what_they_must(table: np.ndarray) -> None:
    ranks = average_ranks(table)
    assert ranks == pytest.approx(np.mean([oracle.rankdata(row) for row in table], axis=0))
    assert ranks.sum() == pytest.approx(table.shape[1] * (table.shape[1] + 1) / 2)


@settings(max_examples=25)
@given(TABLES)
def test_only_the_order_within_a_problem_counts(table: np.ndarray) -> None:
    units = 2.0 ** np.arange(len(table))[:, None]
    assert average_ranks(units * table).tolist() == average_ranks(table).tolist()
    mirrored = -table
    assert average_ranks(mirrored, "higher").tolist() == average_ranks(table).tolist()
    assert friedman(mirrored)[:2] == pytest.approx(friedman(table)[:2], nan_ok=True)
    shuffled = table[::-1, ::-1]
    assert average_ranks(shuffled) == pytest.approx(average_ranks(table)[::-1])
    assert friedman(shuffled)[:2] == pytest.approx(friedman(table)[:2], nan_ok=True)


def test_a_table_of_ties_shows_nothing() -> None:
    result = friedman([[1.0, 1.0], [INF, INF]])
    assert math.isnan(result.statistic)
    assert result.p_value == 1.0
    assert nemenyi([[1.0, 1.0], [INF, INF]]).p_values.tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_bad_tables_are_refused() -> None:
    for call in (average_ranks, friedman, nemenyi):
        with pytest.raises(ValueError, match=r"shape \(problems, labels\), got \(2,\)"):
            call([1.0, 2.0])
        with pytest.raises(ValueError, match="every label on every problem, got NaN"):
            call([[1.0, math.nan]])
        with pytest.raises(ValueError, match="got 'up'"):
            call([[1.0, 2.0]], "up")  # type: ignore[arg-type]
    for call in (friedman, nemenyi):
        with pytest.raises(ValueError, match="at least two labels"):
            call([[1.0], [2.0]])
    with pytest.raises(ValueError, match="alpha must lie"):
        nemenyi([[1.0, 2.0]], alpha=5)
