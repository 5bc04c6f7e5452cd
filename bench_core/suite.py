"""YAML -> ``Suite``: what a suite file says, checked as far as that goes without knowing any plugin.

The models are closed, strict and frozen: an unknown key, a string where a number belongs or ``3.0`` for ``3`` is an
error that names file, line and key. Unknown problem and method names are for ``plan`` to find; it reports them through
``Suite.error``, which knows the lines.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    Discriminator,
    Field,
    PlainValidator,
    PrivateAttr,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from bench_core.claims import forms
from bench_core.claims.forms import Claim
from bench_core.errors import SuiteError, suggest
from bench_core.values import (
    NAME_LENGTH,
    Closed,
    Name,
    ParameterName,
    ParameterValue,
    RuleError,
    Text,
    Title,
    refuse_repeats,
    scalars,
)
from bench_core.yamlfile import Document, Limits, Loc, Scalar, load, render, shown

MAX_TRIALS = 10**7
MAX_CELLS = 10_000  # of one grid: a longer one is a slip, and planning it would look like a hang
# The resolved text is longer than the file was: aliases are expanded, defaults written out.
_STORED = Limits(size=16_000_000, nodes=1_000_000)


# ---- the types of single values --------------------------------------------------------------------------------------


def _suite_name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", text):
        raise RuleError(
            f"required 1 to {NAME_LENGTH} of a-z, 0-9, _ and -, not beginning with _ or -, got {shown(text)}"
        )
    if text == "reference":
        raise RuleError("'reference' is a reserved name (results/reference); choose another name and rename the file")
    return text


def _grid_values(values: object) -> list[Scalar]:
    if not isinstance(values, list) or not values:
        raise RuleError(f"required a list of at least one value, got {shown(values)}")
    found = scalars(values)
    # 1 and 1.0 would be two problem cells with the same data; true and 1 are different things.
    refuse_repeats(((isinstance(value, bool), value) for value in found), found, "value")
    return found


SuiteName: TypeAlias = Annotated[str, AfterValidator(_suite_name)]
GridValues: TypeAlias = Annotated[list[Scalar], PlainValidator(_grid_values)]
Trials: TypeAlias = Annotated[int, Field(ge=1, le=MAX_TRIALS)]
Params: TypeAlias = dict[ParameterName, ParameterValue]


# ---- the models ------------------------------------------------------------------------------------------------------


class ProblemEntry(Closed):
    """One problem; every combination of the grid's values is a problem cell."""

    name: Name
    params: Params = {}
    grid: dict[ParameterName, GridValues] = {}

    @model_validator(mode="after")
    def _check_grid(self) -> Self:
        _check_grid(self.grid, self.params, ("grid",))
        return self


class SelectEntry(Closed):
    """How hyper-parameters are chosen: every combination of the grid's values runs on holdout trials of its own."""

    grid: Annotated[dict[ParameterName, GridValues], Field(min_length=1)]
    metric: Name
    trials: Trials

    def points(self) -> list[dict[str, Scalar]]:
        """Return every combination of the grid's values, the last parameter varying fastest."""
        return [dict(zip(self.grid, values, strict=True)) for values in itertools.product(*self.grid.values())]


class MethodEntry(Closed):
    """One configured method, known by its label; ``trials`` replaces the suite's, ``select`` fills in parameters."""

    name: Name
    label: Name = Field(default_factory=lambda data: data["name"])
    params: Params = {}
    trials: Trials | None = None
    select: SelectEntry | None = None

    @model_validator(mode="after")
    def _check_select(self) -> Self:
        if self.select is not None:
            _check_grid(self.select.grid, self.params, ("select", "grid"))
        return self


