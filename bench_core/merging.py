"""Results of several folders -> results of one: two machines, two days, one table.

What is not comparable is refused, or told apart by a number behind its label where the user insists.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from bench_core.adaptive import reaches
from bench_core.errors import BenchError
from bench_core.plan import Cell, Plan
from bench_core.results import Results
from bench_core.seeds import canonical
from bench_core.store import Run

if TYPE_CHECKING:
    from bench_core.plugins import Plugins


def merge(parts: Sequence[Results], plugins: Plugins, *, mix: bool = False) -> Results:
    """Return one table's results for one suite's results in several folders.

    The first folder's suite gives title, metrics and claims; labels and problem cells of the others are added. A trial
    that several folders hold counts once, as the first of them has it.

    Args:
        parts: results of suites of one name.
        plugins: where metrics are looked up.
        mix: take labels that are not comparable all the same, as labels of their own: ``mmd (2)`` is that of the second
            folder. They are paired with nothing but what has the same data.

    Raises:
        BenchError: seeds, versions, data, labels' parameters or dtypes differ, and not ``mix``.
    """
    first, *others = parts
    versions = [_versions(part) for part in parts]
    merged, conflicts, notes = first, list[_Conflict](), list[str]()
    for number, part in enumerate(others, 2):
        found = [
            conflict
            for earlier, declared in zip(parts[: number - 1], versions, strict=False)
            for conflict in _conflicts(earlier, declared, part, versions[number - 1])
        ]
        conflicts += found
        # What differs between whole folders, and not in single labels, sets all labels of the folder apart.
        apart = set(part.plan.labels) if any(not each.label for each in found) else {each.label for each in found}
        if apart:
            notes.append(f"({number}): {part.folder}.")
        known = {cell.problem_key for cell in merged.plan.cells}
        added = {cell.problem_key for cell in part.plan.cells} - known
        if added:
            notes.append(f"{len(added)} of the problem cells come from {part.folder} alone.")
        merged = _union(merged, _renamed(part, apart, number, taken=set(merged.plan.labels) | set(part.plan.labels)))
    told = list(dict.fromkeys(conflict.text for conflict in conflicts))
    if conflicts and not mix:
        shown = "\n  ".join(told)
        raise BenchError(
            f"suite {first.plan.suite.name!r}: these results do not belong into one table:\n  {shown}\n"
            "report the folders one by one, or give --mix to show such labels beside each other as labels of their own"
        )
    metric = plugins.metrics.get(merged.plan.suite.report.metric)
    also = (*merged.also, *notes, *(f"Not comparable: {text}." for text in told))
    return replace(merged, reaches=reaches(merged.plan, merged.frame, metric), also=also)


@dataclass(frozen=True)
class _Conflict:
    label: str
    """Whose trials are not comparable; empty where it is those of the whole folder."""
    text: str


_Versions = dict[tuple[str, str], set[str]]
"""(``method`` or ``problem``, its name) -> the versions that stored rows declare."""


def _conflicts(first: Results, mine: _Versions, other: Results, theirs: _Versions) -> Iterator[_Conflict]:
    """Yield why trials of ``other`` do not belong beside those of ``first``."""
    a, b = first.plan, other.plan
    where = f"in {first.folder}", f"in {other.folder}"
    if a.suite.seed != b.suite.seed:
        yield _Conflict("", f"seed {a.suite.seed} {where[0]}, seed {b.suite.seed} {where[1]}: these are other trials")
        return
    if lacking := set(a.suite.metrics) - set(b.suite.metrics):
        yield _Conflict("", f"{', '.join(sorted(lacking))} is measured {where[0]} and not {where[1]}")
    for kind, name in sorted(mine.keys() & theirs.keys()):
        if not mine[kind, name] & theirs[kind, name]:  # a folder may hold rows of older versions, too
            labels = [label for label, method in b.labels.items() if method == name] if kind == "method" else [""]
            versions = [" and ".join(sorted(each[kind, name])) for each in (mine, theirs)]
            for label in labels:
                yield _Conflict(
                    label, f"{kind} {name} is version {versions[0]} {where[0]} and {versions[1]} {where[1]}"
                )
    configured = {cell.label: cell for cell in a.cells if cell.split == "main"}
    dtypes = {_dtype(cell) for cell in configured.values()}
    for label, cell in {cell.label: cell for cell in b.cells if cell.split == "main"}.items():
        known = configured.get(label)
        if known is not None and (known.method, known.method_params) != (cell.method, cell.method_params):
            yield _Conflict(label, f"label {label} is {_difference(known, cell, where)}")
        elif known is None and dtypes and _dtype(cell) not in dtypes:
            yield _Conflict(label, f"label {label} computes in {_dtype(cell)} {where[1]}, all {where[0]} do not")
    yield from _other_data(first, other)


def _versions(results: Results) -> _Versions:
    found: _Versions = {}
    for kind, name, version in Run(results.folder).versions() if results.folder else ():
        found.setdefault((kind, name), set()).add(version)
    return found


def _difference(known: Cell, cell: Cell, where: tuple[str, str]) -> str:
    if known.method != cell.method:
        return f"{known.method} {where[0]} and {cell.method} {where[1]}"
    names = sorted(known.method_params.keys() | cell.method_params.keys())
    differing = [name for name in names if known.method_params.get(name) != cell.method_params.get(name)]
    values = [", ".join(f"{name} {params.get(name)}" for name in differing) for params in _params(known, cell)]
    return f"run with {values[0]} {where[0]} and {values[1]} {where[1]}"


def _params(*cells: Cell) -> list[dict[str, Any]]:
    return [dict(cell.method_params) for cell in cells]


def _dtype(cell: Cell) -> str:
    return str(cell.method_params.get("dtype", "float32"))


def _other_data(first: Results, other: Results) -> Iterator[_Conflict]:
    """Yield one conflict where trials of equal seed, problem and repeat saw other data."""
    a, b = (_digests(part) for part in (first, other))
    unequal = a.join(b, on=["problem", "repeat"], suffix="_b").filter(pl.col("digest") != pl.col("digest_b"))
    if len(unequal):
        problem, repeat = unequal.row(0)[:2]
        yield _Conflict(
            "",
            f"trial {repeat} of {problem} has other data in {first.folder} than in {other.folder}, and so have "
            f"{len(unequal) - 1} more",
        )


def _digests(results: Results) -> pl.DataFrame:
    """Return the digest of the data of every trial, once per problem cell and repeat."""
    keys = {index: cell.problem_key for index, cell in enumerate(results.plan.cells) if cell.split == "main"}
    rows = results.frame.filter(pl.col("cell").is_in(list(keys)) & pl.col("data_digest").is_not_null())
    return rows.select(
        problem=pl.col("cell").replace_strict(keys, default=None, return_dtype=pl.String),
        repeat="repeat",
        digest="data_digest",
    ).unique(["problem", "repeat"], keep="first", maintain_order=True)


def _renamed(results: Results, labels: set[str], number: int, taken: set[str]) -> Results:
    """Return ``results`` with a number behind each of ``labels``, such that no label of ``taken`` comes out."""
    names = {}
    for label in sorted(labels):
        free = (f"{label} ({number}{mark})" for mark in ("", *string.ascii_lowercase))
        names[label] = next(name for name in free if name not in taken)
    suite, plan = results.plan.suite, results.plan
    methods = [entry.model_copy(update={"label": names.get(entry.label, entry.label)}) for entry in suite.methods]
    cells = tuple(replace(cell, label=names.get(cell.label, cell.label)) for cell in plan.cells)
    undecided = tuple(names.get(label, label) for label in plan.undecided)
    return replace(
        results,
        plan=Plan(suite.model_copy(update={"methods": methods}), cells, undecided),
        selections=tuple(replace(each, label=names.get(each.label, each.label)) for each in results.selections),
    )


def _union(a: Results, b: Results) -> Results:
    """Return the cells and rows of both; what both have is that of ``a``."""
    entries = {entry.label: entry for entry in (*b.plan.suite.methods, *a.plan.suite.methods)}
    order = list(dict.fromkeys([*a.plan.labels, *b.plan.labels]))
    suite = a.plan.suite.model_copy(update={"methods": [entries[label] for label in order]})
    cells: dict[tuple[str, ...], Cell] = {}
    for cell in (*a.plan.cells, *b.plan.cells):
        known = cells.setdefault(_key(cell), cell)
        assert known.cell_id == cell.cell_id, f"{cell.label}: two configurations under one label"
        cells[_key(cell)] = replace(known, trials=max(known.trials, cell.trials))
    problems = _problems(a.plan, b.plan)
    ordered = sorted(cells.values(), key=lambda cell: (cell.split, problems[cell.problem_key], order.index(cell.label)))
    index = {_key(cell): position for position, cell in enumerate(ordered)}
    frames = [_moved(each, index) for each in (a, b)]
    rows = pl.concat(frames, how="diagonal")
    # The reference stands in only for what no folder has.
    own = rows.filter(~pl.col("reference"))["cell"].unique()
    rows = rows.filter(~pl.col("reference") | ~pl.col("cell").is_in(own.implode()))
    rows = rows.unique(["cell", "repeat"], keep="first").sort("cell", "repeat")
    return Results(
        plan=Plan(suite, tuple(ordered), tuple(dict.fromkeys((*a.plan.undecided, *b.plan.undecided)))),
        run=" + ".join(dict.fromkeys([a.run, b.run])),
        frame=rows,
        stale=a.stale + b.stale,
        environments={**b.environments, **a.environments},
        selections=tuple({each.label: each for each in (*b.selections, *a.selections)}.values()),
        damaged=(*a.damaged, *b.damaged),
        older=tuple(sorted({*a.older, *b.older})),
        also=tuple(dict.fromkeys((*a.also, *b.also))),
    )


def _key(cell: Cell) -> tuple[str, ...]:
    return cell.split, cell.problem_key, cell.label, canonical(cell.choice) if cell.split == "select" else ""


def _problems(a: Plan, b: Plan) -> dict[str, int]:
    """Return problem key -> place: the order of ``a``, or along x where ``b`` adds problem cells."""
    cells = {cell.problem_key: cell for cell in (*a.cells, *b.cells)}
    keys = list(cells)
    added = cells.keys() - {cell.problem_key for cell in a.cells}
    numbers = all(isinstance(cell.x, int | float) for cell in cells.values())
    if added and numbers and len({cell.problem for cell in cells.values()}) == 1:
        keys.sort(key=lambda key: float(cells[key].x))
    return {key: place for place, key in enumerate(keys)}


def _moved(results: Results, index: dict[tuple[str, ...], int]) -> pl.DataFrame:
    places = {old: index[_key(cell)] for old, cell in enumerate(results.plan.cells)}
    moved = pl.col("cell").replace_strict(places, default=None, return_dtype=pl.Int64) if places else pl.col("cell")
    return results.frame.with_columns(cell=moved)
