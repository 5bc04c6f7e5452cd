"""What is demanded of a problem; of parameter recovery also that its formulas fit together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Literal, cast, get_args, get_origin

import numpy as np
import torch
from pydantic import ValidationError

from bench_core.problems import Problem, RecoveryProblem
from bench_core.seeds import Streams
from bench_core.testing._lab import SEED, Kit, draw, make, make_trials
from bench_core.testing._methods import require_same_elsewhere
from bench_core.testing._watch import watch
from bench_core.testing.checks import Contract, NotApplicableError, ViolationError, describe
from bench_core.trials import Fit

ERRORS = 5.0
"""Standard errors by which a simulation may be off."""
REPEATS = 400
SAMPLES = 20_000
BANDWIDTHS = (2.0, 20.0)
UNHEARD_OF = 4096
"""Data values that need no estimate."""
CAPABILITIES = {
    "samples": ("sample",),
    "log_density": ("log_density",),
    "gaussian_kernel_mean": ("kernel_self", "kernel_mean"),
    "exact_mle": ("exact_mle",),
}


class ProblemLab:
    """One problem and a small instance of it.

    Args:
        cls: the problem.
        kit: what several subjects share.
        source: where it comes from.
        loaded: whether another process can load it from there.
    """

    def __init__(self, cls: type[Problem], kit: Kit, source: str, *, loaded: bool) -> None:
        self.cls, self.kit, self.source, self.loaded = cls, kit, source, loaded

    @property
    def problem(self) -> Problem:
        """A quick instance."""
        return cast("Problem", make(self.cls))

    def arrays(self) -> list[dict[str, np.ndarray]]:
        """Return the data of a few trials.

        Raises:
            NotApplicableError: they are no arrays of equal shapes, which is for the check "draw" to tell.
        """
        problem = self.problem
        found = [dict(draw(problem, repeat)) for repeat in range(4)]
        if not all(isinstance(array, np.ndarray) for arrays in found for array in arrays.values()):
            raise NotApplicableError("it draws no arrays")
        if len({_shapes(arrays) for arrays in found}) > 1:
            raise NotApplicableError("its trials have different shapes")
        return found

    def recovery(self, capability: str = "recovery") -> RecoveryProblem:
        """Return the quick instance of a problem of recovery, where it declares ``capability`` and has it.

        Raises:
            NotApplicableError: it has it not.
        """
        problem = cast("RecoveryProblem", self.problem)
        if capability not in problem.capabilities:
            raise NotApplicableError(f"it declares no {capability}")
        if _missing(problem, capability):
            raise NotApplicableError(f"its {capability} is declared and not there")
        return problem


def _missing(problem: RecoveryProblem, capability: str) -> str | None:
    """Return what a declared capability raises, or None where it works."""
    try:
        _call(problem, capability)
    except Exception as error:  # whatever it is, it is not there
        return describe(error)
    return None


def _call(problem: RecoveryProblem, capability: str) -> dict[str, torch.Tensor]:
    problem, theta, observed = _model(problem, 3), _truth(problem, 3), _observed(problem, 3)
    noise = _normal((3, 4, problem.noise_size))
    calls: dict[str, Callable[[], torch.Tensor]] = {
        "sample": lambda: problem.sample(theta, noise),
        "log_density": lambda: problem.log_density(theta, observed),
        "kernel_self": lambda: problem.kernel_self(theta, BANDWIDTHS[0]),
        "kernel_mean": lambda: problem.kernel_mean(theta, observed, BANDWIDTHS[0]),
        "exact_mle": lambda: problem.exact_mle(observed),
    }
    return {name: calls[name]() for name in CAPABILITIES.get(capability, ())}


def _model(problem: RecoveryProblem, width: int) -> RecoveryProblem:
    """Return the problem with what is known of its first trials; what no tensor can hold is for "draw" to tell."""
    drawn = [draw(problem, repeat) for repeat in range(width)]
    alike = [name for name in drawn[0] if len({np.shape(arrays[name]) for arrays in drawn if name in arrays}) == 1]
    return problem.given({name: torch.from_numpy(np.stack([arrays[name] for arrays in drawn])) for name in alike})


def _truth(problem: Problem, width: int) -> torch.Tensor:
    return _stacked(problem, "truth", width)


def _observed(problem: Problem, width: int) -> torch.Tensor:
    return _stacked(problem, "observed", width)


def _stacked(problem: Problem, name: str, width: int) -> torch.Tensor:
    return torch.from_numpy(np.stack([draw(problem, repeat)[name] for repeat in range(width)]))


def _normal(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


class _Noticed(Streams):
    """Streams that know whether somebody drew from them."""

    used = False

    def numpy(self, purpose: str) -> np.random.Generator:
        """Return the stream for drawing data."""
        self.used = True
        return super().numpy(purpose)

    def torch(self, purpose: str, device: torch.device) -> torch.Generator:
        """Return the stream for a method's own noise."""
        self.used = True
        return super().torch(purpose, device)


