"""``bench report``: tables from stored results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from bench_core.cli.common import Block, NoReference, PluginDir, open_plugins, print_summaries, read_several


def report(
    results: Annotated[
        list[Path],
        typer.Argument(metavar="[RESULTS]...", help="Folders given to --results, suites' folders or runs' folders."),
    ] = [Path("results")],  # noqa: B006 (Typer copies it)
    format_: Annotated[
        str, typer.Option("--format", help="rich, markdown, latex, csv, json, html, or a plugin's.")
    ] = "rich",
    metric: Annotated[
        str | None, typer.Option(help="Metric of the table. Default: the suite's.", show_default=False)
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(min=1, max=10_000_000, help="Show so many trials of every cell, as far as they are stored."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Write here instead of printing; html: a folder, by default `report`.", show_default=False),
    ] = None,
    mix: Annotated[
        bool, typer.Option("--mix", help="Show what is not comparable beside each other, as labels of its own.")
    ] = False,
    no_reference: NoReference = False,
    plugin_dir: PluginDir = [],  # noqa: B006
    block: Block = [],  # noqa: B006
) -> None:
    """Print comparison tables: estimates with intervals, failures, budgets and paired comparisons.

    Results of one suite in several folders come into one table, if they are comparable.
    """
    from bench_core.claims.judging import judged
    from bench_core.ranking import over_problems
    from bench_core.report import FolderFormat
    from bench_core.store import FOR_PLOTS, FOR_TABLES

    plugins = open_plugins(plugin_dir, block)
    folder = isinstance(plugins.formats.get(format_), FolderFormat)  # an unknown one is told before anything is read
    only = FOR_PLOTS if folder else FOR_TABLES
    found = read_several(results, plugins, trials=trials, only=only, reference=not no_reference, mix=mix)
    summaries = [judged(each, plugins, metric) for each in found]
    if (ranking := over_problems(summaries)) is not None:
        summaries[-1] = replace(summaries[-1], also=(*summaries[-1].also, ranking.text()))
    print_summaries(plugins, summaries, format_, output)
