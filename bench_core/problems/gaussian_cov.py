"""Gaussian with unknown rank-one covariance: Alon, Globerson, Wiesel, Section 4.2, Fig. 7."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from bench_core import hookimpl
from bench_core.problems.base import Problem, StandardStart

if TYPE_CHECKING:
    import numpy as np
    import torch

    from bench_core.seeds import Streams


class GaussianCov(StandardStart):
    """N(0, aa' + epsilon^2 I) with unknown a; a trial succeeds when ||aa' - a*a*'||_F / d <= threshold.

    The sign of a does not matter to the score. The paper states neither d nor the laws of a* and of the start nor
    the norm; d = 10, N(0, I) and Frobenius reproduce every statement that it makes.
    """

    name = "gaussian_cov"
    quick = {"epsilon": 0.5}

    epsilon: float = Field(1e-5, ge=0)
    """Standard deviation of the isotropic part; small values make the likelihood ill-conditioned, 0 leaves none."""
    threshold: float = Field(0.05, gt=0)
    """A trial succeeds when its error is within this bound."""

    @property
    def capabilities(self) -> frozenset[str]:  # type: ignore[override]
        return super().capabilities.difference(self.lacks())

    def lacks(self) -> Mapping[str, str]:
        return (
            {"log_density": "epsilon = 0: the data lie on a line, and there is no density"} if not self.epsilon else {}
        )

    @property
    def noise_size(self) -> int:
        return self.d + 1

    def draw(self, streams: Streams, folder: Path | None) -> Mapping[str, np.ndarray]:
        rng = streams.numpy("data")
        truth = rng.standard_normal(self.d)
        along = rng.standard_normal((self.m, 1))
        return {
            "truth": truth,
            "observed": along * truth + self.epsilon * rng.standard_normal((self.m, self.d)),
            "start": self.start(streams, truth),
        }

    def sample(self, theta: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        along, across = noise[..., :1], noise[..., 1:]
        return along * theta.unsqueeze(-2) + self.epsilon * across

    def log_density(self, theta: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        variance = self.epsilon**2
        top = variance + theta.square().sum(-1, keepdim=True)  # (B, 1), the largest eigenvalue
        log_det = (self.d - 1) * math.log(variance) + top.log()
        return -0.5 * (log_det + self._quadratic(theta, y, variance, top) + self.d * math.log(2 * math.pi))

    def kernel_self(self, theta: torch.Tensor, bandwidth: float) -> torch.Tensor:
        # X - X' is N(0, 2 aa' + 2 epsilon^2 I); Lemma 4 of the paper, prefactors in log-space.
        c2 = 2 * self.epsilon**2 + bandwidth
        square = theta.square().sum(-1)  # (B,)
        log_ratio = ((c2 + 2 * square) / bandwidth).log()
        return (-0.5 * (self.d - 1) * math.log(c2 / bandwidth) - 0.5 * log_ratio).exp()

    def kernel_mean(self, theta: torch.Tensor, y: torch.Tensor, bandwidth: float) -> torch.Tensor:
        c1 = self.epsilon**2 + bandwidth
        top = c1 + theta.square().sum(-1, keepdim=True)  # (B, 1)
        log_prefactor = -0.5 * ((self.d - 1) * math.log(c1 / bandwidth) + (top / bandwidth).log())
        return (log_prefactor - 0.5 * self._quadratic(theta, y, c1, top)).exp()

    def exact_mle(self, y: torch.Tensor) -> torch.Tensor:
        """Return sqrt(lambda_1 - epsilon^2) u_1 of the second moments: probabilistic PCA with known noise.

        At epsilon = 0 it is the limit, which is the most likely scale along the line on which the data lie.
        """
        import torch

        wide = y.double()
        values, vectors = torch.linalg.eigh(wide.mT @ wide / y.shape[-2])  # ascending
        scale = (values[..., -1:] - self.epsilon**2).clamp_min(0).sqrt()  # (B, 1)
        estimate: torch.Tensor = (scale * vectors[..., -1]).to(y.dtype)
        return estimate

    def error(self, theta: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        # In float64 through the outer products: ||a||^4 + ||b||^4 - 2 (a'b)^2 cancels near the truth.
        a, b = theta.double(), truth.double()
        outer = a.unsqueeze(-1) * a.unsqueeze(-2) - b.unsqueeze(-1) * b.unsqueeze(-2)  # (B, d, d)
        return (outer.square().sum((-1, -2)).sqrt() / self.d).to(theta.dtype)

    @staticmethod
    def _quadratic(theta: torch.Tensor, y: torch.Tensor, base: float, top: torch.Tensor) -> torch.Tensor:
        """Return y'(aa' + base I)^(-1) y by the Sherman-Morrison formula, ``top`` being base + ||a||^2: ``(B, m)``."""
        along = (y * theta.unsqueeze(-2)).sum(-1)  # (B, m)
        return (y.square().sum(-1) - along.square() / top) / base


@hookimpl
def bench_register_problems() -> list[type[Problem]]:
    return [GaussianCov]
