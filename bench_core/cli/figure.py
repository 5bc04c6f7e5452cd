"""``bench figure``: a figure of a paper, from a command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench_core.cli.common import (
    Block,
    NoReference,
    PluginDir,
    means_results,
    open_plugins,
    read,
    suite_file,
    write,
)
from bench_core.cli.run import Device, stored_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench_core.plugins import Plugins
    from bench_core.results import Results
    from bench_core.summary import Summary

BEGINNINGS = {"svg": (b"<?xml", b"<svg", b"<!DOCTYPE svg"), "pdf": (b"%PDF",), "png": (b"\x89PNG",)}
"""Suffix -> how such a file begins: nothing else is written over."""


def figure(
    name: Annotated[str, typer.Argument(help="A figure; `bench list figures` has them.")],
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="RESULTS|SUITE",
            help="For figures of results: a folder of them, or a suite, of which what is stored is shown. "
            "Default: results.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="File to write: .svg, .pdf or .png. Default: NAME.svg, or NAME-SUITE.svg for a figure of results.",
            show_default=False,
        ),
    ] = None,
    label: Annotated[
        list[str],
        typer.Option(
            help="Label to show. Repeatable. Default: the figure's choice, in success_curve all but tuned labels and "
            "controls.",
            show_default=False,
        ),
    ] = [],  # noqa: B006 (Typer copies it)
    results: Annotated[Path, typer.Option(help="Folder that a suite's results are stored in.")] = Path("results"),
    device: Annotated[Device, typer.Option(help="Of a suite: where its trials ran.")] = Device.AUTO,
    no_reference: NoReference = False,
    plugin_dir: PluginDir = [],  # noqa: B006
    block: Block = [],  # noqa: B006
) -> None:
    """Draw a figure of a paper, as vector graphics or as an image.

    Nothing runs: a figure of results shows those that are stored, and the results that come with bench of labels that
    are not run here. The same results give the same file, byte for byte.
    """
    from bench_core.errors import BenchError, suggest
    from bench_core.report.figures import files

    plugins = open_plugins(plugin_dir, block)
    if name not in plugins.figures:
        raise BenchError(f"unknown figure {name!r}{suggest(name, plugins.figures)}{plugins.why_missing(name)}")
    chosen = plugins.figures.get(name)
    if not chosen.needs_results and (what is not None or label):
        raise BenchError(f"{name} is drawn without results; leave {'--label' if what is None else repr(what)} out")
    if output is not None:
        _check_output(output)
    summary = None
    if chosen.needs_results:
        found = _results(what or "results", plugins, results, device, reference=not no_reference)
        summary = _summary(found, plugins, label)
    path = output or Path(f"{name}-{summary.suite}.svg" if summary else f"{name}.svg")
    suffix = _check_output(path)
    write(path, files(lambda: chosen.draw(summary, label), [suffix])[suffix])


def _check_output(path: Path) -> str:
    """Return the kind of file, a key of ``BEGINNINGS``.

    Raises:
        BenchError: when it is none, or when something else is there that would be lost.
    """
    from bench_core.errors import BenchError, suggest

    suffix = path.suffix.lower().removeprefix(".")
    if suffix not in BEGINNINGS:
        raise BenchError(
            f"--output: unknown kind of file {path.suffix!r}{suggest(path.suffix, [f'.{each}' for each in BEGINNINGS])}"
        )
    if path.is_dir():
        raise BenchError(f"{path} is a folder; give a file with --output")
    try:
        with path.open("rb") as file:
            beginning = file.read(16)
    except FileNotFoundError:
        return suffix
    except OSError as error:
        raise BenchError(f"cannot read {path}, which is there: {error.strerror}; give another --output") from None
    known = [each for beginnings in BEGINNINGS.values() for each in beginnings]
    if beginning and not beginning.startswith(tuple(known)):
        raise BenchError(f"{path} exists and is no figure; give another file with --output")
    return suffix


def _results(what: str, plugins: Plugins, folder: Path, device: Device, *, reference: bool) -> Results:
    """Return the results of one suite."""
    from bench_core.environment import choose_device
    from bench_core.errors import BenchError
    from bench_core.running import Options
    from bench_core.suite import load_suite

    if means_results(what):
        found = read(Path(what), plugins, reference=reference)
        if len(found) > 1:
            names = ", ".join(each.plan.suite.name for each in found)
            raise BenchError(f"{what} holds results of several suites ({names}); name one of them, or its folder")
        return found[0]
    suite = load_suite(suite_file(what))
    return stored_of(suite, plugins, Options(results=folder, device=choose_device(device)), reference=reference)


def _summary(found: Results, plugins: Plugins, labels: Sequence[str]) -> Summary:
    from bench_core.errors import BenchError, suggest
    from bench_core.summary import summarise

    summary = summarise(found, plugins)
    shown = dict.fromkeys(entry.label for entry in summary.table() if entry.n_attempted)
    if not shown:
        raise BenchError(f"no trial of {summary.suite} is stored; run it first: bench run {summary.suite}")
    for label in labels:
        if label in found.plan.labels and label not in shown:
            raise BenchError(f"--label: no trial of {label!r} is stored; run it first, with bench run")
        if label not in shown:
            raise BenchError(f"--label: unknown label {label!r}{suggest(label, shown)}")
    return summary
