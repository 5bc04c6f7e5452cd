"""Comparing labels over many problems by their ranks."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench_core.stats.paired import Direction

# Rows are problems, not problem cells: m = 100 and m = 200 of one problem, or its trials, are no independent
# evidence on which method does well on problems in general, and would make any table significant.


class Friedman(NamedTuple):
    """Whether any label ranks differently from the others over the problems."""

    statistic: float  # chi-squared with n_labels - 1 degrees of freedom under the null; NaN where all rows are ties
    p_value: float
    n_problems: int
    n_labels: int


class Nemenyi(NamedTuple):
    """Which pairs of labels rank differently over the problems."""

    average_ranks: NDArray[np.float64]  # (labels,) 1 is best
    p_values: NDArray[np.float64]  # (labels, labels) adjusted for all pairs; 1 on the diagonal
    critical_difference: float  # of average ranks: pairs at least this far apart differ at alpha
    alpha: float


def average_ranks(table: ArrayLike, direction: Direction = "lower") -> NDArray[np.float64]:
    """Average rank of each label over the problems; 1 is best.

    A rank forgets by how much. Rows are PROBLEMS: never the cells of one problem (its values of m, say), which are not
    independent, and never trials.

    Args:
        table: one number per problem and label, such as a median, shape ``(problems, labels)``; +inf (-inf where
            higher is better) where a label failed. NaN is refused: ranks need all labels on all problems.
        direction: which values are better.

    Returns:
        Shape ``(labels,)``; tied labels share the average of their ranks, equal infinities too.

    Raises:
        ValueError: NaN, an unknown direction, or a table that is not two-dimensional with a row and a column.

    Example:
        >>> average_ranks([[0.1, 0.2, 0.3], [0.2, 0.1, float("inf")]]).tolist()
        [1.5, 1.5, 3.0]
    """
    ranks: NDArray[np.float64] = _ranks(table, direction).mean(axis=0)
    return ranks


def friedman(table: ArrayLike, direction: Direction = "lower") -> Friedman:
    """Friedman's test that all labels rank alike over the problems.

    Rows are PROBLEMS: never the cells of one problem, and never trials. The null distribution is asymptotic in the
    problems: with fewer than ten, or fewer than three labels, take the p-value as a hint.

    Args:
        table: one number per problem and label, shape ``(problems, labels)`` with at least two labels; see
            ``average_ranks`` for failures.
        direction: which values are better; the test does not depend on it.

    Returns:
        The test, corrected for ties. Where every row is one tie, the statistic is NaN and p is 1.

    Raises:
        ValueError: NaN, fewer than two labels, or a table that is not two-dimensional.

    Example:
        >>> result = friedman([[1, 2, 3], [1, 3, 2], [1, 2, 3], [1, 2, 3]])
        >>> result.statistic, round(result.p_value, 4)
        (6.5, 0.0388)

    References:
        Friedman, "The use of ranks to avoid the assumption of normality implicit in the analysis of variance", J.
        Amer. Statist. Assoc. 32 (1937), 675-701.
    """
    from scipy.special import chdtrc

    ranks = _ranks(table, direction)  # (n, k)
    n, k = ranks.shape
    if k < 2:
        raise ValueError(f"friedman needs at least two labels (columns), got {k}")
    centred = ranks - (k + 1) / 2.0
    spread = float((centred**2).sum())  # n k (k² - 1) / 12 without ties
    if spread == 0.0:
        return Friedman(math.nan, 1.0, n, k)
    statistic = (k - 1) * float((centred.sum(axis=0) ** 2).sum()) / spread
    return Friedman(statistic, float(chdtrc(k - 1, statistic)), n, k)


def nemenyi(table: ArrayLike, direction: Direction = "lower", alpha: float = 0.05) -> Nemenyi:
    """Nemenyi's comparison of all pairs of labels by their average ranks over the problems.

    Rows are PROBLEMS: never the cells of one problem, and never trials. Asymptotic in the problems, conservative with
    ties. Whether two labels differ may depend on which other labels are in the table, since these move the ranks.

    Args:
        table: one number per problem and label, shape ``(problems, labels)`` with at least two labels; see
            ``average_ranks`` for failures.
        direction: which values are better.
        alpha: family-wise error rate for the critical difference, in (0, 1).

    Returns:
        Average ranks, p-values adjusted for all pairs, and the critical difference.

    Raises:
        ValueError: NaN, fewer than two labels, an unknown direction, an alpha outside (0, 1), or a table that is not
            two-dimensional.

    Example:
        >>> result = nemenyi([[1, 2, 3], [1, 3, 2], [1, 2, 3], [1, 2, 3]])
        >>> result.average_ranks.tolist(), round(result.critical_difference, 3), round(float(result.p_values[0, 2]), 3)
        ([1.0, 2.25, 2.75], 1.657, 0.036)

    References:
        Nemenyi, "Distribution-free multiple comparisons", PhD thesis, Princeton (1963); Demsar, "Statistical
        comparisons of classifiers over multiple data sets", J. Mach. Learn. Res. 7 (2006), 1-30.
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha must lie strictly between 0 and 1 (0.05 for 5 %), got {alpha}")
    ranks = _ranks(table, direction)
    n, k = ranks.shape
    if k < 2:
        raise ValueError(f"nemenyi needs at least two labels (columns), got {k}")
    average = ranks.mean(axis=0)
    # The studentized range divides by the standard error of one average rank, not of a difference of two.
    unit = math.sqrt(k * (k + 1) / (12.0 * n))
    distance = np.abs(average[:, None] - average[None, :]) / unit  # (k, k)
    p_values = np.ones((k, k))
    for i, j in zip(*np.triu_indices(k, 1), strict=True):
        p_values[i, j] = p_values[j, i] = _range_exceeds(float(distance[i, j]), k)
    return Nemenyi(average, p_values, unit * _range_quantile(alpha, k), alpha)


