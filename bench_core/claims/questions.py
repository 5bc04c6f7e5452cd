"""A claim -> questions: one number that trials estimate each, and where it must lie for the claim to hold."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bench_core import stats
from bench_core.claims import measure as m
from bench_core.claims.forms import (
    PROBLEM,
    Best,
    Better,
    Equal,
    Flat,
    Form,
    Level,
    Ratio,
    Sensitivity,
    Trend,
    Value,
    matches,
    value_key,
    wanted,
)
from bench_core.claims.measure import Measure
from bench_core.estimates import FAILED, estimate, paired
from bench_core.report.table import CENTRES, number, plain, rate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench_core.estimates import Sample
    from bench_core.metrics import Metric
    from bench_core.summary import Entry, Summary


FAILS_MORE = 0.05
"""A label with this p-value or less in McNemar's test fails more often than another."""
NOT_RUN = "not run yet: "
"""Begins the reason why there is no number, before the labels that lack trials."""


@dataclass(frozen=True)
class Region:
    """Where a number must lie for a claim to hold."""

    low: float = -math.inf
    high: float = math.inf
    open: bool = False
    """The lower end does not belong to it."""

    @property
    def bounds(self) -> int:
        """Number of finite ends."""
        return math.isfinite(self.low) + math.isfinite(self.high)

    def holds(self, interval: stats.Interval) -> bool:
        """Whether all of the interval lies inside."""
        above = interval.low > self.low if self.open else interval.low >= self.low
        return above and interval.high <= self.high

    def excludes(self, interval: stats.Interval) -> bool:
        """Whether all of the interval lies outside, on one side."""
        below = interval.high <= self.low if self.open else interval.high < self.low
        return below or interval.low > self.high


Reason = Callable[[], str]
"""Why something is not said; nothing where it may be."""


def _none() -> str:
    return ""


@dataclass(frozen=True)
class Doubts:
    """Why a verdict is not given although the interval lies where it must for it."""

    support: Reason = _none
    contradiction: Reason = _none


@dataclass(frozen=True)
class Question:
    """One number, and where it must lie."""

    where: Mapping[str, Any]
    quantity: str
    """What the number is, for a sentence: ``advantage of a over b in success``."""
    compared: str
    """What it is made of, with the single estimates."""
    region: Region
    condition: str
    """The region in words."""
    measure: Measure | None
    missing: str = ""
    """Why there is no number."""
    show: Callable[[float], str] = number
    needed: bool = True
    """False for what may only speak against the claim."""
    own: Measure | None = None
    """What the verdict shows as the estimate, where the question is about its distance from a published number."""
    doubts: Doubts = Doubts()
    notes: Sequence[str] = ()
    """What a reader must know beside the number."""


@dataclass(frozen=True)
class Cell:
    """A problem cell."""

    key: str
    problem: str
    params: Mapping[str, Any]


