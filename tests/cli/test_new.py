"""``bench new``: what it writes works as it stands."""

from __future__ import annotations

import ast
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bench_core.cli import new
from bench_core.plugins import checkout_root
from bench_core.testing import checks

KINDS = ["method", "problem", "metric"]


def written(outcome):
    return [line.removeprefix("wrote ") for line in outcome.out.splitlines() if line.startswith("wrote ")]


def commands(outcome):
    """Return the commands that are printed to be typed next."""
    return [line.strip() for line in outcome.out.split("Next:\n")[1].splitlines()]


def test_an_empty_folder_becomes_a_project(project, cli):
    folder = project({})
    outcome = cli("new", "method", "mine")
    assert outcome.code == 0, outcome.err
    assert written(outcome) == ["pyproject.toml", "plugins/mine.py", "tests/test_mine.py"]
    assert checkout_root(folder) == folder
    assert commands(outcome) == [
        "bench check plugins/mine.py",
        "bench run gaussian_mean --trials 100 --method mine",
        "pytest tests/test_mine.py",
    ]


def test_in_a_project_the_files_go_to_its_top_and_its_suites(project, cli, monkeypatch):
    folder = project({"pyproject.toml": "[tool.bench]\n", "deep/x.txt": "", "suites/a.yaml": "", "tests/plugins/x": ""})
    monkeypatch.chdir(folder / "deep")
    outcome = cli("new", "problem", "mine")
    assert written(outcome) == ["../plugins/mine.py", "../tests/plugins/test_mine.py", "../suites/mine.yaml"]
    assert commands(outcome)[:2] == ["bench check ../plugins/mine.py", "bench run mine"]
    assert 'parents[2] / "plugins" / "mine.py"' in (folder / "tests" / "plugins" / "test_mine.py").read_text()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("package", [False, True], ids=["project", "package"])
def test_everything_that_is_printed_works_as_typed(project, cli, monkeypatch, kind, package):
    folder = project({})
    if package:  # the module is the same, and so is what its checks find
        monkeypatch.setattr(checks.Check, "_outcome", lambda self, timeout: {"status": "passed"})
    outcome = cli("new", kind, "mine", *(["--package"] if package else []))
    assert outcome.code == 0, outcome.err
    for command in commands(outcome)[:2]:
        program, *arguments = shlex.split(command)
        assert program == "bench"
        if arguments[0] == "run":  # as typed, and smaller
            small = ["--trials", "4", "--set", "iterations=20", "--set", "m=20", "--executor", "inline", "--quiet"]
            arguments = [each for each in arguments if each not in ("--trials", "100")] + small
        done = cli(*arguments)
        assert done.code == 0, (command, done.out, done.err)
    assert "mine" in done.out
    for path in written(outcome):
        assert (folder / path).is_file()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["mine", "task", "fit", "none", "streams2_x", "a" * 40])
def test_what_is_written_is_clean(project, cli, repo, kind, name):
    folder = project({})
    assert cli("new", kind, name, "--package").code == 0
    files = sorted(folder.rglob("*.py"))
    for path in files:
        compile(path.read_text(), str(path), "exec")
        classes = [node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]
        imported = [
            alias.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        ]
        assert set(classes).isdisjoint(imported)
    # As in a checkout, where the core is no third party.
    config = ["--config", str(repo / "pyproject.toml"), "--config", 'lint.isort.known-first-party=["bench_core"]']
    for rule in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *rule, *config, "--no-cache", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_package_is_a_distribution_with_an_entry_point(project, cli):
    folder = project({})
    outcome = cli("new", "method", "my_flow", "--package")
    assert written(outcome) == [
        "my_flow/pyproject.toml",
        "my_flow/README.md",
        "my_flow/my_flow.py",
        "my_flow/tests/test_my_flow.py",
    ]
    text = tomllib.loads((folder / "my_flow" / "pyproject.toml").read_text())
    assert text["project"]["name"] == "my-flow"
    assert text["project"]["dependencies"] == ["distribution-fit-bench"]
    assert text["project"]["entry-points"]["bench_core"] == {"my_flow": "my_flow"}
    assert text["build-system"]["build-backend"] == "setuptools.build_meta"
    assert len((folder / "my_flow" / "README.md").read_text().splitlines()) <= 7
    assert commands(outcome)[1] == "bench run gaussian_mean --trials 100 --plugin-dir my_flow --method my_flow"
    assert commands(outcome)[-1].startswith("pip install --editable my_flow")


