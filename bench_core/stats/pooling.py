"""One comparison of two labels over several problem cells."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from bench_core.stats.intervals import tail_probability
from bench_core.stats.paired import PairedTest, tango


class Pooled(NamedTuple):
    """Comparison of label a with label b over problem cells, whose trials are independent of each other."""

    n_cells: int  # cells with at least one pair
    n_pairs: int  # all pairs of all cells, ties included
    n01: int  # pairs in which b is better
    n10: int  # pairs in which a is better
    test: Literal["stratified McNemar", "stratified sign"]
    p_value: float  # two-sided and raw: adjust over the whole table before reading it
    estimand: Literal["difference", "probability of improvement"]
    estimate: float  # unweighted mean over the cells; NaN without pairs
    low: float
    high: float
    level: float  # nominal coverage of the interval
    favours: Literal["a", "b", "neither"]  # the side that the test's statistic speaks for


def pooled(tests: Sequence[PairedTest], level: float = 0.95) -> Pooled:
    """Pool the paired tests of two labels in several problem cells into one test and one interval.

    Null hypothesis: in every cell, a pair with a winner is won by either label with probability 1/2. Then the wins of
    a over all cells are Binomial(n10 + n01, 1/2) given the pairs with a winner, whatever the cells' difficulty: the
    test is exact. It asks about the sum of pairs, so a label that wins here and loses there may look equal: read the
    cells too. Pool cells that were chosen before looking at them.

    The estimand counts every cell alike, however many pairs it has: for rates the mean over the cells of
    ``P(a succeeds) - P(b succeeds)``; for other kinds, whose units differ between cells, the mean of
    ``P(a better) + P(tie) / 2``. Where the numbers of pairs differ, estimate and test may favour different sides.

    Args:
        tests: one per problem cell, all for the same labels in the same order and of the same kind. Cells without
            pairs are left out.
        level: nominal coverage of the interval, in (0, 1); the level of the cells' own intervals does not matter.

    Returns:
        The pooled comparison, which ``separated`` takes like that of one cell. Its interval is MOVER: the distances
        from the estimates to the ends of the cells' ``tango`` intervals are added in squares. Without pairs p is 1,
        the estimate NaN and the interval everything.

    Raises:
        ValueError: no tests, tests of different kinds, or a level outside (0, 1).

    Example:
        >>> cells = [PairedTest(50, 2, 9, "mcnemar_exact", 0.07, 0.14, 0.0, 0.27, "a"),
        ...          PairedTest(50, 1, 8, "mcnemar_exact", 0.04, 0.14, 0.01, 0.26, "a")]
        >>> both = pooled(cells)
        >>> both.n10, both.n01, round(both.p_value, 4), both.estimate, round(both.low, 3), round(both.high, 3)
        (17, 3, 0.0026, 0.14, 0.036, 0.252)

    References:
        Zou and Donner, "Construction of confidence limits about effect measures: a general approach", Statistics in
        Medicine 27 (2008), 1693-1702; Newcombe, "Interval estimation for the difference between independent
        proportions: comparison of eleven methods", Statistics in Medicine 17 (1998), 873-890.
    """
    from scipy.special import bdtr

    tail_probability(level)
    kinds = sorted({test.test for test in tests})
    if len(kinds) != 1:
        raise ValueError(f"pooled needs tests of one kind, got {', '.join(kinds) if kinds else 'none'}")
    rates = kinds[0] == "mcnemar_exact"
    cells = [test for test in tests if test.n_pairs > 0]
    n10, n01 = sum(cell.n10 for cell in cells), sum(cell.n01 for cell in cells)
    p_value = min(1.0, 2.0 * float(bdtr(min(n10, n01), n10 + n01, 0.5)))
    estimate, low, high = _mover(cells, level)
    if not rates:
        estimate, low, high = ((1.0 + end) / 2.0 for end in (estimate, low, high))
    return Pooled(
        n_cells=len(cells),
        n_pairs=sum(cell.n_pairs for cell in cells),
        n01=n01,
        n10=n10,
        test="stratified McNemar" if rates else "stratified sign",
        p_value=p_value,
        estimand="difference" if rates else "probability of improvement",
        estimate=estimate,
        low=low,
        high=high,
        level=level,
        favours="a" if n10 > n01 else "b" if n10 < n01 else "neither",
    )


def _mover(cells: Sequence[PairedTest], level: float) -> tuple[float, float, float]:
    """Mean over the cells of the share of wins less that of losses, with the ends of its interval."""
    if not cells:
        return math.nan, -1.0, 1.0
    intervals = [tango(cell.n10, cell.n01, cell.n_pairs, level) for cell in cells]
    estimate = math.fsum(interval.estimate for interval in intervals) / len(cells)
    below = math.hypot(*(interval.estimate - interval.low for interval in intervals)) / len(cells)
    above = math.hypot(*(interval.high - interval.estimate for interval in intervals)) / len(cells)
    return estimate, max(-1.0, estimate - below), min(1.0, estimate + above)
