"""Whether the statistics keep their promises: coverage of intervals, and how often equal labels are called separated.

    python benchmarks/error_rates.py                    # everything: some minutes on one core
    python benchmarks/error_rates.py --part intervals   # one part
    python benchmarks/error_rates.py --quick            # does it run? few simulations, not for quoting

Parts: ``rates`` (exact coverage of Clopper-Pearson and Wilson), ``differences`` (exact coverage of Tango's interval),
``intervals`` (simulated coverage of means and medians), ``tables`` (tables of identical labels), ``looks`` (exact
errors of adaptive runs). Prints Markdown. Exact means: summed over all outcomes, nothing is drawn.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve
from scipy.special import bdtr, gammaln, ndtr, ndtri, xlog1py, xlogy
from scipy.stats import rankdata

from bench_core import stats

SIZES = (20, 100, 800)
LEVEL = 0.95
ALPHA = 0.05
MAXIMUM = 800
TOUCHING = 1e-12
"""The ends belong to the interval: a truth this close to one is inside but for rounding."""

Array = NDArray[np.float64]
Sampler = Callable[[np.random.Generator, int], Array]
Row = tuple[object, ...]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part; may be given again")
    parser.add_argument("--quick", action="store_true", help="few simulations and small sizes: not for quoting")
    options = parser.parse_args(arguments)
    for name in options.part or PARTS:
        print("\n".join(PARTS[name](options.quick)), flush=True)


# Rates


def binomial_mass(n: int, p: Array | float) -> Array:
    """P(successes = 0, ..., n), shape ``(..., n + 1)``."""
    k = np.arange(n + 1)
    log_ways = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    share = np.asarray(p, dtype=np.float64)[..., None]
    return np.asarray(np.exp(log_ways + xlogy(k, share) + xlog1py(n - k, -share)))


def rate_coverage(interval: Callable[[int, int, float], stats.Interval], n: int, level: float) -> tuple[float, float]:
    """Smallest and mean exact coverage over success probabilities 0.0005, 0.001, ..., 0.9995."""
    found = [interval(successes, n, level) for successes in range(n + 1)]
    low, high = np.array([i.low for i in found]), np.array([i.high for i in found])
    p = np.arange(1, 2000) / 2000
    # The coverage is smallest just outside an end: these belong to the smallest, not to the mean.
    edges = np.concatenate([low - 1e-9, high + 1e-9])
    edges = edges[(edges > 0) & (edges < 1)]

    def covered(p: Array) -> Array:
        return np.asarray((binomial_mass(n, p) * ((low <= p[:, None]) & (p[:, None] <= high))).sum(axis=1))

    on_grid = covered(p)
    return float(min(on_grid.min(), covered(edges).min())), float(on_grid.mean())


def rates(quick: bool) -> Iterator[str]:
    """Exact coverage of the intervals for one rate."""
    rows: list[Row] = []
    for n, level in product(SIZES[:2] if quick else SIZES, (0.9, LEVEL, 0.99)):
        exact, score = rate_coverage(stats.clopper_pearson, n, level), rate_coverage(stats.wilson, n, level)
        rows.append((n, f"{level:.0%}", *map(percent, (*exact, *score))))
    titles = ("n", "level", "Clopper-Pearson smallest", "mean", "Wilson smallest", "mean")
    return table("Exact coverage of a rate", titles, rows)


# Differences of rates


def rate_pairs(n: int, cells: int) -> Array:
    """Pairs (p10, p01), shape ``(k, 2)``: a grid of the triangle with its edges, and rare events, a few in n."""
    steps = np.arange(cells + 1) / cells
    inner = [(a, b) for a, b in product(steps, steps) if a >= b and a + b <= 1 + 1e-12]
    rare = np.array([0.02, 0.1, 0.25, 0.5, 1, 1.6, 2.6, 4, 6.5, 10]) / n
    rare = rare[rare < 0.5]
    outer = [(a, b) for a, b in product(rare, rare) if a >= b and a + b <= 1]
    outer += [(1 - a - b, a) for a, b in product(rare, rare) if a + b < 0.5]
    outer += [(1 - a, a) for a in rare] + [(a, 0.0) for a in rare]
    return np.array(inner + outer)


def tango_coverage(
    n: int, pairs: Array, settings: Iterable[tuple[float, bool]]
) -> dict[tuple[float, bool], tuple[float, float]]:
    """Smallest and mean exact coverage over the pairs, for each (level, continuity)."""
    x, y = (cell.ravel() for cell in np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij"))
    x, y = x[x + y <= n], y[x + y <= n]
    log_ways = gammaln(n + 1) - gammaln(x + 1) - gammaln(y + 1) - gammaln(n - x - y + 1)
    ends = {setting: tango_ends(n, *setting) for setting in settings}
    covered: dict[tuple[float, bool], list[float]] = {setting: [] for setting in ends}
    for p10, p01 in pairs:
        logs = log_ways + xlogy(x, p10) + xlogy(y, p01) + xlogy(n - x - y, max(0.0, 1 - p10 - p01))
        likely = logs > -50  # the others weigh less than 1e-16 in all
        mass, at = np.exp(logs[likely]), (x[likely], y[likely])
        truth = p10 - p01
        for setting, (low, high) in ends.items():
            inside = (low[at] <= truth + TOUCHING) & (truth - TOUCHING <= high[at])
            covered[setting].append(float(mass[inside].sum()))
    return {setting: (min(values), float(np.mean(values))) for setting, values in covered.items()}


def tango_ends(n: int, level: float, continuity: bool) -> tuple[Array, Array]:
    """Ends for all (n10, n01), shape ``(n + 1, n + 1)``; swapping the labels mirrors them."""
    low, high = np.full((n + 1, n + 1), np.nan), np.full((n + 1, n + 1), np.nan)
    for n10 in range(n + 1):
        for n01 in range(min(n10, n - n10) + 1):
            interval = stats.tango(n10, n01, n, level, continuity=continuity)
            low[n10, n01], high[n10, n01] = interval.low, interval.high
            low[n01, n10], high[n01, n10] = -interval.high, -interval.low
    return low, high


def differences(quick: bool) -> Iterator[str]:
    """Exact coverage of Tango's interval."""
    levels = (0.9, LEVEL, 0.99, 0.9995)
    rows: list[Row] = []
    for n in (20,) if quick else SIZES:
        pairs = rate_pairs(n, 20)
        found = tango_coverage(n, pairs, list(product(levels, (True, False))))
        rows += [(n, f"{x:.2%}", *map(percent, (*found[x, True], *found[x, False]))) for x in levels]
    titles = ("n", "level", "`tango` smallest", "mean", "as published smallest", "mean")
    return table("Exact coverage of a paired difference of rates", titles, rows)


