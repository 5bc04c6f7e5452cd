"""What the fused Gaussian MMD costs: memory that grows with n, not n^2, and time."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
import torch

from bench_core.discrepancies import mmd2, mmd2_against
from bench_core.kernels import Gaussian

PEAKS = """
import pathlib, resource, sys, torch
from bench_core.discrepancies import mmd2, mmd2_against
from bench_core.kernels import Gaussian, Laplace

def peak():
    status = pathlib.Path("/proc/self/status")
    if status.exists():  # ru_maxrss starts from the size of the process that started this one
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def value_and_gradient(n, dtype, kernel):
    x = torch.randn(n, 10).to(getattr(torch, dtype)).requires_grad_()
    y = torch.randn(n, 10).to(getattr(torch, dtype)).requires_grad_()
    mmd2(x, y, kernel).backward()
    mmd2_against(y.detach(), kernel)(x).backward()

torch.manual_seed(0)
kernel = {"gaussian": Gaussian(10.0), "laplace": Laplace(3.0)}[sys.argv[1]]
value_and_gradient(500, "float32", kernel)  # loads libraries, and what checkpointing imports
print(peak())
for argument in sys.argv[2:]:
    dtype, n = argument.split(":")
    value_and_gradient(int(n), dtype, kernel)
    print(peak())
"""


def peaks(*arguments: str) -> list[float]:
    """Peak memory of a new process in MB: before, and after a value and all gradients of each ``dtype:n``."""
    command = [sys.executable, "-c", PEAKS, *arguments]
    return [float(line) for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()]


def test_no_dtype_holds_a_matrix():
    n = 4000
    before, *after = peaks("gaussian", f"float32:{n}", f"bfloat16:{n}", f"float64:{n}")
    assert max(after) - before < n * n * 2 / 2**20  # not even one matrix of half types, of 30 MB


def test_another_kernel_holds_no_matrix():
    n = 1500
    before, after = peaks("laplace", f"float32:{n}")
    assert after - before < 2 * n * n * 10 * 4 / 2**20  # autograd would keep a dozen (n, n, d) of 86 MB


@pytest.mark.slow
def test_fifty_thousand_points_take_less_than_a_gigabyte():
    assert peaks("gaussian", "float32:50000")[-1] < 1000


@pytest.mark.slow
def test_two_thousand_points_are_twenty_times_faster_than_autograd_through_cdist():
    n, threads = 2000, torch.get_num_threads()
    x, y = torch.randn(n, 10, requires_grad=True), torch.randn(n, 10)

    def through_cdist() -> torch.Tensor:
        """The usual way: one kernel matrix of both samples together, and its blocks."""
        both = torch.cat([x, y])
        matrix = torch.cdist(both, both).square().mul(-1 / 20).exp()
        within = (matrix[:n, :n].sum() - n + matrix[n:, n:].sum() - n) / (n * (n - 1))
        return within - 2 * matrix[:n, n:].mean()

    def seconds(function) -> float:
        start = time.perf_counter()
        torch.autograd.grad(function(), x)
        return time.perf_counter() - start

    torch.set_num_threads(2)
    try:
        rounds = [(seconds(through_cdist), seconds(lambda: mmd2(x, y, Gaussian(10.0)))) for _ in range(8)]
    finally:
        torch.set_num_threads(threads)
    assert min(usual for usual, _ in rounds) > 20 * min(fused for _, fused in rounds)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "width", "limit"), [(50, 50, 25), (100, 50, 65), (200, 25, 180), (400, 10, 600)])
def test_a_training_step_against_a_fixed_sample_is_fast(n, width, limit):
    """Microseconds per trial for value and gradient, on one thread; twice the limit, for other machines' sake."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        x, f = torch.randn(width, n, 10, requires_grad=True), mmd2_against(torch.randn(width, n, 10), Gaussian(10.0))
        times = []
        for _ in range(50):
            start = time.perf_counter()
            torch.autograd.grad(f(x).sum(), x)
            times.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
    assert min(times) / width * 1e6 < 2 * limit
