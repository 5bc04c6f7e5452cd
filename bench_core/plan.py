"""Suite x plugins -> cells -> trials: data, never objects, and without torch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from bench_core import NUMERICS_VERSION
from bench_core.errors import BenchError, PluginError, SuiteError, suggest
from bench_core.metrics import DerivedMetric
from bench_core.parameters import Parameters
from bench_core.seeds import canonical, short_id
from bench_core.suite import MAX_CELLS, MAX_TRIALS, MethodEntry

if TYPE_CHECKING:
    from bench_core.methods import Method
    from bench_core.metrics import Metric
    from bench_core.plugins import Offers, Plugins
    from bench_core.problems import Problem
    from bench_core.suite import Suite
    from bench_core.yamlfile import Loc, Scalar

# Divisors of the usual repeats (50, 100, 200, 800, …), so that no batch is padded. A GPU wants many trials at once; a
# core gains little from wider batches, and a stopped run loses more; a network that fills either trains alone.
WIDTHS = {"cpu": (50, 25, 10, 5, 2, 1), "cuda": (1000, 500, 250, 100, 50, 25, 10, 5, 2, 1)}
WORKING_SET = {"cpu": 20 << 20, "cuda": 4 << 30}


@dataclass(frozen=True)
class Cell:
    """One problem with one set of parameters x one label, as plain data that any process can execute."""

    suite: str
    label: str
    method: str
    method_params: Mapping[str, Any]
    method_identity: Mapping[str, Any]
    """Those of its parameters that enter trial ids."""
    method_version: str
    method_digest: str
    control: bool
    problem: str
    problem_params: Mapping[str, Any]
    problem_identity: Mapping[str, Any]
    data_params: Mapping[str, Any]
    """Those of the problem's parameters on which data and start depend."""
    problem_version: str
    problem_digest: str
    """Of the problem's code and of the metrics that score it."""
    x: Any
    """Value of the parameter that the report's rows run over, or None."""
    metrics: tuple[str, ...]
    """Measured metrics, which the trial computes and stores."""
    trials: int
    width: int
    working_set: int
    skipped: str | None
    """Why this method cannot run on this problem."""
    seed: int
    split: str
    """``main``, or ``select`` for the holdout trials on which hyper-parameters are chosen: other data."""
    choice: Mapping[str, Any]
    """The point of the label's ``select`` grid that the cell runs with; empty without ``select``."""
    device: str
    """``cpu`` or ``cuda``."""

    @cached_property
    def _spec_parts(self) -> tuple[str, str]:
        head = {
            "dtype": self.method_params.get("dtype", "float32"),
            "method": self.method,
            "method_params": self.method_identity,
            "method_version": self.method_version,
            "numerics": NUMERICS_VERSION,
            "problem": self.problem,
            "problem_params": self.problem_identity,
            "problem_version": self.problem_version,
        }
        tail = {"seed": self.seed, "split": self.split}
        return canonical(head)[:-1], canonical(tail)[1:]

    def spec(self, repeat: int) -> str:
        """Return the canonical JSON of everything that decides the numbers of a trial."""
        head, tail = self._spec_parts
        return f'{head},"repeat":{repeat},{tail}'

    def trial_id(self, repeat: int) -> str:
        """Return the short hash of the spec."""
        return short_id(self.spec(repeat))

    @cached_property
    def cell_id(self) -> str:
        """Return the short hash of the spec without the repeat, which all trials of the cell share."""
        head, tail = self._spec_parts
        return short_id(f"{head},{tail}")

    @property
    def work(self) -> str:
        """Short name of what the cell computes and by which code."""
        return short_id(self.spec(0) + canonical([self.method_digest, self.problem_digest]))

    @property
    def repeats(self) -> range:
        """The repeats of the cell; a skipped cell is one row with repeat 0."""
        return range(1 if self.skipped else self.trials)

    @property
    def problem_key(self) -> str:
        """Name of the problem cell: cells of one key are compared with each other."""
        return canonical([self.problem, self.problem_params])

    def data_path(self, repeat: int) -> list[Any]:
        """Path of the streams that data and start come from: nothing of the method is in it, hence the pairing."""
        return [self.seed, self.split, self.problem, self.data_params, repeat]

    def noise_path(self, repeat: int) -> list[Any]:
        """Path of the streams of the method's own noise."""
        return [*self.data_path(repeat), self.method, self.method_identity]


