"""What is demanded of a metric, tried on answers to every loaded problem that has what it needs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch

from bench_core.metrics import DerivedMetric, MeasuredMetric, Metric, ReportedMetric
from bench_core.problems import Problem, RecoveryProblem
from bench_core.testing._lab import Kit, floating, make, make_trials, same_values
from bench_core.testing._parameters import require_docstring, require_name
from bench_core.testing._watch import watch
from bench_core.testing.checks import Contract, NotApplicableError, ViolationError, describe
from bench_core.trials import Fit, Trials

WIDTH = 6
KINDS = {"kind": ("rate", "mean", "skewed"), "direction": ("higher", "lower")}
VALUES = (0.0, 1e-6, 0.01, 0.5, 1.0, 100.0, math.inf)
"""What a derived metric is asked for."""
ROUNDING = 1e-5


@dataclass(frozen=True)
class Measured:
    """A measurement that was watched.

    Attributes:
        trials: what was fitted.
        fit: the answer.
        values: what the metric returned.
        edited: what it changed in data and answer.
        traces: what it did to the process.
    """

    trials: Trials
    fit: Fit
    values: torch.Tensor
    edited: tuple[str, ...]
    traces: tuple[str, ...]


class MetricLab:
    """One metric and answers to measure.

    Args:
        metric: the metric.
        kit: what several subjects share.
        source: where it comes from.
    """

    def __init__(self, metric: Metric, kit: Kit, source: str) -> None:
        self.metric, self.kit, self.source = metric, kit, source

    def problems(self) -> list[Problem]:
        """Return small problems that have what the metric needs.

        Raises:
            NotApplicableError: there is none.
        """
        found = [each for each in self.kit.problems(self.source) if self.metric.needs <= each.capabilities]
        if not found:
            needs = ", ".join(sorted(self.metric.needs)) or "nothing"
            raise NotApplicableError(f"no loaded problem has what it needs ({needs})")
        return found

    def answer(self, problem: Problem, repeats: Sequence[int]) -> tuple[Trials, Fit] | None:
        """Return trials with an answer: the initial point, or what the first loaded method that fits gives."""
        trials = make_trials(problem, repeats, noise=("answer",))
        if isinstance(problem, RecoveryProblem):
            return trials, Fit(trials["start"].clone())
        for cls in self.kit.plugins.methods.items.values():
            try:
                method = make(cls)
                if method.unfit(problem) is None:
                    fit = watch(partial(method.fit, trials)).result
                    problem.failures(trials, fit)
                    return trials, fit
            except Exception:  # another method may do; this one's checks will tell
                continue
        return None

    def measure(self, problem: Problem, repeats: Sequence[int] = range(WIDTH)) -> Measured | None:
        """Measure an answer to trials of a problem; None where there is no answer."""
        metric = cast("MeasuredMetric", self.metric)
        found = self.answer(problem, repeats)
        if found is None:
            return None
        trials, fit = found
        tensors = {**trials.data, **dict(floating(fit))}
        before = {name: tensor.clone() for name, tensor in tensors.items()}
        seen = watch(lambda: metric.measure(trials, fit))
        edited = tuple(name for name, tensor in before.items() if not same_values(tensor, tensors[name]))
        moved = tuple(f"the generator {name} moved" for name in seen.moved)
        printed = (f"{seen.printed.strip()!r:.60} was printed",) if seen.printed else ()
        return Measured(trials, fit, seen.result, edited, (*moved, *seen.changed, *printed))

    def measured(self) -> Iterator[Measured]:
        """Yield a measurement per problem.

        Raises:
            NotApplicableError: there is none.
        """
        found = [each for each in (self.measure(problem) for problem in self.problems()) if each is not None]
        if not found:
            raise NotApplicableError("no loaded method gives an answer to measure")
        yield from found


def contracts(metric: Metric) -> list[Contract[MetricLab]]:
    """Return what is demanded of this kind of metric."""
    special = {MeasuredMetric: of_measured, DerivedMetric: of_derived, ReportedMetric: of_reported}
    return [contract, *(demands for kind, demands in special.items() if isinstance(metric, kind))]


contract = Contract[MetricLab]()
of_measured = Contract[MetricLab]()
of_derived = Contract[MetricLab]()
of_reported = Contract[MetricLab]()


@contract.demand("documented", "The class has a docstring.")
def documented(lab: MetricLab) -> None:
    require_docstring(type(lab.metric))


@contract.demand("declared", "Name, kind, direction, needs and source are what the harness knows.")
def declared(lab: MetricLab) -> None:
    metric = lab.metric
    require_name(getattr(metric, "name", None))
    for attribute, allowed in KINDS.items():
        value = getattr(metric, attribute, None)
        if value not in allowed:
            raise ViolationError(
                f"{attribute}: {', '.join(allowed)}", f"{value!r}", f'write {attribute} = "{allowed[-1]}"'
            )
    if not isinstance(metric.needs, frozenset) or not all(isinstance(each, str) for each in metric.needs):
        raise ViolationError(
            "needs: a frozenset of capabilities", f"{metric.needs!r:.60}", 'write frozenset({"recovery"})'
        )
    if not isinstance(metric, MeasuredMetric | ReportedMetric | DerivedMetric):
        raise ViolationError(
            "a MeasuredMetric, ReportedMetric or DerivedMetric",
            f"{type(metric).__name__} is none of them",
            "inherit from the one that says where the number comes from",
        )
    offered = lab.kit.plugins.metrics.items
    if metric.name in offered and type(offered[metric.name]).__name__ != type(metric).__name__:
        raise ViolationError("a name that no loaded metric has", f"{metric.name!r} is taken", "choose another name")
    if isinstance(metric, DerivedMetric) and isinstance(offered.get(metric.source), DerivedMetric | None):
        raise ViolationError(
            "a measured or reported metric as `source`",
            f"{metric.source!r}",
            "name the metric whose stored values it follows from, offered by this plugin or a loaded one",
        )


@of_measured.demand("shape", "It measures one floating number per trial.")
def shape(lab: MetricLab) -> None:
    for each in lab.measured():
        values = each.values
        if not isinstance(values, torch.Tensor) or tuple(values.shape) != (WIDTH,):
            came = tuple(values.shape) if isinstance(values, torch.Tensor) else type(values).__name__
            raise ViolationError(
                f"a tensor of shape ({WIDTH},) for {WIDTH} trials",
                f"{came} on {each.trials.problem.name}",
                "reduce over the axes of a trial only: mean(-1), not mean()",
            )
        if not values.is_floating_point():
            raise ViolationError("floating numbers", f"{values.dtype}", "convert: values.float()")


@of_measured.demand("numbers", "It is never NaN for a finite answer; a rate is 0 or 1.")
def numbers(lab: MetricLab) -> None:
    for each in lab.measured():
        values = torch.as_tensor(each.values)
        if bool(values.isnan().any()):
            raise ViolationError(
                "numbers for finite answers",
                f"NaN for {int(values.isnan().sum())} of {WIDTH} trials of {each.trials.problem.name}",
                "look for 0/0, the logarithm of a negative number, infinity minus infinity",
            )
        if lab.metric.kind == "rate" and not bool(((values == 0) | (values == 1)).all()):
            raise ViolationError("0 or 1, as kind is rate", f"{values.tolist()}", 'write kind = "mean" for a share')


@of_measured.demand("unmodified", "Data and answer are what they were, and the process is.")
def unmodified(lab: MetricLab) -> None:
    for each in lab.measured():
        if each.edited or each.traces:
            raise ViolationError(
                "nothing changed by a measurement",
                ", ".join((*each.edited, *each.traces)),
                "clone before in-place operations; draw from a generator of your own; print nothing",
            )


@of_measured.demand("same value", "Measuring the same answer again gives the same numbers.")
def same_value(lab: MetricLab) -> None:
    metric = cast("MeasuredMetric", lab.metric)
    for each in lab.measured():
        again = watch(partial(metric.measure, each.trials, each.fit), seed=1).result
        if not same_values(each.values, again):
            raise ViolationError(
                "the same numbers again",
                f"{each.values.tolist()}, then {again.tolist()}",
                "draw from a generator with a fixed seed, and keep nothing from one measurement to the next",
            )


@of_measured.demand("independent", "A trial's number does not change with the other trials of its batch.")
def independent(lab: MetricLab) -> None:
    _require_alike(lab, [100, 101, 2, 103, 104, 105], "beside other trials", 2)


@of_measured.demand("widths", "A trial's number is the same when it is alone, up to rounding.")
def widths(lab: MetricLab) -> None:
    _require_alike(lab, [2], "when it is alone", 0)


def _require_alike(lab: MetricLab, repeats: Sequence[int], when: str, slot: int) -> None:
    for each in lab.measured():
        other = lab.measure(each.trials.problem, repeats)
        if other is None:
            continue
        if each.values.shape[:1] != (WIDTH,) or other.values.shape[:1] != (len(repeats),):
            raise NotApplicableError("there is no number per trial")
        left, right = each.values[2], other.values[slot]
        if not torch.allclose(left, right, rtol=ROUNDING, equal_nan=True):
            raise ViolationError(
                f"the same number of trial 2 {when}",
                f"{left.tolist():.6g}, then {right.tolist():.6g}",
                "reduce over the axes of a trial only; standardise by nothing that the batch decides",
            )


def _alike(a: float | None, b: float) -> bool:
    return a is not None and (math.isclose(a, b, rel_tol=1e-12) or (math.isnan(a) and math.isnan(b)))


@of_derived.demand("derived", "It derives from numbers and from columns, and gives the same.")
def derived(lab: MetricLab) -> None:
    import polars as pl

    metric = cast("DerivedMetric", lab.metric)
    for problem in lab.problems():
        try:
            single = [float(metric.derive(problem, value)) for value in VALUES]
            column = pl.DataFrame({"source": VALUES}).select(metric.derive(problem, pl.col("source")).cast(pl.Float64))
        except Exception as error:
            raise ViolationError(
                "a result for a number and for a polars expression",
                describe(error),
                "write it with operators that both have: source <= problem.threshold; no `if`, no math function",
            ) from None
        if not all(map(_alike, column.to_series(), single)):
            raise ViolationError(
                "the same for both", f"{single} and {column.to_series().to_list()}", "use operators only"
            )
        if metric.kind == "rate" and not set(single) <= {0.0, 1.0}:
            raise ViolationError("0 or 1, as kind is rate", f"{single}", 'write kind = "mean" for a share')


@of_reported.demand("reported", "A loaded method reports it, one number per trial.")
def reported(lab: MetricLab) -> None:
    metric = lab.metric
    for problem in lab.problems():
        for cls in lab.kit.plugins.methods.items.values():
            try:
                method = make(cls)
                if method.unfit(problem) is not None:
                    continue
                trials = make_trials(problem, range(2))
                if metric.name in watch(partial(method.fit, trials)).result.metrics:
                    return
            except Exception:  # this method's own checks will tell
                continue
    raise ViolationError(
        f"a loaded method with {metric.name!r} in Fit.metrics",
        "none has it",
        f"let one return Fit(…, metrics={{{metric.name!r}: values}}), or measure it",
    )
