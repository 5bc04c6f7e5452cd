"""Two labels and two runs compared, on trials written by hand."""

from __future__ import annotations

import json
import shutil

import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest, fisher_exact

from bench_core import stats
from bench_core.plan import make_plan
from bench_core.planning_power import smallest_rate_difference
from bench_core.plugins import PluginSources, load_plugins
from bench_core.suite import AdaptiveTrials, MethodEntry, ProblemEntry, Suite, UntilEntry

SCORE = """\
from bench_core import hookimpl
from bench_core.metrics import MeasuredMetric

class Score(MeasuredMetric):
    name, kind, direction = "score", "mean", "higher"
    def measure(self, trials, fit):
        return trials["truth"][:, 0]

@hookimpl
def bench_register_metrics():
    return [Score()]
"""
GOOD, BAD = 0.1, 0.9  # errors on either side of the threshold


def outcomes(text):
    """Return errors for ``1110`` and the like; f is a failed trial."""
    return [{"1": GOOD, "0": BAD, "f": "error"}[each] for each in text]


@pytest.fixture(scope="module")
def loaded(repo, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "score.py").write_text(SCORE, encoding="utf-8")
    return load_plugins(PluginSources(checkout=repo / "plugins", folders=(folder,)))


@pytest.fixture
def checkout(project, repo, loaded, monkeypatch):
    """A checkout of one's own, whose plugins are loaded once for all tests."""
    folder = project({"pyproject.toml": "[tool.bench]\n"})
    (folder / "plugins").symlink_to(repo / "plugins")
    for command in ("compare", "run", "report"):
        monkeypatch.setattr(f"bench_core.cli.{command}.open_plugins", lambda *_: loaded)
    return folder


@pytest.fixture
def store(checkout, loaded):
    """Write a run: ``store(folder, {label: outcomes or {m: outcomes}})``; return the folder.

    An outcome is the error of a trial, or the status of one that failed.
    """

    def write(
        name,
        labels,
        *,
        suite="s",
        seed=0,
        metrics=("success", "error"),
        value="error",
        trials=None,
        digests=None,
        columns=None,
        env=None,
        lr=0.1,
    ):
        cells = {label: found if isinstance(found, dict) else {20: found} for label, found in labels.items()}
        ms = list(dict.fromkeys(m for found in cells.values() for m in found))
        stated = Suite(
            name=suite,
            title="By hand",
            seed=seed,
            trials=trials or max(len(each) for found in cells.values() for each in found.values()),
            problems=[ProblemEntry(name="gaussian_mean", params={"d": 2, "threshold": 0.5}, grid={"m": ms})],
            methods=[
                MethodEntry(
                    name="truth" if label == "truth" else "mle",
                    label=label,
                    params={} if label == "truth" else {"iterations": i + 1, "lr": lr},
                )
                for i, label in enumerate(cells)
            ],
            metrics=list(metrics),
            report={"metric": metrics[0], "x": "m"},
        )
        rows = []
        for cell in make_plan(stated, loaded).cells:
            m = cell.problem_params["m"]
            for repeat, outcome in enumerate(cells[cell.label].get(m, [])):
                failed = isinstance(outcome, str)
                rows.append(
                    {
                        "trial_id": cell.trial_id(repeat),
                        "cell_id": cell.cell_id,
                        "label": cell.label,
                        "repeat": repeat,
                        "seed": seed,
                        "split": "main",
                        "status": outcome if failed else "ok",
                        "reason": "gave up" if failed else None,
                        "seconds": 2.0,
                        "env_id": "here",
                        "data_digest": f"{seed}-{m}-{repeat}" + (digests or {}).get(cell.label, ""),
                        "method_digest": cell.method_digest,
                        "problem_digest": cell.problem_digest,
                        "spec": cell.spec(repeat),
                        f"metric.{value}": None if failed else outcome,
                    }
                )
        folder = checkout / name / suite / f"20260101T000000Z-s{seed}-cpu"
        folder.mkdir(parents=True)
        (folder / "suite.yaml").write_text(stated.resolved(), encoding="utf-8")
        (folder / "env.json").write_text(json.dumps({"here": {"cpu": "abacus", **(env or {})}}), encoding="utf-8")
        kinds = {"reason": pl.String, f"metric.{value}": pl.Float64}
        frame = pl.DataFrame(rows, schema_overrides=kinds).with_columns(**(columns or {}))
        frame.write_parquet(folder / "trials.parquet")
        return checkout / name

    return write


@pytest.fixture
def bench(cli):
    def call(*arguments, code=0):
        outcome = cli("compare", *arguments)
        assert outcome.code == code, outcome.err + outcome.out
        return outcome

    return call


