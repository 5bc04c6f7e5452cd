"""Stored trials of a cell -> the values of a metric, failures included, and their estimate with its interval."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bench_core import stats

if TYPE_CHECKING:
    from bench_core.metrics import Metric

Values = NDArray[np.float64]

LEVEL = 0.95
FAILED = ("nan", "error", "timeout")
"""Statuses of trials that were attempted and failed."""


def attempted(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of the trials that ran, failed ones included; a skipped cell has none."""
    return rows.filter(pl.col("status") != "skipped")


def values_of(rows: pl.DataFrame, metric: Metric) -> Values:
    """Return the metric of every attempted trial in ``rows``, a failed one as ``value_of_failure`` says."""
    rows = attempted(rows)
    name = f"metric.{metric.name}"
    if name not in rows.columns:
        return np.full(len(rows), np.nan)
    failed = pl.col("status").is_in(FAILED)
    value = pl.when(failed).then(value_of_failure(metric)).otherwise(pl.col(name).fill_null(np.nan))
    return rows.select(value.cast(pl.Float64).alias("v"))["v"].to_numpy()


def value_of_failure(metric: Metric) -> float:
    """Return what a failed trial counts as: no success, infinitely bad, or (in a mean) NaN, which is never imputed."""
    return {"rate": 0.0, "mean": math.nan, "skewed": worst(metric)}[metric.kind]


def worst(metric: Metric) -> float:
    """Return the infinity that no value of ``metric`` is worse than."""
    return math.inf if metric.direction == "lower" else -math.inf


def estimate(metric: Metric, values: Values) -> stats.Interval:
    """Return the estimate of a metric with its 95 % interval: exact for rates, t for means, ranks for medians."""
    if metric.kind == "rate":
        known = values[~np.isnan(values)]  # a stored trial may lack a metric that was asked for later
        return stats.clopper_pearson(int(known.sum()), len(known), LEVEL)
    if metric.kind == "mean":
        return stats.student_t(values[np.isfinite(values)], LEVEL)
    return stats.median(values[~np.isnan(values)], LEVEL)


def budgets(rows: pl.DataFrame) -> dict[str, float]:
    """Return what the trials in ``rows`` spent together, by the name of the budget; where nothing is known, nothing."""
    names = [name for name in rows.columns if name.startswith("budget.")]
    spent: dict[str, Any] = {name.removeprefix("budget."): rows[name].sum() for name in names if rows[name].count()}
    return spent
