"""The Gaussian MMD as attention: value and gradient in one pass, without a matrix of size n x m.

With u = (x - c) / sigma and a centre c, the exponent of the kernel is the product of a query and a key,

    -|x - y|^2 / (2 sigma^2) = (u_x, 1, -|u_x|^2/2) . (u_y, -|u_y|^2/2, 1),

so softmax attention of queries x to keys y averages the values with weights k(x_i, y_j) / sum_j k(x_i, y_j). One more
key, all zeros, has the exponent 0 exactly and so the weight 1 / sum_j: dividing by it undoes the normalisation in the
arithmetic that made it. (Multiplying by a recomputed sum biases an MMD^2 of 9e-7 by 6e-7.) With values (u_y, 1) the
same pass gives sum_j k and sum_j k u_y, hence the gradient, as d k(x, y) / dx = k (u_y - u_x) / sigma.

The exponent's rounding error grows with |u|^2; it matters where the exponent is near 0, that is, where both points are
far from the centre. Hence the guard, taken for each trial from its own numbers: with x within ``NEAR`` of the centre of
y, one pass over [y; x] does; another trial takes a pass within x and one across, each about its own centre; what lies
beyond ``FAR`` even so takes the kernel's matrix in float64, whose exponents are again products, and beyond float64's
``FAR`` differences, pair by pair.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from bench_core.discrepancies import _plain
from bench_core.discrepancies._exact import exact_products
from bench_core.discrepancies.mmd import BandwidthWarning
from bench_core.kernels import Gaussian

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

NEAR = {torch.float32: 16.0, torch.float64: 1e4}
"""Largest |u|^2 / 2 about the centre of y up to which the whole MMD is one pass. Beyond, in float32, rounding errors of
a tight cluster's own repulsion, which ought to cancel in its mean, would weigh like a hundredth of the pull of y."""

FAR = {torch.float32: 50.0, torch.float64: 1e4}
"""Largest |u|^2 / 2 about a pass's own centre up to which attention is used: beyond, the relative error of a kernel,
some machine precisions times this, would exceed 1e-5 in float32 and 1e-11 in float64."""

CHUNK = 2**18
"""Entries of a trial's float64 kernel matrix that exist at a time: 2 MiB, which stay near the processor."""

LOWEST = -700.0
"""Exponents below are raised to it: where exp underflows it takes several times as long, and 1e-304 is as good as 0."""


class Sums(NamedTuple):
    rows: Tensor  # (B, n), float64: sum_j k(q_i, z_j)
    pull: Tensor  # (B, n, d): sum_j k(q_i, z_j) (z_j - q_i), in the units of the data


class Pass(NamedTuple):
    within: Tensor  # (B,), float64: sum_ij k(x_i, x_j), with the diagonal
    across: Tensor  # (B,), float64: sum_ij k(x_i, y_j)
    gradient: Tensor | None  # (B, n, d): of the whole MMD^2 with respect to x


# --- the public operations ------------------------------------------------------------------------------------------


def mmd2(x: Tensor, y: Tensor, bandwidth: float, unbiased: bool) -> Tensor:
    """MMD^2 of ``x`` ``(..., n, d)`` and ``y`` ``(..., m, d)``, shape ``(...)``."""
    dtype = _plain.compute_dtype(x, y)
    lead = _lead(x, y)
    x, y = _flat(x.to(dtype), lead), _flat(y.to(dtype), lead)
    return _apply(x, y, bandwidth, unbiased, None).reshape(lead)


