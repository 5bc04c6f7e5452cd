"""Performance profiles against their definition and the exact distribution of the band's statistic."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as oracle

from bench_core.stats import performance_profile

INF = math.inf
VALUES = st.lists(st.one_of(st.floats(-10, 10), st.sampled_from([0.0, 1.0, INF])), max_size=40)


@settings(max_examples=30)
@given(VALUES)
def test_the_share_is_counted_at_every_value(values: list[float]) -> None:
    profile = performance_profile(values)
    assert profile.tau.tolist() == sorted({v for v in values if math.isfinite(v)})
    assert profile.share.tolist() == [np.mean([v <= t for v in values]) for t in profile.tau]
    assert ((profile.low >= 0) & (profile.low <= profile.share)).all()
    assert ((profile.share <= profile.high) & (profile.high <= 1)).all()


@settings(max_examples=30)
@given(VALUES)
def test_higher_is_the_mirror_image_of_lower(values: list[float]) -> None:
    lower, higher = performance_profile(values), performance_profile(-np.array(values), direction="higher")
    assert (higher.tau == -lower.tau[::-1]).all()
    for left, right in zip(lower[1:], higher[1:], strict=True):
        assert (right == left[::-1]).all()


@settings(max_examples=30)
@given(VALUES)
def test_an_increasing_map_moves_only_the_thresholds(values: list[float]) -> None:
    mapped = performance_profile(8 * np.array(values))
    assert mapped.share.tolist() == performance_profile(values).share.tolist()


def test_failures_are_never_reached_but_stay_in_the_share() -> None:
    profile = performance_profile([1.0, 2.0, INF, INF])
    assert (profile.tau.tolist(), profile.share.tolist()) == ([1.0, 2.0], [0.25, 0.5])
    profile = performance_profile([1.0, 2.0, -INF, -INF], direction="higher")
    assert (profile.tau.tolist(), profile.share.tolist()) == ([1.0, 2.0], [0.5, 0.25])
    assert performance_profile([INF, INF]).tau.size == 0
    assert performance_profile([]).tau.size == 0


def test_the_band_is_massarts() -> None:
    profile = performance_profile(np.arange(50), level=0.9)
    half_width = math.sqrt(math.log(2 / 0.1) / 100)
    assert profile.high[0] - profile.share[0] == pytest.approx(half_width)
    assert profile.share[-1] - profile.low[-1] == pytest.approx(half_width)


@pytest.mark.parametrize("n", [5, 20, 100, 800])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_the_band_covers_everywhere_at_once(n: int, level: float) -> None:
    """Exact for continuous values: the largest distance is Kolmogorov's statistic."""
    half_width = math.sqrt(-math.log((1 - level) / 2) / (2 * n))
    assert oracle.kstwo.cdf(half_width, n) >= level


def test_nan_and_unknown_directions_are_refused() -> None:
    with pytest.raises(ValueError, match="got 1 NaN among 2 values"):
        performance_profile([1.0, math.nan])
    with pytest.raises(ValueError, match="got 'up'"):
        performance_profile([1.0], direction="up")  # type: ignore[arg-type]
