"""Holm against its definition, published values, and the family-wise error of whole tables."""

import math
from functools import cache
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench_core.stats import PairedTest, clopper_pearson, holm, mcnemar_exact, separated

P_VALUES = st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.01, 0.02, 1.0, math.nan])), max_size=12)


def step_down(p_values: list[float], alpha: float) -> list[bool]:
    """Holm (1979) as he states it: reject while the smallest remaining p is at most alpha over how many remain."""
    rejected = [False] * len(p_values)
    remaining = [i for i, p in enumerate(p_values) if not math.isnan(p)]
    while remaining:
        smallest = min(remaining, key=lambda i: p_values[i])
        if p_values[smallest] * len(remaining) > alpha:
            break
        rejected[smallest] = True
        remaining.remove(smallest)
    return rejected


@given(P_VALUES, st.floats(0.001, 0.999))
def test_holm_rejects_what_the_step_down_procedure_rejects(p_values: list[float], alpha: float) -> None:
    assert (holm(p_values) <= alpha).tolist() == step_down(p_values, alpha)


@given(P_VALUES)
def test_holm_equals_its_slow_definition(p_values: list[float]) -> None:
    """The largest of p_j * #{k: p_k >= p_j} over all p_j <= p_i; NaN satisfies no comparison, so it never counts."""
    for p, adjusted in zip(p_values, holm(p_values), strict=True):
        steps = [q * sum(r >= q for r in p_values) for q in p_values if q <= p]
        assert math.isnan(adjusted) if math.isnan(p) else adjusted == min(1.0, max(steps))


def test_holm_matches_r() -> None:
    """R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")."""
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_of_nothing_is_nothing() -> None:
    assert holm([]).tolist() == []


def test_holm_leaves_its_input_alone() -> None:
    raw = np.array([0.5, 0.01, math.nan])
    holm(raw)
    assert raw[:2].tolist() == [0.5, 0.01]


@pytest.mark.parametrize("p", [-0.1, 1.1, math.inf])
def test_holm_refuses_what_is_no_probability(p: float) -> None:
    with pytest.raises(ValueError, match=r"p-values must lie in \[0, 1\], got"):
        holm([0.5, p])


@cache
def mcnemar(n10: int, n01: int, n: int) -> PairedTest:
    """The public test on vectors with these counts: 12 000 comparisons have few distinct ones."""
    only_a, only_b = np.arange(n) < n10, np.arange(n) >= n - n01
    return mcnemar_exact(only_a, only_b)


def tables_of_identical_labels(rate: float, spread: float, trials: int, tables: int, labels: int) -> NDArray[np.bool_]:
    """Successes, shape ``(tables, labels, trials)``: labels share each trial's difficulty, else independent."""
    rng = np.random.default_rng([trials, int(100 * rate)])
    chance = np.clip(rate + spread * rng.uniform(-1, 1, size=(tables, 1, trials)), 0, 1)
    return rng.random((tables, labels, trials)) < chance


def erroneous_tables(successes: NDArray[np.bool_], *, adjust: bool) -> int:
    """How many tables call any two labels separated."""
    tables, labels, trials = successes.shape
    pairs = list(combinations(range(labels), 2))
    n10 = np.stack([(successes[:, a] & ~successes[:, b]).sum(axis=1) for a, b in pairs], axis=1)  # (tables, pairs)
    n01 = np.stack([(successes[:, b] & ~successes[:, a]).sum(axis=1) for a, b in pairs], axis=1)
    errors = 0
    for table in range(tables):
        tests = [mcnemar(int(x), int(y), trials) for x, y in zip(n10[table], n01[table], strict=True)]
        p_values = np.array([test.p_value for test in tests])
        decisions = holm(p_values) if adjust else p_values
        errors += any(separated(test, p) for test, p in zip(tests, decisions, strict=True))
    return errors


@pytest.mark.parametrize(("rate", "spread", "trials"), [(0.5, 0.5, 100), (0.9, 0.1, 100), (0.5, 0.0, 400)])
def test_tables_of_identical_labels_are_rarely_separated(rate: float, spread: float, trials: int) -> None:
    """Family-wise error over all pairs of 4 identical labels is at most 5 %; without Holm it is not."""
    successes = tables_of_identical_labels(rate, spread, trials, tables=2000, labels=4)
    assert clopper_pearson(erroneous_tables(successes, adjust=True), 2000).low <= 0.05
    assert clopper_pearson(erroneous_tables(successes, adjust=False), 2000).low > 0.05
