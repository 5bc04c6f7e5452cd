"""Figures of loss landscapes: the population MMD of three models, along a line and in the plane.

Alon, Globerson and Wiesel, "On the Optimization Landscape of Maximum Mean Discrepancy". The text of the paper has the
true parameters of its figures 1 to 3 and two of their widths, 0.1 and 10; the other widths, powers of ten, the variance
(1) and how far the axes go are chosen here.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from bench_core import hookimpl
from bench_core.report import PaperFigure
from bench_core.report.figures import COLORS, DASHES, WIDTH

if TYPE_CHECKING:
    import torch
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bench_core.summary import Summary

PAGE = 6.9
"""Inches of both columns of a two-column paper."""
PAPER = "Alon, Globerson, Wiesel"
INFLECTION = "inflection"
KINDS = {
    "minimum": ("o", "black"),
    "saddle": ("D", "white"),
    "maximum": ("^", "white"),
    INFLECTION: ("s", "white"),
}
"""Kind of a point -> marker and what fills it; all but the last are stationary."""


class _Line(PaperFigure):
    """The loss of a model with one parameter, a curve per width of the kernel."""

    truth: ClassVar[float]
    widths: ClassVar[tuple[float, ...]] = (0.1, 1.0, 10.0, 100.0)
    reach: ClassVar[float]
    """The axis goes from minus this to this."""
    parameter: ClassVar[str]

    @abstractmethod
    def loss(self, width: float) -> Any:
        """Return the landscape for a width of the kernel."""

    def draw(self, summary: Summary | None, labels: Sequence[str]) -> Figure:
        import torch
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH, 2.2), layout="constrained")
        axes = figure.subplots()
        theta = torch.linspace(-self.reach, self.reach, 1201, dtype=torch.float64)
        curves, found = [], set[str]()
        for width, (color, _), (_, dashes) in zip(self.widths, COLORS, DASHES, strict=False):
            loss = self.loss(width)
            (curve,) = axes.plot(theta, loss.value(theta[:, None]), color=color, label=f"σ² = {width:g}")
            curve.set_dashes(dashes) if dashes else None
            curves.append(curve)
            for point in loss.stationary_points():
                if point.point.abs() <= self.reach:
                    # The minima of all widths are at the same places.
                    shown = "black" if point.kind == "minimum" else color
                    _mark(axes, point.kind, float(point.point), float(loss.value(point.point)), shown)
                    found.add(point.kind)
            found.update(self.also(axes, width, loss, color))
        axes.set_xlabel(self.parameter)
        axes.set_ylabel("MMD²")
        axes.set_xlim(-self.reach, self.reach)
        axes.grid(axis="y")
        handles = [*curves, *_kinds(found)]
        figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False, handlelength=2.6)
        return figure

    def also(self, axes: Axes, width: float, loss: Any, color: str) -> list[str]:
        """Mark what the paper points out beside stationary points, and return what was marked."""
        return []


class MeanLine(_Line):
    """Population MMD of a Gaussian on the line against its mean, for several widths of the kernel."""

    name = "mmd_landscape_mean"
    source = f"{PAPER}, Fig. 1, eq. 3"
    truth = 0.0
    reach = 20.0
    parameter = "mean μ"

    def loss(self, width: float) -> Any:
        from bench_core.landscape import GaussianMean

        return GaussianMean(_point(self.truth), width)


class CovLine(_Line):
    """Population MMD of a Gaussian on the line against the factor a of its variance a², for several widths."""

    name = "mmd_landscape_cov"
    source = f"{PAPER}, Fig. 2, eq. 7"
    truth = 1.0
    reach = 5.0
    parameter = "factor a of the covariance aaᵀ"

    def loss(self, width: float) -> Any:
        from bench_core.landscape import GaussianCov

        return GaussianCov(_point(self.truth), width)


class GMMLine(_Line):
    """Population MMD of a mixture of two Gaussians on the line against its mean, for several widths of the kernel."""

    name = "mmd_landscape_gmm"
    source = f"{PAPER}, Fig. 3, eq. 14"
    truth = 25.0
    widths = (1.0, 10.0, 100.0, 1000.0)
    reach = 50.0
    parameter = "mean ±μ of the two components"
    inflected = 10.0
    """The width at which the paper sees points of small gradient beside the origin."""

    def loss(self, width: float) -> Any:
        from bench_core.landscape import GMMMean

        return GMMMean(_point(self.truth), width)

    def also(self, axes: Axes, width: float, loss: Any, color: str) -> list[str]:
        import torch

        if width != self.inflected:
            return []
        between = torch.linspace(0.1 * self.truth, 0.9 * self.truth, 2001, dtype=torch.float64)
        flat = float(between[loss.gradient(between[:, None]).abs().argmin()])
        for place in (-flat, flat):
            _mark(axes, INFLECTION, place, float(loss.value(_point(place))), color)
        return [INFLECTION]


class Flow(PaperFigure):
    """Population MMD of three models in the plane: level lines, gradient flow, and every stationary point."""

    name = "landscape_flow"
    source = f"{PAPER}, Theorems 1 to 3, eq. 3, 7, 14"
    truth = (2.0, 0.0)
    width = 1.0
    reach = 3.0

    def draw(self, summary: Summary | None, labels: Sequence[str]) -> Figure:
        from matplotlib.figure import Figure

        from bench_core import landscape

        truth = _point(*self.truth)
        panels = {
            ("Gaussian, mean μ", "μ"): landscape.GaussianMean(truth, self.width),
            ("Mixture of two Gaussians, means ±μ", "μ"): landscape.GMMMean(truth, self.width),
            ("Gaussian, covariance aaᵀ", "a"): landscape.GaussianCov(truth, self.width),
        }
        figure = Figure(figsize=(PAGE, 2.7), layout="constrained")
        grid = figure.subplots(1, len(panels), sharey=True)
        for axes, ((title, parameter), loss) in zip(grid, panels.items(), strict=True):
            self._panel(axes, loss)
            axes.set_title(title, fontsize=7, loc="left")
            axes.set_xlabel(f"{parameter}₁")
            axes.set_ylabel(f"{parameter}₂")
        handles = _kinds(set(KINDS) - {INFLECTION})
        figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False)
        return figure

    def _panel(self, axes: Axes, loss: Any) -> None:
        import torch

        side = torch.linspace(-self.reach, self.reach, 81, dtype=torch.float64)
        theta = torch.stack(torch.meshgrid(side, side, indexing="xy"), dim=-1)  # (n, n, 2)
        value, down = loss.value(theta), -loss.gradient(theta)  # (n, n), (n, n, 2)
        top = 1.4 * float(value.max())  # the darkest blue would hide the lines
        axes.contourf(side, side, value, levels=14, cmap="Blues", vmin=0.0, vmax=top, zorder=0)
        axes.streamplot(
            side.numpy(),
            side.numpy(),
            down[..., 0].numpy(),
            down[..., 1].numpy(),
            density=0.9,
            linewidth=0.5,
            arrowsize=0.5,
            color="#444444",
            zorder=1,
        )
        for point in loss.stationary_points():
            # In the plane a family of saddles is a pair: a point and its negative.
            for each in (point.point,) if loss.signed else (point.point, -point.point):
                _mark(axes, point.kind, float(each[0]), float(each[1]), "black", size=5.0)
        axes.set(xlim=(-self.reach, self.reach), ylim=(-self.reach, self.reach), aspect="equal")


def _point(*coordinates: float) -> torch.Tensor:
    import torch

    return torch.tensor(coordinates, dtype=torch.float64)


def _mark(axes: Axes, kind: str, x: float, y: float, color: str, size: float = 3.5) -> None:
    marker, fill = KINDS[kind]
    axes.plot(
        [x],
        [y],
        marker=marker,
        color=color,
        markerfacecolor=color if fill == "black" else fill,
        markersize=size,
        markeredgewidth=0.8,
        zorder=5,
        clip_on=False,
    )


def _kinds(found: Collection[str]) -> list[Any]:
    """Return what a legend says of kinds of points."""
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], linestyle="", marker=marker, color="black", markerfacecolor=fill, label=kind)
        for kind, (marker, fill) in KINDS.items()
        if kind in found
    ]


@hookimpl
def bench_register_figures() -> list[PaperFigure]:
    return [MeanLine(), CovLine(), GMMLine(), Flow()]
