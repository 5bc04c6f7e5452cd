"""Hyper-parameters are chosen on holdout trials alone, by the rule that is stated, and everything about it is shown."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from bench_core.errors import SuiteError
from bench_core.plan import make_plan
from bench_core.results import load_results
from bench_core.selection import Selection, select
from bench_core.store import find_runs
from bench_core.suite import load_suite

SUITE = """
name: tuned
title: Tuned
trials: 20
problems: [{name: gaussian_mean, params: {d: 2, threshold: 0.2}, grid: {m: [20, 40]}}]
methods:
  - name: mmd
    params: {iterations: 60, lr: 0.05}
  - name: mmd
    label: mmd-tuned
    params: {iterations: 60}
    select: {grid: {lr: [0.0001, 0.1], iterate: [last, average]}, metric: error, trials: 10}
  - name: truth
metrics: [success, error]
report: {metric: success, x: m}
"""
FOUR = [{"lr": lr, "iterate": iterate} for lr in (0.0001, 0.1) for iterate in ("last", "average")]


@pytest.fixture
def folder(project: Callable[..., Path]) -> Path:
    return project({"tuned.yaml": SUITE})


@pytest.fixture
def bench(cli: Callable[..., Any]) -> Callable[..., Any]:
    def run(*arguments: str, code: int = 0) -> Any:
        inline = ("--executor", "inline", "--quiet") if arguments[0] == "run" else ()
        outcome = cli(*arguments, *inline)
        assert outcome.code == code, outcome
        return outcome

    return run


def exported(bench: Callable[..., Any]) -> pl.DataFrame:
    bench("export", "--output", "all.parquet")
    return pl.read_parquet("all.parquet")


# ---- the plan --------------------------------------------------------------------------------------------------------


def test_a_label_that_is_not_decided_has_candidates_and_no_cell_in_the_report(folder, plugins):
    plan = make_plan(load_suite(folder / "tuned.yaml"), plugins)
    main = [cell for cell in plan.cells if cell.split == "main"]
    candidates = [cell for cell in plan.cells if cell.split == "select"]
    assert [cell.label for cell in main] == ["mmd", "truth"] * 2
    assert plan.undecided == ("mmd-tuned",)
    assert [(cell.choice, cell.x) for cell in candidates] == [(choice, m) for choice in FOUR for m in (20, 40)]
    assert {cell.trials for cell in candidates} == {10}
    assert all(cell.method_params.items() >= {**cell.choice, "iterations": 60}.items() for cell in candidates)
    assert plan.trials == 2 * 2 * 20 + 4 * 2 * 10


def test_a_decided_label_stands_where_the_suite_has_it(folder, plugins):
    plan = make_plan(load_suite(folder / "tuned.yaml"), plugins, chosen={"mmd-tuned": FOUR[3]})
    main = [cell for cell in plan.cells if cell.split == "main"]
    assert [cell.label for cell in main] == ["mmd", "mmd-tuned", "truth"] * 2
    assert main[1].method_params["lr"] == 0.1
    assert main[1].trials == 20
    assert plan.undecided == ()


def test_holdout_trials_have_other_data_and_the_same_for_every_candidate(folder, plugins):
    plan = make_plan(load_suite(folder / "tuned.yaml"), plugins, chosen={"mmd-tuned": FOUR[0]})
    paths: dict[tuple[str, int], set[str]] = {}
    for cell in plan.cells:
        paths.setdefault((cell.split, cell.x), set()).add(json.dumps(cell.data_path(3)))
    assert [len(each) for each in paths.values()] == [1] * 4
    assert len(set.union(*paths.values())) == 4


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ("lr: [0.1, -1]", "lr[1]: mmd: input should be greater than 0, got -1"),
        ("rate: [0.1]", "rate[0]: mmd has no parameter 'rate'"),
    ],
)
def test_what_a_method_refuses_is_told_before_anything_runs(project, bench, grid, message):
    folder = project({"tuned.yaml": SUITE.replace("lr: [0.0001, 0.1], iterate: [last, average]", grid)})
    assert f"tuned.yaml:12: methods[1].select.grid.{message}" in bench("run", "tuned.yaml", code=2).err
    assert not (folder / "results").exists()


# ---- the choice ------------------------------------------------------------------------------------------------------


@pytest.fixture
def chosen(folder, plugins) -> Callable[..., Selection]:
    """Choose by hand: ``chosen(errors)`` with ten outcomes per candidate and problem cell, a status for a failure."""

    def choose(outcomes: list[list[float | str]], metric: str = "error") -> Selection:
        text = SUITE.replace("metric: error, trials", f"metric: {metric}, trials")
        (folder / "tuned.yaml").write_text(text)
        plan = make_plan(load_suite(folder / "tuned.yaml"), plugins)
        cells = [index for index, cell in enumerate(plan.cells) if cell.split == "select"]
        rows = [
            (cell, repeat, value if isinstance(value, str) else "ok", value if not isinstance(value, str) else None)
            for cell, values in zip(cells, outcomes, strict=True)
            for repeat, value in enumerate(values)
        ]
        schema = {"cell": pl.Int64, "repeat": pl.Int64, "status": pl.String, "metric.error": pl.Float64}
        frame = pl.DataFrame(rows, schema=schema, orient="row").with_columns(
            seconds=pl.lit(0.5),
            split=pl.lit("select"),
            reason=pl.when(pl.col("status") != "ok").then(pl.col("status")),
            trial_id=pl.format("{}-{}", "cell", "repeat"),
            **{"budget.gradient_steps": pl.lit(60), "metric.success": (pl.col("metric.error") < 0.2).cast(pl.Float64)},
        )
        (selection,) = select(plan, frame, {name: plugins.metrics.get(name) for name in ("error", "success")})
        return selection

    return choose


def test_the_winner_has_the_least_median_over_all_problem_cells_together(chosen):
    rng = np.random.default_rng(0)
    outcomes = [list(rng.gamma(2.0, scale, 10)) for scale in (1.0, 4.0, 0.9, 0.9, 5.0, 0.2, 2.0, 2.0)]
    selection = chosen(outcomes)
    medians = [float(np.median(outcomes[2 * i] + outcomes[2 * i + 1])) for i in range(4)]
    assert [each.score for each in selection.candidates] == pytest.approx(medians)
    assert selection.winner.choice == FOUR[int(np.argmin(medians))]
    assert [each.score for each in selection.ranking] == sorted(each.score for each in selection.candidates)
    assert selection.seconds == pytest.approx(0.5 * 80)
    assert selection.budget == {"gradient_steps": 60 * 80}


def test_failed_trials_count_as_infinitely_bad(chosen):
    good, six_fail = [0.1] * 10, ["nan"] * 6 + [0.0] * 4
    selection = chosen([six_fail, six_fail, good, good, [0.2] * 10, [0.2] * 10, ["error"] * 10, ["timeout"] * 10])
    assert selection.winner.choice == FOUR[1]
    assert [each.n_failed for each in selection.candidates] == [12, 0, 0, 20]
    assert [each.score for each in selection.candidates] == [math.inf, 0.1, 0.2, math.inf]


def test_of_equal_scores_the_one_that_failed_less_wins_then_the_first(chosen):
    alike = [[0.1] * 9 + ["nan"], [0.1] * 10, [0.1] * 10, [0.1] * 10, [0.1] * 10, [0.1] * 10, [1.0] * 10, [1.0] * 10]
    assert [each.choice for each in chosen(alike).ranking] == [FOUR[1], FOUR[2], FOUR[0], FOUR[3]]


def test_a_share_is_better_when_it_is_higher(chosen):
    outcomes = [[0.1] * k + [0.9] * (10 - k) for k in (1, 2, 9, 9, 5, 5, 0, 0)]
    selection = chosen(outcomes, "success")
    assert selection.winner.choice == FOUR[1]
    assert selection.winner.score == pytest.approx(0.9)


def test_nothing_is_chosen_before_every_holdout_trial_is_there(chosen):
    selection = chosen([[0.1] * 10] * 7 + [[0.1] * 9])
    assert not selection.finished
    assert selection.winner is None
    assert (selection.n_attempted, selection.n_planned) == (79, 80)


# ---- through the command line ----------------------------------------------------------------------------------------


def test_a_run_chooses_and_then_runs_the_winner_on_the_trials_of_the_table(folder, bench):
    out = bench("run", "tuned.yaml").out
    rows = exported(bench)
    holdout = rows.filter(pl.col("split") == "select")
    assert len(holdout) == 4 * 2 * 10
    assert rows["split"].to_list() == ["main"] * (3 * 2 * 20) + ["select"] * 80
    medians = holdout.group_by("method.lr", "method.iterate").agg(pl.col("metric.error").median()).sort("metric.error")
    tuned = rows.filter((pl.col("label") == "mmd-tuned") & (pl.col("split") == "main"))
    assert set(tuned["method.lr"]) == {medians["method.lr"][0]} == {0.1}
    assert set(tuned["method.iterate"]) == {medians["method.iterate"][0]}
    assert not set(holdout["data_digest"]) & set(tuned["data_digest"])
    assert rows["trial_id"].n_unique() == len(rows)
    assert "4 × 20" in out
    assert f"lr=0.1, iterate={medians['method.iterate'][0]}" in out
    assert "runner-up" in out
    assert "by median error   lr 0.0001, 0.1 × iterate last, average (4 settings, 10 trials per problem)" in out
    assert "80 trials," in out


def test_the_report_says_how_in_every_format(folder, bench):
    bench("run", "tuned.yaml")
    (suite,) = json.loads(bench("report", "--format", "json").out)
    (selection,) = suite["selections"]
    assert selection["grid"] == {"lr": [0.0001, 0.1], "iterate": ["last", "average"]}
    assert selection["winner"] == selection["candidates"][0]["choice"]
    assert [each["n_attempted"] for each in selection["candidates"]] == [20] * 4
    assert selection["cost"]["trials"] == 80
    assert selection["cost"]["budget"]["gradient_steps"] == 80 * 60
    tuning = {row["label"]: row["tuning"] for row in suite["rows"]}
    assert tuning == {"mmd": None, "mmd-tuned": {"settings": 4, "trials": 20}, "truth": None}
    markdown = bench("report", "--format", "markdown").out
    assert all(word in markdown for word in ("chosen", "runner-up", "cost"))
    assert "4 × 20" in markdown


def test_holdout_trials_are_never_in_the_table(folder, bench):
    bench("run", "tuned.yaml")
    (suite,) = json.loads(bench("report", "--format", "json").out)
    assert {row["n_attempted"] for row in suite["rows"]} == {20}
    assert {each["n_pairs"] for each in suite["comparisons"]} == {20}


def test_a_stopped_selection_goes_on_and_chooses_the_same(folder, bench, plugins, monkeypatch):
    bench("run", "tuned.yaml", "--results", "whole")
    calls = []

    def stop(self, event):
        calls.append(event)
        if len(calls) > 5:
            raise KeyboardInterrupt
        finished(self, event)

    from bench_core import running

    finished = running._Session._finished
    with monkeypatch.context() as patch:
        patch.setattr(running._Session, "_finished", stop)
        bench("run", "tuned.yaml", "--results", "parts", code=130)
    out = bench("report", "parts").out
    assert "Not run yet:" in out
    assert "of 80 holdout trials are stored" in out
    bench("run", "tuned.yaml", "--results", "parts")
    both = [load_results(find_runs(Path(name))[0], plugins) for name in ("whole", "parts")]
    assert both[0].selections[0].winner.choice == both[1].selections[0].winner.choice
    frames = [each.frame.drop("seconds", "env_id") for each in both]
    assert frames[0].equals(frames[1])


def test_method_limits_the_selection_too_and_trials_do_not_touch_it(folder, bench):
    bench("run", "tuned.yaml", "--method", "truth", "--trials", "3")
    assert set(exported(bench)["split"]) == {"main"}
    bench("run", "tuned.yaml", "--method", "mmd-tuned", "--trials", "3")
    rows = exported(bench)
    counts = dict(
        rows.group_by("label", "split").len().select(pl.concat_str("label", "split", separator=" "), "len").rows()
    )
    assert counts == {"truth main": 6, "mmd-tuned main": 6, "mmd-tuned select": 80}


FLAKY = """
from bench_core.engines.recovery import GradientMethod
from bench_core import hookimpl
class Flaky(GradientMethod):
    'Does not take a learning rate of 0.1.'
    name = "flaky"
    def objective(self, task):
        if self.lr == 0.1:
            raise RuntimeError("too bold")
        return lambda theta: (theta - task.observed.mean(-2)).square().sum(-1)
