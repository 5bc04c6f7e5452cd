"""``bench figure``: what it draws, what it writes, and what it refuses."""

from __future__ import annotations

import json
import shutil
import struct
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
Project = Callable[..., Path]

LINE = "mmd_landscape_mean"
TINY = """\
name: tiny
title: Tiny
trials: 4
problems: [{name: gaussian_mean, params: {d: 2}, grid: {m: [10, 20]}}]
methods: [{name: truth}, {name: init}]
metrics: [success, error]
report: {metric: success, x: m}
"""
MINE = '''\
from matplotlib.figure import Figure
from bench_core import hookimpl
from bench_core.report import PaperFigure

class Mine(PaperFigure):
    """One bar.

    And more.
    """
    name = "mine"
    source = "Mine, Fig. 1"

    def draw(self, summary, labels):
        figure = Figure()
        figure.subplots().bar(["only"], [1.0])
        return figure

@hookimpl
def bench_register_figures():
    return [Mine()]
'''


def texts(path: Path) -> set[str]:
    """Return the texts of an SVG file."""
    return {"".join(node.itertext()) for node in ET.parse(path).iter("{http://www.w3.org/2000/svg}text")}


@pytest.fixture
def tiny(project: Project, cli: Cli) -> Path:
    """Stand in a folder with a suite and its results."""
    folder = project({"tiny.yaml": TINY})
    assert cli("run", "tiny.yaml", "--executor", "inline", "--quiet").code == 0
    return folder


# ---- files -----------------------------------------------------------------------------------------------------------


def test_without_output_it_says_where_the_figure_is(cli: Cli, project: Project) -> None:
    folder = project({})
    outcome = cli("figure", LINE)
    assert (outcome.code, outcome.out, outcome.err) == (0, "", f"wrote {LINE}.svg\n")
    assert "σ² = 10" in texts(folder / f"{LINE}.svg")
    before = (folder / f"{LINE}.svg").read_bytes()
    assert cli("figure", LINE).code == 0  # a figure of ours is written over
    assert (folder / f"{LINE}.svg").read_bytes() == before


@pytest.mark.parametrize(("name", "beginning"), [("a.pdf", b"%PDF"), ("a.PNG", b"\x89PNG"), ("b.svg", b"<?xml")])
def test_the_ending_decides_the_format(cli: Cli, project: Project, name: str, beginning: bytes) -> None:
    folder = project({})
    assert cli("figure", LINE, "--output", name).code == 0
    content = (folder / name).read_bytes()
    assert content.startswith(beginning)
    if beginning == b"\x89PNG":
        width, _ = struct.unpack(">II", content[16:24])
        assert width == 990  # 3.3 inches at 300 dots per inch


def test_another_ending_is_refused_before_anything_is_drawn(cli: Cli, project: Project) -> None:
    folder = project({})
    outcome = cli("figure", LINE, "--output", "a.sgv")
    assert outcome.code == 2
    assert outcome.err.startswith("error: --output: unknown kind of file '.sgv'; did you mean '.svg'? (known: .pdf, ")
    assert list(folder.iterdir()) == []


def test_what_is_no_figure_is_not_written_over(cli: Cli, project: Project) -> None:
    folder = project({"thesis.pdf": "my life's work", "empty.svg": "", "folder.svg/x": ""})
    outcome = cli("figure", LINE, "--output", "thesis.pdf")
    assert outcome.code == 2
    assert outcome.err == "error: thesis.pdf exists and is no figure; give another file with --output\n"
    assert (folder / "thesis.pdf").read_text() == "my life's work"
    assert cli("figure", LINE, "--output", "folder.svg").code == 2
    assert cli("figure", LINE, "--output", "empty.svg").code == 0


def test_a_folder_that_is_not_there_is_one_message(cli: Cli, project: Project) -> None:
    project({})
    outcome = cli("figure", LINE, "--output", "no/where.svg")
    assert outcome.code == 2
    assert outcome.err == "error: cannot write no/where.svg: No such file or directory\n"


# ---- names -----------------------------------------------------------------------------------------------------------


def test_an_unknown_figure_is_told_with_the_nearest(cli: Cli, project: Project) -> None:
    project({})
    outcome = cli("figure", "success_curv")
    assert outcome.code == 2
    assert outcome.err.startswith("error: unknown figure 'success_curv'; did you mean 'success_curve'? (known: ")


@pytest.mark.parametrize(("more", "word"), [(["gaussian_mean"], "'gaussian_mean'"), (["--label", "mmd"], "--label")])
def test_a_figure_without_results_refuses_them(cli: Cli, project: Project, more: list[str], word: str) -> None:
    project({})
    outcome = cli("figure", LINE, *more)
    assert outcome.code == 2
    assert outcome.err == f"error: {LINE} is drawn without results; leave {word} out\n"


