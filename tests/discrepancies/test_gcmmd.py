"""The Gradient-Constrained MMD against Proposition 3 solved as it stands, and against closed forms; the hard cases."""

from __future__ import annotations

import math
import re
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import jacrev

from bench_core.discrepancies import _gcmmd, mmd2
from bench_core.discrepancies.gcmmd import gcmmd2
from bench_core.kernels import Coulomb, Gaussian, InverseMultiquadric, Laplace, Linear, Mixture, RationalQuadratic


def cubic(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (1 + x @ y.mT / 3) ** 3


def named(kernel: object) -> str:
    """An id that is the same in every process, which the address of a function is not."""
    return re.sub(r"<function (\w+) at \w+>", r"\1", str(kernel))


KERNELS = [
    Gaussian(1.5),
    RationalQuadratic(0.7),
    InverseMultiquadric(2.0),
    Coulomb(3, 0.7),
    Linear(),
    cubic,
    Mixture([Gaussian(0.5), Linear(), cubic]),
]
SOLVERS = ["exact", "cholesky"]


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def critic(d: int, s: int, *lead: int):
    """A smooth critic from d to s dimensions, one per trial where there are leading axes."""
    slope, shift = normal(*lead, d, s, seed=11), normal(*lead, 1, s, seed=12)
    return lambda z: torch.tanh(z @ slope.to(z.dtype) + shift.to(z.dtype)) + 0.3 * z[..., :1]


def by_proposition_3(x, y, kernel, *, features=None, mu=None, weights=None, lam=1.0) -> torch.Tensor:
    """Proposition 3 of one trial as it stands: M(1 + d) equations, whose entries come from autograd pair by pair."""
    features, mu = features or (lambda z: z), x if mu is None else mu
    points, d = mu.shape
    weights = torch.full((points,), 1 / points).double() if weights is None else weights

    def k(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return kernel(features(a[None]), features(b[None]))[0, 0]

    def f(t: torch.Tensor) -> torch.Tensor:
        return sum(k(p, t) for p in x) / len(x) - sum(k(q, t) for q in y) / len(y)

    def block(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        first = torch.cat([k(a, b)[None], jacrev(k, 1)(a, b)])
        return torch.cat([first[None], torch.cat([jacrev(k, 0)(a, b)[:, None], jacrev(jacrev(k, 0), 1)(a, b)], 1)])

    matrix = torch.cat([torch.cat([block(a, b) for b in mu], 1) for a in mu])
    vector = torch.cat([torch.cat([f(t)[None], jacrev(f)(t)]) for t in mu])
    squared = sum(f(p) for p in x) / len(x) - sum(f(q) for q in y) / len(y)
    penalty = lam * torch.diag(1 / weights.repeat_interleave(1 + d))
    return (squared - vector @ torch.linalg.solve(matrix + penalty, vector)) / lam


# --- against oracles ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("features", [None, critic(2, 1), critic(2, 3)], ids=["none", "scalar", "three"])
@pytest.mark.parametrize("kernel", KERNELS, ids=named)
def test_it_is_proposition_3(kernel, features):
    x, y, mu = normal(4, 2), normal(3, 2, seed=1) + 0.5, normal(3, 2, seed=2)
    weighted = {"mu": mu, "weights": torch.tensor([0.2, 0.5, 0.3]).double(), "lam": 0.3}
    for options in ({"features": features}, {"features": features, **weighted}):
        expected = by_proposition_3(x, y, kernel, **options)
        for solver in SOLVERS:
            value = gcmmd2(x, y, kernel, solver=solver, **options)
            torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 4),
    m=st.integers(1, 4),
    points=st.integers(1, 4),
    d=st.integers(1, 3),
    s=st.integers(0, 4),
    bandwidth=st.sampled_from([0.3, 2.0, 50.0]),
    lam=st.sampled_from([1e-2, 1.0, 1e3]),
    seed=st.integers(0, 1000),
)
def test_both_solvers_are_proposition_3_at_any_size(n, m, points, d, s, bandwidth, lam, seed):
    x, y, mu = normal(n, d, seed=seed), normal(m, d, seed=seed + 1) + 1, normal(points, d, seed=seed + 2)
    options = {"features": critic(d, s) if s else None, "mu": mu, "lam": lam}
    expected = by_proposition_3(x, y, Gaussian(bandwidth), **options)
    for solver in SOLVERS:
        value = gcmmd2(x, y, Gaussian(bandwidth), solver=solver, **options)
        torch.testing.assert_close(value, expected, rtol=1e-7, atol=1e-11)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("lam", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("psi", [0.1, 1.0, 3.0])
def test_the_closed_forms_of_two_point_masses(psi, lam, solver):
    """P and Q sit at 0 and theta, phi(x) = psi x: one equation for the value and one for the slope a point of mu."""
    theta = torch.tensor([-2.0, 0.3, 1.0], dtype=torch.float64)
    p, q = torch.zeros(1, 1).double(), theta[:, None, None]
    e = (-(psi**2) * theta**2 / 2).exp()
    options = {"features": lambda z: psi * z, "lam": lam, "solver": solver}
    at_zero = 2 * (1 - e) - (1 - e) ** 2 / (1 + lam) - psi**4 * theta**2 * e**2 / (psi**2 + lam)
    torch.testing.assert_close(gcmmd2(p, q, Gaussian(1.0), **options), at_zero / lam)
    # Half at either: by symmetry 2 equations remain of 4.
    a, b, h = 1 - e, -(psi**2) * theta * e, psi**2 * (1 - psi**2 * theta**2) * e
    system = torch.stack([a + 2 * lam, b, b, psi**2 + h + 2 * lam], -1).unflatten(-1, (2, 2))
    vector = torch.stack([a, b], -1)
    removed = (vector * torch.linalg.solve(system, vector)).sum(-1)
    both = torch.cat([p.expand_as(q), q], -2)
    value = gcmmd2(p, q, Gaussian(1.0), mu=both, **options)
    torch.testing.assert_close(value, (2 * a - 2 * removed) / lam, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_linear_kernel_of_a_scalar_feature_gives_the_scaled_mmd(solver):
    x, y, phi, lam = normal(2, 9, 3), normal(2, 8, 3, seed=1) + 0.5, critic(3, 1), 0.2
    z = x.clone().requires_grad_()
    slope = torch.autograd.grad(phi(z).sum(), z)[0]
    scale = 1 / (lam + (phi(x).square().sum(-1) + slope.square().sum(-1)).mean(-1))
    expected = scale * mmd2(phi(x), phi(y), Linear(), "biased")
    torch.testing.assert_close(gcmmd2(x, y, Linear(), features=phi, lam=lam, solver=solver), expected)


# --- properties -----------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 8),
    d=st.integers(1, 5),
    kernel=st.sampled_from(KERNELS[:5]),
    lam=st.floats(1e-3, 1e3),
    solver=st.sampled_from(SOLVERS),
    seed=st.integers(0, 1000),
)
def test_it_falls_with_lam_and_stays_below_the_mmd(n, d, kernel, lam, solver, seed):
    x, y = normal(n, d, seed=seed), normal(n + 2, d, seed=seed + 1) + 0.5
    more, less = gcmmd2(x, y, kernel, lam=lam, solver=solver), gcmmd2(x, y, kernel, lam=2 * lam, solver=solver)
    ceiling = mmd2(x, y, kernel, "biased") / lam
    assert 0 <= less <= more <= ceiling * (1 + 1e-12)
    assert 2 * less >= more * (1 - 1e-9)  # lam GCMMD^2 rises to MMD^2


def test_a_large_lam_leaves_the_mmd():
    x, y = normal(9, 2), normal(8, 2, seed=1) + 0.5
    for kernel in KERNELS:
        expected = mmd2(x, y, kernel, "biased")
        torch.testing.assert_close(1e9 * gcmmd2(x, y, kernel, lam=1e9), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("features", [None, critic(2, 3)], ids=["none", "three"])
def test_a_weight_stands_for_repetitions(features, solver):
    x, y, mu = normal(5, 2), normal(6, 2, seed=1), normal(3, 2, seed=2)
    repeated = mu[[0, 0, 0, 1, 2, 2]]
    expected = gcmmd2(x, y, Gaussian(2.0), features=features, mu=repeated, solver=solver)
    weights = torch.tensor([3.0, 1.0, 2.0]).double() / 6
    value = gcmmd2(x, y, Gaussian(2.0), features=features, mu=mu, weights=weights, solver=solver)
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("solver", SOLVERS)
def test_features_that_are_flat_somewhere_or_constant(solver):
    """A singular Jacobian: ReLU is flat at half of the points, and the second feature everywhere."""

    def phi(z: torch.Tensor) -> torch.Tensor:
        return torch.cat([z.sum(-1, keepdim=True).relu(), torch.ones_like(z[..., :1])], dim=-1)

    x, y = normal(6, 3), normal(5, 3, seed=1)
    expected = by_proposition_3(x, y, Gaussian(1.0), features=phi, lam=0.1)
    torch.testing.assert_close(gcmmd2(x, y, Gaussian(1.0), features=phi, lam=0.1, solver=solver), expected)


# --- the incomplete factorisation -----------------------------------------------------------------------------------


@pytest.mark.parametrize("features", [None, critic(3, 2)], ids=["none", "two"])
def test_the_value_rises_with_the_rank_to_the_exact_one(features):
    x, y = normal(20, 3), normal(15, 3, seed=1) + 0.5
    options = {"features": features, "lam": 0.1}
    exact = gcmmd2(x, y, Gaussian(2.0), solver="exact", **options)
    values = [gcmmd2(x, y, Gaussian(2.0), solver="cholesky", rank=r, **options) for r in (1, 5, 20, 40, 60, 80)]
    assert all(low <= high + 1e-12 for low, high in zip(values, [*values[1:], exact], strict=True))
    torch.testing.assert_close(gcmmd2(x, y, Gaussian(2.0), solver="cholesky", **options), exact, rtol=1e-8, atol=0)


def test_repeated_points_end_the_factorisation_early(monkeypatch):
    seen: list[int] = []
    original = _gcmmd._by_pivots
    monkeypatch.setattr(_gcmmd, "_by_pivots", lambda *a: seen.append(a[-1].point.shape[-1]) or original(*a))
    x, y = normal(2, 2).repeat(10, 1), normal(5, 2, seed=1)
    exact, value = (gcmmd2(x, y, Gaussian(2.0), solver=solver) for solver in SOLVERS)
    torch.testing.assert_close(value, exact, rtol=1e-9, atol=0)
    assert seen == [6]


def test_trials_of_a_batch_may_end_at_different_ranks():
    x, y = normal(3, 8, 2), normal(3, 6, 2, seed=1)
    x[1] = x[1, :1]
    x[2, 4:] = x[2, :4]
    exact, value = (gcmmd2(x, y, Gaussian(2.0), solver=solver, lam=0.1) for solver in SOLVERS)
    torch.testing.assert_close(value, exact, rtol=1e-8, atol=0)


@pytest.mark.parametrize("psi", [1e-4, 1.0, 1e4])
def test_the_scale_of_the_features_does_not_mislead_the_choice_of_pivots(psi):
    x, y = normal(10, 2), normal(8, 2, seed=1) + 0.5

    def phi(z: torch.Tensor) -> torch.Tensor:
        return psi * z

    exact, value = (gcmmd2(x, y, Gaussian(psi**2), features=phi, solver=solver) for solver in SOLVERS)
    torch.testing.assert_close(value, exact, rtol=1e-8, atol=0)
    torch.testing.assert_close(value, gcmmd2(x, y, Gaussian(1.0)), rtol=1e-8, atol=0)  # the same kernel k


@pytest.mark.parametrize("kernel", KERNELS, ids=named)
def test_chunks_change_nothing(kernel, monkeypatch):
    x, y = normal(2, 7, 2).requires_grad_(), normal(2, 6, 2, seed=1).requires_grad_()

    def both() -> tuple[torch.Tensor, ...]:
        value = gcmmd2(x, y, kernel, features=critic(2, 2), solver="cholesky", rank=10)
        return value, *torch.autograd.grad(value.sum(), (x, y))

    whole = both()
    monkeypatch.setattr(_gcmmd, "CHUNK_ELEMENTS", 2 * 10 * 3)  # two points at a time, the last chunk of one
    torch.testing.assert_close(both(), whole, rtol=1e-9, atol=1e-12)


def test_auto_is_exact_up_to_a_number_of_equations(monkeypatch):
    x, y = normal(20, 3), normal(15, 3, seed=1)
    monkeypatch.setattr(_gcmmd, "AUTO_EXACT", 20 * 4)
    assert torch.equal(gcmmd2(x, y, Gaussian(2.0), rank=5), gcmmd2(x, y, Gaussian(2.0), solver="exact"))
    monkeypatch.setattr(_gcmmd, "AUTO_EXACT", 20 * 4 - 1)
    incomplete = gcmmd2(x, y, Gaussian(2.0), solver="cholesky", rank=5)
    assert torch.equal(gcmmd2(x, y, Gaussian(2.0), rank=5), incomplete)
    assert incomplete < gcmmd2(x, y, Gaussian(2.0), solver="exact")


# --- gradients ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("with_features", [False, True])
def test_gradcheck_and_gradgradcheck_of_everything(solver, with_features):
    tensors = {
        "x": normal(2, 3, 2),
        "y": normal(2, 2, seed=1),
        "mu": normal(2, 2, 2, seed=2),
        "logits": normal(2, 2, seed=3),
        "lam": torch.tensor([0.5, 2.0]).double(),
        "bandwidth": torch.tensor([1.5, 3.0]).double(),
        "slope": normal(2, 2, 2, seed=4),
    }

    def function(x, y, mu, logits, lam, bandwidth, slope) -> torch.Tensor:
        options = {"features": lambda z: torch.tanh(z @ slope)} if with_features else {}
        weights = logits.softmax(-1)
        return gcmmd2(x, y, Gaussian(bandwidth), mu=mu, weights=weights, lam=lam, solver=solver, **options)

    inputs = [z.requires_grad_(name != "slope" or with_features) for name, z in tensors.items()]
    assert torch.autograd.gradcheck(function, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("kernel", KERNELS, ids=named)
def test_gradcheck_of_every_kernel_where_mu_is_x(kernel, solver, monkeypatch):
    monkeypatch.setattr(_gcmmd, "CHUNK_ELEMENTS", 2 * 9 * 3)  # and through chunks that are computed again
    x, y = normal(3, 2).requires_grad_(), normal(2, 2, seed=1).requires_grad_()

    def function(x, y) -> torch.Tensor:
        return gcmmd2(x, y, kernel, solver=solver)

    assert torch.autograd.gradcheck(function, (x, y), fast_mode=True)
    assert torch.autograd.gradgradcheck(function, (x, y), fast_mode=True)


def test_the_parameters_of_a_critic_get_their_gradients_trial_by_trial():
    x, y, slope = normal(5, 3), normal(6, 3, seed=1), normal(4, 3, 2, seed=2).requires_grad_()

    def value(slope: torch.Tensor) -> torch.Tensor:
        return gcmmd2(x, y, Gaussian(1.0), features=lambda z: torch.tanh(z @ slope))

    together = value(slope)
    assert together.shape == (4,)
    (gradient,) = torch.autograd.grad(together.sum(), slope)
    alone = [torch.autograd.grad(value(slope[i]), slope)[0][i] for i in range(4)]
    torch.testing.assert_close(together, torch.stack([value(slope[i]) for i in range(4)]))
    torch.testing.assert_close(gradient, torch.stack(alone))


# --- batches, dtypes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", SOLVERS)
def test_leading_axes_broadcast(solver):
    x, y, mu = normal(2, 1, 5, 3), normal(4, 6, 3, seed=1), normal(3, 3, seed=2)
    weights, lam = normal(2, 1, 3, seed=3).softmax(-1), torch.tensor([0.1, 1.0, 2.0, 3.0]).double()
    options = {"features": critic(3, 2), "mu": mu, "solver": solver}
    value = gcmmd2(x, y, Gaussian(2.0), weights=weights, lam=lam, **options)
    assert value.shape == (2, 4)
    for i in range(2):
        for j in range(4):
            one = gcmmd2(x[i, 0], y[j], Gaussian(2.0), weights=weights[i, 0], lam=lam[j].item(), **options)
            torch.testing.assert_close(value[i, j], one, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_bandwidth_with_axes_widens_the_result(solver):
    x, y, bandwidth = normal(5, 3), normal(6, 3, seed=1), torch.tensor([0.5, 2.0, 8.0]).double()
    for features in (None, critic(3, 2)):
        value = gcmmd2(x, y, Gaussian(bandwidth), features=features, solver=solver)
        expected = [gcmmd2(x, y, Gaussian(b.item()), features=features, solver=solver) for b in bandwidth]
        torch.testing.assert_close(value, torch.stack(expected), rtol=1e-8, atol=1e-13)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("features", [None, critic(3, 2)], ids=["none", "two"])
def test_trials_do_not_feel_each_other(features, solver, bad):
    x, y = normal(5, 8, 3), normal(5, 6, 3, seed=1)
    broken = x.clone()
    broken[2, 4, 0] = bad

    def both(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        leaf = x.clone().requires_grad_()
        value = gcmmd2(leaf, y, Gaussian(2.0), features=features, solver=solver)
        return value.detach(), torch.autograd.grad(value.sum(), leaf)[0]

    value, gradient = both(x, y)
    for trial in range(5):
        alone = both(x[trial], y[trial])
        torch.testing.assert_close((value[trial], gradient[trial]), alone, rtol=1e-9, atol=1e-13)
    rest = [0, 1, 3, 4]
    broken_value, broken_gradient = both(broken, y)
    torch.testing.assert_close(broken_value[rest], value[rest], rtol=1e-9, atol=1e-13)
    torch.testing.assert_close(broken_gradient[rest], gradient[rest], rtol=1e-9, atol=1e-13)
    assert bool(broken_value[2].isnan())
    assert bool(gcmmd2(broken[2], y[2], Gaussian(2.0), features=features, solver=solver).isnan())


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("lam", [1e-3, 1.0])
def test_float32_data_lose_nothing_without_features(solver, lam):
    x, y = normal(2, 30, 3, dtype=torch.float32), normal(2, 20, 3, seed=1, dtype=torch.float32) + 0.5
    value = gcmmd2(x, y, Gaussian(2.0), lam=lam, solver=solver)
    assert value.dtype == torch.float32
    expected = gcmmd2(x.double(), y.double(), Gaussian(2.0), lam=lam, solver=solver)
    torch.testing.assert_close(value, expected.float(), rtol=1e-6, atol=0)


def test_float32_features_are_good_to_six_digits():
    x, y = normal(30, 3, dtype=torch.float32), normal(20, 3, seed=1, dtype=torch.float32) + 0.5
    value = gcmmd2(x, y, Gaussian(1.0), features=critic(3, 2))
    expected = gcmmd2(x.double(), y.double(), Gaussian(1.0), features=critic(3, 2))
    torch.testing.assert_close(value.double(), expected, rtol=3e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_give_float32_and_their_features_stay_half(dtype):
    x, y, seen = normal(9, 3, dtype=dtype), normal(8, 3, seed=1, dtype=dtype), []
    expected = gcmmd2(x.double(), y.double(), Gaussian(2.0))
    value = gcmmd2(x, y, Gaussian(2.0), features=lambda z: seen.append(z.dtype) or 1 * z)
    assert value.dtype == torch.float32
    assert set(seen) == {dtype}
    torch.testing.assert_close(value.double(), expected, rtol=1e-6, atol=0)
    assert gcmmd2(x, y, Gaussian(2.0), mu=x.double()).dtype == torch.float64


def test_autocast_changes_nothing_but_the_features():
    x, y = normal(9, 3, dtype=torch.float32), normal(8, 3, seed=1, dtype=torch.float32)
    for solver in SOLVERS:
        for kernel in (Gaussian(2.0), cubic):
            expected = gcmmd2(x, y, kernel, solver=solver)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                assert torch.equal(gcmmd2(x, y, kernel, solver=solver), expected)


# --- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mu": normal(4, 3)}, r"mu and x must agree in their last axis.* got shapes \(4, 3\) and \(5, 2\)"),
        ({"mu": normal(4)}, r"mu must have shape \(\.\.\., n, d\), got \(4,\)"),
        (
            {"weights": torch.ones(4) / 4},
            r"weights must have shape \(\.\.\., 5\), one for every point of mu, got \(4,\)",
        ),
        ({"weights": torch.ones(2, 5) / 5, "mu": normal(3, 5, 2)}, r"leading axes of weights and mu must broadcast"),
        ({"weights": torch.ones(5)}, r"must sum to 1 .* got sums from 5 to 5; divide by weights\.sum"),
        (
            {"weights": torch.tensor([0.0, 0.25, 0.25, 0.25, 0.25])},
            "positive and finite, got a least weight of 0; leave",
        ),
        ({"weights": torch.ones(5).long()}, r"weights must hold floating-point numbers, got torch\.int64"),
        ({"weights": (torch.ones(5) / 5).to("meta")}, "weights and mu must be on one device, got meta and cpu"),
        ({"lam": 0.0}, r"lam must be positive and finite, got 0\.0; try lam=1\.0"),
        ({"lam": math.inf}, "lam must be positive and finite"),
        ({"lam": True}, "lam must be positive and finite"),
        ({"lam": torch.tensor([1.0, -1.0])}, "lam must be positive and finite"),
        ({"solver": "lu"}, "the solver must be 'auto', 'exact' or 'cholesky', got 'lu'"),
        ({"rank": 0}, "the rank must be a positive integer, got 0; try rank=200"),
        ({"rank": 2.0}, r"the rank must be a positive integer, got 2\.0"),
        ({"rank": 3, "solver": "exact"}, "the exact solver has no rank, got rank=3; use solver='cholesky' or leave it"),
        ({"features": lambda z: z.sum(-1)}, r"features must map"),
    ],
    ids=lambda given: "-".join(given) if isinstance(given, dict) else "",
)
def test_arguments_that_do_not_fit(options, words):
    with pytest.raises(ValueError, match=words):
        gcmmd2(normal(5, 2), normal(6, 2, seed=1), Gaussian(1.0), **options)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("wrap", [lambda kernel: kernel, lambda kernel: Mixture([Gaussian(1.0), kernel])])
def test_kernels_that_do_not_fit(wrap, solver):
    x = normal(5, 2)
    with pytest.raises(ValueError, match="the Laplace kernel has no derivative where points coincide"):
        gcmmd2(x, x, wrap(Laplace(1.0)), solver=solver)
    with pytest.raises(ValueError, match=r"Coulomb\(dim=2\) is one only up to constants; take a dim of at least 3"):
        gcmmd2(x, x, wrap(Coulomb(2, 0.3)), solver=solver)


def test_an_exact_solution_of_absurd_size_is_refused():
    x = normal(30, 784, dtype=torch.float32)
    with pytest.raises(ValueError, match=r"at most 20000 equations, got 23550 from M = 30 .* use solver='cholesky'"):
        gcmmd2(x, x, Gaussian(1.0), solver="exact")


def test_the_module_imports_without_torch():
    code = "import sys; sys.modules['torch'] = None; import bench_core.discrepancies.gcmmd"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- CUDA -----------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("features", [None, critic(3, 2)], ids=["none", "two"])
def test_cuda_agrees_with_the_cpu(features, solver, dtype):
    x, y = normal(4, 30, 3, dtype=dtype), normal(4, 20, 3, seed=1, dtype=dtype) + 0.5
    weights, lam = normal(4, 30, seed=2).softmax(-1), torch.tensor(0.3)

    def both(device: str) -> tuple[torch.Tensor, ...]:
        a, b, w = (z.to(device).requires_grad_() for z in (x, y, weights))

        def phi(z: torch.Tensor) -> torch.Tensor:
            return features(z.cpu()).to(device)

        value = gcmmd2(a, b, Gaussian(2.0), features=phi if features else None, weights=w, lam=lam, solver=solver)
        return tuple(z.detach().cpu() for z in (value, *torch.autograd.grad(value.sum(), (a, b, w))))

    tolerance = 1e-4 if dtype == torch.float32 else 1e-8
    torch.testing.assert_close(both("cuda"), both("cpu"), rtol=tolerance, atol=tolerance)