contract = Contract[ProblemLab]()
of_recovery = Contract[ProblemLab]()


# ---- data ------------------------------------------------------------------------------------------------------------


@contract.demand("draw", "Data are arrays, floating ones in float64, alike in every trial.")
def arrays(lab: ProblemLab) -> None:
    problem = lab.problem
    drawn = [draw(problem, repeat) for repeat in range(4)]
    for each in drawn:
        for name, array in each.items():
            _require_array(name, array)
    shapes = [{name: (array.shape, array.dtype) for name, array in each.items()} for each in drawn]
    if any(shape != shapes[0] for shape in shapes) or not shapes[0]:
        raise ViolationError(
            "the same names, shapes and types in every trial",
            f"{_shapes(drawn[0])}, then {_shapes(next((d for d in drawn if _shapes(d) != _shapes(drawn[0])), {}))}",
            "let parameters decide the shapes, not the draw: trials are stacked into one tensor",
        )
    if isinstance(problem, RecoveryProblem):
        _require_recovery_arrays(problem, drawn[0])


def _shapes(arrays: Any) -> str:
    return ", ".join(f"{name} {tuple(array.shape)}" for name, array in arrays.items()) or "nothing"


def _require_array(name: str, array: Any) -> None:
    if not isinstance(array, np.ndarray):
        raise ViolationError(
            f"a numpy array as {name}", type(array).__name__, "return numpy arrays, not tensors or lists"
        )
    floating = np.issubdtype(array.dtype, np.floating)
    if floating and array.dtype != np.float64:
        raise ViolationError(
            f"{name} in float64", str(array.dtype), "draw in float64; the harness casts to the method's dtype"
        )
    if not floating and not np.issubdtype(array.dtype, np.integer) and array.dtype != bool:
        raise ViolationError(f"{name} as numbers", str(array.dtype), "encode it in numbers")
    if floating and not np.isfinite(array).all():
        raise ViolationError(f"{name} finite", "NaN or infinity", "look for overflow and division by 0 in draw")


def _require_recovery_arrays(problem: RecoveryProblem, drawn: Any) -> None:
    right = {"observed": (problem.m, problem.d)}
    if "truth" in drawn:
        right |= {"truth": drawn["truth"].shape[:1], "start": drawn["truth"].shape[:1]}
    for name in ("truth", "start", "observed"):
        shape = drawn[name].shape if name in drawn else None
        if shape is None or shape != right[name]:
            raise ViolationError(
                f"{name} of shape {right.get(name, '(p,)')}",
                "no such entry" if shape is None else f"{shape}",
                'return {"truth": (p,), "start": (p,), "observed": (m, d)}',
            )


