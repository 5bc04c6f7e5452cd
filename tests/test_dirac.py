"""Two point masses: closed forms against the discrepancies of samples, and the two players' moves."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import lambertw

from bench_core import dirac
from bench_core.discrepancies import gcmmd2, lipmmd, mmd2, optimised, smmd2, witness
from bench_core.kernels import Gaussian

THETA = torch.tensor([-3.0, -0.4, 0.05, 1.0, 4.0], dtype=torch.float64)
PSI = torch.tensor([0.1, 0.5, 1.0, 2.0], dtype=torch.float64)[:, None]
UNIT = Gaussian(1.0)


def samples(theta: torch.Tensor, psi: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both masses as samples of one point, ``(..., 1, 1)``, on the scale of the critic."""
    model = (psi * theta)[..., None, None]
    return torch.zeros_like(model), model


def test_mmd():
    torch.testing.assert_close(dirac.mmd2(THETA, PSI), mmd2(*samples(THETA, PSI), UNIT, "biased"))


@pytest.mark.parametrize("lam", [0.1, 1.0])
def test_smmd_is_the_same_under_every_measure(lam):
    model = THETA[:, None, None]
    for mu in (torch.zeros(1, 1, dtype=torch.float64), torch.randn(7, 1, dtype=torch.float64)):
        for psi in PSI.flatten().tolist():
            found = smmd2(
                0 * model, model, UNIT, features=lambda z, psi=psi: psi * z, mu=mu, lam=lam, estimator="biased"
            )
            torch.testing.assert_close(found, dirac.smmd2(THETA, torch.tensor(psi, dtype=torch.float64), lam))


@given(st.floats(1e-6, 1e3), st.floats(0.01, 10))
def test_the_optimised_smmd_is_its_supremum(theta, lam):
    place = torch.tensor([theta], dtype=torch.float64)
    value, psi = dirac.optimised_smmd(place, lam)
    torch.testing.assert_close(dirac.smmd2(place, psi, lam).sqrt(), value)
    searched = optimised(lambda each: dirac.smmd2(place, each, lam), 1e-3 / theta, 10 / theta + 10)
    assert float(searched.value) <= float(value) ** 2 * (1 + 1e-9)
    assert float(searched.value) == pytest.approx(float(value) ** 2, rel=1e-6)


@pytest.mark.parametrize("theta", [0.1, 1.0, 5.0])
def test_the_optimised_smmd_by_lamberts_function(theta):
    shift = 1 + theta**2  # lambda = 1
    u = -shift - float(lambertw(-math.exp(-shift), -1).real)
    value, psi = dirac.optimised_smmd(torch.tensor([theta], dtype=torch.float64))
    assert float(value) == pytest.approx(theta * math.exp(-u / 2), rel=1e-9)
    assert float(psi) == pytest.approx(math.sqrt(2 * u) / theta, rel=1e-9)


def test_the_optimised_smmd_is_the_distance_near_0_and_levels_off_far_away():
    near, far = dirac.optimised_smmd(torch.tensor([1e-5, 1e4], dtype=torch.float64))[0].tolist()
    assert near == pytest.approx(1e-5, rel=1e-4)
    assert far == pytest.approx(1.0, rel=1e-3)  # sqrt(2 / (1 + lambda))


@pytest.mark.parametrize("lam", [0.1, 1.0])
def test_gcmmd_under_the_target(lam):
    mu = torch.zeros(1, 1, dtype=torch.float64)
    theta, psi = THETA + 0 * PSI, PSI + 0 * THETA
    found = gcmmd2(*(each / psi[..., None, None] for each in samples(theta, psi)), Gaussian(psi**-2), mu=mu, lam=lam)
    torch.testing.assert_close(dirac.gcmmd2_at_target(theta, psi, lam), found)


def test_gcmmd_under_the_wide_measure_by_two_rules():
    for theta, psi in ((1.0, 0.3), (4.0, 1.0), (0.5, 2.0)):
        coarse = dirac.gcmmd2_wide(*(torch.tensor(each, dtype=torch.float64) for each in (theta, psi)))
        assert dirac.gcmmd_wide(theta, psi) ** 2 == pytest.approx(float(coarse), rel=2e-3)


def test_gcmmd_under_a_measure_of_constant_density_is_that_of_the_wide_one_where_this_is_nearly_constant():
    for theta, psi in ((0.1, 5.0), (0.5, 2.0), (1.0, 1.0), (1.0, 8.0)):
        assert dirac.gcmmd_uniform(theta, psi) == pytest.approx(dirac.gcmmd_wide(theta, psi), rel=1e-3)


def test_the_optimised_gcmmd_is_that_of_a_sobolev_norm_near_0_and_continues_where_the_rule_changes():
    theta = 1e-8
    assert dirac.optimised_gcmmd_wide(theta)[0] == pytest.approx(math.sqrt(theta / dirac.WIDE_DENSITY), rel=1e-2)
    (below, _), (above, _) = (dirac.optimised_gcmmd_wide(each) for each in (0.999, 1.001))
    assert below == pytest.approx(above, rel=2e-3)


