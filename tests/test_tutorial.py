"""The tutorial is run as it is printed, block by block, in an empty folder."""

from __future__ import annotations

import re
import shlex

import pytest

BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINES = 120


@pytest.fixture(scope="module")
def text(repo):
    return (repo / "docs" / "tutorial.md").read_text()


def test_the_tutorial_runs(project, cli, text):
    folder = project({})
    printed = {}
    for language, title, code in BLOCK.findall(text):
        if title:
            (folder / title).write_text(code)
        elif language == "sh":
            for line in code.splitlines():
                printed[line] = _run(cli, line)
        else:
            assert language == "text", f"nobody runs a block of {language}"
    first = printed["bench run gaussian_mean --trials 20 --set m=50 --method mine --method mmd --method mle"]
    assert {"mine", "mmd", "mle"} <= {line.split()[0] for line in first.splitlines() if line.strip()}
    assert "trim = 0.0" in printed["bench show mine"]
    table = (folder / "table.md").read_text()
    words = set(re.findall(r"\w+", table))
    assert {"mine", "trimmed", "mle", "mle_exact", "init", "40"} <= words
    assert "≠" not in table  # every method spends the same steps


def _run(cli, line):
    program, *arguments = shlex.split(line)
    assert program == "bench"
    if arguments[0] == "run":
        arguments += ["--executor", "inline", "--quiet"]
    outcome = cli(*arguments)
    assert outcome.code == 0, (line, outcome.out, outcome.err)
    return outcome.out


def test_the_failure_that_it_shows_is_what_is_printed(project, cli, text):
    plugin = next(code for _, title, code in BLOCK.findall(text) if title == "plugins/mine.py")
    noisy = plugin.replace('"""mine', 'import torch\n"""mine').replace(
        "task.sample(theta)", "(task.sample(theta) + 0 * torch.randn(1, dtype=theta.dtype))"
    )
    assert noisy.count("torch") == 2
    project({"mine.py": noisy})
    (shown,) = [code for language, _, code in BLOCK.findall(text) if language == "text"]
    outcome = cli("check", "mine.py")
    assert outcome.code == 1
    assert shown in outcome.out


def test_it_is_short(text):
    assert len(text.splitlines()) <= LINES
