"""One small run of the smoke suite with a stranger's method in it; every table is checked against its raw trials."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from scipy.stats import beta, binom, binomtest

from bench_core.plugins import Plugins
from bench_core.results import read_results
from bench_core.summary import Summary, summarise

FLAKY = """\
from bench_core import Fit, Method, hookimpl

class Flaky(Method):
    \"\"\"Right, and often failing.\"\"\"
    name = "flaky"

    def fit(self, trials):
        if (trials["start"][:, 0] > 1.2).any():
            raise RuntimeError("start is too far")
        stopped = {slot: "gave up" for slot in range(trials.width) if slot % 7 == 0}
        return Fit(answer=trials["truth"] + 0.001, budget={"gradient_steps": 7}, failures=stopped)

@hookimpl
def bench_register_methods():
    return [Flaky]
"""

COLUMNS = """\
trial_id suite problem method label repeat seed split status reason traceback seconds device dtype batch_size slot
env_id data_digest method_version method_digest problem_version spec looks
problem.d problem.m problem.threshold method.lr method.bandwidth method.iterations method.dtype metric.error
metric.success budget.gradient_steps budget.generated_samples budget.kernel_evaluations budget.critic_steps"""
ROW = """\
problem problem_params label method method_params metric n_attempted n_failed estimate low high level interval budget"""
COMPARISON = "a b metric where n_pairs n01 n10 test p_value_raw p_value difference low high separated"

Cli = Callable[..., Any]


@dataclass(frozen=True)
class Stored:
    """A run, and the options with which commands read it."""

    folder: Path
    options: tuple[str, ...]


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory, cli: Cli, repo: Path) -> Stored:
    folder = tmp_path_factory.mktemp("smoke")
    (folder / "plugins").mkdir()
    (folder / "plugins" / "flaky.py").write_text(FLAKY, encoding="utf-8")
    options = ("--plugin-dir", str(folder / "plugins"))
    common = ["run", repo / "suites" / "smoke.yaml", "--results", folder / "results", "--executor", "inline", "--quiet"]
    common += ["--trials", "40", "--set", "iterations=30", *options]
    assert cli(*common).code == 0
    assert cli(*common, "--method", "flaky").code == 1  # done, but some trials failed
    return Stored(folder / "results", options)


@pytest.fixture(scope="session")
def raw(stored: Stored, cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    path = tmp_path_factory.mktemp("export") / "trials.parquet"
    assert cli("export", stored.folder, "--output", path, *stored.options).code == 0
    return pl.read_parquet(path)


@pytest.fixture(scope="session")
def table(stored: Stored, cli: Cli) -> dict[str, Any]:
    outcome = cli("report", stored.folder, "--format", "json", *stored.options)
    assert outcome.code == 0
    (suite,) = json.loads(outcome.out)
    return suite


@pytest.fixture(scope="session")
def summary(stored: Stored, table: object) -> Summary:
    from bench_core.plugins import PluginSources, load_plugins

    plugins = load_plugins(PluginSources(folders=(Path(stored.options[1]),)))
    (results,), _ = read_results(stored.folder, plugins)
    return summarise(results, plugins)


def trials_of(raw: pl.DataFrame, where: dict[str, Any], label: str) -> pl.DataFrame:
    chosen = raw.filter(pl.col("label") == label)
    for name, value in where.items():
        chosen = chosen.filter(pl.col(f"problem.{name}").eq_missing(pl.lit(value)))
    return chosen.sort("repeat")


def values(trials: pl.DataFrame, metric: str) -> np.ndarray:
    failed = {"success": 0.0, "error": np.inf}[metric]
    return trials[f"metric.{metric}"].fill_null(failed).to_numpy()


# ---- export ----------------------------------------------------------------------------------------------------------


def test_exported_trials_have_the_columns_of_the_contract(raw: pl.DataFrame) -> None:
    assert set(COLUMNS.split()) <= set(raw.columns)
    assert len(raw) == 2 * 8 * 40
    assert raw["trial_id"].n_unique() == len(raw)
    assert set(raw["status"]) == {"ok", "nan", "error"}


def test_exported_trials_are_sorted_by_problem_cell_label_and_repeat(raw: pl.DataFrame) -> None:
    keys = raw.select("problem.m", "label", "repeat").rows()
    assert keys == sorted(keys)
    assert raw.filter(pl.col("label") == "mmd")["repeat"].to_list() == [*range(40), *range(40)]


def test_parameters_are_expanded_from_the_spec(raw: pl.DataFrame) -> None:
    for row in raw.filter(pl.col("repeat") == 3).iter_rows(named=True):
        spec = json.loads(row["spec"])
        assert spec["repeat"] == 3
        for kind in ("problem", "method"):
            assert {name: row[f"{kind}.{name}"] for name in spec[f"{kind}_params"]} == spec[f"{kind}_params"]


def test_success_follows_from_the_error_and_the_threshold(raw: pl.DataFrame) -> None:
    finished = raw.filter(pl.col("status") == "ok")
    expected = (finished["metric.error"] < finished["problem.threshold"]).cast(pl.Float64)
    assert finished["metric.success"].equals(expected)
    assert raw.filter(pl.col("status") != "ok")["metric.error"].is_null().all()


def test_every_label_sees_the_same_data_in_a_trial(raw: pl.DataFrame) -> None:
    digests = raw.drop_nulls("data_digest").group_by("problem.m", "repeat").agg(pl.col("data_digest").n_unique())
    assert set(digests["data_digest"]) == {1}
    assert raw["data_digest"].drop_nulls().n_unique() == 2 * 40


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_every_format_of_export_holds_the_same(
    stored: Stored, raw: pl.DataFrame, cli: Cli, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"trials.{suffix}"
    outcome = cli("export", stored.folder, "--output", path, *stored.options)
    assert outcome.err == f"wrote {len(raw)} trials to {path}\n"
    read = {"csv": pl.read_csv, "jsonl": pl.read_ndjson}[suffix]
    got = read(path, infer_schema_length=None)
    assert set(got.columns) == set(raw.columns)
    for name in ("trial_id", "label", "repeat", "status", "reason", "metric.error", "problem.m", "method.lr"):
        assert got[name].equals(raw[name]), name
    lines = got["path.loss"].to_list()
    decoded = [json.loads(line) if suffix == "csv" and line is not None else line for line in lines]
    assert decoded == raw["path.loss"].to_list()


# ---- report --format json against the raw trials ---------------------------------------------------------------------


def test_json_has_the_keys_of_the_contract(table: dict[str, Any], raw: pl.DataFrame) -> None:
    assert {"suite", "run", "env", "rows", "comparisons", "claims"} <= set(table)
    assert table["suite"] == "smoke"
    assert all(set(ROW.split()) <= set(row) for row in table["rows"])
    assert all(set(COMPARISON.split()) <= set(comparison) for comparison in table["comparisons"])
    assert set(raw["env_id"]) <= set(table["env"])
    assert {"torch", "python", "packages", "plugins"} <= set(table["env"][raw["env_id"][0]])
    assert len(table["rows"]) == 2 * 8 * 2  # problem cells x labels x metrics
    assert len(table["comparisons"]) == 2 * 10 * 2  # of five labels, controls left out


def test_counts_are_those_of_the_raw_trials(table: dict[str, Any], raw: pl.DataFrame) -> None:
    for row in table["rows"]:
        trials = trials_of(raw, row["problem_params"], row["label"])
        assert row["n_attempted"] == len(trials) == 40
        assert row["n_failed"] == (trials["status"] != "ok").sum()
    failed = {row["label"] for row in table["rows"] if row["n_failed"]}
    assert failed == {"flaky"}


def test_rates_have_clopper_pearson_intervals(table: dict[str, Any], raw: pl.DataFrame) -> None:
    for row in (row for row in table["rows"] if row["metric"] == "success"):
        k, n = int(values(trials_of(raw, row["problem_params"], row["label"]), "success").sum()), 40
        low = beta.ppf(0.025, k, n - k + 1) if k else 0.0
        high = beta.ppf(0.975, k + 1, n - k) if k < n else 1.0
        assert (row["estimate"], row["interval"], row["level"]) == (k / n, "clopper-pearson", 0.95)
        assert [row["low"], row["high"]] == pytest.approx([low, high], abs=1e-9)


def test_errors_have_medians_with_order_statistics(table: dict[str, Any], raw: pl.DataFrame) -> None:
    rank = int(binom.ppf(0.025, 40, 0.5))  # of the lower end, counted from 1: P(X < rank) <= 0.025
    assert binom.cdf(rank - 1, 40, 0.5) <= 0.025 < binom.cdf(rank, 40, 0.5)
    for row in (row for row in table["rows"] if row["metric"] == "error"):
        errors = np.sort(values(trials_of(raw, row["problem_params"], row["label"]), "error"))
        expected = [np.median(errors), errors[rank - 1], errors[40 - rank]]
        assert row["interval"] == "order-statistic"
        for key, value in zip(("estimate", "low", "high"), expected, strict=True):
            assert row[key] == (pytest.approx(value) if np.isfinite(value) else None)


def test_budgets_are_means_per_trial(table: dict[str, Any], raw: pl.DataFrame) -> None:
    steps = {row["label"]: row["budget"].get("gradient_steps") for row in table["rows"]}
    assert (steps["mmd"], steps["wgan"], steps["flaky"], steps["truth"]) == (30, 30, 7, None)
    for row in table["rows"]:
        trials = trials_of(raw, row["problem_params"], row["label"])
        for name, mean in row["budget"].items():
            assert mean == trials[f"budget.{name}"].mean()


def test_pairs_are_counted_as_by_hand(table: dict[str, Any], raw: pl.DataFrame) -> None:
    assert any(comparison["n10"] and comparison["n01"] for comparison in table["comparisons"])
    for comparison in table["comparisons"]:
        a, b = (values(trials_of(raw, comparison["where"], comparison[key]), comparison["metric"]) for key in "ab")
        better = a > b if comparison["metric"] == "success" else a < b
        worse = a < b if comparison["metric"] == "success" else a > b
        assert (comparison["n10"], comparison["n01"]) == (better.sum(), worse.sum())
        assert comparison["n_pairs"] == 40
        if comparison["metric"] == "success":
            assert comparison["test"] == "mcnemar_exact"
            assert comparison["difference"] == pytest.approx(a.mean() - b.mean())
            discordant = int(better.sum() + worse.sum())
            raw_p = binomtest(int(better.sum()), discordant).pvalue if discordant else 1.0
            assert comparison["p_value_raw"] == pytest.approx(raw_p)


@pytest.mark.parametrize("metric", ["success", "error"])
def test_p_values_are_adjusted_over_all_pairs_of_the_table(table: dict[str, Any], metric: str) -> None:
    compared = [each for each in table["comparisons"] if each["metric"] == metric]
    running = 0.0
    for rank, each in enumerate(sorted(compared, key=lambda each: each["p_value_raw"])):
        running = max(running, min(1.0, (len(compared) - rank) * each["p_value_raw"]))
        assert each["p_value"] == pytest.approx(running)
        assert each["separated"] == (running <= 0.05 and each["n10"] + each["n01"] >= 6)
    assert {each["separated"] for each in compared} == {True, False}


def test_verdicts_follow_from_the_comparisons_with_the_best(table: dict[str, Any]) -> None:
    for metric, sign in (("success", 1), ("error", -1)):
        for m in (50, 100):
            rows = [row for row in table["rows"] if row["metric"] == metric and row["problem_params"]["m"] == m]
            rivals = {row["label"]: row for row in rows if not row["control"]}
            best = max(rivals.values(), key=lambda row: sign * (row["estimate"] if row["estimate"] is not None else 9))
            assert {row["label"] for row in rows if row["verdict"] == "best"} == {best["label"]}
            for row in (row for row in rows if row["control"]):
                assert row["verdict"] is None
            for label, row in rivals.items():
                if label != best["label"]:
                    (compared,) = [
                        each
                        for each in table["comparisons"]
                        if {each["a"], each["b"]} == {label, best["label"]}
                        and (each["metric"], each["where"]["m"]) == (metric, m)
                    ]
                    assert row["verdict"] == ("separated" if compared["separated"] else "not separated")


# ---- the other formats say the same ----------------------------------------------------------------------------------


def shown(row: dict[str, Any]) -> str:
    return f"{row['estimate']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


@pytest.mark.parametrize("format_", ["rich", "markdown"])
def test_a_text_table_shows_every_label_with_its_numbers(
    stored: Stored, table: dict[str, Any], cli: Cli, format_: str
) -> None:
    outcome = cli("report", stored.folder, "--format", format_, *stored.options)
    assert outcome.code == 0
    assert "\x1b" not in outcome.out
    lines = outcome.out.splitlines()
    for row in (row for row in table["rows"] if row["metric"] == "success"):
        label = row["label"]
        found = [line for line in lines if re.search(rf"(?<![\w]){label}(?![\w-])", line) and shown(row) in line]
        assert found, label
    assert "Holm-adjusted over all 20 pairs of the table" in outcome.out
    assert "Failed trials count as no success." in outcome.out
    assert re.search(r"\d+ \(\d+ nan, \d+", outcome.out)
    assert "≠" in outcome.out  # flaky's 7 steps beside 30


def test_csv_holds_a_line_per_row_in_full_precision(stored: Stored, table: dict[str, Any], cli: Cli) -> None:
    outcome = cli("report", stored.folder, "--format", "csv", *stored.options)
    lines = list(csv.DictReader(io.StringIO(outcome.out)))
    assert len(lines) == len(table["rows"])
    for line, row in zip(lines, table["rows"], strict=True):
        assert (line["label"], line["metric"], int(line["problem.m"])) == (
            row["label"],
            row["metric"],
            row["problem_params"]["m"],
        )
        assert int(line["n_attempted"]) == row["n_attempted"]
        if row["estimate"] is not None:
            assert float(line["estimate"]) == row["estimate"]


def test_another_metric_can_be_asked_for(stored: Stored, table: dict[str, Any], cli: Cli) -> None:
    outcome = cli("report", stored.folder, "--format", "json", "--metric", "error", *stored.options)
    (suite,) = json.loads(outcome.out)
    assert suite["rows"] == [row for row in table["rows"] if row["metric"] == "error"]
    assert "error [95 %]" in cli("report", stored.folder, "--metric", "error", *stored.options).out


def test_a_run_a_suite_and_a_folder_of_suites_are_results(stored: Stored, table: dict[str, Any], cli: Cli) -> None:
    run = stored.folder / "smoke" / table["run"]
    for folder in (run, run.parent, run.parent.parent):
        assert json.loads(cli("report", folder, "--format", "json", *stored.options).out) == [table]


def test_output_goes_to_a_file(stored: Stored, table: dict[str, Any], cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    outcome = cli("report", stored.folder, "--format", "json", "--output", path, *stored.options)
    assert (outcome.code, outcome.out, outcome.err) == (0, "", f"wrote {path}\n")
    assert json.loads(path.read_text(encoding="utf-8")) == [table]


def test_without_its_plugin_a_report_says_what_is_missing(stored: Stored, cli: Cli) -> None:
    outcome = cli("report", stored.folder)
    assert outcome.code == 2
    assert re.search(r"suite\.yaml:\d+: methods\[7\]\.name: unknown method 'flaky'", outcome.err)


# ---- hostile labels stay text ----------------------------------------------------------------------------------------

HOSTILE = ["[red]x|y<b>", "=1+1", "@SUM(A1)", "-2", "+3", "_x_", "**x**", "[a](b)", "a`b`", "&lt;", "x|y|z", "[/]"]
LABELS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=12)


def renamed(summary: Summary, label: str, old: str = "mle") -> Summary:
    """Return the summary with another label, which is also one of those that did not run."""
    entries = [replace(entry, label=label) if entry.label == old else entry for entry in summary.entries]
    return replace(summary, entries=entries, absent=[label])


def render(plugins: Plugins, summary: Summary, format_: str) -> str:
    return plugins.formats.get(format_).render([summary], width=160, color=False)


def test_hostile_labels_pass_through_a_run(cli: Cli, project: Callable[..., Path]) -> None:
    folder = project(
        {
            "s.yaml": "name: s\ntitle: '[bold]A|b<i>'\ntrials: 2\nproblems: [{name: gaussian_mean, params: {d: 2}}]\n"
            "methods:\n  - {name: init, label: '[red]x|y<b>'}\n  - {name: truth, label: '+1|[/red]'}\n"
            "metrics: [error]\n".replace("[/red]", "[red]")
        }
    )
    ran = cli("run", "s.yaml", "--executor", "inline", "--quiet")
    assert ran.code == 0
    assert "[bold]A|b<i>" in ran.out
    assert "[red]x|y<b>" in ran.out
    assert "[red]x|y<b>" in cli("run", "s.yaml", "--dry-run").out
    assert cli("export", "--output", folder / "t.csv").code == 0
    assert set(pl.read_csv(folder / "t.csv")["label"]) == {"[red]x|y<b>", "'+1|[red]"}


@pytest.mark.parametrize("label", HOSTILE)
def test_a_label_is_text_on_the_terminal(summary: Summary, plugins: Plugins, label: str) -> None:
    text = render(plugins, renamed(summary, label), "rich")
    assert len([line for line in text.splitlines() if line.strip().startswith(f"{label}  ")]) == 2
    assert f"Not run yet: {label}." in text


def markdown_texts(document: str) -> list[str]:
    """Return the text of every cell and paragraph in which nothing but bold is marked up."""
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(document)
    plain = {"text", "text_special", "softbreak", "strong_open", "strong_close"}
    inline = [token.children or [] for token in tokens if token.type == "inline"]
    texts = [parts for parts in inline if {part.type for part in parts} <= plain]
    return ["".join("\n" if part.type == "softbreak" else part.content for part in parts) for parts in texts]


@settings(max_examples=50)
@given(label=LABELS, old=st.sampled_from(["mle", "flaky"]))
@example(label="[red]x|y<b>", old="flaky")
@example(label="_x_", old="mle")
@example(label="[a](b)", old="mle")
@example(label="&lt;", old="mle")
@example(label="~~x~~", old="mle")
def test_a_label_is_text_in_markdown(summary: Summary, plugins: Plugins, label: str, old: str) -> None:
    assert "flaky" in {entry.label for entry in summary.table() if entry.verdict == "best"}  # so one of them is bold
    before = markdown_texts(render(plugins, replace(summary, absent=[old]), "markdown"))
    after = markdown_texts(render(plugins, renamed(summary, label, old), "markdown"))
    expected = [label if text == old else text for text in before]
    expected = [f"Not run yet: {label}." if text == f"Not run yet: {old}." else text for text in expected]
    expected = [f"{label}{text.removeprefix(old)}" if text.startswith(f"{old}: ") else text for text in expected]
    assert after == expected
    assert after.count(label) >= 2
    assert f"Not run yet: {label}." in after


@pytest.mark.parametrize("format_", ["rich", "markdown"])
def test_a_reason_of_failure_is_one_harmless_line(summary: Summary, plugins: Plugins, format_: str) -> None:
    hostile = {"bad \x1b[31m\nnews [red]": 3}
    examples = dict.fromkeys(hostile, "0123456789abcdef")
    entries = [
        replace(entry, reasons=hostile if entry.label == "flaky" else {}, examples=examples)
        for entry in summary.entries
    ]
    text = render(plugins, replace(summary, entries=entries), format_)
    shown = text.replace(r"\\", "\\")  # Markdown doubles it
    assert r"flaky: 6 × bad \x1b[31m news [red] (bench replay 0123456789abcdef)" in shown
    assert "\x1b" not in text


@pytest.mark.parametrize("label", HOSTILE)
def test_no_label_is_a_formula_in_a_spreadsheet(summary: Summary, plugins: Plugins, label: str) -> None:
    lines = csv.DictReader(io.StringIO(render(plugins, renamed(summary, label), "csv")))
    labels = [line["label"] for line in lines]
    assert sum(each in (label, f"'{label}") for each in labels) == 4
    assert not [each for each in labels if each[0] in "=+-@"]


# ---- what the user can put right -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "RESULTS", "--format", "markdwon"], "unknown format 'markdwon'; did you mean 'markdown'?"),
        (["report", "RESULTS", "--metric", "sucess"], "suite 'smoke' has no metric 'sucess'; did you mean 'success'?"),
        (["report", "RESULTS", "--output", "no/such/t.txt"], "cannot write no/such/t.txt: No such file"),
        (["report", "no_such_folder"], "there are no results in no_such_folder: no such folder; run a suite first"),
        (["report", "."], "there are no results in .; run a suite first"),
        (["report"], "there are no results in results: no such folder; run a suite first"),
        (["export", "RESULTS", "--output", "t.cvs"], "--output: unknown kind of file '.cvs'; did you mean '.csv'?"),
        (["export", "RESULTS", "--output", "trials"], "--output: unknown kind of file '' (known: .csv, .jsonl, .parq"),
        (["export", "RESULTS", "--output", "no/such/t.csv"], "cannot write no/such/t.csv: No such file"),
        (["export", "no_such_folder", "--output", "t.csv"], "there are no results in no_such_folder"),
    ],
)
def test_a_fault_of_the_user_is_one_message(
    stored: Stored, cli: Cli, project: Callable[..., Path], arguments: list[str], message: str
) -> None:
    project({"empty/x.txt": ""})
    outcome = cli(*(str(stored.folder) if each == "RESULTS" else each for each in arguments), *stored.options)
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith(f"error: {message}")
    assert outcome.err.count("\n") == 1
