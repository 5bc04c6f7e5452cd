"""Sobolev GAN: Mroueh et al. 2018; the loss as in Arbel, Sutherland, Bińkowski, Gretton."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from bench_core import Method, hookimpl
from bench_core.engines.critic import Critic, CriticMethod

if TYPE_CHECKING:
    import torch

    from bench_core.engines.recovery import Task

LARGEST = 1e6
"""Bound on the multiplier, which grows at every step that the constraint stays violated."""


class SobolevGAN(CriticMethod):
    """Descend the difference of a critic's means, whose mean squared gradient over data and samples is held at 1."""

    name = "sobolev_gan"

    rho: float = Field(10.0, gt=0)
    """Twice the weight of the quadratic penalty, and the step of the multiplier. The paper does not say it."""
    multiplier: bool = False
    """Whether there is a multiplier beside the penalty (an augmented Lagrangian). It needs a small rho, as 0.01: at 10
    it swings by far more than the loss."""

    def critic_loss(self, critic: Critic, real: torch.Tensor, fake: torch.Tensor, task: Task) -> torch.Tensor:
        gradients = [critic.input_gradient(points).square().sum(-1).mean(-1) for points in (real, fake)]
        excess = sum(gradients) / 2 - 1  # (B,)
        loss = critic(fake).mean(-1) - critic(real).mean(-1) + self.rho / 2 * excess.square()
        if self.multiplier:
            held = task.memory.setdefault("multiplier", excess.new_zeros(excess.shape))
            loss = loss + held.clone() * excess
            held.add_(excess.detach(), alpha=self.rho).clamp_(-LARGEST, LARGEST)
        return loss

    def generator_loss(self, critic: Critic, real: torch.Tensor, fake: torch.Tensor, task: Task) -> torch.Tensor:
        return -critic(fake).mean(-1)


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [SobolevGAN]
