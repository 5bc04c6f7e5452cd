"""Suite x stored rows -> results: which row answers which trial, what is missing, what is derived, what is chosen."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from bench_core.adaptive import Reach, reaches
from bench_core.errors import BenchError, SuiteError
from bench_core.estimates import FAILED
from bench_core.metrics import DerivedMetric
from bench_core.overrides import override
from bench_core.plan import Cell, Plan, make_plan
from bench_core.selection import Selection, select
from bench_core.store import FOR_TABLES, Damage, Run, find_runs, no_rows
from bench_core.suite import Suite, load_suite
from bench_core.yamlfile import visible

if TYPE_CHECKING:
    from bench_core.metrics import Metric
    from bench_core.plugins import Plugins


@dataclass(frozen=True)
class Results:
    """The trials of a suite that are stored.

    Attributes:
        plan: what was asked for, with the hyper-parameters that are chosen so far.
        run: name of the run's folder.
        folder: where it is; None where nothing is stored, or where several folders are one.
        frame: a row per stored trial of the plan, sorted by cell and repeat; ``cell`` is the index of its cell and
            ``label`` its label there.
        stale: stored rows of the plan's trials that other code computed; kept, not used.
        environments: environment id -> environment.
        selections: how hyper-parameters are chosen, per label with ``select``.
        reaches: problem key -> how far its trials go, where the suite says ``until``.
        damaged: files that cannot be read; the next run sets them aside.
        set_aside: files that could not be read, which the run has renamed.
        older: labels whose reference results other code of the same declared version has computed.
        also: what the reader must know about where the rows come from.
    """

    plan: Plan
    run: str
    frame: pl.DataFrame
    stale: int
    environments: Mapping[str, Any]
    selections: tuple[Selection, ...] = ()
    reaches: Mapping[str, Reach] = field(default_factory=dict)
    damaged: tuple[Path, ...] = ()
    set_aside: tuple[Path, ...] = ()
    older: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    folder: Path | None = None

    @property
    def chosen(self) -> dict[str, Mapping[str, Any]]:
        """Label -> chosen point of its grid, for the labels whose selection is finished."""
        return _chosen(self.selections)

    def repeats(self, cell: int) -> range:
        """Return the repeats of a cell that run and are reported: all that are planned, or up to where it may stop."""
        planned = self.plan.cells[cell].repeats
        reach = self.reaches.get(self.plan.cells[cell].problem_key)
        adaptive = reach is not None and self.plan.cells[cell].split == "main"
        return planned[: reach.trials] if reach is not None and adaptive else planned

    def rows(self, cell: int) -> pl.DataFrame:
        """Return the rows of a cell that are reported, sorted by repeat."""
        start, end = np.searchsorted(self.frame["cell"].to_numpy(), [cell, cell + 1])
        rows = self.frame.slice(start, end - start)
        repeats = self.repeats(cell)
        return (
            rows if len(repeats) == len(self.plan.cells[cell].repeats) else rows.filter(pl.col("repeat") < len(repeats))
        )

    def missing(self, cell: int, *, retry_failed: bool = False) -> list[int]:
        """Return the repeats of a cell that have no row, or whose row lacks a metric that is now asked for."""
        rows = self.rows(cell)
        if rows.is_empty():
            return list(self.repeats(cell))
        incomplete = pl.any_horizontal(pl.col(f"metric.{name}").is_null() for name in self.plan.cells[cell].metrics)
        again = (pl.col("status") == "ok") & incomplete
        if retry_failed:
            again |= pl.col("status").is_in(FAILED)
        done = set(rows.filter(~again)["repeat"].to_list())
        return [repeat for repeat in self.repeats(cell) if repeat not in done]


def read_results(
    results: Path,
    plugins: Plugins,
    *,
    trials: int | None = None,
    only: Collection[str] = FOR_TABLES,
    reference: Callable[[str, int], Sequence[Run]] | None = None,
) -> tuple[list[Results], list[str]]:
    """Return the results that ``results`` means (see ``store.find_runs``), one per suite, and what is unreadable.

    Args:
        results: a folder.
        plugins: where names are looked up.
        trials: replaces every number of trials of the suites.
        only: columns to read, beside metrics and budgets.
        reference: name of a suite and seed -> runs with the rows of labels that have none in ``results``.

    Raises:
        BenchError: when there is nothing to read, or nothing of it can be read.
    """
    found, unreadable = [], []
    for run in find_runs(results):
        try:
            found.append(load_results(run, plugins, trials=trials, only=only, reference=reference))
        except BenchError as error:
            unknown = isinstance(error, SuiteError) and " unknown " in str(error)
            cure = "\n  if a plugin of yours offers it, name its folder by --plugin-dir" if unknown else ""
            unreadable.append(f"{error}{cure}")
    if not found:
        raise BenchError("\n".join(unreadable))
    return found, unreadable


def load_results(
    run: Run,
    plugins: Plugins,
    *,
    trials: int | None = None,
    only: Collection[str] = FOR_TABLES,
    reference: Callable[[str, int], Sequence[Run]] | None = None,
) -> Results:
    """Return the results of a run, for the suite that it was last run with; see ``read_results``."""
    run.check_suite()
    suite = override(load_suite(run.suite_file, stored=True), plugins, trials=trials)
    others = reference(suite.name, suite.seed) if reference else ()
    return stored(suite, plugins, run, device=run.device, only=only, reference=others)


def stored(
    suite: Suite,
    plugins: Plugins,
    run: Run | None,
    *,
    device: str,
    labels: Collection[str] | None = (),
    reference: Sequence[Run] = (),
    only: Collection[str] = FOR_TABLES,
    set_aside: bool = False,
) -> Results:
    """Return what ``run`` holds of ``suite``, hyper-parameters chosen as far as their holdout trials are there.

    Args:
        suite: what is asked for.
        plugins: where its names are looked up.
        run: None where nothing is stored.
        device: ``cpu`` or ``cuda``.
        labels: labels that are to run, which decides together with those that have run where problem cells may stop;
            None: all.
        reference: runs whose rows stand in for the cells of which ``run`` has none; what counts there is the declared
            version of the code, not its digest.
        only: columns to read, beside metrics and budgets.
        set_aside: see ``Run.rows``.
    """
    damage = Damage()
    lost: list[str] = []
    rows = run.rows(damage, only=only, set_aside=set_aside) if run else no_rows(only)
    unread = Damage()
    others = []
    for each in reference:
        others.append(each.rows(unread, only=only))
        lost += [f"Reference results left out, since they cannot be read: {path}." for path in unread.files]
    plan = make_plan(suite, plugins, device=device)
    selections: tuple[Selection, ...] = ()
    if plan.undecided:
        trying = replace(plan, cells=tuple(cell for cell in plan.cells if cell.split == "select"))
        tried = _answered(trying, plugins, rows, others).frame
        selections = select(trying, tried, {name: plugins.metrics.get(name) for name in suite.metrics})
        plan = make_plan(suite, plugins, device=device, chosen=_chosen(selections))
    answered = _answered(plan, plugins, rows, others)
    deciding = _deciding(plan, answered.frame) if suite.until else answered.frame
    coming = plan.labels if labels is None else labels
    environments: dict[str, Any] = {}
    for each in (*reference, *([run] if run else [])):
        environments |= each.environments()
    return Results(
        plan=plan,
        run=visible(run.name) if run else "",
        frame=answered.frame,
        stale=answered.stale,
        environments=environments,
        selections=selections,
        reaches=reaches(plan, deciding, plugins.metrics.get(suite.report.metric), coming),
        damaged=tuple(damage.files),
        older=answered.older,
        also=tuple(lost),
        folder=run.folder if run else None,
    )


def _deciding(plan: Plan, frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that decide where problem cells stop: no reference rows where there are others."""
    own = {plan.cells[index].problem_key for index in frame.filter(~pl.col("reference"))["cell"].unique()}
    cells = [index for index, cell in enumerate(plan.cells) if cell.problem_key in own]
    return frame.filter(~pl.col("reference") | ~pl.col("cell").is_in(cells))


