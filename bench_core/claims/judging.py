"""Claims x summary -> verdicts: supported, contradicted or inconclusive, with few false ones in either direction.

**One number.** A claim asks one or more questions: a number that trials estimate, and the region where it must lie
(above the margin, within ±margin, at least a bound). At tail probability t the number has the interval of level 1 -
2t. All of it inside the region speaks for the claim, all of it outside on one side against it; else nothing is
settled. At one claim of one question t is 2.5 %: the 95 % interval decides, in both directions.

**Equality.** ``equal``, ``flat`` and ``value`` have a region with two ends. They are supported where the interval of
level 1 - 4t lies inside, at one claim of one question that of 90 %: two one-sided tests at 2t, of which only one can be
false. They are contradicted where that of level 1 - 2t, the 95 % interval, lies wholly outside. Whatever the truth is,
only one of the two verdicts is false: support where the number lies outside (probability 2t at most), contradiction
where it lies inside (t at either end, 2t at most).

**Several questions** (``scope: every``, ``best``, ``flat``: k of them). For support all must hold, and no correction
is needed: some question of a false claim is false itself, and is passed with probability t at most. One question
established the other way contradicts the claim, so each is asked at t/k. Hence the intervals shown: the end that
speaks for the claim has tail t, the end that speaks against it t/k, and a verdict can be read off them. ``scope:
average`` asks once, for the mean over the problem cells.

**Readings** (``alternatives``: r of them). Supported if some reading is, each asked at t/r; contradicted if all are,
each at t.

**Families.** K claims of a family are judged at t = 5 %/(2K). Of each claim one verdict is false, whatever the truth,
and comes with probability 2t at most, so any comes with 5 % at most (Bonferroni), whatever the dependence between
claims. Claims other than equalities need t alone, and what they leave goes to the others: with v verdicts on such
claims so far, t = 5 %/(2K - v), again and again as long as verdicts fall. For claims without equalities this is
Holm's step-down procedure on the 2K p-values that inverting the intervals would give. With e equalities and s others,
v is at most s as long as no verdict is false, so false ones sum to (s + 2e) t, which is at most 5 %; a verdict on an
equality leaves nothing. ``primary`` and ``detail`` are two families. Claims that cannot be judged yet count, so that a
verdict does not depend on what else has been run.

**Computed quantities** (``limit``, ``count``) have no error: number and bound are compared, and there is no interval
and no chance of a false verdict. Such claims are in no family's K. A claim with readings of both kinds is in it unless
a reading about a quantity holds, which settles the claim; its r counts the readings that trials must answer. What
quantities come to does not depend on what has been run, so neither does K. A quantity that cannot be computed settles
nothing.

**Minimum evidence.** Nothing is settled by fewer than ``MIN_VALUES`` values (pairs, trials, settings) in any problem
cell, whatever the interval.

**Failures.** A median of paired differences is 0 as soon as most pairs tie. Equality of a skewed metric is not
supported where more than half of the pairs tie because both failed, or tie at all while Wilcoxon's test of the pairs
separates the labels at 5 %, uncorrected; nor does such a tie contradict ``better``, in the second case if the ranks
speak for the label. Means leave failed trials out. ``better`` is not supported where the label fails more often
than the other one (exact McNemar test at 5 %, uncorrected). Both only ever withhold a verdict.

**A trend** (up) says: the value at the last x is above the first, and no step goes the other way by an established
amount. It is supported when the change from end to end is established in the claimed direction and no step between
neighbours is established in the other one; it is contradicted when a step is, or when the value at the last x is
established not to be above the first. Support says nothing of steps that are too small to be seen.

**Published numbers.** A ± over n trials makes the published number an estimate with a t interval of its own; it is a
mean then, so the own number is the mean over the trials with a finite value. A ± over subsets of one model, or an
unexplained one, says nothing about other trials: the number is taken as exact, and needs a margin. The default margin
is half the published standard deviation over trials, a "medium" effect by Cohen's convention: no margin at all could
never be met, and would contradict every rounded number once trials abound.

References:
    Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979), 65-70; Berger,
    "Multiparameter hypothesis testing and acceptance sampling", Technometrics 24 (1982), 295-300 (all must hold);
    Schuirmann, "A comparison of the two one-sided tests procedure and the power approach", J. Pharmacokinet.
    Biopharm. 15 (1987), 657-680.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

from bench_core import stats
from bench_core.claims.analytic import Finding, find
from bench_core.claims.forms import Analytic, Value
from bench_core.claims.measure import MIN_VALUES
from bench_core.claims.questions import Question, View, questions, titled, together
from bench_core.summary import Part, Verdict, summarise

if TYPE_CHECKING:
    from bench_core.claims.forms import Claim, Reading
    from bench_core.plugins import Plugins
    from bench_core.quantities import Quantity
    from bench_core.results import Results
    from bench_core.suite import Suite
    from bench_core.summary import Summary

ALPHA = 0.05
"""Probability of any false verdict in a family, in both directions together."""
POWER = 0.8
"""Probability with which the trials of a hint decide, if the present estimate is the true number."""
TOO_MANY = 1_000_000
"""More trials than this are no advice."""

NORMAL = NormalDist()

Word = Literal["supported", "contradicted", "inconclusive"]


def judged(results: Results, plugins: Plugins, metric: str | None = None) -> Summary:
    """Return ``summarise(results, plugins, metric)`` with the verdicts on the suite's claims, whatever its metric."""
    summary = summarise(results, plugins, metric)
    whole = summary if metric is None else summarise(results, plugins)
    return replace(summary, claims=judge(whole, results.plan.suite, plugins.quantities.items))


