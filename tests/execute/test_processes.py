"""Worker processes: same numbers as inline, and deaths and timeouts end as rows of the guilty trials alone."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import time
from dataclasses import replace
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import psutil
import pytest

from bench_core.errors import BenchError
from bench_core.execute import process, processes
from bench_core.execute.batch import Setting
from bench_core.execute.executor import Advanced, Finished, Inline, Started
from bench_core.execute.interrupt import Stop
from bench_core.execute.memory import GIB, Share
from bench_core.execute.orphans import kill_group
from bench_core.execute.process import Clock, Patience, Phase, WorkerProcess
from bench_core.execute.processes import FAULTS, Processes
from bench_core.execute.worker import DEVICE_LOST
from bench_core.plan import jobs
from bench_core.plugins import PluginSources, load_plugins

CPU = Setting("cpu", None, None)

HOSTILE = '''
import os, time
from bench_core import Fit, Method, hookimpl

def guilty(trials):
    return trials["truth"][:, 0] > 1.2

class Dies(Method):
    """Leaves without a word on some trials."""
    name = "dies"
    def fit(self, trials):
        if bool(guilty(trials).any()):
            os._exit(3)
        return Fit(answer=trials["truth"].clone())

class Sleeps(Method):
    """Never ends on some trials."""
    name = "sleeps"
    def fit(self, trials):
        if bool(guilty(trials).any()):
            time.sleep(3600)
        return Fit(answer=trials["truth"].clone())

class Hungry(Method):
    """Allocates without end on some trials."""
    name = "hungry"
    def fit(self, trials):
        import torch
        hoard = []
        while bool(guilty(trials).any()):
            hoard.append(torch.empty(1 << 24))
        return Fit(answer=trials["truth"].clone())

class Slow(Method):
    """Takes a second, and says how far it is."""
    name = "slow"
    def fit(self, trials):
        for step in range(10):
            time.sleep(0.1)
            trials.progress(step / 10)
        return Fit(answer=trials["truth"].clone())

class Family(Method):
    """Uses a process pool, and leaves a process behind."""
    name = "family"
    def fit(self, trials):
        import multiprocessing, subprocess
        with multiprocessing.get_context("fork").Pool(1) as pool:
            assert pool.apply(abs, (-1,)) == 1
        child = subprocess.Popen(["sleep", "3600"])
        trials.workspace.artifact("child").write_text(str(child.pid))
        return Fit(answer=trials["truth"].clone())

class Swallows(Method):
    """Catches whatever is raised in it."""
    name = "swallows"
    def fit(self, trials):
        try:
            if os.environ.get("PRESS"):
                os.kill(os.getpid(), int(os.environ["PRESS"]))
            time.sleep(10)
        except BaseException:
            pass
        return Fit(answer=trials["truth"].clone())

class Breaks(Method):
    """Its guilty trials end the GPU's context, as an illegal access does."""
    name = "breaks"
    def fit(self, trials):
        if guilty(trials).any():
            import bench_core.execute.batch as batch
            batch._is_lost = lambda device: True
            raise RuntimeError("CUDA error: illegal access")
        return Fit(answer=trials["truth"].clone())

@hookimpl
def bench_register_methods():
    return [Dies, Sleeps, Hungry, Slow, Family, Swallows, Breaks]
