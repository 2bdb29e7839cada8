"""Sets for tests, made of bits."""

from typing import Any

import numpy as np

from ann_bench.worker.sets import Sets


def as_sets(bits: Any) -> Sets:
    """Return per row of `bits` (n, d) the set of the columns that are true."""
    offsets = np.concatenate([[0], np.cumsum(bits.sum(axis=1))])
    return Sets(np.nonzero(bits)[1].astype(np.int32), offsets, bits.shape[1])


def suited(distance: str, rows: Any) -> Any:
    """Return float rows as that distance takes them: as bits for hamming, as sets for jaccard."""
    if distance == "jaccard":
        return as_sets(rows > 0)
    return rows > 0 if distance == "hamming" else rows
