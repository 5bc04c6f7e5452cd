"""Data flow one way: a module imports only what lies upstream; torch, numpy and the like are imported late."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from bench_core.plugins import Plugins

REPO = Path(__file__).resolve().parent.parent

# Upstream first; what stands on one line may import what stands above it, and itself. A package counts as one module,
# but for `report`: its contract (what a format is) lies with those of methods and problems, its formats at the end.
LAYERS = (
    "errors seeds",
    "yamlfile parameters kernels stats unmixing landscape _spectral",
    "values spectral",
    "claims.forms",
    "discrepancies suite",
    "constrained",
    "dirac gaussian_map planar",
    "trials workspace metrics",
    "problems",
    "methods report quantities",
    "engines",
    "hookspecs",
    "plugins",
    "suites overrides",
    "plan",
    "environment",
    "execute",
    "store",
    "estimates",
    "selection adaptive",
    "results",
    "merging reference",
    "running",
    "replay",
    "summary",
    "ranking",
    "report.table",
    "claims report.claims planning_power",
    "comparing",
    "report.figures",
    "report.landscapes report.curves",
    "report.critics",
    "report.html.plots",
    "report.html.page",
    "report.html",
    "report.tex",
    "report.terminal report.markdown report.latex",
    "report.formats",
    "testing templates",
    "cli",
)
LAYER_OF = {module: layer for layer, modules in enumerate(LAYERS) for module in modules.split()}
LAZY_CONTRACTS = {"Fit": "trials", "Method": "methods", "Metric": "metrics", "Problem": "problems", "Trials": "trials"}
WRITERS = {"store", "workspace", "cli.common", "cli.export", "cli.new"}  # those of cli write where the user says


@dataclass(frozen=True)
class Import:
    """One imported module, and whether it is imported when the importing module is."""

    module: str
    line: int
    at_once: bool


def sources(folder: str) -> dict[str, Path]:
    """Return dotted name -> file of every module of a package."""
    paths = sorted((REPO / folder).rglob("*.py"))
    names = [".".join(path.relative_to(REPO).with_suffix("").parts) for path in paths]
    return {name.removesuffix(".__init__"): path for name, path in zip(names, paths, strict=True)}


CORE = sources("bench_core")
PLUGINS = sources("plugins")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> list[Import]:
    """Return what a file imports, whatever it imports only for type checkers left out."""
    return list(_imports(tree(path), at_once=True))


def _imports(node: ast.AST, *, at_once: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, at_once) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"a relative import in line {child.lineno}"
            yield from (Import(_origin(child.module or "", a.name), child.lineno, at_once) for a in child.names)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(child, at_once=at_once and not inside)


def _origin(package: str, name: str) -> str:
    """Return the module that ``from package import name`` takes ``name`` from."""
    if package == "bench_core" and name in LAZY_CONTRACTS:
        return f"bench_core.{LAZY_CONTRACTS[name]}"
    return f"{package}.{name}" if f"{package}.{name}" in CORE else package


def unit(module: str) -> str | None:
    """Return the entry of ``LAYERS`` that a module belongs to; None for the package itself, which all may import."""
    inner = module.removeprefix("bench_core").removeprefix(".")
    return inner if inner in LAYER_OF or not inner else inner.partition(".")[0]


def private(module: str) -> bool:
    return any(part.startswith("_") for part in module.split("."))


# ---- by reading the sources ------------------------------------------------------------------------------------------


def test_every_module_has_one_layer() -> None:
    assert {unit(module) for module in CORE if module != "bench_core"} == set(LAYER_OF)
    assert sum(len(modules.split()) for modules in LAYERS) == len(LAYER_OF)


@pytest.mark.parametrize("module", [module for module in CORE if module != "bench_core"])
def test_a_module_imports_only_what_lies_upstream(module: str) -> None:
    own = unit(module)
    wrong = [
        f"line {each.line}: {each.module}"
        for each in imports(CORE[module])
        if each.module.partition(".")[0] == "bench_core"
        and (target := unit(each.module))
        and target != own
        and LAYER_OF[target] >= LAYER_OF[own or ""]
    ]
    assert wrong == []


def test_the_package_itself_imports_nothing_of_its_own_at_once() -> None:
    assert [each for each in imports(CORE["bench_core"]) if each.at_once and "bench_core" in each.module] == []


# Words that are also an entry of the data, a parameter, a function, or the name of an initial point.
NO_METHODS = {"truth", "init", "vca", "random", "lipmmd"}


def test_methods_are_named_nowhere_in_the_core(plugins: Plugins) -> None:
    names = set(plugins.methods) - NO_METHODS
    found = [
        f"{module}:{node.lineno}: {node.value}"
        for module, path in CORE.items()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and node.value in names
    ]
    assert names
    assert found == []


def test_torch_is_imported_at_once_by_private_modules_only() -> None:
    found = {
        module
        for module, path in (CORE | PLUGINS).items()
        if any(each.at_once and each.module.partition(".")[0] == "torch" for each in imports(path))
    }
    assert {module for module in found if not private(module)} == set()
    assert found  # there are some, so the search finds what it looks for


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugin_imports_only_what_a_stranger_may(plugin: str) -> None:
    allowed = {"bench_core", "pydantic", "torch", *sys.stdlib_module_names}
    found = [each.module for each in imports(PLUGINS[plugin])]
    assert {module.partition(".")[0] for module in found} <= allowed
    assert not [module for module in found if private(module) and module != "__future__"]


def _documentation(path: Path) -> set[int]:
    """Return the ids of the constants that are docstrings."""
    statements = (node for node in ast.walk(tree(path)) if isinstance(node, ast.Expr))
    return {id(node.value) for node in statements if isinstance(node.value, ast.Constant)}


def test_only_the_store_names_the_files_of_results() -> None:
    names = ("suite.yaml", "env.json", "trials.parquet", "parts", "artifacts", ".lock", "checkpoint.safetensors")
    found = {
        module
        for module, path in CORE.items()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and node.value in names and id(node) not in _documentation(path)
    }
    assert found == {"bench_core.store", "bench_core.workspace"}


def test_the_folder_of_results_is_named_by_defaults_of_the_command_line_only() -> None:
    found = {
        module
        for module, path in CORE.items()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and str(node.value).split("/")[0] == "results"
    }
    # Those that are shipped lie in the folder of that name in a checkout, too.
    commands = ("run", "report", "verify", "compare", "power", "figure", "export", "replay")
    assert found - {"bench_core.reference"} == {f"bench_core.cli.{name}" for name in commands}


def test_only_the_store_writes() -> None:
    writing = {"write_text", "write_bytes", "mkdir", "touch", "unlink", "rmdir", "rename", "rmtree"}
    writing |= {"write_parquet", "write_csv", "write_ndjson", "write_json", "write_atomically"}
    found = {
        module.removeprefix("bench_core.")
        for module, path in CORE.items()
        for node in ast.walk(tree(path))
        if (isinstance(node, ast.Attribute) and node.attr in writing)
        or (isinstance(node, ast.Name) and node.id in writing)
    }
    assert found == WRITERS


# ---- by importing ----------------------------------------------------------------------------------------------------


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=REPO)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_everything_public_is_imported_without_torch() -> None:
    modules = [module for module in CORE if not private(module.removesuffix(".__init__"))]
    out = run(
        "import importlib, sys\n"
        "sys.modules['torch'] = None\n"  # `import torch` now raises ModuleNotFoundError
        f"for name in {modules}: importlib.import_module(name)\n"
        "from pathlib import Path\n"
        "from bench_core.plugins import PluginSources, load_plugins\n"
        "plugins = load_plugins(PluginSources(checkout=Path('plugins')))\n"
        "print([str(failure) for failure in plugins.failures], len(plugins.loaded))\n"
    )
    assert out.startswith("[] ")
    assert int(out.split()[1]) >= len(PLUGINS) + 4


def test_the_command_line_starts_without_heavy_packages() -> None:
    heavy = ["torch", "polars", "pydantic", "scipy", "numpy", "yaml", "rich"]
    out = run(f"import bench_core.cli, json, sys; print(json.dumps([m for m in {heavy} if m in sys.modules]))")
    assert json.loads(out) == []


@pytest.mark.parametrize("arguments", [["--help"], ["list", "suites"], ["list", "--help"]])
def test_a_quick_command_imports_no_heavy_package(arguments: list[str]) -> None:
    heavy = ["torch", "polars", "scipy", "numpy"]  # Typer itself imports pydantic when it parses
    out = run(
        f"import sys; sys.argv = ['bench', *{arguments}]\n"
        "from bench_core.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print([module for module in {heavy} if module in sys.modules])"
    )
    assert out.splitlines()[-1] == "[]"
    assert len(out.splitlines()) > 1
