"""The speed of this program, measured beside the peers' way in the same run.

    python benchmarks/speed.py                 # everything: some 15 minutes, on a machine that does nothing else
    python benchmarks/speed.py --part mmd2     # one part
    python benchmarks/speed.py --quick         # does it run? small and short, not for quoting

Parts: ``mmd2`` (value and gradient against autograd through ``torch.cdist``), ``trials`` (whole trials through
``bench run`` against ``serial.py``), ``harness`` (what everything around a method costs), ``memory``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import serial
import torch
from rich.console import Console
from rich.table import Table

from bench_core.discrepancies import mmd2, mmd2_against
from bench_core.kernels import Gaussian

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
DIMENSION = 10
BANDWIDTH = 10.0
NOT_FOR_QUOTING = "quick: not for quoting"

AUTOGRAD_MATRICES = 8
"""Matrices of size n x n, float32, that autograd through cdist holds at its peak: 7.1 measured at n = 6000."""
AUTOGRAD_BYTES = 8e9
"""Autograd is left out where it would need more memory than this."""

MEMORY_SCRIPT = """
import json, resource, sys, time
import torch
from bench_core.discrepancies import mmd2
from bench_core.kernels import Gaussian

def peak_mb():
    # Linux hands the parent's peak down to ru_maxrss of a child; VmHWM is the child's own.
    try:
        with open("/proc/self/status") as lines:
            return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1024 / (1024 if sys.platform == "darwin" else 1)

n, d, bandwidth = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
before = peak_mb()
x, y = torch.randn(n, d, requires_grad=True), torch.randn(n, d)
begin = time.perf_counter()
torch.autograd.grad(mmd2(x, y, Gaussian(bandwidth)), x)
seconds = time.perf_counter() - begin
print(json.dumps({"peak_mb": peak_mb(), "before_mb": before, "seconds": seconds}))
"""

Record: TypeAlias = dict[str, Any]
"""A row of a part: measured numbers by name, and ``target``: what the number must reach, or None."""


@dataclass(frozen=True)
class Target:
    """A bound that a measured number must keep."""

    rule: str
    bound: float
    unit: str

    def judge(self, value: float, quick: bool) -> Record:
        """Return the target in words and whether ``value`` meets it; a quick run is not judged."""
        met = value >= self.bound if self.rule == "at least" else value < self.bound
        return {"text": f"{self.rule} {self.bound:g}{self.unit}", "met": None if quick else met}


@dataclass(frozen=True)
class Part:
    """One table."""

    title: str
    measure: Callable[[bool], list[Record]]
    note: str


# --- (a) the estimator ----------------------------------------------------------------------------------------------

MMD2_TARGETS = {2000: Target("at least", 20, "x")}


def measure_mmd2(quick: bool) -> list[Record]:
    """Time value and gradient with respect to x of one pair of samples, n = m, by four ways in turn."""
    sizes = [50, 200, 800] if quick else [50, 100, 200, 400, 800, 1600, 2000, 4000, 8000]
    return [_mmd2_record(n, quick) for n in sizes]


def _mmd2_record(n: int, quick: bool) -> Record:
    calls = _mmd2_calls(n)
    times = _medians(calls, seconds=0.1 if quick else 4.0, least=2 if quick else 5)
    record: Record = {"n = m": n}
    for ours, theirs, ratio in (("mmd2", "autograd", "ratio"), ("against", "autograd, y kept", "ratio, y kept")):
        known = theirs in times
        record[f"{ours} (ms)"] = times[ours] * 1e3
        record[f"{theirs} (ms)"] = times[theirs] * 1e3 if known else None
        record[ratio] = times[theirs] / times[ours] if known else None
    target = MMD2_TARGETS.get(n)
    record["target"] = target.judge(record["ratio"], quick) if target and record["ratio"] else None
    return record


def _mmd2_calls(n: int) -> dict[str, Callable[[], object]]:
    """What is timed. ``against`` is ``mmd2_against``; ``y kept`` is autograd with y's own term computed beforehand."""
    rng = torch.Generator().manual_seed(n)
    x = torch.randn(n, DIMENSION, generator=rng).requires_grad_()
    y = torch.randn(n, DIMENSION, generator=rng) + 0.1
    kernel = Gaussian(BANDWIDTH)
    against = mmd2_against(y, kernel)
    calls: dict[str, Callable[[], object]] = {
        "mmd2": lambda: torch.autograd.grad(mmd2(x, y, kernel), x),
        "against": lambda: torch.autograd.grad(against(x), x),
    }
    if AUTOGRAD_MATRICES * 4 * n * n <= AUTOGRAD_BYTES:
        within_y = serial.within(y, BANDWIDTH)
        calls["autograd"] = lambda: torch.autograd.grad(serial.mmd2(x, y, BANDWIDTH), x)
        calls["autograd, y kept"] = lambda: torch.autograd.grad(serial.mmd2(x, y, BANDWIDTH, within_y), x)
    return calls