def judge(summary: Summary, suite: Suite, quantities: Mapping[str, Quantity] | None = None) -> list[Verdict]:
    """Return one verdict per claim of ``suite``, in its order.

    Args:
        summary: of the suite's results, with all its metrics.
        suite: with claims that fit it.
        quantities: what can be computed without trials, by name.
    """
    view = _View(summary, suite, quantities or {})
    found: dict[str, Verdict] = {}
    for family in dict.fromkeys(claim.family for claim in suite.claims):
        cases = [_case(claim, view) for claim in suite.claims if claim.family == family]
        found |= {case.claim.id: _verdict(case, ruling) for case, ruling in zip(cases, _rule_all(cases), strict=True)}
    return [found[claim.id] for claim in suite.claims]


# ---- claims as cases -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _View(View):
    """All that claims are judged by."""

    suite: Suite
    quantities: Mapping[str, Quantity]


Asked = Sequence["Question"] | Finding
"""What trials must answer, or what was computed."""


@dataclass(frozen=True)
class _Case:
    """A claim with the questions, or the finding, of each of its readings."""

    claim: Claim
    readings: Sequence[tuple[Reading | Claim, Asked]]

    @property
    def exact(self) -> bool:
        """Whether trials have no say: only quantities are asked for, or one of them makes a reading hold."""
        found = [asked for _, asked in self.readings if isinstance(asked, Finding)]
        return len(found) == len(self.readings) or any(each.word == "supported" for each in found)

    @property
    def asked(self) -> list[Sequence[Question]]:
        """The questions of the readings that trials must answer."""
        return [asked for _, asked in self.readings if not isinstance(asked, Finding)]


@dataclass(frozen=True)
class _Answer:
    """What trials say to a question."""

    question: Question
    word: Word
    interval: stats.Interval | None
    """The one that is shown: the verdict can be read off it."""
    sides: tuple[stats.Interval, ...] = ()
    """The intervals that decide on support and on contradiction."""
    doubt: str = ""
    """Why nothing is settled although the interval would."""


@dataclass(frozen=True)
class _Ruling:
    """What they say to one reading, or to a claim."""

    word: Word
    answers: Sequence[_Answer] = ()
    readings: Sequence[_Ruling] = ()
    finding: Finding | None = None


def _case(claim: Claim, view: _View) -> _Case:
    return _Case(claim, [(reading, _asked(reading, view)) for _, reading in claim.readings()])


def _asked(reading: Reading | Claim, view: _View) -> Asked:
    form = reading.stated()
    if isinstance(form, Analytic):
        return find(form, view.quantities)
    metric = view.summary.metrics.get(form.metric or view.suite.report.metric)
    return questions(form, view, metric) if metric is not None else []


# ---- the verdicts of a family ----------------------------------------------------------------------------------------


