"""Voyager (spotify/voyager): hnswlib's hierarchical navigable small world graphs, by the makers of Annoy."""

import os

import numpy as np
import voyager

from ann_bench.worker.wrapper import Wrapper

SPACES = {
    "euclidean": voyager.Space.Euclidean,
    "angular": voyager.Space.Cosine,
    "dot": voyager.Space.InnerProduct,
}


class Voyager(Wrapper):
    """One `voyager.Index` of 32-bit floats; its space "Cosine" normalises rows and queries itself.

    It reads arrays as if they lay in one piece, and takes rows only from where it could write.
    """

    def build(self, train, distance, threads, M, ef_construction):
        self.index = voyager.Index(
            SPACES[distance],
            self.dimension,
            M=M,
            ef_construction=ef_construction,
            random_seed=self.seed,
            max_elements=len(train),
        )
        self.index.add_items(np.require(train, np.float32, ["C", "W"]), num_threads=threads)

    def set_query(self, threads, query_ef):
        self.search_threads, self.query_ef = threads, query_ef

    def query(self, vector, k):
        return self.index.query(
            np.ascontiguousarray(vector), k, num_threads=self.search_threads, query_ef=self.query_ef
        )[0]

    def query_batch(self, vectors, k):
        return self.index.query(
            np.ascontiguousarray(vectors), k, num_threads=self.search_threads, query_ef=self.query_ef
        )[0]

    def save(self, path):
        self.index.save(os.fspath(path))

    def load(self, path):
        self.index = voyager.Index.load(os.fspath(path))
