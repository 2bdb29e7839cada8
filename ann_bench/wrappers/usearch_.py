"""USearch (unum-cloud/usearch): hierarchical navigable small world graphs over numbers of several types."""

import os

import numpy as np
from usearch.index import Index

from ann_bench.worker.wrapper import Wrapper

METRICS = {"euclidean": "l2sq", "angular": "cos", "dot": "ip"}


class _USearch(Wrapper):
    """One `usearch.index.Index`; its metric "cos" divides by the lengths, so that no vector is normalised."""

    dtype = ""

    def _empty(self, connectivity, expansion_add):
        return Index(
            ndim=self.dimension,
            metric=METRICS[self.distance],
            dtype=self.dtype,
            connectivity=connectivity,
            expansion_add=expansion_add,
        )

    def build(self, train, distance, threads, connectivity, expansion_add):
        self.index = self._empty(connectivity, expansion_add)
        self.index.add(np.arange(len(train)), train, threads=threads)

    def set_query(self, threads, expansion_search):
        self.search_threads = threads
        self.index.expansion_search = expansion_search

    def query(self, vector, k):
        return self.index.search(vector, k, threads=self.search_threads).keys

    def query_batch(self, vectors, k):
        found = self.index.search(vectors, k, threads=self.search_threads)
        ids = np.full((len(vectors), k), -1)
        for row, answer in zip(ids, [found] if len(vectors) == 1 else found):
            row[: len(answer)] = answer.keys
        return ids

    def save(self, path):
        self.index.save(os.fspath(path))

    def load(self, path):
        self.index = self._empty(**self.build_parameters)
        self.index.load(os.fspath(path))

    def size_bytes(self):
        return self.index.memory_usage


class F32(_USearch):
    """Rows as 32-bit floats, as they came."""

    dtype = "f32"


class Bf16(_USearch):
    """Rows as 16-bit floats with the exponent of 32-bit ones ("brain floats")."""

    dtype = "bf16"


class I8(_USearch):
    """Rows as 8-bit integers."""

    dtype = "i8"
