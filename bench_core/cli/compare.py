"""``bench compare``: two labels on the trials that both have, or a run with an earlier one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench_core.cli.common import AsJson, Block, NoReference, PluginDir, note, open_plugins, read
from bench_core.cli.layout import json_text, safe, table_text, wrapped
from bench_core.cli.run import ExecutorName, carry_out, say_goodbye
from bench_core.cli.stopping import stoppable

if TYPE_CHECKING:
    from bench_core.comparing import Alone, Contrast, LabelComparison, RunComparison
    from bench_core.metrics import Metric
    from bench_core.plugins import Plugins
    from bench_core.results import Results
    from bench_core.running import Options

CONFIRMING = "confirmation"
"""Folder in a folder of results for what runs to confirm, so that it never becomes the newest run of its suite."""

COLORS = {"worse": "red", "better": "green"}


@stoppable
def compare(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="[RESULTS] A B | RUN_A RUN_B",
            help="Two labels, in the results of a folder (default: results); or two folders of results.",
        ),
    ],
    metric: Annotated[
        str | None, typer.Option(help="What is compared. Default: the metric of the suite's table.", show_default=False)
    ] = None,
    confirm: Annotated[
        bool,
        typer.Option("--confirm", help="Compare two labels on trials that nobody has looked at, too; run what lacks."),
    ] = False,
    executor: Annotated[
        ExecutorName, typer.Option(help="Worker processes, or this one, for --confirm.")
    ] = ExecutorName.PROCESSES,
    workers: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Worker processes for --confirm.", show_default=False)
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of data sets, for --confirm.", show_default=False)] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    as_json: AsJson = False,
    no_reference: NoReference = False,
    plugin_dir: PluginDir = [],  # noqa: B006 (Typer copies it)
    block: Block = [],  # noqa: B006
) -> None:
    """Compare two labels trial by trial, or ask whether a run is worse than an earlier one.

    Two labels: in every problem cell, and over all of them, the difference with its interval, the p-value of the paired
    test, Holm-adjusted over all that is printed, and one sentence. --confirm says it once more on the second block of
    reference results, whose trials nobody has looked at: what the block lacks runs first.

    Two folders: every label and problem cell that both have, whatever code computed them. Exit code 1: something got
    worse. Timings are told and never judged.

    --json of two labels: an array of {suite, run, seed, confirmation, a, b, metric, direction, cells, pooled}; of two
    folders: one object {first, second, comparisons, only_in_first, only_in_second, worse}. A comparison holds words and
    verdict; both sides, each with n, n_failed, estimate, low, high, on_pairs, seconds and settings; paired, n_pairs,
    n10 and n01 (pairs in which a, or b, is better; of folders n_better and n_worse), identical, test, difference
    (a - b; second - first), low, high, improvement (how often a is better, of skewed metrics), looks, p_value_raw,
    p_value, separated, detectable; of labels also finished, a comparison of whether trials finish where the metric is a
    mean. What is not known is null.
    """
    from bench_core.errors import BenchError
    from bench_core.running import Interrupted, Options

    plugins = open_plugins(plugin_dir, block)
    if len(what) == 2 and all(Path(each).is_dir() for each in what):
        if confirm:
            raise BenchError("--confirm is for two labels: bench compare RESULTS A B --confirm")
        raise typer.Exit(_compare_runs(Path(what[0]), Path(what[1]), plugins, metric, as_json=as_json))
    folder, a, b = _labels_of(what)
    if data is not None and not data.is_dir():
        raise BenchError(f"--data: {str(data)!r} is not a folder; give the folder that holds the data sets")
    pairs = _read_labels(folder, a, b, plugins, metric, reference=not no_reference)
    confirmed = []
    if confirm:
        options = Options(folder, "cpu", executor, workers, data=data.resolve() if data else None)
        try:
            confirmed = [(_confirmation(each, (a, b), plugins, options, quiet=quiet), of) for each, of in pairs]
        except (Interrupted, KeyboardInterrupt) as stop:
            say_goodbye(stop)
            raise typer.Exit(130) from None
    told = _compare_labels(pairs, a, b, plugins)
    told += [replace(each, confirmation=True) for each in _compare_labels(confirmed, a, b, plugins)]
    typer.echo(json_text([_label_json(each) for each in told]) if as_json else _label_texts(told), color=None)


def _labels_of(what: Sequence[str]) -> tuple[Path, str, str]:
    """Return the folder and the two labels that the arguments mean."""
    from bench_core.errors import BenchError

    usage = "bench compare [RESULTS] A B compares two labels, bench compare RUN_A RUN_B two folders of results"
    if len(what) == 3:
        return Path(what[0]), what[1], what[2]
    if len(what) != 2:
        raise BenchError(f"two or three arguments are needed, got {len(what)}: {usage}")
    folders = [each for each in what if Path(each).is_dir()]
    paths = [each for each in what if "/" in each and each not in folders]
    if folders or paths:
        wrong = paths or [each for each in what if each not in folders]
        raise BenchError(f"there is no folder {wrong[0]!r}: {usage}")
    return Path("results"), what[0], what[1]


# ---- two labels ------------------------------------------------------------------------------------------------------


def _read_labels(
    folder: Path, a: str, b: str, plugins: Plugins, metric: str | None, *, reference: bool
) -> list[tuple[Results, Metric]]:
    from bench_core.comparing import metric_of, with_both

    found = read(folder, plugins, reference=reference)
    return metric_of(with_both(found, a, b), plugins, metric)


def _compare_labels(pairs: Sequence[tuple[Results, Metric]], a: str, b: str, plugins: Plugins) -> list[LabelComparison]:
    """Return the comparison in each suite; a suite without trials of both is told and left out, unless all are."""
    from bench_core.comparing import adjusted_labels, compare_labels
    from bench_core.errors import BenchError

    compared, refused = [], []
    for results, metric in pairs:
        try:
            compared.append(compare_labels(results, plugins, a, b, metric))
        except BenchError as error:
            refused.append(str(error))
    if refused and not compared:
        raise BenchError("\n".join(refused))
    for message in refused:
        note(f"left out: {message}")
    return adjusted_labels(compared)


def _confirmation(
    first: Results, labels: tuple[str, str], plugins: Plugins, options: Options, *, quiet: bool
) -> Results:
    """Return the results of the second reference block's trials; labels that it lacks run first.

    Raises:
        BenchError: there is no second block, or its trials are those that were compared already.
    """
    from bench_core.errors import BenchError
    from bench_core.reference import reference_runs
    from bench_core.results import stored
    from bench_core.store import RESERVED, Run, newest_run

    suite = first.plan.suite
    blocks = {run.seed: run for run in reference_runs(suite.name, Path.cwd())}
    if len(blocks) < 2:
        have = "one block" if blocks else "none"
        raise BenchError(
            f"--confirm needs a second block of reference results, of which suite {suite.name!r} has {have}; "
            "run both labels with another --seed, and compare them there"
        )
    seed = max(blocks)
    if suite.seed == seed:
        raise BenchError(
            f"the trials of {first.run} are those of the confirmation block (seed {seed}) already; compare results of "
            "another seed first, and then confirm"
        )
    again = suite.model_copy(update={"seed": seed})
    device = Run(first.folder).device if first.folder else "cpu"
    root = _root(options.results, suite.name)
    home = root / CONFIRMING
    reserved = root.name == RESERVED  # where the second block itself lies
    if not reserved and newest_run(root, suite.name, seed, device):
        home = root
        note(
            f"{suite.name}: {root} holds trials of seed {seed} already, at which somebody may have looked",
            color="yellow",
        )

    def look() -> Results:
        run = newest_run(home, suite.name, seed, device)
        return stored(again, plugins, run, device=device, reference=[blocks[seed]])

    lacking = [label for label in labels if _lacks(look(), label)]
    if not lacking:
        return look()
    if reserved:
        raise BenchError(f"{', '.join(lacking)} would run, but not into {root}: name a folder of results of your own")
    note(f"{suite.name}: running {' and '.join(lacking)} at seed {seed}, stored in {home}")
    carry_out(again, plugins, replace(options, results=home, device=device, labels=frozenset(lacking)), quiet=quiet)
    return look()


def _lacks(results: Results, label: str) -> bool:
    """Whether trials of a label are missing that no reference result stands for."""
    if label in results.plan.undecided:
        return True
    for index, cell in enumerate(results.plan.cells):
        if cell.label == label and cell.split == "main" and not cell.skipped and results.missing(index):
            rows = results.rows(index)
            if rows.is_empty() or not rows["reference"].all():
                return True
    return False


def _root(results: Path, suite: str) -> Path:
    """Return the folder of suites' folders for a folder of results, a suite's folder or a run's."""
    folder = results.resolve()
    if folder.parent.name == suite:
        return folder.parent.parent
    return folder.parent if folder.name == suite else folder


