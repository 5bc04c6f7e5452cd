"""Holdout trials -> hyper-parameters: every point of a label's ``select`` grid, scored on trials that no table shows.

Nothing is stored but the trials themselves (split ``select``): scores, winner and cost follow from them whenever
results are read, so that they can never disagree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from bench_core.estimates import FAILED, budgets, estimate, values_of, worst
from bench_core.seeds import canonical

if TYPE_CHECKING:
    from bench_core.metrics import Metric
    from bench_core.plan import Cell, Plan
    from bench_core.suite import MethodEntry, SelectEntry


@dataclass(frozen=True)
class Candidate:
    """One point of a grid and what its holdout trials came to."""

    choice: Mapping[str, Any]
    score: float
    """The metric over all holdout trials together, those of every problem cell: median, mean or share."""
    n_planned: int
    n_attempted: int
    n_failed: int
    reasons: Mapping[str, int]
    """Reason of failure -> count."""
    examples: Mapping[str, str]
    """Reason of failure -> id of a trial that failed so."""
    seconds: float
    """Of all its trials together."""
    budget: Mapping[str, float]
    """Of all its trials together."""


@dataclass(frozen=True)
class Selection:
    """How the hyper-parameters of one label are chosen.

    Attributes:
        label: whose they are.
        metric: what decides; failed trials count as no success or infinitely bad, and spoil a mean.
        direction: whether ``higher`` or ``lower`` is better.
        grid: parameter -> values that were tried.
        trials: holdout trials per problem cell and point of the grid.
        candidates: every point of the grid, in the grid's order.
    """

    label: str
    metric: str
    direction: str
    grid: Mapping[str, Sequence[Any]]
    trials: int
    candidates: tuple[Candidate, ...]

    @property
    def finished(self) -> bool:
        """Whether every holdout trial is stored."""
        return all(each.n_attempted == each.n_planned for each in self.candidates)

    @property
    def ranking(self) -> list[Candidate]:
        """The candidates, best first; of equal scores the one that failed less often, then the one that comes first.

        A candidate that cannot run on a problem on which another one can is behind all that can.
        """
        sign = 1 if self.direction == "lower" else -1
        return sorted(self.candidates, key=lambda each: (-each.n_planned, sign * each.score, each.n_failed))

    @property
    def winner(self) -> Candidate | None:
        """The chosen candidate, or None before all holdout trials are stored."""
        return self.ranking[0] if self.finished else None

    @property
    def n_attempted(self) -> int:
        """Holdout trials that ran."""
        return sum(each.n_attempted for each in self.candidates)

    @property
    def n_planned(self) -> int:
        """Holdout trials in all."""
        return sum(each.n_planned for each in self.candidates)

    @property
    def reasons(self) -> dict[str, tuple[int, str]]:
        """Reason of failure -> how many holdout trials failed so, and the id of one; the most frequent first."""
        counts: Counter[str] = Counter()
        examples: dict[str, str] = {}
        for each in self.candidates:
            counts.update(each.reasons)
            examples |= each.examples
        return {reason: (count, examples[reason]) for reason, count in counts.most_common()}

    @property
    def seconds(self) -> float:
        """What all holdout trials cost together."""
        return sum(each.seconds for each in self.candidates)

    @property
    def budget(self) -> dict[str, float]:
        """What all holdout trials spent together, by the name of the budget."""
        total: Counter[str] = Counter()
        for each in self.candidates:
            total.update(each.budget)
        return dict(total)


def select(plan: Plan, frame: pl.DataFrame, metrics: Mapping[str, Metric]) -> tuple[Selection, ...]:
    """Return the selection of every label with ``select``, as far as its trials are stored.

    Args:
        plan: its cells of split ``select`` are the candidates.
        frame: stored rows; ``cell`` is the index of a row's cell in the plan.
        metrics: the suite's metrics by name.
    """
    by_cell = frame.filter(pl.col("split") == "select").partition_by("cell", as_dict=True)
    stored = {index: rows for (index,), rows in by_cell.items()}
    return tuple(
        _selection(entry, entry.select, plan, stored, metrics[entry.select.metric])
        for entry in plan.suite.methods
        if entry.select is not None
    )


Stored = Mapping[Any, pl.DataFrame]
"""Index of a cell -> its stored rows."""


def _selection(entry: MethodEntry, how: SelectEntry, plan: Plan, stored: Stored, metric: Metric) -> Selection:
    by_choice: dict[str, list[tuple[int, Cell]]] = {}
    for index, cell in enumerate(plan.cells):
        if cell.label == entry.label and cell.split == "select":
            by_choice.setdefault(canonical(cell.choice), []).append((index, cell))
    return Selection(
        label=entry.label,
        metric=metric.name,
        direction=metric.direction,
        grid=how.grid,
        trials=how.trials,
        candidates=tuple(
            _candidate(choice, by_choice.get(canonical(choice), []), stored, metric) for choice in how.points()
        ),
    )


def _candidate(
    choice: Mapping[str, Any], cells: Sequence[tuple[int, Cell]], stored: Stored, metric: Metric
) -> Candidate:
    planned = sum(cell.trials for _, cell in cells)
    frames = [stored[index] for index, _ in cells if index in stored]
    if not frames:
        return Candidate(choice, worst(metric), planned, 0, 0, {}, {}, 0.0, {})
    rows = pl.concat(frames)
    failures = rows.filter(pl.col("status").is_in(FAILED) & pl.col("reason").is_not_null())
    failed = int(rows["status"].is_in(FAILED).sum())
    return Candidate(
        choice=choice,
        score=_score(metric, rows),
        n_planned=planned,
        n_attempted=len(rows),
        n_failed=failed,
        reasons=dict(Counter(failures["reason"].to_list())),
        examples=dict(zip(failures["reason"], failures["trial_id"], strict=True)),
        seconds=float(rows["seconds"].sum()),
        budget=budgets(rows),
    )


def _score(metric: Metric, rows: pl.DataFrame) -> float:
    values = values_of(rows, metric)
    if np.isnan(values).any():  # a mean over what is left would favour what fails where it is hard
        return worst(metric)
    return estimate(metric, values).estimate
