"""The Scaled MMD against closed forms and Jacobians by hand or by a slow, independent way; derivatives; batches."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_core.discrepancies import mmd2
from bench_core.discrepancies.smmd import smmd2, smmd_scale
from bench_core.kernels import Coulomb, Gaussian, InverseMultiquadric, Laplace, Linear, Mixture, RationalQuadratic

RADIAL = {  # kernel: g(0), |g'(0)|, where K(a, b) = g(|a - b|^2)
    Gaussian(2.0): (1.0, 1 / 4),
    RationalQuadratic(0.7, 1.5): (1.0, 1 / (2 * 1.5**2)),
    InverseMultiquadric(3.0): (1.0, 1 / 3),
    Coulomb(4, 0.5): (0.5**-2, 0.5**-4),
    Mixture([Gaussian(2.0), InverseMultiquadric(3.0)]): (2.0, 1 / 4 + 1 / 3),
}


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def tanh_net(*weights: torch.Tensor):
    """Features ``(..., n, d) -> (..., n, s)`` that hold weights ``(d, h), ..., (h, s)``, maybe stacked per trial."""

    def features(z: torch.Tensor) -> torch.Tensor:
        for weight in weights[:-1]:
            z = torch.tanh(z @ weight)
        return (z.unsqueeze(-1) * weights[-1].unsqueeze(-3)).sum(-2)

    return features


def slow_jacobians(features, z: torch.Tensor) -> torch.Tensor:
    """Point by point, ``(M, s, d)`` of ``z`` ``(M, d)``."""
    return torch.stack([torch.autograd.functional.jacobian(lambda p: features(p[None])[0], point) for point in z])


def polynomial(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """(1 + x'y)^2, which is not radial: its mixed derivative at (a, a) is 2 (1 + |a|^2) I + 2 aa'."""
    return (1 + (x.unsqueeze(-2) * y.unsqueeze(-3)).sum(-1)).square()


def named(kernel: object) -> str:
    """An id that is the same in every process, which the address of a function is not."""
    return getattr(kernel, "__name__", str(kernel))


# --- the scale against oracles --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", RADIAL, ids=str)
@pytest.mark.parametrize("outputs", [1, 3])
def test_a_radial_kernel_has_the_scale_of_the_paper(kernel, outputs):
    level, slope = RADIAL[kernel]
    z, features = normal(6, 4), tanh_net(normal(4, 5, seed=1), normal(5, outputs, seed=2))
    squared = slow_jacobians(features, z).square().sum((-2, -1)).mean()
    scale = smmd_scale(z, kernel, features, lam=0.3)
    torch.testing.assert_close(1 / scale, 0.3 + level + 2 * slope * squared)


def test_a_linear_kernel_has_the_scale_of_the_paper():
    z, features = normal(6, 4), tanh_net(normal(4, 5, seed=1), normal(5, 3, seed=2))
    squared = slow_jacobians(features, z).square().sum((-2, -1)).mean() + features(z).square().sum(-1).mean()
    torch.testing.assert_close(1 / smmd_scale(z, Linear(), features, lam=0.3), 0.3 + squared)


@pytest.mark.parametrize("outputs", [1, 3])
def test_any_other_function_has_the_trace_of_its_own_mixed_derivative(outputs):
    z, features = normal(6, 4), tanh_net(normal(4, 5, seed=1), normal(5, outputs, seed=2))
    phi, jacobian = features(z), slow_jacobians(features, z)
    norm = 1 + phi.square().sum(-1)
    mixed = 2 * norm[:, None, None] * torch.eye(outputs).double() + 2 * phi.unsqueeze(-1) * phi.unsqueeze(-2)
    trace = (jacobian.mT @ mixed @ jacobian).diagonal(dim1=-2, dim2=-1).sum(-1)
    torch.testing.assert_close(1 / smmd_scale(z, polynomial, features), 1 + (norm.square() + trace).mean())


def test_a_kernel_of_the_composition_has_the_same_scale():
    """Proposition 4 speaks of k = K o phi on the inputs: differentiated as it stands, with no chain rule of ours."""
    z, features = normal(5, 3), tanh_net(normal(3, 4, seed=1), normal(4, 2, seed=2))

    def composed(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return Gaussian(2.0)(features(a), features(b))

    torch.testing.assert_close(smmd_scale(z, composed), smmd_scale(z, Gaussian(2.0), features))


def test_a_linear_network_by_hand():
    z, weight = normal(6, 4), normal(4, 3, seed=1)
    squared = weight.square().sum()
    values = (z @ weight).square().sum(-1).mean()
    by_hand = {
        Gaussian(2.0): (1 + 1 + squared / 2, 1 + 10 * squared),
        Linear(): (1 + values + squared, 1 + 10 * (values + squared)),
    }
    for kernel, (theory, paper) in by_hand.items():
        torch.testing.assert_close(1 / smmd_scale(z, kernel, lambda z: z @ weight), theory)
        torch.testing.assert_close(1 / smmd_scale(z, kernel, lambda z: z @ weight, scaling="paper"), paper)


def test_a_tanh_network_by_hand():
    z, first, second = normal(6, 4), normal(4, 5, seed=1), normal(5, 1, seed=2)
    inner = 1 - torch.tanh(z @ first).square()  # (6, 5)
    gradient = (first * (inner * second.mT).unsqueeze(-2)).sum(-1)  # (6, 4)
    scale = smmd_scale(z, Gaussian(1.0), tanh_net(first, second))
    torch.testing.assert_close(1 / scale, 2 + gradient.square().sum(-1).mean())


def test_without_features_they_are_the_identity():
    z = normal(2, 6, 4)
    for kernel in (*RADIAL, Linear(), polynomial):
        torch.testing.assert_close(smmd_scale(z, kernel), smmd_scale(z, kernel, lambda z: 1 * z))
    for kernel in (Gaussian(1.0), Linear()):
        expected = smmd_scale(z, kernel, lambda z: 1 * z, scaling="paper")
        torch.testing.assert_close(smmd_scale(z, kernel, scaling="paper"), expected)


@pytest.mark.parametrize("kernel", [Gaussian(7.0), RationalQuadratic(1.0), Laplace(1.0), polynomial], ids=named)
def test_the_scale_of_the_experiments_is_blind_to_the_kernel(kernel):
    z, features = normal(6, 4), tanh_net(normal(4, 5, seed=1), normal(5, 1, seed=2))
    squared = slow_jacobians(features, z).square().sum((-2, -1)).mean()
    torch.testing.assert_close(smmd_scale(z, kernel, features, scaling="paper"), 1 / (1 + 10 * squared))


def test_the_scale_of_the_linear_experiments_is_ten_times_less_than_that_of_the_theory_at_a_tenth():
    z, features = normal(6, 4), tanh_net(normal(4, 5, seed=1), normal(5, 1, seed=2))
    theory = smmd_scale(z, Linear(), features, lam=0.1)
    torch.testing.assert_close(10 * smmd_scale(z, Linear(), features, scaling="paper"), theory)


# --- the discrepancy against closed forms ---------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    theta=st.floats(-20, 20),
    psi=st.floats(1e-3, 50),
    lam=st.floats(1e-3, 10),
    at=st.lists(st.floats(-30, 30), min_size=1, max_size=4),
)
def test_two_points_have_the_closed_form_for_every_measure(theta, psi, lam, at):
    """P = delta_0, Q = delta_theta, phi = psi x: 2 (1 - exp(-psi^2 theta^2 / 2)) / (lam + 1 + psi^2)."""
    x, y = torch.zeros(2, 1).double(), torch.full((3, 1), theta, dtype=torch.float64)
    mmd = -2 * math.expm1(-((psi * theta) ** 2) / 2)
    mu = torch.tensor(at, dtype=torch.float64)[:, None]
    for measure in (None, mu):
        value = smmd2(x, y, Gaussian(1.0), features=lambda z: psi * z, mu=measure, lam=lam)
        assert value.item() == pytest.approx(mmd / (lam + 1 + psi**2), rel=1e-10, abs=1e-13)
        value = smmd2(x, y, Gaussian(1.0), features=lambda z: psi * z, mu=measure, scaling="paper", estimator="biased")
        assert value.item() == pytest.approx(mmd / (1 + 10 * psi**2), rel=1e-10, abs=1e-13)


@settings(max_examples=20, deadline=None)
@given(factor=st.floats(0.01, 100), seed=st.integers(0, 100))
def test_scaling_a_linear_critic_changes_nothing_without_lambda(factor, seed):
    x, y = normal(5, 3, seed=seed), normal(6, 3, seed=seed + 1) + 0.5
    features = tanh_net(normal(3, 4, seed=seed + 2), normal(4, 2, seed=seed + 3))
    expected = smmd2(x, y, Linear(), features=features, lam=1e-14)
    value = smmd2(x, y, Linear(), features=lambda z: factor * features(z), lam=1e-14)
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
@pytest.mark.parametrize("scaling", ["theory", "paper"])
def test_it_is_the_scale_times_the_mmd_of_the_features(scaling, estimator):
    x, y, mu = normal(5, 3), normal(6, 3, seed=1), normal(7, 3, seed=2)
    features = tanh_net(normal(3, 4, seed=3), normal(4, 2, seed=4))
    plain = mmd2(features(x), features(y), Gaussian(1.5), estimator)
    for measure in (None, mu):
        value = smmd2(x, y, Gaussian(1.5), features=features, mu=measure, scaling=scaling, estimator=estimator)
        scale = smmd_scale(x if measure is None else mu, Gaussian(1.5), features, scaling=scaling)
        torch.testing.assert_close(value, scale * plain)


def test_it_bounds_the_slope_of_the_witness():
    """The witness f, divided by its norm and sigma^-1, has E f^2 + E |grad f|^2 + lam |f|^2 of at most 1."""
    x, y, lam = normal(8, 2), normal(8, 2, seed=1) + 1, 0.5
    kernel = Gaussian(1.0)
    points = x.clone().requires_grad_()
    value = kernel(points, x).mean(-1) - kernel(points, y).mean(-1)
    (slope,) = torch.autograd.grad(value.sum(), points)
    squared_norm = mmd2(x, y, kernel, "biased")
    total = value.detach().square().mean() + slope.square().sum(-1).mean() + lam * squared_norm
    assert total <= squared_norm / smmd_scale(x, kernel, lam=lam)


# --- derivatives ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [Gaussian(1.5), RationalQuadratic(0.7), Linear(), polynomial], ids=named)
@pytest.mark.parametrize("outputs", [1, 2])
def test_gradcheck_with_respect_to_samples_and_weights(kernel, outputs):
    x, y = normal(2, 2), normal(2, 2, seed=1)
    weights = normal(2, 2, seed=2), normal(2, outputs, seed=3)
    leaves = [leaf.requires_grad_() for leaf in (x, y, *weights)]

    def value(x, y, *weights):
        return smmd2(x, y, kernel, features=tanh_net(*weights))

    assert torch.autograd.gradcheck(value, leaves)
    assert torch.autograd.gradgradcheck(value, leaves)


@pytest.mark.parametrize("kernel", [Gaussian(1.5), Linear()], ids=str)
def test_gradcheck_of_the_experiments_scaling_and_of_another_measure(kernel):
    x, y, mu = normal(3, 2), normal(3, 2, seed=1), normal(2, 2, seed=4).requires_grad_()
    weights = normal(2, 3, seed=2).requires_grad_(), normal(3, 1, seed=3).requires_grad_()

    def value(mu, *weights):
        return smmd2(x, y, kernel, features=tanh_net(*weights), mu=mu, scaling="paper", estimator="biased")

    assert torch.autograd.gradcheck(value, (mu, *weights))
    assert torch.autograd.gradgradcheck(value, (mu, *weights))


def test_parameters_that_the_features_hold_are_differentiated_one_set_per_trial():
    trials = 3
    x, y = normal(trials, 5, 2), normal(trials, 6, 2, seed=1)
    weights = [normal(trials, 2, 4, seed=2).requires_grad_(), normal(trials, 4, 2, seed=3).requires_grad_()]
    values = smmd2(x, y, Gaussian(1.0), features=tanh_net(*weights))
    gradients = torch.autograd.grad(values.sum(), weights)
    for i in range(trials):
        own = [weight[i].detach().requires_grad_() for weight in weights]
        value = smmd2(x[i], y[i], Gaussian(1.0), features=tanh_net(*own))
        torch.testing.assert_close(values[i], value)
        expected = torch.autograd.grad(value, own)
        torch.testing.assert_close([gradient[i] for gradient in gradients], list(expected))
    assert torch.autograd.gradcheck(lambda *w: smmd2(x, y, Gaussian(1.0), features=tanh_net(*w)), weights)


def test_a_module_with_weights_of_its_own_is_a_feature_map():
    net = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.LeakyReLU(0.2), torch.nn.Linear(6, 1)).double()
    with torch.no_grad():
        for i, weight in enumerate(net.parameters()):
            weight.copy_(normal(*weight.shape, seed=i))
    z = normal(7, 4)
    scale = smmd_scale(z, Gaussian(1.0), net)
    torch.testing.assert_close(1 / scale, 2 + slow_jacobians(net, z).square().sum((-2, -1)).mean())
    gradients = torch.autograd.grad(scale, list(net.parameters()), allow_unused=True)
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients[::2])


def test_a_convolution_is_differentiated_image_by_image():
    kernel = normal(2, 1, 3, 3)

    def features(z: torch.Tensor) -> torch.Tensor:
        images = z.reshape(-1, 1, 4, 4)
        return torch.tanh(torch.nn.functional.conv2d(images, kernel)).sum((-2, -1)).reshape(*z.shape[:-1], 2)

    z = normal(3, 16, seed=1)
    expected = 2 + slow_jacobians(features, z).square().sum((-2, -1)).mean()
    torch.testing.assert_close(1 / smmd_scale(z, Gaussian(1.0), features), expected)
    torch.testing.assert_close(1 / smmd_scale(z.expand(2, 3, 16), Gaussian(1.0), features), expected.expand(2))


def test_the_generators_gradient_passes_by_the_scale():
    x, y = normal(5, 2), normal(6, 2, seed=1).requires_grad_()
    features = tanh_net(normal(2, 3, seed=2), normal(3, 1, seed=3))
    (gradient,) = torch.autograd.grad(smmd2(x, y, Gaussian(1.0), features=features), y)
    (of_mmd,) = torch.autograd.grad(mmd2(features(x), features(y), Gaussian(1.0)), y)
    torch.testing.assert_close(gradient, smmd_scale(x, Gaussian(1.0), features) * of_mmd)


def test_a_flat_critic_has_finite_gradients():
    x, y = normal(4, 2), normal(4, 2, seed=1)
    weights = torch.zeros(2, 3).double().requires_grad_(), torch.zeros(3, 2).double().requires_grad_()
    value = smmd2(x, y, Gaussian(1.0), features=tanh_net(*weights))
    assert value.item() == 0
    assert all(bool(gradient.isfinite().all()) for gradient in torch.autograd.grad(value, weights))


def test_no_graph_is_kept_without_gradients():
    x, y = normal(5, 2), normal(6, 2, seed=1)
    features = tanh_net(normal(2, 3, seed=2).requires_grad_(), normal(3, 1, seed=3))
    expected = smmd2(x, y, Gaussian(1.0), features=features)
    with torch.no_grad():
        value = smmd2(x, y, Gaussian(1.0), features=features)
    assert not value.requires_grad
    assert torch.equal(value, expected)


# --- batches --------------------------------------------------------------------------------------------------------


def test_leading_axes_broadcast():
    x, y, mu = normal(2, 1, 5, 3), normal(4, 6, 3, seed=1), normal(7, 3, seed=2)
    features = tanh_net(normal(3, 4, seed=3), normal(4, 2, seed=4))
    for measure in (None, mu):
        values = smmd2(x, y, Gaussian(2.0), features=features, mu=measure)
        assert values.shape == (2, 4)
        for i in range(2):
            for j in range(4):
                own = smmd2(x[i, 0], y[j], Gaussian(2.0), features=features, mu=measure)
                torch.testing.assert_close(values[i, j], own)
    assert smmd2(x[0, 0], y[0], Gaussian(2.0)).shape == ()


@pytest.mark.parametrize("outputs", [1, 2])
def test_weights_per_trial_meet_points_that_the_trials_share(outputs):
    """The derivatives of the trials must not be added up."""
    x, y, trials = normal(5, 3), normal(6, 3, seed=1), 4
    weights = normal(trials, 3, 4, seed=2), normal(trials, 4, outputs, seed=3)
    for scaling in ("theory", "paper"):
        values = smmd2(x, y, Gaussian(2.0), features=tanh_net(*weights), scaling=scaling)
        of_each = [
            smmd2(x, y, Gaussian(2.0), features=tanh_net(*(weight[i] for weight in weights)), scaling=scaling)
            for i in range(trials)
        ]
        torch.testing.assert_close(values, torch.stack(of_each))


@pytest.mark.parametrize("scaling", ["theory", "paper"])
@pytest.mark.parametrize("kernel", [Gaussian(2.0), RationalQuadratic(0.7), Linear()], ids=str)
def test_a_trial_of_one_feature_is_bitwise_the_same_at_every_width(kernel, scaling):
    trials = 64
    x, y = normal(trials, 21, 3, dtype=torch.float32), normal(trials, 23, 3, seed=1, dtype=torch.float32)
    first, second = (normal(trials, *shape, seed=2, dtype=torch.float32) / 3 for shape in ((3, 8), (8, 1)))

    def everything(these: slice) -> list[torch.Tensor]:
        weights = [weight[these].clone().requires_grad_() for weight in (first, second)]

        def features(z: torch.Tensor) -> torch.Tensor:
            return (torch.relu(z @ weights[0]) * weights[1].mT).sum(-1, keepdim=True)

        value = smmd2(x[these], y[these], kernel, features=features, scaling=scaling)
        return [value.detach(), *torch.autograd.grad(value.sum(), weights)]

    whole = everything(slice(0, trials))
    for width, start in ((1, 3), (2, 5), (7, 11), (50, 14)):
        these = slice(start, start + width)
        for all_trials, part in zip(whole, everything(these), strict=True):
            assert torch.equal(all_trials[these], part)


def test_a_broken_trial_breaks_no_other():
    x, y = normal(4, 6, 3), normal(4, 6, 3, seed=1)
    broken = x.clone()
    broken[2, 1, 0] = math.nan
    features = tanh_net(normal(3, 4, seed=2), normal(4, 2, seed=3))
    values, with_nan = (smmd2(z, y, Gaussian(1.0), features=features) for z in (x, broken))
    assert with_nan.isnan().tolist() == [False, False, True, False]
    assert torch.equal(with_nan[[0, 1, 3]], values[[0, 1, 3]])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes(dtype):
    x, y, weight = normal(8, 3, dtype=dtype), normal(8, 3, seed=1, dtype=dtype), normal(3, 2, seed=2, dtype=dtype)
    wanted = torch.float64 if dtype == torch.float64 else torch.float32
    tolerance = {torch.float16: 5e-3, torch.bfloat16: 5e-2, torch.float32: 1e-5, torch.float64: 1e-12}[dtype]
    for scaling in ("theory", "paper"):
        value = smmd2(x, y, Gaussian(2.0), features=lambda z: z @ weight, scaling=scaling)
        expected = smmd2(x.double(), y.double(), Gaussian(2.0), features=lambda z: z @ weight.double(), scaling=scaling)
        assert value.dtype == wanted
        assert smmd_scale(x, Gaussian(2.0), scaling=scaling).dtype == wanted
        torch.testing.assert_close(value.double(), expected, rtol=tolerance, atol=tolerance)


def test_autocast_leaves_the_scale_exact():
    z, weight = normal(8, 3, dtype=torch.float32), normal(3, 4, seed=2, dtype=torch.float32)

    def features(z: torch.Tensor) -> torch.Tensor:
        return (z.unsqueeze(-1) * weight).sum(-2)  # no product of matrices: only ours could lose digits

    expected = smmd_scale(z, Gaussian(1.0), features)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(smmd_scale(z, Gaussian(1.0), features), expected)


# --- words ----------------------------------------------------------------------------------------------------------


def test_a_kernel_without_a_derivative_is_refused_by_the_theory():
    z = normal(5, 2)
    for kernel in (Laplace(1.0), Mixture([Gaussian(1.0), Laplace(1.0)])):
        with pytest.raises(ValueError, match="the Laplace kernel has no derivative where points coincide"):
            smmd_scale(z, kernel)
        with pytest.raises(ValueError, match="take Gaussian, RationalQuadratic or InverseMultiquadric"):
            smmd2(z, z, kernel, features=lambda z: 2 * z)


def test_unknown_words_are_answered_with_a_suggestion():
    z = normal(5, 2)
    words = r"unknown scaling 'theorie'; did you mean 'theory'\? \(known: paper, theory\)"
    with pytest.raises(ValueError, match=words):
        smmd2(z, z, Gaussian(1.0), scaling="theorie")
    with pytest.raises(ValueError, match=words):
        smmd_scale(z, Gaussian(1.0), scaling="theorie")
    with pytest.raises(ValueError, match="the estimator must be 'unbiased' or 'biased', got 'u'"):
        smmd2(z, z, Gaussian(1.0), estimator="u")


@pytest.mark.parametrize("lam", [0.0, -1.0, math.inf, math.nan])
def test_lambda_must_be_positive(lam):
    with pytest.raises(ValueError, match=r"lam must be a positive finite number, got .*; try lam=1\.0"):
        smmd_scale(normal(5, 2), Gaussian(1.0), lam=lam)


def test_lambda_is_refused_where_it_is_not_used():
    z = normal(5, 2)
    with pytest.raises(ValueError, match=r"scaling='paper' has no lambda, got lam=0\.1; leave it out or use"):
        smmd2(z, z, Gaussian(1.0), lam=0.1, scaling="paper")
    smmd2(z, z, Gaussian(1.0), lam=1.0, scaling="paper")


@pytest.mark.parametrize(
    ("x", "y", "mu", "words"),
    [
        ((5,), (5, 2), None, r"x must have shape \(\.\.\., n, d\), got \(5,\)"),
        ((5, 2), (6, 3), None, r"x and y must agree in their last axis"),
        ((4, 5, 2), (3, 6, 2), None, r"leading axes of x and y must broadcast"),
        ((1, 2), (6, 2), None, r"at least 2 points in x"),
        ((5, 2), (6, 2), (7,), r"mu must have shape \(\.\.\., n, d\), got \(7,\)"),
        ((5, 2), (6, 2), (7, 3), r"mu and x must agree in their last axis.* got shapes \(7, 3\) and \(5, 2\)"),
        ((2, 5, 2), (6, 2), (3, 7, 2), r"leading axes of mu and x must broadcast"),
    ],
)
def test_shapes_that_do_not_fit(x, y, mu, words):
    with pytest.raises(ValueError, match=words):
        smmd2(normal(*x), normal(*y), Gaussian(1.0), mu=None if mu is None else normal(*mu))


@pytest.mark.parametrize("features", [lambda z: z.sum(-1), lambda z: z[..., :2, :], lambda z: z.mean((-2, -1))])
def test_features_that_lose_points(features):
    words = r"features must map each point of a sample on its own, \(2, 5, 3\) to \(\.\.\., 5, s\), got"
    with pytest.raises(ValueError, match=words):
        smmd_scale(normal(2, 5, 3), Gaussian(1.0), features)


def test_the_modules_import_without_torch():
    modules = "smmd", "penalties", "optimised"
    imported = ", ".join(["bench_core.spectral", *(f"bench_core.discrepancies.{module}" for module in modules)])
    subprocess.run([sys.executable, "-c", f"import sys; sys.modules['torch'] = None; import {imported}"], check=True)


# --- CUDA -----------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("outputs", [1, 3])
def test_cuda_agrees_with_the_cpu(outputs, dtype):
    samples = normal(4, 50, 10), normal(4, 60, 10, seed=1) + 0.1
    weights = normal(4, 10, 16, seed=2) / 3, normal(4, 16, outputs, seed=3) / 4

    def everything(device: str, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
        x, y = (sample.to(device, dtype) for sample in samples)
        leaves = [weight.to(device, dtype).requires_grad_() for weight in weights]
        value = smmd2(x, y, Gaussian(1.0), features=tanh_net(*leaves))
        return tuple(found.double().cpu() for found in (value.detach(), *torch.autograd.grad(value.sum(), leaves)))

    tolerance = 1e-5 if dtype == torch.float32 else 1e-11
    torch.testing.assert_close(
        everything("cuda", dtype), everything("cpu", torch.float64), rtol=tolerance, atol=tolerance
    )
