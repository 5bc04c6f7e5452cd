"""Wasserstein GAN with a gradient penalty: Gulrajani et al. 2017, eq. 3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from bench_core import Method, hookimpl
from bench_core.engines.critic import Critic, CriticMethod

if TYPE_CHECKING:
    import torch

    from bench_core.engines.recovery import Task


class WGANGP(CriticMethod):
    """Descend the difference of a critic's means, which a penalty on the norm of its gradient holds back."""

    name = "wgan_gp"

    penalty: float = Field(10.0, ge=0)
    """Weight of the penalty."""
    at: Literal["between", "real"] = "between"
    """Where the gradient is taken: between pairs of samples, or at the data."""
    one_sided: bool = False
    """Penalise only what exceeds 1, and not a smaller norm."""

    def critic_loss(self, critic: Critic, real: torch.Tensor, fake: torch.Tensor, task: Task) -> torch.Tensor:
        n = min(real.shape[-2], fake.shape[-2])
        places = real[..., :n, :]
        if self.at == "between":
            share = task.noise("interpolates", (n, 1), "uniform")  # (B, n, 1)
            places = share * places + (1 - share) * fake[..., :n, :]
        # The tiny number keeps the derivative of the norm finite where a critic has no gradient.
        excess = (critic.input_gradient(places).square().sum(-1) + 1e-12).sqrt() - 1  # (B, n)
        if self.one_sided:
            excess = excess.relu()
        return critic(fake).mean(-1) - critic(real).mean(-1) + self.penalty * excess.square().mean(-1)

    def generator_loss(self, critic: Critic, real: torch.Tensor, fake: torch.Tensor, task: Task) -> torch.Tensor:
        return -critic(fake).mean(-1)


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [WGANGP]
