"""What several tests share: the built-in plugins, throw-away projects, cells, and the command line in this process."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import settings
from typer.testing import CliRunner

from bench_core.cli import build_app
from bench_core.errors import BenchError
from bench_core.execute.worker import one_thread
from bench_core.plan import Cell, make_plan
from bench_core.plugins import PATH_VARIABLE, Plugins, PluginSources, load_plugins
from bench_core.store import find_runs
from bench_core.suite import MethodEntry, ProblemEntry, Suite

REPO = Path(__file__).resolve().parent.parent

# A busy machine is no failure, and a gate gives the same verdict on the same code: fuzzing at random is for a person.
settings.register_profile("bench", deadline=None, derandomize=True)
settings.load_profile("bench")


@pytest.fixture(scope="session", autouse=True)
def _hears_ctrl_c() -> Iterator[None]:
    """As on a terminal: what runs in the background, under nohup or in CI, starts deaf, and so do its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def _no_plugins_from_the_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(PATH_VARIABLE, raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_thread(plugins: Plugins) -> None:
    """As in the product: thread pools of a few cores make small tensors slower, and other processes too.

    The checkout's plugins come first: a test that loads the installed copies of the same files confuses ``inspect``,
    which documents parameters by the source of their class.
    """
    one_thread()


@pytest.fixture(scope="session")
def repo() -> Path:
    """The checkout."""
    return REPO


@pytest.fixture(scope="session")
def plugins() -> Plugins:
    """The plugins of the checkout."""
    loaded = load_plugins(PluginSources(checkout=REPO / "plugins"))
    assert loaded.failures == []
    return loaded


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, str]], Path]:
    """Make a folder with the given files (path -> text) and stand in it."""

    def make(files: Mapping[str, str]) -> Path:
        folder = tmp_path / "project"
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        monkeypatch.chdir(folder)
        return folder

    return make


def _make_cell(
    plugins: Plugins,
    problem: str,
    problem_params: Mapping[str, Any],
    method: str,
    method_params: Mapping[str, Any],
    trials: int = 10,
    metrics: Sequence[str] = ("error",),
    **changes: Any,
) -> Cell:
    suite = Suite(
        name="made",
        title="Made for a test",
        trials=trials,
        problems=[ProblemEntry(name=problem, params=dict(problem_params))],
        methods=[MethodEntry(name=method, params=dict(method_params))],
        metrics=list(metrics),
    )
    (cell,) = make_plan(suite, plugins).cells
    return replace(cell, **changes)


@pytest.fixture(scope="session")
def make_cell() -> Callable[..., Cell]:
    """Return ``make_cell(plugins, problem, problem_params, method, method_params, trials=10, metrics=…, **changes)``.

    It plans a suite of one problem and one method; ``metrics`` are the suite's, ``changes`` replace fields of the cell.
    """
    return _make_cell


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def cli() -> Callable[..., Outcome]:
    """Run ``bench ARGUMENTS…`` in this process; an exception that is the program's own fault is raised."""

    def run(*arguments: str | Path) -> Outcome:
        result = CliRunner().invoke(build_app(), [str(argument) for argument in arguments], prog_name="bench")
        if isinstance(result.exception, BenchError):
            return Outcome(2, result.stdout, f"{result.stderr}error: {result.exception}\n")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture(scope="session")
def bench(cli: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """Run ``bench ARGUMENTS…`` in this process and check its exit code, 0 unless ``code`` says otherwise."""

    def run(*arguments: str | Path, code: int = 0) -> Outcome:
        outcome = cli(*arguments)
        assert outcome.code == code, outcome.err
        return outcome

    return run


@pytest.fixture(scope="session")
def edited() -> Callable[..., None]:
    """Change stored rows as another machine, or another day's code, would have written them: ``edited(folder, …)``."""

    def change(folder: Path, **columns: pl.Expr) -> None:
        (found,) = find_runs(folder)
        frame = found.rows().with_columns(**columns)
        for path in found.folder.glob("trials.parquet*"):
            path.unlink()
        frame.write_parquet(found.folder / "trials.parquet")

    return change


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest file first: a process that began it last would work on alone."""
    items.sort(key=lambda item: item.path.name != "test_builtins.py")
