"""Changes the settings of the whole process, when it is imported and in every fit."""

from __future__ import annotations

import os

import torch

from bench_core import Fit, Method, Trials, hookimpl

torch.set_default_dtype(torch.float64)
torch.set_num_threads(2)


class Settings(Method):
    """Changes the settings of the whole process, when it is imported and in every fit."""

    name = "hostile_settings"

    def fit(self, trials: Trials) -> Fit:
        torch.set_grad_enabled(False)
        torch.set_default_device("meta")
        torch.set_float32_matmul_precision("medium")
        os.chdir("/")
        return Fit(answer=trials["truth"].clone())


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [Settings]
