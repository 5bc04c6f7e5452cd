"""Random numbers of a batch: one stream per trial, drawn in chunks of many steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

    from bench_core.trials import Trials

Law = Literal["normal", "uniform"]
"""Standard normal, or uniform on [0, 1)."""

CHUNK = 1 << 15
"""Numbers that a trial draws at once; large enough that the call costs little beside the numbers."""


class Noise:
    """An endless supply of random tensors ``(B, *shape)``, trial i's from trial i's own stream.

    The length of a chunk is a function of ``shape`` alone, never of the batch, so that a trial sees the same numbers
    at every width.

    Args:
        trials: the batch.
        purpose: names the stream; two supplies of one batch need two names.
        shape: what one trial consumes per step.
        law: the distribution of every number.
    """

    def __init__(self, trials: Trials, purpose: str, shape: tuple[int, ...], law: Law = "normal") -> None:
        self._generators = [streams.torch(purpose, trials.device) for streams in trials.streams]
        self._steps = max(1, CHUNK // max(1, math.prod(shape)))
        self._new: Callable[[], torch.Tensor] = lambda: _empty(trials, (self._steps, *shape))
        self._buffer = self._new()
        self._law = law
        self._next = self._steps

    def __call__(self) -> torch.Tensor:
        """Return the next ``(B, *shape)``."""
        if self._next == self._steps:
            self._refill()
        noise = self._buffer[:, self._next]
        self._next += 1
        return noise

    def _refill(self) -> None:
        self._buffer = self._new()  # a new one, since the backward pass of this step may still want the old numbers
        _fill(self._buffer, self._generators, self._law)
        self._next = 0


def draw(trials: Trials, purpose: str, shape: tuple[int, ...], law: Law = "normal") -> torch.Tensor:
    """Return one random tensor ``(B, *shape)``, for what is drawn once per trial: initial weights, say."""
    tensor = _empty(trials, shape)
    _fill(tensor, [streams.torch(purpose, trials.device) for streams in trials.streams], law)
    return tensor


def _empty(trials: Trials, shape: tuple[int, ...]) -> torch.Tensor:
    import torch

    return torch.empty((trials.width, *shape), dtype=trials.dtype, device=trials.device)


def _fill(tensor: torch.Tensor, generators: Sequence[torch.Generator], law: Law) -> None:
    for row, generator in zip(tensor, generators, strict=True):
        if law == "normal":
            row.normal_(generator=generator)
        else:
            row.uniform_(generator=generator)
