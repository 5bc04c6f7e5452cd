"""One worker process as the main process sees it: what it is doing, since when, and how it is ended."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from enum import Enum, auto
from multiprocessing import connection, forkserver, resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_core.execute import worker
from bench_core.execute.batch import Setting
from bench_core.execute.channel import Channel
from bench_core.execute.orphans import kill_group
from bench_core.plan import Job

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from bench_core.plugins import PluginSources

__all__ = ["Clock", "Patience", "Phase", "WorkerProcess", "on_device"]

PRELOAD = [
    "bench_core.execute.orphans",
    "torch",
    "bench_core.execute.worker",
    "bench_core.engines.critic",
    "bench_core.report.formats",
]
"""What the fork server imports once, so that a new worker costs milliseconds."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What libraries read the size of their thread pools from when they are loaded."""
SENT_WITHIN = 1.0
"""Seconds that we wait for a worker to take a job."""
KILLED_WITHIN = 5.0
"""Seconds that we wait for a killed process; only the kernel can keep it longer, as on a file system that is gone."""


class Phase(Enum):
    """What a worker is doing."""

    STARTING = auto()
    IDLE = auto()
    ASSIGNED = auto()
    """It was sent a batch and has not said that it began."""
    RUNNING = auto()


@dataclass(frozen=True)
class Patience:
    """How many seconds a worker may spend on what takes it milliseconds unless it hangs or the machine is very busy."""

    starting: float = 300.0
    """With torch and plugins on a slow network drive."""
    assigned: float = 30.0

    def limit(self, phase: Phase, timeout: float) -> float:
        """Return the limit of ``phase``, where ``timeout`` is that of a batch."""
        limits = {Phase.STARTING: self.starting, Phase.ASSIGNED: self.assigned, Phase.RUNNING: timeout}
        return limits.get(phase, float("inf"))


class Clock:
    """Seconds that the main process has been watching: while it is stopped, or long busy elsewhere, nobody is late."""

    SLACK = 1.0
    """Seconds for which it may be late, or elsewhere, and they count: machines are busy."""

    def __init__(self) -> None:
        self._lost = 0.0
        self._seen = time.monotonic()

    def now(self) -> float:
        """Return the seconds since some moment."""
        return time.monotonic() - self._lost

    def wait(self, objects: Sequence[Any], seconds: float) -> list[Any]:
        """Wait for the first of some channels and sentinels, at most ``seconds``; return those that are ready."""
        before = time.monotonic()
        ready = connection.wait(objects, seconds)
        after = time.monotonic()
        for overdue in (before - self._seen, after - before - seconds):
            self._lost += overdue if overdue > self.SLACK else 0.0
        self._seen = after
        return ready


class WorkerProcess:
    """A worker process.

    Args:
        sources: plugins that it loads.
        setting: where its batches run.
        clock: by which its limits are counted.
    """

    def __init__(self, sources: PluginSources, setting: Setting, clock: Clock) -> None:
        self._clock = clock
        self.job: Job | None = None
        ours, theirs = socket.socketpair()
        self.channel = Channel(ours)
        with theirs:
            self._process = _process((theirs, sources, setting))
            self._process.start()
        self._enter(Phase.STARTING)  # only now: the fork server may have had to import torch first

    @property
    def sentinel(self) -> int:
        """What ``Clock.wait`` finds ready when the process has ended."""
        return self._process.sentinel

    @property
    def exit_code(self) -> int | None:
        """How it ended, negative for a signal; None while it runs."""
        return self._process.exitcode

    def assign(self, job: Job) -> None:
        """Send it a batch; where it has just died, its sentinel will tell."""
        self.job = job
        self._enter(Phase.ASSIGNED)
        with suppress(OSError):
            # A job is small and finds the buffer empty; should it ever not, the worker hangs, and we do not.
            self.channel.send(job, within=SENT_WITHIN)

    def began(self) -> None:
        """Note that it began its batch: from now on the batch's own time limit counts."""
        self._enter(Phase.RUNNING)

    def rest(self) -> Job | None:
        """Note that it waits for a batch, and return the one that it had."""
        job, self.job = self.job, None
        self._enter(Phase.IDLE)
        return job

    def deadline(self, patience: Patience, timeout: float) -> float:
        """Return the moment, by the clock, at which it is over the limit of what it is doing."""
        return self._since + patience.limit(self.phase, timeout)

    def is_stopped(self) -> bool:
        """Return whether somebody has stopped it (SIGSTOP, a debugger), as far as the system tells."""
        try:
            stat = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return False
        return stat.rpartition(")")[2].split()[0] in ("T", "t")

    def kill(self) -> None:
        """Kill it and everything that it has started; does not wait."""
        self.channel.close()
        if self._process.pid is not None:
            kill_group(self._process.pid, reaped=self.exit_code is not None)

    def join(self) -> None:
        """Wait until it is gone."""
        self._process.join(KILLED_WITHIN)

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self._since = self._clock.now()


def _process(arguments: tuple[socket.socket, PluginSources, Setting]) -> BaseProcess:
    """Return a process that is not started yet, and the fork server that will start it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    resource_tracker.ensure_running()  # the fork server would start it, and its own mask for that end ours
    # The fork server inherits the mask: until its imports are done, Ctrl-C would end it with a traceback.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with _one_thread():
            forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context.Process(target=worker.work, args=arguments, daemon=True)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let processes that start in the block, and their children, have one thread: no thread pool is ever made there."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def on_device(setting: Setting, index: int, devices: int) -> Setting:
    """Return the setting of worker ``index`` where there are several GPUs."""
    return replace(setting, device=f"cuda:{index % devices}") if setting.device == "cuda" else setting
