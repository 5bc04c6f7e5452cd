"""``bench new``: a plugin that works at once, with its test."""

from __future__ import annotations

import importlib.util
import keyword
import os
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Annotated

import typer

from bench_core.cli.common import Block, PluginDir, open_plugins

if TYPE_CHECKING:
    from bench_core.methods import Method
    from bench_core.plugins import Plugins

NAME = re.compile(r"[a-z](?:[a-z0-9_]{0,38}[a-z0-9])?")

PROJECT = """\
[tool.bench]
# Marks this folder: `bench`, started in it or below, loads the plugins in plugins/.
"""

PACKAGE = Template("""\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "$dashed"
version = "0.1.0"
description = "The $kind $name for bench"
requires-python = ">=3.11"
dependencies = ["distribution-fit-bench"]

[project.optional-dependencies]
test = ["pytest"]

# What makes it a plugin: the group, any name, and the module with the hooks.
[project.entry-points.bench_core]
$name = "$name"

[tool.setuptools]
py-modules = ["$name"]
""")

README = Template("""\
# $name

A $kind for `bench`: once it is installed, `bench list` shows it.

    bench check $name
    pytest
""")

TEST = Template('''\
"""The contract that every $kind keeps, one test per check."""

from pathlib import Path

from bench_core.testing import contract_tests

test_contract = contract_tests(Path(__file__).resolve().parents[$up] / $path)
''')

SUITE = Template("""\
name: $name
title: A first look at $name
seed: 0
trials: 20
problems:
  - name: $problem
    params: {d: 4}
    grid: {m: [50, 100]}
methods:
$methods
metrics: [$metrics]
report: {metric: $metric, x: m}
""")


class Kind(StrEnum):
    """What can be made."""

    METHOD = "method"
    PROBLEM = "problem"
    METRIC = "metric"


@dataclass(frozen=True)
class Place:
    """Where the files go, all below ``root``, and how the plugin is found from there."""

    root: Path
    plugin: str
    test: str
    suite: str
    files: Mapping[str, str]
    """What else is written: path -> text."""
    option: str
    """What `bench run` needs to find the plugin."""


def new(
    kind: Annotated[Kind, typer.Argument(help="What to make.", show_default=False)],
    name: Annotated[str, typer.Argument(help="Its name: lower-case letters, digits and _.", show_default=False)],
    package: Annotated[bool, typer.Option("--package", help="A folder NAME/ that pip installs.")] = False,
    plugin_dir: PluginDir = [],  # noqa: B006 (Typer copies it)
    block: Block = [],  # noqa: B006
) -> None:
    """Write a method, problem or metric that works at once, with a test of its contract."""
    plugins = open_plugins(plugin_dir, block)
    _require_free(name, plugins)
    place = _package(kind, name) if package else _project(name)
    files = {**place.files, place.plugin: _render(kind, name), place.test: _test(kind, place)}
    if kind is not Kind.METHOD:
        files[place.suite] = _suite(kind, name, plugins)
    _write(place.root, files)
    for path in files:
        typer.echo(f"wrote {_shown(place.root / path)}")
    typer.echo("\nNext:")
    for command in _commands(kind, name, place, package=package):
        typer.echo(f"  {command}")


# ---- the name --------------------------------------------------------------------------------------------------------


def _require_free(name: str, plugins: Plugins) -> None:
    """Require a name that a file, a module, a suite and a command line can hold, and that nothing else bears."""
    from bench_core.errors import BenchError

    if not NAME.fullmatch(name):
        raise BenchError(
            f"{name!r} is no name for a plugin: give at most 40 lower-case letters, digits and '_', "
            "a letter first and no '_' last"
        )
    if keyword.iskeyword(name) or name in sys.stdlib_module_names:
        raise BenchError(f"{name!r} is a word or a module of Python; choose another name")
    for offers in (plugins.methods, plugins.problems, plugins.metrics):
        if name in offers:
            raise BenchError(f"the {offers.kind} {name!r} is there already, from {offers.owners[name].source}")
    if any(info.name == name for info in plugins.loaded):
        raise BenchError(f"a plugin {name!r} is loaded already; choose another name")
    if importlib.util.find_spec(name) is not None:
        raise BenchError(f"{name!r} is the name of an installed module; choose another name")


# ---- places ----------------------------------------------------------------------------------------------------------


