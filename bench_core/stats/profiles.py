"""Performance profiles: the share of trials that are at least as good as each value."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench_core.stats.intervals import tail_probability, vector
from bench_core.stats.paired import Direction


class Profile(NamedTuple):
    """A step function of the threshold tau, with a band; one element of each array per step."""

    tau: NDArray[np.float64]  # (k,) distinct finite values, increasing: where the share may change
    share: NDArray[np.float64]  # (k,) of trials with a value at least as good as tau
    low: NDArray[np.float64]  # (k,)
    high: NDArray[np.float64]  # (k,)


def performance_profile(values: ArrayLike, *, direction: Direction = "lower", level: float = 0.95) -> Profile:
    """Share of trials that reach each threshold, for all thresholds at once.

    Shows the whole distribution where a median shows a point: one profile above another everywhere is better whatever
    the threshold. The band holds for **all** thresholds together, so it may be read anywhere, also where two profiles
    look furthest apart; it is wider than an interval for one threshold chosen in advance.

    Args:
        values: one number per trial, shape ``(n,)``. A failed trial is +inf (-inf where higher is better): it never
            reaches a threshold but stays in n. NaN is refused.
        direction: "lower": share of values at or below tau, increasing. "higher": at or above tau, decreasing.
        level: simultaneous coverage of the band, in (0, 1).

    Returns:
        The profile at the distinct finite values. For "lower" the share stays as it is from one tau up to the next and
        is that of values of -inf (usually 0) before the first; for "higher" from one tau down to the previous one.

    Raises:
        ValueError: a NaN, an unknown direction, values not one-dimensional, or a level outside (0, 1).

    Example:
        >>> profile = performance_profile([0.1, 0.3, 0.3, float("inf")])
        >>> profile.tau.tolist(), profile.share.tolist()
        ([0.1, 0.3], [0.25, 0.75])

    References:
        Dolan and More, "Benchmarking optimization software with performance profiles", Math. Program. 91 (2002),
        201-213; Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice", NeurIPS 2021,
        for profiles of scores; the band: Massart, "The tight constant in the Dvoretzky-Kiefer-Wolfowitz inequality",
        Ann. Probab. 18 (1990), 1269-1283.
    """
    tail = tail_probability(level)
    if direction not in ("lower", "higher"):
        raise ValueError(f"direction must be 'lower' or 'higher', got {direction!r}")
    array = vector(values)
    if np.isnan(array).any():
        raise ValueError(
            f"performance_profile got {int(np.isnan(array).sum())} NaN among {array.size} values; a failed trial "
            "enters as +inf (as -inf where higher is better), a skipped one not at all"
        )
    ordered = np.sort(array)
    tau = np.unique(ordered[np.isfinite(ordered)])
    if direction == "lower":
        reached = np.searchsorted(ordered, tau, side="right")
    else:
        reached = ordered.size - np.searchsorted(ordered, tau, side="left")
    share = reached / max(1, ordered.size)
    reach = math.sqrt(-math.log(tail) / (2 * max(1, ordered.size)))
    return Profile(tau, share, np.maximum(0.0, share - reach), np.minimum(1.0, share + reach))
