"""Spectral parametrisation of layers with a learnt scale, W = gamma V / |V|_op.

Miyato et al., "Spectral Normalization for Generative Adversarial Networks", with the scale gamma per layer that Arbel,
Sutherland, Bińkowski, Gretton use for the Scaled MMD.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    Layer = TypeVar("Layer", bound=Module)


def spectral(module: Layer, *, learn_scale: bool = True, iterations: int = 1) -> Layer:
    """Divide a layer's weight by its operator norm and multiply it by a scale gamma, initially 1.

    The norm is u'Vv of the weight as a matrix, one row per output (a convolution's kernel is flattened: the norm is
    then the matrix's, and times the root of the kernel's area bounds the convolution's). The singular vectors u and v
    are exact at first, without a random number, and follow the weight by power iterations: each time a layer in
    training mode computes its weight, but not under :func:`frozen`. No gradient flows through them. Inside
    ``torch.nn.utils.parametrize.cached()`` a weight is computed once, however often a loss calls the layer.

    Args:
        module: a layer whose ``weight`` has two or more axes, changed in place. A bias stays as it is.
        learn_scale: whether gamma is a parameter; else it stays 1.
        iterations: power iterations per computation of the weight, at least 1.

    Returns:
        ``module``.

    Raises:
        ValueError: if the module has no such weight, has a parametrised one, or ``iterations`` is not positive.
    """
    if isinstance(iterations, bool) or not isinstance(iterations, int) or iterations < 1:
        raise ValueError(f"iterations must be a positive integer, got {iterations!r}; try iterations=1")
    from bench_core import _spectral

    _spectral.register(module, learn_scale, iterations)
    return module


def frozen(module: Module) -> AbstractContextManager[None]:
    """Stop the power iterations of every spectral layer of ``module`` inside a ``with`` block.

    A generator's pass through the critic goes in it: only the critic's own updates may move u and v.

    Args:
        module: a layer or a net.

    Returns:
        A context manager; it leaves dropout and the like in their mode.
    """
    from bench_core import _spectral

    return _spectral.frozen(module)


def spectral_norms(module: Module) -> dict[str, Tensor]:
    """The exact operator norm of each weight with two or more axes, with or without spectral parametrisation.

    Of a spectral layer it is gamma as far as the power iterations have converged. The singular vectors stay untouched.

    Args:
        module: a layer, whose name is ``""``, or a net.

    Returns:
        Layer name -> norm, shape ``()``, detached.
    """
    from bench_core import _spectral

    return _spectral.norms(module)
