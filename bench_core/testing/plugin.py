"""From a class, a name or a path to checks."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_core.errors import PluginError, suggest
from bench_core.testing.checks import TIME_LIMIT, Check, Report, Subject, run_all

if TYPE_CHECKING:
    from bench_core.methods import Method
    from bench_core.metrics import Metric
    from bench_core.plugins import Offers, PluginInfo, Plugins, PluginSources
    from bench_core.problems import Problem


def checks_of(
    *things: type[Method] | type[Problem] | Metric,
    plugins: Plugins | None = None,
    problems: Sequence[Problem] | None = None,
    device: str = "auto",
) -> list[Check]:
    """Return the checks of methods, problems (classes) and metrics (instances).

    Args:
        things: what to check.
        plugins: what is loaded beside them. Default: what `bench` loads in the current folder.
        problems: instances to try methods and metrics on. Default: small ones of the loaded problems.
        device: ``auto``, ``cpu`` or ``cuda``: whether the check on a GPU is wanted.

    >>> from bench_core.problems.gaussian_mean import GaussianMean
    >>> check = next(check for check in checks_of(GaussianMean) if check.name == "exact MLE")
    >>> print(check.run())
    problem gaussian_mean: exact MLE: passed
    """
    from bench_core.environment import choose_device
    from bench_core.plugins import find_sources, load_plugins
    from bench_core.testing._lab import Kit

    if plugins is None:
        plugins = load_plugins(find_sources([], [], cwd=Path.cwd()))
    kit = Kit(plugins, choose_device(device), problems)
    return [check for thing in things for check in _checks(thing, kit)]


def _checks(thing: type[Method] | type[Problem] | Metric, kit: Any) -> Iterator[Check]:
    from bench_core.methods import Method
    from bench_core.problems import Problem, RecoveryProblem
    from bench_core.testing import _methods, _metrics, _parameters, _problems

    plugins: Plugins = kit.plugins
    if not isinstance(thing, type):
        subject, _ = _subject(plugins.metrics, thing, type(thing))
        ruler = _metrics.MetricLab(thing, kit, subject.source)
        for demands in _metrics.contracts(thing):
            yield from demands.checks(subject, ruler)
    elif issubclass(thing, Method):
        subject, loaded = _subject(plugins.methods, thing, thing)
        lab = _methods.MethodLab(thing, kit, subject.source, loaded=loaded)
        yield from _parameters.contract.checks(subject, lab)
        yield from _methods.contract.checks(subject, lab)
    elif issubclass(thing, Problem):
        subject, loaded = _subject(plugins.problems, thing, thing)
        where = _problems.ProblemLab(thing, kit, subject.source, loaded=loaded)
        yield from _parameters.contract.checks(subject, where)
        yield from _problems.contract.checks(subject, where)
        if issubclass(thing, RecoveryProblem):
            yield from _problems.of_recovery.checks(subject, where)
    else:
        raise TypeError(f"a method or problem class or a metric is checked, got {thing!r}")


def _subject(offers: Offers[Any], thing: Any, cls: type) -> tuple[Subject, bool]:
    """Return the subject, and whether it is what the loaded plugins offer under its name."""
    name = getattr(thing, "name", None) or cls.__name__
    loaded = offers.items.get(name) is thing
    source = offers.owners[name].source if loaded else cls.__module__
    return Subject(offers.kind, str(name), source), loaded


def check_plugin(plugin: str | Path, *, device: str = "auto", timeout: float = TIME_LIMIT) -> Report:
    """Load a plugin and run all checks of what it offers.

    Args:
        plugin: path of a module, of a package's folder or of a project's, or the name of something that is loaded.
        device: ``auto``, ``cpu`` or ``cuda``.
        timeout: seconds that each check may take.

    Raises:
        PluginError: there is no such plugin, or it does not load.
    """
    return run_all(plugin_checks(str(plugin), device=device), timeout)


def contract_tests(plugin: str | Path, *, device: str = "auto", timeout: float = TIME_LIMIT) -> Callable[..., None]:
    """Return a pytest test of a plugin, one case per check: assign it to a name that begins with ``test``.

    Args:
        plugin: path of a module or of a package's folder, or the name of something that is loaded.
        device: ``auto``, ``cpu`` or ``cuda``.
        timeout: seconds that each check may take.

    Raises:
        PluginError: there is no such plugin, or it does not load.
    """
    import pytest

    checks = plugin_checks(str(plugin), device=device)

    @pytest.mark.parametrize("check", checks, ids=str)
    def test_contract(check: Check) -> None:
        result = check.run(timeout)
        if result.status == "skipped":
            pytest.skip(result.reason)
        assert result.status == "passed", f"\n{result}"

    return test_contract


def plugin_checks(
    target: str,
    *,
    device: str = "auto",
    folders: Sequence[Path] = (),
    blocked: Iterable[str] = (),
    path_variable: str = "",
    tell: Callable[[str], None] = lambda message: None,
) -> list[Check]:
    """Return the checks of everything that a plugin offers, or of what bears a name.

    Args:
        target: a path or a name; a name that is loaded wins over a folder that is called so.
        device: ``auto``, ``cpu`` or ``cuda``.
        folders: further folders of plugins.
        blocked: plugins that are not loaded.
        path_variable: more folders, as in the environment.
        tell: gets a message for each other plugin that does not load.

    Raises:
        PluginError: there is nothing of this name or path, or it does not load, or it offers nothing to check.
    """
    from bench_core.plugins import find_sources, load_plugins

    sources = find_sources(folders, blocked, cwd=Path.cwd(), path_variable=path_variable)
    files = [] if _is_plain_name(target) else _files(target)
    plugins = load_plugins(_with_files(sources, files))
    if not files and not _named(plugins, target) and not _failed_under(plugins, target):
        files = _files(target, plugins)
        plugins = load_plugins(_with_files(sources, files))
    wanted = {str(path) for path in files}
    ours = [bad for bad in plugins.failures if bad.source in wanted or (not files and bad.name == target)]
    if ours:
        raise PluginError("\n".join(str(failure) for failure in ours))
    for failure in plugins.failures:
        if failure.name not in {path.stem for path in files}:  # an installed copy that makes way is no trouble
            tell(str(failure))
    things = _offered_by(plugins, lambda info: info.source in wanted) if files else _named(plugins, target)
    if not things:
        raise PluginError(f"{target} loads, and offers no method, problem or metric to check")
    return checks_of(*things, plugins=plugins, device=device)


def _is_plain_name(target: str) -> bool:
    return "/" not in target and not target.endswith(".py") and target not in (".", "..")


def _with_files(sources: PluginSources, files: Sequence[Path]) -> PluginSources:
    """Add single files, but for those of the checkout, which are loaded anyway."""
    return replace(sources, files=tuple(path for path in files if path.parent != sources.checkout))


def _files(target: str, plugins: Plugins | None = None) -> list[Path]:
    """Return the plugin modules and packages at a path."""
    path = Path(target).resolve()
    if path.is_file():
        return [path]
    if (path / "__init__.py").is_file():
        return [path]
    if path.is_dir():
        found = _of_project(path) or sorted(file for file in path.glob("*.py") if not file.name.startswith(("_", ".")))
        if found:
            return found
        raise PluginError(f"there is no plugin in the folder {target!r}: no module, and no entry point in bench_core")
    if plugins is None:
        raise PluginError(f"there is no file {target!r}; give a plugin's file or folder, or a name (`bench list`)")
    known = {
        *plugins.methods,
        *plugins.problems,
        *plugins.metrics,
        *(info.name for info in plugins.loaded if "." not in info.name),
    }
    raise PluginError(f"nothing is called {target!r}, and no file{suggest(target, known)}{plugins.why_missing(target)}")


def _of_project(folder: Path) -> list[Path]:
    """Return the modules that the project in ``folder`` offers by entry points."""
    pyproject = folder / "pyproject.toml"
    if not pyproject.is_file():
        return []
    try:
        project = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("project", {})
    except (OSError, ValueError) as error:
        raise PluginError(f"{pyproject} cannot be read: {error}") from None
    modules = project.get("entry-points", {}).get("bench_core", {}).values()
    places = [folder / base / str(module).replace(".", "/") for module in modules for base in ("", "src")]
    files = [place if (place / "__init__.py").is_file() else place.with_suffix(".py") for place in places]
    return [file for file in files if file.exists()]


def _named(plugins: Plugins, name: str) -> list[Any]:
    """Return everything that is called so, and everything that the plugin of this name offers."""
    by_plugin = _offered_by(plugins, lambda info: info.name == name)
    kinds = (plugins.methods, plugins.problems, plugins.metrics)
    by_name = [offers.items[name] for offers in kinds if name in offers]
    return [*by_plugin, *(thing for thing in by_name if all(thing is not other for other in by_plugin))]


def _failed_under(plugins: Plugins, name: str) -> bool:
    return any(failure.name == name for failure in plugins.failures)


def _offered_by(plugins: Plugins, wanted: Callable[[PluginInfo], bool]) -> list[Any]:
    kinds: tuple[Offers[Any], ...] = (plugins.methods, plugins.problems, plugins.metrics)
    return [offers.items[name] for offers in kinds for name in offers if wanted(offers.owners[name])]
