"""Verdicts on claims as lines of text: the same words in ``bench verify`` and below a table."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from bench_core.report.table import number
from bench_core.summary import Verdict
from bench_core.yamlfile import visible

SYMBOLS = {"supported": "✓", "contradicted": "✗", "inconclusive": "?"}
LEGEND = "✓ supported  ✗ contradicted  ? inconclusive"
WIDTH = 100


@dataclass(frozen=True)
class Line:
    """One line, and what it is, for formats with colours."""

    text: str
    role: Literal["head", "source", "explanation", "reading", "part", "hint"]
    verdict: str
    """That the line is about."""


def lines(verdict: Verdict, width: int = WIDTH, *, parts: bool = False) -> list[Line]:
    """Return a verdict as lines of at most ``width`` columns, as far as its words allow; nothing in them is obeyed.

    Args:
        verdict: on one claim.
        width: in columns.
        parts: the caller shows the lines of the role ``part``, which say how many trials there are: nothing else does.
    """
    return [
        Line(text, line.role, line.verdict)
        for line in _lines(verdict, parts=parts)
        for text in _wrapped(visible(line.text), width)
    ]


def _lines(verdict: Verdict, *, parts: bool) -> Iterator[Line]:
    word = verdict.verdict
    text = " ".join(verdict.text.split())
    named = f"{text} ({verdict.id})" if text else verdict.id
    if verdict.family == "detail" and verdict.published is not None and not verdict.exact:
        # The cells of a published table are many, and their two numbers tell all.
        numbers = f"published {_number(verdict.published)}, measured {_measured(verdict)}"
        yield Line(f"{SYMBOLS[word]} {said(verdict)}  {named}: {numbers}", "head", word)
        return
    yield Line(f"{SYMBOLS[word]} {said(verdict)}  {named}", "head", word)
    if verdict.source:
        yield Line(f"    {' '.join(verdict.source.split())}", "source", word)
    if verdict.published is not None and not verdict.exact:  # what was computed tells both numbers itself
        yield Line(f"    published {_number(verdict.published)}, measured {_measured(verdict)}", "explanation", word)
    yield Line(f"    {verdict.explanation}{_count(verdict, parts=parts)}", "explanation", word)
    if not verdict.readings:
        yield from _details(verdict, "    ")
    for reading in verdict.readings:
        told = reading.verdict
        yield Line(
            f"    {SYMBOLS[told]} {reading.text}: {reading.explanation}{_count(reading, parts=parts)}", "reading", told
        )
        yield from _details(reading, "      ")


def said(verdict: Verdict) -> str:
    """Return the verdict in words, with what was expected where it is not support."""
    if verdict.expected:
        return verdict.verdict
    return verdict.verdict + (" (expected)" if verdict.verdict == "contradicted" else " (contradiction expected)")


def _details(verdict: Verdict, indent: str) -> Iterator[Line]:
    """Yield the parts, unless nothing is known of any, and what would decide."""
    for part in verdict.parts if any(part.n for part in verdict.parts) else ():
        yield Line(f"{indent}  {SYMBOLS[part.verdict]} {part.text}", "part", part.verdict)
    if verdict.hint:
        yield Line(f"{indent}→ {verdict.hint}", "hint", verdict.verdict)


def _count(verdict: Verdict, *, parts: bool) -> str:
    stated = parts and any(part.n for part in verdict.parts)
    return f" n = {verdict.n}." if verdict.n and not verdict.readings and not stated else ""


def _measured(verdict: Verdict) -> str:
    return f"{number(verdict.estimate)} [{number(verdict.low)}, {number(verdict.high)}], n = {verdict.n}"


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _wrapped(text: str, width: int) -> list[str]:
    indent = " " * (len(text) - len(text.lstrip()) + 2)
    return textwrap.wrap(
        text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, replace_whitespace=False
    )


def tally(verdicts: Sequence[Verdict]) -> str:
    """Return how many claims came out how, as ``5 supported, 1 contradicted (1 expected), 2 inconclusive``."""
    told = []
    for word in SYMBOLS:
        count = sum(each.verdict == word for each in verdicts)
        expected = sum(each.verdict == word and not each.expected for each in verdicts)
        note = "" if word != "contradicted" or not expected else " (expected)"
        note = f" ({expected} of them expected)" if note and expected < count else note
        told += [f"{count} {word}{note}"] if count else []
    return ", ".join(told) or "no claims"


def guarantee(verdicts: Sequence[Verdict]) -> str:
    """Return what the intervals of these verdicts are worth."""
    tried = [each for each in verdicts if not each.exact]
    if not tried:
        return "These claims are judged by what is computed without trials: their verdicts are no matter of chance."
    families = {family: sum(each.family == family for each in tried) for family in ("primary", "detail")}
    counted = " and ".join(
        f"all {count} {family} claims" if count > 1 else f"the {family} claim"
        for family, count in families.items()
        if count
    )
    together = " together" if len(tried) > 1 else ""
    apart = " Claims judged by what is computed without trials are no matter of chance, and not counted here."
    return (
        f"Intervals allow for {counted} of the suite{together}: with probability 95 % no verdict of a family is false, "
        "in either direction. This is for the verdicts on whole claims; marks of single parts and readings are read at "
        "the same level each, without correction."
    ) + apart * (len(tried) < len(verdicts))
