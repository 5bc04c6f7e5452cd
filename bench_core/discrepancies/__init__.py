"""Discrepancies between two samples: numbers that are small when the samples come from one distribution."""

from __future__ import annotations

from bench_core.discrepancies.gcmmd import gcmmd2
from bench_core.discrepancies.lipmmd import ConvergenceWarning, LipMMD, lipmmd
from bench_core.discrepancies.mmd import BandwidthWarning, mmd2, mmd2_against, witness
from bench_core.discrepancies.optimised import Optimised, optimised
from bench_core.discrepancies.smmd import smmd2, smmd_scale

__all__ = [
    "BandwidthWarning",
    "ConvergenceWarning",
    "LipMMD",
    "Optimised",
    "gcmmd2",
    "lipmmd",
    "mmd2",
    "mmd2_against",
    "optimised",
    "smmd2",
    "smmd_scale",
    "witness",
]