class Against:
    """MMD^2 of any ``x`` with one ``y`` of shape ``(..., m, d)``, of which everything needed is computed here."""

    def __init__(self, y: Tensor, bandwidth: float, unbiased: bool) -> None:
        with torch.inference_mode(False):  # later calls may well be outside of it
            self._y = y.detach().to(_plain.compute_dtype(y), copy=True)
        self._bandwidth = bandwidth
        self._unbiased = unbiased
        self._fixed = {y.shape[:-2]: self._fix(y.shape[:-2])}

    def accepts(self, x: Tensor) -> bool:
        """Whether the kept ``y`` has the digits that a result with ``x`` must have."""
        return _plain.compute_dtype(x, self._y) == self._y.dtype

    def __call__(self, x: Tensor) -> Tensor:
        lead = _lead(x, self._y)
        fixed = self._fixed.get(lead)
        if fixed is None:  # an x with more leading axes than y: y is repeated, once
            fixed = self._fixed[lead] = self._fix(lead)
        x = _flat(x.to(self._y.dtype), lead)
        return _apply(x, fixed.y, self._bandwidth, self._unbiased, fixed).reshape(lead)

    def _fix(self, lead: torch.Size) -> Fixed:
        with torch.inference_mode(False), torch.no_grad(), exact_products(self._y.device.type):
            fixed = Fixed.of(_flat(self._y, lead), self._bandwidth)
            fixed.within = _kernel_sums(fixed.y, fixed.y, self._bandwidth).rows.sum(-1)
        return fixed


def row_means(t: Tensor, z: Tensor, bandwidth: float) -> Tensor:
    """mean_j k(t_i, z_j) for ``t`` ``(..., k, d)`` and ``z`` ``(..., m, d)``, which gets no gradient: ``(..., k)``,
    in float64."""
    lead = _lead(t, z)
    means: Tensor = _RowMeans.apply(_flat(t, lead), _flat(z, lead), bandwidth)
    return means.reshape(*lead, t.shape[-2])


def _lead(x: Tensor, y: Tensor) -> torch.Size:
    """The common leading axes of two samples."""
    if x.shape[:-2] == y.shape[:-2]:
        return x.shape[:-2]
    return torch.Size(torch.broadcast_shapes(x.shape[:-2], y.shape[:-2]))  # type: ignore[no-untyped-call]


def _flat(z: Tensor, lead: torch.Size) -> Tensor:
    """``z`` ``(..., n, d)`` broadcast to the leading axes ``lead``, which become one: ``(B, n, d)``."""
    if z.dim() == 3 and z.shape[:-2] == lead:  # a batch already: each operation saved is felt at n = 50
        return z
    return z.expand(*lead, *z.shape[-2:]).reshape(lead.numel(), *z.shape[-2:])


def _apply(x: Tensor, y: Tensor, bandwidth: float, unbiased: bool, fixed: Fixed | None) -> Tensor:
    if not torch.is_grad_enabled():
        # The hand-written function is told only whether its arguments require gradients, not whether anyone wants them.
        x, y = x.detach(), y.detach()
    value: Tensor = _Mmd2.apply(x, y, bandwidth, unbiased, fixed)
    return value


# --- gradients ------------------------------------------------------------------------------------------------------


