"""Results -> two labels compared in every problem cell, or two runs label by label; each comparison in one sentence."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from bench_core import NUMERICS_VERSION, stats
from bench_core.claims.measure import between, of_cell, share_data
from bench_core.environment import hardware
from bench_core.errors import BenchError, SuiteError, suggest
from bench_core.estimates import FAILED, LEVEL, Sample, compare, estimate, paired
from bench_core.metrics import Metric
from bench_core.planning_power import (
    efficiency_of,
    exists,
    sample_of,
    smallest_rate_difference,
    smallest_shift,
    spread_of,
    titled,
)
from bench_core.report.table import number, plain, rate
from bench_core.results import Results, stored
from bench_core.seeds import canonical, short_id
from bench_core.store import FOR_TABLES, Damage, Run, find_runs
from bench_core.suite import load_suite
from bench_core.yamlfile import visible

if TYPE_CHECKING:
    from bench_core.plan import Cell
    from bench_core.plugins import Plugins

ALPHA = 1.0 - LEVEL

Winner = Literal["a", "b", "neither"]


@dataclass(frozen=True)
class Side:
    """The trials of one label in one problem cell."""

    label: str
    n: int
    """Attempted trials."""
    n_failed: int
    estimate: float
    low: float
    high: float
    on_pairs: float
    """Estimate on the trials that both sides have, whose difference is told; on all trials where they are unpaired."""
    skipped: str | None
    settings: Mapping[str, Any]
    """The method's hyper-parameters."""
    seed: int
    reference: bool
    """Whether the trials are the reference results that come with the program."""
    seconds: Mapping[str, float]
    """Hardware -> mean seconds per trial."""


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Two sides under one metric: ``difference`` is a - b, and ``n10`` counts pairs in which a is better."""

    suite: str
    problem: str
    problem_params: Mapping[str, Any]
    title: str
    """What tells the problem cell apart from the others of the suite."""
    metric: str
    kind: stats.paired.Kind
    direction: stats.paired.Direction
    a: Side
    b: Side
    paired: bool
    """Whether the two were measured on the same trials; else n_pairs, n01 and n10 are 0."""
    n_pairs: int = 0
    n01: int = 0
    n10: int = 0
    other_data: int
    """Trials of one number that are left out because the two sides saw different data in them."""
    common: int
    """Trials that both sides have, by their number."""
    identical: int
    """Those of them that give the same numbers under every metric."""
    test: str = ""
    difference: float = math.nan
    low: float = math.nan
    high: float = math.nan
    looks: int
    p_value_raw: float = math.nan
    """NaN where nothing could be tested."""
    favours: Winner = "neither"
    values: int = 0
    """Values behind the test: pairs, or those of the side that has fewer."""
    improvement: Mapping[str, float] | None = None
    """How often a is better, ties as half, with its interval (NaN where they are unpaired); None unless skewed."""
    finished: Contrast | None = None
    """Whether trials finish, where a mean says nothing of failures; only where two labels are compared."""
    spread: float | None = None
    p_value: float = math.nan
    """Adjusted; 1 where no separation was possible."""
    separated: bool = False
    detectable: float = math.nan
    """Smallest difference that so many pairs show with a probability of 80 %; NaN where it is not known."""

    @property
    def same(self) -> bool:
        """Whether every trial that both have gives the same numbers."""
        return self.paired and self.identical == self.common > 0

    @property
    def can_separate(self) -> bool:
        """Whether the sides can be told apart, given how many pairs have a winner: what Holm's adjustment is over.

        What cannot does not count (Tarone 1990); nor do identical sides, at any look. Where a run stopped for what it
        saw, the number of pairs with a winner is no longer something that one may take as given, so all others count.

        References:
            Tarone, "A modified Bonferroni method for discrete data", Biometrics 46 (1990), 515-522.
        """
        if math.isnan(self.p_value_raw) or self.same:
            return False
        if not self.paired:
            return self.values >= stats.MIN_VALUES
        return self.looks > 1 or self.n10 + self.n01 >= stats.MIN_DISCORDANT

    @property
    def winner(self) -> Winner:
        """The better side; neither where that side finishes significantly less often."""
        if not self.separated or _finishes_less(self, self.favours):
            return "neither"
        return self.favours


@dataclass(frozen=True)
class Pooling:
    """Two labels over all problem cells in which they have pairs; see ``stats.pooled``."""

    result: stats.Pooled
    shown: tuple[float, float]
    """Pairs and discordance that say what it can show, every problem cell counted alike as in the estimate."""
    looks: int
    p_value: float = math.nan
    """Adjusted with the problem cells."""
    separated: bool = False
    detectable: float = math.nan

    @property
    def can_separate(self) -> bool:
        """See ``Contrast.can_separate``."""
        return self.looks > 1 or self.result.n10 + self.result.n01 >= stats.MIN_DISCORDANT


@dataclass(frozen=True)
class LabelComparison:
    """Two labels of a suite."""

    suite: str
    title: str
    run: str
    seed: int
    a: str
    b: str
    metric: str
    kind: stats.paired.Kind
    direction: stats.paired.Direction
    x: str | None
    cells: Sequence[Contrast]
    pooled: Pooling | None
    family: int = 0
    """Comparisons that Holm's adjustment is over: those of every suite of the call."""
    older: Sequence[str] = ()
    """Those of the two labels whose reference results other code of the same declared version has computed."""
    stale: int = 0
    confirmation: bool = False

    @property
    def winner(self) -> Winner:
        """The better label over all problem cells; neither where it finishes less often in one of them."""
        if self.pooled is None or not self.pooled.separated:
            return "neither"
        favours = self.pooled.result.favours
        return "neither" if any(_finishes_less(cell, favours) for cell in self.cells) else favours


