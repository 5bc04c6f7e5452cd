"""Pooling over problem cells against the binomial test, closed forms and simulated coverage."""

import math

import numpy as np
import pytest
from scipy import stats as oracle

from bench_core.stats import (
    PairedTest,
    Pooled,
    mcnemar_exact,
    permutation,
    pooled,
    pooled_path,
    separated,
    tango,
    wilcoxon,
)


def cell(n10: int, n01: int, n: int) -> PairedTest:
    """McNemar's test on trials with these counts."""
    return mcnemar_exact(np.arange(n) < n10, np.arange(n) >= n - n01)


def test_the_p_value_is_that_of_all_discordant_pairs() -> None:
    both = pooled([cell(9, 2, 50), cell(8, 1, 30), cell(0, 0, 20)])
    assert both.p_value == pytest.approx(oracle.binomtest(17, 20).pvalue)
    assert (both.n_cells, both.n_pairs, both.n10, both.n01, both.favours) == (3, 100, 17, 3, "a")
    assert (both.test, both.estimand) == ("stratified McNemar", "difference")


def test_one_cell_pools_to_itself() -> None:
    single = cell(9, 2, 50)
    alone = pooled([single])
    assert (alone.p_value, alone.favours) == (single.p_value, single.favours)
    assert (alone.estimate, alone.low, alone.high) == pytest.approx(single[5:8])


def test_cells_count_alike_however_many_pairs_they_have() -> None:
    assert pooled([cell(10, 0, 20), cell(0, 0, 2000)]).estimate == pytest.approx(0.25)


def test_the_interval_adds_distances_in_squares() -> None:
    cells = [tango(9, 2, 50, 0.9), tango(3, 8, 40, 0.9)]
    found = pooled([cell(9, 2, 50), cell(3, 8, 40)], level=0.9)
    below = math.sqrt(sum((i.estimate - i.low) ** 2 for i in cells)) / 2
    above = math.sqrt(sum((i.high - i.estimate) ** 2 for i in cells)) / 2
    middle = (cells[0].estimate + cells[1].estimate) / 2
    assert (found.estimate, found.low, found.high) == pytest.approx((middle, middle - below, middle + above))
    assert found.level == 0.9


def test_equal_cells_shrink_the_interval_by_the_root_of_their_number() -> None:
    one, nine = pooled([cell(9, 2, 50)]), pooled([cell(9, 2, 50)] * 9)
    assert nine.estimate == pytest.approx(one.estimate)
    assert nine.high - nine.low == pytest.approx((one.high - one.low) / 3)


def test_other_kinds_are_pooled_without_units() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.exponential(size=(2, 30)), rng.exponential(size=(2, 30)) + 0.3
    plain = pooled([wilcoxon(a[0], b[0]), wilcoxon(a[1], b[1])])
    scaled = pooled([wilcoxon(1000 * a[0], 1000 * b[0]), wilcoxon(a[1], b[1])])
    assert plain == scaled
    assert (plain.test, plain.estimand) == ("stratified sign", "probability of improvement")
    assert plain.estimate == pytest.approx(np.mean(a < b))
    assert plain.p_value == pytest.approx(oracle.binomtest(plain.n10, plain.n10 + plain.n01).pvalue)
    assert 0 <= plain.low <= plain.estimate <= plain.high <= 1
    assert pooled([permutation(a[0], b[0], direction="lower")]).estimand == "probability of improvement"


def test_swapping_the_labels_mirrors_and_the_order_of_the_cells_is_nothing() -> None:
    counts = [(9, 2, 50), (3, 8, 40), (0, 1, 12)]
    found = pooled([cell(*c) for c in counts])
    swapped = pooled([cell(n01, n10, n) for n10, n01, n in counts])
    assert found == pooled([cell(*c) for c in reversed(counts)])
    assert (swapped.estimate, swapped.low, swapped.high) == (-found.estimate, -found.high, -found.low)
    assert (swapped.p_value, swapped.favours, found.favours) == (found.p_value, "b", "a")