@dataclass(frozen=True)
class _Answered:
    frame: pl.DataFrame
    stale: int
    older: tuple[str, ...]


def _answered(plan: Plan, plugins: Plugins, rows: pl.DataFrame, others: Sequence[pl.DataFrame]) -> _Answered:
    """Return the rows that answer the trials of ``plan``; those in ``others`` where ``rows`` has none for a cell."""
    frame, stale = match(plan, plugins, rows)
    frame = frame.with_columns(reference=pl.lit(value=False))
    if not others:
        return _Answered(frame, stale, ())
    frames = [frame]
    older: set[str] = set()
    for other in others:
        found, _ = match(plan, plugins, other, any_code=True)
        found = found.filter(~pl.col("cell").is_in(frame["cell"].unique().implode()))
        current = {(cell.method_digest, cell.problem_digest) for cell in plan.cells}
        for label, *digests in found.select("label", "method_digest", "problem_digest").unique().iter_rows():
            if tuple(digests) not in current:
                older.add(label)
        frames.append(found.with_columns(reference=pl.lit(value=True)))
    together = pl.concat(frames, how="diagonal").unique(["cell", "repeat"], keep="first").sort("cell", "repeat")
    return _Answered(together, stale, tuple(sorted(older)))


def _chosen(selections: Sequence[Selection]) -> dict[str, Mapping[str, Any]]:
    return {each.label: each.winner.choice for each in selections if each.winner is not None}


