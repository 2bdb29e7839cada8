"""Exact answers, and the check of stored answers against them.

One way for every distance: a cheap stand-in of the distance for all pairs (a matrix product where there is
one), every pair kept that rounding could still bring among the k nearest, and those ranked by
`distances.distances_to`, the routine that everything else is judged by. So the result does not depend on
block sizes, on the number of threads, or on which of several equal rows a partial sort happens to keep.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from ann_bench.distances import (
    VECTOR_DISTANCES,
    as_matrix,
    distances_to,
    jaccard,
    rounding_scale,
    values_of_a_row,
)
from ann_bench.worker.sets import Rows, Sets

Vectors = npt.NDArray[np.generic]
Ids = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]

_EPSILON = float(np.finfo(np.float64).eps)
_QUERIES_AT_A_TIME = 1024
_PAIRS_AT_A_TIME = 1 << 22  # 32 MiB of float64
_VALUES_AT_A_TIME = 1 << 23  # 64 MiB of train rows as float64


def exact_neighbors(
    distance: str, train: Rows, test: Rows, k: int, report: Callable[[int], None] | None = None
) -> tuple[Ids, Floats]:
    """Return the ids and float64 distances of the min(k, n) nearest rows of each query, by distance, then id.

    Parameters
    ----------
    distance
        One of `distances.DISTANCES`.
    train, test
        Shapes (n, d) and (q, d), float32, or bool for hamming; finite; `Sets` for jaccard.
    k
        How many neighbours.
    report
        Called now and then with how many pairs of a query and a row were compared since the last call.

    Returns
    -------
    ids, distances
        Shapes (q, min(k, n)), int32 and float64.
    """
    k = min(k, len(train))
    ids = np.empty((len(test), k), dtype=np.int32)
    distances = np.empty((len(test), k))
    scale = rounding_scale(distance, test, train)
    for first in range(0, len(test), _QUERIES_AT_A_TIME):
        part = slice(first, first + _QUERIES_AT_A_TIME)
        ids[part], distances[part] = _nearest(distance, train, test[part], k, scale[part], report)
    return ids, distances


def _nearest(
    distance: str,
    train: Rows,
    queries: Rows,
    k: int,
    scale: Floats,
    report: Callable[[int], None] | None,
) -> tuple[Ids, Floats]:
    """Return ids and distances of the k nearest rows of a block of queries."""
    stand_in = _SetStandIn(queries) if isinstance(queries, Sets) else _StandIn(distance, queries, scale)
    ids = np.full((len(queries), k), -1, dtype=np.int32)
    distances = np.full((len(queries), k), np.inf)
    owners, found = [np.repeat(np.arange(len(queries)), k)], [ids.ravel()]
    rows = max(1, min(_PAIRS_AT_A_TIME // len(queries), _VALUES_AT_A_TIME // values_of_a_row(train)))
    for first in range(0, len(train), rows):
        approximate = stand_in.to(train[first : first + rows])
        limit = stand_in.limit(distances[:, -1])
        if first == 0 and approximate.shape[1] >= k:  # no k-th distance is known yet: take this block's
            limit = np.partition(approximate, k - 1, axis=1)[:, k - 1] + 2 * stand_in.error
        which, row = np.nonzero(approximate <= limit[:, None])
        owners.append(which)
        found.append((row + first).astype(np.int32))
        # Ranking costs a sort: wait until there is as much to rank as is kept.
        if sum(map(len, found[1:])) >= ids.size or first + rows >= len(train):
            owner, candidates = np.concatenate(owners), np.concatenate(found)
            fresh = _pairs(distance, queries, train, owner[ids.size :], candidates[ids.size :])
            measured = np.concatenate([distances.ravel(), fresh])
            order = np.lexsort((candidates, measured, owner))
            starts = np.searchsorted(owner[order], np.arange(len(queries)))
            best = order[starts[:, None] + np.arange(k)]
            ids, distances = candidates[best], measured[best]
            owners, found = owners[:1], [ids.ravel()]
        if report:
            report(approximate.size)
    return ids, distances


def _pairs(distance: str, queries: Rows, train: Rows, which: Any, row: Ids) -> Floats:
    """Return the distance of each (query, row) pair, shape (pairs,)."""
    out = np.empty(len(row))
    step = max(1, _VALUES_AT_A_TIME // values_of_a_row(train))
    for first in range(0, len(row), step):
        part = slice(first, first + step)
        out[part] = distances_to(distance, queries[which[part]], train, row[part, None])[:, 0]
    return out


class _StandIn:
    """A number per pair that orders pairs as the distance does, up to `error`.

    euclidean: the squared distance, expanded; angular: 1 - cosine of vectors normalised first; dot and
    manhattan: themselves; hamming: the number of differing bits, which a float32 product gives exactly below
    2**24 bits.
    """

    def __init__(self, distance: str, queries: Vectors, scale: Floats) -> None:
        self.distance = distance
        self.dtype = np.float32 if distance == "hamming" else np.float64
        self.queries = self._prepare(queries)
        self.squares = np.einsum("qd,qd->q", self.queries, self.queries)[:, None]
        self.dimension = queries.shape[1]
        # A dot product of d terms is off by at most d/2 eps times the product of the norms, however it is
        # summed; the factor leaves room for the norms, the square of a sum of two, and the exact routine's
        # own error.
        size = scale**2 if distance == "euclidean" else scale
        error = 8 * (self.dimension + 8) * _EPSILON * size
        self.error = np.full(len(scale), 0.25) if distance == "hamming" else error

    def _prepare(self, vectors: Vectors) -> npt.NDArray[Any]:
        values = vectors.astype(self.dtype)
        if self.distance == "angular":
            norms = np.linalg.norm(values, axis=1, keepdims=True)
            np.divide(values, norms, out=values, where=norms > 0)
        return values

    def to(self, rows: Vectors) -> npt.NDArray[Any]:
        """Return the stand-ins from the queries to `rows`, shape (q, rows)."""
        values = self._prepare(rows)
        if self.distance == "manhattan":
            return np.asarray(cdist(self.queries, values, "cityblock"))
        out: npt.NDArray[Any] = self.queries @ values.T
        if self.distance == "dot":
            np.negative(out, out=out)
        elif self.distance == "angular":
            np.subtract(1.0, out, out=out)
        else:
            out *= -2
            out += self.squares
            out += np.einsum("nd,nd->n", values, values)
        return out

    def limit(self, distances: Floats) -> Floats:
        """Return per query the largest stand-in that a pair no farther than `distances` can have."""
        if self.distance == "euclidean":
            distances = distances**2
        elif self.distance == "hamming":
            distances = distances * self.dimension
        return np.asarray(distances + self.error)


class _SetStandIn:
    """The jaccard distance itself, of common items that a sparse product counts: nothing is rounded."""

    def __init__(self, queries: Sets) -> None:
        self.queries = queries
        self.matrix = as_matrix(queries)
        self.error = np.zeros(len(queries))

    def to(self, rows: Any) -> Floats:
        """Return the distances from the queries to `rows`, shape (q, rows)."""
        common = (self.matrix @ as_matrix(rows).T).toarray()
        return jaccard(common, self.queries.sizes[:, None], rows.sizes)

    def limit(self, distances: Floats) -> Floats:
        """Return per query what a later row must not exceed: of equally far ones the first k have come."""
        return np.nextafter(distances, -1)


@dataclass(frozen=True)
class Disagreement:
    """How stored answers differ from the exact ones.

    Attributes
    ----------
    wrong, sampled
        Queries that disagree, of how many that were looked at.
    query, stored, computed
        The worst query, the distance of one of its stored answers, and the exact distance at that rank.
    fits
        The distances that the sampled answers do agree with.
    """

    wrong: int
    sampled: int
    query: int
    stored: float
    computed: float
    fits: tuple[str, ...]


def sample_size(n: int, dimension: int) -> int:
    """Return how many queries to check against `n` rows: 20, or down to 3 where that takes seconds."""
    return int(np.clip(4e9 // max(1, n * dimension), 3, 20))


def check_answers(
    distance: str,
    train: Rows,
    test: Rows,
    neighbors: npt.NDArray[np.integer[Any]],
    sample: int,
    seed: int = 0,
) -> Disagreement | None:
    """Return how `neighbors` differ from exact answers on `sample` seeded queries, or None where they agree.

    They agree if rank by rank the distances of the stored rows are the exact ones: ties may be broken in any
    way, and rounding as of a float32 computation is forgiven (1e-4 of the distance, 1e-6 of the size of the
    numbers that it is made of; squared for euclidean, because that is what such a computation rounds).
    """
    chosen = np.sort(np.random.default_rng(seed).choice(len(test), min(sample, len(test)), replace=False))
    excess, stored, computed = _excess(distance, train, test[chosen], neighbors[chosen])
    wrong = excess.max(axis=1) > 0
    if not wrong.any():
        return None
    alone = ("hamming", "jaccard")  # what their rows are made of suits no other distance
    others = [d for d in VECTOR_DISTANCES if d not in (distance, *alone) and distance not in alone]
    fits = tuple(d for d in others if _excess(d, train, test[chosen], neighbors[chosen])[0].max() <= 0)
    query, rank = np.unravel_index(int(excess.argmax()), excess.shape)
    return Disagreement(
        wrong=int(wrong.sum()),
        sampled=len(chosen),
        query=int(chosen[query]),
        stored=float(stored[query, rank]),
        computed=float(computed[query, rank]),
        fits=fits,
    )


def _excess(
    distance: str, train: Rows, queries: Rows, neighbors: npt.NDArray[np.integer[Any]]
) -> tuple[Floats, Floats, Floats]:
    """Return by how much stored answers miss the exact ones (positive: beyond rounding), and both."""
    _, computed = exact_neighbors(distance, train, queries, neighbors.shape[1])
    stored = distances_to(distance, queries, train, neighbors)
    power = 2 if distance == "euclidean" else 1
    size = rounding_scale(distance, queries, train)[:, None] ** power
    exact = computed**power
    return stored**power - exact - 1e-4 * np.abs(exact) - 1e-6 * size, stored, computed
