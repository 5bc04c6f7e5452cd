"""Allocates without end on some trials."""

from __future__ import annotations

import torch

from bench_core import Fit, Method, Trials, hookimpl


class Hungry(Method):
    """Allocates without end on some trials."""

    name = "hostile_memory"

    def fit(self, trials: Trials) -> Fit:
        if bool((trials["truth"][:, 0] > 0.8).any()):
            hoard = []
            while True:
                hoard.append(torch.empty(1 << 26))  # 256 MiB, never touched: the test takes no memory from others
        return Fit(answer=trials["truth"].clone())


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [Hungry]
