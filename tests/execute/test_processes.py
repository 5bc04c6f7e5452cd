"""Worker processes: same numbers as inline, and deaths and timeouts end as rows of the guilty trials alone."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import pytest

from bench_core.execute.batch import Setting
from bench_core.execute.executor import Finished, Inline
from bench_core.execute.processes import Processes
from bench_core.plan import jobs
from bench_core.plugins import PluginSources, load_plugins

CPU = Setting("cpu", None, None)

HOSTILE = '''
import os, time
from bench_core import Fit, Method, hookimpl

def guilty(trials):
    return trials["truth"][:, 0] > 1.2

class Dies(Method):
    """Leaves without a word on some trials."""
    name = "dies"
    def fit(self, trials):
        if bool(guilty(trials).any()):
            os._exit(3)
        return Fit(answer=trials["truth"].clone())

class Sleeps(Method):
    """Never ends on some trials."""
    name = "sleeps"
    def fit(self, trials):
        if bool(guilty(trials).any()):
            time.sleep(3600)
        return Fit(answer=trials["truth"].clone())

@hookimpl
def bench_register_methods():
    return [Dies, Sleeps]
'''


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "hostile.py").write_text(HOSTILE)
    repo = Path(__file__).resolve().parents[2]
    plugins = load_plugins(PluginSources(folders=(folder,), checkout=repo / "plugins"))
    assert plugins.failures == []
    return plugins


def _rows(executor, cell, repeats):
    finished = [event for event in executor.run(jobs(cell, repeats)) if isinstance(event, Finished)]
    rows = [row for event in finished for row in event.rows]
    return sorted(rows, key=lambda row: row["repeat"])


def _but_time(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("method", ["mmd", "wgan"])
def test_workers_give_the_rows_of_this_process(plugins, make_cell, method, workers):
    cell = make_cell(plugins, "gaussian_cov", {"d": 4, "m": 50}, method, {"iterations": 20}, width=5)
    there = _rows(Processes(plugins.sources, CPU, 60, workers), cell, range(23))
    assert _but_time(there) == _but_time(_rows(Inline(plugins, CPU, 60), cell, range(23)))
    assert [row["repeat"] for row in there] == list(range(23))


def test_a_worker_that_dies_costs_its_guilty_trials_only(hostile, make_cell):
    cell = make_cell(hostile, "gaussian_mean", {"d": 2, "m": 5}, "dies", {}, width=25)
    rows = _rows(Processes(hostile.sources, CPU, 60, 2), cell, range(50))
    assert [row["repeat"] for row in rows] == list(range(50))
    failed = [row for row in rows if row["status"] != "ok"]
    assert 0 < len(failed) < 15
    assert {(row["status"], row["reason"]) for row in failed} == {("error", "its worker process died (exit code 3)")}


def test_a_trial_that_never_ends_becomes_a_timeout_alone(hostile, make_cell):
    cell = make_cell(hostile, "gaussian_mean", {"d": 2, "m": 5}, "sleeps", {}, width=10)
    started = time.monotonic()
    rows = _rows(Processes(hostile.sources, CPU, 0.5, 2), cell, range(20))
    failed = [row for row in rows if row["status"] != "ok"]
    assert [row["repeat"] for row in rows] == list(range(20))
    assert 0 < len(failed) < 8
    assert {(row["status"], row["reason"]) for row in failed} == {("timeout", "took longer than 0.5 s alone")}
    assert {row["batch_size"] for row in failed} == {1}  # alone, and not beside nine copies of itself
    assert time.monotonic() - started < 30


def test_inline_enforces_the_time_limit_too(hostile, make_cell):
    cell = make_cell(hostile, "gaussian_mean", {"d": 2, "m": 5}, "sleeps", {}, width=10)
    there = _rows(Inline(hostile, CPU, 0.5), cell, range(10))
    assert {row["status"] for row in there} == {"ok", "timeout"}
    assert len(there) == 10


def test_leaving_early_leaves_no_worker(hostile, make_cell):
    cell = make_cell(hostile, "gaussian_mean", {"d": 2, "m": 5}, "sleeps", {}, width=10)
    events = Processes(hostile.sources, CPU, 600, 2).run(jobs(cell, range(50)))
    next(events)
    before = _workers()
    events.close()
    assert before
    assert not _workers() & before


def _workers() -> set[int]:
    """Processes below this one that are no fork server of their own."""
    return {child.pid for child in psutil.Process(os.getpid()).children(recursive=True) if _is_worker(child)}


def _is_worker(process: psutil.Process) -> bool:
    parent = process.parent()
    return parent is not None and "forkserver" in " ".join(parent.cmdline())
