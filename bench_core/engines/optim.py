"""Optimisers with an independent state per trial, and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import torch

Schedule = Literal["constant", "linear", "cosine"]
OptimiserName = Literal["adam", "sgd"]


class Optimiser(Protocol):
    """What moves parameters ``(B, ...)`` against their gradients, in place."""

    def step(self, gradients: Sequence[torch.Tensor], lr: float) -> None: ...


def optimiser(name: OptimiserName, parameters: Sequence[torch.Tensor]) -> Optimiser:
    """Return an optimiser of ``parameters``, tensors with a leading trial axis."""
    return Adam(parameters) if name == "adam" else SGD(parameters)


def learning_rate(schedule: Schedule, lr: float, step: int, steps: int) -> float:
    """Return the learning rate of ``step`` (counted from 0) out of ``steps``; the decaying ones end near 0.

    >>> [learning_rate("linear", 1.0, step, 4) for step in range(4)]
    [1.0, 0.75, 0.5, 0.25]
    """
    share = step / steps
    if schedule == "linear":
        return lr * (1 - share)
    if schedule == "cosine":
        return lr * 0.5 * (1 + math.cos(math.pi * share))
    return lr


class Adam:
    """Adam (Kingma and Ba, Algorithm 1) on tensors with a leading trial axis, in place.

    Every operation is elementwise, so trials do not see each other. The same numbers as ``torch.optim.Adam``.

    Args:
        parameters: tensors of shape ``(B, ...)``, updated in place.
        betas: decay of the first and the second moment.
        eps: added to the root of the second moment. It decides where tiny gradients stall.
    """

    def __init__(
        self, parameters: Sequence[torch.Tensor], *, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        self.parameters = list(parameters)
        self.betas, self.eps, self.steps = betas, eps, 0
        self._mean = [parameter.new_zeros(parameter.shape) for parameter in self.parameters]
        self._square = [parameter.new_zeros(parameter.shape) for parameter in self.parameters]

    def step(self, gradients: Sequence[torch.Tensor], lr: float) -> None:
        """Move every parameter against its gradient."""
        beta1, beta2 = self.betas
        self.steps += 1
        size = lr / (1 - beta1**self.steps)
        root = math.sqrt(1 - beta2**self.steps)
        for parameter, gradient, mean, square in zip(self.parameters, gradients, self._mean, self._square, strict=True):
            mean.lerp_(gradient, 1 - beta1)
            square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
            parameter.addcdiv_(mean, square.sqrt().div_(root).add_(self.eps), value=-size)


class SGD:
    """Plain gradient descent on tensors with a leading trial axis, in place."""

    def __init__(self, parameters: Sequence[torch.Tensor]) -> None:
        self.parameters = list(parameters)

    def step(self, gradients: Sequence[torch.Tensor], lr: float) -> None:
        """Move every parameter against its gradient."""
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.sub_(gradient, alpha=lr)
