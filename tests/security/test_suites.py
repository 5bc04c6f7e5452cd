"""A suite that a stranger sent: whatever is in it, ``bench`` reads data, and plans or refuses in a moment."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import ESCAPES, SUITE, Bench, Outcome, memory_limit


@pytest.fixture
def plan(project: Callable[..., Path], bench: Bench) -> Callable[[str | bytes], Outcome]:
    """Plan a suite file in a folder that must stay as it is."""

    def go(content: str | bytes) -> Outcome:
        folder = project({})
        (folder / "tiny.yaml").write_bytes(content.encode() if isinstance(content, str) else content)
        start = time.process_time()
        outcome = bench("run", "tiny.yaml", "--dry-run")
        assert time.process_time() - start < 5
        outcome.assert_harmless()
        assert os.listdir(folder) == ["tiny.yaml"]
        return outcome

    return go


def changed(old: str, new: str) -> str:
    assert SUITE.count(old) == 1, old
    return SUITE.replace(old, new)


LAUGHS = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)

REFUSED = {
    "a tag that calls": (
        changed("trials: 4", "trials: !!python/object/apply:os.mkdir [canary]"),
        "tiny.yaml:3: trials: the tag '!!python/object/apply:os.mkdir' is not allowed",
    ),
    "a tag that makes an object": (
        changed("A small one", "!!python/object/new:subprocess.Popen {args: [mkdir, canary]}"),
        "tiny.yaml:2: title: the tag '!!python/object/new:subprocess.Popen' is not allowed",
    ),
    "a tag of a name": (changed("A small one", "!!python/name:os.system"), "tiny.yaml:2: title: the tag"),
    "an alias bomb": (LAUGHS + SUITE, "tiny.yaml:5: a4[5]: required at most 50,000 keys and values, got more"),
    "deep nesting": (changed("d: 2", f"d: {'[' * 100_000}"), "required at most 32 levels of nesting"),
    "a large file": (SUITE + "#" * 1_000_000, "tiny.yaml: required a file of at most 1,000,000 bytes"),
    "a name that climbs": (changed("name: tiny", "name: ../tiny"), "tiny.yaml:1: name: required 1 to 64 of a-z"),
    "an absolute name": (changed("name: tiny", "name: /tiny"), "tiny.yaml:1: name: required 1 to 64 of a-z"),
    "the name of another": (changed("name: tiny", "name: other"), "tiny.yaml:1: name: required the file's name 'tiny'"),
    "the reserved name": (changed("name: tiny", "name: reference"), "tiny.yaml:1: name: 'reference' is a reserved"),
    "a label that climbs": (changed("label: again", "label: ../../x"), "methods[1].label: required a printable name"),
    "an absolute label": (changed("label: again", "label: /etc/passwd"), "methods[1].label: required a printable name"),
    "a method that climbs": (changed("name: truth", "name: ../truth"), "methods[2].name: required a printable name"),
    "NUL in a label": (changed("label: again", 'label: "a\\0b"'), "methods[1].label: required a printable name"),
    "NUL itself": (changed("label: again", "label: a\0b"), "required UTF-8 text, got the character U+0000"),
    "a parameter that climbs": (changed("d: 2", '"../d": 2'), "problems[0].params.'../d': required the name of a para"),
    "an unknown problem": (changed("gaussian_mean", "os"), "problems[0].name: unknown problem 'os'"),
    "a huge float": (changed("d: 2", "threshold: 1e400"), "required a number that a 64-bit float can hold, got 1e400"),
    "a vanishing float": (changed("d: 2", "threshold: 1e-400"), "required a number that a 64-bit float can hold"),
    "a huge integer": (changed("d: 2", f"d: {'9' * 400}"), "required an integer of at most 64 bits, got 9999"),
    "too many trials": (changed("trials: 4", f"trials: {10**18}"), "trials: required an integer ≤ 10000000"),
    "infinity": (changed("d: 2", "threshold: .inf"), "params.threshold: required a finite number, got .inf"),
    "not a number": (changed("trials: 4", "trials: 4\ntimeout: .nan"), "timeout: required a finite number, got .nan"),
    "no number at all": (changed("trials: 4", "trials: '4; rm -rf'"), "tiny.yaml:3: trials: required an integer, got"),
    "a grid without end": (
        changed("m: [10, 20]", ", ".join(f"p{i}: {list(range(10))}" for i in range(9))),
        "problems[0].grid: required at most 10,000 combinations, got 1,000,000,000",
    ),
    "more dimensions than a problem has": (changed("d: 2", "d: 10001"), "problems[0].params.d: gaussian_mean: "),
    "a very long title": (changed("A small one", '"' + "x" * 900_000 + '\\e"'), "title: required printable text"),
    "bytes": (bytes(range(256)) * 100, "required UTF-8 text, got the "),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_suite_is_one_message(plan: Callable[..., Outcome], name: str) -> None:
    content, words = REFUSED[name]
    outcome = plan(content)
    assert outcome.code == 2
    assert words in outcome.err
    assert outcome.out == ""
    assert len(outcome.err) < 1000


# Python's isprintable() draws the line: it is false for control characters, for the marks that turn text around
# (U+202A-U+202E, U+2066-U+2069, U+200E, U+200F), for those of no width (U+200B-U+200D, U+FEFF), for line separators,
# and for what has no assigned look. Letters of scripts that run from right to left are text, and stay allowed.
OBEYED = list("\x1b\x9b\u202e\u200b\u2028\x07\x08\u2066\u200f\u200d\ufeff\ue000")
PLACES = {
    "title": ("A small one", '"%s"'),
    "source": ("trials: 4", 'source: "%s"\ntrials: 4'),
    "label": ("label: again", 'label: "a%sb"'),
    "method": ("name: truth", 'name: "truth%s"'),
    "metric": ("[error, success]", '[error, "succ%sess"]'),
    "value": ("d: 2", 'd: "%s"'),
    "key": ("d: 2", '"d%s": 2'),
    "x": ("x: m", 'x: "m%s"'),
    "unknown key": ("trials: 4", '"tri%sals": 4'),
}


@pytest.mark.parametrize("place", PLACES)
def test_what_a_terminal_obeys_is_refused_wherever_text_stands(plan: Callable[..., Outcome], place: str) -> None:
    old, new = PLACES[place]
    for char in OBEYED if place == "label" else OBEYED[:5]:
        outcome = plan(changed(old, new % f"\\U{ord(char):08x}"))
        assert outcome.code == 2, (f"U+{ord(char):04X}", outcome)


@pytest.mark.parametrize("label", ["שלום", "مرحبا", "λ σ² 10", "方法", "é"])
def test_letters_of_every_script_are_text(plan: Callable[..., Outcome], label: str) -> None:
    assert plan(changed("label: again", f"label: '{label}'")).code == 0


# ---- what is no file -------------------------------------------------------------------------------------------------


def a_device(folder: Path) -> Path:
    return Path("/dev/zero")


def a_link_to_a_device(folder: Path) -> Path:
    (folder / "tiny.yaml").symlink_to("/dev/zero")
    return folder / "tiny.yaml"


def a_pipe(folder: Path) -> Path:
    os.mkfifo(folder / "tiny.yaml")
    return folder / "tiny.yaml"


def a_link_to_itself(folder: Path) -> Path:
    (folder / "tiny.yaml").symlink_to("tiny.yaml")
    return folder / "tiny.yaml"


def a_folder(folder: Path) -> Path:
    (folder / "tiny.yaml").mkdir()
    return folder / "tiny.yaml"


@pytest.mark.parametrize("command", ["run", "show"])
@pytest.mark.parametrize("make", [a_device, a_link_to_a_device, a_pipe, a_link_to_itself, a_folder])
def test_what_is_no_file_is_not_read(
    project: Callable[..., Path], bench: Bench, make: Callable[[Path], Path], command: str
) -> None:
    outcome = bench(command, make(project({})))
    outcome.assert_harmless()
    assert outcome.code == 2


def test_a_pipe_among_the_suites_of_a_checkout_is_listed_as_broken(project: Callable[..., Path], bench: Bench) -> None:
    folder = project({"pyproject.toml": "[tool.bench]\n", "suites/good.yaml": SUITE})
    os.mkfifo(folder / "suites" / "pipe.yaml")
    outcome = bench("list", "suites")
    outcome.assert_harmless()
    assert "pipe  broken: " in outcome.out
    assert "is no regular file" in outcome.out


def test_another_file_is_no_suite_and_little_of_it_is_shown(project: Callable[..., Path], bench: Bench) -> None:
    folder = project({"secret.txt": "password: hunter2\n" + "x" * 5000})
    (folder / "tiny.yaml").symlink_to("secret.txt")
    outcome = bench("run", "tiny.yaml")
    assert outcome.code == 2
    assert len(outcome.err) < 500


# ---- numbers that are allowed, and large -----------------------------------------------------------------------------

LARGE = {
    "dimensions": changed("d: 2}, grid: {m: [10, 20]}", "d: 10000, m: 10000000}"),
    "trials": changed("trials: 4", "trials: 10000000"),
    "cells": changed("m: [10, 20]", f"m: {list(range(2, 102))}"),
    "timeout": changed("trials: 4", "trials: 4\ntimeout: 1e300"),
}


@pytest.mark.parametrize("name", LARGE)
def test_planning_allocates_nothing_that_the_suite_asks_for(plan: Callable[..., Outcome], name: str) -> None:
    """Memory is limited to a little more than is in use: what a plan of 10^11 numbers allocated would show."""
    with memory_limit(1 << 30):
        plan(LARGE[name])


def test_cells_times_trials_are_bounded(plan: Callable[..., Outcome]) -> None:
    """10^4 cells of 10^7 trials pass every limit of their own; their 10^11 ids would not fit into any memory."""
    text = changed("m: [10, 20]", f"m: {list(range(2, 1002))}").replace("trials: 4", "trials: 10000000")
    with memory_limit(2 << 30):
        outcome = plan(text)
    assert outcome.code == 2, outcome
    assert "trials" in outcome.err


@pytest.mark.parametrize("timeout", ["1e300", "1e-300", "9223372036854775807"])
def test_any_timeout_is_a_timeout(project: Callable[..., Path], bench: Bench, timeout: str) -> None:
    project({"tiny.yaml": changed("trials: 4", f"trials: 1\ntimeout: {timeout}")})
    outcome = bench("run", "tiny.yaml", "--executor", "inline", "--quiet", "--method", "truth")
    outcome.assert_harmless()


# ---- the command line itself -----------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="bytes in arguments")
@pytest.mark.parametrize("text", [ESCAPES.replace("\r", ""), "\udcff"])
def test_arguments_are_shown_and_not_obeyed(project: Callable[..., Path], bench: Bench, text: str) -> None:
    """They are the user's, but a script may have taken them from a stranger's file name."""
    project({"tiny.yaml": SUITE})
    for arguments in (
        ["run", f"{text}.yaml"],
        ["run", "tiny.yaml", "--method", text],
        ["run", "tiny.yaml", "--set", f"{text}=1"],
        ["run", "tiny.yaml", "--set", f"mle.schedule='{text}'"],
        ["report", text],
        ["report", "--format", text],
        ["show", text],
        ["list", "--plugin-dir", text],
        ["list", "plugins", "--block", text],
    ):
        outcome = bench(*arguments)
        outcome.assert_harmless()
        assert outcome.code == 2, (arguments, outcome)