# ---- two runs --------------------------------------------------------------------------------------------------------


def _compare_runs(first: Path, second: Path, plugins: Plugins, metric: str | None, *, as_json: bool) -> int:
    from bench_core.comparing import compare_runs, read_any_code

    sides = []
    for folder in (first, second):
        found, unreadable = read_any_code(folder, plugins)
        for message in unreadable:
            note(f"warning: left out: {message}", color="yellow")
        for each in found:
            for path in each.damaged:
                note(f"warning: {path} could not be read, and its trials are missing", color="yellow")
        sides.append(found)
    told = compare_runs(sides[0], sides[1], plugins, metric)
    typer.echo(json_text(_runs_json(told, first, second)) if as_json else _runs_text(told, first, second), color=None)
    return 1 if told.worse else 0


# ---- text ------------------------------------------------------------------------------------------------------------


def _label_texts(told: Sequence[LabelComparison]) -> str:
    return "\n\n".join(map(_label_text, told))


def _label_text(told: LabelComparison) -> str:
    from bench_core.comparing import label_words, pooled_words

    heading = [typer.style(safe(told.title), bold=True)]
    if told.confirmation:
        heading.append(typer.style(f"confirmation, seed {told.seed}, trials that nobody has looked at", bold=True))
    where = f"{told.suite}/{told.run}" if told.run else told.suite
    heading.append(typer.style(safe(f"{where}, seed {told.seed}: {told.metric}, {told.direction} is better"), dim=True))
    lines = [(each.title, label_words(each)) for each in told.cells]
    if told.pooled:
        lines.append(("together", pooled_words(told)))
    width = max(len(title) for title, _ in lines)
    sentences = [
        _hanging(f"{title:{width}}  ", words, fg="green" if "better than" in words else None) for title, words in lines
    ]
    notes = [each for text in _label_notes(told) for each in wrapped(text)]
    key = wrapped(f"A: {told.a}, B: {told.b}")
    dim = [typer.style(each, dim=True) for each in notes]
    return "\n".join([*heading, "", *sentences, "", *key, _table(told), "", *dim])


