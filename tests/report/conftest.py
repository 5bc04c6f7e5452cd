"""Summaries made of nothing but numbers: with every kind of row, and with names that want to be code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl
import pytest

from bench_core import estimates
from bench_core.estimates import FAILED, Sample, estimate, value_of_failure
from bench_core.metrics import Metric, ReportedMetric
from bench_core.report.html import HtmlFormat
from bench_core.selection import Candidate, Selection
from bench_core.summary import Comparison, Entry, Part, Summary, Tuning, Verdict, _judged, comparison

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "<b>bold</b>",
    "$\\alpha$ %{y} &lt;i&gt;",
    "_hid\u202eden\x1b[31m\x00",
    "__proto__",
)
STEPS = (0, 1, 10, 100, 1000)
MACHINE, OTHER = "abacus, 1 thread", f"abacus {HOSTILE[2]}, 9 threads"


def make_metric(name_: str, kind_: Any, direction_: Any) -> Metric:
    """Return a metric of that name."""

    class Made(ReportedMetric):
        name = name_
        kind = kind_
        direction = direction_

    return Made()


SUCCESS, ERROR = make_metric("success", "rate", "higher"), make_metric("error", "skewed", "lower")


def make_rows(errors: np.ndarray, failed: Mapping[int, tuple[str, str]], *, key: str, samples: int) -> pl.DataFrame:
    """Return stored rows of a cell; ``failed`` says which repeats ended how and why."""
    n = len(errors)
    paths = [None if i in failed else [float(e * (2 + 8 / (1 + step))) for step in STEPS] for i, e in enumerate(errors)]
    return pl.DataFrame(
        {
            "trial_id": [f"{abs(hash(key)) % 16**8:08x}{i:04x}" for i in range(n)],
            "repeat": range(n),
            "status": [failed[i][0] if i in failed else "ok" for i in range(n)],
            "reason": [failed[i][1] if i in failed else None for i in range(n)],
            "seconds": np.linspace(0.01, 0.03, n),
            "seed": [7] * n,
            "env_id": ["e1"] * n,
            "data_digest": [f"d{i}" for i in range(n)],
            "path.step": [None if i in failed else list(STEPS) for i in range(n)],
            "path.error": paths,
            "budget.gradient_steps": [1000] * n,
            "budget.generated_samples": [samples] * n,
            "metric.error": [None if i in failed else float(e) for i, e in enumerate(errors)],
        },
        schema_overrides={"reason": pl.String, "path.step": pl.List(pl.Int64), "path.error": pl.List(pl.Float64)},
    )


def make_entry(rows: pl.DataFrame, values: np.ndarray, metric: Metric, label: str, where: Mapping[str, Any]) -> Entry:
    """Return the entry that these rows and values come to."""
    bad = rows.filter(pl.col("status").is_in(FAILED))
    interval = estimate(metric, values)
    return Entry(
        problem="made",
        problem_params=dict(where),
        problem_key=repr(where),
        x=where.get("m"),
        label=label,
        method="method",
        method_params={"lr": 0.1, "iterate": "last"},
        control=label.startswith("control"),
        metric=metric.name,
        n_attempted=len(rows),
        n_failed=len(bad),
        failures=dict(Counter(bad["status"].to_list())),
        reasons=dict(Counter(bad["reason"].to_list())),
        examples=dict(zip(bad["reason"], bad["trial_id"], strict=True)),
        skipped=None,
        estimate=interval.estimate,
        low=interval.low,
        high=interval.high,
        level=interval.level,
        interval=interval.method,
        seconds=float(np.mean(rows["seconds"].to_numpy())),
        budget={"gradient_steps": 1000.0, "generated_samples": 5e4},
        tuning=Tuning(4, 40) if label == "tuned" else None,
        seconds_by={MACHINE: float(np.mean(rows["seconds"].to_numpy()))},
    )


def make_summary(
    labels: Sequence[str] = ("plain", "tuned", "control"),
    places: Sequence[Any] = (50, 100, 200),
    *,
    trials: int = 30,
    failures: Mapping[int, tuple[str, str]] | None = None,
    metrics: Sequence[Metric] = (SUCCESS, ERROR),
    **changes: Any,
) -> Summary:
    """Return a summary of ``len(labels) * len(places)`` cells under a rate and an error (which has that order)."""
    rng = np.random.default_rng(0)
    rate, error = metrics
    samples: dict[tuple[str, str], Sample] = {}
    entries: list[Entry] = []
    comparisons: list[Comparison] = []
    for m in places:
        where = {"d": 3, "m": m}
        own = {}
        for k, label in enumerate(labels):
            lost = failures or {} if k == 0 else {}
            errors = rng.lognormal(-1 + 0.4 * k, 0.5, trials)
            rows = make_rows(errors, lost, key=f"{label}{m}", samples=50 * (k + 1) * 1000 if k != 1 else 0)
            whole = np.array([value_of_failure(error) if i in lost else e for i, e in enumerate(errors)])
            values = {rate.name: (whole < 0.5).astype(float), error.name: whole}
            own[label] = samples[repr(where), label] = Sample(repr(where), label, rows, values)
            entries += [make_entry(rows, values[metric.name], metric, label, where) for metric in metrics]
        rivals = [label for label in labels if not label.startswith("control")]
        for a, b in combinations(rivals, 2):
            comparisons += [compare(own[a], own[b], metric, where) for metric in metrics]
    return Summary(
        **{
            "suite": "made",
            "title": "Made of nothing",
            "source": "Nobody, Fig. 0",
            "run": "20260101T000000Z-s7-cpu",
            "metric": rate.name,
            "metrics": {metric.name: metric for metric in metrics},
            "x": "m",
            "entries": judged(entries, comparisons, metrics),
            "comparisons": comparisons,
            "environments": {"e1": {"cpu": "abacus", "torch": "2.0", "packages": {"numpy": "2.0"}}, "e2": {"cpu": "x"}},
            "samples": samples,
            **changes,
        }
    )


def judged(entries: Sequence[Entry], comparisons: Sequence[Comparison], metrics: Sequence[Metric]) -> list[Entry]:
    """Return the entries by metric, with the best of each problem cell marked and the others held against it."""
    return [
        entry
        for metric in metrics
        for entry in _judged(
            [entry for entry in entries if entry.metric == metric.name],
            [each for each in comparisons if each.metric == metric.name],
            metric,
        )
    ]


def compare(a: Sample, b: Sample, metric: Metric, where: Mapping[str, Any]) -> Comparison:
    """Return the paired test of two cells, not adjusted."""
    test = estimates.compare(a, b, metric)
    return comparison(a, b, where, metric, test, test.p_value)


def make_claim(text: str, verdict: Any = "supported", **changes: Any) -> Verdict:
    """Return the verdict on a claim, with a part."""
    part = Part({"m": 50}, verdict, f"part of {text}", 0.1, 0.05, 0.2, 30)
    given: dict[str, Any] = {
        "id": "a-claim",
        "text": text,
        "source": "Section 1",
        "family": "primary",
        "form": "better",
        "verdict": verdict,
        "expected": True,
        "decisive": True,
        "published": 0.25,
        "estimate": 0.1,
        "low": 0.05,
        "high": 0.2,
        "n": 30,
        "explanation": "because of that",
        "parts": [part],
        **changes,
    }
    return Verdict(**given)


def make_selection(label: str) -> Selection:
    """Return the finished selection of a label over four settings, one of which failed altogether."""
    grid: dict[str, list[Any]] = {"lr": [0.1, 0.3], "iterate": ["last", "average"]}
    scores = iter((0.3, 0.2, float("inf"), 0.4))
    return Selection(
        label,
        "error",
        "lower",
        grid,
        20,
        tuple(
            Candidate({"lr": lr, "iterate": how}, next(scores), 40, 40, 0, {}, {}, 1.5, {"gradient_steps": 4e4})
            for lr in grid["lr"]
            for how in grid["iterate"]
        ),
    )


@pytest.fixture(scope="session")
def made() -> Callable[..., Summary]:
    """Return ``made(labels, places, trials=…, failures=…, metrics=…, **fields)``, which makes a summary."""
    return make_summary


@pytest.fixture(scope="session")
def forty() -> Mapping[str, bytes]:
    """The files of the report of a suite of 40 cells."""
    labels = [f"label{i}" for i in range(7)] + ["control"]
    return files(make_summary(labels, (50, 100, 200, 400, 800), trials=200))


@pytest.fixture(scope="session")
def hostile_files(hostile: Summary) -> Mapping[str, bytes]:
    """The files of the report of ``hostile``."""
    return files(hostile)


def files(summary: Summary) -> Mapping[str, bytes]:
    """Return the report of a suite; in place of a figure, which test_figures looks at, it has the metric's name."""
    with patch("bench_core.report.figures.draw", lambda _, metric: dict.fromkeys(("svg", "pdf"), metric.encode())):
        return HtmlFormat().files([summary])


