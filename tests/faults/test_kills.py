"""``kill -9`` at random moments, again and again over one suite: nothing is lost, doubled, or computed otherwise."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pytest

KILLED = -signal.SIGKILL
MORE = (5, 60, 60)
"""Trials per label that are missing when a run starts, one of these at random: little work, so that a kill may meet the
compaction at its end, or some 0.2 s of it in small batches."""
PAUSE = 0.01
LATEST = 0.3
"""Seconds after which a kill comes at the latest, counted from the first thing that the run has stored."""


@dataclass
class Killed:
    """A suite that is killed again and again, with more and more trials to run."""

    toy: object
    moments: random.Random
    trials: int = 0
    rows: pl.DataFrame | None = None
    in_work: int = 0
    """Kills after which trials were missing."""
    half_written: int = 0
    """Kills that left a temporary file."""
    _known: set[str] = field(default_factory=set)

    def start(self):
        """Start the suite with enough trials to run, and wait until it has stored something."""
        done = 0 if self.rows is None else self.rows["trial_id"].n_unique() // 3
        self.trials = max(self.trials, done + self.moments.choice(MORE))
        self._known = self._parts()
        return self.toy.started("--trials", str(self.trials), "--workers", "2", executor="processes")

    def wait(self, run, *, for_a_part: bool = True) -> None:
        """Wait for a random moment while it works."""
        while for_a_part and run.running and self._parts() <= self._known:
            time.sleep(0.002)
        time.sleep(self.moments.uniform(0, LATEST))

    def look(self) -> None:
        """Check that every row that was ever readable still is, and that no file looks damaged."""
        now = self.toy.stored()
        if self.rows is not None:
            lost = self.rows.join(now, on=now.columns, how="anti", nulls_equal=True)
            assert lost.is_empty()
        assert self.toy.damaged() == []
        assert now["status"].unique().to_list() == ["ok"]
        self.rows = now
        self.in_work += now["trial_id"].n_unique() < 3 * self.trials
        self.half_written += any(self.toy.results.rglob("*.tmp"))

    def wait_until_no_worker_is_left(self) -> None:
        deadline = time.monotonic() + 10
        while self.toy.workers():
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def _parts(self) -> set[str]:
        return {path.name for path in self.toy.results.glob("toy/*/parts/*.parquet")}


def same_numbers_at_the_end(killed: Killed, other) -> None:
    trials = ("--trials", str(killed.trials))
    killed.toy.finish(*trials)
    other.finish(*trials)
    exported = killed.toy.export()
    assert exported["trial_id"].n_unique() == len(exported) == 3 * killed.trials
    assert exported.equals(other.export())
    assert len(killed.toy.stored()) == len(exported)  # nor is a row there twice that no report would show


@pytest.fixture
def killed(toy) -> Killed:
    text = (toy.folder / "toy.yaml").read_text()
    (toy.folder / "toy.yaml").write_text(text.replace("width: 10", "width: 5"))
    toy.slow_down(PAUSE)
    return Killed(toy, random.Random(20260517))


@pytest.fixture
def other(killed, tmp_path: Path):
    """The same suite, never killed."""
    other = killed.toy.copy(tmp_path / "other")
    (other.folder / "pause.txt").unlink()
    return other


@pytest.mark.slow  # test_store_faults.py kills a run at every point at which it writes
@pytest.mark.parametrize("kills", [200])
def test_a_run_that_is_killed_at_random_moments_loses_nothing(killed, other, kills):
    hits = 0
    while hits < kills:
        with killed.start() as run:
            killed.wait(run, for_a_part=killed.moments.random() < 0.9)
            hits += run.kill() == KILLED
        killed.wait_until_no_worker_is_left()
        if (killed.toy.folder / "results").exists() and list(killed.toy.results.glob("toy/*/suite.yaml")):
            killed.look()
    print(f"{kills} kills: {killed.in_work} while trials ran, {killed.half_written} while a file was written")
    assert killed.in_work >= kills // 3  # the moments are well chosen
    same_numbers_at_the_end(killed, other)


@pytest.mark.slow  # tests/execute/test_processes.py kills workers at every stage of a job
@pytest.mark.parametrize("kills", [40])
def test_a_worker_that_is_killed_at_a_random_moment_costs_nothing(killed, other, kills):
    hits = 0
    while hits < kills:
        with killed.start() as run:
            killed.wait(run)
            for worker in killed.moments.sample(workers := killed.toy.workers(), min(1, len(workers))):
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
                    hits += run.running
            ended = run.end()
        assert ended.code == 0, ended
        assert ended.err == ""
        killed.wait_until_no_worker_is_left()
        killed.look()
        assert killed.rows["trial_id"].n_unique() == 3 * killed.trials
    same_numbers_at_the_end(killed, other)
