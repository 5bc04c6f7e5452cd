"""The wheel holds everything: built-in plugins and suites work from an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_wheel_runs_a_builtin_suite_from_an_empty_folder(repo, tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    source = tmp_path / "source"
    subprocess.run(["git", "clone", "--quiet", repo, source], check=True)
    subprocess.run([*build, "--wheel-dir", tmp_path, source], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"bench_plugins/mmd.py", "bench_suites/gaussian_cov.yaml", "bench_core/py.typed"} <= set(names)
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    empty = tmp_path / "empty"
    empty.mkdir()
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    code = "import bench_core; print(bench_core.__file__); from bench_core.cli import main; main()"
    command = [sys.executable, "-c", code, "run", "smoke", "--trials", "3", "--set", "iterations=20"]
    done = subprocess.run(command, cwd=empty, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.splitlines()[0]).is_relative_to(tmp_path)
    assert "mle_exact" in done.stdout
    assert list(empty.glob("results/smoke/*/trials.parquet"))
