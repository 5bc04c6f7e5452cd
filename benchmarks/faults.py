"""What it costs an undisturbed run to be protected from faults: with and without protection, in the same run.

    python benchmarks/faults.py            # some ten minutes, on a machine that does nothing else
    python benchmarks/faults.py --quick    # does it run? small and short, not for quoting

Real work: batches of 50 trials of ``gaussian_cov``, m = 50 to 200, by ``mmd``, ``osmmd`` and ``mle``, stored as they
are by ``bench run``. Fits are a quarter as long as the published ones, so that protection looks dearer than it is.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

from rich.console import Console
from rich.table import Table
from speed import NOT_FOR_QUOTING, Record, Target, describe_machine

from bench_core import running, store, workspace
from bench_core.execute import batch, executor
from bench_core.execute.batch import Row, Setting
from bench_core.execute.executor import Finished, Inline
from bench_core.execute.worker import one_thread
from bench_core.plan import Job, make_plan
from bench_core.plugins import Plugins, PluginSources, load_plugins
from bench_core.store import Run
from bench_core.suite import MethodEntry, ProblemEntry, Suite

ROOT = Path(__file__).resolve().parent.parent
TARGET = Target("under", 2, " %")
LABELS = ("mmd", "osmmd", "mle")
TIMEOUT = 600.0

Patch = tuple[ModuleType | type, str, Any]
"""Module or class, name, and what stands there where the protection is gone."""

PROTECTIONS: dict[str, tuple[Patch, ...]] = {
    "state of the process": ((batch, "guarded", lambda job, device: nullcontext()),),
    "input unchanged": ((batch, "_fit", lambda method, trials: method.fit(trials)),),
    "time limit, Ctrl-C": (
        (executor, "_time_limit", lambda seconds: nullcontext(executor._Limit())),
        (executor.interrupt, "interruptible", nullcontext),
        (executor.interrupt, "insistent", nullcontext),
        (executor.interrupt, "check", lambda: None),
        (running, "held", nullcontext),
    ),
    "on the disk before going on": ((workspace.os, "fsync", lambda descriptor: None),),
    "checksums": ((store, "_digest", lambda content: "0" * 16),),
}
"""What is said to be taken away -> how."""


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Take protections away in the block."""
    with ExitStack() as stack:
        for owner, name, stand_in in (each for protection in names for each in PROTECTIONS[protection]):
            stack.enter_context(patch.object(owner, name, stand_in))
        yield


class Work:
    """Batches of a cell that are run and stored, again and again.

    Args:
        plugins: where methods and problems come from.
        label: the method.
        m: size of the sample.
        iterations: steps of a fit.
        folder: where rows are stored.
    """

    def __init__(self, plugins: Plugins, label: str, m: int, iterations: int, folder: Path) -> None:
        suite = Suite(
            name="work",
            title="Work",
            trials=50,
            problems=[ProblemEntry(name="gaussian_cov", params={"d": 10, "m": m})],
            methods=[MethodEntry(name=label, params={"iterations": iterations})],
            metrics=["error"],
        )
        (self._cell,) = make_plan(suite, plugins).cells
        self._run = Run(folder)
        self._inline = Inline(plugins, Setting("cpu", None, self._run.artifacts), TIMEOUT)

    def seconds(self) -> float:
        """Run and store one batch."""
        job = Job(self._cell, tuple(range(self._cell.width)), self._cell.width)
        begin = time.perf_counter()
        for event in self._inline.run([job]):
            if isinstance(event, Finished):
                self._store(job, event.rows)
        return time.perf_counter() - begin

    def _store(self, job: Job, rows: list[Row]) -> None:
        with running.held():
            self._run.append(job.name, rows, "0" * 16)


def measure(works: dict[str, Work], repeats: int) -> tuple[list[Record], float]:
    """Return a record per work, and the cost of all protections over all works in percent.

    Of each side the shortest time counts: whatever else the machine does only adds to it.
    """
    records = []
    for name, work in works.items():
        work.seconds()  # PyTorch's own start-up is not what is measured
        pairs = [_pair(work, turn) for turn in range(repeats)]
        protected, bare = (min(each) for each in zip(*pairs, strict=True))
        records.append(
            {"work": name, "with (ms)": 1e3 * protected, "without (ms)": 1e3 * bare, "ratio": protected / bare}
        )
    protected, bare = (sum(record[f"{side} (ms)"] for record in records) for side in ("with", "without"))
    return records, 100 * (protected / bare - 1)


def _pair(work: Work, turn: int) -> tuple[float, float]:
    """Time one batch with and one without protection, in turns first."""
    sides: list[Callable[[], float]] = [work.seconds, lambda: _without_all(work)]
    times = {index: sides[index]() for index in ((0, 1) if turn % 2 else (1, 0))}
    return times[0], times[1]


def _without_all(work: Work) -> float:
    with without(*PROTECTIONS):
        return work.seconds()


def measure_each(plugins: Plugins, folder: Path, repeats: int) -> list[Record]:
    """Return what each protection adds to a batch, on batches so short that it can be seen."""
    work = Work(plugins, "mle", 50, 1, folder)
    work.seconds()
    return [{"protection": name, "per batch (ms)": 1e3 * _added(work, name, repeats)} for name in PROTECTIONS]


def _added(work: Work, protection: str, repeats: int) -> float:
    """Return the seconds that one protection adds: the median over pairs, taken in turns first."""
    added = []
    for turn in range(repeats):
        protected = work.seconds() if turn % 2 else None
        with without(protection):
            bare = work.seconds()
        added.append((work.seconds() if protected is None else protected) - bare)
    return statistics.median(added)


def render(title: str, records: Sequence[Record]) -> Table:
    """Return a table with a row per record."""
    table = Table(title=title, title_justify="left")
    for name in records[0]:
        table.add_column(name, justify="right" if "(" in name or name == "ratio" else "left")
    for record in records:
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in record.values()))
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the tables and write them down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small and short; the numbers are not for quoting")
    parser.add_argument("--output", type=Path, default=Path("faults.json"), help="JSON file (default: faults.json)")
    options = parser.parse_args(arguments)
    quick: bool = options.quick
    console = Console(width=120)
    machine = describe_machine()
    console.print(", ".join(f"{name}: {value}" for name, value in machine.items()), highlight=False)
    plugins = load_plugins(PluginSources(checkout=ROOT / "plugins"))
    one_thread()
    sizes, iterations, repeats = ((50,), 10, 3) if quick else ((50, 100, 200), 250, 9)
    with tempfile.TemporaryDirectory() as folder:
        cells = {f"{label}, m = {m}": (label, m) for m in sizes for label in LABELS}
        works = {name: Work(plugins, *cell, iterations, Path(folder) / name) for name, cell in cells.items()}
        records, percent = measure(works, repeats)
        each = measure_each(plugins, Path(folder) / "each", 5 if quick else 200)
    verdict = TARGET.judge(percent, quick)
    suffix = f" ({NOT_FOR_QUOTING})" if quick else ""
    console.print(render(f"batches of 50 trials, run and stored, with and without protection{suffix}", records))
    console.print(render(f"what each protection adds{suffix}", each))
    met = {None: "not judged", True: "yes", False: "no"}[verdict["met"]]
    console.print(f"protection costs {percent:.2f} % of the time of the bare runs; {verdict['text']}: {met}")
    report = {"quick": quick, "machine": machine, "work": records, "each": each, "percent": percent, "target": verdict}
    options.output.write_text(json.dumps(report, indent=1) + "\n")
    console.print(f"written to {options.output}")


if __name__ == "__main__":
    main()
