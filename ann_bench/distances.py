"""The distances, each computed in float64 by one routine: what recall is judged by.

=========== ==========================================================================
euclidean   L2 norm of the difference (not squared)
angular     1 - cosine; 1 if either vector is zero
dot         minus the inner product
hamming     share of differing bits
manhattan   L1 norm of the difference
jaccard     1 - intersection / union of two sets; 1 if either is empty
=========== ==========================================================================
"""

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from ann_bench.worker.sets import Rows, Sets

VECTOR_DISTANCES = ("euclidean", "angular", "dot", "hamming", "manhattan")
DISTANCES = (*VECTOR_DISTANCES, "jaccard")

Floats = npt.NDArray[np.float64]

# Rows gathered at a time: enough to keep NumPy busy, little enough to stay in a core's cache.
_BLOCK_VALUES = 1 << 18


def distances_to(
    distance: str,
    queries: Rows,
    train: Rows,
    ids: npt.NDArray[np.integer],
) -> Floats:
    """Return the float64 distance from each query to the train rows that `ids` names.

    Parameters
    ----------
    distance
        One of `DISTANCES`.
    queries
        Shape (q, d).
    train
        Shape (n, d), of the same dtype as `queries`; both are `Sets` for jaccard.
    ids
        Shape (q, k). An id outside 0..n-1 gets +inf.

    Returns
    -------
    distances
        Shape (q, k).
    """
    out = np.full(ids.shape, np.inf)
    if ids.size == 0:
        return out
    valid = (ids >= 0) & (ids < len(train))
    safe = np.where(valid, ids, 0)
    block = max(1, _BLOCK_VALUES // max(1, ids.shape[1] * values_of_a_row(train)))
    for first in range(0, len(queries), block):
        part = slice(first, first + block)
        rows = train[safe[part].ravel()]
        if isinstance(queries, Sets) and isinstance(rows, Sets):
            out[part] = _between_sets(queries[part], rows)
        else:
            out[part] = _between(distance, queries[part][:, None, :], rows.reshape(*safe[part].shape, -1))
    out[~valid] = np.inf
    return out


def values_of_a_row(rows: Rows) -> int:
    """Return how many numbers a row is made of; of sets the mean, rounded up."""
    return -(-len(rows.indices) // max(1, len(rows))) or 1 if isinstance(rows, Sets) else int(rows.shape[1])


def as_matrix(sets: Sets) -> csr_array:
    """Return sets as a sparse matrix of ones, float64."""
    return csr_array((np.ones(len(sets.indices)), sets.indices, sets.offsets), shape=sets.shape)


def jaccard(common: Floats, sizes: npt.NDArray[np.integer], other_sizes: npt.NDArray[np.integer]) -> Floats:
    """Return the distance of sets of those sizes that have `common` items in common."""
    union = sizes + other_sizes - common
    return 1.0 - np.divide(common, union, out=np.zeros_like(common), where=common > 0)


def _between_sets(queries: Sets, rows: Sets) -> Floats:
    """Return distances of shape (q, k) between `queries` and k `rows` for each."""
    of_each = len(rows) // len(queries)
    pairs = as_matrix(queries[np.repeat(np.arange(len(queries)), of_each)])
    common = np.asarray(pairs.multiply(as_matrix(rows)).sum(axis=1)).reshape(len(queries), of_each)
    return jaccard(common, queries.sizes[:, None], rows.sizes.reshape(len(queries), of_each))


def _between(distance: str, queries: npt.NDArray[np.generic], rows: npt.NDArray[np.generic]) -> Floats:
    """Return distances of shape (q, k) between `queries` (q, 1, d) and `rows` (q, k, d)."""
    # Sums run along the last axis only, never through BLAS, whose order of summation depends on the shape:
    # so a pair has the same distance to the last bit whatever it is computed together with, and equal rows
    # tie exactly.
    if distance == "hamming":
        return np.asarray(np.not_equal(queries, rows).mean(axis=2, dtype=np.float64))
    a = queries.astype(np.float64)
    b = rows.astype(np.float64)
    if distance == "euclidean":
        difference = a - b
        return np.asarray(np.sqrt(np.einsum("qkd,qkd->qk", difference, difference)))
    if distance == "manhattan":
        return np.asarray(np.abs(a - b).sum(axis=2))
    inner: Floats = np.einsum("qkd,qd->qk", b, a[:, 0])
    if distance == "dot":
        return -inner
    if distance == "angular":
        norms = np.linalg.norm(a, axis=2) * np.linalg.norm(b, axis=2)
        cosine = np.divide(inner, norms, out=np.zeros_like(inner), where=norms > 0)
        return np.asarray(
            np.maximum(1.0 - cosine, 0.0)
        )  # of parallel vectors the cosine may come out just above 1
    raise ValueError(f"distance: got {distance!r}; it is one of {', '.join(DISTANCES)}")


def rounding_scale(distance: str, queries: Rows, train: Rows) -> Floats:
    """Return per query the size of the numbers that its distances are made of, shape (q,).

    Rounding a float64 dot product of that size can move a distance by about 1e-16 times it; recall allows
    1e-12. It is 1 for angular, hamming and jaccard, |q| max|x| for dot, |q| + max|x| otherwise.
    """
    if distance in ("angular", "hamming") or isinstance(queries, Sets) or isinstance(train, Sets):
        return np.ones(len(queries))
    order = 1 if distance == "manhattan" else 2
    query_norms: Floats = np.linalg.norm(queries.astype(np.float64), ord=order, axis=1)
    largest = max(
        (
            float(np.linalg.norm(train[first : first + 8192].astype(np.float64), ord=order, axis=1).max())
            for first in range(0, len(train), 8192)
        ),
        default=0.0,
    )
    return query_norms * largest if distance == "dot" else query_norms + largest
