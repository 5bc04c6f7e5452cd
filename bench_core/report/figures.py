"""Summary -> figures for a paper: a metric against x with its intervals; and any figure -> SVG, PDF or PNG.

The look of a label (colour, marker, dash) is decided here for every plot of it, on paper and on the page.
"""

from __future__ import annotations

import io
import logging
import math
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from bench_core.report import table
from bench_core.report.table import clean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bench_core.summary import Entry, Summary

WIDTH = 3.3
"""Inches of a column of a two-column paper."""
PANELS = 6
"""Panels of one figure at most: a paper has no room for more."""
ROWS = 60
"""Rows of one figure without x at most."""


@dataclass(frozen=True)
class Style:
    """How a label looks in every plot.

    Attributes:
        color: on white.
        dark: on a dark page.
        marker: as matplotlib says it.
        symbol: the same marker, as plotly says it.
        dash: as plotly says it.
        dashes: the same, as matplotlib says it: lengths of line and gap in widths of the line.
    """

    color: str
    dark: str
    marker: str
    symbol: str
    dash: str
    dashes: tuple[float, ...]


# Okabe and Ito's palette, which the colour-blind tell apart; its yellow, invisible on white, is left out.
COLORS = (
    ("#0072B2", "#4FB0EA"),
    ("#D55E00", "#FF8A3D"),
    ("#009E73", "#2CCB9E"),
    ("#AA4499", "#DD8FC4"),
    ("#B07800", "#E9B23C"),
    ("#2F8FC4", "#8CCBF0"),
    ("#222222", "#E6E6E6"),
)
GREYS = (("#6B6B6B", "#A3A3A3"), ("#8A8A8A", "#8C8C8C"), ("#555555", "#BDBDBD"))
MARKERS = (
    ("o", "circle"),
    ("s", "square"),
    ("D", "diamond"),
    ("^", "triangle-up"),
    ("v", "triangle-down"),
    ("P", "cross"),
    ("X", "x"),
    ("<", "triangle-left"),
)
DASHES: tuple[tuple[str, tuple[float, ...]], ...] = (
    ("solid", ()),
    ("dash", (5, 2)),
    ("dashdot", (5, 2, 1, 2)),
    ("longdash", (8, 2)),
    ("dot", (1, 1.5)),
)


def styles(summary: Summary) -> dict[str, Style]:
    """Return the look of every label: colour, marker and dash differ, so that a grey print can be read, too."""
    control = {entry.label: entry.control for entry in summary.entries}
    rivals = [label for label in control if not control[label]]
    controls = [label for label in control if control[label]]
    found = {label: _style(COLORS[i % len(COLORS)], i) for i, label in enumerate(rivals)}
    return found | {label: _style(GREYS[i % len(GREYS)], len(rivals) + i) for i, label in enumerate(controls)}


def _style(color: tuple[str, str], index: int) -> Style:
    marker, symbol = MARKERS[index % len(MARKERS)]
    dash, dashes = DASHES[index % len(DASHES)]
    return Style(*color, marker, symbol, dash, dashes)


def names(summaries: Sequence[Summary]) -> list[dict[str, str]]:
    """Return, for each summary, metric -> name of its figure without suffix: safe in every file system, and unique."""
    taken: set[str] = set()
    named: list[dict[str, str]] = []
    for summary in summaries:
        named.append({})
        for metric in summary.metrics:
            wanted = re.sub(r"[^a-z0-9_-]+", "_", f"{summary.suite}-{metric}".lower())[:80]
            free = (f"{wanted}-{n}" if n > 1 else wanted for n in range(1, len(taken) + 2))
            name = next(each for each in free if each not in taken)
            taken.add(name)
            named[-1][metric] = name
    return named


def draw(summary: Summary, metric: str, suffixes: Sequence[str] = ("svg", "pdf")) -> dict[str, bytes]:
    """Return suffix -> file of the figure of a metric, the same bytes for the same summary."""
    return files(partial(figure, summary, metric), suffixes)


def files(make: Callable[[], Figure], suffixes: Sequence[str]) -> dict[str, bytes]:
    """Return suffix (a key of ``FORMATS``) -> file of the figure that ``make`` makes in the settings of a paper.

    The same figure gives the same bytes.
    """
    found = {}
    with _quiet(), _settings():
        made = make()
        for suffix in suffixes:
            buffer = io.BytesIO()
            undated = {FORMATS[suffix]: None}
            made.savefig(buffer, format=suffix, metadata=undated)  # picks its own canvas: no global state
            found[suffix] = buffer.getvalue()
    return found


