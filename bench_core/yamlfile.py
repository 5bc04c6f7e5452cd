"""A YAML file as plain data that still knows its lines: strict, bounded, without tags.

PyYAML contributes its event stream only. The tree is built here, because a loader would resolve scalars by YAML 1.1
(``1e-5`` a string, ``no`` a boolean), keep the last of two equal keys, expand aliases without bound and lose the lines.
"""

from __future__ import annotations

import math
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import yaml

from bench_core.errors import SuiteError

Scalar: TypeAlias = str | int | float | bool | None
Data: TypeAlias = "dict[str, Data] | list[Data] | Scalar"
Loc: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a file may hold. Nodes and characters are counted with every alias expanded."""

    size: int = 1_000_000  # bytes
    depth: int = 32
    nodes: int = 50_000  # keys and values
    aliases: int = 1000


@dataclass(frozen=True)
class Document:
    """The content of one file, and where each part of it stands."""

    path: Path
    data: Data
    _root: _Entry = field(repr=False)

    def line(self, loc: Loc) -> int:
        """Return the 1-based line of the key or item at ``loc``, or of what encloses it when there is none."""
        line, node = self._root
        for step in loc:
            entry = node.child(step)
            if entry is None:
                break
            line, node = entry
        return line

    def where(self, loc: Loc) -> str:
        """Return ``FILE:LINE``."""
        return f"{visible(str(self.path))}:{self.line(loc)}"

    def error(self, loc: Loc, message: str) -> SuiteError:
        """Return the error ``FILE:LINE: KEY.PATH: message``."""
        return _error(self.where(loc), loc, message)


def load(path: Path, limits: Limits | None = None) -> Document:
    """Read ``path`` and return its data and lines.

    Raises:
        SuiteError: it cannot be read, is no single YAML document, or uses what a suite file may not: tags, directives,
            duplicate keys, keys that are no strings, more than ``limits`` allow.
    """
    limits = limits or Limits()
    root = _Builder(path, _read(path, limits), limits).document()
    return Document(path, root[1].plain(), root)


def peek(path: Path) -> tuple[str, str]:
    """Return the name and the title of the suite in ``path``; the rest of it is parsed but not validated."""
    document = load(path)
    if not isinstance(document.data, dict):
        raise document.error((), f"required a mapping, got {shown(document.data)}")
    return _text(document, document.data, "name"), _text(document, document.data, "title")


def _text(document: Document, data: dict[str, Data], key: str) -> str:
    if key not in data:
        raise document.error((key,), "required key is missing")
    value = data[key]
    if not isinstance(value, str):
        raise document.error((key,), f"required a string, got {shown(value)}")
    if not value.isprintable():  # it goes to the terminal, which obeys escape sequences
        raise document.error((key,), f"required printable text on one line, got {shown(value)}")
    return value


def render(loc: Loc) -> str:
    """Return a location as people write it.

    >>> render(("problems", 0, "grid", "m"))
    'problems[0].grid.m'
    """
    steps = [f"[{step}]" if isinstance(step, int) else f".{_key(step)}" for step in loc]
    return "".join(steps[:8]).removeprefix(".") + ("..." if len(steps) > 8 else "")


def _key(key: str) -> str:
    return key if re.fullmatch(r"[\w-]{1,60}", key) else shown(key)


def shown(value: object) -> str:
    """Return a value as an error message shows it: in YAML's words, on one line, at most about 60 characters.

    >>> shown(True), shown({"a": 1}), shown("no")
    ('true', 'a mapping', "'no'")
    """
    match value:
        case None:
            return "nothing (null)"
        case bool():
            return str(value).lower()
        case float() if not math.isfinite(value):
            return f".{value}" if value != -math.inf else "-.inf"
        case dict():
            return "a mapping" if value else "an empty mapping"
        case list():
            return "a list" if value else "an empty list"
        case str() if len(repr(value)) > 60:
            return repr(value[:56])[:56] + "...'"
    return repr(value)


def visible(text: str, *, keep: str = "") -> str:
    """Return ``text`` with everything escaped that a terminal would obey rather than show, but for ``keep``."""
    if text.isprintable():  # nearly always, and a thousand times faster
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode("ascii") for c in text)


def _error(where: str, loc: Loc, message: str) -> SuiteError:
    text = visible(message, keep="\n")  # part of it may be a plugin's, whose own lines stay lines
    return SuiteError(": ".join([where, render(loc), text] if loc else [where, text]))


# ---- bytes -> text ---------------------------------------------------------------------------------------------------

# What is no text, and the line breaks that YAML 1.1 has and YAML 1.2 (and every editor) has not.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


def _read(path: Path, limits: Limits) -> str:
    file = visible(str(path))
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise SuiteError(f"{file}: is a directory, required a YAML file")
        if not stat.S_ISREG(mode):  # a pipe would block for ever
            raise SuiteError(f"{file}: is no regular file, required a YAML file")
        with path.open("rb") as stream:
            raw = stream.read(limits.size + 1)
    except FileNotFoundError:
        raise SuiteError(f"{file}: no such file") from None
    except OSError as error:
        raise SuiteError(f"{file}: cannot be read: {error.strerror}") from None
    except ValueError as error:  # a NUL in the path
        raise SuiteError(f"{file}: cannot be read: {error}") from None
    if len(raw) > limits.size:
        raise SuiteError(f"{file}: required a file of at most {limits.size:,} bytes, got a larger one")
    return _decode(file, raw)


def _decode(file: str, raw: bytes) -> str:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise SuiteError(
            f"{file}:{line}: required UTF-8 text, got the byte 0x{error.object[error.start]:02x}"
        ) from None
    bad = _FORBIDDEN.search(text)
    if bad:
        line = text.count("\n", 0, bad.start()) + 1
        raise SuiteError(f"{file}:{line}: required UTF-8 text, got the character U+{ord(bad.group()):04X}")
    # The parser compares every %TAG with every other one: 1 MB of them would take a minute.
    directive = re.search("^%", text, re.MULTILINE)
    if directive:
        line = text.count("\n", 0, directive.start()) + 1
        raise SuiteError(f"{file}:{line}: a line begins with %: YAML directives are not supported; remove the line")
    return text


# ---- text -> tree ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Node:
    value: dict[str, _Entry] | list[_Entry] | Scalar
    nodes: int = 1  # in this tree, aliases expanded; the next two likewise
    characters: int = 0
    height: int = 0

    def child(self, step: str | int) -> _Entry | None:
        if isinstance(self.value, dict) and isinstance(step, str):
            return self.value.get(step)
        if isinstance(self.value, list) and isinstance(step, int) and 0 <= step < len(self.value):
            return self.value[step]
        return None

    def plain(self) -> Data:
        if isinstance(self.value, dict):
            return {key: node.plain() for key, (_, node) in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for _, node in self.value]
        return self.value


_Entry: TypeAlias = tuple[int, _Node]  # the line of the key or the item, and what stands there


class _Builder:
    """Builds one tree from the events of one text; refuses it as soon as a limit is passed."""

    def __init__(self, path: Path, text: str, limits: Limits) -> None:
        self._file = visible(str(path))
        self._limits = limits
        # libyaml is several times faster, but PyYAML may have been built without it.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=loader)
        self._lines = text.count("\n") + (not text.endswith("\n"))
        self._loc: list[str | int] = []
        self._anchors: dict[str, _Node | None] = {}  # None: still open
        self._aliases = 0
        self._nodes = 0
        self._characters = 0

    def document(self) -> _Entry:
        self._next()  # the stream's start
        event = self._next()
        if isinstance(event, yaml.StreamEndEvent):
            raise self._error(1, "the file is empty, required a mapping")
        event = self._next()
        root = (min(_line(event), self._lines), self._node(event))
        self._next()  # the document's end
        event = self._next()
        if not isinstance(event, yaml.StreamEndEvent):
            raise self._error(_line(event), "a second document begins, required only one; remove it")
        return root

    def _next(self) -> yaml.Event:
        try:
            return next(self._events)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = min(mark.line + 1, self._lines) if mark else 1  # the parser counts on past the end
            # PyYAML 6.0.4 has a limit of its own, and meets it before we see what it has read.
            too_deep = "nesting depth" in str(error)
            what = self._too_deep() if too_deep else f"not valid YAML: {_syntax(error)}"
            raise self._error(line, what) from None
        except (yaml.YAMLError, ValueError, OverflowError) as error:  # PyYAML's own parser lets chr() overflow
            raise self._error(1, f"not valid YAML: {shown(str(error))}") from None

    def _error(self, line: int, message: str) -> SuiteError:
        return _error(f"{self._file}:{line}", tuple(self._loc), message)

    def _node(self, event: yaml.Event) -> _Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        assert isinstance(event, yaml.NodeEvent)
        self._check_tag(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        node = self._content(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _content(self, event: yaml.Event) -> _Node:
        self._charge(event, 1, 0, 0)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence()
        return self._mapping()

    def _scalar(self, event: yaml.ScalarEvent) -> _Node:
        self._charge(event, 0, len(event.value), 0)
        if event.style not in (None, ""):  # quoted, or a block
            return _Node(event.value, characters=len(event.value))
        try:
            return _Node(resolve(event.value), characters=len(event.value))
        except ValueError as error:
            raise self._error(_line(event), str(error)) from None

    def _sequence(self) -> _Node:
        items: list[_Entry] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            self._loc.append(len(items))
            items.append((_line(event), self._node(event)))
            self._loc.pop()
        return _collection(items, [node for _, node in items])

    def _mapping(self) -> _Node:
        entries: dict[str, _Entry] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._mapping_key(event)
            if key in entries:
                raise self._error(_line(event), f"duplicate key {shown(key)} (first on line {entries[key][0]})")
            self._loc.append(key)
            entries[key] = (_line(event), self._node(self._next()))
            self._loc.pop()
        return _collection(entries, [node for _, node in entries.values()], keys=entries)

    def _mapping_key(self, event: yaml.Event) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            raise self._error(_line(event), "required a string as key, got an alias, a list or a mapping")
        key = self._node(event).value
        if not isinstance(key, str):
            raise self._error(
                _line(event), f'required a string as key, got {shown(key)}; write "{visible(event.value)}"'
            )
        if key == "<<" and event.style in (None, ""):
            raise self._error(_line(event), "merge keys (<<) are no part of YAML 1.2; write the keys out")
        return key

    def _alias(self, event: yaml.AliasEvent) -> _Node:
        assert event.anchor is not None
        name = shown("*" + event.anchor)
        if event.anchor not in self._anchors:
            raise self._error(_line(event), f"unknown alias {name}")
        node = self._anchors[event.anchor]
        if node is None:
            raise self._error(_line(event), f"the alias {name} stands inside the value that it names")
        self._aliases += 1
        if self._aliases > self._limits.aliases:
            raise self._error(_line(event), f"required at most {self._limits.aliases} aliases, got more")
        self._charge(event, node.nodes, node.characters, node.height)
        return node

    def _check_tag(self, event: yaml.NodeEvent) -> None:
        tag = getattr(event, "tag", None)
        if tag is not None:
            name = tag.replace("tag:yaml.org,2002:", "!!")
            raise self._error(_line(event), f"the tag {shown(name)} is not allowed; remove it")

    def _too_deep(self) -> str:
        return f"required at most {self._limits.depth} levels of nesting, got more"

    def _charge(self, event: yaml.Event, nodes: int, characters: int, height: int) -> None:
        """Count what is about to be added, before it is."""
        self._nodes += nodes
        self._characters += characters
        if len(self._loc) + height > self._limits.depth:
            raise self._error(_line(event), self._too_deep())
        if self._nodes > self._limits.nodes:
            raise self._error(_line(event), f"required at most {self._limits.nodes:,} keys and values, got more")
        if self._characters > self._limits.size:
            raise self._error(_line(event), f"required at most {self._limits.size:,} characters with aliases, got more")


def _collection(
    value: dict[str, _Entry] | list[_Entry], children: list[_Node], keys: dict[str, _Entry] | None = None
) -> _Node:
    names = keys or {}
    return _Node(
        value,
        nodes=1 + len(names) + sum(child.nodes for child in children),
        characters=sum(map(len, names)) + sum(child.characters for child in children),
        height=1 + max((child.height for child in children), default=0),
    )


_CURES = {
    "mapping values are not allowed": "; put text that contains ': ' in quotes",
    "cannot start any token": "; indent with spaces, and put text that begins with a sign in quotes",
}


def _syntax(error: yaml.MarkedYAMLError) -> str:
    words = visible(", ".join(filter(None, (error.context, error.problem))))
    return words + "".join(cure for symptom, cure in _CURES.items() if symptom in words)


def _line(event: yaml.Event) -> int:
    assert event.start_mark is not None
    return event.start_mark.line + 1


# ---- the core schema of YAML 1.2 (section 10.3.2) --------------------------------------------------------------------

_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **{sign + word: math.inf for sign in ("", "+") for word in (".inf", ".Inf", ".INF")},
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_INTEGERS = ((re.compile("[-+]?[0-9]+"), 10), (re.compile("0o[0-7]+"), 8), (re.compile("0x[0-9a-fA-F]+"), 16))
_FLOAT = re.compile(r"([-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?))(?:[eE][-+]?[0-9]+)?")
_DIGITS = 100  # more than any 64-bit number needs; keeps int() and float() off a million digits


def resolve(text: str) -> Scalar:
    """Return the value of a plain (unquoted) scalar.

    >>> [resolve(text) for text in ("1e-5", "0x10", "no", "~")]
    [1e-05, 16, 'no', None]

    Raises:
        ValueError: it is a number that 64 bits cannot hold.
    """
    if text in _WORDS:
        return _WORDS[text]
    for pattern, base in _INTEGERS:
        if pattern.fullmatch(text):
            return _integer(text, base)
    match = _FLOAT.fullmatch(text)
    return _float(text, mantissa=match[1]) if match else text


def _integer(text: str, base: int) -> int:
    # Python's prefixes are YAML's, but base 0 would refuse leading zeros, which the core schema allows.
    value = int(text, base) if len(text) <= _DIGITS else None
    if value is None or not -(2**63) <= value < 2**63:
        raise ValueError(f"required an integer of at most 64 bits, got {_cut(text)}")
    return value


def _float(text: str, mantissa: str) -> float:
    value = float(text) if len(text) <= _DIGITS else math.inf
    vanished = value == 0 and mantissa.strip("+-0.")
    if math.isinf(value) or vanished:
        raise ValueError(f"required a number that a 64-bit float can hold, got {_cut(text)}")
    return value


def _cut(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:30]}... ({len(text)} characters)"
