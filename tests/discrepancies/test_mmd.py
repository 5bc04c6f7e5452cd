"""MMD^2 against loops in plain Python and closed forms; what the words of its errors say; the hard cases."""

from __future__ import annotations

import math
import subprocess
import sys
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_core.discrepancies import BandwidthWarning, mmd2, mmd2_against, witness
from bench_core.kernels import Coulomb, Gaussian, Laplace, Linear, Mixture, RationalQuadratic

OTHER_KERNELS = [
    Laplace(1.5),
    RationalQuadratic(0.7),
    Coulomb(3, 0.3),
    Linear(),
    Mixture([Gaussian(1.0), Laplace(2.0)]),
]
ESTIMATORS = ["unbiased", "biased"]


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def gaussian(a: list[float], b: list[float], bandwidth: float) -> float:
    return math.exp(-sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) / (2 * bandwidth))


def mmd2_by_loops(x: torch.Tensor, y: torch.Tensor, k, estimator: str) -> float:
    """Alon, Globerson, Wiesel, eq. 21, or its biased form, of one trial, term by term."""
    xs, ys = x.tolist(), y.tolist()

    def within(zs: list[list[float]]) -> float:
        n = len(zs)
        if estimator == "biased":
            return math.fsum(k(a, b) for a in zs for b in zs) / n**2
        return math.fsum(k(a, b) for i, a in enumerate(zs) for j, b in enumerate(zs) if i != j) / (n * (n - 1))

    return within(xs) + within(ys) - 2 * math.fsum(k(a, b) for a in xs for b in ys) / (len(xs) * len(ys))


