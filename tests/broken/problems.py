"""Problems with one fault each, named after the check that finds it; ``also``: checks that cannot but fail with it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field

from bench_core import Fit, Problem, Trials, hookimpl
from bench_core.problems.gaussian_mean import GaussianMean
from bench_core.seeds import Streams


class Good(GaussianMean):
    """A Gaussian with unknown mean, which keeps the contract."""

    name = "good"
    breaks: ClassVar[str] = ""
    also: ClassVar[frozenset[str]] = frozenset()
    says: ClassVar[str] = ""
    """Words that the report must hold."""

    def draw(self, streams: Streams, folder: Path | None) -> dict[str, Any]:
        return dict(super().draw(streams, folder))


class Undocumented(Good):
    """A parameter that nobody explains."""

    name = "undocumented"
    breaks = "documented"
    says = "none under scale"

    scale: float = Field(0.5, gt=0)

    def draw(self, streams: Streams, folder: Path | None) -> dict[str, Any]:
        return {**super().draw(streams, folder), "scaled": np.array([self.scale])}


class HalfPrecision(Good):
    """An array in float32."""

    name = "half_precision"
    breaks = "draw"
    says = "weights in float64"

    def draw(self, streams: Streams, folder: Path | None) -> dict[str, Any]:
        return {**super().draw(streams, folder), "weights": np.ones(self.m, dtype=np.float32)}


class Ragged(Good):
    """Shapes that differ between trials."""

    name = "ragged"
    breaks = "draw"
    says = "the same names, shapes and types in every trial"

    def draw(self, streams: Streams, folder: Path | None) -> dict[str, Any]:
        drawn = super().draw(streams, folder)
        return {**drawn, "extra": np.zeros(1 + int(10 * abs(drawn["truth"][0])))}


class Undrawn(Good):
    """A list."""

    name = "undrawn"
    breaks = "draw"
    says = "a numpy array as notes"

    def draw(self, streams: Streams, folder: Path | None) -> dict[str, Any]:
        return {**super().draw(streams, folder), "notes": [1.0]}


class Unseeded(Good):
    """Fresh entropy in each draw."""

    name = "unseeded"
    breaks = "same streams"
    also = frozenset({"scoring", "fresh process"})
    says = "extra differs"

    def draw(self, streams: Streams, folder: Path | None) -> dict[str, Any]:
        return {**super().draw(streams, folder), "extra": np.random.default_rng().normal(size=3)}


class GlobalSeed(Good):
    """Depends on numpy's global generator, and puts it back."""

    name = "global_seed"
    breaks = "same streams"
    says = "at another seed of the global generators"

    def draw(self, streams: Streams, folder: Path | None) -> dict[str, Any]:
        state = np.random.get_state()
        extra = np.random.rand(3)
        np.random.set_state(state)
        return {**super().draw(streams, folder), "extra": extra}


class Same(Good):
    """The same data in every trial."""

    name = "same"
    breaks = "different trials"
    also = frozenset({"law"})
    says = "the same"

    def draw(self, streams: Streams, folder: Path | None) -> dict[str, Any]:
        return super().draw(Streams("one for all"), folder)


class Loud(Good):
    """Prints and draws from a global generator."""

    name = "loud"
    breaks = "process"
    says = "the generator random moved"

    def draw(self, streams: Streams, folder: Path | None) -> dict[str, Any]:
        print(f"drawing {random.random()}")
        return super().draw(streams, folder)


class Tiny(Good):
    """Says that it is small."""

    name = "tiny"
    breaks = "size"
    says = "size() near 50020"

    m: int = Field(5000, ge=2, le=10_000_000)
    """Number of observed samples."""

    def size(self) -> int:
        return 1


class ThresholdInData(Good):
    """A parameter of scoring enters the data."""

    name = "threshold_in_data"
    breaks = "scoring"
    says = "take threshold out of `scoring`, or out of draw"

    def draw(self, streams: Streams, folder: Path | None) -> dict[str, Any]:
        drawn = super().draw(streams, folder)
        return {**drawn, "observed": drawn["observed"] + 1e-9 * self.threshold}


class Useless(Good):
    """A parameter that changes neither data nor model."""

    name = "useless"
    breaks = "scoring"
    says = "that strict changes data or model"

    strict: bool = False
    """Whether the threshold itself is a success."""


