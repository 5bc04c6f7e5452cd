"""MMD with a trained kernel and nothing that holds it back: Arbel, Sutherland, Bińkowski, Gretton, eq. 3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench_core import Method, hookimpl
from bench_core.discrepancies import mmd2
from bench_core.engines.feature import Feature, FeatureMethod

if TYPE_CHECKING:
    import torch

    from bench_core.engines.recovery import Task
    from bench_core.kernels import Gaussian


class MMDGAN(FeatureMethod):
    """Descend the unbiased MMD^2 of a critic's features, while the critic ascends it: the optimised MMD."""

    name = "mmd_gan"

    def discrepancy(
        self, real: torch.Tensor, fake: torch.Tensor, kernel: Gaussian, feature: Feature | None, task: Task
    ) -> torch.Tensor:
        if feature is not None:
            real, fake = feature(real), feature(fake)
        return mmd2(real, fake, kernel)


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [MMDGAN]
