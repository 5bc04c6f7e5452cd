"""The supremum of a discrepancy over a positive scalar, such as the scale of its features, in every trial at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Optimised(NamedTuple):
    """A supremum and where it is reached, each ``(...)``."""

    value: Tensor
    argument: Tensor


def optimised(
    discrepancy: Callable[[Tensor], Tensor],
    low: float,
    high: float,
    *,
    points: int = 64,
    tolerance: float = 1e-6,
) -> Optimised:
    """The supremum of ``discrepancy(psi)`` over ``low <= psi <= high``, trial by trial.

    A logarithmic grid finds each trial's best candidate, a golden-section search refines it between its neighbours. A
    second peak narrower than the grid's step can be missed. The gradient with respect to what ``discrepancy`` closes
    over is the partial one at the argument, which is the supremum's (envelope theorem) where the argument is unique.

    Args:
        discrepancy: returns ``(...)`` of one psi for all trials, shape ``()``, or one each, ``(...)``; and
            ``(points, ...)`` of candidates, ``(points, 1, ..., 1)``. Broadcasting does that: features
            ``lambda z: psi.to(z)[..., None, None] * z``. psi is in float64. It must be no random function.
        low: smallest psi, positive.
        high: largest psi; a supremum in the limit is cut off here.
        points: candidates of the grid, at least 3.
        tolerance: relative, of the argument; a value's rounding error, which hides the peak's top, may leave more.

    Returns:
        The value ``(...)``, differentiable, and the argument ``(...)``, a constant in float64. A trial in which a
        candidate's value is NaN has the value NaN.

    Raises:
        ValueError: if a bound, a number or the shape of the discrepancy's result does not fit.
    """
    if not 0 < low < high < math.inf:
        raise ValueError(f"low and high must be positive, finite and in this order, got low={low!r} and high={high!r}")
    if points < 3:
        raise ValueError(f"points must be at least 3, got {points!r}; try points=64")
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance must lie between 0 and 1, got {tolerance!r}; try tolerance=1e-6")
    from bench_core.discrepancies import _optimised

    argument = _optimised.argument(discrepancy, low, high, points, tolerance)
    return Optimised(discrepancy(argument), argument)
