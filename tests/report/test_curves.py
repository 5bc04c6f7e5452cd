"""The success curve: which labels it shows, and that each looks as it does beside the others."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

from bench_core.report import figures
from bench_core.report.curves import SuccessCurve, published
from bench_core.summary import Summary

Made = Callable[..., Summary]


def shown(summary: Summary, *labels: str) -> list[str]:
    return [text.get_text() for text in SuccessCurve().draw(summary, labels).legends[0].get_texts()]


def test_it_shows_the_labels_that_run_as_stated(made: Made) -> None:
    summary = made(("plain", "tuned", "control", "other"))
    assert shown(summary) == ["plain", "other"]
    assert shown(summary, "tuned", "control") == ["tuned", "control"]
    assert published(made(("tuned", "control"))) == ["tuned"]
    assert published(made(("control",))) == ["control"]


def test_a_label_looks_as_it_does_beside_the_others(made: Made) -> None:
    summary = made(("plain", "tuned", "control", "other"))
    look = figures.styles(summary)["other"]
    line = SuccessCurve().draw(summary, ["other"]).axes[0].containers[0][0]
    assert (line.get_color(), line.get_marker()) == (look.color, look.marker)


def test_labels_of_which_nothing_is_stored_are_not_shown(made: Made) -> None:
    summary = made(("plain", "other"))
    entries = [
        replace(entry, n_attempted=0, estimate=float("nan")) if entry.label == "other" else entry
        for entry in summary.entries
    ]
    assert shown(replace(summary, entries=entries)) == ["plain"]


def test_zero_stands_left_of_the_powers_of_ten(made: Made) -> None:
    """As epsilon in Fig. 6: on a linear axis all but the largest would be one point."""
    axes = SuccessCurve().draw(made(places=(0.0, 1e-3, 1e-2, 0.1, 1.0)), []).axes[0]
    at = [float(axes.transData.transform((x, 0.5))[0]) for x in (0.0, 1e-3, 1e-2, 0.1, 1.0)]
    steps = [after - before for before, after in itertools.pairwise(at)]
    assert min(steps) > 0.7 * max(steps) > 0
