"""The scale of the Scaled MMD from exact Jacobians, point by point."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bench_core.discrepancies import _derivatives, _plain
from bench_core.discrepancies._exact import exact_products
from bench_core.discrepancies._jacobians import jacobians
from bench_core.kernels import Kernel, Linear

PAPER_COEFFICIENT = 10.0
"""Of the slopes, in all experiments of Arbel et al."""


def features_and_scale(
    z: Tensor, kernel: Kernel, features: Callable[[Tensor], Tensor] | None, lam: float, theory: bool
) -> tuple[Tensor, Tensor]:
    """The features ``(..., M, s)`` of ``z`` ``(..., M, d)``, and sigma^2 ``(...)``."""
    phi, jacobian = (z, None) if features is None else jacobians(features, z)  # jacobian: (..., M, s, d)
    dtype = _plain.compute_dtype(phi)
    jacobian = None if jacobian is None else jacobian.to(dtype)
    with exact_products(z.device.type):
        terms = (_theory if theory else _paper)(kernel, phi.to(dtype), jacobian)  # (..., M)
    mean = terms.mean(-1, dtype=torch.float64)  # as the sums of the MMD
    return phi, ((lam if theory else 1.0) + mean).reciprocal().to(dtype)


def _theory(kernel: Kernel, phi: Tensor, jacobian: Tensor | None) -> Tensor:
    """k(z, z) and the trace of its mixed second derivative with respect to the input, summed: ``(..., M)``."""
    value, mixed = _derivatives.diagonal(kernel, phi)  # (..., M), (..., M, s, s)
    if jacobian is None:
        return value + mixed.diagonal(dim1=-2, dim2=-1).sum(-1)
    # The trace of J' C J is the sum of all entries of C * JJ', which never forms anything of size d x d.
    return value + (mixed * _gram(jacobian)).sum((-2, -1))


def _paper(kernel: Kernel, phi: Tensor, jacobian: Tensor | None) -> Tensor:
    """What stands beside the 1 in the paper's experiments, at each point: ``(..., M)``."""
    slope = torch.full_like(phi[..., 0], phi.shape[-1]) if jacobian is None else jacobian.square().sum((-2, -1))
    if isinstance(kernel, Linear):
        slope = slope + phi.square().sum(-1)
    return PAPER_COEFFICIENT * slope


def _gram(jacobian: Tensor) -> Tensor:
    """JJ' ``(..., M, s, s)`` of J ``(..., M, s, d)``."""
    if jacobian.shape[-2] == 1:
        return jacobian.square().sum(-1, keepdim=True)
    return jacobian @ jacobian.mT
