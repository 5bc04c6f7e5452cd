"""``benchmarks/experiments.py`` runs, and the peers' way of the six experiments computes the same as ours."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from bench_core.discrepancies import mmd2
from bench_core.engines.critic import Critic
from bench_core.kernels import Gaussian
from bench_core.plan import Plan, make_plan
from bench_core.plugins import Plugins
from bench_core.suite import load_suite
from bench_core.unmixing import vca

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
RECOVERY = {
    "gaussian_mean": {},
    "gmm_mean": {},
    "gaussian_cov": {"epsilon": 0.3},
    "gmm_cov": {"epsilon": 0.3},
}
M = 40


@pytest.fixture(scope="module")
def _beside() -> Iterator[None]:
    """Let the programs import one another, as they do when they are run."""
    known = set(sys.modules)
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))
    for name in {"serial", "serial_experiments", "speed", "experiments"} - known:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def peers(_beside: None) -> ModuleType:
    return importlib.import_module("serial_experiments")


@pytest.fixture(scope="module")
def experiments(_beside: None) -> ModuleType:
    return importlib.import_module("experiments")


@pytest.fixture(autouse=True)
def _own_random_numbers() -> Iterator[None]:
    """The peers' script uses PyTorch's own generator: the same numbers in every test, and none for others."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _plan(plugins: Plugins, repo: Path, name: str) -> Plan:
    return make_plan(load_suite(repo / "suites" / f"{name}.yaml"), plugins)


def _both(peers: ModuleType, plugins: Plugins, name: str) -> tuple[Any, Any]:
    """Return a trial of the peers and the same problem as ours, given what is known of the trial."""
    trial = peers.DRAW[name](torch.Generator().manual_seed(3), M, **RECOVERY[name])
    problem = plugins.problems.get(name)(m=M, **RECOVERY[name])
    known = {"mean": trial.model.mean.unsqueeze(0)} if name == "gmm_cov" else {}
    return trial, problem.given(known)