@dataclass(frozen=True)
class Alone:
    """A label that only one of two runs has."""

    suite: str
    label: str
    problem_cells: Sequence[str]


@dataclass(frozen=True)
class RunComparison:
    """Two runs; in every contrast a is the second run and b the first, so that differences are changes."""

    contrasts: Sequence[Contrast]
    only_first: Sequence[Alone] = ()
    only_second: Sequence[Alone] = ()
    directions: Mapping[str, stats.paired.Direction] = field(default_factory=dict)

    @property
    def worse(self) -> list[Contrast]:
        """What the second run does worse than the first."""
        return [each for each in self.contrasts if change(each) == "worse"]


def _finishes_less(each: Contrast, side: Winner) -> bool:
    finished = each.finished
    return finished is not None and finished.separated and finished.favours not in (side, "neither")


# ---- two labels ------------------------------------------------------------------------------------------------------


def with_both(found: Sequence[Results], a: str, b: str) -> list[Results]:
    """Return the results whose suites have both labels.

    Raises:
        BenchError: when no suite has both, naming the nearest labels.
    """
    if a == b:
        raise BenchError(f"two different labels are compared, got {a!r} twice")
    having = [results for results in found if a in results.plan.labels and b in results.plan.labels]
    if having:
        return having
    known = {label for results in found for label in results.plan.labels}
    unknown = [label for label in (a, b) if label not in known]
    if unknown:
        raise BenchError("; ".join(f"unknown label {label!r}{suggest(label, known)}" for label in unknown))
    places = {label: [r.plan.suite.name for r in found if label in r.plan.labels] for label in (a, b)}
    told = " and ".join(f"{label} in {', '.join(suites)}" for label, suites in places.items())
    raise BenchError(f"no suite has both labels: {told}")


def metric_of(results: Sequence[Results], plugins: Plugins, name: str | None) -> list[tuple[Results, Metric]]:
    """Return each result whose suite has the metric ``name`` with it; None means each suite's own.

    Raises:
        BenchError: when no suite has it.
    """
    if name is not None:
        having = [each for each in results if name in each.plan.suite.metrics]
        known = {metric for each in results for metric in each.plan.suite.metrics}
        if not having:
            raise BenchError(f"unknown metric {name!r}{suggest(name, known)}")
        results = having
    return [(each, plugins.metrics.get(name or each.plan.suite.report.metric)) for each in results]


def compare_labels(results: Results, plugins: Plugins, a: str, b: str, metric: Metric) -> LabelComparison:
    """Return two labels of a suite compared in every problem cell and over all of them; to be ``adjusted_labels``.

    Raises:
        BenchError: when a label has no trial.
    """
    suite = results.plan.suite
    sides = {(side.cell.problem_key, side.cell.label): side for side in _cells(results, plugins, metric, (a, b))}
    for label in (a, b):
        if not any(len(side.sample.rows) for (_, name), side in sides.items() if name == label):
            raise BenchError(_nothing(results, label, {s.cell.skipped for (_, n), s in sides.items() if n == label}))
    keys = dict.fromkeys(key for key, _ in sides)
    both = [key for key in keys if (key, a) in sides and (key, b) in sides]
    cells = [_with_failures(sides[key, a], sides[key, b], metric) for key in both]
    return LabelComparison(
        suite=suite.name,
        title=suite.title,
        run=results.run,
        seed=suite.seed,
        a=a,
        b=b,
        metric=metric.name,
        kind=metric.kind,
        direction=metric.direction,
        x=suite.report.x,
        cells=cells,
        pooled=_pooled(cells),
        older=[label for label in results.older if label in (a, b)],
        stale=results.stale,
    )


