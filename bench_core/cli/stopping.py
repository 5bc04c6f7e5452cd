"""Ctrl-C and SIGTERM for a command that works for long: a message and exit code 130, however often they come."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec

import typer

from bench_core.cli.common import note

P = ParamSpec("P")


def stoppable(command: Callable[P, None]) -> Callable[P, None]:
    """Let ``command`` end with exit code 130 when it is stopped, be it while it still imports and plans."""

    @functools.wraps(command)
    def stopping(*args: P.args, **kwargs: P.kwargs) -> None:
        from bench_core.execute.interrupt import interruptible

        with interruptible(final=True):
            try:
                command(*args, **kwargs)
            except KeyboardInterrupt:
                note("\ninterrupted before anything ran")
                raise typer.Exit(130) from None

    return stopping
