"""What is demanded of a method, tried on small instances of every problem that it fits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, cast, get_args, get_origin

import torch
from pydantic import ValidationError

from bench_core.errors import BenchError
from bench_core.methods import Method
from bench_core.plan import batch_width
from bench_core.problems import Problem, RecoveryProblem
from bench_core.seeds import canonical
from bench_core.testing._lab import (
    Attempt,
    Edit,
    Kit,
    counting,
    difference,
    draw,
    floating,
    fresh_digest,
    make,
    make_trials,
    same_values,
    tensors_of,
)
from bench_core.testing._watch import watch
from bench_core.testing.checks import Contract, NotApplicableError, ViolationError, describe
from bench_core.trials import Fit

WIDTH = 5
WIDTHS = (1, 2, 5, 25, 50)
LARGE = 10_000
"""Data values of a trial above which its full size is not tried as well."""
TRIALS = 40
TRIALS_AT_FULL_SIZE = 12
LEVEL = 0.01
ROUNDING = 1e-3


class MethodLab:
    """One method, the problems that it fits, and fits that several checks look at.

    Args:
        cls: the method.
        kit: what several subjects share.
        source: where the method comes from.
        loaded: whether another process can load it from there.
    """

    def __init__(self, cls: type[Method], kit: Kit, source: str, *, loaded: bool) -> None:
        self.cls, self.kit, self.source, self.loaded = cls, kit, source, loaded
        self._kept: dict[tuple[str, str], Attempt | Exception] = {}
        self._device: str | None = None
        self._problems: list[Problem] | None = None

    @property
    def problems(self) -> list[Problem]:
        """Small instances of the problems that the method fits and whose data are there."""
        if self._problems is None:
            self._problems = list(self._fitting())
        return self._problems

    def _fitting(self) -> Iterator[Problem]:
        method, reasons = self.make(), {}
        for problem in self.kit.problems(self.source):
            reason = method.unfit(problem)
            if reason is None:
                try:
                    draw(problem, 0)
                except BenchError as error:
                    reason = str(error)
                except Exception:  # the problem's own checks will tell
                    reason = f"{problem.name} cannot be drawn"
            if reason is None:
                yield problem
            else:
                reasons[problem.name] = reason
        self.reasons = reasons

    @property
    def device(self) -> str:
        """The CPU, or the GPU where the method refuses the CPU and the check may use one."""
        if self._device is None:
            self._device = "cpu"
            if self.kit.device == "cuda" and self.problems:
                try:
                    self.kept(self.problems[0])
                except BenchError:
                    self._device = "cuda"
                    self._kept.clear()
                except Exception:  # told by the check "fit"
                    pass
        return self._device

    def make(self, **params: Any) -> Method:
        """Return a quick instance with ``params`` on top."""
        return cast("Method", make(self.cls, **params))

    def fit(
        self,
        problem: Problem,
        repeats: Sequence[int] = range(WIDTH),
        *,
        method: Method | None = None,
        edit: Edit | None = None,
        seed: int = 0,
        device: str | None = None,
    ) -> Attempt:
        """Fit a batch and watch it."""
        method, device = method or self.make(), device or self.device
        if self.loaded:
            self.kit.twin.start()  # it loads while the first fits run
        trials = make_trials(problem, repeats, noise=(method.name,), dtype=method.dtype, device=device, edit=edit)
        before = {name: tensor.clone() for name, tensor in trials.data.items()}
        stop, count = counting(problem)
        try:
            seen = watch(lambda: method.fit(trials), seed=seed)
        finally:
            stop()
        fit = seen.result
        found = tensors_of(fit, trials, self.kit.plugins) if isinstance(fit, Fit) else {}
        edited = _edited(before, trials.data)
        sampled = math.ceil(count() / trials.width)
        return Attempt(problem, trials, fit, seen.moved, seen.changed, seen.printed, edited, sampled, found)

    def kept(self, problem: Problem) -> Attempt:
        """Return the fit of trials 0 … 4 of a problem, made once.

        Raises:
            Exception: what the fit raised, every time.
        """
        device = self.device  # may fit, and forget what it fitted
        key = (problem.name, canonical(problem.values()))
        if key not in self._kept:
            try:
                self._kept[key] = self.fit(problem, device=device)
            except Exception as error:  # kept for all checks that ask
                self._kept[key] = error
        kept = self._kept[key]
        if isinstance(kept, Exception):
            raise kept
        return kept

    def fits(self) -> list[Attempt]:
        """Return a fit per problem.

        Raises:
            NotApplicableError: there is none, as the check "fit" tells.
        """
        attempts, reason = [], "there is no fit to look at"
        for problem in self.problems:
            try:
                attempt = self.kept(problem)
                _require_answer(attempt)
            except BenchError as missing:
                reason = str(missing)
                continue
            except Exception:  # told by the check "fit"
                continue
            attempts.append(attempt)
        if not attempts:
            raise NotApplicableError(reason)
        return attempts

    def comparable(self) -> list[Attempt]:
        """Return the fits whose bits can be compared, trial by trial.

        Raises:
            NotApplicableError: there is none.
        """
        attempts = [attempt for attempt in self.fits() if attempt.tells]
        if not attempts:
            raise NotApplicableError("nothing in the answer belongs to single trials")
        return attempts

    def recovery(self) -> list[RecoveryProblem]:
        """Return the problems with a truth and a start."""
        return [attempt.problem for attempt in self.fits() if isinstance(attempt.problem, RecoveryProblem)]


def _edited(before: Mapping[str, torch.Tensor], after: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    names = [name for name in before if name not in after or not same_values(before[name], after[name])]
    return tuple(names + [name for name in after if name not in before])


contract = Contract[MethodLab]()


# ---- what comes back -------------------------------------------------------------------------------------------------


@contract.demand("fit", "Every problem that it fits gets an answer that it accepts.")
def fit(lab: MethodLab) -> None:
    if not lab.problems:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in lab.reasons.items())
        raise ViolationError(
            "a loaded problem that the method fits",
            f"none ({reasons})",
            "offer a small problem in the same plugin, or name the folder of one by --plugin-dir",
        )
    full = [_full_size(lab, problem) for problem in lab.problems]
    fitted, missing = False, ""
    for problem in [*lab.problems, *(each for each in full if each)]:
        try:
            attempt = lab.kept(problem) if problem in lab.problems else lab.fit(problem, range(2))
        except BenchError as error:  # data or a device that is not there
            missing = missing or str(error)
            continue
        except Exception as error:
            raise ViolationError(
                f"a fit of {_named(problem)}",
                describe(error),
                "correct it there, or name the missing capability in `needs`",
            ) from None
        _require_answer(attempt)
        fitted = True
    if not fitted:
        raise NotApplicableError(missing)


def _require_answer(attempt: Attempt) -> None:
    fit, trials, problem = attempt.fit, attempt.trials, attempt.problem
    if not isinstance(fit, Fit):
        raise ViolationError("a bench_core.Fit", f"{type(fit).__name__} on {problem.name}", "return Fit(answer=…)")
    try:
        problem.failures(trials, fit)
    except ValueError as error:
        raise ViolationError(
            f"an answer that {problem.name} accepts", str(error), "return one answer per trial"
        ) from None
    for name, tensor in floating(fit):
        if tensor.dtype != trials.dtype:
            raise ViolationError(
                f"{name} in the dtype of the trials, {trials.dtype}",
                f"{tensor.dtype} on {problem.name}",
                "make tensors with dtype=trials.dtype, or from trials.data by new_empty, new_zeros",
            )
        if tensor.device.type != trials.device.type:
            raise ViolationError(
                f"{name} on the device of the trials, {trials.device}",
                f"{tensor.device} on {problem.name}",
                "make tensors with device=trials.device",
            )
    wrong = [name for name, values in fit.metrics.items() if tuple(values.shape) != (trials.width,)]
    if wrong:
        raise ViolationError(
            f"each of Fit.metrics in the shape ({trials.width},)",
            f"{wrong[0]} has the shape {tuple(fit.metrics[wrong[0]].shape)}",
            "report one number per trial",
        )


@contract.demand("float64", "With dtype float64 the answer is in float64.")
def float64(lab: MethodLab) -> None:
    lab.fits()
    try:
        method = lab.make(dtype="float64")
    except NotApplicableError as refused:
        raise NotApplicableError(f"float64 is refused: {refused}") from None
    for problem in lab.problems:
        _require_answer(lab.fit(problem, method=method))


@contract.demand("finite", "On easy problems every trial ends with finite numbers.")
def finite(lab: MethodLab) -> None:
    for attempt in lab.fits():
        problem = attempt.problem
        bad = dict(_not_finite(attempt))
        bad |= {**problem.failures(attempt.trials, attempt.fit), **attempt.fit.failures}
        if bad:
            slot, reason = next(iter(bad.items()))
            raise ViolationError(
                f"no failure in {attempt.trials.width} trials of {problem.name}",
                f"{len(bad)} of them; in slot {slot}: {reason}",
                "look for logarithms and divisions near 0, a norm's derivative at 0, a learning rate that is too high",
            )


def _not_finite(attempt: Attempt) -> Iterator[tuple[int, str]]:
    for name, tensor in floating(attempt.fit):
        per_trial = tensor.shape[:1] == (attempt.trials.width,)
        rows = tensor.reshape(len(tensor), -1) if per_trial else tensor.reshape(1, -1)
        yield from ((slot, f"{name} is not finite") for slot in (~rows.isfinite().all(-1)).nonzero().flatten().tolist())


# ---- randomness and the process --------------------------------------------------------------------------------------


@contract.demand("same seed", "Two fits of the same trials give the same bits.")
def same_seed(lab: MethodLab) -> None:
    for attempt in lab.comparable():
        _require_equal(
            attempt,
            lab.fit(attempt.problem),
            "the same bits in a second fit",
            "draw from trials.streams only; keep nothing from one fit to the next; ask no clock",
        )


def _require_equal(
    a: Attempt, b: Attempt, required: str, cure: str, slots: Sequence[tuple[int, int]] | None = None
) -> None:
    for slot_a, slot_b in slots or [(slot, slot) for slot in range(a.trials.width)]:
        found = difference(a, slot_a, b, slot_b)
        if found is not None:
            raise ViolationError(f"{required} ({a.problem.name})", f"in slot {slot_b}, {found}", cure)


@contract.demand("global generators", "It neither draws from global random generators nor depends on them.")
def generators(lab: MethodLab) -> None:
    cure = "draw from trials.streams[i].torch(purpose, device), or by bench_core.engines.noise for the whole batch"
    for attempt in lab.fits():
        if attempt.moved:
            raise ViolationError(
                "the global random generators untouched", f"{', '.join(attempt.moved)} moved in a fit", cure
            )
    for attempt in lab.comparable():
        other = lab.fit(attempt.problem, seed=1)
        _require_equal(attempt, other, "the same bits whatever the global seed is", cure)


@contract.demand("process", "Settings of the process stay as they are.")
def process(lab: MethodLab) -> None:
    for attempt in lab.fits():
        if attempt.changed:
            raise ViolationError(
                "the settings of the process as they were",
                f"{'; '.join(attempt.changed)} changed in a fit",
                "pass dtype, device and the like where they are needed; restore what must be set, in `finally`",
            )


@contract.demand("silent", "Nothing is printed: standard output belongs to the tables.")
def silent(lab: MethodLab) -> None:
    for attempt in lab.fits():
        if attempt.printed:
            line = attempt.printed.strip().partition("\n")[0]
            raise ViolationError(
                "nothing on standard output",
                f"{line!r:.60}",
                "drop the print, or call trials.progress(share); what shall stay goes to trials.workspace.artifact",
            )


@contract.demand("data unmodified", "The trials' data are what they were.")
def unmodified(lab: MethodLab) -> None:
    for attempt in lab.fits():
        if attempt.edited:
            raise ViolationError(
                "trials.data unchanged",
                f"{', '.join(attempt.edited)} changed in a fit of {attempt.problem.name}",
                "clone before in-place operations: x = trials['start'].clone()",
            )


@contract.demand("truth unseen", "The answer does not depend on the truth, which is there to score it.")
def truth_unseen(lab: MethodLab) -> None:
    _require_no_control(lab)
    problems = lab.recovery()
    if not problems:
        raise NotApplicableError("none of its problems has a truth")
    for problem in problems:
        other = lab.fit(problem, edit=_other_truth)
        _require_equal(
            lab.kept(problem),
            other,
            "the same answer when only the truth is another one",
            "use trials['observed'] and trials['start']; only a class with control = True may use trials['truth']",
        )


def _other_truth(data: dict[str, torch.Tensor]) -> None:
    data["truth"] = 1 - 2 * data["truth"]


def _require_no_control(lab: MethodLab) -> None:
    if lab.cls.control:
        raise NotApplicableError("a control")


# ---- batches ---------------------------------------------------------------------------------------------------------


@contract.demand("independent", "A trial's numbers do not change with the other trials of its batch.")
def independent(lab: MethodLab) -> None:
    for attempt in lab.comparable():
        repeats = [100, 101, 2, 103, 104]
        _require_equal(
            attempt,
            lab.fit(attempt.problem, repeats),
            "the same bits of trial 2 beside other trials",
            "reduce over the axes of a trial only: mean((1, 2)), not mean(); one stopping rule per trial",
            [(2, 2)],
        )


@contract.demand("poisoned neighbour", "NaN or infinite data of one trial do not disturb the others.")
def poisoned(lab: MethodLab) -> None:
    for attempt in lab.comparable():
        try:
            other = lab.fit(attempt.problem, edit=_poison)
        except Exception:  # it is narrowed down to the poisoned trials by the harness
            continue
        _require_equal(
            attempt,
            other,
            "the same bits beside a trial with NaN and one with infinite data",
            "freeze trials one by one; never multiply by a 0/1 mask, as 0 · NaN is NaN: use torch.where",
            [(0, 0), (2, 2), (4, 4)],
        )


def _poison(data: dict[str, torch.Tensor]) -> None:
    for tensor in data.values():
        if tensor.is_floating_point():
            tensor[1], tensor[3] = math.nan, math.inf


@contract.demand("widths", "A trial gives the same bits in a batch of 1, 2, 5, 25 or 50.")
def widths(lab: MethodLab) -> None:
    tried = False
    small = [attempt.problem for attempt in lab.comparable()]
    if lab.device != "cpu":
        raise NotApplicableError("on a GPU the rounding may depend on the width")
    full = _full_size(lab, small[0])
    for problem in [*small, full] if full else small:
        method = lab.make()
        most = WIDTH if problem is full else batch_width(max(1, method.working_set(problem)), "cpu")
        possible = [width for width in WIDTHS if width <= most]
        widest, *others = [lab.fit(problem, range(width)) for width in reversed(possible)]
        for other in others:
            tried = True
            _require_same_width(widest, other)
    if not tried:
        raise NotApplicableError("its batches hold one trial")


def _full_size(lab: MethodLab, problem: Problem) -> Problem | None:
    """Return the problem with its default parameters, where that is larger and not too large: other code may run."""
    try:
        full = type(problem)()
    except ValidationError:
        return None
    return full if problem.size() < full.size() <= LARGE and lab.make().unfit(full) is None else None


def _require_same_width(widest: Attempt, other: Attempt) -> None:
    width = other.trials.width
    for slot in range(width):
        found = difference(widest, slot, other, slot)
        if found is None:
            continue
        gross = _gap(widest, other, slot) > ROUNDING
        raise ViolationError(
            f"the same bits at widths {widest.trials.width} and {width} on {_named(other.problem)}",
            f"in slot {slot}, {found}{'' if gross else ': rounding that depends on the width'}",
            "let no trial see the others or the width"
            if gross
            else "write matrix-vector products as multiply-and-sum; avoid sigmoid, softplus, odd powers in a loss",
        )


def _named(problem: Problem) -> str:
    return f"{problem.name} with {problem.size()} values"


def _gap(a: Attempt, b: Attempt, slot: int) -> float:
    left, right = a.row(slot), b.row(slot)
    gaps = [
        ((left[name].double() - right[name].double()).abs() / (1 + left[name].double().abs()))
        .nan_to_num(math.inf)
        .max()
        for name in left
        if name in right and left[name].shape == right[name].shape and left[name].numel()
    ]
    return max((float(gap) for gap in gaps), default=math.inf)


# ---- parameters, cost, quality ---------------------------------------------------------------------------------------


@contract.demand("options", "Every alternative of a parameter runs.")
def options(lab: MethodLab) -> None:
    problem, tried = lab.fits()[0].problem, False
    for name, value in _alternatives(lab.cls):
        try:
            method = lab.make(**{name: value})
        except NotApplicableError:  # a validator refuses this combination, before anything runs
            continue
        tried = True
        try:
            attempt = lab.fit(problem, method=method)
        except Exception as error:
            raise ViolationError(
                f"a fit with {name} = {value!r}", describe(error), "support it, or refuse it"
            ) from None
        _require_answer(attempt)
    if not tried:
        raise NotApplicableError("no parameter has named alternatives")


def _alternatives(cls: type[Method]) -> Iterator[tuple[str, Any]]:
    for name, field in cls.model_fields.items():
        if name == "dtype":
            continue
        values = (True, False) if field.annotation is bool else ()
        if get_origin(field.annotation) is Literal:
            values = get_args(field.annotation)
        yield from ((name, value) for value in values if value != field.default)


@contract.demand("budget", "What a fit costs is counted, in whole numbers per trial.")
def budget(lab: MethodLab) -> None:
    for attempt in lab.fits():
        _require_counts(attempt)
        _require_samples(attempt)
        if "iterations" in lab.cls.model_fields:
            _require_steps(lab, attempt)


def _require_counts(attempt: Attempt) -> None:
    for name, count in attempt.fit.budget.items():
        whole = isinstance(count, int) and not isinstance(count, bool)
        tensor = (
            isinstance(count, torch.Tensor)
            and not count.is_floating_point()
            and count.dtype != torch.bool
            and tuple(count.shape) == (attempt.trials.width,)
        )
        if not (whole or tensor) or not bool((torch.as_tensor(count) >= 0).all()):
            raise ViolationError(
                f"budget {name} as a whole number ≥ 0, or one per trial",
                f"{count!r:.80}",
                "count per trial, not per batch: Fit(budget={'gradient_steps': steps})",
            )


def _require_samples(attempt: Attempt) -> None:
    reported = attempt.fit.budget.get("generated_samples", 0)
    least = int(torch.as_tensor(reported).max())
    if least < attempt.sampled:
        raise ViolationError(
            f"generated_samples ≥ {attempt.sampled} per trial, as problem.sample gave on {attempt.problem.name}",
            f"{least}",
            "draw by task.sample, which counts, or call task.spend(generated_samples=n)",
        )


def _require_steps(lab: MethodLab, attempt: Attempt) -> None:
    method = lab.make()
    iterations = method.values()["iterations"]
    steps = attempt.fit.budget.get("gradient_steps")
    going = [slot for slot in range(attempt.trials.width) if slot not in attempt.fit.failures]
    counted = (
        {int(torch.as_tensor(steps).expand(attempt.trials.width)[slot]) for slot in going}
        if steps is not None
        else set()
    )
    if len(counted) > 1:  # each trial stops when it is done
        if max(counted) > iterations:
            raise ViolationError(
                f"gradient_steps ≤ iterations = {iterations}",
                f"{max(counted)}",
                "count one gradient step per iteration and trial",
            )
        return
    if counted and counted != {iterations}:
        raise ViolationError(
            f"gradient_steps = iterations = {iterations} where no trial stopped early",
            f"{', '.join(map(str, sorted(counted)))}",
            "count one gradient step per iteration and trial",
        )
    try:
        more = lab.fit(attempt.problem, method=lab.make(iterations=2 * iterations)).fit.budget
    except NotApplicableError:
        return
    once = {name: int(torch.as_tensor(count).max()) for name, count in attempt.fit.budget.items()}
    twice = {name: int(torch.as_tensor(count).max()) for name, count in more.items()}
    if not any(twice.get(name, 0) > count for name, count in once.items()):
        raise ViolationError(
            f"a count that grows from {iterations} to {2 * iterations} iterations",
            f"{_shown(once)}, then {_shown(twice)}",
            "report what an iteration costs: Fit(budget={'gradient_steps': …})",
        )
    fewer = [name for name, count in once.items() if twice.get(name, 0) < count]
    if fewer:
        raise ViolationError(
            "no count that shrinks when there are more iterations",
            f"{fewer[0]}: {once[fewer[0]]}, then {twice.get(fewer[0], 0)}",
            "add up over iterations",
        )


def _shown(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


@contract.demand("beats the start", f"With `quick` or defaults it beats the start ({TRIALS} trials, sign test, 1 %).")
def better(lab: MethodLab) -> None:
    _require_no_control(lab)
    small = lab.recovery()
    if not small:
        raise NotApplicableError("none of its problems has an initial point")
    quick, default = lab.make(), _default(lab)
    if quick != default and any(
        _tail(_wins(lab.fit(problem, range(TRIALS), method=quick)), TRIALS) <= LEVEL for problem in small
    ):
        return
    scores = []
    full = [_full_size(lab, problem) for problem in small]
    for problem in [*small, *(each for each in full if each)]:
        trials = TRIALS if problem in small else TRIALS_AT_FULL_SIZE
        wins = _wins(lab.fit(problem, range(trials), method=default))
        if _tail(wins, trials) <= LEVEL:
            return
        scores.append(f"{wins} of {trials} on {_named(problem)}")
    needed = next(wins for wins in range(TRIALS + 1) if _tail(wins, TRIALS) <= LEVEL)
    raise ViolationError(
        f"a smaller error than the initial point's in {needed} of {TRIALS} trials, on one easy problem",
        ", ".join(scores),
        "check the sign of the loss, the learning rate and the number of iterations; a floor is `control = True`",
    )


def _default(lab: MethodLab) -> Method:
    try:
        return lab.cls()
    except ValidationError:
        return lab.make()


def _wins(attempt: Attempt) -> int:
    trials = attempt.trials
    problem = cast("RecoveryProblem", attempt.problem)
    after = problem.error(attempt.fit.answer, trials["truth"])
    before = problem.error(trials["start"], trials["truth"])
    failed = {**attempt.fit.failures, **problem.failures(trials, attempt.fit)}
    return sum(slot not in failed for slot in (after < before).nonzero().flatten().tolist())


def _tail(wins: int, trials: int) -> float:
    """Return the probability of at least ``wins`` heads in ``trials`` tosses of a fair coin."""
    return float(sum(math.comb(trials, k) for k in range(wins, trials + 1)) / 2**trials)


# ---- elsewhere -------------------------------------------------------------------------------------------------------


@contract.demand("fresh process", "A process that loads the plugin anew gives the same bits.")
def fresh(lab: MethodLab) -> None:
    problem = next((each for each in lab.problems if each.name in lab.kit.plugins.problems), None)
    lab.comparable()
    if not lab.loaded or problem is None:
        raise NotApplicableError("the class does not come from a plugin")
    require_same_elsewhere(lab.kit, "method", lab.cls.name, problem)


def require_same_elsewhere(kit: Kit, kind: str, name: str, problem: Problem | None) -> None:
    """Require the digest of another process to be that of this one."""
    repeats = range(3)
    asked = None if problem is None else (problem.name, problem.values())
    there = kit.twin.ask(kind, name, asked, repeats)
    here = watch(lambda: fresh_digest(kit.plugins, kind, name, problem, repeats)).result
    if here != there:
        raise ViolationError(
            "the same bits in another process",
            f"digest {here} here, {there} there",
            "use nothing that differs between processes: hash() of a string, order of a set, id(), time, environment",
        )


@contract.demand("CUDA", "On a GPU it fits as well as on the CPU.")
def cuda(lab: MethodLab) -> None:
    if lab.kit.device != "cuda":
        raise NotApplicableError("no CUDA device, or --device cpu")
    for attempt in lab.fits():
        _require_answer(lab.fit(attempt.problem, device="cuda"))
    for problem in lab.recovery() if lab.device == "cpu" else ():
        pair = [lab.fit(problem, range(TRIALS), device=device) for device in ("cpu", "cuda")]
        errors = [problem.error(each.fit.answer, each.trials["truth"]).double().cpu() for each in pair]
        apart = (errors[0] - errors[1]).abs() > 0.01 * (errors[0] + errors[1])
        worse = int((apart & (errors[1] > errors[0])).sum())
        if _tail(worse, int(apart.sum())) < 0.001:
            raise ViolationError(
                f"errors like the CPU's on {problem.name} (its generators differ, so not the same numbers)",
                f"{worse} of {TRIALS} trials are worse on the GPU",
                "look for tensors that are made on the CPU and for half precision",
            )
