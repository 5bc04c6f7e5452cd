"""The page in a browser, opened from the disk: what a reader can do, and what a stranger's names cannot."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bench_core.report import html, table
from bench_core.summary import Summary

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

IMAGE, SCRIPT, BOLD = "<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>", "<b>bold</b>"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@dataclass
class Opened:
    """A page, and all that went on behind it."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder / "index.html"


def visit(browser: Browser, path: Path, **options: Any) -> Opened:
    page = browser.new_page(**options)
    opened = Opened(page)
    page.on("request", lambda request: opened.requests.append(request.url))
    page.on("console", lambda message: opened.complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: opened.complaints.append(str(error)))

    def refuse(dialog: Any) -> None:
        opened.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    page.on("dialog", refuse)
    page.goto(path.as_uri())
    return opened


@pytest.fixture(scope="module")
def opened(browser: Browser, hostile_files: Mapping[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """The hostile suite, once all its plots are drawn."""
    path = write(tmp_path_factory.mktemp("report"), hostile_files)
    opened = visit(browser, path, viewport={"width": 1300, "height": 900})
    opened.page.wait_for_selector("html[data-plots=drawn]", state="attached", timeout=60_000)
    return opened


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Page:
    """A page to which plots never come, which saves their time and takes nothing else away."""
    page = browser.new_page(viewport={"width": 1300, "height": 900})
    page.route("**/plotly.min.js", lambda route: route.abort())
    return page


@pytest.fixture
def page(tab: Page, opened: Opened) -> Page:
    """The same report, as if it had just been opened."""
    tab.goto(opened.page.url)
    return tab


def column(page: Page, title: str) -> list[str]:
    """Return what stands in the column of that heading, from top to bottom."""
    heads = page.locator("#s0-table thead th button").all_inner_texts()
    (at,) = [index for index, head in enumerate(heads) if head == title]
    return page.locator(f"#s0-table tbody tr > :nth-child({at + 1})").all_inner_texts()


def heading(page: Page, title: str) -> Any:
    return page.locator("#s0-table thead th", has=page.get_by_role("button", name=title, exact=True))


# ---- what a stranger wrote is text -----------------------------------------------------------------------------------


def test_names_are_shown_and_never_obeyed(opened: Opened) -> None:
    page = opened.page
    labels = page.locator("#s0-table .more").all_inner_texts()
    for name in (IMAGE, SCRIPT, BOLD, "__proto__", "$\\alpha$ %{y} &lt;i&gt;", "_hid\\u202eden\\x1b[31m\\x00"):
        assert f"{name}" in [label.strip() for label in labels], name
    assert page.title() == f"Title {SCRIPT}"
    assert page.locator("img, b, i, iframe, object, embed").count() == 0
    assert page.locator("script").count() == 3  # ours, and plotly once it is needed
    assert page.evaluate("Object.prototype.name") is None


def test_plots_are_drawn_and_their_legends_say_the_names(opened: Opened) -> None:
    page = opened.page
    titles = page.locator("#s0-plots h4").all_inner_texts()
    assert titles == [
        "Success against m",
        "Paired differences",
        "Performance profiles",
        "Error along the way",
        "Time against quality",
        "Single trials",
        "Tuning",
        "How trials ended",
    ]
    assert page.locator("#s0-plots .plot .main-svg:first-of-type").count() == len(titles)
    legend = page.locator("#s0-plots .legendtext").all_text_contents()
    assert {IMAGE, SCRIPT, BOLD, "$\\alpha$ %{y} &lt;i&gt;", "control†"} <= set(legend)
    assert page.locator(".plot svg a, .plot svg image").count() == 0


def test_a_hover_text_is_text(opened: Opened) -> None:
    page = opened.page
    page.locator("#s0-plots").scroll_into_view_if_needed()
    plot = page.locator("#s0-plots .plot").first
    plot.scroll_into_view_if_needed()
    page.evaluate("Plotly.Fx.hover(document.querySelector('#s0-plots .plot'), [{curveNumber: 1, pointNumber: 0}])")
    text = page.locator("#s0-plots .hoverlayer").first.text_content()
    assert text is not None
    assert IMAGE in text
    assert re.search(r"0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]", text)


def data(page: Page, title: str) -> list[dict[str, Any]]:
    """Return what the plot of that title is drawn from."""
    figure = page.locator("figure", has=page.get_by_role("heading", name=title))
    return list(figure.locator(".plot").evaluate("plot => plot.data"))


def test_paired_differences_are_those_of_the_summary_minus_the_best(opened: Opened, hostile: Summary) -> None:
    best = next(entry.label for entry in hostile.table("success") if entry.verdict == "best")
    drawn = {unescape(trace["text"][0]).partition(" − ")[0]: trace for trace in data(opened.page, "Paired differences")}
    compared = [each for each in hostile.comparisons if each.metric == "success" and each.where["m"] == 50]
    rivals = [each for each in compared if best in (each.a, each.b)]
    assert len(rivals) == 6
    for each in rivals:
        sign, label = (-1, each.b) if each.a == best else (1, each.a)
        low, high = sorted([sign * each.low, sign * each.high])
        trace = drawn[table.clean(label)]
        arms = [trace["y"][0] - trace["error_y"]["arrayminus"][0], trace["y"][0] + trace["error_y"]["array"][0]]
        assert [trace["y"][0], *arms] == pytest.approx([sign * each.difference, low, high])


def test_nothing_but_its_own_files_is_asked_for_and_nobody_complains(opened: Opened) -> None:
    assert {url.rpartition("/")[2].partition("#")[0] for url in opened.requests if not url.startswith("data:")} == {
        "index.html",
        "page.css",
        "page.js",
        "data.js",
        "plotly.min.js",
    }
    assert all(url.startswith(("file:///", "data:")) for url in opened.requests)
    assert opened.complaints == []


# ---- what a reader does ----------------------------------------------------------------------------------------------


def test_columns_sort_by_click_and_by_key(page: Page) -> None:

    def numbers() -> list[float]:
        return [float(text.split()[0]) for text in column(page, "share of success [95 %]")]

    before = numbers()
    head = heading(page, "share of success [95 %]")
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert numbers() == sorted(before)
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert numbers() == sorted(before, reverse=True)
    head.get_by_role("button").press("Space")
    assert head.get_attribute("aria-sort") == "none"
    assert numbers() == before
    heading(page, "label").get_by_role("button").click()
    assert column(page, "label")[0].strip() == "__proto__"
    for _ in ("up", "down"):  # what has no value comes last either way
        heading(page, "s/trial B").get_by_role("button").click()
        assert [text != "" for text in column(page, "s/trial B")] == [True] * 4 + [False] * 12


def test_rows_are_found_by_problem_word_label_and_control(page: Page) -> None:
    status = page.locator("#s0-table .status")
    assert status.inner_text() == "16 of 16 rows"
    page.get_by_label("problem cell").first.select_option(label="m = 100")
    assert status.inner_text() == "8 of 16 rows"
    page.get_by_label("hide controls").check()
    assert status.inner_text() == "7 of 16 rows"
    chip = page.locator(".chip", has_text="tuned")
    chip.press("Space")
    assert chip.get_attribute("aria-pressed") == "false"
    assert status.inner_text() == "6 of 16 rows"
    page.get_by_label("find").fill("BOLD")
    assert column(page, "label") == [f"{BOLD}"]
    page.get_by_label("find").fill("nothing has this")
    assert page.locator("#s0-table .empty").inner_text() == "No row fits the filters."


def test_the_metric_switches_the_table_and_the_plots(page: Page, hostile: Summary) -> None:
    page.get_by_role("radio", name="error").check()
    entry = hostile.table("error")[-1]
    assert f"{entry.estimate:.3g}" in column(page, "median error [95 %]")[-1]
    assert page.locator("#s0-plots h4").first.inner_text() == "Error against m"
    assert "Wilcoxon" in page.locator("#s0-pairs .notes").inner_text()
    assert page.locator("#s0-pairs tbody tr").count() == 21  # of the seven that compete, on the first problem cell


def test_an_interval_says_its_numbers_to_a_mouse_and_to_a_keyboard(opened: Opened, hostile: Summary) -> None:
    page = opened.page
    entry = hostile.table("success")[0]
    tip, bar = page.locator("#tip"), page.locator("#s0-table .bar").first
    assert tip.is_hidden()
    bar.focus()
    shown = tip.inner_text()
    assert IMAGE in shown
    found = [float(number) for number in re.findall(r"\[(.+), (.+)\]", shown)[0]]
    assert found == pytest.approx([entry.low, entry.high], rel=1e-6)
    assert bar.get_attribute("aria-describedby") == "tip"
    bar.press("Escape")
    assert tip.is_hidden()
    page.locator("#s0-table .bar").nth(1).hover()
    assert SCRIPT in tip.inner_text()


def test_a_row_opens_and_tells_how_to_compute_it_again(page: Page) -> None:
    more = page.locator("#s0-table .more").first
    more.press("Enter")
    assert more.get_attribute("aria-expanded") == "true"
    detail = page.locator("#s0-table .detail").inner_text()
    assert "bench run made --method '<img src=x onerror=alert(1)>' --seed 7 --trials 15" in detail
    assert "bench replay " in detail
    assert "boom </script><script>alert(1)</script>" in detail
    more.press("Enter")
    assert page.locator("#s0-table .detail").count() == 0


def test_a_claim_shows_its_verdict_in_words_and_its_parts_on_demand(opened: Opened) -> None:
    page = opened.page
    claims = page.locator("#s0-claims")
    tally = " ".join(claims.locator(".tally").inner_text().split())
    assert tally == "1 supported, 1 contradicted (expected), 1 inconclusive"
    assert "published\n0.25" in claims.inner_text()
    assert claims.locator(".ruling").nth(1).text_content() == "✗contradicted (expected)"
    part = claims.get_by_text(f"part of Claim {IMAGE}")
    assert part.is_hidden()
    claims.locator("summary").first.press("Enter")
    assert part.is_visible()


def test_time_is_held_against_quality_on_one_machine_at_a_time(opened: Opened) -> None:
    page = opened.page
    figure = page.locator("figure", has=page.get_by_role("heading", name="Time against quality"))

    def drawn() -> list[str]:
        traces = figure.locator(".plot").evaluate("plot => plot.data.map(trace => trace.name)")
        front = figure.locator(".plot").evaluate("plot => plot.data[0].x")
        assert len(front) >= 2
        return [trace for trace in traces if trace != "Pareto front"]

    where = figure.get_by_label("machine")
    assert where.locator("option").all_inner_texts() == [
        "A: abacus, 1 thread",
        f"B: abacus {BOLD}, 9 threads",
    ]
    assert "__proto__" not in drawn()
    assert {"tuned", "control†"} < set(drawn())
    where.select_option(index=1)
    assert drawn() == ["__proto__", "tuned"]
    assert [trace["x"] for trace in data(page, "Time against quality")[1:]] == [[2.0], [1.0]]
    assert f"on B: abacus {BOLD}, 9 threads; only labels" in figure.locator("figcaption").inner_text()
    where.select_option(index=0)
    assert len(drawn()) == 7


def test_reference_results_are_told_from_what_ran_here(page: Page) -> None:
    marked = [label.strip() for label in column(page, "label") if "†" in label]
    assert marked == ["control†"] * 2
    assert "30 trials, not run here" in page.locator(".facts").inner_text()
    page.locator("#s0-table .more", has_text="control†").first.click()
    assert "reference results that come with bench" in page.locator("#s0-table .detail").inner_text()
    assert column(page, "s/trial B").count("2") == 2


def test_a_narrow_window_scrolls_tables_and_never_the_page(opened: Opened) -> None:
    page = opened.page
    page.set_viewport_size({"width": 380, "height": 800})
    try:
        assert page.evaluate("document.documentElement.scrollWidth") <= 380
    finally:
        page.set_viewport_size({"width": 1300, "height": 900})


# ---- size, speed, paper ----------------------------------------------------------------------------------------------


def test_forty_cells_are_there_within_a_second(browser: Browser, forty: Mapping[str, bytes], tmp_path: Path) -> None:
    opened = visit(browser, write(tmp_path, forty))
    tables = opened.page.evaluate("performance.getEntriesByName('tables')[0].startTime")
    print(f"40 cells: tables {tables:.0f} ms after the page was asked for")
    assert opened.page.locator("#s0-table tbody tr").count() == 40
    assert tables < 4000  # 200 ms on an idle machine; this one may be busy
    opened.page.close()


def test_without_its_plots_the_page_says_so(page: Page) -> None:
    page.locator("#s0-plots .plot").first.scroll_into_view_if_needed()
    page.get_by_text("Not drawn: plotly.min.js is not beside this page.").first.wait_for()


def inks(page: Page) -> set[str]:
    """Return the colours of the letters in all plots."""
    colors = "plots => plots.map(plot => plot.layout && plot.layout.font.color)"
    return set(page.locator("#s0-plots .plot").evaluate_all(colors))


def test_paper_is_white_and_shows_plots_nobody_scrolled_to(opened: Opened) -> None:
    page = opened.page
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 27)"
    assert inks(page) == {"#e7e9eb"}
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert inks(page) == {"#1b1d1f"}
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert inks(page) == {"#e7e9eb"}
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator(".tools").is_visible()
    assert opened.complaints == []


def luminance(color: str) -> float:
    """Return the relative luminance of WCAG 2 of a colour ``#rrggbb``."""
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize("ground", ["page", "wash", "raised"])
@pytest.mark.parametrize("ink", ["ink", "muted", "accent", "good", "bad"])
def test_text_is_readable_in_both_themes(theme: int, ground: str, ink: str) -> None:
    css = Path(html.__file__).with_name("page.css").read_text(encoding="utf-8")
    found = [re.findall(rf"--{name}: (#[0-9a-f]{{6}});", css)[theme] for name in (ground, ink)]
    low, high = sorted(luminance(color) for color in found)
    assert (high + 0.05) / (low + 0.05) >= 4.5
