"""What a method raised, as text that can be stored and printed, whatever it is."""

from __future__ import annotations

import errno
import re
import traceback

from bench_core.yamlfile import visible

__all__ = ["describe", "message", "no_room", "reason"]

KEPT = "\n\t"
"""Characters that are no print and stay: reasons and tracebacks have lines."""
_NO_ROOM = re.compile("No space left on device|Disk quota exceeded", re.I)
LONGEST_REASON = 2_000
LONGEST_TRACEBACK = 20_000
"""Characters that are stored: a method may raise a message as long as its data."""


def describe(error: BaseException) -> tuple[str, str]:
    """Return reason and traceback of ``error``."""
    words = message(error)
    name = type(error).__name__
    trace = visible(_traceback(error)[-LONGEST_TRACEBACK:], keep=KEPT)[-LONGEST_TRACEBACK:]
    return reason(f"{name}: {words}" if words else name), trace


def reason(text: str) -> str:
    """Return ``text`` as a row stores it, without what would confuse a terminal or cannot be written as UTF-8."""
    return visible(text[:LONGEST_REASON], keep=KEPT)[:LONGEST_REASON]


def message(error: BaseException) -> str:
    """Return the message of ``error``; one that cannot be made is no reason to lose a trial."""
    try:
        return str(error)
    except Exception as worse:
        return f"(its message raised {type(worse).__name__})"


def no_room(error: BaseException) -> BaseException | None:
    """Return what says that a disk is full, or a quota, or shared memory: ``error`` or what has led to it."""
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or any(each is other for other in seen):
            continue
        if isinstance(each, OSError) and each.errno in (errno.ENOSPC, errno.EDQUOT):
            return each
        if _NO_ROOM.search(message(each)):  # libraries in C and Rust have errors of their own
            return each
        seen.append(each)
        waiting += [each.__context__, each.__cause__]
    return None


def _traceback(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # as above
        return "".join(traceback.format_tb(error.__traceback__))