def _table(told: LabelComparison) -> str:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from bench_core.comparing import percent, signed

    shares = told.kind == "skewed" or (told.kind == "mean" and told.pooled is not None)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", overflow="fold")
    heads = ["A", "B", "A - B", *(["only A", "only B"] if told.kind == "rate" else ["A better", "B better"]), "pairs"]
    for head in [*heads, *(["won by A"] if shares else []), "p", "p (Holm)"]:
        table.add_column(head, justify="right", no_wrap=True)
    rows = [row for each in told.cells for row in (_row(each), *([_row(each.finished)] if each.finished else []))]
    if told.pooled:
        result = told.pooled.result
        centre = [signed("rate", result.estimate), ""] if told.kind == "rate" else ["", percent(result.estimate)]
        counts = [str(result.n10), str(result.n01), str(result.n_pairs)]
        ps = [_p(result.p_value), _p(told.pooled.p_value)]
        rows.append(["together", "", "", centre[0], *counts, centre[1], *ps])
    for row in rows:
        kept = row if shares else [*row[:7], *row[8:]]
        table.add_row(*(Text(safe(text)) for text in kept))
    return table_text(table)


def _row(each: Contrast) -> list[str]:
    """Return title, A, B, difference, two counts, pairs, share of wins and both p-values."""
    from bench_core.comparing import FINISHED, percent, signed, value

    def side(estimate: float, n: int) -> str:
        return value(each.kind, estimate) if n else "–"

    if math.isnan(each.p_value_raw):
        found = ["–", "", "", "0", "", "", ""]
    else:
        counts = [str(each.n10), str(each.n01), str(each.n_pairs)] if each.paired else ["", "", "unpaired"]
        share = percent(each.improvement["estimate"]) if each.improvement else ""
        found = [signed(each.kind, each.difference), *counts, share, _p(each.p_value_raw), _p(each.p_value)]
    title = f"{each.title}, finished" if each.metric == FINISHED.name else each.title
    return [title, side(each.a.on_pairs, each.a.n), side(each.b.on_pairs, each.b.n), *found]


