"""What trials will cost that have not run yet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench_core.plan import Cell


def seconds_per_trial(cell: Cell, known: Sequence[tuple[Cell, float]]) -> float | None:
    """Return the seconds of a trial: known, or guessed from the label's nearest known cell by the size of the data.

    A label of which nothing is known is guessed from the others, but never a method from a control, nor the reverse.

    Args:
        cell: whose trials are to run.
        known: cells with the seconds of their finished trials.

    Returns:
        None where nothing is known to guess from.
    """
    own = [seconds for each, seconds in known if each is cell]
    if own:
        return own[0]
    same = [pair for pair in known if pair[0].label == cell.label]
    same = same or [pair for pair in known if pair[0].control == cell.control]
    if not same:
        return None
    nearest, seconds = min(same, key=lambda pair: abs(math.log(pair[0].working_set / cell.working_set)))
    # At least in proportion to the data: many methods cost more than that, few less.
    return seconds * max(1.0, cell.working_set / nearest.working_set)