'''


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "hostile.py").write_text(HOSTILE)
    repo = Path(__file__).resolve().parents[2]
    plugins = load_plugins(PluginSources(folders=(folder,), checkout=repo / "plugins"))
    assert plugins.failures == []
    return plugins


def _rows(executor, cell, repeats):
    finished = [event for event in executor.run(jobs(cell, repeats)) if isinstance(event, Finished)]
    rows = [row for event in finished for row in event.rows]
    return sorted(rows, key=lambda row: row["repeat"])


def _but_time(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("method", ["mmd", "wgan"])
def test_workers_give_the_rows_of_this_process(plugins, make_cell, method, workers):
    cell = make_cell(plugins, "gaussian_cov", {"d": 4, "m": 50}, method, {"iterations": 20}, width=5)
    there = _rows(Processes(plugins.sources, CPU, 60, workers), cell, range(23))
    assert _but_time(there) == _but_time(_rows(Inline(plugins, CPU, 60), cell, range(23)))
    assert [row["repeat"] for row in there] == list(range(23))


@pytest.mark.parametrize(("method", "code"), [("dies", 3), ("breaks", DEVICE_LOST)])
def test_a_worker_that_dies_costs_its_guilty_trials_only(hostile, make_cell, method, code):
    cell = make_cell(hostile, "gaussian_mean", {"d": 2, "m": 5}, method, {}, width=25)
    rows = _rows(Processes(hostile.sources, CPU, 60, 2), cell, range(50))
    assert [row["repeat"] for row in rows] == list(range(50))
    failed = [row for row in rows if row["status"] != "ok"]
    assert 0 < len(failed) < 15
    reason = f"its worker process died (exit code {code})"
    assert {(row["status"], row["reason"]) for row in failed} == {("error", reason)}


def test_a_trial_that_never_ends_becomes_a_timeout_alone(hostile, make_cell):
    cell = make_cell(hostile, "gaussian_mean", {"d": 2, "m": 5}, "sleeps", {}, width=10)
    started = time.monotonic()
    rows = _rows(Processes(hostile.sources, CPU, 0.5, 2), cell, range(20))
    failed = [row for row in rows if row["status"] != "ok"]
    assert [row["repeat"] for row in rows] == list(range(20))
    assert 0 < len(failed) < 8
    assert {(row["status"], row["reason"]) for row in failed} == {("timeout", "took longer than 0.5 s alone")}
    assert {row["batch_size"] for row in failed} == {1}  # alone, and not beside nine copies of itself
    assert time.monotonic() - started < 30


def test_inline_enforces_the_time_limit_too(hostile, make_cell):
    cell = make_cell(hostile, "gaussian_mean", {"d": 2, "m": 5}, "sleeps", {}, width=10)
    there = _rows(Inline(hostile, CPU, 0.5), cell, range(10))
    assert {row["status"] for row in there} == {"ok", "timeout"}
    assert len(there) == 10


def test_leaving_early_leaves_no_worker(hostile, make_cell):
    cell = make_cell(hostile, "gaussian_mean", {"d": 2, "m": 5}, "sleeps", {}, width=10)
    events = Processes(hostile.sources, CPU, 600, 2).run(jobs(cell, range(50)))
    next(events)
    before = _workers()
    events.close()
    assert before
    assert not _workers() & before


def test_inline_a_method_that_swallows_its_timeout_is_timed_out_all_the_same(hostile, make_cell):
    cell = make_cell(hostile, "gaussian_mean", {"d": 2, "m": 5}, "swallows", {}, width=1)
    (row,) = _rows(Inline(hostile, CPU, 0.2), cell, range(1))
    assert row["status"] == "timeout"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_inline_a_method_that_swallows_ctrl_c_cannot_keep_the_run_going(hostile, make_cell, monkeypatch, number):
    monkeypatch.setenv("PRESS", str(int(number)))
    cell = make_cell(hostile, "gaussian_mean", {"d": 2, "m": 5}, "swallows", {}, width=1)
    before = signal.getsignal(number)
    with pytest.raises(Stop):
        _rows(Inline(hostile, CPU, 60), cell, range(2))
    assert signal.getsignal(number) == before


def test_a_method_that_allocates_without_end_costs_its_guilty_trials_only(hostile, make_cell):
    cell = make_cell(hostile, "gaussian_mean", {"d": 2, "m": 5}, "hungry", {}, width=10)
    rows = _rows(Processes(hostile.sources, replace(CPU, memory=Share(GIB, 2)), 60, 2), cell, range(10))
    failed = [row for row in rows if row["status"] != "ok"]
    assert [row["repeat"] for row in rows] == list(range(10))
    assert 0 < len(failed) < 8
    words = (
        "out of memory, it needs more than the 1.0 GiB that each of 2 workers has; --workers 1 gives it all (Runtime"
    )
    assert {(row["status"], row["reason"][: len(words)]) for row in failed} == {("error", words)}
    assert {row["batch_size"] for row in failed} == {1}


def test_every_worker_has_a_share_of_the_memory_and_is_the_first_to_go(hostile, make_cell):
    executor = Processes(hostile.sources, CPU, 60, 2)
    events = executor.run(jobs(make_cell(hostile, "gaussian_mean", {}, "slow", {}), range(1)))
    next(events)
    (ready, *_) = (each for each in executor._workers if each.phase is Phase.IDLE)
    worker = psutil.Process(ready._process.pid)
    soft, _ = worker.rlimit(psutil.RLIMIT_DATA)
    badness = int(Path(f"/proc/{worker.pid}/oom_score_adj").read_text())
    events.close()
    assert badness > int(Path("/proc/self/oom_score_adj").read_text())
    assert 0 < soft - processes.share_of(2).size < 3 * GIB  # what torch itself has reserved comes on top


def test_a_method_may_start_processes_and_none_outlives_the_run(hostile, make_cell, tmp_path):
    cell = make_cell(hostile, "gaussian_mean", {"d": 2, "m": 5}, "family", {}, width=2)
    rows = _rows(Processes(hostile.sources, replace(CPU, artifacts=tmp_path), 60, 1), cell, range(4))
    assert {row["status"] for row in rows} == {"ok"}
    children = [int(path.read_text()) for path in tmp_path.glob("*/child")]
    assert len(children) == 2
    assert not [child for child in children if _is_running(child)]


def _is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# ---- workers that hang, or die where no method is at work ------------------------------------------------------------


class Watched(Processes):
    """Notes when a worker was replaced, and how long after its limit."""

    def __init__(self, *rest, **options):
        super().__init__(*rest, **options)
        self.late = []

    def _over_limit(self, index, each, state):
        self.late.append((each.phase, self._clock.now() - each.deadline(self._patience, self._timeout)))
        yield from super()._over_limit(index, each, state)


def _pids(executor):
    return [each._process.pid for each in executor._workers]


def _hang(executor, job_cell, moment):
    """Run 20 trials, stop the first worker at ``moment``, and return the rows."""
    rows, stopped = [], moment == Phase.STARTING
    for event in executor.run(jobs(job_cell, range(20))):
        if isinstance(event, Finished):
            rows += event.rows
        if not stopped and isinstance(event, Started if moment == Phase.ASSIGNED else Advanced):
            stopped = True
            os.kill(_pids(executor)[0], signal.SIGSTOP)
    return sorted(rows, key=lambda row: row["repeat"])


@pytest.mark.parametrize("moment", [Phase.STARTING, Phase.ASSIGNED, Phase.RUNNING])
def test_a_stopped_worker_is_found_within_two_seconds_of_its_limit_and_costs_no_trial(
    hostile, make_cell, monkeypatch, moment
):
    cell = make_cell(hostile, "gaussian_mean", {"d": 2, "m": 5}, "slow", {}, width=10)
    if moment == Phase.STARTING:
        _stop_the_first_worker_at_its_start(monkeypatch)
    patience = Patience(starting=3.0, assigned=1.0)
    executor = Watched(hostile.sources, CPU, 2.5, 1, patience)
    rows = _hang(executor, cell, moment)
    assert [(row["repeat"], row["status"], row["batch_size"]) for row in rows] == [(i, "ok", 10) for i in range(20)]
    assert [phase for phase, _ in executor.late] == [moment]
    assert 0 <= executor.late[0][1] < 2


def _stop_the_first_worker_at_its_start(monkeypatch):
    started = []

    def start(self, index):
        worker = WorkerProcess(self._sources, self._setting, self._clock)
        if not started:
            os.kill(worker._process.pid, signal.SIGSTOP)
        started.append(worker)
        return worker

    monkeypatch.setattr(Processes, "_start", start)


def test_a_lone_trial_is_no_timeout_because_its_worker_was_stopped(hostile, make_cell):
    cell = make_cell(hostile, "gaussian_mean", {"d": 2, "m": 5}, "slow", {}, width=1)
    executor = Watched(hostile.sources, CPU, 2.0, 1)
    rows, stopped = [], False
    for event in executor.run(jobs(cell, range(2))):
        rows += event.rows if isinstance(event, Finished) else []
        if isinstance(event, Advanced) and not stopped:
            stopped = True
            os.kill(_pids(executor)[0], signal.SIGSTOP)
    assert [row["status"] for row in rows] == ["ok", "ok"]
    assert [phase for phase, _ in executor.late] == [Phase.RUNNING]


@pytest.mark.parametrize("moment", [Started, Advanced])
def test_a_worker_killed_at_any_moment_is_replaced_and_costs_no_trial(hostile, make_cell, moment):
    cell = make_cell(hostile, "gaussian_mean", {"d": 2, "m": 5}, "slow", {}, width=10)
    executor = Processes(hostile.sources, CPU, 60, 1)
    rows, killed = [], 0
    for event in executor.run(jobs(cell, range(20))):
        rows += event.rows if isinstance(event, Finished) else []
        if isinstance(event, moment) and killed < 2:
            killed += 1
            os.kill(_pids(executor)[0], signal.SIGKILL)
    assert killed == 2
    assert sorted((row["repeat"], row["status"]) for row in rows) == [(i, "ok") for i in range(20)]


def test_workers_that_never_get_ready_end_the_run_with_a_message(hostile, make_cell, monkeypatch, tmp_path):
    class Stillborn(WorkerProcess):
        def __init__(self, *rest):
            super().__init__(*rest)
            os.kill(self._process.pid, signal.SIGKILL)

    monkeypatch.setattr(processes, "WorkerProcess", Stillborn)
    cell = make_cell(hostile, "gaussian_mean", {"d": 2, "m": 5}, "slow", {})
    setting = replace(CPU, log=tmp_path / "log.txt")
    with pytest.raises(BenchError) as caught:
        _rows(Processes(hostile.sources, setting, 60, 1), cell, range(1))
    assert str(caught.value) == (
        "worker processes fail again and again: the last one ended before it was ready (signal 9); "
        f"{tmp_path / 'log.txt'} may tell why; try --executor inline"
    )
    assert FAULTS == 3


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), EOFError("unexpected EOF")])
def test_more_workers_than_the_system_allows_are_told_so(hostile, make_cell, monkeypatch, error):
    def fail(process):
        raise error

    monkeypatch.setattr(ForkServerProcess, "start", fail)
    cell = make_cell(hostile, "gaussian_mean", {"d": 2, "m": 5}, "slow", {})
    with pytest.raises(BenchError) as caught:
        _rows(Processes(hostile.sources, CPU, 60, 40), cell, range(1))
    assert str(caught.value) == f"cannot start 40 worker processes: {error}; use a smaller --workers"


def test_a_process_with_too_few_files_left_does_not_even_ask_the_fork_server(monkeypatch):
    monkeypatch.setattr(processes, "SPARE_FILES", 1 << 20)
    monkeypatch.setattr(processes, "WorkerProcess", None)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (400, limits[1]))
        with pytest.raises(BenchError, match=r"^cannot start 2 worker processes: .*Too many open files"):
            list(Processes(PluginSources(), CPU, 60, 2).run([]))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_quota_of_time_bounds_the_number_of_workers(monkeypatch):
    monkeypatch.setattr(processes.cgroups, "cores", lambda: iter([7, 1]))
    assert processes.default_workers("cpu") == 1
    monkeypatch.setattr(processes.cgroups, "cores", lambda: iter([1 << 20]))
    assert processes.default_workers("cpu") == len(os.sched_getaffinity(0))


def test_workers_have_one_thread_and_this_process_keeps_its_variables(hostile, make_cell, monkeypatch):
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before, ensure, given = dict(os.environ), forkserver.ensure_running, []
    monkeypatch.setattr(forkserver, "ensure_running", lambda: (given.append(dict(os.environ)), ensure()))
    executor = Processes(hostile.sources, CPU, 60, 1)
    events = executor.run(jobs(make_cell(hostile, "gaussian_mean", {}, "slow", {}), range(1)))
    next(events)
    found = psutil.Process(_pids(executor)[0]).environ()
    events.close()
    assert dict(os.environ) == before
    for variables in (given[0], found):
        assert {name: variables[name] for name in process.THREADS} == dict.fromkeys(process.THREADS, "1")


def test_a_process_that_is_gone_is_not_killed_again_by_its_id(monkeypatch):
    killed = []
    monkeypatch.setattr(os, "kill", lambda *call: killed.append(call))

    def refuse(error):
        def killpg(*_):
            raise error

        monkeypatch.setattr(os, "killpg", killpg)

    refuse(PermissionError())
    kill_group(1 << 22)
    refuse(ProcessLookupError())
    kill_group(1 << 22, reaped=True)
    assert killed == []
    kill_group(1 << 22)
    assert killed == [(1 << 22, signal.SIGKILL)]


def test_rows_that_a_worker_sent_before_it_died_are_not_lost(hostile, make_cell, monkeypatch):
    monkeypatch.setattr(Processes, "_once_more", lambda *_: pytest.fail("the batch ran again"))
    cell = make_cell(hostile, "gaussian_mean", {"d": 2, "m": 5}, "slow", {}, width=10)
    executor = Processes(hostile.sources, CPU, 60, 1)
    wait, killed = executor._clock.wait, []

    def wait_long(objects, seconds):
        if not killed and executor._workers[0].phase is Phase.RUNNING:
            time.sleep(2)  # meanwhile the rows arrive
            os.kill(_pids(executor)[0], signal.SIGKILL)
            time.sleep(0.5)
            killed.append(True)
        return wait(objects, seconds)

    monkeypatch.setattr(executor._clock, "wait", wait_long)
    assert [row["status"] for row in _rows(executor, cell, range(10))] == ["ok"] * 10
    assert killed
    assert multiprocessing.active_children() == []


def test_while_the_main_process_is_stopped_nobody_is_late(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(process.time, "monotonic", lambda: now[0])
    clock = Clock()

    def wait(objects, seconds):
        now[0] += slept[0]
        return []

    monkeypatch.setattr(process.connection, "wait", wait)
    slept = [1.5]
    clock.wait([], 1.0)
    assert clock.now() == 101.5  # a busy machine
    slept = [3600.0]
    clock.wait([], 1.0)
    assert clock.now() == 101.5 + 1.0
    slept, now[0] = [0.5], now[0] + 3600  # stopped while it stored rows
    clock.wait([], 1.0)
    assert clock.now() == 101.5 + 1.0 + 0.5


def _workers() -> set[int]:
    """Processes below this one that are no fork server of their own."""
    return {child.pid for child in psutil.Process(os.getpid()).children(recursive=True) if _is_worker(child)}


def _is_worker(process: psutil.Process) -> bool:
    parent = process.parent()
    return parent is not None and "forkserver" in " ".join(parent.cmdline())