FORMATS = {"svg": "Date", "pdf": "CreationDate", "png": "Software"}
"""Suffix -> what matplotlib writes into such a file that changes though the figure does not."""


@contextmanager
def _quiet() -> Iterator[None]:
    """Neither tell of matplotlib's caches nor of letters that its font lacks: the text is in the file all the same."""
    logger = logging.getLogger("matplotlib")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


@contextmanager
def _settings() -> Iterator[None]:
    import matplotlib

    wanted: dict[str, Any] = {
        "axes.axisbelow": True,
        "axes.linewidth": 0.6,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "font.family": "sans-serif",
        "font.sans-serif": ["Arial", "Helvetica", "Liberation Sans", "DejaVu Sans"],
        "font.size": 7.0,
        "grid.color": "#dddddd",
        "grid.linewidth": 0.4,
        "legend.fontsize": 6.5,
        "lines.linewidth": 1.0,
        "lines.markersize": 3.2,
        "pdf.fonttype": 42,  # text stays text
        "savefig.dpi": 300,
        "svg.fonttype": "none",
        "svg.hashsalt": "bench",
        "text.parse_math": False,  # a label may hold dollars
        "text.usetex": False,
        "xtick.labelsize": 6.5,
        "xtick.major.width": 0.6,
        "ytick.labelsize": 6.5,
        "ytick.major.width": 0.6,
    }
    with matplotlib.rc_context():  # type: ignore[no-untyped-call, unused-ignore]
        matplotlib.rcdefaults()  # type: ignore[no-untyped-call, unused-ignore]
        matplotlib.rcParams.update(wanted)  # type: ignore[arg-type, unused-ignore]
        yield


def numeric(entries: Sequence[Entry]) -> bool:
    """Return whether there are at least two places on an axis of numbers to draw the entries at."""
    places = {entry.x for entry in entries if _is_number(entry.x)}
    return len(places) > 1 and all(_is_number(entry.x) for entry in entries)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def logarithmic(values: Sequence[float], span: float = 8.0) -> bool:
    """Return whether values are better shown on a logarithmic axis."""
    finite = [value for value in values if math.isfinite(value)]
    return bool(finite) and min(finite) > 0 and max(finite) / min(finite) >= span


def log_scaled(summary: Summary, metric: str) -> bool:
    """Return whether a metric is drawn on a logarithmic axis, on which a control at 0 has no place."""
    shown = [entry for entry in summary.table(metric) if entry.n_attempted and math.isfinite(entry.estimate)]
    rivals = [entry.estimate for entry in shown if not entry.control]
    positive = [entry.estimate for entry in shown if entry.estimate > 0]
    return summary.metrics[metric].kind != "rate" and min(rivals, default=0.0) > 0 and logarithmic(positive)


def panels(summary: Summary, metric: str) -> dict[str, list[Entry]]:
    """Return what distinguishes problem cells of equal x -> their entries; one panel of no title where nothing does."""
    others = [name for name in table.varying(summary, metric) if name != summary.x]
    found: dict[str, list[Entry]] = {}
    for entry in summary.table(metric):
        found.setdefault(table.place(entry, others), []).append(entry)
    return found


def figure(summary: Summary, metric: str, labels: Collection[str] | None = None) -> Figure:
    """Return the figure of a metric, of these labels (None: all), each of which looks as it does beside the others."""
    from matplotlib.figure import Figure

    log = log_scaled(summary, metric)
    shown = [
        entry
        for entry in summary.table(metric)
        if entry.n_attempted
        and entry.estimate > (0 if log else -math.inf)
        and (labels is None or entry.label in labels)
    ]
    if not shown:
        empty = Figure(figsize=(WIDTH, 1.0))
        empty.text(0.5, 0.5, "no trial is stored", ha="center", va="center")
        return empty
    if numeric(shown):
        return _against_x(summary, metric, shown)
    return _rows(summary, metric, shown)


