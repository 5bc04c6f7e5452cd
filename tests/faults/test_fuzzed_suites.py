"""Ten thousand suites mutated from the shipped ones: each is a plan that means what its file says, or one error.

The oracle reads the file on its own: PyYAML's composer for the structure, the core schema of YAML 1.2 written down here
once more for the scalars, and the defaults of the suite file's contract. It knows none of the harness's models.
"""

from __future__ import annotations

import copy
import itertools
import math
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench_core.errors import BenchError
from bench_core.plan import Plan, make_plan
from bench_core.plugins import Plugins
from bench_core.suite import Suite, load_suite
from bench_core.yamlfile import load

Tree = Any
"""What a file says: mappings, lists and scalars."""

SHIPPED = sorted((Path(__file__).resolve().parents[2] / "suites").glob("*.yaml"))
SECONDS = 2.0
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""What scans and parses; libyaml, where PyYAML has it."""


# ---- the oracle: an independent reading ------------------------------------------------------------------------------

# https://yaml.org/spec/1.2.2/#1032-tag-resolution, line by line.
CORE = (
    (re.compile(r"(?:null|Null|NULL|~|)\Z"), lambda text: None),
    (re.compile(r"(?:true|True|TRUE)\Z"), lambda text: True),
    (re.compile(r"(?:false|False|FALSE)\Z"), lambda text: False),
    (re.compile(r"[-+]?[0-9]+\Z"), int),
    (re.compile(r"0o[0-7]+\Z"), lambda text: int(text[2:], 8)),
    (re.compile(r"0x[0-9a-fA-F]+\Z"), lambda text: int(text[2:], 16)),
    (re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z"), float),
    (re.compile(r"[-+]?(?:\.inf|\.Inf|\.INF)\Z"), lambda text: -math.inf if text[0] == "-" else math.inf),
    (re.compile(r"(?:\.nan|\.NaN|\.NAN)\Z"), lambda text: math.nan),
)


class Reading(yaml.composer.Composer, LOADER):  # type: ignore[misc, valid-type]
    """PyYAML's composer, but that an anchor may be set again, as YAML 1.2 allows (section 3.2.2.2)."""

    def __init__(self, text: str) -> None:
        LOADER.__init__(self, text)
        self.anchors: dict[str, yaml.Node] = {}

    def compose_node(self, parent: yaml.Node | None, index: Tree) -> yaml.Node | None:
        event = self.peek_event()
        if not isinstance(event, yaml.AliasEvent):
            self.anchors.pop(event.anchor, None)
        return super().compose_node(parent, index)


def composed(text: str) -> yaml.Node:
    node = yaml.compose(text, Loader=Reading)
    assert node is not None
    return node


def value_of(node: yaml.ScalarNode) -> Tree:
    if node.style in ("'", '"', "|", ">"):
        return node.value
    # The digits are ASCII ones: \Z with [0-9] leaves none of Unicode's.
    return next((read(node.value) for pattern, read in CORE if pattern.match(node.value)), node.value)


def tree_of(node: yaml.Node) -> Tree:
    if isinstance(node, yaml.MappingNode):
        keys = [tree_of(key) for key, _ in node.value]
        assert all(isinstance(key, str) for key in keys), "a key that is no string was accepted"
        assert len(set(keys)) == len(keys), "a duplicate key was accepted"
        return dict(zip(keys, (tree_of(value) for _, value in node.value), strict=True))
    if isinstance(node, yaml.SequenceNode):
        return [tree_of(item) for item in node.value]
    assert isinstance(node, yaml.ScalarNode)
    return value_of(node)


def said_by(text: str) -> Tree:
    """Return what an accepted file says."""
    assert not any(isinstance(token, yaml.TagToken | yaml.DirectiveToken) for token in yaml.scan(text, Loader=LOADER))
    return tree_of(composed(text))


