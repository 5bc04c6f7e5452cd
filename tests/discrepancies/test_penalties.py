"""Gradient penalties of critics by hand, and against autograd through the witness function."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_core.discrepancies import witness
from bench_core.discrepancies.penalties import gradient_norms, mmd_gp, sobolev, wgan_gp
from bench_core.kernels import Gaussian, Laplace, Linear, RationalQuadratic


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def uniform(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def linear(weight: torch.Tensor):
    """The critic w'z, of one weight ``(d,)`` or one per trial ``(..., d)``."""
    return lambda z: (z * weight.unsqueeze(-2)).sum(-1)


def tanh_features(first: torch.Tensor, second: torch.Tensor):
    return lambda z: (torch.tanh(z @ first).unsqueeze(-1) * second.unsqueeze(-3)).sum(-2)


def slopes_of(function, points: torch.Tensor) -> torch.Tensor:
    """Slopes by autograd, point by point."""
    found = []
    for point in points:
        leaf = point.clone().requires_grad_()
        found.append(torch.autograd.grad(function(leaf[None]).sum(), leaf)[0].norm())
    return torch.stack(found)


# --- by hand --------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    batch=st.integers(1, 3),
    n=st.integers(1, 5),
    m=st.integers(1, 5),
    d=st.integers(1, 6),
    size=st.sampled_from([0.0, 0.1, 1.0, 30.0]),
    seed=st.integers(0, 100),
)
def test_linear_critics(batch, n, m, d, size, seed):
    """|w|, (|w| - 1)^2 and |w|^2 - 1, wherever the points are."""
    x, y, weight = (
        normal(batch, n, d, seed=seed),
        normal(batch, m, d, seed=seed + 1),
        size * normal(batch, d, seed=seed),
    )
    norm = weight.square().sum(-1).sqrt()
    critic = linear(weight)
    torch.testing.assert_close(gradient_norms(critic, x), norm[:, None].expand(batch, n))
    torch.testing.assert_close(wgan_gp(critic, x, x + 1, uniform(batch, n, 1)), (norm - 1).square())
    torch.testing.assert_close(sobolev(critic, x, y), norm.square() - 1)


def test_a_quadratic_critic_has_the_slope_of_its_points():
    points = normal(2, 5, 3)
    norms = gradient_norms(lambda z: z.square().sum(-1) / 2, points)
    torch.testing.assert_close(norms, points.square().sum(-1).sqrt())


def test_interpolation_is_between_the_samples_of_a_pair():
    x, y, share = normal(2, 5, 3), normal(2, 5, 3, seed=1), uniform(2, 5, 1)
    seen: list[torch.Tensor] = []

    def critic(z: torch.Tensor) -> torch.Tensor:
        seen.append(z)
        return z.square().sum(-1) / 2

    between = share * x + (1 - share) * y
    value = wgan_gp(critic, x, y, share)
    torch.testing.assert_close(value, (between.square().sum(-1).sqrt() - 1).square().mean(-1))
    torch.testing.assert_close(wgan_gp(critic, x, y, torch.ones(5, 1).double()), wgan_gp(critic, x, x, share))
    assert len(seen) == 3


def test_the_sobolev_constraint_is_the_mean_over_both_samples():
    x, y = normal(5, 3), normal(7, 3, seed=1)
    expected = (x.square().sum(-1).mean() + y.square().sum(-1).mean()) / 2 - 1
    torch.testing.assert_close(sobolev(lambda z: z.square().sum(-1) / 2, x, y), expected)


def test_the_norm_is_over_the_whole_image():
    weight = normal(2, 4, 4)  # channels, height, width

    def critic(z: torch.Tensor) -> torch.Tensor:
        return (z.reshape(*z.shape[:-1], 2, 4, 4) * weight).sum((-3, -2, -1))

    norms = gradient_norms(critic, normal(3, 32, seed=1))
    torch.testing.assert_close(norms, weight.square().sum().sqrt().expand(3))


def test_the_penalty_of_the_mmd_refuses_a_kernel_without_a_derivative():
    with pytest.raises(ValueError, match="the Laplace kernel has no derivative"):
        mmd_gp(torch.ones(2, 1), torch.zeros(2, 1), Laplace(1.0), lambda z: z, torch.full((2, 1), 0.5))


@pytest.mark.parametrize("kernel", [Gaussian(1.5), RationalQuadratic(0.7), Linear()], ids=str)
def test_the_penalty_of_the_mmd_is_that_of_its_witness(kernel):
    x, y, share = normal(5, 3), normal(5, 3, seed=1), uniform(5, 1)
    features = tanh_features(normal(3, 4, seed=2), normal(4, 2, seed=3))
    of_features = witness(features(x), features(y), kernel)
    norms = slopes_of(lambda t: of_features(features(t)), share * x + (1 - share) * y)
    torch.testing.assert_close(mmd_gp(x, y, kernel, features, share), (norms - 1).square().mean())


