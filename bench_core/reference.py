"""Results that come with the program: of the built-in methods on the built-in suites, in two blocks of other seeds.

The first block is for everybody to look at and to compare with. The second one is for confirmation: nobody has tuned
anything on its trials.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench_core import NUMERICS_VERSION
from bench_core.plan import make_plan
from bench_core.plugins import checkout_root
from bench_core.results import stored
from bench_core.store import RESERVED, Run, runs_of
from bench_core.suite import load_suite

if TYPE_CHECKING:
    from bench_core.plugins import Plugins
    from bench_core.suite import Suite


def reference_runs(suite: str, cwd: Path) -> list[Run]:
    """Return the reference runs of a suite, the first block first.

    They are those of the checkout around ``cwd``, or else the installed ones.
    """
    found = [run for folder in _folders(cwd) for run in runs_of(folder / suite) if run.suite_file.is_file()]
    return sorted(found, key=lambda run: run.seed)


def all_reference_runs(cwd: Path) -> list[Run]:
    """Return the reference runs of all suites."""
    suites = sorted({path.name for folder in _folders(cwd) if folder.is_dir() for path in folder.iterdir()})
    return [run for suite in suites for run in reference_runs(suite, cwd)]


def _folders(cwd: Path) -> list[Path]:
    root = checkout_root(cwd.resolve())
    own = root / "results" / RESERVED if root else None
    return [own] if own and own.is_dir() else _installed()


def with_seed(suite: str, seed: int, cwd: Path) -> list[Run]:
    """Return the reference runs of a suite whose trials are those of ``seed``: none, or one."""
    return [run for run in reference_runs(suite, cwd) if run.seed == seed]


@dataclass(frozen=True)
class Age:
    """How the reference results of one block stand to the present code."""

    trials: int
    stale: tuple[str, ...]
    """What declares another version than the results were computed with, and what has no results."""
    changed: tuple[str, ...]
    """What has another source under the same version: no reason to compute anew, but good to know."""


def age(run: Run, suite: Suite, plugins: Plugins) -> Age:
    """Compare the rows of a reference run with what ``suite`` and the present code would give.

    How many trials a block has is said by the suite that is stored with it: the second one may have fewer.
    """
    run.check_suite()
    block = load_suite(run.suite_file, stored=True)
    known = stored(block, plugins, None, device="cpu", reference=[run])
    plan = known.plan
    wanted = make_plan(suite.model_copy(update={"seed": run.seed}), plugins, chosen=known.chosen)
    missing = [cell.label for index, cell in enumerate(plan.cells) if known.missing(index)]
    planned = {cell.cell_id for cell in plan.cells}
    missing += [*plan.undecided, *(cell.label for cell in wanted.cells if cell.cell_id not in planned)]
    columns = ["method", "method_version", "method_digest", "problem", "problem_version", "problem_digest"]
    rows = run.rows(only=[*columns, "spec"])
    methods = {cell.method: (cell.method_version, cell.method_digest) for cell in plan.cells}
    problems = {cell.problem: (cell.problem_version, cell.problem_digest) for cell in plan.cells}
    stale: dict[str, None] = {}
    changed: dict[str, None] = {}
    for row in rows.unique(columns, keep="first", maintain_order=True).iter_rows(named=True):
        for kind, now in (("method", methods), ("problem", problems)):
            name = row[kind]
            version, digest = now.get(name, (None, None))
            if version is not None and row[f"{kind}_version"] != version:
                stale[f"{kind} {name} is version {version}, its results are of {row[f'{kind}_version']}"] = None
            elif version is not None and row[f"{kind}_digest"] != digest:
                changed[f"the source of {kind} {name}, or of what scores it, has changed under the same version"] = None
        numerics = json.loads(row["spec"])["numerics"]
        if numerics != NUMERICS_VERSION:
            stale[f"the numeric core is version {NUMERICS_VERSION}, the results are of {numerics}"] = None
    for line in known.also:
        stale[line.rstrip(".")] = None
    if missing:
        stale[f"trials of the suite have no results: {', '.join(dict.fromkeys(missing))}"] = None
    return Age(len(rows), tuple(stale), tuple(changed))


def _installed() -> list[Path]:
    spec = importlib.util.find_spec("bench_reference")
    return [Path(place) for place in (spec.submodule_search_locations or []) if Path(place).is_dir()] if spec else []
