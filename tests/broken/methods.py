"""Methods with one fault each, named after the check that finds it; ``also`` names checks that cannot but fail with it.

They are a plugin, so that a fresh process can load them.
"""

from __future__ import annotations

import os
import random
import time
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import ConfigDict, Field

from bench_core import Fit, Method, Trials, hookimpl


class Good(Method):
    """The mean of the data, which keeps the contract."""

    name = "good"
    needs = frozenset({"recovery"})
    breaks: ClassVar[str] = ""
    also: ClassVar[frozenset[str]] = frozenset()
    says: ClassVar[str] = ""
    """Words that the report must hold."""

    def fit(self, trials: Trials) -> Any:
        return Fit(answer=self.answer(trials), budget=self.cost(trials))

    def answer(self, trials: Trials) -> torch.Tensor:
        return trials["observed"].mean(-2)

    def cost(self, trials: Trials) -> dict[str, Any]:
        return {}


# ---- parameters ------------------------------------------------------------------------------------------------------


class Undocumented(Good):
    """A parameter that nobody explains."""

    name = "undocumented"
    breaks = "documented"
    says = "none under rate"

    rate: float = Field(0.5, gt=0)


class Wordless(Good):
    name = "wordless"
    breaks = "documented"
    says = "none on Wordless"


class Unbounded(Good):
    """A number that may be anything."""

    name = "unbounded"
    breaks = "bounded"
    says = "none for rate, widths"

    rate: float | None = None
    """Any number."""
    widths: dict[str, int] = Field(default_factory=dict)
    """Any numbers."""
    fine: int = Field(1, ge=0)
    """A number with a bound."""


class Required(Good):
    """A parameter without a default."""

    name = "required"
    breaks = "defaults"
    says = "rate: Field required"

    rate: float = Field(gt=0)
    """Must be given."""


class Misspelt(Good):
    """A `quick` that names no parameter."""

    name = "misspelt"
    quick: ClassVar[dict[str, Any]] = {"iteration": 5}
    breaks = "defaults"
    says = "a `quick` that the parameters accept"

    iterations: int = Field(10, ge=1)
    """Steps."""


class Versionless(Good):
    """A version that is no text."""

    name = "versionless"
    version = 2  # type: ignore[assignment]
    breaks = "defaults"
    says = "came:     2"


class Open(Good):
    """Misspelt parameters pass."""

    model_config = ConfigDict(extra="ignore")
    name = "open"
    breaks = "closed"
    says = "no_such_parameter=1"


class NotNumber(Good):
    """NaN passes."""

    model_config = ConfigDict(allow_inf_nan=True)
    name = "not_number"
    breaks = "closed"
    says = "rate=nan"

    rate: float = Field(0.5)
    """A share."""

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        schema = super().model_json_schema(*args, **kwargs)
        schema["properties"]["rate"]["minimum"] = 0  # a bound that NaN would not pass, if it were one
        return schema


class Tuple(Good):
    """A parameter that JSON turns into a list."""

    name = "tuple"
    breaks = "plain data"
    says = "Input should be a valid tuple"

    sizes: tuple[Annotated[int, Field(ge=1)], ...] = (8, 4)
    """Widths of layers."""


# ---- what comes back -------------------------------------------------------------------------------------------------


class NoFit(Good):
    """A tensor instead of a Fit."""

    name = "no_fit"
    breaks = "fit"
    says = "Tensor on gaussian_cov"

    def fit(self, trials: Trials) -> Any:
        return self.answer(trials)


class WrongShape(Good):
    """One number too many."""

    name = "wrong_shape"
    breaks = "fit"
    says = "floating tensor of shape (5, 3), got (5, 4)"

    def answer(self, trials: Trials) -> torch.Tensor:
        return torch.cat([super().answer(trials), trials["observed"][:, 0, :1]], -1)


class Raises(Good):
    """An exception."""

    name = "raises"
    breaks = "fit"
    says = "RuntimeError: cholesky: not positive definite (methods.py, line"

    def answer(self, trials: Trials) -> torch.Tensor:
        raise RuntimeError("cholesky: not positive definite")


class Nothing(Good):
    """No problem has what it needs."""

    name = "nothing"
    needs = frozenset({"telepathy"})
    breaks = "fit"
    says = "gaussian_mean has no telepathy"


class OneMetric(Good):
    """A number for the whole batch."""

    name = "one_metric"
    breaks = "fit"
    says = "loss has the shape ()"

    def fit(self, trials: Trials) -> Fit:
        return Fit(answer=self.answer(trials), metrics={"loss": torch.tensor(1.0)})


class Single(Good):
    """Always float32."""

    name = "single"
    breaks = "float64"
    says = "torch.float32 on gaussian_cov"

    def answer(self, trials: Trials) -> torch.Tensor:
        return super().answer(trials).float()


class Infinite(Good):
    """An infinite answer now and then."""

    name = "infinite"
    breaks = "finite"
    says = "the estimate is not finite"

    def answer(self, trials: Trials) -> torch.Tensor:
        return super().answer(trials).where(trials["start"][:, :1] > -1.0, torch.inf)


