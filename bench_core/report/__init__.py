"""Summary -> text and figures: one format per renderer, one class per figure, each behind the public hook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bench_core.summary import Summary

__all__ = ["FolderFormat", "Format", "PaperFigure"]


class Format(ABC):
    """A way to print comparison tables."""

    name: ClassVar[str]
    """What follows ``bench report --format``."""

    @abstractmethod
    def render(self, summaries: Sequence[Summary], *, width: int, color: bool) -> str:
        """Return the tables as text.

        Args:
            summaries: one per suite.
            width: columns of the terminal, for formats that care.
            color: whether escape sequences may be used.
        """


class FolderFormat(Format):
    """A way to write a report as a folder of files that opens from the disk."""

    opens: ClassVar[str] = "index.html"
    """The file to open first."""

    @abstractmethod
    def files(self, summaries: Sequence[Summary]) -> Mapping[str, bytes]:
        """Return path inside the folder -> content, ``opens`` among them."""

    def render(self, summaries: Sequence[Summary], *, width: int, color: bool) -> str:
        """Return the file to open first, without what lies beside it."""
        return self.files(summaries)[self.opens].decode()


class PaperFigure(ABC):
    """A figure of a paper, as ``bench figure NAME`` draws it.

    ``bench list figures`` shows the first sentence of the class's documentation.
    """

    name: ClassVar[str]
    """What follows ``bench figure``."""
    source: ClassVar[str] = ""
    """Paper and number of the figure."""
    needs_results: ClassVar[bool] = False
    """Whether it is drawn from the results of a suite, which the user names."""

    @abstractmethod
    def draw(self, summary: Summary | None, labels: Sequence[str]) -> Figure:
        """Return the figure; it is made in the settings of ``report.figures`` and saved by the caller.

        Args:
            summary: of the suite's results; None where none are needed.
            labels: those that the user chose; empty: the figure's own choice.
        """
