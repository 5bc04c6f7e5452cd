"""Any stored trial runs again alone, and gives the bits that it gave in its batch."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from bench_core import replay as replaying
from bench_core.store import find_runs

SUITE = """
name: toy
title: A toy
trials: 60
timeout: 5
problems: [{name: gaussian_cov, params: {d: 3, epsilon: 0.1}, grid: {m: [20, 30]}}]
methods:
  - {name: mmd, params: {iterations: 40}}
  - {name: osmmd, params: {iterations: 40}}
  - {name: mle, params: {iterations: 40}}
  - {name: wgan, params: {iterations: 40}, select: {grid: {n_critic: [1, 2]}, metric: error, trials: 4}}
  - {name: wandering}
  - {name: diverging, params: {iterations: 40}}
metrics: [success, error]
report: {metric: success, x: m}
"""
WANDERING = """
import random
import numpy as np
import torch
from bench_core import Fit, Method, hookimpl
from bench_core.engines.recovery import GradientMethod

class Wandering(Method):
    '''Draws from global generators, raises on some trials, and gives NaN on others.'''
    name = "wandering"
    def fit(self, trials):
        first = trials["truth"][:, 0]
        if bool((first > 1.5).any()):
            raise RuntimeError("too far")
        noise = torch.randn_like(trials["truth"]) + float(np.random.standard_normal() + random.random())
        answer = trials["truth"] + noise
        answer[first < -1.5] = float("nan")
        return Fit(answer=answer)

class Diverging(GradientMethod):
    'Has an infinite loss on some trials, from the first step on.'
    name = "diverging"
    def objective(self, task):
        far = task.trials["truth"][:, 0] > 1
        return lambda theta: theta.square().sum(-1) / torch.where(far, 0.0, 1.0)

@hookimpl
def bench_register_methods():
    return [Wandering, Diverging]
