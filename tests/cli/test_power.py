"""What planned trials can show: the numbers of ``stats``, for the right pairs, levels and discordances."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from bench_core import stats
from bench_core.cli.power import about
from bench_core.plan import make_plan
from bench_core.planning_power import efficiency_of, power_of, smallest_rate_difference, spread_of
from bench_core.suite import load_suite

SUITE = """\
name: planned
title: Planned, not run
trials: {trials}
problems: [{{name: gaussian_mean, params: {{d: 2, threshold: 0.5}}, grid: {{m: [20, 40]}}}}]
methods:
  - {{name: mle, label: one, params: {{iterations: 1}}}}
  - {{name: mle, label: two, params: {{iterations: 2}}}}
  - {{name: mle, label: three, params: {{iterations: 3}}, trials: 100}}
  - name: mle
    label: tuned
    trials: 100
    select: {{grid: {{lr: [0.1, 0.3]}}, metric: error, trials: 4}}
  - {{name: truth}}
metrics: [success, error]
report: {{metric: success, x: m}}
"""
ALPHA = 0.05 / 12  # six pairs of labels in each of two problem cells


@pytest.fixture
def checkout(project, plugins, monkeypatch):
    monkeypatch.setattr("bench_core.cli.power.open_plugins", lambda *_: plugins)
    return project({"pyproject.toml": "[tool.bench]\n", "suites/planned.yaml": SUITE.format(trials=400)})


@pytest.fixture
def bench(cli, checkout):
    def call(*arguments, code=0):
        outcome = cli("power", *arguments)
        assert outcome.code == code, outcome.err
        return outcome

    return call


@pytest.fixture
def pilot(checkout, plugins):
    """Store errors of labels in the cell m = 20, at seed 3: ``pilot({label: errors})``."""

    def store(labels):
        suite = load_suite(checkout / "suites" / "planned.yaml").model_copy(update={"seed": 3})
        rows = [
            {
                "trial_id": cell.trial_id(repeat),
                "cell_id": cell.cell_id,
                "label": cell.label,
                "repeat": repeat,
                "seed": 3,
                "split": "main",
                "status": "ok",
                "seconds": 1.0,
                "data_digest": f"{repeat}",
                "method_digest": cell.method_digest,
                "problem_digest": cell.problem_digest,
                "metric.error": float(error),
            }
            for cell in make_plan(suite, plugins).cells
            if cell.label in labels and cell.problem_params["m"] == 20
            for repeat, error in enumerate(labels[cell.label])
        ]
        folder = checkout / "results" / "planned" / "20260101T000000Z-s3-cpu"
        folder.mkdir(parents=True)
        (folder / "suite.yaml").write_text(suite.resolved(), encoding="utf-8")
        pl.DataFrame(rows).write_parquet(folder / "trials.parquet")

    return store


def flat(text):
    return " ".join(text.split())


def pairs(bench, *arguments):
    found = json.loads(bench("planned", *arguments, "--json").out)
    return {(each["a"], each["b"], each["problem_params"]["m"]): each for each in found["pairs"]}, found


def test_without_results_three_cases_are_shown(bench):
    found, whole = pairs(bench)
    assert len(found) == whole["comparisons"] == 12  # the control aside
    assert whole["alpha"] == pytest.approx(ALPHA)
    assert whole["trials"] == {"one": 400, "two": 400, "three": 100, "tuned": 100}
    assert (whole["pilot"], whole["looks"], whole["unit"]) == (None, [400], "success")
    for (a, b, _), pair in found.items():
        trials = 400 if {a, b} == {"one", "two"} else 100
        assert (pair["trials"], pair["stored"]) == (trials, 0)
        assert [each["discordance"] for each in pair["scenarios"]] == [0.1, 0.3, 0.5]
        for each in pair["scenarios"]:
            least = stats.detectable_rate_difference(trials, each["discordance"], ALPHA)
            assert np.isnan(least) or each["smallest"] == pytest.approx(least)
    out = bench("planned").out
    least = stats.detectable_rate_difference(400, 0.3, ALPHA)
    assert any(line.split()[:3] == ["one,", "two", "400"] and f"{least:.3f}" in line for line in out.splitlines())
    assert "three, tuned with each" in out
    assert "At 5 % shared among the 12 comparisons of the table" in flat(out)
    assert "(p ≤ 0.0042)" in flat(out)
    assert "5 %/" not in out
    assert "the smaller of their two numbers" in flat(out)
    assert max(map(len, out.splitlines())) <= 100


def test_a_difference_that_needs_more_discordance_is_found_with_more():
    assert np.isnan(stats.detectable_rate_difference(20, 0.1, 0.05))
    least = smallest_rate_difference(20, 0.1, 0.05)
    assert stats.mcnemar_power(20, least, 0.0, 0.05) >= 0.8 > stats.mcnemar_power(20, least - 1e-3, 0.0, 0.05)
    assert np.isnan(smallest_rate_difference(5, 0.5, 0.05))  # five pairs are never a separation


def test_stored_trials_of_another_seed_tell_the_discordance(bench, pilot):
    pilot({"one": [0.1] * 30 + [0.9] * 20, "two": [0.1] * 25 + [0.9] * 25})
    found, whole = pairs(bench)
    (scenario,) = found["one", "two", 20]["scenarios"]
    assert (found["one", "two", 20]["stored"], scenario["discordance"]) == (50, 0.1)
    assert scenario["smallest"] == pytest.approx(stats.detectable_rate_difference(400, 0.1, ALPHA))
    assert whole["pilot"].endswith("-s3-cpu")
    assert found["one", "two", 40]["stored"] == 0
    out = bench("planned").out
    (line,) = [line for line in out.splitlines() if line.strip().startswith("one – two")]
    assert line.split()[-2:] == [
        f"{scenario['smallest']:.3f}",
        f"~{found['one', 'two', 40]['scenarios'][1]['smallest']:.3f}",
    ]
    assert "5 pairs never run" in out
    assert "(here in 10 % to 10 % of the trials)" in flat(out)
    assert pairs(bench, "--results", "elsewhere")[1]["pilot"] is None


def test_trials_of_another_suite_tell_nothing(bench, pilot, checkout):
    pilot({"one": [0.1] * 30 + [0.9] * 20, "two": [0.1] * 25 + [0.9] * 25})
    (run,) = (checkout / "results" / "planned").iterdir()
    other = checkout / "results" / "quite-another" / run.name.replace("-s3-", "-s5-")
    other.mkdir(parents=True)
    text = (run / "suite.yaml").read_text(encoding="utf-8")
    (other / "suite.yaml").write_text(text.replace("name: planned", "name: quite-another"), encoding="utf-8")
    assert pairs(bench)[1]["pilot"] == run.name


def test_a_label_that_cannot_run_is_compared_with_none(checkout, plugins):
    plan = make_plan(load_suite(checkout / "suites" / "planned.yaml"), plugins)
    cells = tuple(replace(cell, skipped="no samples" if cell.label == "three" else None) for cell in plan.cells)
    told = power_of(replace(plan, cells=cells), plugins.metrics.get("success"))
    assert {label for pair in told.pairs for label in (pair.a, pair.b)} == {"one", "two", "tuned"} == set(told.trials)


def test_the_last_sentence_says_it_all(bench, pilot):
    least = [
        stats.detectable_rate_difference(400, 0.1, ALPHA),
        stats.detectable_rate_difference(100, 0.5, ALPHA),
    ]
    out = flat(bench("planned").out)
    words = (
        f"differences in success of about {about(least[0])} (m = 20, 10 % discordant, 400 trials) to "
        f"{about(least[1])} (m = 20, 50 % discordant, 100 trials) show"
    )
    assert words.replace("m = 20, ", "") in out.replace("m = 20, ", "")
    assert "With the planned trials, " in out
    pilot({"one": [0.1] * 30 + [0.9] * 20, "two": [0.1] * 25 + [0.9] * 25})
    assert f"of about {about(least[0])} (m = 20, one – two) to" in flat(bench("planned").out)
    out = flat(bench("planned", "--difference", "0.05").out)
    found = json.loads(bench("planned", "--difference", "0.05", "--json").out)["pairs"]
    sure = sum(all(s["trials"] and s["trials"] <= p["trials"] for s in _counted(p)) for p in found)
    assert f"The planned trials find such a difference in {sure} of the 12 comparisons" in out


def _counted(pair):
    return pair["scenarios"][:1] if pair["stored"] else pair["scenarios"]


def test_sizes_in_words():
    assert [about(each) for each in (0.0634, 0.1523, 0.0149, 0.98, 2345.4)] == ["0.06", "0.15", "0.015", "1", "2345"]


def test_more_discordance_than_was_seen_is_disclosed(bench, pilot):
    pilot({"one": [0.1] * 30 + [0.9] * 20, "two": [0.1] * 30 + [0.9] * 20})  # which never disagree
    (scenario,) = pairs(bench)[0]["one", "two", 20]["scenarios"]
    assert (scenario["discordance"], scenario["raised"]) == (0.0, True)
    assert stats.mcnemar_power(400, scenario["smallest"], 0.0, ALPHA) >= 0.8
    out = bench("planned").out
    assert f"{scenario['smallest']:.3f}^" in out
    assert "^: more than how often exactly one of the two succeeds" in flat(out)
    assert pairs(bench)[0]["one", "two", 40]["scenarios"][2]["raised"] is False


def test_many_pairs_of_labels_share_a_line(bench, pilot, checkout):
    labels = [f"label{i}" for i in range(7)]  # 21 pairs
    suite = SUITE.format(trials=400).split("methods:")[0] + "methods:\n"
    suite += "".join(
        f"  - {{name: mle, label: {label}, params: {{iterations: {i + 1}}}}}\n" for i, label in enumerate(labels)
    )
    suite += "metrics: [success, error]\nreport: {metric: success, x: m}\n"
    (checkout / "suites" / "planned.yaml").write_text(suite, encoding="utf-8")
    pilot({label: [0.1] * (5 * i) + [0.9] * (50 - 5 * i) for i, label in enumerate(labels)})
    out = bench("planned").out
    assert len([line for line in out.splitlines() if line.strip().startswith("label") and " – label" in line]) == 11
    assert "10 more pairs" in out
    assert "--json has all" in out
    assert len(pairs(bench)[0]) == 42


def test_trials_for_a_difference(bench, pilot):
    pilot({"one": [0.1] * 30 + [0.9] * 20, "two": [0.1] * 25 + [0.9] * 25})
    found, _ = pairs(bench, "--difference", "0.05")
    needed = stats.pairs_for_rate_difference(0.05, 0.1, ALPHA)
    assert found["one", "two", 20]["scenarios"][0]["trials"] == needed
    out = bench("planned", "--difference", "0.05").out
    assert f"{needed} *" in out
    assert "*: more than planned." in out
    # A difference of 0.2 takes at least that much discordance.
    found, _ = pairs(bench, "--difference", "0.2")
    assert found["one", "two", 20]["scenarios"][0]["trials"] == stats.pairs_for_rate_difference(0.2, 0.2, ALPHA)


def test_trials_may_be_tried_out(bench):
    found, whole = pairs(bench, "--trials", "1000")
    assert {each["trials"] for each in found.values()} == set(whole["trials"].values()) == {1000}


def test_looks_share_the_level(bench, checkout):
    suite = SUITE.format(trials="{max: 200, until: {half_width: 0.05}}")
    (checkout / "suites" / "planned.yaml").write_text(suite, encoding="utf-8")
    found, whole = pairs(bench)
    assert whole["looks"] == [50, 100, 200]
    assert whole["alpha"] == pytest.approx(ALPHA / 3)
    least = stats.detectable_rate_difference(200, 0.5, ALPHA / 3)
    assert found["one", "two", 20]["scenarios"][2]["smallest"] == pytest.approx(least)
    out = flat(bench("planned").out)
    assert "at most 200 of one, two" in out
    assert "Looks: after 50, 100, 200 trials" in out
    assert "the 12 comparisons of the table (all pairs of labels of 2 problem cells) and the 3 looks" in out


def test_errors_are_in_standard_deviations_or_in_their_unit(bench, pilot):
    found, whole = pairs(bench, "--metric", "error", "--difference", "0.5")
    (scenario,) = found["one", "two", 20]["scenarios"]
    assert scenario["smallest"] == pytest.approx(stats.detectable_shift(400, ALPHA))
    assert scenario["trials"] == stats.pairs_for_shift(0.5, ALPHA)
    assert whole["unit"] == "standard deviations of the paired differences"
    rng = np.random.default_rng(0)
    errors, noise = rng.uniform(1, 2, 50), rng.normal(0, 0.1, 50)
    pilot({"one": errors, "two": errors + noise})
    found, whole = pairs(bench, "--metric", "error", "--difference", "0.05")
    (scenario,) = found["one", "two", 20]["scenarios"]
    ordered = np.sort(noise)
    spread = (ordered[37] - ordered[12]) / 1.349
    assert whole["unit"] == "error"
    assert scenario["spread"] == pytest.approx(spread, rel=1e-3)
    assert scenario["smallest"] == pytest.approx(spread * stats.detectable_shift(400, ALPHA), rel=1e-3)
    assert scenario["trials"] == stats.pairs_for_shift(0.05 / scenario["spread"], ALPHA)
    assert found["one", "two", 40]["scenarios"][0]["trials"] is None
    assert "?: not known" in flat(bench("planned", "--metric", "error").out)


def test_a_mean_is_tested_at_full_efficiency():
    assert [efficiency_of(kind) for kind in ("mean", "skewed")] == [1.0, stats.WILCOXON_EFFICIENCY]


def test_the_spread_of_failures_is_none():
    inf = float("inf")
    assert spread_of(np.array([1.0, inf, inf, inf]), np.array([0.5, 1.0, 1.0, 1.0]), "skewed") is None
    assert spread_of(np.array([1.0, 2.0]), np.array([1.0, 2.0]), "mean") is None
    tenths = np.arange(9) / 10
    assert spread_of(tenths + 0.5, tenths, "mean") is None  # it is rounding
    assert spread_of(np.array([1.0, 2.0, 4.0]), np.zeros(3), "mean") == pytest.approx(np.std([1, 2, 4], ddof=1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plannd"], "there is no suite 'plannd'"),
        (["planned", "--metric", "sucess"], "suite 'planned' has no metric 'sucess'; did you mean 'success'?"),
        (["planned", "--difference", "1.5"], "--difference: a difference in success is above 0 and at most 1, got 1.5"),
        (
            ["planned", "--metric", "error", "--difference", "0"],
            "--difference: a difference in error is above 0, got 0",
        ),
        (["alone"], "suite 'alone' has no two labels that success compares"),
    ],
)
def test_what_the_user_can_put_right(bench, checkout, arguments, message):
    alone = (
        "name: alone\ntitle: x\ntrials: 5\nproblems: [{name: gaussian_mean}]\nmethods: [{name: mle}, {name: truth}]\n"
    )
    (checkout / "suites" / "alone.yaml").write_text(f"{alone}metrics: [success]\n", encoding="utf-8")
    outcome = bench(*arguments, code=2)
    assert outcome.out == ""
    assert outcome.err.startswith(f"error: {message}")
