"""Memory of workers: each has its share, so that a method that allocates without end harms nobody else."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench_core.execute.failure import message

__all__ = ["Share", "is_exhausted", "limit", "share_of", "usable"]

RESERVE = 0.1
"""Part of the memory that no worker gets: the main process and everyone else."""
FIRST_TO_GO = 800
"""Badness of a worker for the kernel's out-of-memory killer (0 to 1000): the main process must not be its choice."""
GIB = 1 << 30

_CGROUPS = Path("/sys/fs/cgroup")
_REFUSALS = re.compile(
    r"can't allocate memory|not enough memory|cannot allocate memory|bad_alloc|std::length_error", re.I
)


@dataclass(frozen=True)
class Share:
    """The memory that each of some workers may use beside what Python and torch themselves take."""

    size: int
    """Bytes."""
    workers: int

    def __str__(self) -> str:
        amount = f"{self.size / GIB:.1f} GiB"
        if self.workers == 1:
            return f"the {amount} that there are for it"
        return f"the {amount} that each of {self.workers} workers has; --workers 1 gives it all"


def share_of(workers: int) -> Share | None:
    """Return what each of ``workers`` processes may use, or None where the memory of the machine is unknown."""
    found = usable()
    return None if found is None else Share(int(found * (1 - RESERVE)) // workers, workers)


def usable(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = Path("/proc/self/cgroup")) -> int | None:
    """Return the bytes that this process and its children may use: the machine's, or what its container allows."""
    known = [*_total(meminfo), *_limits(cgroup)]
    return min(known) if known else None


def limit(share: Share | None) -> None:
    """Refuse this process more private memory than its share, and offer it first where the machine runs out."""
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write(str(FIRST_TO_GO))
    if share is None:
        return
    with suppress(ImportError, OSError, ValueError):
        import resource

        # Data, and not address space: PyTorch reserves a lot that it never touches.
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        allowed = _data() + share.size
        resource.setrlimit(resource.RLIMIT_DATA, (allowed if hard < 0 else min(allowed, hard), hard))


def is_exhausted(error: BaseException) -> bool:
    """Return whether ``error`` says that there was too little memory."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # The CPU's allocator has no error of its own; and a process that cannot fork for want of memory raises OSError.
    return isinstance(error, RuntimeError | OSError) and _REFUSALS.search(message(error)) is not None


def _data() -> int:
    """Return the bytes of private memory that this process has by now."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[5]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _total(meminfo: Path) -> Iterator[int]:
    with suppress(OSError, ValueError, IndexError):
        lines = meminfo.read_text(encoding="ascii").splitlines()
        yield from (int(line.split()[1]) << 10 for line in lines if line.startswith("MemTotal:"))


def _limits(cgroup: Path) -> Iterator[int]:
    """Yield the limits of the control groups, of both versions, that this process is in, and of those above."""
    try:
        lines = cgroup.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        root, name = (_CGROUPS / "memory", "memory.limit_in_bytes") if controllers else (_CGROUPS, "memory.max")
        own = root / path.lstrip("/")
        # Inside a container the path may be the host's: then only the root exists, and it is the container's.
        for folder in [own, *(parent for parent in own.parents if parent.is_relative_to(root))]:
            with suppress(OSError, ValueError):  # no such file, or "max"
                yield int((folder / name).read_text(encoding="ascii"))
