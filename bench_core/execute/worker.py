"""A worker process: loads plugins by name, runs one batch after another, one thread."""

from __future__ import annotations

import os
import signal
import threading
import time
from multiprocessing import connection, parent_process
from typing import TYPE_CHECKING, Any

from bench_core.environment import torch_facts
from bench_core.errors import BenchError
from bench_core.execute.batch import Setting, run_job
from bench_core.plugins import PluginSources, load_plugins

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

REPORT_EVERY = 0.5
"""Seconds between two messages about the progress inside a batch."""


def work(link: Connection, sources: PluginSources, setting: Setting) -> None:
    """Serve jobs from ``link`` until it closes.

    Messages to the main process: ``("ready", facts)``, then per job ``("started", None)``, any number of
    ``("progress", share)`` and ``("rows", rows)``, or ``("stop", message)`` where the user must put something right.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to handle
    _die_with_parent()
    one_thread()
    plugins = load_plugins(sources)
    link.send(("ready", torch_facts(setting.device)))
    while True:
        try:
            job = link.recv()
        except EOFError:
            return
        link.send(("started", None))
        try:
            link.send(("rows", run_job(job, plugins, setting, _Reporter(link))))
        except BenchError as error:
            link.send(("stop", str(error)))


def one_thread() -> None:
    """Use one thread per process: two spinning thread pools on few cores slow each other down tenfold."""
    import torch

    torch.set_num_threads(1)


class _Reporter:
    def __init__(self, link: Connection) -> None:
        self._link, self._last = link, time.monotonic()

    def __call__(self, share: float) -> None:
        now = time.monotonic()
        if now - self._last >= REPORT_EVERY:
            self._last = now
            self._link.send(("progress", share))


def _die_with_parent() -> None:
    """Leave with the main process even in the middle of a batch, so that no orphan computes for nobody."""
    parent = parent_process()
    if parent is None:
        return

    def watch(sentinel: Any) -> None:
        connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, args=(parent.sentinel,), daemon=True).start()
