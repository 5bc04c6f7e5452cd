"""``bench doctor``: is everything in place?"""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

import typer

from bench_core.cli.common import AsJson, Block, PluginDir, open_plugins


def doctor(
    as_json: AsJson = False,
    plugin_dir: PluginDir = [],  # noqa: B006 (Typer copies it)
    block: Block = [],  # noqa: B006
) -> None:
    """Print versions, devices, threads, suites and plugins, and what is wrong with any of them."""
    import torch

    from bench_core import __version__
    from bench_core.environment import PACKAGES, collect, torch_facts

    plugins = open_plugins(plugin_dir, block)
    _, env = collect(torch_facts("cuda" if torch.cuda.is_available() else "cpu"), plugins.loaded)
    found: dict[str, Any] = {
        "bench": __version__,
        "python": platform.python_version(),
        "packages": {name: env["packages"][name] or "missing" for name in PACKAGES},
        "cpu": f"{env['cpu']}, {os.cpu_count()} cores, {env['cpu_capability']}",
        "cuda": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] or "no device",
        "threads": "one per process: workers scale, thread pools on few cores do not",
        "plugins": f"{len(plugins.loaded)} loaded, {len(plugins.failures)} left out",
        "reference results": _reference(plugins, stale=False),
        "problems found": [str(failure) for failure in plugins.failures]
        + _broken_suites(plugins)
        + _reference(plugins, stale=True),
    }
    if as_json:
        typer.echo(json.dumps(found, indent=1))
    else:
        _print(found)
    raise typer.Exit(1 if found["problems found"] else 0)


def _broken_suites(plugins: Any) -> list[str]:
    """Return what is wrong with the suites of the checkout or the installation, plans included."""
    from bench_core.errors import BenchError
    from bench_core.plan import make_plan
    from bench_core.suite import load_suite
    from bench_core.suites import builtin_suites

    wrong = []
    for path in builtin_suites(Path.cwd()):
        try:
            make_plan(load_suite(path, quantities=plugins.quantities.items), plugins)
        except BenchError as error:
            wrong.append(str(error))
    return wrong


def _reference(plugins: Any, *, stale: bool) -> list[str]:
    """Return what reference results there are, or what is stale about them."""
    from bench_core.errors import BenchError
    from bench_core.reference import age, reference_runs
    from bench_core.suite import load_suite
    from bench_core.suites import builtin_suites

    told = []
    for path in builtin_suites(Path.cwd()):
        for run in reference_runs(path.stem, Path.cwd()):
            try:
                found = age(run, load_suite(path), plugins)
            except BenchError:  # the suite is broken, which is told already
                continue
            name = f"{path.stem}, seed {run.seed}"
            if stale:
                told += [f"reference results of {name} are stale: {each}" for each in found.stale]
            else:
                told += [f"{name}: {found.trials} trials" + "".join(f"; {each}" for each in found.changed)]
    return told


def _print(found: dict[str, Any]) -> None:
    for key, value in found.items():
        if isinstance(value, dict):
            value = ", ".join(f"{name} {version}" for name, version in value.items())
        if isinstance(value, list):
            value = "\n  ".join(["", *value]) if value else "none"
        typer.echo(f"{key}: {value}")
