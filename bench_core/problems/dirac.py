"""A point mass that is to be found by another: Arbel, Sutherland, Bińkowski, Gretton, Example 1; Mescheder et al."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

from pydantic import Field

from bench_core import hookimpl
from bench_core.problems.base import Problem, RecoveryProblem

if TYPE_CHECKING:
    import numpy as np
    import torch

    from bench_core.seeds import Streams

NO_DENSITY = "a point mass has no density"


class Dirac(RecoveryProblem):
    """P is a point mass at 0, Q one at theta: find theta = 0.

    The start is uniform in the plane of Figure 1: theta within ``reach`` of 0, and 1/psi between ``narrowest`` and
    ``reach``, where psi is the weight of a linear critic phi(x) = psi x (``hidden_layers: 0``). The text has no numbers
    for the figure's axes; the reach is chosen here, as is the threshold. All samples coincide, so that two are enough.
    """

    name = "dirac"
    capabilities = frozenset({"recovery", "samples"})
    quick = {"d": 1, "m": 2}

    d: Literal[1] = 1
    """Dimension of the data."""
    m: int = Field(2, ge=2, le=10_000_000)
    """Number of observed samples, all at 0."""
    threshold: float = Field(0.1, gt=0)
    """A trial succeeds when |theta| is within this bound."""
    reach: float = Field(5.0, gt=0)
    """Largest |theta| and largest 1/psi of a start."""
    narrowest: float = Field(0.5, gt=0)
    """Smallest 1/psi of a start, the width of the kernel on the data."""

    def lacks(self) -> Mapping[str, str]:
        return dict.fromkeys(("log_density", "gaussian_kernel_mean", "exact_mle"), NO_DENSITY)

    @property
    def noise_size(self) -> int:
        return 1  # which no sample uses

    def draw(self, streams: Streams, folder: Path | None) -> Mapping[str, np.ndarray]:
        import numpy as np

        theta, width = streams.numpy("start").random(2)
        return {
            "truth": np.zeros(1),
            "observed": np.zeros((self.m, 1)),
            "start": np.array([self.reach * (2 * theta - 1)]),
            "critic_start": np.array([1 / (self.narrowest + (self.reach - self.narrowest) * width)]),
        }

    def sample(self, theta: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return theta.unsqueeze(-2).expand(*noise.shape[:-1], 1)

    def error(self, theta: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        return (theta - truth).abs().squeeze(-1)

    def log_density(self, theta: torch.Tensor, y: torch.Tensor) -> NoReturn:
        raise NotImplementedError(NO_DENSITY)

    def kernel_self(self, theta: torch.Tensor, bandwidth: float) -> NoReturn:
        raise NotImplementedError(NO_DENSITY)

    def kernel_mean(self, theta: torch.Tensor, y: torch.Tensor, bandwidth: float) -> NoReturn:
        raise NotImplementedError(NO_DENSITY)

    def exact_mle(self, y: torch.Tensor) -> NoReturn:
        raise NotImplementedError(NO_DENSITY)


@hookimpl
def bench_register_problems() -> list[type[Problem]]:
    return [Dirac]
