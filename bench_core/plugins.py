"""Find, load and check plugins, and keep what they offer.

A plugin is a Python module that implements hooks of ``bench_core.hookspecs``. Nothing here is global: ``load_plugins``
builds everything from ``PluginSources``, in the main process and again, by name, in each worker.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import os
import pkgutil
import sys
import tomllib
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pluggy

from bench_core import __version__, hookspecs
from bench_core.errors import PluginError, suggest
from bench_core.yamlfile import visible

if TYPE_CHECKING:
    from bench_core.methods import Method
    from bench_core.metrics import Metric
    from bench_core.problems import Problem
    from bench_core.quantities import Quantity
    from bench_core.report import Format, PaperFigure

GROUP = "bench_core"
DISTRIBUTION = "distribution-fit-bench"
REPORTS = (
    "bench_core.report.formats",
    "bench_core.report.landscapes",
    "bench_core.report.curves",
    "bench_core.report.critics",
)
"""Modules of the core that offer formats and figures."""
PATH_VARIABLE = "BENCH_PLUGIN_PATH"

T = TypeVar("T")


@dataclass(frozen=True)
class PluginSources:
    """Where plugins come from; plain data, so that a worker process can load the same ones."""

    folders: tuple[Path, ...] = ()
    """Folders named by the user, whose ``*.py`` and packages are plugins."""
    files: tuple[Path, ...] = ()
    """Single plugins named by the user, modules or packages; a built-in one of the same name makes way."""
    blocked: frozenset[str] = frozenset()
    """Plugins that are not even imported."""
    checkout: Path | None = None
    """The ``plugins/`` folder of the checkout that the user stands in."""


@dataclass(frozen=True)
class PluginInfo:
    """A plugin that was loaded."""

    name: str
    source: str
    """The file or the distribution that it came from."""
    version: str
    digest: str
    """Hash of its source, stored beside every trial."""
    builtin: bool


@dataclass(frozen=True)
class PluginFailure:
    """A plugin, or one thing that it offers, that was left out, and why."""

    name: str
    source: str
    cause: str

    def __str__(self) -> str:
        return visible(f"plugin {self.name!r} from {self.source} was left out: {self.cause}")


@dataclass
class Offers(Generic[T]):
    """What plugins offer of one kind, by name."""

    kind: str
    items: dict[str, T] = field(default_factory=dict)
    owners: dict[str, PluginInfo] = field(default_factory=dict)

    def get(self, name: str) -> T:
        """Return the item called ``name``.

        Raises:
            PluginError: when there is none, naming the nearest.
        """
        if name not in self.items:
            raise PluginError(f"unknown {self.kind} {name!r}{suggest(name, self.items)}")
        return self.items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.items))

    def __contains__(self, name: object) -> bool:
        return name in self.items


@dataclass
class Plugins:
    """Everything that the loaded plugins offer."""

    sources: PluginSources
    manager: pluggy.PluginManager
    loaded: list[PluginInfo] = field(default_factory=list)
    failures: list[PluginFailure] = field(default_factory=list)
    methods: Offers[type[Method]] = field(default_factory=lambda: Offers("method"))
    problems: Offers[type[Problem]] = field(default_factory=lambda: Offers("problem"))
    metrics: Offers[Metric] = field(default_factory=lambda: Offers("metric"))
    quantities: Offers[Quantity] = field(default_factory=lambda: Offers("quantity"))
    formats: Offers[Format] = field(default_factory=lambda: Offers("format"))
    figures: Offers[PaperFigure] = field(default_factory=lambda: Offers("figure"))
    _digests: dict[tuple[str, str], str] = field(default_factory=dict)

    def digest(self, kind: Offers[Any], name: str) -> str:
        """Return the hash of the source behind an offer: its plugin, what its class inherits from, and its engine."""
        key = kind.kind, name
        if key not in self._digests:
            item = kind.items[name]
            bases = (item if isinstance(item, type) else type(item)).__mro__
            self._digests[key] = _digest(_files_of({base.__module__ for base in bases}), kind.owners[name].digest)
        return self._digests[key]

    def why_missing(self, name: str) -> str:
        """Return a hint for an unknown name: the plugins that were left out, since one of them may offer it."""
        if not self.failures:
            return ""
        return "\n" + "\n".join(f"  {failure}" for failure in self.failures)


def find_sources(
    folders: Sequence[Path], blocked: Iterable[str], *, cwd: Path, path_variable: str = ""
) -> PluginSources:
    """Return where to load plugins from: the checkout around ``cwd``, folders of the command line and environment.

    Raises:
        PluginError: when a folder that the user named does not exist.
    """
    named = [*folders, *(Path(part) for part in path_variable.split(os.pathsep) if part)]
    for folder in named:
        if not folder.is_dir():
            raise PluginError(f"plugin folder {str(folder)!r} is not a folder; give the folder that holds the plugins")
    checkout = _checkout_plugins(cwd)
    # The checkout's own folder, named once more, is no second source.
    others = [folder for folder in dict.fromkeys(folder.resolve() for folder in named) if folder != checkout]
    return PluginSources(folders=tuple(others), blocked=frozenset(blocked), checkout=checkout)


def checkout_root(cwd: Path) -> Path | None:
    """Return the nearest folder at or above ``cwd`` whose ``pyproject.toml`` has a ``[tool.bench]`` table."""
    for folder in [cwd, *cwd.parents]:
        pyproject = folder / "pyproject.toml"
        if pyproject.is_file():
            try:
                tool = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("tool", {})
            except (OSError, ValueError, RecursionError):  # somebody else's broken file is none of our business
                continue
            if "bench" in tool:
                return folder
    return None


def _checkout_plugins(cwd: Path) -> Path | None:
    root = checkout_root(cwd.resolve())
    folder = root / "plugins" if root else None
    return folder if folder and folder.is_dir() else None


def load_plugins(sources: PluginSources) -> Plugins:
    """Load every plugin of ``sources`` and collect what it offers; one that fails is reported and left out."""
    manager = pluggy.PluginManager("bench_core")
    manager.add_hookspecs(hookspecs)
    plugins = Plugins(sources, manager)
    candidates = list(_candidates(sources))
    for name in sorted(sources.blocked):
        _check_exists(name, [candidate[0] for candidate in candidates])
        manager.set_blocked(name)
    for name, source, builtin, version, load in candidates:
        if manager.is_blocked(name):
            continue
        if manager.has_plugin(name):
            # The checkout shadows our installed copy without a word; anything else that shares a name is told.
            if not builtin:
                plugins.failures.append(PluginFailure(name, source, "a plugin of this name is already loaded"))
            continue
        with _same_folder():
            _load_one(plugins, name, source, builtin, version, load)
    # Ours first: a stranger's plugin cannot take the name of a built-in method away.
    for info in sorted(plugins.loaded, key=lambda info: not info.builtin):
        with _same_folder():
            _collect(plugins, info)
    return plugins


@contextmanager
def _same_folder() -> Iterator[None]:
    """Come back to the current folder after the block: a plugin may leave it, and paths of the user's start there."""
    try:
        folder = os.getcwd()
    except OSError:  # it was removed
        folder = None
    try:
        yield
    finally:
        if folder is not None:
            with suppress(OSError):
                os.chdir(folder)