class _Mmd2(torch.autograd.Function):
    """MMD^2 ``(B,)`` of ``x`` ``(B, n, d)`` and ``y`` ``(B, m, d)``; the forward pass computes the gradients too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, bandwidth: float, unbiased: bool, fixed: Fixed | None) -> Tensor:
        n, m = x.shape[-2], y.shape[-2]
        need_x, need_y = ctx.needs_input_grad[:2]
        with exact_products(x.device.type):
            fixed = Fixed.of(y, bandwidth) if fixed is None else fixed
            of_x = _one_pass(x, fixed, unbiased, need_x)
            of_y = _one_pass(y, Fixed.of(x, bandwidth), unbiased, need_y) if need_y else None
            if of_y is not None:
                within_y = of_y.within
            elif fixed.within is not None:
                within_y = fixed.within
            else:
                within_y = _kernel_sums(y, y, bandwidth).rows.sum(-1)
        ctx.bandwidth, ctx.unbiased = bandwidth, unbiased
        ctx.save_for_backward(x, y, of_x.gradient, of_y.gradient if of_y is not None else None)
        value = _normalised(of_x.within, n, unbiased) + _normalised(within_y, m, unbiased)
        return (value - of_x.across * (2 / (n * m))).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, y, *gradients = ctx.saved_tensors
        if torch.is_grad_enabled():
            # create_graph: a stored gradient is a constant, and its derivative silently wrong. Recompute it, from
            # aliases, for x and y may be one tensor, whose whole gradient would otherwise be counted for each.
            x, y = x.view_as(x), y.view_as(y)
            value = _plain.mmd2(x, y, Gaussian(ctx.bandwidth), ctx.unbiased).to(x.dtype)
            return *_differentiate(value, (x, y), ctx.needs_input_grad, grad), None, None, None
        scaled = (None if g is None else grad[:, None, None] * g for g in gradients)
        return *scaled, None, None, None


class _RowMeans(torch.autograd.Function):
    """mean_j k(t_i, z_j), ``(B, k)`` in float64, differentiable in ``t`` ``(B, k, d)``."""

    @staticmethod
    def forward(ctx: Any, t: Tensor, z: Tensor, bandwidth: float) -> Tensor:
        m = z.shape[-2]
        with exact_products(t.device.type):
            sums = _kernel_sums(t, z, bandwidth)
        ctx.bandwidth = bandwidth
        ctx.save_for_backward(t, z, sums.pull / (m * bandwidth) if ctx.needs_input_grad[0] else None)
        return sums.rows / m

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        t, z, gradient = ctx.saved_tensors
        if torch.is_grad_enabled():
            means = _plain.row_means(t, z, Gaussian(ctx.bandwidth))
            return *_differentiate(means, (t, z), ctx.needs_input_grad, grad), None
        return None if gradient is None else grad[..., None].to(gradient.dtype) * gradient, None, None


def _differentiate(
    value: Tensor, inputs: tuple[Tensor, ...], needed: tuple[bool, ...], grad: Tensor
) -> tuple[Tensor | None, ...]:
    """Gradients of ``value`` with respect to the needed inputs, themselves differentiable; None for the others."""
    wanted = [z for z, need in zip(inputs, needed, strict=False) if need]
    gradients = iter(torch.autograd.grad(value, wanted, grad, create_graph=True))
    return tuple(next(gradients) if need else None for _, need in zip(inputs, needed, strict=False))


# --- sums over a kernel matrix --------------------------------------------------------------------------------------


@dataclass
class Fixed:
    """What a pass over ``[y; x]`` needs of ``y`` alone."""

    y: Tensor  # (B, m, d)
    centre: Tensor  # (B, 1, d)
    scaled: Tensor  # (B, m, d): u_y
    exponent: Tensor  # (B, m): -|u_y|^2/2
    bandwidth: float
    within: Tensor | None = None  # (B,), float64: sum_ij k(y_i, y_j), where it is known
    spare: dict[tuple[int, float], Buffers] = field(default_factory=dict)

    @classmethod
    def of(cls, y: Tensor, bandwidth: float) -> Fixed:
        centre = y.mean(-2, keepdim=True)
        scaled, exponent = _scaled(y, centre, bandwidth)
        return cls(y, centre, scaled, exponent, bandwidth)

    def take_buffers(self, n: int, ratio: float) -> Buffers:
        """Buffers for an ``x`` of ``n`` points: those of an earlier call, unless another thread is using them."""
        return self.spare.pop((n, ratio), None) or Buffers.of(self, n, ratio)

    def keep_buffers(self, n: int, ratio: float, buffers: Buffers) -> None:
        """Keep them for the next call; only the latest, and none that only inference mode may write to."""
        if not buffers.queries.is_inference():
            self.spare.clear()
            self.spare[n, ratio] = buffers


class Buffers(NamedTuple):
    """Attention's arguments for ``x`` ``(B, n, d)`` against ``[null; y; x]``, where only what ``x`` decides is open."""

    queries: Tensor  # (B, n, w): (u_x, 1, -|u_x|^2/2)
    keys: Tensor  # (B, 1 + m + n, w): (u, -|u|^2/2, 1)
    values: Tensor  # (B, 1 + m + n, w): (weight u, weight, is x, is null)

    @classmethod
    def of(cls, fixed: Fixed, n: int, ratio: float) -> Buffers:
        """Points of x have weight 1 and points of y have weight ``-ratio``."""
        batch, m, d = fixed.y.shape
        width = _padded(d + 3)
        queries = fixed.y.new_zeros(batch, n, width)
        keys = fixed.y.new_zeros(batch, 1 + m + n, width)
        values = torch.zeros_like(keys)
        queries[..., d] = 1.0
        keys[:, 1 : 1 + m, :d] = fixed.scaled
        keys[:, 1 : 1 + m, d] = fixed.exponent
        keys[:, 1:, d + 1] = 1.0
        values[:, 1 : 1 + m, :d] = -ratio * fixed.scaled
        values[:, 1 : 1 + m, d] = -ratio
        values[:, 1 + m :, d : d + 2] = 1.0
        values[:, 0, d + 2] = 1.0
        return cls(queries, keys, values)

    def write(self, scaled: Tensor, exponent: Tensor) -> None:
        """Enter ``x`` by its u ``(B, n, d)`` and -|u|^2/2 ``(B, n)``."""
        n, d = scaled.shape[-2:]
        self.queries[..., :d] = scaled
        self.queries[..., d + 1] = exponent
        self.keys[:, -n:, :d] = scaled
        self.keys[:, -n:, d] = exponent
        self.values[:, -n:, :d] = scaled


