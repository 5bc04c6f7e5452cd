"""MMD with a trained kernel and a penalty on its witness' gradient: Bińkowski et al. 2018; Arbel et al., eq. 28."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from bench_core import Method, hookimpl
from bench_core.discrepancies import mmd2
from bench_core.discrepancies.penalties import mmd_gp
from bench_core.engines.feature import Feature, FeatureMethod
from bench_core.kernels import Gaussian

if TYPE_CHECKING:
    import torch

    from bench_core.engines.recovery import Task


class MMDGP(FeatureMethod):
    """Descend the unbiased MMD^2 of a critic's features, which a penalty on the gradient of the witness holds back."""

    name = "mmd_gp"

    penalty: float = Field(1.0, ge=0)
    """Weight of the penalty (‖∇f‖ - 1)²; the public code has 1."""
    at: Literal["between", "real"] = "between"
    """Where the gradient is taken: between pairs of samples (MMD-GP-Unif), or at the data (MMD-GP)."""

    def discrepancy(
        self, real: torch.Tensor, fake: torch.Tensor, kernel: Gaussian, feature: Feature | None, task: Task
    ) -> torch.Tensor:
        if feature is not None:
            real, fake = feature(real), feature(fake)
        return mmd2(real, fake, kernel)

    def penalty_of(self, real: torch.Tensor, fake: torch.Tensor, feature: Feature, task: Task) -> torch.Tensor:
        n = min(real.shape[-2], fake.shape[-2])
        share = task.noise("interpolates", (n, 1), "uniform")  # (B, n, 1)
        if self.at == "real":
            share = share.new_ones(share.shape)
        real, fake = real[..., :n, :], fake[..., :n, :]
        task.spend(kernel_evaluations=2 * n * n)
        return self.penalty * mmd_gp(real, fake, Gaussian(self.bandwidth), feature, share)


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [MMDGP]
