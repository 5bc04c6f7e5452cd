"""What is said of the population MMD of Gaussians and of a mixture of two, computed.

Alon, Globerson and Wiesel, "On the Optimization Landscape of Maximum Mean Discrepancy", Section 3. The numbers are for
the setting of their experiments as far as it is known: the width σ² = 10 (Tables 2 to 6) and the noise of Section 4.2.
They do not state dimension and truth; here d = 10, as in the suites, and every entry of the truth is 1, so that its
norm is that of a typical standard normal one. Starts of descents are standard normal.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bench_core import hookimpl
from bench_core.quantities import Quantity

if TYPE_CHECKING:
    from bench_core.landscape import GaussianCov, GaussianMean, GMMMean

D = 10
WIDTH = 10.0
"""σ² of the kernel."""
EPSILON = 1e-5
"""Standard deviation of the noise around the direction of a rank-one covariance."""
STARTS = 1000
PATHS = 50
"""Descents whose speed is looked at along the whole path."""
EXACT = 0.99 * math.sqrt(WIDTH + 2)
"""Just inside the radius r with r² = σ² + 2, up to which the MMD of a Gaussian of unit covariance is convex."""
PRINTED = WIDTH / 2
"""The largest radius r with σ² ≥ 2r, for which the paper states strong convexity."""


def _mean() -> GaussianMean:
    from bench_core.landscape import GaussianMean

    return GaussianMean([1.0] * D, WIDTH)


def _gmm(entry: float = 1.0) -> GMMMean:
    from bench_core.landscape import GMMMean

    return GMMMean([entry] * D, WIDTH)


def _cov(d: int) -> GaussianCov:
    from bench_core.landscape import GaussianCov

    return GaussianCov([1.0] * d, WIDTH, EPSILON)


def _curvature(radius: float) -> float:
    from bench_core.landscape import smallest_curvature

    return smallest_curvature(_mean(), radius)


def _linearity(radius: float) -> float:
    from bench_core.landscape import convergence_linearity

    return convergence_linearity(_mean(), radius, starts=PATHS)


def _slope(radius: float) -> float:
    from bench_core.landscape import convergence_slope

    return convergence_slope(_mean(), radius, starts=PATHS)


def _gmm_share() -> float:
    from bench_core.landscape import share_recovered

    return share_recovered(_gmm(), starts=STARTS)


def _gmm_gradient(share: float) -> float:
    from bench_core.landscape import theorem_3_gradient

    return theorem_3_gradient(_gmm(), share)


def _gmm_origin(entry: float) -> float:
    from bench_core.landscape import origin_over_infinity

    return origin_over_infinity(_gmm(entry))


def _gmm_saddle() -> float:
    from bench_core.landscape import saddle_curvature

    return saddle_curvature(_gmm())


def _figure_3_slope(at: float) -> float:
    from bench_core.landscape import figure_3_slope

    return figure_3_slope(at)


def _figure_3_count() -> float:
    from bench_core.landscape import figure_3_stationary_points

    return figure_3_stationary_points()


def _cov_share(d: int) -> float:
    from bench_core.landscape import share_recovered

    return share_recovered(_cov(d), starts=STARTS)


def _cov_saddle(d: int) -> float:
    from bench_core.landscape import saddle_curvature

    return saddle_curvature(_cov(d))


PAPER = "Alon, Globerson, Wiesel"
REMARK = f"{PAPER}, remark after Theorem 1"
EQ_15 = f"{PAPER}, Theorem 3, eq. 15"
FIGURE_3 = f"{PAPER}, Fig. 3"
EQ_8 = f"{PAPER}, Theorem 2, eq. 8"

MEAN = (
    Quantity(
        "mean_curvature",
        "Smallest eigenvalue of the Hessian of the MMD of a Gaussian mean within a radius r, r² just below σ² + 2",
        REMARK,
        lambda: _curvature(EXACT),
    ),
    Quantity(
        "mean_curvature_printed",
        "Smallest eigenvalue of the Hessian of the MMD of a Gaussian mean within the radius r = σ²/2",
        REMARK,
        lambda: _curvature(PRINTED),
    ),
    Quantity(
        "mean_linearity",
        "Smallest R² of log error against steps of gradient descent from within a radius r, r² just below σ² + 2",
        REMARK,
        lambda: _linearity(EXACT),
    ),
    Quantity(
        "mean_linearity_printed",
        "Smallest R² of log error against steps of gradient descent from within the radius r = σ²/2",
        REMARK,
        lambda: _linearity(PRINTED),
    ),
    Quantity(
        "mean_slope",
        "Largest slope of log error against steps of gradient descent from within a radius r, r² just below σ² + 2",
        REMARK,
        lambda: _slope(EXACT),
    ),
    Quantity(
        "mean_slope_printed",
        "Largest slope of log error against steps of gradient descent from within the radius r = σ²/2",
        REMARK,
        lambda: _slope(PRINTED),
    ),
)
GMM = (
    Quantity(
        "gmm_share_recovered",
        f"Share of {STARTS} descents on the population MMD of a mixture of two Gaussians that reach ±μ*",
        f"{PAPER}, Theorem 3",
        _gmm_share,
    ),
    Quantity(
        "gmm_gradient_printed",
        "Norm of the gradient of the mixture's MMD where μ'Aμ* = 0 and μ'Aμ = μ*'Aμ*",
        EQ_15,
        lambda: _gmm_gradient(1.0),
    ),
    Quantity(
        "gmm_gradient_third",
        "Norm of the gradient of the mixture's MMD where μ'Aμ* = 0 and μ'Aμ = μ*'Aμ*/3",
        EQ_15,
        lambda: _gmm_gradient(1 / 3),
    ),
    Quantity(
        "gmm_saddle_curvature",
        "Smallest eigenvalue of the Hessian of the mixture's MMD at its saddles",
        f"{PAPER}, Theorem 3, eq. 20",
        _gmm_saddle,
    ),
    Quantity(
        "gmm_origin",
        "The mixture's MMD² at 0 over its limit far away, for means of norm √d",
        f"{PAPER}, Theorem 3",
        lambda: _gmm_origin(1.0),
    ),
    Quantity(
        "gmm_origin_far",
        "The mixture's MMD² at 0 over its limit far away, for means of norm 2√d, where exp(-μ*'Aμ*/2) < 1/4",
        f"{PAPER}, Theorem 3",
        lambda: _gmm_origin(2.0),
    ),
    Quantity(
        "figure_3_slope",
        "Derivative of the mixture's MMD² at μ = 8.5 for μ* = 25 and σ² = 10",
        FIGURE_3,
        lambda: _figure_3_slope(8.5),
    ),
    Quantity(
        "figure_3_slope_left",
        "Derivative of the mixture's MMD² at μ = -8.5 for μ* = 25 and σ² = 10",
        FIGURE_3,
        lambda: _figure_3_slope(-8.5),
    ),
    Quantity(
        "figure_3_stationary_points",
        "Stationary points of the mixture's MMD² strictly between 0 and μ* = 25 for σ² = 10",
        FIGURE_3,
        _figure_3_count,
    ),
)
COV = (
    Quantity(
        "cov_share_recovered_2",
        f"Share of {STARTS} descents on the population MMD of a rank-one covariance that reach ±a*, d = 2",
        f"{PAPER}, Theorem 2",
        lambda: _cov_share(2),
    ),
    Quantity(
        "cov_share_recovered_10",
        f"Share of {STARTS} descents on the population MMD of a rank-one covariance that reach ±a*, d = 10",
        f"{PAPER}, Theorem 2",
        lambda: _cov_share(10),
    ),
    Quantity(
        "cov_saddle_curvature_2",
        "Smallest eigenvalue of the Hessian of a rank-one covariance's MMD at the saddle of eq. 8, d = 2",
        EQ_8,
        lambda: _cov_saddle(2),
    ),
    Quantity(
        "cov_saddle_curvature_10",
        "Smallest eigenvalue of the Hessian of a rank-one covariance's MMD at the saddle of eq. 8, d = 10",
        EQ_8,
        lambda: _cov_saddle(10),
    ),
)


@hookimpl
def bench_register_quantities() -> list[Quantity]:
    # Fresh ones: a quantity keeps its outcome, and one load of the plugins is one command.
    return [Quantity(each.name, each.about, each.source, each.compute) for each in (*MEAN, *GMM, *COV)]
