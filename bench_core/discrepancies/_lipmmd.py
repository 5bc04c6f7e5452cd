"""The Lipschitz MMD's dual, solved by an interior-point method for a batch of trials together, in float64.

Let eta be the difference of the kernel means, Z_j the points, g_j = grad eta(Z_j) and H the matrix of the mixed second
derivatives d_a d_b k(Z_i, Z_j). For weights w in the simplex and any coefficients c_j in R^d, the function
u = (eta - sum_j c_j . grad k(Z_j, .)) / lam is a critic, so that <eta, u> / sqrt(max_j |grad u(Z_j)|^2 + lam |u|^2)
bounds LipMMD from below, and

    F(w) = min over c of  lam |u|^2 + sum_j |c_j|^2 / w_j

from above, squared. Both bounds hold for whatever c was computed, so that neither leans on the accuracy of a solve.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import torch

from bench_core.discrepancies import _derivatives, _plain

if TYPE_CHECKING:
    from typing import Any

    from torch import Tensor

    from bench_core.kernels import Kernel

Rows = TypeVar("Rows", bound=tuple["Tensor", ...])

ALIGNED = 8
"""The number of points is made a multiple of this, by copies of the last one: to the last bit, a factorisation depends
on where in memory its matrix begins, and so those of all trials begin at 64 bytes."""
MAX_STEPS = 100
"""Newton steps for one trial; 10 are usual, and 25 the most that was met with ``lam`` down to 1e-4."""
FLOOR = 1e-6
"""The part of a start that is spread evenly: an interior point, even if the caller's weights are zeros and ones."""
REDUCTION = 0.1
"""The next barrier as a part of what would explain the gap that is left. Half or twice as much needs more steps."""
TO_BOUNDARY = 0.99
"""The part of its weight, or of its slack, that a point may lose in one step."""
OFF_CENTRE = 1e4
"""The factor by which a slack may differ from the barrier over its weight, which it is at the barrier's minimum."""
SUFFICIENT = 1e-4
"""The part of the decrease that the slope promises which a step must keep (Armijo)."""
ROUNDING = 1e-13
"""The relative increase that is put down to rounding."""
SHORTEST = 2.0**-30
"""Where even so short a step brings an increase, the factorisations have broken down, and the trial ends."""


class Problem(NamedTuple):
    """What the dual depends on, a row per trial."""

    mmd2: Tensor  # (...), biased
    slopes: Tensor  # g, (..., kd)
    curvature: Tensor  # H, (..., kd, kd)
    lam: Tensor  # (...)


class State(NamedTuple):
    """An iterate, a row per trial."""

    weights: Tensor  # w, (B, k), positive
    coefficients: Tensor  # c, (B, kd)
    gradients: Tensor  # grad u(Z_j), (B, k, d)
    factor: Tensor  # of lam I + W^(1/2) H W^(1/2), (B, kd, kd)
    squared: Tensor  # F(w), (B,)
    upper: Tensor  # (B,)
    lower: Tensor  # (B,)
    slacks: Tensor  # (B, k), positive: an estimate of how far each |grad u(Z_j)|^2 lies below the largest
    barrier: Tensor  # (B,)


class Solution(NamedTuple):
    """What the public function returns, in float64, and whether it is as good as it should be."""

    value: Tensor  # (...), differentiable
    lower: Tensor  # (...)
    upper: Tensor  # (...)
    weights: Tensor  # (..., k)
    missed: Tensor  # (...), whether the tolerance was


