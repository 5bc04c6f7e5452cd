"""Spectral parametrisation against singular values; what moves u, v and gamma, and what does not."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from bench_core.discrepancies.smmd import smmd2
from bench_core.kernels import Gaussian
from bench_core.spectral import frozen, spectral, spectral_norms

LAYERS = {
    "linear": lambda: nn.Linear(7, 5),
    "wide": lambda: nn.Linear(3, 20, bias=False),
    "one output": lambda: nn.Linear(6, 1),
    "conv": lambda: nn.Conv2d(3, 8, 3),
    "conv1d": lambda: nn.Conv1d(3, 4, 5),
    "transposed": lambda: nn.ConvTranspose2d(3, 8, 3),
}


def filled(module: nn.Module, seed: int = 0) -> nn.Module:
    """``module`` in float64 with parameters of its own seed."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.double().parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return module


def as_matrix(module: nn.Module, weight: torch.Tensor) -> torch.Tensor:
    """One row per output channel."""
    return (weight.transpose(0, 1) if isinstance(module, nn.ConvTranspose2d) else weight).flatten(1)


def operator_norm(module: nn.Module, weight: torch.Tensor) -> torch.Tensor:
    return torch.linalg.matrix_norm(as_matrix(module, weight.detach()), ord=2)


def vectors(module: nn.Module) -> list[torch.Tensor]:
    """Copies of u and v of every spectral layer."""
    return [buffer.clone() for name, buffer in module.named_buffers() if name.endswith(("._u", "._v"))]


def gammas(module: nn.Module) -> list[nn.Parameter]:
    return [parameter for name, parameter in module.named_parameters() if name.endswith("gamma")]


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return len(first) == len(second) > 0 and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def moved(module: nn.Module) -> None:
    """Change the weights, as a step of an optimiser does."""
    with torch.no_grad():
        for seed, (name, parameter) in enumerate(module.named_parameters()):
            if name.endswith("original"):
                noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
                parameter.add_(noise)


# --- the norm -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_the_weight_is_divided_by_its_operator_norm_from_the_start(make):
    plain = filled(make())
    layer = spectral(copy.deepcopy(plain))
    torch.testing.assert_close(layer.weight, plain.weight / operator_norm(plain, plain.weight))
    torch.testing.assert_close(operator_norm(layer, layer.weight), torch.tensor(1.0).double())
    if plain.bias is not None:
        assert torch.equal(layer.bias, plain.bias)


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_power_iterations_follow_a_weight_that_changes(make):
    layer = spectral(filled(make()))
    moved(layer)
    with torch.no_grad():
        for _ in range(300):
            weight = layer.weight
    original = layer.parametrizations.weight.original
    torch.testing.assert_close(weight, (original / operator_norm(layer, original)).detach(), rtol=1e-6, atol=1e-9)


def test_more_iterations_follow_faster():
    errors = []
    for iterations in (1, 5):
        layer = spectral(filled(nn.Linear(20, 20)), iterations=iterations)
        moved(layer)
        errors.append((operator_norm(layer, layer.weight) - 1).abs())
    assert errors[1] < errors[0]


def test_the_norm_is_that_of_the_convolution_up_to_the_kernels_area():
    layer = spectral(filled(nn.Conv2d(2, 3, 3, padding=1, bias=False)))
    size = 2 * 6 * 6
    matrix = layer(torch.eye(size).double().reshape(size, 2, 6, 6)).flatten(1).mT.detach()
    assert torch.linalg.matrix_norm(matrix, ord=2) <= 3 * (1 + 1e-12)


