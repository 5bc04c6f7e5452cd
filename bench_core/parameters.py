"""Closed, validated, documented parameters: what methods and problems are configured by."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

Scalar = bool | int | float | str | None
"""What a parameter may be in a suite file."""


class Parameters(BaseModel):
    """A class whose typed fields are its parameters.

    Unknown names, wrong types, NaN and infinities are refused; the docstring under a field documents it.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        validate_default=True,
    )

    name: ClassVar[str]
    """The name under which suites know it."""
    version: ClassVar[str] = "1"
    """Raise it when the same parameters give other numbers: stored results of another version are not reused."""
    quick: ClassVar[Mapping[str, Any]] = {}
    """Parameters of a small, easy instance, on which contract checks run; those of the base classes count as well."""
    added: ClassVar[frozenset[str]] = frozenset()
    """Parameters of a later release whose default leaves every number as it was.

    At their default they enter neither trial ids nor random streams, so that stored trials stay what they are.
    """

    def values(self) -> dict[str, Any]:
        """Return every parameter with its value, defaults included."""
        return self.model_dump(mode="json")

    def identity(self) -> dict[str, Any]:
        """Return the parameters that enter trial ids: all but those in ``added`` that have their default."""
        fields = type(self).model_fields
        new = {
            name for name in self.added if getattr(self, name) == fields[name].get_default(call_default_factory=True)
        }
        return {name: value for name, value in self.values().items() if name not in new}


def quick_parameters(cls: type[Parameters]) -> dict[str, Any]:
    """Return ``quick`` of ``cls`` and of its base classes, the nearest first."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        found |= vars(base).get("quick", {})
    return found


class ParameterDoc(NamedTuple):
    """One line of ``bench show NAME``."""

    name: str
    type: str
    default: str
    bounds: str
    doc: str


def describe(cls: type[Parameters]) -> list[ParameterDoc]:
    """Return name, type, default, bounds and documentation of every parameter of ``cls``."""
    return [_describe_field(name, field) for name, field in cls.model_fields.items()]


def _describe_field(name: str, field: FieldInfo) -> ParameterDoc:
    default = "required"
    if not field.is_required():
        default = json.dumps(field.get_default(call_default_factory=True), default=str)
    annotation = field.annotation
    shown = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    return ParameterDoc(
        name=name,
        type=re.sub("None(Type)?", "null", re.sub(r"typing\.|Literal", "", shown)).strip("[]"),
        default=default,
        bounds=", ".join(_bound(item) for item in field.metadata if _bound(item)),
        doc=" ".join((field.description or "").split()),
    )


def _bound(item: object) -> str:
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    return " ".join(f"{sign} {getattr(item, key)}" for key, sign in signs.items() if hasattr(item, key))