def flat(text):
    return " ".join(text.split())


def cells(bench, *arguments):
    (found,) = json.loads(bench(*arguments, "--json").out)
    return {each["problem_params"]["m"]: each for each in found["cells"]}, found


# ---- two labels ------------------------------------------------------------------------------------------------------


def test_two_labels_are_compared_as_by_hand(store, bench):
    one = {20: outcomes("1" * 30 + "0" * 10), 40: outcomes("1" * 22 + "0" * 18)}
    two = {20: outcomes("1" * 15 + "0" * 25), 40: outcomes("0" * 3 + "1" * 20 + "0" * 17)}
    store("results", {"one": one, "two": two, "other": {20: [GOOD] * 40, 40: [GOOD] * 40}})
    found, whole = cells(bench, "results", "one", "two")
    first, second = found[20], found[40]
    assert (first["n_pairs"], first["n10"], first["n01"]) == (40, 15, 0)
    assert (second["n10"], second["n01"]) == (3, 1)
    raw = [binomtest(15, 15).pvalue, binomtest(3, 4).pvalue]
    assert [first["p_value_raw"], second["p_value_raw"]] == pytest.approx(raw)
    assert [first["p_value"], second["p_value"]] == pytest.approx([2 * raw[0], 1.0])  # of one cell and both together
    assert [first["separated"], second["separated"]] == [True, False]
    assert second["detectable"] == pytest.approx(smallest_rate_difference(40, 0.1, 0.05 / 3))
    pooled = stats.pooled(
        [
            stats.PairedTest(40, 0, 15, "mcnemar_exact", 0, 0, 0, 0),
            stats.PairedTest(40, 1, 3, "mcnemar_exact", 0, 0, 0, 0),
        ]
    )
    assert whole["pooled"]["p_value_raw"] == pytest.approx(pooled.p_value)
    assert whole["pooled"]["p_value"] == pytest.approx(max(2 * min(raw[0], pooled.p_value), raw[0], pooled.p_value))
    assert whole["pooled"]["detectable"] == pytest.approx(smallest_rate_difference(80, (15 + 4) / 80, 0.025))
    assert [whole["pooled"][key] for key in ("n10", "n01", "n_pairs", "n_cells")] == [18, 1, 80, 2]
    assert [whole["pooled"][key] for key in ("estimate", "low", "high")] == pytest.approx(pooled[7:10])
    low, high = stats.tango(15, 0, 40)[1:3]
    out = flat(bench("results", "one", "two").out)
    assert f"m = 20 one is better than two: success higher by 0.375 [{low:.3f}, {high:.3f}], 40 pairs" in out
    assert "m = 40 not separated: one minus two is +0.050 success [" in out
    assert "40 pairs show differences above" in out
    assert "together one is better than two: success higher by 0.212 on average [" in out
    assert "80 pairs in 2 problem cells" in out
    assert "adjusted over the 2 comparisons printed here that can be told apart" in out


def test_the_sentence_begins_with_the_better_one(store, bench):
    store("results", {"one": outcomes("0" * 30), "two": outcomes("1" * 20 + "0" * 10)})
    found, _ = cells(bench, "results", "one", "two")
    assert found[20]["difference"] == pytest.approx(-2 / 3)
    assert found[20]["words"].startswith("two is better than one: success higher by 0.667 [")
    assert found[20]["verdict"] == "b is better"


def test_what_many_pairs_would_show_is_what_power_says(store, bench):
    store("results", {"one": outcomes("1100" * 100), "two": outcomes("1010" * 100)})
    found, _ = cells(bench, "results", "one", "two")
    smallest = stats.detectable_rate_difference(400, 0.5, 0.05)
    assert found[20]["detectable"] == pytest.approx(smallest)
    words = found[20]["words"]
    assert words.startswith("not separated: one minus two is +0.000 success [")
    assert words.endswith(f"400 pairs show differences above {smallest:.3f}")


def test_errors_are_compared_by_ranks_and_told_in_their_own_unit(store, bench):
    rng = np.random.default_rng(0)
    errors = rng.uniform(0.2, 0.4, 60)
    store(
        "results",
        {
            "one": list(errors),
            "two": list(errors - rng.uniform(0.01, 0.03, 60)),
            "three": list(errors + rng.normal(0, 0.01, 60)),
        },
    )
    found, _ = cells(bench, "results", "one", "two", "--metric", "error")
    assert found[20]["test"] == "wilcoxon"
    assert found[20]["words"].startswith("two is better than one: error lower by 0.0")
    found, _ = cells(bench, "results", "one", "three", "--metric", "error")
    assert found[20]["detectable"] == pytest.approx(0.01 * stats.detectable_shift(60), rel=0.3)
    out = flat(bench("results", "one", "three", "--metric", "error").out)
    assert "Wilcoxon signed-rank test" in out
    assert "won by A" in out


