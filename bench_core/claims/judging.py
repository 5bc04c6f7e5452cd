"""Claims x summary -> verdicts: supported, contradicted or inconclusive, with few false ones in either direction.

**One number.** A claim asks one or more questions: a number that trials estimate, and the region where it must lie
(above the margin, within ±margin, at least a bound). At tail probability t the number has the interval of level 1 -
2t. All of it inside the region speaks for the claim, all of it outside on one side against it; else nothing is
settled. At one claim of one question t is 2.5 %: the 95 % interval decides, in both directions.

**Equality.** The usual rule (90 % interval inside the margin: equal; 95 % interval outside: different) allows 5 % of
false support and 2.5 % of false contradiction where the difference is exactly the margin, 7.5 % together. Both
directions together are to stay below 5 % here, so ``equal``, ``flat`` and ``value`` are read from one interval too.

**Several questions** (``scope: every``, ``best``, ``flat``: k of them). For support all must hold, and no correction
is needed: some question of a false claim is false itself, and is passed with probability t at most. One question
established the other way contradicts the claim, so each is asked at t/k. Hence the intervals shown: the end that
speaks for the claim has tail t, the end that speaks against it t/k, and a verdict can be read off them. ``scope:
average`` asks once, for the mean over the problem cells.

**Readings** (``alternatives``: r of them). Supported if some reading is, each asked at t/r; contradicted if all are,
each at t.

**Families.** K claims of a family are 2K one-sided hypotheses, "not supported" and "not contradicted" of each. They
are judged at t = 5 %/(2K); as long as verdicts fall, again at 5 %/(2K - verdicts so far). This is Holm's step-down
procedure on the 2K p-values that inverting the intervals would give (sequentially rejective Bonferroni), without
computing any: whatever the dependence between claims, the probability of any false verdict, in either direction, is
at most 5 % a family as far as the intervals cover. ``primary`` and ``detail`` are two families. Claims that cannot be
judged yet count, so that a verdict does not depend on what else has been run.

**A trend** is supported when the change from end to end is established in the claimed direction and no step between
neighbours is established in the other one; steps and ends alike can contradict it. Support says nothing of steps that
are too small to be seen.

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
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from bench_core import stats
from bench_core.claims.forms import Form, Value
from bench_core.claims.questions import Question, View, questions, titled, together
from bench_core.summary import Part, Verdict, summarise

if TYPE_CHECKING:
    from bench_core.claims.forms import Claim, Reading
    from bench_core.plugins import Plugins
    from bench_core.results import Results
    from bench_core.suite import Suite
    from bench_core.summary import Summary

ALPHA = 0.05
"""Probability of any false verdict in a family, in both directions together."""
TOO_MANY = 1_000_000
"""More trials than this are no advice."""

Word = Literal["supported", "contradicted", "inconclusive"]


def judged(results: Results, plugins: Plugins, metric: str | None = None) -> Summary:
    """Return ``summarise(results, plugins, metric)`` with the verdicts on the suite's claims, whatever its metric."""
    summary = summarise(results, plugins, metric)
    whole = summary if metric is None else summarise(results, plugins)
    return replace(summary, claims=judge(whole, results.plan.suite))


def judge(summary: Summary, suite: Suite) -> list[Verdict]:
    """Return one verdict per claim of ``suite``, in its order.

    Args:
        summary: of the suite's results, with all its metrics.
        suite: with claims that fit it.
    """
    view = View(summary)
    found: dict[str, Verdict] = {}
    for family in dict.fromkeys(claim.family for claim in suite.claims):
        cases = [_case(claim, view, suite) for claim in suite.claims if claim.family == family]
        found |= {case.claim.id: _verdict(case, ruling) for case, ruling in zip(cases, _rule_all(cases), strict=True)}
    return [found[claim.id] for claim in suite.claims]


# ---- claims as cases -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Case:
    """A claim with the questions of each of its readings."""

    claim: Claim
    readings: Sequence[tuple[Reading | Claim, Sequence[Question]]]


@dataclass(frozen=True)
class _Answer:
    """What trials say to a question."""

    question: Question
    word: Word
    interval: stats.Interval | None


@dataclass(frozen=True)
class _Ruling:
    """What they say to one reading, or to a claim."""

    word: Word
    answers: Sequence[_Answer] = ()
    readings: Sequence[_Ruling] = ()


def _case(claim: Claim, view: View, suite: Suite) -> _Case:
    return _Case(claim, [(reading, _asked(reading, view, suite)) for _, reading in claim.readings()])


def _asked(reading: Reading | Claim, view: View, suite: Suite) -> list[Question]:
    form = reading.stated()
    assert isinstance(form, Form)  # the others are refused when the suite is read
    metric = view.summary.metrics.get(form.metric or suite.report.metric)
    return questions(form, view, metric) if metric is not None else []


# ---- the verdicts of a family ----------------------------------------------------------------------------------------


def _rule_all(cases: Sequence[_Case]) -> list[_Ruling]:
    """Judge a family: again and again, as every verdict leaves more of the 5 % to the others."""
    decided: dict[int, _Ruling] = {}
    while True:
        tail = ALPHA / (2 * len(cases) - len(decided))
        rulings = {i: _rule(case, tail) for i, case in enumerate(cases) if i not in decided}
        fresh = {i: ruling for i, ruling in rulings.items() if ruling.word != "inconclusive"}
        if not fresh:
            return [decided.get(i) or rulings[i] for i in range(len(cases))]
        decided |= fresh


