"""A family of its own in one plugin: data sets, networks that train for long, samples scored by a log-likelihood.

It stands for the autoencoders and the image generators to come: nothing in the core knows of it.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from bench_core import Fit, Method, Problem, Trials, hookimpl
from bench_core.metrics import MeasuredMetric, Metric, ReportedMetric

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    import torch

    from bench_core.seeds import Streams


class Ring(Problem):
    """Points on a noisy ring: a training sample to fit and a test sample to be judged by."""

    name = "toy_ring"
    capabilities = frozenset({"dataset"})

    n: int = Field(200, ge=10)
    """Training samples, and as many for the test."""

    def draw(self, streams: Streams, folder: Path | None) -> Mapping[str, np.ndarray]:
        import numpy as np

        rng = streams.numpy("data")
        angle = rng.uniform(0, 2 * np.pi, (2, self.n))
        points = np.stack([np.cos(angle), np.sin(angle)], -1) + 0.1 * rng.standard_normal((2, self.n, 2))
        return {"train": points[0], "test": points[1]}


@dataclass(frozen=True)
class Mixture:
    """An answer that can be sampled: equal Gaussians at ``centres`` ``(B, k, 2)``."""

    centres: torch.Tensor
    spread: float

    def log_density(self, x: torch.Tensor) -> torch.Tensor:
        """``(B, n, 2)`` -> ``(B, n)``."""
        square = (x.unsqueeze(-2) - self.centres.unsqueeze(-3)).square().sum(-1) / self.spread**2  # (B, n, k)
        return (-0.5 * square).logsumexp(-1) - math.log(2 * math.pi * self.spread**2 * self.centres.shape[-2])


class ToyMixture(Method):
    """Fit the centres of a mixture by stochastic gradient ascent on minibatches; slow on purpose, and resumable."""

    name = "toy_mixture"
    needs: ClassVar[frozenset[str]] = frozenset({"dataset"})

    centres: int = Field(8, ge=1)
    """Components."""
    iterations: int = Field(200, ge=1)
    """Gradient steps."""
    checkpoint_every: int = Field(20, ge=1)
    """Steps between two checkpoints."""
    pause: float = Field(0.0, ge=0)
    """Seconds to sleep per step, to make a test's run long."""

    def fit(self, trials: Trials) -> Fit:
        import torch

        generators = [streams.torch("minibatches", trials.device) for streams in trials.streams]
        saved = trials.workspace.load_checkpoint()
        if saved is None:
            centres, first = trials["train"][:, : self.centres].clone(), 0
        else:
            tensors, state = saved
            centres, first = tensors["centres"], state["step"]
            for generator, states in zip(generators, tensors["generators"], strict=True):
                generator.set_state(states.clone())  # of a view into a larger tensor PyTorch reads past the end
        for step in range(first, self.iterations):
            centres = self._step(centres, trials["train"], generators)
            if (step + 1) % self.checkpoint_every == 0:
                states = torch.stack([generator.get_state() for generator in generators])
                trials.workspace.save_checkpoint({"centres": centres, "generators": states}, {"step": step + 1})
                trials.progress((step + 1) / self.iterations)
            time.sleep(self.pause)
        answer = Mixture(centres, 0.3)
        path = trials.workspace.artifact("centres.txt")
        if path is not None:
            path.write_text(repr(centres.tolist()))
        resumed = torch.full((trials.width,), float(first))
        return Fit(answer=answer, budget={"gradient_steps": self.iterations}, metrics={"toy_resumed_from": resumed})

    def working_set(self, problem: Problem) -> int:
        return 5 << 19  # eight networks, say, fill a core's cache

    def _step(self, centres: torch.Tensor, train: torch.Tensor, generators: list[torch.Generator]) -> torch.Tensor:
        import torch

        n = train.shape[-2]
        chosen = torch.stack([torch.randint(n, (20,), generator=generator) for generator in generators])  # (B, 20)
        batch = train.gather(1, chosen.unsqueeze(-1).expand(-1, -1, 2))
        leaf = centres.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(Mixture(leaf, 0.3).log_density(batch).mean(-1).sum(), leaf)
        return centres + 0.1 * gradient


class LogLikelihood(MeasuredMetric):
    """Mean log-density of the test sample."""

    name = "toy_log_likelihood"
    kind = "mean"
    direction = "higher"
    needs = frozenset({"dataset"})

    def measure(self, trials: Trials, fit: Fit) -> torch.Tensor:
        return fit.answer.log_density(trials["test"]).mean(-1)


class ResumedFrom(ReportedMetric):
    """Step that the fit went on from."""

    name = "toy_resumed_from"
    kind = "mean"
    direction = "lower"


@hookimpl
def bench_register_problems() -> list[type[Problem]]:
    return [Ring]


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [ToyMixture]


@hookimpl
def bench_register_metrics() -> list[Metric]:
    return [LogLikelihood(), ResumedFrom()]