def test_failures_count_and_are_told(store, bench):
    store("results", {"one": outcomes("1" * 20), "two": outcomes("f" * 10 + "1" * 10)})
    found, _ = cells(bench, "results", "one", "two")
    assert (found[20]["b"]["n_failed"], found[20]["n10"]) == (10, 10)
    assert "Failed trials count as no success: one 0 of 20, two 10 of 20." in flat(bench("results", "one", "two").out)


def test_controls_may_be_named(store, bench):
    store("results", {"one": outcomes("0" * 20), "truth": outcomes("1" * 20)})
    assert "truth is better than one" in bench("results", "one", "truth").out


def test_the_table_shows_both_labels_on_the_trials_that_both_have(store, bench):
    store("results", {"one": outcomes("1" * 10), "two": outcomes("1" * 5 + "0" * 5 + "0" * 30)})
    found, _ = cells(bench, "results", "one", "two")
    assert (found[20]["b"]["on_pairs"], found[20]["b"]["estimate"], found[20]["n_pairs"]) == (0.5, 0.125, 10)
    assert found[20]["difference"] == 0.5


def test_other_data_is_no_pair(store, bench):
    store("results", {"one": outcomes("1" * 30), "two": outcomes("1" * 5 + "0" * 25)}, digests={"two": "x"})
    found, _ = cells(bench, "results", "one", "two")
    assert (found[20]["paired"], found[20]["test"], found[20]["n_pairs"]) == (False, "fisher_exact", 0)
    assert found[20]["p_value_raw"] == pytest.approx(fisher_exact([[30, 0], [5, 25]]).pvalue)
    # Newcombe's interval from the ends of Clopper and Pearson's.
    (p, p_low, p_high), (q, q_low, q_high) = stats.clopper_pearson(30, 30)[:3], stats.clopper_pearson(5, 30)[:3]
    assert found[20]["low"] == pytest.approx(p - q - np.hypot(p - p_low, q_high - q))
    assert found[20]["high"] == pytest.approx(p - q + np.hypot(p_high - p, q - q_low))
    out = flat(bench("results", "one", "two").out)
    assert "one is better than two: success higher by 0.833 [" in out
    assert "unpaired (30 and 30 trials on different data)" in out
    assert "the two labels saw different data there" in out


def test_looks_are_paid_for(store, bench):
    until = AdaptiveTrials(max=100, until=UntilEntry(decided=["one", "two"]))
    store("results", {"one": outcomes("1" * 26 + "0" * 24), "two": outcomes("1" * 10 + "0" * 40)}, trials=until)
    found, _ = cells(bench, "results", "one", "two")
    assert found[20]["looks"] == 2
    assert found[20]["p_value_raw"] == pytest.approx(2 * binomtest(16, 16).pvalue)
    assert found[20]["low"] == pytest.approx(stats.tango(16, 0, 50, 0.975).low)
    assert found[20]["a"]["low"] == pytest.approx(stats.clopper_pearson(26, 50, 0.975).low)
    assert "whichever of the 2 looks" in bench("results", "one", "two").out


def test_what_shows_little_counts_in_an_adaptive_suite(store, bench):
    until = AdaptiveTrials(max=100, until=UntilEntry(decided=["one", "two"]))
    one = {20: outcomes("1" * 26 + "0" * 24), 40: outcomes("1" * 3 + "0" * 47)}
    two = {20: outcomes("1" * 10 + "0" * 40), 40: outcomes("0" * 50)}
    store("results", {"one": one, "two": two}, trials=until)
    found, _ = cells(bench, "results", "one", "two")
    assert found[20]["p_value"] == pytest.approx(3 * 2 * binomtest(16, 16).pvalue)  # two cells and both together