def _against_x(summary: Summary, metric: str, shown: Sequence[Entry]) -> Figure:
    from matplotlib.figure import Figure

    found = panels(summary, metric)
    titled = list(found.items())[:PANELS]
    drawn = {id(entry) for entry in shown}
    looks = styles(summary)
    labels = list(dict.fromkeys(entry.label for entry in shown))
    legend = 0.13 * math.ceil(len(labels) / 3) + 0.1
    whole = Figure(figsize=(WIDTH, 1.9 * len(titled) + legend), layout="constrained")
    grid = whole.subplots(len(titled), 1, squeeze=False, sharex=True)
    for axes, (title, entries) in zip(grid[:, 0], titled, strict=True):
        kept = [entry for entry in entries if id(entry) in drawn]
        for label in labels:
            _line(axes, [entry for entry in kept if entry.label == label], looks[label])
        _mark_places(axes, kept)
        _measure(axes, "y", summary, metric)
        if title:
            axes.set_title(clean(title), fontsize=7, loc="left")
    left_out = f" ({len(titled)} of {len(found)} panels)" if len(titled) < len(found) else ""
    grid[-1, 0].set_xlabel(clean(summary.x or "") + left_out)
    handles = [_handle(looks[label]) for label in labels]
    named = [_legend_name(label) for label in labels]
    columns = 2 if len(labels) == 4 else 3
    whole.legend(handles, named, loc="outside upper center", ncols=columns, frameon=False, handlelength=2.6)
    return whole


def _line(axes: Axes, entries: Sequence[Entry], look: Style) -> None:
    if not entries:
        return
    ordered = sorted(entries, key=lambda entry: entry.x)
    drawn = axes.errorbar(
        [entry.x for entry in ordered],
        [entry.estimate for entry in ordered],
        yerr=_sides(ordered),
        color=look.color,
        marker=look.marker,
        capsize=1.6,
        elinewidth=0.7,
        capthick=0.7,
    )
    if look.dashes:
        drawn.lines[0].set_dashes(look.dashes)


def _sides(entries: Sequence[Entry]) -> list[list[float]]:
    """Return how far the intervals reach below and above the estimates; an infinite side is not drawn."""
    below = [entry.estimate - entry.low for entry in entries]
    above = [entry.high - entry.estimate for entry in entries]
    return [[max(0.0, length) if math.isfinite(length) else 0.0 for length in side] for side in (below, above)]


def _handle(look: Style) -> Any:
    from matplotlib.lines import Line2D

    line = Line2D([], [], color=look.color, marker=look.marker)
    if look.dashes:
        line.set_dashes(look.dashes)
    return line


def _legend_name(label: str) -> str:
    text = clean(label)
    text = text if len(text) <= 40 else f"{text[:39]}…"
    return f" {text}" if text.startswith("_") else text  # a leading underscore hides a line from the legend


def _mark_places(axes: Axes, entries: Sequence[Entry]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    places = sorted({entry.x for entry in entries})
    positive = [place for place in places if place > 0]
    if logarithmic(positive, span=5.0) and min(places) >= 0:
        # 0 stands one step left of the smallest number: in a list of sizes it is the limit.
        zero = {"linthresh": positive[0], "linscale": 1.0} if min(places) == 0 else {}
        axes.set_xscale("symlog" if zero else "log", **zero)
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(FixedLocator(places if len(places) <= 8 else places[:: math.ceil(len(places) / 8)]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: table.count(value) if value >= 1e4 else f"{value:g}"))


def _measure(axes: Axes, side: Literal["x", "y"], summary: Summary, metric: str, left_out: str = "") -> None:
    """Scale and name the axis of the metric, in plain text: even powers of ten come without mathematical markup."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axis = {"x": axes.xaxis, "y": axes.yaxis}[side]
    kind = summary.metrics[metric].kind
    if kind == "rate":
        axes.set(**{f"{side}lim": (-0.03, 1.03)})
    elif log_scaled(summary, metric):
        axes.set(**{f"{side}scale": "log"})
        axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_label_text(f"{table.CENTRES[kind]} {clean(metric)}{left_out}")
    axes.grid(axis=side)


def _rows(summary: Summary, metric: str, shown: Sequence[Entry]) -> Figure:
    """Draw a row per label and problem cell, where there is no axis to draw a metric against."""
    from matplotlib.figure import Figure

    looks = styles(summary)
    titles = {entry.problem_key: group.title for group in table.groups(summary, metric) for entry in group.entries}
    several = len(titles) > 1
    kept = shown[:ROWS]
    whole = Figure(figsize=(WIDTH, 0.16 * len(kept) + 0.6), layout="constrained")
    axes = whole.subplots()
    for row, entry in enumerate(kept):
        look = looks[entry.label]
        sides = _sides([entry])
        axes.errorbar([entry.estimate], [row], xerr=sides, color=look.color, marker=look.marker, elinewidth=0.8)
    written = [
        _legend_name(f"{entry.label} · {titles[entry.problem_key]}" if several else entry.label) for entry in kept
    ]
    axes.set_yticks(range(len(kept)), written)
    axes.invert_yaxis()
    left_out = f" ({len(kept)} of {len(shown)} rows)" if len(kept) < len(shown) else ""
    _measure(axes, "x", summary, metric, left_out)
    return whole
