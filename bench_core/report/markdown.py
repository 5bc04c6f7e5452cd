"""The format ``markdown``: tables in GitHub's dialect that can be read as they are, too."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bench_core.report import Format, claims, table
from bench_core.report.table import Column
from bench_core.summary import Summary

PADDED = 40
"""Columns up to this width are padded, so that they stand below each other in the source as well."""
ONE_LINE = 10**6


class MarkdownFormat(Format):
    """For a README or a pull request."""

    name = "markdown"

    def render(self, summaries: Sequence[Summary], *, width: int, color: bool) -> str:
        return "\n".join("\n\n".join(_blocks(summary)) + "\n" for summary in summaries)


def _blocks(summary: Summary) -> Iterator[str]:
    metric = summary.metric
    yield f"## {escaped(summary.title)}"
    if summary.source:
        yield paragraph(summary.source)
    yield _comparison(summary, metric)
    shared = table.constants(summary, metric)
    # Two spaces before a note make it a part of the one above.
    notes = [f"{shared}."] * bool(shared) + table.notes(summary, metric)
    yield "\n".join(f"{'  ' * note.startswith('  ')}- {paragraph(note)}" for note in notes)
    if summary.claims:
        yield f"**Claims: {claims.tally(summary.claims)}**"
        yield "\n".join(_claims(summary))
        yield claims.LEGEND
        yield claims.guarantee(summary.claims)
    if summary.selections:
        yield "**Tuning, on holdout trials**"
        yield _tuning(summary)


def _comparison(summary: Summary, metric: str) -> str:
    titles = {entry.problem_key: group.title for group in table.groups(summary, metric) for entry in group.entries}
    columns = [
        Column("problem", lambda entry: titles[entry.problem_key], number=False),
        Column("label", table.label, number=False),
        *table.results(summary, metric),
        *table.efforts(summary, metric),
        *table.spendings(summary, metric),
    ]
    rows = []
    for group in table.groups(summary, metric):
        for entry in group.entries:
            cells = [escaped(column.cell(entry)) for column in columns]
            if entry.verdict == "best":
                cells[1:3] = [f"**{cell}**" for cell in cells[1:3]]
            rows.append(cells)
    return _grid([escaped(column.title) for column in columns], rows, [column.number for column in columns])


def _grid(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """Return a table of cells that are escaped."""
    widths = [max(3, *(table.width(row[i]) for row in [header, *rows])) for i in range(len(header))]
    widths = [width if width <= PADDED else 3 for width in widths]

    def line(cells: Sequence[str]) -> str:
        padded = []
        for cell, width, number in zip(cells, widths, right, strict=True):
            space = " " * (width - table.width(cell))
            padded.append(space + cell if number else cell + space)
        return f"| {' | '.join(padded)} |"

    rule = [f"{'-' * (width - 1)}:" if number else "-" * width for width, number in zip(widths, right, strict=True)]
    return "\n".join(map(line, [header, rule, *rows]))


def _claims(summary: Summary) -> Iterator[str]:
    for verdict in summary.claims:
        for line in claims.lines(verdict, ONE_LINE):
            if line.role not in ("part", "hint"):
                yield f"{'' if line.role == 'head' else '  '}- {paragraph(line.text)}"


def _tuning(summary: Summary) -> str:
    header = ["label", "chosen", "score", "runner-up", "its score", "by", "grid", "cost", "failed"]
    rows = [
        [t.label, t.chosen, t.score, t.runner_up, t.runner_up_score, t.metric, t.grid, t.cost, t.failed]
        for t in table.tuned(summary)
    ]
    told = [i for i in range(len(header)) if any(row[i] for row in rows)]  # few labels have failed holdout trials
    return _grid(
        [header[i] for i in told],
        [[escaped(row[i]) for i in told] for row in rows],
        [header[i].endswith("score") for i in told],
    )


# Brackets and underscores only where they mean something: `[0.1, 0.2]` and `mle_exact` stay readable as they are.
_MARKUP = re.compile(r"[\\`*{}<>|#~&$]|(?<![^\W_])_|_(?![^\W_])|\](?=\()")
_FIRST = re.compile(r"^(\d*)(?:([.)+-])(?=\s|$)|(\[|[-=](?=[-=]*$)))")


def escaped(text: str) -> str:
    """Escape what Markdown would obey inside of a line."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


def paragraph(text: str) -> str:
    """Escape what Markdown would obey inside of a line and at the start of one."""
    return _FIRST.sub(r"\1\\\2\3", escaped(text))
