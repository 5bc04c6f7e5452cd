"""Maximum likelihood by gradient descent: Alon, Globerson, Wiesel, Section 4."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bench_core import Method, hookimpl
from bench_core.engines.recovery import GradientMethod, Loss, Task

if TYPE_CHECKING:
    import torch


class MLE(GradientMethod):
    """Descend the mean negative log-likelihood. ``mle_exact`` is its global optimum, without the descent."""

    name = "mle"
    needs: ClassVar[frozenset[str]] = frozenset({"recovery", "log_density"})

    def objective(self, task: Task) -> Loss:
        model, y = task.model, task.observed

        def loss(theta: torch.Tensor) -> torch.Tensor:
            return -model.log_density(theta, y).mean(-1)

        return loss


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [MLE]
