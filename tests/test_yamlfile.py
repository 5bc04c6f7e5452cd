from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench_core.errors import SuiteError
from bench_core.yamlfile import Data, Limits, Loc, load, peek, render, resolve, shown, visible

KIB_OF_NOISE = bytes(range(256)) * 4


@pytest.fixture(params=["libyaml", "python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both parsers: PyYAML may have been built without libyaml."""
    if request.param == "python":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    elif not hasattr(yaml, "CSafeLoader"):
        pytest.skip("PyYAML without libyaml")
    return str(request.param)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples of a property."""
    return tmp_path_factory.mktemp("yaml")


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "file.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(folder: Path, content: str | bytes) -> Data:
    return load(write(folder, content)).data


def refusal(folder: Path, content: str | bytes) -> str:
    """Return the message, without the folder."""
    with pytest.raises(SuiteError) as caught:
        load(write(folder, content))
    message = str(caught.value)
    assert "\n" not in message
    assert visible(message) == message
    assert len(message) < 500
    return message.removeprefix(f"{folder}{os.sep}")


def outcome(path: Path) -> str:
    """Return the message of the error, if there is one."""
    try:
        load(path)
    except SuiteError as error:
        return str(error)
    return ""


# ---- scalars ---------------------------------------------------------------------------------------------------------

# https://yaml.org/spec/1.2.2/#103-core-schema, and what YAML 1.1 reads otherwise.
PLAIN = {
    "null": None, "Null": None, "NULL": None, "~": None, "": None,
    "nUll": "nUll", "none": "none", "None": "None",
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    "tRue": "tRue", "yes": "yes", "no": "no", "on": "on", "off": "off", "Yes": "Yes", "NO": "NO", "y": "y", "n": "n",
    "0": 0, "-1": -1, "+12": 12, "0123": 123, "00": 0, "-0": 0, "0o17": 15, "0x1F": 31, "0xff": 255,
    "9223372036854775807": 2**63 - 1, "-9223372036854775808": -(2**63), "0x7fffffffffffffff": 2**63 - 1,
    "-0x1": "-0x1", "0O17": "0O17", "0X1F": "0X1F", "0b11": "0b11", "0o8": "0o8", "1_000": "1_000",
    "190:20:30": "190:20:30",
    "1e-5": 1e-5, "1E5": 1e5, "1e+5": 1e5, ".5": 0.5, "5.": 5.0, "-0.0": -0.0, "+1.5": 1.5, "6.8523015e+5": 685230.15,
    "1.0e-05": 1e-5, "5.e1": 50.0, "0.0": 0.0, "0e9": 0.0, "1e308": 1e308, "5e-324": 5e-324,
    ".inf": math.inf, "-.inf": -math.inf, "+.Inf": math.inf, ".INF": math.inf, ".nan": math.nan, ".NaN": math.nan,
    ".NAN": math.nan, "inf": "inf", "nan": "nan", "-.nan": "-.nan", ".": ".", "e5": "e5", "1e": "1e", "+": "+",
    "1.2.3": "1.2.3",
    "2001-12-14": "2001-12-14", "=": "=", "١٢": "١٢", "1 2": "1 2",
}  # fmt: skip


@pytest.mark.parametrize(("text", "value"), PLAIN.items())
def test_plain_scalars_follow_the_core_schema_of_yaml_1_2(
    tmp_path: Path, parser: str, text: str, value: object
) -> None:
    # repr tells 1 from 1.0 and True, and 0.0 from -0.0
    assert repr(read(tmp_path, f"a: {text}\n")) == repr({"a": value})
    assert repr(resolve(text)) == repr(value)


@pytest.mark.parametrize("text", [text for text in PLAIN if text])
@pytest.mark.parametrize("form", ["a: '{}'\n", 'a: "{}"\n', "a: |-\n  {}\n", "a: >-\n  {}\n"])
def test_quoted_and_block_scalars_are_strings(tmp_path: Path, parser: str, form: str, text: str) -> None:
    assert read(tmp_path, form.format(text)) == {"a": text}


@pytest.mark.parametrize(
    "text",
    [
        "9223372036854775808",
        "-9223372036854775809",
        "0xffffffffffffffff",
        "9" * 5000,
        "0x" + "f" * 200,
        "0o" + "7" * 200,
    ],
)
def test_integers_beyond_64_bits_are_refused(tmp_path: Path, parser: str, text: str) -> None:
    message = refusal(tmp_path, f"x: 1\na: [{text}]\n")
    assert message.startswith(f"file.yaml:2: a[0]: required an integer of at most 64 bits, got {text[:20]}")


@pytest.mark.parametrize("text", ["1e999", "-1e309", "1e-999", "-0.001e-400", "0." + "1" * 500, "1e" + "9" * 5000])
def test_numbers_that_a_float_cannot_hold_are_refused(tmp_path: Path, parser: str, text: str) -> None:
    message = refusal(tmp_path, f"a: {text}\n")
    assert message.startswith("file.yaml:1: a: required a number that a 64-bit float can hold")


@settings(deadline=None)
@given(st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False))
def test_the_repr_of_a_number_is_that_number(value: int | float) -> None:
    assert repr(resolve(repr(value))) == repr(value)


@settings(deadline=None)
@given(st.text("0123456789+-.eExo_:infaNn~tru ", max_size=8))
def test_a_plain_scalar_is_a_number_exactly_where_python_agrees(text: str) -> None:
    """Python's own reading as the oracle: where ours is a number, Python's is the same one."""
    try:
        value = resolve(text)
    except ValueError:
        return
    if isinstance(value, float):
        assert repr(float(text.replace(".inf", "inf").replace(".nan", "nan"))) == repr(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        assert int(text, 0 if text[:2] in ("0x", "0o") else 10) == value


# ---- structure and lines ---------------------------------------------------------------------------------------------

numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers
printable = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp")), max_size=20)
words = st.text("abcdefg ", min_size=1, max_size=12).map(str.strip).map("w{}".format)


def trees(strings: st.SearchStrategy[str]) -> st.SearchStrategy[Data]:
    leaves = scalars | strings
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(strings, inner, max_size=4), max_leaves=20
    )


@settings(deadline=None)
@given(tree=trees(printable), indent=st.none() | st.integers(1, 3))
def test_json_is_read_as_json(folder: Path, tree: Data, indent: int | None) -> None:
    text = json.dumps(tree, ensure_ascii=False, indent=indent)
    assert repr(read(folder, text)) == repr(json.loads(text))


@settings(deadline=None)
@given(tree=trees(words), flow=st.sampled_from([True, False, None]))
def test_data_and_lines_agree_with_pyyaml(folder: Path, tree: Data, flow: bool | None) -> None:
    """Oracles: PyYAML's writer for the data, its composer's marks for the lines."""
    path = write(folder, yaml.safe_dump(tree, default_flow_style=flow, sort_keys=False, width=30))
    document = load(path)
    assert repr(document.data) == repr(tree)
    composed = yaml.compose(path.read_text("utf-8"), Loader=yaml.SafeLoader)
    assert composed is not None
    for loc, line in composed_lines(composed):
        assert document.line(loc) == line


def composed_lines(node: yaml.Node, loc: Loc = ()) -> Iterator[tuple[Loc, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*loc, key.value), key.start_mark.line + 1
            yield from composed_lines(value, (*loc, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            yield (*loc, i), value.start_mark.line + 1
            yield from composed_lines(value, (*loc, i))


TEXT = """\
# a comment
name: x
problems:
  - name: p
    grid:
      m: [50,
          100]
  - &q
    name: q
again: *q
"""

LINES: dict[Loc, int] = {
    (): 2,
    ("name",): 2,
    ("name", "below a scalar"): 2,
    ("problems",): 3,
    ("problems", 0): 4,
    ("problems", 0, "grid", "m"): 6,
    ("problems", 0, "grid", "m", 1): 7,
    ("problems", 0, "grid", "m", 2): 6,
    ("problems", 0, "label"): 4,
    ("problems", 7, "label"): 3,
    ("problems", -1): 3,
    ("problems", "name"): 3,
    ("missing",): 2,
    (3,): 2,
    ("again",): 10,
    ("again", "name"): 9,
}


@pytest.mark.parametrize(("loc", "line"), LINES.items())
def test_a_location_has_the_line_of_its_key_or_of_what_encloses_it(
    tmp_path: Path, parser: str, loc: Loc, line: int
) -> None:
    document = load(write(tmp_path, TEXT))
    assert document.line(loc) == line
    assert document.where(loc) == f"{document.path}:{line}"
    assert str(document.error(loc, "bad")).startswith(f"{document.path}:{line}: ")


def test_a_location_is_rendered_as_people_write_it() -> None:
    assert render(("problems", 0, "grid", "m", 2)) == "problems[0].grid.m[2]"
    assert render(("params", "a b", "\x1b[31m")) == "params.'a b'.'\\x1b[31m'"
    assert render((0,) * 1000) == "[0]" * 8 + "..."


def test_aliases_are_copies(tmp_path: Path, parser: str) -> None:
    data = read(tmp_path, "a: &x {l: [1]}\nb: *x\n")
    assert data == {"a": {"l": [1]}, "b": {"l": [1]}}
    assert isinstance(data, dict)
    assert data["a"] is not data["b"]


@pytest.mark.parametrize(
    "text", ["\ufeffa: 1\n", "a: 1\r\n", "---\na: 1\n...\n", "# only\na: 1", "a: 1 # why\n", "{a: 1}"]
)
def test_harmless_forms_are_read(tmp_path: Path, parser: str, text: str) -> None:
    assert read(tmp_path, text) == {"a": 1}


def test_yaml_1_1_words_are_keys_like_any_other(tmp_path: Path, parser: str) -> None:
    assert read(tmp_path, 'y: 1\non: 2\nno: 3\n"1": 4\n') == {"y": 1, "on": 2, "no": 3, "1": 4}


# ---- refusals --------------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "file.yaml:1: the file is empty"),
    "only comments": ("# nothing\n\n", "file.yaml:1: the file is empty"),
    "nul": (b"name: x\nt: a\0b\n", "file.yaml:2: required UTF-8 text, got the character U+0000"),
    "escape": ("name: \x1b[31mred\n", "file.yaml:1: required UTF-8 text, got the character U+001B"),
    "next line": ("name: a\x85b\n", "file.yaml:1: required UTF-8 text, got the character U+0085"),
    "line separator": ("name: a\u2028b\n", "file.yaml:1: required UTF-8 text, got the character U+2028"),
    "binary": (KIB_OF_NOISE, "file.yaml:2: required UTF-8 text, got the byte 0x80"),
    "latin 1": ("a: 1\nb: ä\n".encode("latin-1"), "file.yaml:2: required UTF-8 text, got the byte 0xe4"),
    "utf 16": ("a: 1\n".encode("utf-16"), "file.yaml:1: required UTF-8 text, got the byte 0xff"),
    "surrogate": (b"a: \xed\xa0\x80\n", "file.yaml:1: required UTF-8 text, got the byte 0xed"),
    "duplicate": ("m:\n  a: 1\n  b: 2\n  a: 3\n", "file.yaml:4: m: duplicate key 'a' (first on line 2)"),
    "duplicate quoted": ('a: 1\n"a": 1\n', "file.yaml:2: duplicate key 'a' (first on line 1)"),
    "duplicate flow": ("x: [{a: 1,\n a: 1}]\n", "file.yaml:2: x[0]: duplicate key 'a' (first on line 1)"),
    "integer key": ("x:\n  1: a\n", 'file.yaml:2: x: required a string as key, got 1; write "1"'),
    "boolean key": ("true: a\n", 'file.yaml:1: required a string as key, got true; write "true"'),
    "null key": ("? \n: a\n", "file.yaml:1: required a string as key, got nothing (null)"),
    "list key": ("? [a]\n: b\n", "file.yaml:1: required a string as key, got an alias, a list or a mapping"),
    "mapping key": ("{a: 1}: b\n", "file.yaml:1: required a string as key, got an alias, a list or a mapping"),
    "alias key": ("a: &x b\n*x : c\n", "file.yaml:2: required a string as key, got an alias, a list or a mapping"),
    "merge key": ("a: &x {b: 1}\nc:\n  <<: *x\n", "file.yaml:3: c: merge keys (<<) are no part of YAML 1.2"),
    "python tag": (
        "a: 1\nb: !!python/object/apply:os.system ['echo']\n",
        "file.yaml:2: b: the tag '!!python/object/apply:os.system' is not allowed",
    ),
    "own tag": ("a: [!foo {b: 1}]\n", "file.yaml:1: a[0]: the tag '!foo' is not allowed"),
    "standard tag": ("a: !!str 1\n", "file.yaml:1: a: the tag '!!str' is not allowed"),
    "verbatim tag": ("a: !<tag:yaml.org,2002:int> '1'\n", "file.yaml:1: a: the tag '!!int' is not allowed"),
    "bare tag": ("a: ! 1\n", "file.yaml:1: a: the tag '!' is not allowed"),
    "tagged key": ("!!str a: 1\n", "file.yaml:1: the tag '!!str' is not allowed"),
    "second document": ("a: 1\n---\nb: 2\n", "file.yaml:2: a second document begins"),
    "version": ("%YAML 1.1\n---\na: yes\n", "file.yaml:1: a line begins with %"),
    "unknown alias": ("a:\n- *x\n", "file.yaml:2: a[0]: unknown alias '*x'"),
    "alias of itself": ("a: &x\n  b: [*x]\n", "file.yaml:2: a.b[0]: the alias '*x' stands inside the value"),
    "unclosed list": ("a: 1\nb: [1, 2\nc: 3\n", "file.yaml:3: b: not valid YAML"),
    "unclosed quote": ("a: 1\nb: 'x\n", "file.yaml:2: b: not valid YAML"),
    "colon": ("title: MMD: a study\n", "file.yaml:1: not valid YAML: mapping values are not allowed"),
    "tab": ("a:\n\tb: 1\n", "file.yaml:2: a: not valid YAML: while scanning for the next token, found character"),
    "indentation": ("a:\n  b: 1\n c: 2\n", "file.yaml:3: "),
    "bad escape": ('a: "\\q"\n', "file.yaml:1: a: not valid YAML"),
    "bad code point": ('a: "\\U0011ffff"\n', "file.yaml:1: a: not valid YAML"),
    "unclosed anchor": ("a: &\n", "file.yaml:1: a: not valid YAML"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_suite_file_may_hold_is_refused_by_file_line_and_key(tmp_path: Path, parser: str, name: str) -> None:
    content, beginning = REFUSED[name]
    assert refusal(tmp_path, content).startswith(beginning)


MEGABYTE = 990_000
LAUGHS = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
HOSTILE: dict[str, tuple[str, str]] = {
    "alias bomb": (LAUGHS, "file.yaml:5: a4[5]: required at most 50,000 keys and values"),
    "alias of long text": (
        f"a: &a {'x' * 9000}\nb: [{'*a,' * 900}]\n",
        "file.yaml:2: b[110]: required at most 1,000,000 characters",
    ),
    "many aliases": ("- &a x\n" + "- *a\n" * 100_000, "file.yaml:1002: [1001]: required at most 1000 aliases"),
    "deep by aliases": (
        "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 40)),
        "file.yaml:32: a31[0]: required at most 32 levels",
    ),
    "deep lists": ("[" * MEGABYTE, "file.yaml:1: "),
    "deep mappings": ("{a: " * (MEGABYTE // 4), "file.yaml:1: a.a.a.a.a.a.a.a...: required at most 32 levels"),
    "deep blocks": ("- " * (MEGABYTE // 2), "file.yaml:1: [0][0][0][0][0][0][0][0]...: required at most 32 levels"),
    "a long list": (
        "[" + "1," * (MEGABYTE // 2) + "]",
        "file.yaml:1: [49999]: required at most 50,000 keys and values",
    ),
    "many keys": (
        "".join(f"k{i}: 1\n" for i in range(80_000)),
        "file.yaml:25000: k24999: required at most 50,000 keys",
    ),
    "a long integer": ("a: " + "9" * MEGABYTE, "file.yaml:1: a: required an integer of at most 64 bits"),
    "a long fraction": ("a: 0." + "9" * MEGABYTE, "file.yaml:1: a: required a number that a 64-bit float can hold"),
    "a long exponent": ("a: 1e" + "9" * MEGABYTE, "file.yaml:1: a: required a number that a 64-bit float can hold"),
    "a long tag": ("a: !" + "x" * MEGABYTE, "file.yaml:1: a: the tag '!xxx"),
    "a long alias": ("a: *" + "x" * MEGABYTE, "file.yaml:1: a: unknown alias '*xxx"),
    "many directives": ("%TAG !a! b\n" * 80_000, "file.yaml:1: a line begins with %"),
    "directives at the end": ("a: 1\n...\n" + "%TAG !a! b\n" * 80_000, "file.yaml:3: a line begins with %"),
    "10 MB": ("a: 1\n" * 2_000_000, "file.yaml: required a file of at most 1,000,000 bytes, got a larger one"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_quickly(tmp_path: Path, name: str) -> None:
    content, beginning = HOSTILE[name]
    start = time.process_time()
    message = refusal(tmp_path, content)
    assert time.process_time() - start < 2  # 0.3 s for the longest on a quiet machine
    assert message.startswith(beginning)
    assert ("required at most 32 levels" in message) == name.startswith("deep")


@pytest.mark.parametrize(
    ("text", "cure"),
    [("title: MMD: a study\n", "put text that contains ': ' in quotes"), ("a:\n\tb: 1\n", "indent with spaces")],
)
def test_the_common_slips_of_syntax_come_with_a_cure(tmp_path: Path, parser: str, text: str, cure: str) -> None:
    assert f"; {cure}" in refusal(tmp_path, text)


def test_each_limit_is_the_last_thing_allowed(tmp_path: Path, parser: str) -> None:
    limits = Limits(size=60, depth=3, nodes=8, aliases=2)
    allowed = ["a: [[[]]]", "[1,2,3,4,5,6,7]", "[&a [x],*a,*a]", "{a: 1, b: {c: 1}, d: 1}"[:-7] + "}", "x" * 60]
    refused = ["a: [[[[]]]]", "[1,2,3,4,5,6,7,8]", "[&a x,*a,*a,*a]", "[&a [x,x],*a,*a]", "x" * 61]
    for text in allowed:
        load(write(tmp_path, text), limits)
    for text in refused:
        with pytest.raises(SuiteError, match=r"required (at most|a file of at most)"):
            load(write(tmp_path, text), limits)


# ---- what is no file -------------------------------------------------------------------------------------------------


def test_what_is_no_readable_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    cases = {
        tmp_path: "is a directory, required a YAML file",
        tmp_path / "none.yaml": "no such file",
        tmp_path / "pipe.yaml": "is no regular file, required a YAML file",
        tmp_path / ("x" * 400): "cannot be read: File name too long",
        tmp_path / "a\0b": "cannot be read: embedded null byte",
    }
    for path, words in cases.items():
        with pytest.raises(SuiteError) as caught:
            load(path)
        assert str(caught.value) == f"{visible(str(path))}: {words}"


def test_a_hostile_file_name_is_escaped(tmp_path: Path) -> None:
    path = tmp_path / "\x1b[31m.yaml"
    path.write_text("a: [")
    with pytest.raises(SuiteError) as caught:
        load(path)
    assert "\\x1b[31m.yaml:1: " in str(caught.value)


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=200) | st.text("ab:-[]{}&*!|>'\"#%? \n\t1.~,", max_size=60).map(str.encode))
def test_any_bytes_give_data_or_one_error(folder: Path, content: bytes) -> None:
    message = outcome(write(folder, content))
    assert visible(message) == message


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.text("ab:-[]{}&*!|>'\"#%? \n\t1.~,\\Uud", max_size=60))
def test_any_text_gives_data_or_one_error_without_libyaml(
    folder: Path, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    message = outcome(write(folder, content))
    assert visible(message) == message


# ---- words -----------------------------------------------------------------------------------------------------------


def test_values_are_shown_in_yaml_s_words_and_short() -> None:
    values = [None, True, 3, 1e-5, math.nan, -math.inf, {}, {"a": 1}, [], [1], "no", "\x1b[31m\u202e"]
    words = "nothing (null)|true|3|1e-05|.nan|-.inf|an empty mapping|a mapping|an empty list|a list|'no'"
    assert [shown(value) for value in values] == [*words.split("|"), "'\\x1b[31m\\u202e'"]


@settings(deadline=None)
@given(st.text())
def test_shown_text_is_short_and_printable(text: str) -> None:
    assert len(shown(text * 10)) <= 60
    assert shown(text).isprintable()
    assert visible(text).isprintable()


# ---- peek ------------------------------------------------------------------------------------------------------------


def test_peek_gives_name_and_title(tmp_path: Path) -> None:
    assert peek(write(tmp_path, "title: A title\nname: x\nunknown: [1]\n")) == ("x", "A title")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "1: required a mapping, got a list"),
        ("title: t\n", "1: name: required key is missing"),
        ("name: x\ntitle: 3\n", "2: title: required a string, got 3"),
        ('name: x\ntitle: "\\e[31m"\n', "2: title: required printable text on one line, got '\\x1b[31m'"),
    ],
)
def test_peek_refuses_what_it_could_not_list(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SuiteError) as caught:
        peek(write(tmp_path, text))
    assert str(caught.value) == f"{tmp_path / 'file.yaml'}:{message}"


def test_the_module_imports_nothing_heavy() -> None:
    """`bench list suites` has 0.3 s."""
    code = "import sys, bench_core.yamlfile; print(sorted({m.split('.')[0] for m in sys.modules}))"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for heavy in ("pydantic", "torch", "numpy", "polars", "scipy", "rich"):
        assert f"'{heavy}'" not in modules
