"""Forks and returns twice, and leaves a child behind that sleeps."""

from __future__ import annotations

import os
import subprocess

from bench_core import Fit, Method, Trials, hookimpl


class Forks(Method):
    """Forks and returns twice, and leaves a child behind that sleeps."""

    name = "hostile_forks"

    def fit(self, trials: Trials) -> Fit:
        subprocess.Popen(["sleep", "3600"])
        os.fork()
        return Fit(answer=trials["truth"].clone())


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [Forks]
