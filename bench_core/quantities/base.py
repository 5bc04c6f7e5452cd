"""What a quantity is."""

from __future__ import annotations

import math
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple


class Outcome(NamedTuple):
    """What came of computing a quantity."""

    value: float
    """NaN where there is none."""
    reason: str = ""
    """Why there is no value."""


@dataclass(frozen=True)
class Quantity:
    """A number that is computed without trials, for the ``limit`` and ``count`` claims of suites.

    Attributes:
        name: what claims call it.
        about: one line that says what it is; a verdict begins with it.
        source: paper and equation that it comes from.
        compute: returns the number, the same at every call; it imports torch itself, if it needs it.
    """

    name: str
    about: str
    source: str
    compute: Callable[[], float]

    @cached_property
    def outcome(self) -> Outcome:
        """Compute the number, once; one that cannot be computed settles no claim, and the reason says why."""
        try:
            with redirect_stdout(sys.stderr):  # what it prints must not come into a table
                value = float(self.compute())
        except Exception as error:  # a plugin's code may raise anything: as with a trial, that is an outcome
            return Outcome(math.nan, _cause(error))
        return Outcome(value, "the result is not a number" if math.isnan(value) else "")


def _cause(error: Exception) -> str:
    """Return an exception on one line, with the place that raised it."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return " ".join(f"{type(error).__name__}: {error}".rstrip(": ").split()) + place
