"""VSAG (antgroup/vsag): graphs over whole rows or over their codes."""

import json
import os

import numpy as np
import pyvsag

from ann_bench.worker.unit_vectors import UnitVectors
from ann_bench.worker.wrapper import Wrapper

METRICS = {"euclidean": "l2", "dot": "ip"}


class _Vsag(Wrapper):
    """What both indexes share: parameters are JSON, those of a search too.

    It takes only arrays that can be written to, and reads them as if they were contiguous. Asked for more
    answers than there are rows, it makes up the rest.
    """

    name = ""
    angle = "ip"

    def describe(self, threads, **parameters):
        """Return what the index is to be, in VSAG's terms."""
        raise NotImplementedError

    def _empty(self, threads, parameters):
        common = {
            "dtype": "float32",
            "metric_type": METRICS.get(self.distance, self.angle),
            "dim": self.dimension,
        }
        pyvsag.set_logger_off()
        self.n = len(self.train)
        return pyvsag.Index(self.name, json.dumps({**common, **self.describe(threads, **parameters)}))

    def build(self, train, distance, threads, **parameters):
        self.index = self._empty(threads, parameters)
        ids = np.arange(len(train), dtype=np.int64)
        rows = self.prepare(train).ravel()
        self.index.build(vectors=rows, ids=ids, num_elements=len(train), dim=self.dimension)

    def prepare(self, train):
        """Return a copy of the rows as the index wants them."""
        return train.copy()

    def set_query(self, threads, ef_search):
        self.search_parameters = json.dumps({self.name: {"ef_search": ef_search}})

    def query(self, vector, k):
        vector = np.ascontiguousarray(vector)
        if not vector.flags.writeable:
            vector = vector.copy()
        return self.index.knn_search(vector, k if k < self.n else self.n, self.search_parameters)[0]

    def save(self, path):
        self.index.save(os.fspath(path))

    def load(self, path):
        self.index = self._empty(self.threads, self.build_parameters)
        self.index.load(os.fspath(path))


class Hnsw(_Vsag):
    """Hierarchical navigable small world graph (Malkov & Yashunin 2016) over whole rows.

    With its metric "cosine" a row of zeros spoils the answers to all queries. Rows of length 1 have the same
    order by inner product, whatever the length of the query.
    """

    name = "hnsw"

    def prepare(self, train):
        return UnitVectors(train, mark_zeros=False).rows if self.distance == "angular" else train.copy()

    def describe(self, threads, max_degree, ef_construction):
        return {"hnsw": {"max_degree": max_degree, "ef_construction": ef_construction}}


class Hgraph(_Vsag):
    """A graph in layers over codes of the rows; what it finds is put in order by whole rows.

    Its metric "cosine" normalises rows and queries itself.
    """

    name = "hgraph"
    angle = "cosine"

    def describe(self, threads, base_quantization_type, max_degree, ef_construction):
        return {
            "index_param": {
                "base_quantization_type": base_quantization_type,
                "max_degree": max_degree,
                "ef_construction": ef_construction,
                "build_thread_count": threads,
                "use_reorder": base_quantization_type != "fp32",
                "precise_quantization_type": "fp32",
            }
        }
