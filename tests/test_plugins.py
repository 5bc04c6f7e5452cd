from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bench_core.errors import BenchError, PluginError
from bench_core.plugins import PluginFailure, Plugins, PluginSources, _files_of, find_sources, load_plugins

Write = Callable[[Mapping[str, str]], Path]

GOOD = """\
from bench_core import Fit, Method, hookimpl

class Good(Method):
    name = "NAME"
    version = "mine"

    def fit(self, trials):
        return Fit(answer=trials["start"])

@hookimpl
def bench_register_methods():
    return [Good]
"""


def method(name: str) -> str:
    """Return the source of a plugin that offers a method called ``name``."""
    return GOOD.replace("NAME", name)


def hook(body: str, kind: str = "methods") -> str:
    """Return the source of a plugin whose hook has the body ``body``."""
    return f"from bench_core import Method, Metric, hookimpl\n\n@hookimpl\ndef bench_register_{kind}():\n    {body}\n"


def load(*folders: Path, checkout: Path | None = None, blocked: frozenset[str] = frozenset()) -> Plugins:
    return load_plugins(PluginSources(folders=folders, checkout=checkout, blocked=blocked))


def causes(loaded: Plugins) -> list[str]:
    return [str(failure) for failure in loaded.failures]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files below a folder and return it."""

    def make(files: Mapping[str, str]) -> Path:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path

    return make


# ---- sources and their order -----------------------------------------------------------------------------------------


def test_all_sources_are_read_in_order(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(
        {
            "checkout/near.py": method("near"),
            "named/far.py": method("far"),
            "site/acme.py": method("acme"),
            "site/acme-1.5.dist-info/METADATA": "Metadata-Version: 2.1\nName: acme\nVersion: 1.5\n",
            "site/acme-1.5.dist-info/entry_points.txt": "[bench_core]\nacme_flow = acme\n",
        }
    )
    monkeypatch.syspath_prepend(folder / "site")
    monkeypatch.delitem(sys.modules, "acme", raising=False)
    loaded = load(folder / "named", checkout=folder / "checkout")
    assert loaded.failures == []
    names = [info.name for info in loaded.loaded]
    order = ["bench_core.problems.gaussian_mean", "near", "mmd", "far", "acme_flow"]
    assert [name for name in names if name in order] == order
    versions = {info.name: (info.source, info.version, info.builtin) for info in loaded.loaded}
    assert versions["acme_flow"] == ("acme 1.5", "1.5", False)
    assert versions["near"][2]
    assert not versions["far"][2]
    assert {"near", "far", "acme", "mmd"} <= set(loaded.methods)


def test_the_checkout_shadows_the_installed_copy_without_a_word(write: Write) -> None:
    loaded = load(checkout=write({"mmd.py": method("mmd")}))
    assert loaded.methods.get("mmd").version == "mine"
    assert "mle" in loaded.methods  # the other installed ones are there
    assert loaded.failures == []


def test_a_folder_cannot_shadow_a_builtin_plugin(write: Write, repo: Path) -> None:
    folder = write({"mmd.py": method("other")})
    loaded = load(folder, checkout=repo / "plugins")
    assert loaded.methods.get("mmd").version != "mine"
    assert "other" not in loaded.methods
    assert causes(loaded) == [
        f"plugin 'mmd' from {folder / 'mmd.py'} was left out: a plugin of this name is already loaded"
    ]


def test_files_that_begin_with_an_underscore_or_a_dot_are_no_plugins(write: Write) -> None:
    loaded = load(write({"_helper.py": "1/0", ".hidden.py": "1/0", "data/x.py": "1/0", "notes.txt": "1/0"}))
    assert loaded.failures == []


def test_a_blocked_plugin_is_not_even_imported(write: Write) -> None:
    leave = "from pathlib import Path\nPath(__file__).with_suffix('.marker').touch()\n"
    folder = write({"seen.py": leave, "unseen.py": leave, "unseen_package/__init__.py": leave})
    blocked = frozenset({"unseen", "unseen_package", "mmd", "bench_core.problems.gaussian_cov"})
    loaded = load(folder, blocked=blocked)
    assert sorted(path.name for path in folder.rglob("*.marker")) == ["seen.marker"]
    assert blocked.isdisjoint(info.name for info in loaded.loaded)
    assert "mmd" not in loaded.methods
    assert "gaussian_mean" in loaded.problems
    assert "gaussian_cov" not in loaded.problems
    assert loaded.failures == []


def test_folders_come_from_the_command_line_and_then_from_the_environment(write: Write) -> None:
    folder = write({"a/one.py": "", "b/two.py": "", "c/three.py": ""})
    sources = find_sources([folder / "a"], ["x"], cwd=folder, path_variable=f"{folder / 'b'}:{folder / 'c'}")
    assert sources.folders == (folder / "a", folder / "b", folder / "c")
    assert sources.blocked == {"x"}


def test_the_environment_variable_reaches_the_command_line(
    write: Write, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_PLUGIN_PATH", str(write({"mine.py": method("from_environment")})))
    assert "from_environment" in cli("list", "methods").out


@pytest.mark.parametrize("name", ["missing", "file.py"])
def test_a_folder_that_is_none_is_an_error(write: Write, name: str) -> None:
    folder = write({"file.py": ""})
    with pytest.raises(BenchError, match=re.escape(f"{str(folder / name)!r} is not a folder")):
        find_sources([folder / name], [], cwd=folder)
    with pytest.raises(BenchError, match="is not a folder"):
        find_sources([], [], cwd=folder, path_variable=str(folder / name))


@pytest.mark.parametrize(
    ("pyproject", "found"),
    [("[tool.bench]\n", True), ("[tool.ruff]\n", False), ("tool = 'x'\n", False), ("[tool.bench\n", False)],
)
def test_only_a_folder_marked_as_checkout_gives_plugins(write: Write, pyproject: str, found: bool) -> None:
    folder = write({"pyproject.toml": pyproject, "plugins/p.py": "", "deep/down/x.txt": ""})
    for cwd in (folder, folder / "deep" / "down"):
        assert find_sources([], [], cwd=cwd).checkout == (folder / "plugins" if found else None)


def test_the_nearest_marked_folder_is_the_checkout(write: Write) -> None:
    folder = write({"pyproject.toml": "[tool.bench]\n", "plugins/p.py": "", "inner/pyproject.toml": "[tool.bench]\n"})
    assert find_sources([], [], cwd=folder / "inner").checkout is None  # it has no plugins/
    (folder / "inner" / "plugins").mkdir()
    assert find_sources([], [], cwd=folder / "inner").checkout == folder / "inner" / "plugins"


# ---- failures: named, left out, and the others work ------------------------------------------------------------------

NO_FIT = "class Half(Method):\n    name = 'half'\n"
HEAD = "from bench_core import Method, Metric, Problem, hookimpl\n"

BROKEN = {
    "syntax": ("def f(:\n", r"SyntaxError: .*\(line 1\)"),
    "missing_import": (
        "import no_such_module\n",
        "ModuleNotFoundError: No module named 'no_such_module'",
    ),
    "raises": ("1 / 0\n", "ZeroDivisionError: division by zero"),
    "leaves": ("raise SystemExit(3)\n", "SystemExit: 3"),
    "misspelt": (
        HEAD + "@hookimpl\ndef bench_register_method():\n    return []\n",
        "unknown hook 'bench_register_method'; did you mean 'bench_register_methods'?",
    ),
    "unmarked": ("def bench_register_methods():\n    return []\n", "bench_register_methods is not marked; put @bench"),
    "wrong_argument": (
        HEAD + "@hookimpl\ndef bench_register_methods(wrong):\n    return []\n",
        "bench_register_methods.*wrong",
    ),
    "name_taken": (method("mmd"), "the method 'mmd' is already offered by plugin 'mmd' from "),
    "no_subclass": (hook("return [int]"), "a method must be a subclass of Method, got <class 'int'>"),
    "an_instance": (hook("return ['mmd']"), "a method must be a subclass of Method, got 'mmd'"),
    "problem_as_method": (
        HEAD + "class P(Problem):\n    name = 'p'\n\n" + hook("return [P]"),
        "a method must be a subclass of Method, got <class '.*P'>",
    ),
    "metric_class": (hook("return [Metric]", "metrics"), "a metric must be an instance of Metric, got <class"),
    "abstract": (HEAD + NO_FIT + hook("return [Half]"), "method Half does not define fit"),
    "unnamed": (method("x").replace('    name = "x"\n', ""), "a method needs a name of letters"),
    "field_without_type": (
        method("x").replace("    version =", "    lr ="),
        "PydanticUserError: A non-annotated attribute was detected: `lr = 'mine'`",
    ),
    "bad_name": (method("a.b"), "a method needs a name of letters, digits, '_' and '-', got 'a.b'"),
    "hook_raises": (hook("raise RuntimeError('no licence')"), "bench_register_methods raised RuntimeError: no licence"),
    "hook_leaves": (hook("raise SystemExit"), "bench_register_methods raised SystemExit"),
    "hook_returns_nothing": (hook("pass"), "bench_register_methods raised TypeError: 'NoneType' object is not iter"),
    "package/__init__": ("from . import missing\n", "ImportError: cannot import name 'missing'"),
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory, repo: Path) -> Plugins:
    folder = tmp_path_factory.mktemp("broken")
    (folder / "package").mkdir()
    for name, (text, _) in BROKEN.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    (folder / "a_good_one.py").write_text(method("first"), encoding="utf-8")
    (folder / "z_good_one.py").write_text(method("last"), encoding="utf-8")
    return load(folder, checkout=repo / "plugins")


def failure_of(loaded: Plugins, name: str) -> PluginFailure:
    (failure,) = [each for each in loaded.failures if each.name == name.split("/")[0]]
    return failure


@pytest.mark.parametrize("name", BROKEN)
def test_a_failure_names_plugin_file_and_cause(broken: Plugins, name: str) -> None:
    failure = failure_of(broken, name)
    plugin = name.removesuffix("/__init__")
    assert str(failure).startswith(f"plugin {plugin!r} from {failure.source} was left out: ")
    assert Path(failure.source) == broken.sources.folders[0] / (f"{plugin}.py" if plugin == name else plugin)
    assert re.search(BROKEN[name][1], failure.cause)
    assert "\n" not in failure.cause


def test_the_others_work_beside_broken_plugins(broken: Plugins, plugins: Plugins) -> None:
    assert len(broken.failures) == len(BROKEN)
    assert set(broken.methods) == {*plugins.methods, "first", "last"}
    assert broken.methods.get("mmd").version == plugins.methods.get("mmd").version
    assert set(broken.metrics) == set(plugins.metrics)


def test_an_unknown_name_is_told_with_the_plugins_that_were_left_out(broken: Plugins) -> None:
    with pytest.raises(PluginError, match=r"unknown method 'frst'; did you mean 'first'\? \(known: first, gcmmd, "):
        broken.methods.get("frst")
    assert "plugin 'syntax' from " in broken.why_missing("half")


def test_of_two_methods_of_one_name_the_first_is_kept(write: Write) -> None:
    folder = write({"a.py": method("twin"), "b.py": method("twin")})
    loaded = load(folder)
    assert loaded.methods.owners["twin"].name == "a"
    assert causes(loaded) == [
        f"plugin 'b' from {folder / 'b.py'} was left out: "
        f"the method 'twin' is already offered by plugin 'a' from {folder / 'a.py'}"
    ]


def test_a_bad_offer_does_not_take_its_neighbours_along(write: Write) -> None:
    loaded = load(write({"p.py": method("good").replace("[Good]", "[int, Good]")}))
    assert "good" in loaded.methods
    assert len(loaded.failures) == 1


def test_interrupting_a_plugin_interrupts_the_program(write: Write) -> None:
    with pytest.raises(KeyboardInterrupt):
        load(write({"p.py": "raise KeyboardInterrupt\n"}))


def test_a_failure_is_a_warning_of_the_command_line(write: Write, cli: Callable[..., Any]) -> None:
    folder = write({"bad.py": "1 / 0\n", "good.py": method("good")})
    outcome = cli("list", "methods", "--plugin-dir", folder)
    assert outcome.code == 0
    assert "good" in outcome.out
    assert f"warning: plugin 'bad' from {folder / 'bad.py'}" in outcome.err


# ---- modules and digests ---------------------------------------------------------------------------------------------


def test_a_plugin_is_in_sys_modules_while_it_runs_and_after(write: Write) -> None:
    check = "import sys\nassert sys.modules[__name__].__file__ == __file__\n"
    load(write({"present.py": check + method("present"), "absent.py": check + "1 / 0\n"}))
    assert "bench_plugin_present" in sys.modules
    assert "bench_plugin_absent" not in sys.modules


def test_a_package_imports_its_relatives(write: Write) -> None:
    files = {"pack/__init__.py": "from .inner import *\nfrom .inner import bench_register_methods\n"}
    loaded = load(write({**files, "pack/inner.py": method("from_package")}))
    assert loaded.failures == []
    assert loaded.methods.get("from_package").__module__ == "bench_plugin_pack.inner"


def test_loading_again_sees_the_new_source(write: Write) -> None:
    init = "from .inner import bench_register_methods\n"
    load(write({"old/pack/__init__.py": init, "old/pack/inner.py": method("old"), "old/solo.py": method("a")}) / "old")
    again = write({"new/pack/__init__.py": init, "new/pack/inner.py": method("new"), "new/solo.py": method("b")})
    loaded = load(again / "new")
    assert {"new", "b"} <= set(loaded.methods)
    assert not {"old", "a"} & set(loaded.methods)


@pytest.mark.parametrize("package", [False, True])
def test_code_edited_twice_in_a_second_is_the_newest(
    write: Write, monkeypatch: pytest.MonkeyPatch, package: bool
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    file = "pack/inner.py" if package else "solo.py"
    found = []
    for name in ("old", "new"):
        folder = write(
            {file: method(name), **({"pack/__init__.py": f"from .inner import {HOOK}\n"} if package else {})}
        )
        os.utime(folder / file, (1e9, 1e9))  # equal sizes and seconds: for Python the bytecode would be current
        found.append([each for each in ("old", "new") if each in load(folder).methods])
    assert found == [["old"], ["new"]]
    assert not list(folder.rglob("__pycache__"))


HOOK = "bench_register_methods"
RECOVERY = "bench_core.engines.recovery"


def digest(loaded: Plugins, name: str) -> str:
    return loaded.digest(loaded.methods, name)


def test_the_digest_changes_exactly_when_the_source_does(write: Write) -> None:
    folder = write({"p.py": method("mine"), "other.py": ""})
    before = digest(load(folder), "mine")
    write({"other.py": "x = 1\n", "notes.txt": "changed"})
    assert digest(load(folder), "mine") == before
    write({"p.py": method("mine") + "# longer\n"})
    assert digest(load(folder), "mine") != before


def test_the_digest_of_a_package_covers_each_of_its_files(write: Write) -> None:
    files = {"pack/__init__.py": method("mine"), "pack/inner.py": "", "pack/deep/more.py": ""}
    folder = write(files)
    seen = {digest(load(folder), "mine")}
    for number, name in enumerate(files, start=2):
        write({name: files[name] + "# longer\n"})
        seen.add(digest(load(folder), "mine"))
        assert len(seen) == number
    write({"notes.txt": "beside the package"})
    assert digest(load(folder), "mine") in seen


def test_the_digest_does_not_depend_on_where_files_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Path(importlib.import_module(RECOVERY).__file__ or "")
    found = set()
    for where in (Path("/"), engine.parent / "zzz"):  # before and behind the engines in the order of paths
        module = ModuleType("bench_plugin_far")
        module.__file__ = str(where / "far.py")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        found.add(tuple(path.name for path in _files_of({RECOVERY, module.__name__})))
    (names,) = found
    assert set(names) == {path.name for path in engine.parent.glob("*.py")} | {"far.py"}


def test_the_digest_covers_the_engines_that_a_method_builds_on(plugins: Plugins, tmp_path: Path, repo: Path) -> None:
    # Another process, with a copy of the package in which one engine's source is longer by a comment.
    code = (
        "import sys; from pathlib import Path; from bench_core.plugins import *\n"
        "p = load_plugins(PluginSources(checkout=Path(sys.argv[1])))\n"
        "print(*(p.digest(p.methods, name) for name in ('mmd', 'wgan', 'truth')))"
    )
    copy = tmp_path / "bench_core"
    for path in (repo / "bench_core").rglob("*.py"):
        target = copy / path.relative_to(repo / "bench_core")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes() + (b"# longer\n" if path.name == "optim.py" else b""))
    command = [sys.executable, "-c", code, str(repo / "plugins")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    mmd, wgan, truth = done.stdout.split()
    assert mmd != digest(plugins, "mmd")  # no class of its own lies there, but its loop calls it
    assert wgan != digest(plugins, "wgan")
    assert truth == digest(plugins, "truth")
