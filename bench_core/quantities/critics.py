"""What is said of discrepancies with constrained critics, computed.

Arbel, Sutherland, Bińkowski and Gretton, "On gradient regularizers for MMD GANs", Sections 2 and 3, Appendices A to F.
Unless said otherwise lambda is 1 and the kernel is exp(-(a - b)² / 2) on the critic's values. "Near" is theta = 1e-6.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bench_core import hookimpl
from bench_core.quantities import Quantity

if TYPE_CHECKING:
    from torch import Tensor

NEAR = 1e-6
"""A theta next to 0, where distances are judged continuous or not."""
CASES = 200
"""Random cases of an inequality."""
LEAK = 0.2
"""Slope of the leaky ReLU on its left side."""
ALPHA = 1e-3
"""How near the counter-examples of Appendix A.2.1 are to their limits."""


def _theta(value: float = NEAR) -> Tensor:
    import torch

    return torch.tensor([value], dtype=torch.float64)


# --- two point masses -----------------------------------------------------------------------------------------------


def _supremum(squared: Callable[[Tensor], Tensor], low: float = 1e-3, high: float = 1e9) -> float:
    """The root of the largest value over psi."""
    from bench_core.discrepancies import optimised

    return math.sqrt(max(0.0, float(optimised(squared, low, high, points=200).value.squeeze())))


def optimised_mmd() -> float:
    from bench_core import dirac

    return _supremum(lambda psi: dirac.mmd2(_theta(), psi))


def optimised_smmd() -> float:
    from bench_core import dirac

    return float(dirac.optimised_smmd(_theta())[0])


def optimised_lipmmd() -> float:
    from bench_core import dirac

    return float(dirac.optimised_lipmmd(_theta())[0])


def optimised_gcmmd_wide() -> float:
    from bench_core import dirac

    return dirac.optimised_gcmmd_wide(NEAR)[0]


def gcmmd_wide_over_root() -> float:
    from bench_core import dirac

    return dirac.optimised_gcmmd_wide(NEAR)[0] / math.sqrt(NEAR / dirac.WIDE_DENSITY)


def optimised_gcmmd_target() -> float:
    from bench_core import dirac

    return _supremum(lambda psi: dirac.gcmmd2_at_target(_theta(), psi))


def sn_gradient() -> float:
    """The slope of the spectrally normalised MMD's loss at theta = 20 over that of the optimised Scaled MMD."""
    from bench_core import dirac

    theta = _theta(20.0)
    psi = dirac.optimised_smmd(theta)[1]
    games = dirac.games()
    normalised, scaled = (games[name].field(theta, psi)[0].abs() for name in ("SN-MMD", "SMMD"))
    return float(normalised / scaled)


# --- inequalities ---------------------------------------------------------------------------------------------------


def smmd_above_gcmmd() -> float:
    """Cases in which the Scaled MMD exceeds the Gradient-Constrained MMD by more than rounding."""
    import torch

    from bench_core.discrepancies import gcmmd2, smmd2
    from bench_core.kernels import Gaussian

    generator = torch.Generator().manual_seed(0)
    x, y, mu = (torch.randn(CASES, 12, 2, generator=generator, dtype=torch.float64) for _ in range(3))
    shift = 2 * torch.randn(CASES, 1, 2, generator=generator, dtype=torch.float64)
    bandwidth = torch.randn(CASES, generator=generator, dtype=torch.float64).exp()
    lam = (2 * torch.randn(CASES, generator=generator, dtype=torch.float64)).exp()
    count = 0
    for case in range(CASES):
        kernel, weight = Gaussian(float(bandwidth[case])), float(lam[case])
        pair = x[case], y[case] + shift[case]
        scaled = smmd2(*pair, kernel, mu=mu[case], lam=weight, estimator="biased")
        constrained = gcmmd2(*pair, kernel, mu=mu[case], lam=weight)
        count += bool(scaled > constrained * (1 + 1e-9) + 1e-12)
    return float(count)


