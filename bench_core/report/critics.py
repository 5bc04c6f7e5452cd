"""Figures of critics and of the distances that they define, where everything is computed and nothing is sampled.

Arbel, Sutherland, Bińkowski and Gretton, "On gradient regularizers for MMD GANs". The text has no numbers for most
axes, nor for the weights of the penalties of Figure 5 (here 1) and its starts; those are chosen here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bench_core import hookimpl
from bench_core.report import PaperFigure
from bench_core.report.figures import COLORS, DASHES, WIDTH
from bench_core.report.landscapes import PAGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

    from bench_core.dirac import Game
    from bench_core.summary import Summary

PAPER = "Arbel, Sutherland, Bińkowski, Gretton"
ARROWS = "#444444"
STARTS = {"A": (1.0, 1.0), "B": (3.6, 3.0), "C": (3.5, 0.5)}
"""theta and 1/psi of the three trajectories: under the MMD one arrives, one sharpens its critic and one is stuck."""


class DiracVectorField(PaperFigure):
    """Where the players of Example 1 move, for nine losses: a point mass theta and a critic's width 1/psi."""

    name = "dirac_vector_field"
    source = f"{PAPER}, Fig. 1 a, b and Fig. 5, eq. 28"
    reach = 4.0
    widest = 4.0
    lr = 0.1
    steps = 500

    def draw(self, summary: Summary | None, labels: Sequence[str]) -> Figure:
        from matplotlib.figure import Figure

        from bench_core.dirac import games

        figure = Figure(figsize=(PAGE, 6.2), layout="constrained")
        panels = figure.subplots(3, 3, sharex=True, sharey=True)
        for axes, (name, game) in zip(panels.flat, games().items(), strict=True):
            self._panel(axes, game)
            axes.set_title(name, fontsize=7, loc="left")
        for axes in panels[-1]:
            axes.set_xlabel("θ")
        for axes in panels[:, 0]:
            axes.set_ylabel("1/ψ")
        return figure

    def _panel(self, axes: Axes, game: Game) -> None:
        import torch

        side = torch.linspace(-self.reach, self.reach, 19, dtype=torch.float64)
        heights = torch.linspace(0.4, self.widest, 15, dtype=torch.float64)
        theta, width = torch.meshgrid(side, heights, indexing="xy")
        # Row by row: the constrained losses solve equations at each place, whose matrices would be gigabytes together.
        rows = [game.field(*row) for row in zip(theta, 1 / width, strict=True)]
        along, across = (torch.stack(each) for each in zip(*rows, strict=True))
        across = -across * width.square()  # d(1/psi) = -dpsi / psi²
        norm = (along.square() + across.square()).sqrt()
        length = norm.clamp(min=1e-300)
        axes.quiver(
            theta.numpy(),
            width.numpy(),
            (along / length).numpy(),
            (across / length).numpy(),
            norm.clamp(min=1e-6).log10().numpy(),
            cmap="Blues",
            clim=(-6.0, 0.5),
            scale=25.0,
            width=0.004,
            pivot="mid",
            zorder=1,
        )
        starts = torch.tensor(list(STARTS.values()), dtype=torch.float64)
        thetas, psis = game.path(starts[:, 0], 1 / starts[:, 1], self.lr, self.steps)
        for path, width_of, (name, start), (color, _) in zip(
            thetas.mT, (1 / psis).mT, STARTS.items(), COLORS[1:], strict=False
        ):
            axes.plot(path.numpy(), width_of.numpy(), color=color, linewidth=1.2, zorder=3)
            axes.plot(*start, marker="o", color=color, markersize=3, zorder=4)
            axes.annotate(name, start, xytext=(3, 3), textcoords="offset points", fontsize=7, color=color)
        axes.axvline(0.0, color="black", linewidth=0.5, zorder=0)
        axes.set(xlim=(-self.reach, self.reach), ylim=(0.0, self.widest))


class OptimalCritics(PaperFigure):
    """Optimal critics between point masses at 0 and 20, steep where nothing holds the kernel back."""

    name = "optimal_critics"
    source = f"{PAPER}, Fig. 1 c"
    theta = 20.0

    def draw(self, summary: Summary | None, labels: Sequence[str]) -> Figure:
        import torch
        from matplotlib.figure import Figure

        from bench_core import dirac

        figure = Figure(figsize=(WIDTH, 2.4), layout="constrained")
        axes = figure.subplots()
        t = torch.linspace(-15.0, 35.0, 1001, dtype=torch.float64)
        curves = dirac.critics(self.theta, t)
        _lines(axes, t, {name: curve / curve.abs().max() for name, curve in curves.items()})
        axes.set_xlabel("t")
        axes.set_ylabel("critic, largest value 1")
        axes.grid(axis="y")
        figure.legend(loc="outside upper center", ncols=2, frameon=False, handlelength=2.6)
        return figure