def assert_same(said: Tree, meant: Tree, at: str = "") -> None:
    """What stands in the file is in the model, of the same type, and what the model adds is a default."""
    if isinstance(said, dict) and isinstance(meant, dict):
        assert said.keys() <= meant.keys(), f"{at}: lost {said.keys() - meant.keys()}"
        for key, value in meant.items():
            if key in said:
                assert_same(said[key], value, f"{at}.{key}")
            else:
                assert_default(key, value, meant, at)
    elif isinstance(said, list) and isinstance(meant, list):
        assert len(said) == len(meant), at
        for index, (one, other) in enumerate(zip(said, meant, strict=True)):
            assert_same(one, other, f"{at}[{index}]")
    elif (at == ".timeout" or at.startswith(".claims[")) and is_whole_for(meant, said):
        assert meant == float(said), at
    else:
        assert repr(said) == repr(meant), f"{at}: says {said!r}, means {meant!r}"


def assert_default(key: str, value: Tree, around: dict[str, Tree], at: str) -> None:
    if key == "label":
        assert value == around["name"], at
    elif key == "report":
        assert value == {"metric": around["metrics"][0], "x": None}, at
    else:
        defaults = {"seed": 0, "timeout": 600.0} | {"margin": 0.0, "scope": "every", "family": "primary"}
        defaults |= {"tolerance": 0.0, "spread": "unknown"}
        assert value in (defaults.get(key), None, "", {}, []), f"{at}.{key}: {value!r}"
        assert not (key in ("seed", "timeout") and not isinstance(value, int | float)), f"{at}.{key}: {value!r}"


def points(grid: dict[str, list[Tree]]) -> Iterator[dict[str, Tree]]:
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def contains(params: dict[str, Tree], said: dict[str, Tree]) -> bool:
    """Return whether parameters are as the file says; a whole number may stand for a float, true for nothing else."""
    return all(
        key in params and repr(params[key]) == repr(float(value) if is_whole_for(params[key], value) else value)
        for key, value in said.items()
    )


def is_whole_for(parameter: Tree, value: Tree) -> bool:
    return type(parameter) is float and type(value) is int


def assert_planned(said: Tree, plan: Plan) -> None:
    """The plan has a cell for every combination that the file asks for, and no other."""
    problems = [
        (entry["name"], {**entry.get("params", {}), **point})
        for entry in said["problems"]
        for point in points(entry.get("grid", {}))
    ]
    wanted = []
    for entry in said["methods"]:
        select, trials = entry.get("select"), entry.get("trials") or said["trials"]
        settings = points(select["grid"]) if select else [{}]
        for point in settings:
            params = {**entry.get("params", {}), **point}
            split = ("select", select["trials"]) if select else ("main", trials)
            wanted += [(entry.get("label", entry["name"]), entry["name"], params, split, each) for each in problems]
    missing = list(plan.cells)
    for label, method, params, (split, trials), (problem, problem_params) in wanted:
        found = [
            cell
            for cell in missing
            if (cell.label, cell.method, cell.problem, cell.split) == (label, method, problem, split)
            and contains(dict(cell.method_params), params)
            and contains(dict(cell.problem_params), problem_params)
        ]
        if not found:
            assert split == "select", f"no cell for {label} with {params} on {problem} with {problem_params}"
            continue  # a method that cannot run on a problem is not tuned on it
        assert found[0].trials == trials
        assert found[0].seed == said.get("seed", 0)
        missing.remove(found[0])
    assert missing == []


# ---- errors ----------------------------------------------------------------------------------------------------------

MESSAGE = re.compile(r"(?P<line>[0-9]+): (?:(?P<key>[A-Za-z_]\w*(?:\.\w+|\[[0-9]+\])*): )?(?P<words>.+)")


