"""The equations behind ``gcmmd2``, reduced to the features, and their two solvers; all in float64.

With the features phi and their Jacobians J_m at the points of mu, the matrix of Proposition 3 is D A D^T and its
vector D v, where D = blockdiag(1, J_m^T) over the points and A, v are those of the kernel on the features alone. Then,
with the weights W and G = D^T W D = blockdiag(w_m, w_m J_m J_m^T),

    (D v)^T (D A D^T + lam W^-1)^-1 D v = v^T (lam I + G A)^-1 G v,

which has 1 + s equations a point in place of 1 + d, and asks nothing of J: it may be singular.

Functionals f(a_m) and (d f / d a_m)_i are kept point by point, in tensors that end in (M, 1 + s).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.func import grad, grad_and_value, vmap
from torch.nn.functional import pad
from torch.utils.checkpoint import checkpoint

from bench_core.discrepancies import _derivatives, _plain
from bench_core.discrepancies._jacobians import jacobians
from bench_core.kernels import Coulomb, Linear, Mixture

if TYPE_CHECKING:
    from torch import Tensor

    from bench_core.kernels import Kernel

AUTO_EXACT = 4000
"""Equations up to which ``auto`` is exact: a matrix of 128 MB, and seconds."""
LARGEST_EXACT = 20_000
"""Equations above which ``exact`` refuses: a matrix of 3.2 GB, of which about ten live at once."""
DEFAULT_RANK = 1000
TOLERANCE = 1e-10
"""What a pivot must weigh, relative to lam and to the first one."""
ROUNDING = 1e-14
"""What a pivot must weigh, relative to the first one, to be more than rounding."""
CHUNK_ELEMENTS = 2**20
"""Numbers of one trial that one chunk may hold: 8 MB, and a few copies of it live at once."""


class Pivots(NamedTuple):
    """The functionals a factorisation is made of."""

    point: Tensor  # (..., R): index into the points
    coordinate: Tensor  # (..., R): 0 for the value there, i for the i-th partial derivative
    basis: Tensor
    """Their orthonormal basis, ``(..., R, R)``. Its rows are zero where pivots only fill up a trial that needs fewer
    than others of its batch: exact, and of no influence."""


def check_kernel(kernel: Kernel) -> None:
    """Refuse the kernels whose functions are known only up to constants, which the constraint on f itself needs."""
    if isinstance(kernel, Mixture):
        for part in kernel.kernels:
            check_kernel(part)
    if isinstance(kernel, Coulomb) and kernel.dim < 3:
        raise ValueError(
            f"the Gradient-Constrained MMD needs a positive definite kernel, and Coulomb(dim={kernel.dim}) is one only "
            "up to constants; take a dim of at least 3"
        )


def gcmmd2(
    x: Tensor,
    y: Tensor,
    kernel: Kernel,
    features: Callable[[Tensor], Tensor] | None,
    mu: Tensor | None,
    weights: Tensor | None,
    lam: float | Tensor,
    solver: str,
    rank: int | None,
) -> Tensor:
    """GCMMD^2 of ``x`` ``(..., n, d)`` and ``y`` ``(..., m, d)``, shape ``(...)``, in float64."""
    measure = x if mu is None else mu
    gram: Tensor | None = None
    if features is None:
        a, p, q = measure.double(), x.double(), y.double()
    else:
        dtype = torch.promote_types(torch.promote_types(x.dtype, y.dtype), measure.dtype)
        a, jacobian = (z.double() for z in jacobians(features, measure.to(dtype)))  # (..., M, s), (..., M, s, d)
        gram = jacobian @ jacobian.mT
        p = a if mu is None else features(x.to(dtype)).double()
        q = features(y.to(dtype)).double()
    points, width = a.shape[-2], 1 + a.shape[-1]
    exact = _is_exact(solver, points, width)
    v = _mean_embedding(kernel, a, p) - _mean_embedding(kernel, a, q)  # (..., M, 1 + s)
    lam = torch.as_tensor(lam, dtype=torch.float64, device=x.device)
    w = a.new_full((points,), 1 / points) if weights is None else weights.double()  # (..., M)
    lead = torch.Size(torch.broadcast_shapes(v.shape[:-2], w.shape[:-1], lam.shape))  # type: ignore[no-untyped-call]
    v = v.expand(*lead, points, width)
    g_v = _times_g(v.unsqueeze(-3), w, gram).squeeze(-3)
    if exact:
        removed = _exact(kernel, a, w, gram, lam, v, g_v)
    else:
        a = a.expand(*lead, *a.shape[-2:])
        pivots = _choose_pivots(kernel, a, w, gram, lam, min(rank or DEFAULT_RANK, points * width))
        removed = _by_pivots(kernel, a, w, gram, lam, v, g_v, pivots)
    return (_plain.mmd2(p, q, kernel, unbiased=False) - removed) / lam


def _is_exact(solver: str, points: int, width: int) -> bool:
    equations = points * width
    if solver == "exact" and equations > LARGEST_EXACT:
        raise ValueError(
            f"the exact solver takes M(1 + s) of at most {LARGEST_EXACT} equations, got {equations} from M = {points} "
            f"points of mu and s = {width - 1} features; use solver='cholesky', fewer points or features of fewer "
            "dimensions"
        )
    return solver == "exact" or (solver == "auto" and equations <= AUTO_EXACT)


# --- reduced to the features ------------------------------------------------------------------------------------------


def _times_g(z: Tensor, w: Tensor, gram: Tensor | None) -> Tensor:
    """G z of several vectors ``(..., R, M, 1 + s)``."""
    if gram is not None:
        # One product a point, of all vectors together: broadcast over them, G would be copied for each.
        slope = (z[..., 1:].transpose(-3, -2) @ gram).transpose(-3, -2)
        z = torch.cat([z[..., :1], slope], dim=-1)
    return z * w[..., None, :, None]


# --- the kernel's functionals ---------------------------------------------------------------------------------------


def _mean_embedding(kernel: Kernel, a: Tensor, z: Tensor) -> Tensor:
    """mean_i k(., z_i) and its gradient at the points ``a`` ``(..., M, s)``: ``(..., M, 1 + s)``."""

    def block(part: Tensor, z: Tensor) -> Tensor:
        value = kernel(part, z).mean(-1, keepdim=True)  # (..., rows, 1)
        slope = _derivatives.gradient(kernel, part, z).mean(-2)  # (..., rows, s)
        return torch.cat([value, slope], dim=-1)

    chunks = list(_chunks(a.shape[-2], z.shape[-2] * z.shape[-1]))
    again = len(chunks) > 1 and _in_closed_form(kernel)
    return torch.cat([_recomputed(block, a[..., rows, :], z, again=again) for rows in chunks], dim=-2)


def _matrix(kernel: Kernel, a: Tensor) -> Tensor:
    """A of the points ``a`` ``(..., M, s)``: ``(..., M(1 + s), M(1 + s))``."""
    points, s = a.shape[-2:]
    value = kernel(a, a)  # (..., M, M)
    slope = _derivatives.gradient(kernel, a, a)  # (..., M, M, s): with respect to the first
    mixed = _derivatives.mixed(kernel, a, a)  # (..., M, M, s, s)
    upper = torch.cat([value.unsqueeze(-1), slope.transpose(-3, -2)], dim=-1)  # (..., M, M, 1 + s)
    lower = torch.cat([slope.unsqueeze(-1), mixed], dim=-1)  # (..., M, M, s, 1 + s)
    blocks = torch.cat([upper.unsqueeze(-2), lower], dim=-2)  # (..., M, M, 1 + s, 1 + s)
    return blocks.transpose(-3, -2).reshape(*blocks.shape[:-4], points * (1 + s), points * (1 + s))


def _rows(kernel: Kernel, b: Tensor, coordinate: Tensor, a: Tensor) -> Tensor:
    """The rows of A of functionals at the points ``b`` ``(..., R, s)`` and the columns of the points ``a``
    ``(..., m, s)``: ``(..., R, m, 1 + s)``."""
    if isinstance(kernel, Mixture):
        return torch.stack([_rows(part, b, coordinate, a) for part in kernel.kernels]).sum(0)
    of_slope = (coordinate > 0).unsqueeze(-1)  # (..., R, 1)
    if isinstance(kernel, Linear):
        slope = torch.where(of_slope, _units(coordinate, b), b)  # (..., R, s)
        value = slope @ a.mT  # (..., R, m)
        return torch.cat([value.unsqueeze(-1), slope.unsqueeze(-2).expand(*value.shape, -1)], dim=-1)
    # A coordinate 0 that all points share stands where the value will: no large tensor needs to be put together.
    difference = pad(b, (1, 0)).unsqueeze(-2) - pad(a, (1, 0)).unsqueeze(-3)  # (..., R, m, 1 + s)
    profile = _derivatives._profile(kernel, difference.square().sum(-1))
    if profile is None:
        return _rows_by_autograd(kernel, b, of_slope.squeeze(-1), _units(coordinate, b), a)
    index = coordinate[..., None, None].expand(*profile.value.shape, 1)  # (..., R, m, 1)
    along = difference.gather(-1, index).squeeze(-1)  # (..., R, m)
    value = torch.where(of_slope, 2 * profile.first * along, profile.value)
    same = torch.where(of_slope, -2 * profile.first, 0.0)
    scale = -2 * torch.where(of_slope, 2 * profile.second * along, profile.first)
    places = torch.cat([torch.zeros_like(index), index], dim=-1)
    return (scale.unsqueeze(-1) * difference).scatter_add(-1, places, torch.stack([value, same], dim=-1))


def _rows_by_autograd(kernel: Kernel, b: Tensor, of_slope: Tensor, unit: Tensor, a: Tensor) -> Tensor:
    """:func:`_rows` of any kernel, pair by pair."""

    def k(p: Tensor, q: Tensor) -> Tensor:
        return kernel(p[None], q[None])[0, 0]

    def of_pair(p: Tensor, of_slope: Tensor, unit: Tensor, q: Tensor) -> Tensor:
        def functional(q: Tensor) -> Tensor:
            return torch.where(of_slope, grad(k)(p, q) @ unit, k(p, q))

        slope, value = grad_and_value(functional)(q)
        return torch.cat([value[None], slope])

    lead = torch.Size(torch.broadcast_shapes(b.shape[:-2], a.shape[:-2]))  # type: ignore[no-untyped-call]
    of_slope = of_slope.expand(*lead, -1).flatten(0, -2) if lead else of_slope[None]
    b, unit, a = (z.expand(*lead, *z.shape[-2:]).reshape(-1, *z.shape[-2:]) for z in (b, unit, a))
    of_row = vmap(of_pair, (None, None, None, 0))
    result: Tensor = vmap(vmap(of_row, (0, 0, 0, None)))(b, of_slope, unit, a)
    return result.reshape(*lead, *result.shape[1:])


def _diagonal(kernel: Kernel, a: Tensor) -> Tensor:
    """The diagonal of A at the points ``a`` ``(..., M, s)``: ``(..., M, 1 + s)``."""
    if isinstance(kernel, Mixture):
        return torch.stack([_diagonal(part, a) for part in kernel.kernels]).sum(0)
    if isinstance(kernel, Linear):
        return torch.cat([a.square().sum(-1, keepdim=True), torch.ones_like(a)], dim=-1)
    profile = _derivatives._profile(kernel, a.new_zeros(*a.shape[:-1], 1))
    if profile is None:
        value, mixed = _derivatives.diagonal(kernel, a)
        return torch.cat([value.unsqueeze(-1), mixed.diagonal(dim1=-2, dim2=-1)], dim=-1)
    return torch.cat([profile.value, (-2 * profile.first).expand(*profile.first.shape[:-1], a.shape[-1])], dim=-1)


def _units(coordinate: Tensor, b: Tensor) -> Tensor:
    """The unit vectors ``(..., R, s)`` of the coordinates ``(..., R)``, zero for 0."""
    steps = torch.arange(1, b.shape[-1] + 1, device=b.device)
    return (coordinate.unsqueeze(-1) == steps).to(b.dtype)


# --- solvers --------------------------------------------------------------------------------------------------------


def _exact(kernel: Kernel, a: Tensor, w: Tensor, gram: Tensor | None, lam: Tensor, v: Tensor, g_v: Tensor) -> Tensor:
    """v^T (lam I + G A)^-1 G v, shape ``(...)``."""
    points, width = v.shape[-2:]
    matrix = _matrix(kernel, a)  # (..., N, N), symmetric
    blocks = matrix.view(*matrix.shape[:-1], points, width)
    g_matrix = _times_g(blocks, w, gram).flatten(-2).mT
    identity = torch.eye(points * width, dtype=torch.float64, device=a.device)
    # Unchecked, for a NaN is the business of its trial alone; lam keeps the matrix regular.
    solution, _ = torch.linalg.solve_ex(lam[..., None, None] * identity + g_matrix, g_v.flatten(-2).unsqueeze(-1))
    removed: Tensor = (v.flatten(-2) * solution.squeeze(-1)).sum(-1)
    return removed


def _by_pivots(
    kernel: Kernel,
    a: Tensor,
    w: Tensor,
    gram: Tensor | None,
    lam: Tensor,
    v: Tensor,
    g_v: Tensor,
    pivots: Pivots,
) -> Tensor:
    r"""v^T (lam I + G C^T B^-1 C)^-1 G v, shape ``(...)``: :func:`_exact` with A replaced by what its rows C of the
    pivots span, where B is the part of C that the pivots have with each other.

    With any regular T, by Woodbury's identity and for L = T C, it is

        (v^T G v - (L G v)^T (lam T B T^T + L G L^T)^-1 L G v) / lam.

    T is the inverse of the Cholesky factor of B, a constant: then T B T^T is the identity but for its derivatives.
    Without T, what rounding does to B would come back magnified by the condition of B. The rows are computed by chunks
    of points, and not kept.
    """
    width = v.shape[-1]
    b = _take(a, pivots.point)  # (..., R, s)
    column = pivots.point * width + pivots.coordinate  # (..., R)
    chunks = list(_chunks(a.shape[-2], b.shape[-2] * width))
    again = len(chunks) > 1 and _in_closed_form(kernel)
    among, inner, outer = (a.new_zeros(()) for _ in range(3))
    for rows in chunks:

        def products(
            b: Tensor, part: Tensor, w: Tensor, gram: Tensor | None, g_v: Tensor, first: int = rows.start * width
        ) -> tuple[Tensor, Tensor, Tensor]:
            of_part = _rows(kernel, b, pivots.coordinate, part).flatten(-2)  # (..., R, rows (1 + s))
            here = ((column >= first) & (column < first + of_part.shape[-1])).unsqueeze(-2)
            local = (column - first).clamp(0, of_part.shape[-1] - 1).unsqueeze(-2)
            among = torch.where(here, of_part.gather(-1, local.expand(pivots.basis.shape)), 0.0)  # (..., R, R)
            factor = pivots.basis @ of_part
            weighted = _times_g(factor.view(*factor.shape[:-1], *g_v.shape[-2:]), w, gram).flatten(-2)
            return among, weighted @ factor.mT, factor @ g_v.flatten(-2).unsqueeze(-1)

        of_rows = (a[..., rows, :], w[..., rows], None if gram is None else gram[..., rows, :, :], g_v[..., rows, :])
        sums = _recomputed(products, b, *of_rows, again=again)
        among, inner, outer = among + sums[0], inner + sums[1], outer + sums[2]
    near_identity = pivots.basis @ among @ pivots.basis.mT
    identity = torch.eye(b.shape[-2], dtype=torch.float64, device=a.device)
    near_identity = identity + (near_identity - near_identity.detach())
    root, _ = torch.linalg.cholesky_ex(lam[..., None, None] * near_identity + inner)
    half = torch.linalg.solve_triangular(root, outer, upper=False)  # (..., R, 1)
    removed: Tensor = ((v * g_v).sum((-2, -1)) - half.square().sum((-2, -1))) / lam
    return removed


@torch.no_grad()
def _choose_pivots(kernel: Kernel, a: Tensor, w: Tensor, gram: Tensor | None, lam: Tensor, rank: int) -> Pivots:
    """Greedily, those of the largest residual diagonal of A times the diagonal of G, which is how they weigh.

    So the choice does not depend on the scale of the features, nor wastes a pivot on a feature that is constant.
    """
    points, s = a.shape[-2:]
    lead, width = a.shape[:-2], 1 + s
    residual = _diagonal(kernel, a).expand(*lead, points, width).flatten(-2)  # (..., N)
    slopes = torch.ones_like(a) if gram is None else gram.diagonal(dim1=-2, dim2=-1)
    scale = (w.unsqueeze(-1) * torch.cat([torch.ones_like(slopes[..., :1]), slopes], dim=-1)).flatten(-2)
    first = (residual * scale).amax(-1)
    least = torch.maximum(TOLERANCE * torch.minimum(first, lam), ROUNDING * first)
    factor = a.new_zeros(*lead, rank, points * width)
    chosen, live = [], []
    for step in range(rank):
        weight, index = (residual * scale).max(-1, keepdim=True)  # (..., 1)
        going = weight > least.unsqueeze(-1)
        if not bool(going.any()):
            break
        chosen.append(index)
        live.append(going)
        coordinate = index % width
        row = _rows(kernel, _take(a, index // width), coordinate, a).flatten(-3)  # (..., N)
        known = factor[..., :step, :]
        row = row - (known.gather(-1, index.unsqueeze(-2).expand(*lead, step, 1)).mT @ known).squeeze(-2)
        row = torch.where(going, row / residual.gather(-1, index).sqrt(), 0.0)
        factor[..., step, :] = row
        residual = (residual - row.square()).scatter(-1, index, 0.0)
    if not chosen:  # not one finite trial
        chosen, live = ([a.new_zeros(*lead, 1, dtype=kind)] for kind in (torch.int64, torch.bool))
    index, alive = torch.cat(chosen, dim=-1), torch.cat(live, dim=-1)
    count = index.shape[-1]
    root = factor[..., :count, :].gather(-1, index.unsqueeze(-2).expand(*lead, count, count)).mT.tril()
    identity = torch.eye(count, dtype=torch.float64, device=a.device)
    both = alive.unsqueeze(-1) & alive.unsqueeze(-2)
    basis = torch.linalg.solve_triangular(torch.where(both, root, identity), identity.expand_as(root), upper=False)
    return Pivots(index // width, index % width, basis.masked_fill(~both, 0.0))


def _take(a: Tensor, index: Tensor) -> Tensor:
    """The points ``(..., R, s)`` of ``a`` ``(..., M, s)`` at ``index`` ``(..., R)``."""
    return a.gather(-2, index.unsqueeze(-1).expand(*index.shape, a.shape[-1]))


def _chunks(rows: int, elements: int) -> Iterator[slice]:
    """Slices of rows of so many elements each."""
    size = max(1, CHUNK_ELEMENTS // elements)
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))


def _in_closed_form(kernel: Kernel) -> bool:
    """Whether no derivative of the kernel takes autograd, inside of which nothing can be computed again."""
    if isinstance(kernel, Mixture):
        return all(_in_closed_form(part) for part in kernel.kernels)
    return isinstance(kernel, Linear) or _derivatives._profile(kernel, torch.zeros(1, 1)) is not None


def _recomputed(block, *parts, again: bool):  # type: ignore[no-untyped-def]
    """``block(*parts)``, whose intermediate results are not kept but, with ``again``, computed anew for gradients."""
    if again and torch.is_grad_enabled() and not _plain.under_transform():
        return checkpoint(block, *parts, use_reentrant=False, preserve_rng_state=False)
    return block(*parts)
