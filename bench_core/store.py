"""Rows <-> ``results/``; nothing else touches that folder.

``<root>/<suite>/<run>/`` holds ``suite.yaml``, ``env.json``, ``parts/*.parquet`` (one per finished batch, never
rewritten), ``trials.parquet`` (the parts of finished runs, compacted) and ``artifacts/``.
"""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from bench_core.errors import BenchError
from bench_core.workspace import Workspace, write_atomically

if TYPE_CHECKING:
    from filelock import BaseFileLock

RESERVED = "reference"
"""A folder of this name holds shipped results and is never a suite's."""

SCHEMA: dict[str, Any] = {
    "trial_id": pl.String,
    "suite": pl.String,
    "problem": pl.String,
    "method": pl.String,
    "label": pl.String,
    "repeat": pl.Int64,
    "seed": pl.Int64,
    "split": pl.String,
    "status": pl.String,
    "reason": pl.String,
    "traceback": pl.String,
    "seconds": pl.Float64,
    "device": pl.String,
    "dtype": pl.String,
    "batch_size": pl.Int64,
    "slot": pl.Int64,
    "env_id": pl.String,
    "data_digest": pl.String,
    "method_version": pl.String,
    "method_digest": pl.String,
    "problem_version": pl.String,
    "problem_digest": pl.String,
    "spec": pl.String,
    "looks": pl.String,
    "path.step": pl.List(pl.Int64),
    "path.loss": pl.List(pl.Float64),
    "path.error": pl.List(pl.Float64),
}
"""Columns that every part has; ``metric.*`` are Float64 and ``budget.*`` Int64."""

READ_ATTEMPTS = 5
"""How often a reader starts over when the run that it reads compacts its parts meanwhile."""

_RUN_NAME = re.compile(r"(\d{8}T\d{6}Z)-s(\d+)-(cpu|cuda)")


@dataclass
class Damage:
    """Parts that could not be read; they were set aside and their trials run again."""

    files: list[Path] = field(default_factory=list)


class Run:
    """One run's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: BaseFileLock | None = None
        self._next_part = 0

    @property
    def name(self) -> str:
        """Time, seed and device of the run."""
        return self.folder.name

    @property
    def suite_file(self) -> Path:
        """The suite as it was last run, with all defaults."""
        return self.folder / "suite.yaml"

    @property
    def artifacts(self) -> Path:
        """Where batches keep checkpoints, samples and curves."""
        return self.folder / "artifacts"

    def lock(self) -> None:
        """Take the run for this process.

        Raises:
            BenchError: when another process has it.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise BenchError(
                f"{self.folder} is being written by another `bench run`; wait for it, or use --fresh for a new folder"
            ) from None
        self._lock = lock

    def unlock(self) -> None:
        """Give the run free."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def write_suite(self, text: str) -> None:
        """Store the resolved suite; the reports of this run show its cells."""
        with self._writing():
            write_atomically(self.suite_file, text.encode())

    def environments(self) -> dict[str, Any]:
        """Return environment id -> environment."""
        try:
            loaded: dict[str, Any] = json.loads((self.folder / "env.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):  # a damaged file costs the description, never the rows
            return {}
        return loaded

    def add_environment(self, env_id: str, env: Mapping[str, Any]) -> None:
        """Store an environment that rows refer to."""
        known = self.environments()
        if env_id not in known:
            text = json.dumps({**known, env_id: env}, indent=1, sort_keys=True)
            with self._writing():
                write_atomically(self.folder / "env.json", text.encode())

    def append(self, batch: str, rows: Sequence[Mapping[str, Any]], env_id: str) -> None:
        """Store the rows of a finished batch: they are on the disk, whole, when this returns."""
        self._next_part = self._next_part or 1 + max(map(_part_number, self._parts()), default=0)
        path = self.folder / "parts" / f"{batch}-{self._next_part}.parquet"
        self._next_part += 1
        with self._writing():
            _write_parquet(_frame([{**row, "env_id": env_id} for row in rows]), path)
            Workspace(self.artifacts / batch).clear_checkpoint()

    def rows(self, damage: Damage | None = None, *, set_aside: bool = False) -> pl.DataFrame:
        """Return every stored row in the order of writing.

        Args:
            damage: told of the files that cannot be read.
            set_aside: rename those files, so that their trials run again (only the owner of the lock does so).
        """
        for attempt in range(READ_ATTEMPTS):
            try:
                return self._read_all(damage or Damage(), set_aside=set_aside)
            except FileNotFoundError as error:  # a run that just finished has compacted the parts
                if attempt == READ_ATTEMPTS - 1:
                    raise BenchError(f"{error.filename} disappeared while {self.folder} was read; try again") from None
        raise AssertionError("the last attempt returns or raises")

    def _read_all(self, damage: Damage, *, set_aside: bool) -> pl.DataFrame:
        found: list[Path] = []
        frames = [pl.DataFrame(schema=SCHEMA)]
        for path in [*self._compacted(), *self._parts()]:
            try:
                # Not by name, which polars would take for a pattern where a folder is called `out[1]`.
                frames.append(pl.read_parquet(io.BytesIO(path.read_bytes())))
            except pl.exceptions.PolarsError:
                found.append(path)
        damage.files[:] = found
        if set_aside:
            for path in found:
                path.replace(path.with_name(f"{path.name}.damaged"))
        return pl.concat(frames, how="diagonal")

    def _compacted(self) -> list[Path]:
        path = self.folder / "trials.parquet"
        return [path] if path.exists() else []

    def compact(self) -> None:
        """Put all parts into ``trials.parquet``; a kill at any moment leaves every row in one of the two."""
        parts = self._parts()
        if not parts:
            return
        damage = Damage()
        rows = self.rows(damage)
        if damage.files:  # what cannot be read stays where it is, for the next run to set aside
            return
        with self._writing():
            _write_parquet(rows, self.folder / "trials.parquet")
            for part in parts:
                part.unlink()

    def clear_checkpoints(self, work: str) -> None:
        """Remove the checkpoints of all batches, and of their parts, whose name begins with ``work``."""
        for folder in self.artifacts.glob(f"{work}-*"):
            Workspace(folder).clear_checkpoint()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn what the file system refuses into a message; what was stored before stays."""
        try:
            yield
        except OSError as error:
            raise BenchError(
                f"cannot write to {self.folder}: {error.strerror}; make room or choose another folder with --results, "
                "then run the same command again: everything finished before is stored"
            ) from None

    def _parts(self) -> list[Path]:
        return sorted((self.folder / "parts").glob("*.parquet"), key=_part_number)


