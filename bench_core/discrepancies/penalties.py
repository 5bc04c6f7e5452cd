"""Regularisers of critics by the slope of a function at points of the input space.

Each returns one number per trial, ``(...)``, without the coefficient that a loss multiplies it by, and can be
differentiated with respect to whatever the critic holds; parameters may be stacked per trial.

A slope is the Euclidean norm of the gradient over the whole input of a sample, one number per image. The public code
of Arbel et al. takes it over the channels of each pixel and averages over pixels: that is a different regulariser.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from bench_core.discrepancies.mmd import _check_pair, _check_sample

if TYPE_CHECKING:
    from torch import Tensor

    from bench_core.discrepancies.smmd import Features
    from bench_core.kernels import Kernel

Critic: TypeAlias = "Callable[[Tensor], Tensor]"
"""A map of samples ``(..., n, d)`` to ``(..., n)`` that treats each point on its own."""


def gradient_norms(critic: Critic, points: Tensor) -> Tensor:
    """The slope of a critic at each point, whose own gradient is taken to be 0 where the slope is 0.

    Args:
        critic: maps ``(..., n, d)`` to ``(..., n)``, each point on its own.
        points: sample of shape ``(..., n, d)``.

    Returns:
        Shape ``(..., n)``.

    Raises:
        ValueError: if the points or the result of the critic have another shape.
    """
    return _norms(_squared_norms(critic, points))


def wgan_gp(critic: Critic, x: Tensor, y: Tensor, share: Tensor) -> Tensor:
    """Gradient penalty of the Wasserstein GAN (Gulrajani et al., "Improved Training of Wasserstein GANs", eq. 3): the
    mean of (slope - 1)^2 between the samples, at ``share * x + (1 - share) * y``.

    Args:
        critic: as in :func:`gradient_norms`.
        x: sample of shape ``(..., n, d)``.
        y: sample of shape ``(..., n, d)``.
        share: uniform numbers from [0, 1] of shape ``(..., n, 1)``.

    Returns:
        Shape ``(...)``.

    Raises:
        ValueError: if shapes, dtypes or devices do not fit.
    """
    return (gradient_norms(critic, _between(x, y, share)) - 1).square().mean(-1)


def sobolev(critic: Critic, x: Tensor, y: Tensor) -> Tensor:
    """What the constraint of the Sobolev GAN is violated by: the mean squared slope under (P + Q) / 2, less 1.

    Mroueh, Li, Sercu, Raj, Cheng, "Sobolev GAN". The loss of the critic is an augmented Lagrangian of it, its
    multiplier rising by ``rho`` times this number after each step.

    Args:
        critic: as in :func:`gradient_norms`.
        x: sample of shape ``(..., n, d)``.
        y: sample of shape ``(..., m, d)``.

    Returns:
        Shape ``(...)``, at least -1.

    Raises:
        ValueError: if shapes, dtypes or devices do not fit.
    """
    _check_sample("x", x)
    _check_sample("y", y)
    _check_pair(x, y)
    return (_squared_norms(critic, x).mean(-1) + _squared_norms(critic, y).mean(-1)) / 2 - 1


def mmd_gp(x: Tensor, y: Tensor, kernel: Kernel, features: Features, share: Tensor) -> Tensor:
    """Gradient penalty of the MMD GAN (Bińkowski, Sutherland, Arbel, Gretton, "Demystifying MMD GANs"): the mean of
    (slope - 1)^2 of the witness function of the features, between the samples as in :func:`wgan_gp`.

    Args:
        x: sample of shape ``(..., n, d)``.
        y: sample of shape ``(..., n, d)``.
        kernel: on the features; any but ``Laplace``, whose functions need have no gradient.
        features: maps ``(..., n, d)`` to ``(..., n, s)``, each point on its own.
        share: uniform numbers from [0, 1] of shape ``(..., n, 1)``.

    Returns:
        Shape ``(...)``.

    Raises:
        ValueError: if shapes, dtypes, devices or the kernel do not fit.
    """
    points = _between(x, y, share)
    from bench_core.discrepancies import _derivatives, _jacobians

    phi, jacobian = _jacobians.jacobians(features, points)  # (..., n, s), (..., n, s, d)
    slope = _derivatives.gradient(kernel, phi, features(x)).mean(-2)  # (..., n, s)
    slope = slope - _derivatives.gradient(kernel, phi, features(y)).mean(-2)
    gradient = (slope.unsqueeze(-1) * jacobian).sum(-2)  # by the chain rule, (..., n, d)
    return (_norms(gradient.square().sum(-1)) - 1).square().mean(-1)


def _norms(squared: Tensor) -> Tensor:
    """The root, whose own gradient is taken to be 0 at 0.

    It has an infinite slope there, and 0 * inf is NaN: critics that are constant somewhere go round it.
    """
    flat = squared == 0
    return squared.masked_fill(flat, 1.0).sqrt().masked_fill(flat, 0.0)


def _squared_norms(critic: Critic, points: Tensor) -> Tensor:
    """The squared slopes ``(..., n)``."""
    _check_sample("points", points)
    from bench_core.discrepancies import _jacobians

    return _jacobians.gradients(critic, points).square().sum(-1)


def _between(x: Tensor, y: Tensor, share: Tensor) -> Tensor:
    """Points ``(..., n, d)`` on the segments from ``y`` to ``x``."""
    _check_sample("x", x)
    _check_sample("y", y)
    _check_sample("share", share)
    _check_pair(x, y)
    n = x.shape[-2]
    if y.shape[-2] != n:
        raise ValueError(
            "interpolation needs as many points in x as in y, got shapes "
            f"{tuple(x.shape)} and {tuple(y.shape)}; leave out the surplus"
        )
    if tuple(share.shape[-2:]) != (n, 1):
        raise ValueError(f"share must have shape (..., {n}, 1), one number per pair, got {tuple(share.shape)}")
    return share * x + (1 - share) * y
