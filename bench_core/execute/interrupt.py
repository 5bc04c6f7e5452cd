"""Ctrl-C and SIGTERM: the first one stops the work, none disturbs what must be finished, such as storing rows."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

__all__ = ["Stop", "check", "held", "insistent", "interruptible"]


class Stop(KeyboardInterrupt):
    """The user stopped the work; a ``KeyboardInterrupt`` that no method can have raised."""


@dataclass
class _State:
    """What the handlers know. It is the process's, as handlers are."""

    listening: bool = False
    requested: bool = False
    raised: bool = False
    insistent: bool = False
    held: int = 0


_state = _State()


@contextmanager
def interruptible(*, final: bool = False) -> Iterator[None]:
    """Raise ``Stop`` in the block at the first SIGINT or SIGTERM; later ones are ignored, so that clean-up is in peace.

    Nothing changes in another thread than the main one, in a block inside such a block, nor for signals that the
    process was told to ignore.

    Args:
        final: the process ends with the block; once stopped, it stays deaf, since at that time any signal would end it
            with a traceback.
    """
    if _state.listening or threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.listening, _state.requested, _state.raised = True, False, False
    before: dict[signal.Signals, Any] = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, _handle)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if final and _state.requested else handler)
        _state.listening = False


@contextmanager
def held() -> Iterator[None]:
    """Put a stop off until the block has ended."""
    _state.held += 1
    try:
        yield
    finally:
        _state.held -= 1
    if _state.listening and _state.requested and not (_state.raised or _state.held):
        _raise()


@contextmanager
def insistent() -> Iterator[None]:
    """Raise ``Stop`` at every signal while code of others runs, since that may have swallowed the first."""
    _state.insistent = True
    try:
        yield
    finally:
        _state.insistent = False


def check() -> None:
    """Raise ``Stop`` where one was asked for: the first may have got lost, as exceptions do in finalisers."""
    if _state.listening and _state.requested:
        _raise()


def _handle(number: int, frame: FrameType | None) -> None:
    _state.requested = True
    if not _state.held and (_state.insistent or not _state.raised):
        _raise()


def _raise() -> None:
    _state.raised = True
    raise Stop
