"""``bench export``: the raw trials."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench_core.cli.common import Block, PluginDir, note, open_plugins, read

if TYPE_CHECKING:
    import polars as pl

FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""What begins a formula in a spreadsheet; in some also in its wide forms."""


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
    from bench_core.store import SCHEMA

    writers: dict[str, Callable[[pl.DataFrame, Path], object]] = {
        ".csv": _csv,
        ".parquet": pl.DataFrame.write_parquet,
        ".jsonl": _jsonl,
    }
    if output.suffix not in writers:
        raise BenchError(f"--output: unknown kind of file {output.suffix!r}{suggest(output.suffix, writers)}")
    plugins = open_plugins(plugin_dir, block)
    found = read(results, plugins, only=SCHEMA)
    frames = [rows_of(each) for each in found]
    frame = pl.concat(frames, how="diagonal_relaxed")
    try:
        writers[output.suffix](frame, output)
    except OSError as error:
        raise BenchError(f"cannot write {output}: {error.strerror or error}") from None
    holdout = int((frame["split"] == "select").sum())
    note(f"wrote {len(frame)} trials to {output}" + (f", {holdout} of them holdout trials" if holdout else ""))
    for each in found:
        if each.stale:
            note(
                f"{each.stale} stored trials of {each.plan.suite.name} are left out: their code has changed",
                color="yellow",
            )


def _csv(frame: pl.DataFrame, output: Path) -> None:
    """Write lists, which CSV does not have, as JSON, and texts so that neither spreadsheet nor terminal obeys them."""
    import json

    import polars as pl

    def text_of(column: pl.Series) -> pl.Series:
        convert = _harmless if column.dtype == pl.String else json.dumps
        values = [None if value is None else convert(value) for value in column.to_list()]
        return pl.Series(column.name, values, pl.String)

    texts = [column for column in frame if column.dtype == pl.String or isinstance(column.dtype, pl.List)]
    frame.with_columns(map(text_of, texts)).write_csv(output)


def _harmless(text: str) -> str:
    """Return ``text`` visible, and with an apostrophe before what a spreadsheet would take for a formula."""
    from bench_core.yamlfile import visible

    shown = visible(text, keep="\n")
    return f"'{shown}" if shown.startswith(FORMULA) else shown


def _jsonl(frame: pl.DataFrame, output: Path) -> None:
    """Write a JSON object per trial; what a terminal would obey is escaped as JSON escapes it, so nothing is lost."""
    import io
    import json
    import re

    buffer = io.BytesIO()
    frame.write_ndjson(buffer)
    text = buffer.getvalue().decode()
    hidden = re.compile("[^\n -~]")
    shown = hidden.sub(lambda found: found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1], text)
    output.write_text(shown, encoding="utf-8", newline="\n")
