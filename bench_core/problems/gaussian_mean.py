"""Gaussian with unknown mean: Alon, Globerson, Wiesel, Section 4.1, Fig. 4."""

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


class GaussianMean(StandardStart):
    """N(mu, I) with unknown mu; a trial succeeds when ||mu - mu*|| / d < threshold.

    The paper states neither d nor the laws of mu* and of the start; d = 10 and N(0, I) for both reproduce every
    statement that it makes. The covariance is known and is the identity.
    """

    name = "gaussian_mean"

    @property
    def noise_size(self) -> int:
        return self.d

    def draw(self, streams: Streams, folder: Path | None) -> Mapping[str, np.ndarray]:
        rng = streams.numpy("data")
        truth = rng.standard_normal(self.d)
        return {
            "truth": truth,
            "observed": truth + rng.standard_normal((self.m, self.d)),
            "start": self.start(streams, truth),
        }

    def sample(self, theta: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return theta.unsqueeze(-2) + noise

    def log_density(self, theta: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        square = (y - theta.unsqueeze(-2)).square().sum(-1)  # (B, m)
        return -0.5 * (square + self.d * math.log(2 * math.pi))

    def kernel_self(self, theta: torch.Tensor, bandwidth: float) -> torch.Tensor:
        # |I + 2 Sigma / s|^(-1/2): it does not depend on the mean.
        value = math.exp(-0.5 * self.d * math.log1p(2 / bandwidth))
        return theta.new_full(theta.shape[:-1], value)

    def kernel_mean(self, theta: torch.Tensor, y: torch.Tensor, bandwidth: float) -> torch.Tensor:
        # Lemma 4 of the paper with Sigma = I.
        square = (y - theta.unsqueeze(-2)).square().sum(-1)  # (B, m)
        return (-0.5 * self.d * math.log1p(1 / bandwidth) - 0.5 * square / (1 + bandwidth)).exp()

    def exact_mle(self, y: torch.Tensor) -> torch.Tensor:
        return y.mean(-2)

    def error(self, theta: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        return (theta - truth).square().sum(-1).sqrt() / self.d

    def succeeded(self, error: Any) -> Any:
        return error < self.threshold  # strict, as in Section 4.1


@hookimpl
def bench_register_problems() -> list[type[Problem]]:
    return [GaussianMean]