@contract.demand("same streams", "The same streams give the same data, whatever the global generators do.")
def same_streams(lab: ProblemLab) -> None:
    lab.arrays()
    problem = lab.problem
    first, again, other = (watch(lambda: draw(problem, 0), seed=seed).result for seed in (0, 0, 1))
    for second, required in ((again, "a second time"), (other, "at another seed of the global generators")):
        apart = [name for name in first if not np.array_equal(first[name], second[name])]
        if apart:
            raise ViolationError(
                f"the same data {required}",
                f"{', '.join(apart)} differs",
                "draw from streams.numpy(purpose) only, and keep nothing from one draw to the next",
            )


@contract.demand("different trials", "Different trials have different data.")
def different_trials(lab: ProblemLab) -> None:
    first, *others = lab.arrays()
    problem, streams = lab.problem, _Noticed(SEED, lab.problem.name, 0)
    problem.draw(streams, None)
    if not isinstance(problem, RecoveryProblem) and not streams.used:
        raise NotApplicableError("it draws nothing at random")
    if any(all(np.array_equal(first[name], other[name]) for name in first) for other in others):
        raise ViolationError(
            "other data in another trial",
            "the same",
            "draw from streams.numpy(purpose): each trial has streams of its own",
        )


@contract.demand("process", "Drawing leaves global generators, settings and standard output alone.")
def process(lab: ProblemLab) -> None:
    lab.arrays()
    problem = lab.problem
    seen = watch(lambda: draw(problem, 0))
    cure = "draw from streams.numpy(purpose); restore what must be set; print nothing"
    for came in (*(f"the generator {name} moved" for name in seen.moved), *seen.changed):
        raise ViolationError("the process as it was", came, cure)
    if seen.printed:
        raise ViolationError("nothing on standard output", f"{seen.printed.strip().partition(chr(10))[0]!r:.60}", cure)


@contract.demand("size", "size() tells the number of data values; memory is planned by it.")
def size(lab: ProblemLab) -> None:
    try:
        problem = lab.cls()
    except ValidationError:
        raise NotApplicableError("it cannot be made without arguments") from None
    values = sum(np.asarray(array).size for array in draw(problem, 0).values())
    said = problem.size()
    honest = isinstance(said, int) and said > 0
    if not honest or not (said >= values / 4 or values <= UNHEARD_OF) or said > 4 * values + UNHEARD_OF:
        raise ViolationError(
            f"size() near {values}, the values of one trial with default parameters",
            f"{said!r}",
            "define size() from the parameters: return self.m * self.d",
        )


@contract.demand("scoring", "Parameters that only score are named in `scoring`, mere rules in `rules`.")
def scoring(lab: ProblemLab) -> None:
    problem, cls = lab.problem, lab.cls
    for kind in ("scoring", "rules", "added"):
        unknown = sorted(getattr(cls, kind) - set(cls.model_fields))
        if unknown:
            raise ViolationError(f"parameters in `{kind}`", f"{', '.join(unknown)}, which is none", "correct the name")
    for name in cls.model_fields:
        other = _with_another(problem, name)
        if other is None:
            continue
        alters = _data_differ(problem, other)
        for kind in ("scoring", "rules"):
            if name in getattr(cls, kind) and alters:
                raise ViolationError(
                    f"the same data at another {name}, as `{kind}` names it",
                    "other data",
                    f"take {name} out of `{kind}`, or out of draw",
                )
        if name not in cls.scoring | cls.rules and not alters and not _model_differs(problem, other):
            raise ViolationError(
                f"that {name} changes data or model, as `scoring` does not name it",
                "it changes neither, so each value would run all trials again",
                f'write scoring = frozenset({{"{name}"}}), joined with the base class\'s',
            )


def _with_another(problem: Problem, name: str) -> Problem | None:
    """Return the problem with another value of one parameter, or None where no other is found."""
    value = getattr(problem, name)
    for candidate in _candidates(type(problem), name, value):
        try:
            return cast("Problem", make(type(problem), **{name: candidate}))
        except NotApplicableError:
            continue
    return None


