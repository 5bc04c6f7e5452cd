"""The peers' way: minimum MMD for a Gaussian mean, one trial after the other, by autograd through ``torch.cdist``.

The set-up is the published one (Alon, Globerson, Wiesel, Section 4.1): m data points and, in each iteration, as many
fresh fakes; Adam for 500 iterations. It uses PyTorch as it comes, all threads included, and nothing of ``bench_core``.
One thing is done in its favour that many scripts do not do: the data's own term is computed once, before the loop.

    python benchmarks/serial.py --m 100 --trials 20
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence

import torch
from torch import Tensor

DIMENSION = 10
BANDWIDTH = 10.0
LEARNING_RATE = 0.1
ITERATIONS = 500
THRESHOLD = 0.02


def gaussian_kernel(x: Tensor, y: Tensor, bandwidth: float) -> Tensor:
    """Kernel matrix ``(n, m)`` of ``x`` ``(n, d)`` and ``y`` ``(m, d)``."""
    return torch.exp(torch.cdist(x, y).square() / (-2 * bandwidth))


def within(x: Tensor, bandwidth: float) -> Tensor:
    """Mean of k(x_i, x_j) over i != j."""
    n = x.shape[0]
    # k(x_i, x_i) is 1, so that the diagonal need not be taken out of the matrix.
    return (gaussian_kernel(x, x, bandwidth).sum() - n) / (n * (n - 1))


def mmd2(x: Tensor, y: Tensor, bandwidth: float, within_y: Tensor | None = None) -> Tensor:
    """Unbiased MMD^2 (eq. 21) of ``x`` ``(n, d)`` and ``y`` ``(m, d)``; ``within_y`` is the term of ``y`` if known."""
    if within_y is None:
        within_y = within(y, bandwidth)
    return within(x, bandwidth) + within_y - 2 * gaussian_kernel(x, y, bandwidth).mean()


def fit(y: Tensor, start: Tensor, rng: torch.Generator, iterations: int = ITERATIONS) -> Tensor:
    """Return the mean ``(d,)`` that fits the data ``y`` ``(m, d)``."""
    mean = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([mean], lr=LEARNING_RATE)
    within_y = within(y, BANDWIDTH)
    for _ in range(iterations):
        fakes = mean + torch.randn(y.shape, generator=rng)  # (m, d)
        loss = mmd2(fakes, y, BANDWIDTH, within_y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return mean.detach()


def run_trial(m: int, seed: int, iterations: int = ITERATIONS) -> float:
    """Draw a problem, fit it and return the error ||mean - truth|| / d."""
    rng = torch.Generator().manual_seed(seed)
    truth, start = torch.randn(2, DIMENSION, generator=rng)
    y = truth + torch.randn(m, DIMENSION, generator=rng)
    fitted = fit(y, start, rng, iterations)
    return float((fitted - truth).norm() / DIMENSION)


def main(arguments: Sequence[str] | None = None) -> None:
    """Time some trials and print what was found as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--m", type=int, default=100, help="data points and fakes (default 100)")
    parser.add_argument("--trials", type=int, default=20, help="number of trials (default 20)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first trial; the others follow (default 0)")
    parser.add_argument("--iterations", type=int, default=ITERATIONS, help=f"steps of Adam (default {ITERATIONS})")
    options = parser.parse_args(arguments)
    run_trial(options.m, options.seed, iterations=20)  # PyTorch's own start-up is not what is measured
    begin = time.perf_counter()
    errors = [run_trial(options.m, options.seed + i, options.iterations) for i in range(options.trials)]
    seconds = time.perf_counter() - begin
    found = {
        "m": options.m,
        "trials": options.trials,
        "iterations": options.iterations,
        "threads": torch.get_num_threads(),
        "seconds_per_trial": seconds / options.trials,
        "success": sum(error < THRESHOLD for error in errors) / options.trials,
        "mean_error": sum(errors) / options.trials,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
