"""Population MMD^2 between a model and itself at the true parameter: values, derivatives and stationary points.

Alon, Globerson, Wiesel, "On the Optimization Landscape of Maximum Mean Discrepancy", Section 3: Theorem 1
(:class:`GaussianMean`), 2 (:class:`GaussianCov`) and 3 (:class:`GMMMean`), with the kernel exp(-r^2 / (2 bandwidth)).
Both samples are infinite, so nothing here is random but the starts of a descent.

The printed formulas subtract numbers of order 1 that differ by the squared error. Here every value is a sum of terms
that are not negative, and every gradient a sum of terms that vanish with the error: digits do not get lost near the
truth, which lets a descent be followed to the end. The factor common to all terms, exponentially small in the
dimension, is kept apart as its logarithm.

At the end stand the numbers that the statements of the paper are about, one function each.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Descent",
    "GMMMean",
    "GaussianCov",
    "GaussianMean",
    "Landscape",
    "StationaryPoint",
    "convergence_linearity",
    "convergence_slope",
    "figure_3_slope",
    "figure_3_stationary_points",
    "inflection_points",
    "origin_over_infinity",
    "saddle_curvature",
    "share_recovered",
    "smallest_curvature",
    "stationary_points_between",
    "theorem_3_gradient",
]

Kind = Literal["minimum", "maximum", "saddle", "degenerate", "regular"]

FLAT = 1e-6
"""Curvature below this share of the largest at the same point counts as none."""
ROUNDING = 1e-12
"""Less than this share of what it is compared to is rounding, in what is computed here or given."""
STRIDE = 0.25
"""Longest step of a descent, in lengths of the landscape: it leaps over nothing."""
LOSS, TURN = 0.5, 0.9
"""Least slope that a step may end with, as a share of the first, and least cosine of the two gradients. Where a
quadratic bowl asks for the former, the latter holds by itself: it is at least 8^(1/2) / 3."""
GROWTH, SHRINKAGE = 1.5, 0.5
"""What the rate of a descent is multiplied by after a step that was taken, and one that was too long."""
RATE = 0.1
"""Constant rate of the descents of Theorem 1's remark, in units of 1 / L: much larger ones converge faster than
linearly, for the rate 1 / L makes a Newton step where Sigma is isotropic."""
FIT_DEPTH, FIT_STEPS = 1e-8, 2000
"""Share of the first error, and number of steps, at which such a descent has been seen for long enough."""
FIGURE_3 = (25.0, 10.0)
"""mu* and bandwidth of the curve of Fig. 3 that has shoulders; the variance, which is not stated, is taken to be 1."""


@dataclass(frozen=True, eq=False)
class StationaryPoint:
    """A point, and what the second derivatives say about it."""

    point: Tensor
    """Shape ``(d,)``; of a family, one member."""
    kind: Kind
    """``maximum`` means a local one. ``degenerate``: second derivatives do not tell; ``regular``: not stationary."""
    eigenvalues: Tensor
    """Of the Hessian, ascending, shape ``(d,)``."""
    flat: int
    """How many of them are zero."""
    gradient_norm: float
    family: int = 0
    """Dimension of the manifold of equivalent stationary points; 0 for one that is isolated."""
    name: str = ""
    doc: str = ""


@dataclass(frozen=True, eq=False)
class Descent:
    """Where n descents ended."""

    ends: Tensor
    """Shape ``(n, d)``."""
    values: Tensor
    """MMD^2 there, shape ``(n,)``."""
    gradient_norms: Tensor
    """Shape ``(n,)``."""
    taken: Tensor
    """Steps that moved, shape ``(n,)``."""
    settled: Tensor
    """True where the descent ended by itself rather than with the last step, shape ``(n,)``."""
    errors: Tensor | None = None
    """Distances from the truth at first and after each gradient that was computed, ``(k, n)``, if recorded."""
    path_values: Tensor | None = None
    """MMD^2 along the path, shape ``(k, n)``, if recorded."""


class Landscape(ABC):
    """Population MMD^2 as a function of the parameter; does not change once made.

    Args:
        truth: the true parameter, shape ``(d,)``; kept in float64.
        bandwidth: sigma^2 of the kernel, positive, in squared units of the data.

    Raises:
        ValueError: an argument is not as described.
    """

    signed = True
    """False where a parameter and its negative give the same law."""

    def __init__(self, truth: Tensor | Sequence[float], bandwidth: float) -> None:
        import torch

        self._truth = torch.as_tensor(truth, dtype=torch.float64).detach().clone()
        if self._truth.dim() != 1 or len(self._truth) == 0 or not bool(self._truth.isfinite().all()):
            shape = tuple(self._truth.shape)
            raise ValueError(f"truth must be a vector of finite numbers, shape (d,), got shape {shape}: {truth!r}")
        self._bandwidth = _number("bandwidth", bandwidth, positive=True)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(d={self.d}, bandwidth={self.bandwidth:g})"

    @property
    def truth(self) -> Tensor:
        """The true parameter, shape ``(d,)``."""
        return self._truth

    @property
    def bandwidth(self) -> float:
        """sigma^2 of the kernel."""
        return self._bandwidth

    @property
    def d(self) -> int:
        """Dimension of the parameter and of the data."""
        return len(self._truth)

    # ---- what a model states, in units of exp(log_scale) -------------------------------------------------------------

    @property
    @abstractmethod
    def log_scale(self) -> float:
        """Logarithm of the factor that all terms share: E k(X, X') where the parameter is 0."""

    @property
    @abstractmethod
    def length(self) -> float:
        """Distance over which the landscape changes, in units of the parameter."""

    def _reach(self, theta: Tensor) -> Tensor:
        """Return the length at each of ``(..., d)``, which may be larger than elsewhere, shape ``(...)``."""
        return theta.new_full(theta.shape[:-1], self.length)

    @property
    @abstractmethod
    def _bound(self) -> float:
        """Largest norm that the Hessian can have, or more."""

    @property
    @abstractmethod
    def _infinity(self) -> float:
        """Limit of the value far away, the same in all directions."""

    @abstractmethod
    def _value(self, theta: Tensor) -> Tensor: ...

    @abstractmethod
    def _gradient(self, theta: Tensor) -> Tensor: ...

    @abstractmethod
    def _hessian(self, theta: Tensor) -> Tensor: ...

    @abstractmethod
    def stationary_points(self) -> list[StationaryPoint]:
        """Return all stationary points, a family by one member, the truth first."""

    # ---- what follows ------------------------------------------------------------------------------------------------

    def value(self, theta: Tensor | Sequence[float]) -> Tensor:
        """Return MMD^2 at ``(..., d)``, shape ``(...)``: never negative, and 0 at the truth."""
        return self._value(self._checked(theta)) * math.exp(self.log_scale)

    def log_value(self, theta: Tensor | Sequence[float]) -> Tensor:
        """Return log MMD^2 at ``(..., d)``, shape ``(...)``, which is finite where a large d lets MMD^2 underflow."""
        return self._value(self._checked(theta)).log() + self.log_scale

    def gradient(self, theta: Tensor | Sequence[float]) -> Tensor:
        """Return the gradient of :meth:`value` at ``(..., d)``, shape ``(..., d)``."""
        return self._gradient(self._checked(theta)) * math.exp(self.log_scale)

    def hessian(self, theta: Tensor | Sequence[float]) -> Tensor:
        """Return the second derivatives of :meth:`value` at ``(..., d)``, shape ``(..., d, d)``."""
        return self._hessian(self._checked(theta)) * math.exp(self.log_scale)

    @property
    def smoothness(self) -> float:
        """A bound L on the norm of the Hessian everywhere: from almost all starts, gradient descent with a rate below
        1 / L converges to no saddle or maximum whose Hessian has a negative eigenvalue (Lee et al. 2016)."""
        return self._bound * math.exp(self.log_scale)

    @property
    def value_at_infinity(self) -> float:
        """Limit of MMD^2 far away, the same in all directions."""
        return self._infinity * math.exp(self.log_scale)

    def distance(self, theta: Tensor | Sequence[float]) -> Tensor:
        """Return the Euclidean distance of ``(..., d)`` from the truth, or its negative if nearer and equivalent."""
        theta = self._checked(theta)
        near: Tensor = (theta - self._truth).norm(dim=-1)
        return near if self.signed else near.minimum((theta + self._truth).norm(dim=-1))

    def recovered(self, theta: Tensor | Sequence[float], tolerance: float) -> Tensor:
        """Return whether each of ``(..., d)`` is within ``tolerance``, bool ``(...)``; see ``distance``."""
        return self.distance(theta) <= _number("tolerance", tolerance)

    def classify(self, theta: Tensor | Sequence[float], *, tolerance: float = 1e-6) -> StationaryPoint:
        """Return what gradient and Hessian say about the point ``theta``, shape ``(d,)``.

        It counts as stationary where the gradient is what a displacement by ``tolerance`` lengths makes of the largest
        curvature found there: a small gradient alone says nothing where the whole landscape is flat.
        """
        import torch

        theta = self._checked(theta)
        if theta.dim() != 1:
            raise ValueError(f"theta must be one point, shape ({self.d},), got shape {tuple(theta.shape)}")
        norm = float(self._gradient(theta).norm())
        eigenvalues = torch.linalg.eigvalsh(self._hessian(theta))  # ascending
        largest = float(eigenvalues.abs().max())
        up, down = (int((sign * eigenvalues > FLAT * largest).sum()) for sign in (1, -1))
        flat = self.d - up - down
        kind: Kind
        if norm > tolerance * largest * self.length:
            kind = "regular"
        elif up and down:
            kind = "saddle"
        else:
            kind = "degenerate" if flat else "minimum" if up else "maximum"
        scale = math.exp(self.log_scale)
        return StationaryPoint(theta.detach().clone(), kind, eigenvalues * scale, flat, norm * scale)

    def descend(
        self,
        starts: Tensor,
        *,
        lr: float | None = None,
        steps: int = 5000,
        tolerance: float = 1e-9,
        record: bool = False,
    ) -> Descent:
        """Follow the negative gradient, without momentum and in float64, from each of ``(n, d)``.

        With ``lr`` this is gradient descent with that constant rate, and takes all the steps. Such a rate must be below
        2 / L for the steepest place (see ``smoothness``), which gets nowhere from where gradients are exponentially
        small.

        Without, every start has a rate of its own. A step, at most ``STRIDE`` lengths long, is taken if at its end the
        slope along it is at least half of what it was, and the gradient has hardly turned; then the next one may be
        longer. Else it is not taken, and the next is half as long. The path is thus close to that of the gradient flow,
        run at another speed: where gradients are exponentially small the rate is exponentially large. Small enough
        steps always pass, so that a descent rests in stationary points only. The test looks at gradients since
        differences of values drown in rounding on a plateau. A descent has settled when a step of less than
        ``tolerance`` lengths is too long, which puts a stationary point within about that distance; or where the
        gradient is zero, exactly or by underflow.

        Args:
            starts: shape ``(n, d)``.
            lr: constant rate, in units of parameter^2 per unit of MMD^2; None: as told above.
            steps: largest number of gradients to compute per start.
            tolerance: in lengths of the landscape.
            record: keep errors and values along the path.

        Raises:
            ValueError: an argument is not as described.
        """
        import torch

        theta = self._checked(starts).detach().clone()
        if theta.dim() != 2:
            raise ValueError(f"starts must have shape (n, {self.d}), got {tuple(theta.shape)}")
        if not bool(theta.isfinite().all()):
            raise ValueError("starts must be finite")
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
            raise ValueError(f"steps must be a whole number, 0 or more, got {steps!r}")
        shortest = _number("tolerance", tolerance, positive=True) * self.length
        scale = math.exp(self.log_scale)

        gradient = self._gradient(theta)  # (n, d)
        norm = gradient.norm(dim=-1)  # (n,)
        if lr is None:
            rate = STRIDE * self._reach(theta) / norm  # (n,)
        else:
            rate = torch.full_like(norm, _number("lr", lr, positive=True) * scale)
        taken = torch.zeros_like(norm, dtype=torch.int64)
        settled = norm == 0
        errors, values = [self.distance(theta)], [self._value(theta) * scale]
        for _ in range(steps):
            if bool(settled.all()):
                break
            if lr is None:
                rate = rate.minimum(STRIDE * self._reach(theta) / norm)
            proposal = theta - rate.unsqueeze(-1) * gradient
            slope = self._gradient(proposal)
            along = (slope * gradient).sum(-1) / norm
            passed = (along >= LOSS * norm) & (along >= TURN * slope.norm(dim=-1)) if lr is None else ~settled
            moves = passed & ~settled
            settled = settled | (~passed & (rate * norm <= shortest))
            taken += moves
            theta = torch.where(moves.unsqueeze(-1), proposal, theta)
            gradient = torch.where(moves.unsqueeze(-1), slope, gradient)
            norm = gradient.norm(dim=-1)
            settled = settled | (norm == 0)
            if lr is None:
                rate = rate * torch.where(passed, GROWTH, SHRINKAGE)
            if record:
                errors.append(self.distance(theta))
                values.append(self._value(theta) * scale)
        return Descent(
            ends=theta,
            values=self._value(theta) * scale,
            gradient_norms=norm * scale,
            taken=taken,
            settled=settled,
            errors=torch.stack(errors) if record else None,
            path_values=torch.stack(values) if record else None,
        )

    def _checked(self, theta: Tensor | Sequence[float]) -> Tensor:
        import torch

        point = torch.as_tensor(theta, dtype=torch.float64)
        if point.dim() == 0 or point.shape[-1] != self.d:
            raise ValueError(f"theta must have shape (..., {self.d}), got {tuple(point.shape)}")
        return point

    def _known(self, point: Tensor, kind: Kind, name: str, doc: str, *, family: int = 0) -> StationaryPoint:
        """Return a stationary point that a theorem tells, with the numbers that belong to it."""
        found = self.classify(point)
        return StationaryPoint(
            found.point, kind, found.eigenvalues, family, found.gradient_norm, family=family, name=name, doc=doc
        )


class _Means(Landscape):
    """What the two models with an unknown mean share: distances are Mahalanobis ones, with A = (2 Sigma + s I)^-1."""

    def __init__(self, truth: Tensor | Sequence[float], bandwidth: float, covariance: Tensor | None = None) -> None:
        import torch

        super().__init__(truth, bandwidth)
        if covariance is None:
            self._variances, axes = torch.ones_like(self._truth), torch.eye(self.d, dtype=torch.float64)
        else:
            self._variances, axes = _spectrum(covariance, self.d)
        self._precision = axes / (2 * self._variances + self.bandwidth) @ axes.mT  # A, (d, d)

    @property
    def smallest_variance(self) -> float:
        """The smallest eigenvalue of Sigma."""
        return float(self._variances.min())

    @property
    def log_scale(self) -> float:
        return -0.5 * float((2 * self._variances / self.bandwidth).log1p().sum())

    @property
    def _sharpest(self) -> float:
        """The largest eigenvalue of A."""
        return 1 / (2 * self.smallest_variance + self.bandwidth)

    def _product(self, x: Tensor, y: Tensor) -> Tensor:
        """Return x'A y of ``(..., d)``, shape ``(...)``."""
        return (x @ self._precision * y).sum(-1)


class GaussianMean(_Means):
    """Theorem 1: N(mu, Sigma) with unknown mu. With A = (2 Sigma + s I)^-1 and q = (mu - mu*)'A(mu - mu*), eq. 3 is

    MMD^2 = 2 |I + 2 Sigma / s|^(-1/2) (1 - exp(-q / 2)),

    convex where q <= 1, and quasi-convex everywhere.

    Args:
        truth: mu*, shape ``(d,)``.
        bandwidth: s, the sigma^2 of the kernel.
        covariance: Sigma, shape ``(d, d)``, singular ones included; None: the identity.

    Example:
        >>> landscape = GaussianMean([0.0, 0.0], bandwidth=2.0)
        >>> round(landscape.value([0.0, 2.0]).item(), 12)  # q = 1
        0.393469340287
        >>> [point.kind for point in landscape.stationary_points()]
        ['minimum']
    """

    @property
    def length(self) -> float:
        return 1 / math.sqrt(self._sharpest)

    @property
    def _bound(self) -> float:
        return 2 * self._sharpest

    @property
    def _infinity(self) -> float:
        return 2.0

    def _value(self, theta: Tensor) -> Tensor:
        error = theta - self._truth
        return -2 * (-0.5 * self._product(error, error)).expm1()

    def _gradient(self, theta: Tensor) -> Tensor:
        error = theta - self._truth
        return 2 * (-0.5 * self._product(error, error)).exp().unsqueeze(-1) * (error @ self._precision)

    def _hessian(self, theta: Tensor) -> Tensor:
        error = theta - self._truth
        pull = error @ self._precision  # (..., d)
        height = (-0.5 * self._product(error, error)).exp()[..., None, None]
        return 2 * height * (self._precision - _outer(pull))

    def stationary_points(self) -> list[StationaryPoint]:
        """Return the truth, which is the only stationary point (Theorem 1)."""
        return [self._known(self._truth, "minimum", "truth", "mu = mu*, the global minimum")]


class GMMMean(_Means):
    """Theorem 3: N(mu, Sigma) or N(-mu, Sigma), each with probability 1/2, mu unknown and not 0.

    With A = (2 Sigma + s I)^-1, h = mu - mu* and w = mu + mu*, eq. 14 is, without a difference of large numbers,

    MMD^2 = |I + 2 Sigma / s|^(-1/2) [(1 - e^(-w'Aw / 2))(1 - e^(-h'Ah / 2)) + e^(-(w'Aw + h'Ah) / 2)(cosh w'Ah - 1)].

    Two statements of the paper do not hold. Its eq. 15 (18) puts saddles where mu'A mu equals mu*'A mu*; they are where
    it is a third of that. And 0 is the global maximum only if exp(-mu*'A mu* / 2) < 1/4: else MMD^2 is larger far away.

    Args:
        truth: mu*, shape ``(d,)``, not 0.
        bandwidth: s, the sigma^2 of the kernel.
        covariance: Sigma, shape ``(d, d)``, singular ones included; None: the identity.

    Example:
        >>> landscape = GMMMean([3.0, 0.0], bandwidth=1.0)
        >>> [(found.name, found.kind, found.family) for found in landscape.stationary_points()]
        [('truth', 'minimum', 0), ('mirror', 'minimum', 0), ('origin', 'maximum', 0), ('saddle', 'saddle', 0)]
        >>> round(landscape.stationary_points()[-1].point.square().sum().item(), 12)  # a third of 9
        3.0
    """

    signed = False

    def __init__(self, truth: Tensor | Sequence[float], bandwidth: float, covariance: Tensor | None = None) -> None:
        super().__init__(truth, bandwidth, covariance)
        _refuse_zero(self._truth)

    @property
    def length(self) -> float:
        return min(1 / math.sqrt(self._sharpest), float(self._truth.norm()))

    @property
    def separation(self) -> float:
        """mu*'A mu*: half the squared distance of the two components, in widths of the blurred ones."""
        return float(self._product(self._truth, self._truth))

    @property
    def _bound(self) -> float:
        # Each of the three terms has extreme curvatures 1 and -2 exp(-3/2) times its weight.
        return (2 + 4 * math.exp(-1.5)) * self._sharpest

    @property
    def _infinity(self) -> float:
        return 1 + 0.5 * math.exp(-2 * self.separation)

    def _value(self, theta: Tensor) -> Tensor:
        near, far, along = self._squares(theta)
        # |w'Ah| - (w'Aw + h'Ah) / 2, the exponent that is left of the product, is -2 mu'A mu or -2 mu*'A mu*.
        smaller = self._product(theta, theta).clamp_max(self.separation)
        bend = (-2 * smaller).exp() * (-along.abs()).expm1().square() / 2
        return (-near).expm1() * (-far).expm1() + bend

    def _gradient(self, theta: Tensor) -> Tensor:
        near, far, along = self._squares(theta)
        pull = _difference(far, near + along).unsqueeze(-1) * (theta + self._truth)
        pull = pull + _difference(near, far + along).unsqueeze(-1) * (theta - self._truth)
        return pull @ self._precision

    def _hessian(self, theta: Tensor) -> Tensor:
        near, far, along = self._squares(theta)
        mean = (_difference(far, near + along) + _difference(near, far + along))[..., None, None]
        own = (-2 * self._product(theta, theta)).exp()[..., None, None]
        away, toward = (theta + self._truth) @ self._precision, (theta - self._truth) @ self._precision
        pair = (-far).exp()[..., None, None] * _outer(away) + (-near).exp()[..., None, None] * _outer(toward)
        return mean * self._precision - pair + 2 * own * _outer(away + toward)

    def _squares(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return h'Ah / 2, w'Aw / 2 and w'Ah, shape ``(...)`` each; their sum is 2 mu'A mu."""
        near, far = theta - self._truth, theta + self._truth
        return self._product(near, near) / 2, self._product(far, far) / 2, self._product(far, near)

    def stationary_points(self) -> list[StationaryPoint]:
        """Return ±mu*, 0 and, for d > 1, one of the saddles mu'A mu* = 0, mu'A mu = mu*'A mu* / 3, an ellipsoid's worth
        of dimension d - 2; Theorem 3 with its radius put right."""
        found = [
            self._known(self._truth, "minimum", "truth", "mu = mu*, a global minimum"),
            self._known(-self._truth, "minimum", "mirror", "mu = -mu*, the other global minimum: the same law"),
            self._known(0 * self._truth, "maximum", "origin", "mu = 0, a local maximum"),
        ]
        if self.d > 1:
            doc = "mu'A mu* = 0, mu'A mu = mu*'A mu* / 3: eq. 15 with a third of the printed radius"
            found.append(self._known(self.across(1 / 3), "saddle", "saddle", doc, family=self.d - 2))
        return found

    def across(self, share: float) -> Tensor:
        """Return a mu with mu'A mu* = 0 and mu'A mu = ``share`` mu*'A mu*, shape ``(d,)``.

        Raises:
            ValueError: in one dimension nothing lies across mu*; or ``share`` is negative.
        """
        if self.d == 1:
            raise ValueError("in one dimension nothing lies across the truth")
        share = _number("share", share)
        side = _orthogonal(self._truth, self._truth @ self._precision)
        return side * math.sqrt(share * self.separation / float(self._product(side, side)))


class GaussianCov(Landscape):
    """Theorem 2: N(0, aa' + epsilon^2 I) with unknown a, not 0.

    With c = 2 epsilon^2 + s, lengths in units of c^(1/2), A = ||a||^2, B = ||a*||^2 and D = (1 + A)(1 + B) - (a'a*)^2,
    eq. 7 is

    MMD^2 = (s / c)^(d/2) [(1 + 2A)^(-1/2) + (1 + 2B)^(-1/2) - 2 D^(-1/2)].

    The saddles of eq. 8 exist where ||a*||^2 < 7 c. Otherwise a descent at an angle to a* whose B sin^2 exceeds 7 runs
    away, and turns back far out. The origin, "a maximum" in the theorem, is a local one; the global one only if
    ||a*||^2 > 3 c, for else MMD^2 is larger far away.

    Args:
        truth: a*, shape ``(d,)``, not 0.
        bandwidth: s, the sigma^2 of the kernel.
        epsilon: standard deviation of the isotropic part, 0 included.

    Example:
        >>> landscape = GaussianCov([1.0, 0.0], bandwidth=1.0, epsilon=0.0)
        >>> saddle = landscape.stationary_points()[-1]
        >>> round(saddle.point.square().sum().item(), 6), saddle.eigenvalues.numpy().round(4).tolist()
        (0.351207, [-0.4502, 0.4124])
    """

    signed = False

    def __init__(self, truth: Tensor | Sequence[float], bandwidth: float, epsilon: float = 1e-5) -> None:
        super().__init__(truth, bandwidth)
        _refuse_zero(self._truth)
        self._epsilon = _number("epsilon", epsilon)
        self._unit = math.sqrt(2 * self._epsilon**2 + self.bandwidth)  # c^(1/2)
        self._direction = self._truth / self._truth.norm()
        self._size = float((self._truth / self._unit).square().sum())  # B

    @property
    def epsilon(self) -> float:
        """Standard deviation of the isotropic part."""
        return self._epsilon

    @property
    def log_scale(self) -> float:
        return -0.5 * self.d * math.log1p(2 * self._epsilon**2 / self.bandwidth)

    @property
    def length(self) -> float:
        return self._unit * min(1.0, math.sqrt(self._size))

    def _reach(self, theta: Tensor) -> Tensor:
        # Far away powers of the distance are all that changes. Of near points none lies beyond the origin.
        reach: Tensor = theta.norm(dim=-1).clamp_min(self.length)
        return reach

    @property
    def _bound(self) -> float:
        # The two terms that depend on a have curvatures from -2 to 2 * 2.5^(-5/2), and the other way round.
        return (2 + 4 * math.pow(2.5, -2.5)) / (self._unit * self._unit)

    @property
    def _infinity(self) -> float:
        return 1 / math.sqrt(1 + 2 * self._size)

    def _value(self, theta: Tensor) -> Tensor:
        own, side, along, _ = self._parts(theta)
        # S = 1 + A + B lies between 1 + 2A and 1 + 2B, and below D. The value is what x^(-1/2), being convex, is on
        # average at the former above what it is at S, and twice its decrease from S to D.
        middle = own - along
        ratio = (own * (1 + 2 * self._size)).sqrt() / middle
        bottom = (1 + ratio) * ratio * ((2 + 2 * ratio).sqrt() + 2 * ratio)
        convexity = 2 * (along / middle).square() * (1 + 2 * ratio) / bottom / middle.sqrt()
        return convexity - 2 * _power_excess(middle, side, -0.5)

    def _gradient(self, theta: Tensor) -> Tensor:
        own, side, along, across = self._parts(theta)
        pull = _power_excess(own, side - along, -1.5).unsqueeze(-1) * theta / self._unit
        pull = pull + self._size * ((own - along + side) ** -1.5).unsqueeze(-1) * across
        return 2 * pull / self._unit

    def _hessian(self, theta: Tensor) -> Tensor:
        import torch

        own, side, along, across = (each[..., None] for each in self._parts(theta))
        across = across.squeeze(-1)
        determinant = own - along + side
        point = theta / self._unit
        eye = torch.eye(self.d, dtype=torch.float64)
        bend = _power_excess(own, side - along, -1.5)[..., None] * eye
        bend = bend + self._size * (determinant**-1.5)[..., None] * (eye - _outer(self._direction))
        curl = 6 * _outer(own**-1.25 * point) - 3 * _outer(determinant**-1.25 * (point + self._size * across))
        return 2 * (bend + curl) / self._unit**2

    def _parts(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return 1 + 2A, B ||x||^2, A - B and x, the part of a across a*, ``(..., d)``; D is the first plus the second
        less the third. In units of c^(1/2)."""
        import torch

        # Of a and -a the one nearer to the truth, for the difference to it keeps its digits.
        sign = torch.where(theta @ self._direction < 0, -1.0, 1.0).unsqueeze(-1)
        near, far = (sign * theta - self._truth) / self._unit, (sign * theta + self._truth) / self._unit
        across = near - (near @ self._direction).unsqueeze(-1) * self._direction
        own = 1 + 2 * (theta / self._unit).square().sum(-1)
        return own, self._size * across.square().sum(-1), (near * far).sum(-1), sign * across

    def stationary_points(self) -> list[StationaryPoint]:
        """Return ±a*, 0 and, for d > 1 where ||a*||^2 < 7 c, one of the saddles of eq. 8: a'a* = 0 and ||a||^2 as
        given there, a sphere's worth of dimension d - 2."""
        found = [
            self._known(self._truth, "minimum", "truth", "a = a*, a global minimum"),
            self._known(-self._truth, "minimum", "mirror", "a = -a*, the other global minimum: the same law"),
            self._known(0 * self._truth, "maximum", "origin", "a = 0, a local maximum"),
        ]
        growth = math.expm1(math.log1p(self._size) / 3)  # (1 + B)^(1/3) - 1
        if self.d > 1 and growth < 1:
            side = _orthogonal(self._truth, self._truth)
            point = side / side.norm() * self._unit * math.sqrt(growth / (1 - growth))
            found.append(self._known(point, "saddle", "saddle", "a'a* = 0, ||a||^2 of eq. 8", family=self.d - 2))
        return found


# ---- what the statements of the paper are about ----------------------------------------------------------------------


def share_recovered(
    landscape: Landscape, *, starts: int = 1000, seed: int = 0, tolerance: float = 1e-6, steps: int = 5000
) -> float:
    """Return the share of descents, from starts drawn from N(0, I), that end within ``tolerance`` of the truth.

    Theorems 1 to 3: descent finds the global minimum. The paper states neither the law of the starts nor the rate; it
    is adapted here, see :meth:`Landscape.descend`. What is under way after ``steps`` gradients has not ended there.

    Example:
        >>> share_recovered(GMMMean([1.0, 2.0], bandwidth=10.0), starts=20)
        1.0
    """
    descent = landscape.descend(_normal(starts, landscape.d, seed), steps=steps)
    return float(landscape.recovered(descent.ends, tolerance).double().mean())


def smallest_curvature(landscape: Landscape, radius: float, *, points: int = 500, seed: int = 0) -> float:
    """Return the smallest eigenvalue of the Hessian on the ball about the truth: positive where MMD^2 is convex there.

    On the remark after Theorem 1, by which sigma^2 >= 2r makes MMD^2 strongly convex and gradient descent linearly
    convergent in a ball of radius r. It is looked for on ``points`` random rays, at 50 radii each, and along the axes
    of the curvature at the truth: for a Gaussian mean the minimum is on these. Exact there: positive if and only if
    r^2 < sigma^2 + 2 lambda_min(Sigma).
    """
    import torch

    radius = _number("radius", radius, positive=True)
    axes = torch.linalg.eigh(landscape.hessian(landscape.truth))[1].mT
    rays = torch.cat([axes, _normal(points, landscape.d, seed)])
    rays = rays / rays.norm(dim=-1, keepdim=True)
    distances = torch.linspace(0, radius, 50, dtype=torch.float64)
    lowest = [torch.linalg.eigvalsh(landscape.hessian(landscape.truth + t * rays))[:, 0].min() for t in distances]
    return float(torch.stack(lowest).min())


def convergence_linearity(landscape: GaussianMean, radius: float, *, starts: int = 100, seed: int = 0) -> float:
    """Return the smallest R^2, over starts in a ball about the truth, of log error regressed on steps.

    Remark after Theorem 1: gradient descent converges linearly. Starts are uniform on the ball; the rate is constant,
    ``RATE`` / L; a path ends where its error is 1e-8 of the first, or after 2000 steps.
    """
    return _fit(landscape, radius, starts, seed).linearity


def convergence_slope(landscape: GaussianMean, radius: float, *, starts: int = 100, seed: int = 0) -> float:
    """Return the largest slope, over starts in a ball about the truth, of log error against steps.

    As for :func:`convergence_linearity`: negative where every descent converges.
    """
    return _fit(landscape, radius, starts, seed).slope


def theorem_3_gradient(landscape: GMMMean, share: float) -> float:
    """Return the norm of the gradient where mu'A mu* = 0 and mu'A mu = ``share`` mu*'A mu*.

    Eq. 15 and 18 call these points stationary for the share 1; they are for 1/3 (Theorem 3).
    """
    return float(landscape.gradient(landscape.across(share)).norm())


def origin_over_infinity(landscape: Landscape) -> float:
    """Return MMD^2 at 0 divided by its limit far away: above 1 if and only if 0 is the global maximum.

    Theorem 3 says that it is; for the mixture that needs exp(-mu*'A mu* / 2) < 1/4. Theorem 2 says "a maximum"; for the
    covariance the global one needs ||a*||^2 > 3 (2 epsilon^2 + sigma^2).
    """
    return float(landscape._value(0 * landscape.truth)) / landscape._infinity  # the common factor may underflow


def saddle_curvature(landscape: Landscape) -> float:
    """Return the smallest eigenvalue of the Hessian at the saddles: negative, for they are strict (eq. 8, 12, 15).

    Raises:
        ValueError: there is no saddle: in one dimension, for a Gaussian mean, or where eq. 8 has no solution.
    """
    for found in landscape.stationary_points():
        if found.kind == "saddle":
            return float(found.eigenvalues[0])
    raise ValueError(f"{landscape} has no saddle")


def figure_3_slope(at: float = 8.5) -> float:
    """Return the derivative of MMD^2 at mu = ``at`` for mu* = 25 and sigma^2 = 10 (Fig. 3), with variance 1.

    The caption has inflection points "around ±8.5", with derivatives that are "small but non-zero".
    """
    return float(_figure_3().gradient([at]))


def figure_3_stationary_points() -> float:
    """Return how many points between 0 and mu* are stationary on the curve of :func:`figure_3_slope`."""
    return float(len(stationary_points_between(_figure_3(), 0.0, FIGURE_3[0])))


def stationary_points_between(landscape: Landscape, low: float, high: float, *, points: int = 20_001) -> list[float]:
    """Return the stationary points of a one-dimensional landscape in an open interval, ascending.

    They are bracketed by sign changes of the derivative on a grid and then refined. A derivative that touches zero
    without changing sign does so where the second one changes its own: these points are looked at as well.

    Raises:
        ValueError: the landscape has more than one dimension, the interval is empty, or derivatives underflow in it.
    """
    import torch

    found = _roots(landscape, landscape.gradient, low, high, points)
    spacing = (high - low) / (points + 1)
    for level in inflection_points(landscape, low, high, points=points):
        # Beside a point where it touches zero the derivative is far larger, and beside any other about the same.
        pair = torch.tensor([[level], [level + spacing]], dtype=torch.float64)
        here, beside = landscape.gradient(pair).abs().squeeze(-1).tolist()
        if here <= FLAT * beside:
            found.append(level)
    return sorted(found)


def inflection_points(landscape: Landscape, low: float, high: float, *, points: int = 20_001) -> list[float]:
    """Return where the second derivative of a one-dimensional landscape changes sign in an open interval, ascending.

    Raises:
        ValueError: the landscape has more than one dimension, the interval is empty, or derivatives underflow in it.
    """
    return _roots(landscape, lambda x: landscape.hessian(x).squeeze(-1), low, high, points)


# ---- helpers ---------------------------------------------------------------------------------------------------------


class _Fit(NamedTuple):
    linearity: float
    slope: float


def _fit(landscape: GaussianMean, radius: float, starts: int, seed: int) -> _Fit:
    """Return the worst R^2 and slope of log error against step over starts; see ``convergence_linearity``."""
    import torch

    radius = _number("radius", radius, positive=True)
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randn(starts, landscape.d, generator=generator, dtype=torch.float64)
    share = torch.rand(starts, 1, generator=generator, dtype=torch.float64) ** (1 / landscape.d)
    points = landscape.truth + radius * share * draws / draws.norm(dim=-1, keepdim=True)
    descent = landscape.descend(points, lr=RATE / landscape.smoothness, steps=FIT_STEPS, record=True)
    assert descent.errors is not None
    logs = descent.errors.log()  # (k, n)
    used = (logs >= logs[0] + math.log(FIT_DEPTH)).to(logs.dtype)
    step = torch.arange(len(logs), dtype=logs.dtype).unsqueeze(-1)  # (k, 1)
    logs = torch.where(used > 0, logs, 0.0)
    count = used.sum(0)
    x = used * (step - (used * step).sum(0) / count)
    y = used * (logs - logs.sum(0) / count)
    xx, xy, yy = (x * x).sum(0), (x * y).sum(0), (y * y).sum(0)
    return _Fit(float((xy * xy / (xx * yy)).min()), float((xy / xx).max()))


def _figure_3() -> GMMMean:
    truth, bandwidth = FIGURE_3
    return GMMMean([truth], bandwidth)


def _roots(
    landscape: Landscape, function: Callable[[Tensor], Tensor], low: float, high: float, points: int
) -> list[float]:
    """Return where ``function`` of ``(n, 1)`` changes sign strictly between ``low`` and ``high``."""
    import torch
    from scipy.optimize import brentq

    if landscape.d != 1:
        raise ValueError(f"the landscape must have one dimension, got {landscape.d}")
    if not low < high:
        raise ValueError(f"the interval must not be empty, got {low} to {high}")
    grid = torch.linspace(low, high, points + 2, dtype=torch.float64)[1:-1]
    sign = function(grid.unsqueeze(-1)).squeeze(-1).sign()
    zero = sign == 0
    if bool((zero[1:] & zero[:-1]).any()):
        raise ValueError(f"the derivatives of {landscape} underflow somewhere from {low} to {high}")
    exact = grid[zero].tolist()
    ends = (sign[:-1] * sign[1:] < 0).nonzero().squeeze(-1).tolist()

    def at(x: float) -> float:
        return float(function(torch.tensor([[x]], dtype=torch.float64)))

    return sorted(exact + [float(brentq(at, float(grid[i]), float(grid[i + 1]), xtol=1e-14)) for i in ends])


def _number(name: str, value: float, *, positive: bool = False) -> float:
    """Return ``value`` as a float, having checked that it is finite and at least, or with ``positive`` above, 0."""
    rule = f"{name} must be a finite number, {'above 0' if positive else '0 or more'}, got {value!r}"
    if isinstance(value, bool):
        raise ValueError(rule)
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(rule) from None
    if not 0 <= number < math.inf or (positive and number == 0):
        raise ValueError(rule)
    return number


def _spectrum(covariance: Tensor, d: int) -> tuple[Tensor, Tensor]:
    """Return eigenvalues and, as columns, eigenvectors of a covariance, having checked that it is one."""
    import torch

    matrix = torch.as_tensor(covariance, dtype=torch.float64)
    if matrix.shape != (d, d) or not bool(matrix.isfinite().all()):
        raise ValueError(f"covariance must be a finite matrix of shape ({d}, {d}), got shape {tuple(matrix.shape)}")
    if not torch.allclose(matrix, matrix.mT, rtol=0, atol=ROUNDING * float(matrix.abs().max())):
        raise ValueError("covariance must be symmetric; did you mean covariance @ covariance.mT?")
    values, axes = torch.linalg.eigh(matrix)
    if float(values[0]) < -ROUNDING * float(values[-1].abs()):
        raise ValueError(f"covariance must have no negative eigenvalue, got {float(values[0]):g}")
    return values.clamp_min(0), axes


def _refuse_zero(truth: Tensor) -> None:
    if not bool(truth.any()):
        raise ValueError("truth must not be 0, where the theorem says nothing: the two minima are one")


def _outer(x: Tensor) -> Tensor:
    """Return xx' of ``(..., d)``, shape ``(..., d, d)``."""
    return x.unsqueeze(-1) * x.unsqueeze(-2)


def _difference(first: Tensor, gap: Tensor) -> Tensor:
    """Return exp(-first) - exp(-first - gap), to full precision also where ``gap`` is small, and without overflow."""
    return -gap.sign() * (-first - gap.clamp_max(0)).exp() * (-gap.abs()).expm1()


def _power_excess(base: Tensor, gap: Tensor, power: float) -> Tensor:
    """Return (base + gap)^power - base^power, to full precision also where ``gap`` is small."""
    return base**power * (power * (gap / base).log1p()).expm1()


def _orthogonal(axis: Tensor, covector: Tensor) -> Tensor:
    """Return a vector that ``covector`` maps to 0, made from a unit vector and ``axis``, which it does not map to 0."""
    unit = 0 * axis
    unit[covector.abs().argmin()] = 1.0
    side: Tensor = unit - (covector @ unit) / (covector @ axis) * axis
    return side


def _normal(n: int, d: int, seed: int) -> Tensor:
    import torch

    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