def _candidates(cls: type[Problem], name: str, value: Any) -> Iterator[Any]:
    annotation = cls.model_fields[name].annotation
    if get_origin(annotation) is Literal:
        yield from (each for each in get_args(annotation) if each != value)
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, value - 1, value * 2)
    elif isinstance(value, float):
        yield from (1.5 * value, value / 2, value + 0.1, value - 0.1)


def _data_differ(a: Problem, b: Problem) -> bool:
    left, right = draw(a, 0), draw(b, 0)
    return set(left) != set(right) or any(not np.array_equal(left[name], right[name]) for name in left)


def _model_differs(a: Problem, b: Problem) -> bool:
    """Return whether formulas give something else; True where there are none to ask."""
    if not isinstance(a, RecoveryProblem) or not isinstance(b, RecoveryProblem):
        return True
    for capability in CAPABILITIES:
        if (
            capability in a.capabilities & b.capabilities
            and not _missing(a, capability)
            and not _missing(b, capability)
        ):
            left, right = _call(a, capability), _call(b, capability)
            if any(not torch.equal(left[name], right[name]) for name in left):
                return True
    return False


@contract.demand("capabilities", "What is declared in `capabilities` is there.")
def capabilities(lab: ProblemLab) -> None:
    problem = lab.problem
    declared, lacks = problem.capabilities, problem.lacks()
    if not isinstance(declared, frozenset) or not all(isinstance(each, str) for each in declared):
        raise ViolationError("a frozenset of names", f"{declared!r:.60}", 'write capabilities = frozenset({"samples"})')
    both = sorted(declared & set(lacks))
    if both:
        raise ViolationError(
            "no capability both declared and lacking", ", ".join(both), "take it out of one of the two"
        )
    if not isinstance(problem, RecoveryProblem):
        return
    for capability in sorted(declared):
        wrong = _missing(problem, capability)
        if wrong:
            raise ViolationError(
                f"{capability}, as `capabilities` declares it", wrong, "define it, or do not declare it"
            )
        _require_shapes(problem, _call(problem, capability))


def _require_shapes(problem: RecoveryProblem, found: dict[str, torch.Tensor]) -> None:
    p, m, d = _truth(problem, 1).shape[-1], problem.m, problem.d
    right = {
        "sample": (3, 4, d),
        "log_density": (3, m),
        "kernel_self": (3,),
        "kernel_mean": (3, m),
        "exact_mle": (3, p),
    }
    for name, tensor in found.items():
        if tuple(tensor.shape) != right[name] or tensor.dtype != torch.float64:
            raise ViolationError(
                f"{name} of shape {right[name]} in the dtype of its arguments",
                f"{tuple(tensor.shape)} of {tensor.dtype}",
                "reduce over the last axis only; make tensors by theta.new_full and the like",
            )


@contract.demand("fresh process", "A process that loads the plugin anew draws the same bits.")
def fresh(lab: ProblemLab) -> None:
    if not lab.loaded:
        raise NotApplicableError("the class does not come from a plugin")
    lab.arrays()
    require_same_elsewhere(lab.kit, "problem", lab.cls.name, None)


# ---- recovery: score and model ---------------------------------------------------------------------------------------


@of_recovery.demand("error", "The error is 0 at the truth, above 0 elsewhere, and one per trial.")
def error(lab: ProblemLab) -> None:
    problem = lab.recovery()
    truth, start = _truth(problem, 5), _stacked(problem, "start", 5)
    at_truth, there = problem.error(truth, truth), problem.error(start, truth)
    alone = problem.error(start[2:3], truth[2:3])
    cure = "see RecoveryProblem.error: (B, p), (B, p) -> (B,)"
    if tuple(there.shape) != (5,):
        raise ViolationError("an error of shape (5,) for 5 trials", f"{tuple(there.shape)}", cure)
    for required, holds, came in (
        ("the error of the truth to be 0", (at_truth.abs() <= 1e-9 * (1 + there.abs())).all(), at_truth),
        ("a finite error above 0 at the initial point", (there.isfinite() & (there > 0)).all(), there),
        (
            "an error that does not see the other trials",
            torch.allclose(alone, there[2:3], rtol=1e-9),
            alone - there[2:3],
        ),
    ):
        if not bool(holds):
            raise ViolationError(required, f"{came.tolist()!r:.80}", cure)


