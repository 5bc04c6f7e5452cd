"""What a check is, what comes out of it, and how it is run: alone, under the settings of a run and a time limit."""

from __future__ import annotations

import signal
import sysconfig
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Generic, Literal, TypeVar

from bench_core.errors import BenchError
from bench_core.execute.guard import standard

TIME_LIMIT = 60.0
"""Seconds that one check may take."""
HOME = Path(__file__).resolve().parents[1]

Status = Literal["passed", "failed", "skipped"]
Lab = TypeVar("Lab")


class ViolationError(Exception):
    """The contract is broken: what was required, what came, and the cure."""

    def __init__(self, required: str, came: str, cure: str) -> None:
        super().__init__(f"required {required}, got {came}")
        self.required, self.came, self.cure = required, came, cure


class NotApplicableError(Exception):
    """The check has nothing to look at; the message says why."""


class ContractError(AssertionError):
    """Checks failed; the message is their report."""


class TimeIsUp(BaseException):
    """The check took too long. No ``Exception``: the plugin's own ``except`` must not catch it."""


@dataclass
class Subject:
    """What is checked, and whether it once took so long that the rest is not tried."""

    kind: str
    """``method``, ``problem`` or ``metric``."""
    name: str
    source: str
    """The plugin's file or distribution."""
    hung: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Result:
    """How a check ended.

    Attributes:
        check: the check.
        status: ``passed``, ``failed`` or ``skipped``.
        required: what the contract demands, where it failed.
        came: what came instead.
        cure: what usually puts it right.
        reason: why it was skipped.
        seconds: how long it took.
    """

    check: Check
    status: Status
    required: str = ""
    came: str = ""
    cure: str = ""
    reason: str = ""
    seconds: float = 0.0

    def __str__(self) -> str:
        head = f"{self.check}: {self.status}"
        if self.status == "failed":
            return f"{head}\n  required: {self.required}\n  came:     {self.came}\n  cure:     {self.cure}"
        return f"{head} ({self.reason})" if self.reason else head


@dataclass(frozen=True)
class Check:
    """One demand on one subject.

    Attributes:
        subject: the method, problem or metric.
        name: short name of the demand.
        demands: what it demands, in one sentence.
        body: raises when the demand is not met.
    """

    subject: Subject
    name: str
    demands: str
    body: Callable[[], None] = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.subject}: {self.name}"

    def run(self, timeout: float = TIME_LIMIT) -> Result:
        """Run the check as in a run and return how it ended; only an interrupt by the user is raised."""
        if self.subject.hung:
            return Result(self, "skipped", reason="an earlier check took too long")
        started = time.perf_counter()
        found = self._outcome(timeout)
        return Result(self, **found, seconds=time.perf_counter() - started)

    def _outcome(self, timeout: float) -> dict[str, Any]:
        where = ["", ""]
        try:
            with standard(), time_limit(timeout, where):
                self.body()
        except NotApplicableError as skip:
            return {"status": "skipped", "reason": str(skip)}
        except BenchError as missing:  # data that are not there, a device that is not there
            return {"status": "skipped", "reason": str(missing)}
        except ViolationError as found:
            return failed(found.required, found.came, found.cure)
        except TimeIsUp:
            self.subject.hung = True
            return failed(
                f"to finish within {timeout:g} s",
                f"it was still running{where[0]}",
                "name parameters that make a small instance in the class attribute `quick`, or raise --timeout; "
                "if it hangs, find out why",
            )
        except (Exception, SystemExit) as error:  # whatever somebody's code raises is what this check found
            return failed("no exception", describe(error), "see the line where it was raised")
        return {"status": "passed"}


def failed(required: str, came: str, cure: str) -> dict[str, Any]:
    """Return the fields of a failed result."""
    return {"status": "failed", "required": required, "came": came, "cure": cure}


@dataclass(frozen=True)
class Report:
    """The results of several checks, in their order."""

    results: tuple[Result, ...]

    @property
    def failed(self) -> list[Result]:
        """Those that failed."""
        return [result for result in self.results if result.status == "failed"]

    def count(self, status: Status) -> int:
        """Return how many ended so."""
        return sum(result.status == status for result in self.results)

    def raise_if_failed(self) -> None:
        """Raise with the report of all failures, where there is one.

        Raises:
            ContractError: at least one check failed.
        """
        if self.failed:
            raise ContractError("\n".join(str(result) for result in self.failed))

    def __str__(self) -> str:
        return "\n".join(str(result) for result in self.results)


class Contract(Generic[Lab]):
    """The demands on one kind of thing, in the order in which they are checked."""

    def __init__(self) -> None:
        self.demands: list[tuple[str, str, Callable[[Lab], None]]] = []

    def demand(self, name: str, sentence: str) -> Callable[[Callable[[Lab], None]], Callable[[Lab], None]]:
        """Add the decorated function: it gets the laboratory of a subject and raises ``ViolationError``."""

        def add(function: Callable[[Lab], None]) -> Callable[[Lab], None]:
            self.demands.append((name, sentence, function))
            return function

        return add

    def checks(self, subject: Subject, lab: Lab) -> list[Check]:
        """Return a check per demand."""
        return [
            Check(subject, name, sentence, lambda function=function: function(lab))  # type: ignore[misc]
            for name, sentence, function in self.demands
        ]


def run_all(checks: Iterable[Check], timeout: float = TIME_LIMIT) -> Report:
    """Run checks one after another."""
    return Report(tuple(check.run(timeout) for check in checks))


def describe(error: BaseException) -> str:
    """Return an exception in one line, with the innermost line of the plugin's own code that it passed through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_of_a_plugin(frame.filename)]
    place = f" ({_place(frames[-1].filename, frames[-1].lineno)})" if frames else ""
    return " ".join(f"{type(error).__name__}: {error}{place}".split())


def _is_of_a_plugin(file: str) -> bool:
    path = Path(file)
    ours = path.is_relative_to(HOME) or path.is_relative_to(sysconfig.get_path("stdlib"))
    return not ours and "site-packages" not in path.parts and not file.startswith("<")


def _place(file: str, line: int | None) -> str:
    return f"{Path(file).name}, line {line}"


@contextmanager
def time_limit(seconds: float, where: list[str]) -> Iterator[None]:
    """Raise ``TimeIsUp`` in the block after ``seconds``, where signals exist and reach this thread.

    Args:
        seconds: the limit.
        where: its first entry becomes the place in the plugin that was executing.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def expire(signum: int, frame: FrameType | None) -> None:
        where[0] = _running_at(frame)
        raise TimeIsUp(f"it took longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _running_at(frame: FrameType | None) -> str:
    while frame is not None and frame.f_code.co_filename != __file__:
        if _is_of_a_plugin(frame.f_code.co_filename):
            return f" at {_place(frame.f_code.co_filename, frame.f_lineno)}"
        frame = frame.f_back
    return ""
