"""Stored trials -> how many of them count: the looks at which a problem cell may stop, and where it stops.

Nothing about it is stored but the trials themselves: where a problem cell stops follows from its rows whenever they are
read, so that trials beyond that point, left from another run, are kept and never reported.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from bench_core import stats
from bench_core.estimates import LEVEL, Sample, attempted, compare, estimate, values_of

if TYPE_CHECKING:
    from bench_core.metrics import Metric
    from bench_core.plan import Cell, Plan
    from bench_core.suite import UntilEntry


@dataclass(frozen=True)
class Reach:
    """How far the trials of one problem cell go."""

    looks: tuple[int, ...]
    """Numbers of trials at which it may stop, the last one its maximum."""
    trials: int
    """Trials that every label runs, if it has so many: those of the look where it stopped, or of the next one."""
    stopped: bool
    """Whether the rule holds at this look, so that nothing more runs."""


def reaches(plan: Plan, frame: pl.DataFrame, metric: Metric, labels: Collection[str] = ()) -> dict[str, Reach]:
    """Return problem key -> how far its trials go, for a suite with ``until``.

    All labels of a problem cell stop together, at the first look where the rule holds for those that have come so far:
    a label that lags, since it was left out of a run, holds nothing up.

    Args:
        plan: of the suite.
        frame: stored rows; ``cell`` is the index of a row's cell in the plan.
        metric: what the rule is about.
        labels: labels that are to run, beside those that have run: before they have come so far, nothing has stopped.
    """
    until = plan.suite.until
    if until is None:
        return {}
    looks = stats.looks(plan.suite.max_trials)
    stored = {index: rows for (index,), rows in frame.partition_by("cell", as_dict=True).items()}
    groups: dict[str, list[tuple[Cell, pl.DataFrame]]] = {}
    for index, cell in enumerate(plan.cells):
        if cell.split == "main" and not cell.skipped:
            rows = stored.get(index, frame.clear())
            running = len(rows) or cell.label in labels
            groups.setdefault(cell.problem_key, []).extend([(cell, rows)] * bool(running))
    return {key: _reach(cells, looks, until, metric) for key, cells in groups.items()}


def _reach(
    cells: Sequence[tuple[Cell, pl.DataFrame]], looks: tuple[int, ...], until: UntilEntry, metric: Metric
) -> Reach:
    samples = [(cell, _sample(cell, rows, metric)) for cell, rows in cells]
    level = stats.path_level(LEVEL, len(looks))
    for look in looks:
        now = [(cell, sample.first(look)) for cell, sample in samples]
        there = {cell.label: (cell, each) for cell, each in now if len(each.rows) >= min(look, cell.trials)}
        if not there:
            return Reach(looks, look, stopped=False)
        rivals = {label: sample for label, (cell, sample) in there.items() if not cell.control}
        # More trials of the others do not shorten the interval of a label that has fewer of its own.
        improving = {label: rivals[label] for label in rivals if there[label][0].trials >= min(look + 1, looks[-1])}
        if _enough(rivals, improving, until, metric, level):
            return Reach(looks, look, stopped=len(there) == len(samples))
    return Reach(looks, looks[-1], stopped=False)


def _sample(cell: Cell, rows: pl.DataFrame, metric: Metric) -> Sample:
    ran = attempted(rows)
    return Sample(cell.problem_key, cell.label, ran, {metric.name: values_of(ran, metric)})


def _enough(
    samples: Mapping[str, Sample], improving: Mapping[str, Sample], until: UntilEntry, metric: Metric, level: float
) -> bool:
    """Return whether the rule holds, every interval and test at the level of one look among several."""
    if until.half_width is not None:
        intervals = [estimate(metric, sample.values[metric.name], level) for sample in improving.values()]
        return bool(intervals) and all((each.high - each.low) / 2 <= until.half_width for each in intervals)
    a, b = (samples.get(label) for label in until.decided or ())
    if a is None or b is None:
        return False
    test = compare(a, b, metric)
    return stats.separated(test, test.p_value, alpha=1 - level)