"""


@pytest.fixture(scope="module")
def stored(tmp_path_factory, cli) -> Path:
    """A folder with results, plugins and the export of all trials."""
    folder = tmp_path_factory.mktemp("replay")
    (folder / "toy.yaml").write_text(SUITE)
    (folder / "extra").mkdir()
    (folder / "extra" / "wandering.py").write_text(WANDERING)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert cli("run", "toy.yaml", "--plugin-dir", "extra", "--workers", "2", "--quiet").code == 1
        assert cli("export", "--plugin-dir", "extra", "--output", "all.parquet").code == 0
    return folder


@pytest.fixture
def rows(stored: Path, monkeypatch) -> pl.DataFrame:
    monkeypatch.chdir(stored)
    return pl.read_parquet("all.parquet")


@pytest.fixture
def replay(cli) -> Callable[..., Any]:
    def run(*arguments: str) -> Any:
        return cli("replay", "--plugin-dir", "extra", *arguments)

    return run


def _id(rows: pl.DataFrame, **where: Any) -> str:
    return rows.filter(**where)["trial_id"][7]


@pytest.mark.parametrize("label", ["mmd", "osmmd", "mle", "wgan"])
def test_a_trial_gives_the_bits_that_it_gave_in_its_batch(rows, replay, label):
    outcome = replay(_id(rows, label=label, split="main"), "--json")
    assert outcome.code == 0, outcome
    found = json.loads(outcome.out)
    assert (found["match"], found["rtol"], found["differences"]) == (True, 0, [])


def test_a_holdout_trial_can_be_replayed_too(rows, replay):
    outcome = replay(_id(rows, split="select"))
    assert outcome.code == 0, outcome
    assert "split select" in outcome.out
    assert "the same to the last bit" in outcome.out


@pytest.mark.parametrize("status", ["ok", "nan", "error"])
def test_even_a_method_that_draws_from_global_generators_is_replayed(rows, replay, status):
    trial = rows.filter(label="wandering", status=status)["trial_id"][0]
    outcome = replay(trial)
    assert outcome.code == 0, outcome
    assert re.search(rf"^status +{status}$", outcome.out, re.MULTILINE)


def test_a_trial_that_failed_beside_others_is_replayed_without_them(rows, replay, tmp_path):
    diverged = rows.filter(label="diverging", status="nan")
    assert 0 < len(diverged) < 120  # its batch went on
    outcome = replay(diverged["trial_id"][0], "--trace", "--output", str(tmp_path / "trace.csv"))
    assert outcome.code == 0, outcome
    assert "the loss became non-finite at step 1" in outcome.out
    assert (tmp_path / "trace.csv").read_text().startswith("step,loss,error\n1,inf,")


def _with_changed_row(stored: Path, tmp_path: Path, trial: str, *changes: pl.Expr) -> Path:
    """Copy the results, one row of them changed."""
    (run,) = find_runs(stored / "results")
    folder = tmp_path / "results" / "toy" / run.name
    folder.mkdir(parents=True)
    for name in ("suite.yaml", "env.json"):
        (folder / name).write_text((run.folder / name).read_text())
    frame = run.rows()
    here = pl.col("trial_id") == trial
    frame = frame.with_columns(pl.when(here).then(change).otherwise(pl.col(change.meta.output_name()))
                               .alias(change.meta.output_name()) for change in changes)  # fmt: skip
    frame.write_parquet(folder / "trials.parquet")
    return tmp_path / "results"


def test_what_differs_is_named_and_the_exit_code_is_1(stored, rows, replay, tmp_path):
    trial = _id(rows, label="mmd")
    error = rows.filter(trial_id=trial)["metric.error"][0]
    results = str(_with_changed_row(stored, tmp_path, trial, pl.col("metric.error") * 1.0001))
    outcome = replay(trial, "--results", results, "--json")
    assert outcome.code == 1
    assert json.loads(outcome.out)["differences"] == [
        {"column": "metric.error", "stored": error * 1.0001, "replayed": error}
    ]
    assert "1 of " in replay(trial, "--results", results).out
    assert replay(trial, "--results", results, "--rtol", "0.001").code == 0
    assert replay(trial, "--results", results, "--rtol", "0.00001").code == 1


def test_a_changed_path_is_a_difference(stored, rows, replay, tmp_path):
    trial = _id(rows, label="mle")
    results = _with_changed_row(stored, tmp_path, trial, pl.col("path.loss").list.eval(pl.element() + 1))
    outcome = replay(trial, "--results", str(results))
    assert outcome.code == 1
    assert "loss and error at 11 steps  ≠  (path.loss)" in outcome.out


def test_in_another_environment_the_tolerance_is_a_thousandth(stored, rows, replay, tmp_path):
    trial = _id(rows, label="osmmd")
    results = _with_changed_row(stored, tmp_path, trial, pl.col("metric.error") * 1.0001)
    env = next(results.glob("toy/*/env.json"))
    env.write_text(env.read_text().replace('"cpu_capability": "', '"cpu_capability": "OTHER '))
    outcome = replay(trial, "--results", str(results))
    assert outcome.code == 0, outcome
    assert "the trial ran with OTHER " in outcome.err
    assert "the same within a relative 0.001" in outcome.out


def test_changed_code_is_told(stored, rows, replay, tmp_path):
    trial = _id(rows, label="mmd")
    changed = (pl.lit("0" * 16).alias("method_digest"), pl.lit("0").alias("problem_version"))
    results = _with_changed_row(stored, tmp_path, trial, *changed)
    outcome = replay(trial, "--results", str(results))
    assert outcome.code == 0
    assert "the code of mmd has changed since the trial ran" in outcome.err
    assert "gaussian_cov is now version 1; the trial ran with 0" in outcome.err


def test_trace_writes_every_step_and_changes_no_number(rows, replay, tmp_path):
    trial = _id(rows, label="wgan", split="main")
    output = tmp_path / "trace.csv"
    outcome = replay(trial, "--trace", "--output", str(output))
    assert outcome.code == 0, outcome
    with output.open() as file:
        traced = list(csv.DictReader(file))
    assert [int(each["step"]) for each in traced] == list(range(1, 41))
    row = rows.filter(trial_id=trial).row(0, named=True)
    for step, loss, error in zip(row["path.step"], row["path.loss"], row["path.error"], strict=True):
        assert (float(traced[step - 1]["loss"]), float(traced[step - 1]["error"])) == (loss, error)


def test_a_method_without_a_path_is_told_to_have_none(rows, replay, tmp_path):
    trial = rows.filter(label="wandering", status="ok")["trial_id"][0]
    outcome = replay(trial, "--trace", "--output", str(tmp_path / "trace.csv"))
    assert "wandering records no path" in outcome.err
    assert not (tmp_path / "trace.csv").exists()


def test_what_cannot_be_replayed_is_a_message(stored, rows, replay, cli, tmp_path):
    unknown = replay("0123456789abcdef")
    assert unknown.code == 2
    assert f"no trial '0123456789abcdef' is among the {len(rows)} that results holds" in unknown.err
    missing = cli("replay", _id(rows, label="wandering"))
    assert missing.code == 2
    assert "unknown method 'wandering'" in missing.err
    trial = _id(rows, label="mmd")
    stale = _with_changed_row(stored, tmp_path, trial, pl.col("spec").str.replace('"lr":0.1', '"rate":0.1'))
    outcome = replay(trial, "--results", str(stale))
    assert outcome.code == 2
    assert "MMD does not take the stored parameters any more: rate: " in outcome.err
    assert replay(trial, "--output", "x.csv").code == 2


def test_the_row_that_the_table_uses_is_the_one_to_compare_with(stored, rows, replay, tmp_path):
    trial = _id(rows, label="mmd")
    results = _with_changed_row(stored, tmp_path, trial, pl.lit("kept").alias("label"))
    (path,) = results.glob("toy/*/trials.parquet")
    frame = pl.read_parquet(path)
    other = pl.col("metric.error") + 1, pl.lit("0" * 16).alias("method_digest")
    pl.concat([frame, frame.filter(trial_id=trial).with_columns(*other)]).write_parquet(path)  # newer, of other code
    outcome = replay(trial, "--results", str(results))
    assert outcome.code == 0, outcome
    assert "has changed" not in outcome.err


@pytest.mark.parametrize(
    "change",
    [
        pl.lit("{}").alias("spec"),
        pl.lit("[]").alias("spec"),
        pl.lit("{").alias("spec"),
        pl.lit(0).alias("batch_size"),
        pl.lit(10**9).alias("batch_size"),
        pl.lit(None, pl.Int64).alias("batch_size"),
        pl.lit(-1).alias("repeat"),
    ],
    ids=str,
)
def test_a_row_that_no_run_has_written_is_a_message(stored, rows, replay, tmp_path, change):
    trial = _id(rows, label="mmd")
    outcome = replay(trial, "--results", str(_with_changed_row(stored, tmp_path, trial, change)))
    assert outcome.code == 2
    assert "is not one that a run has written" in outcome.err


def test_what_a_row_says_is_shown_and_not_obeyed(stored, rows, replay, tmp_path):
    trial = _id(rows, label="mmd")
    hostile = pl.lit("\x1b]0;pwn\x07x").alias("problem")
    outcome = replay(trial, "--results", str(_with_changed_row(stored, tmp_path, trial, hostile)))
    assert "\x1b" not in outcome.out
    assert "\\x1b]0;pwn" in outcome.out


SLOW = """
name: slow
title: Slow
trials: 1
timeout: 0.3
problems: [{name: gaussian_mean}]
methods: [{name: sleepy}, {name: choosy}, {name: truth}]
metrics: [error]
"""
SLEEPY = """
import time
from bench_core import Fit, Method, hookimpl