def _rule_all(cases: Sequence[_Case]) -> list[_Ruling]:
    """Judge a family: again and again, as verdicts leave more of the 5 % to the others."""
    decided: dict[int, _Ruling] = {}
    counted = {i for i, case in enumerate(cases) if not case.exact}
    while True:
        spent = sum(not _two_sided(cases[i]) for i in decided if i in counted)
        tail = ALPHA / ((2 * len(counted) - spent) or 2)
        rulings = {i: _rule(case, tail) for i, case in enumerate(cases) if i not in decided}
        fresh = {i: ruling for i, ruling in rulings.items() if ruling.word != "inconclusive"}
        if not fresh:
            return [decided.get(i) or rulings[i] for i in range(len(cases))]
        decided |= fresh


def _two_sided(case: _Case) -> bool:
    """Whether a claim, or a reading of it, is an equality."""
    return any(question.region.bounds > 1 for asked in case.asked for question in asked)


def _rule(case: _Case, tail: float) -> _Ruling:
    if case.claim.alternatives is None:
        return _rule_reading(case.readings[0][1], tail, tail)
    rulings = [_rule_reading(asked, tail / (len(case.asked) or 1), tail) for _, asked in case.readings]
    words = {ruling.word for ruling in rulings}
    word: Word = "supported" if "supported" in words else "inconclusive"
    return _Ruling("contradicted" if words == {"contradicted"} else word, readings=rulings)


def _rule_reading(asked: Asked, tail_for: float, tail_against: float) -> _Ruling:
    if isinstance(asked, Finding):
        return _Ruling(asked.word, finding=asked)
    answers = [_answer(question, tail_for, tail_against / len(asked)) for question in asked]
    if any(answer.word == "contradicted" for answer in answers):
        return _Ruling("contradicted", answers)
    holds = [answer.word == "supported" for answer in answers if answer.question.needed]
    return _Ruling("supported" if holds and all(holds) else "inconclusive", answers)


def _answer(question: Question, tail_for: float, tail_against: float) -> _Answer:
    measure, region = question.measure, question.region
    if measure is None:
        return _Answer(question, "inconclusive", None)
    two_sided = region.bounds > 1
    speaking_for = measure.at(1 - 2 * (2 * tail_for if two_sided else tail_for))
    against = measure.at(1 - 2 * tail_against)
    word: Word = "inconclusive"
    doubt = f"only {measure.smallest} {measure.unit}{_each(question)}" if measure.smallest < MIN_VALUES else ""
    if doubt:
        doubt += f", and fewer than {MIN_VALUES} settle nothing"
    elif region.holds(speaking_for):
        doubt = question.doubts.support()
        word = "inconclusive" if doubt else "supported"
    elif region.excludes(against):
        doubt = question.doubts.contradiction()
        word = "inconclusive" if doubt else "contradicted"
    if two_sided:
        wide = max(speaking_for, against, key=lambda each: each.level)
        shown = {"supported": speaking_for, "contradicted": against, "inconclusive": wide}[word]
    elif math.isfinite(region.low):
        shown = speaking_for._replace(high=against.high)
    else:
        shown = speaking_for._replace(low=against.low)
    return _Answer(question, word, shown, (speaking_for, against), doubt)


def _each(question: Question) -> str:
    return " in a problem cell" if question.measure and question.measure.cells > 1 else ""


# ---- verdicts in words -----------------------------------------------------------------------------------------------


def _verdict(case: _Case, ruling: _Ruling) -> Verdict:
    claim = case.claim
    if claim.alternatives is None:
        ((reading, _),) = case.readings
        return replace(_told(claim, reading, ruling), decisive=claim.expect is None, exact=case.exact)
    readings = [
        replace(_told(claim, reading, each), id=f"{claim.id}/{i}", text=reading.text or f"reading {i}")
        for i, ((reading, _), each) in enumerate(zip(case.readings, ruling.readings, strict=True), start=1)
    ]
    deciding = next((each for each in readings if each.verdict == ruling.word), readings[0])
    open_ones = [each for each in readings if each.verdict == "inconclusive"]
    return replace(
        deciding,
        id=claim.id,
        text=claim.text,
        form="alternatives",
        verdict=ruling.word,
        explanation=_told_readings(ruling.word, readings),
        hint="" if ruling.word != "inconclusive" or len(open_ones) != 1 else open_ones[0].hint,
        parts=(),
        readings=readings,
        exact=case.exact,
    )


