"""Small trials, watched fits, and what two fits differ in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import ValidationError

from bench_core.errors import BenchError
from bench_core.metrics import MeasuredMetric
from bench_core.parameters import Parameters, quick_parameters
from bench_core.problems import Problem, RecoveryProblem
from bench_core.seeds import Streams
from bench_core.testing._twin import Twin, digest
from bench_core.testing.checks import NotApplicableError
from bench_core.trials import Fit, Trials
from bench_core.workspace import Workspace

if TYPE_CHECKING:
    from bench_core.plugins import Plugins

Edit = Callable[[dict[str, torch.Tensor]], None]
SEED = 20_240_229
BUDGET = "the budget"
DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass
class Kit:
    """What the checks of several subjects share.

    Attributes:
        plugins: everything that is loaded, built-in problems among it.
        device: ``cuda`` where the check on a GPU is wanted and possible, else ``cpu``.
        given: problems to run methods on instead of those that are loaded.
    """

    plugins: Plugins
    device: str
    given: Sequence[Problem] | None = None
    twin: Twin = field(init=False)

    def __post_init__(self) -> None:
        self.twin = Twin(self.plugins.sources)

    def problems(self, source: str) -> list[Problem]:
        """Return small instances to try a plugin from ``source`` on: built-in ones, then its own, then others'."""
        if self.given is not None:
            return list(self.given)
        offers = self.plugins.problems
        order = {
            name: (offers.owners[name].source != "bench_core", offers.owners[name].source != source) for name in offers
        }
        return [
            problem for name in sorted(offers, key=lambda name: order[name]) for problem in small(offers.items[name])
        ]


def small(cls: type[Problem]) -> list[Problem]:
    """Return a quick instance in a list, or an empty one where its own parameters refuse it, as its check will tell."""
    try:
        return [cls(**quick_parameters(cls))]
    except ValidationError:
        return []


def make(cls: type[Parameters], **params: Any) -> Any:
    """Return a quick instance of ``cls``, with ``params`` on top.

    Raises:
        NotApplicableError: its own parameters refuse it.
    """
    try:
        return cls(**{**quick_parameters(cls), **params})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or cls.__name__
        raise NotApplicableError(f"a small instance is refused: {where}: {first['msg']}") from None


def draw(problem: Problem, repeat: int, seed: int = SEED) -> Mapping[str, np.ndarray]:
    """Return the data of one trial."""
    return problem.draw(Streams(seed, problem.name, repeat), None)


def make_trials(
    problem: Problem,
    repeats: Sequence[int],
    *,
    noise: Sequence[Any] = (),
    dtype: str = "float32",
    device: str = "cpu",
    edit: Edit | None = None,
) -> Trials:
    """Return a batch of trials as the harness makes it: drawn in float64, stacked, cast.

    Args:
        problem: where the data come from.
        repeats: which trial stands in each slot.
        noise: names the method's streams.
        dtype: of the computation.
        device: where the tensors lie.
        edit: changes the data before the method sees them.
    """
    drawn = [draw(problem, repeat) for repeat in repeats]
    data = {}
    for name in drawn[0]:
        tensor = torch.from_numpy(np.stack([arrays[name] for arrays in drawn]))
        data[name] = tensor.to(device, DTYPES[dtype] if tensor.is_floating_point() else None)
    if edit is not None:
        edit(data)
    return Trials(
        problem=problem.given(data),
        data=data,
        streams=[Streams(SEED, problem.name, repeat, *noise) for repeat in repeats],
        device=torch.device(device),
        dtype=DTYPES[dtype],
        workspace=Workspace(None),
        progress=lambda share: None,
    )


def fresh_digest(plugins: Plugins, kind: str, name: str, problem: Problem | None, repeats: Sequence[int]) -> str:
    """Return a hash of what a method or a problem gives: the same in every process."""
    if problem is None:
        drawn = [draw(make(plugins.problems.get(name)), repeat) for repeat in repeats]
        return digest({f"{i}.{key}": array for i, arrays in enumerate(drawn) for key, array in arrays.items()})
    method = make(plugins.methods.get(name))
    trials = make_trials(problem, repeats, noise=(method.name,), dtype=method.dtype)
    fit = method.fit(trials)
    return digest({key: tensor.detach().cpu().numpy() for key, tensor in tensors_of(fit, trials, plugins).items()})


# ---- what a fit holds ------------------------------------------------------------------------------------------------


def tensors_of(fit: Fit, trials: Trials, plugins: Plugins) -> dict[str, torch.Tensor]:
    """Return by name everything of a fit that belongs to single trials, each tensor ``(B, ...)``.

    Of an answer that is no tensor these are the tensors inside, and what the loaded metrics say of it. A list of ``B``
    parts is one per trial.
    """
    found = dict(_walk(fit.answer, "the answer", width=trials.width))
    for name, count in fit.budget.items():
        found[f"{BUDGET} {name}"] = torch.as_tensor(count).expand(trials.width).cpu()
    found |= {f"the metric {name}": values for name, values in fit.metrics.items()}
    if not isinstance(fit.answer, torch.Tensor):
        found |= {f"the metric {name}": values for name, values in _measured(fit, trials, plugins)}
    return {name: tensor for name, tensor in found.items() if tensor.shape[:1] == (trials.width,)}


