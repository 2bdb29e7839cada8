"""N2 (kakao/n2): hierarchical navigable small world graphs (Malkov & Yashunin 2016)."""

import os

from n2 import HnswIndex

from ann_bench.worker.wrapper import Wrapper

METRICS = {"euclidean": "L2", "angular": "angular", "dot": "dot"}


class N2(Wrapper):
    """One `HnswIndex`; its metric "angular" normalises rows and queries itself."""

    def build(self, train, distance, threads, m, ef_construction):
        self.index = HnswIndex(self.dimension, METRICS[distance])
        for row in train:
            self.index.add_data(row)
        self.index.build(m=m, max_m0=2 * m, ef_construction=ef_construction, n_threads=threads)

    def set_query(self, threads, ef_search):
        self.threads = threads
        self.ef_search = ef_search

    def query(self, vector, k):
        return self.index.search_by_vector(vector, k, self.ef_search)

    def query_batch(self, vectors, k):
        return self.index.batch_search_by_vectors(vectors, k, self.ef_search, self.threads)

    def save(self, path):
        self.index.save(os.fspath(path))

    def load(self, path):
        self.index = HnswIndex(self.dimension, METRICS[self.distance])
        self.index.load(os.fspath(path))