def _with_failures(a: _Cell, b: _Cell, metric: Metric) -> Contrast:
    contrast, *finished = _contrasts(a, b, metric)
    return replace(contrast, finished=finished[0]) if finished else contrast


def adjusted_labels(told: Sequence[LabelComparison]) -> list[LabelComparison]:
    """Return comparisons of two labels with Holm's adjustment over all of them, and what follows from it.

    The family is everything of which "better" may be said: problem cells, all of them together, in every suite.
    """
    contrasts = [each for one in told for cell in one.cells for each in (cell, cell.finished) if each is not None]
    pools = [one.pooled for one in told if one.pooled]
    raw = [(each.p_value_raw, each.can_separate) for each in contrasts]
    p_values, family = _holm([*raw, *((each.result.p_value, each.can_separate) for each in pools)])
    done = iter([_adjusted(each, p, family) for each, p in zip(contrasts, p_values, strict=False)])
    pooled = iter([_adjusted_pool(*each, family) for each in zip(pools, p_values[len(contrasts) :], strict=True)])
    found = []
    for one in told:
        cells = [replace(next(done), finished=next(done) if cell.finished else None) for cell in one.cells]
        found.append(replace(one, cells=cells, pooled=next(pooled) if one.pooled else None, family=family))
    return found


def _adjusted_pool(each: Pooling, p_value: float, family: int) -> Pooling:
    result = each.result
    # Where the numbers of pairs differ the test, which adds pairs, and the estimate may favour different sides.
    lead = result.estimate - (0.0 if result.estimand == "difference" else 0.5)
    agreed = result.favours == stats.paired.side(lead)
    detectable = math.nan
    if each.looks == 1:
        pairs, discordance = each.shown
        alpha = ALPHA / (family + (not each.can_separate))
        detectable = smallest_rate_difference(math.floor(pairs + 1e-9), discordance, alpha)
        if result.estimand != "difference":
            detectable = (1.0 + detectable) / 2.0
    return replace(each, p_value=p_value, separated=agreed and stats.separated(result, p_value), detectable=detectable)


def _nothing(results: Results, label: str, skipped: Collection[str | None]) -> str:
    suite = results.plan.suite.name
    reasons = sorted(reason for reason in skipped if reason)
    if reasons:
        return f"{label} cannot run on {suite}: {reasons[0]}"
    if label in results.plan.undecided:
        return f"{suite}: the hyper-parameters of {label} are not chosen yet: bench run {suite} --method {label}"
    stale = f" ({results.stale} stored ones are of other code)" if results.stale else ""
    return f"{suite}: no trial of {label} is stored{stale}; run it first: bench run {suite} --method {label}"


def _pooled(cells: Sequence[Contrast]) -> Pooling | None:
    tested = [cell for cell in cells if cell.n_pairs]
    if len(tested) < 2:
        return None
    looks = max(cell.looks for cell in tested)
    result = stats.pooled(tested, LEVEL) if looks == 1 else stats.pooled_path(tested, looks, LEVEL)
    pairs = len(tested) ** 2 / math.fsum(1.0 / cell.n_pairs for cell in tested)
    discordance = math.fsum((cell.n10 + cell.n01) / cell.n_pairs for cell in tested) / len(tested)
    return Pooling(result, (pairs, discordance), looks)


# ---- two runs --------------------------------------------------------------------------------------------------------


def read_any_code(folder: Path, plugins: Plugins) -> tuple[list[Results], list[str]]:
    """Return the results in ``folder`` whatever code computed them, and what is unreadable.

    For runs that are compared because the code, or its version, has changed: a row answers a trial of the same method,
    problem, parameters and seed.

    Raises:
        BenchError: when there is nothing to read, or nothing of it can be read.
    """
    found, unreadable = [], []
    for run in find_runs(folder):
        try:
            found.append(_load_any_code(run, plugins))
        except BenchError as error:
            cure = "\n  if a plugin of yours offers it, name its folder by --plugin-dir" * isinstance(error, SuiteError)
            unreadable.append(f"{error}{cure}")
    if not found:
        raise BenchError("\n".join(unreadable))
    return found, unreadable