def test_cells_without_pairs_are_left_out_and_none_leaves_nothing() -> None:
    empty = mcnemar_exact([], [])
    assert pooled([empty, cell(9, 2, 50)]) == pooled([cell(9, 2, 50)])
    nothing = pooled([empty])
    assert math.isnan(nothing.estimate)
    assert nothing[:6] == (0, 0, 0, 0, "stratified McNemar", 1.0)
    assert nothing[8:] == (-1.0, 1.0, 0.95, "neither")
    assert pooled([wilcoxon([], [])])[8:10] == (0.0, 1.0)


def test_mixed_or_no_tests_are_refused() -> None:
    with pytest.raises(ValueError, match="of one kind, got mcnemar_exact, wilcoxon"):
        pooled([cell(1, 2, 5), wilcoxon([1.0], [2.0])])
    with pytest.raises(ValueError, match="got none"):
        pooled([])
    with pytest.raises(ValueError, match="level must lie"):
        pooled([cell(1, 2, 5)], level=95)


def test_the_rule_for_tables_takes_a_pooled_test() -> None:
    found = pooled([cell(4, 0, 50), cell(5, 0, 50)])
    assert isinstance(found, Pooled)
    assert separated(found, found.p_value)
    few = pooled([cell(4, 1, 50)])
    assert not separated(few, 0.001)


def test_the_interval_covers_and_the_test_keeps_its_size() -> None:
    """Four cells of different difficulty, 700 times: non-coverage and type I error are at most 5 %."""
    rng = np.random.default_rng(7)
    sizes = [20, 50, 50, 100]
    p10, p01 = np.array([0.3, 0.1, 0.02, 0.2]), np.array([0.1, 0.1, 0.2, 0.2])
    missed = wrong = 0
    for _ in range(700):
        drawn = [rng.multinomial(n, [x, y, 1 - x - y])[:2] for n, x, y in zip(sizes, p10, p01, strict=True)]
        tests = [
            PairedTest(n, int(d[1]), int(d[0]), "mcnemar_exact", 1, 0, 0, 0) for n, d in zip(sizes, drawn, strict=True)
        ]
        found = pooled(tests)
        missed += not found.low <= float(np.mean(p10 - p01)) <= found.high
        null = [rng.binomial(int(d.sum()), 0.5) for d in drawn]
        tests = [
            PairedTest(n, int(d.sum()) - k, k, "mcnemar_exact", 1, 0, 0, 0)
            for n, d, k in zip(sizes, drawn, null, strict=True)
        ]
        wrong += pooled(tests).p_value <= 0.05
    allowed = 0.05 + 3 * math.sqrt(0.05 * 0.95 / 700)
    assert missed / 700 <= allowed
    assert wrong / 700 <= allowed


def test_a_path_pays_for_all_cells_and_looks() -> None:
    cells = [cell(14, 2, 40), cell(30, 20, 100), cell(0, 0, 0)]
    for level in (0.8, 0.95):
        found = pooled_path(cells, 5, level)
        parts = [tango(w, v, n, 1 - (1 - level) / 10) for n, w, v in ((40, 14, 2), (100, 30, 20))]
        for end in ("estimate", "low", "high"):
            assert getattr(found, end) == pytest.approx(np.mean([getattr(part, end) for part in parts]))
        assert (found.n_cells, found.n10, found.n01, found.favours) == (2, 44, 22, "a")
    for factor in (0.99, 1.01):
        low = pooled_path(cells, 5, 1 - factor * found.p_value).low
        assert (low > 0) == (factor > 1)
    assert pooled_path([cell(5, 5, 50)], 3).p_value == 1.0
    assert pooled_path([cell(0, 0, 0)], 3)[5] == 1.0
    mirrored = pooled_path([cell(v, w, n) for n, w, v in ((40, 14, 2), (100, 30, 20))], 5)
    assert mirrored.p_value == pytest.approx(found.p_value)
    assert (mirrored.low, mirrored.favours) == (pytest.approx(-found.high), "b")


def test_stopping_on_a_lead_errs_within_the_level() -> None:
    """Equal labels; each of eight cells stops at the first look at which a leads, with three looks."""
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(300):
        cells = []
        for _ in range(8):
            steps = rng.choice([-1, 1], 200)
            n = next((n for n in (50, 100) if steps[:n].sum() > 0.1 * n), 200)
            cells.append(cell(int((steps[:n] > 0).sum()), int((steps[:n] < 0).sum()), n))
        wrong += pooled_path(cells, 3).p_value <= 0.05
    assert wrong <= 15
