"""Reference results: what they stand in for, when they do not count, and how their age is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from bench_core.reference import age, reference_runs, with_seed
from bench_core.results import load_results
from bench_core.store import find_runs
from bench_core.suite import load_suite
from bench_core.suites import builtin_suites

SUITE = """\
name: tiny
title: A suite that has been run before
trials: 12
problems: [{name: gaussian_mean, params: {d: 2, threshold: 0.6}, grid: {m: [20]}}]
methods:
  - {name: mmd, params: {iterations: 3}}
  - name: mle
    label: mle-tuned
    params: {iterations: 3}
    select: {grid: {lr: [0.1, 0.3]}, metric: error, trials: 4}
  - {name: truth}
metrics: [success, error]
report: {metric: error, x: m}
"""


@pytest.fixture
def checkout(project, bench, repo):
    """A checkout with the reference results of one suite, as `benchmarks/reference.py` leaves them."""
    folder = project({"pyproject.toml": "[tool.bench]\n", "suites/tiny.yaml": SUITE})
    (folder / "plugins").symlink_to(repo / "plugins")
    bench("run", "tiny", "--executor", "inline", "--results", "made", "--no-reference")
    shutil.copytree(folder / "made" / "tiny", folder / "results" / "reference" / "tiny")
    shutil.rmtree(folder / "made")
    return folder


def table(bench, *arguments):
    (found,) = json.loads(bench("report", *arguments, "--format", "json").out)
    return {row["label"]: row for row in found["rows"] if row["metric"] == "error"}


def run(bench, *arguments):
    return bench("run", "tiny", "--executor", "inline", *arguments)


def test_a_method_of_ones_own_is_at_once_compared_with_every_reference_method(checkout, bench):
    out = run(bench, "--method", "init").out
    rows = table(bench)
    assert {label: row["reference"] for label, row in rows.items()} == {
        "mmd": True,
        "mle-tuned": True,
        "truth": True,
        "init": False,
    }
    assert rows["mmd"]["n_attempted"] == rows["init"]["n_attempted"] == 12
    assert rows["mle-tuned"]["tuning"] == {"settings": 2, "trials": 4}
    assert "reference results that come with bench" in " ".join(out.split())


def test_it_is_left_out_on_request(checkout, bench):
    out = run(bench, "--method", "init", "--no-reference").out
    assert "Not run yet: mmd, mle-tuned, truth." in out
    assert "reference results" not in out
    assert set(table(bench, "--no-reference")) == {"init"}
    assert table(bench)["mmd"]["reference"]


def test_it_never_counts_as_run(checkout, bench):
    assert "12 trials to run" in run(bench, "--method", "mmd").err
    rows = table(bench)
    assert not rows["mmd"]["reference"]
    assert rows["truth"]["reference"]
    reference = table(bench, "results/reference")
    assert rows["mmd"]["estimate"] == reference["mmd"]["estimate"]  # the same trials, so the same numbers


def test_another_seed_has_no_reference(checkout, bench):
    out = run(bench, "--method", "init", "--seed", "5").out
    assert "Not run yet: mmd, mle-tuned, truth." in out


def test_results_of_older_code_of_the_same_version_stand_in_and_say_so(checkout, bench, edited):
    edited(checkout / "results" / "reference" / "tiny", method_digest=pl.lit("another"))
    out = " ".join(run(bench, "--method", "init").out.split())
    assert "older code of the same declared version: mle-tuned, mmd, truth" in out
    assert table(bench)["mmd"]["n_attempted"] == 12


def test_results_of_another_version_do_not_stand_in_and_doctor_says_so(checkout, bench, edited):
    (found,) = find_runs(checkout / "results" / "reference" / "tiny")
    spec = found.rows()["spec"]
    edited(
        checkout / "results" / "reference" / "tiny",
        method_version=pl.lit("0"),
        spec=spec.str.replace('"method_version":"1"', '"method_version":"0"', literal=True),
        cell_id=pl.lit(None, pl.String),
    )
    run(bench, "--method", "init")
    assert set(table(bench)) == {"init"}
    found_problems = json.loads(bench("doctor", "--json", code=1).out)["problems found"]
    assert any(
        "tiny, seed 0 are stale: method mmd is version 1, its results are of 0" in each for each in found_problems
    )
    assert any("trials of the suite have no results: mmd, truth, mle-tuned" in each for each in found_problems)


def test_doctor_notes_another_source_under_the_same_version(checkout, bench, edited):
    assert json.loads(bench("doctor", "--json").out)["reference results"] == ["tiny, seed 0: 44 trials"]
    edited(checkout / "results" / "reference" / "tiny", method_digest=pl.lit("another"))
    (told,) = json.loads(bench("doctor", "--json").out)["reference results"]
    assert "the source of method mmd, or of what scores it, has changed under the same version" in told


def test_it_stands_in_only_for_what_none_of_several_folders_has(checkout, bench):
    bench("run", "tiny", "--executor", "inline", "--method", "mmd", "--results", "a")
    bench("run", "tiny", "--executor", "inline", "--method", "truth", "--results", "b")
    marks = {label: row["reference"] for label, row in table(bench, "a", "b").items()}
    assert marks == {"mmd": False, "mle-tuned": True, "truth": False}


def test_damaged_reference_results_are_left_out_and_told(checkout, bench):
    (found,) = find_runs(checkout / "results" / "reference" / "tiny")
    path = found.folder / "trials.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    out = " ".join(run(bench, "--method", "init").out.split())
    assert "Reference results left out, since they cannot be read" in out
    assert any("cannot be read" in each for each in json.loads(bench("doctor", "--json", code=1).out)["problems found"])


def test_a_folder_of_plugins_without_reference_results_takes_the_installed_ones(checkout, bench, monkeypatch):
    installed = checkout / "installed"
    (checkout / "results" / "reference").rename(installed)
    monkeypatch.setattr("bench_core.reference._installed", lambda: [installed])
    run(bench, "--method", "init")
    assert table(bench)["mmd"]["reference"]


def test_the_reference_does_not_decide_where_a_problem_stops(checkout, bench):
    rule = "trials: {max: 200, until: {half_width: 0.2}}"
    text = SUITE.replace("trials: 12", rule).replace("report: {metric: error", "report: {metric: success")
    (checkout / "suites" / "tiny.yaml").write_text(text)
    run(bench, "--method", "init", "--no-reference")
    alone = table(bench, "--no-reference")["init"]["n_attempted"]
    beside = table(bench)
    assert beside["init"]["n_attempted"] == alone
    assert beside["mmd"]["n_attempted"] == 12


def test_a_reference_trial_is_replayed(checkout, bench):
    run(bench, "--method", "init")
    bench("export", "results/reference", "--output", "t.csv")
    trial = pl.read_csv("t.csv").filter(pl.col("label") == "mmd")["trial_id"][3]
    assert "the same to the last bit" in bench("replay", trial).out
    shutil.rmtree(checkout / "results" / "tiny")
    assert "the same to the last bit" in bench("replay", trial).out


def test_verify_runs_nothing_that_the_reference_has(checkout, bench):
    text = SUITE + "claims: [{id: a, level: {label: mmd, metric: error, at_most: 100}}]\n"
    (checkout / "suites" / "tiny.yaml").write_text(text)
    done = bench("verify", "tiny", "--executor", "inline")
    assert "1 supported" in done.out
    assert not (checkout / "results" / "tiny").exists()
    bench("verify", "tiny", "--executor", "inline", "--no-reference")
    assert (checkout / "results" / "tiny").exists()


# ---- those that are shipped ------------------------------------------------------------------------------------------


def shipped(repo: Path) -> list[str]:
    return [path.stem for path in builtin_suites(repo) if reference_runs(path.stem, repo)]


def test_shipped_reference_results_are_those_of_the_declared_versions(repo, plugins):
    assert {"gaussian_cov", "gaussian_mean"} <= set(shipped(repo))
    for name in shipped(repo):
        for run in reference_runs(name, repo):
            found = age(run, load_suite(repo / "suites" / f"{name}.yaml"), plugins)
            assert found.stale == (), f"{run.folder}: run benchmarks/reference.py again"
            run.check_suite()
            assert run.rows()["seed"].unique().to_list() == [run.seed]
            assert set(run.rows()["env_id"]) <= set(run.environments())


def test_the_first_block_is_what_everybody_looks_at(repo):
    for name in shipped(repo):
        first = reference_runs(name, repo)[0]
        assert first.seed == load_suite(repo / "suites" / f"{name}.yaml").seed
        assert [run.folder for run in with_seed(name, first.seed, repo)] == [first.folder]
        assert find_runs(repo / "results" / "reference" / name)[0].folder == first.folder


CONFIRMED = {"gaussian_cov", "gaussian_mean", "init_distance", "dirac"}
"""Suites whose second block is there, too."""


def test_every_block_has_trials_of_every_label(repo, plugins):
    for name in shipped(repo):
        suite = load_suite(repo / "suites" / f"{name}.yaml")
        seeds = [run.seed for run in reference_runs(name, repo)]
        assert seeds == [0, 1] or (seeds == [0] and name not in CONFIRMED)
        for run in reference_runs(name, repo):
            found = load_results(run, plugins)
            cells = [index for index, cell in enumerate(found.plan.cells) if cell.split == "main" and not cell.skipped]
            skipped = {cell.label for cell in found.plan.cells if cell.skipped}
            labels = {found.plan.cells[index].label for index in cells}
            assert labels | skipped == {entry.label for entry in suite.methods}
            assert all(len(found.rows(index)) >= min(100, found.plan.cells[index].trials) for index in cells)
