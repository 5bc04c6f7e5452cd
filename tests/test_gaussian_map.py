"""The maps of Figures 6 and 7: symmetries, inequalities, and samples."""

from __future__ import annotations

import pytest
import torch

from bench_core import gaussian_map
from bench_core.discrepancies import gcmmd2, mmd2
from bench_core.kernels import Gaussian
from bench_core.planar import Planar


@pytest.fixture
def coarse(monkeypatch):
    monkeypatch.setattr(gaussian_map, "POINTS", 9)


@pytest.mark.parametrize("psi", [0.1, 1.0, 10.0])
def test_maps_are_even_in_the_mean_and_ordered(coarse, psi):
    plain, scaled, constrained = (
        distance(psi) for distance in (gaussian_map.mmd, gaussian_map.smmd, gaussian_map.gcmmd)
    )
    assert plain.shape == (9, 9)
    torch.testing.assert_close(constrained, constrained.flip(1), rtol=1e-9, atol=1e-9)
    assert (scaled <= constrained + 1e-9).all()
    assert (constrained <= plain / gaussian_map.LAM**0.5 + 1e-9).all()


def test_a_place_of_the_map_is_what_samples_say(coarse):
    # Normal quantiles in place of samples: 2000 points stand for a law to about 1e-3.
    share = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    quantiles = torch.special.ndtri(share)[:, None]
    row, column = 6, 7
    x = gaussian_map.SPREAD * quantiles
    y = gaussian_map.means()[column] + gaussian_map.sigmas()[row] * quantiles
    assert float(gaussian_map.mmd(1.0)[row, column]) == pytest.approx(
        float(mmd2(x, y, Gaussian(1.0), "biased").sqrt()), rel=2e-3
    )
    found = gcmmd2(x, y, Gaussian(1.0), mu=x[::20], lam=gaussian_map.LAM)
    assert float(gaussian_map.gcmmd(1.0)[row, column]) == pytest.approx(float(found.sqrt()), rel=1e-2)


@pytest.mark.parametrize("psi", [1.0, 30.0, 100.0])
def test_a_finer_rule_over_the_measure_changes_nothing_however_narrow_the_kernel(coarse, monkeypatch, psi):
    nodes, weights = gaussian_map._nodes(psi)
    assert float((weights * nodes[:, 0].square()).sum()) == pytest.approx(gaussian_map.SPREAD**2, rel=1e-6)
    found, rule = gaussian_map.gcmmd(psi), gaussian_map._nodes
    monkeypatch.setattr(gaussian_map, "_nodes", lambda psi: rule(2 * max(psi, 50.0)))
    torch.testing.assert_close(found, gaussian_map.gcmmd(psi), rtol=1e-3, atol=1e-6)


def test_critics_in_the_plane_point_from_the_model_to_the_target_and_mirror_at_the_axis():
    scene = Planar(cells=64, every=8)
    places = scene.places
    for gradient in (scene.sobolev(), scene.gcmmd()):
        assert gradient.shape == places.shape
        torch.testing.assert_close(gradient[..., 0], gradient[..., 0].flip(0), rtol=1e-6, atol=1e-8)
        between = (places - torch.tensor([-1.0, 0.0])).square().sum(-1).argmin()
        assert gradient.flatten(0, 1)[between, 0] > 0


def test_the_sobolev_critic_is_of_norm_one_and_steep_where_nothing_is():
    within, outside = (scene := Planar(cells=160, every=1)).steepest(scene.sobolev())
    assert outside > 5 * within