def test_the_witness_of_a_linear_kernel_by_hand():
    """f(t) = (mean phi x - mean phi y)'phi t; with phi z = z w, its gradient is w^2 (mean x - mean y)."""
    x, y = normal(4, 1), normal(4, 1, seed=1)
    slope = 9 * (x.mean() - y.mean()).abs()
    value = mmd_gp(x, y, Linear(), lambda z: 3 * z, uniform(4, 1))
    torch.testing.assert_close(value, (slope - 1).square())


# --- derivatives ----------------------------------------------------------------------------------------------------


def penalties_of(features) -> dict[str, torch.Tensor]:
    x, y, share = normal(2, 3, 2), normal(2, 3, 2, seed=1), uniform(2, 3, 1)

    def critic(z: torch.Tensor) -> torch.Tensor:
        return features(z).sum(-1)

    return {
        "norms": gradient_norms(critic, x),
        "wgan_gp": wgan_gp(critic, x, y, share),
        "sobolev": sobolev(critic, x, y),
        "mmd_gp": mmd_gp(x, y, Gaussian(1.5), features, share),
    }


@pytest.mark.parametrize("name", ["norms", "wgan_gp", "sobolev", "mmd_gp"])
@pytest.mark.parametrize("stacked", [False, True])
def test_gradcheck_with_respect_to_what_the_critic_holds(name, stacked):
    lead = (2,) if stacked else ()
    weights = normal(*lead, 2, 2, seed=2).requires_grad_(), normal(*lead, 2, 2, seed=3).requires_grad_()
    assert torch.autograd.gradcheck(lambda *w: penalties_of(tanh_features(*w))[name], weights)
    assert torch.autograd.gradgradcheck(lambda *w: penalties_of(tanh_features(*w))[name], weights)


def test_gradcheck_with_respect_to_the_samples():
    x, y = normal(3, 2).requires_grad_(), normal(3, 2, seed=1).requires_grad_()
    features = tanh_features(normal(2, 2, seed=2), normal(2, 1, seed=3))
    assert torch.autograd.gradcheck(lambda x, y: mmd_gp(x, y, Gaussian(1.5), features, uniform(3, 1)), (x, y))


def test_a_flat_critic_has_slope_and_derivative_zero():
    weight = torch.zeros(3).double().requires_grad_()
    x = normal(4, 3)
    norms = gradient_norms(linear(weight), x)
    assert torch.equal(norms, torch.zeros(4).double())
    for value in (norms.sum(), wgan_gp(linear(weight), x, x + 1, uniform(4, 1))):
        (gradient,) = torch.autograd.grad(value, weight, retain_graph=True)
        assert torch.equal(gradient, torch.zeros(3).double())
    # one flat point must not spoil the others
    points = torch.stack([torch.zeros(3), torch.tensor([3.0, 0.0, 4.0])]).double().requires_grad_()
    norms = gradient_norms(lambda z: z.square().sum(-1) / 2, points)
    (gradient,) = torch.autograd.grad(norms.sum(), points)
    torch.testing.assert_close(gradient, torch.tensor([[0.0, 0, 0], [0.6, 0, 0.8]]).double())
    assert bool(mmd_gp(x, x, Gaussian(1.0), lambda z: 0 * z, uniform(4, 1)) == 1)


# --- batches --------------------------------------------------------------------------------------------------------


def test_a_batch_is_its_trials_one_by_one():
    trials = 3
    x, y, share = normal(trials, 5, 2), normal(trials, 5, 2, seed=1), uniform(trials, 5, 1)
    first, second = normal(trials, 2, 4, seed=2), normal(trials, 4, 2, seed=3)

    def everything(x, y, share, *weights) -> list[torch.Tensor]:
        features = tanh_features(*weights)

        def critic(z: torch.Tensor) -> torch.Tensor:
            return features(z).sum(-1)

        penalty = mmd_gp(x, y, Gaussian(1.0), features, share)
        return [gradient_norms(critic, x), wgan_gp(critic, x, y, share), sobolev(critic, x, y), penalty]

    whole = everything(x, y, share, first, second)
    assert [tuple(found.shape) for found in whole] == [(trials, 5), (trials,), (trials,), (trials,)]
    for i in range(trials):
        torch.testing.assert_close([found[i] for found in whole], everything(x[i], y[i], share[i], first[i], second[i]))
    # samples that the trials share, critics that they do not
    shared = everything(x[0], y[0], share[0], first, second)
    for i in range(trials):
        expected = everything(x[0], y[0], share[0], first[i], second[i])
        torch.testing.assert_close([found[i] for found in shared], expected)


