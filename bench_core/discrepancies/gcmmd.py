"""The squared Gradient-Constrained MMD of two samples: that over functions which are small, and flat, where it matters.

Arbel, Sutherland, Binkowski, Gretton, "On gradient regularizers for MMD GANs", 2018, eq. 5 and Proposition 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeAlias

from bench_core.discrepancies.mmd import _check_pair, _check_sample

if TYPE_CHECKING:
    from torch import Tensor

    from bench_core.kernels import Kernel

Solver: TypeAlias = Literal["auto", "exact", "cholesky"]


def gcmmd2(
    x: Tensor,
    y: Tensor,
    kernel: Kernel,
    *,
    features: Callable[[Tensor], Tensor] | None = None,
    mu: Tensor | None = None,
    weights: Tensor | None = None,
    lam: float | Tensor = 1.0,
    solver: Solver = "auto",
    rank: int | None = None,
) -> Tensor:
    r"""Squared gradient-constrained maximum mean discrepancy of two samples (Arbel et al. 2018, eq. 5).

    The supremum of :math:`(E_P f - E_Q f)^2` over the functions of the kernel's space with

    .. math:: \|f\|_{L^2(\mu)}^2 + \|\nabla f\|_{L^2(\mu)}^2 + \lambda \|f\|_H^2 \le 1,

    of the two empirical laws and :math:`\mu = \sum_m w_m \delta_{\mu_m}` with weights that sum to 1. By Proposition 3
    (which prints :math:`\mu` without its weights, with which it holds) it is

    .. math:: (MMD^2 - v^T (A + \lambda W^{-1})^{-1} v) / \lambda,

    where v holds the witness function and its gradient at the points of mu, and A the kernel and its derivatives
    there. The MMD^2 is the biased one, the squared norm of that very witness function.

    With ``features``, the kernel is ``kernel(features(.), features(.))`` and gradients are with respect to what goes
    into the features. The cost is that of M(1 + s) linear equations, not M(1 + d): a scalar critic of images is cheap.

    ``"exact"`` solves them, in O((M(1 + s))^3), with some ten matrices of that size per trial. ``"cholesky"`` puts a
    pivoted incomplete Cholesky factorisation in the place of the matrix, in time O(M(1 + s) rank^2) and memory
    O(M(1 + s) rank), without ever forming it. It stops where what is left of the diagonal, as it weighs on the result,
    is 1e-10 of ``lam`` or of the first pivot, whichever is less, but not below 1e-14 of the first pivot. If it stops at
    ``rank`` before, the result is too small, without a warning: it grows to the exact one with the rank.

    Args:
        x: sample of P of shape ``(..., n, d)``; leading axes broadcast with those of ``y``, ``mu`` and ``weights``.
        y: sample of Q of shape ``(..., m, d)``.
        kernel: a positive definite kernel of :mod:`bench_core.kernels`, or any such function from ``(..., n, s)`` and
            ``(..., m, s)`` to ``(..., n, m)``, twice differentiable.
        features: a differentiable function from ``(..., n, d)`` to ``(..., n, s)`` that maps every point by itself
            (no batch normalisation in training mode: its gradients would belong to several points); the identity by
            default. It is given the points in the common dtype of the samples. Its parameters may have leading axes.
        mu: sample of the measure of the constraint, of shape ``(..., M, d)``; ``x`` by default, which is P.
        weights: positive weights ``(..., M)`` of the points of ``mu`` that sum to 1; ``1 / M`` each by default.
        lam: the positive lambda of the constraint, a number or a tensor of the shape of the leading axes.
        solver: ``"exact"``, ``"cholesky"``, or ``"auto"``, which is exact for M(1 + s) of at most 4000.
        rank: the most pivots that ``"cholesky"`` takes; 1000 by default.

    Returns:
        Shape ``(...)``, in the common dtype of ``x``, ``y`` and ``mu``, but float32 for half types; all but the
        features is computed in float64. A trial's number does not depend on the others of its batch beyond rounding.

    Raises:
        ValueError: if shapes, dtypes, devices or values do not fit, the kernel has no derivatives or is positive
            definite only up to constants, or ``"exact"`` is asked for more than 20 000 equations.
    """
    _check_sample("x", x)
    _check_sample("y", y)
    _check_pair(x, y)
    if mu is not None:
        _check_sample("mu", mu)
        _check_pair(mu, x, names=("mu", "x"))
        _check_pair(mu, y, names=("mu", "y"))
    _check_solver(solver, rank)
    from bench_core.discrepancies import _gcmmd, _plain

    measure = x if mu is None else mu
    _check_weights(weights, measure)
    _check_lam(lam)
    _gcmmd.check_kernel(kernel)
    dtype = _plain.compute_dtype(x, y, measure)
    return _gcmmd.gcmmd2(x, y, kernel, features, mu, weights, lam, solver, rank).to(dtype)


def _check_solver(solver: str, rank: int | None) -> None:
    if solver not in ("auto", "exact", "cholesky"):
        raise ValueError(f"the solver must be 'auto', 'exact' or 'cholesky', got {solver!r}")
    if rank is None:
        return
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise ValueError(f"the rank must be a positive integer, got {rank!r}; try rank=200")
    if solver == "exact":
        raise ValueError(f"the exact solver has no rank, got rank={rank}; use solver='cholesky' or leave it out")


def _check_weights(weights: Tensor | None, measure: Tensor) -> None:
    if weights is None:
        return
    import torch

    points, shape = measure.shape[-2], tuple(weights.shape)
    if not shape or shape[-1] != points:
        raise ValueError(f"weights must have shape (..., {points}), one for every point of mu, got {shape}")
    if not weights.is_floating_point():
        raise ValueError(f"weights must hold floating-point numbers, got {weights.dtype}; try weights.float()")
    if any(
        p != q and 1 not in (p, q) for p, q in zip(reversed(shape[:-1]), reversed(measure.shape[:-2]), strict=False)
    ):
        raise ValueError(
            f"the leading axes of weights and mu must broadcast (be equal or 1), got shapes {shape} and "
            f"{tuple(measure.shape)}"
        )
    if weights.device != measure.device:
        raise ValueError(f"weights and mu must be on one device, got {weights.device} and {measure.device}")
    # Inside vmap a tensor has no single truth value to test.
    if torch._C._are_functorch_transforms_active():
        return
    if not bool(((weights > 0) & weights.isfinite()).all()):
        least = weights.detach().min().item()
        raise ValueError(f"weights must be positive and finite, got a least weight of {least:g}; leave such points out")
    sums = weights.detach().double().sum(-1)
    if bool(((sums - 1).abs() > math.sqrt(torch.finfo(weights.dtype).eps)).any()):
        raise ValueError(
            f"weights must sum to 1 over the points of mu, got sums from {sums.min().item():g} to "
            f"{sums.max().item():g}; divide by weights.sum(-1, keepdim=True)"
        )


def _check_lam(lam: float | Tensor) -> None:
    import torch

    if isinstance(lam, torch.Tensor):
        if torch._C._are_functorch_transforms_active():
            return
        fits = lam.is_floating_point() and bool(((lam > 0) & lam.isfinite()).all())
    else:
        fits = isinstance(lam, (int, float)) and not isinstance(lam, bool) and 0 < lam < math.inf
    if not fits:
        raise ValueError(f"lam must be positive and finite, got {lam!r}; try lam=1.0")
