"""``bench export``: the raw trials."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench_core.cli.common import Block, PluginDir, note, open_plugins, read

if TYPE_CHECKING:
    import polars as pl


def export(
    output: Annotated[Path, typer.Option(help="File to write: .csv, .parquet or .jsonl.")],
    results: Annotated[
        Path,
        typer.Argument(metavar="[RESULTS]", help="A folder given to --results, a suite's folder or a run's folder."),
    ] = Path("results"),
    plugin_dir: PluginDir = [],  # noqa: B006 (Typer copies it)
    block: Block = [],  # noqa: B006
) -> None:
    """Export the raw trials of a suite or of several, sorted by problem cell, label and repeat."""
    import polars as pl

    from bench_core.errors import BenchError, suggest
    from bench_core.results import export as rows_of

    writers: dict[str, Callable[[pl.DataFrame, Path], object]] = {
        ".csv": _csv,
        ".parquet": pl.DataFrame.write_parquet,
        ".jsonl": pl.DataFrame.write_ndjson,
    }
    if output.suffix not in writers:
        raise BenchError(f"--output: unknown kind of file {output.suffix!r}{suggest(output.suffix, writers)}")
    plugins = open_plugins(plugin_dir, block)
    frames = [rows_of(each) for each in read(results, plugins)]
    frame = pl.concat(frames, how="diagonal_relaxed")
    try:
        writers[output.suffix](frame, output)
    except OSError as error:
        raise BenchError(f"cannot write {output}: {error.strerror or error}") from None
    note(f"wrote {len(frame)} trials to {output}")


def _csv(frame: pl.DataFrame, output: Path) -> None:
    """Write lists, which CSV does not have, as JSON."""
    import json

    import polars as pl

    nested = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List)]
    flat = frame.with_columns(
        pl.Series(name, [None if value is None else json.dumps(value) for value in frame[name].to_list()], pl.String)
        for name in nested
    )
    flat.write_csv(output)
