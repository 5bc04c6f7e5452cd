"""One run with a hostile method per fault: each costs its own trials and nothing else, and is named with its reason."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import polars as pl
import psutil
import pytest

HERE = Path(__file__).resolve().parent
SUITE = str(HERE / "hostile.yaml")
HOSTILE = ("--plugin-dir", str(HERE / "hostile"))
TRIALS = 12

# label -> failed trials, their status, and words of the reason
FAILURES = {
    "hostile_raises": (6, "error", "RuntimeError: not with"),
    "hostile_nan": (3, "nan", "the estimate is not finite"),
    "hostile_shape": (12, "error", "must be a floating tensor of shape"),
    "hostile_dtype": (12, "error", "of torch.int64"),
    "hostile_sleeps": (3, "timeout", "took longer than 1.5 s alone"),
    "hostile_memory": (3, "error", "out of memory, it needs more than the"),
    "hostile_exits": (3, "error", "its worker process died (exit code 3)"),
    "hostile_input": (12, "error", "fit changed trials.data['observed'] in place; clone it first"),
    "hostile_quits": (3, "error", "SystemExit: I quit"),
    "hostile_interrupts": (3, "error", "KeyboardInterrupt"),
}
LEFT_OUT = {
    "hostile_syntax": "SyntaxError: 'return' outside function",
    "hostile_import": "ModuleNotFoundError: No module named 'no_such_package'",
    "hostile_hook": "unknown hook 'bench_register_method'; did you mean 'bench_register_methods'?",
    "hostile_name": "the method 'mmd' is already offered by plugin 'mmd'",
}

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc and limits on memory")


def exported(cli, folder: Path, *arguments: str) -> pl.DataFrame:
    """Return the rows of the newest run, less what two equal runs may differ in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        outcome = cli("export", "--output", "all.parquet", *arguments)
    assert outcome.code == 0, outcome
    return pl.read_parquet(folder / "all.parquet").drop("seconds", "env_id")


def from_a_process(warm, folder: Path, *arguments: str):
    """Run in a process of its own, since the plugins change settings of the process that imports them."""
    outcome = warm.run(folder, *arguments)
    assert "Traceback" not in outcome.err, outcome.err
    return outcome


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def ended(folder, warm):
    return from_a_process(warm, folder, "run", SUITE, *HOSTILE, "--workers", "2", "--quiet")


@pytest.fixture(scope="module")
def rows(ended, folder, warm) -> pl.DataFrame:
    outcome = from_a_process(warm, folder, "export", "--output", "all.parquet", *HOSTILE)
    assert outcome.code == 0
    return pl.read_parquet(folder / "all.parquet").drop("seconds", "env_id")


def test_the_run_ends_with_every_trial_once(ended, rows):
    assert ended.code == 1, ended
    assert len(rows) == rows["trial_id"].n_unique() == TRIALS * rows["label"].n_unique()
    assert rows["label"].n_unique() == 2 + 10 + 4


def test_the_others_are_bitwise_as_without_hostile_plugins(rows, cli, tmp_path):
    clean = "\n".join(line for line in Path(SUITE).read_text().splitlines() if "- {name: hostile" not in line)
    (tmp_path / "hostile.yaml").write_text(clean)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert cli("run", "hostile.yaml", "--executor", "inline", "--quiet").code == 0
    undisturbed = exported(cli, tmp_path)
    there = rows.filter(pl.col("label").is_in(["mmd", "truth"]))
    assert len(undisturbed) == 2 * TRIALS
    # The other methods bring columns of their own, which are empty here.
    assert there.select(undisturbed.columns).equals(undisturbed)
    others = there.drop(undisturbed.columns)
    assert others.null_count().row(0) == (len(there),) * others.width


@pytest.mark.parametrize("label", FAILURES)
def test_a_failure_is_counted_with_its_reason(ended, rows, label):
    n, status, reason = FAILURES[label]
    failed = rows.filter(pl.col("label") == label, pl.col("status") != "ok")
    assert failed["status"].to_list() == [status] * n
    assert all(reason in each for each in failed["reason"])
    assert reason in ended.out.replace("\n", " ")


