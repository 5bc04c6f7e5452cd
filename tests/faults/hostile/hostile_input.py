"""Overwrites its input."""

from __future__ import annotations

from bench_core import Fit, Method, Trials, hookimpl


class Overwrites(Method):
    """Overwrites its input."""

    name = "hostile_input"

    def fit(self, trials: Trials) -> Fit:
        trials["observed"].zero_()
        return Fit(answer=trials["start"].clone())


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [Overwrites]
