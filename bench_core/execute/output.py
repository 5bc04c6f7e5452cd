"""What methods print: it goes to the run's log, since tables and the live view own the terminal."""

from __future__ import annotations

import ctypes
import faulthandler
import io
import os
import sys
from contextlib import suppress
from pathlib import Path

__all__ = ["LIMIT", "Log", "size", "to_log"]

LIMIT = 16 << 20
"""Characters that one process keeps in the log: a method that prints in its loop must not fill the disk."""


class Log(io.TextIOWrapper):
    """The standard output and error of a worker.

    A line of its own says which batch printed what follows. A full disk costs what is printed and never a trial.

    Args:
        descriptor: where to write.
    """

    def __init__(self, descriptor: int) -> None:
        raw = io.FileIO(descriptor, "w", closefd=False)
        super().__init__(io.BufferedWriter(raw), encoding="utf-8", errors="backslashreplace", line_buffering=True)
        self._title = ""
        self._left = LIMIT

    def announce(self, title: str) -> None:
        """Put ``title`` above the next thing that is printed, if there is one."""
        self._title = title

    def write(self, text: str) -> int:
        """Write as much of ``text`` as the log keeps."""
        title, self._title = (self._title, "") if text.strip() else ("", self._title)
        kept = (f"[{title}]\n{text}" if title else text)[: self._left]
        if kept:
            self._left -= len(kept)
            end = "" if self._left else "\n[no more of what this process prints is kept]\n"
            with suppress(OSError):
                super().write(kept + end)
        return len(text)

    def flush(self) -> None:
        """Write what is buffered, that of libraries in C included."""
        with suppress(OSError, ValueError):  # a full disk; or closed, at the very end
            super().flush()


def to_log(path: Path | None) -> Log:
    """Send whatever this process prints, from Python or not, to the end of ``path``, or else to standard error."""
    target = 2
    if path is not None:
        with suppress(OSError):
            target = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.dup2(target, 1)
    if target != 2:
        os.dup2(target, 2)
        os.close(target)
    log = Log(1)
    sys.stdout = sys.stderr = log
    faulthandler.enable(2, all_threads=False)  # where a crash in C happened
    return log


def flush_c() -> None:
    """Write what libraries in C have printed and still buffer; a worker ends by a kill, which would lose it."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).fflush(None)


def size(path: Path) -> int:
    """Return the bytes in a log; 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
