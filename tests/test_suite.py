from __future__ import annotations

import copy
import os
import pickle
import random
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bench_core.errors import SuiteError
from bench_core.suite import MethodEntry, ProblemEntry, ReportEntry, SelectEntry, Suite, load_suite
from bench_core.yamlfile import Limits, load

VALID = """\
name: s
title: Two methods, one problem
source: A paper, Table 1
seed: 3
trials: 800
timeout: 60
problems:
  - name: gaussian_cov
    params: {d: 10, epsilon: 1e-5, cov: full}
    grid:
      m: [50, 100]
      noise: [0.1]
methods:
  - name: mmd
    params: {bandwidth: [1, 10.0], verbose: false}
  - name: wgan
    label: wgan-tuned
    trials: 20
metrics: [success, error]
report: {metric: success, x: m}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples of a property."""
    return tmp_path_factory.mktemp("suites")


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "s.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def changed(old: str, new: str) -> str:
    assert VALID.count(old) == 1, old
    return VALID.replace(old, new)


QUANTITIES = ("minima", "smmd_at_zero")


def refusal(path: Path) -> str:
    """Return the message, without the folder."""
    with pytest.raises(SuiteError) as caught:
        load_suite(path, quantities=QUANTITIES)
    message = str(caught.value)
    assert "\n" not in message
    assert message.isprintable()
    return message.removeprefix(f"{path.parent}{os.sep}")


# ---- what a suite says -----------------------------------------------------------------------------------------------


def test_a_suite_says_what_its_file_says(tmp_path: Path) -> None:
    suite = load_suite(write(tmp_path, VALID))
    assert suite == Suite(
        name="s",
        title="Two methods, one problem",
        source="A paper, Table 1",
        seed=3,
        trials=800,
        timeout=60.0,
        problems=[
            ProblemEntry(
                name="gaussian_cov",
                params={"d": 10, "epsilon": 1e-5, "cov": "full"},
                grid={"m": [50, 100], "noise": [0.1]},
            )
        ],
        methods=[
            MethodEntry(name="mmd", label="mmd", params={"bandwidth": [1, 10.0], "verbose": False}),
            MethodEntry(name="wgan", label="wgan-tuned", trials=20),
        ],
        metrics=["success", "error"],
        report=ReportEntry(metric="success", x="m"),
    )


MINIMAL = "name: s\ntitle: t\ntrials: 1\nproblems: [{name: p}]\nmethods: [{name: m}]\nmetrics: [a, b]\n"


def test_defaults(tmp_path: Path) -> None:
    suite = load_suite(write(tmp_path, MINIMAL))
    assert (suite.source, suite.seed, suite.timeout) == ("", 0, 600.0)
    assert (suite.problems[0].params, suite.problems[0].grid) == ({}, {})
    assert (suite.methods[0].label, suite.methods[0].params, suite.methods[0].trials) == ("m", {}, None)
    assert suite.report == ReportEntry(metric="a", x=None)


def test_numbers_keep_their_types(tmp_path: Path) -> None:
    suite = load_suite(write(tmp_path, VALID))
    assert isinstance(suite.timeout, float)
    assert repr(suite.methods[0].params) == "{'bandwidth': [1, 10.0], 'verbose': False}"
    assert repr(suite.problems[0].params) == "{'d': 10, 'epsilon': 1e-05, 'cov': 'full'}"


@pytest.mark.parametrize("field", ["trials", "unknown"])
def test_a_suite_is_frozen(tmp_path: Path, field: str) -> None:
    suite = load_suite(write(tmp_path, VALID))
    with pytest.raises(ValidationError):
        setattr(suite, field, 3)


def test_a_suite_made_in_code_is_checked_and_can_report(tmp_path: Path) -> None:
    data = load(write(tmp_path, MINIMAL)).data
    suite = Suite.model_validate(data)
    assert suite.where(("trials",)) == "suite s"
    assert str(suite.error(("problems", 0, "name"), "unknown")) == "suite s: problems[0].name: unknown"
    assert str(suite.error((), "bad")) == "suite s: bad"
    with pytest.raises(ValidationError):
        Suite(**{**suite.model_dump(), "metrics": ["a", "a"]})


# ---- later errors ----------------------------------------------------------------------------------------------------


def test_later_errors_name_file_line_and_key(tmp_path: Path) -> None:
    path = write(tmp_path, VALID)
    suite = load_suite(path)
    assert suite.where(("problems", 0, "grid", "m")) == f"{path}:11"
    assert suite.where(("methods", 1, "label")) == f"{path}:17"
    error = suite.error(("methods", 1, "params", "lr"), "required a number > 0, got -1")
    assert isinstance(error, SuiteError)
    assert str(error) == f"{path}:16: methods[1].params.lr: required a number > 0, got -1"


def test_a_changed_copy_keeps_the_lines(tmp_path: Path) -> None:
    path = write(tmp_path, VALID)
    suite = load_suite(path)
    copies = [
        suite.model_copy(update={"trials": 5}),
        suite.model_copy(deep=True),
        copy.deepcopy(suite),
        pickle.loads(pickle.dumps(suite)),
    ]
    for other in copies:
        assert other.where(("metrics",)) == f"{path}:19"
    assert copies[0].trials == 5
    assert copies[0] != suite
    assert copies[1:] == [suite] * 3
    longer = suite.model_copy(update={"methods": [*suite.methods, MethodEntry(name="mine")]})
    assert longer.where(("methods", 2, "name")) == f"{path}:13"


# ---- bad inputs ------------------------------------------------------------------------------------------------------

