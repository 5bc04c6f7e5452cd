"""Gaussians on the line, of unknown mean and width: Arbel, Sutherland, Bińkowski, Gretton, Appendix F.1, Fig. 7."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from bench_core import hookimpl
from bench_core.problems.base import Problem, RecoveryProblem

if TYPE_CHECKING:
    import numpy as np
    import torch

    from bench_core.seeds import Streams

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class Gaussians1D(RecoveryProblem):
    """P is N(0, width²), Q is N(mu, sigma²) with unknown theta = (mu, log sigma).

    The start is uniform over the map of Figure 7: mu within 5 of 0, log sigma between log 0.01 and log 5. The error is
    the 2-Wasserstein distance of Q from P; the ranges and the threshold are chosen here.
    """

    name = "gaussians_1d"
    quick = {"d": 1, "m": 20}

    d: Literal[1] = 1
    """Dimension of the data."""
    m: int = Field(100, ge=2, le=10_000_000)
    """Number of observed samples."""
    width: float = Field(0.1, gt=0)
    """Standard deviation of P."""
    threshold: float = Field(0.05, gt=0)
    """A trial succeeds when its error is within this bound."""

    @property
    def noise_size(self) -> int:
        return 1

    def draw(self, streams: Streams, folder: Path | None) -> Mapping[str, np.ndarray]:
        import numpy as np

        mean, log_sigma = streams.numpy("start").random(2)
        return {
            "truth": np.array([0.0, math.log(self.width)]),
            "observed": self.width * streams.numpy("data").standard_normal((self.m, 1)),
            "start": np.array([10 * mean - 5, math.log(0.01) + math.log(500) * log_sigma]),
        }

    def sample(self, theta: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        mean, log_sigma = theta[..., None, :1], theta[..., None, 1:]  # (B, 1, 1)
        return mean + log_sigma.exp() * noise

    def log_density(self, theta: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        mean, log_sigma = theta[..., :1], theta[..., 1:]  # (B, 1)
        return -0.5 * ((y.squeeze(-1) - mean) / log_sigma.exp()).square() - log_sigma - HALF_LOG_2PI

    def kernel_self(self, theta: torch.Tensor, bandwidth: float) -> torch.Tensor:
        return (1 + 2 * (2 * theta[..., 1]).exp() / bandwidth).rsqrt()

    def kernel_mean(self, theta: torch.Tensor, y: torch.Tensor, bandwidth: float) -> torch.Tensor:
        mean, variance = theta[..., :1], (2 * theta[..., 1:]).exp()  # (B, 1)
        square = (y.squeeze(-1) - mean).square()  # (B, m)
        return (1 + variance / bandwidth).rsqrt() * (-0.5 * square / (bandwidth + variance)).exp()

    def exact_mle(self, y: torch.Tensor) -> torch.Tensor:
        import torch

        points = y.squeeze(-1)
        return torch.stack((points.mean(-1), points.std(-1, correction=0).log()), -1)

    def error(self, theta: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        mean, width = theta[..., 0] - truth[..., 0], theta[..., 1].exp() - truth[..., 1].exp()
        return (mean.square() + width.square()).sqrt()


@hookimpl
def bench_register_problems() -> list[type[Problem]]:
    return [Gaussians1D]