def test_several_suites_are_those_that_have_both_labels(store, bench):
    store("results", {"one": outcomes("1" * 8), "two": outcomes("0" * 8)})
    store("results", {"one": outcomes("1" * 8), "two": outcomes("0" * 8)}, suite="t")
    store("results", {"one": outcomes("1" * 8), "three": outcomes("0" * 8)}, suite="u")
    found = json.loads(bench("one", "two", "--json").out)  # in `results`
    assert [each["suite"] for each in found] == ["s", "t"]
    assert [each["suite"] for each in json.loads(bench("results/t", "one", "two", "--json").out)] == ["t"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["results", "one", "tow"], "unknown label 'tow'; did you mean 'two'? (known: one, three, two)"),
        (["results", "one", "one"], "two different labels are compared, got 'one' twice"),
        (["results", "one", "two", "--metric", "succes"], "unknown metric 'succes'; did you mean 'success'?"),
        (["nowhere", "one", "two"], "there are no results in nowhere"),
        (["results", "nowhere/x"], "there is no folder 'nowhere/x': bench compare [RESULTS] A B"),
        (["results"], "two or three arguments are needed, got 1: bench compare"),
        (["results", "results", "--confirm"], "--confirm is for two labels"),
        (["results", "one", "two", "--confirm"], "--confirm needs a second block of reference results"),
        (["results", "one", "three"], "s: no trial of three is stored; run it first: bench run s --method three"),
    ],
)
def test_what_the_user_can_put_right(store, bench, arguments, message):
    store("results", {"one": outcomes("11"), "two": outcomes("10"), "three": []})
    outcome = bench(*arguments, code=2)
    assert outcome.out == ""
    assert outcome.err.startswith(f"error: {message}")


def test_a_mean_says_nothing_of_failures_so_they_are_compared(store, bench):
    rng = np.random.default_rng(1)
    scores = rng.normal(size=40)
    better = [*scores[:20] + 0.5, *["error"] * 20]
    store("results", {"one": list(scores), "two": better}, metrics=("score", "error"), value="score")
    found, _ = cells(bench, "results", "one", "two")
    found = found[20]
    assert (found["separated"], found["verdict"]) == (True, "not separated")  # it fails in half of the trials
    assert found["finished"]["p_value_raw"] == pytest.approx(binomtest(20, 20).pvalue)
    assert (found["finished"]["difference"], found["finished"]["separated"]) == (0.5, True)
    assert found["words"].startswith("not separated: one minus two is -0.500 score [")
    assert found["words"].endswith(
        "failed: one 0 of 40, two 20 of 40: two finishes significantly less often, so that it is not called better"
    )
    assert "m = 20, finished 1.000 0.500 +0.500 20 0 40" in flat(bench("results", "one", "two").out)
    # One failure is told, and is no objection.
    store(
        "few",
        {"one": list(scores), "two": [*better[:20], *scores[20:39] + 0.5, "error"]},
        metrics=("score", "error"),
        value="score",
    )
    (found,) = cells(bench, "few", "one", "two")[0].values()
    assert found["words"].startswith(
        "two is better than one: score higher by 0.500 [0.500, 0.500], 39 pairs; failed: one 0"
    )


def test_sentence_and_number_do_not_disagree(store, bench):
    # One is better in 40 of 100 pairs, two in none: the median difference is 0, and Wilcoxon's test sure.
    errors = np.linspace(0.2, 0.4, 100)
    store("results", {"one": list(errors - 0.01 * (np.arange(100) < 40)), "two": list(errors)})
    found, _ = cells(bench, "results", "one", "two", "--metric", "error")
    found = found[20]
    share = stats.tango(40, 0, 100)
    low, high = (100 * (1 + end) / 2 for end in share[1:3])
    assert (found["difference"], found["verdict"]) == (0.0, "a is better")
    assert found["improvement"] == pytest.approx({"estimate": 0.7, "low": low / 100, "high": high / 100})
    share = f"(70.0 % [{low:.1f} %, {high:.1f} %], ties as half)"
    assert found["words"] == f"one is better than two: the smaller error in 40 of 100 pairs {share}"
    assert " 70.0 % " in bench("results", "one", "two", "--metric", "error").out
    # Two is better in 60 pairs by little, one in 40 by much: ranks speak for one.
    steps = np.where(np.arange(100) < 40, -0.1 - np.arange(100) / 1e4, 0.0001)
    store("much", {"one": list(errors + steps), "two": list(errors)})
    words = cells(bench, "much", "one", "two", "--metric", "error")[0][20]["words"]
    assert words.startswith("one is better than two: the smaller error in only 40 of 100 pairs (40.0 % [")
    assert "but by more than where it is the other way round" in words
    out = flat(bench("much", "two", "one", "--metric", "error").out)
    assert "one is better than two: the smaller error in only 40 of 100" in out  # whoever comes first


