"""How ``compare``, ``power`` and ``verify`` lay out sentences, tables and JSON."""

from __future__ import annotations

import io
import json
import math
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench_core.cli.common import columns

if TYPE_CHECKING:
    from rich.table import Table

WIDTH = 100
"""Sentences are not wider than this, whatever the terminal."""


def width() -> int:
    """Return the width of what is printed."""
    return min(max(columns(), 60), WIDTH)


def safe(text: str, *, keep: str = "") -> str:
    """Return a text that no terminal obeys."""
    from bench_core.yamlfile import visible

    return visible(text, keep=keep)


def wrapped(text: str, head: str = "", indent: str = "") -> list[str]:
    """Return the lines of ``head`` and a sentence, those after the first one indented."""
    return textwrap.wrap(
        f"{safe(head)}{safe(text)}",
        width(),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )


def table_text(table: Table) -> str:
    """Return a table as lines without colors."""
    from rich.console import Console

    file = io.StringIO()
    Console(file=file, width=width()).print(table)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()).strip("\n")


def json_text(document: Any) -> str:
    """Return JSON with null for what is infinite or not a number."""
    return json.dumps(_jsonable(document), indent=1, allow_nan=False)


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _jsonable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
