"""Draws from the global generators, and seeds them."""

from __future__ import annotations

import random

import numpy as np
import torch

from bench_core import Fit, Method, Trials, hookimpl


class Draws(Method):
    """Draws from the global generators, and seeds them."""

    name = "hostile_draws"

    def fit(self, trials: Trials) -> Fit:
        noise = torch.randn(trials["truth"].shape) + float(np.random.rand()) + random.random()
        torch.manual_seed(1)
        np.random.seed(1)
        random.seed(1)
        return Fit(answer=trials["truth"] + noise)


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [Draws]
