from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench_core.parameters import describe
from bench_core.plugins import Plugins

Cli = Callable[..., Any]
Project = Callable[..., Path]

KINDS = ["methods", "problems", "metrics", "suites", "figures", "quantities", "plugins"]

MINE = '''\
from typing import Literal
from pydantic import Field
from bench_core import Fit, Method, hookimpl

class Mine(Method):
    """Mine, in one sentence.

    And more.
    """
    name = "mine"
    needs = frozenset({"samples"})

    rate: float = Field(ge=0, lt=1)
    """Share of the data,
    in [0, 1)."""
    depth: int | None = None
    widths: tuple[int, ...] = Field(default_factory=lambda: (8, 4))
    mode: Literal["a", "b"] = "b"

    def fit(self, trials):
        return Fit(answer=trials["start"])

@hookimpl
def bench_register_methods():
    return [Mine]
'''

SUITE = """\
name: tiny
title: A suite of my own
trials: 2
problems: [{name: gaussian_mean}]
methods: [{name: truth}]
metrics: [error]
"""


@pytest.fixture
def checkout(project: Project) -> Path:
    """Stand in a checkout with a plugin and a suite."""
    return project({"pyproject.toml": "[tool.bench]\n", "plugins/mine.py": MINE, "suites/tiny.yaml": SUITE})


# ---- bench list ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_list_says_a_line_per_thing(cli: Cli, kind: str) -> None:
    items = json.loads(cli("list", kind, "--json").out)
    lines = cli("list", kind).out.splitlines()
    assert [line.split()[0] for line in lines] == [item["name"] for item in items]
    for line, item in zip(lines, items, strict=True):
        assert item["about"]
        assert line.endswith(item["about"])


def test_a_list_holds_what_is_there(cli: Cli, plugins: Plugins, repo: Path) -> None:
    found = json.loads(cli("list", "--json").out)
    names = {kind: [item["name"] for item in items] for kind, items in found.items()}
    assert list(names) == KINDS
    assert names["methods"] == sorted(plugins.methods)
    assert names["problems"] == sorted(plugins.problems)
    assert names["figures"] == sorted(plugins.figures)
    assert names["quantities"] == sorted(plugins.quantities)
    assert names["metrics"] == ["distance", "error", "success"]
    assert names["suites"] == sorted(path.stem for path in (repo / "suites").glob("*.yaml"))
    assert {"mmd", "wgan", "bench_core.problems.gaussian_mean"} <= set(names["plugins"])


def test_all_kinds_are_listed_under_their_names(cli: Cli) -> None:
    lines = cli("list").out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == KINDS
    assert any(line.startswith("  mmd ") for line in lines)


def test_blocked_plugins_and_named_folders_show(cli: Cli, project: Project) -> None:
    folder = project({"mine.py": MINE, "broken.py": "1 / 0\n"})
    outcome = cli("list", "plugins", "--json", "--plugin-dir", folder, "--block", "mmd")
    about = {item["name"]: item["about"] for item in json.loads(outcome.out)}
    assert about["mine"] == str(folder / "mine.py")
    assert about["broken"] == f"{folder / 'broken.py'}: left out: ZeroDivisionError: division by zero (line 1)"
    assert "mmd" not in about


def test_a_checkout_gives_its_own_plugins_and_suites(cli: Cli, checkout: Path) -> None:
    assert "mine" in [item["name"] for item in json.loads(cli("list", "methods", "--json").out)]
    assert json.loads(cli("list", "suites", "--json").out) == [
        {"name": "tiny", "about": "A suite of my own", "path": str(checkout / "suites" / "tiny.yaml")}
    ]


def test_outside_a_checkout_the_installed_suites_are_listed(cli: Cli, project: Project, repo: Path) -> None:
    project({"x.txt": ""})
    names = [item["name"] for item in json.loads(cli("list", "suites", "--json").out)]
    assert names == sorted(path.stem for path in (repo / "suites").glob("*.yaml"))


def test_a_broken_suite_is_listed_as_broken(cli: Cli, checkout: Path) -> None:
    (checkout / "suites" / "bad.yaml").write_text("name: [", encoding="utf-8")
    outcome = cli("list", "suites")
    assert outcome.code == 0
    assert "bad   broken: " in outcome.out
    assert "tiny  A suite of my own" in outcome.out


def test_an_unknown_kind_is_refused_with_the_known_ones(cli: Cli) -> None:
    outcome = cli("list", "methodz")
    assert outcome.code == 2
    assert all(kind in outcome.err for kind in KINDS)


def test_the_version_is_printed(cli: Cli) -> None:
    outcome = cli("--version")
    assert (outcome.code, outcome.out) == (0, f"{importlib.metadata.version('distribution-fit-bench')}\n")


# ---- bench show ------------------------------------------------------------------------------------------------------


def test_a_method_is_shown_with_its_parameters(cli: Cli) -> None:
    out = cli("show", "mmd").out
    assert out.startswith("method mmd\nDescend the unbiased estimate of MMD^2")
    assert "  lr = 0.1  (float, > 0)\n      Learning rate.\n" in out
    assert "  schedule = \"constant\"  ('constant', 'linear', 'cosine')\n" in out
    assert "needs: recovery, samples\n" in out