def test_one_orientation_of_all_numbers(store, bench):
    one = {20: outcomes("1" * 30 + "0" * 10), 40: outcomes("0" * 20 + "1" * 20), 80: outcomes("10" * 20)}
    two = {20: outcomes("1" * 15 + "0" * 25), 40: outcomes("1" * 40), 80: outcomes("10" * 19 + "01")}
    store("results", {"one": one, "two": two})
    found, _ = cells(bench, "results", "one", "two")
    assert [found[m]["difference"] for m in (20, 40, 80)] == pytest.approx([0.375, -0.5, 0.0])
    low, high = stats.tango(0, 20, 40)[1:3]
    assert found[40]["words"] == f"two is better than one: success higher by 0.500 [{-high:.3f}, {-low:.3f}], 40 pairs"
    mirrored, _ = cells(bench, "results", "two", "one")
    for m in (20, 40):
        assert mirrored[m]["words"] == found[m]["words"]
    assert mirrored[80]["words"].startswith("not separated: two minus one is +0.000")


def test_together_is_paid_for_in_an_adaptive_suite(store, bench):
    until = AdaptiveTrials(max=100, until=UntilEntry(decided=["one", "two"]))
    one = {m: outcomes("1" * 30 + "0" * 20) for m in (20, 40)}
    two = {m: outcomes("1" * 10 + "0" * 40) for m in (20, 40)}
    store("results", {"one": one, "two": two}, trials=until)
    _, whole = cells(bench, "results", "one", "two")
    cell = stats.tango(20, 0, 50, 1 - 0.05 / 2 / 2)  # two cells of two looks
    pooled = whole["pooled"]
    assert [pooled[key] for key in ("estimate", "low", "high")] == pytest.approx(cell[:3])
    assert pooled["test"] == "Bonferroni"
    assert pooled["detectable"] is None
    p_value = pooled["p_value_raw"]
    assert stats.tango(20, 0, 50, 1 - 1.01 * p_value / 4).low > 0 > stats.tango(20, 0, 50, 1 - 0.99 * p_value / 4).low
    smallest = 2 * binomtest(20, 20).pvalue  # two looks
    assert pooled["p_value"] == pytest.approx(max(p_value, 3 * smallest))
    assert "each paid for over all cells and looks" in flat(bench("results", "one", "two").out)


def test_together_is_no_verdict_where_test_and_estimate_disagree(store, bench):
    one = {20: outcomes("1" * 40 + "0" * 160), 40: outcomes("0" * 10)}
    two = {20: outcomes("0" * 200), 40: outcomes("1" * 6 + "0" * 4)}
    store("results", {"one": one, "two": two})
    pooled = cells(bench, "results", "one", "two")[1]["pooled"]
    assert pooled["p_value"] < 1e-4  # 40 pairs against 6
    assert (pooled["estimate"], pooled["separated"]) == (pytest.approx(-0.2), False)
    assert pooled["verdict"] == "not separated"
    pairs = int(4 / (1 / 200 + 1 / 10))  # which the mean over both is worth
    assert pooled["detectable"] == pytest.approx(smallest_rate_difference(pairs, 0.4, 0.05 / 3))


def test_together_is_not_better_where_one_finishes_less(store, bench):
    scores = np.random.default_rng(1).normal(size=40)
    failing = {20: [*scores[:20] + 0.5, *["error"] * 20], 40: list(scores + 0.5)}
    store("results", {"one": {m: list(scores) for m in (20, 40)}, "two": failing}, metrics=("score",), value="score")
    pooled = cells(bench, "results", "one", "two")[1]["pooled"]
    assert (pooled["separated"], pooled["verdict"]) == (True, "not separated")
    assert pooled["words"].endswith("two finishes significantly less often, so that it is not called better")


def test_all_that_is_printed_is_one_family(store, bench):
    lost = outcomes("1" * 13 + "0" * 4 + "1" * 20), outcomes("0" * 13 + "1" * 4 + "1" * 20)
    raw = binomtest(4, 17).pvalue  # 0.049: enough for one comparison, and not for three
    store("results", {"one": lost[0], "two": lost[1]})
    assert cells(bench, "results", "one", "two")[0][20]["separated"] is True
    for suite in ("t", "u"):
        store("results", {"one": outcomes("10" * 18), "two": outcomes("01" * 18)}, suite=suite)
    first, *_ = json.loads(bench("results", "one", "two", "--json").out)
    assert first["cells"][0]["p_value"] == pytest.approx(3 * raw)
    assert first["cells"][0]["verdict"] == "not separated"


# ---- two runs --------------------------------------------------------------------------------------------------------


def test_the_same_numbers_are_identical(store, bench):
    labels = {"one": {20: outcomes("1f01"), 40: outcomes("1001")}, "two": {20: outcomes("1111"), 40: outcomes("1010")}}
    store("a", labels)
    store("b", labels, columns={"method_digest": pl.lit("other code")})
    out = bench("a", "b").out
    assert out == "identical: all 16 trials of 2 labels in 2 problem cells give the same numbers\n"


