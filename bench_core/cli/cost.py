"""What trials will cost that have not run yet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench_core.plan import Cell


def seconds_per_trial(cell: Cell, known: Sequence[tuple[Cell, float]]) -> float | None:
    """Return the seconds of a trial: known, or guessed from the label's nearest known cell by the size of the data.

    Args:
        cell: whose trials are to run.
        known: cells with the seconds of their finished trials.

    Returns:
        None where nothing at all is known.
    """
    if not known:
        return None
    own = [seconds for each, seconds in known if each is cell]
    if own:
        return own[0]
    same = [pair for pair in known if pair[0].label == cell.label] or known
    nearest, seconds = min(same, key=lambda pair: abs(math.log(pair[0].working_set / cell.working_set)))
    # At least in proportion to the data: many methods cost more than that, few less.
    return seconds * max(1.0, cell.working_set / nearest.working_set)
