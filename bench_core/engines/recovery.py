"""Parameter recovery by gradient steps: the author writes a loss for a batch, the engine does the rest."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from pydantic import Field

from bench_core.engines.noise import Law, Noise
from bench_core.engines.optim import OptimiserName, Schedule, learning_rate, optimiser
from bench_core.methods import Method
from bench_core.problems import RecoveryProblem
from bench_core.trials import Fit, Path, Trials

if TYPE_CHECKING:
    import torch

    from bench_core.problems import Problem

Loss = Callable[["torch.Tensor"], "torch.Tensor"]
"""Parameters ``(B, p)`` -> losses ``(B,)``."""

RECORDED_STEPS = 12


class Task:
    """A batch of recovery trials, as a gradient method sees it.

    Attributes:
        model: the problem, for ``log_density``, ``kernel_self`` and ``kernel_mean``.
        observed: the data, shape ``(B, m, d)``.
        start: the initial parameters, shape ``(B, p)``.
        lr: the learning rate of the present step.
        memory: what a method keeps from step to step, by name: tensors ``(B, ...)``.
    """

    def __init__(self, trials: Trials, lr: float, init: str | None = None) -> None:
        self.trials = trials
        self.model = cast(RecoveryProblem, trials.problem)
        self.observed = trials["observed"]
        self.start = trials[f"start-{init}" if init else "start"]
        self.lr = lr
        self.memory: dict[str, torch.Tensor] = {}
        self._noise: dict[tuple[str, tuple[int, ...]], Noise] = {}
        self._spent: dict[str, int] = {}

    def sample(self, theta: torch.Tensor, n: int | None = None) -> torch.Tensor:
        """Return ``n`` fresh samples of the model (default: as many as the problem says), ``(B, n, d)``; counted."""
        n = n or self.model.fakes
        self.spend(generated_samples=n)
        return self.model.sample(theta, self.noise("fakes", (n, self.model.noise_size)))

    def noise(self, purpose: str, shape: tuple[int, ...], law: Law = "normal") -> torch.Tensor:
        """Return fresh random numbers ``(B, *shape)`` from the trials' own streams."""
        key = (purpose, shape)
        if key not in self._noise:
            self._noise[key] = Noise(self.trials, f"{purpose}-{shape}", shape, law)
        return self._noise[key]()

    def spend(self, **counts: int) -> None:
        """Count what a step costs per trial: ``generated_samples``, ``kernel_evaluations``, ``critic_steps``, …"""
        for name, count in counts.items():
            self._spent[name] = self._spent.get(name, 0) + count

    def spent(self) -> dict[str, int]:
        """Return the cost so far of a trial that is still going."""
        return dict(self._spent)