def open_run(root: Path, suite: str, seed: int, device: str, *, fresh: bool = False) -> Run:
    """Return the locked run to continue: the newest of this suite, seed and device, or a new one.

    Raises:
        BenchError: when another process has it, or the folder cannot be written.
    """
    known = [] if fresh else [run for run in runs_of(root / suite) if run.name.endswith(f"-s{seed}-{device}")]
    try:
        run = known[-1] if known else _new_run(root / suite, f"-s{seed}-{device}")
        run.lock()
    except OSError as error:
        raise BenchError(f"cannot write to {root}: {error.strerror}; choose another folder with --results") from None
    return run


def newest_run(root: Path, suite: str, seed: int, device: str) -> Run | None:
    """Return the run that ``open_run`` would continue, without touching anything."""
    known = [run for run in runs_of(root / suite) if run.name.endswith(f"-s{seed}-{device}")]
    return known[-1] if known else None


def runs_of(folder: Path) -> list[Run]:
    """Return the runs in a suite's folder, oldest first."""
    if not folder.is_dir():
        return []
    return [Run(path) for path in sorted(folder.iterdir()) if _RUN_NAME.fullmatch(path.name) and path.is_dir()]


def find_runs(results: Path) -> list[Run]:
    """Return the runs that ``results`` means: a run's folder, a suite's folder, or a folder of suites' folders.

    The last two mean the newest run of each suite.

    Raises:
        BenchError: when there is no run, saying what was looked for.
    """
    if (results / "suite.yaml").is_file():
        return [Run(results)]
    stored = [run for run in runs_of(results) if run.suite_file.is_file()]
    if stored:
        return [stored[-1]]
    if not results.is_dir():
        raise BenchError(f"there are no results in {results}: no such folder; run a suite first, or name its --results")
    suites = [runs_of(path) for path in sorted(results.iterdir()) if path.is_dir() and path.name != RESERVED]
    found = [[run for run in runs if run.suite_file.is_file()] for runs in suites]
    newest = [runs[-1] for runs in found if runs]
    if not newest:
        raise BenchError(f"there are no results in {results}; run a suite first, or name its --results")
    return newest


def _new_run(folder: Path, suffix: str) -> Run:
    while True:
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}{suffix}"
        with suppress(FileExistsError):
            (folder / name).mkdir(parents=True)
            return Run(folder / name)
        time.sleep(0.1)  # two runs within one second


def _part_number(path: Path) -> int:
    number = path.stem.rpartition("-")[2]
    return int(number) if number.isdigit() else 0


def _frame(rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    rows = list(rows)
    extra = sorted({name for row in rows for name in row} - set(SCHEMA))
    types = {name: pl.Float64 if name.startswith("metric.") else pl.Int64 for name in extra}
    return pl.DataFrame(rows, schema={**SCHEMA, **types}, orient="row")


def _write_parquet(frame: pl.DataFrame, path: Path) -> None:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd")
    write_atomically(path, buffer.getvalue())
