"""Claims about what is computed without trials: what they come to, and that chance has no part in them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bench_core.claims.analytic import find
from bench_core.claims.forms import Count, Limit
from bench_core.claims.judging import judge
from bench_core.plugins import Plugins
from bench_core.quantities import Quantity
from bench_core.report.claims import guarantee, lines
from bench_core.suite import Suite
from bench_core.summary import Summary, Verdict

Cli = Callable[..., Any]
Project = Callable[..., Path]


def quantity(name: str, compute: Callable[[], float]) -> Quantity:
    return Quantity(name, f"The number {name}", "Nobody, eq. 0", compute)


def raises() -> float:
    raise ZeroDivisionError("nothing to divide by")


KNOWN = {
    each.name: each
    for each in (
        quantity("third", lambda: 1 / 3),
        quantity("three", lambda: 3),
        quantity("none", lambda: math.nan),
        quantity("much", lambda: math.inf),
        quantity("broken", raises),
    )
}

# ---- one claim -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "word", "told"),
    [
        (Limit(quantity="third", equals=0.333, tolerance=1e-3), "supported", "0.333333, within 0.001 of 0.333."),
        (Limit(quantity="third", equals=0.333), "contradicted", "0.333333, not exactly 0.333."),
        (Limit(quantity="third", at_least=0.3), "supported", "0.333333, at least 0.3."),
        (Limit(quantity="third", at_least=0.34), "contradicted", "0.333333, not at least 0.34."),
        (Limit(quantity="third", at_least=0.34, tolerance=0.01), "supported", "0.333333, at least 0.34 (± 0.01)."),
        (Limit(quantity="third", at_most=0.33), "contradicted", "0.333333, not at most 0.33."),
        (Limit(quantity="third", at_most=0.33, tolerance=0.01), "supported", "0.333333, at most 0.33 (± 0.01)."),
        (Count(quantity="three", equals=3), "supported", "3, exactly 3."),
        (Count(quantity="three", at_most=2), "contradicted", "3, not at most 2."),
        (Limit(quantity="much", at_least=2), "supported", "∞, at least 2."),
        (Limit(quantity="much", equals=2, tolerance=1), "contradicted", "∞, not within 1 of 2."),
        (Limit(quantity="none", equals=2), "inconclusive", "could not be computed: the result is not a number."),
    ],
)
def test_a_number_is_held_against_the_bound(form: Limit | Count, word: str, told: str) -> None:
    found = find(form, KNOWN)
    assert found.word == word
    assert found.explanation == f"The number {form.quantity}: {told}"


def test_what_cannot_be_computed_settles_nothing_and_says_where_it_broke() -> None:
    found = find(Limit(quantity="broken", equals=0), KNOWN)
    assert (found.word, math.isnan(found.value)) == ("inconclusive", True)
    reason = "ZeroDivisionError: nothing to divide by (test_quantities.py, line "
    assert found.explanation.startswith(f"The number broken: could not be computed: {reason}")


def test_a_quantity_of_a_plugin_that_is_gone_settles_nothing() -> None:
    found = find(Limit(quantity="gone", equals=0), KNOWN)
    assert (found.word, found.explanation) == ("inconclusive", "No plugin that is loaded computes the quantity gone.")


def test_it_is_computed_once_and_prints_into_no_table(capsys: pytest.CaptureFixture[str]) -> None:
    calls = []

    def compute() -> float:
        calls.append(1)
        print("busy")
        return 1.0

    known = {"busy": quantity("busy", compute)}
    assert {find(Limit(quantity="busy", at_least=bound), known).word for bound in (0, 2)} == {
        "supported",
        "contradicted",
    }
    assert len(calls) == 1
    assert capsys.readouterr() == ("", "busy\n")


def test_interrupting_it_interrupts_the_program() -> None:
    def stop() -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantity("stop", stop).outcome  # noqa: B018 (computes)


# ---- beside claims about trials --------------------------------------------------------------------------------------


@pytest.fixture
def judged(summarised: Callable[..., tuple[Summary, Suite]]) -> Callable[..., list[Verdict]]:
    """Return ``judged(claims)``: on 60 trials of which a label wins 60 % and another one 40 %."""
    cell = {"a": [1.0] * 36 + [0.0] * 24, "b": [1.0] * 24 + [0.0] * 36}

    def run(claims: list[Mapping[str, Any]]) -> list[Verdict]:
        return judge(*summarised([cell], claims), KNOWN)

    return run


BETTER = {"better": {"label": "a", "than": "b"}}
HOLDS = {"limit": {"quantity": "third", "at_most": 1}}
FAILS = {"count": {"quantity": "three", "equals": 2}}
OPEN = {"limit": {"quantity": "broken", "at_most": 1}}


def test_a_verdict_has_a_number_and_no_interval(judged: Callable[..., list[Verdict]]) -> None:
    (found,) = judged([FAILS])
    assert (found.verdict, found.form, found.exact, found.decisive) == ("contradicted", "count", True, True)
    assert (found.published, found.estimate, found.n) == (2.0, 3.0, 0)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert (found.parts, found.hint) == ([], "")
    assert [line.text for line in lines(found)] == [
        "✗ contradicted  c0",
        "    The number three: 3, not exactly 2.",
    ]


def test_it_takes_nothing_of_the_five_percent(judged: Callable[..., list[Verdict]]) -> None:
    (alone,) = judged([BETTER])
    beside = judged([HOLDS, BETTER, FAILS, OPEN])
    assert beside[1] == Verdict(**{**vars(alone), "id": "c1"})
    counted = judged([BETTER, {"level": {"label": "a", "at_least": 0.55}}])
    assert counted[0].low < alone.low  # as another claim about trials would


@pytest.mark.parametrize(
    ("readings", "word", "exact"),
    [
        ([FAILS, HOLDS], "supported", True),
        ([FAILS, FAILS], "contradicted", True),
        ([FAILS, OPEN], "inconclusive", True),
        ([FAILS, BETTER], "supported", False),
        ([FAILS, {"better": {"label": "b", "than": "a"}}], "contradicted", False),
        ([HOLDS, {"better": {"label": "b", "than": "a"}}], "supported", True),
        ([OPEN, {"better": {"label": "b", "than": "a"}}], "inconclusive", False),
    ],
)
def test_it_may_be_one_reading_of_several(
    judged: Callable[..., list[Verdict]], readings: list[Mapping[str, Any]], word: str, exact: bool
) -> None:
    claim = {"alternatives": [{"text": f"r{i}", **each} for i, each in enumerate(readings)]}
    (found,) = judged([claim])
    assert (found.verdict, found.exact) == (word, exact)
    assert [each.text for each in found.readings] == ["r0", "r1"]


def test_readings_about_trials_share_the_error_among_themselves_only(judged: Callable[..., list[Verdict]]) -> None:
    (alone,) = judged([BETTER])
    (mixed,) = judged([{"alternatives": [FAILS, BETTER]}])
    assert (mixed.readings[1].low, mixed.readings[1].high) == (alone.low, alone.high)


def test_the_guarantee_counts_claims_about_trials_only(judged: Callable[..., list[Verdict]]) -> None:
    assert guarantee(judged([HOLDS, FAILS])).startswith("These claims are judged by what is computed without trials")
    both = guarantee(judged([HOLDS, BETTER]))
    assert both.startswith("Intervals allow for the primary claim of the suite: ")
    assert both.endswith("no matter of chance, and not counted here.")
    assert "computed" not in guarantee(judged([BETTER]))


# ---- bench verify ----------------------------------------------------------------------------------------------------

SUITE = """\
name: v
title: Numbers
trials: 10
problems: [{name: gaussian_mean, params: {d: 2, threshold: 0.1}}]
methods: [{name: truth}, {name: init}]
metrics: [success, error]
claims:
  - {id: small, text: It is small, limit: {quantity: mine, at_most: 1}}
  - {id: wrong, expect: contradicted, limit: {quantity: mine, equals: 0, tolerance: 1e-9}}