def _load_any_code(run: Run, plugins: Plugins) -> Results:
    run.check_suite()
    suite = load_suite(run.suite_file, stored=True)
    # What stands in for missing rows may be of any code; so nothing is stored, and the run's own rows stand in.
    nothing = Run(run.folder / "nothing")
    own = _AnyCode(run.folder)
    results = stored(suite, plugins, nothing, device=run.device, reference=[own])
    planned = {cell.cell_id for cell in results.plan.cells}
    if own.cell_ids - planned and planned - own.cell_ids:  # of other versions, perhaps
        own = _AnyCode(run.folder, plugins)
        results = stored(suite, plugins, nothing, device=run.device, reference=[own])
    return replace(results, run=visible(run.name), damaged=tuple(own.damage.files))


class _AnyCode(Run):
    """A run that is read whatever code computed its rows.

    With ``plugins``, the rows pass for those of the present versions of their methods and problems.
    """

    def __init__(self, folder: Path, plugins: Plugins | None = None) -> None:
        super().__init__(folder)
        self.damage = Damage()
        self.cell_ids: set[str] = set()
        self._plugins = plugins

    def rows(
        self, damage: Damage | None = None, *, only: Collection[str] = FOR_TABLES, set_aside: bool = False
    ) -> pl.DataFrame:
        """Return the rows, which say of which cells they are."""
        more = {"spec"} if self._plugins else set()
        rows = super().rows(self.damage, only={*only, "cell_id", *more}, set_aside=set_aside)
        self.cell_ids = set(rows["cell_id"].unique())
        if self._plugins is None or rows.is_empty():
            return rows
        firsts = rows.unique("cell_id", keep="first").select("cell_id", "spec").iter_rows()
        ids = {cell_id: _present_id(cell_id, spec, self._plugins) for cell_id, spec in firsts}
        return rows.with_columns(pl.col("cell_id").replace_strict(ids, return_dtype=pl.String))


def _present_id(cell_id: str, spec: str, plugins: Plugins) -> str:
    """Return the id that the cell of a trial has today; its own where that is not to be told."""
    try:
        told = json.loads(spec)
        told["method_version"] = plugins.methods.get(told["method"]).version
        told["problem_version"] = plugins.problems.get(told["problem"]).version
        del told["repeat"]
    except (BenchError, ValueError, KeyError, TypeError):
        return cell_id
    return short_id(canonical({**told, "numerics": NUMERICS_VERSION}))


def compare_runs(
    first: Sequence[Results], second: Sequence[Results], plugins: Plugins, metric: str | None = None
) -> RunComparison:
    """Return every label and problem cell that two runs have, compared; Holm's adjustment is over all of them.

    A failed trial has no place in a mean: under such a metric, whether trials finish is compared as well.

    Raises:
        BenchError: an unknown metric, or nothing that both have.
    """
    one, other = (
        {results.plan.suite.name: (results, found) for results, found in metric_of(side, plugins, metric)}
        for side in (first, second)
    )
    contrasts: list[Contrast] = []
    alone: tuple[list[Alone], list[Alone]] = ([], [])
    directions: dict[str, stats.paired.Direction] = {FINISHED.name: FINISHED.direction}
    for suite in dict.fromkeys([*one, *other]):
        before, after = (_by_key(side[suite], plugins) if suite in side else {} for side in (one, other))
        for found, others, sides in ((alone[0], after, before), (alone[1], before, after)):
            found += _alone(suite, [side for key, side in sides.items() if key not in others])
        measure = (other if suite in other else one)[suite][1]
        directions[measure.name] = measure.direction
        for key, side in after.items():
            if key in before:
                contrasts += _contrasts(side, before[key], measure)
    if not contrasts:
        raise BenchError("the two have no label of the same suite and problem cell in common, so nothing is compared")
    return RunComparison(adjusted(contrasts), *alone, directions=directions)


def _by_key(side: tuple[Results, Metric], plugins: Plugins) -> dict[tuple[str, str], _Cell]:
    results, metric = side
    cells = _cells(results, plugins, metric, results.plan.labels)
    return {(each.cell.problem_key, each.cell.label): each for each in cells if len(each.sample.rows)}


def _alone(suite: str, cells: Sequence[_Cell]) -> list[Alone]:
    titles: dict[str, list[str]] = {}
    for each in cells:
        titles.setdefault(each.cell.label, []).append(each.title)
    return [Alone(suite, label, found) for label, found in titles.items()]


def _contrasts(a: _Cell, b: _Cell, metric: Metric) -> Iterator[Contrast]:
    yield _contrast(a, b, metric)
    if metric.kind == "mean" and (a.failed or b.failed):
        yield _contrast(a.finished(), b.finished(), FINISHED)


