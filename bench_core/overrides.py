"""Suite x command line -> Suite: ``--trials``, ``--seed``, ``--method``, ``--set``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench_core.errors import BenchError, suggest
from bench_core.suite import MethodEntry
from bench_core.yamlfile import resolve

if TYPE_CHECKING:
    from bench_core.parameters import Scalar
    from bench_core.plugins import Offers, Plugins
    from bench_core.suite import ProblemEntry, Suite


def override(
    suite: Suite,
    plugins: Plugins,
    *,
    trials: int | None = None,
    seed: int | None = None,
    methods: Iterable[str] = (),
    settings: Sequence[str] = (),
) -> Suite:
    """Return ``suite`` as the command line wants it.

    Args:
        suite: the suite file's content.
        plugins: where names of methods and parameters are looked up.
        trials: replaces every number of trials.
        seed: replaces the root seed.
        methods: names that the run is limited to; one that the suite lacks is appended with its defaults.
        settings: ``[label.]parameter=value``, applied in this order.

    Raises:
        BenchError: an unknown method, label or parameter, or a setting that matches nothing.
    """
    if trials is not None:
        entries = [entry.model_copy(update={"trials": None}) for entry in suite.methods]
        suite = suite.model_copy(update={"trials": trials, "methods": entries})
    if seed is not None:
        suite = suite.model_copy(update={"seed": seed})
    for name in methods:
        suite = _with_method(suite, plugins, name)
    for setting in settings:
        suite = _with_setting(suite, plugins, setting)
    return suite


def _with_method(suite: Suite, plugins: Plugins, name: str) -> Suite:
    if any(name in (entry.label, entry.name) for entry in suite.methods):
        return suite
    if name not in plugins.methods:
        known = {*plugins.methods, *(entry.label for entry in suite.methods)}
        raise BenchError(f"--method: unknown label or method {name!r}{suggest(name, known)}{plugins.why_missing(name)}")
    return suite.model_copy(update={"methods": [*suite.methods, MethodEntry(name=name)]})


def _with_setting(suite: Suite, plugins: Plugins, setting: str) -> Suite:
    target, equals, text = setting.partition("=")
    label, dot, parameter = target.rpartition(".")
    if not equals or not parameter or (dot and not label):
        raise BenchError(f"--set: required [label.]parameter=value, got {setting!r}")
    value = _value(text)
    if value == []:
        raise BenchError(f"--set: {setting}: required a list of at least one value")
    if label:
        return _with_label_setting(suite, plugins, label, parameter, value)
    methods = [
        _with_parameter(entry, parameter, _scalar(value, setting))
        if _has(plugins.methods, entry.name, parameter)
        else entry
        for entry in suite.methods
    ]
    problems = [
        _with_problem_parameter(entry, parameter, value) if _has(plugins.problems, entry.name, parameter) else entry
        for entry in suite.problems
    ]
    if all(old is new for old, new in zip([*suite.methods, *suite.problems], [*methods, *problems], strict=True)):
        raise BenchError(
            f"--set: nothing in this suite has a parameter {parameter!r}{_known(suite, plugins, parameter)}"
        )
    return suite.model_copy(update={"methods": methods, "problems": problems})


def _with_label_setting(
    suite: Suite, plugins: Plugins, label: str, parameter: str, value: Scalar | list[Scalar]
) -> Suite:
    entries = {entry.label: entry for entry in suite.methods}
    if label not in entries:
        raise BenchError(f"--set: unknown label {label!r}{suggest(label, entries)}")
    entry = entries[label]
    if not _has(plugins.methods, entry.name, parameter):
        fields = _fields(plugins.methods, entry.name)
        raise BenchError(f"--set: {label} ({entry.name}) has no parameter {parameter!r}{suggest(parameter, fields)}")
    entries[label] = _with_parameter(entry, parameter, _scalar(value, f"{label}.{parameter}"))
    return suite.model_copy(update={"methods": list(entries.values())})


def _with_parameter(entry: MethodEntry, parameter: str, value: Scalar) -> MethodEntry:
    """Set a parameter; one that was to be chosen from a grid is chosen by this."""
    update: dict[str, Any] = {"params": {**entry.params, parameter: value}}
    if entry.select is not None and parameter in entry.select.grid:
        grid = {name: values for name, values in entry.select.grid.items() if name != parameter}
        update["select"] = entry.select.model_copy(update={"grid": grid}) if grid else None
    return entry.model_copy(update=update)


def _with_problem_parameter(entry: ProblemEntry, parameter: str, value: Scalar | list[Scalar]) -> ProblemEntry:
    params = {name: known for name, known in entry.params.items() if name != parameter}
    grid = {name: known for name, known in entry.grid.items() if name != parameter}
    if isinstance(value, list):
        return entry.model_copy(update={"params": params, "grid": {**grid, parameter: value}})
    return entry.model_copy(update={"params": {**params, parameter: value}, "grid": grid})


def _value(text: str) -> Scalar | list[Scalar]:
    """Return a YAML scalar, or a list of them for ``[a, b]``."""
    text = text.strip()
    if text.startswith("[") and text.endswith("]"):
        return [_resolve(part.strip()) for part in text[1:-1].split(",") if part.strip()]
    return _resolve(text)


def _resolve(text: str) -> Scalar:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    try:
        value = resolve(text)
    except ValueError as error:
        raise BenchError(f"--set: {error}") from None
    if isinstance(value, float) and value - value != 0:
        raise BenchError(f"--set: required a finite number, got {text}")
    return value


def _scalar(value: Scalar | list[Scalar], setting: str) -> Scalar:
    if isinstance(value, list):
        raise BenchError(f"--set: {setting}: a list is for parameters of problems, where it becomes a grid")
    return value


def _has(offers: Offers[Any], name: str, parameter: str) -> bool:
    return parameter in _fields(offers, name)


def _fields(offers: Offers[Any], name: str) -> Mapping[str, Any]:
    # An unknown name is reported when the suite is planned, with file and line.
    return offers.get(name).model_fields if name in offers else {}


def _known(suite: Suite, plugins: Plugins, parameter: str) -> str:
    known: set[str] = set()
    for entry in suite.methods:
        known |= set(_fields(plugins.methods, entry.name))
    for problem in suite.problems:
        known |= set(_fields(plugins.problems, problem.name))
    return suggest(parameter, known)
