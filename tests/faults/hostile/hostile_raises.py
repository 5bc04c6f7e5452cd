"""Raises on about half of the trials."""

from __future__ import annotations

from bench_core import Fit, Method, Trials, hookimpl


class Raises(Method):
    """Raises on about half of the trials."""

    name = "hostile_raises"

    def fit(self, trials: Trials) -> Fit:
        bad = trials["truth"][:, 0] > 0
        if bool(bad.any()):
            raise RuntimeError(f"not with {int(bad.sum())} trials like these")
        return Fit(answer=trials["truth"].clone())


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [Raises]