def assert_told(message: str, path: Path) -> None:
    """One printable line that begins with FILE:LINE, a line that exists, and the line of the key that it names."""
    assert message.isprintable(), message
    assert message.startswith(f"{path}:"), message
    match = MESSAGE.fullmatch(message.removeprefix(f"{path}:"))
    assert match, message
    lines = path.read_bytes().count(b"\n") + 1
    assert 1 <= int(match["line"]) <= lines, message
    assert len(message) < 1000, message
    if match["key"] and is_yaml(path):
        assert int(match["line"]) == line_of(composed(path.read_text("utf-8-sig")), match["key"]), message


def is_yaml(path: Path) -> bool:
    try:
        load(path)
    except BenchError:
        return False
    return True


def line_of(node: yaml.Node, key: str) -> int:
    """Return the line of a key, or of what encloses it where the file has no such key."""
    line = node.start_mark.line
    for name, index in re.findall(r"(\w+)|\[([0-9]+)\]", key):
        # An index in brackets also matches as a word: the pattern takes the brackets first only outside of words.
        step = int(index) if index else name
        if isinstance(node, yaml.MappingNode):
            found = [(at.start_mark.line, value) for at, value in node.value if at.value == step]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            found = [(node.value[step].start_mark.line, node.value[step])]
        else:
            found = []
        if not found:
            break
        line, node = found[0]
    return line + 1


# ---- the fuzzer ------------------------------------------------------------------------------------------------------

Mutate = Callable[[random.Random, str], str | bytes]

WORDS = (
    *(
        "0",
        "-1",
        "1",
        "3.0",
        "1e-5",
        "1e999",
        "1e-400",
        ".nan",
        ".inf",
        "-.inf",
        "true",
        "null",
        "~",
        "''",
        "no",
        "0x10",
    ),
    *(
        "0o17",
        "0b1",
        "1_000",
        "2001-01-01",
        "12:30:45",
        "=",
        "<<",
        "9" * 25,
        "[]",
        "{}",
        "[1, 1]",
        "[1, 1.0]",
        "{a: 1}",
    ),
    *("mmd", "mle", "truth", "gaussian_mean", "gaussian_cov", "error", "success", "name", "label", "params", "grid"),
    *("select", "claims", "trials", "timeout", "seed", "bandwidth", "lr", "m", "d", "threshold", "schedule", "x" * 70),
    *('"\\e[31m"', '"\\u202e"', "../up", "a.b", "a=b", "10000000", "10000001", "9223372036854775807", "λ", "!!str 1"),
)
PIECES = (
    *(
        ": ",
        ":",
        ",",
        "- ",
        "-",
        "\n",
        "\n\n",
        "  ",
        " ",
        "\t",
        "&a ",
        "*a",
        "!x ",
        "!!int ",
        "|",
        ">",
        "#",
        " #",
        "%",
        "---",
    ),
    *("...", "? ", "<<: ", "[", "]", "{", "}", '"', "'", "\\", "\0", "\x1b", "\ufeff", "\u2028", "\x85", "\r", "é"),
)


def change_bytes(rng: random.Random, text: str) -> bytes:
    raw = bytearray(text.encode())
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(raw) + 1)
        stop = min(len(raw), start + rng.choice((0, 1, 1, 2, 30)))
        kept = bytes(raw[start:stop])
        noise = [b"", rng.randbytes(rng.randint(1, 3)), kept * 2, kept[::-1], bytes([rng.randrange(32, 127)])]
        raw[start:stop] = rng.choice(noise)
    return bytes(raw)


def change_tokens(rng: random.Random, text: str) -> str:
    tokens = re.findall(r"[\w.+-]+|\s+|.", text)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(tokens))
        other = rng.choice((*WORDS, *PIECES, tokens[rng.randrange(len(tokens))], "", tokens[at] * 2))
        tokens[at] = rng.choice((other, tokens[at] + other, other + tokens[at]))
    return "".join(tokens)