BAD: dict[str, tuple[str, str, str]] = {
    # unknown, misspelt and missing keys
    "misspelt key": ("metrics:", "metrcs:", "19: metrcs: unknown key; did you mean 'metrics'? (known: claims, "),
    "unknown key": ("seed: 3", "zzz: 3", "4: zzz: unknown key (known: claims, methods, metrics, name, "),
    "unknown key of a problem": (
        "    grid:",
        "    gird:",
        "10: problems[0].gird: unknown key; did you mean 'grid'? (known: grid, name, params)",
    ),
    "unknown key of a method": (
        "    label: wgan",
        "    lable: wgan",
        "17: methods[1].lable: unknown key; did you mean 'label'? (known: label, name, params, select, trials)",
    ),
    "unknown key of the report": ("x: m", "y: m", "20: report.y: unknown key (known: metric, x)"),
    "missing title": ("title: Two methods, one problem\n", "", "1: title: required key is missing"),
    "missing name of a method": ("name: wgan\n    label", "label", "16: methods[1].name: required key is missing"),
    "missing name of a problem": (
        "  - name: gaussian_cov\n    params",
        "  - params",
        "8: problems[0].name: required key is",
    ),
    "missing metric of the report": ("metric: success, ", "", "20: report.metric: required key is missing"),
    "duplicate key": ("seed: 3", "trials: 3", "5: duplicate key 'trials' (first on line 4)"),
    # select
    "select without grid": (
        "    trials: 20",
        "    select: {metric: error, trials: 5}",
        "18: methods[1].select.grid: required key is missing",
    ),
    "select without metric": (
        "    trials: 20",
        "    select: {grid: {lr: [1]}, trials: 5}",
        "18: methods[1].select.metric: required key is missing",
    ),
    "select with an empty grid": (
        "    trials: 20",
        "    select: {grid: {}, metric: error, trials: 5}",
        "18: methods[1].select.grid: required at least one entry, got an empty mapping",
    ),
    "select with an empty axis": (
        "    trials: 20",
        "    select: {grid: {lr: []}, metric: error, trials: 5}",
        "18: methods[1].select.grid.lr: required a list of at least one value, got an empty list",
    ),
    "select with a value twice": (
        "    trials: 20",
        "    select: {grid: {lr: [1, 1.0]}, metric: error, trials: 5}",
        "18: methods[1].select.grid.lr[1]: duplicate value 1.0",
    ),
    "select by an unknown metric": (
        "    trials: 20",
        "    select: {grid: {lr: [1]}, metric: eror, trials: 5}",
        "18: methods[1].select.metric: unknown metric 'eror'; did you mean 'error'?",
    ),
    "select with an unknown key": (
        "    trials: 20",
        "    select: {gird: {lr: [1]}, metric: error, trials: 5}",
        "18: methods[1].select.gird: unknown key; did you mean 'grid'? (known: grid, metric, trials)",
    ),
    "select of a parameter that is set": (
        "    trials: 20",
        "    params: {lr: 1}\n    select: {grid: {lr: [1]}, metric: error, trials: 5}",
        "19: methods[1].select.grid.lr: stands in both params and select.grid; remove one (first on line 18)",
    ),
    "select with no trials": (
        "    trials: 20",
        "    select: {grid: {lr: [1]}, metric: error, trials: 0}",
        "18: methods[1].select.trials: required an integer ≥ 1, got 0",
    ),
    "select with a long grid": (
        "    trials: 20",
        f"    select: {{grid: {{a: {list(range(101))}, b: {list(range(100))}}}, metric: error, trials: 1}}",
        "18: methods[1].select.grid: required at most 10,000 combinations, got 10,100",
    ),
    "trials until unknown": (
        "trials: 800",
        "trials: {max: 800, until: {half_with: 0.05}}",
        "5: trials.until.half_with: unknown key; did you mean 'half_width'?",
    ),
    "trials until nothing": (
        "trials: 800",
        "trials: {max: 800, until: {}}",
        "5: trials.until: required one of half_width and decided, got neither",
    ),
    "trials until both": (
        "trials: 800",
        "trials: {max: 8, until: {half_width: 0.1, decided: [mmd, mle]}}",
        "5: trials.until: required one of half_width and decided, got both",
    ),
    "trials until one label": (
        "trials: 800",
        "trials: {max: 800, until: {decided: [mmd, mmd]}}",
        "5: trials.until.decided: required a list of two different labels, got a list",
    ),
    "trials until an unknown label": (
        "trials: 800",
        "trials: {max: 800, until: {decided: [mmd, mmb]}}",
        "5: trials.until.decided[1]: unknown label 'mmb'; did you mean 'mmd'?",
    ),
    "trials max": (
        "trials: 800",
        "trials: {max: 0, until: {half_width: 0.1}}",
        "5: trials.max: required an integer ≥ 1, got 0",
    ),
    "trials max alone": ("trials: 800", "trials: {max: 800}", "5: trials.until: required key is missing"),
    "trials max of a method": (
        "trials: 20",
        "trials: {max: 9}",
        "18: methods[1].trials: required an integer: {max, until} stands at the top of a suite",
    ),
    # trials, seed, timeout
    "trials 0": ("trials: 800", "trials: 0", "5: trials: required an integer ≥ 1, got 0"),
    "trials negative": ("trials: 20", "trials: -3", "18: methods[1].trials: required an integer ≥ 1, got -3"),
    "trials too many": ("trials: 800", "trials: 10000001", "5: trials: required an integer ≤ 10000000, got 10000001"),
    "trials of a method too many": ("trials: 20", "trials: 10000001", "18: methods[1].trials: required an integer ≤"),
    "trials a float": ("trials: 800", "trials: 3.0", "5: trials: required an integer, got 3.0"),
    "trials a fraction": ("trials: 800", "trials: 3.5", "5: trials: required an integer, got 3.5"),
    "trials a string": ("trials: 800", 'trials: "3"', "5: trials: required an integer, got '3'"),
    "trials 1.1 number": ("trials: 800", "trials: 1_000", "5: trials: required an integer, got '1_000'"),
    "trials a boolean": ("trials: 800", "trials: true", "5: trials: required an integer, got true"),
    "trials NaN": ("trials: 800", "trials: .nan", "5: trials: required an integer, got .nan"),
    "trials forgotten": ("trials: 800", "trials:", "5: trials: required an integer, got nothing (null)"),
    "trials a mapping": ("trials: 800", "trials: {a: 1}", "5: trials.a: unknown key (known: max, until) (and 2 more)"),
    "trials huge": ("trials: 800", f"trials: {'9' * 30}", "5: trials: required an integer of at most 64 bits, got 999"),
    "seed negative": ("seed: 3", "seed: -1", "4: seed: required an integer ≥ 0, got -1"),
    "seed a 1.1 boolean": ("seed: 3", "seed: yes", "4: seed: required an integer, got 'yes'"),
    "timeout 0": ("timeout: 60", "timeout: 0", "6: timeout: required a number > 0, got 0"),
    "timeout negative": ("timeout: 60", "timeout: -1.5", "6: timeout: required a number > 0, got -1.5"),
    "timeout NaN": ("timeout: 60", "timeout: .nan", "6: timeout: required a finite number, got .nan"),
    "timeout infinite": ("timeout: 60", "timeout: .inf", "6: timeout: required a finite number, got .inf"),
    "timeout a string": ("timeout: 60", "timeout: 10 min", "6: timeout: required a number, got '10 min'"),
    "timeout a boolean": ("timeout: 60", "timeout: false", "6: timeout: required a number, got false"),
    # names
    "another name": (
        "name: s\n",
        "name: t\n",
        "1: name: required the file's name 's', got 't'; change the name or rename",
    ),
    "name with a path": ("name: s\n", "name: ../s\n", "1: name: required 1 to 64 of a-z, 0-9, _ and -"),
    "name a number": ("name: s\n", "name: 3\n", "1: name: required a string, got 3"),
    "name reserved": ("name: s\n", "name: reference\n", "1: name: 'reference' is a reserved name"),
    "name with a newline": ("name: s\n", 'name: "s\\n"\n', "1: name: required 1 to 64 of a-z, 0-9, _ and -"),
    "title a list": ("title: Two methods, one problem", "title: [a]", "2: title: required a string, got a list"),
    "title with an escape": (
        "title: Two methods, one problem",
        'title: "\\e[31mred"',
        "2: title: required printable text on one line, got '\\x1b[31mred'",
    ),
    "source with an escape": (
        "source: A paper, Table 1",
        'source: "\\e[3m"',
        "3: source: required printable text on one line",
    ),
    "method a number": ("name: wgan", "name: 3", "16: methods[1].name: required a string, got 3"),
    "label with a dot": (
        "wgan-tuned",
        "wgan.tuned",
        "17: methods[1].label: required a printable name without '/', '\\', '.'",
    ),
    "label with a slash": ("wgan-tuned", "a/b", "17: methods[1].label: required a printable name without '/'"),
    "label with a backslash": ("wgan-tuned", "a\\b", "17: methods[1].label: required a printable name without '/'"),
    "label with =": ("wgan-tuned", "a=b", "17: methods[1].label: required a printable name without '/'"),
    "label with spaces around": ("wgan-tuned", "'a '", "17: methods[1].label: required a printable name without '/'"),
    "label with an escape": ("wgan-tuned", '"\\e[31m"', "17: methods[1].label: required a printable name without '/'"),
    "label turning the text": (
        "wgan-tuned",
        '"a\\u202eb"',
        "17: methods[1].label: required a printable name without '/'",
    ),
    "label empty": ("wgan-tuned", "''", "17: methods[1].label: required a name of 1 to 64 characters, got ''"),
    "label long": ("wgan-tuned", "x" * 65, "17: methods[1].label: required a name of 1 to 64 characters, got 'xxx"),
    "label twice": ("wgan-tuned", "mmd", "17: methods[1].label: duplicate label 'mmd' (first on line 14)"),
    "name as label twice": (
        "name: wgan\n    label: wgan-tuned",
        "name: mmd",
        "16: methods[1].label: duplicate label 'mmd' (first on line 14)",
    ),
    # lists and mappings
    "no problems": (
        VALID[VALID.index("problems:") : VALID.index("methods:")],
        "problems: []\n",
        "7: problems: required at least one",
    ),
    "no methods": (
        VALID[VALID.index("methods:") : VALID.index("metrics:")],
        "methods: []\n",
        "13: methods: required at least one",
    ),
    "methods a mapping": (
        VALID[VALID.index("methods:") : VALID.index("metrics:")],
        "methods: {name: mmd}\n",
        "13: methods: required a list, got a mapping",
    ),
    "method a string": (
        "  - name: mmd\n    params: {bandwidth: [1, 10.0], verbose: false}",
        "  - mmd",
        "14: methods[0]: required a mapping, got 'mmd'",
    ),
    "params a list": (
        "{bandwidth: [1, 10.0], verbose: false}",
        "[1]",
        "15: methods[0].params: required a mapping, got a list",
    ),
    "params forgotten": (
        "{bandwidth: [1, 10.0], verbose: false}",
        "",
        "15: methods[0].params: required a mapping, got nothing",
    ),
    "report a string": ("{metric: success, x: m}", "success", "20: report: required a mapping, got 'success'"),
    "report unknown metric": (
        "{metric: success",
        "{metric: succes",
        "20: report.metric: unknown metric 'succes'; did you mean 'success'? (known: error, success)",
    ),
    "report over a list": ("x: m}", "x: [m]}", "20: report.x: required a string, got a list"),
    "metrics a string": ("[success, error]", "success", "19: metrics: required a list, got 'success'"),
    "metrics empty": ("[success, error]", "[]", "19: metrics: required at least one entry, got an empty list"),
    "metrics twice": (
        "[success, error]",
        "[success, success]",
        "19: metrics[1]: duplicate metric 'success' (first on line 19)",
    ),
    "metric a number": ("[success, error]", "[success, 3]", "19: metrics[1]: required a string, got 3"),
    # params and grid
    "param NaN": (
        "epsilon: 1e-5",
        "epsilon: .nan",
        "9: problems[0].params.epsilon: required a finite number, got .nan",
    ),
    "param infinite": (
        "verbose: false",
        "verbose: -.inf",
        "15: methods[0].params.verbose: required a finite number, got -.inf",
    ),
    "param NaN in a list": (
        "[1, 10.0]",
        "[1, .nan]",
        "15: methods[0].params.bandwidth[1]: required a finite number, got .nan",
    ),
    "param a mapping": (
        "verbose: false",
        "verbose: {a: 1}",
        "15: methods[0].params.verbose: required a number, a string, true",
    ),
    "param a list of lists": (
        "[1, 10.0]",
        "[[1]]",
        "15: methods[0].params.bandwidth[0]: required a number, a string, true",
    ),
    "param with an escape": (
        "cov: full",
        'cov: "\\a"',
        "9: problems[0].params.cov: required printable text on one line",
    ),
    "param without a name": ("cov: full", '"": full', "9: problems[0].params.'': required the name of a parameter"),
    "param of a strange name": (
        "cov: full",
        "a.b: full",
        "9: problems[0].params.'a.b': required the name of a parameter",
    ),
    "grid of a strange name": (
        "noise: [0.1]",
        '"\\e": [0.1]',
        "12: problems[0].grid.'\\x1b': required the name of a parameter",
    ),
    "grid a scalar": ("m: [50, 100]", "m: 50", "11: problems[0].grid.m: required a list of at least one value, got 50"),
    "grid empty": (
        "m: [50, 100]",
        "m: []",
        "11: problems[0].grid.m: required a list of at least one value, got an empty list",
    ),
    "grid NaN": ("m: [50, 100]", "m: [50, .nan]", "11: problems[0].grid.m[1]: required a finite number, got .nan"),
    "grid twice the same": (
        "m: [50, 100]",
        "m: [50,\n 50]",
        "12: problems[0].grid.m[1]: duplicate value 50 (first on line 11)",
    ),
    "grid twice the same number": (
        "m: [50, 100]",
        "m: [50, 50.0]",
        "11: problems[0].grid.m[1]: duplicate value 50.0 (first",
    ),
    "grid and params": (
        "d: 10",
        "m: 10",
        "11: problems[0].grid.m: stands in both params and grid; remove one (first on line 9)",
    ),
    "grid too large": (
        "noise: [0.1]",
        "\n      ".join(f"{key}: {list(range(10))}" for key in "efgh"),
        "10: problems[0].grid: required at most 10,000 combinations, got 20,000",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_suite_is_refused_by_file_line_and_key(tmp_path: Path, name: str) -> None:
    old, new, beginning = BAD[name]
    message = refusal(write(tmp_path, changed(old, new)))
    assert message.startswith(f"s.yaml:{beginning}"), message


FILES: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "s.yaml:1: the file is empty, required a mapping"),
    "null": ("---\n", "s.yaml:1: required a mapping, got nothing (null)"),
    "list": ("# c\n- name: s\n", "s.yaml:2: required a mapping, got a list"),
    "text": ("some text\n", "s.yaml:1: required a mapping, got 'some text'"),
    "binary": (random.Random(0).randbytes(4096), "s.yaml:1: required UTF-8 text, got the "),
    "10 MB": (VALID + "#" * 10_000_000, "s.yaml: required a file of at most 1,000,000 bytes"),
    "python tag": (
        changed("seed: 3", "seed: !!python/name:os.system"),
        "s.yaml:4: seed: the tag '!!python/name:os.system' is",
    ),
    "alias bomb": (
        changed("seed: 3", "seed:\n- &a0 [x]\n" + "".join(f"- &a{i} [{f'*a{i - 1},' * 9}]\n" for i in range(1, 12))),
        "s.yaml:10: seed[5][2]: required at most 50,000 keys and values, got more",
    ),
    "deep nest": (
        changed("seed: 3", "seed: " + "[" * 10_000),
        "s.yaml:4: seed",
    ),
    "long key": (changed("seed: 3", "? " + "s" * 100_000 + "\n: 3"), "s.yaml:4: 'sss"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_suite_is_refused_quickly(tmp_path: Path, name: str) -> None:
    content, beginning = FILES[name]
    path = write(tmp_path, content)
    start = time.process_time()
    message = refusal(path)
    assert time.process_time() - start < 1
    assert message.startswith(beginning), message
    assert ("required at most 32 levels" in message) == name.startswith("deep")
    assert len(message) < 500


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="is a directory, required a YAML file"):
        load_suite(tmp_path)


def test_the_first_fault_by_line_is_told_and_the_others_are_counted(tmp_path: Path) -> None:
    text = "metrics: [1]\ntrials: 0\nseed: -1\n" + MINIMAL.replace("trials: 1\n", "").replace("metrics: [a, b]\n", "")
    assert refusal(write(tmp_path, text)) == "s.yaml:1: metrics[0]: required a string, got 1 (and 2 more)"


def test_a_misspelt_key_is_told_before_the_one_that_it_leaves_missing(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, changed("problems:", "problem:")))
    assert message.startswith("s.yaml:7: problem: unknown key; did you mean 'problems'?")
    assert message.endswith("(and 1 more)")