def reference(x: torch.Tensor, y: torch.Tensor, bandwidth: float, estimator: str = "unbiased") -> torch.Tensor:
    """MMD^2 by whole matrices of differences in float64, left to autograd: for samples that loops are too slow for."""
    n, m = x.shape[-2], y.shape[-2]

    def matrix(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (-(a.double().unsqueeze(-2) - b.double().unsqueeze(-3)).square().sum(-1) / (2 * bandwidth)).exp()

    xx, yy, xy = matrix(x, x).sum((-2, -1)), matrix(y, y).sum((-2, -1)), matrix(x, y).sum((-2, -1))
    if estimator == "unbiased":
        return (xx - n) / (n * (n - 1)) + (yy - m) / (m * (m - 1)) - 2 * xy / (n * m)
    return xx / n**2 + yy / m**2 - 2 * xy / (n * m)


def value_and_gradients(function, *samples: torch.Tensor) -> tuple[torch.Tensor, ...]:
    leaves = [z.detach().clone().requires_grad_() for z in samples]
    value = function(*leaves)
    return value.detach(), *torch.autograd.grad(value.sum(), leaves)


# --- against oracles ------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(1, 3),
    n=st.integers(2, 7),
    m=st.integers(2, 7),
    d=st.integers(1, 14),
    bandwidth=st.sampled_from([0.5, 3.0, 100.0]),
    shift=st.sampled_from([0.0, 1.0, 7.0]),
    estimator=st.sampled_from(ESTIMATORS),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 1000),
)
def test_the_gaussian_mmd_is_the_double_loop(batch, n, m, d, bandwidth, shift, estimator, dtype, seed):
    x, y = normal(batch, n, d, seed=seed, dtype=dtype), normal(batch, m, d, seed=seed + 1, dtype=dtype) + shift
    expected = [
        mmd2_by_loops(a, b, lambda p, q: gaussian(p, q, bandwidth), estimator) for a, b in zip(x, y, strict=True)
    ]
    expected = torch.tensor(expected, dtype=torch.float64)
    tolerance = 3e-6 if dtype == torch.float32 else 1e-12  # float32: so few points average nothing out
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BandwidthWarning)
        for value in (mmd2(x, y, Gaussian(bandwidth), estimator), mmd2_against(y, Gaussian(bandwidth), estimator)(x)):
            assert value.dtype == dtype
            torch.testing.assert_close(value.double(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("kernel", OTHER_KERNELS, ids=str)
def test_other_kernels_are_the_double_loop(kernel, estimator, monkeypatch):
    from bench_core.discrepancies import _plain

    x, y = normal(2, 5, 3), normal(2, 6, 3, seed=1)

    def k(a: list[float], b: list[float]) -> float:
        return kernel(torch.tensor([a]).double(), torch.tensor([b]).double()).item()

    expected = torch.tensor([mmd2_by_loops(a, b, k, estimator) for a, b in zip(x, y, strict=True)]).double()
    torch.testing.assert_close(mmd2(x, y, kernel, estimator), expected)
    whole = value_and_gradients(lambda x, y: mmd2(x, y, kernel, estimator), x, y)
    monkeypatch.setattr(_plain, "CHUNK_ELEMENTS", 2 * 6 * 3)  # two rows at a time, the last chunk of one
    chunked = value_and_gradients(lambda x, y: mmd2(x, y, kernel, estimator), x, y)
    torch.testing.assert_close(chunked, whole)
    torch.testing.assert_close(mmd2_against(y, kernel, estimator)(x), expected)


def test_the_linear_mmd_is_the_squared_distance_of_the_means():
    x, y = normal(2, 5, 3), normal(2, 6, 3, seed=1) + 1
    expected = (x.mean(-2) - y.mean(-2)).square().sum(-1)
    torch.testing.assert_close(mmd2(x, y, Linear(), "biased"), expected)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_estimators_expectation_is_the_closed_form(estimator):
    """E k(X, Y) = (1 + 2/s)^(-d/2) exp(-|mu|^2 / (2 (2 + s))) for two normal laws at distance mu, bandwidth s."""
    trials, n, m, d, s, mu = 4000, 6, 9, 3, 2.0, 0.7
    x, y = normal(trials, n, d), normal(trials, m, d, seed=1) + mu / math.sqrt(d)
    level = (1 + 2 / s) ** (-d / 2)
    expected = 2 * level * (1 - math.exp(-(mu**2) / (2 * (2 + s))))
    if estimator == "biased":
        expected += (1 / n + 1 / m) * (1 - level)
    values = mmd2(x, y, Gaussian(s), estimator)
    standard_error = values.std().item() / math.sqrt(trials)
    assert standard_error < 0.01 * (1 / n + 1 / m)  # fine enough to tell the two estimators apart
    assert abs(values.mean().item() - expected) < 4 * standard_error


def test_leading_axes_broadcast():
    x, y = normal(2, 1, 5, 3), normal(4, 6, 3, seed=1)
    kernel = Gaussian(2.0)
    expected = torch.stack([torch.stack([mmd2(x[i, 0], y[j], kernel) for j in range(4)]) for i in range(2)])
    f = mmd2_against(y, kernel)
    for value in (mmd2(x, y, kernel), f(x), f(x)):
        torch.testing.assert_close(value, expected)
    assert mmd2(x[0, 0], y[0], kernel).shape == ()
    # the gradient of what is shared is the sum of the gradients
    _, g_x, g_y = value_and_gradients(lambda x, y: mmd2(x, y, kernel), x, y)
    _, r_x, r_y = value_and_gradients(lambda x, y: reference(x, y, 2.0), x, y)
    torch.testing.assert_close((g_x, g_y), (r_x, r_y))
    torch.testing.assert_close(value_and_gradients(f, x)[1], r_x)


@pytest.mark.parametrize("kernel", [Gaussian(2.0), Laplace(1.0)], ids=str)
def test_an_empty_batch_gives_no_values(kernel):
    x, y = normal(0, 5, 3).requires_grad_(), normal(6, 3)
    for value in (mmd2(x, y, kernel), mmd2_against(y, kernel)(x)):
        assert value.shape == (0,)
        assert torch.autograd.grad(value.sum(), x)[0].shape == x.shape


# --- derivatives ----------------------------------------------------------------------------------------------------

TIERS = {  # near; far in float32 and in float64
    "one pass": (1e4, 1e4, 1e4),
    "two passes": (0.0, 1e4, 1e4),
    "float64 products": (0.0, 0.0, 1e4),
    "differences": (0.0, 0.0, 0.0),
}


@pytest.fixture(params=TIERS)
def tier(request, monkeypatch):
    """Send everything down one of the paths of the fused Gaussian MMD."""
    from bench_core.discrepancies import _fused

    near, *fars = TIERS[request.param]
    for dtype, far in zip((torch.float32, torch.float64), fars, strict=True):
        monkeypatch.setitem(_fused.NEAR, dtype, near)
        monkeypatch.setitem(_fused.FAR, dtype, far)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BandwidthWarning)
        yield request.param


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_gradcheck_on_every_path(tier, estimator):
    kernel = Gaussian(1.5)
    x, y = normal(2, 4, 3).requires_grad_(), normal(2, 5, 3, seed=1).requires_grad_()
    f = mmd2_against(y.detach(), kernel, estimator)
    assert torch.autograd.gradcheck(lambda x, y: mmd2(x, y, kernel, estimator), (x, y))
    assert torch.autograd.gradcheck(f, (x,))
    assert torch.autograd.gradgradcheck(lambda x, y: mmd2(x, y, kernel, estimator), (x, y))
    assert torch.autograd.gradgradcheck(f, (x,))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_path_agrees_with_the_reference_in_float32(tier, estimator):
    x, y = normal(3, 40, 10, dtype=torch.float32), normal(3, 30, 10, seed=1, dtype=torch.float32)
    expected = value_and_gradients(lambda x, y: reference(x, y, 8.0, estimator), x, y)
    of_both = value_and_gradients(lambda x, y: mmd2(x, y, Gaussian(8.0), estimator), x, y)
    of_x = value_and_gradients(mmd2_against(y, Gaussian(8.0), estimator), x)
    for value, gradient in ((of_both[0], of_both[1]), of_x):
        torch.testing.assert_close(value.double(), expected[0], rtol=0, atol=1e-7)
        torch.testing.assert_close(gradient, expected[1], rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(of_both[2], expected[2], rtol=1e-5, atol=1e-7)


def test_only_the_wanted_gradients_are_computed_and_they_are_the_same():
    x, y, kernel = normal(2, 6, 3), normal(2, 5, 3, seed=1), Gaussian(2.0)
    _, g_x, g_y = value_and_gradients(lambda x, y: mmd2(x, y, kernel), x, y)
    assert torch.equal(value_and_gradients(lambda x: mmd2(x, y, kernel), x)[1], g_x)
    assert torch.equal(value_and_gradients(lambda y: mmd2(x, y, kernel), y)[1], g_y)
    assert torch.equal(value_and_gradients(lambda y: mmd2_against(y, kernel)(x), y)[1], g_y)


def test_the_second_derivative_of_a_scaled_loss():
    """A loss like the Scaled MMD's, MMD^2 / (1 + E |grad|^2): a stored gradient would be taken for a constant."""
    x, y = normal(6, 2), normal(7, 2, seed=1)
    weights = normal(2, 3, seed=2).requires_grad_()

    def scaled(distance, weights: torch.Tensor) -> torch.Tensor:
        points = x.clone().requires_grad_()
        loss = distance(torch.tanh(points @ weights), torch.tanh(y @ weights))
        (slope,) = torch.autograd.grad(loss, points, create_graph=True)
        return loss / (1 + 100 * slope.square().sum())

    def derivative(distance) -> torch.Tensor:
        return torch.autograd.grad(scaled(distance, weights), weights)[0]

    expected = derivative(lambda a, b: reference(a, b, 1.0))
    torch.testing.assert_close(derivative(lambda a, b: mmd2(a, b, Gaussian(1.0))), expected)
    assert torch.autograd.gradcheck(lambda w: scaled(lambda a, b: mmd2(a, b, Gaussian(1.0)), w), (weights,))


def test_a_second_derivative_against_a_fixed_sample():
    x, y = normal(6, 2).requires_grad_(), normal(7, 2, seed=1)
    f = mmd2_against(y, Gaussian(1.0))
    (first,) = torch.autograd.grad(f(x), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), x)
    (first,) = torch.autograd.grad(reference(x, y, 1.0), x, create_graph=True)
    (expected,) = torch.autograd.grad(first.square().sum(), x)
    torch.testing.assert_close(second, expected)


def test_the_second_derivative_of_a_sample_against_itself():
    x = normal(2, 5, 2).requires_grad_()
    results = []
    for distance in (lambda x: mmd2(x, x, Gaussian(1.0)), lambda x: reference(x, x, 1.0)):
        (first,) = torch.autograd.grad(distance(x).sum(), x, create_graph=True)
        results.append((first.detach(), *torch.autograd.grad(first.square().sum(), x)))
    torch.testing.assert_close(*results)


def test_the_second_derivative_by_chunks_is_the_same(monkeypatch):
    from bench_core.discrepancies import _plain

    monkeypatch.setattr(_plain, "CHUNK_ELEMENTS", 2 * 4 * 2)
    x, y = normal(5, 2).requires_grad_(), normal(4, 2, seed=1).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x, y: mmd2(x, y, Gaussian(1.0)), (x, y))