class _Finished(Metric):
    """Whether a trial finished: what a mean over the trials that did says nothing about."""

    name, kind, direction = "finished", "rate", "higher"


FINISHED = _Finished()


# ---- two sides -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Cell:
    """A cell with its trials."""

    cell: Cell
    title: str
    sample: Sample
    looks: int
    machines: Mapping[str, str]

    @property
    def failed(self) -> int:
        return int(self.sample.rows["status"].is_in(FAILED).sum())

    def finished(self) -> _Cell:
        """The same trials with nothing known of them but whether they finished."""
        values = {FINISHED.name: (~self.sample.rows["status"].is_in(FAILED)).to_numpy().astype(np.float64)}
        return replace(self, sample=replace(self.sample, values=values))


def _cells(results: Results, plugins: Plugins, metric: Metric, labels: Collection[str]) -> Iterator[_Cell]:
    """Yield the cells of the report that have the metric, of the given labels, with every metric of their trials."""
    suite = results.plan.suite
    titles = titled(results.plan.cells, suite.report.x)
    metrics = [plugins.metrics.get(name) for name in suite.metrics]
    machines = {env_id: hardware(env) for env_id, env in results.environments.items()}
    for index, cell in enumerate(results.plan.cells):
        if cell.split == "main" and cell.label in labels and exists(metric, cell):
            reach = results.reaches.get(cell.problem_key)
            sample = sample_of(results, index, metrics)
            yield _Cell(cell, titles[cell.problem_key], sample, len(reach.looks) if reach else 1, machines)


def _contrast(a: _Cell, b: _Cell, metric: Metric) -> Contrast:
    common, other_data, identical = _in_common(a.sample, b.sample)
    pairs = _are_pairs(a, b)
    known = Contrast(
        suite=a.cell.suite,
        problem=a.cell.problem,
        problem_params=a.cell.problem_params,
        title=a.title,
        metric=metric.name,
        kind=metric.kind,
        direction=metric.direction,
        a=_side(a, metric),
        b=_side(b, metric),
        paired=pairs,
        other_data=other_data if pairs else 0,
        common=common,
        identical=identical if pairs else 0,
        looks=max(a.looks, b.looks),  # pairs end at the earlier of two
    )
    return _paired(known, a.sample, b.sample, metric) if pairs else _independent(known, a, b, metric)


def _paired(known: Contrast, a: Sample, b: Sample, metric: Metric) -> Contrast:
    level = stats.path_level(LEVEL, known.looks)
    test = compare(a, b, metric, level)
    if not test.n_pairs:
        return known
    left, right = paired(a, b, metric.name)
    share = None
    if metric.kind == "skewed":
        share = _share(*stats.probability_of_improvement(left, right, direction=metric.direction, level=level)[:3])
    return replace(
        known,
        values=test.n_pairs,
        improvement=share,
        a=replace(known.a, on_pairs=estimate(metric, left).estimate),
        b=replace(known.b, on_pairs=estimate(metric, right).estimate),
        n_pairs=test.n_pairs,
        n01=test.n01,
        n10=test.n10,
        test=test.test,
        difference=test.difference,
        low=test.low,
        high=test.high,
        p_value_raw=stats.path_p_value(test.p_value, known.looks),
        favours=test.favours,
        spread=spread_of(left, right, metric.kind) if metric.kind != "rate" else None,
    )


def _share(estimate_: float, low: float = math.nan, high: float = math.nan) -> dict[str, float]:
    return {"estimate": estimate_, "low": low, "high": high}


def _independent(known: Contrast, a: _Cell, b: _Cell, metric: Metric) -> Contrast:
    left, right = (each.sample.values[metric.name] for each in (a, b))
    left, right = left[~np.isnan(left)], right[~np.isnan(right)]
    if metric.kind == "mean":
        left, right = left[np.isfinite(left)], right[np.isfinite(right)]
    if not (left.size and right.size):
        return known
    if metric.kind == "rate":
        test = "fisher_exact"
        p_value = stats.fisher_exact(int(left.sum()), left.size, int(right.sum()), right.size)
    elif metric.kind == "mean":
        test, p_value = "welch", stats.welch(left, right)
    else:
        test = "mann_whitney"
        p_value, balance = stats.mann_whitney(left, right)
    measure = between(of_cell(a.sample, metric, a.looks), of_cell(b.sample, metric, b.looks))
    interval = measure.at(LEVEL)
    sign = 1.0 if metric.direction == "higher" else -1.0
    share = _share((1.0 + sign * balance) / 2.0) if metric.kind == "skewed" else None
    lead = sign * (balance if metric.kind == "skewed" and known.looks == 1 else interval.estimate)
    if known.looks > 1:
        # Each side may have stopped at a look of its own, for what it saw: the interval allows for that, so p is its.
        test, p_value = "interval", stats.smallest_error(lambda error: _excludes_zero(measure.at(1.0 - error)))
    return replace(
        known,
        test=test,
        difference=interval.estimate,
        low=interval.low,
        high=interval.high,
        p_value_raw=p_value,
        values=min(left.size, right.size),
        improvement=share,
        favours=stats.paired.side(lead),
    )


