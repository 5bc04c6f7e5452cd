"""Summary -> text: one format per renderer, each behind the public hook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from bench_core.summary import Summary

__all__ = ["FolderFormat", "Format"]


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
