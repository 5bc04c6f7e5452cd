"""A checkpoint is what was written or it is not used; nothing half-written counts."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
import torch

from bench_core.errors import BenchError
from bench_core.workspace import Workspace, write_atomically

TENSORS = {
    "weights": torch.arange(12, dtype=torch.float32).reshape(3, 4),
    "half": torch.ones(3, dtype=torch.bfloat16),
    "mask": torch.tensor([True, False]),
    "step": torch.tensor(7),
    "empty": torch.zeros(0, 2),
    "generator": torch.Generator().get_state(),
}
STATE = {"step": 7, "schedule": [0.1, 0.2]}


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "batch")


@pytest.fixture
def checkpoint(tmp_path, workspace):
    workspace.save_checkpoint(TENSORS, STATE)
    return tmp_path / "batch" / "checkpoint.safetensors"


def test_a_checkpoint_comes_back_as_it_was_written(workspace, checkpoint):
    tensors, state = workspace.load_checkpoint()
    assert state == STATE
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


def test_a_transposed_tensor_has_the_digest_of_what_comes_back(workspace):
    workspace.save_checkpoint({"x": TENSORS["weights"].T}, {})
    tensors, _ = workspace.load_checkpoint()
    assert torch.equal(tensors["x"], TENSORS["weights"].T)


def test_no_flipped_bit_of_a_checkpoint_is_ever_used(workspace, checkpoint):
    content = checkpoint.read_bytes()
    header = 8 * (8 + int.from_bytes(content[:8], "little"))
    believed = 0
    for bit in [*range(0, header, 23), *range(header, 8 * len(content), 211)]:
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        checkpoint.write_bytes(damaged)
        loaded = workspace.load_checkpoint()
        if loaded is None:  # set aside: the fit begins anew
            assert not checkpoint.exists()
            checkpoint.with_name("checkpoint.safetensors.damaged").unlink()
        else:  # the flip is in what has no meaning, such as the name of the entry that holds the digest
            believed += 1
            assert loaded[1] == STATE
            assert all(torch.equal(loaded[0][name], tensor) for name, tensor in TENSORS.items())
    assert believed < 10


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_a_truncated_checkpoint_is_set_aside(workspace, checkpoint, keep):
    content = checkpoint.read_bytes()[:keep]
    checkpoint.write_bytes(content)
    assert workspace.load_checkpoint() is None
    assert not checkpoint.exists()
    assert checkpoint.with_name("checkpoint.safetensors.damaged").read_bytes() == content
    workspace.save_checkpoint(TENSORS, STATE)
    assert workspace.load_checkpoint() is not None


def test_a_checkpoint_that_is_older_than_digests_is_used(workspace, checkpoint):
    from safetensors.torch import save_file

    save_file({"x": torch.ones(2)}, checkpoint, {"state": '{"step": 3}'})
    tensors, state = workspace.load_checkpoint()
    assert state == {"step": 3}
    assert torch.equal(tensors["x"], torch.ones(2))


def test_a_finished_batch_leaves_no_checkpoint_of_any_kind(workspace, checkpoint):
    checkpoint.write_bytes(b"damaged")
    assert workspace.load_checkpoint() is None
    workspace.save_checkpoint(TENSORS, STATE)
    checkpoint.with_name(".checkpoint.safetensors.tmp").write_bytes(b"half")
    workspace.clear_checkpoint()
    assert not checkpoint.parent.exists()


def test_artifacts_outlive_checkpoints(workspace, checkpoint):
    workspace.artifact("curve.txt").write_text("1 2 3")
    workspace.clear_checkpoint()
    assert [path.name for path in checkpoint.parent.iterdir()] == ["curve.txt"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_checkpoint_that_cannot_be_written_is_a_message_and_the_last_one_stays(
    workspace, checkpoint, monkeypatch, code
):
    def refuse(descriptor):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(BenchError, match=f"cannot write a checkpoint to .*: {os.strerror(code)}"):
        workspace.save_checkpoint({"x": torch.zeros(1)}, {"step": 8})
    assert workspace.load_checkpoint()[1] == STATE
    assert [path.name for path in checkpoint.parent.iterdir()] == ["checkpoint.safetensors"]


def test_a_damaged_checkpoint_that_cannot_be_set_aside_is_a_message(workspace, checkpoint, monkeypatch):
    def refuse(path, target):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    checkpoint.write_bytes(b"damaged")
    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(BenchError, match="Read-only file system"):
        workspace.load_checkpoint()


def test_a_folder_for_artifacts_that_cannot_be_made_is_a_message_and_no_outcome_of_a_trial(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match="cannot write an artifact to"):
        Workspace(tmp_path / "file" / "batch").artifact("curve.txt")


def test_without_a_folder_nothing_is_kept():
    workspace = Workspace(None)
    workspace.save_checkpoint(TENSORS, STATE)
    workspace.clear_checkpoint()
    assert workspace.load_checkpoint() is None
    assert workspace.artifact("curve.txt") is None


def test_a_file_system_that_cannot_sync_folders_is_no_fault(tmp_path, monkeypatch):
    fsync = os.fsync

    def files_only(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", files_only)
    write_atomically(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"
