"""Whole runs through the command line: stopped, killed, resumed, changed, they end with the same numbers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from bench_core.store import open_run

BENCH = [sys.executable, "-c", "from bench_core.cli import main; main()"]
SUITE = """
name: toy
title: A toy
trials: 100
problems: [{name: gaussian_mean, params: {d: 2, threshold: 0.1}, grid: {m: [20, 40]}}]
methods:
  - {name: mmd, params: {iterations: 60}}
  - {name: wgan, params: {iterations: 60}}
  - {name: truth}
metrics: [success, error]
report: {metric: success, x: m}
"""


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*BENCH, *arguments], cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture(scope="module")
def bench(cli):
    """Run ``bench`` in this process, which spares the seconds of importing torch, and check its exit code."""

    def run(*arguments: str, code: int = 0) -> tuple[str, str]:
        inline = ("--executor", "inline") if arguments[0] == "run" and "--workers" not in arguments else ()
        outcome = cli(*arguments, *inline)
        assert outcome.code == code, outcome
        return outcome.out, outcome.err

    return run


@pytest.fixture(scope="module")
def exported(bench):
    """The export, less what two equal runs may differ in."""

    def export(results: str = "results", *arguments: str) -> pl.DataFrame:
        bench("export", results, "--output", "all.parquet", *arguments)
        return pl.read_parquet("all.parquet").drop("seconds", "env_id")

    return export


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, bench, exported):
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "toy.yaml").write_text(SUITE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        bench("run", "toy.yaml", "--quiet")
        return exported()


@pytest.fixture
def folder(project):
    return project({"toy.yaml": SUITE})


def _wait_for_parts(folder: Path, process: subprocess.Popen, parts: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if len(list(folder.glob("results/toy/*/parts/*.parquet"))) >= parts:
            return
        time.sleep(0.01)


@pytest.mark.slow  # the same with processes that start in a moment is in tests/faults
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_goes_on_and_ends_as_an_undisturbed_one(folder, undisturbed, stop, bench, exported):
    process = start(folder, "run", "toy.yaml")
    _wait_for_parts(folder, process, 2)
    process.send_signal(stop)
    _, err = process.communicate(timeout=30)
    if stop == signal.SIGINT and process.returncode != 0:
        assert process.returncode == 130
        assert "finished trials are stored in" in err
        assert "run the same command again to go on" in err
        assert "Traceback" not in err
    bench("run", "toy.yaml", "--quiet")
    assert exported().equals(undisturbed)
    assert undisturbed["trial_id"].n_unique() == len(undisturbed) == 2 * 3 * 100


def test_executors_and_numbers_of_workers_give_the_same_export(folder, undisturbed, bench, exported):
    for workers in ("1", "2"):
        bench("run", "toy.yaml", "--quiet", "--workers", workers, "--results", workers)
        assert exported(workers).equals(undisturbed)


def test_trials_and_methods_are_added_to_what_is_stored(folder, undisturbed, bench, exported):
    bench("run", "toy.yaml", "--quiet", "--trials", "7", "--method", "truth", "--method", "mmd")
    few = exported()
    assert sorted(few["label"].unique()) == ["mmd", "truth"]
    assert len(few) == 2 * 2 * 7
    bench("run", "toy.yaml", "--quiet")
    assert exported().equals(undisturbed)


def test_a_finished_run_runs_nothing_and_prints_the_table(folder, bench):
    bench("run", "toy.yaml", "--trials", "2", "--quiet")
    out, err = bench("run", "toy.yaml", "--trials", "2")
    assert "everything is stored" in err
    assert "m = 40" in out
    assert "truth" in out


def test_a_threshold_is_scored_anew_without_running_anything(folder, bench, exported):
    bench("run", "toy.yaml", "--trials", "5", "--quiet")
    _, err = bench("run", "toy.yaml", "--trials", "5", "--set", "threshold=1e9")
    assert "everything is stored" in err
    assert exported()["metric.success"].to_list() == [1.0] * 30
    assert set(exported()["problem.threshold"]) == {1e9}


def test_two_labels_of_one_configuration_share_their_trials(folder, bench, exported):
    twin = SUITE.replace("  - {name: truth}", "  - {name: truth}\n  - {name: truth, label: twin}")
    (folder / "toy.yaml").write_text(twin)
    bench("run", "toy.yaml", "--quiet", "--trials", "5", "--method", "twin")
    out, _ = bench("run", "toy.yaml", "--quiet", "--trials", "5", "--method", "truth")
    assert "  twin" in out
    rows = exported()
    assert sorted(rows["label"].unique()) == ["truth", "twin"]
    assert len(rows) == 20
    assert rows["trial_id"].n_unique() == 10


def test_fresh_opens_a_new_folder_and_deletes_nothing(folder, bench):
    for _ in range(2):
        bench("run", "toy.yaml", "--trials", "2", "--method", "truth", "--quiet", "--fresh")
    assert len(list(folder.glob("results/toy/*-s0-cpu"))) == 2


def test_a_second_run_at_once_is_refused(folder, bench):
    first = open_run(folder / "results", "toy", 0, "cpu")
    _, err = bench("run", "toy.yaml", code=2)
    assert "is being written by another `bench run`" in err
    assert "Traceback" not in err
    first.unlock()
    bench("run", "toy.yaml", "--trials", "1")


FLAKY = """
from pathlib import Path
from bench_core import Fit, Method, hookimpl

