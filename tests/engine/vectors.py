"""Seeded vectors for every distance, and the exact answers to them."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ann_bench.distances import distances_to

Array = npt.NDArray[Any]


def make_vectors(distance: str, n: int, dimension: int, seed: int) -> Array:
    """Rows around a few centres (the same for every seed): bool for hamming, float32 otherwise."""
    centres = np.random.default_rng(99).standard_normal((12, dimension))
    rng = np.random.default_rng(seed)
    rows = centres[rng.integers(len(centres), size=n)] + 0.7 * rng.standard_normal((n, dimension))
    return rows > 0 if distance == "hamming" else rows.astype(np.float32)


def exact_distances(distance: str, queries: Array, train: Array) -> Array:
    """Return all float64 distances, shape (q, n)."""
    return distances_to(distance, queries, train, np.tile(np.arange(len(train)), (len(queries), 1)))
