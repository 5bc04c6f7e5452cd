"""A worker process: loads plugins by name, runs one batch after another, one thread."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
import time
from contextlib import suppress
from multiprocessing import connection, forkserver, parent_process
from typing import Any

from bench_core.environment import torch_facts
from bench_core.errors import BenchError
from bench_core.execute import memory
from bench_core.execute.batch import DeviceLostError, Setting, run_job
from bench_core.execute.channel import Channel
from bench_core.execute.output import flush_c, to_log
from bench_core.plan import Job
from bench_core.plugins import PluginSources, load_plugins

REPORT_EVERY = 0.5
"""Seconds between two messages about the progress inside a batch."""
DEVICE_LOST = 74
"""Exit code of a worker whose GPU does not answer any more."""


def work(link: socket.socket, sources: PluginSources, setting: Setting) -> None:
    """Serve jobs from ``link`` until it closes.

    Messages to the main process: ``("ready", facts)``, then per job ``("started", None)``, any number of
    ``("progress", share)`` and ``("rows", rows)``, or ``("stop", message)`` where the user must put something right.
    """
    _stand_alone()
    log = to_log(setting.log)
    memory.offer_first()
    channel = Channel(link)
    plugins = load_plugins(sources)
    memory.limit(setting.memory)  # only now: what plugins import is no part of a worker's share
    one_thread()
    channel.send(("ready", torch_facts(setting.device)))
    while True:
        try:
            job = channel.receive()
        except (EOFError, OSError):
            return
        channel.send(("started", None))
        log.announce(_title(job))
        try:
            channel.send(("rows", run_job(job, plugins, setting, _Reporter(channel))))
        except DeviceLostError:  # for the whole process; the batch is narrowed down on fresh ones
            log.flush()
            flush_c()
            os._exit(DEVICE_LOST)
        except BenchError as error:
            channel.send(("stop", str(error)))
        log.flush()
        flush_c()


def one_thread() -> None:
    """Use one thread per process: two spinning thread pools on few cores slow each other down tenfold."""
    import torch

    torch.set_num_threads(1)


class _Reporter:
    def __init__(self, channel: Channel) -> None:
        self._channel, self._last = channel, time.monotonic()

    def __call__(self, share: float) -> None:
        now = time.monotonic()
        if now - self._last >= REPORT_EVERY:
            self._last = now
            self._channel.send(("progress", float(share)))


def _title(job: Job) -> str:
    return f"{job.cell.label}, repeats {job.repeats[0]} to {job.repeats[-1]}"


def _stand_alone() -> None:
    """Lead a group of processes that ends with this one, and end with the main process."""
    # What a method starts stays in the group, which is killed as a whole. Ctrl-C on the terminal does not reach it.
    with suppress(OSError):
        os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process's to handle
    # A method may start processes, as torch's data loaders do. To the main process this one is daemonic all the same:
    # should it end in a way that nobody thought of, it does not wait for its workers.
    multiprocessing.current_process().daemon = False
    _release_fork_server()
    _die_with_parent()


def _release_fork_server() -> None:
    """Close our end of the pipe that keeps the fork server going, so that it ends with the main process."""
    server = getattr(forkserver, "_forkserver", None)
    descriptor = getattr(server, "_forkserver_alive_fd", None)
    if server is not None and descriptor is not None:
        os.close(descriptor)
        server._forkserver_alive_fd = None


def _die_with_parent() -> None:
    """Leave with the main process even in the middle of a batch, so that no orphan computes for nobody."""
    parent = parent_process()
    if parent is None:
        return

    def watch(sentinel: Any) -> None:
        connection.wait([sentinel])
        if os.getpgrp() == os.getpid():
            os.killpg(os.getpid(), signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, args=(parent.sentinel,), daemon=True).start()