class Flaky(Method):
    '''Raises on some trials as long as a file is there.'''
    name = "flaky"
    def fit(self, trials):
        if Path("broken").exists() and bool((trials["truth"][:, 0] > 0.5).any()):
            raise RuntimeError("not today")
        return Fit(answer=trials["truth"].clone())

@hookimpl
def bench_register_methods():
    return [Flaky]
"""


def test_failed_trials_count_and_run_again_only_when_asked(folder, bench, exported):
    (folder / "extra").mkdir()
    (folder / "extra" / "flaky.py").write_text(FLAKY)
    (folder / "broken").touch()
    command = ("run", "toy.yaml", "--plugin-dir", "extra", "--trials", "20", "--method", "flaky")
    out, _ = bench(*command, code=1)
    assert re.search(r"\d+ error ", out)
    assert "Failed trials count as no success." in out
    (folder / "broken").unlink()
    _, err = bench(*command, code=1)
    assert "everything is stored" in err
    bench(*command, "--retry-failed")
    rows = exported("results", "--plugin-dir", "extra")
    assert rows["status"].to_list() == ["ok"] * 40


def test_results_of_changed_code_are_set_aside_and_run_again(folder, bench, exported):
    (folder / "extra").mkdir()
    plugin = folder / "extra" / "flaky.py"
    plugin.write_text(FLAKY)
    command = ("run", "toy.yaml", "--plugin-dir", "extra", "--trials", "3", "--method", "flaky")
    bench(*command)
    plugin.write_text(FLAKY.replace('trials["truth"].clone()', 'trials["start"].clone()'))
    out, _ = bench("report", "--plugin-dir", "extra")
    assert "6 stored trials are set aside: the code that computed them has changed" in out
    bench(*command)
    rows = exported("results", "--plugin-dir", "extra")
    assert len(rows) == 6
    assert (rows["metric.error"] > 0).all()


METRIC = """
from bench_core import hookimpl
from bench_core.metrics import MeasuredMetric
class Norm(MeasuredMetric):
    name, kind, direction = "norm", "mean", "lower"
    def measure(self, trials, fit):
        return fit.answer.norm(dim=-1)
@hookimpl
def bench_register_metrics():
    return [Norm()]
