"""Rows <-> ``results/``; nothing else touches that folder.

``<root>/<suite>/<run>/`` holds ``suite.yaml``, ``env.json``, ``parts/*.parquet`` (one per finished batch, never
rewritten), ``trials.parquet`` (the parts of finished runs, compacted) and ``artifacts/``.

Parquet itself does not notice a flipped bit, so every file of rows is checked against a digest of its content before it
is believed. That of a part is in the part's name; those that ``trials.parquet`` may have are the names of empty files
beside it. A name is never half-written and takes no room on a full disk. Files without a digest are older and believed.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from bench_core.errors import BenchError
from bench_core.seeds import short_id
from bench_core.workspace import (
    GO_ON,
    Workspace,
    reason_and_cure,
    remove_leftovers,
    set_aside_file,
    write_atomically,
)

if TYPE_CHECKING:
    from filelock import BaseFileLock

RESERVED = "reference"
"""A folder of this name holds shipped results and is never a suite's."""

SCHEMA: dict[str, Any] = {
    "trial_id": pl.String,
    "cell_id": pl.String,
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

FOR_TABLES = frozenset(
    {"trial_id", "cell_id", "repeat", "seed", "split", "status", "reason", "seconds", "env_id"}
    | {"data_digest", "method_digest", "problem_digest"}
)
"""What a table is made of, beside metrics and budgets: of a million trials the rest takes a gigabyte."""
FOR_PLOTS = FOR_TABLES | {"path.step", "path.loss", "path.error"}

MAX_COLUMNS = 1000
"""More than any honest file of rows has; reading it would take minutes."""

READ_ATTEMPTS = 5
"""How often a reader starts over when the run that it reads compacts its parts meanwhile."""

_RUN_NAME = re.compile(r"(\d{8}T\d{6}Z)-s(\d+)-(cpu|cuda)")
_MEASURED = re.compile(r"(metric|budget)\.[\w-]{1,100}")
_TIME = "%Y%m%dT%H%M%SZ"
_PART_NAME = re.compile(r".*-(?P<digest>[0-9a-f]{16})-\d+\.parquet")
_MARK = "blake2b-"
_SEAL = "# blake2b of the lines above: "


@dataclass
class Damage:
    """Parts that could not be read; they were set aside and their trials run again."""

    files: list[Path] = field(default_factory=list)


class _DamagedError(Exception):
    """A file's content is not what was written."""


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
    def seed(self) -> int:
        """Root seed, which the name tells."""
        known = _RUN_NAME.fullmatch(self.name)
        return int(known[2]) if known else 0

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``, which the name tells."""
        known = _RUN_NAME.fullmatch(self.name)
        return known[3] if known else "cpu"

    @property
    def suite_file(self) -> Path:
        """The suite as it was last run, with all defaults."""
        return self.folder / "suite.yaml"

    @property
    def artifacts(self) -> Path:
        """Where batches keep checkpoints, samples and curves."""
        return self.folder / "artifacts"

    @property
    def log(self) -> Path:
        """What methods print."""
        return self.folder / "log.txt"

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
        for folder in (self.folder, self.folder / "parts", *self.artifacts.glob("*")):
            remove_leftovers(folder)  # of a run that was killed while it wrote; ours to remove now

    def unlock(self) -> None:
        """Give the run free."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def write_suite(self, text: str) -> None:
        """Store the resolved suite; the reports of this run show its cells."""
        lines = f"{text.rstrip()}\n".encode()
        with self._writing():
            write_atomically(self.suite_file, lines + f"{_SEAL}{_digest(lines)}\n".encode())

    def check_suite(self) -> None:
        """Refuse a stored suite that is not as it was written: a flipped bit in a threshold changes every table.

        Raises:
            BenchError: when it was damaged, or cannot be read.
        """
        try:
            text, seal, digest = _bytes_of(self.suite_file).rpartition(_SEAL.encode())
        except _DamagedError:
            raise BenchError(f"{self.suite_file} is no regular file") from None
        except OSError as error:
            raise BenchError(f"cannot read {self.suite_file}: {error.strerror or error}") from None
        if seal and digest.strip() != _digest(text).encode():
            raise BenchError(
                f"{self.suite_file} is damaged, or was changed by hand; run the suite again, which writes it anew"
            )

    def environments(self) -> dict[str, Any]:
        """Return environment id -> environment."""
        try:
            return self._environments()
        except (OSError, ValueError, RecursionError, _DamagedError):  # it costs the description, never the rows
            return {}

    def _environments(self) -> dict[str, Any]:
        try:
            loaded = json.loads(_bytes_of(self.folder / "env.json"), parse_constant=_refuse_constant)
        except FileNotFoundError:
            return {}
        if not isinstance(loaded, dict) or not all(isinstance(env, dict) for env in loaded.values()):
            raise ValueError("env.json must hold an object of objects")
        json.dumps(loaded, allow_nan=False, ensure_ascii=False).encode()  # 1e999, and halves of surrogates
        return loaded

    def add_environment(self, env_id: str, env: Mapping[str, Any]) -> None:
        """Store an environment that rows refer to. A damaged file is set aside, and the description begun anew."""
        path = self.folder / "env.json"
        with self._writing():
            try:
                known = self._environments()
            except (OSError, ValueError, RecursionError, _DamagedError):
                set_aside_file(path)
                known = {}
            if env_id not in known:
                write_atomically(path, json.dumps({**known, env_id: env}, indent=1, sort_keys=True).encode())

    def append(self, batch: str, rows: Sequence[Mapping[str, Any]], env_id: str) -> None:
        """Store the rows of a finished batch: they are on the disk, whole, when this returns."""
        self._next_part = self._next_part or 1 + max(map(_part_number, self._parts()), default=0)
        content = _parquet(_frame([{**row, "env_id": env_id} for row in rows]))
        path = self.folder / "parts" / f"{batch}-{_digest(content)}-{self._next_part}.parquet"
        self._next_part += 1
        with self._writing():
            write_atomically(path, content)
            Workspace(self.artifacts / batch).clear_checkpoint()

    def rows(
        self, damage: Damage | None = None, *, only: Collection[str] = SCHEMA, set_aside: bool = False
    ) -> pl.DataFrame:
        """Return every stored row in the order of writing.

        Args:
            damage: told of the files that cannot be read.
            only: columns to read, beside metrics and budgets.
            set_aside: rename those files, so that their trials run again (only the owner of the lock does so).
        """
        for attempt in range(READ_ATTEMPTS):
            try:
                return self._read_all(damage or Damage(), only, set_aside=set_aside)
            except FileNotFoundError as error:  # a run that just finished has compacted the parts
                if attempt == READ_ATTEMPTS - 1:
                    raise BenchError(f"{error.filename} disappeared while {self.folder} was read; try again") from None
        raise AssertionError("the last attempt returns or raises")

    def versions(self) -> set[tuple[str, str, str]]:
        """Return (``method`` or ``problem``, its name, the version that it declared) of all stored rows."""
        kinds = ("method", "problem")
        rows = self.rows(only=[name for kind in kinds for name in (kind, f"{kind}_version")]).unique()
        return {(kind, *row) for kind in kinds for row in rows.select(kind, f"{kind}_version").drop_nulls().iter_rows()}

    def _read_all(self, damage: Damage, only: Collection[str], *, set_aside: bool) -> pl.DataFrame:
        found: list[Path] = []
        frames = [no_rows(only)]
        # Parts are listed first: a run that compacts meanwhile removes them when trials.parquet is there, not before.
        parts = self._parts()
        for path in [*self._compacted(), *parts]:
            try:
                # Not by name, which polars would take for a pattern where a folder is called `out[1]`.
                frames.append(_table(self._content(path), only))
            except FileNotFoundError:
                raise
            except (OSError, _DamagedError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
                found.append(path)
        damage.files[:] = found
        if set_aside:
            with self._writing():
                for path in found:
                    set_aside_file(path)
        return pl.concat(frames, how="diagonal")

    def _content(self, path: Path) -> bytes:
        """Return what is in a file of rows, provided that it is what was written."""
        content = _bytes_of(path)
        while (known := self._digests(path)) and _digest(content) not in known:
            again = _bytes_of(path)
            if again == content:
                raise _DamagedError
            content = again  # a run that compacts has replaced it, and its digests too
        return content

    def _digests(self, path: Path) -> set[str]:
        """Return the digests that a file of rows may have; none for one that is older than digests."""
        if path.parent == self.folder:
            return {mark.name.removeprefix(f"{path.name}.{_MARK}") for mark in self._marks()}
        name = _PART_NAME.fullmatch(path.name)
        return {name["digest"]} if name else set()

    @property
    def _trials(self) -> Path:
        return self.folder / "trials.parquet"

    def _marks(self) -> list[Path]:
        return list(self.folder.glob(f"{self._trials.name}.{_MARK}*"))

    def _mark(self, content: bytes) -> Path:
        return self._trials.with_name(f"{self._trials.name}.{_MARK}{_digest(content)}")

    def _compacted(self) -> list[Path]:
        return [self._trials] if self._trials.exists() else []

    def compact(self) -> None:
        """Put all parts into ``trials.parquet``; a kill at any moment leaves every row in one of the two.

        Raises:
            BenchError: when there is no room for it; every row stays in the parts.
        """
        parts = self._parts()
        if not parts:
            return
        damage = Damage()
        rows = self.rows(damage)
        if damage.files:  # what cannot be read stays where it is, for the next run to set aside
            return
        # A kill between the two steps below leaves rows in both places, and the next compaction would double them.
        content = _parquet(rows.unique(keep="last", maintain_order=True))
        with self._writing("all trials are stored, but cannot be put into one file: cannot write to"):
            self._replace_trials(content)
            # Oldest first: what a kill leaves is the newest parts, which may come once more after trials.parquet.
            for part in parts:
                part.unlink()

    def _replace_trials(self, content: bytes) -> None:
        """Write ``trials.parquet`` so that at any moment one of its marks is right, whichever content it has."""
        mark = self._mark(content)
        if not self._marks() and self._trials.exists():  # it is older than marks, and must not look damaged now
            write_atomically(self._mark(self._trials.read_bytes()), b"")
        write_atomically(mark, b"")
        write_atomically(self._trials, content)
        for old in self._marks():
            if old != mark:
                old.unlink()

    def clear_checkpoints(self, work: str) -> None:
        """Remove the checkpoints of all batches, and of their parts, whose name begins with ``work``."""
        with self._writing():
            for folder in self.artifacts.glob(f"{work}-*"):
                Workspace(folder).clear_checkpoint()

    @contextmanager
    def _writing(self, failed: str = "cannot write to") -> Iterator[None]:
        """Turn what the file system refuses into a message; what was stored before stays."""
        try:
            yield
        except OSError as error:
            raise BenchError(f"{failed} {self.folder}: {reason_and_cure(error)}, then {GO_ON}") from None

    def _parts(self) -> list[Path]:
        return sorted((self.folder / "parts").glob("*.parquet"), key=_part_number)


def no_rows(only: Collection[str] = SCHEMA) -> pl.DataFrame:
    """Return what is read where nothing is stored."""
    return pl.DataFrame(schema={name: kind for name, kind in SCHEMA.items() if name in only})


def open_run(root: Path, suite: str, seed: int, device: str, *, fresh: bool = False) -> Run:
    """Return the locked run to continue: the newest of this suite, seed and device, or a new one.

    Raises:
        BenchError: when another process has it, or the folder cannot be written.
    """
    known = [] if fresh else [run for run in runs_of(root / suite) if run.name.endswith(f"-s{seed}-{device}")]
    try:
        run = known[-1] if known else _new_run(root / suite, f"-s{seed}-{device}")
        _refuse_links(run.folder)
        run.lock()
    except OSError as error:
        raise BenchError(
            f"cannot write to {root}: {reason_and_cure(error)}, or choose another folder with --results"
        ) from None
    return run


def _refuse_links(folder: Path) -> None:
    """Refuse a run with links in it: what is written there would land elsewhere, in a stranger's run anywhere."""
    links = [path for path in (folder, *folder.rglob("*")) if path.is_symlink()]
    if links:
        raise BenchError(
            f"{links[0]} is a link, and a run is written only into files and folders of its own; remove the link, "
            "or use --fresh for a new folder"
        )


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
        return [_run(results)]
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


def _run(folder: Path) -> Run:
    """Return the run in ``folder``; its name matters, which the path `.` lacks."""
    return Run(folder if folder.name else folder.resolve())


def all_runs(results: Path) -> list[Run]:
    """Return every run in ``results`` (a folder of suites' folders, a suite's folder, or a run's), newest first.

    Raises:
        BenchError: when there is none.
    """
    if (results / "suite.yaml").is_file():
        return [_run(results)]
    folders = [results, *(path for path in _subfolders(results) if path.name != RESERVED)]
    found = [run for folder in folders for run in runs_of(folder) if run.suite_file.is_file()]
    if not found:
        raise BenchError(f"there are no results in {results}; run a suite first, or name its --results")
    return sorted(found, key=lambda run: run.name, reverse=True)


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _new_run(folder: Path, suffix: str) -> Run:
    """Make a run's folder whose name sorts after all others, whatever the clock says: the last one is continued."""
    while True:
        path = folder / f"{_time_of_a_new_run(folder):{_TIME}}{suffix}"
        with suppress(FileExistsError):  # another process was quicker
            path.mkdir(parents=True)
            return Run(path)


def _time_of_a_new_run(folder: Path) -> datetime:
    """Return the time, or a second after the newest run, which is later where the clock was set back."""
    now = datetime.now(UTC).replace(microsecond=0)
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    times = [time for name in names if (time := _time_of(name)) is not None]
    return max([now, *(time + timedelta(seconds=1) for time in times)])


def _time_of(name: str) -> datetime | None:
    match = _RUN_NAME.fullmatch(name)
    with suppress(ValueError):  # 99 o'clock: no run of ours
        return datetime.strptime(match[1], _TIME).replace(tzinfo=UTC) if match else None
    return None


def _part_number(path: Path) -> int:
    number = path.stem.rpartition("-")[2]
    return int(number) if number.isdigit() else 0


def _frame(rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    rows = list(rows)
    extra = sorted({name for row in rows for name in row} - set(SCHEMA))
    types = {name: pl.Float64 if name.startswith("metric.") else pl.Int64 for name in extra}
    return pl.DataFrame(rows, schema={**SCHEMA, **types}, orient="row")


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def _bytes_of(path: Path) -> bytes:
    """Return what is in a regular file: a pipe would block for ever, and a device never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise _DamagedError
    return path.read_bytes()


def _table(content: bytes, only: Collection[str]) -> pl.DataFrame:
    """Return those columns of a file of rows that we know, and of them metrics, budgets and ``only``.

    Raises:
        _DamagedError: they are of other types, or there are more of them, or of rows, than an honest file has.
    """
    columns = pl.read_parquet_schema(io.BytesIO(content))
    measured = {
        name: pl.Float64 if name.startswith("metric.") else pl.Int64 for name in columns if _MEASURED.fullmatch(name)
    }
    known = {name: kind for name, kind in {**SCHEMA, **measured}.items() if name in columns}
    if len(columns) > MAX_COLUMNS or any(columns[name] != kind for name, kind in known.items()):
        raise _DamagedError
    # Every row has an id of its own, which no compression makes shorter than a byte: more rows are a bomb.
    if pl.scan_parquet(io.BytesIO(content)).select(pl.len()).collect().item() > len(content):
        raise _DamagedError
    wanted = [name for name in known if name in measured or name in only]
    table = pl.read_parquet(io.BytesIO(content), columns=wanted)
    if "cell_id" not in only or ("cell_id" in known and not table["cell_id"].has_nulls()):
        return table
    # Rows that are older than this column.
    specs = pl.read_parquet(io.BytesIO(content), columns=["spec"])["spec"].str.replace(r',"repeat":\d+(,"seed":)', "$1")
    ids = {spec: short_id(spec) for spec in specs.unique() if spec is not None}
    return table.with_columns(specs.replace_strict(ids, default=None, return_dtype=pl.String).alias("cell_id"))


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()
