"""Recovery against a trained critic: one network per trial, stacked along the trial axis."""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from bench_core.engines.noise import draw
from bench_core.engines.optim import optimiser
from bench_core.engines.recovery import GradientMethod, Loss, Task

if TYPE_CHECKING:
    import torch


class Critic:
    """B networks R^d -> R with the layers ``widths``, ReLU between them; no hidden layer makes it linear.

    Initialised as ``torch.nn.Linear`` does, uniformly within 1/sqrt(fan-in), each trial from its own stream; a linear
    critic has its first weights from the problem, where that gives some.

    Attributes:
        parameters: per layer weights ``(B, fan_in, fan_out)`` and biases ``(B, 1, fan_out)``.
    """

    def __init__(self, task: Task, widths: tuple[int, ...]) -> None:
        self.parameters: list[torch.Tensor] = []
        sizes = [task.observed.shape[-1], *widths, 1]
        for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
            bound = 1 / math.sqrt(fan_in)
            for part, rows in (("weights", fan_in), ("biases", 1)):
                uniform = draw(task.trials, f"critic-{layer}-{part}", (rows, fan_out), "uniform")
                self.parameters.append((2 * uniform - 1) * bound)
        if not widths and (start := task.trials.data.get("critic_start")) is not None:
            self.parameters[0] = start.unsqueeze(-1).clone()

    def require_grad(self, required: bool) -> None:
        """Say whether losses are differentiated with respect to the parameters."""
        for parameter in self.parameters:
            parameter.requires_grad_(required)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the critic of each sample: ``(B, n, d)`` -> ``(B, n)``."""
        for weights, bias in self._hidden_layers():
            x = bias.baddbmm(x, weights).relu()
        # Multiply-and-sum, not a product with one column: it rounds alike at every batch width.
        return (x * self.parameters[-2].mT).sum(-1) + self.parameters[-1].squeeze(-1)

    def input_gradient(self, x: torch.Tensor) -> torch.Tensor:
        """Return the gradient with respect to the input: ``(B, n, d)`` -> ``(B, n, d)``.

        In closed form, since a ReLU network is linear around almost every point: no second backward pass is needed
        to differentiate a gradient penalty.
        """
        gradient = self.parameters[-2].mT  # (B, 1, width of the last hidden layer)
        for (weights, _), active in zip(reversed(self._hidden_layers()), reversed(self._active(x)), strict=True):
            gradient = (gradient * active) @ weights.mT
        return gradient.expand(*x.shape[:-1], -1)

    def _hidden_layers(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        return list(zip(self.parameters[:-2:2], self.parameters[1:-2:2], strict=True))

    def _active(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return per hidden layer which units are on, 0 or 1: ``(B, n, width)``. They have no derivative."""
        import torch

        active = []
        with torch.no_grad():
            for weights, bias in self._hidden_layers():
                x = bias.baddbmm(x, weights).relu()
                active.append(x.sign())
        return active


class CriticMethod(GradientMethod):
    """Descend a loss that a critic defines, while the critic ascends it; both with the same learning rate.

    A gradient step is ``n_critic - 1`` steps of the critic alone and one step of both players at once, from the same
    samples (simultaneous descent-ascent). Subclasses define the two losses only, so that nothing else differs.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"recovery", "samples"})
    quick: ClassVar[Mapping[str, Any]] = {"n_critic": 3}

    n_critic: int = Field(1, ge=1, le=10_000)
    """Critic steps per gradient step."""
    hidden_layers: int = Field(1, ge=0, le=8)
    """Hidden ReLU layers of the critic, each as wide as the lowest power of two above d; 0 makes it linear."""

    @abstractmethod
    def critic_loss(self, critic: Critic, real: torch.Tensor, fake: torch.Tensor, task: Task) -> torch.Tensor:
        """Return what the critic minimises: samples ``(B, m, d)`` and ``(B, n, d)`` -> ``(B,)``."""

    @abstractmethod
    def generator_loss(self, critic: Critic, real: torch.Tensor, fake: torch.Tensor, task: Task) -> torch.Tensor:
        """Return what the model's parameters minimise, ``(B,)``."""

    def after_critic_step(self, critic: Critic) -> None:
        """Project the critic back to where it may be; nothing by default."""

    def objective(self, task: Task) -> Loss:
        raise TypeError(f"{self.name} has two losses and no single objective")

    def gradient(self, task: Task) -> Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
        import torch

        critic = Critic(task, (_lowest_power_of_two_above(task.observed.shape[-1]),) * self.hidden_layers)
        ascent = optimiser(self.optimiser, critic.parameters)

        def ascend(fake: torch.Tensor) -> None:
            critic.require_grad(True)
            loss = self.critic_loss(critic, task.observed, fake, task)
            gradients = torch.autograd.grad(loss.sum(), critic.parameters, allow_unused=True)
            critic.require_grad(False)
            # The last bias cancels in a difference of means.
            used = [
                torch.zeros_like(parameter) if gradient is None else gradient
                for gradient, parameter in zip(gradients, critic.parameters, strict=True)
            ]
            ascent.step(used, task.lr)
            self.after_critic_step(critic)
            task.spend(critic_steps=1)

        def evaluate(theta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            for _ in range(self.n_critic - 1):
                ascend(task.sample(theta))
            leaf = theta.detach().requires_grad_()
            fake = task.sample(leaf)
            loss = self.generator_loss(critic, task.observed, fake, task)
            (gradient,) = torch.autograd.grad(loss.sum(), leaf)
            ascend(fake.detach())
            return loss.detach(), gradient

        return evaluate


def _lowest_power_of_two_above(d: int) -> int:
    return 1 << d.bit_length()