@hookimpl
def bench_register_methods():
    return [Flaky]
"""


def test_failed_holdout_trials_have_a_reason_and_are_no_failed_run(project, bench):
    project({"tuned.yaml": SUITE.replace("name: mmd\n    label", "name: flaky\n    label"), "extra/flaky.py": FLAKY})
    out = bench("run", "tuned.yaml", "--plugin-dir", "extra").out
    assert "lr=0.0001, iterate=" in out
    assert "40 holdout trials: 40 × RuntimeError: too bold (bench replay " in " ".join(out.split())
    latex = bench("report", "--plugin-dir", "extra", "--format", "latex").out
    assert r"40 holdout trials: 40 $\times$ RuntimeError: too bold" in latex
    assert "tuning.settings,tuning.trials" in bench("report", "--plugin-dir", "extra", "--format", "csv").out


PICKY = """
import torch
from bench_core import hookimpl
from bench_core.metrics import MeasuredMetric
class Far(MeasuredMetric):
    'Infinite where the answer is far away.'
    name, kind, direction = "far", "mean", "lower"
    def measure(self, trials, fit):
        error = trials.problem.error(fit.answer, trials["truth"])
        return torch.where(error > 0.5, torch.inf, error)
class Pictures(MeasuredMetric):
    'Of pictures.'
    name, kind, direction, needs = "pictures", "mean", "lower", frozenset({"images"})
    def measure(self, trials, fit):
        raise AssertionError