def _one_pass(x: Tensor, fixed: Fixed, unbiased: bool, need_gradient: bool) -> Pass:
    """Sums over the kernel within ``x`` ``(B, n, d)`` and across to ``y``, and the gradient.

    They are computed together where ``x`` is near the centre of ``y``, and separately for the other trials.
    """
    scaled, exponent = _scaled(x, fixed.centre, fixed.bandwidth)
    near = _within_reach(exponent, NEAR)
    n_near = int(near.sum())
    if n_near == 0:
        return _two_passes(x, fixed.y, fixed.bandwidth, unbiased, need_gradient)
    # Trials that are not near go along, for their result is replaced: cheaper than taking the near ones out.
    result = _joint_pass(scaled, exponent, fixed, unbiased, need_gradient)
    if n_near < x.shape[0]:
        far = (~near).nonzero().squeeze(-1)
        _replace(result, far, _two_passes(x[far], fixed.y[far], fixed.bandwidth, unbiased, need_gradient))
    return result


def _joint_pass(scaled: Tensor, exponent: Tensor, fixed: Fixed, unbiased: bool, need_gradient: bool) -> Pass:
    """``_one_pass`` of an ``x`` that is near, given by its u ``(B, n, d)`` and -|u|^2/2 ``(B, n)``."""
    n, d = scaled.shape[-2:]
    pairs = n * (n - 1) if unbiased else n * n
    # Weight of a pair across beside one within, as the values hold it: with the unrounded ratio the sum across would
    # come out wrong by the same 3e-8 of itself in every row, which no averaging removes.
    ratio = torch.tensor(pairs / (n * fixed.y.shape[-2]), dtype=scaled.dtype).item()
    buffers = fixed.take_buffers(n, ratio)
    buffers.write(scaled, exponent)
    out = _attention(*buffers)  # (B, n, w)
    fixed.keep_buffers(n, ratio, buffers)
    net, own, null = out[..., d : d + 3].double().unbind(-1)  # (B, n) each
    within = (own / null).sum(-1)
    across = (within - (net / null).sum(-1)) / ratio
    gradient = None
    if need_gradient:
        # sum_j w_j k u_j - u_x sum_j w_j k, whose normalisation is undone last
        gradient = out[..., :d].addcmul(scaled, out[..., d : d + 1], value=-1)
        gradient.mul_((2 / (pairs * math.sqrt(fixed.bandwidth))) / out[..., d + 2 : d + 3])
    return Pass(within, across, gradient)


def _two_passes(x: Tensor, y: Tensor, bandwidth: float, unbiased: bool, need_gradient: bool) -> Pass:
    """``_one_pass`` by one pass within ``x`` and one across, each about its own centre."""
    n, m = x.shape[-2], y.shape[-2]
    own, other = _kernel_sums(x, x, bandwidth), _kernel_sums(x, y, bandwidth)
    gradient = None
    if need_gradient:
        pairs = n * (n - 1) if unbiased else n * n
        gradient = own.pull * (2 / (pairs * bandwidth)) - other.pull * (2 / (n * m * bandwidth))
    return Pass(own.rows.sum(-1), other.rows.sum(-1), gradient)