# ---- randomness and the process --------------------------------------------------------------------------------------


class Clock(Good):
    """Numbers that hang on the time."""

    name = "clock"
    breaks = "same seed"
    also = frozenset(
        {"global generators", "truth unseen", "independent", "poisoned neighbour", "widths", "fresh process"}
    )
    says = "the answer differs by up to"

    def answer(self, trials: Trials) -> torch.Tensor:
        return super().answer(trials) * (1 + 1e-3 * (time.perf_counter() % 1))


class GlobalTorch(Good):
    """Noise from torch's global generator."""

    name = "global_torch"
    breaks = "global generators"
    says = "torch moved in a fit"

    def answer(self, trials: Trials) -> torch.Tensor:
        noise = torch.stack([torch.randn(3, dtype=trials.dtype) for _ in range(trials.width)])
        return super().answer(trials) + 1e-3 * noise[:, :1]


class GlobalNumpy(Good):
    """Draws from numpy's global generator, and does not even use it."""

    name = "global_numpy"
    breaks = "global generators"
    says = "numpy.random moved in a fit"

    def answer(self, trials: Trials) -> torch.Tensor:
        np.random.rand()
        return super().answer(trials)


class GlobalPython(Good):
    """Seeds Python's global generator."""

    name = "global_python"
    breaks = "global generators"
    says = "random moved in a fit"

    def answer(self, trials: Trials) -> torch.Tensor:
        random.seed(7)
        return super().answer(trials)


class Restores(Good):
    """Depends on torch's global generator and puts it back."""

    name = "restores"
    breaks = "global generators"
    says = "whatever the global seed is"

    def answer(self, trials: Trials) -> torch.Tensor:
        with torch.random.fork_rng(devices=[]):
            return super().answer(trials) + 1e-3 * torch.randn(1, dtype=trials.dtype)


class DefaultDtype(Good):
    """Another default dtype."""

    name = "default_dtype"
    breaks = "process"
    says = "torch's default dtype (from torch.float32 to torch.float64)"

    def answer(self, trials: Trials) -> torch.Tensor:
        torch.set_default_dtype(torch.float64)
        return super().answer(trials)


class Threads(Good):
    """Another number of threads."""

    name = "threads"
    breaks = "process"
    says = "torch's number of threads (from 1 to 2)"

    def answer(self, trials: Trials) -> torch.Tensor:
        torch.set_num_threads(2)
        return super().answer(trials)


class Elsewhere(Good):
    """Another folder, another environment, no gradients."""

    name = "elsewhere"
    breaks = "process"
    says = "the environment variables (BENCH_BROKEN)"

    def answer(self, trials: Trials) -> torch.Tensor:
        torch.set_grad_enabled(False)
        os.environ["BENCH_BROKEN"] = "1"
        os.chdir("/")
        return super().answer(trials)


class Chatty(Good):
    """Prints."""

    name = "chatty"
    breaks = "silent"
    says = "'loss 0.3'"

    def answer(self, trials: Trials) -> torch.Tensor:
        print("loss 0.3")
        return super().answer(trials)


class InPlace(Good):
    """Changes the data."""

    name = "in_place"
    breaks = "data unmodified"
    says = "observed changed in a fit of gaussian_cov"

    def answer(self, trials: Trials) -> torch.Tensor:
        answer = super().answer(trials)
        trials["observed"].sub_(answer.unsqueeze(-2))
        return answer


class Cheat(Good):
    """Looks at the truth."""

    name = "cheat"
    breaks = "truth unseen"
    says = "only the truth is another one"

    def answer(self, trials: Trials) -> torch.Tensor:
        return 0.9 * super().answer(trials) + 0.1 * trials["truth"]


# ---- batches ---------------------------------------------------------------------------------------------------------


class Neighbour(Good):
    """A trial's answer hangs on the data of the slot before."""

    name = "neighbour"
    breaks = "independent"
    also = frozenset({"poisoned neighbour"})
    says = "the same bits of trial 2 beside other trials"

    def answer(self, trials: Trials) -> torch.Tensor:
        answer = super().answer(trials)
        before = torch.cat([answer[:1], answer[:-1]])
        return answer + 0.01 * before


class Mask(Good):
    """Multiplies what others have by 0, and 0 times NaN is NaN."""

    name = "mask"
    breaks = "poisoned neighbour"
    says = "beside a trial with NaN"

    def answer(self, trials: Trials) -> torch.Tensor:
        answer = super().answer(trials)
        return answer + 0 * answer.sum(0)


class Rounding(Good):
    """Rounds otherwise at other widths."""

    name = "rounding"
    breaks = "widths"
    says = "rounding that depends on the width"

    def answer(self, trials: Trials) -> torch.Tensor:
        return super().answer(trials) * (1 + 1e-6 * trials.width)


class Width(Good):
    """Gives something else at other widths."""

    name = "width"
    breaks = "widths"
    says = "let no trial see the others or the width"

    def answer(self, trials: Trials) -> torch.Tensor:
        return super().answer(trials) + 1e-3 * trials.width