@dataclass(frozen=True)
class View:
    """A summary, as claims look at it."""

    summary: Summary

    @cached_property
    def cells(self) -> list[Cell]:
        """All problem cells of which anything is stored."""
        found = {e.problem_key: Cell(e.problem_key, e.problem, e.problem_params) for e in self.summary.entries}
        return list(found.values())

    @cached_property
    def entries(self) -> dict[tuple[str, str, str], Entry]:
        """(problem key, label, metric) -> entry."""
        return {(entry.problem_key, entry.label, entry.metric): entry for entry in self.summary.entries}

    @cached_property
    def varying(self) -> list[str]:
        """The parameters that tell problem cells apart, ``PROBLEM`` among them where there are several."""
        described = [{PROBLEM: cell.problem, **cell.params} for cell in self.cells]
        names = dict.fromkeys(name for params in described for name in params)
        return [name for name in names if len({repr(params.get(name)) for params in described}) > 1]

    def matching(self, form: Form, metric: str) -> list[Cell]:
        """Return the problem cells that a form is about, as far as they have the metric."""
        having = {entry.problem_key for entry in self.summary.table(metric)}
        meant = (cell for cell in self.cells if matches(form.where, {**cell.params, PROBLEM: cell.problem}))
        return [cell for cell in meant if cell.key in having]

    def where(self, cells: Sequence[Cell]) -> dict[str, Any]:
        """Return what tells cells apart from the others: a value, or a list of those that they have."""
        described = [{PROBLEM: cell.problem, **cell.params} for cell in cells]
        found = {}
        for name in self.varying:
            values = {repr(params[name]): params[name] for params in described if name in params}
            if values:
                found[name] = next(iter(values.values())) if len(values) == 1 else list(values.values())
        return found

    def looks(self, cells: Sequence[Cell], labels: Sequence[str], metric: str) -> int:
        """Return at how many looks the trials of cells may have stopped, which their intervals must allow for."""
        entries = [self.entries.get((cell.key, label, metric)) for cell in cells for label in labels]
        return max((entry.looks for entry in entries if entry is not None), default=1)

    def sample(self, cell: Cell, label: str, metric: str) -> Sample | str:
        """Return the trials of a label in a problem cell, or why there are none to be used."""
        sample, entry = self.summary.samples.get((cell.key, label)), self.entries.get((cell.key, label, metric))
        if sample is None or entry is None:
            return f"{NOT_RUN}{label}"
        if entry.skipped:
            return f"{label} is skipped: {entry.skipped}"
        return sample if entry.n_attempted else f"{NOT_RUN}{label}"


def titled(where: Mapping[str, Any]) -> str:
    """Return what tells problem cells apart, as text.

    >>> titled({"m": 50, "d": [2, 3]})
    'm = 50, d = 2 and 3'
    """
    return ", ".join(
        f"{name} = {' and '.join(map(plain, value)) if isinstance(value, list) else plain(value)}"
        for name, value in where.items()
    )


def questions(form: Form, view: View, metric: Metric) -> list[Question]:
    """Return the questions of a form; none where no problem cell of the results is meant."""
    if isinstance(form, Sensitivity):
        return [_sensitivity(form, view)]
    if not view.cells:
        waiting = together(f"{NOT_RUN}{label}" for _, label in form.labels())
        return [Question({}, "", "", Region(), "", None, waiting)]
    cells = view.matching(form, metric.name)
    note = _coverage(form, view, len(cells))
    return [replace(each, notes=[*each.notes, *note]) for each in _questions(form, view, metric, cells)]


def _coverage(form: Form, view: View, judged: int) -> list[str]:
    """Return in how many of the problem cells a claim is judged where the results lack values that it names."""
    described = [{PROBLEM: cell.problem, **cell.params} for cell in view.cells]
    named = present = 1
    for name in form.where:
        stored = {value_key(params[name]) for params in described if name in params}
        keys = set(map(value_key, wanted(form.where, name)))
        named, present = named * len(keys), present * len(keys & stored)
    if not present or present == named:
        return []
    return [f"judged in {judged} of {round(judged * named / present)} problem cells"]


def _questions(form: Form, view: View, metric: Metric, cells: Sequence[Cell]) -> list[Question]:
    ask = _Asking(form, view, metric, cells)
    match form:
        case Better():
            return ask.advantage(form.label, form.than, form.margin)
        case Best():
            return [each for rival in form.among for each in ask.advantage(form.label, rival, 0.0)]
        case Equal():
            return ask.equal(form)
        case Level():
            return ask.level(form)
        case Value():
            return ask.value(form)
        case Ratio():
            return ask.ratio(form)
        case Flat():
            return ask.flat(form)
        case Trend():
            return ask.trend(form)
    raise AssertionError(f"no questions for {form!r}")


Asked = tuple[Measure, str]
"""A number and what it is made of."""


