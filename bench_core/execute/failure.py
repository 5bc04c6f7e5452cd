"""What a method raised, as text that can be stored and printed, whatever it is."""

from __future__ import annotations

import traceback

from bench_core.yamlfile import visible

__all__ = ["describe", "message", "reason"]

KEPT = "\n\t"
"""Characters that are no print and stay: reasons and tracebacks have lines."""
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


def _traceback(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # as above
        return "".join(traceback.format_tb(error.__traceback__))
