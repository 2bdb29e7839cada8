"""DiskANN (microsoft/DiskANN) by diskannpy: Vamana graphs (Subramanya et al. 2019)."""

import os
import shutil
import tempfile

import diskannpy

from ann_bench.worker.unit_vectors import UnitVectors
from ann_bench.worker.wrapper import Wrapper


class Memory(Wrapper):
    """One `StaticMemoryIndex`; it is built as files of a folder and read from there.

    For angles rows and queries are normalised, which is its user's work and is timed.
    """

    def build(self, train, distance, threads, complexity, graph_degree, alpha):
        rows = self._prepare(train, distance)
        self.folder = tempfile.TemporaryDirectory()
        diskannpy.build_memory_index(
            rows,
            "l2",
            self.folder.name,
            complexity=complexity,
            graph_degree=graph_degree,
            num_threads=threads,
            alpha=alpha,
            use_pq_build=False,
        )
        self._open(self.folder.name, threads)

    def _prepare(self, train, distance):
        if distance != "angular":
            return train
        self.unit = UnitVectors(train)
        self.query, self.query_batch = self._query_angle, self._query_angle_batch
        return self.unit.rows

    def _open(self, folder, threads):
        self.index = diskannpy.StaticMemoryIndex(folder, num_threads=threads, initial_search_complexity=400)

    def set_query(self, threads, search_complexity):
        self.threads = threads
        self.complexity = search_complexity

    def query(self, vector, k):
        return self.index.search(vector, k, self.complexity).identifiers

    def query_batch(self, vectors, k):
        return self.index.batch_search(vectors, k, self.complexity, self.threads).identifiers

    def _query_angle(self, vector, k):
        return self.index.search(self.unit.scale(vector), k, self.complexity).identifiers

    def _query_angle_batch(self, vectors, k):
        vectors = self.unit.scale_all(vectors)
        return self.index.batch_search(vectors, k, self.complexity, self.threads).identifiers

    def save(self, path):
        shutil.copytree(self.folder.name, os.fspath(path))

    def load(self, path):
        self._prepare(self.train, self.distance)
        self._open(os.fspath(path), self.threads)

    def close(self):
        del self.index
