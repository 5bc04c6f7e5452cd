"""Results that a stranger sent: they are read as data, whatever they hold; nothing is run, unpickled or written."""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from markdown_it import MarkdownIt

from .conftest import ESCAPES, SUITE, Bench, Outcome, Stranger, hidden, memory_limit

ReadAll = Callable[..., list[Outcome]]
Attack = Callable[[Stranger], object]

FORMULA = "=cmd|' /C calc'!A0"
EVIL = f"{FORMULA}{ESCAPES}<script>alert(1)</script>[a](javascript:alert(1))![b](http://x)|[red]r[/blue]`"


class Canary:
    """Leaves a folder where it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("canary",)


def columns(**values: object) -> Attack:
    return lambda stranger: stranger.rows(lambda rows: rows.with_columns(**{k: pl.lit(v) for k, v in values.items()}))


def column(name: str, value: object) -> Attack:
    return columns(**{name: value})


# ---- rows ------------------------------------------------------------------------------------------------------------


ROWS: dict[str, Attack] = {
    "hostile texts": columns(status="error", reason=EVIL, traceback=EVIL, label=EVIL, spec=EVIL),
    "a hostile status": columns(status=EVIL),
    "a hostile status of a part": columns(split=EVIL, env_id=EVIL, data_digest=EVIL),
    "repeats that are texts": columns(repeat="x"),
    "texts that are numbers": columns(status=3, reason=1.5),
    "texts that are structures": lambda s: s.rows(lambda rows: rows.with_columns(reason=pl.struct("repeat", "seed"))),
    "texts that are lists": lambda s: s.rows(lambda rows: rows.with_columns(reason=pl.concat_list("reason"))),
    "paths that are numbers": column("path.loss", 1.0),
    "a metric that is a text": column("metric.error", EVIL),
    "a budget that is a text": column("budget.gradient_steps", EVIL),
    "budgets that overflow": column("budget.gradient_steps", 2**63 - 1),
    "a metric that is not a number": column("metric.error", float("nan")),
    "seconds without end": column("seconds", float("-inf")),
    "a repeat beyond all": columns(repeat=2**63 - 1),
    "a negative repeat": columns(repeat=-1),
    "no rows": lambda s: s.rows(lambda rows: rows.clear()),
    "no columns": lambda s: s.rows(lambda rows: pl.DataFrame()),
    "one column": lambda s: s.rows(lambda rows: rows.select("trial_id")),
    "no ids": lambda s: s.rows(lambda rows: rows.drop("trial_id")),
    "other columns": lambda s: s.rows(lambda rows: pl.DataFrame({"a": [1], EVIL: ["b"]})),
    "a column of our own": columns(cell="x", wanted_method="y", place="z", label_right="r", value=1),
    "a number where the index goes": columns(cell=0),
    "a hostile column": column(EVIL, 1),
    "a hostile metric": column(f"metric.{EVIL}", 1.0),
    "a hostile budget": column(f"budget.{EVIL}", 1),
    "a budget with markup": column("budget.[/red]", 1),
    "20 000 columns": columns(**{f"budget.b{i}": 1 for i in range(20_000)}),
    "every row twice": lambda s: s.rows(lambda rows: pl.concat([rows, rows])),
    "a truncated file": lambda s: s.trials.write_bytes(s.trials.read_bytes()[:-50]),
    "an empty file": lambda s: s.trials.write_bytes(b""),
    "another file": lambda s: s.trials.write_bytes(os.urandom(5000)),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_hostile_rows_are_data(stranger: Stranger, read_all: ReadAll, name: str) -> None:
    ROWS[name](stranger)
    before = tree(stranger.folder)
    if "hostile" in name:
        read_all(stranger.folder)
    else:
        read_all(stranger.folder, ("rich", "json"), ("csv",))
    assert tree(stranger.folder) == before


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    stats = {str(path): path.lstat() for path in folder.rglob("*")}
    return {path: (stat.st_mode, stat.st_mtime_ns) for path, stat in stats.items()}


def test_a_small_file_of_very_many_rows_is_refused(stranger: Stranger, read_all: ReadAll) -> None:
    """Five million equal rows fit into kilobytes; no file of ours has more rows than bytes."""
    texts = [pl.lit("x").alias(name) for name in ("trial_id", "status", "reason", "traceback", "label", "spec")]
    pl.select(repeat=pl.repeat(0, 5_000_000, dtype=pl.Int64)).with_columns(texts).write_parquet(stranger.trials)
    assert stranger.trials.stat().st_size < 500_000
    report = read_all(stranger.folder)[0]
    assert "could not be read" in report.err


def test_flipped_bits_are_a_message(stranger: Stranger, bench: Bench) -> None:
    """Polars panics on some of these, which is no exception of Python's."""
    honest = stranger.trials.read_bytes()
    for position in range(5, len(honest), len(honest) // 20):
        content = bytearray(honest)
        content[position] ^= 0x41
        stranger.trials.write_bytes(content)
        bench("report", stranger.folder).assert_harmless()


# ---- pickles and code ------------------------------------------------------------------------------------------------


def test_pickles_are_not_unpickled_and_code_is_not_run(stranger: Stranger, bench: Bench, read_all: ReadAll) -> None:
    pickled = pickle.dumps(Canary())
    code = "import os\nos.mkdir('canary')\n"
    (stranger.run / "parts").mkdir(exist_ok=True)
    for name in ("trials.parquet", "parts/x-1.parquet", "env.json", "artifacts/x/checkpoint.safetensors", "data.pkl"):
        (stranger.run / name).parent.mkdir(parents=True, exist_ok=True)
        (stranger.run / name).write_bytes(pickled)
    for folder in (Path(), stranger.folder, stranger.folder / "tiny", stranger.run, stranger.run / "parts"):
        for name in ("conftest.py", "plugin.py", "sitecustomize.py", "bench_core.py", "numpy.py", "plugins/x.py"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(code, encoding="utf-8")
    read_all(stranger.folder)
    for command in (["show", "mle"], ["list"], ["doctor"]):
        bench(*command).assert_harmless()
    assert not Path("canary").exists()
    pickle.loads(pickled)
    assert Path("canary").is_dir()  # the canary sings where it is heard


def test_a_checkpoint_that_is_a_pickle_is_set_aside(stranger: Stranger, bench: Bench) -> None:
    """A method that resumes asks for its checkpoint: from a stranger's folder it gets none."""
    import torch

    from bench_core.workspace import Workspace

    folder = stranger.run / "artifacts" / "x"
    for content in (pickle.dumps(Canary()), _torch_file(Canary())):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "checkpoint.safetensors").write_bytes(content)
        assert Workspace(folder).load_checkpoint() is None
    assert not Path("canary").exists()
    with pytest.raises(ValueError, match="plain file name"):
        Workspace(folder).artifact("../../../../canary")
    assert torch.load(io.BytesIO(_torch_file({"a": 1})), weights_only=True) == {"a": 1}


def _torch_file(thing: object) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save(thing, buffer)
    return buffer.getvalue()


def test_a_checkout_is_where_one_stands_and_not_what_one_reads(stranger: Stranger, read_all: ReadAll) -> None:
    """Only the folder that the user stands in, or one above it, can be a checkout whose plugins run."""
    (stranger.folder / "pyproject.toml").write_text("[tool.bench]\n", encoding="utf-8")
    (stranger.folder / "plugins").mkdir()
    (stranger.folder / "plugins" / "evil.py").write_text("import os\nos.mkdir('canary')\n", encoding="utf-8")
    read_all(stranger.folder)
    assert not Path("canary").exists()


# ---- the stored suite and the environments ---------------------------------------------------------------------------

SUITES = {
    "a tag": ("trials: 4", "trials: !!python/object/apply:os.mkdir [canary]"),
    "a hostile title": ('"A small one"', '"\\e]0;x\\a"'),
    "a hostile label": ("label: again", 'label: "a\\e[2J"'),
    "another suite's name": ("name: tiny", "name: gaussian_cov"),
    "a name that climbs": ("name: tiny", 'name: "../../tiny"'),
    "very many trials": ("trials: 4", "trials: 10000000"),
    "a label of markup": ("label: again", 'label: "[red]x[/blue]![x](javascript:alert(1))<img src=x>|`"'),
    "a label of a formula": ("label: again", 'label: "+1+cmd|x"'),
    "a source of markup": ('source: ""', 'source: "x\\n\\n[again]: javascript:alert(1)\\n\\n# Big\\n---\\n- x"'),
}


@pytest.mark.parametrize("name", SUITES)
def test_a_hostile_stored_suite_is_data(stranger: Stranger, read_all: ReadAll, name: str) -> None:
    stranger.suite(*SUITES[name])
    read_all(stranger.folder)
    assert not Path("canary").exists()


ENVIRONMENTS = {
    "a list": "[1, 2]",
    "a text": '"x"',
    "an environment that is a number": '{"a": 5}',
    "deep": "[" * 100_000,
    "deep objects": '{"a":' * 50_000,
    "numbers that are none": '{"a": {"threads": NaN, "x": Infinity}}',
    "a long number": '{"a": {"x": ' + "9" * 10_000 + "}}",
    "hostile texts": json.dumps({EVIL: {EVIL: EVIL, "packages": EVIL, "plugins": [EVIL]}}),
    "a lone surrogate": '{"a": {"x": "\\udcff"}}',
    "empty": "",
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_hostile_environments_are_data(stranger: Stranger, read_all: ReadAll, name: str) -> None:
    (stranger.run / "env.json").write_text(ENVIRONMENTS[name], encoding="utf-8")
    for outcome in read_all(stranger.folder, ("rich", "json"), ("csv",)):
        assert outcome.code == 0, outcome


# ---- what is no file, and folders ------------------------------------------------------------------------------------

NAMES = ["trials.parquet", "parts/x-1.parquet", "env.json", "suite.yaml"]


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "dangling link", "link to itself"])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_file_does_not_stop_a_report(stranger: Stranger, read_all: ReadAll, name: str, kind: str) -> None:
    path = stranger.run / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to({"device": "/dev/zero", "dangling link": "nowhere", "link to itself": path.name}[kind])
    with memory_limit(1 << 30):  # a device would be read until nothing is left
        read_all(stranger.folder, ("rich", "json"), ("csv",))


