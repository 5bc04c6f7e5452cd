"""What a run looks like while it goes on: live on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from bench_core.cli.common import note
from bench_core.cli.cost import seconds_per_trial
from bench_core.estimates import FAILED, estimate, value_of_failure
from bench_core.report.table import duration, number, plain, rate, settings
from bench_core.results import reader

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from bench_core.execute.batch import Row
    from bench_core.plan import Cell
    from bench_core.plugins import Plugins
    from bench_core.results import Results
    from bench_core.running import Options, Watcher
    from bench_core.selection import Selection
    from bench_core.suite import Suite

LINE_EVERY = 10.0
"""Seconds between two plain lines while no cell finishes."""
REFRESH = 4
"""Redraws per second on a terminal."""


@dataclass
class _Tally:
    """What is known of one cell so far."""

    cell: Cell
    todo: int
    read: Callable[[Mapping[str, Any]], float | None]
    done: int = 0
    failed: int = 0
    stored: int = 0
    share: float = 0.0
    """Of the batch under way."""
    values: list[float] = field(default_factory=list)
    timed: int = 0
    """Trials whose seconds are known."""
    seconds: float = 0.0
    """Of those together."""

    @property
    def left(self) -> int:
        return self.todo - self.done

    @property
    def cost(self) -> float | None:
        """Seconds per trial, where known."""
        return self.seconds / self.timed if self.timed else None


class Progress:
    """Keeps count of a run."""

    def __init__(self, suite: Suite, plugins: Plugins, workers: int) -> None:
        self._suite, self._plugins, self._workers = suite, plugins, workers
        self._metric = plugins.metrics.get(suite.report.metric)
        self.tallies: dict[int, _Tally] = {}
        self.selections: tuple[Selection, ...] = ()
        self.started = time.monotonic()

    def begin(self, results: Results, missing: Mapping[int, Sequence[int]]) -> None:
        """Take over what is stored; called once more when hyper-parameters are chosen and their cells begin."""
        self.started = time.monotonic()
        self.selections = results.selections
        tallies = {
            index: _Tally(cell, len(repeats), reader(self._plugins, cell, self._metric))
            for index, repeats in missing.items()
            for cell in [results.plan.cells[index]]
            if repeats
        }
        again = {index: set(missing[index]) for index in tallies}
        columns = [
            "cell",
            "repeat",
            "status",
            "seconds",
            *(name for name in results.frame.columns if "metric." in name),
        ]
        stored = results.frame.filter(pl.col("cell").is_in(list(tallies))).select(columns)
        for row in stored.iter_rows(named=True):
            tally = tallies[row["cell"]]
            if row["repeat"] not in again[row["cell"]]:
                tally.stored += 1
                self._count(tally, row)
        self.tallies = tallies  # at once, since another thread may be drawing

    def advance(self, cell: int, share: float) -> None:
        """Note how far the batch under way is."""
        self.tallies[cell].share = share

    def finish(self, cell: int, rows: Sequence[Row]) -> None:
        """Count finished rows."""
        tally = self.tallies[cell]
        tally.done += len(rows)
        tally.share = 0.0
        for row in rows:
            self._count(tally, row)

    def warn(self, message: str) -> None:
        """Print a warning."""
        note(f"warning: {message}", color="yellow")

    def _count(self, tally: _Tally, row: Mapping[str, Any]) -> None:
        failed = row["status"] in FAILED
        tally.failed += failed
        if row.get("seconds") is not None:
            tally.timed += 1
            tally.seconds += row["seconds"]
        value = value_of_failure(self._metric) if failed else tally.read(row)
        if value is not None:
            tally.values.append(value)

    def estimate(self, tally: _Tally) -> str:
        """Return the estimate so far with its interval."""
        if not tally.values:
            return ""
        interval = estimate(self._metric, np.array(tally.values))
        show = rate if self._metric.kind == "rate" else number
        return f"{show(interval.estimate)} [{show(interval.low)}, {show(interval.high)}]"

    def remaining(self) -> float | None:
        """Return the seconds left, guessing what cells cost of which no trial is finished; None where that is vain."""
        known = self.known()
        left = [self.remaining_of(tally, known) for tally in self.tallies.values() if tally.left]
        return None if None in left else sum(seconds or 0.0 for seconds in left)

    def known(self) -> list[tuple[Cell, float]]:
        """Return the cells of which trials are finished, with the seconds of one."""
        return [(each.cell, each.cost) for each in self.tallies.values() if each.cost is not None]

    def remaining_of(self, tally: _Tally, known: Sequence[tuple[Cell, float]]) -> float | None:
        """Return the seconds that a cell will still take when all workers share it."""
        seconds = seconds_per_trial(tally.cell, known)
        return None if seconds is None else tally.left * seconds / self._workers

    def headline(self) -> str:
        """Return trials done, time used and time left."""
        done = sum(tally.done for tally in self.tallies.values())
        todo = sum(tally.todo for tally in self.tallies.values())
        failed = sum(tally.failed for tally in self.tallies.values())
        left = self.remaining()
        parts = [f"{self._suite.name}: {done}/{todo} trials", f"{failed} failed" if failed else ""]
        parts += [
            duration(time.monotonic() - self.started),
            f"about {duration(left)} left" if left and done < todo else "",
        ]
        return ", ".join(part for part in parts if part)

    def name(self, tally: _Tally) -> str:
        """Return what a cell is called in a line."""
        cell = tally.cell
        where = f"{self._suite.report.x} = {plain(cell.x)}" if cell.x is not None else cell.problem
        tried = f" ({settings(cell.choice)})" if cell.split == "select" else ""
        return f"{where}  {cell.label}{tried}"


class PlainProgress(Progress):
    """A line per finished cell of the report, and one every ten seconds."""

    def __init__(self, suite: Suite, plugins: Plugins, workers: int) -> None:
        super().__init__(suite, plugins, workers)
        self._last = time.monotonic()

    def begin(self, results: Results, missing: Mapping[int, Sequence[int]]) -> None:
        super().begin(results, missing)
        for selection in self.selections:
            if selection.winner is not None:
                note(f"{self._suite.name}: {selection.label}: {settings(selection.winner.choice)} chosen")
        todo = sum(map(len, missing.values()))
        holdout = sum(len(missing[i]) for i in missing if results.plan.cells[i].split == "select")
        first = f", {holdout} of them to choose hyper-parameters" if holdout else ""
        note(
            f"{self._suite.name}: {todo} trials to run{first}" if todo else f"{self._suite.name}: everything is stored"
        )

    def finish(self, cell: int, rows: Sequence[Row]) -> None:
        super().finish(cell, rows)
        tally = self.tallies[cell]
        finished = not tally.left and tally.cell.split == "main"
        if finished:
            failures = f", {tally.failed} failed" if tally.failed else ""
            note(f"  {self.name(tally)}: {self.estimate(tally)}, {tally.stored + tally.done} trials{failures}")
        if finished or time.monotonic() - self._last > LINE_EVERY:
            self._last = time.monotonic()
            note(self.headline())


class LiveProgress(Progress):
    """A table that redraws itself: cells under way, and a line with totals."""

    def __init__(self, suite: Suite, plugins: Plugins, workers: int, console: Console) -> None:
        super().__init__(suite, plugins, workers)
        self._console = console

    def render(self) -> RenderableType:
        """Return the present view, no taller than the terminal."""
        from rich import box
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        room = max(3, self._console.height - 6)
        open_cells = [tally for tally in self.tallies.values() if tally.left]
        # Those furthest from their end first: they are the ones that one waits for.
        shown = sorted(open_cells, key=lambda tally: -tally.left * (tally.cost or 0))[:room]
        shown = [tally for tally in open_cells if any(tally is each for each in shown)]
        known = self.known()
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("cell", no_wrap=True)
        for column in ("trials", "failed", f"{self._metric.name} so far [95 %]", "left"):
            table.add_column(column, justify="right", no_wrap=True)
        for tally in shown:
            under_way = f" +{tally.share:.0%}" if tally.share else ""
            trials = f"{tally.stored + tally.done}/{tally.stored + tally.todo}{under_way}"
            left = self.remaining_of(tally, known)
            time_left = "" if left is None else duration(left)
            table.add_row(Text(self.name(tally)), trials, str(tally.failed or ""), self.estimate(tally), time_left)
        finished = len(self.tallies) - len(open_cells)
        hidden = len(open_cells) - len(shown)
        more = f"{finished} cells finished" + (f", {hidden} more under way" if hidden else "")
        return Group(table, Text(more, style="dim"), Text(self.headline(), style="bold"))


class _Silent(Progress):
    """Says nothing."""


@contextmanager
def watcher(suite: Suite, plugins: Plugins, options: Options, *, quiet: bool, terminal: bool) -> Iterator[Watcher]:
    """Give the watcher that suits where the output goes."""
    from bench_core.cli.dry_run import workers_of

    workers = workers_of(options)
    if quiet or not terminal:
        yield (_Silent if quiet else PlainProgress)(suite, plugins, workers)
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    progress = LiveProgress(suite, plugins, workers, console)
    with Live(get_renderable=progress.render, console=console, refresh_per_second=REFRESH, transient=True):
        yield progress