# Means and medians


def failing(sampler: Sampler, share: float) -> Sampler:
    """The sampler with this share of its values replaced by failures."""

    def sample(rng: np.random.Generator, n: int) -> Array:
        return np.where(rng.random(n) < share, math.inf, sampler(rng, n))

    return sample


def normal(rng: np.random.Generator, n: int) -> Array:
    return rng.normal(size=n)


def lognormal(rng: np.random.Generator, n: int) -> Array:
    return rng.lognormal(size=n)


def heavy_tailed(rng: np.random.Generator, n: int) -> Array:
    return rng.standard_t(3, size=n)


def tied(rng: np.random.Generator, n: int) -> Array:
    return rng.poisson(1.0, size=n).astype(np.float64)


def lognormal_quantiles(share: float, first: float, last: float, steps: int = 200_000) -> float:
    """Mean of the quantiles from ``first`` to ``last`` of a lognormal of which this share fails."""
    at = first + (last - first) * (np.arange(steps) + 0.5) / steps
    return float(np.exp(ndtri(at / (1 - share))).mean())


CASES: Mapping[str, tuple[Callable[[Array], stats.Interval], Sampler, float]] = {
    "`student_t`, normal": (stats.student_t, normal, 0.0),
    "`student_t`, t with 3 d.f.": (stats.student_t, heavy_tailed, 0.0),
    "`student_t`, lognormal": (stats.student_t, lognormal, math.exp(0.5)),
    "`median`, lognormal": (stats.median, lognormal, 1.0),
    "`median`, Poisson(1): many ties": (stats.median, tied, 1.0),
    "`median`, lognormal, 20 % failures": (stats.median, failing(lognormal, 0.2), float(np.exp(ndtri(0.5 / 0.8)))),
}
"""Name -> interval, sampler, truth."""

