"""The benchmark of what protection costs runs, and takes away what it says."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch


@pytest.mark.slow
def test_the_cost_of_protection_is_measured_with_and_without(tmp_path, repo):
    output = tmp_path / "faults.json"
    command = [sys.executable, str(repo / "benchmarks" / "faults.py"), "--quick", "--output", str(output)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert "not for quoting" in printed
    assert "not judged" in printed
    report = json.loads(output.read_text())
    assert report["quick"]
    assert report["machine"]["torch"] == torch.__version__
    assert [record["work"] for record in report["work"]] == ["mmd, m = 50", "osmmd, m = 50", "mle, m = 50"]
    assert all(record["ratio"] > 0 for record in report["work"])
    assert len(report["each"]) == 5
