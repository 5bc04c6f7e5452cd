"""A family that the core has never heard of: data sets, long trials, checkpoints, artifacts, metrics of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

PLUGINS = str(Path(__file__).with_name("plugins"))
SUITE = """
name: ring
title: A family of its own
trials: 4
problems: [{name: toy_ring, grid: {n: [100, 200]}}]
methods:
  - {name: toy_mixture, params: {iterations: 200, pause: 0.0}}
  - {name: toy_mixture, label: small, params: {iterations: 20, centres: 2}}
  - {name: mle}
metrics: [toy_log_likelihood, toy_resumed_from]
report: {metric: toy_log_likelihood, x: n}
"""


@pytest.fixture
def run(project, cli):
    """Run the suite inline and return table and rows."""
    folder = project({"ring.yaml": SUITE})

    def go(*arguments):
        outcome = cli("run", "ring.yaml", "--plugin-dir", PLUGINS, "--executor", "inline", "--quiet", *arguments)
        assert outcome.code == 0, outcome
        exported = cli("export", "--plugin-dir", PLUGINS, "--output", "all.parquet")
        assert exported.code == 0, exported
        return outcome.out, pl.read_parquet(folder / "all.parquet")

    return go


def test_the_family_runs_from_suite_to_table_through_public_doors_only(run):
    table, rows = run()
    fitted = rows.filter(pl.col("label") == "toy_mixture")
    small = rows.filter(pl.col("label") == "small")
    assert fitted["metric.toy_log_likelihood"].mean() > small["metric.toy_log_likelihood"].mean()
    assert set(fitted["budget.gradient_steps"]) == {200}
    assert "Student's t interval" in " ".join(table.split())
    assert "≠" in table  # the small one spends fewer steps
    skipped = rows.filter(pl.col("label") == "mle")
    assert skipped["status"].to_list() == ["skipped", "skipped"]
    assert skipped["reason"].to_list() == ["toy_ring has no log_density; toy_ring has no recovery"] * 2
    assert "Skipped, and in no denominator: mle: toy_ring has no log_density" in table


def test_artifacts_stay_and_checkpoints_go(run):
    run()
    assert len(list(Path().glob("results/ring/*/artifacts/*/centres.txt"))) == 4  # a batch per cell
    assert not list(Path().glob("results/ring/*/artifacts/*/checkpoint*"))


def test_checkpoints_of_a_batch_that_took_too_long_go_with_the_run(project, cli):
    suite = SUITE.replace("trials: 4", "trials: 1\ntimeout: 0.5").replace("pause: 0.0", "pause: 0.02")
    project({"ring.yaml": suite})
    command = ["run", "ring.yaml", "--plugin-dir", PLUGINS, "--executor", "inline", "--quiet"]
    outcome = cli(*command, "--method", "toy_mixture", "--set", "n=100", "--set", "toy_mixture.checkpoint_every=5")
    assert outcome.code == 1
    assert "timeout" in outcome.out
    assert not list(Path().glob("results/ring/*/artifacts/*/checkpoint*"))


def _killed_in_the_middle(folder: Path) -> None:
    """Start the suite with slow steps and kill it with -9 as soon as a checkpoint is there."""
    code = "from bench_core.cli import main; main()"
    command = [sys.executable, "-c", code, "run", "ring.yaml", "--plugin-dir", PLUGINS, "--method", "toy_mixture"]
    process = subprocess.Popen(
        [*command, "--workers", "1"], cwd=folder, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=os.environ
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not list(folder.glob("results/ring/*/artifacts/*/checkpoint.safetensors")):
        time.sleep(0.01)
    process.kill()
    process.wait()


@pytest.mark.slow  # tests/faults/test_store_faults.py has a fit that is killed once its checkpoint is there
def test_a_killed_fit_goes_on_in_the_middle_and_ends_with_the_same_bits(project, run):
    folder = project({"ring.yaml": SUITE.replace("pause: 0.0", "pause: 0.003")})
    _killed_in_the_middle(folder)
    _, rows = run()
    resumed = rows.filter(pl.col("label") == "toy_mixture")["metric.toy_resumed_from"]
    assert resumed.max() >= 20
    assert resumed.min() == 0  # the second cell had not begun
    _, undisturbed = run("--fresh")
    assert undisturbed["metric.toy_resumed_from"].max() == 0
    assert undisturbed["metric.toy_log_likelihood"].to_list() == rows["metric.toy_log_likelihood"].to_list()
