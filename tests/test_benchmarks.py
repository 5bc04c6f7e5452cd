"""The programs in ``benchmarks/`` run, and the peers' way computes the same thing."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import polars as pl
import pytest
import torch

from bench_core.discrepancies import mmd2
from bench_core.kernels import Gaussian
from bench_core.plan import make_plan
from bench_core.plugins import Plugins
from bench_core.store import all_runs
from bench_core.suite import load_suite

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def program(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def serial() -> ModuleType:
    return program("serial")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """On a busy machine two threads of a small operation wait for one another a hundred times longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("n", "m"), [(50, 50), (40, 90), (400, 400)])
@pytest.mark.parametrize("known", [False, True])
def test_the_serial_loss_and_gradient_are_those_of_mmd2(serial: ModuleType, n: int, m: int, known: bool) -> None:
    rng = torch.Generator().manual_seed(n)
    x = (torch.randn(n, 10, generator=rng) + 0.3).requires_grad_()
    y = torch.randn(m, 10, generator=rng)
    theirs = serial.mmd2(x, y, 10.0, serial.within(y, 10.0) if known else None)
    ours = mmd2(x, y, Gaussian(10.0))
    assert theirs.item() == pytest.approx(ours.item(), abs=2e-6)
    (their_gradient,) = torch.autograd.grad(theirs, x)
    (our_gradient,) = torch.autograd.grad(ours, x)
    assert torch.allclose(their_gradient, our_gradient, rtol=1e-3, atol=1e-7)


@pytest.mark.usefixtures("one_thread")
def test_a_serial_trial_recovers_the_mean(serial: ModuleType) -> None:
    # The sample mean of 100 points is off by 0.03 on average, the starting point by 0.43.
    assert serial.run_trial(100, seed=1) < 0.06


@pytest.mark.usefixtures("one_thread")
def test_the_serial_script_prints_json(serial: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    serial.main(["--m", "20", "--trials", "2", "--iterations", "5"])
    found = json.loads(capsys.readouterr().out)
    assert (found["m"], found["trials"], found["iterations"]) == (20, 2, 5)
    assert found["seconds_per_trial"] > 0
    assert found["success"] == 0


def test_the_speed_report_is_json(tmp_path: Path) -> None:
    output = tmp_path / "speed.json"
    command = [sys.executable, str(BENCHMARKS / "speed.py"), "--quick", "--part", "mmd2", "--output", str(output)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert "not for quoting" in printed
    report = json.loads(output.read_text())
    assert report["quick"]
    assert report["machine"]["torch"] == torch.__version__
    assert [record["n = m"] for record in report["parts"]["mmd2"]] == [50, 200, 800]
    assert all(record["ratio"] > 0 and record["ratio, y kept"] > 0 for record in report["parts"]["mmd2"])


@pytest.mark.parametrize("differing", [(), ("osmmd",)])
def test_reference_rows_of_older_code_are_kept_where_replays_give_the_same_bits(
    cli: Any, tmp_path: Path, plugins: Plugins, monkeypatch: pytest.MonkeyPatch, differing: tuple[str, ...]
) -> None:
    reference = program("reference")
    monkeypatch.chdir(tmp_path)
    text = (BENCHMARKS.parent / "suites" / "smoke.yaml").read_text(encoding="utf-8")
    (tmp_path / "smoke.yaml").write_text(text, encoding="utf-8")
    cli("run", "smoke.yaml", "--trials", "4", "--executor", "inline", "--no-reference", "--quiet")
    (run,) = all_runs(tmp_path / "results")
    plan = make_plan(load_suite(tmp_path / "smoke.yaml"), plugins)
    rows = run.rows()
    methods = sorted(set(rows["method"]))
    asked: list[str] = []

    def replay(folder: Path, trial_id: str, *_: object, rtol: float) -> Any:
        method = rows.filter(pl.col("trial_id") == trial_id)["method"][0]
        asked.append(method)
        assert (folder, rtol) == (run.folder, 0.0)
        return SimpleNamespace(match=method not in differing, differences=(), notes=())

    monkeypatch.setattr(reference, "replay", replay)
    assert reference.renewed(rows, plan, plugins, run, 2).equals(rows)
    assert asked == []  # the present code's own
    old = pl.when(pl.col("method") == "init").then("method_digest").otherwise(pl.lit("old")).alias("method_digest")
    kept = reference.renewed(rows.with_columns(old), plan, plugins, run, 2)
    assert sorted(set(asked)) == [method for method in methods if method != "init"]
    assert kept.equals(rows.filter(~pl.col("method").is_in(differing)))
