"""Put runs of the built-in suites into results/reference: `python benchmarks/reference.py FOLDER`.

FOLDER holds the runs, one per suite and seed, as `bench run SUITE --seed 0 --results FOLDER` and the same with
`--seed 1` leave them; results/reference itself will do, after a change of the code. Trials that the present suites
would not give are left out. Those of older code of the same version count as the present code's where that gives the
same bits: of each label the first trial of a few problem cells is replayed, and if any differs, or none can be
replayed, all trials of its method on that problem are left out. Bits are compared, so replay where the trials ran;
`ATEN_CPU_CAPABILITY=avx2` makes PyTorch on a newer CPU compute as on one with AVX2. Of the losses and errors along the
fits those of the first trials are kept: the rest would take most of the room.
"""

from __future__ import annotations

import argparse
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from bench_core.overrides import override
from bench_core.plan import Plan, make_plan
from bench_core.plugins import Plugins, PluginSources, load_plugins
from bench_core.replay import replay
from bench_core.results import stored
from bench_core.store import Run, newest_run, runs_of
from bench_core.suite import Suite, load_suite

REPO = Path(__file__).resolve().parent.parent
SEEDS = (0, 1)
PATHS = 20
"""Trials of a cell that keep their losses and errors."""


def main() -> None:
    """Read the command line and build every block that is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--confirm", type=int, metavar="TRIALS", help="trials per cell of the second block")
    parser.add_argument("--replay", type=int, default=2, metavar="CELLS", help="problem cells per label to replay in")
    parser.add_argument("--output", type=Path, default=REPO / "results" / "reference")
    arguments = parser.parse_args()
    plugins = load_plugins(PluginSources(checkout=REPO / "plugins"))
    for file in sorted((REPO / "suites").glob("*.yaml")):
        suite = load_suite(file)
        runs = [run for seed in SEEDS if (run := newest_run(arguments.folder, suite.name, seed, "cpu"))]
        if not runs:
            continue
        now = datetime.now(UTC)
        for run in runs:
            # The first block is the newest run, so that it is what a folder of results means.
            name = f"{now - timedelta(seconds=run.seed):%Y%m%dT%H%M%SZ}-s{run.seed}-cpu"
            target = arguments.output / suite.name
            made = Run(arguments.output / f".making-{name}" / name)
            shutil.rmtree(made.folder.parent, ignore_errors=True)
            fewer = arguments.confirm if run.seed else None
            block(override(suite, plugins, seed=run.seed, trials=fewer), plugins, run, made, arguments.replay)
            for old in [old for old in runs_of(target) if old.seed == run.seed]:
                shutil.rmtree(old.folder)
            target.mkdir(parents=True, exist_ok=True)
            made.folder.rename(target / name)
            made.folder.parent.rmdir()


def block(suite: Suite, plugins: Plugins, run: Run, target: Run, replayed: int) -> None:
    """Write the rows of one run that the present code and suite would give."""
    known = stored(suite, plugins, None, device="cpu", reference=[run])  # older code of the same version, too
    plan = make_plan(suite, plugins, chosen=known.chosen)
    order = {cell.cell_id: index for index, cell in reversed(list(enumerate(plan.cells)))}
    rows = run.rows().unique(["cell_id", "repeat"], keep="last", maintain_order=True)
    rows = renewed(rows.filter(pl.col("cell_id").is_in(list(order))), plan, plugins, run, replayed)
    paths = [name for name in rows.columns if name.startswith("path.")]
    rows = rows.with_columns(pl.when(pl.col("repeat") < PATHS).then(pl.col(name)) for name in paths)
    rows = rows.sort(pl.col("cell_id").replace_strict(order, return_dtype=pl.Int64), "repeat")
    target.folder.mkdir(parents=True)
    target.write_suite(suite.resolved())
    environments = run.environments()
    for env_id in rows["env_id"].unique().sort():
        target.add_environment(env_id, environments[env_id])
    (target.folder / "parts").mkdir()
    by_env = rows.partition_by("env_id", as_dict=True, maintain_order=True)
    for (env_id,), part in by_env.items():
        target.append("reference", part.drop("env_id").to_dicts(), str(env_id))
    target.compact()
    (target.folder / "parts").rmdir()
    done = stored(suite, plugins, target, device="cpu")
    lacking = {cell.label: len(gap) for i, cell in enumerate(plan.cells) if (gap := done.missing(i))}
    size = sum(path.stat().st_size for path in target.folder.rglob("*") if path.is_file()) / 1e6
    print(
        f"{suite.name}, seed {run.seed}: {len(rows)} trials, {size:.2f} MB"
        + (f"; lacking, per label: {lacking}" if lacking else "")
    )


def renewed(rows: pl.DataFrame, plan: Plan, plugins: Plugins, run: Run, replayed: int) -> pl.DataFrame:
    """Return the rows of the present code, and those of older code that gives the same, as the present code's."""
    now = {cell.cell_id: (cell.method_digest, cell.problem_digest) for cell in plan.cells}
    digests = pl.struct("method_digest", "problem_digest")
    present = pl.struct(
        *(
            pl.col("cell_id").replace_strict({cell: code[i] for cell, code in now.items()}).alias(name)
            for i, name in enumerate(("method_digest", "problem_digest"))
        )
    )
    older = rows.filter(digests != present)
    differing = []
    for (method, problem), group in older.group_by("method", "problem", maintain_order=True):
        if not same_bits(group, plan, plugins, run, replayed):
            print(f"{run.folder.name}: {method} on {problem}: {len(group)} trials of older code are left out")
            differing.append((method, problem))
    keys = rows.select("method", "problem").iter_rows()
    lost = pl.Series([key in differing for key in keys], dtype=pl.Boolean)
    return rows.filter((digests == present) | ~lost).with_columns(present.struct.unnest())


def same_bits(rows: pl.DataFrame, plan: Plan, plugins: Plugins, run: Run, replayed: int) -> bool:
    """Replay the first trial in some cells of each label, evenly spread; return whether all are as they were."""
    reasons = {cell.cell_id: cell.skipped for cell in plan.cells}
    skipped = rows.filter(pl.col("status") == "skipped").select("cell_id", "reason")
    ran = rows.filter(pl.col("status") != "skipped", pl.col("split") == "main").unique("cell_id", keep="first")
    first = dict(ran.select("cell_id", "trial_id").iter_rows())
    found = all(reasons[cell] == reason for cell, reason in skipped.iter_rows())
    chosen = []
    for label in plan.labels:
        cells = [cell for cell in plan.cells if cell.label == label and cell.cell_id in first]
        spread = {round(i * (len(cells) - 1) / max(1, replayed - 1)) for i in range(replayed)} if cells else set()
        chosen += [(label, first[cells[index].cell_id]) for index in sorted(spread)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # each replay has a worker process of its own
        replays = list(pool.map(lambda each: replay(run.folder, each[1], plugins, rtol=0.0), chosen))
    for (label, trial), again in zip(chosen, replays, strict=True):
        if not again.match:
            columns = ", ".join(each.column for each in again.differences)
            print(f"{label}, trial {trial}: another {columns}; " + "; ".join(again.notes))
        found &= again.match
    return found and bool(first or len(skipped))


if __name__ == "__main__":
    main()