def _kernel_sums(q: Tensor, z: Tensor, bandwidth: float) -> Sums:
    """Sums over j of k(q_i, z_j) for ``q`` ``(B, n, d)`` and ``z`` ``(B, m, d)``, each trial by the path it needs."""
    centre = z.mean(-2, keepdim=True)  # (B, 1, d)
    scaled_q, exponent_q = _scaled(q, centre, bandwidth)
    scaled_z, exponent_z = (scaled_q, exponent_q) if q is z else _scaled(z, centre, bandwidth)
    # One of the two within reach is enough, as a far point has no kernel with a near one to be wrong about; but the
    # null key turns an infinite exponent of a query into NaN.
    reached = _within_reach(exponent_z, FAR) & (exponent_q > -math.inf).all(-1) | _within_reach(exponent_q, FAR)
    n_reached = int(reached.sum())
    if n_reached < len(reached) and q is z and _attends(q):
        _warn(bandwidth, q.dtype)
    if n_reached == 0:
        return _float64_sums(q, z, bandwidth)
    result = _attention_sums(scaled_q, exponent_q, scaled_z, exponent_z, math.sqrt(bandwidth))
    if n_reached < len(reached):
        beyond = (~reached).nonzero().squeeze(-1)
        _replace(result, beyond, _float64_sums(q[beyond], z[beyond], bandwidth))
    return result


def _attention_sums(u_q: Tensor, exponent_q: Tensor, u_z: Tensor, exponent_z: Tensor, sigma: float) -> Sums:
    """``_kernel_sums`` as attention, of u ``(B, n, d)``, ``(B, m, d)`` and -|u|^2/2 ``(B, n)``, ``(B, m)``."""
    (batch, n, d), m = u_q.shape, u_z.shape[-2]
    width = _padded(d + 2)
    queries = u_q.new_zeros(batch, n, width)
    keys = u_q.new_zeros(batch, 1 + m, width)
    values = torch.zeros_like(keys)
    queries[..., :d], queries[..., d], queries[..., d + 1] = u_q, 1.0, exponent_q
    keys[:, 1:, :d], keys[:, 1:, d], keys[:, 1:, d + 1] = u_z, exponent_z, 1.0
    values[:, 1:, :d], values[:, 1:, d], values[:, 0, d + 1] = u_z, 1.0, 1.0
    out = _attention(queries, keys, values)  # (B, n, w)
    total, null = out[..., d : d + 1], out[..., d + 1 : d + 2]  # (B, n, 1)
    pull = out[..., :d].addcmul(u_q, total, value=-1).mul_(sigma / null)
    return Sums((total.double() / null.double()).squeeze(-1), pull)