def _check_exists(name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise PluginError(f"--block: no plugin is called {name!r}{suggest(name, known)}")


Candidate = tuple[str, str, bool, str, Callable[[], ModuleType]]


def _candidates(sources: PluginSources) -> Iterator[Candidate]:
    """Yield name, source, built-in or not, version and loader, in the order in which names are taken."""
    for module in _core_modules():
        yield module, "bench_core", True, __version__, _importer(module)
    for path in sources.files:
        yield _plugin_name(path), str(path), False, "file", _file_loader(path)
    if sources.checkout is not None:
        for path in _plugin_files(sources.checkout):
            yield _plugin_name(path), str(path), True, "checkout", _file_loader(path)
    installed = sorted(importlib.metadata.entry_points(group=GROUP), key=lambda entry: entry.name)
    ours = [entry for entry in installed if entry.dist and entry.dist.name == DISTRIBUTION]
    for entry in ours:
        yield entry.name, f"{DISTRIBUTION} {__version__}", True, __version__, entry.load
    for folder in sources.folders:
        for path in _plugin_files(folder):
            if path not in sources.files:
                yield _plugin_name(path), str(path), False, "folder", _file_loader(path)
    for entry in (entry for entry in installed if entry not in ours):
        dist, version = (entry.dist.name, entry.dist.version) if entry.dist else ("an unknown distribution", "unknown")
        yield entry.name, f"{dist} {version}", False, version, entry.load


def _core_modules() -> list[str]:
    names = ("bench_core.problems", "bench_core.metrics", "bench_core.quantities")
    packages = [importlib.import_module(name) for name in names]
    found = [
        f"{package.__name__}.{module.name}" for package in packages for module in pkgutil.iter_modules(package.__path__)
    ]
    return [*(name for name in found if not name.endswith(".base")), *REPORTS]


def _plugin_files(folder: Path) -> list[Path]:
    files = [*folder.glob("*.py"), *(init.parent for init in folder.glob("*/__init__.py"))]
    return sorted(path for path in files if not path.name.startswith(("_", ".")))


def _plugin_name(path: Path) -> str:
    return path.stem if path.suffix == ".py" else path.name


def _importer(module: str) -> Callable[[], ModuleType]:
    return lambda: importlib.import_module(module)


def _file_loader(path: Path) -> Callable[[], ModuleType]:
    def load() -> ModuleType:
        package = path.is_dir()
        # A flat name: a dotted one would need a parent package that does not exist.
        name = f"bench_plugin_{_plugin_name(path)}"
        file = path / "__init__.py" if package else path
        locations = [str(path)] if package else None
        spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=locations)
        if spec is None or spec.loader is None:
            raise ImportError(f"{file} is no Python module")
        module = importlib.util.module_from_spec(spec)
        _forget(name)  # another load of this process may have left a package of this name, its submodules included
        sys.modules[name] = module  # before execution: pydantic and dataclasses look their module up
        try:
            with _no_bytecode():
                spec.loader.exec_module(module)
        except BaseException:
            _forget(name)
            raise
        return module

    return load