class GradientMethod(Method):
    """Descend a loss step by step, every trial of the batch on its own.

    The smallest method defines ``name`` and ``objective``. A trial whose loss or gradient becomes non-finite is frozen
    where it was and fails, without disturbing its neighbours.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"recovery"})
    quick: ClassVar[Mapping[str, Any]] = {"iterations": 30}
    added: ClassVar[frozenset[str]] = frozenset({"init", "optimiser"})

    lr: float = Field(0.1, gt=0)
    """Learning rate."""
    iterations: int = Field(1000, ge=1, le=100_000_000)
    """Gradient steps."""
    schedule: Schedule = "constant"
    """How the learning rate goes down: not at all, linearly or along a cosine to 0."""
    iterate: Literal["last", "average"] = "last"
    """The answer: the last iterate, or the average of the last half of them."""
    optimiser: OptimiserName = "adam"
    """Adam, or plain gradient descent."""
    init: str | None = None
    """The initial point, where the problem has several (``linear_unmixing``: vca, random); null: its usual one."""

    @abstractmethod
    def objective(self, task: Task) -> Loss:
        """Return the loss of this batch, a function from parameters ``(B, p)`` to losses ``(B,)``.

        Called once per batch; what depends on the data alone is computed here, before the loss is returned.
        """

    def gradient(self, task: Task) -> Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
        """Return a function from parameters ``(B, p)`` to losses ``(B,)`` and gradients ``(B, p)``."""
        import torch

        loss_of = self.objective(task)

        def evaluate(theta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            leaf = theta.detach().requires_grad_()
            loss = loss_of(leaf)
            if loss.shape != theta.shape[:1]:
                raise ValueError(
                    f"the loss must have one value per trial, shape {tuple(theta.shape[:1])}, got {tuple(loss.shape)}"
                )
            # Trial i's loss depends on theta[i] alone, so the gradient of the sum holds every trial's own gradient.
            (gradient,) = torch.autograd.grad(loss.sum(), leaf)
            return loss.detach(), gradient

        return evaluate

    def fit(self, trials: Trials) -> Fit:
        return Descent(self, Task(trials, self.lr, self.init)).run()

    def working_set(self, problem: Problem) -> int:
        # Observed, generated, noise and the queries, keys and values of a kernel sum, each about that many floats.
        values = problem.size()
        if isinstance(problem, RecoveryProblem) and "samples" in self.needs:
            values = max(values, problem.fakes * problem.d)
        return 4 * 24 * values

    def unfit(self, problem: Problem) -> str | None:
        known = problem.starts if isinstance(problem, RecoveryProblem) else ()
        if self.init is not None and self.init not in known:
            return f"{problem.name} has no initial point {self.init!r} (it has: {', '.join(known) or 'its usual one'})"
        return super().unfit(problem)


class Descent:
    """One run of ``GradientMethod.fit``: the state of its loop."""

    def __init__(self, method: GradientMethod, task: Task) -> None:
        import torch

        self.method, self.task = method, task
        self.theta = task.start.clone()  # (B, p)
        self.alive = torch.ones(len(self.theta), dtype=torch.bool, device=self.theta.device)
        self.frozen = self.theta  # where the trials that stopped stay
        self.stopped: dict[int, str] = {}  # slot -> why
        self.spent: dict[int, dict[str, int]] = {}  # slot -> what it had cost by then
        self.average = self.theta.new_zeros(self.theta.shape)
        self.averaged = 0
        self.recorder = _Recorder(task, method.iterations)

    def run(self) -> Fit:
        method, task = self.method, self.task
        evaluate = method.gradient(task)
        descent = optimiser(method.optimiser, [self.theta])
        for step in range(method.iterations):
            task.lr = learning_rate(method.schedule, method.lr, step, method.iterations)
            loss, gradient = evaluate(self.theta)
            self._freeze(step, loss, gradient)
            descent.step([gradient], task.lr)
            if self.stopped:
                self._hold()
            if 2 * step >= method.iterations:
                self.average += self.theta
                self.averaged += 1
            self.recorder.record(step + 1, loss, self.theta)
            if len(self.stopped) == len(self.alive):
                break
        return self._fit()

    def _freeze(self, step: int, loss: torch.Tensor, gradient: torch.Tensor) -> None:
        # One reduction decides in the common case; which trials they are matters only once.
        finite = loss.isfinite() & gradient.isfinite().all(-1)
        newly = self.alive & ~finite
        if not bool(newly.any()):
            return
        for slot in newly.nonzero().flatten().tolist():
            what = "loss" if not bool(loss[slot].isfinite()) else "gradient"
            self.stopped[slot] = f"the {what} became non-finite at step {step + 1}"
            self.spent[slot] = {**self.task.spent(), "gradient_steps": step}
        self.alive &= finite
        self.frozen = self.theta.clone()

    def _hold(self) -> None:
        """Put frozen trials back to where they were before their step."""
        self.theta.copy_(self.theta.where(self.alive.unsqueeze(-1), self.frozen))

    def _fit(self) -> Fit:
        method = self.method
        answer = self.theta
        if method.iterate == "average":
            answer = self.average / max(1, self.averaged)
        full = {**self.task.spent(), "gradient_steps": method.iterations}
        return Fit(
            answer=answer,
            budget={name: self._per_slot(name, count) for name, count in full.items()},
            failures=self.stopped,
            path=self.recorder.path(),
        )

    def _per_slot(self, name: str, count: int) -> torch.Tensor:
        import torch

        counts = torch.full((len(self.alive),), count, dtype=torch.int64)
        for slot, spent in self.spent.items():
            counts[slot] = spent[name]
        return counts


class _Recorder:
    """Keeps loss and error at about a dozen steps, evenly spaced on a logarithmic scale, or at all that are traced."""

    def __init__(self, task: Task, iterations: int) -> None:
        exponents = (index / (RECORDED_STEPS - 1) for index in range(RECORDED_STEPS))
        some = {round(iterations**exponent) for exponent in exponents}
        self._steps = frozenset(range(1, iterations + 1) if task.trials.trace else some)
        self._task, self._iterations = task, iterations
        self._done: list[int] = []
        self._losses: list[torch.Tensor] = []
        self._errors: list[torch.Tensor] = []

    def record(self, step: int, loss: torch.Tensor, theta: torch.Tensor) -> None:
        if step not in self._steps:
            return
        self._done.append(step)
        self._losses.append(loss)
        self._errors.append(self._task.model.error(theta, self._task.trials["truth"]))
        self._task.trials.progress(step / self._iterations)

    def path(self) -> Path:
        import torch

        return Path(self._done, torch.stack(self._losses, -1), torch.stack(self._errors, -1))
