"""new_metric: regret in likelihood, to start a metric of your own from."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from bench_core import Fit, Metric, Trials, hookimpl
from bench_core.metrics import MeasuredMetric

if TYPE_CHECKING:
    import torch

    from bench_core.problems import RecoveryProblem


class NewMetric(MeasuredMetric):
    """Mean log-density of the data under the truth minus that under the estimate; below 0 where the fit is closer."""

    name = "new_metric"
    # rate: 0 or 1, with an exact binomial interval; mean: a mean with a t interval; skewed: a median, for heavy tails.
    kind = "skewed"
    direction = "lower"
    # What a problem must have; the metric does not exist for the others.
    needs = frozenset({"recovery", "log_density"})

    def measure(self, trials: Trials, fit: Fit) -> torch.Tensor:
        # One number per trial, (B,): reduce over the axes of a trial only.
        model, y = cast("RecoveryProblem", trials.problem), trials["observed"]  # y: (B, m, d)
        return (model.log_density(trials["truth"], y) - model.log_density(fit.answer, y)).mean(-1)


@hookimpl
def bench_register_metrics() -> list[Metric]:
    return [NewMetric()]