def _check_grid(grid: Mapping[str, Sequence[Scalar]], params: Mapping[str, object], at: Loc) -> None:
    for key in grid:
        if key in params:
            raise RuleError(f"stands in both params and {render(at)}; remove one", (*at, key), ("params", key))
    combinations = math.prod(map(len, grid.values()))
    if combinations > MAX_CELLS:
        raise RuleError(f"required at most {MAX_CELLS:,} combinations, got {combinations:,}", at)


def _stated(problem: ProblemEntry) -> dict[str, list[Any]]:
    """Return the values that each parameter of a problem takes, and the problem's name."""
    params = {name: [value] for name, value in problem.params.items()}
    return {forms.PROBLEM: [problem.name], **params, **problem.grid}


class UntilEntry(Closed):
    """When enough trials have run: one of the two rules, looked at after 50, 100, 200, 400, … trials."""

    half_width: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Every label's interval of the report's metric is at most this far from its middle."""
    decided: list[Name] | None = None
    """The paired test separates these two labels under the report's metric."""

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if (self.half_width is None) == (self.decided is None):
            raise RuleError("required one of half_width and decided, got " + ("both" if self.decided else "neither"))
        if self.decided is not None and len(set(self.decided)) + len(self.decided) != 4:
            raise RuleError(f"required a list of two different labels, got {shown(self.decided)}", ("decided",))
        return self


class AdaptiveTrials(Closed):
    """As many trials of a problem cell as its results ask for: all its labels stop together."""

    max: Trials
    until: UntilEntry


_COUNT, _ADAPTIVE = "<a number>", "<max, until>"  # no key of a file: what pydantic puts into the places of its errors


def _kind_of_trials(value: object) -> str:
    return _ADAPTIVE if isinstance(value, (dict, AdaptiveTrials)) else _COUNT


AnyTrials: TypeAlias = Annotated[
    Annotated[Trials, Tag(_COUNT)] | Annotated[AdaptiveTrials, Tag(_ADAPTIVE)], Discriminator(_kind_of_trials)
]


class ReportEntry(Closed):
    """What the tables and plots show: one metric, over one parameter of the problems."""

    metric: Name
    x: ParameterName | None = None


