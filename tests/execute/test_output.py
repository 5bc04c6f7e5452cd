"""What methods print is kept, says whose it is, and costs no trial."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench_core.execute import output
from bench_core.execute.output import Log, size

REPO = Path(__file__).resolve().parents[2]


def run(code: str, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", f"import os, sys\nfrom bench_core.execute.output import *\n{code}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPO)


def test_everything_printed_goes_to_the_end_of_the_log(tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("before\n")
    code = (
        "to_log(__import__('pathlib').Path(sys.argv[1]))\nprint('a')\nos.write(1, b'b\\n')\nsys.stderr.write('c\\n')\n"
    )
    done = run(code + "os.system('echo d; echo e >&2')", str(log))
    assert (done.stdout, done.stderr) == ("", "")
    assert log.read_text().split() == ["before", "a", "b", "c", "d", "e"]


@pytest.mark.parametrize("path", ["None", "__import__('pathlib').Path('no/such/folder/log.txt')"])
def test_without_a_log_it_goes_to_standard_error(path):
    done = run(f"to_log({path})\nprint('a')\nos.system('echo b')")
    assert (done.stdout, done.stderr) == ("", "a\nb\n")


@pytest.fixture
def log(tmp_path):
    descriptor = os.open(tmp_path / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    yield Log(descriptor), (tmp_path / "log.txt").read_text
    os.close(descriptor)


def test_a_title_stands_above_what_is_printed_and_nowhere_else(log):
    stream, text = log
    stream.announce("silent, repeats 0 to 9")
    stream.announce("chatty, repeats 0 to 9")
    print("one", file=stream)
    print("two", file=stream)
    assert text() == "[chatty, repeats 0 to 9]\none\ntwo\n"


def test_a_loop_that_prints_does_not_fill_the_disk(log, monkeypatch):
    stream, text = log
    stream._left = 10
    for _ in range(100):
        print("12345", file=stream)
    assert text() == "12345\n1234\n[no more of what this process prints is kept]\n"
    assert output.LIMIT == 16 << 20


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_raises_nothing_in_a_method_that_prints():
    with open("/dev/full", "wb") as full:
        stream = Log(full.fileno())
        print("a", file=stream, flush=True)
        stream.flush()


def test_the_size_of_a_log_that_is_not_there_is_0(tmp_path):
    assert size(tmp_path / "log.txt") == 0