def test_a_worse_run_is_told_and_ends_with_1(store, bench):
    store("a", {"one": outcomes("1" * 30 + "0" * 10), "two": outcomes("1" * 40)})
    store("b", {"one": outcomes("1" * 14 + "0" * 26), "two": outcomes("1" * 39 + "0")})
    low, high = stats.tango(0, 16, 40)[1:3]
    words = f"worse: success 0.750 -> 0.350, -0.400 [{low:.3f}, {high:.3f}], 40 pairs"
    out = flat(bench("a", "b", code=1).out)
    assert f"gaussian_mean m = 20 one: {words}" in out
    assert "gaussian_mean m = 20 two: not separated: success 1.000 -> 0.975, -0.025 [" in out
    assert "39 of 40 trials give the same numbers" in out
    assert out.startswith("1 worse, 1 not separated first: a second: b")
    found = json.loads(bench("a", "b", "--json", code=1).out)
    one, two = found["comparisons"]
    assert (one["verdict"], one["words"], one["n_worse"], one["n_better"]) == ("worse", words, 16, 0)
    assert one["p_value"] == pytest.approx(binomtest(16, 16).pvalue)  # one lost trial of two shows nothing
    assert two["p_value"] == 1.0
    assert (one["first"]["estimate"], one["second"]["estimate"], two["identical"]) == (0.75, 0.35, 39)
    assert found["worse"] == 1
    assert "better: success 0.350 -> 0.750, +0.400" in flat(bench("b", "a").out)


def test_another_seed_is_compared_unpaired(store, bench):
    store("a", {"one": outcomes("1" * 30 + "0" * 10)})
    store("b", {"one": outcomes("1" * 12 + "0" * 28)}, seed=7)
    (one,) = json.loads(bench("a", "b", "--json", code=1).out)["comparisons"]
    assert (one["paired"], one["test"]) == (False, "fisher_exact")
    assert one["p_value"] == pytest.approx(fisher_exact([[30, 10], [12, 28]]).pvalue)
    assert "unpaired (40 and 40 trials on different data)" in flat(bench("a", "b", code=1).out)
    (one,) = json.loads(bench("a", "b", "--metric", "error", "--json", code=1).out)["comparisons"]
    assert one["test"] == "mann_whitney"
    assert one["improvement"]["estimate"] == pytest.approx((12 * 10 + (30 * 12 + 10 * 28) / 2) / 1600)
    for name, seed in (("c", 0), ("d", 7)):  # trials whose data nobody knows, which are not the same ones
        store(name, {"one": outcomes("f" * 8)}, seed=seed, columns={"data_digest": pl.lit(None, pl.String)})
    (one,) = json.loads(bench("c", "d", "--json").out)["comparisons"]
    assert (one["paired"], one["identical"]) == (False, 0)


def test_identical_cells_cost_nothing(store, bench):
    same = {20 + i: outcomes("10") for i in range(96)}
    store("a", {"one": {10: outcomes("1" * 16 + "0" * 4), **same}})
    store("b", {"one": {10: outcomes("0" * 16 + "1" * 4), **same}})
    found = json.loads(bench("a", "b", "--json", code=1).out)
    (worse,) = [each for each in found["comparisons"] if each["verdict"] == "worse"]
    assert (worse["n_worse"], worse["n_better"]) == (16, 4)
    assert worse["p_value"] == pytest.approx(binomtest(4, 20).pvalue)  # 0.012; times 97 it were none
    assert "Holm-adjusted over the one comparison that can be told apart" in flat(bench("a", "b", code=1).out)


def test_few_values_are_never_worse(store, bench):
    for n in (5, 6):
        values = np.linspace(0.1, 0.2, n)
        store(f"a{n}", {"one": list(values)})
        store(f"b{n}", {"one": list(values + 1)}, seed=7)
        store(f"c{n}", {"one": list(values + 1)})
    few = json.loads(bench("a5", "b5", "--metric", "error", "--json").out)["comparisons"][0]
    assert few["p_value_raw"] < 0.05
    assert (few["verdict"], few["p_value"]) == ("not separated", 1.0)
    enough = json.loads(bench("a6", "b6", "--metric", "error", "--json", code=1).out)["comparisons"][0]
    assert (enough["verdict"], enough["p_value"]) == ("worse", pytest.approx(2 / 924))
    bench("a5", "c5", "--metric", "error")
    bench("a6", "c6", "--metric", "error", code=1)


