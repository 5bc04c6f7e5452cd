"""What travels between a problem and a method: a batch of trials, and the fit that comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from bench_core.problems import Problem
    from bench_core.seeds import Streams
    from bench_core.workspace import Workspace

__all__ = ["Fit", "Path", "Trials"]


@dataclass(frozen=True)
class Trials:
    """A batch of trials of one cell, as a method sees it.

    Attributes:
        problem: the configured problem that the data come from, ``given`` these data.
        data: what ``problem.draw`` gave, stacked: every tensor has the shape ``(B, ...)``, floating ones in ``dtype``.
            The entry ``"truth"`` is there for controls and for scoring; a method must not look at it.
        streams: one source of random streams per trial, for the method's own noise.
        device: where the tensors lie.
        dtype: the floating type of the computation.
        workspace: a folder of this batch, kept until it is finished, for checkpoints and artifacts.
        progress: call it with the finished share (0 to 1) of a long fit.
        trace: whether ``Fit.path`` is to hold every step (``bench replay --trace``); no number may depend on it.
    """

    problem: Problem
    data: Mapping[str, torch.Tensor]
    streams: Sequence[Streams]
    device: torch.device
    dtype: torch.dtype
    workspace: Workspace
    progress: Callable[[float], None]
    trace: bool = False

    @property
    def width(self) -> int:
        """The number B of trials in the batch, padding included."""
        return len(self.streams)

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.data[name]


@dataclass(frozen=True)
class Path:
    """Error and loss at a few steps of a fit: ``steps`` has K entries, ``loss`` and ``error`` are ``(B, K)``."""

    steps: Sequence[int]
    loss: torch.Tensor
    error: torch.Tensor


@dataclass(frozen=True)
class Fit:
    """What a method returns for a batch.

    Attributes:
        answer: what the problem scores; for a recovery problem the estimates, shape ``(B, p)``.
        budget: what the fit cost per trial, by name: an integer, or an integer tensor of shape ``(B,)``.
        failures: slot -> reason, for trials whose loss or parameters became non-finite.
        path: error and loss on the way, where the method records them.
        metrics: the method's own numbers by name, shape ``(B,)``; a ``ReportedMetric`` shows them in tables.
    """

    answer: Any
    budget: Mapping[str, int | torch.Tensor] = field(default_factory=dict)
    failures: Mapping[int, str] = field(default_factory=dict)
    path: Path | None = None
    metrics: Mapping[str, torch.Tensor] = field(default_factory=dict)
