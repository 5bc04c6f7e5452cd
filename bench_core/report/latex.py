"""The format ``latex``: tables as a paper prints them, with the rules of booktabs and the notes below."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bench_core.report import Format, claims, table
from bench_core.report.table import Group
from bench_core.report.tex import escape
from bench_core.summary import Entry, Summary

PREAMBLE = r"% Needs \usepackage{booktabs} in the preamble, and nothing else: all of this is ASCII."
LINES = 49
"""Rows, rules and lines of notes that fit on a page below the caption."""
NOTE = 100
"""Characters of a note that fit on a line."""
SHORT = 24
"""Rows that leave room for text on the page."""
WIDE = 78
"""Characters of a line that fit between the margins of an article."""
ONE_LINE = 10**6
CONTINUED = (r"\addtocounter{table}{-1}",)
"""Before the caption of a table that has the number of the one before."""
NOTHING = "--"


class LatexFormat(Format):
    """For a paper: a table with the rules of the package booktabs, and the notes below it."""

    name = "latex"

    def render(self, summaries: Sequence[Summary], *, width: int, color: bool) -> str:
        seen: Counter[str] = Counter()
        tables: list[str] = []
        for summary in summaries:
            seen[summary.suite] += 1
            tables += _tables(summary, _name(summary, seen[summary.suite]))
        return "\n".join([PREAMBLE, "", *tables])


def _name(summary: Summary, number: int) -> str:
    """Return what the labels of the suite's tables end with; ``number`` counts the runs of the suite."""
    name = re.sub(r"[^A-Za-z0-9_.:-]", "-", f"{summary.suite}-{summary.metric}")
    return name + (f"-{number}" if number > 1 else "")


def _tables(summary: Summary, name: str) -> Iterator[str]:
    yield from _comparison(summary, f"tab:{name}")
    if summary.claims:
        yield from _claims(summary, f"tab:{name}-claims")
    if summary.selections:
        yield from _tuning(summary, f"tab:{name}-tuning")


# ---- the table -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Column:
    title: str
    cell: Callable[[Entry], str]
    """Text, not escaped."""
    align: str = "r"
    numbers: bool = False
    """Whether the decimal points stand below each other."""
    mark: bool = False
    """Whether the best is bold and what is not separated from it underlined."""


def _comparison(summary: Summary, label: str) -> Iterator[str]:
    metric = summary.metric
    first, costs = _columns(summary, metric)
    groups = [Group(g.title, sorted(g.entries, key=lambda e: e.control)) for g in table.groups(summary, metric)]
    entries = [entry for group in groups for entry in group.entries]
    beside = _characters([*first, *costs], entries) <= WIDE
    spent = [*table.cost_notes(summary, metric), *_names(summary, metric)]
    notes = [f"Source: {' '.join(summary.source.split()).rstrip('.')}."] * bool(summary.source)
    notes += table.remarks(summary, metric, effort=False) + (spent if beside else [])
    caption = _caption(summary, metric, entries)
    yield from _floats(summary, groups, [*first, *(costs if beside else [])], caption, label, notes)
    if not beside:
        spenders = [
            Group(group.title, shown)
            for group in groups
            if (shown := [entry for entry in group.entries if table.costs(entry)])
        ]
        columns = [*_places(summary, metric), _METHOD, *costs]
        caption = rf"{escape(summary.title)}: what a trial of Table~\ref{{{label}}} costs."
        yield from _floats(summary, spenders, columns, caption, f"{label}-cost", spent)


def _names(summary: Summary, metric: str) -> list[str]:
    """Return what the short names of budgets stand for."""
    short = [(table.BUDGETS.get(name, name), name) for name in table.budget_names(summary, metric)]
    told = ", ".join(f"{name}: {full.replace('_', ' ')}" for name, full in short if name != full)
    return [f"Per trial, {told}."] if told else []


_METHOD = _Column("method", table.label, align="l")