BOOTSTRAPS: Mapping[str, tuple[Callable[[Array], stats.Interval], Sampler, float]] = {
    "`bca` of the mean, lognormal": (lambda values: stats.bca(values, "mean"), lognormal, math.exp(0.5)),
    "`interquartile_mean`, lognormal, 20 % failures": (
        stats.interquartile_mean,
        failing(lognormal, 0.2),
        lognormal_quantiles(0.2, 0.25, 0.75),
    ),
}


def simulated_coverage(
    interval: Callable[[Array], stats.Interval], sampler: Sampler, truth: float, n: int, simulations: int
) -> int:
    """How many of the simulated intervals cover the truth."""
    rng = np.random.default_rng([n, simulations])
    found = (interval(sampler(rng, n)) for _ in range(simulations))
    return sum(one.low <= truth <= one.high for one in found)


def intervals(quick: bool) -> Iterator[str]:
    """Simulated coverage of the intervals for means and medians."""
    rows: list[Row] = []
    for cases, simulations in ((CASES, 100 if quick else 5000), (BOOTSTRAPS, 20 if quick else 1000)):
        for name, (interval, sampler, truth) in cases.items():
            shares = [simulated_coverage(interval, sampler, truth, n, simulations) / simulations for n in SIZES]
            errors = [math.sqrt(share * (1 - share) / simulations) for share in shares]
            cells = [f"{percent(share)} ± {100 * error:.2f}" for share, error in zip(shares, errors, strict=True)]
            rows.append((name, simulations, *cells))
    titles = ("interval, values", "simulations", *(f"n = {n}" for n in SIZES))
    return table("Simulated coverage of 95 % intervals, ± one standard error", titles, rows)


# Tables of identical labels


@cache
def mcnemar(n10: int, n01: int, n: int) -> stats.PairedTest:
    """The public test on vectors with these counts: 180 000 comparisons have few distinct ones."""
    only_a, only_b = np.arange(n) < n10, np.arange(n) >= n - n01
    return stats.mcnemar_exact(only_a, only_b)


def anything_separated(tests: Mapping[int, stats.PairedTest], pairs: int) -> bool:
    """Whether a table with these tests, as it is reported, calls any two labels separated.

    Tests that are not among these have p-values far above ``ALPHA / pairs``: they enter as 1, and change nothing, since
    Holm's procedure rejects nothing unless its smallest p-value is at most that.
    """
    p_values = np.ones(pairs)
    for at, test in tests.items():
        p_values[at] = test.p_value
    adjusted = stats.holm(p_values)
    return any(stats.separated(test, float(adjusted[at]), ALPHA) for at, test in tests.items())


def rate_tables(labels: int, trials: int, rate: float, spread: float, tables: int) -> int:
    """How many tables of identical labels are in error; each trial has a difficulty that all labels share."""
    rng = np.random.default_rng([labels, trials, round(1000 * rate), round(1000 * spread)])
    wrong = 0
    for _ in range(tables):
        chance = np.clip(rate + spread * rng.uniform(-1, 1, size=trials), 0, 1)
        success = (rng.random((labels, trials)) < chance).astype(np.int64)
        only = (success @ (1 - success).T).tolist()  # (labels, labels) trials on which only the first succeeds
        pairs = list(combinations(range(labels), 2))
        tests = {at: mcnemar(only[a][b], only[b][a], trials) for at, (a, b) in enumerate(pairs)}
        wrong += anything_separated(tests, len(pairs))
    return wrong


