"""The two kinds of error: what the user can act on (``BenchError``), and everything else, which is our bug."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BenchError(Exception):
    """Something that the user can put right: one message, no traceback, exit code 2."""


class SuiteError(BenchError):
    """A suite file that says something impossible; the message names file, line and key."""


class PluginError(BenchError):
    """A plugin that does not load, or that a suite needs and that is not there."""


def suggest(name: str, known: Iterable[str]) -> str:
    """Return the tail of an unknown-name message: the nearest known name, then all of them.

    >>> suggest("gausian_cov", ["gaussian_cov", "gaussian_mean"])
    "; did you mean 'gaussian_cov'? (known: gaussian_cov, gaussian_mean)"
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{hint} (known: {', '.join(names) or 'none'})"
