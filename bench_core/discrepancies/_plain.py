"""MMD for any kernel by summing kernel matrices, left to autograd: the oracle, and the path of all but the Gaussian.

A kernel matrix is never held whole when it is large: it is summed by chunks of rows, and checkpointing computes each
chunk again for its gradient, so that memory stays proportional to one chunk.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch.utils.checkpoint import checkpoint

from bench_core.discrepancies._exact import exact_products

if TYPE_CHECKING:
    from torch import Tensor

    from bench_core.kernels import Kernel

CHUNK_ELEMENTS = 2**21
"""Entries of the temporary of differences, (rows, m, d), that one chunk of one trial may hold: 8 MB in float32, and a
few copies of it live at once. Per trial, so that the order of summation does not depend on the width of the batch."""


def under_transform() -> bool:
    """Whether ``torch.func``, forward-mode differentiation or the compiler is looking on.

    They see through ordinary operations only, not through a hand-written gradient.
    """
    return (
        torch._C._are_functorch_transforms_active()
        or torch.autograd.forward_ad._current_level >= 0
        or torch.compiler.is_compiling()
    )


def compute_dtype(*samples: Tensor) -> torch.dtype:
    """The common dtype of the samples, but float32 for half types: an MMD^2 is a small difference of large sums."""
    dtype = functools.reduce(torch.promote_types, (sample.dtype for sample in samples))
    return torch.float32 if dtype.itemsize < 4 else dtype


def mmd2(x: Tensor, y: Tensor, kernel: Kernel, unbiased: bool) -> Tensor:
    """MMD^2 of ``x`` ``(..., n, d)`` and ``y`` ``(..., m, d)``, shape ``(...)``, in float64."""
    n, m = x.shape[-2], y.shape[-2]
    with exact_products(x.device.type):
        within_x = _total(x, x, kernel, drop_diagonal=unbiased)
        within_y = _total(y, y, kernel, drop_diagonal=unbiased)
        across = _total(x, y, kernel, drop_diagonal=False)
    if unbiased:
        return within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - across * (2 / (n * m))
    return within_x / n**2 + within_y / m**2 - across * (2 / (n * m))


def row_means(t: Tensor, z: Tensor, kernel: Kernel) -> Tensor:
    """mean_j k(t_i, z_j) for ``t`` ``(..., k, d)`` and ``z`` ``(..., m, d)``: ``(..., k)``, in float64."""

    def block(rows: Tensor, z: Tensor) -> Tensor:
        return _matrix(rows, z, kernel).sum(-1, dtype=torch.float64)  # (..., rows)

    with exact_products(t.device.type):
        sums = [_recomputed(block, t[..., rows, :], z, more) for rows, more in _chunks(t, z)]
    return torch.cat(sums, dim=-1) / z.shape[-2]


def _total(a: Tensor, b: Tensor, kernel: Kernel, *, drop_diagonal: bool) -> Tensor:
    """Sum of all k(a_i, b_j), but those with i = j where ``drop_diagonal``: shape ``(...)``, float64."""
    total: Tensor | None = None
    for rows, more in _chunks(a, b):

        def block(part: Tensor, b: Tensor, first: int = rows.start) -> Tensor:
            matrix = _matrix(part, b, kernel)  # (..., rows, m)
            if drop_diagonal:
                # Filled, not subtracted: a softened Coulomb diagonal would swallow the digits of all other entries.
                diagonal = torch.arange(first, first + part.shape[-2], device=part.device)[:, None]
                matrix = matrix.masked_fill(torch.arange(b.shape[-2], device=part.device) == diagonal, 0.0)
            return matrix.sum((-2, -1), dtype=torch.float64)

        part_sum = _recomputed(block, a[..., rows, :], b, more)
        total = part_sum if total is None else total + part_sum
    assert total is not None  # the samples are not empty
    return total


def _matrix(a: Tensor, b: Tensor, kernel: Kernel) -> Tensor:
    matrix = kernel(a, b)
    expected = (a.shape[-2], b.shape[-2])
    if tuple(matrix.shape[-2:]) != expected:
        raise ValueError(
            f"a kernel must map samples of shapes {tuple(a.shape)} and {tuple(b.shape)} to a matrix that ends in "
            f"{expected}, got {tuple(matrix.shape)} from {kernel!r}"
        )
    return matrix


def _chunks(a: Tensor, b: Tensor) -> list[tuple[slice, bool]]:
    """Slices of the rows of ``a``, each with whether there is more than one."""
    n = a.shape[-2]
    size = max(1, CHUNK_ELEMENTS // (b.shape[-2] * b.shape[-1]))
    return [(slice(start, min(start + size, n)), size < n) for start in range(0, n, size)]


def _recomputed(block: Callable[[Tensor, Tensor], Tensor], part: Tensor, b: Tensor, more: bool) -> Tensor:
    """``block(part, b)``, whose intermediate results are not kept for the gradient if there are more chunks."""
    if more and torch.is_grad_enabled() and not under_transform():
        result: Tensor = checkpoint(block, part, b, use_reentrant=False, preserve_rng_state=False)
        return result
    return block(part, b)
