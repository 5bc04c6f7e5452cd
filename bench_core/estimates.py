"""Stored trials of a cell -> the values of a metric, failures included, and their estimate with its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
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
    skipped = rows["status"] == "skipped"
    return rows.filter(~skipped) if skipped.any() else rows


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


def estimate(metric: Metric, values: Values, level: float = LEVEL) -> stats.Interval:
    """Return the estimate of a metric with its interval: exact for rates, t for means, order statistics for medians."""
    if metric.kind == "rate":
        known = values[~np.isnan(values)]  # a stored trial may lack a metric that was asked for later
        return stats.clopper_pearson(int(known.sum()), len(known), level)
    if metric.kind == "mean":
        return stats.student_t(values[np.isfinite(values)], level)
    return stats.median(values[~np.isnan(values)], level)


@dataclass(frozen=True)
class Sample:
    """The attempted trials of one cell, sorted by repeat: what every estimate and every comparison is made of."""

    problem_key: str
    label: str
    rows: pl.DataFrame
    """As stored: ``trial_id``, ``repeat``, ``status``, ``seconds``, ``path.*``, …"""
    values: Mapping[str, Values]
    """Metric -> one value per row, failed trials as ``value_of_failure`` says."""

    @cached_property
    def repeats(self) -> NDArray[np.int64]:
        """The repeats of the trials, ascending."""
        return self.rows["repeat"].to_numpy()

    @cached_property
    def digests(self) -> NDArray[np.uint64]:
        """Hash of each trial's data; 0 where it failed before its data were digested."""
        known = self.rows["data_digest"]
        return known.hash(seed=0).set(known.is_null(), 0).to_numpy()

    @cached_property
    def seeds(self) -> set[int]:
        """Root seeds of the trials: one, as a rule."""
        return set(self.rows["seed"].unique()) if "seed" in self.rows.columns else set()

    def first(self, trials: int) -> Sample:
        """Return the trials whose repeat is below ``trials``."""
        kept = int((self.rows["repeat"] < trials).sum())
        values = {name: each[:kept] for name, each in self.values.items()}
        return Sample(self.problem_key, self.label, self.rows.head(kept), values)


def paired(a: Sample, b: Sample, metric: str) -> tuple[Values, Values]:
    """Return the values of two cells on the trials that both have, on the same data, shape ``(n_pairs,)`` each.

    Trials that failed before their data were digested count, provided that the root seed is the same: their data follow
    from the same stream. Trials without a value (NaN: a failure under a metric that is a mean) do not.
    """
    left, right, seen, seen_b = a.values[metric], b.values[metric], a.digests, b.digests
    if not np.array_equal(a.repeats, b.repeats):
        _, first, second = np.intersect1d(a.repeats, b.repeats, assume_unique=True, return_indices=True)
        left, right, seen, seen_b = left[first], right[second], seen[first], seen_b[second]
    unknown = (seen == 0) | (seen_b == 0)
    same = (seen == seen_b) & ~unknown | (unknown if a.seeds == b.seeds else False)
    kept = same & ~np.isnan(left) & ~np.isnan(right)
    return left[kept], right[kept]


def compare(a: Sample, b: Sample, metric: Metric, level: float = LEVEL) -> stats.PairedTest:
    """Return the paired test of two cells under a metric, with its interval at ``level``."""
    left, right = paired(a, b, metric.name)
    if metric.kind == "rate":
        return stats.mcnemar_exact(left, right, level)
    if metric.kind == "mean":
        return stats.permutation(left, right, direction=metric.direction, level=level)
    return stats.wilcoxon(left, right, direction=metric.direction, level=level)


def budgets(rows: pl.DataFrame) -> dict[str, float]:
    """Return what the trials in ``rows`` spent together, by the name of the budget; where nothing is known, nothing."""
    names = [name for name in rows.columns if name.startswith("budget.")]
    spent: dict[str, Any] = {name.removeprefix("budget."): rows[name].sum() for name in names if rows[name].count()}
    return spent