def test_the_bandwidth_is_differentiable():
    x, y = normal(2, 5, 3), normal(2, 6, 3, seed=1)
    shared = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    each = torch.tensor([0.8, 3.0], dtype=torch.float64, requires_grad=True)
    for bandwidth in (shared, each):
        assert torch.autograd.gradcheck(lambda b: mmd2(x, y, Gaussian(b)), (bandwidth,))
        assert torch.autograd.gradcheck(lambda b: mmd2_against(y, Gaussian(b))(x), (bandwidth,))
    values = mmd2(x, y, Gaussian(each))
    for trial, bandwidth in enumerate((0.8, 3.0)):
        torch.testing.assert_close(values[trial].detach(), mmd2(x[trial], y[trial], Gaussian(bandwidth)))


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")  # torch's own use of it, for jvp
def test_transforms_take_the_plain_path():
    x, y, kernel = normal(3, 5, 2), normal(3, 6, 2, seed=1), Gaussian(1.5)
    f = mmd2_against(y[0], kernel)
    _, g_x, _ = value_and_gradients(lambda x, y: mmd2(x, y, kernel), x, y)
    by_func = torch.func.vmap(torch.func.grad(lambda x, y: mmd2(x, y, kernel)))(x, y)
    torch.testing.assert_close(by_func, g_x)
    torch.testing.assert_close(torch.func.grad(f)(x[0]), g_x[0])
    tangent = normal(3, 5, 2, seed=2)
    _, along = torch.func.jvp(lambda x: mmd2(x, y, kernel).sum(), (x,), (tangent,))
    torch.testing.assert_close(along, (g_x * tangent).sum())
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, tangent)
        tangent_out = torch.autograd.forward_ad.unpack_dual(mmd2(dual, y, kernel).sum()).tangent
    torch.testing.assert_close(tangent_out, (g_x * tangent).sum())