def test_means_without_spread_are_never_worse(store, bench):
    common = {"metrics": ("score", "error"), "value": "score"}
    store("a", {"one": [0.1 + 0.2] * 9}, **common)
    store("b", {"one": [0.25] * 9}, seed=7, **common)
    (one,) = json.loads(bench("a", "b", "--json").out)["comparisons"]
    assert (one["test"], one["p_value"], one["verdict"]) == ("welch", 1.0, "not separated")


def test_independent_sides_pay_for_their_looks(store, bench):
    until = AdaptiveTrials(max=100, until=UntilEntry(half_width=0.1))
    store("a", {"one": outcomes("1" * 40 + "0" * 10)}, trials=until)
    store("b", {"one": outcomes("1" * 10 + "0" * 40)}, trials=until, seed=7)
    (one,) = json.loads(bench("a", "b", "--json", code=1).out)["comparisons"]

    def ends(error):  # each of two sides, at each of two looks
        p, q = (stats.clopper_pearson(k, 50, 1 - error / 2 / 2) for k in (10, 40))
        return p.low - q.high, p.high - q.low

    assert (one["looks"], one["test"], one["verdict"]) == (2, "interval", "worse")
    assert [one["low"], one["high"]] == pytest.approx(ends(0.05))
    assert ends(1.01 * one["p_value_raw"])[1] < 0 < ends(0.99 * one["p_value_raw"])[1]


def test_pairs_pay_for_the_looks_of_either_run(store, bench):
    until = AdaptiveTrials(max=100, until=UntilEntry(half_width=0.1))
    store("a", {"one": outcomes("1" * 40 + "0" * 10)})
    store("b", {"one": outcomes("1" * 20 + "0" * 30)}, trials=until)
    for first, second, code in (("a", "b", 1), ("b", "a", 0)):
        (one,) = json.loads(bench(first, second, "--json", code=code).out)["comparisons"]
        assert (one["paired"], one["looks"]) == (True, 2)
        assert one["p_value_raw"] == pytest.approx(2 * binomtest(20, 20).pvalue)
        assert one["detectable"] == pytest.approx(smallest_rate_difference(50, 0.4, 0.05 / 2))


def test_long_labels_are_not_cut(store, bench):
    names = ["a-label-of-some-length-tuned", "another-label-of-some-length"]
    store("results", {names[0]: outcomes("1" * 9), names[1]: outcomes("0" * 9)})
    out = bench("results", *names).out
    assert "…" not in out
    assert f"A: {names[0]}, B: {names[1]}" in out
    assert max(map(len, out.splitlines())) <= 100


def test_other_code_and_another_version_are_compared_all_the_same(store, bench):
    store("a", {"one": outcomes("1" * 30), "two": outcomes("1" * 30)})
    older = {
        "spec": pl.col("spec").str.replace('"method_version":"[^"]*"', '"method_version":"0"'),
        "cell_id": pl.lit("unknown-") + pl.col("label"),
        "method_digest": pl.lit("other"),
    }
    store("b", {"one": outcomes("1" * 15 + "0" * 15), "two": outcomes("1" * 30)}, columns=older)
    out = flat(bench("b", "a").out)
    assert "one: better: success 0.500 -> 1.000" in out
    assert "two: identical: 30 of 30" in out


def test_what_only_one_has_is_told(store, bench):
    store("a", {"one": {20: outcomes("11"), 40: outcomes("11")}, "two": outcomes("11")})
    store("b", {"one": outcomes("11"), "three": outcomes("11")})
    store("b", {"four": outcomes("11")}, suite="t")
    out = bench("a", "b").out
    assert "only in the first: s: two, one (m = 40)" in out
    assert "only in the second: s: three" in out
    assert "only in the second: t: four" in out
    assert "does not affect the exit code" in out
    bench("a", "b/t", code=2)


def test_other_settings_and_times_on_the_same_machine_are_told(store, bench):
    store("a", {"one": outcomes("11")})
    store("b", {"one": outcomes("10")}, lr=0.3, columns={"seconds": pl.lit(3.0)})
    store("c", {"one": outcomes("11")}, columns={"seconds": pl.lit(3.0)}, env={"cpu": "slide rule"})
    out = bench("a", "b").out
    assert "other settings of one: lr 0.1 -> 0.3" in out
    assert "seconds per trial on abacus, PyTorch ?: one 2 -> 3" in out
    assert "seconds" not in bench("a", "c").out
    store("d", {"one": outcomes("10")}, columns={"seconds": pl.lit(2.3)})  # 15 % more are not told
    assert "seconds per" not in bench("a", "d").out
    store("e", {"one": outcomes("11")}, lr=0.2, columns={"seconds": pl.lit(3.0)})
    out = bench("a", "e").out.splitlines()  # of identical runs, too
    assert out[0].startswith("identical: all 2 trials")
    assert [line.strip() for line in out[2:]] == [
        "other settings of one: lr 0.1 -> 0.2",
        "seconds per trial on abacus, PyTorch ?: one 2 -> 3",
    ]


