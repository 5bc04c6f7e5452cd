"""The documented suite file is one, and has every key."""

from __future__ import annotations

import re

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
