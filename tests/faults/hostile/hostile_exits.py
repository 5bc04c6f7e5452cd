"""Ends its process on some trials, without a word."""

from __future__ import annotations

import os

from bench_core import Fit, Method, Trials, hookimpl


class Exits(Method):
    """Ends its process on some trials, without a word."""

    name = "hostile_exits"

    def fit(self, trials: Trials) -> Fit:
        if bool((trials["truth"][:, 0] > 0.8).any()):
            os._exit(3)
        return Fit(answer=trials["truth"].clone())


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [Exits]
