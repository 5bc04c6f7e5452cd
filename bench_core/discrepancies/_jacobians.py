"""Derivatives, with respect to their input, of functions that map each point of a sample on its own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import vjp, vmap


def jacobians(features: Callable[[Tensor], Tensor], z: Tensor) -> tuple[Tensor, Tensor]:
    """``features(z)`` ``(..., n, s)`` of ``z`` ``(..., n, d)`` and the Jacobian of each point, ``(..., n, s, d)``.

    One backward pass per output does all points, since a point's features depend on no other point. Both results can
    be differentiated again, also with respect to parameters that ``features`` holds, one set per trial included.

    ``features`` with a method ``jacobian`` from ``(..., n, d)`` to ``(..., n, s, d)`` are asked for it.
    """
    if (known := getattr(features, "jacobian", None)) is not None:
        return features(z), known(z)
    phi, pullback = _pulled(features, z)
    if phi.shape[:-1] != z.shape[:-1]:
        # Parameters stacked per trial met points that the trials share: their derivatives must not be added up.
        phi, pullback = _pulled(features, z.expand(*phi.shape[:-1], z.shape[-1]))
    outputs = phi.shape[-1]
    if outputs == 1:  # without vmap, behind which the order of sums, in gradients, varies with the number of trials
        return phi, pullback(torch.ones_like(phi)).unsqueeze(-2)
    unit = torch.eye(outputs, dtype=phi.dtype, device=phi.device)
    cotangents = unit.reshape(outputs, *(1,) * (phi.ndim - 1), outputs).expand(outputs, *phi.shape)
    return phi, vmap(pullback)(cotangents).movedim(0, -2)


def _pulled(features: Callable[[Tensor], Tensor], z: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    phi, pullback = vjp(features, z)[:2]
    shape = tuple(phi.shape)
    if len(shape) < z.ndim or shape[-2] != z.shape[-2]:
        raise ValueError(
            f"features must map each point of a sample on its own, {tuple(z.shape)} to (..., {z.shape[-2]}, s), "
            f"got {shape}"
        )
    return phi, lambda cotangent: pullback(cotangent)[0]


def gradients(critic: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """The gradient of ``critic``, from ``(..., n, d)`` to ``(..., n)``, at each point: ``(..., n, d)``."""

    def column(z: Tensor) -> Tensor:
        values = critic(z)
        shape = tuple(values.shape)
        if len(shape) < z.ndim - 1 or shape[-1] != z.shape[-2]:
            raise ValueError(
                f"a critic must map each point of a sample to a number, {tuple(z.shape)} to (..., {z.shape[-2]}), "
                f"got {shape}; try .squeeze(-1) if it ends in an axis of 1"
            )
        return values.unsqueeze(-1)

    return jacobians(column, points)[1].squeeze(-2)
