"""Distances of N(0, 0.1²) from N(mu, sigma²): Arbel, Sutherland, Bińkowski, Gretton, Appendix F.1, Fig. 7.

Kernels are exp(-psi² (x - y)² / 2), as in Example 1, whose "bandwidth psi" is a width of 1/psi. The text says neither
the ranges of mu and sigma nor the measure of the constrained distances: here mu is within 5 of 0, sigma from 0.01 to 5,
and the measure is P, as in the paper's experiments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from bench_core.constrained import Normal

SPREAD = 0.1
"""Standard deviation of P."""
LAM = 1.0
FIXED = (0.1, 10.0)
"""The values of psi with which kernels are not optimised."""
POINTS = 81


def means() -> Tensor:
    """The values of mu, ``(81,)``."""
    import torch

    return torch.linspace(-5.0, 5.0, POINTS, dtype=torch.float64)


def sigmas() -> Tensor:
    """The values of sigma, ``(81,)``."""
    import torch

    return torch.logspace(math.log10(0.01), math.log10(5.0), POINTS, dtype=torch.float64)


def candidates() -> Tensor:
    """The values of psi over which distances are optimised."""
    import torch

    return torch.logspace(-2, 2, 121, dtype=torch.float64)


@cache
def distances() -> Mapping[str, Tensor]:
    """The six panels of the figure: name -> distances, not squared, ``(sigma, mu)``."""
    return {
        **{f"MMD, ψ = {psi:g}": mmd(psi) for psi in FIXED},
        **{f"GCMMD, ψ = {psi:g}": gcmmd(psi) for psi in FIXED},
        "SMMD, optimised": _supremum(smmd),
        "GCMMD, optimised": _supremum(gcmmd),
    }


def mmd(psi: float) -> Tensor:
    """The MMD, ``(sigma, mu)``."""
    from bench_core.constrained import population_mmd2

    p, q = _laws()
    return population_mmd2(p, q, psi**-2).clamp(min=0).sqrt()


def smmd(psi: float) -> Tensor:
    """The Scaled MMD of Proposition 4, whatever its measure, ``(sigma, mu)``."""
    return mmd(psi) / math.sqrt(LAM + 1 + psi**2)


def gcmmd(psi: float) -> Tensor:
    """The Gradient-Constrained MMD with the measure P, ``(sigma, mu)``."""
    from bench_core.constrained import Constraint, population_mmd2
    from bench_core.kernels import Gaussian

    p, q = _laws()
    nodes, weights = _nodes(psi)
    constraint = Constraint(Gaussian(psi**-2), nodes, weights, weights, LAM)
    of_p, of_q = p.kernel_mean(nodes, psi**-2), q.kernel_mean(nodes, psi**-2)
    return constraint.distance(population_mmd2(p, q, psi**-2), of_p[0] - of_q[0], of_p[1] - of_q[1])


def _nodes(psi: float, to_a_width: float = 2.0) -> tuple[Tensor, Tensor]:
    """Nodes ``(k, 1)`` and weights of P over six standard deviations on each side, so many to a width of the kernel:
    between nodes that are farther apart a critic may be steep for nothing."""
    import torch

    points = max(81, math.ceil(12 * SPREAD * psi * to_a_width) + 1)
    nodes = torch.linspace(-6 * SPREAD, 6 * SPREAD, points, dtype=torch.float64)
    return nodes[:, None], (-0.5 * (nodes / SPREAD).square()).softmax(0)


def _supremum(distance: Callable[[float], Tensor]) -> Tensor:
    import torch

    return torch.stack([distance(float(psi)) for psi in candidates()]).amax(0)


def _laws() -> tuple[Normal, Normal]:
    """P, and all Q as one batch ``(sigma, mu)``."""
    import torch

    from bench_core.constrained import Normal

    mean, sigma = torch.meshgrid(means(), sigmas(), indexing="xy")  # (sigma, mu)
    p = Normal(torch.zeros(1, dtype=torch.float64), torch.tensor(SPREAD, dtype=torch.float64))
    return p, Normal(mean[..., None], sigma)
