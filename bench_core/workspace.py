"""A batch's own folder: checkpoints to resume from, and artifacts to keep."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_core.errors import BenchError

if TYPE_CHECKING:
    import torch


GO_ON = "run the same command again: everything finished before is stored"
"""What to do once the disk can be written again."""


class Workspace:
    """Where a fit that runs for hours keeps what it must not lose.

    The folder depends on the batch alone: the same batch, run again after a kill, finds its checkpoint here. The
    checkpoint goes when the batch is stored; artifacts stay.

    Args:
        folder: made on first use. None: nothing is kept, as for trials that nobody stores.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def save_checkpoint(self, tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any]) -> None:
        """Replace the checkpoint at once: tensors and a JSON state, never half-written, never a pickle.

        Raises:
            BenchError: when it cannot be written, since going on without would risk hours.
        """
        from safetensors.torch import save

        if self._folder is None:
            return
        contiguous = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
        text = json.dumps(state)
        content = save(contiguous, {"state": text, "digest": _digest(contiguous, text)})
        try:
            write_atomically(self._checkpoint, content)
        except OSError as error:
            raise self._refused("a checkpoint", error) from None

    def load_checkpoint(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """Return the last checkpoint (tensors on the CPU, state), or None where there is none.

        One that was damaged is set aside, and the fit begins anew: it costs time, and never a number.

        Raises:
            BenchError: when a damaged checkpoint cannot be set aside.
        """
        from safetensors import SafetensorError

        if self._folder is None or not self._checkpoint.exists():
            return None
        try:
            return _read_checkpoint(self._checkpoint)
        except (SafetensorError, OSError, ValueError, LookupError):
            pass
        try:
            set_aside_file(self._checkpoint)
        except OSError as error:
            raise self._refused("a name for a damaged checkpoint", error) from None
        return None

    def artifact(self, name: str) -> Path | None:
        """Return the path to write the artifact ``name`` to (a plain file name), or None where none is kept."""
        if Path(name).name != name or name.startswith("."):
            raise ValueError(f"an artifact's name must be a plain file name, got {name!r}")
        if self._folder is None:
            return None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._refused("an artifact", error) from None
        return self._folder / name

    def clear_checkpoint(self) -> None:
        """Remove the checkpoints of a finished batch, damaged ones too, and the folder where nothing else is in it."""
        if self._folder is None or not self._folder.exists():
            return
        remove_leftovers(self._folder)
        for path in self._folder.glob(f"{self._checkpoint.name}*"):
            path.unlink()
        if not any(self._folder.iterdir()):
            self._folder.rmdir()

    def _refused(self, what: str, error: OSError) -> BenchError:
        return BenchError(f"cannot write {what} to {self._folder}: {reason_and_cure(error)}, then {GO_ON}")

    @property
    def _checkpoint(self) -> Path:
        assert self._folder is not None
        return self._folder / "checkpoint.safetensors"


def _read_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read a checkpoint that is as it was written; one without a digest is older, and believed."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        metadata = file.metadata() or {}
    text = metadata["state"]
    if "digest" in metadata and metadata["digest"] != _digest(tensors, text):
        raise ValueError(f"{path} is not as it was written")
    return tensors, json.loads(text)


def _digest(tensors: Mapping[str, torch.Tensor], state: str) -> str:
    """Return a hash of all that a checkpoint holds: safetensors itself would read a flipped bit as another number."""
    import torch

    digest = hashlib.blake2b(state.encode(), digest_size=8)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all, whatever happens: temporary name, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        # Never through a link that somebody left under this name: what it names would be overwritten.
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o666), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):  # half a file takes room on a disk that is full
            temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError as error:  # a network file system may know no such thing for folders
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(folder)


def reason_and_cure(error: OSError) -> str:
    """Return why the file system refused to write, and what the user can do about it."""
    cure = "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "put that right"
    return f"{error.strerror or error}; {cure}"


def remove_leftovers(folder: Path) -> None:
    """Remove what ``write_atomically`` leaves in ``folder`` when its process is killed; it is never read."""
    for path in folder.glob(".*.tmp"):
        with suppress(OSError):  # it costs room and nothing else
            path.unlink()


def set_aside_file(path: Path) -> None:
    """Give a damaged file a name under which nothing reads it; a person still may."""
    names = itertools.chain([f"{path.name}.damaged"], (f"{path.name}.damaged-{n}" for n in itertools.count(2)))
    path.rename(next(free for name in names if not (free := path.with_name(name)).exists()))
