"""``bench check``: what is found, what is printed, and the exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
import torch

from bench_core.testing import checks

PLUGIN = '''\
"""A plugin."""
from bench_core import Fit, Method, hookimpl


class Mine(Method):
    """The mean."""

    name = "mine"
    needs = frozenset({"recovery", "log_density"})

    def unfit(self, problem):
        return "two parameters" if problem.name == "gaussians_1d" else super().unfit(problem)

    def fit(self, trials):
        return Fit(answer=trials["observed"].mean(-2))


class Second(Mine):
    """The mean again."""

    name = "second"


@hookimpl
def bench_register_methods():
    return [Mine]
'''
BOTH = PLUGIN.replace("[Mine]", "[Mine, Second]")
BAD = PLUGIN.replace("class Mine", "class Bad").replace("[Mine]", "[Bad]").replace("Second(Mine)", "Second(Bad)")
BAD = BAD.replace('"""The mean."""', '"""The mean, and it prints."""').replace(
    "return Fit", 'print("x")\n        return Fit'
)
METRIC = '''\
"""A plugin."""
from bench_core import hookimpl
from bench_core.metrics import MeasuredMetric


class Loud(MeasuredMetric):
    """The length of the answer."""

    name = "loud"
    kind = "skewed"
    direction = "lower"
    needs = frozenset({"recovery", "log_density"})

    def measure(self, trials, fit):
        print("measuring")
        return fit.answer.norm(dim=-1)


@hookimpl
def bench_register_metrics():
    return [Loud()]
'''
PROJECT = '[project.entry-points.bench_core]\nmine = "mine"\n'


def names(outcome):
    """Return the subjects of a JSON report."""
    return sorted({f"{each['kind']} {each['name']}" for each in json.loads(outcome.out)})


def test_a_good_plugin_passes_line_by_line(project, cli):
    project({"mine.py": PLUGIN})
    outcome = cli("check", "mine.py", "--device", "cpu")
    assert outcome.code == 0
    first, *lines, blank, last = outcome.out.splitlines()
    assert first == "method mine  mine.py"
    assert all(line.startswith(("  ✓ ", "  – ")) for line in lines)
    assert not blank
    assert last.startswith("20 passed, 0 failed, 2 skipped in ")
    assert max(map(len, outcome.out.splitlines())) <= 100
    assert not [line for line in outcome.out.splitlines() if line != line.rstrip()]


def test_a_failure_says_what_was_required_what_came_and_the_cure(project, cli):
    project({"bad.py": BAD})
    outcome = cli("check", "bad.py", "--device", "cpu")
    assert outcome.code == 1
    lines = outcome.out.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("  ✗ "))
    assert lines[start].split()[1] == "silent"
    assert [line.split()[0] for line in lines[start + 1 : start + 4]] == ["required", "came", "cure"]
    assert lines[start + 2].split(maxsplit=1)[1] == "'x'"
    assert lines[-1].startswith("19 passed, 1 failed, 2 skipped in ")


def test_escape_sequences_of_a_plugin_are_shown_and_not_obeyed(project, cli):
    bad = PLUGIN.replace("return Fit", 'raise RuntimeError("a\\x1b[2Jb\\u202e")\n        return Fit')
    project({"fol\x1b[2Jder/bad.py": bad})
    outcome = cli("check", "fol\x1b[2Jder/bad.py", "--device", "cpu")
    assert outcome.code == 1
    assert r"RuntimeError: a\x1b[2Jb\u202e" in outcome.out
    assert r"method mine  fol\x1b[2Jder/bad.py" in outcome.out
    assert outcome.out.replace("\n", "").isprintable()


def test_json_says_the_same(project, cli):
    project({"loud.py": METRIC})
    outcome = cli("check", "loud.py", "--json")
    assert outcome.code == 1
    items = json.loads(outcome.out)
    (failed,) = [item for item in items if item["status"] == "failed"]
    assert (failed["kind"], failed["name"], failed["check"]) == ("metric", "loud", "unmodified")
    assert failed["came"] == "'measuring' was printed"
    assert failed["reason"] is None
    assert [item["status"] for item in items].count("passed") == len(items) - 1
    assert all(item["seconds"] >= 0 for item in items)


@pytest.mark.parametrize(
    ("files", "target", "expected"),
    [
        ({"mine/__init__.py": BOTH}, "mine", ["method mine", "method second"]),
        ({"mine/__init__.py": PLUGIN}, "./mine/", ["method mine"]),
        ({"mine/pyproject.toml": PROJECT, "mine/mine.py": PLUGIN, "mine/setup.py": "1 / 0\n"}, "mine", ["method mine"]),
        ({"mine/pyproject.toml": PROJECT, "mine/src/mine/__init__.py": PLUGIN}, "mine", ["method mine"]),
        ({"some/mine.py": PLUGIN, "some/_helper.py": "1 / 0\n"}, "some", ["method mine"]),
        ({"pyproject.toml": "[tool.bench]\n", "plugins/mine.py": PLUGIN}, "plugins/mine.py", ["method mine"]),
        ({"pyproject.toml": "[tool.bench]\n", "plugins/both.py": BOTH}, "both", ["method mine", "method second"]),
        ({"pyproject.toml": "[tool.bench]\n", "plugins/both.py": BOTH}, "second", ["method second"]),
        ({}, "success", ["metric success"]),
        ({}, "bench_core.metrics.recovery", ["metric error", "metric success"]),
    ],
)
def test_paths_and_names(project, cli, monkeypatch, files, target, expected):
    project(files)
    monkeypatch.setattr(checks.Check, "_outcome", lambda self, timeout: {"status": "passed"})
    outcome = cli("check", target, "--json")
    assert outcome.code == 0, outcome.err
    assert names(outcome) == expected


def test_a_plugin_of_another_folder_is_found_by_name(project, cli, monkeypatch):
    project({"far/away.py": PLUGIN})
    monkeypatch.setattr(checks.Check, "_outcome", lambda self, timeout: {"status": "passed"})
    assert names(cli("check", "away", "--plugin-dir", "far", "--json")) == ["method mine"]
    assert names(cli("check", "far/away.py", "--plugin-dir", "far", "--json")) == ["method mine"]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("no_such_thing", "nothing is called 'no_such_thing', and no file (known: "),
        ("gausian_mean", "did you mean 'gaussian_mean'?"),
        ("no/such.py", "there is no file 'no/such.py'; give a plugin's file or folder, or a name (`bench list`)"),
        ("empty", "there is no plugin in the folder 'empty'"),
        ("syntax.py", "syntax.py was left out: SyntaxError: '(' was never closed (line 2)"),
        ("missing.py", "missing.py was left out: ModuleNotFoundError: No module named 'no_such_module' (line 2)"),
        ("misspelt.py", "misspelt.py was left out: PluginError: unknown hook 'bench_register_method'; did you mean"),
        ("taken.py", "taken.py was left out: the method 'truth' is already offered by plugin 'truth'"),
        ("nothing.py", "nothing.py loads, and offers no method, problem or metric to check"),
    ],
)
def test_what_cannot_be_checked_is_told_in_one_message(project, cli, target, message):
    project(
        {
            "empty/README.md": "",
            "syntax.py": "x = 1\nf(\n",
            "missing.py": "\nimport no_such_module\n",
            "misspelt.py": PLUGIN.replace("bench_register_methods", "bench_register_method"),
            "taken.py": PLUGIN.replace('"mine"', '"truth"'),
            "nothing.py": "",
        }
    )
    outcome = cli("check", target)
    assert outcome.code == 2
    assert outcome.out == ""
    assert message in outcome.err
    assert "Traceback" not in outcome.err


def test_a_blocked_plugin_is_not_there(project, cli):
    project({"pyproject.toml": "[tool.bench]\n", "plugins/mine.py": PLUGIN})
    outcome = cli("check", "mine", "--block", "mine")
    assert outcome.code == 2
    assert "nothing is called 'mine'" in outcome.err


def test_another_plugin_that_does_not_load_is_a_warning(project, cli, monkeypatch):
    project({"pyproject.toml": "[tool.bench]\n", "plugins/mine.py": PLUGIN, "plugins/other.py": "1 / 0\n"})
    monkeypatch.setattr(checks.Check, "_outcome", lambda self, timeout: {"status": "passed"})
    outcome = cli("check", "mine")
    assert outcome.code == 0
    assert outcome.err.startswith("warning: plugin 'other' from ")


def test_without_a_gpu_cuda_is_refused(project, cli):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    project({"mine.py": PLUGIN})
    outcome = cli("check", "mine.py", "--device", "cuda")
    assert outcome.code == 2
    assert "--device cuda: PyTorch finds no CUDA device here" in outcome.err


def test_what_hangs_ends_and_the_rest_is_told_in_one_line(project, cli):
    slow = PLUGIN.replace("return Fit", "import time; time.sleep(60)\n        return Fit")
    project({"slow.py": slow})
    started = time.perf_counter()
    outcome = cli("check", "slow.py", "--timeout", "2")
    assert time.perf_counter() - started < 30
    assert outcome.code == 1
    assert "required  to finish within 2 s" in outcome.out
    assert "it was still running at slow.py, line 15" in outcome.out
    assert "– 16 checks" in outcome.out


@pytest.mark.slow
def test_what_does_not_let_itself_be_interrupted_ends_the_command(project):
    forever = (
        "import time\n        while True:\n            try: time.sleep(9)\n            except BaseException: pass\n"
    )
    stuck = PLUGIN.replace("return Fit", f"{forever}        return Fit")
    folder = project({"stuck.py": stuck})
    code = "import bench_core.cli.check as c; c.GRACE = 1.0; from bench_core.cli import main; main()"
    command = [sys.executable, "-c", code, "check", "stuck.py", "--timeout", "1"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "the check 'fit' of method mine took longer than 1 s and cannot be interrupted" in done.stderr
    assert "✓ plain data" in done.stdout


@pytest.mark.slow
def test_a_plugin_that_hangs_at_import_is_told(project, cli, monkeypatch):
    monkeypatch.setattr("bench_core.cli.check.LOADING", 5.0)
    project({"mine.py": "import time\ntime.sleep(60)\n"})
    outcome = cli("check", "mine.py", "--timeout", "5")
    assert outcome.code == 2
    assert "mine.py was left out: TimeIsUp: it took longer than 5 s (line 2)" in outcome.err
