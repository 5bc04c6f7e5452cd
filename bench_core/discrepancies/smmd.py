"""The squared Scaled MMD: an MMD over learnt features, divided by what bounds the slope of its witness function."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeAlias

from bench_core.discrepancies.mmd import Estimator, _check_estimator, _check_pair, _check_sample, mmd2
from bench_core.errors import suggest

if TYPE_CHECKING:
    from torch import Tensor

    from bench_core.kernels import Kernel

Features: TypeAlias = "Callable[[Tensor], Tensor]"
"""A map of samples ``(..., n, d)`` to ``(..., n, s)`` that treats each point on its own. Where it has a method
``jacobian``, from ``(..., n, d)`` to ``(..., n, s, d)``, that is asked for the derivatives."""
Scaling: TypeAlias = Literal["theory", "paper"]


def smmd2(
    x: Tensor,
    y: Tensor,
    kernel: Kernel,
    *,
    features: Features | None = None,
    mu: Tensor | None = None,
    lam: float = 1.0,
    scaling: Scaling = "theory",
    estimator: Estimator = "unbiased",
) -> Tensor:
    r"""Squared Scaled MMD of two samples, :math:`\sigma^2 \mathrm{MMD}_k^2` with :math:`k = K \circ \phi`.

    Arbel, Sutherland, Bińkowski, Gretton, "On gradient regularizers for MMD GANs", sec. 3.3, eq. 7. The scale is
    :func:`smmd_scale` of ``mu``. The default, the target's sample, is the paper's: then no gradient with respect to
    ``y`` flows through the scale, as a generator's must not.

    Args:
        x: sample of the target, ``(..., n, d)``; leading axes broadcast with those of ``y``, ``mu`` and of parameters
            that ``features`` holds per trial.
        y: sample of shape ``(..., m, d)``.
        kernel: K, on the features; as in :func:`bench_core.discrepancies.mmd2`, and positive definite.
        features: the map phi, as in :func:`smmd_scale`; None for the identity.
        mu: sample ``(..., M, d)`` of the measure under which slopes are bounded; None for ``x``.
        lam: as in :func:`smmd_scale`.
        scaling: as in :func:`smmd_scale`.
        estimator: of the MMD, ``"unbiased"`` (may be negative) or ``"biased"``.

    Returns:
        Shape ``(...)``; differentiable twice, with respect to the samples and to whatever ``features`` holds. With one
        feature, a trial's value and gradient are to the bit those that it has alone, if ``features`` keeps to that.

    Raises:
        ValueError: if shapes, dtypes, devices or sample sizes do not fit, a name is unknown, ``lam`` is not positive or
            given where it is not used, or the kernel has no derivative.
    """
    _check_sample("x", x)
    _check_sample("y", y)
    _check_pair(x, y)
    _check_estimator(estimator, x, y)
    _check_scaling(scaling, lam)
    if mu is not None:
        _check_sample("mu", mu)
        _check_pair(mu, x, names=("mu", "x"))
        scale = smmd_scale(mu, kernel, features, lam, scaling)
        of_x = x if features is None else features(x)
    else:
        from bench_core.discrepancies import _smmd

        # The features of x come with their derivatives: they are computed once.
        of_x, scale = _smmd.features_and_scale(x, kernel, features, lam, scaling == "theory")
    return scale * mmd2(of_x, y if features is None else features(y), kernel, estimator)


def smmd_scale(
    z: Tensor, kernel: Kernel, features: Features | None = None, lam: float = 1.0, scaling: Scaling = "theory"
) -> Tensor:
    r"""The factor sigma^2 by which :func:`smmd2` multiplies an MMD^2.

    ``theory`` is Proposition 4 of Arbel et al.,

    .. math:: \sigma^{-2} = \lambda + E\, k(z, z) + E \sum_i \partial_{a_i} \partial_{b_i} k(a, b) |_{a = b = z},

    for K(a, b) = g(\|a - b\|^2) equal to lambda + g(0) + 2 \|g'(0)\| E \|grad phi\|^2 with the Frobenius norm, and for
    a linear K to lambda + E \|phi\|^2 + E \|grad phi\|^2. ``paper`` is what its experiments use, which with a Gaussian
    kernel follows from no positive lambda: 1 / (1 + 10 E \|grad phi\|^2) whatever the kernel, but with ``Linear()``
    1 / (1 + 10 (E \|phi\|^2 + E \|grad phi\|^2)). It has no lambda.

    Args:
        z: sample of the measure mu, ``(..., M, d)``.
        kernel: K, on the features, positive definite (which ``Coulomb`` of ``dim`` 1 or 2 is not).
        features: the map phi from ``(..., M, d)`` to ``(..., M, s)``, each point on its own: a layer that mixes points,
            such as batch normalisation, makes the derivatives wrong. Its cost is one backward pass per output. None is
            the identity.
        lam: lambda, positive; ``theory`` only.
        scaling: ``"theory"`` or ``"paper"``.

    Returns:
        sigma^2, ``(...)``.

    Raises:
        ValueError: if ``z``, the result of ``features``, ``lam`` or ``scaling`` does not fit, or the kernel has no
            derivative where points coincide, as ``theory`` demands.
    """
    _check_sample("z", z)
    _check_scaling(scaling, lam)
    from bench_core.discrepancies import _smmd

    return _smmd.features_and_scale(z, kernel, features, lam, scaling == "theory")[1]


def _check_scaling(scaling: str, lam: float) -> None:
    if scaling not in ("theory", "paper"):
        raise ValueError(f"unknown scaling {scaling!r}{suggest(scaling, ['theory', 'paper'])}")
    if not 0 < lam < math.inf:
        raise ValueError(f"lam must be a positive finite number, got {lam!r}; try lam=1.0")
    if scaling == "paper" and lam != 1.0:
        raise ValueError(f"scaling='paper' has no lambda, got lam={lam!r}; leave it out or use scaling='theory'")
