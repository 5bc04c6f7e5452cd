"""How long the published blocks of the six experiments take, beside the peers' way in the same run.

    python benchmarks/experiments.py                  # everything: some 15 minutes, on a machine that does nothing else
    python benchmarks/experiments.py --suite gmm_cov  # one suite; repeatable
    python benchmarks/experiments.py --quick          # does it run? one cell per label, not for quoting

The published block of a suite is what Alon, Globerson and Wiesel ran, at their numbers of repeats and iterations: its
labels without ``select``, but for those of our own. Every cell is measured on a sample and extrapolated:

- ours: ``bench``'s own executor with one worker per core, all busy at once, with full batches of the width that ``bench
  run`` takes, from handing out a batch until its rows are stored. It is done at two numbers of iterations and a line is
  drawn through them, so that what a batch costs besides its iterations is in it. (Random numbers are drawn many
  iterations ahead, which shifts the line by less than 1 %.) The minutes of a suite are those of all its batches, handed
  out in the order of ``bench run``, and of one ``bench run`` of its controls with start-up and table.
- serial: ``serial_experiments.py``, one trial, whose iterations are timed after a warm-up, with PyTorch's own number of
  threads and with one, each before and after ours; the faster of the two counts, cell by cell. Start-up is left out.
"""

from __future__ import annotations

import argparse
import heapq
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import serial_experiments
import torch
from rich.console import Console
from rich.table import Table
from serial_experiments import Setup, Timing, seconds_per_step
from speed import NOT_FOR_QUOTING, Record, Target, describe_machine

from bench_core.environment import collect
from bench_core.execute.batch import Setting
from bench_core.execute.executor import Finished, Started
from bench_core.execute.processes import Processes, default_workers
from bench_core.plan import Cell, Job, Plan, make_plan
from bench_core.plugins import Plugins, PluginSources, load_plugins
from bench_core.running import interleaved
from bench_core.store import Run, open_run
from bench_core.suite import load_suite

ROOT = Path(__file__).resolve().parent.parent
SUITES = ("gaussian_mean", "gmm_mean", "gaussian_cov", "gmm_cov", "epsilon_sweep", "linear_unmixing")
OUR_OWN = {
    "epsilon_sweep": frozenset({"osmmd-text", "mle-1k", "mle-100k"}),
    "linear_unmixing": frozenset({"mmd2-random", "wgan1-random"}),
}
"""Labels without ``select`` that the paper does not have."""
BENCH = "from bench_core.cli import main; main()"
"""What the command ``bench`` does."""
MINUTES = Target("under", 75, " min")
"""For all six suites on two cores."""
RATIO = Target("at least", 6, "x")


@dataclass(frozen=True)
class Samples:
    """On how much the extrapolation rests."""

    short: int
    """Iterations of ours, one batch per worker."""
    long: int
    """The same once more with these."""
    warm_up: int
    """Iterations of the serial side that are not timed."""
    steps: int
    """Iterations that are; as many before ours as after."""

    def __str__(self) -> str:
        return (
            f"samples per cell: ours one full batch per worker with {self.short} iterations and one with {self.long}; "
            f"serial {self.steps} iterations after {self.warm_up} others, twice with each number of threads"
        )


FULL = Samples(short=64, long=320, warm_up=20, steps=200)
QUICK = Samples(short=2, long=4, warm_up=1, steps=3)


# --- what is measured -------------------------------------------------------------------------------------------------


def published(plan: Plan) -> list[int]:
    """Return the indices of the cells of the published block, controls aside."""
    tuned = {entry.label for entry in plan.suite.methods if entry.select}
    left_out = tuned | OUR_OWN.get(plan.suite.name, frozenset())
    return [
        index for index, cell in enumerate(plan.cells) if not (cell.control or cell.skipped or cell.label in left_out)
    ]


def setup_of(cell: Cell) -> Setup:
    """Return what the serial script has to do for a trial of ``cell``."""
    problem, method = dict(cell.problem_params), cell.method_params
    fakes = max(2, round(problem["fakes_ratio"] * problem["m"]))
    taken = serial_experiments.DRAW[cell.problem].__annotations__
    known = {name: method[name] for name in ("bandwidth", "hidden_layers") if name in method}
    arguments = {name: value for name, value in problem.items() if name in taken}
    return Setup(cell.problem, cell.method, arguments, lr=method["lr"], fakes=fakes, **known)


