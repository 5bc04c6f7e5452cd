"""Answers with integers."""

from __future__ import annotations

from bench_core import Fit, Method, Trials, hookimpl


class WrongType(Method):
    """Answers with integers."""

    name = "hostile_dtype"

    def fit(self, trials: Trials) -> Fit:
        return Fit(answer=trials["truth"].long())


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [WrongType]