def _columns(summary: Summary, metric: str) -> tuple[list[_Column], list[_Column]]:
    """Return the columns of places and results, and those of costs."""
    entries = summary.table(metric)
    first = [
        *_places(summary, metric),
        _METHOD,
        _Column(metric, lambda e: table.estimate(e).partition(" [")[0], numbers=True, mark=True),
        _Column("95 %", lambda e: "".join(table.estimate(e).partition(" [")[1:]).strip(), align="l"),
    ]
    if len({entry.n_attempted for entry in entries}) > 1:
        first.append(_Column("trials", lambda e: str(e.n_attempted)))
    if any(entry.n_failed for entry in entries):
        first.append(_Column("failed", table.failed))
    costs = [
        _Column(column.title, column.cell, numbers=column.title.startswith("s/trial"))
        for column in [*table.efforts(summary, metric), *table.spendings(summary, metric)]
    ]
    return first, costs


def _places(summary: Summary, metric: str) -> list[_Column]:
    """Return a column for each thing that distinguishes the problem cells."""

    def column(name: str) -> _Column:
        def cell(entry: Entry) -> str:
            known = table.known(entry)
            return table.plain(known[name]) if name in known else NOTHING

        return _Column(name, cell, align="l")

    return [column(name) for name in table.varying(summary, metric)]


def _characters(columns: Sequence[_Column], entries: Sequence[Entry]) -> int:
    """Return about how many characters a row takes; the space between columns is about one and a half."""
    return sum(max(len(text) for text in [c.title, *map(c.cell, entries)]) for c in columns) + 3 * len(columns) // 2


def _caption(summary: Summary, metric: str, entries: Sequence[Entry]) -> str:
    """Return what is shown, in LaTeX."""
    kind, better = summary.metrics[metric].kind, summary.metrics[metric].direction
    ran = [entry.n_attempted for entry in entries if entry.n_attempted] or [0]
    trials = f"{min(ran)} to {max(ran)}" if min(ran) < max(ran) else f"{max(ran)}"
    what = {"rate": "share of trials with", "mean": "mean of", "skewed": "median of"}[kind]
    level = f"95 %{table.over_looks(summary, metric)}"
    told = rf"{escape(summary.title)}: {what} \emph{{{escape(metric)}}} ({better} is better) over {trials} trials per "
    told += f"method, with {_prose(table.INTERVALS[kind])} intervals ({_prose(level)})"
    shared = table.constants(summary, metric)
    told += f"; {_symbols(shared)}." if shared else "."
    verdicts = {entry.verdict for entry in entries}
    test = _prose(table.test_note(summary, metric))
    if "best" in verdicts:
        near = r"; \underline{underlined}: not separated from it" * ("not separated" in verdicts)
        told += rf" \textbf{{Bold}}: the best{near}" + (f" ({test})." if test else ".")
    if any(entry.control for entry in entries):
        told += r" \textit{Italics}: controls."
    return told


def _floats(
    summary: Summary,
    groups: Sequence[Group],
    columns: Sequence[_Column],
    caption: str,
    label: str,
    notes: Sequence[str],
) -> Iterator[str]:
    """Yield the table, as several where it is longer than a page."""
    cells = _cells(columns, [entry for group in groups for entry in group.entries])
    pages = _pages(groups, notes)
    for number, page in enumerate(pages):
        rows: list[str] = []
        for index, group in enumerate(page):
            rows += [r"\midrule"] if index else []
            rows += _group(group, columns, cells)
        count = sum(len(group.entries) for group in page)
        if number:
            head = [*CONTINUED, rf"\caption[]{{{escape(summary.title)} (continued).}}"]
        else:
            head = [rf"\caption[{{{escape(summary.title)}}}]{{{caption}}}", rf"\label{{{label}}}"]
        header = [_symbols(column.title) for column in columns]
        spec = "".join(column.align for column in columns)
        below = notes if number == len(pages) - 1 else []
        yield _float(head, spec, header, rows, below, place="t" if count <= SHORT else "tp")


def _pages(groups: Sequence[Group], notes: Sequence[str]) -> list[list[Group]]:
    """Return the groups of each page, about as many rows on each."""
    rows = [len(group.entries) + 1 for group in groups]  # a rule takes a line, too
    below = sum(math.ceil(len(note) / NOTE) for note in notes)
    room = sum(rows) / max(1, math.ceil((sum(rows) + below) / LINES))
    pages: list[list[Group]] = [[]]
    filled = 0.0
    for group, height in zip(groups, rows, strict=True):
        if pages[-1] and filled + height / 2 > room * len(pages):
            pages.append([])
        pages[-1].append(group)
        filled += height
    return pages


