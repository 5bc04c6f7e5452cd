"""Raises KeyboardInterrupt on some trials."""

from __future__ import annotations

from bench_core import Fit, Method, Trials, hookimpl


class Interrupts(Method):
    """Raises KeyboardInterrupt on some trials."""

    name = "hostile_interrupts"

    def fit(self, trials: Trials) -> Fit:
        if bool((trials["truth"][:, 0] > 0.8).any()):
            raise KeyboardInterrupt
        return Fit(answer=trials["truth"].clone())


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [Interrupts]
