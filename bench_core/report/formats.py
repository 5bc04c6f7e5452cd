"""The built-in report formats: rich, markdown, latex, csv, json; html has a package of its own."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from bench_core import hookimpl
from bench_core.report import Format, table
from bench_core.summary import Entry, Summary, as_json

if TYPE_CHECKING:
    from rich.table import Table

WIDE = 112
"""Columns from which on the budgets stand in the same table."""
TUNED = 11
"""Columns that ``tuned`` takes where a label's hyper-parameters are chosen."""


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
            wide = width >= WIDE + (TUNED if summary.selections else 0)
            console.print(_comparison(summary, metric, budgets=wide))
            if not wide and table.budget_names(summary, metric):
                console.print(_budgets(summary, metric))
            for note in table.notes(summary, metric):
                console.print(note, style="dim", markup=False, highlight=False)
            if summary.selections:
                console.print(_tuning(summary))
            console.print()
        text = console.file
        assert isinstance(text, io.StringIO)
        return text.getvalue()


def _heading(summary: Summary) -> object:
    from rich.text import Text

    heading = Text(summary.title, style="bold")
    heading.append(f"\n{summary.source}" if summary.source else "", style="not bold")
    shared = table.constants(summary, summary.metric)
    heading.append(f"\n{summary.suite}/{summary.run}" + (f": {shared}" if shared else ""), style="not bold dim")
    return heading


def _comparison(summary: Summary, metric: str, *, budgets: bool) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    names = table.budget_names(summary, metric) if budgets else []
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    grid.add_column("label", no_wrap=True)
    grid.add_column(f"{metric} [95 %]", no_wrap=True, justify="right")
    grid.add_column("trials", justify="right")
    grid.add_column("failed", justify="right", no_wrap=True)
    grid.add_column("vs best", no_wrap=True)
    if summary.selections:
        grid.add_column("tuned", no_wrap=True, justify="right")
    grid.add_column("s/trial", justify="right")
    for name in names:
        grid.add_column(Text(table.BUDGETS.get(name, name)), justify="right", no_wrap=True)
    for group in table.groups(summary, metric):
        grid.add_row(Text(group.title, style="bold cyan"))
        for entry in group.entries:
            cells = [f"  {entry.label}", table.estimate(entry), str(entry.n_attempted), table.failed(entry)]
            cells += [table.verdict(entry), *([table.tuning(entry)] if summary.selections else [])]
            cells += [table.seconds(entry), *(table.budget(entry, name) for name in names)]
            grid.add_row(*(Text(cell) for cell in cells), style=_style(entry))
        grid.add_section()
    return grid


def _budgets(summary: Summary, metric: str) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    names = table.budget_names(summary, metric)
    grid = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", title="budget per trial", title_justify="left"
    )
    grid.add_column("label", no_wrap=True)
    for name in names:
        grid.add_column(Text(table.BUDGETS.get(name, name)), justify="right", no_wrap=True)
    for group in table.groups(summary, metric):
        grid.add_row(Text(group.title, style="bold cyan"))
        for entry in group.entries:
            if any(entry.budget.values()):
                grid.add_row(Text(f"  {entry.label}"), *(Text(table.budget(entry, name)) for name in names))
    return grid


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
    grid.add_column("label", no_wrap=True)
    grid.add_column("hyper-parameters")
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


class MarkdownFormat(Format):
    """For a README or a pull request."""

    name = "markdown"

    def render(self, summaries: Sequence[Summary], *, width: int, color: bool) -> str:
        return "\n".join(_markdown(summary, summary.metric) for summary in summaries)


def _markdown(summary: Summary, metric: str) -> str:
    lines = [f"## {_cell(summary.title)}", "", _cell(" ".join(summary.source.split())), ""]
    header = _header(summary, metric)
    lines += [_row(map(_cell, header)), _row(["---"] * len(header))]
    for entry, cells in _lines(summary, metric):
        escaped = [_cell(cell) for cell in cells]
        if entry.verdict == "best":
            escaped[1:3] = [f"**{cell}**" for cell in escaped[1:3]]
        lines.append(_row(escaped))
    shared = table.constants(summary, metric)
    below = [f"{shared}."] if shared else []
    notes = map(_cell, [*below, *table.notes(summary, metric)])
    return "\n".join([*lines, "", *notes, "", *_markdown_tuning(summary)])


def _header(summary: Summary, metric: str) -> list[str]:
    """Return the columns of a table of plain text: problem cell, label, estimate, and what stands beside it."""
    header = ["problem", "label", f"{metric} [95 %]", "trials", "failed", "vs best"]
    header += [*(["tuned"] if summary.selections else []), "s/trial"]
    return header + [table.BUDGETS.get(name, name) for name in table.budget_names(summary, metric)]


def _lines(summary: Summary, metric: str) -> Iterator[tuple[Entry, list[str]]]:
    """Yield each entry of the table with the text of its cells."""
    names = table.budget_names(summary, metric)
    for group in table.groups(summary, metric):
        for entry in group.entries:
            cells = [group.title, entry.label, table.estimate(entry), str(entry.n_attempted), table.failed(entry)]
            cells += [table.verdict(entry), *([table.tuning(entry)] if summary.selections else [])]
            yield entry, [*cells, table.seconds(entry), *(table.budget(entry, name) for name in names)]


def _markdown_tuning(summary: Summary) -> list[str]:
    if not summary.selections:
        return []
    lines = [_row(TUNING_HEADER), _row(["---"] * len(TUNING_HEADER))]
    lines += [_row(map(_cell, cells)) for cells in _tuning_lines(summary)]
    return [*lines, ""]


