"""The comparison table as text: the same words and numbers in every format."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench_core.summary import Entry, Summary

BUDGETS = {
    "gradient_steps": "steps",
    "critic_steps": "critic",
    "generated_samples": "samples",
    "kernel_evaluations": "kernel",
}
"""Usual budgets, in this order, with their short names; others follow under their own."""


@dataclass(frozen=True)
class Group:
    """One problem cell of the table."""

    title: str
    entries: Sequence[Entry]


def groups(summary: Summary, metric: str) -> list[Group]:
    """Return the table's problem cells in the suite's order, each named by what distinguishes it."""
    by_key: dict[str, list[Entry]] = {}
    for entry in summary.table(metric):
        by_key.setdefault(entry.problem_key, []).append(entry)
    varying = _varying([entries[0] for entries in by_key.values()], summary.x)
    return [Group(_title(entries[0], varying), entries) for entries in by_key.values()]


def constants(summary: Summary, metric: str) -> str:
    """Return the parameters that all problem cells share, as text."""
    firsts = [group.entries[0] for group in groups(summary, metric)]
    varying = _varying(firsts, summary.x)
    shared = {name: value for name, value in firsts[0].problem_params.items() if name not in varying} if firsts else {}
    return ", ".join(f"{name} = {plain(value)}" for name, value in shared.items())


def _varying(firsts: Sequence[Entry], x: str | None) -> list[str]:
    names = dict.fromkeys(name for entry in firsts for name in entry.problem_params)
    varying = [name for name in names if len({repr(entry.problem_params.get(name)) for entry in firsts}) > 1]
    if x is not None:
        varying = [x, *(name for name in varying if name != x)]
    if len({entry.problem for entry in firsts}) > 1:
        varying = ["problem", *varying]
    return varying


def _title(entry: Entry, varying: Sequence[str]) -> str:
    known: Mapping[str, Any] = {**entry.problem_params, "problem": entry.problem}
    return ", ".join(f"{name} = {plain(known[name])}" for name in varying if name in known) or entry.problem


def budget_names(summary: Summary, metric: str) -> list[str]:
    """Return the budgets that anything in the table spends."""
    spent = {name for entry in summary.table(metric) for name, count in entry.budget.items() if count}
    return [name for name in BUDGETS if name in spent] + sorted(spent - set(BUDGETS))


def estimate(entry: Entry) -> str:
    """Return estimate and interval, or why there is none."""
    if entry.skipped:
        return "skipped"
    if not entry.n_attempted:
        return "not run"
    show = rate if entry.interval == "clopper-pearson" else number
    return f"{show(entry.estimate)} [{show(entry.low)}, {show(entry.high)}]"


def failed(entry: Entry) -> str:
    """Return the number of failures with their kinds."""
    if not entry.n_failed:
        return "0" if entry.n_attempted else ""
    return f"{entry.n_failed} ({', '.join(f'{count} {status}' for status, count in entry.failures.items())})"


def verdict(entry: Entry) -> str:
    """Return how the label compares with the best one."""
    return "control" if entry.control else entry.verdict


def budget(entry: Entry, name: str) -> str:
    """Return a budget in short, flagged with ``≠`` where it differs from the best label's."""
    spent = entry.budget.get(name)
    if not spent:
        return ""
    return ("≠ " if name in entry.unequal else "") + count(spent)


def rate(value: float) -> str:
    """Return a share with three decimals."""
    return f"{value:.3f}"


def number(value: float) -> str:
    """Return three significant digits, without exponent where that is readable.

    >>> number(0.50), number(0.0312), number(1.0), number(12345.0), number(float("inf"))
    ('0.500', '0.0312', '1.00', '1.23e+04', '∞')
    """
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value and not 1e-3 <= abs(value) < 1e4:
        return f"{value:.2e}"
    digits = 2 if not value else max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{digits}f}"


def count(value: float) -> str:
    """Return a count in at most five characters.

    >>> count(1000), count(2.5e6), count(160e6), count(12), count(3e9)
    ('1k', '2.5M', '160M', '12', '3G')
    """
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.4g}"


def seconds(entry: Entry) -> str:
    """Return the seconds per trial."""
    return "" if math.isnan(entry.seconds) else f"{entry.seconds:.2g}"


def plain(value: Any) -> str:
    """Return a parameter's value as a suite would say it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def notes(summary: Summary, metric: str) -> list[str]:
    """Return what a reader must know to read the table: intervals, test, adjustment, flags, absences."""
    compared = [comparison for comparison in summary.comparisons if comparison.metric == metric and comparison.n_pairs]
    lines = [_interval_note(summary, metric)]
    if compared:
        test = {"mcnemar_exact": "exact McNemar", "wilcoxon": "Wilcoxon signed-rank"}[compared[0].test]
        lines.append(
            f"vs best: {test} test on the trials that both have, Holm-adjusted over all {len(compared)} pairs of the "
            "table, 5 % level."
        )
    if any(entry.unequal for entry in summary.table(metric)):
        lines.append("≠: not the best label's budget. Budgets are means per trial.")
    if any(entry.n_failed for entry in summary.table(metric)):
        lines.append(_failure_note(summary, metric))
        lines += _reasons(summary, metric)
    skipped = [entry for entry in summary.table(metric) if entry.skipped]
    reasons = {f"{entry.label}: {_on_one_line(entry.skipped or '')}" for entry in skipped}
    lines += [f"Skipped, and in no denominator: {reason}." for reason in sorted(reasons)]
    if summary.absent:
        lines.append(f"Not run yet: {', '.join(summary.absent)}.")
    if summary.stale:
        lines.append(f"{summary.stale} stored trials are set aside: the code that computed them has changed.")
    return lines


def _reasons(summary: Summary, metric: str) -> list[str]:
    """Return why trials failed, the most frequent reasons of each label first, three at most."""
    counts: dict[str, Counter[str]] = {}
    for entry in summary.table(metric):
        counts.setdefault(entry.label, Counter()).update(entry.reasons)
    return [
        f"  {label}: {count} × {_on_one_line(reason):.160}"
        for label, reasons in counts.items()
        for reason, count in reasons.most_common(3)
    ]


def _on_one_line(text: str) -> str:
    """Make what a plugin said harmless to terminals, which obey escape sequences, and to tables."""
    return "".join(char if char.isprintable() else "\ufffd" for char in " ".join(text.split()))


def _interval_note(summary: Summary, metric: str) -> str:
    kinds = {
        "rate": "Share of all attempted trials, with Clopper-Pearson intervals (95 %).",
        "mean": "Mean with Student's t interval (95 %).",
        "skewed": "Median with its order-statistic interval (95 %).",
    }
    return kinds[summary.metrics[metric].kind]


def _failure_note(summary: Summary, metric: str) -> str:
    effect = {
        "rate": "Failed trials count as no success.",
        "mean": "Failed trials have no value: the mean is over the others.",
        "skewed": "Failed trials count as infinitely bad.",
    }
    return effect[summary.metrics[metric].kind]
