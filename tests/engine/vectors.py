"""Seeded vectors for every distance, and the exact answers to them."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ann_bench.distances import distances_to
from tests.wrappers.check_data import as_sets

Array = npt.NDArray[Any]

BIT_DISTANCES = ("hamming", "jaccard")


def make_vectors(distance: str, n: int, dimension: int, seed: int) -> Array:
    """Rows around a few centres (the same for every seed): bool where bits are taken, float32 otherwise."""
    centres = np.random.default_rng(99).standard_normal((12, dimension))
    rng = np.random.default_rng(seed)
    rows = centres[rng.integers(len(centres), size=n)] + 0.7 * rng.standard_normal((n, dimension))
    return rows > 0 if distance in BIT_DISTANCES else rows.astype(np.float32)


def distances_to_rows(distance: str, queries: Array, train: Array, ids: Array) -> Array:
    """Return float64 distances, shape (q, k), as the project defines them; for jaccard of rows of bits."""
    if distance == "jaccard":
        return distances_to(distance, as_sets(queries), as_sets(train), ids)
    return distances_to(distance, queries, train, ids)


def exact_distances(distance: str, queries: Array, train: Array) -> Array:
    """Return all float64 distances, shape (q, n)."""
    return distances_to_rows(distance, queries, train, np.tile(np.arange(len(train)), (len(queries), 1)))
