"""The squared maximum mean discrepancy of two samples, and its witness function.

With the Gaussian kernel of a fixed bandwidth nothing of size n x m is ever formed: the sums over a kernel matrix are an
un-normalised softmax attention, computed tile by tile together with the gradient. Any other kernel, a bandwidth given
as a tensor, ``torch.func`` and second derivatives take the plain path: kernel matrices by chunks of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeAlias

from bench_core.kernels import Gaussian

if TYPE_CHECKING:
    from torch import Tensor

    from bench_core.kernels import Kernel

Estimator: TypeAlias = Literal["unbiased", "biased"]


class BandwidthWarning(UserWarning):
    """The bandwidth is so small beside the spread of a sample that products in float32 cannot resolve the kernel.

    The result is right all the same: it is computed from differences, pair by pair and in float64, which is slow.
    """


def mmd2(x: Tensor, y: Tensor, kernel: Kernel, estimator: Estimator = "unbiased") -> Tensor:
    r"""Squared maximum mean discrepancy of two samples.

    ``unbiased`` is the U-statistic within each sample and the full mean across (Alon, Globerson, Wiesel, eq. 21),

    .. math:: \frac{\sum_{i \neq j} k(x_i, x_j)}{n(n-1)} + \frac{\sum_{i \neq j} k(y_i, y_j)}{m(m-1)}
              - \frac{2 \sum_{ij} k(x_i, y_j)}{nm},

    often negative when the laws agree: do not clamp it, nor take its root. ``biased`` keeps the terms i = j and divides
    by n^2 and m^2; it is never negative.

    In float32 the Gaussian value is good to about 1e-8 absolute where n is in the thousands and to some 1e-8 at n = 50;
    with a handful of points nothing averages out, and it is good to 1e-6.

    Args:
        x: sample of shape ``(..., n, d)``; leading axes broadcast with those of ``y``.
        y: sample of shape ``(..., m, d)``.
        kernel: a kernel of :mod:`bench_core.kernels`, or any function from ``(..., n, d)`` and ``(..., m, d)`` to
            ``(..., n, m)``.
        estimator: ``"unbiased"`` (needs ``n`` and ``m`` of at least 2) or ``"biased"``.

    Returns:
        Shape ``(...)``, in the common dtype of ``x`` and ``y``, but float32 for half types. A trial's number does not
        depend on the others of its batch: not its last bit, and not if one of them is NaN.

    Raises:
        ValueError: if shapes, dtypes, devices or sample sizes do not fit, or the estimator is unknown.

    Warns:
        BandwidthWarning: if a Gaussian bandwidth is too small for float32.
    """
    _check_sample("x", x)
    _check_sample("y", y)
    _check_pair(x, y)
    _check_estimator(estimator, x, y)
    return _mmd2(x, y, kernel, estimator)


def mmd2_against(y: Tensor, kernel: Kernel, estimator: Estimator = "unbiased") -> Callable[[Tensor], Tensor]:
    """``mmd2(., y, kernel, estimator)`` for a loop in which ``y`` stays: what depends on ``y`` only is computed once.

    The returned function gives the number of :func:`mmd2` up to rounding, and value and gradient with respect to its
    argument in one pass. It keeps a copy of ``y``; if ``y`` requires a gradient, nothing can be kept and it is
    :func:`mmd2` itself.

    Args:
        y: sample of shape ``(..., m, d)``.
        kernel: as in :func:`mmd2`.
        estimator: as in :func:`mmd2`.

    Returns:
        A function from ``(..., n, d)`` to ``(...)``; it may be called from several threads.

    Raises:
        ValueError: here or in a call, as :func:`mmd2` does.
    """
    _check_sample("y", y)
    _check_estimator(estimator, y=y)

    def plain(x: Tensor) -> Tensor:
        return mmd2(x, y, kernel, estimator)

    bandwidth = _fused_bandwidth(kernel, y)
    if y.requires_grad or bandwidth is None:
        return plain
    from bench_core.discrepancies import _fused

    against = _fused.Against(y, bandwidth, estimator == "unbiased")

    def fused(x: Tensor) -> Tensor:
        _check_sample("x", x)
        _check_pair(x, y)
        _check_estimator(estimator, x=x)
        return plain(x) if _fused_bandwidth(kernel, x) is None or not against.accepts(x) else against(x)

    return fused


def witness(x: Tensor, y: Tensor, kernel: Kernel) -> Callable[[Tensor], Tensor]:
    """The witness function mean_i k(x_i, t) - mean_j k(y_j, t), which shows where two samples differ (Gretton et al.,
    "A Kernel Two-Sample Test", sec. 2.3).

    Args:
        x: sample of shape ``(..., n, d)``.
        y: sample of shape ``(..., m, d)``.
        kernel: as in :func:`mmd2`.

    Returns:
        A function from points ``t`` of shape ``(..., k, d)`` to values ``(..., k)``; leading axes broadcast.

    Raises:
        ValueError: here or in a call, if shapes, dtypes or devices do not fit.
    """
    _check_sample("x", x)
    _check_sample("y", y)
    _check_pair(x, y)

    def evaluate(t: Tensor) -> Tensor:
        _check_sample("t", t)
        _check_pair(t, x, names=("t", "x"))
        _check_pair(t, y, names=("t", "y"))
        return _witness(t, x, y, kernel)

    return evaluate


def _mmd2(x: Tensor, y: Tensor, kernel: Kernel, estimator: Estimator) -> Tensor:
    unbiased = estimator == "unbiased"
    bandwidth = _fused_bandwidth(kernel, x)
    if bandwidth is not None:
        from bench_core.discrepancies import _fused

        return _fused.mmd2(x, y, bandwidth, unbiased)
    from bench_core.discrepancies import _plain

    dtype = _plain.compute_dtype(x, y)
    return _plain.mmd2(x.to(dtype), y.to(dtype), kernel, unbiased).to(dtype)


def _witness(t: Tensor, x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    from bench_core.discrepancies import _plain

    dtype = _plain.compute_dtype(t, x, y)
    t, x, y = t.to(dtype), x.to(dtype), y.to(dtype)
    bandwidth = _fused_bandwidth(kernel, x)
    if bandwidth is not None and not (x.requires_grad or y.requires_grad):
        from bench_core.discrepancies import _fused

        return (_fused.row_means(t, x, bandwidth) - _fused.row_means(t, y, bandwidth)).to(dtype)
    return (_plain.row_means(t, x, kernel) - _plain.row_means(t, y, kernel)).to(dtype)


def _fused_bandwidth(kernel: Kernel, x: Tensor) -> float | None:
    """The kernel's bandwidth where the hand-written gradient applies: a Gaussian's, given as a number, and outside of
    transforms."""
    if not (isinstance(kernel, Gaussian) and isinstance(kernel.bandwidth, float) and x.device.type in ("cpu", "cuda")):
        return None
    from bench_core.discrepancies import _plain

    return None if _plain.under_transform() else kernel.bandwidth


def _check_sample(name: str, sample: Tensor) -> None:
    shape = tuple(sample.shape)
    if len(shape) < 2:
        raise ValueError(f"{name} must have shape (..., n, d), got {shape}; try {name}[:, None] if d is 1")
    if 0 in shape[-2:]:
        raise ValueError(f"{name} must have shape (..., n, d) with n and d of at least 1, got {shape}")
    if not sample.is_floating_point():
        raise ValueError(f"{name} must hold floating-point numbers, got {sample.dtype}; try {name}.float()")


def _check_pair(x: Tensor, y: Tensor, names: tuple[str, str] = ("x", "y")) -> None:
    a, b = tuple(x.shape), tuple(y.shape)
    both = f"{names[0]} and {names[1]}"
    if a[-1] != b[-1]:
        raise ValueError(f"{both} must agree in their last axis, the dimension d, got shapes {a} and {b}")
    if any(p != q and 1 not in (p, q) for p, q in zip(reversed(a[:-2]), reversed(b[:-2]), strict=False)):
        raise ValueError(f"the leading axes of {both} must broadcast (be equal or 1), got shapes {a} and {b}")
    if x.device != y.device:
        raise ValueError(f"{both} must be on one device, got {x.device} and {y.device}")


def _check_estimator(estimator: str, x: Tensor | None = None, y: Tensor | None = None) -> None:
    if estimator not in ("unbiased", "biased"):
        raise ValueError(f"the estimator must be 'unbiased' or 'biased', got {estimator!r}")
    for name, sample in (("x", x), ("y", y)):
        if estimator == "unbiased" and sample is not None and sample.shape[-2] < 2:
            raise ValueError(
                f"the unbiased MMD^2 needs at least 2 points in {name}, got shape {tuple(sample.shape)}; "
                "add points or use estimator='biased'"
            )