@dataclass(frozen=True)
class Job:
    """A batch: repeats of one cell that run together. Repeat r always sits in slot ``r % width``."""

    cell: Cell
    repeats: tuple[int, ...]
    width: int

    @property
    def name(self) -> str:
        """Name of the batch: the same whenever the same code is to do the same work."""
        return f"{self.cell.work}-{self.repeats[0]}-{self.repeats[-1]}-w{self.width}"

    def split(self, parts: Iterable[Sequence[int]]) -> list[Job]:
        """Return one job per part, in the same slots."""
        return [Job(self.cell, tuple(part), self.width) for part in parts if part]

    def halves(self) -> list[Job]:
        """Return the job in two halves."""
        middle = (len(self.repeats) + 1) // 2
        return self.split([self.repeats[:middle], self.repeats[middle:]])


@dataclass(frozen=True)
class Plan:
    """Every cell of a suite: those of the report in its order, then those that hyper-parameters are chosen on.

    A label with ``select`` has no cell in the report before its hyper-parameters are chosen.
    """

    suite: Suite
    cells: tuple[Cell, ...]
    undecided: tuple[str, ...] = ()
    """Labels whose hyper-parameters are not chosen yet."""

    @property
    def trials(self) -> int:
        """Number of trials in all cells that run."""
        return sum(cell.trials for cell in self.cells if not cell.skipped)

    @property
    def labels(self) -> dict[str, str]:
        """Label -> name of its method, in the suite's order."""
        return {entry.label: entry.name for entry in self.suite.methods}


Choices = Mapping[str, Mapping[str, Any]]
"""Label -> the point of its ``select`` grid that was chosen."""


def make_plan(suite: Suite, plugins: Plugins, *, device: str = "cpu", chosen: Choices | None = None) -> Plan:
    """Return the cells of ``suite``.

    Args:
        suite: a valid suite.
        plugins: where its names are looked up.
        device: ``cpu`` or ``cuda``, which decides how many trials run together.
        chosen: the hyper-parameters of labels with ``select``, as far as they are chosen.

    Raises:
        SuiteError: an unknown name or a parameter that its plugin refuses, with file, line and key.
    """
    _check_size(suite)
    picked = {label: canonical(choice) for label, choice in (chosen or {}).items()}
    metrics = [_lookup(suite, plugins, plugins.metrics, name, ("metrics", i)) for i, name in enumerate(suite.metrics)]
    problems = [(problem, _measured(suite, plugins, metrics, problem)) for problem in _problems(suite, plugins)]
    methods = [list(_methods(suite, plugins, index, entry)) for index, entry in enumerate(suite.methods)]
    _check_x(suite, [problem for problem, _ in problems])
    _check_select(suite, plugins, [problem for problem, _ in problems])
    make = partial(_cell, suite, plugins, device=device)
    decided = [
        (entry, method, choice)
        for entry, points in zip(suite.methods, methods, strict=True)
        for choice, method in points
        if entry.select is None or picked.get(entry.label) == canonical(choice)
    ]
    cells = [
        make(problem, measured, method, entry, choice)
        for problem, measured in problems
        for entry, method, choice in decided
    ]
    candidates = [
        make(problem, measured, method, entry, choice, split="select")
        for entry, points in zip(suite.methods, methods, strict=True)
        if entry.select is not None
        for choice, method in points
        for problem, measured in problems
        if not method.unfit(problem) and plugins.metrics.get(entry.select.metric).needs <= problem.capabilities
    ]
    undecided = [entry.label for entry in suite.methods if entry.select and entry.label not in picked]
    return Plan(suite, (*cells, *candidates), tuple(undecided))