def error_tables(labels: int, trials: int, failures: float, tables: int, unlikely: float = 20.0) -> int:
    """The same for lognormal errors, of which this share are failures.

    The public test is run on those pairs whose p-value, by the normal curve, is at most ``unlikely`` times the smallest
    that Holm's procedure rejects first: all others are far from it.
    """
    rng = np.random.default_rng([labels, trials, round(1000 * failures)])
    first, second = np.triu_indices(labels, 1)
    wrong = 0
    for _ in range(tables):
        errors = np.exp(rng.normal(size=trials) + rng.normal(size=(labels, trials)))
        errors[rng.random((labels, trials)) < failures] = math.inf
        likely = np.flatnonzero(_normal_p(errors[first], errors[second]) <= unlikely * ALPHA / first.size)
        tests = {int(at): stats.wilcoxon(errors[first[at]], errors[second[at]]) for at in likely}
        wrong += anything_separated(tests, first.size)
    return wrong


def _normal_p(a: Array, b: Array) -> Array:
    """Roughly the two-sided p-value of the signed-rank test of each row, shape ``(rows,)``."""
    differences = np.subtract(a, b, out=np.zeros_like(a), where=a != b)
    zeros = (differences == 0).sum(axis=1, keepdims=True)
    ranks = np.where(differences == 0, 0.0, rankdata(np.abs(differences), axis=1) - zeros)
    spread = np.sqrt((ranks**2).sum(axis=1))
    balance = np.abs((np.sign(differences) * ranks).sum(axis=1))
    return np.asarray(2 * ndtr(-balance / np.maximum(spread, 1.0)))


RATE_SCENARIOS = {
    "successes, rate 0.5 ± 0.5": (100, 0.5, 0.5),
    "successes, rate 0.5, independent": (400, 0.5, 0.0),
    "successes, rate 0.9 ± 0.1": (100, 0.9, 0.1),
    "successes, rate 0.2 ± 0.2": (20, 0.2, 0.2),
}
"""Name -> trials, rate, spread of the trials' difficulty around it."""

ERROR_SCENARIOS = {"errors": (100, 0.0), "errors, 20 % failures": (100, 0.2), "errors, few trials": (20, 0.0)}
"""Name -> trials, share of failures."""


def tables(quick: bool) -> Iterator[str]:
    """Share of tables of identical labels in which anything is called separated."""
    drawn = 20 if quick else 2000
    sizes = (4,) if quick else (4, 10, 14)
    rows: list[Row] = []
    for name, (trials, rate, spread) in RATE_SCENARIOS.items():
        rows.append((name, trials, *(_share(rate_tables(k, trials, rate, spread, drawn), drawn) for k in sizes)))
    for name, (trials, failures) in ERROR_SCENARIOS.items():
        rows.append((name, trials, *(_share(error_tables(k, trials, failures, drawn), drawn) for k in sizes)))
    titles = ("tables of", "trials", *(f"{k} labels" for k in sizes))
    title = f"Tables of identical labels, of {drawn}, in which anything is called separated (nominal: at most 5 %)"
    return table(title, titles, rows)


def _share(wrong: int, drawn: int) -> str:
    interval = stats.clopper_pearson(wrong, drawn)
    return f"{error_percent(interval.estimate)} ({error_percent(interval.low)} to {error_percent(interval.high)})"


# Adaptive runs


def rate_path(p: float, planned: Sequence[int], level: float, half_width: float) -> tuple[float, float]:
    """Exact probability that the reported interval misses p, and that any interval on the way does.

    The run stops at the first look whose Clopper-Pearson interval has at most this half-width.
    """
    reached = np.ones(1)  # P(successes, still running)
    clean = np.ones(1)  # the same, and no interval has missed so far
    reported = never = 0.0
    before = 0
    for look in planned:
        step = binomial_mass(look - before, p)
        reached, clean, before = np.convolve(reached, step), np.convolve(clean, step), look
        low, high = _rate_ends(look, level)
        missed = (p < low) | (high < p)
        stopping = (high - low <= 2 * half_width) | (look == planned[-1])
        clean = np.where(missed, 0.0, clean)
        reported += reached[stopping & missed].sum()
        never += clean[stopping].sum()
        reached, clean = np.where(stopping, 0.0, reached), np.where(stopping, 0.0, clean)
    return float(reported), float(1 - never)


@cache
def _rate_ends(n: int, level: float) -> tuple[Array, Array]:
    found = [stats.clopper_pearson(successes, n, level) for successes in range(n + 1)]
    return np.array([i.low for i in found]), np.array([i.high for i in found])


