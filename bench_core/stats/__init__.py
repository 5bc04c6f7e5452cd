"""Statistics of trials: every number in a comparison table that is not a raw count. See docs/statistics.md.

Nothing here reads results or prints. Importing this package loads no scipy; ``scipy.stats`` (0.8 s) is never loaded.
"""

from bench_core.stats.equivalence import Equivalence, equivalence, tost
from bench_core.stats.intervals import Interval, bca, clopper_pearson, interquartile_mean, median, student_t, wilson
from bench_core.stats.multiplicity import holm
from bench_core.stats.paired import (
    MIN_DISCORDANT,
    PairedTest,
    difference,
    mcnemar_exact,
    permutation,
    probability_of_improvement,
    separated,
    tango,
    wilcoxon,
)
from bench_core.stats.pooling import Pooled, pooled, pooled_path
from bench_core.stats.power import (
    WILCOXON_EFFICIENCY,
    detectable_rate_difference,
    detectable_shift,
    mcnemar_power,
    pairs_for_rate_difference,
    pairs_for_shift,
    shift_power,
)
from bench_core.stats.profiles import Profile, performance_profile
from bench_core.stats.ranks import Friedman, Nemenyi, average_ranks, friedman, nemenyi
from bench_core.stats.sequential import looks, path_level, path_p_value, smallest_error
from bench_core.stats.unpaired import MIN_VALUES, fisher_exact, mann_whitney, welch

__all__ = [
    "MIN_DISCORDANT",
    "MIN_VALUES",
    "WILCOXON_EFFICIENCY",
    "Equivalence",
    "Friedman",
    "Interval",
    "Nemenyi",
    "PairedTest",
    "Pooled",
    "Profile",
    "average_ranks",
    "bca",
    "clopper_pearson",
    "detectable_rate_difference",
    "detectable_shift",
    "difference",
    "equivalence",
    "fisher_exact",
    "friedman",
    "holm",
    "interquartile_mean",
    "looks",
    "mann_whitney",
    "mcnemar_exact",
    "mcnemar_power",
    "median",
    "nemenyi",
    "pairs_for_rate_difference",
    "pairs_for_shift",
    "path_level",
    "path_p_value",
    "performance_profile",
    "permutation",
    "pooled",
    "pooled_path",
    "probability_of_improvement",
    "separated",
    "shift_power",
    "smallest_error",
    "student_t",
    "tango",
    "tost",
    "welch",
    "wilcoxon",
    "wilson",
]