def test_one_fault_is_one_fault(tmp_path: Path) -> None:
    """A default that hangs on a faulty value is no second fault."""
    assert "more)" not in refusal(write(tmp_path, MINIMAL.replace("{name: m}", "{name: 3}")))
    assert "more)" not in refusal(write(tmp_path, MINIMAL.replace("[a, b]", "[a, a]")))


def test_true_and_1_are_different_values_of_a_grid(tmp_path: Path) -> None:
    suite = load_suite(write(tmp_path, changed("m: [50, 100]", "m: [1, true, '1']")))
    assert repr(suite.problems[0].grid["m"]) == "[1, True, '1']"


@pytest.mark.parametrize("label", ["wgan tuned", "λ", "a" * 64, "mmd (σ² 10)", "[red]", "yes", "@"])
def test_labels_may_be_what_people_write(tmp_path: Path, label: str) -> None:
    assert load_suite(write(tmp_path, changed("wgan-tuned", f"'{label}'"))).methods[1].label == label


def test_a_suite_name_has_at_most_64_characters(tmp_path: Path) -> None:
    for length in (64, 65):
        (tmp_path / f"{'s' * length}.yaml").write_text(changed("name: s\n", f"name: {'s' * length}\n"))
    assert load_suite(tmp_path / f"{'s' * 64}.yaml").name == "s" * 64
    assert ":1: name: required 1 to 64 of a-z" in refusal(tmp_path / f"{'s' * 65}.yaml")


