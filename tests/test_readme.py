"""What the documents say is what the program does."""

from __future__ import annotations

import re
import shutil

import pytest


def test_the_readme_shows_the_example_plugin_as_it_is_and_it_is_short(repo):
    code = (repo / "examples" / "energy.py").read_text()
    assert code in (repo / "README.md").read_text()
    lines = [line for line in code.splitlines() if line.strip() and not line.strip().startswith(('"""', "#"))]
    assert len(lines) <= 20


def test_the_example_plugin_stands_in_the_table_beside_the_suites_methods(repo, project, cli):
    folder = project({})
    shutil.copytree(repo / "examples", folder / "examples")
    suite = repo / "suites" / "smoke.yaml"
    for more in ([], ["--method", "energy"]):
        outcome = cli(
            "run", suite, "--plugin-dir", "examples", "--plugin-dir", repo / "plugins", "--executor", "inline",
            "--trials", "10", "--set", "iterations=100", "--set", "m=50", *more,
        )  # fmt: skip
        assert outcome.code == 0, outcome.err
    rows = {line.split()[0]: line for line in outcome.out.splitlines() if line.strip()}
    assert {"energy", "mmd", "osmmd", "mle", "wgan", "truth", "init", "mle_exact"} <= set(rows)
    assert " 10 " in rows["energy"]


DOCUMENTS = "README.md SECURITY.md CONTRIBUTING.md CHANGELOG.md docs/architecture.md docs/suites.md docs/tutorial.md"
DOCUMENTS += " docs/claims.md docs/statistics.md"


@pytest.mark.parametrize("name", DOCUMENTS.split())
def test_links_between_documents_lead_somewhere(repo, name):
    path = repo / name
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", path.read_text()):
        assert (path.parent / target).exists(), target


def test_the_readme_names_the_commands_of_the_makefile_and_ci_calls_the_test_command(repo):
    readme, ci = (repo / "README.md").read_text(), (repo / ".ci" / "run").read_text()
    assert "make demo" in readme
    assert "make test" in readme
    assert ci.strip().splitlines()[-1] == "make test"
