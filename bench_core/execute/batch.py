"""Run one batch and return a row per trial. A failure of the method is an outcome, never an exception here."""

from __future__ import annotations

import hashlib
import math
import numbers
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bench_core.errors import BenchError, PluginError
from bench_core.execute import failure, memory
from bench_core.execute.guard import guarded
from bench_core.execute.interrupt import Stop
from bench_core.metrics import MeasuredMetric, ReportedMetric
from bench_core.plan import Job
from bench_core.seeds import Streams
from bench_core.trials import Fit, Trials
from bench_core.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    import torch

    from bench_core.execute.memory import Share
    from bench_core.methods import Method
    from bench_core.plugins import Offers, Plugins
    from bench_core.problems import Problem

Row = dict[str, Any]
Progress = Callable[[float], None]
T = TypeVar("T")


class TimeoutExceeded(BaseException):
    """The batch took longer than its limit. No ``Exception``: a method's own ``except`` must not catch it."""


class DeviceLostError(BenchError):
    """The GPU serves this process no more, whatever the next batch does."""


@dataclass(frozen=True)
class Setting:
    """Where batches run; plain data, the same for every batch of a run."""

    device: str
    """``cpu``, ``cuda`` or ``cuda:1``."""
    data: Path | None
    """Folder of data sets (``--data``)."""
    artifacts: Path | None
    """Folder below which each batch has its workspace."""
    log: Path | None = None
    """File that takes what methods print in worker processes; None: standard error."""
    memory: Share | None = None
    """What a process may use; None: no limit."""
    trace: bool = False
    """Whether rows hold loss and error of every step."""


def run_job(job: Job, plugins: Plugins, setting: Setting, progress: Progress = lambda share: None) -> list[Row]:
    """Run a batch; when it raises, halve it until the guilty trials are alone. Return a row per trial.

    Too little memory halves the number of trials that run together instead; their rows say so by ``batch_size``.

    Raises:
        BenchError: what the user must put right before any trial can run, such as data that are not there.
    """
    if job.cell.skipped:
        return [{**_identity(job, 0), "status": "skipped", "reason": job.cell.skipped}]
    try:
        with guarded(job, setting.device):
            return _run(job, plugins, setting, progress)
    except (BenchError, TimeoutExceeded, Stop):  # the user's to put right, or to decide; no outcome of a trial
        raise
    except BaseException as error:  # whatever a method raises is an outcome of its trials, SystemExit included
        if (full := failure.no_room(error)) is not None:
            words = failure.reason(failure.message(full))
            raise BenchError(f"no room to write to: {words}; make room, then run the same command again") from None
        exhausted = memory.is_exhausted(error)
        reason, trace = failure.describe(error)
        if exhausted and setting.memory is not None:
            reason = failure.reason(f"out of memory, it needs more than {setting.memory} ({reason})")
        if not exhausted and _is_lost(setting.device):
            raise DeviceLostError(f"the GPU does not answer any more, see its driver's log; after {reason}") from None
    # Only now, as the exception held on to the tensors of the batch.
    if exhausted and job.width > 1:
        parts = _narrower(job, setting)
    elif len(job.repeats) > 1:
        parts = job.halves()
    else:
        return [failed_row(job, "error", reason, trace)]
    return [row for part in parts for row in run_job(part, plugins, setting, progress)]


def failed_row(job: Job, status: str, reason: str, trace: str | None = None) -> Row:
    """Return the row of the only trial of ``job``, which failed."""
    return {**_identity(job, job.repeats[0]), "status": status, "reason": reason, "traceback": trace}


def _is_lost(device: str) -> bool:
    """Return whether ``device`` is a GPU that serves this process no more, as after an illegal access to memory."""
    import torch

    if device == "cpu":
        return False
    try:
        torch.cuda.synchronize(device)
        torch.zeros(1, device=device)
    except torch.OutOfMemoryError:
        return False
    except RuntimeError:
        return True
    return False


