"""The statistics beside every number: an interval for a value, a paired test for a difference, and what a test could not see.

    wilson(48, 60)                                  # Interval(0.682, 0.882)
    bca(scores, families)                           # interval of a mean, whole problem families drawn
    mcnemar(wins=20, losses=10)                     # 0.0987
    permutation(adapter - base, families)           # p of a difference, signs flipped by family
    holm([0.01, 0.04, 0.03])                        # corrected over a table
    minimum_detectable(adapter - base, families)    # the difference that would have been seen in four of five repeats
    rank_groups(different)                          # letters instead of ranks

Pure functions of counts and numpy arrays; no SciPy, no state, and the same result for the same seed.
How often each is right is simulated in tests/test_evalsuite_statistics.py and benchmarks/statistics_simulation.py.
"""

from evalsuite.statistics.bootstrap import RESAMPLES, bca, paired_bootstrap
from evalsuite.statistics.interval import Z95, Interval, t_quantile, wilson
from evalsuite.statistics.paired import mcnemar, permutation
from evalsuite.statistics.power import minimum_detectable
from evalsuite.statistics.tables import holm, rank_groups

__all__ = [
    "RESAMPLES",
    "Z95",
    "Interval",
    "bca",
    "holm",
    "mcnemar",
    "minimum_detectable",
    "paired_bootstrap",
    "permutation",
    "rank_groups",
    "t_quantile",
    "wilson",
]
