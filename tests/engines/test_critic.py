"""Stacked critics against torch.nn, one at a time."""

from __future__ import annotations

import pytest
import torch

from bench_core.engines.critic import Critic, _lowest_power_of_two_above
from bench_core.engines.recovery import Task
from bench_core.problems.gaussian_mean import GaussianMean
from bench_core.seeds import Streams
from bench_core.trials import Trials
from bench_core.workspace import Workspace


@pytest.fixture
def task():
    generator = torch.Generator().manual_seed(0)
    trials = Trials(
        problem=GaussianMean(d=5, m=40),
        data={
            "start": torch.zeros(3, 5, dtype=torch.float64),
            "truth": torch.zeros(3, 5, dtype=torch.float64),
            "observed": torch.randn(3, 40, 5, dtype=torch.float64, generator=generator),
        },
        streams=[Streams(slot) for slot in range(3)],
        device=torch.device("cpu"),
        dtype=torch.float64,
        workspace=Workspace(None),
        progress=lambda share: None,
    )
    return Task(trials, 0.1)


def _module(critic: Critic, slot: int) -> torch.nn.Sequential:
    layers: list[torch.nn.Module] = []
    for weights, bias in zip(critic.parameters[::2], critic.parameters[1::2], strict=True):
        layer = torch.nn.Linear(*weights.shape[1:], dtype=torch.float64)
        layer.weight.data, layer.bias.data = weights[slot].T.clone(), bias[slot, 0].clone()
        layers += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


@pytest.mark.parametrize("widths", [(), (8,), (8, 4)])
def test_a_stack_of_critics_is_so_many_networks(task, widths):
    critic = Critic(task, widths)
    x = task.observed.clone().requires_grad_()
    expected = torch.stack([_module(critic, slot)(x[slot]).squeeze(-1) for slot in range(3)])
    torch.testing.assert_close(critic(x), expected)
    (gradient,) = torch.autograd.grad(expected.sum(), x)
    torch.testing.assert_close(critic.input_gradient(task.observed), gradient)


@pytest.mark.parametrize("widths", [(8,), (8, 4)])
def test_the_derivative_of_a_gradient_penalty_is_that_of_double_backward(task, widths):
    critic = Critic(task, widths)
    critic.require_grad(True)
    closed = (critic.input_gradient(task.observed).norm(dim=-1) - 1).square().mean()
    x = task.observed.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    double = (gradient.norm(dim=-1) - 1).square().mean()
    ours, theirs = (torch.autograd.grad(penalty, critic.parameters, allow_unused=True) for penalty in (closed, double))
    for a, b in zip(ours, theirs, strict=True):
        # Double backward says zero where the closed form says that the parameter plays no part.
        if a is None:
            assert b is None or not b.any()
        else:
            torch.testing.assert_close(a, b)


def test_initial_weights_are_within_the_bounds_of_torch_linear_and_differ_between_trials(task):
    critic = Critic(task, (64,))
    for weights, bias, fan_in in ((*critic.parameters[:2], 5), (*critic.parameters[2:], 64)):
        assert weights.abs().max() <= fan_in**-0.5
        assert weights.abs().max() > 0.8 * fan_in**-0.5
        assert bias.abs().max() <= fan_in**-0.5
    assert not torch.equal(critic.parameters[0][0], critic.parameters[0][1])


def test_the_hidden_width_is_the_lowest_power_of_two_above_the_dimension():
    assert [_lowest_power_of_two_above(d) for d in (1, 2, 7, 8, 10, 16)] == [2, 4, 8, 16, 16, 32]


def test_the_gradient_penalty_of_a_linear_critic_by_hand(task, plugins):
    critic = Critic(task, ())
    fake = torch.randn(3, 40, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    wgan = plugins.methods.get("wgan")
    with_penalty, without = (
        wgan(hidden_layers=0, lipschitz=lipschitz).critic_loss(critic, task.observed, fake, task)
        for lipschitz in ("gp", "none")
    )
    norm = critic.parameters[0].squeeze(-1).norm(dim=-1)  # (3,)
    torch.testing.assert_close(with_penalty - without, 10 * (norm - 1) ** 2)
    means = critic(fake).mean(-1) - critic(task.observed).mean(-1)
    torch.testing.assert_close(without, means)


def test_clipping_keeps_every_weight_within_its_bound(task, plugins):
    wgan = plugins.methods.get("wgan")(lipschitz="clip", clip=0.01)
    critic = Critic(task, (8,))
    wgan.after_critic_step(critic)
    assert all(parameter.abs().max() <= 0.01 for parameter in critic.parameters)
