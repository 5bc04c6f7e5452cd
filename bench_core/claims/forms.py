"""The forms of claims in a suite file, and whether they fit the suite that they stand in.

A claim is a form (``better``, ``equal``, …) with whom it is about, under which metric and in which problem cells, and
beside it what the paper says, where, and whether it is one of its main statements. ``alternatives`` holds several
readings of one statement, each with a form of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from bench_core.errors import suggest
from bench_core.values import (
    NAME_LENGTH,
    Closed,
    Name,
    ParameterName,
    ParameterValue,
    RuleError,
    Text,
    refuse_repeats,
)
from bench_core.yamlfile import Loc, Scalar, shown

PROBLEM = "problem"
"""Stands in ``where`` for the name of the problem, beside its parameters."""


def _where_values(value: Scalar | list[Scalar]) -> Scalar | list[Scalar]:
    if value == []:
        raise RuleError("required a value, or a list of at least one, got an empty list")
    return value


def _not_negative(value: float) -> float:
    if value < 0:
        raise RuleError(f"required a number ≥ 0, got {shown(value)}")
    return value


Number: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]
Positive: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative: TypeAlias = Annotated[Number, AfterValidator(_not_negative)]
Where: TypeAlias = dict[ParameterName, Annotated[ParameterValue, AfterValidator(_where_values)]]


class _Terse(Closed):
    """Written back without the keys that it leaves out."""

    @model_serializer(mode="wrap")
    def _said(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value is not None}


class Form(_Terse):
    """What all forms have: the metric (default: the report's), the problem cells, and whether each counts alone."""

    names: ClassVar[tuple[str, ...]] = ("label",)
    """The keys that name labels."""

    metric: Name | None = None
    where: Where = {}
    scope: Literal["every", "average"] = "every"

    def labels(self) -> Iterator[tuple[Loc, str]]:
        """Yield where each label stands in the form, and the label."""
        for name in self.names:
            value = getattr(self, name)
            if isinstance(value, list):
                yield from (((name, i), label) for i, label in enumerate(value))
            else:
                yield (name,), value

    @model_validator(mode="after")
    def _different_labels(self) -> Self:
        first: dict[str, Loc] = {}
        for at, label in self.labels():
            if label in first:
                raise RuleError(f"required different labels, got {shown(label)} twice", at, first[label])
            first[label] = at
        return self


class Better(Form):
    """``label`` is better than ``than``, by more than ``margin``, in the direction of the metric."""

    names = ("label", "than")
    label: Name
    than: Name
    margin: NotNegative = 0.0


class Best(Form):
    """``label`` is better than each of ``among``."""

    names = ("label", "among")
    label: Name
    among: Annotated[list[Name], Field(min_length=1)]


class Equal(Form):
    """``a`` and ``b`` differ by at most ``margin``."""

    names = ("a", "b")
    a: Name
    b: Name
    margin: Positive


class Flat(Form):
    """``label`` differs by at most ``margin`` between any two values of the parameter ``x``."""

    label: Name
    x: ParameterName
    margin: Positive


class Trend(Form):
    """The metric of ``label`` goes up or down as the parameter ``x`` grows.

    Up: the value at the last ``x`` is above the first, and no step goes the other way by an established amount.
    """

    label: Name
    x: ParameterName
    direction: Literal["up", "down"]


class Level(Form):
    """The metric of ``label`` is at least or at most a number."""

    label: Name
    at_least: Number | None = None
    at_most: Number | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        _require_one_of(self, "at_least", "at_most")
        return self


class Value(Form):
    """The metric of ``label`` is ``equals``, published with ``sd`` behind a ±, which ``spread`` explains."""

    label: Name
    equals: Number
    sd: Positive | None = None
    n: Annotated[int, Field(ge=2)] | None = None
    spread: Literal["sd", "se", "subsets", "unknown"] = "unknown"
    margin: Positive | None = None

    @model_validator(mode="after")
    def _spread_is_known(self) -> Self:
        if self.spread in ("sd", "se") and self.sd is None:
            raise RuleError(f"spread: {self.spread} needs sd, the number behind the ±", ("spread",))
        if self.spread == "sd" and self.n is None:
            raise RuleError("spread: sd needs n, the number of trials behind it", ("spread",))
        return self

    @property
    def published(self) -> str:
        """The published number with what stands behind it."""
        unit = {"sd": "sd", "se": "se", "subsets": "over subsets", "unknown": "not explained"}[self.spread]
        behind = ", ".join(filter(None, [unit if self.sd else "", f"n = {self.n}" if self.n else ""]))
        return f"{self.equals:g}" + (f" ± {self.sd:g}" if self.sd else "") + (f" ({behind})" if behind else "")


class Ratio(Form):
    """The metric of ``of`` is at most ``at_most`` times that of ``to``."""

    names = ("of", "to")
    of: Name
    to: Name
    at_most: Positive


class Sensitivity(Form):
    """``label`` suffers more than ``than`` from a wrong choice: best minus median score over their ``select`` grids."""

    names = ("label", "than")
    label: Name
    than: Name

    @model_validator(mode="after")
    def _everywhere(self) -> Self:
        for key in ("where", "scope"):
            if key in self.model_fields_set and getattr(self, key) not in ({}, "every"):
                raise RuleError("sensitivity is over the holdout trials of all problem cells; remove the key", (key,))
        return self


class Analytic(_Terse):
    """A statement about a quantity, which is computed without trials."""

    quantity: Name
    equals: Number | None = None
    at_least: Number | None = None
    at_most: Number | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        _require_one_of(self, "equals", "at_least", "at_most")
        return self


class Limit(Analytic):
    """A quantity is a number, or stays on one side of it, give or take ``tolerance``."""

    tolerance: NotNegative = 0.0


class Count(Analytic):
    """A quantity that is counted, such as local minima."""


def _require_one_of(form: Closed, *keys: str) -> None:
    given = [key for key in keys if getattr(form, key) is not None]
    if len(given) != 1:
        raise RuleError(f"required one of {', '.join(keys)}, got {' and '.join(given) or 'none'}")


class _Stating(_Terse):
    """Exactly one form."""

    better: Better | None = None
    best: Best | None = None
    equal: Equal | None = None
    flat: Flat | None = None
    trend: Trend | None = None
    level: Level | None = None
    value: Value | None = None
    ratio: Ratio | None = None
    sensitivity: Sensitivity | None = None
    limit: Limit | None = None
    count: Count | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        given = self._given()
        if len(given) != 1:
            came = f"both {' and '.join(given)}" if given else "none"
            raise RuleError(
                f"required exactly one form ({', '.join(self._forms())}), got {came}", (given[1],) if given else ()
            )
        return self

    @classmethod
    def _forms(cls) -> list[str]:
        return [*FORMS]

    def _given(self) -> list[str]:
        return [name for name in self._forms() if getattr(self, name) is not None]

    @property
    def form(self) -> str:
        """Name of the form."""
        return self._given()[0]

    def stated(self) -> Form | Analytic:
        """Return the form itself."""
        stated: Form | Analytic = getattr(self, self.form)
        return stated


class Reading(_Stating):
    """One reading of a statement."""

    text: Text = ""


class Claim(_Stating):
    """One claim of a suite."""

    id: Name
    text: Text = ""
    source: Text = ""
    family: Literal["primary", "detail"] = "primary"
    expect: Literal["contradicted"] | None = None
    alternatives: Annotated[list[Reading], Field(min_length=1)] | None = None

    @classmethod
    def _forms(cls) -> list[str]:
        return [*FORMS, "alternatives"]

    def readings(self) -> list[tuple[Loc, Reading | Claim]]:
        """Return where each reading stands in the claim, and the reading; one without alternatives is its own."""
        if self.alternatives is None:
            return [((), self)]
        return [(("alternatives", i), reading) for i, reading in enumerate(self.alternatives)]

    def labels(self) -> list[str]:
        """Return the labels that the claim is about."""
        forms = [reading.stated() for _, reading in self.readings()]
        return list(dict.fromkeys(label for form in forms if isinstance(form, Form) for _, label in form.labels()))


FORMS: dict[str, type[Form] | type[Analytic]] = {
    "better": Better,
    "best": Best,
    "equal": Equal,
    "flat": Flat,
    "trend": Trend,
    "level": Level,
    "value": Value,
    "ratio": Ratio,
    "sensitivity": Sensitivity,
    "limit": Limit,
    "count": Count,
}


def unknown_key(loc: Loc) -> str:
    """Return the message for an unknown key at ``loc``, which begins with ``claims``."""
    key, inner = str(loc[-1])[:NAME_LENGTH], loc[2:-1]
    outer: type[_Stating] = Claim
    if inner[:1] == ("alternatives",):
        outer, inner = Reading, inner[2:]
    if not inner:
        if key in Form.model_fields:
            return f"{key} stands inside the form, as in better: {{label: …, than: …, {key}: …}}"
        return f"unknown key{suggest(key, outer.model_fields)}"
    if key in outer.model_fields and key not in FORMS:
        return f"{key} stands beside the form {inner[0]}, not in it"
    return f"unknown key{suggest(key, FORMS[str(inner[0])].model_fields)}"


# ---- a claim in its suite --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Context:
    """What claims are checked against."""

    labels: Sequence[str]
    metrics: Sequence[str]
    problems: Sequence[Mapping[str, Sequence[Any]]]
    """Per entry of the suite's problems: parameter -> values that the suite states, ``PROBLEM`` among them."""
    grids: Mapping[str, tuple[str, int]]
    """Label with ``select`` -> its metric and the number of its settings."""
    stored: bool = False
    """It is a run's suite, whose grids the command line may have changed: a claim may then concern no cell."""
    quantities: Collection[str] | None = None
    """What the loaded plugins compute without trials; None: not known here, so any name passes."""


def check(claims: Sequence[Claim], context: Context) -> None:
    """Refuse claims that cannot be judged in their suite.

    Raises:
        RuleError: the first of them, at its place below ``claims``.
    """
    refuse_repeats([claim.id for claim in claims], [claim.id for claim in claims], "id", at=("id",))
    for i, claim in enumerate(claims):
        for at, reading in claim.readings():
            _check_form(reading.stated(), context, (i, *at, reading.form))


def _check_form(form: Form | Analytic, context: Context, at: Loc) -> None:
    if isinstance(form, Analytic):
        if context.quantities is not None and form.quantity not in context.quantities:
            near = suggest(form.quantity, context.quantities)
            raise RuleError(f"unknown quantity {shown(form.quantity)}{near}", (*at, "quantity"))
        return
    for inner, label in form.labels():
        if label not in context.labels:
            raise RuleError(f"unknown label {shown(label)}{suggest(label, context.labels)}", (*at, *inner))
    if form.metric is not None and form.metric not in context.metrics:
        raise RuleError(f"unknown metric {shown(form.metric)}{suggest(form.metric, context.metrics)}", (*at, "metric"))
    if context.stored:
        return
    matching = _check_where(form.where, context, (*at, "where"))
    if isinstance(form, Flat | Trend):
        _check_x(form, matching, context, (*at, "x"))
    if isinstance(form, Sensitivity):
        _check_grids(form, context, at)


def value_key(value: object) -> object:
    """Return what two equal values of a parameter have in common: 1 and 1.0 are equal, 1 and true are not."""
    return repr(value) if isinstance(value, list) else (isinstance(value, bool), value)


def wanted(where: Mapping[str, Any], name: str) -> list[Any]:
    """Return the values that ``where`` allows for a parameter."""
    value = where[name]
    return value if isinstance(value, list) else [value]


def matches(where: Mapping[str, Any], params: Mapping[str, Any]) -> bool:
    """Whether a problem cell, given its parameters and ``PROBLEM``, is among those that ``where`` means."""
    return all(name in params and value_key(params[name]) in map(value_key, wanted(where, name)) for name in where)


def _check_where(where: Where, context: Context, at: Loc) -> Sequence[Mapping[str, Sequence[Any]]]:
    """Return the problems that have matching cells, their values limited to those."""
    allowed = {}
    for name, value in where.items():
        known = {each for problem in context.problems for each in problem}
        if name not in known:
            raise RuleError(f"the suite states no parameter {shown(name)}{suggest(name, known)}", (*at, name))
        values = [each for problem in context.problems for each in problem.get(name, [])]
        keys = set(map(value_key, values))
        for i, each in enumerate(wanted(where, name)):
            if value_key(each) not in keys:
                place = (*at, name, i) if isinstance(value, list) else (*at, name)
                near = suggest(_plain(each), dict.fromkeys(map(_plain, values)))
                raise RuleError(f"no problem cell has {name} = {_plain(each)}{near}", place)
        allowed[name] = set(map(value_key, wanted(where, name)))
    left = [
        {
            name: [v for v in values if name not in where or value_key(v) in allowed[name]]
            for name, values in problem.items()
        }
        for problem in context.problems
        if where.keys() <= problem.keys()
    ]
    matching = [problem for problem in left if all(problem.values())]
    if not matching:
        raise RuleError("no problem cell has all of this together", at)
    return matching


def _plain(value: object) -> str:
    return shown(value).strip("'")


def _check_x(form: Flat | Trend, matching: Sequence[Mapping[str, Sequence[Any]]], context: Context, at: Loc) -> None:
    known = {name for problem in context.problems for name in problem} - {PROBLEM}
    if form.x not in known:
        raise RuleError(f"the suite states no parameter {shown(form.x)}{suggest(form.x, known)}", at)
    most = max(len(problem.get(form.x, [])) for problem in matching)
    if most < 2:
        raise RuleError(f"required a parameter with at least two values where the claim looks, got {most}", at)


def _check_grids(form: Sensitivity, context: Context, at: Loc) -> None:
    for inner, label in form.labels():
        if label not in context.grids:
            raise RuleError(
                f"required a label with select, got {shown(label)}{suggest(label, context.grids)}", (*at, *inner)
            )
    (metric, settings), (other, others) = context.grids[form.label], context.grids[form.than]
    if metric != other or form.metric not in (None, metric):
        raise RuleError(f"required two labels whose select has the metric {shown(form.metric or metric)}", at)
    if settings != others:
        raise RuleError(f"required select grids of equal size, got {settings} and {others} settings", at)
