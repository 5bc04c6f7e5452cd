"""The Lipschitz MMD of two samples: a maximum mean discrepancy whose critics have bounded slopes."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, NamedTuple

from bench_core.discrepancies.mmd import _check_pair, _check_sample

if TYPE_CHECKING:
    from torch import Tensor

    from bench_core.kernels import Kernel


class ConvergenceWarning(UserWarning):
    """The bounds on a Lipschitz MMD did not come as close as the tolerance asks; they are bounds all the same."""


class LipMMD(NamedTuple):
    """A Lipschitz MMD with its bounds, which hold for the given points."""

    value: Tensor
    """The upper bound, differentiable: ``(...)``."""
    lower: Tensor
    """What a critic attains that keeps the constraint: ``(...)``."""
    upper: Tensor
    """What no critic exceeds, the dual's value: ``(...)``."""
    weights: Tensor
    """The dual measure, a probability for each of the points: ``(..., k)``."""


def lipmmd(
    x: Tensor,
    y: Tensor,
    kernel: Kernel,
    points: Tensor,
    *,
    lam: float | Tensor = 1.0,
    tolerance: float = 1e-4,
    start: Tensor | None = None,
) -> LipMMD:
    r"""Lipschitz MMD of two samples, not squared (Arbel, Sutherland, Bińkowski, Gretton, "On gradient regularizers for
    MMD GANs", eq. 4):

    .. math:: \sup_f \; \frac{1}{n} \sum_i f(x_i) - \frac{1}{m} \sum_i f(y_i)
              \quad \text{where} \quad \max_j |\nabla f(z_j)|^2 + \lambda \|f\|_H^2 \leq 1.

    The slope is bounded at the given points :math:`z_j` only (their App. D, eq. 29) and may be larger in between: more
    points only lower the value, so that it lies above that of any refinement, and above the Lipschitz MMD itself. Lay
    them much closer than the kernel is wide.

    By duality the square is the least value of

    .. math:: F(w) = \frac{1}{\lambda} \left( \mathrm{MMD}^2 - g^T (\lambda W^{-1} + H)^{-1} g \right)

    over probability weights w on the points, where MMD^2 is the biased one, g the gradient of the witness function at
    the points and H the matrix of the kernel's mixed second derivatives there. F is convex and smooth, and its optimal
    weights are often zero but at a few points. It is minimised by an interior-point method: Newton's method with a line
    search for F minus a barrier times the sum of log w, the barrier falling with the gap. With a fixed barrier, damped
    Newton steps on a convex function converge, and at the minimum the gap is at most k barriers; so the barrier falls,
    at least geometrically, and the gap with it. That takes 5 to 20 steps, each of two factorisations of a matrix (of kd
    and of k rows), where multiplicative updates take hundreds to thousands. Trials are solved together, each
    until its own gap is closed.

    The value is the upper bound because that one is differentiable in closed form: the weights are optimal, so they
    count as constants (envelope theorem), and the gradient with respect to ``x``, ``y``, ``points``, ``lam`` and a
    kernel's tensor bandwidth is that of F. It errs with the square root of the gap, and is 0 where the value is 0. It
    cannot be differentiated once more, nor by the transforms of ``torch.func``.

    All is computed in float64, where rounding leaves an error of about 1e-15 / ``lam`` in the square, and no bound
    can be certified beyond that.

    Args:
        x: sample of shape ``(..., n, d)`` with ``d`` of 1 or 2; leading axes broadcast with those of ``y``, ``points``.
        y: sample of shape ``(..., m, d)``.
        kernel: as in :func:`bench_core.discrepancies.mmd2`, but differentiable where points coincide.
        points: where the slope is bounded, of shape ``(..., k, d)``; both samples lie in their bounding box.
        lam: the weight of the norm, positive; a tensor broadcasts with the leading axes. The value falls with it and is
            at most MMD / sqrt(``lam``).
        tolerance: the largest ``upper - lower``, in units of the value, not relative to it.
        start: weights of shape ``(..., k)`` to start from, such as those of the call before in a training loop.

    Returns:
        The value, its bounds and the weights, in the common dtype of ``x`` and ``y``, but float32 for half types. A
        trial with a NaN gives NaN and keeps its start as weights; the others of its batch do not feel it.

    Raises:
        ValueError: if shapes, dtypes, devices or numbers do not fit, a sample leaves the box of the points, ``d`` is
            above 2, or the kernel has no gradient.

    Warns:
        ConvergenceWarning: if the tolerance was not reached.

    Example:
        >>> import torch
        >>> from bench_core.kernels import Gaussian
        >>> x, y = torch.tensor([[0.0]]), torch.tensor([[1.0]])
        >>> result = lipmmd(x, y, Gaussian(1.0), torch.linspace(-1, 2, 61)[:, None])
        >>> print(f"{result.value.item():.2f}")  # sqrt(2 (1 - exp(-1/2)) - exp(-1/4) / 2)
        0.63
    """
    for name, sample in (("x", x), ("y", y), ("points", points)):
        _check_sample(name, sample)
    _check_pair(x, y)
    _check_points(points, x, y)
    _check_number("tolerance", tolerance, "1e-4")
    if not hasattr(lam, "requires_grad"):
        _check_number("lam", lam, "1.0")
    from bench_core.discrepancies import _lipmmd, _plain

    dtype = _plain.compute_dtype(x, y)
    found = _lipmmd.lipmmd(x.double(), y.double(), kernel, points.double(), lam, tolerance, start)
    missed = int(found.missed.sum())
    if missed:
        gap = float((found.upper - found.lower)[found.missed].max())
        warnings.warn(
            f"a gap between the bounds of at most {tolerance:g} was asked for, but in {missed} of "
            f"{found.missed.numel()} trials the solver ended with more, up to {gap:.2g}; raise the tolerance or lam",
            ConvergenceWarning,
            stacklevel=2,
        )
    return LipMMD(found.value.to(dtype), found.lower.to(dtype), found.upper.to(dtype), found.weights.to(dtype))


