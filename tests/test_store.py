"""Rows are on the disk, whole, when ``append`` returns; nothing that was stored is lost."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
import torch

from bench_core.errors import BenchError
from bench_core.store import SCHEMA, Damage, find_runs, newest_run, open_run, runs_of
from bench_core.workspace import Workspace


@pytest.fixture
def run(tmp_path):
    run = open_run(tmp_path, "toy", 0, "cpu")
    yield run
    run.unlock()


def row(repeat, **values):
    return {"trial_id": f"t{repeat}", "label": "a", "repeat": repeat, "status": "ok", **values}


def part(run, batch):
    """The only part of a batch."""
    (path,) = (run.folder / "parts").glob(f"{batch}-*.parquet")
    return path


def flip(path, bit):
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def bits(path, count):
    """``count`` bits spread over a file, first and last among them."""
    last = 8 * path.stat().st_size - 1
    return [round(last * index / (count - 1)) for index in range(count)]


@pytest.fixture
def clock(monkeypatch):
    """Set the clock that names runs."""

    def set_(*moment):
        class Clock(datetime):
            @classmethod
            def now(cls, tz=None):
                return datetime(*moment, tzinfo=tz)

        monkeypatch.setattr("bench_core.store.datetime", Clock)

    return set_


def test_rows_come_back_as_they_were_written(run):
    run.append("one", [row(0, **{"metric.error": 0.1 + 0.2, "budget.steps": 7, "path.step": [1, 10]})], "env")
    run.append("two", [row(1, **{"metric.error": float("nan"), "metric.other": -1.0})], "env")
    stored = run.rows()
    assert stored["trial_id"].to_list() == ["t0", "t1"]
    assert stored["metric.error"][0] == 0.1 + 0.2
    assert stored["metric.error"].is_nan().to_list() == [False, True]
    assert stored["metric.other"].to_list() == [None, -1.0]
    assert stored["budget.steps"].to_list() == [7, None]
    assert stored["path.step"].to_list() == [[1, 10], None]
    assert stored["env_id"].to_list() == ["env", "env"]


def test_an_empty_run_has_the_columns_and_no_rows(run):
    assert run.rows().schema == pl.Schema(SCHEMA)
    assert len(run.rows()) == 0


def test_each_batch_is_a_part_that_is_never_rewritten(run):
    run.append("batch", [row(0)], "env")
    first = {path: path.read_bytes() for path in (run.folder / "parts").iterdir()}
    run.append("batch", [row(0)], "env")
    parts = sorted((run.folder / "parts").iterdir(), key=lambda path: path.stem.rpartition("-")[2])
    assert [path.name.startswith("batch-") and path.name[-10:] for path in parts] == ["-1.parquet", "-2.parquet"]
    assert all(path.read_bytes() == content for path, content in first.items())


def test_numbers_of_parts_go_on_in_the_next_process(tmp_path, run):
    run.append("batch", [row(0)], "env")
    run.unlock()
    again = open_run(tmp_path, "toy", 0, "cpu")
    again.append("batch", [row(1)], "env")
    assert again.rows()["repeat"].to_list() == [0, 1]
    again.unlock()


def test_compacting_keeps_rows_and_order_and_can_be_repeated(run):
    for repeat in range(12):  # part 10 sorts before part 2 by name
        run.append("batch", [row(repeat)], "env")
    before = run.rows()
    run.compact()
    assert not list((run.folder / "parts").iterdir())
    assert run.rows().equals(before)
    run.append("batch", [row(12)], "env")
    run.compact()
    run.compact()
    assert run.rows()["repeat"].to_list() == list(range(13))


def test_a_kill_between_compaction_and_removal_doubles_rows_and_loses_none(run):
    # What a kill leaves: trials.parquet and the parts that it was made of. Readers keep the last row of a trial.
    run.append("batch", [row(0)], "env")
    path = part(run, "batch")
    content = path.read_bytes()
    run.compact()
    path.write_bytes(content)
    assert run.rows()["trial_id"].to_list() == ["t0", "t0"]
    run.compact()  # and the next run's compaction doubles nothing for good
    assert run.rows()["trial_id"].to_list() == ["t0"]


def test_a_trial_that_was_tried_again_keeps_its_newest_row_last_whenever_compaction_is_killed(run, monkeypatch):
    for status in ("error", "ok", "nan"):
        run.append("batch", [row(0, status=status)], "env")
    unlink, allowed = Path.unlink, 1

    def dying(path, **options):
        nonlocal allowed
        if path.parent.name == "parts":
            if not allowed:
                raise KeyboardInterrupt
            allowed -= 1
        unlink(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", dying)
        with pytest.raises(KeyboardInterrupt):
            run.compact()
    assert run.rows()["status"].to_list() == ["error", "ok", "nan", "ok", "nan"]
    run.compact()
    assert run.rows()["status"].to_list() == ["error", "ok", "nan"]


@pytest.mark.parametrize("keep", [0, 1, 200, -1])
def test_a_damaged_part_is_told_and_set_aside_and_the_others_stay(run, keep):
    run.append("good", [row(0)], "env")
    run.append("bad", [row(1)], "env")
    bad = part(run, "bad")
    bad.write_bytes(bad.read_bytes()[:keep])
    damage = Damage()
    assert run.rows(damage)["repeat"].to_list() == [0]
    assert damage.files == [bad]
    assert bad.exists()  # a reader renames nothing
    run.rows(set_aside=True)
    assert not bad.exists()
    assert bad.with_name(f"{bad.name}.damaged").exists()


def test_no_flipped_bit_of_a_part_is_ever_read_as_a_number(run):
    run.append("good", [row(0)], "env")
    run.append("bad", [row(1, **{"metric.error": 0.25})], "env")
    bad = part(run, "bad")
    for bit in bits(bad, 400):
        flip(bad, bit)
        damage = Damage()
        assert run.rows(damage)["repeat"].to_list() == [0]
        assert damage.files == [bad]
        flip(bad, bit)
    assert run.rows()["metric.error"].to_list() == [None, 0.25]


def test_no_flipped_bit_of_the_compacted_file_is_ever_read_as_a_number(run):
    run.append("batch", [row(0, **{"metric.error": 0.25})], "env")
    run.compact()
    run.append("batch", [row(1)], "env")
    compacted = run.folder / "trials.parquet"
    for bit in bits(compacted, 400):
        flip(compacted, bit)
        damage = Damage()
        assert run.rows(damage)["repeat"].to_list() == [1]
        assert damage.files == [compacted]
        flip(compacted, bit)
    assert run.rows()["metric.error"].to_list() == [0.25, None]


def test_parquet_alone_would_not_notice(run):
    # Why there are digests: polars reads a flipped bit of a page of numbers without a word.
    run.append("bad", [row(repeat, **{"metric.error": 0.1 * repeat}) for repeat in range(50)], "env")
    bad = part(run, "bad")
    expected, silent = run.rows(), 0
    for bit in bits(bad, 200):
        flip(bad, bit)
        with suppress(pl.exceptions.PolarsError, pl.exceptions.PanicException):
            silent += not pl.read_parquet(bad).equals(expected)
        flip(bad, bit)
    assert silent > 0


def test_files_that_are_set_aside_do_not_replace_each_other(run):
    for content in (b"first", b"second", b"third"):
        (run.folder / "trials.parquet").write_bytes(content)
        run.rows(set_aside=True)
    kept = sorted(path.read_bytes() for path in run.folder.glob("trials.parquet.damaged*"))
    assert kept == [b"first", b"second", b"third"]


def test_results_that_are_older_than_digests_are_read_and_compacted(run):
    run.append("old", [row(0)], "env")
    run.compact()
    run.append("old", [row(1)], "env")
    for mark in run.folder.glob("trials.parquet.*"):
        mark.unlink()
    path = part(run, "old")
    path.rename(path.with_name("old-1.parquet"))
    assert run.rows()["repeat"].to_list() == [0, 1]
    run.append("new", [row(2)], "env")
    run.compact()
    assert run.rows()["repeat"].to_list() == [0, 1, 2]
    assert len(list(run.folder.glob("trials.parquet.*"))) == 1


@pytest.mark.parametrize("old", [True, False], ids=["older than digests", "with digest"])
def test_good_rows_never_look_damaged_whenever_compaction_is_killed(run, monkeypatch, old):
    run.append("batch", [row(0)], "env")
    run.compact()
    if old:
        for mark in run.folder.glob("trials.parquet.*"):
            mark.unlink()
    replace, unlink, steps = Path.replace, Path.unlink, 0

    def counted(function):
        def step(path, *rest, **options):
            nonlocal steps
            if not steps:
                raise KeyboardInterrupt
            steps -= 1
            return function(path, *rest, **options)

        return step

    for allowed in range(8):
        run.append("batch", [row(allowed + 1)], "env")
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", counted(replace))
            patch.setattr(Path, "unlink", counted(unlink))
            steps = allowed
            try:
                run.compact()
                finished = True
            except KeyboardInterrupt:
                finished = False
        damage = Damage()
        assert run.rows(damage)["repeat"].unique().to_list() == list(range(allowed + 2))
        assert damage.files == []
    assert finished


def test_a_reader_does_not_take_a_file_for_damaged_that_is_replaced_meanwhile(run, monkeypatch):
    run.append("batch", [row(0)], "env")
    run.compact()
    glob, seen = Path.glob, []

    def compacting(path, pattern):
        if pattern.startswith("trials.parquet") and not seen:
            seen.append(path)  # after the reader has listed the parts, and between the file and its digests
            run.append("batch", [row(1)], "env")
            run.compact()
        return glob(path, pattern)

    monkeypatch.setattr(Path, "glob", compacting)
    damage = Damage()
    assert run.rows(damage)["repeat"].to_list() == [0, 1]
    assert damage.files == []
    assert seen


def test_a_reader_that_finds_no_compacted_file_yet_misses_no_row(run, monkeypatch):
    run.append("batch", [row(0)], "env")
    exists, seen = Path.exists, []

    def compacting(path, **options):
        before = exists(path, **options)
        if path.name == "trials.parquet" and not seen:
            seen.append(path)
            run.compact()  # between looking for trials.parquet and whatever the reader does next
        return before

    monkeypatch.setattr(Path, "exists", compacting)
    assert run.rows()["repeat"].to_list() == [0]
    assert seen


def test_a_leftover_temporary_file_is_no_part(run):
    run.append("good", [row(0)], "env")
    (run.folder / "parts" / ".half-2.parquet.tmp").write_bytes(b"PAR1")
    assert run.rows()["repeat"].to_list() == [0]


def test_leftovers_of_a_killed_run_are_removed_by_the_next_and_by_no_reader(tmp_path, run):
    Workspace(run.artifacts / "one").artifact("kept.tmp").write_text("kept")
    leftovers = [".suite.yaml.tmp", "parts/.half-2.parquet.tmp", "artifacts/one/.checkpoint.safetensors.tmp"]
    (run.folder / "parts").mkdir()
    for name in leftovers:
        (run.folder / name).write_bytes(b"half")
    run.rows()
    assert all((run.folder / name).exists() for name in leftovers)
    run.unlock()
    open_run(tmp_path, "toy", 0, "cpu").unlock()
    assert not any((run.folder / name).exists() for name in leftovers)
    assert (run.artifacts / "one" / "kept.tmp").exists()


def test_the_newest_run_of_equal_suite_seed_and_device_is_continued(tmp_path):
    first = open_run(tmp_path, "toy", 0, "cpu")
    first.unlock()
    for seed, device in ((1, "cpu"), (0, "cuda")):
        other = open_run(tmp_path, "toy", seed, device)
        assert other.name != first.name
        other.unlock()
    fresh = open_run(tmp_path, "toy", 0, "cpu", fresh=True)
    fresh.unlock()
    assert fresh.name != first.name
    again = open_run(tmp_path, "toy", 0, "cpu")
    again.unlock()
    assert again.name == fresh.name
    assert first.folder.exists()
    assert newest_run(tmp_path, "toy", 0, "cpu").name == fresh.name
    assert newest_run(tmp_path, "toy", 7, "cpu") is None


def test_a_fresh_run_is_the_one_to_continue_though_the_clock_was_set_back(tmp_path, clock):
    for moment in ((2026, 5, 1), (2026, 4, 1), (2026, 4, 1), (2026, 5, 1, 0, 0, 1)):
        clock(*moment)
        fresh = open_run(tmp_path, "toy", 0, "cpu", fresh=True)
        fresh.unlock()
        assert newest_run(tmp_path, "toy", 0, "cpu").name == fresh.name
    assert [run.name for run in runs_of(tmp_path / "toy")] == [
        "20260501T000000Z-s0-cpu",
        "20260501T000001Z-s0-cpu",
        "20260501T000002Z-s0-cpu",
        "20260501T000003Z-s0-cpu",
    ]


def test_a_new_run_comes_after_those_of_other_seeds_and_devices_too(tmp_path, clock):
    # Reports show the newest run of a suite, whatever its seed.
    clock(2026, 5, 1)
    open_run(tmp_path, "toy", 7, "cuda").unlock()
    clock(2026, 4, 1)
    run = open_run(tmp_path, "toy", 0, "cpu")
    assert runs_of(tmp_path / "toy")[-1].name == run.name == "20260501T000001Z-s0-cpu"
    run.unlock()


def test_names_that_are_no_time_do_not_stop_a_new_run(tmp_path, clock):
    clock(2026, 5, 1)
    (tmp_path / "toy" / "20269999T999999Z-s0-cuda").mkdir(parents=True)
    (tmp_path / "toy" / "20260501T000000Z-s0-cpu").write_text("a file in the way")
    run = open_run(tmp_path, "toy", 0, "cpu")
    assert run.name == "20260501T000001Z-s0-cpu"
    run.unlock()


def test_seed_1_does_not_continue_seed_11(tmp_path):
    open_run(tmp_path, "toy", 11, "cpu").unlock()
    run = open_run(tmp_path, "toy", 1, "cpu")
    assert "-s1-" in run.name
    run.unlock()


OPEN = """
import pathlib, sys
from bench_core.store import open_run
open_run(pathlib.Path(sys.argv[1]), "toy", 0, "cpu")
"""


def test_a_second_process_is_refused_with_a_message(tmp_path, run):
    done = subprocess.run([sys.executable, "-c", OPEN, tmp_path], capture_output=True, text=True, check=False)
    assert "BenchError" in done.stderr
    assert "is being written by another `bench run`" in done.stderr
    run.unlock()
    subprocess.run([sys.executable, "-c", OPEN, tmp_path], check=True)


def test_results_mean_a_root_a_suite_or_a_run(tmp_path):
    for suite in ("b", "a"):
        run = open_run(tmp_path, suite, 0, "cpu")
        run.write_suite("name: x")
        run.unlock()
    (tmp_path / "reference").mkdir()
    assert [each.folder.parent.name for each in find_runs(tmp_path)] == ["a", "b"]
    assert find_runs(tmp_path / "a")[0].folder == find_runs(find_runs(tmp_path / "a")[0].folder)[0].folder


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_no_results_is_a_message(tmp_path, name):
    with pytest.raises(BenchError, match="there are no results in"):
        find_runs(tmp_path / name)


def test_environments_are_stored_once(run):
    run.add_environment("a", {"torch": "2"})
    run.add_environment("b", {"torch": "3"})
    run.add_environment("a", {"torch": "changed"})
    assert run.environments() == {"a": {"torch": "2"}, "b": {"torch": "3"}}
    assert json.loads((run.folder / "env.json").read_text()) == run.environments()


@pytest.mark.parametrize("content", [b"", b'{"a": {"to', b"\xff\xfe", b"[]", b'{"a": 1}'])
def test_damaged_environments_cost_the_description_only_and_are_kept(run, content):
    path = run.folder / "env.json"
    path.write_bytes(content)
    assert run.environments() == {}
    assert path.read_bytes() == content  # a reader renames nothing
    run.add_environment("b", {"torch": "3"})
    assert run.environments() == {"b": {"torch": "3"}}
    assert path.with_name("env.json.damaged").read_bytes() == content


def test_a_suite_that_was_damaged_or_edited_is_told(run):
    run.write_suite("name: toy\nthreshold: 0.1\n")
    run.check_suite()
    for bit in bits(run.suite_file, 100)[:-1]:  # the last one is in the line break at the end
        original = run.suite_file.read_bytes()
        flip(run.suite_file, bit)
        changed = run.suite_file.read_bytes().rpartition(b"#")[0] != original.rpartition(b"#")[0]
        if changed and b"# blake2b of the lines above: " in run.suite_file.read_bytes():
            with pytest.raises(BenchError, match="is damaged, or was changed by hand; run the suite again"):
                run.check_suite()
        run.suite_file.write_bytes(original)
    run.suite_file.write_text("name: toy\n")  # older than digests
    run.check_suite()
    run.suite_file.unlink()
    with pytest.raises(BenchError, match="No such file"):
        run.check_suite()


WRITES = {
    "append": lambda run: run.append("batch", [row(1)], "env"),
    "write_suite": lambda run: run.write_suite("name: other"),
    "add_environment": lambda run: run.add_environment("b", {}),
    "compact": lambda run: run.compact(),
    "rows": lambda run: run.rows(set_aside=True),
    "clear_checkpoints": lambda run: run.clear_checkpoints("batch"),
}


@pytest.mark.parametrize(
    ("code", "cure"), [(errno.ENOSPC, "make room"), (errno.EROFS, "put that right"), (errno.EIO, "put that right")]
)
@pytest.mark.parametrize("write", WRITES)
def test_what_the_disk_refuses_is_a_message_and_what_was_stored_stays(run, monkeypatch, write, code, cure):
    run.write_suite("name: toy")
    run.add_environment("a", {})
    run.append("batch", [row(0)], "env")
    Workspace(run.artifacts / "batch-1").save_checkpoint({"x": torch.zeros(2)}, {})
    (run.folder / "parts" / "bad-9.parquet").write_bytes(b"PAR1")
    if write == "compact":
        (run.folder / "parts" / "bad-9.parquet").unlink()

    def refuse(*arguments, **options):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        for name in ("replace", "rename", "unlink"):
            patch.setattr(Path, name, refuse)
        with pytest.raises(BenchError) as raised:
            WRITES[write](run)
    assert f"cannot write to {run.folder}: {os.strerror(code)}; {cure}, then run the same command again" in str(
        raised.value
    )
    assert run.rows()["repeat"].to_list() == [0]
    assert run.suite_file.read_text().startswith("name: toy\n")
    assert run.environments() == {"a": {}}
    WRITES[write](run)  # after room was made


def test_a_failed_write_leaves_no_half_file(run, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(BenchError, match="No space left on device; make room"):
            run.append("batch", [row(0)], "env")
    assert list((run.folder / "parts").iterdir()) == []
    run.append("batch", [row(0)], "env")
    assert run.rows()["repeat"].to_list() == [0]


def test_a_full_disk_when_all_is_done_says_that_nothing_is_missing(run, monkeypatch):
    run.append("batch", [row(0)], "env")

    def full(path, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(BenchError, match="all trials are stored, but cannot be put into one file: cannot write to"):
        run.compact()


def test_a_part_that_cannot_be_read_at_all_is_told_like_a_damaged_one(run, monkeypatch):
    run.append("good", [row(0)], "env")
    run.append("bad", [row(1)], "env")
    read_bytes, bad = Path.read_bytes, part(run, "bad")

    def failing(path):
        if path == bad:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", failing)
    damage = Damage()
    assert run.rows(damage)["repeat"].to_list() == [0]
    assert damage.files == [bad]


def test_a_folder_that_cannot_be_made_is_a_message(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match="cannot write to"):
        open_run(tmp_path / "file", "toy", 0, "cpu")


def test_runs_are_told_from_other_folders(tmp_path):
    for name in ("20260101T000000Z-s0-cpu", "notes", "20260101T000000Z-s0-tpu"):
        (tmp_path / name).mkdir()
    assert [run.name for run in runs_of(tmp_path)] == ["20260101T000000Z-s0-cpu"]


def test_a_results_folder_may_look_like_a_pattern(tmp_path):
    run = open_run(tmp_path / "out[1]*?", "toy", 0, "cpu")
    run.append("batch", [row(0)], "env")
    run.compact()
    assert run.rows()["repeat"].to_list() == [0]
    run.unlock()


def test_what_cannot_be_read_is_not_compacted_away(run):
    run.append("good", [row(0)], "env")
    run.append("bad", [row(1)], "env")
    bad = part(run, "bad")
    content = bad.read_bytes()
    bad.write_bytes(content[:50])
    run.compact()
    bad.write_bytes(content)  # a disk that was away is back
    assert run.rows()["repeat"].to_list() == [0, 1]


def test_a_reader_starts_over_when_a_run_compacts_meanwhile(run, monkeypatch):
    run.append("batch", [row(0)], "env")
    read_bytes, seen = Path.read_bytes, []

    def compacting(path):
        if not seen:
            seen.append(path)
            run.compact()
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", compacting)
    assert run.rows()["repeat"].to_list() == [0]
    assert seen


def test_checkpoints_of_a_cell_are_cleared_and_artifacts_stay(run):
    for name in ("abc-0-9-w10", "abc-0-4-w10", "other-0-9-w10"):
        workspace = Workspace(run.artifacts / name)
        workspace.save_checkpoint({"x": torch.zeros(2)}, {"step": 1})
    Workspace(run.artifacts / "abc-0-4-w10").artifact("kept.txt").write_text("kept")
    run.clear_checkpoints("abc")
    assert sorted(str(path.relative_to(run.artifacts)) for path in run.artifacts.rglob("*.*")) == [
        "abc-0-4-w10/kept.txt",
        "other-0-9-w10/checkpoint.safetensors",
    ]
