"""Ctrl-C and SIGTERM, once and often, at any time: exit code 130, everything finished stored, nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from bench_core.execute import interrupt
from bench_core.execute.interrupt import Stop, check, held, insistent, interruptible
from bench_core.store import find_runs

BOTH = [signal.SIGINT, signal.SIGTERM]
DOZES = """
import time
from bench_core import Fit, Method, hookimpl
from bench_core.plan import WORKING_SET

class Dozes(Method):
    '''Sleeps; ten trials per batch.'''
    name = "dozes"
    seconds: float = 0.2
    '''How long.'''
    def fit(self, trials):
        time.sleep(self.seconds)
        return Fit(answer=trials["start"].clone())
    def working_set(self, problem):
        return WORKING_SET["cpu"] // 10

@hookimpl
def bench_register_methods():
    return [Dozes]
"""
SUITE = """
name: toy
title: A toy
trials: 100
timeout: 1.5
problems: [{name: gaussian_mean, params: {d: 2, m: 10}}]
methods: [{name: dozes}]
metrics: [error]
"""


def until(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def parts(toy) -> int:
    return len(list(toy.results.glob("toy/*/parts/*.parquet")))


@pytest.fixture
def dozing(toy):
    """A folder whose suite takes two seconds, in batches of ten."""
    (toy.folder / "more").mkdir()
    (toy.folder / "more" / "dozes.py").write_text(DOZES)
    (toy.folder / "toy.yaml").write_text(SUITE)
    return toy


# ---- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", ["processes", "inline"])
@pytest.mark.parametrize("number", BOTH)
def test_pressed_again_and_again_it_loses_nothing_and_leaves_nobody(dozing, warm, executor, number):
    toy = dozing
    workers = ("--workers", "2") if executor == "processes" else ()
    with toy.started("--plugin-dir", "more", *workers, executor=executor) as bench:
        until(lambda: parts(toy) >= 2 or not bench.running)
        assert bench.running, bench.end()
        stored = parts(toy)
        for pause in (0, 0, 0.001, 0.01, 0.05, 0.1, 0.2):
            time.sleep(pause)
            if bench.running:
                os.kill(bench.pid, number)
        ended = bench.end(30)
    assert ended.code == 130, ended
    assert ended.out == ""
    assert "finished trials are stored in" in ended.err
    assert "run the same command again to go on" in ended.err
    assert "Traceback" not in ended.err
    assert parts(toy) >= stored
    assert warm.workers() == []
    rows = toy.stored()
    assert rows["trial_id"].n_unique() == len(rows)
    assert f"{len(rows)} finished trials are stored" in ended.err


def test_what_was_stopped_goes_on_to_the_same_numbers(toy, undisturbed):
    for wanted in (1, 3):
        with toy.started("--workers", "2", executor="processes") as bench:
            until(lambda: parts(toy) >= wanted or not bench.running)  # noqa: B023 (called at once)
            if bench.running:
                os.kill(bench.pid, signal.SIGTERM)
            assert bench.end(30).code in (0, 130)
    toy.finish()
    assert toy.export().equals(undisturbed)


WAITS = """
import time
from pathlib import Path
Path("imported").touch()
time.sleep(10)
"""


@pytest.mark.parametrize("number", BOTH)
def test_stopped_while_it_imports_plugins_it_says_so_in_one_line(toy, number):
    (toy.folder / "more").mkdir()
    (toy.folder / "more" / "waits.py").write_text(WAITS)
    with toy.started("--plugin-dir", "more") as bench:
        until(lambda: (toy.folder / "imported").exists() or not bench.running)
        assert bench.running, bench.end()
        os.kill(bench.pid, number)
        os.kill(bench.pid, number)
        ended = bench.end(30)
    assert (ended.code, ended.out, ended.err) == (130, "", "\ninterrupted before anything ran\n")


def test_ctrl_c_on_the_terminal_reaches_all_of_its_processes_and_none_complains(project):
    """The fork server, too, hears it, in the middle of its imports."""
    folder = project({"toy.yaml": SUITE.replace("dozes", "mmd")})
    code = "from bench_core.cli import main; main()"
    command = [sys.executable, "-c", code, "run", "toy.yaml", "--workers", "1"]
    bench = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        family = psutil.Process(bench.pid).children
        until(lambda: any("forkserver" in " ".join(each.cmdline()) for each in family()))
        time.sleep(0.3)
        os.killpg(bench.pid, signal.SIGINT)
        out, err = bench.communicate(timeout=30)
    finally:
        bench.kill()
    assert bench.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert "0 finished trials are stored in" in err


def test_stopping_the_whole_family_for_a_while_cuts_no_batch(dozing, warm):
    """As a batch system does it: SIGSTOP, and SIGCONT much later."""
    command = ("--plugin-dir", "more", "--set", "dozes.seconds=0.7", "--workers", "1", "--trials", "30")
    with dozing.started(*command, executor="processes") as bench:
        until(lambda: parts(dozing) >= 1 or not bench.running)
        time.sleep(0.2)  # in the middle of the next batch
        family = [bench.pid, *warm.workers()]
        for pid in family:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(2.5)  # longer than a batch may take
        for pid in family:
            os.kill(pid, signal.SIGCONT)
        ended = bench.end()
    assert ended.code == 0, ended
    (run,) = find_runs(dozing.results)
    assert run.rows()["batch_size"].to_list() == [10] * 30


# ---- its parts -------------------------------------------------------------------------------------------------------


def press(number: int = signal.SIGINT) -> None:
    signal.raise_signal(number)


@pytest.mark.parametrize("number", BOTH)
def test_the_first_signal_stops_and_the_others_are_ignored(number):
    before = signal.getsignal(number)
    with interruptible():
        with pytest.raises(Stop):
            press(number)
        press(number)
        press(number)
    assert signal.getsignal(number) == before


def test_what_is_held_is_finished_first():
    steps = []

    def store() -> None:
        with held(), held():
            press()
            steps.append("stored")
        steps.append("not reached")

    with interruptible(), pytest.raises(Stop):
        store()
    assert steps == ["stored"]


def test_a_stop_that_somebody_swallowed_is_raised_at_the_next_check():
    with interruptible():
        check()
        with pytest.raises(Stop):
            press()
        with pytest.raises(Stop):
            check()
    check()


def test_code_of_others_is_stopped_by_every_signal():
    with interruptible():
        with insistent():
            for _ in range(3):
                with pytest.raises(Stop):
                    press()
        press()


def test_a_process_that_ends_stays_deaf():
    code = (
        "import signal\nfrom bench_core.execute.interrupt import *\n"
        "try:\n    with interruptible(final=True): signal.raise_signal(signal.SIGINT)\n"
        "except Stop: signal.raise_signal(signal.SIGINT); signal.raise_signal(signal.SIGTERM); print('alive')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "alive\n", "")


def test_signals_that_the_process_was_told_to_ignore_stay_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible():
            press()
    finally:
        signal.signal(signal.SIGINT, before)
    assert interrupt._state.held == 0