def _cells(columns: Sequence[_Column], entries: Sequence[Entry]) -> dict[int, list[str]]:
    """Return id of an entry -> its cells in LaTeX."""
    by_column = []
    for column in columns:
        texts = [column.cell(entry) for entry in entries]
        by_column.append(_aligned(texts) if column.numbers else list(map(_value, texts)))
    return {id(entry): list(row) for entry, row in zip(entries, zip(*by_column, strict=True), strict=True)}


def _group(group: Group, columns: Sequence[_Column], cells: dict[int, list[str]]) -> Iterator[str]:
    """Yield the rows of a problem cell; what a row shares with the one above stands there only."""
    places = next(i for i, column in enumerate(columns) if column is _METHOD)
    for above, entry in zip([None, *group.entries], group.entries, strict=False):
        row = list(cells[id(entry)])
        if above is not None:
            row[:places] = [""] * places
            if entry.control and not above.control:
                yield r"\addlinespace[2pt]"
        row[places] = _label(entry)
        for index, column in enumerate(columns):
            if column.mark and entry.verdict == "best":
                row[index] = rf"\textbf{{{row[index]}}}"
            elif column.mark and entry.verdict == "not separated":
                row[index] = _underlined(row[index])
        yield _row(row)


def _label(entry: Entry) -> str:
    text = rf"\textit{{{escape(entry.label)}}}" if entry.control else escape(entry.label)
    return text + r"$^{\dagger}$" * entry.reference


_PHANTOM = re.compile(r"(\\phantom\{\.?0*\})?$")


def _underlined(cell: str) -> str:
    """Underline a number, not the space that follows it."""
    padding = _PHANTOM.search(cell)
    end = padding.start() if padding else len(cell)
    return rf"\underline{{{cell[:end]}}}{cell[end:]}"


def _aligned(texts: Sequence[str]) -> list[str]:
    """Return numbers in LaTeX, padded at the right as far as their decimals differ."""
    plain = [re.fullmatch(r"-?\d+(\.\d+)?", text) for text in texts]
    decimals = [len((found[1] or ".")[1:]) if found else 0 for found in plain]
    most = max(decimals, default=0)
    return [
        _value(text) + (_padding(own, most) if found else "")
        for text, found, own in zip(texts, plain, decimals, strict=True)
    ]


def _padding(own: int, most: int) -> str:
    missing = "." * (not own and most > 0) + "0" * (most - own)
    return rf"\phantom{{{missing}}}" if missing else ""


_POWER = re.compile(r"(?<=\d)e([+-])0*(\d+)")


def _value(text: str) -> str:
    """Return a cell in LaTeX, with the minus signs and powers of ten of its numbers."""
    powers = [rf"$\times10^{{{sign.strip('+')}{digits}}}$" for sign, digits in _POWER.findall(text)]
    parts = [escape(re.sub(r"(?<![\w.-])-(?=[\d∞])", "\N{MINUS SIGN}", part)) for part in _POWER.split(text)[::3]]
    return "".join(part + power for part, power in zip(parts, [*powers, ""], strict=True))


def _symbols(text: str) -> str:
    """Return parameters in LaTeX, names of one letter as in a formula."""
    return re.sub(r"(?<!\S)[A-Za-z](?= =)|^[A-Za-z]$", r"$\g<0>$", _value(text))


# ---- what stands below -----------------------------------------------------------------------------------------------


def _claims(summary: Summary, label: str) -> Iterator[str]:
    blocks = []
    for verdict in summary.claims:
        text = " ".join((verdict.text or verdict.id).split()).rstrip(".")
        known = claims.said(verdict).removeprefix(verdict.verdict).strip(" ()")  # that it was expected to fail
        about = "; ".join(filter(None, [" ".join(verdict.source.split()), known]))
        rows = [(f"{text} ({about})" if about else text, _bold(verdict.verdict))]
        for line in claims.lines(verdict, ONE_LINE):
            told = line.text.strip()
            if line.role == "reading":
                rows.append((told.partition(" ")[2], line.verdict))
            elif line.role == "explanation":
                rows.append((told, ""))
        lines = sum(math.ceil(len(told) / 64) for told, _ in rows)
        shown = [_row([rf"\raggedright {_prose(rows[0][0])}", rows[0][1]])]
        shown += [_row([rf"\raggedright\hangindent=1em\hspace*{{1em}}{_prose(told)}", word]) for told, word in rows[1:]]
        blocks.append((lines, shown))
    title = escape(summary.title)
    caption = f"{title}: claims of the source, and what the results say: {claims.tally(summary.claims)}."
    head = [rf"\caption[{{{title}: claims}}]{{{caption}}}", rf"\label{{{label}}}"]
    notes = [claims.guarantee(summary.claims)]
    yield from _stacked(head, title, r"p{0.76\linewidth}l", ["claim", "verdict"], blocks, notes)