def test_lipmmd_where_the_dual_measure_is_one_point():
    # Closed form where psi² theta² <= 12 lambda / (lambda + psi²).
    for theta, psi in ((1.0, 1.0), (0.3, 2.0), (4.0, 0.5)):
        assert psi**2 * theta**2 <= 12 / (1 + psi**2)
        square = psi**2 * theta**2
        closed = 2 * (1 - math.exp(-square / 2)) - psi**4 * theta**2 * math.exp(-square / 4) / (1 + psi**2)
        place, width = (torch.tensor(each, dtype=torch.float64) for each in (theta, psi))
        assert float(dirac.lipmmd2(place, width)) == pytest.approx(closed, abs=1e-4)


def test_the_slope_of_the_witness_is_its_derivative():
    t = torch.linspace(-3, 5, 9, dtype=torch.float64).requires_grad_()
    theta, psi = torch.tensor(1.5, dtype=torch.float64), torch.tensor(0.8, dtype=torch.float64)
    value = witness(*(each[0] for each in samples(theta[None], psi)), UNIT)(psi * t[:, None])
    (slope,) = torch.autograd.grad(value.sum(), t)
    torch.testing.assert_close(dirac.witness_slope(t.detach(), theta, psi), slope)


# ---- the players -----------------------------------------------------------------------------------------------------


def test_there_are_the_nine_losses_of_figure_5_and_all_move_finitely():
    games = dirac.games()
    assert len(games) == 9
    theta, psi = torch.tensor([-2.0, 0.5], dtype=torch.float64), torch.tensor([0.4, 1.0], dtype=torch.float64)
    for game in games.values():
        for part in game.field(theta, psi):
            assert part.shape == (2,)
            assert part.isfinite().all()


def test_players_move_along_their_gradients():
    game = dirac.games()["MMD-GP"]
    theta, psi = torch.tensor(1.2, dtype=torch.float64), torch.tensor(0.7, dtype=torch.float64)
    down, up = game.field(theta, psi)
    step = 1e-6
    slope = (game.generator(theta + step, psi) - game.generator(theta - step, psi)) / (2 * step)
    rise = (game.critic(theta, psi + step) - game.critic(theta, psi - step)) / (2 * step)
    assert float(down) == pytest.approx(-float(slope), rel=1e-6)
    assert float(up) == pytest.approx(float(rise), rel=1e-6)


def test_a_penalty_between_the_masses_is_the_mean_over_the_way():
    theta, psi = torch.tensor(1.3, dtype=torch.float64), torch.tensor(0.9, dtype=torch.float64)
    places = torch.linspace(0.0, 1.3, 200_001, dtype=torch.float64)
    mean = torch.trapezoid((dirac.witness_slope(places, theta, psi).abs() - 1).square(), places) / 1.3
    game = dirac.games(penalty=1.0)["MMD-GP-Unif"]
    assert float(dirac.mmd2(theta, psi) - game.critic(theta, psi)) == pytest.approx(float(mean), rel=1e-5)


def test_the_scaled_mmd_brings_home_a_start_where_the_mmd_sees_nothing():
    theta, psi = torch.tensor(3.5, dtype=torch.float64), torch.tensor(2.0, dtype=torch.float64)
    games = dirac.games()
    scaled, plain = (games[name].path(theta, psi, 0.4, 3000)[0][-1] for name in ("SMMD", "MMD"))
    assert abs(float(scaled)) < 0.05
    assert abs(float(plain)) > 3.4


def test_distances_of_figure_1_are_below_the_wasserstein_distance_but_for_the_mmd():
    theta = torch.tensor([0.3, 2.0], dtype=torch.float64)
    found = dirac.optimised(theta)
    for name in ("SMMD", "LipMMD"):
        assert (found[name] <= theta + 1e-3).all()
    assert (found["SMMD"] < found["GCMMD, μ = N(0, 10²)"]).all()
    assert (found["MMD"] == math.sqrt(2)).all()


def test_critics_of_figure_1_are_positive_at_the_target_and_negative_at_the_model():
    t = torch.tensor([0.0, 20.0], dtype=torch.float64)
    for name, curve in dirac.critics(20.0, t).items():
        assert curve[0] > 0 > curve[1], name


def test_the_lipschitz_critic_is_no_steeper_than_its_bound():
    theta = torch.tensor([[2.0]], dtype=torch.float64)
    points = torch.linspace(0.0, 2.0, 201, dtype=torch.float64)[:, None]
    found = lipmmd(0 * theta, theta, Gaussian(4.0), points)
    assert float(found.value) == pytest.approx(float(found.lower), abs=1e-4)
