"""``bench report --format html``: one folder that opens from the disk, without a network and without a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from bench_core.errors import BenchError
from bench_core.report import FolderFormat

if TYPE_CHECKING:
    from bench_core.summary import Summary

ASSETS = ("index.html", "page.css", "page.js")


class HtmlFormat(FolderFormat):
    """For the browser: tables that sort and filter, plots, and their figures for a paper."""

    name = "html"

    def files(self, summaries: Sequence[Summary]) -> Mapping[str, bytes]:
        from bench_core.report import figures
        from bench_core.report.html import page

        files = {asset: Path(__file__).with_name(asset).read_bytes() for asset in ASSETS}
        files["data.js"] = page.script(page.data(summaries))
        files["plotly.min.js"] = _plotly()
        for summary, named in zip(summaries, figures.names(summaries), strict=True):
            for metric, name in named.items():
                drawn = figures.draw(summary, metric)
                files |= {f"figures/{name}.{suffix}": content for suffix, content in drawn.items()}
        return files


def _plotly() -> bytes:
    """Return the script that the package plotly brings along, without importing the package, which takes long."""
    spec = find_spec("plotly")
    for folder in spec.submodule_search_locations or () if spec else ():
        path = Path(folder) / "package_data" / "plotly.min.js"
        if path.is_file():
            return path.read_bytes()
    raise BenchError("the package plotly, which draws the plots of the report, is not installed: pip install plotly")
