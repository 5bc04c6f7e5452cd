"""The wheel holds everything, and a stranger's wheel beside it is as good as a built-in plugin."""

from __future__ import annotations

import os
import re
import shutil
import site
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

THIRD_PARTY = Path(__file__).with_name("third_party")
METADATA = {
    "METADATA": "Metadata-Version: 2.1\nName: acme-flow\nVersion: 1.5\n",
    "entry_points.txt": "[bench_core]\nacme_flow = acme_flow\n",
}
SUITE = """\
name: waiting
title: A suite that takes all from a stranger's package, and one method that cannot run on its problem
trials: 6
problems: [{name: acme_delay, grid: {m: [20, 2000]}}]
methods:
  - {name: acme_quantile}
  - {name: acme_quantile, label: upper, params: {q: 0.9}}
  - {name: mle}
metrics: [acme_log_ratio]
report: {metric: acme_log_ratio, x: m}
"""


def assert_rows(rows: pl.DataFrame) -> None:
    """Every trial of the suite is there, measured by the stranger's metric, and more data help."""
    fitted = rows.filter(pl.col("method") == "acme_quantile")
    assert fitted["status"].to_list() == ["ok"] * 24
    assert set(fitted["budget.quantiles"]) == {1}
    assert set(fitted["method_version"]) == {"1"}
    assert sorted(set(zip(fitted["label"], fitted["method.q"], strict=True))) == [
        ("acme_quantile", 0.5),
        ("upper", 0.9),
    ]
    few, many = (fitted.filter(pl.col("problem.m") == m)["metric.acme_log_ratio"] for m in (20, 2000))
    assert few.median() > many.median() > 0  # in 12 trials each, at a hundred times the data
    digests = fitted.group_by("problem.m", "repeat").agg(pl.col("data_digest").n_unique())
    assert set(digests["data_digest"]) == {1}
    skipped = rows.filter(pl.col("method") == "mle")
    assert skipped["reason"].to_list() == ["acme_delay has no log_density; acme_delay has no recovery"] * 2


def assert_told_what_is_missing(message: str) -> None:
    """A report names the run's file and line, what is unknown, and where plugins come from."""
    assert "Traceback" not in message
    pattern = r"error: results/waiting/.*/suite\.yaml:\d+: metrics\[0\]: unknown metric 'acme_log_ratio'"
    assert re.search(pattern, message), message
    assert "if a plugin of yours offers it" in message


# ---- what the wheel is told to hold ---------------------------------------------------------------------------------


def test_every_built_in_plugin_and_package_is_declared(repo):
    project = tomllib.loads((repo / "pyproject.toml").read_text(encoding="utf-8"))
    files = sorted(path.stem for path in (repo / "plugins").iterdir() if path.suffix == ".py" or path.is_dir())
    declared = project["project"]["entry-points"]["bench_core"]
    assert declared == {name: f"bench_plugins.{name}" for name in files if not name.startswith("_")}
    packages = {".".join(path.parent.relative_to(repo).parts) for path in repo.glob("bench_core/**/__init__.py")}
    assert {name for name in project["tool"]["setuptools"]["packages"] if name.startswith("bench_core")} == packages


# ---- the fast stand-in: the package and its metadata on the path -----------------------------------------------------


