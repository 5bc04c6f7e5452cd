"""Summary -> what the plots of the page are drawn from, thinned so that a page stays small; the page says so."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench_core import stats
from bench_core.estimates import FAILED, LEVEL, worst

if TYPE_CHECKING:
    import polars as pl

    from bench_core.estimates import Sample
    from bench_core.metrics import Metric
    from bench_core.selection import Selection
    from bench_core.summary import Summary

PATH_POINTS = 60
"""Places at which a path's quartiles are shown, at most."""
PROFILE_POINTS = 200
"""Places at which a performance profile is shown, at most."""
FULL = 40
"""Cells that are drawn at so many places; a page of more cells has fewer places of each, so that it stays small."""
FEW = 20
"""Up to so many trials of a cell are shown one by one."""

Floats = NDArray[np.float64]


def number(value: Any, digits: int | None = None) -> float | int | str | None:
    """Return a number that JSON can say: null for NaN, ``inf`` and ``-inf`` as text; to ``digits`` where given."""
    if value is None or value != value:
        return None
    if isinstance(value, bool | int | np.integer):
        return int(value)
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return float(f"{value:.{digits}g}") if digits else float(value)


def numbers(values: Sequence[float] | Floats, digits: int = 5) -> list[float | int | str | None]:
    """Return a column of numbers, see ``number``."""
    return [number(value, digits) for value in np.asarray(values, dtype=np.float64).tolist()]


def thinned(count: int, points: int) -> NDArray[np.int64]:
    """Return at most ``points`` of the indices below ``count``, evenly spread, the first and the last among them.

    >>> thinned(5, 10).tolist(), thinned(101, 3).tolist()
    ([0, 1, 2, 3, 4], [0, 50, 100])
    """
    return np.unique(np.linspace(0, count - 1, min(count, points)).round().astype(np.int64))


def path_points(summary: Summary) -> int:
    """Return at how many places a path is shown, at most."""
    return max(20, min(PATH_POINTS, PATH_POINTS * FULL // max(1, len(summary.samples))))


def profile_points(summary: Summary) -> int:
    """Return at how many places a performance profile is shown, at most."""
    return max(40, min(PROFILE_POINTS, PROFILE_POINTS * FULL // max(1, len(summary.samples))))


def profiles(summary: Summary) -> list[dict[str, Any]]:
    """Return the performance profile of every cell under every metric that is no rate.

    A trial without a value reaches no tau: it stays in the denominator. Where a problem cell may stop at several looks,
    bands hold at all of them.
    """
    points = profile_points(summary)
    at = {key: stats.path_level(LEVEL, len(reach.looks)) for key, reach in summary.reaches.items()}
    return [
        {
            "metric": name,
            "key": key,
            "label": label,
            **_profile(sample.values[name], metric, points, at.get(key, LEVEL)),
        }
        for name, metric in summary.metrics.items()
        if metric.kind != "rate"
        for (key, label), sample in summary.samples.items()
        if len(sample.values.get(name, ())) and np.isfinite(sample.values[name]).any()
    ]


def _profile(values: Floats, metric: Metric, points: int, level: float) -> dict[str, Any]:
    whole = np.where(np.isnan(values), worst(metric), values)
    profile = stats.performance_profile(whole, direction=metric.direction, level=level)
    tau = np.asarray(profile.tau, dtype=np.float64)
    kept = thinned(len(tau), points)
    kept = kept[np.isfinite(tau[kept])]
    return {
        "tau": numbers(tau[kept]),
        "share": numbers(np.asarray(profile.share)[kept], 4),
        "low": numbers(np.asarray(profile.low)[kept], 4),
        "high": numbers(np.asarray(profile.high)[kept], 4),
        "n": len(values),
    }


def paths(summary: Summary) -> list[dict[str, Any]]:
    """Return, per cell, the quartiles of the error over its trials, against gradient steps and generated samples.

    Failed trials count as infinitely bad all along: a method is no better for the trials that it loses.
    """
    points = path_points(summary)
    return [
        {"key": key, "label": label, "n": len(sample.rows), **curves}
        for (key, label), sample in summary.samples.items()
        if (curves := _curves(sample, points))
    ]


def _curves(sample: Sample, points: int) -> dict[str, Any]:
    columns = ("path.step", "path.error")
    if not set(columns) <= set(sample.rows.columns):
        return {}
    stored = [
        (row, np.asarray(row["path.step"], dtype=np.float64), np.asarray(row["path.error"], dtype=np.float64))
        for row in sample.rows.iter_rows(named=True)
        if row["status"] not in FAILED and row["path.step"] and row["path.error"]
    ]
    if not stored:
        return {}
    lost = sum(status in FAILED for status in sample.rows["status"])
    curves = {"steps": _quartiles([(steps, error) for _, steps, error in stored], lost, points)}
    drawn = [(steps * each, error) for row, steps, error in stored if (each := _samples_per_step(row))]
    if len(drawn) == len(stored):
        curves["samples"] = _quartiles(drawn, lost, points)
    return curves


def _samples_per_step(row: Mapping[str, Any]) -> float:
    steps, samples = row.get("budget.gradient_steps"), row.get("budget.generated_samples")
    return samples / steps if steps and samples else 0.0


def _quartiles(curves: Sequence[tuple[Floats, Floats]], lost: int, points: int = PATH_POINTS) -> dict[str, Any]:
    """Return the quartiles over curves (where, error), each held from one of its places to the next."""
    first = curves[0][0]
    places = np.unique(np.concatenate([where for where, _ in curves]))
    places = places[places >= max(where[0] for where, _ in curves)]
    places = places[thinned(len(places), points)] if len(places) else first[-1:]
    held = [error[np.searchsorted(where, places, side="right") - 1] for where, error in curves]
    whole = np.vstack([*held, *[np.full(len(places), np.inf)] * lost])  # (trials, places)
    whole[np.isnan(whole)] = np.inf
    low, middle, high = np.quantile(whole, [0.25, 0.5, 0.75], axis=0, method="inverted_cdf")
    return {"x": numbers(places), "low": numbers(low, 4), "middle": numbers(middle, 4), "high": numbers(high, 4)}


def dots(summary: Summary) -> list[dict[str, Any]]:
    """Return every trial of the cells that have few, with its id; a failed trial has its status and no value."""
    return [
        {"metric": name, "key": key, "label": label, "trials": list(_trials(sample.rows, sample.values[name]))}
        for (key, label), sample in summary.samples.items()
        for name in summary.metrics
        if name in sample.values and 0 < len(sample.rows) <= FEW
    ]


def _trials(rows: pl.DataFrame, values: Floats) -> Iterator[list[Any]]:
    for trial, repeat, status, value in zip(rows["trial_id"], rows["repeat"], rows["status"], values, strict=True):
        yield [trial, repeat, status, None if status in FAILED else number(value, 5)]


def tuning(selection: Selection) -> dict[str, Any]:
    """Return every setting of a grid that was tried, with its score; the winner is marked once all are finished."""
    winner = selection.winner
    return {
        "label": selection.label,
        "metric": selection.metric,
        "direction": selection.direction,
        "grid": [[name, list(values)] for name, values in selection.grid.items()],
        "tried": [
            {
                "choice": [each.choice[name] for name in selection.grid],
                "score": number(each.score, 5),
                "failed": each.n_failed,
                "n": each.n_attempted,
                "chosen": each is winner,
            }
            for each in selection.candidates
            if each.n_attempted
        ],
    }