def test_the_source_may_have_several_lines(tmp_path: Path) -> None:
    suite = load_suite(write(tmp_path, changed("source: A paper, Table 1", "source: |\n  one\n  two")))
    assert suite.source == "one\ntwo\n"


def test_a_stored_suite_need_not_be_called_like_its_file(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(VALID)
    assert load_suite(path, stored=True).name == "s"
    with pytest.raises(SuiteError, match=r"suite\.yaml:1: name: required the file's name 'suite', got 's'"):
        load_suite(path)


# ---- claims ----------------------------------------------------------------------------------------------------------

CLAIMS = """\
name: s
title: t
trials: 5
problems:
  - name: gaussian_cov
    params: {d: 10}
    grid: {m: [50, 100], noise: [0.1, 1]}
methods:
  - {name: mmd, select: {grid: {lr: [0.1, 1]}, metric: error, trials: 5}}
  - {name: wgan, select: {grid: {lr: [0.1, 1]}, metric: error, trials: 5}}
  - {name: mle}
metrics: [success, error]
claims:
  - id: one
    text: MMD is better
    source: Section 4.1
    better: {label: mmd, than: wgan, margin: 0, metric: success, where: {m: [50, 100], noise: 1.0}, scope: every}
  - {id: two, family: detail, expect: contradicted, value: {label: mle, equals: 0.5, sd: 0.1, n: 50, spread: sd}}
  - id: three
    alternatives:
      - {text: as published, equal: {a: mmd, b: mle, margin: 0.05}}
      - {text: of all, best: {label: mmd, among: [wgan, mle], where: {problem: gaussian_cov}}}
  - {id: four, flat: {label: mmd, x: noise, margin: 0.05}}
  - {id: five, trend: {label: mmd, x: m, direction: up}}
  - {id: six, level: {label: mmd, at_least: 0.5}}
  - {id: seven, ratio: {of: mmd, to: mle, at_most: 2}}
  - {id: eight, sensitivity: {label: wgan, than: mmd}}
"""


def claiming(old: str, new: str) -> str:
    assert CLAIMS.count(old) == 1, old
    return CLAIMS.replace(old, new)


def test_claims_say_what_the_file_says(tmp_path: Path) -> None:
    claims = load_suite(write(tmp_path, CLAIMS)).claims
    assert [claim.form for claim in claims] == (
        ["better", "value", "alternatives", "flat", "trend", "level", "ratio", "sensitivity"]
    )
    first, second, third = claims[:3]
    assert (first.id, first.text, first.source, first.family, first.expect) == (
        "one",
        "MMD is better",
        "Section 4.1",
        "primary",
        None,
    )
    assert first.better is not None
    assert (first.better.where, first.better.margin, first.better.scope) == (
        {"m": [50, 100], "noise": 1.0},
        0.0,
        "every",
    )
    assert (second.family, second.expect) == ("detail", "contradicted")
    assert third.labels() == ["mmd", "mle", "wgan"]
    assert claims[3].stated().model_dump() == {
        "where": {},
        "scope": "every",
        "label": "mmd",
        "x": "noise",
        "margin": 0.05,
    }


def test_claims_can_be_read_back(tmp_path: Path) -> None:
    suite = load_suite(write(tmp_path, CLAIMS))
    text = suite.resolved()
    assert "null" not in text[text.index("claims:") :]
    again = load_suite(write(tmp_path, text), stored=True)
    assert again == suite
    assert repr(again) == repr(suite)
    assert again.resolved() == text
    assert repr(yaml.safe_load(text)) == repr(suite.model_dump())


def test_a_stored_suite_may_have_claims_about_no_cell(tmp_path: Path) -> None:
    """The command line may have changed the grid that a claim is about."""
    suite = load_suite(write(tmp_path, CLAIMS))
    problems = [ProblemEntry(name="gaussian_cov", params={"m": 7})]
    changed_suite = suite.model_copy(update={"problems": problems, "methods": [*suite.methods[2:], *suite.methods[:2]]})
    assert load_suite(write(tmp_path, changed_suite.resolved()), stored=True).claims == suite.claims


BAD_CLAIMS: dict[str, tuple[str, str, str]] = {
    "claims a mapping": (
        CLAIMS[CLAIMS.index("  - id: one") :],
        "  a: 1\n",
        "13: claims: required a list, got a mapping",
    ),
    "a claim a string": ("  - id: one\n", "  - x\n  - id: one\n", "14: claims[0]: required a mapping, got 'x'"),
    "without id": ("  - id: one\n    text", "  - text", "14: claims[0].id: required key is missing"),
    "id twice": ("id: two", "id: one", "18: claims[1].id: duplicate id 'one' (first on line 14)"),
    "id with a slash": ("id: two", "id: a/b", "18: claims[1].id: required a printable name without '/'"),
    "text with an escape": ("MMD is better", '"\\e[31m"', "15: claims[0].text: required printable text on one line"),
    "unknown form": (
        "    better: {",
        "    beter: {",
        "17: claims[0].beter: unknown key; did you mean 'better'? (known: alternatives, best, better, count, equal, ",
    ),
    "no form": (
        "  - {id: six, level: {label: mmd, at_least: 0.5}}",
        "  - {id: six}",
        "25: claims[5]: required exactly one form (better, best, equal, flat, trend, level, value, ratio, sensitivity, "
        "limit, count, alternatives), got none",
    ),
    "two forms": (
        "{id: six, level",
        "{id: six, better: {label: mmd, than: mle}, level",
        "25: claims[5].level: required exactly one form (better, best, equal, flat, trend, level, value, ratio, "
        "sensitivity, limit, count, alternatives), got both better and level",
    ),
    "unknown key of a form": (
        "{of: mmd",
        "{off: mmd",
        "26: claims[6].ratio.off: unknown key; did you mean 'of'? (known: at_most, metric, of, scope, to, where)",
    ),
    "metric beside the form": (
        "{id: six, level",
        "{id: six, metric: error, level",
        "25: claims[5].metric: metric stands inside the form, as in better: {label: …, than: …, metric: …}",
    ),
    "family inside the form": (
        "at_least: 0.5",
        "at_least: 0.5, family: detail",
        "25: claims[5].level.family: family stands beside the form level, not in it",
    ),
    "unknown key of a reading": (
        "{text: as published, equal",
        "{txt: as published, equal",
        "21: claims[2].alternatives[0].txt: unknown key; did you mean 'text'?",
    ),
    "unknown key of a reading's form": (
        "among: [wgan, mle]",
        "amog: [wgan, mle]",
        "22: claims[2].alternatives[1].best.amog: unknown key; did you mean 'among'?",
    ),
    "alternatives of nothing": (
        CLAIMS[CLAIMS.index("      - {text: as") : CLAIMS.index("  - {id: four")],
        "      []\n",
        "20: claims[2].alternatives: required at least one entry, got an empty list",
    ),
    "unknown label": (
        "than: wgan",
        "than: wgn",
        "17: claims[0].better.than: unknown label 'wgn'; did you mean 'wgan'? (known: mle, mmd, wgan)",
    ),
    "unknown label among several": (
        "[wgan, mle]",
        "[wgan,\n          ml]",
        "23: claims[2].alternatives[1].best.among[1]: unknown label 'ml'; did you mean 'mle'?",
    ),
    "a label against itself": (
        "than: wgan",
        "than: mmd",
        "17: claims[0].better.than: required different labels, got 'mmd' twice (first on line 17)",
    ),
    "unknown metric": (
        "metric: success, where",
        "metric: succes, where",
        "17: claims[0].better.metric: unknown metric 'succes'; did you mean 'success'? (known: error, success)",
    ),
    "equal without margin": (
        "{a: mmd, b: mle, margin: 0.05}",
        "{a: mmd, b: mle}",
        "21: claims[2].alternatives[0].equal.margin: required key is missing",
    ),
    "margin 0": ("b: mle, margin: 0.05", "b: mle, margin: 0", "21: claims[2].alternatives[0].equal.margin: required a"),
    "margin negative": ("margin: 0,", "margin: -1,", "17: claims[0].better.margin: required a number ≥ 0, got -1"),
    "where of an unknown parameter": (
        "noise: 1.0}",
        "nose: 1.0}",
        "17: claims[0].better.where.nose: the suite states no parameter 'nose'; did you mean 'noise'? "
        "(known: d, m, noise, problem)",
    ),
    "where at an unknown value": (
        "{m: [50, 100], noise: 1.0}",
        "{m: [50,\n      10]}",
        "18: claims[0].better.where.m[1]: no problem cell has m = 10; did you mean '100'? (known: 100, 50)",
    ),
    "where at true": (
        "noise: 1.0}",
        "noise: true}",
        "17: claims[0].better.where.noise: no problem cell has noise = true",
    ),
    "where at nothing": (
        "noise: 1.0}",
        "noise: []}",
        "17: claims[0].better.where.noise: required a value, or a list of",
    ),
    "where with NaN": ("noise: 1.0}", "noise: .nan}", "17: claims[0].better.where.noise: required a finite number"),
    "where in no cell together": (
        "    grid: {m: [50, 100], noise: [0.1, 1]}\n",
        "    grid: {m: [50, 100], noise: [0.1]}\n  - {name: gaussian_cov, params: {m: 200, noise: 1}}\n",
        "18: claims[0].better.where: no problem cell has all of this together",
    ),
    "scope": ("scope: every", "scope: each", "17: claims[0].better.scope: required 'every' or 'average', got 'each'"),
    "family": ("family: detail", "family: own", "18: claims[1].family: required 'primary' or 'detail', got 'own'"),
    "expect": ("expect: contradicted", "expect: no", "18: claims[1].expect: required 'contradicted', got 'no'"),
    "x unknown": ("x: noise", "x: nois", "23: claims[3].flat.x: the suite states no parameter 'nois'; did you mean"),
    "x of one value": (
        "x: noise,",
        "x: d,",
        "23: claims[3].flat.x: required a parameter with at least two values where the claim looks, got 1",
    ),
    "x of one value by where": (
        "{label: mmd, x: m,",
        "{label: mmd, x: m, where: {m: 50},",
        "24: claims[4].trend.x: required a parameter with at least two values where the claim looks, got 1",
    ),
    "direction": ("direction: up", "direction: rising", "24: claims[4].trend.direction: required 'up' or 'down', got"),
    "level without a bound": (
        "at_least: 0.5",
        "metric: error",
        "25: claims[5].level: required one of at_least, at_most",
    ),
    "level with two": ("at_least: 0.5", "at_least: 0.5, at_most: 1", "25: claims[5].level: required one of at_least"),
    "sd without n": ("n: 50, ", "", "18: claims[1].value.spread: spread: sd needs n, the number of trials behind it"),
    "se without sd": (
        "sd: 0.1, n: 50, spread: sd",
        "spread: se",
        "18: claims[1].value.spread: spread: se needs sd, the number behind the ±",
    ),
    "n 1": ("n: 50", "n: 1", "18: claims[1].value.n: required an integer ≥ 2, got 1"),
    "sensitivity without select": (
        "{label: wgan, than: mmd}",
        "{label: mle, than: mmd}",
        "27: claims[7].sensitivity.label: required a label with select, got 'mle' (known: mmd, wgan)",
    ),
    "sensitivity over unequal grids": (
        "  - {name: wgan, select: {grid: {lr: [0.1, 1]}",
        "  - {name: wgan, select: {grid: {lr: [0.1, 1, 2]}",
        "27: claims[7].sensitivity: required select grids of equal size, got 3 and 2 settings",
    ),
    "sensitivity by another metric": (
        "{label: wgan, than: mmd}",
        "{label: wgan, than: mmd, metric: success}",
        "27: claims[7].sensitivity: required two labels whose select has the metric 'success'",
    ),
    "sensitivity somewhere": (
        "{label: wgan, than: mmd}",
        "{label: wgan, than: mmd, where: {m: 50}}",
        "27: claims[7].sensitivity.where: sensitivity is over the holdout trials of all problem cells; remove the key",
    ),
    "limit": (
        "ratio: {of: mmd, to: mle, at_most: 2}",
        "limit: {quantity: smmd_at_0, equals: 0}",
        "26: claims[6].limit.quantity: unknown quantity 'smmd_at_0'; did you mean 'smmd_at_zero'? "
        "(known: minima, smmd_at_zero)",
    ),
    "count": (
        "ratio: {of: mmd, to: mle, at_most: 2}",
        "count: {quantity: maxima, at_most: 3}",
        "26: claims[6].count.quantity: unknown quantity 'maxima'; did you mean 'minima'?",
    ),
    "count of two bounds": (
        "ratio: {of: mmd, to: mle, at_most: 2}",
        "count: {quantity: minima, at_most: 3, equals: 2}",
        "26: claims[6].count: required one of equals, at_least, at_most, got equals and at_most",
    ),
}


@pytest.mark.parametrize("name", BAD_CLAIMS)
def test_a_bad_claim_is_refused_by_file_line_and_key(tmp_path: Path, name: str) -> None:
    old, new, beginning = BAD_CLAIMS[name]
    message = refusal(write(tmp_path, claiming(old, new)))
    assert message.startswith(f"s.yaml:{beginning}"), message


# ---- resolved --------------------------------------------------------------------------------------------------------


def test_resolved_writes_everything_out(tmp_path: Path) -> None:
    text = MINIMAL.replace("{name: p}", "{name: p, params: {e: 1e-5, s: 'no', t: '1', f: 1.}}")
    assert load_suite(write(tmp_path, text)).resolved() == (
        'name: s\ntitle: t\nsource: ""\nseed: 0\ntrials: 1\ntimeout: 600.0\n'
        'problems:\n  - name: p\n    params: {e: 1.0e-05, s: "no", t: "1", f: 1.0}\n    grid: {}\n'
        "methods:\n  - name: m\n    label: m\n    params: {}\n    trials: null\n    select: null\n"
        "metrics: [a, b]\nreport: {metric: a, x: null}\nclaims: []\n"
    )


FORBIDDEN = frozenset("/\\.=")
letters = st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp", "Zs"))
# fmt: off
tricky = st.sampled_from([
    "yes", "no", "on", "y", "null", "true", "~", "1", "1e5", "0o7", ".nan", "1_0", "=", "<<", "2001-01-01", "# a",
    "- a", "*a", "a: b",
])
# fmt: on
texts = st.text(letters | st.just(" "), max_size=30) | tricky
names = st.text(letters.filter(lambda c: c not in FORBIDDEN), min_size=1, max_size=64) | tricky.filter(
    lambda text: not FORBIDDEN & set(text)
)
parameters = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,10}", fullmatch=True) | st.sampled_from(["y", "no", "null", "λ"])
numbers = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | numbers | texts
grids = st.dictionaries(
    parameters, st.lists(scalars, min_size=1, max_size=4, unique_by=lambda v: (isinstance(v, bool), v)), max_size=3
)