def match(plan: Plan, plugins: Plugins, rows: pl.DataFrame, *, any_code: bool = False) -> tuple[pl.DataFrame, int]:
    """Return the rows that answer the trials of ``plan``, with derived metrics, and how many other code computed.

    Those are left out but for ``any_code``.
    """
    usable, stale = _usable(plan, rows, any_code=any_code)
    frame = rows.drop("label", strict=False)[usable["at"]].with_columns(usable["cell"], usable["label"])
    return _with_derived(frame, plan, plugins), stale


def _usable(plan: Plan, rows: pl.DataFrame, *, any_code: bool) -> tuple[pl.DataFrame, int]:
    """Return which rows answer the trials of ``plan`` (at, cell, label), and how many trials other code computed."""
    # On a narrow table, since every step copies it: a million trials take hundreds of megabytes as they are.
    keys = rows.select("cell_id", "repeat", "method_digest", "problem_digest").with_row_index("at")
    found = keys.join(_wanted(plan), on="cell_id", how="inner", maintain_order="left")
    found = found.filter(pl.col("repeat") < pl.col("wanted_trials"))
    same = pl.col("method_digest").eq(pl.col("wanted_method")) & pl.col("problem_digest").eq(pl.col("wanted_problem"))
    current = pl.lit(any_code) | same
    stale = rows["trial_id"][found.filter(~current)["at"]].n_unique()
    return _newest(found.filter(current).select("at", "cell", "label", "repeat")), stale