class Suite(Closed):
    """One suite file."""

    name: SuiteName
    title: Title
    source: Text = ""
    seed: int = Field(0, ge=0)
    trials: AnyTrials
    timeout: float = Field(600.0, gt=0, allow_inf_nan=False)
    problems: list[ProblemEntry] = Field(min_length=1)
    methods: list[MethodEntry] = Field(min_length=1)
    metrics: list[Name] = Field(min_length=1)
    report: ReportEntry = Field(default_factory=lambda data: ReportEntry(metric=data["metrics"][0]))
    claims: list[Claim] = []

    _document: Document | None = PrivateAttr(None)

    def __eq__(self, other: object) -> bool:
        # Two suites are equal when they say the same, wherever they stand.
        return isinstance(other, Suite) and self.__dict__ == other.__dict__

    @field_validator("name")
    @classmethod
    def _equals_stem(cls, name: str, info: ValidationInfo) -> str:
        stem = (info.context or {}).get("stem", name)
        if name != stem:
            raise RuleError(
                f"required the file's name {shown(stem)}, got {shown(name)}; change the name or rename the file"
            )
        return name

    @field_validator("methods")
    @classmethod
    def _unique_labels(cls, methods: list[MethodEntry]) -> list[MethodEntry]:
        labels = [method.label for method in methods]
        refuse_repeats(labels, labels, "label", at=("label",))
        return methods

    @field_validator("metrics")
    @classmethod
    def _unique_metrics(cls, metrics: list[str]) -> list[str]:
        refuse_repeats(metrics, metrics, "metric")
        return metrics

    @field_validator("report")
    @classmethod
    def _known_metric(cls, report: ReportEntry, info: ValidationInfo) -> ReportEntry:
        metrics = info.data.get("metrics")
        if metrics is not None and report.metric not in metrics:
            raise RuleError(f"unknown metric {shown(report.metric)}{suggest(report.metric, metrics)}", ("metric",))
        return report

    @model_validator(mode="after")
    def _known_select_metrics(self) -> Self:
        for i, method in enumerate(self.methods):
            if method.select is not None and method.select.metric not in self.metrics:
                metric = method.select.metric
                raise RuleError(
                    f"unknown metric {shown(metric)}{suggest(metric, self.metrics)}",
                    ("methods", i, "select", "metric"),
                )
        return self

    @model_validator(mode="after")
    def _known_decided(self) -> Self:
        labels = [method.label for method in self.methods]
        for i, label in enumerate(self.until.decided or [] if self.until else []):
            if label not in labels:
                raise RuleError(
                    f"unknown label {shown(label)}{suggest(label, labels)}", ("trials", "until", "decided", i)
                )
        return self

    @model_validator(mode="after")
    def _claims_fit(self, info: ValidationInfo) -> Self:
        context = forms.Context(
            labels=[method.label for method in self.methods],
            metrics=self.metrics,
            problems=[_stated(problem) for problem in self.problems],
            grids={
                method.label: (method.select.metric, math.prod(map(len, method.select.grid.values())))
                for method in self.methods
                if method.select is not None
            },
            stored=(info.context or {}).get("stored", False),
            quantities=(info.context or {}).get("quantities"),
        )
        try:
            forms.check(self.claims, context)
        except RuleError as error:
            first = None if error.first is None else ("claims", *error.first)
            raise RuleError(str(error), ("claims", *error.at), first) from None
        return self

    @property
    def max_trials(self) -> int:
        """Trials per cell, at most, of labels that do not say otherwise."""
        return self.trials.max if isinstance(self.trials, AdaptiveTrials) else self.trials

    @property
    def until(self) -> UntilEntry | None:
        """When fewer trials are enough, or None where their number is fixed."""
        return self.trials.until if isinstance(self.trials, AdaptiveTrials) else None

    def where(self, loc: Loc) -> str:
        """Return ``FILE:LINE`` of the key or item at ``loc``, or of what encloses it when the file leaves it out."""
        return self._document.where(loc) if self._document else f"suite {self.name}"

    def error(self, loc: Loc, message: str) -> SuiteError:
        """Return the error ``FILE:LINE: KEY.PATH: message``; raise it."""
        if self._document:
            return self._document.error(loc, message)
        return SuiteError(": ".join(filter(None, [self.where(loc), render(loc), message])))

    def resolved(self) -> str:
        """Return the suite as YAML with all defaults written out; ``load_suite(..., stored=True)`` gives it back."""
        return "\n".join(_block(self.model_dump())) + "\n"


# ---- file -> Suite ---------------------------------------------------------------------------------------------------


def load_suite(path: Path, *, stored: bool = False, quantities: Collection[str] | None = None) -> Suite:
    """Read and check the suite file ``path``.

    Args:
        path: the file.
        stored: it is a run's ``suite.yaml``, so that its name need not be the suite's.
        quantities: names that claims may call a quantity; None: any.

    Raises:
        SuiteError: the first fault by line, and how many more there are.
    """
    document = load(path, _STORED) if stored else load(path)
    context = {**({"stored": True} if stored else {"stem": path.stem}), "quantities": quantities}
    try:
        suite = Suite.model_validate(document.data, context=context)
    except ValidationError as error:
        raise _first_fault(document, error) from None
    suite._document = document
    return suite


def _first_fault(document: Document, error: ValidationError) -> SuiteError:
    """The first by line; keys that are missing come last, as a misspelt key explains one that is missing."""
    details = error.errors(include_url=False)
    faults = [(d["type"] == "missing", document.line(loc), loc, d) for d in details for loc in _locations(d)]
    faults.sort(key=lambda fault: fault[:2])
    _, _, loc, first = faults[0]
    message = _message(document, loc, first)
    return document.error(loc, message if len(faults) == 1 else f"{message} (and {len(faults) - 1} more)")


