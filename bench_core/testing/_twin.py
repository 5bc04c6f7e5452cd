"""A second process that loads the same plugins and says what they give there."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import weakref
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench_core.plugins import PluginSources, load_plugins
from bench_core.testing.checks import ViolationError


class Twin:
    """Asks a fresh process, which is started on first use and lives as long as this object.

    Args:
        sources: what it loads.
    """

    def __init__(self, sources: PluginSources) -> None:
        self._sources = sources
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, where it does not run yet."""
        if self._process is not None:
            return
        # Another seed of Python's hash: who hangs on the order of a set gives other numbers there.
        environment = {**os.environ, "PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self._finalizer = weakref.finalize(self, _end, self._process)
        self._send(_as_json(self._sources))

    def ask(self, kind: str, name: str, problem: tuple[str, dict[str, Any]] | None, repeats: Sequence[int]) -> str:
        """Return the digest that the other process gets, or what it raised.

        Raises:
            ViolationError: the process ended.
        """
        self.start()
        try:
            self._send({"kind": kind, "name": name, "problem": problem, "repeats": list(repeats)})
            assert self._process is not None
            assert self._process.stdout is not None
            answer = self._process.stdout.readline()
            if not answer:
                raise self._ended()
            return str(json.loads(answer))
        except BaseException:  # the time-out of a check, too: the late answer must not become another subject's
            self.stop()
            raise

    def stop(self) -> None:
        """End it; the next question starts another one."""
        if self._process is not None:
            self._process = None
            self._finalizer()

    def _send(self, message: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            print(json.dumps(message), file=self._process.stdin, flush=True)
        except OSError:
            raise self._ended() from None

    def _ended(self) -> ViolationError:
        assert self._process is not None
        code = self._process.wait()
        self.stop()
        return ViolationError(
            "an answer from a process that loads the plugin anew",
            f"it ended with exit code {code}",
            "look for what runs at import or in a fit that ends a process, such as os._exit",
        )


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def _as_json(sources: PluginSources) -> dict[str, Any]:
    return {
        "folders": [str(path) for path in sources.folders],
        "files": [str(path) for path in sources.files],
        "blocked": sorted(sources.blocked),
        "checkout": str(sources.checkout) if sources.checkout else None,
    }


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Return a hash of names, types, shapes and bits."""
    state = hashlib.blake2b(digest_size=8)
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        state.update(f"{name} {array.dtype} {array.shape}".encode())
        state.update(array.tobytes())
    return state.hexdigest()


def main() -> None:
    """Answer one question per line until standard input ends."""
    from bench_core.execute.guard import standard
    from bench_core.testing._lab import fresh_digest
    from bench_core.testing._watch import watch
    from bench_core.testing.checks import describe

    said = json.loads(sys.stdin.readline())
    sources = PluginSources(
        folders=tuple(map(Path, said["folders"])),
        files=tuple(map(Path, said["files"])),
        blocked=frozenset(said["blocked"]),
        checkout=Path(said["checkout"]) if said["checkout"] else None,
    )
    with standard():
        plugins = watch(lambda: load_plugins(sources)).result
        for line in sys.stdin:
            asked = json.loads(line)
            try:
                problem = asked["problem"] and plugins.problems.get(asked["problem"][0])(**asked["problem"][1])
                kind, name, repeats = asked["kind"], asked["name"], asked["repeats"]
                answer = watch(partial(fresh_digest, plugins, kind, name, problem, repeats)).result
            except Exception as error:  # the other side says it
                answer = describe(error)
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