@hookimpl
def bench_register_metrics():
    return [Far(), Pictures()]
"""


def test_a_setting_with_infinite_values_is_not_chosen_by_the_mean_of_the_rest(project, bench):
    text = SUITE.replace("metric: error, trials", "metric: far, trials")
    project({"tuned.yaml": text.replace("[success, error]", "[success, error, far]"), "extra/picky.py": PICKY})
    bench("run", "tuned.yaml", "--plugin-dir", "extra", "--method", "mmd-tuned", "--trials", "1")
    (suite,) = json.loads(bench("report", "--plugin-dir", "extra", "--format", "json").out)
    (selection,) = suite["selections"]
    bold = next(each for each in selection["candidates"] if each["choice"] == {"lr": 0.0001, "iterate": "last"})
    assert bold["n_failed"] > 0
    assert bold["score"] is None  # infinitely bad


def test_a_metric_that_no_problem_has_cannot_choose(project, bench):
    text = SUITE.replace("metric: error, trials", "metric: pictures, trials")
    text = text.replace("[success, error]", "[success, error, pictures]")
    project({"tuned.yaml": text, "extra/picky.py": PICKY})
    err = bench("run", "tuned.yaml", "--plugin-dir", "extra", code=2).err
    assert "tuned.yaml:12: methods[1].select.metric: no problem of this suite has the metric 'pictures'" in err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lr: [0.0001, 0.1]", f"lr: {[k / 1000 for k in range(1, 3000)]}", "required at most 10,000 cells"),
        ("trials: 10}", "trials: 10000000}", "required at most 10,000,000 trials in all cells together"),
        ("trials: 20\n", "trials: 2000000\n", "required at most 10,000,000 trials in all cells together"),
    ],
)
def test_what_a_selection_asks_for_is_bounded_before_it_is_planned(project, plugins, old, new, message):
    folder = project({"tuned.yaml": SUITE.replace(old, new, 1)})
    with pytest.raises(SuiteError, match=message):
        make_plan(load_suite(folder / "tuned.yaml"), plugins)


def test_a_selection_that_has_not_begun_is_not_shown(folder, bench):
    out = bench("run", "tuned.yaml", "--method", "truth", "--trials", "3").out
    assert "tuned" not in out.replace("mmd-tuned", "").replace("tuned/", "").replace("Tuned", "")
    assert "Not run yet: mmd, mmd-tuned." in out


def test_set_takes_a_parameter_out_of_the_grid(folder, bench):
    bench("run", "tuned.yaml", "--set", "mmd-tuned.lr=0.05", "--method", "mmd-tuned")
    rows = exported(bench)
    assert set(rows["method.lr"]) == {0.05}
    assert (rows["split"] == "select").sum() == 2 * 2 * 10
    bench("run", "tuned.yaml", "--set", "mmd-tuned.lr=0.05", "--set", "iterate=last", "--method", "mmd-tuned")
    assert set(exported(bench)["split"]) == {"main"}


def test_a_larger_holdout_adds_trials_to_those_that_are_stored(folder, bench):
    bench("run", "tuned.yaml", "--method", "mmd-tuned")
    before = exported(bench).filter(pl.col("split") == "select")
    (folder / "tuned.yaml").write_text(SUITE.replace("trials: 10}", "trials: 12}"))
    bench("run", "tuned.yaml", "--method", "mmd-tuned")
    after = exported(bench).filter(pl.col("split") == "select")
    assert len(after) == 4 * 2 * 12
    assert set(before["trial_id"]) < set(after["trial_id"])
    kept = after.join(before.select("trial_id", "seconds"), on="trial_id")
    assert kept["seconds"].to_list() == kept["seconds_right"].to_list()  # not run again


def test_dry_run_counts_holdout_trials_and_what_follows(folder, bench):
    out = bench("run", "tuned.yaml", "--dry-run").out
    assert "mmd-tuned, 4 settings" in out
    assert "160 of 160 trials to run" in out
    assert "mmd-tuned: 40 more once its hyper-parameters are chosen" in out


def test_a_method_that_cannot_run_on_a_problem_is_skipped_there_and_not_selected_on(project, bench):
    project(
        {
            "tuned.yaml": SUITE,
            "extra/blind.py": "from bench_core import hookimpl\n"
            "from bench_core.problems.gaussian_mean import GaussianMean\n"
            "class Blind(GaussianMean):\n"
            "    '''A Gaussian whose samples cannot be drawn.'''\n"
            "    name = 'blind'\n"
            "    capabilities = GaussianMean.capabilities - {'samples'}\n"
            "@hookimpl\n"
            "def bench_register_problems():\n"
            "    return [Blind]\n",
        }
    )
    text = SUITE.replace("grid: {m: [20, 40]}}]", "grid: {m: [20]}}, {name: blind, params: {d: 2, m: 20}}]")
    Path("tuned.yaml").write_text(text)
    bench("run", "tuned.yaml", "--plugin-dir", "extra")
    bench("export", "--output", "all.parquet", "--plugin-dir", "extra")
    rows = pl.read_parquet("all.parquet")
    assert set(rows.filter(pl.col("split") == "select")["problem"]) == {"gaussian_mean"}
    skipped = rows.filter(pl.col("status") == "skipped")
    assert sorted(zip(skipped["label"], skipped["problem"], strict=True)) == [("mmd", "blind"), ("mmd-tuned", "blind")]