def _excludes_zero(interval: stats.Interval) -> bool:
    return interval.low > 0.0 or interval.high < 0.0


def _are_pairs(a: _Cell, b: _Cell) -> bool:
    """Whether trials of one number have the same data; where no digest tells, whether their streams are the same."""
    if a.sample.digests.any() and b.sample.digests.any():
        return share_data(a.sample, b.sample)
    return a.cell.seed == b.cell.seed


def _in_common(a: Sample, b: Sample) -> tuple[int, int, int]:
    """Return how many trials both have by their number, in how many the data differ, in how many no number does."""
    _, first, second = np.intersect1d(a.repeats, b.repeats, assume_unique=True, return_indices=True)
    one, other = a.digests[first], b.digests[second]
    same = a.rows["status"].to_numpy()[first] == b.rows["status"].to_numpy()[second]
    for name in a.values.keys() & b.values.keys():
        left, right = a.values[name][first], b.values[name][second]
        same &= (left == right) | (np.isnan(left) & np.isnan(right))
    return first.size, int(((one != other) & (one != 0) & (other != 0)).sum()), int((same & (one == other)).sum())


def _side(each: _Cell, metric: Metric) -> Side:
    interval = estimate(metric, each.sample.values[metric.name], stats.path_level(LEVEL, each.looks))
    rows = each.sample.rows
    return Side(
        label=each.cell.label,
        n=len(rows),
        n_failed=each.failed,
        estimate=interval.estimate,
        low=interval.low,
        high=interval.high,
        on_pairs=interval.estimate,
        skipped=each.cell.skipped,
        settings=each.cell.method_params,
        seed=each.cell.seed,
        reference=bool(rows["reference"].any()),
        seconds=_seconds(rows, each.machines),
    )


def _seconds(rows: pl.DataFrame, machines: Mapping[str, str]) -> dict[str, float]:
    if "env_id" not in rows.columns:
        return {}
    known = rows.select("seconds", "env_id").drop_nulls().filter(pl.col("env_id").is_in(list(machines)))
    named = known.with_columns(machine=pl.col("env_id").replace_strict(machines, default=None, return_dtype=pl.String))
    means = named.group_by("machine", maintain_order=True).agg(pl.col("seconds").mean())
    return dict(means.iter_rows())


def adjusted(contrasts: Sequence[Contrast]) -> list[Contrast]:
    """Return the contrasts with Holm's adjustment over all that can be separated, and what follows from it."""
    p_values, family = _holm([(each.p_value_raw, each.can_separate) for each in contrasts])
    return [_adjusted(each, p_value, family) for each, p_value in zip(contrasts, p_values, strict=True)]


def _holm(tests: Sequence[tuple[float, bool]]) -> tuple[list[float], int]:
    """Return the adjusted p-values, 1 for what cannot be separated, and how many can."""
    p_values = stats.holm([raw if can else math.nan for raw, can in tests])
    found = [
        float(p_value) if can or math.isnan(raw) else 1.0 for p_value, (raw, can) in zip(p_values, tests, strict=True)
    ]
    return found, sum(can for _, can in tests)


def _adjusted(each: Contrast, p_value: float, family: int) -> Contrast:
    can = each.can_separate
    significant = stats.separated(each, p_value) if each.paired else bool(p_value <= ALPHA + 1e-12)
    return replace(
        each,
        p_value=p_value,
        separated=can and significant,
        detectable=_detectable(each, ALPHA / each.looks / (family + (not can))),
    )


def _detectable(each: Contrast, alpha: float) -> float:
    if not each.n_pairs:
        return math.nan
    if each.kind == "rate":
        return smallest_rate_difference(each.n_pairs, (each.n01 + each.n10) / each.n_pairs, alpha)
    return each.spread * smallest_shift(each.n_pairs, alpha, efficiency_of(each.kind)) if each.spread else math.nan


# ---- words -----------------------------------------------------------------------------------------------------------


