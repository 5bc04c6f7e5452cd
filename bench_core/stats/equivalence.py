"""Saying that two labels are equal: within a margin, at a level, never for lack of data."""

import math
from typing import Literal, NamedTuple

from numpy.typing import ArrayLike

from bench_core.stats.intervals import Interval
from bench_core.stats.paired import Kind, difference

Verdict = Literal["equivalent", "different", "undecided"]


class Equivalence(NamedTuple):
    """Verdict on whether two labels are equal within a margin, with the intervals that it was read from."""

    verdict: Verdict
    narrow: Interval  # of level 1 - 2 alpha: the two one-sided tests
    wide: Interval  # of level 1 - alpha


def equivalence(narrow: Interval, wide: Interval, margin: float) -> Verdict:
    """Whether a difference is within a margin, outside it, or not known well enough.

    Two one-sided tests at alpha each reject "the difference is at most -margin" and "... at least margin" exactly if
    the interval of level 1 - 2 alpha lies inside: no doubling is needed, since only one of the two can be true. So
    both errors, calling the different equivalent and calling the equivalent different, are at most alpha, if the
    intervals cover. The margin is a matter of science and must be chosen before seeing the data.

    Args:
        narrow: interval of level 1 - 2 alpha (90 % for alpha of 5 %).
        wide: interval of level 1 - alpha (95 %) for the same difference.
        margin: largest difference that does not matter, positive, in units of the metric.

    Returns:
        "equivalent" if the narrow interval lies within [-margin, margin], "different" if the wide one lies wholly
        outside, else "undecided", which more trials may change.

    Raises:
        ValueError: a margin that is not positive and finite, or levels that do not belong together.

    Example:
        >>> narrow = Interval(0.01, -0.02, 0.04, 0.9, "tango")
        >>> wide = Interval(0.01, -0.03, 0.05, 0.95, "tango")
        >>> equivalence(narrow, wide, margin=0.05), equivalence(narrow, wide, margin=0.03)
        ('equivalent', 'undecided')

    References:
        Schuirmann, "A comparison of the two one-sided tests procedure and the power approach for assessing the
        equivalence of average bioavailability", J. Pharmacokinet. Biopharm. 15 (1987), 657-680.
    """
    if not 0.0 < margin < math.inf:
        raise ValueError(f"margin must be positive and finite, got {margin}")
    if not math.isclose(1.0 - narrow.level, 2.0 * (1.0 - wide.level), rel_tol=1e-9):
        raise ValueError(
            f"the levels must be 1 - 2 alpha and 1 - alpha (0.9 and 0.95 for 5 %), got {narrow.level} and {wide.level}"
        )
    if -margin <= narrow.low and narrow.high <= margin:
        return "equivalent"
    if wide.low > margin or wide.high < -margin:
        return "different"
    return "undecided"


def tost(a: ArrayLike, b: ArrayLike, kind: Kind, margin: float, level: float = 0.95) -> Equivalence:
    """Test whether two labels are equal within a margin, on the trials that both have.

    Args:
        a: one value per trial under label a, shape ``(n,)``.
        b: the same for label b; element i of both is the same trial.
        kind: what the values are, which decides the interval: see ``difference``. For "mean" the verdict is about the
            pairs in which both trials finished: look at the failures too.
        margin: largest difference that does not matter, positive, in units of the metric.
        level: 1 - alpha, in (0.5, 1); the narrow interval has ``2 * level - 1``.

    Returns:
        The verdict with both intervals.

    Raises:
        ValueError: a level outside (0.5, 1), a margin that is not positive and finite, or values that the kind does
            not allow.

    Example:
        >>> result = tost([True] * 90 + [False] * 10, [True] * 89 + [False] * 11, "rate", margin=0.1)
        >>> result.verdict, round(result.narrow.level, 3), round(result.narrow.high, 3)
        ('equivalent', 0.9, 0.059)

    References:
        See ``equivalence``.
    """
    if not 0.5 < level < 1.0:
        raise ValueError(f"level must lie strictly between 0.5 and 1 (0.95 for 95 %), got {level}")
    narrow = difference(a, b, kind, 1.0 - 2.0 * (1.0 - level))
    wide = difference(a, b, kind, level)
    return Equivalence(equivalence(narrow, wide, margin), narrow, wide)
