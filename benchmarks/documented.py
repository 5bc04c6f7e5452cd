"""Put what commands print into the documents that show it: `python benchmarks/documented.py docs/alon2022.md`.

In every block of the kind `console`, what follows a line `$ bench …` is replaced by what that command prints now. No
number in such a document is typed by hand; a test runs the same commands and compares.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
COLUMNS = 100
BLOCK = re.compile(r"(?<=^```console\n)(.*?)(?=^```$)", re.DOTALL | re.MULTILINE)

Run = Callable[[list[str]], str]
"""Arguments of `bench` -> what it prints on standard output."""


def refreshed(text: str, run: Run) -> str:
    """Return a document with what its commands print."""
    return BLOCK.sub(lambda block: _block(block[1], run), text)


def _block(block: str, run: Run) -> str:
    lines = []
    for line in block.splitlines():
        if not line.startswith("$ bench "):
            continue  # printed by the command above
        printed = run(shlex.split(line, comments=True)[2:])
        lines += [line, *(each.rstrip() for each in printed.strip("\n").splitlines())]
    return "".join(f"{line}\n" for line in lines)


def bench(arguments: list[str]) -> str:
    """Run `bench` in the checkout; a verdict that is not support is no error."""
    code = "from bench_core.cli import main; main()"
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "NO_COLOR": "1"}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=REPO, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"bench {shlex.join(arguments)} ended with exit code {done.returncode}")
    return done.stdout


def main() -> None:
    """Read the command line and refresh every document that is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", type=Path, nargs="+")
    for document in parser.parse_args().documents:
        text = document.read_text(encoding="utf-8")
        document.write_text(refreshed(text, bench), encoding="utf-8")


if __name__ == "__main__":
    main()
