"""Results -> summary: an estimate with its interval per cell and metric, and the paired comparisons of a table."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from bench_core import stats
from bench_core.environment import hardware
from bench_core.estimates import FAILED, LEVEL, Sample, attempted, compare, estimate, values_of
from bench_core.estimates import paired as paired
from bench_core.metrics import DerivedMetric
from bench_core.results import Results

if TYPE_CHECKING:
    from bench_core.adaptive import Reach
    from bench_core.metrics import Metric
    from bench_core.plan import Cell
    from bench_core.plugins import Plugins
    from bench_core.selection import Selection


TUNING = "tuning"
"""Stands among unequal budgets where two labels were tuned at unequal cost."""


@dataclass(frozen=True)
class Tuning:
    """How much tuning stands behind a label."""

    settings: int
    trials: int
    """Holdout trials of each setting, those of all problem cells together."""


@dataclass(frozen=True)
class Entry:
    """One cell of the table: a label on a problem cell, under one metric."""

    problem: str
    problem_params: Mapping[str, Any]
    problem_key: str
    x: Any
    label: str
    method: str
    method_params: Mapping[str, Any]
    control: bool
    metric: str
    n_attempted: int
    n_failed: int
    failures: Mapping[str, int]
    """Status -> count, for the statuses that count as failures."""
    reasons: Mapping[str, int]
    """Reason of failure -> count."""
    examples: Mapping[str, str]
    """Reason of failure -> id of a trial that failed so."""
    skipped: str | None
    estimate: float
    low: float
    high: float
    level: float
    interval: str
    seconds: float
    budget: Mapping[str, float]
    """Mean per trial."""
    tuning: Tuning | None = None
    """None where the suite states the hyper-parameters."""
    unequal: frozenset[str] = frozenset()
    """Budgets that differ from the best label's, where both spend any; ``tuning`` where both were tuned."""
    verdict: str = ""
    """``best``, ``separated``, ``not separated``, or nothing."""
    seconds_by: Mapping[str, float] = field(default_factory=dict)
    """Hardware -> mean seconds per trial on it; ``seconds`` is NaN where there is more than one."""
    reference: bool = False
    """Whether the trials are the reference results that come with the program."""
    looks: int = 1
    """How many looks the problem cell has at which it may stop: its intervals and tests hold at any of them."""


@dataclass(frozen=True)
class Comparison:
    """Two labels on the trials that both have."""

    a: str
    b: str
    metric: str
    where: Mapping[str, Any]
    problem_key: str
    n_pairs: int
    n01: int
    n10: int
    test: str
    p_value_raw: float
    p_value: float
    difference: float
    low: float
    high: float
    separated: bool
    favours: str | None
    """The label that the test speaks for, whether or not it separates."""


@dataclass(frozen=True)
class Part:
    """What one problem cell, or one pair of labels in it, says about a claim."""

    where: Mapping[str, Any]
    verdict: Literal["supported", "contradicted", "inconclusive"]
    text: str
    """What was compared and measured there, as a line that needs no further context."""
    estimate: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Verdict:
    """What the results say about one claim of a suite."""

    id: str
    text: str
    source: str
    family: str
    form: str
    verdict: Literal["supported", "contradicted", "inconclusive"]
    expected: bool
    """False where the suite says ``expect: contradicted``: the source is known to be wrong."""
    decisive: bool
    """Whether it sets the exit code: not so for readings among ``alternatives`` and what is expected to fail."""
    published: float | str | None
    estimate: float
    low: float
    high: float
    n: int
    explanation: str
    """One sentence for a reader who has not seen the suite: what was found, by which interval or test."""
    hint: str = ""
    """What would decide it, with the assumption that this rests on; empty where it is decided."""
    parts: Sequence[Part] = ()
    readings: Sequence[Verdict] = ()
    """The verdicts on the readings of ``alternatives``."""
    exact: bool = False
    """Whether it follows from what was computed without trials: no interval, and no chance in the verdict."""