def lipmmd_above_wasserstein() -> float:
    """Cases in which what a critic with the Lipschitz constraint attains exceeds the Wasserstein distance by more than
    the slope between the points may explain (0.1 %)."""
    import torch
    from scipy.stats import wasserstein_distance

    from bench_core.discrepancies import lipmmd
    from bench_core.kernels import Gaussian

    generator = torch.Generator().manual_seed(1)
    count = 0
    for _ in range(CASES // 4):
        scale = torch.randn(3, generator=generator, dtype=torch.float64)
        x = torch.randn(15, 1, generator=generator, dtype=torch.float64)
        y = scale[0].exp() * torch.randn(15, 1, generator=generator, dtype=torch.float64) + 2 * scale[1]
        both = torch.cat((x, y))
        points = torch.linspace(float(both.min()), float(both.max()), 101, dtype=torch.float64)[:, None]
        found = lipmmd(x, y, Gaussian(float(scale[2].exp())), points, lam=1e-3)
        count += bool(found.lower > 1.001 * wasserstein_distance(x[:, 0].numpy(), y[:, 0].numpy()))
    return float(count)


def lipmmd_over_wasserstein(lam: float) -> float:
    """LipMMD over the Wasserstein distance of two samples on the line."""
    import torch
    from scipy.stats import wasserstein_distance

    from bench_core.discrepancies import lipmmd
    from bench_core.kernels import Gaussian

    generator = torch.Generator().manual_seed(2)
    x = torch.randn(20, 1, generator=generator, dtype=torch.float64)
    y = 0.5 * torch.randn(20, 1, generator=generator, dtype=torch.float64) + 1
    both = torch.cat((x, y))
    points = torch.linspace(float(both.min()), float(both.max()), 201, dtype=torch.float64)[:, None]
    found = lipmmd(x, y, Gaussian(1.0), points, lam=lam)
    ratio: float = float(found.value) / wasserstein_distance(x[:, 0].numpy(), y[:, 0].numpy())
    return ratio


# --- networks -------------------------------------------------------------------------------------------------------


def theorem_1_printed() -> float:
    """The Scaled MMD over the bound that Theorem 1 prints, for a network of three layers of one unit.

    With all weights equal to one its slope is the leak squared on the left and 1 on the right. The measure lies on the
    left, both point masses close together on the right; the network's outputs are multiplied until lambda and k(x, x)
    weigh nothing.
    """
    leak, layers, scale, distance = LEAK, 3, 1e4, 1e-7
    squared = -2 * math.expm1(-0.5 * (scale * distance) ** 2)
    scaled = math.sqrt(squared / (2 + (scale * leak ** (layers - 1)) ** 2))
    bound: float = leak ** (-layers / 2) * distance
    return scaled / bound


def theorem_1_corrected() -> float:
    """The largest Scaled MMD over the bound with (kappa / leak)^L in place of its root, in random cases and for the
    network of :func:`theorem_1_printed`, whose ratio is the leak: it has one activation fewer than layers."""
    import torch

    from bench_core.discrepancies import smmd2
    from bench_core.kernels import Gaussian

    generator = torch.Generator().manual_seed(3)
    worst = theorem_1_printed() * math.sqrt(LEAK) ** 3
    for case in range(CASES):
        sizes = ((2, 2, 2), (3, 2, 1), (4, 3, 2, 1), (1, 1, 1, 1))[case % 4]
        weights = [
            torch.randn(out, into, generator=generator, dtype=torch.float64) for into, out in itertools.pairwise(sizes)
        ]
        kappa = max(float(torch.linalg.cond(weight)) for weight in weights)
        weights[-1] = weights[-1] * 10 ** (torch.rand((), generator=generator, dtype=torch.float64))
        x, mu = (torch.randn(8, sizes[0], generator=generator, dtype=torch.float64) for _ in range(2))
        step = 10 ** (-3 * torch.rand((), generator=generator, dtype=torch.float64))
        moved = step * torch.randn(1, sizes[0], generator=generator, dtype=torch.float64)
        squared = smmd2(x, x + moved, Gaussian(1.0), features=_Leaky(weights), mu=mu, estimator="biased")
        # All points move alike, so that the Wasserstein distance is the length of the move.
        bound = (kappa / LEAK) ** len(weights) / math.sqrt(sizes[-1]) * float(moved.norm())
        worst = max(worst, math.sqrt(max(0.0, float(squared))) / bound)
    return worst


class _Leaky:
    """A network of leaky ReLUs without biases, with its Jacobian."""

    def __init__(self, weights: list[Tensor]) -> None:
        self.weights = weights

    def __call__(self, x: Tensor) -> Tensor:
        for weight in self.weights[:-1]:
            x = x @ weight.mT
            x = x.where(x > 0, LEAK * x)
        return x @ self.weights[-1].mT


def mean_gradient(network: str) -> float:
    """E |grad phi|² under N(0, I), which weighs a sector of the plane by its angle."""
    return sum(angle / (2 * math.pi) * slope for angle, slope in _sectors(network))


def lipschitz_constant(network: str) -> float:
    """The squared Lipschitz constant: the largest |grad phi|² of any sector."""
    return max(slope for _, slope in _sectors(network))


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def _sectors(network: str) -> list[tuple[float, float]]:
    """The sectors of the plane in which a network of Appendix A.2.1 is linear: angle and |grad phi|²."""
    rows, top = {
        "condition": (((1.0, 1.0), (1.0, 1.0 + ALPHA)), (1.0, -1.0)),
        "widths": (((1.0, 0.0), (0.0, 1.0), (1.0, ALPHA)), (-1.0, 0.0, 1.0)),
    }[network]
    # A unit switches where its row is orthogonal to the input.
    edges = sorted((math.atan2(y, x) + turn * math.pi / 2) % (2 * math.pi) for x, y in rows for turn in (1, 3))
    sectors = []
    for start, end in itertools.pairwise([*edges, edges[0] + 2 * math.pi]):
        along = (math.cos((start + end) / 2), math.sin((start + end) / 2))
        slopes = [weight * (1.0 if _dot(row, along) > 0 else LEAK) for weight, row in zip(top, rows, strict=True)]
        gradient = [_dot(slopes, column) for column in zip(*rows, strict=True)]
        sectors.append((end - start, _dot(gradient, gradient)))
    return sectors


# --- Gaussians ------------------------------------------------------------------------------------------------------


def steepness(which: str) -> float:
    """The largest gradient of a critic outside of the mass over that within: Figure 6."""
    from bench_core.planar import Planar

    scene = Planar(every=1) if which == "sobolev" else Planar()
    within, outside = scene.steepest(scene.sobolev() if which == "sobolev" else scene.gcmmd())
    return outside / within


def rank_correlation() -> float:
    """Of the optimised Scaled and Gradient-Constrained MMDs over the map of Figure 7."""
    from scipy.stats import spearmanr

    from bench_core.gaussian_map import distances

    maps = distances()
    scaled, constrained = (maps[f"{name}, optimised"].flatten().numpy() for name in ("SMMD", "GCMMD"))
    return float(spearmanr(scaled, constrained).statistic)


def flatness() -> float:
    """(largest - smallest) / largest MMD with the narrow kernel over mu, at sigma = 0.1, where |mu| > 1."""
    from bench_core.gaussian_map import FIXED, distances, means, sigmas

    row = distances()[f"MMD, ψ = {FIXED[1]:g}"][(sigmas() - 0.1).abs().argmin()]
    far = row[means().abs() > 1.0]
    return float((far.max() - far.min()) / far.max())


PAPER = "Arbel, Sutherland, Bińkowski, Gretton"
EXAMPLE = f"{PAPER}, Example 1 and Fig. 1 d"
THEOREM = f"{PAPER}, Theorem 1"
WIDTHS = f"{PAPER}, Appendix A.2.1"
FIGURE_6 = f"{PAPER}, Fig. 6"
FIGURE_7 = f"{PAPER}, Fig. 7"

QUANTITIES = (
    Quantity("dirac_mmd_near", "MMD of point masses 1e-6 apart, optimised over its width", EXAMPLE, optimised_mmd),
    Quantity("dirac_smmd_near", "SMMD of point masses 1e-6 apart, optimised", EXAMPLE, optimised_smmd),
    Quantity("dirac_lipmmd_near", "LipMMD of point masses 1e-6 apart, optimised", EXAMPLE, optimised_lipmmd),
    Quantity(
        "dirac_gcmmd_near",
        "GCMMD of point masses 1e-6 apart under the measure N(0, 10²), optimised",
        f"{PAPER}, Appendix B",
        optimised_gcmmd_wide,
    ),
    Quantity(
        "dirac_gcmmd_near_over_root",
        "Optimised GCMMD of point masses 1e-6 apart, over the root of θ over the density of N(0, 10²)",
        f"{PAPER}, Appendix B; the rate is ours",
        gcmmd_wide_over_root,
    ),
    Quantity(
        "dirac_gcmmd_target_near",
        "GCMMD of point masses 1e-6 apart under the measure P, optimised",
        EXAMPLE,
        optimised_gcmmd_target,
    ),
    Quantity(
        "dirac_sn_gradient",
        "Slope of the spectrally normalised MMD at θ = 20 over that of the SMMD",
        f"{PAPER}, Section 3.3",
        sn_gradient,
    ),
    Quantity(
        "smmd_above_gcmmd",
        f"Cases of {CASES} random ones in which SMMD exceeds GCMMD",
        f"{PAPER}, Proposition 4, eq. 7",
        smmd_above_gcmmd,
    ),
    Quantity(
        "lipmmd_above_wasserstein",
        f"Cases of {CASES // 4} random ones in which LipMMD exceeds the Wasserstein distance",
        f"{PAPER}, Section 3.1",
        lipmmd_above_wasserstein,
    ),
    Quantity(
        "lipmmd_over_wasserstein",
        "LipMMD over the Wasserstein distance of two samples on the line, λ = 1e-6",
        f"{PAPER}, Section 3.1",
        lambda: lipmmd_over_wasserstein(1e-6),
    ),
    Quantity(
        "theorem_1_printed",
        "SMMD over the bound of Theorem 1 as printed, for a network of three layers",
        THEOREM,
        theorem_1_printed,
    ),
    Quantity(
        "theorem_1_corrected",
        f"Largest SMMD over the bound of Theorem 1 with (κ/α)^L, in {CASES} random cases",
        THEOREM,
        theorem_1_corrected,
    ),
    Quantity(
        "condition_gradient",
        "E‖∇φ‖² of the first network of Appendix A.2.1 near its limit",
        WIDTHS,
        lambda: mean_gradient("condition"),
    ),
    Quantity(
        "condition_lipschitz",
        "Squared Lipschitz constant of that network over 2 (1 - γ)²",
        WIDTHS,
        lambda: lipschitz_constant("condition") / (2 * (1 - LEAK) ** 2),
    ),
    Quantity(
        "widths_gradient",
        "E‖∇φ‖² of the second network of Appendix A.2.1 near its limit",
        WIDTHS,
        lambda: mean_gradient("widths"),
    ),
    Quantity(
        "widths_lipschitz",
        "Squared Lipschitz constant of that network over (1 - γ)²",
        WIDTHS,
        lambda: lipschitz_constant("widths") / (1 - LEAK) ** 2,
    ),
    Quantity(
        "sobolev_steepness",
        "Largest gradient of the Sobolev critic outside of the mass over that within",
        FIGURE_6,
        lambda: steepness("sobolev"),
    ),
    Quantity(
        "gcmmd_steepness",
        "Largest gradient of the GCMMD critic outside of the mass over that within",
        FIGURE_6,
        lambda: steepness("constrained"),
    ),
    Quantity(
        "map_rank_correlation",
        "Rank correlation of optimised SMMD and GCMMD between Gaussians on the line",
        FIGURE_7,
        rank_correlation,
    ),
    Quantity(
        "map_flatness",
        "Relative range of the MMD with the narrow kernel where |μ| > 1, at σ = 0.1",
        FIGURE_7,
        flatness,
    ),
)


@hookimpl
def bench_register_quantities() -> list[Quantity]:
    # Fresh ones: a quantity keeps its outcome, and one load of the plugins is one command.
    return [Quantity(each.name, each.about, each.source, each.compute) for each in QUANTITIES]