@st.composite
def suites(draw: st.DrawFn) -> Suite:
    def params() -> dict[str, Any]:
        return draw(st.dictionaries(parameters, scalars | st.lists(scalars, max_size=3), max_size=4))

    def problem() -> ProblemEntry:
        grid = draw(grids)
        return ProblemEntry(name=draw(names), params={k: v for k, v in params().items() if k not in grid}, grid=grid)

    def method(label: str) -> MethodEntry:
        grid = draw(grids)
        select = SelectEntry(grid=grid, metric=draw(st.sampled_from(metrics)), trials=draw(trials)) if grid else None
        fixed = {k: v for k, v in params().items() if k not in grid}
        return MethodEntry(name=draw(names), label=label, params=fixed, trials=draw(st.none() | trials), select=select)

    trials = st.integers(1, 10**7)
    labels = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    metrics = draw(st.lists(names, min_size=1, max_size=3, unique=True))
    return Suite(
        name=draw(st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True).filter(lambda n: n != "reference")),
        title=draw(texts),
        source=draw(texts | st.just("one\ntwo\n")),
        seed=draw(st.integers(0, 2**63 - 1)),
        trials=draw(trials),
        timeout=draw(st.floats(min_value=0, exclude_min=True, allow_infinity=False)),
        problems=[problem() for _ in range(draw(st.integers(1, 3)))],
        methods=[method(label) for label in labels],
        metrics=metrics,
        report=ReportEntry(metric=draw(st.sampled_from(metrics)), x=draw(st.none() | parameters)),
    )


