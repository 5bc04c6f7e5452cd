"""The comparison table as text: the same words and numbers in every format."""

from __future__ import annotations

import json
import math
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from bench_core.summary import TUNING, Entry, Summary
from bench_core.yamlfile import visible

if TYPE_CHECKING:
    from bench_core.selection import Selection

CENTRES = {"rate": "share of", "mean": "mean", "skewed": "median"}
"""What is taken of a metric over trials, by its kind."""
BUDGETS = {
    "gradient_steps": "steps",
    "critic_steps": "critic",
    "generated_samples": "samples",
    "kernel_evaluations": "kernel",
}
"""Usual budgets, in this order, with their short names; others follow under their own."""
INTERVALS = {"rate": "Clopper-Pearson", "mean": "Student's t", "skewed": "order-statistic"}
"""The interval of a metric, by its kind."""
TESTS = {
    "mcnemar_exact": "exact McNemar test",
    "permutation": "sign-flip permutation test",
    "wilcoxon": "Wilcoxon signed-rank test",
}
REFERENCE = "†"
"""Follows the label of reference results."""


@dataclass(frozen=True)
class Column:
    """One column of the table, as text."""

    title: str
    cell: Callable[[Entry], str]
    number: bool = True
    """Whether it is aligned at the right."""


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
    return [Group(place(entries[0], varying) or entries[0].problem, entries) for entries in by_key.values()]


def constants(summary: Summary, metric: str) -> str:
    """Return the parameters that all problem cells share, as text."""
    firsts = [group.entries[0] for group in groups(summary, metric)]
    varying = _varying(firsts, summary.x)
    shared = {name: value for name, value in firsts[0].problem_params.items() if name not in varying} if firsts else {}
    return ", ".join(f"{name} = {plain(value)}" for name, value in shared.items() if value is not None)


def varying(summary: Summary, metric: str) -> list[str]:
    """Return what distinguishes the table's problem cells: ``problem``, the suite's x, other parameters, as needed."""
    return _varying([group.entries[0] for group in groups(summary, metric)], summary.x)


def _varying(firsts: Sequence[Entry], x: str | None) -> list[str]:
    names = dict.fromkeys(name for entry in firsts for name in entry.problem_params)
    varying = [name for name in names if len({repr(entry.problem_params.get(name)) for entry in firsts}) > 1]
    if x is not None:
        varying = [x, *(name for name in varying if name != x)]
    if len({entry.problem for entry in firsts}) > 1:
        varying = ["problem", *varying]
    return varying


def known(entry: Entry) -> dict[str, Any]:
    """Return what can distinguish the entry's problem cell: its parameters, and ``problem``."""
    return {**entry.problem_params, "problem": entry.problem}


def place(entry: Entry, names: Sequence[str]) -> str:
    """Return the entry's problem cell as text, as far as these names go."""
    values = known(entry)
    return ", ".join(f"{name} = {plain(values[name])}" for name in names if name in values)


def results(summary: Summary, metric: str) -> list[Column]:
    """Return the columns of what came out, the label's aside."""
    return [
        Column(f"{metric} [95 %]", estimate),
        Column("trials", lambda entry: str(entry.n_attempted)),
        Column("failed", failed),
        Column("vs best", verdict, number=False),
    ]


def efforts(summary: Summary, metric: str) -> list[Column]:
    """Return the columns of tuning and time; each kind of hardware has its own, as their times do not compare."""
    found = [Column("tuned", tuning)] if any(entry.tuning for entry in summary.table(metric)) else []
    return found + [Column(title, partial(seconds, machine=machine)) for title, machine in clocks(summary).items()]


def spendings(summary: Summary, metric: str) -> list[Column]:
    """Return the columns of the budgets."""
    return [Column(BUDGETS.get(name, name), partial(budget, name=name)) for name in budget_names(summary, metric)]


def clocks(summary: Summary) -> dict[str, str | None]:
    """Return the title of each column of seconds -> its hardware; None where all trials ran on the same."""
    if len(summary.machines) < 2:
        return {"s/trial": None}
    return {f"s/trial {letter}": machine for letter, machine in _lettered(summary.machines)}


def machines(summary: Summary) -> list[str]:
    """Return what timings ran on; where it is several, each begins with the letter of its column."""
    if len(summary.machines) < 2:
        return list(summary.machines)
    return [f"{letter}: {machine}" for letter, machine in _lettered(summary.machines)]


def _lettered(machines: Sequence[str]) -> list[tuple[str, str]]:
    many = len(machines) > len(string.ascii_uppercase)
    return list(zip(map(str, range(1, len(machines) + 1)) if many else string.ascii_uppercase, machines, strict=False))


def budget_names(summary: Summary, metric: str) -> list[str]:
    """Return the budgets that anything in the table spends."""
    spent = {name for entry in summary.table(metric) for name, count in entry.budget.items() if count}
    return [name for name in BUDGETS if name in spent] + sorted(spent - set(BUDGETS))