@contextmanager
def _no_bytecode() -> Iterator[None]:
    """Keep the bytecode of plugin files off the disk.

    Python takes bytecode for current where the file's size and its second of change are the same, so that code edited
    twice in a second would run as it was before, and its results be stored as those of the new code.
    """
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _forget(name: str) -> None:
    for known in [module for module in sys.modules if module == name or module.startswith(f"{name}.")]:
        del sys.modules[known]


def _load_one(
    plugins: Plugins, name: str, source: str, builtin: bool, version: str, load: Callable[[], ModuleType]
) -> None:
    try:
        module = load()
        _check_marked(module)
        plugins.manager.register(module, name)
        _check_known_hooks(plugins.manager, module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a plugin raises while it loads, SystemExit included, is its own failure
        if plugins.manager.has_plugin(name):
            plugins.manager.unregister(name=name)
        plugins.failures.append(PluginFailure(name, source, _cause(error, source)))
        return
    plugins.loaded.append(PluginInfo(name, source, version, _digest(_source_files(module)), builtin))


def _cause(error: BaseException, source: str) -> str:
    # A syntax error's own text names the line, too.
    text, line = (error.msg, error.lineno) if isinstance(error, SyntaxError) else (str(error), None)
    inside = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(source)]
    if inside and line is None:
        line = inside[-1].lineno
    where = f" (line {line})" if line else ""
    return " ".join(f"{type(error).__name__}: {text}{where}".split())  # on one line, as lists show it


def _check_marked(module: ModuleType) -> None:
    for name, function in vars(module).items():
        if not (name.startswith("bench_") and inspect.isfunction(function)) or hasattr(function, "bench_core_impl"):
            continue
        if name not in _hook_names():
            raise PluginError(f"unknown hook {name!r}{suggest(name, _hook_names())}")
        raise PluginError(f"{name} is not marked; put @bench_core.hookimpl above it")


def _check_known_hooks(manager: pluggy.PluginManager, module: ModuleType) -> None:
    for caller in manager.get_hookcallers(module) or []:
        if not caller.has_spec():
            raise PluginError(f"unknown hook {caller.name!r}{suggest(caller.name, _hook_names())}")


def _hook_names() -> list[str]:
    return [name for name in vars(hookspecs) if name.startswith("bench_")]


