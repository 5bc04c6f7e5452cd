"""Recovery by a kernel discrepancy of what a critic makes of the samples."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from bench_core.engines.critic import Critic, CriticMethod
from bench_core.engines.recovery import GradientMethod, Loss, Task
from bench_core.kernels import Gaussian

if TYPE_CHECKING:
    import torch


class Feature:
    """A critic as a feature of one dimension, which the discrepancies take, with its Jacobian in closed form.

    Both are in float64: a critic may stretch the data to many times the kernel's width, where float32 has no fast way.
    """

    def __init__(self, critic: Critic) -> None:
        self.critic = critic

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the feature of each sample: ``(B, n, d)`` -> ``(B, n, 1)``."""
        return self.critic(x).unsqueeze(-1).double()

    def jacobian(self, x: torch.Tensor) -> torch.Tensor:
        """Return its Jacobian: ``(B, n, d)`` -> ``(B, n, 1, d)``."""
        return self.critic.input_gradient(x).unsqueeze(-2).double()


class FeatureMethod(CriticMethod):
    """Descend a squared discrepancy D^2(P, Q) with the kernel K(phi(x), phi(y)), while the critic phi ascends it.

    K is Gaussian. Subclasses define the discrepancy, and a penalty on the critic if there is one.
    """

    quick: ClassVar[Mapping[str, Any]] = {"n_critic": 2, "iterations": 15}

    critic: Literal["trained", "none"] = "trained"
    """Train the feature phi, or take K on the data themselves; the critic's other parameters then mean nothing."""
    bandwidth: float = Field(1.0, gt=0)
    """sigma^2 of K, in squared units of the feature."""

    @abstractmethod
    def discrepancy(
        self, real: torch.Tensor, fake: torch.Tensor, kernel: Gaussian, feature: Feature | None, task: Task
    ) -> torch.Tensor:
        """Return the squared discrepancy of samples ``(B, m, d)`` and ``(B, n, d)``: ``(B,)``; without a feature, with
        ``kernel`` on the samples themselves. Kernel evaluations beyond the MMD's are reported by ``task.spend``."""

    def penalty_of(self, real: torch.Tensor, fake: torch.Tensor, feature: Feature, task: Task) -> torch.Tensor | float:
        """Return what is added to the critic's loss, ``(B,)``; nothing by default."""
        return 0.0

    def critic_loss(self, critic: Critic, real: torch.Tensor, fake: torch.Tensor, task: Task) -> torch.Tensor:
        feature = Feature(critic)
        return self.penalty_of(real, fake, feature, task) - self._discrepancy(real, fake, feature, task)

    def generator_loss(self, critic: Critic, real: torch.Tensor, fake: torch.Tensor, task: Task) -> torch.Tensor:
        return self._discrepancy(real, fake, Feature(critic), task)

    def objective(self, task: Task) -> Loss:
        return lambda theta: self._discrepancy(task.observed, task.sample(theta), None, task)

    def gradient(self, task: Task) -> Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
        if self.critic == "none":
            return GradientMethod.gradient(self, task)
        return super().gradient(task)

    def _discrepancy(self, real: torch.Tensor, fake: torch.Tensor, feature: Feature | None, task: Task) -> torch.Tensor:
        n, m = fake.shape[-2], real.shape[-2]
        # A fixed kernel between data is what it was at the step before.
        task.spend(kernel_evaluations=n * (n + m) + (0 if feature is None else m * m))
        return self.discrepancy(real, fake, Gaussian(self.bandwidth), feature, task)
