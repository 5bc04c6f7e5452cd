"""The landscapes of MMD^2 against the printed formulas, simulation, derivatives and what the theorems say."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bench_core.landscape import (
    GaussianCov,
    GaussianMean,
    GMMMean,
    Landscape,
    convergence_linearity,
    convergence_slope,
    figure_3_slope,
    figure_3_stationary_points,
    inflection_points,
    origin_over_infinity,
    saddle_curvature,
    share_recovered,
    smallest_curvature,
    stationary_points_between,
    theorem_3_gradient,
)
from bench_core.problems.gaussian_cov import GaussianCov as CovProblem
from bench_core.problems.gaussian_mean import GaussianMean as MeanProblem
from bench_core.problems.gmm_mean import GMMMean as MixtureProblem

F64 = torch.float64
MODELS = ["mean", "mixture", "covariance"]
SEEDS = st.integers(0, 10_000)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def spread(d: int, seed: int = 1) -> Tensor:
    """A covariance matrix."""
    root = normal(d, d, seed=seed)
    return root @ root.mT / d + 0.1 * torch.eye(d, dtype=F64)


def make(model: str, d: int, bandwidth: float = 2.0, *, seed: int = 0, general: bool = False) -> Landscape:
    truth = normal(d, seed=seed)
    if model == "covariance":
        return GaussianCov(truth, bandwidth, 0.3 if general else 0.0)
    return (GaussianMean if model == "mean" else GMMMean)(truth, bandwidth, spread(d) if general else None)


def printed(landscape: Landscape, theta: Tensor, sigma: Tensor | None = None) -> Tensor:
    """Eqs. 3, 14 and 7, with determinants and inverses as they stand there."""
    eye, s, truth = torch.eye(landscape.d, dtype=F64), landscape.bandwidth, landscape.truth
    if isinstance(landscape, GaussianCov):

        def term(a: Tensor, b: Tensor) -> Tensor:
            summed = torch.outer(a, a) + torch.outer(b, b) + 2 * landscape.epsilon**2 * eye
            return torch.linalg.det(summed / s + eye) ** -0.5

        return term(theta, theta) + term(truth, truth) - 2 * term(theta, truth)
    sigma = eye if sigma is None else sigma
    scale = torch.linalg.det(2 * sigma / s + eye) ** -0.5

    def bump(x: Tensor) -> Tensor:
        return (-0.5 * x @ torch.linalg.inv(2 * sigma + s * eye) @ x).exp()

    if isinstance(landscape, GaussianMean):
        return 2 * scale * (1 - bump(theta - truth))
    own = bump(2 * theta) + 1 + bump(2 * truth) + 1
    return 0.5 * scale * (own - 2 * bump(theta - truth) - 2 * bump(theta + truth))


# ---- values and derivatives ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("general", [False, True])
@pytest.mark.parametrize("bandwidth", [0.5, 2.0, 100.0])
def test_value_gradient_and_hessian_are_those_of_the_printed_formulas(model, d, general, bandwidth):
    landscape = make(model, d, bandwidth, general=general)
    sigma = spread(d) if general else None
    points = torch.cat([2 * normal(4, d, seed=2), landscape.truth + 0.1 * normal(2, d, seed=3)])
    values, gradients, hessians = landscape.value(points), landscape.gradient(points), landscape.hessian(points)
    for point, value, gradient, hessian in zip(points, values, gradients, hessians, strict=True):
        theta = point.clone().requires_grad_()
        expected = printed(landscape, theta, sigma)
        (slope,) = torch.autograd.grad(expected, theta)
        curvature = torch.autograd.functional.hessian(lambda x: printed(landscape, x, sigma), point)
        torch.testing.assert_close(value, expected.detach(), rtol=1e-11, atol=1e-14)
        torch.testing.assert_close(gradient, slope, rtol=1e-11, atol=1e-14)
        torch.testing.assert_close(hessian, curvature, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("model", MODELS)
def test_derivatives_are_those_of_the_value_itself(model):
    landscape = make(model, 3, general=True)
    point = normal(3, seed=8).requires_grad_()
    (slope,) = torch.autograd.grad(landscape.value(point), point)
    torch.testing.assert_close(landscape.gradient(point.detach()), slope)
    step = 1e-5 * torch.eye(3, dtype=F64)
    base = point.detach()
    differences = (landscape.gradient(base + step) - landscape.gradient(base - step)) / 2e-5
    torch.testing.assert_close(landscape.hessian(base), differences, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ("mean", MeanProblem(d=3, m=2)),
        ("mixture", MixtureProblem(d=3, m=2)),
        ("covariance", CovProblem(d=3, m=2, epsilon=0.3)),
    ],
)
def test_osmmd_averaged_over_data_is_the_population_value(model, problem):
    # E k(X, X') + E k(Y, Y') - 2 E k(X, Y), the inner expectations in closed form, the data simulated.
    landscape = GaussianCov(normal(3, seed=0), 2.0, 0.3) if model == "covariance" else make(model, 3)
    theta, truth = normal(4, 3, seed=6), landscape.truth.unsqueeze(0)
    noise = normal(1, 200_000, problem.noise_size, seed=7)
    y = problem.sample(truth, noise).expand(4, -1, -1)
    across = problem.kernel_mean(theta, y, 2.0)  # (4, n)
    own = problem.kernel_self(theta, 2.0) + problem.kernel_self(truth, 2.0)
    error = 2 * across.std(-1) / math.sqrt(across.shape[-1])
    assert ((own - 2 * across.mean(-1) - landscape.value(theta)).abs() < 5 * error).all()


@pytest.mark.parametrize("model", MODELS)
def test_value_is_that_of_simulated_samples(model):
    landscape = make(model, 3, general=True)
    n, theta = 400_000, normal(3, seed=9)
    root = torch.linalg.cholesky(spread(3))

    def sample(parameter: Tensor, seed: int) -> Tensor:
        noise = normal(n, 4, seed=seed)
        if isinstance(landscape, GaussianCov):
            return noise[:, :1] * parameter + landscape.epsilon * noise[:, 1:]
        sign = 1.0 if landscape.signed else noise[:, :1].sign()
        return sign * parameter + noise[:, 1:] @ root.mT

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return ((x - y).square().sum(-1) / (-2 * landscape.bandwidth)).exp()

    x, other_x = sample(theta, 10), sample(theta, 11)
    y, other_y = sample(landscape.truth, 12), sample(landscape.truth, 13)
    terms = kernel(x, other_x) + kernel(y, other_y) - kernel(x, other_y) - kernel(other_x, y)
    assert abs(terms.mean() - landscape.value(theta)) < 5 * terms.std() / math.sqrt(n)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_near_the_truth_no_digit_is_lost(model, sign):
    # There MMD^2 is the quadratic form of its Hessian; as printed it would be 1e-13 of rounding error and nothing else.
    landscape = make(model, 4)
    sign = 1.0 if landscape.signed else sign
    theta = sign * (landscape.truth + 1e-10 * normal(4, seed=4))
    error = theta - sign * landscape.truth
    hessian = landscape.hessian(landscape.truth)
    assert landscape.value(theta).item() == pytest.approx(float(error @ hessian @ error / 2), rel=1e-8)
    torch.testing.assert_close(landscape.gradient(theta), hessian @ error, rtol=1e-7, atol=1e-18)
    assert landscape.value(sign * landscape.truth) == 0.0
    assert landscape.gradient(sign * landscape.truth).abs().max() == 0.0


@pytest.mark.parametrize("model", MODELS)
def test_in_many_dimensions_the_logarithm_remains(model):
    d = 1000
    landscape = make(model, d, 0.1, general=True) if model == "covariance" else make(model, d, 0.1)
    theta = landscape.truth + 0.01 * normal(d, seed=1)
    assert landscape.log_value(theta).isfinite()
    if model != "covariance":
        assert landscape.log_scale == pytest.approx(-0.5 * d * math.log(21))
        assert landscape.value(theta) == 0.0
    assert origin_over_infinity(landscape) > 0
    few = make(model, 5)
    torch.testing.assert_close(few.log_value(normal(2, 5, seed=1)), few.value(normal(2, 5, seed=1)).log())


@pytest.mark.parametrize("model", MODELS)
def test_far_away_everything_is_finite_and_the_value_has_a_limit(model):
    for landscape in (make(model, 3), make(model, 3, 1e-3), make(model, 3, 1e8)):
        points = torch.tensor([[1e3, 0, 0], [0, -1e5, 1.0], [1e7, 1e7, 1e7]], dtype=F64)
        for numbers in (landscape.value(points), landscape.gradient(points), landscape.hessian(points)):
            assert numbers.isfinite().all()
    limit = make(model, 3).value(torch.tensor([1e9, -1e9, 3e9])).item()
    assert limit == pytest.approx(make(model, 3).value_at_infinity, rel=1e-8)
    # A truth that is itself far away, where exponentials of either sign would overflow.
    remote = type(make(model, 3))([400.0, 0.0, 0.0], 1.0)
    assert remote.gradient([[0.0, 0.0, 1.0], [399.0, 1.0, 0.0]]).isfinite().all()


@given(seed=SEEDS, model=st.sampled_from(MODELS), d=st.integers(2, 5))
def test_rotations_of_both_parameters_change_nothing_and_rotate_the_gradient(seed, model, d):
    rotation = torch.linalg.qr(normal(d, d, seed=seed))[0]
    theta = normal(3, d, seed=seed + 1)
    first = make(model, d, seed=seed + 2)
    second = type(first)(rotation @ first.truth, first.bandwidth, *([0.0] if model == "covariance" else []))
    torch.testing.assert_close(second.value(theta @ rotation.mT), first.value(theta))
    torch.testing.assert_close(second.gradient(theta @ rotation.mT), first.gradient(theta) @ rotation.mT)


@given(seed=SEEDS, model=st.sampled_from(MODELS), scale=st.floats(0.01, 100))
def test_units_do_not_matter(seed, model, scale):
    landscape = make(model, 2, seed=seed, general=True)
    extra = 0.3 * scale if model == "covariance" else spread(2) * scale**2
    scaled = type(landscape)(landscape.truth * scale, landscape.bandwidth * scale**2, extra)
    theta = normal(3, 2, seed=seed + 1)
    torch.testing.assert_close(scaled.value(theta * scale), landscape.value(theta))


@given(seed=SEEDS, model=st.sampled_from(MODELS), reach=st.floats(0.1, 30))
def test_values_are_not_negative_and_no_curvature_exceeds_its_bound(seed, model, reach):
    landscape = make(model, 3, seed=seed, general=True)
    theta = reach * normal(20, 3, seed=seed + 1)
    assert (landscape.value(theta) >= 0).all()
    bound = torch.linalg.eigvalsh(landscape.hessian(torch.cat([theta, 0 * theta]))).abs().max()
    assert bound <= landscape.smoothness * (1 + 1e-12)


@given(seed=SEEDS, model=st.sampled_from(["mixture", "covariance"]))
def test_a_parameter_and_its_negative_are_one_law(seed, model):
    landscape = make(model, 3, seed=seed, general=True)
    theta = normal(4, 3, seed=seed + 1)
    torch.testing.assert_close(landscape.value(-theta), landscape.value(theta), rtol=1e-12, atol=0)
    torch.testing.assert_close(landscape.gradient(-theta), -landscape.gradient(theta), rtol=1e-11, atol=1e-16)
    torch.testing.assert_close(landscape.hessian(-theta), landscape.hessian(theta), rtol=1e-11, atol=1e-15)
    torch.testing.assert_close(landscape.distance(-theta), landscape.distance(theta))


# ---- stationary points -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("d", [1, 2, 3, 10])
@pytest.mark.parametrize("bandwidth", [1.0, 10.0, 1e4])
@pytest.mark.parametrize("general", [False, True])
def test_what_the_theorems_say_is_what_is_found_numerically(model, d, bandwidth, general):
    landscape = make(model, d, bandwidth, general=general, seed=3)
    points = landscape.stationary_points()
    assert len({point.name for point in points}) == len(points)
    for point in points:
        found = landscape.classify(point.point)
        assert (found.kind, found.flat) == (point.kind, point.flat), point.name
        assert point.flat == point.family  # along a family nothing changes, and across it everything
        assert found.gradient_norm <= 1e-14
        assert point.doc


@pytest.mark.parametrize("model", MODELS)
def test_what_is_not_stationary_is_told_apart_even_where_gradients_are_tiny(model):
    landscape = make(model, 3)
    assert landscape.classify(normal(3, seed=5)).kind == "regular"
    assert landscape.classify(landscape.truth + 12.0).kind == "regular"
    narrow = GaussianMean([0.0, 0.0], 0.01)
    plateau = narrow.classify([12.0, 0.0])
    assert plateau.gradient_norm < 1e-10
    assert plateau.kind == "regular"


@given(seed=SEEDS, general=st.booleans(), reach=st.floats(0.1, 10))
def test_theorem_1_has_no_stationary_point_but_the_truth(seed, general, reach):
    landscape = make("mean", 3, seed=seed, general=general)
    theta = reach * normal(10, 3, seed=seed + 1)
    toward = (landscape.gradient(theta) * (theta - landscape.truth)).sum(-1)
    assert (toward > 0).all()
    assert [point.name for point in landscape.stationary_points()] == ["truth"]
    # Quasi-convex: between two points it nowhere exceeds the larger.
    middle = landscape.value((theta[1:] + theta[:-1]) / 2)
    assert (middle <= landscape.value(theta[1:]).maximum(landscape.value(theta[:-1]))).all()


@pytest.mark.parametrize("general", [False, True])
@pytest.mark.parametrize("bandwidth", [1.0, 10.0, 100.0])
def test_theorem_1_is_convex_in_the_ball_of_the_exact_condition_and_no_larger(general, bandwidth):
    landscape = make("mean", 4, bandwidth, general=general)
    assert isinstance(landscape, GaussianMean)
    radius = math.sqrt(bandwidth + 2 * landscape.smallest_variance)
    assert smallest_curvature(landscape, 0.99 * radius, points=100) > 0
    assert smallest_curvature(landscape, 1.01 * radius, points=100) < 0
    # In the ellipsoid of that condition, whatever the radius, the Hessian has no negative eigenvalue.
    root = torch.linalg.cholesky(2 * (spread(4) if general else torch.eye(4, dtype=F64)) + bandwidth * torch.eye(4))
    inside = normal(500, 4, seed=1)
    inside = 0.99 * inside / inside.norm(dim=-1, keepdim=True) @ root.mT
    assert torch.linalg.eigvalsh(landscape.hessian(landscape.truth + inside)).min() > 0


def test_the_printed_condition_of_theorem_1_suffices_for_small_balls_only():
    # sigma^2 = 2r; r^2 < sigma^2 + 2 means r < 1 + 3^(1/2).
    edge = 1 + math.sqrt(3)
    for radius in (0.1, 1.0, 0.99 * edge):
        assert smallest_curvature(GaussianMean([0.0, 0.0], 2 * radius), radius, points=20) > 0
    for radius in (1.01 * edge, 5.0, 50.0):
        assert smallest_curvature(GaussianMean([0.0, 0.0], 2 * radius), radius, points=20) < 0
    # With sigma in place of sigma^2 it holds: the ball of radius r about the start lies in that of 2r about the truth.
    for radius in (0.1, 5.0, 50.0):
        assert smallest_curvature(GaussianMean([0.0, 0.0], (2 * radius) ** 2), 2 * radius, points=20) > 0


@given(seed=SEEDS, d=st.integers(2, 6), bandwidth=st.floats(0.5, 100))
def test_theorem_2_has_its_saddles_where_printed(seed, d, bandwidth):
    landscape = make("covariance", d, bandwidth, seed=seed, general=True)
    c, square = 2 * 0.3**2 + bandwidth, float(landscape.truth.square().sum())
    bottom = 2 * c ** (1 / 3) - (square + c) ** (1 / 3)
    names = [point.name for point in landscape.stationary_points()]
    assert names == ["truth", "mirror", "origin"] + ["saddle"] * (square < 7 * c)
    if square < 6.9 * c:
        saddle = landscape.stationary_points()[-1]
        radius = c * ((square + c) ** (1 / 3) - c ** (1 / 3)) / bottom  # eq. 8
        assert saddle.point.square().sum().item() == pytest.approx(radius, rel=1e-9)
        assert abs(saddle.point @ landscape.truth) < 1e-12 * square
        assert saddle_curvature(landscape) == saddle.eigenvalues[0] < 0


def test_theorem_2_in_numbers():
    landscape = GaussianCov([1.0, 0.0], 1.0, 0.0)  # c = 1, ||a*|| = 1
    saddle = landscape.stationary_points()[-1]
    assert saddle.point.square().sum().item() == pytest.approx(0.351207, abs=1e-6)  # eq. 12
    assert saddle.eigenvalues.tolist() == pytest.approx([-0.4502, 0.4124], abs=1e-4)
    assert saddle_curvature(landscape) == pytest.approx(-0.4502, abs=1e-4)
    assert saddle.family == 0
    assert make("covariance", 5, 10.0).stationary_points()[-1].family == 3


@pytest.mark.parametrize(("square", "is_global"), [(2.9, False), (3.1, True)])
def test_the_maximum_of_theorem_2_is_a_local_one_unless_the_truth_is_large(square, is_global):
    landscape = GaussianCov([math.sqrt(square), 0.0], 1.0, 0.0)
    assert landscape.classify([0.0, 0.0]).kind == "maximum"
    assert (origin_over_infinity(landscape) > 1) is is_global
    grid = torch.cartesian_prod(*[torch.linspace(-1e4, 1e4, 101, dtype=F64)] * 2)
    assert bool(landscape.value(grid).max() <= landscape.value([0.0, 0.0])) is is_global


@pytest.mark.parametrize("general", [False, True])
@pytest.mark.parametrize("d", [2, 3, 10])
def test_theorem_3_has_its_saddles_at_a_third_of_the_printed_radius(general, d):
    landscape = make("mixture", d, general=general)
    assert isinstance(landscape, GMMMean)
    precision = torch.linalg.inv(2 * (spread(d) if general else torch.eye(d, dtype=F64)) + 2.0 * torch.eye(d))
    saddle = landscape.stationary_points()[-1]
    square, truth = (float(x @ precision @ x) for x in (saddle.point, landscape.truth))
    assert square == pytest.approx(truth / 3)
    assert abs(saddle.point @ precision @ landscape.truth) < 1e-14
    assert landscape.separation == pytest.approx(truth)
    assert theorem_3_gradient(landscape, 1 / 3) < 1e-15
    assert theorem_3_gradient(landscape, 1.0) > 1e-4
    assert saddle_curvature(landscape) < 0
    assert (saddle.flat, saddle.family) == (d - 2, d - 2)
    # Across the truth the gradient changes sign at that radius and nowhere else.
    shares = torch.linspace(0.01, 4, 400, dtype=F64)
    across = torch.stack([landscape.across(float(share)) for share in shares])
    outward = (landscape.gradient(across) * across).sum(-1)
    assert (outward.sign() == (shares - 1 / 3).sign()).all()


def test_theorem_3_has_its_maximum_at_the_origin_only_if_the_components_are_far_apart():
    landscape = GMMMean([2.0], 1.0)
    assert landscape.value([0.0]).item() == pytest.approx(0.29324, abs=1e-5)
    assert landscape.value_at_infinity == pytest.approx(0.59741, abs=1e-5)
    assert landscape.classify([0.0]).kind == "maximum"
    assert origin_over_infinity(landscape) == pytest.approx(0.29324 / 0.59741, rel=1e-4)
    edge = math.sqrt(2 * math.log(4) * 3)  # exp(-mu*^2 / (2 * 3)) = 1/4
    assert origin_over_infinity(GMMMean([0.99 * edge], 1.0)) < 1 < origin_over_infinity(GMMMean([1.01 * edge], 1.0))


def test_figure_3_has_shoulders_with_a_slope_and_no_stationary_point_between():
    landscape = GMMMean([25.0], 10.0)
    assert figure_3_slope() == pytest.approx(-2.2487e-5, rel=1e-4)
    assert figure_3_slope(-8.5) == -figure_3_slope()
    assert figure_3_stationary_points() == 0.0
    assert stationary_points_between(landscape, -30, 30) == pytest.approx([-25, 0, 25], abs=1e-9)
    inner, shoulder, outer = inflection_points(landscape, 0, 25)
    assert inner == pytest.approx(math.sqrt(3), abs=1e-6)  # of exp(-2 mu^2 / 12) alone
    assert shoulder == pytest.approx(8.515, abs=1e-3)
    assert outer == pytest.approx(25 - math.sqrt(12), abs=1e-3)
    # Narrower kernels make the slope there vanish, and never turn it.
    for bandwidth in (0.1, 1.0, 3.0):
        assert stationary_points_between(GMMMean([25.0], bandwidth), 0, 25) == []


# ---- descent ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("d", [2, 10])
@pytest.mark.parametrize("bandwidth", [1.0, 10.0, 100.0])
def test_a_thousand_descents_find_the_truth(model, d, bandwidth):
    assert share_recovered(make(model, d, bandwidth)) == 1.0


@pytest.mark.parametrize("model", MODELS)
def test_a_descent_goes_down_and_follows_the_gradient_flow(model):
    landscape = make(model, 2, general=True)
    starts = 1.5 * normal(30, 2, seed=2)
    descent = landscape.descend(starts, record=True)
    assert descent.errors is not None
    assert descent.path_values is not None
    assert (descent.path_values.diff(dim=0) <= 1e-16).all()
    torch.testing.assert_close(descent.errors[0], landscape.distance(starts))
    torch.testing.assert_close(descent.errors[-1], landscape.distance(descent.ends))
    assert descent.settled.all()
    assert descent.gradient_norms.max() < 1e-8
    assert descent.values.max() < 1e-16
    assert (descent.taken < len(descent.errors)).all()
    # The flow itself, in small steps of constant length until it is near an end.
    theta = starts.clone()
    for _ in range(3000):
        gradient = landscape.gradient(theta)
        far = landscape.distance(theta).unsqueeze(-1) > 0.01
        theta = theta - 0.005 * far * gradient / gradient.norm(dim=-1, keepdim=True)
    assert (
        (theta - descent.ends).norm(dim=-1) < 0.02
    ).double().mean() >= 0.95  # of starts by a watershed either will do


@pytest.mark.parametrize("model", MODELS)
def test_plain_descent_at_the_rate_of_the_bound_decreases_in_every_step_and_arrives(model):
    landscape = make(model, 2, 1.0)
    descent = landscape.descend(normal(50, 2, seed=1), lr=1 / landscape.smoothness, steps=2000, record=True)
    assert descent.path_values is not None
    assert (descent.path_values.diff(dim=0) <= 1e-16).all()
    assert landscape.recovered(descent.ends, 1e-3).all()
    assert (descent.taken[~descent.settled] == 2000).all()
    by_hand = normal(50, 2, seed=1)
    for _ in range(3):
        by_hand = by_hand - landscape.gradient(by_hand) / landscape.smoothness
    three = landscape.descend(normal(50, 2, seed=1), lr=1 / landscape.smoothness, steps=3)
    torch.testing.assert_close(three.ends, by_hand)


@pytest.mark.parametrize("model", ["mixture", "covariance"])
def test_where_a_descent_may_rest_it_rests(model):
    landscape = make(model, 3, 10.0)
    for point in landscape.stationary_points():
        assert landscape.descend(point.point.unsqueeze(0), steps=0).ends.equal(point.point.unsqueeze(0))
    # Exactly across the truth the flow stays there and ends in the saddle; the least push from there leaves it.
    straight = type(landscape)([1.0, 0.0, 0.0], 10.0)
    ends = straight.descend(torch.tensor([[0.0, 0.3, 0.2], [0.0, 0.0, 0.0], [1e-7, 0.3, 0.2], [1e-9, 0.0, 0.0]])).ends
    saddle = straight.stationary_points()[-1].point
    assert ends[0].norm().item() == pytest.approx(saddle.norm().item(), rel=1e-7)
    assert ends[0, 0] == 0.0
    assert ends[1].abs().max() == 0.0
    assert straight.recovered(ends[2:], 1e-6).all()


def test_plateaus_are_crossed_unless_the_gradient_underflows():
    landscape = GaussianMean([0.0, 0.0], 1.0)
    starts = torch.tensor([[30.0, 0.0], [0.0, -40.0], [1000.0, 0.0]])
    assert landscape.gradient(starts).norm(dim=-1)[1] < 1e-100
    constant = landscape.descend(starts, lr=1 / landscape.smoothness, steps=1000)
    adapted = landscape.descend(starts)
    assert landscape.recovered(constant.ends, 1e-6).tolist() == [False, False, False]
    assert landscape.recovered(adapted.ends, 1e-6).tolist() == [True, True, False]
    assert adapted.settled.all()
    assert adapted.taken[2] == 0


def test_without_a_saddle_descents_run_far_and_come_back():
    landscape = GaussianCov([4.0, 0.0], 1.0, 0.0)
    with pytest.raises(ValueError, match="no saddle"):
        saddle_curvature(landscape)
    descent = landscape.descend(torch.tensor([[1e-3, 1.0]]), record=True, steps=20_000)
    assert descent.errors is not None
    assert descent.errors.max() > 30
    assert landscape.recovered(descent.ends, 1e-6).all()


@pytest.mark.parametrize("d", [1, 2, 10])
def test_descent_of_theorem_1_converges_linearly_where_it_is_convex(d):
    landscape = make("mean", d, 10.0)
    assert isinstance(landscape, GaussianMean)
    radius = 0.999 * math.sqrt(12)
    assert convergence_linearity(landscape, radius) > 0.999
    assert convergence_slope(landscape, radius) == pytest.approx(math.log(1 - 0.1), abs=1e-3)


def test_descent_of_theorem_1_does_not_where_the_printed_condition_alone_holds():
    landscape = GaussianMean([0.0, 0.0], 100.0)
    assert convergence_linearity(landscape, 50.0) < 0.5
    assert convergence_slope(landscape, 50.0) > -1e-3


def test_one_seed_is_one_share():
    landscape = GaussianMean([10.0, 0.0], 1.0)
    some = share_recovered(landscape, starts=200, seed=1, steps=68)
    assert 0 < some < 1
    assert some == share_recovered(landscape, starts=200, seed=1, steps=68)
    assert some != share_recovered(landscape, starts=200, seed=2, steps=68)


def test_recovery_is_judged_up_to_the_sign_where_that_does_not_matter():
    theta = torch.tensor([[1.0, 2.0], [-1.0, -2.0], [1.0, 2.2]])
    assert GaussianMean([1.0, 2.0], 1.0).recovered(theta, 0.1).tolist() == [True, False, False]
    for landscape in (GMMMean([1.0, 2.0], 1.0), GaussianCov([1.0, 2.0], 1.0)):
        assert landscape.recovered(theta, 0.1).tolist() == [True, True, False]
        assert landscape.recovered(theta[0], 0).item() is True


# ---- refusals --------------------------------------------------------------------------------------------------------

MEAN = GaussianMean([0.0, 1.0], 1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GaussianMean([[0.0]], 1.0), r"vector of finite numbers, shape \(d,\), got shape \(1, 1\)"),
        (lambda: GaussianMean([], 1.0), r"got shape \(0,\)"),
        (lambda: GaussianMean([math.nan], 1.0), "finite"),
        (lambda: GaussianMean([0.0], 0.0), "bandwidth must be a finite number, above 0, got 0.0"),
        (lambda: GaussianMean([0.0], math.inf), "bandwidth must be a finite number, above 0, got inf"),
        (lambda: GaussianMean([0.0], True), "bandwidth .* got True"),
        (lambda: GaussianMean([0.0], "wide"), "bandwidth .* got 'wide'"),
        (lambda: GaussianMean([0.0], 1.0, torch.eye(2)), r"shape \(1, 1\), got shape \(2, 2\)"),
        (lambda: GMMMean([0.0, 1.0], 1.0, torch.tensor([[1.0, 2.0], [0.0, 1.0]])), "symmetric"),
        (lambda: GMMMean([0.0, 1.0], 1.0, -torch.eye(2)), "no negative eigenvalue, got -1"),
        (lambda: GMMMean([0.0, 0.0], 1.0), "must not be 0"),
        (lambda: GaussianCov([0.0], 1.0), "must not be 0"),
        (lambda: GaussianCov([1.0], 1.0, -0.1), "epsilon must be a finite number, 0 or more, got -0.1"),
        (lambda: MEAN.value([0.0]), r"theta must have shape \(..., 2\), got \(1,\)"),
        (lambda: MEAN.hessian(torch.tensor(1.0)), r"got \(\)"),
        (lambda: MEAN.classify([[0.0, 1.0]]), "one point"),
        (lambda: MEAN.recovered([0.0, 1.0], -1.0), "tolerance .* got -1.0"),
        (lambda: MEAN.descend(torch.zeros(2)), r"starts must have shape \(n, 2\), got \(2,\)"),
        (lambda: MEAN.descend(torch.full((1, 2), math.nan)), "starts must be finite"),
        (lambda: MEAN.descend(torch.zeros(1, 2), lr=0.0), "lr must be a finite number, above 0"),
        (lambda: MEAN.descend(torch.zeros(1, 2), steps=-1), "steps must be a whole number, 0 or more, got -1"),
        (lambda: MEAN.descend(torch.zeros(1, 2), tolerance=0.0), "tolerance"),
        (lambda: smallest_curvature(MEAN, -1.0), "radius must be a finite number, above 0, got -1.0"),
        (lambda: saddle_curvature(MEAN), r"GaussianMean\(d=2, bandwidth=1\) has no saddle"),
        (lambda: stationary_points_between(MEAN, 0.0, 1.0), "one dimension, got 2"),
        (lambda: inflection_points(GMMMean([1.0], 1.0), 1.0, 1.0), "must not be empty"),
        (lambda: GMMMean([1.0], 1.0).across(1.0), "nothing lies across the truth"),
        (lambda: GMMMean([1.0, 0.0], 1.0).across(-1.0), "share"),
        (lambda: stationary_points_between(GMMMean([1.0], 1.0), 100.0, 900.0), "underflow"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_what_is_given_is_copied_and_cannot_be_replaced():
    given_truth = torch.ones(2)
    landscape = GMMMean(given_truth, 1)
    given_truth[0] = 5.0
    assert landscape.truth.tolist() == [1.0, 1.0]
    assert landscape.truth.dtype == F64
    for name, value in itertools.product(("truth", "bandwidth"), (3.0,)):
        with pytest.raises(AttributeError):
            setattr(landscape, name, value)
