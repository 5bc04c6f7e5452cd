"""Spectral parametrisation on top of PyTorch's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm


class Scale(nn.Module):
    """Multiplication by a scalar."""

    def __init__(self, like: Tensor, learn: bool) -> None:
        super().__init__()
        gamma = torch.ones((), dtype=like.dtype, device=like.device)
        if learn:
            self.gamma = nn.Parameter(gamma)
        else:
            # A buffer: a net with learnt scales and one without have the same state.
            self.register_buffer("gamma", gamma)

    def forward(self, weight: Tensor) -> Tensor:
        return self.gamma * weight


def register(module: nn.Module, learn_scale: bool, iterations: int) -> None:
    """Parametrise the weight of ``module``."""
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor) or weight.ndim < 2:
        raise ValueError(
            f"spectral needs a layer whose weight has two or more axes, got {module!r}; in a net, call it on each layer"
        )
    if parametrize.is_parametrized(module, "weight"):
        raise ValueError(f"the weight of {module!r} is parametrised already; call spectral once per layer")
    # PyTorch draws u and v from the global generator, which a library must leave alone.
    devices = [weight.device] if weight.is_cuda else []
    with torch.random.fork_rng(devices):
        spectral_norm(module, n_power_iterations=iterations)
    vectors = module.get_submodule("parametrizations.weight.0")
    left, _, right = torch.linalg.svd(_matrix(module, weight.detach()), full_matrices=False)
    vectors.get_buffer("_u").copy_(left[:, 0])
    vectors.get_buffer("_v").copy_(right[0])
    vectors.eval()  # registering computes the weight
    parametrize.register_parametrization(module, "weight", Scale(weight, learn_scale))
    vectors.train(module.training)


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Keep u and v of every spectral layer as they are."""
    moving = [vectors for vectors in _normalisations(module) if vectors.training]
    for vectors in moving:
        vectors.eval()
    try:
        yield
    finally:
        for vectors in moving:
            vectors.train()


@torch.no_grad()
def norms(module: nn.Module) -> dict[str, Tensor]:
    """The operator norm of each weight by layer name."""
    with frozen(module):
        return {
            name: torch.linalg.matrix_norm(_matrix(layer, weight), ord=2)
            for name, layer in module.named_modules()
            if isinstance(weight := getattr(layer, "weight", None), Tensor) and weight.ndim >= 2
        }


def _normalisations(module: nn.Module) -> Iterator[nn.Module]:
    """What holds u and v, of each layer of ``module`` that :func:`register` has parametrised."""
    for layer in module.modules():
        if parametrize.is_parametrized(layer, "weight"):
            parts = list(layer.get_submodule("parametrizations.weight").children())
            if isinstance(parts[-1], Scale):
                yield parts[0]


def _matrix(layer: nn.Module, weight: Tensor) -> Tensor:
    """A weight with one row per output, as PyTorch's parametrisation sees it, in a dtype that linear algebra knows."""
    rows = weight.transpose(0, 1) if isinstance(layer, _ConvTransposeNd) else weight
    return rows.flatten(1).to(torch.promote_types(weight.dtype, torch.float32))
