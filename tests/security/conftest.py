"""The real command line, watched: what it prints, how it ends, and that it ends; and a stranger's results."""

from __future__ import annotations

import contextlib
import io
import resource
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from bench_core.cli import main

SECONDS = 20
"""No hostile input may keep a command busy for longer."""

SUITE = """\
name: tiny
title: A small one
trials: 4
problems: [{name: gaussian_mean, params: {d: 2}, grid: {m: [10, 20]}}]
methods: [{name: mle, params: {iterations: 5}}, {name: mle, label: again, params: {iterations: 6}}, {name: truth}]
metrics: [error, success]
report: {metric: success, x: m}
"""

ESCAPES = "\x1b]0;title\x07\x1b[31m\x9b2J\x08\r\u202e\u200b\u2066\ue000"
"""Sets a terminal's title, colours it, clears it, goes back, turns text around, hides it."""


class HangError(BaseException):
    """The command took too long. No ``Exception``, which the harness might take for a plugin's."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and all that it printed."""

    code: int
    out: str
    err: str

    def assert_harmless(self) -> None:
        """It ended as commands end, in a message where something is wrong, and printed nothing that terminals obey."""
        assert self.code in (0, 1, 2), self
        assert not hidden(self.out + self.err), (hidden(self.out + self.err), self)
        assert "Traceback" not in self.out + self.err, self
        if self.code == 2:
            assert "error: " in self.err, self


Bench = Callable[..., Outcome]


def hidden(text: str) -> set[str]:
    """Return the characters that a terminal would obey, or not show."""
    return {f"U+{ord(char):04X}" for char in text if not char.isprintable() and char != "\n"}


@pytest.fixture(scope="session")
def bench() -> Bench:
    """Run ``bench ARGUMENTS…`` through the program's own entry point; an exception that it lets out is raised."""

    def run(*arguments: str | Path) -> Outcome:
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, limit(SECONDS):
            patch.setattr(sys, "argv", ["bench", *map(str, arguments)])
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                try:
                    main()
                    code = 0
                except SystemExit as end:
                    code = end.code if isinstance(end.code, int) else int(end.code is not None)
        return Outcome(code, out.getvalue(), err.getvalue())

    return run


@contextlib.contextmanager
def limit(seconds: int) -> Iterator[None]:
    """Raise ``HangError`` in the block after some seconds, even out of a read that waits."""

    def expire(signum: int, frame: object) -> None:
        raise HangError(f"took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def memory_limit(more: int) -> Iterator[None]:
    """Let this process have only ``more`` bytes beyond its present address space."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory, bench: Bench) -> Path:
    """Honest results of the tiny suite, without the digests by which the harness knows its own files.

    A stranger could write the digests that fit; without them files are believed.
    """
    folder = tmp_path_factory.mktemp("honest")
    (folder / "tiny.yaml").write_text(SUITE, encoding="utf-8")
    run = bench("run", folder / "tiny.yaml", "--results", folder / "results", "--executor", "inline", "--quiet")
    assert run.code == 0, run
    for mark in folder.glob("results/tiny/*/trials.parquet.*"):
        mark.unlink()
    (suite,) = folder.glob("results/tiny/*/suite.yaml")
    lines = suite.read_text("utf-8").splitlines(keepends=True)
    suite.write_text("".join(line for line in lines if not line.startswith("#")), encoding="utf-8")
    return folder / "results"


@dataclass(frozen=True)
class Stranger:
    """A copy of the results, to be made hostile."""

    folder: Path

    @property
    def run(self) -> Path:
        """The only run's folder."""
        (run,) = (self.folder / "tiny").iterdir()
        return run

    @property
    def trials(self) -> Path:
        """The file of all rows."""
        return self.run / "trials.parquet"

    def rows(self, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
        """Replace the stored rows."""
        change(pl.read_parquet(self.trials)).write_parquet(self.trials)

    def suite(self, old: str, new: str) -> None:
        """Change the stored suite."""
        path = self.run / "suite.yaml"
        text = path.read_text("utf-8")
        assert old in text, text
        path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture
def stranger(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stranger:
    """Stand in an empty folder that holds a stranger's results."""
    shutil.copytree(results, tmp_path / "stranger")
    monkeypatch.chdir(tmp_path)
    return Stranger(Path("stranger"))


@pytest.fixture
def read_all(bench: Bench) -> Callable[..., list[Outcome]]:
    """Read a results folder in every way; each must be harmless, files that are written included."""

    def read(
        folder: Path,
        formats: Sequence[str] = ("rich", "markdown", "csv", "json"),
        exports: Sequence[str] = ("csv", "jsonl", "parquet"),
    ) -> list[Outcome]:
        outcomes = [bench("report", folder, "--format", name) for name in formats]
        for suffix in exports:
            outcomes.append(bench("export", folder, "--output", f"out.{suffix}"))
            written = Path(f"out.{suffix}")
            if suffix != "parquet" and written.exists():
                text = written.read_text("utf-8")
                assert not hidden(text), hidden(text)
        for outcome in outcomes:
            outcome.assert_harmless()
        return outcomes

    return read