def test_a_net_of_spectral_layers_is_lipschitz_with_the_product_of_its_scales():
    net = nn.Sequential(
        spectral(filled(nn.Linear(6, 16), 0)), nn.LeakyReLU(0.2),
        spectral(filled(nn.Linear(16, 16), 1)), nn.ReLU(),
        spectral(filled(nn.Linear(16, 2), 2)),
    )  # fmt: skip
    with torch.no_grad():
        for gamma, value in zip(gammas(net), (2.0, 0.5, 3.0), strict=True):
            gamma.fill_(value)
    generator = torch.Generator().manual_seed(0)
    x, step = (torch.randn(1000, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    for size in (1e-3, 1.0, 10.0):
        distances = (net(x + size * step) - net(x)).norm(dim=-1)
        assert bool((distances <= 3.0 * size * step.norm(dim=-1) * (1 + 1e-9)).all())


# --- gradients and the scale ----------------------------------------------------------------------------------------


def test_no_gradient_flows_through_the_singular_vectors():
    """With u and v held, the gradient of <C, W / (u'Wv)> is C / s - <C, W> uv' / s^2."""
    layer = spectral(filled(nn.Linear(4, 3, bias=False)))
    moved(layer)
    with torch.no_grad():
        for _ in range(2):
            assert layer.weight.shape == (3, 4)  # so that u and v are not yet converged, nor those of the start
    cotangent = torch.arange(12.0).double().reshape(3, 4)
    (gradient,) = torch.autograd.grad((cotangent * layer.weight).sum(), layer.parametrizations.weight.original)
    u, v = vectors(layer)
    weight = layer.parametrizations.weight.original.detach()
    sigma = u @ weight @ v
    expected = cotangent / sigma - (cotangent * weight).sum() / sigma**2 * torch.outer(u, v)
    torch.testing.assert_close(gradient, expected)
    assert not any(vector.requires_grad for vector in vectors(layer))


def test_gamma_multiplies_and_learns():
    layer = spectral(filled(nn.Linear(4, 3)))
    (gamma,) = gammas(layer)
    assert gamma.shape == ()
    assert gamma.item() == 1
    unscaled = layer.weight.detach()
    x = torch.ones(2, 4).double()
    loss = (layer(x) - layer.bias).sum()
    (gradient,) = torch.autograd.grad(loss, gamma)
    torch.testing.assert_close(gradient, (x @ unscaled.mT).sum())
    with torch.no_grad():
        gamma.fill_(-2.5)
    torch.testing.assert_close(layer.weight, -2.5 * unscaled)
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.1)
    layer(x).square().sum().backward()
    optimiser.step()
    assert gamma.item() != -2.5


def test_a_scale_that_is_not_learnt_stays_one():
    layer = spectral(filled(nn.Linear(4, 3)), learn_scale=False)
    assert gammas(layer) == []
    layer(torch.ones(2, 4).double()).sum().backward()
    torch.testing.assert_close(operator_norm(layer, layer.weight), torch.tensor(1.0).double())


def test_second_derivatives_pass_through_a_critic():
    """As the Jacobians of the Scaled MMD need them; frozen, as a check by differences must be."""
    net = nn.Sequential(spectral(filled(nn.Linear(2, 3))), nn.Tanh(), spectral(filled(nn.Linear(3, 1), 1)))
    x = torch.tensor([[0.3, -0.2], [1.0, 0.5]], dtype=torch.float64)
    parameters = {name: parameter.detach().requires_grad_() for name, parameter in net.named_parameters()}

    def slope(*values: torch.Tensor) -> torch.Tensor:
        def total(points: torch.Tensor) -> torch.Tensor:
            return torch.func.functional_call(net, dict(zip(parameters, values, strict=True)), (points,)).sum()

        return torch.func.grad(total)(x).square().sum()

    with frozen(net):
        assert torch.autograd.gradcheck(slope, tuple(parameters.values()))


def test_a_spectral_critic_is_a_feature_map_of_the_scaled_mmd():
    net = nn.Sequential(spectral(filled(nn.Linear(3, 4))), nn.Tanh(), spectral(filled(nn.Linear(4, 2), 1)))
    moved(net)
    x, y = torch.eye(3).double(), 2 * torch.eye(3).double()
    before = vectors(net)
    smmd2(x, y, Gaussian(1.0), features=net)
    assert not same(vectors(net), before)
    with frozen(net):
        value = smmd2(x, y, Gaussian(1.0), features=net)
        gradients = torch.autograd.grad(value, list(net.parameters()), allow_unused=True)
        with parametrize.cached():
            value_of_cached = smmd2(x, y, Gaussian(1.0), features=net)
        of_cached = torch.autograd.grad(value_of_cached, list(net.parameters()), allow_unused=True)
    torch.testing.assert_close(value_of_cached, value)
    torch.testing.assert_close(of_cached, gradients)


def test_two_passes_before_the_gradient_is_taken():
    """The critic's loss is f(real) - f(fake): the second pass must not spoil what the first one keeps."""
    net = nn.Sequential(spectral(filled(nn.Linear(4, 3))), nn.ReLU(), spectral(filled(nn.Linear(3, 1), 1)))
    (net(torch.ones(2, 4).double()).sum() - net(torch.zeros(2, 4).double()).sum()).backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


# --- what moves u and v ---------------------------------------------------------------------------------------------


def test_each_pass_in_training_moves_the_vectors_and_none_does_in_evaluation():
    net = nn.Sequential(spectral(filled(nn.Linear(4, 4))), nn.ReLU(), spectral(filled(nn.Linear(4, 4), 1)))
    moved(net)
    x = torch.ones(2, 4).double()
    before = vectors(net)
    net(x)
    after = vectors(net)
    assert not any(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    net.eval()
    net(x)
    assert same(vectors(net), after)


def test_frozen_leaves_the_vectors_and_only_them():
    net = nn.Sequential(
        spectral(filled(nn.Conv2d(1, 3, 3))), nn.Dropout(0.5), nn.Flatten(), spectral(filled(nn.Linear(12, 1)))
    )
    moved(net)
    x = torch.ones(2, 1, 4, 4).double()
    before = vectors(net)
    with frozen(net):
        assert net.training
        assert net[1].training  # dropout goes on
        net(x).sum().backward()
        with frozen(net):  # within another one
            net(x)
        net(x)
        assert same(vectors(net), before)
    assert all(parameter.grad is not None for parameter in net.parameters())
    net(x)
    assert not same(vectors(net), before)
    with pytest.raises(RuntimeError, match="on purpose"), frozen(net):
        raise RuntimeError("on purpose")
    before = vectors(net)
    net(x)
    assert not same(vectors(net), before)


def test_frozen_does_not_wake_what_was_in_evaluation():
    net = nn.Sequential(spectral(filled(nn.Linear(4, 4))), spectral(filled(nn.Linear(4, 4), 1)))
    net[0].eval()
    moved(net)
    with frozen(net):
        pass
    before = vectors(net)
    net(torch.ones(2, 4).double())
    after = vectors(net)
    assert same(before[:2], after[:2])
    assert not same(before[2:], after[2:])


def test_a_cached_weight_is_computed_once():
    layer = spectral(filled(nn.Linear(4, 4)))
    moved(layer)
    with parametrize.cached():
        layer(torch.ones(2, 4).double())
        once = vectors(layer)
        layer(torch.ones(2, 4).double())
    assert same(vectors(layer), once)


def test_no_random_number_is_drawn():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = spectral(filled(nn.Linear(4, 3)))
    torch.set_rng_state(before)
    plain = filled(nn.Linear(4, 3))
    state = torch.get_rng_state()
    spectral(plain)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    assert same(vectors(first), vectors(spectral(filled(nn.Linear(4, 3)))))


# --- state ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("saved", [True, False])
@pytest.mark.parametrize("loaded", [True, False])
def test_the_state_goes_round(saved, loaded, tmp_path):
    def make(learn_scale: bool, seed: int) -> nn.Module:
        first = spectral(filled(nn.Conv1d(2, 3, 2), seed), learn_scale=learn_scale)
        return nn.Sequential(first, nn.Flatten(), spectral(filled(nn.Linear(9, 2), seed + 1), learn_scale=learn_scale))

    net, other = make(saved, 0), make(loaded, 7)
    moved(net)
    x = torch.ones(2, 2, 4).double()
    net(x)
    torch.save(net.state_dict(), tmp_path / "net.pt")
    other.load_state_dict(torch.load(tmp_path / "net.pt", weights_only=True))
    assert same(vectors(other), vectors(net))
    torch.testing.assert_close(other(x), net(x))


def test_a_copy_is_independent():
    layer = spectral(filled(nn.Linear(4, 3)))
    other = copy.deepcopy(layer)
    moved(other)
    before = vectors(layer)
    with frozen(layer):
        other(torch.ones(1, 4).double())
    assert same(vectors(layer), before)
    assert not same(vectors(other), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_dtypes(dtype):
    layer = spectral(filled(nn.Linear(4, 3)).to(dtype))
    assert layer.weight.dtype == gammas(layer)[0].dtype == dtype
    norm = spectral_norms(layer)[""]
    assert norm.item() == pytest.approx(1, rel=2e-2 if dtype == torch.bfloat16 else 1e-5)


# --- the report -----------------------------------------------------------------------------------------------------


def test_spectral_norms_are_named_and_exact_and_move_nothing():
    net = nn.Sequential(
        spectral(filled(nn.Conv2d(1, 3, 3))), nn.BatchNorm2d(3), nn.Flatten(), filled(nn.Linear(12, 2), 1)
    )
    moved(net)
    with torch.no_grad():
        gammas(net)[0].fill_(3.0)
    before = vectors(net)
    norms = spectral_norms(net)
    assert same(vectors(net), before)
    assert list(norms) == ["0", "3"]
    with frozen(net):
        torch.testing.assert_close(norms["0"], operator_norm(net[0], net[0].weight))
    torch.testing.assert_close(norms["3"], operator_norm(net[3], net[3].weight))
    assert not any(norm.requires_grad for norm in norms.values())
    with torch.no_grad():
        for _ in range(300):
            net[0](torch.ones(1, 1, 3, 3).double())
    assert spectral_norms(net)["0"].item() == pytest.approx(3, rel=1e-6)
    assert list(spectral_norms(net[0])) == [""]


# --- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [nn.ReLU(), nn.BatchNorm1d(3), nn.Sequential(nn.Linear(2, 2))], ids=str)
def test_modules_without_a_matrix(module):
    with pytest.raises(ValueError, match=r"whose weight has two or more axes, got [\s\S]*; in a net, call it on each"):
        spectral(module)


def test_a_layer_is_parametrised_once():
    layer = spectral(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="is parametrised already; call spectral once per layer"):
        spectral(layer)


@pytest.mark.parametrize("iterations", [0, -1, 1.5, True, math.nan])
def test_iterations_must_be_a_positive_integer(iterations):
    with pytest.raises(ValueError, match=r"iterations must be a positive integer, got .*; try iterations=1"):
        spectral(nn.Linear(2, 2), iterations=iterations)


# --- CUDA -----------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("make", [LAYERS["linear"], LAYERS["conv"]])
def test_cuda_agrees_with_the_cpu(make):
    plain = filled(make())
    before = torch.cuda.get_rng_state()
    layer = spectral(copy.deepcopy(plain).cuda())
    assert torch.equal(torch.cuda.get_rng_state(), before)
    torch.testing.assert_close(layer.weight.cpu(), spectral(plain).weight)
    moved_to_cpu = spectral_norms(layer)[""].cpu()
    torch.testing.assert_close(moved_to_cpu, torch.tensor(1.0).double())
