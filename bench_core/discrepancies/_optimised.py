"""Maximisation over a positive scalar on a logarithmic scale, each trial of a batch in a bracket of its own."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

GOLDEN = (math.sqrt(5) - 1) / 2


@torch.no_grad()
def argument(discrepancy: Callable[[Tensor], Tensor], low: float, high: float, points: int, tolerance: float) -> Tensor:
    """Where each trial's ``discrepancy`` is largest between ``low`` and ``high``: ``(...)``, float64."""
    # One call tells the shape and the device of the batch, which psi then has.
    batch = discrepancy(torch.tensor(math.sqrt(low * high), dtype=torch.float64))
    grid = torch.linspace(math.log(low), math.log(high), points, dtype=torch.float64, device=batch.device)

    def evaluate(log_psi: Tensor, shape: tuple[int, ...]) -> Tensor:
        values = discrepancy(log_psi.exp().clamp(low, high))
        if tuple(values.shape) != shape:
            raise ValueError(
                f"discrepancy must return shape {shape} of psi of shape {tuple(log_psi.shape)}, as it returned "
                f"{tuple(batch.shape)} of a single psi; got {tuple(values.shape)}"
            )
        return values

    values = evaluate(grid.reshape(-1, *(1,) * batch.ndim), (points, *batch.shape))  # (points, ...)
    best_value, index = values.max(0)  # (...); a NaN is the largest, and stays
    best = grid[index]
    left, right = grid[(index - 1).clamp_min(0)], grid[(index + 1).clamp_max(points - 1)]

    def try_out(log_psi: Tensor) -> Tensor:
        """The value at ``log_psi``, remembered if it is the best so far."""
        nonlocal best, best_value
        value = evaluate(log_psi, tuple(batch.shape))
        better = value > best_value
        best, best_value = torch.where(better, log_psi, best), torch.where(better, value, best_value)
        return value

    inner, outer = right - GOLDEN * (right - left), left + GOLDEN * (right - left)
    at_inner, at_outer = try_out(inner), try_out(outer)
    bracket = 2 * math.log(high / low) / (points - 1)
    for _ in range(math.ceil(math.log(bracket / tolerance) / -math.log(GOLDEN))):
        lower = at_inner > at_outer  # where the peak lies left of the outer point
        left, right = torch.where(lower, left, inner), torch.where(lower, outer, right)
        new = torch.where(lower, right - GOLDEN * (right - left), left + GOLDEN * (right - left))
        at_new = try_out(new)
        inner, outer = torch.where(lower, new, outer), torch.where(lower, inner, new)
        at_inner, at_outer = torch.where(lower, at_new, at_outer), torch.where(lower, at_inner, at_new)
    return best.exp().clamp(low, high)
