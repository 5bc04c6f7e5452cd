"""``bench show``: one method, problem, metric, figure, quantity or suite, with its parameters."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench_core.cli.common import AsJson, Block, PluginDir, open_plugins

if TYPE_CHECKING:
    from bench_core.plugins import Plugins


def show(
    name: Annotated[str, typer.Argument(help="A method, problem, metric, figure, quantity or suite.")],
    as_json: AsJson = False,
    plugin_dir: PluginDir = [],  # noqa: B006 (Typer copies it)
    block: Block = [],  # noqa: B006
) -> None:
    """Show a method, problem, metric, figure, quantity or suite.

    Methods and problems have their parameters with types, defaults, bounds and documentation.
    """
    from bench_core.errors import BenchError, suggest
    from bench_core.suites import builtin_suites

    plugins = open_plugins(plugin_dir, block)
    found = _described(plugins, name)
    suites = {path.stem: path for path in builtin_suites(Path.cwd())}
    suite = Path(name) if name.endswith((".yaml", ".yml")) else suites.get(name)
    if suite is not None and suite.exists():
        # A problem and the suite named after it are both shown.
        found.append({"kind": "suite", "name": name, "about": str(suite), "text": _text(suite)})
    if not found:
        known = {*plugins.methods, *plugins.problems, *plugins.metrics, *plugins.figures, *plugins.quantities, *suites}
        raise BenchError(f"nothing is called {name!r}{suggest(name, known)}{plugins.why_missing(name)}")
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    for index, each in enumerate(found):
        typer.echo("" if not index else "\n", nl=bool(index))
        _print(each)


def _text(suite: Path) -> str:
    """Return the text of a suite file, after the checks that every suite file passes and fit for a terminal."""
    from bench_core.yamlfile import peek, visible

    peek(suite)
    return "\n".join(visible(line) for line in suite.read_text(encoding="utf-8").splitlines())


def _described(plugins: Plugins, name: str) -> list[dict[str, Any]]:
    from bench_core.parameters import describe

    found: list[dict[str, Any]] = []
    for offers in (plugins.methods, plugins.problems):
        if name in offers:
            cls = offers.items[name]
            found.append(
                {
                    "kind": offers.kind,
                    "name": name,
                    "about": inspect.cleandoc(cls.__doc__ or ""),
                    "plugin": offers.owners[name].source,
                    "version": cls.version,
                    "needs": sorted(getattr(cls, "needs", ())),
                    "parameters": [parameter._asdict() for parameter in describe(cls)],
                }
            )
    if name in plugins.metrics:
        metric = plugins.metrics.get(name)
        found.append(
            {
                "kind": "metric",
                "name": name,
                "about": inspect.cleandoc(type(metric).__doc__ or ""),
                "plugin": plugins.metrics.owners[name].source,
                "values": f"{metric.kind}, {metric.direction} is better",
                "needs": sorted(metric.needs),
            }
        )
    if name in plugins.figures:
        figure = plugins.figures.get(name)
        found.append(
            {
                "kind": "figure",
                "name": name,
                "about": inspect.cleandoc(type(figure).__doc__ or ""),
                "plugin": plugins.figures.owners[name].source,
                "source": figure.source,
                "needs": ["trials"] if figure.needs_results else [],
            }
        )
    if name in plugins.quantities:
        quantity = plugins.quantities.get(name)
        found.append(
            {
                "kind": "quantity",
                "name": name,
                "about": quantity.about,
                "plugin": plugins.quantities.owners[name].source,
                "source": quantity.source,
            }
        )
    return found


def _print(each: dict[str, Any]) -> None:
    _say(f"{each['kind']} {each['name']}", bold=True)
    _say(each["about"])
    for key in ("plugin", "version", "source", "values"):
        if key in each:
            _say(f"{key}: {each[key]}")
    if each.get("needs"):
        _say(f"needs: {', '.join(each['needs'])}")
    if each.get("parameters"):
        _say("parameters:")
        for parameter in each["parameters"]:
            bounds = f", {parameter['bounds']}" if parameter["bounds"] else ""
            _say(f"  {parameter['name']} = {parameter['default']}", bold=True, nl=False)
            _say(f"  ({parameter['type']}{bounds})")
            if parameter["doc"]:
                _say(f"      {parameter['doc']}")
    if "text" in each:
        _say("\n" + each["text"].rstrip("\n"))


def _say(text: str, *, bold: bool = False, nl: bool = True) -> None:
    """Print what is partly a plugin's text, which the terminal must show and not obey."""
    from bench_core.yamlfile import visible

    typer.secho(visible(text, keep="\n"), bold=bold, nl=nl)
