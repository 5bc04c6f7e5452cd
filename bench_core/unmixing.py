"""Vertex component analysis: the corners of the simplex in which mixed pixels lie.

Nascimento and Bioucas-Dias, "Vertex component analysis: a fast algorithm to unmix hyperspectral data", IEEE Trans.
Geosci. Remote Sens. 43 (2005), 898-910; the start of the unmixing experiment of Alon, Globerson, Wiesel, Section 4.3.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["estimated_snr", "vca"]

ROUNDING = 1e-10
"""Power below this share of the largest is rounding, in float32 data as well: 1e-14 there, 1e-32 in float64."""


def vca(y: Tensor, r: int, *, generator: torch.Generator, snr: float | None = None) -> Tensor:
    """Return ``r`` endmembers of mixed pixels: the pixels that stick out farthest, one after the other.

    Each time the pixel is taken whose part along a random direction, orthogonal to those found so far, is largest.
    Without noise, and with a pure pixel of each endmember, these are the endmembers, whatever the directions.

    Pixels are looked at in the ``r - 1`` dimensions of their affine hull where noise is strong, and else in
    perspective, which takes out their brightness. The published algorithm fails where perspective does, and here the
    affine hull serves as well: where pixels lie beside or behind the observer, as mixtures of spectra of both signs do,
    and where they span fewer than ``r`` dimensions.

    Args:
        y: pixels, shape ``(..., n, d)``.
        r: number of endmembers, 1 to d.
        generator: source of the directions, on the device of ``y``. A batch shares it: to get what each trial would get
            alone, call once per trial.
        snr: signal-to-noise ratio in dB that decides between the two views; None: ``estimated_snr(y, r)``.

    Returns:
        Endmembers as columns, shape ``(..., d, r)``, in the random order in which they were found. They are pixels
        projected on the subspace of the signal, computed in float64 and given in the dtype of ``y``.

    Raises:
        ValueError: ``r`` outside 1 to d, or no pixel.

    Example:
        >>> import torch
        >>> pure = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])  # two endmembers as rows
        >>> share = torch.tensor([[1.0, 0.0], [0.3, 0.7], [0.0, 1.0]])
        >>> found = vca(share @ pure, 2, generator=torch.Generator().manual_seed(0))
        >>> sorted(found.mT.round(decimals=6).tolist())
        [[0.0, 2.0, 0.0], [1.0, 0.0, 0.0]]
    """
    import torch

    _check(y, r)
    pixels = y.double()
    mean = pixels.mean(-2, keepdim=True)  # (..., 1, d)
    # Affine hull: coordinates along the first r - 1 principal axes, and one that is the same for all.
    hull = _axes(pixels - mean, r - 1)[0]  # (..., d, r - 1)
    flat = (pixels - mean) @ hull  # (..., n, r - 1)
    height = flat.square().sum(-1).amax(-1, keepdim=True).sqrt()  # (..., 1)
    affine = torch.cat([flat, height.unsqueeze(-1).expand(*flat.shape[:-1], 1)], -1)  # (..., n, r)
    # Perspective: the r main directions of the pixels themselves, divided by the part along their mean.
    span, power = _axes(pixels, r)  # (..., d, r), (..., r)
    coordinates = pixels @ span  # (..., n, r)
    depth = coordinates @ coordinates.mean(-2, keepdim=True).mT  # (..., n, 1)
    ahead = (depth.squeeze(-1) > ROUNDING * depth.abs().amax(-2)).all(-1)  # (...)
    full = power[..., -1] > ROUNDING * power[..., 0]
    ratio = estimated_snr(y, r) if snr is None else torch.full_like(power[..., 0], snr)
    inside = (ratio >= 15 + 10 * math.log10(r)) & ahead & full
    perspective = coordinates / torch.where(inside[..., None, None], depth, 1.0)

    chosen = inside[..., None, None]
    found = _farthest(torch.where(chosen, perspective, affine), generator)  # (..., r)
    projected = torch.where(chosen, coordinates @ span.mT, flat @ hull.mT + mean)  # (..., n, d)
    index = found.unsqueeze(-1).expand(*found.shape, y.shape[-1])
    return projected.gather(-2, index).mT.to(y.dtype)


def estimated_snr(y: Tensor, r: int) -> Tensor:
    """Return the signal-to-noise ratio in dB of pixels ``(..., n, d)``, shape ``(...)``.

    The signal is what lies in the ``r``-dimensional principal subspace, noise what is outside, in the remaining d - r
    dimensions; infinite where nothing is there, or nothing can be because r = d, and -inf where there is no signal.

    Raises:
        ValueError: ``r`` outside 1 to d, or no pixel.
    """
    import torch

    _check(y, r)
    pixels = y.double()
    mean = pixels.mean(-2, keepdim=True)  # (..., 1, d)
    centred = pixels - mean
    inside = (centred @ _axes(centred, r)[0]).square().sum(-1).mean(-1) + mean.square().sum((-2, -1))
    total = pixels.square().sum(-1).mean(-1)
    noise = total - inside
    signal = (inside - r / y.shape[-1] * total).clamp_min(0)
    # Without noise the difference is a rounding error of either sign.
    clean = noise <= ROUNDING * total
    return torch.where(clean, math.inf, 10 * (signal / torch.where(clean, 1.0, noise)).log10())


def _check(y: Tensor, r: int) -> None:
    n, d = y.shape[-2:]
    if not 1 <= r <= d:
        raise ValueError(f"r must be from 1 to the dimension of the pixels, {d}, got {r}")
    if n == 0:
        raise ValueError("there are no pixels")


def _axes(pixels: Tensor, r: int) -> tuple[Tensor, Tensor]:
    """Return the ``r`` main directions of points ``(..., n, d)`` about 0, as columns, with their mean squares."""
    import torch

    values, vectors = torch.linalg.eigh(pixels.mT @ pixels / pixels.shape[-2])  # ascending
    axes = vectors[..., values.shape[-1] - r :].flip(-1)
    # Either sign is an eigenvector, and libraries differ in which they return: the largest entry is made positive.
    largest = axes.gather(-2, axes.abs().argmax(-2, keepdim=True))
    return axes * largest.sign(), values[..., values.shape[-1] - r :].flip(-1)


def _farthest(points: Tensor, generator: torch.Generator) -> Tensor:
    """Return the indices of ``r`` points of ``(..., n, r)``, shape ``(..., r)``."""
    import torch

    *batch, _, r = points.shape
    draws = torch.rand(*batch, r, r, 1, generator=generator, dtype=points.dtype, device=points.device)
    corners = points.new_zeros(*batch, r, r)  # as columns
    corners[..., -1, 0] = 1.0  # the first direction is orthogonal to the last axis
    found = []
    for step in range(r):
        draw = draws[..., step, :, :]  # (..., r, 1)
        direction = draw - corners @ (torch.linalg.pinv(corners) @ draw)
        farthest = (points @ direction).abs().squeeze(-1).argmax(-1)  # (...)
        index = farthest[..., None, None].expand(*batch, 1, r)
        corners[..., step] = points.gather(-2, index).squeeze(-2)
        found.append(farthest)
    return torch.stack(found, -1)