def _told_readings(word: Word, readings: Sequence[Verdict]) -> str:
    if word == "contradicted":
        return f"None of the {len(readings)} readings holds."
    holding = [each.text for each in readings if each.verdict == "supported"]
    failing = [each.text for each in readings if each.verdict == "contradicted"]
    told = [f"holds for: {', '.join(holding)}"] * bool(holding) + [f"fails for: {', '.join(failing)}"] * bool(failing)
    if word == "inconclusive":
        told.append("no reading is settled" if not failing else "the other readings are not settled")
    text = "; ".join(told)
    return f"{text[0].upper()}{text[1:]}."


def _told(claim: Claim, reading: Reading | Claim, ruling: _Ruling) -> Verdict:
    form = reading.stated()
    deciding = _deciding(ruling)
    finding = ruling.finding
    own = deciding.question.own if deciding else None
    interval = deciding.interval if deciding else None
    shown = own.at(interval.level if interval else 1 - ALPHA) if own else interval
    measure = own or (deciding.question.measure if deciding else None)
    return Verdict(
        id=claim.id,
        text=claim.text,
        source=claim.source,
        family=claim.family,
        form=reading.form,
        verdict=ruling.word,
        expected=claim.expect is None,
        decisive=False,
        published=form.equals if isinstance(form, Value | Analytic) else None,
        estimate=finding.value if finding else shown.estimate if shown else math.nan,
        low=shown.low if shown else math.nan,
        high=shown.high if shown else math.nan,
        n=measure.n if measure else 0,
        explanation=finding.explanation if finding else _explained(ruling, deciding),
        exact=finding is not None,
        hint=_hint(ruling) if ruling.word == "inconclusive" else "",
        parts=_parts(ruling.answers),
    )


def _deciding(ruling: _Ruling) -> _Answer | None:
    """Return the answer that the verdict hangs on: the one most against it, or the one that was hardest to pass."""
    wanted = [each for each in ruling.answers if each.interval is not None]
    if ruling.word == "contradicted":
        wanted = [each for each in wanted if each.word == "contradicted"]
    else:
        wanted = [each for each in wanted if each.question.needed and each.word == ruling.word]
    if not wanted:  # nothing is known, but maybe why
        return next((each for each in ruling.answers if each.question.own), None)
    return min(wanted, key=_room)


def _room(answer: _Answer) -> float:
    """Return how far the interval stays inside the region; negative where it does not."""
    interval, region = answer.interval, answer.question.region
    assert interval is not None
    return min(interval.low - region.low, region.high - interval.high)


def _explained(ruling: _Ruling, deciding: _Answer | None) -> str:
    nothing = "No problem cell of these results is meant."
    if not ruling.answers:
        return nothing
    lacking = [each.question.missing for each in ruling.answers if each.interval is None]
    if ruling.word == "inconclusive" and lacking:
        text = together(lacking)
        return f"{text[0].upper()}{text[1:]}."
    if deciding is None:  # a trend whose ends no problem has both of
        return nothing
    return "; ".join([_sentence(ruling, deciding), *deciding.question.notes]) + "."


def _sentence(ruling: _Ruling, deciding: _Answer) -> str:
    question = deciding.question
    at = f" at {titled(question.where)}" if question.where else ""
    number = _number(deciding)
    if ruling.word == "contradicted":
        return f"The {question.quantity}{at} is {number}, not {question.condition}"
    count = sum(each.question.needed for each in ruling.answers)
    if ruling.word == "supported" and count > 1:
        return (
            f"All {count} comparisons hold; the closest{at}: the {question.quantity} is {number}, {question.condition}"
        )
    if ruling.word == "supported":
        return f"The {question.quantity} is {question.condition}{at}: {number}"
    if deciding.doubt:
        return f"The {question.quantity}{at} is {number}, but not settled: {deciding.doubt}"
    return f"The {question.quantity}{at} is {number}: not settled whether it is {question.condition}"


def _number(answer: _Answer) -> str:
    show, interval = answer.question.show, answer.interval
    assert interval is not None
    return f"{show(interval.estimate)} [{show(interval.low)}, {show(interval.high)}]"


