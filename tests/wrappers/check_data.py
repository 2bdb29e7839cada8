"""The rows and queries that `check_wrapper.py` asks with, and their exact distances. Python >= 3.7, NumPy."""

import numpy as np

from ann_bench.worker.sets import Sets

ROWS = 5000
QUERIES = 60
LATENT = 10
TWINS = slice(100, 160)
ZEROS = [5, 600]
# The first queries: zero, equal to the equal rows, opposite to all rows.
ZERO, TWIN, OPPOSITE = 0, 1, 2


def make_vectors(distance, dimension, rows=ROWS, zeros=True):
    """Return (`rows`, dimension) rows and 60 queries, float32, bool for hamming, or sets for jaccard.

    They vary in ten directions and a little in all, as real vectors do, on one side of the origin, and in
    length. 60 rows are equal, to a query too; two rows and a query are zero if `zeros` says so. A set has the
    directions in which a vector is large.
    """
    if distance == "jaccard":
        vectors = make_vectors("dot", dimension, rows, zeros)
        return tuple(as_sets(part > part.mean() + part.std() * 0.5) for part in vectors)
    rng = np.random.RandomState(5)
    count = rows + QUERIES
    latent, directions = rng.normal(size=(count, LATENT)), rng.normal(size=(LATENT, dimension))
    vectors = np.einsum("nl,ld->nd", latent, directions) / np.sqrt(
        LATENT
    )  # BLAS would leave threads spinning
    vectors += rng.normal(size=vectors.shape) * 0.1
    if distance == "hamming":
        vectors = vectors > 0
    else:
        vectors = ((vectors + 1) * rng.uniform(0.8, 1.25, size=(count, 1))).astype(np.float32)
    train, queries = vectors[:rows].copy(), vectors[rows:].copy()
    train[TWINS] = queries[TWIN] = train[TWINS.start]
    queries[OPPOSITE] = ~train[0] if distance == "hamming" else -train.mean(axis=0)
    if zeros:
        train[ZEROS] = queries[ZERO] = 0
    return train, queries


def as_sets(bits):
    """Return per row the set of the columns that are true."""
    offsets = np.concatenate([[0], np.cumsum(bits.sum(axis=1))])
    return Sets(np.nonzero(bits)[1].astype(np.int32), offsets, bits.shape[1])


def all_distances(distance, queries, train):
    """Return the distances of all pairs, shape (len(queries), len(train)), in float64."""
    if distance == "jaccard":
        held = np.zeros(train.shape, dtype=bool)
        held[np.repeat(np.arange(len(train)), train.sizes), train.indices] = True
        return np.array([_jaccard(query, held) for query in queries])
    return np.array(
        [_distances(distance, query, train.astype(np.float64)) for query in queries.astype(np.float64)]
    )


def _jaccard(query, held):
    """Return the distances of one set to all, of which `held` (n, items) tells what they have."""
    common = held[:, query].sum(axis=1)
    return 1 - common / np.maximum(len(query) + held.sum(axis=1) - common, 1.0)


def _distances(distance, query, train):
    """Return the distances of one query to all rows."""
    if distance in ("hamming", "manhattan"):
        return np.abs(train - query).sum(axis=1)
    if distance == "euclidean":
        return np.sqrt(((train - query) ** 2).sum(axis=1))
    inner = np.einsum("nd,d->n", train, query)
    if distance == "dot":
        return -inner
    lengths = np.sqrt((train**2).sum(axis=1) * (query**2).sum())
    return 1 - np.divide(inner, lengths, out=np.zeros_like(inner), where=lengths > 0)
