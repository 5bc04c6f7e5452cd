"""Kernels: small closed classes that turn two samples into a matrix of similarities.

Every kernel is called as ``kernel(x, y)`` on tensors of shapes ``(..., n, d)`` and ``(..., m, d)``, whose leading axes
broadcast, and returns ``(..., n, m)``. It works in the dtype and on the device of its arguments, is differentiable as
often as its formula, and has finite gradients where points coincide.

Distances come from differences, never from ``|x|^2 + |y|^2 - 2xy``: two close points far from the origin keep all their
digits, and an entry never depends on how many others are computed beside it. The price is a temporary of shape
``(..., n, m, d)``; :func:`bench_core.discrepancies.mmd2` bounds it by working on chunks of rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Coulomb",
    "Gaussian",
    "InverseMultiquadric",
    "Kernel",
    "Laplace",
    "Linear",
    "Mixture",
    "RationalQuadratic",
]


@runtime_checkable
class Kernel(Protocol):
    """Anything that maps ``(..., n, d)`` and ``(..., m, d)`` to ``(..., n, m)``; a plain function will do."""

    def __call__(self, x: Tensor, y: Tensor, /) -> Tensor: ...


@dataclass(frozen=True)
class Gaussian:
    """exp(-r^2 / (2 bandwidth)): ``bandwidth`` is the variance sigma^2, not sigma (Alon, Globerson, Wiesel, eq. 2).

    ``bandwidth`` may be a tensor, 0-dimensional or of the shape of the leading axes, and be differentiated.

    Raises:
        ValueError: if the bandwidth is not positive and finite.
    """

    bandwidth: float | Tensor

    def __post_init__(self) -> None:
        if isinstance(self.bandwidth, float) or not hasattr(self.bandwidth, "requires_grad"):
            _set_positive(self, "bandwidth")
        else:
            _check_positive_tensor("Gaussian", "bandwidth", self.bandwidth)

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Kernel matrix ``(..., n, m)`` of ``x`` ``(..., n, d)`` and ``y`` ``(..., m, d)``."""
        squared = _squared_distances(x, y)  # (..., n, m)
        if isinstance(self.bandwidth, float):
            return squared.mul(-0.5 / self.bandwidth).exp()
        # A 0-dimensional float64 bandwidth must not turn float32 data into float64, as it would once it has axes.
        bandwidth = self.bandwidth.to(squared.dtype)[..., None, None]  # (..., 1, 1)
        return squared.div(-2 * bandwidth).exp()


@dataclass(frozen=True)
class Laplace:
    """exp(-r / scale), whose gradient is taken to be 0 where points coincide.

    Raises:
        ValueError: if the scale is not positive and finite.
    """

    scale: float

    def __post_init__(self) -> None:
        _set_positive(self, "scale")

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Kernel matrix ``(..., n, m)`` of ``x`` ``(..., n, d)`` and ``y`` ``(..., m, d)``."""
        squared = _squared_distances(x, y)  # (..., n, m)
        # The square root has an infinite slope at 0, and 0 * inf is NaN: coinciding points go round it.
        coincide = squared == 0
        distance = squared.masked_fill(coincide, 1.0).sqrt().masked_fill(coincide, 0.0)
        return distance.mul(-1.0 / self.scale).exp()


@dataclass(frozen=True)
class RationalQuadratic:
    """(1 + r^2 / (2 alpha lengthscale^2))^(-alpha).

    Raises:
        ValueError: if a parameter is not positive and finite.
    """

    alpha: float
    lengthscale: float = 1.0

    def __post_init__(self) -> None:
        _set_positive(self, "alpha")
        _set_positive(self, "lengthscale")

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Kernel matrix ``(..., n, m)`` of ``x`` ``(..., n, d)`` and ``y`` ``(..., m, d)``."""
        scaled = _squared_distances(x, y).div(2 * self.alpha * self.lengthscale**2)  # (..., n, m)
        # log1p keeps the digits of small distances, which 1 + r^2 would round away.
        return scaled.log1p().mul(-self.alpha).exp()


