"""Never ends on some trials."""

from __future__ import annotations

import time

from bench_core import Fit, Method, Trials, hookimpl


class Sleeps(Method):
    """Never ends on some trials."""

    name = "hostile_sleeps"

    def fit(self, trials: Trials) -> Fit:
        if bool((trials["truth"][:, 0] > 0.8).any()):
            time.sleep(3600)
        return Fit(answer=trials["truth"].clone())


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [Sleeps]