def _narrower(job: Job, setting: Setting) -> list[Job]:
    """Return the trials of ``job`` in batches of half its width, after giving back what the device keeps for it."""
    import torch

    if setting.device != "cpu":
        torch.cuda.empty_cache()
    width = job.width // 2
    groups: dict[int, list[int]] = {}
    for repeat in job.repeats:
        groups.setdefault(repeat // width, []).append(repeat)
    return [Job(job.cell, tuple(group), width) for group in groups.values()]


def _run(job: Job, plugins: Plugins, setting: Setting, progress: Progress) -> list[Row]:
    cell = job.cell
    problem = _offered(plugins, plugins.problems, cell.problem)(**cell.problem_params)
    method = _offered(plugins, plugins.methods, cell.method)(**cell.method_params)
    started = time.perf_counter()
    drawn = {repeat: problem.draw(Streams(*cell.data_path(repeat)), setting.data) for repeat in job.repeats}
    digests = {repeat: _digest(arrays) for repeat, arrays in drawn.items()}
    slots = _slots(job)
    workspace = Workspace(setting.artifacts / job.name if setting.artifacts else None)
    trials = _trials(job, problem, [drawn[repeat] for repeat in slots], setting, workspace, progress)
    fit = _fit(method, trials)
    failures = {**problem.failures(trials, fit), **fit.failures}  # first, as it checks what the metrics rely on
    measured = _measure(cell.metrics, plugins, trials, fit)
    failures = {**_not_numbers(cell.metrics, plugins, measured), **failures}
    _synchronise(trials)
    seconds = (time.perf_counter() - started) / len(job.repeats)
    rows = []
    for repeat in job.repeats:
        slot = repeat % job.width
        row = _identity(job, repeat) | {"seconds": seconds, "data_digest": digests[repeat]}
        row |= {f"budget.{name}": _at(count, slot) for name, count in fit.budget.items()}
        # A failed trial's path may end early or late, as its neighbours go on; a trace is of one trial alone.
        row |= _path(fit, slot) if setting.trace or slot not in failures else {}
        if slot in failures:
            row |= {"status": "nan", "reason": failure.reason(str(failures[slot]))}
        else:
            row |= {"status": "ok", **{f"metric.{name}": float(values[slot]) for name, values in measured.items()}}
        rows.append(row)
    return rows


def _offered(plugins: Plugins, offers: Offers[T], name: str) -> T:
    try:
        return offers.get(name)
    except PluginError as error:  # it was there when the run was planned: say what failed to load here
        raise PluginError(f"{error}{plugins.why_missing(name)}") from None


def _identity(job: Job, repeat: int) -> Row:
    cell = job.cell
    return {
        "trial_id": cell.trial_id(repeat),
        "cell_id": cell.cell_id,
        "suite": cell.suite,
        "problem": cell.problem,
        "method": cell.method,
        "label": cell.label,
        "repeat": repeat,
        "seed": cell.seed,
        "split": cell.split,
        "device": cell.device,
        "dtype": cell.method_params.get("dtype", "float32"),
        "batch_size": job.width,
        "slot": repeat % job.width,
        "method_version": cell.method_version,
        "method_digest": cell.method_digest,
        "problem_version": cell.problem_version,
        "problem_digest": cell.problem_digest,
        "spec": cell.spec(repeat),
    }


def _slots(job: Job) -> list[int]:
    """Return the repeat in each slot: every trial in its own, copies of the first one in the slots left over."""
    slots = [job.repeats[0]] * job.width
    for repeat in job.repeats:
        slots[repeat % job.width] = repeat
    return slots


def _trials(
    job: Job,
    problem: Problem,
    drawn: Sequence[Mapping[str, np.ndarray]],
    setting: Setting,
    workspace: Workspace,
    progress: Progress,
) -> Trials:
    import numpy as np
    import torch

    device = torch.device(setting.device)
    dtype = {"float32": torch.float32, "float64": torch.float64}[job.cell.method_params.get("dtype", "float32")]

    def stack(name: str) -> torch.Tensor:
        tensor = torch.from_numpy(np.stack([arrays[name] for arrays in drawn]))
        return tensor.to(device, dtype if tensor.is_floating_point() else None)

    data = {name: stack(name) for name in drawn[0]}
    return Trials(
        problem=problem.given(data),
        data=data,
        streams=[Streams(*job.cell.noise_path(repeat)) for repeat in _slots(job)],
        device=device,
        dtype=dtype,
        workspace=workspace,
        progress=progress,
        trace=setting.trace,
    )


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    import numpy as np

    digest = hashlib.blake2b(digest_size=8)
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()


def _fit(method: Method, trials: Trials) -> Fit:
    """Return the method's fit, having seen that it left its input alone: what scores it comes from there, too.

    Raises:
        TypeError: when it returned something else.
        ValueError: when it changed its input.
    """
    before = [(name, tensor, tensor._version) for name, tensor in trials.data.items()]
    fit = method.fit(trials)
    for name, tensor, version in before:
        if trials.data.get(name) is not tensor:
            raise ValueError(f"fit replaced trials.data[{name!r}]; leave it and use a variable of your own")
        if tensor._version != version:
            raise ValueError(f"fit changed trials.data[{name!r}] in place; clone it first")
    if not isinstance(fit, Fit):
        raise TypeError(f"fit must return a bench_core.Fit, got {type(fit).__name__}")
    return fit


def _measure(names: Sequence[str], plugins: Plugins, trials: Trials, fit: Fit) -> dict[str, list[float]]:
    measured = dict(fit.metrics)
    for name in measured:
        if name in plugins.metrics and not isinstance(plugins.metrics.get(name), ReportedMetric):
            raise ValueError(f"a method cannot report the metric {name!r}: the harness measures it")
    for name in names:
        metric = plugins.metrics.get(name)
        if isinstance(metric, MeasuredMetric):
            measured[name] = metric.measure(trials, fit)
        elif name not in measured:
            raise ValueError(f"the method must report the metric {name!r} in Fit.metrics, and did not")
    for name, values in measured.items():
        if tuple(values.shape) != (trials.width,):
            raise ValueError(f"metric {name!r} must have the shape ({trials.width},), got {tuple(values.shape)}")
    return {name: values.tolist() for name, values in measured.items()}


def _not_numbers(names: Sequence[str], plugins: Plugins, measured: Mapping[str, Sequence[float]]) -> dict[int, str]:
    """Return slot -> reason where a metric of the suite is NaN: such a trial has failed, it does not just leave.

    So has one with an infinite value of a metric whose mean is taken.
    """
    return {
        slot: f"the metric {name} is {'not a number' if math.isnan(value) else 'infinite'}"
        for name in names
        for slot, value in enumerate(measured[name])
        if math.isnan(value) or (math.isinf(value) and plugins.metrics.get(name).kind == "mean")
    }


def _synchronise(trials: Trials) -> None:
    import torch

    if trials.device.type == "cuda":
        torch.cuda.synchronize(trials.device)


def _at(count: int | torch.Tensor, slot: int) -> int:
    found = int(count) if isinstance(count, int | numbers.Integral) else int(count[slot])
    if abs(found) >= 1 << 63:
        raise ValueError(f"a budget must be an integer of 64 bits, got {found:.3g}")
    return found


def _path(fit: Fit, slot: int) -> Row:
    if fit.path is None:
        return {}
    return {
        "path.step": list(fit.path.steps),
        "path.loss": fit.path.loss[slot].tolist(),
        "path.error": fit.path.error[slot].tolist(),
    }
