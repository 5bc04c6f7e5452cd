"""Confidence intervals for one cell: a rate, a mean, a median."""

import math
from bisect import bisect_right
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

# scipy is imported inside the functions: `bench --help` must not pay for it, and scipy.stats costs 0.8 s.


class Interval(NamedTuple):
    """An estimate with a two-sided, equal-tailed confidence interval; both ends belong to it."""

    estimate: float  # NaN only where there is nothing to estimate from
    low: float  # may be -inf: the data do not bound the estimand from below at this level
    high: float  # may be +inf
    level: float  # nominal coverage, in (0, 1)
    method: str  # "clopper-pearson", "student-t", "order-statistic", "tango"


def tail_probability(level: float) -> float:
    """Probability allowed beyond each end of an equal-tailed interval.

    Args:
        level: nominal coverage, strictly between 0 and 1.

    Raises:
        ValueError: the level is a percentage, 0, 1 or NaN.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie strictly between 0 and 1 (0.95 for 95 %), got {level}")
    return (1.0 - level) / 2.0


def clopper_pearson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Exact interval for the success probability of independent trials.

    Covers with at least ``level`` whatever the probability. Failed trials are no success and stay in ``n``.

    Args:
        successes: number of successes, ``0 <= successes <= n``.
        n: number of attempted trials; with 0 the estimate is NaN and the interval [0, 1].
        level: nominal coverage, in (0, 1).

    Returns:
        The success rate with its interval, inside [0, 1].

    Raises:
        ValueError: counts out of order, or a level outside (0, 1).

    Example:
        >>> rate = clopper_pearson(8, 10)
        >>> round(rate.low, 4), round(rate.high, 4)
        (0.4439, 0.9748)

    References:
        Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial",
        Biometrika 26 (1934), 404-413.
    """
    from scipy.special import betainccinv, betaincinv

    tail = tail_probability(level)
    if not 0 <= successes <= n:
        raise ValueError(f"clopper_pearson needs 0 <= successes <= n, got successes={successes} and n={n}")
    low = float(betaincinv(successes, n - successes + 1, tail)) if successes > 0 else 0.0
    high = float(betainccinv(successes + 1, n - successes, tail)) if successes < n else 1.0
    return Interval(successes / n if n else math.nan, low, high, level, "clopper-pearson")


def student_t(values: ArrayLike, level: float = 0.95) -> Interval:
    """Mean of the finite values, with Student's t interval.

    The estimand is the mean **given that a trial finished with a finite value**: NaN and infinite values are left out,
    so the number of failed trials must stand beside it. Exact for normal values only; too short for skewed ones.

    Args:
        values: one number per trial, shape ``(n,)``.
        level: nominal coverage, in (0, 1).

    Returns:
        The mean with its interval. One finite value says nothing about its spread: the interval is (-inf, inf). No
        finite value: the estimate is NaN ("no trial had a value") and the interval (-inf, inf). Equal values: an
        interval of zero width.

    Raises:
        ValueError: values not one-dimensional, or a level outside (0, 1).

    Example:
        >>> mean = student_t([1.0, 2.0, 3.0, float("nan")])
        >>> round(mean.estimate, 3), round(mean.low, 3), round(mean.high, 3)
        (2.0, -0.484, 4.484)

    References:
        Student, "The probable error of a mean", Biometrika 6 (1908), 1-25.
    """
    from scipy.special import stdtrit

    tail = tail_probability(level)
    array = vector(values)
    finite = array[np.isfinite(array)]  # (k,)
    if finite.size == 0:
        return Interval(math.nan, -math.inf, math.inf, level, "student-t")
    # A diverged trial may leave 1e200, whose square overflows; a power of two scales without rounding.
    scale = 2.0 ** (math.frexp(float(np.abs(finite).max()))[1] - 1)
    scaled = finite / scale
    mean = float(scaled.mean()) * scale
    if finite.size == 1:
        return Interval(mean, -math.inf, math.inf, level, "student-t")
    quantile = -float(stdtrit(finite.size - 1, tail))
    half_width = quantile * float(scaled.std(ddof=1)) / math.sqrt(finite.size) * scale
    return Interval(mean, mean - half_width, mean + half_width, level, "student-t")


def median(values: ArrayLike, level: float = 0.95) -> Interval:
    """Sample median with the order-statistic interval of the population median.

    Distribution-free: the interval is a pair of order statistics whose ranks come from the exact Binomial(n, 1/2), so
    it covers with at least ``level`` for any distribution, with ties and with infinite values. A failed trial enters
    as +inf (as -inf where higher is better): leaving it out would reward failing.

    Args:
        values: one number per trial, shape ``(n,)``; infinite allowed, NaN not.
        level: nominal coverage, in (0, 1).

    Returns:
        The median with its interval. For even n the estimate is the midpoint of the two middle values; where one of
        them is infinite it is that infinity, and between -inf and +inf it is 0, so that ``median(-values)`` is always
        the mirror image. Below six values at 95 % (in general, where ``2 * 0.5**n > 1 - level``) no pair of order
        statistics covers enough: the interval is (-inf, inf). No values: NaN with (-inf, inf).

    Raises:
        ValueError: a NaN, values not one-dimensional, or a level outside (0, 1).

    Example:
        >>> median([0.1, 0.2, 0.3, 0.4, 0.5, float("inf")])
        Interval(estimate=0.35, low=0.1, high=inf, level=0.95, method='order-statistic')

    References:
        David and Nagaraja, "Order Statistics", 3rd ed. (2003), section 7.1.
    """
    from scipy.special import bdtr

    tail = tail_probability(level)
    array = vector(values)
    if np.isnan(array).any():
        raise ValueError(
            f"median got {int(np.isnan(array).sum())} NaN among {array.size} values; a failed trial enters as +inf "
            "(as -inf where higher is better), a skipped one not at all"
        )
    n = array.size
    if n == 0:
        return Interval(math.nan, -math.inf, math.inf, level, "order-statistic")
    ordered = np.sort(array)
    estimate = _midpoint(float(ordered[(n - 1) // 2]), float(ordered[n // 2]))
    # The largest r with P(Bin(n, 1/2) <= r - 1) <= tail: the median lies below x_(r) that rarely.
    rank = bisect_right(range(n), tail, key=lambda k: float(bdtr(k, n, 0.5)))
    if rank == 0:
        return Interval(estimate, -math.inf, math.inf, level, "order-statistic")
    return Interval(estimate, float(ordered[rank - 1]), float(ordered[n - rank]), level, "order-statistic")


def vector(values: ArrayLike) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """One float64 number per trial, shape ``(n,)``; refuses anything that is not one-dimensional."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"expected one number per trial, shape (n,), got shape {array.shape}")
    return array.reshape(-1)


def _midpoint(lower: float, upper: float) -> float:
    """Midpoint of ``lower <= upper`` on the extended line, never NaN."""
    if lower == upper:
        return lower  # also inf with inf
    if math.isinf(lower) and math.isinf(upper):
        return 0.0
    return 0.5 * lower + 0.5 * upper  # halved first: the sum of two large values overflows