@pytest.mark.parametrize("name", ["=cmd()", f"{ESCAPES}x".replace("\r", ""), "[red]x[blue]y", "--help", "a|b`<b>"])
def test_a_hostile_folder_name_is_a_name(stranger: Stranger, read_all: ReadAll, name: str) -> None:
    run = stranger.run.rename(stranger.folder / name)
    for outcome in read_all(run):
        assert outcome.code == 0, outcome


# ---- what the tables of other programs obey --------------------------------------------------------------------------


def evil_reasons(stranger: Stranger) -> None:
    stranger.rows(lambda rows: rows.with_columns(status=pl.lit("error"), reason=pl.lit(EVIL), traceback=pl.lit(EVIL)))
    stranger.suite("label: again", f"label: {json.dumps('=cmd|<b>[a](x:y)`')}".replace("=", "+"))


def test_markdown_shows_what_a_stranger_wrote_as_text(stranger: Stranger, bench: Bench) -> None:
    evil_reasons(stranger)
    stranger.suite('source: ""', 'source: "x\\n\\n[mle]: javascript:alert(1)\\n\\n# Big\\n\\n<b>bold</b>\\n---"')
    text = bench("report", stranger.folder, "--format", "markdown").out
    html = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(text)
    for tag in ("<script", "<img", "<a ", "<b>", "<code", "<h1"):
        assert tag not in html, (tag, html)
    assert html.count("<h2>") == 1
    assert "&lt;script&gt;" in html


