"""What ``bench run --dry-run`` prints."""

from __future__ import annotations

import io
import shutil
from typing import TYPE_CHECKING

import polars as pl

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
    total, unknown = 0.0, 0
    for index, cell in enumerate(plan.cells):
        rows = results.frame.filter(pl.col("cell") == index)
        todo = len(missing.get(index, []))
        mean = rows["seconds"].mean()
        cost = todo * float(mean) / workers if isinstance(mean, float) else None
        total += cost or 0.0
        unknown += todo if cost is None else 0
        x = f" {plan.suite.report.x}={plain(cell.x)}" if cell.x is not None else ""
        table.add_row(
            Text(f"{cell.problem}{x}"),
            Text(cell.label),
            "skipped" if cell.skipped else str(cell.trials),
            str(len(rows)),
            str(todo),
            str(cell.width),
            f"{cell.width * cell.working_set / 1e6:.1f}",
            "" if not todo else duration(cost) if cost is not None else "?",
        )
    console = Console(file=io.StringIO(), width=shutil.get_terminal_size((100, 24)).columns)
    console.print(Text(plan.suite.title, style="bold"))
    console.print(table)
    console.print(_total(sum(map(len, missing.values())), plan.trials, total, unknown, workers), highlight=False)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().rstrip("\n")


def workers_of(options: Options) -> int:
    """Return the number of processes that will compute."""
    if options.executor == "inline":
        return 1
    from bench_core.execute.processes import default_workers

    return options.workers or default_workers(options.device)


def _total(todo: int, trials: int, seconds: float, unknown: int, workers: int) -> str:
    text = f"{todo} of {trials} trials to run"
    if not todo:
        return text
    if unknown == todo:
        return f"{text}; no time is known yet: it is estimated from stored rows of the same cell"
    more = f", and {unknown} trials of cells without a stored row" if unknown else ""
    return f"{text}: about {duration(seconds)} on {workers} worker{'s' if workers > 1 else ''}{more}"
