"""A claim about a computed quantity -> what it comes to: a number without an error, so no interval and no chance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bench_core.claims.forms import Analytic, Limit

if TYPE_CHECKING:
    from bench_core.quantities import Quantity


@dataclass(frozen=True)
class Finding:
    """What computing a quantity says to a claim."""

    word: Literal["supported", "contradicted", "inconclusive"]
    value: float
    """NaN where it could not be computed."""
    explanation: str
    """One sentence: what the quantity is, the number, and where the claim has it."""


def find(form: Analytic, quantities: Mapping[str, Quantity]) -> Finding:
    """Compute the quantity of a ``limit`` or ``count`` claim, once for all claims, and judge the claim by it."""
    if form.quantity not in quantities:
        return Finding("inconclusive", math.nan, f"No plugin that is loaded computes the quantity {form.quantity}.")
    quantity = quantities[form.quantity]
    about = quantity.about.rstrip(".")
    value, reason = quantity.outcome
    if math.isnan(value):
        return Finding("inconclusive", value, f"{about}: could not be computed: {reason}.")
    holds = _holds(form, value)
    told = f"{about}: {shown(value)}, {'' if holds else 'not '}{_condition(form)}."
    return Finding("supported" if holds else "contradicted", value, told)


def _holds(form: Analytic, value: float) -> bool:
    slack = form.tolerance if isinstance(form, Limit) else 0.0
    if form.equals is not None:
        return abs(value - form.equals) <= slack
    if form.at_least is not None:
        return value >= form.at_least - slack
    assert form.at_most is not None
    return value <= form.at_most + slack


def _condition(form: Analytic) -> str:
    slack = form.tolerance if isinstance(form, Limit) else 0.0
    if form.equals is not None:
        return f"within {shown(slack)} of {shown(form.equals)}" if slack else f"exactly {shown(form.equals)}"
    word, bound = ("at least", form.at_least) if form.at_least is not None else ("at most", form.at_most)
    assert bound is not None
    return f"{word} {shown(bound)}" + (f" (± {shown(slack)})" if slack else "")


def shown(value: float) -> str:
    """Return a computed number: with more digits than an estimate, since it has no error.

    >>> shown(1.0), shown(0.99951234), shown(1e-12), shown(float("inf"))
    ('1', '0.999512', '1e-12', '∞')
    """
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:.6g}"
