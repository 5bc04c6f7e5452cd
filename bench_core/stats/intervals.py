"""Confidence intervals for one cell: a rate, a mean, a median, an interquartile mean."""

import math
from bisect import bisect_right
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

# scipy is imported inside the functions: `bench --help` must not pay for it, and scipy.stats costs 0.8 s.

Statistic = Literal["mean", "median", "interquartile_mean"]
"""What ``bca`` can resample: weighted sums of the ordered values."""

DRAWN_AT_ONCE = 1_000_000
"""Numbers that one step of the bootstrap holds: 8 MB, whatever the sample."""


class Interval(NamedTuple):
    """An estimate with a two-sided, equal-tailed confidence interval; both ends belong to it."""

    estimate: float  # NaN only where there is nothing to estimate from
    low: float  # may be -inf: the data do not bound the estimand from below at this level
    high: float  # may be +inf
    level: float  # nominal coverage, in (0, 1)
    method: str  # "clopper-pearson", "wilson", "student-t", "order-statistic", "bca", "tango"


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


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Wilson's score interval for the success probability of independent trials.

    Shorter than Clopper and Pearson's, and covers with about ``level`` on average over the probability, but with less
    at some: with 0.84 to 1 at 95 %. Where the level has to hold, as for a claim, use ``clopper_pearson``.

    Args:
        successes: number of successes, ``0 <= successes <= n``; a failed trial is none.
        n: number of attempted trials; with 0 the estimate is NaN and the interval [0, 1].
        level: nominal coverage, in (0, 1).

    Returns:
        The success rate (not the interval's centre) with its interval, inside [0, 1].

    Raises:
        ValueError: counts out of order, or a level outside (0, 1).

    Example:
        >>> rate = wilson(8, 10)
        >>> round(rate.low, 4), round(rate.high, 4)
        (0.4902, 0.9433)

    References:
        Wilson, "Probable inference, the law of succession, and statistical inference", J. Amer. Statist. Assoc. 22
        (1927), 209-212. Its coverage: Brown, Cai and DasGupta, "Interval estimation for a binomial proportion",
        Statistical Science 16 (2001), 101-133.
    """
    from scipy.special import ndtri

    z = -float(ndtri(tail_probability(level)))
    if not 0 <= successes <= n:
        raise ValueError(f"wilson needs 0 <= successes <= n, got successes={successes} and n={n}")
    if n == 0:
        return Interval(math.nan, 0.0, 1.0, level, "wilson")
    centre = (successes + z * z / 2) / (n + z * z)
    half_width = z / (n + z * z) * math.sqrt(successes * (n - successes) / n + z * z / 4)
    # Without successes (failures) the end is 0 (1) exactly, which rounding would miss.
    low = max(0.0, centre - half_width) if successes > 0 else 0.0
    high = min(1.0, centre + half_width) if successes < n else 1.0
    return Interval(successes / n, low, high, level, "wilson")


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


def interquartile_mean(values: ArrayLike, level: float = 0.95, seed: int = 0) -> Interval:
    """Mean of the middle half of the values, with a bootstrap interval.

    As robust as a median against the outer quarters, and varies less. A failed trial enters as +inf (as -inf where
    higher is better): up to a quarter of failures lies outside the middle half, more makes the estimate infinite. The
    interval is approximate, and too short below some 20 values: ``median`` has the guarantee.

    Args:
        values: one number per trial, shape ``(n,)``; infinite of one sign allowed, NaN not. Where n is no multiple of
            four, the values at the quartiles count in part.
        level: nominal coverage, in (0, 1).
        seed: of the bootstrap; the same values in any order give the same interval.

    Returns:
        ``bca(values, "interquartile_mean", level, seed=seed)``.

    Raises:
        ValueError: a NaN, infinities of both signs, values not one-dimensional, or a level outside (0, 1).

    Example:
        >>> interquartile_mean([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, float("inf")]).estimate
        4.5

    References:
        Agarwal, Schwarzer, Castro, Courville and Bellemare, "Deep reinforcement learning at the edge of the
        statistical precipice", NeurIPS 2021.
    """
    return bca(values, "interquartile_mean", level, seed=seed)


def bca(
    values: ArrayLike, statistic: Statistic, level: float = 0.95, *, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Bias-corrected and accelerated bootstrap interval of a mean, a median or an interquartile mean.

    Approximate: for skewed values better than Student's t, but no bootstrap knows a tail that the sample missed.

    Args:
        values: one number per trial, shape ``(n,)``. For "mean", NaN and infinite values are left out, as in
            ``student_t``. For the others, a failed trial enters as +inf (as -inf where higher is better), and NaN is
            refused.
        statistic: "mean", "median" or "interquartile_mean" (of the middle half, see ``interquartile_mean``).
        level: nominal coverage, in (0, 1).
        resamples: how many samples to draw with replacement; for levels near 1 take at least ``40 / (1 - level)``.
        seed: of the bootstrap; the same values in any order give the same interval.

    Returns:
        The statistic with its interval, whose ends are infinite where failures reach them. Equal values: an interval
        of zero width. One value: (-inf, inf). No values: NaN with (-inf, inf).

    Raises:
        ValueError: an unknown statistic, a NaN, infinities of both signs, fewer than one resample, values not
            one-dimensional, or a level outside (0, 1).

    Example:
        >>> mean = bca([1.0, 2.0, 3.0, 4.0, 10.0], "mean")
        >>> mean.estimate, 1.0 < mean.low < 4.0 < mean.high < 10.0
        (4.0, True)

    References:
        Efron, "Better bootstrap confidence intervals", J. Amer. Statist. Assoc. 82 (1987), 171-185.
    """
    tail = tail_probability(level)
    if statistic not in ("mean", "median", "interquartile_mean"):
        raise ValueError(f"statistic must be 'mean', 'median' or 'interquartile_mean', got {statistic!r}")
    if resamples < 1:
        raise ValueError(f"bca needs resamples >= 1, got {resamples}")
    array = vector(values)
    if statistic == "mean":
        array = array[np.isfinite(array)]
    elif np.isnan(array).any():
        raise ValueError(
            f"bca got {int(np.isnan(array).sum())} NaN among {array.size} values; a failed trial enters as +inf "
            "(as -inf where higher is better), a skipped one not at all"
        )
    ordered = np.sort(array)  # (n,)
    n = ordered.size
    if n == 0:
        return Interval(math.nan, -math.inf, math.inf, level, "bca")
    if ordered[0] == -math.inf and ordered[-1] == math.inf:
        raise ValueError("bca got -inf and +inf; failed trials all enter with the same sign")
    if n == 1:
        return Interval(float(ordered[0]), -math.inf, math.inf, level, "bca")
    if ordered[0] == ordered[-1]:
        return Interval(float(ordered[0]), float(ordered[0]), float(ordered[0]), level, "bca")
    estimate = float(_weighted(ordered[None], _weights(n, statistic))[0])
    replicates = np.sort(_replicates(ordered, _weights(n, statistic), resamples, seed))  # (resamples,)
    low_rank, high_rank = _bca_ranks(replicates, estimate, _acceleration(ordered, statistic), tail)
    low, high = float(replicates[low_rank]), float(replicates[high_rank])
    # With few distinct replicates the correction may pass the estimate, which a reader takes to be inside.
    return Interval(estimate, min(low, estimate), max(high, estimate), level, "bca")


def _weights(n: int, statistic: Statistic) -> NDArray[np.float64]:
    """Weight of each of n ordered values, shape ``(n,)``, of sum 1: the part of its slot that the statistic uses."""
    if statistic == "mean":
        return np.full(n, 1.0 / n)
    ends = np.arange(n + 1, dtype=np.float64)  # value i has the slot [i, i + 1]
    outer = n / 4.0 if statistic == "interquartile_mean" else (n - 1) // 2
    inside = np.clip(ends, outer, n - outer)
    weights: NDArray[np.float64] = np.diff(inside) / (n - 2 * outer)
    return weights


def _weighted(rows: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted sum of each ordered row, shape ``(rows,)``; an infinite value of no weight leaves no trace."""
    used = np.flatnonzero(weights)
    total: NDArray[np.float64] = (rows[:, used[0] : used[-1] + 1] * weights[used]).sum(axis=1)
    return total


def _replicates(
    ordered: NDArray[np.float64], weights: NDArray[np.float64], resamples: int, seed: int
) -> NDArray[np.float64]:
    """The statistic of samples drawn with replacement, shape ``(resamples,)``."""
    rng = np.random.default_rng(seed)
    n = ordered.size
    at_once = max(1, DRAWN_AT_ONCE // n)
    parts = []
    for start in range(0, resamples, at_once):
        drawn = rng.integers(n, size=(min(at_once, resamples - start), n), dtype=np.int32)
        drawn.sort(axis=1)  # positions among ordered values: this sorts the drawn values too
        parts.append(_weighted(ordered[drawn], weights))
    return np.concatenate(parts)


def _acceleration(ordered: NDArray[np.float64], statistic: Statistic) -> float:
    """A sixth of the skewness of the jackknife; 0, which leaves the bias correction, where there is none."""
    weights = _weights(ordered.size - 1, statistic)  # (n - 1,)
    # Leaving out value i, those before keep their weight and those after move down by one.
    before = np.cumsum(np.multiply(weights, ordered[:-1], out=np.zeros_like(weights), where=weights > 0))
    after = np.cumsum(np.multiply(weights, ordered[1:], out=np.zeros_like(weights), where=weights > 0)[::-1])[::-1]
    left_out = np.append(after, 0.0) + np.insert(before, 0, 0.0)  # (n,)
    if not np.isfinite(left_out).all():
        return 0.0
    deviation = left_out.mean() - left_out
    largest = float(np.abs(deviation).max())
    if largest == 0.0:
        return 0.0
    deviation /= largest  # cubes of 1e200 overflow
    return float((deviation**3).sum() / (6.0 * (deviation**2).sum() ** 1.5))


def _bca_ranks(replicates: NDArray[np.float64], estimate: float, acceleration: float, tail: float) -> tuple[int, int]:
    """Positions of the interval's ends among the ordered replicates."""
    from scipy.special import ndtr, ndtri

    count = replicates.size
    below = float((replicates < estimate).sum() + 0.5 * (replicates == estimate).sum())  # ties: half on either side
    # Infinite replicates tie without being alike: no bias can be read from them, and percentiles are what is left.
    bias = float(ndtri(np.clip(below / count, 0.5 / count, 1.0 - 0.5 / count))) if math.isfinite(estimate) else 0.0

    def corrected(z: float) -> float:
        shift = bias + z
        slope = 1.0 - acceleration * shift
        return float(ndtr(bias + shift / slope)) if slope > 0.0 else float(shift > 0.0)

    z = float(ndtri(tail))
    low = math.floor(corrected(z) * (count + 1)) - 1
    high = math.ceil(corrected(-z) * (count + 1)) - 1
    return min(max(low, 0), count - 1), min(max(high, 0), count - 1)


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
