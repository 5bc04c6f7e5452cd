"""Compare methods that fit a distribution to data: paired, batched trials; failures that count; nothing lost.

A plugin needs two names from here, ``hookimpl`` and one of ``Method``, ``Problem``, ``Metric``; gradient methods
start from ``bench_core.engines.recovery``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from bench_core.methods import Method
    from bench_core.metrics import Metric
    from bench_core.problems import Problem
    from bench_core.trials import Fit, Trials

__version__ = "0.1.0"

NUMERICS_VERSION = "1"
"""Raised whenever a shared numeric routine changes the numbers of a trial; part of every trial's id."""

hookimpl = pluggy.HookimplMarker("bench_core")
"""Marks a function of a plugin as the implementation of the hook of the same name (see ``bench_core.hookspecs``)."""

__all__ = ["NUMERICS_VERSION", "Fit", "Method", "Metric", "Problem", "Trials", "__version__", "hookimpl"]


def __getattr__(name: str) -> object:
    # Lazily, because `bench --help` must not wait for pydantic.
    if name in {"Fit", "Method", "Metric", "Problem", "Trials"}:
        from bench_core import methods, metrics, problems, trials

        for module in (methods, metrics, problems, trials):
            if name in module.__all__:
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
