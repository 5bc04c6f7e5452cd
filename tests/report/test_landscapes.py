"""The figures of loss landscapes against formulas worked out by hand."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest

from bench_core.plugins import Plugins
from bench_core.report import figures
from bench_core.report.landscapes import KINDS

EPSILON = 1e-5
"""Of the covariance, as in Section 4.2."""
LINES = ["mmd_landscape_mean", "mmd_landscape_cov", "mmd_landscape_gmm"]


def axes_of(plugins: Plugins, name: str) -> list[Any]:
    return list(plugins.figures.get(name).draw(None, []).axes)


def curves(axes: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return label -> (x, y) of the curves, marks aside."""
    return {line.get_label(): line.get_data() for line in axes.lines if not line.get_label().startswith("_")}


def marks(axes: Any, kind: str) -> list[tuple[float, ...]]:
    """Return where points of a kind are marked, sorted."""
    marker, _ = KINDS[kind]
    return sorted(tuple(line.get_xydata()[0]) for line in axes.lines if line.get_marker() == marker)


def test_figure_1_is_equation_3(plugins: Plugins) -> None:
    (axes,) = axes_of(plugins, LINES[0])
    found = curves(axes)
    assert list(found) == ["σ² = 0.1", "σ² = 1", "σ² = 10", "σ² = 100"]
    for label, (mu, value) in found.items():
        s = float(label.removeprefix("σ² = "))
        expected = 2 / np.sqrt(2 / s + 1) * (1 - np.exp(-0.5 / s * mu**2 / (2 / s + 1)))
        np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-15)
    assert set(marks(axes, "minimum")) == {(0.0, 0.0)}
    assert not marks(axes, "maximum")


def test_figure_2_is_equation_7_on_the_line(plugins: Plugins) -> None:
    (axes,) = axes_of(plugins, LINES[1])
    for label, (a, value) in curves(axes).items():
        s = float(label.removeprefix("σ² = "))
        c = 1 + 2 * EPSILON**2 / s
        expected = (c + 2 * a**2 / s) ** -0.5 + (c + 2 / s) ** -0.5 - 2 * (c + (a**2 + 1) / s) ** -0.5
        np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-14)
    assert {x for x, _ in marks(axes, "minimum")} == {-1.0, 1.0}
    assert {x for x, _ in marks(axes, "maximum")} == {0.0}


def test_figure_3_is_equation_14_on_the_line_with_the_inflections_of_its_caption(plugins: Plugins) -> None:
    (axes,) = axes_of(plugins, LINES[2])
    for label, (mu, value) in curves(axes).items():
        s = float(label.removeprefix("σ² = "))

        def k(x: Any, s: float = s) -> Any:
            return np.exp(-0.5 * x**2 / (2 + s))

        sums = k(2 * mu) + 1 + k(50.0) + 1 - 2 * k(mu - 25) - 2 * k(mu + 25)
        np.testing.assert_allclose(value, 0.5 * (s / (2 + s)) ** 0.5 * sums, rtol=1e-9, atol=1e-14)
    assert {x for x, _ in marks(axes, "minimum")} == {-25.0, 25.0}
    assert {x for x, _ in marks(axes, "maximum")} == {0.0}
    left, right = (x for x, _ in marks(axes, "inflection"))
    assert right == pytest.approx(8.5, abs=0.1)
    assert left == -right


def test_the_plane_shows_every_stationary_point(plugins: Plugins) -> None:
    mean, gmm, cov = axes_of(plugins, "landscape_flow")
    assert [marks(mean, kind) for kind in ("minimum", "saddle", "maximum")] == [[(2.0, 0.0)], [], []]
    for axes, height in ((gmm, 2 / 3**0.5), (cov, ((5 ** (1 / 3) - 1) / (2 - 5 ** (1 / 3))) ** 0.5)):  # eq. 8, c = 1
        assert set(marks(axes, "minimum")) == {(-2.0, 0.0), (2.0, 0.0)}
        assert {(abs(x), abs(y)) for x, y in marks(axes, "maximum")} == {(0.0, 0.0)}
        below, above = marks(axes, "saddle")
        assert above == pytest.approx((0.0, height), abs=1e-9)  # eq. 8 without EPSILON
        assert below == pytest.approx((0.0, -height), abs=1e-9)


@pytest.mark.parametrize("name", [*LINES, "landscape_flow"])
def test_a_file_is_the_same_every_time_with_its_text_as_text(plugins: Plugins, name: str) -> None:
    figure = plugins.figures.get(name)
    first, second = (figures.files(lambda: figure.draw(None, []), ["svg"])["svg"] for _ in range(2))
    assert first == second
    assert len(first) < 7e5
    found = {"".join(node.itertext()) for node in ET.fromstring(first).iter("{http://www.w3.org/2000/svg}text")}
    assert {"minimum", "0"} <= found or {"minimum", "0.0"} <= found
    assert figure.source.startswith("Alon, Globerson, Wiesel, ")