@dataclass(frozen=True)
class _Asking:
    form: Form
    view: View
    metric: Metric
    cells: Sequence[Cell]

    @property
    def _centre(self) -> str:
        return f"{CENTRES[self.metric.kind]} {self.metric.name}"

    @property
    def _show(self) -> Callable[[float], str]:
        return rate if self.metric.kind == "rate" else number

    @property
    def _change(self) -> Callable[[float], str]:
        return lambda value: signed(self._show, value)

    def advantage(self, label: str, than: str, margin: float) -> list[Question]:
        """``label`` against ``than``: positive where it is better, whichever values of the metric are."""
        first, second = (label, than) if self.metric.direction == "higher" else (than, label)
        return self._everywhere(
            (label, than),
            lambda cell, looks: self._difference(cell, first, second, looks, (label, than)),
            quantity=f"advantage of {label} over {than} in {self.metric.name}",
            region=Region(low=margin, open=True),
            condition=f"above {plain(margin)}" if margin else "above 0",
            show=self._change,
            doubts=lambda cell: Doubts(
                support=lambda: self._fails_more(cell, label, than),
                contradiction=lambda: self._ties(self._sample(cell, label), self._sample(cell, than), one_sided=True),
            ),
        )

    def equal(self, form: Equal) -> list[Question]:
        return self._everywhere(
            (form.a, form.b),
            lambda cell, looks: self._difference(cell, form.a, form.b, looks, (form.a, form.b)),
            quantity=f"difference of {form.a} and {form.b} in {self.metric.name}",
            region=Region(-form.margin, form.margin),
            condition=f"within ±{plain(form.margin)}",
            show=self._change,
            doubts=lambda cell: Doubts(
                support=lambda: self._ties(self._sample(cell, form.a), self._sample(cell, form.b))
            ),
        )

    def _ties(self, a: Sample, b: Sample, *, one_sided: bool = False) -> str:
        """Return why the median of the differences of pairs does not tell whether a and b are alike.

        It is 0 as soon as most pairs tie, be it because both failed; the ranks of the others may tell them apart.
        ``one_sided``: only where they speak for a.
        """
        if self.metric.kind != "skewed":
            return ""
        left, right = paired(a, b, self.metric.name)
        tied = int((np.isinf(left) & (left == right)).sum())
        if 2 * tied > len(left):
            return f"in {tied} of {len(left)} pairs both failed"
        if 2 * int((left == right).sum()) <= len(left):
            return ""
        test = stats.wilcoxon(left, right, direction=self.metric.direction)
        if stats.separated(test, test.p_value) and (not one_sided or test.favours == "a"):
            return f"by ranks the pairs differ (Wilcoxon, p = {test.p_value:.2g} by itself)"
        return ""

    def _fails_more(self, cell: Cell, label: str, than: str) -> str:
        """Return that ``label`` has fewer trials behind its mean than ``than``, where that is established."""
        if self.metric.kind != "mean":
            return ""
        one, other = self._sample(cell, label), self._sample(cell, than)
        _, first, second = np.intersect1d(one.repeats, other.repeats, assume_unique=True, return_indices=True)
        finished = ~self._failed(one)[first], ~self._failed(other)[second]
        test = stats.mcnemar_exact(*finished)
        if test.favours != "b" or test.p_value > FAILS_MORE:
            return ""
        lost = [f"{int((~each).sum())}" for each in finished]
        return (
            f"{label} failed more often than {than} ({lost[0]} and {lost[1]} of {len(first)} trials that both have), "
            "and a mean leaves failures out"
        )

    def _failed(self, sample: Sample) -> NDArray[np.bool_]:
        """Return which trials have no value that a mean could hold because they failed or diverged."""
        failed: NDArray[np.bool_] = sample.rows["status"].is_in(FAILED).to_numpy()
        return failed | np.isinf(sample.values[self.metric.name])

    def _failures(self, cells: Sequence[Cell], labels: Sequence[str]) -> list[str]:
        """Return how many trials of each label failed, if any did."""
        told: list[str] = []
        any_failed, different = False, {cell.key: cell for cell in cells}
        for label in labels:
            failed = np.concatenate([self._failed(self._sample(cell, label)) for cell in different.values()])
            trials = "" if told else " trials"
            told.append(f"{int(failed.sum())} of {len(failed)}{trials} of {label}" + ("" if told else " failed"))
            any_failed = any_failed or bool(failed.any())
        return [", ".join(told)] if any_failed else []

    def level(self, form: Level) -> list[Question]:
        low = -math.inf if form.at_least is None else form.at_least
        high = math.inf if form.at_most is None else form.at_most
        return self._everywhere(
            (form.label,),
            lambda cell, looks: (self._of(cell, form.label, looks), form.label),
            quantity=f"{self._centre} of {form.label}",
            region=Region(low, high),
            condition=f"at least {plain(low)}" if math.isfinite(low) else f"at most {plain(high)}",
            show=self._show,
        )

    def ratio(self, form: Ratio) -> list[Question]:
        def both(cell: Cell, looks: int) -> Asked:
            one, other = self._of(cell, form.of, looks), self._of(cell, form.to, looks)
            return m.ratio(one, other), f"{self._told(form.of, one)} over {self._told(form.to, other)}"

        return self._everywhere(
            (form.of, form.to),
            both,
            quantity=f"{self._centre} of {form.of} over that of {form.to}",
            region=Region(high=form.at_most),
            condition=f"at most {plain(form.at_most)}",
            show=number,
        )

    def value(self, form: Value) -> list[Question]:
        """The own mean, where the published ± is about trials, against the published number."""
        take = m.mean_of_cell if form.spread in ("sd", "se") else m.of_cell
        margin = form.margin or _default_margin(form)
        given = m.published(form)
        asked = self._everywhere(
            (form.label,),
            lambda cell, looks: (take(self._sample(cell, form.label), self.metric, looks), form.label),
            quantity=f"distance of {form.label} from the published {plain(form.equals)}",
            region=Region(-(margin or 0.0), margin or 0.0),
            condition=f"within ±{number(margin or 0.0)}",
            show=self._change,
            mean=take is m.mean_of_cell and self.metric.kind != "rate",
        )
        return [self._against(each, given, form, margin) for each in asked]

    def _against(self, question: Question, given: Measure, form: Value, margin: float | None) -> Question:
        if question.measure is None:
            return question
        own = question.measure
        compared = f"{self._told(form.label, own)}, published {form.published}"
        if margin is None:
            reason = "it states no margin, and from what is published none follows"
            return replace(question, measure=None, own=own, missing=reason, compared=compared)
        return replace(question, measure=m.between(own, given), own=own, compared=compared)

    def flat(self, form: Flat) -> list[Question]:
        return [
            each
            for one, other in itertools.combinations(self._along(form.x), 2)
            for each in self._changes(form.label, form.x, one, other, Region(-form.margin, form.margin), form.margin)
        ]

    def trend(self, form: Trend) -> list[Question]:
        """Up: the value at the last x is above the first, and no step goes the other way by an established amount."""
        levels = self._along(form.x)
        if len(levels) < 2:
            return []
        up = form.direction == "up"
        ends = self._changes(form.label, form.x, levels[0], levels[-1], Region(low=0.0, open=True), None, up=up)
        if len(levels) == 2:
            return ends
        steps = [
            each
            for one, other in itertools.pairwise(levels)
            for each in self._changes(form.label, form.x, one, other, Region(low=0.0), None, up=up, needed=False)
        ]
        return [*ends, *steps]

    def _along(self, x: str) -> list[dict[str, Cell]]:
        """Return, per value of ``x`` in ascending order, the problem cells by all that is not ``x``."""
        levels: dict[object, tuple[Any, dict[str, Cell]]] = {}
        for cell in self.cells:
            if x in cell.params:
                rest = repr([cell.problem, *((name, v) for name, v in cell.params.items() if name != x)])
                value = cell.params[x]
                levels.setdefault(value_key(value), (value, {}))[1][rest] = cell
        found = list(levels.values())
        if all(isinstance(value, int | float) for value, _ in found):
            found.sort(key=lambda level: level[0])
        return [cells for _, cells in found]

    def _changes(
        self,
        label: str,
        x: str,
        one: Mapping[str, Cell],
        other: Mapping[str, Cell],
        region: Region,
        margin: float | None,
        *,
        up: bool = True,
        needed: bool = True,
    ) -> list[Question]:
        """The change of a label's metric from one value of ``x`` to another; positive where it is as claimed."""
        pairs = [(one[rest], other[rest]) for rest in one if rest in other]

        def changed(pair: tuple[Cell, Cell], looks: int) -> Asked:
            first, second = (self._sample(cell, label) for cell in (pair if up else reversed(pair)))
            ends = [self._told("", self._of(cell, label, looks)) for cell in pair]
            return m.change(first, second, self.metric, looks), f"{label} {ends[0]} → {ends[1]}"

        way = "change" if margin is not None else "rise" if up else "fall"
        return self._everywhere(
            (label,),
            changed,
            quantity=f"{way} of {self.metric.name} of {label} with {x}",
            region=region,
            condition=f"within ±{plain(margin)}" if margin is not None else "above 0",
            show=self._change,
            cells=pairs,
            needed=needed,
            doubts=lambda pair: Doubts(support=lambda: self._same(label, pair) if margin is not None else ""),
        )

    def _same(self, label: str, pair: tuple[Cell, Cell]) -> str:
        first, second = (self._sample(cell, label) for cell in pair)
        return self._ties(first, second) if m.share_data(first, second) else ""

    def _everywhere(
        self,
        labels: Sequence[str],
        ask: Callable[[Any, int], Asked],
        *,
        quantity: str,
        region: Region,
        condition: str,
        show: Callable[[float], str],
        cells: Sequence[Any] | None = None,
        needed: bool = True,
        doubts: Callable[[Any], Doubts] = lambda _: Doubts(),
        mean: bool = False,
    ) -> list[Question]:
        """Ask in every problem cell (or pair of them); with ``scope: average`` once, for the mean over them."""
        places = self.cells if cells is None else cells

        def question(where: dict[str, Any], asked: Asked | str, *over: Any) -> Question:
            if isinstance(asked, str):
                return Question(where, quantity, "", region, condition, None, asked, show, needed)
            known = [cell for place in over for cell in _cells(place)]
            return Question(
                where,
                quantity,
                asked[1],
                region,
                condition,
                asked[0],
                show=show,
                needed=needed,
                doubts=_any_of([doubts(place) for place in over]),
                notes=self._failures(known, labels) if mean or self.metric.kind == "mean" else (),
            )

        answers = [self._ask(place, labels, ask) for place in places]
        if self.form.scope == "every":
            return [
                question(self.view.where(_cells(place)), answer, place)
                for place, answer in zip(places, answers, strict=True)
            ]
        if not places:
            return []
        where = self.view.where([cell for place in places for cell in _cells(place)])
        lacking = sorted({answer for answer in answers if isinstance(answer, str)})
        if lacking:
            return [question(where, together(lacking))]
        measures = [answer[0] for answer in answers if not isinstance(answer, str)]
        averaged = m.average(measures, independent=self._independent(places, labels[0]))
        return [question(where, (averaged, f"{' and '.join(labels)}, mean of {len(places)} cells"), *places)]

    def _ask(self, place: Any, labels: Sequence[str], ask: Callable[[Any, int], Asked]) -> Asked | str:
        cells = _cells(place)
        got = [self.view.sample(cell, label, self.metric.name) for cell in cells for label in labels]
        lacking = dict.fromkeys(each for each in got if isinstance(each, str))
        if lacking:
            return together(lacking)
        measure, compared = ask(place, self.view.looks(cells, labels, self.metric.name))
        if not measure.n:
            return f"no {measure.unit} with values of {self.metric.name}"
        return measure, compared

    def _independent(self, places: Sequence[Any], label: str) -> bool:
        """Whether no two places have data in common."""
        groups = [[self._sample(cell, label) for cell in _cells(place)] for place in places]
        return not any(
            m.share_data(a, b) for one, other in itertools.combinations(groups, 2) for a in one for b in other
        )

    def _sample(self, cell: Cell, label: str) -> Sample:
        return self.view.summary.samples[cell.key, label]

    def _of(self, cell: Cell, label: str, looks: int) -> Measure:
        return m.of_cell(self._sample(cell, label), self.metric, looks)

    def _difference(self, cell: Cell, a: str, b: str, looks: int, told: tuple[str, str]) -> Asked:
        one, other = self._sample(cell, a), self._sample(cell, b)
        # The single estimates are those on the pairs: over all trials of either they may differ by something else.
        known = dict(zip((a, b), paired(one, other, self.metric.name), strict=True))
        shown = (f"{label} {self._show(estimate(self.metric, known[label]).estimate)}" for label in told)
        return m.paired_difference(one, other, self.metric, looks), " vs ".join(shown)

    def _told(self, label: str, measure: Measure) -> str:
        return f"{label} {self._show(measure.at(0.95).estimate)}".strip()