def _newest(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the last row of each cell and repeat, sorted by both: --retry-failed appends and never rewrites."""
    key = rows["cell"].to_numpy() * 2**32 + rows["repeat"].to_numpy()
    order = np.argsort(key, kind="stable")  # quick on what is sorted in pieces, as batches are
    key = key[order]
    newest: pl.DataFrame = rows[order[np.append(key[1:] != key[:-1], True)[: key.size]]]
    return newest


def reader(plugins: Plugins, cell: Cell, metric: Metric) -> Callable[[Mapping[str, Any]], float | None]:
    """Return what reads ``metric`` off a fresh row of ``cell``, derived where need be; None where it is not there."""
    if not isinstance(metric, DerivedMetric):
        return lambda row: row.get(f"metric.{metric.name}")
    problem = plugins.problems.get(cell.problem)(**cell.problem_params)

    def read(row: Mapping[str, Any]) -> float | None:
        source = row.get(f"metric.{metric.source}")
        return None if source is None else float(metric.derive(problem, source))

    return read


def _wanted(plan: Plan) -> pl.DataFrame:
    """Return a row per cell of the plan. Labels of one configuration share their trials."""
    schema = {"cell_id": pl.String, "label": pl.String, "cell": pl.Int64, "wanted_trials": pl.Int64}
    return pl.DataFrame(
        [
            (cell.cell_id, cell.label, index, len(cell.repeats), cell.method_digest, cell.problem_digest)
            for index, cell in enumerate(plan.cells)
        ],
        schema={**schema, "wanted_method": pl.String, "wanted_problem": pl.String},
        orient="row",
    )


def _with_derived(frame: pl.DataFrame, plan: Plan, plugins: Plugins) -> pl.DataFrame:
    """Add what the suite's metrics need: absent measured columns as nulls, derived ones from their source."""
    offered = [plugins.metrics.get(name) for name in plan.suite.metrics]
    measured = {name for cell in plan.cells for name in cell.metrics}
    absent = [name for name in sorted(measured) if f"metric.{name}" not in frame.columns]
    frame = frame.with_columns(pl.lit(None, pl.Float64).alias(f"metric.{name}") for name in absent)
    for metric in offered:
        if isinstance(metric, DerivedMetric):
            frame = frame.with_columns(_derived(frame, plan, plugins, metric).alias(f"metric.{metric.name}"))
    return frame


def _derived(frame: pl.DataFrame, plan: Plan, plugins: Plugins, metric: DerivedMetric) -> pl.Expr:
    source = pl.col(f"metric.{metric.source}")
    value = pl.lit(None, pl.Float64)
    for key, indices in _cells_by_problem(plan).items():
        problem = plugins.problems.get(key[0])(**plan.cells[indices[0]].problem_params)
        if metric.needs <= problem.capabilities:
            derived = metric.derive(problem, source)
            value = pl.when(pl.col("cell").is_in(indices)).then(derived.cast(pl.Float64)).otherwise(value)
    return value


def _cells_by_problem(plan: Plan) -> dict[tuple[str, str], list[int]]:
    groups: dict[tuple[str, str], list[int]] = {}
    for index, cell in enumerate(plan.cells):
        groups.setdefault((cell.problem, cell.problem_key), []).append(index)
    return groups


def export(results: Results) -> pl.DataFrame:
    """Return the raw trials with parameters expanded to columns, sorted by problem cell, label, repeat.

    Holdout trials, on which hyper-parameters were chosen, come last: their ``split`` is ``select``.
    """
    plan = results.plan
    wide = pl.DataFrame(
        [{"cell": index, **_expanded(cell)} for index, cell in enumerate(plan.cells)], infer_schema_length=None
    )
    order = {key: position for position, key in enumerate(dict.fromkeys(cell.problem_key for cell in plan.cells))}
    places = pl.DataFrame({"cell": range(len(plan.cells)), "place": [order[cell.problem_key] for cell in plan.cells]})
    frame = results.frame.join(wide, on="cell", how="left").join(places, on="cell", how="left")
    frame = frame.sort("split", "place", "label", "cell", "repeat").drop("cell", "place")
    first = [name for name in frame.columns if "." not in name]
    groups = ("problem.", "method.", "metric.", "budget.", "path.")
    rest = [name for group in groups for name in sorted(frame.columns) if name.startswith(group)]
    return frame.select(*first, *rest)


def _expanded(cell: Cell) -> dict[str, Any]:
    return _as_columns("problem", cell.problem_params) | _as_columns("method", cell.method_params)


def _as_columns(prefix: str, params: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}.{name}": value for name, value in params.items()}


def labels(plan: Plan, names: Collection[str]) -> set[str]:
    """Return the labels that ``names`` mean: by label, or else every label of a method of that name."""
    chosen = set()
    for name in names:
        by_method = {label for label, method in plan.labels.items() if method == name}
        chosen |= {name} if name in plan.labels else by_method
    return chosen
