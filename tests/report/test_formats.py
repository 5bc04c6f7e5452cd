"""The formats of text: timings by hardware, reference results, adaptive looks, claims; LaTeX that compiles."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bench_core.adaptive import Reach
from bench_core.metrics import ReportedMetric
from bench_core.report import table
from bench_core.report.formats import bench_register_formats
from bench_core.report.tex import escape
from bench_core.summary import Summary, Verdict

Make = Callable[..., Summary]

EPYC, XEON = "AMD EPYC, AVX2, 1 thread, PyTorch 2.14.1", "Intel Xeon, AVX512, 1 thread, PyTorch 2.14.1"
TEXTS = ("rich", "markdown", "latex")
FORMATS = {each.name: each for each in bench_register_formats()}


def render(summary: Summary, format_: str, width: int = 120) -> str:
    return FORMATS[format_].render([summary], width=width, color=False)


def change(summary: Summary, **by_label: dict[str, Any]) -> Summary:
    """Return the summary with other fields in the entries of these labels; ``_`` stands for all."""
    entries = [replace(entry, **by_label.get("_", {}), **by_label.get(entry.label, {})) for entry in summary.entries]
    return replace(summary, entries=entries)


def seconds(**by_machine: float) -> dict[str, Any]:
    known = {"epyc": EPYC, "xeon": XEON}
    values = {known[name]: value for name, value in by_machine.items()}
    return {"seconds_by": values, "seconds": next(iter(values.values())) if len(values) == 1 else float("nan")}


def make_claim(hostile: Summary, text: str, **changes: Any) -> Verdict:
    return replace(hostile.claims[0], text=text, source="Section 1", **changes)


@pytest.fixture
def full(made: Make, hostile: Summary) -> Summary:
    """A summary with everything that a table can have."""
    summary = made(
        ("plain", "tuned", "control"),
        failures={0: ("error", "boom_1 & 2"), 3: ("nan", "no $ left")},
        older=["tuned"],
        also=["Trials of another seed stand beside."],
        absent=["missing"],
        stale=3,
        saved=40,
        claims=[
            make_claim(hostile, "A claim of σ²"),
            make_claim(hostile, "Wrong", verdict="contradicted", expected=False, decisive=False),
        ],
        selections=hostile.selections,
        reaches={repr({"d": 3, "m": m}): Reach((50, 100), m, m == 50) for m in (50, 100, 200)},
    )
    return change(
        summary,
        _={"looks": 2},
        plain=seconds(epyc=0.25, xeon=125.0),
        tuned=seconds(epyc=0.00125) | {"reference": True},
        control=seconds(epyc=1.5),
    )


@pytest.fixture(scope="module")
def small(made: Make) -> Summary:
    """A summary of one problem cell."""
    return made(places=(50,))


# ---- timings by hardware ---------------------------------------------------------------------------------------------


def test_timings_of_one_machine_stand_in_one_column(made: Make) -> None:
    summary = change(made(), _=seconds(epyc=0.25))
    assert table.clocks(summary) == {"s/trial": None}
    for format_ in ("rich", "markdown"):
        text = render(summary, format_)
        assert f"s/trial: on {EPYC}." in text
        assert "s/trial A" not in text
    (line, *_) = csv.DictReader(io.StringIO(render(summary, "csv")))
    assert (line["seconds"], json.loads(line["seconds_by"])) == ("0.25", {EPYC: 0.25})


def test_timings_of_several_machines_never_share_a_column(full: Summary) -> None:
    assert table.clocks(full) == {"s/trial A": EPYC, "s/trial B": XEON}
    for format_ in TEXTS:
        text = render(full, format_, 160)
        assert f"A: {EPYC}." in text
        assert f"B: {XEON}." in text
        assert "s/trial A" in text
        assert "s/trial B" in text
    (header, _, *rows) = [line for line in render(full, "markdown").splitlines() if line.startswith("|")]
    titles = [cell.strip() for cell in header.split("|")]
    cells = [cell.strip() for cell in rows[0].split("|")]
    assert (cells[titles.index("s/trial A")], cells[titles.index("s/trial B")]) == ("0.25", "125")


def test_csv_has_seconds_only_where_one_machine_measured(full: Summary) -> None:
    lines = list(csv.DictReader(io.StringIO(render(full, "csv"))))
    by_label = {line["label"]: line for line in lines}
    assert (by_label["plain"]["seconds"], by_label["tuned"]["seconds"]) == ("", "0.00125")
    assert json.loads(by_label["plain"]["seconds_by"]) == {EPYC: 0.25, XEON: 125.0}
    assert {label: line["reference"] for label, line in by_label.items()} == {
        "plain": "false",
        "tuned": "true",
        "control": "false",
    }
    assert {line["looks"] for line in lines} == {"2"}


def test_seconds_have_no_exponent_where_a_person_would_write_none() -> None:
    assert [table.seconds(entry_of(value)) for value in (123.4, 12.3, 9.87, 0.0123, float("nan"))] == [
        "123",
        "12",
        "9.9",
        "0.012",
        "",
    ]


def entry_of(value: float) -> Any:
    return type("Made", (), {"seconds": value, "seconds_by": {}})()


# ---- marks and notes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("format_", "mark"), [("rich", "tuned†"), ("markdown", "tuned†"), ("latex", r"$^{\dagger}$")])
def test_reference_results_are_marked_and_explained(full: Summary, format_: str, mark: str) -> None:
    text = " ".join(render(full, format_).replace(r"$\dagger$", "†").split())
    assert mark in text
    assert "†: reference results that come with bench, not run here." in text
    assert "†: computed by older code of the same declared version: tuned." in text
    plain = render(change(replace(full, older=[]), tuned={"reference": False}), format_)
    assert "†" not in plain.replace(r"\dagger", "†")


@pytest.mark.parametrize("format_", TEXTS)
def test_notes_say_what_the_reader_must_know(full: Summary, format_: str) -> None:
    text = " ".join(render(full, format_).replace("~", " ").replace(r"\,\%", " %").replace("--", "-").split())
    assert "Clopper-Pearson intervals (95 % over all looks)" in text
    assert "5 % level over all looks" in text
    assert "Controls are shown as ceiling and floor and never compared." in text
    assert "Trials of another seed stand beside." in text
    assert "Not run yet: missing." in text
    assert "3 stored trials are set aside" in text
    saved = f"40 of {sum(entry.n_attempted for entry in full.table()) + 40} trials saved"
    assert (
        f"m = 50 stopped at 50 trials, m = 100 goes on to 100 trials, m = 200 goes on to 200 trials; {saved}." in text
    )
    assert "whichever of the 2 looks (50, 100)" in text


def test_without_looks_the_level_is_that_of_one(made: Make) -> None:
    notes = table.notes(made(), "success")
    assert notes[0] == "Share of all attempted trials, with Clopper-Pearson intervals (95 %)."
    assert notes[1].endswith("Holm-adjusted over all 3 pairs of the table, 5 % level.")


def test_a_mean_names_its_test(made: Make) -> None:
    class Score(ReportedMetric):
        name, kind, direction = "success", "mean", "higher"

    summary = made()
    tested = [replace(each, test="permutation") for each in summary.comparisons]
    summary = replace(summary, comparisons=tested, metrics={**summary.metrics, "success": Score()})
    interval, test = table.notes(summary, "success")[:2]
    assert interval == "Mean with Student's t intervals (95 %)."
    assert test.startswith("vs best: sign-flip permutation test on the trials that both have, ")


@pytest.mark.parametrize("format_", TEXTS)
def test_claims_stand_below_the_table(full: Summary, format_: str) -> None:
    text = " ".join(render(full, format_).replace(r"$\sigma$$^{2}$", "σ²").split())
    assert re.search("[Cc]laims.*: 1 supported, 1 contradicted", text)
    assert "A claim of σ²" in text
    assert "because of that" in text
    assert ("contradicted (expected)" if format_ != "latex" else "Wrong (Section 1; expected)") in text
    assert ("✓ supported ✗ contradicted ? inconclusive" in text) == (format_ != "latex")  # which says it in words
    assert "Intervals allow for all 2 primary claims of the suite together" in text
    assert "part of A claim" not in text  # that is what `bench verify` is for
    assert "laims of the s" not in render(replace(full, claims=[]), format_)


@pytest.mark.parametrize("format_", sorted(FORMATS.keys() - {"html"}))
def test_a_table_of_nothing_is_no_fault(made: Make, format_: str) -> None:
    assert render(replace(made(), entries=[], comparisons=[], absent=["plain"]), format_)


@pytest.mark.parametrize("format_", TEXTS)
def test_what_did_not_run_says_so(made: Make, format_: str) -> None:
    nothing = {"n_attempted": 0, "estimate": float("nan"), "low": float("nan"), "high": float("nan"), "verdict": ""}
    summary = change(made(), tuned=nothing, plain=nothing | {"skipped": "needs & lacks a_density"})
    text = render(summary, format_)
    assert "not run" in text
    assert "skipped" in text
    assert "nan" not in text
    assert "Skipped, and in no denominator: plain: needs & lacks a_density." in re.sub(r"\\(?=[&_])", "", text)


# ---- the terminal ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_nothing_on_the_terminal_is_wider_than_it(full: Summary, width: int) -> None:
    lines = render(full, "rich", width).splitlines()
    assert max(map(len, lines)) <= width
    headers = [line for line in lines if line.startswith(" label")]
    assert "success [95 %]   trials" in headers[0]
    told = " ".join(headers)
    assert all(told.count(f" {title}") == 1 for title in ("vs best", "s/trial A", "s/trial B", "steps", "samples"))
    assert (len(headers) == 2) == (width == 160)  # that of the tuning is the last


def test_a_long_label_has_a_line_of_its_own(made: Make) -> None:
    long = "a-label-that-is-much-longer-than-half-of-a-narrow-terminal"
    lines = render(made((long, "tuned")), "rich", 80).splitlines()
    index = lines.index(f"   {long}")
    assert re.match(r" +\d\.\d{3} \[", lines[index + 1])
    assert max(map(len, lines)) <= 80


# ---- Markdown --------------------------------------------------------------------------------------------------------


def test_markdown_aligns_numbers_and_reads_as_plain_text(full: Summary) -> None:
    text = render(full, "markdown")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    table_rows = rows[: 2 + len(full.table())]
    assert len({len(line) for line in table_rows}) == 1
    assert len({tuple(m.start() for m in re.finditer(r"\|", line)) for line in table_rows}) == 1
    html = MarkdownIt("commonmark").enable("table").render(text)
    assert html.count('<td style="text-align:right">') > len(full.table())
    assert html.count("<table>") == 2  # with that of the tuning
    assert "<li>†: reference results" in html


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], include_characters=" "), max_size=20)
TEXT = TEXT.filter(str.strip)


@settings(max_examples=60, deadline=None)
@given(text=TEXT | st.sampled_from(["- a", "1. a", "+", "---", "===", "[x]: y", "> a", "# a", "[ ] a", "***", "1) a"]))
def test_a_title_and_a_note_are_text_in_markdown(small: Summary, text: str) -> None:
    document = render(replace(small, title=text, source=text, also=[text]), "markdown")
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(document)
    inline = [token for token in tokens if token.type == "inline"]
    texts = ["".join(child.content for child in token.children or []) for token in inline]
    assert texts[:2] == [" ".join(text.split())] * 2
    assert texts[2:].count(texts[0]) >= 1
    assert {child.type for token in inline for child in token.children or []} <= {
        "text",
        "text_special",
        "strong_open",
        "strong_close",
    }


# ---- LaTeX -----------------------------------------------------------------------------------------------------------

COMMANDS = """begin end centering caption label par smallskip medskip footnotesize setlength tabcolsep toprule midrule
    bottomrule addlinespace textbf textit emph underline phantom linewidth raggedright hangindent hspace ref
    addtocounter"""


def bare(document: str) -> str:
    """Return what is left to be obeyed once escaped characters, formulas and comments are out."""
    text = re.sub(r"^%.*\n", "", document)
    text = re.sub(r"\\label\{[\w.:-]*\}|\\ref\{[\w.:-]*\}", "", text)
    text = re.sub(r"\\[&%$#_{}]|\\[`'^~=.\"](?=\{)", "", text)
    return re.sub(r"\$[^$\n]*\$", "", text)


def check_latex(document: str, *, rows: int) -> None:
    """Check that a document is tables of ours and nothing else, the first of them with so many rows."""
    assert document.isascii()
    text = bare(document)
    assert not set("#%_^$") & set(text)
    assert text.count("{") == text.count("}")
    depth = 0
    for brace in re.findall("[{}]", text):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    open_: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            open_.append(name)
        else:
            assert open_.pop() == name
    assert open_ == []
    bodies = re.findall(r"\\begin\{tabular\}\{@\{\}([^\n]*)@\{\}\}\n(.*?)\\end\{tabular\}", document, re.DOTALL)
    assert len(bodies) == document.count(r"\begin{table}[t")
    found = []
    for spec, body in bodies:
        columns = len(re.sub(r"p\{[^}]*\}", "p", spec))
        lines = body.splitlines()
        assert all(line.endswith(r" \\") or re.fullmatch(r"\\\w+(\[2pt\])?", line) for line in lines)
        found.append([line for line in lines if line.endswith(r" \\")])
        assert {len(re.findall(r"(?<!\\)&", line)) for line in found[-1]} == {columns - 1}
        assert not [line for line in lines if line.startswith(("[", "*"))]
    assert len(found[0]) == 1 + rows
    accents = {*"`'^~=.u\"rHvc", *"lLoOSPij", "ae", "AE", "oe", "OE", "ss"}
    signs = {"textbackslash", "textasciitilde", "textasciicircum", "char", "pounds", "copyright", "dots"}
    signs |= {"textendash", "textemdash", "textquoteleft", "textquoteright", "textquotedblleft", "textquotedblright"}
    assert set(re.findall(r"\\([a-zA-Z]+)", text)) <= {*COMMANDS.split()} | accents | signs


def test_latex_is_tables_of_ours(full: Summary) -> None:
    text = render(full, "latex")
    check_latex(text, rows=len(full.table()))
    for name in ("made-success", "made-success-cost", "made-success-claims", "made-success-tuning"):
        assert text.count(rf"\label{{tab:{name}}}") == 1
    caption = re.search(r"\\caption\[\{Made of nothing\}\]\{(.*)\}\n", text)
    assert caption is not None
    assert "share of trials with \\emph{success} (higher is better) over 30 trials per method" in caption[1]
    assert "$d$ = 3" in caption[1]
    assert "exact McNemar test on the trials that both have, Holm-adjusted over all 3 pairs" in caption[1]
    assert r"\textit{control}" in text
    assert text.count(r"\textbf{") >= 3
    assert r"2 (1 error, 1 nan)" in text


def test_latex_tells_a_range_of_trials(made: Make) -> None:
    text = render(change(made(), plain={"n_attempted": 12}), "latex")
    assert "over 12 to 30 trials per method" in text
    assert r"$m$ & method & success & 95 \% & trials & tuned & s/trial &" in text


def test_latex_aligns_decimal_points(made: Make) -> None:
    summary = replace(made(places=(50,)), metric="error")
    values = {"plain": 0.0123, "tuned": 12.5, "control": 1.0}
    summary = change(summary, **{label: {"estimate": value, "low": -2e-5} for label, value in values.items()})
    text = render(summary, "latex")
    for shown in (r"0.0123", r"12.5\phantom{000}", r"1.00\phantom{00}", r"[$-$2.00$\times10^{-5}$, "):
        assert shown in text


def test_a_table_longer_than_a_page_becomes_several(made: Make) -> None:
    summary = made([f"label{i}" for i in range(9)], range(50, 1050, 100), trials=10)
    text = render(summary, "latex")
    main = text.partition("-cost}")[0]
    parts = [part.count(r" \\") - 1 for part in main.split(r"\begin{table}")[1:]]
    assert (sum(parts[:3]), max(parts[:3])) == (90, 36)
    assert main.count(r"\addtocounter{table}{-1}") == main.count("(continued)") == 2


def test_two_runs_of_a_suite_have_two_labels(made: Make) -> None:
    text = FORMATS["latex"].render([made(), made()], width=80, color=False)
    assert text.count(r"\label{tab:made-success}") == text.count(r"\label{tab:made-success-2}") == 1


HOSTILE = [
    r"a\b_{c}^$d$",
    "50 % ~ #1 & <more>",
    "[red]x|y<b>",
    "*x",
    "--?`!`",
    '"q"',
    r"\end{table}",
    "%",
    "a & b \\\\",
]


@settings(max_examples=60, deadline=None)
@given(text=TEXT | st.sampled_from(HOSTILE))
def test_no_text_is_obeyed_by_latex(small: Summary, hostile: Summary, text: str) -> None:
    claims, selections = [replace(hostile.claims[0], text=text)], [replace(hostile.selections[0], label=text)]
    summary = replace(small, title=text, source=text, also=[text], claims=claims, selections=selections)
    check_latex(render(change(summary, plain={"label": text}), "latex"), rows=3)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126)))
def test_every_ascii_character_is_printed_as_it_is(text: str) -> None:
    named = {"textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "char34": '"'}
    shown = re.sub(r"\\([a-z]+[0-9]*)\{\}", lambda m: named[m[1]].replace("\\", "\0"), escape(text))
    shown = re.sub(r"\$([<>|])\$", r"\1", shown)
    shown = re.sub(r"\\([&%$#_{}])", lambda m: {"{": "\1", "}": "\2"}.get(m[1], m[1]), shown)
    shown = shown.replace("{}", "").translate({0: "\\", 1: "{", 2: "}"})
    assert shown == text
    assert not re.search(r"--|''|``|,,|[?!]`|~", escape(text))


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("σ² ≥ 0", r"$\sigma$$^{2}$ $\geq$ 0"),
        ("a → ∞ – b†", r"a $\rightarrow$ $\infty$ \textendash{} b$\dagger$"),
        ("Gödel, Çağ, Łoś", r"G\"{o}del, \c{C}a\u{g}, \L{}o\'{s}"),
        ("x₀ ΔΩ ς", r"x$_{0}$ $\Delta$$\Omega$ $\varsigma$"),
        ("漢 \u202e", "[U+6F22] [U+202E]"),
    ],
)
def test_characters_beyond_ascii_are_printed_or_named(text: str, latex: str) -> None:
    assert escape(text) == latex


def everything() -> str:
    """Return every character that may have LaTeX of its own, and a hundred others."""
    ranges = [(0x20, 0x250), (0x370, 0x400), (0x1E00, 0x1F00), (0x2010, 0x2050), (0x2070, 0x20A0), (0x2100, 0x2300)]
    return " ".join(chr(i) for first, last in [*ranges, (0x2700, 0x2720), (0x27E6, 0x27EC)] for i in range(first, last))


def compiled(folder: Path, content: str) -> str:
    """Return what pdfLaTeX says about an article with this content."""
    document = (
        f"\\documentclass{{article}}\n\\usepackage{{booktabs}}\n\\begin{{document}}\n{content}\n\\end{{document}}\n"
    )
    (folder / "t.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "t.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "Missing character" not in done.stdout
    return done.stdout


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex")
def test_latex_compiles_and_fits_on_pages(full: Summary, made: Make, tmp_path: Path) -> None:
    many = made([f"label{i}" for i in range(9)], range(50, 1050, 100), trials=10)
    wide = made(("a-label-of-some-length", "tuned", "control"), (50, 100), older=["tuned"])
    long = replace(full, claims=list(full.claims) * 12, selections=list(full.selections) * 14)
    told = compiled(tmp_path, FORMATS["latex"].render([long, many, wide], width=80, color=False))
    assert "Float too large" not in told
    assert "Overfull" not in told


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex")
def test_latex_compiles_whatever_the_texts_are(hostile: Summary, tmp_path: Path) -> None:
    compiled(tmp_path, f"{render(hostile, 'latex')}\n\\clearpage {escape(everything())}\n")
