"""The ceiling of a recovery table."""

from __future__ import annotations

from typing import ClassVar

from bench_core import Fit, Method, Trials, hookimpl


class Truth(Method):
    """Return the true parameter: the ceiling of every metric."""

    name = "truth"
    control = True
    needs: ClassVar[frozenset[str]] = frozenset({"recovery"})

    def fit(self, trials: Trials) -> Fit:
        return Fit(answer=trials["truth"].clone())


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [Truth]
