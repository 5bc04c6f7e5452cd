"""Quantities: numbers that are computed without trials, for claims about what a paper proves."""

from __future__ import annotations

from bench_core.quantities.base import Outcome, Quantity

__all__ = ["Outcome", "Quantity"]