@of_recovery.demand("failures", "Answers that are not finite are named; wrong shapes and types refused.")
def failures(lab: ProblemLab) -> None:
    problem = lab.recovery()
    lab.arrays()
    trials = make_trials(problem, range(4))
    truth = trials["truth"]
    bad = truth.clone()
    bad[1, 0], bad[3, -1] = math.nan, math.inf
    cure = "leave failures() to RecoveryProblem, or call super().failures(trials, fit) first"
    named, clean = problem.failures(trials, Fit(bad)), problem.failures(trials, Fit(truth.clone()))
    if set(named) != {1, 3} or clean:
        raise ViolationError(
            "slots 1 and 3 named, whose estimates are NaN and infinite, and none of a finite answer",
            f"{sorted(named)} and {sorted(clean)}",
            cure,
        )
    for what, answer in (
        ("one number too many per trial", torch.cat([truth, truth[:, :1]], -1)),
        ("whole numbers", truth.round().long()),
        ("a list", truth.tolist()),
    ):
        try:
            problem.failures(trials, Fit(answer))
        except ValueError:
            continue
        raise ViolationError(f"a ValueError for an answer of {what}", "it was accepted", cure)


@of_recovery.demand("sample", "Samples are a smooth function of a trial's own parameters and noise.")
def sample(lab: ProblemLab) -> None:
    problem = _model(lab.recovery("samples"), 5)
    theta, noise = _truth(problem, 5).requires_grad_(), _normal((5, 6, problem.noise_size))
    samples = problem.sample(theta, noise)
    others = theta.detach().flip(0)
    others[2] = theta[2].detach()
    crossed = noise.flip(0)
    crossed[2] = noise[2]
    if not torch.equal(problem.sample(others, crossed)[2], samples[2].detach()):
        raise ViolationError(
            "the same samples of trial 2 beside other trials", "other ones", "keep the axis of the trials apart"
        )
    if problem.sample(theta.detach().float(), noise.float()).dtype != torch.float32:
        raise ViolationError("samples in the dtype of the parameters", "another one", "make no tensor of a fixed dtype")
    gradient = None
    if samples.requires_grad:
        (gradient,) = torch.autograd.grad(samples.square().sum(), theta, allow_unused=True)
    if gradient is None or not bool(gradient.isfinite().all()):
        raise ViolationError(
            "a finite gradient of the samples with respect to the parameters",
            "none" if gradient is None else "NaN or infinity",
            "write samples as a smooth function of theta and noise (reparametrisation)",
        )


@of_recovery.demand("law", "Data and samples of the model at the truth have the same moments.")
def law(lab: ProblemLab) -> None:
    problem = _model(lab.recovery("samples"), REPEATS)
    truth, observed = _truth(problem, REPEATS), _observed(problem, REPEATS)
    samples = problem.sample(truth, _normal((REPEATS, problem.m, problem.noise_size)))
    statistics: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "mean": lambda x: x.mean(-2),
        "second moments": lambda x: (x.mT @ x / x.shape[-2]).flatten(1),
        "mean absolute value": lambda x: x.abs().mean(-2),
    }
    for name, statistic in statistics.items():
        apart = statistic(observed) - statistic(samples)  # (REPEATS, …), zero on average
        off = _off(apart)
        if off > ERRORS:
            raise ViolationError(
                f"the {name} of data and samples equal within {ERRORS:g} standard errors over {REPEATS} trials",
                f"{off:.1f} standard errors",
                "make draw and sample the same law: sample(truth, noise) is how data come about",
            )