def test_the_test_that_is_written_runs(project, cli):
    folder = project({})
    outcome = cli("new", "metric", "mine", "--package")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", written(outcome)[3]]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "8 passed" in done.stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Mine", "'Mine' is no name for a plugin"),
        ("my-method", "'my-method' is no name for a plugin"),
        ("../mine", "'../mine' is no name for a plugin"),
        ("", "'' is no name for a plugin"),
        ("a" * 41, "is no name for a plugin"),
        ("_mine", "is no name for a plugin"),
        ("mine_", "is no name for a plugin"),
        ("class", "'class' is a word or a module of Python"),
        ("random", "'random' is a word or a module of Python"),
        ("mmd", "the method 'mmd' is there already, from "),
        ("gaussian_mean", "the problem 'gaussian_mean' is there already, from "),
        ("torch", "'torch' is the name of an installed module"),
    ],
)
def test_a_bad_name_is_refused(project, cli, name, message):
    folder = project({})
    outcome = cli("new", "method", name)
    assert outcome.code == 2
    assert message in outcome.err
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("existing", ["plugins/mine.py", "tests/test_mine.py", "mine.yaml"])
def test_nothing_is_overwritten(project, cli, existing):
    folder = project({"pyproject.toml": "[tool.bench]\n", existing: "# mine\n"})
    before = {path: path.read_text() for path in folder.rglob("*") if path.is_file()}
    outcome = cli("new", "problem", "mine")
    assert outcome.code == 2
    assert f"{existing} exists and is not overwritten" in outcome.err or "is loaded already" in outcome.err
    assert {path: path.read_text() for path in folder.rglob("*") if path.is_file()} == before


def test_somebody_elses_pyproject_is_left_alone(project, cli):
    folder = project({"pyproject.toml": "[tool.ruff]\n"})
    outcome = cli("new", "method", "mine")
    assert outcome.code == 2
    assert "add the line `[tool.bench]` at its end" in outcome.err
    assert [path.name for path in folder.iterdir()] == ["pyproject.toml"]
    assert cli("new", "method", "mine", "--package").code == 0


def test_a_folder_that_cannot_be_written_is_told(project, cli):
    project({"mine": "a file"})
    outcome = cli("new", "method", "mine", "--package")
    assert outcome.code == 2
    assert outcome.err.startswith("error: cannot write mine/pyproject.toml: ")


def test_of_what_fails_midway_nothing_stays(project, cli):
    folder = project({"pyproject.toml": "[tool.bench]\n", "tests": "a file"})
    outcome = cli("new", "problem", "mine")
    assert outcome.code == 2
    assert outcome.err.startswith("error: cannot write tests/test_mine.py: ")
    assert sorted(path.name for path in folder.iterdir()) == ["pyproject.toml", "tests"]


def test_the_suite_leaves_out_what_needs_parameters(project, cli):
    folder = project({"pyproject.toml": "[tool.bench]\n"})
    cli("new", "method", "other")
    path = folder / "plugins" / "other.py"
    path.write_text(path.read_text().replace('    name = "other"', '    name = "other"\n    must: bool'))
    assert cli("new", "metric", "mine").code == 0
    suite = (folder / "mine.yaml").read_text()
    assert "name: mmd" in suite
    assert "name: other" not in suite


def test_the_builtin_suites_and_plugins_are_there_in_a_new_project(project, cli):
    project({})
    cli("new", "method", "mine")
    assert "gaussian_cov" in cli("list", "suites").out
    listed = cli("list", "methods").out
    assert {"mine", "mmd", "truth"} <= {line.split()[0] for line in listed.splitlines()}


@pytest.mark.parametrize("kind", new.Kind)
def test_the_templates_are_no_plugins_themselves(plugins, kind):
    assert f"new_{kind}" not in {*plugins.methods, *plugins.problems, *plugins.metrics}
    assert (Path(new.__file__).parents[1] / "templates" / f"{kind}.py").is_file()