def _locations(details: ErrorDetails) -> Iterator[Loc]:
    """Where the file is at fault: one place, or none when another fault has caused this one."""
    if details["type"] == "default_factory_not_called":
        return
    loc = _place(details)
    if loc and loc[-1] == "[key]":  # pydantic's mark of a fault in the key itself
        loc = loc[:-1]
    fault = _fault(details)
    yield loc + fault.at if fault else loc


def _place(details: ErrorDetails) -> Loc:
    return tuple(part for part in details["loc"] if part not in (_COUNT, _ADAPTIVE))


def _fault(details: ErrorDetails) -> RuleError | None:
    fault = details.get("ctx", {}).get("error")
    return fault if isinstance(fault, RuleError) else None


# The words for pydantic's errors; "number" is said of what may have a fraction.
_REQUIRED = {
    "model_type": "a mapping",
    "dict_type": "a mapping",
    "list_type": "a list",
    "string_type": "a string",
    "string_unicode": "a string without lone surrogates",
    "int_type": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "greater_than": "a number > {gt:g}",
    "greater_than_equal": "an integer ≥ {ge}",
    "less_than_equal": "an integer ≤ {le}",
    "too_short": "at least one entry",
    "literal_error": "{expected}",
}


def _message(document: Document, loc: Loc, details: ErrorDetails) -> str:
    fault = _fault(details)
    if fault:
        also = f" (first on line {document.line(_place(details) + fault.first)})" if fault.first else ""
        return f"{fault}{also}"
    if details["type"] == "missing":
        return "required key is missing"
    if details["type"] == "extra_forbidden":
        return _unknown_key(loc)
    if loc[-1:] == ("trials",) and loc[:1] == ("methods",) and isinstance(details["input"], dict):
        return (
            "required an integer: {max, until} stands at the top of a suite, as all labels of a problem stop together"
        )
    required = _REQUIRED[details["type"]].format(**details.get("ctx", {}))
    return f"required {required}, got {shown(details['input'])}"


_ENTRIES: dict[str | int, type[BaseModel]] = {
    "problems": ProblemEntry,
    "methods": MethodEntry,
    "report": ReportEntry,
    "trials": AdaptiveTrials,
}


def _unknown_key(loc: Loc) -> str:
    key = str(loc[-1])
    if loc[0] == "claims" and len(loc) > 2:
        return forms.unknown_key(loc)
    model = Suite if len(loc) == 1 else SelectEntry if "select" in loc[2:-1] else _ENTRIES[loc[0]]
    model = UntilEntry if loc[:2] == ("trials", "until") and len(loc) == 3 else model
    return f"unknown key{suggest(key[:NAME_LENGTH], model.model_fields)}"


# ---- Suite -> canonical text -----------------------------------------------------------------------------------------

# Bare only where no reader of YAML, 1.1 or 1.2, sees anything but this string.
_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))


def _block(suite: dict[str, Any]) -> Iterator[str]:
    for key, value in suite.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            yield f"{key}:"
            for entry in value:
                lines = (f"{name}: {_flow(part)}" for name, part in entry.items())
                yield "  - " + "\n    ".join(lines)
        else:
            yield f"{key}: {_flow(value)}"


def _flow(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(key)}: {_flow(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, float):
        return _decimal(value)
    return json.dumps(value)  # null, true, false and integers are written alike


def _quoted(text: str) -> str:
    bare = _BARE.fullmatch(text) and text.lower() not in _WORDS
    return text if bare else json.dumps(text, ensure_ascii=False)  # JSON's escapes are YAML's


def _decimal(value: float) -> str:
    """The shortest text that gives ``value`` back; with a point, without which YAML 1.1 reads 1e-05 as a string."""
    digits, e, exponent = repr(value).partition("e")
    return digits + ("" if "." in digits else ".0") + e + exponent