def _parts(answers: Sequence[_Answer]) -> list[Part]:
    rows = [_row(answer) for answer in answers]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        Part(
            where=answer.question.where,
            verdict=answer.word,
            text="  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True) if width).rstrip(),
            estimate=answer.interval.estimate if answer.interval else math.nan,
            low=answer.interval.low if answer.interval else math.nan,
            high=answer.interval.high if answer.interval else math.nan,
            n=answer.question.measure.n if answer.question.measure else 0,
        )
        for answer, row in zip(answers, rows, strict=True)
    ]


def _row(answer: _Answer) -> list[str]:
    question = answer.question
    measure = question.measure or question.own
    count = f"{measure.n} {measure.unit}" if measure else ""
    told = _number(answer) if answer.interval else question.missing
    return [titled(question.where), question.compared, told, count]


# ---- what would decide -----------------------------------------------------------------------------------------------


def _hint(ruling: _Ruling) -> str:
    """Say how many more trials would decide, and on which assumption."""
    known = [each for each in ruling.answers if each.question.needed]
    if any(each.interval is None for each in known) or not known:
        return ""
    undecided = [each for each in known if each.word == "inconclusive"]
    against = [each for each in undecided if not _inside(each)]
    if any(each.question.measure is None or each.question.measure.unit == "settings" for each in undecided):
        return ""
    # One question established the other way decides; for support the hardest one must pass.
    hardest = min(against, key=_more) if against else max(undecided, key=_more)
    assert hardest.interval is not None
    if not all(math.isfinite(end) for side in hardest.sides for end in side[:3]):
        return "more trials are needed before the interval has two ends"
    if hardest.doubt:
        return ""
    more = _more(hardest)
    at = f" at {titled(hardest.question.where)}" if hardest.question.where else ""
    number = hardest.question.show(hardest.interval.estimate)
    assumption = f"if {number}{at} is the true number"
    if more > TOO_MANY:
        return f"{assumption}, it is so close to the edge that no reasonable number of trials would decide"
    measure = hardest.question.measure
    each = " in each problem cell" if measure and measure.cells > 1 else " there" if at else ""
    return (
        f"{assumption}, about {_rounded(more):,} more trials per label{each} would decide with a probability of "
        f"{POWER * 100:.0f} % (if run once and judged then)"
    )


def _inside(answer: _Answer) -> bool:
    assert answer.interval is not None
    return answer.question.region.low < answer.interval.estimate <= answer.question.region.high


def _more(answer: _Answer) -> float:
    """Return about how many trials a cell lacks to decide with probability ``POWER``, if the estimate is the truth.

    The distance of an end from the estimate is z standard errors, which go with 1/√n; the room up to the edge of the
    region must be z + 0.84 of them. With an edge on either side, both must be passed.
    """
    region, measure = answer.question.region, answer.question.measure
    assert measure is not None
    side = answer.sides[0 if _inside(answer) else 1]
    estimate = side.estimate
    if _inside(answer):
        ways = [(estimate - side.low, estimate - region.low), (side.high - estimate, region.high - estimate)]
    elif estimate <= region.low:
        ways = [(side.high - estimate, region.low - estimate)]
    else:
        ways = [(estimate - side.low, estimate - region.high)]
    ways = [(half, room) for half, room in ways if math.isfinite(room)]
    if not ways or any(room <= 0 or not math.isfinite(half) for half, room in ways):
        return math.inf
    z = -NORMAL.inv_cdf((1 - side.level) / 2 / measure.looks)
    per_cell = measure.n / measure.cells
    return max(1.0, per_cell * (_factor(ways, z) - 1))


def _factor(ways: Sequence[tuple[float, float]], z: float) -> float:
    """Return how many times the trials pass all edges with probability ``POWER``; a way: half a width, and the room."""

    def power(factor: float) -> float:
        passed = (NORMAL.cdf(z * (math.sqrt(factor) * room / half - 1)) if half else 1.0 for half, room in ways)
        return sum(passed) - len(ways) + 1

    low, high = 1.0, 1.0
    while power(high) < POWER and math.isfinite(high):
        low, high = high, 4 * high
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if power(middle) < POWER else (low, middle)
    return high


def _rounded(count: float) -> int:
    """Round up to two digits: more would be a promise."""
    size: int = 10 ** max(0, math.floor(math.log10(count)) - 1)
    return math.ceil(count / size) * size