def _float64_sums(q: Tensor, z: Tensor, bandwidth: float) -> Sums:
    """``_kernel_sums`` by the kernel's matrix in float64, some of its columns at a time."""
    (n, d), m = q.shape[-2:], z.shape[-2]
    centre = z.double().mean(-2, keepdim=True)
    u_q, exponent_q = _scaled(_filled_up(q.double(), centre), centre, bandwidth)  # (B, n', d), (B, n')
    u_z, exponent_z = _scaled(_filled_up(z.double(), centre), centre, bandwidth)  # (B, m', d), (B, m')
    queries = torch.cat((u_q, torch.ones_like(u_q[..., :1]), exponent_q[..., None]), -1).mT  # (B, d + 2, n')
    keys = torch.cat((u_z, exponent_z[..., None], torch.ones_like(u_z[..., :1])), -1)  # (B, m', d + 2)
    values = u_z.new_zeros(len(u_z), d + 2 - d % 2, u_z.shape[-2])  # (B, w, m'): of an even w, which is fast
    values[:, :d], values[:, d, :m] = u_z.mT, 1.0
    sums = values.new_empty(*values.shape[:-1], u_q.shape[-2])  # (B, w, n')
    by_products = torch.minimum(exponent_q.amin(-1), exponent_z.amin(-1)) >= -FAR[torch.float64]  # (B,)
    columns = 8 * max(1, CHUNK // (8 * u_z.shape[-2]))  # at a time
    for trials, products in _alike(by_products):
        for first in range(0, u_q.shape[-2], columns):
            span = slice(first, first + columns)
            if products:
                exponents = torch.bmm(keys[trials], queries[trials, :, span])  # (b, m', columns)
            else:
                pair = u_z[trials], u_q[trials, span]
                exponents = torch.cdist(*pair, compute_mode="donot_use_mm_for_euclid_dist").square_().mul_(-0.5)
            sums[trials, :, span] = torch.bmm(values[trials], exponents.clamp_(min=LOWEST).exp_())
    rows = sums[:, d, :n]
    pull = (sums[:, :d, :n].mT - u_q[:, :n] * rows[..., None]) * math.sqrt(bandwidth)
    return Sums(rows, pull.to(q.dtype))


def _filled_up(z: Tensor, centre: Tensor) -> Tensor:
    """``z`` ``(B, n, d)`` and copies of the centre up to the next multiple of 8 points: trials begin at multiples of 64
    bytes, as the rounding of products depends on that, and none has a single row, which rounds otherwise too."""
    return torch.cat((z, centre.expand(-1, -z.shape[-2] % 8, -1)), -2)


def _alike(flags: Tensor) -> Iterator[tuple[slice | Tensor, bool]]:
    """Trials with equal ``flags`` ``(B,)``: on a CPU each alone, whose matrix is then near the processor."""
    if flags.device.type == "cpu":
        yield from ((slice(trial, trial + 1), flag) for trial, flag in enumerate(flags.tolist()))
        return
    for flag, these in ((True, flags), (False, ~flags)):
        if len(trials := these.nonzero().squeeze(-1)):
            yield trials, flag


# --- small parts ----------------------------------------------------------------------------------------------------


def _scaled(z: Tensor, centre: Tensor, bandwidth: float) -> tuple[Tensor, Tensor]:
    """u = (z - centre) / sigma ``(B, n, d)`` and -|u|^2/2 ``(B, n)``."""
    scaled = (z - centre).mul_(1 / math.sqrt(bandwidth))
    return scaled, scaled.square().sum(-1).mul_(-0.5)


def _within_reach(exponent: Tensor, reach: dict[torch.dtype, float]) -> Tensor:
    """Which trials ``(B,)`` have all their -|u|^2/2 ``(B, n)`` within reach. NaN counts as within: no path cures it."""
    if not _attends(exponent):
        return torch.zeros_like(exponent[:, 0], dtype=torch.bool)
    return (exponent.amin(-1) < -reach[exponent.dtype]).logical_not_()


def _attends(z: Tensor) -> bool:
    """Whether PyTorch has tiled attention for this dtype and device: all but float64 on CUDA."""
    return z.device.type == "cpu" or z.dtype == torch.float32


def _attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """softmax(queries keys') values for ``(B, n, w)``, ``(B, l, w)`` and ``(B, l, w)``: ``(B, n, w)``."""
    # Forced, because PyTorch otherwise falls back without a word to the path that holds the n x l matrix.
    backend = SDPBackend.FLASH_ATTENTION if queries.device.type == "cpu" else SDPBackend.EFFICIENT_ATTENTION
    with sdpa_kernel(backend):
        heads = scaled_dot_product_attention(queries[:, None], keys[:, None], values[:, None], scale=1.0)
    return heads.squeeze(1)


def _padded(width: int) -> int:
    """The next multiple of 8: what the tiled kernels are aligned to."""
    return -(-width // 8) * 8


def _normalised(total: Tensor, n: int, unbiased: bool) -> Tensor:
    """Mean of k within a sample, from the sum over all pairs of its ``n`` points; unbiased, k(z, z) = 1 is left out."""
    return (total - n) / (n * (n - 1)) if unbiased else total / n**2


def _replace(result: Pass | Sums, trials: Tensor, by: Pass | Sums) -> None:
    """Overwrite the given trials of every tensor of ``result``."""
    for old, new in zip(result, by, strict=True):
        if old is not None and new is not None:
            old[trials] = new


def _warn(bandwidth: float, dtype: torch.dtype) -> None:
    warnings.warn(
        f"a bandwidth (sigma^2) of {bandwidth:g} is too small for fast products on these data, where some |x - mean|^2 "
        f"/ (2 sigma^2) exceeds {FAR[dtype]:g}: they are computed in float64, which is slow; take a larger bandwidth",
        BandwidthWarning,
        stacklevel=2,
    )
