"""Memory of workers: each has its share, so that a method that allocates without end harms nobody else."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench_core.execute import cgroups
from bench_core.execute.failure import message

__all__ = ["Share", "is_exhausted", "limit", "offer_first", "share_of", "usable"]

RESERVE = 0.1
"""Part of the memory that no worker gets: the main process and everyone else."""
FLOOR = 4 << 30
"""Bytes that each worker may use all the same, where the machine has twice as much: few need their share at once."""
FIRST_TO_GO = 800
"""Badness of a worker for the kernel's out-of-memory killer (0 to 1000): the main process must not be its choice."""
GIB = 1 << 30

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
    if found is None:
        return None
    # Many cores and little memory: a worker whose share is less than what torch and the data take is of no use.
    return Share(max(int(found * (1 - RESERVE)) // workers, min(found // 2, FLOOR)), workers)


def usable(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = cgroups.OWN) -> int | None:
    """Return the bytes that this process and its children may use: the machine's, or what its container allows."""
    known = [*_total(meminfo), *cgroups.memory(cgroup)]
    return min(known) if known else None


def offer_first() -> None:
    """Offer this process first where the machine runs out of memory."""
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write(str(FIRST_TO_GO))


def limit(share: Share | None) -> None:
    """Refuse this process more private memory than it has by now and its share."""
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
