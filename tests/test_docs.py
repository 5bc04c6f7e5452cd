"""The documented suite file is one, and has every key; what documents print is what commands print."""

from __future__ import annotations

import importlib.util
import re

import pytest

from bench_core.plan import make_plan
from bench_core.suite import MethodEntry, ProblemEntry, ReportEntry, SelectEntry, Suite, load_suite


def test_the_documented_suite_is_valid_and_has_every_key(repo, project, plugins):
    text, adaptive = re.findall(r"```yaml\n(.*?)```", (repo / "docs" / "suites.md").read_text(), re.DOTALL)
    suite = load_suite(project({"every_key.yaml": text}) / "every_key.yaml")
    assert load_suite(
        project({"every_key.yaml": text.replace("trials: 100 ", f"{adaptive}#")}) / "every_key.yaml"
    ).until
    plan = make_plan(suite, plugins)
    assert plan.undecided == ("mmd-tuned",)
    models = (Suite, ProblemEntry, MethodEntry, SelectEntry, ReportEntry)
    for key in {name for model in models for name in model.model_fields}:
        assert re.search(rf"\b{key}:", text), key


@pytest.mark.parametrize("name", ["alon2022", "arbel2018"])
def test_what_a_document_prints_is_what_its_commands_print(repo, cli, monkeypatch: pytest.MonkeyPatch, name):
    spec = importlib.util.spec_from_file_location("documented", repo / "benchmarks" / "documented.py")
    documented = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(documented)
    monkeypatch.chdir(repo)
    monkeypatch.setenv("COLUMNS", str(documented.COLUMNS))
    monkeypatch.setenv("NO_COLOR", "1")
    text = (repo / "docs" / f"{name}.md").read_text(encoding="utf-8")
    assert "\n$ bench " in text
    assert documented.refreshed(text, lambda arguments: cli(*arguments).out) == text, (
        f"run benchmarks/documented.py docs/{name}.md"
    )
    for picture in re.findall(r"!\[[^]]*\]\(([^)]*)\)", text):
        assert (repo / "docs" / picture).is_file(), picture
    for command in re.findall(r"`bench ([^`]*)`", text):
        assert command.split()[0] in ("figure", "run", "report", "verify"), command
