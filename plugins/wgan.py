"""Wasserstein GAN: Alon, Globerson, Wiesel, Section 4; Arjovsky et al. 2017; Gulrajani et al. 2017."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from bench_core import Method, hookimpl
from bench_core.engines.critic import Critic, CriticMethod

if TYPE_CHECKING:
    import torch

    from bench_core.engines.recovery import Task


class WGAN(CriticMethod):
    """Descend the difference of a critic's means, while the critic ascends it.

    The paper says neither how the critic is kept Lipschitz nor how many critic steps there are; both, and the
    schedule, decide how well it does.
    """

    name = "wgan"

    lipschitz: Literal["gp", "clip", "none"] = "gp"
    """Gradient penalty (Gulrajani et al., eq. 3), weight clipping (Arjovsky et al., Algorithm 1), or nothing."""
    penalty: float = Field(10.0, ge=0)
    """Weight of the gradient penalty."""
    clip: float = Field(0.01, gt=0)
    """Largest absolute value of a weight, for ``lipschitz: clip``."""

    def critic_loss(self, critic: Critic, real: torch.Tensor, fake: torch.Tensor, task: Task) -> torch.Tensor:
        loss = critic(fake).mean(-1) - critic(real).mean(-1)
        if self.lipschitz != "gp":
            return loss
        n = min(real.shape[-2], fake.shape[-2])
        share = task.noise("interpolates", (n, 1), "uniform")  # (B, n, 1)
        between = share * real[..., :n, :] + (1 - share) * fake[..., :n, :]
        # The tiny number keeps the derivative of the norm finite where a critic has no gradient.
        norm = (critic.input_gradient(between).square().sum(-1) + 1e-12).sqrt()  # (B, n)
        return loss + self.penalty * (norm - 1).square().mean(-1)

    def generator_loss(self, critic: Critic, real: torch.Tensor, fake: torch.Tensor, task: Task) -> torch.Tensor:
        return -critic(fake).mean(-1)

    def after_critic_step(self, critic: Critic) -> None:
        if self.lipschitz == "clip":
            for parameter in critic.parameters:
                parameter.clamp_(-self.clip, self.clip)


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [WGAN]
