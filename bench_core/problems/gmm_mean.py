"""Mixture of two Gaussians with unknown means: Alon, Globerson, Wiesel, Section 4.1, Fig. 5."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_core import hookimpl
from bench_core.problems.base import Problem, StandardStart

if TYPE_CHECKING:
    import numpy as np
    import torch

    from bench_core.seeds import Streams


class GMMMean(StandardStart):
    """N(mu, I) or N(-mu, I), each with probability 1/2; a trial succeeds when min ||mu ± mu*|| / d < threshold.

    Either sign of mu gives the same law, so the score is free of it, which the paper does not say. It states neither d
    nor the laws of mu* and of the start: d = 10 and N(0, I) for both, as in gaussian_mean.
    """

    name = "gmm_mean"
    # The likelihood has no maximum in closed form.
    capabilities = frozenset({"recovery", "samples", "log_density", "gaussian_kernel_mean"})

    @property
    def noise_size(self) -> int:
        return self.d + 1

    def draw(self, streams: Streams, folder: Path | None) -> Mapping[str, np.ndarray]:
        rng = streams.numpy("data")
        truth = rng.standard_normal(self.d)
        sign = rng.choice((-1.0, 1.0), (self.m, 1))
        return {
            "truth": truth,
            "observed": sign * truth + rng.standard_normal((self.m, self.d)),
            "start": self.start(streams, truth),
        }

    def sample(self, theta: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        sign = (noise[..., :1] >= 0).to(noise.dtype) * 2 - 1  # (B, n, 1)
        return sign * theta.unsqueeze(-2) + noise[..., 1:]

    def log_density(self, theta: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        near, far = self._squares(theta, y)
        return (-0.5 * near).logaddexp(-0.5 * far) - 0.5 * self.d * math.log(2 * math.pi) - math.log(2)

    def kernel_self(self, theta: torch.Tensor, bandwidth: float) -> torch.Tensor:
        # X - X' is N(0, 2I) or, with probability 1/2, N(±2 mu, 2I); Lemma 4 of the paper.
        apart = (-2 * theta.square().sum(-1) / (2 + bandwidth)).exp()  # (B,)
        return 0.5 * math.exp(-0.5 * self.d * math.log1p(2 / bandwidth)) * (1 + apart)

    def kernel_mean(self, theta: torch.Tensor, y: torch.Tensor, bandwidth: float) -> torch.Tensor:
        near, far = self._squares(theta, y)
        prefactor = 0.5 * math.exp(-0.5 * self.d * math.log1p(1 / bandwidth))
        return prefactor * ((-0.5 * near / (1 + bandwidth)).exp() + (-0.5 * far / (1 + bandwidth)).exp())

    def exact_mle(self, y: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError("the likelihood of a mixture has no maximum in closed form")

    def error(self, theta: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        near, far = (theta - truth).square().sum(-1), (theta + truth).square().sum(-1)
        return near.minimum(far).sqrt() / self.d

    def succeeded(self, error: Any) -> Any:
        return error < self.threshold  # strict, as in Section 4.1

    @staticmethod
    def _squares(theta: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ||y - mu||^2 and ||y + mu||^2, ``(B, m)`` each."""
        mean = theta.unsqueeze(-2)
        return (y - mean).square().sum(-1), (y + mean).square().sum(-1)


@hookimpl
def bench_register_problems() -> list[type[Problem]]:
    return [GMMMean]