def _cells(place: Any) -> tuple[Cell, ...]:
    """Return the problem cells of one place that a question is about: one, or a pair."""
    return place if isinstance(place, tuple) else (place,)


def _any_of(doubts: Sequence[Doubts]) -> Doubts:
    """Return doubts that are as strong as the first of several."""
    return Doubts(
        support=lambda: next(filter(None, (each.support() for each in doubts)), ""),
        contradiction=lambda: next(filter(None, (each.contradiction() for each in doubts)), ""),
    )


def together(reasons: Iterable[str]) -> str:
    """Return reasons as one text, labels that are not run named together.

    >>> together(["not run yet: a", "b is skipped: no samples", "not run yet: c, a"])
    'not run yet: a, c; b is skipped: no samples'
    """
    parts = list(dict.fromkeys(part for reason in reasons for part in reason.split("; ")))
    lists = [part.removeprefix(NOT_RUN) for part in parts if part.startswith(NOT_RUN)]
    waiting = dict.fromkeys(label for each in lists for label in each.split(", "))
    others = [part for part in parts if not part.startswith(NOT_RUN)]
    return "; ".join([*([NOT_RUN + ", ".join(waiting)] if waiting else []), *others])


def _default_margin(form: Value) -> float | None:
    """Half the published standard deviation over trials; None where it is not known."""
    if form.sd is None or form.spread in ("subsets", "unknown"):
        return None
    if form.spread == "sd":
        return form.sd / 2
    return form.sd * math.sqrt(form.n) / 2 if form.n else None


def _sensitivity(form: Sensitivity, view: View) -> Question:
    found = {selection.label: selection for selection in view.summary.selections if selection.finished}
    lacking = [label for label in (form.label, form.than) if label not in found]
    asked = Question(
        where={},
        quantity=f"loss of {form.label} from its best to its median setting, less that of {form.than},",
        compared="",
        region=Region(low=0.0, open=True),
        condition="above 0",
        measure=None,
        missing=f"not tuned yet: {', '.join(lacking)}",
        show=lambda value: signed(number, value),
    )
    if lacking:
        return asked
    label, than = found[form.label], found[form.than]
    falls = [m.fall(each).at(0.95).estimate for each in (label, than)]
    compared = f"{form.label} {number(falls[0])} vs {form.than} {number(falls[1])} ({label.metric})"
    return replace(asked, measure=m.sensitivity(label, than), missing="", compared=compared)


def signed(show: Callable[[float], str], value: float) -> str:
    """Return a number with its sign, also where it is positive."""
    text = show(value)
    return text if text.startswith(("-", "–")) else f"+{text}"
