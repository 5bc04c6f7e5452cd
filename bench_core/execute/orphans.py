"""Preloaded by the fork server: when the main process is gone, so are the workers and all that they have started.

A worker watches its main process by itself. But one that is stopped, or computes in C and lets no other thread run,
sees nothing; the fork server, which is their parent, then ends them all.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

__all__ = ["kill_group"]


def kill_group(process: int, *, reaped: bool = False) -> None:
    """Kill ``process`` and all of its group, whose leader it is, at once; no error where nothing of it is left to kill.

    Args:
        process: its id.
        reaped: it is known to have ended; its id may be another's by now, but no other group's while its own exists.
    """
    try:
        os.killpg(process, signal.SIGKILL)
    except ProcessLookupError:
        if not reaped:
            with suppress(ProcessLookupError, PermissionError):  # a worker that has no group of its own yet
                os.kill(process, signal.SIGKILL)
    except PermissionError:  # all that is left runs as another user
        pass


def _end_children(server: int) -> None:
    if os.getpid() != server:
        return
    with suppress(OSError):  # no /proc, or one without this file
        for child in Path(f"/proc/self/task/{server}/children").read_text(encoding="ascii").split():
            kill_group(int(child))


if any("multiprocessing.forkserver" in argument for argument in sys.orig_argv):
    # The fork server ends when nobody holds the other end of a pipe of its: workers give theirs up, see worker.py.
    atexit.register(_end_children, os.getpid())