@dataclass(frozen=True)
class Summary:
    """What a report shows of one suite."""

    suite: str
    title: str
    source: str
    run: str
    metric: str
    metrics: Mapping[str, Metric]
    x: str | None
    entries: Sequence[Entry]
    comparisons: Sequence[Comparison]
    environments: Mapping[str, Any]
    samples: Mapping[tuple[str, str], Sample] = field(default_factory=dict, repr=False)
    """(problem key, label) -> the trials behind the table."""
    claims: Sequence[Verdict] = ()
    reaches: Mapping[str, Reach] = field(default_factory=dict)
    """Problem key -> how far its trials go, where the suite says ``until``."""
    older: Sequence[str] = ()
    """Labels whose reference results older code of the same declared version has computed."""
    also: Sequence[str] = ()
    """What else the reader must know about where the trials come from."""
    saved: int = 0
    """Trials that the rule of ``until`` made unnecessary."""
    selections: Sequence[Selection] = ()
    absent: Sequence[str] = field(default_factory=tuple)
    """Labels of which no trial is stored."""
    stale: int = 0

    @property
    def machines(self) -> list[str]:
        """The hardware on which trials of the table ran, most of the labels first."""
        counts = Counter(machine for entry in self.table() for machine in entry.seconds_by)
        return [machine for machine, _ in counts.most_common()]

    def table(self, metric: str | None = None) -> list[Entry]:
        """Return the entries under one metric (default: the suite's)."""
        return [entry for entry in self.entries if entry.metric == (metric or self.metric)]


def summarise(results: Results, plugins: Plugins, metric: str | None = None) -> Summary:
    """Summarise every metric of the suite, or ``metric`` alone, which then is the table's.

    Raises:
        SuiteError: when the suite has no metric of that name.
    """
    suite = results.plan.suite
    if metric is not None and metric not in suite.metrics:
        from bench_core.errors import SuiteError, suggest

        raise SuiteError(f"suite {suite.name!r} has no metric {metric!r}{suggest(metric, suite.metrics)}")
    metrics = {name: plugins.metrics.get(name) for name in ([metric] if metric else suite.metrics)}
    machines = {env_id: hardware(env) for env_id, env in results.environments.items()}
    cells = [_stored(cell, rows, metrics, machines) for cell, rows in _by_cell(results)]
    absent = [label for label in results.plan.labels if _nothing(cells, label)]
    shown = [stored for stored in cells if stored.cell.label not in absent]
    tuning = {each.label: _tuning(each) for each in results.selections}
    entries: list[Entry] = []
    comparisons: list[Comparison] = []
    for each in metrics.values():
        having = [stored for stored in shown if _exists(each, stored.cell)]
        compared = _compare_all(having, each, results.reaches)
        comparisons += compared
        entries += _judged(
            [
                _entry(stored, each, tuning.get(stored.cell.label), _looks(stored.cell, results.reaches))
                for stored in having
            ],
            compared,
            each,
        )
    return Summary(
        suite=suite.name,
        title=suite.title,
        source=suite.source,
        run=results.run,
        metric=metric or suite.report.metric,
        metrics=metrics,
        x=suite.report.x,
        entries=entries,
        comparisons=comparisons,
        environments=results.environments,
        older=results.older,
        also=results.also,
        reaches=results.reaches,
        saved=_saved(results),
        samples={(stored.cell.problem_key, stored.cell.label): stored.sample for stored in shown},
        selections=[selection for selection in results.selections if selection.n_attempted],
        absent=absent,
        stale=results.stale,
    )


@dataclass(frozen=True)
class _Stored:
    """A cell with its stored rows, sorted by repeat."""

    cell: Cell
    sample: Sample
    rows: pl.DataFrame
    seconds: Mapping[str, float]
    """Hardware -> mean seconds per trial."""


def _stored(cell: Cell, rows: pl.DataFrame, metrics: Mapping[str, Metric], machines: Mapping[str, str]) -> _Stored:
    ran = attempted(rows)
    values = {name: values_of(ran, metric) for name, metric in metrics.items() if _exists(metric, cell)}
    return _Stored(cell, Sample(cell.problem_key, cell.label, ran, values), rows, _seconds(ran, machines))


def _by_cell(results: Results) -> list[tuple[Cell, pl.DataFrame]]:
    return [(cell, results.rows(index)) for index, cell in enumerate(results.plan.cells) if cell.split == "main"]


def _exists(metric: Metric, cell: Cell) -> bool:
    """Return whether the problem of the cell has the metric."""
    return (metric.source if isinstance(metric, DerivedMetric) else metric.name) in cell.metrics


def _looks(cell: Cell, reaches: Mapping[str, Reach]) -> int:
    reach = reaches.get(cell.problem_key)
    return len(reach.looks) if reach is not None else 1


def _saved(results: Results) -> int:
    """Return the planned trials that will not run, of the labels that have run where a problem cell has stopped."""
    stopped = {key for key, reach in results.reaches.items() if reach.stopped}
    return sum(
        len(cell.repeats) - len(results.repeats(index))
        for index, cell in enumerate(results.plan.cells)
        if cell.split == "main" and cell.problem_key in stopped and len(results.rows(index))
    )