@pytest.fixture
def site_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as pip would leave it, on the path."""
    folder = tmp_path / "site"
    shutil.copytree(THIRD_PARTY / "acme_flow", folder / "acme_flow", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "acme_flow-1.5.dist-info").mkdir()
    for name, text in METADATA.items():
        (folder / "acme_flow-1.5.dist-info" / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "acme_flow", raising=False)
    return folder


def test_a_third_party_package_is_found_used_and_missed(
    site_packages: Path, project: Callable[..., Path], cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project({"waiting.yaml": SUITE})
    done = cli("run", "waiting.yaml", "--executor", "inline", "--quiet")
    assert done.code == 0, done
    assert cli("export", "--output", "rows.parquet").code == 0
    assert_rows(pl.read_parquet(folder / "rows.parquet"))
    assert "upper" in cli("report").out
    assert re.search(r"^acme_flow +acme-flow 1\.5$", cli("list", "plugins").out, re.MULTILINE)
    blocked = cli("report", "--block", "acme_flow")
    assert blocked.code == 2
    assert_told_what_is_missing(blocked.err)
    shutil.rmtree(site_packages / "acme_flow-1.5.dist-info")
    gone = cli("report")
    assert gone.code == 2
    assert_told_what_is_missing(gone.err)


# ---- the wheels ------------------------------------------------------------------------------------------------------


def _pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _build(source: Path, folder: Path) -> Path:
    _pip("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder, source)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def source(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git knows or would know: no build leaves anything in the checkout."""
    folder = tmp_path_factory.mktemp("source")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=repo, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (repo / name).is_file():  # git still lists what was just deleted
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(repo / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our wheel."""
    return _build(source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def acme_wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stranger's wheel."""
    return _build(source / "tests" / "third_party", tmp_path_factory.mktemp("acme"))


@pytest.mark.slow
def test_the_wheel_holds_every_module_template_and_suite(source: Path, wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, installed in (("bench_core", "bench_core"), ("plugins", "bench_plugins"), ("suites", "bench_suites")):
        paths = [path for path in (source / folder).rglob("*") if path.is_file()]
        files = [path.relative_to(source / folder).as_posix() for path in paths]
        assert files
        assert {f"{installed}/{name}" for name in files} <= names
    assert not any(name.startswith(("tests", "examples", "benchmarks")) for name in names)


@pytest.mark.slow
def test_the_wheel_runs_a_builtin_suite_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    empty = tmp_path / "empty"
    empty.mkdir()
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    code = "import bench_core; print(bench_core.__file__); from bench_core.cli import main; main()"
    command = [sys.executable, "-c", code, "run", "smoke", "--trials", "3", "--set", "iterations=20"]
    done = subprocess.run(command, cwd=empty, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.splitlines()[0]).is_relative_to(tmp_path)
    assert "mle_exact" in done.stdout
    assert list(empty.glob("results/smoke/*/trials.parquet"))


@pytest.fixture
def environment(wheel: Path, acme_wheel: Path, tmp_path: Path) -> Path:
    """A fresh virtual environment with both wheels; what they depend on is borrowed from the present one."""
    folder = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    _pip("--python", _python(folder), "install", "--no-deps", "--no-index", wheel, acme_wheel)
    # Only now, or pip would find the checkout's installation and replace it. A path in a .pth file comes after the
    # folder that the file lies in, and .pth files behind it, such as that of an editable installation, are not read.
    (target,) = folder.glob("lib/python*/site-packages")
    (target / "dependencies.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")
    return folder


def _python(environment: Path) -> Path:
    return environment / "bin" / "python"


@pytest.mark.slow
def test_a_third_party_wheel_in_a_fresh_environment(environment: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "waiting.yaml").write_text(SUITE, encoding="utf-8")
    env = _clean(os.environ)

    def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [environment / "bin" / "bench", *arguments]
        return subprocess.run(command, cwd=empty, env=env, capture_output=True, text=True, timeout=120, check=False)

    code = "import bench_core as a, bench_plugins.mmd as b, acme_flow as c; print(a.__file__, b.__file__, c.__file__)"
    where = [_python(environment), "-c", code]
    files = subprocess.run(where, cwd=empty, env=env, capture_output=True, text=True, check=True).stdout.split()
    assert len(files) == 3
    assert all(Path(file).is_relative_to(environment) for file in files), files

    listed = bench("list", "plugins").stdout
    assert re.search(r"^acme_flow +acme-flow 1\.5$", listed, re.MULTILINE), listed
    assert re.search(r"^mmd +distribution-fit-bench ", listed, re.MULTILINE), listed

    ran = bench("run", "waiting.yaml", "--workers", "2")
    assert ran.returncode == 0, ran.stderr
    assert bench("export", "--output", "rows.parquet").returncode == 0
    assert_rows(pl.read_parquet(empty / "rows.parquet"))
    reported = bench("report")
    assert reported.returncode == 0, reported.stderr
    assert reported.stdout.rstrip() == ran.stdout.rstrip()
    assert "upper" in reported.stdout
    if re.search(r"^ +check ", bench("--help").stdout, re.MULTILINE):
        checked = bench("check", "acme_quantile")
        assert checked.returncode == 0, checked.stdout + checked.stderr

    _pip("--python", _python(environment), "uninstall", "--yes", "acme-flow")
    assert "acme" not in bench("list", "plugins").stdout
    missed = bench("report")
    assert missed.returncode == 2
    assert_told_what_is_missing(missed.stderr)
    assert bench("run", "smoke", "--dry-run").returncode == 0  # what needs no stranger goes on


def _clean(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name not in ("PYTHONPATH", "PYTHONHOME", "BENCH_PLUGIN_PATH")}
