"""What a metric is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    import torch

    from bench_core.problems import Problem
    from bench_core.trials import Fit, Trials

Kind = Literal["rate", "mean", "skewed"]
"""rate: 0 or 1, exact binomial interval; mean: t interval; skewed: median with an order-statistic interval."""


class Metric(ABC):
    """A number per trial. Failed trials count: no success, an infinite error, and no part of a mean but shown."""

    name: ClassVar[str]
    kind: ClassVar[Kind]
    direction: ClassVar[Literal["higher", "lower"]]
    """Which values are better."""
    needs: ClassVar[frozenset[str]] = frozenset()
    """Capabilities of the problem without which the metric does not exist."""


class MeasuredMetric(Metric):
    """Computed from the answer when the trial runs, and stored."""

    @abstractmethod
    def measure(self, trials: Trials, fit: Fit) -> torch.Tensor:
        """Return the metric of every trial of the batch, shape ``(B,)``."""


class ReportedMetric(Metric):
    """Reported by the method itself in ``Fit.metrics``, and stored; a method that does not report it fails."""


class DerivedMetric(Metric):
    """Computed from a stored metric whenever results are read, so that a threshold can change without a new run."""

    source: ClassVar[str]
    """Name of the measured metric that it follows from."""

    @abstractmethod
    def derive(self, problem: Problem, source: Any) -> Any:
        """Return the metric for a column (or number) of source values."""
