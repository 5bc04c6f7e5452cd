"""Worker processes that can be killed: as many as cores, or one per GPU, each with one thread."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing import connection
from typing import TYPE_CHECKING, Any

from bench_core.errors import BenchError
from bench_core.execute import worker
from bench_core.execute.batch import Setting, failed_row
from bench_core.execute.executor import Advanced, Event, Finished, Started, singles, timeout_reason
from bench_core.plan import Job

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from bench_core.plugins import PluginSources

PRELOAD = ["torch", "bench_core.execute.worker", "bench_core.engines.critic", "bench_core.report.formats"]
"""What the fork server imports once, so that a new worker costs milliseconds."""
DEATHS = 2
"""A batch whose worker dies this often is guilty, and so is a trial that is alone in it."""


def default_workers(device: str) -> int:
    """Return as many workers as this process may use cores, or as there are GPUs."""
    if device == "cuda":
        import torch

        return max(1, torch.cuda.device_count())
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass
class _Worker:
    process: BaseProcess
    link: Connection
    setting: Setting
    ready: bool = False
    job: Job | None = None
    started: float | None = None

    @property
    def idle(self) -> bool:
        return self.ready and self.job is None


@dataclass
class _State:
    """The batches of one run: what waits, and what trials that died have cost."""

    waiting: Iterator[Job]
    again: deque[Job] = field(default_factory=deque)
    deaths: dict[str, int] = field(default_factory=dict)
    """Batch -> how often a worker died of it."""
    narrowed: set[str] = field(default_factory=set)
    """Batches that are parts of one that killed its worker twice."""

    def next(self) -> Job | None:
        return self.again.popleft() if self.again else next(self.waiting, None)


class Processes:
    """Runs batches in worker processes.

    A worker that dies is replaced and its batch narrowed down to the guilty trial; a batch over its time limit is
    killed and its trials run alone. Rows come back to this process, which alone writes.
    """

    def __init__(self, sources: PluginSources, setting: Setting, timeout: float, workers: int) -> None:
        self._sources, self._setting, self._timeout, self._count = sources, setting, timeout, workers
        self._workers: list[_Worker] = []

    def run(self, jobs: Iterable[Job]) -> Generator[Event]:
        """Run every job; on any exit, Ctrl-C included, no worker is left."""
        state = _State(iter(jobs))
        try:
            self._workers = [self._start(index) for index in range(self._count)]
            while True:
                self._assign(state)
                # Every ready worker was just offered a batch: when none has one, none is left.
                if any(each.ready for each in self._workers) and not any(each.job for each in self._workers):
                    return
                yield from self._listen(state)
        finally:
            for each in self._workers:
                self._stop(each)

    def _assign(self, state: _State) -> None:
        for each in self._workers:
            if each.idle and (job := state.next()) is not None:
                each.job, each.started = job, None
                with suppress(OSError):  # it just died, which its sentinel will tell
                    each.link.send(job)

    def _listen(self, state: _State) -> Iterator[Event]:
        objects: list[Any] = [each.link for each in self._workers] + [each.process.sentinel for each in self._workers]
        happened = connection.wait(objects, self._patience())
        for index, each in enumerate(self._workers):
            if each.link in happened:
                yield from self._receive(each, state)
            elif each.process.sentinel in happened:
                yield from self._died(index, each, state)
            elif self._late(each):
                yield from self._too_slow(index, each, state)

    def _receive(self, each: _Worker, state: _State) -> Iterator[Event]:
        try:
            kind, content = each.link.recv()
        except (EOFError, OSError):
            yield from self._died(self._workers.index(each), each, state)
            return
        if kind == "ready":
            each.ready = True
            yield Started(content)
        elif kind == "started":
            each.started = time.monotonic()
        elif kind == "progress" and each.job is not None:
            yield Advanced(each.job, content)
        elif kind == "stop":
            raise BenchError(content)
        elif kind == "rows" and each.job is not None:
            job, each.job, each.started = each.job, None, None
            yield Finished(job, content)

    def _patience(self) -> float:
        """Return the seconds until the first batch is over its limit."""
        limits = [each.started + self._timeout for each in self._workers if each.started is not None]
        return max(0.0, min([*limits, time.monotonic() + 1.0]) - time.monotonic())

    def _late(self, each: _Worker) -> bool:
        return each.started is not None and time.monotonic() - each.started >= self._timeout

    def _too_slow(self, index: int, each: _Worker, state: _State) -> Iterator[Event]:
        job = each.job
        self._replace(index, each)
        if job is None:
            return
        parts = singles(job)
        state.again.extend(parts)
        if not parts:
            yield Finished(job, [failed_row(job, "timeout", timeout_reason(self._timeout))])

    def _died(self, index: int, each: _Worker, state: _State) -> Iterator[Event]:
        each.process.join()
        code = each.process.exitcode
        if not each.ready:
            raise BenchError(f"a worker process ended before it was ready (exit code {code}); try --executor inline")
        job = each.job
        self._replace(index, each)
        if job is None:
            return
        deaths = state.deaths[job.name] = state.deaths.get(job.name, 0) + 1
        alone = len(job.repeats) == 1
        if deaths < DEATHS and (alone or job.name not in state.narrowed):
            state.again.append(job)  # perhaps the machine's fault; a long fit goes on from its checkpoint
        elif not alone:
            halves = job.halves()
            state.narrowed.update(half.name for half in halves)
            state.again.extend(halves)
        else:
            yield Finished(job, [failed_row(job, "error", f"its worker process died ({_how(code)})")])

    def _start(self, index: int) -> _Worker:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOAD)
        # Before the fork server starts, so that no thread pool is ever made.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        ours, theirs = context.Pipe()
        setting = self._setting
        if setting.device == "cuda":
            setting = replace(setting, device=f"cuda:{index % default_workers('cuda')}")
        process = context.Process(target=worker.work, args=(theirs, self._sources, setting), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours, setting)

    def _replace(self, index: int, each: _Worker) -> None:
        self._stop(each)
        self._workers[index] = self._start(index)

    @staticmethod
    def _stop(each: _Worker) -> None:
        each.link.close()
        each.process.kill()
        each.process.join()


def _how(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
