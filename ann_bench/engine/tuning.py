"""How hard a forest must search to find a given share of the neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ann_bench.engine.forest import Forest

_STEP = 1.03
"""Efforts closer than by this factor are not told apart."""


def tune(forest: Forest, target_recall: float, k: int, queries: int, seed: int, threads: int) -> float:
    """See `Forest.tune`."""
    if not 0 < target_recall <= 1:
        raise ValueError(f"target_recall: got {target_recall}; it is above 0, and 1 at most")
    if k < 1 or queries < 1:
        raise ValueError(f"k, queries: got {k} and {queries}; both are at least 1")
    facts = forest.info()
    rows, present, everything = facts["rows"], facts["present"], facts["n_trees"] * facts["present"]
    if present < 2:
        raise ValueError("an index with fewer than two rows cannot be tuned: no row has a neighbour")
    neighbours = min(k, present - 1)
    asked = np.random.default_rng(seed).permutation(rows)[:queries]
    vectors: npt.NDArray[Any] = np.stack([forest.vector(int(row)) for row in asked])
    if facts["distance"] == "hamming":
        vectors = vectors.astype(np.bool_)

    def distances(search_k: int, rerank: int | None = None) -> npt.NDArray[np.float32]:
        ids, found = forest.query(vectors, neighbours + 1, search_k, rerank=rerank, threads=threads)
        others = np.where(ids == asked[:, None], np.inf, found)
        return np.sort(others, axis=1)[:, :neighbours].astype(np.float32)

    farthest = distances(everything)[:, -1:]

    def reaches(search_k: int, rerank: int) -> bool:
        return bool((distances(search_k, rerank) <= farthest).mean() >= target_recall)

    rerank = 3 * k + 30
    while rerank < present and not reaches(everything - 1, rerank):
        rerank *= 2
    search_k = _smallest(lambda effort: reaches(effort, rerank), neighbours, everything)
    rerank = _smallest(lambda effort: reaches(search_k, effort), neighbours, rerank)
    forest._index.set_default_effort(search_k, rerank)
    return float((distances(search_k, rerank) <= farthest).mean())


def _smallest(enough: Callable[[int], bool], low: int, high: int) -> int:
    """Return about the smallest number in low..high that is enough, where `high` is known to be."""
    while high > low * _STEP and high > low + 1:
        middle = round((low * high) ** 0.5)
        if enough(middle):
            high = middle
        else:
            low = middle
    return high