def _walk(value: Any, name: str, depth: int = 4, width: int = 0) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        yield name, value
        return
    if isinstance(value, list | tuple) and len(value) == width and depth:
        parts = [dict(_walk(part, f"{name}.*", depth - 1)) for part in value]
        stacks = all(tensor.shape[:1] == (width,) for part in parts for tensor in part.values())
        models = isinstance(value, list) and not any(isinstance(part, torch.Tensor) for part in value)
        if models or not stacks:  # else as many layers, say, as trials, each with all trials
            yield from _stacked(parts)
            return
    if isinstance(value, torch.nn.Module):
        value = value.state_dict()
    elif dataclasses.is_dataclass(value) or (hasattr(value, "__dict__") and not callable(value)):
        value = vars(value)
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, part in items if depth else ():
        yield from _walk(part, f"{name}.{key}", depth - 1, width)


def _stacked(parts: Sequence[Mapping[str, torch.Tensor]]) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield what all trials have in the same shape."""
    for name in parts[0]:
        tensors = [part[name] for part in parts if name in part]
        if len(tensors) == len(parts) and len({(tensor.shape, tensor.dtype) for tensor in tensors}) == 1:
            yield name, torch.stack(tensors)


def _measured(fit: Fit, trials: Trials, plugins: Plugins) -> Iterator[tuple[str, torch.Tensor]]:
    for metric in plugins.metrics.items.values():
        if isinstance(metric, MeasuredMetric) and metric.needs and metric.needs <= trials.problem.capabilities:
            try:
                yield metric.name, metric.measure(trials, fit)
            except Exception:  # a metric that cannot judge this kind of answer; its own checks are elsewhere
                continue


def floating(fit: Fit) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the floating tensors of an answer, by name."""
    yield from ((name, tensor) for name, tensor in _walk(fit.answer, "the answer") if tensor.is_floating_point())


@dataclass(frozen=True)
class Attempt:
    """A fit that was watched.

    Attributes:
        problem: what it was fitted on.
        trials: the batch, after the fit.
        fit: what came back.
        moved: global generators that it moved.
        changed: what else of the process it changed.
        printed: what it printed.
        edited: names of the data that it changed.
        sampled: samples that it drew by ``problem.sample``, per trial and rounded up.
        found: the tensors ``(B, ...)`` in it.
    """

    problem: Problem
    trials: Trials
    fit: Fit
    moved: tuple[str, ...]
    changed: tuple[str, ...]
    printed: str
    edited: tuple[str, ...]
    sampled: int
    found: Mapping[str, torch.Tensor]

    @property
    def tells(self) -> bool:
        """Whether there is more to compare between two fits than what they cost."""
        return any(not name.startswith(BUDGET) for name in self.found)

    def row(self, slot: int) -> dict[str, torch.Tensor]:
        """Return what belongs to the trial in a slot."""
        return {name: tensor[slot].detach().cpu() for name, tensor in self.found.items()}


def difference(a: Attempt, slot_a: int, b: Attempt, slot_b: int) -> str | None:
    """Return in words what differs in the bits of one trial in two fits, or None."""
    if (slot_a in a.fit.failures) != (slot_b in b.fit.failures):
        return "it failed in one of them only"
    left, right = a.row(slot_a), b.row(slot_b)
    if set(left) != set(right):
        return f"{', '.join(sorted(set(left) ^ set(right)))} is there in one of them only"
    for name in left:
        x, y = left[name], right[name]
        if x.shape != y.shape or x.dtype != y.dtype:
            return f"{name} is {tuple(x.shape)} of {x.dtype}, then {tuple(y.shape)} of {y.dtype}"
        same = (x == y) | ((x != x) & (y != y))
        if not bool(same.all()):
            gap = (x.double() - y.double()).abs().nan_to_num(torch.inf).max().item()
            return f"{name} differs by up to {gap:.2g}"
    return None


def same_values(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Return whether two tensors have the same shape, dtype and values, NaN in the same places included."""
    return a.shape == b.shape and a.dtype == b.dtype and bool(((a == b) | ((a != a) & (b != b))).all())


def counting(problem: Problem) -> tuple[Callable[[], None], Callable[[], int]]:
    """Count what ``problem.sample`` draws; return what ends the counting, and what gives the samples of all trials."""
    if not isinstance(problem, RecoveryProblem):
        return lambda: None, lambda: 0
    cls: Any = type(problem)  # patched, as instances are frozen
    original, own, count = cls.sample, "sample" in vars(cls), [0]

    def sample(self: RecoveryProblem, theta: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        samples: torch.Tensor = original(self, theta, noise)
        count[0] += samples.shape[:-1].numel()
        return samples

    def stop() -> None:
        if own:
            cls.sample = original
        else:
            del cls.sample

    cls.sample = sample
    return stop, lambda: count[0]


def require_data(problem: Problem) -> None:
    """Draw once.

    Raises:
        NotApplicableError: the data set is not there.
    """
    try:
        draw(problem, 0)
    except BenchError as error:
        raise NotApplicableError(f"{problem.name}: {error}") from None
