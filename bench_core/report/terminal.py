"""The format ``rich``: tables for the terminal."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bench_core.report import Format, claims, table
from bench_core.report.table import Column
from bench_core.summary import Entry, Summary

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

GAP = 3
"""Spaces between columns."""
COLORS = {"supported": "green", "contradicted": "red", "inconclusive": "yellow"}


class RichFormat(Format):
    """For the terminal."""

    name = "rich"

    def render(self, summaries: Sequence[Summary], *, width: int, color: bool) -> str:
        from rich.console import Console

        console = Console(
            file=io.StringIO(), width=width, force_terminal=color, color_system="truecolor" if color else None
        )
        for summary in summaries:
            metric = summary.metric
            console.print(_heading(summary))
            console.print()
            for line in _comparison(summary, metric, width):
                console.print(line, soft_wrap=True)  # a line that is too long stays one
            for note in table.notes(summary, metric):
                console.print(note, style="dim", markup=False, highlight=False)
            console.print()
            if summary.claims:
                for line in _claims(summary, width):
                    console.print(line)
                console.print()
            if summary.selections:
                console.print(_tuning(summary))
        text = console.file
        assert isinstance(text, io.StringIO)
        return "\n".join(map(str.rstrip, text.getvalue().split("\n")))


def _heading(summary: Summary) -> Text:
    from rich.text import Text

    heading = Text(summary.title, style="bold")
    heading.append(f"\n{summary.source}" if summary.source else "", style="not bold")
    shared = table.constants(summary, summary.metric)
    heading.append(f"\n{summary.suite}/{summary.run}" + (f": {shared}" if shared else ""), style="not bold dim")
    return heading


def _comparison(summary: Summary, metric: str, width: int) -> Iterator[Text]:
    """Yield the lines of the table: beside what came out as many of the other columns as fit, the rest below."""
    from rich.text import Text

    entries = summary.table(metric)
    names = 2 + max(table.width(title) for title in ["label", *map(table.label, entries)])
    first = table.results(summary, metric)
    wanted = sum(_taken(column, entries) for column in first)
    names = max(min(names, width - wanted - 2), 7)  # a longer label has a line of its own
    blocks = [table.efforts(summary, metric), table.spendings(summary, metric)]
    for index, columns in enumerate(_parts(first, blocks, entries, width - names - 2)):
        if index:
            yield Text("per trial", style="italic")
        yield from _part(summary, metric, columns, names, whole=not index)
        yield Text()


def _parts(
    first: Sequence[Column], blocks: Sequence[Sequence[Column]], entries: Sequence[Entry], room: int
) -> list[list[Column]]:
    """Return the columns of each table: a block stays together if it fits at all."""
    parts = [list(first)]

    def fits(columns: Sequence[Column]) -> bool:
        return sum(_taken(column, entries) for column in columns) <= room

    for block in blocks:
        if fits([*parts[-1], *block]):
            parts[-1] += block
        elif fits(block):
            parts.append(list(block))
        else:
            for column in block:
                if len(parts) > 1 and fits([*parts[-1], column]):
                    parts[-1].append(column)
                else:
                    parts.append([column])
    return parts


def _part(summary: Summary, metric: str, columns: Sequence[Column], names: int, *, whole: bool) -> Iterator[Text]:
    from rich.text import Text

    entries = summary.table(metric)
    widths = [_taken(column, entries) - GAP for column in columns]
    yield _line("label", names, [column.title for column in columns], columns, widths, "bold")
    yield Text(" " + "─" * (names + sum(widths) + GAP * len(widths)))
    groups = table.groups(summary, metric)
    for index, group in enumerate(groups):
        shown = [entry for entry in group.entries if whole or table.costs(entry)]
        if not shown:
            continue
        if index and whole:
            yield Text()
        if len(groups) > 1 or whole:
            yield Text(f" {group.title}", style="bold cyan")
        for entry in shown:
            label = f"  {table.label(entry)}"
            if table.width(label) > names:
                yield Text(f" {label}", style=_style(entry))
                label = ""
            yield _line(label, names, [column.cell(entry) for column in columns], columns, widths, _style(entry))


def _line(
    label: str, names: int, cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int], style: str
) -> Text:
    from rich.text import Text

    padded = [
        f"{' ' * (width - table.width(cell))}{cell}" if column.number else f"{cell}{' ' * (width - table.width(cell))}"
        for cell, column, width in zip(cells, columns, widths, strict=True)
    ]
    return Text((" " * GAP).join([f" {label}{' ' * (names - table.width(label))}", *padded]).rstrip(), style=style)


def _taken(column: Column, entries: Sequence[Entry]) -> int:
    return GAP + max(table.width(text) for text in [column.title, *map(column.cell, entries)])


def _claims(summary: Summary, width: int) -> Iterator[Text]:
    """Yield the verdicts on the suite's claims, and what they are worth."""
    from rich.text import Text

    yield Text(f"Claims: {claims.tally(summary.claims)}", style="bold")
    for verdict in summary.claims:
        for line in claims.lines(verdict, min(width, claims.WIDTH)):
            if line.role not in ("part", "hint"):
                yield Text(line.text, style=COLORS[line.verdict] if line.role == "head" else "dim")
    yield Text(claims.LEGEND, style="dim")
    yield Text(claims.guarantee(summary.claims), style="dim")


def _tuning(summary: Summary) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    grid = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        header_style="bold",
        title="tuning, on holdout trials",
        title_justify="left",
    )
    grid.add_column("label", overflow="fold")
    grid.add_column("hyper-parameters", overflow="fold")
    grid.add_column("score", justify="right", no_wrap=True)
    for each in table.tuned(summary):
        rows = [(each.label, each.chosen, each.score), ("  runner-up", each.runner_up, each.runner_up_score)]
        rows += [(f"  by {each.metric}", each.grid, ""), ("  cost", each.cost, ""), ("  failed", each.failed, "")]
        for index, row in enumerate(row for row in rows if row[1]):
            grid.add_row(*map(Text, row), style="" if not index else "dim")
        grid.add_section()
    return grid


def _style(entry: Entry) -> str:
    if entry.control or entry.skipped:
        return "dim"
    return "bold green" if entry.verdict == "best" else ""