def change_lines(rng: random.Random, text: str) -> str:
    """Delete, double, move, swap, indent and outdent lines."""
    lines = text.split("\n")
    for _ in range(rng.randint(1, 2)):
        at, to = rng.randrange(len(lines)), rng.randrange(len(lines))
        line = lines[at]
        indented = [f" {line}", f"  {line}", line.removeprefix(" "), line.removeprefix("  "), line.strip(), f"\t{line}"]
        lines[at : at + 1] = rng.choice(([], [line, line], [lines[to]], [rng.choice(indented)], [f"# {line}"]))
    return "\n".join(lines)


def collections_of(tree: Tree) -> list[Tree]:
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    below = [each for value in inner for each in collections_of(value)]
    return [tree, *below] if isinstance(tree, dict | list) and tree else below


def keys_of(collection: Tree) -> list[Tree]:
    return list(collection) if isinstance(collection, dict) else list(range(len(collection)))


def change_structure(rng: random.Random, text: str) -> str:
    """Delete, double, move, rename and wrap keys and items; swap values; change their types."""
    tree = tree_of(composed(text))
    for _ in range(rng.randint(1, 2)):
        here, there = rng.choice(collections_of(tree)), rng.choice(collections_of(tree))
        key, other = rng.choice(keys_of(here)), rng.choice(keys_of(there))
        value = copy.deepcopy(here[key])
        match rng.randrange(7):
            case 0:
                del here[key]
            case 1 if isinstance(there, list):
                there.insert(rng.randint(0, len(there)), value)
            case 1 | 2:
                there[other] = value
            case 3:
                here[key], there[other] = copy.deepcopy(there[other]), value
            case 4 if isinstance(here, dict):
                renamed = rng.choice((*map(str, keys_of(there)), f"{key}s", str(key)[:-1], str(key).upper()))
                here[renamed] = here.pop(key)
            case 5:
                here[key] = rng.choice(([value], {"name": value}, str(value), None, [], {}, True, 1.5))
            case _:
                here[key] = read_word(rng.choice(WORDS))
        if not collections_of(tree):
            break
    return yaml.safe_dump(tree, sort_keys=rng.random() < 0.1, default_flow_style=rng.choice((True, False, None)))


def read_word(word: str) -> Tree:
    try:
        return yaml.load(word, Loader=yaml.CBaseLoader if hasattr(yaml, "CBaseLoader") else yaml.BaseLoader)
    except yaml.YAMLError:
        return word


def change_meaning(rng: random.Random, text: str) -> str:
    """Write other values of the right kind, which mostly are accepted: it is then that meaning could be lost."""
    scalars = [
        (event.start_mark.index, event.end_mark.index, event.value)
        for event in yaml.parse(text, Loader=yaml.SafeLoader)
        if isinstance(event, yaml.ScalarEvent) and event.style is None
    ]
    for start, stop, old in sorted(rng.sample(scalars, k=min(len(scalars), rng.randint(1, 3))), reverse=True):
        text = text[:start] + other_value(rng, old, [value for _, _, value in scalars]) + text[stop:]
    return text


def other_value(rng: random.Random, old: str, others: list[str]) -> str:
    number = re.fullmatch(r"[-+]?[0-9]+(\.[0-9]*)?(e[-+]?[0-9]+)?", old)
    if not number:
        return rng.choice((rng.choice(others), f'"{old}"', f"'{old}'", old.upper(), old + "_2", f"&a {old}"))
    whole = "." not in old and "e" not in old
    value = int(old) if whole else float(old)
    forms = [
        f"{value * 2}",
        f"{value + 1}",
        f"{value:.3e}",
        f"+{value}",
        f"{float(value)}",
        f"0{value}",
        f"-{value}",
        "0",
    ]
    forms += [f"{value:x}", f"0x{value:x}", f"0o{value:o}", f"{value:_}", f"{value}.", f'"{value}"'] if whole else []
    return rng.choice([*forms, f"1e{rng.randint(-330, 330)}", str(rng.getrandbits(rng.choice((8, 16, 63, 64, 70))))])