def _check_points(points: Tensor, x: Tensor, y: Tensor) -> None:
    for name, sample in (("x", x), ("y", y)):
        _check_pair(sample, points, names=(name, "points"))
    k, d = points.shape[-2:]
    if d > 2:
        raise ValueError(
            f"the Lipschitz MMD takes samples of dimension 1 or 2, got {d}: to bound a slope everywhere needs points "
            "whose number grows exponentially with the dimension; use gcmmd2"
        )
    if k < 2:
        raise ValueError(f"there must be at least 2 points, got {k}; try torch.linspace(low, high, 200)[:, None]")
    if not bool(points.isfinite().all()):
        raise ValueError("the points must be finite throughout; leave the others out")
    for name, sample in (("x", x), ("y", y)):
        _check_box(name, sample, points)


def _check_box(name: str, sample: Tensor, points: Tensor) -> None:
    import torch

    # A sample that is not finite lies in no box: it makes its own trial NaN, and no error for the others.
    finite = sample.isfinite().all(-1).all(-1)[..., None]
    ends = (points.double().amin(-2), points.double().amax(-2), sample.double().amin(-2), sample.double().amax(-2))
    low, high, least, most = torch.broadcast_tensors(*ends)  # type: ignore[no-untyped-call]  # (..., d)
    outside = finite & ((least < low) | (most > high))
    if bool(outside.any()):
        a, b, c, e = (end[outside][0].item() for end in (low, high, least, most))
        raise ValueError(
            f"{name} must lie in the bounding box of the points, from {a:g} to {b:g} along axis "
            f"{int(outside.nonzero()[0, -1])}, but reaches from {c:g} to {e:g}; spread the points wider"
        )


def _check_number(name: str, value: object, example: str) -> None:
    rule = f"{name} must be a positive finite number, got {value!r}; try {name}={example}"
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ValueError(rule) from None
    if isinstance(value, bool) or not 0 < number < math.inf:
        raise ValueError(rule)
