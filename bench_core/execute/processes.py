"""Worker processes that can be killed: as many as cores, or one per GPU, each with one thread."""

from __future__ import annotations

import os
import signal
import socket
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bench_core.errors import BenchError
from bench_core.execute import cgroups, interrupt
from bench_core.execute.batch import Setting, failed_row
from bench_core.execute.executor import Advanced, Event, Finished, Started, singles, timeout_reason
from bench_core.execute.memory import share_of
from bench_core.execute.process import Clock, Patience, Phase, WorkerProcess, on_device
from bench_core.plan import Job

if TYPE_CHECKING:
    from bench_core.plugins import PluginSources

DEATHS = 2
"""A batch whose worker dies this often is guilty, and so is a trial that is alone in it."""
KILLS = 3
"""The same for workers that were killed or stopped from outside, which is more often the machine's doing."""
BY_OTHERS = {None, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP}
"""Exit codes of workers that were killed from outside; what crashes by itself ends otherwise."""
FAULTS = 3
"""Faults of the machine in a row, per worker, after which the run gives up: nothing gets finished any more."""
SPARE_FILES = 16
"""Files that must be free to be opened before a worker is started: it takes half, and rows are stored in files, too."""
LOOK_EVERY = 0.25
"""Seconds after which all workers are looked at, though none has said anything; a stop of this process costs a batch
no more of its time limit than this."""


def default_workers(device: str) -> int:
    """Return as many workers as this process may keep cores busy, or as there are GPUs."""
    if device == "cuda":
        import torch

        return max(1, torch.cuda.device_count())
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([found, *cgroups.cores()])


@dataclass
class _State:
    """The batches of one run: what waits, and what trials that died have cost."""

    waiting: Iterator[Job]
    again: deque[Job] = field(default_factory=deque)
    deaths: dict[str, int] = field(default_factory=dict)
    """Batch -> how often a worker died of it."""
    narrowed: set[str] = field(default_factory=set)
    """Batches that are parts of one that killed its worker twice."""
    faults: int = 0
    """Workers in a row that failed where no method was at work."""

    def next(self) -> Job | None:
        return self.again.popleft() if self.again else next(self.waiting, None)


