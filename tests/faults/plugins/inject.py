"""Faults at named points of the store and of the executors, put there from outside: the product knows nothing of this.

Loaded as a plugin, this file wraps what the product calls in the process that loads it, workers included, provided that
``fault.json`` lies in the current folder. Each passage of a point is noted in ``passages.txt`` there; at the n-th
passage of its point the fault happens, once over all processes.
"""

from __future__ import annotations

import errno
import io
import json
import multiprocessing
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import wraps
from pathlib import Path
from typing import Any

FAULT = "fault.json"
PASSAGES = "passages.txt"

FILES = {
    "suite": re.compile(r"suite\.yaml"),
    "env": re.compile(r"env\.json"),
    "part": re.compile(r"[^.].*-\d+\.parquet"),
    "mark": re.compile(r"trials\.parquet\.blake2b-\w+"),
    "compact": re.compile(r"trials\.parquet"),
    "checkpoint": re.compile(r"checkpoint\.safetensors"),
}
RUN = re.compile(r"\d{8}T\d{6}Z-s\d+-\w+")
REMOVED = ("part", "mark", "checkpoint")

WRITE_POINTS = tuple(f"{kind}.{step}" for kind in FILES for step in ("mid-write", "before-rename"))
WRITTEN_POINTS = tuple(f"{kind}.after-rename" for kind in FILES)
REMOVE_POINTS = tuple(f"{kind}.before-unlink" for kind in REMOVED)
OTHER_STORE_POINTS = ("run.before-mkdir", "lock.before-acquire", "damaged.before-rename")
EXECUTOR_POINTS = ("executor.before-send", "executor.rows-received")
WORKER_POINTS = ("worker.before-job", "worker.before-rows")
POINTS = (*WRITE_POINTS, *WRITTEN_POINTS, *REMOVE_POINTS, *OTHER_STORE_POINTS, *EXECUTOR_POINTS, *WORKER_POINTS)


@dataclass(frozen=True)
class Fault:
    """What happens, and when. ``action`` is one of ``ACTIONS``, or several joined by ``+``."""

    point: str
    action: str
    nth: int = 1

    def write(self, folder: Path) -> None:
        """Make the processes that start in ``folder`` suffer it."""
        (folder / FAULT).write_text(json.dumps(asdict(self)))
        (folder / PASSAGES).write_text("")


def passed(folder: Path) -> list[str]:
    """Return the points that were passed under the last fault, in order."""
    return (folder / PASSAGES).read_text().split()


# ---- what happens ----------------------------------------------------------------------------------------------------


def _kill(path: Path | None) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _delay(path: Path | None) -> None:
    time.sleep(0.5)


