"""``bench verify``: what it runs, what it prints, and how it ends."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from bench_core.claims.forms import FORMS, Claim
from bench_core.cli.verify import _where_from
from bench_core.plan import make_plan
from bench_core.plugins import Plugins
from bench_core.report.claims import guarantee, lines, tally
from bench_core.suite import load_suite
from bench_core.summary import Part, Summary, Verdict, as_json

SUITE = """\
name: v
title: Truth against chance
source: A paper
trials: 20
problems:
  - {name: gaussian_mean, params: {d: 2, threshold: 0.1}, grid: {m: [50, 100]}}
methods:
  - {name: truth}
  - {name: init}
  - {name: mle_exact}
metrics: [success, error]
report: {metric: success, x: m}
claims:
"""
HOLDS = "  - {id: holds, text: The truth is best, source: Table 1, better: {label: truth, than: init}}\n"
FAILS = "  - {id: fails, better: {label: init, than: truth, metric: error}}\n"
EXPECTED = FAILS.replace("{id: fails", "{id: expected, expect: contradicted")
READINGS = (
    "  - id: readings\n    alternatives:\n"
    "      - {text: one, better: {label: init, than: truth}}\n"
    "      - {text: other, level: {label: init, at_least: 0.99}}\n"
)
VALUE = "  - {id: number, family: detail, value: {label: truth, metric: error, equals: 0.0, margin: 0.01}}\n"

Cli = Callable[..., Any]
OPTIONS = ("--executor", "inline", "--quiet")


@pytest.fixture
def verify(project: Callable[..., Path], cli: Cli) -> Cli:
    """Run ``bench verify`` on a suite with the given claims."""

    def run(claims: str, *arguments: str) -> Any:
        folder = project({"v.yaml": SUITE + claims})
        return cli("verify", folder / "v.yaml", *OPTIONS, *arguments)

    return run


def test_a_claim_that_holds(verify: Cli) -> None:
    outcome = verify(HOLDS)
    assert outcome.code == 0
    text = outcome.out.splitlines()
    assert text[:3] == ["Truth against chance", "A paper", text[2]]
    assert text[4:6] == ["✓ supported  The truth is best (holds)", "    Table 1"]
    assert text[6].startswith("    All 2 comparisons hold; the closest at m = ")
    parts = [line for line in text if line.startswith("      ✓ m = ")]
    assert len(parts) == 2
    assert len({line.index(" vs ") for line in parts}) == 1  # aligned
    assert not any("n = " in line for line in text)  # the parts say so
    assert text[2].startswith("v/")
    (legend,) = [i for i, line in enumerate(text) if line == "✓ supported  ✗ contradicted  ? inconclusive"]
    assert text[legend + 1].startswith("Intervals allow for the primary claim of the suite: with probability 95 %")
    assert "This is for the verdicts on whole claims" in " ".join(text[legend:])
    assert text[-1] == "1 supported"
    assert all(len(line) <= 100 for line in text)


@pytest.mark.parametrize(
    ("claims", "code", "end"),
    [
        (HOLDS + FAILS, 1, "1 supported, 1 contradicted"),
        (HOLDS + EXPECTED, 0, "1 supported, 1 contradicted (expected)"),
        (FAILS + EXPECTED, 1, "2 contradicted (1 of them expected)"),
        (HOLDS + READINGS, 0, "1 supported, 1 contradicted"),
        (HOLDS.replace("holds,", "holds, expect: contradicted,"), 0, "1 supported"),
        (VALUE, 0, "1 supported"),
    ],
)
def test_the_exit_code_says_whether_a_decisive_claim_is_contradicted(
    verify: Cli, claims: str, code: int, end: str
) -> None:
    outcome = verify(claims)
    assert (outcome.code, outcome.out.splitlines()[-1]) == (code, end)


def test_json(verify: Cli) -> None:
    outcome = verify(HOLDS + READINGS + VALUE, "--json")
    assert outcome.code == 0
    first, second, third = json.loads(outcome.out)
    assert {"id", "verdict", "published", "estimate", "low", "high", "n"} <= set(first)
    assert (first["suite"], first["id"], first["verdict"], first["published"], first["n"]) == (
        "v",
        "holds",
        "supported",
        None,
        20,
    )
    assert 0 < first["low"] < first["estimate"] <= first["high"] <= 1
    assert [part["where"] for part in first["parts"]] == [{"m": 50}, {"m": 100}]
    assert [reading["id"] for reading in second["readings"]] == ["readings/1", "readings/2"]
    assert (third["published"], third["estimate"], third["verdict"]) == (0.0, 0.0, "supported")


def test_only_what_claims_are_about_runs(verify: Cli, cli: Cli) -> None:
    outcome = verify(HOLDS)
    table = json.loads(cli("report", "results", "--format", "json").out)[0]
    assert {row["label"] for row in table["rows"]} == {"truth", "init"}
    outcome = cli("verify", "v.yaml", "--executor", "inline")
    assert "v: no claim is about mle_exact, of which nothing runs" in outcome.err
    assert "everything is stored" in outcome.err


def test_stored_results_are_judged_as_they_are(verify: Cli, cli: Cli) -> None:
    verify(HOLDS, "--trials", "10")
    for folder in ("results", "results/v"):
        outcome = cli("verify", folder)
        assert outcome.code == 0
        assert "10 pairs" in outcome.out
    assert cli("verify").out == outcome.out  # the folder's default
    outcome = cli("verify", "results", "--trials", "3")
    assert (outcome.code, "--trials, --seed and --no-run are for suites" in outcome.err) == (2, True)


def test_a_suite_can_be_judged_without_running_anything(verify: Cli, cli: Cli) -> None:
    outcome = verify(HOLDS, "--no-run")
    assert (outcome.code, outcome.out.splitlines()[-1]) == (0, "1 inconclusive")
    assert "Not run yet: truth, init." in outcome.out
    assert outcome.out.splitlines()[2] == "v"  # no run, no slash
    assert not Path("results").exists()
    verify(HOLDS)
    Path("v.yaml").write_text(SUITE + HOLDS + FAILS, encoding="utf-8")
    outcome = cli("verify", "v.yaml", "--no-run")
    assert (outcome.code, outcome.out.splitlines()[-1]) == (1, "1 supported, 1 contradicted")


def test_a_grid_changed_by_the_command_line_leaves_claims_unsettled(verify: Cli, cli: Cli) -> None:
    verify(HOLDS.replace("than: init", "than: init, where: {m: 50}"))
    assert cli("run", "v.yaml", *OPTIONS, "--set", "m=70").code == 0
    outcome = cli("verify", "results")
    assert (outcome.code, outcome.out.splitlines()[-1]) == (0, "1 inconclusive")
    assert "No problem cell of these results is meant." in outcome.out


def test_a_grid_cut_by_the_command_line_is_told(verify: Cli, cli: Cli) -> None:
    verify(HOLDS.replace("than: init", "than: init, where: {m: [50, 100]}"), "--no-run")
    assert cli("run", "v.yaml", *OPTIONS, "--set", "m=50").code == 0
    outcome = cli("verify", "results")
    assert outcome.out.splitlines()[-1] == "1 supported"
    assert "; judged in 1 of 2 problem cells." in " ".join(outcome.out.split())


def test_reference_results_are_named(summarised: Callable[..., tuple[Summary, object]]) -> None:
    summary, _ = summarised([{"a": [1.0], "b": [0.0]}], [{"better": {"label": "a", "than": "b"}}])
    assert _where_from(summary) == "s/run"
    assert _where_from(replace(summary, run="")) == "s"
    marked = {
        at: replace(sample, rows=sample.rows.with_columns(reference=pl.lit(value=True)))
        for at, sample in summary.samples.items()
    }
    assert _where_from(replace(summary, run="", samples=marked)) == "s: reference results"
    first, *_ = marked
    assert _where_from(replace(summary, run="", samples={**summary.samples, first: marked[first]})) == "s"


def test_the_guarantee() -> None:
    detail = made(family="detail")
    assert guarantee([made()]).startswith("Intervals allow for the primary claim of the suite: with")
    assert guarantee([made(), made(), detail]).startswith(
        "Intervals allow for all 2 primary claims and the detail claim of the suite together: with"
    )


def test_the_number_of_trials_stands_where_no_part_says_it() -> None:
    part = Part({}, "supported", "a 1 vs b 0", 0.5, 0.4, 0.6, 3)
    for verdict, shown, count in (
        (made(), True, True),
        (made(parts=[part]), True, False),
        (made(parts=[part]), False, True),
    ):
        text = [line.text for line in lines(verdict, parts=shown)]
        assert ("    It is so. n = 3." in text) == count


def test_nothing_to_verify(verify: Cli, cli: Cli, project: Callable[..., Path]) -> None:
    outcome = verify(" []\n")
    assert outcome.code == 2
    assert "suite 'v' states no claims, so there is nothing to verify" in outcome.err
    assert not Path("results").exists()
    assert cli("run", "v.yaml", *OPTIONS).code == 0
    outcome = cli("verify", "results")
    assert outcome.code == 2
    assert "v: the suite that these results were run with states no claims" in outcome.err
    assert "bench verify SUITE --no-run" in outcome.err
    outcome = cli("verify", "nowhere")
    assert outcome.code == 2
    assert "nor is it a folder of results" in outcome.err


def test_reports_carry_the_verdicts(verify: Cli, loaded: Plugins) -> None:
    from bench_core.claims.judging import judged
    from bench_core.results import read_results

    verify(HOLDS + VALUE)
    (results,), _ = read_results(Path("results"), loaded)
    by_success, by_error = judged(results, loaded), judged(results, loaded, "error")
    assert [each.id for each in by_success.claims] == ["holds", "number"]
    assert json.dumps(as_json(by_error)["claims"]) == json.dumps(as_json(by_success)["claims"])
    assert list(by_error.metrics) == ["error"]


# ---- the words -------------------------------------------------------------------------------------------------------


def made(**more: Any) -> Verdict:
    known: dict[str, Any] = {
        "id": "x",
        "text": "",
        "source": "",
        "family": "primary",
        "form": "better",
        "verdict": "supported",
        "expected": True,
        "decisive": True,
        "published": None,
        "estimate": 0.5,
        "low": 0.4,
        "high": float("inf"),
        "n": 3,
        "explanation": "It is so.",
    }
    return Verdict(**(known | more))


def test_nothing_that_a_terminal_would_obey_is_printed() -> None:
    red = "\x1b[31mred\u202e"
    part = Part({"m": red}, "supported", red, 0.5, 0.4, 0.6, 3)
    verdict = made(text=red, source=red, explanation=red, hint=red, parts=[part])
    verdict = made(text=red, readings=[verdict], published=red)
    text = [line.text for each in (verdict, *verdict.readings) for line in lines(each)]
    assert len(text) > 8
    assert all(line.isprintable() for line in text)
    assert json.loads(json.dumps(as_json_of(verdict)))["high"] is None


def as_json_of(verdict: Verdict) -> dict[str, Any]:
    from bench_core.summary import verdict_as_json

    return verdict_as_json(verdict)


def test_text_of_several_lines_stays_in_its_place() -> None:
    text = [line.text for line in lines(made(text="one\ntwo", source="a\nb", explanation="word " * 60))]
    assert text[:2] == ["✓ supported  one two (x)", "    a b"]
    assert all(line.startswith("    ") and len(line) <= 100 for line in text[2:])


def test_a_published_number_stands_beside_the_measured_one() -> None:
    text = [line.text for line in lines(made(published=0.07))]
    assert "    published 0.07, measured 0.500 [0.400, ∞], n = 3" in text


def test_a_cell_of_a_published_table_takes_one_line() -> None:
    (line,) = lines(made(published=0.07, family="detail"))
    assert line.text.endswith(": published 0.07, measured 0.500 [0.400, ∞], n = 3")
    assert line.role == "head"


def test_tally() -> None:
    assert tally([]) == "no claims"
    assert tally([made(), made(verdict="inconclusive"), made()]) == "2 supported, 1 inconclusive"


SHIPPED = sorted(
    path.stem for path in (Path(__file__).resolve().parents[2] / "suites").glob("*.yaml") if path.stem != "smoke"
)


SOURCE = re.compile(r"Section \d|Appendix [A-F]|(Table|Theorem|Example|Fig\.) \d|eq\.")


@pytest.mark.parametrize("name", SHIPPED)
def test_the_claims_of_shipped_suites_are_about_their_cells(repo: Path, plugins: Plugins, name: str) -> None:
    suite = load_suite(repo / "suites" / f"{name}.yaml", quantities=plugins.quantities.items)
    labels = {cell.label for cell in make_plan(suite, plugins).cells}
    assert suite.claims
    for claim in suite.claims:
        assert claim.source == "ours" or SOURCE.match(claim.source)
        assert labels >= set(claim.labels())


def test_the_documented_claims_are_valid_and_have_every_key(repo: Path, project: Any, plugins: Plugins) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", (repo / "docs" / "claims.md").read_text(encoding="utf-8"), re.DOTALL)
    file = project({"every_form.yaml": text}) / "every_form.yaml"
    suite = load_suite(file, quantities=plugins.quantities.items)
    make_plan(suite, plugins)
    assert {claim.form for claim in suite.claims} == {*FORMS, "alternatives"}
    keys = {name for form in FORMS.values() for name in form.model_fields}
    for key in keys | set(Claim.model_fields):
        assert re.search(rf"\b{key}\b", text), key


def test_the_summary_has_no_claims_before_they_are_judged(summarised: Callable[..., tuple[Summary, object]]) -> None:
    summary, _ = summarised([{"a": [1.0], "b": [0.0]}], [{"better": {"label": "a", "than": "b"}}])
    assert as_json(summary)["claims"] == []