def test_failures_that_no_mean_shows_make_it_worse(store, bench, checkout):
    rng = np.random.default_rng(1)
    scores = list(rng.normal(size=40))
    common = {"metrics": ("score", "error"), "value": "score"}
    store("a", {"one": scores}, **common)
    store("b", {"one": ["error"] * 20 + scores[20:]}, **common)
    store("c", {"one": [each - 0.5 for each in scores]}, **common)
    out = flat(bench("a", "b", code=1).out)
    assert "one: worse: finished 1.000 -> 0.500" in out
    assert "failed trials: one 0 of 40 -> 20 of 40" in out
    out = flat(bench("a", "c", code=1).out)
    assert "one: worse: score" in out
    assert "-0.500 [-0.500, -0.500], 40 pairs" in out


def test_nothing_is_obeyed_by_the_terminal(store, bench, checkout):
    store("a", {"one": outcomes("11")})
    store("b\x1b[31m", {"one": outcomes("10")})
    out = bench("a", "b\x1b[31m").out
    assert "\x1b" not in out
    assert "b\\x1b[31m" in out


# ---- confirmation ----------------------------------------------------------------------------------------------------

SUITE = """\
name: tiny
title: A suite that has been run before
trials: 12
problems: [{name: gaussian_mean, params: {d: 2, threshold: 0.6}, grid: {m: [20]}}]
methods:
  - {name: mle, params: {iterations: 3}}
  - {name: truth}
metrics: [success, error]
report: {metric: error, x: m}
"""


@pytest.fixture
def shipped(checkout, cli):
    """A checkout with two blocks of reference results, the first one newer, as those that ship."""
    (checkout / "suites").mkdir()
    (checkout / "suites" / "tiny.yaml").write_text(SUITE, encoding="utf-8")
    for seed in (0, 1):
        made = ("run", "tiny", "--executor", "inline", "--results", "made", "--no-reference", "--quiet", "--fresh")
        assert cli(*made, "--seed", str(seed)).code == 0
    for run in (checkout / "made" / "tiny").iterdir():
        when = "20260102T000000Z" if "-s0-" in run.name else "20260101T000000Z"
        shutil.copytree(run, checkout / "results" / "reference" / "tiny" / f"{when}-{run.name.partition('-')[2]}")
    assert cli("run", "tiny", "--method", "init", "--executor", "inline", "--quiet").code == 0
    return checkout


def test_a_comparison_is_confirmed_on_the_second_block(shipped, bench, cli):
    asked = ("results", "init", "mle", "--confirm", "--executor", "inline")
    outcome = bench(*asked, "--json")
    first, second = json.loads(outcome.out)
    assert [(each["seed"], each["confirmation"]) for each in (first, second)] == [(0, False), (1, True)]
    for each in (first, second):
        (cell,) = each["cells"]
        assert (cell["n_pairs"], cell["a"]["reference"], cell["b"]["reference"]) == (12, False, True)
    assert first["cells"][0]["difference"] != second["cells"][0]["difference"]
    assert "tiny: running init at seed 1, stored in" in outcome.err
    (run,) = (shipped / "results" / "confirmation" / "tiny").iterdir()
    assert run.name.endswith("-s1-cpu")
    again = bench(*asked)
    assert again.err == ""  # nothing runs twice
    head, tail = again.out.split("confirmation, seed 1, trials that nobody has looked at")
    assert "better than" in head + tail
    assert json.loads(cli("report", "results", "--format", "json").out)[0]["run"].endswith("-s0-cpu")


@pytest.mark.parametrize("folder", ["results", "results/reference", "results/reference/tiny"])
def test_shipped_labels_need_no_run(shipped, bench, folder):
    outcome = bench(folder, "truth", "mle", "--confirm", "--json")
    assert outcome.err == ""
    first, second = json.loads(outcome.out)
    assert [(each["seed"], each["confirmation"]) for each in (first, second)] == [(0, False), (1, True)]
    assert not (shipped / "results" / "confirmation").exists()


def test_the_confirmation_block_does_not_confirm_itself(shipped, bench, cli):
    ran = cli("run", "tiny", "--method", "init", "--seed", "1", "--executor", "inline", "--results", "later", "--quiet")
    assert ran.code == 0
    message = "are those of the confirmation block (seed 1) already; compare results of another seed first"
    assert message in bench("later", "init", "mle", "--confirm", code=2).err
