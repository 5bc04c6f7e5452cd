"""The types of single values in a suite file: names, texts, parameters; and what a validator objects to."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, PlainValidator

from bench_core.yamlfile import Loc, Scalar, shown

NAME_LENGTH = 64


class RuleError(ValueError):
    """What a validator objects to: in our words, at a place relative to the validated value."""

    def __init__(self, message: str, at: Loc = (), first: Loc | None = None) -> None:
        super().__init__(message)
        self.at = at
        self.first = first  # the other place, of a thing that stands in two


class Closed(BaseModel):
    """A mapping of known keys, each of its own type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def line_of_text(text: str) -> str:
    """Return ``text``, which must stand on one line and obey nothing."""
    if not text.isprintable():  # it goes to terminals, which obey escape sequences
        raise RuleError(f"required printable text on one line, got {shown(text)}")
    return text


def lines_of_text(text: str) -> str:
    """Return ``text``, which may have several lines."""
    line_of_text(text.replace("\n", ""))
    return text


def name(text: str) -> str:
    """Labels name rows, files and ``--set label.param=value``: hence what they may not contain."""
    if not 1 <= len(text) <= NAME_LENGTH:
        raise RuleError(f"required a name of 1 to {NAME_LENGTH} characters, got {shown(text)}")
    if not text.isprintable() or text != text.strip() or re.search(r"[/\\.=]", text):
        raise RuleError(f"required a printable name without '/', '\\', '.', '=' or spaces around it, got {shown(text)}")
    return text


def parameter(text: str) -> str:
    """Return the name of a parameter."""
    if not text.isidentifier():
        raise RuleError(f"required the name of a parameter (letters, digits and _), got {shown(text)}")
    return text


def scalar(value: object, at: Loc = ()) -> Scalar:
    """Return a single value, which must be finite and printable."""
    if isinstance(value, float) and not math.isfinite(value):
        raise RuleError(f"required a finite number, got {shown(value)}", at)
    if isinstance(value, str) and not value.isprintable():
        raise RuleError(f"required printable text on one line, got {shown(value)}", at)
    if value is None or isinstance(value, (str, int, float)):
        return value
    raise RuleError(f"required a number, a string, true, false or null, got {shown(value)}", at)


def scalars(values: Iterable[object]) -> list[Scalar]:
    """Return a list of single values."""
    return [scalar(value, (i,)) for i, value in enumerate(values)]


def one_or_more(value: object) -> Scalar | list[Scalar]:
    """Return a single value, or a list of them."""
    return scalars(value) if isinstance(value, list) else scalar(value)


def refuse_repeats(keys: Iterable[object], names: Iterable[object], what: str, at: Loc = ()) -> None:
    """Refuse a list in which a key comes twice; ``at`` is where the key stands in each entry."""
    first: dict[object, int] = {}
    for i, (key, shown_as) in enumerate(zip(keys, names, strict=True)):
        if key in first:
            raise RuleError(f"duplicate {what} {shown(shown_as)}", (i, *at), (first[key], *at))
        first[key] = i


Title: TypeAlias = Annotated[str, AfterValidator(line_of_text)]
Text: TypeAlias = Annotated[str, AfterValidator(lines_of_text)]
Name: TypeAlias = Annotated[str, AfterValidator(name)]
ParameterName: TypeAlias = Annotated[str, AfterValidator(parameter)]
ParameterValue: TypeAlias = Annotated[Scalar | list[Scalar], PlainValidator(one_or_more)]
