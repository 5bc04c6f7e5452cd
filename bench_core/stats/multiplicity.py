"""Corrections for testing many pairs in one table."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench_core.stats.intervals import vector


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Holm's step-down adjustment: comparing the result with alpha bounds the family-wise error by alpha.

    Holds under any dependence between the tests. The family must be all pairs of a table, not the pairs with its
    best label: the choice of the best has already looked at the data.

    Args:
        p_values: shape ``(k,)``, each in [0, 1]; NaN marks a pair that was not tested, which does not count in the
            family.

    Returns:
        Adjusted p-values, shape ``(k,)``, in the order of the input, at most 1, never below the raw ones and in the
        same order of size; NaN where the input is NaN.

    Raises:
        ValueError: a p-value outside [0, 1], or an input that is not one-dimensional.

    Example:
        >>> holm([0.01, 0.04, float("nan"), 0.03]).tolist()
        [0.03, 0.06, nan, 0.06]

    References:
        Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979), 65-70.
    """
    raw = vector(p_values)
    tested = np.flatnonzero(~np.isnan(raw))
    outside = raw[tested][(raw[tested] < 0.0) | (raw[tested] > 1.0)]
    if outside.size:
        raise ValueError(f"p-values must lie in [0, 1], got {outside[0]}")
    order = tested[np.argsort(raw[tested], kind="stable")]  # smallest p first
    remaining = np.arange(tested.size, 0, -1)  # hypotheses not yet rejected at each step
    adjusted = np.full(raw.shape, np.nan)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(remaining * raw[order]))
    return adjusted
