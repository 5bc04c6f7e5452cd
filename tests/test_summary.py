"""Summaries of trials written by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_core.errors import SuiteError
from bench_core.plan import make_plan
from bench_core.plugins import Plugins, PluginSources, load_plugins
from bench_core.results import Results
from bench_core.suite import MethodEntry, ProblemEntry, Suite
from bench_core.summary import Comparison, Entry, Summary, as_json, summarise

PLUGIN = """\
from bench_core import Fit, Method, Problem, hookimpl
from bench_core.metrics import MeasuredMetric

class Score(MeasuredMetric):
    name, kind, direction = "score", "mean", "higher"
    def measure(self, trials, fit):
        return trials["x"]

class Plain(Problem):
    name = "plain"
    def draw(self, streams, folder):
        return {}

class Lost(Method):
    name = "lost"
    needs = frozenset({"magic"})
    def fit(self, trials):
        return Fit(answer=None)

@hookimpl
def bench_register_metrics():
    return [Score()]
@hookimpl
def bench_register_problems():
    return [Plain]
@hookimpl
def bench_register_methods():
    return [Lost]
"""

Outcome = float | str | None
"""The metric of a trial, the status of one that failed, or None for one that is not stored."""

SCHEMA = {
    "cell": pl.Int64,
    "label": pl.String,
    "trial_id": pl.String,
    "repeat": pl.Int64,
    "status": pl.String,
    "reason": pl.String,
    "seconds": pl.Float64,
    "data_digest": pl.String,
    "metric.error": pl.Float64,
    "metric.success": pl.Float64,
    "metric.score": pl.Float64,
    "budget.steps": pl.Int64,
    "budget.samples": pl.Int64,
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Plugins:
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "mine.py").write_text(PLUGIN, encoding="utf-8")
    plugins = load_plugins(PluginSources(folders=(folder,)))
    assert plugins.failures == []
    return plugins


@pytest.fixture(scope="module")
def table(loaded: Plugins) -> Callable[..., Summary]:
    """Summarise ``{label: outcomes}``, or a list of them: one per problem cell (m = 50, 100, …).

    ``budget`` gives label -> (steps, samples), ``digests`` label -> repeat -> digest.
    """

    def summarised(
        outcomes: Mapping[str, Sequence[Outcome]] | Sequence[Mapping[str, Sequence[Outcome]]],
        metric: str = "success",
        *,
        methods: Mapping[str, str] | None = None,
        budget: Mapping[str, tuple[int, int]] | None = None,
        digests: Mapping[str, Mapping[int, str | None]] | None = None,
        shown: str | None = None,
        problems: Sequence[ProblemEntry] | None = None,
    ) -> Summary:
        cells = [outcomes] if isinstance(outcomes, Mapping) else list(outcomes)
        labels = list(cells[0])
        suite = Suite(
            name="s",
            title="By hand",
            trials=max(1, *(len(trials) for cell in cells for trials in cell.values())),
            problems=list(
                problems or [ProblemEntry(name="gaussian_mean", grid={"m": [50 * (i + 1) for i in range(len(cells))]})]
            ),
            methods=[MethodEntry(name=(methods or {}).get(label, "mle"), label=label) for label in labels],
            metrics=list(dict.fromkeys([metric, "error", "success", "score"])),
        )
        plan = make_plan(suite, loaded)
        rows = [
            {
                "cell": index * len(labels) + labels.index(label),
                "label": label,
                "trial_id": f"{label}-{index}-{repeat}",
                "repeat": repeat,
                "status": value if isinstance(value, str) else "ok",
                "reason": f"a {value}" if isinstance(value, str) else None,
                "seconds": 0.5,
                "data_digest": (digests or {}).get(label, {}).get(repeat, f"{index}-{repeat}"),
                f"metric.{metric}": None if isinstance(value, str) else float(value),
                **dict(zip(("budget.steps", "budget.samples"), (budget or {}).get(label, (None, None)), strict=True)),
            }
            for index, cell in enumerate(cells)
            for label, trials in cell.items()
            for repeat, value in enumerate(trials)
            if value is not None
        ]
        frame = pl.DataFrame(rows, schema=SCHEMA)
        return summarise(Results(plan, "run", frame, stale=0, environments={}), loaded, shown)

    return summarised


def entry(summary: Summary, label: str, metric: str = "success", m: int = 50) -> Entry:
    (found,) = [e for e in summary.table(metric) if e.label == label and e.problem_params.get("m", m) == m]
    return found


def comparison(summary: Summary, a: str, b: str, metric: str = "success", m: int = 50) -> Comparison:
    (found,) = [c for c in summary.comparisons if (c.a, c.b, c.metric, c.where["m"]) == (a, b, metric, m)]
    return found


def wins(n: int, of: int) -> list[Outcome]:
    """Return ``of`` trials of which the first ``n`` succeed."""
    return [1.0] * n + [0.0] * (of - n)


Table = Callable[..., Summary]


# ---- failed trials ---------------------------------------------------------------------------------------------------

FAILED = ["nan", "nan", "error", "timeout"]


def test_a_failed_trial_is_no_success_and_stays_in_the_denominator(table: Table) -> None:
    found = entry(table({"a": [*wins(5, 6), *FAILED]}), "a")
    assert (found.estimate, found.n_attempted, found.n_failed) == (0.5, 10, 4)
    assert found.failures == {"nan": 2, "error": 1, "timeout": 1}
    assert found.reasons == {"a nan": 2, "a error": 1, "a timeout": 1}
    assert found.examples == {"a nan": "a-0-6", "a error": "a-0-8", "a timeout": "a-0-9"}
    assert found.interval == "clopper-pearson"
    assert found.low == pytest.approx(0.187086, abs=1e-6)  # of 5 out of 10


def test_a_failed_trial_is_infinitely_bad_in_a_median(table: Table) -> None:
    assert entry(table({"a": [3.0, 1.0, 2.0, "nan", "error"]}, "error"), "a", "error").estimate == 3.0
    assert entry(table({"a": [1.0, "nan", "error"]}, "error"), "a", "error").estimate == math.inf
    found = entry(table({"a": [0.1, 0.2, 0.3, 0.4, 0.5, "nan"]}, "error"), "a", "error")
    assert (found.estimate, found.low, found.high) == (pytest.approx(0.35), 0.1, math.inf)


def test_a_failed_trial_is_excluded_from_a_mean_but_counted(table: Table) -> None:
    found = entry(table({"a": [1.0, 2.0, 3.0, "nan"]}, "score"), "a", "score")
    assert (found.estimate, found.n_attempted, found.n_failed, found.interval) == (2.0, 4, 1, "student-t")
    assert found.high == pytest.approx(4.484, abs=1e-3)


def test_failed_trials_count_in_comparisons(table: Table) -> None:
    successes = table({"a": [1.0] * 8, "b": ["error"] * 8})
    assert (comparison(successes, "a", "b").n10, comparison(successes, "a", "b").n_pairs) == (8, 8)
    errors = comparison(table({"a": [0.1] * 4, "b": ["nan"] * 4}, "error"), "a", "b", "error")
    assert (errors.n10, errors.n01, errors.n_pairs, errors.difference) == (4, 0, 4, -math.inf)
    scores = comparison(table({"a": [1.0, 2.0, 3.0], "b": [1.0, "nan", 2.0]}, "score"), "a", "b", "score")
    assert scores.n_pairs == 2  # a mean has no value to give to a failed trial


def test_a_trial_that_lacks_the_metric_is_no_failure(table: Table) -> None:
    summary = table({"a": [*wins(1, 2)]}, "error", shown="success")  # stored before success was asked for
    assert math.isnan(entry(summary, "a").estimate)


# ---- the best and the others -----------------------------------------------------------------------------------------


def test_the_best_is_never_a_control(table: Table) -> None:
    methods = {"ceiling": "truth", "floor": "init"}
    summary = table(
        {"ceiling": wins(40, 40), "a": wins(30, 40), "b": wins(2, 40), "floor": wins(0, 40)}, methods=methods
    )
    verdicts = {e.label: e.verdict for e in summary.table("success")}
    assert verdicts == {"ceiling": "", "a": "best", "b": "separated", "floor": ""}
    assert [(c.a, c.b) for c in summary.comparisons if c.metric == "success"] == [("a", "b")]
    assert entry(summary, "ceiling").control


def test_the_best_has_the_smallest_error_or_the_highest_score(table: Table) -> None:
    outcomes = {"a": [0.1] * 8, "b": [0.2] * 8}
    assert entry(table(outcomes, "error"), "a", "error").verdict == "best"
    assert entry(table(outcomes, "score"), "b", "score").verdict == "best"


def test_a_label_without_rival_is_not_called_best(table: Table) -> None:
    assert entry(table({"a": wins(5, 9)}), "a").verdict == ""
    assert entry(table({"a": wins(5, 9), "floor": wins(0, 9)}, methods={"floor": "init"}), "a").verdict == ""


def test_each_problem_cell_has_its_own_best(table: Table) -> None:
    summary = table([{"a": wins(9, 9), "b": wins(1, 9)}, {"a": wins(1, 9), "b": wins(9, 9)}])
    best = [(e.label, e.problem_params["m"]) for e in summary.table("success") if e.verdict == "best"]
    assert best == [("a", 50), ("b", 100)]


def test_a_difference_is_a_minus_b_and_pairs_are_by_repeat(table: Table) -> None:
    compared = comparison(table({"a": [1, 1, 0, 0, 1], "b": [0, 1, 1, 0, 0]}), "a", "b")
    assert (compared.n10, compared.n01, compared.n_pairs) == (2, 1, 5)
    assert compared.difference == pytest.approx(0.2)
    assert compared.test == "mcnemar_exact"


def test_six_discordant_pairs_may_separate_and_fewer_never_do(table: Table) -> None:
    six, five = (comparison(table({"a": wins(n, 200), "b": wins(0, 200)}), "a", "b") for n in (6, 5))
    assert (six.p_value, six.separated) == (pytest.approx(0.03125), True)
    assert (five.p_value, five.separated) == (pytest.approx(0.0625), False)
    errors = table({"a": [0.1] * 5 + [1.0] * 30, "b": [0.2] * 5 + [1.0] * 30}, "error")
    assert not comparison(errors, "a", "b", "error").separated


def test_pairs_that_favour_another_label_do_not_separate_it_from_the_best(table: Table) -> None:
    # On the 20 trials that both have b wins all; a has the better estimate by trials that b does not have.
    summary = table({"a": [0.0] * 20 + [1.0] * 80, "b": [1.0] * 15 + [0.0] * 5 + [None] * 80})
    assert entry(summary, "a").verdict == "best"
    assert comparison(summary, "a", "b").separated
    assert entry(summary, "b").verdict == "not separated"


def test_holm_is_over_all_pairs_of_all_problem_cells(table: Table) -> None:
    first = {"a": wins(20, 20), "b": wins(13, 20), "c": wins(20, 20)}  # 7 discordant pairs: p = 1/64
    second = {"a": wins(10, 20), "b": wins(10, 20), "c": wins(1, 20)}  # 9 of them: p = 1/256
    both = table([first, second])
    compared = [c for c in both.comparisons if c.metric == "success"]
    assert [(c.a, c.b, c.where["m"]) for c in compared] == [
        (a, b, m) for m in (50, 100) for a, b in (("a", "b"), ("a", "c"), ("b", "c"))
    ]
    assert [c.p_value_raw for c in compared] == pytest.approx([1 / 64, 1, 1 / 64, 1, 1 / 256, 1 / 256])
    # Sorted: 1/256, 1/256, 1/64, 1/64, 1, 1 times 6, 5, 4, 3, 2, 1, never decreasing, at most 1.
    assert [c.p_value for c in compared] == pytest.approx([4 / 64, 1, 4 / 64, 1, 6 / 256, 6 / 256])
    assert [c.separated for c in compared] == [False, False, False, False, True, True]
    alone = table(first)
    assert comparison(alone, "a", "b").separated  # 3/64 where the table has three pairs only
    assert entry(alone, "b").verdict == "separated"
    assert entry(both, "b").verdict == "not separated"


def test_metrics_are_adjusted_apart(table: Table) -> None:
    summary = table({"a": wins(6, 20), "b": wins(0, 20)})
    assert comparison(summary, "a", "b").p_value == comparison(summary, "a", "b").p_value_raw
    assert math.isnan(comparison(summary, "a", "b", "error").p_value)  # nothing to compare, so no part of a family


@settings(max_examples=30)
@given(st.lists(st.sampled_from([0.0, 1.0, "nan", "error"]), min_size=1, max_size=30), st.integers(2, 4))
def test_identical_labels_are_never_separated(table: Table, trials: list[Outcome], count: int) -> None:
    summary = table({f"label-{i}": trials for i in range(count)})
    compared = [c for c in summary.comparisons if c.metric == "success"]
    assert len(compared) == math.comb(count, 2)
    for each in compared:
        assert (each.n10, each.n01, each.difference, each.p_value, each.separated) == (0, 0, 0, 1, False)
    assert [e.verdict for e in summary.table("success")].count("best") == 1


# ---- which trials are compared ---------------------------------------------------------------------------------------


def test_only_trials_with_equal_data_are_compared(table: Table) -> None:
    outcomes = {"a": wins(8, 8), "b": wins(0, 8)}
    assert comparison(table(outcomes), "a", "b").n_pairs == 8
    other = comparison(table(outcomes, digests={"b": {2: "other", 5: "another"}}), "a", "b")
    assert (other.n_pairs, other.n10) == (6, 6)
    none = comparison(table(outcomes, digests={"b": dict.fromkeys(range(8), "other")}), "a", "b")
    assert (none.n_pairs, none.separated) == (0, False)


def test_a_trial_that_failed_before_it_had_a_digest_is_compared(table: Table) -> None:
    outcomes = {"a": wins(8, 8), "b": ["error"] * 8}
    assert comparison(table(outcomes, digests={"b": dict.fromkeys(range(8))}), "a", "b").n_pairs == 8


def test_only_trials_that_both_labels_have_are_compared(table: Table) -> None:
    summary = table({"a": [1, 1, None, 1, None], "b": [None, 0, 0, 1, 1]})
    compared = comparison(summary, "a", "b")
    assert (compared.n_pairs, compared.n10, compared.n01) == (2, 1, 0)
    assert (entry(summary, "a").n_attempted, entry(summary, "b").n_attempted) == (3, 4)


def test_a_label_that_has_not_run_in_a_cell_is_not_judged_there(table: Table) -> None:
    summary = table([{"a": wins(9, 9), "b": wins(1, 9)}, {"a": wins(9, 9), "b": [None] * 9}])
    found = entry(summary, "b", m=100)
    assert (found.n_attempted, found.verdict) == (0, "")
    assert math.isnan(found.estimate)
    assert math.isnan(found.seconds)
    assert math.isnan(comparison(summary, "a", "b", m=100).p_value)
    assert comparison(summary, "a", "b").p_value == comparison(summary, "a", "b").p_value_raw  # it is the only pair


def test_a_label_that_has_not_run_at_all_is_absent(table: Table) -> None:
    summary = table({"a": wins(3, 9), "b": [None] * 9, "c": wins(1, 9)})
    assert summary.absent == ["b"]
    assert {e.label for e in summary.entries} == {"a", "c"}
    assert {(c.a, c.b) for c in summary.comparisons} == {("a", "c")}


def test_a_skipped_label_is_shown_and_in_no_denominator(table: Table) -> None:
    summary = table({"a": wins(3, 9), "b": wins(2, 9), "x": ["skipped"]}, methods={"x": "lost"})
    found = entry(summary, "x")
    assert (found.skipped, found.n_attempted, found.n_failed) == ("gaussian_mean has no magic", 0, 0)
    assert found.verdict == ""
    assert {(c.a, c.b) for c in summary.comparisons} == {("a", "b")}


def test_a_metric_that_a_problem_does_not_have_is_not_shown_for_it(table: Table) -> None:
    problems = [ProblemEntry(name="gaussian_mean", params={"m": 50}), ProblemEntry(name="plain")]
    summary = table([{"a": [1.0, "nan"]}, {"a": [2.0, "nan"]}], "score", problems=problems)
    assert [(e.problem, e.metric) for e in summary.entries] == [
        ("gaussian_mean", "score"),
        ("plain", "score"),
        ("gaussian_mean", "error"),
        ("gaussian_mean", "success"),
    ]


# ---- budgets ---------------------------------------------------------------------------------------------------------


def test_budgets_that_differ_from_the_best_labels_are_flagged(table: Table) -> None:
    outcomes = {"a": wins(9, 9), "b": wins(5, 9), "c": wins(4, 9), "d": wins(3, 9), "control": wins(9, 9)}
    budget = {"a": (100, 0), "b": (100, 7), "c": (200, 7), "d": (0, 7), "control": (5, 5)}
    summary = table(outcomes, budget=budget, methods={"control": "truth"})
    unequal = {e.label: e.unequal for e in summary.table("success")}
    # What only one of the two spends is another way of working, not another budget.
    assert unequal == {"a": set(), "b": set(), "c": {"steps"}, "d": set(), "control": set()}
    assert entry(summary, "c").budget == {"steps": 200, "samples": 7}


def test_a_method_without_budget_has_none(table: Table) -> None:
    assert entry(table({"a": wins(1, 2), "b": wins(1, 2)}, budget={"b": (3, 4)}), "a").budget == {}


def test_seconds_are_a_mean_per_trial(table: Table) -> None:
    assert entry(table({"a": wins(1, 3)}), "a").seconds == 0.5


# ---- what is asked for, and JSON -------------------------------------------------------------------------------------


def test_a_metric_asked_for_is_alone(table: Table) -> None:
    summary = table({"a": [0.1, 0.3]}, "error", shown="error")
    assert (summary.metric, {e.metric for e in summary.entries}) == ("error", {"error"})
    assert table({"a": wins(1, 2)}).metric == "success"  # else it is the suite's


def test_an_unknown_metric_is_told_with_the_nearest(table: Table) -> None:
    with pytest.raises(SuiteError, match="suite 's' has no metric 'sucess'; did you mean 'success'"):
        table({"a": wins(1, 2)}, shown="sucess")


def test_json_says_null_for_what_it_has_no_number_for(table: Table) -> None:
    summary = table({"a": [0.1, "nan", "nan"], "b": [0.2, 0.1, 0.3]}, "error", shown="error")
    document = as_json(summary)
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    worst = document["rows"][0]
    assert (worst["label"], worst["estimate"], worst["low"], worst["n_failed"]) == ("a", None, None, 2)
    compared: dict[str, Any] = document["comparisons"][0]
    assert (compared["a"], compared["b"], compared["difference"]) == ("a", "b", None)
    assert document["claims"] == []
