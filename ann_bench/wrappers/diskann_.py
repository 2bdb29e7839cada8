"""DiskANN (microsoft/DiskANN) by diskannpy: Vamana graphs (Subramanya et al. 2019)."""

import os
import shutil
import tempfile

import diskannpy

from ann_bench.worker.unit_vectors import UnitVectors
from ann_bench.worker.wrapper import Wrapper


class _DiskAnn(Wrapper):
    """What both indexes share: each is some files in a folder, built there and opened.

    For angles rows and queries are normalised, which is its user's work and is timed. Asked for more answers
    than there are rows, it makes up the rest.
    """

    def make(self, rows, folder, threads, **parameters):
        """Build the index of `rows` in `folder`."""
        raise NotImplementedError

    def open(self, folder, threads):
        """Return the index in `folder`."""
        raise NotImplementedError

    def build(self, train, distance, threads, **parameters):
        rows = self._prepare(train, distance)
        self._temporary = tempfile.TemporaryDirectory()
        self.folder = self._temporary.name
        self.make(rows, self.folder, threads, **parameters)
        self.index = self.open(self.folder, threads)

    def _prepare(self, train, distance):
        self.n = len(train)
        if distance != "angular":
            return train
        self.unit = UnitVectors(train)
        self.query, self.query_batch = self._query_angle, self._query_angle_batch
        return self.unit.rows

    def set_query(self, threads, search_complexity, **parameters):
        self.parameters = {"complexity": search_complexity, **parameters}
        self.threads = threads

    def query(self, vector, k):
        return self.index.search(vector, k if k < self.n else self.n, **self.parameters).identifiers

    def query_batch(self, vectors, k):
        found = self.index.batch_search(vectors, min(k, self.n), num_threads=self.threads, **self.parameters)
        return found.identifiers

    def _query_angle(self, vector, k):
        return type(self).query(self, self.unit.scale(vector), k)

    def _query_angle_batch(self, vectors, k):
        return type(self).query_batch(self, self.unit.scale_all(vectors), k)

    def save(self, path):
        shutil.copytree(self.folder, os.fspath(path))

    def load(self, path):
        self._prepare(self.train, self.distance)
        self.folder = os.fspath(path)
        self.index = self.open(self.folder, self.threads)

    def close(self):
        del self.index


class Memory(_DiskAnn):
    """One `StaticMemoryIndex` of whole rows."""

    def make(self, rows, folder, threads, **parameters):
        diskannpy.build_memory_index(
            rows, "l2", folder, num_threads=threads, use_pq_build=False, **parameters
        )

    def open(self, folder, threads):
        return diskannpy.StaticMemoryIndex(folder, num_threads=threads, initial_search_complexity=400)


class Disk(_DiskAnn):
    """One `StaticDiskIndex`: codes in memory lead through the graph on disk, where the rows are, too."""

    def make(self, rows, folder, threads, num_nodes_to_cache, **parameters):
        diskannpy.build_disk_index(
            rows, "l2", folder, num_threads=threads, build_memory_maximum=32, **parameters
        )

    def open(self, folder, threads):
        # With room for one thread alone it waits for ever. A search takes one place, however many there are.
        cached = self.build_parameters["num_nodes_to_cache"]
        return diskannpy.StaticDiskIndex(
            folder, num_threads=threads + 1, num_nodes_to_cache=cached, cache_mechanism=2
        )
