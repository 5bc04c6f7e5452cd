"""One comparison of two labels over several problem cells."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from bench_core.stats.intervals import tail_probability
from bench_core.stats.paired import Discordant, side, tango
from bench_core.stats.sequential import path_level, smallest_error


class Counts(Discordant, Protocol):
    """What is pooled: a ``PairedTest``, or whatever has its counts and the name of its test."""

    @property
    def n_pairs(self) -> int: ...

    @property
    def test(self) -> str: ...


class Pooled(NamedTuple):
    """Comparison of label a with label b over problem cells, whose trials are independent of each other."""

    n_cells: int  # cells with at least one pair
    n_pairs: int  # all pairs of all cells, ties included
    n01: int  # pairs in which b is better
    n10: int  # pairs in which a is better
    test: Literal["stratified McNemar", "stratified sign", "Bonferroni"]
    p_value: float  # two-sided and raw: adjust over the whole table before reading it
    estimand: Literal["difference", "probability of improvement"]
    estimate: float  # unweighted mean over the cells; NaN without pairs
    low: float
    high: float
    level: float  # nominal coverage of the interval
    favours: Literal["a", "b", "neither"]  # the side that the test's statistic speaks for


def pooled(tests: Sequence[Counts], level: float = 0.95) -> Pooled:
    """Pool the paired tests of two labels in several problem cells into one test and one interval.

    Null hypothesis: in every cell, a pair with a winner is won by either label with probability 1/2. Then the wins of
    a over all cells are Binomial(n10 + n01, 1/2) given the pairs with a winner, whatever the cells' difficulty: the
    test is exact. It asks about the sum of pairs, so a label that wins here and loses there may look equal: read the
    cells too. Pool cells that were chosen before looking at them, and whose numbers of trials
    were, too: ``pooled_path`` is for adaptive runs.

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
        >>> from bench_core.stats import PairedTest
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
    rates = _are_rates(tests, "pooled")
    cells = [test for test in tests if test.n_pairs > 0]
    n10, n01 = sum(cell.n10 for cell in cells), sum(cell.n01 for cell in cells)
    p_value = min(1.0, 2.0 * float(bdtr(min(n10, n01), n10 + n01, 0.5)))
    found = _told(cells, _mover(cells, level), level, p_value, rates=rates)
    return found._replace(test="stratified McNemar" if rates else "stratified sign", favours=side(n10 - n01))


def pooled_path(tests: Sequence[Counts], n_looks: int, level: float = 0.95) -> Pooled:
    """Pool like ``pooled`` where every problem cell stopped at a look of its own, whatever the rule for stopping.

    A rule that stops on a lead moves the estimates of all cells to the same side, and adding wins, or distances in
    squares, takes their errors for independent and centred. Here nothing is: each of the k cells' intervals gets
    ``1 / (k * n_looks)`` of the error, and the ends are averaged. By the union bound all of them hold together, at
    every look, and where they do the average of their ends holds the average difference.

    Args:
        tests: see ``pooled``.
        n_looks: planned looks of a cell (the most, where cells differ): ``len(looks(maximum))``.
        level: nominal coverage of the interval over the whole path, in (0, 1).

    Returns:
        The pooled comparison. Its p-value is the smallest error (at least 1e-9) at which this interval leaves
        out equality, so p-value and interval never disagree. The side with the better estimate is favoured.

    Raises:
        ValueError: no tests, tests of different kinds, fewer than one look, or a level outside (0, 1).

    Example:
        >>> from bench_core.stats import PairedTest
        >>> cells = [PairedTest(50, 2, 25, "mcnemar_exact", 0.0, 0.46, 0.2, 0.6, "a"),
        ...          PairedTest(50, 1, 28, "mcnemar_exact", 0.0, 0.54, 0.3, 0.7, "a")]
        >>> both = pooled_path(cells, 5)
        >>> both.estimate, round(both.low, 3), round(both.high, 3), round(both.p_value, 5)
        (0.5, 0.186, 0.73, 0.00094)

    References:
        Bonferroni, "Teoria statistica delle classi e calcolo delle probabilita" (1936); see ``path_level``.
    """
    rates = _are_rates(tests, "pooled_path")
    cells = [test for test in tests if test.n_pairs > 0]
    shares = max(1, len(cells)) * n_looks

    def ends(error: float) -> tuple[float, float, float]:
        return _averaged(cells, path_level(1.0 - error, shares))

    def excluded(error: float) -> bool:
        _, low, high = ends(error)
        return low > 0.0 or high < 0.0

    tail_probability(level)
    return _told(cells, ends(1.0 - level), level, smallest_error(excluded), rates=rates)


def _told(
    cells: Sequence[Counts], ends: tuple[float, float, float], level: float, p_value: float, *, rates: bool
) -> Pooled:
    """Return the comparison for the estimate and ends of a mean difference of shares."""
    estimate, low, high = ends if rates else ((1.0 + end) / 2.0 for end in ends)
    return Pooled(
        n_cells=len(cells),
        n_pairs=sum(cell.n_pairs for cell in cells),
        n01=sum(cell.n01 for cell in cells),
        n10=sum(cell.n10 for cell in cells),
        test="Bonferroni",
        p_value=p_value,
        estimand="difference" if rates else "probability of improvement",
        estimate=estimate,
        low=low,
        high=high,
        level=level,
        favours=side(ends[0]),
    )


def _are_rates(tests: Sequence[Counts], caller: str) -> bool:
    """Whether the tests are of successes."""
    kinds = sorted({test.test for test in tests})
    if len(kinds) != 1:
        raise ValueError(f"{caller} needs tests of one kind, got {', '.join(kinds) if kinds else 'none'}")
    return kinds[0] == "mcnemar_exact"


def _averaged(cells: Sequence[Counts], level: float) -> tuple[float, float, float]:
    """Mean over the cells of the share of wins less that of losses, with the means of the ends of its intervals."""
    if not cells:
        return math.nan, -1.0, 1.0
    intervals = [tango(cell.n10, cell.n01, cell.n_pairs, level)[:3] for cell in cells]
    estimate, low, high = (math.fsum(ends) / len(cells) for ends in zip(*intervals, strict=True))
    return estimate, low, high


def _mover(cells: Sequence[Counts], level: float) -> tuple[float, float, float]:
    """Mean over the cells of the share of wins less that of losses, with the ends of its interval."""
    if not cells:
        return math.nan, -1.0, 1.0
    intervals = [tango(cell.n10, cell.n01, cell.n_pairs, level) for cell in cells]
    estimate = math.fsum(interval.estimate for interval in intervals) / len(cells)
    below = math.hypot(*(interval.estimate - interval.low for interval in intervals)) / len(cells)
    above = math.hypot(*(interval.high - interval.estimate for interval in intervals)) / len(cells)
    return estimate, max(-1.0, estimate - below), min(1.0, estimate + above)
