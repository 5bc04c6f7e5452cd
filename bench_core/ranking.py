"""Summaries of several problems -> average ranks of the labels that are in all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench_core import stats

if TYPE_CHECKING:
    from bench_core.summary import Entry, Summary

PROBLEMS = 3
"""Over fewer problems an average rank says nothing."""


@dataclass(frozen=True)
class Ranking:
    """Average ranks over problems, best label first; 1 is best."""

    problems: tuple[str, ...]
    labels: tuple[str, ...]
    average_ranks: tuple[float, ...]
    p_value: float
    """Friedman's: that all labels are alike."""
    critical_difference: float
    """Nemenyi's: average ranks that are further apart than this differ, at the 5 % level for all pairs together."""

    def text(self) -> str:
        """Return the ranking as a sentence."""
        ranks = ", ".join(f"{label} {rank:.2f}" for label, rank in zip(self.labels, self.average_ranks, strict=True))
        return (
            f"Average ranks over {len(self.problems)} problems ({', '.join(self.problems)}): {ranks}. Friedman test of "
            f"no difference: p = {self.p_value:.3g}; ranks further apart than {self.critical_difference:.2f} differ "
            "(Nemenyi, 5 % level)."
        )


def over_problems(summaries: Sequence[Summary]) -> Ranking | None:
    """Return the average ranks of the labels that every problem has, controls aside.

    A problem counts once, however many cells and suites it has: labels are ranked in each of its cells by the table's
    metric, and these ranks are averaged to one number per problem, since cells of one problem are no independent
    evidence (Demsar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7 (2006), 1-30).

    Returns:
        None with fewer than three problems or two such labels.
    """
    cells: dict[str, list[dict[str, float]]] = {}
    for summary in summaries:
        sign = 1.0 if summary.metrics[summary.metric].direction == "lower" else -1.0
        by_key: dict[str, list[Entry]] = {}
        for entry in summary.table():
            by_key.setdefault(entry.problem_key, []).append(entry)
        for entries in by_key.values():
            scores = {each.label: sign * each.estimate for each in entries if _counts(each)}
            cells.setdefault(entries[0].problem, []).append(scores)
    common = [set(scores) for found in cells.values() for scores in found]
    labels = sorted(set.intersection(*common)) if common else []
    if len(cells) < PROBLEMS or len(labels) < 2:
        return None
    rows = [stats.average_ranks([[scores[label] for label in labels] for scores in found]) for found in cells.values()]
    table = np.array(rows)  # (problems, labels)
    ranks = stats.average_ranks(table)
    order = np.argsort(ranks, kind="stable")
    return Ranking(
        problems=tuple(cells),
        labels=tuple(labels[i] for i in order),
        average_ranks=tuple(float(ranks[i]) for i in order),
        p_value=stats.friedman(table).p_value,
        critical_difference=stats.nemenyi(table).critical_difference,
    )


def _counts(entry: Entry) -> bool:
    return not entry.control and not entry.skipped and entry.estimate == entry.estimate