@settings(max_examples=60, deadline=None)
@given(suite=suites())
def test_resolved_gives_the_same_suite_back(folder: Path, suite: Suite) -> None:
    text = suite.resolved()
    path = folder / "suite.yaml"
    path.write_text(text, "utf-8")
    again = load_suite(path, stored=True)
    assert again == suite
    assert repr(again) == repr(suite)  # tells 1 from 1.0 and 0.0 from -0.0
    assert again.resolved() == text
    # A reader of YAML 1.1 sees the same.
    assert repr(yaml.safe_load(text)) == repr(suite.model_dump())


def test_the_largest_suite_can_be_read_back(tmp_path: Path) -> None:
    """Its resolved text is longer, and has more keys, than a suite file may."""
    methods = "".join(f"{{name: a{i}}}, " for i in range(8000))
    text = MINIMAL.replace("{name: m}", methods) + "source: '" + '"' * 700_000 + "'\n"
    suite = load_suite(write(tmp_path, text))
    path = write(tmp_path, suite.resolved())
    with pytest.raises(SuiteError, match="required a file of at most"):
        load(path)
    with pytest.raises(SuiteError, match="required at most 50,000 keys and values"):
        load(path, Limits(size=10**8))
    assert load_suite(path, stored=True) == suite


# ---- fuzz ------------------------------------------------------------------------------------------------------------