def test_leading_axes_broadcast():
    x, y, share = normal(2, 1, 5, 3), normal(4, 5, 3, seed=1), uniform(5, 1)
    critic = linear(normal(3, seed=2))
    assert wgan_gp(critic, x, y, share).shape == (2, 4)
    assert mmd_gp(x, y, Gaussian(1.0), lambda z: 2 * z, share).shape == (2, 4)
    assert sobolev(critic, x, y).shape == (2, 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtypes(dtype):
    x, y, share = normal(5, 3, dtype=dtype), normal(5, 3, seed=1, dtype=dtype), uniform(5, 1).to(dtype)
    critic = linear(normal(3, seed=2, dtype=dtype))
    for value in (
        gradient_norms(critic, x),
        wgan_gp(critic, x, y, share),
        sobolev(critic, x, y),
        mmd_gp(x, y, Gaussian(1.0), lambda z: 2 * z, share),
    ):
        assert value.dtype == dtype


def test_a_broken_trial_breaks_no_other():
    x, y, share = normal(3, 4, 2), normal(3, 4, 2, seed=1), uniform(3, 4, 1)
    x[1, 2, 0] = math.nan
    values = mmd_gp(x, y, Gaussian(1.0), lambda z: 2 * z, share)
    assert values.isnan().tolist() == [False, True, False]


# --- words ----------------------------------------------------------------------------------------------------------


def test_critics_and_features_of_another_shape():
    x, share = normal(2, 5, 3), uniform(2, 5, 1)
    words = r"a critic must map each point of a sample to a number, \(2, 5, 3\) to \(\.\.\., 5\), got \(2, 5, 1\); try"
    for call in (
        lambda f: gradient_norms(f, x),
        lambda f: wgan_gp(f, x, x, share),
        lambda f: sobolev(f, x, x),
    ):
        with pytest.raises(ValueError, match=words):
            call(lambda z: z.sum(-1, keepdim=True))
    with pytest.raises(ValueError, match=r"\(5, 3\) to \(\.\.\., 5\), got \(\)"):
        gradient_norms(lambda z: z.sum(), x[0])


@pytest.mark.parametrize(
    ("x", "y", "share", "words"),
    [
        ((5,), (5, 2), (5, 1), r"x must have shape \(\.\.\., n, d\), got \(5,\)"),
        ((5, 2), (5, 3), (5, 1), r"x and y must agree in their last axis"),
        (
            (5, 2),
            (6, 2),
            (5, 1),
            r"as many points in x as in y, got shapes \(5, 2\) and \(6, 2\); leave out the surplus",
        ),
        ((5, 2), (5, 2), (5, 2), r"share must have shape \(\.\.\., 5, 1\), one number per pair, got \(5, 2\)"),
        ((5, 2), (5, 2), (1, 1), r"share must have shape \(\.\.\., 5, 1\), one number per pair, got \(1, 1\)"),
    ],
)
def test_shapes_that_do_not_fit(x, y, share, words):
    with pytest.raises(ValueError, match=words):
        wgan_gp(lambda z: z.sum(-1), normal(*x), normal(*y), uniform(*share))
    with pytest.raises(ValueError, match=words):
        mmd_gp(normal(*x), normal(*y), Gaussian(1.0), lambda z: 2 * z, uniform(*share))


def test_the_sobolev_samples_must_fit():
    with pytest.raises(ValueError, match="x and y must agree in their last axis"):
        sobolev(lambda z: z.sum(-1), normal(5, 2), normal(5, 3))


# --- CUDA -----------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_with_the_cpu():
    x, y, share = normal(4, 20, 5), normal(4, 20, 5, seed=1), uniform(4, 20, 1)
    weights = normal(4, 5, 8, seed=2), normal(4, 8, 2, seed=3)

    def everything(device: str) -> list[torch.Tensor]:
        leaves = [weight.to(device).requires_grad_() for weight in weights]
        features = tanh_features(*leaves)
        samples = [z.to(device) for z in (x, y)]
        values = (
            wgan_gp(lambda z: features(z).sum(-1), *samples, share.to(device)),
            sobolev(lambda z: features(z).sum(-1), *samples),
            mmd_gp(*samples, Gaussian(1.0), features, share.to(device)),
        )
        gradients = torch.autograd.grad(sum(value.sum() for value in values), leaves)
        return [found.detach().cpu() for found in (*values, *gradients)]

    torch.testing.assert_close(everything("cuda"), everything("cpu"), rtol=1e-10, atol=1e-10)
