"""Writes to standard output and error in every way."""

from __future__ import annotations

import ctypes
import os
import sys
import warnings

from bench_core import Fit, Method, Trials, hookimpl


class Prints(Method):
    """Writes to standard output and error in every way."""

    name = "hostile_prints"

    def fit(self, trials: Trials) -> Fit:
        print("hostile: print")
        os.write(1, b"hostile: os.write\n")
        os.system("echo hostile: echo")
        ctypes.CDLL(None).puts(b"hostile: puts")
        warnings.warn("hostile: a warning", stacklevel=1)
        sys.stderr.write("hostile: stderr\n")
        return Fit(answer=trials["truth"].clone())


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [Prints]
