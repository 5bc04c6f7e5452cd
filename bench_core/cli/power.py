"""``bench power``: what the planned trials of a suite can show, before they run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench_core.cli.common import AsJson, Block, NoReference, PluginDir, note, open_plugins
from bench_core.cli.layout import json_text, safe, table_text, wrapped

if TYPE_CHECKING:
    from rich.table import Table

    from bench_core.planning_power import Pair, Power, Scenario
    from bench_core.plugins import Plugins
    from bench_core.results import Results
    from bench_core.store import Run
    from bench_core.suite import Suite

MOST_ROWS = 12
"""More pairs of labels than this share one line of the table."""

LONG_NAMES = 32
"""Pairs with longer names may go on in a second line."""

MOST_COLUMNS = 7
"""More problem cells than this share one column, which says from where to where they reach."""

NOTHING_STORED = (
    "Discordant: a trial in which exactly one of the two succeeds. No trial of the suite is stored, so three cases are "
    "shown: labels that succeed on the same trials have little of it, independent ones of rate 50 % have 50 %. After "
    "`bench run` with a few trials this command knows it, pair by pair."
)
NO_SPREAD = (
    "No trial of the suite is stored, so the unit is the standard deviation of the paired differences. After `bench "
    "run` with a few trials this command knows it, pair by pair."
)


def power(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="Suite file or name of a built-in suite.")],
    results: Annotated[
        Path, typer.Option(help="Folder whose stored trials tell how often exactly one of two labels succeeds.")
    ] = Path("results"),
    trials: Annotated[
        int | None, typer.Option(min=1, max=10_000_000, help="Trials per cell, whatever the suite says.")
    ] = None,
    difference: Annotated[
        float | None, typer.Option(help="Say how many trials it takes to find this difference.", show_default=False)
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="What is compared. Default: the metric of the suite's table.", show_default=False)
    ] = None,
    as_json: AsJson = False,
    no_reference: NoReference = False,
    plugin_dir: PluginDir = [],  # noqa: B006 (Typer copies it)
    block: Block = [],  # noqa: B006
) -> None:
    """Say which differences a suite's planned trials can show; with --difference, how many trials it takes.

    Found means: with a probability of 80 %, at 5 % over all pairs of labels of the table, for the strictest that Holm's
    adjustment may ask of one. How often exactly one of two labels succeeds is taken from stored trials of the suite,
    or from the reference results; without any, from 10 % to 50 %.

    --json: one object {suite, metric, kind, unit, power, alpha, comparisons, looks, difference, trials, pilot, pairs};
    a pair holds a, b, problem, problem_params, title, trials, stored and scenarios, each {discordance, spread,
    smallest, trials, raised}: the smallest difference that is found, the trials that the asked difference takes, and
    whether it takes more discordance than that. What is not known is null.
    """
    from bench_core.errors import BenchError, suggest
    from bench_core.overrides import override
    from bench_core.plan import make_plan
    from bench_core.planning_power import power_of
    from bench_core.suite import load_suite
    from bench_core.suites import find_suite

    plugins = open_plugins(plugin_dir, block)
    stated = load_suite(find_suite(suite, Path.cwd()), quantities=plugins.quantities.items)
    name = metric or stated.report.metric
    if name not in stated.metrics:
        raise BenchError(f"suite {stated.name!r} has no metric {name!r}{suggest(name, stated.metrics)}")
    measure = plugins.metrics.get(name)
    most = 1.0 if measure.kind == "rate" else math.inf
    if difference is not None and not (0.0 < difference <= most and math.isfinite(difference)):
        required = "above 0 and at most 1" if measure.kind == "rate" else "above 0"
        raise BenchError(f"--difference: a difference in {name} is {required}, got {difference:g}")
    plan = make_plan(override(stated, plugins, trials=trials), plugins)
    told = power_of(plan, measure, _pilot(stated, plugins, results, reference=not no_reference), difference)
    if not told.pairs:
        raise BenchError(f"suite {stated.name!r} has no two labels that {name} compares; controls are never compared")
    typer.echo(_json(told) if as_json else _text(told), color=None)


def _pilot(suite: Suite, plugins: Plugins, folder: Path, *, reference: bool) -> Results | None:
    """Return the newest stored results of a suite, of whatever seed, or the first reference ones; None without any."""
    from bench_core.errors import BenchError
    from bench_core.reference import reference_runs, with_seed
    from bench_core.results import stored
    from bench_core.store import find_runs
    from bench_core.suite import load_suite

    shipped = reference_runs(suite.name, Path.cwd()) if reference else []
    run: Run | None = None
    seed = shipped[0].seed if shipped else None
    with suppress(BenchError):  # an empty folder, which needs no word: the table says what it rests on
        for each in find_runs(folder):
            try:
                of = load_suite(each.suite_file, stored=True)
            except BenchError as error:
                note(f"warning: left out: {error}", color="yellow")
                continue
            if of.name == suite.name:
                run, seed = each, of.seed
    if seed is None:
        return None
    device = run.device if run else "cpu"
    others = with_seed(suite.name, seed, Path.cwd()) if reference else []
    return stored(suite.model_copy(update={"seed": seed}), plugins, run, device=device, reference=others)


# ---- text ------------------------------------------------------------------------------------------------------------


def _text(told: Power) -> str:
    lines = [typer.style(safe(told.title), bold=True), *_heading(told), "", _table(told), ""]
    lines += [typer.style(line, dim=True) for text in _notes(told) for line in wrapped(text)]
    return "\n".join([*lines, "", *(typer.style(line, bold=True) for line in wrapped(_bottom_line(told)))])


def _heading(told: Power) -> list[str]:
    planned: dict[int, list[str]] = {}
    for label, count in told.trials.items():
        planned.setdefault(count, []).append(label)
    shares = "; ".join(f"{count} of {', '.join(labels)}" for count, labels in planned.items())
    most = "at most " if len(told.looks) > 1 else ""
    lines = [f"Planned trials per problem cell: {most}{shares}.", ""]
    if told.difference is None:
        lines.append(f"The smallest difference in {told.metric} that they find with a probability of 80 %{_in(told)}:")
    else:
        asked = f"{told.difference:g}" + (f" {told.unit}" if told.unit != told.metric else f" in {told.metric}")
        lines.append(f"Trials that it takes to find a difference of {asked} with a probability of 80 %:")
    return [each for line in lines for each in (wrapped(line) or [""])]


def _in(told: Power) -> str:
    return "" if told.unit == told.metric else f", in {told.unit}"


def _table(told: Power) -> str:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    if any(pair.stored for pair in told.pairs):
        _by_pair(table, told)
    else:
        _by_trials(table, told)
    return table_text(table)


def _by_trials(table: Table, told: Power) -> None:
    """Fill the table for labels of which nothing is known: they differ by their numbers of trials alone."""
    from rich.text import Text

    groups: dict[int, list[Pair]] = {}
    for pair in told.pairs:
        groups.setdefault(pair.trials, []).append(pair)
    table.add_column("pairs of")
    table.add_column("trials", justify="right")
    for scenario in told.pairs[0].scenarios:
        head = "difference" if scenario.discordance is None else f"{100 * scenario.discordance:.0f} % discordant"
        table.add_column(head, justify="right")
    for trials, pairs in sorted(groups.items(), reverse=True):
        labels = {label for pair in pairs for label in (pair.a, pair.b)}
        short = [label for label in told.trials if label in labels and told.trials[label] == trials]
        rest = [label for label in told.trials if label in labels and label not in short]
        who = ", ".join(short) + (f" with each other or with {', '.join(rest)}" if rest else "")
        table.add_row(Text(safe(who)), str(trials), *(_cell(each, told, trials) for each in pairs[0].scenarios))


def _by_pair(table: Table, told: Power) -> None:
    """Fill the table with a line for each pair of labels, and a column for each problem cell."""
    from rich.text import Text

    titles = list(dict.fromkeys(pair.title for pair in told.pairs))
    by_pair: dict[tuple[str, str], dict[str, Pair]] = {}
    for pair in told.pairs:
        by_pair.setdefault((pair.a, pair.b), {})[pair.title] = pair
    table.add_column("pair", no_wrap=all(len(f"{a} – {b}") <= LONG_NAMES for a, b in by_pair))
    table.add_column("trials", justify="right")
    shown = titles if len(titles) <= MOST_COLUMNS else []
    for title in shown or ["problem cells, from … to"]:
        table.add_column(Text(safe(title)), justify="right")
    unknown: dict[int, int] = {}
    known = {}
    for names, pairs in by_pair.items():
        if any(pair.stored for pair in pairs.values()):
            known[names] = pairs
        else:
            fewest = min(pair.trials for pair in pairs.values())
            unknown[fewest] = unknown.get(fewest, 0) + 1
    rows = list(known.items())
    single = rows if len(rows) <= MOST_ROWS else rows[: MOST_ROWS - 1]
    folded = [pair for _, pairs in rows[len(single) :] for pair in pairs.values()]
    for (a, b), pairs in single:
        table.add_row(Text(safe(f"{a} – {b}")), *_of_pairs(list(pairs.values()), shown, told))
    if folded:
        others = f"{len(rows) - len(single)} more pairs"
        table.add_row(others, *_of_pairs(folded, shown, told))
    for trials_, count in sorted(unknown.items(), reverse=True):
        pair = next(each for each in told.pairs if not each.stored and each.trials == trials_)
        others = f"{count} pair{'s' if count > 1 else ''} never run"
        table.add_row(others, str(trials_), *[_of_pair(pair, told)] * max(1, len(shown)))


def _of_pairs(pairs: Sequence[Pair], shown: Sequence[str], told: Power) -> list[str]:
    """Return the trials, and a text for each column of problem cells."""
    trials = sorted({pair.trials for pair in pairs})
    columns = [[pair for pair in pairs if pair.title == title] for title in shown] if shown else [list(pairs)]
    return [" … ".join(map(str, dict.fromkeys((trials[0], trials[-1])))), *(_range(each, told) for each in columns)]


def _of_pair(pair: Pair, told: Power) -> str:
    if pair.stored:
        return _cell(pair.typical, told, pair.trials)
    return f"~{_cell(pair.typical, told, pair.trials)}" if told.kind == "rate" else "?"


def _range(pairs: Sequence[Pair], told: Power) -> str:
    if not pairs:
        return ""
    ordered = sorted(pairs, key=lambda pair: _size(pair.typical, told))
    ends = [_of_pair(pair, told) for pair in (ordered[0], ordered[-1])]
    return ends[0] if ends[0] == ends[1] else " … ".join(ends)


def _size(scenario: Scenario, told: Power) -> float:
    if told.difference is None:
        return math.inf if math.isnan(scenario.smallest) else scenario.smallest
    return math.inf if scenario.trials is None else scenario.trials


def _cell(scenario: Scenario, told: Power, planned: int) -> str:
    from bench_core.report.table import number

    more = "^" if scenario.raised else ""
    if told.difference is not None:
        if scenario.trials is None:
            return "–"
        return f"{scenario.trials}{more}{' *' if scenario.trials > planned else ''}"
    if math.isnan(scenario.smallest):
        return "none"
    return f"{scenario.smallest:.3f}{more}" if told.kind == "rate" else number(scenario.smallest)


def _notes(told: Power) -> Iterator[str]:
    """Yield what the numbers of the table rest on."""
    count, looks = len(told.pairs), len(told.looks)
    cells = len({pair.title for pair in told.pairs})
    where = f"of {cells} problem cells" if cells > 1 else "of one problem cell"
    also = f" and the {looks} looks at which a problem cell may stop" if looks > 1 else ""
    yield (
        f"At 5 % shared among the {count} comparisons of the table (all pairs of labels {where}){also}, the strictest "
        f"that Holm's adjustment may ask of one (p ≤ {told.alpha:.2g}): so that labels that are all alike are called "
        "different in at most one table of twenty."
    )
    if looks > 1:
        yield f"Looks: after {', '.join(map(str, told.looks))} trials; the numbers are for cells that go to the last."
    if len(set(told.trials.values())) > 1:
        yield "Two labels are compared on the trials that both have: the smaller of their two numbers."
    if told.difference is not None and any(_beyond(pair) for pair in told.pairs):
        yield "*: more than planned."
    if any(scenario.raised for pair in told.pairs for scenario in pair.scenarios):
        yield (
            "^: more than how often exactly one of the two succeeds, as stored or assumed: such a difference takes "
            "labels that disagree on more trials than that, all of them in favour of one."
        )
    if len({(pair.a, pair.b) for pair in told.pairs if pair.stored}) > MOST_ROWS:
        yield "More pairs: from their smallest number to their largest; --json has all."
    yield from _basis(told)


def _bottom_line(told: Power) -> str:
    """Return what the table says, in a sentence."""
    cases = [(each, pair) for pair in told.pairs for each in ([pair.typical] if pair.stored else pair.scenarios)]
    if told.difference is not None:
        return _bottom_line_of_trials(cases, told)
    known = [(each, pair) for each, pair in cases if not math.isnan(each.smallest) and _has_unit(pair, told)]
    nothing = len({id(pair) for each, pair in cases if math.isnan(each.smallest)})
    none = f"in {nothing} of the {len(told.pairs)} comparisons no difference would" if nothing else ""
    if not known:
        return f"With the planned trials no difference in {told.metric} shows." if none else "Nothing is known."
    ends = [end(known, key=lambda case: case[0].smallest) for end in (min, max)]
    texts = [f"{about(each.smallest)} ({_case(each, pair, told)})" for each, pair in ends]
    sizes = texts[0] if ends[0][0].smallest == ends[1][0].smallest else " to ".join(texts)
    unit = f" in {told.metric}" if told.unit == told.metric else f", in {told.unit},"
    smaller = "smaller ones may stay unseen, and a comparison that finds nothing does not say that two labels are equal"
    return f"With the planned trials, differences{unit} of about {sizes} show{'; ' * bool(none)}{none}; {smaller}."


def _has_unit(pair: Pair, told: Power) -> bool:
    """Whether the differences of a pair are in the unit of the table."""
    return bool(pair.stored) or told.kind == "rate" or told.unit != told.metric


def about(size: float) -> str:
    """Return a size with one digit below 1000, two where the first is a 1.

    >>> about(0.0634), about(0.1523), about(2345.0)
    ('0.06', '0.15', '2345')
    """
    if not 0.0 < size < 1000.0:
        return f"{size:.0f}"
    first = int(f"{size:e}"[0])
    return f"{float(f'{size:.{1 if first == 1 else 0}e}'):g}"


def _case(each: Scenario, pair: Pair, told: Power) -> str:
    several = len({other.title for other in told.pairs}) > 1
    where = [pair.title] * several
    if pair.stored:
        return ", ".join([*where, f"{pair.a} – {pair.b}"])
    if each.discordance is None:
        return f"{pair.trials} trials"
    return f"{100 * each.discordance:.0f} % discordant, {pair.trials} trials"


def _bottom_line_of_trials(cases: Sequence[tuple[Scenario, Pair]], told: Power) -> str:
    enough = {id(pair) for each, pair in cases if each.trials is not None and each.trials <= pair.trials}
    short = {id(pair) for each, pair in cases if each.trials is None or each.trials > pair.trials}
    found = len(enough - short)
    whole = f"The planned trials find such a difference in {found} of the {len(told.pairs)} comparisons"
    depends = len(enough & short)
    if depends:
        whole += f", and in {depends} more depending on how often exactly one of the two succeeds"
    most = max((each.trials for each, pair in cases if each.trials is not None and id(pair) in short), default=None)
    if most is None:
        return f"{whole}."
    return f"{whole}; all for which a number is known take {most} trials."


def _basis(told: Power) -> Iterator[str]:
    """Yield where it is known from how the labels' trials go together."""
    from bench_core.planning_power import TYPICAL

    stored = [pair for pair in told.pairs if pair.stored]
    rate = told.kind == "rate"
    if not stored:
        yield NOTHING_STORED if rate else NO_SPREAD
        return
    what = "how often exactly one of the two succeeds" if rate else "how much their paired differences vary"
    fewest = min(pair.stored for pair in stored)
    shares = [pair.scenarios[0].discordance or 0.0 for pair in stored]
    here = f" (here in {100 * min(shares):.0f} % to {100 * max(shares):.0f} % of the trials)" if rate else ""
    source = told.pilot or "the reference results that come with bench"
    yield f"It depends on {what}{here}, which is taken from the trials stored in {source}: {fewest} pairs or more."
    if len(stored) < len(told.pairs):
        unknown = f"~: {100 * TYPICAL:.0f} % is assumed" if rate else "?: not known"
        yield f"{unknown}, as no trials of both are stored."
    if told.kind == "skewed":
        yield "How much they vary is read off their quartiles, which failures and few large values do not move."


def _beyond(pair: Pair) -> bool:
    return any(each.trials is not None and each.trials > pair.trials for each in pair.scenarios)


# ---- layout ----------------------------------------------------------------------------------------------------------


def _json(told: Power) -> str:
    from bench_core.planning_power import POWER

    document = {
        "suite": told.suite,
        "metric": told.metric,
        "kind": told.kind,
        "unit": told.unit,
        "power": POWER,
        "alpha": told.alpha,
        "comparisons": len(told.pairs),
        "looks": list(told.looks),
        "difference": told.difference,
        "trials": dict(told.trials),
        "pilot": told.pilot or None,
        "pairs": [asdict(pair) for pair in told.pairs],
    }
    return json_text(document)
