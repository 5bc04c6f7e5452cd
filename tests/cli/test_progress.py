"""What is said while a run goes on."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from types import SimpleNamespace

import polars as pl
import pytest
from rich.console import Console

from bench_core.cli.progress import LiveProgress, PlainProgress
from bench_core.plan import make_plan
from bench_core.suite import load_suite

SUITE = """
name: watched
title: Watched
trials: 20
problems: [{name: gaussian_mean, params: {d: 2, threshold: 0.5}, grid: {m: [20, 40]}}]
methods: [{name: mmd}, {name: mle}]
metrics: [success, error]
report: {metric: success, x: m}
"""


@pytest.fixture
def plan(project, plugins):
    return make_plan(load_suite(project({"watched.yaml": SUITE}) / "watched.yaml"), plugins)


def _stored(plan, rows=(), selections=()):
    schema = {
        "cell": pl.Int64,
        "repeat": pl.Int64,
        "status": pl.String,
        "seconds": pl.Float64,
        "metric.error": pl.Float64,
    }
    frame = pl.DataFrame(list(rows), schema=schema, orient="row")
    return SimpleNamespace(plan=plan, frame=frame, selections=selections)


def _rows(*errors, seconds=1.0):
    return [
        {"status": "ok", "seconds": seconds, "metric.error": error} if error is not None else {"status": "nan"}
        for error in errors
    ]


def test_estimates_count_failures_and_what_is_stored(plan, plugins):
    progress = PlainProgress(plan.suite, plugins, workers=2)
    progress.begin(_stored(plan, [(0, 0, "ok", 1.0, 0.1), (0, 1, "nan", None, None)]), {0: range(2, 20)})
    progress.finish(0, _rows(0.1, 0.9))
    tally = progress.tallies[0]
    assert (tally.stored, tally.done, tally.left, tally.failed) == (2, 2, 16, 1)
    assert progress.estimate(tally).startswith("0.500 [")  # 2 of 4


def test_a_failed_trial_that_runs_again_is_not_counted_as_stored(plan, plugins):
    progress = PlainProgress(plan.suite, plugins, workers=2)
    progress.begin(_stored(plan, [(0, 0, "ok", 1.0, 0.1), (0, 1, "nan", None, None)]), {0: [1]})
    assert (progress.tallies[0].stored, progress.tallies[0].failed, progress.tallies[0].todo) == (1, 0, 1)


def test_the_time_left_is_that_of_all_workers_and_guessed_from_the_nearest_cell(plan, plugins):
    progress = PlainProgress(plan.suite, plugins, workers=2)
    progress.begin(_stored(plan), {0: range(20), 2: range(20)})  # mmd at m = 20 and at m = 40
    assert progress.remaining() is None
    progress.finish(0, _rows(*[0.1] * 10, seconds=3.0))
    # Ten trials of 3 s, and twenty of twice the data: at least 6 s each.
    assert progress.remaining() == pytest.approx((10 * 3 + 20 * 6) / 2)
    progress.finish(2, _rows(*[0.1] * 10, seconds=12.0))
    assert progress.remaining() == pytest.approx((10 * 3 + 10 * 12) / 2)


def test_plain_lines_name_each_finished_cell(plan, plugins, capsys):
    progress = PlainProgress(plan.suite, plugins, workers=1)
    progress.begin(_stored(plan), {0: range(2)})
    progress.finish(0, _rows(0.1, None))
    err = capsys.readouterr().err
    assert "watched: 2 trials to run" in err
    assert "m = 20  mmd: 0.500 [" in err
    assert "2 trials, 1 failed" in err


@pytest.mark.parametrize("height", [8, 40])
def test_the_live_view_fits_the_terminal(plan, plugins, height):
    console = Console(file=io.StringIO(), width=80, height=height)
    progress = LiveProgress(plan.suite, plugins, 1, console)
    progress.begin(_stored(plan), {index: range(20) for index in range(4)})
    progress.finish(1, _rows(0.1, None))
    progress.advance(0, 0.25)
    console.print(progress.render())
    lines = console.file.getvalue().splitlines()
    assert len(lines) <= max(height, 9)
    assert max(map(len, lines)) <= 80
    assert any("+25%" in line for line in lines) or height < 10
    assert "watched: 2/80 trials, 1 failed" in lines[-1]


def test_a_run_on_a_terminal_shows_the_live_view_and_then_the_table(project):
    folder = project({"watched.yaml": SUITE})
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from bench_core.cli import main; main()", "run", "watched.yaml"]
    command += ["--executor", "inline", "--set", "iterations=400"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=theirs, text=True) as process:
        os.close(theirs)
        seen = _read_all(ours)
        out = process.stdout.read()
    assert process.returncode == 0, seen
    assert "so far [95 %]" in seen
    assert "watched: " in seen
    assert "Traceback" not in seen
    assert "m = 40" in out


def _read_all(terminal: int) -> str:
    text = b""
    while True:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # Linux says so when the last writer has gone
            chunk = b""
        if not chunk:
            os.close(terminal)
            return text.decode(errors="replace")
        text += chunk