def _label_notes(told: LabelComparison) -> Iterator[str]:
    """Yield what a reader must know to read the sentences and the table."""
    from bench_core.stats import MIN_DISCORDANT, MIN_VALUES

    tested = [each for each in told.cells if not math.isnan(each.p_value_raw)]
    paired = [each for each in tested if each.paired]
    what = {
        "rate": "the share of trials that succeed; only A: trials in which A succeeds and B does not",
        "mean": "the mean over the trials that finished, and of their paired differences",
        "skewed": "the median of each, and of the paired differences; A better: trials in which A is; won by A: their "
        "share, ties as half",
    }[told.kind]
    where = ", on the trials that both have" if paired else ""
    yield f"{told.metric}: {what}{where}. Each interval above holds at 95 %."
    if paired:
        yield f"p: {TESTS[paired[0].test]}."
    if tested:
        count = told.family
        yield (
            f"Holm: adjusted over the {count} comparison{'s' * (count != 1)} printed here that can be told apart "
            f"(problem cells, together{', finished' * any(each.finished is not None for each in told.cells)}, in every "
            "suite); what is left at or below 0.05 is called better, so that anything is wrongly in at most one of "
            f"twenty such outputs. Fewer than {MIN_DISCORDANT} pairs that favour either side cannot be told apart."
        )
    if any(not math.isnan(each.detectable) for each in paired if not each.separated):
        yield (
            "A difference that pairs show is one that so many of them find with a probability of 80 %, at the "
            "strictest step of that adjustment."
        )
    unpaired = [each for each in tested if not each.paired]
    if unpaired:
        yield (
            f"Unpaired in {len(unpaired)} problem cells: the two labels saw different data there, so that they cannot "
            f"be compared trial by trial; {TESTS[unpaired[0].test]} on two independent samples of at least "
            f"{MIN_VALUES}."
        )
    left_out = sum(each.other_data for each in told.cells)
    if left_out:
        yield f"{left_out} trials are left out in which the two labels saw different data."
    if told.pooled:
        what = "the mean over the problem cells" if told.kind == "rate" else "how often A is better, ties as half"
        how = "an exact test of its own, of all their pairs" if told.kind == "rate" else "a sign test of its own"
        if told.pooled.looks > 1:
            how = (
                "as each stopped at a look of its own, the ends of their intervals are averaged, each paid for over "
                "all cells and looks; p: the smallest error at which that interval leaves out equality"
            )
        yield f"together: {what}; {how}."
    looks = max(each.looks for each in told.cells)
    if looks > 1:
        yield f"Adaptive: intervals and p-values hold at whichever of the {looks} looks a problem cell stopped."
    failed = [(label, sum(s.n_failed for s in sides), sum(s.n for s in sides)) for label, sides in _sides(told.cells)]
    if any(count for _, count, _ in failed):
        counted = {
            "rate": "count as no success",
            "mean": "have no value and are in no mean",
            "skewed": "count as infinitely bad",
        }[told.kind]
        yield f"Failed trials {counted}: " + ", ".join(f"{label} {count} of {n}" for label, count, n in failed) + "."
    shipped = [label for label, sides in _sides(told.cells) if any(side.reference for side in sides)]
    if shipped:
        yield f"From the reference results that come with bench: {', '.join(shipped)}."
    if told.older:
        yield f"Computed by older code of the same declared version: {', '.join(told.older)}."
    if told.stale:
        yield f"{told.stale} stored trials are set aside: the code that computed them has changed."


