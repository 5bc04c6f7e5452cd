"""Looking at the data more than once: how many trials at each look, and what a look may spend of alpha."""

import math
from collections.abc import Callable

from bench_core.stats.intervals import tail_probability

FIRST_LOOK = 50
"""Trials at the first look."""


def looks(maximum: int) -> tuple[int, ...]:
    """Numbers of trials at which an adaptive run looks at its data: 50, 100, 200, ... and the maximum.

    Doubling keeps the looks few (5 for 800 trials), hence what each may spend large, while no run has more than twice
    the trials that it needed.

    Args:
        maximum: most trials, at least 1.

    Returns:
        Increasing numbers of trials, the last of them ``maximum``.

    Raises:
        ValueError: a maximum below 1.

    Example:
        >>> looks(800), looks(500), looks(30)
        ((50, 100, 200, 400, 800), (50, 100, 200, 400, 500), (30,))
    """
    if maximum < 1:
        raise ValueError(f"looks needs maximum >= 1, got {maximum}")
    planned = []
    trials = FIRST_LOOK
    while trials < maximum:
        planned.append(trials)
        trials *= 2
    return (*planned, maximum)


def path_level(level: float, n_looks: int) -> float:
    """Level of the interval at each look, so that the intervals at all looks cover together with ``level``.

    Equal parts of ``1 - level`` are spent on the planned looks. By the union bound this holds **whatever the rule for
    stopping among these looks**, with any dependence between them, and whichever label or pair the rule looked at. The
    price is small: at 95 % and five looks a normal quantile of 2.58, where Pocock's bound for one rule has 2.41. Every
    interval that is reported must have this level, also that of a label that stopped at the first look.

    Args:
        level: nominal coverage over the whole path, in (0, 1).
        n_looks: planned looks, at least 1, whether they take place or not: ``len(looks(maximum))``.

    Returns:
        ``1 - (1 - level) / n_looks``.

    Raises:
        ValueError: a level outside (0, 1), or fewer than one look.

    Example:
        >>> path_level(0.95, len(looks(800)))
        0.99

    References:
        Pocock, "Group sequential methods in the design and analysis of clinical trials", Biometrika 64 (1977),
        191-199; Lan and DeMets, "Discrete sequential boundaries for clinical trials", Biometrika 70 (1983), 659-663;
        the union bound: Bonferroni, "Teoria statistica delle classi e calcolo delle probabilita" (1936).
    """
    tail_probability(level)
    _require_looks(n_looks)
    return 1.0 - (1.0 - level) / n_looks


def path_p_value(p: float, n_looks: int) -> float:
    """p-value of a look, valid over all planned looks whatever the rule for stopping.

    Args:
        p: raw p-value at the look where the run stopped, in [0, 1]; NaN (not tested) stays NaN.
        n_looks: planned looks, at least 1: ``len(looks(maximum))``.

    Returns:
        ``min(1, n_looks * p)``. Holm over the table's pairs comes after it.

    Raises:
        ValueError: a p-value outside [0, 1], or fewer than one look.

    Example:
        >>> path_p_value(0.004, 5), path_p_value(0.5, 5)
        (0.02, 1.0)

    References:
        See ``path_level``.
    """
    _require_looks(n_looks)
    if p < 0.0 or p > 1.0:
        raise ValueError(f"p-values must lie in [0, 1], got {p}")
    return min(n_looks * p, 1.0)


def smallest_error(excludes: Callable[[float], bool]) -> float:
    """p-value that belongs to an interval: the smallest error at which it leaves out the null hypothesis.

    Args:
        excludes: error in (0, 1) -> whether the interval of level ``1 - error`` leaves it out. Larger errors give
            shorter intervals.

    Returns:
        The error by bisection, at least 1e-9; 1 where no interval leaves it out.

    Example:
        >>> round(smallest_error(lambda error: error >= 0.03), 6)
        0.03
    """
    kept, found = math.log(1e-9), math.log1p(-1e-9)
    if not excludes(math.exp(found)):
        return 1.0
    if excludes(math.exp(kept)):
        return 1e-9
    while found - kept > 1e-9:
        middle = (kept + found) / 2.0
        if excludes(math.exp(middle)):
            found = middle
        else:
            kept = middle
    return math.exp(found)


def _require_looks(n_looks: int) -> None:
    if n_looks < 1:
        raise ValueError(f"n_looks must be at least 1, got {n_looks}")