def _ranks(table: ArrayLike, direction: Direction) -> NDArray[np.float64]:
    """Ranks within each row, 1 best, ties averaged, shape ``(problems, labels)``."""
    if direction not in ("lower", "higher"):
        raise ValueError(f"direction must be 'lower' or 'higher', got {direction!r}")
    array = np.asarray(table, dtype=np.float64)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"expected one number per problem and label, shape (problems, labels), got {array.shape}")
    if np.isnan(array).any():
        raise ValueError("ranks need every label on every problem, got NaN; a label that failed is +inf (or -inf)")
    keys = array if direction == "lower" else -array
    better = (keys[:, None, :] < keys[:, :, None]).sum(axis=2)  # (n, k) labels that are better
    equal = (keys[:, None, :] == keys[:, :, None]).sum(axis=2)  # (n, k) labels that tie, itself included
    ranks: NDArray[np.float64] = better + (equal + 1) / 2.0
    return ranks


def _range_exceeds(distance: float, k: int) -> float:
    """P(range of k standard normal values > distance)."""
    from scipy.special import ndtr

    # P(range <= w) = k times the integral over the smallest value z of phi(z) (Phi(z + w) - Phi(z))^(k - 1). The
    # trapezoid rule converges geometrically here, so that scipy.stats (0.8 s to load) is not needed.
    z = np.linspace(-9.0, 9.0, 721)
    density = np.exp(-z * z / 2.0) / math.sqrt(2.0 * math.pi)
    # 1 - Phi(z) is the mass above z; taking P(range > w) directly keeps its digits where it is small.
    above, beyond = ndtr(-z), ndtr(-z - distance)
    exceeding = above ** (k - 1) - (above - beyond) ** (k - 1)
    return min(1.0, k * float((density * exceeding).sum()) * float(z[1] - z[0]))


def _range_quantile(alpha: float, k: int) -> float:
    """Distance that the range of k standard normal values exceeds with probability alpha, by bisection."""
    low, high = 0.0, 40.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        if _range_exceeds(middle, k) > alpha:
            low = middle
        else:
            high = middle
    return high
