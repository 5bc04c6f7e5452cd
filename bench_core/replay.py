"""One stored trial, run again alone and compared with its row."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from bench_core import NUMERICS_VERSION
from bench_core.environment import choose_device
from bench_core.errors import BenchError
from bench_core.execute.batch import Row, Setting
from bench_core.execute.executor import Finished, Started
from bench_core.metrics import MeasuredMetric, ReportedMetric
from bench_core.plan import WIDTHS, Cell, Job, cell_of
from bench_core.store import Damage, Run, all_runs
from bench_core.suite import load_suite

if TYPE_CHECKING:
    from bench_core.plugins import Plugins

RTOL = 1e-3
"""How much a number may differ, relatively, on another device or in another environment."""
DECISIVE = ("torch", "device", "cuda", "cpu_capability")
"""What an environment must share for a trial to give the same bits."""


@dataclass(frozen=True)
class Difference:
    """A column in which the replayed row differs from the stored one."""

    column: str
    stored: Any
    replayed: Any


@dataclass(frozen=True)
class Replay:
    """A trial, as it was stored and as it came out now.

    Attributes:
        run: where it is stored.
        stored: its row.
        replayed: the row that it gave now.
        rtol: how much a number may differ, relatively; 0 means the same bits.
        compared: the columns that were compared.
        differences: those in which the rows differ.
        notes: what else is not as it was: code, environment.
    """

    run: Run
    stored: Row
    replayed: Row
    rtol: float
    compared: tuple[str, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]

    @property
    def match(self) -> bool:
        """Whether the trial gave what is stored."""
        return not self.differences

    @property
    def path(self) -> Iterator[tuple[int, float, float]]:
        """Step, loss and error of every recorded step."""
        columns = (self.replayed.get(f"path.{name}") or [] for name in ("step", "loss", "error"))
        return zip(*columns, strict=True)


@dataclass(frozen=True)
class _Stored:
    """A stored row of a trial, the run that holds it, and the cell that it comes from, by the plugins of now."""

    run: Run
    row: Row
    cell: Cell
    timeout: float

    @property
    def current(self) -> bool:
        """Whether the code that computed it is that of now."""
        return not list(_changed_code(self.row, self.cell))


def find_rows(results: Path, trial_id: str, others: Sequence[Run] = ()) -> list[tuple[Run, Row]]:
    """Return the stored rows of a trial in all runs of ``results``, the newest first, and then in ``others``.

    Raises:
        BenchError: when no run holds it.
    """
    damage = Damage()
    total, damaged = 0, 0
    found: list[tuple[Run, Row]] = []
    own = _runs(results, others)
    for run in (*own, *others):
        rows = run.rows(damage)
        total += len(rows) if run in own else 0
        damaged += len(damage.files)
        same = rows.filter(pl.col("trial_id") == trial_id).reverse()
        found += [(run, _known(row)) for row in same.iter_rows(named=True)]
    if found:
        return found
    unread = f" ({damaged} files of rows are damaged and were not read)" if damaged else ""
    elsewhere = ", nor among the reference results" if others else ""
    raise BenchError(
        f"no trial {trial_id!r} is among the {total} that {results} holds{unread}{elsewhere}; "
        "`bench export` writes the ids of all trials"
    )


def _runs(results: Path, others: Sequence[Run]) -> list[Run]:
    try:
        return all_runs(results)
    except BenchError:
        if not others:
            raise
        return []


def _known(row: Row) -> Row:
    return {name: value for name, value in row.items() if value is not None}


def replay(
    results: Path,
    trial_id: str,
    plugins: Plugins,
    *,
    rtol: float | None = None,
    trace: bool = False,
    data: Path | None = None,
    others: Sequence[Run] = (),
) -> Replay:
    """Run a stored trial again: alone, at the width and in the slot that it had.

    Of several rows the newest counts that the code of now computed, as in every table.

    Args:
        results: where it is stored.
        trial_id: which one.
        plugins: the methods and problems of now.
        rtol: how much a number may differ, relatively. None: nothing at all where the environment is the same and
            on a CPU, else ``RTOL``.
        trace: record loss and error of every step.
        data: folder of data sets.
        others: further runs, where it may be stored, too.

    Raises:
        BenchError: when it is not stored, was skipped, or its plugin is not there.
    """
    rows = [_stored(run, row, plugins) for run, row in find_rows(results, trial_id, others)]
    stored = next((each for each in rows if each.current), rows[0])
    run, row, cell = stored.run, stored.row, stored.cell
    job = Job(cell, (row["repeat"],), row["batch_size"])
    facts, again = _run(job, plugins, Setting(cell.device, data, None, trace=trace), stored.timeout)
    elsewhere = list(_changed_environment(run, row, facts))
    if rtol is None:
        rtol = RTOL if cell.device != "cpu" or elsewhere else 0.0
    compared = _columns(row, again, cell, exact=not rtol)
    differences = [
        Difference(name, row.get(name), again.get(name)) for name in compared if not _same(name, row, again, rtol)
    ]
    notes = [*_changed_code(row, cell), *elsewhere, *_changed_reason(row, again)]
    return Replay(run, row, again, rtol, tuple(compared), tuple(differences), tuple(notes))


def _stored(run: Run, row: Row, plugins: Plugins) -> _Stored:
    if row.get("status") == "skipped":
        raise BenchError(f"trial {row['trial_id']} never ran: it was skipped, since {row.get('reason')}")
    spec = _checked_spec(run, row)
    run.check_suite()
    suite = load_suite(run.suite_file, stored=True)
    device = "cpu" if row["device"] == "cpu" else choose_device("auto")
    names = [name.removeprefix("metric.") for name in row if name.startswith("metric.")]
    # In the suite's order, in which they were digested.
    order = {name: place for place, name in enumerate(suite.metrics)}
    known = [name for name in names if isinstance(plugins.metrics.items.get(name), MeasuredMetric | ReportedMetric)]
    measured = sorted(known, key=lambda name: (order.get(name, len(order)), name))
    return _Stored(run, row, cell_of(spec, suite, plugins, device=device, measured=measured), suite.timeout)


def _checked_spec(run: Run, row: Row) -> dict[str, Any]:
    """Return the spec of a row that a run can have written: rows may come from anywhere."""
    needed = {"problem": str, "problem_params": dict, "method": str, "method_params": dict, "seed": int, "split": str}
    texts = ("device", "env_id", "method_version", "method_digest", "problem_version", "problem_digest")
    try:
        spec = json.loads(row["spec"])
        width, repeat = row["batch_size"], row["repeat"]
        sound = all(isinstance(spec[name], kind) for name, kind in needed.items())
        sound = sound and all(isinstance(row[name], str) for name in texts)
        sound = sound and 1 <= width <= max(map(max, WIDTHS.values())) and row["slot"] == repeat % width >= 0
    except (KeyError, TypeError, ValueError, RecursionError):
        sound = False
    if not sound:
        raise BenchError(f"the row of trial {row['trial_id']} in {run.folder} is not one that a run has written")
    return dict(spec)


def _run(job: Job, plugins: Plugins, setting: Setting, timeout: float) -> tuple[Mapping[str, Any], Row]:
    """Run the job in a process of its own, which a method may bring down, as it may have done before."""
    from bench_core.execute.processes import Processes

    facts: Mapping[str, Any] = {}
    with closing(Processes(plugins.sources, setting, timeout, 1).run([job])) as events:
        for event in events:
            if isinstance(event, Started):
                facts = event.facts
            elif isinstance(event, Finished):
                return facts, _known(event.rows[0])
    raise AssertionError("a job that runs to its end gives its rows")


def _changed_code(row: Row, cell: Cell) -> Iterator[str]:
    now = {
        "method_version": cell.method_version,
        "method_digest": cell.method_digest,
        "problem_version": cell.problem_version,
        "problem_digest": cell.problem_digest,
    }
    numerics = json.loads(row["spec"]).get("numerics")
    if numerics != NUMERICS_VERSION:
        yield f"the shared numeric routines are now version {NUMERICS_VERSION}; the trial ran with {numerics}"
    for what, code in (("method", "the code"), ("problem", "the code, or that of the metrics,")):
        if row[f"{what}_version"] != now[f"{what}_version"]:
            yield f"{row[what]} is now version {now[f'{what}_version']}; the trial ran with {row[f'{what}_version']}"
        elif row[f"{what}_digest"] != now[f"{what}_digest"]:
            yield f"{code} of {row[what]} has changed since the trial ran"


def _changed_environment(run: Run, row: Row, facts: Mapping[str, Any]) -> Iterator[str]:
    environment = run.environments().get(row["env_id"])
    if environment is None:
        yield "the environment of the trial is not known"
        return
    for name in DECISIVE:
        if environment.get(name) != facts.get(name):
            yield f"{name} is {facts.get(name)}; the trial ran with {environment.get(name)}"
    if row["device"] != "cpu" and facts.get("device") == "cpu":
        yield "a GPU draws other noise than a CPU, so that a method that draws noise gives other numbers here"


def _changed_reason(row: Row, again: Row) -> Iterator[str]:
    """Yield the other words of the same failure: it may name an address, or how much memory there is."""
    if row["status"] == again["status"] and row.get("reason") != again.get("reason"):
        yield f"the reason was {row.get('reason')!r} and is {again.get('reason')!r}"


def _columns(row: Row, again: Row, cell: Cell, *, exact: bool) -> list[str]:
    """Return what must agree; data and path only where nothing may differ: rounding alone changes a loss near 0."""
    names = ["status", *(["data_digest"] if exact else []), *(f"metric.{name}" for name in cell.metrics)]
    groups = ("budget.", *(["path."] if exact and "path.step" in row else []))
    found = [name for name in [*row, *again] if name.startswith(groups) or name in names]
    return list(dict.fromkeys(found))


def _same(name: str, row: Row, again: Row, rtol: float) -> bool:
    stored, replayed = row.get(name), again.get(name)
    if name.startswith("path.") and stored is not None and replayed is not None:
        where = {step: index for index, step in enumerate(again["path.step"])}
        chosen = [replayed[where[step]] if step in where else None for step in row["path.step"]]
        return all(_equal(a, b, rtol) for a, b in zip(stored, chosen, strict=True))
    return _equal(stored, replayed, rtol)


def _equal(a: Any, b: Any, rtol: float) -> bool:
    if not (isinstance(a, float) and isinstance(b, float)):
        return bool(a == b)
    if math.isnan(a) or math.isnan(b) or not rtol:
        return a == b or (math.isnan(a) and math.isnan(b))
    return math.isclose(a, b, rel_tol=rtol)