class Processes:
    """Runs batches in worker processes.

    A worker that dies is replaced and its batch narrowed down to the guilty trial; a batch over its time limit is
    killed and its trials run alone. A worker that hangs or dies where no method is at work is the machine's fault: its
    batch runs on another one. Rows come back to this process, which alone writes.

    Args:
        sources: plugins that the workers load.
        setting: where batches run; without ``memory``, each worker on the CPU gets its share of the machine's.
        timeout: limit of a batch in seconds.
        workers: number of processes.
        patience: how long a worker may take for everything else.
    """

    def __init__(
        self,
        sources: PluginSources,
        setting: Setting,
        timeout: float,
        workers: int,
        patience: Patience = Patience(),  # noqa: B008 (frozen)
    ) -> None:
        if setting.memory is None and setting.device == "cpu":
            setting = replace(setting, memory=share_of(workers))
        self._sources, self._setting, self._timeout, self._count = sources, setting, timeout, workers
        self._patience = patience
        self._devices = default_workers(setting.device) if setting.device == "cuda" else 1
        self._clock = Clock()
        self._workers: list[WorkerProcess] = []

    def run(self, jobs: Iterable[Job]) -> Generator[Event]:
        """Run every job; on any exit, Ctrl-C included, no worker is left, nor anything that it has started.

        Raises:
            BenchError: what the user must put right, and machines on which no worker gets anything done.
        """
        state = _State(iter(jobs))
        self._workers = []
        try:
            for index in range(self._count):
                self._workers.append(self._start(index))
            while True:
                interrupt.check()
                self._assign(state)
                # Every idle worker was just offered a batch: when none has one, none is left.
                phases = {each.phase for each in self._workers}
                if Phase.IDLE in phases and phases <= {Phase.IDLE, Phase.STARTING}:
                    return
                yield from self._listen(state)
        finally:
            with interrupt.held():
                for each in self._workers:
                    each.kill()
                for each in self._workers:
                    each.join()

    def _assign(self, state: _State) -> None:
        for each in self._workers:
            if each.phase is Phase.IDLE and (job := state.next()) is not None:
                each.assign(job)

    def _listen(self, state: _State) -> Iterator[Event]:
        objects: list[Any] = [each.channel for each in self._workers] + [each.sentinel for each in self._workers]
        next_deadline = min(each.deadline(self._patience, self._timeout) for each in self._workers)
        happened = self._clock.wait(objects, min(LOOK_EVERY, max(0.0, next_deadline - self._clock.now())))
        for index, each in enumerate(self._workers):
            if each.channel in happened or each.sentinel in happened:
                yield from self._receive(index, each, state)
            elif self._clock.now() >= each.deadline(self._patience, self._timeout):
                yield from self._over_limit(index, each, state)

    def _receive(self, index: int, each: WorkerProcess, state: _State) -> Iterator[Event]:
        messages = each.channel.arrived()
        while True:
            try:
                kind, content = next(messages)
            except StopIteration:
                # A process that it has left behind may hold the channel open.
                if each.exit_code is None:
                    return
                break
            except Exception:  # the end; or no message of ours, whatever the cause
                break
            yield from self._hear(each, kind, content, state)
        yield from self._died(index, each, state)

    def _hear(self, each: WorkerProcess, kind: str, content: Any, state: _State) -> Iterator[Event]:
        if kind == "ready":
            each.rest()
            yield Started(content)
        elif kind == "started":
            each.began()
        elif kind == "progress" and each.job is not None:
            yield Advanced(each.job, content)
        elif kind == "stop":
            raise BenchError(content)
        elif kind == "rows" and (job := each.rest()) is not None:
            state.faults = 0
            yield Finished(job, content)

    def _over_limit(self, index: int, each: WorkerProcess, state: _State) -> Iterator[Event]:
        phase, job, stopped = each.phase, each.job, each.is_stopped()
        self._replace(index, each)
        if phase is Phase.STARTING:
            self._fault(state, f"was not ready after {self._patience.starting:g} s")
        elif job is None:
            return
        elif phase is Phase.ASSIGNED:
            state.again.append(job)
            self._fault(state, f"did not answer for {self._patience.assigned:g} s")
        elif stopped:  # which took its time, and not the method
            yield from self._once_more(job, state, KILLS, "its worker process was stopped")
        else:
            parts = singles(job)
            state.again.extend(parts)
            if not parts:
                yield Finished(job, [failed_row(job, "timeout", timeout_reason(self._timeout))])

    def _died(self, index: int, each: WorkerProcess, state: _State) -> Iterator[Event]:
        each.kill()  # whatever it has left behind, and itself where only its channel is closed
        each.join()
        phase, job, code = each.phase, each.job, each.exit_code
        self._replace(index, each)
        if phase is Phase.STARTING:
            self._fault(state, f"ended before it was ready ({_how(code)})")
        elif job is None:
            return
        elif phase is Phase.ASSIGNED:
            state.again.append(job)
            self._fault(state, f"ended before it began its batch ({_how(code)})")
        else:
            bound = KILLS if code in BY_OTHERS else DEATHS
            yield from self._once_more(job, state, bound, f"its worker process died ({_how(code)})")

    def _once_more(self, job: Job, state: _State, bound: int, reason: str) -> Iterator[Event]:
        """Let a batch run again that its worker did not survive, the second time in halves."""
        deaths = state.deaths[job.name] = state.deaths.get(job.name, 0) + 1
        alone = len(job.repeats) == 1
        if deaths < bound and (alone or job.name not in state.narrowed):
            state.again.append(job)  # perhaps the machine's fault; a long fit goes on from its checkpoint
        elif not alone:
            halves = job.halves()
            state.narrowed.update(half.name for half in halves)
            state.again.extend(halves)
        else:
            yield Finished(job, [failed_row(job, "error", reason)])

    def _fault(self, state: _State, what: str) -> None:
        """Count a fault of the machine.

        Raises:
            BenchError: when nothing but faults has happened for long.
        """
        state.faults += 1
        if state.faults >= FAULTS * self._count:
            where = f"; {self._setting.log} may tell why" if self._setting.log else ""
            raise BenchError(
                f"worker processes fail again and again: the last one {what}{where}; try --executor inline"
            )

    def _start(self, index: int) -> WorkerProcess:
        try:
            _check_files()
            return WorkerProcess(self._sources, on_device(self._setting, index, self._devices), self._clock)
        except (OSError, EOFError) as error:  # no more files, or no more processes, the fork server's own included
            raise BenchError(f"cannot start {self._count} worker processes: {error}; use a smaller --workers") from None

    def _replace(self, index: int, each: WorkerProcess) -> None:
        each.kill()
        each.join()
        self._workers[index] = self._start(index)


def _check_files() -> None:
    """Raise OSError where few files can be opened, before the fork server is left in the middle of a request."""
    with ExitStack() as opened:
        for _ in range(SPARE_FILES):
            opened.enter_context(socket.socket(socket.AF_UNIX))


def _how(code: int | None) -> str:
    if code is None:
        return "no exit code"
    return f"signal {-code}" if code < 0 else f"exit code {code}"
