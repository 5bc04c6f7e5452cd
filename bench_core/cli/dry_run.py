"""What ``bench run --dry-run`` prints."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from bench_core.cli.common import columns
from bench_core.cli.cost import seconds_per_trial
from bench_core.report.table import duration, plain
from bench_core.running import what_is_missing

if TYPE_CHECKING:
    from bench_core.plan import Plan
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
    stored = [results.rows(index) for index in range(len(plan.cells))]
    means = [(cell, rows["seconds"].mean()) for cell, rows in zip(plan.cells, stored, strict=True)]
    known = [(cell, mean) for cell, mean in means if isinstance(mean, float)]
    total: float | None = 0.0
    for indices in _lines(plan):
        cells = [plan.cells[index] for index in indices]
        due = [len(missing.get(index, [])) for index in indices]
        costs = [seconds_per_trial(cell, known) for cell in cells]
        cost = None if None in costs else sum(n * (each or 0) / workers for n, each in zip(due, costs, strict=True))
        if any(due):
            total = None if cost is None or total is None else total + cost
        rows = [stored[index] for index in indices]
        guessed = "" if all(each["seconds"].count() for each in rows) else "~"
        first = cells[0]
        x = f" {plan.suite.report.x}={plain(first.x)}" if first.x is not None else ""
        tried = f", {len(cells)} settings" if first.split == "select" else ""
        table.add_row(
            Text(f"{first.problem}{x}"),
            Text(f"{first.label}{tried}"),
            "skipped" if first.skipped else str(sum(cell.trials for cell in cells)),
            str(sum(map(len, rows))),
            str(sum(due)),
            str(first.width),
            f"{first.width * first.working_set / 1e6:.1f}",
            "" if not sum(due) else f"{guessed}{duration(cost)}" if cost is not None else "?",
        )
    console = Console(file=io.StringIO(), width=columns())
    console.print(Text(plan.suite.title, style="bold"))
    console.print(table)
    todo = sum(len(repeats) for index, repeats in missing.items() if not plan.cells[index].skipped)
    console.print(_total(todo, plan.trials, total, workers), highlight=False)
    for label, more in _later(plan).items():
        if options.labels is None or label in options.labels:
            console.print(f"{label}: {more} more once its hyper-parameters are chosen", highlight=False, markup=False)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().rstrip("\n")


def _lines(plan: Plan) -> list[list[int]]:
    """Return the indices of the cells of each line: the settings that a label tries on a problem share one."""
    lines: dict[tuple[str, str, str], list[int]] = {}
    for index, cell in enumerate(plan.cells):
        lines.setdefault((cell.split, cell.problem_key, cell.label), []).append(index)
    return list(lines.values())


def _later(plan: Plan) -> dict[str, int]:
    """Return the trials in the report of the labels whose hyper-parameters are not chosen yet."""
    trials = {entry.label: entry.trials or plan.suite.max_trials for entry in plan.suite.methods}
    problems = {label: {cell.problem_key for cell in plan.cells if cell.label == label} for label in plan.undecided}
    return {label: trials[label] * len(keys) for label, keys in problems.items()}


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
