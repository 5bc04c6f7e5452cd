"""Two point masses and a linear critic, in closed form: what the losses of MMD GANs look like where nothing is random.

Arbel, Sutherland, Bińkowski and Gretton, "On gradient regularizers for MMD GANs", Example 1 and Appendix B: P is a
point mass at 0, Q one at theta, the critic is phi(x) = psi x and the kernel K(a, b) = exp(-(a - b)² / 2). All functions
take tensors theta and psi that broadcast, in float64, and are differentiable.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from bench_core.constrained import Constraint

Loss = Callable[["Tensor", "Tensor"], "Tensor"]
"""A function of theta and psi."""

WIDE = 10.0
"""Standard deviation of the measure of the Gradient-Constrained MMD in Appendix B."""
WIDE_DENSITY = 1 / (WIDE * math.sqrt(2 * math.pi))
"""Its density at 0."""


@dataclass(frozen=True)
class Game:
    """What two players want: theta descends ``generator``, psi ascends ``critic``."""

    generator: Loss
    critic: Loss

    def field(self, theta: Tensor, psi: Tensor) -> tuple[Tensor, Tensor]:
        """The direction in which both move, (-d generator / d theta, d critic / d psi), each of the common shape."""
        import torch

        theta, psi = (each.clone().requires_grad_() for each in _together(theta, psi))
        (down,) = torch.autograd.grad(self.generator(theta, psi).sum(), theta)
        (up,) = torch.autograd.grad(self.critic(theta, psi).sum(), psi)
        return -down, up

    def path(self, theta: Tensor, psi: Tensor, lr: float, steps: int) -> tuple[Tensor, Tensor]:
        """Simultaneous gradient steps from ``theta`` and ``psi`` ``(...)``: each ``(steps + 1, ...)``."""
        import torch

        places = [(theta, psi)]
        for _ in range(steps):
            down, up = self.field(*places[-1])
            places.append((places[-1][0] + lr * down, places[-1][1] + lr * up))
        thetas, psis = zip(*places, strict=True)
        return torch.stack(thetas), torch.stack(psis)


# --- discrepancies --------------------------------------------------------------------------------------------------


def mmd2(theta: Tensor, psi: Tensor) -> Tensor:
    """MMD² = 2 (1 - exp(-psi² theta² / 2)): Example 1."""
    return -2 * (-0.5 * (psi * theta).square()).expm1()


def witness_slope(t: Tensor, theta: Tensor, psi: Tensor) -> Tensor:
    """Derivative at t of the witness K(0, psi t) - K(psi theta, psi t)."""
    square = psi.square()

    def slope(distance: Tensor) -> Tensor:
        return -square * distance * (-0.5 * square * distance.square()).exp()

    return slope(t) - slope(t - theta)


def smmd2(theta: Tensor, psi: Tensor, lam: float = 1.0) -> Tensor:
    """Scaled MMD² = MMD² / (lambda + 1 + psi²), whatever the measure: Proposition 4."""
    return mmd2(theta, psi) / (lam + 1 + psi.square())


def optimised_smmd(theta: Tensor, lam: float = 1.0) -> tuple[Tensor, Tensor]:
    """The supremum over psi of the Scaled MMD (not squared) and the psi that attains it, at theta other than 0.

    With c = 1 + lambda and b = theta²/2 it is |theta| exp(-u/2) at psi = sqrt(u/b), where exp(u) - 1 - u = b c. (The
    root is -(1 + b c) - W₋₁(-exp(-(1 + b c))) with the lower branch of Lambert's function, but that cancels near 0.)
    """
    import torch

    b = theta.square() / 2
    goal = b * (1 + lam)
    u = torch.minimum((2 * goal).sqrt(), 2 * (2 + goal).log())  # above the root, from where Newton's method descends
    for _ in range(60):
        u = u - (u.expm1() - u - goal) / u.expm1()
    return theta.abs() * (-u / 2).exp(), (u / b).sqrt()


def gcmmd2_at_target(theta: Tensor, psi: Tensor, lam: float = 1.0) -> Tensor:
    """Gradient-Constrained MMD² whose measure is the point mass P: Proposition 3."""
    square = psi.square()
    drop = -(-0.5 * square * theta.square()).expm1()  # 1 - E
    pull = square.square() * theta.square() * (1 - drop).square()
    return (2 * drop - drop.square() / (1 + lam) - pull / (square + lam)) / lam


def gcmmd2_wide(theta: Tensor, psi: Tensor, lam: float = 1.0) -> Tensor:
    """Gradient-Constrained MMD² with the measure N(0, 10²) of Appendix B.

    By a trapezoidal rule, which is exact to four digits as long as 1/psi is at least 0.5.
    """

    from bench_core.discrepancies import gcmmd2
    from bench_core.kernels import Gaussian

    theta, psi = _together(theta, psi)
    nodes, weights = _wide_measure(theta.dtype)
    target, model = _pair(theta)
    return gcmmd2(target, model, Gaussian(psi.square().reciprocal()), mu=nodes, weights=weights, lam=lam)


def _wide_measure(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Nodes ``(160, 1)`` and weights of N(0, 10²), over 3.5 standard deviations on each side."""
    import torch

    nodes = torch.linspace(-3.5 * WIDE, 3.5 * WIDE, 160, dtype=dtype)[:, None]
    return nodes, (-0.5 * (nodes[:, 0] / WIDE).square()).softmax(0)


def lipmmd2(theta: Tensor, psi: Tensor, lam: float = 1.0, points: int = 201, tolerance: float = 1e-4) -> Tensor:
    """Lipschitz MMD², with the constraint at ``points`` places from 0 to theta and two widths beyond, the middle among
    them: there the slope is largest for flat enough kernels, and outside of the masses for narrow ones."""

    from bench_core.discrepancies import lipmmd
    from bench_core.kernels import Gaussian

    theta, psi = _together(theta, psi)
    target, model = _pair(theta)
    places = _places(theta.detach(), psi.detach(), points)
    kernel = Gaussian(psi.square().reciprocal())
    return lipmmd(target, model, kernel, places, lam=lam, tolerance=tolerance).value.square()


def _places(theta: Tensor, psi: Tensor, points: int) -> Tensor:
    """Where the slope of the Lipschitz MMD's critic is bounded, ``(..., points, 1)``."""
    import torch

    side = torch.linspace(-1.0, 1.0, points, dtype=theta.dtype)
    half = theta.abs() / 2 + 2 / psi
    return (theta[..., None] / 2 + half[..., None] * side)[..., None]


def _together(theta: Tensor, psi: Tensor) -> tuple[Tensor, Tensor]:
    """Both in their common shape."""
    return theta + 0 * psi, psi + 0 * theta


def _pair(theta: Tensor) -> tuple[Tensor, Tensor]:
    """The two point masses as samples of one point, ``(..., 1, 1)`` each."""
    model = theta[..., None, None]
    return model.new_zeros(model.shape), model


# --- the losses of Figure 5 -----------------------------------------------------------------------------------------


def games(penalty: float = 1.0, lam: float = 1.0) -> Mapping[str, Game]:
    """The losses of eq. 28 by name. The text does not say the weight of the penalties; they act on the witness."""

    def penalised(term: Loss) -> Game:
        return Game(mmd2, lambda theta, psi: mmd2(theta, psi) - penalty * term(theta, psi))

    def alone(loss: Loss) -> Game:
        return Game(loss, loss)

    return {
        "MMD": alone(mmd2),
        "MMD-GP": penalised(_gp),
        "MMD-GP-Unif": penalised(_gp_between),
        "SN-MMD": Game(lambda theta, psi: 2 * mmd2(theta, psi.new_ones(psi.shape)), lambda theta, psi: 0 * psi),
        "Sobolev-MMD": penalised(lambda theta, psi: (_mean_square(theta, psi) - 1).square()),
        "CenteredSobolev-MMD": penalised(lambda theta, psi: _mean_square(theta, psi).square()),
        "LipMMD": alone(partial(lipmmd2, lam=lam, points=51)),
        "GC-MMD": alone(partial(gcmmd2_wide, lam=lam)),
        "SMMD": alone(partial(smmd2, lam=lam)),
    }


def _gp(theta: Tensor, psi: Tensor) -> Tensor:
    return (witness_slope(0 * theta, theta, psi).abs() - 1).square()


def _gp_between(theta: Tensor, psi: Tensor) -> Tensor:
    """The same, on average over the way from 0 to theta (Gauss-Legendre)."""
    import numpy as np
    import torch

    nodes, weights = (torch.from_numpy(each) for each in np.polynomial.legendre.leggauss(64))
    theta, psi = theta[..., None], psi[..., None]
    slope = witness_slope(theta * (nodes + 1) / 2, theta, psi)
    return ((slope.abs() - 1).square() * weights / 2).sum(-1)


def _mean_square(theta: Tensor, psi: Tensor) -> Tensor:
    """Mean over P and Q of the squared slope of the witness, which is the same at both."""
    return witness_slope(0 * theta, theta, psi).square()


# --- optimised over the critic --------------------------------------------------------------------------------------


def optimised(theta: Tensor) -> Mapping[str, Tensor]:
    """Distances (not squared) of the point masses at 0 and at theta > 0, each with its best psi: name -> ``(k,)``."""
    import torch

    return {
        "MMD": torch.full_like(theta, math.sqrt(2.0)),
        "SMMD": optimised_smmd(theta)[0],
        "GCMMD, μ = N(0, 10²)": torch.tensor([optimised_gcmmd_wide(float(each))[0] for each in theta]),
        "LipMMD": torch.cat([optimised_lipmmd(each)[0] for each in theta[:, None]]),
        "Wasserstein": theta,
    }


def critics(theta: float, t: Tensor) -> Mapping[str, Tensor]:
    """Critics between point masses at 0 and at theta, up to their size: name -> values at ``t`` ``(k,)``.

    The MMD's has no best psi, as narrower is always better. The others are at their best psi.
    """
    import torch

    from bench_core.discrepancies import lipmmd
    from bench_core.kernels import Gaussian

    place = torch.tensor(theta, dtype=torch.float64)

    def witness(psi: float) -> Tensor:
        return (-0.5 * (psi * t).square()).exp() - (-0.5 * (psi * (t - place)).square()).exp()

    def constrained(psi: float, nodes: Tensor, values: Tensor, gradients: Tensor) -> Tensor:
        constraint, squared, eta = _constrained(theta, psi, nodes, values, gradients)
        return constraint.critic(t[:, None], eta(nodes), eta(t[:, None])[0], constraint.distance(squared, *eta(nodes)))

    scaled = float(optimised_smmd(place[None])[1])
    wide = optimised_gcmmd_wide(theta)[1]
    lipschitz = float(optimised_lipmmd(place[None])[1])
    target, model = _pair(place)
    between = _places(place, torch.tensor(lipschitz, dtype=torch.float64), 201)
    dual = lipmmd(target, model, Gaussian(lipschitz**-2), between).weights
    nodes, weights = _nodes(theta, wide)
    return {
        "MMD, 1/ψ = 0.3": witness(1 / 0.3),
        "MMD, 1/ψ = 1": witness(1.0),
        f"SMMD, 1/ψ = {1 / scaled:.2g}": witness(scaled),
        f"GCMMD, 1/ψ = {1 / wide:.2g}": constrained(wide, nodes, weights, weights),
        f"LipMMD, 1/ψ = {1 / lipschitz:.2g}": constrained(lipschitz, between, torch.zeros_like(dual), dual),
    }


def optimised_lipmmd(theta: Tensor) -> tuple[Tensor, Tensor]:
    """The supremum over psi of the Lipschitz MMD (not squared) and the psi that attains it, for theta other than 0.

    1/psi is at least a tenth of theta, which leaves twenty of the points to a width. Narrower kernels gain little.
    """
    from bench_core.discrepancies import optimised as supremum

    high = 10 / float(theta.abs().max())
    # Absolute, while the distance goes to 0 with theta; the solver gives no more than some 1e-8.
    tolerance = min(1e-4, max(5e-8, 1e-3 * float(theta.abs().min())))
    found = supremum(lambda psi: lipmmd2(theta, psi, tolerance=tolerance), high / 1000, high, points=32, tolerance=1e-3)
    return found.value.clamp(min=0).sqrt(), found.argument


def optimised_gcmmd_wide(theta: float) -> tuple[float, float]:
    """The supremum over psi of the Gradient-Constrained MMD (not squared) with the measure N(0, 10²), and its psi.

    The best critic is flat beyond a unit from the masses. Where these are no more than a unit apart the measure is
    taken to have its density at 0 everywhere, which changes less than a thousandth, and the kernel may be as narrow as
    it likes. Near 0 the supremum is sqrt(theta / density), that of a Sobolev norm.
    """
    exponents = range(-8, math.ceil(8 * math.log10(100 / abs(theta)))) if abs(theta) <= 1 else range(-16, 8)
    distance: Callable[[float, float], float] = gcmmd_uniform if abs(theta) <= 1 else gcmmd_wide
    return max((distance(theta, psi), psi) for psi in (10 ** (exponent / 8) for exponent in exponents))


def gcmmd_uniform(theta: float, psi: float, lam: float = 1.0, density: float = WIDE_DENSITY) -> float:
    """The Gradient-Constrained MMD (not squared) whose measure has the same density on all of the line.

    All three terms of the constraint are then multiples of the critic's Fourier transform at each frequency w, by
    density (1 + w²) + lam / k(w) where k is the transform of the kernel, and the supremum is that of a weighted norm.
    """
    import torch

    frequency = torch.logspace(-4, math.log10(12 * psi), 20_001, dtype=torch.float64)
    of_kernel = math.sqrt(2 * math.pi) / psi * (-0.5 * (frequency / psi).square()).exp()
    pair = 4 * (frequency * theta / 2).sin().square()  # |1 - exp(i w theta)|²
    integrand = pair / (density * (1 + frequency.square()) + lam / of_kernel)
    return math.sqrt(float(torch.trapezoid(integrand, frequency)) / math.pi)


def gcmmd_wide(theta: float, psi: float, lam: float = 1.0) -> float:
    """The Gradient-Constrained MMD (not squared) with the measure N(0, 10²), where 1/psi is a tenth or more."""
    nodes, weights = _nodes(theta, psi)
    constraint, squared, eta = _constrained(theta, psi, nodes, weights, weights, lam)
    return float(constraint.distance(squared, *eta(nodes)))


def _nodes(theta: float, psi: float) -> tuple[Tensor, Tensor]:
    """Nodes ``(M, 1)`` and weights ``(M,)`` of N(0, 10²), as far as a critic reaches, four to a width."""
    import torch

    reach = min(8 + 8 / psi, 4 * WIDE)
    low, high = min(0.0, theta) - reach, max(0.0, theta) + reach
    nodes = torch.linspace(low, high, max(100, math.ceil(4 * psi * (high - low))), dtype=torch.float64)
    weights = WIDE_DENSITY * (-0.5 * (nodes / WIDE).square()).exp() * (nodes[1] - nodes[0])
    return nodes[:, None], weights


def _constrained(
    theta: float, psi: float, nodes: Tensor, values: Tensor, gradients: Tensor, lam: float = 1.0
) -> tuple[Constraint, Tensor, Callable[[Tensor], tuple[Tensor, Tensor]]]:
    """A constraint, MMD², and the difference of the kernel means with its gradient at given places."""
    import torch

    from bench_core.constrained import Constraint, Normal
    from bench_core.kernels import Gaussian

    place = torch.tensor([theta], dtype=torch.float64)
    laws = [Normal(mean, mean.new_zeros(())) for mean in (torch.zeros_like(place), place)]

    def eta(where: Tensor) -> tuple[Tensor, Tensor]:
        (p, p_slope), (q, q_slope) = (law.kernel_mean(where, psi**-2) for law in laws)
        return p - q, p_slope - q_slope

    squared = mmd2(place[0], torch.tensor(psi, dtype=torch.float64))
    return Constraint(Gaussian(psi**-2), nodes, values, gradients, lam), squared, eta
