"""Starts ``bench`` again and again in a moment: each time a fork of one process that has imported everything.

What runs is the real ``main()`` with the real executors, and every run is a process of its own that can be killed. Only
the seconds of importing torch are spared, those of the fork server included: it is started once and serves all runs.

``python warm.py`` reads requests from standard input and answers each by one line of JSON; ``Warm`` is the other end.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

IDLE_THREADS = ("jemalloc_bg", "polars-ooc")
"""Threads that polars starts when it is imported. They wait, and hold no lock of which a fork would keep a copy."""
PARTS = ("cli", "discrepancies", "engines", "execute", "metrics", "problems", "report", "stats")


# ---- the process that has imported everything ------------------------------------------------------------------------


def serve() -> None:
    """Fork ``bench`` on every request that has ``start``, and reap a process on every other one."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # workers inherit it, and what they print is no answer
    _import_everything()
    _start_fork_server()
    print(json.dumps({"threads": _threads()}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        answer = _fork(request) if "start" in request else _wait(**request)
        print(json.dumps(answer), file=answers, flush=True)


def _import_everything() -> None:
    """Import what ``bench run`` and ``bench export`` use, without computing anything, which would start threads."""
    for package in ("bench_core", *(f"bench_core.{part}" for part in PARTS), "bench_plugins"):
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
            if not module.ispkg:
                importlib.import_module(module.name)
    for name in ("torch", "polars", "safetensors.torch", "scipy.stats", "torch._dynamo", "filelock", "rich.live"):
        importlib.import_module(name)


def _threads() -> list[str]:
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return [name for name in names if not name.startswith(IDLE_THREADS)][1:]


def _start_fork_server() -> None:
    from multiprocessing import forkserver

    from bench_core.execute.process import PRELOAD

    forkserver.set_forkserver_preload(PRELOAD)
    forkserver.ensure_running()


def _fork(request: dict[str, Any]) -> dict[str, int]:
    pid = os.fork()
    if pid:
        return {"pid": pid}
    try:
        code = _bench(request["start"], request["folder"], request["name"])
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _bench(arguments: list[str], folder: str, name: str) -> int:
    from multiprocessing import forkserver

    from bench_core.cli import main

    os.chdir(folder)
    for descriptor, kind in ((1, "out"), (2, "err")):
        file = os.open(f"{name}.{kind}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(file, descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    # The server is the parent's child, and running; asking whether it still does is allowed to the parent only.
    forkserver.ensure_running = forkserver._forkserver.ensure_running = lambda: None
    sys.argv = ["bench", *arguments]
    try:
        main()
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    return 0


def _wait(wait: int, seconds: float) -> dict[str, int | None]:
    deadline = time.monotonic() + seconds
    while True:
        pid, status = os.waitpid(wait, os.WNOHANG)
        if pid:
            return {"code": os.waitstatus_to_exitcode(status)}
        if time.monotonic() > deadline:
            return {"code": None}
        time.sleep(0.002)


# ---- the other end ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ended:
    """How a run of ``bench`` ended; the code of a killed one is minus its signal."""

    code: int
    out: str
    err: str


class Warm:
    """Starts ``bench`` in a moment."""

    def __init__(self, errors: Path) -> None:
        self.errors = errors
        """What workers write to standard error."""
        with errors.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        self._count = 0
        assert self._answer() == {"threads": []}  # a fork keeps one thread only, and the locks of all others

    def close(self) -> None:
        """End the process, its fork server with it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    @contextmanager
    def started(self, folder: Path, *arguments: str) -> Iterator[Started]:
        """Start ``bench ARGUMENTS…`` in ``folder``; whatever happens in the block, it does not outlive it."""
        self._count += 1
        name = f"command-{self._count}"
        for kind in ("out", "err"):  # it may be killed before it has made them
            (folder / f"{name}.{kind}").touch()
        pid = self._ask({"start": arguments, "folder": str(folder), "name": name})["pid"]
        started = Started(self, folder, name, pid)
        try:
            yield started
        finally:
            started.kill()

    def run(self, folder: Path, *arguments: str) -> Ended:
        """Run ``bench ARGUMENTS…`` in ``folder`` to its end."""
        with self.started(folder, *arguments) as started:
            return started.end()

    def workers(self) -> list[int]:
        """Return the worker processes that there are, whoever started them."""
        servers = [child for child in psutil.Process(self._process.pid).children() if "forkserver" in _command(child)]
        return [worker.pid for server in servers for worker in server.children()]

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self.errors.read_text()
        answer: dict[str, Any] = json.loads(line)
        return answer


class Started:
    """A ``bench`` that runs."""

    def __init__(self, warm: Warm, folder: Path, name: str, pid: int) -> None:
        self._warm, self._folder, self._name, self.pid = warm, folder, name, pid
        self._code: int | None = None

    @property
    def running(self) -> bool:
        return self._reap(0) is None

    def kill(self) -> int:
        """Kill it with -9, if it still runs, and return its exit code."""
        if self.running:
            os.kill(self.pid, signal.SIGKILL)
        return self.end().code

    def end(self, seconds: float = 120) -> Ended:
        """Wait for its end."""
        code = self._reap(seconds)
        assert code is not None, f"{self._name} still runs after {seconds} s"
        out, err = ((self._folder / f"{self._name}.{kind}").read_text() for kind in ("out", "err"))
        return Ended(code, out, err)

    def _reap(self, seconds: float) -> int | None:
        if self._code is None:
            self._code = self._warm._ask({"wait": self.pid, "seconds": seconds})["code"]
        return self._code


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


if __name__ == "__main__":
    serve()
