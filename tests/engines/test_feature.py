"""Discrepancies of a critic's features: the closed-form Jacobian, the fixed kernel, and steps taken by hand."""

from __future__ import annotations

import pytest
import torch

from bench_core.discrepancies import gcmmd2, mmd2, smmd2
from bench_core.engines.critic import Critic
from bench_core.engines.feature import Feature
from bench_core.engines.optim import SGD, optimiser
from bench_core.engines.recovery import Task
from bench_core.kernels import Gaussian
from bench_core.plugins import PluginSources, load_plugins
from bench_core.problems.dirac import Dirac
from bench_core.problems.gaussian_mean import GaussianMean
from bench_core.seeds import Streams
from bench_core.trials import Trials
from bench_core.workspace import Workspace


@pytest.fixture(scope="module")
def methods(request):
    checkout = request.config.rootpath / "plugins"
    return load_plugins(PluginSources(checkout=checkout)).methods.items


def trials_of(problem, data: dict[str, torch.Tensor]) -> Trials:
    return Trials(
        problem=problem,
        data=data,
        streams=[Streams(slot) for slot in range(3)],
        device=torch.device("cpu"),
        dtype=torch.float64,
        workspace=Workspace(None),
        progress=lambda share: None,
    )


@pytest.fixture
def gaussian():
    observed = torch.randn(3, 20, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    zeros = torch.zeros(3, 4, dtype=torch.float64)
    return trials_of(GaussianMean(d=4, m=20), {"start": zeros + 0.5, "truth": zeros, "observed": observed})


@pytest.fixture
def dirac():
    theta = torch.tensor([[2.0], [-1.0], [3.0]], dtype=torch.float64)
    psi = torch.tensor([[0.5], [1.0], [0.2]], dtype=torch.float64)
    zeros = torch.zeros(3, 1, dtype=torch.float64)
    observed = torch.zeros(3, 2, 1, dtype=torch.float64)
    data = {"start": theta, "truth": zeros, "observed": observed, "critic_start": psi}
    return trials_of(Dirac(), data)


@pytest.mark.parametrize("widths", [(), (8,), (8, 4)])
@pytest.mark.parametrize("discrepancy", [smmd2, gcmmd2])
def test_a_features_own_jacobian_gives_what_differentiation_gives(gaussian, widths, discrepancy):
    task = Task(gaussian, 0.1)
    critic = Critic(task, widths)
    x, y = task.observed, task.observed + 0.3
    results = []
    for features in (Feature(critic), lambda z: critic(z).unsqueeze(-1)):
        critic.require_grad(True)
        value = discrepancy(x, y, Gaussian(1.0), features=features)
        gradients = torch.autograd.grad(value.sum(), critic.parameters, allow_unused=True)
        results.append([value, *(torch.zeros(1) if each is None else each for each in gradients)])
    for ours, theirs in zip(*results, strict=True):
        if ours.shape == theirs.shape:
            torch.testing.assert_close(ours, theirs)
        else:  # a parameter that plays no part, which only one of both says
            assert not ours.any()
            assert not theirs.any()


def test_a_linear_critic_begins_where_the_problem_says(dirac):
    critic = Critic(Task(dirac, 0.1), ())
    torch.testing.assert_close(critic.parameters[0].flatten(), dirac["critic_start"].flatten())
    hidden = Critic(Task(dirac, 0.1), (4,))
    assert hidden.parameters[0].shape == (3, 1, 4)


def test_without_a_critic_the_kernel_is_on_the_data_and_smmd_is_a_multiple_of_mmd(gaussian, methods):
    task = Task(gaussian, 0.1)
    real, fake = task.observed, task.observed + 0.2
    plain, scaled = (methods[name](critic="none", bandwidth=2.0) for name in ("mmd_gan", "smmd"))
    mmd = plain.discrepancy(real, fake, Gaussian(2.0), None, task)
    torch.testing.assert_close(mmd, mmd2(real, fake, Gaussian(2.0)))
    # sigma^-2 = lambda + 1 + d / bandwidth
    torch.testing.assert_close(scaled.discrepancy(real, fake, Gaussian(2.0), None, task), mmd / (1 + 1 + 4 / 2.0))


@pytest.mark.parametrize(("name", "game"), [("mmd_gan", "MMD"), ("smmd", "SMMD")])
def test_the_players_of_example_1_step_as_the_closed_forms_say(dirac, methods, name, game):
    from bench_core.dirac import games

    method = methods[name](hidden_layers=0, optimiser="sgd", lr=0.1, iterations=20, dtype="float64")
    found = method.fit(dirac).answer
    start, psi = dirac["start"].flatten(), dirac["critic_start"].flatten()
    expected = games()[game].path(start, psi, 0.1, 20)[0][-1]
    torch.testing.assert_close(found.flatten(), expected)


def test_plain_descent_moves_against_the_gradient():
    parameter = torch.tensor([[1.0, 2.0]])
    descent = optimiser("sgd", [parameter])
    assert isinstance(descent, SGD)
    descent.step([torch.tensor([[0.5, -1.0]])], 0.1)
    torch.testing.assert_close(parameter, torch.tensor([[0.95, 2.1]]))


def test_the_lipschitz_mmd_says_where_it_cannot_be(methods):
    lipmmd = methods["lipmmd"]
    assert "cover 4 dimensions" in lipmmd().unfit(GaussianMean(d=4))
    assert "set critic: none" in lipmmd().unfit(GaussianMean(d=2))
    assert lipmmd(critic="none").unfit(GaussianMean(d=2)) is None
    assert lipmmd().unfit(Dirac()) is None