def cell_of(
    spec: Mapping[str, Any], suite: Suite, plugins: Plugins, *, device: str, measured: Sequence[str] = ()
) -> Cell:
    """Return the cell of a stored trial, as the present plugins make it.

    Args:
        spec: the trial's.
        suite: the suite of its run, which says how it is scored.
        plugins: where its names are looked up.
        device: ``cpu`` or ``cuda``.
        measured: metrics that the trial has stored; none of a failed one, which has those of the suite.

    Raises:
        BenchError: when a plugin is not there or refuses the stored parameters.
    """
    try:
        problem_class, method_class = plugins.problems.get(spec["problem"]), plugins.methods.get(spec["method"])
    except PluginError as error:
        raise PluginError(f"{error}{plugins.why_missing('')}") from None
    stated = (entry.params for entry in suite.problems if entry.name == problem_class.name)
    scoring = {name: value for params in stated for name, value in params.items() if name in problem_class.scoring}
    try:
        problem = problem_class(**scoring | spec["problem_params"])
        method = method_class(**spec["method_params"])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        at = ".".join(map(str, first["loc"]))
        raise BenchError(f"{error.title} does not take the stored parameters any more: {at}: {first['msg']}") from None
    names = tuple(measured) or _measured(suite, plugins, [plugins.metrics.get(name) for name in suite.metrics], problem)
    seeded, entry = suite.model_copy(update={"seed": spec["seed"]}), MethodEntry(name=method.name)
    return _cell(seeded, plugins, problem, names, method, entry, {}, device=device, split=spec["split"])


