"""The share of memory that a worker gets, from whatever limits the machine or a container sets."""

from __future__ import annotations

import pytest
import torch

from bench_core.execute import cgroups, memory
from bench_core.execute.memory import GIB, Share, is_exhausted, share_of, usable

MEMINFO = "MemTotal:       8388608 kB\nMemFree:        1 kB\n"  # 8 GiB


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Return ``usable`` of a machine with 8 GiB, given the lines of its cgroup file and files below /sys/fs/cgroup."""
    monkeypatch.setattr(cgroups, "_ROOT", tmp_path / "sys")

    def look(lines: str, files: dict[str, str]) -> int | None:
        for name, text in {"meminfo": MEMINFO, "cgroup": lines}.items():
            (tmp_path / name).write_text(text)
        for name, text in files.items():
            (tmp_path / "sys" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "sys" / name).write_text(text)
        return usable(tmp_path / "meminfo", tmp_path / "cgroup")

    return look


@pytest.mark.parametrize(
    ("lines", "files", "gib"),
    [
        ("0::/\n", {}, 8),
        ("0::/a/b\n", {"a/b/memory.max": "max\n", "memory.max": "max\n"}, 8),
        ("0::/a/b\n", {"a/b/memory.max": f"{4 * GIB}\n"}, 4),
        ("0::/a/b\n", {"a/b/memory.max": "max\n", "a/memory.max": f"{3 * GIB}\n"}, 3),  # a limit further up
        ("0::/host/path\n", {"memory.max": f"{2 * GIB}\n"}, 2),  # in a container
        ("4:cpu:/x\n5:memory:/x\n0::/\n", {"memory/x/memory.limit_in_bytes": f"{GIB}\n"}, 1),  # version 1
        ("5:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712\n"}, 8),  # no limit, in version 1
    ],
)
def test_the_lowest_limit_counts(machine, lines, files, gib):
    assert machine(lines, files) == gib * GIB


def test_unknown_memory_sets_no_limit(tmp_path, monkeypatch):
    assert usable(tmp_path / "no", tmp_path / "no") is None
    monkeypatch.setattr(memory, "usable", lambda: None)
    assert share_of(2) is None


def test_workers_share_what_there_is_less_a_reserve(monkeypatch):
    monkeypatch.setattr(memory, "usable", lambda: 10 * GIB)
    assert share_of(2) == Share(int(4.5 * GIB), 2)
    assert str(share_of(2)) == "the 4.5 GiB that each of 2 workers has; --workers 1 gives it all"
    assert str(share_of(1)) == "the 9.0 GiB that there are for it"


def test_many_workers_on_a_small_machine_have_enough_to_start_with(monkeypatch):
    monkeypatch.setattr(memory, "usable", lambda: 10 * GIB)
    assert share_of(64) == Share(4 * GIB, 64)
    monkeypatch.setattr(memory, "usable", lambda: 2 * GIB)
    assert share_of(64) == Share(GIB, 64)


@pytest.mark.parametrize(
    ("lines", "files", "cores"),
    [
        ("0::/\n", {}, []),
        ("0::/a\n", {"a/cpu.max": "max 100000\n"}, []),
        ("0::/a/b\n", {"a/b/cpu.max": "250000 100000\n", "a/cpu.max": "50000 100000\n"}, [3, 1]),
        ("3:cpu,cpuacct:/\n", {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, [2]),
        ("3:cpu,cpuacct:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, []),
    ],
)
def test_a_quota_of_time_is_so_many_cores(machine, tmp_path, lines, files, cores):
    machine(lines, files)
    assert list(cgroups.cores(tmp_path / "cgroup")) == cores


@pytest.mark.parametrize(
    ("error", "exhausted"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes"), True),
        (RuntimeError("std::bad_alloc"), True),
        (OSError(12, "Cannot allocate memory"), True),
        (RuntimeError("cholesky: not positive definite"), False),
        (ValueError("not enough memory"), False),
    ],
)
def test_what_too_little_memory_looks_like(error, exhausted):
    assert is_exhausted(error) is exhausted