@dataclass(frozen=True)
class InverseMultiquadric:
    """scale / (scale + r^2), the kernel of Wasserstein autoencoders (Tolstikhin et al.).

    Raises:
        ValueError: if the scale is not positive and finite.
    """

    scale: float

    def __post_init__(self) -> None:
        _set_positive(self, "scale")

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Kernel matrix ``(..., n, m)`` of ``x`` ``(..., n, d)`` and ``y`` ``(..., m, d)``."""
        return _squared_distances(x, y).add(self.scale).reciprocal().mul(self.scale)


@dataclass(frozen=True)
class Coulomb:
    """Potential of a unit charge in ``dim`` dimensions, softened: with s^2 = r^2 + softening^2 it is
    s^(2 - dim) for ``dim`` above 2, -log(s) for 2 and -s/2 for 1 (Sansone, Ali, Sun).

    Without softening the potential at a charge is infinite, and so is the biased MMD. ``dim`` need not be the
    dimension of the data.

    Raises:
        ValueError: if ``dim`` is not a positive integer or ``softening`` not positive and finite.
    """

    dim: int
    softening: float

    def __post_init__(self) -> None:
        if isinstance(self.dim, bool) or not isinstance(self.dim, int) or self.dim < 1:
            raise ValueError(f"the dim of Coulomb must be a positive integer, got {self.dim!r}; try dim=3")
        _set_positive(self, "softening")

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Kernel matrix ``(..., n, m)`` of ``x`` ``(..., n, d)`` and ``y`` ``(..., m, d)``."""
        squared = _squared_distances(x, y).add(self.softening**2)  # (..., n, m)
        if self.dim == 1:
            return squared.sqrt().mul(-0.5)
        if self.dim == 2:
            return squared.log().mul(-0.5)
        # Not pow, whose last bit depends on where in the tensor an entry stands.
        return squared.log().mul(-0.5 * (self.dim - 2)).exp()


@dataclass(frozen=True)
class Linear:
    """The inner product of x and y: its MMD^2 is the squared distance of the means."""

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Kernel matrix ``(..., n, m)`` of ``x`` ``(..., n, d)`` and ``y`` ``(..., m, d)``."""
        # Not matmul: it folds the axes of a batch into one product, whose rounding depends on the batch's width.
        return x.unsqueeze(-2).mul(y.unsqueeze(-3)).sum(-1)


@dataclass(frozen=True)
class Mixture:
    """The sum of the given kernels: ``Mixture([Gaussian(1), Gaussian(10)])``.

    Raises:
        ValueError: if there is no kernel in it, or something that is none.
    """

    kernels: Sequence[Kernel]

    def __post_init__(self) -> None:
        kernels = tuple(self.kernels)
        if not kernels:
            raise ValueError("a Mixture must hold at least one kernel, got none; try Mixture([Gaussian(1.0)])")
        for kernel in kernels:
            if not callable(kernel):
                raise ValueError(f"a Mixture holds kernels, got {kernel!r}; try Mixture([Gaussian(1.0)])")
        object.__setattr__(self, "kernels", kernels)

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Kernel matrix ``(..., n, m)`` of ``x`` ``(..., n, d)`` and ``y`` ``(..., m, d)``."""
        total = self.kernels[0](x, y)  # (..., n, m)
        for kernel in self.kernels[1:]:
            total = total + kernel(x, y)
        return total


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Squared Euclidean distances ``(..., n, m)`` between ``x`` ``(..., n, d)`` and ``y`` ``(..., m, d)``."""
    return x.unsqueeze(-2).sub(y.unsqueeze(-3)).square().sum(-1)


def _set_positive(kernel: object, name: str) -> None:
    """Replace the field by a float, having checked that it is positive and finite."""
    given = getattr(kernel, name)
    rule = f"the {name} of {type(kernel).__name__} must be a positive finite number, got {given!r}; try {name}=1.0"
    try:
        value = float(given)
    except (TypeError, ValueError):
        raise ValueError(rule) from None
    if isinstance(given, bool) or not 0 < value < math.inf:
        raise ValueError(rule)
    object.__setattr__(kernel, name, value)


def _check_positive_tensor(kernel: str, name: str, value: Tensor) -> None:
    import torch

    # Inside vmap a tensor has no single truth value to test.
    if torch._C._are_functorch_transforms_active():
        return
    if not bool(((value > 0) & value.isfinite()).all()):
        given = value.detach().tolist()
        raise ValueError(f"the {name} of {kernel} must be positive and finite throughout, got {given}; clamp it")
