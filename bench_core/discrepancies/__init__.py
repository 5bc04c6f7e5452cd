"""Discrepancies between two samples: numbers that are small when the samples come from one distribution."""

from __future__ import annotations

from bench_core.discrepancies.mmd import BandwidthWarning, mmd2, mmd2_against, witness

__all__ = ["BandwidthWarning", "mmd2", "mmd2_against", "witness"]
