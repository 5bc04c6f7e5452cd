"""Gradient-Constrained MMD: Arbel, Sutherland, Bińkowski, Gretton, eq. 5, Proposition 3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from bench_core import Method, hookimpl
from bench_core.discrepancies import gcmmd2
from bench_core.engines.feature import Feature, FeatureMethod

if TYPE_CHECKING:
    import torch

    from bench_core.engines.recovery import Task
    from bench_core.kernels import Gaussian


class GCMMD(FeatureMethod):
    """Descend the Gradient-Constrained MMD, whose constraint holds on average over a measure."""

    name = "gcmmd"
    quick: ClassVar[Mapping[str, Any]] = {"points": 8}

    lam: float = Field(1.0, gt=0)
    """Weight lambda of the RKHS norm in the constraint."""
    measure: Literal["data", "wide"] = "data"
    """Where the constraint is averaged: over the data, or over N(0, 10² I) as in Appendix B."""
    points: int = Field(64, ge=2, le=100_000)
    """How many points of the measure are taken: the first of the data, or fresh ones each time."""

    def discrepancy(
        self, real: torch.Tensor, fake: torch.Tensor, kernel: Gaussian, feature: Feature | None, task: Task
    ) -> torch.Tensor:
        if self.measure == "wide":
            mu = 10 * task.noise("measure", (self.points, real.shape[-1]))
        else:
            mu = real[..., : self.points, :]
        points = mu.shape[-2]
        task.spend(kernel_evaluations=points * (points + real.shape[-2] + fake.shape[-2]))
        return gcmmd2(real, fake, kernel, features=feature, mu=mu, lam=self.lam)


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [GCMMD]
