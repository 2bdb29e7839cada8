"""RaBitQ-Library (VectorDB-NTU/RaBitQ-Library): codes of 1 to 9 bits a dimension, in graphs and in cells."""

import os

import numpy as np
from rabitqlib import FinalAssignmentMode, HnswIndex, IvfIndex, QGKMeans, RaBitQKMeans, SymqgIndex

from ann_bench.worker.unit_vectors import UnitVectors
from ann_bench.worker.wrapper import Wrapper

# The fewest dimensions that its clustering takes.
_CLUSTERED_DIMENSIONS = 64


class _Rabitq(Wrapper):
    """What the three indexes share.

    They know the euclidean distance and the inner product. For angles rows and queries are normalised and
    ranked by inner product, as the library's documentation tells; the query's part is timed. Its searches take
    queries in rows only.
    """

    index_class = None

    def _metric(self):
        return "l2" if self.distance == "euclidean" else "ip"

    def _prepare(self, train):
        """Return the rows to index."""
        if self.distance != "angular":
            return train
        self._choose_query(train)
        rows, self.unit.rows = self.unit.rows, None  # the index has a copy
        return rows

    def _choose_query(self, train):
        self.unit = UnitVectors(train, mark_zeros=False)
        self.query, self.query_batch = self._query_angle, self._query_angle_batch

    def _clustered(self, kmeans, rows, clusters, threads):
        """Return `kmeans` trained as the library's own benchmarks do."""
        missing = max(0, _CLUSTERED_DIMENSIONS - rows.shape[1])
        padded = np.pad(rows, ((0, 0), (0, missing))) if missing else rows
        clustering = kmeans(
            padded.shape[1],
            clusters,
            niter=10,
            num_threads=threads,
            spherical=self.distance == "angular",
            seed=self.seed,
            final_assignment=FinalAssignmentMode.Exact,
        )
        clustering.train(padded)
        return np.ascontiguousarray(clustering.centroids[:, : rows.shape[1]]), clustering.assignments

    def set_query(self, threads, breadth):
        self.threads = threads
        self.breadth = breadth

    def query(self, vector, k):
        return self.index.search(vector[None], k, self.breadth)[0][0]

    def query_batch(self, vectors, k):
        return self.index.search(vectors, k, self.breadth, num_threads=self.threads)[0]

    def _query_angle(self, vector, k):
        return self.index.search(self.unit.scale(vector)[None], k, self.breadth)[0][0]

    def _query_angle_batch(self, vectors, k):
        return self.index.search(self.unit.scale_all(vectors), k, self.breadth, num_threads=self.threads)[0]

    def save(self, path):
        self.index.save(os.fspath(path))

    def load(self, path):
        if self.distance == "angular":
            self._choose_query(self.train[:0])
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
        self.index.build(self._prepare(train), ef_construction=ef_construction, num_threads=threads)

    def set_query(self, threads, ef):
        super().set_query(threads, ef)


class Ivf(_Rabitq):
    """RaBitQ codes (Gao & Long 2024) in the cells of a clustering; 32 bits: whole rows rank what they find."""

    index_class = IvfIndex

    def build(self, train, distance, threads, num_clusters, nbits):
        rows = self._prepare(train)
        self.index = IvfIndex(
            dim=rows.shape[1],
            max_elements=len(rows),
            num_clusters=num_clusters,
            nbits=nbits,
            metric=self._metric(),
        )
        clusters = self._clustered(QGKMeans, rows, num_clusters, threads)
        self.index.build(rows, *clusters, num_threads=threads)

    def set_query(self, threads, nprobe):
        super().set_query(threads, nprobe)


class Hnsw(_Rabitq):
    """RaBitQ codes (Gao & Long 2024) in a hierarchical navigable small world graph, without the rows."""

    index_class = HnswIndex

    def build(self, train, distance, threads, M, ef_construction, nbits, num_clusters):
        rows = self._prepare(train)
        self.index = HnswIndex(
            dim=rows.shape[1],
            max_elements=len(rows),
            M=M,
            ef_construction=ef_construction,
            nbits=nbits,
            metric=self._metric(),
            random_seed=self.seed,
        )
        clusters = self._clustered(RaBitQKMeans, rows, num_clusters, threads)
        self.index.build(rows, *clusters, num_threads=threads)

    def set_query(self, threads, ef):
        super().set_query(threads, ef)
