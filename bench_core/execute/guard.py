"""State of the whole process: every batch finds the same, and leaves none of its own behind.

A method that draws from global generators gives the same numbers in every order of work, and one that changes torch's
default dtype, or leaves the folder, disturbs neither the methods after it nor who called us.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from bench_core.seeds import canonical, stable_hash

if TYPE_CHECKING:
    from bench_core.plan import Job

__all__ = ["guarded", "standard"]


@dataclass(frozen=True)
class _Switch:
    """Something of the process that can be read and set."""

    read: Callable[[], Any]
    write: Callable[[Any], object]
    standard: Any
    """What batches run under: the value of a fresh process, whatever a plugin did when it was imported."""


@contextmanager
def guarded(job: Job, device: str) -> Iterator[None]:
    """Run one batch with standard settings and with global generators seeded from the batch; then put all back.

    What is printed goes to standard error: standard output is for tables. A process that the block has forked off ends
    at the end of the block, since two must not go on with one run.

    Args:
        job: cell and place of the batch in it decide the seed, so that a replay at the same width draws the same.
        device: whose generator is seeded beside the CPU's.
    """
    process = os.getpid()
    try:
        with standard(), _seeded(_seed(job), device), redirect_stdout(sys.stderr):
            yield
    finally:
        if os.getpid() != process:
            os._exit(0)


@contextmanager
def standard() -> Iterator[None]:
    """Run the block with one thread and all else as in a fresh process; then put all back, the current folder too."""
    import torch

    switches = _switches()
    before = [switch.read() for switch in switches]
    kept = [(write, read, read()) for read, write in _kept()]
    try:
        _set(switches, [switch.standard for switch in switches])
        # It may have been entered and never left; it has no setter, and gradients are impossible inside.
        with torch.inference_mode(mode=False):
            yield
    finally:
        _set(switches, before)
        for write, read, value in kept:
            if read() != value:
                write(value)


def _set(switches: tuple[_Switch, ...], values: list[Any]) -> None:
    for switch, value in zip(switches, values, strict=True):
        if switch.read() != value:
            switch.write(value)


def _kept() -> Iterator[tuple[Callable[[], Any], Callable[[Any], object]]]:
    """Yield how to read and write what has no standard value and is kept as it is."""
    yield _folder, _enter
    yield _environment, _replace_environment
    yield lambda: list(warnings.filters), _replace_filters
    yield lambda: warnings.showwarning, partial(setattr, warnings, "showwarning")
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            yield partial(signal.getsignal, number), partial(signal.signal, number)


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return None


def _enter(folder: str | None) -> None:
    if folder is not None:
        with suppress(OSError):
            os.chdir(folder)


def _environment() -> dict[bytes, bytes]:
    return dict(os.environb)


def _replace_environment(variables: dict[bytes, bytes]) -> None:
    os.environb.clear()
    os.environb.update(variables)


def _replace_filters(filters: list[Any]) -> None:
    # Not catch_warnings, at whose end every module forgets what it has warned of: once per batch is too often.
    warnings.resetwarnings()
    warnings.filters[:] = filters  # type: ignore[index]


def _seed(job: Job) -> int:
    """Return the 32-bit seed of the global generators: all parts of a batch, and its replay, have the same."""
    return stable_hash(canonical([job.cell.noise_path(job.repeats[0] // job.width), job.width, "globals"]), bits=32)


@contextmanager
def _seeded(seed: int, device: str) -> Iterator[None]:
    """Seed the global generators of torch, numpy and random, and put them back as they were."""
    import numpy as np
    import torch

    generators = [torch.default_generator]
    if device.startswith("cuda"):
        index = torch.device(device).index
        torch.cuda.init()  # type: ignore[no-untyped-call]
        generators.append(torch.cuda.default_generators[torch.cuda.current_device() if index is None else index])
    states = [generator.get_state() for generator in generators]
    legacy: Any = np.random  # its stubs lack some functions
    bits, drawn, python = legacy.get_bit_generator(), legacy.get_state(legacy=False), random.getstate()
    try:
        legacy.set_bit_generator(legacy.MT19937(0))  # the process's may be of a kind that has no such seed
        for generator in generators:  # not torch.manual_seed, which writes a stack trace down for devices not yet used
            generator.manual_seed(seed)
        legacy.seed(seed)
        random.seed(seed)
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)
        legacy.set_bit_generator(bits)
        legacy.set_state(drawn)
        random.setstate(python)


@cache
def _switches() -> tuple[_Switch, ...]:
    """Return what a method may change of torch and numpy, and what batches run under."""
    import numpy as np
    import torch

    cuda: Any = torch.backends.cuda
    cudnn: Any = torch.backends.cudnn
    deterministic = torch.use_deterministic_algorithms
    numpy_errors = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
    return (
        _Switch(torch.get_default_dtype, torch.set_default_dtype, torch.float32),
        _Switch(torch.get_num_threads, torch.set_num_threads, 1),
        _Switch(torch.is_grad_enabled, torch.set_grad_enabled, True),
        _Switch(torch.get_default_device, _set_device, torch.device("cpu")),
        _Switch(
            lambda: (
                torch.are_deterministic_algorithms_enabled(),
                torch.is_deterministic_algorithms_warn_only_enabled(),
            ),
            lambda value: deterministic(value[0], warn_only=value[1]),
            (False, False),
        ),
        _Switch(
            lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
            lambda value: torch.set_anomaly_enabled(*value),
            (False, True),
        ),
        _Switch(_flushes_denormals, torch.set_flush_denormal, False),
        # Which kernel computes an attention, and so how its last bits round.
        _Switch(cuda.flash_sdp_enabled, cuda.enable_flash_sdp, True),
        _Switch(cuda.mem_efficient_sdp_enabled, cuda.enable_mem_efficient_sdp, True),
        _Switch(cuda.math_sdp_enabled, cuda.enable_math_sdp, True),
        _Switch(lambda: cudnn.benchmark, partial(setattr, cudnn, "benchmark"), False),
        _Switch(lambda: cudnn.deterministic, partial(setattr, cudnn, "deterministic"), False),
        *(_autocast(device) for device in ("cpu", "cuda")),
        _precisions(),
        _Switch(np.geterr, lambda value: np.seterr(**value), numpy_errors),
    )


def _set_device(device: Any) -> None:
    import torch

    torch.set_default_device(None if device == torch.device("cpu") else device)


def _flushes_denormals() -> bool:
    return sys.float_info.min * 0.5 == 0.0  # Python's own arithmetic obeys the same flag of the processor


def _autocast(device: str) -> _Switch:
    import torch

    return _Switch(
        partial(torch.is_autocast_enabled, device), lambda value: torch.set_autocast_enabled(device, value), False
    )


def _precisions() -> _Switch:
    """Return the precision of float32 matrix products: of all backends, and each one's own, which torch has since 2.9.

    The one for all is None where torch refuses to tell, since the backends differ.
    """
    import torch

    backends: list[Any] = [torch.backends.mkldnn, torch.backends.cuda]
    found = [each.matmul for each in backends if hasattr(getattr(each, "matmul", None), "fp32_precision")]

    def read() -> tuple[str | None, ...]:
        try:
            common: str | None = torch.get_float32_matmul_precision()
        except RuntimeError:
            common = None
        return common, *(_precision(backend) for backend in found)

    def write(value: tuple[str | None, ...]) -> None:
        torch.set_float32_matmul_precision(value[0] or "highest")  # first, as it sets the backends', too
        for backend, precision in zip(found, value[1:], strict=True):
            if _precision(backend) != precision:
                backend.fp32_precision = precision

    return _Switch(read, write, ("highest", *("ieee" for _ in found)))


def _precision(backend: Any) -> str:
    precision = str(backend.fp32_precision)
    return "ieee" if precision == "none" else precision  # both mean float32 products
