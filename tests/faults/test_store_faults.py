"""A fault at every named point of the store, then the same command again: the export of an undisturbed run."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from inject import (
    EXECUTOR_POINTS,
    FAULT,
    FILES,
    OTHER_STORE_POINTS,
    POINTS,
    REMOVE_POINTS,
    WORKER_POINTS,
    WRITE_POINTS,
    WRITTEN_POINTS,
    Fault,
    passed,
)

KILLED = -signal.SIGKILL
EXPECTED_CODE = {"kill": KILLED, "full": 2, "readonly": 2, "truncate": 0, "flip": 0}
REFUSALS = {"full": "No space left on device; make room", "readonly": "Read-only file system; put that right"}
DAMAGING = ("truncate", "flip")


def cases() -> list[Fault]:
    """Return every action that can happen at a point, for every point that an inline run passes."""
    refusing = (*WRITE_POINTS, *REMOVE_POINTS, *OTHER_STORE_POINTS)
    faults = [(point, action) for point in refusing for action in ("kill", "full", "readonly")]
    for point in WRITTEN_POINTS:
        # A damaged checkpoint is read only by a run that goes on after a kill; a mark is empty, so that no bit flips.
        lasting = [f"{action}+kill" for action in DAMAGING] if point.startswith("checkpoint") else DAMAGING
        faults += [(point, action) for action in ("kill", *(() if point.startswith("mark") else lasting))]
    faults += [(point, "kill") for point in EXECUTOR_POINTS]
    return [Fault(point, action, 2 if point.startswith(("part", "executor")) else 1) for point, action in faults]


def as_parameter(fault: Fault):
    """Name a case; of the two refusals, the fast tests try one for every file, and the slow ones all at every point."""
    rarely = {"mid-write": ["readonly"], "before-rename": ["full", "readonly"]}
    slow = [pytest.mark.slow] if fault.action in rarely.get(fault.point.partition(".")[2], ["full"]) else []
    return pytest.param(fault, id=f"{fault.point}-{fault.action}", marks=slow)


def prepared(begun, folder: Path, fault: Fault):
    """Return the folder that ``fault`` will strike."""
    toy = begun.copy(folder)
    (run,) = toy.results.glob("toy/*")
    (run / "env.json").unlink()  # an environment is written where it is not known
    if fault.point.startswith("damaged"):
        (run / "parts" / "bad-9.parquet").write_bytes(b"PAR1")
    fault.write(toy.folder)
    return toy


@pytest.mark.parametrize("fault", [as_parameter(fault) for fault in cases()])
def test_a_fault_costs_nothing_that_was_stored_and_the_same_command_goes_on(begun, undisturbed, tmp_path, fault):
    toy = prepared(begun, tmp_path / "toy", fault)
    before = toy.stored()
    fresh = ("--fresh",) if fault.point == "run.before-mkdir" else ()

    struck = toy.run(*fresh)
    assert passed(toy.folder).count(fault.point) >= fault.nth
    assert struck.code == EXPECTED_CODE[fault.action.rpartition("+")[2]], struck
    assert "Traceback" not in struck.err
    if fault.action in REFUSALS:
        assert struck.err.startswith("error: ")
        assert struck.err.count("\n") == 1
        assert REFUSALS[fault.action] in struck.err
    assert damaged_kinds(toy) == expected_damage(fault)
    if expected_damage(fault) != {"compact"}:
        assert before.join(toy.stored(), on=before.columns, how="anti", nulls_equal=True).is_empty()

    (toy.folder / FAULT).unlink()
    said = toy.finish()
    assert ("could not be read and was set aside; its trials ran again" in said) == bool(damaged_kinds_of(said))
    assert bool(damaged_kinds_of(said)) == bool(expected_damage(fault))
    assert toy.export().equals(undisturbed)
    assert_tidy(toy)


def damaged_kinds(toy) -> set[str]:
    return {kind for path in toy.damaged() for kind, pattern in FILES.items() if pattern.fullmatch(path.name)}


def damaged_kinds_of(said: str) -> set[str]:
    return {line for line in said.splitlines() if ".parquet could not be read" in line}


def expected_damage(fault: Fault) -> set[str]:
    """Return the kinds of files that a reader finds damaged after the fault."""
    kind, step = fault.point.split(".")
    if kind == "damaged":
        return {"part"}
    if step == "after-rename" and kind in ("part", "compact") and fault.action != "kill":
        return {kind}
    return set()


def assert_tidy(toy) -> None:
    """No half files, no parts, no checkpoints, and the compacted file of every finished run has one digest."""
    for run in toy.results.glob("toy/*"):
        assert not list(run.rglob("*.tmp"))
        assert not list(run.glob("parts/*.parquet"))
        assert not list(run.glob("artifacts/*/*"))
        assert len(list(run.glob("trials.parquet.blake2b-*"))) == len(list(run.glob("trials.parquet"))) == 1


def test_every_named_point_is_passed(begun, toy, tmp_path):
    # So that none of them rots: the tests above take their points from the same list.
    nowhere = Fault("nowhere", "kill")
    inline = prepared(begun, tmp_path / "inline", Fault("damaged.nowhere", "kill"))
    assert inline.run().code == 0
    nowhere.write(toy.folder)
    assert toy.run(executor="processes").code == 0
    assert set(passed(inline.folder)) | set(passed(toy.folder)) == set(POINTS)
    assert set(passed(inline.folder)) == set(POINTS) - set(WORKER_POINTS) - {"run.before-mkdir"}
    assert {fault.point for fault in cases()} == set(POINTS) - set(WORKER_POINTS)


@pytest.mark.parametrize("point", WORKER_POINTS)
@pytest.mark.parametrize("action", ["kill", "delay"])
def test_a_worker_that_is_killed_or_slow_costs_nothing_at_all(toy, undisturbed, point, action):
    Fault(point, action, nth=3).write(toy.folder)
    ended = toy.run("--workers", "1", executor="processes")
    assert ended.code == 0, ended
    assert passed(toy.folder).count(point) >= 3
    assert toy.export().equals(undisturbed)


def test_readers_work_while_a_run_compacts(begun, undisturbed, tmp_path):
    for point in ("mark.before-rename", "compact.before-rename", "compact.after-rename", "mark.before-unlink"):
        toy = begun.copy(tmp_path / point)
        Fault(point, "delay").write(toy.folder)
        with toy.started() as run:
            while point not in passed(toy.folder):
                assert run.running
            assert toy.export().equals(undisturbed)
            assert toy.damaged() == []
            report = toy.bench("report")
            assert report.code == 0
            assert report.err == ""
            assert toy.bench("run", "toy.yaml", "--executor", "inline").code == 2  # two at once
            assert run.running
            assert run.end().code == 0
        assert toy.export().equals(undisturbed)


def test_rows_that_a_reader_sees_during_a_run_only_grow(begun, undisturbed, tmp_path):
    toy = begun.copy(tmp_path / "toy")
    toy.slow_down(0.02)
    seen: set[str] = set()
    with toy.started() as run:
        while run.running:
            now = set(toy.stored()["trial_id"])
            assert seen <= now
            seen = now
            assert toy.damaged() == []
        assert run.end().code == 0
    assert toy.export().equals(undisturbed)


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "binary", "number"])
def test_a_damaged_suite_of_a_run_is_told_by_readers_and_mended_by_the_next_run(begun, undisturbed, tmp_path, damage):
    toy = begun.copy(tmp_path / "toy")
    (suite,) = toy.results.glob("toy/*/suite.yaml")
    text = suite.read_bytes()
    changed = {
        "truncate": text[: len(text) // 2],
        "flip": text.replace(b"gaussian_mean", b"gaussian_mdan"),
        "empty": b"",
        "binary": b"\xff\x00" * 50,
        "number": text.replace(b"threshold: 0.1", b"threshold: 0.3"),
    }[damage]
    assert changed != text
    suite.write_bytes(changed)
    told = toy.bench("report")
    assert told.code == 2
    assert "suite.yaml" in told.err
    assert "Traceback" not in told.err
    toy.finish()
    assert toy.export().equals(undisturbed)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": 1}'])
def test_damaged_environments_cost_their_description_only(begun, undisturbed, tmp_path, content):
    toy = begun.copy(tmp_path / "toy")
    (env,) = toy.results.glob("toy/*/env.json")
    env.write_bytes(content)
    assert toy.bench("report").code == 0
    toy.finish()
    assert toy.export().equals(undisturbed)
    assert env.with_name("env.json.damaged").read_bytes() == content


def test_a_killed_fit_whose_checkpoint_is_good_goes_on_from_it(toy, undisturbed):
    # The other side of the damaged checkpoints above: what is set aside there is used here.
    Fault("checkpoint.after-rename", "kill", nth=2).write(toy.folder)
    assert toy.run().code == KILLED
    (toy.folder / FAULT).unlink()
    toy.finish()
    assert passed(toy.folder).count("checkpoint.after-rename") == 2
    assert toy.export().equals(undisturbed)


def test_one_fault_after_another(begun, undisturbed, tmp_path):
    toy = begun.copy(tmp_path / "toy")
    for point, action, code in (
        ("part.after-rename", "flip+kill", KILLED),
        ("damaged.before-rename", "kill", KILLED),
        ("mark.before-rename", "full", 2),
        ("compact.after-rename", "kill", KILLED),
        ("part.before-unlink", "readonly", 2),
    ):
        Fault(point, action).write(toy.folder)
        assert toy.run().code == code
    (toy.folder / FAULT).unlink()
    toy.finish()
    assert toy.export().equals(undisturbed)
    assert_tidy(toy)
