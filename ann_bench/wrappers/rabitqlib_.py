"""RaBitQ-Library (VectorDB-NTU/RaBitQ-Library): codes of 1 to 9 bits a dimension, in graphs and in cells."""

import os
from typing import Any

import numpy as np
from rabitqlib import FinalAssignmentMode, HnswIndex, IvfIndex, QGKMeans, RaBitQKMeans, SymqgIndex

from ann_bench.worker.unit_vectors import UnitVectors
from ann_bench.worker.wrapper import Wrapper

# The fewest dimensions that its clustering takes.
_CLUSTERED_DIMENSIONS = 64


class _Rabitq(Wrapper):
    """What the three indexes share.

    They know the euclidean distance and the inner product. For angles rows are normalised and ranked by inner
    product, as the library's documentation tells. The length of the query then changes no ranking, so that
    queries are left as they are where that costs no recall. Searches take queries in rows only.
    """

    index_class: Any = None

    def _metric(self):
        return "l2" if self.distance == "euclidean" else "ip"

    def _rows(self, train):
        """Return the rows to index; the index makes a copy."""
        return UnitVectors(train, mark_zeros=False).rows if self.distance == "angular" else train

    def _clustered(self, kmeans, rows, clusters):
        """Return centroids and assignments by `kmeans`, run as for the library's own benchmarks."""
        missing = max(0, _CLUSTERED_DIMENSIONS - rows.shape[1])
        padded = np.pad(rows, ((0, 0), (0, missing))) if missing else rows
        clustering = kmeans(
            padded.shape[1],
            clusters,
            niter=10,
            num_threads=self.threads,
            spherical=self.distance == "angular",
            seed=self.seed,
            final_assignment=FinalAssignmentMode.Exact,
        )
        clustering.train(padded)
        return np.ascontiguousarray(clustering.centroids[:, : rows.shape[1]]), clustering.assignments

    def save(self, path):
        self.index.save(os.fspath(path))

    def load(self, path):
        self.index = self.index_class.load(os.fspath(path))


class SymphonyQG(_Rabitq):
    """SymphonyQG (Gou et al. 2025): a graph whose every row holds 1-bit codes of its neighbours."""

    index_class = SymqgIndex

    def build(self, train, distance, threads, max_degree, ef_construction, quantization_bits):
        self.index = SymqgIndex(
            train.shape[1],
            max_degree=max_degree,
            metric=self._metric(),
            quantization_bits=quantization_bits,
        )
        self.index.build(self._rows(train), ef_construction=ef_construction, num_threads=threads)

    def set_query(self, threads, ef):
        self.threads = threads
        self.ef = ef

    def query(self, vector, k):
        return self.index.search(vector[None], k, self.ef)[0][0]

    def query_batch(self, vectors, k):
        return self.index.search(vectors, k, self.ef, self.threads)[0]


class Ivf(_Rabitq):
    """RaBitQ codes (Gao & Long 2024) in the cells of a clustering; with 32 bits whole rows rank."""

    index_class = IvfIndex

    def build(self, train, distance, threads, num_clusters, nbits):
        rows = self._rows(train)
        self.index = IvfIndex(rows.shape[1], len(rows), num_clusters, nbits, self._metric())
        self.index.build(rows, *self._clustered(QGKMeans, rows, num_clusters), num_threads=threads)

    def set_query(self, threads, nprobe):
        self.threads = threads
        self.nprobe = nprobe

    def query(self, vector, k):
        return self.index.search(vector[None], k, self.nprobe)[0][0]

    def query_batch(self, vectors, k):
        return self.index.search(vectors, k, self.nprobe, None, self.threads)[0]


class Hnsw(_Rabitq):
    """RaBitQ codes (Gao & Long 2024) in a hierarchical navigable small world graph, without the rows.

    For angles queries are normalised as well: it finds less with long ones. That is timed.
    """

    index_class = HnswIndex

    def build(self, train, distance, threads, M, ef_construction, nbits, num_clusters):
        rows = self._rows(train)
        self.index = HnswIndex(
            rows.shape[1], len(rows), M, ef_construction, nbits, self._metric(), random_seed=self.seed
        )
        self.index.build(rows, *self._clustered(RaBitQKMeans, rows, num_clusters), num_threads=threads)
        self._choose_query()

    def _choose_query(self):
        if self.distance == "angular":
            self.unit = UnitVectors(self.train[:0], mark_zeros=False)
            self.query, self.query_batch = self._query_angle, self._query_angle_batch

    def set_query(self, threads, ef):
        self.threads = threads
        self.ef = ef

    def query(self, vector, k):
        return self.index.search(vector[None], k, self.ef)[0][0]

    def query_batch(self, vectors, k):
        return self.index.search(vectors, k, self.ef, self.threads)[0]

    def _query_angle(self, vector, k):
        return self.index.search(self.unit.scale(vector)[None], k, self.ef)[0][0]

    def _query_angle_batch(self, vectors, k):
        return self.index.search(self.unit.scale_all(vectors), k, self.ef, self.threads)[0]

    def load(self, path):
        super().load(path)
        self._choose_query()
