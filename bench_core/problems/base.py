"""What a problem is, and what the problems of parameter recovery have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from bench_core.parameters import Parameters

if TYPE_CHECKING:
    import numpy as np
    import torch

    from bench_core.seeds import Streams
    from bench_core.trials import Fit, Trials


class Problem(Parameters, ABC):
    """Where data come from and how an answer is scored; its fields are its parameters."""

    capabilities: ClassVar[frozenset[str]] = frozenset()
    """What a method may rely on, e.g. ``samples``, ``log_density``; a property where it depends on parameters."""
    scoring: ClassVar[frozenset[str]] = frozenset()
    """Parameters that only score: they enter neither data nor trial ids, and stored trials are scored anew."""
    rules: ClassVar[frozenset[str]] = frozenset()
    """Parameters that say what a method may do: they enter trial ids, but no data, which stay the same."""

    @abstractmethod
    def draw(self, streams: Streams, folder: Path | None) -> Mapping[str, np.ndarray]:
        """Draw the data of one trial: arrays by name, floating ones in float64.

        Args:
            streams: the trial's random streams; use ``streams.numpy(purpose)`` and nothing else that is random.
            folder: where data sets lie (``--data``), for problems that read one.
        """

    def failures(self, trials: Trials, fit: Fit) -> Mapping[int, str]:
        """Return slot -> reason for the answers that cannot be scored because they are not finite.

        Raises:
            ValueError: when the answer has the wrong shape or type, with what was required and what came.
        """
        return {}

    def lacks(self) -> Mapping[str, str]:
        """Return the reason for each capability that these parameters take away."""
        return {}

    def given(self, data: Mapping[str, torch.Tensor]) -> Self:
        """Return the problem as methods see it beside a batch of its data: with what is known of each trial.

        A model whose formulas need something that differs from trial to trial (a known mean, say) takes it from here.
        """
        return self

    def identity(self) -> dict[str, Any]:
        """Return the parameters that enter trial ids."""
        return {name: value for name, value in super().identity().items() if name not in self.scoring}

    def data_parameters(self) -> dict[str, Any]:
        """Return the parameters on which the data depend."""
        return {name: value for name, value in self.identity().items() if name not in self.rules}

    def size(self) -> int:
        """Return the number of data values in one trial, from which memory and batch width are estimated."""
        return 1


class RecoveryProblem(Problem):
    """Find the parameter ``theta`` of a known family from ``m`` samples in ``d`` dimensions.

    ``draw`` gives ``truth`` (p,), ``start`` (p,) and ``observed`` (m, d); an answer is a tensor of shape ``(B, p)``.
    Tensors of a batch carry a leading trial axis B. ``draw`` may give further initial points, (p,) each, as
    ``start-NAME``, for methods with a parameter ``init``, and ``critic_start`` (d,), the initial weights of a linear
    critic.
    """

    capabilities = frozenset({"recovery", "samples", "log_density", "gaussian_kernel_mean", "exact_mle"})
    scoring = frozenset({"threshold"})
    rules = frozenset({"fakes_ratio"})
    added = frozenset({"fakes_ratio"})
    quick = {"d": 3, "m": 20}
    starts: ClassVar[tuple[str, ...]] = ()
    """Names of the further initial points."""

    d: int = Field(10, ge=1, le=10_000)
    """Dimension of the data."""
    m: int = Field(200, ge=2, le=10_000_000)
    """Number of observed samples."""
    threshold: float = Field(0.02, gt=0)
    """A trial succeeds when its error is within this bound."""
    fakes_ratio: float = Field(1.0, gt=0, le=10_000)
    """Samples that a method generates per step, for each observed one."""

    @property
    def fakes(self) -> int:
        """Samples that a method generates per step, at least two."""
        return max(2, round(self.fakes_ratio * self.m))

    @property
    @abstractmethod
    def noise_size(self) -> int:
        """Standard normals that one generated sample consumes."""

    @abstractmethod
    def sample(self, theta: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Map parameters ``(B, p)`` and standard normals ``(B, n, noise_size)`` to samples ``(B, n, d)``."""

    @abstractmethod
    def log_density(self, theta: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the log-density of each sample: ``(B, p)``, ``(B, m, d)`` -> ``(B, m)``."""

    @abstractmethod
    def kernel_self(self, theta: torch.Tensor, bandwidth: float) -> torch.Tensor:
        """Return E k(X, X') for independent X, X' of the model and the Gaussian kernel: ``(B, p)`` -> ``(B,)``."""

    @abstractmethod
    def kernel_mean(self, theta: torch.Tensor, y: torch.Tensor, bandwidth: float) -> torch.Tensor:
        """Return E k(X, y_j) for X of the model: ``(B, p)``, ``(B, m, d)`` -> ``(B, m)``."""

    @abstractmethod
    def exact_mle(self, y: torch.Tensor) -> torch.Tensor:
        """Return the maximum-likelihood estimate: ``(B, m, d)`` -> ``(B, p)``."""

    @abstractmethod
    def error(self, theta: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """Return the distance of estimates ``(B, p)`` from the truth ``(B, p)``: ``(B,)``."""

    def succeeded(self, error: Any) -> Any:
        """Return whether errors (a number, tensor, or column) count as a success."""
        return error <= self.threshold

    def failures(self, trials: Trials, fit: Fit) -> Mapping[int, str]:
        """Require estimates of the shape of the truth, and name the slots whose estimate is not finite."""
        truth, answer = trials["truth"], fit.answer
        shape = getattr(answer, "shape", None)
        if shape != truth.shape or not answer.is_floating_point():
            got = f"{tuple(shape)} of {answer.dtype}" if shape is not None else type(answer).__name__
            raise ValueError(f"the answer must be a floating tensor of shape {tuple(truth.shape)}, got {got}")
        bad = (~answer.isfinite().all(-1)).nonzero().flatten().tolist()
        return dict.fromkeys(bad, "the estimate is not finite")

    def size(self) -> int:
        """Return m·d."""
        return self.m * self.d


class StandardStart(RecoveryProblem):
    """A recovery problem that starts at a normal point, or at a given distance from the truth."""

    added = RecoveryProblem.added | {"init_distance"}

    init_distance: float | None = Field(None, gt=0, le=1e6)
    """Distance of the start from the truth, in a uniform direction; null: a start from N(0, I)."""

    def start(self, streams: Streams, truth: np.ndarray) -> np.ndarray:
        """Return the initial point (p,)."""
        normal = streams.numpy("start").standard_normal(truth.shape)
        if self.init_distance is None:
            return normal
        start: np.ndarray = truth + self.init_distance * normal / float((normal**2).sum()) ** 0.5
        return start