TESTS = {
    "mcnemar_exact": "exact McNemar test",
    "wilcoxon": "Wilcoxon signed-rank test",
    "permutation": "sign-flip test of the mean",
    "fisher_exact": "Fisher's exact test",
    "mann_whitney": "Mann-Whitney test",
    "welch": "Welch's t test",
    "interval": "the smallest error at which the interval leaves out 0",
}
"""Tests in words."""


def _sides(cells: Sequence[Contrast]) -> list[tuple[str, list[Any]]]:
    return [(sides[0].label, list(sides)) for sides in ([c.a for c in cells], [c.b for c in cells])]


def _runs_text(told: RunComparison, first: Path, second: Path) -> str:
    from bench_core.comparing import change

    counts = {word: sum(change(each) == word for each in told.contrasts) for word in WORDS}
    tally = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    same = counts["identical"] == len(told.contrasts)
    verdict = _all_identical(told) if same else tally
    blocks = [
        "\n".join(typer.style(line, fg="red" if counts["worse"] else None, bold=True) for line in wrapped(verdict))
    ]
    if not same:
        blocks.append(safe(f"first:  {first}\nsecond: {second}", keep="\n"))
    for suite in dict.fromkeys(each.suite for each in told.contrasts):
        contrasts = [each for each in told.contrasts if each.suite == suite]
        few = (*_setting_lines(contrasts), *_time_lines(contrasts))
        lines = list(few if same else _suite_lines(suite, contrasts, told))
        blocks += ["\n".join(lines)] if lines else []
    alone = [
        f"only in the {name}: {text}"
        for name, found in (("first", told.only_first), ("second", told.only_second))
        for text in _alone(found, told)
    ]
    if alone:
        alone.append("What only one of the two has does not affect the exit code.")
        blocks.append("\n".join(line for text in alone for line in wrapped(text)))
    if not same:
        blocks.append("\n".join(typer.style(line, dim=True) for line in wrapped(_worth(told))))
    return "\n\n".join(blocks)


def _all_identical(told: RunComparison) -> str:
    trials = sum(each.common for each in told.contrasts if each.metric != "finished")
    labels = len({(each.suite, each.a.label) for each in told.contrasts})
    cells = len({(each.suite, each.problem, each.title) for each in told.contrasts})
    return (
        f"identical: all {trials} trials of {labels} label{'s' * (labels != 1)} in {cells} problem "
        f"cell{'s' * (cells != 1)} give the same numbers"
    )


def _worth(told: RunComparison) -> str:
    from bench_core.stats import MIN_DISCORDANT, MIN_VALUES

    count = sum(each.can_separate for each in told.contrasts)
    over = f"the {count} comparisons" if count != 1 else "the one comparison"
    return (
        f"Changes are second - first, with intervals that hold for their line at 95 %; worse and better are said at "
        f"5 %, Holm-adjusted over {over} that can be told apart: not what is identical, nor fewer than "
        f"{MIN_DISCORDANT} pairs that favour either side, nor fewer than {MIN_VALUES} values where unpaired. "
        "Differences that pairs show are found with a probability of 80 % at its strictest step. Exit code 1: "
        "something is worse; "
        f"timings, told where they differ by more than {100 * NOTABLE:.0f} %, are no part of it."
    )


