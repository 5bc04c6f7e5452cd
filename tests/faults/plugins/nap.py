"""A method that takes as long as a test wants, writes checkpoints, and whose numbers hang on each of its steps.

It sleeps after each step for the seconds that ``pause.txt`` in the current folder says; without that file, not at all.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from bench_core import Fit, Method, Problem, Trials, hookimpl
from bench_core.plan import WORKING_SET

if TYPE_CHECKING:
    import torch


PAUSE = Path("pause.txt")


class Nap(Method):
    """Adds noise step by step, and sleeps between two steps."""

    name = "nap"
    needs: ClassVar[frozenset[str]] = frozenset({"recovery"})

    steps: int = Field(3, ge=1)
    """Steps of a fit, a checkpoint after each."""
    width: int = Field(5, ge=1, le=50)
    """Trials per batch."""

    def fit(self, trials: Trials) -> Fit:
        import torch

        pause = float(PAUSE.read_text()) if PAUSE.exists() else 0.0
        generators = [streams.torch("noise", trials.device) for streams in trials.streams]
        noise = torch.stack([self._noise(generator, trials["start"]) for generator in generators])  # (B, steps, p)
        saved = trials.workspace.load_checkpoint()
        answer, first = (saved[0]["answer"], saved[1]["step"]) if saved else (trials["start"].clone(), 0)
        for step in range(first, self.steps):
            answer = 0.5 * answer + noise[:, step]
            trials.workspace.save_checkpoint({"answer": answer}, {"step": step + 1})
            trials.progress((step + 1) / self.steps)
            time.sleep(pause)
        return Fit(answer=answer, budget={"gradient_steps": self.steps})

    def working_set(self, problem: Problem) -> int:
        return WORKING_SET["cpu"] // self.width

    def _noise(self, generator: torch.Generator, start: torch.Tensor) -> torch.Tensor:
        import torch

        return torch.randn(self.steps, start.shape[-1], generator=generator)


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [Nap]