class Declared(Good):
    """Declares what is not there."""

    name = "declared"
    breaks = "capabilities"
    says = "NotImplementedError: no closed form"

    def exact_mle(self, y: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError("no closed form")


class Contradiction(Good):
    """Has and lacks the same."""

    name = "contradiction"
    breaks = "capabilities"
    says = "both declared and lacking"

    def lacks(self) -> Mapping[str, str]:
        return {"samples": "for no reason"}


class Flat(Good):
    """One log-density per trial."""

    name = "flat"
    breaks = "capabilities"
    also = frozenset({"density", "normalised"})
    says = "log_density of shape (3, 20)"

    def log_density(self, theta: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return super().log_density(theta, y).sum(-1)


class Biased(Good):
    """The truth has an error."""

    name = "biased"
    breaks = "error"
    says = "the error of the truth to be 0"

    def error(self, theta: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        return super().error(theta, truth) + 0.1


class Relative(Good):
    """Not symmetric, and 0 at the truth up to rounding: nothing is wrong with it."""

    name = "relative"

    def error(self, theta: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        return super().error(theta, truth) / truth.norm(dim=-1) + 1e-13


class Positive(Good):
    """Exponential, with the scale exp(theta), and NaN where x < 0: nothing is wrong with it."""

    name = "positive"
    capabilities = frozenset({"recovery", "samples", "log_density", "exact_mle"})

    def draw(self, streams: Streams, folder: Path | None) -> dict[str, Any]:
        drawn = super().draw(streams, folder)
        noise = streams.numpy("exponential").exponential(size=drawn["observed"].shape)
        return {**drawn, "observed": np.exp(drawn["truth"]) * noise}

    def sample(self, theta: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return theta.unsqueeze(-2).exp() * -torch.special.log_ndtr(noise)

    def log_density(self, theta: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        theta = theta.unsqueeze(-2)
        return (0 * y.log() - theta - y * (-theta).exp()).sum(-1)

    def exact_mle(self, y: torch.Tensor) -> torch.Tensor:
        return y.mean(-2).log()


class Impossible(Good):
    """An estimate under which the data have no density."""

    name = "impossible"
    breaks = "exact MLE"
    says = "a finite log_density at exact_mle"

    def exact_mle(self, y: torch.Tensor) -> torch.Tensor:
        return y.mean(-2) + torch.nan


class Misspelt(Good):
    """A `quick` that names no parameter."""

    name = "misspelt"
    quick: ClassVar[dict[str, Any]] = {"mm": 20}
    breaks = "defaults"
    says = "a `quick` that the parameters accept"


class Lenient(Good):
    """Accepts every answer."""

    name = "lenient"
    breaks = "failures"
    says = "slots 1 and 3 named"

    def failures(self, trials: Trials, fit: Fit) -> Mapping[int, str]:
        return {}


class Shapeless(Good):
    """Looks for NaN and at nothing else."""

    name = "shapeless"
    breaks = "failures"
    says = "one number too many per trial"

    def failures(self, trials: Trials, fit: Fit) -> Mapping[int, str]:
        bad = (~torch.as_tensor(fit.answer).isfinite().all(-1)).nonzero().flatten().tolist()
        return dict.fromkeys(bad, "not finite")


class Detached(Good):
    """Samples without a derivative."""

    name = "detached"
    breaks = "sample"
    says = "a finite gradient of the samples"

    def sample(self, theta: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return super().sample(theta.detach(), noise)


class Mixed(Good):
    """Samples that see the other trials."""

    name = "mixed"
    breaks = "sample"
    says = "the same samples of trial 2 beside other trials"

    def sample(self, theta: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return super().sample(theta + 1e-9 * theta[:1], noise)


class OtherLaw(Good):
    """Data that are wider than the model."""

    name = "other_law"
    breaks = "law"
    says = "second moments"

    def draw(self, streams: Streams, folder: Path | None) -> dict[str, Any]:
        drawn = super().draw(streams, folder)
        return {**drawn, "observed": drawn["truth"] + 1.2 * (drawn["observed"] - drawn["truth"])}


class OtherCentre(Good):
    """A density with another centre."""

    name = "other_centre"
    breaks = "density"
    says = "a mean gradient with respect to theta of 0"

    def log_density(self, theta: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return super().log_density(1.1 * theta, y)

    def exact_mle(self, y: torch.Tensor) -> torch.Tensor:
        return super().exact_mle(y) / 1.1


class OtherScale(Good):
    """A density of another width."""

    name = "other_scale"
    breaks = "density"
    says = "for a narrower Gaussian q"

    def log_density(self, theta: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return super().log_density(theta / 1.2, y / 1.2) - self.d * float(np.log(1.2))


class Unnormalised(Good):
    """The constant is missing."""

    name = "unnormalised"
    breaks = "normalised"
    also = frozenset({"density"})
    says = "an integral of 1"

    def log_density(self, theta: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return super().log_density(theta, y) + 1.0


class Sigma(Good):
    """Takes the bandwidth for sigma, not sigma^2."""

    name = "sigma"
    breaks = "kernel means"
    says = "kernel_self within 5 standard errors"

    def kernel_self(self, theta: torch.Tensor, bandwidth: float) -> torch.Tensor:
        return super().kernel_self(theta, bandwidth**2)


class Median(Good):
    """Not the maximum of the likelihood."""

    name = "median"
    breaks = "exact MLE"
    says = "a maximum of log_density"

    def exact_mle(self, y: torch.Tensor) -> torch.Tensor:
        return y.median(-2).values


class Hash(Good):
    """Python's hash, which is another one in each process."""

    name = "hash"
    breaks = "fresh process"
    says = "the same bits in another process"

    def draw(self, streams: Streams, folder: Path | None) -> dict[str, Any]:
        return {**super().draw(streams, folder), "salt": np.array([hash("stream") % 1000])}


@hookimpl
def bench_register_problems() -> list[type[Problem]]:
    return [Good, *Good.__subclasses__()]
