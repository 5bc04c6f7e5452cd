"""Power against enumeration, published sample sizes and simulation."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats as oracle

from bench_core.stats import (
    MIN_DISCORDANT,
    detectable_rate_difference,
    detectable_shift,
    mcnemar_exact,
    mcnemar_power,
    pairs_for_rate_difference,
    pairs_for_shift,
    separated,
    shift_power,
    wilcoxon,
)

# Rates


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.005])
@pytest.mark.parametrize(("n", "p10", "p01"), [(5, 0.9, 0.1), (6, 1.0, 0.0), (12, 0.5, 0.1), (25, 0.3, 0.3)])
def test_mcnemar_power_sums_over_all_outcomes(n: int, p10: float, p01: float, alpha: float) -> None:
    expected = 0.0
    for n10 in range(n + 1):
        for n01 in range(n - n10 + 1):
            test = mcnemar_exact(np.arange(n) < n10, np.arange(n) >= n - n01)
            if separated(test, test.p_value, alpha):
                expected += oracle.multinomial.pmf([n10, n01, n - n10 - n01], n, [p10, p01, 1 - p10 - p01])
    assert mcnemar_power(n, p10, p01, alpha) == pytest.approx(expected, abs=1e-12)


def test_mcnemar_power_agrees_with_simulation() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(300, [0.15, 0.07, 0.78], size=20_000)
    smaller = np.minimum(drawn[:, 0], drawn[:, 1])
    rejected = np.mean(2 * oracle.binom.cdf(smaller, drawn[:, 0] + drawn[:, 1], 0.5) <= 0.05)
    power = mcnemar_power(300, 0.15, 0.07)
    assert rejected == pytest.approx(power, abs=4 * math.sqrt(power * (1 - power) / 20_000))


@pytest.mark.parametrize("n", [200, 2000, 10_000])
def test_mcnemar_power_tends_to_the_normal_approximation(n: int) -> None:
    """Connor, Biometrics 43 (1987), 207-211: mean and variance of n10 - n01 against the null's."""
    discordance = 0.2
    difference = 2.5 * math.sqrt(discordance / n)
    z = oracle.norm.isf(0.025)
    reach = math.sqrt(n) * difference - z * math.sqrt(discordance)
    expected = oracle.norm.cdf(reach / math.sqrt(discordance - difference**2))
    power = mcnemar_power(n, (discordance + difference) / 2, (discordance - difference) / 2)
    assert expected - 1.4 / math.sqrt(n) < power < expected  # the exact test is conservative


def test_mcnemar_power_of_equal_labels_is_its_size() -> None:
    for n in (30, 800):
        for p in (0.001, 0.1, 0.5):
            assert mcnemar_power(n, p, p) <= 0.05


def test_mcnemar_power_has_no_side_and_grows() -> None:
    assert mcnemar_power(100, 0.2, 0.1) == pytest.approx(mcnemar_power(100, 0.1, 0.2), rel=1e-12)
    powers = [mcnemar_power(n, 0.2, 0.1) for n in (0, 5, 50, 200, 1000, 100_000)]
    assert powers == sorted(powers)
    assert powers[:2] == [0.0, 0.0]
    assert powers[-1] == pytest.approx(1.0)
    assert mcnemar_power(100, 0.0, 0.0) == 0.0


def test_detectable_difference_has_the_power_and_nothing_less_has() -> None:
    for n, discordance in [(50, 0.5), (200, 0.2), (800, 0.05), (10_000, 1.0)]:
        found = detectable_rate_difference(n, discordance)
        for factor, enough in [(1.0, True), (0.999, False)]:
            d = found * factor
            assert (mcnemar_power(n, (discordance + d) / 2, (discordance - d) / 2) >= 0.8) == enough


def test_what_cannot_be_detected_is_nan() -> None:
    assert math.isnan(detectable_rate_difference(MIN_DISCORDANT - 1, 1.0))
    assert math.isnan(detectable_rate_difference(100, 0.0))
    assert math.isnan(detectable_rate_difference(100, 0.05, alpha=0.05 / 91))
    assert detectable_rate_difference(100, 0.5) < 0.5


