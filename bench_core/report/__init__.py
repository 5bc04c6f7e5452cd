"""Summary -> text: one format per renderer, each behind the public hook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from bench_core.summary import Summary

__all__ = ["Format"]


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
