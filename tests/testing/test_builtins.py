"""Everything that ships keeps the contract: built-in methods, problems and metrics, the example, and another family."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench_core.plugins import PluginSources, load_plugins
from bench_core.testing import checks_of

REPO = Path(__file__).resolve().parents[2]
FILES = (REPO / "examples" / "energy.py", REPO / "tests" / "families" / "plugins" / "toy_dataset.py")
LOADED = load_plugins(PluginSources(files=FILES, checkout=REPO / "plugins"))
OFFERS = (LOADED.methods, LOADED.problems, LOADED.metrics)
THINGS = [offers.items[name] for offers in OFFERS for name in offers]
CHECKS = checks_of(*THINGS, plugins=LOADED)

MAY_BE_SKIPPED = {
    "CUDA": "no CUDA device",
    "options": "no parameter has named alternatives",
    "truth unseen": "a control",
    "beats the start": "a control",
    "exact MLE": "it declares no ",
    "density": "declares no log_density",
    "normalised": "declares no log_density",
    "kernel means": "declares no gaussian_kernel_mean",
}
OF_ANOTHER_FAMILY = {"truth unseen": "has a truth", "beats the start": "has an initial point"}


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_the_contract_is_kept(check):
    result = check.run()
    assert result.status != "failed", f"\n{result}"
    if result.status == "skipped":
        reasons = [MAY_BE_SKIPPED.get(check.name), OF_ANOTHER_FAMILY.get(check.name)]
        assert any(reason and reason in result.reason for reason in reasons), result


def test_everything_that_is_loaded_is_checked():
    assert LOADED.failures == []
    subjects = {str(check.subject) for check in CHECKS}
    assert subjects == {f"{offers.kind} {name}" for offers in OFFERS for name in offers}
