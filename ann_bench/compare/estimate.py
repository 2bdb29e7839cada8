"""How large a change is, from one number per launch: an estimate, an exact interval, and when to look.

Hodges and Lehmann's estimate (1963) is the median of all means of two launches (a launch with itself too);
the interval is the one that goes with Wilcoxon's signed-rank test, exact for any symmetric noise. Launches
come in looks of 8, 16 and 32; each look spends a part of alpha, so that whichever is the last, its interval
misses the truth in at most 5 % of all runs (Bonferroni's bound: no assumption on how the looks depend on each
other).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

ALPHA = 0.05
LOOKS = (8, 16, 32)
# At the first look just what its widest interval, all that 8 launches span, costs; the second decides most
# runs.
SPENT = (2 / 2**8, 0.015, ALPHA - 2 / 2**8 - 0.015)


@dataclass(frozen=True)
class Estimate:
    """A change in log units with its interval, which holds the truth with probability `confidence`."""

    change: float
    low: float
    high: float
    confidence: float
    launches: int

    @property
    def half_width(self) -> float:
        """The longer side of the interval."""
        return max(self.change - self.low, self.high - self.change)


def alpha_of(launches: int) -> float:
    """Return the alpha that a look at so many launches may spend; between looks, that of the look before."""
    return dict(zip(LOOKS, SPENT, strict=True))[
        max((look for look in LOOKS if look <= launches), default=LOOKS[0])
    ]


def estimate(changes: Sequence[float] | npt.NDArray[np.float64], alpha: float | None = None) -> Estimate:
    """Return the estimate of the change and its two-sided interval.

    Parameters
    ----------
    changes
        The change that each launch showed, in log units; at least one.
    alpha
        What the interval may spend, `alpha_of` the number of launches by default. Where they are too few for
        it, the interval is all that they span, and its `confidence` is what that has.
    """
    values = np.asarray(changes, dtype=np.float64)
    n = len(values)
    first, second = np.triu_indices(n)
    means = np.sort((values[first] + values[second]) / 2)
    below = _null(n).cumsum()
    outside = int(np.searchsorted(below, (alpha_of(n) if alpha is None else alpha) / 2, side="right"))
    outside = max(outside, 1)
    confidence = 1 - 2 * float(below[outside - 1])
    return Estimate(float(np.median(means)), float(means[outside - 1]), float(means[-outside]), confidence, n)


def p_slower(changes: Sequence[float] | npt.NDArray[np.float64]) -> float:
    """Return the one-sided p-value of the signed-rank test for a change that is no slowdown (>= 0)."""
    values = np.asarray(changes, dtype=np.float64)
    ranks = np.abs(values).argsort().argsort() + 1
    return float(_null(len(values))[: int(ranks[values > 0].sum()) + 1].sum())


@cache
def _null(n: int) -> npt.NDArray[np.float64]:
    """Return the probability of each sum of the ranks 1..n that carry a plus, where signs are fair coins."""
    counts = np.ones(1)
    for rank in range(1, n + 1):
        counts = np.pad(counts, (0, rank)) + np.pad(counts, (rank, 0))
    return counts / 2.0**n