def costs(entry: Entry) -> bool:
    """Return whether the entry says anything about costs: controls spend nothing but their milliseconds."""
    return bool(entry.n_attempted and (not entry.control or any(entry.budget.values())))


def label(entry: Entry) -> str:
    """Return the label, with a dagger where its trials are reference results."""
    return entry.label + REFERENCE * entry.reference


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
    kinds = ", ".join(f"{count} {status}" for status, count in entry.failures.items())
    return kinds if len(entry.failures) == 1 else f"{entry.n_failed} ({kinds})"


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


def seconds(entry: Entry, machine: str | None = None) -> str:
    """Return the seconds per trial on a machine; without one, nothing where trials ran on several."""
    value = entry.seconds if machine is None else entry.seconds_by.get(machine, math.nan)
    return "" if math.isnan(value) else f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def duration(seconds: float) -> str:
    """Return seconds as a person says them.

    >>> duration(3.2), duration(75), duration(7300)
    ('3 s', '1 min 15 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def plain(value: Any) -> str:
    """Return a parameter's value as a suite would say it."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def clean(text: str) -> str:
    """Return text on one line, with everything escaped that is not there to be seen: controls, marks of direction."""
    return visible(" ".join(text.split()))


def width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    from rich.cells import cell_len

    return cell_len(text)


def settings(params: Mapping[str, Any]) -> str:
    """Return parameters as text.

    >>> settings({"lr": 0.1, "iterate": "average"})
    'lr=0.1, iterate=average'
    """
    return ", ".join(f"{name}={plain(value)}" for name, value in params.items())


def tuning(entry: Entry) -> str:
    """Return how many settings were tried, each on how many holdout trials; ``≠`` where the best label's differ."""
    if entry.tuning is None:
        return ""
    flag = "≠ " if TUNING in entry.unequal else ""
    return f"{flag}{entry.tuning.settings} × {entry.tuning.trials}"


@dataclass(frozen=True)
class Tuned:
    """How the hyper-parameters of a label were chosen, as text."""

    label: str
    metric: str
    grid: str
    chosen: str
    score: str
    runner_up: str
    runner_up_score: str
    cost: str
    failed: str


def tuned(summary: Summary) -> list[Tuned]:
    """Return grid, winner, runner-up and cost of every label whose hyper-parameters are chosen on holdout trials."""
    return [_tuned(selection, summary) for selection in summary.selections]


def _failed_holdouts(selection: Selection) -> str:
    failures = sum(each.n_failed for each in selection.candidates)
    reasons = list(selection.reasons.items())[:2]
    shown = (f"{count} × {clean(reason):.100} (bench replay {trial})" for reason, (count, trial) in reasons)
    return f"{failures} holdout trials: {'; '.join(shown)}" if failures else ""


def _score(value: float) -> str:
    """Return a score with one digit more than a table's estimates: settings are often close."""
    return f"{value:.4g}" if math.isfinite(value) else number(value)


def _tuned(selection: Selection, summary: Summary) -> Tuned:
    axes = (f"{name} {', '.join(map(plain, values))}" for name, values in selection.grid.items())
    settings_tried = len(selection.candidates)
    spent = {name: total for name, total in selection.budget.items() if total}
    names = [name for name in BUDGETS if name in spent] + sorted(spent.keys() - BUDGETS)
    costs = [f"{selection.n_attempted} trials", duration(selection.seconds)]
    costs += [f"{count(spent[name])} {BUDGETS.get(name, name)}" for name in names]
    ranking = selection.ranking if selection.winner else []
    best, second = [*ranking, None, None][:2]
    unfinished = f"not yet: {selection.n_attempted} of {selection.n_planned} holdout trials are stored"
    kind = summary.metrics[selection.metric].kind if selection.metric in summary.metrics else ""
    return Tuned(
        label=selection.label,
        metric=f"{CENTRES[kind]} {selection.metric}" if kind else selection.metric,
        grid=f"{' × '.join(axes)} ({settings_tried} settings, {selection.trials} trials per problem)",
        chosen=settings(best.choice) if best else unfinished,
        score=_score(best.score) if best else "",
        runner_up=settings(second.choice) if second else "",
        runner_up_score=_score(second.score) if second else "",
        cost=", ".join(costs),
        failed=_failed_holdouts(selection),
    )


def notes(summary: Summary, metric: str) -> list[str]:
    """Return what a reader must know to read the table: intervals, test, adjustment, flags, absences."""
    test = test_note(summary, metric)
    return [_interval_note(summary, metric), *([f"vs best: {test}."] if test else []), *remarks(summary, metric)]


