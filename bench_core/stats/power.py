"""What a number of paired trials can show, and how many it takes to show something: before running anything."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bench_core.stats.paired import MIN_DISCORDANT

WILCOXON_EFFICIENCY = 3.0 / math.pi
"""Pitman efficiency of Wilcoxon's signed-rank test relative to the t test, for normal differences."""

MOST_PAIRS = 10_000_000
"""Beyond this many pairs the search for a number of pairs gives up: no run has as many."""


def mcnemar_power(n: int, p10: float, p01: float, alpha: float = 0.05) -> float:
    """Probability that ``mcnemar_exact`` on n pairs has p <= alpha and at least ``MIN_DISCORDANT`` discordant pairs.

    Exact and unconditional: summed over the number of discordant pairs, which is not known in advance. For a pair of
    labels in a table, take the alpha that Holm leaves to it: at worst alpha over the number of pairs of labels.

    Args:
        n: pairs.
        p10: probability that only a succeeds on a trial.
        p01: probability that only b succeeds on a trial.
        alpha: level of the two-sided test, in (0, 1).

    Returns:
        The probability of rejecting, for either side. With ``p10 == p01`` it is the test's true size, below alpha.

    Raises:
        ValueError: negative n, probabilities that are none or sum to more than 1, or an alpha outside (0, 1).

    Example:
        >>> round(mcnemar_power(100, 0.2, 0.1), 3), round(mcnemar_power(400, 0.2, 0.1), 3)
        (0.373, 0.951)

    References:
        Duffy, "Asymptotic and exact power for the McNemar test and its analogue with R controls per case", Biometrics
        40 (1984), 1005-1015.
    """
    from scipy.special import bdtr

    _require_alpha(alpha)
    if n < 0:
        raise ValueError(f"mcnemar_power needs n >= 0, got {n}")
    discordance = p10 + p01
    if not (p10 >= 0.0 and p01 >= 0.0 and discordance <= 1.0 + 1e-12):
        raise ValueError(f"p10 and p01 must be >= 0 with a sum of at most 1, got {p10} and {p01}")
    discordance = min(discordance, 1.0)
    if n < MIN_DISCORDANT or discordance == 0.0:
        return 0.0
    first, last = _likely_counts(n, discordance)
    counts = np.arange(max(first, MIN_DISCORDANT), last + 1)  # discordant pairs
    critical = _critical_counts(counts, alpha)
    rejecting = critical >= 0
    counts, critical = counts[rejecting], critical[rejecting]
    share = p10 / (p10 + p01)
    # Rejecting for a, P(X >= d - c), is P(d - X <= c) with the two sides swapped.
    rejected = bdtr(critical, counts, share) + bdtr(critical, counts, 1.0 - share)
    power = float(_binomial_mass(counts, n, discordance) @ rejected)
    return min(1.0, power)


