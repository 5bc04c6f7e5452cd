"""What ``bench run --dry-run`` prints."""

from __future__ import annotations

import io
import shutil
from typing import TYPE_CHECKING

import polars as pl

from bench_core.cli.cost import seconds_per_trial
from bench_core.cli.progress import duration
from bench_core.report.table import plain
from bench_core.running import what_is_missing

if TYPE_CHECKING:
    from bench_core.results import Results
    from bench_core.running import Options


def render(results: Results, options: Options) -> str:
    """Return the plan as a table: cells, trials, what is stored, batch width, memory, and time where it is known."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    plan = results.plan
    missing = what_is_missing(results, options)
    workers = workers_of(options)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("problem", "label"):
        table.add_column(column)
    for column in ("trials", "stored", "to run", "width", "MB/worker", "time"):
        table.add_column(column, justify="right")
    stored = [results.frame.filter(pl.col("cell") == index) for index in range(len(plan.cells))]
    means = [(cell, rows["seconds"].mean()) for cell, rows in zip(plan.cells, stored, strict=True)]
    known = [(cell, mean) for cell, mean in means if isinstance(mean, float)]
    total = 0.0
    for index, (cell, rows) in enumerate(zip(plan.cells, stored, strict=True)):
        todo = len(missing.get(index, []))
        each = seconds_per_trial(cell, known)
        cost = None if each is None else todo * each / workers
        total += cost or 0.0
        guessed = "" if rows["seconds"].count() else "~"
        x = f" {plan.suite.report.x}={plain(cell.x)}" if cell.x is not None else ""
        table.add_row(
            Text(f"{cell.problem}{x}"),
            Text(cell.label),
            "skipped" if cell.skipped else str(cell.trials),
            str(len(rows)),
            str(todo),
            str(cell.width),
            f"{cell.width * cell.working_set / 1e6:.1f}",
            "" if not todo else f"{guessed}{duration(cost)}" if cost is not None else "?",
        )
    console = Console(file=io.StringIO(), width=shutil.get_terminal_size((100, 24)).columns)
    console.print(Text(plan.suite.title, style="bold"))
    console.print(table)
    console.print(
        _total(sum(map(len, missing.values())), plan.trials, total if known else None, workers), highlight=False
    )
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().rstrip("\n")


def workers_of(options: Options) -> int:
    """Return the number of processes that will compute."""
    if options.executor == "inline":
        return 1
    from bench_core.execute.processes import default_workers

    return options.workers or default_workers(options.device)


def _total(todo: int, trials: int, seconds: float | None, workers: int) -> str:
    text = f"{todo} of {trials} trials to run"
    if not todo:
        return text
    if seconds is None:
        return f"{text}; no time is known yet: it is estimated from stored rows"
    return f"{text}: about {duration(seconds)} on {workers} worker{'s' if workers > 1 else ''} (~ guessed from others)"