# fmt: off
TOKENS = [
    "0", "-1", "3.0", "1e-5", "1e999", ".nan", ".inf", "true", "null", "~", "''", '"', "'", "[", "]", "{", "}", ": ",
    ",", "- ", "\n", "  ", "\t", "&a ", "*a", "!x ", "!!python/name:os.system ", "|", ">", "#", "%", "---\n", "? ",
    "<<: ", "\x00", "\x1b", "\\", "name", "select: {}", "claims: []", "\ufeff", "9" * 40, "é", "\u202e",
]
# fmt: on


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    raw = VALID.encode()
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(raw)))
        stop = min(len(raw), start + draw(st.integers(0, 30)))
        piece = draw(
            st.sampled_from(TOKENS).map(str.encode)
            | st.binary(max_size=3)
            | st.just(raw[start:stop] * 2)
            | st.just(b"")
        )
        raw = raw[:start] + piece + raw[stop:]
    return raw


def outcome(path: Path) -> Suite | str:
    try:
        return load_suite(path)
    except SuiteError as error:
        return str(error)


def shape(data: object) -> object:
    """Keys and lengths, without the scalars."""
    if isinstance(data, dict):
        return {key: shape(value) for key, value in data.items()}
    return [shape(value) for value in data] if isinstance(data, list) else None


@settings(max_examples=400, deadline=None)
@given(content=mutations())
def test_a_mutated_suite_is_a_suite_or_one_error(folder: Path, content: bytes) -> None:
    path = write(folder, content)
    start = time.process_time()
    suite = outcome(path)
    assert time.process_time() - start < 2
    if isinstance(suite, str):
        assert suite.isprintable()
        assert suite.startswith(f"{path}:")
        return
    # What was accepted has the structure that PyYAML sees, and every scalar of it is in the text. By the same scanner:
    # PyYAML's own one refuses a tab before a colon, which libyaml takes.
    scanner = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    seen = yaml.load(content.decode("utf-8-sig"), Loader=scanner)
    assert shape(load(path).data) == shape(seen)
    assert suite.name == seen["name"] == "s"
    assert suite.trials == int(seen["trials"], 0)
    assert suite.metrics == seen["metrics"]
    assert [method.name for method in suite.methods] == [method["name"] for method in seen["methods"]]
    assert Suite.model_validate(load(path).data).resolved() == suite.resolved()
