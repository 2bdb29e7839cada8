"""Annoy (spotify/annoy): a forest of random-projection trees, memory-mapped from one file."""

import os

from annoy import AnnoyIndex

from ann_bench.worker.wrapper import Wrapper


class Annoy(Wrapper):
    """One `AnnoyIndex`. It takes single queries only, as any sequence of floats."""

    def _empty(self):
        return AnnoyIndex(self.dimension, self.distance)

    def build(self, train, distance, threads, n_trees):
        self.index = self._empty()
        self.index.set_seed(self.seed)
        for i, row in enumerate(train):
            self.index.add_item(i, row.tolist())
        self.index.build(n_trees, n_jobs=threads)

    def set_query(self, threads, search_k):
        self.search_k = search_k

    def query(self, vector, k):
        # A list is read faster than an array, by more than what making it costs.
        return self.index.get_nns_by_vector(vector.tolist(), k, self.search_k)

    def save(self, path):
        self.index.save(os.fspath(path))

    def load(self, path):
        self.index = self._empty()
        self.index.load(os.fspath(path))
