"""What runs batches: the events that an executor yields, and the one that runs them in this process."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from bench_core.environment import torch_facts
from bench_core.execute import interrupt
from bench_core.execute.batch import Row, Setting, TimeoutExceeded, failed_row, run_job
from bench_core.execute.guard import standard
from bench_core.plan import Job
from bench_core.plugins import Plugins

INSIST_EVERY = 1.0
"""Seconds between two reminders of a batch in this process that its time is over."""
FOR_EVER = 1e8
"""Seconds; a timer of the system may refuse to wait longer."""


@dataclass(frozen=True)
class Started:
    """A process is ready to compute; ``facts`` say on what."""

    facts: dict[str, Any]


@dataclass(frozen=True)
class Advanced:
    """A batch is under way; ``share`` of it is done."""

    job: Job
    share: float


@dataclass(frozen=True)
class Finished:
    """All trials of ``job`` have become rows."""

    job: Job
    rows: list[Row]


Event = Started | Advanced | Finished


class Executor(Protocol):
    """Runs batches and yields what happens; closing the iterator stops all work at once."""

    def run(self, jobs: Iterable[Job]) -> Generator[Event]:
        """Run every job."""


class Inline:
    """One batch after another in this process, one thread; for debugging and for embedding.

    What only another process can ward off is not warded off: a method that ends the process, or takes all memory.
    """

    def __init__(self, plugins: Plugins, setting: Setting, timeout: float) -> None:
        self._plugins, self._setting, self._timeout = plugins, setting, timeout

    def run(self, jobs: Iterable[Job]) -> Generator[Event]:
        """Run every job; whenever the caller has its turn, torch's settings and generators are the caller's."""
        with standard():
            facts = torch_facts(self._setting.device)
        yield Started(facts)
        for job in jobs:
            with interrupt.interruptible():
                rows = self._run(job)
            yield Finished(job, rows)

    def _run(self, job: Job) -> list[Row]:
        try:
            with _time_limit(self._timeout) as limit, interrupt.insistent():
                rows = run_job(job, self._plugins, self._setting)
            interrupt.check()
        except TimeoutExceeded:
            return self._after_timeout(job)
        # A method that catches everything may have caught this, too.
        return self._after_timeout(job) if limit.expired else rows

    def _after_timeout(self, job: Job) -> list[Row]:
        parts = singles(job)
        if not parts:
            return [failed_row(job, "timeout", timeout_reason(self._timeout))]
        return [row for part in parts for row in self._run(part)]


def singles(job: Job) -> list[Job]:
    """Return a job per trial, or nothing where it is one trial already.

    The trials run at width 1, as the row says: in a padded batch a trial would take as long as all of them together.
    """
    return [] if job.width == 1 else [Job(job.cell, (repeat,), 1) for repeat in job.repeats]


def timeout_reason(timeout: float) -> str:
    """Return the reason in the row of a trial that took too long."""
    return f"took longer than {timeout:g} s alone"


@dataclass
class _Limit:
    expired: bool = False


@contextmanager
def _time_limit(seconds: float) -> Iterator[_Limit]:
    """Raise ``TimeoutExceeded`` in the block after ``seconds``, where signals exist and reach this thread."""
    limit = _Limit()
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield limit
        return

    def expire(signum: int, frame: object) -> None:
        limit.expired = True
        raise TimeoutExceeded

    before = signal.signal(signal.SIGALRM, expire)
    # Again and again, for methods that catch everything.
    signal.setitimer(signal.ITIMER_REAL, min(seconds, FOR_EVER), INSIST_EVERY)
    try:
        yield limit
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
