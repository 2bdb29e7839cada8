"""Zvec (alibaba/zvec): a vector database in this process, on Alibaba's engine Proxima."""

import os
import shutil
import tempfile

import numpy as np
import zvec

from ann_bench.worker.wrapper import Wrapper

METRICS = {
    "euclidean": zvec.MetricType.L2,
    "angular": zvec.MetricType.COSINE,
    "dot": zvec.MetricType.IP,
}
ROWS_AT_ONCE = 1000


class Zvec(Wrapper):
    """One collection in a folder with an HNSW graph over whole vectors.

    The documents' ids are text: turning them into numbers is its user's work and is timed.
    """

    started = False

    def _start(self):
        # Once in a process: it keeps to the threads that it is told first.
        if not Zvec.started:
            zvec.init(query_threads=self.threads, optimize_threads=self.threads)
            Zvec.started = True
        self.folder = os.path.join(tempfile.mkdtemp(), "vectors")

    def build(self, train, distance, threads, m, ef_construction):
        self._start()
        index = zvec.HnswIndexParam(metric_type=METRICS[distance], m=m, ef_construction=ef_construction)
        vectors = zvec.VectorSchema("vector", zvec.DataType.VECTOR_FP32, train.shape[1], index)
        schema = zvec.CollectionSchema(name="vectors", vectors=vectors)
        self.collection = zvec.create_and_open(self.folder, schema)
        for first in range(0, len(train), ROWS_AT_ONCE):
            rows = enumerate(train[first : first + ROWS_AT_ONCE].tolist(), start=first)
            self.collection.insert([zvec.Doc(id=str(i), vectors={"vector": row}) for i, row in rows])
        self.collection.optimize(zvec.OptimizeOption(concurrency=threads))

    def set_query(self, threads, ef):
        self.parameters = zvec.HnswQueryParam(ef=ef)

    def query(self, vector, k):
        # It reads whatever lies behind each other in memory.
        vector = np.ascontiguousarray(vector, dtype=np.float32)
        query = zvec.Query("vector", vector=vector, param=self.parameters)
        return [int(document.id) for document in self.collection.query(query, topk=k)]

    def save(self, path):
        self.collection.flush()
        shutil.copytree(self.folder, os.fspath(path))

    def load(self, path):
        self._start()
        shutil.copytree(os.fspath(path), self.folder)
        self.collection = zvec.open(self.folder)

    def close(self):
        self.collection.close()
        shutil.rmtree(os.path.dirname(self.folder))
