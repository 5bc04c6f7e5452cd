"""``bench list``: what is there."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench_core.cli.common import AsJson, Block, PluginDir, open_plugins

if TYPE_CHECKING:
    from collections.abc import Sequence

Item = dict[str, Any]


class Kind(StrEnum):
    """What can be listed."""

    METHODS = "methods"
    PROBLEMS = "problems"
    METRICS = "metrics"
    SUITES = "suites"
    FIGURES = "figures"
    QUANTITIES = "quantities"
    PLUGINS = "plugins"


def list_(
    kind: Annotated[Kind | None, typer.Argument(help="What to list. Default: everything.", show_default=False)] = None,
    as_json: AsJson = False,
    plugin_dir: PluginDir = [],  # noqa: B006 (Typer copies it)
    block: Block = [],  # noqa: B006
) -> None:
    """List methods, problems, metrics, suites, figures, quantities (which claims name) and plugins."""
    kinds = [kind] if kind else list(Kind)
    found: dict[str, list[Item]] = {}
    if Kind.SUITES in kinds:
        found["suites"] = _suites()
    if kinds != [Kind.SUITES]:  # suites alone are listed without loading any plugin
        found |= _offers(kinds, plugin_dir, block)
    ordered = {str(each): found[each] for each in kinds}
    if as_json:
        typer.echo(json.dumps(ordered[kind] if kind else ordered, indent=1))
        return
    for name, items in ordered.items():
        if not kind:
            typer.secho(name, bold=True)
        _print(items, indent="" if kind else "  ")


def _suites() -> list[Item]:
    from bench_core.errors import SuiteError
    from bench_core.suites import builtin_suites
    from bench_core.yamlfile import peek

    items = []
    for path in builtin_suites(Path.cwd()):
        try:
            name, title = peek(path)
        except SuiteError as error:
            name, title = path.stem, f"broken: {error}"
        items.append({"name": name, "about": title, "path": str(path)})
    return items


def _offers(kinds: Sequence[Kind], plugin_dir: Sequence[Path], block: Sequence[str]) -> dict[str, list[Item]]:
    plugins = open_plugins(plugin_dir, block)
    found: dict[str, list[Item]] = {}
    for kind, offers in (
        (Kind.METHODS, plugins.methods),
        (Kind.PROBLEMS, plugins.problems),
        (Kind.METRICS, plugins.metrics),
        (Kind.FIGURES, plugins.figures),
        (Kind.QUANTITIES, plugins.quantities),
    ):
        if kind in kinds:
            found[kind] = [
                {"name": name, "about": first_line(offers.items[name]), "plugin": offers.owners[name].name}
                for name in sorted(offers.items)
            ]
    if Kind.PLUGINS in kinds:
        loaded = [{"name": info.name, "about": info.source, "version": info.version} for info in plugins.loaded]
        failed = [{"name": bad.name, "about": f"{bad.source}: left out: {bad.cause}"} for bad in plugins.failures]
        found[Kind.PLUGINS] = [*loaded, *failed]
    return found


def first_line(thing: object) -> str:
    """Return the first sentence of an object's own documentation."""
    from bench_core.quantities import Quantity

    if isinstance(thing, Quantity):
        return thing.about
    cls = thing if isinstance(thing, type) else type(thing)
    text = vars(cls).get("__doc__") or ""
    return " ".join(text.strip().split("\n\n")[0].split())


def _print(items: Sequence[Item], indent: str) -> None:
    from bench_core.yamlfile import visible

    lines = [(visible(item["name"]), visible(item["about"])) for item in items]
    width = max((len(name) for name, _ in lines), default=0)
    for name, about in lines:
        typer.echo(f"{indent}{name:<{width}}  {about}")
