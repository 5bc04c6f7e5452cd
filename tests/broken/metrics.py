"""Metrics with one fault each, named after the check that finds it; ``also``: checks that cannot but fail with it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any, ClassVar

import torch

from bench_core import Fit, Metric, Problem, Trials
from bench_core.metrics import DerivedMetric, MeasuredMetric, ReportedMetric


class Good(MeasuredMetric):
    """The distance of the answer from 0."""

    name = "good"
    kind = "skewed"
    direction = "lower"
    needs = frozenset({"recovery"})
    breaks: ClassVar[str] = ""
    also: ClassVar[frozenset[str]] = frozenset()
    says: ClassVar[str] = ""
    """Words that the report must hold."""

    def measure(self, trials: Trials, fit: Fit) -> Any:
        return fit.answer.square().sum(-1)


class Wordless(Good):
    name = "wordless"
    breaks = "documented"
    says = "none on Wordless"


class Kindless(Good):
    """A kind that does not exist."""

    name = "kindless"
    kind = "median"  # type: ignore[assignment]
    breaks = "declared"
    says = "kind: rate, mean, skewed"


class Taken(Good):
    """A name that another metric has."""

    name = "error"
    breaks = "declared"
    says = "'error' is taken"


class Rootless(Metric):
    """Neither measured, reported nor derived."""

    name = "rootless"
    kind = "mean"
    direction = "lower"
    breaks = "declared"
    also: ClassVar[frozenset[str]] = frozenset()
    says = "Rootless is none of them"


class Sourceless(DerivedMetric):
    """Derived from what nobody stores."""

    name = "sourceless"
    kind = "rate"
    direction = "lower"
    needs = frozenset({"recovery"})
    source = "errors"
    breaks = "declared"
    also: ClassVar[frozenset[str]] = frozenset()
    says = "'errors'"

    def derive(self, problem: Problem, source: Any) -> Any:
        return source <= 1


class OneForAll(Good):
    """One number for the batch."""

    name = "one_for_all"
    breaks = "shape"
    says = "() on gaussian_cov"

    def measure(self, trials: Trials, fit: Fit) -> torch.Tensor:
        return torch.tensor(1.0)


class Whole(Good):
    """Whole numbers."""

    name = "whole"
    breaks = "shape"
    says = "torch.int64"

    def measure(self, trials: Trials, fit: Fit) -> torch.Tensor:
        return super().measure(trials, fit).long()


class Logarithm(Good):
    """NaN for a finite answer."""

    name = "logarithm"
    breaks = "numbers"
    says = "NaN for"

    def measure(self, trials: Trials, fit: Fit) -> torch.Tensor:
        return fit.answer[:, 0].log()


class Share(Good):
    """A rate between 0 and 1."""

    name = "share"
    kind = "rate"
    breaks = "numbers"
    says = "0 or 1, as kind is rate"


class InPlace(Good):
    """Changes the answer."""

    name = "in_place"
    breaks = "unmodified"
    also = frozenset({"same value"})
    says = "the answer"

    def measure(self, trials: Trials, fit: Fit) -> torch.Tensor:
        return fit.answer.mul_(2).square().sum(-1)


class Draws(Good):
    """Moves a global generator."""

    name = "draws"
    breaks = "unmodified"
    says = "the generator torch moved"

    def measure(self, trials: Trials, fit: Fit) -> torch.Tensor:
        torch.rand(1)
        return super().measure(trials, fit)


class Counts(Good):
    """Another number each time."""

    name = "counts"
    breaks = "same value"
    also = frozenset({"independent", "widths"})
    says = "the same numbers again"
    calls: ClassVar[Iterator[int]] = count()

    def measure(self, trials: Trials, fit: Fit) -> torch.Tensor:
        return super().measure(trials, fit) + next(self.calls)


class Standardised(Good):
    """In units of its neighbour."""

    name = "standardised"
    breaks = "independent"
    also = frozenset({"widths"})
    says = "trial 2 beside other trials"

    def measure(self, trials: Trials, fit: Fit) -> torch.Tensor:
        values = super().measure(trials, fit)
        return values / values.mean()


class PerBatch(Good):
    """Divided by the width."""

    name = "per_batch"
    breaks = "widths"
    says = "trial 2 when it is alone"

    def measure(self, trials: Trials, fit: Fit) -> torch.Tensor:
        return super().measure(trials, fit) / trials.width


class Branches(DerivedMetric):
    """Works for numbers only."""

    name = "branches"
    kind = "rate"
    direction = "higher"
    needs = frozenset({"recovery"})
    source = "error"
    breaks = "derived"
    also: ClassVar[frozenset[str]] = frozenset()
    says = "the truth value of an Expr is ambiguous"

    def derive(self, problem: Problem, source: Any) -> Any:
        return 1.0 if source <= 0.1 else 0.0


class Unreported(ReportedMetric):
    """No method reports it."""

    name = "unreported"
    kind = "mean"
    direction = "lower"
    needs = frozenset({"recovery"})
    breaks = "reported"
    also: ClassVar[frozenset[str]] = frozenset()
    says = "a loaded method with 'unreported' in Fit.metrics"


GOOD = Good()
BROKEN: list[Any] = [cls() for cls in (*Good.__subclasses__(), Rootless, Sourceless, Branches, Unreported)]