# --- accuracy -------------------------------------------------------------------------------------------------------


def test_a_tiny_mmd2_is_not_drowned_by_the_null_key():
    """Where MMD^2 is 9e-7, a normaliser whose logarithm is rounded biases it by 6e-7."""
    kernel = Gaussian(10.0)
    y = normal(1000, 10, seed=1)
    # Of a small shift, MMD^2 is quadratic.
    x = (y + math.sqrt(9e-7 / reference(y + 0.01, y, 10.0, "biased").item()) * 0.01).float()
    y = y.float()
    truth = reference(x, y, 10.0, "biased").item()
    assert truth == pytest.approx(9e-7, rel=0.05)
    assert mmd2(x, y, kernel, "biased").item() == pytest.approx(truth, abs=1e-8)
    assert mmd2_against(y, kernel, "biased")(x).item() == pytest.approx(truth, abs=1e-8)


def test_no_rounding_error_is_common_to_all_rows():
    """600/601, the weight of a pair across, is among the numbers that float32 rounds most: a value that mixes it with
    its rounded self is biased by 6e-8."""
    x, y = normal(8, 601, 10, dtype=torch.float32) + 0.1, normal(8, 601, 10, seed=1, dtype=torch.float32)
    error = mmd2_against(y, Gaussian(1e4))(x).double() - reference(x, y, 1e4)
    assert abs(error.mean().item()) < 2e-8


@pytest.mark.parametrize("offset", [1000.0, -1000.0])
def test_a_common_offset_costs_no_digits(offset):
    x, y = normal(2, 200, 4).round(decimals=2), normal(2, 200, 4, seed=1).round(decimals=2) + 0.5
    x, y = (x + offset).float(), (y + offset).float()
    value, g_x, g_y = value_and_gradients(lambda x, y: mmd2(x, y, Gaussian(2.0)), x, y)
    expected, r_x, r_y = value_and_gradients(lambda x, y: reference(x, y, 2.0), x, y)
    torch.testing.assert_close(value.double(), expected, rtol=0, atol=3e-8)
    torch.testing.assert_close((g_x, g_y), (r_x, r_y), rtol=1e-4, atol=1e-7)


def test_samples_far_apart_keep_the_digits_of_each():
    """Clusters at -100 and 100 of width 1: about a joint centre, float32 leaves no digit of the kernels within."""
    x, y = normal(2, 100, 4, dtype=torch.float32) - 100, normal(2, 100, 4, seed=1, dtype=torch.float32) + 100
    for f in (lambda x: mmd2(x, y, Gaussian(1.0)), mmd2_against(y, Gaussian(1.0))):
        value, gradient = value_and_gradients(f, x)  # and without a warning: no sample is wide
        expected, r_x = value_and_gradients(lambda x: reference(x, y, 1.0), x)
        torch.testing.assert_close(value.double(), expected, rtol=0, atol=3e-8)
        torch.testing.assert_close(gradient, r_x, rtol=1e-5, atol=1e-8)


