"""What methods and problems have in common: their class, its documentation and its parameters."""

from __future__ import annotations

import ast
import inspect
import json
import math
import re
import textwrap
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Protocol

from pydantic import ValidationError

from bench_core.parameters import Parameters, quick_parameters
from bench_core.seeds import canonical
from bench_core.testing.checks import Contract, NotApplicableError, ViolationError

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
NUMBERS = ("integer", "number")
BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


class Configured(Protocol):
    """A laboratory of a class with parameters."""

    @property
    def cls(self) -> type[Parameters]:
        """The class."""


contract = Contract[Configured]()


@contract.demand("documented", "The class and each parameter have a docstring.")
def documented(lab: Configured) -> None:
    cls = lab.cls
    require_docstring(cls)
    silent = [name for name, field in cls.model_fields.items() if not (field.description or "").strip()]
    if silent:
        written = _documented_in_source(cls)
        silent = [name for name in silent if name not in written]
    if silent:
        raise ViolationError(
            "a docstring under each parameter",
            f"none under {', '.join(silent)}",
            'put """What it means, and its unit.""" on the line below the field',
        )


def _documented_in_source(cls: type) -> set[str]:
    """Return the fields under which a text stands in the source of ``cls`` and its base classes.

    Before Python 3.13 pydantic misses them all in a file that the process has loaded under another name as well.
    """
    found = set()
    for base in cls.__mro__:
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        except (OSError, TypeError, SyntaxError):  # there is no source
            continue
        for field, below in pairwise(getattr(tree.body[0], "body", [])):
            if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
                continue
            text = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else None
            if isinstance(text, str) and text.strip():
                found.add(field.target.id)
    return found


def require_docstring(cls: type) -> None:
    """Require a docstring of the class itself, as ``bench list`` shows it."""
    if not (vars(cls).get("__doc__") or "").strip():
        raise ViolationError(
            "a docstring of the class",
            f"none on {cls.__name__}",
            f'put """One sentence on what it does.""" below `class {cls.__name__}`; `bench list` shows it',
        )


@contract.demand("bounded", "Each parameter that is a number has a bound on at least one side.")
def bounded(lab: Configured) -> None:
    schema = lab.cls.model_json_schema()
    free = [name for name, node in schema.get("properties", {}).items() if _is_unbounded(node, schema.get("$defs", {}))]
    if free:
        raise ViolationError(
            "a bound on at least one side of each number",
            f"none for {', '.join(free)}",
            "write Field(default, gt=0), or ge, lt, le: what makes no sense is then refused before anything runs",
        )


def _is_unbounded(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> bool:
    if "$ref" in node:
        return _is_unbounded(definitions[node["$ref"].rpartition("/")[2]], definitions)
    if node.get("type") in NUMBERS and "enum" not in node and "const" not in node:
        return not any(bound in node for bound in BOUNDS)
    return any(_is_unbounded(part, definitions) for part in _parts(node))


def _parts(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for key in ("anyOf", "allOf", "oneOf", "prefixItems"):
        yield from node.get(key, [])
    yield from (part for key in ("items", "additionalProperties") if isinstance(part := node.get(key), Mapping))
    yield from node.get("properties", {}).values()


@contract.demand("defaults", "It can be made without arguments, and has a plain name and a version.")
def defaults(lab: Configured) -> None:
    cls = lab.cls
    require_name(getattr(cls, "name", None))
    if not isinstance(cls.version, str) or not re.fullmatch(r"[\w.+-]{1,40}", cls.version):
        raise ViolationError(
            'a version such as "1"', f"{cls.version!r}", 'write version = "1"; raise it with the numbers'
        )
    try:
        cls()
    except ValidationError as error:
        raise ViolationError(
            f"that {cls.__name__}() works", one_line(error), "give each field a default that its bounds allow"
        ) from None
    try:
        cls(**quick_parameters(cls))
    except ValidationError as error:
        raise ViolationError(
            "a `quick` that the parameters accept",
            one_line(error),
            "name parameters of the class in `quick`, with values that their bounds allow; the other checks use it",
        ) from None


def require_name(name: object) -> None:
    """Require a name that a suite, a file and a command line can hold."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ViolationError(
            "a name of at most 40 letters, digits, '_' and '-' that begins with a letter",
            f"{name!r}",
            'write name = "my_name" in the class',
        )


def one_line(error: ValidationError) -> str:
    """Return the first thing that pydantic refused."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    return f"{key}: {first['msg']}" if key else first["msg"]


@contract.demand("closed", "Parameters that do not exist are refused, and so is NaN.")
def closed(lab: Configured) -> None:
    cls = lab.cls
    schema = cls.model_json_schema().get("properties", {})
    numbers = [name for name, node in schema.items() if node.get("type") == "number"]
    refused: list[dict[str, Any]] = [{"no_such_parameter": 1}, *({name: math.nan} for name in numbers)]
    for params in refused:
        try:
            cls(**params)
        except ValidationError:
            continue
        ((name, value),) = params.items()
        raise ViolationError(
            f"that {cls.__name__}({name}={value}) is refused",
            "it was accepted, so a misspelt parameter in a suite would be ignored",
            "leave model_config as bench_core sets it: extra='forbid', allow_inf_nan=False",
        )


@contract.demand("plain data", "Parameters survive the way to another process, which is JSON.")
def plain(lab: Configured) -> None:
    try:
        made = lab.cls()
    except ValidationError:
        raise NotApplicableError("it cannot be made without arguments") from None
    cure = "use numbers, strings, booleans, null and Literal; validate a list from JSON with Field(strict=False)"
    try:
        values = json.loads(canonical(made.values()))
        again = lab.cls(**values)
    except ValidationError as error:
        raise ViolationError(f"that {lab.cls.__name__}(**values()) works", one_line(error), cure) from None
    except (TypeError, ValueError) as error:
        raise ViolationError("values() that JSON can say", f"{type(error).__name__}: {error}", cure) from None
    if again != made:
        lost = [name for name, value in values.items() if again.values().get(name) != value]
        raise ViolationError("the same parameters after the way", f"other ones: {', '.join(lost) or 'unequal'}", cure)
