"""A method that does nothing: what it takes is the harness's own cost."""

from __future__ import annotations

from typing import ClassVar

from bench_core import Fit, Method, Trials, hookimpl


class Noop(Method):
    """Return the initial point as it is."""

    name = "noop"
    needs: ClassVar[frozenset[str]] = frozenset({"recovery"})

    def fit(self, trials: Trials) -> Fit:
        return Fit(answer=trials["start"])


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [Noop]
