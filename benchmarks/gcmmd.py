"""The Gradient-Constrained MMD of images: what its incomplete Cholesky factorisation costs, and how near it comes.

    python benchmarks/gcmmd.py            # half a minute, on a machine that does nothing else
    python benchmarks/gcmmd.py --quick    # does it run? small and short, not for quoting

Parts: ``cost`` (value and gradient with respect to both samples, in a process of its own), ``rank`` (the distance from
the exact solution as the rank grows).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from speed import NOT_FOR_QUOTING, Part, Record, Target, describe_machine, render

from bench_core.discrepancies.gcmmd import gcmmd2
from bench_core.kernels import Gaussian

ROOT = Path(__file__).resolve().parent.parent
POINTS = 64
PIXELS = 784
SECONDS = Target("under", 2, " s")
MEMORY = Target("under", 500, " MB")
ERROR = Target("under", 1e-6, "")
RANKS = (1, 5, 10, 25, 50, 75, 100, 150)
SETTINGS = ((2, 1.0), (2, 1e-3), (4, 1.0))
"""Dimension and lambda of the comparison; the bandwidth is the dimension."""

COST_SCRIPT = """
import json, resource, statistics, sys, time
import torch
from torch.utils.checkpoint import checkpoint
from bench_core.discrepancies.gcmmd import gcmmd2
from bench_core.kernels import Gaussian

def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 / (1024 if sys.platform == "darwin" else 1)

points, pixels, rank, repeats = map(int, sys.argv[1:])
torch.set_num_threads(1)
rng = torch.Generator().manual_seed(0)
x = torch.rand(points, pixels, generator=rng).requires_grad_()
y = (0.9 * torch.rand(points, pixels, generator=rng)).requires_grad_()
kernel = Gaussian(pixels / 12)
# Before its first use, checkpointing imports a part of PyTorch that weighs 150 MB.
checkpoint(torch.sin, torch.ones(1, requires_grad=True), use_reentrant=False)
before, wall, processor = peak_mb(), [], []
for _ in range(repeats):
    begin, begin_processor = time.perf_counter(), time.process_time()
    value = gcmmd2(x, y, kernel, solver="cholesky", rank=rank)
    torch.autograd.grad(value, (x, y))
    wall.append(time.perf_counter() - begin)
    processor.append(time.process_time() - begin_processor)
found = {"wall": statistics.median(wall), "processor": statistics.median(processor)}
print(json.dumps({**found, "before_mb": before, "above_mb": peak_mb() - before}))
"""


def measure_cost(quick: bool) -> list[Record]:
    """Time and memory of value and gradient in a process of its own."""
    records: list[Record] = []
    for rank in (10,) if quick else (50, 100, 200):
        numbers = [str(number) for number in (POINTS, PIXELS, rank, 1 if quick else 5)]
        command = [sys.executable, "-c", COST_SCRIPT, *numbers]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout)
        for name, value, target in (
            ("processor time (s)", found["processor"], SECONDS),
            ("wall time (s)", found["wall"], None),
            ("peak above the imports (MB)", found["above_mb"], MEMORY),
        ):
            judged = target.judge(value, quick) if target else None
            records.append({"what": name, "rank": rank, "measured": value, "target": judged})
    return records


def measure_rank(quick: bool) -> list[Record]:
    """The relative distance from the exact value, setting by setting, as the rank grows."""
    records: list[Record] = []
    for d, lam in SETTINGS[:1] if quick else SETTINGS:
        rng = torch.Generator().manual_seed(d)
        x = torch.randn(POINTS, d, generator=rng, dtype=torch.float64)
        y = torch.randn(POINTS, d, generator=rng, dtype=torch.float64) + 0.3
        exact = gcmmd2(x, y, Gaussian(d), lam=lam, solver="exact").item()
        for rank in (*(rank for rank in RANKS if rank < POINTS * (1 + d)), None):
            value = gcmmd2(x, y, Gaussian(d), lam=lam, solver="cholesky", rank=rank).item()
            error = abs(value / exact - 1)
            judged = ERROR.judge(error, quick) if rank is None else None
            setting = {"d": d, "lambda": lam, "equations": POINTS * (1 + d), "rank": rank or "default"}
            records.append({**setting, "exact": exact, "relative error": error, "target": judged})
    return records


PARTS = {
    "cost": Part(
        f"cost: gcmmd2 by Cholesky with its gradient, {POINTS} points, d = {PIXELS}, no features, float32",
        measure_cost,
        f"One thread; {POINTS * (1 + PIXELS)} equations, whose matrix would take 20 GB.",
    ),
    "rank": Part(
        f"rank: gcmmd2 by Cholesky against the exact solution, {POINTS} points, float64",
        measure_rank,
        "Without a rank, the factorisation ends when no pivot weighs more than 1e-10 of lambda or of the first.",
    ),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the tables and write them down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small and short; the numbers are not for quoting")
    parser.add_argument("--output", type=Path, default=Path("gcmmd.json"), help="JSON file (default: gcmmd.json)")
    options = parser.parse_args(arguments)
    console = Console(width=120)
    machine = describe_machine()
    console.print(", ".join(f"{name}: {value}" for name, value in machine.items()), highlight=False)
    if machine["load"] > 0.3 * machine["cores"]:
        console.print("[yellow]warning: this machine is busy; the numbers are not for quoting[/yellow]")
    note = NOT_FOR_QUOTING if options.quick else ""
    report: Record = {"quick": options.quick, "note": note, "machine": machine, "parts": {}}
    for name, part in PARTS.items():
        report["parts"][name] = part.measure(options.quick)
        console.print()
        console.print(render(part, report["parts"][name], options.quick))
    options.output.write_text(json.dumps(report, indent=1) + "\n")
    console.print(f"\nwritten to {options.output}")


if __name__ == "__main__":
    main()
