"""Average ranks over problems."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from bench_core import stats
from bench_core.ranking import over_problems


def summary(problem: str, *cells: dict[str, float], direction: str = "lower", control: str = "truth"):
    entries = [
        SimpleNamespace(
            problem=problem,
            problem_key=f"{problem}-{i}",
            label=label,
            estimate=value,
            control=label == control,
            skipped=None,
        )
        for i, cell in enumerate(cells)
        for label, value in cell.items()
    ]
    return SimpleNamespace(
        metric="m", metrics={"m": SimpleNamespace(direction=direction)}, table=lambda metric=None: entries
    )


def test_every_problem_counts_once_whatever_its_number_of_cells():
    a, b = {"x": 1.0, "y": 2.0, "z": 3.0}, {"x": 3.0, "y": 2.0, "z": 1.0}
    found = over_problems([summary("p", a), summary("q", a), summary("r", *[b] * 10)])
    # Ranks: x 1, 1, 3; y 2, 2, 2; z 3, 3, 1.
    assert found.labels == ("x", "y", "z")
    assert found.average_ranks == pytest.approx((5 / 3, 2, 7 / 3))
    table = [[1, 2, 3], [1, 2, 3], [3, 2, 1]]
    assert found.p_value == pytest.approx(stats.friedman(table).p_value)
    assert found.critical_difference == pytest.approx(stats.nemenyi(table).critical_difference)
    assert "x 1.67, y 2.00, z 2.33" in found.text()


def test_two_suites_of_one_problem_are_one_problem():
    a = {"x": 1.0, "y": 2.0}
    assert over_problems([summary("p", a), summary("p", a), summary("q", a)]) is None
    assert over_problems([summary("p", a), summary("r", a), summary("q", a)]).problems == ("p", "r", "q")


def test_the_direction_of_each_metric_counts():
    low, high = {"x": 1.0, "y": 2.0}, {"x": 0.9, "y": 0.1}
    found = over_problems([summary("p", low), summary("q", low), summary("r", high, direction="higher")])
    assert found.average_ranks == (1.0, 2.0)


def test_only_labels_of_every_cell_are_ranked_and_no_control():
    cells = [{"x": 1.0, "y": 2.0, "truth": 0.0, "w": 5.0}, {"x": 1.0, "y": math.inf, "truth": 0.0}]
    found = over_problems([summary("p", *cells), summary("q", cells[1]), summary("r", cells[1])])
    assert found.labels == ("x", "y")
    assert over_problems([summary("p", {"x": 1.0}), summary("q", {"x": 1.0}), summary("r", {"x": 1.0})]) is None
    unknown = {"x": 1.0, "y": math.nan}
    assert over_problems([summary("p", unknown), summary("q", unknown), summary("r", unknown)]) is None