WORDS = ("worse", "better", "not separated", "identical", "not compared")
"""What may become of a label, in the order of telling."""


def _suite_lines(suite: str, contrasts: Sequence[Contrast], told: RunComparison) -> Iterator[str]:
    """Yield what became of each label of a suite: what changed first, and the rest label by label."""
    from bench_core.comparing import change, change_words

    metrics = dict.fromkeys(each.metric for each in contrasts)
    named = ", ".join(f"{metric}, {told.directions[metric]} is better" for metric in metrics)
    yield typer.style(safe(f"{suite}: {named}"), bold=True)
    groups: dict[tuple[str, str, str, bool], list[Contrast]] = {}
    for each in contrasts:
        groups.setdefault((change(each), each.a.label, each.metric, each.paired), []).append(each)
    for (word, label, _, _), cells in sorted(groups.items(), key=lambda group: WORDS.index(group[0][0])):
        if len(cells) > 1 and word in TOGETHER:
            yield _hanging(f"  {label}: ", TOGETHER[word](cells))
            continue
        for each in cells:
            where = each.problem if each.title == each.problem else f"{each.problem} {each.title}"
            yield _hanging(f"  {where} {label}: ", change_words(each), fg=COLORS.get(word))
    yield from _failed_lines(contrasts)
    yield from _setting_lines(contrasts)
    yield from _time_lines(contrasts)


def _setting_lines(contrasts: Sequence[Contrast]) -> Iterator[str]:
    from bench_core.comparing import told_apart

    settings = {(each.a.label, told_apart(each)) for each in contrasts}
    for label, changed in sorted(each for each in settings if each[1]):
        yield _hanging(f"  other settings of {label}: ", changed)


NOTABLE = 0.2
"""Timings that differ by less than this part are not told."""


def _time_lines(contrasts: Sequence[Contrast]) -> Iterator[str]:
    """Yield for each machine what labels took on it before and after, over the problem cells that both computed there.

    Only those whose times differ by more than ``NOTABLE``.
    """
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for each in contrasts:
        for machine, before in each.b.seconds.items():
            if machine in each.a.seconds:
                labels = found.setdefault(machine, {})
                labels.setdefault(each.a.label, []).append((before, each.a.seconds[machine]))
    for machine, labels in found.items():
        means = {label: [fmean(side) for side in zip(*times, strict=True)] for label, times in labels.items()}
        told = [
            f"{label} {before:.2g} -> {after:.2g}"
            for label, (before, after) in means.items()
            if max(before, after) > (1.0 + NOTABLE) * min(before, after)
        ]
        if told:
            yield _hanging(f"  seconds per trial on {machine}: ", ", ".join(told))


def _identical(cells: Sequence[Contrast]) -> str:
    trials, of = sum(each.identical for each in cells), sum(each.common for each in cells)
    return f"identical in {len(cells)} problem cells: {trials} of {of} trials give the same numbers"


def _not_separated(cells: Sequence[Contrast]) -> str:
    from bench_core.comparing import signed, value

    first = cells[0]
    low, high = (signed(first.kind, end([each.difference for each in cells])) for end in (min, max))
    text = f"not separated in {len(cells)} problem cells: {first.metric} changes by {low} to {high}"
    if not first.paired:
        return f"{text}; unpaired (trials on different data)"
    pairs = sorted({each.n_pairs for each in cells})
    least = [each.detectable for each in cells if not math.isnan(each.detectable)]
    shown = f" show differences above {value(first.kind, max(least))}" if len(least) == len(cells) else ""
    return f"{text}; {' to '.join(dict.fromkeys(map(str, (pairs[0], pairs[-1]))))} pairs each{shown}"


TOGETHER = {"identical": _identical, "not separated": _not_separated}
"""What is told of a label in one line for several problem cells."""