# --- the same losses --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECOVERY)
@pytest.mark.parametrize("quantity", ["log_density", "kernel_mean", "kernel_self"])
def test_the_peers_formulas_are_ours(peers: ModuleType, plugins: Plugins, name: str, quantity: str) -> None:
    trial, ours = _both(peers, plugins, name)
    theta = trial.start.clone().requires_grad_()
    arguments = {"log_density": [trial.y], "kernel_mean": [trial.y, 10.0], "kernel_self": [10.0]}[quantity]
    theirs = torch.as_tensor(getattr(trial.model, quantity)(theta, *arguments))
    batched = [each.unsqueeze(0) if isinstance(each, torch.Tensor) else each for each in arguments]
    expected = getattr(ours, quantity)(theta.unsqueeze(0), *batched)[0]
    torch.testing.assert_close(theirs, expected, rtol=1e-4, atol=1e-6)
    if theirs.requires_grad:
        (gradient,) = torch.autograd.grad(theirs.mean(), theta)
        (our_gradient,) = torch.autograd.grad(expected.mean(), theta)
        torch.testing.assert_close(gradient, our_gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("method", ["osmmd", "mle"])
@pytest.mark.parametrize("name", RECOVERY)
def test_the_peers_losses_are_ours(peers: ModuleType, plugins: Plugins, name: str, method: str) -> None:
    trial, model = _both(peers, plugins, name)
    task = SimpleNamespace(model=model, observed=trial.y.unsqueeze(0), spend=lambda **counts: None)
    ours = plugins.methods.get(method)().objective(task)(trial.start.unsqueeze(0))
    more = [10.0] if method == "osmmd" else []
    theirs = getattr(peers, f"{method}_loss")(trial.model, trial.start, trial.y, *more)
    assert theirs.item() == pytest.approx(ours.item(), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("bandwidth", [0.1, 10.0])
def test_mmd2_of_fakes_is_ours(peers: ModuleType, bandwidth: float) -> None:
    rng = torch.Generator().manual_seed(0)
    trial = peers.draw_linear_unmixing(rng, 100)
    fakes = trial.model.sample(trial.start, 256, rng)
    within_y = peers.serial.within(trial.y, bandwidth)
    theirs = peers.serial.mmd2(fakes, trial.y, bandwidth, within_y)
    assert theirs.item() == pytest.approx(mmd2(fakes, trial.y, Gaussian(bandwidth)).item(), abs=2e-5)


@pytest.mark.parametrize("hidden_layers", [0, 1, 2])
def test_the_critics_losses_are_ours(peers: ModuleType, plugins: Plugins, hidden_layers: int) -> None:
    rng = torch.Generator().manual_seed(0)
    real, fake, share = torch.randn(30, 10, generator=rng), torch.randn(40, 10, generator=rng) + 1, torch.rand(30, 1)
    network = peers.make_critic(10, hidden_layers)
    ours = Critic.__new__(Critic)  # with the network's weights instead of its own
    ours.parameters = [
        tensor.detach().clone().unsqueeze(0).requires_grad_()
        for layer in network
        if isinstance(layer, torch.nn.Linear)
        for tensor in (layer.weight.T, layer.bias.unsqueeze(0))
    ]
    method = plugins.methods.get("wgan")(hidden_layers=hidden_layers)
    task: Any = SimpleNamespace(noise=lambda purpose, shape, law: share.unsqueeze(0))
    batch = (ours, real.unsqueeze(0), fake.unsqueeze(0), task)
    theirs, expected = peers.critic_loss(network, real, fake, share), method.critic_loss(*batch)
    assert theirs.item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-5)
    assert peers.generator_loss(network, fake).item() == pytest.approx(method.generator_loss(*batch).item(), abs=1e-6)
    theirs.backward()
    gradients = torch.autograd.grad(expected.sum(), ours.parameters, allow_unused=True)
    for parameter, gradient in zip(list(network.parameters())[:-1], gradients[:-1], strict=True):
        assert gradient is not None
        torch.testing.assert_close(parameter.grad, gradient[0].T.reshape(parameter.shape), rtol=1e-3, atol=1e-5)


def test_the_peers_vca_finds_pure_pixels(peers: ModuleType) -> None:
    rng = torch.Generator().manual_seed(0)
    trial = peers.draw_linear_unmixing(rng, 100, noise=0.0)
    pure = trial.truth.view(3, -1)
    found = peers.vca(torch.cat([pure, trial.y]), 3, rng)  # (r, d)
    assert trial.model.error(found.flatten(), trial.truth) < 1e-6


@pytest.mark.parametrize("noise", [0.001, 1.0])  # in perspective, and in the affine hull
def test_the_peers_vca_is_as_far_off_as_ours(peers: ModuleType, noise: float) -> None:
    # From the same pixels; in which order they are found depends on the signs of the axes.
    apart, errors = [], []
    for seed in range(60):
        trial = peers.draw_linear_unmixing(torch.Generator().manual_seed(seed), 100, noise=noise)
        ours = vca(trial.y, 3, generator=torch.Generator().manual_seed(seed)).mT.flatten()
        errors.append(trial.model.error(ours, trial.truth))
        apart.append(trial.model.error(trial.start, trial.truth) - errors[-1])
    difference = torch.tensor(apart)
    assert difference.mean().abs() < 4 * difference.std() / 60**0.5 + 0.01 * sum(errors) / 60


def test_samples_of_the_peers_have_our_moments(peers: ModuleType, plugins: Plugins) -> None:
    for name in RECOVERY:
        trial, ours = _both(peers, plugins, name)
        n = 40_000
        theirs = trial.model.sample(trial.truth, n, torch.Generator().manual_seed(0))
        noise = torch.randn(1, n, ours.noise_size, generator=torch.Generator().manual_seed(1))
        expected = ours.sample(trial.truth.unsqueeze(0), noise)[0]
        for power in (1, 2):
            spread = (theirs**power).std(0) + (expected**power).std(0)
            apart = ((theirs**power).mean(0) - (expected**power).mean(0)).abs()
            assert (apart < 5 * spread / n**0.5).all(), name


# --- the same experiments ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("experiment", "method", "more"),
    [  # wgan on covariances and mle near singular ones get nowhere, as published
        ("gaussian_mean", "mmd", {}),
        ("gaussian_mean", "wgan", {"hidden_layers": 0}),
        ("gmm_mean", "mle", {}),
        ("gaussian_cov", "osmmd", {}),
        ("gmm_cov", "mmd", {}),
        ("linear_unmixing", "mmd", {"bandwidth": 0.1, "lr": 0.01, "fakes": 256}),
    ],
)
def test_a_short_trial_improves_on_its_start(
    peers: ModuleType, experiment: str, method: str, more: dict[str, Any]
) -> None:
    before, after = peers.run_trial(peers.Setup(experiment, method, {"m": 100}, **more), seed=0, iterations=150)
    assert after < 0.8 * before


