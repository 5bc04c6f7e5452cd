"""What the code never does, looked for in its syntax; and that SECURITY.md says nothing that no test stands for."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
FILES = [path for folder in ("bench_core", "plugins") for path in sorted((REPO / folder).rglob("*.py"))]

MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle", "pty", "commands"}
"""They load objects, or start programs, from data."""
NAMES = {"eval", "exec", "compile", "__import__", "breakpoint"}
CALLS = {
    "os.system", "os.popen", "os.execv", "os.execve", "os.execvp", "os.spawnv", "os.startfile", "subprocess.getoutput",
    "subprocess.getstatusoutput", "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load",
    "yaml.full_load_all", "yaml.unsafe_load_all", "torch.hub.load", "runpy.run_path", "runpy.run_module",
    "pandas.read_pickle", "pd.read_pickle", "tempfile.mktemp", "pydoc.locate",
}  # fmt: skip
CHANNEL = REPO / "bench_core" / "execute" / "channel.py"
"""The one module that pickles: messages between the main process and the workers that it has started."""


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def faults(tree: ast.AST) -> Iterator[str]:
    """Yield what a source must not do, with its line."""
    aliases = {
        name.asname or name.name: f"{node.module}.{name.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for name in node.names
    }
    for node in ast.walk(tree):
        names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        yield from (f"{node.lineno}: imports {name}" for name in names if name.split(".")[0] in MODULES)
        if isinstance(node, ast.Call):
            yield from (f"{node.lineno}: {fault}" for fault in faults_of_a_call(node, aliases))
        if isinstance(node, ast.Attribute) and re.search("(Unsafe|Full)Loader$", node.attr):
            yield f"{node.lineno}: {node.attr}"


def faults_of_a_call(call: ast.Call, aliases: dict[str, str]) -> Iterator[str]:
    name = dotted(call.func)
    name = aliases.get(name, name)
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    if name in NAMES or name in CALLS:
        yield f"calls {name}"
    if name == "torch.load" and not is_true(given.get("weights_only")):
        yield "calls torch.load without weights_only=True"
    if "allow_pickle" in given and not is_false(given["allow_pickle"]):
        yield f"calls {name} with allow_pickle"
    if "shell" in given and not is_false(given["shell"]):
        yield f"calls {name} with a shell"


def is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPO)))
def test_nothing_unpickles_or_runs_data(path: Path) -> None:
    found = list(faults(ast.parse(path.read_text("utf-8"))))
    assert [fault for fault in found if path != CHANNEL or not fault.endswith(": imports pickle")] == []


def test_what_is_pickled_goes_to_own_workers_and_to_no_file_or_network() -> None:
    opening = {
        "open",
        "bind",
        "listen",
        "connect",
        "accept",
        "create_connection",
        "create_server",
        "read_bytes",
        "load",
    }
    users = [path for path in FILES if path == CHANNEL or "import Channel" in path.read_text("utf-8")]
    calls = {
        (path.name, dotted(node.func))
        for path in users
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
    }
    assert "socket.socketpair" in {call for _, call in calls}
    assert not [call for call in calls if call[0] == CHANNEL.name and call[1].rpartition(".")[2] in opening]
    assert not [call for call in calls if call[1].rpartition(".")[2] in {"bind", "listen", "create_server"}]


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "from pickle import loads", "torch.load('x')", "torch.load('x', weights_only=False)",
        "from torch import load\nload('x')", "np.load('x', allow_pickle=True)",
        "yaml.load(t, Loader=yaml.UnsafeLoader)", "yaml.unsafe_load(t)", "eval('1')", "exec(x)", "os.system('x')",
        "from os import system as s\ns('x')", "subprocess.run('x', shell=True)", "import joblib", "x = yaml.FullLoader",
        "import cloudpickle as c",
    ],
)  # fmt: skip
def test_the_scan_sees_what_it_looks_for(source: str) -> None:
    assert list(faults(ast.parse(source)))


# ---- SECURITY.md -----------------------------------------------------------------------------------------------------


def test_every_statement_of_security_md_names_tests_that_exist() -> None:
    text = (REPO / "SECURITY.md").read_text("utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(test_\w+))?`", text)
    assert len(named) > 15
    for file, test in named:
        source = (REPO / file).read_text("utf-8")
        assert not test or f"def {test}(" in source, (file, test)
    for line in re.split(r"\n(?=- )", text.partition("\n## How to report")[0])[1:]:
        assert "tests/" in line, f"no test is named for: {line}"