def shortened(cell: Cell, iterations: int) -> Cell:
    """Return ``cell`` with fewer iterations, at the same width."""
    changed = {"iterations": iterations}
    return replace(
        cell,
        method_params={**cell.method_params, **changed},
        method_identity={**cell.method_identity, **changed},
    )


def extrapolated(short: tuple[int, float], long: tuple[int, float], iterations: int) -> float:
    """Return the seconds after ``iterations`` on the line through two measurements (iterations, seconds)."""
    # Noise may turn the line of a quick run round; nothing gets faster by having more to do.
    slope = max(0.0, (long[1] - short[1]) / (long[0] - short[0]))
    return short[1] + slope * (iterations - short[0])


def makespan(durations: Iterable[float], workers: int) -> float:
    """Return the seconds until all batches are done, each going to the worker that is idle first."""
    idle_at = [0.0] * workers
    for seconds in durations:
        heapq.heapreplace(idle_at, idle_at[0] + seconds)
    return max(idle_at)


# --- ours -------------------------------------------------------------------------------------------------------------


class Ours:
    """Times batches through the executor and the store, as ``bench run`` does with them.

    Args:
        plugins: those of the checkout.
        workers: number of worker processes.
        samples: how many iterations are timed.
    """

    def __init__(self, plugins: Plugins, workers: int, samples: Samples) -> None:
        self._plugins, self._workers, self._samples = plugins, workers, samples

    def measure(self, plan: Plan, cells: Mapping[int, Cell]) -> dict[int, Record]:
        """Return per cell what one batch took, in seconds, at both numbers of iterations and in full."""
        samples = self._samples
        # What only the first batch of a method costs in a worker is left to the warm-up, as it is no part of a line.
        warm_up = [shortened(cell, samples.short) for cell in {cell.label: cell for cell in cells.values()}.values()]
        measured = [shortened(cell, n) for cell in cells.values() for n in (samples.short, samples.long)]
        with tempfile.TemporaryDirectory() as folder:
            run = open_run(Path(folder), plan.suite.name, plan.suite.seed, "cpu")
            try:
                jobs = [job for cell in (*warm_up, *measured) for job in self._one_each(cell)]
                seconds = self._timed(jobs, run, plan.suite.timeout)[len(warm_up) * self._workers :]
            finally:
                run.unlock()
        found = {}
        for position, (index, cell) in enumerate(cells.items()):
            at = 2 * position * self._workers
            short, long = (
                statistics.fmean(seconds[first : first + self._workers]) for first in (at, at + self._workers)
            )
            iterations = cell.method_params["iterations"]
            full = extrapolated((samples.short, short), (samples.long, long), iterations)
            found[index] = {"width": cell.width, "short_s": short, "long_s": long, "batch_s": full}
        return found

    def _one_each(self, cell: Cell) -> list[Job]:
        """Return as many full batches as there are workers."""
        starts = range(0, self._workers * cell.width, cell.width)
        return [Job(cell, tuple(range(start, start + cell.width)), cell.width) for start in starts]

    def _timed(self, jobs: Sequence[Job], run: Run, timeout: float) -> list[float]:
        """Return the seconds of each batch, from being handed out until its rows are stored."""
        begun: dict[int, float] = {}
        ended: dict[int, float] = {}

        def handed_out() -> Iterator[Job]:
            for job in jobs:
                begun[id(job)] = time.perf_counter()
                yield job

        setting = Setting("cpu", None, run.artifacts, log=run.log)
        executor = Processes(self._plugins.sources, setting, timeout, self._workers)
        env_id = ""
        with closing(executor.run(handed_out())) as events:
            for event in events:
                if isinstance(event, Started):
                    env_id, env = collect(event.facts, self._plugins.loaded)
                    run.add_environment(env_id, env)
                elif isinstance(event, Finished):
                    _refuse_failures(event)
                    # Two batches of one name, as of the warm-up, are two parts.
                    run.append(event.job.name, [{**row, "looks": None} for row in event.rows], env_id)
                    ended[id(event.job)] = time.perf_counter()
        return [ended[id(job)] - begun[id(job)] for job in jobs]


def _refuse_failures(event: Finished) -> None:
    """Stop where trials did not run: their time means nothing. One that ended in NaN is published as such."""
    for row in event.rows:
        if row["status"] not in ("ok", "nan"):
            raise SystemExit(f"error: {row['label']}: {row['status']}: {row['reason']}")


