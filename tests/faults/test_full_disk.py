"""A disk that really fills, a folder that really is read-only: small file systems in memory, where root may mount."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from inject import FAULT, Fault


class Disk:
    """A small file system of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        _mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path))

    def remount(self, options: str) -> None:
        """Change its size, or whether it can be written."""
        _mount("-o", f"remount,{options}", str(self.path))

    def leave(self, free: int) -> None:
        """Fill it up but for ``free`` bytes."""
        usage = shutil.disk_usage(self.path)
        (self.path / "ballast").write_bytes(bytes(usage.free - free))

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    try:
        disk = Disk(tmp_path / "disk")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    yield disk
    disk.unmount()


@pytest.fixture
def there(toy, disk: Disk):
    """The suite, its results on the small disk."""
    (toy.folder / "results").symlink_to(disk.path / "results")
    (disk.path / "results").mkdir()
    return toy


def refused(ended, reason: str) -> None:
    assert ended.code == 2, ended
    assert ended.err.startswith("error: cannot write ") or ended.err.startswith("error: all trials are stored"), ended
    assert ended.err.count("\n") == 1
    assert reason in ended.err


@pytest.mark.parametrize(
    ("pages", "executor"), [(0, "inline"), (1, "inline"), (4, "processes"), (12, "inline"), (24, "processes")]
)
def test_a_disk_that_fills_up_costs_nothing(there, disk, undisturbed, pages, executor):
    disk.leave(pages * 4096)
    struck = there.run(executor=executor)
    refused(struck, "No space left on device; make room")
    assert list(disk.path.rglob("*.tmp")) == []
    stored = 0
    if list(there.results.glob("toy/*/suite.yaml")):
        stored = len(there.stored())
        assert there.damaged() == []
        assert there.bench("report").code == 0
    assert stored == 0 if pages <= 1 else stored > 0 if pages == 24 else True  # it fills up before, or in mid-run
    refused(there.run(), "No space left on device; make room")  # trying again without room does no harm
    disk.remount("size=8m")
    there.finish()
    assert there.export().equals(undisturbed)


def test_a_disk_without_room_for_one_file_of_all_trials_costs_none(there, disk, undisturbed):
    Fault("mark.mid-write", "kill").write(there.folder)
    assert there.run().code == -signal.SIGKILL  # all is done, and about to be compacted
    (there.folder / FAULT).unlink()
    disk.leave(3 * 4096)
    struck = there.run()
    refused(struck, "all trials are stored, but cannot be put into one file: cannot write to")
    assert there.export().equals(undisturbed)
    disk.remount("size=8m")
    there.finish()
    assert there.export().equals(undisturbed)
    assert not list(there.results.glob("toy/*/parts/*"))


def test_a_read_only_folder_is_a_message_and_can_be_read(there, disk, undisturbed):
    there.finish("--trials", "20")
    before = there.stored()
    disk.remount("ro")
    refused(there.run(), "Read-only file system; put that right")
    refused(there.run("--fresh"), "Read-only file system; put that right")
    assert there.stored().equals(before)
    assert there.bench("report").code == 0
    assert len(there.export()) == 3 * 20
    disk.remount("rw")
    there.finish()
    assert there.export().equals(undisturbed)


def test_a_read_only_disk_without_results_is_a_message(toy, disk):
    disk.remount("ro")
    refused(toy.run("--results", str(disk.path / "new")), "or choose another folder with --results")