def _failed_lines(contrasts: Sequence[Contrast]) -> Iterator[str]:
    found: dict[str, list[Contrast]] = {}
    for each in contrasts:
        if each.metric != "finished":
            found.setdefault(each.a.label, []).append(each)
    told = []
    for label, cells in found.items():
        (failed, of), (failed_now, of_now) = (
            (sum(side.n_failed for side in sides), sum(side.n for side in sides))
            for sides in ([each.b for each in cells], [each.a for each in cells])
        )
        if failed or failed_now:
            told.append(f"{label} {failed} of {of} -> {failed_now} of {of_now}")
    if told:
        yield _hanging("  failed trials: ", ", ".join(told))


def _alone(found: Sequence[Alone], told: RunComparison) -> list[str]:
    """Return a text for each suite with the labels that only one run has, and where if it is not everywhere."""
    compared = {(each.suite, each.a.label) for each in told.contrasts}
    suites: dict[str, list[str]] = {}
    for each in found:
        where = f" ({', '.join(each.problem_cells)})" if (each.suite, each.label) in compared else ""
        suites.setdefault(each.suite, []).append(each.label + where)
    return [f"{suite}: {', '.join(labels)}" for suite, labels in suites.items()]


# ---- JSON ------------------------------------------------------------------------------------------------------------


def _label_json(told: LabelComparison) -> dict[str, Any]:
    from bench_core.comparing import as_json, label_words, pooled_words, verdict

    pooled = None
    if told.pooled:
        result = told.pooled.result
        pooled = {
            "words": pooled_words(told),
            "verdict": verdict(told.winner),
            **{key: each for key, each in result._asdict().items() if key not in ("p_value", "favours")},
            "p_value_raw": result.p_value,
            "p_value": told.pooled.p_value,
            "separated": told.pooled.separated,
            "detectable": told.pooled.detectable,
        }
    return {
        "suite": told.suite,
        "run": told.run,
        "seed": told.seed,
        "confirmation": told.confirmation,
        "a": told.a,
        "b": told.b,
        "metric": told.metric,
        "direction": told.direction,
        "cells": [
            {"words": label_words(each), "verdict": verdict(each.winner), **as_json(each)} for each in told.cells
        ],
        "pooled": pooled,
    }


def _runs_json(told: RunComparison, first: Path, second: Path) -> dict[str, Any]:
    from bench_core.comparing import as_json, change, change_words

    comparisons = []
    for each in told.contrasts:
        plain = as_json(each)
        sides = {"first": plain.pop("b"), "second": plain.pop("a")}
        plain["n_worse"], plain["n_better"] = plain.pop("n01"), plain.pop("n10")
        for key in ("favours", "finished"):  # which the verdict says; and a comparison of its own
            del plain[key]
        comparisons.append(
            {
                "suite": each.suite,
                "label": each.a.label,
                "words": change_words(each),
                "verdict": change(each),
                **sides,
                **plain,
            }
        )
    return {
        "first": str(first),
        "second": str(second),
        "comparisons": comparisons,
        "only_in_first": [vars(each) for each in told.only_first],
        "only_in_second": [vars(each) for each in told.only_second],
        "worse": len(told.worse),
    }


# ---- layout ----------------------------------------------------------------------------------------------------------


def _hanging(head: str, text: str, fg: str | None = None) -> str:
    """Return ``head`` with a sentence beside it that goes on below its own beginning, or a little to the right."""
    head = safe(head)
    lines = wrapped(text, head, " " * (len(head) if len(head) <= 24 else 6))
    if fg and lines and lines[0].startswith(head):
        lines = [head + typer.style(lines[0][len(head) :], fg=fg), *(typer.style(line, fg=fg) for line in lines[1:])]
    return "\n".join(lines)


def _p(value: float) -> str:
    return "" if math.isnan(value) else "<0.0001" if value < 1e-4 else f"{value:.2g}" if value < 0.995 else "1"
