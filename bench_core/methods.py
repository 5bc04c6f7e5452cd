"""What a method is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from bench_core.parameters import Parameters

if TYPE_CHECKING:
    from bench_core.problems import Problem
    from bench_core.trials import Fit, Trials

__all__ = ["Method"]


class Method(Parameters, ABC):
    """Something that fits a distribution to data; its fields are its hyper-parameters.

    A method gets a batch of trials and must treat them independently: trial i of a batch of 50 gives the numbers that
    it would give alone. It draws random numbers only from ``trials.streams`` and leaves ``trials.data`` as they are.
    """

    control: ClassVar[bool] = False
    """A control (ceiling, floor) is shown, but never marked best nor compared with the others."""
    needs: ClassVar[frozenset[str]] = frozenset()
    """Capabilities that the problem must have; a pair that does not fit is one stored ``skipped`` row."""

    dtype: Literal["float32", "float64"] = "float32"
    """Floating type of the computation."""

    @abstractmethod
    def fit(self, trials: Trials) -> Fit:
        """Fit every trial of the batch.

        Called once per batch in a worker process. An exception is narrowed down to the trials that cause it, which
        become rows with status ``error``; non-finite answers become ``nan``.
        """

    def working_set(self, problem: Problem) -> int:
        """Return the bytes that one trial works on: how many trials fit into a batch follows from it."""
        # Drawn and stacked in float64, then cast.
        return max(1 << 16, 24 * problem.size())

    def unfit(self, problem: Problem) -> str | None:
        """Return why this method cannot run on ``problem``, or None where it can."""
        lacking = sorted(self.needs - problem.capabilities)
        if not lacking:
            return None
        return "; ".join(problem.lacks().get(name, f"{problem.name} has no {name}") for name in lacking)
