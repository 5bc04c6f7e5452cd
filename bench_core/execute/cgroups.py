"""What control groups, of both versions, allow this process: its container's limits, or its batch job's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["OWN", "cores", "memory"]

OWN = Path("/proc/self/cgroup")
_ROOT = Path("/sys/fs/cgroup")


def memory(cgroup: Path = OWN) -> Iterator[int]:
    """Yield the limits of memory, in bytes, of the groups that this process is in, and of those above."""
    for folder, first in _folders("memory", cgroup):
        with suppress(OSError, ValueError):  # no such file, or "max"
            yield int(_read(folder / ("memory.limit_in_bytes" if first else "memory.max")))


def cores(cgroup: Path = OWN) -> Iterator[int]:
    """Yield how many cores the same groups may keep busy, where they have a quota of time; at least 1."""
    for folder, first in _folders("cpu", cgroup):
        with suppress(OSError, ValueError):  # as above
            if first:
                quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
            else:
                quota, period = _read(folder / "cpu.max").split()
            if int(quota) > 0 and int(period) > 0:  # -1: no limit
                yield max(1, -(-int(quota) // int(period)))


def _folders(controller: str, cgroup: Path) -> Iterator[tuple[Path, bool]]:
    """Yield the folders of the groups, and whether they are of version 1."""
    try:
        lines = cgroup.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = _ROOT / controller if controllers else _ROOT
        own = root / path.lstrip("/")
        # Inside a container the path may be the host's: then only the root exists, and it is the container's.
        for folder in [own, *(parent for parent in own.parents if parent.is_relative_to(root))]:
            yield folder, bool(controllers)


def _read(path: Path) -> str:
    return path.read_text(encoding="ascii")