def _bold(text: str) -> str:
    return rf"\textbf{{{escape(text)}}}"


def _tuning(summary: Summary, label: str) -> Iterator[str]:
    blocks = []
    for each in table.tuned(summary):
        rows = [(_bold(each.label), each.chosen, each.score), ("runner-up", each.runner_up, each.runner_up_score)]
        rows += [(escape(f"by {each.metric}"), each.grid, ""), ("cost", each.cost, ""), ("failed", each.failed, "")]
        rows = [(name, text, score) for name, text, score in rows if text]
        shown = [_row([name, rf"\raggedright {_prose(text)}", _value(score)]) for name, text, score in rows]
        blocks.append((sum(math.ceil(len(text) / 50) for _, text, _ in rows), shown))
    title = escape(summary.title)
    caption = f"{title}: hyper-parameters, chosen on holdout trials that no table shows."
    head = [rf"\caption[{{{title}: hyper-parameters}}]{{{caption}}}", rf"\label{{{label}}}"]
    yield from _stacked(head, title, r"lp{0.6\linewidth}r", ["method", "hyper-parameters", "score"], blocks, [])


def _stacked(
    head: Sequence[str],
    title: str,
    spec: str,
    header: Sequence[str],
    blocks: Sequence[tuple[int, list[str]]],
    notes: Sequence[str],
) -> Iterator[str]:
    """Yield tables of blocks, each a number of lines and its rows, as many as fit on a page."""
    pages: list[list[str]] = [[]]
    filled = 0
    for lines, rows in blocks:
        if pages[-1] and filled + lines + 1 > LINES - 5:
            pages.append([])
            filled = 0
        pages[-1] += ([r"\addlinespace"] if pages[-1] else []) + rows
        filled += lines + 1
    for number, page in enumerate(pages):
        top = head if not number else [*CONTINUED, rf"\caption[]{{{title} (continued).}}"]
        yield _float(top, spec, header, page, notes if number == len(pages) - 1 else [], place="tp")


def _float(
    head: Sequence[str], spec: str, header: Sequence[str], rows: Sequence[str], notes: Sequence[str], place: str
) -> str:
    """Return a floating table whose rows and header are LaTeX, and whose notes are text."""
    lines = [
        rf"\begin{{table}}[{place}]",
        r"\centering",
        *head,
        r"\par\smallskip\footnotesize",
        r"\setlength{\tabcolsep}{4pt}",
    ]
    lines += [rf"\begin{{tabular}}{{@{{}}{spec}@{{}}}}", r"\toprule", _row(header), r"\midrule", *rows]
    lines += [r"\bottomrule", r"\end{tabular}"]
    if notes:
        lines += [r"\par\medskip", r"\begin{minipage}{\linewidth}", r"\footnotesize\raggedright"]
        lines += [_note(note) for note in notes]
        lines += [r"\end{minipage}"]
    return "\n".join([*lines, r"\end{table}", ""])


def _note(note: str) -> str:
    indent = r"\hspace*{1em}" * note.startswith("  ")
    return rf"{indent}{_prose(note)}\par"


def _prose(text: str) -> str:
    """Escape a sentence, with the spaces and dashes of good print."""
    quoted = re.sub(r'"([^"]*)"', r"“\1”", text)
    told = re.sub(r"(?<=\d) \\%", r"\\,\\%", escape(quoted))
    return told.replace(" = ", "~=~").replace("Clopper-Pearson", "Clopper--Pearson")


def _row(cells: Sequence[str]) -> str:
    r"""Return a row; what it starts with must not be taken for an argument of the ``\\`` before it."""
    first, *others = cells
    return rf"{' & '.join(['{}' * first.startswith(('[', '*')) + first, *others])} \\"
