from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core.errors import BenchError, SuiteError
from bench_core.overrides import override
from bench_core.plan import make_plan
from bench_core.plugins import Plugins
from bench_core.suite import Suite, load_suite

SUITE = """\
name: s
title: Three labels of two methods
trials: 20
problems:
  - name: gaussian_mean
    params: {d: 2, threshold: 0.1}
    grid: {m: [50, 100]}
  - name: gaussian_cov
    params: {d: 3, m: 60}
methods:
  - name: mmd
    params: {lr: 0.2}
    trials: 5
  - name: mmd
    label: mmd-tuned
    params: {schedule: linear}
  - name: truth
metrics: [success, error]
"""


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    path = tmp_path_factory.mktemp("suites") / "s.yaml"
    path.write_text(SUITE, encoding="utf-8")
    return load_suite(path)


def refusal(suite: Suite, plugins: Plugins, **changes: Any) -> str:
    with pytest.raises(BenchError) as caught:
        override(suite, plugins, **changes)
    return str(caught.value)


def method_params(suite: Suite) -> dict[str, dict[str, Any]]:
    return {entry.label: entry.params for entry in suite.methods}


# ---- nothing, --trials, --seed ---------------------------------------------------------------------------------------


def test_without_changes_the_suite_is_as_it_was(suite: Suite, plugins: Plugins) -> None:
    assert override(suite, plugins) == suite


def test_trials_replace_those_of_the_suite_and_of_every_label(suite: Suite, plugins: Plugins) -> None:
    changed = override(suite, plugins, trials=7)
    assert {cell.trials for cell in make_plan(changed, plugins).cells} == {7}
    assert {cell.trials for cell in make_plan(suite, plugins).cells} == {5, 20}


def test_a_seed_replaces_the_suites(suite: Suite, plugins: Plugins) -> None:
    assert override(suite, plugins, seed=0).seed == 0
    assert {cell.seed for cell in make_plan(override(suite, plugins, seed=9), plugins).cells} == {9}


# ---- --method --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mmd", "mmd-tuned", "truth"])
def test_a_label_or_method_of_the_suite_changes_nothing(suite: Suite, plugins: Plugins, name: str) -> None:
    assert override(suite, plugins, methods=[name]) == suite


def test_a_method_that_the_suite_lacks_is_appended_with_its_defaults(suite: Suite, plugins: Plugins) -> None:
    changed = override(suite, plugins, methods=["mle", "osmmd", "mle"])
    assert [entry.label for entry in changed.methods] == ["mmd", "mmd-tuned", "truth", "mle", "osmmd"]
    mle = next(cell for cell in make_plan(changed, plugins).cells if cell.label == "mle")
    assert mle.method_params == plugins.methods.get("mle")().values()
    assert mle.trials == 20


def test_an_unknown_method_is_told_with_the_nearest_label_or_method(suite: Suite, plugins: Plugins) -> None:
    assert refusal(suite, plugins, methods=["mmd-tunned"]).startswith(
        "--method: unknown label or method 'mmd-tunned'; did you mean 'mmd-tuned'? (known: "
    )
    assert "did you mean 'wgan'?" in refusal(suite, plugins, methods=["wgann"])


def test_settings_reach_an_appended_method(suite: Suite, plugins: Plugins) -> None:
    changed = override(suite, plugins, methods=["mle"], settings=["mle.lr=0.5"])
    assert method_params(changed)["mle"] == {"lr": 0.5}


# ---- --set -----------------------------------------------------------------------------------------------------------


def test_a_setting_without_label_applies_wherever_the_parameter_exists(suite: Suite, plugins: Plugins) -> None:
    changed = override(suite, plugins, settings=["lr=0.5"])
    assert method_params(changed) == {"mmd": {"lr": 0.5}, "mmd-tuned": {"schedule": "linear", "lr": 0.5}, "truth": {}}
    assert changed.problems == suite.problems


def test_a_setting_with_label_applies_to_it_alone(suite: Suite, plugins: Plugins) -> None:
    changed = override(suite, plugins, settings=["mmd.lr=0.5"])  # a label, though a method's name too
    assert method_params(changed) == {"mmd": {"lr": 0.5}, "mmd-tuned": {"schedule": "linear"}, "truth": {}}


def test_a_setting_of_problems_replaces_value_and_grid(suite: Suite, plugins: Plugins) -> None:
    changed = override(suite, plugins, settings=["m=70", "d=4"])
    assert [(entry.params, entry.grid) for entry in changed.problems] == [
        ({"d": 4, "threshold": 0.1, "m": 70}, {}),
        ({"d": 4, "m": 70}, {}),
    ]


def test_a_list_makes_a_grid(suite: Suite, plugins: Plugins) -> None:
    changed = override(suite, plugins, settings=["m=[70, 80]"])
    assert [(entry.params, entry.grid) for entry in changed.problems] == [
        ({"d": 2, "threshold": 0.1}, {"m": [70, 80]}),
        ({"d": 3}, {"m": [70, 80]}),
    ]
    assert len(make_plan(changed, plugins).cells) == 4 * 3


