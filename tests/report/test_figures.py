"""The figures for a paper: vector graphics with their text as text, the same bytes every time."""

from __future__ import annotations

import logging
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace

import pytest

from bench_core.report import figures, table
from bench_core.summary import Summary

Made = Callable[..., Summary]


def texts(svg: bytes) -> list[str]:
    """Return the texts of a figure."""
    return ["".join(node.itertext()) for node in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def drawn(summary: Summary, metric: str) -> list[str]:
    return texts(figures.draw(summary, metric, ["svg"])["svg"])


def test_a_figure_is_svg_and_pdf_with_its_labels_as_text_and_the_same_every_time(made: Made) -> None:
    summary = made()
    files = figures.draw(summary, "success")
    assert set(files) == {"svg", "pdf"}
    assert files["pdf"].startswith(b"%PDF")
    assert max(map(len, files.values())) < 1e5
    assert files == figures.draw(summary, "success")
    root = ET.fromstring(files["svg"])
    assert float(root.attrib["width"].removesuffix("pt")) == pytest.approx(72 * figures.WIDTH, abs=0.1)
    assert {"plain", "tuned", "control", "m", "share of success", "50", "100", "200"} <= set(texts(files["svg"]))


def test_a_line_runs_along_x_with_the_intervals_of_the_table(made: Made) -> None:
    summary = made(places=(200, 50, 100))
    line, _, (bars,) = figures.figure(summary, "success").axes[0].containers[0]
    entries = sorted((entry for entry in summary.table("success") if entry.label == "plain"), key=lambda entry: entry.x)
    assert line.get_xydata().tolist() == [[entry.x, entry.estimate] for entry in entries]
    ends = [segment[:, 1].tolist() for segment in bars.get_segments()]
    assert ends == [pytest.approx([entry.low, entry.high]) for entry in entries]


def test_what_looks_like_mathematics_or_markup_stays_text(hostile: Summary) -> None:
    for metric in hostile.metrics:
        found = drawn(hostile, metric)
        assert not [text for text in found if "mathdefault" in text]
        expected = {table.clean(entry.label)[:40] for entry in hostile.entries}
        assert {label.lstrip("_") for label in expected} <= {text.strip().lstrip("_") for text in found}


def test_letters_that_the_font_lacks_are_no_reason_to_complain(
    made: Made, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.WARNING):
        figures.draw(made(("☃ 雪", "b"), (50,), trials=5), "error")
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_it_leaves_no_trace_in_the_settings_of_matplotlib(made: Made) -> None:
    import matplotlib

    with matplotlib.rc_context({"font.size": 23.0}):
        drawn(made(), "success")
        assert matplotlib.rcParams["font.size"] == 23.0


@pytest.mark.parametrize("places", [(None,), (50, 100, "max")])
def test_without_an_axis_of_numbers_every_cell_has_a_row(made: Made, places: tuple[object, ...]) -> None:
    found = drawn(made(places=places), "success")
    assert sum(text.startswith("plain") for text in found) == len(places)


def test_without_a_trial_it_says_so(made: Made) -> None:
    summary = made()
    empty = [replace(entry, n_attempted=0, estimate=float("nan")) for entry in summary.entries]
    assert "no trial is stored" in drawn(replace(summary, entries=empty), "success")


def test_an_error_of_nothing_has_no_place_on_a_logarithmic_axis(made: Made) -> None:
    summary = made(("a", "long", "control"))
    zero = [
        replace(entry, estimate=0.0, low=0.0, high=0.0) if entry.control else entry
        for entry in [replace(entry, estimate=10.0 ** len(entry.label)) for entry in summary.entries]
    ]
    found = drawn(replace(summary, entries=zero), "error")
    assert "long" in found
    assert "control" not in found


def test_file_names_are_safe_and_differ(made: Made) -> None:
    from bench_core.metrics import Metric

    summary = made()
    first = next(iter(summary.metrics.values()))
    metrics: dict[str, Metric] = {"../A b": first, "..a/B": first, "a" * 300: first}
    odd = replace(summary, metrics=metrics)
    found = [name for named in figures.names([odd, odd]) for name in named.values()]
    assert len(set(found)) == 6
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-") and len(name) < 90 for name in found)


def test_labels_look_different_in_colour_and_without(made: Made) -> None:
    labels = [f"label{i}" for i in range(12)] + ["control"]
    looks = list(figures.styles(made(labels, (1, 2), trials=3)).values())
    assert len({(look.color, look.symbol, look.dash) for look in looks}) == 13
    assert len({(look.symbol, look.dash) for look in looks}) == 13
