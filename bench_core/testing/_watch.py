"""Run somebody's code, see what it does to the process besides returning, and put that right again."""

from __future__ import annotations

import contextlib
import io
import os
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch

T = TypeVar("T")


@dataclass(frozen=True)
class Watched(Generic[T]):
    """A call and its traces.

    Attributes:
        result: what it returned.
        moved: names of the global generators whose state it changed.
        changed: what else it changed in the process, each with the value before and after.
        printed: what it wrote to standard output.
    """

    result: T
    moved: tuple[str, ...]
    changed: tuple[str, ...]
    printed: str


class Trait(NamedTuple):
    """Something that a process has one of."""

    name: str
    get: Callable[[], Any]
    put: Callable[[Any], Any]


def _put_environment(values: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(values)


def _put_benchmark(value: bool) -> None:
    torch.backends.cudnn.benchmark = value


def _matmul() -> str:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # somebody set the precision of one backend, and the two ways do not mix
        return "set per backend"


def _put_matmul(value: str) -> None:
    if value != "set per backend":
        torch.set_float32_matmul_precision(value)


def _fp32(backend: str) -> str | None:
    return getattr(getattr(getattr(torch.backends, backend), "matmul", None), "fp32_precision", None)


def _put_fp32(backend: str, value: str | None) -> None:
    if value is not None:
        getattr(torch.backends, backend).matmul.fp32_precision = value


TRAITS = (
    Trait("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
    Trait(
        "torch's default device", lambda: str(torch.get_default_device()), lambda value: torch.set_default_device(None)
    ),
    Trait("torch's number of threads", torch.get_num_threads, torch.set_num_threads),
    Trait("torch's gradient mode", torch.is_grad_enabled, torch.set_grad_enabled),
    Trait("torch's anomaly mode", torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    Trait(
        "torch's deterministic mode",
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    *(
        Trait(f"torch.backends.{name}.matmul.fp32_precision", partial(_fp32, name), partial(_put_fp32, name))
        for name in ("mkldnn", "cuda")
    ),
    Trait("torch's matmul precision", _matmul, _put_matmul),
    Trait("torch.backends.cudnn.benchmark", lambda: torch.backends.cudnn.benchmark, _put_benchmark),
    Trait("numpy's error handling", np.geterr, lambda value: np.seterr(**value)),
    Trait("the current folder", os.getcwd, os.chdir),
    Trait("the environment variables", lambda: dict(os.environ), _put_environment),
    Trait(
        "the handler of Ctrl-C",
        lambda: signal.getsignal(signal.SIGINT),
        lambda value: signal.signal(signal.SIGINT, value),
    ),
)


def watch(call: Callable[[], T], *, seed: int = 0) -> Watched[T]:
    """Return what ``call`` returned and what it did to the process, which is then as before.

    Args:
        call: the code to watch.
        seed: of the global generators during the call: who draws from them gives other results at another seed.
    """
    generators, traits = _generators(), [trait.get() for trait in TRAITS]
    printed = io.StringIO()
    try:
        _seed(seed)
        begun = _generators()
        with contextlib.redirect_stdout(printed):
            result = call()
        moved = tuple(name for name, state in _generators().items() if not _equal(state, begun[name]))
        changed = tuple(_changes(traits))
    finally:
        _restore(generators, traits)
    return Watched(result, moved, changed, printed.getvalue())


def _generators() -> dict[str, Any]:
    states: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy.random": np.random.get_state(),
        "random": random.getstate(),
    }
    if torch.cuda.is_available():
        states["torch.cuda"] = torch.stack(torch.cuda.get_rng_state_all())
    return states


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return bool(np.array_equal(a, b))
    if isinstance(a, tuple):
        return all(_equal(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def _changes(before: list[Any]) -> list[str]:
    changes = []
    for trait, old in zip(TRAITS, before, strict=True):
        new = trait.get()
        if new != old:
            changes.append(f"{trait.name} {_difference(old, new)}")
    return changes


def _difference(old: Any, new: Any) -> str:
    if isinstance(old, dict):
        names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
        return f"({', '.join(names)})"
    return f"(from {old} to {new})"


def _restore(generators: dict[str, Any], traits: list[Any]) -> None:
    for trait, old in zip(TRAITS, traits, strict=True):
        if trait.get() != old:
            trait.put(old)
    torch.set_rng_state(generators["torch"])
    np.random.set_state(generators["numpy.random"])
    random.setstate(generators["random"])
    if "torch.cuda" in generators:
        torch.cuda.set_rng_state_all(list(generators["torch.cuda"]))