def test_a_stranger_adds_a_figure_by_the_hook(cli: Cli, project: Project) -> None:
    folder = project({"ours/mine.py": MINE})
    outcome = cli("figure", "mine", "--plugin-dir", "ours")
    assert outcome.code == 0
    assert "only" in texts(folder / "mine.svg")
    listed = json.loads(cli("list", "figures", "--json", "--plugin-dir", "ours").out)
    assert {"name": "mine", "about": "One bar.", "plugin": "mine"} in listed
    (shown,) = json.loads(cli("show", "mine", "--json", "--plugin-dir", "ours").out)
    assert (shown["kind"], shown["about"], shown["source"]) == ("figure", "One bar.\n\nAnd more.", "Mine, Fig. 1")


def test_what_is_no_figure_is_left_out_by_name(cli: Cli, project: Project) -> None:
    project({"mine.py": MINE.replace("[Mine()]", "[Mine]")})
    outcome = cli("list", "figures", "--plugin-dir", ".")
    assert "a figure must be an instance of PaperFigure, got <class " in outcome.err
    assert "mine" not in outcome.out


def test_built_in_figures_say_where_they_come_from(cli: Cli) -> None:
    out = cli("show", "success_curve").out
    assert out.startswith("figure success_curve\nThe report's metric of a suite against its x, with 95 % intervals.")
    assert "source: Alon, Globerson, Wiesel, Fig. 4-8\nneeds: trials\n" in out


# ---- results ---------------------------------------------------------------------------------------------------------


def test_a_suite_by_path_or_its_results_by_folder(cli: Cli, tiny: Path) -> None:
    outcome = cli("figure", "success_curve", "tiny.yaml")
    assert (outcome.code, outcome.err) == (0, "wrote success_curve-tiny.svg\n")
    first = (tiny / "success_curve-tiny.svg").read_bytes()
    assert {"truth", "init", "m", "10", "20", "share of success"} <= texts(tiny / "success_curve-tiny.svg")
    for what in ([], ["results"], ["results/tiny"]):
        assert cli("figure", "success_curve", *what, "--output", "b.svg").code == 0
        assert (tiny / "b.svg").read_bytes() == first


def test_labels_are_chosen_by_name(cli: Cli, tiny: Path) -> None:
    assert cli("figure", "success_curve", "--label", "init", "--output", "a.svg").code == 0
    assert {"init"} == texts(tiny / "a.svg") & {"truth", "init"}
    outcome = cli("figure", "success_curve", "--label", "inti")
    assert outcome.code == 2
    assert outcome.err == "error: --label: unknown label 'inti'; did you mean 'init'? (known: init, truth)\n"


def test_results_of_several_suites_are_no_figure(cli: Cli, tiny: Path) -> None:
    (tiny / "other.yaml").write_text(TINY.replace("name: tiny", "name: other"), encoding="utf-8")
    assert cli("run", "other.yaml", "--executor", "inline", "--quiet").code == 0
    outcome = cli("figure", "success_curve", "results")
    assert outcome.code == 2
    assert "holds results of several suites (other, tiny); name one of them, or its folder" in outcome.err


def test_a_suite_of_which_nothing_is_stored_says_so(cli: Cli, project: Project) -> None:
    folder = project({"tiny.yaml": TINY})
    outcome = cli("figure", "success_curve", "tiny.yaml")
    assert outcome.code == 2
    assert outcome.err == "error: no trial of tiny is stored; run it first: bench run tiny\n"
    assert [path.name for path in folder.iterdir()] == ["tiny.yaml"]


def test_neither_suite_nor_folder(cli: Cli, project: Project) -> None:
    project({})
    outcome = cli("figure", "success_curve", "gaussian_maen")
    assert outcome.code == 2
    assert "did you mean 'gaussian_mean'?" in outcome.err
    assert outcome.err.endswith("; nor is it a folder of results\n")


def test_a_built_in_suite_is_drawn_from_the_reference_results(cli: Cli, project: Project, repo: Path) -> None:
    folder = project({"pyproject.toml": "[tool.bench]\n"})
    for name in ("suites", "plugins", "results/reference/gaussian_cov"):
        shutil.copytree(repo / name, folder / name)
    outcome = cli("figure", "success_curve", "gaussian_cov")
    assert (outcome.code, outcome.err) == (0, "wrote success_curve-gaussian_cov.svg\n")
    found = texts(folder / "success_curve-gaussian_cov.svg")
    assert {"mmd", "osmmd", "mle", "wgan"} <= found
    assert not found & {"mmd-tuned", "mle_exact", "truth", "init"}
    assert cli("figure", "success_curve", "gaussian_cov", "--no-reference").code == 2