def test_note(summary: Summary, metric: str) -> str:
    """Return by which test labels are told apart; nothing where none are compared."""
    compared = [comparison for comparison in summary.comparisons if comparison.metric == metric and comparison.n_pairs]
    if not compared:
        return ""
    pairs = f"all {len(compared)} pairs" if len(compared) > 1 else "the one pair"
    return (
        f"{TESTS[compared[0].test]} on the trials that both have, Holm-adjusted over {pairs} of the table, "
        f"5 % level{over_looks(summary, metric)}"
    )


def over_looks(summary: Summary, metric: str) -> str:
    """Return to which trials a level applies, where a problem cell may stop at any of several looks."""
    return " over all looks" if any(entry.looks > 1 for entry in summary.table(metric)) else ""


def remarks(summary: Summary, metric: str, *, effort: bool = True) -> list[str]:
    """Return the notes that are not about intervals and tests; without ``effort``, nor about tuning and budgets."""
    entries = summary.table(metric)
    lines = ["Controls are shown as ceiling and floor and never compared."] if any(e.control for e in entries) else []
    lines += _adaptive_notes(summary, metric)
    lines += cost_notes(summary, metric) if effort else []
    if any(entry.reference for entry in entries):
        lines.append(f"{REFERENCE}: reference results that come with bench, not run here.")
    if summary.older:
        names = ", ".join(summary.older)
        lines.append(f"{REFERENCE}: computed by older code of the same declared version: {names}.")
    if any(entry.n_failed for entry in entries):
        lines.append(_failure_note(summary, metric))
        lines += _reasons(summary, metric)
    skipped = [entry for entry in entries if entry.skipped]
    reasons = {f"{entry.label}: {clean(entry.skipped or '')}" for entry in skipped}
    lines += [f"Skipped, and in no denominator: {reason}." for reason in sorted(reasons)]
    if summary.absent:
        lines.append(f"Not run yet: {', '.join(summary.absent)}.")
    if summary.stale:
        lines.append(f"{summary.stale} stored trials are set aside: the code that computed them has changed.")
    return lines + [clean(line) for line in summary.also]


def cost_notes(summary: Summary, metric: str) -> list[str]:
    """Return how to read the columns of tuning, time and budgets."""
    entries = summary.table(metric)
    lines = []
    if any(entry.tuning for entry in entries):
        lines.append("tuned: settings tried × holdout trials of each, none of which is in this table.")
    if any(entry.unequal for entry in entries):
        lines.append("≠: not the best label's budget or tuning. Budgets are means per trial.")
    return lines + _machine_notes(summary)


def _machine_notes(summary: Summary) -> list[str]:
    """Return on what hardware the trials ran, a line for each where there is more than one kind."""
    about = "s/trial: on " if len(summary.machines) < 2 else ""
    return [f"{about}{clean(machine)}." for machine in machines(summary)]


def _adaptive_notes(summary: Summary, metric: str) -> list[str]:
    """Return where each problem cell stopped, and what that saved."""
    shown = {group.entries[0].problem_key: group for group in groups(summary, metric)}
    reaches = {key: reach for key, reach in summary.reaches.items() if key in shown}
    if not reaches:
        return []
    looks = next(iter(reaches.values())).looks
    stops = ", ".join(
        f"{shown[key].title} {'stopped at' if reach.stopped else 'goes on to'} {reach.trials} trials"
        for key, reach in reaches.items()
    )
    spent = sum(entry.n_attempted for entry in summary.table(metric))
    share = f"; {summary.saved} of {spent + summary.saved} trials saved" if summary.saved else ""
    return [
        f"Adaptive: {stops}{share}. Intervals and p-values hold at whichever of the {len(looks)} looks "
        f"({', '.join(map(str, looks))}) a problem stops: 5 % is shared out among them."
    ]


def _reasons(summary: Summary, metric: str) -> list[str]:
    """Return why trials failed, the most frequent reasons of each label first, three at most, each with a trial."""
    counts: dict[str, Counter[str]] = {}
    examples: dict[tuple[str, str], str] = {}
    for entry in summary.table(metric):
        counts.setdefault(entry.label, Counter()).update(entry.reasons)
        examples |= {(entry.label, reason): trial for reason, trial in entry.examples.items()}
    return [
        f"  {label}: {count} × {clean(reason):.160} (bench replay {examples[label, reason]})"
        for label, reasons in counts.items()
        for reason, count in reasons.most_common(3)
    ]


def _interval_note(summary: Summary, metric: str) -> str:
    kind = summary.metrics[metric].kind
    what = {"rate": "Share of all attempted trials,", "mean": "Mean", "skewed": "Median"}[kind]
    return f"{what} with {INTERVALS[kind]} intervals (95 %{over_looks(summary, metric)})."


def _failure_note(summary: Summary, metric: str) -> str:
    effect = {
        "rate": "Failed trials count as no success.",
        "mean": "Failed trials have no value: the mean is over the others.",
        "skewed": "Failed trials count as infinitely bad.",
    }
    return effect[summary.metrics[metric].kind]
