"""Linear unmixing of pixels: Alon, Globerson, Wiesel, Section 4.3, Tables 1, 7 and 8."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Self

from pydantic import Field, model_validator

from bench_core import hookimpl
from bench_core.problems.base import Problem, RecoveryProblem

if TYPE_CHECKING:
    import numpy as np
    import torch

    from bench_core.seeds import Streams

NO_DENSITY = "a mixture with random abundances and noise has no density in closed form"


class LinearUnmixing(RecoveryProblem):
    """Pixels A b + w: endmembers A (d, r) are unknown, abundances b are Dirichlet(1), noise w is N(0, noise I).

    The answer holds the endmembers one after the other, shape ``(B, r * d)``. Their order does not matter to the score:
    ``error`` is eq. 23, the least sum of squared distances over all ways to match them, ``distance`` the same of the
    distances themselves, which fits the published numbers better.

    Unsaid in the paper: the law of A (here uniform on [0, 1]), whether noise levels are variances (here they are),
    whether the noise is known to the methods (it is), and when a trial succeeds (the threshold is ours). Starts are
    ``vca``, the usual one, and ``random``, which has the law of A.
    """

    name = "linear_unmixing"
    capabilities = frozenset({"recovery", "samples", "unmixing"})
    starts = ("vca", "random")

    m: int = Field(100, ge=2, le=10_000_000)
    """Number of observed pixels."""
    r: int = Field(3, ge=1, le=1000)
    """Number of endmembers, at most d."""
    noise: float = Field(0.01, ge=0)
    """Variance of the noise in each of the d channels."""
    threshold: float = Field(0.5, gt=0)
    """A trial succeeds when its error is within this bound."""

    @model_validator(mode="after")
    def _enough_channels(self) -> Self:
        if self.r > self.d:
            raise ValueError(f"r must be at most d = {self.d}, got {self.r}")
        return self

    def lacks(self) -> Mapping[str, str]:
        return dict.fromkeys(("log_density", "gaussian_kernel_mean", "exact_mle"), NO_DENSITY)

    @property
    def noise_size(self) -> int:
        return 2 * self.r + self.d

    def draw(self, streams: Streams, folder: Path | None) -> Mapping[str, np.ndarray]:
        rng = streams.numpy("data")
        endmembers = rng.random((self.r, self.d))
        shares = rng.standard_exponential((self.m, self.r))
        shares /= shares.sum(-1, keepdims=True)  # exponentials over their sum are Dirichlet(1)
        observed = self.noise**0.5 * rng.standard_normal((self.m, self.d))
        for share, endmember in zip(shares.T, endmembers, strict=True):  # a matrix product rounds otherwise elsewhere
            observed = observed + share[:, None] * endmember
        vca = self._vca(observed, streams).reshape(-1)
        return {
            "truth": endmembers.reshape(-1),
            "observed": observed,
            "start": vca,
            "start-vca": vca,
            "start-random": streams.numpy("start").random(self.r * self.d),
        }

    def _vca(self, observed: np.ndarray, streams: Streams) -> np.ndarray:
        """Return the endmembers of vertex component analysis, (r, d)."""
        import torch

        from bench_core.unmixing import vca

        found = vca(torch.from_numpy(observed), self.r, generator=streams.torch("vca", torch.device("cpu")))
        # Libraries of linear algebra differ in the last bits. Rounded away, data are the same on every machine.
        start: np.ndarray = found.mT.float().double().numpy()
        return start

    def sample(self, theta: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        normals, channels = noise[..., : 2 * self.r], noise[..., 2 * self.r :]
        # The sum of two squared normals is twice an exponential.
        shares = normals.square().reshape(*normals.shape[:-1], self.r, 2).sum(-1)  # (B, n, r)
        shares = shares / shares.sum(-1, keepdim=True)
        samples: torch.Tensor = self.noise**0.5 * channels
        for share, endmember in zip(shares.unbind(-1), self.endmembers(theta).unbind(-2), strict=True):
            samples = samples + share.unsqueeze(-1) * endmember.unsqueeze(-2)  # rounds alike at every batch width
        return samples

    def endmembers(self, theta: torch.Tensor) -> torch.Tensor:
        """Return answers ``(B, r * d)`` with one row per endmember, ``(B, r, d)``."""
        return theta.reshape(*theta.shape[:-1], self.r, self.d)

    def error(self, theta: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        return _matched(self._squares(theta, truth)).to(theta.dtype)

    def distance(self, theta: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """Return the least sum of distances between matched endmembers: ``(B, r * d)`` twice -> ``(B,)``."""
        return _matched(self._squares(theta, truth).sqrt()).to(theta.dtype)

    def _squares(self, theta: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """Return squared distances of each endmember from each true one in float64, ``(B, r, r)``."""
        found, true = self.endmembers(theta.double()), self.endmembers(truth.double())
        return (found.unsqueeze(-2) - true.unsqueeze(-3)).square().sum(-1)

    def log_density(self, theta: torch.Tensor, y: torch.Tensor) -> NoReturn:
        raise NotImplementedError(NO_DENSITY)

    def kernel_self(self, theta: torch.Tensor, bandwidth: float) -> NoReturn:
        raise NotImplementedError(NO_DENSITY)

    def kernel_mean(self, theta: torch.Tensor, y: torch.Tensor, bandwidth: float) -> NoReturn:
        raise NotImplementedError(NO_DENSITY)

    def exact_mle(self, y: torch.Tensor) -> NoReturn:
        raise NotImplementedError(NO_DENSITY)


def _matched(costs: torch.Tensor) -> torch.Tensor:
    """Return the least sum of costs over all one-to-one matchings of rows and columns: ``(B, r, r)`` -> ``(B,)``."""
    import numpy as np
    import torch
    from scipy.optimize import linear_sum_assignment

    comparable = costs.detach().nan_to_num(nan=1e300, posinf=1e300).cpu().numpy()
    columns = np.stack([linear_sum_assignment(each)[1] for each in comparable])  # (B, r)
    index = torch.from_numpy(columns).to(costs.device).unsqueeze(-1)
    return costs.gather(-1, index).squeeze(-1).sum(-1)


@hookimpl
def bench_register_problems() -> list[type[Problem]]:
    return [LinearUnmixing]