def _project(name: str) -> Place:
    """Return places in the project around the current folder, which becomes one where none is."""
    from bench_core.errors import BenchError
    from bench_core.plugins import checkout_root

    root = checkout_root(Path.cwd())
    files = {}
    if root is None:
        root = Path.cwd()
        if (root / "pyproject.toml").exists():
            raise BenchError(
                "pyproject.toml here has no [tool.bench] table, so plugins/ would not be loaded; "
                "add the line `[tool.bench]` at its end, then run the same command again"
            )
        files["pyproject.toml"] = PROJECT
    tests = "tests/plugins" if (root / "tests" / "plugins").is_dir() else "tests"
    suites = "suites/" if (root / "suites").is_dir() else ""
    return Place(root, f"plugins/{name}.py", f"{tests}/test_{name}.py", f"{suites}{name}.yaml", files, "")


def _package(kind: Kind, name: str) -> Place:
    """Return places in a folder of its own in the current one."""
    files = {
        f"{name}/pyproject.toml": PACKAGE.substitute(kind=kind, name=name, dashed=name.replace("_", "-")),
        f"{name}/README.md": README.substitute(kind=kind, name=name),
    }
    option = f" --plugin-dir {name}"
    return Place(Path.cwd(), f"{name}/{name}.py", f"{name}/tests/test_{name}.py", f"{name}/{name}.yaml", files, option)


def _write(root: Path, files: Mapping[str, str]) -> None:
    from bench_core.errors import BenchError

    for path in files:
        if (root / path).exists():
            raise BenchError(
                f"{_shown(root / path)} exists and is not overwritten; choose another name, or move it away"
            )
    made: list[Path] = []
    try:
        for path, text in files.items():
            made += _make_folder((root / path).parent)
            with (root / path).open("x", encoding="utf-8") as file:
                made.append(root / path)
                file.write(text)
    except OSError as error:
        for each in reversed(made):
            with suppress(OSError):  # a folder into which somebody else wrote meanwhile stays
                each.rmdir() if each.is_dir() else each.unlink()
        raise BenchError(f"cannot write {_shown(root / path)}: {error.strerror}") from None


def _make_folder(folder: Path) -> list[Path]:
    """Make a folder and those above it; return the ones that were not there, the outermost first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()][::-1]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _shown(path: Path) -> str:
    return os.path.relpath(path, Path.cwd())


# ---- texts -----------------------------------------------------------------------------------------------------------


def _render(kind: Kind, name: str) -> str:
    """Return the template of ``kind`` under another name."""
    text = (Path(__file__).parents[1] / "templates" / f"{kind}.py").read_text(encoding="utf-8")
    placeholder = f"New{kind.title()}"
    title = "".join(part.title() for part in name.split("_"))
    if keyword.iskeyword(title) or re.search(rf"\b{title}\b", text):  # a name that the module itself uses
        title += kind.title()
    return text.replace(placeholder, title).replace(f"new_{kind}", name)


def _test(kind: Kind, place: Place) -> str:
    folder, plugin = Path(place.test).parent, Path(place.plugin)
    common = Path(os.path.commonpath([folder, plugin])) if place.option else Path()
    up = len(folder.relative_to(common).parts)
    parts = plugin.relative_to(common).parts
    return TEST.substitute(kind=kind, up=up, path=" / ".join(f'"{part}"' for part in parts))


def _suite(kind: Kind, name: str, plugins: Plugins) -> str:
    from bench_core.problems import RecoveryProblem

    able = [
        method
        for method, cls in plugins.methods.items.items()
        if cls.needs <= RecoveryProblem.capabilities and _works_without_parameters(cls)
    ]
    problem = name if kind is Kind.PROBLEM else "gaussian_mean"
    metrics = "success, error" if kind is Kind.PROBLEM else f"error, {name}"
    methods = "\n".join(f"  - name: {method}" for method in sorted(able))
    metric = metrics.rpartition(", ")[2]
    return SUITE.substitute(name=name, problem=problem, methods=methods, metrics=metrics, metric=metric)


def _works_without_parameters(cls: type[Method]) -> bool:
    from pydantic import ValidationError

    try:
        cls()
    except ValidationError:
        return False
    return True


def _commands(kind: Kind, name: str, place: Place, *, package: bool) -> list[str]:
    """Return what to type next."""
    suite = name if place.suite.startswith("suites/") else _shown(place.root / place.suite)
    run = f"bench run gaussian_mean --trials 100{place.option} --method {name}"
    if kind is not Kind.METHOD:
        run = f"bench run {suite}{place.option}"
    commands = [f"bench check {_shown(place.root / place.plugin)}", run]
    if importlib.util.find_spec("pytest"):
        commands.append(f"pytest {_shown(place.root / place.test)}")
    if package:
        commands.append(f"pip install --editable {name}    # then without --plugin-dir, from everywhere")
    return commands