def _medians(calls: Mapping[str, Callable[[], object]], seconds: float, least: int) -> dict[str, float]:
    """Median seconds of each call. They take turns, so that a disturbance of the machine meets all of them."""
    for call in calls.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < least or time.perf_counter() < end:
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - begin)
        rounds += 1
    return {name: statistics.median(measured) for name, measured in times.items()}


# --- (b) whole trials -----------------------------------------------------------------------------------------------

TRIALS_TARGETS = {m: Target("at least", bound, "x") for m, bound in ((50, 25), (100, 12), (200, 7), (400, 5))}
SERIAL_TRIALS = 20


def measure_trials(quick: bool) -> list[Record]:
    """Time ``bench run``, start-up included, and the serial script, start-up left out in its favour."""
    return [_trials_record(m, quick) for m in ([50] if quick else TRIALS_TARGETS)]


def _trials_record(m: int, quick: bool) -> Record:
    trials, iterations = (64, 50) if quick else (4000, serial.ITERATIONS)
    # The serial trials come half before and half after, so that a machine that slows down slows both.
    half = 1 if quick else SERIAL_TRIALS // 2
    before = _serial(m, half, iterations, seed=0)
    suite = ["gaussian_mean", "--method", "mmd", "--set", f"m={m}", "--set", f"mmd.iterations={iterations}"]
    with tempfile.TemporaryDirectory() as results:
        ours = _seconds([*_bench(), "run", *suite, "--trials", str(trials), "--results", results, "--quiet"]) / trials
    after = _serial(m, half, iterations, seed=half)
    theirs = (before["seconds_per_trial"] + after["seconds_per_trial"]) / 2
    return {
        "m": m,
        "iterations": iterations,
        "bench trials": trials,
        "bench (s/trial)": ours,
        "serial trials": 2 * half,
        "serial (s/trial)": theirs,
        "ratio": theirs / ours,
        "target": TRIALS_TARGETS[m].judge(theirs / ours, quick),
    }


def _serial(m: int, trials: int, iterations: int, seed: int) -> Record:
    numbers = {"--m": m, "--trials": trials, "--iterations": iterations, "--seed": seed}
    options = [text for name, number in numbers.items() for text in (name, str(number))]
    found: Record = json.loads(_output([sys.executable, str(HERE / "serial.py"), *options]))
    return found


# --- (c) the harness ------------------------------------------------------------------------------------------------


def measure_harness(quick: bool) -> list[Record]:
    """Time a run of a method that does nothing, the same run once more, and two commands."""
    trials = 1000 if quick else 20_000
    first, again, startup = _noop_seconds(trials)
    repeats = 3 if quick else 7
    measured = [
        (f"{trials} trials of a no-op", first, "s", Target("under", 10, " s")),
        ("each, start-up included", first / trials * 1e3, "ms", None),
        ("each, start-up taken out", (first - startup) / (trials - 2) * 1e3, "ms", Target("under", 0.3, " ms")),
        ("the run again: resume", again, "s", Target("under", 3, " s")),
        ("bench --help", _median_seconds([*_bench(), "--help"], repeats), "s", Target("under", 0.3, " s")),
        ("bench list suites", _median_seconds([*_bench(), "list", "suites"], repeats), "s", Target("under", 0.3, " s")),
    ]
    return [
        {"what": what, "measured": value, "unit": unit, "target": target.judge(value, quick) if target else None}
        for what, value, unit, target in measured
    ]


def _noop_seconds(trials: int) -> tuple[float, float, float]:
    """Seconds of a run of ``noop``, of the same command once more, and of a run of two trials only."""
    with tempfile.TemporaryDirectory() as results, tempfile.TemporaryDirectory() as others:
        command = [*_bench(), "run", str(HERE / "noop" / "noop.yaml"), "--plugin-dir", str(HERE / "noop"), "--quiet"]
        many = [*command, "--trials", str(trials), "--results", results]
        return _seconds(many), _seconds(many), _seconds([*command, "--trials", "2", "--results", others])


# --- (d) memory -----------------------------------------------------------------------------------------------------


