"""One stored trial, run again alone and compared with its row."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from bench_core.environment import choose_device
from bench_core.errors import BenchError
from bench_core.execute.batch import Row, Setting
from bench_core.execute.executor import Finished, Started
from bench_core.plan import Cell, Job, cell_of
from bench_core.store import Run, all_runs
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


def find_trial(results: Path, trial_id: str) -> tuple[Run, Row]:
    """Return the newest row of a trial and the run that holds it, the newest of all runs in ``results``.

    Raises:
        BenchError: when no run holds it.
    """
    runs = all_runs(results)
    total = 0
    for run in runs:
        rows = run.rows()
        total += len(rows)
        found = rows.filter(pl.col("trial_id") == trial_id)
        if len(found):
            return run, {name: value for name, value in found.row(-1, named=True).items() if value is not None}
    raise BenchError(
        f"no trial {trial_id!r} is among the {total} that {results} holds; `bench export` writes the ids of all trials"
    )


def replay(
    results: Path,
    trial_id: str,
    plugins: Plugins,
    *,
    rtol: float | None = None,
    trace: bool = False,
    data: Path | None = None,
) -> Replay:
    """Run a stored trial again: alone, at the width and in the slot that it had.

    Args:
        results: where it is stored.
        trial_id: which one.
        plugins: the methods and problems of now.
        rtol: how much a number may differ, relatively. None: nothing at all where the environment is the same and
            on a CPU, else ``RTOL``.
        trace: record loss and error of every step.
        data: folder of data sets.

    Raises:
        BenchError: when it is not stored, was skipped, or its plugin is not there.
    """
    run, row = find_trial(results, trial_id)
    if row["status"] == "skipped":
        raise BenchError(f"trial {trial_id} never ran: it was skipped, since {row['reason']}")
    suite = load_suite(run.suite_file, stored=True)
    device = row["device"] if row["device"] == "cpu" else choose_device("auto")
    cell = cell_of(json.loads(row["spec"]), suite, plugins, device=device)
    job = Job(cell, (row["repeat"],), row["batch_size"])
    facts, again = _run(job, plugins, Setting(device, data, None, trace=trace), suite.timeout)
    notes = [*_changed_code(row, cell), *_changed_environment(run, row, facts), *_changed_reason(row, again)]
    if rtol is None:
        rtol = RTOL if device != "cpu" or any(_changed_environment(run, row, facts)) else 0.0
    compared = _columns(row, again, exact=not rtol)
    differences = [
        Difference(name, row.get(name), again.get(name)) for name in compared if not _same(name, row, again, rtol)
    ]
    return Replay(run, row, again, rtol, tuple(compared), tuple(differences), tuple(notes))


def _run(job: Job, plugins: Plugins, setting: Setting, timeout: float) -> tuple[Mapping[str, Any], Row]:
    """Run the job in a process of its own, which a method may bring down, as it may have done before."""
    from bench_core.execute.processes import Processes

    facts: Mapping[str, Any] = {}
    with closing(Processes(plugins.sources, setting, timeout, 1).run([job])) as events:
        for event in events:
            if isinstance(event, Started):
                facts = event.facts
            elif isinstance(event, Finished):
                return facts, {name: value for name, value in event.rows[0].items() if value is not None}
    raise AssertionError("a job that runs to its end gives its rows")


def _changed_code(row: Row, cell: Cell) -> Iterator[str]:
    now = {
        "method_version": cell.method_version,
        "method_digest": cell.method_digest,
        "problem_version": cell.problem_version,
        "problem_digest": cell.problem_digest,
    }
    for what in ("method", "problem"):
        if row[f"{what}_version"] != now[f"{what}_version"]:
            yield f"{row[what]} is now version {now[f'{what}_version']}; the trial ran with {row[f'{what}_version']}"
        elif row[f"{what}_digest"] != now[f"{what}_digest"]:
            yield f"the code of {row[what]} has changed since the trial ran"


def _changed_environment(run: Run, row: Row, facts: Mapping[str, Any]) -> Iterator[str]:
    environment = run.environments().get(row["env_id"])
    if environment is None:
        yield "the environment of the trial is not known"
        return
    for name in DECISIVE:
        if environment.get(name) != facts.get(name):
            yield f"{name} is {facts.get(name)}; the trial ran with {environment.get(name)}"


def _changed_reason(row: Row, again: Row) -> Iterator[str]:
    """Yield the other words of the same failure: it may name an address, or how much memory there is."""
    if row["status"] == again["status"] and row.get("reason") != again.get("reason"):
        yield f"the reason was {row.get('reason')!r} and is {again.get('reason')!r}"


def _columns(row: Row, again: Row, *, exact: bool) -> list[str]:
    """Return what must agree; data and path only where nothing may differ: rounding alone changes a loss near 0."""
    groups = ("metric.", "budget.", *(["path."] if exact else []))
    names = ["status", *(["data_digest"] if exact else [])]
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
