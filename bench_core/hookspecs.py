# mypy: disable-error-code="empty-body"
# A hook specification has a docstring and is never called.
"""Every hook of the harness, in the order in which it is called."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from bench_core.methods import Method
    from bench_core.metrics import Metric
    from bench_core.problems import Problem
    from bench_core.quantities import Quantity
    from bench_core.report import Format, PaperFigure

hookspec = pluggy.HookspecMarker("bench_core")


# --- once, after all plugins are loaded and before any suite is resolved --------------------------------------------


@hookspec
def bench_register_methods() -> Iterable[type[Method]]:
    """Offer methods: subclasses of ``bench_core.Method``. Two methods of one name are refused."""


@hookspec
def bench_register_problems() -> Iterable[type[Problem]]:
    """Offer problems: subclasses of ``bench_core.Problem``. Two problems of one name are refused."""


@hookspec
def bench_register_metrics() -> Iterable[Metric]:
    """Offer metrics: instances of ``bench_core.Metric``. Two metrics of one name are refused."""


@hookspec
def bench_register_quantities() -> Iterable[Quantity]:
    """Offer quantities, which are computed without trials, for ``limit`` and ``count`` claims of suites."""


@hookspec
def bench_register_formats() -> Iterable[Format]:
    """Offer formats for ``bench report --format NAME``: a ``Format``, or a ``FolderFormat`` of several files."""


@hookspec
def bench_register_figures() -> Iterable[PaperFigure]:
    """Offer figures for ``bench figure NAME``: instances of ``bench_core.report.PaperFigure``."""


# --- during a run, in the main process ------------------------------------------------------------------------------


@hookspec
def bench_batch_finished(suite: str, run: str, rows: Sequence[dict[str, Any]]) -> None:
    """Look at the rows of a batch that was just stored, for logging elsewhere; the rows must not be changed."""