def _off(values: torch.Tensor, expected: float | torch.Tensor = 0.0) -> float:
    """Return by how many standard errors the means over axis 0 are off, the largest of all columns."""
    gap = (values.mean(0) - expected).abs()
    scale = values.abs().mean(0) + torch.as_tensor(expected).abs() + 1e-300
    error = values.std(0) / math.sqrt(len(values)) + 1e-12 * scale
    return float((gap / error).max())


@of_recovery.demand("density", "log_density is the density of the samples.")
def density(lab: ProblemLab) -> None:
    lab.recovery("samples")
    problem = _model(lab.recovery("log_density"), 1)
    theta = _truth(problem, 1)
    samples = problem.sample(theta, _normal((1, SAMPLES, problem.noise_size)))[0].detach()  # (n, d)
    leaf = theta.expand(SAMPLES, -1).clone().requires_grad_()
    log_density = problem.log_density(leaf, samples.unsqueeze(1))  # (n, 1)
    cure = "compare log_density with sample: scale, sign, and the normaliser where it depends on theta"
    if not log_density.requires_grad:
        raise ViolationError("a log-density that depends on theta", "it does not", "compute it from theta")
    (scores,) = torch.autograd.grad(log_density.sum(), leaf)
    off = _off(scores)
    if not off <= ERRORS:
        raise ViolationError(
            f"a mean gradient with respect to theta of 0 within {ERRORS:g} standard errors",
            f"{off:.1f} standard errors",
            cure,
        )
    # The mean of q / p over samples of p is 1 for every density q with lighter tails.
    log_narrow, draws = _narrow(samples)
    outside = problem.log_density(theta, draws.unsqueeze(0)).detach()
    if bool((outside.isnan() | (outside == -math.inf)).any()):
        return  # of p with a bounded support no Gaussian is a part, and the mean is not 1
    ratios = (log_narrow - log_density.detach()[:, 0]).exp()
    off = _off(ratios.unsqueeze(-1), 1.0)
    if not off <= ERRORS:
        raise ViolationError(
            f"a mean of q(x) / p(x) over samples of 1 within {ERRORS:g} standard errors, for a narrower Gaussian q",
            f"{float(ratios.mean()):.4g}, which is {off:.1f} standard errors off",
            cure,
        )


