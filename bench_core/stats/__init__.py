"""Intervals, paired tests and multiplicity: every number in a comparison table that is not a raw count.

Nothing here reads results or prints. Importing this package loads no scipy; ``scipy.stats`` (0.8 s) is never loaded.
"""

from bench_core.stats.intervals import Interval, clopper_pearson, median, student_t
from bench_core.stats.multiplicity import holm
from bench_core.stats.paired import MIN_DISCORDANT, PairedTest, mcnemar_exact, separated, tango, wilcoxon

__all__ = [
    "MIN_DISCORDANT",
    "Interval",
    "PairedTest",
    "clopper_pearson",
    "holm",
    "mcnemar_exact",
    "median",
    "separated",
    "student_t",
    "tango",
    "wilcoxon",
]
