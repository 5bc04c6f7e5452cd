"""Distance of unmixed endmembers from the true ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from bench_core import hookimpl
from bench_core.metrics.base import MeasuredMetric, Metric

if TYPE_CHECKING:
    import torch

    from bench_core.problems.linear_unmixing import LinearUnmixing
    from bench_core.trials import Fit, Trials


class Distance(MeasuredMetric):
    """Sum of the distances of endmembers from the true ones that they are matched with; the mean is reported."""

    name = "distance"
    kind = "mean"
    direction = "lower"
    needs = frozenset({"unmixing"})

    def measure(self, trials: Trials, fit: Fit) -> torch.Tensor:
        return cast("LinearUnmixing", trials.problem).distance(fit.answer, trials["truth"])


@hookimpl
def bench_register_metrics() -> list[Metric]:
    return [Distance()]
