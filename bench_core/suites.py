"""Where suite files are: by path, in the checkout, or installed with the package."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from bench_core.errors import SuiteError, suggest
from bench_core.plugins import checkout_root


def builtin_suites(cwd: Path) -> list[Path]:
    """Return the suite files of the checkout around ``cwd``, or else the installed ones."""
    root = checkout_root(cwd.resolve())
    folders = [root / "suites"] if root and (root / "suites").is_dir() else _installed()
    return sorted(path for folder in folders for path in folder.glob("*.yaml"))


def find_suite(text: str, cwd: Path) -> Path:
    """Return the file of the suite called ``text``: a path, or the name of a built-in suite.

    Raises:
        SuiteError: when there is neither, naming the nearest built-in one.
    """
    path = Path(text)
    builtin = {path.stem: path for path in builtin_suites(cwd)}
    # A folder of results may well bear the name of its suite.
    if text in builtin and not path.is_file():
        return builtin[text]
    if path.exists():
        return path
    raise SuiteError(f"there is no suite {text!r}: no such file, and no built-in suite{suggest(path.stem, builtin)}")


def _installed() -> list[Path]:
    spec = importlib.util.find_spec("bench_suites")
    return [Path(place) for place in (spec.submodule_search_locations or []) if Path(place).is_dir()] if spec else []
