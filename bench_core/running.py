"""One run of a suite: what is missing goes to an executor, what comes back goes to the store."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bench_core.environment import collect
from bench_core.execute import output
from bench_core.execute.batch import Row, Setting
from bench_core.execute.executor import Advanced, Executor, Finished, Inline, Started
from bench_core.execute.interrupt import held
from bench_core.plan import Job, Plan, jobs
from bench_core.results import Results, stored
from bench_core.store import Run, open_run

if TYPE_CHECKING:
    from bench_core.adaptive import Reach
    from bench_core.plugins import Plugins
    from bench_core.suite import Suite


@dataclass(frozen=True)
class Options:
    """How a suite is run; nothing here changes a number."""

    results: Path
    device: str
    executor: str = "processes"
    workers: int | None = None
    labels: frozenset[str] | None = None
    """Labels that run; None: all."""
    fresh: bool = False
    retry_failed: bool = False
    data: Path | None = None


class Watcher(Protocol):
    """Is told what happens during a run."""

    def begin(self, results: Results, missing: Mapping[int, Sequence[int]]) -> None:
        """Hear what is stored and what will run, per cell."""

    def advance(self, cell: int, share: float) -> None:
        """Hear how far a long batch of a cell is."""

    def finish(self, cell: int, rows: Sequence[Row]) -> None:
        """See the rows of a batch that was just stored."""

    def warn(self, message: str) -> None:
        """Hear of something that the user should know and that stops nothing."""


class Interrupted(Exception):  # noqa: N818 (no error: the user asked for it)
    """The user stopped the run."""

    def __init__(self, run: Run) -> None:
        super().__init__(run.name)
        self.run = run


def run_suite(suite: Suite, plugins: Plugins, options: Options, watcher: Watcher) -> Results:
    """Run what is missing of ``suite`` and return all that is stored of it.

    What to run follows from what is stored, again and again until nothing is missing: labels with ``select`` run on the
    holdout trials of their grids first, and a problem cell with ``until`` from look to look.

    Raises:
        BenchError: the folder is locked or cannot be written.
        Interrupted: Ctrl-C; everything finished is stored.
    """
    run = open_run(options.results, suite.name, suite.seed, options.device, fresh=options.fresh)
    look = partial(stored, suite, plugins, run, device=options.device, labels=options.labels)
    session = _Session(suite, plugins, options, watcher, run)
    try:
        run.write_suite(suite.resolved())
        results = before = look(set_aside=True)
        missing = what_is_missing(results, options)
        asked = Asked()
        session.work(results, missing)
        while any(missing.values()):
            asked.add(results.plan, missing)
            results = look()
            missing = asked.new(results.plan, what_is_missing(results, replace(options, retry_failed=False)))
            if any(missing.values()):
                session.work(results, missing)
        run.compact()
        return replace(look(), set_aside=before.damaged)
    except KeyboardInterrupt:
        raise Interrupted(run) from None
    finally:
        run.unlock()


def what_is_missing(results: Results, options: Options) -> dict[int, list[int]]:
    """Return the repeats to run per cell index, trials that two labels share counted once."""
    missing: dict[int, list[int]] = {}
    seen: set[str] = set()
    for index, cell in enumerate(results.plan.cells):
        if options.labels is not None and cell.label not in options.labels:
            continue
        repeats = results.missing(index, retry_failed=options.retry_failed)
        missing[index] = [repeat for repeat in repeats if cell.trial_id(repeat) not in seen]
        seen.update(cell.trial_id(repeat) for repeat in missing[index])
    return missing


@dataclass
class Asked:
    """What this run has been asked for: once is enough for a trial whose row was written and cannot be read."""

    _repeats: dict[str, set[int]] = field(default_factory=dict)

    def add(self, plan: Plan, missing: Mapping[int, Sequence[int]]) -> None:
        """Note what runs."""
        for index, repeats in missing.items():
            self._repeats.setdefault(plan.cells[index].work, set()).update(repeats)

    def new(self, plan: Plan, missing: Mapping[int, Sequence[int]]) -> dict[int, list[int]]:
        """Return what of ``missing`` has not been asked for."""
        known = {index: self._repeats.get(plan.cells[index].work, set()) for index in missing}
        return {index: [each for each in repeats if each not in known[index]] for index, repeats in missing.items()}


def interleaved(plan: Plan, missing: Mapping[int, Sequence[int]]) -> Iterator[Job]:
    """Yield the batches of all cells in turn, so that every row of the table fills up evenly."""
    by_cell = [list(jobs(plan.cells[index], repeats)) for index, repeats in missing.items()]
    for round_ in itertools.zip_longest(*by_cell):
        yield from (job for job in round_ if job is not None)


def _looks(reach: Reach, suite: Suite) -> str:
    """Return what is stored with a trial of an adaptive problem cell: its looks, and for which of them it ran."""
    until = suite.until.model_dump(exclude_none=True) if suite.until else {}
    return json.dumps({"looks": reach.looks, "at": reach.trials, "until": until})


@dataclass
class _Session:
    suite: Suite
    plugins: Plugins
    options: Options
    watcher: Watcher
    run: Run
    env_id: str = ""
    _index: dict[tuple[str, str], int] = field(default_factory=dict)
    _looks: dict[str, str] = field(default_factory=dict)
    _mute: set[str] = field(default_factory=set)

    def work(self, results: Results, missing: Mapping[int, Sequence[int]]) -> None:
        """Run the missing repeats of the cells of ``results``."""
        self.watcher.begin(results, missing)
        if not any(missing.values()):
            return
        plan = results.plan
        self._looks = {key: _looks(reach, self.suite) for key, reach in results.reaches.items()}
        cells = {index: plan.cells[index] for index, repeats in missing.items() if repeats}
        self._index = {(cell.spec(0), cell.label): index for index, cell in cells.items()}
        with self._output_told(), closing(self._executor().run(interleaved(plan, missing))) as events:
            for event in events:
                if isinstance(event, Started):
                    self._started(event.facts)
                elif isinstance(event, Advanced):
                    self.watcher.advance(self._cell(event.job), event.share)
                else:
                    self._finished(event)
        for index in missing:
            self.run.clear_checkpoints(plan.cells[index].work)

    def _executor(self) -> Executor:
        options, timeout = self.options, self.suite.timeout
        setting = Setting(options.device, options.data, self.run.artifacts, log=self.run.log)
        if options.executor == "inline":
            return Inline(self.plugins, setting, timeout)
        from bench_core.execute.processes import Processes, default_workers

        workers = options.workers or default_workers(options.device)
        return Processes(self.plugins.sources, setting, timeout, workers)

    @contextmanager
    def _output_told(self) -> Iterator[None]:
        """Say where to find what methods print in the block, if anything."""
        before = output.size(self.run.log)
        try:
            yield
        finally:
            if output.size(self.run.log) > before:
                self.watcher.warn(f"what methods printed is in {self.run.log}")

    def _started(self, facts: dict[str, Any]) -> None:
        self.env_id, env = collect(facts, self.plugins.loaded)
        self.run.add_environment(self.env_id, env)

    def _finished(self, event: Finished) -> None:
        cell = event.job.cell
        looks = self._looks.get(cell.problem_key) if cell.split == "main" else None
        with held():  # Ctrl-C loses nothing that is finished
            self.run.append(event.job.name, [{**row, "looks": looks} for row in event.rows], self.env_id)
        self.watcher.finish(self._cell(event.job), event.rows)
        self._tell_observers(event.rows)

    def _tell_observers(self, rows: Sequence[Row]) -> None:
        """Call the observers; one that raises is left out of the rest of the run, which it must not cost."""
        known = {"suite": self.suite.name, "run": self.run.name, "rows": rows}
        for observer in self.plugins.manager.hook.bench_batch_finished.get_hookimpls():
            if observer.plugin_name in self._mute:
                continue
            try:
                observer.function(*(known[name] for name in observer.argnames))
            except Exception as error:  # whatever an observer raises is its own failure
                self._mute.add(observer.plugin_name)
                failed = f"{type(error).__name__}: {error}"
                self.watcher.warn(f"plugin {observer.plugin_name!r} is not told any more, since it raised {failed}")

    def _cell(self, job: Job) -> int:
        return self._index[job.cell.spec(0), job.cell.label]
