"""Error and success of parameter recovery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from bench_core import hookimpl
from bench_core.metrics.base import DerivedMetric, MeasuredMetric, Metric

if TYPE_CHECKING:
    import torch

    from bench_core.problems import Problem, RecoveryProblem
    from bench_core.trials import Fit, Trials


class Error(MeasuredMetric):
    """Distance of the estimate from the truth, as the problem defines it; the median over trials is reported."""

    name = "error"
    kind = "skewed"
    direction = "lower"
    needs = frozenset({"recovery"})

    def measure(self, trials: Trials, fit: Fit) -> torch.Tensor:
        problem = cast("RecoveryProblem", trials.problem)
        return problem.error(fit.answer, trials["truth"])


class Success(DerivedMetric):
    """Whether the error is within the problem's threshold; the share of all attempted trials is reported."""

    name = "success"
    kind = "rate"
    direction = "higher"
    needs = frozenset({"recovery"})
    source = "error"

    def derive(self, problem: Problem, source: Any) -> Any:
        return cast("RecoveryProblem", problem).succeeded(source)


@hookimpl
def bench_register_metrics() -> list[Metric]:
    return [Error(), Success()]
