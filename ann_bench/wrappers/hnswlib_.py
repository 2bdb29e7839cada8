"""hnswlib (nmslib/hnswlib): hierarchical navigable small world graphs (Malkov & Yashunin 2016)."""

import os

import hnswlib

from ann_bench.worker.wrapper import Wrapper

SPACES = {"euclidean": "l2", "angular": "cosine", "dot": "ip"}


class HnswLib(Wrapper):
    """One `hnswlib.Index`; its space "cosine" normalises rows and queries itself."""

    def _empty(self):
        return hnswlib.Index(space=SPACES[self.distance], dim=self.dimension)

    def build(self, train, distance, threads, M, ef_construction):
        self.index = self._empty()
        self.index.init_index(
            max_elements=len(train), M=M, ef_construction=ef_construction, random_seed=self.seed
        )
        self.index.set_num_threads(threads)
        self.index.add_items(train)

    def set_query(self, threads, ef):
        self.index.set_num_threads(threads)
        self.index.set_ef(ef)

    def query(self, vector, k):
        return self.index.knn_query(vector, k)[0][0]

    def query_batch(self, vectors, k):
        return self.index.knn_query(vectors, k)[0]

    def save(self, path):
        self.index.save_index(os.fspath(path))

    def load(self, path):
        self.index = self._empty()
        self.index.load_index(os.fspath(path))

    def size_bytes(self):
        # Releases before 0.8 do not tell.
        return self.index.index_file_size() if hasattr(self.index, "index_file_size") else None