def detectable_rate_difference(n: int, discordance: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest difference of two success rates that n paired trials detect with the given power.

    Args:
        n: pairs.
        discordance: probability that exactly one of the two succeeds on a trial, in [0, 1]. It is what pairing is
            about: labels that fail on the same trials have little. From a pilot, or ``p (1 - q) + q (1 - p)`` for
            labels of rates p and q that fail independently.
        alpha: level of the two-sided test, in (0, 1).
        power: probability of detection, in (0, 1).

    Returns:
        The difference ``|p10 - p01|``, at most ``discordance``; NaN where even that is not detected.

    Raises:
        ValueError: an argument outside its range.

    Example:
        >>> round(detectable_rate_difference(200, 0.2), 3), detectable_rate_difference(20, 0.2)
        (0.091, nan)

    References:
        See ``mcnemar_power``.
    """
    _require_discordance(discordance)
    _require_power(power)

    def reached(difference: float) -> bool:
        p10, p01 = (discordance + difference) / 2.0, (discordance - difference) / 2.0
        return mcnemar_power(n, p10, p01, alpha) >= power

    return smallest(reached, discordance)


def pairs_for_rate_difference(difference: float, discordance: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Pairs that it takes to detect a difference of two success rates with the given power.

    Args:
        difference: ``|p10 - p01|``, in (0, discordance].
        discordance: probability that exactly one of the two succeeds on a trial, in (0, 1].
        alpha: level of the two-sided test, in (0, 1).
        power: probability of detection, in (0, 1).

    Returns:
        A number of pairs with this power where one pair less has not. The power of a test on counts is a saw: where
        nearly all pairs are discordant, a few pairs more may fall short again.

    Raises:
        ValueError: an argument outside its range, or more than ten million pairs.

    Example:
        >>> pairs_for_rate_difference(0.1, 0.3)
        249

    References:
        See ``mcnemar_power``.
    """
    _require_discordance(discordance)
    _require_power(power)
    if not 0.0 < difference <= discordance:
        raise ValueError(f"difference must lie in (0, discordance], got {difference} with discordance {discordance}")
    p10, p01 = (discordance + difference) / 2.0, (discordance - difference) / 2.0
    return _fewest(lambda n: mcnemar_power(n, p10, p01, alpha) >= power)


def shift_power(n: int, shift: float, alpha: float = 0.05, efficiency: float = WILCOXON_EFFICIENCY) -> float:
    """Power of a paired test for a shift of the differences, as that of a t test on ``efficiency * n`` pairs.

    An approximation for normal differences; for heavy tails Wilcoxon's test is better than this (its efficiency is
    never below 0.864 and has no upper bound), for failures count them as discordant pairs of a rate.

    Args:
        n: pairs.
        shift: mean of the paired differences in units of their standard deviation, which is smaller than that of the
            values where the labels share their trials' difficulty.
        alpha: level of the two-sided test, in (0, 1).
        efficiency: relative to the t test: 3/pi for ``wilcoxon``, 1 for ``permutation``.

    Returns:
        The power; 0 where n is too small for any p-value of Wilcoxon's test to be at most alpha, or for
        ``MIN_DISCORDANT``.

    Raises:
        ValueError: an alpha or efficiency outside its range.

    Example:
        >>> round(shift_power(34, 0.5, efficiency=1.0), 3)
        0.808

    References:
        Lehmann, "Nonparametrics" (1975), section 4.3, for the efficiency. The power: noncentral t.
    """
    from scipy.special import nctdtr, stdtrit

    _require_alpha(alpha)
    if not 0.0 < efficiency <= 1.0:
        raise ValueError(f"efficiency must lie in (0, 1], got {efficiency}")
    if n < MIN_DISCORDANT or 2.0 * 0.5**n > alpha:
        return 0.0
    effective = efficiency * n
    quantile = -float(stdtrit(effective - 1.0, alpha / 2.0))
    # Rejecting for the wrong side is left out where it cannot matter: nctdtr loses its digits in the far tail.
    centre = abs(shift) * math.sqrt(effective)
    wrong = float(nctdtr(effective - 1.0, centre, -quantile)) if centre < 5.0 else 0.0
    right = 1.0 if centre > quantile + 30.0 else 1.0 - float(nctdtr(effective - 1.0, centre, quantile))
    return min(1.0, right + wrong)


def detectable_shift(n: int, alpha: float = 0.05, power: float = 0.8, efficiency: float = WILCOXON_EFFICIENCY) -> float:
    """Smallest mean paired difference that n pairs detect with the given power, in standard deviations.

    Args:
        n: pairs.
        alpha: level of the two-sided test, in (0, 1).
        power: probability of detection, in (0, 1).
        efficiency: relative to the t test: 3/pi for ``wilcoxon``, 1 for ``permutation``.

    Returns:
        The shift in units of the standard deviation of the paired differences; NaN where n is too small to reject.

    Raises:
        ValueError: an argument outside its range.

    Example:
        >>> round(detectable_shift(800), 3), detectable_shift(5)
        (0.101, nan)

    References:
        See ``shift_power``.
    """
    _require_power(power)
    return smallest(lambda shift: shift_power(n, shift, alpha, efficiency) >= power, 1000.0)


def pairs_for_shift(
    shift: float, alpha: float = 0.05, power: float = 0.8, efficiency: float = WILCOXON_EFFICIENCY
) -> int:
    """Pairs that it takes to detect a mean paired difference with the given power.

    Args:
        shift: in units of the standard deviation of the paired differences, not 0.
        alpha: level of the two-sided test, in (0, 1).
        power: probability of detection, in (0, 1).
        efficiency: relative to the t test: 3/pi for ``wilcoxon``, 1 for ``permutation``.

    Returns:
        The smallest number of pairs.

    Raises:
        ValueError: an argument outside its range, or more than ten million pairs.

    Example:
        >>> pairs_for_shift(0.5, efficiency=1.0), pairs_for_shift(0.5)
        (34, 35)

    References:
        See ``shift_power``.
    """
    _require_power(power)
    if not 0.0 < abs(shift) < math.inf:
        raise ValueError(f"shift must be finite and not 0, got {shift}")
    return _fewest(lambda n: shift_power(n, shift, alpha, efficiency) >= power)


def _critical_counts(counts: NDArray[np.int64], alpha: float) -> NDArray[np.int64]:
    """For numbers of discordant pairs, the most wins of the loser with which McNemar rejects, or -1; same shape."""
    from scipy.special import bdtr

    rejected, kept = np.full(counts.shape, -1), counts // 2 + 1  # at half of the pairs p is 1
    while (kept - rejected > 1).any():
        middle = (rejected + kept) // 2
        rejects = (middle >= 0) & (2.0 * bdtr(np.maximum(middle, 0), counts, 0.5) <= alpha)
        rejected, kept = np.where(rejects, middle, rejected), np.where(rejects, kept, middle)
    return rejected


def _likely_counts(n: int, p: float) -> tuple[int, int]:
    """Range outside which a Binomial(n, p) lies with a probability below 1e-15, by Bernstein's inequality."""
    reach = 24.0 + 8.5 * math.sqrt(n * p * (1.0 - p))
    return max(0, math.floor(n * p - reach)), min(n, math.ceil(n * p + reach))


def _binomial_mass(counts: NDArray[np.int64], n: int, p: float) -> NDArray[np.float64]:
    """P(Binomial(n, p) = counts), same shape."""
    from scipy.special import gammaln, xlog1py, xlogy

    log_ways = gammaln(n + 1) - gammaln(counts + 1) - gammaln(n - counts + 1)
    mass: NDArray[np.float64] = np.exp(log_ways + xlogy(counts, p) + xlog1py(n - counts, -p))
    return mass


def smallest(reached: Callable[[float], bool], largest: float) -> float:
    """Where ``reached`` turns true between 0 and ``largest``, from above; NaN if it does not."""
    if not reached(largest):
        return math.nan
    below, above = 0.0, largest
    while above - below > 1e-9 * max(above, 1e-6):
        middle = 0.5 * (below + above)
        if reached(middle):
            above = middle
        else:
            below = middle
    return above


def _fewest(reached: Callable[[int], bool]) -> int:
    """A number of pairs that reaches where one less does not, the smallest if reaching is monotone."""
    above = 1
    while not reached(above):
        above *= 2
        if above > MOST_PAIRS:
            raise ValueError(f"more than {MOST_PAIRS} pairs would be needed")
    below = above // 2
    while above - below > 1:
        middle = (below + above) // 2
        if reached(middle):
            above = middle
        else:
            below = middle
    return above


def _require_alpha(alpha: float) -> None:
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha must lie strictly between 0 and 1 (0.05 for 5 %), got {alpha}")


def _require_power(power: float) -> None:
    if not 0.0 < power < 1.0:
        raise ValueError(f"power must lie strictly between 0 and 1 (0.8 for 80 %), got {power}")


def _require_discordance(discordance: float) -> None:
    if not 0.0 <= discordance <= 1.0:
        raise ValueError(f"discordance must lie in [0, 1], got {discordance}")
