"""Results that come with the program: of the built-in methods on the built-in suites, in two blocks of other seeds.

The first block is for everybody to look at and to compare with. The second one is for confirmation: nobody has tuned
anything on its trials.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from bench_core.plugins import checkout_root
from bench_core.store import RESERVED, Run, runs_of


def reference_runs(suite: str, cwd: Path) -> list[Run]:
    """Return the reference runs of a suite, the first block first.

    They are those of the checkout around ``cwd``, or else the installed ones.
    """
    root = checkout_root(cwd.resolve())
    folders = [root / "results" / RESERVED] if root else _installed()
    found = [run for folder in folders for run in runs_of(folder / suite) if run.suite_file.is_file()]
    return sorted(found, key=seed_of)


def seed_of(run: Run) -> int:
    """Return the root seed of a run, which its name tells."""
    return int(run.name.split("-")[1].removeprefix("s"))


def with_seed(suite: str, seed: int, cwd: Path) -> list[Run]:
    """Return the reference runs of a suite whose trials are those of ``seed``: none, or one."""
    return [run for run in reference_runs(suite, cwd) if seed_of(run) == seed]


def _installed() -> list[Path]:
    spec = importlib.util.find_spec("bench_reference")
    return [Path(place) for place in (spec.submodule_search_locations or []) if Path(place).is_dir()] if spec else []
