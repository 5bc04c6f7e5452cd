"""How fast the Lipschitz MMD is solved, beside the plain multiplicative update of the dual weights, in the same run.

    python benchmarks/lipmmd.py            # some minutes, on a machine that does nothing else
    python benchmarks/lipmmd.py --quick    # does it run? small and short, not for quoting

Part ``problems``: pairs of points, and samples of two normal laws, each one alone, in float64, with its own grid of
points. Part ``training``: a batch of trials in a training loop, gradients included, in float32. All by the processor
time of one thread.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console
from speed import NOT_FOR_QUOTING, Part, Record, Target, describe_machine, render
from torch import Tensor

from bench_core.discrepancies import _lipmmd
from bench_core.discrepancies.lipmmd import lipmmd
from bench_core.kernels import Gaussian

TOLERANCE = 1e-4
LAMS = (1.0, 1e-2, 1e-4)
UPDATES = 500
"""Where the multiplicative update is stopped if its gap is still open."""
TARGET = Target("under", 1, " s")


class Pair(NamedTuple):
    """Two samples, a kernel and points."""

    x: Tensor
    y: Tensor
    kernel: Gaussian
    points: Tensor


# --- single problems ------------------------------------------------------------------------------------------------


def diracs(quick: bool) -> Iterator[Pair]:
    """Points at a distance theta, under kernels exp(-(psi r)^2 / 2): Arbel et al., example 1."""
    for theta, psi in product((0.1, 0.3, 1.0, 2.0, 5.0, 10.0, 20.0), (0.1, 0.3, 1.0, 3.0, 10.0)):
        x = torch.zeros(1, 1, dtype=torch.float64)
        yield _with_points(x, x + theta, psi, 0.25 * theta + 0.5, quick)


def normals(quick: bool) -> Iterator[Pair]:
    """100 points of N(0, 0.1^2) and of N(mu, sigma^2), as in their fig. 7."""
    rng = torch.Generator().manual_seed(0)
    for mu, sigma, psi in product((0.0, 1.0, 5.0), (0.01, 0.1, 1.0, 5.0), (0.1, 1.0, 10.0)):
        x, y = torch.randn(2, 100, 1, generator=rng, dtype=torch.float64)
        yield _with_points(0.1 * x, mu + sigma * y, psi, 0.2, quick)


def _with_points(x: Tensor, y: Tensor, psi: float, margin: float, quick: bool) -> Pair:
    both = torch.cat([x, y])
    ends = (both.min().item() - margin, both.max().item() + margin)
    points = torch.linspace(*ends, 40 if quick else 200, dtype=torch.float64)[:, None]
    return Pair(x, y, Gaussian(1 / psi**2), points)


def measure_problems(quick: bool) -> list[Record]:
    """Time every problem by both ways."""
    kinds: dict[str, Callable[[bool], Iterator[Pair]]] = {"points": diracs, "normal samples": normals}
    lipmmd(*next(diracs(quick)))  # what the first call of a process loads is not timed
    return [_problems_record(kind, list(make(quick)), lam, quick) for lam in LAMS for kind, make in kinds.items()]


def _problems_record(kind: str, pairs: Sequence[Pair], lam: float, quick: bool) -> Record:
    ours: list[float] = []
    theirs: list[float] = []
    gaps: list[float] = []
    closed = 0
    for pair in pairs:
        begin = time.process_time()
        result = lipmmd(*pair, lam=lam, tolerance=TOLERANCE)
        middle = time.process_time()
        upper, lower = multiplicative(pair, lam, 20 if quick else UPDATES)
        theirs.append(time.process_time() - middle)
        ours.append(middle - begin)
        gaps.append((result.upper - result.lower).item())
        closed += upper - lower <= TOLERANCE
        # Whatever the number of updates, two pairs of bounds on one number overlap.
        assert lower <= result.upper.item() + 1e-9
        assert result.lower.item() <= upper + 1e-9
    return {
        "samples": kind,
        "lam": lam,
        "problems": len(pairs),
        "largest gap": max(gaps),
        "mean (ms)": statistics.mean(ours) * 1e3,
        "slowest (ms)": max(ours) * 1e3,
        "updates: mean (ms)": statistics.mean(theirs) * 1e3,
        "updates: gap closed": closed,
        "ratio": sum(theirs) / sum(ours),
        "target": TARGET.judge(max(ours), quick),
    }


def multiplicative(pair: Pair, lam: float, updates: int) -> tuple[float, float]:
    """The bounds that w_j <- w_j |grad u(Z_j)|^2 / sum reaches, which never increases the dual."""
    problem = _lipmmd._problem(*pair, torch.tensor(lam, dtype=torch.float64))
    problem = _lipmmd.Problem(*(field.unsqueeze(0) for field in problem))
    k = pair.points.shape[0]
    weights = torch.full((1, k), 1 / k, dtype=torch.float64)
    for _ in range(updates):
        state = _lipmmd._evaluate(problem, weights, weights, problem.lam)
        if (state.upper - state.lower).item() <= TOLERANCE:
            break
        weights = (weights * state.gradients.square().sum(-1)).clamp_min(1e-300)
        weights = weights / weights.sum()
    return state.upper.item(), state.lower.item()


# --- a training loop ------------------------------------------------------------------------------------------------


def measure_training(quick: bool) -> list[Record]:
    """Time the calls of a loop that moves N(mu, 0.3^2) towards N(0, 0.1^2), with and without the weights before."""
    trials, n, k, steps = (4, 20, 20, 4) if quick else (50, 100, 100, 60)
    return [_training_record(trials, n, k, steps, rate) for rate in (0.01, 0.05)]


def _training_record(trials: int, n: int, k: int, steps: int, rate: float) -> Record:
    rng = torch.Generator().manual_seed(0)
    x = 0.1 * torch.randn(trials, n, 1, generator=rng)
    noise = 0.3 * torch.randn(trials, n, 1, generator=rng)
    points = torch.linspace(-6, 6, k)[:, None]
    mean = torch.linspace(-3, 3, trials)[:, None, None].requires_grad_()
    optimiser = torch.optim.Adam([mean], lr=rate)
    times: dict[str, list[float]] = {"cold": [], "warm": []}
    weights = None
    for _ in range(steps):
        for name, start in (("cold", None), ("warm", weights)):
            begin = time.process_time()
            result = lipmmd(mean + noise, x, Gaussian(1.0), points, start=start)
            optimiser.zero_grad()
            result.value.sum().backward()
            times[name].append(time.process_time() - begin)
        weights = result.weights
        optimiser.step()
    return {
        "trials": trials,
        "samples": n,
        "points": k,
        "Adam's rate": rate,
        "no start (ms/call)": statistics.median(times["cold"][1:]) * 1e3,
        "start (ms/call)": statistics.median(times["warm"][1:]) * 1e3,
        "start (ms/trial)": statistics.median(times["warm"][1:]) * 1e3 / trials,
    }


PARTS = {
    "problems": Part(
        f"lipmmd: to a gap of {TOLERANCE:g}, 200 points on a line, one problem at a time",
        measure_problems,
        f"'updates' is the multiplicative update, stopped after {UPDATES} at the latest: the ratio is at least that.",
    ),
    "training": Part(
        f"lipmmd: value and gradient of a batch in a training loop, to a gap of {TOLERANCE:g}",
        measure_training,
        "'start': from the weights of the step before.",
    ),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the chosen parts, print their tables and write them down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small and short; the numbers are not for quoting")
    parser.add_argument("--part", action="append", choices=list(PARTS), help="only this part; repeatable")
    parser.add_argument("--output", type=Path, default=Path("lipmmd.json"), help="JSON file (default: lipmmd.json)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    console = Console(width=140)
    machine = describe_machine()
    console.print(", ".join(f"{name}: {value}" for name, value in machine.items()), highlight=False)
    if machine["load"] > 0.3 * machine["cores"]:
        console.print("[yellow]warning: this machine is busy; the numbers are not for quoting[/yellow]")
    note = NOT_FOR_QUOTING if options.quick else ""
    report: Record = {"quick": options.quick, "note": note, "machine": machine, "parts": {}}
    for name in options.part or PARTS:
        report["parts"][name] = PARTS[name].measure(options.quick)
        console.print()
        console.print(render(PARTS[name], report["parts"][name], options.quick))
        options.output.write_text(json.dumps(report, indent=1) + "\n")
    console.print(f"\nwritten to {options.output}")


if __name__ == "__main__":
    main()