def lipmmd(
    x: Tensor, y: Tensor, kernel: Kernel, points: Tensor, lam: float | Tensor, tolerance: float, start: Tensor | None
) -> Solution:
    """As the public function, for arguments in float64 whose shapes fit."""
    lam = torch.as_tensor(lam, dtype=torch.float64, device=x.device)
    if not bool(((lam > 0) & lam.isfinite()).all()):
        raise ValueError(f"lam must be positive and finite throughout, got {lam.tolist()}; clamp it")
    problem = Problem(*(_Once.apply(field) for field in _problem(x, y, kernel, points, lam)))
    lead, (k, d) = _lead(problem), points.shape[-2:]
    copies = -k % ALIGNED + 1  # of the last point
    rows = torch.cat([torch.arange(k * d), torch.arange((k - 1) * d, k * d).repeat(copies - 1)]).to(x.device)
    with torch.no_grad():
        weights = _probabilities(start, (*lead, k), x).reshape(-1, k)
        weights = torch.cat([weights[:, :-1], (weights[:, -1:] / copies).expand(-1, copies)], -1)
        state = _minimise(_flat(problem, lead, rows), weights, tolerance)
        weights = _merged(state.weights.unsqueeze(-1), k).reshape(*lead, k)
        coefficients = _merged(state.coefficients.reshape(-1, k + copies - 1, d), k).reshape(*lead, k * d)
    # The weights and coefficients are optimal: taken for constants, they leave the first derivatives right, by the
    # envelope theorem, and only those.
    value = _root(_critic_norm(problem, coefficients) + _dual_norm(weights, coefficients))
    upper = value.detach()
    lower = state.lower.reshape(lead).minimum(upper)  # where they agree, rounding may have swapped them
    return Solution(value, lower, upper, weights, _missed(state, tolerance).reshape(lead))


def _problem(x: Tensor, y: Tensor, kernel: Kernel, points: Tensor, lam: Tensor) -> Problem:
    """The dual of samples ``(..., n, d)`` and ``(..., m, d)`` with ``points`` ``(..., k, d)``, differentiable."""
    # Plain, not fused: its differences of points are those of the other terms, from which it is subtracted.
    mmd2 = _plain.mmd2(x, y, kernel, unbiased=False)
    slopes = _derivatives.gradient(kernel, points, x).mean(-2) - _derivatives.gradient(kernel, points, y).mean(-2)
    curvature = _derivatives.mixed(kernel, points, points).transpose(-3, -2)  # (..., k, d, k, d)
    rows = points.shape[-2] * points.shape[-1]
    return Problem(mmd2, slopes.flatten(-2), curvature.reshape(*curvature.shape[:-4], rows, rows), lam)


def _lead(problem: Problem) -> torch.Size:
    """The leading axes of the trials."""
    shapes = (problem.mmd2.shape, problem.slopes.shape[:-1], problem.curvature.shape[:-2])
    lead = torch.Size(torch.broadcast_shapes(*shapes))  # type: ignore[no-untyped-call]
    try:
        return torch.Size(torch.broadcast_shapes(lead, problem.lam.shape))  # type: ignore[no-untyped-call]
    except RuntimeError:
        raise ValueError(
            f"lam must be a number or broadcast with the leading axes, {tuple(lead)}, "
            f"got shape {tuple(problem.lam.shape)}"
        ) from None


def _merged(parts: Tensor, k: int) -> Tensor:
    """Shares ``(B, at least k, ...)`` of points, of which the last are copies of one, as those of ``k`` points."""
    return torch.cat([parts[:, : k - 1], parts[:, k - 1 :].sum(1, keepdim=True)], 1)


def _flat(problem: Problem, lead: torch.Size, rows: Tensor) -> Problem:
    """The given rows of the problem, with one leading axis, the trials, and without gradients."""
    slopes, curvature = problem.slopes[..., rows], problem.curvature[..., rows, :][..., rows]
    own = (torch.Size(), slopes.shape[-1:], curvature.shape[-2:], torch.Size())
    fields = zip((problem.mmd2, slopes, curvature, problem.lam), own, strict=True)
    return Problem(*(field.detach().expand(lead + axes).reshape(lead.numel(), *axes) for field, axes in fields))