def controls_seconds(suite: str, labels: Sequence[str], trials: int | None) -> float:
    """Return the wall time of ``bench run`` of the controls, which is start-up, table and little else."""
    command = [sys.executable, "-c", BENCH, "run", suite, "--quiet", "--no-reference", "--device", "cpu"]
    command += [text for label in labels for text in ("--method", label)]
    command += ["--trials", str(trials)] if trials else []
    with tempfile.TemporaryDirectory() as results:
        begin = time.perf_counter()
        done = subprocess.run([*command, "--results", results], cwd=ROOT, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - begin
    if done.returncode:
        raise SystemExit(f"error: bench run {suite} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return seconds


# --- serial -----------------------------------------------------------------------------------------------------------


def measure_serial(cells: Mapping[int, Cell], samples: Samples) -> dict[int, dict[int, Timing]]:
    """Return per cell and number of threads what a trial costs."""
    as_it_comes = torch.get_num_threads()
    found: dict[int, dict[int, Timing]] = {index: {} for index in cells}
    try:
        for index, cell in cells.items():
            for threads in sorted({1, as_it_comes}):
                torch.set_num_threads(threads)
                found[index][threads] = seconds_per_step(setup_of(cell), samples.steps, samples.warm_up)
    finally:
        torch.set_num_threads(as_it_comes)
    return found


def fastest(runs: Sequence[Mapping[int, Timing]], iterations: int) -> tuple[int, float]:
    """Return the number of threads with which a trial is fastest, and its seconds, on average over ``runs``."""
    seconds = {threads: statistics.fmean(run[threads].trial(iterations) for run in runs) for threads in runs[0]}
    return min(seconds.items(), key=lambda item: item[1])


# --- a suite ----------------------------------------------------------------------------------------------------------


def measure_suite(name: str, plugins: Plugins, workers: int, quick: bool) -> Record:
    """Return the cells of a suite's published block and the minutes that all their repeats take."""
    samples = QUICK if quick else FULL
    plan = make_plan(load_suite(ROOT / "suites" / f"{name}.yaml"), plugins)
    cells = {index: plan.cells[index] for index in published(plan)}
    if quick:
        first = {cell.label: index for index, cell in reversed(cells.items())}
        cells = {index: cells[index] for index in sorted(first.values())}
    before = measure_serial(cells, samples)
    ours = Ours(plugins, workers, samples).measure(plan, cells)
    after = measure_serial(cells, samples)
    records = {
        index: _record(cell, ours[index], [before[index], after[index]], workers) for index, cell in cells.items()
    }
    controls = sorted({cell.label for cell in plan.cells if cell.control})
    overhead = controls_seconds(name, controls, 1 if quick else None)
    batches = interleaved(plan, {index: list(cell.repeats) for index, cell in cells.items()})
    index_of = {id(cell): index for index, cell in cells.items()}
    work = makespan((records[index_of[id(job.cell)]]["batch_s"] for job in batches), workers)
    serial = sum(record["trials"] * record["serial_s"] for record in records.values())
    return {
        "cells": list(records.values()),
        "controls_min": overhead / 60,
        "serial_min": serial / 60,
        "ours_min": (work + overhead) / 60,
        "ratio": serial / (work + overhead),
    }


def _record(cell: Cell, ours: Record, serial: Sequence[Mapping[int, Timing]], workers: int) -> Record:
    iterations = cell.method_params["iterations"]
    threads, theirs = fastest(serial, iterations)
    # All workers at once finish a batch each in the time of one.
    per_trial = ours["batch_s"] / cell.width / workers
    return {
        "label": cell.label,
        "x": cell.x,
        "iterations": iterations,
        "trials": cell.trials,
        **ours,
        "ours_s": per_trial,
        "serial_s": theirs,
        "serial_threads": threads,
        "serial_steps_s": {str(count): [run[count].step for run in serial] for count in serial[0]},
        "ratio": theirs / per_trial,
    }


def total(suites: Mapping[str, Record], quick: bool) -> Record:
    """Return the sum over ``suites``, judged where it is over all six."""
    serial, ours = (sum(suite[f"{side}_min"] for suite in suites.values()) for side in ("serial", "ours"))
    unjudged = quick or set(suites) != set(SUITES)
    return {
        "serial_min": serial,
        "ours_min": ours,
        "ratio": serial / ours,
        "targets": [MINUTES.judge(ours, unjudged), RATIO.judge(serial / ours, unjudged)],
    }


# --- report -----------------------------------------------------------------------------------------------------------


def suite_table(name: str, suite: Record, x: str, quick: bool) -> Table:
    """Return the cells of one suite."""
    caption = (
        "Seconds are the machine's: ours are those of a batch over the trials that all workers finish in them. "
        f"Controls and start-up: {suite['controls_min'] * 60:.0f} s. {_sides(suite)}"
    )
    table = _table(name, quick, caption)
    for column in (
        "label",
        x,
        "repeats",
        "iterations",
        "width",
        "serial (s/trial)",
        "threads",
        "ours (s/trial)",
        "ratio",
    ):
        table.add_column(column, justify="left" if column == "label" else "right")
    for cell in suite["cells"]:
        table.add_row(
            cell["label"],
            f"{cell['x']:g}",
            *(str(cell[key]) for key in ("trials", "iterations", "width")),
            f"{cell['serial_s']:.3g}",
            str(cell["serial_threads"]),
            f"{cell['ours_s']:.3g}",
            f"{cell['ratio']:.1f}",
        )
    return table


def total_table(suites: Mapping[str, Record], everything: Record, quick: bool) -> Table:
    """Return the minutes of every suite and of all of them."""
    verdicts = {None: "not judged", True: "[green]yes[/green]", False: "[red]no[/red]"}
    targets = [f"{target['text']}: {verdicts[target['met']]}" for target in everything["targets"]]
    table = _table("published blocks", quick, f"Targets for all six on two cores: {'; '.join(targets)}.")
    table.add_column("suite")
    for column in ("serial (min)", "ours (min)", "ratio"):
        table.add_column(column, justify="right")
    for name, row in {**suites, "together": everything}.items():
        table.add_row(name, f"{row['serial_min']:.1f}", f"{row['ours_min']:.2f}", f"{row['ratio']:.1f}")
    return table


def _table(title: str, quick: bool, caption: str) -> Table:
    title = f"{title} ({NOT_FOR_QUOTING})" if quick else title
    return Table(title=title, caption=caption, title_justify="left", caption_justify="left")


def _sides(row: Record) -> str:
    return f"All repeats: serial {row['serial_min']:.1f} min, ours {row['ours_min']:.2f} min, ratio {row['ratio']:.1f}."


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the chosen suites, print their tables and write them down, each as soon as it is there."""
    options = _parse(arguments)
    quick: bool = options.quick
    samples = QUICK if quick else FULL
    console = Console()
    if not console.is_terminal:  # in a file, tables need not fit 80 columns
        console = Console(width=120)
    machine = describe_machine()
    workers = default_workers("cpu")
    console.print(", ".join(f"{name}: {value}" for name, value in machine.items()), highlight=False)
    console.print(f"{samples}; workers: {workers}", highlight=False)
    if machine["load"] > 0.3 * machine["cores"]:
        console.print("[yellow]warning: this machine is busy; the numbers are not for quoting[/yellow]")
    plugins = load_plugins(PluginSources(checkout=ROOT / "plugins"))
    suites: dict[str, Record] = {}
    report: Record = {
        "quick": quick,
        "note": NOT_FOR_QUOTING if quick else "",
        "machine": machine,
        "workers": workers,
        "samples": asdict(samples),
        "suites": suites,
    }
    begin = time.perf_counter()
    for name in dict.fromkeys(options.suite or SUITES):
        suites[name] = measure_suite(name, plugins, workers, quick)
        report["total"] = total(suites, quick)
        report["seconds"] = time.perf_counter() - begin
        x = load_suite(ROOT / "suites" / f"{name}.yaml").report.x or ""
        console.print()
        console.print(suite_table(name, suites[name], x, quick))
        options.output.write_text(json.dumps(report, indent=1) + "\n")
    console.print()
    console.print(total_table(suites, report["total"], quick))
    console.print(f"\nmeasured in {report['seconds'] / 60:.1f} min, written to {options.output}")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small and short; the numbers are not for quoting")
    parser.add_argument("--suite", action="append", choices=SUITES, help="only this suite; repeatable")
    parser.add_argument("--output", type=Path, default=Path("experiments.json"), help="(default: experiments.json)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