def test_one_sample_near_and_the_other_wide():
    x, y = normal(2, 100, 3, dtype=torch.float32), normal(2, 100, 3, seed=1, dtype=torch.float32)
    wide = torch.cat([y[:, :50], y[:, :50] + 40, y[:, 50:] - 40, y[:, 50:]], dim=-2)
    for a, b in ((x, wide), (wide, x)):
        with pytest.warns(BandwidthWarning):
            value, g_a, g_b = value_and_gradients(lambda a, b: mmd2(a, b, Gaussian(1.0)), a, b)
        expected, r_a, r_b = value_and_gradients(lambda a, b: reference(a, b, 1.0), a, b)
        torch.testing.assert_close(value.double(), expected, rtol=0, atol=3e-8)
        torch.testing.assert_close((g_a, g_b), (r_a, r_b), rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("offset", [100.0, 1e6])  # float64 products, and differences, where products are wrong
def test_clusters_within_a_sample_far_apart(offset):
    sign = torch.ones(100, 1).index_fill(0, torch.arange(0, 100, 2), -1.0)
    x, y = normal(100, 3).float() + offset * sign, normal(100, 3, seed=1).float() + offset * sign
    with pytest.warns(BandwidthWarning):
        value, gradient = value_and_gradients(lambda x: mmd2(x, y, Gaussian(1.0)), x)
    expected, r_x = value_and_gradients(lambda x: reference(x, y, 1.0), x)
    torch.testing.assert_close(value.double(), expected, rtol=0, atol=1e-8)
    torch.testing.assert_close(gradient, r_x, rtol=1e-5, atol=1e-9)


def test_a_bandwidth_too_small_for_float32_warns_and_is_right():
    x, y = normal(60, 2, dtype=torch.float32), normal(50, 2, seed=1, dtype=torch.float32)
    words = r"a bandwidth \(sigma\^2\) of 0\.01 is too small .* exceeds 50"
    expected, r_x = value_and_gradients(lambda x: reference(x, y, 0.01), x)
    with pytest.warns(BandwidthWarning, match=words):
        value, gradient = value_and_gradients(lambda x: mmd2(x, y, Gaussian(0.01)), x)
    with pytest.warns(BandwidthWarning, match=words):
        value_against, gradient_against = value_and_gradients(mmd2_against(y, Gaussian(0.01)), x)
    for v, g in ((value, gradient), (value_against, gradient_against)):
        torch.testing.assert_close(v.double(), expected, rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(g, r_x, rtol=1e-5, atol=1e-8)
    mmd2(x.double(), y.double(), Gaussian(0.01))  # float64 has digits enough: no warning


def test_a_wide_bandwidth_keeps_its_digits():
    x, y = normal(300, 10, dtype=torch.float32) + 0.3, normal(300, 10, seed=1, dtype=torch.float32)
    value, gradient = value_and_gradients(lambda x: mmd2(x, y, Gaussian(1e4)), x)
    expected, r_x = value_and_gradients(lambda x: reference(x, y, 1e4), x)
    torch.testing.assert_close(value.double(), expected, rtol=0, atol=5e-8)
    torch.testing.assert_close(gradient, r_x, rtol=1e-3, atol=1e-9)


def test_coinciding_points():
    x = normal(1, 3).expand(6, 3)
    for kernel in (Gaussian(2.0), Laplace(1.0)):
        value, gradient, _ = value_and_gradients(lambda x, y, kernel=kernel: mmd2(x, y, kernel), x, x)
        torch.testing.assert_close(value, torch.tensor(0.0).double(), rtol=0, atol=1e-14)
        torch.testing.assert_close(gradient, torch.zeros(6, 3).double(), rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_computed_in_float32(dtype):
    x, y = normal(2, 40, 3, dtype=dtype), normal(2, 40, 3, seed=1, dtype=dtype) + 0.5
    expected, r_x = value_and_gradients(lambda x: reference(x, y, 2.0), x.double())
    for f in (lambda x: mmd2(x, y, Gaussian(2.0)), mmd2_against(y, Gaussian(2.0))):
        value, gradient = value_and_gradients(f, x)
        assert (value.dtype, gradient.dtype) == (torch.float32, dtype)
        torch.testing.assert_close(value.double(), expected, rtol=0, atol=1e-7)
        torch.testing.assert_close(gradient, r_x.to(dtype), rtol=1e-2, atol=1e-5)
    assert mmd2(x, y, Laplace(1.0)).dtype == torch.float32


def test_the_larger_dtype_decides():
    x, y = normal(40, 3), normal(40, 3, seed=1)
    value = mmd2_against(y.float(), Gaussian(2.0))(x)
    assert value.dtype == torch.float64
    torch.testing.assert_close(value, reference(x, y.float(), 2.0), rtol=0, atol=1e-14)
    assert mmd2_against(y, Gaussian(2.0))(x.float()).dtype == torch.float64


def legacy_setting() -> None:
    torch.set_float32_matmul_precision("medium")


def setting_of_the_backend() -> None:
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"


@pytest.mark.parametrize("make_fast", [legacy_setting, setting_of_the_backend])
@pytest.mark.parametrize("kernel", [Gaussian(2.0), Linear(), Mixture([Linear(), Gaussian(2.0)])], ids=str)
def test_autocast_and_fast_matmul_change_nothing(kernel, make_fast, monkeypatch):
    from bench_core.discrepancies import _fused

    x, y = normal(2, 40, 3, dtype=torch.float32), normal(2, 40, 3, seed=1, dtype=torch.float32)
    f = mmd2_against(y, kernel)
    plain = mmd2(x, y, kernel), f(x), witness(x, y, kernel)(x)
    seen: list[str] = []
    original = _fused.scaled_dot_product_attention

    def spy(*args, **kwargs):
        seen.append(torch.backends.mkldnn.matmul.fp32_precision)
        return original(*args, **kwargs)

    monkeypatch.setattr(_fused, "scaled_dot_product_attention", spy)
    try:
        make_fast()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            inside = mmd2(x, y, kernel), f(x), witness(x, y, kernel)(x)
            assert torch.is_autocast_enabled("cpu")
        f(x)  # without autocast, the other reason to switch
        assert torch.backends.mkldnn.matmul.fp32_precision == "bf16"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert all(torch.equal(a, b) for a, b in zip(plain, inside, strict=True))
    assert set(seen) == ({"ieee"} if isinstance(kernel, Gaussian) else set())


# --- trials do not feel each other ----------------------------------------------------------------------------------


def trials_of_every_tier(n: int, d: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """64 trials, some of which need one pass, two passes, float64 products or differences."""
    x, y = normal(64, n, d, dtype=dtype), normal(64, n + 3, d, seed=1, dtype=dtype)
    x[3::5] += 100.0
    x[6::7] *= 8.0
    y[4::5] *= 30.0
    x[9::10] *= 1e3
    y[9::10] *= 1e3
    return x, y


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("n", "d"), [(5, 1), (17, 2), (50, 10), (61, 7), (130, 10)])
@pytest.mark.filterwarnings("ignore::bench_core.discrepancies.BandwidthWarning")
def test_a_trial_is_bitwise_the_same_at_every_width(n, d, dtype):
    x, y = trials_of_every_tier(n, d, dtype)
    kernel = Gaussian(2.0)

    def everything(trials: slice) -> list[torch.Tensor]:
        a, b = x[trials], y[trials]
        both = value_and_gradients(lambda a, b: mmd2(a, b, kernel), a, b)
        return [*both, *value_and_gradients(mmd2_against(b, kernel), a), witness(a, b, kernel)(a[:, :3])]

    whole = everything(slice(0, 64))
    for width, first in ((1, 3), (2, 0), (2, 5), (7, 11), (50, 0), (50, 14)):
        trials = slice(first, first + width)
        for all_trials, these in zip(whole, everything(trials), strict=True):
            assert torch.equal(all_trials[trials], these)


@pytest.mark.parametrize("kernel", OTHER_KERNELS, ids=str)
def test_other_kernels_are_bitwise_the_same_at_every_width(kernel):
    x, y = normal(64, 9, 3, dtype=torch.float32), normal(64, 11, 3, seed=1, dtype=torch.float32)
    whole = value_and_gradients(lambda a, b: mmd2(a, b, kernel), x, y)
    for width in (1, 2, 7, 50):
        part = value_and_gradients(lambda a, b: mmd2(a, b, kernel), x[:width], y[:width])
        assert all(torch.equal(a[:width], b) for a, b in zip(whole, part, strict=True))


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e30])
@pytest.mark.parametrize("kernel", [Gaussian(2.0), Laplace(1.0)], ids=str)
@pytest.mark.filterwarnings("ignore::bench_core.discrepancies.BandwidthWarning")
def test_a_broken_trial_breaks_no_other(kernel, bad):
    x, y = normal(5, 20, 3, dtype=torch.float32), normal(5, 20, 3, seed=1, dtype=torch.float32)
    broken = x.clone()
    broken[2, 4, 1] = bad
    rest = [0, 1, 3, 4]
    for f in (lambda x: mmd2(x, y, kernel), mmd2_against(y, kernel)):
        value, gradient = value_and_gradients(f, x)
        broken_value, broken_gradient = value_and_gradients(f, broken)
        assert torch.equal(broken_value[rest], value[rest])
        assert torch.equal(broken_gradient[rest], gradient[rest])
        if not math.isinf(bad):  # a finite point is an outlier, however far; infinity may be either
            assert bool(broken_value[2].isnan()) == math.isnan(bad)
        again, _ = value_and_gradients(f, x)  # and nothing of it stays behind
        assert torch.equal(again, value)


# --- a sample that stays --------------------------------------------------------------------------------------------


def test_a_fixed_sample_is_copied_and_its_kernel_mean_computed_once(monkeypatch):
    from bench_core.discrepancies import _fused

    x, y = normal(2, 30, 3), normal(2, 20, 3, seed=1)
    f = mmd2_against(y, Gaussian(2.0))
    expected = f(x)
    y.zero_()
    calls: list[tuple[int, ...]] = []
    original = _fused._attention
    monkeypatch.setattr(_fused, "_attention", lambda *qkv: calls.append(qkv[0].shape) or original(*qkv))
    value, gradient = value_and_gradients(f, x)
    assert torch.equal(value, expected)
    assert calls == [(2, 30, 8)]  # one pass for value and gradient: queries x, padded; nothing of y alone
    leaf = x.clone().requires_grad_()
    recomputed = torch.autograd.grad(f(leaf).sum(), leaf, create_graph=True)[0]
    torch.testing.assert_close(recomputed.detach(), gradient)


def test_without_gradients_only_the_value_is_computed(monkeypatch):
    from bench_core.discrepancies import _fused

    x, y = normal(2, 30, 3).requires_grad_(), normal(2, 20, 3, seed=1).requires_grad_()
    keys: list[int] = []
    original = _fused._attention
    monkeypatch.setattr(_fused, "_attention", lambda *qkv: keys.append(qkv[1].shape[-2]) or original(*qkv))
    mmd2(x, y, Gaussian(2.0))
    with torch.no_grad():
        mmd2(x, y, Gaussian(2.0))
    assert keys == [1 + 20 + 30, 1 + 30 + 20, 1 + 20 + 30, 1 + 20]  # without them, y meets only itself and the null key


def test_a_fixed_sample_serves_several_sizes_and_modes():
    y, kernel = normal(2, 20, 3), Gaussian(2.0)
    with torch.inference_mode():
        f = mmd2_against(y, kernel)
        f(normal(2, 30, 3))
    for n in (30, 7, 30):
        x = normal(2, n, 3, seed=n)
        torch.testing.assert_close(value_and_gradients(f, x), value_and_gradients(lambda x: reference(x, y, 2.0), x))
    with torch.no_grad():
        assert not f(x.clone().requires_grad_()).requires_grad


def test_a_fixed_sample_may_be_used_again_before_the_gradient_is_taken():
    y, kernel = normal(2, 20, 3), Gaussian(2.0)
    f = mmd2_against(y, kernel)
    x, z = normal(2, 9, 3, seed=1).requires_grad_(), normal(2, 9, 3, seed=2)
    value = f(x).sum()
    f(z)  # writes into the same buffers
    torch.testing.assert_close(torch.autograd.grad(value, x)[0], value_and_gradients(f, x)[1])


# --- witness --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [Gaussian(2.0), Laplace(1.0), Linear()], ids=str)
def test_the_witness_is_the_difference_of_kernel_means(kernel):
    x, y, t = normal(2, 5, 3), normal(6, 3, seed=1), normal(2, 4, 3, seed=2)
    f = witness(x, y, kernel)
    expected = kernel(t, x).mean(-1) - kernel(t, y.expand(2, 6, 3)).mean(-1)
    torch.testing.assert_close(f(t), expected)
    assert f(t).shape == (2, 4)
    t.requires_grad_()
    assert torch.autograd.gradcheck(f, (t,))
    assert torch.autograd.gradgradcheck(f, (t,))
    assert torch.autograd.gradcheck(lambda x: witness(x, y, kernel)(t.detach()), (x.requires_grad_(),))


def test_the_means_of_the_witness_over_both_samples_give_the_biased_mmd2():
    x, y = normal(5, 3), normal(6, 3, seed=1)
    f = witness(x, y, Gaussian(2.0))
    torch.testing.assert_close(f(x).mean() - f(y).mean(), mmd2(x, y, Gaussian(2.0), "biased"))


def test_the_witness_by_chunks_and_in_float32(monkeypatch):
    from bench_core.discrepancies import _plain

    x, y, t = normal(50, 3), normal(40, 3, seed=1), normal(7, 3, seed=2)
    for kernel in (Laplace(1.0), Gaussian(2.0)):
        expected = kernel(t, x).mean(-1) - kernel(t, y).mean(-1)
        monkeypatch.setattr(_plain, "CHUNK_ELEMENTS", 3 * 40 * 3)
        value = witness(x.float(), y.float(), kernel)(t.float())
        torch.testing.assert_close(value.double(), expected, rtol=0, atol=2e-7)
        assert value.dtype == torch.float32


# --- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        ((5,), (5, 2), r"x must have shape \(\.\.\., n, d\), got \(5,\); try x\[:, None\] if d is 1"),
        ((5, 2), (0, 2), r"y must have shape .* at least 1, got \(0, 2\)"),
        ((5, 2), (6, 3), r"x and y must agree in their last axis.* got shapes \(5, 2\) and \(6, 3\)"),
        ((4, 5, 2), (3, 6, 2), r"leading axes of x and y must broadcast .* got shapes \(4, 5, 2\) and \(3, 6, 2\)"),
        ((1, 2), (6, 2), r"at least 2 points in x, got shape \(1, 2\); add points or use estimator='biased'"),
        ((6, 2), (1, 2), r"at least 2 points in y, got shape \(1, 2\); add points or use estimator='biased'"),
    ],
)
@pytest.mark.parametrize("kernel", [Gaussian(1.0), Laplace(1.0)], ids=str)
def test_shapes_that_do_not_fit(kernel, x, y, words):
    with pytest.raises(ValueError, match=words):
        mmd2(normal(*x), normal(*y), kernel)
    with pytest.raises(ValueError, match=words):
        mmd2_against(normal(*y), kernel)(normal(*x))