def _full(path: Path | None) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _readonly(path: Path | None) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def _truncate(path: Path | None) -> None:
    assert path is not None
    os.truncate(path, path.stat().st_size // 2)


def _flip(path: Path | None) -> None:
    assert path is not None
    with path.open("r+b") as file:
        content = bytearray(file.read())
        content[len(content) // 3] ^= 1
        file.seek(0)
        file.write(content)


ACTIONS: dict[str, Callable[[Path | None], None]] = {
    "kill": _kill,
    "delay": _delay,
    "full": _full,
    "readonly": _readonly,
    "truncate": _truncate,
    "flip": _flip,
}


# ---- where it happens ------------------------------------------------------------------------------------------------


class _Injector:
    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self._log = Path.cwd() / PASSAGES

    def passes(self, point: str, path: Path | None = None) -> None:
        with self._log.open("a+", encoding="utf-8") as file:
            file.write(f"{point}\n")
            file.flush()
            file.seek(0)
            passages = file.read().split().count(point)
        if point == self._fault.point and passages == self._fault.nth:
            for action in self._fault.action.split("+"):
                ACTIONS[action](path)

    def wrap_files(self) -> None:
        """Wrap what ``write_atomically`` and the store do with files."""
        open_, fdopen = os.open, os.fdopen
        replace, rename, unlink, mkdir = Path.replace, Path.rename, Path.unlink, Path.mkdir
        opened: dict[int, Path] = {}

        def opened_(path: Any, *rest: Any, **options: Any) -> int:
            descriptor = open_(path, *rest, **options)
            if isinstance(path, Path):
                opened[descriptor] = path
            return descriptor

        def fdopen_(descriptor: int, *rest: Any, **options: Any) -> Any:
            file, path = fdopen(descriptor, *rest, **options), opened.pop(descriptor, Path())
            kind = _kind(path.name[1:].removesuffix(".tmp"))
            return _Halving(file, lambda: self.passes(f"{kind}.mid-write", path)) if kind else file

        def replace_(path: Path, target: Path) -> Path:
            kind = _kind(target.name)
            if kind:
                self.passes(f"{kind}.before-rename", path)
            renamed = replace(path, target)
            if kind:
                self.passes(f"{kind}.after-rename", target)
            return renamed

        def rename_(path: Path, target: Path) -> Path:
            if ".damaged" in target.name:
                self.passes("damaged.before-rename", path)
            return rename(path, target)

        def unlink_(path: Path, missing_ok: bool = False) -> None:
            if (kind := _kind(path.name)) in REMOVED and path.exists():
                self.passes(f"{kind}.before-unlink", path)
            unlink(path, missing_ok)

        def mkdir_(path: Path, *rest: Any, **options: Any) -> None:
            if RUN.fullmatch(path.name) and not path.exists():
                self.passes("run.before-mkdir", path)
            mkdir(path, *rest, **options)

        os.open, os.fdopen = opened_, fdopen_
        Path.replace, Path.rename, Path.unlink, Path.mkdir = replace_, rename_, unlink_, mkdir_

    def wrap_lock(self) -> None:
        from filelock import FileLock

        acquire = FileLock.acquire

        def acquire_(lock: FileLock, *rest: Any, **options: Any) -> Any:
            self.passes("lock.before-acquire")
            return acquire(lock, *rest, **options)

        FileLock.acquire = acquire_

    def wrap_executors(self) -> None:
        """Wrap the one door of every executor: jobs go in, events come out."""
        from bench_core.execute.executor import Finished, Inline
        from bench_core.execute.processes import Processes

        def handed_out(jobs: Iterator[Any]) -> Iterator[Any]:
            for job in jobs:
                self.passes("executor.before-send")
                yield job

        for executor in (Inline, Processes):
            run = executor.run

            @wraps(run)
            def run_(self_: Any, jobs: Any, run: Any = run) -> Iterator[Any]:
                for event in run(self_, handed_out(iter(jobs))):
                    if isinstance(event, Finished):
                        self.passes("executor.rows-received")
                    yield event

            executor.run = run_

    def wrap_worker(self) -> None:
        from bench_core.execute.batch import run_job

        @wraps(run_job)
        def run_job_(*arguments: Any, **options: Any) -> Any:
            self.passes("worker.before-job")
            rows = run_job(*arguments, **options)
            self.passes("worker.before-rows")
            return rows

        _rebind(run_job, run_job_)


class _Halving:
    """A file that passes its point when half of what is written is on the disk."""

    def __init__(self, file: io.BufferedWriter, passes: Callable[[], None]) -> None:
        self._file, self._passes = file, passes

    def __enter__(self) -> _Halving:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, content: bytes) -> None:
        half = len(content) // 2
        self._file.write(content[:half])
        self._file.flush()
        self._passes()
        self._file.write(content[half:])


def _kind(name: str) -> str | None:
    return next((kind for kind, pattern in FILES.items() if pattern.fullmatch(name)), None)


def _rebind(original: Any, replacement: Any) -> None:
    """Put ``replacement`` wherever a module of the product holds ``original``."""
    for name, module in list(sys.modules.items()):
        if name.startswith("bench_core"):
            for attribute, value in list(vars(module).items()):
                if value is original:
                    setattr(module, attribute, replacement)


def _arm(fault: Fault) -> None:
    injector = _Injector(fault)
    injector.wrap_files()
    if multiprocessing.parent_process() is None:
        injector.wrap_lock()
        injector.wrap_executors()
    else:
        injector.wrap_worker()


# Not in the tests' own process, which runs commands too.
if __name__.startswith("bench_plugin_") and "pytest" not in sys.modules and Path(FAULT).exists():
    _arm(Fault(**json.loads(Path(FAULT).read_text())))
