"""One-sided MMD, the model's side integrated: Alon, Globerson, Wiesel, Section 4 and Lemma 4."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from bench_core import Method, hookimpl
from bench_core.engines.recovery import GradientMethod, Loss, Task

if TYPE_CHECKING:
    import torch


class OSMMD(GradientMethod):
    """Descend MMD^2 between the data and the model itself, as if infinitely many samples were generated.

    Left out is the data's own term, which no parameter changes: the loss is MMD^2 up to a constant.
    """

    name = "osmmd"
    needs: ClassVar[frozenset[str]] = frozenset({"recovery", "gaussian_kernel_mean"})

    bandwidth: float = Field(10.0, gt=0)
    """sigma^2 of the kernel exp(-r^2 / (2 sigma^2)), in squared units of the data."""

    def objective(self, task: Task) -> Loss:
        model, y = task.model, task.observed
        m = y.shape[-2]

        def loss(theta: torch.Tensor) -> torch.Tensor:
            task.spend(kernel_evaluations=m)
            return model.kernel_self(theta, self.bandwidth) - 2 * model.kernel_mean(theta, y, self.bandwidth).mean(-1)

        return loss


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [OSMMD]