def test_one_point_is_enough_for_the_biased_estimator():
    x, y = normal(1, 2), normal(1, 2, seed=1)
    expected = torch.tensor(2 - 2 * gaussian(x[0].tolist(), y[0].tolist(), 1.0)).double()
    torch.testing.assert_close(mmd2(x, y, Gaussian(1.0), "biased"), expected)


def test_other_arguments_that_do_not_fit():
    x = normal(5, 2)
    with pytest.raises(ValueError, match=r"x must hold floating-point numbers, got torch\.int64; try x\.float\(\)"):
        mmd2(x.long(), x, Gaussian(1.0))
    with pytest.raises(ValueError, match="the estimator must be 'unbiased' or 'biased', got 'u'"):
        mmd2(x, x, Gaussian(1.0), "u")
    with pytest.raises(ValueError, match="must be on one device, got cpu and meta"):
        mmd2(x, x.to("meta"), Gaussian(1.0))
    with pytest.raises(ValueError, match=r"a matrix that ends in \(5, 5\), got \(5, 2\)"):
        mmd2(x, x, lambda a, b: a)
    with pytest.raises(ValueError, match=r"t and x must agree in their last axis.* \(5, 3\) and \(5, 2\)"):
        witness(x, x, Gaussian(1.0))(normal(5, 3))