def test_every_kind_of_parameter_is_described(cli: Cli, checkout: Path) -> None:
    (shown,) = json.loads(cli("show", "mine", "--json").out)
    assert shown["about"] == "Mine, in one sentence.\n\nAnd more."
    assert (shown["kind"], shown["needs"]) == ("method", ["samples"])
    assert shown["plugin"] == str(checkout / "plugins" / "mine.py")
    rows = {row["name"]: (row["type"], row["default"], row["bounds"], row["doc"]) for row in shown["parameters"]}
    assert rows["rate"] == ("float", "required", "≥ 0, < 1", "Share of the data, in [0, 1).")
    assert rows["depth"] == ("int | null", "null", "", "")
    assert rows["widths"][1] == "[8, 4]"
    assert rows["mode"] == ("'a', 'b'", '"b"', "", "")
    assert rows["dtype"][1] == '"float32"'


def test_every_builtin_parameter_is_documented(plugins: Plugins) -> None:
    classes = [*plugins.methods.items.values(), *plugins.problems.items.values()]
    lacking = [f"{cls.name}.{parameter.name}" for cls in classes for parameter in describe(cls) if not parameter.doc]
    assert lacking == []
    assert [cls.name for cls in classes if not cls.__dict__.get("__doc__")] == []


def test_a_problem_is_shown_with_the_suite_named_after_it(cli: Cli, repo: Path) -> None:
    problem, suite = json.loads(cli("show", "gaussian_cov", "--json").out)
    assert (problem["kind"], suite["kind"]) == ("problem", "suite")
    assert {"d", "m", "epsilon", "threshold", "fakes_ratio", "init_distance"} == {
        parameter["name"] for parameter in problem["parameters"]
    }
    assert suite["text"] == (repo / "suites" / "gaussian_cov.yaml").read_text(encoding="utf-8").rstrip("\n")


def test_a_metric_is_shown_with_its_kind_and_direction(cli: Cli) -> None:
    out = cli("show", "success").out
    assert out.startswith("metric success\n")
    assert "values: rate, higher is better\n" in out


def test_a_suite_is_shown_by_name_and_by_path(cli: Cli, checkout: Path) -> None:
    for name in ("tiny", "suites/tiny.yaml"):
        out = cli("show", name).out
        assert out.startswith(f"suite {name}\n")
        assert out.endswith(SUITE)


@pytest.mark.parametrize(
    ("name", "near"), [("mdm", "mmd"), ("gausian_mean", "gaussian_mean"), ("smok", "smoke"), ("sucess", "success")]
)
def test_an_unknown_name_is_told_with_the_nearest(cli: Cli, name: str, near: str) -> None:
    outcome = cli("show", name)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"error: nothing is called {name!r}; did you mean {near!r}? (known: ")
    assert outcome.err.count("gaussian_cov") == 1  # though a problem and a suite have the name


def test_an_unknown_name_is_told_with_the_plugins_that_were_left_out(cli: Cli, project: Project) -> None:
    project({"flow.py": "import no_such_module\n"})
    outcome = cli("show", "flow", "--plugin-dir", ".")
    assert outcome.code == 2
    assert "  plugin 'flow' from " in outcome.err


# ---- bench doctor ----------------------------------------------------------------------------------------------------


def test_a_healthy_installation_has_its_versions_named(cli: Cli) -> None:
    outcome = cli("doctor")
    assert outcome.code == 0
    assert f"python: {platform.python_version()}" in outcome.out
    for package in ("torch", "numpy", "polars", "pydantic", "torch-fidelity"):
        assert f"{package} {importlib.metadata.version(package)}" in outcome.out
    assert "problems found: none" in outcome.out
    assert f"{os.cpu_count()} cores" in outcome.out


def test_the_doctor_speaks_json(cli: Cli) -> None:
    found = json.loads(cli("doctor", "--json").out)
    assert found["packages"]["torch"] == importlib.metadata.version("torch")
    assert found["problems found"] == []


def test_the_doctor_finds_broken_plugins_and_suites(cli: Cli, checkout: Path) -> None:
    (checkout / "plugins" / "broken.py").write_text("1 / 0\n", encoding="utf-8")
    (checkout / "suites" / "bad.yaml").write_text(
        SUITE.replace("name: tiny", "name: bad").replace("truth", "thruth"), encoding="utf-8"
    )
    outcome = cli("doctor", "--json")
    assert outcome.code == 1
    plugin, suite = json.loads(outcome.out)["problems found"]
    assert plugin.startswith(f"plugin 'broken' from {checkout / 'plugins' / 'broken.py'} was left out: ZeroDivision")
    assert suite.startswith(f"{checkout / 'suites' / 'bad.yaml'}:5: methods[0].name: unknown method 'thruth'")


# ---- the process -----------------------------------------------------------------------------------------------------


def bench(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    code = "from bench_core.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, cwd=cwd
    )


def test_a_fault_of_the_user_is_one_message_without_a_traceback(tmp_path: Path) -> None:
    done = bench("show", "mdm", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: nothing is called 'mdm'; did you mean 'mmd'?")
    assert "Traceback" not in done.stderr


def test_tables_go_to_standard_output_and_warnings_to_standard_error(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n", encoding="utf-8")
    done = bench("list", "metrics", "--json", "--plugin-dir", ".", cwd=tmp_path)
    assert done.returncode == 0
    assert [item["name"] for item in json.loads(done.stdout)] == ["distance", "error", "success"]
    assert done.stderr.startswith("warning: plugin 'broken' from ")
