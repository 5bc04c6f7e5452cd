"""``bench verify``: one verdict per published claim."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench_core.cli.common import (
    AsJson,
    Block,
    NoReference,
    PluginDir,
    means_results,
    note,
    open_plugins,
    read,
    suite_file,
)
from bench_core.cli.layout import json_text, safe, width, wrapped
from bench_core.cli.run import Device, ExecutorName, carry_out, say_goodbye, stored_of, with_reference
from bench_core.cli.stopping import stoppable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench_core.plugins import Plugins
    from bench_core.report.claims import Line
    from bench_core.running import Options
    from bench_core.suite import Suite
    from bench_core.summary import Summary

COLORS = {"supported": "green", "contradicted": "red", "inconclusive": "yellow"}


@stoppable
def verify(
    what: Annotated[
        str,
        typer.Argument(
            metavar="RESULTS|SUITE",
            help="A folder of results, to be judged as it is; or a suite, of which what is missing runs first.",
        ),
    ] = "results",
    results: Annotated[Path, typer.Option(help="Folder that a suite's results are stored in.")] = Path("results"),
    trials: Annotated[
        int | None, typer.Option(min=1, max=10_000_000, help="Trials per cell, whatever the suite says.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**63 - 1, help="Root seed, whatever the suite says.")] = None,
    device: Annotated[Device, typer.Option(help="Where tensors lie.")] = Device.AUTO,
    executor: Annotated[ExecutorName, typer.Option(help="Worker processes, or this one.")] = ExecutorName.PROCESSES,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="Worker processes. Default: one per core or GPU.", show_default=False),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of data sets.", show_default=False)] = None,
    no_run: Annotated[bool, typer.Option("--no-run", help="Judge the suite by what is stored; run nothing.")] = False,
    no_reference: NoReference = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress; only the verdicts.")] = False,
    as_json: AsJson = False,
    plugin_dir: PluginDir = [],  # noqa: B006 (Typer copies it)
    block: Block = [],  # noqa: B006
) -> None:
    """Say of every claim of a suite whether results support it, contradict it, or settle nothing.

    Of a suite, the labels run that its claims are about, unless the reference results have them all. Exit code 1: a
    claim is contradicted that was not expected to be, readings among alternatives aside.
    """
    from bench_core.claims.judging import judged
    from bench_core.environment import choose_device
    from bench_core.errors import BenchError
    from bench_core.overrides import override
    from bench_core.running import Interrupted, Options
    from bench_core.suite import load_suite

    plugins = open_plugins(plugin_dir, block)
    if means_results(what):
        if trials is not None or seed is not None or no_run:
            raise BenchError("--trials, --seed and --no-run are for suites; a folder of results is judged as it is")
        found = read(Path(what), plugins, reference=not no_reference)
    else:
        suite = _with_claims(load_suite(suite_file(what), quantities=plugins.quantities.items))
        if data is not None and not data.is_dir():
            raise BenchError(f"--data: {str(data)!r} is not a folder; give the folder that holds the data sets")
        suite = override(suite, plugins, trials=trials, seed=seed)
        options = Options(
            results=results,
            device=choose_device(device),
            executor=executor,
            workers=workers,
            labels=frozenset(label for claim in suite.claims for label in claim.labels()),
            data=data.resolve() if data else None,
        )
        try:
            if not no_run:
                _run(suite, plugins, options, quiet=quiet, reference=not no_reference)
            found = [stored_of(suite, plugins, options, reference=not no_reference)]
        except (Interrupted, KeyboardInterrupt) as stop:
            say_goodbye(stop)
            raise typer.Exit(130) from None
    summaries = [judged(each, plugins) for each in found if each.plan.suite.claims]
    for each in found:
        if not each.plan.suite.claims:
            note(f"{each.plan.suite.name}: the suite that these results were run with states no claims")
    if not summaries:
        raise BenchError("nothing to verify; to judge results by a suite as it is now: bench verify SUITE --no-run")
    typer.echo(_as_json(summaries) if as_json else _as_text(summaries), color=None)
    contradicted = [v for s in summaries for v in s.claims if v.decisive and v.verdict == "contradicted"]
    raise typer.Exit(1 if contradicted else 0)


def _with_claims(suite: Suite) -> Suite:
    from bench_core.errors import BenchError

    if not suite.claims:
        raise BenchError(f"suite {suite.name!r} states no claims, so there is nothing to verify")
    return suite


def _run(suite: Suite, plugins: Plugins, options: Options, *, quiet: bool, reference: bool) -> None:
    """Run the labels that claims are about, but for those of which the reference results have all trials."""
    from bench_core.plan import make_plan

    make_plan(suite, plugins, device=options.device)  # what is wrong with it is told before a folder is made
    asked = options.labels or frozenset()
    if not asked:
        if not quiet:
            note(f"{suite.name}: no claim is about trials, so nothing runs")
        return
    left_out = [entry.label for entry in suite.methods if entry.label not in asked]
    if left_out and not quiet:
        note(f"{suite.name}: no claim is about {', '.join(left_out)}, of which nothing runs")
    known = with_reference(suite, plugins, options) if reference else None
    if known is not None:
        lacking = {cell.label for index, cell in enumerate(known.plan.cells) if known.missing(index)}
        asked &= lacking
    if asked:
        carry_out(suite, plugins, replace(options, labels=asked), quiet=quiet)


def _as_json(summaries: Sequence[Summary]) -> str:
    from bench_core.summary import verdict_as_json

    found = [{"suite": each.suite, **verdict_as_json(verdict)} for each in summaries for verdict in each.claims]
    return json_text(found)


def _as_text(summaries: Sequence[Summary]) -> str:
    return "\n\n".join(map(_told, summaries))


def _told(summary: Summary) -> str:
    from bench_core.report.claims import LEGEND, guarantee, lines, tally

    blocks: list[list[str]] = []
    short = False
    for verdict in summary.claims:
        told = [_styled(line) for line in lines(verdict, width(), parts=True)]
        if short and len(told) == 1:
            blocks[-1] += told  # the cells of a published table stand together
        else:
            blocks.append(told)
        short = len(told) == 1
    heading = [typer.style(safe(summary.title), bold=True)]
    heading += [safe(" ".join(summary.source.split()))] if summary.source else []
    heading += [typer.style(safe(_where_from(summary)), dim=True)]
    worth = "\n".join(wrapped(guarantee(summary.claims)))
    end = [typer.style(LEGEND, dim=True), typer.style(worth, dim=True), typer.style(tally(summary.claims), bold=True)]
    return "\n\n".join("\n".join(block) for block in [heading, *blocks, end])


def _where_from(summary: Summary) -> str:
    """Return the suite with its run, where there is one, or that all trials are the reference results."""
    samples = [sample.rows for sample in summary.samples.values() if len(sample.rows)]
    if samples and all("reference" in rows.columns and rows["reference"].all() for rows in samples):
        return f"{summary.suite}: reference results"
    return f"{summary.suite}/{summary.run}" if summary.run else summary.suite


def _styled(line: Line) -> str:
    if line.role == "head":
        return typer.style(line.text, fg=COLORS[line.verdict], bold=True)
    if line.role in ("source", "hint"):
        return typer.style(line.text, dim=True)
    if line.role in ("part", "reading"):
        indent = len(line.text) - len(line.text.lstrip())
        text = line.text[indent:]
        return line.text[:indent] + typer.style(text[:1], fg=COLORS[line.verdict]) + text[1:]
    return line.text
