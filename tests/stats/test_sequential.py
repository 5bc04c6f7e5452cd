"""Adaptive looks: exact errors over whole paths, by dynamic programming over the counts."""

import math
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from bench_core.stats import clopper_pearson, looks, mcnemar_exact, path_level, path_p_value

PLANNED = looks(800)


@pytest.mark.parametrize(
    ("maximum", "planned"),
    [(1, (1,)), (50, (50,)), (51, (50, 51)), (100, (50, 100)), (800, (50, 100, 200, 400, 800)), (150, (50, 100, 150))],
)
def test_looks_double_and_end_with_the_maximum(maximum: int, planned: tuple[int, ...]) -> None:
    assert looks(maximum) == planned


def test_every_run_has_at_most_twice_the_trials_that_it_needed() -> None:
    for maximum in range(1, 2000):
        assert all(before < after <= 2 * before for before, after in pairwise(looks(maximum)))


def test_one_look_costs_nothing() -> None:
    assert path_level(0.95, 1) == pytest.approx(0.95)
    assert path_p_value(0.03, 1) == 0.03


def test_levels_and_p_values_agree_on_what_a_look_spends() -> None:
    for n_looks in (2, 5, 16):
        assert path_p_value(1 - path_level(0.95, n_looks), n_looks) == pytest.approx(0.05)
    assert path_p_value(0.9, 5) == 1.0
    assert math.isnan(path_p_value(math.nan, 5))


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="maximum >= 1, got 0"):
        looks(0)
    with pytest.raises(ValueError, match="n_looks must be at least 1, got 0"):
        path_level(0.95, 0)
    with pytest.raises(ValueError, match="n_looks must be at least 1, got 0"):
        path_p_value(0.05, 0)
    with pytest.raises(ValueError, match="level must lie"):
        path_level(95, 5)
    with pytest.raises(ValueError, match=r"lie in \[0, 1\], got 1.5"):
        path_p_value(1.5, 5)


def any_miss(p: float, level: float, half_width: float) -> float:
    """P(an interval misses p before or when the run stops): at the first look with this half-width, or the last."""
    running = np.ones(1)  # P(successes, running, no miss so far)
    covered, before = 0.0, 0
    for look in PLANNED:
        running = np.convolve(running, binom.pmf(np.arange(look - before + 1), look - before, p))
        likely = np.flatnonzero(running > 1e-12).tolist()
        ends = {k: clopper_pearson(k, look, level) for k in likely}
        for k in range(look + 1):
            end = ends.get(k)
            if end is None or not end.low <= p <= end.high:
                running[k] = 0.0
            elif end.high - end.low <= 2 * half_width or look == PLANNED[-1]:
                covered += running[k]
                running[k] = 0.0
        before = look
    return float(1 - covered)


@pytest.mark.parametrize("half_width", [0.05, 0.1])
@pytest.mark.parametrize("p", [0.03, 0.29, 0.5])
def test_intervals_on_the_path_cover_together_and_naive_ones_do_not(p: float, half_width: float) -> None:
    assert any_miss(p, path_level(0.95, len(PLANNED)), half_width) <= 0.05
    if p == 0.5:
        assert any_miss(p, 0.95, half_width) > 0.08


def any_rejection(planned: tuple[int, ...], threshold: float) -> float:
    """P(McNemar's p is at most the threshold at some look) for equal labels whose pairs are all discordant."""
    kept: NDArray[np.float64] = np.ones(1)
    before = 0
    for look in planned:
        kept = np.convolve(kept, binom.pmf(np.arange(look - before + 1), look - before, 0.5))
        critical = int(binom.ppf(threshold / 2, look, 0.5))
        while 2 * binom.cdf(critical, look, 0.5) > threshold:
            critical -= 1
        kept[: critical + 1] = 0.0
        kept[look - critical :] = 0.0
        before = look
    return float(1 - kept.sum())


def test_mcnemar_on_the_path_keeps_its_level_and_naively_does_not() -> None:
    """Known for a normal statistic: five looks at 5 % err with 14 %, sixteen with 24 %; counts err a little less."""
    every_50 = tuple(range(50, 801, 50))
    assert any_rejection(PLANNED, 0.05 / 5) <= 0.05
    assert any_rejection(every_50, 0.05 / 16) <= 0.05
    assert 0.12 < any_rejection(PLANNED, 0.05) < 0.15
    assert 0.18 < any_rejection(every_50, 0.05) < 0.25


def test_the_critical_count_is_that_of_the_public_test() -> None:
    for look, threshold in [(50, 0.05), (100, 0.01)]:
        p_values = [mcnemar_exact(np.arange(look) < k, np.arange(look) >= k).p_value for k in range(look + 1)]
        rejected = sum(binom.pmf(k, look, 0.5) for k in range(look + 1) if path_p_value(p_values[k], 1) <= threshold)
        assert any_rejection((look,), threshold) == pytest.approx(rejected)
