"""Scaled MMD: Arbel, Sutherland, Bińkowski, Gretton, Section 3.3, Proposition 4."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from bench_core import Method, hookimpl
from bench_core.discrepancies import smmd2
from bench_core.engines.feature import Feature, FeatureMethod

if TYPE_CHECKING:
    import torch

    from bench_core.engines.recovery import Task
    from bench_core.kernels import Gaussian


class SMMD(FeatureMethod):
    """Descend the Scaled MMD of the data: the unbiased MMD^2 over the size of the critic and its gradient there."""

    name = "smmd"

    lam: float = Field(1.0, gt=0)
    """Weight lambda of the RKHS norm in the constraint, for ``scaling: theory``."""
    scaling: Literal["theory", "paper"] = "theory"
    """Proposition 4, or the factor 1/(1 + 10 E‖∇φ‖²) of the paper's experiments, which is none of its instances."""

    def discrepancy(
        self, real: torch.Tensor, fake: torch.Tensor, kernel: Gaussian, feature: Feature | None, task: Task
    ) -> torch.Tensor:
        if self.scaling == "paper":
            return smmd2(real, fake, kernel, features=feature, scaling="paper")
        return smmd2(real, fake, kernel, features=feature, lam=self.lam)


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [SMMD]
