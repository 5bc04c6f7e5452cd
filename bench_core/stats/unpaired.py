"""Tests of two independent samples, for what cannot be paired: other seeds, other data."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench_core.stats.intervals import vector
from bench_core.stats.paired import SUM_ROUNDING, doubled_ranks

MIN_VALUES = 6
"""With fewer values than this on either side, two samples are never a separation, whatever the p-value."""

EXACT_VALUES = 40
"""Up to this many values together the null distribution of the rank sum is counted, ties included."""


def fisher_exact(a: int, n_a: int, b: int, n_b: int) -> float:
    """Two-sided p-value of Fisher's exact test that two samples have the same success rate.

    All tables with the same margins that are at most as probable as the observed one count as extreme.

    Args:
        a: successes of the first sample, ``0 <= a <= n_a``.
        n_a: its trials.
        b: successes of the second sample.
        n_b: its trials.

    Returns:
        The p-value; 1 where a sample is empty.

    Raises:
        ValueError: counts out of order.

    Example:
        >>> round(fisher_exact(8, 10, 1, 9), 5)
        0.00548

    References:
        Fisher, "The logic of inductive inference", J. R. Statist. Soc. 98 (1935), 39-82.
    """
    from scipy.special import gammaln

    if not (0 <= a <= n_a and 0 <= b <= n_b):
        raise ValueError(f"fisher_exact needs 0 <= a <= n_a and 0 <= b <= n_b, got {a} of {n_a} and {b} of {n_b}")
    together = a + b
    counts = np.arange(max(0, together - n_b), min(together, n_a) + 1)  # successes that the first sample can have

    def log_ways(n: int, k: NDArray[np.int64]) -> NDArray[np.float64]:
        ways: NDArray[np.float64] = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
        return ways

    log_mass = log_ways(n_a, counts) + log_ways(n_b, together - counts)
    mass = np.exp(log_mass - log_mass.max())
    observed = mass[a - counts[0]]
    return min(1.0, float(mass[mass <= observed * (1.0 + 1e-7)].sum() / mass.sum()))


def mann_whitney(a: ArrayLike, b: ArrayLike) -> tuple[float, float]:
    """Two-sided p-value of the Mann-Whitney test, and the balance of its statistic.

    Null hypothesis: both samples come from one distribution. Only ranks count, so a failed trial enters as an infinity;
    equal values share their average rank. Exact up to ``EXACT_VALUES`` values, else normal with tie and continuity
    correction.

    Args:
        a: values of the first sample, shape ``(n,)``; infinite allowed, NaN not.
        b: values of the second sample, shape ``(m,)``.

    Returns:
        The p-value, 1 where a sample is empty; and ``P(a > b) - P(a < b)``, positive where a has the larger values.

    Raises:
        ValueError: NaN.

    Example:
        >>> mann_whitney([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0])
        (0.02857142857142857, -1.0)

    References:
        Mann and Whitney, "On a test of whether one of two random variables is stochastically larger than the other",
        Annals of Mathematical Statistics 18 (1947), 50-60.
    """
    from scipy.special import ndtr

    first, second = vector(a), vector(b)
    n, m = first.size, second.size
    values = np.concatenate([first, second])
    if np.isnan(values).any():
        raise ValueError("mann_whitney got NaN; a failed trial enters as +inf (as -inf where higher is better)")
    if not (n and m):
        return 1.0, 0.0
    doubled = doubled_ranks(values)  # (n + m,)
    excess = int(doubled[:n].sum()) - n * (n + m + 1)  # from its mean under the null; odd or even with the ties
    balance = excess / (n * m)
    if n + m <= EXACT_VALUES:
        ways = _rank_sums(doubled.tolist(), n)
        far = np.abs(np.arange(ways.size) - n * (n + m + 1)) >= abs(excess)
        return float(ways[far].sum() / ways.sum()), balance
    counts = np.unique(doubled, return_counts=True)[1].astype(np.float64)
    ties = float((counts**3 - counts).sum())
    variance = n * m / 12.0 * ((n + m + 1) - ties / ((n + m) * (n + m - 1)))  # of the rank sum
    if variance <= 0.0:
        return 1.0, balance
    distance = max(0.0, abs(excess) / 2.0 - 0.5)  # half a step of the rank sum without ties
    return min(1.0, 2.0 * float(ndtr(-distance / math.sqrt(variance)))), balance


def _rank_sums(doubled: list[int], size: int) -> NDArray[np.float64]:
    """How many subsets of ``size`` doubled ranks have each sum, shape ``(total + 1,)``."""
    ways = np.zeros((size + 1, sum(doubled) + 1))
    ways[0, 0] = 1.0
    for rank in doubled:
        ways[1:, rank:] += ways[:-1, : ways.shape[1] - rank].copy()
    found: NDArray[np.float64] = ways[size]
    return found


def welch(a: ArrayLike, b: ArrayLike) -> float:
    """Two-sided p-value of Welch's t test that two samples have the same mean.

    Args:
        a: values of the first sample, shape ``(n,)``; finite.
        b: values of the second sample, shape ``(m,)``; finite.

    Returns:
        The p-value; 1 where a sample has fewer than two values, or where neither varies by more than rounding: how far
        such values scatter is not known.

    Example:
        >>> round(welch([1.0, 2.0, 3.0, 4.0], [4.0, 5.0, 6.0, 9.0]), 4)
        0.0397

    References:
        Welch, "The generalization of 'Student's' problem when several different population variances are involved",
        Biometrika 34 (1947), 28-35.
    """
    from scipy.special import stdtr

    first, second = vector(a), vector(b)
    if min(first.size, second.size) < 2:
        return 1.0
    parts = [float(each.var(ddof=1)) / each.size for each in (first, second)]
    gap, variance = abs(float(first.mean() - second.mean())), sum(parts)
    largest = max(float(np.abs(each).max()) for each in (first, second))
    if math.sqrt(variance) <= SUM_ROUNDING * largest:
        return 1.0
    freedom = variance**2 / sum(part**2 / (each.size - 1) for part, each in zip(parts, (first, second), strict=True))
    return min(1.0, 2.0 * float(stdtr(freedom, -gap / math.sqrt(variance))))
