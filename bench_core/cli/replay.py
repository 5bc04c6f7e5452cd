"""``bench replay``: one stored trial, run again alone."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench_core.cli.common import AsJson, Block, PluginDir, note, open_plugins, write

if TYPE_CHECKING:
    from bench_core.replay import Replay


def replay(
    trial_id: Annotated[str, typer.Argument(metavar="TRIAL_ID", help="Id of the trial, as `bench export` writes it.")],
    results: Annotated[
        Path, typer.Option(help="A folder given to --results, a suite's folder or a run's folder.")
    ] = Path("results"),
    rtol: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="How much a number may differ, relatively. Default: 0 in the environment of the trial, 0.001 in "
            "another one and on a GPU.",
            show_default=False,
        ),
    ] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Write loss and error of every step as CSV.")] = False,
    output: Annotated[
        Path | None, typer.Option(help="Where --trace writes. Default: TRIAL_ID.csv.", show_default=False)
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of data sets.", show_default=False)] = None,
    as_json: AsJson = False,
    plugin_dir: PluginDir = [],  # noqa: B006 (Typer copies it)
    block: Block = [],  # noqa: B006
) -> None:
    """Run one stored trial again, alone, and compare it with its row. Exit code 1: it differs."""
    from bench_core.errors import BenchError
    from bench_core.reference import all_reference_runs
    from bench_core.replay import replay as run_again

    if rtol is not None and not math.isfinite(rtol):
        raise BenchError(f"--rtol: required a finite number ≥ 0, got {rtol}")
    if output is not None and not trace:
        raise BenchError("--output is where --trace writes; give --trace as well")
    plugins = open_plugins(plugin_dir, block)
    others = all_reference_runs(Path.cwd())
    folder = data.resolve() if data else None
    done = run_again(results, trial_id, plugins, rtol=rtol, trace=trace, data=folder, others=others)
    for each in done.notes:
        note(f"note: {each}", color="yellow")
    if trace:
        _write_trace(done, output or Path(f"{trial_id}.csv"))
    typer.echo(json.dumps(_as_json(done), indent=1) if as_json else _as_text(done))
    raise typer.Exit(0 if done.match else 1)


def _write_trace(done: Replay, output: Path) -> None:
    steps = list(done.path)
    if not steps:
        note(f"{done.stored['method']} records no path: there is nothing to trace", color="yellow")
        return
    lines = [f"{step},{loss!r},{error!r}" for step, loss, error in steps]
    write(output, "\n".join(["step,loss,error", *lines, ""]))


def _as_json(done: Replay) -> dict[str, Any]:
    return {
        "trial_id": done.stored["trial_id"],
        "match": done.match,
        "rtol": done.rtol,
        "differences": [
            {"column": each.column, "stored": _plain(each.stored), "replayed": _plain(each.replayed)}
            for each in done.differences
        ],
        "notes": list(done.notes),
    }


def _plain(value: Any) -> Any:
    """Return a value that JSON can say."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return repr(value) if isinstance(value, float) and value - value != 0 else value


def _as_text(done: Replay) -> str:
    from bench_core.report.table import settings
    from bench_core.yamlfile import visible

    row = done.stored
    spec = json.loads(row["spec"])
    lines = [
        f"{row['problem']} ({settings(spec['problem_params'])})",
        f"{row['method']} ({settings(spec['method_params'])})",
        f"repeat {row['repeat']}, seed {row['seed']}, split {row['split']}, slot {row['slot']} of {row['batch_size']}; "
        f"stored in {done.run.folder}",
        "",
    ]
    shown = [name for name in done.compared if not name.startswith("path.")]
    width = max(map(len, shown))
    differing = {each.column for each in done.differences}
    for name in shown:
        stored, again = _shown(row.get(name)), _shown(done.replayed.get(name))
        lines.append(f"{name:<{width}}  {stored}" + (f"  ≠  {again}" if name in differing else ""))
    if done.replayed.get("reason"):
        lines.append(f"{'reason':<{width}}  {_shown(done.replayed['reason'])}")
    if "path.step" in done.compared:
        lines.append(_path_line(done, differing))
    return visible("\n".join([*lines, _verdict(done)]), keep="\n")  # rows and folders may come from anywhere


def _path_line(done: Replay, differing: set[str]) -> str:
    names = ", ".join(sorted(name for name in differing if name.startswith("path.")))
    steps = len(done.stored.get("path.step", []))
    return f"loss and error at {steps} steps" + (f"  ≠  ({names})" if names else "")


def _shown(value: object) -> str:
    return "–" if value is None else " ".join(str(value).split())


def _verdict(done: Replay) -> str:
    if done.match:
        return "\nthe same to the last bit" if not done.rtol else f"\nthe same within a relative {done.rtol:g}"
    count = len(done.differences)
    within = f" by more than a relative {done.rtol:g}" if done.rtol else ""
    return f"\n{count} of {len(done.compared)} compared columns differ{within}"
