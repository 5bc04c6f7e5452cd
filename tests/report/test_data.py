"""What the page is told: the numbers of the summary, in few bytes, none of which can be anything but text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bench_core
from bench_core import stats
from bench_core.adaptive import Reach
from bench_core.plugins import Plugins
from bench_core.report import FolderFormat, table
from bench_core.report.html import page, plots
from bench_core.summary import Summary

Made = Callable[..., Summary]


def told(script: bytes) -> dict[str, Any]:
    """Return the data as the browser reads them."""
    quoted = re.fullmatch(r"'use strict';\nconst BENCH = JSON\.parse\('(.*)'\);\n", script.decode("ascii"))
    assert quoted
    text = re.sub(r"\\(.)", r"\1", quoted[1])  # the only escapes of the outer string are of single characters
    found: dict[str, Any] = json.loads(text)
    return found


def suite(summary: Summary) -> dict[str, Any]:
    (found,) = told(page.script(page.data([summary])))["suites"]
    return dict(found)


def every_text(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    each = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for one in each for text in every_text(one)]


def test_the_format_is_registered_and_writes_a_folder(plugins: Plugins) -> None:
    chosen = plugins.formats.get("html")
    assert isinstance(chosen, FolderFormat)
    assert chosen.name == "html"


def test_plotly_and_matplotlib_are_imported_when_something_is_drawn() -> None:
    """Every command imports the formats; these packages take seconds."""
    for path in Path(bench_core.__file__).parent.rglob("*.py"):
        found = re.findall(
            r"^(?:import|from) (?:plotly|matplotlib)\b.*", path.read_text(encoding="utf-8"), re.MULTILINE
        )
        assert found == [], path


def test_every_number_is_the_summarys(made: Made) -> None:
    summary = made(failures={1: ("nan", "why"), 2: ("error", "because")})
    found = suite(summary)
    assert len(found["rows"]) == len(summary.entries) == 3 * 3 * 2
    for row, entry in zip(found["rows"], summary.entries, strict=True):
        assert found["labels"][row["label"]]["name"] == entry.label
        assert found["groups"][row["group"]]["x"] == entry.x
        assert (row["metric"], row["n"], row["failed"]) == (entry.metric, entry.n_attempted, entry.n_failed)
        assert (row["estimate"], row["low"], row["high"]) == (entry.estimate, entry.low, entry.high)
        titles = next([each["title"] for each in m["columns"]] for m in found["metrics"] if m["name"] == entry.metric)
        shown, key = (dict(zip(titles, row[kind], strict=True)) for kind in ("text", "key"))
        assert shown["interval"] == table.estimate(entry)
        assert (shown["trials"], shown["failed"]) == (str(entry.n_attempted), table.failed(entry))
        assert (key["trials"], key["failed"], key["steps"]) == (entry.n_attempted, entry.n_failed, 1000)
        assert dict(row["failures"]) == entry.failures
        assert [reason[:2] for reason in row["reasons"]] == [list(each) for each in entry.reasons.items()]
    for row, each in zip(found["comparisons"], summary.comparisons, strict=True):
        assert [found["labels"][row[key]]["name"] for key in "ab"] == [each.a, each.b]
        numbers = [row[key] for key in ("n", "n10", "n01", "difference", "low", "high", "raw", "p", "separated")]
        assert numbers == [
            each.n_pairs,
            each.n10,
            each.n01,
            each.difference,
            each.low,
            each.high,
            each.p_value_raw,
            each.p_value,
            each.separated,
        ]


def test_timings_of_different_machines_share_no_column(hostile: Summary) -> None:
    found = suite(hostile)
    assert found["machines"] == ["A: abacus, 1 thread", "B: abacus <b>bold</b>, 9 threads"]
    titles = [column["title"] for column in found["metrics"][0]["columns"]]
    at = [titles.index("s/trial A"), titles.index("s/trial B")]
    rows = {found["labels"][row["label"]]["name"]: row for row in found["rows"]}
    assert [rows["__proto__"]["text"][k] for k in at] == ["", "2"]
    assert [rows["tuned"]["key"][k] for k in at] == pytest.approx([0.02, 1.0])
    assert rows["tuned"]["seconds"] == pytest.approx([0.02, 1.0])
    assert rows["__proto__"]["seconds"] == [None, 2.0]
    assert "on 2 kinds of hardware" in found["seconds"]
    assert {"A: abacus, 1 thread.", "B: abacus <b>bold</b>, 9 threads."} <= set(found["metrics"][0]["notes"])


def test_one_machine_has_no_letter(made: Made) -> None:
    found = suite(made())
    assert found["machines"] == ["abacus, 1 thread"]
    assert "s/trial" in [column["title"] for column in found["metrics"][0]["columns"]]
    assert "s/trial: on abacus, 1 thread." in found["metrics"][0]["notes"]


def test_reference_results_are_marked(hostile: Summary) -> None:
    found = suite(replace(hostile, older=["control"]))
    marked = {row["name"] for row in found["rows"] if row["reference"]}
    assert marked == {"control†"} == {row["text"][1] for row in found["rows"] if "†" in row["text"][1]}
    assert [note[:12] for note in found["metrics"][0]["notes"] if "†" in note] == ["†: reference", "†: computed "]


def test_what_may_stop_early_has_wider_bands_and_says_so(made: Made) -> None:
    summary = made(trials=50)
    adaptive = [replace(entry, looks=5) for entry in summary.entries]
    reach = Reach((10, 20, 50, 100, 200), 50, True)
    keys = {key for key, _ in summary.samples}
    wide = suite(replace(summary, entries=adaptive, reaches=dict.fromkeys(keys, reach)))
    assert wide["metrics"][1]["over"] == "over all looks"
    narrow = suite(summary)
    assert narrow["metrics"][1]["over"] == ""
    assert all(a["high"][0] > b["high"][0] for a, b in zip(wide["profiles"], narrow["profiles"], strict=True))


def test_infinities_and_nothing_survive_json(made: Made) -> None:
    summary = made()
    odd = replace(summary.entries[0], estimate=float("inf"), low=float("-inf"), high=float("nan"))
    row = suite(replace(summary, entries=[odd, *summary.entries[1:]]))["rows"][0]
    assert (row["estimate"], row["low"], row["high"]) == ("inf", "-inf", None)


def test_nothing_in_the_script_can_be_markup_and_all_of_it_is_there(hostile: Summary) -> None:
    script = page.script(page.data([hostile]))
    assert not set(b"<>&") & set(script)
    assert script.isascii()
    found = told(script)["suites"][0]
    names = [label["name"] for label in found["labels"]]
    assert "<img src=x onerror=alert(1)>" in names
    assert "__proto__" in names
    assert "_hid\\u202eden\\x1b[31m\\x00" in names  # visible, not obeyed
    texts = every_text(found)
    assert all(text.isprintable() for text in texts)
    assert any("boom </script><script>alert(1)</script>" in text for text in texts)


@pytest.mark.parametrize(
    "text", ["'", '"', "\\", "\\'", "\u2028", "</script>", "\\u003c", "'+alert(1)+'", "é\U0001f600"]
)
def test_a_script_says_back_any_text(text: str) -> None:
    assert told(page.script({"a": [text]})) == {"a": [text]}


def test_profiles_are_those_of_the_library_thinned(made: Made) -> None:
    summary = made(trials=500, failures={0: ("nan", "why")})
    found = suite(summary)["profiles"]
    assert {each["metric"] for each in found} == {"error"}
    assert len(found) == 9
    for each in found[:3]:
        assert len(each["tau"]) == plots.PROFILE_POINTS
        key, label = list(summary.samples)[0 if each["label"] == 0 else each["label"]]
        whole = stats.performance_profile(summary.samples[key, label].values["error"], direction="lower", level=0.95)
        kept = plots.thinned(len(whole.tau), plots.PROFILE_POINTS)
        for name in ("tau", "share", "low", "high"):
            assert each[name] == pytest.approx(getattr(whole, name)[kept], rel=1e-3, abs=1e-4)
        assert each["tau"][-1] == pytest.approx(whole.tau.max(), rel=1e-4)


def test_paths_are_quartiles_over_trials_and_failures_are_infinite(made: Made) -> None:
    summary = made(trials=8, failures=dict.fromkeys(range(5), ("nan", "why")))
    found = suite(summary)["paths"]
    first, second = found[:2]
    assert first["steps"]["x"] == [0, 1, 10, 100, 1000]
    assert first["steps"]["middle"] == ["inf"] * 5  # five of eight are lost
    assert np.isfinite(first["steps"]["low"]).all()
    errors = np.array(summary.samples[next(iter(summary.samples))[0], "tuned"].rows["path.error"].to_list())
    expected = np.quantile(errors, 0.5, axis=0, method="inverted_cdf")
    assert second["steps"]["middle"] == pytest.approx(expected, rel=1e-3)
    assert first["samples"]["x"] == [0, 50, 500, 5000, 50000]  # steps x 50 samples of each
    assert "samples" not in second  # it generates none


def test_paths_of_unequal_steps_meet_where_all_have_begun() -> None:
    curves = [(np.array([0.0, 10.0]), np.array([4.0, 2.0])), (np.array([5.0, 20.0]), np.array([3.0, 1.0]))]
    found = plots._quartiles(curves, lost=0)
    assert found["x"] == [5, 10, 20]
    assert found["low"] == [3, 2, 1]
    assert found["high"] == [4, 3, 2]


def test_long_paths_are_thinned() -> None:
    where = np.arange(1000.0)
    assert len(plots._quartiles([(where, where)], lost=0)["x"]) == plots.PATH_POINTS


def test_rows_without_paths_have_none(made: Made) -> None:
    summary = made()
    samples = {k: replace(v, rows=v.rows.drop("path.step", "path.error")) for k, v in summary.samples.items()}
    assert suite(replace(summary, samples=samples))["paths"] == []


def test_single_trials_are_told_where_they_are_few(made: Made) -> None:
    assert suite(made(trials=21))["dots"] == []
    found = suite(made(trials=20, failures={3: ("error", "why")}))["dots"]
    assert len(found) == 18
    (lost,) = [trial for trial in found[1]["trials"] if trial[2] == "error"]
    assert lost[1:] == [3, "error", None]


def test_claims_keep_their_parts_and_readings(hostile: Summary) -> None:
    claims = suite(hostile)["claims"]
    assert [claim["verdict"] for claim in claims] == ["supported", "contradicted", "inconclusive"]
    assert claims[0]["published"] == "0.25"
    assert claims[1]["said"] == "contradicted (expected)"
    assert claims[0]["measured"] == "0.100 [0.0500, 0.200]"
    assert claims[0]["pieces"][0]["where"] == "m=50"
    assert claims[2]["readings"][0]["text"] == "Reading <b>bold</b>"


def test_the_command_computes_the_cell_again(made: Made) -> None:
    import shlex

    from bench_core.overrides import _value

    summary = made(("it's $(rm)", "b"))
    words = shlex.split(page.command(summary, summary.entries[0]))
    assert words[:9] == ["bench", "run", "made", "--method", "it's $(rm)", "--seed", "7", "--trials", "30"]
    settings = [word.rpartition("=") for word in words[10::2]]
    assert {name: _value(text) for name, _, text in settings} == {
        "d": 3,
        "m": 50,
        "it's $(rm).lr": 0.1,
        "it's $(rm).iterate": "last",
    }


@pytest.mark.parametrize("value", [True, None, 1, 1e-5, 0.1 + 0.2, "last", "true", "1", "null", "1e3", "no"])
def test_a_setting_is_read_back_as_it_was(value: Any) -> None:
    from bench_core.overrides import _value

    assert _value(page._literal(value)) == value
    assert type(_value(page._literal(value))) is type(value)


def test_environments_are_those_of_the_trials(made: Made) -> None:
    found = suite(made())["environments"]
    assert (found["names"], found["trials"], found["others"]) == (["e1"], [270], 1)
    assert found["facts"] == [["cpu", ["abacus"]], ["torch", ["2.0"]], ["packages", ["numpy 2.0"]]]


def test_a_problem_cell_without_the_metric_is_told_all_the_same(made: Made) -> None:
    summary = made()
    entries = [entry for entry in summary.entries if entry.metric == "error" or entry.x != 200]
    found = suite(replace(summary, entries=entries))
    assert [group["title"] for group in found["groups"]] == ["m = 50", "m = 100", "m = 200"]


def test_forty_cells_stay_small(forty: Mapping[str, bytes]) -> None:
    total = sum(map(len, forty.values()))
    print(f"40 cells: {total / 1e6:.2f} MB, of which data {len(forty['data.js']) / 1e6:.2f} MB")
    assert total < 5.6e6  # and some 0.1 MB of figures


def test_the_page_takes_scripts_from_files_only_and_asks_nobody(forty: Mapping[str, bytes]) -> None:
    files = forty
    assert {"index.html", "page.css", "page.js", "data.js", "plotly.min.js"} < set(files)
    figures = {name: files[name] for name in files if "/" in name}
    assert figures == {f"figures/made-{m}.{s}": m.encode() for m in ("success", "error") for s in ("svg", "pdf")}
    policy = files["index.html"].decode()
    assert """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'self'; """ in policy
    assert not re.search(r"<script(?! defer src=)|https?://| on\w+=", policy)
    assert not re.search(
        r"innerHTML|insertAdjacentHTML|document\.write|\beval\b|https?://(?!www\.w3\.org/2000/svg)",
        files["page.js"].decode(),
    )