MUTATIONS: tuple[Mutate, ...] = (change_bytes, change_tokens, change_lines, change_structure, change_meaning)


def mutated(index: int) -> tuple[str, str, bytes]:
    """Return the name of the suite, of the mutation, and the mutated file, the same ones for the same index."""
    rng = random.Random(index)
    path = SHIPPED[index % len(SHIPPED)]
    mutate = MUTATIONS[index // len(SHIPPED) % len(MUTATIONS)]
    content = mutate(rng, path.read_text("utf-8"))
    return path.stem, mutate.__name__, content.encode() if isinstance(content, str) else content


# ---- the tests -------------------------------------------------------------------------------------------------------


def planned(path: Path, plugins: Plugins) -> tuple[Suite, Plan] | str:
    try:
        suite = load_suite(path)
        return suite, make_plan(suite, plugins)
    except BenchError as error:
        return str(error)


def check(folder: Path, plugins: Plugins, index: int) -> str:
    """Check one mutated suite and return whether it was accepted."""
    name, _, content = mutated(index)
    path = folder / f"{name}.yaml"
    path.write_bytes(content)
    start = time.process_time()
    outcome = planned(path, plugins)
    assert time.process_time() - start < SECONDS
    if isinstance(outcome, str):
        assert_told(outcome, path)
        return "refused"
    suite, plan = outcome
    said = said_by(content.decode("utf-8-sig"))
    assert_same(said, suite.model_dump())
    assert_planned(said, plan)
    return "accepted"


def check_all(folder: Path, plugins: Plugins, indices: range) -> Counter[tuple[str, str]]:
    outcomes: Counter[tuple[str, str]] = Counter()
    for index in indices:
        try:
            outcome = check(folder, plugins, index)
        except BaseException as error:
            error.add_note(f"mutated suite number {index}:\n{mutated(index)[2].decode(errors='backslashreplace')}")
            raise
        outcomes[mutated(index)[1], outcome] += 1
    return outcomes


def test_a_mutated_suite_means_what_it_says_or_is_refused(tmp_path: Path, plugins: Plugins) -> None:
    outcomes = check_all(tmp_path, plugins, range(250))
    assert {mutation for mutation, outcome in outcomes if outcome == "refused"} == {each.__name__ for each in MUTATIONS}
    assert sum(count for (_, outcome), count in outcomes.items() if outcome == "accepted") > 25


@pytest.mark.slow
def test_ten_thousand_mutated_suites(tmp_path: Path, plugins: Plugins) -> None:
    outcomes = check_all(tmp_path, plugins, range(250, 10_250))
    print(dict(outcomes))
    assert sum(outcomes.values()) == 10_000


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_oracle_agrees_with_every_shipped_suite(path: Path, plugins: Plugins) -> None:
    suite = load_suite(path)
    said = said_by(path.read_text("utf-8"))
    assert_same(said, suite.model_dump())
    assert_planned(said, make_plan(suite, plugins))


@pytest.mark.parametrize(
    "change",
    [
        lambda said: said.update(trials=said["trials"] + 1),
        lambda said: said.update(trials=float(said["trials"])),
        lambda said: said["methods"].pop(),
        lambda said: said["methods"][0]["params"].update(extra=1),
        lambda said: said["problems"][0]["grid"]["m"].append(7),
        lambda said: said["problems"][0]["params"].update(d="2"),
        lambda said: said.pop("timeout"),
        lambda said: said["methods"].reverse(),
        lambda said: said["report"].pop("x"),
    ],
)
def test_the_oracle_sees_a_difference(change: Callable[[Tree], object], plugins: Plugins) -> None:
    (path,) = [each for each in SHIPPED if each.stem == "smoke"]
    said = said_by(path.read_text("utf-8"))
    change(said)
    with pytest.raises(AssertionError):
        assert_same(said, load_suite(path).model_dump())
