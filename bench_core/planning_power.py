"""Suite, pilot results -> the smallest differences that planned trials can show, and the trials for a given one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from bench_core import stats
from bench_core.estimates import LEVEL, Sample, Values, attempted, paired, values_of
from bench_core.metrics import DerivedMetric
from bench_core.report.table import plain

if TYPE_CHECKING:
    from bench_core.metrics import Metric
    from bench_core.plan import Cell, Plan
    from bench_core.results import Results

POWER = 0.8
"""Probability with which a difference that is called detectable is found."""

DISCORDANCES = (0.1, 0.3, 0.5)
"""How often exactly one of two labels may succeed where no trial is stored: seldom, typical, the worst usual case."""

TYPICAL = 0.3

NORMAL_QUARTILES = 1.3489795003921634
"""Distance of the quartiles of a normal distribution in standard deviations."""


@dataclass(frozen=True)
class Scenario:
    """What a pair of labels is taken to be like, and what its trials then show."""

    discordance: float | None
    """How often exactly one of the two succeeds; None for a metric that is no rate."""
    spread: float | None
    """Standard deviation of the paired differences; None for rates, and where nothing is stored."""
    smallest: float
    """Smallest difference that is found with ``POWER``, in the metric's unit, or in standard deviations without
    ``spread``; NaN where there is none."""
    trials: int | None = None
    """Trials that the asked difference takes; None where none is asked, or more than ten million would not do."""
    raised: bool = False
    """Whether that takes exactly one of the two to succeed more often than ``discordance``: all of it to one side."""


@dataclass(frozen=True)
class Pair:
    """Two labels in one problem cell."""

    a: str
    b: str
    problem: str
    problem_params: Mapping[str, Any]
    title: str
    trials: int
    """Trials that both will have: the smaller number."""
    stored: int
    """Pairs of stored trials that the scenario is taken from; 0 where it is assumed."""
    scenarios: Sequence[Scenario]
    """One, from stored trials; or one for each of ``DISCORDANCES``."""

    @property
    def typical(self) -> Scenario:
        """The scenario for a table with room for one."""
        return next((each for each in self.scenarios if each.discordance == TYPICAL), self.scenarios[0])


@dataclass(frozen=True)
class Power:
    """What the planned trials of a suite can show under one metric."""

    suite: str
    title: str
    metric: str
    kind: stats.paired.Kind
    alpha: float
    """That is left to one comparison by Holm's strictest step, and to one look."""
    looks: Sequence[int]
    """Trials after which a problem cell may stop; the maximum alone without ``until``."""
    difference: float | None
    """The difference that is asked about."""
    trials: Mapping[str, int]
    """Planned trials of each label in a problem cell."""
    pairs: Sequence[Pair]
    pilot: str
    """The run that the scenarios come from."""

    @property
    def unit(self) -> str:
        """What differences are measured in."""
        known = self.kind == "rate" or any(each.stored for each in self.pairs)
        return self.metric if known else "standard deviations of the paired differences"


def power_of(plan: Plan, metric: Metric, pilot: Results | None = None, difference: float | None = None) -> Power:
    """Return what the planned trials show of every pair of labels in every problem cell, controls aside.

    Args:
        plan: the suite's.
        metric: what is compared.
        pilot: stored results of the suite, of whatever seed, which tell how the labels' trials go together.
        difference: that the number of trials is asked for.
    """
    suite = plan.suite
    looks = stats.looks(suite.max_trials) if suite.until else (suite.max_trials,)
    planned = {entry.label: entry.trials or suite.max_trials for entry in suite.methods}
    titles = titled(plan.cells, suite.report.x)
    groups: dict[str, dict[str, Cell]] = {}
    for cell in plan.cells:
        if not cell.control and not cell.skipped and exists(metric, cell):
            groups.setdefault(cell.problem_key, {}).setdefault(cell.label, cell)
    order = [entry.label for entry in suite.methods]
    compared = [
        (cells[a], cells[b])
        for cells in groups.values()
        for a, b in itertools.combinations(sorted(cells, key=order.index), 2)
    ]
    alpha = (1.0 - stats.path_level(LEVEL, len(looks))) / max(1, len(compared))
    samples = _samples(pilot, metric) if pilot else {}
    pairs = []
    for a, b in compared:
        trials = min(planned[a.label], planned[b.label])
        one, other = samples.get((a.problem_key, a.label)), samples.get((b.problem_key, b.label))
        left, right = paired(one, other, metric.name) if one and other else (np.empty(0), np.empty(0))
        scenarios = _scenarios(metric, left, right, trials, alpha, difference)
        pairs.append(
            Pair(a.label, b.label, a.problem, a.problem_params, titles[a.problem_key], trials, len(left), scenarios)
        )
    if metric.kind != "rate" and any(pair.stored for pair in pairs):
        # The asked difference has the metric's unit then, which says nothing where the spread is not known.
        pairs = [pair if pair.stored else _without_trials(pair) for pair in pairs]
    return Power(
        suite=suite.name,
        title=suite.title,
        metric=metric.name,
        kind=metric.kind,
        alpha=alpha,
        looks=looks,
        difference=difference,
        trials={label: planned[label] for label in order if any(label in cells for cells in groups.values())},
        pairs=pairs,
        pilot=pilot.run if pilot and any(pair.stored for pair in pairs) else "",
    )


def _without_trials(pair: Pair) -> Pair:
    return replace(pair, scenarios=[replace(each, trials=None) for each in pair.scenarios])