def test_a_setting_applies_to_problems_that_have_the_parameter(suite: Suite, plugins: Plugins) -> None:
    changed = override(suite, plugins, settings=["epsilon=1e-3"])
    assert [entry.params.get("epsilon") for entry in changed.problems] == [None, 1e-3]


def test_the_last_of_several_settings_counts(suite: Suite, plugins: Plugins) -> None:
    changed = override(suite, plugins, settings=["lr=0.5", "mmd.lr=0.6", "mmd.lr=0.7"])
    assert method_params(changed)["mmd"]["lr"] == 0.7
    assert method_params(changed)["mmd-tuned"]["lr"] == 0.5


@pytest.mark.parametrize(
    ("text", "value"),
    [("10", 10), ("1e-3", 1e-3), ("1.0", 1.0), ("true", True), ("null", None), ("cosine", "cosine"), ("'10'", "10")],
)
def test_a_value_has_the_type_that_it_has_in_a_suite(suite: Suite, plugins: Plugins, text: str, value: Any) -> None:
    got = method_params(override(suite, plugins, settings=[f"mmd.schedule={text}"]))["mmd"]["schedule"]
    assert (got, type(got)) == (value, type(value))


@given(st.integers(-(10**15), 10**15) | st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_survives_the_command_line(suite: Suite, plugins: Plugins, number: float) -> None:
    got = method_params(override(suite, plugins, settings=[f"mmd.lr={number!r}"]))["mmd"]["lr"]
    assert (repr(got), type(got)) == (repr(number), type(number))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "lrr=0.1",
            "--set: nothing in this suite has a parameter 'lrr'; did you mean 'lr'? (known: bandwidth, d,",
        ),
        ("n_critic=5", "--set: nothing in this suite has a parameter 'n_critic'"),  # it is of a method that is not here
        ("mmdd.lr=0.1", "--set: unknown label 'mmdd'; did you mean 'mmd'? (known: mmd, mmd-tuned, truth)"),
        ("gaussian_mean.m=5", "--set: unknown label 'gaussian_mean'"),
        ("mmd.lrr=0.1", "--set: mmd (mmd) has no parameter 'lrr'; did you mean 'lr'?"),
        ("mmd-tuned.m=5", "--set: mmd-tuned (mmd) has no parameter 'm'"),
        ("truth.lr=0.1", "--set: truth (truth) has no parameter 'lr' (known: dtype)"),
        ("lr=[0.1, 0.2]", "--set: lr=[0.1, 0.2]: a list is for parameters of problems"),
        ("mmd.lr=[0.1]", "--set: mmd.lr: a list is for parameters of problems"),
        ("m=[]", "--set: m=[]: required a list of at least one value"),
        ("m=[ , ]", "--set: m=[ , ]: required a list of at least one value"),
        ("lr=.nan", "--set: required a finite number, got .nan"),
        ("m=[1, .inf]", "--set: required a finite number, got .inf"),
        ("lr=" + "9" * 30, "--set: "),
        ("lr", "--set: required [label.]parameter=value, got 'lr'"),
        ("=3", "--set: required [label.]parameter=value, got '=3'"),
        (".lr=3", "--set: required [label.]parameter=value, got '.lr=3'"),
        ("mmd.=3", "--set: required [label.]parameter=value, got 'mmd.=3'"),
    ],
)
def test_a_setting_that_cannot_apply_is_refused(suite: Suite, plugins: Plugins, setting: str, message: str) -> None:
    said = refusal(suite, plugins, settings=[setting])
    assert said.startswith(message)
    assert "\n" not in said


@pytest.mark.parametrize("setting", ["mmd.lr=-1", "mmd.lr='0.1'", "mmd.iterations=1.5", "mmd.lr=true", "m=[50, 50]"])
def test_a_value_that_its_plugin_refuses_is_an_error_of_the_plan(suite: Suite, plugins: Plugins, setting: str) -> None:
    changed = override(suite, plugins, settings=[setting])
    with pytest.raises(SuiteError, match=rf"s\.yaml:\d+: {re.escape('methods[0].params' if 'mmd' in setting else '')}"):
        make_plan(changed, plugins)


def test_a_changed_suite_is_stored_and_read_back_as_it_is(suite: Suite, plugins: Plugins, tmp_path: Path) -> None:
    changed = override(
        suite, plugins, trials=3, seed=4, methods=["mle"], settings=["m=[70, 80]", "lr=1e-7", "mmd.schedule='10'"]
    )
    (tmp_path / "suite.yaml").write_text(changed.resolved(), encoding="utf-8")
    assert load_suite(tmp_path / "suite.yaml", stored=True) == changed
