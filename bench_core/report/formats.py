"""The built-in report formats; csv and json are here, the others in modules of their own."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Sequence

from bench_core import hookimpl
from bench_core.report import Format, table
from bench_core.report.latex import LatexFormat
from bench_core.report.markdown import MarkdownFormat
from bench_core.report.terminal import RichFormat
from bench_core.summary import Entry, Summary, as_json
from bench_core.yamlfile import visible


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
            "seconds": lambda entry: "" if math.isnan(entry.seconds) else entry.seconds,
            "seconds_by": lambda entry: (
                json.dumps(dict(entry.seconds_by), ensure_ascii=False) if entry.seconds_by else ""
            ),
            "reference": lambda entry: str(entry.reference).lower(),
            "looks": lambda entry: entry.looks,
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
    """Keep spreadsheets from taking a text for a formula, and terminals from obeying it."""
    if not isinstance(value, str):
        return value
    shown = visible(value)
    return f"'{shown}" if shown[:1] in tuple("=+-@＝＋－＠") else shown


class JsonFormat(Format):
    """For programs: an array with one object per suite."""

    name = "json"

    def render(self, summaries: Sequence[Summary], *, width: int, color: bool) -> str:
        return json.dumps([as_json(summary) for summary in summaries], indent=1, allow_nan=False)


@hookimpl
def bench_register_formats() -> list[Format]:
    from bench_core.report.html import HtmlFormat

    return [RichFormat(), MarkdownFormat(), LatexFormat(), CsvFormat(), JsonFormat(), HtmlFormat()]
