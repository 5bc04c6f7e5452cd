"""Figures of papers that come from results: a metric against x."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench_core import hookimpl
from bench_core.report import PaperFigure, figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bench_core.summary import Summary


class SuccessCurve(PaperFigure):
    """The report's metric of a suite against its x, with 95 % intervals.

    As in the papers, the labels are those whose hyper-parameters the suite states: neither those that it tunes nor
    controls, unless ``--label`` names them.
    """

    name = "success_curve"
    source = "Alon, Globerson, Wiesel, Fig. 4-8"
    needs_results = True

    def draw(self, summary: Summary | None, labels: Sequence[str]) -> Figure:
        assert summary is not None
        return figures.figure(summary, summary.metric, labels or published(summary))


def published(summary: Summary) -> list[str]:
    """Return the labels that run as stated; if there are none, all that are not controls, or else all."""
    entries = [entry for entry in summary.table() if entry.n_attempted]
    rivals = [entry for entry in entries if not entry.control]
    stated = [entry for entry in rivals if entry.tuning is None]
    return list(dict.fromkeys(entry.label for entry in stated or rivals or entries))


@hookimpl
def bench_register_figures() -> list[PaperFigure]:
    return [SuccessCurve()]
