"""The promises of the documentation, by the program that measures them: all slow but the check that it runs."""

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from bench_core.stats import clopper_pearson, looks, mcnemar_exact, path_level

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "error_rates.py"


@pytest.fixture(scope="module")
def measured() -> ModuleType:
    """The program as a module: ``benchmarks/`` is no package."""
    spec = importlib.util.spec_from_file_location("benchmarks_error_rates", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_its_exact_sums_are_right(measured: ModuleType) -> None:
    """Two ways to one number: coverage of one trial by hand, the error of one look from the test itself."""
    assert measured.binomial_mass(2, 0.5).tolist() == pytest.approx([0.25, 0.5, 0.25])
    size = sum(
        math.comb(20, k) / 2**20
        for k in range(21)
        if mcnemar_exact(np.arange(20) < k, np.arange(20) >= k).p_value <= 0.05
    )
    assert measured.mcnemar_path(1.0, (20,), 0.05) == pytest.approx(size)
    missed, any_missed = measured.rate_path(0.3, (20,), 0.95, 0.1)
    ends = [clopper_pearson(k, 20) for k in range(21)]
    outside = [k for k in range(21) if not ends[k].low <= 0.3 <= ends[k].high]
    assert missed == pytest.approx(sum(math.comb(20, k) * 0.3**k * 0.7 ** (20 - k) for k in outside))
    assert any_missed == pytest.approx(missed)


def test_it_prints_a_table(measured: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    measured.main(["--part", "looks", "--quick"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("### Exact errors over a path")
    assert len({line.count("|") for line in lines[3:]}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("n", [20, 100, 800])
def test_clopper_pearson_covers_and_wilson_does_on_average(measured: ModuleType, n: int, level: float) -> None:
    smallest, _ = measured.rate_coverage(clopper_pearson, n, level)
    assert smallest >= level - 1e-9
    smallest, mean = measured.rate_coverage(measured.stats.wilson, n, level)
    assert smallest < level - 0.05
    assert mean == pytest.approx(level, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("n", [20, 43, 100, 800])
def test_tango_covers_at_every_level_and_as_published_does_not(measured: ModuleType, n: int) -> None:
    levels = (0.95, 0.9995) if n == 800 else (0.8, 0.9, 0.95, 0.975, path_level(0.95, 5), 0.998, 0.9995, 0.9999)
    found = measured.tango_coverage(
        n, measured.rate_pairs(n, 20), [(level, c) for level in levels for c in (True, False)]
    )
    for level in levels:
        assert found[level, True][0] >= level
        assert found[level, False][0] < level


@pytest.mark.slow
@pytest.mark.parametrize("n", [20, 100, 800])
def test_medians_cover_and_means_of_normal_values_do(measured: ModuleType, n: int) -> None:
    simulations = 5000
    for name, case in measured.CASES.items():
        interval = clopper_pearson(measured.simulated_coverage(*case, n, simulations), simulations, 0.999)
        if name == "`student_t`, lognormal":
            assert (interval.high < 0.95) == (n < 800)  # the promise that it does not make
        else:
            assert interval.high >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("n", [20, 100])
def test_interquartile_means_cover_about_nominally(measured: ModuleType, n: int) -> None:
    covered = measured.simulated_coverage(
        *measured.BOOTSTRAPS["`interquartile_mean`, lognormal, 20 % failures"], n, 1000
    )
    assert clopper_pearson(covered, 1000, 0.999).high >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("labels", [4, 10, 14])
def test_tables_of_identical_labels_are_separated_at_most_nominally(measured: ModuleType, labels: int) -> None:
    for trials, rate, spread in measured.RATE_SCENARIOS.values():
        assert clopper_pearson(measured.rate_tables(labels, trials, rate, spread, 2000), 2000).low <= 0.05
    for trials, failures in measured.ERROR_SCENARIOS.values():
        assert clopper_pearson(measured.error_tables(labels, trials, failures, 2000), 2000).low <= 0.05


@pytest.mark.slow
def test_adaptive_runs_keep_their_level_and_naive_ones_do_not(measured: ModuleType) -> None:
    planned = looks(800)
    for p in np.arange(1, 100) / 100:
        assert measured.rate_path(float(p), planned, path_level(0.95, len(planned)), 0.05)[1] <= 0.05
    assert max(measured.rate_path(float(p), planned, 0.95, 0.05)[1] for p in np.arange(1, 100) / 100) > 0.1
    for discordance in (0.05, 0.2, 1.0):
        assert measured.mcnemar_path(discordance, planned, 0.05 / len(planned)) <= 0.05
    assert measured.mcnemar_path(1.0, tuple(range(50, 801, 50)), 0.05) > 0.18