def test_methods_that_only_misbehave_lose_nothing(rows):
    others = rows.filter(~pl.col("label").is_in([*FAILURES]))
    assert set(others["label"]) == {
        "mmd",
        "truth",
        "hostile_forks",
        "hostile_prints",
        "hostile_draws",
        "hostile_settings",
    }
    assert set(others["status"]) == {"ok"}
    exact = others.filter(pl.col("label").is_in(["truth", "hostile_forks", "hostile_prints", "hostile_settings"]))
    assert set(exact["metric.error"]) == {0.0}


@pytest.mark.parametrize("plugin", LEFT_OUT)
def test_a_plugin_that_cannot_be_used_is_named_with_file_and_cause(ended, plugin):
    (line,) = (line for line in ended.err.splitlines() if f"plugin '{plugin}'" in line)
    assert f"{plugin}.py was left out" in line
    assert LEFT_OUT[plugin] in line


def test_standard_output_holds_the_table_alone(ended, folder, warm):
    report = from_a_process(warm, folder, "report", *HOSTILE)
    assert ended.out == report.out
    assert "hostile: " not in ended.out + ended.err


def test_what_methods_print_is_in_the_log_under_their_name_and_the_user_is_told_where(ended, folder):
    (log,) = folder.glob("results/hostile/*/log.txt")
    lines = log.read_text().splitlines()
    printed = [line for line in lines if "hostile: " in line]
    words = ("print", "os.write", "echo", "puts", "a warning", "stderr")
    assert [sum(f"hostile: {word}" in line for line in printed) for word in words] == [1, 1, 1, 1, 2, 1]
    assert f"[hostile_prints, repeats 0 to {TRIALS - 1}]" in lines
    assert ended.err.count(f"what methods printed is in {log.relative_to(folder)}") == 1


def test_nothing_is_left_running(ended, folder, warm):
    assert warm.workers() == []
    assert not [each.pid for each in psutil.process_iter(["cwd"]) if each.info["cwd"] == str(folder)]


def test_a_second_run_has_nothing_to_do(ended, rows, folder, warm):
    again = from_a_process(warm, folder, "run", SUITE, *HOSTILE, "--workers", "2")
    assert again.code == 1
    assert "everything is stored" in again.err
    assert again.out == ended.out


LEAVES = """
import subprocess, time
from pathlib import Path
from bench_core import Method, hookimpl

class Leaves(Method):
    '''Starts a process and never ends.'''
    name = "leaves"
    def fit(self, trials):
        child = subprocess.Popen(["sleep", "3600"])
        Path("child.tmp").write_text(str(child.pid))
        Path("child.tmp").rename("child")
        time.sleep(3600)

@hookimpl
def bench_register_methods():
    return [Leaves]
"""
LEAVES_SUITE = """
name: leaves
title: Leaves
trials: 2
problems: [{name: gaussian_mean}]
methods: [{name: leaves}]
metrics: [error]
"""


def test_a_run_that_is_killed_takes_stopped_workers_and_their_children_with_it(project):
    """In a process with a fork server of its own, which is what ends a worker that can do nothing by itself."""
    folder = project({"plugins/leaves.py": LEAVES, "leaves.yaml": LEAVES_SUITE})
    command = [sys.executable, "-c", "from bench_core.cli import main; main()", "run", "leaves.yaml"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    bench = psutil.Popen([*command, "--plugin-dir", "plugins", "--workers", "1", "--quiet"], env=environment)
    try:
        until((folder / "child").exists)
        family = bench.children(recursive=True)
        worker = psutil.Process(int((folder / "child").read_text())).parent()
        assert worker in family
        os.kill(worker.pid, signal.SIGSTOP)
    finally:
        bench.kill()
        bench.wait()
    gone, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
    assert len(gone) >= 4  # resource tracker, fork server, worker, its child


def until(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