def _probabilities(start: Tensor | None, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """The weights to start from, of the given shape."""
    if start is None:
        return like.new_full(shape, 1 / shape[-1])
    try:
        weights = start.detach().to(like).expand(shape)
    except RuntimeError:
        raise ValueError(f"start must have the shape of the weights, {shape}, got {tuple(start.shape)}") from None
    total = weights.sum(-1, keepdim=True)
    if not bool(((weights >= 0).all() & (total > 0) & total.isfinite()).all()):
        raise ValueError("start must hold weights of at least 0 with a positive, finite sum; take those of a result")
    return weights / total


def _minimise(problem: Problem, start: Tensor, tolerance: float) -> State:
    """The last state on the way to the dual's minimum over the weights, from ``start`` ``(B, k)``."""
    weights = start * (1 - FLOOR) + FLOOR / start.shape[-1]
    state = _evaluate(problem, weights, weights, torch.full_like(problem.mmd2, math.inf))
    steepness, steepest, gap = _steepness(state)
    state = state._replace(slacks=steepest - steepness + gap / weights.shape[-1])
    stuck = torch.zeros_like(problem.mmd2, dtype=torch.bool)
    for _ in range(MAX_STEPS):
        rows = _missed(state, tolerance).logical_and(~stuck).nonzero().squeeze(-1)
        if rows.numel() == 0:
            break
        part, stuck[rows] = _step(_take(problem, rows), _take(state, rows))
        for whole, new in zip(state, part, strict=True):
            whole[rows] = new
    return state


class _Once(torch.autograd.Function):
    """The identity, whose gradient refuses to be differentiated: the weights' own derivative is missing from it."""

    @staticmethod
    def forward(ctx: Any, field: Tensor) -> Tensor:
        return field.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        refusing: Tensor = _Refusing.apply(gradient)
        return refusing


class _Refusing(torch.autograd.Function):
    """The identity, which has no gradient; what torch offers for this, ``torch.autograd.grad`` passes by."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        raise RuntimeError("lipmmd can be differentiated once only, not its gradient, too; use gcmmd2 for that")


def _step(problem: Problem, state: State) -> tuple[State, Tensor]:
    """One step of Newton's method for F(w) - barrier * sum log w, and which trials ``(B,)`` it did not help."""
    weights = state.weights
    steepness, _, gap = _steepness(state)
    # At the barrier's minimum the gap is at most k barriers, so that this one falls whenever that is reached.
    barrier = torch.minimum(state.barrier, gap.squeeze(-1) * (REDUCTION / weights.shape[-1]))
    central = barrier.unsqueeze(-1) / weights  # (B, k)
    slacks = torch.minimum(torch.maximum(state.slacks, central / OFF_CENTRE), central * OFF_CENTRE)

    # The barrier's own curvature, barrier / w^2, is replaced by slack / w, as in every primal-dual method: equal at the
    # minimum, it is the better model far from it, where an inactive point gets to its weight in one step. The system is
    # made symmetric by the roots of the weights.
    roots = weights.sqrt()
    matrix = _hessian(problem, state)
    matrix.diagonal(dim1=-2, dim2=-1).add_(slacks)
    descent = steepness + central
    sides = torch.stack([roots * descent, roots], -1)
    free, constant = (torch.cholesky_solve(sides, _cholesky(matrix)) * roots.unsqueeze(-1)).unbind(-1)  # (B, k)
    direction = free - free.sum(-1, keepdim=True) / constant.sum(-1, keepdim=True) * constant  # the sum stays 1

    rise = central - slacks - slacks / weights * direction
    slacks = slacks + _length(slacks, rise).unsqueeze(-1) * rise
    before, promised = _merit(state, barrier), SUFFICIENT * (descent * direction).sum(-1)
    allowed = before + ROUNDING * before.abs()
    length = _length(weights, direction)
    while True:
        new = _evaluate(problem, weights + length.unsqueeze(-1) * direction, slacks, barrier)
        worse = ~(_merit(new, barrier) <= allowed - length * promised)  # NaN is worse, too
        if not bool((worse & (length > SHORTEST)).any()):
            break
        length = torch.where(worse, length / 2, length)
    return State(*(_choose(worse, old, other) for old, other in zip(state, new, strict=True))), worse


def _steepness(state: State) -> tuple[Tensor, Tensor, Tensor]:
    """The derivatives -dF/dw = |grad u(Z_j)|^2 ``(B, k)``, their largest, and what it exceeds their mean by."""
    steepness = state.gradients.square().sum(-1)
    steepest = steepness.amax(-1, keepdim=True)
    return steepness, steepest, (steepest - (state.weights * steepness).sum(-1, keepdim=True)).clamp_min(0)


def _length(positive: Tensor, change: Tensor) -> Tensor:
    """The longest step up to 1 that keeps ``positive`` ``(B, k)`` well positive: ``(B,)``."""
    return TO_BOUNDARY / (-change / positive).amax(-1).clamp_min(TO_BOUNDARY)


def _hessian(problem: Problem, state: State) -> Tensor:
    """W^(1/2) F'' W^(1/2), ``(B, k, k)``: 2 grad u' (I - lam (lam I + W^(1/2) H W^(1/2))^-1) grad u, by points."""
    trials, k, d = state.gradients.shape
    flat = state.gradients.flatten(-2)
    matrix = torch.cholesky_inverse(state.factor).mul_(-2 * problem.lam[:, None, None])
    matrix.diagonal(dim1=-2, dim2=-1).add_(2)
    matrix = matrix.mul_(flat.unsqueeze(-1)).mul_(flat.unsqueeze(-2))
    return matrix if d == 1 else matrix.reshape(trials, k, d, k, d).sum((2, 4))


def _evaluate(problem: Problem, weights: Tensor, slacks: Tensor, barrier: Tensor) -> State:
    """The critic of the given weights and the two bounds."""
    trials, k = weights.shape
    d = problem.slopes.shape[-1] // k
    lam = problem.lam.unsqueeze(-1)  # (B, 1)
    roots = weights.sqrt().repeat_interleave(d, -1)  # (B, kd)
    matrix = problem.curvature * roots.unsqueeze(-1) * roots.unsqueeze(-2)
    matrix.diagonal(dim1=-2, dim2=-1).add_(lam)
    factor = _cholesky(matrix)
    coefficients = roots * torch.cholesky_solve((roots * problem.slopes).unsqueeze(-1), factor).squeeze(-1)
    gradients = ((problem.slopes - _times(problem.curvature, coefficients)) / lam).reshape(trials, k, d)
    norm = _critic_norm(problem, coefficients)
    squared = norm + _dual_norm(weights, coefficients)
    mean = ((problem.mmd2 - (coefficients * problem.slopes).sum(-1)) / problem.lam).clamp_min(0)  # <eta, u>
    constraint = _root(norm.clamp_min(0) + gradients.square().sum(-1).amax(-1))
    lower = torch.where(constraint == 0, 0.0, mean / constraint)
    return State(weights, coefficients, gradients, factor, squared, _root(squared), lower, slacks, barrier)


def _critic_norm(problem: Problem, coefficients: Tensor) -> Tensor:
    """lam |u|^2, ``(...)``."""
    cross = (coefficients * problem.slopes).sum(-1)
    within = (coefficients * _times(problem.curvature, coefficients)).sum(-1)
    return (problem.mmd2 - 2 * cross + within) / problem.lam


def _dual_norm(weights: Tensor, coefficients: Tensor) -> Tensor:
    """sum_j |c_j|^2 / w_j, ``(...)``."""
    d = coefficients.shape[-1] // weights.shape[-1]
    return (coefficients.square().reshape(*weights.shape, d).sum(-1) / weights).sum(-1)


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    # Not matmul, whose rounding depends on the batch's width.
    return (matrix * vector.unsqueeze(-2)).sum(-1)


def _root(squared: Tensor) -> Tensor:
    """The square root, with slope 0 instead of infinity at 0."""
    zero = squared <= 0
    return squared.masked_fill(zero, 1.0).sqrt().masked_fill(zero, 0.0)


def _cholesky(matrix: Tensor) -> Tensor:
    """Cholesky factors; NaN where rounding has left none."""
    factor: Tensor
    factor, info = torch.linalg.cholesky_ex(matrix)
    return factor.masked_fill_((info != 0)[:, None, None], math.nan)


def _merit(state: State, barrier: Tensor) -> Tensor:
    return state.squared - barrier * state.weights.log().sum(-1)


def _missed(state: State, tolerance: float) -> Tensor:
    """Which trials are not done; one that is NaN is."""
    return state.upper - state.lower > tolerance


def _take(batch: Rows, rows: Tensor) -> Rows:
    return type(batch)(*(field[rows] for field in batch))


def _choose(worse: Tensor, old: Tensor, new: Tensor) -> Tensor:
    return torch.where(worse.reshape(-1, *[1] * (old.dim() - 1)), old, new)
