"""Minimum energy distance: a complete method plugin."""

import torch

from bench_core import hookimpl
from bench_core.engines.recovery import GradientMethod


class Energy(GradientMethod):
    """Descend the energy distance between the data and fresh samples of the model."""

    name = "energy"

    def objective(self, task):
        def loss(theta):  # (B, p) -> (B,): one loss per trial, all trials at once
            x = task.sample(theta)  # (B, n, d)
            return 2 * torch.cdist(x, task.observed).mean((1, 2)) - torch.cdist(x, x).mean((1, 2))

        return loss


@hookimpl
def bench_register_methods():
    return [Energy]