def _narrow(samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return log-densities ``(n,)`` of samples ``(n, d)``, and as many draws.

    The law is a Gaussian of half their variance around their mean.
    """
    centre, d = samples.mean(0), samples.shape[-1]
    factor = torch.linalg.cholesky(0.5 * (samples - centre).mT @ (samples - centre) / len(samples))
    standard = torch.linalg.solve_triangular(factor, (samples - centre).mT, upper=False)  # (d, n)
    log_density: torch.Tensor = -0.5 * (standard.square().sum(0) + d * math.log(2 * math.pi))
    log_density -= factor.diagonal().log().sum()
    return log_density, centre + _normal(tuple(samples.shape), seed=5) @ factor.mT


@of_recovery.demand("normalised", "The density integrates to 1.")
def normalised(lab: ProblemLab) -> None:
    lab.recovery("samples")
    problem = _model(lab.recovery("log_density"), 1)
    theta = _truth(problem, 1)
    samples = problem.sample(theta, _normal((1, SAMPLES, problem.noise_size)))[0]  # (n, d)
    points, log_proposal = _student(samples)
    log_density = problem.log_density(theta, points.unsqueeze(0))[0]
    weights = (_or_impossible(log_density) - log_proposal).exp()
    off = _off(weights.unsqueeze(-1), 1.0)
    if not off <= ERRORS:
        raise ViolationError(
            f"an integral of 1 within {ERRORS:g} standard errors (importance sampling, {SAMPLES} points)",
            f"{float(weights.mean()):.4g}, which is {off:.1f} standard errors off",
            "add the missing constant: for a Gaussian, -(d/2) log(2π)",
        )


def _or_impossible(log_density: torch.Tensor) -> torch.Tensor:
    """Return -inf where it is NaN, as the logarithm of what lies outside a bounded support is."""
    return log_density.where(~log_density.isnan(), -math.inf)


def _student(samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return points ``(n, d)`` of a heavy-tailed law around the samples, and their log-densities ``(n,)``."""
    n, d, freedom = len(samples), samples.shape[-1], 4
    centre = samples.mean(0)
    covariance = (samples - centre).mT @ (samples - centre) / n
    factor = torch.linalg.cholesky(covariance + 1e-9 * covariance.diagonal().mean() * torch.eye(d, dtype=samples.dtype))
    normal = _normal((n, d), seed=1)
    chi2 = _normal((n, freedom), seed=2).square().sum(-1, keepdim=True)
    standard = normal * (freedom / chi2).sqrt()  # (n, d)
    constant = math.lgamma((freedom + d) / 2) - math.lgamma(freedom / 2) - 0.5 * d * math.log(freedom * math.pi)
    log_density = (
        constant - factor.diagonal().log().sum() - 0.5 * (freedom + d) * (standard.square().sum(-1) / freedom).log1p()
    )
    return centre + standard @ factor.mT, log_density


@of_recovery.demand("kernel means", "E k(X, X') and E k(X, y) are those of samples of the model.")
def kernel_means(lab: ProblemLab) -> None:
    lab.recovery("samples")
    problem = _model(lab.recovery("gaussian_kernel_mean"), 1)
    theta, y = _truth(problem, 1), _observed(problem, 1)[:, :5]
    x, other = (problem.sample(theta, _normal((1, SAMPLES, problem.noise_size), seed=seed))[0] for seed in (3, 4))
    for bandwidth in BANDWIDTHS:
        pairs = (-(x - other).square().sum(-1, keepdim=True) / (2 * bandwidth)).exp()  # (n, 1)
        against = (-(x.unsqueeze(1) - y).square().sum(-1) / (2 * bandwidth)).exp()  # (n, 5)
        for name, simulated, closed in (
            ("kernel_self", pairs, problem.kernel_self(theta, bandwidth)),
            ("kernel_mean", against, problem.kernel_mean(theta, y, bandwidth)[0]),
        ):
            off = _off(simulated, closed.detach())
            if not off <= ERRORS:
                raise ViolationError(
                    f"{name} within {ERRORS:g} standard errors of {SAMPLES} samples (bandwidth {bandwidth:g})",
                    f"{off:.1f} standard errors",
                    "bandwidth is σ² of exp(-r²/(2σ²)); see Lemma 4 of Alon, Globerson, Wiesel for a Gaussian model",
                )


@of_recovery.demand("exact MLE", "No estimate nearby has a higher likelihood than exact_mle.")
def exact_mle(lab: ProblemLab) -> None:
    lab.recovery("log_density")
    problem = _model(lab.recovery("exact_mle"), 8)
    y = _observed(problem, 8)
    best = problem.exact_mle(y)
    highest = problem.log_density(best, y).sum(-1)
    if not bool(highest.isfinite().all()):
        raise ViolationError(
            "a finite log_density at exact_mle",
            f"{highest.tolist()!r:.80}",
            "return an estimate under which the data are possible",
        )
    for seed in range(20):
        direction = _normal(tuple(best.shape), seed)
        for scale in (0.01, 0.1, 1.0):
            here = _or_impossible(problem.log_density(best + scale * direction, y).sum(-1))
            gain = float((here - highest - 1e-9 * highest.abs()).max())
            if not gain <= 0:
                raise ViolationError(
                    "a maximum of log_density",
                    f"an estimate about {scale:g} away that is {gain:.2g} higher",
                    "compare exact_mle with log_density; both must be of the same law",
                )
