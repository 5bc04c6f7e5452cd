"""The floor of a recovery table."""

from __future__ import annotations

from typing import ClassVar

from bench_core import Fit, Method, Trials, hookimpl


class Init(Method):
    """Return the initial point: what a method must beat to have learnt anything."""

    name = "init"
    control = True
    needs: ClassVar[frozenset[str]] = frozenset({"recovery"})

    def fit(self, trials: Trials) -> Fit:
        return Fit(answer=trials["start"].clone())


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [Init]
