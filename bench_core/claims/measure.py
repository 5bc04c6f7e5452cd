"""Quantities that trials estimate, each with an interval at any level.

Intervals of paired differences are those of ``stats.difference``. What is not paired (other data, a published number)
is combined by MOVER: the distances from the estimates to the ends of the single intervals are added in squares, which
gives Newcombe's interval for two rates, about Welch's for two means, and needs no distribution for two medians.

Squares are for independent estimates that miss in either direction. A rule that stops where labels are separated makes
the estimates of all problem cells miss in the same one. Where trials may have stopped at one of several looks, the
tail is shared among the estimates instead, and their ends are added as they are (``_jointly``): that holds whatever the
rule.

References:
    Zou and Donner, "Construction of confidence limits about effect measures: a general approach", Statistics in
    Medicine 27 (2008), 1693-1702. Of ratios: Donner and Zou, "Closed-form confidence intervals for functions of the
    normal mean and standard deviation", Statistical Methods in Medical Research 21 (2012), 347-359.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from bench_core import stats
from bench_core.estimates import Sample, estimate, paired

if TYPE_CHECKING:
    from bench_core.claims.forms import Value
    from bench_core.metrics import Metric
    from bench_core.selection import Selection

Function = Callable[[float], stats.Interval]
"""Level -> estimate with the interval of that level."""


MIN_VALUES = 6
"""Nothing is settled by fewer values (pairs, trials, settings) than this in any problem cell."""


@dataclass(frozen=True)
class Measure:
    """An estimate with its intervals, and how much is behind it."""

    at: Function
    n: int
    unit: str
    """What ``n`` counts: trials, pairs or settings."""
    looks: int = 1
    """At how many looks the trials may have stopped, which ``at`` allows for."""
    cells: int = 1
    """Problem cells (or pairs of them) that ``n`` is the sum over."""
    least: int | None = None
    """The smallest number of values in one of them; None where there is only one."""
    exact: bool = False
    """A number without an error."""

    @property
    def smallest(self) -> int:
        """The smallest number of values in a problem cell."""
        return self.n if self.least is None else self.least


def of_cell(sample: Sample, metric: Metric, looks: int) -> Measure:
    """Return the estimate of one cell, failed trials counted as everywhere: share, mean or median."""
    values = sample.values[metric.name]
    n = int((np.isfinite(values) if metric.kind == "mean" else ~np.isnan(values)).sum())
    at = cache(lambda level: _believed(estimate(metric, values, stats.path_level(level, looks)), n))
    return Measure(at, n, "trials", looks)


def mean_of_cell(sample: Sample, metric: Metric, looks: int) -> Measure:
    """Return the mean over the trials with a finite value, also of a skewed metric: what a published ± is about."""
    if metric.kind == "rate":
        return of_cell(sample, metric, looks)
    values = sample.values[metric.name]
    finite = values[np.isfinite(values)]
    at = cache(lambda level: _believed(stats.student_t(finite, stats.path_level(level, looks)), len(finite)))
    return Measure(at, len(finite), "trials", looks)


def paired_difference(a: Sample, b: Sample, metric: Metric, looks: int) -> Measure:
    """Return ``a - b`` on the trials that both have."""
    left, right = paired(a, b, metric.name)
    kind = metric.kind
    n = int((np.isfinite(left) & np.isfinite(right)).sum()) if kind == "mean" else len(left)
    at = cache(lambda level: _believed(stats.difference(left, right, kind, stats.path_level(level, looks)), n))
    return Measure(at, n, "pairs", looks)


def _believed(interval: stats.Interval, n: int) -> stats.Interval:
    """Return an interval; of a few equal values, whose spread is not zero but unknown, the whole line."""
    if interval.method == "student-t" and n < MIN_VALUES and interval.low == interval.high:
        return interval._replace(low=-math.inf, high=math.inf)
    return interval


def share_data(a: Sample, b: Sample) -> bool:
    """Whether two samples have trials on the same data, as problem cells have that differ in their scoring only."""
    return bool(np.intersect1d(a.digests[a.digests != 0], b.digests[b.digests != 0]).size)


def change(a: Sample, b: Sample, metric: Metric, looks: int) -> Measure:
    """Return ``b - a`` for one label in two problem cells, paired where they have the same data."""
    if share_data(a, b):
        return paired_difference(b, a, metric, looks)
    return between(of_cell(b, metric, looks), of_cell(a, metric, looks))


def _jointly(
    measures: Sequence[Measure], level: float, *, independent: bool = True
) -> tuple[list[stats.Interval], bool]:
    """Return the intervals that a number made of measures is made of, and whether distances are added in squares.

    Where trials may have stopped early, each of k estimates has the k-th part of the tail, and of that, by its own
    ``at``, the part of a look: by the union bound all of them cover together at every look.
    """
    if all(measure.looks == 1 for measure in measures):
        return [measure.at(level) for measure in measures], independent
    sharing = max(1, sum(not measure.exact for measure in measures))
    return [measure.at(1 - (1 - level) / sharing) for measure in measures], False


def between(a: Measure, b: Measure) -> Measure:
    """Return ``a - b`` for two independent measures."""

    def at(level: float) -> stats.Interval:
        (one, other), squares = _jointly((a, b), level)
        centre = one.estimate - other.estimate
        if not squares or not all(map(math.isfinite, (*one[:3], *other[:3]))):
            # The corners of both intervals hold the difference a fortiori, also where an end is infinite.
            return _interval(centre, one.low - other.high, one.high - other.low, level)
        low = centre - math.hypot(one.estimate - one.low, other.high - other.estimate)
        high = centre + math.hypot(one.high - one.estimate, other.estimate - other.low)
        return _interval(centre, low, high, level)

    sampled = [measure for measure in (a, b) if measure.n] or [a]  # the trials of a published number are not ours
    return Measure(cache(at), min(measure.n for measure in sampled), a.unit, looks=max(a.looks, b.looks))


def average(measures: Sequence[Measure], *, independent: bool) -> Measure:
    """Return the mean of measures; distances of dependent ones are added as they are, not in squares."""

    def at(level: float) -> stats.Interval:
        intervals, squares = _jointly(measures, level, independent=independent)
        centre = _sum(*(each.estimate for each in intervals)) / len(intervals)
        add = math.hypot if squares else _sum
        below = add(*(each.estimate - each.low for each in intervals)) / len(intervals)
        above = add(*(each.high - each.estimate for each in intervals)) / len(intervals)
        return _interval(centre, centre - below, centre + above, level)

    return Measure(
        cache(at),
        sum(measure.n for measure in measures),
        measures[0].unit,
        looks=max(measure.looks for measure in measures),
        cells=len(measures),
        least=min(measure.smallest for measure in measures),
    )


def _sum(*values: float) -> float:
    """Return the sum of numbers; NaN where it overflows, or where infinities of both signs meet."""
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):
        return math.nan


def ratio(a: Measure, b: Measure) -> Measure:
    """Return ``a / b`` for measures of what cannot be negative.

    They are taken as independent: on the same data, where one tends to be large when the other is, the interval is
    wider than it need be.
    """

    def at(level: float) -> stats.Interval:
        intervals, squares = _jointly((a, b), level)
        (x, x_low, x_high), (y, y_low, y_high) = map(_positive, intervals)
        if not squares or not all(map(math.isfinite, (x, x_low, x_high, y, y_low, y_high))):
            return _interval(_over(x, y), _over(x_low, y_high), _over(x_high, y_low), level)
        largest = max(x_high, y_high)
        if largest > 0:  # the ratio has no unit, and fourth powers of large numbers overflow
            x, x_low, x_high, y, y_low, y_high = (end / largest for end in (x, x_low, x_high, y, y_low, y_high))
        below, above = x - x_low, y_high - y
        root = math.sqrt(max(0.0, (x * above) ** 2 + (y * below) ** 2 - (below * above) ** 2))
        low = _over((x - below) * (x + below), x * y + root)
        below, above = y - y_low, x_high - x
        root = math.sqrt(max(0.0, (x * below) ** 2 + (y * above) ** 2 - (below * above) ** 2))
        high = _over(x * y + root, (y - below) * (y + below)) if y_low > 0 else math.inf
        return _interval(_over(x, y), low, high, level)

    return Measure(cache(at), min(a.n, b.n), a.unit, looks=max(a.looks, b.looks))


def published(form: Value) -> Measure:
    """Return a published number; with an interval where its ± is about independent trials."""
    from scipy.special import ndtri, stdtrit

    if form.spread in ("subsets", "unknown") or form.sd is None:
        return Measure(lambda level: _interval(form.equals, form.equals, form.equals, level), 0, "trials", exact=True)
    error = form.sd / math.sqrt(form.n or 1) if form.spread == "sd" else form.sd

    def at(level: float) -> stats.Interval:
        tail = (1 - level) / 2
        half = -error * float(stdtrit(form.n - 1, tail) if form.n else ndtri(tail))
        return _interval(form.equals, form.equals - half, form.equals + half, level)

    return Measure(at, 0, "trials")


def sensitivity(label: Selection, than: Selection) -> Measure:
    """Return by how much more the score of ``label`` falls from its best to its median setting than that of ``than``.

    The settings of a grid stand for those that somebody may try, so the interval is that of a median over settings; the
    best score is taken as it is. The noise of the scores themselves is not in it.
    """
    return between(fall(label), fall(than))


def fall(selection: Selection) -> Measure:
    """Return how far the score falls from the best setting of a grid to the median one."""
    sign = 1.0 if selection.direction == "lower" else -1.0
    scores = np.array([sign * candidate.score for candidate in selection.candidates])
    best = scores.min()
    falls = np.subtract(scores, best, out=np.zeros_like(scores), where=scores != best)  # 0 where all are infinitely bad
    return Measure(cache(lambda level: stats.median(falls, level)), len(falls), "settings")


def _interval(centre: float, low: float, high: float, level: float) -> stats.Interval:
    if math.isnan(centre):
        return stats.Interval(centre, -math.inf, math.inf, level, "mover")
    return stats.Interval(
        centre, -math.inf if math.isnan(low) else low, math.inf if math.isnan(high) else high, level, "mover"
    )


def _positive(interval: stats.Interval) -> tuple[float, float, float]:
    return interval.estimate, max(0.0, interval.low), max(0.0, interval.high)


def _over(a: float, b: float) -> float:
    """``a / b`` for what is not negative; 0/0 and inf/inf say nothing."""
    if b == 0:
        return math.inf if a else math.nan
    return a / b if not (math.isinf(a) and math.isinf(b)) else math.nan
