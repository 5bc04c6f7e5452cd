"""Time and memory of `bench report` on a million stored trials: `python benchmarks/report.py`.

The rows are made up, the report is the real one: a process per format, start-up included. Python's bytecode is cached,
as it is for everybody who runs a command twice.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import polars as pl

from bench_core.plan import Cell, make_plan
from bench_core.plugins import PluginSources, load_plugins
from bench_core.store import SCHEMA, open_run
from bench_core.suite import load_suite

REPO = Path(__file__).resolve().parent.parent
FORMATS = ("rich", "markdown", "latex", "csv", "json")
LABELS = 9
SUITE = """\
name: many
title: Made-up trials
trials: {trials}
problems: [{{name: gaussian_cov, params: {{d: 10, threshold: 0.05}}, grid: {{m: [50, 100, 200, 400, 800]}}}}]
methods: [{methods}, {{name: truth}}]
metrics: [success, error]
report: {{metric: success, x: m}}
"""


def main() -> None:
    """Read the command line, make the rows, time every format."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20_000, help="per cell, of which there are 50 (default: 20 000)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # In a process of its own: a child's peak memory counts what its parent has when it is started.
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            rows = pool.submit(made_up, Path(folder), arguments.trials).result()
        print(f"{rows} stored trials, {size(Path(folder)):.0f} MB on the disk")
        print("| format | seconds | MB |\n| --- | --- | --- |")
        for name in FORMATS:
            seconds, peak = timed([str(Path(sys.executable).with_name("bench")), "report", folder, "--format", name])
            print(f"| {name} | {seconds:.2f} | {peak:.0f} |", flush=True)


def made_up(folder: Path, trials: int) -> int:
    """Store rows of a suite as a run would have left them, and return their number."""
    methods = ", ".join(f"{{name: mmd, label: l{i}, params: {{lr: 0.0{i + 1}}}}}" for i in range(LABELS))
    file = folder / "many.yaml"
    file.write_text(SUITE.format(trials=trials, methods=methods), encoding="utf-8")
    suite = load_suite(file)
    plan = make_plan(suite, load_plugins(PluginSources(checkout=REPO / "plugins")))
    run = open_run(folder, suite.name, suite.seed, "cpu")
    run.write_suite(suite.resolved())
    (run.folder / "parts").mkdir(exist_ok=True)
    for number, frame in enumerate(frames(plan.cells), 1):
        frame.write_parquet(run.folder / "parts" / f"made-{number}.parquet")
    run.compact()
    run.unlock()
    return plan.trials


def frames(cells: tuple[Cell, ...]) -> Iterator[pl.DataFrame]:
    """Yield the rows of each cell: log-normal errors that are alike within a trial, and one failure in a hundred."""
    for index, cell in enumerate(cells):
        repeats = range(cell.trials)
        data = np.random.default_rng(index // (LABELS + 1)).lognormal(-3, 0.5, cell.trials)
        rng = np.random.default_rng(1000 + index)
        failed = pl.Series(rng.random(cell.trials) < 0.01)
        columns = {
            "trial_id": [cell.trial_id(repeat) for repeat in repeats],
            "repeat": repeats,
            "slot": [repeat % cell.width for repeat in repeats],
            "data_digest": [f"{hash((cell.problem_key, repeat)) & (2**64 - 1):016x}" for repeat in repeats],
            "spec": [cell.spec(repeat) for repeat in repeats],
            "seconds": rng.random(cell.trials),
            "metric.error": data * rng.lognormal(0, 0.2, cell.trials),
        }
        shared = {
            "cell_id": cell.cell_id,
            "suite": cell.suite,
            "problem": cell.problem,
            "method": cell.method,
            "label": cell.label,
            "seed": cell.seed,
            "split": cell.split,
            "device": "cpu",
            "dtype": "float32",
            "batch_size": cell.width,
            "env_id": "0" * 16,
            "method_version": cell.method_version,
            "method_digest": cell.method_digest,
            "problem_version": cell.problem_version,
            "problem_digest": cell.problem_digest,
            "budget.gradient_steps": 1000,
            "budget.generated_samples": 100_000,
        }
        frame = pl.DataFrame(columns).with_columns(pl.lit(value).alias(name) for name, value in shared.items())
        frame = frame.with_columns(
            pl.when(failed).then(pl.lit("error")).otherwise(pl.lit("ok")).alias("status"),
            pl.when(failed).then(pl.lit("ValueError: made up")).alias("reason"),
            pl.when(~failed).then("metric.error").alias("metric.error"),
        )
        types = {name: SCHEMA.get(name, pl.Float64 if "metric." in name else pl.Int64) for name in frame.columns}
        yield pl.concat([pl.DataFrame(schema=SCHEMA), frame.cast(types)], how="diagonal")


def size(folder: Path) -> float:
    """Return the megabytes in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def timed(command: list[str]) -> tuple[float, float]:
    """Run a command; return its seconds and its peak memory in MB."""
    start = time.perf_counter()
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=REPO, env=env)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
