"""The peers' way for the six experiments of Alon, Globerson, Wiesel: one trial after the other, in plain PyTorch.

``torch.optim.Adam`` for every player, critics of ``torch.nn``, a gradient penalty by ``torch.autograd.grad``, MMD by
autograd through ``torch.cdist`` (``serial.py``), and nothing of ``bench_core``. Written as a careful script would be:
what depends on the data alone is computed before the loop, nothing is logged in it, and both players of WGAN learn from
the same fakes.

    python benchmarks/serial_experiments.py --experiment gmm_mean --method wgan --steps 200
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, permutations
from typing import Any, NamedTuple, Protocol

import serial
import torch
from torch import Tensor, nn

PENALTY = 10.0
"""Weight of the gradient penalty (Gulrajani et al.)."""
LOG_TWO_PI = math.log(2 * math.pi)

Step = Callable[[], None]
"""One iteration of a training loop."""


# --- families ---------------------------------------------------------------------------------------------------------


class Model(Protocol):
    """A family of distributions; densities and kernel means exist where a formula does."""

    def sample(self, theta: Tensor, n: int, rng: torch.Generator) -> Tensor:
        """Return ``n`` samples ``(n, d)``."""

    def error(self, theta: Tensor, truth: Tensor) -> float:
        """Return the distance by which a trial is scored."""


@dataclass(frozen=True)
class GaussianMean:
    """N(theta, I)."""

    def sample(self, theta: Tensor, n: int, rng: torch.Generator) -> Tensor:
        return theta + torch.randn(n, len(theta), generator=rng)

    def log_density(self, theta: Tensor, y: Tensor) -> Tensor:
        return -0.5 * ((y - theta).square().sum(-1) + len(theta) * LOG_TWO_PI)  # (m,)

    def kernel_self(self, theta: Tensor, bandwidth: float) -> float:
        return (1 + 2 / bandwidth) ** (-0.5 * len(theta))

    def kernel_mean(self, theta: Tensor, y: Tensor, bandwidth: float) -> Tensor:
        prefactor = (1 + 1 / bandwidth) ** (-0.5 * len(theta))
        return prefactor * torch.exp((y - theta).square().sum(-1) / (-2 * (1 + bandwidth)))  # (m,)

    def error(self, theta: Tensor, truth: Tensor) -> float:
        return float((theta - truth).norm() / len(theta))


@dataclass(frozen=True)
class GMMMean:
    """N(theta, I) or N(-theta, I)."""

    def sample(self, theta: Tensor, n: int, rng: torch.Generator) -> Tensor:
        return _signs(n, rng) * theta + torch.randn(n, len(theta), generator=rng)

    def log_density(self, theta: Tensor, y: Tensor) -> Tensor:
        near, far = (y - theta).square().sum(-1), (y + theta).square().sum(-1)  # (m,)
        return torch.logaddexp(-0.5 * near, -0.5 * far) - math.log(2) - 0.5 * len(theta) * LOG_TWO_PI

    def kernel_self(self, theta: Tensor, bandwidth: float) -> Tensor:
        apart = torch.exp(-2 * theta.square().sum() / (2 + bandwidth))
        return 0.5 * (1 + 2 / bandwidth) ** (-0.5 * len(theta)) * (1 + apart)

    def kernel_mean(self, theta: Tensor, y: Tensor, bandwidth: float) -> Tensor:
        near, far = (y - theta).square().sum(-1), (y + theta).square().sum(-1)  # (m,)
        prefactor = 0.5 * (1 + 1 / bandwidth) ** (-0.5 * len(theta))
        return prefactor * (torch.exp(near / (-2 * (1 + bandwidth))) + torch.exp(far / (-2 * (1 + bandwidth))))

    def error(self, theta: Tensor, truth: Tensor) -> float:
        return float(min((theta - truth).norm(), (theta + truth).norm()) / len(theta))


@dataclass(frozen=True)
class GaussianCov:
    """N(0, theta theta' + epsilon^2 I)."""

    epsilon: float

    def sample(self, theta: Tensor, n: int, rng: torch.Generator) -> Tensor:
        across = torch.randn(n, len(theta), generator=rng)
        return torch.randn(n, 1, generator=rng) * theta + self.epsilon * across

    def log_density(self, theta: Tensor, y: Tensor) -> Tensor:
        variance, d = self.epsilon**2, len(theta)
        top = variance + theta.square().sum()
        return -0.5 * (
            (d - 1) * math.log(variance) + torch.log(top) + _quadratic(theta, y, variance, top) + d * LOG_TWO_PI
        )

    def kernel_self(self, theta: Tensor, bandwidth: float) -> Tensor:
        base = 2 * self.epsilon**2 + bandwidth
        top = base + 2 * theta.square().sum()
        return (base / bandwidth) ** (-0.5 * (len(theta) - 1)) * (top / bandwidth).rsqrt()

    def kernel_mean(self, theta: Tensor, y: Tensor, bandwidth: float) -> Tensor:
        base = self.epsilon**2 + bandwidth
        top = base + theta.square().sum()
        prefactor = (base / bandwidth) ** (-0.5 * (len(theta) - 1)) * (top / bandwidth).rsqrt()
        return prefactor * torch.exp(-0.5 * _quadratic(theta, y, base, top))  # (m,)

    def error(self, theta: Tensor, truth: Tensor) -> float:
        return float((torch.outer(theta, theta) - torch.outer(truth, truth)).norm() / len(theta))


@dataclass(frozen=True)
class GMMCov(GaussianCov):
    """The same around ``mean`` or ``-mean``, which is known."""

    mean: Tensor

    def sample(self, theta: Tensor, n: int, rng: torch.Generator) -> Tensor:
        return _signs(n, rng) * self.mean + super().sample(theta, n, rng)

    def log_density(self, theta: Tensor, y: Tensor) -> Tensor:
        near, far = super().log_density(theta, y - self.mean), super().log_density(theta, y + self.mean)
        return torch.logaddexp(near, far) - math.log(2)

    def kernel_self(self, theta: Tensor, bandwidth: float) -> Tensor:
        base = 2 * self.epsilon**2 + bandwidth
        along = torch.dot(theta, self.mean).square() / (base + 2 * theta.square().sum())
        apart = torch.exp(-(2 / base) * (self.mean.square().sum() - 2 * along))
        return 0.5 * super().kernel_self(theta, bandwidth) * (1 + apart)

    def kernel_mean(self, theta: Tensor, y: Tensor, bandwidth: float) -> Tensor:
        near = super().kernel_mean(theta, y - self.mean, bandwidth)
        return 0.5 * (near + super().kernel_mean(theta, y + self.mean, bandwidth))


@dataclass(frozen=True)
class LinearUnmixing:
    """Pixels b'A + w with endmembers A ``(r, d)``, which theta holds, b from Dirichlet(1) and w from N(0, noise I)."""

    r: int
    noise: float

    def sample(self, theta: Tensor, n: int, rng: torch.Generator) -> Tensor:
        endmembers = theta.view(self.r, -1)
        shares = torch.empty(n, self.r).exponential_(generator=rng)  # over their sum they are Dirichlet(1)
        shares = shares / shares.sum(-1, keepdim=True)
        return shares @ endmembers + math.sqrt(self.noise) * torch.randn(n, endmembers.shape[1], generator=rng)

    def error(self, theta: Tensor, truth: Tensor) -> float:
        """Return eq. 23: squared distances, summed over the best of all matchings."""
        squares = torch.cdist(theta.view(self.r, -1), truth.view(self.r, -1)).square()
        return min(float(squares[range(self.r), columns].sum()) for columns in map(list, permutations(range(self.r))))


def _signs(n: int, rng: torch.Generator) -> Tensor:
    """Return -1 or 1 with equal chances, ``(n, 1)``."""
    return torch.randint(0, 2, (n, 1), generator=rng) * 2.0 - 1.0


def _quadratic(theta: Tensor, y: Tensor, base: float, top: Tensor) -> Tensor:
    """Return y'(theta theta' + base I)^(-1) y by Sherman and Morrison, ``top`` being base + ||theta||^2: ``(m,)``."""
    return (y.square().sum(-1) - (y @ theta).square() / top) / base


def vca(y: Tensor, r: int, rng: torch.Generator) -> Tensor:
    """Return ``r`` endmembers ``(r, d)`` of pixels ``(n, d)`` by vertex component analysis (Nascimento et al. 2005)."""
    pixels = y.double()
    n, d = pixels.shape
    mean = pixels.mean(0)
    centred = pixels - mean
    axes = torch.linalg.eigh(centred.T @ centred / n).eigenvectors.flip(1)  # (d, d), main ones first
    total = pixels.square().sum() / n
    inside = (centred @ axes[:, :r]).square().sum() / n + mean.square().sum()
    decibels = 10 * torch.log10((inside - r / d * total).clamp_min(0) / (total - inside))
    if decibels < 15 + 10 * math.log10(r):
        flat = centred @ axes[:, : r - 1]  # (n, r - 1)
        points = torch.cat([flat, flat.norm(dim=1).max().expand(n, 1)], 1)  # (n, r)
        projected = flat @ axes[:, : r - 1].T + mean
    else:
        span = torch.linalg.eigh(pixels.T @ pixels / n).eigenvectors.flip(1)[:, :r]
        coordinates = pixels @ span  # (n, r)
        points = coordinates / (coordinates @ coordinates.mean(0)).unsqueeze(1)
        projected = coordinates @ span.T
    corners = torch.zeros(r, r, dtype=torch.float64)  # as columns
    corners[-1, 0] = 1.0
    found = []
    for index in range(r):
        direction = torch.rand(r, dtype=torch.float64, generator=rng)
        direction = direction - corners @ (torch.linalg.pinv(corners) @ direction)
        found.append(int((points @ direction).abs().argmax()))
        corners[:, index] = points[found[-1]]
    return projected[found].to(y.dtype)


# --- one trial --------------------------------------------------------------------------------------------------------


class Trial(NamedTuple):
    """What is drawn for one trial."""

    model: Any
    truth: Tensor  # (p,)
    start: Tensor  # (p,)
    y: Tensor  # (m, d)


def draw_gaussian_mean(rng: torch.Generator, m: int, d: int = 10) -> Trial:
    """Draw the data of Section 4.1, Fig. 4."""
    truth, start = torch.randn(2, d, generator=rng)
    model = GaussianMean()
    return Trial(model, truth, start, model.sample(truth, m, rng))


def draw_gmm_mean(rng: torch.Generator, m: int, d: int = 10) -> Trial:
    """Draw the data of Section 4.1, Fig. 5."""
    truth, start = torch.randn(2, d, generator=rng)
    model = GMMMean()
    return Trial(model, truth, start, model.sample(truth, m, rng))


def draw_gaussian_cov(rng: torch.Generator, m: int, d: int = 10, epsilon: float = 1e-5) -> Trial:
    """Draw the data of Section 4.2, Fig. 6 and 7."""
    truth, start = torch.randn(2, d, generator=rng)
    model = GaussianCov(epsilon)
    return Trial(model, truth, start, model.sample(truth, m, rng))


def draw_gmm_cov(rng: torch.Generator, m: int, d: int = 10, epsilon: float = 1e-5) -> Trial:
    """Draw the data of Section 4.2, Fig. 8."""
    truth, start, mean = torch.randn(3, d, generator=rng)
    model = GMMCov(epsilon, mean)
    return Trial(model, truth, start, model.sample(truth, m, rng))


def draw_linear_unmixing(rng: torch.Generator, m: int, d: int = 10, r: int = 3, noise: float = 0.01) -> Trial:
    """Draw the pixels of Section 4.3, and start at what VCA finds in them."""
    truth = torch.rand(r * d, generator=rng)
    model = LinearUnmixing(r, noise)
    y = model.sample(truth, m, rng)
    return Trial(model, truth, vca(y, r, rng).flatten(), y)


DRAW: dict[str, Callable[..., Trial]] = {
    "gaussian_mean": draw_gaussian_mean,
    "gmm_mean": draw_gmm_mean,
    "gaussian_cov": draw_gaussian_cov,
    "gmm_cov": draw_gmm_cov,
    "linear_unmixing": draw_linear_unmixing,
}
"""The experiments by name; the sweep over epsilon is ``gaussian_cov``."""


# --- methods ----------------------------------------------------------------------------------------------------------


def osmmd_loss(model: Any, theta: Tensor, y: Tensor, bandwidth: float) -> Tensor:
    """Return MMD^2 with the model's side integrated (Lemma 4), up to the data's own term."""
    loss: Tensor = model.kernel_self(theta, bandwidth) - 2 * model.kernel_mean(theta, y, bandwidth).mean()
    return loss


def mle_loss(model: Any, theta: Tensor, y: Tensor) -> Tensor:
    """Return the mean negative log-likelihood."""
    loss: Tensor = -model.log_density(theta, y).mean()
    return loss


def make_critic(d: int, hidden_layers: int) -> nn.Sequential:
    """Return a network R^d -> R whose hidden layers are as wide as the lowest power of two above d."""
    sizes = [d, *[1 << d.bit_length()] * hidden_layers]
    hidden = [layer for fan_in, fan_out in pairwise(sizes) for layer in (nn.Linear(fan_in, fan_out), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(sizes[-1], 1))


def generator_loss(critic: nn.Module, fake: Tensor) -> Tensor:
    """Return what the model's parameters minimise."""
    loss: Tensor = -critic(fake).mean()
    return loss


def critic_loss(critic: nn.Module, real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
    """Return what the critic minimises, gradient penalty included; ``share`` ``(n, 1)`` places the interpolates."""
    n = len(share)
    between = (share * real[:n] + (1 - share) * fake[:n]).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)  # (n, d)
    penalty = (gradient.norm(dim=1) - 1).square().mean()
    loss: Tensor = critic(fake).mean() - critic(real).mean() + PENALTY * penalty
    return loss


def descent(loss: Callable[[], Tensor], theta: Tensor, lr: float) -> Step:
    """Return an iteration that moves ``theta`` against the gradient of ``loss``."""
    optimizer = torch.optim.Adam([theta], lr=lr)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def adversarial(trial: Trial, theta: Tensor, rng: torch.Generator, fakes: int, lr: float, hidden_layers: int) -> Step:
    """Return an iteration in which ``theta`` and a critic move at once, from the same fakes."""
    model, y = trial.model, trial.y
    critic = make_critic(y.shape[1], hidden_layers)
    optimizer, critic_optimizer = torch.optim.Adam([theta], lr=lr), torch.optim.Adam(critic.parameters(), lr=lr)
    n = min(len(y), fakes)

    def step() -> None:
        fake = model.sample(theta, fakes, rng)
        (theta.grad,) = torch.autograd.grad(generator_loss(critic, fake), theta)
        critic_optimizer.zero_grad()
        critic_loss(critic, y, fake.detach(), torch.rand(n, 1, generator=rng)).backward()
        critic_optimizer.step()
        optimizer.step()

    return step


@dataclass(frozen=True)
class Setup:
    """A method with its published hyper-parameters on one problem."""

    experiment: str
    """A name in ``DRAW``."""
    method: str
    """``mmd``, ``osmmd``, ``mle`` or ``wgan``."""
    problem: Mapping[str, float]
    """Arguments of the function that draws: ``m``, ``epsilon``, …"""
    lr: float = 0.1
    bandwidth: float = 10.0
    hidden_layers: int = 1
    fakes: int = 0
    """Samples generated per iteration; 0: as many as there are data."""


@dataclass
class Fit:
    """A trial that is being fitted: call ``step`` once per iteration."""

    setup: Setup
    seed: int
    trial: Trial = field(init=False)
    theta: Tensor = field(init=False)
    step: Step = field(init=False)

    def __post_init__(self) -> None:
        torch.manual_seed(self.seed)  # torch.nn draws initial weights from it
        rng = torch.Generator().manual_seed(self.seed)
        self.trial = DRAW[self.setup.experiment](rng, **self.setup.problem)
        self.theta = self.trial.start.clone().requires_grad_()
        self.step = self._step(rng)

    def _step(self, rng: torch.Generator) -> Step:
        setup, trial, theta = self.setup, self.trial, self.theta
        model, y, bandwidth = trial.model, trial.y, setup.bandwidth
        fakes = setup.fakes or len(y)
        if setup.method == "wgan":
            return adversarial(trial, theta, rng, fakes, setup.lr, setup.hidden_layers)
        if setup.method == "mmd":
            within_y = serial.within(y, bandwidth)
            return descent(
                lambda: serial.mmd2(model.sample(theta, fakes, rng), y, bandwidth, within_y), theta, setup.lr
            )
        if setup.method == "osmmd":
            return descent(lambda: osmmd_loss(model, theta, y, bandwidth), theta, setup.lr)
        if setup.method == "mle":
            return descent(lambda: mle_loss(model, theta, y), theta, setup.lr)
        raise ValueError(f"the method must be mmd, osmmd, mle or wgan, got {setup.method!r}")

    def error(self) -> float:
        """Return the error of the present parameters."""
        return float(self.trial.model.error(self.theta.detach(), self.trial.truth))


def run_trial(setup: Setup, seed: int, iterations: int) -> tuple[float, float]:
    """Run one trial; return the error at its start and at its end."""
    fit = Fit(setup, seed)
    before = fit.error()
    for _ in range(iterations):
        fit.step()
    return before, fit.error()


class Timing(NamedTuple):
    """What a trial costs: ``before`` the loop, and per ``step`` of it, in seconds."""

    before: float
    step: float

    def trial(self, iterations: int) -> float:
        """Return the seconds of a trial, which are linear in its iterations."""
        return self.before + iterations * self.step


def seconds_per_step(setup: Setup, steps: int, warm_up: int, seed: int = 0) -> Timing:
    """Time ``steps`` iterations of one trial after ``warm_up`` others, and the drawing of its data."""
    Fit(setup, seed)  # PyTorch's own start-up is not what is measured
    begin = time.perf_counter()
    fit = Fit(setup, seed)
    before = time.perf_counter() - begin
    for _ in range(warm_up):
        fit.step()
    begin = time.perf_counter()
    for _ in range(steps):
        fit.step()
    return Timing(before, (time.perf_counter() - begin) / steps)


def main(arguments: Sequence[str] | None = None) -> None:
    """Time and score one trial, and print what was found as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", choices=list(DRAW), default="gaussian_mean")
    parser.add_argument("--method", choices=["mmd", "osmmd", "mle", "wgan"], default="mmd")
    parser.add_argument("--m", type=int, default=100, help="data points (default 100)")
    parser.add_argument("--steps", type=int, default=200, help="iterations that are timed (default 200)")
    parser.add_argument("--lr", type=float, default=0.1, help="learning rate of Adam (default 0.1)")
    options = parser.parse_args(arguments)
    setup = Setup(options.experiment, options.method, {"m": options.m}, lr=options.lr)
    timing = seconds_per_step(setup, options.steps, warm_up=20)
    before, after = run_trial(setup, seed=0, iterations=options.steps)
    found = {
        "experiment": options.experiment,
        "method": options.method,
        "m": options.m,
        "steps": options.steps,
        "threads": torch.get_num_threads(),
        "seconds_before": timing.before,
        "seconds_per_step": timing.step,
        "error_at_start": before,
        "error": after,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
