"""The command line: one file per command; each parses, calls, prints."""

from __future__ import annotations

import sys

import typer

from bench_core.cli import (
    check,
    compare,
    doctor,
    export,
    figure,
    listing,
    new,
    power,
    replay,
    report,
    run,
    show,
    verify,
)
from bench_core.cli.common import note
from bench_core.errors import BenchError


def build_app() -> typer.Typer:
    """Return the application with all its commands."""
    app = typer.Typer(
        name="bench",
        help="Compare methods that fit a distribution to data: suites run, tables come out, nothing is lost.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.command("run")(run.run)
    app.command("list")(listing.list_)
    app.command("show")(show.show)
    app.command("report")(report.report)
    app.command("compare")(compare.compare)
    app.command("verify")(verify.verify)
    app.command("power")(power.power)
    app.command("figure")(figure.figure)
    app.command("export")(export.export)
    app.command("replay")(replay.replay)
    app.command("new")(new.new)
    app.command("check")(check.check)
    app.command("doctor")(doctor.doctor)
    app.callback()(_version)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        from bench_core import __version__

        typer.echo(__version__)
        raise typer.Exit


def _version(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version and leave."
    ),
) -> None:
    """Nothing: the option's callback has done it."""


def main() -> None:
    """Run the command line; what the user can act on is one message and exit code 2."""
    try:
        build_app()()
    except BenchError as error:
        note(f"error: {error}", color="red")
        sys.exit(2)
