"""What building cost BASE and NEW: ratios, with intervals where several indexes of each side were built."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ann_bench.compare.estimate import ALPHA, Estimate, estimate
from ann_bench.compare.indexes import COSTS

# Read off clocks and processes: a single build of each side says nothing of the next.
_NOISY = ("build_wall_ns", "build_cpu_ns", "build_peak_bytes", "index_bytes_resident")
# Six builds or more; of fewer, all that they span holds the truth less often.
LEAST_CONFIDENCE = 0.95
LABELS = {
    "build_wall_ns": "build time",
    "build_cpu_ns": "build CPU time",
    "build_peak_bytes": "peak memory of the build",
    "index_bytes": "index size",
    "index_bytes_resident": "index size in memory",
}


@dataclass(frozen=True)
class Cost:
    """How one cost compares.

    Attributes
    ----------
    base, new
        Medians over the builds, nanoseconds or bytes.
    ratio
        NEW over BASE: less is better.
    interval
        In log units, of the ratio; None where there are too few builds for one.
    """

    name: str
    base: float
    new: float
    ratio: float
    interval: Estimate | None


def compare_costs(plan: Mapping[str, Any]) -> list[Cost]:
    """Return the costs that a comparison's plan can tell apart, those that are known on both sides.

    A single build, which may be an old one from the cache, tells the size of the index and no more.
    """
    builds = plan["builds"]
    found = []
    for name in COSTS:
        base, new = ([costs[name] for costs in plan["sides"][side]["costs"]] for side in ("base", "new"))
        if (builds == 1 and name in _NOISY) or not (_known(base) and _known(new)):
            continue
        ratios = np.log(np.array(new, dtype=float) / np.array(base, dtype=float))
        whole = estimate(ratios, ALPHA)
        interval = whole if whole.confidence >= LEAST_CONFIDENCE else None
        ratio = float(np.exp(whole.change))
        found.append(Cost(name, float(np.median(base)), float(np.median(new)), ratio, interval))
    return found


def _known(values: Sequence[float | None]) -> bool:
    return all(value is not None and value > 0 for value in values)