def _nothing(cells: Sequence[_Stored], label: str) -> bool:
    return all(stored.rows.is_empty() for stored in cells if stored.cell.label == label)


def _tuning(selection: Selection) -> Tuning:
    return Tuning(len(selection.candidates), max(each.n_planned for each in selection.candidates))


def _entry(stored: _Stored, metric: Metric, tuning: Tuning | None, looks: int) -> Entry:
    cell = stored.cell
    rows = stored.sample.rows
    interval = estimate(metric, stored.sample.values[metric.name], stats.path_level(LEVEL, looks))
    failed = rows.select("status", "reason", "trial_id").filter(pl.col("status").is_in(FAILED))
    counts = {status: int((failed["status"] == status).sum()) for status in FAILED}
    explained = failed.filter(pl.col("reason").is_not_null())
    reasons = explained["reason"]
    seconds = stored.seconds
    missed = np.isnan(stored.sample.values[metric.name]) & ~rows["status"].is_in(FAILED).to_numpy()
    budgets = {name.removeprefix("budget."): rows[name].mean() for name in rows.columns if "budget." in name}
    return Entry(
        problem=cell.problem,
        problem_params=cell.problem_params,
        problem_key=cell.problem_key,
        x=cell.x,
        label=cell.label,
        method=cell.method,
        method_params=cell.method_params,
        control=cell.control,
        metric=metric.name,
        n_attempted=len(rows) - int(missed.sum()),  # a stored trial may lack a metric that was asked for later
        n_failed=sum(counts.values()),
        failures={status: count for status, count in counts.items() if count},
        reasons=dict(Counter(reasons.to_list())),
        examples=dict(zip(reversed(reasons), reversed(explained["trial_id"]), strict=True)),
        skipped=cell.skipped,
        estimate=interval.estimate,
        low=interval.low,
        high=interval.high,
        level=LEVEL,  # over all looks together
        interval=interval.method,
        seconds=next(iter(seconds.values())) if len(seconds) == 1 else float("nan"),
        budget={name: float(mean) for name, mean in budgets.items() if isinstance(mean, int | float)},
        tuning=tuning,
        seconds_by=seconds,
        reference="reference" in rows.columns and bool(rows["reference"].any()),
        looks=looks,
    )


def _seconds(rows: pl.DataFrame, machines: Mapping[str, str]) -> dict[str, float]:
    """Return hardware -> mean seconds per trial: what different machines took is never averaged."""
    if "env_id" not in rows.columns:
        rows = rows.with_columns(env_id=pl.lit(None, pl.String))
    known = rows.select("seconds", "env_id").drop_nulls("seconds")
    totals: dict[str, list[tuple[float, int]]] = {}
    by_env = known.group_by("env_id", maintain_order=True).agg(pl.col("seconds").sum(), trials=pl.len())
    for env_id, seconds, trials in by_env.iter_rows():
        totals.setdefault(machines.get(env_id, f"unknown machine {env_id}"), []).append((seconds, trials))
    return {
        machine: math.fsum(seconds for seconds, _ in parts) / sum(trials for _, trials in parts)
        for machine, parts in totals.items()
    }


def _compare_all(cells: Sequence[_Stored], metric: Metric, reaches: Mapping[str, Reach]) -> list[Comparison]:
    """Compare all pairs of labels in all problem cells; Holm's adjustment is over all of them."""
    compared: list[tuple[_Stored, _Stored, stats.PairedTest]] = []
    for _, group in itertools.groupby(cells, key=lambda stored: stored.cell.problem_key):
        rivals = [stored for stored in group if not stored.cell.control and not stored.cell.skipped]
        for a, b in itertools.combinations(rivals, 2):
            looks = _looks(a.cell, reaches)
            test = compare(a.sample, b.sample, metric, stats.path_level(LEVEL, looks))
            compared.append((a, b, test._replace(p_value=stats.path_p_value(test.p_value, looks))))
    adjusted = stats.holm([test.p_value if test.n_pairs else float("nan") for _, _, test in compared])
    return [
        comparison(a.sample, b.sample, a.cell.problem_params, metric, test, float(p_value))
        for (a, b, test), p_value in zip(compared, adjusted, strict=True)
    ]


def comparison(
    a: Sample, b: Sample, where: Mapping[str, Any], metric: Metric, test: stats.PairedTest, p_value: float
) -> Comparison:
    """Return a paired test with its names and its adjusted p-value."""
    return Comparison(
        a=a.label,
        b=b.label,
        metric=metric.name,
        where=where,
        problem_key=a.problem_key,
        n_pairs=test.n_pairs,
        n01=test.n01,
        n10=test.n10,
        test=test.test,
        p_value_raw=test.p_value,
        p_value=p_value,
        difference=test.difference,
        low=test.low,
        high=test.high,
        separated=stats.separated(test, p_value),
        favours={"a": a.label, "b": b.label}.get(test.favours),
    )