"""


def test_results_of_a_changed_metric_are_set_aside_and_measured_again(folder, bench, exported):
    (folder / "toy.yaml").write_text(SUITE.replace("[success, error]", "[success, error, norm]"))
    (folder / "extra").mkdir()
    (folder / "extra" / "norm.py").write_text(METRIC)
    command = ("run", "toy.yaml", "--plugin-dir", "extra", "--trials", "3", "--method", "truth", "--quiet")
    bench(*command)
    before = exported("results", "--plugin-dir", "extra")["metric.norm"]
    (folder / "extra" / "norm.py").write_text(METRIC.replace("fit.answer.norm", "2 * fit.answer.norm"))
    bench(*command)
    after = exported("results", "--plugin-dir", "extra")["metric.norm"]
    assert after.to_list() == [2 * value for value in before]


def test_a_truncated_file_is_reported_and_its_trials_run_again(folder, undisturbed, bench, exported):
    bench("run", "toy.yaml", "--trials", "20", "--quiet")
    (rows,) = folder.glob("results/toy/*/trials.parquet")
    rows.write_bytes(rows.read_bytes()[:100])
    _, err = bench("run", "toy.yaml", "--quiet")
    assert "trials.parquet could not be read and was set aside" in err
    assert exported().equals(undisturbed)


def test_observers_see_every_row_and_may_break_nothing_else(folder, bench):
    (folder / "extra").mkdir()
    (folder / "extra" / "logger.py").write_text(
        "from pathlib import Path\n"
        "from bench_core import hookimpl\n"
        "@hookimpl\n"
        "def bench_batch_finished(suite, run, rows):\n"
        "    with Path('log.txt').open('a') as file:\n"
        "        file.writelines(f\"{suite} {row['trial_id']}\\n\" for row in rows)\n"
    )
    bench("run", "toy.yaml", "--trials", "4", "--plugin-dir", "extra", "--quiet")
    lines = (folder / "log.txt").read_text().splitlines()
    assert len(set(lines)) == len(lines) == 24


def test_an_observer_that_raises_is_named_once_and_costs_nothing(folder, bench, exported):
    (folder / "extra").mkdir()
    (folder / "extra" / "broken_logger.py").write_text(
        "from bench_core import hookimpl\n"
        "@hookimpl\n"
        "def bench_batch_finished(rows):\n"
        "    raise ConnectionError('no network')\n"
    )
    _, err = bench("run", "toy.yaml", "--trials", "4", "--plugin-dir", "extra", "--quiet")
    assert err.count("'broken_logger' is not told any more, since it raised ConnectionError: no network") == 1
    assert len(exported()) == 24


def test_missing_data_stop_the_run_with_a_message_and_cost_nothing(folder, bench, exported):
    (folder / "extra").mkdir()
    (folder / "extra" / "needs_data.py").write_text(
        "from bench_core import Method, hookimpl\n"
        "from bench_core.errors import BenchError\n"
        "class NeedsData(Method):\n"
        "    name = 'needs_data'\n"
        "    def fit(self, trials):\n"
        "        raise BenchError('there are no pictures; name their folder by --data')\n"
        "@hookimpl\n"
        "def bench_register_methods():\n"
        "    return [NeedsData]\n"
    )
    command = ("run", "toy.yaml", "--trials", "4", "--plugin-dir", "extra", "--quiet")
    bench(*command)
    for workers in ((), ("--workers", "1")):
        _, err = bench(*command, "--method", "needs_data", *workers, code=2)
        assert "there are no pictures; name their folder by --data" in err
    assert len(exported("results", "--plugin-dir", "extra")) == 24


def test_a_suite_that_cannot_be_read_is_told_and_the_others_are_shown(folder, bench):
    (folder / "extra").mkdir()
    (folder / "extra" / "flaky.py").write_text(FLAKY)
    bench("run", "toy.yaml", "--trials", "2", "--method", "truth", "--quiet")
    (folder / "other.yaml").write_text(SUITE.replace("name: toy", "name: other"))
    bench("run", "other.yaml", "--trials", "2", "--plugin-dir", "extra", "--method", "flaky", "--quiet")
    out, err = bench("report")
    assert "truth" in out
    assert "left out: " in err
    assert "unknown method 'flaky'" in err
    assert "name its folder by --plugin-dir" in err


def test_a_folder_of_results_does_not_hide_the_builtin_suite_of_its_name(repo, project, bench):
    project({"smoke/20260101T000000Z-s0-cpu/note.txt": ""})
    out, _ = bench("run", "smoke", "--dry-run", "--plugin-dir", str(repo / "plugins"))
    assert "280 of 280 trials to run" in out


def test_a_bad_value_by_set_says_where_it_comes_from(folder, bench):
    _, err = bench("run", "toy.yaml", "--set", "mmd.lr=-1", code=2)
    assert "methods[0].params.lr" in err
    assert "(the file as changed by --set mmd.lr=-1)" in err


def test_asking_for_a_gpu_that_is_not_there_is_a_message(folder, bench, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    _, err = bench("run", "toy.yaml", "--device", "cuda", code=2)
    assert "PyTorch finds no CUDA device here" in err
    assert not (folder / "results").exists()


def test_dry_run_says_what_would_run_and_writes_nothing(folder, bench):
    out, _ = bench("run", "toy.yaml", "--dry-run")
    assert "600 of 600 trials to run; no time is known yet" in out
    assert not (folder / "results").exists()
    bench("run", "toy.yaml", "--trials", "10", "--quiet")
    out, _ = bench("run", "toy.yaml", "--dry-run")
    assert "540 of 600 trials to run: about" in out
