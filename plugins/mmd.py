"""Minimum MMD with a Gaussian kernel: Alon, Globerson, Wiesel, eq. 21."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from bench_core import Method, hookimpl
from bench_core.discrepancies import mmd2_against
from bench_core.engines.recovery import GradientMethod, Loss, Task
from bench_core.kernels import Gaussian

if TYPE_CHECKING:
    import torch


class MMD(GradientMethod):
    """Descend the unbiased estimate of MMD^2 between the data and fresh samples of the model."""

    name = "mmd"
    needs: ClassVar[frozenset[str]] = frozenset({"recovery", "samples"})

    bandwidth: float = Field(10.0, gt=0)
    """sigma^2 of the kernel exp(-r^2 / (2 sigma^2)), in squared units of the data."""

    def objective(self, task: Task) -> Loss:
        n, m = task.model.fakes, task.observed.shape[-2]
        distance = mmd2_against(task.observed, Gaussian(self.bandwidth))

        def loss(theta: torch.Tensor) -> torch.Tensor:
            task.spend(kernel_evaluations=n * (n + m))
            return distance(task.sample(theta))

        return loss


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [MMD]
