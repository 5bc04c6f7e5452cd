"""The Scaled MMD of many trials with a critic each: as one batch, against one trial at a time, in the same run.

    python benchmarks/smmd.py            # half a minute, on a machine that does nothing else
    python benchmarks/smmd.py --quick    # does it run? not for quoting

Timed is the value with its gradient with respect to all weights of the critics, second derivatives through their
Jacobians included, in float32, by the processor time of one thread. Both ways take turns, so that a disturbance meets
both.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from speed import NOT_FOR_QUOTING, Part, Record, Target, describe_machine, render
from torch import Tensor
from torch.nn.functional import leaky_relu

from bench_core.discrepancies.smmd import smmd2
from bench_core.kernels import Gaussian

POINTS = 100
WIDTHS = (10, 32, 32, 1)
"""Dimension of the data, two hidden layers, features."""
SLOPE = 0.2
"""Of the leaky ReLU below 0, as in Arbel et al."""
BATCHES_PER_TURN = 8
TARGET = Target("at least", 8, "x")


def measure(quick: bool) -> list[Record]:
    """Time both ways and compare their numbers."""
    trials, rounds = (8, 2) if quick else (64, 41)
    rng = torch.Generator().manual_seed(0)
    weights = [torch.randn(trials, a, b, generator=rng) / math.sqrt(a) for a, b in itertools.pairwise(WIDTHS)]
    x = torch.randn(trials, POINTS, WIDTHS[0], generator=rng)
    y = torch.randn(trials, POINTS, WIDTHS[0], generator=rng) + 0.3
    leaves = [weight.requires_grad_() for weight in weights]
    # Leaves of their own, and without the axis of the trials: as a script for one trial has them.
    single = [[weight[i].detach().requires_grad_() for weight in weights] for i in range(trials)]

    def batched() -> Sequence[Tensor]:
        return _gradients(x, y, leaves)

    def one_by_one() -> Sequence[Sequence[Tensor]]:
        return [_gradients(x[i], y[i], single[i]) for i in range(trials)]

    stacked = [torch.stack(parts) for parts in zip(*one_by_one(), strict=True)]
    torch.testing.assert_close(stacked, list(batched()), rtol=1e-3, atol=1e-5)
    times: dict[str, list[float]] = {"one": [], "all": []}
    for _ in range(rounds):
        # Turns of about equal length, in which each way settles as in a training loop.
        for name, call, repeats in (("one", one_by_one, 1), ("all", batched, BATCHES_PER_TURN)):
            begin = time.process_time()
            for _ in range(repeats):
                call()
            times[name].append((time.process_time() - begin) / repeats)
    one, together = (statistics.median(measured) for measured in times.values())
    return [
        {
            "trials": trials,
            "one at a time (ms/trial)": one / trials * 1e3,
            "one batch (ms/trial)": together / trials * 1e3,
            "ratio": one / together,
            "target": TARGET.judge(one / together, quick),
        }
    ]


def _gradients(x: Tensor, y: Tensor, weights: Sequence[Tensor]) -> Sequence[Tensor]:
    """The gradients of one value per trial with respect to the critics' weights."""

    def features(z: Tensor) -> Tensor:
        for weight in weights[:-1]:
            z = leaky_relu(z @ weight, SLOPE)
        # Not a product with a single column, whose rounding may depend on the number of trials, and which is slower.
        return (z * weights[-1].mT).sum(-1, keepdim=True)

    return torch.autograd.grad(smmd2(x, y, Gaussian(1.0), features=features).sum(), weights)


PART = Part(
    "smmd2: value and gradient with respect to an MLP critic, d = 10, two hidden layers of 32, 100 points, float32",
    measure,
    "Each trial has a critic of its own. One at a time: the same function on the samples and weights of one trial.",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table and write it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small and short; the numbers are not for quoting")
    parser.add_argument("--output", type=Path, default=Path("smmd.json"), help="JSON file (default: smmd.json)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    console = Console(width=120)
    machine = describe_machine()
    console.print(", ".join(f"{name}: {value}" for name, value in machine.items()), highlight=False)
    if machine["load"] > 0.3 * machine["cores"]:
        console.print("[yellow]warning: this machine is busy; the numbers are not for quoting[/yellow]")
    records = measure(options.quick)
    console.print(render(PART, records, options.quick))
    note = NOT_FOR_QUOTING if options.quick else ""
    report = {"quick": options.quick, "note": note, "machine": machine, "parts": {"smmd2": records}}
    options.output.write_text(json.dumps(report, indent=1) + "\n")
    console.print(f"\nwritten to {options.output}")


if __name__ == "__main__":
    main()