def _collect(plugins: Plugins, info: PluginInfo) -> None:
    from bench_core.methods import Method
    from bench_core.metrics import Metric
    from bench_core.problems import Problem
    from bench_core.quantities import Quantity
    from bench_core.report import Format, PaperFigure

    kinds: list[tuple[str, Offers[Any], type, bool]] = [
        ("bench_register_methods", plugins.methods, Method, True),
        ("bench_register_problems", plugins.problems, Problem, True),
        ("bench_register_metrics", plugins.metrics, Metric, False),
        ("bench_register_quantities", plugins.quantities, Quantity, False),
        ("bench_register_formats", plugins.formats, Format, False),
        ("bench_register_figures", plugins.figures, PaperFigure, False),
    ]
    module = plugins.manager.get_plugin(info.name)
    for hook, offers, base, as_class in kinds:
        function = vars(module).get(hook)
        if function is None:
            continue
        try:
            items = list(function())
        except (Exception, SystemExit) as error:  # a plugin's hook may raise anything; it is named and left out
            plugins.failures.append(
                PluginFailure(info.name, info.source, f"{hook} raised {_cause(error, info.source)}")
            )
            continue
        for item in items:
            try:
                problem = _unfit(item, base, as_class, offers)
            except Exception as error:  # even to look at an offer runs the plugin's code
                problem = f"an offer of {hook} raised {_cause(error, info.source)}"
            if problem is None:
                offers.items[item.name] = item
                offers.owners[item.name] = info
            else:
                plugins.failures.append(PluginFailure(info.name, info.source, problem))


def _unfit(item: Any, base: type, as_class: bool, offers: Offers[Any]) -> str | None:
    """Return what is wrong with an offer, or None."""
    right = isinstance(item, type) and issubclass(item, base) if as_class else isinstance(item, base)
    if not right:
        required = f"a subclass of {base.__name__}" if as_class else f"an instance of {base.__name__}"
        return f"a {offers.kind} must be {required}, got {item!r}"
    missing = sorted(getattr(item, "__abstractmethods__", ()))
    if as_class and missing:
        return f"{offers.kind} {item.__name__} does not define {', '.join(missing)}"
    wrong = _wrong_metric(item) if offers.kind == "metric" else None
    if wrong is not None:
        return wrong
    name = getattr(item, "name", None)
    if not isinstance(name, str) or not name or not all(char.isalnum() or char in "_-" for char in name):
        return f"a {offers.kind} needs a name of letters, digits, '_' and '-', got {name!r}"
    if name in offers.items:
        owner = offers.owners[name]
        return f"the {offers.kind} {name!r} is already offered by plugin {owner.name!r} from {owner.source}"
    return None


def _wrong_metric(metric: Any) -> str | None:
    allowed = {"kind": ("rate", "mean", "skewed"), "direction": ("higher", "lower")}
    for attribute, values in allowed.items():
        if getattr(metric, attribute, None) not in values:
            came = getattr(metric, attribute, None)
            return f"metric {type(metric).__name__} needs {attribute} to be one of {', '.join(values)}, got {came!r}"
    return None


def _files_of(modules: Iterable[str]) -> list[Path]:
    """Return the source files of modules, standard library and packages of the core aside; an engine means all of them.

    What the core's other modules do to numbers is told by ``NUMERICS_VERSION``. Files come in the order of the modules'
    names, so that the digest is the same wherever they lie.
    """
    files: dict[str, Path] = {}
    for name in modules:
        file = getattr(sys.modules.get(name), "__file__", None)
        if file is None or name.partition(".")[0] in {"pydantic", "abc", "typing", "builtins"}:
            continue
        if name.startswith("bench_core.engines."):
            files |= {f"bench_core.engines.{path.stem}": path for path in Path(file).parent.glob("*.py")}
        elif not name.startswith("bench_core."):
            files[name] = Path(file)
    return [files[name] for name in sorted(files)]


def _source_files(module: ModuleType) -> list[Path]:
    file = Path(module.__file__) if module.__file__ else None
    if file is None:
        return []
    return sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]


def _digest(files: Iterable[Path], *more: str) -> str:
    digest = hashlib.blake2b("".join(more).encode(), digest_size=8)
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()