def label_words(each: Contrast) -> str:
    """Return what a comparison of two labels says, as a sentence that needs no further context but the problem cell."""
    why_not = _not_tested(each)
    if why_not:
        return f"not compared: {why_not}{_finishing(each)}"
    on = f"{each.n_pairs} pairs" if each.paired else _unpaired(each)
    a, b = each.a.label, each.b.label
    if each.winner != "neither":
        who, other = (a, b) if each.winner == "a" else (b, a)
        told = lead(each) if told_by_share(each) and each.paired else f"{lead(each)}, {on}"
        return f"{who} is better than {other}: {told}{_finishing(each)}"
    return f"not separated: {a} minus {b} is {effect(each)}; {on}{_shown(each)}{_finishing(each)}"


def _finishing(each: Contrast) -> str:
    """Return how many trials failed where the value says nothing of it, for the end of a sentence."""
    if each.finished is None:
        return ""
    a, b = each.a, each.b
    text = f"; failed: {a.label} {a.n_failed} of {a.n}, {b.label} {b.n_failed} of {b.n}"
    if not each.finished.separated:
        return text
    less = a if each.finished.favours == "b" else b
    despite = ", so that it is not called better" if each.separated and each.winner != each.favours else ""
    return f"{text}: {less.label} finishes significantly less often{despite}"


def lead(each: Contrast) -> str:
    """Return by what the favoured side leads, with its interval.

    The test of a skewed metric goes by ranks, and may favour a side that the median difference does not: then it is
    told how often that side is better.
    """
    if told_by_share(each):
        return share_of_wins(each)
    low, high = sorted(_for_favoured(each, end) for end in (each.low, each.high))
    centre, low_, high_ = (value(each.kind, end + 0.0) for end in (_for_favoured(each, each.difference), low, high))
    return f"{each.metric} {'higher' if each.direction == 'higher' else 'lower'} by {centre} [{low_}, {high_}]"


def told_by_share(each: Contrast) -> bool:
    """Whether the difference does not show what the test of a skewed metric says."""
    return each.kind == "skewed" and not _for_favoured(each, each.difference) > 0.0


def _for_favoured(each: Contrast, difference: float) -> float:
    """Return a difference a - b as how much better it makes the favoured side."""
    return difference if (each.favours == "a") == (each.direction == "higher") else -difference


def share_of_wins(each: Contrast, *, worse: bool = False) -> str:
    """Return how often the favoured side of a skewed metric is better, or the other one ``worse``."""
    share = each.improvement or _share(math.nan)
    centre, low, high = share["estimate"], share["low"], share["high"]
    wins = each.n10
    if each.favours == "b":
        centre, low, high, wins = 1.0 - centre, 1.0 - high, 1.0 - low, each.n01
    size = f"{'larger' if worse == (each.direction == 'lower') else 'smaller'} {each.metric}"
    if not each.paired:
        return f"the {size} in {percent(centre)} of all ways to take a trial of each"
    ties = ", ties as half" if each.n10 + each.n01 < each.n_pairs else ""
    told = f"{wins} of {each.n_pairs} pairs ({percent(centre)} [{percent(low)}, {percent(high)}]{ties})"
    if centre > 0.5:
        return f"the {size} in {told}"
    return f"the {size} in only {told}, but by more than where it is the other way round"


def pooled_words(each: LabelComparison) -> str:
    """Return what all problem cells together say, as a sentence."""
    if each.pooled is None:
        return ""
    result, least = each.pooled.result, each.pooled.detectable
    rates = each.kind == "rate"
    centre, low, high = result.estimate, result.low, result.high
    cells = f"{result.n_pairs} pairs in {result.n_cells} problem cells"
    shown = f" show {'differences' if rates else 'shares'} above {rate(least) if rates else percent(least)}"
    shown = "" if math.isnan(least) else shown
    if each.winner == "neither":
        despite = ""
        if each.pooled.separated:
            who = each.a if result.favours == "a" else each.b
            despite = f"; {who} finishes significantly less often, so that it is not called better"
        if rates:
            ends = f"{signed('rate', centre)} {each.metric} on average [{signed('rate', low)}, {signed('rate', high)}]"
            return f"not separated: {each.a} minus {each.b} is {ends}; {cells}{shown}{despite}"
        share = f"the better {each.metric} in {percent(centre)} of the pairs [{percent(low)}, {percent(high)}]"
        return f"not separated: {each.a} has {share}; {cells}{shown}{despite}"
    who, other = (each.a, each.b) if each.winner == "a" else (each.b, each.a)
    if each.winner == "b":
        whole = 0.0 if rates else 1.0
        centre, low, high = whole - centre, whole - high, whole - low
    if rates:
        led = f"{each.metric} higher by {rate(centre)} on average [{rate(low + 0.0)}, {rate(high + 0.0)}]"
    else:
        led = f"the better {each.metric} in {percent(centre)} of the pairs [{percent(low)}, {percent(high)}]"
    return f"{who} is better than {other}: {led}, {cells}"


