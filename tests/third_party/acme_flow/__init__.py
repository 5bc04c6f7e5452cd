"""Waiting times: a problem, a method and a metric of a package that the harness has never heard of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from bench_core import Fit, Method, Problem, Trials, hookimpl
from bench_core.metrics import MeasuredMetric, Metric

if TYPE_CHECKING:
    import numpy as np
    import torch

    from bench_core.seeds import Streams


class Delay(Problem):
    """Find the mean of an exponential distribution from a few waiting times."""

    name = "acme_delay"
    capabilities = frozenset({"acme_delay"})

    m: int = Field(50, ge=2, le=1_000_000)
    """Observed waiting times."""

    def draw(self, streams: Streams, folder: Path | None) -> Mapping[str, np.ndarray]:
        import numpy as np

        rng = streams.numpy("data")
        truth = np.exp(rng.standard_normal())
        return {"truth": np.asarray(truth), "observed": truth * rng.standard_exponential(self.m)}


class Quantile(Method):
    """Read the mean off one quantile of the data."""

    name = "acme_quantile"
    needs = frozenset({"acme_delay"})

    q: float = Field(0.5, gt=0, lt=1)
    """Share of the waiting times below the quantile."""

    def fit(self, trials: Trials) -> Fit:
        quantile = trials["observed"].quantile(self.q, dim=-1)  # (B,)
        return Fit(answer=quantile / -math.log1p(-self.q), budget={"quantiles": 1})


class LogRatio(MeasuredMetric):
    """Distance of the estimated mean from the true one on a log scale."""

    name = "acme_log_ratio"
    kind = "skewed"
    direction = "lower"
    needs = frozenset({"acme_delay"})

    def measure(self, trials: Trials, fit: Fit) -> torch.Tensor:
        return (fit.answer / trials["truth"]).log().abs()


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [Quantile]


@hookimpl
def bench_register_problems() -> list[type[Problem]]:
    return [Delay]


@hookimpl
def bench_register_metrics() -> list[Metric]:
    return [LogRatio()]
