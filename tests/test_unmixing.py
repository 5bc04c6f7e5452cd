"""Vertex component analysis: by construction, and against a slow transcription of the published steps."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bench_core.unmixing import estimated_snr, vca

SIZES = [(1, 1), (1, 4), (2, 2), (2, 10), (3, 3), (3, 10), (5, 10), (10, 10), (8, 20)]
Array = NDArray[np.float64]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def spectra(law: str, trials: int, d: int, r: int, rng: np.random.Generator) -> Array:
    """Endmembers as columns, ``(trials, d, r)``."""
    if law == "uniform":
        return rng.uniform(size=(trials, d, r))
    return rng.standard_normal((trials, d, r))


def mixed(endmembers: Array, n: int, rng: np.random.Generator, *, pure: bool, noise: float = 0.0) -> Array:
    """Pixels ``(trials, n, d)`` with Dirichlet abundances, if asked for with one pure pixel of every endmember."""
    trials, d, r = endmembers.shape
    abundances = rng.dirichlet(np.ones(r), (trials, n))
    if pure:
        abundances[:, rng.permutation(n)[:r]] = np.eye(r)
    clean: Array = abundances @ endmembers.swapaxes(-1, -2)
    return clean + noise * rng.standard_normal((trials, n, d))


def missed(found: torch.Tensor, endmembers: Array) -> torch.Tensor:
    """The largest distance of any endmember from the nearest that was found, or the reverse, ``(trials,)``."""
    distances = torch.cdist(torch.tensor(endmembers).mT, found.double().mT)
    return torch.maximum(distances.amin(-1).amax(-1), distances.amin(-2).amax(-1))


@pytest.mark.parametrize("law", ["uniform", "normal"])  # in perspective, and where that fails
@pytest.mark.parametrize(("r", "d"), SIZES)
@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
def test_pure_pixels_without_noise_are_found(law, r, d, dtype, rounding):
    endmembers = spectra(law, 200, d, r, rng := np.random.default_rng(100 * r + d))
    pixels = torch.tensor(mixed(endmembers, 60, rng, pure=True), dtype=dtype)
    for seed in range(3):
        found = vca(pixels, r, generator=generator(seed))
        assert found.dtype == dtype
        assert found.shape == (200, d, r)
        assert missed(found, endmembers).max() < rounding


def test_one_seed_is_one_answer_and_another_is_another_order():
    pixels = torch.tensor(mixed(spectra("uniform", 1, 10, 5, rng := np.random.default_rng(0)), 50, rng, pure=True)[0])
    assert vca(pixels, 5, generator=generator(1)).equal(vca(pixels, 5, generator=generator(1)))
    orders = {tuple(vca(pixels, 5, generator=generator(seed))[0].tolist()) for seed in range(20)}
    assert len(orders) > 5


def upward(axes: Array) -> Array:
    """Columns with their largest entry positive; singular vectors have either sign."""
    signs: Array = np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    return axes * signs


def transcribed(y: Array, r: int, draws: Array, snr: float) -> Array:
    """The published steps for one image ``(d, n)``, its directions given; no step that handles where they fail."""
    n = y.shape[1]
    mean = y.mean(1, keepdims=True)
    if snr < 15 + 10 * math.log10(r):
        axes = upward(np.linalg.svd((y - mean) @ (y - mean).T / n)[0][:, : r - 1])
        x = axes.T @ (y - mean)
        projected = axes @ x + mean
        view = np.vstack([x, np.full((1, n), np.sqrt((x**2).sum(0)).max())])
    else:
        axes = upward(np.linalg.svd(y @ y.T / n)[0][:, :r])
        x = axes.T @ y
        projected = axes @ x
        view = x / (x.mean(1) @ x)
    corners, chosen = np.zeros((r, r)), []
    corners[-1, 0] = 1
    for step in range(r):
        direction = draws[step] - corners @ (np.linalg.pinv(corners) @ draws[step])
        chosen.append(int(np.abs(direction @ view).argmax()))
        corners[:, step] = view[:, chosen[-1]]
    return np.stack([projected[:, index] for index in chosen], 1)


@pytest.mark.parametrize(("r", "d"), [(2, 3), (3, 10), (6, 20)])
@pytest.mark.parametrize("snr", [0.0, 60.0])
def test_noisy_pixels_are_treated_as_published(r, d, snr):
    rng = np.random.default_rng(r)
    pixels = mixed(spectra("uniform", 40, d, r, rng), 100, rng, pure=False, noise=0.05)
    found = vca(torch.tensor(pixels), r, generator=generator(), snr=snr)
    draws = torch.rand(40, r, r, 1, generator=generator(), dtype=torch.float64).squeeze(-1).numpy()
    expected = np.stack([transcribed(y.T, r, draw, snr) for y, draw in zip(pixels, draws, strict=True)])
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-9)


def test_each_image_of_a_batch_has_a_view_of_its_own():
    rng = np.random.default_rng(5)
    endmembers = spectra("uniform", 3, 10, 3, rng)
    clean, noisy = mixed(endmembers, 80, rng, pure=True), mixed(endmembers, 80, rng, pure=False, noise=1.0)
    pixels = torch.tensor(np.concatenate([clean, noisy]))
    assert estimated_snr(pixels, 3).isinf().tolist() == [True] * 3 + [False] * 3
    both = vca(pixels, 3, generator=generator())
    assert missed(both[:3], endmembers).max() < 1e-9
    low = vca(pixels, 3, generator=generator(), snr=-10.0)
    assert both[3:].equal(low[3:])


@pytest.mark.parametrize("decibel", [0, 10, 30])
def test_the_snr_is_estimated(decibel):
    rng = np.random.default_rng(decibel)
    clean = mixed(spectra("uniform", 1, 50, 3, rng), 20_000, rng, pure=False)
    noise = math.sqrt((clean**2).sum(-1).mean() / 50 / 10 ** (decibel / 10))
    noisy = torch.tensor(clean + noise * rng.standard_normal(clean.shape))
    assert estimated_snr(noisy, 3).item() == pytest.approx(decibel, abs=0.3)


def test_where_there_is_no_noise_or_no_signal_the_snr_is_infinite():
    rng = np.random.default_rng(0)
    clean = torch.tensor(mixed(spectra("uniform", 200, 10, 3, rng), 100, rng, pure=False))
    assert (estimated_snr(clean, 3) == math.inf).all()  # rounding errors of either sign
    assert (estimated_snr(clean.float(), 3) == math.inf).all()
    noise = torch.tensor(rng.standard_normal((100, 10)))
    assert estimated_snr(noise, 10) == math.inf  # nothing is outside
    cross = torch.eye(4, dtype=torch.float64)
    assert estimated_snr(torch.cat([cross, -cross]), 2) == -math.inf


def test_brightness_does_not_matter_in_perspective():
    rng = np.random.default_rng(1)
    endmembers = spectra("uniform", 50, 10, 4, rng)
    pixels = mixed(endmembers, 80, rng, pure=True)
    brightness = rng.uniform(0.2, 5.0, (50, 80, 1))
    found = vca(torch.tensor(pixels * brightness), 4, generator=generator())
    unit = found / found.norm(dim=-2, keepdim=True)
    assert missed(unit, endmembers / np.linalg.norm(endmembers, axis=-2, keepdims=True)).max() < 1e-9


def test_endmembers_in_a_plane_through_the_origin_are_found():
    # A triangle, which perspective turns into a line.
    endmembers = np.zeros((20, 6, 3))
    endmembers[:, :2] = [[1.0, 0.2, 3.0], [0.1, 1.0, 2.0]]
    pixels = torch.tensor(mixed(endmembers, 50, np.random.default_rng(2), pure=True))
    assert missed(vca(pixels, 3, generator=generator()), endmembers).max() < 1e-9


def test_flat_images_have_the_corners_that_there_are():
    line = torch.linspace(0, 1, 20, dtype=torch.float64).unsqueeze(-1) * torch.ones(1, 5, dtype=torch.float64)
    found = vca(line, 2, generator=generator())  # 0 is a corner, and no perspective shows it
    assert sorted(found[0].tolist()) == pytest.approx([0.0, 1.0], abs=1e-9)
    assert vca(torch.ones(7, 3), 3, generator=generator()).isfinite().all()


@pytest.mark.parametrize(
    ("shape", "r", "message"),
    [
        ((5, 3), 0, "from 1 to the dimension of the pixels, 3, got 0"),
        ((5, 3), 4, "3, got 4"),
        ((0, 3), 2, "no"),
    ],
)
def test_what_cannot_be_unmixed_is_told(shape, r, message):
    for function in (lambda y: vca(y, r, generator=generator()), lambda y: estimated_snr(y, r)):
        with pytest.raises(ValueError, match=message):
            function(torch.zeros(shape))
