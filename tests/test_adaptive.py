"""Adaptive repeats: problem cells that stop, all labels together, at the first look where the suite's rule holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

import polars as pl
import pytest

from bench_core import stats
from bench_core.adaptive import Reach, reaches
from bench_core.overrides import override
from bench_core.plan import make_plan
from bench_core.plugins import Plugins
from bench_core.suite import AdaptiveTrials, MethodEntry, ProblemEntry, Suite, UntilEntry

SUITE = """\
name: ad
title: Adaptive
trials: {max: 200, until: {half_width: 0.12}}
problems: [{name: gaussian_mean, params: {d: 2, threshold: 1.2}, grid: {m: [20, 40]}}]
methods: [{name: mle, params: {iterations: 3}}, {name: mmd, params: {iterations: 3}, trials: 60}, {name: truth}]
metrics: [success, error]
report: {metric: success, x: m}
"""


@pytest.fixture
def reach(plugins: Plugins) -> Callable[..., Reach]:
    """Return the reach of one problem cell, by hand: label -> outcome of each of its trials, a string for a failure."""

    def found(
        outcomes: Mapping[str, Sequence[float | str]],
        until: UntilEntry,
        *,
        most: int = 400,
        own: Mapping[str, int] | None = None,
        coming: Sequence[str] = (),
    ) -> Reach:
        methods = [
            MethodEntry(name=label if label in plugins.methods else "mle", label=label, trials=(own or {}).get(label))
            for label in outcomes
        ]
        suite = Suite(
            name="s",
            title="By hand",
            trials=AdaptiveTrials(max=most, until=until),
            problems=[ProblemEntry(name="gaussian_mean", params={"m": 20})],
            methods=methods,
            metrics=["success", "error"],
        )
        rows = [
            {
                "cell": index,
                "repeat": repeat,
                "status": value if isinstance(value, str) else "ok",
                "data_digest": str(repeat),
                "metric.success": None if isinstance(value, str) else float(value),
            }
            for index, values in enumerate(outcomes.values())
            for repeat, value in enumerate(values)
        ]
        schema = {"cell": pl.Int64, "repeat": pl.Int64, "status": pl.String, "data_digest": pl.String}
        frame = pl.DataFrame(rows, schema={**schema, "metric.success": pl.Float64})
        plan = make_plan(suite, plugins)
        return reaches(plan, frame, plugins.metrics.get("success"), coming)[plan.cells[0].problem_key]

    return found


HALF = UntilEntry(half_width=0.1)
LOOKS = (50, 100, 200, 400)


def test_nothing_stored_goes_to_the_first_look(reach):
    assert reach({"a": [], "b": []}, HALF, coming=["a"]) == Reach(LOOKS, 50, stopped=False)


def test_it_stops_at_the_first_look_where_every_interval_is_short(reach):
    # Exact intervals at 1 - 0.05 / 4: half-widths .053 for 0 of 50, .187 for 25 of 50, .083 for 100 of 200.
    half = {n: _half(n // 2, n) for n in LOOKS}
    assert half[100] > 0.1 >= half[200]
    assert reach({"a": [0] * 50, "b": [1] * 50}, HALF) == Reach(LOOKS, 50, stopped=True)
    assert reach({"a": [0, 1] * 25, "b": [1] * 50}, HALF) == Reach(LOOKS, 100, stopped=False)
    assert reach({"a": [0, 1] * 100, "b": [1] * 200}, HALF) == Reach(LOOKS, 200, stopped=True)


def _half(successes: int, n: int) -> float:
    interval = stats.clopper_pearson(successes, n, 1 - 0.05 / 4)
    return (interval.high - interval.low) / 2


def test_later_trials_decide_nothing(reach):
    at_50 = {"a": [0] * 50, "b": [1] * 50}
    assert reach({label: [*values, *([0, 1] * 175)] for label, values in at_50.items()}, HALF) == reach(at_50, HALF)


def test_an_incomplete_look_is_run_to_its_end(reach):
    assert reach({"a": [0] * 50, "b": [1] * 49}, HALF) == Reach(LOOKS, 50, stopped=False)


def test_a_label_with_fewer_trials_of_its_own_is_complete_with_them(reach):
    outcomes = {"a": [0, 1] * 50, "b": [1] * 20}
    assert reach(outcomes, UntilEntry(half_width=0.14), own={"b": 20}) == Reach(LOOKS, 100, stopped=True)
    # Nor does the interval of b, which cannot become shorter, keep a running.
    outcomes = {"a": [0] * 50, "b": [0, 1] * 10}
    assert reach(outcomes, HALF, own={"b": 20}) == Reach(LOOKS, 50, stopped=True)


def test_labels_that_neither_ran_nor_will_hold_nothing_up(reach):
    outcomes = {"a": [0] * 50, "b": []}
    assert reach(outcomes, HALF).stopped
    assert reach(outcomes, HALF, coming=["b"]) == Reach(LOOKS, 50, stopped=False)


def test_controls_are_waited_for_and_decide_nothing(reach):
    assert not reach({"a": [0] * 50, "truth": [1] * 49}, HALF).stopped
    assert reach({"a": [0] * 50, "truth": [0, 1] * 25}, HALF).stopped


def test_failures_count_as_no_success(reach):
    assert reach({"a": ["error"] * 50}, HALF) == Reach(LOOKS, 50, stopped=True)


def test_decided_stops_where_the_paired_test_of_one_look_among_all_separates(reach):
    rule = UntilEntry(decided=["a", "b"])
    # Discordant pairs that all favour a: p = 2 / 2^wins is .0039, .0078 and .0156, and must be below .05 / 4 = .0125.
    for wins, stopped in ((9, True), (8, True), (7, False)):
        found = reach({"a": [1] * 50, "b": [0] * wins + [1] * (50 - wins)}, rule)
        assert found == Reach(LOOKS, 50 if stopped else 100, stopped=stopped)


def test_decided_needs_both_labels(reach):
    assert not reach({"a": [1] * 50, "b": []}, UntilEntry(decided=["a", "b"])).stopped


def test_a_label_that_was_left_out_of_a_run_holds_nothing_up(reach):
    # As after `--method a`, which stopped at 50, and then `--method b`.
    outcomes = {"a": [0] * 50, "b": [0, 1] * 50}
    assert reach(outcomes, HALF) == Reach(LOOKS, 200, stopped=False)
    assert reach({**outcomes, "b": [0, 1] * 100}, HALF) == Reach(LOOKS, 200, stopped=False)  # a may still come


def test_at_the_maximum_it_ends_without_having_stopped(reach):
    assert reach({"a": [0, 1] * 30}, HALF, most=60) == Reach((50, 60), 60, stopped=False)


# ---- a run -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(project):
    return project({"ad.yaml": SUITE})


def run(bench, *arguments):
    return bench("run", "ad.yaml", "--executor", "inline", *arguments)


def table(bench, *arguments):
    (suite,) = json.loads(bench("report", *arguments, "--format", "json").out)
    return suite


def test_a_run_goes_from_look_to_look_and_says_what_it_saved(folder, bench):
    out = run(bench).out
    rows = table(bench)["rows"]
    trials = {
        (row["problem_params"]["m"], row["label"]): row["n_attempted"] for row in rows if row["metric"] == "success"
    }
    stops = {m: trials[m, "mle"] for m in (20, 40)}
    assert set(stops.values()) <= {50, 100, 200}
    assert stops == {20: 100, 40: 100}
    assert all(trials[m, "mmd"] == min(60, stops[m]) for m in stops)
    assert all(trials[m, "truth"] == stops[m] for m in stops)
    saved = sum(200 - each for each in stops.values()) * 2 + sum(60 - min(60, each) for each in stops.values())
    assert f"{saved} of {2 * (200 + 60 + 200)} trials saved" in " ".join(out.split())
    assert "everything is stored" in run(bench).err


def test_trials_beyond_the_stop_are_kept_and_not_reported(folder, bench):
    run(bench)
    before = table(bench)
    run(bench, "--trials", "200")
    assert {row["n_attempted"] for row in table(bench)["rows"]} == {200}
    assert "everything is stored" in run(bench).err
    after = table(bench)
    assert [row | {"seconds": 0} for row in after["rows"]] == [row | {"seconds": 0} for row in before["rows"]]
    assert after["comparisons"] == before["comparisons"]


def test_one_label_after_the_other_ends_where_all_at_once_end(folder, bench):
    run(bench, "--method", "mmd")
    run(bench, "--method", "mle")
    run(bench)
    apart = table(bench)
    run(bench, "--fresh")
    together = table(bench)
    assert [(r["label"], r["estimate"], r["n_attempted"]) for r in apart["rows"]] == [
        (r["label"], r["estimate"], r["n_attempted"]) for r in together["rows"]
    ]


def test_every_trial_says_at_which_look_it_ran(folder, bench):
    run(bench)
    bench("export", "results", "--output", "t.jsonl")
    rows = [json.loads(line) for line in (folder / "t.jsonl").read_text().splitlines()]
    looks = [json.loads(row["looks"]) for row in rows]
    assert all(each["looks"] == [50, 100, 200] and each["until"] == {"half_width": 0.12} for each in looks)
    assert all(row["repeat"] < look["at"] for row, look in zip(rows, looks, strict=True))


def test_intervals_and_p_values_hold_over_the_whole_path(folder, bench):
    run(bench)
    suite = table(bench)
    row = next(row for row in suite["rows"] if row["label"] == "mle" and row["metric"] == "success")
    exact = stats.clopper_pearson(round(row["estimate"] * row["n_attempted"]), row["n_attempted"], 1 - 0.05 / 3)
    assert (row["low"], row["high"]) == pytest.approx((exact.low, exact.high))
    assert row["level"] == 0.95
    test = suite["comparisons"][0]
    exact_p = stats.mcnemar_exact(
        [True] * test["n10"] + [False] * test["n01"], [False] * test["n10"] + [True] * test["n01"]
    ).p_value
    assert test["p_value_raw"] == pytest.approx(min(1.0, 3 * exact_p))


def test_a_number_of_trials_on_the_command_line_is_fixed(folder, plugins):
    suite = override(Suite.model_validate({**_minimal(), "trials": {"max": 8, "until": {"half_width": 0.1}}}), plugins)
    assert (suite.max_trials, suite.until) == (8, UntilEntry(half_width=0.1))
    fixed = override(suite, plugins, trials=5)
    assert (fixed.trials, fixed.until) == (5, None)


def _minimal() -> dict[str, object]:
    return {
        "name": "s",
        "title": "t",
        "problems": [{"name": "gaussian_mean", "params": {"m": 20}}],
        "methods": [{"name": "mle"}],
        "metrics": ["success"],
    }
