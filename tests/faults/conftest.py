"""What the tests of faults share: a suite, the folder that a fault strikes, and ``bench`` started in a moment."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "plugins")]  # `warm` and `inject`, which the tests here import

from warm import Ended, Started, Warm  # noqa: E402

from bench_core.store import Damage, all_runs, find_runs  # noqa: E402

SUITE = """
name: toy
title: A toy
trials: 50
problems: [{name: gaussian_mean, params: {d: 2, m: 10, threshold: 0.1}}]
methods:
  - {name: nap, params: {steps: 2, width: 10}}
  - {name: mmd, params: {iterations: 3}}
  - {name: truth}
metrics: [success, error]
report: {metric: success}
"""
PLUGINS = ("--plugin-dir", str(HERE / "plugins"))

collect_ignore = ["hostile"]  # plugins that cannot be imported, or change the process that imports them


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """``bench`` in processes of its own, started in a moment; on Linux."""
    if not sys.platform.startswith("linux"):
        pytest.skip("needs /proc and fork")
    warm = Warm(tmp_path_factory.mktemp("warm") / "errors.txt")
    yield warm
    warm.close()
    assert warm.errors.read_text() == ""


@dataclass
class Toy:
    """A folder with the suite ``toy`` and its results."""

    folder: Path
    _cli: Callable[..., Any]
    _warm: Warm

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        if not (self.folder / "toy.yaml").exists():
            (self.folder / "toy.yaml").write_text(SUITE)

    def copy(self, folder: Path) -> Toy:
        """Return a copy, results included."""
        shutil.copytree(self.folder, folder)
        return Toy(folder, self._cli, self._warm)

    def slow_down(self, seconds: float) -> None:
        """Let every step of a nap take so long; numbers do not depend on it."""
        (self.folder / "pause.txt").write_text(str(seconds))

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def run(self, *arguments: str, executor: str = "inline") -> Ended:
        """Run the suite in a process of its own."""
        return self._warm.run(self.folder, *_command(arguments, executor))

    def started(self, *arguments: str, executor: str = "inline") -> Any:
        """Start to run the suite in a process of its own; a context manager that gives a ``Started``."""
        return self._warm.started(self.folder, *_command(arguments, executor))

    def bench(self, *arguments: str) -> Any:
        """Run a command in this process, undisturbed."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            return self._cli(*arguments, *PLUGINS)

    def finish(self, *arguments: str) -> str:
        """Run the suite to its end, undisturbed, and return what it says on standard error."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            outcome = self._cli(*_command(arguments, "inline"))
        assert outcome.code == 0, outcome
        err: str = outcome.err
        return err

    def export(self) -> pl.DataFrame:
        """Return the export, less what two equal runs may differ in."""
        outcome = self.bench("export", "--output", "all.parquet")
        assert outcome.code == 0, outcome
        assert "could not be read" not in outcome.err
        return pl.read_parquet(self.folder / "all.parquet").drop("seconds", "env_id")

    def stored(self) -> pl.DataFrame:
        """Return what tells rows apart, for every row of the newest run that can be read."""
        rows = find_runs(self.results)[0].rows()
        return rows.select("trial_id", "status", "seconds", *(name for name in rows.columns if name == "metric.error"))

    def workers(self) -> list[int]:
        """Return the worker processes that there are, whoever started them."""
        return self._warm.workers()

    def damaged(self) -> list[Path]:
        """Return the files of all runs that a reader finds damaged."""
        found = []
        for run in all_runs(self.results):
            damage = Damage()
            run.rows(damage)
            found += damage.files
        return found


def _command(arguments: tuple[str, ...], executor: str) -> tuple[str, ...]:
    return ("run", "toy.yaml", "--executor", executor, "--quiet", *PLUGINS, *arguments)


@pytest.fixture
def toy(tmp_path: Path, cli: Callable[..., Any], warm: Warm) -> Toy:
    """A folder with the suite, and nothing run."""
    return Toy(tmp_path / "toy", cli, warm)


@pytest.fixture(scope="session")
def begun(tmp_path_factory: pytest.TempPathFactory, cli: Callable[..., Any], warm: Warm) -> Toy:
    """A folder of which 20 trials are stored and compacted; copy it."""
    begun = Toy(tmp_path_factory.mktemp("faults") / "begun", cli, warm)
    begun.finish("--trials", "20")
    return begun


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, cli: Callable[..., Any], warm: Warm) -> pl.DataFrame:
    """What the suite exports when nothing disturbs it."""
    toy = Toy(tmp_path_factory.mktemp("undisturbed") / "toy", cli, warm)
    toy.finish()
    exported = toy.export()
    assert exported["trial_id"].n_unique() == len(exported) == 3 * 50
    return exported


__all__ = ["Started", "Toy"]
