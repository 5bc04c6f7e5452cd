"""Lipschitz MMD: Arbel, Sutherland, Bińkowski, Gretton, eq. 4, Appendix D."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from bench_core import Method, hookimpl
from bench_core.discrepancies import lipmmd
from bench_core.engines.feature import Feature, FeatureMethod
from bench_core.kernels import Gaussian
from bench_core.problems import RecoveryProblem

if TYPE_CHECKING:
    import torch

    from bench_core.engines.recovery import Task
    from bench_core.problems import Problem


class LipschitzMMD(FeatureMethod):
    """Descend the Lipschitz MMD, whose constraint holds at points all over the samples' range.

    The critic is linear, on the line, where it is nothing but the width of the kernel.
    """

    name = "lipmmd"
    quick: ClassVar[Mapping[str, Any]] = {"points": 9}

    hidden_layers: Literal[0] = 0
    """The critic is linear."""
    lam: float = Field(1.0, gt=0)
    """Weight lambda of the RKHS norm in the constraint."""
    points: int = Field(49, ge=9, le=10_000)
    """Points at which the slope is bounded, evenly spaced; in the plane a square grid of at most so many."""

    MOST: ClassVar[int] = 2
    """Dimensions that points can cover."""

    def unfit(self, problem: Problem) -> str | None:
        if isinstance(problem, RecoveryProblem):
            if problem.d > self.MOST:
                return f"points cannot cover {problem.d} dimensions; the Lipschitz MMD is for at most {self.MOST}"
            if problem.d > 1 and self.critic == "trained":
                return f"a critic is trained on the line only, not in {problem.d} dimensions; set critic: none"
        return super().unfit(problem)

    def discrepancy(
        self, real: torch.Tensor, fake: torch.Tensor, kernel: Gaussian, feature: Feature | None, task: Task
    ) -> torch.Tensor:
        if feature is not None:  # phi(x) = psi x + a constant
            psi = feature.critic.parameters[0].flatten()  # (B,)
            kernel = Gaussian(self.bandwidth / psi.square().clamp(min=1e-12))
        points = self._points(real, fake)
        k = points.shape[-2]
        task.spend(kernel_evaluations=k * (k + real.shape[-2] + fake.shape[-2]))
        found = lipmmd(real, fake, kernel, points, lam=self.lam, start=task.memory.get("lipmmd-weights"))
        task.memory["lipmmd-weights"] = found.weights
        return found.value.square()

    def _points(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        """Return a grid over the range of both samples, a little beyond: ``(B, k, d)``."""
        import torch

        samples = torch.cat((real, fake.detach()), -2)
        low, high = samples.amin(-2), samples.amax(-2)  # (B, d)
        margin = 0.01 * (high - low) + 1e-6 * (1 + high.abs() + low.abs())
        d = real.shape[-1]
        side = torch.linspace(0.0, 1.0, int(self.points ** (1 / d) + 1e-9), dtype=real.dtype, device=real.device)
        shares = torch.cartesian_prod(*[side] * d).reshape(-1, d)  # (k, d)
        return (low - margin).unsqueeze(-2) + shares * (high - low + 2 * margin).unsqueeze(-2)


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [LipschitzMMD]