def test_the_serial_script_prints_json(peers: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    peers.main(["--experiment", "gmm_cov", "--method", "wgan", "--m", "20", "--steps", "3"])
    found = json.loads(capsys.readouterr().out)
    assert (found["experiment"], found["steps"]) == ("gmm_cov", 3)
    assert found["seconds_per_step"] > 0


def test_an_unknown_method_is_refused(peers: ModuleType) -> None:
    with pytest.raises(ValueError, match="must be mmd, osmmd, mle or wgan, got 'mdm'"):
        peers.Fit(peers.Setup("gmm_mean", "mdm", {"m": 5}), seed=0)


def test_the_published_block_is_what_the_paper_ran(experiments: ModuleType, plugins: Plugins, repo: Path) -> None:
    expected = {
        "gaussian_mean": (24, {"mmd": 800, "osmmd": 100, "mle": 100, "wgan": 500}),
        "gmm_mean": (24, {"mmd": 700, "osmmd": 100, "mle": 100, "wgan": 1000}),
        "gaussian_cov": (20, {"mmd": 800, "osmmd": 100, "mle": 100, "wgan": 800}),
        "gmm_cov": (20, dict.fromkeys(("mmd", "osmmd", "mle", "wgan"), 200)),
        "epsilon_sweep": (17, {"osmmd": 100, "mle": 100}),  # at epsilon 0 there is no likelihood
        "linear_unmixing": (48, {f"{name}{number}": 50 for name in ("mmd", "wgan") for number in range(1, 7)}),
    }
    assert tuple(expected) == experiments.SUITES
    for name, (count, repeats) in expected.items():
        plan = _plan(plugins, repo, name)
        cells = [plan.cells[index] for index in experiments.published(plan)]
        assert len(cells) == count
        assert {cell.label: cell.trials for cell in cells} == repeats


def test_the_peers_get_the_numbers_of_the_suite(experiments: ModuleType, plugins: Plugins, repo: Path) -> None:
    plan = _plan(plugins, repo, "linear_unmixing")
    setups = {plan.cells[i].label: experiments.setup_of(plan.cells[i]) for i in experiments.published(plan)}
    mmd, wgan = setups["mmd3"], setups["wgan4"]
    assert (mmd.method, mmd.lr, mmd.bandwidth, mmd.fakes) == ("mmd", 0.01, 1.0, 256)
    assert (wgan.method, wgan.lr, wgan.hidden_layers, wgan.fakes) == ("wgan", 0.001, 2, 256)
    assert mmd.problem == {"m": 100, "d": 10, "r": 3, "noise": 1}
    swept = _plan(plugins, repo, "epsilon_sweep")
    cells = [swept.cells[i] for i in experiments.published(swept)]
    assert [experiments.setup_of(cell).problem["epsilon"] for cell in cells if cell.label == "osmmd"] == [
        1, 0.3, 0.1, 0.03, 0.01, 1e-3, 1e-4, 1e-5, 0,
    ]  # fmt: skip


# --- numbers from numbers ---------------------------------------------------------------------------------------------


def test_extrapolation_keeps_what_a_batch_costs_besides_its_iterations(experiments: ModuleType) -> None:
    # 0.5 s and 0.01 s per iteration.
    assert experiments.extrapolated((50, 1.0), (250, 3.0), 1000) == pytest.approx(10.5)
    assert experiments.extrapolated((50, 1.0), (250, 3.0), 50) == pytest.approx(1.0)
    # A line that noise has turned round is taken as level.
    assert experiments.extrapolated((2, 1.0), (4, 0.9), 1000) == pytest.approx(1.0)


def test_a_serial_trial_is_what_comes_before_and_its_steps(peers: ModuleType, experiments: ModuleType) -> None:
    slow, quick = peers.Timing(0.5, 0.01), peers.Timing(0.1, 0.02)
    assert slow.trial(100) == pytest.approx(1.5)
    runs = [{1: slow, 2: quick}, {1: slow, 2: peers.Timing(0.1, 0.004)}]
    assert experiments.fastest(runs, 100) == (2, pytest.approx((2.1 + 0.5) / 2))
    assert experiments.fastest(runs, 10) == (2, pytest.approx((0.3 + 0.14) / 2))
    assert experiments.fastest(runs[:1], 100) == (1, pytest.approx(1.5))


def test_batches_go_to_the_worker_that_is_idle_first(experiments: ModuleType) -> None:
    assert experiments.makespan([3, 1, 1, 2], 2) == 4
    assert experiments.makespan([3, 1, 1, 2], 1) == 7
    assert experiments.makespan([], 2) == 0


def test_the_total_is_judged_for_all_six_only(experiments: ModuleType) -> None:
    row = {"serial_min": 70.0, "ours_min": 10.0}
    some = experiments.total({"gmm_cov": row, "gmm_mean": row}, quick=False)
    assert (some["serial_min"], some["ours_min"], some["ratio"]) == (140, 20, pytest.approx(7))
    assert [target["met"] for target in some["targets"]] == [None, None]
    everything = dict.fromkeys(experiments.SUITES, row)
    assert [target["met"] for target in experiments.total(everything, quick=False)["targets"]] == [True, True]
    assert [target["met"] for target in experiments.total(everything, quick=True)["targets"]] == [None, None]
    slow = {name: {"serial_min": 70.0, "ours_min": 13.0} for name in experiments.SUITES}
    assert [target["met"] for target in experiments.total(slow, quick=False)["targets"]] == [False, False]


@pytest.mark.slow
def test_the_report_is_json(tmp_path: Path) -> None:
    output = tmp_path / "experiments.json"
    options = ["--quick", "--suite", "epsilon_sweep", "--output", str(output)]
    command = [sys.executable, str(BENCHMARKS / "experiments.py"), *options]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert "not for quoting" in printed
    assert "serial 3 iterations" in " ".join(printed.split())
    report = json.loads(output.read_text())
    assert report["quick"]
    assert report["machine"]["torch"] == torch.__version__
    suite = report["suites"]["epsilon_sweep"]
    assert [cell["label"] for cell in suite["cells"]] == ["osmmd", "mle"]
    for cell in suite["cells"]:
        assert cell["batch_s"] > 0
        assert cell["ours_s"] == pytest.approx(cell["batch_s"] / cell["width"] / report["workers"])
        assert cell["ratio"] == pytest.approx(cell["serial_s"] / cell["ours_s"])
    serial = sum(cell["trials"] * cell["serial_s"] for cell in suite["cells"]) / 60
    assert report["total"]["serial_min"] == pytest.approx(serial)
    assert suite["ours_min"] > suite["controls_min"] > 0
    assert [target["met"] for target in report["total"]["targets"]] == [None, None]