@pytest.fixture(scope="session")
def hostile() -> Summary:
    """A summary in which everything that a stranger can name is named to do harm.

    The label ``tuned`` ran on another machine, too, and ``__proto__`` nowhere else; ``control`` was not run here.
    """
    bad = HOSTILE[0]
    summary = make_summary(
        (*HOSTILE, "tuned", "control"),
        (50, 100),
        trials=15,
        failures={0: ("error", f"boom {HOSTILE[1]}\n\x1b[2J"), 3: ("nan", bad)},
        suite="made",
        title=f"Title {HOSTILE[1]}",
        source=f"Source {bad}\u2028\u202e",
        claims=[
            make_claim(f"Claim {bad}"),
            make_claim("Wrong", "contradicted", expected=False, decisive=False, published=f"about {HOSTILE[2]}"),
            make_claim("Two ways", "inconclusive", readings=[make_claim(f"Reading {HOSTILE[2]}")], hint="more trials"),
        ],
        selections=[make_selection("tuned")],
        environments={"e1": {bad: bad, "packages": {HOSTILE[2]: "1"}}, "e2": {"cpu": "x"}},
    )
    return replace(summary, entries=[elsewhere(entry) for entry in summary.entries])


def elsewhere(entry: Entry) -> Entry:
    """Return the entry as if some labels had run on another machine, and some had not run here."""
    if entry.label == "__proto__":
        return replace(entry, seconds=2.0, seconds_by={OTHER: 2.0})
    if entry.label == "tuned":
        return replace(entry, seconds=float("nan"), seconds_by={**entry.seconds_by, OTHER: 1.0})
    return replace(entry, reference=entry.control)
