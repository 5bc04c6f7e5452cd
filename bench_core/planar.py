"""Gradients of critics between two Gaussians in the plane: Arbel, Sutherland, Bińkowski, Gretton, Appendix C, Fig. 6.

The text says neither the laws, nor kernel and lambda of the Gradient-Constrained MMD, nor the domain of the Sobolev
PDE; they are chosen here: two laws side by side in a square, on whose boundary the Sobolev critic is 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from bench_core.constrained import Normal

SIDE = 8.0
"""The domain is a square, from minus this to this."""
NODES = 41
"""Along a side of the grid over which the Gradient-Constrained MMD averages: 0.4 apart, for a kernel of width 1."""
BANDWIDTH = 1.0
LAM = 1.0


@dataclass(frozen=True)
class Planar:
    """The scene of Figure 6, on a grid of ``nodes`` x ``nodes`` places."""

    cells: int = 320
    """Cells along a side of the grid on which the PDE is solved; near the boundary its solution is steep."""
    every: int = 8
    """One of so many nodes of that grid is a place."""

    @property
    def p(self) -> Normal:
        """The target."""
        return _normal(0.0, 0.0)

    @property
    def q(self) -> Normal:
        """The model."""
        return _normal(-2.0, 0.0)

    @cached_property
    def grid(self) -> Tensor:
        """All nodes, boundary included, ``(cells + 1, cells + 1, 2)``: first axis y, second x."""
        import torch

        side = torch.linspace(-SIDE, SIDE, self.cells + 1, dtype=torch.float64)
        return torch.stack(torch.meshgrid(side, side, indexing="xy"), -1)

    @property
    def places(self) -> Tensor:
        """Where gradients are given, ``(k, k, 2)``."""
        return self._thinned(self.grid)

    @property
    def p_density(self) -> Tensor:
        """Density of P at the places, ``(k, k)``."""
        return self._thinned(_density(self.p, self.grid))

    @property
    def q_density(self) -> Tensor:
        """Density of Q at the places, ``(k, k)``."""
        return self._thinned(_density(self.q, self.grid))

    def sobolev(self) -> Tensor:
        """Gradient of the critic of the Sobolev IPM with the measure (P + Q)/2, at the places: ``(k, k, 2)``."""
        import torch

        from bench_core.constrained import sobolev_critic

        p, q = _density(self.p, self.grid), _density(self.q, self.grid)
        measure, step = (p + q) / 2, 2 * SIDE / self.cells
        critic = sobolev_critic((p - q)[1:-1, 1:-1], measure, step)
        along_y, along_x = torch.gradient(critic, spacing=step)
        gradient = torch.stack((along_x, along_y), -1)
        # The norm that the constraint bounds: E |grad f|² = 1 under the measure.
        size = (gradient.square().sum(-1) * measure).sum() * step**2
        return self._thinned(gradient / size.sqrt())

    def gcmmd(self) -> Tensor:
        """Gradient of the critic of the Gradient-Constrained MMD with the measure (P + Q)/2, at the places."""
        import torch

        from bench_core.constrained import Constraint, population_mmd2
        from bench_core.kernels import Gaussian

        side = torch.linspace(-SIDE, SIDE, NODES, dtype=torch.float64)
        nodes = torch.cartesian_prod(side, side)
        weights = _density(self.p, nodes) + _density(self.q, nodes)
        kept = weights > 1e-6 * weights.max()
        nodes, weights = nodes[kept], weights[kept] / weights[kept].sum()
        constraint = Constraint(Gaussian(BANDWIDTH), nodes, weights, weights, LAM)

        def eta(t: Tensor) -> tuple[Tensor, Tensor]:
            of_p, of_q = self.p.kernel_mean(t, BANDWIDTH), self.q.kernel_mean(t, BANDWIDTH)
            return of_p[0] - of_q[0], of_p[1] - of_q[1]

        at_nodes, places = eta(nodes), self.places.flatten(0, 1)
        distance = constraint.distance(population_mmd2(self.p, self.q, BANDWIDTH), *at_nodes)
        gradient = constraint.critic_gradient(places, at_nodes, eta(places)[1], distance)
        return gradient.reshape(self.places.shape)

    def steepest(self, gradient: Tensor) -> tuple[float, float]:
        """The largest norm of a gradient ``(k, k, 2)`` where the mass is, and elsewhere.

        The mass is where the density of (P + Q)/2 exceeds a hundredth of its largest value.
        """
        density = self.p_density + self.q_density
        massive = density > 0.01 * density.max()
        norm = gradient.square().sum(-1).sqrt()
        return float(norm[massive].max()), float(norm[~massive].max())

    def _thinned(self, values: Tensor) -> Tensor:
        return values[self.every :: self.every, self.every :: self.every][:-1, :-1]


def _normal(x: float, y: float, spread: float = 1.0) -> Normal:
    import torch

    from bench_core.constrained import Normal

    return Normal(torch.tensor([x, y], dtype=torch.float64), torch.tensor(spread, dtype=torch.float64))


def _density(law: Normal, t: Tensor) -> Tensor:
    """Density of a law in the plane at ``t`` ``(..., 2)``."""
    variance = law.spread.square()
    return (-0.5 * (t - law.mean).square().sum(-1) / variance).exp() / (2 * math.pi * variance)
