"""Calls sys.exit on some trials."""

from __future__ import annotations

import sys

from bench_core import Fit, Method, Trials, hookimpl


class Quits(Method):
    """Calls sys.exit on some trials."""

    name = "hostile_quits"

    def fit(self, trials: Trials) -> Fit:
        if bool((trials["truth"][:, 0] > 0.8).any()):
            sys.exit("I quit")
        return Fit(answer=trials["truth"].clone())


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [Quits]
