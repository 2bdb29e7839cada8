"""Qdrant (qdrant/qdrant): its engine in this process, as the extension module Qdrant Edge."""

import os
import shutil
import tempfile

import numpy as np
import qdrant_edge
from qdrant_edge import (
    EdgeConfig,
    EdgeShard,
    EdgeVectorParams,
    HnswIndexConfig,
    Point,
    Query,
    UpdateOperation,
)

from ann_bench.worker.wrapper import Wrapper

DISTANCES = {
    "euclidean": qdrant_edge.Distance.Euclid,
    "angular": qdrant_edge.Distance.Cosine,
    "dot": qdrant_edge.Distance.Dot,
    "manhattan": qdrant_edge.Distance.Manhattan,
}
ROWS_AT_ONCE = 10000


class Qdrant(Wrapper):
    """One `EdgeShard` in a folder, optimised into one segment with one graph.

    Rows are found by the graph however few they are: Qdrant itself would compare all of up to 10,000 KiB. Its
    cosine normalises rows and queries.
    """

    def _config(self, m, ef_construct):
        return EdgeConfig(
            vectors=EdgeVectorParams(size=self.dimension, distance=DISTANCES[self.distance]),
            hnsw_config=HnswIndexConfig(
                m=m, ef_construct=ef_construct, full_scan_threshold=1, max_indexing_threads=self.threads
            ),
            optimizers=qdrant_edge.EdgeOptimizersConfig(
                default_segment_number=1, indexing_threshold=1, max_segment_size=2**31
            ),
            max_search_threads=self.threads,
            wal_enabled=False,
        )

    def build(self, train, distance, threads, m, ef_construct):
        self.folder = os.path.join(tempfile.mkdtemp(), "shard")
        self.shard = EdgeShard.create(self.folder, self._config(m, ef_construct))
        for first in range(0, len(train), ROWS_AT_ONCE):
            rows = enumerate(train[first : first + ROWS_AT_ONCE].tolist(), start=first)
            self.shard.update(UpdateOperation.upsert_points([Point(i, row) for i, row in rows]))
        self.shard.optimize()

    def set_query(self, threads, hnsw_ef):
        self.params = qdrant_edge.SearchParams(hnsw_ef=hnsw_ef)

    def _request(self, vector, k):
        return qdrant_edge.QueryRequest(limit=k, query=Query.Nearest(vector.tolist()), params=self.params)

    def query(self, vector, k):
        return [point.id for point in self.shard.query(self._request(vector, k))]

    def query_batch(self, vectors, k):
        requests = [self._request(vector, k) for vector in vectors]
        answers = self.shard.query_batch(qdrant_edge.QueryBatchRequest(requests))
        ids = np.full((len(vectors), k), -1)
        for row, points in zip(ids, answers):
            row[: len(points)] = [point.id for point in points]
        return ids

    def save(self, path):
        self.shard.flush()
        shutil.copytree(self.folder, os.fspath(path))

    def load(self, path):
        self.folder = os.path.join(tempfile.mkdtemp(), "shard")
        shutil.copytree(os.fspath(path), self.folder)
        self.shard = EdgeShard.load(self.folder, self._config(**self.build_parameters))

    def close(self):
        self.shard.close()
        shutil.rmtree(os.path.dirname(self.folder))