def test_a_spreadsheet_takes_nothing_for_a_formula(stranger: Stranger, bench: Bench) -> None:
    evil_reasons(stranger)
    table = bench("report", stranger.folder, "--format", "csv").out
    assert bench("export", stranger.folder, "--output", "rows.csv").code == 0
    rows = Path("rows.csv").read_text("utf-8")
    assert FORMULA in rows
    for text in (table, rows):
        cells = [cell for line in csv.reader(io.StringIO(text)) for cell in line]
        assert not [cell for cell in cells if cell[:1] in tuple("=+@\t\r") or (cell[:1] == "-" and not number(cell))]


def number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_json_keeps_every_character_and_a_terminal_obeys_none(stranger: Stranger, bench: Bench) -> None:
    evil_reasons(stranger)
    assert bench("export", stranger.folder, "--output", "rows.jsonl").code == 0
    text = Path("rows.jsonl").read_text("utf-8")
    assert not hidden(text)
    assert {json.loads(line)["reason"] for line in text.splitlines()} == {EVIL}
    table = bench("report", stranger.folder, "--format", "json").out
    reasons = {reason for row in json.loads(table)[0]["rows"] for reason in row["reasons"]}
    assert reasons == {EVIL}


# ---- writing ---------------------------------------------------------------------------------------------------------


