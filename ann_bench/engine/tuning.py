"""How hard an index must search to find a given share of the neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from ann_bench.engine.arrays import as_engine_array

if TYPE_CHECKING:
    from ann_bench.engine.kind import KindOfIndex

DEFAULT_RECALLS = (0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
"""What `recall=` of a query can ask for, besides the target."""

_STEP = 1.04
"""Efforts closer than by this factor are not told apart."""

_MORE_REACH = (1.0, 1.15, 1.4)
"""A search that reaches further needs to compare fewer rows exactly: what is tried, as factors."""

Distances = npt.NDArray[np.float32]
Effort = tuple[int, int]
"""Reach and rerank."""


def tune(
    index: KindOfIndex,
    target_recall: float,
    k: int,
    recalls: tuple[float, ...],
    queries: int | npt.ArrayLike,
    seed: int,
    threads: int,
) -> float:
    """See `KindOfIndex.tune`."""
    for recall in (target_recall, *recalls):
        if not 0 < recall <= 1:
            raise ValueError(f"target_recall: got {recall}; it is above 0, and 1 at most")
    if k < 1 or (isinstance(queries, int) and queries < 1):
        raise ValueError(f"k, queries: got {k} and {queries!r}; both are at least 1")
    if index.info()["present"] < 2:
        raise ValueError("an index with fewer than two rows cannot be tuned: no row has a neighbour")
    tuner = Tuner(index, k, queries, seed, threads)
    target = tuner.least_effort(target_recall)
    others = [(recall, tuner.least_effort(recall)) for recall in sorted(recalls) if recall != target_recall]
    index._index.set_tuned([(recall, k, *effort) for recall, effort in [(target_recall, target), *others]])
    return tuner.recall(target)


class Prices(NamedTuple):
    """What a query, an estimate and an exact distance take, in ns of the machine that they were fitted on.

    Elsewhere times are other ones, in much the same ratios. A clock in their place would make another file on
    each machine.
    """

    query_ns: float
    estimate_ns: float
    exact_ns: float


def prices(index: KindOfIndex) -> Prices:
    """Return what an index's queries take."""
    info = index.info()
    of_bits = index.distance in ("hamming", "jaccard")
    value_bytes = 1 / 8 if of_bits else np.dtype(info.get("row_type", "float32")).itemsize
    exact_ns = 40 + 0.1 * value_bytes * index.dimension
    if index.kind == "graph":
        return Prices(0, 8 + 8 * info["code_width"] / 128, exact_ns)
    if index.kind == "cluster":
        entry_bytes = 8 + info["code_width"] / 4
        return Prices(4000 + 18 * info["code_width"], 0.3 + 0.032 * entry_bytes, exact_ns)
    return Prices(3000, 4, exact_ns)


class Tuner:
    """Finds, for one index and one `k`, the effort that reaches a recall and costs least.

    Parameters are those of `KindOfIndex.tune`. A search costs what it looks at, by its `prices`.
    """

    def __init__(
        self, index: KindOfIndex, k: int, queries: int | npt.ArrayLike, seed: int, threads: int
    ) -> None:
        self._index = index._index
        self._threads = threads
        self._k = min(k, index.info()["present"] - 1)
        self._whole: Effort = self._index.whole_effort()
        self._prices = prices(index)
        self._known: dict[Effort, tuple[float, float]] = {}
        self._ask = self._asker(index, queries, seed)
        self._farthest = self._ask(self._whole)[:, -1:]

    def recall(self, effort: Effort) -> float:
        """Return the share of the neighbours that searches with this effort find."""
        return self._measure(effort)[0]

    def cost(self, effort: Effort) -> float:
        """Return what a search with this effort takes on average, in ns by its `prices`."""
        return self._measure(effort)[1]

    def least_effort(self, target_recall: float) -> Effort:
        """Return the effort that reaches the recall and costs least; the whole one if no other does."""
        whole_reach, whole_rerank = self._whole
        wide = min(max(self._index.usual_effort(self._k)[1], 3 * self._k + 30), whole_rerank)
        most = max(whole_reach - 1, 1)
        while wide < whole_rerank and self.recall((most, wide)) < target_recall:
            wide = min(2 * wide, whole_rerank)
        if self.recall((most, wide)) < target_recall:
            return self._whole
        reach = _smallest(self._reaches(target_recall, rerank=wide), 1, most)
        found = [(reach, wide)]
        for factor in _MORE_REACH:
            further = min(round(reach * factor), most)
            if self.recall((further, wide)) >= target_recall:
                enough = self._reaches(target_recall, reach=further)
                found.append((further, _smallest(enough, self._k, wide)))
        return min(found, key=self.cost)

    def _reaches(
        self, target_recall: float, *, reach: int | None = None, rerank: int | None = None
    ) -> Callable[[int], bool]:
        """Return what tells whether an effort is enough, by the half of it that is not given."""

        def enough(number: int) -> bool:
            effort = number if reach is None else reach, number if rerank is None else rerank
            return self.recall(effort) >= target_recall

        return enough

    def _measure(self, effort: Effort) -> tuple[float, float]:
        if effort not in self._known:
            before = self._index.distance_computations
            distances = self._ask(effort)
            computed = (self._index.distance_computations - before) / len(distances)
            recall = float((distances <= self._farthest).mean())
            query_ns, estimate_ns, exact_ns = self._prices
            cost_ns = query_ns + estimate_ns * computed + exact_ns * max(effort[1], self._k)
            self._known[effort] = recall, cost_ns
        return self._known[effort]

    def _asker(
        self, index: KindOfIndex, queries: int | npt.ArrayLike, seed: int
    ) -> Callable[[Effort], Distances]:
        """Return what gives the distances that searches find, shape (m, k)."""
        if not isinstance(queries, int):
            sample = as_engine_array(queries, index.distance, "queries")
            if sample.ndim != 2 or len(sample) == 0:
                raise ValueError(
                    f"queries: got shape {sample.shape}; a sample has shape (m, {index.dimension})"
                )
            return lambda effort: self._index.query(sample, self._k, *effort, None, None, self._threads)[1]
        rng = np.random.default_rng(seed)
        rows = rng.choice(len(index), size=min(queries, len(index)), replace=False).astype(np.uint32)
        return lambda effort: self._index.query_rows(rows, self._k, *effort, self._threads)[1]


def _smallest(enough: Callable[[int], bool], low: int, high: int) -> int:
    """Return about the smallest number in low..high that is enough, where `high` is known to be."""
    if enough(low):
        return low
    while high > low * _STEP and high > low + 1:
        middle = round((low * high) ** 0.5)
        middle = min(max(middle, low + 1), high - 1)
        if enough(middle):
            high = middle
        else:
            low = middle
    return high
