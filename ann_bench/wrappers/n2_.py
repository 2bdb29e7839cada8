"""N2 (kakao/n2): hierarchical navigable small world graphs (Malkov & Yashunin 2016)."""

import os

from n2 import HnswIndex

from ann_bench.worker.unit_vectors import UnitVectors
from ann_bench.worker.wrapper import Wrapper

METRICS = {"euclidean": "L2", "angular": "dot", "dot": "dot"}


class N2(Wrapper):
    """One `HnswIndex`. It takes lists of numbers, as its documentation has it, faster than arrays.

    With its metric "angular" a query of zeros gets other answers each time. Rows of length 1 have the same
    order by inner product, whatever the length of the query.
    """

    def build(self, train, distance, threads, m, ef_construction):
        self.index = HnswIndex(self.dimension, METRICS[distance])
        rows = UnitVectors(train, mark_zeros=False).rows if distance == "angular" else train
        for row in rows:
            self.index.add_data(row.tolist())
        self.index.build(m=m, max_m0=2 * m, ef_construction=ef_construction, n_threads=threads)

    def set_query(self, threads, ef_search):
        self.threads = threads
        self.ef_search = ef_search

    def query(self, vector, k):
        return self.index.search_by_vector(vector.tolist(), k, self.ef_search)

    def query_batch(self, vectors, k):
        return self.index.batch_search_by_vectors(vectors.tolist(), k, self.ef_search, self.threads)

    def save(self, path):
        self.index.save(os.fspath(path))

    def load(self, path):
        self.index = HnswIndex(self.dimension, METRICS[self.distance])
        self.index.load(os.fspath(path))