def test_the_modules_import_without_torch():
    code = "import sys; sys.modules['torch'] = None; import bench_core.kernels, bench_core.discrepancies"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- CUDA -----------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("n", "d"), [(50, 10), (500, 3), (1000, 64)])
def test_cuda_agrees_with_the_reference(n, d, dtype):
    x, y = normal(4, n, d, dtype=dtype), normal(4, n, d, seed=1, dtype=dtype) + 0.1
    expected = value_and_gradients(lambda x, y: reference(x, y, float(d)), x, y)
    # Tensor cores cut sums off instead of rounding them: on an H200 values in float32 are off by up to 2.6e-7, whatever
    # n and d, and gradients no more than on a CPU.
    tolerance, of_value = (1e-7, 5e-7) if dtype == torch.float32 else (1e-12, 1e-12)
    torch.set_float32_matmul_precision("high")  # TF32 on: it must make no difference
    try:
        kernel = Gaussian(float(d))
        of_both = value_and_gradients(lambda x, y: mmd2(x, y, kernel), x.cuda(), y.cuda())
        of_x = value_and_gradients(mmd2_against(y.cuda(), kernel), x.cuda())
    finally:
        torch.set_float32_matmul_precision("highest")
    for result in (of_both, of_x):
        torch.testing.assert_close(result[0].cpu().double(), expected[0], rtol=0, atol=of_value)
        torch.testing.assert_close(result[1].cpu(), expected[1], rtol=1e-4, atol=tolerance)
    torch.testing.assert_close(of_both[2].cpu(), expected[2], rtol=1e-4, atol=tolerance)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_memory_stays_linear():
    n = 20_000
    x = torch.randn(n, 10, device="cuda", requires_grad=True)
    f = mmd2_against(torch.randn(n, 10, device="cuda"), Gaussian(10.0))
    torch.cuda.reset_peak_memory_stats()
    f(x).backward()
    assert torch.cuda.max_memory_allocated() < n * n  # a float32 matrix would be four times that