def test_reading_writes_only_where_the_user_says(stranger: Stranger, read_all: ReadAll, bench: Bench) -> None:
    before = tree(stranger.folder)
    read_all(stranger.folder)
    assert bench("report", stranger.folder, "--format", "csv", "--output", "table.csv").code == 0
    assert tree(stranger.folder) == before
    assert sorted(os.listdir()) == ["out.csv", "out.jsonl", "out.parquet", "stranger", "table.csv"]


LINKS = [
    "suite.yaml",
    ".suite.yaml.tmp",
    "env.json",
    ".env.json.tmp",
    "trials.parquet",
    ".trials.parquet.tmp",
    "log.txt",
]


@pytest.mark.parametrize("name", [*LINKS, ".lock", "parts", "artifacts"])
def test_a_run_writes_through_no_link(stranger: Stranger, bench: Bench, name: str) -> None:
    """A stranger's run that is continued: its links would lead what is written to the user's own files."""
    (private := Path("private")).mkdir()
    own = {"mine.parquet": b"mine", "x-1.parquet": b"mine", ".x.tmp": b"mine", "notes.txt": b"mine"}
    for each, content in own.items():
        (private / each).write_bytes(content)
    path = stranger.run / name
    if path.is_dir():
        for part in path.iterdir():
            part.unlink()
        path.rmdir()
    path.unlink(missing_ok=True)
    path.symlink_to(Path("../../../private") / ("" if name in ("parts", "artifacts") else "notes.txt"))
    Path("tiny.yaml").write_text(SUITE.replace("trials: 4", "trials: 6"), encoding="utf-8")
    bench("run", "tiny.yaml", "--results", stranger.folder, "--executor", "inline", "--quiet").assert_harmless()
    assert {each.name: each.read_bytes() for each in private.iterdir()} == own


def test_a_run_that_is_a_link_is_not_written_to(stranger: Stranger, bench: Bench) -> None:
    moved = stranger.run.rename("private")
    before = tree(moved)
    (stranger.folder / "tiny" / "20300101T000000Z-s0-cpu").symlink_to(Path("../../private"))
    Path("tiny.yaml").write_text(SUITE.replace("trials: 4", "trials: 6"), encoding="utf-8")
    bench("run", "tiny.yaml", "--results", stranger.folder, "--executor", "inline", "--quiet").assert_harmless()
    assert tree(moved) == before