def percent(share: float) -> str:
    """Return a share as text.

    >>> percent(0.1234)
    '12.3 %'
    """
    return f"{100.0 * share:.1f} %"


def change(each: Contrast) -> Literal["worse", "better", "identical", "not separated", "not compared"]:
    """Return what became of a label from the first run (b) to the second one (a)."""
    if each.same:
        return "identical"
    if _not_tested(each):
        return "not compared"
    if each.winner != "neither":
        return "better" if each.winner == "a" else "worse"
    return "not separated"


def change_words(each: Contrast) -> str:
    """Return what became of a label from the first run to the second one, as a sentence without its subject."""
    word = change(each)
    if word == "identical":
        return f"identical: {each.identical} of {each.common} trials give the same numbers"
    if word == "not compared":
        return f"not compared: {_not_tested(each)}"
    before, after = (value(each.kind, side.on_pairs) for side in (each.b, each.a))
    moved = f"{each.metric} {before} -> {after}, {effect(each, named=False)}"
    on = f"{each.n_pairs} pairs" if each.paired else _unpaired(each)
    if word != "not separated":
        if told_by_share(each):
            return f"{word}: {share_of_wins(each, worse=word == 'worse')}"
        return f"{word}: {moved}, {on}"
    same = f"; {each.identical} of {each.common} trials give the same numbers" if each.identical else ""
    return f"not separated: {moved}; {on}{_shown(each)}{same}"


def told_apart(each: Contrast) -> str:
    """Return which settings of two sides differ, as ``lr 0.1 -> 0.05``; empty where none does."""
    before, after = each.b.settings, each.a.settings
    names = [name for name in dict.fromkeys([*before, *after]) if before.get(name) != after.get(name)]
    return ", ".join(f"{name} {plain(before.get(name))} -> {plain(after.get(name))}" for name in names)


def _not_tested(each: Contrast) -> str:
    """Return why there is no test; empty where there is one."""
    if not math.isnan(each.p_value_raw):
        return ""
    for side in (each.a, each.b):
        if side.skipped:
            return f"{side.label} is skipped: {' '.join(side.skipped.split())}"
    empty = [side.label for side in (each.a, each.b) if not side.n]
    if empty:
        return f"no trial of {' and '.join(empty)}"
    return f"no trial of both has a value ({each.a.n_failed} of {each.a.n} and {each.b.n_failed} of {each.b.n} failed)"


def _unpaired(each: Contrast) -> str:
    return f"unpaired ({each.a.n} and {each.b.n} trials on different data)"


def _shown(each: Contrast) -> str:
    """Return what so many pairs would show, for a sentence that ends with their number."""
    if not each.paired:
        return ""
    if math.isnan(each.detectable):
        return "" if each.kind != "rate" else " are too few to show any difference"
    return f" show differences above {value(each.kind, each.detectable)}"


def effect(each: Contrast, *, named: bool = True) -> str:
    """Return the difference with its interval, and the metric's name where ``named``."""
    centre, low, high = (signed(each.kind, end) for end in (each.difference, each.low, each.high))
    return f"{centre} {each.metric} [{low}, {high}]" if named else f"{centre} [{low}, {high}]"


def value(kind: stats.paired.Kind, number_: float) -> str:
    """Return a value of a metric of a kind as text."""
    return rate(number_) if kind == "rate" else number(number_)


def signed(kind: stats.paired.Kind, end: float) -> str:
    """Return a difference of values of a metric of a kind as text."""
    text = value(kind, end + 0.0)  # + 0.0 makes -0 a 0
    return text if end < 0 or math.isnan(end) else f"+{text}"


# ---- JSON ------------------------------------------------------------------------------------------------------------


def verdict(better: Winner) -> str:
    """Return who is better, in one word for a program."""
    return {"a": "a is better", "b": "b is better", "neither": "not separated"}[better]


def as_json(each: Contrast) -> dict[str, Any]:
    """Return a comparison as a JSON object, but that its numbers may be infinite or NaN."""
    plain_ = asdict(each)
    for key in ("suite", "spread", "common", "direction", "values"):
        del plain_[key]
    plain_["finished"] = as_json(each.finished) if each.finished else None
    for key in ("a", "b"):
        plain_[key] = {**plain_[key], "settings": dict(plain_[key]["settings"])}
    return {**plain_, "common_trials": each.common}
