"""Summaries -> the data of the page: every word and number that it shows, as JSON.

All of it may come from strangers: suites, plugins, stored rows. It is text here and stays text: ``script`` writes it so
that it cannot leave its file, and the page puts it into text nodes only.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from bench_core.claims import analytic
from bench_core.report import claims, figures, table
from bench_core.report.html import plots
from bench_core.report.html.plots import number

if TYPE_CHECKING:
    from bench_core.summary import Comparison, Entry, Part, Summary, Verdict


@dataclass(frozen=True)
class Column:
    """A column of the comparison table; another one is another line of ``columns``.

    Attributes:
        title: its heading.
        kind: ``text`` or ``number``; ``problem``, ``label``, ``estimate``, ``interval`` and ``verdict`` are drawn in
            ways of their own.
        help: what it is, for those who ask.
        text: what a row shows.
        key: what rows are sorted by; None comes last.
    """

    title: str
    kind: str
    help: str
    text: Callable[[Entry], str]
    key: Callable[[Entry], Any]


VERDICTS = ("best", "not separated", "separated", "control")


def columns(summary: Summary, metric: str) -> list[Column]:
    """Return the columns of the comparison table."""
    kind = summary.metrics[metric].kind
    titles = group_titles(summary)
    order = {key: place for place, key in enumerate(titles)}
    found = [
        Column("problem", "problem", "", lambda e: titles[e.problem_key], lambda e: order[e.problem_key]),
        Column("label", "label", "", table.label, lambda e: e.label.lower()),
        Column(f"{table.CENTRES[kind]} {metric} [95 %]", "estimate", "", table.estimate, lambda e: number(e.estimate)),
        Column("interval", "interval", "sorts by its length", table.estimate, _width),
        Column("trials", "number", "trials that were attempted", lambda e: str(e.n_attempted), lambda e: e.n_attempted),
        Column("failed", "number", "they count, see the notes", table.failed, lambda e: e.n_failed),
        Column("vs best", "verdict", "", table.verdict, lambda e: _rank(table.verdict(e))),
    ]
    if any(entry.tuning for entry in summary.table(metric)):
        tried = "settings tried × holdout trials of each"
        found.append(Column("tuned", "number", tried, table.tuning, lambda e: e.tuning and e.tuning.settings))
    found += [_time_column(title, machine) for title, machine in table.clocks(summary).items()]
    return found + [_budget_column(name) for name in table.budget_names(summary, metric)]


def _time_column(title: str, machine: str | None) -> Column:
    about = f"seconds per trial{f', on {table.clean(machine)}' if machine else ''}"
    return Column(
        title,
        "number",
        about,
        lambda e: table.seconds(e, machine),
        lambda e: number(e.seconds if machine is None else e.seconds_by.get(machine)),
    )


def _budget_column(name: str) -> Column:
    about = f"{name.replace('_', ' ')}, mean per trial"
    return Column(
        table.BUDGETS.get(name, name),
        "number",
        about,
        lambda e: table.budget(e, name),
        lambda e: number(e.budget.get(name)),
    )


def _width(entry: Entry) -> Any:
    return number(entry.high - entry.low) if math.isfinite(entry.high - entry.low) else None


def _rank(verdict: str) -> int | None:
    return VERDICTS.index(verdict) if verdict in VERDICTS else None


def group_titles(summary: Summary) -> dict[str, str]:
    """Return problem key -> title, those of the default metric first: a problem cell may lack it and have another."""
    named = [summary.metric, *(name for name in summary.metrics if name != summary.metric)]
    titles: dict[str, str] = {}
    for metric in named:
        for group in table.groups(summary, metric):
            titles.setdefault(group.entries[0].problem_key, group.title)
    return {entry.problem_key: titles[entry.problem_key] for entry in summary.entries}


def data(summaries: Sequence[Summary]) -> dict[str, Any]:
    """Return all that the page shows."""
    import bench_core

    drawn = figures.names(summaries)
    found: dict[str, Any] = clean(
        {
            "version": bench_core.__version__,
            "suites": [_suite(summary, named) for summary, named in zip(summaries, drawn, strict=True)],
        }
    )
    return found


def clean(value: Any) -> Any:
    """Return ``value`` with every text in it on one line and visible, see ``table.clean``; keys are ours."""
    if isinstance(value, str):
        return table.clean(value)
    if isinstance(value, Mapping):
        return {key: clean(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [clean(each) for each in value]
    return value


_ESCAPES = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


def script(value: Any) -> bytes:
    """Return a script that hands ``value`` to the page: plain ASCII in which no markup can begin or end.

    JSON in a string, not an object literal: there the key ``__proto__`` would mean something.
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=True).translate(_ESCAPES)
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'use strict';\nconst BENCH = JSON.parse('{quoted}');\n".encode("ascii")