def exists(metric: Metric, cell: Cell) -> bool:
    """Return whether the problem of the cell has the metric."""
    return (metric.source if isinstance(metric, DerivedMetric) else metric.name) in cell.metrics


def titled(cells: Sequence[Cell], x: str | None) -> dict[str, str]:
    """Return problem key -> what tells the problem cell apart from the others."""
    firsts = {cell.problem_key: cell for cell in cells}.values()
    names = dict.fromkeys(name for cell in firsts for name in cell.problem_params)
    varying = [name for name in names if len({repr(cell.problem_params.get(name)) for cell in firsts}) > 1]
    varying = [*([x] if x is not None else []), *(name for name in varying if name != x)]
    several = len({cell.problem for cell in firsts}) > 1
    found = {}
    for cell in firsts:
        parts = [f"{name} = {plain(cell.problem_params[name])}" for name in varying if name in cell.problem_params]
        found[cell.problem_key] = ", ".join([cell.problem] * (several or not parts) + parts)
    return found


def sample_of(results: Results, index: int, metrics: Sequence[Metric]) -> Sample:
    """Return the stored trials of a cell, with those of the metrics that its problem has."""
    cell, rows = results.plan.cells[index], attempted(results.rows(index))
    values = {each.name: values_of(rows, each) for each in metrics if exists(each, cell)}
    return Sample(cell.problem_key, cell.label, rows, values)


def _samples(pilot: Results, metric: Metric) -> dict[tuple[str, str], Sample]:
    return {
        (cell.problem_key, cell.label): sample_of(pilot, index, [metric])
        for index, cell in enumerate(pilot.plan.cells)
        if cell.split == "main" and exists(metric, cell)
    }


def _scenarios(
    metric: Metric, left: Values, right: Values, trials: int, alpha: float, difference: float | None
) -> list[Scenario]:
    if metric.kind == "rate":
        shares = [float(np.mean(left != right))] if left.size else list(DISCORDANCES)
        return [_of_rates(trials, share, alpha, difference) for share in shares]
    spread = spread_of(left, right, metric.kind) if left.size > 1 else None
    if left.size and not spread:
        return [Scenario(None, spread, math.nan)]
    unit = spread or 1.0
    efficiency = efficiency_of(metric.kind)
    smallest = unit * smallest_shift(trials, alpha, efficiency)
    if difference is None:
        return [Scenario(None, spread, smallest)]
    needed = _or_none(lambda: stats.pairs_for_shift(difference / unit, alpha, POWER, efficiency))
    return [Scenario(None, spread, smallest, needed)]


def _of_rates(trials: int, share: float, alpha: float, difference: float | None) -> Scenario:
    smallest = smallest_rate_difference(trials, share, alpha)
    if difference is None:
        return Scenario(share, None, smallest, raised=smallest > share)
    return Scenario(share, None, smallest, pairs_for_rates(difference, share, alpha), difference > share)


@cache
def smallest_rate_difference(pairs: int, discordance: float, alpha: float) -> float:
    """Return the smallest difference of two success rates that ``pairs`` paired trials find with ``POWER``.

    Where no difference that the discordance allows is found, this is one with more discordance: all of it to one side.
    NaN where that is not found either.
    """
    smallest = stats.detectable_rate_difference(pairs, discordance, alpha, POWER)
    if not math.isnan(smallest):
        return smallest
    return stats.power.smallest(lambda share: stats.mcnemar_power(pairs, share, 0.0, alpha) >= POWER, 1.0)


@cache
def pairs_for_rates(difference: float, discordance: float, alpha: float) -> int | None:
    """Return how many pairs find a difference of two success rates, or None where ten million do not.

    A discordance below the difference is raised to it.
    """
    return _or_none(lambda: stats.pairs_for_rate_difference(difference, max(discordance, difference), alpha, POWER))


@cache
def smallest_shift(pairs: int, alpha: float, efficiency: float) -> float:
    """Return the smallest shift that ``pairs`` paired trials find with ``POWER``, in standard deviations; or NaN."""
    return stats.detectable_shift(pairs, alpha, POWER, efficiency)


def _or_none(count: Callable[[], int]) -> int | None:
    try:
        return count()
    except ValueError:  # more than ten million pairs
        return None


def efficiency_of(kind: stats.paired.Kind) -> float:
    """Return what the test of a kind is worth, relative to a t test."""
    return 1.0 if kind == "mean" else stats.WILCOXON_EFFICIENCY


def spread_of(left: Values, right: Values, kind: stats.paired.Kind) -> float | None:
    """Return the standard deviation of the paired differences; None where they have none.

    Of a skewed metric it is that of a normal distribution with the same quartiles, which few large differences, or
    failures, do not move.
    """
    differences = np.subtract(left, right, out=np.zeros_like(left), where=left != right)
    if kind == "mean":
        spread = float(differences.std(ddof=1)) if differences.size > 1 else math.nan
    else:
        ordered = np.sort(differences)
        low, high = (float(ordered[round(share * (ordered.size - 1))]) for share in (0.25, 0.75))
        spread = (high - low) / NORMAL_QUARTILES if math.isfinite(low) and math.isfinite(high) else math.nan
    largest = max((float(np.abs(each[np.isfinite(each)]).max(initial=0.0)) for each in (left, right)), default=0.0)
    return spread if math.isfinite(spread) and spread > stats.paired.SUM_ROUNDING * largest else None
