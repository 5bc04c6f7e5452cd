"""new_problem: a Gaussian with unknown scales, to start a problem of your own from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from bench_core import Problem, hookimpl
from bench_core.problems import RecoveryProblem

if TYPE_CHECKING:
    import numpy as np
    import torch

    from bench_core.seeds import Streams


class NewProblem(RecoveryProblem):
    """N(0, diag(exp(2 theta))) with unknown theta, the logarithms of the standard deviations.

    A trial succeeds when the root mean square of theta - theta* is within the threshold.
    """

    name = "new_problem"
    # Which of the formulas below a method may use. Where you have no closed form, leave its name out and let the
    # function raise NotImplementedError: methods that need it are then skipped, with that reason in the report.
    capabilities = frozenset({"recovery", "samples", "log_density", "gaussian_kernel_mean", "exact_mle"})

    spread: float = Field(0.5, gt=0, le=2)
    """Standard deviation of the true and of the initial logarithms."""
    threshold: float = Field(0.1, gt=0)
    """A trial succeeds when its error is within this bound."""

    @property
    def noise_size(self) -> int:
        return self.d

    def draw(self, streams: Streams, folder: Path | None) -> Mapping[str, np.ndarray]:
        # One trial, in float64, from its own streams: the same on every machine.
        rng = streams.numpy("data")
        truth = self.spread * rng.standard_normal(self.d)
        scales = [math.exp(each) for each in truth]
        return {
            "truth": truth,
            "observed": rng.standard_normal((self.m, self.d)) * scales,
            "start": self.spread * streams.numpy("start").standard_normal(self.d),
        }

    def sample(self, theta: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return theta.exp().unsqueeze(-2) * noise  # (B, n, d), differentiable in theta

    def log_density(self, theta: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        square = (y / theta.exp().unsqueeze(-2)).square().sum(-1)  # (B, m)
        return -0.5 * (square + self.d * math.log(2 * math.pi)) - theta.sum(-1, keepdim=True)

    def kernel_self(self, theta: torch.Tensor, bandwidth: float) -> torch.Tensor:
        # X - X' is N(0, 2 V) with V = diag(exp(2 theta)): |I + 2 V / s|^(-1/2).
        variance = (2 * theta).exp()
        return (-0.5 * (2 * variance / bandwidth).log1p().sum(-1)).exp()

    def kernel_mean(self, theta: torch.Tensor, y: torch.Tensor, bandwidth: float) -> torch.Tensor:
        # |I + V / s|^(-1/2) exp(-y' (s I + V)^(-1) y / 2).
        variance = (2 * theta).exp()
        log_prefactor = -0.5 * (variance / bandwidth).log1p().sum(-1, keepdim=True)  # (B, 1)
        return (log_prefactor - 0.5 * (y.square() / (bandwidth + variance).unsqueeze(-2)).sum(-1)).exp()

    def exact_mle(self, y: torch.Tensor) -> torch.Tensor:
        return 0.5 * y.square().mean(-2).log()

    def error(self, theta: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        return (theta - truth).square().mean(-1).sqrt()


@hookimpl
def bench_register_problems() -> list[type[Problem]]:
    return [NewProblem]
