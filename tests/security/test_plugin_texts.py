"""A plugin's code runs, so it is trusted; its texts are shown and not obeyed, and cannot break a list."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import ESCAPES, Bench, Stranger

TEXTS = f"""\
from typing import Literal
from pydantic import Field, model_validator
from bench_core import Fit, Method, Problem, hookimpl
from bench_core.metrics import MeasuredMetric

E = {ESCAPES!r}

class Loud(Method):
    __doc__ = f"First{{E}} line.\\n\\nSecond{{E}} line."
    name = "loud"
    version = E
    needs = frozenset({{f"quiet{{E}}"}})

    mode: Literal["a", f"b{{E}}"] = Field(f"b{{E}}", description=f"Mode{{E}}")

    @model_validator(mode="after")
    def _check(self):
        if self.mode == "a":
            raise ValueError(f"not{{E}} this mode")
        return self

    def fit(self, trials):
        raise RuntimeError(f"no{{E}} answer")


class Failing(Loud):
    __doc__ = "Fails."
    name = "failing"
    needs = frozenset()


class Nameless(Loud):
    name = f"x{{E}}"


class Rude(type(Method)):
    def __repr__(cls):
        raise RuntimeError(f"no{{E}} name")


class Shy(metaclass=Rude):
    pass


@hookimpl
def bench_register_methods():
    return [Loud, Failing, Nameless, Shy]


@hookimpl
def bench_register_problems():
    raise RuntimeError(f"no{{E}} problems")


@hookimpl
def bench_batch_finished(rows):
    raise RuntimeError(f"do not{{E}} tell me")
"""

SUITE = """\
name: loud
title: Loud
trials: 2
problems: [{name: gaussian_mean, params: {d: 2, m: 10}}]
methods: [{name: loud}, {name: failing}, {name: truth}]
metrics: [error]
"""

COMMANDS = (
    ["list"],
    ["list", "plugins"],
    ["show", "loud"],
    ["doctor"],
    ["run", "loud.yaml", "--executor", "inline"],
    ["run", "loud.yaml", "--dry-run"],
    ["run", "loud.yaml", "--set", "loud.mode=a"],
    ["run", "loud.yaml", "--set", "loud.mode=c"],
    ["report"],
    ["report", "--format", "markdown"],
    ["report", "--format", "csv"],
    ["report", "--format", "json"],
    ["check", "loud"],
)


@pytest.fixture
def folder(project: Callable[..., Path]) -> Path:
    """Stand in a folder with a loud plugin, a broken one, and one whose name is loud."""
    name = ESCAPES.replace("\r", "")
    return project(
        {
            "plugins/loud.py": TEXTS,
            "plugins/broken.py": f"raise RuntimeError({'broken' + ESCAPES!r})",
            f"plugins/name{name}.py": "1 / 0",
            "loud.yaml": SUITE,
        }
    )


def test_a_plugins_texts_are_shown_and_not_obeyed(folder: Path, bench: Bench) -> None:
    for command in COMMANDS:
        outcome = bench(*command, "--plugin-dir", "plugins")
        outcome.assert_harmless()
        if command[0] != "check":  # which loads the one plugin alone
            assert "broken\\x1b" in outcome.err, (command, outcome)  # told, and made visible
    shown = bench("show", "loud", "--plugin-dir", "plugins").out
    assert "First\\x1b]0;title\\x07" in shown


def test_listings_as_json_keep_the_texts(folder: Path, bench: Bench) -> None:
    outcome = bench("show", "loud", "--json", "--plugin-dir", "plugins")
    outcome.assert_harmless()
    (loud,) = json.loads(outcome.out)
    assert loud["about"] == f"First{ESCAPES} line.\n\nSecond{ESCAPES} line."


def test_a_broken_offer_costs_itself_alone(folder: Path, bench: Bench) -> None:
    outcome = bench("list", "methods", "--plugin-dir", "plugins")
    names = [line.split()[0] for line in outcome.out.splitlines()]
    assert {"loud", "failing", "mle", "truth"} <= set(names)
    assert "an offer of bench_register_methods raised RuntimeError: no\\x1b" in outcome.err


def test_a_project_file_above_that_cannot_be_read_is_passed_over(project: Callable[..., Path], bench: Bench) -> None:
    project({"pyproject.toml": "x = " + "[" * 5000})
    assert bench("list", "methods").code == 0


def test_a_terminal_is_coloured_and_not_commanded(stranger: Stranger, repo: Path) -> None:
    """On a real terminal, where nothing between the program and the screen takes escape sequences out."""
    import polars as pl

    stranger.rows(lambda rows: rows.with_columns(status=pl.lit("error"), reason=pl.lit(f"why{ESCAPES}")))
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from bench_core.cli import main; main()", "report", str(stranger.folder)]
    env = {**os.environ, "PYTHONPATH": str(repo), "TERM": "xterm-256color"}
    done = subprocess.run(command, stdout=theirs, stderr=theirs, env=env, timeout=60, check=False)
    os.close(theirs)
    text = b""
    while chunk := _read(ours):
        text += chunk
    os.close(ours)
    assert done.returncode == 0
    assert b"why" in text
    for escape in (b"\x1b]", b"\x07", b"\x9b2J", b"\x08", "\u202e".encode(), "\x9b".encode()):
        assert escape not in text, escape


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end is closed, and all is read
        return b""
