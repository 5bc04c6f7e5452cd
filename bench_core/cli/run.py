"""``bench run``: plan, run what is missing, print the table."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench_core.cli.common import Block, NoReference, PluginDir, note, open_plugins, print_summaries
from bench_core.cli.stopping import stoppable

if TYPE_CHECKING:
    from bench_core.plan import Plan
    from bench_core.plugins import Plugins
    from bench_core.results import Results
    from bench_core.running import Options
    from bench_core.suite import Suite


class Device(StrEnum):
    """Where tensors lie."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class ExecutorName(StrEnum):
    """What runs the batches."""

    INLINE = "inline"
    PROCESSES = "processes"


@stoppable
def run(
    suites: Annotated[list[str], typer.Argument(metavar="SUITE...", help="Suite files or names of built-in suites.")],
    results: Annotated[Path, typer.Option(help="Folder that results are stored in.")] = Path("results"),
    method: Annotated[
        list[str],
        typer.Option(help="Label or method to run; the others stay as stored. Repeatable.", show_default=False),
    ] = [],  # noqa: B006 (Typer copies it)
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
    set_: Annotated[
        list[str],
        typer.Option("--set", metavar="[LABEL.]PARAM=VALUE", help="Set a parameter. Repeatable.", show_default=False),
    ] = [],  # noqa: B006
    data: Annotated[Path | None, typer.Option(help="Folder of data sets.", show_default=False)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would run, and run nothing.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start a new run's folder; nothing is deleted.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed trials again.")] = False,
    no_reference: NoReference = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress; only the tables.")] = False,
    plugin_dir: PluginDir = [],  # noqa: B006
    block: Block = [],  # noqa: B006
) -> None:
    """Run suites and print their comparison tables. The same command goes on where it was stopped."""
    from bench_core.environment import choose_device
    from bench_core.errors import BenchError
    from bench_core.overrides import override
    from bench_core.results import labels
    from bench_core.running import Interrupted, Options
    from bench_core.suite import load_suite
    from bench_core.suites import find_suite

    plugins = open_plugins(plugin_dir, block)
    if data is not None and not data.is_dir():
        raise BenchError(f"--data: {str(data)!r} is not a folder; give the folder that holds the data sets")
    kind = choose_device(device)
    plans = []
    for name in suites:
        suite = load_suite(find_suite(name, Path.cwd()), quantities=plugins.quantities.items)
        suite = override(suite, plugins, trials=trials, seed=seed, methods=method, settings=set_)
        plans.append(_plan(suite, plugins, kind, set_))
    failed = 0
    for plan in plans:
        options = Options(
            results=results,
            device=kind,
            executor=executor,
            workers=workers,
            labels=frozenset(labels(plan, method)) if method else None,
            fresh=fresh,
            retry_failed=retry_failed,
            data=data.resolve() if data else None,
        )
        if dry_run:
            _dry_run(plan.suite, plugins, options)
            continue
        try:
            failed += _run(plan.suite, plugins, options, quiet=quiet, reference=not no_reference)
        except (Interrupted, KeyboardInterrupt) as stop:
            say_goodbye(stop)
            raise typer.Exit(130) from None
    raise typer.Exit(1 if failed else 0)


def _plan(suite: Suite, plugins: Plugins, device: str, settings: list[str]) -> Plan:
    from bench_core.errors import SuiteError
    from bench_core.plan import make_plan

    try:
        return make_plan(suite, plugins, device=device)
    except SuiteError as error:
        changed = f" (the file as changed by {' '.join(f'--set {each}' for each in settings)})" if settings else ""
        raise SuiteError(f"{error}{changed}") from None


def carry_out(suite: Suite, plugins: Plugins, options: Options, *, quiet: bool) -> Results:
    """Run what is missing of one suite, show how it goes and return all that is stored."""
    from bench_core.cli.progress import watcher
    from bench_core.running import run_suite

    with watcher(suite, plugins, options, quiet=quiet, terminal=sys.stderr.isatty()) as watch:
        results = run_suite(suite, plugins, options, watch)
    for path in results.set_aside:
        note(f"warning: {path} could not be read and was set aside; its trials ran again", color="yellow")
    for path in results.damaged:
        note(f"warning: {path} is damaged; its trials are missing, and run again with the same command", color="yellow")
    return results


def with_reference(suite: Suite, plugins: Plugins, options: Options) -> Results | None:
    """Return what is stored of a suite, and of labels of which nothing is, the reference results; None without any."""
    from bench_core.reference import with_seed
    from bench_core.results import stored
    from bench_core.store import newest_run

    others = with_seed(suite.name, suite.seed, Path.cwd())
    run = newest_run(options.results, suite.name, suite.seed, options.device)
    return stored(suite, plugins, run, device=options.device, reference=others) if others else None


def stored_of(suite: Suite, plugins: Plugins, options: Options, *, reference: bool) -> Results:
    """Return what is stored of a suite, run or not, with the reference results if they are wanted."""
    from bench_core.results import stored
    from bench_core.store import newest_run

    known = with_reference(suite, plugins, options) if reference else None
    run = newest_run(options.results, suite.name, suite.seed, options.device)
    return known or stored(suite, plugins, run, device=options.device)


def _run(suite: Suite, plugins: Plugins, options: Options, *, quiet: bool, reference: bool) -> int:
    """Run one suite, print its table and return the number of failed trials, holdout trials aside."""
    from bench_core.estimates import FAILED
    from bench_core.summary import summarise

    results = carry_out(suite, plugins, options, quiet=quiet)
    shown = (with_reference(suite, plugins, options) if reference else None) or results
    print_summaries(plugins, [summarise(shown, plugins)], "rich")
    reported = results.frame.filter(results.frame["split"] == "main")
    return int(reported["status"].is_in(FAILED).sum())


def _dry_run(suite: Suite, plugins: Plugins, options: Options) -> None:
    from bench_core.cli.dry_run import render
    from bench_core.results import stored
    from bench_core.store import newest_run

    run = None if options.fresh else newest_run(options.results, suite.name, suite.seed, options.device)
    typer.echo(render(stored(suite, plugins, run, device=options.device), options))


def say_goodbye(stop: BaseException) -> None:
    """Tell somebody who has stopped a run what is stored and how to go on."""
    from bench_core.running import Interrupted

    if isinstance(stop, Interrupted):
        stored = stop.run.rows(only=["trial_id"])["trial_id"].n_unique()
        note(f"\ninterrupted: {stored} finished trials are stored in {stop.run.folder}")
    note("run the same command again to go on")