def _suite(summary: Summary, drawn: Mapping[str, str]) -> dict[str, Any]:
    looks = figures.styles(summary)
    labels = {label: place for place, label in enumerate(looks)}
    keys = {key: place for place, key in enumerate(group_titles(summary))}
    shown = {name: columns(summary, name) for name in summary.metrics}
    found = {
        "name": summary.suite,
        "title": summary.title,
        "source": summary.source,
        "run": summary.run,
        "metric": summary.metric,
        "x": summary.x,
        "metrics": [_metric(summary, name, shown[name], drawn[name]) for name in summary.metrics],
        "labels": [_label(summary, label, looks[label]) for label in labels],
        "groups": _groups(summary),
        "rows": [_row(summary, entry, labels, keys, shown[entry.metric]) for entry in summary.entries],
        "comparisons": [_comparison(summary, each, labels, keys) for each in summary.comparisons if each.n_pairs],
        "claims": [_claim(claim) for claim in summary.claims],
        "tally": claims.tally(summary.claims) if summary.claims else "",
        "guarantee": claims.guarantee(summary.claims) if summary.claims else "",
        "machines": table.machines(summary),
        "tuned": [asdict(each) for each in table.tuned(summary)],
        "environments": _environments(summary),
        "seconds": _total_seconds(summary),
        "thin": {"path": plots.path_points(summary), "profile": plots.profile_points(summary), "few": plots.FEW},
        "tuning": [plots.tuning(selection) for selection in summary.selections],
    }
    curves = {"profiles": plots.profiles(summary), "paths": plots.paths(summary), "dots": plots.dots(summary)}
    for each in (each for kind in curves.values() for each in kind):
        each["label"], each["group"] = labels[each["label"]], keys[each.pop("key")]
    return found | curves


def _total_seconds(summary: Summary) -> str:
    total = sum(float(sample.rows["seconds"].sum() or 0.0) for sample in summary.samples.values())
    said = table.duration(total + sum(selection.seconds for selection in summary.selections))
    several = len(summary.machines)
    return f"{said}, on {several} kinds of hardware" if several > 1 else said


def _metric(summary: Summary, name: str, shown: Sequence[Column], figure: str) -> dict[str, Any]:
    metric = summary.metrics[name]
    return {
        "name": name,
        "kind": metric.kind,
        "centre": table.CENTRES[metric.kind],
        "direction": metric.direction,
        "columns": [{"title": c.title, "kind": c.kind, "help": c.help} for c in shown],
        "constants": table.constants(summary, name),
        "notes": table.notes(summary, name),
        "test": table.test_note(summary, name),
        "over": table.over_looks(summary, name),
        "log": figures.log_scaled(summary, name),
        "figure": f"figures/{figure}",
    }


def _label(summary: Summary, label: str, look: figures.Style) -> dict[str, Any]:
    entries = [entry for entry in summary.entries if entry.label == label]
    first = entries[0]
    return {
        "name": label,
        "method": first.method,
        "control": first.control,
        "mark": table.REFERENCE * any(entry.reference for entry in entries),
        "color": look.color,
        "dark": look.dark,
        "symbol": look.symbol,
        "dash": look.dash,
    }


def _groups(summary: Summary) -> list[dict[str, Any]]:
    """Return the problem cells: title, place on the axis of x, and what else distinguishes them."""
    firsts = {entry.problem_key: entry for entry in reversed(summary.entries)}
    rest = {
        e.problem_key: title for m in summary.metrics for title, es in figures.panels(summary, m).items() for e in es
    }
    titles = group_titles(summary)
    return [
        {
            "title": titles[key],
            "x": _place(firsts[key].x),
            "rest": rest[key],
            "problem": firsts[key].problem,
            "params": table.settings(firsts[key].problem_params),
        }
        for key in titles
    ]


def _place(x: Any) -> Any:
    return (
        number(x) if isinstance(x, int | float) and not isinstance(x, bool) else None if x is None else table.plain(x)
    )


def _row(
    summary: Summary, entry: Entry, labels: Mapping[str, int], keys: Mapping[str, int], shown: Sequence[Column]
) -> dict[str, Any]:
    trials = summary.samples.get((entry.problem_key, entry.label))
    example = next(iter(trials.rows["trial_id"]), None) if trials is not None else None
    return {
        "metric": entry.metric,
        "label": labels[entry.label],
        "group": keys[entry.problem_key],
        "text": [column.text(entry) for column in shown],
        "key": [column.key(entry) for column in shown],
        "estimate": number(entry.estimate),
        "low": number(entry.low),
        "high": number(entry.high),
        "interval": entry.interval,
        "n": entry.n_attempted,
        "failed": entry.n_failed,
        "failures": [[status, count] for status, count in entry.failures.items()],
        "reasons": [[reason, count, entry.examples.get(reason)] for reason, count in entry.reasons.items()],
        "skipped": entry.skipped,
        "verdict": table.verdict(entry),
        "seconds": [number(entry.seconds_by.get(machine), 6) for machine in summary.machines],
        "name": table.label(entry),
        "reference": entry.reference,
        "budget": [[name.replace("_", " "), count] for name, count in entry.budget.items()],
        "params": table.settings(entry.method_params),
        "run": command(summary, entry),
        "trial": example,
    }