def mcnemar_path(discordance: float, planned: Sequence[int], threshold: float) -> float:
    """Exact probability that McNemar's raw p-value of two equal labels is at most the threshold at any look."""
    kept = np.ones((1, 1))  # P(n10, n01, not rejected so far)
    before = 0
    for look in planned:
        kept = np.maximum(0.0, fftconvolve(kept, _trinomial(look - before, discordance)))
        n10, n01 = np.meshgrid(np.arange(look + 1), np.arange(look + 1), indexing="ij")
        smaller, discordant = np.minimum(n10, n01), n10 + n01
        p_value = np.minimum(1.0, 2.0 * bdtr(smaller, np.maximum(discordant, 2 * smaller), 0.5))
        kept[(p_value <= threshold) & (discordant >= stats.MIN_DISCORDANT)] = 0.0
        before = look
    return float(1 - kept.sum())


def _trinomial(n: int, discordance: float) -> Array:
    """P(n10, n01) for two equal labels, shape ``(n + 1, n + 1)``."""
    x, y = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    rest = n - x - y
    possible = np.maximum(rest, 0)
    logs = gammaln(n + 1) - gammaln(x + 1) - gammaln(y + 1) - gammaln(possible + 1)
    logs = logs + xlogy(x + y, discordance / 2) + xlogy(possible, 1 - discordance)
    return np.asarray(np.where(rest >= 0, np.exp(np.where(rest >= 0, logs, -np.inf)), 0.0))


def looks(quick: bool) -> Iterator[str]:
    """Exact errors of adaptive runs, with and without paying for the looks."""
    maximum = 200 if quick else MAXIMUM
    schedules = {"doubling": stats.looks(maximum), "every 50": tuple(range(50, maximum + 1, 50))}
    p = np.arange(1, 20 if quick else 200) / (20 if quick else 200)
    rows: list[Row] = []
    for name, planned in schedules.items():
        honest = stats.path_level(LEVEL, len(planned))
        for half_width in (0.05, 0.1):
            paths = [rate_path(x, planned, level, half_width) for level in (honest, LEVEL) for x in p.tolist()]
            worst = np.array(paths).reshape(2, len(p), 2).max(axis=1)  # (honest or naive, reported or any)
            case = f"rate, stops at a half-width of {half_width}: any interval on the way misses"
            rows.append((case, name, len(planned), error_percent(worst[0, 1]), error_percent(worst[1, 1])))
            case = f"rate, stops at a half-width of {half_width}: the reported interval misses"
            rows.append((case, name, len(planned), error_percent(worst[0, 0]), error_percent(worst[1, 0])))
        for discordance in (0.2, 1.0):
            # path_p_value(p, k) <= alpha is p <= alpha / k
            errors = (mcnemar_path(discordance, planned, ALPHA / k) for k in (len(planned), 1))
            case = f"McNemar, stops when separated, {discordance:.0%} discordant"
            rows.append((case, name, len(planned), *map(error_percent, errors)))
    titles = ("error", "looks", "number", "with `path_level`, `path_p_value`", "naive 5 % at each look")
    return table(f"Exact errors over a path of looks up to {maximum} trials, largest over the rates", titles, rows)


# Output


def percent(share: float) -> str:
    """A coverage as a percentage, rounded down: it must not look better than it is."""
    return f"{math.floor(share * 1e4 + 1e-6) / 100:.2f} %"


def error_percent(share: float) -> str:
    """An error as a percentage, rounded up."""
    return f"{math.ceil(share * 1e4 - 1e-6) / 100:.2f} %"


def table(title: str, titles: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    """Lines of a Markdown table under a heading."""
    yield f"\n### {title}\n"
    yield "| " + " | ".join(titles) + " |"
    yield "|" + " --- |" * len(titles)
    for row in rows:
        yield "| " + " | ".join(map(str, row)) + " |"


PARTS: Mapping[str, Callable[[bool], Iterator[str]]] = {
    "rates": rates,
    "differences": differences,
    "intervals": intervals,
    "tables": tables,
    "looks": looks,
}

if __name__ == "__main__":
    main()
