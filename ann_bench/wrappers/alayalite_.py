"""AlayaLite (AlayaDB-AI/AlayaLite): a navigable small world graph, or a quantised one as of SymphonyQG."""

import json
import os

import numpy as np
from alayalite import Client, Index

from ann_bench.worker.unit_vectors import UnitVectors
from ann_bench.worker.wrapper import Wrapper

METRICS = {"euclidean": "l2", "angular": "l2", "dot": "ip"}


class AlayaLite(Wrapper):
    """One index of an `alayalite.Client`.

    Its metric "cos" scales its caller's own rows and queries, in place, and is not there for "rabitq". So
    for angles rows and queries are normalised here, which is timed, and compared by "l2". It reads arrays as
    if they lay in one piece, and fills an answer up with ids of no row where there are fewer rows than k or
    `ef_search` is smaller: neither is asked for.
    """

    def build(self, train, distance, threads, quantization_type, max_nbrs, ef_construction):
        self._choose(train, distance)
        rows = self.unit.rows if distance == "angular" else np.ascontiguousarray(train)
        self.index = Client().create_index(
            "index",
            metric=METRICS[distance],
            index_type="hnsw",
            quantization_type=quantization_type,
            max_nbrs=max_nbrs,
            capacity=len(rows),
        )
        self.index.fit(rows, ef_construction=ef_construction, num_threads=threads)

    def _choose(self, train, distance):
        self.count = len(train)
        if distance == "angular":
            self.unit = UnitVectors(train)
            self.query, self.query_batch = self._query_angle, self._query_angle_batch

    def set_query(self, threads, ef_search):
        self.search_threads, self.ef_search = threads, ef_search

    def query(self, vector, k):
        k = min(k, self.count)
        return self.index.search(np.ascontiguousarray(vector), k, max(k, self.ef_search))

    def query_batch(self, vectors, k):
        k = min(k, self.count)
        return self.index.batch_search(
            np.ascontiguousarray(vectors), k, max(k, self.ef_search), self.search_threads
        )

    def _query_angle(self, vector, k):
        k = min(k, self.count)
        return self.index.search(self.unit.scale(vector), k, max(k, self.ef_search))

    def _query_angle_batch(self, vectors, k):
        k = min(k, self.count)
        return self.index.batch_search(
            self.unit.scale_all(vectors), k, max(k, self.ef_search), self.search_threads
        )

    def save(self, path):
        schema = self.index.save(os.fspath(path))
        # The client it came from would write this beside it, and `load` reads it.
        with open(os.path.join(path, "schema.json"), "w") as file:
            json.dump(schema, file)

    def load(self, path):
        self._choose(self.train, self.distance)
        self.index = Index.load(*os.path.split(path))
