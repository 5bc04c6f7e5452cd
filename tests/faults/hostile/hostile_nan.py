"""Answers some trials with NaN."""

from __future__ import annotations

from bench_core import Fit, Method, Trials, hookimpl


class NotANumber(Method):
    """Answers some trials with NaN."""

    name = "hostile_nan"

    def fit(self, trials: Trials) -> Fit:
        answer = trials["truth"].clone()
        answer[trials["truth"][:, 0] > 0.8] = float("nan")
        return Fit(answer=answer)


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [NotANumber]