def _judged(entries: Sequence[Entry], comparisons: Sequence[Comparison], metric: Metric) -> list[Entry]:
    """Mark the best label of each problem cell, and say of every other one whether it is separated from it."""
    by_pair = {(c.problem_key, frozenset((c.a, c.b))): c for c in comparisons}
    judged = []
    for _, group in itertools.groupby(entries, key=lambda entry: entry.problem_key):
        cell = list(group)
        rivals = [
            entry for entry in cell if not entry.control and entry.n_attempted and entry.estimate == entry.estimate
        ]
        if len(rivals) < 2:
            judged += cell
            continue
        sign = 1 if metric.direction == "higher" else -1
        best = max(rivals, key=lambda entry: sign * entry.estimate)
        judged += [_verdict(entry, best, by_pair) if entry in rivals else entry for entry in cell]
    return judged


def _verdict(entry: Entry, best: Entry, by_pair: Mapping[tuple[str, frozenset[str]], Comparison]) -> Entry:
    if entry is best:
        return replace(entry, verdict="best")
    compared = by_pair[(entry.problem_key, frozenset((entry.label, best.label)))]
    unequal = {name for name, spent in entry.budget.items() if spent and best.budget.get(name, spent) not in (0, spent)}
    if entry.tuning and best.tuning and entry.tuning != best.tuning:
        unequal.add(TUNING)
    # The best estimate may come from other trials than the pairs: only pairs that favour the best label separate it.
    separated = compared.separated and compared.favours == best.label
    return replace(entry, verdict="separated" if separated else "not separated", unequal=frozenset(unequal))


def as_json(summary: Summary) -> dict[str, Any]:
    """Return the summary as the JSON object of ``report --format json``; infinities and NaN become null."""
    rows = [
        {
            "problem": entry.problem,
            "problem_params": dict(entry.problem_params),
            "label": entry.label,
            "method": entry.method,
            "method_params": dict(entry.method_params),
            "metric": entry.metric,
            "control": entry.control,
            "n_attempted": entry.n_attempted,
            "n_failed": entry.n_failed,
            "failures": dict(entry.failures),
            "reasons": dict(entry.reasons),
            "examples": dict(entry.examples),
            "skipped": entry.skipped,
            "estimate": _finite(entry.estimate),
            "low": _finite(entry.low),
            "high": _finite(entry.high),
            "level": entry.level,
            "interval": entry.interval,
            "seconds": _finite(entry.seconds),
            "seconds_by": {machine: _finite(seconds) for machine, seconds in entry.seconds_by.items()},
            "reference": entry.reference,
            "looks": entry.looks,
            "budget": dict(entry.budget),
            "tuning": asdict(entry.tuning) if entry.tuning else None,
            "unequal_budget": sorted(entry.unequal),
            "verdict": entry.verdict or None,
        }
        for entry in summary.entries
    ]
    compared = [
        {key: _finite(value) for key, value in asdict(c).items() if key != "problem_key"} for c in summary.comparisons
    ]
    return {
        "suite": summary.suite,
        "run": summary.run,
        "env": dict(summary.environments),
        "rows": rows,
        "comparisons": compared,
        "selections": [_selection_as_json(selection) for selection in summary.selections],
        "notes": list(summary.also),
        "older": list(summary.older),
        "stale": summary.stale,
        "absent": list(summary.absent),
        "saved": summary.saved,
        "claims": [verdict_as_json(verdict) for verdict in summary.claims],
    }


def _selection_as_json(selection: Selection) -> dict[str, Any]:
    return {
        "label": selection.label,
        "metric": selection.metric,
        "trials": selection.trials,
        "grid": {name: list(values) for name, values in selection.grid.items()},
        "winner": dict(selection.winner.choice) if selection.winner else None,
        "candidates": [
            {**asdict(each), "score": _finite(each.score), "choice": dict(each.choice)} for each in selection.ranking
        ],
        "cost": {"trials": selection.n_attempted, "seconds": selection.seconds, "budget": selection.budget},
    }


def verdict_as_json(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as the JSON object of ``verify --json``; infinities and NaN become null."""
    told: dict[str, Any] = _jsonable(asdict(verdict))
    return told


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _jsonable(each) for key, each in value.items()}
    return [_jsonable(each) for each in value] if isinstance(value, list | tuple) else _finite(value)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value
