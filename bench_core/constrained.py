"""MMDs with a constraint on the critic's gradient, between laws whose kernel means are known, and their critics.

Arbel, Sutherland, Bińkowski and Gretton, "On gradient regularizers for MMD GANs", eq. 4 and 5, Propositions 3 and 4.
The constraint is averaged over a weighted set of nodes, that is by a rule of quadrature. Estimates from samples are in
:mod:`bench_core.discrepancies`; these here draw the paper's figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from bench_core.kernels import Kernel


@dataclass(frozen=True)
class Normal:
    """The law N(mean, spread² I)."""

    mean: Tensor
    """Shape ``(..., d)``."""
    spread: Tensor
    """Shape ``(...)``."""

    def kernel_mean(self, t: Tensor, bandwidth: float) -> tuple[Tensor, Tensor]:
        """E exp(-|X - t|² / (2 bandwidth)) at ``t`` ``(k, d)`` and its gradient: ``(..., k)`` and ``(..., k, d)``."""
        d = t.shape[-1]
        total = (self.spread.square() + bandwidth)[..., None]  # (..., 1)
        difference = t - self.mean.unsqueeze(-2)  # (..., k, d)
        value = (bandwidth / total) ** (d / 2) * (-0.5 * difference.square().sum(-1) / total).exp()
        return value, -value[..., None] * difference / total[..., None]


def population_mmd2(p: Normal, q: Normal, bandwidth: float) -> Tensor:
    """MMD² of two Gaussians with the Gaussian kernel, ``(...)``."""

    def overlap(a: Normal, b: Normal) -> Tensor:
        total = bandwidth + a.spread.square() + b.spread.square()
        square = (a.mean - b.mean).square().sum(-1)
        scale: Tensor = (bandwidth / total) ** (a.mean.shape[-1] / 2) * (-0.5 * square / total).exp()
        return scale

    return overlap(p, p) + overlap(q, q) - 2 * overlap(p, q)


@dataclass(frozen=True)
class Constraint:
    """The norm ‖f‖² = Σ_m w_m f(Z_m)² + Σ_m v_m |∇f(Z_m)|² + lambda ‖f‖²_H that a critic must keep to 1."""

    kernel: Kernel
    nodes: Tensor
    """Z, ``(M, d)``."""
    values: Tensor
    """w, ``(M,)``."""
    gradients: Tensor
    """v, ``(M,)``."""
    lam: float = 1.0

    @cached_property
    def _factor(self) -> tuple[Tensor, Tensor]:
        """Roots s of the weights, ``(M (1 + d),)``, and the Cholesky factor of lambda I + S A S."""
        import torch

        from bench_core.discrepancies import _derivatives

        (m, d), nodes = self.nodes.shape, self.nodes
        slopes = _derivatives.gradient(self.kernel, nodes, nodes)  # (m, m', d)
        lower = slopes.transpose(1, 2).reshape(m * d, m)  # d k(X_m, X_m') / d x_i in row (m, i)
        curved = _derivatives.mixed(self.kernel, nodes, nodes).permute(0, 2, 1, 3).reshape(m * d, m * d)
        gram = torch.cat((torch.cat((self.kernel(nodes, nodes), lower.mT), 1), torch.cat((lower, curved), 1)), 0)
        roots = torch.cat((self.values, self.gradients.repeat_interleave(d))).sqrt()
        system = roots[:, None] * gram * roots + self.lam * torch.eye(len(roots), dtype=gram.dtype)
        return roots, torch.linalg.cholesky(system)

    def coefficients(self, eta: Tensor, slope: Tensor) -> Tensor:
        """S (lambda I + S A S)⁻¹ S v for v = (eta, slope) at the nodes, ``(..., M)`` and ``(..., M, d)``."""
        import torch

        roots, factor = self._factor
        v = torch.cat((eta, slope.flatten(-2)), -1) * roots  # (..., M (1 + d))
        solved: Tensor = torch.cholesky_solve(v.reshape(-1, v.shape[-1]).mT, factor).mT
        return roots * solved.reshape(v.shape)

    def distance(self, mmd2: Tensor, eta: Tensor, slope: Tensor) -> Tensor:
        """The discrepancy, not squared, ``(...)``: from MMD² ``(...)``, eta and its gradient at the nodes."""
        import torch

        v = torch.cat((eta, slope.flatten(-2)), -1)
        squared = (mmd2 - (v * self.coefficients(eta, slope)).sum(-1)) / self.lam
        return squared.clamp(min=0).sqrt()

    def critic_gradient(self, t: Tensor, at_nodes: tuple[Tensor, Tensor], slope: Tensor, distance: Tensor) -> Tensor:
        """Gradient of the optimal critic at ``t`` ``(k, d)``: ``(k, d)``.

        Args:
            t: where.
            at_nodes: eta and its gradient at the nodes, ``(M,)`` and ``(M, d)``.
            slope: the gradient of eta at ``t``, ``(k, d)``.
            distance: what :meth:`distance` gives.
        """
        from bench_core.discrepancies import _derivatives

        m, d = self.nodes.shape
        found = self.coefficients(*at_nodes)
        of_values, of_gradients = found[:m], found[m:]
        down = _derivatives.gradient(self.kernel, t, self.nodes)  # (k, M, d)
        curved = _derivatives.mixed(self.kernel, t, self.nodes)  # (k, M, d, d)
        taken = (down * of_values[:, None]).sum(-2) + (curved * of_gradients.reshape(m, 1, d)).sum((-3, -1))
        gradient: Tensor = (slope - taken) / (self.lam * distance)
        return gradient

    def critic(self, t: Tensor, at_nodes: tuple[Tensor, Tensor], eta: Tensor, distance: Tensor) -> Tensor:
        """The optimal critic at ``t`` ``(k, d)``, from eta there: ``(k,)``."""
        from bench_core.discrepancies import _derivatives

        m, d = self.nodes.shape
        found = self.coefficients(*at_nodes)
        of_values, of_gradients = found[:m], found[m:]
        # The kernel's derivative at the node, which stands first here.
        down = _derivatives.gradient(self.kernel, self.nodes, t)  # (M, k, d)
        taken = of_values @ self.kernel(self.nodes, t) + (down * of_gradients.reshape(m, 1, d)).sum((0, -1))
        critic: Tensor = (eta - taken) / (self.lam * distance)
        return critic


# --- the Sobolev critic ---------------------------------------------------------------------------------------------


def sobolev_critic(source: Tensor, measure: Tensor, step: float) -> Tensor:
    """Solve the Sobolev PDE -div(measure grad f) = source on a grid of the plane, with f = 0 on its boundary.

    Mroueh et al. 2018, Theorem 2: the critic of the Sobolev IPM up to its norm. By finite volumes, the measure on a
    face being the mean of both sides.

    Args:
        source: p - q at the inner nodes, ``(n, n)``.
        measure: density of the measure at all nodes, the boundary's included, ``(n + 2, n + 2)``.
        step: distance of neighbours.

    Returns:
        f at all nodes, ``(n + 2, n + 2)``.
    """
    import numpy as np
    import torch
    from scipy.sparse import coo_array
    from scipy.sparse.linalg import spsolve

    n = len(source)
    density = measure.numpy()
    index = np.arange(n * n).reshape(n, n)
    inner = slice(1, n + 1)
    rows, columns, entries, diagonal = [], [], [], np.zeros((n, n))
    for axis, shift in ((0, 1), (0, -1), (1, 1), (1, -1)):
        face = (density + np.roll(density, -shift, axis))[inner, inner] / 2
        diagonal += face
        neighbour = np.roll(index, -shift, axis)
        inside = np.ones((n, n), dtype=bool)
        edge = -1 if shift == 1 else 0
        inside[(edge, slice(None)) if axis == 0 else (slice(None), edge)] = False  # beyond lies the boundary, f = 0
        rows.append(index[inside])
        columns.append(neighbour[inside])
        entries.append(-face[inside])
    rows.append(index.ravel())
    columns.append(index.ravel())
    entries.append(diagonal.ravel())
    shape = (n * n, n * n)
    matrix = coo_array((np.concatenate(entries), (np.concatenate(rows), np.concatenate(columns))), shape=shape)
    solved = spsolve(matrix.tocsr(), step**2 * source.numpy().ravel())
    critic = torch.zeros(n + 2, n + 2, dtype=torch.float64)
    critic[inner, inner] = torch.from_numpy(solved).reshape(n, n)
    return critic