class DistanceVsTheta(PaperFigure):
    """Distances of two point masses against their distance theta, each optimised over the kernel's width."""

    name = "distance_vs_theta"
    source = f"{PAPER}, Fig. 1 d"
    reach = 5.0

    def draw(self, summary: Summary | None, labels: Sequence[str]) -> Figure:
        import torch
        from matplotlib.figure import Figure

        from bench_core import dirac

        figure = Figure(figsize=(WIDTH, 2.2), layout="constrained")
        axes = figure.subplots()
        half = torch.logspace(-3, 0, 30, dtype=torch.float64) * self.reach
        theta = torch.cat((-half.flip(0), half))
        curves = dirac.optimised(half)
        _lines(axes, theta, {name: torch.cat((curve.flip(0), curve)) for name, curve in curves.items()})
        axes.set_xlabel("θ")
        axes.set_ylabel("distance of the point masses")
        axes.set_ylim(bottom=0.0, top=2.0)
        axes.grid(axis="y")
        figure.legend(loc="outside upper center", ncols=3, frameon=False, handlelength=2.6)
        return figure


def _lines(axes: Axes, x: Tensor, curves: Mapping[str, Tensor]) -> None:
    """Draw curves over ``x``, told apart by colour and dashes."""
    for (name, curve), (color, _), (_, dashes) in zip(curves.items(), COLORS, DASHES, strict=False):
        (line,) = axes.plot(x, curve, color=color, label=name)
        if dashes:
            line.set_dashes(dashes)


class CriticGradients2D(PaperFigure):
    """Gradients of the critics of two constraints between Gaussians in the plane."""

    name = "critic_gradients_2d"
    source = f"{PAPER}, Fig. 6, Appendix C"

    def draw(self, summary: Summary | None, labels: Sequence[str]) -> Figure:
        from matplotlib.colors import LogNorm
        from matplotlib.figure import Figure

        from bench_core.planar import Planar

        scene, fine = Planar(every=10), Planar(every=2)
        figure = Figure(figsize=(PAGE, 3.1), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        titles = ("Gradient-Constrained MMD", "Sobolev IPM, 0 on the boundary")
        for axes, title, gradient in zip(panels, titles, (scene.gcmmd(), scene.sobolev()), strict=True):
            norm = gradient.square().sum(-1).sqrt()
            shown = gradient / norm.clamp(min=1e-300)[..., None]
            x, y = (each.numpy() for each in scene.places.unbind(-1))
            for density, (color, _) in zip((fine.p_density, fine.q_density), COLORS, strict=False):
                levels = [share * float(density.max()) for share in (0.25, 0.5, 0.75)]
                axes.contour(*fine.places.numpy().T, density.numpy().T, levels, colors=color, linewidths=0.7)
            drawn = axes.quiver(
                x,
                y,
                shown[..., 0].numpy(),
                shown[..., 1].numpy(),
                norm.numpy(),
                cmap="Greys",
                norm=LogNorm(1e-3, 1e1, clip=True),
                scale=27.0,
                width=0.004,
                pivot="mid",
            )
            axes.set_title(title, fontsize=7, loc="left")
            axes.set_aspect("equal")
        figure.colorbar(drawn, ax=panels, label="norm of the critic's gradient", shrink=0.8, format="{x:g}")
        return figure


class Gaussians1DMap(PaperFigure):
    """Distances of N(0, 0.1²) from N(μ, σ²) over μ and σ, with fixed kernels and with the best ones."""

    name = "gaussians_1d_map"
    source = f"{PAPER}, Fig. 7, Appendix F.1"

    def draw(self, summary: Summary | None, labels: Sequence[str]) -> Figure:
        from matplotlib.figure import Figure

        from bench_core.gaussian_map import distances, means, sigmas

        figure = Figure(figsize=(PAGE, 6.6), layout="constrained")
        panels = figure.subplots(3, 2, sharex=True, sharey=True)
        for axes, (name, distance) in zip(panels.flat, distances().items(), strict=True):
            logarithm = distance.clamp(min=1e-12).log()
            drawn = axes.pcolormesh(
                means().numpy(), sigmas().numpy(), logarithm.numpy(), cmap="viridis", rasterized=True
            )
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")  # the settings have no mathematical text
            axes.set_title(name, fontsize=7, loc="left")
            figure.colorbar(drawn, ax=axes, shrink=0.9)
        for axes in panels[-1]:
            axes.set_xlabel("μ")
        for axes in panels[:, 0]:
            axes.set_ylabel("σ")
        return figure


@hookimpl
def bench_register_figures() -> list[PaperFigure]:
    return [DiracVectorField(), OptimalCritics(), DistanceVsTheta(), CriticGradients2D(), Gaussians1DMap()]
