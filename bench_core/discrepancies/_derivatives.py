"""First and mixed second derivatives of kernels, for constraints on the gradients of functions in their spaces.

In closed form for the kernels of :mod:`bench_core.kernels`, otherwise by ``torch.func``, pair by pair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.func import jacrev, vmap

from bench_core.kernels import Coulomb, Gaussian, InverseMultiquadric, Laplace, Linear, Mixture, RationalQuadratic

if TYPE_CHECKING:
    from torch import Tensor

    from bench_core.kernels import Kernel


class Profile(NamedTuple):
    """A radial kernel g(|x - y|^2) and its derivatives with respect to the squared distance, each ``(..., n, m)``."""

    value: Tensor
    first: Tensor
    second: Tensor


def gradient(kernel: Kernel, x: Tensor, y: Tensor) -> Tensor:
    """d k(x_i, y_j) / d x_i of ``x`` ``(..., n, d)`` and ``y`` ``(..., m, d)``: ``(..., n, m, d)``.

    Raises:
        ValueError: if the kernel has no derivative where points coincide.
    """
    _check_smooth(kernel)
    if isinstance(kernel, Mixture):
        return torch.stack([gradient(part, x, y) for part in kernel.kernels]).sum(0)
    difference = x.unsqueeze(-2) - y.unsqueeze(-3)  # (..., n, m, d)
    if isinstance(kernel, Linear):
        return y.unsqueeze(-3).expand_as(difference)
    profile = _profile(kernel, difference.square().sum(-1))
    if profile is None:
        return _pairwise(jacrev(_of_points(kernel)), x, y)
    return 2 * profile.first.unsqueeze(-1) * difference


def mixed(kernel: Kernel, x: Tensor, y: Tensor) -> Tensor:
    """d^2 k(x_i, y_j) / d x_i d y_j of ``x`` ``(..., n, d)`` and ``y`` ``(..., m, d)``: ``(..., n, m, d, d)``.

    Raises:
        ValueError: if the kernel has no derivative where points coincide.
    """
    _check_smooth(kernel)
    if isinstance(kernel, Mixture):
        return torch.stack([mixed(part, x, y) for part in kernel.kernels]).sum(0)
    difference = x.unsqueeze(-2) - y.unsqueeze(-3)  # (..., n, m, d)
    identity = torch.eye(x.shape[-1], dtype=difference.dtype, device=x.device)
    if isinstance(kernel, Linear):
        return identity.expand(*difference.shape[:-1], -1, -1)
    profile = _profile(kernel, difference.square().sum(-1))
    if profile is None:
        return _pairwise(jacrev(jacrev(_of_points(kernel)), argnums=1), x, y)
    outer = difference.unsqueeze(-1) * difference.unsqueeze(-2)  # (..., n, m, d, d)
    return -2 * profile.first[..., None, None] * identity - 4 * profile.second[..., None, None] * outer


def diagonal(kernel: Kernel, x: Tensor) -> tuple[Tensor, Tensor]:
    """k(x_i, x_i) ``(..., n)`` and d^2 k(a, b) / da db at a = b = x_i ``(..., n, d, d)`` of ``x`` ``(..., n, d)``."""
    points = x.unsqueeze(-2)  # (..., n, 1, d): every point a sample of its own
    return kernel(points, points)[..., 0, 0], mixed(kernel, points, points)[..., 0, 0, :, :]


def _check_smooth(kernel: Kernel) -> None:
    if isinstance(kernel, Laplace):
        raise ValueError(
            "the Laplace kernel has no derivative where points coincide, and functions in its space need have no "
            "gradient; take Gaussian, RationalQuadratic or InverseMultiquadric"
        )


def _profile(kernel: Kernel, squared: Tensor) -> Profile | None:
    """The profile at squared distances ``(..., n, m)``; None if the kernel is not known to be radial."""
    if isinstance(kernel, Gaussian):
        bandwidth = kernel.bandwidth
        if not isinstance(bandwidth, float):
            bandwidth = bandwidth.to(squared.dtype)[..., None, None]
        value = (squared / (-2 * bandwidth)).exp()
        return Profile(value, value / (-2 * bandwidth), value / (4 * bandwidth**2))
    if isinstance(kernel, RationalQuadratic):
        scale = 1 / (2 * kernel.alpha * kernel.lengthscale**2)
        return _power(1 + scale * squared, kernel.alpha, scale)
    if isinstance(kernel, InverseMultiquadric):
        return _power(1 + squared / kernel.scale, 1.0, 1 / kernel.scale)
    if isinstance(kernel, Coulomb):
        softened = squared + kernel.softening**2
        if kernel.dim == 2:
            return Profile(softened.log().mul(-0.5), -0.5 / softened, 0.5 / softened.square())
        if kernel.dim == 1:
            return Profile(*(-0.5 * part for part in _power(softened, -0.5, 1.0)))
        return _power(softened, (kernel.dim - 2) / 2, 1.0)
    return None


def _power(base: Tensor, exponent: float, slope: float) -> Profile:
    """base^-exponent, where ``slope`` is the derivative of ``base`` with respect to the squared distance."""
    value = base.pow(-exponent)
    first = -exponent * slope * value / base
    return Profile(value, first, -(exponent + 1) * slope * first / base)


def _of_points(kernel: Kernel):  # type: ignore[no-untyped-def]
    """The kernel as a function of two points ``(d,)``."""
    return lambda a, b: kernel(a[None], b[None])[0, 0]


def _pairwise(of_points, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
    """``of_points`` of every pair, in front of whose axes stand ``(..., n, m)``."""
    lead = torch.Size(torch.broadcast_shapes(x.shape[:-2], y.shape[:-2]))  # type: ignore[no-untyped-call]
    x, y = (z.expand(*lead, *z.shape[-2:]).reshape(-1, *z.shape[-2:]) for z in (x, y))
    of_rows = vmap(vmap(of_points, (None, 0)), (0, None))
    result: Tensor = vmap(of_rows)(x, y)
    return result.reshape(*lead, *result.shape[1:])
