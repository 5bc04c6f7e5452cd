"""Answers with one number per trial instead of all."""

from __future__ import annotations

from bench_core import Fit, Method, Trials, hookimpl


class WrongShape(Method):
    """Answers with one number per trial instead of all."""

    name = "hostile_shape"

    def fit(self, trials: Trials) -> Fit:
        return Fit(answer=trials["truth"][:, 0])


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [WrongShape]
