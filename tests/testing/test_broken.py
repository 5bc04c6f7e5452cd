"""Every check can fail: each has a plugin with that fault, and finds it, and as far as possible no other check does."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from bench_core.plugins import PluginSources, load_plugins
from bench_core.testing import checks_of
from bench_core.testing.checks import run_all

REPO = Path(__file__).resolve().parents[2]
FOLDER = REPO / "tests" / "broken"
FILES = (FOLDER / "methods.py", FOLDER / "problems.py")
LOADED = load_plugins(PluginSources(files=FILES, checkout=REPO / "plugins"))
METHODS = [LOADED.methods.items[name] for name in LOADED.methods if LOADED.methods.owners[name].name == "methods"]
PROBLEMS = [LOADED.problems.items[name] for name in LOADED.problems if LOADED.problems.owners[name].name == "problems"]


def _metrics():
    spec = importlib.util.spec_from_file_location("broken_metrics", FOLDER / "metrics.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


METRICS = _metrics()
THINGS = [*METHODS, *PROBLEMS, METRICS.GOOD, *METRICS.BROKEN]
BUILTIN = [LOADED.problems.get(name) for name in ("gaussian_cov", "gaussian_mean")]
SMALL = [BUILTIN[0](d=3, m=20, epsilon=0.5), BUILTIN[1](d=3, m=20)]
ON_GPU = [thing for thing in THINGS if thing.breaks == "CUDA"]
CHECKS = {}
for _check in [
    *checks_of(*ON_GPU, plugins=LOADED, problems=SMALL),
    *checks_of(*(thing for thing in THINGS if thing not in ON_GPU), plugins=LOADED, problems=SMALL, device="cpu"),
]:
    CHECKS.setdefault(str(_check.subject), []).append(_check)


def _id(thing):
    kind = "metric" if not isinstance(thing, type) else "method" if thing in METHODS else "problem"
    return f"{kind} {thing.name}"


@pytest.mark.parametrize("thing", THINGS, ids=_id)
def test_the_check_finds_its_fault_and_no_other_check_does(thing):
    if thing.breaks == "CUDA" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    report = run_all(CHECKS[_id(thing)])
    failed = {result.check.name: result for result in report.failed}
    assert set(failed) == ({thing.breaks} if thing.breaks else set()) | thing.also, report
    if thing.breaks:
        result = failed[thing.breaks]
        assert thing.says in str(result)
        assert result.required
        assert result.came
        assert result.cure
        assert "\n" not in result.required + result.came + result.cure


def test_every_check_has_a_broken_plugin():
    known = {check.name for checks in CHECKS.values() for check in checks}
    assert known == {thing.breaks for thing in THINGS if thing.breaks}
