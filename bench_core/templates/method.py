"""new_method: match moments, to start a method of your own from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from bench_core import Method, hookimpl
from bench_core.engines.recovery import GradientMethod, Loss, Task

if TYPE_CHECKING:
    import torch


class NewMethod(GradientMethod):
    """Descend the squared distance between mean and covariance of the data and of fresh samples of the model.

    Two laws that share both look alike to it. Adam, learning-rate schedule, noise, batches, guards against NaN and the
    counting of steps and samples come from ``GradientMethod``.
    """

    name = "new_method"

    # A field is a hyper-parameter: suites set it, `bench show` explains it, its bounds are checked at once.
    spread: float = Field(1.0, ge=0, le=1000)
    """Weight of the covariance; 0 matches means only."""

    def objective(self, task: Task) -> Loss:
        # What depends on the data alone is computed once per batch. B trials run together, so every tensor has a
        # leading axis B: task.observed is (B, m, d).
        mean, covariance = _moments(task.observed)

        def loss(theta: torch.Tensor) -> torch.Tensor:
            # (B, p) -> (B,): a loss per trial. Sum over the axes of a trial only: trials must not see each other.
            x_mean, x_covariance = _moments(task.sample(theta))  # of fresh samples (B, n, d), by the trials' own noise
            far = (x_mean - mean).square().sum(-1)
            return far + self.spread * (x_covariance - covariance).square().sum((-2, -1))

        return loss


def _moments(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """``(B, n, d)`` -> mean ``(B, d)`` and covariance ``(B, d, d)``."""
    mean = x.mean(-2)
    centred = x - mean.unsqueeze(-2)
    return mean, centred.mT @ centred / x.shape[-2]


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [NewMethod]