class Sleepy(Method):
    'Sleeps.'
    name = "sleepy"
    def fit(self, trials):
        time.sleep(60)

class Choosy(Method):
    'Wants what is not there.'
    name = "choosy"
    needs = frozenset({"pictures"})
    def fit(self, trials):
        raise AssertionError

@hookimpl
def bench_register_methods():
    return [Sleepy, Choosy]
"""


def test_a_timeout_is_replayed_and_a_skipped_trial_is_told(project, cli):
    project({"slow.yaml": SLOW, "extra/sleepy.py": SLEEPY})
    assert cli("run", "slow.yaml", "--plugin-dir", "extra", "--quiet").code == 1
    assert cli("export", "--plugin-dir", "extra", "--output", "all.parquet").code == 0
    ids = dict(pl.read_parquet("all.parquet").select("label", "trial_id").rows())
    slow = cli("replay", ids["sleepy"], "--plugin-dir", "extra")
    assert slow.code == 0, slow
    assert "took longer than 0.3 s alone" in slow.out
    skipped = cli("replay", ids["choosy"], "--plugin-dir", "extra")
    assert skipped.code == 2
    assert "never ran: it was skipped, since gaussian_mean has no pictures" in skipped.err


def test_an_older_run_is_searched_too(rows, replay, cli):
    trial = _id(rows, label="mmd")
    fresh = cli("run", "toy.yaml", "--plugin-dir", "extra", "--fresh", "--method", "mle", "--trials", "2", "--quiet",
                "--executor", "inline")  # fmt: skip
    assert fresh.code == 0
    assert replay(trial).code == 0


@pytest.mark.parametrize(
    ("a", "b", "rtol", "same"),
    [
        (1.0, 1.0, 0.0, True),
        (1.0, 1.0 + 2**-52, 0.0, False),
        (1.0, 1.0009, 1e-3, True),
        (1.0, 1.002, 1e-3, False),
        (float("nan"), float("nan"), 0.0, True),
        (float("nan"), 1.0, 1.0, False),
        (float("inf"), float("inf"), 1e-3, True),
        (3, 4, 1.0, False),
        ("a", "a", 0.0, True),
        (None, 1.0, 1.0, False),
    ],
)
def test_equal_means_the_same_bits_or_within_the_tolerance(a, b, rtol, same):
    assert replaying._equal(a, b, rtol) is same
