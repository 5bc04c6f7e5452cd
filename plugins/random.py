"""The floor of an unmixing table: Alon, Globerson, Wiesel, Table 8."""

from __future__ import annotations

from typing import ClassVar

from bench_core import Fit, Method, Trials, hookimpl


class Random(Method):
    """Return the random initial point, which has the law of the truth and knows nothing of the data."""

    name = "random"
    control = True
    needs: ClassVar[frozenset[str]] = frozenset({"recovery", "unmixing"})

    def fit(self, trials: Trials) -> Fit:
        return Fit(answer=trials["start-random"].clone())


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [Random]