def _rule(case: _Case, tail: float) -> _Ruling:
    if case.claim.alternatives is None:
        return _rule_reading(case.readings[0][1], tail, tail)
    rulings = [_rule_reading(asked, tail / len(case.readings), tail) for _, asked in case.readings]
    words = {ruling.word for ruling in rulings}
    word: Word = "supported" if "supported" in words else "inconclusive"
    return _Ruling("contradicted" if words == {"contradicted"} else word, readings=rulings)


def _rule_reading(asked: Sequence[Question], tail_for: float, tail_against: float) -> _Ruling:
    answers = [_answer(question, tail_for, tail_against / len(asked)) for question in asked]
    if any(answer.word == "contradicted" for answer in answers):
        return _Ruling("contradicted", answers)
    holds = [answer.word == "supported" for answer in answers if answer.question.needed]
    return _Ruling("supported" if holds and all(holds) else "inconclusive", answers)


def _answer(question: Question, tail_for: float, tail_against: float) -> _Answer:
    if question.measure is None:
        return _Answer(question, "inconclusive", None)
    at, region = question.measure.at, question.region
    speaking_for, against = at(1 - 2 * tail_for), at(1 - 2 * tail_against)
    if region.holds(speaking_for):
        word: Word = "supported"
    else:
        word = "contradicted" if region.excludes(against) else "inconclusive"
    if region.bounds > 1:
        wide = max(speaking_for, against, key=lambda each: each.level)
        shown = {"supported": speaking_for, "contradicted": against, "inconclusive": wide}[word]
    elif math.isfinite(region.low):
        shown = speaking_for._replace(high=against.high)
    else:
        shown = speaking_for._replace(low=against.low)
    return _Answer(question, word, shown)


# ---- verdicts in words -----------------------------------------------------------------------------------------------


def _verdict(case: _Case, ruling: _Ruling) -> Verdict:
    claim = case.claim
    if claim.alternatives is None:
        ((reading, _),) = case.readings
        return replace(_told(claim, reading, ruling), decisive=claim.expect is None)
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
        published=form.equals if isinstance(form, Value) else None,
        estimate=shown.estimate if shown else math.nan,
        low=shown.low if shown else math.nan,
        high=shown.high if shown else math.nan,
        n=measure.n if measure else 0,
        explanation=_explained(ruling, deciding),
        hint=_hint(ruling) if ruling.word == "inconclusive" else "",
        parts=_parts(ruling.answers),
    )


def _deciding(ruling: _Ruling) -> _Answer | None:
    """Return the answer that the verdict hangs on: the one most against it, or the one that was hardest to pass."""
    wanted = [each for each in ruling.answers if each.interval is not None]
    if ruling.word == "contradicted":
        wanted = [each for each in wanted if each.word == "contradicted"]
    else:
        wanted = [each for each in wanted if each.question.needed]
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
    question = deciding.question
    at = f" at {titled(question.where)}" if question.where else ""
    number = f"{_number(deciding)}"
    if ruling.word == "contradicted":
        return f"The {question.quantity}{at} is {number}, not {question.condition}."
    count = sum(each.question.needed for each in ruling.answers)
    if ruling.word == "supported" and count > 1:
        return (
            f"All {count} comparisons hold; the closest{at}: the {question.quantity} is {number}, {question.condition}."
        )
    if ruling.word == "supported":
        return f"The {question.quantity} is {question.condition}{at}: {number}."
    return f"The {question.quantity}{at} is {number}: not settled whether it is {question.condition}."


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
    if not all(map(math.isfinite, hardest.interval[:3])):
        return "more trials are needed before the interval has two ends"
    more = _more(hardest)
    at = f" at {titled(hardest.question.where)}" if hardest.question.where else ""
    number = hardest.question.show(hardest.interval.estimate)
    assumption = f"if {number}{at} is the true number"
    if more > TOO_MANY:
        return f"{assumption}, it is so close to the edge that no reasonable number of trials would decide"
    there = "per label there" if at else "per label"
    return f"{assumption}, about {_rounded(more):,} more trials {there} would decide"


def _inside(answer: _Answer) -> bool:
    assert answer.interval is not None
    return answer.question.region.low < answer.interval.estimate <= answer.question.region.high


def _more(answer: _Answer) -> float:
    """Return about how many trials the interval lacks to leave the edge of the region, as its width goes with 1/√n."""
    interval, region, measure = answer.interval, answer.question.region, answer.question.measure
    assert interval is not None
    assert measure is not None
    estimate = interval.estimate
    if _inside(answer):
        ways = [(estimate - interval.low, estimate - region.low), (interval.high - estimate, region.high - estimate)]
    elif estimate <= region.low:
        ways = [(interval.high - estimate, region.low - estimate)]
    else:
        ways = [(estimate - interval.low, estimate - region.high)]
    factors = [(half / room) ** 2 if room > 0 else math.inf for half, room in ways if math.isfinite(room)]
    factor = max(factors, default=math.inf)
    return max(1.0, measure.n * (factor - 1)) if math.isfinite(factor) else math.inf


def _rounded(count: float) -> int:
    """Round up to two digits: more would be a promise."""
    size: int = 10 ** max(0, math.floor(math.log10(count)) - 1)
    return math.ceil(count / size) * size