@pytest.mark.parametrize(("difference", "discordance"), [(0.1, 0.3), (0.05, 0.1), (0.5, 0.5), (0.02, 0.2)])
def test_pairs_for_a_difference_have_the_power_and_one_less_has_not(difference: float, discordance: float) -> None:
    n = pairs_for_rate_difference(difference, discordance)
    cells = (discordance + difference) / 2, (discordance - difference) / 2
    assert mcnemar_power(n, *cells) >= 0.8 > mcnemar_power(n - 1, *cells)
    # Connor (1987): the approximation is lower, since the exact test is conservative, by about 2 / difference at most.
    z, z_power = oracle.norm.isf(0.025), oracle.norm.isf(0.2)
    approximate = (z * math.sqrt(discordance) + z_power * math.sqrt(discordance - difference**2)) ** 2 / difference**2
    assert approximate < n < approximate + 2.5 / difference


def test_more_trials_and_pairs_detect_less_and_stricter_levels_more() -> None:
    by_n = [detectable_rate_difference(n, 0.3) for n in (50, 100, 400, 1600)]
    assert by_n == sorted(by_n, reverse=True)
    assert detectable_rate_difference(400, 0.3, alpha=0.05 / 91) > detectable_rate_difference(400, 0.3)
    assert detectable_rate_difference(400, 0.3, power=0.9) > detectable_rate_difference(400, 0.3)


# Shifts


@pytest.mark.parametrize(("shift", "pairs"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_pairs_for_a_shift_match_the_published_sizes(shift: float, pairs: int) -> None:
    """Paired t, two-sided 5 %, power 80 %, as G*Power 3.1 has them (Faul et al. 2007)."""
    assert pairs_for_shift(shift, efficiency=1.0) == pairs
    assert pairs_for_shift(-shift, efficiency=1.0) == pairs
    assert pairs <= pairs_for_shift(shift) <= math.ceil(pairs * math.pi / 3) + 1


@pytest.mark.parametrize(("n", "shift"), [(6, 2.0), (20, 0.3), (800, 0.1), (10_000, 0.03), (50, 1000.0), (30, 0.0)])
def test_shift_power_agrees_with_the_noncentral_t(n: int, shift: float) -> None:
    quantile, centre = oracle.t.isf(0.025, n - 1), shift * math.sqrt(n)
    expected = oracle.nct.sf(quantile, n - 1, centre) + oracle.nct.cdf(-quantile, n - 1, centre) if shift else 0.05
    assert shift_power(n, shift, efficiency=1.0) == pytest.approx(min(1.0, expected), abs=1e-6)


def test_shift_power_describes_wilcoxon() -> None:
    rng = np.random.default_rng(1)
    n, shift = 40, 0.45
    rejected = np.mean([wilcoxon(rng.normal(shift, 1, size=n), np.zeros(n)).p_value <= 0.05 for _ in range(600)])
    power = shift_power(n, shift)
    assert rejected == pytest.approx(power, abs=0.02 + 3 * math.sqrt(power * (1 - power) / 600))


def test_detectable_shift_is_the_inverse_of_pairs_for_shift() -> None:
    for n in (8, 50, 800):
        assert shift_power(n, detectable_shift(n)) == pytest.approx(0.8, abs=1e-6)
        assert pairs_for_shift(detectable_shift(n) * 1.0001) <= n
        assert pairs_for_shift(detectable_shift(n) * 0.98) >= n
    assert math.isnan(detectable_shift(5))
    assert math.isnan(detectable_shift(8, alpha=0.05 / 91))  # no p-value of Wilcoxon's is as small


BAD: list[tuple[Callable[[], float], str]] = [
    (lambda: mcnemar_power(10, 0.6, 0.5), r"sum of at most 1, got 0\.6 and 0\.5"),
    (lambda: mcnemar_power(10, -0.1, 0.5), "must be >= 0"),
    (lambda: mcnemar_power(-1, 0.1, 0.5), "n >= 0, got -1"),
    (lambda: mcnemar_power(10, 0.1, 0.5, alpha=5), r"0.05 for 5 %\), got 5"),
    (lambda: detectable_rate_difference(10, 1.5), r"discordance must lie in \[0, 1\], got 1.5"),
    (lambda: pairs_for_rate_difference(0.5, 0.2), r"got 0\.5 with discordance 0\.2"),
    (lambda: pairs_for_rate_difference(0.1, 0.2, power=80), r"0.8 for 80 %\), got 80"),
    (lambda: pairs_for_shift(0.0), "finite and not 0"),
    (lambda: shift_power(10, 0.5, efficiency=2.0), r"efficiency must lie in \(0, 1\], got 2.0"),
    (lambda: pairs_for_shift(1e-9), "more than 10000000 pairs"),
]


@pytest.mark.parametrize(("call", "words"), BAD)
def test_bad_arguments_are_refused(call: Callable[[], float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