# ---- parameters, cost, quality ---------------------------------------------------------------------------------------


class Unfinished(Good):
    """One alternative is not written yet."""

    name = "unfinished"
    breaks = "options"
    says = "a fit with mode = 'fast'"

    mode: Literal["exact", "fast"] = "exact"
    """How."""

    def answer(self, trials: Trials) -> torch.Tensor:
        if self.mode == "fast":
            raise NotImplementedError("later")
        return super().answer(trials)


class Negative(Good):
    """A count below 0."""

    name = "negative"
    breaks = "budget"
    says = "budget kernel_evaluations as a whole number"

    def cost(self, trials: Trials) -> dict[str, Any]:
        return {"kernel_evaluations": torch.full((trials.width,), -1)}


class Fraction(Good):
    """A count that is none."""

    name = "fraction"
    breaks = "budget"
    says = "0.5"

    def cost(self, trials: Trials) -> dict[str, Any]:
        return {"kernel_evaluations": 0.5}


class Hidden(Good):
    """Samples that are not counted."""

    name = "hidden"
    breaks = "budget"
    says = "generated_samples ≥ 40 per trial"

    def answer(self, trials: Trials) -> torch.Tensor:
        answer = super().answer(trials)
        problem: Any = trials.problem
        for _ in range(2):
            problem.sample(answer, trials["observed"].new_zeros(trials.width, 20, problem.noise_size))
        return answer


class Steps(Good):
    """Half of the steps are not counted."""

    name = "steps"
    breaks = "budget"
    says = "gradient_steps = iterations = 10"

    iterations: int = Field(10, ge=1)
    """Steps."""

    def cost(self, trials: Trials) -> dict[str, Any]:
        return {"gradient_steps": self.iterations // 2}


class Stopping(Good):
    """Each trial stops when it is done: nothing is wrong with it."""

    name = "stopping"

    iterations: int = Field(10, ge=1)
    """At most so many steps."""

    def cost(self, trials: Trials) -> dict[str, Any]:
        return {"gradient_steps": (3 + (trials["observed"][:, 0, 0] > 0).long()).clamp(max=self.iterations)}


class Endless(Good):
    """More steps than allowed."""

    name = "endless"
    breaks = "budget"
    says = "gradient_steps ≤ iterations = 10"

    iterations: int = Field(10, ge=1)
    """At most so many steps."""

    def cost(self, trials: Trials) -> dict[str, Any]:
        return {"gradient_steps": 10 + 5 * (trials["observed"][:, 0, 0] > 0).long()}


class OneByOne(Good):
    """Samples trial by trial, and counts rightly."""

    name = "one_by_one"

    def answer(self, trials: Trials) -> torch.Tensor:
        answer = super().answer(trials)
        problem: Any = trials.problem
        for i in range(trials.width):
            problem.sample(answer[i : i + 1], answer.new_zeros(1, 20, problem.noise_size))
        return answer

    def cost(self, trials: Trials) -> dict[str, Any]:
        return {"generated_samples": 20}


class Patient(Good):
    """Its defaults do nothing; `quick` does: nothing is wrong with it."""

    name = "patient"
    quick: ClassVar[dict[str, Any]] = {"share": 1.0}

    share: float = Field(0.0, ge=0)
    """Of the way from the initial point."""

    def answer(self, trials: Trials) -> torch.Tensor:
        return trials["start"].lerp(super().answer(trials), self.share)


class Free(Good):
    """Iterations that cost nothing."""

    name = "free"
    breaks = "budget"
    says = "a count that grows from 10 to 20 iterations"

    iterations: int = Field(10, ge=1)
    """Steps."""

    def cost(self, trials: Trials) -> dict[str, Any]:
        return {"em_steps": 1}


class Shrinks(Good):
    """A count that goes down when there is more to do."""

    name = "shrinks"
    breaks = "budget"
    says = "no count that shrinks"

    iterations: int = Field(10, ge=1)
    """Steps."""

    def cost(self, trials: Trials) -> dict[str, Any]:
        return {"gradient_steps": self.iterations, "kernel_evaluations": 100 - self.iterations}


class Idle(Good):
    """The initial point, and no control."""

    name = "idle"
    breaks = "beats the start"
    says = "0 of 40 on gaussian_mean with 60 values"

    def answer(self, trials: Trials) -> torch.Tensor:
        return trials["start"].clone()


# ---- elsewhere -------------------------------------------------------------------------------------------------------


class Hash(Good):
    """Python's hash, which is another one in each process."""

    name = "hash"
    breaks = "fresh process"
    says = "the same bits in another process"

    def answer(self, trials: Trials) -> torch.Tensor:
        return super().answer(trials) + 1e-6 * (hash("stream") % 1000)


class HostOnly(Good):
    """The answer lies on the CPU."""

    name = "host_only"
    breaks = "CUDA"
    says = "on the device of the trials, cuda"

    def answer(self, trials: Trials) -> torch.Tensor:
        return super().answer(trials).cpu()


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [Good, *Good.__subclasses__()]
