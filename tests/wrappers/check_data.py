"""The rows and queries that `check_wrapper.py` asks with, and their exact distances. Python >= 3.7, NumPy."""

import numpy as np

ROWS = 5000
QUERIES = 60
LATENT = 10
TWINS = slice(100, 160)
ZEROS = [5, 600]
# The first queries: zero, equal to the equal rows, opposite to all rows.
ZERO, TWIN, OPPOSITE = 0, 1, 2


def make_vectors(distance, dimension, rows=ROWS, zeros=True):
    """Return (`rows`, dimension) rows and 60 queries, float32, or bool for hamming.

    They vary in ten directions and a little in all, as real vectors do, on one side of the origin, and in
    length. 60 rows are equal, to a query too; two rows and a query are zero if `zeros` says so.
    """
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


def all_distances(distance, queries, train):
    """Return the distances of all pairs, shape (len(queries), len(train)), in float64."""
    return np.array(
        [_distances(distance, query, train.astype(np.float64)) for query in queries.astype(np.float64)]
    )


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