"""
PLUGIN = """\
from bench_core import hookimpl
from bench_core.quantities import Quantity

def compute():
    print("computing")
    return 0.25

@hookimpl
def bench_register_quantities():
    return [Quantity("mine", "A quarter", "Mine, eq. 1", compute)]
"""


@pytest.fixture
def numbers(project: Project) -> Path:
    return project({"v.yaml": SUITE, "ours/mine.py": PLUGIN})


def test_nothing_runs_for_claims_about_quantities(cli: Cli, numbers: Path) -> None:
    outcome = cli("verify", "v.yaml", "--plugin-dir", "ours")
    assert outcome.code == 0
    assert outcome.err.splitlines() == ["v: no claim is about trials, so nothing runs", "computing"]
    assert not (numbers / "results").exists()
    text = outcome.out.splitlines()
    assert "✓ supported  It is small (small)" in text
    assert "    A quarter: 0.25, at most 1." in text
    assert "    A quarter: 0.25, not within 1e-09 of 0." in text
    assert text[-1] == "1 supported, 1 contradicted (expected)"


def test_json_has_null_for_the_interval(cli: Cli, numbers: Path) -> None:
    small, wrong = json.loads(cli("verify", "v.yaml", "--json", "--plugin-dir", "ours").out)
    assert [small[key] for key in ("id", "verdict", "published", "estimate", "low", "high", "n")] == [
        "small",
        "supported",
        None,
        0.25,
        None,
        None,
        0,
    ]
    assert (wrong["published"], wrong["exact"]) == (0.0, True)


def test_a_contradiction_that_was_not_expected_sets_the_exit_code(cli: Cli, numbers: Path) -> None:
    (numbers / "v.yaml").write_text(SUITE.replace("expect: contradicted, ", ""), encoding="utf-8")
    assert cli("verify", "v.yaml", "--plugin-dir", "ours").code == 1


def test_an_unknown_quantity_is_told_by_file_and_line_before_anything_runs(cli: Cli, numbers: Path) -> None:
    for command in ("verify", "run", "power"):
        outcome = cli(command, "v.yaml")
        assert outcome.code == 2
        assert "v.yaml:8: claims[0].limit.quantity: unknown quantity 'mine' (known: condition_gradient, " in outcome.err
    assert not (numbers / "results").exists()


def test_reports_of_every_format_have_the_verdicts(cli: Cli, numbers: Path) -> None:
    assert cli("run", "v.yaml", "--executor", "inline", "--quiet", "--plugin-dir", "ours").code == 0
    for name in ("rich", "markdown", "latex"):
        out = cli("report", "results", "--format", name, "--plugin-dir", "ours").out
        assert "A quarter: 0.25, at most 1." in out, name
    (found,) = json.loads(cli("report", "results", "--format", "json", "--plugin-dir", "ours").out)
    assert [claim["estimate"] for claim in found["claims"]] == [0.25, 0.25]
    assert cli("report", "results", "--format", "html", "--output", "page", "--plugin-dir", "ours").code == 0
    data = (numbers / "page" / "data.js").read_text(encoding="utf-8")
    assert "A quarter: 0.25, at most 1." in data
    assert '"measured":"0.25","computed":true' in data.replace('": ', '":').replace(', "', ',"')
    # Without the plugin the stored results are read all the same.
    outcome = cli("verify", "results")
    assert outcome.code == 0
    assert "No plugin that is loaded computes the quantity mine." in outcome.out


def test_quantities_are_listed_and_shown(cli: Cli, numbers: Path) -> None:
    listed = json.loads(cli("list", "quantities", "--json", "--plugin-dir", "ours").out)
    assert {"name": "mine", "about": "A quarter", "plugin": "mine"} in listed
    out = cli("show", "mine", "--plugin-dir", "ours").out
    assert out.startswith("quantity mine\nA quarter\nplugin: ")
    assert "source: Mine, eq. 1\n" in out


def test_the_documented_quantity_works(cli: Cli, project: Project, repo: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (repo / "docs" / "claims.md").read_text(encoding="utf-8"), re.DOTALL)
    claim = "  - {id: c, limit: {quantity: root, equals: 1.41421356, tolerance: 1e-6}}\n"
    project({"mine.py": code, "v.yaml": SUITE.partition("  - {id: small")[0] + claim})
    outcome = cli("verify", "v.yaml", "--plugin-dir", ".")
    assert (outcome.code, outcome.out.splitlines()[-1]) == (0, "1 supported")


# ---- the built-in ones -----------------------------------------------------------------------------------------------


def test_built_in_quantities_say_what_they_are_and_where_from(plugins: Plugins) -> None:
    for name in plugins.quantities:
        each = plugins.quantities.get(name)
        assert each.source.startswith(("Alon, Globerson, Wiesel, ", "Arbel, Sutherland, Bińkowski, Gretton, "))
        assert each.about[0].isupper()
        assert not each.about.endswith(".")
        assert len(each.about) < 120


def _gmm(mu: float) -> float:
    """Return the derivative of eq. 14 at mu for mu* = 25 and sigma^2 = 10, by hand."""
    c = 12.0

    def k(x: float) -> float:
        return x * math.exp(-(x**2) / 2 / c)

    return 0.5 * math.sqrt(10 / c) / c * (-2 * k(2 * mu) + 2 * k(mu - 25) + 2 * k(mu + 25))


SCALE = 1.2**-5
"""|I + 2 I / 10|^(-1/2) in ten dimensions."""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("figure_3_slope", _gmm(8.5)),
        ("figure_3_slope_left", _gmm(-8.5)),
        ("figure_3_stationary_points", 0),
        ("gmm_gradient_third", 0),
        # Where mu'mu* = 0 and |mu| = |mu*|, eq. 16 leaves 2 (exp(-2 q / 2) - exp(-4 q / 2)) mu / c, q = 10/12.
        ("gmm_gradient_printed", SCALE / 12 * 10**0.5 * 2 * abs(math.exp(-10 / 12) - math.exp(-20 / 12))),
        # Eq. 14 at 0 over its limit: (3 + e - 4 h) / (2 + e), where e = exp(-2 q) and h = exp(-q / 2).
        ("gmm_origin", (3 + math.exp(-20 / 12) - 4 * math.exp(-5 / 12)) / (2 + math.exp(-20 / 12))),
        ("gmm_origin_far", (3 + math.exp(-80 / 12) - 4 * math.exp(-20 / 12)) / (2 + math.exp(-80 / 12))),
        # Eq. 3 along a ray, q = r^2/12: the curvature (1 - q) exp(-q / 2) 2 / 12.
        ("mean_curvature", SCALE / 6 * (1 - 0.99**2) * math.exp(-(0.99**2) / 2)),
        # At q = 25/12 it is still falling towards its least value at q = 3.
        ("mean_curvature_printed", SCALE / 6 * (1 - 25 / 12) * math.exp(-25 / 24)),
        ("gmm_share_recovered", 1),
        ("cov_share_recovered_2", 1),
        ("cov_share_recovered_10", 1),
    ],
)
def test_a_built_in_quantity_is_what_follows_by_hand(plugins: Plugins, name: str, value: float) -> None:
    assert plugins.quantities.get(name).compute() == pytest.approx(value, rel=1e-6, abs=1e-14)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("mean_linearity", 0.999, 1.0),
        ("mean_slope", -0.11, -0.1),  # the rate is a tenth of 1 / L, and the error falls by a tenth per step
        ("gmm_saddle_curvature", -1.0, -1e-3),
        ("cov_saddle_curvature_2", -1.0, -1e-3),
        ("cov_saddle_curvature_10", -1.0, -1e-3),
    ],
)
def test_a_built_in_quantity_is_where_it_must_be(plugins: Plugins, name: str, low: float, high: float) -> None:
    assert low <= plugins.quantities.get(name).compute() <= high
