"""Rows are on the disk, whole, when ``append`` returns; nothing that was stored is lost."""

from __future__ import annotations

import json
import subprocess
import sys
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
    parts = sorted((run.folder / "parts").iterdir())
    assert [path.name for path in parts] == ["batch-1.parquet", "batch-2.parquet"]
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
    part = next((run.folder / "parts").iterdir())
    content = part.read_bytes()
    run.compact()
    part.write_bytes(content)
    assert run.rows()["trial_id"].to_list() == ["t0", "t0"]


@pytest.mark.parametrize("keep", [0, 1, 200, -1])
def test_a_damaged_part_is_told_and_set_aside_and_the_others_stay(run, keep):
    run.append("good", [row(0)], "env")
    run.append("bad", [row(1)], "env")
    part = run.folder / "parts" / "bad-2.parquet"
    part.write_bytes(part.read_bytes()[:keep])
    damage = Damage()
    assert run.rows(damage)["repeat"].to_list() == [0]
    assert damage.files == [part]
    assert part.exists()  # a reader renames nothing
    run.rows(set_aside=True)
    assert not part.exists()
    assert part.with_name("bad-2.parquet.damaged").exists()


def test_a_leftover_temporary_file_is_no_part(run):
    run.append("good", [row(0)], "env")
    (run.folder / "parts" / ".half-2.parquet.tmp").write_bytes(b"PAR1")
    assert run.rows()["repeat"].to_list() == [0]


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
    bad = run.folder / "parts" / "bad-2.parquet"
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
