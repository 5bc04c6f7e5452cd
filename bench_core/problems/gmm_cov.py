"""Mixture of two Gaussians with unknown rank-one covariance: Alon, Globerson, Wiesel, Section 4.2, Fig. 8."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, PrivateAttr

from bench_core import hookimpl
from bench_core.problems.base import Problem
from bench_core.problems.gaussian_cov import GaussianCov

if TYPE_CHECKING:
    import numpy as np
    import torch

    from bench_core.seeds import Streams


class GMMCov(GaussianCov):
    """N(mu, aa' + epsilon^2 I) or N(-mu, the same), each with probability 1/2; a is unknown, mu is known.

    A trial succeeds when ||aa' - a*a*'||_F / d <= threshold. The paper states neither epsilon nor the laws of mu, of a*
    and of the start: 1e-5 and N(0, I), as in gaussian_cov. Methods see mu through the model only.
    """

    name = "gmm_cov"

    threshold: float = Field(0.10, gt=0)
    """A trial succeeds when its error is within this bound."""

    _mean: Any = PrivateAttr(None)  # (B, 1, d), known in every trial

    def lacks(self) -> Mapping[str, str]:
        return {**super().lacks(), "exact_mle": "the likelihood of a mixture has no maximum in closed form"}

    @property
    def noise_size(self) -> int:
        return self.d + 2

    def draw(self, streams: Streams, folder: Path | None) -> Mapping[str, np.ndarray]:
        rng = streams.numpy("data")
        truth, mean = rng.standard_normal(self.d), rng.standard_normal(self.d)
        sign = rng.choice((-1.0, 1.0), (self.m, 1))
        along = rng.standard_normal((self.m, 1))
        return {
            "truth": truth,
            "mean": mean,
            "observed": sign * mean + along * truth + self.epsilon * rng.standard_normal((self.m, self.d)),
            "start": self.start(streams, truth),
        }

    def given(self, data: Mapping[str, torch.Tensor]) -> Self:
        bound = self.model_copy()
        bound._mean = data["mean"].unsqueeze(-2)
        return bound

    def sample(self, theta: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        sign = (noise[..., :1] >= 0).to(noise.dtype) * 2 - 1  # (B, n, 1)
        samples: torch.Tensor = sign * self._mean.to(theta) + super().sample(theta, noise[..., 1:])
        return samples

    def log_density(self, theta: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        near, far = (super(GMMCov, self).log_density(theta, y - shift) for shift in self._shifts(y))
        return near.logaddexp(far) - math.log(2)

    def kernel_self(self, theta: torch.Tensor, bandwidth: float) -> torch.Tensor:
        # X - X' is N(0, 2 aa' + 2 epsilon^2 I) or, with probability 1/2, the same around ±2 mu; Lemma 4 of the paper.
        c2 = 2 * self.epsilon**2 + bandwidth
        mean: torch.Tensor = self._mean.to(theta).squeeze(-2)  # (B, d)
        along, square = (theta * mean).sum(-1), theta.square().sum(-1)  # (B,)
        apart = (-(2 / c2) * (mean.square().sum(-1) - 2 * along.square() / (c2 + 2 * square))).exp()
        return 0.5 * super().kernel_self(theta, bandwidth) * (1 + apart)

    def kernel_mean(self, theta: torch.Tensor, y: torch.Tensor, bandwidth: float) -> torch.Tensor:
        near, far = (super(GMMCov, self).kernel_mean(theta, y - shift, bandwidth) for shift in self._shifts(y))
        return 0.5 * (near + far)

    def exact_mle(self, y: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError(self.lacks()["exact_mle"])

    def _shifts(self, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean = self._mean.to(y)
        return mean, -mean


@hookimpl
def bench_register_problems() -> list[type[Problem]]:
    return [GMMCov]