def jobs(cell: Cell, missing: Iterable[int]) -> Iterator[Job]:
    """Yield the batches of a cell that hold missing repeats; what is stored already decides nothing about slots."""
    for _, group in itertools.groupby(sorted(missing), key=lambda repeat: repeat // cell.width):
        yield Job(cell, tuple(group), cell.width)


def batch_width(working_set: int, device: str) -> int:
    """Return how many trials of ``working_set`` bytes run together on ``device``."""
    fitting = [width for width in WIDTHS[device] if width * working_set <= WORKING_SET[device]]
    return fitting[0] if fitting else WIDTHS[device][-1]


def configured(
    suite: Suite, cls: type[Parameters], params: Mapping[str, Any], locate: Mapping[str, Loc], at: Loc
) -> Any:
    """Return ``cls(**params)``, turning what it refuses into a message that names file, line and key.

    Args:
        suite: whose file and lines the message names.
        cls: a method or a problem.
        params: what the suite says.
        locate: where in the suite each parameter stands.
        at: where the whole entry stands, for what concerns no single parameter.

    Raises:
        SuiteError: the first thing that is refused.
    """
    try:
        return cls(**params)
    except ValidationError as error:
        details = error.errors(include_url=False)[0]
    key = str(details["loc"][0]) if details["loc"] else ""
    where = locate.get(key, at)
    if details["type"] == "extra_forbidden":
        raise suite.error(where, f"{cls.name} has no parameter {key!r}{suggest(key, cls.model_fields)}")
    if details["type"] == "missing":
        raise suite.error(at, f"{cls.name} needs the parameter {key!r}")
    message = details["msg"].removeprefix("Value error, ")
    came = f", got {details['input']!r:.60}" if key else ""
    raise suite.error(where, f"{cls.name}: {message[0].lower()}{message[1:]}{came}")


def _problems(suite: Suite, plugins: Plugins) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for index, entry in enumerate(suite.problems):
        cls = _lookup(suite, plugins, plugins.problems, entry.name, ("problems", index, "name"))
        at = ("problems", index)
        locate: dict[str, Loc] = {name: (*at, "params", name) for name in entry.params}
        for point, places in _points(entry.grid, (*at, "grid")):
            problem = configured(suite, cls, {**entry.params, **point}, {**locate, **places}, at)
            key = canonical([problem.name, problem.values()])
            if key in seen:
                raise suite.error(at, f"the same problem cell stands here twice: {problem.name} {problem.values()}")
            seen[key] = index
            yield problem


def _methods(suite: Suite, plugins: Plugins, index: int, entry: MethodEntry) -> Iterator[tuple[dict[str, Any], Method]]:
    """Yield every point of the label's ``select`` grid with the method that it configures; without one, the only."""
    cls = _lookup(suite, plugins, plugins.methods, entry.name, ("methods", index, "name"))
    at = ("methods", index)
    grid = entry.select.grid if entry.select else {}
    locate = {name: (*at, "params", name) for name in entry.params}
    for choice, places in _points(grid, (*at, "select", "grid")):
        yield choice, configured(suite, cls, {**entry.params, **choice}, {**locate, **places}, at)


def _points(grid: Mapping[str, Sequence[Scalar]], at: Loc) -> Iterator[tuple[dict[str, Scalar], dict[str, Loc]]]:
    """Yield every combination of a grid, and where in the suite each of its values stands."""
    for places in itertools.product(*(range(len(values)) for values in grid.values())):
        indices = dict(zip(grid, places, strict=True))
        yield (
            {name: grid[name][index] for name, index in indices.items()},
            {name: (*at, name, index) for name, index in indices.items()},
        )


def _lookup(suite: Suite, plugins: Plugins, offers: Offers[Any], name: str, at: Loc) -> Any:
    try:
        return offers.get(name)
    except PluginError as error:
        raise suite.error(at, f"{error}{plugins.why_missing(name)}") from None


def _check_x(suite: Suite, problems: Sequence[Problem]) -> None:
    x = suite.report.x
    known = {name for problem in problems for name in type(problem).model_fields}
    if x is not None and x not in known:
        raise suite.error(("report", "x"), f"no problem of this suite has a parameter {x!r}{suggest(x, known)}")


def _check_size(suite: Suite) -> None:
    """Refuse what would take minutes to plan and for ever to run, before any cell is made."""
    problems = sum(math.prod(map(len, entry.grid.values())) for entry in suite.problems)
    cells = trials = 0
    for entry in suite.methods:
        cells += problems
        trials += problems * (entry.trials or suite.max_trials)
        if entry.select is not None:
            points = math.prod(map(len, entry.select.grid.values()))
            cells += problems * points
            trials += problems * points * entry.select.trials
    if cells > MAX_CELLS:
        made_of = "problem cells times labels, and the settings that they try"
        raise suite.error(("problems",), f"required at most {MAX_CELLS:,} cells ({made_of}), got {cells:,}")
    if trials > MAX_TRIALS:
        raise suite.error(("trials",), f"required at most {MAX_TRIALS:,} trials in all cells together, got {trials:,}")


def _check_select(suite: Suite, plugins: Plugins, problems: Sequence[Problem]) -> None:
    for i, entry in enumerate(suite.methods):
        if entry.select is None:
            continue
        needs = plugins.metrics.get(entry.select.metric).needs
        if not any(needs <= problem.capabilities for problem in problems):
            raise suite.error(
                ("methods", i, "select", "metric"),
                f"no problem of this suite has the metric {entry.select.metric!r}, so nothing can be chosen by it",
            )


def _measured(suite: Suite, plugins: Plugins, metrics: Sequence[Metric], problem: Problem) -> tuple[str, ...]:
    """Return the metrics that a trial of ``problem`` must store for the suite's metrics to be known."""
    names = [
        metric.source if isinstance(metric, DerivedMetric) else metric.name
        for metric in metrics
        if metric.needs <= problem.capabilities
    ]
    if not names:
        raise SuiteError(f"{suite.where(('metrics',))}: metrics: none of them exists for the problem {problem.name!r}")
    return tuple(dict.fromkeys(names))


def _cell(
    suite: Suite,
    plugins: Plugins,
    problem: Problem,
    metrics: tuple[str, ...],
    method: Method,
    entry: MethodEntry,
    choice: Mapping[str, Any],
    *,
    device: str,
    split: str = "main",
) -> Cell:
    working_set = max(1, method.working_set(problem))
    trials, width = entry.trials or suite.max_trials, batch_width(working_set, device)
    if entry.select and split == "select":  # their number is fixed, so that a batch need not be wider
        trials, width = entry.select.trials, min(width, entry.select.trials)
    return Cell(
        suite=suite.name,
        label=entry.label,
        method=method.name,
        method_params=method.values(),
        method_identity=method.identity(),
        method_version=method.version,
        method_digest=plugins.digest(plugins.methods, method.name),
        control=method.control,
        problem=problem.name,
        problem_params=problem.values(),
        problem_identity=problem.identity(),
        data_params=problem.data_parameters(),
        problem_version=problem.version,
        problem_digest=_scored_by(plugins, problem, metrics),
        x=problem.values().get(suite.report.x) if suite.report.x else None,
        metrics=metrics,
        trials=trials,
        width=width,
        working_set=working_set,
        skipped=method.unfit(problem),
        seed=suite.seed,
        split=split,
        choice=choice,
        device=device,
    )


def _scored_by(plugins: Plugins, problem: Problem, metrics: tuple[str, ...]) -> str:
    code = [plugins.digest(plugins.metrics, name) for name in metrics]
    return short_id(canonical([plugins.digest(plugins.problems, problem.name), *code]))
