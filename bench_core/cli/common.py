"""What several commands share: options, plugins, output."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from bench_core.plugins import Plugins
    from bench_core.report import FolderFormat
    from bench_core.results import Results
    from bench_core.summary import Summary

PluginDir = Annotated[
    list[Path],
    typer.Option("--plugin-dir", help="Folder of plugins; the code in it runs. Repeatable.", show_default=False),
]
Block = Annotated[
    list[str], typer.Option("--block", help="Plugin that is not even imported. Repeatable.", show_default=False)
]
NoReference = Annotated[
    bool, typer.Option("--no-reference", help="Leave the results out that come with bench, of labels not run here.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ResultsFolder = Annotated[
    Path, typer.Argument(metavar="RESULTS", help="A folder given to --results, a suite's folder or a run's folder.")
]


def open_plugins(plugin_dir: Sequence[Path], block: Sequence[str]) -> Plugins:
    """Load all plugins; those that fail are reported on standard error and left out."""
    from bench_core.plugins import PATH_VARIABLE, find_sources, load_plugins

    sources = find_sources(plugin_dir, block, cwd=Path.cwd(), path_variable=os.environ.get(PATH_VARIABLE, ""))
    with redirect_stdout(sys.stderr):  # a plugin that prints when it is imported must not print into a table
        plugins = load_plugins(sources)
    for failure in plugins.failures:
        note(f"warning: {failure}", color="yellow")
    return plugins


def note(message: str, *, color: str | None = None) -> None:
    """Print a message, which goes to standard error so that tables can be piped."""
    from bench_core.yamlfile import visible

    typer.secho(visible(message, keep="\n"), err=True, fg=color)


def read(
    folder: Path,
    plugins: Plugins,
    *,
    trials: int | None = None,
    only: Collection[str] | None = None,
    reference: bool = False,
) -> list[Results]:
    """Return the results in ``folder``; what cannot be read of them is told and left out.

    Args:
        folder: see ``store.find_runs``.
        plugins: where names are looked up.
        trials: replaces every number of trials of the suites.
        only: columns to read, beside metrics and budgets; None: those of tables.
        reference: take from the reference results what ``folder`` lacks of a suite's labels.
    """
    from bench_core.reference import with_seed
    from bench_core.results import read_results
    from bench_core.store import FOR_TABLES

    others = partial(with_seed, cwd=Path.cwd()) if reference else None
    found, unreadable = read_results(
        folder, plugins, trials=trials, only=FOR_TABLES if only is None else only, reference=others
    )
    for message in unreadable:
        note(f"warning: left out: {message}", color="yellow")
    for each in found:
        for path in each.damaged:
            note(f"warning: {path} could not be read; the next `bench run` sets it aside", color="yellow")
    return found


def means_results(text: str) -> bool:
    """Whether ``text`` is a folder; a suite of that name, which a folder may well bear, comes first."""
    from bench_core.suites import builtin_suites

    return Path(text).is_dir() and text not in {path.stem for path in builtin_suites(Path.cwd())}


def suite_file(text: str) -> Path:
    """Return the file of a suite, where ``text`` might have been a folder of results as well.

    Raises:
        SuiteError: when there is no such suite.
    """
    from bench_core.errors import SuiteError
    from bench_core.suites import find_suite

    try:
        return find_suite(text, Path.cwd())
    except SuiteError as error:
        raise SuiteError(f"{error}; nor is it a folder of results") from None


def read_several(
    folders: Sequence[Path],
    plugins: Plugins,
    *,
    trials: int | None = None,
    only: Collection[str] | None = None,
    reference: bool = False,
    mix: bool = False,
) -> list[Results]:
    """Return the results in all ``folders``, those of one suite together; see ``read`` and ``merging.merge``."""
    from bench_core.errors import BenchError
    from bench_core.merging import merge

    by_suite: dict[str, list[Results]] = {}
    failed: list[BenchError] = []
    for folder in folders:
        try:
            for each in read(folder, plugins, trials=trials, only=only, reference=reference):
                by_suite.setdefault(each.plan.suite.name, []).append(each)
        except BenchError as error:
            failed.append(error)
    if not by_suite:
        raise BenchError("\n".join(map(str, failed)))
    for each_failed in failed:
        note(f"warning: left out: {each_failed}", color="yellow")
    return [merge(parts, plugins, mix=mix) if len(parts) > 1 else parts[0] for parts in by_suite.values()]


def columns() -> int:
    """Return the width of the terminal, and a width that suits files and pipes where there is none."""
    return shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else 120


def print_summaries(
    plugins: Plugins, summaries: Sequence[Summary], format_name: str, output: Path | None = None
) -> None:
    """Print tables in a format, or write them to ``output``; a format of several files writes a folder."""
    from bench_core.report import FolderFormat

    chosen = plugins.formats.get(format_name)
    if isinstance(chosen, FolderFormat):
        write_folder(output or Path("report"), chosen, summaries)
        return
    terminal = sys.stdout.isatty() and output is None
    width = columns() if terminal else 120
    text = chosen.render(summaries, width=width, color=terminal and "NO_COLOR" not in os.environ)
    if output is None:
        typer.echo(text.rstrip("\n"))
    else:
        write(output, text)


def write_folder(folder: Path, chosen: FolderFormat, summaries: Sequence[Summary]) -> None:
    """Write a report of several files; an older report in ``folder`` is replaced, anything else there is refused.

    Raises:
        BenchError: when the folder holds other things, or cannot be written.
    """
    from bench_core.errors import BenchError

    # The list of what was written tells a report of ours from a folder with somebody's work in it.
    listing = folder / f".{chosen.name}-report"
    if folder.exists() and not listing.is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise BenchError(f"{folder} exists and is no report; give an empty or a new folder with --output")
    try:
        files = chosen.files(summaries)
        for name in listing.read_text(encoding="utf-8").splitlines() if listing.is_file() else ():
            if name not in files and (folder / name).resolve().is_relative_to(folder.resolve()):
                (folder / name).unlink(missing_ok=True)
        for name, content in {listing.name: "\n".join(files).encode(), **files}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    except OSError as error:
        raise BenchError(f"cannot write {folder}: {error.strerror or error}") from None
    note(f"wrote {folder / chosen.opens}")


def write(output: Path, content: str | bytes) -> None:
    """Write a file that the user named.

    Raises:
        BenchError: when it cannot be written.
    """
    from bench_core.errors import BenchError

    try:
        output.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise BenchError(f"cannot write {output}: {error.strerror}") from None
    note(f"wrote {output}")
