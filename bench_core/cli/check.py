"""``bench check``: does a plugin keep the contract?"""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench_core.cli.common import AsJson, Block, PluginDir, note
from bench_core.cli.run import Device

if TYPE_CHECKING:
    from bench_core.testing import Check, Report, Result

SIGNS = {"passed": ("✓", "green"), "failed": ("✗", "bold red"), "skipped": ("–", "dim")}
LOADING = 60.0
"""Seconds that loading may take, PyTorch included."""
GRACE = 10.0
"""Seconds after its limit for a check that cannot be interrupted, before the command gives up."""
PARTS = ("required", "came", "cure")


def check(
    target: Annotated[
        str,
        typer.Argument(
            metavar="PATH|NAME",
            help="A plugin's file or folder, or the name of a method, problem, metric or plugin.",
            show_default=False,
        ),
    ],
    device: Annotated[Device, typer.Option(help="cpu leaves the check on a GPU out.")] = Device.AUTO,
    timeout: Annotated[float, typer.Option(min=0.1, max=86_400, help="Seconds that one check may take.")] = 60.0,
    as_json: AsJson = False,
    plugin_dir: PluginDir = [],  # noqa: B006 (Typer copies it)
    block: Block = [],  # noqa: B006
) -> None:
    """Check that a plugin keeps the contract: randomness, batches, cost, formulas. Exit code 1 when it does not."""
    from bench_core.environment import choose_device
    from bench_core.errors import PluginError
    from bench_core.plugins import PATH_VARIABLE
    from bench_core.testing.checks import TimeIsUp, time_limit
    from bench_core.testing.plugin import plugin_checks

    started = time.perf_counter()
    kind = choose_device(device)
    patience = max(timeout, LOADING)
    try:
        with _given_up(patience, f"loading {target}"), time_limit(patience, [""]):
            checks = plugin_checks(
                target,
                device=kind,
                folders=plugin_dir,
                blocked=block,
                path_variable=os.environ.get(PATH_VARIABLE, ""),
                tell=lambda message: note(f"warning: {message}", color="yellow"),
            )
    except TimeIsUp:
        raise PluginError(f"{target} was not loaded within {patience:g} s; what runs at import must be quick") from None
    report = _run(checks, timeout, None if as_json else _Printer(checks))
    if as_json:
        typer.echo(json.dumps(_as_json(report), indent=1))
    else:
        typer.echo(_last_line(report, time.perf_counter() - started))
    raise typer.Exit(1 if report.failed else 0)


def _run(checks: Sequence[Check], timeout: float, printer: _Printer | None) -> Report:
    """Run checks and print each as it ends."""
    from bench_core.testing import Report

    results = []
    for each in checks:
        if printer:
            printer.subject(each)
        with _given_up(timeout, f"the check {each.name!r} of {each.subject}"):
            result = each.run(timeout)
        results.append(result)
        if printer:
            printer.result(result)
    if printer:
        printer.flush()
    return Report(tuple(results))


class _Printer:
    """Prints results on standard output: a line per check, three more under a failure, one for skips of one reason."""

    def __init__(self, checks: Sequence[Check]) -> None:
        from rich.console import Console

        self._terminal = sys.stdout.isatty()
        self._width = max(60, shutil.get_terminal_size((100, 24)).columns) if self._terminal else 100
        self._console = Console(file=sys.stdout, width=self._width, highlight=False)
        self._names = max((len(each.name) for each in checks), default=0)
        self._subject: object = None
        self._skipped: list[Result] = []

    def subject(self, each: Check) -> None:
        """Print what is checked from here on, where it is another one."""
        if each.subject is self._subject:
            return
        self.flush()
        if self._subject is not None:
            self._console.print()
        self._subject = each.subject
        self._print((f"{each.subject}  ", "bold"), (_shown(each.subject.source), "dim"))

    def result(self, result: Result) -> None:
        """Print how a check ended."""
        if self._skipped and (result.status != "skipped" or result.reason != self._skipped[0].reason):
            self.flush()
        if result.status == "skipped":
            self._skipped.append(result)
            return
        passed = result.status == "passed"
        self._line(result, result.check.name, result.check.demands, "dim" if passed else "bold")
        for part in () if passed else PARTS:
            self._wrapped(f"      {part:<10}", "dim", getattr(result, part), "")

    def flush(self) -> None:
        """Print what was skipped lately."""
        if self._skipped:
            names = ", ".join(result.check.name for result in self._skipped)
            if len(self._skipped) == 1:
                self._line(self._skipped[0], names, self._skipped[0].reason, "dim")
            else:
                self._line(self._skipped[0], f"{len(self._skipped)} checks", self._skipped[0].reason, "dim")
                self._wrapped(" " * (self._names + 6), "", names, "dim")
        self._skipped = []

    def _line(self, result: Result, name: str, text: str, style: str) -> None:
        sign, color = SIGNS[result.status]
        self._wrapped(f"  {sign} {name:<{self._names}}  ", color, text, style)

    def _wrapped(self, head: str, head_style: str, text: str, style: str) -> None:
        from bench_core.yamlfile import visible

        lines = textwrap.wrap(visible(text, keep="\n"), max(20, self._width - len(head))) or [""]
        for index, line in enumerate(lines):
            self._print((" " * len(head) if index else head, head_style), (line, style))

    def _print(self, *parts: tuple[str, str]) -> None:
        from rich.text import Text

        from bench_core.yamlfile import visible

        self._console.print(Text.assemble(*((visible(text), style) for text, style in parts)), soft_wrap=True)


def _shown(source: str) -> str:
    path = Path(source)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else source


def _last_line(report: Report, seconds: float) -> str:
    counts = ", ".join(f"{report.count(status)} {status}" for status in ("passed", "failed", "skipped"))
    return f"\n{counts} in {seconds:.1f} s"


def _as_json(report: Report) -> list[dict[str, Any]]:
    return [
        {
            "kind": result.check.subject.kind,
            "name": result.check.subject.name,
            "source": result.check.subject.source,
            "check": result.check.name,
            "demands": result.check.demands,
            "status": result.status,
            **{part: getattr(result, part) or None for part in (*PARTS, "reason")},
            "seconds": round(result.seconds, 3),
        }
        for result in report.results
    ]


@contextmanager
def _given_up(timeout: float, what: str) -> Iterator[None]:
    """Leave the program when the block hangs in something that no signal can interrupt."""

    def leave() -> None:
        note(f"error: {what} took longer than {timeout:g} s and cannot be interrupted; the rest was not checked")
        sys.stdout.flush()
        os._exit(1)

    timer = threading.Timer(timeout + GRACE, leave)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
