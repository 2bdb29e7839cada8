"""Exact search in NumPy: one matrix product by BLAS finds candidates, float64 ranks them."""

import numpy as np
from threadpoolctl import threadpool_limits

from ann_bench.worker.wrapper import Wrapper

# Scores of queries ranked at a time: below 64 MiB.
_SCORES = 1 << 24
# Rows compared at a time for manhattan: the differences stay in a core's cache.
_ROWS = 1024


class BruteForce(Wrapper):
    """Scores of all rows in float32, smaller is nearer; a few more than k candidates are ranked in float64.

    Euclidean distances are scored as |x|^2 / 2 - <q, x>, with the rows' mean subtracted from both lest the
    numbers be large and their difference small; angular ones as minus the inner product with unit rows (a row
    of zeros stays one and scores like a right angle); bits are packed and counted by XOR. Sets are counted in
    lists that have, for each item, the rows that hold it.
    """

    def build(self, train, distance, threads):
        self.limits = threadpool_limits(threads)
        if distance == "jaccard":
            self._build_sets(train)
            return
        self.train = self.rows = train
        self.scores = getattr(self, "_scores_" + distance)
        if distance == "angular":
            norms = np.sqrt(np.einsum("nd,nd->n", train, train, dtype=np.float64))
            self.norms = np.where(norms == 0, 1, norms)
            self.rows = (train / self.norms[:, None]).astype(np.float32)
        elif distance == "euclidean":
            self.mean = train.mean(axis=0, dtype=np.float64).astype(np.float32)
            self.rows = train - self.mean
            self.offsets = (
                np.einsum("nd,nd->n", self.rows, self.rows, dtype=np.float64).astype(np.float32) / 2
            )
        elif distance == "hamming":
            self.words = np.ascontiguousarray(_packed(train).T)

    def _build_sets(self, train):
        self.sizes = np.diff(train.offsets)
        order = np.argsort(train.indices, kind="stable")
        self.holders = np.repeat(np.arange(len(train)), self.sizes)[order]
        self.starts = np.searchsorted(train.indices[order], np.arange(self.dimension + 1))
        self.query, self.query_batch = self._query_set, self._query_sets

    def set_query(self, threads):
        self.limits = threadpool_limits(threads)

    def query(self, vector, k):
        return self.query_batch(vector[None], k)[0]

    def query_batch(self, vectors, k):
        step = max(1, _SCORES // len(self.train))
        blocks = [self._nearest(vectors[i : i + step], k) for i in range(0, len(vectors), step)]
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)

    def _query_set(self, items, k):
        rows = [self.holders[self.starts[item] : self.starts[item + 1]] for item in items.tolist()]
        common = np.bincount(np.concatenate(rows or [self.holders[:0]]), minlength=len(self.sizes))
        distances = -common / np.maximum(self.sizes + len(items) - common, 1)
        wanted = min(len(distances), k)
        ids = np.argpartition(distances, wanted - 1)[:wanted]
        return ids[np.argsort(distances[ids])]

    def _query_sets(self, sets, k):
        return np.array([self._query_set(items, k) for items in sets])

    def _nearest(self, queries, k):
        scores = self.scores(queries)
        wanted = min(len(self.train), k if self.distance == "hamming" else 2 * k + 10)
        ids = np.argpartition(scores, wanted - 1, axis=1)[:, :wanted]
        if self.distance == "hamming":
            exact = np.take_along_axis(scores, ids, axis=1)
        else:
            exact = self._exact(queries.astype(np.float64)[:, None], ids)
        order = np.argsort(exact, axis=1)[:, :k]
        return np.take_along_axis(ids, order, axis=1)

    def _exact(self, queries, ids):
        """Return float64 numbers that order the rows `ids` (q, m) as their distances do."""
        rows = self.train[ids].astype(np.float64)
        if self.distance == "manhattan":
            return np.abs(rows - queries).sum(axis=2)
        if self.distance == "euclidean":
            rows -= queries
            return np.einsum("qmd,qmd->qm", rows, rows)
        inner = (rows @ queries.transpose(0, 2, 1))[:, :, 0]
        return -inner / self.norms[ids] if self.distance == "angular" else -inner

    def _scores_angular(self, queries):
        return -self._inner(queries)

    def _scores_dot(self, queries):
        return -self._inner(queries)

    def _scores_euclidean(self, queries):
        return self.offsets - self._inner(queries - self.mean)

    def _inner(self, queries):
        # A single query is a matrix times a vector, which BLAS does without packing the matrix first.
        return (self.rows @ queries[0])[None] if len(queries) == 1 else queries @ self.rows.T

    def _scores_manhattan(self, queries):
        scores = np.empty((len(queries), len(self.rows)), dtype=np.float32)
        for first in range(0, len(self.rows), _ROWS):
            rows = self.rows[first : first + _ROWS]
            for i, query in enumerate(queries):
                scores[i, first : first + len(rows)] = np.abs(rows - query).sum(axis=1)
        return scores

    def _scores_hamming(self, queries):
        scores = np.empty((len(queries), self.words.shape[1]), dtype=np.int32)
        for i, code in enumerate(_packed(queries)):
            np.bitwise_count(self.words ^ code[:, None]).sum(axis=0, dtype=np.int32, out=scores[i])
        return scores


def _packed(bits):
    """Return rows of bools (n, d) as 64-bit words (n, ceil(d / 64)), the bits past d being 0."""
    packed = np.packbits(bits, axis=1)
    return np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64)