TUNING_HEADER = ["label", "chosen on holdout trials", "score", "runner-up", "its score", "by", "grid", "cost", "failed"]


def _tuning_lines(summary: Summary) -> list[list[str]]:
    return [
        [t.label, t.chosen, t.score, t.runner_up, t.runner_up_score, t.metric, t.grid, t.cost, t.failed]
        for t in table.tuned(summary)
    ]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


# Brackets and underscores only where they mean something: `[0.1, 0.2]` and `mle_exact` stay readable as they are.
_MARKUP = re.compile(r"[\\`*{}<>|#~&$]|(?<![^\W_])_|_(?![^\W_])|\](?=[(:])")


def _cell(text: str) -> str:
    """Escape what Markdown would obey."""
    return _MARKUP.sub(r"\\\g<0>", text)


class LatexFormat(Format):
    """For a paper: a table with the rules of the package booktabs, and the notes below it."""

    name = "latex"

    def render(self, summaries: Sequence[Summary], *, width: int, color: bool) -> str:
        return "\n".join(_latex(summary, summary.metric) for summary in summaries)


def _latex(summary: Summary, metric: str) -> str:
    header = _header(summary, metric)
    lines = [
        r"\begin{table}",
        rf"\caption{{{_tex(summary.title)}}}",
        rf"\begin{{tabular}}{{ll{'r' * (len(header) - 2)}}}",
    ]
    lines += [r"\toprule", _tex_row(map(_tex, header))]
    last = None
    for entry, cells in _lines(summary, metric):
        if cells[0] != last:
            lines.append(r"\midrule")
        shown = [_tex(cell) for cell in [cells[0] if cells[0] != last else "", *cells[1:]]]
        if entry.verdict == "best":
            shown[1:3] = [rf"\textbf{{{cell}}}" for cell in shown[1:3]]
        lines.append(_tex_row(shown))
        last = cells[0]
    lines += [r"\bottomrule", r"\end{tabular}", ""]
    shared = table.constants(summary, metric)
    lines += [_tex(note) for note in [*([f"{shared}."] if shared else []), *table.notes(summary, metric)]]
    return "\n".join([*lines, r"\end{table}", "", *_latex_tuning(summary)])


def _latex_tuning(summary: Summary) -> list[str]:
    if not summary.selections:
        return []
    lines = [r"\begin{table}", r"\caption{Hyper-parameters}", r"\begin{tabular}{ll}", r"\toprule"]
    for cells in _tuning_lines(summary):
        shown = [(name, cell) for name, cell in zip(TUNING_HEADER, cells, strict=True) if cell]
        lines += [_tex_row(map(_tex, pair)) for pair in shown] + [r"\midrule"]
    return [*lines[:-1], r"\bottomrule", r"\end{tabular}", r"\end{table}", ""]


def _tex_row(cells: Iterable[str]) -> str:
    return rf"{' & '.join(cells)} \\"


_TEX = str.maketrans(
    {char: rf"\{char}" for char in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"≠": r"$\neq$", "∞": r"$\infty$", "×": r"$\times$", "–": "--", "<": r"$<$", ">": r"$>$", "|": r"$|$"}
)


def _tex(text: str) -> str:
    """Escape what LaTeX would obey."""
    return text.translate(_TEX)


class CsvFormat(Format):
    """For a spreadsheet: a line per problem cell, label and metric, in full precision."""

    name = "csv"

    def render(self, summaries: Sequence[Summary], *, width: int, color: bool) -> str:
        text = io.StringIO()
        budgets = sorted({name for summary in summaries for entry in summary.entries for name in entry.budget})
        params = list(dict.fromkeys(name for s in summaries for entry in s.entries for name in entry.problem_params))
        fields: dict[str, Callable[[Entry], object]] = {
            "problem": lambda entry: entry.problem,
            "label": lambda entry: entry.label,
            "method": lambda entry: entry.method,
            "metric": lambda entry: entry.metric,
            "n_attempted": lambda entry: entry.n_attempted,
            "n_failed": lambda entry: entry.n_failed,
            "estimate": lambda entry: entry.estimate,
            "low": lambda entry: entry.low,
            "high": lambda entry: entry.high,
            "level": lambda entry: entry.level,
            "interval": lambda entry: entry.interval,
            "verdict": table.verdict,
            "tuning.settings": lambda entry: entry.tuning.settings if entry.tuning else "",
            "tuning.trials": lambda entry: entry.tuning.trials if entry.tuning else "",
            "seconds": lambda entry: entry.seconds,
        }
        writer = csv.writer(text, lineterminator="\n")
        header = [*fields, *(f"problem.{name}" for name in params), *(f"budget.{name}" for name in budgets)]
        writer.writerow(["suite", "run", *header])
        for summary in summaries:
            for entry in summary.entries:
                values = [read(entry) for read in fields.values()]
                values += [entry.problem_params.get(name, "") for name in params]
                values += [entry.budget.get(name, "") for name in budgets]
                writer.writerow(map(_harmless, [summary.suite, summary.run, *values]))
        return text.getvalue()


def _harmless(value: object) -> object:
    """Keep spreadsheets from taking a label, or another text, for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@＝＋－＠") else value


class JsonFormat(Format):
    """For programs: an array with one object per suite."""

    name = "json"

    def render(self, summaries: Sequence[Summary], *, width: int, color: bool) -> str:
        return json.dumps([as_json(summary) for summary in summaries], indent=1, allow_nan=False)


@hookimpl
def bench_register_formats() -> list[Format]:
    from bench_core.report.html import HtmlFormat

    return [RichFormat(), MarkdownFormat(), LatexFormat(), CsvFormat(), JsonFormat(), HtmlFormat()]
