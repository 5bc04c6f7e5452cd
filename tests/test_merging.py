"""Results of several folders in one table, and what is refused there."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from bench_core.store import find_runs

SUITE = """\
name: day
title: Two days
trials: 12
problems: [{{name: gaussian_mean, params: {{d: 2, threshold: 0.6}}, grid: {{m: {m}}}}}]
methods: [{methods}]
metrics: [success, error]
report: {{metric: error, x: m}}
"""


def suite(methods: str = "{name: mle, params: {iterations: 3}}", m: str = "[20]") -> str:
    return SUITE.format(methods=methods, m=m)


@pytest.fixture
def folder(project):
    return project({"day.yaml": suite()})


@pytest.fixture
def run(folder, bench):
    """Run the suite, changed or not, into a folder of results."""

    def ran(results: str, text: str | None = None, *arguments: str) -> Path:
        (folder / "day.yaml").write_text(text or suite(), encoding="utf-8")
        bench("run", "day.yaml", "--executor", "inline", "--results", results, *arguments)
        return folder / results

    return ran


@pytest.fixture
def report(bench):
    def reported(*folders: Path | str, mix: bool = False):
        (found,) = json.loads(bench("report", *folders, "--format", "json", *["--mix"] * mix).out)
        return found

    return reported


def rows(found) -> dict[tuple[str, int], int]:
    return {(r["label"], r["problem_params"]["m"]): r["n_attempted"] for r in found["rows"] if r["metric"] == "error"}


def test_labels_of_two_folders_are_compared_trial_by_trial(run, report):
    a = run("a")
    b = run("b", suite("{name: mmd, params: {iterations: 3}}, {name: truth}"))
    apart = run("c", suite("{name: mle, params: {iterations: 3}}, {name: mmd, params: {iterations: 3}}, {name: truth}"))
    together = report(a, b)
    assert [r["label"] for r in together["rows"]][:3] == ["mle", "mmd", "truth"]
    wanted = report(apart)
    assert together["comparisons"] == wanted["comparisons"]
    assert [(r["label"], r["estimate"]) for r in together["rows"]] == [
        (r["label"], r["estimate"]) for r in wanted["rows"]
    ]


def test_problem_cells_are_put_in_the_order_of_x(run, report):
    a, b = run("a", suite(m="[40]")), run("b", suite(m="[20, 80]"))
    assert list(rows(report(a, b))) == [("mle", 20), ("mle", 40), ("mle", 80)]
    # Where nothing is added, the order is the suite's.
    assert list(rows(report(run("c", suite(m="[80, 20]")), run("d", suite(m="[20]"))))) == [("mle", 80), ("mle", 20)]


def test_trials_that_both_have_count_once_and_more_of_them_add(run, report):
    a, b = run("a"), run("b", None, "--trials", "30")
    assert rows(report(a, b)) == {("mle", 20): 30}
    assert report(a, b)["rows"][0]["estimate"] == report(b)["rows"][0]["estimate"]
    assert rows(report(a, a)) == {("mle", 20): 12}


def test_suites_of_different_names_stay_apart(run, folder, bench):
    a = run("a")
    (folder / "night.yaml").write_text(suite().replace("name: day", "name: night"))
    bench("run", "night.yaml", "--executor", "inline", "--results", "b")
    assert [each["suite"] for each in json.loads(bench("report", a, "b", "--format", "json").out)] == ["day", "night"]


CONFLICTS = {
    "seed": (["--seed", "3"], {}, "seed 0 in a/", "seed 3 in b/"),
    "parameters": (["--set", "mle.lr=0.5"], {}, "label mle is run with lr 0.1 in a/", "and lr 0.5 in b/"),
    "budget": (["--set", "mle.iterations=4"], {}, "iterations 3 in a/", "and iterations 4 in b/"),
    "version": ([], {"method_version": pl.lit("0")}, "method mle is version 1 in a/", "and 0 in b/"),
    "problem": ([], {"problem_version": pl.lit("0")}, "problem gaussian_mean is version 1 in a/", "and 0 in b/"),
    "data": ([], {"data_digest": pl.lit("0" * 16)}, "has other data in a/", "and so have 11 more"),
}


@pytest.mark.parametrize("case", CONFLICTS)
def test_what_is_not_comparable_is_refused_and_told_apart_where_the_user_insists(
    case, run, report, bench, folder, edited
):
    arguments, columns, *words = CONFLICTS[case]
    run("a")
    b = run("b", None, *arguments)
    if columns:
        edited(b, **columns)
    refused = bench("report", "a", "b", code=2)
    assert refused.out == ""
    assert "these results do not belong into one table" in refused.err
    for word in words:
        assert word in refused.err
    mixed = report("a", "b", mix=True)
    assert rows(mixed) == {("mle", 20): 12, ("mle (2)", 20): 12}
    pairs = {each["n_pairs"] for each in mixed["comparisons"]}
    assert pairs == ({12} if case in ("parameters", "budget", "version", "problem") else {0})
    text = " ".join(bench("report", "a", "b", "--mix").out.split())
    assert "(2): b/day/" in text
    assert words[0] in text


def test_trials_of_other_seeds_are_no_pairs_even_where_they_failed_before_they_saw_data(run, report, edited):
    for results, seed in (("a", "0"), ("b", "3")):
        edited(run(results, None, "--seed", seed), data_digest=pl.lit(None, pl.String), status=pl.lit("error"))
    assert {each["n_pairs"] for each in report("a", "b", mix=True)["comparisons"]} == {0}


def test_the_third_folder_is_held_against_the_second_too(run, report, bench):
    run("a")
    run("b", suite("{name: mmd, params: {iterations: 3}}"))
    run("c", suite("{name: mmd, params: {iterations: 4}}"), "--trials", "30")
    assert "iterations 3 in b/" in bench("report", "a", "b", "c", code=2).err
    assert rows(report("a", "b", "c", mix=True)) == {("mle", 20): 12, ("mmd", 20): 12, ("mmd (3)", 20): 30}


def test_a_label_that_looks_like_one_set_apart_stays_its_own(run, report):
    run("a", suite("{name: mle, params: {iterations: 3}}, {name: mle, label: mle (2), params: {iterations: 5}}"))
    run("b", suite("{name: mle, params: {iterations: 4}}"), "--trials", "30")
    assert rows(report("a", "b", mix=True)) == {("mle", 20): 12, ("mle (2)", 20): 12, ("mle (2a)", 20): 30}


def test_a_folder_that_lacks_a_metric_is_refused(run, bench):
    run("a")
    run("b", suite().replace("metrics: [success, error]", "metrics: [error]"))
    assert "success is measured in a/" in bench("report", "a", "b", code=2).err


def test_rows_of_older_versions_beside_newer_ones_are_no_conflict(run, report):
    a, b = run("a"), run("b")
    (found,) = find_runs(b)
    old = found.rows().with_columns(method_version=pl.lit("0"), cell_id=pl.lit("0" * 16))
    both = pl.concat([old, found.rows()])
    for path in found.folder.glob("trials.parquet*"):
        path.unlink()
    both.write_parquet(found.folder / "trials.parquet")
    assert rows(report(a, b)) == rows(report(b, a)) == {("mle", 20): 12}


def test_a_folder_that_cannot_be_read_is_left_out(run, folder, bench):
    a = run("a")
    (folder / "empty").mkdir()
    done = bench("report", "empty", a, "--format", "json")
    assert len(json.loads(done.out)) == 1
    assert "left out: there are no results in empty" in done.err


@pytest.mark.parametrize(
    "env", ['{"cpu": null}', '{"cpu": 3}', '{"device": ["a"]}', '{"x": 1e999}', '{"x": "\\ud800"}']
)
def test_a_strange_description_of_a_machine_costs_no_table(run, bench, env):
    (found,) = find_runs(run("a"))
    (key,) = json.loads((found.folder / "env.json").read_text())
    (found.folder / "env.json").write_text(f'{{"{key}": {env}}}')
    for format_ in ("rich", "csv", "json"):
        assert "mle" in bench("report", "a", "--format", format_).out


def test_a_terminal_obeys_nothing_in_a_csv(run, bench):
    (found,) = find_runs(run("a"))
    (key,) = json.loads((found.folder / "env.json").read_text())
    (found.folder / "env.json").write_text(json.dumps({key: {"cpu": "a\x9b31m\u202e"}}))
    out = bench("report", "a", "--format", "csv").out
    assert "\x9b" not in out
    assert "\u202e" not in out


def test_a_run_is_found_from_within(run, bench, monkeypatch):
    (found,) = find_runs(run("a"))
    monkeypatch.chdir(found.folder)
    (suite_,) = json.loads(bench("report", ".", "--format", "json").out)
    assert suite_["run"] == found.name


def test_another_dtype_in_one_folder_only_is_told(run, bench):
    run("a")
    run("b", suite("{name: mmd, params: {iterations: 3, dtype: float64}}"))
    assert "label mmd computes in float64" in bench("report", "a", "b", code=2).err


def test_seconds_of_two_machines_never_share_a_number(run, report, edited):
    a, b = run("a"), run("b", suite("{name: mmd, params: {iterations: 3}}"))
    (found,) = find_runs(b)
    (env,) = json.loads((found.folder / "env.json").read_text()).values()
    other = "0123456789abcdef"
    (found.folder / "env.json").write_text(json.dumps({other: {**env, "cpu": "Another"}}))
    edited(b, env_id=pl.lit(other))
    machines = {r["label"]: list(r["seconds_by"]) for r in report(a, b)["rows"]}
    assert len(machines["mle"]) == len(machines["mmd"]) == 1
    assert machines["mmd"][0].startswith("Another, ")
    assert machines["mle"] != machines["mmd"]