def measure_memory(quick: bool) -> list[Record]:
    """Measure the peak memory of a process that computes one large MMD^2 with its gradient."""
    n = 5000 if quick else 50_000
    command = [sys.executable, "-c", MEMORY_SCRIPT, str(n), str(DIMENSION), str(BANDWIDTH)]
    found = json.loads(_output(command))
    peak = {"n = m": n, "peak (MB)": found["peak_mb"], "before (MB)": found["before_mb"], "seconds": found["seconds"]}
    return [{**peak, "target": Target("under", 1000, " MB").judge(found["peak_mb"], quick)}]


# --- processes ------------------------------------------------------------------------------------------------------


def _bench() -> list[str]:
    """The command of the environment that runs this script."""
    beside = Path(sys.executable).with_name("bench")
    found = str(beside) if beside.exists() else shutil.which("bench")
    if found is None:
        raise SystemExit("error: there is no command 'bench'; install the project first: pip install -e .")
    return [found]


def _output(command: Sequence[str]) -> str:
    """Run to the end and return what was printed."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"error: {' '.join(command[:4])} … ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def _seconds(command: Sequence[str]) -> float:
    """Wall time of the whole process."""
    begin = time.perf_counter()
    _output(command)
    return time.perf_counter() - begin


def _median_seconds(command: Sequence[str], repeats: int) -> float:
    return statistics.median(_seconds(command) for _ in range(repeats))


# --- report ---------------------------------------------------------------------------------------------------------

PARTS = {
    "mmd2": Part(
        "mmd2: value and gradient with respect to x, d = 10, float32",
        measure_mmd2,
        "Autograd goes through torch.cdist. 'y kept': what depends on y only is computed beforehand, on both sides. "
        f"Autograd is left out above {AUTOGRAD_BYTES / 1e9:g} GB of memory, "
        f"n = {math.isqrt(int(AUTOGRAD_BYTES / 4 / AUTOGRAD_MATRICES))}.",
    ),
    "trials": Part(
        "trials: mmd on gaussian_mean, whole trials",
        measure_trials,
        "bench: wall time of the process, start-up included. serial: benchmarks/serial.py without its start-up.",
    ),
    "harness": Part("harness: what is around a method", measure_harness, "Wall times of whole processes."),
    "memory": Part(
        "memory: one mmd2 with gradient, d = 10, float32",
        measure_memory,
        "Peak resident memory of the process, PyTorch included; 'before' is the process with its imports only.",
    ),
}


def describe_machine() -> Record:
    """Return what the numbers depend on."""
    return {
        "cpu": _cpu_name(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def render(part: Part, records: Sequence[Record], quick: bool) -> Table:
    """Return the table of one part."""
    title = f"{part.title} ({NOT_FOR_QUOTING})" if quick else part.title
    table = Table(title=title, caption=part.note, title_justify="left", caption_justify="left")
    for name in records[0]:
        table.add_column(name, justify="left" if name in ("what", "unit", "target") else "right")
    for record in records:
        table.add_row(*(_cell(name, value) for name, value in record.items()))
    return table


def _cell(name: str, value: Any) -> str:
    if name == "target":
        return _verdict(value)
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)


def _verdict(target: Record | None) -> str:
    if target is None:
        return ""
    met = {None: "not judged", True: "[green]yes[/green]", False: "[red]no[/red]"}[target["met"]]
    return f"{target['text']}: {met}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the chosen parts, print their tables and write them down, each as soon as it is there."""
    options = _parse(arguments)
    quick: bool = options.quick
    console = Console()
    if not console.is_terminal:  # in a file, tables need not fit 80 columns
        console = Console(width=120)
    machine = describe_machine()
    console.print(", ".join(f"{name}: {value}" for name, value in machine.items()), highlight=False)
    if machine["load"] > 0.3 * machine["cores"]:
        # On a busy machine PyTorch's default threads wait for one another, and every ratio flatters us.
        console.print("[yellow]warning: this machine is busy; the numbers are not for quoting[/yellow]")
    report: Record = {"quick": quick, "note": NOT_FOR_QUOTING if quick else "", "machine": machine, "parts": {}}
    for name in options.part or PARTS:
        report["parts"][name] = PARTS[name].measure(quick)
        console.print()
        console.print(render(PARTS[name], report["parts"][name], quick))
        options.output.write_text(json.dumps(report, indent=1) + "\n")
    console.print(f"\nwritten to {options.output}")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small and short; the numbers are not for quoting")
    parser.add_argument("--part", action="append", choices=list(PARTS), help="only this part; repeatable")
    parser.add_argument("--output", type=Path, default=Path("speed.json"), help="JSON file (default: speed.json)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