def command(summary: Summary, entry: Entry) -> str:
    """Return the command that computes the cell again, whatever the suite's file says by now.

    Settings of the problem come first: they apply wherever the parameter exists, and those of the label after them.
    """
    trials = summary.samples.get((entry.problem_key, entry.label))
    settings = [f"{name}={_literal(value)}" for name, value in entry.problem_params.items()]
    settings += [f"{entry.label}.{name}={_literal(value)}" for name, value in entry.method_params.items()]
    words = ["bench", "run", summary.suite, "--method", entry.label]
    if trials is not None and len(trials.rows):
        words += ["--seed", str(trials.rows["seed"][0]), "--trials", str(entry.n_attempted)]
    return shlex.join(words + [word for setting in settings for word in ("--set", setting)])


def _literal(value: Any) -> str:
    """Return a parameter as ``--set`` reads it back: text that looks like something else in quotes."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_literal, value))}]"
    if not isinstance(value, str):
        return json.dumps(value)
    return value if value.isidentifier() and value.lower() not in _WORDS else f"'{value}'"


_WORDS = {"true", "false", "null", "inf", "nan", "yes", "no", "on", "off"}


def _comparison(
    summary: Summary, each: Comparison, labels: Mapping[str, int], keys: Mapping[str, int]
) -> dict[str, Any]:
    show = table.rate if summary.metrics[each.metric].kind == "rate" else table.number
    words = f"{each.favours} is better" if each.separated and each.favours else "not separated"
    return {
        "metric": each.metric,
        "group": keys[each.problem_key],
        "a": labels[each.a],
        "b": labels[each.b],
        "n": each.n_pairs,
        "n10": each.n10,
        "n01": each.n01,
        "difference": number(each.difference),
        "low": number(each.low),
        "high": number(each.high),
        "raw": number(each.p_value_raw),
        "p": number(each.p_value),
        "separated": each.separated,
        "text": f"{show(each.difference)} [{show(each.low)}, {show(each.high)}]",
        "p_text": [p_value(each.p_value_raw), p_value(each.p_value)],
        "words": words,
    }


def p_value(value: float) -> str:
    """Return a p-value as papers print it.

    >>> p_value(0.04321), p_value(1.0), p_value(2e-9), p_value(float("nan"))
    ('0.043', '1.000', '<0.001', '–')
    """
    if math.isnan(value):
        return "–"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _claim(claim: Verdict) -> dict[str, Any]:
    published, computed = claim.published, claim.exact and not claim.n
    return {
        "id": claim.id,
        "text": claim.text,
        "source": claim.source,
        "family": claim.family,
        "verdict": claim.verdict,
        "symbol": claims.SYMBOLS[claim.verdict],
        "said": claims.said(claim),
        "decisive": claim.decisive,
        "published": f"{published:g}" if isinstance(published, float | int) else published or "",
        "measured": analytic.shown(claim.estimate) if computed and not math.isnan(claim.estimate) else _measured(claim),
        "computed": computed,
        "n": claim.n,
        "explanation": claim.explanation,
        "hint": claim.hint,
        "pieces": [_part(part) for part in claim.parts] if any(part.n for part in claim.parts) else [],
        "readings": [_claim(reading) for reading in claim.readings],
    }


def _measured(found: Verdict | Part) -> str:
    if math.isnan(found.estimate):
        return ""
    if math.isnan(found.low) or math.isnan(found.high):
        return table.number(found.estimate)
    return f"{table.number(found.estimate)} [{table.number(found.low)}, {table.number(found.high)}]"


def _part(part: Part) -> dict[str, Any]:
    return {
        "where": table.settings(part.where),
        "verdict": part.verdict,
        "symbol": claims.SYMBOLS[part.verdict],
        "said": part.verdict,
        "text": part.text,
        "measured": _measured(part),
        "n": part.n,
    }


def _environments(summary: Summary) -> dict[str, Any]:
    """Return what the trials ran on, a column per environment that has any in the table and a row per fact."""
    counts: dict[str, int] = {}
    for sample in summary.samples.values():
        for name, count in sample.rows["env_id"].value_counts().iter_rows():
            counts[str(name)] = counts.get(str(name), 0) + count
    known = {str(name): dict(_facts(environment)) for name, environment in summary.environments.items()}
    names = [name for name in known if name in counts] or list(known)
    facts = dict.fromkeys(fact for name in names for fact in known[name])
    return {
        "names": names,
        "trials": [counts.get(name, 0) for name in names],
        "facts": [[fact, [known[name].get(fact, "–") for name in names]] for fact in facts],
        "others": len(known) - len(names),
    }


FIRST = ("device", "cpu", "gpu", "cuda", "cpu_capability", "threads", "platform", "python", "torch", "bench", "commit")
"""Facts about an environment that come first: what it is, then what it ran."""


def _facts(environment: Any) -> Iterable[tuple[str, str]]:
    if not isinstance(environment, Mapping):
        yield "environment", str(environment)
        return
    order = [name for name in FIRST if name in environment] + [name for name in environment if name not in FIRST]
    for name in order:
        value = environment[name]
        if isinstance(value, Mapping):
            yield name, ", ".join(f"{key} {table.plain(each)}" for key, each in value.items())
        else:
            yield name.replace("_", " "), "–" if value is None else table.plain(value)
