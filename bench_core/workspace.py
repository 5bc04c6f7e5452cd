"""A batch's own folder: checkpoints to resume from, and artifacts to keep."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_core.errors import BenchError

if TYPE_CHECKING:
    import torch


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
        try:
            write_atomically(self._checkpoint, save(contiguous, {"state": json.dumps(state)}))
        except OSError as error:
            raise BenchError(f"cannot write a checkpoint to {self._folder}: {error.strerror}; make room") from None

    def load_checkpoint(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """Return the last checkpoint (tensors on the CPU, state), or None where there is none."""
        from safetensors import safe_open

        if self._folder is None or not self._checkpoint.exists():
            return None
        with safe_open(self._checkpoint, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            return tensors, json.loads(file.metadata()["state"])

    def artifact(self, name: str) -> Path | None:
        """Return the path to write the artifact ``name`` to (a plain file name), or None where none is kept."""
        if Path(name).name != name or name.startswith("."):
            raise ValueError(f"an artifact's name must be a plain file name, got {name!r}")
        if self._folder is None:
            return None
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder / name

    def clear_checkpoint(self) -> None:
        """Remove the checkpoint of a finished batch, and the folder where nothing else is in it."""
        if self._folder is None or not self._folder.exists():
            return
        self._checkpoint.unlink(missing_ok=True)
        if not any(self._folder.iterdir()):
            self._folder.rmdir()

    @property
    def _checkpoint(self) -> Path:
        assert self._folder is not None
        return self._folder / "checkpoint.safetensors"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all, whatever happens: temporary name, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
